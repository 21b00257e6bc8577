//! IPFS [Bitswap 1.2](https://specs.ipfs.tech/bitswap-protocol/) for rust-libp2p: gets blocks from any IPFS peer, and gives
//! them to any.
//!
//! What decides is pure: [`client`] and [`server`] are told what happened and say what to send. Around them is a
//! [`Behaviour`] that keeps no blocks: it asks for them with [`Event::Look`], so that any store will do. Everything that a
//! peer sends is within a limit, and what is past it is refused, passed over or answered with "don't have", as each says.

mod behaviour;
pub mod client;
mod clock;
mod handler;
pub mod message;
pub mod server;
mod stream;

pub use behaviour::{Behaviour, Event};
pub use client::Full;
pub use handler::{MAX_STREAMS, PROTOCOL};
pub use server::{Found, Look};
pub use stream::StreamError;

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
