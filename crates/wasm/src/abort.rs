//! `AbortSignal`: giving up drops the work, and what it had under way in the node with it.

use futures::channel::oneshot;
use futures::{FutureExt as _, select};
use wasm_bindgen::prelude::{Closure, JsCast as _};
use web_sys::AbortSignal;

use crate::error::{ErrorCode, MeshFault};

/// What `work` comes to, unless `signal` is aborted first.
pub(crate) async fn unless_aborted<T>(
    signal: Option<AbortSignal>,
    work: impl Future<Output = T>,
) -> Result<T, MeshFault> {
    let Some(signal) = signal else {
        return Ok(work.await);
    };
    if signal.aborted() {
        return Err(aborted());
    }
    let (tell, told) = oneshot::channel();
    let listener = Closure::once(move || tell.send(()).unwrap_or_default());
    let function = listener.as_ref().unchecked_ref();
    let listening = signal.add_event_listener_with_callback("abort", function).is_ok();
    let done = select! {
        done = std::pin::pin!(work.fuse()) => Ok(done),
        _ = told.fuse() => Err(aborted()),
    };
    if listening {
        let _ = signal.remove_event_listener_with_callback("abort", function);
    }
    done
}

fn aborted() -> MeshFault {
    MeshFault::new(ErrorCode::Aborted, "the call was aborted")
}
