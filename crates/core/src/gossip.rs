//! How gossip is tuned: gossipsub's parameters, as plain data, for everyone who runs it.
//!
//! Parameters are those of reliability 4.2; what that leaves open stands at libp2p-gossipsub's default, and is named here
//! all the same, because the simulator's model needs it as well. A hub keeps everyone in its mesh: where browsers meet
//! only at a relay, the relay is the only one who can hand a message on, and one that it merely announces to most of them
//! comes a heartbeat late. Its low mark is as high, so that it takes in whoever subscribes at once, and what is said right
//! after somebody has joined is heard.
//!
//! Weights of the scores: no demands on how much a topic carries (agents may well be silent), a high price for what no
//! honest peer passes on.

use mesh_proto::limits::{DUPLICATE_WINDOW_MS, MAX_ENVELOPE};

/// Bytes that an RPC adds to the envelope in it: the topic's name, a few tags and lengths.
const RPC_OVERHEAD: usize = 1024;

/// Bytes of one read from a stream. libp2p-gossipsub 0.50.1 holds its limit against all that is buffered
/// (`validate_rpc_limits`), not against the RPC at hand: large envelopes that come close behind each other would break
/// the stream, and the fifth time gossip on that connection ends for good. 8 KiB are asynchronous-codec's
/// `INITIAL_CAPACITY`.
const READ_LEN: usize = 8 * 1024;

/// Everything gossipsub is told. Times are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Links that a node wants in the mesh of a topic; every message takes each of them once.
    pub mesh_n: usize,
    /// With fewer than these it looks for more.
    pub mesh_n_low: usize,
    /// With these or more it gives some up, and refuses those who come unless it dialled them.
    pub mesh_n_high: usize,
    /// Links of its own choosing that it keeps, so that those who dial it cannot surround it.
    pub mesh_outbound_min: usize,
    /// Best links that are not given up by chance.
    pub retain_scores: usize,
    /// Neighbours outside the mesh, at least, that are told in a heartbeat what there is.
    pub gossip_lazy: usize,
    /// Share of the neighbours outside the mesh that are told, if that is more.
    pub gossip_factor: f64,
    /// Time between two heartbeats, in which the mesh is mended and gossip is sent.
    pub heartbeat_ms: u64,
    /// Added to that before the first one.
    pub heartbeat_delay_ms: u64,
    /// Heartbeats for which a message can be handed out to those who ask for it.
    pub history_length: usize,
    /// Heartbeats in which it is told of.
    pub history_gossip: usize,
    /// A node's own messages go to all neighbours and not only to the mesh.
    pub flood_publish: bool,
    /// Heartbeats between two attempts to better a mesh whose median score is low.
    pub opportunistic_graft_ticks: u64,
    /// Links added in each.
    pub opportunistic_graft_peers: usize,
    /// Time after a link is given up in which it is not taken up again.
    pub prune_backoff_ms: u64,
    /// The same after somebody has left the topic.
    pub unsubscribe_backoff_ms: u64,
    /// Heartbeats that are waited longer than that before asking, for clocks and latency.
    pub backoff_slack: u32,
    /// Who asks again this early is punished twice.
    pub graft_flood_ms: u64,
    /// Time for which a message is remembered so that a copy is not taken for a new one.
    pub duplicate_window_ms: u64,
    /// Bytes, topic included, above which neighbours are told not to send a message that has come.
    pub idontwant_len: usize,
    /// Announcements of messages that one neighbour may make between two heartbeats.
    pub max_ihave: usize,
    /// Messages in one announcement, and messages asked of one neighbour between two heartbeats. No more than 740 fit
    /// into [`Params::max_control`] at once, and libp2p does not split them: with its own 5,000, a burst of 800 messages
    /// broke the streams of all links outside the mesh, for good.
    pub max_ids: usize,
    /// Times that one neighbour may ask for the same message.
    pub retransmissions: u32,
    /// Time that a neighbour has to send what it announced and was asked for.
    pub iwant_followup_ms: u64,
    /// Most bytes of one RPC. One that is past this or one of the next two breaks the stream that it came on.
    pub max_rpc: usize,
    /// Most messages in one RPC.
    pub max_publish: usize,
    /// Most bytes of everything else in one RPC.
    pub max_control: usize,
    /// Messages that may wait for one neighbour before it misses some.
    pub queue_len: usize,
    /// Time that a message may wait for one neighbour before it misses it.
    pub queue_ms: u64,
    /// How neighbours are judged.
    pub scores: Scores,
    /// What follows from that.
    pub thresholds: Thresholds,
}

impl Params {
    /// An ordinary member.
    pub fn leaf() -> Self {
        Self {
            mesh_n: 8,
            mesh_n_low: 6,
            mesh_n_high: 12,
            mesh_outbound_min: 2,
            retain_scores: 6,
            gossip_lazy: 8,
            gossip_factor: 0.25,
            heartbeat_ms: 700,
            heartbeat_delay_ms: 100,
            history_length: 6,
            history_gossip: 3,
            flood_publish: true,
            opportunistic_graft_ticks: 60,
            opportunistic_graft_peers: 2,
            prune_backoff_ms: 60_000,
            unsubscribe_backoff_ms: 10_000,
            backoff_slack: 1,
            graft_flood_ms: 10_000,
            duplicate_window_ms: DUPLICATE_WINDOW_MS,
            idontwant_len: 1000,
            max_ihave: 10,
            max_ids: 700,
            retransmissions: 3,
            iwant_followup_ms: 3000,
            max_rpc: MAX_ENVELOPE + RPC_OVERHEAD + READ_LEN,
            max_publish: 200,
            max_control: 16 * 1024,
            queue_len: 256,
            queue_ms: 30_000,
            scores: Scores::default(),
            thresholds: Thresholds::default(),
        }
    }

    /// A relay.
    pub fn hub() -> Self {
        Self {
            mesh_n: 256,
            mesh_n_low: 256,
            mesh_n_high: 512,
            // As many as a hundred members send who all speak at the same moment, which is 32 MiB at 64 KiB each;
            // whoever stays that far behind is given up (`slow.rs` of mesh-net).
            queue_len: 512,
            ..Self::leaf()
        }
    }
}

/// Weights of gossipsub's peer score. P3 and P3b, for a link that brings too little, are off, and so is P5, the
/// application's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Weight of each topic.
    pub topic_weight: f64,
    /// Most that all topics bring together.
    pub topic_cap: f64,
    /// P1: for each second in the mesh of a topic.
    pub time_in_mesh_weight: f64,
    /// Seconds that count.
    pub time_in_mesh_cap: f64,
    /// P2: for each message that a peer brought first.
    pub first_deliveries_weight: f64,
    /// What is left of them after each decay: nothing within ten minutes.
    pub first_deliveries_decay: f64,
    /// Messages that count.
    pub first_deliveries_cap: f64,
    /// P4: for the square of the messages that no honest peer passes on.
    pub invalid_weight: f64,
    /// What is left of them after each decay.
    pub invalid_decay: f64,
    /// P6: for the square of the peers above the threshold that share one address.
    pub colocation_weight: f64,
    /// Peers that may share an address. Whole offices do, and so does everyone behind a relay.
    pub colocation_threshold: f64,
    /// P7: for the square of the breaches of protocol above the threshold.
    pub behaviour_weight: f64,
    /// Breaches that are overlooked.
    pub behaviour_threshold: f64,
    /// What is left of them after each decay.
    pub behaviour_decay: f64,
    /// For each message that did not fit into what waits for the peer, above the threshold.
    pub slow_weight: f64,
    /// Such messages that are overlooked.
    pub slow_threshold: f64,
    /// What is left of them after each decay.
    pub slow_decay: f64,
    /// Milliseconds between two decays.
    pub decay_ms: u64,
    /// Below this a count is nothing.
    pub decay_to_zero: f64,
    /// Milliseconds for which the score of a peer that has gone is kept, if it is not above nothing.
    pub retain_ms: u64,
}

impl Default for Scores {
    fn default() -> Self {
        Self {
            topic_weight: 1.0,
            topic_cap: 100.0,
            time_in_mesh_weight: 0.01,
            time_in_mesh_cap: 10.0,
            first_deliveries_weight: 1.0,
            first_deliveries_decay: 0.93,
            first_deliveries_cap: 50.0,
            invalid_weight: -200.0,
            invalid_decay: 0.9,
            colocation_weight: -5.0,
            colocation_threshold: 64.0,
            behaviour_weight: -10.0,
            behaviour_threshold: 6.0,
            behaviour_decay: 0.9,
            slow_weight: -0.2,
            slow_threshold: 0.0,
            slow_decay: 0.2,
            decay_ms: 10_000,
            decay_to_zero: 0.01,
            retain_ms: 600_000,
        }
    }
}

/// Scores below which something ends, and one above which something begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Below: nothing is announced to the peer, and what it announces or asks for is ignored.
    pub gossip: f64,
    /// Below: our own messages are not sent to it.
    pub publish: f64,
    /// Below: nothing that it sends is looked at.
    pub graylist: f64,
    /// From here on the addresses that it names would be believed. Nobody names any.
    pub accept_px: f64,
    /// With a median in the mesh below this, better links are sought.
    pub opportunistic_graft: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { gossip: -100.0, publish: -500.0, graylist: -1000.0, accept_px: 400.0, opportunistic_graft: 3.5 }
    }
}
