//! The WebRTC of the page, or of the package that stands in for it in Node.js.

use js_sys::{Function, Reflect, Symbol};
use mesh_core::paths::Ability;
use mesh_net::Config;
use mesh_webrtc::rtc::web::Rtc;
use wasm_bindgen::JsCast as _;

use crate::types::WebrtcConfig;

/// What there is of WebRTC, and `config` to fit it. `wanted` is absent where the program wants none.
pub(crate) fn set_up(wanted: Option<WebrtcConfig>, config: &mut Config) -> Option<Rtc> {
    let Some(WebrtcConfig { ice_servers, hold_candidates }) = wanted else {
        config.core.paths.ability = Ability::Off;
        return None;
    };
    let rtc = find();
    rtc.set_ice_servers(ice_servers);
    config.webrtc.hold_candidates = hold_candidates;
    config.core.paths.ability = match rtc.present() {
        true => Ability::Able,
        false => Ability::Absent,
    };
    rtc.present().then_some(rtc)
}

/// The package may bring a class of its own, as it does in Node.js; else it is the global one.
fn find() -> Rtc {
    let own = Reflect::get(&js_sys::global(), &Symbol::for_("neural-mesh.RTCPeerConnection"));
    match own.ok().and_then(|class| class.dyn_into::<Function>().ok()) {
        Some(class) => Rtc::with_class(class),
        None => Rtc::global(),
    }
}
