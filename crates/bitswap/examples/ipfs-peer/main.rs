//! An IPFS peer with a store in memory: a swarm with Bitswap and identify, over TCP and WebSocket. It is what
//! `tests/interop` runs against Helia.
//!
//! It takes calls on standard input, a line of JSON each: `{"id": 1, "method": "add", "args": ["hello"]}`, and answers each
//! with a line, in any order: `{"id": 1, "result": …}` or `{"id": 1, "error": "…"}`. It ends with its input.
//!
//! | method | does |
//! |---|---|
//! | `start()` | our peer id |
//! | `addresses()` | where we listen |
//! | `dial(address)`, `knows(peer)` | connects; ends when a peer is connected |
//! | `add(tree, layout)` | keeps a file (a text, or a number of bytes of xorshift) or directory (an object); its CID |
//! | `fetch(cid, limit)` | all files below a CID, from whoever has them: path, length and SHA-256 |
//! | `block(cid, limit)` | one block: length and SHA-256 |
//! | `has(cid)`, `delete(cid)` | of the store |
//! | `want(cids)`, `cancel(cids)` | what is asked of others; what comes is kept |
//! | `got(cid)`, `searched(cid)` | ends when it is here; when nobody that we are connected with has it |
//! | `figures()` | of the behaviour |

mod calls;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use cid::Cid;
use futures::StreamExt as _;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use mesh_bitswap::{Behaviour, Event, Found, Look};
use mesh_unixfs::Block;
use serde_json::Value;
use tokio::sync::mpsc;

use calls::Calls;

const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"];

#[derive(NetworkBehaviour)]
struct Protocols {
    bitswap: Behaviour,
    // Helia asks those for blocks that have told it that they speak Bitswap.
    identify: identify::Behaviour,
}

/// What the peer knows beside what its behaviour does.
struct Peer {
    swarm: Swarm<Protocols>,
    store: BTreeMap<Cid, Block>,
    searched: BTreeSet<Cid>,
    bad: Vec<String>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut peer = Peer { swarm: swarm().await?, store: BTreeMap::new(), searched: BTreeSet::new(), bad: Vec::new() };
    peer.listen().await?;
    let mut lines = input();
    let mut calls = Calls::default();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => calls.call(&line, &mut peer)?,
                None => return Ok(()),
            },
            event = peer.swarm.select_next_some() => peer.on(event, &mut calls),
            Some(id) = calls.limits.next() => calls.out_of_time(id, &mut peer),
        }
        calls.settle(&mut peer);
        for answer in calls.answers.drain(..) {
            writeln!(std::io::stdout(), "{answer}")?;
        }
    }
}

async fn swarm() -> Result<Swarm<Protocols>, Failure> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux)?
        .with_websocket(noise::Config::new, yamux)
        .await?
        .with_behaviour(|key| Protocols {
            bitswap: Behaviour::default(),
            identify: identify::Behaviour::new(identify::Config::new("/ipfs/id/1.0.0".to_owned(), key.public())),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build())
}

/// Helia's yamux sends frames as long as a stream's window, and ours closes a connection with one of more than 1 MiB. Each
/// stream has 256 KiB of the connection's 1 GiB, and what so many leave of it is shared by all: no window passes 1 MiB.
fn yamux() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(4096 - 3);
    config
}

/// The lines of standard input, which is read in a thread of its own: only so it does not hold up the end.
fn input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Peer {
    async fn listen(&mut self) -> Result<(), Failure> {
        for address in LISTEN {
            self.swarm.listen_on(address.parse()?)?;
        }
        while self.swarm.listeners().count() < LISTEN.len() {
            self.swarm.select_next_some().await;
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<Multiaddr> {
        let id = *self.swarm.local_peer_id();
        self.swarm.listeners().cloned().map(|address| address.with_p2p(id).unwrap_or_else(|address| address)).collect()
    }

    fn bitswap(&mut self) -> &mut Behaviour {
        &mut self.swarm.behaviour_mut().bitswap
    }

    fn keep(&mut self, block: Block) {
        self.bitswap().added(block.cid());
        self.store.insert(*block.cid(), block);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a swarm tells much that means nothing here")]
    fn on(&mut self, event: SwarmEvent<ProtocolsEvent>, calls: &mut Calls) {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Bitswap(event)) => self.on_bitswap(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                calls.dialled(connection_id, Ok(peer_id))
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                calls.dialled(connection_id, Err(error.to_string()));
            }
            _ => {}
        }
    }

    fn on_bitswap(&mut self, event: Event) {
        match event {
            Event::Got { block, .. } => self.keep(block),
            Event::Look(Look { peer, cid, read }) => {
                let found = match self.store.get(&cid) {
                    None => Found::Nothing,
                    Some(block) if read => Found::Block(block.clone()),
                    Some(block) => Found::Size(block.data().len()),
                };
                self.bitswap().looked(peer, cid, found);
            }
            Event::Search(cid) => {
                self.searched.insert(cid);
            }
            Event::Bad { peer, error } => self.bad.push(format!("{peer}: {error}")),
        }
    }

    fn figures(&self) -> Value {
        let bitswap = &self.swarm.behaviour().bitswap;
        let (client, server) = (bitswap.client(), bitswap.server());
        serde_json::json!({
            "blocks": self.store.len(),
            "wanted": client.wanted(),
            "unwanted": client.unwanted(),
            "wantedByOthers": server.wanted(),
            "refused": server.refused(),
            "bad": self.bad,
        })
    }
}
