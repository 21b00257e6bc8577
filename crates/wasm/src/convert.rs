//! Between the core's types and those that cross to JavaScript.

use mesh_core::Mono;
use mesh_core::directory::{self, SearchOptions};
use mesh_core::metrics::Metrics;
use mesh_core::node::{Target, Topology};
use mesh_proto::agent::{AgentRecord, Criteria, Resources};
use mesh_proto::id::Checksum;
use mesh_proto::transfer::{self, Codec};
use mesh_proto::{AgentName, NodeId, ordered};

use crate::error::MeshFault;
use crate::peer::{node, peer_text};
use crate::types::{
    AgentCriteria, AgentInfo, AgentResources, DiscoverOptions, LinkInfo, MeshHealth, MeshMetrics, NetworkTopology,
    PeerAgent, PeerInfo, PeerStatus, WeightsCodec, WeightsInfo,
};

pub(crate) fn name(name: &str) -> Result<AgentName, MeshFault> {
    Ok(name.parse()?)
}

/// `name@peerId`, a peer id, or a name.
pub(crate) fn target(text: &str) -> Result<Target, MeshFault> {
    if let Some((agent, peer)) = text.rsplit_once('@') {
        return Ok(Target::Agent(name(agent)?, Some(node(peer)?)));
    }
    match node(text) {
        Ok(node) => Ok(Target::Node(node)),
        Err(_) => Ok(Target::Agent(name(text)?, None)),
    }
}

/// What [`target`] reads.
pub(crate) fn agent_id(name: Option<&AgentName>, peer: &str) -> String {
    match name {
        Some(name) => format!("{name}@{peer}"),
        None => peer.to_owned(),
    }
}

pub(crate) fn record(agent: AgentInfo) -> Result<AgentRecord, MeshFault> {
    let AgentInfo { name, kind, capabilities, resources, metadata } = agent;
    let resources =
        resources.map(|AgentResources { cpu, memory, specialization }| Resources { cpu, memory, specialization });
    Ok(AgentRecord { kind, resources, metadata, ..AgentRecord::new(name.parse()?, capabilities) })
}

pub(crate) fn criteria(criteria: AgentCriteria) -> Result<Criteria, MeshFault> {
    let AgentCriteria { name, kind, capabilities, peer } = criteria;
    Ok(Criteria {
        name: name.map(|name| name.parse()).transpose()?,
        kind,
        capabilities: capabilities.unwrap_or_default(),
        node: peer.map(|peer| node(&peer)).transpose()?,
    })
}

pub(crate) fn search(options: DiscoverOptions) -> SearchOptions {
    let DiscoverOptions { limit, timeout_ms, quiet_ms } = options;
    let default = SearchOptions::default();
    SearchOptions {
        limit: limit.map(|limit| limit as usize),
        timeout_ms: millis(timeout_ms, default.timeout_ms),
        quiet_ms: millis(quiet_ms, default.quiet_ms),
    }
}

/// JavaScript's numbers as milliseconds: what is no duration counts as none.
pub(crate) fn millis(given: Option<f64>, default: u64) -> u64 {
    given.map_or(default, |millis| millis.ceil() as u64)
}

pub(crate) fn agent(agent: directory::PeerAgent) -> PeerAgent {
    let directory::PeerAgent { node, record, announced, local } = agent;
    let peer_id = peer_text(&node);
    let resources = record.resources.map(|Resources { cpu, memory, specialization }| AgentResources {
        cpu,
        memory,
        specialization,
    });
    PeerAgent {
        id: agent_id(Some(&record.name), &peer_id),
        name: record.name.into(),
        peer_id,
        kind: record.kind,
        capabilities: record.capabilities,
        resources,
        metadata: record.metadata,
        announced_at: announced,
        local,
    }
}

pub(crate) fn weights(info: WeightsInfo) -> Result<transfer::WeightsInfo, MeshFault> {
    let WeightsInfo { agent_id, name, format, codec, raw_size, checksum, metadata } = info;
    Ok(transfer::WeightsInfo {
        agent: agent_id,
        name,
        format,
        codec: match codec {
            WeightsCodec::None => Codec::None,
            WeightsCodec::Gzip => Codec::Gzip,
        },
        raw_size,
        checksum: Checksum(bytes32(&checksum).ok_or_else(|| MeshFault::invalid("a checksum is 64 hex digits"))?),
        metadata,
    })
}

pub(crate) fn weights_info(info: &transfer::WeightsInfo) -> WeightsInfo {
    let transfer::WeightsInfo { agent, name, format, codec, raw_size, checksum, metadata } = info.clone();
    WeightsInfo {
        agent_id: agent,
        name,
        format,
        codec: match codec {
            Codec::None => WeightsCodec::None,
            Codec::Gzip => WeightsCodec::Gzip,
        },
        raw_size,
        checksum: checksum.to_string(),
        metadata,
    }
}

/// 64 hex digits.
pub(crate) fn bytes32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

pub(crate) fn topology(
    (peer_id, mesh_id): (String, String),
    topology: Topology,
    relay: impl Fn(&NodeId) -> bool,
    now: Mono,
) -> NetworkTopology {
    let links = topology.links.iter().map(|(node, (link, why))| LinkInfo {
        peer_id: peer_text(node),
        relayed: link.relayed,
        reason: why.as_ref().map(ToString::to_string),
        address: link.address.clone(),
        rtt_ms: link.rtt_ms,
        connected_ms: now.since(link.since),
        relay: relay(node),
    });
    let peers = topology.peers.iter().map(|(node, (peer, agents))| PeerInfo {
        peer_id: peer_text(node),
        status: match peer.suspect {
            true => PeerStatus::Suspect,
            false => PeerStatus::Alive,
        },
        last_heard_ms: now.since(peer.last_heard),
        agents: *agents,
    });
    let health = MeshHealth::from(&topology.condition);
    NetworkTopology { peer_id, mesh_id, links: links.collect(), peers: peers.collect(), health }
}

/// By camelCase name.
pub(crate) fn metrics(metrics: &Metrics) -> MeshMetrics {
    let counters = metrics.entries().map(|(name, _, value)| (camel_case(name, '_'), value));
    let offences = metrics.offences().map(|(offence, count)| (camel_case(&format!("offence-{offence}"), '-'), count));
    MeshMetrics(ordered(counters.chain(offences)))
}

fn camel_case(name: &str, separator: char) -> String {
    let mut parts = name.split(separator);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut name, part| {
        let mut letters = part.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

/// What is safe to repeat of a text.
pub(crate) fn brief(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
