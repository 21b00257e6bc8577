//! One node: its components, and what passes between them.
//!
//! This file is the table of contents of the system. It decides nothing itself: it hands each input to the component that
//! does, carries what one component must know of another, and turns what they want into [`Output`]s. Components never
//! call each other.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use mesh_consensus::certificate::VerifyError;
use mesh_proto::agent::{AgentRecord, Criteria};
use mesh_proto::gossip::{Announcement, Batch, Heartbeat, Query};
use mesh_proto::limits::{MAX_BODY, MAX_ENVELOPE, MAX_JOIN_ANNOUNCEMENTS};
use mesh_proto::protocol::Topic;
use mesh_proto::transfer::Manifest;
use mesh_proto::{
    AgentName, DecodeError, Envelope, Keypair, Kind, MeshId, MessageId, NodeId, TransferId, Verified, codec,
    credential, direct, join, ordered,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::access::{self, Access};
use crate::broadcast::{self, Broadcast};
use crate::condition::{Condition, Losses, Signs};
use crate::directory::{self, Applied, Directory, PeerAgent, SearchId, SearchOptions};
use crate::doorstep::{Asked, Doorstep};
use crate::health::{self, Health};
use crate::intake::{self, Intake, Verdict};
use crate::knowledge::{self, Knowledge};
use crate::loopback::Loopback;
use crate::membership::{self, Membership};
use crate::messaging::{self, Messaging, SendId};
use crate::metrics::Metrics;
use crate::offence::Offence;
use crate::paths::{self, Paths, Why};
use crate::proposals::{self, Founding, Proposals};
use crate::sealer::Sealer;
use crate::time::{Mono, Now};
use crate::unheard::Unheard;
use crate::weights::{self, Weights};

/// Every component's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether somebody here reads messages to the node itself. Else their senders are told that nobody does.
    pub inbox: bool,
    /// What is let in.
    pub intake: intake::Config,
    /// Staying in touch with seeds.
    pub membership: membership::Config,
    /// Announcing and searching.
    pub directory: directory::Config,
    /// Direct messages.
    pub messaging: messaging::Config,
    /// Broadcasts.
    pub broadcast: broadcast::Config,
    /// Transfers of weights.
    pub weights: weights::Config,
    /// Heartbeats and suspicion.
    pub health: health::Config,
    /// Direct links.
    pub paths: paths::Config,
    /// Knowing together.
    pub knowledge: knowledge::Config,
    /// What of it stood in the store.
    pub known: knowledge::Restored,
    /// Deciding together.
    pub proposals: proposals::Config,
    /// Who is let in, in a private mesh.
    pub access: access::Config,
    /// Members to stay in touch with who are no relays.
    pub contacts: Vec<NodeId>,
    /// What a chartered mesh begins with; nothing in one without a charter, where nobody votes.
    pub charter: Option<Founding>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            inbox: true,
            intake: intake::Config::default(),
            membership: membership::Config::default(),
            directory: directory::Config::default(),
            messaging: messaging::Config::default(),
            broadcast: broadcast::Config::default(),
            weights: weights::Config::default(),
            health: health::Config::default(),
            paths: paths::Config::default(),
            knowledge: knowledge::Config::default(),
            known: knowledge::Restored::default(),
            proposals: proposals::Config::default(),
            access: access::Config::default(),
            contacts: Vec::new(),
            charter: None,
        }
    }
}

/// A member of one mesh.
#[derive(Debug)]
pub struct Node {
    mesh: MeshId,
    inbox: bool,
    /// Unix microseconds at the start: tells this run from earlier ones of the same node.
    run: u64,
    rng: ChaCha8Rng,
    sealer: Sealer,
    intake: Intake,
    membership: Membership,
    doorstep: Doorstep,
    directory: Directory,
    messaging: Messaging,
    broadcast: Broadcast,
    weights: Weights,
    health: Health,
    paths: Paths,
    knowledge: Knowledge,
    /// Where the mesh has a charter.
    proposals: Option<Proposals>,
    /// Where the mesh is private.
    access: Option<Access>,
    strangers: Strangers,
    metrics: Metrics,
    losses: Losses,
    /// Messages whose receiver is being looked for.
    searching: BTreeMap<SearchId, Box<Waiting>>,
    /// Messages that are being sent.
    sending: BTreeMap<SendId, CallId>,
    /// What is being told about knowledge, and to whom.
    telling: BTreeMap<SendId, NodeId>,
    /// Messages from one agent of this node to another.
    loopback: Loopback,
    next_call: u64,
    unheard: Unheard,
    /// Where the lists of neighbours ended.
    cursors: BTreeMap<NodeId, join::Cursor>,
    next_prune: Mono,
    outputs: VecDeque<Output>,
}

/// How long a message may wait for its receiver's announcement.
const RESOLVE_MS: u64 = 2_500;
/// Bytes of announcements that are gathered into one frame of a list. Whoever reads it checks a signature for every few
/// hundred of them, and a page must not stand still for longer than a frame takes.
const JOIN_FRAME: usize = 32 * 1024;
/// How often expired state is forgotten.
const PRUNE_MS: u64 = 60_000;

#[derive(Debug)]
struct Waiting {
    call: CallId,
    target: Target,
    from: Option<AgentName>,
    body: Bytes,
    deadline: Mono,
}

impl Node {
    /// A member of `mesh` with the identity of `key`, which will stay in touch with `seeds`. `entropy` seeds its random
    /// generator: equal entropy, inputs and times give equal outputs. If there is a charter, `mesh` is what it founds.
    pub fn new(
        config: Config,
        key: Keypair,
        mesh: MeshId,
        seeds: impl IntoIterator<Item = NodeId>,
        entropy: [u8; 32],
        now: Now,
    ) -> Self {
        let node = key.node();
        let run = now.unix.saturating_mul(1000);
        let mut rng = ChaCha8Rng::from_seed(entropy);
        let mut directory = Directory::new(config.directory, node, now);
        let access = config.charter.as_ref().filter(|founding| !founding.charter().open).map(|founding| {
            let mut entropy = [[0; 32]; 2];
            entropy.iter_mut().for_each(|entropy| rng.fill_bytes(entropy));
            let (charter, kept) = (founding.charter().clone(), founding.access.clone());
            Access::new(
                config.access,
                (charter, mesh),
                (key.clone(), kept),
                config.intake.verifier.clone(),
                entropy,
                now,
            )
        });
        if let Some(access) = &access {
            directory.set_credentials(access.admission().chain().clone(), now);
        }
        let proposals = config.charter.map(|founding| {
            let mut entropy = [0; 32];
            rng.fill_bytes(&mut entropy);
            let verifier = config.intake.verifier.clone();
            Proposals::new(config.proposals, founding, key.clone(), verifier, entropy, now)
        });
        if let Some(voting) = proposals.as_ref().and_then(Proposals::voting_key) {
            directory.set_voting(voting);
        }
        if let Some(offer) = &config.knowledge.offer {
            directory.set_storage(offer.clone());
        }
        let mut entropy = [0; 32];
        rng.fill_bytes(&mut entropy);
        Self {
            mesh,
            knowledge: Knowledge::new(config.knowledge, node, config.known.of(&mesh), entropy, now),
            inbox: config.inbox,
            run,
            rng,
            proposals,
            access,
            strangers: Strangers::default(),
            sealer: Sealer::new(key, mesh, now),
            intake: Intake::new(&config.intake, mesh),
            membership: Membership::new(config.membership, node, seeds, config.contacts, now),
            doorstep: Doorstep::default(),
            directory,
            messaging: Messaging::new(config.messaging, mesh, run),
            broadcast: Broadcast::new(&config.broadcast),
            weights: Weights::new(config.weights),
            health: Health::new(config.health, now),
            paths: Paths::new(config.paths, node, now),
            metrics: Metrics::default(),
            losses: Losses::default(),
            searching: BTreeMap::new(),
            sending: BTreeMap::new(),
            telling: BTreeMap::new(),
            loopback: Loopback::default(),
            next_call: 0,
            unheard: Unheard::new(node),
            cursors: BTreeMap::new(),
            next_prune: now.mono + PRUNE_MS,
            outputs: VecDeque::new(),
        }
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.sealer.node()
    }

    /// Its mesh.
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Announces an agent of this node, or announces it anew.
    ///
    /// # Errors
    /// [`directory::Error`]
    pub fn announce(&mut self, agent: AgentRecord, now: Now) -> Result<(), directory::Error> {
        self.check_speaks(now)?;
        self.directory.announce(agent, now)?;
        self.turn(now);
        Ok(())
    }

    /// Withdraws an agent of this node.
    ///
    /// # Errors
    /// [`directory::Error::UnknownAgent`]
    pub fn withdraw(&mut self, name: &AgentName, now: Now) -> Result<(), directory::Error> {
        self.directory.withdraw(name, now)?;
        self.turn(now);
        Ok(())
    }

    /// All agents that are known, this node's included.
    pub fn agents(&self) -> Vec<PeerAgent> {
        self.directory.agents().collect()
    }

    /// Searches the mesh; ends in [`directory::Event::Found`].
    ///
    /// # Errors
    /// [`directory::Error`]
    pub fn discover(
        &mut self,
        criteria: Criteria,
        options: SearchOptions,
        now: Now,
    ) -> Result<SearchId, directory::Error> {
        let query = MessageId(self.random());
        let search = self.directory.search(criteria, options, query, now);
        self.turn(now);
        search
    }

    /// The host slept, or its network changed: everything that waits for its next try is tried now.
    pub fn wake(&mut self, now: Now) {
        self.membership.wake(now);
        self.paths.wake(now);
        self.handle_timeout(now);
    }

    /// Forgets a search.
    pub fn cancel_discover(&mut self, id: SearchId) {
        self.directory.cancel(id);
    }

    /// Sends a message; ends in [`Event::Sent`] or [`Event::SendFailed`]. A receiver that is not known is looked for
    /// first.
    ///
    /// # Errors
    /// [`SendError::NotTaken`] and [`SendError::Ambiguous`] at once, the others by event.
    pub fn send(
        &mut self,
        target: Target,
        from: Option<AgentName>,
        body: Bytes,
        timeout_ms: u64,
        now: Now,
    ) -> Result<CallId, SendError> {
        if body.len() > MAX_BODY {
            return Err(messaging::Error::TooLarge { len: body.len(), max: MAX_BODY }.into());
        }
        self.check_speaks(now).map_err(messaging::Error::from)?;
        self.next_call += 1;
        let waiting = Waiting { call: CallId(self.next_call), target, from, body, deadline: now.mono + timeout_ms };
        let call = waiting.call;
        match self.resolve(&waiting.target) {
            Ok(node) => self.dispatch(waiting, node, now)?,
            Err(SendError::UnknownAgent) => self.look_for(waiting, now)?,
            Err(error) => return Err(error),
        }
        self.metrics.messages_sent += 1;
        self.turn(now);
        Ok(call)
    }

    /// Forgets a send that nobody waits for any more; what was not sent yet never is.
    pub fn cancel_send(&mut self, call: CallId, now: Now) {
        self.searching.retain(|search, waiting| {
            let keep = waiting.call != call;
            if !keep {
                self.directory.cancel(*search);
            }
            keep
        });
        self.loopback.cancel(call);
        let send = self.sending.iter().find(|(_, sending)| **sending == call).map(|(send, _)| *send);
        if let Some(send) = send {
            self.sending.remove(&send);
            self.messaging.cancel(send);
        }
        self.turn(now);
    }

    /// The application has a message: its sender is told.
    pub fn taken(&mut self, from: NodeId, session: u64, number: u64, now: Now) {
        if from != self.id() {
            self.messaging.taken(from, session, number, now);
        } else if let Some(round_trip_ms) = self.loopback.taken(CallId(number), now) {
            let call = CallId(number);
            let receipt = Receipt { peer: from, number: (session, number), round_trip_ms };
            self.metrics.messages_delivered += 1;
            self.event(Event::Sent { call, receipt });
        }
        self.turn(now);
    }

    /// Broadcasts to the swarm.
    ///
    /// # Errors
    /// [`broadcast::Error`]
    pub fn publish(&mut self, topic: String, body: Bytes, now: Now) -> Result<(), broadcast::Error> {
        self.check_speaks(now)?;
        self.broadcast.publish(topic, body, now)?;
        self.metrics.broadcasts_sent += 1;
        self.turn(now);
        Ok(())
    }

    /// The node of `target`, if it is known. Of several with that name, one that is heard goes before those that are
    /// suspected: a process that was killed leaves its agents behind until they expire.
    ///
    /// # Errors
    /// [`SendError::UnknownAgent`], [`SendError::Ambiguous`]
    pub fn resolve(&self, target: &Target) -> Result<NodeId, SendError> {
        let (name, node) = match target {
            Target::Node(node) => return Ok(*node),
            Target::Agent(name, node) => (name, node),
        };
        self.directory.resolve(name, node.as_ref()).or_else(|error| match error {
            directory::Error::Ambiguous(nodes) => {
                let suspect = |node: &NodeId| self.health.peers().get(node).is_some_and(|peer| peer.suspect);
                let mut heard = nodes.iter().filter(|node| !suspect(node));
                match (heard.next(), heard.next()) {
                    (Some(only), None) => Ok(*only),
                    (Some(_) | None, _) => Err(SendError::Ambiguous(nodes)),
                }
            }
            directory::Error::UnknownAgent
            | directory::Error::Invalid(_)
            | directory::Error::Unencodable(_)
            | directory::Error::Full
            | directory::Error::OnlyListens(_)
            | directory::Error::Busy => Err(SendError::UnknownAgent),
        })
    }

    /// Shares what `manifest` describes with `to`; ends in [`weights::Event::Shared`] or
    /// [`weights::Event::ShareFailed`]. The driver has the bytes.
    ///
    /// # Errors
    /// [`weights::Error`]
    pub fn share(&mut self, to: NodeId, manifest: &Manifest, timeout_ms: u64, now: Now) -> Result<(), weights::Error> {
        self.check_speaks(now)?;
        self.weights.share(to, manifest, timeout_ms, now)?;
        self.turn(now);
        Ok(())
    }

    /// The application has weights that arrived; they count against the bounds until then.
    pub fn weights_taken(&mut self, from: NodeId, id: TransferId, now: Now) {
        self.weights.taken(from, id);
        self.turn(now);
    }

    /// Stops sharing.
    pub fn cancel_share(&mut self, to: NodeId, id: TransferId, now: Now) {
        self.weights.cancel(to, id);
        self.turn(now);
    }

    /// A random id.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Says goodbye to the mesh. What is to be published for it is in the outputs.
    pub fn leave(&mut self, now: Now) {
        self.broadcast.handle_timeout(now);
        self.directory.leave();
        self.turn(now);
    }

    /// Whether somebody waits for an answer of ours that has not left yet. Who closes then makes a message look lost that
    /// was delivered.
    pub fn owes_answers(&self) -> bool {
        self.messaging.owes_answers()
    }

    /// What is known of the network around this node.
    pub fn topology(&self) -> Topology {
        let (links, peers) = (self.health.links().iter(), self.health.peers().iter());
        Topology {
            links: ordered(links.map(|(node, link)| (*node, (link.clone(), self.why(node))))),
            peers: ordered(peers.map(|(node, peer)| (*node, (*peer, self.directory.agent_count(node))))),
            condition: self.condition(),
        }
    }

    /// Why the link to `node` is relayed. One that does not say that it does direct connections has no hurry to be asked.
    fn why(&self, node: &NodeId) -> Option<Why> {
        let why = self.paths.why(node)?;
        let unable = why == Why::Upgrading && self.directory.is_upgradable(node) == Some(false);
        Some(if unable { Why::There } else { why })
    }

    /// How the mesh is doing.
    pub fn condition(&self) -> Condition {
        Condition::of(Signs {
            relays: (self.membership.seeds(), self.membership.connected_seeds()),
            stand_ins: self.membership.connected_stand_ins(),
            links: self.health.links().len(),
            companions: self.paths.has_companions(),
            members: self.health.silent(),
            split: self.health.is_split(),
            losses: self.losses,
        })
    }

    /// Where another member says that it can be reached.
    pub fn addresses(&self, node: &NodeId) -> &[String] {
        self.directory.addresses(node)
    }

    /// Whether `node` is a member that this one knows.
    pub fn knows(&self, node: &NodeId) -> bool {
        self.directory.lists(node)
    }

    /// Nodes with a link.
    pub fn links(&self) -> usize {
        self.health.links().len()
    }

    /// Entries that are remembered of others, in all components: what must not grow for ever.
    pub fn retained(&self) -> usize {
        let Self { intake, directory, messaging, health, paths, proposals, searching, sending, cursors, .. } = self;
        let knowledge = self.knowledge.retained() + self.telling.len();
        let components = intake.retained() + directory.retained() + messaging.retained() + health.retained();
        let proposals = proposals.as_ref().map_or(0, Proposals::retained);
        let access = self.access.as_ref().map_or(0, Access::retained) + self.strangers.retained();
        components + proposals + access + knowledge + paths.retained() + searching.len() + sending.len() + cursors.len()
    }

    /// Whether `node` is one of the seeds.
    pub fn is_seed(&self, node: &NodeId) -> bool {
        self.membership.is_seed(node)
    }

    /// Counters and gauges now.
    pub fn metrics(&self) -> Metrics {
        let links = self.health.links();
        Metrics {
            nodes_known: self.directory.node_count() as u64,
            agents_known: self.directory.agents().count() as u64,
            links: links.len() as u64,
            links_relayed: links.values().filter(|link| link.relayed).count() as u64,
            broadcast_bytes_waiting: self.broadcast.waiting() as u64,
            entries: self.knowledge.ledger().load().0 as u64,
            entry_bytes: self.knowledge.ledger().load().1 as u64,
            blocks: self.knowledge.shelf().blocks() as u64,
            block_bytes: self.knowledge.shelf().load().0,
            contents_placed: self.knowledge.held().0 as u64,
            contents_held: self.knowledge.held().1 as u64,
            ..self.metrics.clone()
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Now) {
        if let Some(sender) = input.sender() {
            self.health.received(&sender, now);
        }
        match input {
            Input::Connected { peer, relayed, address } => self.connected(peer, relayed, address, now),
            Input::Disconnected { peer } => self.disconnected(peer, now),
            Input::DialFailed { peer } => {
                self.membership.dial_failed(peer, now);
                self.paths.dial_failed(peer, now);
                self.messaging.handle(messaging::Input::DialFailed { peer }, now);
                self.weights.handle(weights::Input::DialFailed(peer), now);
            }
            Input::UpgradeFailed { peer, failure } => {
                self.metrics.upgrades_failed += 1;
                self.paths.failed(peer, failure, now);
            }
            Input::RoundTrip { peer, millis } => self.health.measured(peer, millis, now),
            Input::Addresses(addresses) => self.directory.set_addresses(addresses, now),
            Input::Gossip { ticket, from, topic, wire } => {
                if let Some(verdict) = self.gossip(ticket, from, topic, wire, now) {
                    self.outputs.push_back(Output::Verdict { ticket, verdict });
                }
            }
            Input::Unpublished { topic: _, wire } => self.unheard.keep(wire, now),
            Input::Listener { peer, topic } => {
                self.doorstep.listens(peer);
                if topic == Kind::KnowledgeShare.topic() {
                    self.knowledge.met(peer, now);
                }
                let again = self.unheard.take(topic, now).into_iter();
                self.outputs.extend(again.map(|wire| Output::Publish { topic, wire }));
            }
            Input::JoinRequest { ticket, from, request } => self.join_requested(ticket, from, request, now),
            Input::JoinReply { from, reply } => self.join_replied(from, reply, now),
            Input::JoinFailed { from } => self.membership.join_failed(from, now),
            // The driver takes no streams of theirs, and closes those that were open.
            Input::Direct(messaging::Input::Frame { from, .. })
            | Input::Transfer(weights::Input::Offered { from, .. } | weights::Input::Receiving { from, .. })
                if self.hearing(&from, now) != Hearing::Yes => {}
            Input::Direct(input) => self.messaging.handle(input, now),
            Input::Transfer(input) => self.weights.handle(input, now),
            Input::Auth { from: _, frame: credential::Frame::Revoked(revocation) } => {
                // Whoever has a link can say it, member or not: only what concerns this node is worth keeping.
                if self.access.as_ref().is_some_and(|access| access.shows(&revocation.revocation)) {
                    self.taken_back(&revocation, now);
                }
            }
            Input::Auth { from, frame } => {
                if let Some(access) = &mut self.access {
                    access.handle(from, frame, now);
                }
            }
            Input::AuthBroken { peer, unsupported } => {
                if let Some(access) = &mut self.access {
                    // A relay of others never will.
                    let foreign = unsupported && self.membership.wants(&peer);
                    access.broken(&peer, unsupported, foreign, now);
                }
            }
            Input::AdmitRequest { ticket, from, request } => self.admission_asked(ticket, from, &request, now),
            Input::AdmitAnswer(answer) => {
                if let Some(access) = &mut self.access {
                    access.answered(*answer, now);
                }
            }
            Input::Kept { ticket: Ticket::Proposals(ticket), durable } => {
                if let Some(proposals) = &mut self.proposals {
                    proposals.kept(ticket, durable, now);
                }
            }
            Input::Kept { ticket: Ticket::Access(write), durable } => {
                if let Some(access) = &mut self.access {
                    access.kept(write, durable);
                }
            }
            Input::Kept { ticket: Ticket::Knowledge(write), durable } => self.knowledge.kept(write, durable),
            Input::Blocks(blocks) => self.blocks(blocks, now),
            Input::Offence { from, offence } => self.offence(from, offence),
        }
        self.turn(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.tend_membership(now);
        self.doorstep.handle_timeout(now);
        self.directory.handle_timeout(now);
        self.messaging.handle_timeout(now);
        self.broadcast.handle_timeout(now);
        self.loopback.handle_timeout(now);
        self.weights.handle_timeout(now);
        self.health.handle_timeout(now);
        self.knowledge.handle_timeout(now);
        if let Some(proposals) = &mut self.proposals {
            proposals.handle_timeout(now);
        }
        if let Some(access) = &mut self.access {
            access.handle_timeout(now);
        }
        self.give_up_strangers(now);
        self.tend_paths(now);
        if self.next_prune <= now.mono {
            self.next_prune = now.mono + PRUNE_MS;
            self.intake.prune(now);
        }
        self.turn(now);
    }

    /// When something is due, and for whom.
    pub fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        [
            (self.membership.poll_timeout(), "membership"),
            (self.doorstep.poll_timeout(), "doorstep"),
            (self.directory.poll_timeout(), "directory"),
            (self.messaging.poll_timeout(), "messaging"),
            (self.broadcast.poll_timeout(), "broadcast"),
            (self.loopback.poll_timeout(), "loopback"),
            (self.weights.poll_timeout(), "weights"),
            (self.health.poll_timeout(), "health"),
            (self.paths.poll_timeout(), "paths"),
            (self.knowledge.poll_timeout(), "knowledge"),
            (self.proposals.as_ref().and_then(Proposals::poll_timeout), "proposals"),
            (self.access.as_ref().and_then(Access::poll_timeout), "access"),
            (self.strangers.poll_timeout(), "strangers"),
            (Some(self.next_prune), "prune"),
        ]
        .into_iter()
        .filter_map(|(due, who)| Some((due?, who)))
        .min()
    }

    /// What is to be done; to be drained before the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

mod admitting;
mod carry;
mod deciding;
mod io;
mod knowing;
mod members;

use admitting::Strangers;

pub use deciding::Electorate;
pub use io::{CallId, Event, Hearing, Incoming, Input, Output, Receipt, SendError, Target, Ticket, Topology};
