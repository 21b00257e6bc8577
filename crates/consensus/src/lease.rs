//! Leases: who may use a resource, for how long, and a number that tells a late writer from a current one.
//!
//! A resource slot that ends with [`Granted`](mesh_proto::decision::Outcome::Granted) makes a lease. Its [`Token`] is greater
//! than that of every lease of this resource before. A holder may be paused for hours and not notice; so what it writes to
//! carries its token, and a [`Guard`] in front of the store refuses one that is less than the greatest that it has seen.
//! Whether a lease is over is never asked of the guard's clock (Kleppmann: "How to do distributed locking", 2016).

use mesh_proto::NodeId;
use mesh_proto::decision::{Certificate, Outcome, Subject};
use serde::{Deserialize, Serialize};

use crate::instance::Mono;

/// A fencing token: compared by epoch, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The epoch whose voters granted it.
    pub epoch: u64,
    /// The number of the slot.
    pub seq: u64,
}

/// A lease, as its certificate says and our clock measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Greater than any before.
    pub token: Token,
    /// Whose it is.
    pub holder: NodeId,
    /// When it is over by our clock, counted from when we heard of it: never before it is over by the holder's.
    pub until: Mono,
    /// When its holder has to stop, four fifths of it: nobody gets the resource while a late write is on its way.
    pub stop_at: Mono,
}

impl Lease {
    /// The lease that a certificate grants, heard of now; `began` is when its holder claimed it, if that is we.
    pub fn of(certificate: &Certificate, began: Mono) -> Option<(&str, Self)> {
        match (&certificate.slot.subject, certificate.outcome) {
            (Subject::Resource { name, seq }, Outcome::Granted { holder, length }) => {
                let token = Token { epoch: certificate.slot.epoch, seq: *seq };
                let until = began.saturating_add(length);
                let stop_at = began.saturating_add(length.saturating_sub(length.checked_div(5).unwrap_or(0)));
                Some((name, Self { token, holder, until, stop_at }))
            }
            (Subject::Resource { .. } | Subject::Owned { .. }, _) => None,
        }
    }
}

/// Stands in front of what leases protect, and remembers the greatest token. Keep it where the data is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    greatest: Option<Token>,
}

/// Somebody else has had the resource since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease is over: token {}.{} was seen since", greatest.epoch, greatest.seq)]
pub struct Stale {
    /// The greatest token that was seen.
    pub greatest: Token,
}

impl Guard {
    /// Lets a write with this token through, or not.
    ///
    /// # Errors
    /// [`Stale`] when a greater one has come through before.
    pub fn admit(&mut self, token: Token) -> Result<(), Stale> {
        match self.greatest {
            Some(greatest) if token < greatest => Err(Stale { greatest }),
            Some(_) | None => {
                self.greatest = Some(token);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(epoch: u64, seq: u64) -> Token {
        Token { epoch, seq }
    }

    #[test]
    fn guards_let_nobody_go_back() {
        let mut guard = Guard::default();
        // (token, whether it is let through)
        let steps = [
            (token(0, 3), true),
            (token(0, 3), true), // its holder writes again
            (token(0, 5), true),
            (token(0, 4), false),
            (token(0, 3), false),
            (token(1, 0), true), // a new epoch begins anew
            (token(0, u64::MAX), false),
            (token(1, 1), true),
        ];
        for (token, passes) in steps {
            assert_eq!(guard.admit(token).is_ok(), passes, "{token:?}");
        }
        assert_eq!(guard.admit(token(0, 9)), Err(Stale { greatest: token(1, 1) }));
    }
}
