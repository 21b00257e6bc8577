//! One test for each attack, over real sockets. Whatever a peer does: the nodes stay up, what it did is counted, memory
//! stays flat, and an honest pair goes on talking, see [`common::siege::Siege::endures`].

#![allow(clippy::print_stdout, reason = "tests tell what they counted")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]

#[path = "../common/mod.rs"]
mod common;

mod flood;
mod garbage;
mod gossip;
mod loris;
mod private;
mod replay;
mod transfer;
