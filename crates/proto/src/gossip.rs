//! Payloads of envelopes: what is said to the whole mesh.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::agent::{AgentRecord, Criteria};
use crate::codec::{Bounded, DecodeError, bound};
use crate::credential::Chain;
use crate::envelope::payload;
use crate::id::{MessageId, NodeId};
use crate::limits::{
    MAX_ADDRESS, MAX_ADDRESSES, MAX_AGENTS_PER_NODE, MAX_BATCH, MAX_BODY, MAX_KNOWN, MAX_LABEL, MAX_STORAGE,
};

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
    /// Whether it is a relay: it carries connections of members that cannot be dialled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relay: bool,
    /// The key that would sign its votes, if it can keep them: founders take it from here when they make it a voter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voting: Option<NodeId>,
    /// In a private mesh, what shows that it is a member; nothing for founders.
    #[serde(default, skip_serializing_if = "Chain::is_empty")]
    pub credentials: Chain,
    /// What room it gives to content of others, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// Room for content of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Bytes in all, at most 1 PiB.
    pub bytes: u64,
    /// Whether it is a program's own disk, and not a browser's storage, which goes with its tab.
    pub native: bool,
    /// What it fails together with: a rack, a site, at most 64 bytes. Two that say the same hold no two copies if there is a choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

impl Bounded for Storage {
    fn check(&self) -> Result<(), DecodeError> {
        if self.bytes > MAX_STORAGE {
            return Err(DecodeError::Malformed("storage: more than there is".into()));
        }
        bound("zone", self.zone.len(), MAX_LABEL)
    }
}

impl Bounded for Announcement {
    fn check(&self) -> Result<(), DecodeError> {
        bound("addresses", self.addresses.len(), MAX_ADDRESSES)?;
        self.addresses.iter().try_for_each(|address| bound("address", address.len(), MAX_ADDRESS))?;
        bound("agents", self.agents.len(), MAX_AGENTS_PER_NODE)?;
        self.agents.iter().try_for_each(Bounded::check)?;
        self.storage.iter().try_for_each(Bounded::check)?;
        self.credentials.check()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::{assert_bound, read_back};
    use crate::codec::{self, encode};
    use crate::credential::tests::largest_chain;
    use crate::limits::{MAX_ADMISSION, MAX_CREDENTIAL_CHAIN, MAX_ENVELOPE};

    fn agents(count: usize) -> Vec<AgentRecord> {
        (0..count).map(|n| AgentRecord::new(n.to_string().parse().unwrap(), [])).collect()
    }

    #[test]
    fn an_announcement_is_bounded() {
        let empty = Announcement::default;
        assert_bound("addresses", 8, |count| Announcement { addresses: vec!["/a".into(); count], ..empty() });
        assert_bound("address", 256, |len| Announcement { addresses: vec!["x".repeat(len)], ..empty() });
        assert_bound("agents", 256, |count| Announcement { agents: agents(count), ..empty() });
        assert_bound("credentials", MAX_CREDENTIAL_CHAIN, |count| {
            let credentials = Chain(vec![largest_chain().0[0].clone(); count]);
            Announcement { credentials, ..empty() }
        });
        assert_bound("capabilities", 32, |count| {
            let mut agents = agents(2);
            agents[1].capabilities = (10..10 + count).map(|n| n.to_string()).collect();
            Announcement { agents, ..empty() }
        });
    }

    #[test]
    fn storage_is_bounded() {
        let storage = |zone: usize| Storage { bytes: 1, native: true, zone: "x".repeat(zone) };
        assert_bound("zone", 64, storage);
        assert_bound("zone", 64, |len| Announcement { storage: Some(storage(len)), ..Announcement::default() });
        let room = |bytes| Storage { bytes, native: false, zone: String::new() };
        assert_eq!(read_back(&room(1 << 50)), Ok(room(1 << 50)));
        for (bytes, announced) in [((1 << 50) + 1, false), (u64::MAX, false), ((1 << 50) + 1, true)] {
            let refused = match announced {
                true => read_back(&Announcement { storage: Some(room(bytes)), ..Announcement::default() }).map(drop),
                false => read_back(&room(bytes)).map(drop),
            };
            assert_eq!(refused, Err(DecodeError::Malformed("storage: more than there is".into())));
        }
    }

    #[test]
    fn what_storage_leaves_out_is_not_spelled_out() {
        let bytes = encode(&Storage { bytes: 7, native: true, zone: String::new() }, 100).unwrap();
        assert_eq!(bytes, b"\xa2\x65bytes\x07\x66native\xf5");
        let spelled_out = b"\xa3\x64zone\x60\x65bytes\x07\x66native\xf5";
        assert!(codec::decode::<Storage>(spelled_out, 100).is_err());
    }

    #[test]
    fn leaving_is_said_or_left_out() {
        let staying = encode(&Announcement::default(), 100).unwrap();
        let leaving = encode(&Announcement { leaving: true, ..Announcement::default() }, 100).unwrap();
        assert_eq!(staying, b"\xa2\x66agents\x80\x69addresses\x80");
        assert_eq!(leaving, b"\xa3\x66agents\x80\x67leaving\xf5\x69addresses\x80");
        let spelled_out: Vec<u8> = leaving.iter().map(|&byte| if byte == 0xf5 { 0xf4 } else { byte }).collect();
        assert!(codec::decode::<Announcement>(&spelled_out, 100).is_err());
    }

    #[test]
    fn a_query_is_bounded() {
        let query = |known: usize, capabilities: usize| Query {
            id: MessageId([1; 16]),
            criteria: Criteria { capabilities: vec!["x".into(); capabilities], ..Criteria::default() },
            known: vec![Known(NodeId([2; 32]), 3); known],
        };
        assert_bound("known", 128, |count| query(count, 1));
        assert_bound("capabilities", 32, |count| query(1, count));
        assert_eq!(read_back(&query(0, 0)), Ok(query(0, 0)));
    }

    #[test]
    fn a_batch_is_bounded() {
        let batch = |items: usize, topic: usize, body: usize| Batch {
            items: vec![Item { topic: "x".repeat(topic), body: vec![0; body].into() }; items],
        };
        assert_bound("items", 1024, |count| batch(count, 0, 0));
        assert_bound("topic", 64, |len| batch(2, len, 0));
        assert_bound("body", 60 * 1024, |len| batch(1, 0, len));
    }

    #[test]
    fn the_largest_of_each_fits_an_envelope() {
        // Its other fields and its seal take less than 512 bytes.
        const ROOM: usize = MAX_ENVELOPE - 512;
        let query = Query {
            id: MessageId([1; 16]),
            criteria: Criteria {
                name: Some("x".repeat(64).parse().unwrap()),
                kind: Some("x".repeat(64)),
                capabilities: vec!["x".repeat(64); 32],
                node: Some(NodeId([1; 32])),
            },
            known: vec![Known(NodeId([2; 32]), u64::MAX); 128],
        };
        encode(&query, ROOM).unwrap();
        encode(&Announcement { credentials: largest_chain(), ..Announcement::default() }, MAX_ADMISSION).unwrap();
        encode(&Batch { items: vec![Item { topic: "x".repeat(64), body: vec![0; MAX_BODY].into() }] }, ROOM).unwrap();
        encode(&Heartbeat { announced: u64::MAX }, ROOM).unwrap();
    }
}
