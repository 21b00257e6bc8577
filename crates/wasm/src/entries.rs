//! Knowledge as it crosses to JavaScript: entries, and what is told of them.

use mesh_core::knowledge::{Done, Event, Kept};
use mesh_proto::knowledge::{Change, Domain, Summary, Version};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tsify::Tsify;

use crate::error::MeshFault;
use crate::peer::{node, peer_text};
use crate::types::MeshEvent;

/// What an entry does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "kebab-case")]
pub enum EntryChange {
    /// Its key stands for content.
    Put,
    /// Its key is taken away.
    Delete,
    /// These write in the domain too.
    Grant,
}

/// An entry that is current.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct EntryInfo {
    /// `name`, or `name@peerId` of the node whose domain it is.
    pub domain: String,
    /// Its key there.
    pub key: String,
    /// The hash of what its author signed, hex.
    pub id: String,
    /// Names it among all that was ever under its key: the author's clock, and the author.
    pub version: String,
    /// Who wrote it.
    pub author: String,
    /// When, unix milliseconds by the author's clock.
    pub written_at: u64,
    /// What it does.
    pub change: EntryChange,
    /// The root of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub cid: Option<String>,
    /// Bytes of the content.
    pub size: u64,
    /// How many nodes are to hold it beside the author.
    pub replicas: u8,
    /// How the content is to be read.
    #[serde(rename = "type")]
    pub kind: String,
    /// Opaque to the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub metadata: Option<ByteBuf>,
    /// Unix milliseconds from which on it counts as taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub expires_at: Option<u64>,
    /// Who writes in the domain beside its owner, of a grant.
    pub writers: Vec<String>,
    /// Versions that it replaces, of others.
    pub replaces: Vec<String>,
}

/// A key, and all that it stands for.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct KeyInfo {
    /// The key.
    pub key: String,
    /// The latest first.
    pub entries: Vec<EntryInfo>,
}

/// What is known of a domain.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct DomainInfo {
    /// `name`, or `name@peerId`.
    pub domain: String,
    /// Entries.
    pub entries: u64,
    /// A hash of them, equal where the same is known.
    pub digest: String,
}

/// What came of the comparison of a domain with a neighbour.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ComparedInfo {
    /// The neighbour.
    pub peer_id: String,
    /// The domain.
    pub domain: String,
    /// Entries that came and are current here now.
    pub received: usize,
    /// Entries that were offered.
    pub sent: usize,
    /// Whether it came to its end.
    pub whole: bool,
}

/// `name`, or `name@peerId`.
pub(crate) fn domain(text: &str) -> Result<Domain, MeshFault> {
    Ok(match text.rsplit_once('@') {
        Some((name, peer)) => Domain { name: name.to_owned(), owner: Some(node(peer)?) },
        None => Domain::shared(text),
    })
}

/// What [`domain`] reads.
pub(crate) fn domain_text(domain: &Domain) -> String {
    match &domain.owner {
        Some(owner) => format!("{}@{}", domain.name, peer_text(owner)),
        None => domain.name.clone(),
    }
}

pub(crate) fn version_text(Version(author, clock): &Version) -> String {
    format!("{:x}@{}", clock.0, peer_text(author))
}

pub(crate) fn entry(domain: &Domain, key: &str, kept: &Kept) -> EntryInfo {
    let Kept { id, version, change, replaces, expires, wire: _ } = kept;
    let (change, content, writers) = match change {
        Change::Put(content) => (EntryChange::Put, Some(content), [].as_slice()),
        Change::Delete => (EntryChange::Delete, None, [].as_slice()),
        Change::Grant(writers) => (EntryChange::Grant, None, writers.as_slice()),
    };
    EntryInfo {
        domain: domain_text(domain),
        key: key.to_owned(),
        id: id.to_string(),
        version: version_text(version),
        author: peer_text(&version.0),
        written_at: version.1.unix_ms(),
        change,
        cid: content.map(|content| content.cid.to_string()),
        size: content.map_or(0, |content| content.size),
        replicas: content.map_or(0, |content| content.replicas),
        kind: content.map(|content| content.kind.clone()).unwrap_or_default(),
        metadata: content.and_then(|content| content.metadata.clone()),
        expires_at: *expires,
        writers: writers.iter().map(peer_text).collect(),
        replaces: replaces.iter().map(version_text).collect(),
    }
}

pub(crate) fn summary(summary: &Summary) -> DomainInfo {
    let Summary { domain, count, digest } = summary;
    DomainInfo { domain: domain_text(domain), entries: *count, digest: digest.to_string() }
}

pub(crate) fn compared(done: &Done) -> ComparedInfo {
    let Done { peer, domain, received, sent, whole } = done;
    ComparedInfo {
        peer_id: peer_text(peer),
        domain: domain_text(domain),
        received: *received,
        sent: *sent,
        whole: *whole,
    }
}

/// What JavaScript is told; nothing of what ends a call.
pub(crate) fn event(event: Event) -> Option<MeshEvent> {
    Some(match event {
        Event::Changed { domain, key, entry: kept, current } => {
            MeshEvent::KnowledgeChanged { entry: entry(&domain, &key, &kept), current }
        }
        Event::Expired { domain, key } => MeshEvent::KnowledgeExpired { domain: domain_text(&domain), key },
        Event::Held { cid, holders } => {
            MeshEvent::ContentHeld { cid: cid.to_string(), holders: holders.iter().map(peer_text).collect() }
        }
        Event::Repaired { cid } => MeshEvent::ContentRepaired { cid: cid.to_string() },
        Event::Compared(done) => MeshEvent::KnowledgeCompared { compared: compared(&done) },
        Event::Settled { .. } | Event::Holders { .. } => return None,
    })
}
