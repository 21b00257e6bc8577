//! Two nodes, and between them a network that does what networks do.
//!
//! Streams are cut anywhere, lose their ends, and deliver what is left late, between the frames of their successors;
//! connections break; dials and streams fail; nodes restart, with or without the other noticing; applications are slow,
//! refuse messages and cancel sends. Named invariants:
//!
//! * **once and in order**: a receiver's run gets each message of a sender's run at most once, in the order of the sends;
//! * **no false receipt**: `Delivered` only after the application has taken the message, `UnknownAgent` only after it
//!   was refused;
//! * **accounted**: each message that was not cancelled ends in exactly one event, each cancelled one in none;
//! * **bounded**: an application never holds more than a window of a peer's messages;
//! * **honest is not guilty**: no offences, but for the one that [`Output::Offence`] tells of, and not that one either
//!   when nothing comes late;
//! * **live**: once faults stop, every message is delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

const SEEDS: u64 = 200;
const STEPS: usize = 6_000;
const WINDOW: Load = Load { messages: 4, bytes: 200 };

#[test]
fn exactly_once_or_a_typed_error() {
    let mut total = Tally::default();
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| Network::new(seed).play());
        match run {
            Ok(tally) => total.add(&tally),
            Err(panic) => {
                println!("seed {seed} fails");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{total:?}");
    // The faults that the seeds are there for did happen.
    let Tally {
        delivered,
        timeouts,
        unreachable,
        refused,
        cancelled,
        repeats,
        late_frames,
        resets,
        restarts,
        suspicions,
    } = total;
    for (name, count) in [
        ("delivered", delivered),
        ("timeouts", timeouts),
        ("unreachable", unreachable),
        ("refused", refused),
        ("cancelled", cancelled),
        ("repeats", repeats),
        ("late frames", late_frames),
        ("resets", resets),
        ("restarts", restarts),
    ] {
        assert!(count >= 100, "only {count} {name}");
    }
    // See Output::Offence: with windows as small as these it can happen, and must stay rare.
    assert!(suspicions * 1_000 <= delivered, "{suspicions} suspicions in {delivered} messages");
}

#[test]
fn equal_seeds_give_equal_runs() {
    assert_eq!(Network::new(11).play(), Network::new(11).play());
}

#[test]
fn ten_thousand_at_once_keep_their_order_and_share_acknowledgements() {
    let mut nodes = [SESSION, THEIRS].map(|session| Messaging::new(Config::default(), MESH, session));
    for n in [0, 1] {
        nodes[n].handle(Input::Connected { peer: id(1 - n) }, at(0));
    }
    for n in 1..=10_000 {
        let body = Bytes::copy_from_slice(&u64::to_be_bytes(n));
        nodes[0].send(id(1), None, None, body, 60_000, at(0)).unwrap();
    }
    let (mut received, mut delivered, mut acks) = (Vec::new(), Vec::new(), 0);
    for n in [0, 1].into_iter().cycle().take(200) {
        let (peer, from) = (id(1 - n), id(n));
        nodes[n].handle_timeout(at(0));
        for output in drain(&mut nodes[n]) {
            match output {
                Output::Open { .. } => nodes[n].handle(Input::Opened { peer }, at(0)),
                Output::Frame { frame, .. } => {
                    acks += usize::from(matches!(frame, Frame::Ack { .. }));
                    nodes[1 - n].handle(Input::Frame { from, frame }, at(0));
                }
                Output::Event(Event::Received { session, message, .. }) => {
                    received.push(message.number);
                    nodes[n].taken(peer, session, message.number, at(0));
                }
                Output::Event(Event::Delivered { number, .. }) => delivered.push(number),
                Output::Event(Event::Failed { .. })
                | Output::Dial { .. }
                | Output::Reset { .. }
                | Output::Offence { .. } => panic!("{output:?}"),
            }
        }
    }
    let all: Vec<_> = (SESSION + 1..=SESSION + 10_000).collect();
    assert_eq!(received, all);
    assert_eq!(delivered, all);
    assert!(acks <= 2 * 10_000 / 512, "{acks} frames of acknowledgements");
}

/// What happened.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    delivered: u64,
    timeouts: u64,
    unreachable: u64,
    refused: u64,
    cancelled: u64,
    /// Message frames that came more than once.
    repeats: u64,
    /// Frames of a stream that came after its successor's first.
    late_frames: u64,
    resets: u64,
    restarts: u64,
    /// [`Offence::WindowExceeded`].
    suspicions: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.timeouts += other.timeouts;
        self.unreachable += other.unreachable;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.repeats += other.repeats;
        self.late_frames += other.late_frames;
        self.resets += other.resets;
        self.restarts += other.restarts;
        self.suspicions += other.suspicions;
    }
}

/// A message of a run: the sender's place, its run, its number.
type Key = (usize, u64, u64);

struct Node {
    messaging: Messaging,
    session: u64,
    sends: u64,
    /// Sends of this run that no event has ended.
    open: BTreeSet<SendId>,
    /// What the application has and has not taken, with the bytes.
    held: BTreeMap<Key, usize>,
    /// The latest message received of each run of the other.
    latest: BTreeMap<u64, u64>,
    /// Whether the application takes what it gets.
    awake: bool,
    dialling: bool,
    opening: bool,
    /// Our stream is broken and we have not been told.
    close_due: bool,
}

/// One stream from a node to the other.
struct Stream {
    queue: VecDeque<Frame>,
    /// Whether more can be written.
    open: bool,
    begun: bool,
    /// When the next frame arrives at the earliest.
    arrives: u64,
}

struct Network {
    seed: u64,
    rng: ChaCha8Rng,
    now: u64,
    nodes: [Node; 2],
    connected: bool,
    /// Streams from each node, oldest first.
    streams: [Vec<Stream>; 2],
    faults: bool,
    /// Whether nothing comes from a stream once its successor has begun, nor from a run once it has ended.
    tidy: bool,
    taken: BTreeSet<Key>,
    refused: BTreeSet<Key>,
    seen: BTreeSet<Key>,
    tally: Tally,
}

fn id(node: usize) -> NodeId {
    NodeId([u8::try_from(node).unwrap(); 32])
}

impl Node {
    fn new(session: u64) -> Self {
        let config = Config {
            window_messages: WINDOW.messages,
            window_bytes: WINDOW.bytes,
            outbox_messages: 1_000,
            ..Config::default()
        };
        Self {
            messaging: Messaging::new(config, MESH, session),
            session,
            sends: 0,
            open: BTreeSet::new(),
            held: BTreeMap::new(),
            latest: BTreeMap::new(),
            awake: true,
            dialling: false,
            opening: false,
            close_due: false,
        }
    }
}

impl Network {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: 1_000,
            nodes: [Node::new(1_000_000), Node::new(1_000_001)],
            connected: false,
            streams: [Vec::new(), Vec::new()],
            faults: true,
            tidy: seed % 4 == 3,
            taken: BTreeSet::new(),
            refused: BTreeSet::new(),
            seen: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    fn play(mut self) -> Tally {
        for _ in 0..STEPS {
            self.step();
        }
        self.heal();
        self.tally
    }

    /// A number below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn step(&mut self) {
        let node = usize::from(self.draw(2) == 1);
        match self.draw(1_000) {
            0..140 => {
                self.send(node);
            }
            140..500 => self.deliver(node),
            500..700 => self.take(node),
            700..800 => self.answer_driver_calls(node),
            800..967 => self.pass_time(),
            967..975 => self.cancel(node),
            975..991 => self.cut(node),
            991..994 => self.disconnect(),
            994..999 => self.nodes[node].awake = self.draw(6) > 0,
            _ => self.restart(node),
        }
    }

    /// No more faults: everything that can still be delivered is, and all ends are accounted for.
    fn heal(&mut self) {
        self.faults = false;
        // Half of the runs heal into what they left behind, the others into a new connection.
        if self.seed.is_multiple_of(2) {
            self.disconnect();
        }
        let mut last = Vec::new();
        for node in [0, 1] {
            self.nodes[node].awake = true;
            for _ in 0..20 {
                last.extend(self.send(node));
            }
        }
        let before = self.tally.delivered;
        for _ in 0..5_000 {
            for node in [0, 1] {
                self.answer_driver_calls(node);
                self.deliver(node);
                self.take(node);
            }
            if self.nodes.iter().all(|node| node.open.is_empty()) {
                break;
            }
            self.pass_time();
        }
        for node in &self.nodes {
            assert!(node.open.is_empty(), "not accounted for: {:?}", node.open);
            assert_eq!(node.messaging.queued, Load::default());
        }
        let delivered = self.tally.delivered - before;
        assert_eq!(last.len(), 40);
        assert!(delivered >= 40, "{delivered} delivered");
        assert!(last.iter().all(|key| self.taken.contains(key)), "not live");
    }

    fn send(&mut self, from: usize) -> Option<Key> {
        let (size, timeout) = (self.draw(120), self.draw(8_000));
        let timeout = if self.faults { 20 + timeout } else { 600_000 };
        let now = at(self.now);
        let node = &mut self.nodes[from];
        let key = (from, node.session, node.session + node.sends + 1);
        let mut body = key.2.to_be_bytes().to_vec();
        body.resize(8 + usize::try_from(size).unwrap(), 0);
        let sent = node.messaging.send(id(1 - from), None, None, Bytes::from(body), timeout, now);
        if let Ok(send) = sent {
            node.sends += 1;
            assert_eq!(send.0, node.sends);
            node.open.insert(send);
        }
        self.drain(from);
        sent.is_ok().then_some(key)
    }

    fn cancel(&mut self, node: usize) {
        let count = self.nodes[node].open.len() as u64;
        if count > 0 {
            let place = usize::try_from(self.draw(count)).unwrap();
            let node = &mut self.nodes[node];
            let send = *node.open.iter().nth(place).unwrap();
            node.open.remove(&send);
            node.messaging.cancel(send);
            self.tally.cancelled += 1;
        }
        self.drain(node);
    }

    /// The other node hears a frame of any of `from`'s streams.
    fn deliver(&mut self, from: usize) {
        let streams = &self.streams[from];
        let is_ready = |n: &usize| !streams[*n].queue.is_empty() && streams[*n].arrives <= self.now;
        let ready: Vec<_> = (0..streams.len()).filter(is_ready).collect();
        if ready.is_empty() {
            return;
        }
        let pick = usize::try_from(self.draw(ready.len() as u64)).unwrap();
        let stream = ready[pick];
        if self.streams[from][stream + 1..].iter().any(|later| later.begun) {
            if self.tidy {
                self.streams[from].remove(stream);
                return;
            }
            self.tally.late_frames += 1;
        }
        let stream = &mut self.streams[from][stream];
        stream.begun = true;
        let frame = stream.queue.pop_front().unwrap();
        if let Frame::Message(message) = &frame {
            let key = (from, 0, message.number);
            self.tally.repeats += u64::from(!self.seen.insert(key));
        }
        self.input(1 - from, Input::Frame { from: id(from), frame });
        self.streams[from].retain(|stream| stream.open || !stream.queue.is_empty());
    }

    /// The application takes or refuses a message.
    fn take(&mut self, node: usize) {
        let count = self.nodes[node].held.len() as u64;
        if count == 0 || !self.nodes[node].awake {
            return;
        }
        // Applications may take out of order.
        let place = if self.draw(4) == 0 { self.draw(count) } else { 0 };
        let refuse = self.faults && self.draw(20) == 0;
        let now = at(self.now);
        let Node { messaging, held, .. } = &mut self.nodes[node];
        let key = *held.keys().nth(usize::try_from(place).unwrap()).unwrap();
        held.remove(&key);
        let (from, session, number) = key;
        if refuse {
            self.refused.insert(key);
            messaging.refuse(id(from), session, number, Refusal::UnknownAgent, now);
        } else {
            self.taken.insert(key);
            messaging.taken(id(from), session, number, now);
        }
        self.drain(node);
    }

    /// Dials and streams succeed or fail, and breaks are noticed.
    fn answer_driver_calls(&mut self, node: usize) {
        let peer = id(1 - node);
        let fails = self.faults && self.draw(3) == 0;
        if std::mem::take(&mut self.nodes[node].close_due) {
            self.input(node, Input::Closed { peer });
        }
        if std::mem::take(&mut self.nodes[node].dialling) && !self.connected {
            if fails {
                self.input(node, Input::DialFailed { peer });
            } else {
                self.connected = true;
                for end in [0, 1] {
                    self.nodes[end].dialling = false;
                    self.input(end, Input::Connected { peer: id(1 - end) });
                }
            }
        }
        if std::mem::take(&mut self.nodes[node].opening) && self.connected {
            if fails {
                self.input(node, Input::Closed { peer });
            } else {
                self.streams[node].push(Stream { queue: VecDeque::new(), open: true, begun: false, arrives: self.now });
                self.input(node, Input::Opened { peer });
            }
        }
    }

    fn pass_time(&mut self) {
        let due = self.nodes.iter().filter_map(|node| node.messaging.poll_timeout()).min();
        let step = self.draw(30);
        self.now = match due {
            Some(Mono(due)) if self.draw(2) == 0 => due.clamp(self.now, self.now + 2_000),
            Some(_) | None => self.now + step,
        };
        for node in [0, 1] {
            let now = at(self.now);
            self.nodes[node].messaging.handle_timeout(now);
            self.drain(node);
            let next = self.nodes[node].messaging.poll_timeout();
            assert!(next.is_none_or(|next| next > now.mono), "a timeout that does nothing");
        }
    }

    /// A stream breaks. Some of what is under way is lost; the rest comes late.
    fn cut(&mut self, node: usize) {
        let Some(stream) = self.streams[node].iter().position(|stream| stream.open) else {
            return;
        };
        let length = self.streams[node][stream].queue.len() as u64;
        let rest = usize::try_from(self.draw(length + 1)).unwrap();
        let arrives = self.now + self.draw(600);
        let stream = &mut self.streams[node][stream];
        stream.open = false;
        stream.queue.truncate(rest);
        stream.arrives = arrives;
        self.nodes[node].close_due = true;
    }

    fn disconnect(&mut self) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        for node in [0, 1] {
            self.streams[node].clear();
            self.nodes[node].close_due = false;
            self.nodes[node].opening = false;
        }
        for node in [0, 1] {
            self.input(node, Input::Disconnected { peer: id(1 - node) });
        }
    }

    /// A node starts anew, and its application too.
    fn restart(&mut self, node: usize) {
        self.tally.restarts += 1;
        let noticed = self.draw(2) == 0;
        if noticed || self.tidy {
            self.disconnect();
        }
        self.nodes[node] = Node::new(self.now * 1_000 + self.tally.restarts);
        if self.connected {
            // The new run's connection came before the old one was missed: the other sees its own stream break, and what
            // the old run has sent is still under way.
            self.streams[1 - node].clear();
            self.nodes[1 - node].opening = false;
            let arrives = self.now + self.draw(600);
            for stream in &mut self.streams[node] {
                stream.open = false;
                stream.arrives = arrives;
            }
            self.input(node, Input::Connected { peer: id(1 - node) });
            self.input(1 - node, Input::Closed { peer: id(node) });
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        self.nodes[node].messaging.handle(input, at(self.now));
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].messaging.poll_output() {
            match output {
                Output::Dial { .. } => {
                    assert!(!self.nodes[node].dialling, "dials twice");
                    self.nodes[node].dialling = true;
                }
                Output::Open { .. } => {
                    assert!(!self.nodes[node].opening, "opens twice");
                    self.nodes[node].opening = true;
                }
                Output::Reset { .. } => {
                    self.tally.resets += 1;
                    self.nodes[1 - node].close_due |= self.streams[1 - node].iter().any(|stream| stream.open);
                    self.streams[1 - node].clear();
                }
                Output::Frame { frame, .. } => {
                    if let Some(stream) = self.streams[node].iter_mut().find(|stream| stream.open) {
                        stream.queue.push_back(frame);
                    }
                }
                Output::Event(event) => self.event(node, event),
                Output::Offence { offence, .. } => {
                    assert!(offence == Offence::WindowExceeded && !self.tidy, "honest is not guilty");
                    self.tally.suspicions += 1;
                }
            }
        }
    }

    fn event(&mut self, node: usize, event: Event) {
        let own_session = self.nodes[node].session;
        let this = &mut self.nodes[node];
        match event {
            Event::Received { session, message, .. } => {
                let number = message.number;
                assert_eq!(message.body[..8], number.to_be_bytes(), "another message's body");
                let latest = this.latest.insert(session, number);
                assert!(latest < Some(number), "once and in order: {number} after {latest:?}");
                this.held.insert((1 - node, session, number), message.body.len());
                let bytes: usize = this.held.values().sum();
                let count = this.held.len();
                assert!(count == 1 || (count <= WINDOW.messages && bytes <= WINDOW.bytes), "bounded");
            }
            Event::Delivered { id, session, number, .. } => {
                assert!(this.open.remove(&id), "accounted: {id:?} ended before");
                assert_eq!((session, number), (own_session, own_session + id.0));
                assert!(self.taken.contains(&(node, session, number)), "no false receipt");
                self.tally.delivered += 1;
            }
            Event::Failed { id, error, .. } => {
                assert!(this.open.remove(&id), "accounted: {id:?} ended before");
                let key = (node, own_session, own_session + id.0);
                match error {
                    SendError::UnknownAgent => {
                        assert!(self.refused.contains(&key), "no false refusal");
                        self.tally.refused += 1;
                    }
                    SendError::Timeout => self.tally.timeouts += 1,
                    SendError::PeerUnreachable => self.tally.unreachable += 1,
                }
            }
        }
    }
}
