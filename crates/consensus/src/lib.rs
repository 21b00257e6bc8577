//! How does a quorum decide? One small Tendermint for each slot, over a fixed list of voters ("chartered slots").
//!
//! Read it in this order: [`electorate`] says who votes, how many are a quorum and who leads which round; [`agreement`] is
//! the algorithm on bare values, behind a trait with two implementations; [`instance`] makes one slot of it for one voter:
//! signatures, ballots, what may be voted for, timers, what is said to whom, what has to be on the disk first; [`council`]
//! has all slots of a node, and [`lease`] what comes of those about resources; [`certificate`] checks what came out, with nothing but the charter.
//!
//! Nothing in here performs IO, reads a clock or draws a random number that was not given. An [`instance::Instance`] has the
//! four verbs of every machine of the core: `handle`, `handle_timeout`, `poll_timeout`, `poll_output`.
//!
//! # What is promised (reliability 1.1)
//!
//! With at most f = (n - 1) / 3 traitors among n voters: no two outcomes of one slot, whatever the network does and however
//! often voters crash, if they get back what they had stored. It ends after the network has come to rest, while a quorum of
//! floor(2n / 3) + 1 is connected; a smaller part decides nothing. No clock has to be right for any of this.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

pub mod agreement;
pub mod certificate;
pub mod council;
pub mod electorate;
pub mod instance;
pub mod lease;

pub use agreement::{Agreement, Malachite, Plain};
pub use certificate::{Chain, VerifyError, verify, verify_record};
pub use council::Council;
pub use electorate::Electorate;
pub use instance::Instance;
