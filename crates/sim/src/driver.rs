//! The driver of a simulated host: as mesh-net's, it turns what happens into inputs of the core, and what the core wants into
//! what happens. It decides nothing.
//!
//! The bytes of weights are not simulated: a transfer that is offered is told that the receiver does not do them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_core::messaging;
use mesh_core::node::{Event as Told, Input, Output, Ticket};
use mesh_core::paths::Failure;
use mesh_core::records::Change;
use mesh_core::weights::{self, Command};
use mesh_proto::protocol::Topic;

use crate::conn::ConnId;
use crate::frame::Frame;
use crate::host::{Peer, Stream};
use crate::id::{HostId, Micros};
use crate::overlay::{self, Message, PublishError};
use crate::world::{Happening, World};

/// Message streams that one peer may have open to a host (mesh-net's limit).
const MAX_INBOUND: usize = 4;

impl World {
    /// Takes in what happened to `id`, whose process runs.
    pub(crate) fn happened(&mut self, id: HostId, what: Happening) {
        match what {
            Happening::Timer(due) => self.timer(id, due),
            Happening::Connected(conn) => self.connected(id, conn),
            Happening::Closed(conn) => self.closed(id, conn),
            Happening::NotDialled(to) => {
                self.fetch_elsewhere(id, to);
                let peer = self.host(to).node;
                self.input(id, Input::DialFailed { peer });
            }
            Happening::NotUpgraded(to, failure) => {
                let peer = self.host(to).node;
                let failure = Failure::Failed(failure.to_owned());
                self.input(id, Input::UpgradeFailed { peer, failure });
            }
            Happening::Reserved(relay) => self.reserved(id, relay),
            Happening::Frame(conn, frame) => self.frame(id, conn, frame),
            Happening::Pinged(peer, micros) => {
                let peer = self.host(peer).node;
                self.input(id, Input::RoundTrip { peer, millis: Micros(micros).ms() });
            }
        }
    }

    /// Tells a host's node something.
    pub(crate) fn input(&mut self, id: HostId, input: Input) {
        let now = self.host(id).now(self.time);
        if let Some(process) = self.process(id) {
            process.due = None;
            process.node.handle(input, now);
        }
    }

    /// Carries out what a host's overlay and node want, until they want nothing more.
    pub(crate) fn settle(&mut self, id: HostId) {
        loop {
            let Some(process) = self.process(id) else { return };
            if let Some(output) = process.overlay.poll_output() {
                self.overlay_wants(id, output);
            } else if let Some(output) = process.node.poll_output() {
                self.node_wants(id, output);
            } else {
                break;
            }
        }
        self.arm(id);
    }

    fn timer(&mut self, id: HostId, due: Micros) {
        let host = self.host_mut(id);
        if host.timer != Some(due) {
            return;
        }
        host.timer = None;
        let now = self.host(id).now(self.time);
        let Some(process) = self.process(id) else { return };
        if process.overlay.poll_timeout() <= now.mono {
            process.overlay.handle_timeout(now.mono);
        }
        if process.node.poll_timeout().is_some_and(|(due, _)| due <= now.mono) {
            process.due = None;
            process.node.handle_timeout(now);
        }
    }

    fn connected(&mut self, id: HostId, conn: ConnId) {
        let Some(open) = self.conns.get(conn) else { return };
        let (peer, outbound, relayed) = (open.other(id), open.ends[0] == id, open.relay.is_some());
        let (address, node) = (self.host(peer).spec.address, self.host(peer).node);
        let mono = self.host(id).now(self.time).mono;
        let Some(process) = self.process(id) else { return };
        let conns = &mut process.links.entry(peer).or_insert_with(|| Peer { node, conns: BTreeMap::new() }).conns;
        let first = conns.is_empty();
        let handed_over = !relayed && !first && conns.values().all(|relayed| *relayed);
        conns.insert(conn, relayed);
        if first {
            process.overlay.connected(peer, outbound, address, mono);
        }
        self.linked(id, peer);
        if handed_over {
            self.renew_stream(id, peer);
        }
        if first {
            self.fetch_on(id, peer, conn);
        }
    }

    /// Tells a node of its best connection to `peer`.
    fn linked(&mut self, id: HostId, peer: HostId) {
        let Some(process) = self.process(id) else { return };
        let Some(Peer { node, conns }) = process.links.get(&peer) else { return };
        let (node, relayed) = (*node, conns.values().all(|relayed| *relayed));
        let address = if relayed { format!("/sim/relayed/{}", peer.0) } else { format!("/sim/{}", peer.0) };
        self.input(id, Input::Connected { peer: node, relayed, address });
    }

    fn closed(&mut self, id: HostId, conn: ConnId) {
        let mono = self.host(id).now(self.time).mono;
        let Some(process) = self.process(id) else { return };
        let Some((peer, link)) = process.links.iter_mut().find(|(_, peer)| peer.conns.contains_key(&conn)) else {
            return;
        };
        let (peer, node) = (*peer, link.node);
        link.conns.remove(&conn);
        let last = link.conns.is_empty();
        if last {
            process.links.remove(&peer);
            process.overlay.disconnected(peer, mono);
            process.streams.remove(&peer);
            process.inbound.remove(&peer);
        }
        let on_it = process.streams.get(&peer).is_some_and(|stream| stream.conn == conn);
        let asked_on_it = process.asking.get(&peer) == Some(&conn);
        let lost_place = !process.is_near(peer) && process.reservations.remove(&peer);
        if asked_on_it {
            process.asking.remove(&peer);
        }
        if asked_on_it {
            self.input(id, Input::JoinFailed { from: node });
        }
        if last {
            self.fetch_elsewhere(id, peer);
            self.input(id, Input::Disconnected { peer: node });
        } else {
            if on_it {
                self.renew_stream(id, peer);
            }
            self.linked(id, peer);
        }
        if lost_place {
            self.tell_addresses(id);
            // Whoever was reached through that relay is not any more.
            self.cut_circuits(id, peer);
        }
    }

    /// Ends the connections of `id` that `relay` carries: the connection to it is gone.
    fn cut_circuits(&mut self, id: HostId, relay: HostId) {
        let circuits: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.relay == Some(relay) && conn.ends.contains(&id))
            .map(|(id, _)| id)
            .collect();
        for circuit in circuits {
            self.close(circuit, Micros::from_ms(30));
        }
    }

    fn reserved(&mut self, id: HostId, relay: HostId) {
        let Some(process) = self.process(id) else { return };
        if process.is_near(relay) {
            process.reservations.insert(relay);
            self.tell_addresses(id);
        }
    }

    /// Tells a node where it can be reached.
    pub(crate) fn tell_addresses(&mut self, id: HostId) {
        let host = self.host(id);
        let Some(process) = &host.process else { return };
        let webrtc = if host.spec.ability == mesh_core::paths::Ability::Able { "/webrtc" } else { "" };
        let addresses: Vec<_> = match host.spec.public {
            true => vec![format!("/sim/{}", id.0)],
            false => {
                let through = |relay: &HostId| format!("/sim/{}/p2p-circuit{webrtc}/sim/{}", relay.0, id.0);
                process.reservations.iter().map(through).collect()
            }
        };
        if addresses != process.addresses {
            if let Some(process) = self.process(id) {
                process.addresses.clone_from(&addresses);
            }
            self.input(id, Input::Addresses(addresses));
        }
    }

    /// The connection to `peer` that is used for new streams.
    pub(crate) fn best(&self, id: HostId, peer: HostId) -> Option<ConnId> {
        let conns = &self.host(id).process.as_ref()?.links.get(&peer)?.conns;
        conns.iter().min_by_key(|(_, relayed)| **relayed).map(|(conn, _)| *conn)
    }

    fn renew_stream(&mut self, id: HostId, peer: HostId) {
        let node = self.host(peer).node;
        if self.process(id).is_some_and(|process| process.streams.remove(&peer).is_some()) {
            self.input(id, Input::Direct(messaging::Input::Closed { peer: node }));
        }
    }

    fn overlay_wants(&mut self, id: HostId, output: overlay::Output) {
        match output {
            overlay::Output::Send { to, rpc } => {
                // A link's gossip stays on the connection on which it began: the oldest.
                let conn = self
                    .host(id)
                    .process
                    .as_ref()
                    .and_then(|process| process.links.get(&to)?.conns.keys().next().copied());
                if let Some(conn) = conn {
                    self.send(conn, id, Frame::Gossip(rpc));
                }
            }
            overlay::Output::Message { from, message } => {
                let ticket = self.number();
                let (topic, wire) = (message.topic(), message.wire().clone());
                if let Some(process) = self.process(id) {
                    process.judged.insert(ticket, (message.id(), from));
                }
                self.ledger.hop(id, from, message.id());
                let from = self.host(from).node;
                self.input(id, Input::Gossip { ticket, from, topic, wire });
            }
            overlay::Output::Listener { peer, topic } => {
                let peer = self.host(peer).node;
                self.input(id, Input::Listener { peer, topic });
            }
        }
    }

    fn node_wants(&mut self, id: HostId, output: Output) {
        match output {
            Output::Dial { peer, addresses: _ } => match self.host_of(&peer).filter(|to| self.host(*to).node == peer) {
                Some(to) => self.dial(id, to),
                None => self.input(id, Input::DialFailed { peer }),
            },
            Output::Upgrade { peer } => {
                if let Some(to) = self.host_of(&peer) {
                    self.upgrade(id, to);
                }
            }
            Output::CloseRelayed { peer } => self.close_some(id, peer, true),
            Output::Disconnect { peer } => self.close_some(id, peer, false),
            Output::Reserve { peer } => {
                if let Some(relay) = self.host_of(&peer) {
                    self.reserve(id, relay);
                }
            }
            Output::Publish { topic, wire } => self.publish_wire(id, topic, wire),
            Output::Verdict { ticket, verdict } => {
                let mono = self.host(id).now(self.time).mono;
                let Some(process) = self.process(id) else { return };
                if let Some((message, from)) = process.judged.remove(&ticket) {
                    process.overlay.validated(message, from, verdict, mono);
                }
            }
            Output::Join { peer, request } => self.ask(id, peer, request),
            Output::JoinReply { ticket, replies } => {
                let asked = self.process(id).and_then(|process| process.asked.remove(&ticket));
                if let Some((conn, _)) = asked {
                    self.send(conn, id, Frame::Answer(Arc::new(replies)));
                }
            }
            Output::OpenDirect { to } => self.open_stream(id, to),
            Output::ResetDirect { from } => self.reset_streams(id, from),
            Output::Direct { to, frame } => {
                let Some(peer) = self.host_of(&to) else { return };
                let stream = self.process(id).and_then(|process| process.streams.get(&peer));
                match stream.filter(|stream| stream.open).map(|stream| (stream.conn, stream.number)) {
                    Some((conn, number)) => self.send(conn, id, Frame::Direct(number, frame)),
                    None => self.renew_stream(id, peer),
                }
            }
            Output::Transfer(command) => self.transfer(id, command),
            // The disks of simulated hosts are perfect.
            Output::Keep { ticket, changes } => {
                if let Ticket::Knowledge(_) = ticket {
                    let records = &mut self.host_mut(id).records;
                    for Change { key, value } in changes {
                        match value {
                            Some(value) => records.insert(key, value),
                            None => records.remove(&key),
                        };
                    }
                }
                self.input(id, Input::Kept { ticket, durable: true });
            }
            Output::Blocks(command) => self.blocks_wanted(id, command),
            Output::Auth { .. }
            | Output::Admit { .. }
            | Output::AskAdmission { .. }
            | Output::AdmitReply { .. }
            | Output::Settled { .. } => debug_assert!(false, "simulated meshes are open: nobody is let in"),
            Output::Event(event) => self.told(id, event),
        }
    }

    fn close_some(&mut self, id: HostId, peer: mesh_proto::NodeId, relayed_only: bool) {
        let Some(to) = self.host_of(&peer) else { return };
        let Some(conns) = self.process(id).and_then(|process| Some(process.links.get(&to)?.conns.clone())) else {
            return;
        };
        if relayed_only && conns.values().all(|relayed| *relayed) {
            return;
        }
        for (conn, _) in conns.into_iter().filter(|(_, relayed)| *relayed || !relayed_only) {
            self.close(conn, Micros::from_ms(30));
        }
    }

    pub(crate) fn publish_wire(&mut self, id: HostId, topic: Topic, wire: bytes::Bytes) {
        let mono = self.host(id).now(self.time).mono;
        let message = Message::new(topic, wire.clone());
        self.ledger.hop(id, id, message.id());
        let Some(process) = self.process(id) else { return };
        match process.overlay.publish(message, mono) {
            Ok(()) | Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeers) => self.input(id, Input::Unpublished { topic, wire }),
        }
    }

    fn ask(&mut self, id: HostId, peer: mesh_proto::NodeId, request: mesh_proto::join::Request) {
        let conn = self.host_of(&peer).and_then(|to| Some((to, self.best(id, to)?)));
        match conn {
            Some((to, conn)) => {
                if let Some(process) = self.process(id) {
                    process.asking.insert(to, conn);
                }
                self.send(conn, id, Frame::Ask(Arc::new(request)));
            }
            None => self.input(id, Input::JoinFailed { from: peer }),
        }
    }

    fn open_stream(&mut self, id: HostId, to: mesh_proto::NodeId) {
        let conn = self.host_of(&to).and_then(|peer| Some((peer, self.best(id, peer)?)));
        let Some((peer, conn)) = conn else {
            return self.input(id, Input::Direct(messaging::Input::Closed { peer: to }));
        };
        let number = self.number();
        if let Some(process) = self.process(id) {
            process.streams.insert(peer, Stream { number, open: false, conn });
        }
        self.send(conn, id, Frame::Open(number));
    }

    fn reset_streams(&mut self, id: HostId, from: mesh_proto::NodeId) {
        let Some(peer) = self.host_of(&from) else { return };
        let streams = self.process(id).and_then(|process| process.inbound.remove(&peer)).unwrap_or_default();
        if let Some(conn) = self.best(id, peer) {
            for stream in streams {
                self.send(conn, id, Frame::Reset(stream));
            }
        }
    }

    fn frame(&mut self, id: HostId, conn: ConnId, frame: Frame) {
        let mono = self.host(id).now(self.time).mono;
        let Some(peer) = self.conns.get(conn).map(|conn| conn.other(id)) else { return };
        let node = self.host(peer).node;
        match frame {
            Frame::Gossip(rpc) => {
                self.ledger.copies(id, &rpc);
                if let Some(process) = self.process(id) {
                    process.overlay.receive(peer, &rpc, mono);
                }
            }
            Frame::Ask(request) => {
                let ticket = self.number();
                if let Some(process) = self.process(id) {
                    process.asked.insert(ticket, (conn, peer));
                }
                let request = (*request).clone();
                self.input(id, Input::JoinRequest { ticket, from: node, request });
            }
            Frame::Answer(replies) => {
                if let Some(process) = self.process(id) {
                    process.asking.remove(&peer);
                }
                for reply in replies.iter() {
                    self.input(id, Input::JoinReply { from: node, reply: reply.clone() });
                }
            }
            Frame::Open(stream) => {
                if let Some(process) = self.process(id) {
                    let open = process.inbound.entry(peer).or_default();
                    if open.len() >= MAX_INBOUND {
                        open.pop_first();
                    }
                    open.insert(stream);
                }
                self.send(conn, id, Frame::Opened(stream));
            }
            Frame::Opened(number) => {
                let Some(process) = self.process(id) else { return };
                if let Some(stream) = process.streams.get_mut(&peer).filter(|stream| stream.number == number) {
                    stream.open = true;
                    self.input(id, Input::Direct(messaging::Input::Opened { peer: node }));
                }
            }
            Frame::Reset(number) => {
                let Some(process) = self.process(id) else { return };
                if process.streams.get(&peer).is_some_and(|stream| stream.number == number) {
                    self.renew_stream(id, peer);
                }
            }
            Frame::Want(cid) => self.block_asked(id, conn, cid),
            Frame::Block(cid, size) => self.block_came(id, peer, cid, size),
            Frame::Direct(stream, frame) => {
                let Some(process) = self.process(id) else { return };
                if process.inbound.get(&peer).is_some_and(|open| open.contains(&stream)) {
                    self.input(id, Input::Direct(messaging::Input::Frame { from: node, frame }));
                }
            }
        }
    }

    fn transfer(&mut self, id: HostId, command: Command) {
        match command {
            Command::Open { to, id: transfer, ticket } => {
                let report = weights::SendReport::Unsupported;
                self.input(id, Input::Transfer(weights::Input::Sending { to, id: transfer, ticket, report }));
            }
            Command::Close(_) | Command::Decide { .. } | Command::Release { .. } | Command::Discard { .. } => {}
        }
    }

    /// What the application is told. It takes every message at once.
    fn told(&mut self, id: HostId, event: Told) {
        let time = self.time;
        self.note(id, &event);
        if let Told::Message(incoming) = &event {
            let (from, session, number) = (incoming.from, incoming.session, incoming.message.number);
            self.ledger.told(id, &event, time);
            let now = self.host(id).now(time);
            if let Some(process) = self.process(id) {
                process.due = None;
                process.node.taken(from, session, number, now);
            }
            return self.keep(id, event);
        }
        self.ledger.told(id, &event, time);
        self.keep(id, event);
    }
}
