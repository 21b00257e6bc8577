//! What we want, and from whom: a machine that is told what happened and says what to send.
//!
//! A block that is wanted is asked of one peer at a time, the likeliest; others are asked whether they have it. Who says that
//! it has not, who stays silent and who leaves is passed over for the next. When nobody is left, a search for providers is
//! asked for, and everybody is asked again after a while. What arrives is cancelled everywhere else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use cid::Cid;
use libp2p::PeerId;
use mesh_unixfs::Block;

use crate::message::{Ask, Entry, Presence};

/// Blocks that are wanted at once, at most. Whoever reads a file asks for some tens ahead.
pub const MAX_WANTS: usize = 4096;

/// Peers that are asked at once whether they have a block, beside the one that is asked for it.
pub const SPREAD: usize = 16;

/// How long a peer that was asked for blocks may send none of them.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long one block may be asked of one peer, though it sends others.
pub const LONGEST: Duration = Duration::from_secs(30);

/// How long after a block was wanted those that had it not, or did not send it, are asked again, and a search asked for
/// again; twice that after the next time, and so on to [`MAX_PAUSE`].
pub const PAUSE: Duration = Duration::from_secs(10);

/// The longest such pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(80);

/// As many blocks are wanted already as can be: [`MAX_WANTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WANTS} blocks are wanted already; ask again when some have come")]
pub struct Full;

/// What the client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A block that was wanted, and who sent it.
    Got(Block, PeerId),
    /// No peer that we know has this block: find others.
    Search(Cid),
}

/// What we know of a wanted block at a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Said to have it by whoever wants it; not asked yet.
    Hinted,
    /// Asked whether it has it, and no answer yet.
    Asked,
    /// It has it.
    Has,
    /// It said that it has it not.
    Lacks,
    /// It was asked for it and did not send it: what it says of it now means nothing.
    Silent,
}

#[derive(Debug, Default)]
struct Want {
    at: BTreeMap<PeerId, At>,
    /// Who was asked for it, and when.
    from: Option<(PeerId, Duration)>,
    /// When those that had it not, or were silent, are asked again.
    again: Duration,
    rounds: u32,
    /// A search was asked for since.
    searched: bool,
}

#[derive(Debug, Default)]
struct Peer {
    /// What is to be said, a word on each block.
    say: BTreeMap<Cid, Entry>,
    /// Wants that it was told of and that are not over.
    told: BTreeSet<Cid>,
    /// Blocks that it was asked for and has not sent.
    asked: usize,
    /// When it was asked while nothing was open, or last sent one of them.
    since: Option<Duration>,
    /// Blocks that it sent and we had wanted.
    sent: u64,
    /// It cannot be asked.
    mute: bool,
}

/// The machine. Times are the caller's, from a beginning of its choice.
#[derive(Debug, Default)]
pub struct Client {
    wants: BTreeMap<Cid, Box<Want>>,
    peers: BTreeMap<PeerId, Box<Peer>>,
    outputs: VecDeque<Output>,
    unwanted: u64,
}

impl Client {
    /// Wants a block, from these first. What is wanted already is not wanted twice.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn want(&mut self, cid: Cid, from: &[PeerId], now: Duration) -> Result<(), Full> {
        if !self.wants.contains_key(&cid) && self.wants.len() >= MAX_WANTS {
            return Err(Full);
        }
        let want = self.wants.entry(cid).or_insert_with(|| Box::new(Want { again: now + PAUSE, ..Want::default() }));
        for peer in from.iter().filter(|peer| self.peers.get(peer).is_some_and(|peer| !peer.mute)) {
            want.at.entry(*peer).or_insert(At::Hinted);
        }
        self.advance(cid, now);
        Ok(())
    }

    /// Wants it no more.
    pub fn cancel(&mut self, cid: &Cid) {
        if let Some(want) = self.wants.remove(cid) {
            self.take_back(*cid, &want, None);
        }
    }

    /// Says that these have the block: a search found them. Peers that are not connected are not asked.
    pub fn found(&mut self, cid: Cid, peers: &[PeerId], now: Duration) {
        let Some(want) = self.wants.get_mut(&cid) else { return };
        for peer in peers.iter().filter(|peer| self.peers.get(peer).is_some_and(|peer| !peer.mute)) {
            let at = want.at.entry(*peer).or_insert(At::Hinted);
            if *at == At::Lacks {
                *at = At::Hinted;
            }
        }
        self.advance(cid, now);
    }

    /// A peer is connected. It is asked whether it has what is wanted and on its way from nobody.
    pub fn connected(&mut self, peer: PeerId, now: Duration) {
        self.peers.entry(peer).or_default();
        let idle: Vec<_> = self.wants.iter().filter(|(_, want)| want.from.is_none()).map(|(cid, _)| *cid).collect();
        for cid in idle {
            self.advance(cid, now);
        }
    }

    /// A connection with a peer is closed, and another is left. What it was asked and has not answered is asked once more, for the
    /// question or the answer may have gone with the connection.
    pub fn repeat(&mut self, peer: &PeerId, now: Duration) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        for cid in known.told.clone() {
            let Some(want) = self.wants.get(&cid) else { continue };
            let ask = match want.at.get(peer) {
                Some(_) if want.from.is_some_and(|(from, _)| from == *peer) => Ask::Block,
                Some(At::Asked) => Ask::Have,
                Some(At::Hinted | At::Has | At::Lacks | At::Silent) | None => continue,
            };
            // What is yet to be said is newer.
            if !known.say.contains_key(&cid) {
                known.say(cid, ask);
            }
        }
        if known.asked > 0 {
            known.since = Some(now);
        }
    }

    /// The last connection with a peer is closed.
    pub fn disconnected(&mut self, peer: &PeerId, now: Duration) {
        self.peers.remove(peer);
        self.forget(peer, now);
    }

    /// The peer does not speak Bitswap, or nothing can be sent to it.
    pub fn unsupported(&mut self, peer: &PeerId, now: Duration) {
        if let Some(known) = self.peers.get_mut(peer) {
            **known = Peer { mute: true, ..Peer::default() };
            self.forget(peer, now);
        }
    }

    fn forget(&mut self, peer: &PeerId, now: Duration) {
        let mut open = Vec::new();
        for (cid, want) in &mut self.wants {
            want.at.remove(peer);
            if want.from.is_some_and(|(from, _)| from == *peer) {
                want.from = None;
                open.push(*cid);
            }
        }
        for cid in open {
            self.advance(cid, now);
        }
    }

    /// A block came. One that nobody wanted is dropped, and counted.
    pub fn block(&mut self, peer: PeerId, block: Block, now: Duration) {
        let Some(want) = self.wants.remove(block.cid()) else {
            self.unwanted += 1;
            return;
        };
        if let Some(from) = self.peers.get_mut(&peer) {
            from.sent += 1;
            from.since = Some(now);
        }
        self.take_back(*block.cid(), &want, Some(peer));
        self.outputs.push_back(Output::Got(block, peer));
    }

    /// A peer said whether it has a block. What was not asked of it means nothing.
    pub fn presence(&mut self, peer: PeerId, cid: Cid, presence: Presence, now: Duration) {
        let Some(want) = self.wants.get_mut(&cid) else { return };
        let Some(at) = want.at.get_mut(&peer) else { return };
        match presence {
            // One that had it not may have got it.
            Presence::Have if matches!(*at, At::Asked | At::Lacks) => *at = At::Has,
            Presence::Have => return,
            Presence::DontHave => {
                *at = At::Lacks;
                if want.from.is_some_and(|(from, _)| from == peer) {
                    want.from = None;
                    self.answered(&peer);
                }
            }
        }
        self.advance(cid, now);
    }

    /// Whatever was due until `now`: peers that were silent are passed over, and everybody is asked again.
    pub fn handle_timeout(&mut self, now: Duration) {
        let silent = |peer: &Peer| peer.asked > 0 && peer.since.is_some_and(|since| since + PATIENCE <= now);
        let silent: Vec<_> = self.peers.iter().filter(|(_, peer)| silent(peer)).map(|(peer, _)| *peer).collect();
        let mut open = Vec::new();
        for (cid, want) in &mut self.wants {
            // They stand in the order of the map that they are from.
            let over = want.from.filter(|(from, since)| silent.binary_search(from).is_ok() || *since + LONGEST <= now);
            if let Some((from, _)) = over {
                want.at.insert(from, At::Silent);
                want.from = None;
            }
            // Whoever else comes and goes: nobody is passed over for good.
            if want.again <= now {
                want.rounds += 1;
                want.again = now + PAUSE.saturating_mul(1 << want.rounds.min(16)).min(MAX_PAUSE);
                want.searched = false;
                want.at.retain(|_, at| !matches!(at, At::Lacks | At::Silent));
            }
            if want.from.is_none() {
                open.push((*cid, over.map(|(from, _)| from)));
            }
        }
        for (cid, from) in open {
            if let Some(from) = from {
                self.answered(&from);
                self.unsay(from, &cid);
            }
            self.advance(cid, now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let silent = self.peers.values().filter(|peer| peer.asked > 0).filter_map(|peer| peer.since);
        let wants = self
            .wants
            .values()
            .flat_map(|want| want.from.map(|(_, since)| since + LONGEST).into_iter().chain([want.again]));
        silent.map(|since| since + PATIENCE).chain(wants).min()
    }

    /// What the client says; drained before the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes up to `limit` words for a peer, those that free it first.
    pub fn take(&mut self, peer: &PeerId, limit: usize) -> Vec<Entry> {
        let Some(peer) = self.peers.get_mut(peer) else { return Vec::new() };
        let (free, ask): (Vec<_>, Vec<_>) = peer.say.values().partition(|entry| entry.ask == Ask::Cancel);
        let entries: Vec<Entry> = free.into_iter().chain(ask).take(limit).copied().collect();
        for entry in &entries {
            peer.say.remove(&entry.cid);
            match entry.ask {
                Ask::Block | Ask::Have => peer.told.insert(entry.cid),
                Ask::Cancel => peer.told.remove(&entry.cid),
            };
        }
        entries
    }

    /// Whether there is a word for this peer.
    #[must_use]
    pub fn has_words(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|peer| !peer.say.is_empty())
    }

    /// Blocks that are wanted.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wants.len()
    }

    /// Blocks that came and nobody wanted, so far.
    #[must_use]
    pub fn unwanted(&self) -> u64 {
        self.unwanted
    }

    /// Finds the next to ask, for a want that is asked of nobody.
    fn advance(&mut self, cid: Cid, now: Duration) {
        let Some(want) = self.wants.get(&cid) else { return };
        if want.from.is_some() {
            return;
        }
        // The one with the fewest blocks to send for each that it has sent: who has sent none is tried, and not relied on.
        let load = |peer: &PeerId| {
            self.peers.get(peer).map_or(usize::MAX, |peer| 64 * (peer.asked + 1) / (peer.sent.min(63) as usize + 1))
        };
        let among = |at: At| want.at.iter().filter(move |(_, state)| **state == at).map(|(peer, _)| *peer);
        if let Some(peer) = among(At::Has).chain(among(At::Hinted)).min_by_key(load) {
            return self.ask(peer, cid, now);
        }
        let mut unasked: Vec<_> =
            self.peers.iter().filter(|(id, peer)| !peer.mute && !want.at.contains_key(id)).map(|(id, _)| *id).collect();
        unasked.sort_by_cached_key(|peer| (load(peer), *peer));
        let mut unasked = unasked.into_iter();
        if let Some(first) = unasked.next() {
            self.ask(first, cid, now);
            for peer in unasked.take(SPREAD) {
                self.set(cid, peer, At::Asked);
                self.say(peer, cid, Ask::Have);
            }
            return;
        }
        if let Some(want) = self.wants.get_mut(&cid)
            && !std::mem::replace(&mut want.searched, true)
        {
            self.outputs.push_back(Output::Search(cid));
        }
    }

    fn ask(&mut self, peer: PeerId, cid: Cid, now: Duration) {
        self.set(cid, peer, At::Asked);
        if let Some(want) = self.wants.get_mut(&cid) {
            want.from = Some((peer, now));
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            if known.asked == 0 {
                known.since = Some(now);
            }
            known.asked += 1;
        }
        self.say(peer, cid, Ask::Block);
    }

    fn set(&mut self, cid: Cid, peer: PeerId, at: At) {
        if let Some(want) = self.wants.get_mut(&cid) {
            want.at.insert(peer, at);
        }
    }

    fn answered(&mut self, peer: &PeerId) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.asked = peer.asked.saturating_sub(1);
        }
    }

    /// Cancels a want wherever it was told of, but at the one that has fulfilled it.
    fn take_back(&mut self, cid: Cid, want: &Want, fulfilled: Option<PeerId>) {
        if let Some((from, _)) = want.from {
            self.answered(&from);
        }
        for (id, peer) in &mut self.peers {
            // To send a block is to strike the want.
            if fulfilled == Some(*id) {
                peer.say.remove(&cid);
                peer.told.remove(&cid);
            } else {
                peer.unsay(cid);
            }
        }
    }

    /// Takes back what was said, or is not said yet.
    fn unsay(&mut self, peer: PeerId, cid: &Cid) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.unsay(*cid);
        }
    }

    fn say(&mut self, peer: PeerId, cid: Cid, ask: Ask) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.say(cid, ask);
        }
    }
}

impl Peer {
    fn say(&mut self, cid: Cid, ask: Ask) {
        self.say.insert(cid, Entry { cid, ask, say_dont_have: ask != Ask::Cancel, priority: 1 });
    }

    fn unsay(&mut self, cid: Cid) {
        self.say.remove(&cid);
        if self.told.contains(&cid) {
            self.say(cid, Ask::Cancel);
        }
    }
}

#[cfg(test)]
mod tests;
