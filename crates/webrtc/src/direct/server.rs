//! The side that listens: one UDP socket for each address, ICE-lite, and no signalling.
//!
//! Whoever sends a STUN request with a user name of the protocol gets a connection; what bounds that stands in
//! [`MAX_SETUPS`] and its neighbours. One that is set up is polled by its muxer and by nobody else.

mod certificate;
mod connection;
mod doorman;
mod listener;
mod peer;
mod slot;
mod socket;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};

use super::fingerprint::prologue;
use super::handshake::{Noise, Session, in_time};
use super::pipe::Pipe;
use super::{Error, NOISE_CHANNEL, address};
use crate::muxer::Muxer;
use crate::rtc::{Peer as _, PeerEvent, State};
pub use certificate::{Certificate, CertificateError};
pub use doorman::{MAX_SETUPS, MAX_SETUPS_PER_ADDRESS, MAX_SOURCES, SETUPS_PER_SECOND, SETUPS_PER_SECOND_AND_ADDRESS};
use listener::{Happening, Listener};
pub use peer::{Channel, Peer};
use socket::Incoming;

/// A connection: with whom, and its streams.
type Connected = (PeerId, Muxer<Peer>);

/// Listens on the addresses that [`address::parse_listen`] knows, and dials none. To be polled within a tokio runtime.
#[derive(Debug)]
pub struct Transport {
    key: Keypair,
    certificate: Certificate,
    listeners: Vec<Listener>,
}

impl Transport {
    /// As the owner of `key`, with addresses that hold the hash of `certificate`.
    pub fn new(key: Keypair, certificate: Certificate) -> Self {
        Self { key, certificate, listeners: Vec::new() }
    }
}

impl libp2p::Transport for Transport {
    type Output = Connected;
    type Error = Error;
    type ListenerUpgrade = BoxFuture<'static, Result<Connected, Error>>;
    type Dial = std::future::Pending<Result<Connected, Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        let socket = address::parse_listen(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        let listener = Listener::new(id, socket, self.certificate.clone());
        self.listeners.push(listener.map_err(|error| TransportError::Other(error.into()))?);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listeners.iter_mut().find(|listener| listener.id == id).is_some_and(Listener::close)
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        let Self { key, certificate, listeners } = &mut *self;
        for at in 0..listeners.len() {
            let Poll::Ready((happening, local)) = listeners[at].poll(cx) else { continue };
            let listener_id = listeners[at].id;
            // Those behind it come first the next time.
            let last = matches!(happening, Happening::Over);
            if last {
                listeners.remove(at);
            } else {
                listeners.rotate_left(at + 1);
            }
            let here = |socket| address::at(socket, &certificate.fingerprint());
            return Poll::Ready(match happening {
                Happening::Incoming(incoming) => TransportEvent::Incoming {
                    listener_id,
                    local_addr: here(local),
                    send_back_addr: address::bare(incoming.source),
                    upgrade: in_time(accept(incoming, key.clone(), certificate.clone())).boxed(),
                },
                Happening::Found(socket) => TransportEvent::NewAddress { listener_id, listen_addr: here(socket) },
                Happening::Lost(socket) => TransportEvent::AddressExpired { listener_id, listen_addr: here(socket) },
                Happening::Failed(error) => TransportEvent::ListenerError { listener_id, error: error.into() },
                Happening::Over => TransportEvent::ListenerClosed { listener_id, reason: Ok(()) },
            });
        }
        Poll::Pending
    }
}

async fn accept(incoming: Incoming, key: Keypair, certificate: Certificate) -> Result<Connected, Error> {
    let Incoming { peer, source: _, slot: _slot } = incoming;
    let mut session = Session::new(peer);
    // From the start: who dialled may be connected first.
    let channel = session.peer.create_negotiated("", NOISE_CHANNEL)?;
    session.wait_for(|event| matches!(event, PeerEvent::State(State::Connected)).then_some(())).await?;
    let client = session.peer.remote_fingerprint().ok_or(Error::Failed)?;
    let noise = Noise { key, prologue: prologue(client, certificate.fingerprint()) };
    let peer = session.prove_as_server(Pipe::new(channel), noise).await?;
    session.peer.proved();
    Ok((peer, Muxer::new(session.peer, session.early)))
}

/// Ends with what started it.
#[derive(Debug)]
struct Task(tokio::task::JoinHandle<()>);

impl Task {
    fn run(post: Arc<socket::Post>, certificate: Certificate, new: futures::channel::mpsc::Sender<Incoming>) -> Self {
        Self(tokio::spawn(socket::receive(post, certificate, new)))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
