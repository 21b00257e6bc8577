//! What a scenario has to say: figures, each beside what was to be shown, and rules that were broken.

use std::fmt;

use crate::id::Micros;
use crate::ledger::Violation;
use crate::world::World;

/// What was to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// It is only told.
    None,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is, for people.
    pub name: String,
    /// In `unit`s; nothing if it never came to it.
    pub value: Option<f64>,
    /// Of the value.
    pub unit: &'static str,
    /// What was to be shown.
    pub goal: Goal,
}

impl Figure {
    /// Whether the goal is met.
    pub fn is_met(&self) -> bool {
        match (self.goal, self.value) {
            (Goal::None, _) => true,
            (Goal::AtLeast(goal), Some(value)) => value >= goal,
            (Goal::AtMost(goal), Some(value)) => value <= goal,
            (Goal::AtLeast(_) | Goal::AtMost(_), None) => false,
        }
    }
}

/// The outcome of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Hosts that were asked for.
    pub nodes: usize,
    /// The seed that repeats it.
    pub seed: u64,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What there is to say beside figures.
    pub notes: Vec<String>,
    /// Rules that were broken, a hundred at most.
    pub violations: Vec<Violation>,
    /// Virtual time that has passed.
    pub time: Micros,
    /// Events that happened.
    pub events: u64,
    /// The trace: the same for the same seed.
    pub trace: u64,
}

impl Report {
    /// An empty one.
    pub fn new(scenario: &'static str, nodes: usize, seed: u64) -> Self {
        Self {
            scenario,
            nodes,
            seed,
            figures: Vec::new(),
            notes: Vec::new(),
            violations: Vec::new(),
            time: Micros(0),
            events: 0,
            trace: 0,
        }
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Into<Option<f64>>, unit: &'static str, goal: Goal) {
        self.figures.push(Figure { name: name.into(), value: value.into(), unit, goal });
    }

    /// Adds a time in seconds.
    pub fn seconds(&mut self, name: impl Into<String>, value: Option<Micros>, goal: Goal) {
        self.figure(name, value.map(|value| value.0 as f64 / 1e6), "s", goal);
    }

    /// Adds something that is so, or should be.
    pub fn check(&mut self, name: impl Into<String>, holds: bool) {
        self.figure(name, if holds { 1.0 } else { 0.0 }, "", Goal::AtLeast(1.0));
    }

    /// Adds what is neither good nor bad.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Checks `world` for the last time and takes what it has to say.
    #[must_use]
    pub fn finish(mut self, mut world: World) -> Self {
        world.check();
        self.violations = world.ledger().violations().to_vec();
        (self.time, self.events, self.trace) = (world.time(), world.events(), world.trace());
        self
    }

    /// Whether every goal is met and no rule was broken.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.figures.iter().all(Figure::is_met)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, nodes, seed, figures, notes, violations, time, events, trace } = self;
        writeln!(f, "{scenario}: {nodes} nodes, seed {seed}")?;
        for figure in figures {
            let value = figure.value.map_or("never".to_owned(), |value| format!("{value:.3} {}", figure.unit));
            let goal = match figure.goal {
                Goal::AtLeast(goal) => format!("  at least {goal} {}", figure.unit),
                Goal::AtMost(goal) => format!("  at most {goal} {}", figure.unit),
                Goal::None => String::new(),
            };
            let mark = if figure.is_met() { "ok  " } else { "MISS" };
            writeln!(f, "  {mark}  {:<58} {value:>14}{goal}", figure.name)?;
        }
        for note in notes {
            writeln!(f, "        {note}")?;
        }
        for Violation { rule, at, what } in violations.iter().take(10) {
            writeln!(f, "  BROKEN  {rule}, at {:.3} s: {what}", at.0 as f64 / 1e6)?;
        }
        if violations.len() > 10 {
            writeln!(f, "  … and {} more", violations.len() - 10)?;
        }
        write!(f, "  {:.1} s of virtual time, {events} events, trace {trace:016x}", time.0 as f64 / 1e6)
    }
}
