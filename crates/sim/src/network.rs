//! What lies between hosts: links, and what cuts them.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::HostId;
use crate::link::Link;

/// Links and cuts.
#[derive(Debug)]
pub(crate) struct Network {
    link: Link,
    /// Links that are different, by who sends and who receives.
    links: BTreeMap<(HostId, HostId), Link>,
    /// Hosts that are on another side than 0.
    sides: BTreeMap<HostId, u32>,
    /// Ways that are cut, by who sends and who receives.
    cuts: BTreeSet<(HostId, HostId)>,
    /// Hosts whose cable is out.
    down: BTreeSet<HostId>,
}

impl Network {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, links: BTreeMap::new(), sides: BTreeMap::new(), cuts: BTreeSet::new(), down: BTreeSet::new() }
    }

    pub(crate) fn link(&self, from: HostId, to: HostId) -> &Link {
        self.links.get(&(from, to)).unwrap_or(&self.link)
    }

    pub(crate) fn set_all(&mut self, link: Link) {
        self.link = link;
    }

    pub(crate) fn set(&mut self, from: HostId, to: HostId, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Whether what `from` sends gets to `to`.
    pub(crate) fn passes(&self, from: HostId, to: HostId) -> bool {
        let side = |host| self.sides.get(host).copied().unwrap_or(0);
        side(&from) == side(&to)
            && !self.cuts.contains(&(from, to))
            && !self.down.contains(&from)
            && !self.down.contains(&to)
    }

    pub(crate) fn split(&mut self, sides: &[Vec<HostId>]) {
        self.sides = (0..).zip(sides).flat_map(|(side, hosts)| hosts.iter().map(move |host| (*host, side))).collect();
    }

    pub(crate) fn cut(&mut self, from: HostId, to: HostId) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn pull(&mut self, host: HostId) {
        self.down.insert(host);
    }

    pub(crate) fn plug(&mut self, host: HostId) {
        self.down.remove(&host);
    }

    /// Mends everything.
    pub(crate) fn heal(&mut self) {
        self.sides.clear();
        self.cuts.clear();
        self.down.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: [HostId; 4] = [HostId(0), HostId(1), HostId(2), HostId(3)];

    #[test]
    fn cuts() {
        let [a, b, c, d] = HOSTS;
        let mut network = Network::new(Link::default());
        assert!(network.passes(a, b));
        network.split(&[vec![a, b], vec![c]]);
        assert!(network.passes(a, b) && network.passes(b, d) && !network.passes(a, c) && !network.passes(c, d));
        network.cut(a, b);
        assert!(!network.passes(a, b) && network.passes(b, a), "one way only");
        network.pull(d);
        assert!(!network.passes(a, d) && !network.passes(d, a));
        network.heal();
        assert!(HOSTS.iter().all(|from| HOSTS.iter().all(|to| network.passes(*from, *to))));
    }
}
