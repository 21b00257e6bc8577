//! The WebRTC of a browser, or of whatever else has a class like `RTCPeerConnection`: in Node.js `node-datachannel`'s.
//!
//! Declares the few methods it needs itself. Those of `web-sys` cannot be caught when they throw, and lack the SCTP and
//! DTLS transports, which know of a closed connection 15 s before the connection's own state does.

mod channel;
mod inbox;
mod js;
mod peer;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Reflect};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::JsValue;

pub use channel::Channel;
pub use peer::Peer;

use super::RtcError;

/// Makes peer connections with a class of the host.
#[derive(Clone, Debug)]
pub struct Rtc(SendWrapper<Rc<Inner>>);

#[derive(Debug)]
struct Inner {
    class: Option<Function>,
    ice_servers: RefCell<Vec<String>>,
}

impl Rtc {
    /// With `class`, which is to have an `RTCPeerConnection`'s constructor.
    pub fn with_class(class: Function) -> Self {
        Self::maybe(Some(class))
    }

    /// With `globalThis.RTCPeerConnection`. Where there is none, every attempt fails with [`RtcError::Absent`].
    pub fn global() -> Self {
        let class = Reflect::get(&js_sys::global(), &JsValue::from_str("RTCPeerConnection"));
        Self::maybe(class.ok().and_then(|class| class.dyn_into().ok()))
    }

    fn maybe(class: Option<Function>) -> Self {
        Self(SendWrapper::new(Rc::new(Inner { class, ice_servers: RefCell::default() })))
    }

    /// Whether there is any WebRTC here.
    pub fn present(&self) -> bool {
        self.0.class.is_some()
    }

    /// STUN servers, such as `stun:192.0.2.1:3478`, of connections that are opened from now on. None by default.
    /// Browsers want fewer than five.
    pub fn set_ice_servers(&self, urls: Vec<String>) {
        *self.0.ice_servers.borrow_mut() = urls;
    }

    fn construct(&self) -> Result<js::PeerConnection, RtcError> {
        let absent = || RtcError::Absent("no RTCPeerConnection".to_owned());
        let class = self.0.class.as_ref().ok_or_else(absent)?;
        let urls: Array = self.0.ice_servers.borrow().iter().map(|url| JsValue::from_str(url)).collect();
        let servers = Array::new();
        if urls.length() > 0 {
            servers.push(&object(&[("urls", urls.into())]));
        }
        let config = object(&[("iceServers", servers.into())]);
        // The page is full: Chromium has room for 500, and what was closed counts until its garbage is collected.
        let full = |error: JsValue| RtcError::Full(describe(&error));
        Reflect::construct(class, &Array::of1(&config)).map(|peer| peer.unchecked_into()).map_err(full)
    }
}

impl super::Rtc for Rtc {
    type Peer = Peer;

    fn open(&self) -> Result<Peer, RtcError> {
        self.construct().map(Peer::new)
    }
}

/// A plain object of these properties.
fn object(properties: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in properties {
        // A fresh object takes any property.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

fn failed(error: JsValue) -> RtcError {
    RtcError::Failed(describe(&error))
}

fn describe(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "unknown error".to_owned())
}
