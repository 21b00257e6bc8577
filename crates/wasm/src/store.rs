//! A store of JavaScript's.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use js_sys::{Array, JsString, Promise, Uint8Array};
use mesh_core::records::Change;
use mesh_net::{Store, StoreError};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::{JsCast as _, JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(typescript_custom_section)]
const NODE_STORE: &str = r#"
/** Where a node keeps what it must not forget. */
export interface NodeStore {
    /** All records. */
    load(): Promise<[string, Uint8Array][]>;
    /** Makes changes, in order; without a value the record goes. Safe from a crash when it resolves. */
    write(changes: [string, Uint8Array | undefined][]): Promise<void>;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// What the caller brings.
    #[wasm_bindgen(typescript_type = "NodeStore")]
    pub type NodeStore;

    #[wasm_bindgen(method, catch)]
    fn load(this: &NodeStore) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn write(this: &NodeStore, changes: Array) -> Result<Promise, JsValue>;
}

/// What the core takes for a store.
pub(crate) fn of(store: NodeStore) -> Arc<dyn Store> {
    Arc::new(JsStore(SendWrapper::new(store.into())))
}

#[derive(Debug)]
struct JsStore(SendWrapper<JsValue>);

impl JsStore {
    fn js(&self) -> &NodeStore {
        self.0.unchecked_ref()
    }
}

impl Store for JsStore {
    fn load(&self) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, StoreError>> {
        let loading = self.js().load();
        SendWrapper::new(async move {
            let records = JsFuture::from(loading.map_err(failed)?).await.map_err(failed)?;
            Array::from(&records).iter().map(record).collect()
        })
        .boxed()
    }

    fn write(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> {
        let pair = |Change { key, value }: Change| {
            let value = value.map_or(JsValue::UNDEFINED, |value| Uint8Array::from(&value[..]).into());
            Array::of2(&JsValue::from_str(&key), &value)
        };
        let writing = self.js().write(changes.into_iter().map(pair).collect());
        SendWrapper::new(async move {
            JsFuture::from(writing.map_err(failed)?).await.map_err(failed)?;
            Ok(())
        })
        .boxed()
    }
}

fn record(pair: JsValue) -> Result<(String, Bytes), StoreError> {
    let pair = Array::from(&pair);
    match (pair.get(0).dyn_into::<JsString>(), pair.get(1).dyn_into::<Uint8Array>()) {
        (Ok(key), Ok(value)) => Ok((key.into(), value.to_vec().into())),
        (Ok(_) | Err(_), _) => Err(StoreError("it holds what is no record".to_owned())),
    }
}

fn failed(error: JsValue) -> StoreError {
    let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    StoreError(message.unwrap_or_else(|| format!("{error:?}")))
}
