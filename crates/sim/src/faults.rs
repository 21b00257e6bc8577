//! What goes wrong, by script.

use mesh_proto::gossip::{Batch, Item};
use mesh_proto::limits::{MAX_ENVELOPE, TTL_MS};
use mesh_proto::protocol::Topic;
use mesh_proto::{Envelope, Hlc, Kind, codec, envelope};

use crate::byzantine::Byzantine;
use crate::id::{HostId, Micros};
use crate::link::Link;
use crate::world::{Event, World};

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its process is killed: the system closes its connections, and the other ends are told.
    Process,
    /// The machine is gone: nobody is told.
    Machine,
}

/// What a host has when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Its key, so it is the same node.
    Kept,
    /// Nothing: it is another node.
    Lost,
}

impl World {
    /// Splits the network: hosts of one side hear each other and nobody else. Those that are in none go with the first.
    pub fn partition(&mut self, sides: &[Vec<HostId>]) {
        self.network.split(sides);
    }

    /// What `from` sends does not get to `to` any more.
    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.network.cut(from, to);
    }

    /// Pulls a host's cable.
    pub fn unplug(&mut self, host: HostId) {
        self.network.pull(host);
    }

    /// Puts it back. The system tells of it, as it tells a page that it is online.
    pub fn plug(&mut self, host: HostId) {
        self.network.plug(host);
        self.mend();
        self.with(host, |node, now| node.wake(now));
    }

    /// Mends all partitions, cuts and cables.
    pub fn heal(&mut self) {
        self.network.heal();
        self.mend();
    }

    /// Makes all links without one of their own like `link`.
    pub fn set_links(&mut self, link: Link) {
        self.network.set_all(link);
    }

    /// Makes both directions between two hosts like `link`.
    pub fn set_link(&mut self, a: HostId, b: HostId, link: Link) {
        self.network.set(a, b, link.clone());
        self.network.set(b, a, link);
    }

    /// Ends a host's process, or its machine.
    pub fn crash(&mut self, id: HostId, how: Crash) {
        let host = self.host_mut(id);
        host.process = None;
        host.run += 1;
        host.backlog.clear();
        host.timer = None;
        self.ledger.ended(id);
        for conn in self.conns.of(id) {
            match how {
                Crash::Process => self.close(conn, Micros::from_ms(30)),
                // The pings find out.
                Crash::Machine => {}
            }
        }
    }

    /// Starts a host's process again.
    pub fn restart(&mut self, id: HostId, store: Store) {
        if self.host(id).is_up() {
            return;
        }
        if store == Store::Lost {
            let key = self.new_key();
            let node = key.node();
            self.by_node.insert(node, id);
            let host = self.host_mut(id);
            (host.key, host.node) = (key, node);
            host.disk.clear();
            host.records.clear();
        }
        // What is left of a machine that went without a word ends when it says a new one.
        for conn in self.conns.of(id) {
            self.close(conn, Micros(0));
        }
        self.start(id);
    }

    /// Says goodbye and ends the process.
    pub fn leave(&mut self, id: HostId) {
        self.with(id, |node, now| node.leave(now));
        // The goodbye is on its way: whatever was sent on a connection arrives before its end.
        self.run_for(Micros::from_ms(150));
        self.crash(id, Crash::Process);
    }

    /// A tab that the browser freezes: nothing happens in it until it is thawed.
    pub fn freeze(&mut self, id: HostId) {
        self.host_mut(id).frozen = true;
    }

    /// Goes on, and is told so.
    pub fn thaw(&mut self, id: HostId) {
        let time = self.time;
        self.host_mut(id).frozen = false;
        self.agenda.push(time, Event::Free(id));
        self.with(id, |node, now| node.wake(now));
    }

    /// Sets how wrong a host's wall clock is, from now on.
    pub fn set_clock(&mut self, id: HostId, skew_ms: i64) {
        self.host_mut(id).spec.skew_ms = skew_ms;
    }

    /// What each event costs a host, from now on.
    pub fn set_cost(&mut self, id: HostId, cost_us: u64) {
        self.host_mut(id).spec.cost_us = cost_us;
    }

    /// A host makes a second's broadcasts that nobody asked for, past its own node, which would not let it.
    pub(crate) fn flood(&mut self, id: HostId) {
        let (time, mesh) = (self.time, self.mesh);
        let host = self.host(id);
        let Byzantine { flood, until, .. } = host.spec.byzantine;
        if !host.is_up() || until <= time {
            return;
        }
        let (key, now) = (host.key.clone(), host.now(time));
        // Above whatever its node has said.
        let first = (now.unix + 3_600_000) * 1000;
        for number in 0..u64::from(flood) {
            let item = Item { topic: "flood".to_owned(), body: number.to_be_bytes().to_vec().into() };
            let payload = codec::encode(&Batch { items: vec![item] }, MAX_ENVELOPE).expect("it is small");
            let envelope = Envelope {
                v: envelope::VERSION,
                mesh,
                kind: Kind::SwarmBroadcast,
                from: key.node(),
                seq: first + number,
                clock: Hlc::at(now.unix),
                ttl: TTL_MS,
                payload: payload.into(),
            };
            let wire = envelope.sign(&key).expect("it is small").wire().clone();
            self.publish_wire(id, Topic::Swarm, wire);
        }
        self.settle(id);
        self.agenda.push(time + Micros::from_ms(1_000), Event::Flood(id));
    }
}
