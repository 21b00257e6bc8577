//! A private mesh, and a peer that is not let in: it knows everything that is no secret.

use futures::AsyncReadExt as _;
use mesh_net::{Config, Identity};
use mesh_proto::charter::{self, Charter};
use mesh_proto::credential::{Frame, Greeting, Pass, Proof, Role};
use mesh_proto::protocol::{AUTH, DIRECT, TRANSFER, Topic};
use serde_bytes::ByteArray;

use crate::common::attacker::Attacker;
use crate::common::member::{Member, until_heard};
use crate::common::wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_hears_nothing_and_is_not_heard() {
    let [founder, member] = [(); 2].map(|()| Identity::generate().unwrap());
    let (name, founders) = ("private".to_owned(), vec![founder.node()]);
    let charter = Charter { v: charter::VERSION, name, founders, threshold: 1, voters: vec![], open: false };
    let mesh = charter.mesh().unwrap();
    let alice = Member::private("alice", Config::chartered(founder, charter).unwrap(), &[]).await;
    let pass = alice.handle.issue(member.node(), (Role::Member, 0)).await.unwrap().unwrap();
    let stolen = pass.clone();
    let bob = Member::private("bob", Config::admitted(member, pass).unwrap(), &[alice.tcp()]).await;
    until_heard(&alice, &bob).await;

    for target in [&alice, &bob] {
        let eve = Attacker::connect(mesh, &[target]).await;
        let mut gossip = eve.gossip(target).await;
        let said = wire::seal(&wire::broadcast(mesh, eve.key(), b"heard?"), eve.key());
        gossip.publish(Topic::Swarm, &[said]).await.unwrap();
        let announced = wire::seal(&wire::announcement(mesh, eve.key(), "eve"), eve.key());
        assert!(eve.join(target, announced).await.is_err(), "no list");
        for protocol in [DIRECT, TRANSFER] {
            if let Ok(mut stream) = eve.open(target, protocol).await {
                let ended = stream.read(&mut [0]).await;
                assert!(matches!(ended, Ok(0) | Err(_)), "nothing is said on {protocol}");
            }
        }
        until_heard(&alice, &bob).await;
        until_heard(&bob, &alice).await;
        // Whoever says nothing about who it is loses its link, and by then has had all that it ever gets.
        gossip.until_ended().await;
        assert_eq!(eve.overheard_of(alice.node()) + eve.overheard_of(bob.node()), 0);

        // With somebody else's credentials, which are no secret, it is turned away.
        let thief = Attacker::connect(mesh, &[target]).await;
        let mut gossip = thief.gossip(target).await;
        let Pass { chain, .. } = stolen.clone();
        let mut stream = thief.open(target, AUTH).await.unwrap();
        let greeting = Frame::Greeting(Greeting { mesh, nonce: ByteArray::new([7; 32]) });
        let proof = Frame::Proof(Proof { chain, signature: ByteArray::new([0; 64]) });
        wire::write_frame(&mut stream, &greeting).await.unwrap();
        wire::write_frame(&mut stream, &proof).await.unwrap();
        target.until_caught(thief.node(), mesh_core::Offence::OutOfPlace, 1).await;
        gossip.until_ended().await;
        assert_eq!(thief.overheard_of(alice.node()) + thief.overheard_of(bob.node()), 0);
        for honest in [&alice, &bob] {
            let of_strangers = [eve.node(), thief.node()].map(|node| honest.journal().heard(node, b"heard?"));
            assert_eq!(of_strangers, [0, 0]);
            assert_eq!(honest.handle.agents().await.unwrap().len(), 0);
            assert!(honest.journal().links.keys().all(|peer| [alice.node(), bob.node()].contains(peer)));
        }
    }
}
