//! Checks what came out, offline: with the charter, the epoch records and the certificate, without network and clock.

use std::sync::Arc;

use mesh_proto::charter::{self, Charter, EpochRecord, SignedEpoch, Voter};
use mesh_proto::codec::{self, Bounded as _};
use mesh_proto::decision::{Certificate, Outcome, Polka, Record, SignedVote, Step, VoterSet};
use mesh_proto::envelope::Verifier;
use mesh_proto::limits::MAX_RECORD_EPOCHS;
use mesh_proto::protocol::EPOCH_DOMAIN;
use mesh_proto::{DecodeError, Digest, EncodeError, MeshId, NodeId, SlotId};

use crate::electorate::Electorate;

/// Why something does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is another mesh's.
    #[error("it is of another mesh: {0}")]
    OtherMesh(MeshId),
    /// The chain does not reach that far: get the missing epoch records.
    #[error("epoch {epoch} is not in the chain, which ends with {last}")]
    UnknownEpoch {
        /// Asked for.
        epoch: u64,
        /// The last one that is known.
        last: u64,
    },
    /// A record does not follow the one before.
    #[error("epoch record {0} does not follow the one before")]
    BrokenChain(u64),
    /// Fewer founders have signed a record than the charter asks for.
    #[error("epoch record {epoch} has {signed} signatures of founders, {needed} are needed")]
    Founders {
        /// Of this epoch.
        epoch: u64,
        /// That hold.
        signed: usize,
        /// That the charter asks for.
        needed: usize,
    },
    /// Not enough voters have signed.
    #[error("{signed} of {of} voters have signed, {needed} are needed")]
    NoQuorum {
        /// Signatures.
        signed: usize,
        /// Voters.
        of: usize,
        /// The quorum.
        needed: usize,
    },
    /// A signature is not that of the voter it stands for.
    #[error("forged signature of voter {0}")]
    Forged(u8),
    /// It is not a certificate: a part of it is past its bound or contradicts another one.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// What was approved is something else.
    #[error("the proposal is not the one that was approved")]
    OtherProposal,
    /// Longer than it may be.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The electorates of a mesh, from its charter on.
#[derive(Clone, Debug)]
pub struct Chain {
    mesh: MeshId,
    charter: Charter,
    epochs: Vec<SignedEpoch>,
    electorates: Vec<Arc<Electorate>>,
    last: Digest,
}

impl Chain {
    /// Begins with a charter, which whoever calls believes.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] when it is none, [`VerifyError::Encode`] when it is longer than a charter may be.
    pub fn new(charter: &Charter) -> Result<Self, VerifyError> {
        charter.check()?;
        let mesh = charter.mesh()?;
        Ok(Self {
            mesh,
            charter: charter.clone(),
            epochs: Vec::new(),
            electorates: vec![Arc::new(Electorate::new(charter.voters.clone()))],
            last: Digest(mesh.0),
        })
    }

    /// Adds the record of the next epoch.
    ///
    /// # Errors
    /// When it is not that, or not enough founders have signed it. The chain is as it was then.
    pub fn extend(&mut self, signed: &SignedEpoch, verifier: &dyn Verifier) -> Result<(), VerifyError> {
        signed.check()?;
        codec::bound("epochs", self.epochs.len().saturating_add(1), MAX_RECORD_EPOCHS)?;
        let SignedEpoch { record, signatures } = signed;
        let EpochRecord { v: _, mesh, epoch, previous, voters } = record;
        if *mesh != self.mesh {
            return Err(VerifyError::OtherMesh(*mesh));
        }
        if Some(*epoch) != self.last_epoch().checked_add(1) || *previous != self.last {
            return Err(VerifyError::BrokenChain(*epoch));
        }
        let digest = record.digest()?;
        let holds = |founder: &&NodeId| {
            let of = signatures.iter().find(|signature| signature.founder == **founder);
            of.is_some_and(|of| verifier.verifies(founder, EPOCH_DOMAIN, &digest.0, &of.signature))
        };
        let holding = self.charter.founders.iter().filter(holds).count();
        // A charter without founders has no second electorate.
        let needed = usize::from(self.charter.threshold).max(1);
        if holding < needed {
            return Err(VerifyError::Founders { epoch: *epoch, signed: holding, needed });
        }
        self.electorates.push(Arc::new(Electorate::new(voters.clone())));
        self.epochs.push(signed.clone());
        self.last = digest;
        Ok(())
    }

    /// The record of the next epoch, for founders to sign: who votes in it, in any order.
    pub fn next(&self, mut voters: Vec<Voter>) -> EpochRecord {
        voters.sort_unstable();
        EpochRecord {
            v: charter::VERSION,
            mesh: self.mesh,
            epoch: self.last_epoch().saturating_add(1),
            previous: self.last,
            voters,
        }
    }

    /// What it begins with.
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The records that were added, from epoch 1 on.
    pub fn epochs(&self) -> &[SignedEpoch] {
        &self.epochs
    }

    /// The id of the mesh.
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The last epoch that is known.
    pub fn last_epoch(&self) -> u64 {
        u64::try_from(self.electorates.len().saturating_sub(1)).unwrap_or(u64::MAX)
    }

    /// Who votes in an epoch.
    ///
    /// # Errors
    /// [`VerifyError::UnknownEpoch`]
    pub fn electorate(&self, epoch: u64) -> Result<&Arc<Electorate>, VerifyError> {
        let known = usize::try_from(epoch).ok().and_then(|epoch| self.electorates.get(epoch));
        known.ok_or(VerifyError::UnknownEpoch { epoch, last: self.last_epoch() })
    }
}

/// Whether a decision is one: a quorum of the voters of its epoch has signed it.
///
/// A certificate must have exactly the signatures that it says it has, and all of them must hold. So the answer is the same
/// everywhere, and for any quorum of signers.
///
/// # Errors
/// [`VerifyError`], which says what does not hold.
pub fn verify(chain: &Chain, certificate: &Certificate, verifier: &dyn Verifier) -> Result<(), VerifyError> {
    // It may have been put together by hand: a voter without a signature must not pass for one.
    certificate.check()?;
    if certificate.slot.mesh != chain.mesh {
        return Err(VerifyError::OtherMesh(certificate.slot.mesh));
    }
    verify_in(chain.electorate(certificate.slot.epoch)?, certificate, verifier)
}

/// Whether a file proves a decision, for whoever believes its charter; the chain that it has led through.
///
/// A certificate of an approval is about one proposal, and another one is refused. One of a rejection or lapse says of which
/// slot it is, and not what was proposed there.
///
/// # Errors
/// [`VerifyError`], which says what does not hold.
pub fn verify_record(record: &Record, verifier: &dyn Verifier) -> Result<Chain, VerifyError> {
    let Record { charter, epochs, certificate, proposal } = record;
    let mut chain = Chain::new(charter)?;
    for epoch in epochs {
        chain.extend(epoch, verifier)?;
    }
    verify(&chain, certificate, verifier)?;
    if let (Outcome::Approved(approved), Some(proposal)) = (certificate.outcome, proposal)
        && proposal.digest()? != approved
    {
        return Err(VerifyError::OtherProposal);
    }
    Ok(chain)
}

/// The same, for who knows the electorate of the slot, and has the certificate from a decoder.
pub(crate) fn verify_in(
    electorate: &Electorate,
    certificate: &Certificate,
    verifier: &dyn Verifier,
) -> Result<(), VerifyError> {
    quorum(electorate, certificate.votes()?, verifier)
}

/// Whether a quorum has prevoted what a polka says.
///
/// # Errors
/// [`VerifyError`], which says what does not hold.
pub fn verify_polka(electorate: &Electorate, polka: &Polka, verifier: &dyn Verifier) -> Result<(), VerifyError> {
    quorum(electorate, polka.votes(), verifier)
}

/// Whether `votes` reject a proposal so that no quorum can approve it: at least n - q + 1, each in round 0.
pub(crate) fn rejects(electorate: &Electorate, slot: &SlotId, votes: &[SignedVote], verifier: &dyn Verifier) -> bool {
    let mut seen = VoterSet::default();
    let needed = electorate.threshold().blocking;
    let count = votes.iter().filter(|signed| {
        let vote = &signed.vote;
        vote.slot == *slot
            && vote.round == 0
            && vote.step == Step::Prevote
            && vote.rejects()
            && seen.insert(vote.voter)
            && electorate.get(vote.voter).is_some_and(|voter| signed.verifies(&voter.key, verifier))
    });
    count.count() >= needed
}

fn quorum(
    electorate: &Electorate,
    votes: impl Iterator<Item = SignedVote>,
    verifier: &dyn Verifier,
) -> Result<(), VerifyError> {
    let votes: Vec<_> = votes.collect();
    let voters: VoterSet = votes.iter().map(|signed| signed.vote.voter).collect();
    let needed = electorate.threshold().quorum;
    if voters.len() < needed || electorate.is_empty() {
        return Err(VerifyError::NoQuorum { signed: voters.len(), of: electorate.len(), needed });
    }
    for signed in votes {
        let voter = signed.vote.voter;
        let holds = electorate.get(voter).is_some_and(|voter| signed.verifies(&voter.key, verifier));
        if !holds {
            return Err(VerifyError::Forged(voter));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
