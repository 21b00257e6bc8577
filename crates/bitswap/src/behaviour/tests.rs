//! What happens between a behaviour and its connections, without any.

use std::task::{Context, Poll, Waker};

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use mesh_unixfs::Block;

use super::*;
use crate::message::{Ask, Entry};

fn connect(behaviour: &mut Behaviour, peer: PeerId, connection: usize) {
    connect_by(behaviour, peer, connection, Multiaddr::empty());
}

fn connect_by(behaviour: &mut Behaviour, peer: PeerId, connection: usize, local_addr: Multiaddr) {
    let endpoint = ConnectedPoint::Listener { local_addr, send_back_addr: Multiaddr::empty() };
    behaviour.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
        peer_id: peer,
        connection_id: ConnectionId::new_unchecked(connection),
        endpoint: &endpoint,
        failed_addresses: &[],
        other_established: connection,
    }));
}

fn disconnect(behaviour: &mut Behaviour, peer: PeerId, connection: usize, remaining: usize) {
    let endpoint = ConnectedPoint::Listener { local_addr: Multiaddr::empty(), send_back_addr: Multiaddr::empty() };
    behaviour.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
        peer_id: peer,
        connection_id: ConnectionId::new_unchecked(connection),
        endpoint: &endpoint,
        cause: None,
        remaining_established: remaining,
    }));
}

/// The next message, and the connection that it goes on. Whatever is looked for is this block.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it would be is wrong")]
fn sent(behaviour: &mut Behaviour, block: &Block) -> Option<(ConnectionId, Bytes)> {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(event) = behaviour.poll(&mut cx) {
        match event {
            ToSwarm::NotifyHandler { handler: NotifyHandler::One(connection), event: Command::Send(bytes), .. } => {
                return Some((connection, bytes));
            }
            ToSwarm::GenerateEvent(Event::Look(Look { peer, cid, .. })) => {
                behaviour.looked(peer, cid, Found::Block(block.clone()));
            }
            other => panic!("{other:?}"),
        }
    }
    None
}

fn asks_for(behaviour: &mut Behaviour, peer: PeerId, block: &Block) {
    let entry = Entry { cid: *block.cid(), ask: Ask::Block, say_dont_have: true, priority: 1 };
    let message = Message { wants: vec![entry], ..Message::default() };
    behaviour.on_connection_handler_event(peer, ConnectionId::new_unchecked(0), Report::Received(message));
}

fn lost(behaviour: &mut Behaviour, peer: PeerId, connection: ConnectionId) {
    behaviour.on_connection_handler_event(peer, connection, Report::Lost("a test".to_owned()));
}

#[test]
fn an_answer_that_did_not_get_through_is_sent_again() {
    let (peer, x) = (PeerId::random(), Block::raw(vec![1; 5000]).expect("it fits"));
    let mut behaviour = Behaviour::default();
    connect(&mut behaviour, peer, 0);
    asks_for(&mut behaviour, peer, &x);
    let (connection, first) = sent(&mut behaviour, &x).expect("the block");
    assert!(first.len() > 5000);
    // One message at a time.
    assert_eq!(sent(&mut behaviour, &x), None);
    for _ in 1..MAX_FAILURES {
        lost(&mut behaviour, peer, connection);
        assert_eq!(sent(&mut behaviour, &x), Some((connection, first.clone())));
    }
    // It is given up then.
    lost(&mut behaviour, peer, connection);
    assert_eq!(sent(&mut behaviour, &x), None);
    // What arrives in the meantime begins the count anew.
    asks_for(&mut behaviour, peer, &x);
    sent(&mut behaviour, &x).expect("the block");
    behaviour.on_connection_handler_event(peer, connection, Report::Sent);
    asks_for(&mut behaviour, peer, &x);
    sent(&mut behaviour, &x).expect("the block");
    lost(&mut behaviour, peer, connection);
    assert_eq!(sent(&mut behaviour, &x), Some((connection, first)));
}

#[test]
fn it_is_sent_again_on_another_connection_if_there_is_one() {
    let (peer, x) = (PeerId::random(), Block::raw(vec![1; 5000]).expect("it fits"));
    let [one, two] = [0, 1].map(ConnectionId::new_unchecked);
    let mut behaviour = Behaviour::default();
    connect(&mut behaviour, peer, 0);
    connect(&mut behaviour, peer, 1);
    asks_for(&mut behaviour, peer, &x);
    let (connection, first) = sent(&mut behaviour, &x).expect("the block");
    assert_eq!(connection, one);
    lost(&mut behaviour, peer, one);
    assert_eq!(sent(&mut behaviour, &x), Some((two, first.clone())));
    disconnect(&mut behaviour, peer, 1, 1);
    assert_eq!(sent(&mut behaviour, &x), Some((one, first)));
    // With the last connection all is forgotten.
    disconnect(&mut behaviour, peer, 0, 0);
    connect(&mut behaviour, peer, 2);
    assert_eq!(sent(&mut behaviour, &x), None);
}

#[test]
fn what_no_relay_carries_goes_before_what_one_does() {
    let (peer, x) = (PeerId::random(), Block::raw(vec![1; 5000]).expect("it fits"));
    let [relayed, direct, later] = [0, 1, 2].map(ConnectionId::new_unchecked);
    let mut behaviour = Behaviour::default();
    connect_by(&mut behaviour, peer, 0, Multiaddr::from(Protocol::P2pCircuit));
    connect(&mut behaviour, peer, 1);
    connect(&mut behaviour, peer, 2);
    for (expected, closes) in [(direct, 1), (later, 2), (relayed, 0)] {
        asks_for(&mut behaviour, peer, &x);
        let (connection, _) = sent(&mut behaviour, &x).expect("the block");
        assert_eq!(connection, expected);
        behaviour.on_connection_handler_event(peer, connection, Report::Sent);
        disconnect(&mut behaviour, peer, closes, usize::from(expected != relayed));
    }
}

#[test]
fn what_is_wanted_is_asked_again_when_one_of_two_connections_closes() {
    let (peer, x) = (PeerId::random(), Block::raw(vec![1; 5000]).expect("it fits"));
    let [one, two] = [0, 1].map(ConnectionId::new_unchecked);
    let mut behaviour = Behaviour::default();
    connect(&mut behaviour, peer, 0);
    connect(&mut behaviour, peer, 1);
    behaviour.want(*x.cid(), &[]).expect("room");
    let (connection, first) = sent(&mut behaviour, &x).expect("the want");
    assert_eq!(connection, one);
    behaviour.on_connection_handler_event(peer, one, Report::Sent);
    assert_eq!(sent(&mut behaviour, &x), None);
    // The question, or the answer, is lost with it.
    disconnect(&mut behaviour, peer, 0, 1);
    assert_eq!(sent(&mut behaviour, &x), Some((two, first)));
}
