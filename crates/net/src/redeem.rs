//! Redeeming an invite: before a node is a member, it asks who has issued its invite for a credential.
//!
//! It does so with a swarm of its own, which hears nobody and goes when it has its answer. The swarm is of the kind that members
//! have: another kind would be compiled once more, and make the wasm larger.

use std::error::Error;

use futures::{FutureExt as _, StreamExt as _};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, DialError, SwarmEvent, dummy};
use libp2p::{Multiaddr, PeerId, Swarm};
use mesh_proto::credential::{Answer, CredentialError, Invite, NotAdmitted, Pass, Redemption, Request};
use mesh_proto::{EncodeError, NodeId, Strict};
use mesh_webrtc::rtc::Rtc;

use crate::admit::{self, AskError};
use crate::behaviour::{Behaviour, Hears};
use crate::config::Config;
use crate::identity::peer_of;
use crate::transport::{self, Built, TransportError};

/// Milliseconds that all of it may take.
const TIMEOUT_MS: u64 = 8_000;

/// Why an invite cannot be redeemed.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// Whoever has issued it says no.
    #[error("the invite cannot be redeemed: {0}")]
    Refused(#[from] NotAdmitted),
    /// Whoever has issued it cannot be reached.
    #[error(
        "who has issued the invite, {issuer}, cannot be reached: {reason}. It has to be in the mesh when its invite is used for the first time"
    )]
    Unreachable {
        /// Who it is.
        issuer: PeerId,
        /// What happened.
        reason: String,
    },
    /// What it has given is good for nothing.
    #[error("who has issued the invite has given a credential that does not hold: {0}")]
    Credential(#[from] CredentialError),
    /// It has given another mesh's charter.
    #[error("who has issued the invite has given the charter of another mesh")]
    OtherMesh,
    /// It is no key.
    #[error("the invite is damaged: its issuer is no node")]
    Damaged,
    /// No transport.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A charter past its bound.
    #[error("the charter: {0}")]
    Charter(#[from] EncodeError),
}

/// Where `node` may be: at an address of its own, or through each of these relays.
pub(crate) fn addresses_of(node: &NodeId, relays: &[Multiaddr]) -> Vec<Multiaddr> {
    let Some(peer) = peer_of(node) else { return Vec::new() };
    let own = Some(Protocol::P2p(peer));
    let address = |relay: &Multiaddr| match relay.iter().last() == own {
        true => relay.clone(),
        false => relay.clone().with(Protocol::P2pCircuit).with(Protocol::P2p(peer)),
    };
    let circuit =
        |relay: &&Multiaddr| !relay.iter().any(|part| part == Protocol::P2pCircuit) || relay.iter().last() == own;
    relays.iter().filter(circuit).map(address).collect()
}

/// Redeems `invite` for the node of `config`.
pub(crate) async fn redeem<R: Rtc>(config: &Config, invite: &Invite, rtc: Option<R>) -> Result<Pass, RedeemError> {
    let issuer = peer_of(&invite.invitation.invitation.serial.issuer).ok_or(RedeemError::Damaged)?;
    let unreachable = |reason: String| RedeemError::Unreachable { issuer, reason };
    let late = mesh_platform::sleep(TIMEOUT_MS)
        .map(|()| Err(unreachable(format!("no answer within {} s", TIMEOUT_MS / 1_000))));
    let pass = futures::select! {
        pass = std::pin::pin!(ask(config, invite, issuer, rtc).fuse()) => pass?,
        late = std::pin::pin!(late.fuse()) => late?,
    };
    let mesh = invite.invitation.invitation.mesh;
    if pass.charter.mesh()? != mesh {
        return Err(RedeemError::OtherMesh);
    }
    let unix_s = mesh_platform::now().unix / 1_000;
    pass.chain.standing(&pass.charter, &mesh, &config.identity.node(), unix_s, |_| false, &Strict)?;
    Ok(pass)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the swarm tells much that means nothing here")]
async fn ask<R: Rtc>(config: &Config, invite: &Invite, issuer: PeerId, rtc: Option<R>) -> Result<Pass, RedeemError> {
    let unreachable = |reason: String| RedeemError::Unreachable { issuer, reason };
    let Built { transport, relay, webrtc } = transport::build(config, rtc)?;
    let behaviour = Behaviour::new(config, Hears::Nobody, relay, webrtc, dummy::Behaviour);
    let executor = swarm::Config::with_executor(Box::new(mesh_platform::spawn))
        .with_idle_connection_timeout(std::time::Duration::from_secs(30));
    let mut swarm = Swarm::new(transport, behaviour, config.identity.peer_id(), executor);
    let addresses = addresses_of(&invite.invitation.invitation.serial.issuer, &config.relays);
    let dial = DialOpts::peer_id(issuer).addresses(addresses).build();
    swarm.dial(dial).map_err(|error| unreachable(reason_of(&error)))?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == issuer => break,
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } if peer == issuer => {
                return Err(unreachable(reason_of(&error)));
            }
            _ => {}
        }
    }
    let request = Request::Redeem(Redemption::new(invite, config.identity.node()));
    let opening = swarm.behaviour_mut().streams.open(issuer, admit::ADMIT);
    let mut asking = std::pin::pin!(admit::ask(opening, &request).fuse());
    let answer = loop {
        futures::select! {
            answer = asking => break answer,
            _ = swarm.select_next_some() => {}
        }
    };
    match answer {
        Ok(Answer::Admitted(pass)) => Ok(*pass),
        Ok(Answer::Refused(refused)) => Err(refused.into()),
        Err(AskError::Unsupported) => Err(unreachable(AskError::Unsupported.to_string())),
        Err(error) => Err(unreachable(error.to_string())),
    }
}

/// What happened in one line: libp2p's own text has one for each transport that was tried.
fn reason_of(error: &DialError) -> String {
    let DialError::Transport(tried) = error else { return one_line(&error.to_string()) };
    let each = tried.iter().map(|(address, error)| format!("{address}: {}", one_line(&root(error).to_string())));
    each.collect::<Vec<_>>().join(", ")
}

fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use libp2p::TransportError;

    use super::*;
    use crate::identity::Identity;

    #[test]
    fn why_a_dial_failed_is_one_line() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1/ws".parse().unwrap();
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let tried = TransportError::Other(std::io::Error::other(TransportError::Other(refused)));
        let reason = reason_of(&DialError::Transport(vec![(address.clone(), tried)]));
        assert_eq!(reason, format!("{address}: connection refused"));
        let two_lines = std::io::Error::other("all failed:\n - refused");
        let reason = reason_of(&DialError::Transport(vec![(address.clone(), TransportError::Other(two_lines))]));
        assert_eq!(reason, format!("{address}: all failed: - refused"));
        assert!(!reason_of(&DialError::NoAddresses).is_empty());
    }

    #[test]
    fn an_issuer_is_reached_at_home_and_through_relays() {
        let (issuer, relay) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let address =
            |text: &str, of: &Identity| -> Multiaddr { format!("{text}/p2p/{}", of.peer_id()).parse().unwrap() };
        let relays = [address("/ip4/127.0.0.1/tcp/1/ws", &relay), address("/ip4/127.0.0.1/tcp/2/ws", &issuer)];
        let through = format!("{}/p2p-circuit/p2p/{}", relays[0], issuer.peer_id()).parse().unwrap();
        let expected = [through, relays[1].clone()];
        assert_eq!(addresses_of(&issuer.node(), &relays), expected);
        assert_eq!(addresses_of(&issuer.node(), &expected), expected, "once is enough");
    }
}
