//! Letting others in: issuing invites, and credentials to who redeems one.
//!
//! A founder may issue any role, without a quota; an inviter members and observers, so many a day as its own credential says
//! ([`mesh_proto::credential`]). Each invite is for one node: the first one that redeems it. The same node may redeem it
//! again, for the answer may have been lost, and gets the same credential; anybody else is told that it was used.
//!
//! What [`Inviter::poll_change`] gives must be in the store before an invite or credential is given away: an inviter that forgets
//! its numbers gives them twice, and one that forgets who came gives two nodes one place.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use mesh_proto::codec::{Bounded, DecodeError};
use mesh_proto::credential::{
    Credential, DAY_S, Invitation, Invite, NotAdmitted, Redemption, Role, Serial, SignedCredential, Standing,
};
use mesh_proto::limits::{MAX_ADMISSION, MAX_CREDENTIAL_S, MAX_INVITATION_S, MAX_INVITES_PER_DAY};
use mesh_proto::{EncodeError, Keypair, MeshId, NodeId, Verifier};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::records::{Change, Damaged, read, write};

/// Seconds that a credential begins before it is issued: clocks of others may be late.
pub(crate) const EARLY_S: u64 = 300;
/// Invites that were redeemed and are remembered, about 400 bytes each: as many as one inviter lets in within two weeks. They
/// are forgotten when they could not be redeemed any more.
const MAX_REDEEMED: usize = 10_000;

/// The record of the numbers.
const NUMBERS: &str = "numbers";
/// Those of what was redeemed: `redeemed/DAY/NUMBER`.
const REDEEMED: &str = "redeemed/";

/// Whether a node may issue, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum License {
    /// As a founder: everything.
    Founder,
    /// By its credential.
    Inviter(Standing),
}

/// Why an invite or credential is not issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only founders name voters, and nobody else than a founder or inviter lets anybody in.
    #[error("this node may not let anybody in as {0:?}: ask a founder")]
    Role(Role),
    /// All of today are issued.
    #[error("all {0} invites of today are issued: more tomorrow")]
    Quota(u32),
    /// Longer than may be, or none.
    #[error("an invite lasts from 1 s to {MAX_INVITATION_S} s")]
    Lifetime,
    /// Past a bound of the format.
    #[error("the invite is too long: name fewer relays")]
    TooLong,
}

impl From<EncodeError> for Error {
    fn from(_: EncodeError) -> Self {
        Self::TooLong
    }
}

/// The numbers that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    /// The last day on which something was issued.
    day: u64,
    /// The next number of that day.
    next: u32,
}

impl Bounded for Numbers {
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// What an inviter must not forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    numbers: Numbers,
    /// Who has redeemed what, and what it got.
    redeemed: BTreeMap<(u64, u32), SignedCredential>,
}

impl Ledger {
    /// Takes in a record. Others are not its own.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn restore(&mut self, prefix: &str, key: &str, value: &Bytes) -> Result<bool, Damaged> {
        let Some(own) = key.strip_prefix(prefix) else { return Ok(false) };
        if own == NUMBERS {
            self.numbers = read(key, value, MAX_ADMISSION)?;
            return Ok(true);
        }
        let Some(place) = own.strip_prefix(REDEEMED) else { return Ok(false) };
        let place = place.split_once('/').and_then(|(day, number)| Some((day.parse().ok()?, number.parse().ok()?)));
        let place = place.ok_or_else(|| Damaged(key.to_owned()))?;
        self.redeemed.insert(place, read(key, value, MAX_ADMISSION)?);
        Ok(true)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Inviter {
    mesh: MeshId,
    key: Keypair,
    /// Before the keys of its records.
    prefix: &'static str,
    ledger: Ledger,
    rng: ChaCha8Rng,
    changes: VecDeque<Change>,
}

impl Inviter {
    /// Of the node of `key`, which goes on with what was kept under `prefix`.
    pub fn new(mesh: MeshId, key: Keypair, (prefix, ledger): (&'static str, Ledger), entropy: [u8; 32]) -> Self {
        Self { mesh, key, prefix, ledger, rng: ChaCha8Rng::from_seed(entropy), changes: VecDeque::new() }
    }

    /// What has to be kept before what was issued is given away.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Entries that are remembered.
    pub fn retained(&self) -> usize {
        self.ledger.redeemed.len()
    }

    /// Who has redeemed the invite of this number, if it is ours.
    pub fn redeemed_by(&self, serial: &Serial) -> Option<NodeId> {
        let place = (serial.day, serial.number);
        let given = self.ledger.redeemed.get(&place).filter(|_| serial.issuer == self.key.node());
        given.map(|signed| signed.credential.subject)
    }

    /// Issues an invite for one node, which may be redeemed for `lifetime_s` seconds.
    ///
    /// # Errors
    /// [`Error`]
    pub fn invite(
        &mut self,
        license: License,
        (name, relays): (String, Vec<String>),
        (role, invites): (Role, u32),
        lifetime_s: u64,
        unix_s: u64,
    ) -> Result<Invite, Error> {
        if lifetime_s == 0 || lifetime_s > MAX_INVITATION_S {
            return Err(Error::Lifetime);
        }
        let serial = self.number(license, (role, invites), unix_s)?;
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let key = Keypair::from_seed(&secret).node();
        let not_after = unix_s.saturating_add(lifetime_s);
        let invitation = Invitation { mesh: self.mesh, key, role, invites, not_after, serial }.sign(&self.key)?;
        let invite = Invite { name, invitation, secret: ByteArray::new(secret), relays };
        // Refused here, and not when somebody opens the link.
        invite.encode()?;
        Ok(invite)
    }

    /// Issues a credential to a node that is known by other ways, or that has one of ours which is about to end.
    ///
    /// # Errors
    /// [`Error`]
    pub fn issue(
        &mut self,
        license: License,
        subject: NodeId,
        (role, invites): (Role, u32),
        unix_s: u64,
    ) -> Result<SignedCredential, Error> {
        let serial = self.number(license, (role, invites), unix_s)?;
        self.sign(subject, (role, invites), serial, unix_s)
    }

    /// Gives a credential to the first node that redeems an invite of ours.
    ///
    /// # Errors
    /// [`Error`]
    pub fn redeem(
        &mut self,
        from: NodeId,
        redemption: &Redemption,
        revoked: impl Fn(&Serial) -> bool,
        verifier: &dyn Verifier,
        unix_s: u64,
    ) -> Result<SignedCredential, NotAdmitted> {
        let Invitation { mesh, role, invites, not_after, serial, .. } = redemption.invitation.invitation;
        if mesh != self.mesh || serial.issuer != self.key.node() {
            return Err(NotAdmitted::NotOurs);
        }
        if redemption.node != from || !redemption.verifies(verifier) {
            return Err(NotAdmitted::Forged);
        }
        if not_after <= unix_s {
            return Err(NotAdmitted::Expired);
        }
        if revoked(&serial) {
            return Err(NotAdmitted::Revoked);
        }
        let place = (serial.day, serial.number);
        if let Some(given) = self.ledger.redeemed.get(&place) {
            return if given.credential.subject == from { Ok(given.clone()) } else { Err(NotAdmitted::Used) };
        }
        // An invitation lives for a week at most, and is of the day on which it was issued.
        let oldest = unix_s.saturating_sub(MAX_INVITATION_S.saturating_add(DAY_S)) / DAY_S;
        let kept = self.ledger.redeemed.split_off(&(oldest, 0));
        let over = std::mem::replace(&mut self.ledger.redeemed, kept);
        let forgotten = over.into_keys().map(|place| Change { key: redeemed_key(self.prefix, place), value: None });
        self.changes.extend(forgotten);
        if self.ledger.redeemed.len() >= MAX_REDEEMED {
            return Err(NotAdmitted::Unable);
        }
        let credential = self.sign(from, (role, invites), serial, unix_s).map_err(|_| NotAdmitted::Unable)?;
        self.ledger.redeemed.insert(place, credential.clone());
        self.changes.push_back(write(redeemed_key(self.prefix, place), &credential, MAX_ADMISSION));
        Ok(credential)
    }

    fn sign(
        &self,
        subject: NodeId,
        (role, invites): (Role, u32),
        serial: Serial,
        unix_s: u64,
    ) -> Result<SignedCredential, Error> {
        let not_before = unix_s.saturating_sub(EARLY_S);
        let not_after = not_before.saturating_add(MAX_CREDENTIAL_S);
        let credential = Credential { mesh: self.mesh, subject, role, invites, not_before, not_after, serial };
        Ok(credential.sign(&self.key)?)
    }

    /// The next number. It is used up even if what it is for is never given away.
    fn number(&mut self, license: License, (role, invites): (Role, u32), unix_s: u64) -> Result<Serial, Error> {
        let quota = match license {
            License::Founder => MAX_INVITES_PER_DAY,
            License::Inviter(Standing { invites: quota, until, .. }) => {
                if quota == 0 || role == Role::Voter || invites > 0 || until <= unix_s {
                    return Err(Error::Role(role));
                }
                quota
            }
        };
        let today = unix_s / DAY_S;
        let numbers = &mut self.ledger.numbers;
        // A clock that was set back does not give numbers twice.
        if today > numbers.day {
            *numbers = Numbers { day: today, next: 0 };
        }
        if numbers.next >= quota {
            return Err(Error::Quota(quota));
        }
        let serial = Serial { issuer: self.key.node(), day: numbers.day, number: numbers.next };
        numbers.next += 1;
        let change = write(format!("{}{NUMBERS}", self.prefix), numbers, MAX_ADMISSION);
        self.changes.push_back(change);
        Ok(serial)
    }
}

fn redeemed_key(prefix: &str, (day, number): (u64, u32)) -> String {
    format!("{prefix}{REDEEMED}{day}/{number}")
}

#[cfg(test)]
mod tests;
