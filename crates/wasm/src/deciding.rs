//! Deciding together: what JavaScript asks of a node, and what it can check without one.

use mesh_consensus::certificate::{VerifyError, verify_record};
use mesh_consensus::council::Error as Refused;
use mesh_consensus::instance::JudgeError;
use mesh_core::proposals;
use mesh_net::Ending;
use mesh_proto::charter::{self, Charter, SignedEpoch, Voter};
use mesh_proto::codec::{self, Bounded as _};
use mesh_proto::credential::{Chain, Pass};
use mesh_proto::decision::{self, Ballot, Certificate, Outcome, Proposal, Record, Subject};
use mesh_proto::limits::{MAX_CHARTER, MAX_DECISION, MAX_PASS, MAX_RECORD};
use mesh_proto::{DecodeError, EncodeError, SlotId, Strict};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

use crate::MeshNode;
use crate::abort::unless_aborted;
use crate::convert::bytes32;
use crate::decisions::{
    Choice, DecisionInfo, DecisionOutcome, Grant, OpenProposal, decision, grant_of, open_proposal, outcome_of,
};
use crate::error::{ErrorCode, FaultDetails, MeshFault};
use crate::peer::{node, peer_text};

/// What is to be decided.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct NewProposal {
    /// At most 64 bytes.
    pub kind: String,
    /// At most 256 bytes.
    pub title: String,
    /// At most 32 KiB.
    #[tsify(type = "Uint8Array")]
    pub body: ByteBuf,
    /// Milliseconds that voters have.
    pub window_ms: f64,
}

/// A lease that somebody has.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct LeaseInfo {
    /// Whose.
    pub holder: String,
    /// The first half of its token.
    pub epoch: u64,
    /// The second half.
    pub seq: u64,
    /// Milliseconds until it is over, by this node's clock.
    pub left_ms: u64,
    /// Milliseconds until its holder has to stop.
    pub stop_in_ms: u64,
}

/// One who may vote.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct VoterInfo {
    /// Its node.
    pub peer_id: String,
    /// The key that signs its votes, in the form of a peer id.
    pub voting_key: String,
}

/// Who votes.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ElectorateInfo {
    /// The current epoch.
    pub epoch: u64,
    /// Its voters.
    pub voters: Vec<VoterInfo>,
    /// Whether this node votes.
    pub votes: bool,
    /// Whether this node may say who votes.
    pub founder: bool,
    /// The key that signs this node's votes, if it has a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub voting_key: Option<String>,
}

/// What a charter says.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct CharterInfo {
    /// The id of the mesh, hex; not read when a charter is made.
    pub mesh_id: String,
    /// What people call the mesh.
    pub name: String,
    /// Who may say who votes.
    pub founders: Vec<String>,
    /// How many of them have to.
    pub threshold: u8,
    /// Who votes in epoch 0.
    pub voters: Vec<VoterInfo>,
    /// Whether anybody may come in and listen.
    pub open: bool,
}

/// A decision that holds.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedDecision {
    /// The mesh, hex: that it is yours is for you to know.
    pub mesh_id: String,
    /// Its name.
    pub mesh: String,
    /// How many could vote.
    pub voters: usize,
    /// How many have signed.
    pub signers: usize,
    /// The epoch.
    pub epoch: u64,
    /// The slot, hex.
    pub id: String,
    /// How it ended.
    pub outcome: DecisionOutcome,
    /// Whose proposal it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub author: Option<String>,
    /// What was approved, if the file holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub proposal: Option<OpenProposal>,
    /// What it was about, if a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub grant: Option<Grant>,
}

/// The founding document of a mesh, encoded. Its hash is the id of the mesh.
#[wasm_bindgen(js_name = encodeCharter)]
pub fn encode_charter(info: Ts<CharterInfo>) -> Result<Vec<u8>, MeshFault> {
    let CharterInfo { mesh_id: _, name, founders, threshold, voters, open } = info.to_rust()?;
    let mut founders = founders.iter().map(|peer| node(peer)).collect::<Result<Vec<_>, _>>()?;
    founders.sort_unstable();
    let voter = |VoterInfo { peer_id, voting_key }: VoterInfo| -> Result<Voter, MeshFault> {
        Ok(Voter { node: node(&peer_id)?, key: node(&voting_key)? })
    };
    let mut voters = voters.into_iter().map(voter).collect::<Result<Vec<_>, _>>()?;
    voters.sort_unstable();
    let charter = Charter { v: charter::VERSION, name, founders, threshold, voters, open };
    charter.check()?;
    Ok(codec::encode(&charter, MAX_CHARTER)?)
}

/// What a charter says.
#[wasm_bindgen(js_name = decodeCharter)]
pub fn decode_charter(bytes: &[u8]) -> Result<Ts<CharterInfo>, MeshFault> {
    let (charter, _) = read_entry(bytes)?;
    let mesh_id = charter.mesh()?.to_string();
    let Charter { v: _, name, founders, threshold, voters, open } = charter;
    let founders = founders.iter().map(peer_text).collect();
    let voters = voters.iter().map(voter_info).collect();
    Ok(CharterInfo { mesh_id, name, founders, threshold, voters, open }.into_ts()?)
}

/// The peer id of an identity.
#[wasm_bindgen(js_name = peerIdOf)]
pub fn peer_id_of(identity: &[u8]) -> Result<String, MeshFault> {
    let seed = identity.try_into().map_err(|_| MeshFault::invalid("an identity is 32 bytes"))?;
    Ok(peer_text(&mesh_net::Identity::from_seed(seed).node()))
}

/// Checks a certificate with nothing but the charter and the records of later epochs.
#[wasm_bindgen(js_name = verifyDecision)]
pub fn verify_decision(
    certificate: &[u8],
    charter_bytes: &[u8],
    epochs: Vec<js_sys::Uint8Array>,
) -> Result<Ts<VerifiedDecision>, MeshFault> {
    let certificate: Certificate = codec::decode(certificate, MAX_DECISION)?;
    let read = |epoch: js_sys::Uint8Array| codec::decode::<SignedEpoch>(&epoch.to_vec(), MAX_CHARTER);
    let epochs = epochs.into_iter().map(read).collect::<Result<_, _>>()?;
    let (charter, _) = read_entry(charter_bytes)?;
    verified(&Record { charter, epochs, certificate, proposal: None })
}

/// Checks a file that proves a decision.
#[wasm_bindgen(js_name = verifyRecord)]
pub fn verify_record_bytes(record: &[u8]) -> Result<Ts<VerifiedDecision>, MeshFault> {
    verified(&codec::decode(record, MAX_RECORD)?)
}

fn verified(record: &Record) -> Result<Ts<VerifiedDecision>, MeshFault> {
    let chain = verify_record(record, &Strict)?;
    let certificate = &record.certificate;
    let id = certificate.slot.id()?;
    let approved = matches!(certificate.outcome, Outcome::Approved(_));
    let author = match &certificate.slot.subject {
        Subject::Owned { author, .. } => Some(*author),
        Subject::Resource { .. } => None,
    };
    let proposal = record.proposal.clone().filter(|_| approved).zip(author);
    let decision = VerifiedDecision {
        mesh_id: chain.mesh().to_string(),
        mesh: record.charter.name.clone(),
        voters: chain.electorate(certificate.slot.epoch)?.len(),
        signers: certificate.voters.len(),
        epoch: certificate.slot.epoch,
        id: id.to_string(),
        outcome: outcome_of(certificate),
        author: author.as_ref().map(peer_text),
        proposal: proposal.map(|(proposal, author)| open_proposal(&id, &author, proposal)),
        grant: grant_of(certificate),
    };
    Ok(decision.into_ts()?)
}

/// A charter, or a pass, which holds one.
pub(crate) fn read_entry(bytes: &[u8]) -> Result<(Charter, Chain), MeshFault> {
    if let Ok(pass) = codec::decode::<Pass>(bytes, MAX_PASS) {
        return Ok((pass.charter, pass.chain));
    }
    Ok((read_charter(bytes)?, Chain::default()))
}

pub(crate) fn read_charter(bytes: &[u8]) -> Result<Charter, MeshFault> {
    Ok(codec::decode(bytes, MAX_CHARTER)?)
}

#[wasm_bindgen]
impl MeshNode {
    /// Begins to decide about a proposal; its id.
    pub async fn propose(&self, proposal: Ts<NewProposal>) -> Result<String, MeshFault> {
        let NewProposal { kind, title, body, window_ms } = proposal.to_rust()?;
        let body = body.into_vec().into();
        let at = mesh_net::now().unix;
        let proposal = Proposal { kind, title, body, window: window_ms.ceil() as u64, at };
        proposal.check()?;
        Ok(self.handle.propose(proposal).await??.to_string())
    }

    /// How a proposal or claim ends; nothing when too few voters can be reached.
    pub async fn ending(&self, id: String, signal: Option<AbortSignal>) -> Result<Option<Ts<DecisionInfo>>, MeshFault> {
        let slot = slot(&id)?;
        let ending = unless_aborted(signal, self.handle.ending(slot)).await??;
        Ok(match ending {
            Ending::Decided(ended) => Some(decision(&slot, *ended).into_ts()?),
            Ending::NoQuorum => None,
        })
    }

    /// Says what this node thinks of a proposal.
    pub async fn vote(&self, id: String, choice: Ts<Choice>, reason: String) -> Result<(), MeshFault> {
        let choice = match choice.to_rust()? {
            Choice::Approve => decision::Choice::Approve,
            Choice::Reject => decision::Choice::Reject,
            Choice::Abstain => decision::Choice::Abstain,
        };
        Ok(self.handle.vote(slot(&id)?, Ballot { choice, reason }).await??)
    }

    /// Claims a resource; the id of the slot that says whose it is.
    pub async fn claim(&self, resource: String, length_ms: f64) -> Result<String, MeshFault> {
        Ok(self.handle.claim(resource, length_ms.ceil() as u64).await??.to_string())
    }

    /// Gives a resource back.
    pub async fn release(&self, resource: String) -> Result<(), MeshFault> {
        Ok(self.handle.release(resource).await??)
    }

    /// Who holds a resource.
    pub async fn lease(&self, resource: String) -> Result<Option<Ts<LeaseInfo>>, MeshFault> {
        let Some((lease, now)) = self.handle.lease(resource).await? else {
            return Ok(None);
        };
        let info = LeaseInfo {
            holder: peer_text(&lease.holder),
            epoch: lease.token.epoch,
            seq: lease.token.seq,
            left_ms: lease.until.saturating_sub(now.mono.0),
            stop_in_ms: lease.stop_at.saturating_sub(now.mono.0),
        };
        Ok(Some(info.into_ts()?))
    }

    /// Begins the next epoch with these voters, as the mesh's founder; its number.
    pub async fn elect(&self, peers: Vec<String>) -> Result<u64, MeshFault> {
        let nodes = peers.iter().map(|peer| node(peer)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.handle.elect(nodes).await??)
    }

    /// Who votes; nothing in an open mesh without a charter.
    pub async fn electorate(&self) -> Result<Option<Ts<ElectorateInfo>>, MeshFault> {
        let Some(electorate) = self.handle.electorate().await? else {
            return Ok(None);
        };
        let info = ElectorateInfo {
            epoch: electorate.epoch,
            voters: electorate.voters.iter().map(voter_info).collect(),
            votes: electorate.votes,
            founder: electorate.founder,
            voting_key: electorate.voting_key.as_ref().map(peer_text),
        };
        Ok(Some(info.into_ts()?))
    }

    /// The records of the epochs after the charter's, encoded.
    pub async fn epochs(&self) -> Result<Vec<js_sys::Uint8Array>, MeshFault> {
        let encoded =
            |epoch: &SignedEpoch| codec::encode(epoch, MAX_CHARTER).map(|bytes| js_sys::Uint8Array::from(&bytes[..]));
        Ok(self.handle.epochs().await?.iter().map(encoded).collect::<Result<_, _>>()?)
    }

    /// A file that proves how a proposal or claim has ended, as long as that is remembered.
    pub async fn record(&self, id: String) -> Result<Option<Vec<u8>>, MeshFault> {
        let record = self.handle.record(slot(&id)?).await?;
        Ok(record.map(|record| codec::encode(&record, MAX_RECORD)).transpose()?)
    }
}

fn voter_info(voter: &Voter) -> VoterInfo {
    VoterInfo { peer_id: peer_text(&voter.node), voting_key: peer_text(&voter.key) }
}

fn slot(id: &str) -> Result<SlotId, MeshFault> {
    bytes32(id).map(SlotId).ok_or_else(|| MeshFault::invalid("the id of a proposal is 64 hex digits"))
}

impl From<VerifyError> for MeshFault {
    fn from(error: VerifyError) -> Self {
        Self::new(ErrorCode::Integrity, error)
    }
}

impl From<DecodeError> for MeshFault {
    fn from(error: DecodeError) -> Self {
        Self::invalid(error)
    }
}

impl From<EncodeError> for MeshFault {
    fn from(error: EncodeError) -> Self {
        Self::new(ErrorCode::TooLarge, error)
    }
}

impl From<proposals::Error> for MeshFault {
    fn from(error: proposals::Error) -> Self {
        let code = match &error {
            proposals::Error::NoCharter => ErrorCode::NotAVoter,
            proposals::Error::StoreFailed => ErrorCode::StoreFailed,
            proposals::Error::OnlyListens(_) => ErrorCode::NotAMember,
            proposals::Error::NoVotingKey(node) => {
                let what = "has announced no voting key: it has to be in the mesh, with a store";
                return Self::invalid(format!("{} {what}", peer_text(node)));
            }
            proposals::Error::Ended(Outcome::Lapsed) => ErrorCode::Lapsed,
            proposals::Error::Ended(_) => ErrorCode::AlreadyDecided,
            proposals::Error::Council(refused) => match refused {
                Refused::Held { holder, left_ms } => {
                    let holder = peer_text(holder);
                    return Self {
                        message: format!("{holder} holds it for {left_ms} ms more"),
                        details: Some(FaultDetails {
                            holder: Some(holder),
                            left_ms: Some(*left_ms),
                            ..FaultDetails::default()
                        }),
                        ..Self::new(ErrorCode::Held, &error)
                    };
                }
                Refused::NotAVoter(_) | Refused::Judge(JudgeError::NotAVoter) => ErrorCode::NotAVoter,
                Refused::Judge(JudgeError::AlreadyVoted) => ErrorCode::AlreadyVoted,
                Refused::Judge(JudgeError::Decided) => ErrorCode::AlreadyDecided,
                Refused::NotAFounder(_) => ErrorCode::NotAFounder,
                Refused::Full(_) => ErrorCode::OverQuota,
                Refused::NotHeld => ErrorCode::NotHeld,
                Refused::Unknown => ErrorCode::UnknownProposal,
                Refused::Encode(_) => ErrorCode::TooLarge,
                Refused::Verify(_) => ErrorCode::InvalidArgument,
                Refused::Used(_) => ErrorCode::Internal,
            },
        };
        Self::new(code, error)
    }
}
