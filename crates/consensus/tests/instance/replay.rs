//! I13: what was said in one slot means nothing in another one, and nothing new in its own.

use mesh_consensus::instance::{Output, Refused};
use mesh_proto::decision::{Choice, Evidence, Message, Outcome};

use crate::support::{Core, Millis, Net, Seat, Table, drain};

with_both_cores!(
    nothing_counts_in_another_slot,
    nothing_is_new_in_a_slot_that_has_ended,
    nothing_counts_twice_while_it_goes_on,
);

/// Runs in which all kinds of messages are said.
fn runs<A: Core>() -> Vec<Net<A>> {
    let slow = |millis| Seat::Judges(Choice::Approve, millis);
    let mut runs = Vec::new();
    for seats in [
        [Seat::WILLING, slow(600), slow(900), Seat::WILLING],
        [Seat::UNWILLING, Seat::UNWILLING, Seat::WILLING, Seat::WILLING],
        [Seat::Undecided, Seat::Undecided, Seat::WILLING, Seat::WILLING],
    ] {
        let mut net = Net::new(Table::owned(4), &seats);
        net.propose();
        runs.push(net);
    }
    let mut net = Net::willing(Table::resource(4));
    net.start_all();
    net.claim(&[0, 2]);
    runs.push(net);
    runs
}

/// All that was said, what a traitor might add, and when it was over.
fn recorded<A: Core>(net: &mut Net<A>) -> (Vec<Message>, Millis) {
    net.run(60_000);
    let outcome = net.outcome();
    let mut messages = net.heard.clone();
    let said: Vec<_> = net.said().map(|(_, message)| message.clone()).collect();
    messages.extend(said);
    let table = &net.table;
    messages.push(Message::Decision(table.certificate(&[0, 1, 2], 0, outcome)));
    let digest = outcome.digest(&table.id());
    messages.push(Message::Polka(table.polka(&[0, 1, 2], 0, digest)));
    messages.push(Message::Evidence(
        Evidence::new(table.precommit(0, 9, None), table.precommit(0, 9, Some(digest))).unwrap(),
    ));
    (messages, net.now)
}

fn nothing_counts_in_another_slot<A: Core>() {
    for mut net in runs::<A>() {
        let (messages, now) = recorded(&mut net);
        for elsewhere in net.table.elsewhere() {
            for voter in net.voters() {
                let mut fresh = elsewhere.voter::<A>(voter);
                let before = format!("{fresh:?}");
                for message in &messages {
                    match fresh.handle(message.clone(), now) {
                        Err(Refused::OtherSlot) => {}
                        Ok(()) => assert!(matches!(message, Message::Status(_)), "{message:?} was taken"),
                        Err(refused) => panic!("{message:?}: {refused}"),
                    }
                }
                assert_eq!(drain(&mut fresh), []);
                assert_eq!(format!("{fresh:?}"), before, "{:?}", elsewhere.slot);
            }
        }
    }
}

fn nothing_is_new_in_a_slot_that_has_ended<A: Core>() {
    for mut net in runs::<A>() {
        let (messages, now) = recorded(&mut net);
        let outcome = net.outcome();
        let contrary = match outcome {
            Outcome::Lapsed => Outcome::Rejected,
            Outcome::Approved(_) | Outcome::Granted { .. } | Outcome::Rejected => Outcome::Lapsed,
        };
        // Not even a certificate of another outcome, which takes more traitors than there may be.
        let contrary = Message::Decision(net.table.certificate(&[0, 1, 2], 5, contrary));
        for host in &mut net.hosts {
            let instance = host.instance.as_mut().unwrap();
            let before = (instance.status(), instance.tally(), instance.decided().cloned(), instance.round());
            for message in messages.iter().chain([&contrary]) {
                assert_eq!(instance.handle(message.clone(), now), Ok(()), "{message:?}");
            }
            assert_eq!(drain(instance), []);
            let after = (instance.status(), instance.tally(), instance.decided().cloned(), instance.round());
            assert_eq!(after, before);
        }
    }
}

/// Everything comes three times.
fn nothing_counts_twice_while_it_goes_on<A: Core>() {
    let mut once = Vec::new();
    for (copies, net) in [1, 3].into_iter().flat_map(|copies| runs::<A>().into_iter().map(move |net| (copies, net))) {
        let mut net = net;
        net.copies = copies;
        net.run(60_000);
        net.outcome();
        let done: Vec<Vec<Output>> = net.hosts.iter().map(|host| host.outputs.clone()).collect();
        once.push(done);
    }
    let thrice = once.split_off(once.len() / 2);
    assert_eq!(thrice, once);
}
