//! SHA-256 by the host, where it answers at once and is faster than wasm: blocks of IPFS are hashed each time that they are
//! made, come, or are read. It touches nothing of the core's, so it may be called while something is borrowed.

use std::cell::RefCell;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// What the caller brings.
    #[wasm_bindgen(typescript_type = "(data: Uint8Array) => Uint8Array")]
    pub type Sha256;

    /// `data` is a view of memory that is good for this call only.
    #[wasm_bindgen(method, catch, js_name = call)]
    fn digest(this: &Sha256, that: &JsValue, data: &[u8]) -> Result<Box<[u8]>, JsValue>;
}

thread_local! {
    static HOST: RefCell<Option<Sha256>> = const { RefCell::new(None) };
}

/// Has long blocks hashed by this function from now on.
#[wasm_bindgen(js_name = useSha256)]
pub fn use_sha256(digest: Sha256) {
    HOST.set(Some(digest));
    mesh_unixfs::use_sha256(by_host);
}

fn by_host(data: &[u8]) -> Option<[u8; 32]> {
    HOST.with_borrow(|host| {
        let digest = host.as_ref()?.digest(&JsValue::UNDEFINED, data).ok()?;
        digest.as_ref().try_into().ok()
    })
}
