//! The algorithm as `arc-malachitebft-core-driver` has it, the state machine of a production chain: what decides.
//!
//! It checks no signatures and gets none. It panics when proposals of two leaders come for one round, and looks at the first
//! one only when a leader proposes one value with two proofs, so the second one is dropped here; weights are always 1. What it calls a height is our slot, and there is one driver for each.

use std::fmt;

use arc_malachitebft_core_driver::{Driver, Input as DriverInput, Output as DriverOutput, ThresholdParams};
use arc_malachitebft_core_types::{
    Context, LinearTimeouts, NilOrVal, PolkaCertificate, Round, SignedExtension, SignedMessage, SigningScheme,
    TimeoutKind, Validity, VoteType, VotingPower,
};
use mesh_proto::Digest;
use mesh_proto::decision::{Step, VoterIndex};

use super::{Agreement, Input, Output, Phase, State, Timeout};

/// See the [module](self).
#[derive(Debug)]
pub struct Malachite {
    driver: Driver<Slots>,
    me: VoterIndex,
}

impl Agreement for Malachite {
    fn new(voters: usize, me: VoterIndex) -> Self {
        let count = VoterIndex::try_from(voters).unwrap_or(VoterIndex::MAX);
        let voters = Voters((0..count).map(|place| Voter(Address(place))).collect());
        Self { driver: Driver::new(Slots, Height, voters, Address(me), ThresholdParams::default()), me }
    }

    fn process(&mut self, input: Input) -> Vec<Output> {
        if self.driver.step_is_commit() {
            return Vec::new();
        }
        match input {
            Input::Round { round, leader } => self.start(round, leader),
            Input::Value { round, value } => {
                let leads = self.driver.proposer_address() == Some(&Address(self.me));
                if leads && self.is_at(round) && self.driver.step_is_propose() {
                    self.drive(DriverInput::ProposeValue(Round::new(round), Value(value)))
                } else {
                    Vec::new()
                }
            }
            Input::Proposal { round, leader, value, pol_round, valid } => {
                let round = Round::new(round);
                let proposal =
                    Proposal { round, value: Value(value), pol_round: pol_round.into(), voter: Address(leader) };
                let contradicts = |known: &Proposal| {
                    known.voter != proposal.voter
                        || (known.value == proposal.value && known.pol_round != proposal.pol_round)
                };
                let known = self.driver.proposals_and_validities_for_round(round);
                if known.iter().any(|(known, _)| contradicts(&known.message)) {
                    return Vec::new();
                }
                self.drive(DriverInput::Proposal(SignedMessage::new(proposal, ()), Validity::from_bool(valid)))
            }
            Input::Vote { round, step, voter, value } => {
                let kind = match step {
                    Step::Prevote => VoteType::Prevote,
                    Step::Precommit => VoteType::Precommit,
                };
                let value = value.map_or(NilOrVal::Nil, |value| NilOrVal::Val(Id(value)));
                let vote = Vote { round: Round::new(round), kind, value, voter: Address(voter) };
                self.drive(DriverInput::Vote(SignedMessage::new(vote, ())))
            }
            Input::Polka { round, value } => self.drive(DriverInput::PolkaCertificate(PolkaCertificate {
                height: Height,
                round: Round::new(round),
                value_id: Id(value),
                polka_signatures: Vec::new(),
            })),
            Input::Timeout(timeout) => self.drive(DriverInput::TimeoutElapsed(timeout.into())),
        }
    }

    fn state(&self) -> State {
        let state = self.driver.round_state();
        let phases = [
            (self.driver.step_is_propose(), Phase::Propose),
            (self.driver.step_is_prevote(), Phase::Prevote),
            (self.driver.step_is_precommit(), Phase::Precommit),
        ];
        let phase = phases.into_iter().find_map(|(is_there, phase)| is_there.then_some(phase));
        let value = |round: Round, value: &Value| Some((round.as_u32()?, value.0));
        State {
            round: state.round.as_u32(),
            phase,
            locked: state.locked.as_ref().and_then(|locked| value(locked.round, &locked.value)),
            valid: state.valid.as_ref().and_then(|valid| value(valid.round, &valid.value)),
            decided: state.decision.as_ref().map(|decided| decided.value.0),
        }
    }

    /// Relives what led there; the driver has no other way in. What it says meanwhile was said before.
    fn restore(&mut self, state: State, leader: impl Fn(u32) -> VoterIndex) {
        let mut relive = |input| {
            self.process(input);
        };
        let late = |round, phase| Input::Timeout(Timeout { round, phase });
        let proposal =
            |round, value| Input::Proposal { round, leader: leader(round), value, pol_round: None, valid: true };
        let mut at = None;
        if let Some((round, value)) = state.locked {
            relive(Input::Round { round, leader: leader(round) });
            relive(proposal(round, value));
            relive(Input::Polka { round, value });
            at = Some(round);
        }
        if let Some((round, value)) = state.valid.filter(|(round, _)| Some(*round) != at) {
            relive(Input::Round { round, leader: leader(round) });
            relive(late(round, Phase::Propose));
            relive(late(round, Phase::Prevote));
            relive(proposal(round, value));
            relive(Input::Polka { round, value });
            at = Some(round);
        }
        let Some(round) = state.round else {
            return;
        };
        if at != Some(round) {
            relive(Input::Round { round, leader: leader(round) });
            if state.phase >= Some(Phase::Prevote) {
                relive(late(round, Phase::Propose));
            }
            if state.phase >= Some(Phase::Precommit) {
                relive(late(round, Phase::Prevote));
            }
        }
    }
}

impl Malachite {
    /// A driver goes from one round to the next by itself; to a later one it is led by the hand.
    fn start(&mut self, round: u32, leader: VoterIndex) -> Vec<Output> {
        let current = self.driver.round();
        let unstarted = self.state().phase.is_none();
        if current > Round::new(round) || (current == Round::new(round) && !unstarted) {
            return Vec::new();
        }
        if !unstarted && let Some(round) = current.as_u32() {
            self.drive(DriverInput::TimeoutElapsed(Timeout { round, phase: Phase::Precommit }.into()));
        }
        self.drive(DriverInput::NewRound(Height, Round::new(round), Address(leader)))
    }

    fn is_at(&self, round: u32) -> bool {
        self.driver.round() == Round::new(round)
    }

    fn drive(&mut self, input: DriverInput<Slots>) -> Vec<Output> {
        // It fails on votes of strangers and before the first round: on nothing that a caller of ours hands in, and
        // without a change.
        let outputs = self.driver.process(input).unwrap_or_default();
        outputs.into_iter().filter_map(translate).collect()
    }
}

fn translate(output: DriverOutput<Slots>) -> Option<Output> {
    Some(match output {
        DriverOutput::NewRound(_, round) => Output::Round(round.as_u32()?),
        DriverOutput::GetValue(_, round, _) => Output::WantValue(round.as_u32()?),
        DriverOutput::Propose(Proposal { round, value, pol_round, .. }) => {
            Output::Propose { round: round.as_u32()?, value: value.0, pol_round: pol_round.as_u32() }
        }
        DriverOutput::Vote(Vote { round, kind, value, .. }) => {
            let step = match kind {
                VoteType::Prevote => Step::Prevote,
                VoteType::Precommit => Step::Precommit,
            };
            let value = match value {
                NilOrVal::Nil => None,
                NilOrVal::Val(Id(value)) => Some(value),
            };
            Output::Vote { round: round.as_u32()?, step, value }
        }
        // The round that it names is the one it was in.
        DriverOutput::Decide(_, Proposal { round, value, .. }) => {
            Output::Decide { round: round.as_u32()?, value: value.0 }
        }
        DriverOutput::ScheduleTimeout(timeout) => {
            let phase = match timeout.kind {
                TimeoutKind::Propose => Phase::Propose,
                TimeoutKind::Prevote => Phase::Prevote,
                TimeoutKind::Precommit => Phase::Precommit,
                TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
            };
            Output::Start(Timeout { round: timeout.round.as_u32()?, phase })
        }
    })
}

impl From<Timeout> for arc_malachitebft_core_types::Timeout {
    fn from(Timeout { round, phase }: Timeout) -> Self {
        let kind = match phase {
            Phase::Propose => TimeoutKind::Propose,
            Phase::Prevote => TimeoutKind::Prevote,
            Phase::Precommit => TimeoutKind::Precommit,
        };
        Self::new(Round::new(round), kind)
    }
}

/// What the driver is made of.
#[derive(Clone, Debug)]
struct Slots;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Address(VoterIndex);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Height;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Value(Digest);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id(Digest);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Voter(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Voters(Vec<Voter>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Proposal {
    round: Round,
    value: Value,
    pol_round: Round,
    voter: Address,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Vote {
    round: Round,
    kind: VoteType,
    value: NilOrVal<Id>,
    voter: Address,
}

/// Proposals come in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {}

/// Signatures are checked before, see [`crate::instance`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unsigned;

impl Context for Slots {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Voter;
    type ValidatorSet = Voters;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Unsigned;

    /// Never asked: leaders are told with each round.
    fn select_proposer<'a>(&self, voters: &'a Voters, _: Height, _: Round) -> &'a Voter {
        static NOBODY: Voter = Voter(Address(VoterIndex::MAX));
        voters.0.first().unwrap_or(&NOBODY)
    }

    fn new_proposal(&self, _: Height, round: Round, value: Value, pol_round: Round, voter: Address) -> Proposal {
        Proposal { round, value, pol_round, voter }
    }

    fn new_prevote(&self, _: Height, round: Round, value: NilOrVal<Id>, voter: Address) -> Vote {
        Vote { round, kind: VoteType::Prevote, value, voter }
    }

    fn new_precommit(&self, _: Height, round: Round, value: NilOrVal<Id>, voter: Address) -> Vote {
        Vote { round, kind: VoteType::Precommit, value, voter }
    }
}

impl arc_malachitebft_core_types::Address for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl arc_malachitebft_core_types::Height for Height {
    const ZERO: Self = Self;
    const INITIAL: Self = Self;

    fn increment_by(&self, _: u64) -> Self {
        Self
    }

    fn decrement_by(&self, _: u64) -> Option<Self> {
        None
    }

    fn as_u64(&self) -> u64 {
        0
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the slot")
    }
}

impl arc_malachitebft_core_types::Value for Value {
    type Id = Id;

    fn id(&self) -> Id {
        Id(self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl arc_malachitebft_core_types::Validator<Slots> for Voter {
    fn address(&self) -> &Address {
        &self.0
    }

    fn public_key(&self) -> &() {
        &()
    }

    fn voting_power(&self) -> VotingPower {
        1
    }
}

impl arc_malachitebft_core_types::ValidatorSet<Slots> for Voters {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        VotingPower::try_from(self.0.len()).unwrap_or(VotingPower::MAX)
    }

    fn get_by_address(&self, address: &Address) -> Option<&Voter> {
        self.get_by_index(address.0.into())
    }

    fn get_by_index(&self, index: usize) -> Option<&Voter> {
        self.0.get(index)
    }
}

impl arc_malachitebft_core_types::Proposal<Slots> for Proposal {
    fn height(&self) -> Height {
        Height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }
}

impl arc_malachitebft_core_types::Vote<Slots> for Vote {
    fn height(&self) -> Height {
        Height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Id> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Id> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Slots>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Slots>> {
        None
    }

    fn extend(self, _: SignedExtension<Slots>) -> Self {
        self
    }
}

impl arc_malachitebft_core_types::ProposalPart<Slots> for Part {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

impl SigningScheme for Unsigned {
    type DecodingError = std::convert::Infallible;
    type Signature = ();
    type PublicKey = ();
    type PrivateKey = ();

    fn decode_signature(_: &[u8]) -> Result<(), Self::DecodingError> {
        Ok(())
    }

    fn encode_signature((): &()) -> Vec<u8> {
        Vec::new()
    }

    fn decode_public_key(_: &[u8]) -> Result<(), Self::DecodingError> {
        Ok(())
    }

    fn encode_public_key((): &()) -> Vec<u8> {
        Vec::new()
    }
}
