//! The life of the process: start everything or say in one sentence what is in the way, run until a signal comes,
//! close in good order.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use mesh_core::weights::ReceivingConfig;
use mesh_core::{access, knowledge, node};
use mesh_net::{Around, Event, EventStream, Handle, Identity, Role, Running, StartError, Tls};
use mesh_proto::gossip::Storage;
use mesh_proto::limits::MAX_STORAGE;
use tokio::task::JoinSet;

use crate::config::{self, Blocks, Config, Listen, is_secure};
use crate::host::RelayHost;
use crate::http::{self, Node, Status};
use crate::key::{self, Key};
use crate::membership::{self, Membership, MembershipError};
use crate::metrics::metrics;
use crate::operator::Operator;
use crate::output::{Output, Started};
use crate::signals::{Hangups, Signals};
use crate::{addresses, blocks, charter, direct, hop, ports, stun, tls, ui};

/// How long saying goodbye to the mesh may take.
const CLOSE: Duration = Duration::from_secs(3);

/// A browser checks the certificate against the name in the address, and the addresses of this machine have none.
const NAMELESS: &str = "no external address has the certificate's name: browsers need one to come in by, as in \
    --external /dns4/relay.example.org/tcp/4443/wss";

/// Why the relay did not start or did not end well: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Key(#[from] key::KeyError),
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error(transparent)]
    Blocks(#[from] blocks::BlockFileError),
    #[error(transparent)]
    Tls(#[from] tls::TlsFileError),
    #[error(transparent)]
    Direct(#[from] direct::DirectFileError),
    #[error(transparent)]
    Http(#[from] http::BindError),
    #[error(transparent)]
    Stun(#[from] stun::BindError),
    #[error(transparent)]
    Ui(#[from] ui::UiError),
    #[error(transparent)]
    Port(#[from] ports::PortError),
    #[error(transparent)]
    Start(#[from] StartError),
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

async fn live(mut config: Config, output: Output) -> Result<(), RunError> {
    // First of all: a signal that comes during the start is not lost.
    let mut signals = Signals::new()?;
    let Key { seed, created } = key::load_or_create(&config.key, fresh_seed)?;
    let identity = Identity::from_seed(seed);
    let membership = Membership::find(&config, identity.node())?;
    if let Some(name) = membership.name() {
        name.clone_into(&mut config.mesh);
    }
    config.charter = membership.file(&config);
    let (is_private, is_new) = (membership.is_private(), membership.is_new());
    let peer_id = identity.peer_id();
    let certificate = match tls::load(&config.tls)? {
        Some(certificate) => Some((certificate, Hangups::new()?)),
        None => None,
    };
    let direct = direct::load_or_create(&config)?;
    config.external = direct::with_hash(&config.external, direct.as_ref());
    let has_ipv6 = has_ipv6();
    let listener = match config.http.listen {
        Listen(Some(address)) => Some(http::bind(address).await?),
        Listen(None) => None,
    };
    let http = listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    let page = ui::bind(&config.ui).await?;
    let ui = page.as_ref().map(ui::Page::address).transpose()?;
    let stun_sockets = stun::bind(&config.stun, has_ipv6)?;
    let stun = stun_sockets.iter().map(tokio::net::UdpSocket::local_addr).collect::<io::Result<Vec<_>>>()?;

    let (recorder, exporter) = metrics(peer_id, &config.mesh);
    let (relayed, stun_metrics) = (exporter.relayed_bytes(), exporter.stun());
    let status = Arc::new(Status {
        peer_id,
        mesh: config.mesh.clone(),
        exporter,
        operator: Operator::new(&seed, ui),
        node: OnceLock::new(),
        closing: AtomicBool::new(false),
    });
    // What else is served. Ends with this function, however that does.
    let mut servers = JoinSet::new();
    if let Some(listener) = listener {
        servers.spawn(http::serve(listener, Arc::clone(&status)));
    }

    let charter_for_pages = membership.open_charter().map(charter::hex);
    let mut node_config = node_config(&config, membership, identity, has_ipv6)?;
    let (blocks, entries) = blocks::open(&config.blocks, &config.key)?;
    node_config.blocks = Some(blocks);
    node_config.entries = entries;
    node_config.tls = certificate.as_ref().map(|(certificate, _)| certificate.clone());
    node_config.direct = direct;
    node_config.around = Some(Around::new(move |connection| hop::counted(connection, relayed.clone())));
    ports::check(&node_config.listen)?;
    let host = RelayHost::new(config.relay.clone(), config.mdns, recorder);
    let Running { handle, events, listening } = match mesh_net::start(node_config, host).await {
        Ok(running) => running,
        Err(error) => {
            return Err(membership::why(error, &config).map_or_else(RunError::Start, RunError::Membership));
        }
    };
    let addresses = addresses::of_members(&config.external, listening, peer_id);
    let private = if is_private { Some(membership::enter(&handle, &config).await?) } else { None };
    let stun = addresses::of_stun(&addresses, config.external.len(), &stun);
    if let Some(page) = page {
        servers.spawn(page.serve(ui::Relay::new(
            (&config.mesh, charter_for_pages),
            private.as_ref(),
            peer_id,
            &addresses,
            &stun,
        )));
    }
    servers.spawn(async move {
        stun::serve(stun_sockets, config.stun, stun_metrics).await;
        Ok(())
    });
    let invite = if is_new { Some(membership::first_invite(&handle, ui, &addresses).await?) } else { None };
    let node =
        Node { handle: handle.clone(), addresses: addresses.clone(), stun: stun.clone(), private: private.clone() };
    let _ = status.node.set(node);
    if certificate.is_some() && !config.external.iter().any(is_secure) {
        tracing::warn!("{NAMELESS}");
    }
    let Config { mesh, charter, key, tls: files, .. } = config;
    let key_created = created;
    output.started(&Started { peer_id, mesh, charter, private, invite, addresses, stun, http, ui, key, key_created });

    tokio::select! {
        () = signals.next() => {}
        () = renew(certificate, &files) => {}
        () = follow(events) => return Err(RunError::Ended),
    }
    status.closing.store(true, Ordering::Relaxed);
    close(&handle, &mut signals).await?;
    servers.abort_all();
    output.stopped();
    Ok(())
}

/// Entries that a relay keeps: of some ten agents as many as each may have.
const MAX_ENTRIES: usize = 131_072;
/// Their bytes, in memory and in the file.
const MAX_ENTRY_BYTES: usize = 64 * 1024 * 1024;

async fn close(handle: &Handle, signals: &mut Signals) -> Result<(), RunError> {
    tracing::info!("closing");
    tokio::select! {
        closed = tokio::time::timeout(CLOSE, handle.close()) => {
            if closed.is_err() {
                tracing::warn!("peers did not let go in time");
            }
            Ok(())
        }
        () = signals.next() => Err(RunError::Forced),
    }
}

/// Reads the certificate again with each SIGHUP. Never ends.
async fn renew(certificate: Option<(Tls, Hangups)>, files: &config::Tls) {
    // Without one, SIGHUP ends the program as it ends others whose terminal is closed.
    let Some((certificate, mut hangups)) = certificate else { return std::future::pending().await };
    loop {
        hangups.next().await;
        match tls::reload(files, &certificate) {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!("{error}; the former certificate stays"),
        }
    }
}

fn fresh_seed() -> io::Result<[u8; key::SEED]> {
    Identity::generate().map(|identity| identity.seed()).map_err(io::Error::other)
}

/// What the node is told to be: a hub that many peers stay connected to.
fn node_config(
    config: &Config,
    membership: Membership,
    identity: Identity,
    has_ipv6: bool,
) -> Result<mesh_net::Config, RunError> {
    let mut node = membership.node(config, identity)?;
    node.role = Role::Hub;
    // Beside those of an invite.
    node.relays.extend(config.peers.iter().cloned());
    node.external.clone_from(&config.external);
    node.listen = listeners(config, has_ipv6);
    // Nobody here could use weights that are sent to the relay itself.
    node.core.weights.receiving = ReceivingConfig::up_to(0);
    node.core.inbox = false;
    node.core.knowledge = knowledge(&config.blocks);
    node.agent_version = concat!("mesh-relay/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(node)
}

/// What the mesh knows, and content of all: a relay holds it as long as there is room, for it is there when tabs are closed.
fn knowledge(blocks: &Blocks) -> knowledge::Config {
    let mut config = knowledge::Config::default();
    config.ledger.max_entries = MAX_ENTRIES;
    config.ledger.max_bytes = MAX_ENTRY_BYTES;
    config.holding.max_bytes = blocks.max_bytes;
    config.offer = (blocks.max_bytes > 0).then(|| Storage {
        bytes: blocks.max_bytes.min(MAX_STORAGE),
        native: true,
        zone: blocks.zone.clone(),
    });
    config
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

/// Logs what happens in the mesh. Ends when the node does.
async fn follow(mut events: EventStream) {
    while let Some(event) = events.next().await {
        match event {
            Event::Core(node::Event::Broadcast { from, body, .. }) => {
                tracing::trace!(%from, bytes = body.len(), "broadcast");
            }
            Event::Core(node::Event::Access(event)) => tell(&event),
            Event::Core(event) => tracing::debug!(?event, "mesh"),
            Event::Weights { from, .. } => tracing::debug!(%from, "weights for nobody"),
            Event::Lagged(dropped) => tracing::debug!(dropped, "mesh events were not looked at"),
        }
    }
}

/// Logs who comes in, and whether this relay is still in itself.
fn tell(event: &access::Event) {
    match event {
        access::Event::Redeemed { serial, node, role } => {
            let peer = mesh_net::peer_of(node).map(|peer| peer.to_string()).unwrap_or_default();
            tracing::info!(peer, ?role, day = serial.day, number = serial.number, "an invite was redeemed");
        }
        access::Event::Renewed(standing) => {
            tracing::info!(until = standing.until, "this relay's credential was renewed")
        }
        access::Event::Lost(error) => {
            tracing::error!("this relay is no member any more: {error}. Start it with a new invite, --invite LINK");
        }
        // Anybody can knock, as often as they like.
        access::Event::TurnedAway { node, refusal } => tracing::debug!(%node, ?refusal, "turned away"),
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
}
