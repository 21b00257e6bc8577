//! Who a mesh is: its charter, and the electorates that came after the first one.
//!
//! The hash of the charter is the id of the mesh, and what people pin. Each epoch has an explicit list of voters; the
//! charter holds that of epoch 0, an [`EpochRecord`] that of a later one, signed by as many founders as the charter asks
//! for and naming the hash of what came before. So whoever has the charter can check every later electorate without
//! asking anybody.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use sha2::{Digest as _, Sha256};

use crate::codec::{self, Bounded, DecodeError, EncodeError};
use crate::id::{Digest, Keypair, MeshId, NodeId};
use crate::limits::{MAX_CHARTER, MAX_FOUNDERS, MAX_MESH_NAME, MAX_VOTERS};
use crate::protocol::{CHARTER_DOMAIN, EPOCH_DOMAIN};

/// Version of the format that this crate speaks.
pub const VERSION: u8 = 1;

/// One who may vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voter {
    /// Its node.
    pub node: NodeId,
    /// The key that signs its votes. It lives in the store that keeps them, and is lost with it: who has forgotten what
    /// it voted cannot vote any more (reliability 1.4).
    pub key: NodeId,
}

/// The founding document of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// Format version, 1.
    pub v: u8,
    /// What people call the mesh.
    pub name: String,
    /// Who may sign later electorates, in ascending order.
    pub founders: Vec<NodeId>,
    /// How many of them have to.
    pub threshold: u8,
    /// Who votes in epoch 0, in ascending order of their nodes.
    pub voters: Vec<Voter>,
    /// Whether anybody may come in and listen.
    pub open: bool,
}

impl Charter {
    /// The id of the mesh: SHA-256 of a domain string and the charter.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than a charter may be.
    pub fn mesh(&self) -> Result<MeshId, EncodeError> {
        Ok(MeshId(hash(CHARTER_DOMAIN, &codec::encode(self, MAX_CHARTER)?)))
    }
}

impl Bounded for Charter {
    fn check(&self) -> Result<(), DecodeError> {
        version(self.v)?;
        codec::bound("name", self.name.len(), MAX_MESH_NAME)?;
        codec::printable("name", &self.name)?;
        codec::bound("founders", self.founders.len(), MAX_FOUNDERS)?;
        ascending("founders", &self.founders)?;
        if usize::from(self.threshold) > self.founders.len() || (self.threshold == 0) != self.founders.is_empty() {
            return Err(DecodeError::Malformed("threshold: not between 1 and the number of founders".into()));
        }
        electorate(&self.voters)
    }
}

/// The electorate of a later epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Format version, 1.
    pub v: u8,
    /// The mesh it is for.
    pub mesh: MeshId,
    /// One more than that of the record before.
    pub epoch: u64,
    /// Hash of the record before, see [`EpochRecord::digest`]; of the charter in epoch 1: the bytes of the mesh id.
    pub previous: Digest,
    /// Who votes, in ascending order of their nodes.
    pub voters: Vec<Voter>,
}

impl EpochRecord {
    /// What the next record names as `previous`, and what founders sign.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than a record may be.
    pub fn digest(&self) -> Result<Digest, EncodeError> {
        Ok(Digest(hash(EPOCH_DOMAIN, &codec::encode(self, MAX_CHARTER)?)))
    }

    /// A founder's signature.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than a record may be.
    pub fn sign(&self, founder: &Keypair) -> Result<FounderSignature, EncodeError> {
        let signature = founder.sign(EPOCH_DOMAIN, &self.digest()?.0);
        Ok(FounderSignature { founder: founder.node(), signature: ByteArray::new(signature) })
    }
}

impl Bounded for EpochRecord {
    fn check(&self) -> Result<(), DecodeError> {
        version(self.v)?;
        if self.epoch == 0 {
            return Err(DecodeError::Malformed("epoch 0 is that of the charter".into()));
        }
        electorate(&self.voters)
    }
}

/// A founder's word for an epoch record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FounderSignature {
    /// Who.
    pub founder: NodeId,
    /// Over the digest of the record.
    pub signature: ByteArray<64>,
}

/// An epoch record and who stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedEpoch {
    /// The record.
    pub record: EpochRecord,
    /// By founders, in ascending order, each once.
    pub signatures: Vec<FounderSignature>,
}

impl Bounded for SignedEpoch {
    fn check(&self) -> Result<(), DecodeError> {
        self.record.check()?;
        codec::bound("signatures", self.signatures.len(), MAX_FOUNDERS)?;
        let founders: Vec<_> = self.signatures.iter().map(|signature| signature.founder).collect();
        ascending("signatures", &founders)
    }
}

fn version(v: u8) -> Result<(), DecodeError> {
    if v != VERSION {
        return Err(DecodeError::Malformed(format!("version {v} is not spoken here")));
    }
    Ok(())
}

fn electorate(voters: &[Voter]) -> Result<(), DecodeError> {
    codec::bound("voters", voters.len(), MAX_VOTERS)?;
    let nodes: Vec<_> = voters.iter().map(|voter| voter.node).collect();
    ascending("voters", &nodes)?;
    let mut keys: Vec<_> = voters.iter().map(|voter| voter.key).collect();
    keys.sort_unstable();
    // One key for two voters would be two votes of one.
    ascending("keys of voters", &keys)
}

fn ascending(what: &'static str, nodes: &[NodeId]) -> Result<(), DecodeError> {
    if nodes.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    Err(DecodeError::Malformed(format!("{what}: not in ascending order, or one twice")))
}

pub(crate) fn hash(domain: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(domain);
    hash.update(bytes);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::{assert_bound, read_back};

    fn node(n: usize) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        NodeId(bytes)
    }

    fn voters(n: usize) -> Vec<Voter> {
        (0..n).map(|n| Voter { node: node(n), key: node(1000 - n) }).collect()
    }

    fn charter() -> Charter {
        Charter {
            v: 1,
            name: "lab".into(),
            founders: vec![node(1), node(2)],
            threshold: 2,
            voters: voters(4),
            open: true,
        }
    }

    fn record() -> EpochRecord {
        EpochRecord { v: 1, mesh: MeshId([1; 32]), epoch: 1, previous: Digest([2; 32]), voters: voters(4) }
    }

    #[test]
    fn a_mesh_is_its_charter() {
        let mesh = charter().mesh().unwrap();
        assert_eq!(charter().mesh().unwrap(), mesh);
        let others = [
            Charter { name: "Lab".into(), ..charter() },
            Charter { founders: vec![node(1), node(3)], ..charter() },
            Charter { threshold: 1, ..charter() },
            Charter { voters: voters(5), ..charter() },
            Charter { open: false, ..charter() },
        ];
        for other in others {
            assert_ne!(other.mesh().unwrap(), mesh, "{other:?}");
        }
    }

    #[test]
    fn charters_are_checked_where_they_are_read() {
        assert_eq!(read_back(&charter()), Ok(charter()));
        assert_bound("name", MAX_MESH_NAME, |len| Charter { name: "x".repeat(len), ..charter() });
        assert_bound("founders", MAX_FOUNDERS, |len| Charter { founders: (0..len).map(node).collect(), ..charter() });
        assert_bound("voters", MAX_VOTERS, |len| Charter { voters: voters(len), ..charter() });
        let mut twice = voters(4);
        twice[3].key = twice[0].key;
        let wrong = [
            Charter { v: 2, ..charter() },
            Charter { name: String::new(), ..charter() },
            Charter { name: "a\nb".into(), ..charter() },
            Charter { founders: vec![node(2), node(1)], ..charter() },
            Charter { founders: vec![node(1), node(1)], ..charter() },
            Charter { threshold: 0, ..charter() },
            Charter { threshold: 3, ..charter() },
            Charter { voters: voters(4).into_iter().rev().collect(), ..charter() },
            Charter { voters: [voters(2), voters(2)].concat(), ..charter() },
            Charter { voters: twice, ..charter() },
        ];
        for wrong in wrong {
            assert!(matches!(read_back(&wrong), Err(DecodeError::Malformed(_))), "{wrong:?}");
        }
        let nobodys = Charter { founders: vec![], threshold: 0, ..charter() };
        assert_eq!(read_back(&nobodys), Ok(nobodys.clone()), "its electorate never changes");
    }

    #[test]
    fn the_largest_of_each_has_room() {
        let largest = Charter {
            name: "x".repeat(MAX_MESH_NAME),
            founders: (0..MAX_FOUNDERS).map(node).collect(),
            threshold: 16,
            voters: voters(MAX_VOTERS),
            ..charter()
        };
        assert!(largest.mesh().is_ok());
        let record = EpochRecord { epoch: u64::MAX, voters: voters(MAX_VOTERS), ..record() };
        let key = Keypair::from_seed(&[1; 32]);
        let signature = record.sign(&key).unwrap();
        let signatures =
            (0..MAX_FOUNDERS).map(|n| FounderSignature { founder: node(n), ..signature.clone() }).collect();
        assert!(codec::encode(&SignedEpoch { record, signatures }, MAX_CHARTER).is_ok());
    }

    #[test]
    fn records_are_checked_where_they_are_read() {
        assert_eq!(read_back(&record()), Ok(record()));
        for wrong in [EpochRecord { v: 0, ..record() }, EpochRecord { epoch: 0, ..record() }] {
            assert!(matches!(read_back(&wrong), Err(DecodeError::Malformed(_))), "{wrong:?}");
        }
        let sealed = |seeds: &[u8]| SignedEpoch {
            record: record(),
            signatures: seeds
                .iter()
                .map(|seed| FounderSignature { founder: node((*seed).into()), signature: ByteArray::new([*seed; 64]) })
                .collect(),
        };
        assert_eq!(read_back(&sealed(&[1, 2])), Ok(sealed(&[1, 2])));
        assert!(read_back(&sealed(&[2, 1])).is_err());
        assert!(read_back(&sealed(&[1, 1])).is_err(), "one founder does not count twice");
    }

    #[test]
    fn founders_sign_one_record() {
        let key = Keypair::from_seed(&[1; 32]);
        let FounderSignature { founder, signature } = record().sign(&key).unwrap();
        assert!(founder.verifies(EPOCH_DOMAIN, &record().digest().unwrap().0, &signature));
        let other = EpochRecord { epoch: 2, ..record() };
        assert!(!founder.verifies(EPOCH_DOMAIN, &other.digest().unwrap().0, &signature));
    }
}
