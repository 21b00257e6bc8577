//! Voters that do as they like. Each has one voting key and may say anything with it.

use std::sync::Arc;

use mesh_consensus::agreement::{Input, Output as Step_, State};
use mesh_consensus::instance::{Config, Me, Output};
use mesh_consensus::{Agreement, Electorate, Instance, Malachite, Plain};
use mesh_proto::decision::{Ballot, Choice, Message, Polka, Propose, Slot, Step, Value, Vote, VoterIndex};
use mesh_proto::{Digest, Keypair, SlotId, Verifier};

use super::Millis;
use crate::chance::{Chance, entropy};

/// What a traitor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treason {
    /// Nothing.
    Silent,
    /// It is one voter to one half and another voter, with the same key, to the other (Twins).
    TwoFaced,
    /// It forgets what it is locked on.
    Amnesiac,
    /// It votes for everything and nothing, to each something else, and proposes what comes to its mind.
    Erratic,
    /// It does as it should, but only some hear of it, and nobody a polka or certificate.
    Withholding,
    /// It does as it should, and repeats and forges what others have said.
    Replaying,
}

impl Treason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Silent, Self::TwoFaced, Self::Amnesiac, Self::Erratic, Self::Withholding, Self::Replaying];
}

/// Messages that one traitor says on its own account, so that a run ends.
const MAX_SAID: usize = 4_000;
/// Messages of others that it keeps.
const MAX_KEPT: usize = 64;

/// See [`Treason`].
pub(super) struct Traitor {
    treason: Treason,
    voter: VoterIndex,
    voters: usize,
    chance: Chance,
    faces: Vec<Face>,
    known: Option<Known>,
    values: Vec<Value>,
    kept: Vec<Message>,
    outbox: Vec<(VoterIndex, Message)>,
    said: usize,
    /// Who hears of a withholding traitor.
    heard_by: Vec<bool>,
    /// The highest round that it has led.
    led: Option<u32>,
}

struct Known {
    slot: Slot,
    id: SlotId,
    key: Keypair,
    leaders: Vec<VoterIndex>,
}

enum Face {
    Sane(Box<Instance<Malachite>>),
    Forgetful(Box<Instance<Forgetful>>),
}

/// Does what the paper says, but for its locks.
#[derive(Debug)]
pub(super) struct Forgetful(Plain);

impl Agreement for Forgetful {
    fn new(voters: usize, me: VoterIndex) -> Self {
        Self(Plain::new(voters, me))
    }

    fn process(&mut self, input: Input) -> Vec<Step_> {
        self.0.forget_locks();
        self.0.process(input)
    }

    fn state(&self) -> State {
        self.0.state()
    }

    fn restore(&mut self, state: State, leader: impl Fn(u32) -> VoterIndex) {
        self.0.restore(state, leader);
    }
}

macro_rules! each {
    ($face:expr, $instance:ident => $act:expr) => {
        match $face {
            Face::Sane($instance) => $act,
            Face::Forgetful($instance) => $act,
        }
    };
}

impl Traitor {
    pub(super) fn new(treason: Treason, voters: usize, voter: VoterIndex, seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1000 + u64::from(voter));
        let heard_by = (0..voters).map(|_| chance.below(2) == 0).collect();
        Self {
            treason,
            voter,
            voters,
            chance,
            faces: Vec::new(),
            known: None,
            values: Vec::new(),
            kept: Vec::new(),
            outbox: Vec::new(),
            said: 0,
            heard_by,
            led: None,
        }
    }

    pub(super) fn start(
        &mut self,
        slot: &Slot,
        electorate: &Arc<Electorate>,
        verifier: &Arc<dyn Verifier>,
        key: &Keypair,
        config: &Config,
    ) {
        let id = slot.id().expect("a short name");
        let leaders = electorate.leaders(slot, &id);
        self.known = Some(Known { slot: slot.clone(), id, key: key.clone(), leaders });
        let voter = self.voter;
        let me = || Some(Me { voter, key: key.clone() });
        let mut sane = |n: u64| {
            let (electorate, verifier) = (Arc::clone(electorate), Arc::clone(verifier));
            let entropy = entropy(n, self.chance.below(u64::MAX));
            Instance::new(config.clone(), slot.clone(), electorate, verifier, me(), entropy, 0).expect("a short name")
        };
        self.faces = match self.treason {
            Treason::Silent | Treason::Erratic => Vec::new(),
            Treason::TwoFaced => vec![Face::Sane(Box::new(sane(0))), Face::Sane(Box::new(sane(1)))],
            Treason::Withholding | Treason::Replaying => vec![Face::Sane(Box::new(sane(0)))],
            Treason::Amnesiac => {
                let (electorate, verifier) = (Arc::clone(electorate), Arc::clone(verifier));
                let instance = Instance::new(config.clone(), slot.clone(), electorate, verifier, me(), [0; 32], 0);
                vec![Face::Forgetful(Box::new(instance.expect("a short name")))]
            }
        };
    }

    pub(super) fn propose(&mut self, value: Value, other: Value, now: Millis) {
        self.values = vec![value.clone(), other.clone()];
        for (face, value) in self.faces.iter_mut().zip([value, other]) {
            each!(face, instance => instance.propose(value, now).expect("a small proposal"));
        }
        if self.treason == Treason::Erratic {
            self.lead(0);
        }
    }

    pub(super) fn hear(&mut self, from: VoterIndex, message: &Message, now: Millis) {
        let face = self.face_of(from);
        if let Some(face) = self.faces.get_mut(face) {
            let answers = each!(face, instance => if let Message::Status(status) = message {
                instance.answer(status)
            } else {
                // What is refused changes nothing.
                drop(instance.handle(message.clone(), now));
                Vec::new()
            });
            self.outbox.extend(answers.into_iter().map(|answer| (from, answer)));
        }
        match self.treason {
            Treason::Erratic => self.erratic(message),
            Treason::Replaying => self.replay(message),
            Treason::Silent | Treason::TwoFaced | Treason::Amnesiac | Treason::Withholding => {}
        }
    }

    /// Which face this voter sees.
    fn face_of(&self, voter: VoterIndex) -> usize {
        usize::from(voter).checked_rem(self.faces.len()).unwrap_or(0)
    }

    /// What it says now, and when it wants to be woken.
    pub(super) fn act(&mut self, now: Millis) -> (Vec<(VoterIndex, Message)>, Option<Millis>) {
        let mut faces = std::mem::take(&mut self.faces);
        for (place, face) in faces.iter_mut().enumerate() {
            let outputs: Vec<_> = each!(face, instance => {
                if instance.poll_timeout().is_some_and(|due| due <= now) {
                    instance.handle_timeout(now);
                }
                std::iter::from_fn(|| instance.poll_output()).collect()
            });
            for output in outputs {
                match output {
                    Output::Say(message) => self.say(place, faces_of(self.treason), *message),
                    Output::Judge(digest) => {
                        // One face likes it, the other does not.
                        let choice = if place == 0 { Choice::Approve } else { Choice::Reject };
                        let ballot = Ballot { choice, reason: String::new() };
                        let _late = each!(face, instance => instance.judge(digest, ballot, now));
                        let more: Vec<_> =
                            each!(face, instance => std::iter::from_fn(|| instance.poll_output()).collect());
                        for output in more {
                            if let Output::Say(message) = output {
                                self.say(place, faces_of(self.treason), *message);
                            }
                        }
                    }
                    Output::Ask(status) => {
                        let to = self.chance.below(self.voters as u64) as VoterIndex;
                        self.outbox.push((to, Message::Status(status)));
                    }
                    Output::Persist(_) | Output::Guilty(_) | Output::Decided(_) => {}
                }
            }
        }
        let due = faces.iter().filter_map(|face| each!(face, instance => instance.poll_timeout())).min();
        self.faces = faces;
        (std::mem::take(&mut self.outbox), due)
    }

    /// Says something to those who see this face.
    fn say(&mut self, face: usize, faces: usize, message: Message) {
        let withheld = self.treason == Treason::Withholding;
        if withheld && matches!(message, Message::Polka(_) | Message::Decision(_)) {
            return;
        }
        for to in 0..self.voters {
            let voter = to as VoterIndex;
            if voter != self.voter && to % faces == face && (!withheld || self.heard_by[to]) {
                self.outbox.push((voter, message.clone()));
            }
        }
    }

    /// Reacts to whatever is said in a round with votes for anything, to each something else.
    fn erratic(&mut self, message: &Message) {
        let round = match message {
            Message::Propose(signed) => {
                if self.values.len() < 8 {
                    self.values.push(signed.propose.value.clone());
                }
                signed.propose.round
            }
            Message::Vote(signed) => signed.vote.round,
            Message::Polka(polka) => polka.round,
            Message::Decision(_)
            | Message::Claim(_)
            | Message::Release(_)
            | Message::Evidence(_)
            | Message::Status(_)
            | Message::Epochs(_)
            | Message::EpochsAfter(_)
            | Message::Others(_) => return,
        };
        if self.said >= MAX_SAID || self.chance.below(4) != 0 {
            return;
        }
        let next = self.chance.below(2) as u32;
        self.lead(round + next);
        for to in 0..self.voters {
            let round = round + u32::from(self.chance.below(8) == 0);
            let step = if self.chance.below(2) == 0 { Step::Prevote } else { Step::Precommit };
            let value = self.any_value();
            if let Some(vote) = self.vote(round, step, value) {
                self.tell(to, Message::Vote(vote));
            }
        }
    }

    fn any_value(&mut self) -> Option<Digest> {
        let Known { id, .. } = self.known.as_ref()?;
        let value = match self.chance.below(8) {
            0 => return None,
            1 => Value::Lapsed,
            2 => Value::Rejected(Vec::new()),
            n => self.values.get(n as usize % self.values.len().max(1))?.clone(),
        };
        Some(value.outcome().ok()?.digest(id))
    }

    fn vote(&self, round: u32, step: Step, value: Option<Digest>) -> Option<mesh_proto::decision::SignedVote> {
        let Known { id, key, .. } = self.known.as_ref()?;
        let choice = if value.is_some() { Choice::Approve } else { Choice::Reject };
        let ballot = (round == 0 && step == Step::Prevote).then(|| Ballot { choice, reason: String::new() });
        Vote { slot: *id, round, step, value, voter: self.voter, ballot }.sign(key).ok()
    }

    /// If it is its turn, proposes one thing to one half and another to the other.
    fn lead(&mut self, round: u32) {
        let Some(Known { slot, key, leaders, .. }) = &self.known else { return };
        if leaders[round as usize % leaders.len()] != self.voter || self.led >= Some(round) {
            return;
        }
        self.led = Some(round);
        let mut values = self.values.clone();
        values.push(Value::Lapsed);
        let mut said = Vec::new();
        for to in 0..self.voters {
            let value = values[self.chance.below(values.len() as u64) as usize].clone();
            let pol_round = (round > 0 && self.chance.below(2) == 0).then(|| self.chance.below(round.into()) as u32);
            let propose = Propose { slot: slot.clone(), round, value, pol_round, voter: self.voter };
            if let Ok(signed) = propose.sign(key) {
                said.push((to, Message::Propose(signed)));
            }
        }
        for (to, message) in said {
            self.tell(to, message);
        }
    }

    /// Says again what others have said, as it was and with something changed.
    fn replay(&mut self, message: &Message) {
        if self.kept.len() < MAX_KEPT {
            self.kept.push(message.clone());
        }
        if self.said >= MAX_SAID || self.chance.below(4) != 0 {
            return;
        }
        let mut message = self.kept[self.chance.below(self.kept.len() as u64) as usize].clone();
        match (&mut message, self.chance.below(6)) {
            (Message::Vote(signed), 0) => signed.vote.round += 1,
            (Message::Vote(signed), 1) => signed.vote.voter = self.voter,
            (Message::Vote(signed), 2) => signed.vote.slot = SlotId([9; 32]),
            (Message::Vote(signed), 3) => signed.signature[0] ^= 1,
            (Message::Polka(Polka { votes, .. }), 0 | 1) => drop(votes.pop()),
            (Message::Polka(polka), 2) => polka.round += 1,
            (Message::Decision(certificate), 0 | 1) => certificate.outcome = mesh_proto::decision::Outcome::Rejected,
            (Message::Decision(certificate), 2) => certificate.round += 1,
            (Message::Propose(signed), 0) => signed.propose.round += 1,
            (Message::Propose(signed), 1) => signed.propose.value = Value::Lapsed,
            (_, _) => {}
        }
        let to = self.chance.below(self.voters as u64) as usize;
        self.tell(to, message);
    }

    fn tell(&mut self, to: usize, message: Message) {
        self.said += 1;
        self.outbox.push((to as VoterIndex, message));
    }
}

fn faces_of(treason: Treason) -> usize {
    if treason == Treason::TwoFaced { 2 } else { 1 }
}
