//! One memory of checked signatures for all hosts. A thousand nodes check the same thousand signatures; equal bytes get equal
//! answers, so each is checked once. What is signed and refused stays as it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mesh_proto::{NodeId, Strict, Verifier};

/// Answers that are remembered, about 150 bytes each. Past it all are forgotten, and checked again when they come again.
const MAX_ANSWERS: usize = 1 << 20;

/// Asks [`Strict`] once.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<Key, bool>>);

/// The first half of a signature is as good as random, so most comparisons end at its first bytes.
type Key = ([u8; 64], NodeId, [u8; 32]);

impl Verifier for Memory {
    fn verifies(&self, node: &NodeId, domain: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
        let key = (*signature, *node, mesh_proto::transfer::hash(&[domain, message].concat()).0);
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(&key) {
            return *answer;
        }
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        let answer = Strict.verifies(node, domain, message, signature);
        answers.insert(key, answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::Keypair;

    use super::*;

    #[test]
    fn answers_are_those_of_a_strict_check() {
        let (memory, key) = (Memory::default(), Keypair::from_seed(&[1; 32]));
        let signature = key.sign(b"domain", b"message");
        for _ in 0..2 {
            assert!(memory.verifies(&key.node(), b"domain", b"message", &signature));
            assert!(!memory.verifies(&key.node(), b"domain", b"massage", &signature));
            assert!(!memory.verifies(&NodeId([2; 32]), b"domain", b"message", &signature));
        }
    }
}
