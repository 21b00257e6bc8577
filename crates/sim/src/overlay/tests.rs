//! One overlay in tables of steps ([`steps`]), and several of them over links that lose what a test says (`links`).

mod bounds;
mod links;
mod steps;

use mesh_core::Mono;
use mesh_core::gossip::Params;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;

fn message(text: &str) -> Message {
    Message::new(Topic::Swarm, text.to_owned().into())
}

fn large(fill: u8) -> Message {
    Message::new(Topic::Swarm, vec![fill; 2000].into())
}

fn overlay(params: &Params) -> Overlay {
    Overlay::new(params, ChaCha8Rng::seed_from_u64(7), Mono(0))
}

fn subscribe() -> Rpc {
    let subscriptions = Topic::ALL.map(|topic| Subscription { topic, subscribe: true }).to_vec();
    Parts { subscriptions, ..Parts::default() }.into()
}

fn graft() -> Rpc {
    Parts { graft: vec![Topic::Swarm], ..Parts::default() }.into()
}

fn ihave(ids: impl IntoIterator<Item = u64>) -> Rpc {
    let ids = ids.into_iter().map(MessageId).collect();
    Parts { ihave: vec![IHave { topic: Topic::Swarm, ids }], ..Parts::default() }.into()
}

/// Connects and subscribes hosts `1..=count`, all of which dialled.
fn with_neighbours(params: &Params, count: u32) -> Overlay {
    let mut overlay = overlay(params);
    for peer in (1..=count).map(HostId) {
        overlay.connected(peer, false, LOOPBACK, Mono(0));
        overlay.receive(peer, &subscribe(), Mono(0));
    }
    drain(&mut overlay);
    overlay
}

fn drain(overlay: &mut Overlay) -> Vec<Output> {
    std::iter::from_fn(|| overlay.poll_output()).collect()
}

/// Who is sent what `picks` finds in an RPC, ordered.
fn sent(overlay: &mut Overlay, picks: impl Fn(&Rpc) -> bool) -> Vec<u32> {
    let mut to: Vec<_> = drain(overlay)
        .into_iter()
        .filter_map(|output| match output {
            Output::Send { to, rpc } if picks(&rpc) => Some(to.0),
            Output::Send { .. } | Output::Message { .. } | Output::Listener { .. } => None,
        })
        .collect();
    to.sort_unstable();
    to
}

fn messages(rpc: &Rpc) -> bool {
    !rpc.messages.is_empty()
}

fn mesh(overlay: &Overlay) -> Vec<u32> {
    overlay.mesh(Topic::Swarm).map(|peer| peer.0).collect()
}

/// Lets heartbeats and decays pass up to `until`.
fn pass(overlay: &mut Overlay, until: u64) {
    while overlay.poll_timeout() <= Mono(until) {
        let now = overlay.poll_timeout();
        overlay.handle_timeout(now);
    }
}

/// Hands over a message that the host rejects.
fn rejected(overlay: &mut Overlay, from: u32, text: &str, now: u64) {
    let message = message(text);
    overlay.receive(HostId(from), &message.clone().into(), Mono(now));
    overlay.validated(message.id(), HostId(from), Verdict::Reject, Mono(now));
}
