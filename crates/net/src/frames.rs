//! Frames on a stream: CBOR behind an unsigned varint of its length. Lengths are checked before anything is allocated.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, FutureExt as _};
use mesh_core::Offence;
use mesh_proto::codec::{self, Bounded, DecodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The stream broke or ended inside a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The remote sent what is no frame.
    #[error("{0}")]
    Offence(Offence),
}

/// Reads a frame of at most `max` bytes; `None` at the stream's end.
pub(crate) async fn read<T: DeserializeOwned + Bounded>(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Option<T>, ReadError> {
    let Some(len) = read_length(stream).await? else {
        return Ok(None);
    };
    if len > max {
        return Err(ReadError::Offence(Offence::TooLarge));
    }
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame).await?;
    let frame = codec::decode(&frame, max).map_err(|error| {
        ReadError::Offence(match error {
            DecodeError::TooLong { .. } | DecodeError::OutOfBounds { .. } => Offence::TooLarge,
            DecodeError::Malformed(_) => Offence::Malformed,
        })
    })?;
    Ok(Some(frame))
}

/// Appends a frame to `buffer`. One that is past `max` is a defect of ours and is refused.
pub(crate) fn append<T: Serialize>(buffer: &mut Vec<u8>, frame: &T, max: usize) -> io::Result<()> {
    let frame = codec::encode(frame, max).map_err(io::Error::other)?;
    let mut length = unsigned_varint::encode::usize_buffer();
    buffer.extend_from_slice(unsigned_varint::encode::usize(frame.len(), &mut length));
    buffer.extend_from_slice(&frame);
    Ok(())
}

/// Writes one frame and flushes.
pub(crate) async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &T,
    max: usize,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    append(&mut buffer, frame, max)?;
    stream.write_all(&buffer).await?;
    stream.flush().await
}

/// What comes of `work`; nothing if that takes longer.
pub(crate) async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    futures::select! {
        done = std::pin::pin!(work.fuse()) => Some(done),
        () = std::pin::pin!(mesh_platform::sleep(timeout).fuse()) => None,
    }
}

async fn read_length(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<usize>, ReadError> {
    let mut length = [0; 5]; // 35 bits: more than any limit here
    for n in 0..length.len() {
        if stream.read(&mut length[n..=n]).await? == 0 {
            return match n {
                0 => Ok(None),
                _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            };
        }
        if length[n] & 0x80 == 0 {
            let (length, _) =
                unsigned_varint::decode::usize(&length[..=n]).map_err(|_| ReadError::Offence(Offence::Malformed))?;
            return Ok(Some(length));
        }
    }
    Err(ReadError::Offence(Offence::Malformed))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use mesh_proto::direct::Frame;
    use mesh_proto::limits::MAX_DIRECT_FRAME;

    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Option<Frame>, ReadError> {
        block_on(read(&mut Cursor::new(bytes), MAX_DIRECT_FRAME))
    }

    fn varint(len: usize) -> Vec<u8> {
        unsigned_varint::encode::usize(len, &mut unsigned_varint::encode::usize_buffer()).to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let frame = Frame::Ack { session: 5, numbers: vec![1, 2] };
        let mut bytes = Vec::new();
        append(&mut bytes, &frame, MAX_DIRECT_FRAME).unwrap();
        assert_eq!(read_bytes(&bytes).unwrap(), Some(frame));
        assert!(read_bytes(&[]).unwrap().is_none(), "the end between frames is an end");
    }

    #[test]
    fn bad_frames_are_offences_and_broken_ones_mishaps() {
        let offence = |bytes: &[u8]| match read_bytes(bytes) {
            Err(ReadError::Offence(offence)) => Some(offence),
            Err(ReadError::Io(_)) => None,
            Ok(frame) => panic!("{bytes:?} is {frame:?}"),
        };
        assert_eq!(offence(&varint(MAX_DIRECT_FRAME + 1)), Some(Offence::TooLarge));
        assert_eq!(offence(&varint(MAX_DIRECT_FRAME)), None, "the limit itself is waited for");
        assert_eq!(offence(&[0x80; 10]), Some(Offence::Malformed));
        assert_eq!(offence(&[0x80, 0x00]), Some(Offence::Malformed), "a length has one form");
        assert_eq!(offence(&[3, 1, 2, 3]), Some(Offence::Malformed));
        assert_eq!(offence(&[0x80]), None);
    }
}
