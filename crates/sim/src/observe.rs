//! A world that is played from outside, one event at a time: what applications are told is kept for whoever plays it, and
//! what they want to say is theirs to choose. [`script`](crate::script) is for stories that need neither.

use bytes::Bytes;
use mesh_core::node::{CallId, Event, SendError, Target};
use mesh_proto::{AgentName, MeshId};

use crate::host::Spec;
use crate::id::{HostId, Micros};
use crate::link::Link;
use crate::world::World;

/// A send whose time-out the ledger does not watch: its sender may be frozen in the meantime.
const UNTIMED: Micros = Micros::from_ms(u32::MAX as u64 * 1_000);

/// Relays, which know each other, and pages, each of which joins at two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What everything random comes from.
    pub seed: u64,
    /// Hosts 0 to `relays` - 1; at least one.
    pub relays: u32,
    /// The hosts after them.
    pub pages: u32,
    /// What every link is like.
    pub link: Link,
}

/// What applications were told and nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Told {
    kept: bool,
    events: Vec<(HostId, Event)>,
}

impl World {
    /// A world after `plan`, in which all hosts start at once and what they are told is kept for [`World::take_told`].
    pub fn planned(plan: &Plan) -> Self {
        let mut world = Self::new(plan.seed, plan.link.clone());
        world.told.kept = true;
        let mut relays = Vec::new();
        for place in 0..plan.relays.max(1) {
            relays.push(world.add(Spec { address: 1 + place, ..Spec::relay(relays.clone()) }));
        }
        for place in 0..plan.pages {
            let relay = |step: u32| relays[(place + step) as usize % relays.len()];
            let seeds = if relays.len() == 1 { relays.clone() } else { vec![relay(0), relay(1)] };
            world.add(Spec { address: 1_000 + place, ..Spec::page(seeds) });
        }
        world
    }

    /// The mesh that all nodes are in.
    pub fn mesh_id(&self) -> MeshId {
        self.mesh
    }

    /// What applications were told since this was asked last, in order.
    pub fn take_told(&mut self) -> Vec<(HostId, Event)> {
        std::mem::take(&mut self.told.events)
    }

    /// Forgets what the application of a host was told and nobody has taken: its process is gone.
    pub fn forget_told(&mut self, host: HostId) {
        self.told.events.retain(|(told, _)| *told != host);
    }

    /// Lets time pass until an application is told something, or until `end`.
    pub fn run_to_told(&mut self, end: Micros) {
        while self.told.events.is_empty() {
            if self.agenda.next().is_none_or(|at| at > end) {
                self.time = self.time.max(end);
                return;
            }
            self.step();
        }
    }

    /// Sends `body`; [`Event::Sent`] or [`Event::SendFailed`] tells how that ends. Nothing while the host's process does
    /// not run.
    pub fn send_message(
        &mut self,
        from: HostId,
        (target, agent): (Target, Option<AgentName>),
        body: Bytes,
        timeout_ms: u64,
    ) -> Option<Result<CallId, SendError>> {
        let token = self.number();
        let (author, at) = (self.node_id(from), self.time);
        let now = self.host(from).now(at);
        let process = self.process(from)?;
        process.due = None;
        let call = process.node.send(target, agent, body, timeout_ms, now);
        if let Ok(call) = &call {
            // Before anything comes of it.
            self.ledger.send(token, (from, author), *call, at, UNTIMED);
        }
        self.settle(from);
        Some(call)
    }

    /// Gives up a send: nothing is told of it any more.
    pub fn cancel_send(&mut self, from: HostId, call: CallId) {
        self.ledger.given_up(from, call);
        self.with(from, |node, now| node.cancel_send(call, now));
    }

    /// Whether `hosts` are well together: all that run know each other, suspect nobody of them, and are linked, over others
    /// of them if need be.
    pub fn is_well(&self, hosts: &[HostId]) -> bool {
        let up: Vec<_> =
            hosts.iter().filter(|host| self.host(**host).is_up()).map(|host| (*host, self.node_id(*host))).collect();
        self.parts(&up).len() <= 1 && self.informed(&up, 100) >= 100.0 && self.suspected(&up) == 0
    }

    /// A host's application is about to be told of `event`: what the ledger cannot see by itself.
    pub(crate) fn note(&mut self, id: HostId, event: &Event) {
        if let Event::Sent { call, receipt } = event
            && self.told.kept
        {
            let taker = self.host_of(&receipt.peer);
            let author = self.node_id(id);
            self.ledger.confirm(id, *call, taker, (author, receipt.number));
        }
    }

    /// A host's application was told.
    pub(crate) fn keep(&mut self, id: HostId, event: Event) {
        if self.told.kept {
            self.told.events.push((id, event));
        }
    }
}
