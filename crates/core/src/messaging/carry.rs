//! What happens to one peer's messages between the commands and inputs and the outputs.

use super::{
    Answered, Ask, Change, Demand, Event, Frame, Greeting, Inbox, Link, Message, Messaging, Mono, NodeId, Offence,
    Outbox, Output, Peer, Refusal, SendError, SendId, Verdict,
};

impl Messaging {
    /// What `id` has to do with us, from now on if not before.
    pub(super) fn peer(&mut self, id: NodeId, now: Mono) -> &mut Peer {
        let config = &self.config;
        let peer = self.peers.entry(id).or_insert_with(|| {
            Box::new(Peer {
                link: Link::new(config),
                outbox: Outbox::default(),
                inbox: Inbox::new(),
                active: now,
                wake: None,
                resting: None,
            })
        });
        peer.active = now;
        peer
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn offence(&mut self, from: NodeId, offence: Offence) {
        self.outputs.push_back(Output::Offence { from, offence });
    }

    pub(super) fn link(&mut self, id: NodeId, change: Change, now: Mono) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.link.handle(change, &self.config, now);
        }
        self.settle(id, now);
    }

    /// Begins a stream: who we are, then what the receiver may have missed. [`Messaging::settle`] adds what is new.
    pub(super) fn opened(&mut self, id: NodeId, now: Mono) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.link.handle(Change::Opened, &self.config, now);
        if peer.link.is_open() {
            peer.outbox.stream_lost();
            peer.inbox.stream_lost();
            let (mesh, session) = (self.mesh, self.session);
            let again = peer.outbox.sent_messages(session).map(Frame::Message);
            let frames = std::iter::once(Frame::Hello { mesh, session }).chain(again);
            self.outputs.extend(frames.map(|frame| Output::Frame { to: id, frame }));
        }
        self.settle(id, now);
    }

    pub(super) fn frame(&mut self, from: NodeId, frame: Frame, now: Mono) {
        let mesh = self.mesh;
        let inbox = &mut self.peer(from, now).inbox;
        match (inbox.greeting(), frame) {
            (_, Frame::Hello { mesh: theirs, session }) if theirs == mesh => inbox.hello(session),
            (_, Frame::Hello { .. }) => {
                inbox.wrong_hello();
                self.offence(from, Offence::WrongMesh);
            }
            (Greeting::None, Frame::Message(_) | Frame::Ack { .. } | Frame::Nack { .. }) => {
                self.offence(from, Offence::OutOfPlace);
            }
            (Greeting::Wrong, Frame::Message(_) | Frame::Ack { .. } | Frame::Nack { .. }) => {}
            (Greeting::Right, Frame::Message(message)) => self.received(from, message),
            (Greeting::Right, Frame::Ack { session, numbers }) => {
                // Answers to an earlier run of ours are of no use to anybody.
                if session == self.session {
                    self.acknowledged(from, numbers, now);
                }
            }
            (Greeting::Right, Frame::Nack { session, number, reason }) => {
                if session == self.session {
                    self.refused(from, number, reason);
                }
            }
        }
    }

    fn received(&mut self, from: NodeId, message: Message) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let bytes = message.body.len();
        let elsewhere_room = self.held.admits(bytes, self.config.inbox_total());
        match peer.inbox.receive(message.number, bytes, self.config.window(), elsewhere_room) {
            Verdict::New { session } => {
                self.held.add(bytes);
                self.event(Event::Received { from, session, message });
            }
            Verdict::NoRoom { exceeded } => {
                self.shut.insert(from);
                if exceeded {
                    self.offence(from, Offence::WindowExceeded);
                }
            }
            Verdict::Nothing => {}
        }
    }

    fn acknowledged(&mut self, from: NodeId, numbers: Vec<u64>, now: Mono) {
        let mut all_sent = true;
        for number in numbers {
            match self.answered(from, number) {
                Some((id, Answered::Letter { letter: _, first })) => self.event(Event::Delivered {
                    id,
                    peer: from,
                    session: self.session,
                    number,
                    round_trip_ms: now.since(first),
                }),
                Some((_, Answered::Settled)) => {}
                Some((_, Answered::NeverSent)) | None => all_sent = false,
            }
        }
        if !all_sent {
            self.offence(from, Offence::OutOfPlace);
        }
    }

    fn refused(&mut self, from: NodeId, number: u64, reason: Refusal) {
        match self.answered(from, number) {
            Some((id, Answered::Letter { .. })) => {
                let error = match reason {
                    Refusal::UnknownAgent => SendError::UnknownAgent,
                };
                self.event(Event::Failed { id, peer: from, error });
            }
            Some((_, Answered::Settled)) => {}
            Some((_, Answered::NeverSent)) | None => self.offence(from, Offence::OutOfPlace),
        }
    }

    /// Strikes an answered message off. `None` if this run never gave out that number.
    fn answered(&mut self, from: NodeId, number: u64) -> Option<(SendId, Answered)> {
        let id = SendId(number.checked_sub(self.session)?);
        if id.0 == 0 || id > self.last_send {
            return None;
        }
        let answered = self.peers.get_mut(&from)?.outbox.answered(id);
        if let Answered::Letter { letter, .. } = &answered {
            self.sends.remove(&id);
            self.deadlines.remove(&(letter.deadline, id));
            self.queued.remove(letter.body.len());
        }
        Some((id, answered))
    }

    /// Gives a message up. Its receiver, if there was such a message.
    pub(super) fn abandon(&mut self, id: SendId) -> Option<NodeId> {
        let to = self.sends.remove(&id)?;
        let letter = self.peers.get_mut(&to)?.outbox.abandon(id)?;
        self.deadlines.remove(&(letter.deadline, id));
        self.queued.remove(letter.body.len());
        Some(to)
    }

    /// A message's time is up.
    pub(super) fn expire(&mut self, id: SendId, now: Mono) {
        let Some(to) = self.abandon(id) else { return };
        let reached = self.peers.get(&to).is_some_and(|peer| peer.link.is_reached());
        let error = if reached { SendError::Timeout } else { SendError::PeerUnreachable };
        self.event(Event::Failed { id, peer: to, error });
        self.settle(to, now);
    }

    pub(super) fn release(&mut self, from: NodeId, session: u64, number: u64, refusal: Option<Refusal>, now: Mono) {
        let window = self.config.window();
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let Some(bytes) = peer.inbox.release(session, number, refusal, window) else {
            return;
        };
        self.held.remove(bytes);
        self.make_room();
        self.settle(from, now);
    }

    /// Lets peers whose messages were dropped send them again, once there is room.
    fn make_room(&mut self) {
        let window = self.config.window();
        if !self.held.leaves(window, self.config.inbox_total()) {
            return;
        }
        let (peers, outputs) = (&mut self.peers, &mut self.outputs);
        self.shut.retain(|id| {
            let Some(peer) = peers.get_mut(id) else { return false };
            let ready = peer.inbox.unlatch(window);
            if ready && peer.link.is_connected() {
                outputs.push_back(Output::Reset { peer: *id });
            }
            !ready
        });
    }

    /// Lets all answers leave that have a stream to leave on.
    pub(super) fn answer(&mut self) {
        self.answers_due = None;
        let window = self.config.window();
        for id in std::mem::take(&mut self.answering) {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if peer.link.is_open() {
                let answers = peer.inbox.answers(window).into_iter();
                self.outputs.extend(answers.map(|frame| Output::Frame { to: id, frame }));
            }
        }
    }

    /// Does for a peer what its state now asks for: dial, open, send, answer; then wakes it later, or lets it rest.
    pub(super) fn settle(&mut self, id: NodeId, now: Mono) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.link.is_connected() {
            peer.inbox.disconnected();
        }
        let demand = Demand { messages: !peer.outbox.is_empty(), answers: peer.inbox.owes_answers() };
        match peer.link.ask(demand, &self.config, now) {
            Some(Ask::Dial) => self.outputs.push_back(Output::Dial { peer: id }),
            Some(Ask::Open) => self.outputs.push_back(Output::Open { peer: id }),
            None => {}
        }
        if peer.link.is_open() {
            let (window, session) = (self.config.window(), self.session);
            while let Some(message) = peer.outbox.send_next(window, session, now) {
                let frame = Frame::Message(message);
                self.outputs.push_back(Output::Frame { to: id, frame });
            }
            if demand.answers {
                self.answering.insert(id);
                self.answers_due.get_or_insert(now);
            }
        }
        if peer.wake != peer.link.wake() {
            if let Some(wake) = peer.wake {
                self.wakes.remove(&(wake, id));
            }
            peer.wake = peer.link.wake();
            self.wakes.extend(peer.wake.map(|wake| (wake, id)));
        }
        self.rest(id);
    }

    /// Forgets a peer that means nothing to us; keeps count of those that are kept only for their numbers.
    fn rest(&mut self, id: NodeId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let idle = peer.link.is_away() && peer.outbox.is_empty() && peer.inbox.holds_nothing();
        if let Some(since) = peer.resting.take() {
            self.resting.remove(&(since, id));
        }
        if idle && peer.inbox.session().is_none() {
            self.forget(id);
        } else if idle {
            peer.resting = Some(peer.active);
            self.resting.insert((peer.active, id));
        }
        while self.resting.len() > self.config.max_peers
            && let Some((_, oldest)) = self.resting.pop_first()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, id: NodeId) {
        self.peers.remove(&id);
        self.shut.remove(&id);
    }
}
