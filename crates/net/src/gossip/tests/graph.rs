//! Who is connected to whom.

use std::collections::BTreeSet;

use mesh_core::gossip::Params;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::config::Role;

pub(super) struct Graph {
    pub(super) nodes: usize,
    /// Who dials whom, in this order.
    pub(super) links: Vec<(usize, usize)>,
    hub: Option<usize>,
}

impl Graph {
    pub(super) fn full(nodes: usize) -> Self {
        Self::random(nodes, 0, 1)
    }

    /// An even number of nodes, each connected to all others but `less`, which are chosen by chance, as is who dials.
    pub(super) fn random(nodes: usize, less: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut left_out = BTreeSet::new();
        while left_out.len() < less * nodes / 2 {
            let mut order: Vec<_> = (0..nodes).collect();
            shuffle(&mut order, &mut rng);
            let pairs: Vec<_> = order.chunks(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1]))).collect();
            if pairs.iter().all(|pair| !left_out.contains(pair)) {
                left_out.extend(pairs);
            }
        }
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let mut links: Vec<_> = pairs.filter(|pair| !left_out.contains(pair)).collect();
        shuffle(&mut links, &mut rng);
        for (a, b) in &mut links {
            if rng.next_u32() % 2 == 0 {
                std::mem::swap(a, b);
            }
        }
        Self { nodes, links, hub: None }
    }

    /// A hub, and leaves that have dialled it.
    pub(super) fn star(leaves: usize) -> Self {
        Self { nodes: leaves + 1, links: (1..=leaves).map(|leaf| (leaf, 0)).collect(), hub: Some(0) }
    }

    pub(super) fn role(&self, node: usize) -> Role {
        if self.hub == Some(node) { Role::Hub } else { Role::Leaf }
    }

    pub(super) fn params(&self, node: usize) -> Params {
        match self.role(node) {
            Role::Leaf => Params::leaf(),
            Role::Hub => Params::hub(),
        }
    }

    pub(super) fn neighbours(&self, node: usize) -> BTreeSet<usize> {
        let other = |(a, b): &(usize, usize)| match node {
            node if node == *a => Some(*b),
            node if node == *b => Some(*a),
            _ => None,
        };
        self.links.iter().filter_map(other).collect()
    }
}

fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.next_u32() as usize % (at + 1));
    }
}
