//! What a node decides. Pure: no IO, no clock, no randomness of its own.
//!
//! [`node::Node`] composes the components, one module each: [`membership`] and [`directory`] (who is here),
//! [`messaging`], [`loopback`], [`broadcast`], [`unheard`] and [`weights`] (what they say), [`knowledge`] (what they keep together), [`intake`], [`limits`] and
//! [`replay`] (what is let in), [`proposals`] (what is decided together), [`access`] with [`admission`] and [`inviter`] (who is let in), [`health`],
//! [`condition`] and [`metrics`] (how it goes). [`records`] is what of it stands in a store. Each is told what happened, by `handle` or a
//! method named after it, does what is due in `handle_timeout`, says when that is in `poll_timeout` and what it wants in
//! `poll_output`; time and randomness are arguments. Whoever gives equal inputs at equal times gets equal outputs.
//! [`gossip`] is how gossipsub, which carries what they say, is tuned.
//!
//! Values of maps that are larger than a few words stand in boxes: maps with the same keys then share their code, which is 4 kB of
//! wasm for each size of a value (docs/adr/0039). Where a message would be boxed each time they do not.

pub mod access;
pub mod admission;
pub mod broadcast;
pub mod condition;
pub mod directory;
pub mod doorstep;
pub mod gossip;
pub mod health;
pub mod intake;
pub mod inviter;
pub mod knowledge;
pub mod limits;
pub mod loopback;
pub mod membership;
pub mod messaging;
pub mod metrics;
pub mod node;
pub mod offence;
pub mod paths;
pub mod proposals;
pub mod records;
pub mod replay;
pub mod sealer;
pub mod time;
pub mod unheard;
pub mod weights;

pub use mesh_consensus::lease;
pub use node::Node;
pub use offence::Offence;
pub use time::{Mono, Now};
