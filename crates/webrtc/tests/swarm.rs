//! Real swarms with a real relay: who dials what, what comes of it, and that nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for one event of many")]

mod common;

use std::time::Duration;

use common::{RELAY, World};
use futures::FutureExt as _;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, TransportError};
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, Transport as _};
use mesh_webrtc::address::{is_direct_webrtc, is_relayed};
use mesh_webrtc::rtc::RtcError;
use mesh_webrtc::rtc::memory::{Ice, Network};
use mesh_webrtc::signalling::HandshakeError;
use mesh_webrtc::{Config, Error, Event};

fn config() -> Option<Config> {
    Some(Config::default())
}

/// A network with two nodes; the second is reached through the relay.
async fn pair(one: Option<Config>, other: Option<Config>) -> (World, usize, usize) {
    let mut world = World::new().await;
    let bob = world.add_reachable(other).await;
    let alice = world.add(one);
    (world, alice, bob)
}

#[tokio::test]
async fn a_full_address_leads_through_the_relay_to_a_direct_connection() {
    let (mut world, alice, bob) = pair(config(), config()).await;
    let (address, peers) = (world.webrtc(bob), [world.peer(alice), world.peer(bob)]);
    world.nodes[alice].dial(address.clone()).unwrap();

    let (mut relayed, mut direct) = ([None; 2], [None; 2]);
    let mut endpoints = Vec::new();
    let (relayed, direct) = world
        .until("both connections at both ends", |at, event| {
            if let SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } = event
                && let Some(end) = [alice, bob].iter().position(|node| *node == at)
                && peers[1 - end] == *peer_id
            {
                let here = if endpoint.is_dialer() {
                    endpoint.get_remote_address().clone()
                } else {
                    endpoints.push(endpoint.clone());
                    match endpoint {
                        libp2p::core::ConnectedPoint::Listener { local_addr, .. } => local_addr.clone(),
                        libp2p::core::ConnectedPoint::Dialer { address, .. } => address.clone(),
                    }
                };
                if is_direct_webrtc(&here) {
                    direct[end] = Some(*connection_id);
                } else {
                    assert!(is_relayed(&here), "{here}");
                    relayed[end] = Some(*connection_id);
                }
            }
            Some(([relayed[0]?, relayed[1]?], [direct[0]?, direct[1]?]))
        })
        .await;

    let inbound = endpoints.iter().find(|endpoint| !endpoint.is_relayed()).unwrap();
    assert!(inbound.get_remote_address().is_empty(), "identify tells the remote nothing that it stumbles over");
    assert_eq!(world.network.peers(), 2);

    // The direct connection stands without the relayed one.
    world.pinged([(alice, direct[0]), (bob, direct[1])]).await;
    assert!(world.nodes[alice].close_connection(relayed[0]));
    world
        .until("the relayed connection closes", |at, event| match event {
            SwarmEvent::ConnectionClosed { connection_id, .. } if at == bob => {
                (*connection_id == relayed[1]).then_some(())
            }
            _ => None,
        })
        .await;
    world.pinged([(alice, direct[0]), (bob, direct[1])]).await;

    world.nodes[alice].disconnect_peer_id(peers[1]).unwrap();
    world
        .until("the other end sees it go", |at, event| match event {
            SwarmEvent::ConnectionClosed { connection_id, .. } if at == bob => {
                (*connection_id == direct[1]).then_some(())
            }
            _ => None,
        })
        .await;
    world.nothing_left().await;
}

#[tokio::test]
async fn a_bare_address_upgrades_the_relayed_connection_that_is_there() {
    for hold_candidates in [false, true] {
        let config = Config { hold_candidates, ..Config::default() };
        let (mut world, alice, bob) = pair(Some(config.clone()), Some(config)).await;
        world.connect_relayed(alice, bob).await;
        world.upgrade(alice, bob);
        let direct = world.connected_directly(alice, bob).await;
        world.pinged([(alice, direct[0]), (bob, direct[1])]).await;
    }
}

#[tokio::test]
async fn whoever_was_dialled_may_upgrade_and_both_may_at_once() {
    let (mut world, alice, bob) = pair(config(), config()).await;
    world.connect_relayed(alice, bob).await;
    world.upgrade(bob, alice);
    world.connected_directly(bob, alice).await;

    let carol = world.add(config());
    world.connect_relayed(carol, bob).await;
    world.upgrade(carol, bob);
    world.upgrade(bob, carol);
    let (carols, bobs) = (world.peer(carol), world.peer(bob));
    let mut established = 0;
    world
        .until("two connections at both ends", |at, event| {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event {
                established += usize::from((at == carol && *peer_id == bobs) || (at == bob && *peer_id == carols));
            }
            (established == 4).then_some(())
        })
        .await;
    assert_eq!(world.network.peers(), 6);
    world.nodes.truncate(1);
    world.nothing_left().await;
}

#[tokio::test]
async fn the_relay_s_addresses_are_mirrored_and_expire_together() {
    let (mut world, _, bob) = pair(config(), config()).await;
    let (circuit, webrtc) = (world.circuit(bob), world.webrtc(bob));
    let has = |world: &World, address: &Multiaddr| world.nodes[bob].external_addresses().any(|known| known == address);
    world.until_so("the mirror image", |world| has(world, &webrtc)).await;
    assert!(has(&world, &circuit));
    assert_eq!(world.nodes[bob].external_addresses().count(), 2, "no echo of an echo");

    let relay = world.peer(RELAY);
    world.nodes[bob].disconnect_peer_id(relay).unwrap();
    world.until_so("both are gone", |world| world.nodes[bob].external_addresses().count() == 0).await;
}

#[tokio::test]
async fn a_peer_that_does_not_speak_it_is_told_apart() {
    let (mut world, alice, bob) = pair(config(), None).await;
    world.connect_relayed(alice, bob).await;
    world.upgrade(alice, bob);
    assert_eq!(world.told(alice).await, Event::Unsupported { peer: world.peer(bob) });
    assert!(world.nodes[alice].is_connected(&world.peer(bob)), "the relayed connection stays");
    world.nothing_left().await;
}

#[tokio::test]
async fn where_no_way_leads_both_ends_are_told_and_the_relayed_connection_stays() {
    let (mut world, alice, bob) = pair(config(), config()).await;
    world.network.ice(Ice::Fails);
    world.connect_relayed(alice, bob).await;
    world.upgrade(alice, bob);
    let mut told = [None, None];
    let [at_alice, at_bob] = world
        .until("both are told", |at, event| {
            if let SwarmEvent::Behaviour(common::BehaviourEvent::Webrtc(event)) = event {
                told[usize::from(at == bob)] = Some(event.clone());
            }
            Some([told[0].clone()?, told[1].clone()?])
        })
        .await;
    for (event, expected) in [(at_alice, (world.peer(bob), false)), (at_bob, (world.peer(alice), true))] {
        let Event::Failed { peer, error, inbound } = event else { panic!("{event:?}") };
        assert_eq!((peer, inbound), expected);
        // Whoever sees it first resets the stream.
        assert!(
            matches!(error, Error::Handshake(HandshakeError::Unreachable | HandshakeError::Stream(_))),
            "{error:?}"
        );
    }
    assert!(world.nodes[alice].is_connected(&world.peer(bob)));
    world.nothing_left().await;
}

#[tokio::test]
async fn time_limits_hold_and_free_what_is_held() {
    let short = |ms| Some(Config { whole_timeout: Duration::from_millis(ms), ..Config::default() });
    let (mut world, alice, bob) = pair(short(300), short(600)).await;
    world.network.ice(Ice::Never);
    world.connect_relayed(alice, bob).await;
    world.upgrade(alice, bob);
    let expected = Event::Failed { peer: world.peer(bob), error: HandshakeError::Timeout.into(), inbound: false };
    assert_eq!(world.told(alice).await, expected);
    let at_bob = Event::Failed { peer: world.peer(alice), error: HandshakeError::Timeout.into(), inbound: true };
    let told = world.told(bob).await;
    // Yamux does not tell a reset from an end, and after an end the connection may still come.
    let refused = Event::Failed { peer: world.peer(alice), error: HandshakeError::Refused.into(), inbound: true };
    assert!([at_bob, refused].contains(&told), "{told:?}");
    world.nothing_left().await;
}

#[tokio::test]
async fn a_dial_that_is_dropped_and_a_lost_relayed_connection_leave_nothing() {
    let (mut world, alice, bob) = pair(config(), config()).await;
    world.network.ice(Ice::Never);
    world.connect_relayed(alice, bob).await;
    world.upgrade(alice, bob);
    world.until_so("a handshake is under way", |world| world.network.peers() == 2).await;
    let peer = world.peer(bob);
    world.nodes[alice].disconnect_peer_id(peer).unwrap();
    world.nothing_left().await;
}

#[tokio::test]
async fn without_webrtc_nothing_is_begun() {
    let (mut world, alice, bob) = pair(config(), config()).await;
    world.connect_relayed(alice, bob).await;
    world.network.forbid(true);
    world.upgrade(alice, bob);
    let Event::Failed { error, .. } = world.told(alice).await else { panic!("no failure") };
    assert!(matches!(error, Error::Handshake(HandshakeError::Rtc(RtcError::Absent(_)))), "{error:?}");
    world.nothing_left().await;
}

#[tokio::test]
async fn without_a_relayed_connection_a_bare_address_leads_nowhere() {
    let (mut world, alice, bob) = pair(config(), config()).await;
    world.upgrade(alice, bob);
    let expected = Event::Failed { peer: world.peer(bob), error: Error::NotConnected, inbound: false };
    assert_eq!(world.told(alice).await, expected);
}

#[tokio::test]
async fn a_peer_without_a_reservation_is_not_reached() {
    let mut world = World::new().await;
    let (alice, bob) = (world.add(config()), world.add(config()));
    let address = world.webrtc(bob);
    world.nodes[alice].dial(address).unwrap();
    let expected = Event::Failed { peer: world.peer(bob), error: Error::Relay, inbound: false };
    assert_eq!(world.told(alice).await, expected);
    // The relay's own refusal, and the failure of the dial that wanted it.
    world
        .until("the outer dial fails", |at, event| match event {
            SwarmEvent::OutgoingConnectionError { error: DialError::Transport(failed), .. } if at == alice => {
                failed.iter().any(|(address, _)| is_direct_webrtc(address)).then_some(())
            }
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn handshakes_are_bounded_on_both_sides() {
    let none = Config { max_handshakes: 0, ..Config::default() };
    let (mut world, alice, bob) = pair(config(), Some(none)).await;
    world.connect_relayed(alice, bob).await;
    world.upgrade(bob, alice);
    let expected = Event::Failed { peer: world.peer(alice), error: Error::Busy, inbound: false };
    assert_eq!(world.told(bob).await, expected);
    // A stream that finds no place is reset, before or after its opener has said something.
    world.upgrade(alice, bob);
    let Event::Failed { error, inbound: false, .. } = world.told(alice).await else { panic!("no failure") };
    assert!(matches!(error, Error::Handshake(HandshakeError::Stream(_) | HandshakeError::Refused)), "{error:?}");
    world.nothing_left().await;
}

#[tokio::test]
async fn what_is_not_ours_is_left_to_others() {
    let (mut transport, behaviour) = mesh_webrtc::new(Config::default(), Network::new().rtc());
    let mut world = World::new().await;
    let bob = world.add(None);
    let (webrtc, circuit) = (world.webrtc(bob), world.circuit(bob));
    let opts = |role| DialOpts { role, port_use: PortUse::Reuse };
    for (address, role) in [(circuit.clone(), Endpoint::Dialer), (webrtc.clone(), Endpoint::Listener)] {
        let refused = transport.dial(address, opts(role)).err();
        assert!(matches!(refused, Some(TransportError::MultiaddrNotSupported(_))));
    }
    let refused = transport.listen_on(ListenerId::next(), circuit).unwrap_err();
    assert!(matches!(refused, TransportError::MultiaddrNotSupported(_)));
    // The relay client after us would take these.
    for address in [webrtc.clone(), "/webrtc".parse().unwrap()] {
        let refused = transport.listen_on(ListenerId::next(), address).unwrap_err();
        assert!(matches!(refused, TransportError::Other(Error::NoListening)));
    }
    assert!(!transport.remove_listener(ListenerId::next()));

    let waiting = transport.dial(webrtc.clone(), opts(Endpoint::Dialer)).unwrap();
    drop(behaviour);
    assert_eq!(waiting.await.err(), Some(Error::Gone));
    let later = transport.dial(webrtc, opts(Endpoint::Dialer)).unwrap();
    assert_eq!(later.now_or_never().unwrap().err(), Some(Error::Gone));
}
