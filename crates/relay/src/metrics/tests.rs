//! What a scrape shows.

use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;

use super::*;

fn exporter() -> (Recorder, Exporter) {
    metrics(PeerId::random(), "lab")
}

fn scrape(exporter: &Exporter) -> String {
    exporter.encode(MeshMetrics::default(), BlockStats::default()).expect("text")
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|have| have == line), "no {line:?} in\n{text}");
}

fn relay_event(what: relay::Event) -> hop::Event {
    hop::Event { what, reservations: 3, circuits: 2, lasted: None }
}

#[test]
fn every_gauge_of_the_core_exists() {
    let metrics = MeshMetrics::default();
    for gauge in GAUGES {
        assert!(metrics.entries().any(|(name, ..)| name == gauge), "{gauge}");
    }
}

#[test]
fn the_core_is_shown_with_its_values() {
    let (_recorder, exporter) = exporter();
    let mut mesh = MeshMetrics::default();
    (mesh.messages_sent, mesh.links) = (7, 3);
    mesh.count(mesh_core::offence::Offence::Forged);
    let text = exporter.encode(mesh, BlockStats::default()).expect("text");
    has(&text, "# TYPE mesh_messages_sent counter");
    has(&text, "mesh_messages_sent_total 7");
    has(&text, "# TYPE mesh_links gauge");
    has(&text, "mesh_links 3");
    has(&text, "mesh_offences_total{offence=\"forged\"} 1");
    has(&text, "mesh_offences_total{offence=\"stale\"} 0");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn blocks_are_shown() {
    let (_recorder, exporter) = exporter();
    let blocks = BlockStats { blocks: 4, bytes: 1_000, sent: 70, received: 80 };
    let text = exporter.encode(MeshMetrics::default(), blocks).expect("text");
    has(&text, "# TYPE mesh_relay_blocks gauge");
    has(&text, "mesh_relay_blocks 4");
    has(&text, "mesh_relay_block_bytes 1000");
    has(&text, "# TYPE mesh_relay_blocks_sent_bytes counter");
    has(&text, "mesh_relay_blocks_sent_bytes_total 70");
    has(&text, "mesh_relay_blocks_received_bytes_total 80");
}

#[test]
fn reservations_and_circuits_are_counted() {
    let (recorder, exporter) = exporter();
    let (src, dst) = (PeerId::random(), PeerId::random());
    recorder.relay(&relay_event(relay::Event::ReservationReqAccepted { src_peer_id: src, renewed: false }));
    recorder.relay(&relay_event(relay::Event::ReservationReqAccepted { src_peer_id: src, renewed: true }));
    let status = relay::StatusCode::NoReservation;
    recorder.relay(&relay_event(relay::Event::CircuitReqDenied { src_peer_id: src, dst_peer_id: dst, status }));
    let closed = relay::Event::CircuitClosed { src_peer_id: src, dst_peer_id: dst, error: None };
    recorder.relay(&hop::Event { lasted: Some(std::time::Duration::from_secs(5)), ..relay_event(closed) });
    let text = scrape(&exporter);
    has(&text, "mesh_relay_reservations_active 3");
    has(&text, "mesh_relay_reservations_accepted_total 1");
    has(&text, "mesh_relay_reservations_renewed_total 1");
    has(&text, "mesh_relay_circuits_active 2");
    has(&text, "mesh_relay_circuits_denied_total{reason=\"no_reservation\"} 1");
    has(&text, "mesh_relay_circuits_closed_total{reason=\"done\"} 1");
    has(&text, "mesh_relay_circuit_duration_seconds_sum 5.0");
    has(&text, "libp2p_relay_events_total{event=\"CircuitClosed\"} 1");
    assert_eq!((exporter.reservations(), exporter.circuits()), (3, 2));
}

#[test]
fn bytes_in_circuits_and_stun_are_counted() {
    let (_recorder, exporter) = exporter();
    let stun = exporter.stun();
    let text = scrape(&exporter);
    has(&text, "# TYPE mesh_relay_relayed_bytes counter");
    has(&text, "mesh_relay_relayed_bytes_total 0");
    has(&text, "mesh_relay_stun_datagrams_total{outcome=\"answered\"} 0");
    exporter.relayed_bytes().inc_by(1_500);
    stun.limited.inc();
    let text = scrape(&exporter);
    has(&text, "mesh_relay_relayed_bytes_total 1500");
    has(&text, "mesh_relay_stun_datagrams_total{outcome=\"limited\"} 1");
}

#[test]
fn what_nobody_counts_is_not_shown() {
    let (_recorder, exporter) = exporter();
    let text = scrape(&exporter);
    assert!(text.contains("# HELP libp2p_swarm_"), "{text}");
    for family in ["libp2p_kad", "libp2p_ping", "libp2p_gossipsub", "libp2p_identify"] {
        assert!(!text.contains(family), "{family} in\n{text}");
    }
}

#[test]
fn connections_are_told_apart_by_what_the_peer_came_in_over() {
    let end = |address: &str| address.parse::<Multiaddr>().expect("an address");
    let came_in = |local: &str| ConnectedPoint::Listener {
        local_addr: end(local),
        send_back_addr: end("/ip4/192.0.2.1/tcp/50000"),
    };
    assert_eq!(Transport::of(&came_in("/ip4/127.0.0.1/tcp/4002/ws")), Transport::WebSocket);
    assert_eq!(Transport::of(&came_in("/ip4/127.0.0.1/tcp/4001")), Transport::Tcp);
    assert_eq!(Transport::of(&came_in("/ip4/127.0.0.1/udp/4001/quic-v1")), Transport::Quic);
}

#[test]
fn the_reasons_for_an_end_are_told_apart() {
    let of = |kind: std::io::ErrorKind| Reason::of_end(Some(&kind.into()));
    assert_eq!(Reason::of_end(None), Reason::Done);
    assert_eq!(of(std::io::ErrorKind::TimedOut), Reason::Time);
    assert_eq!(of(std::io::ErrorKind::ConnectionAborted), Reason::Connection);
    assert_eq!(Reason::of_end(Some(&std::io::Error::other("Max circuit bytes reached."))), Reason::Bytes);
}
