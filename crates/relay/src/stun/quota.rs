//! How many requests are answered: so many in each second, altogether and for each source.
//!
//! Sources of UDP can be invented, so nothing is kept of them for longer than a second, and no more than the whole quota.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use mesh_core::Mono;

/// Length of the span that is counted in, in milliseconds.
const SPAN_MS: u64 = 1_000;

/// What was answered in this second.
pub(super) struct Quota {
    total: u32,
    per_source: u32,
    began: Mono,
    answered: u32,
    by_source: BTreeMap<IpAddr, u32>,
}

impl Quota {
    pub(super) fn new(total: NonZeroU32, per_source: NonZeroU32) -> Self {
        Self {
            total: total.get(),
            per_source: per_source.get(),
            began: Mono(0),
            answered: 0,
            by_source: BTreeMap::new(),
        }
    }

    /// Whether one more is answered to `from`.
    pub(super) fn take(&mut self, from: IpAddr, now: Mono) -> bool {
        if now.since(self.began) >= SPAN_MS {
            self.began = now;
            self.answered = 0;
            self.by_source.clear();
        }
        if self.answered >= self.total {
            return false;
        }
        let mine = self.by_source.entry(source(from)).or_default();
        if *mine >= self.per_source {
            return false;
        }
        *mine += 1;
        self.answered += 1;
        true
    }
}

/// Who shares a quota: an IPv4 address, or a network of IPv6, of which one subscriber has all addresses.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(total: u32, per_source: u32) -> Quota {
        let n = |value| NonZeroU32::new(value).expect("not 0");
        Quota::new(n(total), n(per_source))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_source_has_its_quota_in_each_second() {
        let mut quota = quota(100, 2);
        let ada = ip("192.0.2.1");
        assert!(quota.take(ada, Mono(5_000)) && quota.take(ada, Mono(5_999)));
        assert!(!quota.take(ada, Mono(5_999)));
        assert!(quota.take(ip("192.0.2.2"), Mono(5_999)), "another one has its own");
        assert!(quota.take(ada, Mono(6_000)), "and the next second is another one");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let mut quota = quota(100, 1);
        assert!(quota.take(ip("2001:db8::1"), Mono(0)));
        assert!(!quota.take(ip("2001:db8::2"), Mono(0)));
        assert!(quota.take(ip("2001:db8:0:1::1"), Mono(0)));
    }

    #[test]
    fn invented_sources_do_not_take_memory_without_end() {
        let mut quota = quota(10, 2);
        let answered = (0..1_000u32).filter(|n| quota.take(std::net::Ipv4Addr::from_bits(*n).into(), Mono(0))).count();
        assert_eq!((answered, quota.by_source.len()), (10, 10));
    }
}
