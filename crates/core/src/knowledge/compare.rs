//! Two nodes find out what each has and the other has not, and exchange it: range-based set reconciliation (Meyer:
//! Range-Based Set Reconciliation, 2022) by the `negentropy` crate.
//!
//! Somebody says a [`Summary`] of what it has. Whoever has something else begins a comparison, domain by domain: it asks in
//! rounds until it knows which entries each lacks, pulls what it has not and [offers](super::offers) what it has. Whoever is asked
//! keeps one set for each peer and nothing else, so that a comparison that breaks off is simply begun anew: what came is here
//! already.
//!
//! One domain is compared with one peer at a time, so that what several neighbours have just learned is fetched once. A
//! peer with which nothing more came of it is not asked again until either side has changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use mesh_proto::knowledge::{Credited, Domain, Message, Round, Summary, salted};
use mesh_proto::limits::{
    MAX_ADMISSION, MAX_BODY, MAX_CREDITED, MAX_NAMED, MAX_PULLED, MAX_ROUND_BYTES, MAX_SUMMARIES,
};
use mesh_proto::{EntryId, NodeId};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use serde_bytes::ByteBuf;

use super::Chains;
use super::ledger::Ledger;
use crate::time::{Mono, Now};

/// Comparisons that this node has under way at once. Others begin when one ends, or at the next summary.
pub(super) const MAX_OURS: usize = 8;
/// Sets that are kept for peers that compare with us, the longest unused goes: at 20,000 entries one takes 2 MB.
pub(super) const MAX_THEIRS: usize = 8;
/// Rounds of one domain. Each leaves a sixteenth of a range open; a hundred thousand entries take two to four.
const MAX_ROUNDS: u32 = 64;
/// Entries that are pulled in one comparison of a domain; the next goes on.
const MAX_NEED: usize = 32_768;
/// Entries in one pull. What comes back fits into a handful of messages.
const PULL: usize = 512;
/// Pulls that are not answered wholly yet: on a line that loses packets, one after the other would take as many times as long.
const PULLS: u32 = 4;
/// Bytes of entries in one push, less the room for what stands around them.
const PUSH_BYTES: usize = MAX_BODY - 256;
/// Messages to one peer that it has not acknowledged yet. Past it, they wait.
const WINDOW: usize = 16;
/// Messages to one peer that wait. Past it, what it asks is not answered.
pub(super) const MAX_WAITING: usize = 64;
/// Comparisons whose end is remembered, 200 bytes each.
const MAX_SETTLED: usize = 2_048;
/// Milliseconds without a word after which a comparison is given up.
const PATIENCE_MS: u64 = 10_000;

/// What a comparison wants done or has to say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Say this to a peer, as a direct message.
    Tell(NodeId, Bytes),
    /// A comparison of one domain is through.
    Compared(Done),
    /// A peer answered what no honest one does.
    Malformed(NodeId),
}

/// What came of the comparison of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// With whom.
    pub peer: NodeId,
    /// Of what.
    pub domain: Domain,
    /// Entries that came and are current here now.
    pub received: usize,
    /// Entries that were given.
    pub sent: usize,
    /// Whether it came to its end. Else the peer fell silent, or went.
    pub whole: bool,
}

/// A domain's entries as one comparison calls them.
#[derive(Debug)]
struct Set {
    storage: NegentropyStorageVector,
    names: BTreeMap<EntryId, EntryId>,
}

impl Set {
    fn of(ledger: &Ledger, domain: &Domain, session: u64) -> Self {
        let mut storage = NegentropyStorageVector::with_capacity(ledger.count(domain));
        let mut names = BTreeMap::new();
        for (_, kept) in ledger.entries(domain) {
            let name = salted(session, &kept.id);
            // It is only refused once the set is sealed.
            let _ = storage.insert(kept.version.1.unix_ms(), Id::from_byte_array(name.0));
            names.insert(name, kept.id);
        }
        let _ = storage.seal();
        Self { storage, names }
    }
}

/// A comparison that this node has begun.
#[derive(Debug)]
struct Ours {
    session: u64,
    /// What is compared next, and what the peer has said of it.
    queue: VecDeque<(Domain, Option<EntryId>)>,
    domain: Domain,
    claimed: Option<EntryId>,
    /// While it is not known what either lacks.
    asking: Option<Negentropy<'static, NegentropyStorageVector>>,
    names: BTreeMap<EntryId, EntryId>,
    rounds: u32,
    /// What the peer lacks.
    have: Vec<EntryId>,
    /// What we lack and have not asked for yet, by their salted names.
    need: Vec<EntryId>,
    pulling: u32,
    received: usize,
    sent: usize,
    heard: Mono,
}

/// A peer's comparison.
#[derive(Debug)]
struct Theirs {
    session: u64,
    domain: Domain,
    set: Set,
    used: Mono,
}

/// What waits to be said to a peer.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Bytes>,
    unacknowledged: usize,
}

/// All comparisons of a node.
#[derive(Debug, Default)]
pub(super) struct Comparisons {
    ours: BTreeMap<NodeId, Ours>,
    theirs: BTreeMap<NodeId, Theirs>,
    lanes: BTreeMap<NodeId, Lane>,
    /// What both sides had when a comparison came to its end.
    settled: BTreeMap<(NodeId, Domain), (EntryId, EntryId)>,
    /// Summaries that came while there was another comparison of the domain.
    later: BTreeMap<NodeId, Vec<Summary>>,
    outputs: VecDeque<Output>,
}

impl Comparisons {
    /// Entries that are remembered of others.
    pub(super) fn retained(&self) -> usize {
        let Self { ours, theirs, lanes, settled, later, outputs: _ } = self;
        let ours: usize = ours.values().map(|ours| 1 + ours.need.len() + ours.have.len()).sum();
        ours + theirs.len() + lanes.len() + settled.len() + later.values().map(Vec::len).sum::<usize>()
    }

    /// Says something to a peer, after what waits already. What is too much is not said.
    pub(super) fn say(&mut self, to: NodeId, message: &Message) {
        // What is made here fits by its own bounds.
        let Ok(bytes) = message.encode() else { return debug_assert!(false, "{message:?} does not fit") };
        let lane = self.lanes.entry(to).or_default();
        if lane.waiting.len() < MAX_WAITING {
            lane.waiting.push_back(bytes.into());
            self.flush(to);
        }
    }

    /// A message of ours was taken by its receiver, or never will be.
    pub(super) fn told(&mut self, to: NodeId, now: Now) {
        if let Some(lane) = self.lanes.get_mut(&to) {
            lane.unacknowledged = lane.unacknowledged.saturating_sub(1);
        }
        if let Some(ours) = self.ours.get_mut(&to) {
            ours.heard = now.mono;
        }
        self.flush(to);
        if self.lanes.get(&to).is_some_and(|lane| lane.waiting.is_empty() && lane.unacknowledged == 0) {
            self.lanes.remove(&to);
        }
    }

    fn flush(&mut self, to: NodeId) {
        let Some(lane) = self.lanes.get_mut(&to) else { return };
        while lane.unacknowledged < WINDOW
            && let Some(bytes) = lane.waiting.pop_front()
        {
            lane.unacknowledged += 1;
            self.outputs.push_back(Output::Tell(to, bytes));
        }
    }

    /// Tells a peer what is here, of these domains or of all.
    pub(super) fn summarise(&mut self, to: NodeId, ledger: &mut Ledger) {
        let domains: Vec<_> = ledger.domains().take(MAX_SUMMARIES).cloned().collect();
        let summaries = domains.iter().map(|domain| ledger.summary(domain)).collect();
        self.say(to, &Message::Summary(summaries));
    }

    /// A peer tells what it has: what differs is compared.
    pub(super) fn summary(
        &mut self,
        from: NodeId,
        summaries: Vec<Summary>,
        ledger: &mut Ledger,
        draw: impl FnOnce() -> u64,
        now: Now,
    ) {
        let own: Vec<_> = ledger.domains().cloned().collect();
        let unheard = own.into_iter().filter(|domain| summaries.iter().all(|summary| summary.domain != *domain));
        let empty = mesh_proto::knowledge::digest([]);
        let nothing = unheard.map(|domain| Summary { domain, count: 0, digest: empty }).collect::<Vec<_>>();
        let mut differing = Vec::new();
        let mut later = Vec::new();
        for theirs in summaries.into_iter().chain(nothing) {
            let domain = &theirs.domain;
            let mine = ledger.summary(domain).digest;
            let settled = self.settled.get(&(from, domain.clone())) == Some(&(mine, theirs.digest));
            if mine == theirs.digest || settled || !ledger.follows(domain) {
                continue;
            }
            let busy = self.ours.iter().any(|(peer, ours)| *peer != from && ours.concerns(domain));
            if busy { later.push(theirs) } else { differing.push((theirs.domain, Some(theirs.digest))) }
        }
        if !later.is_empty() {
            self.later.insert(from, later);
        }
        self.begin(from, differing, ledger, draw, now);
    }

    /// Compares these domains with a peer, which has said this of them. Whether that has begun: else it is one too many.
    pub(super) fn begin(
        &mut self,
        peer: NodeId,
        domains: Vec<(Domain, Option<EntryId>)>,
        ledger: &Ledger,
        draw: impl FnOnce() -> u64,
        now: Now,
    ) -> bool {
        if let Some(ours) = self.ours.get_mut(&peer) {
            for (domain, claimed) in domains {
                if !ours.concerns(&domain) && ours.queue.len() < MAX_SUMMARIES {
                    ours.queue.push_back((domain, claimed));
                }
            }
            return true;
        }
        let mut queue: VecDeque<_> = domains.into();
        if self.ours.len() >= MAX_OURS {
            return false;
        }
        let Some((domain, claimed)) = queue.pop_front() else { return true };
        let ours = Ours {
            session: draw(),
            queue,
            domain,
            claimed,
            asking: None,
            names: BTreeMap::new(),
            rounds: 0,
            have: Vec::new(),
            need: Vec::new(),
            pulling: 0,
            received: 0,
            sent: 0,
            heard: now.mono,
        };
        self.ours.insert(peer, ours);
        self.ask(peer, ledger);
        true
    }

    /// Begins with the domain that is next.
    fn ask(&mut self, peer: NodeId, ledger: &Ledger) {
        let Some(ours) = self.ours.get_mut(&peer) else { return };
        let set = Set::of(ledger, &ours.domain, ours.session);
        ours.names = set.names;
        (ours.rounds, ours.received, ours.sent, ours.pulling) = (0, 0, 0, 0);
        let begun = Negentropy::owned(set.storage, MAX_ROUND_BYTES as u64).and_then(|mut asking| {
            let first = asking.initiate()?;
            Ok((asking, first))
        });
        // Only a storage that is not sealed is refused.
        let Ok((asking, ranges)) = begun else { return debug_assert!(false, "a set is compared") };
        ours.asking = Some(asking);
        let round = Round { session: ours.session, domain: ours.domain.clone(), ranges: ByteBuf::from(ranges) };
        self.say(peer, &Message::Compare(round));
    }

    /// A peer compares with us.
    pub(super) fn compare(&mut self, from: NodeId, round: &Round, ledger: &Ledger, now: Now) {
        let Round { session, domain, ranges } = round;
        let Some(theirs) = self.theirs(from, *session, domain, ledger, now) else { return };
        let answered = Negentropy::borrowed(&theirs.set.storage, MAX_ROUND_BYTES as u64)
            .and_then(|mut comparison| comparison.reconcile(ranges));
        match answered {
            Ok(ranges) if ranges.len() <= MAX_ROUND_BYTES => {
                let (session, domain) = (*session, domain.clone());
                self.say(from, &Message::Compared(Round { session, domain, ranges: ByteBuf::from(ranges) }));
            }
            // Its ranges are so many that the answer is past its bound: no honest peer's.
            Ok(_) | Err(_) => self.outputs.push_back(Output::Malformed(from)),
        }
    }

    /// A peer answers our comparison.
    pub(super) fn compared(&mut self, from: NodeId, round: &Round, now: Now) {
        let Some(ours) = self.ours.get_mut(&from) else { return };
        if ours.session != round.session || ours.domain != round.domain {
            return;
        }
        let Some(asking) = &mut ours.asking else { return };
        ours.heard = now.mono;
        ours.rounds += 1;
        let (mut have, mut need) = (Vec::new(), Vec::new());
        match asking.reconcile_with_ids(&round.ranges, &mut have, &mut need) {
            Ok(next) => {
                ours.have.extend(have.iter().filter_map(|id| ours.names.get(&EntryId(id.to_bytes()))));
                let room = MAX_NEED.saturating_sub(ours.need.len());
                // The crate finds them in an order of its own.
                need.sort_unstable();
                ours.need.extend(need.iter().take(room).map(|id| EntryId(id.to_bytes())));
                match next.filter(|next| ours.rounds < MAX_ROUNDS && next.len() <= MAX_ROUND_BYTES) {
                    Some(ranges) => {
                        let (session, domain) = (ours.session, ours.domain.clone());
                        let ranges = ByteBuf::from(ranges);
                        self.say(from, &Message::Compare(Round { session, domain, ranges }));
                    }
                    None => {
                        ours.asking = None;
                        ours.names = BTreeMap::new();
                        self.pull(from);
                        self.offer(from);
                    }
                }
            }
            Err(_) => {
                self.outputs.push_back(Output::Malformed(from));
                self.end(from, false);
            }
        }
    }

    /// Asks for the next of what we lack.
    fn pull(&mut self, from: NodeId) {
        let Some(ours) = self.ours.get_mut(&from) else { return };
        if ours.asking.is_some() {
            return;
        }
        let mut pulls = Vec::new();
        while ours.pulling < PULLS && !ours.need.is_empty() {
            ours.pulling += 1;
            let entries = ours.need.split_off(ours.need.len() - ours.need.len().min(PULL));
            let (session, domain) = (ours.session, ours.domain.clone());
            pulls.push(Message::Pull { question: session, session: Some(session), domain, entries });
        }
        pulls.iter().for_each(|pull| self.say(from, pull));
    }

    /// Tells a peer what it lacks.
    fn offer(&mut self, to: NodeId) {
        let Some(ours) = self.ours.get_mut(&to) else { return };
        let have = std::mem::take(&mut ours.have);
        ours.sent = have.len();
        let domain = ours.domain.clone();
        for entries in have.chunks(MAX_NAMED) {
            self.say(to, &Message::Have { domain: domain.clone(), entries: entries.to_vec() });
        }
    }

    /// A peer asks for entries of ours.
    pub(super) fn pulled(
        &mut self,
        from: NodeId,
        (question, session): (u64, Option<u64>),
        (domain, names): (&Domain, &[EntryId]),
        ledger: &Ledger,
        chains: &Chains,
        now: Now,
    ) {
        let ids: Vec<_> = match session {
            None => names.to_vec(),
            Some(session) => {
                let Some(theirs) = self.theirs(from, session, domain, ledger, now) else { return };
                names.iter().filter_map(|name| theirs.set.names.get(name).copied()).collect()
            }
        };
        let mut pushes = pack(&ids, domain, ledger, chains);
        let last = pushes.pop().unwrap_or_default();
        for Packed { entries, credentials } in pushes {
            self.say(from, &Message::Push { question, entries, credentials, last: false });
        }
        let Packed { entries, credentials } = last;
        self.say(from, &Message::Push { question, entries, credentials, last: true });
    }

    /// The set that a peer compares with, made anew if it was given up for others'.
    fn theirs(
        &mut self,
        from: NodeId,
        session: u64,
        domain: &Domain,
        ledger: &Ledger,
        now: Now,
    ) -> Option<&mut Theirs> {
        let known = self.theirs.get(&from).is_some_and(|of| of.session == session && of.domain == *domain);
        if !known {
            let set = Set::of(ledger, domain, session);
            self.theirs.insert(from, Theirs { session, domain: domain.clone(), set, used: now.mono });
            if self.theirs.len() > MAX_THEIRS
                && let others = self.theirs.iter().filter(|(peer, _)| **peer != from)
                && let Some(oldest) = others.min_by_key(|(_, of)| of.used).map(|(peer, _)| *peer)
            {
                self.theirs.remove(&oldest);
            }
        }
        let theirs = self.theirs.get_mut(&from)?;
        theirs.used = now.mono;
        Some(theirs)
    }

    /// A peer has given entries; `current` of them were news.
    pub(super) fn pushed(&mut self, from: NodeId, (question, last): (u64, bool), current: usize, now: Now) {
        let Some(ours) = self.ours.get_mut(&from).filter(|ours| ours.session == question) else { return };
        ours.received += current;
        ours.heard = now.mono;
        if last {
            ours.pulling = ours.pulling.saturating_sub(1);
            self.pull(from);
        }
    }

    /// Goes on where a domain is through. To be called after anything else.
    pub(super) fn advance(&mut self, ledger: &mut Ledger, mut draw: impl FnMut() -> u64, now: Now) {
        let through = |peer: &NodeId, ours: &Ours| {
            let idle = self.lanes.get(peer).is_none_or(|lane| lane.waiting.is_empty());
            ours.asking.is_none() && ours.pulling == 0 && ours.need.is_empty() && idle
        };
        let done: Vec<_> = self.ours.iter().filter(|(peer, ours)| through(peer, ours)).map(|(peer, _)| *peer).collect();
        for peer in done {
            let Some(ours) = self.ours.get_mut(&peer) else { continue };
            let domain = ours.domain.clone();
            // It is asked again when either side has something else than now.
            if let Some(claimed) = ours.claimed {
                self.settled.insert((peer, domain.clone()), (ledger.summary(&domain).digest, claimed));
                if self.settled.len() > MAX_SETTLED {
                    self.settled.pop_first();
                }
            }
            self.outputs.push_back(Output::Compared(ours.done(peer, true)));
            match ours.queue.pop_front() {
                Some((next, claimed)) => {
                    (ours.domain, ours.claimed) = (next, claimed);
                    ours.session = draw();
                    self.ask(peer, ledger);
                }
                None => {
                    self.ours.remove(&peer);
                }
            }
            let later = std::mem::take(&mut self.later);
            for (peer, summaries) in later {
                self.summary(peer, summaries, ledger, &mut draw, now);
            }
        }
    }

    /// There is no link to a peer any more.
    pub(super) fn unlinked(&mut self, peer: &NodeId) {
        self.end(*peer, false);
        self.theirs.remove(peer);
        self.lanes.remove(peer);
        self.later.remove(peer);
        self.settled.retain(|(of, _), _| of != peer);
    }

    fn end(&mut self, peer: NodeId, whole: bool) {
        if let Some(ours) = self.ours.remove(&peer) {
            self.outputs.push_back(Output::Compared(ours.done(peer, whole)));
        }
    }

    /// Gives up with those that have fallen silent.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let silent = |ours: &Ours| now.mono.since(ours.heard) >= PATIENCE_MS;
        let silent: Vec<_> = self.ours.iter().filter(|(_, ours)| silent(ours)).map(|(peer, _)| *peer).collect();
        for peer in silent {
            self.end(peer, false);
        }
        self.theirs.retain(|_, theirs| now.mono.since(theirs.used) < PATIENCE_MS);
    }

    /// When to give up next.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let ours = self.ours.values().map(|ours| ours.heard);
        let theirs = self.theirs.values().map(|theirs| theirs.used);
        ours.chain(theirs).min().map(|since| since + PATIENCE_MS)
    }

    /// What there is to do.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

impl Ours {
    fn concerns(&self, domain: &Domain) -> bool {
        self.domain == *domain || self.queue.iter().any(|(next, _)| next == domain)
    }

    fn done(&self, peer: NodeId, whole: bool) -> Done {
        Done { peer, domain: self.domain.clone(), received: self.received, sent: self.sent, whole }
    }
}

/// Entries for one push, and their authors' credentials.
#[derive(Debug, Default)]
struct Packed {
    entries: Vec<ByteBuf>,
    credentials: Vec<Credited>,
}

/// Packs entries that are still here into pushes.
fn pack(ids: &[EntryId], domain: &Domain, ledger: &Ledger, chains: &Chains) -> Vec<Packed> {
    let mut pushes = vec![Packed::default()];
    let (mut bytes, mut authors) = (0, BTreeSet::new());
    for (_, kept) in ids.iter().filter_map(|id| ledger.entry(domain, id)) {
        let author = kept.version.0;
        let chain = chains.get(&author).filter(|_| !authors.contains(&author));
        let more = kept.wire.len() + 8 + chain.map_or(0, |_| MAX_ADMISSION);
        let full = |push: &Packed| {
            bytes + more > PUSH_BYTES || push.entries.len() >= MAX_PULLED || push.credentials.len() >= MAX_CREDITED
        };
        if pushes.last().is_some_and(full) {
            pushes.push(Packed::default());
            (bytes, authors) = (0, BTreeSet::new());
        }
        let Some(push) = pushes.last_mut() else { break };
        bytes += more;
        // Again in each push: they may come to nothing one by one.
        if authors.insert(author)
            && let Some(chain) = chains.get(&author)
        {
            push.credentials.push(Credited { node: author, chain: chain.clone() });
        }
        push.entries.push(ByteBuf::from(kept.wire.to_vec()));
    }
    pushes
}
