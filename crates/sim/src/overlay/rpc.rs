//! What goes over a link of the overlay.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use mesh_core::gossip::Params;
use mesh_proto::protocol::Topic;

/// Bytes of a message's id on the wire (`id_of` in mesh-net). [`MessageId`] holds the first eight.
const ID_LEN: usize = 20;

/// A field of one byte tag and a length, around `len` bytes.
const fn field(len: usize) -> usize {
    1 + varint(len as u64) + len
}

const fn varint(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

/// Bytes of a topic's name: `neural-mesh/`, 64 digits, `/agents` or `/swarm`.
pub(super) const fn topic_len(topic: Topic) -> usize {
    match topic {
        Topic::Agents => 83,
        Topic::Swarm => 82,
    }
}

/// The first eight bytes of the hash of a message's wire bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// A gossiped message. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    id: MessageId,
    topic: Topic,
    wire: Bytes,
}

impl Message {
    /// Hashes `wire`, which is the dear part and happens here only.
    pub fn new(topic: Topic, wire: Bytes) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = mesh_proto::transfer::hash(&wire).0;
        Self { id: MessageId(u64::from_be_bytes([a, b, c, d, e, f, g, h])), topic, wire }
    }

    /// Equal wire bytes have equal ids, in either topic.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Where it was published.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The envelope.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// Bytes of the message in an RPC: what gossipsub holds against the size from which IDONTWANT is sent.
    pub(super) fn len(&self) -> usize {
        field(self.wire.len()) + field(topic_len(self.topic))
    }
}

/// Somebody begins or ceases to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// To what.
    pub topic: Topic,
    /// Begins.
    pub subscribe: bool,
}

/// Somebody gives up a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prune {
    /// In the mesh of this topic.
    pub topic: Topic,
    /// Seconds in which it is not to be asked for again; `None` leaves that to the other side.
    pub backoff_s: Option<u64>,
}

/// Somebody tells what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IHave {
    /// In which topic.
    pub topic: Topic,
    /// Of the last heartbeats.
    pub ids: Vec<MessageId>,
}

/// The parts of an [`Rpc`], in the order in which they are taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Who listens to what.
    pub subscriptions: Vec<Subscription>,
    /// Published or passed on.
    pub messages: Vec<Message>,
    /// Asks for messages.
    pub iwant: Vec<MessageId>,
    /// Has these already, or is about to.
    pub idontwant: Vec<MessageId>,
    /// Tells of messages.
    pub ihave: Vec<IHave>,
    /// Takes up links.
    pub graft: Vec<Topic>,
    /// Gives up links.
    pub prune: Vec<Prune>,
}

/// One transmission over a link. A clone shares the parts; writing to them copies those that are shared, so that a
/// host which alters what it sends to one neighbour does not alter what it sends to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rpc(Arc<Parts>);

impl From<Parts> for Rpc {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl From<Message> for Rpc {
    fn from(message: Message) -> Self {
        Parts { messages: vec![message], ..Parts::default() }.into()
    }
}

impl Deref for Rpc {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Rpc {
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

impl Rpc {
    /// Bytes on the wire, as gossipsub encodes them, the length prefix included.
    pub fn len(&self) -> usize {
        let len = self.content_len();
        varint(len as u64) + len
    }

    /// Says nothing.
    pub fn is_empty(&self) -> bool {
        self.content_len() == 0
    }

    /// Within what a receiver takes. An RPC past its limits breaks the stream.
    pub(super) fn fits(&self, params: &Params) -> bool {
        self.messages.len() <= params.max_publish
            && self.len() <= params.max_rpc
            && self.subscriptions_len() + self.control_len() <= params.max_control
    }

    fn content_len(&self) -> usize {
        let messages: usize = self.messages.iter().map(|message| field(message.len())).sum();
        self.subscriptions_len() + messages + self.control_len()
    }

    fn subscriptions_len(&self) -> usize {
        // Each has three flags beside the topic when it subscribes, one when it unsubscribes.
        let len = |it: &Subscription| field(field(topic_len(it.topic)) + if it.subscribe { 6 } else { 2 });
        self.subscriptions.iter().map(len).sum()
    }

    fn control_len(&self) -> usize {
        let ids = |count: usize| count * field(ID_LEN);
        let list = |count: usize| if count == 0 { 0 } else { field(ids(count)) };
        let topic = |topic| field(topic_len(topic));
        let backoff = |it: &Prune| it.backoff_s.map_or(0, |seconds| 1 + varint(seconds));
        let len = list(self.iwant.len())
            + list(self.idontwant.len())
            + self.ihave.iter().map(|it| field(topic(it.topic) + ids(it.ids.len()))).sum::<usize>()
            + self.graft.iter().map(|it| field(topic(*it))).sum::<usize>()
            + self.prune.iter().map(|it| field(topic(it.topic) + backoff(it))).sum::<usize>();
        if len == 0 { 0 } else { field(len) }
    }
}
