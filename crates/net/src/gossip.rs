//! Gossipsub as the mesh uses it: anonymous, because our envelope is signed; validated by the core, always. How it is
//! tuned stands in [`mesh_core::gossip`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, DataTransform, IdentTopic, IdentityTransform, Message, MessageAuthenticity,
    MessageId, PeerScoreParams, PeerScoreThresholds, TopicScoreParams, ValidationMode,
};
use mesh_core::gossip::{Params, Scores, Thresholds};
use mesh_proto::MeshId;
use mesh_proto::protocol::Topic;

use crate::config::Role;

/// Builds the behaviour of a member of `mesh`, subscribed to its topics.
pub(crate) fn behaviour(mesh: &MeshId, role: Role) -> Behaviour {
    with_transform(mesh, role, IdentityTransform)
}

/// The same; `transform` sees what is sent and what comes in.
fn with_transform<D: DataTransform + Send + 'static>(mesh: &MeshId, role: Role, transform: D) -> Behaviour<D> {
    let params = match role {
        Role::Leaf => Params::leaf(),
        Role::Hub => Params::hub(),
    };
    let config = config(&params);
    let mut behaviour: Behaviour<D> = Behaviour::new_with_transform(MessageAuthenticity::Anonymous, config, transform)
        .expect("anonymous messages pass anonymous validation");
    behaviour
        .with_peer_score(scores(mesh, &params.scores), thresholds(&params.thresholds))
        .expect("scores are set once, to valid values");
    for topic in Topic::ALL {
        let topic = IdentTopic::new(topic.name(mesh));
        behaviour.subscribe(&topic).expect("no filter forbids our own topics");
    }
    behaviour
}

fn config(params: &Params) -> Config {
    let Params {
        mesh_n,
        mesh_n_low,
        mesh_n_high,
        mesh_outbound_min,
        retain_scores,
        gossip_lazy,
        gossip_factor,
        heartbeat_ms,
        heartbeat_delay_ms,
        history_length,
        history_gossip,
        flood_publish,
        opportunistic_graft_ticks,
        opportunistic_graft_peers,
        prune_backoff_ms,
        unsubscribe_backoff_ms,
        backoff_slack,
        graft_flood_ms,
        duplicate_window_ms,
        idontwant_len,
        max_ihave,
        max_ids,
        retransmissions,
        iwant_followup_ms,
        max_rpc,
        max_publish,
        max_control,
        queue_len,
        queue_ms,
        scores: _,
        thresholds: _,
    } = *params;
    ConfigBuilder::default()
        .mesh_n(mesh_n)
        .mesh_n_low(mesh_n_low)
        .mesh_n_high(mesh_n_high)
        .mesh_outbound_min(mesh_outbound_min)
        .retain_scores(retain_scores)
        .gossip_lazy(gossip_lazy)
        .gossip_factor(gossip_factor)
        .heartbeat_interval(Duration::from_millis(heartbeat_ms))
        .heartbeat_initial_delay(Duration::from_millis(heartbeat_delay_ms))
        .history_length(history_length)
        .history_gossip(history_gossip)
        .flood_publish(flood_publish)
        .opportunistic_graft_ticks(opportunistic_graft_ticks)
        .opportunistic_graft_peers(opportunistic_graft_peers)
        .prune_backoff(Duration::from_millis(prune_backoff_ms))
        .unsubscribe_backoff(Duration::from_millis(unsubscribe_backoff_ms))
        .backoff_slack(backoff_slack)
        .graft_flood_threshold(Duration::from_millis(graft_flood_ms))
        .duplicate_cache_time(Duration::from_millis(duplicate_window_ms))
        .idontwant_message_size_threshold(idontwant_len)
        .max_ihave_messages_heartbeat(max_ihave)
        .max_control_messages_sent(max_ids)
        .gossip_retransimission(retransmissions)
        .iwant_followup_time(Duration::from_millis(iwant_followup_ms))
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(id_of)
        .max_transmit_size(max_rpc)
        .max_publish_messages(max_publish)
        .max_control_message_size(max_control)
        .connection_handler_queue_len(queue_len)
        .publish_queue_duration(Duration::from_millis(queue_ms))
        .forward_queue_duration(Duration::from_millis(queue_ms))
        .build()
        .expect("the parameters agree with each other")
}

/// The topic of `hash` in `mesh`, if it is one of its.
pub(crate) fn topic_of(mesh: &MeshId, hash: &libp2p::gossipsub::TopicHash) -> Option<Topic> {
    Topic::ALL.into_iter().find(|topic| topic.name(mesh) == hash.as_str())
}

/// Equal envelopes are one message, whoever hands them over.
fn id_of(message: &Message) -> MessageId {
    MessageId::new(&mesh_proto::transfer::hash(&message.data).0[..20])
}

fn scores(mesh: &MeshId, scores: &Scores) -> PeerScoreParams {
    let Scores {
        topic_weight,
        topic_cap,
        time_in_mesh_weight,
        time_in_mesh_cap,
        first_deliveries_weight,
        first_deliveries_decay,
        first_deliveries_cap,
        invalid_weight,
        invalid_decay,
        colocation_weight,
        colocation_threshold,
        behaviour_weight,
        behaviour_threshold,
        behaviour_decay,
        slow_weight,
        slow_threshold,
        slow_decay,
        decay_ms,
        decay_to_zero,
        retain_ms,
    } = *scores;
    let topic = TopicScoreParams {
        topic_weight,
        time_in_mesh_weight,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap,
        first_message_deliveries_weight: first_deliveries_weight,
        first_message_deliveries_decay: first_deliveries_decay,
        first_message_deliveries_cap: first_deliveries_cap,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: invalid_weight,
        invalid_message_deliveries_decay: invalid_decay,
        ..TopicScoreParams::default()
    };
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    PeerScoreParams {
        topics: Topic::ALL.into_iter().map(|name| (IdentTopic::new(name.name(mesh)).hash(), topic.clone())).collect(),
        topic_score_cap: topic_cap,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: colocation_weight,
        ip_colocation_factor_threshold: colocation_threshold,
        ip_colocation_factor_whitelist: loopback.into_iter().collect(),
        behaviour_penalty_weight: behaviour_weight,
        behaviour_penalty_threshold: behaviour_threshold,
        behaviour_penalty_decay: behaviour_decay,
        slow_peer_weight: slow_weight,
        slow_peer_threshold: slow_threshold,
        slow_peer_decay: slow_decay,
        decay_interval: Duration::from_millis(decay_ms),
        decay_to_zero,
        retain_score: Duration::from_millis(retain_ms),
    }
}

fn thresholds(thresholds: &Thresholds) -> PeerScoreThresholds {
    let Thresholds { gossip, publish, graylist, accept_px, opportunistic_graft } = *thresholds;
    PeerScoreThresholds {
        gossip_threshold: gossip,
        publish_threshold: publish,
        graylist_threshold: graylist,
        accept_px_threshold: accept_px,
        opportunistic_graft_threshold: opportunistic_graft,
    }
}

#[cfg(test)]
mod tests;
