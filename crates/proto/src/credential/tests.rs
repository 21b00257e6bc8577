use super::*;
use crate::charter::Voter;
use crate::codec::tests::{assert_bound, read_back};
use crate::envelope::Strict;
use crate::limits::{MAX_FOUNDERS, MAX_PASS, MAX_VOTERS};

const NOW: u64 = 1_700_000_000;
const TODAY: u64 = NOW / DAY_S;

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn founder() -> Keypair {
    key(1)
}

fn charter(open: bool) -> Charter {
    Charter { v: 1, name: "lab".into(), founders: vec![founder().node()], threshold: 1, voters: vec![], open }
}

fn mesh() -> MeshId {
    charter(false).mesh().unwrap()
}

fn credential(issuer: &Keypair, subject: &Keypair, role: Role) -> Credential {
    Credential {
        mesh: mesh(),
        subject: subject.node(),
        role,
        invites: 0,
        not_before: NOW - 10,
        not_after: NOW + 1_000,
        serial: Serial { issuer: issuer.node(), day: TODAY, number: 3 },
    }
}

/// What `node` is with these credentials in a private mesh, where nothing is revoked.
fn standing(chain: Vec<SignedCredential>, node: &Keypair) -> Result<Standing, CredentialError> {
    Chain(chain).standing(&charter(false), &mesh(), &node.node(), NOW, |_| false, &Strict)
}

#[test]
fn founders_let_nodes_in_and_inviters_members() {
    let (node, inviter) = (key(2), key(3));
    for role in [Role::Observer, Role::Member, Role::Voter] {
        let own = credential(&founder(), &node, role).sign(&founder()).unwrap();
        let expected = Standing { role, invites: 0, until: NOW + 1_000 };
        assert_eq!(standing(vec![own], &node), Ok(expected));
    }
    let above = Credential { invites: 4, not_after: NOW + 5, ..credential(&founder(), &inviter, Role::Member) };
    let above = above.sign(&founder()).unwrap();
    let own = |change: fn(&mut Credential)| {
        let mut own = credential(&inviter, &node, Role::Member);
        change(&mut own);
        standing(vec![own.sign(&inviter).unwrap(), above.clone()], &node)
    };
    assert_eq!(
        own(|_| {}),
        Ok(Standing { role: Role::Member, invites: 0, until: NOW + 5 }),
        "until the first one ends"
    );
    assert_eq!(own(|own| own.role = Role::Observer).map(|standing| standing.role), Ok(Role::Observer));
    assert_eq!(own(|own| own.role = Role::Voter), Err(CredentialError::Issuer), "only founders name voters");
    assert_eq!(own(|own| own.invites = 1), Err(CredentialError::Issuer), "no inviter makes inviters");
    assert_eq!(own(|own| own.serial.number = 4), Err(CredentialError::Issuer), "past its quota");
    assert_eq!(standing(vec![above], &inviter).map(|standing| standing.invites), Ok(4));
}

#[test]
fn nothing_else_lets_anybody_in() {
    let (node, other) = (key(2), key(3));
    let good = credential(&founder(), &node, Role::Member);
    let signed = |change: fn(&mut Credential), by: &Keypair| {
        let mut credential = good.clone();
        change(&mut credential);
        standing(vec![credential.sign(by).unwrap()], &node)
    };
    let cases: [(&str, Result<Standing, CredentialError>, CredentialError); 8] = [
        ("none", standing(vec![], &node), CredentialError::Missing),
        ("another mesh's", signed(|of| of.mesh = MeshId([9; 32]), &founder()), CredentialError::NotTheirs),
        ("another node's", standing(vec![good.clone().sign(&founder()).unwrap()], &other), CredentialError::NotTheirs),
        ("by a stranger", signed(|of| of.serial.issuer = key(9).node(), &key(9)), CredentialError::Issuer),
        ("in a founder's name", signed(|_| {}, &key(9)), CredentialError::Forged),
        ("of yesterday", signed(|of| of.not_after = NOW, &founder()), CredentialError::Expired),
        ("of tomorrow", signed(|of| of.not_before = NOW + 1, &founder()), CredentialError::Expired),
        ("by oneself", signed(|of| of.serial.issuer = key(2).node(), &key(2)), CredentialError::Issuer),
    ];
    for (what, standing, error) in cases {
        assert_eq!(standing, Err(error), "{what}");
    }
    // The inviter's credential is somebody else's, or was made by who needs it.
    let own = credential(&other, &node, Role::Member).sign(&other).unwrap();
    let wrong = Credential { invites: 9, ..credential(&founder(), &key(4), Role::Member) }.sign(&founder()).unwrap();
    assert_eq!(standing(vec![own.clone(), wrong], &node), Err(CredentialError::NotTheirs));
    let made_up = Credential { invites: 9, ..credential(&other, &other, Role::Member) }.sign(&other).unwrap();
    assert_eq!(standing(vec![own, made_up], &node), Err(CredentialError::Issuer));
}

#[test]
fn every_field_of_a_credential_is_signed() {
    let node = key(2);
    let good = credential(&founder(), &node, Role::Member).sign(&founder()).unwrap();
    let changes: [fn(&mut Credential); 6] = [
        |of| of.role = Role::Voter,
        |of| of.invites = 1,
        |of| of.not_before -= 1,
        |of| of.not_after += 1,
        |of| of.serial.day += 1,
        |of| of.serial.number += 1,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut forged = good.clone();
        change(&mut forged.credential);
        assert_eq!(standing(vec![forged], &node), Err(CredentialError::Forged), "change {n}");
    }
}

#[test]
fn anybody_may_listen_in_an_open_mesh() {
    let charter = charter(true);
    let standing =
        Chain::default().standing(&charter, &charter.mesh().unwrap(), &key(2).node(), NOW, |_| false, &Strict);
    assert_eq!(standing, Ok(Standing { role: Role::Observer, invites: 0, until: u64::MAX }));
}

#[test]
fn what_is_taken_back_takes_what_it_let_in_with_it() {
    let (node, inviter) = (key(2), key(3));
    let above = Credential { invites: 4, ..credential(&founder(), &inviter, Role::Member) }.sign(&founder()).unwrap();
    let own = credential(&inviter, &node, Role::Member).sign(&inviter).unwrap();
    for gone in [&own, &above] {
        let serial = gone.credential.serial;
        let chain = Chain(vec![own.clone(), above.clone()]);
        let standing = chain.standing(&charter(false), &mesh(), &node.node(), NOW, |of| of.serial == serial, &Strict);
        assert_eq!(standing, Err(CredentialError::Revoked));
    }
    let revocation = |by: &Keypair| {
        let serial = own.credential.serial;
        Revocation { mesh: mesh(), serial, earlier: None, until: NOW + 1_000, by: by.node() }.sign(by).unwrap()
    };
    assert!(revocation(&inviter).verifies(&charter(false), &Strict), "by who issued it");
    assert!(revocation(&founder()).verifies(&charter(false), &Strict), "by a founder");
    assert!(!revocation(&node).verifies(&charter(false), &Strict), "not by anybody else");
    let mut forged = revocation(&founder());
    forged.revocation.until += 1;
    assert!(!forged.verifies(&charter(false), &Strict));
}

fn invite() -> Invite {
    let secret = key(7);
    let invitation = Invitation {
        invites: 0,
        mesh: mesh(),
        key: secret.node(),
        role: Role::Member,
        not_after: NOW + 1_000,
        serial: Serial { issuer: founder().node(), day: TODAY, number: 0 },
    };
    Invite {
        name: "lab".into(),
        invitation: invitation.sign(&founder()).unwrap(),
        secret: ByteArray::new(secret.seed()),
        relays: vec!["/ip4/127.0.0.1/tcp/4001/ws".into()],
    }
}

#[test]
fn who_has_an_invite_redeems_it_for_itself() {
    let invite = Invite::decode(&invite().encode().unwrap()).unwrap();
    let redemption = Redemption::new(&invite, key(2).node());
    assert!(redemption.verifies(&Strict));
    assert_eq!(read_back(&redemption), Ok(redemption.clone()));
    let stolen = Redemption { node: key(3).node(), ..redemption.clone() };
    assert!(!stolen.verifies(&Strict), "for another node");
    let mut better = redemption.clone();
    better.invitation.invitation.role = Role::Voter;
    assert!(!better.verifies(&Strict), "for another role");
    let guessed = Invite { secret: ByteArray::new([8; 32]), ..invite };
    assert!(!Redemption::new(&guessed, key(2).node()).verifies(&Strict), "without its secret");
    assert!(!format!("{guessed:?}").contains("0808"), "a secret is not for logs");
}

#[test]
fn a_proof_is_worth_nothing_elsewhere() {
    let (one, other, third) = (key(2), key(3), key(4));
    let meeting = Meeting {
        mesh: mesh(),
        shows: one.node(),
        nonce: ByteArray::new([1; 32]),
        to: other.node(),
        their_nonce: ByteArray::new([2; 32]),
    };
    let proof = meeting.prove(Chain::default(), &one).unwrap();
    assert!(meeting.verifies(&proof, &Strict));
    assert_eq!(meeting.turned().turned(), meeting);
    let elsewhere = [
        ("turned around", meeting.turned()),
        ("to a third", Meeting { to: third.node(), ..meeting }),
        ("by a third", Meeting { shows: third.node(), ..meeting }),
        ("in another mesh", Meeting { mesh: MeshId([9; 32]), ..meeting }),
        ("at another time", Meeting { their_nonce: ByteArray::new([3; 32]), ..meeting }),
        ("again", Meeting { nonce: ByteArray::new([3; 32]), ..meeting }),
    ];
    for (what, meeting) in elsewhere {
        assert!(!meeting.verifies(&proof, &Strict), "{what}");
    }
}

#[test]
fn bounds_hold_at_the_limit_and_one_past() {
    let signed = |change: &dyn Fn(&mut Credential)| {
        let mut credential = credential(&founder(), &key(2), Role::Member);
        change(&mut credential);
        credential.sign(&founder()).unwrap()
    };
    assert_bound("invites", MAX_INVITES_PER_DAY as usize, |n| signed(&|of| of.invites = n as u32));
    assert_bound("number", MAX_INVITES_PER_DAY as usize - 1, |n| signed(&|of| of.serial.number = n as u32));
    assert_bound("credentials", MAX_CREDENTIAL_CHAIN, |n| Chain(vec![signed(&|_| {}); n]));
    assert_bound("relays", MAX_INVITE_RELAYS, |n| Invite { relays: vec!["r".into(); n], ..invite() });
    assert_bound("relay", MAX_ADDRESS, |n| Invite { relays: vec!["r".repeat(n)], ..invite() });
    assert_bound("invites", MAX_INVITES_PER_DAY as usize, |n| {
        let mut invite = invite();
        invite.invitation.invitation.invites = n as u32;
        invite
    });
    let chain = |n: usize| Chain(vec![signed(&|_| {}); n]);
    assert_bound("credentials", MAX_CREDENTIAL_CHAIN, |n| Request::Renew(chain(n)));
    assert_bound("credentials", MAX_CREDENTIAL_CHAIN, |n| admitted(charter(false), chain(n)));
    assert_bound("name", MAX_MESH_NAME, |n| {
        admitted(Charter { name: "x".repeat(n), ..charter(false) }, Chain::default())
    });
    assert_bound("name", MAX_MESH_NAME, |n| Invite { name: "x".repeat(n), ..invite() });
    let lives = |s: u64| read_back(&signed(&|of| (of.not_before, of.not_after) = (NOW, NOW + s))).is_ok();
    assert!(lives(1) && lives(MAX_CREDENTIAL_S));
    assert!(!lives(0) && !lives(MAX_CREDENTIAL_S + 1));
    assert!(read_back(&signed(&|of| of.not_after = of.not_before - 1)).is_err());
    let redeemable = |not_after: u64| {
        let mut invite = invite();
        invite.invitation.invitation.not_after = not_after;
        read_back(&invite).is_ok()
    };
    assert!(redeemable((TODAY + 1) * DAY_S + MAX_INVITATION_S));
    assert!(!redeemable((TODAY + 1) * DAY_S + MAX_INVITATION_S + 1) && !redeemable(TODAY * DAY_S));
}

fn admitted(charter: Charter, chain: Chain) -> Answer {
    Answer::Admitted(Box::new(Pass { charter, chain }))
}

#[test]
fn requests_and_answers_are_read_as_they_were_written() {
    let own = credential(&founder(), &key(2), Role::Member).sign(&founder()).unwrap();
    let chain = Chain(vec![own]);
    let redeem = Request::Redeem(Redemption::new(&invite(), key(2).node()));
    for request in [redeem, Request::Renew(chain.clone()), Request::Renew(Chain::default())] {
        assert_eq!(read_back(&request), Ok(request.clone()));
    }
    let passes = [admitted(charter(true), chain), admitted(charter(false), Chain::default())];
    let refusals = [
        NotAdmitted::NotOurs,
        NotAdmitted::Forged,
        NotAdmitted::Expired,
        NotAdmitted::Used,
        NotAdmitted::Revoked,
        NotAdmitted::Unable,
        NotAdmitted::Busy,
    ];
    for answer in passes.into_iter().chain(refusals.map(Answer::Refused)) {
        assert_eq!(read_back(&answer), Ok(answer.clone()));
    }
}

/// Two credentials of which nothing can be longer.
pub(crate) fn largest_chain() -> Chain {
    let largest = Credential {
        role: Role::Observer,
        invites: MAX_INVITES_PER_DAY,
        not_before: u64::MAX - MAX_CREDENTIAL_S,
        not_after: u64::MAX,
        serial: Serial { issuer: founder().node(), day: u64::MAX, number: MAX_INVITES_PER_DAY - 1 },
        ..credential(&founder(), &key(2), Role::Member)
    };
    Chain(vec![largest.sign(&founder()).unwrap(); MAX_CREDENTIAL_CHAIN])
}

#[test]
fn the_largest_pass_fits() {
    let node = |n: usize| NodeId(std::array::from_fn(|place| if place == 0 { n as u8 } else { 0xff }));
    let charter = Charter {
        name: "x".repeat(MAX_MESH_NAME),
        founders: (0..MAX_FOUNDERS).map(node).collect(),
        threshold: MAX_FOUNDERS as u8,
        voters: (0..MAX_VOTERS).map(|n| Voter { node: node(n), key: node(n + MAX_VOTERS) }).collect(),
        ..charter(false)
    };
    let answer = admitted(charter, largest_chain());
    assert_eq!(read_back(&answer), Ok(answer.clone()));
    assert!(codec::encode(&answer, MAX_PASS).is_ok());
    assert!(codec::encode(&Request::Renew(largest_chain()), MAX_ADMISSION).is_ok());
}

#[test]
fn the_largest_of_each_has_room() {
    let proof = Proof { chain: largest_chain(), signature: ByteArray::new([0; 64]) };
    assert!(codec::encode(&proof, MAX_ADMISSION).is_ok());
    let relays = vec!["r".repeat(MAX_ADDRESS); MAX_INVITE_RELAYS];
    let largest = Invite { name: "x".repeat(MAX_MESH_NAME), relays, ..invite() };
    assert_eq!(Invite::decode(&largest.encode().unwrap()), Ok(largest));
    assert!(invite().encode().unwrap().len() < 512, "a small picture: {}", invite().encode().unwrap().len());
}
