//! Who may come in, and as what.
//!
//! A [`Credential`] says that a node is a member, in a role, for at most a week. Founders issue them, and so do *inviters*:
//! members whose own credential says how many they may issue a day. So a bad inviter lets a number of nodes in that can be
//! told beforehand, and that goes with it when its credential is revoked.
//!
//! Nobody knows the key of a node that is yet to come. So somebody is invited with an [`Invite`], a link or a picture, that
//! holds a key for one use. The invited node signs its own name with it ([`Redemption`]) and asks who has invited it for a
//! credential; that one remembers which invitations were used. The invite itself lets nobody in.
//!
//! Two members that connect show each other their credentials first ([`Proof`]), with a signature over both their names
//! and a number that each has drawn, so that what is shown to one is worth nothing to another.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::charter::Charter;
use crate::codec::{self, Bounded, DecodeError, EncodeError};
use crate::envelope::Verifier;
use crate::id::{Keypair, MeshId, NodeId};
use crate::limits::{
    MAX_ADDRESS, MAX_ADMISSION, MAX_CREDENTIAL_CHAIN, MAX_CREDENTIAL_S, MAX_INVITATION_S, MAX_INVITE,
    MAX_INVITE_RELAYS, MAX_INVITES_PER_DAY, MAX_MESH_NAME,
};
use crate::protocol::{ADMISSION_DOMAIN, CREDENTIAL_DOMAIN, INVITATION_DOMAIN, REDEEM_DOMAIN, REVOCATION_DOMAIN};

/// Seconds of a day, of which inviters have their numbers.
pub const DAY_S: u64 = 24 * 3600;

/// What a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything but a vote and a word: it listens. In an open mesh everybody may.
    Observer,
    /// Everything but a vote.
    Member,
    /// What a member may; and it is meant to be in the next electorate. Votes are only counted of who stands there.
    Voter,
}

/// The number of a credential or invitation among those of its issuer: none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serial {
    /// Who issued it.
    pub issuer: NodeId,
    /// On which day: unix seconds divided by those of a day.
    pub day: u64,
    /// The how manieth of that day, from 0. An inviter's are less than its quota.
    pub number: u32,
}

impl Bounded for Serial {
    fn check(&self) -> Result<(), DecodeError> {
        codec::bound("number", self.number as usize, MAX_INVITES_PER_DAY as usize - 1)
    }
}

/// A node's credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The mesh.
    pub mesh: MeshId,
    /// Whose it is.
    pub subject: NodeId,
    /// What the node may do.
    pub role: Role,
    /// How many credentials and invitations of members and observers it may issue a day.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invites: u32,
    /// From when on, unix seconds.
    pub not_before: u64,
    /// Until when, unix seconds: at most a week later.
    pub not_after: u64,
    /// Which of its issuer's it is.
    pub serial: Serial,
}

/// A credential with its issuer's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCredential {
    /// The credential.
    pub credential: Credential,
    /// Of its issuer.
    pub signature: ByteArray<64>,
}

impl Credential {
    /// Signs it with the issuer's key.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, issuer: &Keypair) -> Result<SignedCredential, EncodeError> {
        let signature = issuer.sign(CREDENTIAL_DOMAIN, &codec::encode(&self, MAX_ADMISSION)?);
        Ok(SignedCredential { credential: self, signature: ByteArray::new(signature) })
    }
}

impl Bounded for SignedCredential {
    fn check(&self) -> Result<(), DecodeError> {
        let Credential { invites, not_before, not_after, serial, .. } = &self.credential;
        serial.check()?;
        codec::bound("invites", *invites as usize, MAX_INVITES_PER_DAY as usize)?;
        lives("credential", *not_before, *not_after, MAX_CREDENTIAL_S)
    }
}

/// A node's credential and those that it stands on, the node's first: one that a founder issued, or two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chain(pub Vec<SignedCredential>);

impl Chain {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From when until when all of them are valid by their dates, unix seconds. A founder, who needs none, always is.
    pub fn validity(&self) -> Range<u64> {
        let dates = self.0.iter().map(|signed| &signed.credential);
        let always = 0..u64::MAX;
        dates.fold(always, |all, of| all.start.max(of.not_before)..all.end.min(of.not_after))
    }
}

impl Bounded for Chain {
    fn check(&self) -> Result<(), DecodeError> {
        codec::bound("credentials", self.0.len(), MAX_CREDENTIAL_CHAIN)?;
        self.0.iter().try_for_each(Bounded::check)
    }
}

/// Why credentials let nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It has none, and the mesh is not open.
    #[error("the mesh is private: get an invite")]
    Missing,
    /// Another mesh's, or another node's.
    #[error("the credential is for another mesh or node")]
    NotTheirs,
    /// Not signed by who is said to have issued it.
    #[error("the credential is forged")]
    Forged,
    /// By somebody who may not issue it.
    #[error("the credential was issued by somebody who may not")]
    Issuer,
    /// Its time is over, or has not come.
    #[error("the credential is not valid at this time: ask who has invited you for a new one")]
    Expired,
    /// It, or one that it stands on, was taken back.
    #[error("the credential was revoked")]
    Revoked,
}

/// What a node is by its credentials: its role, and when they have to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it may do.
    pub role: Role,
    /// How many it may let in a day.
    pub invites: u32,
    /// When the first of its credentials ends, unix seconds; never for who needs none.
    pub until: u64,
}

impl Standing {
    /// A founder's, who needs no credential: the charter names it.
    pub const FOUNDER: Self = Self { role: Role::Voter, invites: MAX_INVITES_PER_DAY, until: u64::MAX };
}

impl Chain {
    /// What `node` is in the mesh of this charter at `unix_s`, if `revoked` knows none of these.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn standing(
        &self,
        charter: &Charter,
        mesh: &MeshId,
        node: &NodeId,
        unix_s: u64,
        revoked: impl Fn(&Credential) -> bool,
        verifier: &dyn Verifier,
    ) -> Result<Standing, CredentialError> {
        let Some(first) = self.0.first() else {
            return match (charter.founders.contains(node), charter.open) {
                (true, _) => Ok(Standing::FOUNDER),
                (false, true) => Ok(Standing { role: Role::Observer, invites: 0, until: u64::MAX }),
                (false, false) => Err(CredentialError::Missing),
            };
        };
        let Credential { role, invites, .. } = first.credential;
        let mut standing = Standing { role, invites, until: u64::MAX };
        let mut subject = node;
        for (place, signed) in self.0.iter().enumerate() {
            let credential = &signed.credential;
            let Credential { mesh: of, subject: whose, not_before, not_after, serial, .. } = credential;
            if of != mesh || whose != subject {
                return Err(CredentialError::NotTheirs);
            }
            let bytes = codec::encode(credential, MAX_ADMISSION).map_err(|_| CredentialError::Forged)?;
            if !verifier.verifies(&serial.issuer, CREDENTIAL_DOMAIN, &bytes, &signed.signature) {
                return Err(CredentialError::Forged);
            }
            let above = self.0.get(place + 1).map(|above| &above.credential);
            if !may_issue(charter, credential, above) {
                return Err(CredentialError::Issuer);
            }
            if revoked(credential) {
                return Err(CredentialError::Revoked);
            }
            if !(*not_before..*not_after).contains(&unix_s) {
                return Err(CredentialError::Expired);
            }
            standing.until = standing.until.min(*not_after);
            subject = &serial.issuer;
        }
        Ok(standing)
    }
}

/// Whether the issuer of a credential is a founder, or an inviter by the credential `above` whose quota it keeps to.
fn may_issue(charter: &Charter, credential: &Credential, above: Option<&Credential>) -> bool {
    match above {
        None => charter.founders.contains(&credential.serial.issuer),
        Some(above) => {
            credential.role < Role::Voter && credential.invites == 0 && credential.serial.number < above.invites
        }
    }
}

/// What an invited node redeems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The mesh.
    pub mesh: MeshId,
    /// The public half of the key that the invite holds.
    pub key: NodeId,
    /// The role that it is redeemed for.
    pub role: Role,
    /// How many others whoever redeems it may let in a day. Only a founder's may say more than none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invites: u32,
    /// Until when, unix seconds.
    pub not_after: u64,
    /// Which of its issuer's it is. The credential that it is redeemed for has the same one.
    pub serial: Serial,
}

/// An invitation with its issuer's signature: who has issued it has nothing to remember but that it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// Of its issuer.
    pub signature: ByteArray<64>,
}

impl Invitation {
    /// Signs it with the issuer's key.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, issuer: &Keypair) -> Result<SignedInvitation, EncodeError> {
        let signature = issuer.sign(INVITATION_DOMAIN, &codec::encode(&self, MAX_ADMISSION)?);
        Ok(SignedInvitation { invitation: self, signature: ByteArray::new(signature) })
    }
}

impl SignedInvitation {
    /// Whether its issuer has signed it.
    pub fn verifies(&self, verifier: &dyn Verifier) -> bool {
        let Self { invitation, signature } = self;
        codec::encode(invitation, MAX_ADMISSION)
            .is_ok_and(|bytes| verifier.verifies(&invitation.serial.issuer, INVITATION_DOMAIN, &bytes, signature))
    }
}

impl Bounded for SignedInvitation {
    fn check(&self) -> Result<(), DecodeError> {
        let Invitation { invites, not_after, serial, .. } = &self.invitation;
        serial.check()?;
        codec::bound("invites", *invites as usize, MAX_INVITES_PER_DAY as usize)?;
        lives("invitation", serial.day.saturating_mul(DAY_S), *not_after, DAY_S + MAX_INVITATION_S)
    }
}

/// Asks who has issued an invitation for a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redemption {
    /// The invitation.
    pub invitation: SignedInvitation,
    /// Who asks.
    pub node: NodeId,
    /// With the invitation's key, over the mesh and the node.
    pub signature: ByteArray<64>,
}

impl Redemption {
    /// Redeems an invite for `node`.
    pub fn new(invite: &Invite, node: NodeId) -> Self {
        let invitation = invite.invitation.clone();
        let key = Keypair::from_seed(&invite.secret);
        let signature = key.sign(REDEEM_DOMAIN, &redeemed(&invitation.invitation.mesh, &node));
        Self { invitation, node, signature: ByteArray::new(signature) }
    }

    /// Whether who asks has the invite.
    pub fn verifies(&self, verifier: &dyn Verifier) -> bool {
        let Invitation { mesh, key, .. } = &self.invitation.invitation;
        self.invitation.verifies(verifier)
            && verifier.verifies(key, REDEEM_DOMAIN, &redeemed(mesh, &self.node), &self.signature)
    }
}

fn redeemed(mesh: &MeshId, node: &NodeId) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&mesh.0);
    bytes[32..].copy_from_slice(&node.0);
    bytes
}

impl Bounded for Redemption {
    fn check(&self) -> Result<(), DecodeError> {
        self.invitation.check()
    }
}

/// What a person is given: a link or a picture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// What people call the mesh.
    pub name: String,
    /// What is redeemed.
    pub invitation: SignedInvitation,
    /// The seed of the invitation's key: whoever has it can come in, once.
    pub secret: ByteArray<32>,
    /// Addresses of relays, by which the mesh is reached.
    pub relays: Vec<String>,
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its secret is not for logs.
        write!(f, "Invite({:?}, {:?})", self.name, self.invitation.invitation.serial)
    }
}

impl Bounded for Invite {
    fn check(&self) -> Result<(), DecodeError> {
        codec::bound("name", self.name.len(), MAX_MESH_NAME)?;
        codec::printable("name", &self.name)?;
        self.invitation.check()?;
        codec::bound("relays", self.relays.len(), MAX_INVITE_RELAYS)?;
        self.relays.iter().try_for_each(|relay| codec::bound("relay", relay.len(), MAX_ADDRESS))
    }
}

impl Invite {
    /// As bytes, for a link.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        codec::encode(self, MAX_INVITE)
    }

    /// From the bytes of a link.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_INVITE)
    }
}

/// What a node needs to come in: the charter, and its credentials. It is no secret, for credentials are of use to their own
/// node alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// Of the mesh.
    pub charter: Charter,
    /// Of the node.
    pub chain: Chain,
}

impl Bounded for Pass {
    fn check(&self) -> Result<(), DecodeError> {
        self.charter.check()?;
        self.chain.check()
    }
}

/// Asked on a stream of [`crate::protocol::ADMIT`], by a node that wants a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, in a box on its way through a node")]
pub enum Request {
    /// With an invite, of who has issued it.
    Redeem(Redemption),
    /// With credentials that are still valid, of who has issued them, or of a founder.
    Renew(Chain),
}

impl Bounded for Request {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Redeem(redemption) => redemption.check(),
            Self::Renew(chain) => chain.check(),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// Here it is.
    Admitted(Box<Pass>),
    /// No.
    Refused(NotAdmitted),
}

impl Bounded for Answer {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Admitted(pass) => pass.check(),
            Self::Refused(_) => Ok(()),
        }
    }
}

/// Why somebody gets no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum NotAdmitted {
    /// It was issued by somebody else, or for another mesh.
    #[error("whoever was asked has not issued it")]
    NotOurs,
    /// It is forged, or who redeems it does not have it.
    #[error("it is forged")]
    Forged,
    /// Its time is over.
    #[error("it is not valid any more: ask for a new invite")]
    Expired,
    /// Another node has redeemed it.
    #[error("another node has used it: ask for a new invite")]
    Used,
    /// It was taken back.
    #[error("it was revoked")]
    Revoked,
    /// Whoever was asked cannot issue anything now: all of today's are issued, or its own credential ends, or its store fails.
    #[error("whoever has issued it cannot let anybody in now: try again later")]
    Unable,
    /// Asked too often.
    #[error("asked too often: try again in a minute")]
    Busy,
}

/// Takes a credential or invitation back before its time, and with it all that was issued by who held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The mesh.
    pub mesh: MeshId,
    /// What is taken back.
    pub serial: Serial,
    /// Whose credential it is, if all that the same node was given before goes too: one that was renewed is still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    /// Until when this has to be remembered, unix seconds: when what it takes back would have ended.
    pub until: u64,
    /// Who says so: the issuer, or a founder.
    pub by: NodeId,
}

/// The credentials of one node that begin no later than this, unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// The node.
    pub subject: NodeId,
    /// When the last of them begins.
    pub not_before: u64,
}

impl Revocation {
    /// Whether a credential is taken back by it: issuers take back their own, founders everybody's.
    pub fn covers(&self, credential: &Credential, charter: &Charter) -> bool {
        let Credential { subject, not_before, serial, .. } = credential;
        let may = self.by == serial.issuer || charter.founders.contains(&self.by);
        let earlier = |of: &Earlier| of.subject == *subject && *not_before <= of.not_before;
        self.serial == *serial || may && self.earlier.as_ref().is_some_and(earlier)
    }
}

/// A revocation with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRevocation {
    /// The revocation.
    pub revocation: Revocation,
    /// Of who says so.
    pub signature: ByteArray<64>,
}

impl Revocation {
    /// Signs it; `by` must be the key's own node.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, key: &Keypair) -> Result<SignedRevocation, EncodeError> {
        let signature = key.sign(REVOCATION_DOMAIN, &codec::encode(&self, MAX_ADMISSION)?);
        Ok(SignedRevocation { revocation: self, signature: ByteArray::new(signature) })
    }
}

impl SignedRevocation {
    /// Whether it is signed by somebody who may take that back: its issuer or a founder.
    pub fn verifies(&self, charter: &Charter, verifier: &dyn Verifier) -> bool {
        let Revocation { serial, by, .. } = &self.revocation;
        let may = *by == serial.issuer || charter.founders.contains(by);
        may && codec::encode(&self.revocation, MAX_ADMISSION)
            .is_ok_and(|bytes| verifier.verifies(by, REVOCATION_DOMAIN, &bytes, &self.signature))
    }
}

impl Bounded for SignedRevocation {
    fn check(&self) -> Result<(), DecodeError> {
        self.revocation.serial.check()
    }
}

impl Serial {
    /// When nothing with this number can be valid any more, unix seconds: an invitation of its last second was redeemed in
    /// the last second of its own.
    pub fn over(&self) -> u64 {
        self.day.saturating_add(1).saturating_mul(DAY_S).saturating_add(MAX_INVITATION_S + MAX_CREDENTIAL_S)
    }
}

/// What a node shows another one that it is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Its credentials; none if it wants to be let in as anybody is.
    pub chain: Chain,
    /// Over what both know, see [`Meeting`].
    pub signature: ByteArray<64>,
}

impl Bounded for Proof {
    fn check(&self) -> Result<(), DecodeError> {
        self.chain.check()
    }
}

/// How two nodes that meet begin: each draws a number and says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greeting {
    /// The mesh it is about.
    pub mesh: MeshId,
    /// The number, never used before.
    pub nonce: ByteArray<32>,
}

/// What is said on a stream of [`crate::protocol::AUTH`]: each side a greeting, and then a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Frame {
    /// First.
    Greeting(Greeting),
    /// Then.
    Proof(Proof),
    /// In the place of whatever else: what was shown was taken back.
    Revoked(SignedRevocation),
}

impl Bounded for Frame {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Greeting(_) => Ok(()),
            Self::Proof(proof) => proof.check(),
            Self::Revoked(revocation) => revocation.check(),
        }
    }
}

/// What two nodes that meet both know: the mesh, their names, and a number that each has drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meeting {
    /// The mesh.
    pub mesh: MeshId,
    /// Who shows something.
    pub shows: NodeId,
    /// The number that it has drawn.
    pub nonce: ByteArray<32>,
    /// To whom it is shown.
    pub to: NodeId,
    /// The number that this one has drawn.
    pub their_nonce: ByteArray<32>,
}

impl Meeting {
    /// The same from the other side.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { shows: self.to, nonce: self.their_nonce, to: self.shows, their_nonce: self.nonce, ..self }
    }

    /// What `shows` shows.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn prove(&self, chain: Chain, key: &Keypair) -> Result<Proof, EncodeError> {
        debug_assert_eq!(self.shows, key.node(), "signed by another node's key");
        let signature = key.sign(ADMISSION_DOMAIN, &codec::encode(self, MAX_ADMISSION)?);
        Ok(Proof { chain, signature: ByteArray::new(signature) })
    }

    /// Whether this is what `shows` shows here, and to nobody else.
    pub fn verifies(&self, proof: &Proof, verifier: &dyn Verifier) -> bool {
        codec::encode(self, MAX_ADMISSION)
            .is_ok_and(|bytes| verifier.verifies(&self.shows, ADMISSION_DOMAIN, &bytes, &proof.signature))
    }
}

fn lives(what: &str, from: u64, until: u64, max: u64) -> Result<(), DecodeError> {
    if until <= from || until - from > max {
        return Err(DecodeError::Malformed(format!("{what}: valid for no time, or for more than {max} s")));
    }
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
pub(crate) mod tests;
