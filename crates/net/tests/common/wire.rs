//! What an attacker says, byte by byte: envelopes that no honest sealer makes, frames of gossipsub and of our streams.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use mesh_proto::codec::{self, Bounded};
use mesh_proto::gossip::{Announcement, Batch, Item};
use mesh_proto::limits::TTL_MS;
use mesh_proto::protocol::ENVELOPE_DOMAIN;
use mesh_proto::{Envelope, Hlc, Keypair, Kind, MeshId, Unverified, envelope};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteArray, ByteBuf};

use super::member::agent_name;

/// An envelope as an honest node of `key` would make it now.
pub(crate) fn envelope(mesh: MeshId, key: &Keypair, kind: Kind, payload: &impl Serialize) -> Envelope {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let now = mesh_net::now().unix;
    Envelope {
        v: envelope::VERSION,
        mesh,
        kind,
        from: key.node(),
        seq: now * 1000 + COUNT.fetch_add(1, Ordering::Relaxed),
        clock: Hlc::at(now),
        ttl: TTL_MS,
        payload: encode(payload).into(),
    }
}

/// A broadcast of `body`.
pub(crate) fn broadcast(mesh: MeshId, key: &Keypair, body: &[u8]) -> Envelope {
    let item = Item { topic: "attack".into(), body: Bytes::copy_from_slice(body) };
    envelope(mesh, key, Kind::SwarmBroadcast, &Batch { items: vec![item] })
}

/// A broadcast whose envelope takes `len` bytes on the wire.
pub(crate) fn broadcast_of_len(mesh: MeshId, key: &Keypair, len: usize) -> Vec<u8> {
    let item = |len| Item { topic: "size".into(), body: vec![7; len].into() };
    let mut second = len / 2;
    loop {
        let batch = Batch { items: vec![item(len / 2 - 1024), item(second)] };
        let wire = seal(&envelope(mesh, key, Kind::SwarmBroadcast, &batch), key);
        if wire.len() == len {
            return wire;
        }
        second = second + len - wire.len();
    }
}

/// An announcement of one agent.
pub(crate) fn announcement(mesh: MeshId, key: &Keypair, agent: &str) -> Envelope {
    let agents = vec![mesh_proto::agent::AgentRecord::new(agent_name(agent), [])];
    envelope(mesh, key, Kind::AgentAnnounce, &Announcement { agents, ..Announcement::default() })
}

/// Signs with whatever key, and looks at no limit.
pub(crate) fn seal(envelope: &Envelope, key: &Keypair) -> Vec<u8> {
    let body = encode(envelope);
    let signature = key.sign(ENVELOPE_DOMAIN, &body);
    encode(&(ByteBuf::from(body), ByteArray::new(signature)))
}

/// What an envelope claims, unverified.
pub(crate) fn claims(wire: &Bytes) -> Option<Envelope> {
    Unverified::decode(wire.clone()).ok().map(|envelope| envelope.claims().clone())
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    codec::encode(value, usize::MAX).expect("encodable")
}

/// Gossipsub's RPC that publishes `messages` on `topic`, without its length.
pub(crate) fn publish(topic: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut rpc = Vec::new();
    for data in messages {
        let mut message = Vec::new();
        field(&mut message, 2, data);
        field(&mut message, 4, topic.as_bytes());
        field(&mut rpc, 2, &message);
    }
    rpc
}

/// Gossipsub's RPC that subscribes to `topic`, without its length.
pub(crate) fn subscribe(topic: &str) -> Vec<u8> {
    let mut subscription = vec![8, 1];
    field(&mut subscription, 2, topic.as_bytes());
    let mut rpc = Vec::new();
    field(&mut rpc, 1, &subscription);
    rpc
}

/// The data of all messages in one of gossipsub's RPCs.
pub(crate) fn published(rpc: &[u8]) -> Vec<Bytes> {
    let messages = fields(rpc).into_iter().filter(|(number, _)| *number == 2);
    let data = messages.flat_map(|(_, message)| fields(message)).filter(|(number, _)| *number == 2);
    data.map(|(_, data)| Bytes::copy_from_slice(data)).collect()
}

/// A protobuf field of bytes.
fn field(buffer: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    buffer.push(number << 3 | 2);
    buffer.extend(varint(bytes.len()));
    buffer.extend(bytes);
}

/// The fields of bytes in a protobuf message.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut fields = Vec::new();
    while let Ok((tag, rest)) = unsigned_varint::decode::u64(message) {
        let Ok((value, rest)) = unsigned_varint::decode::usize(rest) else { break };
        message = rest;
        if tag & 7 == 2 {
            let Some((bytes, rest)) = rest.split_at_checked(value) else { break };
            fields.push((tag >> 3, bytes));
            message = rest;
        }
    }
    fields
}

/// An unsigned varint.
pub(crate) fn varint(value: usize) -> Vec<u8> {
    unsigned_varint::encode::usize(value, &mut unsigned_varint::encode::usize_buffer()).to_vec()
}

/// `bytes` behind their length.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len()), bytes.to_vec()].concat()
}

/// Writes `value` as a frame of ours.
pub(crate) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    stream.write_all(&framed(&encode(value))).await?;
    stream.flush().await
}

/// Reads a frame of ours.
pub(crate) async fn read_frame<T: DeserializeOwned + Bounded>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let frame = read_framed(stream).await?;
    codec::decode(&frame, usize::MAX).map_err(io::Error::other)
}

/// Reads bytes behind their length.
pub(crate) async fn read_framed(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut prefix = Vec::new();
    while prefix.last().is_none_or(|byte| byte & 0x80 != 0) {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        prefix.extend(byte);
    }
    let (len, _) = unsigned_varint::decode::usize(&prefix).map_err(io::Error::other)?;
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}
