//! What transport and behaviour say to each other. The transport has the handshakes, the behaviour has the streams.

use futures::channel::oneshot;
use libp2p::{Multiaddr, PeerId, Stream};

use crate::error::Error;
use crate::slots::Slot;

/// From the transport's futures to the behaviour.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A signalling stream is wanted.
    Stream(Wanted),
    /// No connection came of a handshake, or of the attempt to begin one.
    Failed { peer: PeerId, error: Error, inbound: bool },
}

/// A signalling stream that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) peer: PeerId,
    /// Where to dial the peer if there is no relayed connection.
    pub(crate) relayed: Option<Multiaddr>,
    pub(crate) respond: Respond,
}

/// The answer to [`Wanted`].
pub(crate) type Respond = oneshot::Sender<Result<Lent, Error>>;

/// A signalling stream, and the place for its handshake. It is whose that holds it.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) peer: PeerId,
    pub(crate) stream: Stream,
    pub(crate) slot: Slot,
}
