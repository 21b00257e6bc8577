//! The messages of the last heartbeats: what waits for its verdict, what can be told of and asked for.

use std::collections::VecDeque;

use mesh_core::gossip::Params;
use mesh_proto::protocol::Topic;

use super::recent::ById;
use super::{Message, MessageId};
use crate::id::HostId;

/// Messages that are kept at most; then the oldest goes first. Ten times what a host sees in six heartbeats at 2,000
/// messages a second. libp2p has no such bound.
pub(super) const MAX_CACHED: usize = 84_000;

#[derive(Debug)]
struct Entry {
    message: Message,
    validated: bool,
    /// Who else sent it before it was validated, ordered.
    senders: Vec<HostId>,
    /// How often who asked for it, ordered.
    asked: Vec<(HostId, u32)>,
}

/// `MessageCache` of libp2p.
#[derive(Debug)]
pub(super) struct Cache {
    entries: ById<Entry>,
    /// With the heartbeat in which each came. Also those that were refused, until their time.
    history: VecDeque<(u64, Topic, MessageId)>,
    tick: u64,
    length: u64,
    gossip: u64,
}

impl Cache {
    pub(super) fn new(params: &Params) -> Self {
        Self {
            entries: ById::default(),
            history: VecDeque::new(),
            tick: 0,
            length: params.history_length as u64,
            gossip: params.history_gossip as u64,
        }
    }

    /// Entries, and what is kept with them.
    pub(super) fn len(&self) -> usize {
        self.history.len()
    }

    pub(super) fn put(&mut self, message: Message, validated: bool) {
        if self.history.len() >= MAX_CACHED
            && let Some((_, _, oldest)) = self.history.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.history.push_back((self.tick, message.topic(), message.id()));
        let entry = Entry { message, validated, senders: Vec::new(), asked: Vec::new() };
        self.entries.insert(entry.message.id(), entry);
    }

    /// `from` has sent it as well: it need not be sent to it, or is as guilty of it.
    pub(super) fn observe(&mut self, id: MessageId, from: HostId) {
        if let Some(entry) = self.entries.get_mut(&id)
            && !entry.validated
            && let Err(at) = entry.senders.binary_search(&from)
        {
            entry.senders.insert(at, from);
        }
    }

    /// From now on it can be told of. Gives the message and who else has sent it; nothing if it is not there, or not for
    /// the first time.
    pub(super) fn validate(&mut self, id: MessageId) -> Option<(Message, Vec<HostId>)> {
        let entry = self.entries.get_mut(&id).filter(|entry| !entry.validated)?;
        entry.validated = true;
        Some((entry.message.clone(), std::mem::take(&mut entry.senders)))
    }

    /// Forgets what was not let in; gives its topic and who else has sent it.
    pub(super) fn refuse(&mut self, id: MessageId) -> Option<(Topic, Vec<HostId>)> {
        self.entries.get(&id).filter(|entry| !entry.validated)?;
        self.entries.remove(&id).map(|entry| (entry.message.topic(), entry.senders))
    }

    /// Gives `to` what it asks for, and how often it has.
    pub(super) fn hand_out(&mut self, id: MessageId, to: HostId) -> Option<(Message, u32)> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.validated)?;
        let at = match entry.asked.binary_search_by_key(&to, |(peer, _)| *peer) {
            Ok(at) => at,
            Err(at) => {
                entry.asked.insert(at, (to, 0));
                at
            }
        };
        let count = &mut entry.asked[at].1;
        *count = count.saturating_add(1);
        Some((entry.message.clone(), *count))
    }

    /// What is to be told of in `topic`.
    pub(super) fn news(&self, topic: Topic) -> Vec<MessageId> {
        let young = self.history.iter().rev().take_while(|(tick, _, _)| tick + self.gossip > self.tick);
        young
            .filter(|(_, its, id)| *its == topic && self.entries.get(id).is_some_and(|entry| entry.validated))
            .map(|(_, _, id)| *id)
            .collect()
    }

    /// A heartbeat has passed.
    pub(super) fn shift(&mut self) {
        self.tick += 1;
        while let Some((tick, _, id)) = self.history.front()
            && tick + self.length <= self.tick
        {
            self.entries.remove(id);
            self.history.pop_front();
        }
    }
}
