//! Whole nodes decide together: over gossip through a hub, with stores that take their time and processes that die.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mesh_core::node::{Event, Input};
use mesh_core::proposals::{Error, Event as Deciding};
use mesh_core::sealer::Sealer;
use mesh_core::{Mono, Now, Offence};
use mesh_proto::decision::{Ballot, Choice, Message, Outcome, Proposal, Step, Vote};
use mesh_proto::limits::MAX_DECISION;
use mesh_proto::protocol::Topic;
use mesh_proto::{Digest, Keypair, Kind, SlotId, codec};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::world::{EPOCH, HUB, World, key, voting_key};

const WINDOW: u64 = 2_000;

fn proposal(now: Now, title: &str) -> Proposal {
    Proposal { kind: "test".into(), title: title.into(), body: Bytes::new(), window: WINDOW, at: now.unix }
}

fn propose(world: &mut World, n: usize, title: &str) -> SlotId {
    world.call(n, |node, now| node.propose(proposal(now, title), now)).unwrap()
}

fn ballot(choice: Choice) -> Ballot {
    Ballot { choice, reason: String::new() }
}

/// What `n` was told of deciding.
fn told(world: &World, n: usize) -> impl Iterator<Item = (u64, &Deciding)> {
    world.member(n).events.iter().filter_map(|(when, event)| {
        let Event::Decision(event) = event else { return None };
        Some((*when, event))
    })
}

/// How slots ended, as `n` was told.
fn outcomes(world: &World, n: usize) -> BTreeMap<SlotId, Outcome> {
    let mut outcomes = BTreeMap::new();
    for (_, event) in told(world, n) {
        if let Deciding::Decided { slot, ended } = event {
            let before = outcomes.insert(*slot, ended.certificate.outcome);
            assert!(before.is_none_or(|before| before == ended.certificate.outcome), "{n} was told two outcomes");
        }
    }
    outcomes
}

fn stalled(world: &World, n: usize) -> BTreeSet<SlotId> {
    let mut slots = BTreeSet::new();
    for (_, event) in told(world, n) {
        if let Deciding::NoQuorum { slot, .. } = event {
            slots.insert(*slot);
        }
    }
    slots
}

/// Has everybody vote as `opinion` says on what they are asked, as long as `done` does not hold.
fn vote_until(
    world: &mut World,
    millis: u64,
    opinion: impl Fn(usize) -> Choice,
    done: impl Fn(&World) -> bool,
) -> bool {
    let end = world.now() + millis;
    let mut asked: BTreeMap<usize, usize> = BTreeMap::new();
    while world.now() < end {
        for n in 1..world.members().count() {
            let from = asked.get(&n).copied().unwrap_or_default();
            let open: Vec<SlotId> = told(world, n)
                .skip(from)
                .filter_map(|(_, event)| {
                    let Deciding::Opened { slot, asked: true, .. } = event else { return None };
                    Some(*slot)
                })
                .collect();
            asked.insert(n, told(world, n).count());
            for slot in open {
                // It may have ended, or this process may be dead.
                let _ = world.call(n, |node, now| node.vote(&slot, ballot(opinion(n)), now));
            }
        }
        if done(world) {
            return true;
        }
        world.run(5);
    }
    done(world)
}

fn all_know(world: &World, slot: SlotId, outcome: Option<Outcome>) -> bool {
    let same = |n| outcomes(world, n).get(&slot).is_some_and(|of| outcome.is_none_or(|outcome| *of == outcome));
    (0..world.members().count()).all(same)
}

fn assert_no_traitor(world: &World) {
    for n in 0..world.members().count() {
        assert!(!told(world, n).any(|(_, event)| matches!(event, Deciding::Guilty { .. })), "{n} saw a double vote");
    }
    world.assert_honest();
}

#[test]
fn everybody_decides_the_same_in_a_moment() {
    let mut world = World::chartered(1, 10);
    let start = world.now();
    let slot = propose(&mut world, 3, "all for it");
    assert!(vote_until(&mut world, 3_000, |_| Choice::Approve, |world| all_know(world, slot, None)));
    assert!(world.now() - start < 1_000, "{} ms", world.now() - start);
    assert!(matches!(outcomes(&world, HUB)[&slot], Outcome::Approved(_)));

    let against = propose(&mut world, 4, "most against it");
    let opinion = |n| if n % 3 == 1 { Choice::Approve } else { Choice::Reject };
    assert!(vote_until(&mut world, 5_000, opinion, |world| all_know(world, against, Some(Outcome::Rejected))));

    let ignored = propose(&mut world, 5, "nobody says a word");
    world.run_until(10_000, |world| all_know(world, ignored, Some(Outcome::Lapsed)));
    let late = world.call(6, |node, now| node.vote(&ignored, ballot(Choice::Approve), now));
    assert_eq!(late, Err(Error::Ended(Outcome::Lapsed)));
    assert_no_traitor(&world);
}

#[test]
fn one_who_votes_is_told_of_votes_and_proofs() {
    let mut world = World::chartered(2, 4);
    let slot = propose(&mut world, 1, "a proof");
    assert!(vote_until(&mut world, 3_000, |_| Choice::Approve, |world| all_know(world, slot, None)));
    let mut heard = BTreeSet::new();
    for (_, event) in told(&world, 2) {
        if let Deciding::Voted { voter, ballot, .. } = event {
            assert_eq!(ballot.choice, Choice::Approve);
            heard.insert(*voter);
        }
    }
    assert_eq!(heard, (1..=4).map(|n| world.id(n)).collect());
    for n in [HUB, 1, 4] {
        let record = world.member(n).node.record(&slot).unwrap();
        let chain = mesh_consensus::verify_record(&record, &mesh_proto::Strict).unwrap();
        assert_eq!(chain.mesh(), world.mesh());
        assert_eq!(record.proposal.map(|proposal| proposal.title), Some("a proof".to_owned()));
    }
    // The proof outlives the process.
    world.kill(4);
    world.restart(4);
    let record = world.member(4).node.record(&slot).unwrap();
    assert_eq!(record.proposal.map(|proposal| proposal.title), Some("a proof".to_owned()));

    let twice = world.call(2, |node, now| node.vote(&slot, ballot(Choice::Reject), now));
    assert!(matches!(twice, Err(Error::Ended(Outcome::Approved(_)))));
    let unknown = world.call(2, |node, now| node.vote(&SlotId([9; 32]), ballot(Choice::Reject), now));
    assert!(matches!(unknown, Err(Error::Council(_))));
}

#[test]
fn half_of_the_voters_decide_nothing_and_say_so_and_finish_when_they_are_one_again() {
    let mut world = World::chartered(3, 31);
    // Those past the 16th cannot reach the hub, nor anybody else.
    let away = |n: usize| n > 16;
    world.loss = Some(Box::new(move |from, to, input| {
        matches!(input, Input::Gossip { .. } | Input::Direct(_)) && (away(from) || away(to))
    }));
    let (one, other) = (propose(&mut world, 2, "this side"), propose(&mut world, 20, "that side"));
    vote_until(&mut world, WINDOW + 6_000, |_| Choice::Approve, |_| false);
    for n in 0..=31 {
        assert_eq!(outcomes(&world, n), BTreeMap::new(), "{n} decided");
    }
    for n in 1..=16 {
        assert_eq!(stalled(&world, n), [one].into(), "{n}");
    }
    assert_eq!(stalled(&world, 20), [other].into());

    world.loss = None;
    let healed = world.now();
    let both = |world: &World| all_know(world, one, None) && all_know(world, other, None);
    assert!(vote_until(&mut world, 10_000, |_| Choice::Approve, both), "all finish in ten seconds");
    println!("31 voters, 16 and 15 apart: all know {} ms after healing", world.now() - healed);
    assert_no_traitor(&world);
}

#[test]
fn two_thirds_decide_and_the_others_learn_it() {
    let mut world = World::chartered(4, 31);
    world.loss = Some(Box::new(|from, to, input| {
        matches!(input, Input::Gossip { .. } | Input::Direct(_)) && (from > 21 || to > 21)
    }));
    let slot = propose(&mut world, 2, "21 of 31");
    let here = |world: &World| (0..=21).all(|n| outcomes(world, n).contains_key(&slot));
    assert!(vote_until(&mut world, 5_000, |_| Choice::Approve, here));
    assert!((22..=31).all(|n| outcomes(&world, n).is_empty()));
    world.loss = None;
    let healed = world.now();
    world.run_until(20_000, |world| all_know(world, slot, None));
    println!("31 voters, 21 and 10 apart: all know {} ms after healing", world.now() - healed);
    assert_no_traitor(&world);
}

#[test]
fn a_process_that_dies_at_any_write_votes_once_and_forgets_no_outcome() {
    let mut kills = 0;
    for victim in [1, 2] {
        // Its first write, its second …
        for step in 1..=6 {
            let mut world = World::chartered(100 + step as u64, 4);
            let before = world.member(victim).disk.clone();
            let slot = propose(&mut world, 1, "die");
            let mut writes = 0;
            let mut last = before;
            let end = world.now() + 4_000;
            let mut voted = BTreeSet::new();
            while world.now() < end && writes < step {
                for n in 1..=4 {
                    let open = |(_, event): (u64, &Deciding)| matches!(event, Deciding::Opened { asked: true, .. });
                    if !voted.contains(&n) && told(&world, n).any(open) {
                        voted.insert(n);
                        world.call(n, |node, now| node.vote(&slot, ballot(Choice::Approve), now)).unwrap();
                    }
                }
                world.run(1);
                if world.member(victim).disk != last {
                    last = world.member(victim).disk.clone();
                    writes += 1;
                }
            }
            if writes < step {
                break;
            }
            kills += 1;
            let decided = outcomes(&world, victim);
            world.kill(victim);
            world.run(200);
            world.restart(victim);
            let all = |world: &World| all_know(world, slot, None);
            assert!(vote_until(&mut world, 15_000, |_| Choice::Approve, all), "victim {victim}, write {step}");
            let after = outcomes(&world, victim);
            assert!(decided.iter().all(|(slot, outcome)| after.get(slot) == Some(outcome)));
            assert_no_traitor(&world);
        }
    }
    assert!(kills >= 6, "{kills}");
}

#[test]
fn random_kills_make_no_traitor_and_lose_no_outcome() {
    let (mut kills, mut unheard) = (0, 0);
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let voters = 4 + seed as usize % 4;
        let mut world = World::chartered(1_000 + seed, voters);
        let mut slots = Vec::new();
        for round in 0..4 {
            let proposer = 1 + rng.next_u64() as usize % voters;
            slots.push(propose(&mut world, proposer, &format!("round {round}")));
            for _ in 0..3 {
                let victim = 1 + rng.next_u64() as usize % voters;
                let opinion = |_| Choice::Approve;
                vote_until(&mut world, rng.next_u64() % 120, opinion, |_| false);
                world.kill(victim);
                kills += 1;
                vote_until(&mut world, rng.next_u64() % 60, opinion, |_| false);
                world.restart(victim);
            }
            let slot = *slots.last().unwrap();
            let all = |world: &World| all_know(world, slot, None);
            let restarted = world.now();
            if !vote_until(&mut world, 20_000, |_| Choice::Approve, all) {
                // Its proposer died before the first word was safe: nobody has been told anything.
                let of_it = |event: &Deciding| matches!(event, Deciding::Opened { slot: of, .. } | Deciding::Decided { slot: of, .. } if *of == slot);
                let heard =
                    |n| told(&world, n).any(|(when, event)| of_it(event) && (when >= restarted || n != proposer));
                assert!(!(0..=voters).any(heard), "seed {seed}, round {round}");
                slots.pop();
                unheard += 1;
            }
        }
        for slot in slots {
            let of: BTreeSet<_> = (0..=voters).map(|n| outcomes(&world, n)[&slot]).collect();
            assert_eq!(of.len(), 1, "seed {seed}: one slot, one outcome");
        }
        assert_no_traitor(&world);
    }
    println!("{kills} processes killed, {unheard} of 80 proposals died with their proposer");
}

#[test]
fn a_store_that_fails_silences_its_voter_and_no_other() {
    let mut world = World::chartered(5, 4);
    world.disks_fail = true;
    let slot = propose(&mut world, 1, "not kept");
    world.run(100);
    world.disks_fail = false;
    assert!(told(&world, 1).any(|(_, event)| *event == Deciding::StoreFailed));
    let again = world.call(1, |node, now| node.propose(proposal(now, "again"), now));
    assert_eq!(again, Err(Error::StoreFailed));
    assert!((2..=4).all(|n| told(&world, n).count() == 0), "nobody has heard a word of it");
    let other = propose(&mut world, 2, "three are enough");
    assert!(vote_until(
        &mut world,
        5_000,
        |_| Choice::Approve,
        |world| (2..=4).all(|n| outcomes(world, n).contains_key(&other))
    ));
    assert!(!outcomes(&world, 2).contains_key(&slot));
    assert_no_traitor(&world);
}

#[test]
fn founders_say_who_votes_and_latecomers_learn_it() {
    let mut world = World::chartered(6, 4);
    let newcomer = world.join();
    world.run(3_000);
    let no = world.call(newcomer, |node, now| node.propose(proposal(now, "no vote yet"), now));
    assert!(matches!(no, Err(Error::Council(_))));
    let refused = world.call(2, |node, now| node.elect(vec![], now));
    assert!(matches!(refused, Err(Error::Council(_))), "2 has not founded it");
    let nobody = world.call(1, |node, now| node.elect(vec![key(77).node()], now));
    assert_eq!(nobody, Err(Error::NoVotingKey(key(77).node())));

    let open = propose(&mut world, 3, "before the change");
    world.run(200);
    let five: Vec<_> = (1..=5).map(|n| world.id(n)).collect();
    assert_eq!(world.call(1, |node, now| node.elect(five, now)), Ok(1));
    world.run(500);
    let late = world.join();
    world.run(3_000);
    for n in [HUB, 2, newcomer, late] {
        let electorate = world.member(n).node.electorate().unwrap();
        assert_eq!((electorate.epoch, electorate.voters.len()), (1, 5), "{n}");
        assert_eq!(electorate.votes, n != HUB && n != late, "{n}");
    }
    let slot = propose(&mut world, newcomer, "the newcomer's");
    let both = |world: &World| all_know(world, slot, None) && outcomes(world, 2).contains_key(&open);
    assert!(vote_until(&mut world, 10_000, |_| Choice::Approve, both));

    // The list of voters is kept too: a voter that starts anew votes in the epoch that it knew.
    world.kill(newcomer);
    world.restart(newcomer);
    assert_eq!(world.member(newcomer).node.electorate().map(|of| (of.epoch, of.votes)), Some((1, true)));
    assert_no_traitor(&world);
}

#[test]
fn one_gets_a_resource_and_the_other_is_told_who() {
    let mut world = World::chartered(7, 4);
    let claim = |world: &mut World, n: usize| world.call(n, |node, now| node.claim("gpu/0", 60_000, now));
    let (a, b) = (claim(&mut world, 2).unwrap(), claim(&mut world, 3).unwrap());
    assert_eq!(a, b, "one slot decides between them");
    world.run_until(5_000, |world| all_know(world, a, None));
    let Outcome::Granted { holder, .. } = outcomes(&world, HUB)[&a] else { panic!("not granted") };
    let loser = if holder == world.id(2) { 3 } else { 2 };
    let refused = claim(&mut world, loser);
    assert!(
        matches!(refused, Err(Error::Council(mesh_consensus::council::Error::Held { holder: of, .. })) if of == holder)
    );
    world.call(5 - loser, |node, now| node.release("gpu/0", now)).unwrap();
    world.run(200);
    let next = claim(&mut world, loser).unwrap();
    world.run_until(5_000, |world| all_know(world, next, None));
    let now = world.time();
    let lease = world.member(4).node.lease("gpu/0", now).unwrap();
    assert_eq!((lease.holder, lease.token.seq), (world.id(loser), 1));
    assert_no_traitor(&world);
}

#[test]
fn a_claim_without_a_quorum_is_given_up_each_time_it_is_made() {
    let mut world = World::chartered(12, 4);
    world.kill(3);
    world.kill(4);
    for times in 1..=2 {
        let slot = world.call(1, |node, now| node.claim("gpu/0", 60_000, now)).unwrap();
        world.run(9_000);
        let gave_up =
            |(_, event): &(u64, &Deciding)| matches!(event, Deciding::NoQuorum { slot: of, .. } if *of == slot);
        assert_eq!(told(&world, 1).filter(gave_up).count(), times);
    }
}

#[test]
fn a_proposal_of_another_time_is_rejected() {
    let mut world = World::chartered(8, 4);
    let old = |node: &mut mesh_core::Node, now: Now| {
        node.propose(Proposal { at: now.unix - 121_000, ..proposal(now, "old") }, now)
    };
    let slot = world.call(1, old).unwrap();
    world.run_until(5_000, |world| all_know(world, slot, Some(Outcome::Rejected)));
}

/// Hands `n` an envelope of `author` as if `from` had passed it on.
fn pass_on(world: &mut World, (from, n): (usize, usize), author: &mut Sealer, message: &Message, ticket: u64) {
    let kind = message.kind().unwrap_or(Kind::ConsensusVote);
    let now = world.time();
    let wire = author.seal(kind, codec::encode(message, MAX_DECISION).unwrap(), now).unwrap().wire().clone();
    let from = world.id(from);
    let mut events = Vec::new();
    world.call(n, |node, now| {
        node.handle(Input::Gossip { ticket: u64::MAX - ticket, from, topic: Topic::Agents, wire }, now);
        while let Some(output) = node.poll_output() {
            if let mesh_core::node::Output::Event(event) = output {
                events.push(event);
            }
        }
    });
    let now = world.now();
    world.note(n, events.into_iter().map(|event| (now, event)));
}

fn vote(slot: SlotId, voter: u8, key: &Keypair, value: u8) -> Message {
    let ballot = Some(ballot(Choice::Approve));
    let value = Some(Digest([value; 32]));
    Message::Vote(Vote { slot, round: 0, step: Step::Prevote, value, voter, ballot }.sign(key).unwrap())
}

#[test]
fn a_thousand_sybils_change_nothing() {
    let mut world = World::chartered(9, 4);
    let slot = propose(&mut world, 1, "sybils");
    world.run(100);
    let before = world.member(2).node.retained();
    let mesh = world.mesh();
    for n in 0..1_000 {
        let sybil = key(10_000 + n);
        let mut sealer = Sealer::new(sybil.clone(), mesh, world.time());
        // In the place of a voter, and in places that nobody has.
        pass_on(&mut world, (HUB, 2), &mut sealer, &vote(slot, (n % 7) as u8, &sybil, n as u8), n as u64);
    }
    let tally = |world: &World| world.member(2).node.electorate().map(|electorate| electorate.voters.len());
    assert_eq!(tally(&world), Some(4));
    assert!(vote_until(&mut world, 5_000, |_| Choice::Approve, |world| all_know(world, slot, None)));
    assert!(matches!(outcomes(&world, 2)[&slot], Outcome::Approved(_)));
    // Six minutes later even their names are forgotten.
    world.run(800_000);
    let after = world.member(2).node.retained();
    assert!(after <= before + 16, "{before} entries before, {after} after");
}

#[test]
fn who_breaks_the_rules_is_named_and_who_passes_it_on_is_not() {
    let mut world = World::chartered(10, 4);
    let slot = propose(&mut world, 1, "rules");
    world.run(100);
    let mesh = world.mesh();
    let offences = |world: &World, n: usize| {
        let of = |(_, event): &(u64, Event)| {
            let Event::Offence { peer, offence } = event else { return None };
            Some((*peer, *offence))
        };
        world.member(n).events.iter().filter_map(of).collect::<Vec<_>>()
    };
    // A voter that speaks for another: 3 signs as if it had every place.
    let mut sealer = Sealer::new(key(3), mesh, Now { mono: Mono(0), unix: EPOCH + 50_000 });
    let stranger = key(500);
    let mut strange = Sealer::new(stranger.clone(), mesh, world.time());
    let mut seen = 0;
    for place in 0..4 {
        pass_on(&mut world, (HUB, 2), &mut sealer, &vote(slot, place, &voting_key(3), 1), place.into());
    }
    for (peer, offence) in offences(&world, 2) {
        assert_eq!((peer, offence), (key(3).node(), Offence::FalseVote));
        seen += 1;
    }
    assert_eq!(seen, 3, "all but its own place");
    pass_on(&mut world, (HUB, 2), &mut strange, &vote(slot, 0, &stranger, 1), 9);
    assert_eq!(offences(&world, 2).last(), Some(&(stranger.node(), Offence::OutOfPlace)));
    assert!(offences(&world, 2).iter().all(|(peer, _)| *peer != world.id(HUB)));
}
