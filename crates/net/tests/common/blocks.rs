//! Stores that give blocks when they are told to, and a peer that speaks Bitswap and lies.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, SwarmBuilder, noise, tcp, yamux};
use mesh_bitswap::{Behaviour, Event, Found, Look};
use mesh_net::Identity;
use mesh_net::blocks::{BlockStore, BlockStoreError, MemoryBlocks};
use mesh_unixfs::Block;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::member::Member;
use super::within;

/// A store of which so many different blocks can be read.
#[derive(Debug)]
pub(crate) struct Slow {
    store: MemoryBlocks,
    given: Arc<(Mutex<BTreeSet<Cid>>, watch::Sender<usize>)>,
}

impl Slow {
    /// All of them, for now.
    pub(crate) fn new() -> Self {
        let given = Arc::new((Mutex::default(), watch::Sender::new(usize::MAX)));
        Self { store: MemoryBlocks::new(u64::MAX), given }
    }

    /// Lets so many be read; who wants another one waits.
    pub(crate) fn give(&self, blocks: usize) {
        self.given.1.send_replace(blocks);
    }
}

impl BlockStore for Slow {
    fn list(&self) -> BoxFuture<'static, Result<Vec<(Cid, u64)>, BlockStoreError>> {
        self.store.list()
    }

    fn get(&self, cid: Cid) -> BoxFuture<'static, Result<Option<Bytes>, BlockStoreError>> {
        let (got, given) = (self.store.get(cid), self.given.clone());
        Box::pin(async move {
            let (asked, limit) = &*given;
            let may = |limit: &usize| {
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.contains(&cid) || asked.len() < *limit && asked.insert(cid)
            };
            // One that is never given more of waits until its node is gone.
            let _ = limit.subscribe().wait_for(may).await;
            got.await
        })
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'static, Result<(), BlockStoreError>> {
        self.store.put(blocks)
    }

    fn delete(&self, cids: Vec<Cid>) -> BoxFuture<'static, Result<(), BlockStoreError>> {
        self.store.delete(cids)
    }
}

/// An IPFS peer, and no member of any mesh. Whatever it is asked for, it says it has it and sends the same block.
pub(crate) struct Liar {
    peer: PeerId,
    counts: Arc<Counts>,
    wants: mpsc::Sender<Cid>,
    links: watch::Receiver<usize>,
    swarm: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    lies: AtomicUsize,
    got: AtomicUsize,
}

impl Liar {
    /// Connects to `targets`.
    pub(crate) async fn connect(targets: &[&Member], block: Block) -> Self {
        let identity = Identity::generate().expect("the system has randomness");
        let mut swarm = SwarmBuilder::with_existing_identity(identity.libp2p().clone())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|_| Behaviour::default())
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(super::LIMIT))
            .build();
        for target in targets {
            let address = target.tcp();
            swarm.dial(address).expect("dialled");
            let established =
                async { while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {} };
            within("the liar is connected", established).await;
        }
        let counts = Arc::new(Counts::default());
        let (wants, mut wanted) = mpsc::channel::<Cid>(4);
        let (links, watched) = watch::channel(targets.len());
        let told = counts.clone();
        let swarm = tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = swarm.select_next_some() => event,
                    Some(cid) = wanted.next() => {
                        swarm.behaviour_mut().want(cid, &[]).expect("room");
                        continue;
                    }
                };
                if let SwarmEvent::Behaviour(Event::Look(Look { peer, cid, .. })) = event {
                    told.lies.fetch_add(1, Ordering::Relaxed);
                    swarm.behaviour_mut().looked(peer, cid, Found::Block(block.clone()));
                } else if let SwarmEvent::Behaviour(Event::Got { .. }) = event {
                    told.got.fetch_add(1, Ordering::Relaxed);
                } else if let SwarmEvent::ConnectionClosed { .. } = event {
                    links.send_replace(swarm.connected_peers().count());
                }
            }
        });
        Self { peer: identity.peer_id(), counts, wants, links: watched, swarm }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// How often it was asked, and lied.
    pub(crate) fn lies(&self) -> usize {
        self.counts.lies.load(Ordering::Relaxed)
    }

    /// How many of the blocks that it wants it was given.
    pub(crate) fn got(&self) -> usize {
        self.counts.got.load(Ordering::Relaxed)
    }

    /// Asks everybody for a block.
    pub(crate) fn want(&mut self, cid: Cid) {
        self.wants.try_send(cid).expect("room");
    }

    /// Waits until nobody is connected with it any more.
    pub(crate) async fn until_alone(&mut self) {
        self.links.wait_for(|links| *links == 0).await.expect("it runs");
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}
