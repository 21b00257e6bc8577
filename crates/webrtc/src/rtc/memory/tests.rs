use std::task::{Context, Poll, Waker};

use super::super::{
    Candidate, Channel as _, ChannelEvent, HIGH_WATER, Kind, LOW_WATER, MAX_EARLY, MAX_UNREAD, MESSAGE_OVERHEAD,
    Peer as _, PeerEvent, Rtc as _, RtcError, State,
};
use super::{CANDIDATES, Channel, Ice, MAX_MESSAGE, Network, Peer, Rtc};

/// All that a peer connection tells now.
fn drain(peer: &mut Peer) -> Vec<PeerEvent<Channel>> {
    let mut cx = Context::from_waker(Waker::noop());
    std::iter::from_fn(|| match peer.poll(&mut cx) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    })
    .collect()
}

/// All that a channel tells now.
fn heard(channel: &mut Channel) -> Vec<ChannelEvent> {
    let mut cx = Context::from_waker(Waker::noop());
    std::iter::from_fn(|| match channel.poll(&mut cx) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    })
    .collect()
}

fn states(peer: &mut Peer) -> Vec<State> {
    let state = |event| if let PeerEvent::State(state) = event { Some(state) } else { None };
    drain(peer).into_iter().filter_map(state).collect()
}

fn described(peer: &mut Peer, kind: Kind) -> String {
    peer.describe(kind);
    let Some(PeerEvent::Described(sdp)) = drain(peer).pop() else { panic!("no description") };
    sdp
}

fn candidates(peer: &mut Peer) -> Vec<Candidate> {
    let candidate = |event| if let PeerEvent::Candidate(candidate) = event { Some(candidate) } else { None };
    drain(peer).into_iter().filter_map(candidate).collect()
}

/// Signals all but the candidates; gives those.
fn signal(near: &mut Peer, far: &mut Peer) -> (Vec<Candidate>, Vec<Candidate>) {
    let offer = described(near, Kind::Offer);
    near.set_local(Kind::Offer, &offer);
    far.set_remote(Kind::Offer, &offer);
    let answer = described(far, Kind::Answer);
    far.set_local(Kind::Answer, &answer);
    near.set_remote(Kind::Answer, &answer);
    (candidates(near), candidates(far))
}

fn pair(network: &Network) -> (Rtc, Peer, Peer) {
    let (near, far) = (network.rtc(), network.rtc());
    let (a, b) = network.connected(&near, &far).unwrap();
    (near, a, b)
}

/// A channel that `near` has opened, at both ends, after both have told that it is open.
fn channel(near: &mut Peer, far: &mut Peer) -> (Channel, Channel) {
    let mut ours = near.create_channel("").unwrap();
    let Some(PeerEvent::Channel { mut channel, .. }) = drain(far).pop() else { panic!("no channel") };
    assert_eq!(heard(&mut ours), [ChannelEvent::Open]);
    assert_eq!(heard(&mut channel), [ChannelEvent::Open]);
    (ours, channel)
}

fn message(bytes: &'static [u8]) -> ChannelEvent {
    ChannelEvent::Message(bytes.into())
}

#[test]
fn two_connect_by_descriptions_and_one_candidate_each() {
    let network = Network::new();
    let (near, far) = (network.rtc(), network.rtc());
    let (mut a, mut b) = (near.open().unwrap(), far.open().unwrap());
    let mut init = a.create_channel("init").unwrap();
    init.send(b"early").unwrap();
    let (ours, theirs) = signal(&mut a, &mut b);
    assert_eq!((ours.len(), theirs.len()), (CANDIDATES, CANDIDATES));

    b.add_candidate(&ours[1]);
    assert!(drain(&mut b).is_empty(), "one side is not enough");
    a.add_candidate(&theirs[0]);
    assert_eq!(states(&mut a), [State::Connected]);
    let mut events = drain(&mut b).into_iter();
    assert!(matches!(events.next(), Some(PeerEvent::State(State::Connected))));
    let Some(PeerEvent::Channel { label, mut channel }) = events.next() else { panic!("no channel") };
    assert_eq!(label, "init");
    assert_eq!(heard(&mut channel), [ChannelEvent::Open, message(b"early")]);
    assert_eq!(heard(&mut init), [ChannelEvent::Open]);
}

#[test]
fn an_offer_without_a_channel_has_nothing_to_connect() {
    let mut peer = Network::new().rtc().open().unwrap();
    let offer = described(&mut peer, Kind::Offer);
    assert!(!offer.contains("m=application"));
    peer.set_local(Kind::Offer, &offer);
    assert!(matches!(drain(&mut peer)[..], [PeerEvent::Failed(RtcError::Failed(_))]));
}

#[test]
fn candidates_are_lost_when_told_to_and_before_the_remote_description() {
    let network = Network::new();
    let (mut a, mut b) = (network.rtc().open().unwrap(), network.rtc().open().unwrap());
    let _init = a.create_channel("init").unwrap();
    let (ours, theirs) = signal(&mut a, &mut b);
    let mut stranger = network.rtc().open().unwrap();
    stranger.add_candidate(&ours[0]);
    network.lose_candidates(1);
    b.add_candidate(&ours[0]);
    a.add_candidate(&theirs[0]);
    assert!(states(&mut a).is_empty());
    b.add_candidate(&ours[1]);
    assert_eq!(states(&mut a), [State::Connected]);
}

#[test]
fn ice_and_another_s_fingerprint_fail() {
    for (ice, tamper, expected) in
        [(Ice::Never, false, None), (Ice::Fails, false, Some(State::Failed)), (Ice::Works, true, Some(State::Failed))]
    {
        let network = Network::new();
        network.ice(ice);
        let (mut a, mut b) = (network.rtc().open().unwrap(), network.rtc().open().unwrap());
        let _init = a.create_channel("init").unwrap();
        let offer = described(&mut a, Kind::Offer);
        a.set_local(Kind::Offer, &offer);
        b.set_remote(Kind::Offer, &if tamper { offer.replace("sha-256 00", "sha-256 01") } else { offer });
        let answer = described(&mut b, Kind::Answer);
        b.set_local(Kind::Answer, &answer);
        a.set_remote(Kind::Answer, &answer);
        let (ours, theirs) = (candidates(&mut a), candidates(&mut b));
        a.add_candidate(&theirs[0]);
        b.add_candidate(&ours[0]);
        assert_eq!(states(&mut a).pop(), expected);
        assert_eq!(states(&mut b).pop(), expected);
    }
}

#[test]
fn held_messages_wait_and_low_is_told_once() {
    let network = Network::new();
    let (_, mut a, mut b) = pair(&network);
    let (mut ours, mut theirs) = channel(&mut a, &mut b);
    network.hold();
    let size = (HIGH_WATER - LOW_WATER) / 2;
    let count = HIGH_WATER / size;
    for _ in 0..count {
        ours.send(&vec![7; size]).unwrap();
    }
    assert_eq!(ours.buffered(), HIGH_WATER);
    assert_eq!(network.pass(1), 1);
    assert_eq!(heard(&mut theirs).len(), 1);
    assert!(heard(&mut ours).is_empty());
    assert_eq!(network.pass(1), 1);
    assert_eq!((ours.buffered(), heard(&mut ours)), (LOW_WATER, vec![ChannelEvent::Low]));
    network.release();
    assert_eq!((ours.buffered(), heard(&mut ours)), (0, vec![]));
    assert_eq!(heard(&mut theirs).len(), count - 1);
}

#[test]
fn a_close_comes_after_what_was_sent_before() {
    let network = Network::new();
    let (_, mut a, mut b) = pair(&network);
    let (mut ours, mut theirs) = channel(&mut a, &mut b);
    network.hold();
    ours.send(b"last").unwrap();
    drop(ours);
    assert!(heard(&mut theirs).is_empty());
    network.release();
    assert_eq!(heard(&mut theirs), [message(b"last"), ChannelEvent::Closed]);
    assert_eq!(theirs.send(b"late"), Err(RtcError::Closed));
    assert_eq!(network.channels(), 0);
}

#[test]
fn the_end_of_a_peer_connection_ends_its_channels_and_the_remote() {
    let network = Network::new();
    let (_, mut a, mut b) = pair(&network);
    let (mut ours, mut theirs) = channel(&mut a, &mut b);
    let _unseen = a.create_channel("").unwrap();
    a.close();
    assert_eq!((heard(&mut ours), heard(&mut theirs)), (vec![ChannelEvent::Closed], vec![ChannelEvent::Closed]));
    assert_eq!(states(&mut b), [State::Closed]);
    assert!(b.create_channel("").is_err());
    assert_eq!((network.peers(), network.channels()), (0, 0));
}

#[test]
fn links_break_mend_and_fail() {
    let network = Network::new();
    let (node, mut a, mut b) = pair(&network);
    let (mut ours, mut theirs) = channel(&mut a, &mut b);
    node.interrupt();
    ours.send(b"later").unwrap();
    assert_eq!((states(&mut a), states(&mut b)), (vec![State::Disconnected], vec![State::Disconnected]));
    assert!(heard(&mut theirs).is_empty());
    node.restore();
    assert_eq!((states(&mut a), states(&mut b)), (vec![State::Connected], vec![State::Connected]));
    assert_eq!(heard(&mut theirs), [message(b"later")]);
    node.fail();
    assert_eq!((states(&mut a), states(&mut b)), (vec![State::Failed], vec![State::Failed]));
    assert_eq!(heard(&mut ours), [ChannelEvent::Closed]);
}

#[test]
fn bounds_hold_at_the_limit_and_break_past_it() {
    let network = Network::new();
    let (_, mut a, mut b) = pair(&network);
    let (mut ours, mut theirs) = channel(&mut a, &mut b);
    assert!(matches!(ours.send(&vec![0; MAX_MESSAGE + 1]), Err(RtcError::Failed(_))));
    let most = MAX_UNREAD / (MAX_MESSAGE + MESSAGE_OVERHEAD);
    for _ in 0..most {
        ours.send(&vec![0; MAX_MESSAGE]).unwrap();
    }
    assert!(heard(&mut ours).iter().all(|event| *event == ChannelEvent::Low));
    ours.send(&vec![0; MAX_MESSAGE]).unwrap();
    assert_eq!(heard(&mut ours).pop(), Some(ChannelEvent::Closed));
    assert_eq!(heard(&mut theirs), [ChannelEvent::Overflow]);

    let mut many: Vec<Channel> = (0..=MAX_EARLY).map(|_| a.create_channel("").unwrap()).collect();
    assert_eq!(heard(&mut many[MAX_EARLY - 1]), [ChannelEvent::Open]);
    assert_eq!(heard(&mut many[MAX_EARLY]), [ChannelEvent::Closed]);
    assert_eq!(drain(&mut b).len(), MAX_EARLY);
}

#[test]
fn where_there_is_no_webrtc_none_is_opened_and_nothing_leaks() {
    let network = Network::new();
    let node = network.rtc();
    {
        let (mut a, _b) = network.connected(&node, &network.rtc()).unwrap();
        let _unseen = a.create_channel("").unwrap();
        assert_eq!((node.peers(), network.peers(), network.channels()), (1, 2, 2));
    }
    assert_eq!((node.peers(), network.peers(), network.channels()), (0, 0, 0));
    network.forbid(true);
    assert!(matches!(node.open(), Err(RtcError::Absent(_))));
}
