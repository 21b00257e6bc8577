//! What a sender does.

use super::*;

#[test]
fn dials_opens_greets_sends_and_hears_back() {
    let mut node = node(Config::default());
    let id = send(&mut node, 3, 10_000, 0);
    assert_eq!(drain(&mut node), [Output::Dial { peer: PEER }]);
    assert_eq!(input(&mut node, Input::Connected { peer: PEER }, 40), [Output::Open { peer: PEER }]);
    let opened = input(&mut node, Input::Opened { peer: PEER }, 60);
    assert_eq!(opened, [out(hello(SESSION)), out(message(SESSION + 1, 3))]);
    greeted(&mut node, THEIRS);
    assert_eq!(hears(&mut node, ack(SESSION, [SESSION + 1]), 95), [delivered(id, 35)]);
    assert_eq!(node.poll_timeout(), None);
}

#[test]
fn opens_to_a_peer_that_came_by_itself() {
    let mut node = node(Config::default());
    send(&mut node, 1, 10_000, 0);
    drain(&mut node);
    input(&mut node, Input::DialFailed { peer: PEER }, 10);
    assert_eq!(input(&mut node, Input::Connected { peer: PEER }, 20), [Output::Open { peer: PEER }]);
}

#[test]
fn says_nothing_when_it_has_nothing_to_say() {
    let mut node = node(Config::default());
    assert_eq!(input(&mut node, Input::Connected { peer: PEER }, 0), []);
    assert_eq!(input(&mut node, Input::Disconnected { peer: PEER }, 5), []);
    assert_eq!(timeout(&mut node, 1_000_000), []);
    assert!(node.peers.is_empty());
}

#[test]
fn backs_off_between_dials() {
    let mut node = node(Config::default());
    send(&mut node, 1, 60_000, 0);
    assert_eq!(drain(&mut node), [Output::Dial { peer: PEER }]);
    let mut now = 0;
    for wait in [250, 500, 1_000, 2_000, 4_000, 4_000] {
        assert_eq!(input(&mut node, Input::DialFailed { peer: PEER }, now), []);
        assert_eq!(node.poll_timeout(), Some(Mono(now + wait)));
        assert_eq!(timeout(&mut node, now + wait - 1), []);
        now += wait;
        assert_eq!(timeout(&mut node, now), [Output::Dial { peer: PEER }]);
    }
    input(&mut node, Input::Connected { peer: PEER }, now);
    input(&mut node, Input::Disconnected { peer: PEER }, now);
    assert_eq!(node.poll_timeout(), Some(Mono(now + 250)), "a connection ends the back-off");
}

#[test]
fn backs_off_between_streams() {
    let mut node = node(Config::default());
    send(&mut node, 1, 60_000, 0);
    drain(&mut node);
    input(&mut node, Input::Connected { peer: PEER }, 0);
    let mut now = 0;
    for wait in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
        assert_eq!(input(&mut node, Input::Opened { peer: PEER }, now).len(), 2, "hello and the message");
        assert_eq!(input(&mut node, Input::Closed { peer: PEER }, now), []);
        assert_eq!(node.poll_timeout(), Some(Mono(now + wait)));
        now += wait;
        assert_eq!(timeout(&mut node, now), [Output::Open { peer: PEER }]);
    }
    input(&mut node, Input::Opened { peer: PEER }, now);
    input(&mut node, Input::Closed { peer: PEER }, now + 2_000);
    assert_eq!(node.poll_timeout(), Some(Mono(now + 2_100)), "a stream that held ends the back-off");
}

#[test]
fn sends_again_on_a_new_stream_in_order_and_before_new_ones() {
    let mut node = node(window(3, 1_000));
    open(&mut node);
    for _ in 0..4 {
        send(&mut node, 1, 10_000, 0);
    }
    assert_eq!(sent(&drain(&mut node)), [1, 2, 3].map(|n| SESSION + n));
    greeted(&mut node, THEIRS);
    let outputs = hears(&mut node, ack(SESSION, [SESSION + 2]), 1);
    assert_eq!(sent(&outputs), [SESSION + 4]);
    input(&mut node, Input::Closed { peer: PEER }, 2);
    assert_eq!(sent(&timeout(&mut node, 102)), [0; 0]);
    send(&mut node, 1, 10_000, 102);
    let opened = input(&mut node, Input::Opened { peer: PEER }, 110);
    assert_eq!(opened.first(), Some(&out(hello(SESSION))));
    assert_eq!(sent(&opened), [1, 3, 4].map(|n| SESSION + n), "three are in the window, the fifth waits");
    let outputs = hears(&mut node, ack(SESSION, [1, 3, 4].map(|n| SESSION + n)), 130);
    assert_eq!(outputs.first(), Some(&delivered(SendId(1), 130)), "counted from the first transmission");
    assert_eq!(sent(&outputs), [SESSION + 5]);
}

#[test]
fn window_holds_at_its_limit() {
    // Bytes of each message; how many of them are sent at once.
    let steps: [(&[usize], usize); 7] = [
        (&[1, 1, 1, 1], 4),
        (&[1, 1, 1, 1, 1], 4),
        (&[50, 50], 2),
        (&[50, 51], 1),
        (&[101], 1),
        (&[101, 1], 1),
        (&[0, 0, 0, 0, 0], 4),
    ];
    for (sizes, expected) in steps {
        let mut node = node(window(4, 100));
        open(&mut node);
        for &size in sizes {
            send(&mut node, size, 10_000, 0);
        }
        assert_eq!(sent(&drain(&mut node)).len(), expected, "{sizes:?}");
    }
}

#[test]
fn fails_at_the_deadline_with_the_reason() {
    type Script = fn(&mut Messaging);
    let steps: [(&str, Script, SendError); 6] = [
        ("never connected", |_| {}, SendError::PeerUnreachable),
        (
            "dial failed",
            |node| {
                input(node, Input::DialFailed { peer: PEER }, 10);
            },
            SendError::PeerUnreachable,
        ),
        (
            "stream refused",
            |node| {
                input(node, Input::Connected { peer: PEER }, 10);
                input(node, Input::Closed { peer: PEER }, 20);
            },
            SendError::PeerUnreachable,
        ),
        (
            "sent, not answered",
            |node| {
                open(node);
            },
            SendError::Timeout,
        ),
        (
            "sent, stream broken",
            |node| {
                open(node);
                input(node, Input::Closed { peer: PEER }, 20);
            },
            SendError::Timeout,
        ),
        (
            "sent, connection lost",
            |node| {
                open(node);
                input(node, Input::Disconnected { peer: PEER }, 20);
            },
            SendError::PeerUnreachable,
        ),
    ];
    for (name, script, error) in steps {
        let mut node = node(Config::default());
        let id = send(&mut node, 1, 90, 0);
        drain(&mut node);
        script(&mut node);
        assert!(!timeout(&mut node, 89).contains(&failed(id, error)), "{name}: too early");
        assert!(timeout(&mut node, 90).contains(&failed(id, error)), "{name}");
        assert!(node.sends.is_empty() && node.deadlines.is_empty() && node.queued == Load::default());
    }
}

#[test]
fn skips_what_it_gave_up() {
    let mut node = node(Config::default());
    let late = send(&mut node, 1, 50, 0);
    let cancelled = send(&mut node, 1, 10_000, 0);
    send(&mut node, 1, 10_000, 0);
    drain(&mut node);
    node.cancel(cancelled);
    assert_eq!(timeout(&mut node, 50), [failed(late, SendError::PeerUnreachable)]);
    assert_eq!(sent(&open(&mut node)), [SESSION + 3]);
}

#[test]
fn given_up_messages_keep_their_place_until_answered_or_the_stream_ends() {
    let mut node = node(window(2, 1_000));
    open(&mut node);
    let late = send(&mut node, 1, 50, 0);
    let cancelled = send(&mut node, 1, 10_000, 0);
    send(&mut node, 1, 10_000, 0);
    assert_eq!(sent(&drain(&mut node)), [SESSION + 1, SESSION + 2]);
    node.cancel(cancelled);
    assert_eq!(timeout(&mut node, 50), [failed(late, SendError::Timeout)]);
    greeted(&mut node, THEIRS);
    let outputs = hears(&mut node, ack(SESSION, [SESSION + 1]), 60);
    assert_eq!(outputs, [out(message(SESSION + 3, 1))], "a late answer makes room, and nothing else");
    send(&mut node, 1, 10_000, 60);
    assert_eq!(drain(&mut node), [], "the cancelled one may still be with the receiver");
    input(&mut node, Input::Closed { peer: PEER }, 70);
    timeout(&mut node, 170);
    assert_eq!(sent(&input(&mut node, Input::Opened { peer: PEER }, 170)), [SESSION + 3, SESSION + 4]);
}

#[test]
fn refusals_fail_a_message() {
    let mut node = node(Config::default());
    open(&mut node);
    greeted(&mut node, THEIRS);
    let id = send(&mut node, 1, 10_000, 0);
    drain(&mut node);
    let outputs = hears(&mut node, nack(SESSION, SESSION + 1), 5);
    assert_eq!(outputs, [failed(id, SendError::UnknownAgent)]);
    assert_eq!(hears(&mut node, nack(SESSION, SESSION + 1), 5), [], "once");
}

#[test]
fn quotas_hold_at_their_limits() {
    let quota = |messages, bytes, total_messages, total_bytes| Config {
        outbox_messages: messages,
        outbox_bytes: bytes,
        outbox_total_messages: total_messages,
        outbox_total_bytes: total_bytes,
        ..Config::default()
    };
    let other = NodeId([2; 32]);
    // Quotas; what is sent, to whom and how large; whether the last one is taken.
    let steps = [
        (quota(2, 100, 9, 900), vec![(PEER, 1), (PEER, 1)], true),
        (quota(2, 100, 9, 900), vec![(PEER, 1), (PEER, 1), (PEER, 1)], false),
        (quota(2, 100, 9, 900), vec![(PEER, 1), (PEER, 1), (other, 1)], true),
        (quota(2, 100, 9, 900), vec![(PEER, 50), (PEER, 50)], true),
        (quota(2, 100, 9, 900), vec![(PEER, 50), (PEER, 51)], false),
        (quota(2, 100, 2, 900), vec![(PEER, 1), (other, 1)], true),
        (quota(2, 100, 2, 900), vec![(PEER, 1), (other, 1), (other, 1)], false),
        (quota(2, 100, 9, 100), vec![(PEER, 50), (other, 50)], true),
        (quota(2, 100, 9, 100), vec![(PEER, 50), (other, 51)], false),
    ];
    for (config, sends, taken) in steps {
        let mut node = node(config);
        let mut last = Ok(SendId(0));
        for &(to, bytes) in &sends {
            last = node.send(to, None, None, Bytes::from(vec![0; bytes]), 10, at(0));
        }
        assert_eq!(last.is_ok(), taken, "{sends:?}");
        assert!(taken || last == Err(Error::OverQuota));
        timeout(&mut node, 10);
        assert_eq!(node.queued, Load::default(), "{sends:?}");
        send(&mut node, 1, 10, 10);
    }
}

#[test]
fn bodies_hold_at_their_limit() {
    let mut node = node(Config::default());
    send(&mut node, MAX_BODY, 10, 0);
    let body = Bytes::from(vec![0; MAX_BODY + 1]);
    let error = Error::TooLarge { len: MAX_BODY + 1, max: MAX_BODY };
    assert_eq!(node.send(PEER, None, None, body, 10, at(0)), Err(error));
}

#[test]
fn ten_thousand_at_once() {
    let mut node = node(Config::default());
    greeted(&mut node, THEIRS);
    open(&mut node);
    for _ in 0..10_000 {
        send(&mut node, 16, 10_000, 0);
    }
    let mut delivered = 0;
    let mut outputs = drain(&mut node);
    for round in 1.. {
        let numbers = sent(&outputs);
        if numbers.is_empty() {
            break;
        }
        assert!(numbers.len() <= Config::default().window_messages && numbers.is_sorted());
        outputs = hears(&mut node, ack(SESSION, numbers), round);
        delivered += outputs.iter().filter(|output| matches!(output, Output::Event(Event::Delivered { .. }))).count();
    }
    assert_eq!(delivered, 10_000);
    assert_eq!(node.poll_timeout(), None);
}
