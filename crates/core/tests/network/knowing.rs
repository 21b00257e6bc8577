//! What a private mesh knows, and what newcomers learn of it.

use mesh_core::access::Revoke;
use mesh_core::knowledge::Error;
use mesh_proto::NodeId;
use mesh_proto::credential::{DAY_S, Role};
use mesh_proto::knowledge::{Change, Domain};

use crate::world::World;

/// A domain of the node's own, in which entries need no content.
fn own(world: &World, n: usize) -> Domain {
    Domain { name: "notes".into(), owner: Some(world.id(n)) }
}

/// Writes who may write in the node's own domain.
fn write(world: &mut World, n: usize, writer: NodeId) {
    let domain = own(world, n);
    world.call(n, |node, now| node.write(domain, String::new(), Change::Grant(vec![writer]), None, now)).unwrap();
}

fn knows(world: &World, n: usize, author: usize) -> bool {
    !world.member(n).node.known(&own(world, author), "").is_empty()
}

/// Somebody new, with a credential of the founder's.
fn newcomer(world: &mut World) -> usize {
    let n = world.members().count();
    world.grant(n, Role::Member, 0, 6 * DAY_S);
    world.join()
}

#[test]
fn a_newcomer_learns_what_was_written_by_who_has_left() {
    let mut world = World::private(11, 3);
    let writer = world.id(3);
    write(&mut world, 2, writer);
    world.run(1_000);
    assert!(knows(&world, 3, 2));
    world.kill(2);
    world.run(60_000);
    let new = newcomer(&mut world);
    world.run_until(10_000, |world| knows(world, new, 2));
    // Its credentials came with it, and go on with it: also from who never met its author.
    for n in [1, 3] {
        world.kill(n);
    }
    let next = newcomer(&mut world);
    world.run_until(10_000, |world| knows(world, next, 2));
    world.assert_honest();
}

#[test]
fn what_was_written_by_who_was_sent_away_is_known_to_all_and_not_asked_for_again() {
    let mut world = World::private(12, 4);
    let writer = world.id(3);
    write(&mut world, 2, writer);
    world.run(1_000);
    let id = world.id(2);
    world.call(1, |node, now| node.revoke(Revoke::Node(id), now)).unwrap();
    world.run(5_000);
    let new = newcomer(&mut world);
    world.run_until(10_000, |world| knows(world, new, 2));
    let digest = |world: &mut World, n: usize| world.call(n, |node, _| node.knowledge_digest());
    let digests: Vec<_> = [0, 1, 3, 4, new].map(|n| digest(&mut world, n)).into();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let received = world.member(new).node.metrics().entries_received;
    world.run(600_000);
    assert_eq!(world.member(new).node.metrics().entries_received, received);
    let domain = own(&world, 2);
    let writes = world.call(2, |node, now| node.write(domain, String::new(), Change::Grant(vec![]), None, now));
    assert!(matches!(writes, Err(Error::OnlyListens(_))), "{writes:?}");
}

#[test]
fn what_a_member_wrote_is_good_when_its_credentials_are_over() {
    let mut world = World::private(13, 2);
    let author = 3;
    world.grant(author, Role::Member, 0, 3_600);
    world.join();
    world.announce(author, "author");
    world.run(5_000);
    let writer = world.id(1);
    write(&mut world, author, writer);
    world.run(60_000);
    // Renewed after it has written: the next credential begins later than that, and is what is known of it from then on.
    world.kill(author);
    world.run(30 * 60_000);
    world.grant(author, Role::Member, 0, 7_200);
    world.restart(author);
    world.announce(author, "author");
    world.run(5_000);
    let domain = Domain { name: "more".into(), owner: Some(world.id(author)) };
    world.call(author, |node, now| node.write(domain, String::new(), Change::Grant(vec![writer]), None, now)).unwrap();
    world.run(5_000);
    world.kill(author);
    world.run(3 * 3_600_000);
    let new = newcomer(&mut world);
    world.run_until(10_000, |world| knows(world, new, author));
    world.assert_honest();
}
