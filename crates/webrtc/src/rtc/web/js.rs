//! What is used of a browser's WebRTC, by name: <https://www.w3.org/TR/webrtc/>.

#![allow(missing_docs, reason = "named as in the specification")]

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[derive(Clone, Debug)]
    pub(super) type PeerConnection;

    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    pub(super) fn create_data_channel(this: &PeerConnection, label: &str) -> Result<DataChannel, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    pub(super) fn create_data_channel_with(
        this: &PeerConnection,
        label: &str,
        options: &JsValue,
    ) -> Result<DataChannel, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createOffer)]
    pub(super) fn create_offer(this: &PeerConnection) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createAnswer)]
    pub(super) fn create_answer(this: &PeerConnection) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setLocalDescription)]
    pub(super) fn set_local_description(this: &PeerConnection, description: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setRemoteDescription)]
    pub(super) fn set_remote_description(this: &PeerConnection, description: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = addIceCandidate)]
    pub(super) fn add_ice_candidate(this: &PeerConnection, candidate: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn close(this: &PeerConnection) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = connectionState)]
    pub(super) fn connection_state(this: &PeerConnection) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(super) fn sctp(this: &PeerConnection) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onicecandidate(this: &PeerConnection, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_ondatachannel(this: &PeerConnection, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onconnectionstatechange(this: &PeerConnection, handler: Option<&Function>);

    /// `RTCSctpTransport`, and its `transport`, an `RTCDtlsTransport`.
    #[derive(Clone, Debug)]
    pub(super) type Transport;

    #[wasm_bindgen(method, getter)]
    pub(super) fn state(this: &Transport) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(super) fn transport(this: &Transport) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onstatechange(this: &Transport, handler: Option<&Function>);

    #[derive(Clone, Debug)]
    pub(super) type DataChannel;

    #[wasm_bindgen(method, catch)]
    pub(super) fn send(this: &DataChannel, data: &[u8]) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = close)]
    pub(super) fn close_channel(this: &DataChannel) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn label(this: &DataChannel) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = readyState)]
    pub(super) fn ready_state(this: &DataChannel) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    pub(super) fn buffered_amount(this: &DataChannel) -> f64;
    #[wasm_bindgen(method, setter, js_name = bufferedAmountLowThreshold)]
    pub(super) fn set_buffered_amount_low_threshold(this: &DataChannel, bytes: f64);
    #[wasm_bindgen(method, setter, js_name = binaryType)]
    pub(super) fn set_binary_type(this: &DataChannel, kind: &str);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onopen(this: &DataChannel, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onmessage(this: &DataChannel, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onbufferedamountlow(this: &DataChannel, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onclose(this: &DataChannel, handler: Option<&Function>);

    /// Any event. Which properties it has depends on its kind.
    pub(super) type Event;

    #[wasm_bindgen(method, getter)]
    pub(super) fn candidate(this: &Event) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(super) fn channel(this: &Event) -> DataChannel;
    #[wasm_bindgen(method, getter)]
    pub(super) fn data(this: &Event) -> JsValue;
}
