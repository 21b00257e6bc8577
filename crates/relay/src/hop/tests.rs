//! The relay among real connections on loopback.

use std::future::Future;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, relay, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

use super::{Behaviour, Event};

mod traffic;

/// No test takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `RESERVE` request of the hop protocol as it travels: its length, field 1 (type), 0.
const RESERVE: [u8; 3] = [2, 0x08, 0];

/// Who dials a newcomer at once: far more than the relay opens at a time.
const CROWD: usize = 32;

fn relay_swarm(config: relay::Config) -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key| Behaviour::new(key.public().to_peer_id(), config))
        .expect("a behaviour")
        .build()
}

fn generous() -> relay::Config {
    relay::Config {
        max_circuits: 1000,
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    }
}

fn client() -> Swarm<relay::client::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .expect("a relayed transport")
        .with_behaviour(|_, relay| relay)
        .expect("a behaviour")
        .build()
}

/// Starts listening; the address ends in the peer's id.
async fn listen(swarm: &mut Swarm<Behaviour>) -> Multiaddr {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a listener");
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address.with(Protocol::P2p(*swarm.local_peer_id()));
        }
    }
}

/// Drives `swarm` in a task; what it reports comes out of the receiver. Ends when the receiver is dropped.
fn drive<B>(mut swarm: Swarm<B>) -> mpsc::Receiver<SwarmEvent<B::ToSwarm>>
where
    B: NetworkBehaviour<ToSwarm: Send> + Send,
    Swarm<B>: Send,
{
    let (to, from) = mpsc::channel(4096);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                event = swarm.select_next_some() => if to.send(event).await.is_err() { return },
                () = to.closed() => return,
            }
        }
    });
    from
}

/// The first event that `is` gives a value for.
async fn until<E, T>(events: &mut mpsc::Receiver<E>, mut is: impl FnMut(E) -> Option<T>) -> T {
    let first = async {
        loop {
            let event = events.recv().await.expect("the swarm runs");
            if let Some(found) = is(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, first).await.expect("in time")
}

fn connected_to<E>(event: SwarmEvent<E>) -> Option<PeerId> {
    if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event { Some(peer_id) } else { None }
}

/// Reserves at `relay`; the receiver must be kept for the client to live.
async fn reserve(relay: &Multiaddr) -> (Multiaddr, mpsc::Receiver<SwarmEvent<relay::client::Event>>) {
    let mut client = client();
    let circuit = relay.clone().with(Protocol::P2pCircuit);
    let address = circuit.clone().with(Protocol::P2p(*client.local_peer_id()));
    client.listen_on(circuit).expect("a listener");
    let mut events = drive(client);
    until(&mut events, |event| matches!(event, SwarmEvent::NewListenAddr { .. }).then_some(())).await;
    (address, events)
}

#[tokio::test]
async fn reservations_and_circuits_are_counted_once() {
    let mut relay = relay_swarm(generous());
    let address = listen(&mut relay).await;
    let mut relay = drive(relay);
    let (dst, dst_events) = reserve(&address).await;
    until(&mut relay, |event| Some(()).filter(|()| counts(&event) == Some((1, 0)))).await;

    let mut src = client();
    src.dial(dst).expect("a dial");
    let src_events = drive(src);
    until(&mut relay, |event| Some(()).filter(|()| counts(&event) == Some((1, 1)))).await;

    // The destination leaves first: libp2p reports the circuit's end for its connection and for the source's.
    drop(dst_events);
    let lasted = until(&mut relay, |event| ended(&event)).await;
    assert!(lasted < PATIENCE);
    drop(src_events);
    until(&mut relay, |event| {
        assert_eq!(ended(&event), None, "the circuit ended once");
        Some(()).filter(|()| closed(&event))
    })
    .await;
}

fn counts(event: &SwarmEvent<Event>) -> Option<(usize, usize)> {
    if let SwarmEvent::Behaviour(event) = event { Some((event.reservations, event.circuits)) } else { None }
}

fn ended(event: &SwarmEvent<Event>) -> Option<Duration> {
    if let SwarmEvent::Behaviour(event) = event { event.lasted } else { None }
}

fn closed(event: &SwarmEvent<Event>) -> bool {
    matches!(event, SwarmEvent::ConnectionClosed { num_established: 0, .. })
}

/// A browser tab that is busy while everybody dials it: nobody is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_through_to_a_busy_newcomer() {
    let mut relay = relay_swarm(generous());
    let address = listen(&mut relay).await;
    let mut relay_events = drive(relay);
    let newcomer = Frozen::reserve(address.clone()).await;

    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut peer = client();
        peer.dial(address.clone()).expect("a dial");
        let mut events = drive_dialling(peer, newcomer.address.clone());
        until(&mut events.0, connected_to).await;
        crowd.push(events);
    }
    for (_, go) in &mut crowd {
        go.take().expect("not gone yet").send(()).expect("a peer that waits");
    }
    newcomer.thaw();
    for (events, _) in &mut crowd {
        until(events, |event| connected_to(event).filter(|peer| *peer == newcomer.peer)).await;
    }
    let mut open = 0;
    while open < CROWD {
        open = until(&mut relay_events, |event| counts(&event)).await.1;
    }
}

type Dialling = (mpsc::Receiver<SwarmEvent<relay::client::Event>>, Option<oneshot::Sender<()>>);

/// Like [`drive`]; dials `address` on a signal.
fn drive_dialling(mut swarm: Swarm<relay::client::Behaviour>, address: Multiaddr) -> Dialling {
    let (to, from) = mpsc::channel(4096);
    let (go, mut gone) = oneshot::channel();
    tokio::spawn(async move {
        let mut waiting = true;
        loop {
            tokio::select! {
                event = swarm.select_next_some() => if to.send(event).await.is_err() { return },
                _ = &mut gone, if waiting => {
                    waiting = false;
                    swarm.dial(address.clone()).expect("a dial");
                }
                () = to.closed() => return,
            }
        }
    });
    (from, Some(go))
}

/// A client on a thread of its own, which does nothing at all, not even answer, until it is thawed.
struct Frozen {
    address: Multiaddr,
    peer: PeerId,
    thaw: std::sync::mpsc::SyncSender<()>,
}

impl Frozen {
    async fn reserve(relay: Multiaddr) -> Self {
        let (thaw, thawed) = std::sync::mpsc::sync_channel(1);
        let (ready, is_ready) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let (address, mut events) = reserve(&relay).await;
                ready.send(address).expect("a test that waits");
                thawed.recv().expect("a test that thaws");
                while events.recv().await.is_some() {}
            });
        });
        let address = is_ready.await.expect("a reservation");
        let Some(Protocol::P2p(peer)) = address.iter().last() else { panic!("{address} names a peer") };
        Self { address, peer, thaw }
    }

    fn thaw(&self) {
        self.thaw.send(()).expect("a frozen client");
    }
}

/// The relay is busy for as long as a reservation has left: its end and the answer to its renewal cross.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_crosses_the_end_of_its_reservation_is_no_crash() {
    let lifetime = Duration::from_millis(500);
    let mut relay = relay_swarm(relay::Config { reservation_duration: lifetime, ..generous() });
    let address = listen(&mut relay).await;
    let peer = *relay.local_peer_id();

    let mut client = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .expect("a behaviour")
        .build();
    let mut streams = client.behaviour().new_control();
    client.dial(DialOpts::peer_id(peer).addresses(vec![address]).build()).expect("a dial");
    let _client = drive(client);

    let mut hop = meanwhile(&mut relay, async { streams.open_stream(peer, relay::HOP_PROTOCOL_NAME).await })
        .await
        .expect("a stream");
    hop.write_all(&RESERVE).await.expect("a request");
    let answer = meanwhile(&mut relay, read_all(hop)).await;
    assert!(!answer.is_empty());

    let mut hop = streams.open_stream(peer, relay::HOP_PROTOCOL_NAME).await.expect("a stream");
    hop.write_all(&RESERVE).await.expect("a request");
    hop.flush().await.expect("a request");
    // This is the reservation's own time, and the relay does nothing in it.
    tokio::time::sleep(2 * lifetime).await;
    let again = meanwhile(&mut relay, read_all(hop)).await;
    assert_eq!(again.len(), answer.len(), "the renewal is granted like the first one");
    let booked = async {
        while relay.behaviour().books.reserved.is_empty() {
            relay.select_next_some().await;
        }
    };
    tokio::time::timeout(PATIENCE, booked).await.expect("the renewal is in the books");
}

async fn read_all(mut stream: libp2p::Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an answer");
    bytes
}

/// Drives the relay while `work` is under way, and not a moment longer.
async fn meanwhile<T>(relay: &mut Swarm<Behaviour>, work: impl Future<Output = T>) -> T {
    let work = tokio::time::timeout(PATIENCE, work);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done.expect("in time"),
            _ = relay.select_next_some() => {}
        }
    }
}
