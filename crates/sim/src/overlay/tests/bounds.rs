//! Whatever neighbours do, what is kept stays bounded.

use super::*;

#[test]
fn duplicates_are_known_for_the_window() {
    // After how long a message comes again; whether it is taken for new.
    let table = [(1, false), (359_999, false), (360_000, true)];
    for (after, new) in table {
        let mut overlay = with_neighbours(&Params::leaf(), 2);
        overlay.receive(HostId(1), &message("a").into(), Mono(0));
        drain(&mut overlay);
        overlay.receive(HostId(2), &message("a").into(), Mono(after));
        assert_eq!(!drain(&mut overlay).is_empty(), new, "after {after} ms");
    }
}

#[test]
fn at_its_bound_the_oldest_is_forgotten() {
    let mut recent = Recent::new(1000, 3, Mono(0));
    for id in 1..=3 {
        recent.insert(MessageId(id), (), Mono(id));
        recent.insert(MessageId(id), (), Mono(500));
    }
    assert_eq!((recent.len(), recent.contains(MessageId(1))), (3, true));
    recent.insert(MessageId(4), (), Mono(4));
    assert_eq!((recent.len(), recent.contains(MessageId(1))), (3, false));
    recent.expire(Mono(1002));
    assert_eq!((recent.len(), recent.contains(MessageId(2))), (2, false));
    recent.expire(Mono(2000));
    assert_eq!(recent.len(), 0);
}

#[test]
fn unwanted_messages_are_bounded_and_forgotten() {
    let mut overlay = with_neighbours(&Params::leaf(), 1);
    let unwanted = |ids: std::ops::Range<u64>| -> Rpc {
        Parts { idontwant: ids.map(MessageId).collect(), ..Parts::default() }.into()
    };
    for round in 0..30 {
        overlay.receive(HostId(1), &unwanted(round * 500..(round + 1) * 500), Mono(1));
    }
    assert!(!overlay.muted(HostId(1)));
    assert_eq!(overlay.peers[&HostId(1)].unwanted.len(), MAX_UNWANTED);
    overlay.heartbeat(Mono(3_002));
    assert_eq!(overlay.peers[&HostId(1)].unwanted.len(), 0);
}

#[test]
fn announcements_are_bounded() {
    let mut overlay = with_neighbours(&Params::leaf(), 1);
    // The eleventh before the heartbeat is not looked at.
    for round in 0..12 {
        overlay.receive(HostId(1), &ihave([round]), Mono(1));
    }
    assert_eq!(sent(&mut overlay, |rpc| !rpc.iwant.is_empty()).len(), 10);
    overlay.heartbeat(Mono(2));
    // No more than one list holds are asked for.
    let most = Params::leaf().max_ids;
    for round in 0..9 {
        overlay.receive(HostId(1), &ihave(round * 100 + 100..(round + 1) * 100 + 100), Mono(3));
    }
    let asked: usize = drain(&mut overlay)
        .iter()
        .map(|output| match output {
            Output::Send { rpc, .. } => rpc.iwant.len(),
            Output::Message { .. } | Output::Listener { .. } => 0,
        })
        .sum();
    assert_eq!(asked, most);
    assert_eq!(overlay.promises.len(), most + 10);
}

#[test]
fn a_message_is_handed_out_three_times() {
    let mut overlay = with_neighbours(&Params::leaf(), 2);
    let message = message("a");
    overlay.publish(message.clone(), Mono(0)).unwrap();
    drain(&mut overlay);
    let iwant: Rpc = Parts { iwant: vec![message.id(); 5], ..Parts::default() }.into();
    overlay.receive(HostId(1), &iwant, Mono(1));
    assert_eq!(sent(&mut overlay, messages), [1, 1, 1]);
    overlay.receive(HostId(2), &iwant, Mono(1));
    assert_eq!(sent(&mut overlay, messages), [2, 2, 2]);
}

#[test]
fn what_is_cached_is_told_of_for_three_heartbeats_and_handed_out_for_six() {
    let mut overlay = with_neighbours(&Params::leaf(), 20);
    let iwant = |id| -> Rpc { Parts { iwant: vec![id], ..Parts::default() }.into() };
    let message = message("a");
    overlay.publish(message.clone(), Mono(0)).unwrap();
    for heartbeat in 1..=7 {
        drain(&mut overlay);
        overlay.receive(HostId(heartbeat), &iwant(message.id()), Mono(1));
        assert_eq!(sent(&mut overlay, messages).len(), usize::from(heartbeat <= 6), "before heartbeat {heartbeat}");
        overlay.heartbeat(Mono(1));
        let told = sent(&mut overlay, |rpc| !rpc.ihave.is_empty()).len();
        assert_eq!(told, if heartbeat <= 3 { 8 } else { 0 }, "in heartbeat {heartbeat}");
    }
}

#[test]
fn rpcs_past_the_limits_end_gossip_on_the_link() {
    let mut parts = Parts { messages: (0..200).map(|n| message(&n.to_string())).collect(), ..Parts::default() };
    // An IHAVE of 740 ids takes 16,372 bytes of the 16,384; each more takes 22.
    let fitting = [parts.clone().into(), ihave(0..740)];
    parts.messages.push(message("one more"));
    let huge = Message::new(Topic::Swarm, vec![0; 80_000].into());
    let unfit: [Rpc; 4] = [parts.into(), ihave(0..741), huge.into(), ihave(0..741)];
    let mut overlay = with_neighbours(&Params::leaf(), 1);
    for rpc in &fitting {
        overlay.receive(HostId(1), rpc, Mono(1));
        assert!(!drain(&mut overlay).is_empty());
    }
    for rpc in &unfit {
        assert!(!overlay.muted(HostId(1)));
        overlay.receive(HostId(1), rpc, Mono(1));
        assert!(drain(&mut overlay).is_empty(), "lost as a whole");
    }
    assert!(overlay.muted(HostId(1)));
    overlay.receive(HostId(1), &message("late").into(), Mono(2));
    assert!(drain(&mut overlay).is_empty());
    overlay.publish(message("unheard"), Mono(3)).unwrap();
    assert!(drain(&mut overlay).is_empty());
}

#[test]
fn those_who_come_and_go_leave_bounded_traces() {
    let mut overlay = with_neighbours(&Params::leaf(), 1);
    let prune = |topic| Prune { topic, backoff_s: Some(u64::MAX) };
    let prune: Rpc = Parts { prune: Topic::ALL.map(prune).to_vec(), ..Parts::default() }.into();
    for peer in 10..6_000 {
        overlay.connected(HostId(peer), false, peer, Mono(1));
        overlay.receive(HostId(peer), &prune, Mono(1));
        overlay.disconnected(HostId(peer), Mono(1));
        drain(&mut overlay);
    }
    assert_eq!(overlay.retained.len(), scores::MAX_RETAINED);
    let expected = scores::MAX_RETAINED + 2 * mesh::MAX_BACKOFFS;
    // And one neighbour in both meshes, at one address.
    assert_eq!(overlay.retained(), expected + 4);
    pass(&mut overlay, 3_700_000);
    drain(&mut overlay);
    assert_eq!(overlay.retained(), 4);
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = Cache::new(&Params::leaf());
    let numbered = |n: usize| Message::new(Topic::Swarm, n.to_be_bytes().to_vec().into());
    for n in 0..=cache::MAX_CACHED {
        cache.put(numbered(n), true);
    }
    assert_eq!(cache.len(), cache::MAX_CACHED);
    assert!(cache.hand_out(numbered(0).id(), HostId(1)).is_none());
    assert!(cache.hand_out(numbered(1).id(), HostId(1)).is_some());
}
