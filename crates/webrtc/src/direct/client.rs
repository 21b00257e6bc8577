//! The side that dials: with the WebRTC of a browser, of Node.js, or of a test.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};

use super::address::{self, Target};
use super::fingerprint::prologue;
use super::handshake::{Noise, Session, in_time};
use super::pipe::Pipe;
use super::{Error, NOISE_CHANNEL, credentials, sdp};
use crate::muxer::Muxer;
use crate::rtc::{Kind, Peer as _, PeerEvent, Rtc, State};
use crate::signalling::sdp::Sdp;

/// A connection: with whom, and its streams.
type Connection<R> = (PeerId, Muxer<<R as Rtc>::Peer>);

/// Dials the addresses that [`address::parse`] knows, and listens on none.
#[derive(Clone, Debug)]
pub struct Transport<R> {
    rtc: R,
    key: Keypair,
}

impl<R> Transport<R> {
    /// With `rtc`, as the owner of `key`.
    pub fn new(rtc: R, key: Keypair) -> Self {
        Self { rtc, key }
    }
}

impl<R: Rtc> libp2p::Transport for Transport<R> {
    type Output = Connection<R>;
    type Error = Error;
    type ListenerUpgrade = std::future::Pending<Result<Connection<R>, Error>>;
    type Dial = BoxFuture<'static, Result<Connection<R>, Error>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        let target = match opts.role {
            Endpoint::Dialer => address::parse(&address),
            Endpoint::Listener => None,
        };
        let Some(target) = target else { return Err(TransportError::MultiaddrNotSupported(address)) };
        Ok(in_time(dial(self.rtc.clone(), self.key.clone(), target)).boxed())
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        Poll::Pending
    }
}

async fn dial<R: Rtc>(rtc: R, key: Keypair, target: Target) -> Result<Connection<R>, Error> {
    let mut session = Session::new(rtc.open()?);
    // Before the offer, for that to have something to offer.
    let channel = session.peer.create_negotiated("", NOISE_CHANNEL)?;
    session.peer.describe(Kind::Offer);
    let described = |event| if let PeerEvent::Described(sdp) = event { Some(sdp) } else { None };
    let offer = Sdp::parse(session.wait_for(described).await?)?;
    let own = sdp::read(&offer).ok_or(Error::NoPassword)?;
    let server = credentials::of_server(&own.password).ok_or(Error::NoPassword)?;
    session.peer.set_local(Kind::Offer, offer.as_str());
    session.wait_for(|event| matches!(event, PeerEvent::LocalSet).then_some(())).await?;
    let answer = sdp::answer(&offer, target.socket, &server, target.fingerprint);
    session.peer.set_remote(Kind::Answer, &answer);
    session.wait_for(|event| matches!(event, PeerEvent::State(State::Connected)).then_some(())).await?;

    let noise = Noise { key, prologue: prologue(own.fingerprint, target.fingerprint) };
    let peer = session.prove_as_client(Pipe::new(channel), noise).await?;
    if peer != target.peer {
        return Err(Error::OtherPeer(peer));
    }
    Ok((peer, Muxer::new(session.peer, session.early)))
}
