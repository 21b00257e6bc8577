//! Letting others in: issuing invites, and credentials to who redeems one.
//!
//! A founder may issue any role, without a quota; an inviter members and observers, so many a day as its own credential says
//! ([`mesh_proto::credential`]). Each invite is for one node: the first one that redeems it. The same node may redeem it
//! again, for the answer may have been lost, and gets the same credential; anybody else is told that it was used.
//!
//! [`Inviter::ledger`] must be on the disk before an invite or credential is given away: an inviter that forgets its numbers
//! gives them twice, and one that forgets who came gives two nodes one place.

use std::collections::BTreeMap;

use mesh_proto::credential::{
    Credential, DAY_S, Invitation, Invite, Redemption, Role, Serial, SignedCredential, Standing,
};
use mesh_proto::limits::{MAX_CREDENTIAL_S, MAX_INVITATION_S};
use mesh_proto::{EncodeError, Keypair, MeshId, NodeId, Verifier};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

/// Seconds that a credential begins before it is issued: clocks of others may be late.
const EARLY_S: u64 = 300;
/// Invites that were redeemed and are remembered, about 80 bytes each: as many as one inviter issues in a week at the most
/// that may be asked for. They are forgotten when they could not be redeemed any more.
const MAX_REDEEMED: usize = 80_000;

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
    /// It was issued by somebody else, or for another mesh.
    #[error("the invite is not one of ours")]
    NotOurs,
    /// It is forged, or who redeems it does not have it.
    #[error("the invite is forged")]
    Forged,
    /// Its time is over.
    #[error("the invite is not valid any more: ask for a new one")]
    Expired,
    /// Another node has redeemed it.
    #[error("the invite was used by another node: ask for a new one")]
    Used,
    /// It was revoked.
    #[error("the invite was revoked")]
    Revoked,
    /// Too many are remembered.
    #[error("too many invites are being redeemed: try again tomorrow")]
    Full,
    /// Past a bound of the format.
    #[error("the invite is too long: name fewer relays")]
    TooLong,
}

impl From<EncodeError> for Error {
    fn from(_: EncodeError) -> Self {
        Self::TooLong
    }
}

/// What an inviter must not forget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The last day on which something was issued.
    day: u64,
    /// The next number of that day.
    next: u32,
    /// Who has redeemed what, and what it got.
    redeemed: BTreeMap<(u64, u32), SignedCredential>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Inviter {
    mesh: MeshId,
    key: Keypair,
    ledger: Ledger,
    rng: ChaCha8Rng,
}

impl Inviter {
    /// Of the node of `key`, which goes on with what was kept.
    pub fn new(mesh: MeshId, key: Keypair, ledger: Ledger, entropy: [u8; 32]) -> Self {
        Self { mesh, key, ledger, rng: ChaCha8Rng::from_seed(entropy) }
    }

    /// What has to be kept before what was issued last is given away.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Issues an invite for one node, which may be redeemed for `lifetime_s` seconds.
    ///
    /// # Errors
    /// [`Error`]
    pub fn invite(
        &mut self,
        license: License,
        (name, relays): (String, Vec<String>),
        role: Role,
        lifetime_s: u64,
        unix_s: u64,
    ) -> Result<Invite, Error> {
        if lifetime_s == 0 || lifetime_s > MAX_INVITATION_S {
            return Err(Error::Lifetime);
        }
        let serial = self.number(license, role, unix_s)?;
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let key = Keypair::from_seed(&secret).node();
        let not_after = unix_s.saturating_add(lifetime_s);
        let invitation = Invitation { mesh: self.mesh, key, role, not_after, serial }.sign(&self.key)?;
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
        if invites > 0 && license != License::Founder {
            return Err(Error::Role(role));
        }
        let serial = self.number(license, role, unix_s)?;
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
    ) -> Result<SignedCredential, Error> {
        let Invitation { mesh, role, not_after, serial, .. } = redemption.invitation.invitation;
        if mesh != self.mesh || serial.issuer != self.key.node() {
            return Err(Error::NotOurs);
        }
        if redemption.node != from || !redemption.verifies(verifier) {
            return Err(Error::Forged);
        }
        if not_after <= unix_s {
            return Err(Error::Expired);
        }
        if revoked(&serial) {
            return Err(Error::Revoked);
        }
        let place = (serial.day, serial.number);
        if let Some(given) = self.ledger.redeemed.get(&place) {
            return if given.credential.subject == from { Ok(given.clone()) } else { Err(Error::Used) };
        }
        // An invitation lives for a week at most, and is of the day on which it was issued.
        let oldest = unix_s.saturating_sub(MAX_INVITATION_S.saturating_add(DAY_S)) / DAY_S;
        self.ledger.redeemed = self.ledger.redeemed.split_off(&(oldest, 0));
        if self.ledger.redeemed.len() >= MAX_REDEEMED {
            return Err(Error::Full);
        }
        let credential = self.sign(from, (role, 0), serial, unix_s)?;
        self.ledger.redeemed.insert(place, credential.clone());
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
    fn number(&mut self, license: License, role: Role, unix_s: u64) -> Result<Serial, Error> {
        let quota = match license {
            License::Founder => u32::MAX,
            License::Inviter(standing) if standing.invites > 0 && role < Role::Voter && standing.until > unix_s => {
                standing.invites
            }
            License::Inviter(_) => return Err(Error::Role(role)),
        };
        let quota = quota.min(mesh_proto::limits::MAX_INVITES_PER_DAY);
        let today = unix_s / DAY_S;
        // A clock that was set back does not give numbers twice.
        if today > self.ledger.day {
            (self.ledger.day, self.ledger.next) = (today, 0);
        }
        if self.ledger.next >= quota {
            return Err(Error::Quota(quota));
        }
        let serial = Serial { issuer: self.key.node(), day: self.ledger.day, number: self.ledger.next };
        self.ledger.next += 1;
        Ok(serial)
    }
}

#[cfg(test)]
mod tests;
