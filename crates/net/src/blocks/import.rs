//! A file becomes blocks, beside the driver: hashing takes its time, so others get a turn after each chunk.

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::stream::BoxStream;
use futures::{SinkExt as _, StreamExt as _};
use mesh_unixfs::{Block, Importer, Layout, Root};

use super::fetch::BATCH;
use super::service::JobId;
use crate::driver::blocks::Report;

/// Cuts what comes in `pieces` and hands the blocks over in batches, each when the one before is saved. Ends early when that
/// failed, or when nobody wants it any more.
pub(crate) async fn import(job: JobId, mut pieces: BoxStream<'static, Bytes>, mut reports: mpsc::Sender<Report>) {
    let layout = Layout::default();
    // The default is one that makes sense.
    let Ok(mut importer) = Importer::new(layout) else { return };
    let mut batch = Batch::default();
    while let Some(piece) = pieces.next().await {
        for slice in piece.chunks(layout.chunk) {
            importer.push(slice);
            while let Some(block) = importer.next_block() {
                batch.push(block);
            }
            if batch.bytes >= BATCH && !hand_over(job, &mut batch, None, &mut reports).await {
                return;
            }
            mesh_platform::yield_now().await;
        }
    }
    let (root, rest) = importer.finish();
    rest.for_each(|block| batch.push(block));
    hand_over(job, &mut batch, Some(root), &mut reports).await;
}

#[derive(Default)]
struct Batch {
    blocks: Vec<Block>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, block: Block) {
        self.bytes += block.data().len();
        self.blocks.push(block);
    }
}

/// Hands over a batch. Whether more is wanted.
async fn hand_over(job: JobId, batch: &mut Batch, last: Option<Root>, reports: &mut mpsc::Sender<Report>) -> bool {
    let Batch { blocks, .. } = std::mem::take(batch);
    let (respond, response) = oneshot::channel();
    reports.send(Report::Imported { job, blocks, last, respond }).await.is_ok() && response.await.is_ok()
}
