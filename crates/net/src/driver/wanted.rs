//! What the core wants: its outputs, as calls of libp2p, tasks and events.

use futures::SinkExt as _;
use libp2p::gossipsub::{IdentTopic, MessageAcceptance, PublishError};
use mesh_core::intake::Verdict;
use mesh_core::node::{Output, Ticket};
use mesh_core::proposals;
use mesh_core::weights::{self, Command};

use super::*;
use crate::admit;
use crate::streams::OpenError;

impl<H: Host> Driver<H> {
    pub(super) fn carry_out(&mut self, output: Output, now: Now) {
        match output {
            Output::Dial { peer, addresses } => self.dial(peer, &addresses, now),
            Output::Reserve { peer } => self.reserve(peer),
            Output::Upgrade { peer } => self.upgrade(peer, now),
            Output::Disconnect { peer } => {
                if let Some(peer) = peer_of(&peer) {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            Output::CloseRelayed { peer } => self.close_relayed(&peer),
            Output::Publish { topic, wire } => self.publish(topic, wire, now),
            Output::Verdict { ticket, verdict } => self.validated(ticket, verdict),
            Output::Join { peer, request } => match peer_of(&peer) {
                Some(id) => {
                    let opening = self.swarm.behaviour_mut().streams.open(id, crate::join::PROTOCOL);
                    mesh_platform::spawn(crate::join::ask(opening, peer, request, self.reports.clone()));
                }
                None => self.node.handle(Input::JoinFailed { from: peer }, now),
            },
            Output::JoinReply { ticket, replies } => {
                if let Some(respond) = self.tickets.joins.remove(&ticket) {
                    let _ = respond.send(replies);
                }
            }
            Output::OpenDirect { to } => self.open_direct(to),
            Output::ResetDirect { from } => self.break_inbound(&from),
            Output::Direct { to, frame } => self.send_direct(to, frame, now),
            Output::Transfer(command) => self.transfer(command),
            Output::Keep { ticket: Ticket::Knowledge(write), changes } => self.keep_entries(write, changes),
            Output::Keep { ticket, changes } => {
                let keeping = store::keep(self.store.clone(), ticket, changes);
                let mut reports = self.reports.clone();
                mesh_platform::spawn(async move {
                    // Who is closed need not know.
                    let _ = reports.send(Report::Input(keeping.await)).await;
                });
            }
            Output::Auth { to, frame } => self.show(to, frame),
            Output::Admit { peer } => self.admit(peer, now),
            Output::AskAdmission { to, request } => {
                if let Some(peer) = peer_of(&to) {
                    let opening = self.swarm.behaviour_mut().streams.open(peer, admit::ADMIT);
                    mesh_platform::spawn(admit::renew(opening, request, self.reports.clone()));
                }
            }
            Output::AdmitReply { ticket, answer } => {
                if let Some(respond) = self.tickets.admissions.remove(&ticket) {
                    let _ = respond.send(answer);
                }
            }
            Output::Settled { write, durable } => self.settle(write, durable),
            Output::Blocks(command) => self.on_blocks_command(command, now),
            Output::Event(event) => self.tell(event),
        }
    }

    pub(super) fn transfer(&mut self, command: Command) {
        let streams = &mut self.swarm.behaviour_mut().streams;
        self.transfers.carry_out(command, |to| {
            let opening = peer_of(&to).map(|peer| streams.open(peer, transfer::PROTOCOL));
            async move {
                match opening {
                    Some(opening) => opening.stream().await,
                    None => Err(OpenError::Failed),
                }
            }
        });
    }

    fn publish(&mut self, topic: Topic, wire: Bytes, now: Now) {
        // Behind those that wait, so that what one node says stays in order.
        if !self.congested.is_empty() {
            return self.congest(topic, wire, now);
        }
        if let Some((topic, wire)) = self.try_publish(topic, wire, now) {
            self.congest(topic, wire, now);
        }
    }

    /// Publishes, or gives back what found every neighbour's queue full.
    fn try_publish(&mut self, topic: Topic, wire: Bytes, now: Now) -> Option<(Topic, Bytes)> {
        let name = IdentTopic::new(topic.name(&self.mesh));
        match self.swarm.behaviour_mut().gossipsub.publish(name, wire.clone()) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(PublishError::AllQueuesFull(_)) => return Some((topic, wire)),
            Err(PublishError::NoPeersSubscribedToTopic) => {
                self.node.handle(Input::Unpublished { topic, wire }, now);
            }
            Err(error) => tracing::warn!(%error, "not published"),
        }
        None
    }

    fn congest(&mut self, topic: Topic, wire: Bytes, now: Now) {
        if self.congested.len() == MAX_CONGESTED
            && let Some((topic, wire)) = self.congested.pop_front()
        {
            self.node.handle(Input::Unpublished { topic, wire }, now);
        }
        self.congested.push_back((topic, wire));
    }

    /// Publishes what waits, as far as there is room.
    pub(super) fn retry_congested(&mut self, now: Now) {
        while let Some((topic, wire)) = self.congested.pop_front() {
            if let Some(still) = self.try_publish(topic, wire, now) {
                self.congested.push_front(still);
                return;
            }
        }
    }

    fn validated(&mut self, ticket: u64, verdict: Verdict) {
        let Some((message, source)) = self.tickets.gossip.remove(&ticket) else {
            return;
        };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
        gossipsub.report_message_validation_result(&message, &source, acceptance);
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event, now: Now) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let topic = gossip::topic_of(&self.mesh, &message.topic);
                let (Some(topic), Some(from)) = (topic, node_of(&propagation_source)) else {
                    return;
                };
                let ticket = self.ticket();
                self.tickets.gossip.insert(ticket, (message_id, propagation_source));
                let input = Input::Gossip { ticket, from, topic, wire: message.data.into() };
                self.node.handle(input, now);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                let topic = gossip::topic_of(&self.mesh, &topic);
                if let (Some(topic), Some(peer)) = (topic, node_of(&peer_id)) {
                    self.node.handle(Input::Listener { peer, topic }, now);
                }
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                let Some(peer) = node_of(&peer_id) else { return };
                if self.links.contains_key(&peer) && self.slow.missed(peer, now) {
                    tracing::info!(peer = %peer_id, "does not read what it is sent: disconnected");
                    let _ = self.swarm.disconnect_peer_id(peer_id);
                }
            }
            gossipsub::Event::Unsubscribed { .. } | gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    fn open_direct(&mut self, to: NodeId) {
        let Some(peer) = peer_of(&to) else { return };
        let generation = self.ticket();
        self.directs.insert(to, Box::new(Direct { generation, frames: None }));
        let opening = self.swarm.behaviour_mut().streams.open(peer, direct::PROTOCOL);
        mesh_platform::spawn(direct::write(opening, to, generation, self.reports.clone()));
    }

    fn send_direct(&mut self, to: NodeId, frame: Frame, now: Now) {
        let frames = self.directs.get_mut(&to).and_then(|direct| direct.frames.as_mut());
        let sent = frames.is_some_and(|frames| frames.try_send(frame).is_ok());
        if !sent {
            self.renew_stream(to, now);
        }
    }

    pub(super) fn on_report(&mut self, report: Report, now: Now) {
        match report {
            Report::Input(input) => self.node.handle(input, now),
            Report::Frame { from, stream, frame } => {
                // What a stream that was broken had still under way counts no more: its successor brings it again.
                if self.inbound.get(&from).is_some_and(|open| open.contains_key(&stream)) {
                    let input = mesh_core::messaging::Input::Frame { from, frame };
                    self.node.handle(Input::Direct(input), now);
                }
            }
            Report::Opened { peer, generation, frames } => {
                let direct = self.directs.get_mut(&peer).filter(|direct| direct.generation == generation);
                if let Some(direct) = direct {
                    direct.frames = Some(frames);
                    let opened = mesh_core::messaging::Input::Opened { peer };
                    self.node.handle(Input::Direct(opened), now);
                }
            }
            Report::Closed { peer, generation } => {
                let current = self.directs.get(&peer).is_some_and(|direct| direct.generation == generation);
                if current {
                    self.directs.remove(&peer);
                    let closed = mesh_core::messaging::Input::Closed { peer };
                    self.node.handle(Input::Direct(closed), now);
                }
            }
            Report::InboundEnded { peer, stream } => {
                if let Some(open) = self.inbound.get_mut(&peer) {
                    open.remove(&stream);
                    if open.is_empty() {
                        self.inbound.remove(&peer);
                    }
                }
            }
            Report::ServingEnded { peer } => {
                if let Some(open) = self.serving.get_mut(&peer) {
                    *open -= 1;
                    if *open == 0 {
                        self.serving.remove(&peer);
                    }
                }
            }
            Report::EntriesKept { writes, durable } => self.entries_kept(writes, durable, now),
            Report::AdmitRequest { from, request, respond } => {
                let ticket = self.ticket();
                self.tickets.admissions.insert(ticket, respond);
                self.node.handle(Input::AdmitRequest { ticket, from, request }, now);
            }
            Report::JoinRequest { from, request, respond } => {
                let ticket = self.ticket();
                self.tickets.joins.insert(ticket, respond);
                self.node.handle(Input::JoinRequest { ticket, from, request }, now);
            }
        }
    }

    /// Tells those who wait for the end of a slot.
    fn tell_of_slot(&mut self, event: &proposals::Event) {
        let (slot, ending) = match event {
            proposals::Event::Decided { slot, ended } => (slot, Ending::Decided(ended.clone())),
            proposals::Event::NoQuorum { slot, tally: _ } => (slot, Ending::NoQuorum),
            proposals::Event::Opened { .. }
            | proposals::Event::Voted { .. }
            | proposals::Event::Guilty { .. }
            | proposals::Event::Electorate { .. }
            | proposals::Event::StoreFailed => return,
        };
        for reply in self.waiting.slots.remove(slot).unwrap_or_default() {
            let _ = reply.send(ending.clone());
        }
    }

    /// Gives an event to whoever waits for it, else to the application.
    fn tell(&mut self, event: node::Event) {
        if let node::Event::Decision(event) = &event {
            self.tell_of_slot(event);
        }
        match event {
            node::Event::Sent { call, receipt } => {
                if let Some(reply) = self.waiting.sends.remove(&call) {
                    let _ = reply.send(Ok(receipt));
                }
            }
            node::Event::SendFailed { call, error } => {
                if let Some(reply) = self.waiting.sends.remove(&call) {
                    let _ = reply.send(Err(error));
                }
            }
            node::Event::Directory(directory::Event::Found { id, agents }) => {
                if let Some(reply) = self.waiting.searches.remove(&id) {
                    let _ = reply.send(Ok(agents));
                }
            }
            node::Event::Weights(weights::Event::Shared { id, peer, bytes, resumed, duration_ms }) => {
                if let Some(reply) = self.waiting.shares.remove(&(peer, id)) {
                    let _ = reply.send(Ok(Shared { id, peer, bytes, resumed, duration_ms }));
                }
            }
            node::Event::Weights(weights::Event::ShareFailed { id, peer, error }) => {
                if let Some(reply) = self.waiting.shares.remove(&(peer, id)) {
                    let _ = reply.send(Err(error.into()));
                }
            }
            node::Event::Weights(weights::Event::Received { id, from }) => {
                if let Some((manifest, chunks)) = self.transfers.take(from, id) {
                    self.events.push(Event::Weights { from, manifest, chunks });
                }
            }
            node::Event::Knowledge(event) => self.tell_knowledge(event),
            event @ (node::Event::Seed { .. }
            | node::Event::Joined { .. }
            | node::Event::PeerConnected { .. }
            | node::Event::PathChanged { .. }
            | node::Event::PeerDisconnected { .. }
            | node::Event::PeerSuspected { .. }
            | node::Event::PeerRecovered { .. }
            | node::Event::Split { .. }
            | node::Event::Whole
            | node::Event::Directory(_)
            | node::Event::Message(_)
            | node::Event::Broadcast { .. }
            | node::Event::Weights(_)
            | node::Event::Decision(_)
            | node::Event::Access(_)
            | node::Event::Offence { .. }) => self.events.push(Event::Core(event)),
        }
    }
}
