//! How bytes travel: the transports of each target, under one roof. The only file of this crate that asks where it runs.

use std::time::Duration;

use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::{PeerId, relay};
use mesh_webrtc::direct;
use mesh_webrtc::rtc::Rtc;

use crate::config::Config;

pub use imp::{Direct, DirectError, Tls, TlsError};

/// Everything a node dials and listens with, and the behaviours whose other halves are transports.
pub(crate) struct Built {
    pub(crate) transport: Boxed<(PeerId, StreamMuxerBox)>,
    pub(crate) relay: relay::client::Behaviour,
    pub(crate) webrtc: Option<mesh_webrtc::Behaviour>,
}

/// Why the transports could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The key does not fit Noise.
    #[error("no Noise handshake with this key: {0}")]
    Noise(#[from] libp2p::noise::Error),
    /// The system's resolver cannot be used.
    #[error("no DNS: {0}")]
    Dns(#[from] std::io::Error),
}

/// How long a connection may take to prove who is at its other end. Sockets that say nothing hold a place until then.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What `config` asks for, with what its program has and puts around each connection.
pub(crate) fn build<R: Rtc>(config: &Config, rtc: Option<R>) -> Result<Built, TransportError> {
    let (transport, relay) = imp::build(config.identity.libp2p(), config.tls.clone(), config.direct.clone())?;
    let (transport, webrtc) = match rtc {
        Some(rtc) => {
            let direct = direct::client::Transport::new(rtc.clone(), config.identity.libp2p().clone());
            let direct = direct.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
            let (webrtc, behaviour) = mesh_webrtc::new(config.webrtc.clone(), rtc);
            let webrtc = webrtc.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
            let transport = OrTransport::new(direct, transport).map(|either, _| either.into_inner());
            // Before the relay client, which would take its addresses for circuits.
            (OrTransport::new(webrtc, transport).map(|either, _| either.into_inner()).boxed(), Some(behaviour))
        }
        None => (transport, None),
    };
    let transport = match config.around.clone() {
        Some(around) => transport.map(move |(peer, muxer), _| (peer, around.put(muxer))).boxed(),
        None => transport,
    };
    Ok(Built { transport, relay, webrtc })
}

/// With whom, and its streams.
type Connection = (PeerId, StreamMuxerBox);

/// Transports of the target, and the relay client's other half.
type Pair = (Boxed<Connection>, relay::client::Behaviour);

/// Yamux as every stream of ours travels in it.
fn yamux() -> yamux::Yamux {
    yamux::Yamux::default()
}

mod yamux;

#[cfg(all(feature = "webrtc-direct", not(target_arch = "wasm32")))]
#[path = "transport/direct.rs"]
mod certificate;
#[cfg(not(target_arch = "wasm32"))]
mod tls;

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use futures::future::Either;
    use libp2p::core::Transport as _;
    use libp2p::core::muxing::StreamMuxerBox;
    use libp2p::core::transport::{Boxed, OrTransport};
    use libp2p::core::upgrade::Version;
    use libp2p::identity::Keypair;
    use libp2p::{dns, noise, quic, relay, tcp};

    #[cfg(feature = "webrtc-direct")]
    pub use super::certificate::{Direct, DirectError};
    use super::tls::WebSocket;
    pub use super::tls::{Tls, TlsError};
    use super::{Connection, HANDSHAKE, Pair, TransportError, yamux};

    /// Not compiled in, so there is no certificate to show.
    #[cfg(not(feature = "webrtc-direct"))]
    #[derive(Clone, Debug)]
    pub enum Direct {}

    /// Nothing that could go wrong with it.
    #[cfg(not(feature = "webrtc-direct"))]
    #[derive(Debug)]
    pub enum DirectError {}

    /// Circuits through relays; WebSocket and TCP with Noise and yamux; QUIC; who comes by WebRTC, where there is a
    /// certificate for it.
    pub(crate) fn build(key: &Keypair, tls: Option<Tls>, direct: Option<Direct>) -> Result<Pair, TransportError> {
        let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
        let (relay_transport, relay) = relay::client::new(key.public().to_peer_id());
        // It has to see the name that its certificate is checked against, so it resolves names itself.
        let websocket = WebSocket::new(dns::tokio::Transport::system(tcp())?, tls);
        let named = OrTransport::new(relay_transport, websocket)
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(yamux())
            .timeout(HANDSHAKE);
        let streams =
            tcp().upgrade(Version::V1Lazy).authenticate(noise::Config::new(key)?).multiplex(yamux()).timeout(HANDSHAKE);
        let quic = quic::tokio::Transport::new(quic::Config::new(key));
        let resolved = OrTransport::new(quic, streams).map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        });
        // The last one takes every address that is left, whether or not it can dial it.
        let transport =
            OrTransport::new(named, dns::tokio::Transport::system(resolved)?).map(|either, _| match either {
                Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
                Either::Right(connection) => connection,
            });
        Ok((with_direct(transport.boxed(), key, direct), relay))
    }

    #[cfg(feature = "webrtc-direct")]
    fn with_direct(transport: Boxed<Connection>, key: &Keypair, direct: Option<Direct>) -> Boxed<Connection> {
        let Some(direct) = direct else { return transport };
        let server = mesh_webrtc::direct::server::Transport::new(key.clone(), direct.certificate());
        let server = server.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
        OrTransport::new(server, transport).map(|either, _| either.into_inner()).boxed()
    }

    #[cfg(not(feature = "webrtc-direct"))]
    fn with_direct(transport: Boxed<Connection>, _: &Keypair, direct: Option<Direct>) -> Boxed<Connection> {
        match direct {
            Some(direct) => match direct {},
            None => transport,
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod websocket;

#[cfg(target_arch = "wasm32")]
mod imp {
    use libp2p::core::Transport as _;
    use libp2p::core::muxing::StreamMuxerBox;
    use libp2p::core::transport::OrTransport;
    use libp2p::core::upgrade::Version;
    use libp2p::identity::Keypair;
    use libp2p::{noise, relay};

    use super::{HANDSHAKE, Pair, TransportError, websocket, yamux};

    /// Nobody listens here, so there is no certificate to show.
    #[derive(Clone, Debug)]
    pub enum Tls {}

    /// Nothing that could go wrong with it.
    #[derive(Debug)]
    pub enum TlsError {}

    /// Nobody listens here.
    #[derive(Clone, Debug)]
    pub enum Direct {}

    /// Nothing that could go wrong with it.
    #[derive(Debug)]
    pub enum DirectError {}

    /// The host's WebSocket with Noise and yamux; circuits through relays.
    pub(crate) fn build(key: &Keypair, _: Option<Tls>, _: Option<Direct>) -> Result<Pair, TransportError> {
        let (relay_transport, relay) = relay::client::new(key.public().to_peer_id());
        let transport = OrTransport::new(relay_transport, websocket::Transport::default())
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(yamux())
            .timeout(HANDSHAKE)
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed();
        Ok((transport, relay))
    }
}
