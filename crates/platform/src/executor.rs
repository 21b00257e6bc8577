//! Tasks.

pub use imp::{CondSend, spawn, yield_now};

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use std::future::Future;

    /// `Send` where there are threads to send to.
    pub trait CondSend: Send {}
    impl<T: Send> CondSend for T {}

    /// Runs `task` beside the caller until it ends. Needs a tokio runtime.
    pub fn spawn(task: impl Future<Output = ()> + CondSend + 'static) {
        tokio::spawn(task);
    }

    /// Lets others run.
    pub async fn yield_now() {
        tokio::task::yield_now().await;
    }
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use std::future::Future;

    use send_wrapper::SendWrapper;
    use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
    use wasm_bindgen_futures::JsFuture;

    /// Nothing: JavaScript has one thread.
    pub trait CondSend {}
    impl<T> CondSend for T {}

    /// Runs `task` beside the caller until it ends, on JavaScript's microtask queue.
    pub fn spawn(task: impl Future<Output = ()> + CondSend + 'static) {
        wasm_bindgen_futures::spawn_local(task);
    }

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(thread_local_v2, js_name = setImmediate)]
        static SET_IMMEDIATE: Option<js_sys::Function>;
    }

    /// Lets the host's events run. Awaiting alone does not: microtasks go before every event.
    pub async fn yield_now() {
        let turn = js_sys::Promise::new(&mut |resolve, _reject| {
            let later = SET_IMMEDIATE.with(|immediate| match immediate {
                Some(immediate) => immediate.call1(&JsValue::UNDEFINED, &resolve).is_ok(),
                None => false,
            });
            if !later {
                post(&resolve);
            }
        });
        let _ = SendWrapper::new(JsFuture::from(turn)).await;
    }

    /// A message to oneself is the fastest event that browsers do not throttle.
    fn post(resolve: &js_sys::Function) {
        match web_sys::MessageChannel::new() {
            Ok(channel) => {
                channel.port1().set_onmessage(Some(resolve));
                let _ = channel.port2().post_message(&JsValue::UNDEFINED);
            }
            Err(_) => {
                let _ = resolve.call0(&JsValue::UNDEFINED);
            }
        }
    }
}
