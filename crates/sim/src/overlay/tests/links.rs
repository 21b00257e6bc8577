//! Several hosts, and links of one millisecond that lose what a test says.

use std::collections::BTreeSet;

use super::*;

struct World {
    hosts: Vec<Overlay>,
    /// What is under way, by its arrival.
    links: VecDeque<(Mono, HostId, HostId, Rpc)>,
    now: Mono,
    /// Who has got what.
    got: Vec<(HostId, MessageId)>,
    sent: usize,
}

impl World {
    fn full(count: u32) -> Self {
        let overlay = |seed| Overlay::new(&Params::leaf(), ChaCha8Rng::seed_from_u64(seed), Mono(0));
        let hosts = (0..u64::from(count)).map(overlay).collect();
        let mut world = Self { hosts, links: VecDeque::new(), now: Mono(0), got: Vec::new(), sent: 0 };
        for a in 0..count {
            for b in a + 1..count {
                world.host(HostId(a)).connected(HostId(b), true, LOOPBACK, Mono(0));
                world.host(HostId(b)).connected(HostId(a), false, LOOPBACK, Mono(0));
            }
        }
        world
    }

    fn host(&mut self, host: HostId) -> &mut Overlay {
        &mut self.hosts[host.0 as usize]
    }

    /// Runs until `until`; `loses` says what does not arrive.
    fn run(&mut self, until: u64, loses: impl Fn(HostId, HostId, &Rpc) -> bool) {
        loop {
            for from in (0..self.hosts.len() as u32).map(HostId) {
                self.carry_out(from, &loses);
            }
            let timer = self.hosts.iter().map(Overlay::poll_timeout).min().unwrap();
            let arrival = self.links.front().map_or(timer, |(at, ..)| *at);
            if timer.min(arrival) > Mono(until) {
                return;
            }
            self.now = timer.min(arrival);
            for host in &mut self.hosts {
                host.handle_timeout(self.now);
            }
            while let Some((at, from, to, rpc)) = self.links.pop_front() {
                if at > self.now {
                    self.links.push_front((at, from, to, rpc));
                    break;
                }
                self.hosts[to.0 as usize].receive(from, &rpc, at);
                self.carry_out(to, &loses);
            }
        }
    }

    fn carry_out(&mut self, host: HostId, loses: &impl Fn(HostId, HostId, &Rpc) -> bool) {
        let now = self.now;
        while let Some(output) = self.host(host).poll_output() {
            match output {
                Output::Send { to, rpc } => {
                    self.sent += rpc.len();
                    if !loses(host, to, &rpc) {
                        self.links.push_back((now + 1, host, to, rpc));
                    }
                }
                Output::Message { from, message } => {
                    self.got.push((host, message.id()));
                    self.host(host).validated(message.id(), from, Verdict::Accept, now);
                }
                Output::Listener { .. } => {}
            }
        }
    }
}

#[test]
fn everyone_gets_everything_once() {
    let mut world = World::full(20);
    // All begin at once and ask the same neighbours, who refuse most: it takes until that is forgiven.
    world.run(65_000, |_, _, _| false);
    for host in &world.hosts {
        assert!((6..=12).contains(&host.mesh(Topic::Swarm).count()));
    }
    for publisher in 0..20 {
        let now = world.now;
        world.host(HostId(publisher)).publish(message(&publisher.to_string()), now).unwrap();
    }
    world.run(66_000, |_, _, _| false);
    let distinct: BTreeSet<_> = world.got.iter().collect();
    assert_eq!((world.got.len(), distinct.len()), (20 * 19, 20 * 19));
}

#[test]
fn what_every_link_of_the_mesh_lost_is_told_of_and_asked_for() {
    let mut world = World::full(20);
    world.run(3_000, |_, _, _| false);
    let lost = message("lost");
    let (now, id) = (world.now, lost.id());
    world.host(HostId(0)).publish(lost, now).unwrap();
    // Nobody sends it to host 5 unless it has asked, and no request of its own is under way now.
    let loses = |_: HostId, to: HostId, rpc: &Rpc| to == HostId(5) && messages(rpc);
    world.run(3_050, loses);
    assert_eq!(world.got.len(), 18);
    assert!(!world.got.contains(&(HostId(5), id)));
    world.run(5_000, |_, _, _| false);
    assert!(world.got.contains(&(HostId(5), id)));
}

#[test]
fn a_run_can_be_repeated() {
    let run = || {
        let mut world = World::full(16);
        for round in 0..10_u32 {
            world.run(3_000 + u64::from(round) * 500, |_, _, _| false);
            let now = world.now;
            world.host(HostId(round)).publish(large(u8::try_from(round).unwrap()), now).unwrap();
        }
        world.run(10_000, |_, _, _| false);
        let scores: Vec<_> = world.hosts.iter().map(|host| host.score(HostId(3)).to_bits()).collect();
        (world.got, world.sent, scores)
    };
    assert_eq!(run(), run());
}
