//! Messages on streams: each after its length. A stream is read and written by one side only; an answer goes on a stream of
//! whoever answers.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::lock::Mutex;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use futures_timer::Delay;

use crate::message::{MAX_MESSAGE, Message, MessageError};

/// How long the rest of a message, or a message that is being sent, may make no progress.
pub(crate) const STALLED: Duration = Duration::from_secs(20);

/// Bytes that are read and written at once; progress is told by them.
const PIECE: usize = 64 * 1024;

/// Bytes of a length prefix that says at most [`MAX_MESSAGE`].
const MAX_PREFIX: usize = 4;

/// Why a stream is not read or written any further.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is not a message that we take.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The other side did not go on for 20 s.
    #[error("no progress for {} s", STALLED.as_secs())]
    Stalled,
}

/// Reads a message; none at the end of the stream. `turn` is held while a message is being read, so that only one of a
/// connection's streams makes us hold one.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    turn: &Mutex<()>,
) -> Result<Option<Message>, StreamError> {
    let Some(first) = first_byte(stream).await? else { return Ok(None) };
    let _turn = turn.lock().await;
    let length = within(length(stream, first)).await?;
    if length > MAX_MESSAGE as u64 {
        return Err(MessageError::TooLong(length).into());
    }
    let length = length as usize;
    // Grows as bytes come, and not at once by what is claimed.
    let mut body = BytesMut::with_capacity(length.min(PIECE));
    while body.len() < length {
        let had = body.len();
        body.resize(length.min(had + PIECE), 0);
        within(async { Ok(stream.read_exact(&mut body[had..]).await?) }).await?;
    }
    Ok(Some(Message::decode(body.freeze())?))
}

/// Writes a message as it travels, and waits until it is on its way.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: Bytes) -> Result<(), StreamError> {
    for piece in bytes.chunks(PIECE) {
        within(async { Ok(stream.write_all(piece).await?) }).await?;
    }
    within(async { Ok(stream.flush().await?) }).await
}

/// Says that nothing follows.
pub(crate) async fn close(mut stream: impl AsyncWrite + Unpin) {
    // Whatever comes of it, the stream is over.
    let _ = within(async { Ok(stream.close().await?) }).await;
}

/// A stream may be silent for as long as it likes between messages.
async fn first_byte(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<u8>, StreamError> {
    let mut byte = [0];
    Ok((stream.read(&mut byte).await? == 1).then_some(byte[0]))
}

async fn length(stream: &mut (impl AsyncRead + Unpin), first: u8) -> Result<u64, StreamError> {
    let mut value = u64::from(first & 0x7f);
    let mut last = first;
    for place in 1..=MAX_PREFIX {
        if last & 0x80 == 0 {
            return Ok(value);
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        last = byte[0];
        value |= u64::from(last & 0x7f) << (7 * place);
    }
    // A fifth byte says more than fits, whatever follows it.
    Err(MessageError::TooLong(value.max(MAX_MESSAGE as u64 + 1)).into())
}

async fn within<T>(work: impl Future<Output = Result<T, StreamError>>) -> Result<T, StreamError> {
    match select(std::pin::pin!(work), Delay::new(STALLED)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(StreamError::Stalled),
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;
    use crate::message::{Ask, Entry};

    fn read_all(bytes: &[u8]) -> Result<Vec<Message>, StreamError> {
        block_on(async {
            let (mut stream, turn, mut all) = (Cursor::new(bytes), Mutex::new(()), Vec::new());
            while let Some(message) = read(&mut stream, &turn).await? {
                all.push(message);
            }
            Ok(all)
        })
    }

    #[test]
    fn messages_follow_each_other() {
        let block = mesh_unixfs::Block::raw(vec![1; 200_000]).expect("it fits");
        let entry = Entry { cid: *block.cid(), ask: Ask::Block, say_dont_have: true, priority: -3 };
        let wants = Message { wants: vec![entry], ..Message::default() };
        let blocks = Message { blocks: vec![block], ..Message::default() };
        let mut out = Vec::new();
        for message in [&wants, &blocks, &Message::default()] {
            block_on(write(&mut out, message.encode())).expect("writes to memory");
        }
        assert_eq!(read_all(&out).expect("what was written"), [wants, blocks, Message::default()]);
    }

    #[test]
    fn a_length_past_the_limit_is_refused_before_anything_is_read() {
        // MAX_MESSAGE is 2^22: 0x80 0x80 0x80 0x02.
        for (bytes, claimed) in [
            (&[0x81, 0x80, 0x80, 0x02][..], MAX_MESSAGE as u64 + 1),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u64::from(u32::MAX)),
            (&[0xff; 5], 0),
        ] {
            let error = read_all(bytes).expect_err("too long");
            let StreamError::Message(MessageError::TooLong(length)) = error else { panic!("{error:?}") };
            assert!(length > MAX_MESSAGE as u64 && (claimed == 0 || length == claimed), "{length}");
        }
        let at_the_limit = read_all(&[0x80, 0x80, 0x80, 0x02]).expect_err("it is cut");
        assert!(matches!(at_the_limit, StreamError::Io(_)), "{at_the_limit:?}");
    }

    #[test]
    fn a_stream_that_ends_within_a_message_is_an_error() {
        assert!(matches!(read_all(&[0x03, 1, 2]), Err(StreamError::Io(_))));
        assert!(matches!(read_all(&[0x80]), Err(StreamError::Io(_))));
    }
}
