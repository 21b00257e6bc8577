//! A small network of those who know: messages that arrive in order and are acknowledged, stores, and blocks. No signatures are
//! checked, and nobody is introduced: the tests say who is linked, who is silent and who has left.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cid::Cid;
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{Change as What, Domain, Entry, Message, Signed};
use mesh_proto::limits::MAX_BODY;
use mesh_proto::{EntryId, Keypair, NodeId, Unverified, codec};

use super::{START, author, sign};
use crate::knowledge::{Blocks, Command, Config, Event, Knowledge, Output, Restored};
use crate::records::Change;
use crate::time::{Mono, Now};

/// One way.
pub(crate) const LATENCY_MS: u64 = 20;
/// After which a message to nobody is given up.
pub(crate) const LOST_MS: u64 = 8_000;
/// Silence until a node is suspected.
pub(crate) const SUSPECT_MS: u64 = 7_500;

pub(crate) struct Peer {
    pub(crate) key: Keypair,
    pub(crate) knowledge: Knowledge,
    pub(crate) config: Config,
    pub(crate) store: BTreeMap<String, Bytes>,
    pub(crate) blocks: BTreeMap<Cid, u64>,
    pub(crate) events: Vec<Event>,
    pub(crate) offences: usize,
    pub(crate) fetches: usize,
    pub(crate) alive: bool,
    /// Whether what it says by gossip arrives.
    pub(crate) gossips: bool,
    links: BTreeSet<usize>,
}

enum Parcel {
    Message { from: usize, to: usize, bytes: Bytes },
    Ack { to: usize, of: NodeId },
    Lost { to: usize, of: NodeId },
    Gossip { to: usize, wire: Bytes },
    Fetched { to: usize, cid: Cid, size: Option<u64> },
    Suspected { node: NodeId },
}

/// What was said, by kind: how often, and how many bytes.
pub(crate) type Traffic = BTreeMap<&'static str, (usize, usize)>;

pub(crate) struct Net {
    pub(crate) now: Now,
    pub(crate) peers: Vec<Peer>,
    pub(crate) traffic: Traffic,
    /// Every message, as it was sent.
    pub(crate) trace: Vec<(usize, usize, Bytes)>,
    /// After so many messages, this one says and hears nothing any more.
    pub(crate) mute: Option<(usize, usize)>,
    parcels: BTreeMap<(u64, u64), Parcel>,
    next: u64,
}

impl Net {
    pub(crate) fn new(configs: impl IntoIterator<Item = Config>) -> Self {
        let mut net = Self {
            now: Now { mono: Mono(1_000), unix: START },
            peers: Vec::new(),
            traffic: Traffic::new(),
            trace: Vec::new(),
            mute: None,
            parcels: BTreeMap::new(),
            next: 0,
        };
        configs.into_iter().for_each(|config| net.join(config));
        net
    }

    /// Another one. It is linked with nobody, and everybody hears what room it gives.
    pub(crate) fn join(&mut self, config: Config) {
        let n = self.peers.len();
        let key = author(n as u32);
        let knowledge = Knowledge::new(config.clone(), key.node(), Restored::default(), [n as u8; 32], self.now);
        self.peers.push(Peer {
            key,
            knowledge,
            config: config.clone(),
            store: BTreeMap::new(),
            blocks: BTreeMap::new(),
            events: Vec::new(),
            offences: 0,
            fetches: 0,
            alive: true,
            gossips: true,
            links: BTreeSet::new(),
        });
        let now = self.now;
        for m in 0..n {
            let (theirs, other) = (self.peers[m].config.offer.clone(), self.id(m));
            if self.peers[m].alive {
                self.peers[n].knowledge.offered(other, theirs, now);
            }
            let id = self.id(n);
            self.peers[m].knowledge.offered(id, config.offer.clone(), now);
        }
        self.drain(n);
    }

    pub(crate) fn id(&self, n: usize) -> NodeId {
        self.peers[n].key.node()
    }

    fn index(&self, node: &NodeId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.key.node() == *node)
    }

    pub(crate) fn link(&mut self, a: usize, b: usize) {
        let (one, other) = (self.id(a), self.id(b));
        self.peers[a].links.insert(b);
        self.peers[b].links.insert(a);
        self.peers[a].knowledge.met(other, self.now);
        self.peers[b].knowledge.met(one, self.now);
        self.drain(a);
        self.drain(b);
    }

    pub(crate) fn link_all(&mut self) {
        for b in 0..self.peers.len() {
            (0..b).for_each(|a| self.link(a, b));
        }
    }

    pub(crate) fn unlink(&mut self, a: usize, b: usize) {
        let (one, other) = (self.id(a), self.id(b));
        self.peers[a].links.remove(&b);
        self.peers[b].links.remove(&a);
        self.peers[a].knowledge.unlinked(&other, self.now);
        self.peers[b].knowledge.unlinked(&one, self.now);
        self.drain(a);
        self.drain(b);
    }

    /// Falls silent at once, and is suspected after a while.
    pub(crate) fn kill(&mut self, n: usize) {
        self.peers[n].alive = false;
        for m in self.peers[n].links.clone() {
            self.unlink(n, m);
        }
        let node = self.id(n);
        self.send(SUSPECT_MS, Parcel::Suspected { node });
    }

    /// Is there again, as it was.
    pub(crate) fn revive(&mut self, n: usize) {
        self.peers[n].alive = true;
        let (node, now) = (self.id(n), self.now);
        self.tell_others(n, |knowledge| knowledge.recovered(node, now));
    }

    /// Says goodbye.
    pub(crate) fn leave(&mut self, n: usize) {
        self.peers[n].alive = false;
        for m in self.peers[n].links.clone() {
            self.unlink(n, m);
        }
        let (node, now) = (self.id(n), self.now);
        self.tell_others(n, |knowledge| knowledge.left(node, now));
    }

    fn tell_others(&mut self, but: usize, tell: impl Fn(&mut Knowledge)) {
        for m in (0..self.peers.len()).filter(|m| *m != but) {
            tell(&mut self.peers[m].knowledge);
            self.drain(m);
        }
    }

    /// Is there again after a restart, with what is in its stores.
    pub(crate) fn restart(&mut self, n: usize) {
        let Peer { key, config, store, blocks, .. } = &self.peers[n];
        let mut records: Vec<_> = store.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let restored = Restored::take(&mut records);
        let found = blocks.iter().map(|(cid, bytes)| (*cid, *bytes)).collect();
        let mut knowledge = Knowledge::new(config.clone(), key.node(), restored, [n as u8 + 128; 32], self.now);
        for m in (0..self.peers.len()).filter(|m| *m != n && self.peers[*m].alive) {
            knowledge.offered(self.id(m), self.peers[m].config.offer.clone(), self.now);
        }
        knowledge.blocks(Blocks::Found(found), self.now);
        self.peers[n].knowledge = knowledge;
        self.peers[n].events.clear();
        self.revive(n);
        self.drain(n);
    }

    /// Writes; the block of a content is in the store first.
    pub(crate) fn write(&mut self, n: usize, domain: Domain, key: &str, change: What) -> EntryId {
        if let What::Put(content) = &change {
            let (cid, size) = (content.cid, content.size);
            self.peers[n].blocks.insert(cid, size);
            self.peers[n].knowledge.blocks(Blocks::Fetched { cid, blocks: vec![(cid, size)] }, self.now);
        }
        let peer = &mut self.peers[n];
        let entry = peer.knowledge.entry(domain, key.into(), change, None).unwrap();
        let written = peer.knowledge.written(sign(&peer.key, self.now.unix, &entry), self.now).unwrap();
        self.drain(n);
        written.id
    }

    /// An entry is here that came on some other way.
    pub(crate) fn hears(&mut self, n: usize, by: u32, entry: &Entry) -> bool {
        let news = self.peers[n].knowledge.heard(sign(&author(by), self.now.unix, entry), None, self.now);
        self.drain(n);
        news
    }

    pub(crate) fn say(&mut self, from: usize, to: usize, message: &Message) {
        let bytes = message.encode().unwrap().into();
        self.send(LATENCY_MS, Parcel::Message { from, to, bytes });
    }

    fn send(&mut self, after: u64, parcel: Parcel) {
        self.next += 1;
        self.parcels.insert((self.now.mono.0 + after, self.next), parcel);
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now.mono.0 + millis;
        loop {
            let parcel = self.parcels.keys().next().copied();
            let due =
                self.peers.iter().filter(|peer| peer.alive).filter_map(|peer| peer.knowledge.poll_timeout()).min();
            let next = parcel.map(|(at, _)| at).into_iter().chain(due.map(|due| due.0)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            let passed = next.saturating_sub(self.now.mono.0);
            self.now = Now { mono: Mono(self.now.mono.0 + passed), unix: self.now.unix + passed };
            if let Some(key) = parcel.filter(|(at, _)| *at <= next)
                && let Some(parcel) = self.parcels.remove(&key)
            {
                self.deliver(parcel);
                continue;
            }
            for n in 0..self.peers.len() {
                let peer = &mut self.peers[n];
                if peer.alive && peer.knowledge.poll_timeout().is_some_and(|due| due <= self.now.mono) {
                    peer.knowledge.handle_timeout(self.now);
                    self.drain(n);
                }
            }
        }
        let passed = end - self.now.mono.0;
        self.now = Now { mono: Mono(end), unix: self.now.unix + passed };
    }

    fn is_mute(&self, n: usize) -> bool {
        self.mute.is_some_and(|(who, after)| who == n && self.trace.len() > after)
    }

    fn deliver(&mut self, parcel: Parcel) {
        let now = self.now;
        let to = match parcel {
            Parcel::Message { from, to, bytes } => {
                let (sender, receiver) = (self.id(from), self.id(to));
                if !self.peers[to].alive || self.is_mute(to) || self.is_mute(from) {
                    return self.send(LOST_MS, Parcel::Lost { to: from, of: receiver });
                }
                self.send(LATENCY_MS, Parcel::Ack { to: from, of: receiver });
                self.told(sender, to, &bytes);
                to
            }
            Parcel::Ack { to, of } => {
                self.peers[to].knowledge.told(of, now);
                to
            }
            Parcel::Lost { to, of } => {
                self.peers[to].knowledge.lost(of, now);
                to
            }
            Parcel::Gossip { to, wire } => {
                let signed = Signed::read(Unverified::decode(wire).unwrap().believe()).unwrap();
                self.peers[to].knowledge.heard(signed, None, now);
                to
            }
            Parcel::Fetched { to, cid, size } => {
                let blocks = match size {
                    Some(size) => {
                        self.peers[to].blocks.insert(cid, size);
                        Blocks::Fetched { cid, blocks: vec![(cid, size)] }
                    }
                    None => Blocks::Failed { cid, full: false },
                };
                self.peers[to].knowledge.blocks(blocks, now);
                to
            }
            Parcel::Suspected { node } => {
                let n = self.index(&node).unwrap();
                if !self.peers[n].alive {
                    self.tell_others(n, |knowledge| knowledge.suspected(node, now));
                }
                return;
            }
        };
        self.drain(to);
    }

    fn told(&mut self, from: NodeId, to: usize, bytes: &Bytes) {
        let now = self.now;
        let knowledge = &mut self.peers[to].knowledge;
        let message: Message = codec::decode(bytes, MAX_BODY).unwrap();
        if let Message::Push { question, entries, last, .. } = message {
            if knowledge.expects(&from, question, now) {
                let came: Vec<_> = entries.iter().map(|wire| EntryId::of(wire)).collect();
                let read = |wire: serde_bytes::ByteBuf| {
                    let read = Unverified::decode(wire.into_vec().into()).unwrap();
                    let signed = Signed::read(read.believe()).unwrap();
                    knowledge.ledger().is_news(&signed.entry, &signed.id, &signed.version).then_some((signed, None))
                };
                let entries: Vec<_> = entries.into_iter().filter_map(read).collect();
                knowledge.pushed(from, (question, last), &came, entries, now);
            }
        } else if !knowledge.handle(from, message, now) {
            self.peers[to].offences += 1;
        }
    }

    /// Carries out what a peer wants.
    pub(crate) fn drain(&mut self, n: usize) {
        while let Some(output) = self.peers[n].knowledge.poll_output() {
            let is_mute = self.is_mute(n) || !self.peers[n].alive;
            match output {
                Output::Tell(to, bytes) => {
                    let Some(to) = self.index(&to).filter(|_| !is_mute) else {
                        self.send(LOST_MS, Parcel::Lost { to: n, of: to });
                        continue;
                    };
                    let of_kind = self.traffic.entry(kind(&bytes)).or_default();
                    *of_kind = (of_kind.0 + 1, of_kind.1 + bytes.len());
                    self.trace.push((n, to, bytes.clone()));
                    self.send(LATENCY_MS, Parcel::Message { from: n, to, bytes });
                }
                Output::Publish(wire) => {
                    let hears = |m: &usize| *m != n && self.peers[*m].gossips && self.peers[*m].alive;
                    let reached: Vec<_> = (0..self.peers.len()).filter(hears).collect();
                    let gossips = self.peers[n].gossips;
                    for to in reached.into_iter().filter(|_| gossips) {
                        self.send(LATENCY_MS, Parcel::Gossip { to, wire: wire.clone() });
                    }
                }
                Output::Keep(write, changes) => {
                    for Change { key, value } in changes {
                        match value {
                            Some(value) => drop(self.peers[n].store.insert(key, value)),
                            None => drop(self.peers[n].store.remove(&key)),
                        }
                    }
                    self.peers[n].knowledge.kept(write, true);
                }
                Output::Malformed(_) => self.peers[n].offences += 1,
                Output::Blocks(command) => self.command(n, command),
                Output::Event(event) => self.peers[n].events.push(event),
            }
        }
    }

    fn command(&mut self, n: usize, command: Command) {
        match command {
            Command::Fetch { cid, size: _, from } => {
                let from = from.iter().filter_map(|node| self.index(node)).filter(|m| self.peers[*m].alive);
                let size = self.peers[n].blocks.get(&cid).copied();
                let found = from.filter_map(|m| self.peers[m].blocks.get(&cid).copied()).next();
                self.peers[n].fetches += usize::from(size.is_none());
                self.send(2 * LATENCY_MS, Parcel::Fetched { to: n, cid, size: size.or(found) });
            }
            Command::Cancel { cid } => {
                self.parcels.retain(
                    |_, parcel| !matches!(parcel, Parcel::Fetched { to, cid: of, .. } if *to == n && *of == cid),
                );
            }
            Command::Remove { blocks } => {
                for cid in blocks {
                    self.peers[n].blocks.remove(&cid);
                }
            }
        }
    }

    pub(crate) fn digests(&mut self) -> BTreeSet<EntryId> {
        self.peers.iter_mut().filter(|peer| peer.alive).map(|peer| peer.knowledge.digest()).collect()
    }

    /// Messages, and their bytes, since this was asked last.
    pub(crate) fn take_traffic(&mut self) -> (usize, usize, Traffic) {
        let traffic = std::mem::take(&mut self.traffic);
        let sum = |part: fn(&(usize, usize)) -> usize| traffic.values().map(part).sum();
        (sum(|of| of.0), sum(|of| of.1), traffic)
    }
}

/// A node that gives this much room.
pub(crate) fn gives(bytes: u64) -> Config {
    let mut config = Config { offer: Some(Storage { bytes, native: true, zone: String::new() }), ..Config::default() };
    config.holding.max_bytes = bytes;
    config
}

fn kind(bytes: &[u8]) -> &'static str {
    match codec::decode(bytes, MAX_BODY).unwrap() {
        Message::Summary(_) => "summary",
        Message::Compare(_) => "compare",
        Message::Compared(_) => "compared",
        Message::Have { .. } => "have",
        Message::Pull { .. } => "pull",
        Message::Push { .. } => "push",
        Message::WhoHas { .. } => "who-has",
        Message::Holds { .. } => "holds",
        Message::Full(_) => "full",
    }
}
