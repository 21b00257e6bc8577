//! Who votes, how many of them are enough, and who leads.

use mesh_proto::charter::Voter;
use mesh_proto::decision::{Slot, Subject, VoterIndex};
use mesh_proto::{NodeId, SlotId};

/// The voters of one epoch, in ascending order of their nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate {
    voters: Vec<Voter>,
}

/// How many voters are enough for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold {
    /// More than two thirds: floor(2n / 3) + 1. Two of them have an honest voter in common.
    pub quorum: usize,
    /// More than a third: floor(n / 3) + 1. At least one of them is honest.
    pub honest: usize,
    /// So many that there is no quorum without them: n - quorum + 1.
    pub blocking: usize,
    /// How many may be traitors: floor((n - 1) / 3).
    pub faulty: usize,
}

impl Threshold {
    /// Of `n` voters.
    pub fn of(n: usize) -> Self {
        let third = n.checked_div(3).unwrap_or(0);
        let quorum = n.saturating_mul(2).checked_div(3).unwrap_or(0).saturating_add(1);
        Self {
            quorum,
            honest: third.saturating_add(1),
            blocking: n.saturating_sub(quorum).saturating_add(1),
            faulty: n.saturating_sub(1).checked_div(3).unwrap_or(0),
        }
    }
}

impl Electorate {
    /// Of voters as a checked charter or epoch record has them: at most 100, in ascending order, each once.
    pub fn new(voters: Vec<Voter>) -> Self {
        Self { voters }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether nobody can vote.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// How many are enough for what.
    pub fn threshold(&self) -> Threshold {
        Threshold::of(self.len())
    }

    /// All, in the order of their places.
    pub fn voters(&self) -> &[Voter] {
        &self.voters
    }

    /// The voter at this place.
    pub fn get(&self, voter: VoterIndex) -> Option<&Voter> {
        self.voters.get(usize::from(voter))
    }

    /// The place of this node, if it may vote.
    pub fn index_of(&self, node: &NodeId) -> Option<VoterIndex> {
        let place = self.voters.binary_search_by(|voter| voter.node.cmp(node)).ok()?;
        VoterIndex::try_from(place).ok()
    }

    /// Who leads the rounds of a slot, one after the other and again from the start: for a proposal its author, so that no
    /// other leader can suppress it, and then everybody else in the order of a hash that nobody chooses (rendezvous).
    pub fn leaders(&self, slot: &Slot, id: &SlotId) -> Vec<VoterIndex> {
        let author = match &slot.subject {
            Subject::Owned { author, .. } => self.index_of(author),
            Subject::Resource { .. } => None,
        };
        let mut order: Vec<_> = (0..=VoterIndex::MAX)
            .zip(&self.voters)
            .map(|(place, voter)| (author != Some(place), rank(id, &voter.node), place))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, place)| place).collect()
    }
}

/// A number that is different for each slot and node, and that nobody can choose: a hash of both.
pub(crate) fn rank(slot: &SlotId, node: &NodeId) -> [u8; 32] {
    let outcome = mesh_proto::decision::Outcome::Granted { holder: *node, length: 0 };
    outcome.digest(slot).0
}

#[cfg(test)]
mod tests {
    use mesh_proto::MeshId;

    use super::*;

    pub(crate) fn electorate(n: u8) -> Electorate {
        Electorate::new((1..=n).map(|n| Voter { node: NodeId([n; 32]), key: NodeId([n; 32]) }).collect())
    }

    #[test]
    fn thresholds_are_those_of_the_table() {
        // (n, quorum, honest, blocking, faulty)
        let table = [
            (1, 1, 1, 1, 0),
            (2, 2, 1, 1, 0),
            (3, 3, 2, 1, 0),
            (4, 3, 2, 2, 1),
            (7, 5, 3, 3, 2),
            (10, 7, 4, 4, 3),
            (31, 21, 11, 11, 10),
            (100, 67, 34, 34, 33),
        ];
        for (n, quorum, honest, blocking, faulty) in table {
            assert_eq!(Threshold::of(n), Threshold { quorum, honest, blocking, faulty }, "{n} voters");
        }
    }

    #[test]
    fn two_quorums_share_an_honest_voter_and_the_honest_are_a_quorum() {
        for n in 1..=100 {
            let Threshold { quorum, honest, blocking, faulty } = Threshold::of(n);
            assert!(2 * quorum - n > faulty, "{n}: in common");
            assert!(n - faulty >= quorum, "{n}: the honest can decide");
            assert!(honest > faulty, "{n}");
            assert!(blocking > faulty, "{n}: traitors alone cannot reject");
            assert!(quorum >= (n * 67).div_ceil(100), "{n}: the 67 % of the roadmap");
        }
    }

    #[test]
    fn authors_lead_first_and_others_in_an_order_of_their_own() {
        let electorate = electorate(20);
        let slot =
            |seq| Slot { mesh: MeshId([0; 32]), epoch: 0, subject: Subject::Owned { author: NodeId([7; 32]), seq } };
        let orders: Vec<_> = (0..50).map(|seq| electorate.leaders(&slot(seq), &slot(seq).id().unwrap())).collect();
        for order in &orders {
            assert_eq!(order[0], 6);
            let mut all = order.clone();
            all.sort_unstable();
            assert_eq!(all, (0..20).collect::<Vec<_>>());
        }
        let seconds: std::collections::BTreeSet<_> = orders.iter().map(|order| order[1]).collect();
        assert!(seconds.len() > 10, "{seconds:?}");
        let resource =
            Slot { mesh: MeshId([0; 32]), epoch: 0, subject: Subject::Resource { name: "gpu".into(), seq: 0 } };
        assert_eq!(electorate.leaders(&resource, &resource.id().unwrap()).len(), 20);
    }

    #[test]
    fn places_are_found_by_node() {
        let electorate = electorate(100);
        for n in 1..=100 {
            assert_eq!(electorate.index_of(&NodeId([n; 32])), Some(n - 1));
        }
        assert_eq!(electorate.index_of(&NodeId([0; 32])), None);
        assert_eq!(electorate.get(100), None);
    }
}
