//! The simulator's door to JavaScript: one class, plain data, no logic.
//!
//! Nothing here waits: virtual time passes in [`SimWorld::run`], which stops as soon as an application is told something, so
//! that JavaScript can answer at that very moment. Hosts are numbers, relays first.
//!
//! What nodes say and are told crosses as it does at mesh-wasm's door, in the very same source files.

#[path = "../../wasm/src/convert.rs"]
#[expect(dead_code, reason = "weights are not simulated")]
mod convert;
#[path = "../../wasm/src/decisions.rs"]
#[allow(unreachable_pub, reason = "nobody votes in a simulation yet")]
mod decisions;
#[path = "../../wasm/src/entries.rs"]
#[allow(dead_code, unreachable_pub, reason = "nobody asks for knowledge in a simulation yet")]
mod entries;
#[path = "../../wasm/src/error.rs"]
mod error;
mod peer;
mod sim_types;
#[path = "../../wasm/src/told.rs"]
mod told;
#[path = "../../wasm/src/types.rs"]
#[allow(dead_code, unreachable_pub, reason = "weights are not simulated, nor are nodes opened")]
mod types;

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use mesh_core::directory::{self, SearchId};
use mesh_core::node::{CallId, Event};
use mesh_core::{Node, Now};
use mesh_sim::chance::MILLION;
use mesh_sim::scenario::{self, Options};
use mesh_sim::{Crash, HostId, Link, Micros, Plan, Store, World};
use tsify::{Ts, Tsify as _};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::convert::millis;
use crate::error::{ErrorCode, MeshFault};
use crate::peer::peer_text;
use crate::sim_types::{ScenarioReport, SimConfig, SimLink, SimTold, SimViolation, SimWhat};
use crate::told::Receipts;
use crate::types::{
    AgentCriteria, AgentInfo, DiscoverOptions, MeshMetrics, NetworkTopology, PeerAgent, SendOptions, SendReceipt,
};

/// Milliseconds in which a message is delivered or fails, unless the caller says otherwise.
const SEND_TIMEOUT_MS: u64 = 10_000;

/// Plays a scenario of the simulator's own, with `nodes` hosts if not with as many as it is made for.
#[wasm_bindgen(js_name = playScenario)]
pub fn play_scenario(name: &str, nodes: Option<u32>, seed: f64) -> Result<Ts<ScenarioReport>, MeshFault> {
    let scenario = scenario::named(name).ok_or_else(|| {
        let names: Vec<_> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
        MeshFault::invalid(format!("there is no scenario '{name}': there are {}", names.join(", ")))
    })?;
    let nodes = nodes.map_or(scenario.nodes, |nodes| nodes as usize);
    let report = scenario.run(Options { nodes, seed: seed as u64 });
    Ok(ScenarioReport { good: report.is_good(), trace: format!("{:016x}", report.trace), text: report.to_string() }
        .into_ts()?)
}

/// A simulation.
#[wasm_bindgen]
pub struct SimWorld {
    world: RefCell<World>,
    link: Link,
    receipts: Receipts,
    checked: Cell<Micros>,
}

#[wasm_bindgen]
impl SimWorld {
    /// Relays and pages, all of which start at once.
    pub fn open(config: Ts<SimConfig>) -> Result<SimWorld, MeshFault> {
        let SimConfig { seed, relays, pages, link } = config.to_rust()?;
        let link = link_of(&link, &Link::default());
        let plan = Plan { seed: seed as u64, relays, pages, link: link.clone() };
        let world = RefCell::new(World::planned(&plan));
        Ok(Self { world, link, receipts: Receipts::default(), checked: Cell::default() })
    }

    /// Virtual milliseconds since the beginning.
    #[wasm_bindgen(getter)]
    pub fn now(&self) -> f64 {
        ms_of(self.world.borrow().time())
    }

    /// The hash of all that has happened, hex.
    #[wasm_bindgen(getter)]
    pub fn trace(&self) -> String {
        format!("{:016x}", self.world.borrow().trace())
    }

    /// The mesh's id, hex.
    #[wasm_bindgen(getter, js_name = meshId)]
    pub fn mesh_id(&self) -> String {
        self.world.borrow().mesh_id().to_string()
    }

    /// The peer id of a host.
    #[wasm_bindgen(js_name = peerId)]
    pub fn peer_id(&self, host: u32) -> Result<String, MeshFault> {
        let world = self.world.borrow();
        Ok(peer_text(&world.node_id(known(&world, host)?)))
    }

    /// Lets time pass until applications are told something, which is returned, or until `end`, virtual milliseconds.
    pub fn run(&self, end: f64) -> Result<Vec<Ts<SimTold>>, MeshFault> {
        let mut world = self.world.borrow_mut();
        let mut told = Vec::new();
        loop {
            world.run_to_told(micros(end));
            for (host, event) in world.take_told() {
                if let Some(what) = what(event, &self.receipts) {
                    told.push(SimTold { host: host.0, what }.into_ts()?);
                }
            }
            if !told.is_empty() || world.time() >= micros(end) {
                return Ok(told);
            }
        }
    }

    /// Rules that were broken until now.
    pub fn violations(&self) -> Result<Vec<Ts<SimViolation>>, MeshFault> {
        let mut world = self.world.borrow_mut();
        // What is wrong at this moment is to be told once.
        if self.checked.replace(world.time()) != world.time() {
            world.check();
        }
        let violations = world.ledger().violations().iter().map(|violation| {
            SimViolation { rule: violation.rule.to_owned(), at_ms: ms_of(violation.at), what: violation.what.clone() }
                .into_ts()
        });
        Ok(violations.collect::<Result<_, _>>()?)
    }

    /// Whether those of `hosts` that run know each other, suspect nobody of them, and are linked.
    #[wasm_bindgen(js_name = isWell)]
    pub fn is_well(&self, hosts: Vec<u32>) -> Result<bool, MeshFault> {
        let world = self.world.borrow();
        Ok(world.is_well(&all_known(&world, hosts)?))
    }

    /// Puts each host on the side whose number is at its place.
    pub fn partition(&self, sides: Vec<u32>) {
        let mut world = self.world.borrow_mut();
        let last = sides.iter().max().copied().unwrap_or(0);
        let hosts =
            |side: u32| world.hosts().zip(&sides).filter(|(_, of)| **of == side).map(|(host, _)| host).collect();
        let sides: Vec<_> = (0..=last).map(hosts).collect();
        world.partition(&sides);
    }

    /// Mends all partitions.
    pub fn heal(&self) {
        self.world.borrow_mut().heal();
    }

    /// Makes the link between two hosts as the others are at first, but for what is given.
    #[wasm_bindgen(js_name = setLink)]
    pub fn set_link(&self, a: u32, b: u32, link: Ts<SimLink>) -> Result<(), MeshFault> {
        let mut world = self.world.borrow_mut();
        let (a, b) = (known(&world, a)?, known(&world, b)?);
        world.set_link(a, b, link_of(&link.to_rust()?, &self.link));
        Ok(())
    }

    /// Ends a host's process, or, `silently`, its machine: then nobody is told.
    pub fn crash(&self, host: u32, silently: bool) -> Result<(), MeshFault> {
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        world.crash(host, if silently { Crash::Machine } else { Crash::Process });
        world.forget_told(host);
        Ok(())
    }

    /// Starts a host's process again, with its key or with a new one. One that is saying goodbye ends first.
    pub fn restart(&self, host: u32, lost: bool) -> Result<(), MeshFault> {
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        if world.node(host).is_some() {
            world.crash(host, Crash::Process);
            world.forget_told(host);
        }
        world.restart(host, if lost { Store::Lost } else { Store::Kept });
        Ok(())
    }

    /// Nothing happens in a host until it is thawed.
    pub fn freeze(&self, host: u32) -> Result<(), MeshFault> {
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        world.freeze(host);
        Ok(())
    }

    /// A frozen host goes on.
    pub fn thaw(&self, host: u32) -> Result<(), MeshFault> {
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        world.thaw(host);
        Ok(())
    }

    /// A host's node says goodbye. Its process goes on until it is crashed.
    pub fn leave(&self, host: u32) -> Result<(), MeshFault> {
        self.with(host, Node::leave)
    }

    /// A host's node proves its links.
    pub fn wake(&self, host: u32) -> Result<(), MeshFault> {
        self.with(host, Node::wake)
    }

    /// Announces an agent of a host; returns `name@peerId`.
    pub fn announce(&self, host: u32, agent: Ts<AgentInfo>) -> Result<String, MeshFault> {
        let record = convert::record(agent.to_rust()?)?;
        let id = convert::agent_id(Some(&record.name), &self.peer_id(host)?);
        self.with(host, |node, now| node.announce(record, now))??;
        Ok(id)
    }

    /// Withdraws an agent of a host.
    pub fn withdraw(&self, host: u32, name: &str) -> Result<(), MeshFault> {
        let name = convert::name(name)?;
        Ok(self.with(host, |node, now| node.withdraw(&name, now))??)
    }

    /// All agents that a host knows.
    pub fn agents(&self, host: u32) -> Result<Vec<Ts<PeerAgent>>, MeshFault> {
        let world = self.world.borrow();
        agents(running(&world, host)?.agents())
    }

    /// Begins a search; returns its number.
    pub fn discover(
        &self,
        host: u32,
        criteria: Ts<AgentCriteria>,
        options: Ts<DiscoverOptions>,
    ) -> Result<f64, MeshFault> {
        let criteria = convert::criteria(criteria.to_rust()?)?;
        let options = convert::search(options.to_rust()?);
        let SearchId(search) = self.with(host, |node, now| node.discover(criteria, options, now))??;
        Ok(search as f64)
    }

    /// Gives up a search.
    #[wasm_bindgen(js_name = cancelDiscover)]
    pub fn cancel_discover(&self, host: u32, search: f64) -> Result<(), MeshFault> {
        self.with(host, |node, _| node.cancel_discover(SearchId(search as u64)))
    }

    /// Begins to send a message; returns its number.
    pub fn send(&self, host: u32, to: &str, body: Vec<u8>, options: Ts<SendOptions>) -> Result<f64, MeshFault> {
        let SendOptions { from, timeout_ms } = options.to_rust()?;
        let from = from.map(|name| convert::name(&name)).transpose()?;
        let target = (convert::target(to)?, from);
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        let sent = world.send_message(host, target, Bytes::from(body), millis(timeout_ms, SEND_TIMEOUT_MS));
        let CallId(call) = sent.ok_or_else(|| not_running(host))??;
        Ok(call as f64)
    }

    /// Gives up a send.
    #[wasm_bindgen(js_name = cancelSend)]
    pub fn cancel_send(&self, host: u32, call: f64) -> Result<(), MeshFault> {
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        world.cancel_send(host, CallId(call as u64));
        Ok(())
    }

    /// The application has a message. The world's hosts have said so already.
    pub fn taken(&self, receipt: u32) {
        self.receipts.redeem(receipt);
    }

    /// Broadcasts to the swarm.
    pub fn broadcast(&self, host: u32, topic: String, body: Vec<u8>) -> Result<(), MeshFault> {
        Ok(self.with(host, |node, now| node.publish(topic, Bytes::from(body), now))??)
    }

    /// What a host knows of the network around it.
    pub fn topology(&self, host: u32) -> Result<Ts<NetworkTopology>, MeshFault> {
        let world = self.world.borrow();
        let node = running(&world, host)?;
        let ids = (peer_text(&node.id()), node.mesh().to_string());
        let now = mesh_core::Mono(world.time().ms());
        Ok(convert::topology(ids, node.topology(), |peer| node.is_seed(peer), now).into_ts()?)
    }

    /// A host's counters and gauges, by camelCase name.
    pub fn metrics(&self, host: u32) -> Result<Ts<MeshMetrics>, MeshFault> {
        let world = self.world.borrow();
        Ok(convert::metrics(&running(&world, host)?.metrics()).into_ts()?)
    }

    fn with<T>(&self, host: u32, act: impl FnOnce(&mut Node, Now) -> T) -> Result<T, MeshFault> {
        let mut world = self.world.borrow_mut();
        let host = known(&world, host)?;
        world.with(host, act).ok_or_else(|| not_running(host))
    }
}

/// What JavaScript is told of an event.
#[expect(clippy::wildcard_enum_match_arm, reason = "told::core names all the others")]
fn what(event: Event, receipts: &Receipts) -> Option<SimWhat> {
    match event {
        Event::Sent { call, receipt } => {
            let (session, number) = receipt.number;
            let receipt = SendReceipt {
                id: told::message_id(session, number),
                peer_id: peer_text(&receipt.peer),
                round_trip_ms: receipt.round_trip_ms,
            };
            Some(SimWhat::Sent { call: call.0, receipt })
        }
        Event::SendFailed { call, error } => Some(SimWhat::SendFailed { call: call.0, fault: error.into() }),
        Event::Directory(directory::Event::Found { id, agents }) => {
            Some(SimWhat::Found { search: id.0, agents: agents.into_iter().map(convert::agent).collect() })
        }
        event => told::core(event, receipts).map(|event| SimWhat::Event { event }),
    }
}

fn known(world: &World, host: u32) -> Result<HostId, MeshFault> {
    let host = HostId(host);
    let known = world.hosts().any(|known| known == host);
    known.then_some(host).ok_or_else(|| MeshFault::invalid(format!("there is no {host}")))
}

fn all_known(world: &World, hosts: Vec<u32>) -> Result<Vec<HostId>, MeshFault> {
    hosts.into_iter().map(|host| known(world, host)).collect()
}

fn running(world: &World, host: u32) -> Result<&Node, MeshFault> {
    let host = known(world, host)?;
    world.node(host).ok_or_else(|| not_running(host))
}

fn not_running(host: HostId) -> MeshFault {
    MeshFault::new(ErrorCode::Closed, format!("{host} does not run"))
}

fn agents(agents: Vec<directory::PeerAgent>) -> Result<Vec<Ts<PeerAgent>>, MeshFault> {
    let agents = agents.into_iter().map(|agent| convert::agent(agent).into_ts());
    Ok(agents.collect::<Result<_, _>>()?)
}

fn link_of(given: &SimLink, default: &Link) -> Link {
    let SimLink { latency_ms, jitter_ms, loss, bytes_per_second } = given;
    let us = |ms: &Option<f64>, default: u64| ms.map_or(default, |ms| micros(ms).0);
    Link {
        latency_us: us(latency_ms, default.latency_us),
        jitter_us: us(jitter_ms, default.jitter_us),
        loss: loss.map_or(default.loss, |loss| (loss * f64::from(MILLION)).round() as u32),
        rate: bytes_per_second.map_or(default.rate, |rate| rate as u64),
        ..default.clone()
    }
}

/// JavaScript's milliseconds.
fn micros(ms: f64) -> Micros {
    Micros((ms * 1_000.0).round() as u64)
}

fn ms_of(time: Micros) -> f64 {
    time.0 as f64 / 1_000.0
}
