//! Join streams: asking a neighbour for its member list, and answering who asks.

use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::io::BufReader;
use futures::{AsyncWriteExt as _, SinkExt as _};
use libp2p::{Stream, StreamProtocol};
use mesh_core::Offence;
use mesh_core::node::Input;
use mesh_proto::limits::{MAX_ENVELOPE, MAX_JOIN_FRAME};
use mesh_proto::{NodeId, join, protocol};

use crate::direct::Report;
use crate::frames::{self, ReadError};
use crate::streams::Opening;

/// The protocol's name, as libp2p wants it.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new(protocol::JOIN);

/// Frames of one list: 64 MiB in the frames that the core makes.
const MAX_FRAMES: usize = 2048;

/// How long a whole exchange may take. A list of 10,000 is some megabytes.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Asks `from` over the stream that is being opened, and reports the frames of its answer.
pub(crate) async fn ask(opening: Opening, from: NodeId, request: join::Request, mut reports: mpsc::Sender<Report>) {
    let failed = match frames::within(TIMEOUT, exchange(opening, from, request, reports.clone())).await {
        Some(Ok(())) => return,
        Some(Err(ReadError::Offence(offence))) => {
            let _ = reports.send(Report::Input(Input::Offence { from, offence })).await;
            Input::JoinFailed { from }
        }
        Some(Err(ReadError::Io(_))) | None => Input::JoinFailed { from },
    };
    let _ = reports.send(Report::Input(failed)).await;
}

async fn exchange(
    opening: Opening,
    from: NodeId,
    request: join::Request,
    mut reports: mpsc::Sender<Report>,
) -> Result<(), ReadError> {
    let mut stream = opening.stream().await.map_err(std::io::Error::other)?;
    frames::write(&mut stream, &request, MAX_ENVELOPE + 256).await?;
    let mut stream = BufReader::new(stream);
    for _ in 0..MAX_FRAMES {
        let reply: join::Reply = frames::read(&mut stream, MAX_JOIN_FRAME)
            .await?
            .ok_or(std::io::ErrorKind::UnexpectedEof)
            .map_err(std::io::Error::from)?;
        let more = matches!(reply, join::Reply::Members { end: None, .. } | join::Reply::Revoked { .. });
        let reply = Report::Input(Input::JoinReply { from, reply });
        if reports.send(reply).await.is_err() || !more {
            return Ok(());
        }
    }
    Err(ReadError::Offence(Offence::TooLarge))
}

/// Answers on a stream that `from` opened: hands its request to the driver and writes what comes back.
pub(crate) async fn answer(stream: Stream, from: NodeId, mut reports: mpsc::Sender<Report>) {
    let served = frames::within(TIMEOUT, serve(stream, from, reports.clone())).await;
    if let Some(Err(ReadError::Offence(offence))) = served {
        let _ = reports.send(Report::Input(Input::Offence { from, offence })).await;
    }
    let _ = reports.send(Report::ServingEnded { peer: from }).await;
}

async fn serve(mut stream: Stream, from: NodeId, mut reports: mpsc::Sender<Report>) -> Result<(), ReadError> {
    let Some(request) = frames::read(&mut stream, MAX_ENVELOPE + 256).await? else {
        return Ok(());
    };
    let (respond, response) = oneshot::channel();
    let asked = Report::JoinRequest { from, request, respond };
    if reports.send(asked).await.is_err() {
        return Ok(());
    }
    let Ok(replies) = response.await else {
        return Ok(());
    };
    for reply in &replies {
        frames::write(&mut stream, reply, MAX_JOIN_FRAME).await?;
    }
    stream.close().await?;
    Ok(())
}
