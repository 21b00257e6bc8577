//! A STUN responder (RFC 8489): tells whoever asks under which address it was seen.
//!
//! Browsers that want to connect to each other directly have to know their addresses outside of their own network, and
//! somebody outside has to tell them. That is all of STUN that is here: Binding over UDP, without passwords. It keeps
//! nothing of who asked, answers at most so many in a second ([`quota`]), and is of no use to those who would have it
//! flood others under a false address: an answer is hardly longer than its request ([`message`]).

mod message;
mod quota;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::config::Stun;
use crate::metrics::StunMetrics;
use message::{MAX_REQUEST, Request};
use quota::Quota;

/// How long to wait when the system gives an error instead of a datagram, so that it is not asked without pause.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer STUN on {address}: {source}; name another address with --stun, or --stun off")]
pub(crate) struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Takes the configured sockets, so that a port in use is known before anything else starts. Those that this program
/// chose itself may be missing, with a warning: another program may have the port, and the machine no IPv6.
pub(crate) fn bind(config: &Stun, has_ipv6: bool) -> Result<Vec<UdpSocket>, BindError> {
    let by_default = config.listens_by_default();
    let mut sockets = Vec::new();
    for address in config.listen.0.iter().filter(|address| has_ipv6 || !by_default || address.is_ipv4()) {
        match socket(*address).map_err(|source| BindError { address: *address, source }) {
            Ok(socket) => sockets.push(socket),
            Err(error) if by_default => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // The IPv4 address of the same port is a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Answers on `sockets` until it is dropped.
pub(crate) async fn serve(sockets: Vec<UdpSocket>, config: Stun, metrics: StunMetrics) {
    let Stun { listen: _, per_second, per_second_per_address } = config;
    let quota = Arc::new(Mutex::new(Quota::new(per_second, per_second_per_address)));
    let mut tasks = JoinSet::new();
    for socket in sockets {
        tasks.spawn(answer(socket, Arc::clone(&quota), metrics.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

async fn answer(socket: UdpSocket, quota: Arc<Mutex<Quota>>, metrics: StunMetrics) {
    // One byte more than the longest: what fills it was longer still, and cut off.
    let mut datagram = [0; MAX_REQUEST + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut datagram).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Some(request) = datagram.get(..length).and_then(Request::parse) else {
            metrics.ignored.inc();
            continue;
        };
        let now = mesh_platform::now().mono;
        if !quota.lock().unwrap_or_else(PoisonError::into_inner).take(from.ip(), now) {
            metrics.limited.inc();
            continue;
        }
        let answer = request.answer(from);
        if answer.success { &metrics.answered } else { &metrics.refused }.inc();
        // What the system has no room for is lost, as it could be on the way: the client asks again.
        let _ = socket.try_send_to(&answer.bytes, from);
    }
}
