//! The counter of bytes in circuits, against what two peers really sent each other.

use futures::io::copy;
use libp2p::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::swarm::StreamProtocol;
use prometheus_client::metrics::counter::Counter;

use super::super::counted;
use super::*;

const ECHO: StreamProtocol = StreamProtocol::new("/test/echo");

/// What is sent, and comes back.
const PAYLOAD: usize = 2_000_000;

/// A peer that can be reached through a relay, and speaks.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Peer {
    relay: relay::client::Behaviour,
    streams: libp2p_stream::Behaviour,
}

fn peer() -> Swarm<Peer> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .expect("a relayed transport")
        .with_behaviour(|_, relay| Peer { relay, streams: libp2p_stream::Behaviour::new() })
        .expect("a behaviour")
        .build()
}

fn counting_relay(bytes: &Counter) -> Swarm<Behaviour> {
    let bytes = bytes.clone();
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            let transport = tcp::tokio::Transport::default()
                .upgrade(Version::V1Lazy)
                .authenticate(noise::Config::new(key)?)
                .multiplex(yamux::Config::default())
                .map(move |(peer, muxer), _| (peer, counted(StreamMuxerBox::new(muxer), bytes.clone())));
            Ok(transport)
        })
        .expect("a transport")
        .with_behaviour(|key| {
            Behaviour::new(key.public().to_peer_id(), relay::Config { max_circuit_bytes: 0, ..generous() })
        })
        .expect("a behaviour")
        .build()
}

/// Listens at the relay, and sends back whatever comes.
async fn echo(relay: &Multiaddr) -> (Multiaddr, mpsc::Receiver<SwarmEvent<PeerEvent>>) {
    let mut swarm = peer();
    let circuit = relay.clone().with(Protocol::P2pCircuit);
    let address = circuit.clone().with(Protocol::P2p(*swarm.local_peer_id()));
    let mut incoming = swarm.behaviour().streams.new_control().accept(ECHO).expect("the first to ask");
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            let (read, mut write) = stream.split();
            copy(read, &mut write).await.expect("a circuit");
            write.close().await.expect("a circuit");
        }
    });
    swarm.listen_on(circuit).expect("a listener");
    let mut events = drive(swarm);
    until(&mut events, |event| matches!(event, SwarmEvent::NewListenAddr { .. }).then_some(())).await;
    (address, events)
}

#[tokio::test]
async fn what_passes_through_circuits_is_counted_and_nothing_else() {
    let bytes = Counter::default();
    let mut relay = counting_relay(&bytes);
    let at = listen(&mut relay).await;
    let _relay = drive(relay);
    let (address, _echo) = echo(&at).await;
    let Some(Protocol::P2p(echo)) = address.iter().last() else { panic!("{address} names a peer") };

    // Reservations and connections to the relay itself are no circuits.
    let (_other, _reserved) = reserve(&at).await;
    assert_eq!(bytes.get(), 0);

    let mut source = peer();
    let mut streams = source.behaviour().streams.new_control();
    source.dial(address).expect("a dial");
    let mut events = drive(source);
    until(&mut events, |event| connected_to(event).filter(|peer| *peer == echo)).await;
    let opening = bytes.get();
    assert!(opening < 4_096, "handshakes: {opening}");

    let stream = streams.open_stream(echo, ECHO).await.expect("a stream");
    let (mut read, mut write) = stream.split();
    let send = async move {
        write.write_all(&vec![7; PAYLOAD]).await.expect("a circuit");
        write.close().await.expect("a circuit");
    };
    let mut back = Vec::new();
    let receive = tokio::time::timeout(PATIENCE, read.read_to_end(&mut back));
    let (received, ()) = futures::join!(receive, send);
    received.expect("in time").expect("a circuit");
    assert_eq!(back.len(), PAYLOAD);

    let counted = bytes.get() - opening;
    let both = u64::try_from(2 * PAYLOAD).expect("small");
    assert!(counted >= both, "there and back: {counted}");
    assert!(counted < both + both / 50, "ciphers and muxers of both ends are all that is added: {counted}");
}
