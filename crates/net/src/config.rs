//! What a node is started with.

use std::fmt;
use std::sync::Arc;

use libp2p::Multiaddr;
use libp2p::core::muxing::StreamMuxerBox;
use mesh_proto::charter::Charter;
use mesh_proto::credential::{Chain, Invite, Pass};
use mesh_proto::{EncodeError, MeshId, NameError};

use crate::blocks::BlockStore;
use crate::identity::Identity;
use crate::store::Store;
use crate::transport::{Direct, Tls};

/// What a node does for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Agents live here: a browser, a Node.js host. Keeps a dozen links, and is a client of the DHT.
    #[default]
    Leaf,
    /// A relay or bootstrap node: keeps hundreds of links, gossips over all of them, serves the DHT.
    Hub,
}

/// Everything a node is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// Which mesh it is a member of.
    pub mesh: MeshId,
    /// The charter that `mesh` is the id of, if it has one: only then anybody has a vote.
    pub charter: Option<Charter>,
    /// What this node shows to be let in, in a private mesh.
    pub credentials: Chain,
    /// The invite by which it gets charter and credentials, unless the store has them.
    pub invite: Option<Box<Invite>>,
    /// Where this node keeps its votes, and whom it has let in. Without it, it has no vote.
    pub store: Option<Arc<dyn Store>>,
    /// Where entries of knowledge are kept: in [`store`](Self::store), if nothing is said.
    pub entries: Option<Arc<dyn Store>>,
    /// Where blocks are kept. Without it, [`DEFAULT_MEMORY`](crate::blocks::DEFAULT_MEMORY) bytes of them in memory.
    pub blocks: Option<Arc<dyn BlockStore>>,
    /// Relays and bootstrap nodes to stay in touch with, each ending in `/p2p/<peer id>`.
    pub relays: Vec<Multiaddr>,
    /// Where to listen. wasm listens nowhere but through relays.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which others can reach this node, beside those it listens on.
    pub external: Vec<Multiaddr>,
    /// The certificate of its secure WebSocket listeners (`/wss`, `/tls/ws`), which need one.
    pub tls: Option<Tls>,
    /// The certificate of its `/webrtc-direct` listeners, which need one.
    pub direct: Option<Direct>,
    /// What the program puts around each connection.
    pub around: Option<Around>,
    /// Patience and bounds of WebRTC handshakes, where the program has WebRTC.
    pub webrtc: mesh_webrtc::Config,
    /// What it does for others.
    pub role: Role,
    /// What identify calls this program, for example `neural-mesh/0.1.0`.
    pub agent_version: String,
    /// The components' own configuration.
    pub core: mesh_core::node::Config,
}

impl Config {
    /// A leaf of the open mesh called `mesh`, with defaults for everything else.
    ///
    /// # Errors
    /// [`NameError`] when `mesh` is not a name.
    pub fn new(identity: Identity, mesh: &str) -> Result<Self, NameError> {
        Ok(Self::of(identity, MeshId::open(mesh)?))
    }

    /// A leaf of the mesh of `charter`, with defaults for everything else.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than a charter may be.
    pub fn chartered(identity: Identity, charter: Charter) -> Result<Self, EncodeError> {
        let mesh = charter.mesh()?;
        Ok(Self { charter: Some(charter), ..Self::of(identity, mesh) })
    }

    /// A leaf of the mesh that `pass` admits it to.
    ///
    /// # Errors
    /// [`EncodeError`] when its charter is longer than one may be.
    pub fn admitted(identity: Identity, pass: Pass) -> Result<Self, EncodeError> {
        Ok(Self { credentials: pass.chain, ..Self::chartered(identity, pass.charter)? })
    }

    /// A leaf of the mesh that `invite` is for, which is reached by the addresses that it names. Of those that are none,
    /// nothing is used.
    pub fn invited(identity: Identity, invite: Invite) -> Self {
        let mesh = invite.invitation.invitation.mesh;
        let relays: Vec<_> = invite.relays.iter().filter_map(|relay| relay.parse().ok()).collect();
        Self { invite: Some(Box::new(invite)), relays, ..Self::of(identity, mesh) }
    }

    fn of(identity: Identity, mesh: MeshId) -> Self {
        Self {
            identity,
            mesh,
            charter: None,
            credentials: Chain::default(),
            invite: None,
            store: None,
            entries: None,
            blocks: None,
            relays: Vec::new(),
            listen: Vec::new(),
            external: Vec::new(),
            tls: None,
            direct: None,
            around: None,
            webrtc: mesh_webrtc::Config::default(),
            role: Role::default(),
            agent_version: concat!("neural-mesh/", env!("CARGO_PKG_VERSION")).to_owned(),
            core: mesh_core::node::Config::default(),
        }
    }
}

/// Something that a host program puts around each connection, once its peer is known: to count what passes, for example.
#[derive(Clone)]
pub struct Around(Arc<dyn Fn(StreamMuxerBox) -> StreamMuxerBox + Send + Sync>);

impl Around {
    /// Puts what `wrap` returns in the place of each connection.
    pub fn new(wrap: impl Fn(StreamMuxerBox) -> StreamMuxerBox + Send + Sync + 'static) -> Self {
        Self(Arc::new(wrap))
    }

    pub(crate) fn put(&self, connection: StreamMuxerBox) -> StreamMuxerBox {
        (self.0)(connection)
    }
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Around")
    }
}
