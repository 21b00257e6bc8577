//! Some voters in virtual time. What one says, all others hear after [`DELAY`]; nothing is lost but to who is away.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_consensus::Instance;
use mesh_consensus::instance::{Output, Saved};
use mesh_proto::Digest;
use mesh_proto::decision::{
    Certificate, Choice, Evidence, Message, Outcome, SignedVote, Step, Subject, Value, VoterIndex,
};

use super::{Core, Millis, Table, ballot};

/// The way of each message.
pub(crate) const DELAY: Millis = 20;
/// How long a crashed voter is away.
const AWAY: Millis = 150;

/// Who sits at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// A voter whose agent says this, so many milliseconds after it was asked.
    Judges(Choice, Millis),
    /// A voter whose agent never says anything.
    Undecided,
    /// Nobody.
    Empty,
}

/// See the [module](self).
pub(crate) struct Net<A> {
    pub(crate) table: Table,
    pub(crate) hosts: Vec<Host<A>>,
    pub(crate) now: Millis,
    /// Everything that was handed to anybody.
    pub(crate) heard: Vec<Message>,
    /// How often each message is delivered.
    pub(crate) copies: usize,
    proposes: bool,
    events: BTreeMap<(Millis, u64), Event>,
    entered: u64,
    /// What everybody has signed, across crashes.
    signed: BTreeMap<(VoterIndex, u32, Option<Step>), Option<Digest>>,
}

/// A voter's process and its disk.
pub(crate) struct Host<A> {
    pub(crate) seat: Seat,
    pub(crate) instance: Option<Instance<A>>,
    pub(crate) disk: Option<Saved>,
    /// Everything that was carried out.
    pub(crate) outputs: Vec<Output>,
    /// Its process dies when so many outputs were carried out.
    pub(crate) dies_after: Vec<usize>,
    /// Each time that it was told how the slot has ended, and when.
    pub(crate) decided: Vec<(Millis, Certificate)>,
    pub(crate) guilty: Vec<Evidence>,
}

impl Seat {
    /// Approves at once.
    pub(crate) const WILLING: Self = Self::Judges(Choice::Approve, 0);
    /// Rejects at once.
    pub(crate) const UNWILLING: Self = Self::Judges(Choice::Reject, 0);
}

enum Event {
    Deliver { from: VoterIndex, to: VoterIndex, message: Arc<Message> },
    Judge { voter: VoterIndex, digest: Digest },
    Start(VoterIndex),
}

impl<A: Core> Net<A> {
    pub(crate) fn new(table: Table, seats: &[Seat]) -> Self {
        let host = |seat: &Seat| Host {
            seat: *seat,
            instance: None,
            disk: None,
            outputs: Vec::new(),
            dies_after: Vec::new(),
            decided: Vec::new(),
            guilty: Vec::new(),
        };
        Self {
            hosts: seats.iter().map(host).collect(),
            table,
            now: 0,
            heard: Vec::new(),
            copies: 1,
            proposes: false,
            events: BTreeMap::new(),
            entered: 0,
            signed: BTreeMap::new(),
        }
    }

    /// All are there and approve at once.
    pub(crate) fn willing(table: Table) -> Self {
        let seats = vec![Seat::WILLING; table.len()];
        Self::new(table, &seats)
    }

    pub(crate) fn voters(&self) -> std::ops::Range<VoterIndex> {
        super::all(self.hosts.len())
    }

    pub(crate) fn host(&mut self, voter: VoterIndex) -> &mut Host<A> {
        &mut self.hosts[usize::from(voter)]
    }

    pub(crate) fn value(&self) -> Value {
        self.table.proposal("one")
    }

    /// Everybody starts, and the author proposes.
    pub(crate) fn propose(&mut self) {
        self.proposes = true;
        self.start_all();
    }

    pub(crate) fn start_all(&mut self) {
        for voter in self.voters() {
            self.start(voter);
        }
    }

    /// These voters want the resource.
    pub(crate) fn claim(&mut self, holders: &[VoterIndex]) {
        for holder in holders {
            let claim = Arc::new(Message::Claim(self.table.claim(self.table.key(*holder))));
            for to in self.voters() {
                self.push(self.now + DELAY, Event::Deliver { from: *holder, to, message: Arc::clone(&claim) });
            }
        }
    }

    /// Delivers what was said until nothing is left, and lets no timer run out.
    pub(crate) fn run_without_timers(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            self.happen(event);
        }
    }

    /// Goes on until all know how it has ended, or until then.
    pub(crate) fn run(&mut self, until: Millis) {
        while !self.is_over() {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timer = self.hosts.iter().filter_map(|host| host.instance.as_ref()?.poll_timeout()).min();
            let Some(next) = event.into_iter().chain(timer).min().filter(|next| *next <= until) else {
                return;
            };
            self.now = self.now.max(next);
            if event == Some(next) {
                let (_, event) = self.events.pop_first().unwrap();
                self.happen(event);
            } else {
                self.wake();
            }
        }
    }

    fn is_over(&self) -> bool {
        let done = |host: &Host<A>| {
            host.seat == Seat::Empty || host.instance.as_ref().is_some_and(|instance| instance.decided().is_some())
        };
        self.hosts.iter().all(done)
    }

    fn wake(&mut self) {
        for voter in self.voters() {
            let now = self.now;
            if let Some(instance) = &mut self.host(voter).instance
                && instance.poll_timeout().is_some_and(|due| due <= now)
            {
                instance.handle_timeout(now);
                let next = instance.poll_timeout();
                assert!(next.is_none_or(|next| next > now), "voter {voter}, woken at {now}, wants to be again at once");
                self.stir(voter);
            }
        }
    }

    fn push(&mut self, at: Millis, event: Event) {
        self.entered += 1;
        self.events.insert((at, self.entered), event);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Start(voter) => self.start(voter),
            Event::Judge { voter, digest } => self.judge(voter, digest),
            Event::Deliver { from, to, message } => {
                for _ in 0..self.copies {
                    self.heard.push((*message).clone());
                    let Some(instance) = &mut self.host(to).instance else {
                        return;
                    };
                    if let Message::Status(status) = &*message {
                        for answer in instance.answer(status) {
                            self.push(now + DELAY, Event::Deliver { from: to, to: from, message: Arc::new(answer) });
                        }
                    } else {
                        instance.handle((*message).clone(), now).expect("nobody here breaks the protocol");
                    }
                    self.stir(to);
                }
            }
        }
    }

    fn start(&mut self, voter: VoterIndex) {
        let (table, now, proposes) = (self.table.clone(), self.now, self.proposes);
        let value = self.value();
        let host = self.host(voter);
        if host.seat == Seat::Empty {
            return;
        }
        let instance = match host.disk.clone() {
            Some(saved) => host.instance.insert(table.restore(voter, saved, now)),
            None => host.instance.insert(table.voter_at(voter, now)),
        };
        // Who has nothing on its disk has never proposed.
        if host.disk.is_none() && proposes && voter == table.leader(0) {
            instance.propose(value, now).unwrap();
        }
        self.stir(voter);
        if let (Seat::Judges(_, after), Subject::Resource { .. }) = (self.host(voter).seat, &table.slot.subject) {
            self.push(now + after, Event::Judge { voter, digest: Digest([0; 32]) });
        }
    }

    fn judge(&mut self, voter: VoterIndex, digest: Digest) {
        let now = self.now;
        let host = self.host(voter);
        if let (Seat::Judges(choice, _), Some(instance)) = (host.seat, &mut host.instance) {
            // Who is asked late may find that it has abstained, or that it is over.
            let _late = instance.judge(digest, ballot(choice), now);
            self.stir(voter);
        }
    }

    /// Carries out what a voter asks for, until it has nothing left or dies.
    fn stir(&mut self, voter: VoterIndex) {
        loop {
            let host = self.host(voter);
            if host.dies_after.first() == Some(&host.outputs.len()) {
                host.dies_after.remove(0);
                host.instance = None;
                self.push(self.now + AWAY, Event::Start(voter));
            }
            let Some(output) = self.host(voter).instance.as_mut().and_then(Instance::poll_output) else {
                return;
            };
            self.host(voter).outputs.push(output.clone());
            self.carry_out(voter, output);
        }
    }

    fn carry_out(&mut self, voter: VoterIndex, output: Output) {
        let now = self.now;
        match output {
            Output::Persist(saved) => self.host(voter).disk = Some(*saved),
            Output::Say(message) => {
                self.note(voter, &message);
                self.send_to_all(voter, message);
            }
            Output::Ask(status) => self.send_to_all(voter, Box::new(Message::Status(status))),
            Output::Judge(digest) => match self.host(voter).seat {
                Seat::Judges(_, after) => self.push(now + after, Event::Judge { voter, digest }),
                Seat::Undecided | Seat::Empty => {}
            },
            Output::Guilty(evidence) => self.host(voter).guilty.push(*evidence),
            Output::Decided(certificate) => self.host(voter).decided.push((now, *certificate)),
        }
    }

    fn send_to_all(&mut self, from: VoterIndex, message: Box<Message>) {
        let message: Arc<Message> = message.into();
        for to in self.table.others(&[from]) {
            self.push(self.now + DELAY, Event::Deliver { from, to, message: Arc::clone(&message) });
        }
    }

    /// I2: nobody signs two different things for one step or as the leader of one round.
    fn note(&mut self, voter: VoterIndex, message: &Message) {
        let (round, step, value) = match message {
            Message::Vote(SignedVote { vote, .. }) => (vote.round, Some(vote.step), vote.value),
            Message::Propose(signed) => (signed.propose.round, None, Some(self.table.digest(&signed.propose.value))),
            Message::Polka(_)
            | Message::Decision(_)
            | Message::Claim(_)
            | Message::Release(_)
            | Message::Evidence(_)
            | Message::Status(_)
            | Message::Epochs(_)
            | Message::EpochsAfter(_)
            | Message::Others(_) => return,
        };
        let first = *self.signed.entry((voter, round, step)).or_insert(value);
        assert_eq!(first, value, "voter {voter} has signed twice: {step:?} of round {round}");
    }

    /// The one outcome that all who are there know, which every certificate proves; nobody was accused.
    pub(crate) fn outcome(&self) -> Outcome {
        self.ended().unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same, or what is wrong.
    pub(crate) fn ended(&self) -> Result<Outcome, String> {
        let mut outcome = None;
        for (place, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.seat != Seat::Empty) {
            if !host.guilty.is_empty() {
                return Err(format!("{place} accuses an honest voter"));
            }
            let Some(end) = host.instance.as_ref().and_then(Instance::decided) else {
                return Err(format!("{place} does not know how it has ended at {}", self.now));
            };
            let first = *outcome.get_or_insert(end.outcome);
            if host.decided.iter().any(|(_, certificate)| certificate.outcome != first) {
                return Err(format!("{place} knows another outcome than {first:?}"));
            }
            let mut judge = self.table.bystander::<A>();
            if let Err(refused) = judge.handle(Message::Decision(end.clone()), 0) {
                return Err(format!("the certificate of {place}: {refused}"));
            }
        }
        outcome.ok_or_else(|| "nobody is there".to_owned())
    }

    /// What everybody said in public, by whom.
    pub(crate) fn said<'a>(&'a self) -> impl Iterator<Item = (VoterIndex, &'a Message)> {
        let messages = |host: &'a Host<A>| super::said(&host.outputs);
        self.voters()
            .zip(&self.hosts)
            .flat_map(move |(voter, host)| messages(host).into_iter().map(move |message| (voter, message)))
    }
}
