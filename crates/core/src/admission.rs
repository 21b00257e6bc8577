//! Who is let in: nothing is said to a neighbour, and nothing it says is heard, before it has shown who it is.
//!
//! Each side draws a number and says it ([`Frame::Greeting`]); each answers with its credentials and a signature over both
//! names and numbers ([`Frame::Proof`]). Who has no credential is an observer in an open mesh, and stays outside of a private
//! one. Who does not finish in [`Config::patience_ms`], or shows something that does not hold, is turned away, and for
//! [`Config::away_ms`] is not asked again.
//!
//! A standing ends with the first of the credentials that it stands on, or when one of them is revoked: the links to its
//! node are closed then, and it may come again with other ones. Revocations are kept until what they take back would have
//! ended by itself; past [`Config::max_revocations`] those that end first are forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mesh_proto::charter::Charter;
use mesh_proto::credential::{
    Chain, CredentialError, Frame, Greeting, Meeting, Proof, Role, Serial, SignedRevocation, Standing,
};
use mesh_proto::{Keypair, MeshId, NodeId, Verifier};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_bytes::ByteArray;

use crate::time::{Mono, Now};

/// Bounds and times.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a neighbour may take, milliseconds (reliability 2).
    pub patience_ms: u64,
    /// How long somebody who was turned away stays outside, milliseconds.
    pub away_ms: u64,
    /// Who was turned away, at most, about 50 bytes each. Past it who may come again first is forgotten.
    pub max_away: usize,
    /// Revocations that are remembered, about 250 bytes each.
    pub max_revocations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { patience_ms: 5_000, away_ms: 60_000, max_away: 4_096, max_revocations: 4_096 }
    }
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Say this to a neighbour.
    Tell(NodeId, Frame),
    /// A neighbour is in.
    Admitted(NodeId, Standing),
    /// Close all links to it.
    TurnedAway(NodeId, Refusal),
}

/// Why somebody is not let in, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has not shown anything in time.
    #[error("it did not say who it is in time")]
    Late,
    /// It has said something out of place, or about another mesh.
    #[error("it broke the rules of admission")]
    Offence,
    /// What it has shown does not hold.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// It was turned away a moment ago.
    #[error("it was turned away a moment ago")]
    Again,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Admission {
    config: Config,
    charter: Charter,
    mesh: MeshId,
    key: Keypair,
    /// What we show.
    chain: Chain,
    verifier: Arc<dyn Verifier>,
    rng: ChaCha8Rng,
    /// Neighbours that are not in yet.
    waiting: BTreeMap<NodeId, Waiting>,
    inside: BTreeMap<NodeId, Inside>,
    /// Until when who stays outside.
    away: BTreeMap<NodeId, Mono>,
    revoked: BTreeMap<Serial, u64>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Waiting {
    nonce: [u8; 32],
    theirs: Option<[u8; 32]>,
    until: Mono,
}

#[derive(Debug)]
struct Inside {
    standing: Standing,
    serials: Vec<Serial>,
}

impl Admission {
    /// Of the node of `key`, which shows `chain`, to the mesh of a charter.
    pub fn new(
        config: Config,
        (charter, mesh): (Charter, MeshId),
        (key, chain): (Keypair, Chain),
        verifier: Arc<dyn Verifier>,
        entropy: [u8; 32],
    ) -> Self {
        Self {
            config,
            charter,
            mesh,
            key,
            chain,
            verifier,
            rng: ChaCha8Rng::from_seed(entropy),
            waiting: BTreeMap::new(),
            inside: BTreeMap::new(),
            away: BTreeMap::new(),
            revoked: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What a neighbour is, once it is in.
    pub fn standing(&self, node: &NodeId) -> Option<Standing> {
        self.inside.get(node).map(|inside| inside.standing)
    }

    /// Whether a neighbour may say something.
    pub fn may_speak(&self, node: &NodeId) -> bool {
        self.standing(node).is_some_and(|standing| standing.role >= Role::Member)
    }

    /// Shows other credentials from now on.
    pub fn renew(&mut self, chain: Chain) {
        self.chain = chain;
    }

    /// There is a first link to a node.
    pub fn connected(&mut self, node: NodeId, now: Now) {
        self.away.retain(|_, until| *until > now.mono);
        if self.away.contains_key(&node) {
            return self.outputs.push_back(Output::TurnedAway(node, Refusal::Again));
        }
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        self.waiting.insert(node, Waiting { nonce, theirs: None, until: now.mono + self.config.patience_ms });
        let greeting = Greeting { mesh: self.mesh, nonce: ByteArray::new(nonce) };
        self.outputs.push_back(Output::Tell(node, Frame::Greeting(greeting)));
    }

    /// The last link to a node is gone.
    pub fn disconnected(&mut self, node: &NodeId) {
        self.waiting.remove(node);
        self.inside.remove(node);
    }

    /// A neighbour says something.
    pub fn handle(&mut self, node: NodeId, frame: Frame, now: Now) {
        let result = match frame {
            Frame::Greeting(greeting) => self.greeted(node, greeting),
            Frame::Proof(proof) => self.shown(node, &proof, now),
        };
        if let Err(refusal) = result {
            self.turn_away(node, refusal, now);
        }
    }

    fn greeted(&mut self, node: NodeId, greeting: Greeting) -> Result<(), Refusal> {
        let (mesh, shows) = (self.mesh, self.key.node());
        let waiting = self.waiting.get_mut(&node).ok_or(Refusal::Offence)?;
        if greeting.mesh != mesh || waiting.theirs.is_some() {
            return Err(Refusal::Offence);
        }
        waiting.theirs = Some(greeting.nonce.into_array());
        let nonce = ByteArray::new(waiting.nonce);
        let meeting = Meeting { mesh, shows, nonce, to: node, their_nonce: greeting.nonce };
        let proof = meeting.prove(self.chain.clone(), &self.key).map_err(|_| Refusal::Offence)?;
        self.outputs.push_back(Output::Tell(node, Frame::Proof(proof)));
        Ok(())
    }

    fn shown(&mut self, node: NodeId, proof: &Proof, now: Now) -> Result<(), Refusal> {
        let Some(Waiting { nonce, theirs: Some(theirs), .. }) = self.waiting.get(&node) else {
            return Err(Refusal::Offence);
        };
        let meeting = Meeting {
            mesh: self.mesh,
            shows: node,
            nonce: ByteArray::new(*theirs),
            to: self.key.node(),
            their_nonce: ByteArray::new(*nonce),
        };
        if !meeting.verifies(proof, &*self.verifier) {
            return Err(Refusal::Offence);
        }
        let revoked = |serial: &Serial| self.revoked.contains_key(serial);
        let unix_s = now.unix / 1_000;
        let standing = proof.chain.standing(&self.charter, &self.mesh, &node, unix_s, revoked, &*self.verifier)?;
        let serials = proof.chain.0.iter().map(|signed| signed.credential.serial).collect();
        self.waiting.remove(&node);
        self.inside.insert(node, Inside { standing, serials });
        self.outputs.push_back(Output::Admitted(node, standing));
        Ok(())
    }

    fn turn_away(&mut self, node: NodeId, refusal: Refusal, now: Now) {
        self.disconnected(&node);
        if self.away.len() >= self.config.max_away
            && let Some(first) = self.away.iter().min_by_key(|(_, until)| **until).map(|(node, _)| *node)
        {
            self.away.remove(&first);
        }
        self.away.insert(node, now.mono + self.config.away_ms);
        self.outputs.push_back(Output::TurnedAway(node, refusal));
    }

    /// Takes a revocation; whether it is news, to be handed on.
    pub fn revoke(&mut self, signed: &SignedRevocation, now: Now) -> bool {
        let revocation = signed.revocation;
        let known = self.revoked.contains_key(&revocation.serial);
        let over = revocation.until <= now.unix / 1_000;
        let ours = revocation.mesh == self.mesh;
        if known || over || !ours || !signed.verifies(&self.charter, &*self.verifier) {
            return false;
        }
        self.revoked.insert(revocation.serial, revocation.until);
        if self.revoked.len() > self.config.max_revocations
            && let Some(first) = self.revoked.iter().min_by_key(|(_, until)| **until).map(|(serial, _)| *serial)
        {
            self.revoked.remove(&first);
        }
        let stands_on = |inside: &Inside| inside.serials.contains(&revocation.serial);
        let gone: Vec<_> = self.inside.iter().filter(|(_, inside)| stands_on(inside)).map(|(node, _)| *node).collect();
        for node in gone {
            self.turn_away(node, CredentialError::Revoked.into(), now);
        }
        true
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let late: Vec<_> =
            self.waiting.iter().filter(|(_, waiting)| waiting.until <= now.mono).map(|(node, _)| *node).collect();
        for node in late {
            self.turn_away(node, Refusal::Late, now);
        }
        let unix_s = now.unix / 1_000;
        self.revoked.retain(|_, until| *until > unix_s);
        let over: Vec<_> =
            self.inside.iter().filter(|(_, inside)| inside.standing.until <= unix_s).map(|(node, _)| *node).collect();
        for node in over {
            // With a new credential it may come back at once.
            self.inside.remove(&node);
            self.outputs.push_back(Output::TurnedAway(node, CredentialError::Expired.into()));
        }
    }

    /// When something is due. The wall clock is looked at now and then, for it can jump.
    pub fn poll_timeout(&self, now: Now) -> Option<Mono> {
        let late = self.waiting.values().map(|waiting| waiting.until);
        let unix_s = now.unix / 1_000;
        let ends = self.inside.values().map(|inside| inside.standing.until).filter(|until| *until < u64::MAX);
        let over = ends.map(|until| now.mono + until.saturating_sub(unix_s).clamp(1, LOOK_S).saturating_mul(1_000));
        late.chain(over).min()
    }

    /// What has to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// Seconds between two looks at the wall clock.
const LOOK_S: u64 = 30;

#[cfg(test)]
mod tests;
