//! Calls: read, begun, and answered once what they wait for is there.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use cid::Cid;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId};
use mesh_unixfs::{Block, Layout, Root, directory, import};
use serde_json::{Value, json};

use crate::walk::{Walk, told};
use crate::{Failure, Peer};

const LIMIT: Duration = Duration::from_secs(30);

/// What a call waits for.
enum Waiting {
    Dial(ConnectionId),
    Connected(PeerId),
    Walk(Box<Walk>),
    Block(Cid),
    Got(Cid),
    Searched(Cid),
}

/// The calls that are not answered yet, and the answers that are not written yet.
#[derive(Default)]
pub(crate) struct Calls {
    waiting: BTreeMap<u64, Waiting>,
    /// Which of them have waited long enough.
    pub(crate) limits: FuturesUnordered<BoxFuture<'static, u64>>,
    pub(crate) answers: Vec<Value>,
}

impl Calls {
    /// Begins a call.
    pub(crate) fn call(&mut self, line: &str, peer: &mut Peer) -> Result<(), Failure> {
        let call: Value = serde_json::from_str(line)?;
        let id = call["id"].as_u64().ok_or("a call without an id")?;
        let method = call["method"].as_str().ok_or("a call without a method")?;
        let (first, second) = (&call["args"][0], &call["args"][1]);
        match self.begin(id, method, first, second, peer) {
            Ok(Some(result)) => self.answer(id, Ok(result)),
            Ok(None) => {}
            Err(error) => self.answer(id, Err(error.to_string())),
        }
        Ok(())
    }

    fn begin(
        &mut self,
        id: u64,
        method: &str,
        first: &Value,
        second: &Value,
        peer: &mut Peer,
    ) -> Result<Option<Value>, Failure> {
        let result = match method {
            "start" => json!(peer.swarm.local_peer_id().to_string()),
            "addresses" => json!(peer.addresses()),
            "figures" => peer.figures(),
            "add" => json!(add(first, layout(second), peer)?.cid.to_string()),
            "has" => json!(peer.store.contains_key(&parsed(first)?)),
            "delete" => json!(peer.store.remove(&parsed(first)?).is_some()),
            "want" => {
                for cid in cids(first)? {
                    peer.bitswap().want(cid, &[])?;
                }
                Value::Null
            }
            "cancel" => {
                cids(first)?.iter().for_each(|cid| peer.bitswap().cancel(cid));
                Value::Null
            }
            "dial" => {
                let to = DialOpts::from(parsed::<Multiaddr>(first)?);
                let waiting = Waiting::Dial(to.connection_id());
                peer.swarm.dial(to)?;
                return Ok(self.wait(id, waiting, second));
            }
            "knows" => return Ok(self.wait(id, Waiting::Connected(parsed(first)?), second)),
            "fetch" => return Ok(self.wait(id, Waiting::Walk(Box::new(Walk::new(parsed(first)?))), second)),
            "block" => {
                let cid = parsed(first)?;
                peer.bitswap().want(cid, &[])?;
                return Ok(self.wait(id, Waiting::Block(cid), second));
            }
            "got" => return Ok(self.wait(id, Waiting::Got(parsed(first)?), second)),
            "searched" => return Ok(self.wait(id, Waiting::Searched(parsed(first)?), second)),
            _ => return Err(format!("no method {method}").into()),
        };
        Ok(Some(result))
    }

    fn wait(&mut self, id: u64, waiting: Waiting, limit: &Value) -> Option<Value> {
        let limit = limit.as_u64().map_or(LIMIT, Duration::from_millis);
        self.limits.push(tokio::time::sleep(limit).map(move |()| id).boxed());
        self.waiting.insert(id, waiting);
        None
    }

    /// How a dial has ended.
    pub(crate) fn dialled(&mut self, connection: ConnectionId, result: Result<PeerId, String>) {
        let dialled = |waiting: &Waiting| matches!(waiting, Waiting::Dial(dialled) if *dialled == connection);
        let id = self.waiting.iter().find(|(_, waiting)| dialled(waiting)).map(|(id, _)| *id);
        if let Some(id) = id {
            self.waiting.remove(&id);
            self.answer(id, result.map(|peer| json!(peer.to_string())));
        }
    }

    /// Answers what can be answered by now.
    pub(crate) fn settle(&mut self, peer: &mut Peer) {
        let ids: Vec<_> = self.waiting.keys().copied().collect();
        for id in ids {
            let Some(waiting) = self.waiting.get_mut(&id) else { continue };
            let result = match waiting {
                Waiting::Dial(_) => None,
                Waiting::Connected(other) => peer.swarm.is_connected(other).then_some(Ok(Value::Null)),
                Waiting::Walk(walk) => walk.go_on(peer).transpose(),
                Waiting::Block(cid) => peer.store.get(cid).map(|block| Ok(told(block.data()))),
                Waiting::Got(cid) => peer.store.contains_key(cid).then_some(Ok(Value::Null)),
                Waiting::Searched(cid) => peer.searched.remove(cid).then_some(Ok(Value::Null)),
            };
            if let Some(result) = result {
                self.waiting.remove(&id);
                self.answer(id, result);
            }
        }
    }

    /// Gives up a call, if it is not answered yet, and what it wants.
    pub(crate) fn out_of_time(&mut self, id: u64, peer: &mut Peer) {
        let wanted = match self.waiting.remove(&id) {
            None => return,
            Some(Waiting::Walk(walk)) => walk.wanted,
            Some(Waiting::Block(cid)) => BTreeSet::from([cid]),
            Some(Waiting::Dial(_) | Waiting::Connected(_) | Waiting::Got(_) | Waiting::Searched(_)) => BTreeSet::new(),
        };
        wanted.iter().for_each(|cid| peer.bitswap().cancel(cid));
        self.answer(id, Err("not within its limit of time".to_owned()));
    }

    fn answer(&mut self, id: u64, result: Result<Value, String>) {
        self.answers.push(match result {
            Ok(result) => json!({ "id": id, "result": result }),
            Err(error) => json!({ "id": id, "error": error }),
        });
    }
}

/// Puts a file or directory into the store.
fn add(tree: &Value, layout: Layout, peer: &mut Peer) -> Result<Root, Failure> {
    let file = |bytes: &[u8], peer: &mut Peer| {
        let (root, blocks) = import(bytes, layout)?;
        blocks.into_iter().for_each(|block| peer.keep(block));
        Ok(root)
    };
    if let Some(text) = tree.as_str() {
        return file(text.as_bytes(), peer);
    }
    if let Some(length) = tree.as_u64() {
        return file(&xorshift(length), peer);
    }
    let tree = tree.as_object().ok_or("neither a file nor a directory")?;
    let entries = tree.iter().map(|(name, below)| Ok((name.as_str(), add(below, layout, peer)?)));
    let entries = entries.collect::<Result<Vec<_>, Failure>>()?;
    let (root, block): (Root, Block) = directory(entries)?;
    peer.keep(block);
    Ok(root)
}

fn layout(value: &Value) -> Layout {
    let Layout { chunk, width } = Layout::default();
    let or = |field: &str, default| value[field].as_u64().map_or(default, |value| value as usize);
    Layout { chunk: or("chunk", chunk), width: or("width", width) }
}

/// The bytes of `tests/vectors/unixfs.json`, and of Helia's side.
fn xorshift(length: u64) -> Vec<u8> {
    let mut x = 0x1234_5678_u32;
    let next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    std::iter::repeat_with(next).take(length as usize).collect()
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, Failure> {
    let text = value.as_str().ok_or(format!("{value} is no text"))?;
    text.parse().map_err(|error| format!("{text}: {error}").into())
}

fn cids(value: &Value) -> Result<Vec<Cid>, Failure> {
    value.as_array().ok_or("no list of CIDs")?.iter().map(parsed).collect()
}
