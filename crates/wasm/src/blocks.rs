//! A block store of JavaScript's.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use js_sys::{Array, JsString, Promise, Reflect, Uint8Array};
use mesh_net::blocks::{BlockStore, BlockStoreError};
use mesh_unixfs::Block;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::{JsCast as _, JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(typescript_custom_section)]
const NODE_BLOCKS: &str = r#"
/** Where a node keeps blocks. A rejection whose `code` is `storage-full` says that there is no room; any other, that it fails. */
export interface NodeBlocks {
    /** All blocks that are kept, with their sizes. */
    list(): Promise<[string, number][]>;
    /** One of them, if it is kept. */
    get(cid: string): Promise<Uint8Array | undefined>;
    /** Keeps these. What is given is not changed until it resolves. */
    put(blocks: [string, Uint8Array][]): Promise<void>;
    /** Forgets these. */
    delete(cids: string[]): Promise<void>;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// What the caller brings.
    #[wasm_bindgen(typescript_type = "NodeBlocks")]
    pub type NodeBlocks;

    #[wasm_bindgen(method, catch)]
    fn list(this: &NodeBlocks) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn get(this: &NodeBlocks, cid: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(this: &NodeBlocks, blocks: Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &NodeBlocks, cids: Array) -> Result<Promise, JsValue>;
}

/// What the driver takes for a store.
pub(crate) fn of(blocks: NodeBlocks) -> Arc<dyn BlockStore> {
    Arc::new(JsBlocks(SendWrapper::new(blocks.into())))
}

#[derive(Debug)]
struct JsBlocks(SendWrapper<JsValue>);

impl JsBlocks {
    fn js(&self) -> &NodeBlocks {
        self.0.unchecked_ref()
    }
}

type Stored<T> = BoxFuture<'static, Result<T, BlockStoreError>>;

/// What comes of a promise.
fn settled<T>(
    promise: Result<Promise, JsValue>,
    read: impl FnOnce(JsValue) -> Result<T, BlockStoreError> + 'static,
) -> Stored<T>
where
    T: Send + 'static,
{
    let read = SendWrapper::new(read);
    SendWrapper::new(async move {
        let value = JsFuture::from(promise.map_err(failed)?).await.map_err(failed)?;
        (read.take())(value)
    })
    .boxed()
}

impl BlockStore for JsBlocks {
    fn list(&self) -> Stored<Vec<(Cid, u64)>> {
        settled(self.js().list(), |list| Array::from(&list).iter().map(listed).collect())
    }

    fn get(&self, cid: Cid) -> Stored<Option<Bytes>> {
        settled(self.js().get(&cid.to_string()), |data| match data.dyn_into::<Uint8Array>() {
            Ok(data) => Ok(Some(data.to_vec().into())),
            Err(other) if other.is_undefined() => Ok(None),
            Err(_) => Err(BlockStoreError::Failed("it holds what is no block".to_owned())),
        })
    }

    fn put(&self, blocks: Vec<Block>) -> Stored<()> {
        let pair = |block: Block| {
            let data = Uint8Array::from(&block.data()[..]);
            Array::of2(&JsValue::from_str(&block.cid().to_string()), &data)
        };
        settled(self.js().put(blocks.into_iter().map(pair).collect()), |_| Ok(()))
    }

    fn delete(&self, cids: Vec<Cid>) -> Stored<()> {
        let cids = cids.iter().map(|cid| JsValue::from_str(&cid.to_string())).collect();
        settled(self.js().delete(cids), |_| Ok(()))
    }
}

fn listed(pair: JsValue) -> Result<(Cid, u64), BlockStoreError> {
    let pair = Array::from(&pair);
    let cid = pair.get(0).dyn_into::<JsString>().ok().and_then(|cid| String::from(cid).parse().ok());
    match (cid, pair.get(1).as_f64()) {
        (Some(cid), Some(size)) if size >= 0.0 => Ok((cid, size as u64)),
        (Some(_) | None, Some(_) | None) => Err(BlockStoreError::Failed("it lists what is no block".to_owned())),
    }
}

fn failed(error: JsValue) -> BlockStoreError {
    let text = |name: &str| Reflect::get(&error, &JsValue::from_str(name)).ok().and_then(|value| value.as_string());
    match text("code").as_deref() {
        Some("storage-full") => BlockStoreError::Full,
        Some(_) | None => BlockStoreError::Failed(text("message").unwrap_or_else(|| format!("{error:?}"))),
    }
}
