//! Blocks between members, over real sockets: files and directories go from one to another, through a relay that has nothing.

#![allow(clippy::print_stdout, reason = "tests tell what they measured")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use common::blocks::{Liar, Slow};
use common::member::{Member, Reach, until_heard};
use common::{millis, within};
use futures::StreamExt as _;
use mesh_net::blocks::{
    BlockStoreError, BlocksError, Dag, FetchFailed, FetchOptions, Fetched, Limits, ListOptions, MemoryBlocks,
    ReadOptions, progress,
};
use mesh_net::{Config, Identity, PeerId};
use mesh_proto::charter::{self, Charter};
use mesh_proto::credential::Role;
use mesh_unixfs::{Block, Root};

/// Bytes that do not repeat.
fn bytes(len: usize) -> Bytes {
    let mut x = 0x1234_5678_u32;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    std::iter::repeat_with(&mut next).take(len).collect::<Vec<_>>().into()
}

async fn add(member: &Member, bytes: Bytes) -> (Root, Dag) {
    within("it is added", member.handle.add_file(bytes)).await.unwrap().unwrap()
}

fn from(peers: &[&Member]) -> FetchOptions {
    FetchOptions { from: peers.iter().map(|peer| peer.identity.peer_id()).collect(), ..FetchOptions::default() }
}

fn impatient(from: Vec<PeerId>) -> FetchOptions {
    let limits = Limits { patience_ms: 1_500, ..Limits::default() };
    FetchOptions { from, limits, meter: None }
}

async fn fetch(member: &Member, cid: Cid, options: FetchOptions) -> Fetched {
    within("it is fetched", member.handle.fetch(cid, options)).await.unwrap()
}

async fn read(member: &Member, cid: Cid) -> Vec<u8> {
    within("it is read", member.handle.read(cid, ReadOptions::default())).await.unwrap().unwrap().concat()
}

async fn kept(member: &Member) -> usize {
    member.handle.block_stats().await.unwrap().blocks
}

/// Two leaves that reach each other through a hub.
async fn relayed(mesh: &'static str) -> (Member, Member, Member) {
    let hub = Member::hub(mesh, "hub", &[]).await;
    let alice = Member::leaf(mesh, "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf(mesh, "bob", &[hub.websocket()], Reach::RelaysOnly).await;
    alice.until_joined(&hub).await;
    bob.until_joined(&hub).await;
    (hub, alice, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_through_a_relay_that_has_nothing() {
    let (hub, alice, bob) = relayed("file").await;
    let file = bytes(3_000_000);
    let (root, added) = add(&alice, file.clone()).await;
    // Helia's CID for the same bytes.
    assert_eq!(root.cid.to_string(), "bafybeiharfkbv4774z5x44ip47ppibsqpzzyq7j6l67vldteexrsafizle");
    assert_eq!((added.root, added.bytes()), (root.cid, root.dag_size));

    let started = millis();
    let dag = fetch(&bob, root.cid, from(&[&alice])).await.unwrap();
    println!("3 MB through the relay in {} ms", millis() - started);
    assert_eq!(dag, added);
    assert!(read(&bob, root.cid).await == file, "other bytes");
    let range = ReadOptions { range: Some(1_048_570..1_048_590), ..ReadOptions::default() };
    let part = bob.handle.read(root.cid, range).await.unwrap().unwrap().concat();
    assert_eq!(part[..], file[1_048_570..1_048_590]);
    assert_eq!(kept(&hub).await, 0);
    let (of_alice, of_bob) = (alice.handle.block_stats().await.unwrap(), bob.handle.block_stats().await.unwrap());
    assert_eq!((of_bob.blocks, of_bob.bytes), (4, root.dag_size));
    assert_eq!((of_alice.sent, of_bob.received), (root.dag_size, root.dag_size));

    // What is kept is there without anybody else, and what was removed is not.
    alice.handle.close().await;
    assert_eq!(fetch(&bob, root.cid, FetchOptions::default()).await.unwrap(), dag);
    assert_eq!(
        bob.handle.has(root.cid).await.unwrap(),
        dag.blocks.iter().find(|(cid, _)| *cid == root.cid).map(|(_, size)| *size)
    );
    bob.handle.remove(dag.blocks.iter().map(|(cid, _)| *cid).collect()).await.unwrap().unwrap();
    assert_eq!((kept(&bob).await, bob.handle.has(root.cid).await.unwrap()), (0, None));
    let failed = fetch(&bob, root.cid, impatient(Vec::new())).await.unwrap_err();
    assert_eq!(*failed, FetchFailed { error: BlocksError::NotFound(root.cid), kept: Vec::new() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_listed_read_and_fetched() {
    let (_hub, alice, bob) = relayed("directory").await;
    let (a, b) = (add(&alice, bytes(5_000)).await.0, add(&alice, bytes(2_000_000)).await.0);
    let made = |entries| alice.handle.add_directory(entries, FetchOptions::default());
    let (inner, _) = made(vec![("b".to_owned(), b)]).await.unwrap().unwrap();
    let (outer, all) = made(vec![("inner".to_owned(), inner), ("a".to_owned(), a)]).await.unwrap().unwrap();
    assert_eq!(all.blocks.len(), 6, "two directories, a chunk, and a root with two");

    let options = || ListOptions { from: vec![alice.identity.peer_id()], ..ListOptions::default() };
    let entries = within("listed", bob.handle.list(outer.cid, options())).await.unwrap().unwrap();
    let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.cid)).collect();
    assert_eq!(names, [("a", a.cid), ("inner", inner.cid)]);
    assert!(
        within("read", bob.handle.read(a.cid, ReadOptions::default())).await.unwrap().unwrap().concat() == bytes(5_000)
    );
    assert_eq!(kept(&bob).await, 0, "what was looked at is not kept");
    let not_a_file = within("read", bob.handle.read(outer.cid, ReadOptions::default())).await.unwrap();
    assert_eq!(not_a_file, Err(BlocksError::Unreadable(mesh_unixfs::Error::NotAFile(outer.cid))));

    assert_eq!(fetch(&bob, outer.cid, from(&[&alice])).await.unwrap(), all);
    assert!(read(&bob, b.cid).await == bytes(2_000_000), "other bytes");
    // The same directory, made anew by somebody who has the files.
    let (again, dag) =
        bob.handle.add_directory(vec![("b".to_owned(), b)], FetchOptions::default()).await.unwrap().unwrap();
    assert_eq!((again, dag.blocks.len()), (inner, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_provider_dies_another_one_goes_on() {
    let hub = Member::hub("dies", "hub", &[]).await;
    let (first, second) = (Arc::new(Slow::new()), Arc::new(Slow::new()));
    let alice = Member::storing("dies", "alice", &[hub.tcp()], first.clone()).await;
    let anna = Member::storing("dies", "anna", &[hub.tcp()], second.clone()).await;
    let bob = Member::leaf("dies", "bob", &[hub.tcp()], Reach::RelaysOnly).await;
    for member in [&alice, &anna, &bob] {
        member.until_joined(&hub).await;
    }
    let file = bytes(12_000_000);
    let (root, dag) = add(&alice, file.clone()).await;
    assert_eq!(add(&anna, file.clone()).await.0, root);
    // Both keep the root and five of twelve chunks from those who ask for them, and give the rest when they are told to.
    first.give(6);
    second.give(0);

    let (meter, mut watcher) = progress();
    let options = FetchOptions { meter: Some(meter), ..from(&[&alice]) };
    let fetching = tokio::spawn({
        let handle = bob.handle.clone();
        async move { handle.fetch(root.cid, options).await }
    });
    let half = async { while watcher.next().await.expect("it goes on").blocks < 6 {} };
    within("half of it is here", half).await;
    alice.handle.close().await;
    second.give(usize::MAX);
    // It goes on with whoever else has it.
    let fetched = within("all of it", fetching).await.unwrap().unwrap().unwrap();
    assert_eq!(fetched, dag);
    assert!(read(&bob, root.cid).await == file, "other bytes");
    let sent = anna.handle.block_stats().await.unwrap().sent;
    println!("the second one sent {sent} bytes of {}", root.dag_size);
    assert!(sent > 0 && sent < root.dag_size, "the first half came from the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_was_given_up_goes_on_later() {
    let (hub, _, bob) = relayed("resume").await;
    let store = Arc::new(Slow::new());
    let alice = Member::storing("resume", "alice", &[hub.tcp()], store.clone()).await;
    alice.until_joined(&hub).await;
    let file = bytes(8_000_000);
    let (root, dag) = add(&alice, file.clone()).await;
    store.give(4);

    // Nobody waits for it any more.
    let (meter, mut watcher) = progress();
    let options = FetchOptions { meter: Some(meter), ..from(&[&alice]) };
    let fetching = tokio::spawn({
        let handle = bob.handle.clone();
        async move { handle.fetch(root.cid, options).await }
    });
    within("a part", async { while watcher.next().await.expect("it goes on").blocks < 4 {} }).await;
    fetching.abort();
    within("it ends", async { while watcher.next().await.is_some() {} }).await;
    assert_eq!(kept(&bob).await, 4, "what has come is kept");

    // Its patience is at its end.
    let failed = fetch(&bob, root.cid, impatient(vec![alice.identity.peer_id()])).await.unwrap_err();
    assert!(matches!(failed.error, BlocksError::NotFound(_)), "{failed:?}");
    assert_eq!(failed.kept.len(), 4, "{failed:?}");
    store.give(usize::MAX);
    assert_eq!(fetch(&bob, root.cid, from(&[&alice])).await.unwrap(), dag);
    assert!(read(&bob, root.cid).await == file, "other bytes");
    let received = bob.handle.block_stats().await.unwrap().received;
    assert_eq!(received, root.dag_size, "nothing came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_found_in_the_dht() {
    let (hub, alice, bob) = relayed("dht").await;
    let (root, dag) = add(&alice, bytes(100_000)).await;
    // Nobody tells bob who has it, and it is connected with the hub alone.
    assert_eq!(bob.handle.topology().await.unwrap().0.links.keys().collect::<Vec<_>>(), [&hub.node()]);
    let limits = Limits { patience_ms: 18_000, ..Limits::default() };
    let options = FetchOptions { limits, ..FetchOptions::default() };
    let started = millis();
    assert_eq!(fetch(&bob, root.cid, options).await.unwrap(), dag);
    println!("found in the DHT and fetched in {} ms", millis() - started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_not_believed() {
    let (hub, alice, _) = relayed("liar").await;
    let bob = Member::leaf("liar", "bob", &[hub.tcp()], Reach::Tcp).await;
    bob.until_joined(&hub).await;
    let file = bytes(3_000_000);
    let (root, dag) = add(&alice, file.clone()).await;
    let other = Block::raw(bytes(50_000)).unwrap();
    let liar = Liar::connect(&[&bob], other.clone()).await;
    let failed = fetch(&bob, root.cid, impatient(vec![liar.peer()])).await.unwrap_err();
    assert_eq!(*failed, FetchFailed { error: BlocksError::NotFound(root.cid), kept: Vec::new() });
    assert!(liar.lies() > 0, "it was asked, and lied");
    assert_eq!((kept(&bob).await, bob.handle.has(*other.cid()).await.unwrap()), (0, None));
    // With somebody honest beside it, all comes.
    let options = FetchOptions { from: vec![liar.peer(), alice.identity.peer_id()], ..FetchOptions::default() };
    assert_eq!(fetch(&bob, root.cid, options).await.unwrap(), dag);
    assert!(read(&bob, root.cid).await == file, "other bytes");
    assert_eq!(kept(&hub).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_in_a_private_mesh_gets_nothing_and_gives_nothing() {
    let [founder, member] = [(); 2].map(|()| Identity::generate().unwrap());
    let (name, founders) = ("private".to_owned(), vec![founder.node()]);
    let charter = Charter { v: charter::VERSION, name, founders, threshold: 1, voters: vec![], open: false };
    let alice = Member::private("alice", Config::chartered(founder, charter).unwrap(), &[]).await;
    let pass = alice.handle.issue(member.node(), (Role::Member, 0)).await.unwrap().unwrap();
    let bob = Member::private("bob", Config::admitted(member, pass).unwrap(), &[alice.tcp()]).await;
    until_heard(&alice, &bob).await;
    let (root, dag) = add(&alice, bytes(100_000)).await;

    let secret = Block::raw(bytes(10_000)).unwrap();
    let mut eve = Liar::connect(&[&alice, &bob], secret.clone()).await;
    eve.want(root.cid);
    // It has the very block that bob looks for, and is not asked for it.
    let failed = fetch(&bob, *secret.cid(), impatient(vec![eve.peer()])).await.unwrap_err();
    assert_eq!(failed.error, BlocksError::NotFound(*secret.cid()));
    // Members get what they ask for meanwhile.
    assert_eq!(fetch(&bob, root.cid, from(&[&alice])).await.unwrap(), dag);
    // Whoever says nothing about who it is loses its link, and by then has had all that it ever gets.
    within("it is turned away", eve.until_alone()).await;
    assert_eq!((eve.lies(), eve.got()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_is_an_error_and_the_node_goes_on() {
    let hub = Member::hub("full", "hub", &[]).await;
    let alice = Member::leaf("full", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::storing("full", "bob", &[hub.tcp()], Arc::new(MemoryBlocks::new(2_000_000))).await;
    alice.until_joined(&hub).await;
    bob.until_joined(&hub).await;
    let (root, _) = add(&alice, bytes(5_000_000)).await;
    let full = BlocksError::Store(BlockStoreError::Full);

    let failed = fetch(&bob, root.cid, from(&[&alice])).await.unwrap_err();
    assert_eq!(failed.error, full);
    let stats = bob.handle.block_stats().await.unwrap();
    assert_eq!(stats.blocks, failed.kept.len());
    assert!(stats.bytes <= 2_000_000);
    bob.handle.remove(failed.kept.iter().map(|(cid, _)| *cid).collect()).await.unwrap().unwrap();

    let refused = within("added", bob.handle.add_file(bytes(5_000_000))).await.unwrap().unwrap_err();
    assert_eq!((refused, kept(&bob).await), (full, 0));
    // Reading needs no room.
    assert!(
        within("read", bob.handle.read(root.cid, ReadOptions::default())).await.unwrap().unwrap().concat()
            == bytes(5_000_000)
    );
    let (small, dag) = add(&bob, bytes(1_900_000)).await;
    assert_eq!(fetch(&alice, small.cid, from(&[&bob])).await.unwrap(), dag);
    common::member::exchange(&alice, &bob).await;
}
