//! A peer that says what no honest one does: whatever it is, it costs little and breaks nothing.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn bytes(rng: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.next_u64() as usize % most];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Of entries that are not there.
fn pull(session: Option<u64>) -> Message {
    Message::Pull { question: 7, session, domain: notes(), entries: vec![EntryId([1; 32]); 512] }
}

fn question(message: Message) -> Option<Round> {
    if let Message::Compare(round) = message { Some(round) } else { None }
}

fn round(session: u64, ranges: Vec<u8>) -> Round {
    Round { session, domain: notes(), ranges: ByteBuf::from(ranges) }
}

/// One that knows a thousand entries, and one that lies to it.
struct Victim {
    net: Net,
    liar: NodeId,
}

impl Victim {
    fn new() -> Self {
        let mut net = deaf(2);
        knows(&mut net, 0, 0..1_000);
        let liar = net.id(1);
        Self { net, liar }
    }

    /// What it says to that, acknowledged at once.
    fn says(&mut self, message: Message) -> Vec<Message> {
        let now = self.net.now;
        let Self { net, liar } = self;
        let knowledge = &mut net.peers[0].knowledge;
        if let Message::Push { question, last, .. } = message {
            knowledge.pushed(*liar, (question, last), &[], vec![], now);
        } else {
            knowledge.handle(*liar, message, now);
        }
        let mut said = Vec::new();
        while let Some(output) = self.net.peers[0].knowledge.poll_output() {
            match output {
                crate::knowledge::Output::Tell(_, bytes) => {
                    said.push(codec::decode(&bytes, MAX_BODY).unwrap());
                    self.net.peers[0].knowledge.told(self.liar, now);
                }
                crate::knowledge::Output::Malformed(_) => self.net.peers[0].offences += 1,
                crate::knowledge::Output::Event(event) => self.net.peers[0].events.push(event),
                crate::knowledge::Output::Keep(..)
                | crate::knowledge::Output::Publish(_)
                | crate::knowledge::Output::Blocks(_) => {}
            }
        }
        said
    }

    /// Has it begin to compare; the first step.
    fn begins(&mut self, domain: &str) -> Option<Round> {
        let summary = Summary { domain: Domain::shared(domain), count: 5, digest: EntryId([7; 32]) };
        let said = self.says(Message::Summary(vec![summary]));
        said.into_iter().find_map(question)
    }

    fn pass(&mut self, millis: u64) {
        self.net.now.mono = self.net.now.mono + millis;
        let now = self.net.now;
        self.net.peers[0].knowledge.handle_timeout(now);
        self.net.drain(0);
    }
}

#[test]
fn steps_of_garbage_are_refused_or_answered_shortly() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut victim = Victim::new();
    let (mut answered, mut refused, mut longest) = (0, 0, 0);
    for n in 0..3_000 {
        if n % 20 == 0 {
            victim.pass(8_000);
        }
        let before = victim.net.peers[0].offences;
        let mut ranges = bytes(&mut rng, 400);
        if n % 2 == 0 && !ranges.is_empty() {
            ranges[0] = PROTOCOL_VERSION as u8;
        }
        for said in victim.says(Message::Compare(round(n, ranges))) {
            if let Message::Compared(round) = said {
                answered += 1;
                longest = longest.max(round.ranges.len());
            }
        }
        refused += victim.net.peers[0].offences - before;
        assert!(victim.net.peers[0].knowledge.comparisons.retained() < 20);
    }
    println!("{answered} were answered, with at most {longest} bytes, {refused} refused");
    assert!(answered > 50 && refused > 500);
}

/// With some bytes changed, cut off or said twice.
fn changed(rng: &mut ChaCha8Rng, mut ranges: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.next_u64() % 4 {
        let at = rng.next_u64() as usize % ranges.len();
        match rng.next_u64() % 3 {
            0 => ranges[at] = rng.next_u64() as u8,
            1 => ranges.truncate(at + 1),
            _ => ranges.extend_from_within(at..),
        }
    }
    ranges.truncate(MAX_ROUND_BYTES);
    ranges
}

#[test]
fn questions_that_were_changed_on_the_way_are_answered_within_bounds() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut victim = Victim::new();
    let mut other = deaf(1);
    knows(&mut other, 0, 500..1_500);
    let set = Set::of(other.peers[0].knowledge.ledger(), &notes(), 9);
    let first = Negentropy::owned(set.storage, MAX_ROUND_BYTES as u64).unwrap().initiate().unwrap();
    let (mut answered, mut longest) = (0, 0);
    for n in 0..3_000 {
        if n % 10 == 0 {
            victim.pass(8_000);
        }
        let question = changed(&mut rng, first.clone());
        for said in victim.says(Message::Compare(round(9, question))) {
            let Message::Compared(Round { ranges, .. }) = said else { panic!("{said:?}") };
            answered += 1;
            longest = longest.max(ranges.len());
        }
        assert!(victim.net.peers[0].knowledge.comparisons.retained() < 20);
    }
    println!("{answered} of 3,000 were answered, with at most {longest} bytes; the question has {}", first.len());
    assert!(answered > 1_000 && longest <= MAX_ROUND_BYTES);
}

#[test]
fn steps_that_were_changed_on_the_way_break_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut other = deaf(1);
    knows(&mut other, 0, 500..1_500);
    for n in 0..2_000_u64 {
        let mut victim = if n % 100 == 0 { Victim::new() } else { continue };
        for _ in 0..100 {
            victim.pass(11_000);
            let Some(mut next) = victim.begins("notes") else { continue };
            for _ in 0..4 {
                // What an honest one would answer, with some bytes changed, cut off or said twice.
                let now = victim.net.now;
                let liar = victim.liar;
                other.peers[0].knowledge.handle(liar, Message::Compare(next.clone()), now);
                let mut answer = None;
                while let Some(output) = other.peers[0].knowledge.poll_output() {
                    if let crate::knowledge::Output::Tell(_, bytes) = output {
                        other.peers[0].knowledge.told(liar, now);
                        if let Message::Compared(round) = codec::decode(&bytes, MAX_BODY).unwrap() {
                            answer = Some(round);
                        }
                    }
                }
                let Some(mut answer) = answer else { break };
                let ranges = changed(&mut rng, answer.ranges.into_vec());
                answer.ranges = ByteBuf::from(ranges);
                let said = victim.says(Message::Compared(answer));
                let comparisons = &victim.net.peers[0].knowledge.comparisons;
                assert!(comparisons.retained() < MAX_NEED + 1_000 + 100);
                let compare = said.into_iter().find_map(question);
                match compare {
                    Some(round) => next = round,
                    None => break,
                }
            }
        }
    }
}

/// An answer that knows of these and of nothing else.
fn ids(ids: std::ops::Range<u64>) -> Vec<u8> {
    let mut ranges = vec![PROTOCOL_VERSION as u8, 0, 0, 2];
    let count = ids.end - ids.start;
    ranges.extend(if count < 128 { vec![count as u8] } else { vec![0x80 | (count >> 7) as u8, count as u8 & 0x7f] });
    for id in ids {
        ranges.extend(salted(id, &EntryId([3; 32])).0);
    }
    ranges
}

/// That everything else is another.
fn differs(mut ranges: Vec<u8>) -> Vec<u8> {
    ranges.extend([0, 0, 1]);
    ranges.extend([9; 16]);
    ranges
}

#[test]
fn rounds_without_end_end() {
    let mut victim = Victim::new();
    let mut next = victim.begins("notes");
    let (mut rounds, mut given) = (0, 0);
    while let Some(Round { session, .. }) = next.take() {
        rounds += 1;
        // What was asked is of no matter: it has one id, and all is different.
        let mut ranges = vec![PROTOCOL_VERSION as u8, 0, 0, 2, 0];
        ranges = differs(ranges);
        for said in victim.says(Message::Compared(round(session, ranges))) {
            if let Message::Have { entries, .. } = &said {
                given += entries.len();
            }
            next = question(said).or(next);
        }
    }
    assert!(rounds <= MAX_ROUNDS as usize, "{rounds}");
    assert!(given <= 1_000, "each is given once, not in each round: {given}");
    assert!(victim.net.peers[0].knowledge.comparisons.ours.is_empty());
}

#[test]
fn ids_of_nothing_are_asked_for_up_to_a_bound() {
    let mut victim = Victim::new();
    let Some(Round { mut session, .. }) = victim.begins("notes") else { panic!("it has something else") };
    let mut pulls = 0;
    let mut most = 0;
    for n in 0..MAX_ROUNDS as u64 {
        let ranges = differs(ids(n * 1_400..(n + 1) * 1_400));
        for said in victim.says(Message::Compared(round(session, ranges))) {
            pulls += usize::from(matches!(said, Message::Pull { .. }));
            session = question(said).map_or(session, |round| round.session);
        }
        most = most.max(victim.net.peers[0].knowledge.comparisons.retained());
    }
    println!("at most {most} were remembered");
    assert!(most <= MAX_NEED + 1_100 && most > MAX_NEED / 2);
    // Nothing of it comes, and each is only asked for once.
    let mut answered = 0;
    while answered < pulls {
        answered += 1;
        let push = Message::Push { question: session, entries: vec![], credentials: vec![], last: true };
        let said = victim.says(push);
        pulls += said.iter().filter(|message| matches!(message, Message::Pull { .. })).count();
    }
    assert_eq!(pulls, MAX_NEED.div_ceil(512));
    assert!(victim.net.peers[0].knowledge.comparisons.ours.is_empty());
    assert_eq!(count(&victim.net, 0), 1_000);
}

#[test]
fn one_that_never_comes_to_an_end_is_given_up() {
    let mut victim = Victim::new();
    let Some(Round { session, .. }) = victim.begins("notes") else { panic!("it has something else") };
    victim.says(Message::Compared(round(session, ids(0..10))));
    let mut drops = 0;
    while !victim.net.peers[0].knowledge.comparisons.ours.is_empty() {
        let push = Message::Push { question: session, entries: vec![], credentials: vec![], last: false };
        victim.says(push);
        victim.pass(9_000);
        drops += 1;
        assert!(drops < 20);
    }
    assert!(!done(&victim.net, 0)[0].whole);
}

#[test]
fn questions_about_nothing_are_answered_with_nothing() {
    let mut victim = Victim::new();
    for session in [Some(5), None] {
        let said = victim.says(pull(session));
        assert!(matches!(&said[..], [Message::Push { question: 7, entries, last: true, .. }] if entries.is_empty()));
    }
    assert!(victim.says(Message::Compared(round(5, vec![1, 2, 3]))).is_empty(), "nobody asked");
    assert_eq!(victim.net.peers[0].offences, 0);
    assert_eq!(victim.net.peers[0].knowledge.comparisons.asked.len(), 0);
}

#[test]
fn what_a_peer_asks_for_and_does_not_take_is_bounded() {
    let mut victim = Victim::new();
    let ids: Vec<_> = victim.net.peers[0].knowledge.ledger().ids(&notes()).copied().collect();
    let (liar, now) = (victim.liar, victim.net.now);
    for n in 0..500 {
        let all = Message::Pull { question: n, session: None, domain: notes(), entries: ids.clone() };
        assert!(victim.net.peers[0].knowledge.handle(liar, all, now));
    }
    let comparisons = &victim.net.peers[0].knowledge.comparisons;
    let waiting: usize = comparisons.asked[&liar].iter().map(|asked| asked.ids.len()).sum();
    assert!((MAX_NEED - 4_000..MAX_NEED).contains(&waiting), "{waiting}");
    assert!(comparisons.lanes.len() <= 2, "messages are made when there is room for them");
    // It goes, and all that with it.
    victim.net.peers[0].knowledge.unlinked(&liar, now);
    assert_eq!(victim.net.peers[0].knowledge.comparisons.asked.len(), 0);
}

#[test]
fn entries_that_nobody_asked_for_are_not_looked_at() {
    let mut victim = Victim::new();
    let liar = victim.liar;
    let expects = |victim: &Victim, question| victim.net.peers[0].knowledge.expects(&liar, question, victim.net.now);
    assert!(!expects(&victim, 0) && !expects(&victim, 5));
    victim.says(Message::Compare(round(5, vec![PROTOCOL_VERSION as u8])));
    let Some(Round { session, .. }) = victim.begins("notes") else { panic!("it has something else") };
    assert!(!expects(&victim, session), "not yet");
    victim.says(Message::Compared(round(session, ids(0..10))));
    assert!(expects(&victim, session));
    assert!(!expects(&victim, session + 1));
    // What it has offered, and was asked for, may come a little late.
    victim.says(Message::Have { domain: notes(), entries: vec![EntryId([5; 32])] });
    assert!(expects(&victim, session + 1));
    victim.pass(9_999);
    assert!(expects(&victim, session + 1));
    victim.pass(1);
    assert!(!expects(&victim, session + 1));
}

#[test]
fn summaries_of_256_domains_that_are_not_there_cost_little() {
    let mut victim = Victim::new();
    let all = (0..256).map(|n| Summary {
        domain: Domain::shared(format!("{n}")),
        count: u64::MAX,
        digest: EntryId([n as u8; 32]),
    });
    let all: Vec<_> = all.collect();
    let (mut said, mut steps) = (victim.says(Message::Summary(all.clone())), 0);
    while let Some(Message::Compare(next)) = said.pop() {
        steps += 1;
        let nothing = Round { ranges: ByteBuf::from(vec![PROTOCOL_VERSION as u8]), ..next };
        said = victim.says(Message::Compared(nothing));
        assert!(victim.net.peers[0].knowledge.comparisons.retained() < 2_000);
    }
    // Those, and the one that it has and the other did not speak of.
    assert_eq!(steps, 257);
    assert!(victim.says(Message::Summary(all)).is_empty(), "that is settled");
}

#[test]
fn the_work_for_one_peer_is_bounded() {
    let mut victim = Victim::new();
    let mut sets = 0;
    // It may ask 512 times at once: each time for a new set of a thousand.
    for session in 1..=512 {
        sets += victim.says(Message::Compare(round(session, vec![PROTOCOL_VERSION as u8]))).len();
    }
    assert_eq!(sets, WORK.burst as usize / 1_001);
    victim.pass(4_000);
    sets = 0;
    for session in 1_001..=1_256 {
        sets += victim.says(Message::Compare(round(session, vec![PROTOCOL_VERSION as u8]))).len();
    }
    assert!((130..=131).contains(&sets), "{sets}: half as many after half the time");
    // That of others is not.
    let other = author(77).node();
    let now = victim.net.now;
    assert!(victim.net.peers[0].knowledge.handle(other, Message::Compare(round(1, vec![PROTOCOL_VERSION as u8])), now));
    assert!(matches!(victim.net.peers[0].knowledge.poll_output(), Some(crate::knowledge::Output::Tell(..))));
}

#[test]
fn many_peers_at_once_find_their_bounds() {
    let mut victim = Victim::new();
    let now = victim.net.now;
    for n in 0..200 {
        let peer = author(100 + n).node();
        let knowledge = &mut victim.net.peers[0].knowledge;
        let summary = Summary { domain: Domain::shared(format!("{n}")), count: 1, digest: EntryId([1; 32]) };
        knowledge.handle(peer, Message::Summary(vec![summary]), now);
        knowledge.handle(peer, Message::Compare(round(1, vec![PROTOCOL_VERSION as u8])), now);
    }
    let Comparisons { ours, theirs, later, .. } = &victim.net.peers[0].knowledge.comparisons;
    assert_eq!((ours.len(), theirs.len(), later.len()), (MAX_OURS, MAX_THEIRS, MAX_LATER));
}

#[test]
fn what_was_settled_is_remembered_up_to_a_bound() {
    let mut comparisons = Comparisons::new(author(0).node());
    let mut ledger = Ledger::new(crate::knowledge::ledger::Config::default(), author(0).node());
    let now = Now { mono: Mono(1), unix: 1 };
    for n in 0..MAX_SETTLED as u32 + 10 {
        let peer = crate::knowledge::testing::node(n);
        let summary = Summary { domain: notes(), count: 1, digest: EntryId([1; 32]) };
        comparisons.summary(peer, vec![summary], &mut ledger, || 5, now);
        comparisons.compared(peer, &round(5, vec![PROTOCOL_VERSION as u8]), &ledger, now);
        comparisons.advance(&mut ledger, || 5, now);
        comparisons.told(peer, true, (&ledger, &Chains::new()), now);
    }
    assert_eq!(comparisons.settled.len(), MAX_SETTLED);
    assert_eq!((comparisons.ours.len(), comparisons.lanes.len()), (0, 0));
}
