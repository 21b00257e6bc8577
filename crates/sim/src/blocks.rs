//! Blocks of simulated hosts: what a host has on its disk, and how it gets more. A content is one block here, and of its bytes
//! only the number is simulated; its name is a hash of who made it up.
//!
//! A fetch asks one host after another, dials those to which there is no link, and goes on when one has it not, is gone or
//! cannot be reached.

use std::collections::VecDeque;

use cid::Cid;
use cid::multihash::Multihash;
use mesh_core::knowledge::{Blocks, Command, Error, Written};
use mesh_core::node::Input;
use mesh_proto::NodeId;
use mesh_proto::knowledge::{Change, Content, Domain};

use crate::conn::ConnId;
use crate::frame::Frame;
use crate::id::HostId;
use crate::world::World;

/// A content that is being fetched.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// Who is asked after this one.
    next: VecDeque<NodeId>,
    /// Who is dialled or asked.
    at: Option<HostId>,
}

/// The name of content that `author` has made up as its `number`th.
pub fn content(author: NodeId, number: u64) -> Cid {
    let mut digest = author.0;
    for (byte, other) in digest.iter_mut().zip(number.to_be_bytes()) {
        *byte ^= other;
    }
    // A name for each, which is all that a hash is here for.
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).expect("32 bytes are a digest"))
}

impl World {
    /// A host puts `size` bytes under a key, to be held by three others. Nothing while its process does not run.
    pub fn share(&mut self, host: HostId, domain: Domain, key: String, size: u64) -> Option<Result<Written, Error>> {
        let number = self.number();
        let cid = content(self.node_id(host), number);
        self.write_disk(host, cid, size);
        let content = Content { cid, size, replicas: 3, kind: String::new(), metadata: None };
        self.with(host, |node, now| {
            node.handle(Input::Blocks(Blocks::Fetched { cid, blocks: vec![(cid, size)] }), now);
            node.write(domain, key, Change::Put(content), None, now)
        })
    }

    /// A host takes a key away.
    pub fn take_away(&mut self, host: HostId, domain: Domain, key: String) -> Option<Result<Written, Error>> {
        self.with(host, |node, now| node.write(domain, key, Change::Delete, None, now))
    }

    /// Whether content is on a host's disk, and the host up.
    pub fn has(&self, host: HostId, cid: &Cid) -> bool {
        self.node(host).is_some() && self.host(host).disk.contains_key(cid)
    }

    fn write_disk(&mut self, host: HostId, cid: Cid, size: u64) {
        self.host_mut(host).disk.insert(cid, size);
    }

    pub(crate) fn blocks_wanted(&mut self, id: HostId, command: Command) {
        match command {
            Command::Fetch { cid, size: _, from } => {
                let Some(process) = self.process(id) else { return };
                process.fetches.insert(cid, Fetch { next: from.into(), at: None });
                self.fetch_next(id, cid);
            }
            Command::Cancel { cid } => {
                if let Some(process) = self.process(id) {
                    process.fetches.remove(&cid);
                }
            }
            Command::Remove { blocks } => {
                let disk = &mut self.host_mut(id).disk;
                blocks.iter().for_each(|cid| {
                    disk.remove(cid);
                });
            }
        }
    }

    /// Asks the next host for a content.
    fn fetch_next(&mut self, id: HostId, cid: Cid) {
        let Some(fetch) = self.process(id).and_then(|process| process.fetches.get_mut(&cid)) else { return };
        let Some(node) = fetch.next.pop_front() else {
            if let Some(process) = self.process(id) {
                process.fetches.remove(&cid);
            }
            return self.input(id, Input::Blocks(Blocks::Failed { cid, full: false }));
        };
        let Some(to) = self.host_of(&node).filter(|to| self.host(*to).node == node) else {
            return self.fetch_next(id, cid);
        };
        if let Some(fetch) = self.process(id).and_then(|process| process.fetches.get_mut(&cid)) {
            fetch.at = Some(to);
        }
        match self.best(id, to) {
            Some(conn) => self.send(conn, id, Frame::Want(cid)),
            None => self.dial(id, to),
        }
    }

    /// Contents that are being fetched from `peer`.
    fn fetched_from(&self, id: HostId, peer: HostId) -> Vec<Cid> {
        let fetches = self.host(id).process.iter().flat_map(|process| &process.fetches);
        fetches.filter(|(_, fetch)| fetch.at == Some(peer)).map(|(cid, _)| *cid).collect()
    }

    /// There is a link to a host from which something is to be fetched.
    pub(crate) fn fetch_on(&mut self, id: HostId, peer: HostId, conn: ConnId) {
        for cid in self.fetched_from(id, peer) {
            self.send(conn, id, Frame::Want(cid));
        }
    }

    /// There is none any more, or none came of it.
    pub(crate) fn fetch_elsewhere(&mut self, id: HostId, peer: HostId) {
        for cid in self.fetched_from(id, peer) {
            self.fetch_next(id, cid);
        }
    }

    /// A host asks for a block.
    pub(crate) fn block_asked(&mut self, id: HostId, conn: ConnId, cid: Cid) {
        let size = self.host(id).disk.get(&cid).copied();
        self.send(conn, id, Frame::Block(cid, size));
    }

    /// A host has answered.
    pub(crate) fn block_came(&mut self, id: HostId, peer: HostId, cid: Cid, size: Option<u64>) {
        let Some(fetch) = self.process(id).and_then(|process| process.fetches.get(&cid)) else { return };
        if fetch.at != Some(peer) {
            return;
        }
        let Some(size) = size else { return self.fetch_next(id, cid) };
        if let Some(process) = self.process(id) {
            process.fetches.remove(&cid);
        }
        self.write_disk(id, cid, size);
        self.input(id, Input::Blocks(Blocks::Fetched { cid, blocks: vec![(cid, size)] }));
    }
}
