//! Events on their way to JavaScript.

use bytes::Bytes;
use futures::StreamExt as _;
use js_sys::Uint8Array;
use mesh_net::{Event, EventStream, Handle};

use crate::convert;
use crate::peer::peer_text;
use crate::told::{self, Receipts};
use crate::types::MeshEvent;

/// The next event that JavaScript is told.
pub(crate) async fn next(events: &mut EventStream, handle: &Handle, receipts: &Receipts) -> Option<MeshEvent> {
    loop {
        let event = match events.next().await? {
            Event::Core(event) => told::core(event, receipts),
            Event::Weights { from, manifest, chunks } => {
                handle.weights_taken(from, manifest.id);
                Some(MeshEvent::WeightsReceived {
                    transfer: manifest.id.to_string(),
                    peer_id: peer_text(&from),
                    info: convert::weights_info(&manifest.info),
                    body: js_array(&chunks).into(),
                })
            }
            Event::Lagged(dropped) => Some(MeshEvent::Lagged { dropped }),
        };
        if event.is_some() {
            return event;
        }
    }
}

/// Copies each chunk to its place in one array of JavaScript's: there is no second whole in wasm's memory, which never
/// shrinks.
pub(crate) fn js_array(chunks: &[Bytes]) -> Uint8Array {
    let size: usize = chunks.iter().map(Bytes::len).sum();
    let array = Uint8Array::new_with_length(size as u32);
    let mut start = 0;
    for chunk in chunks {
        let end = start + chunk.len() as u32;
        array.subarray(start, end).copy_from(chunk);
        start = end;
    }
    array
}
