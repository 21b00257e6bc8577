//! Who is let in: what JavaScript asks of a node, and what it can read without one.

use mesh_core::access::{self, Membership, Revoke};
use mesh_core::inviter;
use mesh_proto::codec;
use mesh_proto::credential::{Invite, Role};
use mesh_proto::limits::MAX_PASS;
use serde::{Deserialize, Serialize};
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::MeshNode;
use crate::error::{ErrorCode, MeshFault};
use crate::peer::{node, peer_text};
use crate::types::MemberRole;

/// Whom an invite lets in.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct NewInvite {
    /// As what.
    pub role: MemberRole,
    /// How many others it may let in a day.
    pub invites_per_day: u32,
    /// Seconds in which it may be used.
    pub lifetime_s: u32,
    /// Multiaddrs by which the mesh is reached.
    pub relays: Vec<String>,
}

/// What an invite says.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct InviteInfo {
    /// The id of the mesh, hex.
    pub mesh_id: String,
    /// What people call the mesh.
    pub name: String,
    /// Who invites.
    pub invited_by: String,
    /// As what.
    pub role: MemberRole,
    /// How many others whoever uses it may let in a day.
    pub invites_per_day: u32,
    /// Until when, unix milliseconds.
    pub until: u64,
    /// Multiaddrs by which the mesh is reached.
    pub relays: Vec<String>,
}

/// What a node is in its mesh.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct MembershipInfo {
    /// Whether anybody may come in.
    pub open: bool,
    /// Whether this node has founded it.
    pub founder: bool,
    /// What it may do; nothing in an open mesh, or when its credential is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub role: Option<MemberRole>,
    /// How many others it may let in a day.
    pub invites_per_day: u32,
    /// Until when, unix milliseconds; nothing if for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub until: Option<u64>,
}

/// What an invite says. That it is genuine is for who has issued it to say.
#[wasm_bindgen(js_name = decodeInvite)]
pub fn decode_invite(bytes: &[u8]) -> Result<Ts<InviteInfo>, MeshFault> {
    let Invite { name, invitation, relays, .. } = Invite::decode(bytes)?;
    let invitation = invitation.invitation;
    let info = InviteInfo {
        mesh_id: invitation.mesh.to_string(),
        name,
        invited_by: peer_text(&invitation.serial.issuer),
        role: invitation.role.into(),
        invites_per_day: invitation.invites,
        until: invitation.not_after.saturating_mul(1_000),
        relays,
    };
    Ok(info.into_ts()?)
}

#[wasm_bindgen]
impl MeshNode {
    /// Issues an invite for one node; its bytes.
    pub async fn invite(&self, invite: Ts<NewInvite>) -> Result<Vec<u8>, MeshFault> {
        let NewInvite { role, invites_per_day, lifetime_s, relays } = invite.to_rust()?;
        let what = (role_of(role), invites_per_day);
        let invite = self.handle.invite(relays, what, lifetime_s.into()).await??;
        Ok(invite.encode()?)
    }

    /// Issues what the node of that peer id needs to come in; its bytes.
    pub async fn issue(&self, peer: String, role: Ts<MemberRole>, invites_per_day: u32) -> Result<Vec<u8>, MeshFault> {
        let what = (role_of(role.to_rust()?), invites_per_day);
        let pass = self.handle.issue(node(&peer)?, what).await??;
        Ok(codec::encode(&pass, MAX_PASS)?)
    }

    /// Takes back what a node shows.
    #[wasm_bindgen(js_name = revokePeer)]
    pub async fn revoke_peer(&self, peer: String) -> Result<(), MeshFault> {
        Ok(self.handle.revoke(Revoke::Node(node(&peer)?)).await??)
    }

    /// Takes an invite back, and the credential that it was redeemed for.
    #[wasm_bindgen(js_name = revokeInvite)]
    pub async fn revoke_invite(&self, invite: Vec<u8>) -> Result<(), MeshFault> {
        let serial = Invite::decode(&invite)?.invitation.invitation.serial;
        Ok(self.handle.revoke(Revoke::Serial(serial)).await??)
    }

    /// What this node is in its mesh.
    pub async fn membership(&self) -> Result<Ts<MembershipInfo>, MeshFault> {
        let Membership { open, founder, standing } = self.handle.membership().await?;
        let info = MembershipInfo {
            open,
            founder,
            role: standing.map(|standing| standing.role.into()),
            invites_per_day: standing.map_or(0, |standing| standing.invites),
            until: standing.map(|standing| standing.until).filter(|until| *until < u64::MAX).map(|until| until * 1_000),
        };
        Ok(info.into_ts()?)
    }

    /// What this node comes in with, encoded; nothing in a mesh without a charter.
    pub async fn pass(&self) -> Result<Option<Vec<u8>>, MeshFault> {
        let pass = self.handle.pass().await?;
        Ok(pass.map(|pass| codec::encode(&pass, MAX_PASS)).transpose()?)
    }
}

fn role_of(role: MemberRole) -> Role {
    match role {
        MemberRole::Observer => Role::Observer,
        MemberRole::Member => Role::Member,
        MemberRole::Voter => Role::Voter,
    }
}

impl From<access::Error> for MeshFault {
    fn from(error: access::Error) -> Self {
        let code = match &error {
            access::Error::Open
            | access::Error::Founder
            | access::Error::Inviter(inviter::Error::Lifetime | inviter::Error::TooLong) => ErrorCode::InvalidArgument,
            access::Error::StoreFailed => ErrorCode::StoreFailed,
            access::Error::Inviter(inviter::Error::Role(_)) | access::Error::NotOurs => ErrorCode::NotAMember,
            access::Error::Inviter(inviter::Error::Quota(_)) => ErrorCode::OverQuota,
            access::Error::UnknownNode(node) => {
                let what = "is not known here, so nobody knows which credential is to be taken back";
                return Self::new(ErrorCode::UnknownAgent, format!("{} {what}", peer_text(node)));
            }
        };
        Self::new(code, error)
    }
}
