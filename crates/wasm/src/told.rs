//! Events of the core as JavaScript is told of them, and the receipts of those that it has to acknowledge.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mesh_core::node::{self, Incoming};
use mesh_core::{access, directory, weights};
use mesh_proto::NodeId;
use mesh_proto::credential::CredentialError;

use crate::convert;
use crate::decisions;
use crate::entries;
use crate::error::code_of_receive;
use crate::peer::peer_text;
use crate::types::{ExpelledReason, JsBytes, LeftReason, MeshEvent, TransferDirection};

/// Messages that JavaScript was given and has not taken yet. Bounded by the senders' windows.
#[derive(Default)]
pub(crate) struct Receipts(RefCell<Issued>);

#[derive(Default)]
struct Issued {
    last: u32,
    /// Sender, its run and the message's number, by receipt.
    open: BTreeMap<u32, (NodeId, u64, u64)>,
}

impl Receipts {
    fn issue(&self, message: (NodeId, u64, u64)) -> u32 {
        let issued = &mut *self.0.borrow_mut();
        issued.last = issued.last.wrapping_add(1);
        issued.open.insert(issued.last, message);
        issued.last
    }

    /// The message of a receipt, once.
    pub(crate) fn redeem(&self, receipt: u32) -> Option<(NodeId, u64, u64)> {
        self.0.borrow_mut().open.remove(&receipt)
    }
}

/// The id of a message, unique for its sender.
pub(crate) fn message_id(session: u64, number: u64) -> String {
    format!("{session:x}-{number:x}")
}

/// What JavaScript is told of an event of the core; nothing of those that end a call.
pub(crate) fn core(event: node::Event, receipts: &Receipts) -> Option<MeshEvent> {
    Some(match event {
        node::Event::Seed { peer, connected: true } => MeshEvent::RelayConnected { peer_id: peer_text(&peer) },
        node::Event::Seed { peer, connected: false } => MeshEvent::RelayDisconnected { peer_id: peer_text(&peer) },
        node::Event::Joined { peer, agents } => MeshEvent::Joined { peer_id: peer_text(&peer), agents },
        node::Event::PeerConnected { peer, relayed } => MeshEvent::PeerConnected { peer_id: peer_text(&peer), relayed },
        node::Event::PathChanged { peer, relayed } => MeshEvent::PathChanged { peer_id: peer_text(&peer), relayed },
        node::Event::PeerDisconnected { peer } => MeshEvent::PeerDisconnected { peer_id: peer_text(&peer) },
        node::Event::PeerSuspected { peer } => MeshEvent::PeerSuspected { peer_id: peer_text(&peer) },
        node::Event::PeerRecovered { peer } => MeshEvent::PeerRecovered { peer_id: peer_text(&peer) },
        node::Event::Split { lost, of } => MeshEvent::MeshSplit { lost, of },
        node::Event::Whole => MeshEvent::MeshWhole,
        node::Event::Directory(event) => return directory(event),
        node::Event::Message(incoming) => message(incoming, receipts),
        node::Event::Broadcast { from, seq: (seq, place), clock, topic, body } => {
            let from = peer_text(&from);
            MeshEvent::Broadcast {
                id: format!("{seq:x}-{place:x}@{from}"),
                from,
                topic,
                body: JsBytes(body),
                sent_at: clock.unix_ms(),
            }
        }
        node::Event::Weights(event) => return weights(event),
        node::Event::Decision(event) => return Some(decisions::event(event)),
        node::Event::Knowledge(event) => return entries::event(event),
        node::Event::Access(access::Event::Renewed(standing)) => {
            MeshEvent::Membership { role: standing.role.into(), until: standing.until.saturating_mul(1_000) }
        }
        node::Event::Access(access::Event::Lost(error)) => MeshEvent::Expelled {
            reason: match error {
                CredentialError::Revoked => ExpelledReason::Revoked,
                CredentialError::Expired
                | CredentialError::Missing
                | CredentialError::NotTheirs
                | CredentialError::Forged
                | CredentialError::Issuer => ExpelledReason::Expired,
            },
        },
        node::Event::Access(access::Event::Redeemed { serial: _, node, role }) => {
            MeshEvent::InviteUsed { peer_id: peer_text(&node), role: role.into() }
        }
        // Of interest to who looks for a fault.
        node::Event::Access(access::Event::TurnedAway { .. }) => return None,
        node::Event::Offence { peer, offence } => {
            MeshEvent::Offence { peer_id: peer_text(&peer), offence: offence.to_string() }
        }
        // The driver gave these to whoever called.
        node::Event::Sent { .. } | node::Event::SendFailed { .. } => return None,
    })
}

fn directory(event: directory::Event) -> Option<MeshEvent> {
    Some(match event {
        directory::Event::Joined(agent) => MeshEvent::AgentJoined { agent: convert::agent(agent) },
        directory::Event::Updated(agent) => MeshEvent::AgentUpdated { agent: convert::agent(agent) },
        directory::Event::Left { id, reason } => MeshEvent::AgentLeft {
            id: convert::agent_id(Some(&id.name), &peer_text(&id.node)),
            reason: match reason {
                directory::LeftReason::Withdrawn => LeftReason::Withdrawn,
                directory::LeftReason::Expired => LeftReason::Expired,
            },
        },
        directory::Event::NodeLeft(_) | directory::Event::Found { .. } => return None,
    })
}

fn message(incoming: Incoming, receipts: &Receipts) -> MeshEvent {
    let Incoming { from, session, message } = incoming;
    MeshEvent::Message {
        id: message_id(session, message.number),
        from: convert::agent_id(message.from.as_ref(), &peer_text(&from)),
        to: message.to.map(String::from).unwrap_or_default(),
        body: JsBytes(message.body),
        receipt: receipts.issue((from, session, message.number)),
    }
}

fn weights(event: weights::Event) -> Option<MeshEvent> {
    Some(match event {
        weights::Event::Progress { id, direction, peer, bytes, total } => MeshEvent::WeightsProgress {
            transfer: id.to_string(),
            direction: match direction {
                weights::Direction::In => TransferDirection::In,
                weights::Direction::Out => TransferDirection::Out,
            },
            peer_id: peer_text(&peer),
            bytes,
            total,
        },
        weights::Event::ReceiveFailed { id, from, error } => MeshEvent::WeightsFailed {
            transfer: id.to_string(),
            direction: TransferDirection::In,
            peer_id: peer_text(&from),
            code: code_of_receive(error),
            message: error.to_string(),
        },
        weights::Event::Shared { .. } | weights::Event::ShareFailed { .. } | weights::Event::Received { .. } => {
            return None;
        }
    })
}
