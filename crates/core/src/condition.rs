//! How the mesh is doing, as one node sees it: a number for a glance, and the parts and reasons that it stands for.
//!
//! Each part is judged by itself, from 0 to 100. The whole is as good as its worst part: a node that reaches nobody is not
//! well because its relays are.

use std::fmt;

/// Links to other members that are enough to stay in the mesh when two of them go at once.
const ENOUGH_LINKS: usize = 3;

/// The share of messages that counts as lost, of those of late, moves by this part with each message.
const MEMORY: u32 = 16;

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Relays to be reached through.
    Relays,
    /// Links to other members.
    Links,
    /// Other members that are heard.
    Members,
    /// Messages of ours that arrive.
    Delivery,
}

/// Why a part is not at its best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Some relays are not connected.
    RelaysLost {
        /// Not connected.
        lost: usize,
        /// Configured.
        of: usize,
        /// Other relays of the mesh that stand in.
        stand_ins: usize,
    },
    /// Nobody else is known.
    Alone,
    /// Fewer links than are enough.
    FewLinks {
        /// Links.
        links: usize,
        /// Enough.
        enough: usize,
    },
    /// Some members are silent.
    Silent {
        /// Suspected.
        lost: usize,
        /// Watched.
        of: usize,
        /// So many at once that the mesh has fallen apart rather than they.
        split: bool,
    },
    /// Messages of late were not acknowledged.
    Undelivered {
        /// Of a hundred.
        percent: u8,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RelaysLost { lost, of, stand_ins: 0 } => write!(f, "{lost} of {of} relays cannot be reached"),
            Self::RelaysLost { lost, of, stand_ins } => {
                write!(f, "{lost} of {of} relays cannot be reached; others of the mesh that stand in: {stand_ins}")
            }
            Self::Alone => write!(f, "no other member is known"),
            Self::FewLinks { links, enough } => {
                write!(f, "connections to members: {links}, and {enough} would be safe")
            }
            Self::Silent { lost, of, split: false } => {
                write!(f, "{lost} of {of} members {} silent", if *lost == 1 { "is" } else { "are" })
            }
            Self::Silent { lost, of, split: true } => {
                write!(f, "the mesh has fallen apart: {lost} of {of} members are silent at once")
            }
            Self::Undelivered { percent } => write!(f, "{percent} % of the messages of late were not acknowledged"),
        }
    }
}

/// How it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The worst part's, 0 to 100.
    pub score: u8,
    /// Each part's, with what it lacks.
    pub parts: Vec<(Part, u8, Option<Reason>)>,
}

/// What it is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs {
    /// Relays that were given, and those of them that are connected.
    pub relays: (usize, usize),
    /// Relays that stand in, and are connected.
    pub stand_ins: usize,
    /// Links to members, relays included.
    pub links: usize,
    /// Whether this node makes links to members of its own accord; else one to a relay has to do.
    pub companions: bool,
    /// Members that are watched, and those of them that are suspected.
    pub members: (usize, usize),
    /// Whether the mesh has fallen apart.
    pub split: bool,
    /// Messages of late that were not acknowledged.
    pub losses: Losses,
}

/// The share of messages that were not acknowledged, the latest counting most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// In a million.
    share: u32,
}

impl Losses {
    /// A message was acknowledged, or not.
    pub fn count(&mut self, lost: bool) {
        let aim = if lost { 1_000_000 } else { 0 };
        self.share = (self.share * (MEMORY - 1) + aim) / MEMORY;
    }

    fn percent(self) -> u8 {
        // Rounded, and never more than a hundred.
        ((self.share + 5_000) / 10_000) as u8
    }
}

impl Condition {
    /// The judgement of `signs`.
    pub fn of(signs: Signs) -> Self {
        let parts = vec![
            with(Part::Relays, relays(signs)),
            with(Part::Links, links(signs)),
            with(Part::Members, members(signs)),
            with(Part::Delivery, delivery(signs.losses)),
        ];
        Self { score: parts.iter().map(|(_, score, _)| *score).min().unwrap_or(0), parts }
    }

    /// The score of one part.
    pub fn score_of(&self, part: Part) -> u8 {
        self.parts.iter().find(|(name, ..)| *name == part).map_or(0, |(_, score, _)| *score)
    }

    /// What is not at its best, the worst first.
    pub fn reasons(&self) -> impl Iterator<Item = &Reason> {
        let mut lacking: Vec<_> =
            self.parts.iter().filter_map(|(_, score, reason)| Some((score, reason.as_ref()?))).collect();
        lacking.sort_by_key(|(score, _)| **score);
        lacking.into_iter().map(|(_, reason)| reason)
    }
}

fn with(part: Part, (score, reason): (u8, Option<Reason>)) -> (Part, u8, Option<Reason>) {
    (part, score, reason)
}

fn share(of: usize, all: usize) -> u8 {
    (of * 100).checked_div(all).map_or(100, |percent| percent.min(100) as u8)
}

fn relays(Signs { relays: (all, connected), stand_ins, .. }: Signs) -> (u8, Option<Reason>) {
    if connected >= all {
        return (100, None);
    }
    let reason = Reason::RelaysLost { lost: all - connected, of: all, stand_ins };
    let score = match (connected, stand_ins) {
        (0, 0) => 0,
        (0, _) => 50,
        // One is enough to be reached; the others are for when it goes.
        (_, _) => 50 + share(connected, all) / 2,
    };
    (score, Some(reason))
}

fn links(Signs { links, companions, members: (members, _), .. }: Signs) -> (u8, Option<Reason>) {
    if members == 0 && links == 0 {
        return (0, Some(Reason::Alone));
    }
    let enough = if companions { ENOUGH_LINKS.min(members.max(1)) } else { 1 };
    let lacking = links < enough;
    (share(links, enough), lacking.then_some(Reason::FewLinks { links, enough }))
}

fn members(Signs { members: (of, lost), split, .. }: Signs) -> (u8, Option<Reason>) {
    (share(of - lost.min(of), of), (lost > 0).then_some(Reason::Silent { lost, of, split }))
}

fn delivery(losses: Losses) -> (u8, Option<Reason>) {
    let percent = losses.percent();
    (100 - percent.min(100), (percent > 0).then_some(Reason::Undelivered { percent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judgements() {
        let well = Signs { relays: (2, 2), companions: true, links: 8, members: (50, 0), ..Signs::default() };
        let mut lossy = Losses::default();
        (0..4).for_each(|_| lossy.count(true));
        for (name, signs, score, reason) in [
            ("well", well, 100, None),
            ("a node that needs no relay", Signs { relays: (0, 0), ..well }, 100, None),
            ("one relay left", Signs { relays: (2, 1), ..well }, 75, Some("1 of 2 relays cannot be reached")),
            ("no relay", Signs { relays: (2, 0), ..well }, 0, Some("2 of 2 relays cannot be reached")),
            (
                "stand-ins",
                Signs { relays: (2, 0), stand_ins: 1, ..well },
                50,
                Some("2 of 2 relays cannot be reached; others of the mesh that stand in: 1"),
            ),
            ("alone", Signs { links: 0, members: (0, 0), ..well }, 0, Some("no other member is known")),
            ("a mesh of two", Signs { links: 1, members: (1, 0), ..well }, 100, None),
            ("links through a relay only", Signs { links: 1, companions: false, ..well }, 100, None),
            ("few links", Signs { links: 1, ..well }, 33, Some("connections to members: 1, and 3 would be safe")),
            ("one is silent", Signs { members: (50, 1), ..well }, 98, Some("1 of 50 members is silent")),
            (
                "split",
                Signs { members: (50, 20), split: true, ..well },
                60,
                Some("the mesh has fallen apart: 20 of 50 members are silent at once"),
            ),
            ("lossy", Signs { losses: lossy, ..well }, 77, Some("23 % of the messages of late were not acknowledged")),
        ] {
            let condition = Condition::of(signs);
            assert_eq!(condition.score, score, "{name}");
            assert_eq!(condition.reasons().next().map(ToString::to_string).as_deref(), reason, "{name}");
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let signs = Signs { relays: (2, 1), companions: true, links: 1, members: (10, 1), ..Signs::default() };
        let condition = Condition::of(signs);
        assert_eq!(condition.score, 33);
        assert!(matches!(condition.reasons().next(), Some(Reason::FewLinks { .. })));
        assert_eq!(condition.reasons().count(), 3);
    }

    #[test]
    fn losses_fade() {
        let mut losses = Losses::default();
        (0..1_000).for_each(|_| losses.count(true));
        assert_eq!(losses.percent(), 100);
        (0..100).for_each(|_| losses.count(false));
        assert_eq!(losses.percent(), 0);
    }
}
