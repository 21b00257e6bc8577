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
        if !self.capabilities.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Malformed("capabilities are not sorted, or repeat".into()));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::{assert_bound, read_back};
    use crate::codec::{EncodeError, encode};

    fn agent(capabilities: usize) -> AgentRecord {
        AgentRecord::new("a".parse().unwrap(), (0..capabilities).map(|n| n.to_string()))
    }

    fn text(len: usize) -> Option<String> {
        Some("x".repeat(len))
    }

    #[test]
    fn an_agent_is_bounded() {
        assert_bound("capabilities", 32, agent);
        assert_bound("capability", 64, |len| AgentRecord { capabilities: vec!["x".repeat(len)], ..agent(0) });
        assert_bound("type", 64, |len| AgentRecord { kind: text(len), ..agent(1) });
        assert_bound("metadata", 1024, |len| AgentRecord { metadata: Some(ByteBuf::from(vec![0; len])), ..agent(1) });
        assert_bound("specialization", 64, |len| {
            let resources = Resources { specialization: text(len), ..Resources::default() };
            AgentRecord { resources: Some(resources), ..agent(1) }
        });
    }

    #[test]
    fn criteria_are_bounded() {
        let criteria =
            |count: usize, len: usize| Criteria { capabilities: vec!["x".repeat(len); count], ..Criteria::default() };
        assert_bound("capabilities", 32, |count| criteria(count, 1));
        assert_bound("capability", 64, |len| criteria(1, len));
        assert_bound("type", 64, |len| Criteria { kind: text(len), ..Criteria::default() });
    }

    #[test]
    fn equal_agents_have_equal_bytes() {
        let capabilities = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let agent = AgentRecord::new("a".parse().unwrap(), capabilities(&["b", "a", "b"]));
        assert_eq!(agent.capabilities, ["a", "b"]);
        for wrong in [&["b", "a"][..], &["a", "a"]] {
            let wrong = AgentRecord { capabilities: capabilities(wrong), ..agent.clone() };
            assert!(matches!(read_back(&wrong), Err(DecodeError::Malformed(_))), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_have_no_encoding() {
        let resources = Resources { cpu: Some(f64::NAN), ..Resources::default() };
        let agent = AgentRecord { resources: Some(resources), ..agent(0) };
        assert!(matches!(encode(&agent, 1000), Err(EncodeError::Unencodable(_))));
    }

    #[test]
    fn every_given_part_of_the_criteria_must_match() {
        let node = NodeId([1; 32]);
        let mut agent = AgentRecord::new("ada".parse().unwrap(), ["sum".into(), "tell".into()]);
        agent.kind = Some("researcher".into());
        let any = Criteria::default();
        let name = |name: &str| Criteria { name: Some(name.parse().unwrap()), ..any.clone() };
        let kind = |kind: &str| Criteria { kind: Some(kind.into()), ..any.clone() };
        let can =
            |what: &[&str]| Criteria { capabilities: what.iter().map(|&what| what.into()).collect(), ..any.clone() };
        let on = |node| Criteria { node: Some(NodeId([node; 32])), ..any.clone() };
        let cases = [
            (any.clone(), true),
            (name("ada"), true),
            (name("Ada"), false),
            (kind("researcher"), true),
            (kind("research"), false),
            (can(&["sum"]), true),
            (can(&["tell", "sum"]), true),
            (can(&["sum", "dance"]), false),
            (on(1), true),
            (on(2), false),
            (Criteria { node: Some(NodeId([2; 32])), ..name("ada") }, false),
        ];
        for (criteria, expected) in cases {
            assert_eq!(criteria.matches(&node, &agent), expected, "{criteria:?}");
        }
        agent.kind = None;
        assert!(!kind("researcher").matches(&node, &agent), "no type is not any type");
    }
}
