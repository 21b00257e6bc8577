//! What [`mesh_consensus::Instance`] promises, with both implementations of the algorithm under it: each test is written
//! once and run with [`mesh_consensus::Malachite`] and with [`mesh_consensus::Plain`].
//!
//! [`support::Table`] has the voters and signs by hand, [`support::Net`] plays several of them in virtual time. Nothing
//! here is random: the seeds of the voters are their places.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]

/// Runs each of these generic tests with both algorithms.
macro_rules! with_both_cores {
    ($($name:ident),+ $(,)?) => {
        mod malachite {
            $(#[test]
            fn $name() {
                super::$name::<mesh_consensus::Malachite>();
            })+
        }
        mod plain {
            $(#[test]
            fn $name() {
                super::$name::<mesh_consensus::Plain>();
            })+
        }
    };
}

mod approve;
mod bounds;
mod evidence;
mod forgery;
mod handing_on;
mod outcomes;
mod replay;
mod resource;
mod restart;
mod rounds;
mod saved;
mod support;
mod validity;
