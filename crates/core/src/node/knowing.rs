//! Knowing together: between knowledge and the rest of the node.

use cid::Cid;
use mesh_proto::credential::{Chain, Role};
use mesh_proto::knowledge::{Change as What, Credited, Domain, Entry, Message, Signed, Summary};
use mesh_proto::limits::{MAX_BODY, MAX_ENTRY};
use mesh_proto::{EntryId, Unverified};

use super::*;
use crate::knowledge::{self, Blocks, Error, Kept, Knowledge, Written};

/// Milliseconds in which what is told about knowledge has to arrive. Later the comparison it belongs to is given up.
const TELL_MS: u64 = 8_000;

impl Node {
    /// Changes a key of a domain; with `expires`, it counts as taken away from then on, unix milliseconds. The content of a
    /// [`What::Put`] is in the store already, and was told by [`Input::Blocks`].
    ///
    /// # Errors
    /// [`Error`]
    pub fn write(
        &mut self,
        domain: Domain,
        key: String,
        change: What,
        expires: Option<u64>,
        now: Now,
    ) -> Result<Written, Error> {
        self.check_speaks(now)?;
        let entry = self.knowledge.entry(domain, key, change, expires)?;
        let payload = codec::encode(&entry, MAX_ENVELOPE).map_err(codec_bound)?;
        let sealed = self.sealer.seal(Kind::KnowledgeShare, payload, now).map_err(codec_bound)?;
        self.metrics.envelopes_sent += 1;
        let written = self.knowledge.written(Signed::read(sealed)?, now)?;
        self.metrics.entries_written += 1;
        self.turn(now);
        Ok(written)
    }

    /// What a key stands for, and its siblings: the latest first.
    pub fn known(&self, domain: &Domain, key: &str) -> &[Kept] {
        self.knowledge.ledger().get(domain, key)
    }

    /// What this node knows, and what it holds of it.
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// What is known of each domain.
    pub fn knowledge_summaries(&mut self) -> Vec<Summary> {
        self.knowledge.summaries()
    }

    /// One hash of all entries: equal on nodes that know the same.
    pub fn knowledge_digest(&mut self) -> EntryId {
        self.knowledge.digest()
    }

    /// Compares a domain with a neighbour; ends in [`knowledge::Event::Compared`]. Whether that has begun: not if there is no link to
    /// it, or too many comparisons are under way.
    pub fn compare(&mut self, peer: NodeId, domain: Domain, now: Now) -> bool {
        let begun = self.health.links().contains_key(&peer) && self.knowledge.compare(peer, domain, now);
        self.turn(now);
        begun
    }

    /// Keeps content here; ends in [`knowledge::Event::Settled`] with this number.
    pub fn pin(&mut self, cid: Cid, now: Now) -> u64 {
        let write = self.knowledge.pin(cid, now);
        self.turn(now);
        write
    }

    /// Keeps it no longer for that.
    pub fn unpin(&mut self, cid: &Cid, now: Now) -> u64 {
        let write = self.knowledge.unpin(cid, now);
        self.turn(now);
        write
    }

    /// Asks who holds content; ends in [`knowledge::Event::Holders`] with this number.
    ///
    /// # Errors
    /// [`Error::Busy`]
    pub fn who_has(&mut self, cid: Cid, now: Now) -> Result<u64, Error> {
        let question = self.knowledge.who_has(cid, now)?;
        self.turn(now);
        Ok(question)
    }

    /// Somebody here has read content.
    pub fn read_content(&mut self, cid: &Cid, now: Now) {
        self.knowledge.used(cid, now);
    }

    pub(super) fn blocks(&mut self, blocks: Blocks, now: Now) {
        self.knowledge.blocks(blocks, now);
    }

    /// Somebody says an entry to everybody.
    pub(super) fn entry_said(&mut self, envelope: &Verified<Envelope>, now: Now) -> Result<Verdict, DecodeError> {
        let signed = Signed::read(envelope.clone())?;
        let chain = self.access.as_ref().and_then(|access| access.admission().chain_of(&signed.version.0));
        let news = self.knowledge.heard(signed, chain, now);
        Ok(if news { Verdict::Accept } else { Verdict::Ignore })
    }

    /// A peer says something about knowledge.
    pub(super) fn knowledge_told(&mut self, from: NodeId, body: &[u8], now: Now) {
        let message = match codec::decode(body, MAX_BODY) {
            Ok(message) => message,
            Err(error) => return self.offence(from, intake::offence_of(&error.into())),
        };
        if let Message::Push { question, entries, credentials, last } = message {
            if !self.knowledge.expects(&from, question, now) {
                return;
            }
            let entries: Vec<Bytes> = entries.into_iter().map(|wire| wire.into_vec().into()).collect();
            let came: Vec<_> = entries.iter().map(|wire| EntryId::of(wire)).collect();
            let entries = entries.into_iter().map(|wire| self.admit_entry(wire, &credentials));
            match entries.collect::<Result<Vec<_>, Offence>>() {
                Ok(entries) => {
                    let entries = entries.into_iter().flatten().collect();
                    self.knowledge.pushed(from, (question, last), &came, entries, now);
                }
                Err(offence) => self.offence(from, offence),
            }
        } else if !self.knowledge.handle(from, message, now) {
            self.offence(from, Offence::RateExceeded);
        }
    }

    /// An entry that was handed over outside of gossip, and what shows that its author is a member; nothing if it is none. It may
    /// be years old, or a little ahead: of whose clock is a matter between its author and whoever let it in.
    ///
    /// # Errors
    /// The [`Offence`] of whoever handed it over.
    fn admit_entry(&self, wire: Bytes, credentials: &[Credited]) -> Result<Option<(Signed, Option<Chain>)>, Offence> {
        let unverified = Unverified::decode(wire).map_err(|error| intake::offence_of(&error))?;
        let claims = unverified.claims();
        if claims.mesh != self.mesh {
            return Err(Offence::WrongMesh);
        }
        let malformed = |error: DecodeError| intake::offence_of(&error.into());
        let entry: Entry = codec::decode(&claims.payload, MAX_ENTRY).map_err(malformed)?;
        let (id, version) =
            (EntryId::of(unverified.wire()), entry.version(claims.from, claims.clock).map_err(malformed)?);
        if !self.knowledge.ledger().is_news(&entry, &id, &version) {
            return Ok(None);
        }
        let envelope = self.intake.verify(unverified)?;
        let signed = Signed::read(envelope).map_err(|error| intake::offence_of(&error.into()))?;
        let Some(access) = &self.access else { return Ok(Some((signed, None))) };
        let author = signed.version.0;
        let shown = credentials.iter().find(|credited| credited.node == author).map(|credited| &credited.chain);
        // Who is let in later could write it again under this date. Who was sent away since could write it then, and others have it:
        // all are to know the same.
        let admission = access.admission();
        let known = [admission.chain_of(&author), self.knowledge.chain_of(&author), shown];
        let written = signed.envelope.clock.unix_ms();
        let none = Chain::default();
        for chain in known.into_iter().flatten().chain([&none]) {
            let standing = admission.check_since(chain, &author, written);
            if standing.is_ok_and(|standing| standing.role >= Role::Member) {
                return Ok(Some((signed, Some(chain.clone()))));
            }
        }
        Ok(None)
    }

    pub(super) fn knowledge_wants(&mut self, output: knowledge::Output, now: Now) {
        match output {
            knowledge::Output::Tell(to, body) => {
                match self.messaging.tell(to, direct::Reader::Knowledge, body, TELL_MS, now) {
                    Ok(send) => {
                        self.telling.insert(send, to);
                    }
                    // It has too much to read already: whoever waits for this asks again.
                    Err(_) => self.knowledge.lost(to, now),
                }
            }
            knowledge::Output::Publish(wire) => {
                self.outputs.push_back(Output::Publish { topic: Kind::KnowledgeShare.topic(), wire });
            }
            knowledge::Output::Keep(write, changes) => {
                self.outputs.push_back(Output::Keep { ticket: Ticket::Knowledge(write), changes });
            }
            knowledge::Output::Malformed(peer) => self.offence(peer, Offence::Malformed),
            knowledge::Output::Blocks(command) => self.outputs.push_back(Output::Blocks(command)),
            knowledge::Output::Event(event) => {
                match &event {
                    knowledge::Event::Changed { entry, .. } if entry.version.0 != self.id() => {
                        self.metrics.entries_received += 1;
                    }
                    knowledge::Event::Compared(done) => {
                        self.metrics.comparisons += 1;
                        self.metrics.comparisons_broken += u64::from(!done.whole);
                    }
                    knowledge::Event::Repaired { .. } => self.metrics.repairs += 1,
                    knowledge::Event::Changed { .. }
                    | knowledge::Event::Expired { .. }
                    | knowledge::Event::Settled { .. }
                    | knowledge::Event::Held { .. }
                    | knowledge::Event::Holders { .. } => {}
                }
                self.event(Event::Knowledge(event));
            }
        }
    }
}

/// What the bounds of an entry leave no room for.
fn codec_bound(error: mesh_proto::EncodeError) -> Error {
    Error::Invalid(DecodeError::Malformed(error.to_string()))
}
