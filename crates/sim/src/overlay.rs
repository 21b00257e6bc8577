//! One host's gossipsub, without a network: a model of libp2p-gossipsub 0.50 as mesh-net configures it.
//!
//! The real one takes its time and its chance from the machine, so no run of it can be repeated. This one is told both,
//! and equal inputs give equal outputs on every target. It does what the real one does, in the same order; the names of
//! libp2p's functions stand where theirs differ. Who passes on what to whom, and with how many copies, is compared with
//! real swarms in mesh-net (`gossip/tests.rs`).
//!
//! A message that comes in goes to the host ([`Output::Message`]) and, when [`Overlay::validated`] says so, to the
//! mesh, less those who sent it or do not want it (`flow`). The mesh of a topic is kept between its marks by GRAFT and PRUNE
//! (`mesh`); what the last heartbeats brought is told to some others, who ask for what they miss (`news`); whoever
//! breaks the protocol or brings what no honest peer passes on loses its links, then its gossip, then its voice
//! (`scores`).
//!
//! Not modelled: peer exchange, explicit peers, fanout (a host listens to both topics for ever), more than one connection
//! between two hosts, P3, P3b and P5. The queue of a link belongs to the network, which tells by [`Overlay::missed`] what
//! did not fit; an IDONTWANT therefore does not take back what is under way. Where libp2p has no bound, a constant
//! `MAX_…` names ours.

mod cache;
mod flow;
mod mesh;
mod news;
mod recent;
mod rpc;
mod scores;

use std::collections::{BTreeMap, VecDeque};

use mesh_core::Mono;
use mesh_core::gossip::Params;
use mesh_core::intake::Verdict;
use mesh_proto::protocol::Topic;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

pub use self::rpc::{IHave, Message, MessageId, Parts, Prune, Rpc, Subscription};

use self::cache::Cache;
use self::mesh::Mesh;
use self::news::Promises;
use self::recent::Recent;
use self::scores::{Retained, Stats};
use crate::id::HostId;

/// The address of hosts that are not counted as neighbours at one address: loopback, or none at all.
pub const LOOPBACK: u32 = 0;

/// Ids remembered as duplicates, at most: a host that hears 700 messages a second for six minutes. libp2p has no bound
/// but the time; past this one, an old message is taken for new again, and left to the host's own window.
pub const MAX_SEEN: usize = 262_144;

/// Unwanted messages remembered for one neighbour (`IDONTWANT_CAP`).
const MAX_UNWANTED: usize = 10_000;

/// How long a message is unwanted, milliseconds (`IDONTWANT_TIMEOUT`).
const UNWANTED_MS: u64 = 3_000;

/// How long copies of a message that was refused are held against those who bring them, milliseconds
/// (`TIME_CACHE_DURATION`).
const REFUSED_MS: u64 = 120_000;

/// Most subscriptions in one RPC (`MaxCountSubscriptionFilter`).
const MAX_SUBSCRIPTIONS: usize = 100;

/// Streams that a neighbour may break by RPCs past the limits, before gossip on its connection ends for good: the fifth
/// stream is not taken (`MAX_SUBSTREAM_ATTEMPTS`).
const MAX_BROKEN: u8 = 4;

/// What the overlay wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Transmit.
    Send {
        /// To this neighbour.
        to: HostId,
        /// This.
        rpc: Rpc,
    },
    /// A message for the host, new to it. [`Overlay::validated`] is due.
    Message {
        /// Who brought it first.
        from: HostId,
        /// It.
        message: Message,
    },
    /// A neighbour listens, so what is published reaches somebody.
    Listener {
        /// This neighbour.
        peer: HostId,
        /// To this.
        topic: Topic,
    },
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message is known already.
    #[error("published or received before")]
    Duplicate,
    /// No neighbour listens. The message is not remembered.
    #[error("no neighbour listens to the topic")]
    NoPeers,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Its verdict is awaited.
    Pending,
    Accepted,
    Ignored,
    Rejected,
}

#[derive(Debug)]
struct Peer {
    outbound: bool,
    address: u32,
    topics: [bool; 2],
    stats: Stats,
    unwanted: Recent<()>,
    /// Announcements of messages since the heartbeat.
    ihaves: usize,
    /// Messages asked of it since the heartbeat.
    asked: usize,
    /// Streams that it broke.
    broken: u8,
}

impl Peer {
    fn listens(&self, topic: Topic) -> bool {
        self.topics[index(topic)]
    }

    fn muted(&self) -> bool {
        self.broken >= MAX_BROKEN
    }
}

/// One host's gossipsub, listening to both topics.
#[derive(Debug)]
pub struct Overlay {
    params: Params,
    rng: ChaCha8Rng,
    peers: BTreeMap<HostId, Peer>,
    meshes: [Mesh; 2],
    seen: Recent<Seen>,
    cache: Cache,
    promises: Promises,
    retained: Retained,
    /// Neighbours at each address.
    addresses: BTreeMap<u32, usize>,
    ticks: u64,
    heartbeat_at: Mono,
    decay_at: Mono,
    outputs: VecDeque<Output>,
}

impl Overlay {
    /// A host without neighbours, subscribed to both topics.
    pub fn new(params: &Params, rng: ChaCha8Rng, now: Mono) -> Self {
        Self {
            rng,
            peers: BTreeMap::new(),
            meshes: [Mesh::default(), Mesh::default()],
            seen: Recent::new(params.duplicate_window_ms, MAX_SEEN, now),
            cache: Cache::new(params),
            promises: Promises::default(),
            retained: Retained::default(),
            addresses: BTreeMap::new(),
            ticks: 0,
            heartbeat_at: now + params.heartbeat_ms + params.heartbeat_delay_ms,
            decay_at: now + params.scores.decay_ms,
            outputs: VecDeque::new(),
            params: params.clone(),
        }
    }

    /// A link is up; `outbound` if this host dialled. `address` stands for the neighbour's IP: many at one are held
    /// against all of them, unless it is [`LOOPBACK`]. Nothing happens if the link is up already.
    pub fn connected(&mut self, peer: HostId, outbound: bool, address: u32, now: Mono) {
        if self.peers.contains_key(&peer) {
            return;
        }
        let entry = Peer {
            outbound,
            address,
            topics: [false; 2],
            stats: self.retained.take(peer),
            unwanted: Recent::new(UNWANTED_MS, MAX_UNWANTED, now),
            ihaves: 0,
            asked: 0,
            broken: 0,
        };
        self.peers.insert(peer, entry);
        *self.addresses.entry(address).or_default() += 1;
        self.recount(address);
        let subscriptions = Topic::ALL.map(|topic| Subscription { topic, subscribe: true }).to_vec();
        self.send(peer, Parts { subscriptions, ..Parts::default() });
    }

    /// A link is down.
    pub fn disconnected(&mut self, peer: HostId, now: Mono) {
        let Some(gone) = self.peers.remove(&peer) else { return };
        for mesh in &mut self.meshes {
            mesh.remove(peer);
        }
        if let Some(count) = self.addresses.get_mut(&gone.address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&gone.address);
            }
        }
        self.recount(gone.address);
        self.retained.keep(peer, gone.stats, now, &self.params.scores);
    }

    /// Sends the host's own message to all neighbours that listen, but for those whose score forbids it.
    pub fn publish(&mut self, message: Message, now: Mono) -> Result<(), PublishError> {
        self.seen.expire(now);
        if self.seen.contains(message.id()) {
            return Err(PublishError::Duplicate);
        }
        let mut recipients = self.recipients(message.topic());
        if recipients.is_empty() {
            return Err(PublishError::NoPeers);
        }
        self.seen.insert(message.id(), Seen::Accepted, now);
        self.cache.put(message.clone(), true);
        self.promises.kept(message.id());
        let first = self.below(recipients.len());
        recipients.rotate_left(first);
        self.send_all(&recipients, &Rpc::from(message));
        Ok(())
    }

    /// An RPC has come.
    pub fn receive(&mut self, from: HostId, rpc: &Rpc, now: Mono) {
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| !peer.muted()) else { return };
        if !rpc.fits(&self.params) {
            peer.broken += 1;
            return;
        }
        if !rpc.subscriptions.is_empty() {
            self.on_subscriptions(from, &rpc.subscriptions, now);
        }
        if self.score(from) < self.params.thresholds.graylist {
            return;
        }
        for message in &rpc.messages {
            self.on_message(from, message, now);
        }
        if !rpc.iwant.is_empty() {
            self.on_iwant(from, &rpc.iwant);
        }
        if !rpc.idontwant.is_empty()
            && let Some(peer) = self.peers.get_mut(&from)
        {
            rpc.idontwant.iter().for_each(|id| peer.unwanted.insert(*id, (), now));
        }
        if !rpc.ihave.is_empty() {
            self.on_ihave(from, &rpc.ihave, now);
        }
        if !rpc.graft.is_empty() {
            self.on_graft(from, &rpc.graft, now);
        }
        if !rpc.prune.is_empty() {
            self.on_prune(from, &rpc.prune, now);
        }
    }

    /// The host has looked at a message that `from` brought: it is passed on, dropped, or held against all who brought
    /// it. To be told within `history_length` heartbeats, and once.
    pub fn validated(&mut self, message: MessageId, from: HostId, verdict: Verdict, now: Mono) {
        match verdict {
            Verdict::Accept => {
                if let Some((message, senders)) = self.cache.validate(message) {
                    self.seen.set(message.id(), Seen::Accepted);
                    let topic = message.topic();
                    self.judge(from, |stats, params| stats.delivered(topic, &params.scores));
                    self.forward(&message, from, &senders);
                }
            }
            Verdict::Ignore => {
                if self.cache.refuse(message).is_some() {
                    self.seen.set(message, Seen::Ignored);
                }
            }
            Verdict::Reject => {
                if let Some((topic, senders)) = self.cache.refuse(message) {
                    self.seen.set(message, Seen::Rejected);
                    for peer in std::iter::once(from).chain(senders) {
                        self.judge(peer, |stats, params| stats.invalid(topic, &params.scores));
                    }
                }
            }
        }
        self.seen.expire(now);
    }

    /// A message found the queue of the link to `peer` full, or waited there too long.
    pub fn missed(&mut self, peer: HostId) {
        self.judge(peer, |stats, params| stats.missed(&params.scores));
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.decay_at <= now {
            self.retained.expire(now);
            for peer in self.peers.values_mut() {
                peer.stats.decay(now, &self.params.scores);
            }
            self.decay_at = now + self.params.scores.decay_ms;
        }
        if self.heartbeat_at <= now {
            self.heartbeat(now);
            self.heartbeat_at = now + self.params.heartbeat_ms;
        }
    }

    /// When [`Overlay::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Mono {
        self.heartbeat_at.min(self.decay_at)
    }

    /// What to do next; drained before the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Links in the mesh of `topic`, ordered.
    pub fn mesh(&self, topic: Topic) -> impl Iterator<Item = HostId> {
        self.meshes[index(topic)].members().iter().copied()
    }

    /// Neighbours, ordered.
    pub fn peers(&self) -> impl Iterator<Item = HostId> {
        self.peers.keys().copied()
    }

    /// Whether `peer` is known to listen to `topic`.
    pub fn listens(&self, peer: HostId, topic: Topic) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.listens(topic))
    }

    /// Whether gossip with `peer` has ended because it broke too many streams.
    pub fn muted(&self, peer: HostId) -> bool {
        self.peers.get(&peer).is_some_and(Peer::muted)
    }

    /// What `peer` is thought of; 0 if nothing is known.
    pub fn score(&self, peer: HostId) -> f64 {
        self.peers.get(&peer).map_or_else(|| self.retained.score(peer), |peer| peer.stats.score())
    }

    /// Entries in everything that is kept.
    pub fn retained(&self) -> usize {
        let peers: usize = self.peers.values().map(|peer| 1 + peer.unwanted.len()).sum();
        let meshes: usize = self.meshes.iter().map(Mesh::len).sum();
        peers
            + meshes
            + self.seen.len()
            + self.cache.len()
            + self.promises.len()
            + self.retained.len()
            + self.addresses.len()
            + self.outputs.len()
    }

    /// Neighbours that listen to `topic` and are `fit`, ordered.
    fn candidates(&self, topic: Topic, fit: impl Fn(HostId, &Peer) -> bool) -> Vec<HostId> {
        let listeners = self.peers.iter().filter(|(id, peer)| peer.listens(topic) && fit(**id, peer));
        listeners.map(|(id, _)| *id).collect()
    }

    /// At most `count` of them, by chance, ordered.
    fn pick(&mut self, mut from: Vec<HostId>, count: usize) -> Vec<HostId> {
        if from.len() > count {
            self.shuffle(&mut from);
            from.truncate(count);
            from.sort_unstable();
        }
        from
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }

    /// A number below `bound`, by chance; the last ones are rarer by `bound` in 2³².
    fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.rng.next_u32()) * bound as u64) >> 32) as usize
    }

    fn judge(&mut self, peer: HostId, verdict: impl FnOnce(&mut Stats, &Params)) {
        let stats = match self.peers.get_mut(&peer) {
            Some(peer) => Some(&mut peer.stats),
            None => self.retained.get_mut(peer),
        };
        if let Some(stats) = stats {
            verdict(stats, &self.params);
        }
    }

    /// Those at `address` have become more or less.
    fn recount(&mut self, address: u32) {
        let count = self.addresses.get(&address).copied().unwrap_or_default();
        // Below the threshold nobody's score depends on it.
        if address == LOOPBACK || scores::count(count) < self.params.scores.colocation_threshold {
            return;
        }
        for peer in self.peers.values_mut().filter(|peer| peer.address == address) {
            peer.stats.set_colocated(count, &self.params.scores);
        }
    }

    fn send(&mut self, to: HostId, parts: Parts) {
        self.send_all(&[to], &parts.into());
    }

    fn send_all(&mut self, to: &[HostId], rpc: &Rpc) {
        for to in to.iter().copied().filter(|to| self.peers.get(to).is_some_and(|peer| !peer.muted())) {
            self.outputs.push_back(Output::Send { to, rpc: rpc.clone() });
        }
    }
}

/// Where the state of a topic stands.
fn index(topic: Topic) -> usize {
    match topic {
        Topic::Agents => 0,
        Topic::Swarm => 1,
    }
}

#[cfg(test)]
mod tests;
