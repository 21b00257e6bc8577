//! The bytes that pass through circuits, counted as they leave.
//!
//! `libp2p-relay` 0.22 copies between two streams and tells nobody how much, and a stream cannot be exchanged once the
//! relay has it. So every stream is looked at where it is made, in the connection's muxer, from what this side writes:
//!
//! ```text
//! hop, from the source     /multistream/1.0.0  /libp2p/circuit/relay/0.2.0/hop   answer to CONNECT  then the circuit
//! stop, to the destination /multistream/1.0.0  /libp2p/circuit/relay/0.2.0/stop  CONNECT            then the circuit
//! ```
//!
//! All of these are preceded by their length. What follows the third is the circuit's, and is counted; a stream that
//! begins in another way is let through as it is. What a remote sends cannot mislead this: only what the relay itself
//! wrote is looked at, and it writes the name of a protocol only when it speaks it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use libp2p::relay::{HOP_PROTOCOL_NAME, STOP_PROTOCOL_NAME};
use prometheus_client::metrics::counter::Counter;

/// Longest message of multistream-select that is looked at; the names of relays' protocols have 33 bytes at most.
const MAX_NAME: usize = 64;
/// Messages in which a stream's protocol has to be named: the header, refusals of other protocols, the name. A stream of
/// any other protocol is known by its second one.
const MAX_NAMES: usize = 16;

/// Counts the circuits' bytes of one connection.
pub(crate) fn counted(connection: StreamMuxerBox, bytes: Counter) -> StreamMuxerBox {
    StreamMuxerBox::new(Connection { inner: connection, bytes })
}

struct Connection {
    inner: StreamMuxerBox,
    bytes: Counter,
}

impl Connection {
    fn count(&self, stream: SubstreamBox) -> Stream {
        Stream { inner: stream, watch: Watch::default(), bytes: self.bytes.clone() }
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(context))?;
        Poll::Ready(Ok(self.count(stream)))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(context))?;
        Poll::Ready(Ok(self.count(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(context)
    }
}

struct Stream {
    inner: SubstreamBox,
    watch: Watch,
    bytes: Counter,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        let counted = self.watch.wrote(bytes.get(..written).unwrap_or(bytes));
        if counted > 0 {
            self.bytes.inc_by(counted);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

/// What is known of a stream from what was written to it.
enum Watch {
    /// Its protocol is being agreed on.
    Looking(Looking),
    /// It is a relay's, and this is its first message.
    Greeting(Length),
    /// What is written is a circuit's.
    Circuit,
    /// It is none of a relay's.
    Other,
}

/// Messages of multistream-select, each a length and a line.
#[derive(Default)]
struct Looking {
    length: Length,
    name: Vec<u8>,
    names: usize,
}

/// A length that precedes a message, 7 bits a byte, and then the bytes of the message that are still to come.
#[derive(Clone, Copy, Default)]
struct Length {
    value: usize,
    /// Bits that are read, until all are.
    bits: u32,
    known: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self::Looking(Looking::default())
    }
}

impl Watch {
    /// Takes notice of what was written; returns how much of it is a circuit's.
    fn wrote(&mut self, bytes: &[u8]) -> u64 {
        for (at, byte) in bytes.iter().enumerate() {
            match self {
                Self::Looking(looking) => {
                    if let Some(next) = looking.take(*byte) {
                        *self = next;
                    }
                }
                Self::Greeting(length) => {
                    if length.take(*byte).is_none() {
                        *self = Self::Other;
                    } else if length.is_over() {
                        *self = Self::Circuit;
                    }
                }
                Self::Circuit => return u64::try_from(bytes.len() - at).unwrap_or(u64::MAX),
                Self::Other => return 0,
            }
        }
        0
    }
}

impl Looking {
    /// Takes one byte; what the stream is, when that is clear now.
    fn take(&mut self, byte: u8) -> Option<Watch> {
        let of_message = self.length.known;
        if self.length.take(byte).is_none() || (self.length.known && self.length.value > MAX_NAME) {
            return Some(Watch::Other);
        }
        if of_message {
            self.name.push(byte);
        }
        if !self.length.is_over() {
            return None;
        }
        self.length = Length::default();
        self.names += 1;
        let name = std::mem::take(&mut self.name);
        Self::of_name(&name).or_else(|| (self.names >= MAX_NAMES).then_some(Watch::Other))
    }

    /// What a stream is whose negotiation has come to this line; `None` when it goes on.
    fn of_name(line: &[u8]) -> Option<Watch> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if [HOP_PROTOCOL_NAME, STOP_PROTOCOL_NAME].iter().any(|name| name.as_ref().as_bytes() == line) {
            return Some(Watch::Greeting(Length::default()));
        }
        match line {
            b"/multistream/1.0.0" | b"na" => None,
            _ => Some(Watch::Other),
        }
    }
}

impl Length {
    /// Takes one byte, of the length or of the message. `None` when this is no length.
    fn take(&mut self, byte: u8) -> Option<()> {
        if self.known {
            self.value = self.value.saturating_sub(1);
            return Some(());
        }
        // Nothing here is longer than two bytes can say; four are looked at.
        if self.bits >= 28 {
            return None;
        }
        self.value |= usize::from(byte & 0x7F) << self.bits;
        self.bits += 7;
        self.known = byte & 0x80 == 0;
        Some(())
    }

    /// Whether the message has ended.
    fn is_over(&self) -> bool {
        self.known && self.value == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("short");
        let mut message = if length < 0x80 { vec![length] } else { vec![length | 0x80, 1] };
        message.extend(bytes);
        message
    }

    fn opening(protocol: &str) -> Vec<u8> {
        [message(b"/multistream/1.0.0\n"), message(format!("{protocol}\n").as_bytes())].concat()
    }

    fn count(watch: &mut Watch, written: &[&[u8]]) -> u64 {
        written.iter().map(|bytes| watch.wrote(bytes)).sum()
    }

    #[test]
    fn what_follows_the_greeting_is_counted() {
        for protocol in [HOP_PROTOCOL_NAME, STOP_PROTOCOL_NAME] {
            for greeting in [vec![7; 5], vec![7; 200]] {
                let before = [opening(protocol.as_ref()), message(&greeting)].concat();
                let mut watch = Watch::default();
                assert_eq!(count(&mut watch, &[&before]), 0);
                assert_eq!(count(&mut watch, &[&[0; 1000], &[0; 24]]), 1024);

                let mut watch = Watch::default();
                assert_eq!(count(&mut watch, &[&[before.clone(), vec![0; 10]].concat()]), 10, "in one write");
                let mut watch = Watch::default();
                let single: Vec<&[u8]> = before.chunks(1).collect();
                assert_eq!(count(&mut watch, &single) + watch.wrote(&[1, 2, 3]), 3, "byte by byte");
            }
        }
    }

    #[test]
    fn refusing_other_protocols_first_changes_nothing() {
        let na = message(b"na\n");
        let written =
            [message(b"/multistream/1.0.0\n"), na.clone(), na, message(b"/libp2p/circuit/relay/0.2.0/hop\n")].concat();
        let mut watch = Watch::default();
        assert_eq!(count(&mut watch, &[&written, &message(b"ok"), &[0; 9]]), 9);
    }

    #[test]
    fn other_streams_are_left_alone() {
        let hop = opening(HOP_PROTOCOL_NAME.as_ref());
        let mut watch = Watch::default();
        let gossip = opening("/meshsub/1.1.0");
        assert_eq!(count(&mut watch, &[&gossip, &hop, &message(b"ok"), &[0; 100]]), 0, "even when they say otherwise");
        assert!(matches!(watch, Watch::Other));
        for noise in [&[0xFF; 100][..], &[200; 3], &[0; 100]] {
            let mut watch = Watch::default();
            assert_eq!(count(&mut watch, &[noise, &hop, &message(b"ok"), &[0; 100]]), 0);
            assert!(matches!(watch, Watch::Other), "and are not looked at for long");
        }
    }
}
