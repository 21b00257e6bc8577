//! Who may come in, and whose a datagram is.
//!
//! A STUN request is all it takes to have a connection made, and its source address may be false. So there are only so
//! many that have not proved anything yet, and only so many new ones in a second, both in all and from one address. Those
//! that are set up are not touched by that.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::slots::{Slot, Slots};

/// Connections of one socket that are being set up at once.
pub const MAX_SETUPS: usize = 256;

/// How many of them from one address; of IPv6 from one /64, which is what a host can have to itself.
pub const MAX_SETUPS_PER_ADDRESS: usize = 16;

/// Connections that one socket begins to set up within a second.
pub const SETUPS_PER_SECOND: usize = 128;

/// How many of them from one address. Setups that fail at once free their places at once, so that without this one
/// address could have all turns.
pub const SETUPS_PER_SECOND_AND_ADDRESS: usize = 32;

/// Addresses that one connection may come from: a browser asks from each of its own, and a router may change them.
pub const MAX_SOURCES: usize = 16;

/// How long a name is remembered whose connection is gone. If who asks for it were answered it would believe in it for
/// ever, for ICE does not know of what went with it. Who does not heed a refusal either gives up 30 s after the last answer
/// (RFC 7675, section 5.1). Asking does not make it longer: names that go on asking would leave no room for others.
pub(super) const MEMORY: Duration = Duration::from_secs(30);

/// Names that are remembered. Past it those that go are forgotten at once.
pub(super) const MAX_REMEMBERED: usize = 4096;

const SECOND: Duration = Duration::from_secs(1);

/// What is known of a socket's connections, `C`.
#[derive(Debug)]
pub(super) struct Doorman<C> {
    by_source: BTreeMap<SocketAddr, Arc<C>>,
    by_username: BTreeMap<String, Known<C>>,
    /// Names of those that are gone, and when they are forgotten.
    gone: BTreeMap<String, Duration>,
    slots: Slots<IpAddr>,
    turns: Slots<IpAddr>,
    /// Those of the last second, and when each is over.
    taken: VecDeque<(Duration, Slot)>,
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
            turns: Slots::new(SETUPS_PER_SECOND, SETUPS_PER_SECOND_AND_ADDRESS),
            taken: VecDeque::new(),
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
    pub(super) fn is_gone(&self, username: &str, now: Duration) -> bool {
        self.gone.get(username).is_some_and(|until| *until > now)
    }

    /// A place for a connection that comes from `source`; `None` when there is none. Dropping it frees it.
    pub(super) fn admit(&mut self, source: SocketAddr, now: Duration) -> Option<Slot> {
        while self.taken.front().is_some_and(|(over, _)| *over <= now) {
            self.taken.pop_front();
        }
        let network = network(source.ip());
        let slot = self.slots.take(network)?;
        self.taken.push_back((now + SECOND, self.turns.take(network)?));
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
    fn a_connection_that_is_gone_is_remembered_for_a_while() {
        let mut doorman = Doorman::default();
        let second = Duration::from_secs(1);
        doorman.enter("a:b".to_owned(), source("192.0.2.1:1"), Arc::new(7));
        assert!(!doorman.is_gone("a:b", second));
        doorman.leave("a:b", second);
        assert!(doorman.is_gone("a:b", 2 * second) && !doorman.is_gone("c:d", 2 * second));
        assert!(!doorman.is_gone("a:b", MEMORY + second));
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

    /// Setups that fail at once free their places at once.
    #[test]
    fn one_address_cannot_have_all_turns() {
        let mut doorman = Doorman::<()>::default();
        let mut turns = |text: &str, at| {
            (0..500).filter(|_| doorman.admit(source(text), Duration::from_millis(at)).is_some()).count()
        };
        assert_eq!(turns("192.0.2.1:1", 0), SETUPS_PER_SECOND_AND_ADDRESS);
        assert_eq!(turns("192.0.2.1:2", 900), 0);
        assert_eq!(turns("192.0.2.2:1", 900), SETUPS_PER_SECOND_AND_ADDRESS);
        assert_eq!(turns("192.0.2.1:1", 1000), SETUPS_PER_SECOND_AND_ADDRESS);
    }

    #[test]
    fn who_goes_on_asking_leaves_room_for_names_that_go() {
        let mut doorman = Doorman::default();
        let leave = |doorman: &mut Doorman<u8>, name: String, now| {
            doorman.enter(name.clone(), source("192.0.2.1:1"), Arc::new(7));
            doorman.leave(&name, now);
        };
        for at in 0..MAX_REMEMBERED {
            leave(&mut doorman, at.to_string(), Duration::ZERO);
        }
        assert!((0..MAX_REMEMBERED).all(|at| doorman.is_gone(&at.to_string(), MEMORY / 2)));
        leave(&mut doorman, "a:b".to_owned(), MEMORY);
        assert!(doorman.is_gone("a:b", MEMORY));
    }

    #[test]
    fn setups_are_bounded_in_a_second() {
        let mut doorman = Doorman::<()>::default();
        let mut burst = |at: u64| {
            let from = |n: u32| SocketAddr::new(IpAddr::V4((0x0a00_0000 + n).into()), 1);
            (0..500).filter(|n| doorman.admit(from(*n), Duration::from_millis(at)).is_some()).count()
        };
        assert_eq!(burst(0), SETUPS_PER_SECOND);
        assert_eq!(burst(999), 0);
        assert_eq!(burst(1000), SETUPS_PER_SECOND);
        assert_eq!(burst(60_000), SETUPS_PER_SECOND, "what is not used is not saved up");
    }
}
