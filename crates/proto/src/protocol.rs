//! Names on the network: protocols, topics, signing domains.

use crate::id::MeshId;

/// Direct messages and their acknowledgements; see [`crate::direct`].
pub const DIRECT: &str = "/neural-mesh/direct/1";
/// Hands a newcomer the member list; see [`crate::join`].
pub const JOIN: &str = "/neural-mesh/join/1";
/// Moves weights; see [`crate::transfer`].
pub const TRANSFER: &str = "/neural-mesh/transfer/1";
/// What two members show each other before anything else; see [`crate::credential`].
pub const AUTH: &str = "/neural-mesh/auth/1";
/// Redeems an invite for a credential; see [`crate::credential`].
pub const ADMIT: &str = "/neural-mesh/admit/1";
/// Our own Kademlia network, apart from every other (reliability 4.5).
pub const KAD: &str = "/neural-mesh/kad/1";
/// What identify tells others that we are.
pub const IDENTIFY: &str = "/neural-mesh/1";

/// Prefixed to the bytes of an envelope before they are signed, so that no signature made elsewhere fits here.
pub const ENVELOPE_DOMAIN: &[u8] = b"neural-mesh envelope v1\0";
/// Prefixed to the name of an open mesh before it is hashed to its id.
pub const OPEN_MESH_DOMAIN: &[u8] = b"neural-mesh open mesh v1\0";
/// Prefixed to a charter before it is hashed to the id of its mesh.
pub const CHARTER_DOMAIN: &[u8] = b"neural-mesh charter v1\0";
/// Prefixed to an epoch record before it is hashed, and before founders sign it.
pub const EPOCH_DOMAIN: &[u8] = b"neural-mesh epoch v1\0";
/// Prefixed to a slot before it is hashed to its id.
pub const SLOT_DOMAIN: &[u8] = b"neural-mesh slot v1\0";
/// Prefixed to what a slot can be decided on before it is hashed.
pub const OUTCOME_DOMAIN: &[u8] = b"neural-mesh outcome v1\0";
/// Prefixed to a proposal before it is hashed.
pub const PROPOSAL_DOMAIN: &[u8] = b"neural-mesh proposal v1\0";
/// Prefixed to what the leader of a round says before it is signed.
pub const PROPOSE_DOMAIN: &[u8] = b"neural-mesh propose v1\0";
/// Prefixed to a vote before it is signed.
pub const VOTE_DOMAIN: &[u8] = b"neural-mesh vote v1\0";
/// Prefixed to a claim before it is signed by who claims.
pub const CLAIM_DOMAIN: &[u8] = b"neural-mesh claim v1\0";
/// Prefixed to a release before it is signed by who gives a lease back.
pub const RELEASE_DOMAIN: &[u8] = b"neural-mesh release v1\0";
/// Prefixed to a credential before it is signed by its issuer.
pub const CREDENTIAL_DOMAIN: &[u8] = b"neural-mesh credential v1\0";
/// Prefixed to an invitation before it is signed by its issuer.
pub const INVITATION_DOMAIN: &[u8] = b"neural-mesh invitation v1\0";
/// Prefixed to the name of the node that redeems an invitation, before it is signed with the invitation's key.
pub const REDEEM_DOMAIN: &[u8] = b"neural-mesh redeem v1\0";
/// Prefixed to a revocation before it is signed.
pub const REVOCATION_DOMAIN: &[u8] = b"neural-mesh revocation v1\0";
/// Prefixed to what two nodes show each other when they connect, before it is signed.
pub const ADMISSION_DOMAIN: &[u8] = b"neural-mesh admission v1\0";

/// The two gossip topics of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Announcements, queries, heartbeats and decisions: what must not wait behind what agents tell each other.
    Agents,
    /// What agents broadcast to the swarm.
    Swarm,
}

impl Topic {
    /// All topics of a mesh.
    pub const ALL: [Self; 2] = [Self::Agents, Self::Swarm];

    /// The topic's name on the wire, for example `neural-mesh/1f0e…/agents`.
    pub fn name(self, mesh: &MeshId) -> String {
        let part = match self {
            Self::Agents => "agents",
            Self::Swarm => "swarm",
        };
        format!("neural-mesh/{mesh}/{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAINS: [&[u8]; 16] = [
        ENVELOPE_DOMAIN,
        OPEN_MESH_DOMAIN,
        CHARTER_DOMAIN,
        EPOCH_DOMAIN,
        SLOT_DOMAIN,
        OUTCOME_DOMAIN,
        PROPOSAL_DOMAIN,
        PROPOSE_DOMAIN,
        VOTE_DOMAIN,
        CLAIM_DOMAIN,
        RELEASE_DOMAIN,
        CREDENTIAL_DOMAIN,
        INVITATION_DOMAIN,
        REDEEM_DOMAIN,
        REVOCATION_DOMAIN,
        ADMISSION_DOMAIN,
    ];

    #[test]
    fn no_domain_begins_like_another() {
        let constants = include_str!("protocol.rs").lines().filter(|line| line.starts_with("pub const "));
        assert_eq!(constants.filter(|line| line.contains("_DOMAIN: ")).count(), DOMAINS.len(), "these are all");
        for (n, one) in DOMAINS.iter().enumerate() {
            for another in &DOMAINS[n + 1..] {
                assert!(!one.starts_with(another) && !another.starts_with(one), "{one:?} and {another:?}");
            }
            // Nor like what libp2p signs with the same key: its prefixes are other texts.
            assert!(one.starts_with(b"neural-mesh "), "{one:?}");
            assert_eq!(one.iter().position(|byte| *byte == 0), Some(one.len() - 1), "{one:?} ends with its only zero");
        }
    }

    #[test]
    fn a_mesh_has_topics_of_its_own() {
        let mesh = MeshId([0xab; 32]);
        assert_eq!(Topic::Agents.name(&mesh), format!("neural-mesh/{}/agents", "ab".repeat(32)));
        assert_eq!(Topic::Swarm.name(&mesh), format!("neural-mesh/{}/swarm", "ab".repeat(32)));
    }
}
