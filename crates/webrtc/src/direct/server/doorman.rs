//! Who may come in, and whose a datagram is.
//!
//! A STUN request is all it takes to have a connection made, and its source address may be false. So there are only so
//! many that have not proved anything yet, in all and from one address, and only so many new ones in a second. Those
//! that are set up are not touched by that.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::slots::{Slot, Slots};

/// Connections of one socket that are being set up at once.
pub const MAX_SETUPS: usize = 256;

/// How many of them from one address; of IPv6 from one /64, which is what a host can have to itself.
pub const MAX_SETUPS_PER_ADDRESS: usize = 16;

/// Connections that one socket begins to set up in a second, and as many at once after a quiet one.
pub const SETUPS_PER_SECOND: u32 = 128;

/// Addresses that one connection may come from: a browser asks from each of its own, and a router may change them.
pub const MAX_SOURCES: usize = 16;

/// How long a name is remembered whose connection is gone, since it was last heard: browsers give theirs up 15 s after
/// the last answer. If they were answered they would believe in it for ever, for ICE does not know of what went with it.
pub(super) const MEMORY: Duration = Duration::from_secs(30);

/// Names that are remembered. Past it those that go are forgotten at once.
pub(super) const MAX_REMEMBERED: usize = 4096;

/// What is known of a socket's connections, `C`.
#[derive(Debug)]
pub(super) struct Doorman<C> {
    by_source: BTreeMap<SocketAddr, Arc<C>>,
    by_username: BTreeMap<String, Known<C>>,
    /// Names of those that are gone, and when they are forgotten.
    gone: BTreeMap<String, Duration>,
    slots: Slots<IpAddr>,
    /// What is left of [`SETUPS_PER_SECOND`], in thousandths, and when that was so.
    allowance: u64,
    counted: Duration,
}

#[derive(Debug)]
struct Known<C> {
    connection: Arc<C>,
    sources: Vec<SocketAddr>,
}

impl<C> Default for Doorman<C> {
    fn default() -> Self {
        Self {
            by_source: BTreeMap::new(),
            by_username: BTreeMap::new(),
            gone: BTreeMap::new(),
            slots: Slots::new(MAX_SETUPS, MAX_SETUPS_PER_ADDRESS),
            allowance: full(),
            counted: Duration::ZERO,
        }
    }
}

impl<C> Doorman<C> {
    /// The connection that has been heard of from `source`.
    pub(super) fn at(&self, source: SocketAddr) -> Option<Arc<C>> {
        self.by_source.get(&source).cloned()
    }

    /// The connection of that name, which from now on may come from `source` too. `None` when there is none, or it comes
    /// from too many already.
    pub(super) fn also_at(&mut self, username: &str, source: SocketAddr) -> Option<Arc<C>> {
        let known = self.by_username.get_mut(username).filter(|known| known.sources.len() < MAX_SOURCES)?;
        known.sources.push(source);
        self.by_source.insert(source, Arc::clone(&known.connection));
        Some(Arc::clone(&known.connection))
    }

    /// Whether one has that name.
    pub(super) fn knows(&self, username: &str) -> bool {
        self.by_username.contains_key(username)
    }

    /// Whether the connection of that name is gone, and who asks has not noticed.
    pub(super) fn is_gone(&mut self, username: &str, now: Duration) -> bool {
        match self.gone.get_mut(username) {
            Some(until) if *until > now => {
                *until = now + MEMORY;
                true
            }
            Some(_) | None => false,
        }
    }

    /// A place for a connection that comes from `source`; `None` when there is none. Dropping it frees it.
    pub(super) fn admit(&mut self, source: SocketAddr, now: Duration) -> Option<Slot> {
        let passed = u64::try_from(now.saturating_sub(self.counted).as_millis()).unwrap_or(u64::MAX);
        self.allowance = full().min(self.allowance.saturating_add(passed.saturating_mul(SETUPS_PER_SECOND.into())));
        self.counted = now;
        let left = self.allowance.checked_sub(1000)?;
        let slot = self.slots.take(network(source.ip()))?;
        self.allowance = left;
        Some(slot)
    }

    /// One has come in.
    pub(super) fn enter(&mut self, username: String, source: SocketAddr, connection: Arc<C>) {
        self.by_source.insert(source, Arc::clone(&connection));
        self.by_username.insert(username, Known { connection, sources: vec![source] });
    }

    /// The connection of that name is gone.
    pub(super) fn leave(&mut self, username: &str, now: Duration) {
        let Some(known) = self.by_username.remove(username) else { return };
        for source in known.sources {
            self.by_source.remove(&source);
        }
        if self.gone.len() >= MAX_REMEMBERED {
            self.gone.retain(|_, until| *until > now);
        }
        if self.gone.len() < MAX_REMEMBERED {
            self.gone.insert(username.to_owned(), now + MEMORY);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_username.len()
    }
}

fn full() -> u64 {
    1000 * u64::from(SETUPS_PER_SECOND)
}

/// Whose address it is.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn datagrams_find_their_connection_by_address_until_it_leaves() {
        let mut doorman = Doorman::default();
        let (first, second) = (source("192.0.2.1:1"), source("192.0.2.1:2"));
        doorman.enter("a:b".to_owned(), first, Arc::new(7));
        assert_eq!(doorman.at(first).as_deref(), Some(&7));
        assert_eq!(doorman.at(second), None);
        assert_eq!(doorman.also_at("c:d", second), None);
        assert_eq!(doorman.also_at("a:b", second).as_deref(), Some(&7));
        assert_eq!(doorman.at(second).as_deref(), Some(&7));
        doorman.leave("a:b", Duration::ZERO);
        assert_eq!((doorman.at(first), doorman.at(second), doorman.len()), (None, None, 0));
    }

    #[test]
    fn who_does_not_notice_that_the_connection_is_gone_is_not_answered() {
        let mut doorman = Doorman::default();
        let second = Duration::from_secs(1);
        doorman.enter("a:b".to_owned(), source("192.0.2.1:1"), Arc::new(7));
        assert!(!doorman.is_gone("a:b", second));
        doorman.leave("a:b", second);
        assert!(doorman.is_gone("a:b", 2 * second) && !doorman.is_gone("c:d", 2 * second));
        assert!(doorman.is_gone("a:b", MEMORY + second), "it asked again");
        assert!(!doorman.is_gone("a:b", 2 * MEMORY + second));
        for at in 0..2 * MAX_REMEMBERED {
            let port = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), at as u16);
            doorman.enter(at.to_string(), port, Arc::new(7));
            doorman.leave(&at.to_string(), 4 * MEMORY);
        }
        assert_eq!(doorman.gone.len(), MAX_REMEMBERED);
    }

    #[test]
    fn one_connection_comes_from_so_many_addresses() {
        let mut doorman = Doorman::default();
        doorman.enter("a:b".to_owned(), source("192.0.2.1:1"), Arc::new(7));
        let port = |port: usize| source(&format!("192.0.2.1:{port}"));
        let taken = (2..100).filter(|n| doorman.also_at("a:b", port(*n)).is_some()).count();
        assert_eq!(taken, MAX_SOURCES - 1);
    }

    #[test]
    fn setups_are_bounded_from_one_address_and_in_all() {
        let mut doorman = Doorman::<()>::default();
        let mut second = 0;
        let mut admit = |doorman: &mut Doorman<()>, text: &str| {
            second += 1;
            doorman.admit(source(text), Duration::from_secs(second))
        };
        let mut held: Vec<_> = (0..20).filter_map(|_| admit(&mut doorman, "192.0.2.1:1")).collect();
        assert_eq!(held.len(), MAX_SETUPS_PER_ADDRESS);
        // A host has a whole /64.
        held.extend((0..20).filter_map(|n| admit(&mut doorman, &format!("[2001:db8::{n}]:1"))));
        assert_eq!(held.len(), 2 * MAX_SETUPS_PER_ADDRESS);
        held.extend((0..300).filter_map(|n| admit(&mut doorman, &format!("198.51.100.{}:{n}", n % 200))));
        assert_eq!(held.len(), MAX_SETUPS);
        held.truncate(MAX_SETUPS - 1);
        assert!(admit(&mut doorman, "203.0.113.1:1").is_some(), "a place was freed");
    }

    #[test]
    fn setups_are_bounded_in_a_second() {
        let mut doorman = Doorman::<()>::default();
        let mut burst = |at: u64| {
            let from = |n: u32| SocketAddr::new(IpAddr::V4((0x0a00_0000 + n).into()), 1);
            (0..500).filter(|n| doorman.admit(from(*n), Duration::from_millis(at)).is_some()).count()
        };
        assert_eq!(burst(0), SETUPS_PER_SECOND as usize);
        assert_eq!(burst(0), 0);
        assert_eq!(burst(500), SETUPS_PER_SECOND as usize / 2);
        assert_eq!(burst(60_000), SETUPS_PER_SECOND as usize, "what is not used is not saved up");
    }
}
