//! What a node is told, what it wants done, and what it tells the application.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_proto::protocol::Topic;
use mesh_proto::{AgentName, Hlc, NodeId, credential, direct, join};

use crate::condition::Condition;
use crate::intake::Verdict;
use crate::offence::Offence;
use crate::paths::{Failure, Why};
use crate::records::Change;
use crate::{access, directory, health, knowledge, messaging, proposals, weights};

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A link to `peer` came up, or a better one beside it, or a better one went and a worse one is left.
    Connected {
        /// Who is at the other end; the transport has proved it.
        peer: NodeId,
        /// Whether a relay carries the link.
        relayed: bool,
        /// The remote's address.
        address: String,
    },
    /// The last link to `peer` went down.
    Disconnected {
        /// Who was at the other end.
        peer: NodeId,
    },
    /// `peer` could not be dialled.
    DialFailed {
        /// Who was dialled.
        peer: NodeId,
    },
    /// An upgrade of the link to `peer`, ours or theirs, failed.
    UpgradeFailed {
        /// Who is at the other end.
        peer: NodeId,
        /// Why.
        failure: Failure,
    },
    /// A round trip to `peer` was measured.
    RoundTrip {
        /// Who answered.
        peer: NodeId,
        /// How long it took.
        millis: u64,
    },
    /// Where this node can be reached has changed.
    Addresses(Vec<String>),
    /// A gossiped message arrived. It is answered with an [`Output::Verdict`] for `ticket`.
    Gossip {
        /// Names the message in the answer.
        ticket: u64,
        /// The neighbour that handed it over.
        from: NodeId,
        /// Where it was published.
        topic: Topic,
        /// The envelope.
        wire: Bytes,
    },
    /// An [`Output::Publish`] found nobody to go to; it is made again when somebody listens.
    Unpublished {
        /// Its topic.
        topic: Topic,
        /// Its envelope.
        wire: Bytes,
    },
    /// A neighbour listens to `topic` now.
    Listener {
        /// The neighbour.
        peer: NodeId,
        /// The topic.
        topic: Topic,
    },
    /// A newcomer asks for the member list. It is answered with an [`Output::JoinReply`] for `ticket`.
    JoinRequest {
        /// Names the request in the answer.
        ticket: u64,
        /// The newcomer.
        from: NodeId,
        /// What it says.
        request: join::Request,
    },
    /// One frame of the list that `from` hands over.
    JoinReply {
        /// Who does.
        from: NodeId,
        /// The frame.
        reply: join::Reply,
    },
    /// Asking `from` for the list failed.
    JoinFailed {
        /// Who was asked.
        from: NodeId,
    },
    /// On the direct streams.
    Direct(messaging::Input),
    /// On the transfer streams.
    Transfer(weights::Input),
    /// A neighbour shows who it is.
    Auth {
        /// The neighbour.
        from: NodeId,
        /// What it says.
        frame: credential::Frame,
    },
    /// The stream broke on which [`Output::Auth`] was said.
    AuthBroken {
        /// To whom.
        peer: NodeId,
        /// Whether there was none, because the neighbour does not speak of it.
        unsupported: bool,
    },
    /// A node asks for a credential. It is answered with an [`Output::AdmitReply`] for `ticket`.
    AdmitRequest {
        /// Names the request in the answer.
        ticket: u64,
        /// Who asks.
        from: NodeId,
        /// For what.
        request: Box<credential::Request>,
    },
    /// What came of an [`Output::AskAdmission`]. No answer is none: it is asked again.
    AdmitAnswer(Box<credential::Answer>),
    /// The store has made the changes of an [`Output::Keep`], or cannot.
    Kept {
        /// From the output.
        ticket: Ticket,
        /// Whether they are safe from a crash now.
        durable: bool,
    },
    /// Something happened to blocks.
    Blocks(knowledge::Blocks),
    /// The driver refused what a peer sent.
    Offence {
        /// The peer.
        from: NodeId,
        /// What it did.
        offence: Offence,
    },
}

impl Input {
    /// Whose sign of life it is, as something came from there over a link.
    pub(super) fn sender(&self) -> Option<NodeId> {
        match self {
            Self::Gossip { from, .. }
            | Self::JoinRequest { from, .. }
            | Self::JoinReply { from, .. }
            | Self::Direct(messaging::Input::Frame { from, .. })
            | Self::Transfer(weights::Input::Offered { from, .. } | weights::Input::Receiving { from, .. }) => {
                Some(*from)
            }
            Self::Transfer(weights::Input::Sending { to, report, .. }) => match report {
                weights::SendReport::Accepted { .. } | weights::SendReport::Confirmed { .. } => Some(*to),
                weights::SendReport::Refused(_) | weights::SendReport::Unsupported | weights::SendReport::Broken => {
                    None
                }
            },
            Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::DialFailed { .. }
            | Self::UpgradeFailed { .. }
            | Self::RoundTrip { .. }
            | Self::Addresses(_)
            | Self::Unpublished { .. }
            | Self::Listener { .. }
            | Self::JoinFailed { .. }
            | Self::Auth { .. }
            | Self::AuthBroken { .. }
            | Self::AdmitRequest { .. }
            | Self::AdmitAnswer(_)
            | Self::Kept { .. }
            | Self::Blocks(_)
            | Self::Direct(
                messaging::Input::Connected { .. }
                | messaging::Input::Disconnected { .. }
                | messaging::Input::DialFailed { .. }
                | messaging::Input::Opened { .. }
                | messaging::Input::Closed { .. },
            )
            | Self::Transfer(
                weights::Input::Connected(_)
                | weights::Input::Disconnected(_)
                | weights::Input::DialFailed(_)
                | weights::Input::Offence { .. },
            )
            | Self::Offence { .. } => None,
        }
    }
}

/// Something is to be done.
#[derive(Debug)]
pub enum Output {
    /// Connect to `peer`, which says that it can be reached at `addresses`.
    Dial {
        /// Whom.
        peer: NodeId,
        /// Multiaddrs; may be empty, for the driver knows some too.
        addresses: Vec<String>,
    },
    /// Make a direct connection to `peer`, signalled over the relayed one. A failure is told by
    /// [`Input::UpgradeFailed`].
    Upgrade {
        /// Whom.
        peer: NodeId,
    },
    /// Close the relayed connections to `peer`, if there is a direct one.
    CloseRelayed {
        /// Whom.
        peer: NodeId,
    },
    /// Close all connections to `peer`: it said goodbye, or its links are dead.
    Disconnect {
        /// To whom.
        peer: NodeId,
    },
    /// Reserve a place on this relay.
    Reserve {
        /// The relay.
        peer: NodeId,
    },
    /// Publish an envelope.
    Publish {
        /// Its topic.
        topic: Topic,
        /// The envelope.
        wire: Bytes,
    },
    /// What is to become of a gossiped message.
    Verdict {
        /// From the input.
        ticket: u64,
        /// Pass on, drop, or hold against the neighbour.
        verdict: Verdict,
    },
    /// Ask `peer` for its member list.
    Join {
        /// Whom.
        peer: NodeId,
        /// The request to send.
        request: join::Request,
    },
    /// Answer a newcomer.
    JoinReply {
        /// From the input.
        ticket: u64,
        /// Frames to send, in order.
        replies: Vec<join::Reply>,
    },
    /// Open a direct stream to `to`.
    OpenDirect {
        /// Whom.
        to: NodeId,
    },
    /// Break all direct streams that `from` has opened to us.
    ResetDirect {
        /// Whose.
        from: NodeId,
    },
    /// Send `frame` on the direct stream to `to`.
    Direct {
        /// Whom.
        to: NodeId,
        /// What.
        frame: direct::Frame,
    },
    /// On the transfer streams.
    Transfer(weights::Command),
    /// Make these changes in the store, and tell by [`Input::Kept`] when they are safe from a crash.
    Keep {
        /// Names them in the answer.
        ticket: Ticket,
        /// All of them, in order.
        changes: Vec<Change>,
    },
    /// Say this on a stream to `to`: who we are. [`Input::AuthBroken`] tells if the stream broke before it was written.
    Auth {
        /// Whom.
        to: NodeId,
        /// What.
        frame: credential::Frame,
    },
    /// `peer` is in: gossip with it, and take its streams, from now on.
    Admit {
        /// Who.
        peer: NodeId,
    },
    /// Ask `to`, a neighbour, for a credential.
    AskAdmission {
        /// Whom.
        to: NodeId,
        /// What for.
        request: Box<credential::Request>,
    },
    /// Answer a node that asked for a credential.
    AdmitReply {
        /// From the input.
        ticket: u64,
        /// What.
        answer: Box<credential::Answer>,
    },
    /// What this node has issued up to this number ([`access::Issued`](crate::access::Issued)) may be given away, or not.
    Settled {
        /// The number.
        write: u64,
        /// Whether the store has it.
        durable: bool,
    },
    /// On the blocks of contents.
    Blocks(knowledge::Command),
    /// Tell the application.
    Event(Event),
}

/// Whose changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ticket {
    /// What was said in slots.
    Proposals(u64),
    /// Who was let in.
    Access(u64),
    /// What is known.
    Knowledge(u64),
}

/// Whether a neighbour is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It may say everything.
    Yes,
    /// It may ask for the member list, and no more.
    Joins,
    /// It has not shown yet who it is.
    Later,
    /// It is outside.
    No,
}

/// What the application is told.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// A seed has a link, or none any more.
    Seed {
        /// Which.
        peer: NodeId,
        /// Whether it has.
        connected: bool,
    },
    /// `peer` handed over its member list.
    Joined {
        /// Who.
        peer: NodeId,
        /// Agents known now.
        agents: usize,
    },
    /// A link came up.
    PeerConnected {
        /// To whom.
        peer: NodeId,
        /// Whether a relay carries it.
        relayed: bool,
    },
    /// A link that was relayed is direct now, or the other way round.
    PathChanged {
        /// To whom.
        peer: NodeId,
        /// Whether a relay carries it now.
        relayed: bool,
    },
    /// The last link to a peer went down.
    PeerDisconnected {
        /// To whom.
        peer: NodeId,
    },
    /// A peer has been silent for too long.
    PeerSuspected {
        /// Who.
        peer: NodeId,
    },
    /// A suspected peer was heard again.
    PeerRecovered {
        /// Who.
        peer: NodeId,
    },
    /// The mesh has fallen apart: too many are silent at once to have died.
    Split {
        /// Nodes that are suspected.
        lost: usize,
        /// Nodes that are watched.
        of: usize,
    },
    /// It is one again, or those that were silent are gone.
    Whole,
    /// Agents and searches.
    Directory(directory::Event),
    /// A message for an agent of this node, or for the node. [`super::Node::taken`] acknowledges it.
    Message(Incoming),
    /// A message of ours was acknowledged.
    Sent {
        /// Which.
        call: CallId,
        /// Where it went.
        receipt: Receipt,
    },
    /// A message of ours failed.
    SendFailed {
        /// Which.
        call: CallId,
        /// Why.
        error: SendError,
    },
    /// A broadcast.
    Broadcast {
        /// Its author.
        from: NodeId,
        /// Its envelope's number, and its place in there.
        seq: (u64, usize),
        /// When it was made.
        clock: Hlc,
        /// The application's topic.
        topic: String,
        /// The application's bytes.
        body: Bytes,
    },
    /// Transfers.
    Weights(weights::Event),
    /// Knowing together.
    Knowledge(knowledge::Event),
    /// Deciding together.
    Decision(proposals::Event),
    /// Who is let in.
    Access(access::Event),
    /// A peer did what an honest one would not.
    Offence {
        /// Who.
        peer: NodeId,
        /// What.
        offence: Offence,
    },
}

/// A direct message that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The node it came from.
    pub from: NodeId,
    /// The run of that node.
    pub session: u64,
    /// The message; its number is one within that run.
    pub message: direct::Message,
}

/// A send under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Proof that a message is with its receiver's application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The receiver.
    pub peer: NodeId,
    /// Our run and the message's number in it.
    pub number: (u64, u64),
    /// From the first transmission to the acknowledgement.
    pub round_trip_ms: u64,
}

/// Whom something is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An agent, wherever it lives or on one node.
    Agent(AgentName, Option<NodeId>),
    /// A node itself.
    Node(NodeId),
}

/// Why a message or share was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody in the mesh has announced that agent.
    #[error("no agent of that name is known in the mesh")]
    UnknownAgent,
    /// Agents on several nodes have that name: say which as `name@node`.
    #[error("agents on {} nodes have that name", .0.len())]
    Ambiguous(Vec<NodeId>),
    /// The agent's node cannot be reached.
    #[error("the agent's node cannot be reached")]
    PeerUnreachable,
    /// The node is there, but did not acknowledge in time.
    #[error("not acknowledged in time")]
    Timeout,
    /// Too large, or too many are waiting.
    #[error(transparent)]
    NotTaken(#[from] messaging::Error),
}

/// What is known of the network around this node.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Links that are up, and why those are relayed that are.
    pub links: BTreeMap<NodeId, (health::Link, Option<Why>)>,
    /// Nodes that were heard of, and how many agents each has.
    pub peers: BTreeMap<NodeId, (health::Peer, usize)>,
    /// How the mesh is doing.
    pub condition: Condition,
}
