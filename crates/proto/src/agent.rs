//! Agents as they present themselves, and what others look for.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{Bounded, DecodeError, bound};
use crate::id::{AgentName, NodeId};
use crate::limits::{MAX_CAPABILITIES, MAX_LABEL, MAX_METADATA};

/// One agent, as its node announces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRecord {
    /// Its name within its node.
    pub name: AgentName,
    /// What sort of agent it is, for example `researcher`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What it can do. Sorted and without repeats, so that equal agents have equal bytes.
    pub capabilities: Vec<String>,
    /// What it has to do it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Opaque to the mesh, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ByteBuf>,
}

/// What an agent says it has; units are the application's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Processor share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// What it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specialization: Option<String>,
}

impl AgentRecord {
    /// An agent with capabilities and nothing else to say.
    pub fn new(name: AgentName, capabilities: impl IntoIterator<Item = String>) -> Self {
        let mut capabilities: Vec<_> = capabilities.into_iter().collect();
        capabilities.sort_unstable();
        capabilities.dedup();
        Self { name, kind: None, capabilities, resources: None, metadata: None }
    }
}

impl Bounded for AgentRecord {
    fn check(&self) -> Result<(), DecodeError> {
        check_label("type", self.kind.as_deref())?;
        check_capabilities(&self.capabilities)?;
        bound("metadata", self.metadata.as_ref().map_or(0, |bytes| bytes.len()), MAX_METADATA)?;
        let specialization = self.resources.as_ref().and_then(|r| r.specialization.as_deref());
        check_label("specialization", specialization)
    }
}

/// What a search asks for: every given part must match, and all capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criteria {
    /// Exactly this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    /// Exactly this type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// All of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// On this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
}

impl Criteria {
    /// Whether `agent` on `node` is one of those looked for.
    pub fn matches(&self, node: &NodeId, agent: &AgentRecord) -> bool {
        let Self { name, kind, capabilities, node: wanted_node } = self;
        wanted_node.as_ref().is_none_or(|wanted| wanted == node)
            && name.as_ref().is_none_or(|wanted| *wanted == agent.name)
            && (kind.is_none() || *kind == agent.kind)
            && capabilities.iter().all(|wanted| agent.capabilities.contains(wanted))
    }
}

impl Bounded for Criteria {
    fn check(&self) -> Result<(), DecodeError> {
        check_label("type", self.kind.as_deref())?;
        check_capabilities(&self.capabilities)
    }
}

fn check_label(what: &'static str, label: Option<&str>) -> Result<(), DecodeError> {
    bound(what, label.map_or(0, str::len), MAX_LABEL)
}

fn check_capabilities(capabilities: &[String]) -> Result<(), DecodeError> {
    bound("capabilities", capabilities.len(), MAX_CAPABILITIES)?;
    capabilities.iter().try_for_each(|capability| bound("capability", capability.len(), MAX_LABEL))
}
