//! What is on the disk: it comes back as it was, or not at all.

use mesh_consensus::instance::{Output, Saved};
use mesh_proto::codec;
use mesh_proto::decision::{Choice, Message};

use crate::support::{Core, Net, Seat, Table, drain, reject, said};

with_both_cores!(
    it_comes_back_as_it_was,
    a_damaged_one_is_refused,
    what_is_past_its_bounds_is_refused,
    nothing_is_said_that_is_not_kept,
);

/// More than any of these takes.
const MAX: usize = 64 * 1024;

/// All that is kept in a slot of several rounds.
fn samples<A: Core>() -> Vec<Saved> {
    let mut samples = Vec::new();
    for seat in [Seat::WILLING, Seat::UNWILLING, Seat::Undecided] {
        let mut net = Net::<A>::new(Table::owned(4), &[seat, seat, Seat::WILLING, Seat::WILLING]);
        net.propose();
        net.run(60_000);
        let outputs = net.hosts.into_iter().flat_map(|host| host.outputs);
        samples.extend(outputs.filter_map(|output| match output {
            Output::Persist(saved) => Some(*saved),
            Output::Say(_) | Output::Ask(_) | Output::Judge(_) | Output::Guilty(_) | Output::Decided(_) => None,
        }));
    }
    assert!(samples.iter().any(|saved| saved.decided.is_some() && !saved.polkas.is_empty() && saved.votes.len() > 2));
    samples
}

fn it_comes_back_as_it_was<A: Core>() {
    for saved in samples::<A>() {
        let bytes = codec::encode(&saved, MAX).unwrap();
        assert_eq!(codec::decode::<Saved>(&bytes, MAX), Ok(saved));
        assert!(bytes.len() < 8 * 1024, "{} bytes for four voters", bytes.len());
    }
}

/// What is cut off or overwritten is noticed, but for a bit within a hash or signature: the disk has its own checks.
fn a_damaged_one_is_refused<A: Core>() {
    let saved = samples::<A>().into_iter().max_by_key(|saved| saved.votes.len()).unwrap();
    let bytes = codec::encode(&saved, MAX).unwrap();
    for len in 0..bytes.len() {
        assert!(codec::decode::<Saved>(&bytes[..len], MAX).is_err(), "cut to {len} bytes");
    }
    assert!(codec::decode::<Saved>(&[&bytes[..], &[0]].concat(), MAX).is_err(), "a byte too many");
    assert!(codec::decode::<Saved>(&bytes, bytes.len() - 1).is_err(), "longer than it may be");
    for place in (0..bytes.len()).step_by(3) {
        let mut other = bytes.clone();
        other[place] ^= 1 << (place % 8);
        assert_ne!(codec::decode::<Saved>(&other, MAX), Ok(saved.clone()), "byte {place}");
        other[place..].fill(0);
        // Zeroes in place of the end of a certificate's last signature can be one.
        if place + 64 < bytes.len() {
            assert_ne!(codec::decode::<Saved>(&other, MAX), Ok(saved.clone()), "zeroes from byte {place}");
        }
    }
}

fn what_is_past_its_bounds_is_refused<A: Core>() {
    let right = samples::<A>().pop().unwrap();
    let refused = |change: fn(&mut Saved)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        codec::decode::<Saved>(&codec::encode(&wrong, MAX).unwrap(), MAX).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|saved| saved.votes[0].vote.round = u32::MAX));
    assert!(refused(|saved| saved.votes[0].vote.voter = 100));
    assert!(refused(|saved| saved.votes.iter_mut().for_each(|signed| signed.vote.ballot = Some(reject()))));
    assert!(refused(|saved| saved.proposes[0].propose.pol_round = Some(u32::MAX)));
    assert!(!refused(|saved| saved.votes = vec![saved.votes[0].clone(); 8]));
    assert!(refused(|saved| saved.votes = vec![saved.votes[0].clone(); 9]));
    assert!(refused(|saved| saved.decided.as_mut().unwrap().signatures = Vec::new().into()));
}

/// Whatever a voter says of its own is in what it has kept last before.
fn nothing_is_said_that_is_not_kept<A: Core>() {
    for choice in [Choice::Approve, Choice::Reject, Choice::Abstain] {
        let seat = Seat::Judges(choice, 100);
        let mut net = Net::<A>::new(Table::owned(4), &[seat, seat, Seat::WILLING, Seat::WILLING]);
        net.propose();
        net.run(60_000);
        for host in &net.hosts {
            let mut disk: Option<&Saved> = None;
            for output in &host.outputs {
                match output {
                    Output::Persist(saved) => disk = Some(saved),
                    Output::Say(message) => match &**message {
                        Message::Vote(vote) => assert!(disk.unwrap().votes.contains(vote), "{vote:?}"),
                        Message::Propose(word) => assert!(disk.unwrap().led >= Some(word.propose.round)),
                        Message::Decision(certificate) => assert_eq!(disk.unwrap().decided.as_ref(), Some(certificate)),
                        Message::Polka(_)
                        | Message::Claim(_)
                        | Message::Release(_)
                        | Message::Evidence(_)
                        | Message::Status(_)
                        | Message::Epochs(_)
                        | Message::EpochsAfter(_)
                        | Message::Others(_) => {}
                    },
                    Output::Decided(certificate) => assert_eq!(disk.unwrap().decided.as_ref(), Some(&**certificate)),
                    Output::Ask(_) | Output::Judge(_) | Output::Guilty(_) => {}
                }
            }
            // And it says all of it once more when it comes back.
            let disk = disk.unwrap();
            let voter = disk.votes[0].vote.voter;
            let mut back = net.table.restore::<A>(voter, disk.clone(), net.now);
            let outputs = drain(&mut back);
            for vote in &disk.votes {
                assert!(said(&outputs).contains(&&Message::Vote(vote.clone())));
            }
        }
    }
}
