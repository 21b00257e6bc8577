//! A mesh under attack: a hub and two leaves that talk to each other all the while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh_proto::MeshId;
use tokio::sync::{Mutex, MutexGuard};

use super::member::{Journal, Member, Reach, exchange, until_heard};
use super::resident_mib;

/// What an attack may add to this process, which also holds the attackers. MiB.
const FLAT_MIB: u64 = 64;

/// Time between two exchanges, so that they leave the attack some of the machine.
const PACE: Duration = Duration::from_millis(20);

/// Memory is the whole process's, so attacks take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// A hub, and two honest leaves that listen on TCP.
pub(crate) struct Siege {
    pub(crate) name: &'static str,
    pub(crate) mesh: MeshId,
    pub(crate) hub: Member,
    pub(crate) alice: Member,
    pub(crate) bob: Member,
    _turn: MutexGuard<'static, ()>,
}

impl Siege {
    /// Starts the mesh that is going to be attacked, and waits until everybody hears everybody.
    pub(crate) async fn begin(name: &'static str) -> Self {
        let turn = TURN.lock().await;
        let hub = Member::hub(name, "hub", &[]).await;
        let alice = Member::leaf(name, "alice", &[hub.tcp()], Reach::Tcp).await;
        let bob = Member::leaf(name, "bob", &[hub.websocket()], Reach::Tcp).await;
        for member in [&alice, &bob] {
            member.until_joined(&hub).await;
        }
        until_heard(&alice, &bob).await;
        until_heard(&bob, &alice).await;
        exchange(&alice, &bob).await;
        Self { name, mesh: MeshId::open(name).expect("a valid name"), hub, alice, bob, _turn: turn }
    }

    /// Those who are attacked directly.
    pub(crate) fn victims(&self) -> [&Member; 2] {
        [&self.hub, &self.bob]
    }

    /// Everybody honest.
    pub(crate) fn members(&self) -> [&Member; 3] {
        [&self.hub, &self.alice, &self.bob]
    }

    /// Waits until every member has told what `find` looks for.
    pub(crate) async fn until_all(&self, what: &str, mut find: impl FnMut(&Journal) -> bool) {
        for member in self.members() {
            member.until(what, |journal| find(journal).then_some(())).await;
        }
    }

    /// Waits until every victim has told what `find` looks for.
    pub(crate) async fn until_victims(&self, what: &str, mut find: impl FnMut(&Journal) -> bool) {
        for victim in self.victims() {
            victim.until(what, |journal| find(journal).then_some(())).await;
        }
    }

    /// Carries out `attack`. The honest go on talking meanwhile and after, all of them are there in the end, and memory
    /// stays flat.
    pub(crate) async fn endures<T>(&self, attack: impl Future<Output = T>) -> T {
        let over = AtomicBool::new(false);
        let before = resident_mib();
        let attack = async {
            let outcome = attack.await;
            over.store(true, Ordering::Relaxed);
            outcome
        };
        let (outcome, talk) = tokio::join!(attack, self.talk(&over));
        let after_attack = exchange(&self.alice, &self.bob).await;
        let after = resident_mib();

        let Talk { exchanges, slowest, peak } = talk;
        println!(
            "{}: {exchanges} exchanges during the attack, the slowest {slowest} ms; after it {after_attack} ms",
            self.name
        );
        println!("{}: memory {before} MiB before, {peak} MiB at most, {after} MiB after", self.name);
        for member in self.members() {
            println!("{}: {}", self.name, member.counted().await);
            for honest in self.members() {
                let blamed: u64 = member.journal().blamed(honest.node());
                if blamed > 0 {
                    println!("{}: {} blames {} for {blamed} that others began", self.name, member.name, honest.name);
                }
            }
            assert_eq!(member.journal().lagged, 0, "{} dropped events", member.name);
        }
        assert!(peak.max(after) <= before + FLAT_MIB, "memory grew from {before} to {} MiB", peak.max(after));
        outcome
    }

    async fn talk(&self, over: &AtomicBool) -> Talk {
        let mut talk = Talk { exchanges: 0, slowest: 0, peak: 0 };
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let last = over.load(Ordering::Relaxed);
            talk.slowest = talk.slowest.max(exchange(&self.alice, &self.bob).await);
            talk.peak = talk.peak.max(resident_mib());
            talk.exchanges += 1;
            if last {
                return talk;
            }
        }
    }
}

struct Talk {
    exchanges: u32,
    slowest: u64,
    peak: u64,
}
