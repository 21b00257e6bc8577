//! Decisions as JavaScript is told of them.

use mesh_core::proposals::{self, Ended, Tally};
use mesh_proto::codec;
use mesh_proto::decision::{self, Ballot, Certificate, Outcome, Proposal, Subject};
use mesh_proto::limits::MAX_DECISION;
use mesh_proto::{NodeId, SlotId};
use serde::{Deserialize, Serialize};
use tsify::Tsify;

use crate::peer::peer_text;
use crate::types::{JsBytes, MeshEvent};

/// What a voter thinks of a proposal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// For it.
    Approve,
    /// Against it.
    Reject,
    /// Neither.
    Abstain,
}

/// How a slot has ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum DecisionOutcome {
    /// A quorum is for the proposal.
    Approved,
    /// So many are against it that none could be.
    Rejected,
    /// Time was over.
    Lapsed,
    /// The resource is somebody's.
    Granted,
}

/// A proposal that is open.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct OpenProposal {
    /// Its slot, hex.
    pub id: String,
    /// Whose it is.
    pub author: String,
    /// The application's name for this kind.
    pub kind: String,
    /// One line for people.
    pub title: String,
    /// The application's own.
    #[tsify(type = "Uint8Array")]
    pub body: JsBytes,
    /// Milliseconds that voters have, from when they hear of it.
    pub window_ms: u64,
    /// When it was made, by its author's clock, unix milliseconds.
    pub proposed_at: u64,
}

/// Ballots, counted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
pub struct VoteCount {
    /// For it.
    pub approve: usize,
    /// Against it.
    pub reject: usize,
    /// Neither.
    pub abstain: usize,
    /// Not heard of.
    pub missing: usize,
}

/// A ballot.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct BallotInfo {
    /// Whose.
    pub peer_id: String,
    /// What it says.
    pub vote: Choice,
    /// Why.
    pub reason: String,
}

/// Who has a resource.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its name.
    pub resource: String,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub holder: Option<String>,
    /// For so many milliseconds; 0 if nobody.
    pub length_ms: u64,
    /// The epoch whose voters granted it: the first half of the fencing token.
    pub epoch: u64,
    /// The number of the grant in that epoch: the second half.
    pub seq: u64,
}

/// How a slot has ended.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct DecisionInfo {
    /// Its slot, hex.
    pub id: String,
    /// How.
    pub outcome: DecisionOutcome,
    /// For anybody to check.
    #[tsify(type = "Uint8Array")]
    pub certificate: JsBytes,
    /// The epoch whose voters decided.
    pub epoch: u64,
    /// Voters who have signed.
    pub signers: usize,
    /// What was proposed, if that is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub proposal: Option<OpenProposal>,
    /// What it was about, if a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub grant: Option<Grant>,
    /// The ballots that were heard by then.
    pub votes: VoteCount,
    /// Each of them.
    pub ballots: Vec<BallotInfo>,
}

/// What JavaScript is told of deciding.
pub(crate) fn event(event: proposals::Event) -> MeshEvent {
    match event {
        proposals::Event::Opened { slot, author, proposal, asked } => {
            MeshEvent::Proposal { proposal: open_proposal(&slot, &author, *proposal), asked }
        }
        proposals::Event::Voted { slot, voter, ballot } => {
            let BallotInfo { peer_id, vote, reason } = ballot_info(&voter, ballot);
            MeshEvent::Vote { id: slot.to_string(), peer_id, vote, reason }
        }
        proposals::Event::Decided { slot, ended } => MeshEvent::Decided { decision: decision(&slot, *ended) },
        proposals::Event::NoQuorum { slot, tally: _ } => MeshEvent::NoQuorum { id: slot.to_string() },
        proposals::Event::Guilty { voter, evidence: _ } => MeshEvent::DoubleVote { peer_id: peer_text(&voter) },
        proposals::Event::Electorate { epoch, voters } => {
            MeshEvent::Electorate { epoch, voters: voters.iter().map(peer_text).collect() }
        }
        proposals::Event::StoreFailed => MeshEvent::StoreFailed,
    }
}

pub(crate) fn decision(slot: &SlotId, ended: Ended) -> DecisionInfo {
    let Ended { certificate, proposal, ballots, tally } = ended;
    let Tally { approve, reject, abstain, missing } = tally;
    let author = match &certificate.slot.subject {
        Subject::Owned { author, .. } => Some(*author),
        Subject::Resource { .. } => None,
    };
    DecisionInfo {
        id: slot.to_string(),
        outcome: outcome_of(&certificate),
        // What came through a decoder has an encoding.
        certificate: JsBytes(codec::encode(&certificate, MAX_DECISION).unwrap_or_default().into()),
        epoch: certificate.slot.epoch,
        signers: certificate.voters.len(),
        proposal: proposal.zip(author).map(|(proposal, author)| open_proposal(slot, &author, proposal)),
        grant: grant_of(&certificate),
        votes: VoteCount { approve, reject, abstain, missing },
        ballots: ballots.into_iter().map(|(voter, ballot)| ballot_info(&voter, ballot)).collect(),
    }
}

pub(crate) fn open_proposal(slot: &SlotId, author: &NodeId, proposal: Proposal) -> OpenProposal {
    let Proposal { kind, title, body, window, at } = proposal;
    OpenProposal {
        id: slot.to_string(),
        author: peer_text(author),
        kind,
        title,
        body: JsBytes(body),
        window_ms: window,
        proposed_at: at,
    }
}

fn ballot_info(voter: &NodeId, Ballot { choice, reason }: Ballot) -> BallotInfo {
    let vote = match choice {
        decision::Choice::Approve => Choice::Approve,
        decision::Choice::Reject => Choice::Reject,
        decision::Choice::Abstain => Choice::Abstain,
    };
    BallotInfo { peer_id: peer_text(voter), vote, reason }
}

pub(crate) fn outcome_of(certificate: &Certificate) -> DecisionOutcome {
    match certificate.outcome {
        Outcome::Approved(_) => DecisionOutcome::Approved,
        Outcome::Rejected => DecisionOutcome::Rejected,
        Outcome::Lapsed => DecisionOutcome::Lapsed,
        Outcome::Granted { .. } => DecisionOutcome::Granted,
    }
}

pub(crate) fn grant_of(certificate: &Certificate) -> Option<Grant> {
    let Subject::Resource { name, seq } = &certificate.slot.subject else {
        return None;
    };
    let (holder, length_ms) = match certificate.outcome {
        Outcome::Granted { holder, length } => (Some(peer_text(&holder)), length),
        Outcome::Approved(_) | Outcome::Rejected | Outcome::Lapsed => (None, 0),
    };
    Some(Grant { resource: name.clone(), holder, length_ms, epoch: certificate.slot.epoch, seq: *seq })
}
