//! The life of the process: start everything or say in one sentence what is in the way, run until a signal comes,
//! close in good order.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use mesh_core::node;
use mesh_core::weights::ReceivingConfig;
use mesh_net::{Event, EventStream, Identity, Role, Running, StartError};
use mesh_proto::NameError;

use crate::config::{Config, HttpListen};
use crate::host::RelayHost;
use crate::http::{self, Node, Status};
use crate::key::{self, Key};
use crate::metrics::metrics;
use crate::output::{Output, Started};
use crate::ports;

/// How long saying goodbye to the mesh may take.
const CLOSE: Duration = Duration::from_secs(3);

/// Why the relay did not start or did not end well: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Key(#[from] key::KeyError),
    #[error(transparent)]
    Http(#[from] http::BindError),
    #[error(transparent)]
    Port(#[from] ports::PortError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the mesh's name: {0}")]
    Name(#[from] NameError),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    #[error("the mesh node ended by itself")]
    Ended,
    #[error("stopped at once by a second signal")]
    Forced,
}

/// Runs the relay until it is told to stop.
pub(crate) fn run(config: Config, output: Output) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(live(config, output));
    runtime.shutdown_background();
    result
}

async fn live(config: Config, output: Output) -> Result<(), RunError> {
    // First of all: a signal that comes during the start is not lost.
    let mut signals = Signals::new()?;
    let Key { seed, created } = key::load_or_create(&config.key, fresh_seed)?;
    let identity = Identity::from_seed(seed);
    let peer_id = identity.peer_id();
    let listener = match config.http.listen {
        HttpListen(Some(address)) => Some(http::bind(address).await?),
        HttpListen(None) => None,
    };
    let http = listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;

    let (recorder, exporter) = metrics(peer_id, &config.mesh);
    let status = Arc::new(Status {
        peer_id,
        mesh: config.mesh.clone(),
        exporter,
        node: OnceLock::new(),
        closing: AtomicBool::new(false),
    });
    let server = listener.map(|listener| tokio::spawn(http::serve(listener, Arc::clone(&status))));

    let node_config = node_config(&config, identity)?;
    ports::check(&node_config.listen)?;
    let host = RelayHost::new(config.relay.clone(), config.mdns, recorder);
    let Running { handle, events, listening } = mesh_net::start(node_config, host).await?;
    let addresses = addresses(&config.external, listening, peer_id);
    let _ = status.node.set(Node { handle: handle.clone(), addresses: addresses.clone() });
    output.started(&Started { peer_id, mesh: config.mesh, addresses, http, key: config.key, key_created: created });

    tokio::select! {
        () = signals.next() => {}
        () = follow(events) => return Err(RunError::Ended),
    }
    tracing::info!("closing");
    status.closing.store(true, Ordering::Relaxed);
    tokio::select! {
        closed = tokio::time::timeout(CLOSE, handle.close()) => {
            if closed.is_err() {
                tracing::warn!("peers did not let go in time");
            }
        }
        () = signals.next() => return Err(RunError::Forced),
    }
    if let Some(server) = server {
        server.abort();
    }
    output.stopped();
    Ok(())
}

fn fresh_seed() -> io::Result<[u8; key::SEED]> {
    Identity::generate().map(|identity| identity.seed()).map_err(io::Error::other)
}

/// What the node is told to be: a hub that many peers stay connected to.
fn node_config(config: &Config, identity: Identity) -> Result<mesh_net::Config, NameError> {
    let mut node = mesh_net::Config::new(identity, &config.mesh)?;
    node.role = Role::Hub;
    node.relays.clone_from(&config.peers);
    node.external.clone_from(&config.external);
    node.listen = listeners(config, has_ipv6());
    // Nobody here could use weights that are sent to the relay itself.
    node.core.weights.receiving = ReceivingConfig::up_to(0);
    node.core.inbox = false;
    node.agent_version = concat!("mesh-relay/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(node)
}

/// The configured listeners, less the IPv6 ones that this program chose itself on a machine without IPv6.
fn listeners(config: &Config, has_ipv6: bool) -> Vec<Multiaddr> {
    if has_ipv6 || !config.listens_by_default() {
        return config.listen.clone();
    }
    tracing::warn!("this machine has no IPv6: listening on IPv4 only");
    let is_ipv4 = |address: &&Multiaddr| matches!(address.iter().next(), Some(Protocol::Ip4(_)));
    config.listen.iter().filter(is_ipv4).cloned().collect()
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// What to hand out: the external addresses as they were given, then those on this machine, browsers' first.
fn addresses(external: &[Multiaddr], mut listening: Vec<Multiaddr>, peer: PeerId) -> Vec<Multiaddr> {
    // A link-local address means nothing without the name of an interface, which a multiaddr does not tell.
    listening.retain(|address| !matches!(address.iter().next(), Some(Protocol::Ip6(ip)) if ip.is_unicast_link_local()));
    listening.sort_by_cached_key(|address| {
        let websocket = address.iter().any(|part| matches!(part, Protocol::Ws(_)));
        let ipv6 = matches!(address.iter().next(), Some(Protocol::Ip6(_)));
        (!websocket, ipv6, address.to_string())
    });
    external.iter().chain(&listening).map(|address| with_peer(address, peer)).collect()
}

fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    // It stays as it is when it names a peer already.
    address.clone().with_p2p(peer).unwrap_or_else(|address| address)
}

/// Logs what happens in the mesh. Ends when the node does.
async fn follow(mut events: EventStream) {
    while let Some(event) = events.next().await {
        match event {
            Event::Core(node::Event::Broadcast { from, body, .. }) => {
                tracing::trace!(%from, bytes = body.len(), "broadcast");
            }
            Event::Core(event) => tracing::debug!(?event, "mesh"),
            Event::Weights { from, .. } => tracing::debug!(%from, "weights for nobody"),
            Event::Lagged(dropped) => tracing::debug!(dropped, "mesh events were not looked at"),
        }
    }
}

/// SIGTERM and SIGINT, or Ctrl-C where there are no signals.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends with the next signal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Ends with the next Ctrl-C.
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_only_the_default_listeners_shrink() {
        let config = Config::default();
        assert_eq!(listeners(&config, true).len(), 6);
        let left = listeners(&config, false);
        assert_eq!(left.len(), 3);
        assert!(left.iter().all(|address| address.to_string().starts_with("/ip4/")));
        let asked: Vec<Multiaddr> = vec!["/ip6/::1/tcp/0".parse().expect("an address")];
        let config = Config { listen: asked.clone(), ..Config::default() };
        assert_eq!(listeners(&config, false), asked);
    }

    #[test]
    fn addresses_are_in_the_order_to_hand_them_out() {
        let address = |text: &str| text.parse::<Multiaddr>().expect("an address");
        let peer = PeerId::random();
        let external = [address("/dns4/relay.example.org/tcp/443/wss")];
        let listening =
            ["/ip6/fe80::1/tcp/2/ws", "/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2/ws", "/ip4/127.0.0.1/tcp/2/ws"]
                .map(address);
        let ordered = addresses(&external, listening.to_vec(), peer);
        let expected = [
            "/dns4/relay.example.org/tcp/443/wss",
            "/ip4/127.0.0.1/tcp/2/ws",
            "/ip6/::1/tcp/2/ws",
            "/ip4/127.0.0.1/tcp/1",
        ];
        assert_eq!(ordered, expected.map(|text| with_peer(&address(text), peer)));
    }

    #[test]
    fn addresses_get_the_peer_id_once() {
        let peer = PeerId::random();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("an address");
        let whole = with_peer(&address, peer);
        assert_eq!(whole.to_string(), format!("{address}/p2p/{peer}"));
        assert_eq!(with_peer(&whole, peer), whole);
    }
}
