//! How bytes travel: the transports of each target, under one roof. The only file of this crate that asks where it runs.

use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::{PeerId, relay};

pub(crate) use imp::build;

/// Everything a node dials and listens with, and the relay client whose other half is a behaviour.
pub(crate) type Built = (Boxed<(PeerId, StreamMuxerBox)>, relay::client::Behaviour);

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

/// Yamux as every stream of ours travels in it.
fn yamux() -> libp2p::yamux::Config {
    libp2p::yamux::Config::default()
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use futures::future::Either;
    use libp2p::core::Transport as _;
    use libp2p::core::muxing::StreamMuxerBox;
    use libp2p::core::transport::OrTransport;
    use libp2p::core::upgrade::Version;
    use libp2p::identity::Keypair;
    use libp2p::{dns, noise, quic, relay, tcp, websocket};

    use super::{Built, HANDSHAKE, TransportError, yamux};

    /// QUIC; TCP and WebSocket with Noise and yamux; circuits through relays.
    pub(crate) fn build(key: &Keypair) -> Result<Built, TransportError> {
        let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
        let websocket = websocket::Config::new(tcp());
        let (relay_transport, relay) = relay::client::new(key.public().to_peer_id());

        let streams = OrTransport::new(relay_transport, OrTransport::new(websocket, tcp()))
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(yamux())
            .timeout(HANDSHAKE);
        let quic = quic::tokio::Transport::new(quic::Config::new(key));
        let either = OrTransport::new(quic, streams).map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        });
        let transport = dns::tokio::Transport::system(either)?.boxed();
        Ok((transport, relay))
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

    use super::{Built, HANDSHAKE, TransportError, websocket, yamux};

    /// The host's WebSocket with Noise and yamux; circuits through relays.
    pub(crate) fn build(key: &Keypair) -> Result<Built, TransportError> {
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
