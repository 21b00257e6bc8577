//! The door to JavaScript.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;

use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::task::AtomicWaker;
use js_sys::{Array, Function, Object, Promise, Reflect};
use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, identify, ping};
use mesh_webrtc::address;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};
use wasm_bindgen_futures::{future_to_promise, spawn_local};

use crate::node::{self, Behaviour, BehaviourEvent};
use crate::stream::Stream;
use crate::streams::Opened;

/// A node. What happens it tells `tell(name, details)`.
#[wasm_bindgen]
pub struct Peer(Rc<Inner>);

struct Inner {
    swarm: RefCell<Swarm<Behaviour>>,
    /// Wakes the task that polls the swarm.
    waker: AtomicWaker,
    dials: RefCell<BTreeMap<ConnectionId, oneshot::Sender<Result<(), String>>>>,
    /// Whether each connection is direct.
    connections: RefCell<BTreeMap<ConnectionId, bool>>,
    tell: Function,
}

#[wasm_bindgen]
impl Peer {
    /// Accepts streams of `protocols`, which it tells of. `hold` as in `mesh_webrtc::Config::hold_candidates`.
    #[wasm_bindgen(constructor)]
    pub fn new(protocols: Vec<String>, hold: bool, tell: Function) -> Result<Peer, JsError> {
        let protocols: Result<Vec<_>, _> = protocols.into_iter().map(StreamProtocol::try_from_owned).collect();
        let inner = Rc::new(Inner {
            swarm: RefCell::new(node::swarm(protocols?, hold)?),
            waker: AtomicWaker::new(),
            dials: RefCell::default(),
            connections: RefCell::default(),
            tell,
        });
        spawn_local(run(Rc::clone(&inner)));
        Ok(Self(inner))
    }

    /// Its peer id.
    #[wasm_bindgen(getter, js_name = peerId)]
    pub fn peer_id(&self) -> String {
        self.0.swarm.borrow().local_peer_id().to_string()
    }

    /// Reserves at a relay. Under which addresses it is reached then, it tells as `reachable`.
    pub fn listen(&self, relay: &str) -> Result<(), JsError> {
        let address = format!("{relay}/p2p-circuit").parse::<Multiaddr>()?;
        self.0.with(|swarm| swarm.listen_on(address))?;
        Ok(())
    }

    /// Resolves when there is a connection by way of this address, and to nothing else.
    pub fn dial(&self, address: &str) -> Result<Promise, JsError> {
        let opts = DialOpts::from(address.parse::<Multiaddr>()?);
        let (respond, response) = oneshot::channel();
        self.0.dials.borrow_mut().insert(opts.connection_id(), respond);
        self.0.with(|swarm| swarm.dial(opts))?;
        Ok(promise(response, |()| JsValue::UNDEFINED))
    }

    /// Resolves to a stream of the direct connection to this peer.
    pub fn open(&self, peer: &str, protocol: String) -> Result<Promise, JsError> {
        let peer = peer.parse::<PeerId>()?;
        let protocol = StreamProtocol::try_from_owned(protocol)?;
        let (respond, response) = oneshot::channel();
        self.0.with(|swarm| swarm.behaviour_mut().streams.open(peer, protocol, respond));
        Ok(promise(response, |stream| Stream::from(stream).into()))
    }

    /// Closes all connections to this peer.
    pub fn close(&self, peer: &str) -> Result<(), JsError> {
        let peer = peer.parse::<PeerId>()?;
        // `Err`: there is none.
        let _ = self.0.with(|swarm| swarm.disconnect_peer_id(peer));
        Ok(())
    }
}

fn promise<T: 'static>(
    response: oneshot::Receiver<Result<T, String>>,
    then: impl FnOnce(T) -> JsValue + 'static,
) -> Promise {
    future_to_promise(async move {
        let result = response.await.unwrap_or_else(|_| Err("the connection is gone".to_owned()));
        result.map(then).map_err(|error| JsError::new(&error).into())
    })
}

/// Polls the swarm for ever. It is not borrowed while JavaScript is told, which may call us.
async fn run(inner: Rc<Inner>) {
    loop {
        let event = poll_fn(|cx| {
            inner.waker.register(cx.waker());
            inner.swarm.borrow_mut().poll_next_unpin(cx)
        });
        let Some(event) = event.await else { return };
        inner.hear(event);
    }
}

impl Inner {
    fn with<T>(&self, act: impl FnOnce(&mut Swarm<Behaviour>) -> T) -> T {
        let result = act(&mut self.swarm.borrow_mut());
        self.waker.wake();
        result
    }

    fn hear(&self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let (end, dialled) = match &endpoint {
                    ConnectedPoint::Dialer { address, .. } => (address, true),
                    ConnectedPoint::Listener { local_addr, .. } => (local_addr, false),
                };
                let direct = address::is_direct_webrtc(end);
                self.connections.borrow_mut().insert(connection_id, direct);
                let address = endpoint.get_remote_address().to_string().into();
                self.told("connected", peer_id, direct, &[("dialled", dialled.into()), ("address", address)]);
                self.dialled(connection_id, Ok(()));
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                let direct = self.connections.borrow_mut().remove(&connection_id).unwrap_or(false);
                let cause = cause.map_or(JsValue::UNDEFINED, |cause| cause.to_string().into());
                self.told("closed", peer_id, direct, &[("cause", cause)]);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dialled(connection_id, Err(error.to_string()));
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                self.tell("reachable", &[("address", address.to_string().into())]);
            }
            SwarmEvent::Behaviour(event) => self.behaviour(event),
            _ => {}
        }
    }

    fn behaviour(&self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { connection_id, peer_id, info }) => {
                let protocols: Array =
                    info.protocols.iter().map(|protocol| JsValue::from_str(protocol.as_ref())).collect();
                let details = [("agent", info.agent_version.into()), ("protocols", protocols.into())];
                self.told("identified", peer_id, self.direct(connection_id), &details);
            }
            BehaviourEvent::Ping(ping::Event { peer, connection, result }) => {
                let (name, value) = match result {
                    Ok(rtt) => ("ms", (rtt.as_secs_f64() * 1000.0).into()),
                    Err(error) => ("error", error.to_string().into()),
                };
                self.told("ping", peer, self.direct(connection), &[(name, value)]);
            }
            BehaviourEvent::Streams(Opened { peer, protocol, stream }) => {
                let details = [("protocol", protocol.to_string().into()), ("stream", Stream::from(stream).into())];
                self.told("stream", peer, true, &details);
            }
            BehaviourEvent::Webrtc(event) => self.tell("webrtc", &[("text", format!("{event:?}").into())]),
            _ => {}
        }
    }

    fn dialled(&self, connection: ConnectionId, result: Result<(), String>) {
        if let Some(respond) = self.dials.borrow_mut().remove(&connection) {
            let _ = respond.send(result);
        }
    }

    fn direct(&self, connection: ConnectionId) -> bool {
        self.connections.borrow().get(&connection).copied().unwrap_or(false)
    }

    fn told(&self, name: &str, peer: PeerId, direct: bool, details: &[(&str, JsValue)]) {
        let mut all = vec![("peer", peer.to_string().into()), ("direct", direct.into())];
        all.extend_from_slice(details);
        self.tell(name, &all);
    }

    fn tell(&self, name: &str, details: &[(&str, JsValue)]) {
        let object = Object::new();
        for (name, value) in details {
            // A fresh object takes any property.
            let _ = Reflect::set(&object, &JsValue::from_str(name), value);
        }
        // What it throws is its own affair, and told where it is caught.
        let _ = self.tell.call2(&JsValue::UNDEFINED, &JsValue::from_str(name), &object);
    }
}
