//! The socket: each datagram goes to the connection whose it is, or to none.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use socket2::{Domain, Socket, Type};
use str0m::ice::{StunMessage, StunMessageBuilder, TransId};
use tokio::net::UdpSocket;

use super::certificate::Certificate;
use super::connection::Connection;
use super::doorman::Doorman;
use super::peer::Peer;
use crate::clock;
use crate::direct::credentials::{self, Pair};
use crate::slots::Slot;

/// The longest datagram that is looked at. Browsers send 1200 bytes and a little.
const MAX_DATAGRAM: usize = 2048;

/// Bytes that the system keeps of what has come and of what is to go, if it lets us: all connections share it.
const SYSTEM_BUFFER: usize = 4 * 1024 * 1024;

/// How long to wait when the system gives an error instead of a datagram, so that it is not asked without pause.
const PAUSE: Duration = Duration::from_millis(10);

/// The code of a refusal: the request is understood and not granted (RFC 8656, section 19).
const FORBIDDEN: u16 = 403;

/// Bytes of a refusal, which is shorter than what it answers.
const MAX_REFUSAL: usize = 128;

/// One who has come: not connected yet, and who it is nobody knows.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) peer: Peer,
    pub(super) source: SocketAddr,
    /// Held until it is set up or has failed.
    pub(super) slot: Slot,
}

/// The part of a socket that its connections use.
#[derive(Debug)]
pub(super) struct Post {
    socket: UdpSocket,
    doorman: Mutex<Doorman<Connection>>,
}

impl Post {
    /// Takes `address`.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        if address.is_ipv6() {
            // The IPv4 address of the same port is a socket of its own.
            socket.set_only_v6(true)?;
        }
        // Systems give as much as they allow.
        let _ = socket.set_recv_buffer_size(SYSTEM_BUFFER);
        let _ = socket.set_send_buffer_size(SYSTEM_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, doorman: Mutex::default() })
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends at once. `false` when the system has no room for it now; other failures are as good as a lost datagram.
    pub(super) fn send(&self, datagram: &[u8], to: SocketAddr) -> bool {
        !matches!(self.socket.try_send_to(datagram, to), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(super) fn doorman(&self) -> MutexGuard<'_, Doorman<Connection>> {
        self.doorman.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in what comes until the task is dropped. Those who are new go to `incoming`.
pub(super) async fn receive(post: Arc<Post>, certificate: Certificate, mut incoming: mpsc::Sender<Incoming>) {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        match post.socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                if let Some(new) = take(&post, &certificate, &buffer[..length], source) {
                    // As many fit in as there are places; past it whoever comes is not answered.
                    let _ = incoming.try_send(new);
                }
            }
            // Windows tells of hosts that could not be reached in this way.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Takes in one datagram; it may be the first of somebody new.
fn take(post: &Arc<Post>, certificate: &Certificate, datagram: &[u8], source: SocketAddr) -> Option<Incoming> {
    // The first byte tells STUN and DTLS from each other and from media (RFC 7983), which nobody sends here.
    if !matches!(datagram.first(), Some(0..=3 | 20..=63)) {
        return None;
    }
    let known = post.doorman().at(source);
    if let Some(connection) = known {
        connection.deliver(datagram, source);
        return None;
    }
    let message = StunMessage::parse(datagram).ok().filter(StunMessage::is_binding_request)?;
    let username = message.username()?;
    let credentials = credentials::parse(username)?;
    let hmac = |key: &[u8], parts: &[&[u8]]| certificate.provider().sha1_hmac_provider.sha1_hmac(key, parts);
    if !message.verify(credentials.server.password.as_bytes(), hmac) {
        return None;
    }
    let mut doorman = post.doorman();
    if doorman.knows(username) {
        doorman.also_at(username, source)?.deliver(datagram, source);
        return None;
    }
    let now = clock::now();
    if doorman.is_gone(username, now) {
        drop(doorman);
        post.send(&refusal(message.trans_id(), &credentials.server, hmac)?, source);
        return None;
    }
    let slot = doorman.admit(source, now)?;
    let connection = Connection::new(Arc::clone(post), certificate, credentials, username)
        .inspect_err(|error| tracing::debug!(%error, "no connection"))
        .ok()?;
    let connection = Arc::new(connection);
    doorman.enter(username.to_owned(), source, Arc::clone(&connection));
    drop(doorman);
    connection.deliver(datagram, source);
    Some(Incoming { peer: Peer::new(connection), source, slot })
}

/// Says that a connection is gone, to who asks for it and has not noticed. libwebrtc then gives it up at once, whatever
/// the code, unless that is one of those with a meaning to ICE (`Connection::OnConnectionRequestErrorResponse`).
fn refusal(to: TransId, server: &Pair, hmac: impl Fn(&[u8], &[&[u8]]) -> [u8; 20]) -> Option<Vec<u8>> {
    let message = StunMessageBuilder::new().binding().failure().error_code(FORBIDDEN, "gone").build(to);
    let mut bytes = vec![0; MAX_REFUSAL];
    let length = message.to_bytes(Some(server.password.as_bytes()), &mut bytes, hmac).ok()?;
    bytes.truncate(length);
    Some(bytes)
}
