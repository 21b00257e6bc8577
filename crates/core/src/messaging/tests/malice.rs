//! What a peer or a driver can do wrong.

use super::*;

#[test]
fn frames_before_a_hello_and_of_another_mesh() {
    let wrong = Frame::Hello { mesh: MeshId([8; 32]), session: THEIRS };
    let other = [message(THEIRS + 1, 1), ack(SESSION, [SESSION + 1]), nack(SESSION, SESSION + 1)];
    let mut node = node(Config::default());
    open(&mut node);
    send(&mut node, 1, 10_000, 0);
    drain(&mut node);
    for frame in other.clone() {
        assert_eq!(hears(&mut node, frame, 0), [offence(Offence::OutOfPlace)]);
    }
    assert_eq!(hears(&mut node, wrong, 0), [offence(Offence::WrongMesh)]);
    for frame in other {
        assert_eq!(hears(&mut node, frame, 0), []);
    }
    greeted(&mut node, THEIRS);
    assert_eq!(received(&hears(&mut node, message(THEIRS + 1, 1), 0)), [THEIRS + 1]);
}

#[test]
fn answers_to_what_was_never_sent() {
    let mut node = node(window(1, 100));
    open(&mut node);
    greeted(&mut node, THEIRS);
    for _ in 0..2 {
        send(&mut node, 1, 10_000, 0);
    }
    assert_eq!(sent(&drain(&mut node)), [SESSION + 1]);
    // Number 2 waits; 0 is the run's name; the others were never given out.
    for number in [0, 1, SESSION - 1, SESSION, SESSION + 2, SESSION + 3, u64::MAX] {
        for frame in [ack(SESSION, [number]), nack(SESSION, number)] {
            assert_eq!(hears(&mut node, frame, 0), [offence(Offence::OutOfPlace)], "{number}");
        }
    }
    for session in [0, SESSION - 1, SESSION + 1, u64::MAX] {
        assert_eq!(hears(&mut node, ack(session, [SESSION + 1]), 0), [], "another run's");
        assert_eq!(hears(&mut node, nack(session, SESSION + 1), 0), []);
    }
    let outputs = hears(&mut node, ack(SESSION, [SESSION + 9, SESSION + 1, SESSION + 9]), 0);
    let expected = [delivered(SendId(1), 0), offence(Offence::OutOfPlace), out(message(SESSION + 2, 1))];
    assert_eq!(outputs, expected, "what is right in it counts");
}

#[test]
fn answers_to_what_went_to_somebody_else() {
    let mut node = node(Config::default());
    open(&mut node);
    send(&mut node, 1, 10_000, 0);
    drain(&mut node);
    let from = NodeId([2; 32]);
    for frame in [hello(THEIRS), ack(SESSION, [SESSION + 1]), nack(SESSION, SESSION + 1)] {
        assert_eq!(input(&mut node, Input::Frame { from, frame }, 0), []);
    }
    assert_eq!(node.sends.len(), 1);
}

#[test]
fn huge_numbers_and_repeats_cost_nothing() {
    let mut node = node(window(4, 100));
    input(&mut node, Input::Connected { peer: PEER }, 0);
    greeted(&mut node, 0);
    assert_eq!(received(&hears(&mut node, message(u64::MAX, 1), 0)), [u64::MAX]);
    for number in 1..10_000 {
        hears(&mut node, message(number, 1), 0);
    }
    input(&mut node, Input::Opened { peer: PEER }, 0);
    assert_eq!(timeout(&mut node, 0), [out(ack(0, 1..=8))], "two windows of answers at most");
    greeted(&mut node, 100);
    assert_eq!(received(&hears(&mut node, message(101, 1), 0)), [101], "its next run is not held to that");
    greeted(&mut node, u64::MAX);
    assert_eq!(hears(&mut node, message(u64::MAX, 1), 0), [], "no number is above that run's name");
}

#[test]
fn new_runs_do_not_get_round_the_window() {
    let mut node = node(window(4, 100));
    input(&mut node, Input::Connected { peer: PEER }, 0);
    let mut taken_in = 0;
    for session in 1..1_000 {
        hears(&mut node, hello(session * 1_000), 0);
        for number in 1..10 {
            taken_in += received(&hears(&mut node, message(session * 1_000 + number, 1), 0)).len();
        }
    }
    assert_eq!(taken_in, 4);
    assert_eq!(node.held, Load { messages: 4, bytes: 4 });
}

#[test]
fn strangers_leave_nothing_behind() {
    let mut node = node(Config::default());
    for n in 0..5_000_u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let from = NodeId(id);
        input(&mut node, Input::Connected { peer: from }, 0);
        for frame in [hello(THEIRS), message(THEIRS + 1, 1)] {
            input(&mut node, Input::Frame { from, frame }, 0);
        }
        node.taken(from, THEIRS, THEIRS + 1, at(0));
        input(&mut node, Input::Disconnected { peer: from }, 0);
        timeout(&mut node, u64::from(n) * 1_000);
    }
    assert!(node.peers.len() <= 1_025, "{}", node.peers.len());
    assert_eq!(node.held, Load::default());
    assert!(node.wakes.len() <= 1 && node.answering.len() <= 1);
}

#[test]
fn a_driver_that_repeats_itself() {
    let mut node = node(Config::default());
    let peer = PEER;
    for stray in
        [Input::Opened { peer }, Input::Closed { peer }, Input::Disconnected { peer }, Input::DialFailed { peer }]
    {
        assert_eq!(input(&mut node, stray, 0), []);
    }
    assert!(node.peers.is_empty());
    send(&mut node, 1, 10_000, 0);
    drain(&mut node);
    open(&mut node);
    assert_eq!(input(&mut node, Input::Connected { peer }, 1), []);
    assert_eq!(input(&mut node, Input::DialFailed { peer }, 1), []);
    let again = input(&mut node, Input::Opened { peer }, 1);
    assert_eq!(again, [out(hello(SESSION)), out(message(SESSION + 1, 1))], "another stream, from the beginning");
}
