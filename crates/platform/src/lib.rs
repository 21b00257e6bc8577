//! Where we run: one set of words for native threads and for JavaScript's single one.
//!
//! Each item has a native and a wasm twin with the same meaning. Nothing else in the workspace, but for the transport
//! of `mesh-net`, asks which target it is compiled for.

mod executor;
mod time;

pub use executor::{CondSend, spawn, yield_now};
pub use time::{now, sleep};
