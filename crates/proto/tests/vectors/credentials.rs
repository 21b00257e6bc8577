//! The values that `credentials.json` encodes: who is let in by a founder, and by somebody whom that one has let in.

use mesh_proto::credential::{
    Answer, Chain, Credential, Earlier, Frame, Greeting, Invitation, Invite, Meeting, NotAdmitted, Pass, Redemption,
    Request, Revocation, Role, Serial, SignedCredential, SignedRevocation,
};
use mesh_proto::{Keypair, NodeId};
use serde_bytes::ByteArray;

use super::decisions::{charter, founders, nodes};

const DAY: u64 = 19_675;
/// Noon of that day, unix seconds.
const NOON: u64 = DAY * 86_400 + 43_200;

fn serial(issuer: &Keypair, number: u32) -> Serial {
    Serial { issuer: issuer.node(), day: DAY, number }
}

fn credential(issuer: &Keypair, subject: NodeId, role: Role, invites: u32) -> SignedCredential {
    let mesh = charter().mesh().unwrap();
    let (not_before, not_after) = (NOON - 300, NOON + 604_500);
    Credential { mesh, subject, role, invites, not_before, not_after, serial: serial(issuer, 3) }.sign(issuer).unwrap()
}

/// Of voter 2, which voter 1 has let in, whom a founder has.
pub(crate) fn chain() -> Chain {
    let (founder, [_, inviter, node, _]) = (&founders()[0], <[Keypair; 4]>::try_from(nodes()).unwrap());
    let above = credential(founder, inviter.node(), Role::Member, 20);
    Chain(vec![credential(&inviter, node.node(), Role::Observer, 0), above])
}

pub(crate) fn of_voter() -> SignedCredential {
    credential(&founders()[1], nodes()[0].node(), Role::Voter, 0)
}

/// The seed of its key is 32 bytes 0x77.
pub(crate) fn invite() -> Invite {
    let secret = Keypair::from_seed(&[0x77; 32]);
    let invitation = Invitation {
        invites: 3,
        mesh: charter().mesh().unwrap(),
        key: secret.node(),
        role: Role::Member,
        not_after: NOON + 3_600,
        serial: serial(&founders()[0], 4),
    };
    Invite {
        name: "playground".into(),
        invitation: invitation.sign(&founders()[0]).unwrap(),
        secret: ByteArray::new(secret.seed()),
        relays: vec!["/dns4/relay.example/tcp/443/wss".into()],
    }
}

pub(crate) fn redemption() -> Redemption {
    Redemption::new(&invite(), nodes()[3].node())
}

pub(crate) fn revocation() -> SignedRevocation {
    revoked(None)
}

/// By the same founder, of voter 1.
pub(crate) fn revocation_of_node() -> SignedRevocation {
    revoked(Some(Earlier { subject: nodes()[1].node(), not_before: NOON }))
}

fn revoked(earlier: Option<Earlier>) -> SignedRevocation {
    let by = &founders()[2];
    let revocation = Revocation {
        mesh: charter().mesh().unwrap(),
        serial: serial(&nodes()[1], 3),
        earlier,
        until: NOON + 604_500,
        by: by.node(),
    };
    revocation.sign(by).unwrap()
}

/// Voter 2 shows something to voter 0.
pub(crate) fn meeting() -> Meeting {
    Meeting {
        mesh: charter().mesh().unwrap(),
        shows: nodes()[2].node(),
        nonce: ByteArray::new([0xa2; 32]),
        to: nodes()[0].node(),
        their_nonce: ByteArray::new([0xa0; 32]),
    }
}

pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    let Meeting { mesh, nonce, .. } = meeting();
    let proof = |chain| Frame::Proof(meeting().prove(chain, &nodes()[2]).unwrap());
    vec![
        ("greeting", Frame::Greeting(Greeting { mesh, nonce })),
        ("proof", proof(chain())),
        ("proof of nobody", proof(Chain::default())),
        ("what was shown is revoked", Frame::Revoked(revocation())),
    ]
}

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    vec![("request to redeem", Request::Redeem(redemption())), ("request to renew", Request::Renew(chain()))]
}

pub(crate) fn answers() -> Vec<(&'static str, Answer)> {
    let pass = Pass { charter: charter(), chain: chain() };
    vec![
        ("answer: a pass", Answer::Admitted(Box::new(pass))),
        ("answer: not ours", Answer::Refused(NotAdmitted::NotOurs)),
        ("answer: forged", Answer::Refused(NotAdmitted::Forged)),
        ("answer: expired", Answer::Refused(NotAdmitted::Expired)),
        ("answer: used", Answer::Refused(NotAdmitted::Used)),
        ("answer: revoked", Answer::Refused(NotAdmitted::Revoked)),
        ("answer: unable", Answer::Refused(NotAdmitted::Unable)),
        ("answer: busy", Answer::Refused(NotAdmitted::Busy)),
    ]
}
