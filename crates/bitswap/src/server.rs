//! What others want, and what they are told: a machine that asks for blocks and says what to send.
//!
//! Peers take turns. What one of them can make us hold is bounded: [`MAX_WANTS`] wants, [`MAX_LOOKS`] blocks that are being
//! read for it, and answers up to [`MAX_READY`] bytes; when those are full, no block is read for it until it has taken some.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cid::Cid;
use libp2p::PeerId;
use mesh_unixfs::Block;

use crate::message::{Ask, ENTRY_LEN, Entry, MAX_MESSAGE, Message, Presence, block_len};

/// Wants of one peer that are remembered. For one more, that is forgotten which was answered longest ago with what leaves it
/// open, "have" or "don't have": Helia cancels nothing. Where all wait for their answer, the new one is answered with
/// [`Presence::DontHave`], or not at all.
pub const MAX_WANTS: usize = 1024;

/// Blocks that are being looked for on behalf of one peer.
pub const MAX_LOOKS: usize = 4;

/// Bytes of answers to one peer that are ready to be sent, before no further block is read for it.
pub const MAX_READY: usize = 1024 * 1024;

/// Answers "have" and "don't have" to one peer that are ready to be sent, before nothing further is looked for.
pub const MAX_PRESENCES: usize = 2048;

/// Bytes of answers to all peers that are ready to be sent, before no further block is read for anybody.
pub const MAX_ALL_READY: usize = 32 * 1024 * 1024;

/// A block of at most so many bytes is sent to whoever asks whether we have it. Kubo's figure.
pub const SMALL: usize = 1024;

/// Something to look up. Each is answered with [`Server::looked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// For whom.
    pub peer: PeerId,
    /// Which block.
    pub cid: Cid,
    /// Whether the block is wanted, or only its size.
    pub read: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is not here, or cannot be read.
    Nothing,
    /// It has so many bytes.
    Size(usize),
    /// The block itself.
    Block(Block),
}

#[derive(Debug, Default)]
struct Ledger {
    wants: BTreeMap<Cid, Entry>,
    /// Wants to look at, the most urgent first, then in their order.
    todo: BTreeSet<(Reverse<i32>, u64, Cid)>,
    /// Those that are being looked for.
    looking: BTreeSet<Cid>,
    /// Those that were answered and are open, the first answered first.
    answered: BTreeSet<(u64, Cid)>,
    blocks: VecDeque<Block>,
    presences: VecDeque<(Cid, Presence)>,
    /// Bytes of `blocks`, as they travel.
    bytes: usize,
    sent: u64,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Server {
    peers: BTreeMap<PeerId, Box<Ledger>>,
    /// Who wants a block, so that it is sent when it comes.
    wanted: BTreeMap<Cid, BTreeSet<PeerId>>,
    /// Peers that something may be looked up for.
    turns: VecDeque<PeerId>,
    bytes: usize,
    order: u64,
    sent: u64,
    refused: u64,
}

impl Server {
    /// A peer sent a wantlist.
    pub fn wantlist(&mut self, peer: PeerId, entries: Vec<Entry>, full: bool) {
        if full {
            // Not by `collect`, which sorts first: 3 kB of code for every type.
            let mut kept = BTreeSet::new();
            kept.extend(entries.iter().map(|entry| entry.cid));
            let over = self.peers.get(&peer).into_iter().flat_map(|ledger| ledger.wants.keys());
            let over: Vec<_> = over.filter(|cid| !kept.contains(cid)).copied().collect();
            for cid in over {
                self.strike(&peer, &cid);
            }
        }
        for entry in entries {
            match entry.ask {
                Ask::Cancel => self.strike(&peer, &entry.cid),
                Ask::Block | Ask::Have => self.want(peer, entry),
            }
        }
    }

    fn want(&mut self, peer: PeerId, entry: Entry) {
        let ledger = self.peers.entry(peer).or_default();
        if ledger.wants.len() >= MAX_WANTS && !ledger.wants.contains_key(&entry.cid) {
            let Some((_, oldest)) = ledger.answered.first().copied() else {
                self.refused += 1;
                if entry.say_dont_have && ledger.presences.len() < MAX_PRESENCES {
                    ledger.presences.push_back((entry.cid, Presence::DontHave));
                }
                return;
            };
            self.strike(&peer, &oldest);
        }
        let ledger = self.peers.entry(peer).or_default();
        // A want for the block is not undone by a question whether it is here.
        let asks_less = |known: &Entry| known.ask == Ask::Block && entry.ask == Ask::Have;
        if ledger.wants.get(&entry.cid).is_some_and(asks_less) {
            return;
        }
        if ledger.wants.insert(entry.cid, entry).is_some() {
            ledger.todo.retain(|(.., cid)| *cid != entry.cid);
        }
        self.wanted.entry(entry.cid).or_default().insert(peer);
        self.look_at(peer, entry);
    }

    fn look_at(&mut self, peer: PeerId, entry: Entry) {
        let Some(ledger) = self.peers.get_mut(&peer) else { return };
        ledger.answered.retain(|(_, cid)| *cid != entry.cid);
        ledger.todo.insert((Reverse(entry.priority), self.order, entry.cid));
        self.order += 1;
        if !self.turns.contains(&peer) {
            self.turns.push_back(peer);
        }
    }

    fn strike(&mut self, peer: &PeerId, cid: &Cid) {
        if let Some(ledger) = self.peers.get_mut(peer) {
            if ledger.wants.remove(cid).is_none() {
                return;
            }
            ledger.todo.retain(|(.., other)| other != cid);
            ledger.answered.retain(|(_, other)| other != cid);
        }
        if let Some(others) = self.wanted.get_mut(cid) {
            others.remove(peer);
            if others.is_empty() {
                self.wanted.remove(cid);
            }
        }
    }

    /// A block has come to be here: whoever wants it is answered.
    pub fn added(&mut self, cid: &Cid) {
        for peer in self.wanted.get(cid).cloned().unwrap_or_default() {
            let waits = |ledger: &Ledger| !ledger.todo.iter().any(|(.., other)| other == cid);
            let entry =
                self.peers.get(&peer).filter(|ledger| waits(ledger)).and_then(|ledger| ledger.wants.get(cid)).copied();
            if let Some(entry) = entry {
                self.look_at(peer, entry);
            }
        }
    }

    /// The last connection with a peer is closed: what it wanted is forgotten.
    pub fn disconnected(&mut self, peer: &PeerId) {
        let wants: Vec<_> = self.peers.get(peer).into_iter().flat_map(|ledger| ledger.wants.keys()).copied().collect();
        for cid in wants {
            self.strike(peer, &cid);
        }
        if let Some(ledger) = self.peers.remove(peer) {
            self.bytes -= ledger.bytes;
        }
        self.turns.retain(|other| other != peer);
    }

    /// Something to look up, peer by peer.
    pub fn poll_look(&mut self) -> Option<Look> {
        for _ in 0..self.turns.len() {
            let peer = self.turns.pop_front()?;
            let Some(ledger) = self.peers.get_mut(&peer) else { continue };
            let full = ledger.bytes >= MAX_READY
                || ledger.presences.len() + ledger.looking.len() >= MAX_PRESENCES
                || ledger.looking.len() >= MAX_LOOKS
                || self.bytes >= MAX_ALL_READY;
            // One that is being looked for already waits until that is over.
            let next = ledger.todo.iter().find(|(.., cid)| !ledger.looking.contains(cid)).copied();
            let Some(next) = next.filter(|_| !full) else {
                // A peer with nothing to do leaves the ring; a full one waits in it.
                if !ledger.todo.is_empty() {
                    self.turns.push_back(peer);
                }
                continue;
            };
            ledger.todo.remove(&next);
            ledger.looking.insert(next.2);
            self.turns.push_back(peer);
            let read = ledger.wants.get(&next.2).is_some_and(|entry| entry.ask == Ask::Block);
            return Some(Look { peer, cid: next.2, read });
        }
        None
    }

    /// What was found of what [`poll_look`](Self::poll_look) asked.
    pub fn looked(&mut self, peer: PeerId, cid: Cid, found: Found) {
        let Some(ledger) = self.peers.get_mut(&peer) else { return };
        if !ledger.looking.remove(&cid) {
            return;
        }
        // It may have been cancelled, or asked for in another way, in the meantime.
        let Some(entry) = ledger.wants.get(&cid).copied() else { return };
        match (found, entry.ask) {
            (Found::Block(block), _) => {
                let bytes = block_len(block.data().len());
                ledger.bytes += bytes;
                self.bytes += bytes;
                ledger.blocks.push_back(block);
                return self.strike(&peer, &cid);
            }
            (Found::Size(size), Ask::Have) if size > SMALL => ledger.presences.push_back((cid, Presence::Have)),
            (Found::Size(_), _) => {
                ledger.wants.insert(cid, Entry { ask: Ask::Block, ..entry });
                return self.look_at(peer, entry);
            }
            (Found::Nothing, _) if entry.say_dont_have => ledger.presences.push_back((cid, Presence::DontHave)),
            (Found::Nothing, _) => {}
        }
        // One that was asked for again meanwhile is looked for again.
        if !ledger.todo.iter().any(|(.., other)| *other == cid) {
            ledger.answered.insert((self.order, cid));
            self.order += 1;
        }
    }

    /// Whether there is an answer for this peer.
    #[must_use]
    pub fn has_answers(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|ledger| !ledger.blocks.is_empty() || !ledger.presences.is_empty())
    }

    /// Puts answers for a peer into a message that may hold wants already, as many as fit. The message has to get through:
    /// Helia asks once.
    pub fn take(&mut self, peer: &PeerId, message: &mut Message) {
        let Some(ledger) = self.peers.get_mut(peer) else { return };
        let mut room = MAX_MESSAGE.saturating_sub(64 + ENTRY_LEN * message.wants.len());
        let presences = ledger.presences.len().min(room / ENTRY_LEN);
        room -= presences * ENTRY_LEN;
        message.presences.extend(ledger.presences.drain(..presences));
        while let Some(block) = ledger.blocks.front() {
            let bytes = block_len(block.data().len());
            if bytes > room || message.blocks.len() >= crate::message::MAX_BLOCKS {
                break;
            }
            room -= bytes;
            ledger.bytes -= bytes;
            self.bytes -= bytes;
            ledger.sent += block.data().len() as u64;
            self.sent += block.data().len() as u64;
            message.blocks.extend(ledger.blocks.pop_front());
        }
    }

    /// Bytes of blocks that this peer was sent since it is connected.
    #[must_use]
    pub fn sent(&self, peer: &PeerId) -> u64 {
        self.peers.get(peer).map_or(0, |ledger| ledger.sent)
    }

    /// Bytes of blocks that all peers were sent so far.
    #[must_use]
    pub fn all_sent(&self) -> u64 {
        self.sent
    }

    /// Wants of all peers that are remembered.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.peers.values().map(|ledger| ledger.wants.len()).sum()
    }

    /// Wants that were past [`MAX_WANTS`], so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests;
