//! Runs drawn from a seed: everything that may go wrong in a slot goes wrong in some of them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mesh_consensus::Agreement;
use mesh_proto::decision::{Choice, VoterIndex};

use super::rules::Broken;
use super::{Authors, Both, Death, Network, Report, Role, Setup, Treason, World};
use crate::chance::Chance;

/// When the network of every run comes to rest, at the latest.
const REST_MS: u64 = 12_000;
/// And how long it may take from then on until everybody knows. (I10 says 10 s for honest authors and windows that are
/// over; rounds that traitors lead, one after the other, add theirs.)
const PATIENCE_MS: u64 = 120_000;
/// Runs that a thread takes at once.
const BATCH: u64 = 20;

/// The run of a seed, with so many voters; of 4 to 31 if not said, small ones more often.
pub fn setup(seed: u64, voters: Option<usize>) -> Setup {
    let mut chance = Chance::new(seed, 2);
    let sizes = [4, 4, 4, 4, 5, 6, 7, 7, 7, 10, 10, 13, 16, 22, 31];
    let n = voters.unwrap_or(sizes[chance.below(sizes.len() as u64) as usize]);
    let faulty = (n - 1) / 3;
    let mut places: Vec<_> = (0..n).collect();
    chance.shuffle(&mut places);
    let traitors = &places[..faulty];
    let window = chance.between(1_000, 5_000);
    let slow = chance.below(4) == 0;
    let hostile = chance.below(4) == 0;
    let deadly = chance.below(3) == 0;
    let forgetful = chance.below(4) == 0;
    let roles = (0..n).map(|place| {
        if traitors.contains(&place) {
            return Role::Traitor(Treason::ALL[chance.below(Treason::ALL.len() as u64) as usize]);
        }
        let choice = match chance.below(if hostile { 3 } else { 12 }) {
            0 => Choice::Reject,
            1 if hostile => Choice::Abstain,
            _ => Choice::Approve,
        };
        let after = if slow { chance.between(0, window * 3 / 2) } else { chance.between(0, 300) };
        let judges = (chance.below(20) > 0).then_some((choice, after));
        let deaths = if deadly { chance.below(3) } else { 0 };
        let dies = (0..deaths).map(|_| Death {
            at: chance.below(REST_MS - 4_000),
            outputs: chance.below(6) as u32,
            away: chance.between(1, 4_000),
            store: true,
        });
        Role::Honest { judges, dies: dies.collect() }
    });
    let mut roles: Vec<_> = roles.collect();
    if forgetful {
        lose_stores(&mut roles, faulty, &mut chance);
    }
    let split = (chance.below(3) == 0).then(|| {
        let parts = (0..n).map(|_| chance.below(2) as u8).collect();
        (chance.between(500, REST_MS), parts)
    });
    let network = Network {
        fastest: 10,
        degree: None,
        slowest: [100, 100, 300][chance.below(3) as usize],
        loss: [0, 20_000, 100_000, 200_000][chance.below(4) as usize],
        doubled: [0, 100_000][chance.below(2) as usize],
        rest: REST_MS,
        split,
    };
    let voter = |chance: &mut Chance| chance.below(n as u64) as VoterIndex;
    let authors = match chance.below(3) {
        0 => Authors::Claims((0..3).map(|_| (voter(&mut chance), chance.below(400))).collect()),
        _ => Authors::Owner(voter(&mut chance)),
    };
    Setup { seed, roles, network, window, authors, end: REST_MS + PATIENCE_MS }
}

/// Who has lost its store does not vote any more: it takes the place of one of the traitors, who are fewer by that.
fn lose_stores(roles: &mut [Role], faulty: usize, chance: &mut Chance) {
    let mut left = chance.below(faulty as u64 + 1);
    for role in roles {
        if left > 0 && matches!(role, Role::Traitor(_)) {
            left -= 1;
            let death = Death { at: chance.below(4_000), outputs: chance.below(6) as u32, away: 500, store: false };
            *role = Role::Honest { judges: Some((Choice::Approve, chance.below(300))), dies: vec![death] };
        }
    }
}

/// Plays the run of a seed with voters that run `A`; `twice` plays it again and compares.
pub fn play<A: Agreement>(seed: u64, voters: Option<usize>, twice: bool) -> Report {
    let setup = setup(seed, voters);
    let opened = is_opened(&setup);
    let run = || std::panic::catch_unwind(|| World::<A>::new(setup.clone()).run());
    let mut report = match run() {
        Ok(report) => report,
        Err(panic) => return Report { broken: vec![Broken::Panicked(words(&*panic))], ..Report::default() },
    };
    if twice && !run().is_ok_and(|other| other == report) {
        report.broken.push(Broken::NotDeterministic);
    }
    // Nobody may have heard of a slot: its author died first, or was a traitor.
    let finished = report.decided == report.honest || (report.decided == 0 && !opened);
    if !finished {
        report.broken.push(Broken::Unfinished(report.decided, report.honest));
    }
    report
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    words.unwrap_or("without a word").to_owned()
}

/// Whether it is certain that the slot comes to be: its author is honest and does not die.
fn is_opened(setup: &Setup) -> bool {
    match &setup.authors {
        Authors::Owner(author) => {
            matches!(&setup.roles[usize::from(*author)], Role::Honest { dies, .. } if dies.is_empty())
        }
        Authors::Claims(_) => false,
    }
}

/// What came of many runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// That ended approved or granted, rejected, lapsed; and that nobody opened.
    pub outcomes: [u64; 4],
    /// Traitors that were found out.
    pub guilty: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Milliseconds until the last honest voter knew, of each run that ended.
    pub times: Vec<u64>,
    /// Seeds that broke a rule, and which.
    pub broken: Vec<(u64, Report)>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, seed: u64, report: Report) {
        use mesh_proto::decision::Outcome;
        self.runs += 1;
        let place = match report.outcome {
            Some(Outcome::Approved(_) | Outcome::Granted { .. }) => 0,
            Some(Outcome::Rejected) => 1,
            Some(Outcome::Lapsed) => 2,
            None => 3,
        };
        self.outcomes[place] += 1;
        self.guilty += report.guilty as u64;
        self.messages += report.messages;
        self.kills += report.kills;
        self.times.extend(report.times.last());
        if !report.broken.is_empty() {
            self.broken.push((seed, report));
        }
    }

    /// Adds others.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
        self.guilty += other.guilty;
        self.messages += other.messages;
        self.kills += other.kills;
        self.times.extend(other.times);
        self.broken.extend(other.broken);
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [approved, rejected, lapsed, none] = self.outcomes;
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |part: usize| times.get(times.len().saturating_sub(1) * part / 100).map_or(0.0, |ms| *ms as f64 / 1e3);
        write!(
            f,
            "{} slots: {approved} approved, {rejected} rejected, {lapsed} lapsed, {none} never opened; last voter knows \
             after {:.2} s (half), {:.2} s (99 of 100), {:.2} s (all); {} traitors found out; {} processes killed; {} messages; {} broke a rule",
            self.runs,
            at(50),
            at(99),
            at(100),
            self.guilty,
            self.kills,
            self.messages,
            self.broken.len()
        )?;
        self.broken.iter().take(10).try_for_each(|(seed, report)| write!(f, "\n  seed {seed}: {report}"))
    }
}

/// Plays the runs of these seeds on so many threads, with both cores in each honest voter, one in ten of them twice.
/// `tell` hears of the totals now and then.
pub fn play_all(seeds: Range<u64>, voters: Option<usize>, threads: usize, tell: impl Fn(&Totals) + Sync) -> Totals {
    let (next, totals) = (AtomicU64::new(seeds.start), Mutex::new(Totals::default()));
    let work = || loop {
        let from = next.fetch_add(BATCH, Ordering::Relaxed);
        if from >= seeds.end {
            return;
        }
        let mut batch = Totals::default();
        for seed in from..seeds.end.min(from + BATCH) {
            batch.add(seed, play::<Both>(seed, voters, seed % 10 == 0));
        }
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.merge(batch);
        tell(&totals);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}
