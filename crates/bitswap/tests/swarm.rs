//! Real swarms over TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::slice;
use std::task::Poll;
use std::time::Duration;

use cid::Cid;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use mesh_bitswap::message::{Ask, Entry, Message};
use mesh_bitswap::{Behaviour, Event, Found, Look, MAX_STREAMS, PROTOCOL};
use mesh_unixfs::Block;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// A node with a store. Whatever comes is put into it.
struct Node {
    swarm: Swarm<Behaviour>,
    store: BTreeMap<Cid, Block>,
    address: Multiaddr,
    bad: Vec<(PeerId, String)>,
    searches: BTreeSet<Cid>,
}

fn swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| behaviour)
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(LIMIT))
        .build()
}

impl Node {
    async fn start(blocks: &[Block]) -> Self {
        Self::start_as(Behaviour::default(), blocks).await
    }

    async fn start_as(behaviour: Behaviour, blocks: &[Block]) -> Self {
        let mut swarm = swarm(behaviour);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("listens");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let store = blocks.iter().map(|block| (*block.cid(), block.clone())).collect();
        Self { swarm, store, address, bad: Vec::new(), searches: BTreeSet::new() }
    }

    fn id(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    fn on(&mut self, event: SwarmEvent<Event>) {
        let SwarmEvent::Behaviour(event) = event else { return };
        match event {
            Event::Got { block, .. } => {
                self.swarm.behaviour_mut().added(block.cid());
                self.store.insert(*block.cid(), block);
            }
            Event::Look(Look { peer, cid, read }) => {
                let found = match self.store.get(&cid) {
                    None => Found::Nothing,
                    Some(block) if read => Found::Block(block.clone()),
                    Some(block) => Found::Size(block.data().len()),
                };
                self.swarm.behaviour_mut().looked(peer, cid, found);
            }
            Event::Search(cid) => {
                self.searches.insert(cid);
            }
            Event::Bad { peer, error } => self.bad.push((peer, error.to_string())),
        }
    }
}

/// Runs them all until `done`, which is asked after all that happens, told or not.
async fn run(nodes: &mut [Node], done: impl Fn(&[Node]) -> bool) {
    let all = poll_fn(|cx| {
        loop {
            let mut idle = true;
            for node in &mut *nodes {
                while let Poll::Ready(Some(event)) = node.swarm.poll_next_unpin(cx) {
                    node.on(event);
                    idle = false;
                }
            }
            if done(nodes) {
                return Poll::Ready(());
            }
            if idle {
                return Poll::Pending;
            }
        }
    });
    timeout(LIMIT, all).await.expect("it comes to an end");
}

fn block(i: usize, bytes: usize) -> Block {
    let data = (0..bytes).map(|at| (at.wrapping_mul(31) ^ i) as u8).chain((i as u64).to_le_bytes());
    Block::raw(data.collect::<Vec<_>>()).expect("it fits")
}

#[tokio::test]
async fn blocks_of_all_sizes_come() {
    let sizes = [0, 1, 1000, 1024, 20_000, 256 * 1024, 1024 * 1024, mesh_unixfs::MAX_BLOCK - 8];
    let blocks: Vec<_> = (0..200).map(|i| block(i, sizes[i % if i < 40 { 8 } else { 5 }])).collect();
    let mut nodes = [Node::start(&blocks).await, Node::start(&[]).await];
    let address = nodes[0].address.clone();
    nodes[1].swarm.dial(address).expect("dials");
    for block in &blocks {
        nodes[1].swarm.behaviour_mut().want(*block.cid(), &[]).expect("room");
    }
    run(&mut nodes, |nodes| nodes[1].store.len() == blocks.len()).await;
    assert!(blocks.iter().all(|block| nodes[1].store[block.cid()] == *block));
    // Nothing is left of it at either.
    run(&mut nodes, |nodes| nodes[0].swarm.behaviour().server().wanted() == 0).await;
    assert_eq!(nodes[1].swarm.behaviour().client().wanted(), 0);
}

#[tokio::test]
async fn each_half_comes_from_whoever_has_it_and_what_comes_later_is_sent_then() {
    let blocks: Vec<_> = (0..60).map(|i| block(i, 10_000)).collect();
    let mut nodes = [Node::start(&blocks[..30]).await, Node::start(&blocks[30..59]).await, Node::start(&[]).await];
    for i in 0..2 {
        let address = nodes[i].address.clone();
        nodes[2].swarm.dial(address).expect("dials");
    }
    for block in &blocks {
        nodes[2].swarm.behaviour_mut().want(*block.cid(), &[]).expect("room");
    }
    let last = *blocks[59].cid();
    run(&mut nodes, |nodes| nodes[2].store.len() == 59 && nodes[2].searches.contains(&last)).await;
    // The server still knows who waits.
    nodes[0].store.insert(last, blocks[59].clone());
    nodes[0].swarm.behaviour_mut().added(&last);
    run(&mut nodes, |nodes| nodes[2].store.len() == 60).await;
}

#[tokio::test]
async fn when_a_peer_goes_another_is_asked() {
    let blocks: Vec<_> = (0..40).map(|i| block(i, 100_000)).collect();
    let (first, second, mut third) = (Node::start(&blocks).await, Node::start(&blocks).await, Node::start(&[]).await);
    third.swarm.dial(first.address.clone()).expect("dials");
    third.swarm.dial(second.address.clone()).expect("dials");
    let from = first.id();
    let mut nodes = [first, second, third];
    run(&mut nodes, |nodes| nodes[2].swarm.connected_peers().count() == 2).await;
    for block in &blocks {
        nodes[2].swarm.behaviour_mut().want(*block.cid(), &[from]).expect("room");
    }
    run(&mut nodes, |nodes| !nodes[2].store.is_empty()).await;
    let [first, second, third] = nodes;
    drop(first);
    let mut nodes = [second, third];
    run(&mut nodes, |nodes| nodes[1].store.len() == blocks.len()).await;
}

/// Sends `bytes` on a stream of its own.
async fn attack(node: &mut Node, bytes: &[u8]) -> PeerId {
    let mut attacker = swarm(libp2p_stream::Behaviour::new());
    let mut control = attacker.behaviour().new_control();
    attacker.dial(node.address.clone()).expect("dials");
    let id = *attacker.local_peer_id();
    let target = node.id();
    let send = async move {
        loop {
            let Ok(mut stream) = control.open_stream(target, PROTOCOL).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let _ = stream.write_all(bytes).await;
            let _ = stream.flush().await;
            // Until it is reset.
            let _ = stream.read(&mut [0]).await;
            return;
        }
    };
    let run = async {
        tokio::select! {
            () = send => {}
            () = async { loop { attacker.select_next_some().await; } } => {}
            () = async { loop { let event = node.swarm.select_next_some().await; node.on(event); } } => {}
        }
    };
    timeout(LIMIT, run).await.expect("the stream is reset");
    id
}

#[tokio::test]
async fn what_is_no_message_ends_the_stream_and_is_told() {
    let mut node = Node::start(&[block(1, 10)]).await;
    // 4 GiB claimed; a varint that is none; no protobuf; a payload of a hash that is not taken.
    let cases: [(&[u8], &str); 4] = [
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], "4194304"),
        (&[0xff; 12], "4194304"),
        (&[4, 0xff, 0xff, 0xff, 0xff], "protobuf"),
        (&[9, 0x1a, 7, 0x0a, 4, 0x01, 0x55, 0x13, 0x40, 0x12], ""),
    ];
    for (bytes, told) in cases {
        let attacker = attack(&mut node, bytes).await;
        let (peer, error) = node.bad.pop().expect("it is told");
        assert!(
            peer == attacker && (error.contains(told) || told == "protobuf" && error.contains("Bitswap")),
            "{error}"
        );
    }
}

/// Helia resets a stream on which nothing has come for 10 s, whatever is on its way.
#[tokio::test]
async fn a_stream_that_is_not_needed_any_more_is_closed() {
    let x = block(1, 10);
    let mut node = Node::start(slice::from_ref(&x)).await;
    let mut remote = swarm(libp2p_stream::Behaviour::new());
    let mut control = remote.behaviour().new_control();
    let mut streams = control.accept(PROTOCOL).expect("nobody else does");
    remote.dial(node.address.clone()).expect("dials");
    let id = node.id();
    let read = async {
        let mut asking = loop {
            match control.open_stream(id, PROTOCOL).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let entry = Entry { cid: *x.cid(), ask: Ask::Block, say_dont_have: false, priority: 1 };
        let want = Message { wants: vec![entry], ..Message::default() };
        asking.write_all(&want.encode()).await.expect("it is written");
        let (_, mut stream) = streams.next().await.expect("a stream");
        let mut answer = Vec::new();
        // To its end, which is no reset.
        stream.read_to_end(&mut answer).await.expect("it is closed");
        assert_eq!(answer, Message { blocks: vec![x.clone()], ..Message::default() }.encode());
    };
    let run = async {
        tokio::select! {
            () = read => {}
            () = async { loop { remote.select_next_some().await; } } => {}
            () = async { loop { let event = node.swarm.select_next_some().await; node.on(event); } } => {}
        }
    };
    timeout(LIMIT, run).await.expect("the stream is closed");
}

#[tokio::test]
async fn so_many_streams_of_a_connection_are_read() {
    let x = block(1, 10);
    let entry = Entry { cid: *x.cid(), ask: Ask::Block, say_dont_have: false, priority: 1 };
    let want = Message { wants: vec![entry], ..Message::default() }.encode();
    let mut node = Node::start(slice::from_ref(&x)).await;
    let mut remote = swarm(libp2p_stream::Behaviour::new());
    let mut control = remote.behaviour().new_control();
    let mut answers = control.accept(PROTOCOL).expect("nobody else does");
    remote.dial(node.address.clone()).expect("dials");
    let id = node.id();
    let ask = async {
        let mut streams = Vec::new();
        while streams.len() < MAX_STREAMS {
            match control.open_stream(id, PROTOCOL).await {
                Ok(stream) => streams.push(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        // One more is reset.
        let mut over = control.open_stream(id, PROTOCOL).await.expect("it is negotiated");
        let _ = over.write_all(&want).await;
        assert!(!matches!(over.read(&mut [0]).await, Ok(1..)));
        // The last of the others is read, and so is a further one when another has ended.
        streams[MAX_STREAMS - 1].write_all(&want).await.expect("it is open");
        let (_, mut answer) = answers.next().await.expect("an answer");
        assert_eq!(answer.read(&mut [0]).await.expect("the block"), 1);
        let mut first = streams.swap_remove(0);
        first.close().await.expect("it is open");
        assert_eq!(first.read(&mut [0]).await.expect("closed there too"), 0);
        let mut further = control.open_stream(id, PROTOCOL).await.expect("it is negotiated");
        further.write_all(&want).await.expect("it is open");
        let mut rest = vec![0; 2 * x.data().len()];
        answer.read_exact(&mut rest).await.expect("the block again");
    };
    let run = async {
        tokio::select! {
            () = ask => {}
            () = async { loop { remote.select_next_some().await; } } => {}
            () = async { loop { let event = node.swarm.select_next_some().await; node.on(event); } } => {}
        }
    };
    timeout(LIMIT, run).await.expect("all are answered");
}

#[tokio::test]
async fn who_does_not_speak_it_is_passed_over() {
    let x = block(1, 10);
    let mut deaf = swarm(libp2p::swarm::dummy::Behaviour);
    deaf.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("listens");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = deaf.select_next_some().await {
            break address;
        }
    };
    tokio::spawn(async move {
        loop {
            deaf.select_next_some().await;
        }
    });
    let mut nodes = [Node::start(&[]).await];
    nodes[0].swarm.dial(address).expect("dials");
    run(&mut nodes, |nodes| nodes[0].swarm.connected_peers().count() == 1).await;
    nodes[0].swarm.behaviour_mut().want(*x.cid(), &[]).expect("room");
    run(&mut nodes, |nodes| nodes[0].searches.contains(x.cid())).await;
}

#[tokio::test]
async fn a_want_that_nobody_can_fulfil_is_cancelled_at_the_server_too() {
    let absent = block(7, 100);
    let mut nodes = [Node::start(&[]).await, Node::start(&[]).await];
    let address = nodes[0].address.clone();
    nodes[1].swarm.dial(address).expect("dials");
    nodes[1].swarm.behaviour_mut().want(*absent.cid(), &[]).expect("room");
    run(&mut nodes, |nodes| nodes[0].swarm.behaviour().server().wanted() == 1).await;
    nodes[1].swarm.behaviour_mut().cancel(absent.cid());
    run(&mut nodes, |nodes| nodes[0].swarm.behaviour().server().wanted() == 0).await;
}

#[tokio::test]
async fn a_closed_one_neither_asks_nor_answers_until_a_peer_is_let_in() {
    let (here, there) = (block(1, 50_000), block(2, 50_000));
    let has_both = |node: &Node| node.store.len() == 2;
    let mut nodes = [
        Node::start_as(Behaviour::closed(), slice::from_ref(&here)).await,
        Node::start(slice::from_ref(&there)).await,
        Node::start(&[]).await,
    ];
    for i in 1..3 {
        let address = nodes[0].address.clone();
        nodes[i].swarm.dial(address).expect("dials");
        nodes[i].swarm.behaviour_mut().want(*here.cid(), &[]).expect("room");
    }
    nodes[0].swarm.behaviour_mut().want(*there.cid(), &[]).expect("room");
    // Whoever is let in gets what it has asked for before; by then the other has asked too, and was not heard.
    run(&mut nodes, |nodes| nodes[0].swarm.connected_peers().count() == 2).await;
    let friend = nodes[2].id();
    nodes[0].swarm.behaviour_mut().admit(friend);
    run(&mut nodes, |nodes| nodes[2].store.contains_key(here.cid())).await;
    assert_eq!((nodes[1].store.len(), nodes[1].swarm.behaviour().server().wanted()), (1, 0));
    let other = nodes[1].id();
    nodes[0].swarm.behaviour_mut().admit(other);
    run(&mut nodes, |nodes| has_both(&nodes[0]) && has_both(&nodes[1])).await;
    // Who comes back has to be let in again.
    let _ = nodes[0].swarm.disconnect_peer_id(other);
    run(&mut nodes, |nodes| nodes[0].swarm.connected_peers().count() == 1).await;
    let address = nodes[0].address.clone();
    nodes[1].swarm.dial(address).expect("dials");
    run(&mut nodes, |nodes| nodes[0].swarm.connected_peers().count() == 2).await;
    let later = block(3, 50_000);
    nodes[0].store.insert(*later.cid(), later.clone());
    for node in &mut nodes[1..] {
        node.swarm.behaviour_mut().want(*later.cid(), &[]).expect("room");
    }
    run(&mut nodes, |nodes| nodes[2].store.contains_key(later.cid())).await;
    assert!(!nodes[1].store.contains_key(later.cid()));
}

#[tokio::test]
async fn bytes_that_were_sent_are_counted() {
    let blocks: Vec<_> = (0..10).map(|i| block(i, 10_000)).collect();
    let mut nodes = [Node::start(&blocks).await, Node::start(&[]).await];
    let address = nodes[0].address.clone();
    nodes[1].swarm.dial(address).expect("dials");
    for block in &blocks {
        nodes[1].swarm.behaviour_mut().want(*block.cid(), &[]).expect("room");
    }
    run(&mut nodes, |nodes| nodes[1].store.len() == 10).await;
    assert_eq!(nodes[0].swarm.behaviour().server().all_sent(), 10 * 10_008);
}
