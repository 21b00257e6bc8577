//! What the tests with real sockets share: honest members, attackers, and the bytes that attackers make by hand.
//!
//! Everything runs on loopback, on ports that the system picks. Tests wait for what members tell, within [`LIMIT`], and
//! never for a time to pass.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::print_stdout, reason = "tests tell what they counted")]

pub(crate) mod attacker;
pub(crate) mod blocks;
pub(crate) mod member;
pub(crate) mod relay;
pub(crate) mod siege;
pub(crate) mod wire;

use std::time::Duration;

use tokio::time::timeout;

/// Patience with anything that ought to happen at once. Machines that build at the same time are slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits for `work`.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(LIMIT, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {LIMIT:?}"),
    }
}

/// Milliseconds on the clock that only goes forward.
pub(crate) fn millis() -> u64 {
    mesh_net::now().mono.0
}

/// MiB of this process that are in memory; 0 where the system does not say.
pub(crate) fn resident_mib() -> u64 {
    const PAGE: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: Option<u64> = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    resident.unwrap_or(0) * PAGE / (1024 * 1024)
}
