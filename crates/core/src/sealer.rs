//! Signs what this node says to the mesh.

use bytes::Bytes;
use mesh_proto::limits::TTL_MS;
use mesh_proto::{EncodeError, Envelope, Hlc, Keypair, Kind, MeshId, NodeId, Verified, envelope};

use crate::time::Now;

/// The key, and the counters that make each envelope one of its kind.
#[derive(Debug)]
pub struct Sealer {
    key: Keypair,
    mesh: MeshId,
    seq: u64,
    clock: Hlc,
}

impl Sealer {
    /// Numbers start at unix microseconds: a restarted node goes on above its last run without keeping a counter, as
    /// long as it says less than a thousand things each millisecond.
    pub fn new(key: Keypair, mesh: MeshId, now: Now) -> Self {
        Self { key, mesh, seq: now.unix.saturating_mul(1000), clock: Hlc::at(now.unix) }
    }

    /// The node that signs.
    pub fn node(&self) -> NodeId {
        self.key.node()
    }

    /// Signs `payload`.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] past 64 KiB.
    pub fn seal(&mut self, kind: Kind, payload: Vec<u8>, now: Now) -> Result<Verified<Envelope>, EncodeError> {
        self.seq += 1;
        self.clock = self.clock.tick(now.unix);
        Envelope {
            v: envelope::VERSION,
            mesh: self.mesh,
            kind,
            from: self.key.node(),
            seq: self.seq,
            clock: self.clock,
            ttl: TTL_MS,
            payload: Bytes::from(payload),
        }
        .sign(&self.key)
    }
}
