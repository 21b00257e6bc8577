//! Knowledge between members, over real sockets: what one writes the others know, and what it holds is there when it is gone.

#![allow(clippy::print_stdout, reason = "tests tell what they measured")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::member::Member;
use common::{millis, within};
use futures::future::{BoxFuture, ready};
use mesh_core::knowledge::{Kept, Refused};
use mesh_core::records::Change as Record;
use mesh_net::blocks::MemoryBlocks;
use mesh_net::{Config, Identity, Multiaddr, NoHost, PutError, PutOptions, Store, StoreError};
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{Change, Domain};

/// A store in memory, which outlives its node.
#[derive(Clone, Debug, Default)]
struct Records(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Store for Records {
    fn load(&self) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, StoreError>> {
        Box::pin(ready(Ok(self.0.lock().unwrap().clone().into_iter().collect())))
    }

    fn write(&self, changes: Vec<Record>) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut records = self.0.lock().unwrap();
        for Record { key, value } in changes {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        Box::pin(ready(Ok(())))
    }
}

/// What a node has that starts again.
#[derive(Clone)]
struct Disk {
    identity: Identity,
    records: Records,
    blocks: Arc<MemoryBlocks>,
}

impl Disk {
    fn new() -> Self {
        let identity = Identity::generate().unwrap();
        Self { identity, records: Records::default(), blocks: Arc::new(MemoryBlocks::new(64 << 20)) }
    }

    async fn start(&self, mesh: &str, name: &'static str, hubs: &[Multiaddr]) -> Member {
        let mut config = Config {
            relays: hubs.to_vec(),
            entries: Some(Arc::new(self.records.clone())),
            blocks: Some(self.blocks.clone()),
            ..Config::new(self.identity.clone(), mesh).unwrap()
        };
        config.core.knowledge.offer = Some(Storage { bytes: 64 << 20, native: true, zone: String::new() });
        config.core.knowledge.holding.lost_ms = 500;
        Member::start(name, config, NoHost).await
    }
}

fn shared() -> Domain {
    Domain::shared("shared")
}

/// Asks until the key is as it should be.
async fn known(member: &Member, key: &str, is: impl Fn(&[Kept]) -> bool) -> Vec<Kept> {
    loop {
        let before = member.journal().entries;
        let known = member.handle.known(shared(), key.to_owned()).await.unwrap();
        if is(&known) {
            return known;
        }
        member.until("another entry", |journal| (journal.entries > before).then_some(())).await;
    }
}

async fn read(member: &Member, key: &str) -> Vec<u8> {
    let known = known(member, key, |known| !known.is_empty()).await;
    let content = known[0].content(0).unwrap();
    within("it is read", member.handle.content(content, 10_000, None)).await.unwrap().unwrap().concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_writes_is_held_by_three_others_and_outlives_it() {
    let hub = Member::hub("outlives", "hub", &[]).await;
    let disks: Vec<_> = (0..5).map(|_| Disk::new()).collect();
    let mut members = Vec::new();
    for (disk, name) in disks.iter().zip(["ada", "ben", "cas", "dee", "eve"]) {
        let member = disk.start("outlives", name, &[hub.tcp()]).await;
        member.until_joined(&hub).await;
        member.announce(name, &[]).await;
        members.push(member);
    }
    for member in &members {
        member.until("all are known", |journal| (journal.agents.len() == 4).then_some(())).await;
    }

    let value = Bytes::from(vec![7; 300_000]);
    let began = millis();
    let put = members[0].handle.put(shared(), "a".to_owned(), value.clone(), PutOptions::default());
    let put = within("it is put", put).await.unwrap().unwrap();
    println!("300 kB held by three others after {} ms", millis() - began);
    assert_eq!(put.placed.len(), 3);
    assert!(put.placed.iter().all(|node| put.holders.contains(node)), "{put:?}");
    assert!(!put.placed.contains(&disks[0].identity.node()), "its author does not count");
    let mut holders = members[4].handle.who_has(put.content.cid).await.unwrap();
    holders.retain(|node| *node != disks[0].identity.node());
    let placed = put.placed.clone();
    assert!(placed.iter().all(|node| holders.contains(node)), "{holders:?} of {placed:?}");

    // Its author goes, and two of the three, one after the other.
    members[0].handle.close().await;
    for gone in &put.placed[..2] {
        let at = disks.iter().position(|disk| disk.identity.node() == *gone).unwrap();
        members[at].handle.close().await;
    }
    let left = (1..5).find(|n| !put.placed[..2].contains(&disks[*n].identity.node())).unwrap();
    assert!(read(&members[left], "a").await == value, "other bytes");

    // Who starts again has it all.
    members[left].handle.close().await;
    let again = disks[left].start("outlives", "again", &[hub.tcp()]).await;
    assert_eq!(known(&again, "a", |known| !known.is_empty()).await[0].version, put.version);
    assert!(read(&again, "a").await == value, "other bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_write_at_once_are_siblings_and_what_is_taken_away_stays_away() {
    let hub = Member::hub("siblings", "hub", &[]).await;
    let (ada, ben) = (Disk::new(), Disk::new());
    // Neither knows of the other yet.
    let lone = ada.start("siblings", "ada", &[]).await;
    let put = lone.handle.put(shared(), "a".to_owned(), Bytes::from_static(b"one"), PutOptions::default());
    let one = within("it is put", put).await.unwrap().unwrap();
    assert_eq!((one.placed, one.holders), (vec![], vec![ada.identity.node()]), "nobody else is there");
    lone.handle.close().await;
    let bob = ben.start("siblings", "ben", &[hub.tcp()]).await;
    let put = bob.handle.put(shared(), "a".to_owned(), Bytes::from_static(b"two"), PutOptions::default());
    within("it is put", put).await.unwrap().unwrap();

    let alice = ada.start("siblings", "ada", &[hub.tcp()]).await;
    let both = known(&alice, "a", |known| known.len() == 2).await;
    assert_eq!(known(&bob, "a", |known| known.len() == 2).await, both, "in the same order");
    assert_eq!(read(&alice, "a").await, b"two", "the last writer");
    // One that knows both replaces both.
    alice.handle.write(shared(), "a".to_owned(), Change::Delete, None).await.unwrap().unwrap();
    let gone = known(&bob, "a", |known| known.len() == 1).await;
    assert_eq!(gone[0].change, Change::Delete);
    let digests = [alice.handle.domains().await.unwrap(), bob.handle.domains().await.unwrap()];
    assert_eq!(digests[0], digests[1]);

    // Only its owner writes in a domain of its own, and whom it lets.
    let own = Domain { name: "own".to_owned(), owner: Some(ada.identity.node()) };
    let refused = bob.handle.write(own.clone(), "x".to_owned(), Change::Delete, None).await.unwrap();
    assert!(matches!(refused, Err(PutError::Entry(mesh_core::knowledge::Error::Refused(Refused::NotAWriter)))));
    let grant = Change::Grant(vec![ben.identity.node()]);
    alice.handle.write(own.clone(), String::new(), grant, None).await.unwrap().unwrap();
    loop {
        let before = bob.journal().entries;
        if bob.handle.write(own.clone(), "x".to_owned(), Change::Delete, None).await.unwrap().is_ok() {
            break;
        }
        bob.until("the grant", |journal| (journal.entries > before).then_some(())).await;
    }
}
