//! What the network knows: its peer connections, their channels, and what is under way between them.

mod channels;
mod description;

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};

use super::super::{Candidate, ChannelEvent, Kind, PeerEvent, RtcError, State};
use super::{CANDIDATES, Ice};
use channels::ChannelEnd;

#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) forbidden: bool,
    pub(super) ice: Ice,
    pub(super) lose_candidates: usize,
    pub(super) gather_early: bool,
    pub(super) held: bool,
    next_id: u64,
    peers: BTreeMap<u64, PeerEnd>,
    channels: BTreeMap<u64, ChannelEnd>,
    /// To be woken once the lock is free.
    woken: Vec<Waker>,
}

/// How two peer connections stand to each other. The same at both, but for `New`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    New,
    Up,
    Interrupted,
    Failed,
    Closed,
}

#[derive(Debug)]
struct PeerEnd {
    node: u64,
    link: Link,
    has_local: bool,
    /// The peer connection that the remote description names.
    remote: Option<u64>,
    /// Whether that description has the fingerprint of the one it names.
    genuine: bool,
    /// Whether a candidate of the remote was added.
    reachable: bool,
    gathered: bool,
    events: VecDeque<PeerEvent<u64>>,
    waker: Option<Waker>,
}

/// The hooks.
impl Wire {
    pub(super) fn add_node(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    pub(super) fn open_peers(&self, node: Option<u64>) -> usize {
        let of_node = |peer: &&PeerEnd| node.is_none_or(|node| peer.node == node);
        self.peers.values().filter(of_node).filter(|peer| peer.link != Link::Closed).count()
    }

    pub(super) fn open_channels(&self) -> usize {
        self.channels.values().filter(|channel| !channel.closed).count()
    }

    pub(super) fn interrupt(&mut self, node: u64) {
        self.change_links(node, Link::Up, Link::Interrupted, State::Disconnected);
    }

    pub(super) fn restore(&mut self, node: u64) {
        self.change_links(node, Link::Interrupted, Link::Up, State::Connected);
        if !self.held {
            self.flush(usize::MAX);
        }
    }

    pub(super) fn fail(&mut self, node: u64) {
        self.change_links(node, Link::Up, Link::Failed, State::Failed);
        self.change_links(node, Link::Interrupted, Link::Failed, State::Failed);
    }

    fn change_links(&mut self, node: u64, from: Link, to: Link, told: State) {
        let near = self.peers.iter().filter(|(_, peer)| peer.node == node && peer.link == from);
        let both: Vec<u64> = near.flat_map(|(id, peer)| [Some(*id), peer.remote]).flatten().collect();
        for id in both {
            self.set_link(id, to, told);
        }
    }

    /// Lets what waits through, at most `messages` of them. Gives how many.
    pub(super) fn flush(&mut self, messages: usize) -> usize {
        let mut left = messages;
        let ids: Vec<u64> = self.channels.keys().copied().collect();
        for id in ids {
            left = self.flush_channel(id, left);
        }
        messages - left
    }
}

/// Peer connections.
impl Wire {
    pub(super) fn open(&mut self, node: u64) -> Result<u64, RtcError> {
        if self.forbidden {
            return Err(RtcError::Absent("forbidden by the test".into()));
        }
        self.next_id += 1;
        let peer = PeerEnd {
            node,
            link: Link::New,
            has_local: false,
            remote: None,
            genuine: false,
            reachable: false,
            gathered: false,
            events: VecDeque::new(),
            waker: None,
        };
        self.peers.insert(self.next_id, peer);
        Ok(self.next_id)
    }

    /// Connects two without further ado.
    pub(super) fn join(&mut self, near: u64, far: u64) {
        for (id, other) in [(near, far), (far, near)] {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.has_local = true;
                peer.remote = Some(other);
                peer.genuine = true;
                peer.reachable = true;
                peer.gathered = true;
                peer.link = Link::Up;
            }
        }
    }

    pub(super) fn describe(&mut self, id: u64, kind: Kind) {
        let Some(peer) = self.peers.get(&id) else { return };
        // An offer has a media section when there is a channel to speak of, an answer when the offer had one.
        let media = match kind {
            Kind::Offer => self.channels.values().any(|channel| channel.peer == id),
            Kind::Answer => peer.remote.is_some(),
        };
        let told = if kind == Kind::Answer && peer.remote.is_none() {
            PeerEvent::Failed(RtcError::Failed("an answer before its offer".into()))
        } else {
            PeerEvent::Described(description::write(id, media))
        };
        self.tell(id, told);
    }

    pub(super) fn set_local(&mut self, id: u64, kind: Kind, sdp: &str) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let in_turn = kind == Kind::Offer || peer.remote.is_some();
        if !in_turn || description::named(sdp) != Some(id) {
            return self.tell(id, PeerEvent::Failed(RtcError::Failed("not a local description".into())));
        }
        peer.has_local = true;
        self.tell(id, PeerEvent::LocalSet);
        self.gather(id);
        self.connect(id);
    }

    pub(super) fn set_remote(&mut self, id: u64, kind: Kind, sdp: &str) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let in_turn = kind == Kind::Offer || peer.has_local;
        let Some(remote) = description::named(sdp).filter(|named| in_turn && *named != id) else {
            return self.tell(id, PeerEvent::Failed(RtcError::Failed("not a remote description".into())));
        };
        peer.remote = Some(remote);
        peer.genuine = description::is_genuine(sdp);
        self.tell(id, PeerEvent::RemoteSet);
        self.connect(id);
    }

    pub(super) fn add_candidate(&mut self, id: u64, candidate: &Candidate) {
        if self.lose_candidates > 0 {
            self.lose_candidates -= 1;
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.remote.is_some() && peer.remote == description::candidate_of(candidate) {
            peer.reachable = true;
            self.connect(id);
        }
    }

    pub(super) fn poll_peer(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<PeerEvent<u64>> {
        let Some(peer) = self.peers.get_mut(&id) else { return Poll::Pending };
        match peer.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                peer.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn close_peer(&mut self, id: u64) {
        let Some(peer) = self.peers.get(&id) else { return };
        // A remote that was never connected to does not hear of it.
        let remote = peer.remote.filter(|_| matches!(peer.link, Link::Up | Link::Interrupted));
        for id in [Some(id), remote].into_iter().flatten() {
            self.set_link(id, Link::Closed, State::Closed);
        }
    }

    pub(super) fn remove_peer(&mut self, id: u64) {
        self.close_peer(id);
        let removed = self.peers.remove(&id);
        // Channels that were never picked up go with it.
        for event in removed.into_iter().flat_map(|peer| peer.events) {
            if let PeerEvent::Channel { channel, .. } = event {
                self.remove_channel(channel);
            }
        }
    }

    fn gather(&mut self, id: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !std::mem::replace(&mut peer.gathered, true) {
            for number in 1..=CANDIDATES {
                self.tell(id, PeerEvent::Candidate(description::candidate(id, number)));
            }
        }
    }

    /// Connects `id` with its remote if each has all it needs of the other.
    fn connect(&mut self, id: u64) {
        let ready = |id: u64, other: u64| {
            self.peers.get(&id).is_some_and(|peer| {
                peer.link == Link::New && peer.has_local && peer.remote == Some(other) && peer.reachable
            })
        };
        let Some(other) = self.peers.get(&id).and_then(|peer| peer.remote) else { return };
        if !ready(id, other) || !ready(other, id) {
            return;
        }
        let genuine = [id, other].iter().all(|id| self.peers.get(id).is_some_and(|peer| peer.genuine));
        let (link, told) = match self.ice {
            Ice::Never => return,
            Ice::Works if genuine => (Link::Up, State::Connected),
            Ice::Works | Ice::Fails => (Link::Failed, State::Failed),
        };
        self.set_link(id, link, told);
        self.set_link(other, link, told);
        if !self.held {
            self.flush(usize::MAX);
        }
    }

    fn set_link(&mut self, id: u64, link: Link, told: State) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.link == Link::Closed {
            return;
        }
        peer.link = link;
        self.tell(id, PeerEvent::State(told));
        if matches!(link, Link::Failed | Link::Closed) {
            let ends = self.channels.iter().filter(|(_, channel)| channel.peer == id);
            for channel in ends.map(|(channel, _)| *channel).collect::<Vec<_>>() {
                self.end(channel, ChannelEvent::Closed);
            }
        }
    }

    fn tell(&mut self, id: u64, event: PeerEvent<u64>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.events.push_back(event);
            self.woken.extend(peer.waker.take());
        }
    }
}
