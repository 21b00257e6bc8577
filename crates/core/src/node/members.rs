//! What comes from other members: links, gossip, member lists.

use mesh_proto::limits::MAX_JOIN_REVOCATIONS;

use super::*;

impl Node {
    /// There is a link to a member.
    pub(super) fn linked(&mut self, peer: NodeId, relayed: bool, address: String, now: Now) {
        let before = self.health.links().get(&peer).map(|link| link.relayed);
        self.health.connected(peer, relayed, address, now);
        if !self.membership.is_seed(&peer) {
            self.paths.linked(peer, relayed, now);
        }
        if let Some(before) = before {
            if before != relayed {
                self.event(Event::PathChanged { peer, relayed });
            }
            return;
        }
        self.event(Event::PeerConnected { peer, relayed });
        if self.access.is_none() {
            self.reached(peer);
        }
        self.membership.admitted(peer);
        if let Some(proposals) = &mut self.proposals {
            proposals.linked(peer);
        }
        self.messaging.handle(messaging::Input::Connected { peer }, now);
        self.weights.handle(weights::Input::Connected(peer), now);
    }

    /// There is a link, whoever is at its other end.
    pub(super) fn reached(&mut self, peer: NodeId) {
        if self.membership.is_seed(&peer) {
            self.event(Event::Seed { peer, connected: true });
        }
        self.membership.connected(peer);
    }

    /// There is no link to a member any more.
    pub(super) fn unlinked(&mut self, peer: NodeId, now: Now) {
        self.health.disconnected(&peer);
        if !self.directory.lists(&peer) {
            self.health.forget(&peer);
        }
        self.cursors.remove(&peer);
        self.doorstep.disconnected(&peer);
        self.membership.disconnected(peer, now);
        if let Some(proposals) = &mut self.proposals {
            proposals.unlinked(&peer);
        }
        self.knowledge.unlinked(&peer, now);
        self.paths.unlinked(&peer, now);
        self.messaging.handle(messaging::Input::Disconnected { peer }, now);
        self.weights.handle(weights::Input::Disconnected(peer), now);
        self.event(Event::PeerDisconnected { peer });
        if self.membership.is_seed(&peer) {
            self.event(Event::Seed { peer, connected: false });
        }
    }

    /// What is to become of a gossiped message; nothing yet while it is not known whether its author is a member.
    pub(super) fn gossip(&mut self, ticket: u64, from: NodeId, topic: Topic, wire: Bytes, now: Now) -> Option<Verdict> {
        self.heard(from, now);
        let envelope = match self.intake.admit(from, topic, wire, now) {
            Ok(envelope) => envelope,
            Err(refused) => {
                self.metrics.envelopes_refused += 1;
                if refused.blames {
                    self.offence(from, refused.offence);
                } else {
                    self.metrics.count(refused.offence);
                }
                return Some(refused.verdict);
            }
        };
        self.metrics.envelopes_accepted += 1;
        if !self.is_known(&envelope, now) {
            return self.strange(ticket, from, envelope, now);
        }
        Some(self.judge(from, &envelope, now))
    }

    pub(super) fn judge(&mut self, from: NodeId, envelope: &Verified<Envelope>, now: Now) -> Verdict {
        match self.read(from, envelope, now) {
            Ok(verdict) => {
                self.heard(envelope.from, now);
                verdict
            }
            Err(error) => {
                // The author signed it: whoever passes it on cannot know better than to read it.
                self.offence(envelope.from, intake::offence_of(&error.into()));
                Verdict::Reject
            }
        }
    }

    /// Hands a payload to its component.
    fn read(&mut self, neighbour: NodeId, envelope: &Verified<Envelope>, now: Now) -> Result<Verdict, DecodeError> {
        match envelope.kind {
            Kind::AgentAnnounce => {
                let announcement: Announcement = codec::decode(&envelope.payload, MAX_ENVELOPE)?;
                if self.announced(envelope, announcement, now).is_none() {
                    return Ok(Verdict::Ignore);
                }
            }
            Kind::AgentDiscovery => {
                let query: Query = codec::decode(&envelope.payload, MAX_ENVELOPE)?;
                self.directory.asked(&query, now);
            }
            Kind::MeshHeartbeat => {
                let heartbeat: Heartbeat = codec::decode(&envelope.payload, MAX_ENVELOPE)?;
                if !self.directory.knows(&envelope.from, heartbeat.announced) {
                    self.membership.missed(neighbour, now);
                }
            }
            Kind::SwarmBroadcast => {
                let batch: Batch = codec::decode(&envelope.payload, MAX_ENVELOPE)?;
                for (place, item) in batch.items.into_iter().enumerate() {
                    self.metrics.broadcasts_received += 1;
                    self.event(Event::Broadcast {
                        from: envelope.from,
                        seq: (envelope.seq, place),
                        clock: envelope.clock,
                        topic: item.topic,
                        body: item.body,
                    });
                }
            }
            Kind::CoordinationProposal | Kind::ConsensusVote => return self.decision_said(envelope, now),
            Kind::MembershipRevocation => return self.revocation_said(envelope, now),
            Kind::KnowledgeShare => return self.entry_said(envelope, now),
        }
        Ok(Verdict::Accept)
    }

    pub(super) fn join_requested(&mut self, ticket: u64, from: NodeId, request: join::Request, now: Now) {
        if !self.intake.admit_join(from, now) {
            // Unanswered: an answer costs more than the question.
            self.offence(from, Offence::RateExceeded);
            return self.outputs.push_back(Output::JoinReply { ticket, replies: Vec::new() });
        }
        if matches!(self.hearing(&from, now), Hearing::Later | Hearing::No) {
            self.offence(from, Offence::OutOfPlace);
            return self.outputs.push_back(Output::JoinReply { ticket, replies: Vec::new() });
        }
        if request.mesh != self.mesh {
            self.offence(from, Offence::WrongMesh);
            let replies = vec![join::Reply::WrongMesh { mesh: self.mesh }];
            return self.outputs.push_back(Output::JoinReply { ticket, replies });
        }
        self.doorstep.asked(Asked { ticket, from, request }, now);
    }

    /// Answers a newcomer.
    pub(super) fn serve(&mut self, asked: Asked, now: Now) {
        let Asked { ticket, from, request } = asked;
        // The list first, so that the newcomer is not handed what it has just told us.
        let replies = self.member_list(&from, request.after);
        self.outputs.push_back(Output::JoinReply { ticket, replies });
        self.metrics.joins_served += 1;

        let wire = Bytes::from(request.announcement.into_vec());
        if self.introduced(from, wire.clone(), now) == Ok(Applied::Current) {
            // The newcomer's own topics are not grafted yet; ours are.
            let topic = Kind::AgentAnnounce.topic();
            self.outputs.push_back(Output::Publish { topic, wire });
        }
    }

    pub(super) fn join_replied(&mut self, from: NodeId, reply: join::Reply, now: Now) {
        if !self.membership.trusts(&from, now) {
            return;
        }
        match reply {
            join::Reply::Members { announcements, end } => {
                for wire in announcements {
                    if self.introduced(from, Bytes::from(wire.into_vec()), now) == Err(Offence::Forged) {
                        self.membership.distrust(from, now);
                        return;
                    }
                }
                if let Some(end) = end {
                    self.listed(from, end, now);
                }
            }
            join::Reply::Revoked { revocations } => {
                for revocation in &revocations {
                    self.taken_back(revocation, now);
                }
            }
            join::Reply::WrongMesh { .. } => {
                self.offence(from, Offence::WrongMesh);
                self.membership.join_failed(from, now);
            }
        }
    }

    /// All of the list is here.
    fn listed(&mut self, from: NodeId, end: join::Cursor, now: Now) {
        self.metrics.joins_received += 1;
        let first = self.cursors.insert(from, end).is_none();
        self.membership.joined(from, now);
        if let Some(proposals) = &mut self.proposals {
            proposals.catch_up(from, now);
        }
        // What the list brings is told before that it has come.
        self.turn(now);
        if first {
            let agents = self.directory.agents().count();
            self.event(Event::Joined { peer: from, agents });
        }
    }

    /// `node` gave a sign of life. Members are watched while they are listed, others while they have a link.
    pub(super) fn heard(&mut self, node: NodeId, now: Now) {
        if self.directory.lists(&node) || self.health.links().contains_key(&node) {
            self.health.heard(node, now);
        }
    }

    /// Takes in an announcement that `from` vouches for by handing it over.
    fn introduced(&mut self, from: NodeId, wire: Bytes, now: Now) -> Result<Applied, Offence> {
        let read = |envelope: Verified<Envelope>| {
            let announcement: Announcement =
                codec::decode(&envelope.payload, MAX_ENVELOPE).map_err(|error| intake::offence_of(&error.into()))?;
            Ok((envelope, announcement))
        };
        match self.intake.admit_announcement(wire, now).and_then(read) {
            Ok((envelope, announcement)) => {
                // Who is no member is none to those who hand the list over soon, too.
                let applied = self.announced(&envelope, announcement, now).unwrap_or(Applied::Known);
                // One that is known is no sign of life: lists are full of them.
                if applied == Applied::Current {
                    self.heard(envelope.from, now);
                }
                Ok(applied)
            }
            // It can have expired on the way.
            Err(Offence::Stale) => Err(Offence::Stale),
            Err(offence) => {
                self.offence(from, offence);
                Err(offence)
            }
        }
    }

    /// What was taken back, and all announcements but the newcomer's own, or those that came after a list that it has, in frames.
    fn member_list(&self, newcomer: &NodeId, after: Option<join::Cursor>) -> Vec<join::Reply> {
        let after = after.filter(|cursor| cursor.run == self.run).map_or(0, |cursor| cursor.place);
        let own = self.directory.wire_of(newcomer);
        let mut frames = vec![Vec::new()];
        let mut size = 0;
        let wires = self.directory.wires_after(after).filter(|wire| Some(*wire) != own);
        for wire in wires.take(MAX_JOIN_ANNOUNCEMENTS) {
            // 16 bytes are more than its length and the frame's share take.
            let weight = wire.len() + 16;
            if size > 0 && size + weight > JOIN_FRAME {
                frames.push(Vec::new());
                size = 0;
            }
            size += weight;
            if let Some(frame) = frames.last_mut() {
                frame.push(ByteBuf::from(wire.to_vec()));
            }
        }
        let end = join::Cursor { run: self.run, place: self.directory.place() };
        let last = frames.len() - 1;
        let reply = |(n, announcements)| join::Reply::Members { announcements, end: (n == last).then_some(end) };
        let members = frames.into_iter().enumerate().map(reply);
        let revoked: Vec<_> =
            self.access.iter().flat_map(|access| access.admission().revocations_from(after)).cloned().collect();
        let revoked =
            revoked.chunks(MAX_JOIN_REVOCATIONS).map(|some| join::Reply::Revoked { revocations: some.to_vec() });
        revoked.chain(members).collect()
    }
}
