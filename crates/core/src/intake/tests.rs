//! Why an envelope is not let in, what follows for whom, and that nobody can be silenced by others.

use mesh_proto::envelope::VERSION;
use mesh_proto::limits::{MAX_ENVELOPE, TTL_MS};
use mesh_proto::{Hlc, Keypair, codec};
use serde_bytes::ByteBuf;

use super::*;
use crate::time::Mono;

const MESH: MeshId = MeshId([7; 32]);
const UNIX: u64 = 1_700_000_000_000;
const SEQ: u64 = UNIX * 1000;
/// Who hands everything over.
const NEIGHBOUR: NodeId = NodeId([0xaa; 32]);

fn at(mono: u64) -> Now {
    Now { mono: Mono(mono), unix: UNIX + mono }
}

fn intake() -> Intake {
    Intake::new(&Config::default(), MESH)
}

fn key(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

/// What author `n` says at 0.
fn said(n: u8, seq: u64) -> Envelope {
    Envelope {
        v: VERSION,
        mesh: MESH,
        kind: Kind::AgentAnnounce,
        from: key(n).node(),
        seq: SEQ + seq,
        clock: Hlc::at(UNIX),
        ttl: TTL_MS,
        payload: Bytes::from_static(b"payload"),
    }
}

fn wire(n: u8, envelope: Envelope) -> Bytes {
    envelope.sign(&key(n)).unwrap().wire().clone()
}

/// `envelope` under a signature of the right form that is nobody's.
fn forged(envelope: Envelope) -> Bytes {
    let body = codec::encode(&envelope, MAX_ENVELOPE).unwrap();
    // The point and a number below the group's order: a verifier has to compute.
    let signature = [key(3).node().0, [1; 32]].concat();
    codec::encode(&(ByteBuf::from(body), ByteBuf::from(signature)), MAX_ENVELOPE).unwrap().into()
}

fn admit(intake: &mut Intake, wire: Bytes, now: u64) -> Result<Verified<Envelope>, Refused> {
    intake.admit(NEIGHBOUR, Topic::Agents, wire, at(now))
}

fn offence(intake: &mut Intake, wire: Bytes, now: u64) -> Option<Offence> {
    admit(intake, wire, now).err().map(|refused| refused.offence)
}

fn ignored(offence: Offence) -> Refused {
    Refused { verdict: Verdict::Ignore, offence, blames: false }
}

/// What a neighbour is told that hands over more than it may.
fn too_much() -> Refused {
    Refused { blames: true, ..ignored(Offence::RateExceeded) }
}

fn rejected(offence: Offence) -> Refused {
    Refused { verdict: Verdict::Reject, offence, blames: true }
}

#[test]
fn an_honest_envelope_is_let_in_once() {
    let mut intake = intake();
    for kind in [Kind::AgentAnnounce, Kind::AgentDiscovery, Kind::MeshHeartbeat, Kind::SwarmBroadcast] {
        let envelope = Envelope { kind, seq: SEQ + kind as u64, ..said(1, 0) };
        let wire = wire(1, envelope.clone());
        let admitted = intake.admit(NEIGHBOUR, kind.topic(), wire.clone(), at(5)).unwrap();
        assert_eq!((&*admitted, admitted.wire()), (&envelope, &wire));
        let again = intake.admit(NEIGHBOUR, kind.topic(), wire, at(5));
        assert_eq!(again, Err(ignored(Offence::Replayed)));
    }
}

#[test]
fn each_refusal_has_its_verdict() {
    let mut intake = intake();
    let of = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = said(1, 0);
        change(&mut envelope);
        wire(1, envelope)
    };
    let cases = [
        ("no CBOR", Bytes::from_static(b"hello"), rejected(Offence::Malformed)),
        ("nothing", Bytes::new(), rejected(Offence::Malformed)),
        ("another version", of(&|e| e.v = 2), rejected(Offence::Malformed)),
        ("past a bound", of(&|e| e.ttl = TTL_MS + 1), rejected(Offence::TooLarge)),
        ("another mesh", of(&|e| e.mesh = MeshId([8; 32])), rejected(Offence::WrongMesh)),
        ("another topic's kind", of(&|e| e.kind = Kind::SwarmBroadcast), rejected(Offence::WrongTopic)),
        ("old", of(&|e| e.ttl = 999), ignored(Offence::Stale)),
        ("from the future", of(&|e| e.clock = Hlc::at(UNIX + 61_001)), rejected(Offence::FromFuture)),
        ("forged", forged(said(1, 0)), rejected(Offence::Forged)),
        ("another's name", forged(said(2, 0)), rejected(Offence::Forged)),
    ];
    for (what, wire, refused) in cases {
        assert_eq!(admit(&mut intake, wire, 1_000), Err(refused), "{what}");
    }
    assert!(admit(&mut intake, wire(1, said(1, 0)), 1_000).is_ok(), "nothing of this is held against the author");
    let on_swarm = intake.admit(NEIGHBOUR, Topic::Swarm, wire(1, said(1, 1)), at(1_000));
    assert_eq!(on_swarm, Err(rejected(Offence::WrongTopic)));
}

#[test]
fn size_holds_at_the_limit_and_one_past() {
    let mut intake = intake();
    let around = wire(1, Envelope { payload: vec![0; 60_000].into(), ..said(1, 0) }).len() - 60_000;
    let largest = wire(1, Envelope { payload: vec![0; MAX_ENVELOPE - around].into(), ..said(1, 0) });
    assert_eq!(largest.len(), 65_536);
    assert!(admit(&mut intake, largest.clone(), 0).is_ok());
    let longer = Bytes::from([&largest[..], &[0]].concat());
    assert_eq!(admit(&mut intake, longer, 0), Err(rejected(Offence::TooLarge)));
}

#[test]
fn age_holds_at_the_limit_and_one_past() {
    for ttl in [0, 1, 5_000, TTL_MS] {
        let mut intake = intake();
        let said = |seq| wire(1, Envelope { ttl, ..said(1, seq) });
        assert_eq!(offence(&mut intake, said(1), ttl), None, "TTL {ttl}");
        assert_eq!(admit(&mut intake, said(2), ttl + 1), Err(ignored(Offence::Stale)), "TTL {ttl}");
    }
}

#[test]
fn clocks_may_be_a_minute_ahead() {
    let mut intake = intake();
    let ahead = |seq, millis| wire(1, Envelope { clock: Hlc::at(UNIX + millis), ..said(1, seq) });
    assert_eq!(offence(&mut intake, ahead(1, 60_000), 0), None);
    assert_eq!(admit(&mut intake, ahead(2, 60_001), 0), Err(rejected(Offence::FromFuture)));
    let utmost = wire(1, Envelope { clock: Hlc(u64::MAX), ..said(1, 3) });
    assert_eq!(admit(&mut intake, utmost, 0), Err(rejected(Offence::FromFuture)));
}

#[test]
fn the_replay_window_lets_each_number_in_once_in_any_order() {
    let mut intake = Intake::new(&generous(), MESH);
    // (number, expected)
    let steps = [
        (2_000, None),
        (2_000, Some(Offence::Replayed)),
        (1_990, None),
        (977, None), // the last of the window of 1024
        (976, Some(Offence::Replayed)),
        (2_001, None),
        (977, Some(Offence::Replayed)),
        (978, None),
        (1_990, Some(Offence::Replayed)),
        (10_000, None),
        (2_000, Some(Offence::Replayed)),
    ];
    for (seq, expected) in steps {
        assert_eq!(offence(&mut intake, wire(1, said(1, seq)), 0), expected, "{seq}");
    }
    assert_eq!(offence(&mut intake, wire(2, said(2, 1)), 0), None, "each author has a window of its own");
}

/// So much that no quota is reached but the one in question.
fn generous() -> Config {
    let much = Quota { burst: 1_000_000, period_ms: 1_000 };
    Config {
        per_peer: much,
        broadcasts: much,
        announcements: much,
        queries: much,
        heartbeats: much,
        max_senders: 100,
        ..Config::default()
    }
}

#[test]
fn a_forger_charges_nobody_but_itself() {
    let mut intake = intake();
    let forger = NodeId([0xff; 32]);
    let mut refused = Vec::new();
    for n in 0..10_000 {
        let forged = forged(said(1, n % 1_500));
        refused.push(intake.admit(forger, Topic::Agents, forged, at(0)).unwrap_err());
    }
    // What its bucket holds was looked at, the rest was not.
    assert!(refused[..5_000].iter().all(|r| *r == rejected(Offence::Forged)));
    assert!(refused[5_000..].iter().all(|r| *r == too_much()));

    for n in 0..20 {
        assert_eq!(offence(&mut intake, wire(1, said(1, n)), 0), None, "its whole burst is the author's own");
    }
    let handed = intake.admit(forger, Topic::Agents, wire(2, said(2, 0)), at(0));
    assert_eq!(handed, Err(too_much()), "others who hand over are not the forger");
}

#[test]
fn forgeries_move_no_window_and_take_no_room() {
    let mut intake = Intake::new(&Config { max_senders: 3, ..generous() }, MESH);
    assert_eq!(offence(&mut intake, forged(said(1, 1_000_000)), 0), Some(Offence::Forged));
    for n in 2..50 {
        assert_eq!(offence(&mut intake, forged(said(n, 1)), 0), Some(Offence::Forged));
    }
    assert_eq!(offence(&mut intake, wire(1, said(1, 1)), 0), None, "1,000,000 did not push it out");
    assert_eq!(offence(&mut intake, wire(2, said(2, 1)), 0), None);
}

#[test]
fn checks_go_from_cheap_to_dear() {
    // Each envelope is wrong in two ways; the first in the order is what it is refused for.
    let mut intake = Intake::new(&Config { announcements: Quota { burst: 1, period_ms: 10_000 }, ..generous() }, MESH);
    let first = wire(1, said(1, 5));
    assert_eq!(offence(&mut intake, first.clone(), 0), None);
    let of = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = said(1, 6);
        change(&mut envelope);
        forged(envelope)
    };
    let other_mesh = MeshId([8; 32]);
    let order = [
        ("form before mesh", of(&|e| (e.v, e.mesh) = (2, other_mesh)), Offence::Malformed),
        ("mesh before topic", of(&|e| (e.mesh, e.kind) = (other_mesh, Kind::SwarmBroadcast)), Offence::WrongMesh),
        ("topic before time", of(&|e| (e.kind, e.clock) = (Kind::SwarmBroadcast, Hlc(0))), Offence::WrongTopic),
        ("time before quota", of(&|e| e.clock = Hlc(0)), Offence::Stale),
        ("quota before replay", first.clone(), Offence::RateExceeded),
        ("quota before signature", of(&|_| {}), Offence::RateExceeded),
    ];
    for (what, wire, expected) in order {
        assert_eq!(offence(&mut intake, wire, 0), Some(expected), "{what}");
    }
    assert_eq!(offence(&mut intake, first, 10_000), Some(Offence::Replayed), "once there is quota");
    let before_signature = forged(said(1, 5));
    assert_eq!(offence(&mut intake, before_signature, 10_000), Some(Offence::Replayed), "replay before signature");
    assert_eq!(offence(&mut intake, of(&|_| {}), 10_000), Some(Offence::Forged), "the signature comes last");
}

#[test]
fn whoever_hands_over_too_much_is_not_listened_to() {
    let mut intake = intake();
    let junk = Bytes::from_static(b"junk");
    let other = NodeId([0xbb; 32]);
    for _ in 0..5_000 {
        assert_eq!(offence(&mut intake, junk.clone(), 0), Some(Offence::Malformed));
    }
    assert_eq!(admit(&mut intake, wire(1, said(1, 1)), 0), Err(too_much()));
    let by_another = intake.admit(other, Topic::Agents, wire(1, said(1, 1)), at(0));
    assert!(by_another.is_ok(), "the same by another neighbour");
    assert_eq!(offence(&mut intake, wire(1, said(1, 2)), 1), None, "2,000 a second in the long run");
    assert_eq!(offence(&mut intake, wire(1, said(1, 3)), 1), None);
    assert_eq!(offence(&mut intake, wire(1, said(1, 4)), 1), Some(Offence::RateExceeded));
}

#[test]
fn a_quiet_author_is_heard_through_a_neighbour_that_passes_on_many_loud_ones() {
    let mut intake = intake();
    let swarm = |n: u8, seq: u64| wire(n, Envelope { kind: Kind::SwarmBroadcast, ..said(n, seq) });
    let mut loud = |n: u8, seq: u64| intake.admit(NEIGHBOUR, Topic::Swarm, swarm(n, seq), at(0));
    for n in 1..=10 {
        for seq in 0..400 {
            assert!(loud(n, seq).is_ok(), "{n} {seq}");
        }
    }
    // The neighbour's quota is used up, by no fault of its own.
    assert_eq!(loud(1, 400), Err(ignored(Offence::RateExceeded)));
    for seq in 0..=100 {
        assert!(loud(11, seq).is_ok(), "{seq}");
    }
    assert_eq!(loud(11, 101), Err(ignored(Offence::RateExceeded)), "loud by now");
    let mut quiet = (12..=255).flat_map(|n| (0..100).map(move |seq| (n, seq)));
    let all = quiet.by_ref().take(899).all(|(n, seq)| loud(n, seq).is_ok());
    assert!(all, "the reserve is a thousand");
    assert_eq!(quiet.next().map(|(n, seq)| loud(n, seq)), Some(Err(too_much())));
}

#[test]
fn a_thousand_announcements_a_second_are_mostly_refused_and_trouble_nobody() {
    let mut intake = intake();
    let (mut flood, mut honest) = (0, 0);
    for n in 0..10_000_u64 {
        let now = n; // one each millisecond, for ten seconds
        let said_now = |envelope: Envelope| Envelope { clock: Hlc::at(UNIX + now), ..envelope };
        match admit(&mut intake, wire(1, said_now(said(1, n))), now) {
            Ok(_) => flood += 1,
            Err(refused) => assert_eq!(refused, ignored(Offence::RateExceeded), "at {now}"),
        }
        if n % 2_000 == 0 {
            // Through the same neighbour, of the same kind.
            assert_eq!(offence(&mut intake, wire(2, said_now(said(2, n))), now), None, "at {now}");
            honest += 1;
        }
    }
    assert_eq!(flood, 20 + 19, "a burst, and one every half second");
    assert_eq!(honest, 5);
}

#[test]
fn a_neighbour_brings_only_so_many_new_authors() {
    let mut intake = Intake::new(&Config { newcomers: Quota { burst: 2, period_ms: 1_000 }, ..generous() }, MESH);
    for n in 10..20 {
        assert_eq!(offence(&mut intake, forged(said(n, 1)), 0), Some(Offence::Forged), "names made up charge nothing");
    }
    assert_eq!(offence(&mut intake, wire(1, said(1, 1)), 0), None);
    assert_eq!(offence(&mut intake, wire(2, said(2, 1)), 0), None);
    assert_eq!(admit(&mut intake, wire(3, said(3, 1)), 0), Err(ignored(Offence::RateExceeded)));
    assert_eq!(offence(&mut intake, forged(said(4, 1)), 0), Some(Offence::RateExceeded), "before the signature");
    assert_eq!(offence(&mut intake, wire(1, said(1, 2)), 0), None, "those that were heard before go on");
    let by_another = intake.admit(NodeId([0xbb; 32]), Topic::Agents, wire(3, said(3, 1)), at(0));
    assert!(by_another.is_ok(), "another neighbour may bring the third");
    assert_eq!(offence(&mut intake, wire(4, said(4, 1)), 500), None, "and this one a fourth, later");
}

#[test]
fn quotas_are_per_kind() {
    let mut intake = intake();
    let mut seq = 0;
    let mut admitted = |intake: &mut Intake, kind: Kind| {
        let mut admitted = 0;
        loop {
            seq += 1;
            let wire = wire(1, Envelope { kind, ..said(1, seq) });
            match intake.admit(NEIGHBOUR, kind.topic(), wire, at(0)) {
                Ok(_) => admitted += 1,
                Err(refused) => break assert_eq!(refused, ignored(Offence::RateExceeded)),
            }
        }
        admitted
    };
    let admitted = [Kind::AgentAnnounce, Kind::AgentDiscovery, Kind::MeshHeartbeat, Kind::SwarmBroadcast]
        .map(|kind| admitted(&mut intake, kind));
    assert_eq!(admitted, [20, 20, 20, 400]);
}

#[test]
fn senders_are_bounded_and_those_that_are_in_stay() {
    let mut intake = Intake::new(&Config { max_senders: 2, ..generous() }, MESH);
    assert_eq!(offence(&mut intake, wire(1, said(1, 1)), 0), None);
    assert_eq!(offence(&mut intake, wire(2, said(2, 1)), 0), None);
    assert_eq!(admit(&mut intake, wire(3, said(3, 1)), 0), Err(ignored(Offence::RateExceeded)));
    assert_eq!(offence(&mut intake, wire(1, said(1, 2)), 1), None);

    // Authors are forgotten when everything that they said has expired.
    intake.prune(at(360_000));
    let late = |n, seq| wire(n, Envelope { clock: Hlc::at(UNIX + 360_000), ..said(n, seq) });
    assert_eq!(offence(&mut intake, late(3, 1), 360_000), Some(Offence::RateExceeded));
    intake.prune(at(360_001));
    assert_eq!(offence(&mut intake, late(3, 1), 360_001), None, "the second is forgotten");
    assert_eq!(offence(&mut intake, late(1, 2), 360_001), Some(Offence::Replayed), "the first is not");
}

#[test]
fn what_is_forgotten_has_expired() {
    // The last thing that an author says, by a clock as far ahead as it may be, and everything pruned all the time.
    let mut intake = intake();
    let last = wire(1, Envelope { clock: Hlc::at(UNIX + 60_000), ..said(1, 1) });
    assert_eq!(offence(&mut intake, last.clone(), 0), None);
    for now in (0..400_000).step_by(1_000) {
        intake.prune(at(now));
        assert!(offence(&mut intake, last.clone(), now).is_some(), "let in again at {now}");
    }
}

#[test]
fn announcements_outside_of_gossip_are_verified_and_charge_nobody() {
    let mut intake = intake();
    let admit = |intake: &Intake, wire: Bytes, now: u64| intake.admit_announcement(wire, at(now)).map(drop);
    let good = wire(1, said(1, 1));
    for _ in 0..100 {
        assert_eq!(admit(&intake, good.clone(), 0), Ok(()), "again and again: the directory takes the newest");
    }
    assert_eq!(offence(&mut intake, good.clone(), 0), None, "and by gossip too");
    assert_eq!(admit(&intake, good.clone(), 0), Ok(()));

    let of = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = said(1, 1);
        change(&mut envelope);
        wire(1, envelope)
    };
    let cases = [
        ("no CBOR", Bytes::from_static(b"hello"), Offence::Malformed),
        ("too long", vec![0; MAX_ENVELOPE + 1].into(), Offence::TooLarge),
        ("another mesh", of(&|e| e.mesh = MeshId([8; 32])), Offence::WrongMesh),
        ("a heartbeat", of(&|e| e.kind = Kind::MeshHeartbeat), Offence::OutOfPlace),
        ("from the future", of(&|e| e.clock = Hlc::at(UNIX + 60_001)), Offence::FromFuture),
        ("forged", forged(said(1, 1)), Offence::Forged),
    ];
    for (what, wire, offence) in cases {
        assert_eq!(admit(&intake, wire, 0), Err(offence), "{what}");
    }
    assert_eq!(admit(&intake, good.clone(), TTL_MS), Ok(()));
    assert_eq!(admit(&intake, good, TTL_MS + 1), Err(Offence::Stale));
}
