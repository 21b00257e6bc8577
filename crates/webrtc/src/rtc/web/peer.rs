//! `RTCPeerConnection`.

use std::task::{Context, Poll};

use futures::future::{AbortHandle, Abortable};
use js_sys::{Promise, Reflect};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::super::{Candidate, Kind, MAX_EARLY, PeerEvent, RtcError, State};
use super::channel::Channel;
use super::inbox::Inbox;
use super::{failed, js, object};

/// Local candidates that wait to be polled. A host has a handful of addresses.
const MAX_CANDIDATES: usize = 256;

/// Bytes of a label that are kept.
const MAX_LABEL: usize = 256;

type Handler = Closure<dyn FnMut(js::Event)>;

/// A peer connection.
#[derive(Debug)]
pub struct Peer(SendWrapper<Inner>);

#[derive(Debug)]
struct Inner {
    peer: js::PeerConnection,
    inbox: Inbox<PeerEvent<Channel>>,
    /// The SCTP and the DTLS transport, once there are any.
    transports: Vec<js::Transport>,
    on_state: Handler,
    _on_candidate: Handler,
    _on_channel: Handler,
    /// Ends what waits for a promise: those of a connection that is closed are never kept.
    promises: Vec<AbortHandle>,
}

impl Peer {
    pub(super) fn new(peer: js::PeerConnection) -> Self {
        let inbox = Inbox::<PeerEvent<Channel>>::new();
        let on_candidate = Handler::new({
            let inbox = inbox.clone();
            move |event: js::Event| {
                let waiting = inbox.count(|event| matches!(event, PeerEvent::Candidate(_)));
                if let Some(candidate) = candidate_of(&event.candidate()).filter(|_| waiting < MAX_CANDIDATES) {
                    inbox.tell(PeerEvent::Candidate(candidate));
                }
            }
        });
        let on_channel = Handler::new({
            let inbox = inbox.clone();
            move |event: js::Event| {
                let waiting = inbox.count(|event| matches!(event, PeerEvent::Channel { .. }));
                let channel = event.channel();
                let label: String = channel.label().as_string().unwrap_or_default().chars().take(MAX_LABEL).collect();
                let channel = Channel::new(channel);
                // One too many is closed as it goes.
                if waiting < MAX_EARLY {
                    inbox.tell(PeerEvent::Channel { label, channel });
                }
            }
        });
        let on_state = Handler::new({
            // Held by the connection that it holds: broken up when the handlers are detached.
            let (peer, inbox) = (peer.clone(), inbox.clone());
            move |_| look(&peer, &inbox)
        });
        peer.set_onicecandidate(Some(on_candidate.as_ref().unchecked_ref()));
        peer.set_ondatachannel(Some(on_channel.as_ref().unchecked_ref()));
        peer.set_onconnectionstatechange(Some(on_state.as_ref().unchecked_ref()));
        Self(SendWrapper::new(Inner {
            peer,
            inbox,
            transports: Vec::new(),
            on_state,
            _on_candidate: on_candidate,
            _on_channel: on_channel,
            promises: Vec::new(),
        }))
    }
}

impl Inner {
    /// Tells what becomes of a command: what `then` makes of its result, or that it failed.
    fn await_it(
        &mut self,
        promise: Result<Promise, JsValue>,
        then: impl FnOnce(JsValue) -> Option<PeerEvent<Channel>> + 'static,
        otherwise: impl FnOnce(JsValue) -> Option<PeerEvent<Channel>> + 'static,
    ) {
        let inbox = self.inbox.clone();
        match promise {
            Ok(promise) => {
                // Holds the promise and not the connection: one that is closed may never keep it.
                let (abort, registration) = AbortHandle::new_pair();
                self.promises.push(abort);
                let told = async move {
                    let event = match JsFuture::from(promise).await {
                        Ok(value) => then(value),
                        Err(error) => otherwise(error),
                    };
                    if let Some(event) = event {
                        inbox.tell(event);
                    }
                };
                spawn_local(async move {
                    let _ = Abortable::new(told, registration).await;
                });
            }
            Err(error) => {
                if let Some(event) = otherwise(error) {
                    inbox.tell(event);
                }
            }
        }
    }

    /// The transports below are there once both descriptions are.
    fn watch_transports(&mut self) {
        if !self.transports.is_empty() {
            return;
        }
        let sctp = self.peer.sctp();
        if sctp.is_object() {
            let sctp: js::Transport = sctp.unchecked_into();
            let dtls = sctp.transport();
            self.transports.push(sctp);
            if dtls.is_object() {
                self.transports.push(dtls.unchecked_into());
            }
        }
        for transport in &self.transports {
            transport.set_onstatechange(Some(self.on_state.as_ref().unchecked_ref()));
        }
    }

    fn release(&mut self) {
        for promise in self.promises.drain(..) {
            promise.abort();
        }
        for transport in self.transports.drain(..) {
            transport.set_onstatechange(None);
        }
        self.peer.set_onicecandidate(None);
        self.peer.set_ondatachannel(None);
        self.peer.set_onconnectionstatechange(None);
        let _ = self.peer.close();
    }
}

/// Tells the state. A transport that is closed or failed is the end of the connection, which says so itself only when
/// ICE has waited in vain: 15 s later in Chromium. node-datachannel calls its transport closed while it is only
/// disconnected, so that state goes first.
fn look(peer: &js::PeerConnection, inbox: &Inbox<PeerEvent<Channel>>) {
    let sctp = peer.sctp();
    let mut below = Vec::new();
    if sctp.is_object() {
        let sctp: js::Transport = sctp.unchecked_into();
        below.push(sctp.state());
        let dtls = sctp.transport();
        if dtls.is_object() {
            below.push(dtls.unchecked_into::<js::Transport>().state());
        }
    }
    let below: Vec<_> = below.iter().filter_map(JsValue::as_string).collect();
    let state = peer.connection_state().as_string().unwrap_or_default();
    if state == "disconnected" {
        inbox.tell(PeerEvent::State(State::Disconnected));
    } else if state == "failed" || below.iter().any(|state| state == "failed") {
        inbox.end(PeerEvent::State(State::Failed));
    } else if state == "closed" || below.iter().any(|state| state == "closed") {
        inbox.end(PeerEvent::State(State::Closed));
    } else if state == "connected" {
        inbox.tell(PeerEvent::State(State::Connected));
    }
}

impl super::super::Peer for Peer {
    type Channel = Channel;

    fn create_channel(&mut self, label: &str) -> Result<Channel, RtcError> {
        self.0.peer.create_data_channel(label).map(Channel::new).map_err(failed)
    }

    fn create_negotiated(&mut self, label: &str, id: u16) -> Result<Channel, RtcError> {
        let options = object(&[("negotiated", JsValue::TRUE), ("id", JsValue::from(id))]);
        self.0.peer.create_data_channel_with(label, &options).map(Channel::new).map_err(failed)
    }

    fn describe(&mut self, kind: Kind) {
        let promise = match kind {
            Kind::Offer => self.0.peer.create_offer(),
            Kind::Answer => self.0.peer.create_answer(),
        };
        let sdp_of = |description: JsValue| {
            let sdp = Reflect::get(&description, &JsValue::from_str("sdp")).ok().and_then(|sdp| sdp.as_string());
            Some(match sdp {
                Some(sdp) => PeerEvent::Described(sdp),
                None => PeerEvent::Failed(RtcError::Failed("a description without SDP".to_owned())),
            })
        };
        self.0.await_it(promise, sdp_of, not_done);
    }

    fn set_local(&mut self, kind: Kind, sdp: &str) {
        let promise = self.0.peer.set_local_description(&description(kind, sdp));
        self.0.await_it(promise, |_| Some(PeerEvent::LocalSet), not_done);
    }

    fn set_remote(&mut self, kind: Kind, sdp: &str) {
        let promise = self.0.peer.set_remote_description(&description(kind, sdp));
        self.0.await_it(promise, |_| Some(PeerEvent::RemoteSet), not_done);
    }

    fn add_candidate(&mut self, candidate: &Candidate) {
        let Candidate { candidate, sdp_mid, sdp_m_line_index, username_fragment } = candidate;
        let text = |text: &Option<String>| text.as_deref().map_or(JsValue::NULL, JsValue::from_str);
        let candidate = object(&[
            ("candidate", JsValue::from_str(candidate)),
            ("sdpMid", text(sdp_mid)),
            ("sdpMLineIndex", sdp_m_line_index.map_or(JsValue::NULL, JsValue::from)),
            ("usernameFragment", text(username_fragment)),
        ]);
        let promise = self.0.peer.add_ice_candidate(&candidate);
        // One that is not understood, or not resolved, is passed over: there are others.
        self.0.await_it(promise, |_| None, |_| None);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PeerEvent<Channel>> {
        let event = futures::ready!(self.0.inbox.poll(cx));
        if matches!(event, PeerEvent::RemoteSet | PeerEvent::LocalSet | PeerEvent::State(State::Connected)) {
            self.0.watch_transports();
        }
        Poll::Ready(event)
    }

    fn close(&mut self) {
        self.0.release();
        self.0.inbox.end(PeerEvent::State(State::Closed));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.release();
        // Early channels write to their own inboxes as they go, not to this one.
        self.0.inbox.end_at_once(PeerEvent::State(State::Closed));
    }
}

fn not_done(error: JsValue) -> Option<PeerEvent<Channel>> {
    Some(PeerEvent::Failed(failed(error)))
}

fn description(kind: Kind, sdp: &str) -> JsValue {
    let kind = match kind {
        Kind::Offer => "offer",
        Kind::Answer => "answer",
    };
    object(&[("type", JsValue::from_str(kind)), ("sdp", JsValue::from_str(sdp))])
}

/// The candidate of an `icecandidate` event; none at the end of gathering, which is told by `null` or an empty one.
fn candidate_of(value: &JsValue) -> Option<Candidate> {
    if !value.is_object() {
        return None;
    }
    let get = |name: &str| Reflect::get(value, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
    let candidate = get("candidate").as_string().filter(|line| !line.is_empty())?;
    Some(Candidate {
        candidate,
        sdp_mid: get("sdpMid").as_string(),
        sdp_m_line_index: get("sdpMLineIndex").as_f64().map(|index| index as u16),
        username_fragment: get("usernameFragment").as_string(),
    })
}
