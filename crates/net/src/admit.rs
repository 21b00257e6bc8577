//! Streams of a private mesh: two neighbours show each other who they are, and somebody asks for a credential.

use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::{AsyncWriteExt as _, SinkExt as _, StreamExt as _};
use libp2p::{Stream, StreamProtocol};
use mesh_core::node::Input;
use mesh_proto::credential::{Answer, Frame, Request};
use mesh_proto::limits::{MAX_ADMISSION, MAX_PASS};
use mesh_proto::{NodeId, protocol};

use crate::direct::Report;
use crate::frames::{self, ReadError};
use crate::streams::{OpenError, Opening};

/// Each side writes on a stream of its own.
pub(crate) const AUTH: StreamProtocol = StreamProtocol::new(protocol::AUTH);
/// A request, and its answer.
pub(crate) const ADMIT: StreamProtocol = StreamProtocol::new(protocol::ADMIT);

/// Frames that are read from one stream: a greeting and a proof.
const MAX_FRAMES: usize = 2;
/// Frames that wait to be written on one.
pub(crate) const QUEUE_LEN: usize = 8;
/// Room for what frames a proof.
const MAX_FRAME: usize = MAX_ADMISSION + 256;
/// How long an exchange may take. Whoever is asked has to write to its store first.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes what we show to `peer`, until there is no more.
pub(crate) async fn show(
    opening: Opening,
    peer: NodeId,
    frames: mpsc::Receiver<Frame>,
    mut reports: mpsc::Sender<Report>,
) {
    let broken = match frames::within(TIMEOUT, write(opening, frames)).await {
        Some(Ok(())) => return,
        Some(Err(Broken::Unsupported)) => Input::AuthBroken { peer, unsupported: true },
        Some(Err(Broken::Io)) | None => Input::AuthBroken { peer, unsupported: false },
    };
    let _ = reports.send(Report::Input(broken)).await;
}

enum Broken {
    Unsupported,
    Io,
}

async fn write(opening: Opening, mut frames: mpsc::Receiver<Frame>) -> Result<(), Broken> {
    let mut stream = opening.stream().await.map_err(|error| match error {
        OpenError::Unsupported => Broken::Unsupported,
        OpenError::Failed => Broken::Io,
    })?;
    while let Some(frame) = frames.next().await {
        frames::write(&mut stream, &frame, MAX_FRAME).await.map_err(|_| Broken::Io)?;
    }
    stream.close().await.map_err(|_| Broken::Io)
}

/// Reads what `from` shows.
pub(crate) async fn read(mut stream: Stream, from: NodeId, mut reports: mpsc::Sender<Report>) {
    let reading = async {
        for _ in 0..MAX_FRAMES {
            match frames::read(&mut stream, MAX_FRAME).await {
                Ok(Some(frame)) => {
                    if reports.send(Report::Input(Input::Auth { from, frame })).await.is_err() {
                        return;
                    }
                }
                Err(ReadError::Offence(offence)) => {
                    let _ = reports.send(Report::Input(Input::Offence { from, offence })).await;
                    return;
                }
                Ok(None) | Err(ReadError::Io(_)) => return,
            }
        }
    };
    frames::within(TIMEOUT, reading).await;
    let _ = reports.send(Report::ServingEnded { peer: from }).await;
}

/// Asks for a credential over the stream that is being opened.
pub(crate) async fn ask(opening: Opening, request: &Request) -> Result<Answer, AskError> {
    frames::within(TIMEOUT, exchange(opening, request)).await.unwrap_or(Err(AskError::Timeout))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Whoever was asked lets nobody in.
    #[error("whoever has issued it is not in that mesh any more")]
    Unsupported,
    /// It has not answered.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The stream broke, or what came is no answer.
    #[error("{0}")]
    Read(#[from] ReadError),
}

async fn exchange(opening: Opening, request: &Request) -> Result<Answer, AskError> {
    let mut stream = opening.stream().await.map_err(|error| match error {
        OpenError::Unsupported => AskError::Unsupported,
        OpenError::Failed => ReadError::from(std::io::Error::other(error)).into(),
    })?;
    frames::write(&mut stream, request, MAX_FRAME).await.map_err(ReadError::from)?;
    let answer = frames::read(&mut stream, MAX_PASS + 256).await?;
    answer.ok_or_else(|| ReadError::from(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)).into())
}

/// Asks as a member for its next credential. The core asks again if nothing comes.
pub(crate) async fn renew(opening: Opening, request: Box<Request>, mut reports: mpsc::Sender<Report>) {
    match ask(opening, &request).await {
        Ok(answer) => {
            let _ = reports.send(Report::Input(Input::AdmitAnswer(Box::new(answer)))).await;
        }
        Err(error) => tracing::debug!(%error, "no new credential"),
    }
}

/// Answers on a stream that `from` opened.
pub(crate) async fn answer(stream: Stream, from: NodeId, mut reports: mpsc::Sender<Report>) {
    let served = frames::within(TIMEOUT, serve(stream, from, reports.clone())).await;
    if let Some(Err(ReadError::Offence(offence))) = served {
        let _ = reports.send(Report::Input(Input::Offence { from, offence })).await;
    }
    let _ = reports.send(Report::ServingEnded { peer: from }).await;
}

async fn serve(mut stream: Stream, from: NodeId, mut reports: mpsc::Sender<Report>) -> Result<(), ReadError> {
    let Some(request) = frames::read(&mut stream, MAX_FRAME).await? else {
        return Ok(());
    };
    let (respond, response) = oneshot::channel();
    let asked = Report::AdmitRequest { from, request: Box::new(request), respond };
    if reports.send(asked).await.is_err() {
        return Ok(());
    }
    let Ok(answer) = response.await else {
        return Ok(());
    };
    frames::write(&mut stream, &*answer, MAX_PASS + 256).await?;
    stream.close().await?;
    Ok(())
}
