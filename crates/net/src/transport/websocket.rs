//! WebSocket as a libp2p transport, over the socket class that the host gives.
//!
//! Our own because `libp2p-websocket-websys` needs a window, notices a closed socket only with the next write, and takes
//! more than 1 MiB of unread input for an attack (docs/adr/0003). It listens where the host knows how to.

mod listener;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt as _, Ready};
use futures::{AsyncRead, AsyncWrite};
use js_sys::{Array, ArrayBuffer, Function, Reflect, Symbol, Uint8Array};
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::{Closure, JsCast, JsValue};
use web_sys::{BinaryType, Event, MessageEvent, WebSocket};

use listener::Listeners;

/// Bytes that may wait in the socket before writing pauses. The socket tells nobody when it has room again, so it is
/// looked at every [`POLL_MS`] while it is full; small enough not to delay what comes behind it.
const HIGH_WATER: usize = 256 * 1024;
/// Bytes that are gathered into one message. Each costs the host a frame, a system call and an event at the other end.
const SEND_LEN: usize = 64 * 1024;
/// Milliseconds between two looks at a full socket.
const POLL_MS: u64 = 1;
/// Bytes that may have arrived and not been read. A WebSocket cannot be told to wait, yamux's windows keep an honest
/// remote far below this, and past it the connection is given up.
const MAX_UNREAD: usize = 64 * 1024 * 1024;

/// Dials `/ws` and `/wss` addresses, and listens on `/ws` ones.
#[derive(Default)]
pub(super) struct Transport(Listeners);

impl libp2p::core::Transport for Transport {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = Ready<Result<Connection, io::Error>>;
    type Dial = BoxFuture<'static, Result<Connection, io::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.0.add(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove(id)
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        match url_of(&address) {
            Some(url) => Ok(SendWrapper::new(open(url)).boxed()),
            None => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        self.0.poll(cx)
    }
}

/// `ws://…` for a WebSocket address, nothing for any other.
#[expect(clippy::wildcard_enum_match_arm, reason = "multiaddrs have dozens of parts that are no WebSocket's")]
fn url_of(address: &Multiaddr) -> Option<String> {
    let mut parts = address.iter();
    let host = match parts.next()? {
        Protocol::Ip4(ip) => ip.to_string(),
        Protocol::Ip6(ip) => format!("[{ip}]"),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else {
        return None;
    };
    let (scheme, path) = match parts.next()? {
        Protocol::Ws(path) => ("ws", path),
        Protocol::Wss(path) => ("wss", path),
        Protocol::Tls => match parts.next()? {
            Protocol::Ws(path) => ("wss", path),
            _ => return None,
        },
        _ => return None,
    };
    match parts.next() {
        None | Some(Protocol::P2p(_)) => Some(format!("{scheme}://{host}:{port}{path}")),
        Some(_) => None,
    }
}

async fn open(url: String) -> Result<Connection, io::Error> {
    let socket = construct(&url).map_err(|error| io::Error::other(describe(&error)))?;
    socket.set_binary_type(BinaryType::Arraybuffer);
    let (opened, opening) = oneshot::channel();
    let connection = Connection::new(socket, opened);
    match opening.await {
        Ok(()) => Ok(connection),
        Err(oneshot::Canceled) => {
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("no WebSocket at {url}")))
        }
    }
}

/// The package may bring a socket class of its own (Node.js before 22 has none); else it is the global one.
fn construct(url: &str) -> Result<WebSocket, JsValue> {
    let global = js_sys::global();
    let own = Reflect::get(&global, &Symbol::for_("neural-mesh.WebSocket"))?;
    let class = match own.is_undefined() {
        true => Reflect::get(&global, &JsValue::from_str("WebSocket"))?,
        false => own,
    };
    let class: Function = class.dyn_into().map_err(|_| JsValue::from_str("this environment has no WebSocket"))?;
    Reflect::construct(&class, &Array::of1(&JsValue::from_str(url))).map(JsCast::unchecked_into)
}

fn describe(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "unknown error".to_owned())
}

/// A WebSocket as a stream of bytes.
pub(super) struct Connection(SendWrapper<Socket>);

struct Socket {
    socket: WebSocket,
    state: Rc<RefCell<State>>,
    /// Looks at a full socket again.
    retry: Option<Pin<Box<dyn Future<Output = ()>>>>,
    _on_open: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(Event)>,
}

#[derive(Default)]
struct State {
    unread: VecDeque<Uint8Array>,
    /// Bytes of the first chunk that were read.
    offset: u32,
    bytes: usize,
    /// Bytes that were written and wait to be sent together.
    unsent: Vec<u8>,
    /// Whether a task will send them.
    sending: bool,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn send(&mut self, socket: &WebSocket) {
        // A copy of its own: a view of wasm memory is detached when the memory grows while the socket still holds it.
        let bytes = Uint8Array::from(&self.unsent[..]);
        self.unsent.clear();
        if bytes.length() > 0 && !self.closed && socket.send_with_array_buffer(&bytes.buffer()).is_err() {
            self.close();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Connection {
    fn new(socket: WebSocket, opened: oneshot::Sender<()>) -> Self {
        let state = Rc::new(RefCell::new(State::default()));
        let opened = Rc::new(RefCell::new(Some(opened)));

        let on_open = Closure::<dyn FnMut(Event)>::new({
            let opened = opened.clone();
            move |_| {
                if let Some(opened) = opened.borrow_mut().take() {
                    let _ = opened.send(());
                }
            }
        });
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let state = state.clone();
            move |event: MessageEvent| {
                let mut state = state.borrow_mut();
                // A text message is no part of any protocol of ours.
                let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() else {
                    return state.close();
                };
                let chunk = Uint8Array::new(&buffer);
                // To read nothing would be the end. js-libp2p sends messages without a byte.
                if chunk.length() == 0 {
                    return;
                }
                state.bytes += chunk.length() as usize;
                if state.bytes > MAX_UNREAD {
                    return state.close();
                }
                state.unread.push_back(chunk);
                if let Some(reader) = state.reader.take() {
                    reader.wake();
                }
            }
        });
        let on_close = Closure::<dyn FnMut(Event)>::new({
            let state = state.clone();
            move |_| {
                state.borrow_mut().close();
                opened.borrow_mut().take();
            }
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        socket.set_onerror(Some(on_close.as_ref().unchecked_ref()));

        Self(SendWrapper::new(Socket {
            socket,
            state,
            retry: None,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        }))
    }
}

/// Runs behind the tasks that are ready now, so that what they write goes into one message.
fn send_soon(socket: WebSocket, state: Rc<RefCell<State>>) -> impl Future<Output = ()> {
    futures::future::lazy(move |_| {
        let mut state = state.borrow_mut();
        state.sending = false;
        state.send(&socket);
    })
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.state.borrow_mut();
        let Some(chunk) = state.unread.front().cloned() else {
            if state.closed {
                return Poll::Ready(Ok(0));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let start = state.offset;
        let len = (chunk.length() - start).min(buf.len() as u32);
        chunk.subarray(start, start + len).copy_to(&mut buf[..len as usize]);
        state.bytes -= len as usize;
        state.offset += len;
        if state.offset == chunk.length() {
            state.unread.pop_front();
            state.offset = 0;
        }
        Poll::Ready(Ok(len as usize))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let socket = &mut *self.0;
        loop {
            let state = &mut *socket.state.borrow_mut();
            if state.closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if state.unsent.len() + (socket.socket.buffered_amount() as usize) < HIGH_WATER {
                break;
            }
            state.writer = Some(cx.waker().clone());
            let retry = socket.retry.get_or_insert_with(|| Box::pin(mesh_platform::sleep(POLL_MS)));
            futures::ready!(retry.as_mut().poll(cx));
            socket.retry = None;
        }
        socket.retry = None;
        let mut state = socket.state.borrow_mut();
        state.unsent.extend_from_slice(buf);
        if state.unsent.len() >= SEND_LEN {
            state.send(&socket.socket);
        } else if !state.sending {
            state.sending = true;
            mesh_platform::spawn(send_soon(socket.socket.clone(), socket.state.clone()));
        }
        Poll::Ready(Ok(buf.len()))
    }

    /// What was written is sent at the end of the host's turn, with all else that is written until then.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.state.borrow().closed {
            true => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state.borrow_mut().send(&self.0.socket);
        let _ = self.0.socket.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        self.socket.set_onerror(None);
        let _ = self.socket.close();
    }
}
