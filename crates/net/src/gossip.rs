//! Gossipsub as the mesh uses it: anonymous, because our envelope is signed; validated by the core, always.
//!
//! Parameters are those of reliability 4.2. A hub keeps everyone in its mesh: where browsers meet only at a relay, the
//! relay is the only one who can hand a message on, and one that it merely announces to most of them comes a heartbeat
//! late. Its low mark is as high, so that it takes in whoever subscribes at once, and what is said right after
//! somebody has joined is heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, IdentTopic, Message, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicScoreParams, ValidationMode,
};
use mesh_proto::MeshId;
use mesh_proto::limits::{DUPLICATE_WINDOW_MS, MAX_ENVELOPE};
use mesh_proto::protocol::Topic;

use crate::config::Role;

/// Messages that may wait for one neighbour before it misses some. At a hub as many as a hundred members send who all
/// speak at the same moment, which is 32 MiB at 64 KiB each; whoever stays that far behind is given up (`slow.rs`).
pub(crate) const fn queue_len(role: Role) -> usize {
    match role {
        Role::Leaf => 256,
        Role::Hub => 512,
    }
}

/// Bytes that an RPC adds to the envelope in it: the topic's name, a few tags and lengths.
const RPC_OVERHEAD: usize = 1024;

/// Bytes of one read from a stream. libp2p-gossipsub 0.50.1 holds its limit against all that is buffered
/// (`validate_rpc_limits`), not against the RPC at hand: large envelopes that come close behind each other would break
/// the stream, and the fifth time gossip on that connection ends for good. 8 KiB are asynchronous-codec's
/// `INITIAL_CAPACITY`.
const READ_LEN: usize = 8 * 1024;

/// Builds the behaviour of a member of `mesh`, subscribed to its topics.
pub(crate) fn behaviour(mesh: &MeshId, role: Role) -> Behaviour {
    let (n, low, high, outbound) = match role {
        Role::Leaf => (8, 6, 12, 2),
        Role::Hub => (256, 256, 512, 2),
    };
    let config = ConfigBuilder::default()
        .mesh_n(n)
        .mesh_n_low(low)
        .mesh_n_high(high)
        .mesh_outbound_min(outbound)
        .retain_scores(6)
        .gossip_lazy(8)
        .gossip_factor(0.25)
        .heartbeat_interval(Duration::from_millis(700))
        .heartbeat_initial_delay(Duration::from_millis(100))
        .history_length(6)
        .history_gossip(3)
        .flood_publish(true)
        .opportunistic_graft_ticks(60)
        .prune_backoff(Duration::from_secs(60))
        .unsubscribe_backoff(Duration::from_secs(10))
        .duplicate_cache_time(Duration::from_millis(DUPLICATE_WINDOW_MS))
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(id_of)
        .max_transmit_size(MAX_ENVELOPE + RPC_OVERHEAD + READ_LEN)
        .max_publish_messages(200)
        .connection_handler_queue_len(queue_len(role))
        .publish_queue_duration(Duration::from_secs(30))
        .forward_queue_duration(Duration::from_secs(30))
        .build()
        .expect("the parameters agree with each other");

    let mut behaviour: Behaviour =
        Behaviour::new(MessageAuthenticity::Anonymous, config).expect("anonymous messages pass anonymous validation");
    behaviour.with_peer_score(scores(mesh), thresholds()).expect("scores are set once, to valid values");
    for topic in Topic::ALL {
        let topic = IdentTopic::new(topic.name(mesh));
        behaviour.subscribe(&topic).expect("no filter forbids our own topics");
    }
    behaviour
}

/// The topic of `hash` in `mesh`, if it is one of its.
pub(crate) fn topic_of(mesh: &MeshId, hash: &libp2p::gossipsub::TopicHash) -> Option<Topic> {
    Topic::ALL.into_iter().find(|topic| topic.name(mesh) == hash.as_str())
}

/// Equal envelopes are one message, whoever hands them over.
fn id_of(message: &Message) -> MessageId {
    MessageId::new(&mesh_proto::transfer::hash(&message.data).0[..20])
}

/// Weights of reliability 4.2: no demands on how much a topic carries (agents may well be silent), a high price for
/// what no honest peer passes on.
fn scores(mesh: &MeshId) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 10.0,
        first_message_deliveries_weight: 1.0,
        // To nothing within ten minutes.
        first_message_deliveries_decay: 0.93,
        first_message_deliveries_cap: 50.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -200.0,
        invalid_message_deliveries_decay: 0.9,
        ..TopicScoreParams::default()
    };
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    PeerScoreParams {
        topics: Topic::ALL.into_iter().map(|name| (IdentTopic::new(name.name(mesh)).hash(), topic.clone())).collect(),
        topic_score_cap: 100.0,
        app_specific_weight: 1.0,
        // Whole offices share one address, and so does everyone behind a relay.
        ip_colocation_factor_weight: -5.0,
        ip_colocation_factor_threshold: 64.0,
        ip_colocation_factor_whitelist: loopback.into_iter().collect(),
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: 0.9,
        decay_interval: Duration::from_secs(10),
        decay_to_zero: 0.01,
        retain_score: Duration::from_secs(600),
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -100.0,
        publish_threshold: -500.0,
        graylist_threshold: -1000.0,
        accept_px_threshold: 400.0,
        opportunistic_graft_threshold: 3.5,
    }
}
