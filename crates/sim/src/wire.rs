//! Connections at work: they come up, carry, stand still, go on, and end.

use crate::conn::{Conn, ConnId};
use crate::frame::Frame;
use crate::host::Host;
use crate::id::{HostId, Micros};
use crate::overlay::Rpc;
use crate::world::{Event, Happening, PING, World};

/// How long a dial waits for somebody who does not answer: libp2p's.
const DIAL_PATIENCE: Micros = Micros::from_ms(10_000);

/// How long an upgrade waits (mesh-webrtc).
const UPGRADE_PATIENCE: Micros = Micros::from_ms(10_000);

/// Round trips of a connection that is made: TCP, security, muxer; through a relay each is as long as both halves.
const DIAL_TRIPS: u64 = 3;

/// Round trips of an upgrade: signalling, then ICE and DTLS.
const UPGRADE_TRIPS: u64 = 5;

/// How long a stream may wait to go on after its way is mended: TCP's time-out has doubled while it was not, and is
/// somewhere in its middle.
const MAX_RESUME: Micros = Micros::from_ms(5_000);

/// Connections of one pair of hosts (mesh-net's limit).
const MAX_PER_PEER: usize = 4;

impl World {
    /// One way from `from` to `to`, for `len` bytes.
    fn flight(&mut self, from: HostId, to: HostId, len: usize) -> Micros {
        self.network.link(from, to).flight(len, &mut self.chance)
    }

    /// The time of `trips` round trips over `hops`.
    fn trips(&mut self, trips: u64, hops: &[(HostId, HostId)]) -> Micros {
        let mut time = Micros(0);
        for (a, b) in hops {
            time = time + self.flight(*a, *b, 100) + self.flight(*b, *a, 100);
        }
        Micros(time.0 * trips)
    }

    /// `from` dials `to`, where it is or through a relay that both know.
    pub(crate) fn dial(&mut self, from: HostId, to: HostId) {
        let Some(process) = self.process(from) else { return };
        if from == to || !process.dials.insert(to) {
            return;
        }
        let by = (from, self.host(from).run);
        if self.host(to).spec.public {
            let wait = self.trips(DIAL_TRIPS, &[(from, to)]);
            let wait = if self.network.passes(from, to) { wait } else { DIAL_PATIENCE };
            return self.agenda.push(self.time + wait, Event::Dial { by, to, via: None });
        }
        let (via, wait) = match self.relay_between(from, to) {
            // A relay that is not connected yet is dialled first.
            Some((relay, true)) => (Some(relay), self.trips(DIAL_TRIPS, &[(from, relay), (relay, to)])),
            Some((relay, false)) => (Some(relay), self.trips(DIAL_TRIPS, &[(from, relay), (from, relay), (relay, to)])),
            None => (None, self.trips(1, &[(from, to)])),
        };
        self.agenda.push(self.time + wait, Event::Dial { by, to, via });
    }

    /// A relay that has a place for `to`, and whether `from` is connected to it. All of them are dialled at once, and the
    /// first that answers is taken: one that is there, rather one that is connected.
    fn relay_between(&self, from: HostId, to: HostId) -> Option<(HostId, bool)> {
        let places = &self.host(to).process.as_ref()?.reservations;
        let way = |relay: &HostId| self.host(*relay).is_up() && self.both(from, *relay) && self.both(*relay, to);
        let there: Vec<_> =
            places.iter().copied().filter(way).map(|relay| (relay, !self.is_apart(from, relay))).collect();
        there.iter().find(|(_, near)| *near).or(there.first()).copied()
    }

    /// A dial is at its end.
    pub(crate) fn reach(&mut self, (from, run): (HostId, u32), to: HostId, via: Option<HostId>) {
        if self.host(from).run != run || !self.host(from).is_up() {
            return;
        }
        if let Some(process) = self.process(from) {
            process.dials.remove(&to);
        }
        let way = match via {
            Some(relay) => self.host(relay).is_up() && self.both(from, relay) && self.both(relay, to),
            None => self.host(to).spec.public && self.both(from, to),
        };
        if way && self.host(to).is_up() && !self.host(to).frozen && self.has_room(from, to) {
            if let Some(relay) = via.filter(|relay| self.is_apart(from, *relay)) {
                self.connect(Conn::new([from, relay], None, false));
            }
            self.connect(Conn::new([from, to], via, false));
        } else {
            self.happen(from, Happening::NotDialled(to));
        }
    }

    fn is_apart(&self, from: HostId, to: HostId) -> bool {
        !self.host(from).process.as_ref().is_some_and(|process| process.is_near(to))
    }

    fn both(&self, a: HostId, b: HostId) -> bool {
        self.network.passes(a, b) && self.network.passes(b, a)
    }

    fn has_room(&self, from: HostId, to: HostId) -> bool {
        let room = |host: HostId, peer: HostId| {
            self.host(host).process.as_ref().is_some_and(|process| {
                let all: usize = process.links.values().map(|peer| peer.conns.len()).sum();
                let with = process.links.get(&peer).map_or(0, |peer| peer.conns.len());
                all < self.host(host).spec.max_conns() && with < MAX_PER_PEER
            })
        };
        room(from, to) && room(to, from)
    }

    fn connect(&mut self, conn: Conn) {
        let [a, b] = conn.ends;
        let id = self.conns.add(conn);
        self.agenda.push(self.time + Micros(self.chance.below(PING.0)), Event::Ping(id));
        self.happen(a, Happening::Connected(id));
        self.happen(b, Happening::Connected(id));
    }

    /// `from` makes a direct connection to `to`.
    pub(crate) fn upgrade(&mut self, from: HostId, to: HostId) {
        let by = (from, self.host(from).run);
        let relay = self
            .conns
            .iter()
            .find_map(|(_, conn)| conn.relay.filter(|_| conn.ends.contains(&from) && conn.ends.contains(&to)));
        let signalled = relay.is_some_and(|relay| self.both(from, relay) && self.both(relay, to));
        let wait = match relay {
            Some(relay) if signalled => self.trips(UPGRADE_TRIPS, &[(from, relay), (relay, to)]),
            Some(_) | None => UPGRADE_PATIENCE,
        };
        self.agenda.push(self.time + wait, Event::Upgrade { by, to });
    }

    /// An upgrade is at its end.
    pub(crate) fn meet(&mut self, (from, run): (HostId, u32), to: HostId) {
        if self.host(from).run != run || !self.host(from).is_up() {
            return;
        }
        let able = |host: HostId| self.host(host).spec.ability == mesh_core::paths::Ability::Able;
        let shut = |host: HostId| self.host(host).spec.shut_in;
        let failure = if !able(to) || !self.host(to).is_up() || self.host(to).frozen {
            Some("no answer")
        } else if shut(from) || shut(to) {
            Some("no way through the NAT")
        } else if !self.both(from, to) || !self.has_room(from, to) {
            Some("no connection")
        } else {
            None
        };
        match failure {
            Some(failure) => self.happen(from, Happening::NotUpgraded(to, failure)),
            None => self.connect(Conn::new([from, to], None, true)),
        }
    }

    /// A place on `relay` for `host`.
    pub(crate) fn reserve(&mut self, host: HostId, relay: HostId) {
        if !self.host(host).spec.public && self.host(relay).spec.relay {
            let wait = self.trips(1, &[(host, relay)]);
            self.later(host, wait, Happening::Reserved(relay));
        }
    }

    /// Whether what `from` sends on `conn` gets to its other end.
    fn carries(&self, conn: &Conn, from: HostId) -> bool {
        let to = conn.other(from);
        match conn.relay {
            Some(relay) => self.network.passes(from, relay) && self.network.passes(relay, to),
            None => self.network.passes(from, to),
        }
    }

    /// Sends `frame` on a connection.
    pub(crate) fn send(&mut self, id: ConnId, from: HostId, frame: Frame) {
        match frame {
            Frame::Gossip(rpc) => self.send_gossip(id, from, rpc),
            frame @ (Frame::Ask(_)
            | Frame::Answer(_)
            | Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Reset(_)
            | Frame::Direct(..)
            | Frame::Want(_)
            | Frame::Block(..)) => self.put(id, from, frame, Micros(0)),
        }
    }

    /// Gossip is tampered with by its sender, and may be lost, repeated or overtaken on the way.
    fn send_gossip(&mut self, id: ConnId, from: HostId, mut rpc: Rpc) {
        let Some(to) = self.conns.get(id).map(|conn| conn.other(from)) else { return };
        let time = self.time;
        let Self { hosts, chance, .. } = self;
        let Host { key, spec, kept, .. } = &mut hosts[from.index()];
        let late = if spec.byzantine.acts(time) { spec.byzantine.delay } else { Micros(0) };
        rpc = spec.byzantine.tamper(key, to, rpc, kept, time, chance);

        let link = self.network.link(from, to).clone();
        if !rpc.messages.is_empty() {
            if self.chance.happens(link.drop) {
                rpc.messages.clear();
            } else if self.chance.happens(link.duplicate) {
                self.put(id, from, Frame::Gossip(rpc.clone()), late);
            }
        }
        if rpc.is_empty() {
            return;
        }
        let behind = if self.chance.happens(link.reorder) { self.flight(from, to, 0) } else { Micros(0) };
        self.put(id, from, Frame::Gossip(rpc), late + behind);
    }

    fn put(&mut self, id: ConnId, from: HostId, frame: Frame, extra: Micros) {
        let Some(conn) = self.conns.get(id) else { return };
        let (direction, to, relay, lane, len) =
            (conn.direction(from), conn.other(from), conn.relay, frame.lane(), frame.len());
        let (open, waits) = (self.carries(conn, from), !conn.stalled.is_empty());
        if !open || waits {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.stall(direction, frame);
            }
            return;
        }
        let flight = match relay {
            Some(relay) => self.flight(from, relay, len) + self.flight(relay, to, len),
            None => self.flight(from, to, len),
        };
        let takes = self.network.link(from, to).takes(len);
        let time = self.time;
        let Some(conn) = self.conns.get_mut(id) else { return };
        // What one end sends leaves one after the other.
        let begin = conn.free[direction].max(time);
        conn.free[direction] = begin + takes;
        let mut at = begin + flight + extra;
        if extra == Micros(0) {
            at = at.max(conn.arrivals[direction][lane]);
            conn.arrivals[direction][lane] = at;
        }
        self.agenda.push(at, Event::Arrive { conn: id, direction, frame });
    }

    /// A frame comes out at the other end, unless its way was cut meanwhile: then it waits as if it had not left.
    pub(crate) fn arrive(&mut self, id: ConnId, direction: usize, frame: Frame) {
        let Some(conn) = self.conns.get(id) else { return };
        let (from, to) = (conn.ends[direction], conn.ends[1 - direction]);
        if !self.carries(conn, from) {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.stall(direction, frame);
            }
            return;
        }
        self.happen(to, Happening::Frame(id, frame));
    }

    /// Both ends of a connection ask each other for a sign of life.
    pub(crate) fn ping(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let [a, b] = conn.ends;
        let relay = conn.relay;
        let open = self.carries(conn, a) && self.carries(conn, b) && !self.host(a).frozen && !self.host(b).frozen;
        let open = open && self.host(a).is_up() && self.host(b).is_up();
        let (silent, patience) = (conn.silent, conn.patience());
        self.agenda.push(self.time + PING, Event::Ping(id));
        if open {
            let hops = match relay {
                Some(relay) => vec![(a, relay), (relay, b)],
                None => vec![(a, b)],
            };
            let micros = self.trips(1, &hops).0;
            if let Some(conn) = self.conns.get_mut(id) {
                conn.silent = None;
            }
            self.happen(a, Happening::Pinged(b, micros));
            self.happen(b, Happening::Pinged(a, micros));
        } else if silent.is_none() {
            let since = self.time;
            if let Some(conn) = self.conns.get_mut(id) {
                conn.silent = Some(since);
            }
            self.agenda.push(since + patience, Event::Silent(id, since));
        }
    }

    /// The ends' patience is over.
    pub(crate) fn silent(&mut self, id: ConnId, since: Micros) {
        if self.conns.get(id).is_some_and(|conn| conn.silent == Some(since)) {
            self.close(id, Micros(0));
        }
    }

    /// Closes a connection; its ends hear of it `after` a while.
    pub(crate) fn close(&mut self, id: ConnId, after: Micros) {
        if let Some(conn) = self.conns.remove(id) {
            for end in conn.ends {
                self.later(end, after, Happening::Closed(id));
            }
        }
    }

    /// The way of these connections may be open again: what waits goes on after a while.
    pub(crate) fn mend(&mut self) {
        let waiting: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, conn)| !conn.stalled.is_empty() || conn.silent.is_some())
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            let since = self.conns.get(id).and_then(|conn| conn.silent).unwrap_or(self.time);
            let most = Micros(self.time.since(since).0 / 2).min(MAX_RESUME);
            let wait = Micros(self.chance.below(most.0 + 1));
            self.agenda.push(self.time + wait, Event::Resume(id));
        }
    }

    pub(crate) fn resume(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let ends = conn.ends;
        conn.stalled_len = 0;
        for (direction, frame) in std::mem::take(&mut conn.stalled) {
            self.put(id, ends[direction], frame, Micros(0));
        }
    }
}
