//! A channel as a stream of bytes, framed as all streams are, for a handshake: nobody closes it for writing, and what it
//! carries is short.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures::{AsyncRead, AsyncWrite};

use crate::framing::{Decoder, Flag, Frame, encode_data};
use crate::rtc::{Channel, ChannelEvent};

/// The stream.
#[derive(Debug)]
pub(super) struct Pipe<C> {
    channel: C,
    decoder: Decoder,
    unread: Bytes,
    ended: bool,
}

impl<C: Channel> Pipe<C> {
    pub(super) fn new(channel: C) -> Self {
        Self { channel, decoder: Decoder::default(), unread: Bytes::new(), ended: false }
    }

    /// Takes in the next frame, or the next message.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.decoder.next_frame() {
            Ok(Some(Frame { flag, payload })) => {
                self.unread = payload;
                match flag {
                    Some(Flag::Fin | Flag::Reset) => self.ended = true,
                    Some(Flag::StopSending | Flag::FinAck) | None => {}
                }
                return Poll::Ready(Ok(()));
            }
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
        match ready!(self.channel.poll(cx)) {
            ChannelEvent::Message(message) => self.decoder.push(message),
            ChannelEvent::Open | ChannelEvent::Low => {}
            ChannelEvent::Closed | ChannelEvent::Overflow => self.ended = true,
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: Channel> AsyncRead for Pipe<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        while self.unread.is_empty() {
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            ready!(self.poll_more(cx))?;
        }
        let length = into.len().min(self.unread.len());
        self.unread.copy_to_slice(&mut into[..length]);
        Poll::Ready(Ok(length))
    }
}

impl<C: Channel> AsyncWrite for Pipe<C> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (frame, length) = encode_data(bytes);
        Poll::Ready(self.channel.send(&frame).map(|()| length).map_err(io::Error::other))
    }

    /// What was written has been handed to the channel already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
