//! The sending side of a stream: offers, then sends chunks as far as the window goes, reading confirmations meanwhile.

use std::pin::pin;

use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::io::BufReader;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, SinkExt as _, Stream, StreamExt as _};
use mesh_core::Offence;
use mesh_core::weights::pacing::Pacing;
use mesh_core::weights::{Input, SendReport, Ticket};
use mesh_proto::limits::MAX_TRANSFER_FRAME;
use mesh_proto::transfer::{Frame, Manifest};
use mesh_proto::{MeshId, NodeId};

use super::{Parcel, Report, Stop};
use crate::frames::{self, ReadError};

/// Largest frame that a receiver has to say: a few words and a number.
const MAX_ANSWER: usize = 64;

/// What a task needs to know.
pub(super) struct Outbound {
    pub(super) mesh: MeshId,
    pub(super) to: NodeId,
    pub(super) ticket: Ticket,
    pub(super) parcel: Parcel,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Outbound {
    pub(super) fn input(&self, report: SendReport) -> Input {
        Input::Sending { to: self.to, id: self.parcel.manifest.id, ticket: self.ticket, report }
    }

    async fn report(&mut self, input: Input) -> Result<(), Stop> {
        self.reports.send(Report::Input(input)).await.map_err(|_| Stop::Broken)
    }
}

/// Sends over `stream` what the receiver does not have. Ends with what is left to tell the node.
pub(super) async fn send<S>(stream: S, mut outbound: Outbound) -> Option<Input>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let report = match run(stream, &mut outbound).await {
        Ok(()) => return None,
        Err(Stop::Refused(reason)) => SendReport::Refused(reason),
        Err(Stop::Broken) => SendReport::Broken,
        Err(Stop::Offence(offence)) => {
            let peer = outbound.to;
            let _ = outbound.report(Input::Offence { peer, offence }).await;
            SendReport::Broken
        }
    };
    Some(outbound.input(report))
}

async fn run<S>(stream: S, outbound: &mut Outbound) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reader, mut writer) = stream.split();
    let mut answers = pin!(answers(reader));
    let Parcel { manifest, bytes } = outbound.parcel.clone();

    let offer = Frame::Offer { mesh: outbound.mesh, manifest: Manifest::clone(&manifest) };
    frames::write(&mut writer, &offer, MAX_TRANSFER_FRAME).await?;
    let have = match next(&mut answers).await? {
        Frame::Accept { have } if have <= manifest.chunks() => have,
        Frame::Refuse { reason } => return Err(Stop::Refused(reason)),
        Frame::Accept { .. } | Frame::Received { .. } | Frame::Offer { .. } | Frame::Chunk { .. } => {
            return Err(Stop::Offence(Offence::OutOfPlace));
        }
    };
    outbound.report(outbound.input(SendReport::Accepted { have })).await?;

    let mut progress =
        Progress { manifest: &manifest, pacing: Pacing::new(mesh_platform::now().mono), sent: have, have };
    while progress.have < manifest.chunks() {
        let Some(index) = progress.admitted() else {
            progress.confirm(next(&mut answers).await?, outbound).await?;
            continue;
        };
        let range = manifest.range(index);
        let data = bytes.slice(range.start as usize..range.end as usize);
        progress.send(index);
        let chunk = Frame::Chunk { index, data };
        let mut writing = pin!(frames::write(&mut writer, &chunk, MAX_TRANSFER_FRAME));
        loop {
            match select(&mut writing, answers.next()).await {
                Either::Left((Ok(()), _)) => break,
                Either::Left((Err(_), _)) => return Err(last_words(&mut answers).await),
                Either::Right((answer, _)) => progress.confirm(some(answer)?, outbound).await?,
            }
        }
    }
    writer.close().await?;
    Ok(())
}

/// How far a stream has got.
struct Progress<'a> {
    manifest: &'a Manifest,
    pacing: Pacing,
    /// Chunks below this were sent, by this stream or one before.
    sent: u32,
    /// Chunks below this were confirmed.
    have: u32,
}

impl Progress<'_> {
    /// The next chunk, if the window has room for it.
    fn admitted(&self) -> Option<u32> {
        (self.sent < self.manifest.chunks() && self.pacing.admits(self.len(self.sent))).then_some(self.sent)
    }

    fn send(&mut self, index: u32) {
        self.pacing.sent(self.len(index), mesh_platform::now().mono);
        self.sent = index + 1;
    }

    async fn confirm(&mut self, answer: Frame, outbound: &mut Outbound) -> Result<(), Stop> {
        let have = match answer {
            Frame::Received { have } if have > self.have && have <= self.sent => have,
            Frame::Refuse { reason } => return Err(Stop::Refused(reason)),
            Frame::Received { .. } | Frame::Accept { .. } | Frame::Offer { .. } | Frame::Chunk { .. } => {
                return Err(Stop::Offence(Offence::OutOfPlace));
            }
        };
        let confirmed = (self.have..have).map(|index| self.len(index)).sum();
        self.pacing.confirmed(confirmed, mesh_platform::now().mono);
        self.have = have;
        outbound.report(outbound.input(SendReport::Confirmed { have })).await
    }

    fn len(&self, index: u32) -> u64 {
        let range = self.manifest.range(index);
        range.end - range.start
    }
}

/// The receiver's frames. As a stream, so that waiting for one can be given up without losing half of it.
fn answers(reader: impl AsyncRead + Unpin + Send) -> impl Stream<Item = Result<Frame, ReadError>> + Send {
    let reader = BufReader::with_capacity(1024, reader);
    futures::stream::unfold(reader, |mut reader| async move {
        let answer = frames::read(&mut reader, MAX_ANSWER).await.transpose()?;
        Some((answer, reader))
    })
}

async fn next(answers: &mut (impl Stream<Item = Result<Frame, ReadError>> + Unpin)) -> Result<Frame, Stop> {
    some(answers.next().await)
}

fn some(answer: Option<Result<Frame, ReadError>>) -> Result<Frame, Stop> {
    answer.ok_or(Stop::Broken)?.map_err(Stop::from)
}

/// A receiver that refuses says so and hangs up; a write may notice the one before a read has seen the other.
async fn last_words(answers: &mut (impl Stream<Item = Result<Frame, ReadError>> + Unpin)) -> Stop {
    while let Some(Ok(answer)) = answers.next().await {
        if let Frame::Refuse { reason } = answer {
            return Stop::Refused(reason);
        }
    }
    Stop::Broken
}
