//! Yamux that takes frames of any length.
//!
//! The [specification](https://github.com/hashicorp/yamux/blob/master/spec.md) bounds a frame of data by the stream's window
//! alone. yamux 0.14 lets windows grow with what a connection can carry, and closes a connection on which a frame of more than
//! 1 MiB comes; js-libp2p (`@libp2p/yamux` 8.0.3) sends as much in one frame as the window allows, and so loses its
//! connection in the midst of the first large block. Here a longer frame is handed on as several.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::Ready;
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::yamux::{Config, Muxer};

/// The longest frame of data that yamux 0.14 takes, bytes (`MAX_FRAME_BODY_LEN`).
const MAX_FRAME: u32 = 1024 * 1024;

/// Version, type, flags (2), stream (4), length (4), all with their highest byte first.
const HEADER: usize = 12;
const DATA: u8 = 0;
/// Flags that begin a stream, `SYN` and `ACK`: they belong to the first of several frames. Those that end it, `FIN` and `RST`,
/// belong to the last.
const BEGINS: u8 = 1 | 2;

/// libp2p's yamux, with frames of any length.
#[derive(Clone, Debug, Default)]
pub(super) struct Yamux(Config);

impl UpgradeInfo for Yamux {
    type Info = <Config as UpgradeInfo>::Info;
    type InfoIter = <Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<Frames<C>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, io: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Frames::new(io), info)
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<Frames<C>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, io: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Frames::new(io), info)
    }
}

/// What a connection carries, with long frames of data cut while they are read. What is written is left as it is.
#[derive(Debug)]
pub(crate) struct Frames<C> {
    io: C,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of a header have come.
    Header([u8; HEADER], usize),
    /// So many bytes of a header were handed on; the frame follows.
    Handing([u8; HEADER], usize, Frame),
    Body(Frame),
}

/// What is to come of a frame of data.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: [u8; HEADER],
    /// Bytes that belong to the header that was handed on.
    now: u32,
    /// Bytes that come with further ones.
    later: u32,
}

impl<C> Frames<C> {
    fn new(io: C) -> Self {
        Self { io, state: State::Header([0; HEADER], 0) }
    }
}

impl State {
    /// A header is here. One that is not of data stands alone.
    fn begin(header: [u8; HEADER]) -> Self {
        let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        match header[1] {
            DATA => Self::go_on(header, length, true),
            _ => Self::Handing(header, 0, Frame { header, now: 0, later: 0 }),
        }
    }

    /// So many bytes are left of a frame of data, whose header is this.
    fn go_on(header: [u8; HEADER], left: u32, is_first: bool) -> Self {
        let now = left.min(MAX_FRAME);
        let later = left - now;
        let mut cut = header;
        if !is_first {
            cut[3] &= !BEGINS;
        }
        if later > 0 {
            cut[3] &= BEGINS;
        }
        cut[8..].copy_from_slice(&now.to_be_bytes());
        Self::Handing(cut, 0, Frame { header, now, later })
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Frames<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { io, state } = &mut *self;
        loop {
            match state {
                State::Header(header, HEADER) => *state = State::begin(*header),
                State::Header(header, have) => match ready!(Pin::new(&mut *io).poll_read(cx, &mut header[*have..]))? {
                    0 if *have == 0 => return Poll::Ready(Ok(0)),
                    0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    n => *have += n,
                },
                State::Handing(_, HEADER, frame) => *state = State::Body(*frame),
                State::Handing(header, done, _) => {
                    let n = out.len().min(HEADER - *done);
                    out[..n].copy_from_slice(&header[*done..*done + n]);
                    *done += n;
                    return Poll::Ready(Ok(n));
                }
                State::Body(Frame { now: 0, later: 0, .. }) => *state = State::Header([0; HEADER], 0),
                State::Body(Frame { header, now: 0, later }) => *state = State::go_on(*header, *later, false),
                State::Body(Frame { now, .. }) => {
                    let end = out.len().min(*now as usize);
                    let n = ready!(Pin::new(io).poll_read(cx, &mut out[..end]))?;
                    *now -= n as u32;
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Frames<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests;
