//! Who is let in: between the access to a private mesh and the rest of the node. In an open mesh everybody is a member.

use mesh_proto::credential::{Answer, Invite, NotAdmitted, Pass, Role, SignedRevocation};

use super::*;
use crate::access::{Issued, Membership as Standing, OnlyListens, Revoke};
use crate::admission::Refusal;

/// Milliseconds that an envelope waits for its author's announcement, which may have taken another way.
const HOLD_MS: u64 = 2_000;
/// Envelopes that wait. Past it the oldest counts as a stranger's.
const MAX_HELD: usize = 256;
/// Of them, those of one author: a stranger must not push out others.
const MAX_HELD_OF_ONE: usize = 16;

/// Links and envelopes of those who have not shown yet that they are members.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Their links: whether relayed, and the address.
    links: BTreeMap<NodeId, (bool, String)>,
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    until: Mono,
    ticket: u64,
    neighbour: NodeId,
    envelope: Verified<Envelope>,
}

impl Strangers {
    pub(super) fn retained(&self) -> usize {
        self.links.len() + self.held.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.held.front().map(|held| held.until)
    }
}

impl Node {
    /// Issues an invite to the mesh, for one node. `relays` are addresses by which it is reached; `invites` is how many others
    /// the invited node may let in a day. It is not to be given away before [`Output::Settled`].
    ///
    /// # Errors
    /// [`access::Error`]
    pub fn invite(
        &mut self,
        relays: Vec<String>,
        what: (Role, u32),
        lifetime_s: u64,
        now: Now,
    ) -> Result<Issued<Invite>, access::Error> {
        self.letting_in(now, |access| access.invite(relays, what, lifetime_s, now))
    }

    /// Issues what a node needs to come in whose id is known. It is not to be given away before [`Output::Settled`].
    ///
    /// # Errors
    /// [`access::Error`]
    pub fn issue(&mut self, node: NodeId, what: (Role, u32), now: Now) -> Result<Issued<Pass>, access::Error> {
        self.letting_in(now, |access| access.issue(node, what, now))
    }

    /// Takes an invite or a credential back, and all that was issued with it. The number is that of a write, see
    /// [`Output::Settled`].
    ///
    /// # Errors
    /// [`access::Error`]
    pub fn revoke(&mut self, what: Revoke, now: Now) -> Result<u64, access::Error> {
        let place = self.directory.place();
        self.letting_in(now, |access| access.revoke(what, place, now))
    }

    fn letting_in<T>(
        &mut self,
        now: Now,
        verb: impl FnOnce(&mut Access) -> Result<T, access::Error>,
    ) -> Result<T, access::Error> {
        let done = verb(self.access.as_mut().ok_or(access::Error::Open)?)?;
        self.turn(now);
        Ok(done)
    }

    /// What this node is in its mesh.
    pub fn membership(&self, now: Now) -> Standing {
        let open = || Standing { open: true, founder: self.founds(), standing: None };
        self.access.as_ref().map_or_else(open, |access| access.membership(now))
    }

    fn founds(&self) -> bool {
        self.chain().is_some_and(|chain| chain.charter().founders.contains(&self.id()))
    }

    /// What this node comes in with, if the mesh has a charter.
    pub fn pass(&self) -> Option<Pass> {
        let charter = self.chain()?.charter().clone();
        let chain = self.access.as_ref().map(|access| access.admission().chain().clone());
        Some(Pass { charter, chain: chain.unwrap_or_default() })
    }

    /// Whether a neighbour is heard.
    pub fn hearing(&self, peer: &NodeId, now: Now) -> Hearing {
        let Some(access) = &self.access else { return Hearing::Yes };
        match access.admission().standing(peer) {
            Some(_) if access.admission().may_speak(peer, now) => Hearing::Yes,
            Some(_) => Hearing::Joins,
            None if access.admission().is_waiting(peer) => Hearing::Later,
            None => Hearing::No,
        }
    }

    pub(super) fn check_speaks(&self, now: Now) -> Result<(), OnlyListens> {
        let speaks = self.access.as_ref().is_none_or(|access| access.speaks(now));
        if speaks { Ok(()) } else { Err(OnlyListens) }
    }

    pub(super) fn connected(&mut self, peer: NodeId, relayed: bool, address: String, now: Now) {
        if let Some(access) = &mut self.access
            && access.admission().standing(&peer).is_none()
        {
            self.strangers.links.insert(peer, (relayed, address));
            if access.connected(peer, now) {
                self.reached(peer);
            }
            return;
        }
        self.linked(peer, relayed, address, now);
    }

    pub(super) fn disconnected(&mut self, peer: NodeId, now: Now) {
        let was_inside = self.access.as_mut().is_none_or(|access| access.disconnected(&peer));
        if was_inside {
            return self.unlinked(peer, now);
        }
        self.strangers.links.remove(&peer);
        self.membership.disconnected(peer, now);
        if self.membership.is_seed(&peer) {
            self.event(Event::Seed { peer, connected: false });
        }
        self.unreachable(peer, now);
    }

    /// Who waits for a link to `peer` waits in vain.
    pub(super) fn unreachable(&mut self, peer: NodeId, now: Now) {
        self.membership.dial_failed(peer, now);
        self.paths.dial_failed(peer, now);
        self.messaging.handle(messaging::Input::DialFailed { peer }, now);
        self.weights.handle(weights::Input::DialFailed(peer), now);
    }

    pub(super) fn access_wants(&mut self, output: access::Output, now: Now) {
        match output {
            access::Output::Tell(to, frame) => self.outputs.push_back(Output::Auth { to, frame }),
            access::Output::Admitted(peer) => {
                self.outputs.push_back(Output::Admit { peer });
                if let Some((relayed, address)) = self.strangers.links.remove(&peer) {
                    self.linked(peer, relayed, address, now);
                }
            }
            access::Output::TurnedAway { node, refusal, was_inside, lingers } => {
                self.turned_away(node, refusal, (was_inside, lingers), now)
            }
            access::Output::Close(peer) => self.outputs.push_back(Output::Disconnect { peer }),
            access::Output::Expelled(node) => self.directory.remove(&node),
            access::Output::Say(revocation) => {
                self.seal(Kind::MembershipRevocation, &*revocation, now);
            }
            access::Output::Ask(whom, request) => self.ask_admission(&whom, request),
            access::Output::Keep(write, changes) => {
                self.outputs.push_back(Output::Keep { ticket: Ticket::Access(write), changes });
            }
            access::Output::Settled(write, durable) => self.outputs.push_back(Output::Settled { write, durable }),
            access::Output::Reply(ticket, answer) => self.outputs.push_back(Output::AdmitReply { ticket, answer }),
            access::Output::Renewed => {
                let chain = self.access.as_ref().map(|access| access.admission().chain().clone());
                self.directory.set_credentials(chain.unwrap_or_default(), now);
            }
            access::Output::Event(event) => self.event(Event::Access(event)),
        }
    }

    fn turned_away(&mut self, peer: NodeId, refusal: Refusal, (was_inside, lingers): (bool, bool), now: Now) {
        if was_inside {
            self.unlinked(peer, now);
        }
        if refusal == Refusal::Offence {
            self.offence(peer, Offence::OutOfPlace);
        }
        // A relay of others carries links all the same, and a relay of ours carries those of others.
        let foreign = matches!(refusal, Refusal::Silent | Refusal::OtherMesh);
        if lingers || foreign && (self.directory.is_relay() || self.membership.wants(&peer)) {
            return;
        }
        self.outputs.push_back(Output::Disconnect { peer });
    }

    /// Asks the first of these that has a link, or dials the first.
    fn ask_admission(&mut self, whom: &[NodeId], request: Box<credential::Request>) {
        let others = || whom.iter().filter(|node| **node != self.id());
        if let Some(to) = others().find(|node| self.health.links().contains_key(node)).copied() {
            self.outputs.push_back(Output::AskAdmission { to, request });
        } else if let Some(first) = others().next().copied() {
            self.dial(first);
        }
    }

    pub(super) fn admission_asked(&mut self, ticket: u64, from: NodeId, request: &credential::Request, now: Now) {
        match &mut self.access {
            Some(access) => access.asked(ticket, from, request, now),
            None => {
                let answer = Box::new(Answer::Refused(NotAdmitted::NotOurs));
                self.outputs.push_back(Output::AdmitReply { ticket, answer });
            }
        }
    }

    /// Whether what an author says counts. Announcements say that themselves.
    pub(super) fn is_known(&self, envelope: &Verified<Envelope>, now: Now) -> bool {
        let Some(access) = &self.access else { return true };
        envelope.kind == Kind::AgentAnnounce || access.admission().may_speak(&envelope.from, now)
    }

    /// Keeps what somebody says whose announcement may still be on its way.
    pub(super) fn strange(
        &mut self,
        ticket: u64,
        neighbour: NodeId,
        envelope: Verified<Envelope>,
        now: Now,
    ) -> Option<Verdict> {
        let author = envelope.from;
        // Who only listens is known, and no list says anything else of it.
        let listens = |access: &Access| access.admission().standing(&author).is_some_and(|of| of.role < Role::Member);
        if self.access.as_ref().is_some_and(listens) {
            return Some(Verdict::Ignore);
        }
        self.membership.missed(neighbour, now);
        let of_author = self.strangers.held.iter().filter(|held| held.envelope.from == author).count();
        // A heartbeat is followed by the next.
        if envelope.kind == Kind::MeshHeartbeat || of_author >= MAX_HELD_OF_ONE {
            return Some(Verdict::Ignore);
        }
        if self.strangers.held.len() >= MAX_HELD
            && let Some(oldest) = self.strangers.held.pop_front()
        {
            self.outputs.push_back(Output::Verdict { ticket: oldest.ticket, verdict: Verdict::Ignore });
        }
        self.strangers.held.push_back(Held { until: now.mono + HOLD_MS, ticket, neighbour, envelope });
        None
    }

    /// Gives up those whose announcement has not come.
    pub(super) fn give_up_strangers(&mut self, now: Now) {
        while self.strangers.held.front().is_some_and(|held| held.until <= now.mono)
            && let Some(held) = self.strangers.held.pop_front()
        {
            self.outputs.push_back(Output::Verdict { ticket: held.ticket, verdict: Verdict::Ignore });
        }
    }

    /// Takes in an announcement, and what its author has said before it; nothing if the author is no member.
    pub(super) fn announced(
        &mut self,
        envelope: &Verified<Envelope>,
        announcement: Announcement,
        now: Now,
    ) -> Option<Applied> {
        let author = envelope.from;
        if author != self.id()
            && let Some(access) = &mut self.access
        {
            let speaks = match announcement.leaving {
                true => access.admission().may_speak(&author, now),
                false => access
                    .learn(author, &announcement.credentials, now)
                    .is_ok_and(|standing| standing.role >= Role::Member),
            };
            if !speaks {
                self.metrics.strangers_refused += 1;
                return None;
            }
        }
        let storage = announcement.storage.clone();
        let applied = self.directory.apply(envelope, announcement, now);
        if applied == Applied::Current {
            self.knowledge.offered(author, storage, now);
        }
        let (known, others) =
            std::mem::take(&mut self.strangers.held).into_iter().partition(|held| held.envelope.from == author);
        self.strangers.held = others;
        let known: VecDeque<Held> = known;
        for Held { ticket, neighbour, envelope, .. } in known {
            let verdict = self.judge(neighbour, &envelope, now);
            self.outputs.push_back(Output::Verdict { ticket, verdict });
        }
        Some(applied)
    }

    /// Somebody says to everybody that something was taken back.
    pub(super) fn revocation_said(&mut self, envelope: &Verified<Envelope>, now: Now) -> Result<Verdict, DecodeError> {
        let signed: SignedRevocation = codec::decode(&envelope.payload, MAX_ENVELOPE)?;
        if self.access.is_none() || signed.revocation.by != envelope.from {
            self.offence(envelope.from, Offence::OutOfPlace);
            return Ok(Verdict::Ignore);
        }
        Ok(if self.taken_back(&signed, now) { Verdict::Accept } else { Verdict::Ignore })
    }

    pub(super) fn taken_back(&mut self, signed: &SignedRevocation, now: Now) -> bool {
        let place = self.directory.place();
        self.access.as_mut().is_some_and(|access| access.revoked(signed, place, now))
    }
}
