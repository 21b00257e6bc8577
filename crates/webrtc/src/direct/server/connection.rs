//! A connection: the sans-IO machine that knows ICE, DTLS and SCTP, its channels, and what waits for either.
//!
//! The socket's task only leaves datagrams here. Who polls the [`Peer`](super::Peer), which is the muxer, has them worked
//! off, and keeps the clock. Channels put what they send into their own queues and wake that task.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelId};
use str0m::crypto::Fingerprint;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc};

use super::certificate::{Certificate, CertificateError};
use super::slot::Slot;
use super::socket::Post;
use crate::clock::instant;
use crate::direct::credentials::{Credentials, Pair};
use crate::framing::MAX_FRAME;
use crate::rtc::{MAX_EARLY, State};

/// Datagrams of one connection that have come and were not worked off. Later ones are lost, as they may be on the way.
pub(super) const MAX_WAITING: usize = 512;

/// Bytes that come on one connection before the remote has proved who it is: two handshakes of some 3 KB, and the first of
/// what it has to say, which SCTP begins with 12 KB of. Past it the connection is given up. It bounds what waits here, what
/// SCTP keeps of messages whose end has not come, and the work: str0m goes through all streams for each datagram, and 20
/// bytes are one more. It bounds too what nobody has read, which with an overhead for each message may be more than came.
pub(super) const MAX_UNPROVED: usize = 64 * 1024;

/// Bytes that SCTP has on its way or keeps to send again. What else there is to send waits in the channels' queues.
const IN_FLIGHT: usize = 512 * 1024;

/// An address that has not shown that it gets what is sent to it is sent no more than so many times what came from it,
/// as in QUIC (RFC 9000, section 8.1).
const AMPLIFICATION: u64 = 3;

/// Datagrams that are worked off before others get a turn.
const BATCH: usize = 64;

/// The first byte of a DTLS record of a handshake, which is how a connection begins, and the least of any record.
const HANDSHAKE_RECORD: u8 = 22;
const FIRST_RECORD: u8 = 20;

/// How long a channel that we have closed is left for the remote to close first. Whoever dialled does so when it hears that
/// the stream has ended. It matters, because sctp-proto resets its half of a channel once more when the remote answers its
/// reset, and libdatachannel may have given the channel's id to a new one by then, which the second reset would end.
const LINGER: Duration = Duration::from_secs(5);

/// Channels left so. Past it the oldest are closed.
pub(super) const MAX_LINGERING: usize = 256;

/// How long to wait when the system has no room for a datagram.
const SYSTEM_FULL: Duration = Duration::from_millis(1);

/// What the connection has to tell.
#[derive(Debug)]
pub(super) enum Told {
    State(State),
    Channel(ChannelId, String),
}

/// A connection, shared by the socket's task, the muxer and the channels.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) username: String,
    pub(super) post: Arc<Post>,
    inner: Mutex<Inner>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) rtc: Rtc,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) told: VecDeque<Told>,
    pub(super) slots: HashMap<ChannelId, Slot>,
    /// Channels with something to send, each once, in the order of their turns.
    pub(super) senders: VecDeque<ChannelId>,
    /// Channels to be closed once what they sent has come.
    pub(super) leavers: Vec<ChannelId>,
    /// Channels of which all has come, and when we close them if the remote has not; the oldest first.
    pub(super) lingering: VecDeque<(ChannelId, Instant)>,
    /// [`LINGER`], or nothing for who dialled.
    linger: Duration,
    /// Bytes that nobody has read, [`MESSAGE_OVERHEAD`](crate::rtc::MESSAGE_OVERHEAD) included.
    pub(super) unread: usize,
    /// Whether the remote has proved who it is.
    pub(super) proved: bool,
    /// Whether a DTLS handshake has begun.
    greeted: bool,
    connected: bool,
    /// Whether its address has shown that it gets what is sent to it.
    reached: bool,
    received: u64,
    sent: u64,
    /// Where DTLS goes.
    records_to: Option<IpAddr>,
    /// Where the handshake was done from. Nothing else counts after it: who is connected could have what it asks for
    /// sent to somebody else, by one datagram with a false source.
    home: Option<IpAddr>,
    /// What the system had no room for.
    unsent: Option<(SocketAddr, Vec<u8>)>,
    /// When the machine wants to be told the time.
    pub(super) due: Option<Instant>,
    pub(super) over: bool,
    pub(super) muxer: Option<Waker>,
}

impl Connection {
    /// One with whoever asked with these `credentials`.
    pub(super) fn new(
        post: Arc<Post>,
        certificate: &Certificate,
        credentials: Credentials,
        username: &str,
    ) -> Result<Self, CertificateError> {
        let creds = |Pair { ufrag, password }| IceCreds { ufrag, pass: password };
        let mut rtc = certificate
            .config()
            .set_ice_lite(true)
            .set_local_ice_credentials(creds(credentials.server))
            .set_fingerprint_verification(false)
            .set_sctp_max_buffered_amount(IN_FLIGHT)
            .build(instant());
        for local in [LOCAL_V4, LOCAL_V6] {
            if let Ok(candidate) = Candidate::host(local, Protocol::Udp) {
                rtc.add_local_candidate(candidate);
            }
        }
        let mut api = rtc.direct_api();
        api.set_ice_controlling(false);
        api.set_remote_ice_credentials(creds(credentials.client));
        // Nobody knows it; the Noise handshake takes the one that comes.
        api.set_remote_fingerprint(Fingerprint { hash_func: "sha-256".to_owned(), bytes: vec![0; 32] });
        api.start_dtls(false)?;
        api.start_sctp(false);
        Ok(Self::of(post, username, rtc))
    }

    /// One that `rtc` is made for.
    pub(super) fn of(post: Arc<Post>, username: &str, rtc: Rtc) -> Self {
        let inner = Inner {
            rtc,
            waiting: VecDeque::new(),
            told: VecDeque::new(),
            slots: HashMap::new(),
            senders: VecDeque::new(),
            leavers: Vec::new(),
            lingering: VecDeque::new(),
            linger: LINGER,
            unread: 0,
            proved: false,
            greeted: false,
            connected: false,
            reached: false,
            received: 0,
            sent: 0,
            records_to: None,
            home: None,
            unsent: None,
            due: None,
            over: false,
            muxer: None,
        };
        Self { username: username.to_owned(), post, inner: Mutex::new(inner) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A datagram has come.
    pub(super) fn deliver(&self, datagram: &[u8], source: SocketAddr) {
        let mut inner = self.lock();
        if inner.over || inner.waiting.len() >= MAX_WAITING {
            return;
        }
        match datagram.first() {
            Some(&HANDSHAKE_RECORD) => inner.greeted = true,
            // It speaks to somebody who was here before us, under the same address: a relay that was started again.
            Some(first) if *first >= FIRST_RECORD && !inner.greeted => return inner.end(State::Failed),
            Some(_) | None => {}
        }
        inner.received += datagram.len() as u64;
        if !inner.proved && inner.received > MAX_UNPROVED as u64 {
            return inner.end_of_patience();
        }
        inner.waiting.push_back((source, datagram.to_vec()));
        inner.wake();
    }
}

/// Our own end, for the machine: it sees one socket, and which of the host's addresses a datagram came to is told nobody.
pub(super) const LOCAL_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const LOCAL_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 1);

impl Inner {
    /// Makes it the end of who dialled, without the bounds that are there for who comes unasked.
    #[cfg(test)]
    pub(super) fn dials(&mut self) {
        (self.proved, self.reached, self.linger) = (true, true, Duration::ZERO);
    }

    /// Has the muxer's task come by.
    pub(super) fn wake(&mut self) {
        if let Some(muxer) = self.muxer.take() {
            muxer.wake();
        }
    }

    /// Works off what has come, what is due and what is to be sent. Whether there is more.
    pub(super) fn work(&mut self, post: &Post) -> bool {
        let now = instant();
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.feed(Input::Timeout(now));
        }
        self.drain(post);
        for _ in 0..BATCH {
            if self.over {
                return false;
            }
            let Some((source, datagram)) = self.waiting.pop_front() else { break };
            let local = if source.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 };
            if self.home.is_some_and(|home| home != source.ip()) {
                continue;
            }
            if let Ok(receive) = Receive::new(Protocol::Udp, source, local, &datagram) {
                self.feed(Input::Receive(now, receive));
            }
            // After each: a channel's last message and its end are told in this order only.
            self.drain(post);
        }
        self.write(post);
        self.close_leavers(post);
        !self.waiting.is_empty()
    }

    fn feed(&mut self, input: Input<'_>) {
        if let Input::Receive(..) = &input
            && !self.rtc.accepts(&input)
        {
            return;
        }
        // What is wrong with a datagram is no reason to end the connection: anybody may have sent it.
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::debug!(%error, "a datagram without use");
        }
    }

    /// Does what the machine wants done, until it wants to wait.
    pub(super) fn drain(&mut self, post: &Post) {
        while !self.over {
            if let Some((to, datagram)) = self.unsent.take()
                && !self.transmit(post, to, datagram)
            {
                return;
            }
            match self.rtc.poll_output() {
                Ok(Output::Timeout(due)) => {
                    self.due = Some(due);
                    if !self.rtc.is_alive() {
                        self.end(State::Closed);
                    }
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    if !self.transmit(post, transmit.destination, transmit.contents.to_vec()) {
                        return;
                    }
                }
                Ok(Output::Event(event)) => self.hear(event),
                Err(error) => {
                    tracing::debug!(%error, "a connection failed");
                    self.end(State::Failed);
                }
            }
        }
    }

    /// Sends a datagram. `false` when it has to wait.
    fn transmit(&mut self, post: &Post, to: SocketAddr, datagram: Vec<u8>) -> bool {
        let length = datagram.len() as u64;
        if !self.reached && self.sent + length > AMPLIFICATION * self.received {
            tracing::debug!("an address that has not answered gets no more");
            return true;
        }
        if !post.send(&datagram, to) {
            self.unsent = Some((to, datagram));
            self.due = Some(instant() + SYSTEM_FULL);
            return false;
        }
        self.sent += length;
        if datagram.first().is_some_and(|first| *first >= FIRST_RECORD) {
            self.records_to = Some(to.ip());
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "media, of which there is none")]
    fn hear(&mut self, event: Event) {
        match event {
            Event::Connected => {
                (self.connected, self.reached) = (true, true);
                self.home = self.records_to;
                self.told.push_back(Told::State(State::Connected));
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.told.push_back(Told::State(State::Disconnected));
            }
            Event::IceConnectionStateChange(IceConnectionState::Connected | IceConnectionState::Completed)
                if self.connected =>
            {
                self.told.push_back(Told::State(State::Connected));
            }
            Event::ChannelOpen(id, label) => self.opened(id, label),
            Event::ChannelData(data) => self.arrived(data.id, data.binary, data.data),
            Event::ChannelClose(id) => self.gone(id),
            Event::Closed => self.end(State::Closed),
            _ => {}
        }
    }

    fn opened(&mut self, id: ChannelId, label: String) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.opened();
            if slot.has_to_send() {
                self.senders.push_back(id);
            }
            return;
        }
        let early = self.told.iter().filter(|told| matches!(told, Told::Channel(..))).count();
        if early >= MAX_EARLY {
            self.rtc.direct_api().close_data_channel(id);
            return;
        }
        let mut slot = Slot::default();
        slot.opened();
        self.slots.insert(id, slot);
        self.told.push_back(Told::Channel(id, label));
    }

    fn arrived(&mut self, id: ChannelId, binary: bool, data: Vec<u8>) {
        match self.slots.get_mut(&id) {
            // A text message is no part of any protocol here.
            Some(slot) if binary => {
                let before = slot.unread;
                slot.arrived(data.into());
                self.unread = self.unread + slot.unread - before;
                if !self.proved && self.unread > MAX_UNPROVED {
                    self.end_of_patience();
                }
            }
            Some(_) | None => self.rtc.direct_api().close_data_channel(id),
        }
    }

    /// A channel has ended, by either side.
    fn gone(&mut self, id: ChannelId) {
        self.leavers.retain(|leaver| *leaver != id);
        self.lingering.retain(|(lingering, _)| *lingering != id);
        self.senders.retain(|sender| *sender != id);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.gone();
            if slot.left {
                self.forget(id);
            }
        }
    }

    /// Nobody needs that channel any more.
    pub(super) fn forget(&mut self, id: ChannelId) {
        if let Some(slot) = self.slots.remove(&id) {
            self.unread -= slot.unread;
        }
    }

    /// Hands messages of the channels to SCTP as far as it takes them, one of each in turn.
    fn write(&mut self, post: &Post) {
        let mut wrote = false;
        while let Some(id) = self.senders.front().copied() {
            let Some(slot) = self.slots.get_mut(&id) else {
                self.senders.pop_front();
                continue;
            };
            let Some(message) = slot.next_message() else {
                self.senders.pop_front();
                continue;
            };
            match self.rtc.channel(id).map(|mut channel| channel.write(true, message)) {
                Some(Ok(true)) => {
                    slot.sent();
                    self.senders.rotate_left(1);
                    wrote = true;
                }
                Some(Ok(false)) => break,
                // It is being closed, which will be told.
                Some(Err(_)) | None => {
                    slot.discard();
                    self.senders.pop_front();
                }
            }
        }
        if wrote {
            self.drain(post);
        }
    }

    /// Closes channels whose messages have come, as SCTP may reset a stream before what is on its way in it, unless the
    /// remote does so first.
    fn close_leavers(&mut self, post: &Post) {
        if self.over || (self.leavers.is_empty() && self.lingering.is_empty()) {
            return;
        }
        let now = instant();
        let due = now + self.linger;
        let mut leavers = std::mem::take(&mut self.leavers);
        leavers.retain(|id| {
            let waits = self.slots.get(id).is_some_and(|slot| !slot.is_open() || slot.has_to_send());
            let mut busy = || self.rtc.channel(*id).is_some_and(|mut channel| channel.buffered_amount() > 0);
            if waits || busy() {
                return true;
            }
            self.lingering.push_back((*id, due));
            false
        });
        self.leavers = leavers;
        let mut closed = false;
        while let Some((id, due)) = self.lingering.front().copied()
            && (due <= now || self.lingering.len() > MAX_LINGERING)
        {
            self.lingering.pop_front();
            self.rtc.direct_api().close_data_channel(id);
            closed = true;
        }
        if closed {
            self.drain(post);
        }
        if let Some((_, due)) = self.lingering.front() {
            self.due = Some(self.due.map_or(*due, |sooner| sooner.min(*due)));
        }
    }

    /// Opens a channel of our own; a `negotiated` one has that id and the remote is not told.
    pub(super) fn open(&mut self, label: &str, negotiated: Option<u16>) -> ChannelId {
        let config = ChannelConfig { label: label.to_owned(), negotiated, ..ChannelConfig::default() };
        let id = self.rtc.direct_api().create_data_channel(config);
        self.slots.insert(id, Slot::default());
        self.wake();
        id
    }

    fn end_of_patience(&mut self) {
        tracing::debug!("too much from somebody unknown");
        self.end(State::Failed);
    }

    /// Nothing more happens here.
    pub(super) fn end(&mut self, state: State) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.rtc.disconnect();
        self.waiting.clear();
        self.senders.clear();
        self.leavers.clear();
        self.lingering.clear();
        self.told.retain(|told| matches!(told, Told::State(_)));
        self.told.push_back(Told::State(state));
        self.slots.values_mut().for_each(Slot::gone);
        self.slots.retain(|_, slot| !slot.left);
        self.unread = self.slots.values().map(|slot| slot.unread).sum();
        self.wake();
    }

    /// Tells the remote that this is the end. What the system does not take at once is not sent.
    pub(super) fn close(&mut self, post: &Post) {
        if !self.over {
            let _ = self.rtc.close();
            self.drain(post);
        }
        self.end(State::Closed);
    }
}

const _: () = assert!(MAX_FRAME < IN_FLIGHT, "a frame fits in at once");
