//! A peer that is none of ours: it has the mesh's protocol names and no scruples.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Stream, StreamProtocol, SwarmBuilder, noise, ping, tcp, yamux};
use libp2p_stream::{Control, IncomingStreams};
use mesh_net::Identity;
use mesh_proto::protocol::{JOIN, Topic};
use mesh_proto::{Keypair, MeshId, NodeId, join};
use serde_bytes::ByteBuf;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::member::Member;
use super::{wire, within};

/// The version of gossipsub that it speaks.
pub(crate) const GOSSIP: &str = "/meshsub/1.1.0";

/// A libp2p peer that writes its frames by hand.
pub(crate) struct Attacker {
    pub(crate) identity: Identity,
    pub(crate) mesh: MeshId,
    control: Control,
    overheard: Arc<Overheard>,
    swarm: JoinHandle<()>,
}

/// What it does with gossip.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ears {
    Open,
    Shut,
}

#[derive(Default)]
struct Overheard {
    messages: Mutex<Vec<Bytes>>,
    more: Notify,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    streams: libp2p_stream::Behaviour,
}

impl Attacker {
    /// Connects to `targets`, one after the other.
    pub(crate) async fn connect(mesh: MeshId, targets: &[&Member]) -> Self {
        Self::connect_and(Ears::Open, mesh, targets).await
    }

    /// Connects to `targets`, and leaves what they gossip to it in the pipe.
    pub(crate) async fn connect_deaf(mesh: MeshId, targets: &[&Member]) -> Self {
        Self::connect_and(Ears::Shut, mesh, targets).await
    }

    async fn connect_and(ears: Ears, mesh: MeshId, targets: &[&Member]) -> Self {
        let identity = Identity::generate().expect("the system has randomness");
        let mut swarm = SwarmBuilder::with_existing_identity(identity.libp2p().clone())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|_| Behaviour {
                ping: ping::Behaviour::default(),
                streams: libp2p_stream::Behaviour::new(),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(super::LIMIT))
            .build();
        let mut control = swarm.behaviour().streams.new_control();
        let gossip = control.accept(StreamProtocol::new(GOSSIP)).expect("accepted once");
        let overheard = Arc::new(Overheard::default());
        tokio::spawn(listen(gossip, ears, overheard.clone()));

        for target in targets {
            swarm.dial(target.tcp()).expect("dialled");
            let established =
                async { while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {} };
            within("the attacker is connected", established).await;
        }
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { identity, mesh, control, overheard, swarm }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.identity.node()
    }

    pub(crate) fn key(&self) -> &Keypair {
        self.identity.mesh()
    }

    /// Takes in streams of `protocol`.
    pub(crate) fn accept(&self, protocol: &'static str) -> IncomingStreams {
        self.control.clone().accept(StreamProtocol::new(protocol)).expect("accepted once")
    }

    /// Opens a stream of `protocol` to `target`.
    pub(crate) async fn open(&self, target: &Member, protocol: &'static str) -> io::Result<Stream> {
        let mut control = self.control.clone();
        let opening = control.open_stream(target.identity.peer_id(), StreamProtocol::new(protocol));
        within("a stream is open", opening).await.map_err(io::Error::other)
    }

    /// Opens a stream of gossip to `target` and subscribes to all topics. A connection bears four of them.
    pub(crate) async fn gossip(&self, target: &Member) -> Gossip {
        let mut gossip = Gossip { mesh: self.mesh, stream: self.open(target, GOSSIP).await.expect("open") };
        for topic in Topic::ALL {
            gossip.write(&wire::framed(&wire::subscribe(&topic.name(&self.mesh)))).await.expect("written");
        }
        gossip
    }

    /// Waits for a gossiped message that `wanted` picks.
    pub(crate) async fn overhear<T>(&self, mut wanted: impl FnMut(&Bytes) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let mut more = std::pin::pin!(self.overheard.more.notified());
                more.as_mut().enable();
                let found = lock(&self.overheard).iter().find_map(&mut wanted);
                if let Some(found) = found {
                    return found;
                }
                more.await;
            }
        };
        within("the attacker overhears it", waiting).await
    }

    /// Envelopes of `author` that were gossiped to it.
    pub(crate) fn overheard_of(&self, author: NodeId) -> usize {
        lock(&self.overheard).iter().filter_map(wire::claims).filter(|claims| claims.from == author).count()
    }

    /// Asks `target` for its member list with `announcement` as its own, and returns the announcements it is given.
    pub(crate) async fn join(&self, target: &Member, announcement: Vec<u8>) -> io::Result<Vec<ByteBuf>> {
        let mut stream = self.open(target, JOIN).await?;
        let request = join::Request { mesh: self.mesh, announcement: ByteBuf::from(announcement), after: None };
        wire::write_frame(&mut stream, &request).await?;
        let mut members = Vec::new();
        loop {
            match wire::read_frame(&mut stream).await? {
                join::Reply::Members { announcements, end } => {
                    members.extend(announcements);
                    if end.is_some() {
                        return Ok(members);
                    }
                }
                join::Reply::Revoked { .. } => {}
                join::Reply::WrongMesh { mesh } => return Err(io::Error::other(format!("it is a member of {mesh}"))),
            }
        }
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

/// A stream of gossip to one victim.
pub(crate) struct Gossip {
    mesh: MeshId,
    pub(crate) stream: Stream,
}

impl Gossip {
    /// Publishes `messages` on `topic`, in one RPC.
    pub(crate) async fn publish(&mut self, topic: Topic, messages: &[Vec<u8>]) -> io::Result<()> {
        let rpc = wire::publish(&topic.name(&self.mesh), messages);
        self.write(&wire::framed(&rpc)).await
    }

    /// Writes bytes as they are. A stream that is no longer read takes 256 KiB, then it waits.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        within("written", writing).await
    }

    /// Waits until the victim ends the stream.
    pub(crate) async fn until_ended(&mut self) {
        let ended = async { while self.stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
        within("the victim ends the stream", ended).await;
    }
}

/// Notes what members gossip to it.
async fn listen(mut incoming: IncomingStreams, ears: Ears, overheard: Arc<Overheard>) {
    let mut unread = Vec::new();
    while let Some((_, mut stream)) = incoming.next().await {
        if ears == Ears::Shut {
            unread.push(stream);
            continue;
        }
        let overheard = overheard.clone();
        tokio::spawn(async move {
            while let Ok(rpc) = wire::read_framed(&mut stream).await {
                lock(&overheard).extend(wire::published(&rpc));
                overheard.more.notify_waiters();
            }
        });
    }
}

fn lock(overheard: &Overheard) -> std::sync::MutexGuard<'_, Vec<Bytes>> {
    overheard.messages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bare socket to where `listener` listens.
pub(crate) async fn connect(listener: &Multiaddr) -> TcpStream {
    let port = listener.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    TcpStream::connect(("127.0.0.1", port.expect("a TCP address"))).await.expect("connected")
}
