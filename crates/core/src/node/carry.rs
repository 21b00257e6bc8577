//! What passes between the components, and out.

use super::*;

impl Node {
    /// Carries what the components have to say until none has anything more.
    pub(super) fn turn(&mut self, now: Now) {
        loop {
            let before = self.outputs.len();
            let mut quiet = true;
            while let Some(output) = self.membership.poll_output() {
                quiet = false;
                self.membership_wants(output, now);
            }
            while let Some(asked) = self.doorstep.poll_output() {
                quiet = false;
                self.serve(asked, now);
            }
            while let Some(output) = self.directory.poll_output() {
                quiet = false;
                self.directory_wants(output, now);
            }
            while let Some(output) = self.messaging.poll_output() {
                quiet = false;
                self.messaging_wants(output, now);
            }
            while let Some(batch) = self.broadcast.poll_output() {
                quiet = false;
                self.seal(Kind::SwarmBroadcast, &batch, now);
            }
            while let Some(call) = self.loopback.poll_output() {
                quiet = false;
                self.failed(call, SendError::Timeout);
            }
            while let Some(output) = self.weights.poll_output() {
                quiet = false;
                self.weights_want(output);
            }
            while let Some(output) = self.paths.poll_output() {
                quiet = false;
                self.paths_want(output);
            }
            while let Some(output) = self.health.poll_output() {
                quiet = false;
                self.health_wants(output, now);
            }
            while let Some(output) = self.proposals.as_mut().and_then(Proposals::poll_output) {
                quiet = false;
                self.proposals_want(output, now);
            }
            while let Some(output) = self.knowledge.poll_output() {
                quiet = false;
                self.knowledge_wants(output, now);
            }
            while let Some(output) = self.access.as_mut().and_then(Access::poll_output) {
                quiet = false;
                self.access_wants(output, now);
            }
            if quiet && self.outputs.len() == before {
                return;
            }
        }
    }

    fn membership_wants(&mut self, output: membership::Output, now: Now) {
        match output {
            // A relay may have been a neighbour before it stood in.
            membership::Output::Dial(peer) if self.health.links().contains_key(&peer) => {
                self.membership.connected(peer);
                self.membership.admitted(peer);
            }
            membership::Output::Dial(peer) => self.dial(peer),
            membership::Output::Reserve(peer) => self.outputs.push_back(Output::Reserve { peer }),
            membership::Output::Join(peer) => {
                // A newcomer may be here before its first announcement was due.
                self.directory.handle_timeout(now);
                while let Some(output) = self.directory.poll_output() {
                    self.directory_wants(output, now);
                }
                if let Some(announcement) = self.directory.current() {
                    let request = join::Request {
                        mesh: self.mesh,
                        announcement: ByteBuf::from(announcement.to_vec()),
                        after: self.cursors.get(&peer).copied(),
                    };
                    self.outputs.push_back(Output::Join { peer, request });
                }
            }
        }
    }

    fn directory_wants(&mut self, output: directory::Output, now: Now) {
        match output {
            directory::Output::Announce(announcement) => {
                if let Some(envelope) = self.seal(Kind::AgentAnnounce, &announcement, now) {
                    self.directory.announced(&envelope);
                }
            }
            directory::Output::Ask(query) => {
                self.seal(Kind::AgentDiscovery, &query, now);
            }
            directory::Output::Event(event) => self.directory_says(event, now),
        }
    }

    fn directory_says(&mut self, event: directory::Event, now: Now) {
        match &event {
            directory::Event::NodeLeft(node) => {
                self.health.forget(node);
                self.paths.left(node, now);
                self.knowledge.left(*node, now);
                if let Some(access) = &mut self.access {
                    access.forget(node);
                }
            }
            directory::Event::Found { id, .. } => {
                if let Some(waiting) = self.searching.remove(id) {
                    return self.looked_for(*waiting, now);
                }
            }
            directory::Event::Joined(_) | directory::Event::Updated(_) | directory::Event::Left { .. } => {}
        }
        self.event(Event::Directory(event));
    }

    fn messaging_wants(&mut self, output: messaging::Output, now: Now) {
        match output {
            messaging::Output::Dial { peer } => self.dial(peer),
            messaging::Output::Open { peer } => self.outputs.push_back(Output::OpenDirect { to: peer }),
            messaging::Output::Reset { peer } => self.outputs.push_back(Output::ResetDirect { from: peer }),
            messaging::Output::Frame { to, frame } => self.outputs.push_back(Output::Direct { to, frame }),
            messaging::Output::Offence { from, offence } => self.offence(from, offence),
            messaging::Output::Event(messaging::Event::Received { from, session, message }) => {
                self.heard(from, now);
                if message.reader != direct::Reader::Application {
                    self.messaging.taken(from, session, message.number, now);
                }
                match message.reader {
                    direct::Reader::Decision => return self.decision_told(from, &message.body, now),
                    direct::Reader::Knowledge => return self.knowledge_told(from, &message.body, now),
                    direct::Reader::Application => {}
                }
                let read = message.to.as_ref().map_or(self.inbox, |agent| self.directory.is_local(agent));
                if read {
                    self.metrics.messages_received += 1;
                    self.event(Event::Message(Incoming { from, session, message }));
                } else {
                    let reason = direct::Refusal::UnknownAgent;
                    self.messaging.refuse(from, session, message.number, reason, now);
                }
            }
            messaging::Output::Event(messaging::Event::Delivered { id, peer, session, number, round_trip_ms }) => {
                if let Some(to) = self.telling.remove(&id) {
                    self.knowledge.told(to, now);
                } else if let Some(call) = self.sending.remove(&id) {
                    self.metrics.messages_delivered += 1;
                    self.losses.count(false);
                    let receipt = Receipt { peer, number: (session, number), round_trip_ms };
                    self.event(Event::Sent { call, receipt });
                }
            }
            messaging::Output::Event(messaging::Event::Failed { id, peer: _, error }) => {
                if let Some(to) = self.telling.remove(&id) {
                    self.knowledge.lost(to, now);
                } else if let Some(call) = self.sending.remove(&id) {
                    self.metrics.messages_failed += 1;
                    let error = match error {
                        messaging::SendError::PeerUnreachable => SendError::PeerUnreachable,
                        messaging::SendError::Timeout => SendError::Timeout,
                        messaging::SendError::UnknownAgent => SendError::UnknownAgent,
                    };
                    self.event(Event::SendFailed { call, error });
                }
            }
        }
    }

    fn weights_want(&mut self, output: weights::Output) {
        match output {
            weights::Output::Dial(peer) => self.dial(peer),
            weights::Output::Offence { peer, offence } => self.offence(peer, offence),
            weights::Output::Event(event) => {
                match &event {
                    weights::Event::Shared { resumed, .. } => {
                        self.metrics.weights_shared += 1;
                        self.metrics.transfers_resumed += u64::from(*resumed);
                    }
                    weights::Event::ShareFailed { .. } => self.metrics.weights_failed += 1,
                    weights::Event::Received { .. } => self.metrics.weights_received += 1,
                    weights::Event::Progress { .. } | weights::Event::ReceiveFailed { .. } => {}
                }
                self.event(Event::Weights(event));
            }
            weights::Output::Transfer(command) => self.outputs.push_back(Output::Transfer(command)),
        }
    }

    /// Lets the paths do what is due.
    pub(super) fn tend_membership(&mut self, now: Now) {
        let Self { membership, directory, health, .. } = self;
        let heard = |node: &NodeId| health.peers().get(node).is_some_and(|peer| !peer.suspect);
        membership.handle_timeout(|| directory.relays().filter(heard), now);
    }

    pub(super) fn tend_paths(&mut self, now: Now) {
        let Self { paths, directory, health, .. } = self;
        let heard = |node: &NodeId| health.peers().get(node).is_some_and(|peer| !peer.suspect);
        paths.handle_timeout(|| directory.upgradable().filter(heard), now);
    }

    fn paths_want(&mut self, output: paths::Output) {
        match output {
            paths::Output::Dial(peer) => self.dial(peer),
            paths::Output::Upgrade(peer) => {
                self.metrics.upgrades_tried += 1;
                self.outputs.push_back(Output::Upgrade { peer });
            }
            paths::Output::CloseRelayed(peer) => self.outputs.push_back(Output::CloseRelayed { peer }),
            paths::Output::Disconnect(peer) if self.directory.lists(&peer) => {}
            paths::Output::Disconnect(peer) => self.outputs.push_back(Output::Disconnect { peer }),
        }
    }

    fn health_wants(&mut self, output: health::Output, now: Now) {
        match output {
            health::Output::Beat => {
                let announced = self.directory.current_seq();
                self.seal(Kind::MeshHeartbeat, &Heartbeat { announced }, now);
            }
            health::Output::Suspected(peer) => {
                self.knowledge.suspected(peer, now);
                self.event(Event::PeerSuspected { peer });
            }
            health::Output::Recovered(peer) => {
                self.knowledge.recovered(peer, now);
                self.event(Event::PeerRecovered { peer });
            }
            health::Output::Split { lost, of } => self.event(Event::Split { lost, of }),
            health::Output::Whole => self.event(Event::Whole),
            // What was announced on its side meanwhile went past us.
            health::Output::Reunited(peer) => self.membership.missed(peer, now),
            health::Output::Dead(peer) => self.outputs.push_back(Output::Disconnect { peer }),
        }
    }

    /// Signs and publishes. What a component makes fits by its own bounds; what does not is a defect that must not take
    /// the node down.
    pub(super) fn seal<T: Serialize>(&mut self, kind: Kind, payload: &T, now: Now) -> Option<Verified<Envelope>> {
        let payload = codec::encode(payload, MAX_ENVELOPE);
        let sealed = payload.and_then(|payload| self.sealer.seal(kind, payload, now));
        debug_assert!(sealed.is_ok(), "{kind:?} does not fit: {sealed:?}");
        let envelope = sealed.ok()?;
        self.metrics.envelopes_sent += 1;
        self.outputs.push_back(Output::Publish { topic: kind.topic(), wire: envelope.wire().clone() });
        Some(envelope)
    }

    pub(super) fn dial(&mut self, peer: NodeId) {
        let addresses = self.directory.addresses(&peer).to_vec();
        self.outputs.push_back(Output::Dial { peer, addresses });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn offence(&mut self, peer: NodeId, offence: Offence) {
        self.metrics.count(offence);
        self.event(Event::Offence { peer, offence });
    }

    /// Sends to a receiver that is known.
    pub(super) fn dispatch(&mut self, waiting: Waiting, node: NodeId, now: Now) -> Result<(), SendError> {
        let Waiting { call, target, from, body, deadline } = waiting;
        let to = match target {
            Target::Agent(name, _) => Some(name),
            Target::Node(_) => None,
        };
        if node == self.id() {
            let (number, session) = (call.0, 0);
            if !self.loopback.wait(call, deadline, now) {
                return Err(messaging::Error::OverQuota.into());
            }
            let message = direct::Message { number, from, to, body, reader: direct::Reader::Application };
            self.metrics.messages_received += 1;
            self.event(Event::Message(Incoming { from: node, session, message }));
        } else {
            let timeout = deadline.since(now.mono);
            let send = self.messaging.send(node, to, from, body, timeout, now)?;
            self.sending.insert(send, call);
        }
        Ok(())
    }

    /// Asks the mesh for the receiver of a message.
    pub(super) fn look_for(&mut self, waiting: Waiting, now: Now) -> Result<(), SendError> {
        let Target::Agent(name, node) = &waiting.target else {
            return Err(SendError::UnknownAgent);
        };
        let criteria = Criteria { name: Some(name.clone()), node: *node, ..Criteria::default() };
        let options = SearchOptions {
            limit: Some(1),
            timeout_ms: RESOLVE_MS.min(waiting.deadline.since(now.mono)),
            ..SearchOptions::default()
        };
        let query = MessageId(self.random());
        // A name that is one fits every bound: the search can only be one too many.
        let search = self.directory.search(criteria, options, query, now).map_err(|_| messaging::Error::OverQuota)?;
        self.searching.insert(search, Box::new(waiting));
        Ok(())
    }

    fn looked_for(&mut self, waiting: Waiting, now: Now) {
        let call = waiting.call;
        let sent = self.resolve(&waiting.target).and_then(|node| self.dispatch(waiting, node, now));
        if let Err(error) = sent {
            self.failed(call, error);
        }
    }

    fn failed(&mut self, call: CallId, error: SendError) {
        self.metrics.messages_failed += 1;
        self.losses.count(true);
        self.event(Event::SendFailed { call, error });
    }
}
