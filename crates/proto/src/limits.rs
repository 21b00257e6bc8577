//! Every bound of the wire format in one place. Sizes are bytes, durations milliseconds.
//!
//! A decoder refuses what is past its bound before it allocates for it; each bound is tested at the limit and one past.

/// Largest signed envelope on the wire. Gossipsub's `max_transmit_size` leaves room for its own framing above this.
pub const MAX_ENVELOPE: usize = 64 * 1024;

/// Largest body of a direct message or a broadcast: an envelope less the room its other fields can take.
pub const MAX_BODY: usize = 60 * 1024;

/// Largest frame on a direct stream, length prefix excluded.
pub const MAX_DIRECT_FRAME: usize = 64 * 1024;

/// Largest frame of a join reply: one envelope of the largest size and its frame. A list is split into as many as it
/// takes.
pub const MAX_JOIN_FRAME: usize = MAX_ENVELOPE + 1024;

/// Most announcements that one join may hand over: ten times the thousand members the mesh is built for.
pub const MAX_JOIN_ANNOUNCEMENTS: usize = 10_000;

/// Most revocations in one frame of a join reply, up to 400 bytes each.
pub const MAX_JOIN_REVOCATIONS: usize = 128;

/// Largest transfer frame: one chunk of the largest size and its header, or a manifest.
pub const MAX_TRANSFER_FRAME: usize = MAX_CHUNK + 1024;

/// Chunks of a transfer are a power of two between these. Small ones keep the pipe fair, large ones the manifest short.
pub const MIN_CHUNK: usize = 64 * 1024;
/// See [`MIN_CHUNK`].
pub const MAX_CHUNK: usize = 1024 * 1024;

/// Most chunks in one manifest: 8 GiB of weights in chunks of 1 MiB, 280 KB of hashes.
pub const MAX_CHUNKS: usize = 8 * 1024;

/// How long an ephemeral message lives (roadmap, "Routing": TTL 300 seconds).
pub const TTL_MS: u64 = 300_000;

/// How far ahead of our clock a sender's may be before its messages are rejected (reliability 4.2).
pub const MAX_CLOCK_AHEAD_MS: u64 = 60_000;

/// How long a message is remembered so that a copy is not taken for a new one: TTL and twice a skew of 30 s.
pub const DUPLICATE_WINDOW_MS: u64 = 360_000;

/// Longest agent name.
pub const MAX_AGENT_NAME: usize = 64;
/// Longest type, capability, specialization or topic.
pub const MAX_LABEL: usize = 64;
/// Most capabilities of one agent.
pub const MAX_CAPABILITIES: usize = 32;
/// Largest opaque metadata of an agent or of weights.
pub const MAX_METADATA: usize = 1024;
/// Most agents that one node announces, provided that they fit into one envelope.
pub const MAX_AGENTS_PER_NODE: usize = 256;
/// Most addresses that one node announces.
pub const MAX_ADDRESSES: usize = 8;
/// Longest announced address.
pub const MAX_ADDRESS: usize = 256;
/// Most nodes that a query names as already known.
pub const MAX_KNOWN: usize = 128;
/// Most broadcasts under one signature.
pub const MAX_BATCH: usize = 1024;
/// Most acknowledgements in one frame.
pub const MAX_ACKS: usize = 1024;
/// Longest mesh name.
pub const MAX_MESH_NAME: usize = 128;
/// Longest description in a weights manifest: agent id and name.
pub const MAX_WEIGHTS_LABEL: usize = 256;

/// Most voters of an electorate: the quorum of 100 is the roadmap's 67 %, and leaves room for 33 traitors. From 103 on 67 %
/// would be more than the honest can give (reliability 0).
pub const MAX_VOTERS: usize = 100;
/// Most founders of a mesh.
pub const MAX_FOUNDERS: usize = 16;
/// Largest charter or epoch record: a hundred voters of two keys each, and sixteen founders with signatures.
pub const MAX_CHARTER: usize = 16 * 1024;
/// Longest title of a proposal and name of a resource.
pub const MAX_TITLE: usize = 256;
/// Longest reason of a ballot.
pub const MAX_REASON: usize = 256;
/// Largest body of a proposal: it travels in one envelope, beside as much again of other fields.
pub const MAX_PROPOSAL_BODY: usize = 32 * 1024;
/// Largest message about a slot. With the longest reasons a vote takes up to 0.5 KB, so that the largest message is a proposal
/// to reject, with the votes of 100 witnesses: 44 KB, and 48 KB if approvals are among them, as no honest leader has it. A
/// polka of 100 voters takes 35 KB, for what is the same in all is said once; the largest proposal 34 KB.
pub const MAX_DECISION: usize = 60 * 1024;
/// Most epoch records in one message: at most 11 KB each with a hundred voters and sixteen founders.
pub const MAX_TOLD_EPOCHS: usize = 3;
/// Most slots that somebody names as known when it asks for others, 34 bytes each.
pub const MAX_KNOWN_SLOTS: usize = 256;
/// Highest round of a slot. At a second a round that is more than two years.
pub const MAX_ROUND: u32 = 0x03ff_ffff;
/// Shortest time that voters have, milliseconds.
pub const MIN_WINDOW_MS: u64 = 500;
/// Longest time that voters have: a day.
pub const MAX_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest lease: a day.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1000;

/// Longest life of a credential, seconds: a week, after which whoever issued it can be asked again (reliability 2).
pub const MAX_CREDENTIAL_S: u64 = 7 * 24 * 3600;
/// Longest life of an invitation, seconds: as long as that of what it is redeemed for.
pub const MAX_INVITATION_S: u64 = MAX_CREDENTIAL_S;
/// Most credentials and invitations that an inviter may issue on one day.
pub const MAX_INVITES_PER_DAY: u32 = 10_000;
/// Credentials between a founder and a node: its own, and that of who invited it.
pub const MAX_CREDENTIAL_CHAIN: usize = 2;
/// Largest message of an admission, and largest revocation: a chain of two with room to spare.
pub const MAX_ADMISSION: usize = 2 * 1024;
/// Largest pass: a charter, and a chain of credentials.
pub const MAX_PASS: usize = MAX_CHARTER + MAX_ADMISSION;
/// Most relays that an invite names.
pub const MAX_INVITE_RELAYS: usize = 8;
/// Largest invite: with the addresses of its relays. As a link it is a third longer.
pub const MAX_INVITE: usize = 3 * 1024;

/// Most epoch records in a file that proves a decision. Past it the charter is old enough for a new mesh.
pub const MAX_RECORD_EPOCHS: usize = 256;
/// Largest such file.
pub const MAX_RECORD: usize = (MAX_RECORD_EPOCHS + 1) * MAX_CHARTER + MAX_DECISION;

/// Longest name of a domain.
pub const MAX_DOMAIN: usize = 64;
/// Longest key within a domain.
pub const MAX_KEY: usize = 256;
/// Most authors whose versions an entry replaces. Past it the oldest are left out: what they wrote comes back as a sibling then.
pub const MAX_REPLACED: usize = 16;
/// Most nodes that may write in a domain beside its owner.
pub const MAX_WRITERS: usize = 64;
/// Most copies of content.
pub const MAX_REPLICAS: usize = 8;
/// Largest entry with its envelope: the longest grant has 3 KB, the longest key with metadata and all it replaces 2.5 KB.
pub const MAX_ENTRY: usize = 4 * 1024;
/// Most domains in one summary, up to 150 bytes each.
pub const MAX_SUMMARIES: usize = 256;
/// Bytes of one step of a comparison: some 1,500 ids.
pub const MAX_ROUND_BYTES: usize = 48 * 1024;
/// Most entries that are named in one message, 34 bytes each.
pub const MAX_NAMED: usize = 1024;
/// Most entries that are given at once.
pub const MAX_PULLED: usize = 512;
/// Most authors whose credentials come with entries.
pub const MAX_CREDITED: usize = 32;
/// Most contents that one message speaks of, 42 bytes each.
pub const MAX_CONTENTS: usize = 512;
/// Largest room for content that a node may announce: 1 PiB, far from where sums of them overflow.
pub const MAX_STORAGE: u64 = 1 << 50;
