//! The receiving side of a stream: reports the offer, answers it as decided, checks each chunk and confirms it.

use std::pin::pin;
use std::sync::Arc;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::io::BufReader;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, SinkExt as _};
use mesh_core::Offence;
use mesh_core::weights::pacing::MAX_WINDOW;
use mesh_core::weights::{Input, ReceiveReport, Ticket};
use mesh_proto::limits::MAX_TRANSFER_FRAME;
use mesh_proto::transfer::{Frame, Manifest, Refusal};
use mesh_proto::{MeshId, NodeId, TransferId};

use super::{Answer, Report, Shared, Stop, lock};
use crate::frames;

/// How long a peer that opened a stream may take to say what for, and to hang up in the end. Milliseconds.
const PATIENCE_MS: u64 = 15_000;

/// Largest frame of ours, a few words and a number.
const MAX_ANSWER: usize = 64;

/// What a task needs to know.
pub(super) struct Inbound {
    pub(super) mesh: MeshId,
    pub(super) from: NodeId,
    pub(super) ticket: Ticket,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Inbound {
    fn input(&self, id: TransferId, report: ReceiveReport) -> Input {
        Input::Receiving { from: self.from, id, ticket: self.ticket, report }
    }

    async fn report(&mut self, report: Report) -> Result<(), Stop> {
        self.reports.send(report).await.map_err(|_| Stop::Broken)
    }
}

/// Serves a stream. Ends with what is left to tell the node.
pub(super) async fn receive<S>(stream: S, mut inbound: Inbound) -> Option<Input>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reader, writer) = stream.split();
    let mut io = Io { reader: BufReader::with_capacity(8 * 1024, reader), writer };
    let (accepted, stopped) = match negotiate(&mut io, &mut inbound).await {
        Ok(None) => (None, Ok(())),
        Ok(Some(partial)) => {
            let id = lock(&partial).manifest.id;
            (Some(id), take_chunks(&mut io, &mut inbound, &partial).await)
        }
        Err(stop) => (None, Err(stop)),
    };
    let peer = inbound.from;
    match stopped {
        Ok(()) => return None,
        Err(Stop::Offence(offence)) => {
            let _ = inbound.report(Report::Input(Input::Offence { peer, offence })).await;
        }
        Err(Stop::Broken | Stop::Refused(_)) => {}
    }
    accepted.map(|id| inbound.input(id, ReceiveReport::Broken))
}

/// Learns what is offered and what is thought of it. `None` when there is nothing to take.
async fn negotiate<R, W>(io: &mut Io<R, W>, inbound: &mut Inbound) -> Result<Option<Shared>, Stop>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Some(offer) = within_patience(io.read()).await else {
        return Err(Stop::Broken);
    };
    let manifest = match offer? {
        Frame::Offer { mesh, manifest } if mesh == inbound.mesh => Arc::new(manifest),
        Frame::Offer { .. } => return io.refuse(Refusal::WrongMesh).await,
        Frame::Accept { .. } | Frame::Refuse { .. } | Frame::Chunk { .. } | Frame::Received { .. } => {
            return Err(Stop::Offence(Offence::OutOfPlace));
        }
    };
    let have = manifest.chunks();
    let (respond, answer) = oneshot::channel();
    let offered = Report::Offered { from: inbound.from, ticket: inbound.ticket, manifest, respond };
    inbound.report(offered).await?;
    match answer.await.map_err(|_| Stop::Broken)? {
        Answer::Accept(partial) => Ok(Some(partial)),
        Answer::Refuse(reason) => io.refuse(reason).await,
        Answer::Known => {
            io.write(&Frame::Accept { have }).await?;
            io.part().await;
            Ok(None)
        }
    }
}

/// Takes what is not here yet. A chunk is confirmed when the driver knows of it, so a driver that is behind slows its
/// peers down.
async fn take_chunks<R, W>(io: &mut Io<R, W>, inbound: &mut Inbound, partial: &Shared) -> Result<(), Stop>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (manifest, mut have): (Arc<Manifest>, u32) = {
        let partial = lock(partial);
        (partial.manifest.clone(), partial.have())
    };
    let id = manifest.id;
    inbound.report(Report::Input(inbound.input(id, ReceiveReport::Arrived { have }))).await?;
    io.write(&Frame::Accept { have }).await?;
    while have < manifest.chunks() {
        let data = match io.read().await? {
            Frame::Chunk { index, data } if index == have => data,
            Frame::Chunk { .. }
            | Frame::Offer { .. }
            | Frame::Accept { .. }
            | Frame::Refuse { .. }
            | Frame::Received { .. } => return Err(Stop::Offence(Offence::OutOfPlace)),
        };
        if !manifest.fits(have, &data) {
            inbound.report(Report::Input(inbound.input(id, ReceiveReport::Corrupt))).await?;
            let _: Option<Shared> = io.refuse(Refusal::Corrupt).await?;
            return Ok(());
        }
        let Some(now_here) = lock(partial).append(inbound.ticket, data) else {
            return Ok(());
        };
        have = now_here;
        inbound.report(Report::Input(inbound.input(id, ReceiveReport::Arrived { have }))).await?;
        io.write(&Frame::Received { have }).await?;
        // Hashing has kept this thread for a while, and more may be here already.
        mesh_platform::yield_now().await;
    }
    io.part().await;
    Ok(())
}

struct Io<R, W> {
    reader: R,
    writer: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Io<R, W> {
    async fn read(&mut self) -> Result<Frame, Stop> {
        let frame = frames::read(&mut self.reader, MAX_TRANSFER_FRAME).await?;
        frame.ok_or(Stop::Broken)
    }

    async fn write(&mut self, answer: &Frame) -> Result<(), Stop> {
        Ok(frames::write(&mut self.writer, answer, MAX_ANSWER).await?)
    }

    async fn refuse<T>(&mut self, reason: Refusal) -> Result<Option<T>, Stop> {
        self.write(&Frame::Refuse { reason }).await?;
        self.part().await;
        Ok(None)
    }

    /// Hangs up last. To drop a stream with chunks still coming would reset it, perhaps before the sender has read our
    /// last word; so that is closed after, and what is on the way is read to its end.
    async fn part(&mut self) {
        let Self { reader, writer } = self;
        let parting = async {
            let _ = writer.close().await;
            let mut rest = reader.take(2 * MAX_WINDOW);
            let mut buffer = vec![0; 4096];
            while rest.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        };
        within_patience(parting).await;
    }
}

async fn within_patience<T>(work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(mesh_platform::sleep(PATIENCE_MS))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}
