//! Councils that hear each other, in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use mesh_consensus::council::{Config, Council, Decision, Floors, Keys, Output};
use mesh_consensus::instance::{Refused, Saved};
use mesh_consensus::{Chain, Malachite};
use mesh_proto::charter::{Charter, Voter};
use mesh_proto::decision::{Message, Proposal};
use mesh_proto::{Keypair, NodeId, SlotId, Strict};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Members of one mesh, the first `voters` of whom may vote.
pub(crate) struct Net {
    pub(crate) keys: Vec<Keypair>,
    pub(crate) charter: Charter,
    pub(crate) config: Config,
    pub(crate) councils: Vec<Council<Malachite>>,
    /// What each has on its disk.
    pub(crate) disks: Vec<(BTreeMap<SlotId, Saved>, Floors)>,
    pub(crate) proposed: Vec<Vec<(SlotId, Proposal)>>,
    pub(crate) decided: Vec<BTreeMap<SlotId, Decision>>,
    pub(crate) guilty: Vec<Vec<NodeId>>,
    /// Everything that was said to all.
    pub(crate) said: Vec<(usize, Message)>,
    pub(crate) now: u64,
    /// Messages lost, of a hundred.
    pub(crate) loss: u32,
    rng: ChaCha8Rng,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    mail: BTreeMap<u64, (usize, usize, Message)>,
    posted: u64,
}

/// A link takes so many milliseconds.
const WAY_MS: u64 = 20;

impl Net {
    pub(crate) fn new(members: u8, voters: u8, config: Config, seed: u64) -> Self {
        let mut keys: Vec<_> = (1..=members).map(|n| Keypair::from_seed(&[n; 32])).collect();
        keys.sort_by_key(Keypair::node);
        let voter = |key: &Keypair| Voter { node: key.node(), key: key.node() };
        let charter = Charter {
            v: 1,
            name: "lab".to_owned(),
            founders: vec![keys[0].node()],
            threshold: 1,
            voters: keys.iter().take(voters.into()).map(voter).collect(),
            open: true,
        };
        let n = keys.len();
        let mut net = Self {
            charter,
            config,
            councils: Vec::new(),
            disks: vec![Default::default(); n],
            proposed: vec![Vec::new(); n],
            decided: vec![BTreeMap::new(); n],
            guilty: vec![Vec::new(); n],
            said: Vec::new(),
            now: 0,
            loss: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            agenda: BinaryHeap::new(),
            mail: BTreeMap::new(),
            posted: 0,
            keys,
        };
        for place in 0..n {
            let council = net.council(place);
            net.councils.push(council);
        }
        net
    }

    /// A council that finds what is on its disk.
    fn council(&mut self, place: usize) -> Council<Malachite> {
        let key = self.keys[place].clone();
        let (saved, floors) = self.disks[place].clone();
        let chain = Chain::new(&self.charter).expect("a small charter");
        let saved = saved.into_values().collect();
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        let config = self.config.clone();
        let keys = Keys { identity: key.clone(), voting: Some(key) };
        Council::new(config, chain, keys, Arc::new(Strict), (saved, floors), entropy, self.now)
    }

    /// The process of a member ends, and another one begins with its disk.
    pub(crate) fn restart(&mut self, place: usize) {
        self.councils[place] = self.council(place);
        self.stir(place);
    }

    pub(crate) fn random(&mut self, below: u32) -> u32 {
        self.rng.next_u32() % below
    }

    /// Does something as a member.
    pub(crate) fn act<T>(&mut self, place: usize, act: impl FnOnce(&mut Council<Malachite>, u64) -> T) -> T {
        let result = act(&mut self.councils[place], self.now);
        self.stir(place);
        result
    }

    /// Hands a message to a member.
    pub(crate) fn tell(&mut self, to: usize, from: usize, message: Message) -> Result<(), Refused> {
        let from = self.keys[from].node();
        self.act(to, |council, now| council.handle(from, message, now))
    }

    fn stir(&mut self, place: usize) {
        while let Some(output) = self.councils[place].poll_output() {
            match output {
                Output::Persist(saved) => {
                    self.disks[place].0.insert(saved.slot.id().expect("a short name"), *saved);
                }
                Output::Forget(slot, floors) => {
                    self.disks[place].1 = floors;
                    self.disks[place].0.remove(&slot);
                }
                Output::Say(message) => {
                    for to in (0..self.keys.len()).filter(|to| *to != place) {
                        self.post(place, to, (*message).clone());
                    }
                    self.said.push((place, *message));
                }
                Output::Tell(node, message) => {
                    let to = self.keys.iter().position(|key| key.node() == node).expect("a member");
                    self.post(place, to, *message);
                }
                Output::Epoch(_) | Output::Voted(..) => {}
                Output::Proposed(slot, proposal) => self.proposed[place].push((slot, *proposal)),
                Output::Guilty(node, _) => self.guilty[place].push(node),
                Output::Decided(slot, decision) => {
                    self.decided[place].insert(slot, *decision);
                }
            }
        }
    }

    fn post(&mut self, from: usize, to: usize, message: Message) {
        if self.loss > 0 && self.random(100) < self.loss {
            return;
        }
        self.posted += 1;
        self.mail.insert(self.posted, (from, to, message));
        self.agenda.push(Reverse((self.now + WAY_MS, self.posted)));
    }

    /// Lets `ms` go by.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            let wake = self.councils.iter().filter_map(Council::poll_timeout).min().unwrap_or(u64::MAX);
            let mail = self.agenda.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            let next = wake.min(mail);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if mail <= wake {
                let Reverse((_, number)) = self.agenda.pop().expect("it was seen");
                let (from, to, message) = self.mail.remove(&number).expect("each is posted once");
                // Honest members say nothing that is refused, but for what came too late for its epoch.
                self.tell(to, from, message).unwrap_or_else(|refused| panic!("{refused} at {}", self.now));
            } else {
                for place in 0..self.councils.len() {
                    self.act(place, |council, now| council.handle_timeout(now));
                }
            }
        }
    }
}

pub(crate) fn proposal(title: &str) -> Proposal {
    Proposal { kind: "test".to_owned(), title: title.to_owned(), body: "why".into(), window: 5_000, at: 0 }
}
