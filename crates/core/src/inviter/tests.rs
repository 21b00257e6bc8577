use mesh_proto::Strict;
use mesh_proto::charter::Charter;
use mesh_proto::credential::{Chain, CredentialError};

use super::*;

const NOW: u64 = 1_700_000_000;

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn charter() -> Charter {
    Charter { v: 1, name: "lab".into(), founders: vec![key(1).node()], threshold: 1, voters: vec![], open: false }
}

fn inviter(seed: u8) -> Inviter {
    Inviter::new(charter().mesh().unwrap(), key(seed), ("of/", Ledger::default()), [seed; 32])
}

fn license(invites: u32) -> License {
    License::Inviter(Standing { role: Role::Member, invites, until: NOW + 1_000_000 })
}

fn invite(of: &mut Inviter, license: License, role: Role, now: u64) -> Result<Invite, Error> {
    of.invite(license, ("lab".into(), vec!["/dns4/relay.example/tcp/443/wss".into()]), (role, 0), 3_600, now)
}

fn redeem(of: &mut Inviter, by: &Keypair, invite: &Invite, now: u64) -> Result<SignedCredential, NotAdmitted> {
    of.redeem(by.node(), &Redemption::new(invite, by.node()), |_| false, &Strict, now)
}

fn standing(chain: Vec<SignedCredential>, node: &Keypair) -> Result<Standing, CredentialError> {
    let charter = charter();
    Chain(chain).standing(&charter, &charter.mesh().unwrap(), &node.node(), NOW, |_| false, &Strict)
}

#[test]
fn the_first_node_that_redeems_an_invite_is_in() {
    let mut founder = inviter(1);
    let link = invite(&mut founder, License::Founder, Role::Voter, NOW).unwrap().encode().unwrap();
    let invite = Invite::decode(&link).unwrap();
    let credential = redeem(&mut founder, &key(2), &invite, NOW + 10).unwrap();
    assert_eq!(standing(vec![credential.clone()], &key(2)).unwrap().role, Role::Voter);
    assert_eq!(redeem(&mut founder, &key(3), &invite, NOW + 10), Err(NotAdmitted::Used));
    assert_eq!(redeem(&mut founder, &key(2), &invite, NOW + 20), Ok(credential.clone()), "the answer was lost");
    // Another process of it knows that too.
    let mut kept = BTreeMap::new();
    for Change { key, value } in std::iter::from_fn(|| founder.poll_change()) {
        kept.insert(key, value.unwrap());
    }
    let mut ledger = Ledger::default();
    for (key, value) in &kept {
        assert_eq!(ledger.restore("of/", key, value), Ok(true));
    }
    assert_eq!(ledger, founder.ledger);
    assert_eq!(ledger.restore("of/", "of/else", &kept["of/numbers"]), Ok(false));
    assert!(ledger.restore("of/", "of/redeemed/1/2", &kept["of/numbers"]).is_err(), "one in another's place");
    let mut again = Inviter::new(founder.mesh, key(1), ("of/", ledger), [9; 32]);
    assert_eq!(redeem(&mut again, &key(3), &invite, NOW + 30), Err(NotAdmitted::Used));
    assert_eq!(redeem(&mut again, &key(2), &invite, NOW + 30), Ok(credential));
}

#[test]
fn inviters_keep_to_their_quota_and_their_role() {
    let mut of = inviter(3);
    let above = inviter(1).issue(License::Founder, key(3).node(), (Role::Member, 2), NOW).unwrap();
    for n in 4..6 {
        let invite = invite(&mut of, license(2), Role::Member, NOW).unwrap();
        let credential = redeem(&mut of, &key(n), &invite, NOW).unwrap();
        assert_eq!(standing(vec![credential, above.clone()], &key(n)).unwrap().role, Role::Member);
    }
    assert_eq!(invite(&mut of, license(2), Role::Member, NOW), Err(Error::Quota(2)));
    assert_eq!(invite(&mut of, license(2), Role::Member, NOW - DAY_S), Err(Error::Quota(2)), "the clock was set back");
    assert!(invite(&mut of, license(2), Role::Observer, NOW + DAY_S).is_ok(), "another day");
    assert_eq!(invite(&mut of, license(2), Role::Voter, NOW + DAY_S), Err(Error::Role(Role::Voter)));
    assert_eq!(invite(&mut of, license(0), Role::Member, NOW + DAY_S), Err(Error::Role(Role::Member)));
    let ended = License::Inviter(Standing { role: Role::Member, invites: 2, until: NOW });
    assert_eq!(invite(&mut of, ended, Role::Member, NOW + DAY_S), Err(Error::Role(Role::Member)));
    let more = of.issue(license(2), key(9).node(), (Role::Member, 1), NOW + DAY_S);
    assert_eq!(more, Err(Error::Role(Role::Member)), "no inviter makes inviters");
    let more = of.invite(license(2), ("lab".into(), vec![]), (Role::Member, 1), 60, NOW + DAY_S);
    assert_eq!(more, Err(Error::Role(Role::Member)), "nor by an invite");
    let mut founder = inviter(1);
    let invite = founder.invite(License::Founder, ("lab".into(), vec![]), (Role::Member, 7), 60, NOW).unwrap();
    let credential = redeem(&mut founder, &key(8), &invite, NOW).unwrap();
    assert_eq!(standing(vec![credential], &key(8)).unwrap().invites, 7);
}

#[test]
fn nothing_else_is_redeemed() {
    let mut founder = inviter(1);
    let good = invite(&mut founder, License::Founder, Role::Member, NOW).unwrap();
    assert_eq!(redeem(&mut inviter(3), &key(2), &good, NOW), Err(NotAdmitted::NotOurs));
    assert_eq!(redeem(&mut founder, &key(2), &good, NOW + 3_600), Err(NotAdmitted::Expired));
    let guessed = Invite { secret: ByteArray::new([9; 32]), ..good.clone() };
    assert_eq!(redeem(&mut founder, &key(2), &guessed, NOW), Err(NotAdmitted::Forged));
    let overheard = Redemption::new(&good, key(2).node());
    let by_another = founder.redeem(key(3).node(), &overheard, |_| false, &Strict, NOW);
    assert_eq!(by_another, Err(NotAdmitted::Forged), "what another one has sent");
    let revoked = founder.redeem(key(2).node(), &overheard, |_| true, &Strict, NOW);
    assert_eq!(revoked, Err(NotAdmitted::Revoked));
    assert!(founder.ledger.redeemed.is_empty(), "nothing was given away");
    assert!(redeem(&mut founder, &key(2), &good, NOW).is_ok());
}

#[test]
fn what_cannot_be_redeemed_any_more_is_forgotten() {
    let mut founder = inviter(1);
    for (n, day) in [(2, 0), (3, 1), (4, 20)] {
        let now = NOW + day * DAY_S;
        let invite = invite(&mut founder, License::Founder, Role::Member, now).unwrap();
        redeem(&mut founder, &key(n), &invite, now).unwrap();
    }
    assert_eq!(founder.ledger.redeemed.len(), 1);
    let gone = std::iter::from_fn(|| founder.poll_change()).filter(|change| change.value.is_none());
    assert_eq!(gone.count(), 2, "in the store as well");
}

#[test]
fn what_is_past_a_bound_is_not_issued() {
    let mut founder = inviter(1);
    let mut lasting =
        |lifetime| founder.invite(License::Founder, ("lab".into(), vec![]), (Role::Member, 0), lifetime, NOW).err();
    assert_eq!((lasting(0), lasting(1)), (Some(Error::Lifetime), None));
    assert_eq!((lasting(MAX_INVITATION_S), lasting(MAX_INVITATION_S + 1)), (None, Some(Error::Lifetime)));
    let relays = vec!["x".repeat(256); 20];
    let long = founder.invite(License::Founder, ("lab".into(), relays), (Role::Member, 0), 60, NOW);
    assert_eq!(long, Err(Error::TooLong));
    founder.ledger.numbers.next = MAX_INVITES_PER_DAY;
    assert_eq!(invite(&mut founder, License::Founder, Role::Member, NOW), Err(Error::Quota(10_000)));
}

#[test]
fn redeemed_invites_are_remembered_up_to_a_bound() {
    let mut founder = inviter(1);
    let invites: Vec<_> = (0..2).map(|_| invite(&mut founder, License::Founder, Role::Member, NOW).unwrap()).collect();
    let given = founder.issue(License::Founder, key(9).node(), (Role::Member, 0), NOW).unwrap();
    for n in 2..MAX_REDEEMED as u32 + 1 {
        founder.ledger.redeemed.insert((NOW / DAY_S, n), given.clone());
    }
    assert!(redeem(&mut founder, &key(2), &invites[0], NOW).is_ok());
    assert_eq!(redeem(&mut founder, &key(3), &invites[1], NOW), Err(NotAdmitted::Unable));
    assert!(redeem(&mut founder, &key(2), &invites[0], NOW).is_ok(), "who is in can ask again");
}
