//! Direct streams: one that we write to each peer, and those that peers write to us.

use std::io;

use futures::channel::{mpsc, oneshot};
use futures::io::BufReader;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, SinkExt as _, StreamExt as _};
use libp2p::{Stream, StreamProtocol};
use mesh_core::node::Input;
use mesh_proto::direct::Frame;
use mesh_proto::limits::MAX_DIRECT_FRAME;
use mesh_proto::{NodeId, credential, join, protocol};

use crate::frames::{self, ReadError};
use crate::streams::Opening;

/// The protocol's name, as libp2p wants it.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new(protocol::DIRECT);

/// Frames that wait for one peer's stream. The core keeps at most a window of messages on the way, so this overflows only
/// when acknowledgements pile up; the stream counts as broken then, and a new one begins with what is not acknowledged.
pub(crate) const QUEUE_LEN: usize = 8192;

/// Bytes that are gathered into one write.
const WRITE_LEN: usize = 32 * 1024;

/// What stream tasks tell the driver.
#[derive(Debug)]
pub(crate) enum Report {
    /// Something for the core.
    Input(Input),
    /// A frame from the direct stream of that number that a peer has open to us.
    Frame { from: NodeId, stream: u64, frame: Frame },
    /// Our stream to a peer is open: frames go into `frames`. `generation` is the driver's own number of it.
    Opened { peer: NodeId, generation: u64, frames: mpsc::Sender<Frame> },
    /// Our stream of that number to a peer is gone.
    Closed { peer: NodeId, generation: u64 },
    /// Entries of knowledge are in the store, or could not be put there.
    EntriesKept { writes: Vec<u64>, durable: bool },
    /// An incoming direct stream of a peer has ended.
    InboundEnded { peer: NodeId, stream: u64 },
    /// An incoming stream of a peer that asks or shows something once has ended.
    ServingEnded { peer: NodeId },
    /// A node asks for a credential.
    AdmitRequest { from: NodeId, request: Box<credential::Request>, respond: oneshot::Sender<Box<credential::Answer>> },
    /// A newcomer asks for the member list.
    JoinRequest { from: NodeId, request: join::Request, respond: oneshot::Sender<Vec<join::Reply>> },
}

/// Waits for our stream to `peer` and writes to it until it breaks.
pub(crate) async fn write(opening: Opening, peer: NodeId, generation: u64, mut reports: mpsc::Sender<Report>) {
    if let Ok(stream) = opening.stream().await {
        let (frames, queue) = mpsc::channel(QUEUE_LEN);
        let opened = Report::Opened { peer, generation, frames };
        if reports.send(opened).await.is_ok() {
            let _ = write_all(stream, queue).await;
        }
    }
    let _ = reports.send(Report::Closed { peer, generation }).await;
}

async fn write_all(stream: Stream, mut queue: mpsc::Receiver<Frame>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    // The remote never writes here: whatever a read ends with, the stream is over.
    let mut nothing = [0];
    let mut over = reader.read(&mut nothing).fuse();
    let mut buffer = Vec::new();
    loop {
        let frame = futures::select! {
            _ = over => return Ok(()),
            frame = queue.next() => frame,
        };
        let Some(frame) = frame else {
            return writer.close().await;
        };
        buffer.clear();
        frames::append(&mut buffer, &frame, MAX_DIRECT_FRAME)?;
        while buffer.len() < WRITE_LEN
            && let Ok(frame) = queue.try_recv()
        {
            frames::append(&mut buffer, &frame, MAX_DIRECT_FRAME)?;
        }
        writer.write_all(&buffer).await?;
        writer.flush().await?;
    }
}

/// Reads a stream that `from` opened, the driver's `number`, until it ends. The driver takes reports at its own pace, so does this read.
pub(crate) async fn read(stream: Stream, (from, number): (NodeId, u64), mut reports: mpsc::Sender<Report>) {
    let mut stream = BufReader::with_capacity(16 * 1024, stream);
    loop {
        let report = match frames::read(&mut stream, MAX_DIRECT_FRAME).await {
            Ok(Some(frame)) => Report::Frame { from, stream: number, frame },
            Err(ReadError::Offence(offence)) => Report::Input(Input::Offence { from, offence }),
            Ok(None) | Err(ReadError::Io(_)) => break,
        };
        let over = matches!(report, Report::Input(_));
        if reports.send(report).await.is_err() || over {
            break;
        }
    }
    let ended = Report::InboundEnded { peer: from, stream: number };
    let _ = reports.send(ended).await;
}
