//! What the program asks: calls, and what it has taken.

use mesh_core::weights::Command;
use mesh_proto::transfer::Manifest;

use super::*;
use crate::calls::{Outgoing, Sharing};

impl<H: Host> Driver<H> {
    pub(super) fn on_call(&mut self, call: Call, now: Now) {
        match call {
            Call::Announce(agent, reply) => {
                let _ = reply.send(self.node.announce(agent, now));
            }
            Call::Withdraw(name, reply) => {
                let _ = reply.send(self.node.withdraw(&name, now));
            }
            Call::Agents(reply) => {
                let _ = reply.send(self.node.agents());
            }
            Call::Discover(criteria, options, reply) => match self.node.discover(criteria, options, now) {
                Ok(id) => {
                    self.waiting.searches.insert(id, reply);
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
            Call::Send(outgoing, reply) => {
                let Outgoing { target, from, body, timeout_ms } = outgoing;
                match self.node.send(target, from, body, timeout_ms, now) {
                    Ok(call) => {
                        self.waiting.sends.insert(call, reply);
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
            }
            Call::Publish(topic, body, reply) => {
                let _ = reply.send(self.node.publish(topic, body, now));
            }
            Call::Share(sharing, reply) => self.share(sharing, reply, now),
            Call::Topology(reply) => {
                let _ = reply.send((self.node.topology(), self.seeds.keys().copied().collect()));
            }
            Call::Metrics(reply) => {
                let _ = reply.send(self.node.metrics());
            }
            Call::Node(verb) => verb(&mut self.node, now),
            Call::Await(slot, reply) => match self.node.ended(&slot) {
                Some(ended) => {
                    let _ = reply.send(Ending::Decided(Box::new(ended)));
                }
                None => self.waiting.slots.entry(slot).or_default().push(reply),
            },
            Call::Settled(write, reply) => self.await_write(write, reply),
            Call::Blocks(call) => self.on_blocks_call(call, now),
            Call::Knowledge(call) => self.on_knowledge_call(call, now),
            Call::Wake(reply) => {
                self.wake(now);
                let _ = reply.send(());
            }
            Call::Close(reply) => {
                if self.closing.is_none() {
                    self.node.leave(now);
                    self.closing = Some(Closing {
                        reply: Some(reply),
                        end: now.mono + GOODBYE_MS,
                        patience: now.mono + ANSWERS_MS,
                    });
                }
            }
        }
    }

    fn share(&mut self, sharing: Sharing, reply: Reply<Result<Shared, ShareFailed>>, now: Now) {
        let Sharing { target, info, bytes, timeout_ms } = sharing;
        let begun = self.node.resolve(&target).map_err(ShareFailed::from).and_then(|to| {
            if to == self.node.id() {
                return Err(ShareFailed::Local);
            }
            let id = TransferId(self.node.random());
            let manifest = Arc::new(Manifest::describe(id, info, &bytes));
            // The bytes first: what the core wants done with them is done before this returns.
            self.transfers.keep(to, manifest.clone(), bytes);
            if let Err(error) = self.node.share(to, &manifest, timeout_ms, now) {
                self.transfer(Command::Release { to, id });
                return Err(error.into());
            }
            Ok((to, id))
        });
        match begun {
            Ok(key) => {
                self.waiting.shares.insert(key, reply);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    pub(super) fn on_taken(&mut self, items: Vec<TakenItem>, now: Now) {
        for item in items {
            match item {
                TakenItem::Message { from, session, number } => self.node.taken(from, session, number, now),
                TakenItem::Weights { from, id } => self.node.weights_taken(from, id, now),
            }
        }
    }

    /// Gives up what nobody waits for any more.
    pub(super) fn sweep(&mut self, now: Now) {
        if self.nobody_waits() || self.waiting.next_sweep > now.mono {
            return;
        }
        self.waiting.next_sweep = now.mono + SWEEP_MS;
        self.blocks.sweep(now);
        self.sweep_knowledge();
        let Self { waiting, node, .. } = self;
        waiting.sends.retain(|call, reply| {
            let gone = reply.is_canceled();
            if gone {
                node.cancel_send(*call, now);
            }
            !gone
        });
        waiting.searches.retain(|search, reply| {
            let gone = reply.is_canceled();
            if gone {
                node.cancel_discover(*search);
            }
            !gone
        });
        waiting.shares.retain(|(to, id), reply| {
            let gone = reply.is_canceled();
            if gone {
                node.cancel_share(*to, *id, now);
            }
            !gone
        });
        waiting.writes.retain(|_, replies| {
            replies.retain(|reply| !reply.is_canceled());
            !replies.is_empty()
        });
        waiting.slots.retain(|_, replies| {
            replies.retain(|reply| !reply.is_canceled());
            !replies.is_empty()
        });
        self.drain(now);
    }
}
