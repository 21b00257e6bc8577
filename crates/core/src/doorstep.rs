//! Newcomers that ask for the member list before they listen.
//!
//! Joining promises that a newcomer hears what is said from then on. Its question and its subscription travel on two
//! streams, and where the question is faster, what is said right after the answer goes past it. So the answer waits
//! for the subscription, for a while: whoever never listens gets its list all the same.

use std::collections::{BTreeSet, VecDeque};

use mesh_proto::{NodeId, join};

use crate::time::{Mono, Now};

/// How long an answer waits, milliseconds. A subscription is sent as soon as the link is up, so this is many round
/// trips.
const PATIENCE_MS: u64 = 500;

/// Requests that wait. Past it the oldest is answered.
const MAX_WAITING: usize = 1_024;

/// A request for the member list.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the driver knows it by.
    pub ticket: u64,
    /// Who asked.
    pub from: NodeId,
    /// What it said.
    pub request: join::Request,
}

/// Who listens, and who waits until it does.
#[derive(Debug, Default)]
pub struct Doorstep {
    listening: BTreeSet<NodeId>,
    /// In the order of their coming.
    waiting: VecDeque<(Mono, Asked)>,
    answer: VecDeque<Asked>,
}

impl Doorstep {
    /// `node` listens to what is said.
    pub fn listens(&mut self, node: NodeId) {
        self.listening.insert(node);
        self.release(|asked, _| asked.from == node);
    }

    /// The last link to `node` went down.
    pub fn disconnected(&mut self, node: &NodeId) {
        self.listening.remove(node);
        self.release(|asked, _| asked.from == *node);
    }

    /// `asked` is to be answered when its sender listens.
    pub fn asked(&mut self, asked: Asked, now: Now) {
        if self.listening.contains(&asked.from) {
            return self.answer.push_back(asked);
        }
        if self.waiting.len() == MAX_WAITING {
            self.answer.extend(self.waiting.pop_front().map(|(_, oldest)| oldest));
        }
        self.waiting.push_back((now.mono + PATIENCE_MS, asked));
    }

    /// Gives up waiting.
    pub fn handle_timeout(&mut self, now: Now) {
        self.release(|_, until| until <= now.mono);
    }

    /// When waiting ends.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.waiting.front().map(|(until, _)| *until)
    }

    /// A request to answer now.
    pub fn poll_output(&mut self) -> Option<Asked> {
        self.answer.pop_front()
    }

    fn release(&mut self, which: impl Fn(&Asked, Mono) -> bool) {
        let waiting = std::mem::take(&mut self.waiting);
        let (released, kept): (VecDeque<_>, _) = waiting.into_iter().partition(|(until, asked)| which(asked, *until));
        self.waiting = kept;
        self.answer.extend(released.into_iter().map(|(_, asked)| asked));
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::MeshId;

    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn asked(ticket: u64, from: NodeId) -> Asked {
        let mesh = MeshId::open("doorstep").expect("a valid name");
        Asked { ticket, from, request: join::Request { mesh, announcement: Default::default(), after: None } }
    }

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: 1_700_000_000_000 + mono }
    }

    fn answered(doorstep: &mut Doorstep) -> Vec<u64> {
        std::iter::from_fn(|| doorstep.poll_output()).map(|asked| asked.ticket).collect()
    }

    #[test]
    fn whoever_listens_is_answered_at_once() {
        let mut doorstep = Doorstep::default();
        doorstep.listens(node(1));
        doorstep.asked(asked(1, node(1)), at(0));
        assert_eq!(answered(&mut doorstep), [1]);
        assert_eq!(doorstep.poll_timeout(), None);
    }

    #[test]
    fn others_wait_until_they_listen() {
        let mut doorstep = Doorstep::default();
        doorstep.asked(asked(1, node(1)), at(0));
        doorstep.asked(asked(2, node(2)), at(10));
        doorstep.asked(asked(3, node(1)), at(20));
        assert_eq!(answered(&mut doorstep), []);
        doorstep.listens(node(1));
        assert_eq!(answered(&mut doorstep), [1, 3]);
        assert_eq!(doorstep.poll_timeout(), Some(Mono(10 + PATIENCE_MS)));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut doorstep = Doorstep::default();
        doorstep.asked(asked(1, node(1)), at(0));
        doorstep.handle_timeout(at(PATIENCE_MS - 1));
        assert_eq!(answered(&mut doorstep), []);
        doorstep.handle_timeout(at(PATIENCE_MS));
        assert_eq!(answered(&mut doorstep), [1]);
    }

    #[test]
    fn a_lost_link_frees_the_driver_of_its_tickets() {
        let mut doorstep = Doorstep::default();
        doorstep.asked(asked(1, node(1)), at(0));
        doorstep.listens(node(2));
        doorstep.disconnected(&node(1));
        doorstep.disconnected(&node(2));
        assert_eq!(answered(&mut doorstep), [1]);
        doorstep.asked(asked(2, node(2)), at(0));
        assert_eq!(answered(&mut doorstep), [], "it listened over a link that is gone");
    }

    #[test]
    fn past_the_bound_the_oldest_is_answered() {
        let mut doorstep = Doorstep::default();
        for ticket in 0..=MAX_WAITING as u64 {
            assert_eq!(answered(&mut doorstep), []);
            doorstep.asked(asked(ticket, node(1)), at(0));
        }
        assert_eq!(answered(&mut doorstep), [0]);
    }
}
