//! Access to a private mesh: who is in ([`admission`]), whom this node lets in ([`inviter`]), and that it stays in itself.
//!
//! A credential lasts a week at most. From half of its time on, who has issued it is asked for the next, or a founder.
//!
//! **The store goes first.** What is issued is given away when its number is kept; one write at a time, in order. When the store
//! fails, nothing more is issued. A node without a store is forgotten with its process, and so is whom it has let in.
//!
//! The records are `access/credentials`, what this node shows; `access/invite`, for which it got them; `access/revoked/…`; and the
//! inviter's numbers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mesh_proto::charter::Charter;
use mesh_proto::credential::{
    Answer, Chain, CredentialError, Earlier, Frame, Invite, NotAdmitted, Pass, Request, Revocation, Role, Serial,
    SignedRevocation, Standing,
};
use mesh_proto::limits::MAX_ADMISSION;
use mesh_proto::{Keypair, MeshId, NodeId, Verifier};

use crate::admission::{self, Admission};
use crate::inviter::{self, Inviter, Ledger, License};
use crate::limits::{Limiter, Quota};
use crate::records::{Change, Damaged, read, write};
use crate::time::{Mono, Now};

/// Bounds and times.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of the handshake.
    pub admission: admission::Config,
    /// Credentials that one node may ask for.
    pub requests: Quota,
    /// Milliseconds between two tries to get the next credential.
    pub renew_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admission: admission::Config::default(),
            requests: Quota { burst: 10, period_ms: 60_000 },
            renew_ms: 30_000,
        }
    }
}

/// Nodes whose requests are counted.
const MAX_ASKERS: usize = 4_096;

const PREFIX: &str = "access/";
const CREDENTIALS: &str = "access/credentials";
const INVITE: &str = "access/invite";
const REVOKED: &str = "access/revoked/";

/// The invite that was redeemed last with this store, if any.
///
/// # Errors
/// [`Damaged`]
pub fn invite_in(entries: &[(String, Bytes)]) -> Result<Option<Serial>, Damaged> {
    let entry = entries.iter().find(|(key, _)| key == INVITE);
    entry.map(|(key, value)| read(key, value, MAX_ADMISSION)).transpose()
}

/// What stood in the store.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    credentials: Chain,
    revoked: Vec<SignedRevocation>,
    ledger: Ledger,
}

impl Kept {
    /// Takes its records out of those of a store.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn restore(entries: &mut BTreeMap<String, Bytes>) -> Result<Self, Damaged> {
        let mut kept = Self::default();
        let (own, others) = std::mem::take(entries).into_iter().partition(|(key, _)| key.starts_with(PREFIX));
        *entries = others;
        let own: BTreeMap<String, Bytes> = own;
        for (key, value) in own {
            if key == CREDENTIALS {
                kept.credentials = read(&key, &value, MAX_ADMISSION)?;
            } else if key == INVITE {
                // Whoever begins has looked at it.
                read::<Serial>(&key, &value, MAX_ADMISSION)?;
            } else if key.starts_with(REVOKED) {
                kept.revoked.push(read(&key, &value, MAX_ADMISSION)?);
            } else if !kept.ledger.restore(PREFIX, &key, &value)? {
                return Err(Damaged(key));
            }
        }
        Ok(kept)
    }

    /// What this node shows.
    pub fn credentials(&self) -> &Chain {
        &self.credentials
    }

    /// This invite was redeemed.
    pub fn redeemed(serial: Serial) -> Change {
        write(INVITE.to_owned(), &serial, MAX_ADMISSION)
    }

    /// These credentials are to be shown, unless those that were kept last longer and were not taken back.
    pub fn admit(&mut self, credentials: Chain, charter: &Charter) -> Option<Change> {
        let ends = |chain: &Chain| {
            let over = self
                .revoked
                .iter()
                .any(|of| chain.0.iter().any(|signed| of.revocation.covers(&signed.credential, charter)));
            chain.0.iter().map(|signed| signed.credential.not_after).min().filter(|_| !over)
        };
        if ends(&credentials) <= ends(&self.credentials) {
            return None;
        }
        self.credentials = credentials;
        Some(write(CREDENTIALS.to_owned(), &self.credentials, MAX_ADMISSION))
    }
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Say this to a neighbour.
    Tell(NodeId, Frame),
    /// A neighbour is in.
    Admitted(NodeId),
    /// Nothing more is said to a neighbour.
    TurnedAway {
        /// To whom.
        node: NodeId,
        /// Why.
        refusal: admission::Refusal,
        /// Whether it was in.
        was_inside: bool,
        /// Whether its links stay until [`Output::Close`].
        lingers: bool,
    },
    /// Close the links of somebody who was turned away.
    Close(NodeId),
    /// Somebody is no member any more.
    Expelled(NodeId),
    /// Tell everybody that something was taken back.
    Say(Box<SignedRevocation>),
    /// Ask one of these for the next credential, the first one rather than the others; each time it is another one.
    Ask(Vec<NodeId>, Box<Request>),
    /// Make these changes in the store, and say so with [`Access::kept`].
    Keep(u64, Vec<Change>),
    /// What waited for the store up to this number may be given away, or not.
    Settled(u64, bool),
    /// The answer to a request.
    Reply(u64, Box<Answer>),
    /// This node has other credentials.
    Renewed,
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node has its next credential.
    Renewed(Standing),
    /// This node is no member any more.
    Lost(CredentialError),
    /// Somebody has redeemed an invite of ours.
    Redeemed {
        /// Which.
        serial: Serial,
        /// Who.
        node: NodeId,
        /// As what.
        role: Role,
    },
    /// A neighbour was turned away.
    TurnedAway {
        /// Who.
        node: NodeId,
        /// Why.
        refusal: admission::Refusal,
    },
}

/// What is issued, and when it may be given away: after the [`Output::Settled`] of this number.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued<T> {
    /// It itself.
    pub it: T,
    /// The number of the write.
    pub write: u64,
}

/// This node may say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this node only listens in this mesh: it is an observer, or has no credential that is valid. Ask for an invite as a member"
)]
pub struct OnlyListens;

/// Why nobody is let in, or shut out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The mesh is open.
    #[error("this mesh is open: everybody may come in, nobody needs an invite")]
    Open,
    /// The store has failed.
    #[error("the store has failed, so this node cannot keep what it issues: start it anew")]
    StoreFailed,
    /// The inviter refuses.
    #[error(transparent)]
    Inviter(#[from] inviter::Error),
    /// Nobody has announced itself by that name.
    #[error("{0} is not known here, so nobody knows which credential is to be taken back")]
    UnknownNode(NodeId),
    /// Issued by somebody else.
    #[error("only who has issued it and founders can take it back")]
    NotOurs,
    /// Of a founder.
    #[error("a founder needs no credential, so there is none to take back")]
    Founder,
}

/// What is to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// What was issued under this number: an invite, or a credential.
    Serial(Serial),
    /// What a node shows.
    Node(NodeId),
}

/// What this node is in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Whether anybody may come in; nobody has a credential then.
    pub open: bool,
    /// Whether it is a founder.
    pub founder: bool,
    /// What its credentials say; nothing in an open mesh, or when they are over.
    pub standing: Option<Standing>,
}

/// An answer that waits for a write, and what the application is told then.
#[derive(Debug)]
struct Waiting {
    write: u64,
    ticket: u64,
    answer: Answer,
    event: Option<Event>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Access {
    config: Config,
    charter: Charter,
    mesh: MeshId,
    key: Keypair,
    verifier: Arc<dyn Verifier>,
    admission: Admission,
    inviter: Inviter,
    requests: Limiter<NodeId>,
    /// What is to be kept next, and the number of its write.
    changes: Vec<Change>,
    next_write: u64,
    /// The last write that somebody was told to wait for.
    promised: u64,
    keeping: bool,
    failed: bool,
    /// Answers that wait for a write.
    replies: VecDeque<Waiting>,
    /// When to ask for the next credential.
    renew: Option<Mono>,
    /// How often it was asked for: each time another one is asked first, for the issuer may be gone, or refuse.
    tries: usize,
    outputs: VecDeque<Output>,
}

impl Access {
    /// Of the node of `key`, in a private mesh.
    pub fn new(
        config: Config,
        (charter, mesh): (Charter, MeshId),
        (key, kept): (Keypair, Kept),
        verifier: Arc<dyn Verifier>,
        entropy: [[u8; 32]; 2],
        now: Now,
    ) -> Self {
        let Kept { credentials, revoked, ledger } = kept;
        let [of_admission, of_inviter] = entropy;
        let shows = (key.clone(), credentials);
        let mut admission =
            Admission::new(config.admission.clone(), (charter.clone(), mesh), shows, verifier.clone(), of_admission);
        // Those that have ended meanwhile are not kept for ever.
        let over: Vec<_> = revoked.iter().filter(|revocation| !admission.revoke(revocation, 0, now)).collect();
        let forgotten = |signed: &SignedRevocation| Change { key: revoked_key(&signed.revocation.serial), value: None };
        let changes = over.into_iter().map(forgotten).collect();
        let mut access = Self {
            requests: Limiter::new(config.requests, MAX_ASKERS),
            inviter: Inviter::new(mesh, key.clone(), (PREFIX, ledger), of_inviter),
            config,
            charter,
            mesh,
            key,
            verifier,
            admission,
            changes,
            next_write: 1,
            promised: 0,
            keeping: false,
            failed: false,
            replies: VecDeque::new(),
            renew: None,
            tries: 0,
            outputs: VecDeque::new(),
        };
        access.plan_renewal(now);
        access.settle();
        access
    }

    /// The handshake's side of it.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Whether what this node shows is taken back by this.
    pub fn shows(&self, what: &Revocation) -> bool {
        self.admission.chain().0.iter().any(|signed| what.covers(&signed.credential, &self.charter))
    }

    /// What this node is.
    pub fn membership(&self, now: Now) -> Membership {
        Membership { open: false, founder: self.is_founder(), standing: self.admission.own(now).ok() }
    }

    fn is_founder(&self) -> bool {
        self.charter.founders.contains(&self.key.node())
    }

    /// Whether this node may say something.
    pub fn speaks(&self, now: Now) -> bool {
        self.admission.own(now).is_ok_and(|standing| standing.role >= Role::Member)
    }

    fn license(&self, now: Now) -> Result<License, inviter::Error> {
        if self.is_founder() {
            return Ok(License::Founder);
        }
        self.admission.own(now).map(License::Inviter).map_err(|_| inviter::Error::Role(Role::Member))
    }

    /// Issues an invite for one node: `invites` is how many others that one may let in a day.
    ///
    /// # Errors
    /// [`Error`]
    pub fn invite(
        &mut self,
        relays: Vec<String>,
        (role, invites): (Role, u32),
        lifetime_s: u64,
        now: Now,
    ) -> Result<Issued<Invite>, Error> {
        self.check_store()?;
        let license = self.license(now)?;
        let name = (self.charter.name.clone(), relays);
        let it = self.inviter.invite(license, name, (role, invites), lifetime_s, now.unix / 1_000)?;
        let write = self.write();
        Ok(Issued { it, write })
    }

    /// Issues a credential to a node that is known by other ways.
    ///
    /// # Errors
    /// [`Error`]
    pub fn issue(&mut self, subject: NodeId, what: (Role, u32), now: Now) -> Result<Issued<Pass>, Error> {
        self.check_store()?;
        let license = self.license(now)?;
        let signed = self.inviter.issue(license, subject, what, now.unix / 1_000)?;
        let it = self.pass(signed);
        let write = self.write();
        Ok(Issued { it, write })
    }

    /// What a node comes in with by a credential of ours.
    fn pass(&self, signed: mesh_proto::credential::SignedCredential) -> Pass {
        let above = self.admission.chain().0.first().filter(|_| !self.is_founder());
        Pass { charter: self.charter.clone(), chain: Chain([signed].into_iter().chain(above.cloned()).collect()) }
    }

    fn check_store(&self) -> Result<(), Error> {
        if self.failed { Err(Error::StoreFailed) } else { Ok(()) }
    }

    /// Takes something back, for everybody.
    ///
    /// # Errors
    /// [`Error`]
    pub fn revoke(&mut self, what: Revoke, place: u64, now: Now) -> Result<u64, Error> {
        self.check_store()?;
        // What was issued until now begins no later.
        let until_now = (now.unix / 1_000).saturating_sub(inviter::EARLY_S);
        let (serial, earlier) = match what {
            Revoke::Serial(serial) => {
                let earlier = |subject| Earlier { subject, not_before: until_now };
                (serial, self.inviter.redeemed_by(&serial).map(earlier))
            }
            Revoke::Node(node) if self.charter.founders.contains(&node) => return Err(Error::Founder),
            Revoke::Node(node) => {
                let shown = self.admission.chain_of(&node).and_then(|chain| chain.0.first());
                let shown = &shown.ok_or(Error::UnknownNode(node))?.credential;
                (shown.serial, Some(Earlier { subject: node, not_before: shown.not_before.max(until_now) }))
            }
        };
        let by = self.key.node();
        if serial.issuer != by && !self.is_founder() {
            return Err(Error::NotOurs);
        }
        let revocation = Revocation { mesh: self.mesh, serial, earlier, until: serial.over(), by };
        let signed = revocation.sign(&self.key).map_err(inviter::Error::from)?;
        self.take_back(&signed, place, now);
        self.outputs.push_back(Output::Say(Box::new(signed)));
        let write = self.write();
        self.settle();
        Ok(write)
    }

    /// Somebody says that something was taken back; whether that is news.
    pub fn revoked(&mut self, signed: &SignedRevocation, place: u64, now: Now) -> bool {
        let news = self.take_back(signed, place, now);
        if news {
            self.write();
        }
        self.settle();
        news
    }

    fn take_back(&mut self, signed: &SignedRevocation, place: u64, now: Now) -> bool {
        let news = self.admission.revoke(signed, place, now);
        if news {
            self.changes.push(write(revoked_key(&signed.revocation.serial), signed, MAX_ADMISSION));
        }
        news
    }

    /// A node asks for a credential; answered with [`Output::Reply`] to `ticket`.
    pub fn asked(&mut self, ticket: u64, from: NodeId, request: &Request, now: Now) {
        match self.answer(from, request, now) {
            Ok((pass, event)) => {
                self.admission.welcome(&from);
                let write = self.write();
                let answer = Answer::Admitted(Box::new(pass));
                self.replies.push_back(Waiting { write, ticket, answer, event });
            }
            Err(refused) => self.outputs.push_back(Output::Reply(ticket, Box::new(Answer::Refused(refused)))),
        }
        self.settle();
    }

    /// What a node gets that asks, and what the application is told of it.
    fn answer(&mut self, from: NodeId, request: &Request, now: Now) -> Result<(Pass, Option<Event>), NotAdmitted> {
        if !self.requests.admit(&from, 1, now.mono) {
            return Err(NotAdmitted::Busy);
        }
        if self.failed {
            return Err(NotAdmitted::Unable);
        }
        let unix_s = now.unix / 1_000;
        let (signed, event) = match request {
            Request::Redeem(redemption) => {
                // What this node stands on itself may be over.
                self.license(now).map_err(|_| NotAdmitted::Unable)?;
                let Self { inviter, admission, verifier, .. } = self;
                let revoked = |serial: &Serial| admission.is_revoked(serial);
                let known = inviter.redeemed_by(&redemption.invitation.invitation.serial).is_some();
                let signed = inviter.redeem(from, redemption, revoked, &**verifier, unix_s)?;
                let (serial, role) = (signed.credential.serial, signed.credential.role);
                let event = (!known).then_some(Event::Redeemed { serial, node: from, role });
                (signed, event)
            }
            Request::Renew(chain) => {
                let shown = self.admission.check(chain, &from, now).map_err(|error| match error {
                    CredentialError::Revoked => NotAdmitted::Revoked,
                    CredentialError::Expired => NotAdmitted::Expired,
                    CredentialError::Missing
                    | CredentialError::NotTheirs
                    | CredentialError::Forged
                    | CredentialError::Issuer => NotAdmitted::Forged,
                })?;
                let own = chain.0.first().is_some_and(|signed| signed.credential.serial.issuer == self.key.node());
                if !own && !self.is_founder() {
                    return Err(NotAdmitted::NotOurs);
                }
                let license = self.license(now).map_err(|_| NotAdmitted::Unable)?;
                let what = (shown.role, shown.invites);
                (self.inviter.issue(license, from, what, unix_s).map_err(|_| NotAdmitted::Unable)?, None)
            }
        };
        Ok((self.pass(signed), event))
    }

    /// The answer to a request of ours.
    pub fn answered(&mut self, answer: Answer, now: Now) {
        let Answer::Admitted(pass) = answer else { return };
        let Pass { charter, chain } = *pass;
        if charter != self.charter {
            return;
        }
        let Ok(standing) = self.admission.check(&chain, &self.key.node(), now) else { return };
        self.changes.push(write(CREDENTIALS.to_owned(), &chain, MAX_ADMISSION));
        self.write();
        self.admission.renew(chain);
        self.plan_renewal(now);
        self.outputs.push_back(Output::Renewed);
        self.outputs.push_back(Output::Event(Event::Renewed(standing)));
        self.settle();
    }

    fn plan_renewal(&mut self, now: Now) {
        let standing = self.admission.own(now).ok().filter(|standing| standing.until < u64::MAX);
        self.tries = 0;
        self.renew = standing.map(|standing| {
            let left_s = standing.until.saturating_sub(now.unix / 1_000);
            now.mono + left_s.saturating_mul(500)
        });
    }

    /// There is a link to a node; whether it is the first.
    pub fn connected(&mut self, node: NodeId, now: Now) -> bool {
        let first = self.admission.connected(node, now);
        self.settle();
        first
    }

    /// The last link to a node is gone; whether it was in.
    pub fn disconnected(&mut self, node: &NodeId) -> bool {
        self.admission.disconnected(node)
    }

    /// A neighbour says something.
    pub fn handle(&mut self, node: NodeId, frame: Frame, now: Now) {
        self.admission.handle(node, frame, now);
        self.settle();
    }

    /// What was said last to a neighbour may not have come, or it does not speak of that at all.
    /// Whoever is `foreign` is not waited for.
    pub fn broken(&mut self, node: &NodeId, unsupported: bool, foreign: bool, now: Now) {
        match (unsupported, foreign) {
            (true, true) => self.admission.give_up(node, now),
            (true, false) => self.admission.unsupported(node),
            (false, _) => self.admission.broken(node),
        }
        self.settle();
    }

    /// Takes in what somebody has announced.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn learn(&mut self, node: NodeId, chain: &Chain, now: Now) -> Result<Standing, CredentialError> {
        self.admission.learn(node, chain, now)
    }

    /// Somebody is not here any more.
    pub fn forget(&mut self, node: &NodeId) {
        self.admission.forget(node);
    }

    /// The store has made the changes of that number, or cannot.
    pub fn kept(&mut self, write: u64, durable: bool) {
        self.keeping = false;
        self.failed |= !durable;
        self.outputs.push_back(Output::Settled(write, !self.failed));
        while self.replies.front().is_some_and(|waiting| waiting.write <= write)
            && let Some(Waiting { ticket, answer, event, .. }) = self.replies.pop_front()
        {
            self.outputs.extend(event.filter(|_| !self.failed).map(Output::Event));
            let answer = if self.failed { Answer::Refused(NotAdmitted::Unable) } else { answer };
            self.outputs.push_back(Output::Reply(ticket, Box::new(answer)));
        }
        self.settle();
    }

    /// The number of the write that all changes until now belong to.
    fn write(&mut self) -> u64 {
        self.changes.extend(std::iter::from_fn(|| self.inviter.poll_change()));
        let write = self.next_write;
        self.promised = write;
        self.flush();
        write
    }

    fn flush(&mut self) {
        if self.keeping {
            return;
        }
        self.keeping = true;
        self.outputs.push_back(Output::Keep(self.next_write, std::mem::take(&mut self.changes)));
        self.next_write += 1;
    }

    fn settle(&mut self) {
        while let Some(output) = self.admission.poll_output() {
            match output {
                admission::Output::Tell(node, frame) => self.outputs.push_back(Output::Tell(node, frame)),
                admission::Output::Admitted(node, _) => self.outputs.push_back(Output::Admitted(node)),
                admission::Output::Close(node) => self.outputs.push_back(Output::Close(node)),
                admission::Output::TurnedAway { node, refusal, was_inside, lingers } => {
                    self.outputs.push_back(Output::TurnedAway { node, refusal, was_inside, lingers });
                    self.outputs.push_back(Output::Event(Event::TurnedAway { node, refusal }));
                }
                admission::Output::Expelled(node) => self.outputs.push_back(Output::Expelled(node)),
                admission::Output::Forgotten(serial) => {
                    self.changes.push(Change { key: revoked_key(&serial), value: None });
                }
                admission::Output::Lost(error) => self.outputs.push_back(Output::Event(Event::Lost(error))),
            }
        }
        // One that was promised is made even if there is nothing to keep: who waits for it is to be told.
        if !self.keeping && (!self.changes.is_empty() || self.promised >= self.next_write) {
            self.flush();
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let over = self.admission.handle_timeout(now);
        self.changes.extend(over.iter().map(|serial| Change { key: revoked_key(serial), value: None }));
        if self.renew.is_some_and(|due| due <= now.mono) {
            self.ask_for_next(now);
        }
        self.settle();
    }

    fn ask_for_next(&mut self, now: Now) {
        // With one that is over or was taken back nobody gets the next.
        self.renew = self.admission.own(now).ok().map(|_| now.mono + self.config.renew_ms);
        if self.renew.is_none() {
            return;
        }
        let chain = self.admission.chain().clone();
        let issuer = chain.0.first().map(|signed| signed.credential.serial.issuer);
        let others = self.charter.founders.iter().copied().filter(|founder| Some(*founder) != issuer);
        let mut whom: Vec<_> = issuer.into_iter().chain(others).collect();
        let first = self.tries % whom.len().max(1);
        whom.rotate_left(first);
        self.tries += 1;
        self.outputs.push_back(Output::Ask(whom, Box::new(Request::Renew(chain))));
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        [self.admission.poll_timeout(), self.renew].into_iter().flatten().min()
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        self.admission.retained() + self.inviter.retained() + self.requests.retained() + self.replies.len()
    }

    /// What has to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

fn revoked_key(serial: &Serial) -> String {
    format!("{REVOKED}{}/{}/{}", serial.issuer, serial.day, serial.number)
}

#[cfg(test)]
mod tests;
