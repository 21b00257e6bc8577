//! A listener: its socket, and the addresses of this host that lead to it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::channel::mpsc;
use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;
use libp2p::core::transport::ListenerId;

use super::Task;
use super::certificate::Certificate;
use super::doorman::MAX_SETUPS;
use super::socket::{Incoming, Post};

/// What happens at a listener.
pub(super) enum Happening {
    Incoming(Incoming),
    Found(SocketAddr),
    Lost(SocketAddr),
    Failed(io::Error),
    /// It is closed. Nothing more comes.
    Over,
}

/// One listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) id: ListenerId,
    local: SocketAddr,
    /// `None` once it is closed.
    open: Option<Open>,
    /// Told first.
    found: VecDeque<SocketAddr>,
}

#[derive(Debug)]
struct Open {
    incoming: mpsc::Receiver<Incoming>,
    /// Tells of this host's addresses, where the socket takes what is sent to any.
    watcher: Option<IfWatcher>,
    _task: Task,
}

impl Listener {
    pub(super) fn new(id: ListenerId, address: SocketAddr, certificate: Certificate) -> io::Result<Self> {
        let post = Arc::new(Post::bind(address)?);
        let local = post.local()?;
        let (new, incoming) = mpsc::channel(MAX_SETUPS);
        let any = address.ip().is_unspecified();
        let watcher = if any { Some(IfWatcher::new()?) } else { None };
        let found = if any { VecDeque::new() } else { VecDeque::from([local]) };
        let task = Task::run(post, certificate, new);
        Ok(Self { id, local, open: Some(Open { incoming, watcher, _task: task }), found })
    }

    /// Closes it. Whether it was open.
    pub(super) fn close(&mut self) -> bool {
        self.open.take().is_some()
    }

    /// What happens next, and where it listens.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Happening, SocketAddr)> {
        let local = self.local;
        let Some(open) = &mut self.open else { return Poll::Ready((Happening::Over, local)) };
        if let Some(socket) = self.found.pop_front() {
            return Poll::Ready((Happening::Found(socket), local));
        }
        while let Some(watcher) = &mut open.watcher
            && let Poll::Ready(event) = watcher.poll_if_event(cx)
        {
            let at = |ip: IpAddr| (ip.is_ipv4() == local.is_ipv4()).then(|| SocketAddr::new(ip, local.port()));
            let happening = match event {
                Ok(IfEvent::Up(net)) => at(net.addr()).map(Happening::Found),
                Ok(IfEvent::Down(net)) => at(net.addr()).map(Happening::Lost),
                Err(error) => {
                    // What is known stays; nothing new is learned.
                    open.watcher = None;
                    Some(Happening::Failed(error))
                }
            };
            if let Some(happening) = happening {
                return Poll::Ready((happening, local));
            }
        }
        match open.incoming.poll_next_unpin(cx) {
            Poll::Ready(Some(incoming)) => Poll::Ready((Happening::Incoming(incoming), local)),
            // The task has ended, which it never should.
            Poll::Ready(None) => {
                self.open = None;
                Poll::Ready((Happening::Over, local))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
