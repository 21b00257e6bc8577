//! Two nodes find out what each has and the other has not, and exchange it: range-based set reconciliation (Meyer:
//! Range-Based Set Reconciliation, 2022) by the `negentropy` crate.
//!
//! Somebody says a [`Summary`] of what it has. Whoever has something else begins a comparison, domain by domain: it asks in
//! rounds until it knows which entries each lacks, pulls what it has not and [offers](super::offers) what it has. Whoever is asked
//! keeps one set for each peer and nothing else, so that a comparison that breaks off is simply begun anew: what came is here
//! already.
//!
//! One domain is compared with one peer at a time, so that what several neighbours have just learned is fetched once. A
//! peer with which nothing more came of it is not asked again until either side has changed. What there is no room for here is
//! compared as if it was here, and what is not followed is not compared.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use mesh_proto::knowledge::{Domain, Message, Round, Summary, salted};
use mesh_proto::limits::{MAX_ROUND_BYTES, MAX_SUMMARIES};
use mesh_proto::{EntryId, NodeId, ordered};
use negentropy::{Id, Negentropy, NegentropyStorageVector, PROTOCOL_VERSION};
use serde_bytes::ByteBuf;

use super::Chains;
use super::ledger::Ledger;
use crate::limits::{Limiter, Quota};
use crate::time::{Mono, Now};

mod giving;
mod lanes;

use giving::Asked;
use lanes::Lanes;

/// Comparisons that this node has under way at once. Others begin when one ends.
const MAX_OURS: usize = 8;
/// Sets that are kept for peers that compare with us, the longest unused goes: at 20,000 entries one takes 2 MB.
const MAX_THEIRS: usize = 8;
/// Peers that are remembered to have something else while there is no time for them. Past it, they say so again.
const MAX_LATER: usize = 64;
/// Rounds of one domain. Each leaves a sixteenth of a range open; a hundred thousand entries take two to four, and as many more
/// as their ids do not fit into one message.
const MAX_ROUNDS: u32 = 64;
/// Entries that are pulled in one comparison of a domain; the next goes on.
const MAX_NEED: usize = 32_768;
/// Comparisons whose end is remembered, 200 bytes each.
const MAX_SETTLED: usize = 2_048;
/// Entries that are made ready for comparisons with one peer: four for each of 64 thousand at once, and then as many in each eight
/// seconds. Each takes under a microsecond. Past it, the peer is not answered, and hears of us when it says what it has again.
const WORK: Quota = Quota { burst: 262_144, period_ms: 8_000 };
/// Peers whose work is counted.
const MAX_PEERS: usize = 4_096;
/// Milliseconds without a word after which a comparison is given up.
const PATIENCE_MS: u64 = 10_000;
/// Milliseconds after which another peer may be asked about a domain as well: a slow one, or one that lies, does not keep the
/// others away.
const ALONE_MS: u64 = 10_000;
/// Milliseconds that a comparison of a domain may take. What came until then is here.
const LONGEST_MS: u64 = 120_000;

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
    /// Whether it came to its end. Else the peer fell silent, or went, or there was too much to do.
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
        let mut add = |id: &EntryId, unix| {
            let name = salted(session, id);
            // It is only refused once the set is sealed.
            let _ = storage.insert(unix, Id::from_byte_array(name.0));
            name
        };
        for (_, kept) in ledger.entries(domain) {
            names.insert(add(&kept.id, kept.version.1.unix_ms()), kept.id);
        }
        for (id, clock) in ledger.away(domain) {
            add(&id, clock.unix_ms());
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
    /// What is here and was not yet found to be lacking there.
    names: BTreeMap<EntryId, EntryId>,
    rounds: u32,
    /// What the peer lacks.
    have: Vec<EntryId>,
    /// What we lack and have not asked for yet, by their salted names.
    need: Vec<EntryId>,
    /// Pulls that are not answered wholly yet.
    pulling: u32,
    received: usize,
    sent: usize,
    /// Whether some could not be taken, and may be soon.
    again: bool,
    begun: Mono,
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

/// All comparisons of a node.
#[derive(Debug)]
pub(super) struct Comparisons {
    node: NodeId,
    ours: BTreeMap<NodeId, Box<Ours>>,
    theirs: BTreeMap<NodeId, Box<Theirs>>,
    asked: BTreeMap<NodeId, VecDeque<Asked>>,
    lanes: Lanes,
    work: Limiter<NodeId>,
    /// What both sides had when a comparison came to its end that brought nothing.
    settled: BTreeMap<(NodeId, Domain), (EntryId, EntryId)>,
    /// What peers have said while there was no time for it.
    later: BTreeMap<NodeId, BTreeMap<Domain, EntryId>>,
    /// Whether there may be time now.
    free: bool,
    outputs: VecDeque<Output>,
}

impl Comparisons {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            asked: BTreeMap::new(),
            lanes: Lanes::default(),
            work: Limiter::new(WORK, MAX_PEERS),
            settled: BTreeMap::new(),
            later: BTreeMap::new(),
            free: false,
            outputs: VecDeque::new(),
        }
    }

    /// Entries that are remembered of others.
    pub(super) fn retained(&self) -> usize {
        let Self { node: _, ours, theirs, asked, lanes, work, settled, later, free: _, outputs: _ } = self;
        let ours: usize = ours.values().map(|of| 1 + of.need.len() + of.have.len() + of.queue.len()).sum();
        let asked: usize = asked.values().flatten().map(|asked| asked.ids.len()).sum();
        let later: usize = later.values().map(BTreeMap::len).sum();
        ours + theirs.len() + asked + lanes.len() + work.retained() + settled.len() + later
    }

    /// Says something to a peer, after what waits already. What is too much is not said.
    pub(super) fn say(&mut self, to: NodeId, message: &Message) {
        // What is made here fits by its own bounds.
        let Ok(bytes) = message.encode() else { return debug_assert!(false, "{message:?} does not fit") };
        self.lanes.say(to, bytes.into());
    }

    /// A message of ours was taken by its receiver, or never will be: then nobody is there to compare with.
    pub(super) fn told(&mut self, to: NodeId, taken: bool, (ledger, chains): (&Ledger, &Chains), now: Now) {
        self.lanes.told(to);
        if !taken {
            self.asked.remove(&to);
            return self.end(to, false);
        }
        if let Some(ours) = self.ours.get_mut(&to) {
            ours.heard = now.mono;
        }
        if let Some(theirs) = self.theirs.get_mut(&to) {
            theirs.used = now.mono;
        }
        self.give(to, ledger, chains);
    }

    /// Tells a peer what is here, of these domains or of all.
    pub(super) fn summarise(&mut self, to: NodeId, ledger: &mut Ledger) {
        let domains: Vec<_> = ledger.domains().take(MAX_SUMMARIES).cloned().collect();
        let summaries = domains.iter().map(|domain| ledger.summary(domain)).collect();
        self.say(to, &Message::Summary(summaries));
    }

    /// A peer tells what it has, all of it: what differs is compared.
    pub(super) fn summary(
        &mut self,
        from: NodeId,
        summaries: Vec<Summary>,
        ledger: &mut Ledger,
        draw: impl FnOnce() -> u64,
        now: Now,
    ) {
        let empty = mesh_proto::knowledge::digest([]);
        let mut claims: BTreeMap<_, _> = ordered(ledger.domains().map(|domain| (domain.clone(), empty)));
        claims.extend(summaries.into_iter().map(|Summary { domain, digest, .. }| (domain, digest)));
        self.later.remove(&from);
        self.consider(from, claims, ledger, draw, now);
    }

    fn consider(
        &mut self,
        from: NodeId,
        claims: BTreeMap<Domain, EntryId>,
        ledger: &mut Ledger,
        draw: impl FnOnce() -> u64,
        now: Now,
    ) {
        let mut differing = Vec::new();
        let mut later = BTreeMap::new();
        let full = self.ours.len() >= MAX_OURS && !self.ours.contains_key(&from);
        for (domain, claimed) in claims {
            let mine = ledger.summary(&domain).digest;
            let settled = self.settled.get(&(from, domain.clone())) == Some(&(mine, claimed));
            if mine == claimed || settled || !ledger.follows(&domain) {
                continue;
            }
            // A peer that is being asked has learned something meanwhile: it is asked again afterwards.
            let busy = |peer: &NodeId, of: &Ours| match *peer == from {
                true => of.domain == domain && of.claimed != Some(claimed),
                false => of.concerns(&domain) && now.mono.since(of.begun) < ALONE_MS,
            };
            if full || self.ours.iter().any(|(peer, ours)| busy(peer, ours)) {
                later.insert(domain, claimed);
            } else {
                differing.push((domain, Some(claimed)));
            }
        }
        if !later.is_empty() && (self.later.len() < MAX_LATER || self.later.contains_key(&from)) {
            self.later.entry(from).or_default().extend(later);
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
                if let Some(next) = ours.queue.iter_mut().find(|(next, _)| *next == domain) {
                    next.1 = claimed.or(next.1);
                } else if ours.domain != domain && ours.queue.len() < MAX_SUMMARIES {
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
            session: draw().max(1),
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
            again: false,
            begun: now.mono,
            heard: now.mono,
        };
        self.ours.insert(peer, Box::new(ours));
        self.ask(peer, ledger, now);
        true
    }

    /// Whether there is time to make so many entries ready for the sake of a peer.
    fn affords(&mut self, peer: &NodeId, entries: usize, now: Now) -> bool {
        let cost = u32::try_from(entries).unwrap_or(u32::MAX).min(WORK.burst - 1) + 1;
        self.work.admit(peer, cost, now.mono)
    }

    /// Begins with the domain that is next.
    fn ask(&mut self, peer: NodeId, ledger: &Ledger, now: Now) {
        let Some(domain) = self.ours.get(&peer).map(|ours| ours.domain.clone()) else { return };
        if !self.affords(&peer, ledger.count(&domain), now) {
            return self.end(peer, false);
        }
        let Some(ours) = self.ours.get_mut(&peer) else { return };
        let set = Set::of(ledger, &ours.domain, ours.session);
        ours.names = set.names;
        (ours.rounds, ours.received, ours.sent) = (0, 0, 0);
        (ours.pulling, ours.again, ours.begun) = (0, false, now.mono);
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
        if !ledger.follows(domain) {
            // As if there was no difference: nothing of it is to be given to us.
            let ranges = ByteBuf::from([PROTOCOL_VERSION as u8]);
            return self.say(from, &Message::Compared(Round { session: *session, domain: domain.clone(), ranges }));
        }
        if self.crosses(&from, domain) {
            return;
        }
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

    /// The set that a peer compares with, made anew if it was given up for others'. Nothing if it has let too many be made.
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
            if !self.affords(&from, ledger.count(domain), now) {
                return None;
            }
            let set = Set::of(ledger, domain, session);
            let theirs = Theirs { session, domain: domain.clone(), set, used: now.mono };
            self.theirs.insert(from, Box::new(theirs));
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

    /// Whether we have asked a peer the same that it asks us, and ours goes on: else everything would be given twice. The other
    /// side decides the same the other way round.
    fn crosses(&mut self, from: &NodeId, domain: &Domain) -> bool {
        let Some(ours) = self.ours.get_mut(from) else { return false };
        if ours.domain != *domain || ours.asking.is_none() {
            return false;
        }
        // Somebody here waits for the end of ours.
        if self.node < *from || ours.claimed.is_none() {
            return self.node < *from;
        }
        (ours.asking, ours.again) = (None, true);
        ours.names = BTreeMap::new();
        false
    }

    /// A peer answers our comparison.
    pub(super) fn compared(&mut self, from: NodeId, round: &Round, ledger: &Ledger, now: Now) {
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
                // Each once, however often the peer says that it lacks it.
                ours.have.extend(have.iter().filter_map(|id| ours.names.remove(&EntryId(id.to_bytes()))));
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
                        self.offer(from, ledger);
                    }
                }
            }
            Err(_) => {
                self.outputs.push_back(Output::Malformed(from));
                self.end(from, false);
            }
        }
    }

    /// Goes on where a domain is through. To be called after anything else.
    pub(super) fn advance(&mut self, ledger: &mut Ledger, mut draw: impl FnMut() -> u64, now: Now) {
        let through = |peer: &NodeId, ours: &Ours| {
            ours.asking.is_none() && ours.pulling == 0 && ours.need.is_empty() && self.lanes.is_idle(peer)
        };
        let done: Vec<_> = self.ours.iter().filter(|(peer, ours)| through(peer, ours)).map(|(peer, _)| *peer).collect();
        for peer in done {
            let Some(ours) = self.ours.get_mut(&peer) else { continue };
            // If nothing came of it, it is asked again when either side has something else than now.
            if let Some(claimed) = ours.claimed.filter(|_| ours.received == 0 && !ours.again) {
                let domain = ours.domain.clone();
                self.settled.insert((peer, domain.clone()), (ledger.summary(&domain).digest, claimed));
                if self.settled.len() > MAX_SETTLED {
                    self.settled.pop_first();
                }
            }
            self.outputs.push_back(Output::Compared(ours.done(peer, true)));
            self.free = true;
            match ours.queue.pop_front() {
                Some((next, claimed)) => {
                    (ours.domain, ours.claimed) = (next, claimed);
                    ours.session = draw().max(1);
                    ours.heard = now.mono;
                    self.ask(peer, ledger, now);
                }
                None => {
                    self.ours.remove(&peer);
                }
            }
        }
        if std::mem::take(&mut self.free) {
            for (peer, claims) in std::mem::take(&mut self.later) {
                self.consider(peer, claims, ledger, &mut draw, now);
            }
        }
    }

    /// There is no link to a peer any more.
    pub(super) fn unlinked(&mut self, peer: &NodeId) {
        self.end(*peer, false);
        self.theirs.remove(peer);
        self.asked.remove(peer);
        self.lanes.remove(peer);
        self.later.remove(peer);
        self.settled.retain(|(of, _), _| of != peer);
    }

    fn end(&mut self, peer: NodeId, whole: bool) {
        if let Some(ours) = self.ours.remove(&peer) {
            self.free = true;
            self.outputs.push_back(Output::Compared(ours.done(peer, whole)));
        }
    }

    /// Gives up with those that have fallen silent, or have no end.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let over: Vec<_> = self.ours.iter().filter(|(_, of)| of.until() <= now.mono).map(|(peer, _)| *peer).collect();
        for peer in over {
            self.end(peer, false);
        }
        self.theirs.retain(|_, theirs| now.mono.since(theirs.used) < PATIENCE_MS);
    }

    /// Forgets what is of no use any more. To be called now and then.
    pub(super) fn prune(&mut self, now: Now) {
        self.work.prune(now.mono);
    }

    /// When to give up next.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let ours = self.ours.values().map(|ours| ours.until());
        ours.chain(self.theirs.values().map(|theirs| theirs.used + PATIENCE_MS)).min()
    }

    /// What there is to do.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let told = || self.lanes.poll_output().map(|(to, bytes)| Output::Tell(to, bytes));
        self.outputs.pop_front().or_else(told)
    }
}

impl Ours {
    fn concerns(&self, domain: &Domain) -> bool {
        self.domain == *domain || self.queue.iter().any(|(next, _)| next == domain)
    }

    fn until(&self) -> Mono {
        (self.heard + PATIENCE_MS).min(self.begun + LONGEST_MS)
    }

    fn done(&self, peer: NodeId, whole: bool) -> Done {
        Done { peer, domain: self.domain.clone(), received: self.received, sent: self.sent, whole }
    }
}

#[cfg(test)]
mod tests;
