//! What is counted.

use crate::offence::Offence;

/// Declares the counters once: field, name and help cannot drift apart.
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)*) => {
        /// Counters since the node started, and a few gauges. All of them are this node's own.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: u64,)*
            pub(crate) by_offence: [u64; Offence::ALL.len()],
        }

        impl Metrics {
            /// Name (snake_case), help and value of each counter.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
                [$((stringify!($name), concat!($($help),+).trim_ascii_start(), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Direct messages that local agents sent.
    messages_sent,
    /// Direct messages that were acknowledged by their receiver.
    messages_delivered,
    /// Direct messages that failed.
    messages_failed,
    /// Direct messages that arrived for local agents.
    messages_received,
    /// Broadcasts that local agents made.
    broadcasts_sent,
    /// Broadcasts that arrived.
    broadcasts_received,
    /// Envelopes that this node signed and published.
    envelopes_sent,
    /// Envelopes that were let in.
    envelopes_accepted,
    /// Envelopes that were dropped or rejected.
    envelopes_refused,
    /// Weights that local agents shared.
    weights_shared,
    /// Weights that could not be shared.
    weights_failed,
    /// Weights that arrived.
    weights_received,
    /// Times that a transfer was resumed.
    transfers_resumed,
    /// Member lists that were handed to newcomers.
    joins_served,
    /// Member lists that were received.
    joins_received,
    /// Times that a direct connection was tried for over a relayed one.
    upgrades_tried,
    /// Times that none came of it, with the tries of others.
    upgrades_failed,
    /// Announcements of nodes that are no members of this private mesh.
    strangers_refused,
    /// Offences of others, of all kinds.
    offences,
    /// Nodes in the directory, this one included.
    nodes_known,
    /// Agents in the directory, local ones included.
    agents_known,
    /// Nodes with a link.
    links,
    /// Links that are relayed.
    links_relayed,
    /// Bytes of broadcasts that wait to be sent.
    broadcast_bytes_waiting,
    /// Knowledge entries that this node has written.
    entries_written,
    /// Knowledge entries of others that became current here.
    entries_received,
    /// Comparisons of a domain with a peer.
    comparisons,
    /// Of them, those that broke off.
    comparisons_broken,
    /// Contents that this node holds because another was lost.
    repairs,
    /// Knowledge entries that are current.
    entries,
    /// Bytes of these entries.
    entry_bytes,
    /// Blocks in the store.
    blocks,
    /// Bytes that these blocks take.
    block_bytes,
    /// Contents that were placed with this node.
    contents_placed,
    /// Of them, those that are here.
    contents_held,
}

impl Metrics {
    /// Counts `offence`.
    pub fn count(&mut self, offence: Offence) {
        self.offences += 1;
        self.by_offence[offence as usize] += 1;
    }

    /// How often each offence was counted.
    pub fn offences(&self) -> impl Iterator<Item = (Offence, u64)> + '_ {
        Offence::ALL.into_iter().zip(self.by_offence)
    }
}
