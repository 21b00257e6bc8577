//! Clocks and timers.

pub use imp::{now, sleep};

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use mesh_core::{Mono, Now};

    /// Both clocks now. The monotonic one starts with the process's first call.
    #[expect(clippy::disallowed_methods, reason = "the one place where clocks are read")]
    pub fn now() -> Now {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = START.get_or_init(Instant::now);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono(millis(start.elapsed())), unix: millis(unix) }
    }

    /// Ends after `millis` milliseconds, not before.
    pub async fn sleep(millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn millis(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use mesh_core::{Mono, Now};
    use send_wrapper::SendWrapper;
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = performance, js_name = now)]
        fn performance_now() -> f64;
    }

    /// Both clocks now. The monotonic one starts with the page or process.
    pub fn now() -> Now {
        Now { mono: Mono(performance_now() as u64), unix: js_sys::Date::now() as u64 }
    }

    /// Ends after `millis` milliseconds, not before.
    pub async fn sleep(millis: u64) {
        // setTimeout takes 31 bits; a longer sleep ends early, which callers that re-arm do not mind.
        let millis = u32::try_from(millis).unwrap_or(u32::MAX).min(i32::MAX as u32);
        SendWrapper::new(gloo_timers::future::TimeoutFuture::new(millis)).await;
    }
}
