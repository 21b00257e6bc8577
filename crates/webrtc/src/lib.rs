//! libp2p's private-to-private WebRTC, `/webrtc`: two peers that can both only dial, two browsers for example, get a
//! direct connection. They signal over a connection through a relay.
//!
//! Follows the [specification](https://github.com/libp2p/specs/blob/master/webrtc/webrtc.md) and interoperates with
//! js-libp2p. What decides is pure: framing, streams and signalling are machines that are told what happened and
//! say what to do. The WebRTC implementation itself is behind the traits of [`rtc`].

pub mod address;
mod behaviour;
mod clock;
mod config;
pub mod direct;
mod error;
pub mod framing;
mod handler;
mod lend;
pub mod muxer;
pub mod rtc;
pub mod signalling;
mod slots;
pub mod stream;
mod transport;

pub use behaviour::{Behaviour, Event};
pub use config::Config;
pub use error::Error;
pub use muxer::Muxer;
pub use signalling::HandshakeError;
pub use transport::{Transport, new};

/// The examples in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
