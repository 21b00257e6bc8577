//! A stream as JavaScript has it.

use std::rc::Rc;

use futures::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use futures::lock::Mutex;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;

/// The most that one read gives.
const READ: usize = 64 * 1024;

/// A stream: `read`, `write`, `finish`. Freed without `finish`, it is reset.
#[wasm_bindgen]
pub struct Stream {
    read: Rc<Mutex<ReadHalf<libp2p::Stream>>>,
    write: Rc<Mutex<WriteHalf<libp2p::Stream>>>,
}

impl From<libp2p::Stream> for Stream {
    fn from(stream: libp2p::Stream) -> Self {
        let (read, write) = stream.split();
        Self { read: Rc::new(Mutex::new(read)), write: Rc::new(Mutex::new(write)) }
    }
}

#[wasm_bindgen]
impl Stream {
    /// Resolves to bytes, or to `undefined` at the end.
    pub fn read(&self) -> Promise {
        let half = Rc::clone(&self.read);
        future_to_promise(async move {
            let mut bytes = vec![0; READ];
            let count = half.lock().await.read(&mut bytes).await.map_err(thrown)?;
            Ok(if count == 0 { JsValue::UNDEFINED } else { Uint8Array::from(&bytes[..count]).into() })
        })
    }

    /// Resolves when all of it is in the channel's hands.
    pub fn write(&self, bytes: Vec<u8>) -> Promise {
        let half = Rc::clone(&self.write);
        future_to_promise(async move {
            half.lock().await.write_all(&bytes).await.map_err(thrown)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Sends what is left and ends our half.
    pub fn finish(&self) -> Promise {
        let half = Rc::clone(&self.write);
        future_to_promise(async move {
            half.lock().await.close().await.map_err(thrown)?;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn thrown(error: std::io::Error) -> JsValue {
    JsError::new(&format!("{:?}: {error}", error.kind())).into()
}
