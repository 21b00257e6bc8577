//! What happens to many nodes: a thousand of them in one process, in virtual time, from one seed.
//!
//! The nodes are the real ones ([`mesh_core::Node`], as it runs in pages, in Node.js and in relays); what is simulated is
//! everything around them. [`world::World`] is the loop, [`link`] and [`overlay`] say how bytes and gossip travel, [`faults`] what goes wrong,
//! [`byzantine`] what hosts do that they should not, [`ledger`] what must hold all the same. [`scenario`] has whole stories, each with
//! its figures.
//!
//! A seed gives one [trace](world::World::trace), natively and in wasm: all randomness comes from it, everything that is
//! iterated is ordered, and probabilities are whole numbers.

mod agenda;
pub mod blocks;
pub mod byzantine;
pub mod chance;
mod conn;
mod driver;
pub mod faults;
mod frame;
pub mod host;
pub mod id;
pub mod ledger;
pub mod link;
mod network;
mod observe;
pub mod overlay;
pub mod report;
pub mod scenario;
mod script;
pub mod slots;
mod trace;
mod verifier;
mod wire;
pub mod world;

pub use faults::{Crash, Store};
pub use host::Spec;
pub use id::{HostId, Micros};
pub use link::Link;
pub use observe::Plan;
pub use world::World;
