//! What travels on a connection.

use std::sync::Arc;

use cid::Cid;
use mesh_proto::{direct, join};

use crate::overlay::Rpc;

/// One thing that is sent.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Gossip(Rpc),
    /// A request for the member list.
    Ask(Arc<join::Request>),
    Answer(Arc<Vec<join::Reply>>),
    /// A message stream is opened, is there, is broken by the end that reads.
    Open(u64),
    Opened(u64),
    Reset(u64),
    Direct(u64, direct::Frame),
    /// A block is asked for.
    Want(Cid),
    /// It is so long, or not here.
    Block(Cid, Option<u64>),
}

impl Frame {
    /// Its stream: those of one keep their order.
    pub(crate) fn lane(&self) -> usize {
        match self {
            Self::Gossip(_) => 0,
            Self::Ask(_) | Self::Answer(_) | Self::Want(_) | Self::Block(..) => 1,
            Self::Open(_) | Self::Opened(_) | Self::Reset(_) | Self::Direct(..) => 2,
        }
    }

    /// Bytes, about.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Gossip(rpc) => rpc.len(),
            Self::Want(_) | Self::Block(_, None) => 50,
            Self::Block(_, Some(size)) => 50 + usize::try_from(*size).unwrap_or(usize::MAX),
            Self::Ask(request) => 64 + request.announcement.len(),
            Self::Answer(replies) => replies.iter().map(reply_len).sum(),
            Self::Open(_) | Self::Opened(_) | Self::Reset(_) => 40,
            Self::Direct(_, direct::Frame::Message(message)) => 64 + message.body.len(),
            Self::Direct(_, direct::Frame::Ack { numbers, .. }) => 32 + 9 * numbers.len(),
            Self::Direct(_, direct::Frame::Hello { .. } | direct::Frame::Nack { .. }) => 48,
        }
    }

    /// A word for the trace.
    pub(crate) fn digest(&self) -> u64 {
        let number = match self {
            Self::Gossip(rpc) => rpc.messages.iter().fold(0_u64, |word, message| word.rotate_left(7) ^ message.id().0),
            Self::Ask(_) | Self::Answer(_) => 0,
            Self::Want(cid) | Self::Block(cid, _) => {
                cid.hash().digest().iter().fold(0, |word: u64, byte| word.rotate_left(7) ^ u64::from(*byte))
            }
            Self::Open(stream) | Self::Opened(stream) | Self::Reset(stream) => *stream,
            Self::Direct(stream, direct::Frame::Message(message)) => stream ^ message.number,
            Self::Direct(stream, direct::Frame::Ack { numbers, .. }) => stream ^ numbers.last().copied().unwrap_or(0),
            Self::Direct(stream, direct::Frame::Hello { .. } | direct::Frame::Nack { .. }) => *stream,
        };
        number ^ ((self.lane() as u64) << 62) ^ ((self.len() as u64) << 32)
    }
}

fn reply_len(reply: &join::Reply) -> usize {
    match reply {
        join::Reply::Members { announcements, .. } => {
            40 + announcements.iter().map(|announcement| announcement.len() + 4).sum::<usize>()
        }
        join::Reply::Revoked { revocations } => 16 + 300 * revocations.len(),
        join::Reply::WrongMesh { .. } => 48,
    }
}
