//! What one host does, step by step.

use super::*;

#[test]
fn the_first_heartbeat_comes_after_the_interval_and_the_delay() {
    let mut overlay = overlay(&Params::leaf());
    assert_eq!(overlay.poll_timeout(), Mono(800));
    overlay.handle_timeout(Mono(800));
    assert_eq!(overlay.poll_timeout(), Mono(1500));
}

#[test]
fn a_mesh_keeps_to_its_marks() {
    // Neighbours, links after they have subscribed, links after a heartbeat.
    let table = [(1, 1, 1), (5, 5, 5), (6, 6, 6), (20, 6, 6)];
    for (neighbours, subscribed, maintained) in table {
        let mut overlay = with_neighbours(&Params::leaf(), neighbours);
        assert_eq!(mesh(&overlay).len(), subscribed, "{neighbours} neighbours");
        pass(&mut overlay, 800);
        assert_eq!(mesh(&overlay).len(), maintained, "{neighbours} neighbours");
    }
    // Below the low mark it is filled up to what is wanted.
    let mut overlay = with_neighbours(&Params::leaf(), 20);
    let first = mesh(&overlay)[0];
    overlay.disconnected(HostId(first), Mono(10));
    drain(&mut overlay);
    overlay.handle_timeout(Mono(800));
    assert_eq!(mesh(&overlay).len(), 8);
    assert_eq!(sent(&mut overlay, |rpc| rpc.graft == [Topic::Swarm]).len(), 3);
}

#[test]
fn who_asks_is_taken_in_up_to_the_high_mark_and_the_excess_is_given_up() {
    let mut overlay = with_neighbours(&Params::leaf(), 20);
    for peer in 1..=20 {
        overlay.receive(HostId(peer), &graft(), Mono(10));
    }
    assert_eq!(mesh(&overlay).len(), 12);
    assert_eq!(sent(&mut overlay, |rpc| !rpc.prune.is_empty()).len(), 8, "refused");
    // Whoever this host dialled is taken in above it.
    overlay.connected(HostId(30), true, LOOPBACK, Mono(20));
    overlay.receive(HostId(30), &subscribe(), Mono(20));
    overlay.receive(HostId(30), &graft(), Mono(20));
    assert_eq!(mesh(&overlay).len(), 13);
    drain(&mut overlay);
    overlay.handle_timeout(Mono(800));
    assert_eq!(mesh(&overlay).len(), 8);
    assert!(mesh(&overlay).contains(&30), "outbound links are kept");
    assert_eq!(sent(&mut overlay, |rpc| !rpc.prune.is_empty()).len(), 5);
}

#[test]
fn outbound_links_are_sought() {
    let mut overlay = with_neighbours(&Params::leaf(), 6);
    for peer in [30, 31, 32] {
        overlay.connected(HostId(peer), true, LOOPBACK, Mono(10));
        overlay.receive(HostId(peer), &subscribe(), Mono(10));
    }
    assert_eq!(mesh(&overlay), [1, 2, 3, 4, 5, 6]);
    overlay.handle_timeout(Mono(800));
    assert_eq!(mesh(&overlay).iter().filter(|peer| **peer >= 30).count(), 2);
}

#[test]
fn who_does_not_listen_is_not_taken_in() {
    let mut overlay = overlay(&Params::leaf());
    overlay.connected(HostId(1), false, LOOPBACK, Mono(0));
    overlay.receive(HostId(1), &graft(), Mono(0));
    assert!(mesh(&overlay).is_empty());
    assert_eq!(overlay.publish(message("a"), Mono(0)), Err(PublishError::NoPeers));
    overlay.receive(HostId(1), &subscribe(), Mono(1));
    assert_eq!(mesh(&overlay), [1]);
    assert!(drain(&mut overlay).contains(&Output::Listener { peer: HostId(1), topic: Topic::Swarm }));
    let leave =
        Parts { subscriptions: vec![Subscription { topic: Topic::Swarm, subscribe: false }], ..Parts::default() };
    overlay.receive(HostId(1), &leave.into(), Mono(2));
    assert!(mesh(&overlay).is_empty());
    assert_eq!(overlay.publish(message("a"), Mono(3)), Err(PublishError::NoPeers));
}

#[test]
fn own_messages_flood() {
    let mut overlay = with_neighbours(&Params::leaf(), 20);
    assert_eq!(overlay.publish(message("a"), Mono(1)), Ok(()));
    assert_eq!(sent(&mut overlay, messages), (1..=20).collect::<Vec<_>>());
    assert_eq!(overlay.publish(message("a"), Mono(2)), Err(PublishError::Duplicate));
    // Two invalid messages are 800 below nothing, and the publish threshold is at 500.
    rejected(&mut overlay, 3, "b", 3);
    rejected(&mut overlay, 3, "c", 3);
    assert_eq!(overlay.publish(message("d"), Mono(4)), Ok(()));
    assert!(!sent(&mut overlay, messages).contains(&3));
    // Without flooding, to as many as the mesh is wide.
    let params = Params { flood_publish: false, ..Params::leaf() };
    let mut overlay = with_neighbours(&params, 20);
    assert_eq!(overlay.publish(message("a"), Mono(1)), Ok(()));
    assert_eq!(sent(&mut overlay, messages).len(), 8);
}

#[test]
fn messages_are_passed_on_when_they_are_accepted() {
    // The verdict, and who is sent the message by it.
    let table: [(Verdict, &[u32]); 3] = [(Verdict::Accept, &[3, 5, 6]), (Verdict::Ignore, &[]), (Verdict::Reject, &[])];
    for (verdict, passed_on) in table {
        let mut overlay = with_neighbours(&Params::leaf(), 6);
        let message = message("a");
        let rpc = Rpc::from(message.clone());
        overlay.receive(HostId(1), &rpc, Mono(1));
        let output = Output::Message { from: HostId(1), message: message.clone() };
        assert_eq!(drain(&mut overlay), [output], "waits for the verdict");
        overlay.receive(HostId(2), &rpc, Mono(2));
        overlay.receive(HostId(4), &Parts { idontwant: vec![message.id()], ..Parts::default() }.into(), Mono(2));
        assert!(drain(&mut overlay).is_empty());
        overlay.validated(message.id(), HostId(1), verdict, Mono(3));
        // Not to 1 and 2, who sent it, nor to 4, who does not want it.
        assert_eq!(sent(&mut overlay, messages), passed_on, "{verdict:?}");
        overlay.receive(HostId(3), &rpc, Mono(4));
        overlay.validated(message.id(), HostId(1), verdict, Mono(4));
        assert!(drain(&mut overlay).is_empty(), "once");
    }
}

#[test]
fn large_messages_are_refused_beforehand() {
    let mut overlay = with_neighbours(&Params::leaf(), 6);
    overlay.receive(HostId(1), &large(1).into(), Mono(1));
    let refused = |rpc: &Rpc| rpc.idontwant == [large(1).id()];
    assert_eq!(sent(&mut overlay, refused), [2, 3, 4, 5, 6]);
    overlay.receive(HostId(2), &large(1).into(), Mono(1));
    assert!(drain(&mut overlay).is_empty(), "for the first copy only");
}

#[test]
fn rejected_messages_cost_links_then_gossip_then_the_voice() {
    let mut overlay = with_neighbours(&Params::leaf(), 6);
    // Invalid messages, the score, whether it is in the mesh after a heartbeat, whether it is heard.
    let table = [(1, -200.0, false, true), (2, -800.0, false, true), (3, -1800.0, false, false)];
    for (count, score, linked, heard) in table {
        rejected(&mut overlay, 1, &format!("bad {count}"), 1);
        assert_eq!(overlay.score(HostId(1)), score);
        overlay.heartbeat(Mono(1));
        assert_eq!(mesh(&overlay).contains(&1), linked);
        drain(&mut overlay);
        let probe = message(&format!("good {count}"));
        overlay.receive(HostId(1), &probe.into(), Mono(2));
        assert_eq!(!drain(&mut overlay).is_empty(), heard);
        overlay.receive(HostId(1), &ihave([count]), Mono(2));
        assert!(drain(&mut overlay).is_empty(), "below the gossip threshold nothing is asked of it");
    }
    // Everyone who brought it is as guilty, before and after the verdict.
    let bad = message("bad");
    for (peer, at) in [(2, 1), (3, 2)] {
        overlay.receive(HostId(peer), &bad.clone().into(), Mono(at));
    }
    overlay.validated(bad.id(), HostId(2), Verdict::Reject, Mono(3));
    overlay.receive(HostId(4), &bad.into(), Mono(4));
    for (peer, score) in [(2, -200.0), (3, -200.0), (4, -200.0), (5, 0.0)] {
        assert_eq!(overlay.score(HostId(peer)), score, "{peer}");
    }
}

#[test]
fn scores_decay_and_outlive_the_link() {
    let mut overlay = with_neighbours(&Params::leaf(), 6);
    rejected(&mut overlay, 1, "bad", 1);
    pass(&mut overlay, 10_000);
    assert!((overlay.score(HostId(1)) + 200.0 * 0.9 * 0.9).abs() < 1e-9);
    let before = overlay.score(HostId(1));
    overlay.disconnected(HostId(1), Mono(10_000));
    pass(&mut overlay, 300_000);
    assert_eq!(overlay.score(HostId(1)), before, "does not decay while it is away");
    overlay.connected(HostId(1), false, LOOPBACK, Mono(300_000));
    assert_eq!(overlay.score(HostId(1)), before);
    overlay.disconnected(HostId(1), Mono(300_000));
    pass(&mut overlay, 920_000);
    assert_eq!(overlay.score(HostId(1)), 0.0, "forgotten");
    // A good score goes with the link.
    let good = message("good");
    overlay.receive(HostId(2), &good.clone().into(), Mono(920_000));
    overlay.validated(good.id(), HostId(2), Verdict::Accept, Mono(920_000));
    // P1 is at its cap in both topics, P2 is 1.
    assert!((overlay.score(HostId(2)) - 1.2).abs() < 1e-9);
    overlay.disconnected(HostId(2), Mono(920_001));
    assert_eq!(overlay.score(HostId(2)), 0.0);
}

#[test]
fn many_at_one_address_are_held_against_all() {
    // The address, hosts there, the score of each.
    let table = [(9, 64, 0.0), (9, 66, -20.0), (LOOPBACK, 66, 0.0)];
    for (address, hosts, score) in table {
        let mut overlay = overlay(&Params::leaf());
        (1..=hosts).for_each(|peer| overlay.connected(HostId(peer), false, address, Mono(0)));
        assert_eq!(overlay.score(HostId(1)), score, "{hosts} at {address}");
        assert_eq!(overlay.score(HostId(hosts)), score, "{hosts} at {address}");
        (65..=hosts).for_each(|peer| overlay.disconnected(HostId(peer), Mono(1)));
        assert_eq!(overlay.score(HostId(1)), 0.0);
    }
}

#[test]
fn who_is_given_up_is_left_alone_for_a_while() {
    let mut overlay = with_neighbours(&Params::leaf(), 6);
    let prune = Parts { prune: vec![Prune { topic: Topic::Swarm, backoff_s: Some(60) }], ..Parts::default() };
    overlay.receive(HostId(1), &prune.into(), Mono(0));
    pass(&mut overlay, 60_000);
    assert_eq!(mesh(&overlay), [2, 3, 4, 5, 6], "not asked");
    drain(&mut overlay);
    // One heartbeat more than that.
    pass(&mut overlay, 61_500);
    assert_eq!(mesh(&overlay), [1, 2, 3, 4, 5, 6]);
    assert_eq!(sent(&mut overlay, |rpc| !rpc.graft.is_empty()), [1]);
}

#[test]
fn who_asks_too_early_is_refused_and_punished() {
    // After how long it asks; breaches in all. Within ten seconds they are two.
    let table = [(1_000, 2.0), (9_999, 2.0), (10_000, 1.0), (59_999, 1.0), (60_000, 0.0)];
    for (after, breaches) in table {
        let mut overlay = with_neighbours(&Params::leaf(), 6);
        overlay.prune(HostId(1), Topic::Swarm, Mono(0));
        overlay.meshes[index(Topic::Swarm)].remove(HostId(1));
        drain(&mut overlay);
        // Six breaches are overlooked.
        overlay.judge(HostId(1), |stats, params| stats.misbehaved(6, &params.scores));
        overlay.receive(HostId(1), &graft(), Mono(after));
        assert_eq!(overlay.score(HostId(1)), -10.0 * breaches * breaches, "after {after} ms");
        assert_eq!(sent(&mut overlay, |rpc| !rpc.prune.is_empty()).len(), usize::from(breaches > 0.0));
        assert_eq!(mesh(&overlay).contains(&1), breaches == 0.0);
    }
}

#[test]
fn a_broken_promise_is_a_breach() {
    let mut overlay = with_neighbours(&Params::leaf(), 6);
    overlay.judge(HostId(1), |stats, params| stats.misbehaved(6, &params.scores));
    let kept = message("kept");
    overlay.receive(HostId(1), &ihave([1, 2, kept.id().0]), Mono(100));
    assert_eq!(sent(&mut overlay, |rpc| rpc.iwant.len() == 3), [1]);
    overlay.receive(HostId(2), &ihave([1, 2]), Mono(100));
    assert!(drain(&mut overlay).is_empty(), "asked of one only");
    overlay.receive(HostId(3), &kept.into(), Mono(200));
    overlay.heartbeat(Mono(3_100));
    assert_eq!(overlay.score(HostId(1)), 0.0);
    overlay.heartbeat(Mono(3_101));
    assert_eq!(overlay.score(HostId(1)), -40.0);
}

#[test]
fn a_poor_mesh_is_bettered() {
    let params = Params { opportunistic_graft_ticks: 2, ..Params::leaf() };
    let mut overlay = with_neighbours(&params, 10);
    assert_eq!(mesh(&overlay), [1, 2, 3, 4, 5, 6]);
    for text in ["a", "b"] {
        let message = message(text);
        overlay.receive(HostId(9), &message.clone().into(), Mono(1));
        overlay.validated(message.id(), HostId(9), Verdict::Accept, Mono(1));
    }
    overlay.heartbeat(Mono(800));
    assert_eq!(mesh(&overlay), [1, 2, 3, 4, 5, 6]);
    overlay.heartbeat(Mono(1500));
    assert_eq!(mesh(&overlay), [1, 2, 3, 4, 5, 6, 9]);
}

#[test]
fn an_rpc_that_is_altered_for_one_stays_as_it_is_for_others() {
    let rpc = Rpc::from(message("a"));
    let mut altered = rpc.clone();
    altered.messages.clear();
    altered.graft.push(Topic::Agents);
    assert_eq!(rpc, Rpc::from(message("a")));
    assert!(altered.messages.is_empty());
}

#[test]
fn topics_are_as_long_as_their_names() {
    for topic in Topic::ALL {
        assert_eq!(topic.name(&mesh_proto::MeshId([7; 32])).len(), rpc::topic_len(topic));
    }
}
