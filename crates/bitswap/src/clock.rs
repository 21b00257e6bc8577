//! The one place that reads a clock. The machines are told what time it is.

use std::sync::OnceLock;
use std::time::Duration;

use web_time::Instant;

/// The time since this was first asked.
#[allow(clippy::disallowed_methods, reason = "this is the crate's clock; in the browser it is another method")]
pub(crate) fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    now.saturating_duration_since(*START.get_or_init(|| now))
}
