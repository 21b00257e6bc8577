//! The swarm.

use std::time::Duration;

use futures::future::Either;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, NetworkBehaviour, Swarm};
use libp2p::{PeerId, StreamProtocol, Transport as _, identify, noise, ping, relay, websocket_websys, yamux};
use mesh_webrtc::rtc::web::Rtc;

use crate::streams;

/// Between two pings.
const PING: Duration = Duration::from_millis(500);
/// Between two questions who the other is: the stream of one may get lost in node-datachannel.
const IDENTIFY: Duration = Duration::from_secs(5);
/// A connection is closed by the tests, not for want of streams.
const IDLE: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    relay: relay::client::Behaviour,
    webrtc: mesh_webrtc::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) streams: streams::Behaviour,
}

/// A node that accepts streams of `protocols`.
pub(crate) fn swarm(protocols: Vec<StreamProtocol>, hold_candidates: bool) -> Result<Swarm<Behaviour>, noise::Error> {
    let key = Keypair::generate_ed25519();
    let (relay_transport, relay) = relay::client::new(key.public().to_peer_id());
    let config = mesh_webrtc::Config { hold_candidates, ..mesh_webrtc::Config::default() };
    let (webrtc_transport, webrtc) = mesh_webrtc::new(config, Rtc::global());
    let streams = OrTransport::new(relay_transport, websocket_websys::Transport::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key)?)
        .multiplex(yamux::Config::default());
    let transport: Boxed<(PeerId, StreamMuxerBox)> = OrTransport::new(webrtc_transport, streams)
        .map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        })
        .boxed();
    let identify = identify::Config::new("interop/1.0.0".to_owned(), key.public())
        .with_agent_version("interop-peer/0.0.0".to_owned())
        .with_interval(IDENTIFY);
    let behaviour = Behaviour {
        relay,
        webrtc,
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING)),
        streams: streams::Behaviour::new(protocols),
    };
    let config = Config::with_executor(wasm_bindgen_futures::spawn_local).with_idle_connection_timeout(IDLE);
    Ok(Swarm::new(transport, behaviour, key.public().to_peer_id(), config))
}
