//! Knowledge: entries that are kept, and what two nodes say to each other to have the same.
//!
//! An entry is an [`Envelope`] of kind `knowledge-share` that is not forgotten when its time to travel is over: it is gossiped,
//! kept and handed on in the bytes that its author signed, and [`EntryId`] names those. Its payload is an [`Entry`]: it puts
//! content under a key of a domain, or takes the key away. The content itself is IPFS blocks below a CID and travels apart.
//!
//! Entries of one key are ordered by what they replace (a version vector of their authors' clocks), not by when they arrive: of
//! two of which neither replaces the other, both are current. What replaces another is also later by its [`Version`], whatever
//! the wall clocks of the two say (Lamport: Time, Clocks, and the Ordering of Events, 1978): so nobody can write two that
//! replace each other, about which nodes would disagree for ever.

use cid::{Cid, Version as CidVersion};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{self, Bounded, DecodeError, bound, printable};
use crate::credential::Chain;
use crate::envelope::{Envelope, Kind, Verified};
use crate::id::{EntryId, Hlc, NodeId};
use crate::limits::{
    MAX_BODY, MAX_CONTENTS, MAX_CREDITED, MAX_DOMAIN, MAX_ENTRY, MAX_KEY, MAX_LABEL, MAX_METADATA, MAX_NAMED,
    MAX_PULLED, MAX_REPLACED, MAX_REPLICAS, MAX_ROUND_BYTES, MAX_SUMMARIES, MAX_WRITERS,
};

/// Where a key belongs, and who may write there. Ordered by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// 1 to 64 bytes without control characters.
    pub name: String,
    /// Whose it is: only that node writes there, and those that it names in a [`Change::Grant`]. Without one everybody writes
    /// who may speak in the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<NodeId>,
}

impl Domain {
    /// The domain of that name in which everybody writes.
    pub fn shared(name: impl Into<String>) -> Self {
        Self { name: name.into(), owner: None }
    }
}

impl Bounded for Domain {
    fn check(&self) -> Result<(), DecodeError> {
        printable("domain", &self.name)?;
        bound("domain", self.name.len(), MAX_DOMAIN)
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where the key belongs.
    pub domain: Domain,
    /// The key, at most 256 bytes. Only that of a [`Change::Grant`] is empty.
    pub key: String,
    /// What becomes of it.
    pub change: Change,
    /// What it replaces: the newest of each author that its own has seen for this key, its own included, by node. What an author
    /// has written there before is replaced anyway.
    pub replaces: Vec<Version>,
    /// Unix milliseconds from which on it counts as taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl Entry {
    /// The version of this entry if `author` signs it at `clock`, see [`Signed::version`].
    ///
    /// # Errors
    /// [`DecodeError::Malformed`]: it replaces something with the last of all clocks.
    pub fn version(&self, author: NodeId, clock: Hlc) -> Result<Version, DecodeError> {
        let latest = self.replaces.iter().map(|Version(_, clock)| *clock).max();
        if latest == Some(Hlc(u64::MAX)) {
            return Err(DecodeError::Malformed("it replaces what nothing can come after".into()));
        }
        Ok(Version(author, latest.map_or(clock, |latest| latest.tick(0).max(clock))))
    }
}

/// An entry's place among those of its key: who wrote it, and when, see [`Signed::version`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub NodeId, pub Hlc);

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// It stands for this.
    Put(Content),
    /// It is taken away.
    Delete,
    /// By a domain's owner: these write there too, in ascending order. It replaces the last such list, and what those have
    /// written who are on it no more does not count.
    Grant(Vec<NodeId>),
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The root of its blocks: CIDv1, raw or dag-pb, SHA-256.
    pub cid: Cid,
    /// Bytes of the content itself. Its blocks have a little more.
    pub size: u64,
    /// How many nodes are to hold it beside its author, 1 to 8.
    pub replicas: u8,
    /// How the bytes are to be read, at most 64 bytes of the application's.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Opaque to the mesh, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ByteBuf>,
}

/// IPLD's codec of leaves.
const RAW: u64 = 0x55;
/// IPLD's codec of files and directories.
const DAG_PB: u64 = 0x70;
/// SHA-256's number among multihashes.
const SHA2_256: u64 = 0x12;

/// Whether a CID is one of content: of version 1, raw or dag-pb, by SHA-256.
pub fn is_content(cid: &Cid) -> bool {
    let hash = cid.hash();
    cid.version() == CidVersion::V1
        && matches!(cid.codec(), RAW | DAG_PB)
        && hash.code() == SHA2_256
        && hash.size() == 32
}

fn check_cid(cid: &Cid) -> Result<(), DecodeError> {
    if !is_content(cid) {
        return Err(DecodeError::Malformed("content: not a CIDv1, raw or dag-pb, of SHA-256".into()));
    }
    Ok(())
}

impl Bounded for Content {
    fn check(&self) -> Result<(), DecodeError> {
        check_cid(&self.cid)?;
        bound("replicas", usize::from(self.replicas), MAX_REPLICAS)?;
        if self.replicas == 0 {
            return Err(DecodeError::Malformed("replicas: none".into()));
        }
        bound("type", self.kind.len(), MAX_LABEL)?;
        bound("metadata", self.metadata.as_ref().map_or(0, |bytes| bytes.len()), MAX_METADATA)
    }
}

impl Bounded for Entry {
    fn check(&self) -> Result<(), DecodeError> {
        self.domain.check()?;
        bound("key", self.key.len(), MAX_KEY)?;
        bound("replaces", self.replaces.len(), MAX_REPLACED)?;
        if !self.replaces.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::Malformed("replaces: not sorted, or twice of one author".into()));
        }
        match &self.change {
            Change::Grant(writers) => {
                bound("writers", writers.len(), MAX_WRITERS)?;
                if !writers.is_sorted_by(|a, b| a < b) {
                    return Err(DecodeError::Malformed("writers: not sorted, or twice".into()));
                }
                if !self.key.is_empty() || self.domain.owner.is_none() || self.expires.is_some() {
                    return Err(DecodeError::Malformed(
                        "a grant has no key and does not end, and its domain an owner".into(),
                    ));
                }
                Ok(())
            }
            Change::Put(content) => {
                printable("key", &self.key)?;
                content.check()
            }
            Change::Delete => printable("key", &self.key),
        }
    }
}

/// An entry as its author signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Names its bytes.
    pub id: EntryId,
    /// Who wrote it, and when: by its envelope's clock, or just after the latest that it replaces if that is later still, as it is
    /// when that one's author has a clock that is ahead.
    pub version: Version,
    /// What it says.
    pub entry: Entry,
    /// The envelope.
    pub envelope: Verified<Envelope>,
}

impl Signed {
    /// Reads the entry in an envelope.
    ///
    /// # Errors
    /// [`DecodeError`]: its author has signed what is no entry.
    pub fn read(envelope: Verified<Envelope>) -> Result<Self, DecodeError> {
        if envelope.kind != Kind::KnowledgeShare {
            return Err(DecodeError::Malformed("an envelope of another kind".into()));
        }
        bound("entry", envelope.wire().len(), MAX_ENTRY)?;
        let entry: Entry = codec::decode(&envelope.payload, MAX_ENTRY)?;
        let author = envelope.from;
        if matches!(entry.change, Change::Grant(_)) && entry.domain.owner != Some(author) {
            return Err(DecodeError::Malformed("a grant by somebody else than the owner".into()));
        }
        let version = entry.version(author, envelope.clock)?;
        Ok(Self { id: EntryId::of(envelope.wire()), version, entry, envelope })
    }
}

/// What two nodes say to each other about entries and content. It travels as a direct message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// What I have. Whoever has something else begins to compare.
    Summary(Vec<Summary>),
    /// A step of range-based set reconciliation (`negentropy`, version 1) by whoever began it.
    Compare(Round),
    /// The answer to a [`Self::Compare`].
    Compared(Round),
    /// I have these, and they may be new to you: give them by name ([`Self::Pull`] without a session).
    Have {
        /// Of which domain.
        domain: Domain,
        /// Their ids.
        entries: Vec<EntryId>,
    },
    /// Give me these.
    Pull {
        /// Names this question in the answers.
        question: u64,
        /// The comparison that has found them missing, if one has: then they are [salted](salted).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        /// Of which domain.
        domain: Domain,
        /// What is missing.
        entries: Vec<EntryId>,
    },
    /// Entries, as they were signed.
    Push {
        /// Of the [`Self::Pull`] that it answers.
        question: u64,
        /// The envelopes.
        entries: Vec<ByteBuf>,
        /// In a private mesh: what shows that their authors were members when they wrote them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        credentials: Vec<Credited>,
        /// Whether that is the last answer.
        last: bool,
    },
    /// Which of these do you hold?
    WhoHas {
        /// Names this question in the answer; never 0.
        question: u64,
        /// Roots.
        contents: Vec<Cid>,
    },
    /// I hold these.
    Holds {
        /// Of the [`Self::WhoHas`] that it answers; 0 if nobody asked.
        question: u64,
        /// Roots.
        contents: Vec<Cid>,
    },
    /// I should hold these and have no room.
    Full(Vec<Cid>),
}

/// What somebody has of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Which domain.
    pub domain: Domain,
    /// Entries.
    pub count: u64,
    /// BLAKE3 of their ids, sorted and one after another.
    pub digest: EntryId,
}

/// A step of reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Which comparison it belongs to: drawn at random by whoever began it, and what ids are [salted](salted) with.
    pub session: u64,
    /// Which domain.
    pub domain: Domain,
    /// The message of the protocol.
    pub ranges: ByteBuf,
}

/// An author's credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credited {
    /// The author.
    pub node: NodeId,
    /// What shows that it is a member.
    pub chain: Chain,
}

impl Bounded for Credited {
    fn check(&self) -> Result<(), DecodeError> {
        self.chain.check()
    }
}

/// What an entry is called in one comparison. Fingerprints are sums of ids, so whoever could choose ids might hide some from a
/// comparison; nobody can for a salt that is drawn afterwards (reliability 3.2).
pub fn salted(session: u64, id: &EntryId) -> EntryId {
    let mut hash = blake3::Hasher::new();
    hash.update(&session.to_be_bytes());
    hash.update(&id.0);
    EntryId(*hash.finalize().as_bytes())
}

/// What a [`Summary`] says of these, which are in ascending order.
pub fn digest<'a>(ids: impl IntoIterator<Item = &'a EntryId>) -> EntryId {
    let mut hash = blake3::Hasher::new();
    ids.into_iter().for_each(|id| {
        hash.update(&id.0);
    });
    EntryId(*hash.finalize().as_bytes())
}

impl Bounded for Message {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Summary(domains) => {
                bound("domains", domains.len(), MAX_SUMMARIES)?;
                domains.iter().try_for_each(|summary| summary.domain.check())
            }
            Self::Compare(round) | Self::Compared(round) => {
                bound("ranges", round.ranges.len(), MAX_ROUND_BYTES)?;
                round.domain.check()
            }
            Self::Have { domain, entries } | Self::Pull { domain, entries, .. } => {
                bound("entries", entries.len(), MAX_NAMED)?;
                domain.check()
            }
            Self::Push { entries, credentials, .. } => {
                bound("entries", entries.len(), MAX_PULLED)?;
                entries.iter().try_for_each(|entry| bound("entry", entry.len(), MAX_ENTRY))?;
                bound("credentials", credentials.len(), MAX_CREDITED)?;
                credentials.iter().try_for_each(Bounded::check)
            }
            Self::WhoHas { contents, .. } | Self::Holds { contents, .. } | Self::Full(contents) => {
                bound("contents", contents.len(), MAX_CONTENTS)?;
                contents.iter().try_for_each(check_cid)
            }
        }
    }
}

impl Message {
    /// As it travels.
    ///
    /// # Errors
    /// [`codec::EncodeError::TooLong`] past the body of a direct message.
    pub fn encode(&self) -> Result<Vec<u8>, codec::EncodeError> {
        codec::encode(self, MAX_BODY)
    }
}

#[cfg(test)]
mod tests;
