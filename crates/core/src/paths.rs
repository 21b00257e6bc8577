//! Paths: how direct the links to other members are, and what is done to make them so.
//!
//! A link begins where it can, through a relay if need be, and messages use it at once. Two members that both can then
//! *upgrade* it: one of them signals over the relayed connection and a direct one comes up beside it. The relayed one is
//! closed a little later. When the direct one is lost the relay is the way again, and the next upgrade is tried, with
//! back-off if the last ones did not hold.
//!
//! Members that can upgrade also keep a few links to others of their own accord, *companions*, so that the mesh holds
//! together while its relays are away.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use mesh_proto::NodeId;

use crate::time::{Mono, Now};

/// Milliseconds between two looks for companions.
const TEND_MS: u64 = 1_000;

/// Milliseconds from a goodbye to the end of the connections: a node that closes has one second for its last answers.
const FAREWELL_MS: u64 = 2_000;

/// Companions that are dialled in one look.
const MAX_DIALS: usize = 3;

/// Whether this node can have direct connections to members that it reaches through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It can.
    Able,
    /// Its environment has no means for it.
    Absent,
    /// Its program does not want it: direct connections show its addresses to the other end.
    Off,
}

/// Patience and bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether links are upgraded.
    pub ability: Ability,
    /// Links to other members that are kept without anybody having to say anything.
    pub companions: usize,
    /// Direct links. Past it relayed ones stay as they are. A browser's page has room for 500 in its whole life,
    /// until garbage is collected.
    pub max_direct: usize,
    /// Upgrades under way at once.
    pub max_upgrades: usize,
    /// Milliseconds for which the relayed connection stays beside a new direct one: the other end may still be using it.
    pub grace_ms: u64,
    /// Milliseconds after which an upgrade has failed that nothing was heard of.
    pub attempt_ms: u64,
    /// Milliseconds before the next upgrade after one that failed. Doubles with each.
    pub retry_ms: u64,
    /// Longest wait, milliseconds.
    pub max_retry_ms: u64,
    /// A direct link that was lost sooner, in milliseconds, counts as an upgrade that failed.
    pub young_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ability: Ability::Absent,
            companions: 6,
            max_direct: 64,
            max_upgrades: 8,
            grace_ms: 3_000,
            attempt_ms: 20_000,
            retry_ms: 5_000,
            max_retry_ms: 300_000,
            young_ms: 10_000,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Dial this member.
    Dial(NodeId),
    /// Upgrade the link to this member.
    Upgrade(NodeId),
    /// Close the relayed connections to this member, if there is a direct one.
    CloseRelayed(NodeId),
    /// Close all connections to this member, which has said goodbye, if it has not come back since.
    Disconnect(NodeId),
}

/// Why an upgrade failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The other end does not do this.
    Unsupported,
    /// This end cannot after all.
    Absent,
    /// Anything else, as told by whoever tried.
    Failed(String),
}

/// Why a link is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// See [`Ability`].
    Here(Ability),
    /// The other end does not do direct connections.
    There,
    /// A direct connection is being made, by either side.
    Upgrading,
    /// There are as many direct links as may be.
    Full,
    /// The last upgrade failed; the next one is tried in a while.
    Failed(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Here(Ability::Able) | Why::Upgrading => write!(f, "upgrading"),
            Why::Here(Ability::Absent) => write!(f, "no-webrtc-here"),
            Why::Here(Ability::Off) => write!(f, "relay-only"),
            Why::There => write!(f, "no-webrtc-there"),
            Why::Full => write!(f, "too-many-direct-links"),
            Why::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

#[derive(Debug)]
struct Path {
    link: Option<Link>,
    /// An upgrade of ours is under way, or, without a link, a dial: until then at the latest.
    attempt: Option<Mono>,
    /// No upgrade, and no dial as a companion, before.
    next: Mono,
    failures: u32,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    relayed: bool,
    since: Mono,
    /// When relayed connections beside a direct one are closed.
    close: Option<Mono>,
    /// When all connections are closed, after a goodbye.
    end: Option<Mono>,
}

/// The paths to other members.
#[derive(Debug)]
pub struct Paths {
    config: Config,
    node: NodeId,
    /// Members with a link, or with a past that counts: that goes when its wait is over.
    paths: BTreeMap<NodeId, Box<Path>>,
    next_tend: Mono,
    outputs: VecDeque<Output>,
}

impl Paths {
    /// Of `node`, without any link.
    pub fn new(config: Config, node: NodeId, now: Now) -> Self {
        Self { config, node, paths: BTreeMap::new(), next_tend: now.mono, outputs: VecDeque::new() }
    }

    /// Whether links to members are made that nobody has asked for.
    pub fn has_companions(&self) -> bool {
        self.config.ability == Ability::Able && self.config.companions > 0
    }

    /// Why the link to `node` is relayed; nothing when it is not.
    pub fn why(&self, node: &NodeId) -> Option<Why> {
        let path = self.paths.get(node)?;
        path.link.filter(|link| link.relayed)?;
        Some(match (self.config.ability, &path.failure) {
            (here @ (Ability::Absent | Ability::Off), _) => Why::Here(here),
            (Ability::Able, _) if path.attempt.is_some() => Why::Upgrading,
            (Ability::Able, Some(Failure::Unsupported)) => Why::There,
            (Ability::Able, Some(Failure::Absent)) => Why::Here(Ability::Absent),
            (Ability::Able, Some(Failure::Failed(error))) => Why::Failed(error.clone()),
            (Ability::Able, None) if self.direct() >= self.config.max_direct => Why::Full,
            (Ability::Able, None) => Why::Upgrading,
        })
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        self.paths.len()
    }

    /// There is a link to `node`, or a better one, or a worse one.
    pub fn linked(&mut self, node: NodeId, relayed: bool, now: Now) {
        let Config { grace_ms, attempt_ms, .. } = self.config;
        let path = self.paths.entry(node).or_insert_with(|| Box::new(Path::new(now.mono)));
        if relayed && path.link.is_some_and(|link| !link.relayed) {
            self.unlinked(&node, now);
        }
        let theirs = self.node > node;
        let path = self.paths.entry(node).or_insert_with(|| Box::new(Path::new(now.mono)));
        let before = path.link;
        let since = before.filter(|link| link.relayed == relayed).map_or(now.mono, |link| link.since);
        let end = before.and_then(|link| link.end);
        if before.is_none() {
            // The dial is over.
            path.attempt = None;
        }
        if relayed {
            path.link = Some(Link { relayed, since, close: None, end });
            // The lower id begins. The other does when nothing has come of that.
            if theirs && before.is_none() {
                path.next = path.next.max(now.mono + attempt_ms);
            }
        } else {
            (path.attempt, path.failure) = (None, None);
            path.link = Some(Link { relayed, since, close: Some(now.mono + grace_ms), end });
        }
    }

    /// The last link to `node` is gone.
    pub fn unlinked(&mut self, node: &NodeId, now: Now) {
        let Config { young_ms, .. } = self.config;
        let Some(path) = self.paths.get_mut(node) else {
            return;
        };
        path.attempt = None;
        match path.link.take() {
            Some(link) if !link.relayed && now.mono.since(link.since) < young_ms => {
                self.failed(*node, Failure::Failed("the direct connection was lost soon".to_owned()), now);
            }
            Some(link) if !link.relayed => (path.failures, path.next) = (0, now.mono),
            Some(_) | None => {}
        }
    }

    /// `node` has said goodbye. What it still has to say may take a moment; then a page that went away without closing its
    /// connections holds ours for half a minute.
    pub fn left(&mut self, node: &NodeId, now: Now) {
        if let Some(link) = self.paths.get_mut(node).and_then(|path| path.link.as_mut()) {
            link.end = Some(now.mono + FAREWELL_MS);
        }
    }

    /// An upgrade of the link to `node`, of either side, failed.
    pub fn failed(&mut self, node: NodeId, failure: Failure, now: Now) {
        let Config { retry_ms, max_retry_ms, .. } = self.config;
        let Some(path) = self.paths.get_mut(&node) else {
            return;
        };
        if path.link.is_some_and(|link| !link.relayed) {
            return;
        }
        path.attempt = None;
        path.failures = path.failures.saturating_add(1);
        let wait = match failure {
            Failure::Unsupported | Failure::Absent => max_retry_ms,
            Failure::Failed(_) => retry_ms.saturating_mul(1 << (path.failures - 1).min(16)).min(max_retry_ms),
        };
        path.next = now.mono + wait;
        path.failure = Some(failure);
    }

    /// The host slept, or its network changed: what failed before says nothing any more.
    pub fn wake(&mut self, now: Now) {
        for path in self.paths.values_mut().filter(|path| path.attempt.is_none()) {
            if path.failure.as_ref().is_some_and(|failure| matches!(failure, Failure::Failed(_))) {
                (path.next, path.failures, path.failure) = (now.mono, 0, None);
            }
        }
        self.next_tend = now.mono;
    }

    /// `node` could not be dialled.
    pub fn dial_failed(&mut self, node: NodeId, now: Now) {
        self.failed(node, Failure::Failed("cannot be reached".to_owned()), now);
    }

    /// Does what is due. `candidates` are members that may become companions; they are looked at only now and then.
    pub fn handle_timeout<I: Iterator<Item = NodeId>>(&mut self, candidates: impl FnOnce() -> I, now: Now) {
        let mut late = Vec::new();
        for (node, path) in &mut self.paths {
            if let Some(link) = &mut path.link
                && link.close.take_if(|due| *due <= now.mono).is_some()
            {
                self.outputs.push_back(Output::CloseRelayed(*node));
            }
            if let Some(link) = &mut path.link
                && link.end.take_if(|due| *due <= now.mono).is_some()
            {
                self.outputs.push_back(Output::Disconnect(*node));
            }
            if path.attempt.is_some_and(|until| until <= now.mono) {
                late.push(*node);
            }
        }
        for node in late {
            self.failed(node, Failure::Failed("no answer".to_owned()), now);
        }
        self.upgrade(now);
        if self.config.ability == Ability::Able && self.next_tend <= now.mono {
            self.next_tend = now.mono + TEND_MS;
            self.paths.retain(|_, path| !path.is_free(now));
            self.tend(candidates(), now);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let able = self.config.ability == Ability::Able;
        let mut due = able.then_some(self.next_tend);
        let mut upgrade = None;
        // One look at each, for this is asked after every input.
        let (mut upgrading, mut direct) = (0, 0);
        for path in self.paths.values() {
            let Some(link) = path.link else {
                due = earliest([due, path.attempt]);
                continue;
            };
            due = earliest([due, path.attempt, link.close, link.end]);
            upgrading += usize::from(path.attempt.is_some());
            direct += usize::from(!link.relayed);
            if link.relayed && path.attempt.is_none() {
                upgrade = earliest([upgrade, Some(path.next)]);
            }
        }
        let room = able && upgrading < self.config.max_upgrades && direct < self.config.max_direct;
        earliest([due, upgrade.filter(|_| room)])
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn upgrade(&mut self, now: Now) {
        if self.config.ability != Ability::Able {
            return;
        }
        let mut room = self.config.max_upgrades.saturating_sub(self.upgrading());
        room = room.min(self.config.max_direct.saturating_sub(self.direct()));
        let relayed = |path: &Path| path.link.is_some_and(|link| link.relayed) && path.attempt.is_none();
        for (node, path) in self.paths.iter_mut().filter(|(_, path)| relayed(path) && path.next <= now.mono).take(room)
        {
            path.attempt = Some(now.mono + self.config.attempt_ms);
            self.outputs.push_back(Output::Upgrade(*node));
        }
    }

    /// Dials companions that are missing.
    fn tend(&mut self, candidates: impl Iterator<Item = NodeId>, now: Now) {
        let there = self.paths.values().filter(|path| path.link.is_some() || path.attempt.is_some()).count();
        let missing = self.config.companions.saturating_sub(there).min(MAX_DIALS);
        if missing == 0 {
            return;
        }
        let mut candidates: Vec<_> = candidates
            .filter(|node| *node != self.node)
            .filter(|node| self.paths.get(node).is_none_or(|path| path.is_free(now)))
            .map(|node| (affinity(&self.node, &node), node))
            .collect();
        candidates.sort_unstable();
        for (_, node) in candidates.into_iter().take(missing) {
            let path = self.paths.entry(node).or_insert_with(|| Box::new(Path::new(now.mono)));
            path.attempt = Some(now.mono + self.config.attempt_ms);
            self.outputs.push_back(Output::Dial(node));
        }
    }

    fn upgrading(&self) -> usize {
        self.paths.values().filter(|path| path.attempt.is_some() && path.link.is_some()).count()
    }

    fn direct(&self) -> usize {
        self.paths.values().filter(|path| path.link.is_some_and(|link| !link.relayed)).count()
    }
}

fn earliest<const N: usize>(times: [Option<Mono>; N]) -> Option<Mono> {
    times.into_iter().flatten().min()
}

impl Path {
    fn new(next: Mono) -> Self {
        Self { link: None, attempt: None, next, failures: 0, failure: None }
    }

    /// Whether it may be dialled.
    fn is_free(&self, now: Now) -> bool {
        self.link.is_none() && self.attempt.is_none() && self.next <= now.mono
    }
}

/// A number that two nodes agree on and that is like a random one to all others: who picks whom by it gets a random
/// graph. The mixing is splitmix64's finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) fn affinity(a: &NodeId, b: &NodeId) -> u64 {
    let word = |node: &NodeId| node.0.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte));
    let mut mixed = word(a).wrapping_add(word(b));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
