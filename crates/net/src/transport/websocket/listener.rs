//! Listening, with the server that the host gives: Node.js has one, a browser has none.
//!
//! The host's function lies at `globalThis[Symbol.for('neural-mesh.listen')]`. It takes a host, a port and a callback for
//! sockets, and resolves to `{ port, hosts, close }` when it listens.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::channel::{mpsc, oneshot};
use futures::future::{FutureExt as _, Ready, ready};
use futures::{Stream as _, future::LocalBoxFuture};
use js_sys::{Function, Promise, Reflect, Symbol};
use libp2p::Multiaddr;
use libp2p::core::transport::{ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::{Closure, JsCast as _, JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{BinaryType, WebSocket};

use super::{Connection, describe};

/// Sockets that were accepted by the host and not by the swarm yet. Past it they are closed as they come.
const MAX_WAITING: usize = 64;

type Event = TransportEvent<Ready<Result<Connection, io::Error>>, io::Error>;

#[wasm_bindgen]
extern "C" {
    /// A server that listens.
    type Server;

    #[wasm_bindgen(method, getter)]
    fn port(this: &Server) -> u16;
    #[wasm_bindgen(method, getter)]
    fn hosts(this: &Server) -> Vec<String>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Server) -> Result<(), JsValue>;
}

/// Every address that is listened on.
pub(super) struct Listeners(SendWrapper<Inner>);

#[derive(Default)]
struct Inner {
    listeners: Vec<Listener>,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

struct Listener {
    id: ListenerId,
    address: IpAddr,
    state: State,
    sockets: mpsc::Receiver<(Connection, Multiaddr)>,
    _accept: Closure<dyn FnMut(WebSocket, String, u16)>,
}

enum State {
    Starting(LocalBoxFuture<'static, Result<Server, JsValue>>),
    Open { server: Server, port: u16 },
}

impl Default for Listeners {
    fn default() -> Self {
        Self(SendWrapper::new(Inner::default()))
    }
}

impl Listeners {
    pub(super) fn add(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        let Some((ip, port)) = endpoint_of(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let listen = Reflect::get(&js_sys::global(), &Symbol::for_("neural-mesh.listen"));
        let listen: Function = match listen.map(|listen| listen.dyn_into()) {
            Ok(Ok(listen)) => listen,
            Ok(Err(_)) | Err(_) => return Err(failed("this environment cannot listen, as a browser cannot")),
        };
        let (mut give, sockets) = mpsc::channel(MAX_WAITING);
        let accept = Closure::<dyn FnMut(WebSocket, String, u16)>::new(move |socket: WebSocket, host: String, port| {
            socket.set_binary_type(BinaryType::Arraybuffer);
            // It is open already.
            let (opened, _) = oneshot::channel();
            let connection = Connection::new(socket, opened);
            if let Ok(ip) = host.parse::<IpAddr>() {
                // One that finds no room is closed as it goes.
                let _ = give.try_send((connection, address_of(ip, port)));
            }
        });
        let (host, port, callback) = (ip.to_string().into(), JsValue::from(port), accept.as_ref());
        let started = listen.call3(&JsValue::UNDEFINED, &host, &port, callback);
        let starting = async move {
            let promise = Promise::resolve(&started?);
            Ok(JsFuture::from(promise).await?.unchecked_into())
        };
        let state = State::Starting(starting.boxed_local());
        self.0.listeners.push(Listener { id, address: ip, state, sockets, _accept: accept });
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: ListenerId) -> bool {
        let Some(place) = self.0.listeners.iter().position(|listener| listener.id == id) else {
            return false;
        };
        drop(self.0.listeners.remove(place));
        self.0.events.push_back(TransportEvent::ListenerClosed { listener_id: id, reason: Ok(()) });
        true
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let Inner { listeners, events, waker } = &mut *self.0;
        if let Some(event) = events.pop_front() {
            return Poll::Ready(event);
        }
        for place in 0..listeners.len() {
            if let Poll::Ready(told) = listeners[place].poll(cx) {
                if told.iter().any(|event| matches!(event, TransportEvent::ListenerClosed { .. })) {
                    listeners.remove(place);
                }
                events.extend(told);
                return events.pop_front().map_or(Poll::Pending, Poll::Ready);
            }
        }
        *waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Listener {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Event>> {
        let listener_id = self.id;
        match &mut self.state {
            State::Starting(starting) => match futures::ready!(starting.poll_unpin(cx)) {
                Ok(server) => {
                    let port = server.port();
                    let hosts = server.hosts().into_iter().filter_map(|host| host.parse::<IpAddr>().ok());
                    let told =
                        hosts.map(|ip| TransportEvent::NewAddress { listener_id, listen_addr: address_of(ip, port) });
                    let told = told.collect();
                    self.state = State::Open { server, port };
                    Poll::Ready(told)
                }
                Err(error) => {
                    let reason = Err(io::Error::other(describe(&error)));
                    Poll::Ready(vec![TransportEvent::ListenerClosed { listener_id, reason }])
                }
            },
            State::Open { port, .. } => {
                let local_addr = address_of(self.address, *port);
                // The sender lives in a closure that lives here.
                let Some((connection, send_back_addr)) = futures::ready!(Pin::new(&mut self.sockets).poll_next(cx))
                else {
                    return Poll::Pending;
                };
                let upgrade = ready(Ok(connection));
                Poll::Ready(vec![TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr }])
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        match &self.state {
            State::Open { server, .. } => drop(server.close()),
            State::Starting(_) => {}
        }
    }
}

/// The IP address and port of `/ip4|ip6/…/tcp/…/ws`, and of nothing else.
#[expect(clippy::wildcard_enum_match_arm, reason = "multiaddrs have dozens of parts that are no WebSocket's")]
fn endpoint_of(address: &Multiaddr) -> Option<(IpAddr, u16)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next()?, parts.next()) {
        (Protocol::Tcp(port), Protocol::Ws(_), None) => Some((ip, port)),
        _ => None,
    }
}

fn address_of(ip: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(ip).with(Protocol::Tcp(port)).with(Protocol::Ws("/".into()))
}

fn failed(reason: &str) -> TransportError<io::Error> {
    TransportError::Other(io::Error::new(io::ErrorKind::Unsupported, reason))
}
