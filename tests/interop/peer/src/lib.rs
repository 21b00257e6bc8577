//! A libp2p node with `/webrtc`, put together as the README of `mesh-webrtc` says, and driven by JavaScript: ping,
//! identify, and raw streams of whatever protocols the tests want.

mod door;
mod node;
mod stream;
mod streams;
