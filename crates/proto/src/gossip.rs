//! Payloads of envelopes: what is said to the whole mesh.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::agent::{AgentRecord, Criteria};
use crate::codec::{Bounded, DecodeError, bound};
use crate::envelope::payload;
use crate::id::{MessageId, NodeId};
use crate::limits::{MAX_ADDRESS, MAX_ADDRESSES, MAX_AGENTS_PER_NODE, MAX_BATCH, MAX_BODY, MAX_KNOWN, MAX_LABEL};

/// Everything a node has to announce, under one signature: it replaces what the node announced before.
///
/// An agent that is no longer listed is withdrawn, so there is no message to withdraw one and none to lose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Where the node can be reached, as multiaddrs.
    pub addresses: Vec<String>,
    /// Its agents.
    pub agents: Vec<AgentRecord>,
    /// Whether the node is leaving: it has no agents then, and is forgotten at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

impl Bounded for Announcement {
    fn check(&self) -> Result<(), DecodeError> {
        bound("addresses", self.addresses.len(), MAX_ADDRESSES)?;
        self.addresses.iter().try_for_each(|address| bound("address", address.len(), MAX_ADDRESS))?;
        bound("agents", self.agents.len(), MAX_AGENTS_PER_NODE)?;
        self.agents.iter().try_for_each(Bounded::check)
    }
}

/// Who has agents like these? Nodes that do, and are not `known`, announce themselves again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Drawn at random.
    pub id: MessageId,
    /// What is looked for.
    pub criteria: Criteria,
    /// Matching nodes that the asker knows already, so that they need not answer.
    pub known: Vec<Known>,
}

/// A node that an asker knows, and the announcement it knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known(pub NodeId, pub u64);

impl Bounded for Query {
    fn check(&self) -> Result<(), DecodeError> {
        bound("known", self.known.len(), MAX_KNOWN)?;
        self.criteria.check()
    }
}

/// I am here. Also tells which announcement is current, so that whoever missed it can fetch it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Sequence number of the sender's latest announcement.
    pub announced: u64,
}

impl Bounded for Heartbeat {
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Broadcasts of one node under one signature, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// At least one.
    pub items: Vec<Item>,
}

/// One broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The application's topic, at most 64 bytes; may be empty.
    pub topic: String,
    /// The application's bytes, at most 60 KiB.
    #[serde(with = "payload")]
    pub body: Bytes,
}

impl Bounded for Batch {
    fn check(&self) -> Result<(), DecodeError> {
        bound("items", self.items.len(), MAX_BATCH)?;
        self.items.iter().try_for_each(|item| {
            bound("topic", item.topic.len(), MAX_LABEL)?;
            bound("body", item.body.len(), MAX_BODY)
        })
    }
}
