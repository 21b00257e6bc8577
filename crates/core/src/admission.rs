//! Who is let in: nothing is said to a neighbour, and nothing it says is heard, before it has shown who it is.
//!
//! Each side draws a number and says it ([`Frame::Greeting`]); each answers with its credentials and a signature over both
//! names and numbers ([`Frame::Proof`]). Who has no credential is an observer in an open mesh, and stays outside of a private
//! one. Who does not finish in [`Config::patience_ms`], or shows something that does not hold, is turned away; after what
//! does not hold, it is not asked again for [`Config::away_ms`].
//!
//! What others say comes from neighbours too. So members have their credentials in what they announce, and are remembered
//! with those: [`Admission::learn`].
//!
//! A standing ends with the first of the credentials that it stands on, or when one of them is revoked: the links to its
//! node are closed then, and it may come again with other ones. Revocations are kept until what they take back would have
//! ended by itself. Anybody can sign one for a number of its own, so past [`Config::max_revocations`] those of strangers are
//! forgotten first, then those of inviters, and those of founders last; of each those that end first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesh_proto::charter::Charter;
use mesh_proto::credential::{
    Chain, Credential, CredentialError, Frame, Greeting, Meeting, Proof, Revocation, Role, Serial, SignedRevocation,
    Standing,
};
use mesh_proto::{Keypair, MeshId, NodeId, Verifier, ordered};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_bytes::ByteArray;

use crate::time::{Mono, Now};

/// Bounds and times.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a neighbour may take, milliseconds (reliability 2).
    pub patience_ms: u64,
    /// How long the links of somebody stay whose credential was taken back, to tell it so, milliseconds.
    pub linger_ms: u64,
    /// How long somebody who was turned away stays outside, milliseconds.
    pub away_ms: u64,
    /// Who was turned away, at most, about 50 bytes each. Past it who may come again first is forgotten.
    pub max_away: usize,
    /// Revocations that are remembered, about 250 bytes each.
    pub max_revocations: usize,
    /// Members that are remembered, about 250 bytes each. Past it those whose credentials end first are forgotten, until
    /// they announce themselves again.
    pub max_members: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            patience_ms: 5_000,
            linger_ms: 1_000,
            away_ms: 60_000,
            max_away: 4_096,
            max_revocations: 4_096,
            max_members: 16_384,
        }
    }
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time, and most say something")]
pub enum Output {
    /// Say this to a neighbour.
    Tell(NodeId, Frame),
    /// A neighbour is in.
    Admitted(NodeId, Standing),
    /// Nothing more is said to it. Whoever was in has to lose its links.
    TurnedAway {
        /// To whom.
        node: NodeId,
        /// Why.
        refusal: Refusal,
        /// Whether it was in.
        was_inside: bool,
        /// Whether its links stay until [`Output::Close`]: it has to hear why.
        lingers: bool,
    },
    /// Close the links of somebody who was turned away.
    Close(NodeId),
    /// Somebody is no member any more, wherever it is.
    Expelled(NodeId),
    /// There was no more room for the revocation of this.
    Forgotten(Serial),
    /// This node itself is none any more.
    Lost(CredentialError),
}

/// Why somebody is not let in, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has not shown anything in time.
    #[error("it did not say who it is in time")]
    Late,
    /// It has not said anything about it: a relay of others, or a node that is on its way to get a credential.
    #[error("it says nothing about who it is")]
    Silent,
    /// It is in another mesh.
    #[error("it is in another mesh")]
    OtherMesh,
    /// It has said something out of place.
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
    waiting: BTreeMap<NodeId, Box<Waiting>>,
    inside: BTreeMap<NodeId, Box<Inside>>,
    /// Neighbours that were turned away and are still linked, because they are of use as relays.
    outside: BTreeSet<NodeId>,
    /// Until when links stay of those who were turned away.
    lingering: BTreeMap<NodeId, Mono>,
    /// Until when who stays outside.
    away: BTreeMap<NodeId, Mono>,
    /// By what they have announced.
    members: BTreeMap<NodeId, Box<Inside>>,
    revoked: BTreeMap<Serial, Box<Revoked>>,
    /// Of them those that are about all that a node was given before.
    banned: BTreeMap<NodeId, BTreeSet<Serial>>,
    /// Whether this node has been told that it is none any more.
    lost: bool,
    /// When the clocks were last looked at.
    seen: Now,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Waiting {
    nonce: [u8; 32],
    theirs: Option<[u8; 32]>,
    /// Greetings that came, and that were said.
    greetings: (u8, u8),
    /// Whether it did not speak of admission when it was greeted. It may do so on another connection.
    unsaid: bool,
    until: Mono,
}

#[derive(Debug)]
struct Inside {
    standing: Standing,
    /// As they were signed, so that what is shown again need not be checked again.
    chain: Chain,
}

/// Whether credentials are taken back by this.
fn is_covered(chain: &Chain, by: &Revocation, charter: &Charter) -> bool {
    chain.0.iter().any(|signed| by.covers(&signed.credential, charter))
}

#[derive(Debug)]
struct Revoked {
    signed: SignedRevocation,
    /// What [`Admission::revocations_from`] is asked for.
    place: u64,
}

/// Greetings of one meeting, on each side: a stream can break before what was said has come.
const MAX_GREETINGS: u8 = 4;

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
            outside: BTreeSet::new(),
            lingering: BTreeMap::new(),
            away: BTreeMap::new(),
            members: BTreeMap::new(),
            revoked: BTreeMap::new(),
            banned: BTreeMap::new(),
            lost: false,
            seen: Now::default(),
            outputs: VecDeque::new(),
        }
    }

    /// What a neighbour is, once it is in.
    pub fn standing(&self, node: &NodeId) -> Option<Standing> {
        self.inside.get(node).map(|inside| inside.standing)
    }

    /// Whether a neighbour has still to show who it is.
    pub fn is_waiting(&self, node: &NodeId) -> bool {
        self.waiting.contains_key(node)
    }

    /// What this node is.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn own(&self, now: Now) -> Result<Standing, CredentialError> {
        self.check(&self.chain, &self.key.node(), now)
    }

    /// What it shows.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Whether somebody may say something: a member, and no observer.
    pub fn may_speak(&self, node: &NodeId, now: Now) -> bool {
        let speaks = |inside: &Inside| inside.standing.role >= Role::Member && inside.standing.until > now.unix / 1_000;
        [&self.inside, &self.members].into_iter().filter_map(|of| of.get(node)).any(|inside| speaks(inside))
    }

    /// The credentials of a member.
    pub fn chain_of(&self, node: &NodeId) -> Option<&Chain> {
        self.members.get(node).or_else(|| self.inside.get(node)).map(|inside| &inside.chain)
    }

    /// What somebody with these credentials is.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn check(&self, chain: &Chain, node: &NodeId, now: Now) -> Result<Standing, CredentialError> {
        let revoked = |credential: &Credential| self.revocation_of(credential).is_some();
        chain.standing(&self.charter, &self.mesh, node, now.unix / 1_000, revoked, &*self.verifier)
    }

    /// What somebody with these credentials was at a time, or first after it: by their dates alone, since a revocation does not say
    /// from when on it counts.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn check_since(&self, chain: &Chain, node: &NodeId, unix_ms: u64) -> Result<Standing, CredentialError> {
        let first = chain.validity().start.max(unix_ms / 1_000);
        chain.standing(&self.charter, &self.mesh, node, first, |_| false, &*self.verifier)
    }

    /// Shows other credentials from now on.
    pub fn renew(&mut self, chain: Chain) {
        self.chain = chain;
        self.lost = false;
    }

    /// Takes in what somebody has announced. A neighbour's new credentials are as good as if it had shown them.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn learn(&mut self, node: NodeId, chain: &Chain, now: Now) -> Result<Standing, CredentialError> {
        self.seen = now;
        let known = self.members.get(&node).filter(|known| known.chain == *chain);
        if let Some(known) = known.filter(|known| known.standing.until > now.unix / 1_000) {
            return Ok(known.standing);
        }
        let standing = self.check(chain, &node, now)?;
        if let Some(inside) = self.inside.get_mut(&node).filter(|inside| inside.standing.until < standing.until) {
            **inside = Inside { standing, chain: chain.clone() };
        }
        self.members.insert(node, Box::new(Inside { standing, chain: chain.clone() }));
        if self.members.len() > self.config.max_members
            && let Some(first) =
                self.members.iter().min_by_key(|(_, member)| member.standing.until).map(|(node, _)| *node)
        {
            self.members.remove(&first);
        }
        Ok(standing)
    }

    /// Somebody is not here any more.
    pub fn forget(&mut self, node: &NodeId) {
        self.members.remove(node);
    }

    /// Somebody has got a credential: it need not wait to come in.
    pub fn welcome(&mut self, node: &NodeId) {
        self.away.remove(node);
    }

    /// There is a link to a node; whether it is the first.
    pub fn connected(&mut self, node: NodeId, now: Now) -> bool {
        self.seen = now;
        if [self.waiting.contains_key(&node), self.inside.contains_key(&node), self.outside.contains(&node)]
            .contains(&true)
        {
            return false;
        }
        self.away.retain(|_, until| *until > now.mono);
        if self.away.contains_key(&node) {
            self.turned_away(node, Refusal::Again, false);
        } else {
            self.greet(node, now);
        }
        true
    }

    fn greet(&mut self, node: NodeId, now: Now) {
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let until = now.mono + self.config.patience_ms;
        let waiting = Waiting { nonce, theirs: None, greetings: (0, 1), unsaid: false, until };
        self.waiting.insert(node, Box::new(waiting));
        self.tell_greeting(node, nonce);
    }

    fn tell_greeting(&mut self, node: NodeId, nonce: [u8; 32]) {
        let greeting = Greeting { mesh: self.mesh, nonce: ByteArray::new(nonce) };
        self.outputs.push_back(Output::Tell(node, Frame::Greeting(greeting)));
    }

    /// A neighbour does not speak of admission: it is not greeted again before it does.
    pub fn unsupported(&mut self, node: &NodeId) {
        if let Some(waiting) = self.waiting.get_mut(node) {
            waiting.unsaid = true;
        }
    }

    /// A neighbour does not speak of admission, and is of use without it.
    pub fn give_up(&mut self, node: &NodeId, now: Now) {
        if self.waiting.get(node).is_some_and(|waiting| waiting.theirs.is_none()) && !self.inside.contains_key(node) {
            self.turn_away(*node, Refusal::Silent, now);
        }
    }

    /// What was said last to a neighbour may not have come: it is said again, a few times.
    pub fn broken(&mut self, node: &NodeId) {
        let Some(waiting) = self.waiting.get_mut(node).filter(|waiting| waiting.greetings.1 < MAX_GREETINGS) else {
            return;
        };
        waiting.greetings.1 += 1;
        let (nonce, theirs) = (waiting.nonce, waiting.theirs);
        self.tell_greeting(*node, nonce);
        if let Some(theirs) = theirs {
            self.tell_proof(*node, nonce, theirs);
        }
    }

    fn tell_proof(&mut self, node: NodeId, nonce: [u8; 32], theirs: [u8; 32]) {
        let meeting = Meeting {
            mesh: self.mesh,
            shows: self.key.node(),
            nonce: ByteArray::new(nonce),
            to: node,
            their_nonce: ByteArray::new(theirs),
        };
        let proof = meeting.prove(self.chain.clone(), &self.key);
        debug_assert!(proof.is_ok(), "what was decoded or issued fits: {proof:?}");
        self.outputs.extend(proof.ok().map(|proof| Output::Tell(node, Frame::Proof(proof))));
    }

    /// The last link to a node is gone; whether it was in.
    pub fn disconnected(&mut self, node: &NodeId) -> bool {
        self.waiting.remove(node);
        self.outside.remove(node);
        self.lingering.remove(node);
        self.inside.remove(node).is_some()
    }

    /// A neighbour says something.
    pub fn handle(&mut self, node: NodeId, frame: Frame, now: Now) {
        self.seen = now;
        // It waits no more: what comes late is no offence.
        if self.outside.contains(&node) {
            return;
        }
        let result = match frame {
            Frame::Greeting(greeting) => self.greeted(node, greeting, now),
            Frame::Proof(proof) => self.shown(node, &proof, now),
            // The node hands those on to `revoke`.
            Frame::Revoked(_) => return,
        };
        if let Err(refusal) = result {
            self.turn_away(node, refusal, now);
        }
    }

    fn greeted(&mut self, node: NodeId, greeting: Greeting, now: Now) -> Result<(), Refusal> {
        // Its links have gone, and ours to it have not been missed yet.
        if self.inside.contains_key(&node) && !self.waiting.contains_key(&node) {
            self.greet(node, now);
        }
        let mesh = self.mesh;
        let waiting = self.waiting.get_mut(&node).ok_or(Refusal::Offence)?;
        if greeting.mesh != mesh {
            return Err(Refusal::OtherMesh);
        }
        if waiting.greetings.0 == MAX_GREETINGS {
            return Err(Refusal::Offence);
        }
        waiting.greetings.0 += 1;
        let theirs = greeting.nonce.into_array();
        waiting.theirs = Some(theirs);
        let (nonce, unsaid) = (waiting.nonce, std::mem::take(&mut waiting.unsaid));
        if unsaid {
            self.tell_greeting(node, nonce);
        }
        self.tell_proof(node, nonce, theirs);
        Ok(())
    }

    fn shown(&mut self, node: NodeId, proof: &Proof, now: Now) -> Result<(), Refusal> {
        let Some(waiting) = self.waiting.get(&node) else {
            // Said once more, because the first one seemed lost.
            return if self.inside.contains_key(&node) { Ok(()) } else { Err(Refusal::Offence) };
        };
        let Waiting { nonce, theirs: Some(theirs), .. } = &**waiting else { return Err(Refusal::Offence) };
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
        let standing = self.check(&proof.chain, &node, now).inspect_err(|error| {
            if *error == CredentialError::Revoked {
                self.tell_revoked(node, &proof.chain);
            }
        })?;
        self.waiting.remove(&node);
        let before = self.inside.insert(node, Box::new(Inside { standing, chain: proof.chain.clone() }));
        if before.is_none() {
            self.outputs.push_back(Output::Admitted(node, standing));
        }
        Ok(())
    }

    fn turn_away(&mut self, node: NodeId, refusal: Refusal, now: Now) {
        let may_come_back = [Refusal::Silent, Refusal::OtherMesh, CredentialError::Expired.into()];
        if !may_come_back.contains(&refusal) {
            if self.away.len() >= self.config.max_away
                && let Some(first) = self.away.iter().min_by_key(|(_, until)| **until).map(|(node, _)| *node)
            {
                self.away.remove(&first);
            }
            self.away.insert(node, now.mono + self.config.away_ms);
        }
        let lingers = refusal == CredentialError::Revoked.into();
        self.turned_away(node, refusal, lingers);
        if lingers {
            self.lingering.insert(node, now.mono + self.config.linger_ms);
        }
    }

    fn turned_away(&mut self, node: NodeId, refusal: Refusal, lingers: bool) {
        let was_inside = self.disconnected(&node);
        self.outside.insert(node);
        self.outputs.push_back(Output::TurnedAway { node, refusal, was_inside, lingers });
    }

    /// Shows a neighbour why its credentials do not count any more.
    fn tell_revoked(&mut self, node: NodeId, chain: &Chain) {
        let revoked = chain.0.iter().find_map(|signed| self.revocation_of(&signed.credential));
        let frame = revoked.map(|revoked| Frame::Revoked(revoked.clone()));
        self.outputs.extend(frame.map(|frame| Output::Tell(node, frame)));
    }

    /// Takes a revocation, to be remembered at `place`; whether it is news, to be handed on.
    pub fn revoke(&mut self, signed: &SignedRevocation, place: u64, now: Now) -> bool {
        let revocation = signed.revocation;
        let known = self.revoked.contains_key(&revocation.serial);
        let over = revocation.until <= now.unix / 1_000 || revocation.until > revocation.serial.over();
        let ours = revocation.mesh == self.mesh;
        if known || over || !ours || !signed.verifies(&self.charter, &*self.verifier) {
            return false;
        }
        self.revoked.insert(revocation.serial, Box::new(Revoked { signed: signed.clone(), place }));
        if let Some(earlier) = revocation.earlier {
            self.banned.entry(earlier.subject).or_default().insert(revocation.serial);
        }
        if self.revoked.len() > self.config.max_revocations
            && let Some(least) = self.least_revocation()
        {
            self.forget_revocation(&least);
            if least == revocation.serial {
                return false;
            }
            self.outputs.push_back(Output::Forgotten(least));
        }
        let charter = self.charter.clone();
        let stands_on = |inside: &Inside| is_covered(&inside.chain, &revocation, &charter);
        let gone: Vec<_> = self.inside.iter().filter(|(_, inside)| stands_on(inside)).map(|(node, _)| *node).collect();
        for node in gone {
            self.outputs.push_back(Output::Tell(node, Frame::Revoked(signed.clone())));
            self.turn_away(node, CredentialError::Revoked.into(), now);
        }
        let Self { members, outputs, .. } = self;
        members.retain(|node, member| {
            let expelled = stands_on(member);
            if expelled {
                outputs.push_back(Output::Expelled(*node));
            }
            !expelled
        });
        if is_covered(&self.chain, &revocation, &charter) {
            self.lose(CredentialError::Revoked);
        }
        true
    }

    /// What takes a credential back, if anything does.
    fn revocation_of(&self, credential: &Credential) -> Option<&SignedRevocation> {
        let of_node = self.banned.get(&credential.subject).into_iter().flatten();
        let mut all = [&credential.serial].into_iter().chain(of_node).filter_map(|serial| self.revoked.get(serial));
        let found = all.find(|revoked| revoked.signed.revocation.covers(credential, &self.charter));
        found.map(|revoked| &revoked.signed)
    }

    fn forget_revocation(&mut self, serial: &Serial) {
        let Some(revoked) = self.revoked.remove(serial) else { return };
        if let Some(earlier) = revoked.signed.revocation.earlier
            && let Some(serials) = self.banned.get_mut(&earlier.subject)
        {
            serials.remove(serial);
            if serials.is_empty() {
                self.banned.remove(&earlier.subject);
            }
        }
    }

    /// Which one is forgotten first.
    fn least_revocation(&self) -> Option<Serial> {
        let known = self.members.values().chain(self.inside.values()).map(|inside| &inside.chain).chain([&self.chain]);
        let inviters = known.flat_map(|chain| &chain.0).filter(|signed| signed.credential.invites > 0);
        let inviters: BTreeSet<_> = ordered(inviters.map(|signed| signed.credential.subject));
        let weight = |by: &NodeId| (self.charter.founders.contains(by), inviters.contains(by));
        let worth = |revoked: &Revoked| (weight(&revoked.signed.revocation.by), revoked.signed.revocation.until);
        self.revoked.iter().min_by_key(|(_, revoked)| worth(revoked)).map(|(serial, _)| *serial)
    }

    fn lose(&mut self, error: CredentialError) {
        if !std::mem::replace(&mut self.lost, true) {
            self.outputs.push_back(Output::Lost(error));
        }
    }

    /// Whether what has this number was taken back.
    pub fn is_revoked(&self, serial: &Serial) -> bool {
        self.revoked.contains_key(serial)
    }

    /// Revocations that came at `place` or later.
    pub fn revocations_from(&self, place: u64) -> impl Iterator<Item = &SignedRevocation> {
        self.revoked.values().filter(move |revoked| revoked.place >= place).map(|revoked| &revoked.signed)
    }

    /// Does what is due. What was taken back and is over is forgotten; its numbers.
    pub fn handle_timeout(&mut self, now: Now) -> Vec<Serial> {
        self.seen = now;
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.until <= now.mono);
        let late: Vec<_> = late.map(|(node, waiting)| (*node, waiting.theirs.is_none())).collect();
        for (node, silent) in late {
            self.turn_away(node, if silent { Refusal::Silent } else { Refusal::Late }, now);
        }
        let Self { lingering, outputs, .. } = self;
        lingering.retain(|node, until| {
            let over = *until <= now.mono;
            if over {
                outputs.push_back(Output::Close(*node));
            }
            !over
        });
        let unix_s = now.unix / 1_000;
        let over: Vec<_> =
            self.inside.iter().filter(|(_, inside)| inside.standing.until <= unix_s).map(|(node, _)| *node).collect();
        for node in over {
            // With a new credential it may come back at once.
            self.turn_away(node, CredentialError::Expired.into(), now);
        }
        if !self.lost
            && let Err(error) = self.chain_ends(unix_s)
        {
            self.lose(error);
        }
        let over = self.revoked.iter().filter(|(_, revoked)| revoked.signed.revocation.until <= unix_s);
        let forgotten: Vec<_> = over.map(|(serial, _)| *serial).collect();
        for serial in &forgotten {
            self.forget_revocation(serial);
        }
        forgotten
    }

    fn chain_ends(&self, unix_s: u64) -> Result<u64, CredentialError> {
        let until = self.chain.0.iter().map(|signed| signed.credential.not_after).min().unwrap_or(u64::MAX);
        if until > unix_s { Ok(until) } else { Err(CredentialError::Expired) }
    }

    /// When something is due. The wall clock is looked at now and then, for it can jump.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let now = self.seen;
        let late = self.waiting.values().map(|waiting| waiting.until);
        let unix_s = now.unix / 1_000;
        let own = self.chain_ends(unix_s).ok().filter(|_| !self.lost);
        let ends =
            self.inside.values().map(|inside| inside.standing.until).chain(own).filter(|until| *until < u64::MAX);
        let over = ends.map(|until| now.mono + until.saturating_sub(unix_s).clamp(1, LOOK_S).saturating_mul(1_000));
        late.chain(over).chain(self.lingering.values().copied()).min()
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        let Self { waiting, inside, outside, lingering, away, members, revoked, .. } = self;
        waiting.len() + inside.len() + outside.len() + lingering.len() + away.len() + members.len() + revoked.len()
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
