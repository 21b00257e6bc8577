//! The agent directory: who is in the mesh, what they can do, and where they are.
//!
//! Every node announces all of its agents under one signature; a newer announcement replaces the older one, so an agent
//! that is no longer listed is withdrawn. An announcement counts until its TTL has passed and is made again well before.
//! A node that leaves says so with an empty one, which is kept as long as any older one could still be going round.
//!
//! A search answers from here at once and asks the mesh in parallel: nodes that match and are not known to the asker
//! announce themselves again, to everybody. It ends at its limit, when no new match came for a quiet moment, or at its
//! time-out (decision 11).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use mesh_proto::agent::{AgentRecord, Criteria};
use mesh_proto::codec::Bounded;
use mesh_proto::credential::Chain;
use mesh_proto::gossip::{Announcement, Known, Query, Storage};
use mesh_proto::limits::{MAX_ADDRESS, MAX_ADDRESSES, MAX_AGENTS_PER_NODE, MAX_BODY, MAX_KNOWN};
use mesh_proto::{AgentId, AgentName, Envelope, MessageId, NodeId, Verified, codec, ordered};

use crate::access::OnlyListens;
use crate::limits::{Limiter, Quota};
use crate::time::{Mono, Now};

mod searches;

use searches::{Search, Searches};
pub use searches::{SearchId, SearchOptions};

/// Bounds and pace.
#[derive(Clone, Debug)]
pub struct Config {
    /// Nodes that are listed. Announcements of others are dropped when it is full.
    pub max_nodes: usize,
    /// Bytes of all announcements, as they are kept for handing on.
    pub max_bytes: usize,
    /// Milliseconds after which an unchanged announcement is made again: three times within a TTL.
    pub refresh_ms: u64,
    /// Announcements of ours; changes in between are made together. A quarter of what others let in.
    pub quota: Quota,
    /// Questions of ours; those of more searches wait. Half of what others let in.
    pub queries: Quota,
    /// Searches under way at once.
    pub max_searches: usize,
    /// Whether this node is a relay, and says so.
    pub relay: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_nodes: 16_384,
            max_bytes: 64 * 1024 * 1024,
            refresh_ms: 100_000,
            quota: Quota { burst: 5, period_ms: 10_000 },
            queries: Quota { burst: 10, period_ms: 10_000 },
            max_searches: 256,
            relay: false,
        }
    }
}

/// An agent and where it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerAgent {
    /// Its node.
    pub node: NodeId,
    /// What it says of itself.
    pub record: AgentRecord,
    /// When it was announced, unix milliseconds by its node's clock.
    pub announced: u64,
    /// Whether it lives here.
    pub local: bool,
}

/// What the directory wants done or has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Sign and publish this announcement of ours.
    Announce(Announcement),
    /// Sign and publish this question.
    Ask(Query),
    /// Something happened.
    Event(Event),
}

/// What happened to the agents of others, and to searches.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An agent is new.
    Joined(PeerAgent),
    /// An agent says something else of itself.
    Updated(PeerAgent),
    /// An agent is gone.
    Left {
        /// Which.
        id: AgentId,
        /// Why.
        reason: LeftReason,
    },
    /// A node is gone, and all of its agents.
    NodeLeft(NodeId),
    /// A search has ended.
    Found {
        /// Which.
        id: SearchId,
        /// Matches on other nodes, at most as many as asked for.
        agents: Vec<PeerAgent>,
    },
}

/// Why an agent is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftReason {
    /// Its node said so.
    Withdrawn,
    /// Its node was not heard for a whole TTL.
    Expired,
}

/// Why an agent cannot be announced or found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part of the record is past its bound.
    #[error("{0}")]
    Invalid(#[from] codec::DecodeError),
    /// Its numbers cannot be encoded.
    #[error("{0}")]
    Unencodable(#[from] codec::EncodeError),
    /// All agents of a node have to fit into one envelope.
    #[error("the agents of this node do not fit into one announcement any more")]
    Full,
    /// Too many searches are under way.
    #[error("too many searches are under way; wait for one to end")]
    Busy,
    /// No agent of that name is announced.
    #[error("no agent of that name is announced")]
    UnknownAgent,
    /// Agents on several nodes have that name.
    #[error("agents on {} nodes have that name", .0.len())]
    Ambiguous(Vec<NodeId>),
    /// This node is no member.
    #[error(transparent)]
    OnlyListens(#[from] OnlyListens),
}

/// What came of an announcement of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is what counts now.
    Current,
    /// A newer one, or the same, is known.
    Known,
    /// There is no room for another node.
    NoRoom,
}

#[derive(Debug)]
struct Current {
    seq: u64,
    wire: Bytes,
    place: u64,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    announced: u64,
    expires: Mono,
    announcement: Announcement,
    wire: Bytes,
    /// How many announcements had come with this one.
    place: u64,
}

/// The directory of one node.
#[derive(Debug)]
pub struct Directory {
    config: Config,
    node: NodeId,
    own: BTreeMap<AgentName, AgentRecord>,
    addresses: Vec<String>,
    /// The key that would sign this node's votes.
    voting: Option<NodeId>,
    /// What room it gives to content of others.
    storage: Option<Storage>,
    /// What shows that this node is a member.
    credentials: Chain,
    /// Our current announcement, once signed.
    current: Option<Current>,
    quota: Limiter<()>,
    /// When our next announcement is due.
    due: Option<Mono>,
    /// Whether we have said goodbye, and announced no agent since.
    left: bool,
    nodes: BTreeMap<NodeId, Box<Entry>>,
    bytes: usize,
    /// Announcements that have come, our own included.
    place: u64,
    expiries: BTreeSet<(Mono, NodeId)>,
    names: BTreeMap<AgentName, BTreeSet<NodeId>>,
    searches: Searches,
    outputs: VecDeque<Output>,
}

impl Directory {
    /// The directory of `node`, with an announcement without agents due at once: a node is known before it has any.
    pub fn new(config: Config, node: NodeId, now: Now) -> Self {
        Self {
            quota: Limiter::new(config.quota, 1),
            searches: Searches::new(config.max_searches, config.queries),
            config,
            node,
            own: BTreeMap::new(),
            addresses: Vec::new(),
            voting: None,
            storage: None,
            credentials: Chain::default(),
            current: None,
            due: Some(now.mono),
            left: false,
            nodes: BTreeMap::new(),
            bytes: 0,
            place: 0,
            expiries: BTreeSet::new(),
            names: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Adds an agent of ours, or replaces the one of its name.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Unencodable`], [`Error::Full`]; the directory is as it was then.
    pub fn announce(&mut self, agent: AgentRecord, now: Now) -> Result<(), Error> {
        agent.check()?;
        let name = agent.name.clone();
        let before = self.own.insert(name.clone(), agent);
        let fits = match self.own.len() <= MAX_AGENTS_PER_NODE {
            true => codec::encode(&self.announcement(), MAX_BODY).map_err(|error| match error {
                codec::EncodeError::TooLong { .. } => Error::Full,
                codec::EncodeError::Unencodable(_) => Error::Unencodable(error),
            }),
            false => Err(Error::Full),
        };
        if let Err(error) = fits {
            match before {
                Some(before) => self.own.insert(name, before),
                None => self.own.remove(&name),
            };
            return Err(error);
        }
        self.left = false;
        self.changed(now);
        Ok(())
    }

    /// Removes an agent of ours.
    ///
    /// # Errors
    /// [`Error::UnknownAgent`]
    pub fn withdraw(&mut self, name: &AgentName, now: Now) -> Result<(), Error> {
        self.own.remove(name).ok_or(Error::UnknownAgent)?;
        self.changed(now);
        Ok(())
    }

    /// Where this node can be reached now. What is past the bounds of an announcement is left out.
    pub fn set_addresses(&mut self, mut addresses: Vec<String>, now: Now) {
        addresses.retain(|address| address.len() <= MAX_ADDRESS);
        addresses.truncate(MAX_ADDRESSES);
        if addresses != self.addresses {
            self.addresses = addresses;
            self.changed(now);
        }
    }

    /// What key would sign this node's votes. To be called before the first announcement.
    pub fn set_voting(&mut self, key: NodeId) {
        self.voting = Some(key);
    }

    /// What room it gives to content of others. To be called before the first announcement.
    pub fn set_storage(&mut self, storage: Storage) {
        self.storage = Some(storage);
    }

    /// What shows that this node is a member, from now on.
    pub fn set_credentials(&mut self, credentials: Chain, now: Now) {
        self.credentials = credentials;
        self.changed(now);
    }

    /// Whether this node is a relay.
    pub fn is_relay(&self) -> bool {
        self.config.relay
    }

    /// Forgets another node, at once.
    pub fn remove(&mut self, node: &NodeId) {
        if let Some(entry) = self.nodes.get(node) {
            self.expiries.remove(&(entry.expires, *node));
            self.expire(*node);
        }
    }

    /// The key that would sign the votes of another node, if it has announced one.
    pub fn voting_key(&self, node: &NodeId) -> Option<NodeId> {
        self.nodes.get(node)?.announcement.voting
    }

    /// Withdraws everything and says goodbye. Nothing but a new agent makes this node announce itself again.
    pub fn leave(&mut self) {
        self.own.clear();
        self.left = true;
        self.due = None;
        self.outputs.push_back(Output::Announce(Announcement { leaving: true, ..Announcement::default() }));
    }

    /// Whether an agent of ours has this name.
    pub fn is_local(&self, name: &AgentName) -> bool {
        self.own.contains_key(name)
    }

    /// Notes our announcement as it was signed.
    pub fn announced(&mut self, envelope: &Verified<Envelope>) {
        self.place += 1;
        self.current = Some(Current { seq: envelope.seq, wire: envelope.wire().clone(), place: self.place });
    }

    /// Sequence number of our announcement, 0 before the first.
    pub fn current_seq(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.seq)
    }

    /// Our announcement as it was signed.
    pub fn current(&self) -> Option<&Bytes> {
        self.current.as_ref().map(|current| &current.wire)
    }

    /// The announcement of another node as it was signed.
    pub fn wire_of(&self, node: &NodeId) -> Option<&Bytes> {
        self.nodes.get(node).map(|entry| &entry.wire)
    }

    /// Announcements that came after the first `place`, as they were signed.
    pub fn wires_after(&self, place: u64) -> impl Iterator<Item = &Bytes> {
        let own = self.current.iter().map(|current| (current.place, &current.wire));
        let others = self.nodes.values().map(|entry| (entry.place, &entry.wire));
        own.chain(others).filter(move |(came, _)| *came > place).map(|(_, wire)| wire)
    }

    /// How many announcements have come.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Takes in another node's announcement.
    pub fn apply(&mut self, envelope: &Verified<Envelope>, announcement: Announcement, now: Now) -> Applied {
        let node = envelope.from;
        let known = self.nodes.get(&node);
        if node == self.node || known.is_some_and(|entry| entry.seq >= envelope.seq) {
            return Applied::Known;
        }
        let wire = envelope.wire().clone();
        let bytes = self.bytes - known.map_or(0, |entry| entry.wire.len()) + wire.len();
        if bytes > self.config.max_bytes || (known.is_none() && self.nodes.len() >= self.config.max_nodes) {
            return Applied::NoRoom;
        }

        let announced = envelope.clock.unix_ms();
        let expires = now.mono + (announced + envelope.ttl).saturating_sub(now.unix);
        let leaving = announcement.leaving;
        self.place += 1;
        let entry = Entry { seq: envelope.seq, announced, expires, announcement, wire, place: self.place };
        self.bytes = bytes;
        self.expiries.insert((expires, node));
        let before = self.nodes.insert(node, Box::new(entry));
        if let Some(before) = &before {
            self.expiries.remove(&(before.expires, node));
            if before.expires == expires {
                self.expiries.insert((expires, node));
            }
        }
        let before = before.map(|entry| entry.announcement).unwrap_or_default();
        let matched = self.matched(node, &before);
        self.compare(node, before);
        if leaving {
            self.event(Event::NodeLeft(node));
        }
        self.advance(&matched, now);
        Applied::Current
    }

    /// Whether announcement `seq` of `node`, or a newer one, is known.
    pub fn knows(&self, node: &NodeId, seq: u64) -> bool {
        *node == self.node || self.nodes.get(node).is_some_and(|entry| entry.seq >= seq)
    }

    /// Another node asks: if an agent of ours matches and is not known to it, we announce again.
    pub fn asked(&mut self, query: &Query, now: Now) {
        let seq = self.current_seq();
        let known = query.known.iter().any(|Known(node, known)| *node == self.node && *known >= seq);
        let node = self.node;
        if !known && self.own.values().any(|agent| query.criteria.matches(&node, agent)) {
            self.changed(now);
        }
    }

    /// Starts a search; its end is an [`Event::Found`]. `query` is its random id on the wire.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Busy`]
    pub fn search(
        &mut self,
        criteria: Criteria,
        options: SearchOptions,
        query: MessageId,
        now: Now,
    ) -> Result<SearchId, Error> {
        criteria.check()?;
        if self.searches.is_full() {
            return Err(Error::Busy);
        }
        let id = self.searches.next_id();
        let matches = self.matching(&criteria).len();
        let search = Search::new(criteria, options, matches, now.mono);
        if search.reached(matches) {
            self.found(id, &search);
        } else {
            self.searches.start(id, search, query);
            self.ask(now);
        }
        Ok(id)
    }

    /// Forgets a search that nobody waits for any more.
    pub fn cancel(&mut self, id: SearchId) {
        self.searches.cancel(id);
    }

    /// The node of the agent called `name`, on `node` if given. Local agents count.
    ///
    /// # Errors
    /// [`Error::UnknownAgent`], [`Error::Ambiguous`]
    pub fn resolve(&self, name: &AgentName, node: Option<&NodeId>) -> Result<NodeId, Error> {
        let mut nodes: Vec<_> = self.names.get(name).into_iter().flatten().copied().collect();
        if self.own.contains_key(name) {
            nodes.push(self.node);
        }
        if let Some(wanted) = node {
            nodes.retain(|node| node == wanted);
        }
        match nodes[..] {
            [] => Err(Error::UnknownAgent),
            [only] => Ok(only),
            _ => Err(Error::Ambiguous(nodes)),
        }
    }

    /// Where `node` says it can be reached.
    pub fn addresses(&self, node: &NodeId) -> &[String] {
        self.nodes.get(node).map_or(&[], |entry| &entry.announcement.addresses)
    }

    /// Nodes that say they can be reached by a direct connection signalled through a relay.
    pub fn upgradable(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.keys().filter(|node| self.is_upgradable(node) == Some(true)).copied()
    }

    /// Nodes that carry others' connections.
    pub fn relays(&self) -> impl Iterator<Item = NodeId> + '_ {
        let relays = |announcement: &Announcement| announcement.relay && !announcement.leaving;
        self.nodes.iter().filter(move |(_, entry)| relays(&entry.announcement)).map(|(node, _)| *node)
    }

    /// Whether `node` says that it can be reached by a direct connection; nothing when it has no current announcement.
    pub fn is_upgradable(&self, node: &NodeId) -> Option<bool> {
        let entry = self.nodes.get(node).filter(|entry| !entry.announcement.leaving)?;
        let upgradable = |address: &String| address.split('/').any(|part| part == "webrtc");
        Some(entry.announcement.addresses.iter().any(upgradable))
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        self.nodes.len() + self.expiries.len() + self.names.len()
    }

    /// All agents, ours included.
    pub fn agents(&self) -> impl Iterator<Item = PeerAgent> + '_ {
        let own = self.own.values().map(|record| PeerAgent {
            node: self.node,
            record: record.clone(),
            announced: 0,
            local: true,
        });
        own.chain(self.remote())
    }

    /// Whether `node`, another one, has a current announcement.
    pub fn lists(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|entry| !entry.announcement.leaving)
    }

    /// Nodes with a current announcement, this one included.
    pub fn node_count(&self) -> usize {
        1 + self.nodes.values().filter(|entry| !entry.announcement.leaving).count()
    }

    /// Number of agents of `node`.
    pub fn agent_count(&self, node: &NodeId) -> usize {
        self.nodes.get(node).map_or(0, |entry| entry.announcement.agents.len())
    }

    /// Announces, ends searches and lets announcements expire.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.due.is_some_and(|due| due <= now.mono) && self.quota.admit(&(), 1, now.mono) {
            self.due = Some(now.mono + self.config.refresh_ms);
            self.outputs.push_back(Output::Announce(self.announcement()));
        }

        while let Some((id, search)) = self.searches.over(now.mono) {
            self.found(id, &search);
        }
        self.ask(now);

        while let Some((_, node)) = self.expiries.first().copied().filter(|(expires, _)| *expires <= now.mono) {
            self.expiries.pop_first();
            self.expire(node);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let expiry = self.expiries.first().map(|(expires, _)| *expires);
        [self.due, expiry, self.searches.poll_timeout()].into_iter().flatten().min()
    }

    /// What is to be done or said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn announcement(&self) -> Announcement {
        Announcement {
            addresses: self.addresses.clone(),
            agents: self.own.values().cloned().collect(),
            leaving: false,
            relay: self.config.relay,
            voting: self.voting,
            storage: self.storage.clone(),
            credentials: self.credentials.clone(),
        }
    }

    fn changed(&mut self, now: Now) {
        if !self.left {
            self.due = self.quota.ready_at(&(), 1, now.mono);
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Tells how the agents of `node` differ from those `before`, and keeps the names in step.
    fn compare(&mut self, node: NodeId, before: Announcement) {
        let mut gone: BTreeMap<_, _> = ordered(before.agents.into_iter().map(|agent| (agent.name.clone(), agent)));
        let current: Vec<PeerAgent> = self.remote_of(&node).collect();
        for agent in current {
            match gone.remove(&agent.record.name) {
                Some(before) if before == agent.record => {}
                Some(_) => self.event(Event::Updated(agent)),
                None => {
                    self.names.entry(agent.record.name.clone()).or_default().insert(node);
                    self.event(Event::Joined(agent));
                }
            }
        }
        for name in gone.into_keys() {
            self.left(AgentId { name, node }, LeftReason::Withdrawn);
        }
    }

    fn left(&mut self, id: AgentId, reason: LeftReason) {
        if let Some(nodes) = self.names.get_mut(&id.name) {
            nodes.remove(&id.node);
            if nodes.is_empty() {
                self.names.remove(&id.name);
            }
        }
        self.event(Event::Left { id, reason });
    }

    fn expire(&mut self, node: NodeId) {
        let Some(entry) = self.nodes.remove(&node) else {
            return;
        };
        self.bytes -= entry.wire.len();
        for agent in entry.announcement.agents {
            let id = AgentId { name: agent.name, node };
            self.left(id, LeftReason::Expired);
        }
        if !entry.announcement.leaving {
            self.event(Event::NodeLeft(node));
        }
    }

    /// Searches that an agent of `node` matches which did not `before`.
    fn matched(&self, node: NodeId, before: &Announcement) -> Vec<SearchId> {
        let new = |criteria: &Criteria| {
            let matched = |agent: &AgentRecord| criteria.matches(&node, agent);
            let known: BTreeSet<_> = ordered(before.agents.iter().filter(|agent| matched(agent)).map(|a| &a.name));
            let mut agents = self.nodes.get(&node).into_iter().flat_map(|entry| &entry.announcement.agents);
            agents.any(|agent| matched(agent) && !known.contains(&agent.name))
        };
        self.searches.of(new)
    }

    /// Moves on searches that have a new match.
    fn advance(&mut self, matched: &[SearchId], now: Now) {
        for id in matched {
            let matches = self.searches.get(*id).map_or(0, |search| self.matching(&search.criteria).len());
            if let Some(search) = self.searches.advance(*id, matches, now.mono) {
                self.found(*id, &search);
            }
        }
    }

    /// Asks what may be asked now.
    fn ask(&mut self, now: Now) {
        while let Some((id, criteria)) = self.searches.question(now.mono) {
            let criteria = criteria.clone();
            let nodes: BTreeSet<_> = ordered(self.matching(&criteria).into_iter().map(|agent| agent.node));
            let known = nodes.into_iter().filter_map(|node| Some(Known(node, self.nodes.get(&node)?.seq)));
            let query = Query { id, known: known.take(MAX_KNOWN).collect(), criteria };
            self.outputs.push_back(Output::Ask(query));
        }
    }

    fn found(&mut self, id: SearchId, search: &Search) {
        let mut agents = self.matching(&search.criteria);
        agents.truncate(search.options.limit.unwrap_or(usize::MAX));
        self.event(Event::Found { id, agents });
    }

    fn matching(&self, criteria: &Criteria) -> Vec<PeerAgent> {
        self.remote().filter(|agent| criteria.matches(&agent.node, &agent.record)).collect()
    }

    fn remote(&self) -> impl Iterator<Item = PeerAgent> + '_ {
        self.nodes.keys().flat_map(|node| self.remote_of(node))
    }

    fn remote_of(&self, node: &NodeId) -> impl Iterator<Item = PeerAgent> + '_ {
        let node = *node;
        self.nodes.get(&node).into_iter().flat_map(move |entry| {
            entry.announcement.agents.iter().map(move |record| PeerAgent {
                node,
                record: record.clone(),
                announced: entry.announced,
                local: false,
            })
        })
    }
}

#[cfg(test)]
mod tests;
