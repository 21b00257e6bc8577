//! What a receiver does.

use mesh_proto::limits::MAX_ACKS;

use super::*;

const FIRST: u64 = THEIRS + 1;

/// A node with an open stream to PEER, which has greeted.
fn ready(config: Config) -> Messaging {
    let mut node = node(config);
    open(&mut node);
    greeted(&mut node, THEIRS);
    node
}

#[test]
fn delivers_once_and_acknowledges_when_taken() {
    let mut node = ready(Config::default());
    assert_eq!(received(&hears(&mut node, message(FIRST, 1), 10)), [FIRST]);
    assert_eq!(hears(&mut node, message(FIRST, 1), 11), [], "a repeat before it is taken");
    assert_eq!(node.poll_timeout(), None, "nothing to say yet");
    node.taken(PEER, THEIRS, FIRST, at(20));
    assert_eq!(node.poll_timeout(), Some(Mono(20)), "at once");
    assert_eq!(timeout(&mut node, 20), [out(ack(THEIRS, [FIRST]))]);
    node.taken(PEER, THEIRS, FIRST, at(21));
    assert_eq!(timeout(&mut node, 21), [], "it cannot be taken twice");
    assert_eq!(hears(&mut node, message(FIRST, 1), 30), [], "a repeat after it was taken");
    assert_eq!(timeout(&mut node, 30), [out(ack(THEIRS, [FIRST]))]);
}

#[test]
fn accepts_gaps_and_not_what_lies_in_them() {
    let mut node = ready(Config::default());
    assert_eq!(received(&hears(&mut node, message(FIRST + 5, 1), 0)), [FIRST + 5]);
    assert_eq!(received(&hears(&mut node, message(FIRST + 4, 1), 0)), [0; 0]);
    assert_eq!(received(&hears(&mut node, message(FIRST + 6, 1), 0)), [FIRST + 6]);
}

#[test]
fn answers_leave_together_and_split_at_the_limit() {
    for (count, frames) in [(MAX_ACKS, vec![MAX_ACKS]), (MAX_ACKS + 1, vec![MAX_ACKS, 1])] {
        let mut node = ready(window(2_000, 1_000));
        for number in (FIRST..).take(count) {
            hears(&mut node, message(number, 0), 0);
            node.taken(PEER, THEIRS, number, at(0));
        }
        let mut sizes = Vec::new();
        for output in timeout(&mut node, 0) {
            let Output::Frame { frame: Frame::Ack { numbers, .. }, .. } = output else { panic!("{output:?}") };
            sizes.push(numbers.len());
        }
        assert_eq!(sizes, frames);
    }
}

#[test]
fn answers_need_a_stream_and_no_dial() {
    let mut node = node(Config::default());
    input(&mut node, Input::Connected { peer: PEER }, 0);
    greeted(&mut node, THEIRS);
    hears(&mut node, message(FIRST, 1), 0);
    node.taken(PEER, THEIRS, FIRST, at(5));
    assert_eq!(drain(&mut node), [Output::Open { peer: PEER }]);
    assert_eq!(timeout(&mut node, 5), []);
    assert_eq!(input(&mut node, Input::Opened { peer: PEER }, 9), [out(hello(SESSION))]);
    assert_eq!(node.poll_timeout(), Some(Mono(9)));
    assert_eq!(timeout(&mut node, 9), [out(ack(THEIRS, [FIRST]))]);

    hears(&mut node, message(FIRST + 1, 1), 10);
    input(&mut node, Input::Disconnected { peer: PEER }, 11);
    node.taken(PEER, THEIRS, FIRST + 1, at(12));
    assert_eq!(timeout(&mut node, 10_000), [], "no dial for an answer");
    input(&mut node, Input::Connected { peer: PEER }, 10_000);
    greeted(&mut node, THEIRS);
    assert_eq!(hears(&mut node, message(FIRST + 1, 1), 10_000), [Output::Open { peer: PEER }], "asked again");
}

#[test]
fn answers_that_a_stream_may_have_lost_go_out_again() {
    let mut node = ready(window(3, 1_000));
    for number in FIRST..FIRST + 5 {
        hears(&mut node, message(number, 1), 0);
        node.taken(PEER, THEIRS, number, at(0));
        timeout(&mut node, 0);
    }
    input(&mut node, Input::Closed { peer: PEER }, 1);
    assert_eq!(timeout(&mut node, 101), [Output::Open { peer: PEER }]);
    input(&mut node, Input::Opened { peer: PEER }, 110);
    // A peer waits for no more than a window of them.
    assert_eq!(timeout(&mut node, 110), [out(ack(THEIRS, FIRST + 2..FIRST + 5))]);
}

#[test]
fn refusals_are_repeated_as_refusals() {
    let mut node = ready(Config::default());
    hears(&mut node, message(FIRST, 1), 0);
    node.refuse(PEER, THEIRS, FIRST, Refusal::UnknownAgent, at(0));
    assert_eq!(timeout(&mut node, 0), [out(nack(THEIRS, FIRST))]);
    input(&mut node, Input::Disconnected { peer: PEER }, 1);
    open(&mut node);
    greeted(&mut node, THEIRS);
    assert_eq!(received(&hears(&mut node, message(FIRST, 1), 2)), [0; 0]);
    assert_eq!(timeout(&mut node, 2), [out(nack(THEIRS, FIRST))], "an acknowledgement would be a lie");
}

#[test]
fn a_new_run_begins_anew_and_an_old_one_is_not_heard() {
    let mut node = ready(Config::default());
    let newer = THEIRS + 1_000;
    assert_eq!(received(&hears(&mut node, message(FIRST, 1), 0)), [FIRST]);
    greeted(&mut node, newer);
    assert_eq!(hears(&mut node, message(FIRST, 1), 1), [], "a late frame of the old run");
    assert_eq!(hears(&mut node, message(FIRST + 1, 1), 1), []);
    assert_eq!(received(&hears(&mut node, message(newer + 1, 1), 2)), [newer + 1]);
    greeted(&mut node, THEIRS);
    assert_eq!(hears(&mut node, message(FIRST + 2, 1), 3), [], "its hello changes nothing");
    assert_eq!(received(&hears(&mut node, message(newer + 2, 1), 3)), [newer + 2]);
    node.taken(PEER, THEIRS, FIRST, at(4));
    assert_eq!(timeout(&mut node, 4), [], "nobody waits for that answer");
    node.taken(PEER, newer, newer + 1, at(5));
    assert_eq!(timeout(&mut node, 5), [out(ack(newer, [newer + 1]))]);
}

#[test]
fn window_holds_at_its_limit() {
    // Bytes of each message; how many of them are let in.
    let steps: [(&[usize], usize); 6] =
        [(&[1, 1, 1, 1], 4), (&[1, 1, 1, 1, 1], 4), (&[50, 50], 2), (&[50, 51], 1), (&[101], 1), (&[101, 0], 1)];
    for (sizes, expected) in steps {
        let mut node = ready(window(4, 100));
        let frames = (FIRST..).zip(sizes).map(|(number, size)| message(number, *size));
        let outputs: Vec<_> = frames.flat_map(|frame| hears(&mut node, frame, 0)).collect();
        assert_eq!(received(&outputs).len(), expected, "{sizes:?}");
        let offences = outputs.iter().filter(|output| **output == offence(Offence::WindowExceeded)).count();
        assert_eq!(offences, sizes.len() - expected, "{sizes:?}");
    }
}

#[test]
fn after_a_drop_all_is_dropped_until_a_new_stream() {
    let mut node = ready(window(4, 100));
    for number in FIRST..FIRST + 4 {
        hears(&mut node, message(number, 1), 0);
    }
    assert_eq!(hears(&mut node, message(FIRST + 4, 1), 0), [offence(Offence::WindowExceeded)]);
    node.taken(PEER, THEIRS, FIRST, at(0));
    assert_eq!(drain(&mut node), [], "more than half is held");
    assert_eq!(hears(&mut node, message(FIRST + 5, 1), 0), [], "would leave a gap");
    greeted(&mut node, THEIRS);
    assert_eq!(hears(&mut node, message(FIRST + 4, 1), 0), [], "there is no room");
    node.taken(PEER, THEIRS, FIRST + 1, at(0));
    assert_eq!(drain(&mut node), [Output::Reset { peer: PEER }]);
    node.taken(PEER, THEIRS, FIRST + 2, at(0));
    assert_eq!(drain(&mut node), [], "once");
    greeted(&mut node, THEIRS);
    assert_eq!(received(&hears(&mut node, message(FIRST + 4, 1), 0)), [FIRST + 4]);
    assert_eq!(received(&hears(&mut node, message(FIRST + 5, 1), 0)), [FIRST + 5]);
}

#[test]
fn what_an_old_run_left_takes_up_room_but_is_no_offence() {
    let mut node = ready(window(4, 100));
    for number in FIRST..FIRST + 4 {
        hears(&mut node, message(number, 1), 0);
    }
    let newer = THEIRS + 1_000;
    greeted(&mut node, newer);
    assert_eq!(hears(&mut node, message(newer + 1, 1), 0), []);
    node.taken(PEER, THEIRS, FIRST, at(0));
    node.taken(PEER, THEIRS, FIRST + 1, at(0));
    assert_eq!(drain(&mut node), [Output::Reset { peer: PEER }]);
    greeted(&mut node, newer);
    assert_eq!(received(&hears(&mut node, message(newer + 1, 1), 0)), [newer + 1]);
    assert_eq!(received(&hears(&mut node, message(newer + 2, 1), 0)), [newer + 2]);
    assert_eq!(hears(&mut node, message(newer + 3, 1), 0), []);
}

#[test]
fn all_peers_together_are_bounded() {
    let mut node = node(Config { inbox_total_messages: 4, ..window(2, 100) });
    let peers = [1, 2, 3].map(|n| NodeId([n; 32]));
    let says = |from, frame| Input::Frame { from, frame };
    for peer in peers {
        input(&mut node, Input::Connected { peer }, 0);
        input(&mut node, says(peer, hello(THEIRS)), 0);
    }
    let mut taken_in = Vec::new();
    for peer in peers {
        for number in [FIRST, FIRST + 1] {
            taken_in.extend(received(&input(&mut node, says(peer, message(number, 1)), 0)));
        }
    }
    assert_eq!(taken_in, [FIRST, FIRST + 1, FIRST, FIRST + 1], "none of the third peer's");
    let resets = |node: &mut Messaging| {
        let is_reset = |output: &Output| matches!(output, Output::Reset { .. });
        drain(node).into_iter().filter(is_reset).collect::<Vec<_>>()
    };
    node.taken(peers[0], THEIRS, FIRST, at(0));
    assert_eq!(resets(&mut node), []);
    node.taken(peers[1], THEIRS, FIRST, at(0));
    assert_eq!(resets(&mut node), [Output::Reset { peer: peers[2] }]);
    input(&mut node, says(peers[2], hello(THEIRS)), 0);
    assert_eq!(received(&input(&mut node, says(peers[2], message(FIRST, 1)), 0)), [FIRST]);
}

#[test]
fn remembers_peers_up_to_the_limit_and_forgets_the_most_silent() {
    let mut node = node(Config { max_peers: 2, ..Config::default() });
    let peers = [1, 2, 3].map(|n| NodeId([n; 32]));
    for (peer, now) in peers.into_iter().zip(0..) {
        input(&mut node, Input::Connected { peer }, now);
        for frame in [hello(THEIRS), message(FIRST, 1)] {
            input(&mut node, Input::Frame { from: peer, frame }, now);
        }
        node.taken(peer, THEIRS, FIRST, at(now));
    }
    assert_eq!(node.peers.len(), 3, "connected peers are not forgotten");
    for (peer, now) in [(peers[1], 10), (peers[0], 11), (peers[2], 12)] {
        input(&mut node, Input::Disconnected { peer }, now);
        timeout(&mut node, now + 1_000);
    }
    assert_eq!(node.peers.keys().copied().collect::<Vec<_>>(), [peers[0], peers[2]]);
    assert_eq!(node.resting.len(), 2);
}

#[test]
fn a_peer_with_untaken_messages_is_not_forgotten() {
    let mut node = node(Config { max_peers: 0, ..Config::default() });
    open(&mut node);
    greeted(&mut node, THEIRS);
    hears(&mut node, message(FIRST, 1), 0);
    input(&mut node, Input::Disconnected { peer: PEER }, 0);
    timeout(&mut node, 1_000);
    assert_eq!(node.peers.len(), 1);
    node.taken(PEER, THEIRS, FIRST, at(2_000));
    assert!(node.peers.is_empty());
    assert_eq!(node.held, Load::default());
}
