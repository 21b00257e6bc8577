//! What was said and what was heard, and the invariants that hold between the two.
//!
//! The ledger believes nothing that a node says: it knows what the script told it to say, and compares. Its rules have names,
//! which are printed with whatever breaks them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mesh_core::directory;
use mesh_core::node::{CallId, Event, SendError};
use mesh_proto::NodeId;

use crate::id::{HostId, Micros};
use crate::overlay::{MessageId, Rpc};

/// Violations that are kept. One is enough to fail; more help to see a pattern.
const MAX_VIOLATIONS: usize = 100;

/// How late a send may end, microseconds: its deadline is checked by a timer of whole milliseconds.
const SLACK: Micros = Micros(2_000);

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// When.
    pub at: Micros,
    /// How.
    pub what: String,
}

/// A broadcast that the script made.
#[derive(Debug)]
pub(crate) struct Said {
    author: NodeId,
    at: Micros,
    /// Who heard it, and when.
    heard: BTreeMap<HostId, Micros>,
}

/// A message that the script sent.
#[derive(Debug)]
struct Sent {
    from: HostId,
    author: NodeId,
    call: CallId,
    at: Micros,
    deadline: Micros,
    /// The receiver's processes that took it.
    taken: u32,
    ended: Option<Result<Micros, SendError>>,
}

/// How a message went over the overlay.
#[derive(Debug, Default)]
struct Flow {
    hops: BTreeMap<HostId, u32>,
    copies: u64,
}

/// Everything that was said and heard.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Broadcasts, by the number in their body.
    said: BTreeMap<u64, Said>,
    /// Messages, by the number in their body.
    sent: BTreeMap<u64, Sent>,
    calls: BTreeMap<(HostId, CallId), u64>,
    /// The last message that a host took of each run of each sender.
    order: BTreeMap<(HostId, NodeId, u64), u64>,
    flows: BTreeMap<MessageId, Flow>,
    flowing: bool,
    suspicions: Vec<(Micros, HostId, NodeId)>,
    /// How often a host held a node to have done what it should not.
    offences: BTreeMap<(HostId, NodeId), u64>,
    searches: Vec<(HostId, directory::Event)>,
    violations: Vec<Violation>,
    broken: u64,
}

impl Ledger {
    /// What was broken, at most a hundred.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How often a rule was broken.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// When a host suspected a node.
    pub fn suspicions(&self) -> &[(Micros, HostId, NodeId)] {
        &self.suspicions
    }

    /// How often a host held a node to have done what an honest one would not.
    pub fn offences(&self) -> &BTreeMap<(HostId, NodeId), u64> {
        &self.offences
    }

    pub(crate) fn violated(&mut self, rule: &'static str, at: Micros, what: String) {
        self.broken += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { rule, at, what });
        }
    }

    /// The script has `author` say number `token`.
    pub(crate) fn say(&mut self, token: u64, author: NodeId, at: Micros) {
        self.said.insert(token, Said { author, at, heard: BTreeMap::new() });
    }

    /// The script has `from` send number `token`.
    pub(crate) fn send(&mut self, token: u64, from: (HostId, NodeId), call: CallId, at: Micros, timeout: Micros) {
        let (host, author) = from;
        let deadline = at + timeout;
        self.calls.insert((host, call), token);
        self.sent.insert(token, Sent { from: host, author, call, at, deadline, taken: 0, ended: None });
    }

    /// The sender does not wait for it any more.
    pub(crate) fn given_up(&mut self, from: HostId, call: CallId) {
        if let Some(token) = self.calls.remove(&(from, call)) {
            self.sent.remove(&token);
        }
    }

    /// A send whose body has no number is said to have arrived: notes it if `taker` took that message of `author`'s run.
    pub(crate) fn confirm(
        &mut self,
        from: HostId,
        call: CallId,
        taker: Option<HostId>,
        (author, (run, number)): (NodeId, (u64, u64)),
    ) {
        let last = taker.and_then(|taker| self.order.get(&(taker, author, run)));
        if last.is_some_and(|last| *last >= number)
            && let Some(sent) = self.calls.get(&(from, call)).and_then(|token| self.sent.get_mut(token))
        {
            sent.taken += 1;
        }
    }

    /// Counts hops and copies from now on.
    pub(crate) fn follow_flows(&mut self) {
        self.flowing = true;
    }

    pub(crate) fn searches(&self) -> impl Iterator<Item = (HostId, &directory::Event)> {
        self.searches.iter().map(|(host, event)| (*host, event))
    }

    /// A host's process has ended: nothing more is owed to it.
    pub(crate) fn ended(&mut self, host: HostId) {
        let calls: Vec<_> =
            self.calls.range((host, CallId(0))..=(host, CallId(u64::MAX))).map(|(key, _)| *key).collect();
        for key in calls {
            if let Some(token) = self.calls.remove(&key)
                && self.sent.get(&token).is_some_and(|sent| sent.ended.is_none())
            {
                self.sent.remove(&token);
            }
        }
    }

    /// `id` has heard a message from `from` over the overlay for the first time.
    pub(crate) fn hop(&mut self, id: HostId, from: HostId, message: MessageId) {
        if self.flowing {
            let flow = self.flows.entry(message).or_default();
            let hops = if id == from { 0 } else { flow.hops.get(&from).map_or(1, |hops| hops + 1) };
            flow.hops.entry(id).or_insert(hops);
        }
    }

    /// Messages came to `_id`, for the first time or again.
    pub(crate) fn copies(&mut self, _id: HostId, rpc: &Rpc) {
        if self.flowing {
            for message in &rpc.messages {
                self.flows.entry(message.id()).or_default().copies += 1;
            }
        }
    }

    /// A host's application is told something.
    pub(crate) fn told(&mut self, id: HostId, event: &Event, at: Micros) {
        match event {
            Event::Broadcast { from, body, .. } => self.heard(id, *from, body, at),
            Event::Message(incoming) => {
                let (from, run, number) = (incoming.from, incoming.session, incoming.message.number);
                self.took(id, (from, run, number), &incoming.message.body, at);
            }
            Event::Sent { call, .. } => self.finished(id, *call, Ok(at), at),
            Event::SendFailed { call, error } => self.finished(id, *call, Err(error.clone()), at),
            Event::PeerSuspected { peer } => self.suspicions.push((at, id, *peer)),
            Event::Offence { peer, .. } => *self.offences.entry((id, *peer)).or_default() += 1,
            Event::Directory(event @ directory::Event::Found { .. }) => self.searches.push((id, event.clone())),
            Event::Seed { .. }
            | Event::Joined { .. }
            | Event::PeerConnected { .. }
            | Event::PathChanged { .. }
            | Event::PeerDisconnected { .. }
            | Event::PeerRecovered { .. }
            | Event::Split { .. }
            | Event::Whole
            | Event::Directory(_)
            | Event::Weights(_)
            | Event::Knowledge(_)
            | Event::Decision(_)
            | Event::Access(_) => {}
        }
    }

    /// Forgets what was said before `time`.
    pub(crate) fn forget_before(&mut self, time: Micros) {
        self.said.retain(|_, said| said.at >= time);
        self.sent.retain(|_, sent| sent.at >= time || sent.ended.is_none());
    }

    fn heard(&mut self, id: HostId, from: NodeId, body: &Bytes, at: Micros) {
        let Some(token) = token(body) else { return };
        // Floods are nobody's script.
        let Some(said) = self.said.get_mut(&token) else { return };
        if said.author != from {
            self.violated("what is heard was said", at, format!("{id} heard {token} of {from:?}"));
        } else if let Some(before) = said.heard.insert(id, at) {
            self.violated("heard once", at, format!("{id} heard broadcast {token} again, first at {before:?}"));
        }
    }

    fn took(&mut self, id: HostId, (from, run, number): (NodeId, u64, u64), body: &Bytes, at: Micros) {
        let last = self.order.insert((id, from, run), number);
        if last.is_some_and(|last| last >= number) {
            self.violated("once and in order", at, format!("{id} took {number} of {from:?} after {last:?}"));
        }
        let Some(token) = token(body) else { return };
        match self.sent.get_mut(&token) {
            Some(sent) if sent.author == from => sent.taken += 1,
            Some(_) => self.violated("what is taken was sent", at, format!("{id} took {token} of {from:?}")),
            // Its sender's process has ended.
            None => {}
        }
    }

    fn finished(&mut self, id: HostId, call: CallId, how: Result<Micros, SendError>, at: Micros) {
        let Some(token) = self.calls.remove(&(id, call)) else {
            return self.violated(
                "a send ends once",
                at,
                format!("{id} was told of {call:?} again, or of none of its own"),
            );
        };
        let Some(sent) = self.sent.get_mut(&token) else { return };
        let acknowledged = how.is_ok();
        sent.ended = Some(how);
        let (taken, late) = (sent.taken, at > sent.deadline + SLACK);
        if acknowledged && taken == 0 {
            self.violated("acknowledged is delivered", at, format!("{id} was told that {token} arrived"));
        }
        if late {
            self.violated("a send ends in time", at, format!("{id}: {token}"));
        }
    }

    /// Looks for what should have happened by now. `busy`: hosts whose timers may be late, as they are slow or frozen.
    pub(crate) fn overdue(&mut self, busy: &BTreeSet<HostId>, now: Micros) {
        let late: Vec<_> = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.ended.is_none() && sent.deadline + SLACK < now && !busy.contains(&sent.from))
            .map(|(token, sent)| (*token, sent.from, sent.call))
            .collect();
        for (token, from, call) in late {
            self.sent.remove(&token);
            self.calls.remove(&(from, call));
            self.violated("a send ends in time", now, format!("{from}: {token} has not ended"));
        }
    }

    /// Of the broadcasts made in `span`: who of `hosts` should have heard them, how many did, and how long it took, sorted.
    /// The author is not asked.
    pub fn broadcasts(&self, span: (Micros, Micros), hosts: &[(HostId, NodeId)]) -> Delivery {
        self.delivery(span, hosts, |_| true)
    }

    /// The same of broadcasts that were made by one of `hosts`.
    pub fn broadcasts_among(&self, span: (Micros, Micros), hosts: &[(HostId, NodeId)]) -> Delivery {
        let authors: BTreeSet<_> = hosts.iter().map(|(_, node)| *node).collect();
        self.delivery(span, hosts, |said| authors.contains(&said.author))
    }

    fn delivery(&self, span: (Micros, Micros), hosts: &[(HostId, NodeId)], which: impl Fn(&Said) -> bool) -> Delivery {
        let mut delivery = Delivery::default();
        let in_span = self.said.values().filter(|said| span.0 <= said.at && said.at < span.1);
        for said in in_span.filter(|said| which(said)) {
            for (host, _) in hosts.iter().filter(|(_, node)| *node != said.author) {
                delivery.owed += 1;
                if let Some(at) = said.heard.get(host) {
                    delivery.times.push(at.since(said.at));
                }
            }
        }
        delivery.times.sort_unstable();
        delivery
    }

    /// The same of messages: acknowledged by their receivers.
    pub fn messages(&self, span: (Micros, Micros)) -> Delivery {
        let mut delivery = Delivery::default();
        for sent in self.sent.values().filter(|sent| span.0 <= sent.at && sent.at < span.1) {
            delivery.owed += 1;
            if let Some(Ok(at)) = sent.ended {
                delivery.times.push(at.since(sent.at));
            }
        }
        delivery.times.sort_unstable();
        delivery
    }

    /// Most hops, and copies for each host that heard, of the messages that were followed.
    pub fn flows(&self) -> (u32, f64) {
        let hops = self.flows.values().flat_map(|flow| flow.hops.values()).max().copied().unwrap_or(0);
        let (copies, heard) = self.flows.values().fold((0, 0), |(copies, heard), flow| {
            (copies + flow.copies, heard + flow.hops.len().saturating_sub(1) as u64)
        });
        (hops, if heard == 0 { 0.0 } else { copies as f64 / heard as f64 })
    }
}

/// How much of something arrived, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Deliveries that should have been.
    pub owed: u64,
    /// How long each took that was, sorted.
    pub times: Vec<Micros>,
}

impl Delivery {
    /// Of a hundred, those that took at most `within`.
    pub fn percent(&self, within: Micros) -> f64 {
        let in_time = self.times.partition_point(|time| *time <= within);
        if self.owed == 0 { 100.0 } else { in_time as f64 * 100.0 / self.owed as f64 }
    }

    /// The time that a share of `ppm` in a million of the arrived ones took at most.
    pub fn quantile(&self, ppm: u64) -> Micros {
        let last = self.times.len().saturating_sub(1);
        let place = (self.times.len() as u64 * ppm / 1_000_000) as usize;
        self.times.get(place.min(last)).copied().unwrap_or_default()
    }
}

/// The number in a body that the script wrote.
fn token(body: &Bytes) -> Option<u64> {
    Some(u64::from_be_bytes(body.get(..8)?.try_into().ok()?))
}
