//! Entries in transit: whatever bits are flipped on the way, what comes out is refused. Blocks have the like in mesh-bitswap.

#![expect(clippy::unwrap_used, reason = "a test says what it expects, and how often")]

use cid::Cid;
use cid::multihash::Multihash;
use mesh_proto::knowledge::{Change, Content, Domain, Entry, Signed, Version};
use mesh_proto::{Envelope, Hlc, Keypair, Kind, MeshId, NodeId, Unverified, codec};

/// Messages that are damaged. With the million blocks of mesh-bitswap, whose hashes are cheaper than signatures.
const TRIES: u64 = 100_000;
const SEED: u64 = 6;

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

fn entry(random: &mut Random) -> Vec<u8> {
    let key = Keypair::from_seed(&[u8::try_from(random.below(7)).unwrap(); 32]);
    let mut digest = [0; 32];
    digest.iter_mut().for_each(|byte| *byte = random.next() as u8);
    let content = Content {
        cid: Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap()),
        size: random.next() >> 30,
        replicas: 3,
        kind: "text".into(),
        metadata: None,
    };
    let change = if random.below(4) == 0 { Change::Delete } else { Change::Put(content) };
    let replaces = vec![Version(NodeId([9; 32]), Hlc(random.next() >> 1))];
    let entry = Entry {
        domain: Domain::shared("shared"),
        key: "x".repeat(1 + random.below(60)),
        change,
        replaces,
        expires: None,
    };
    let envelope = Envelope {
        v: 1,
        mesh: MeshId([1; 32]),
        kind: Kind::KnowledgeShare,
        from: key.node(),
        seq: random.next(),
        clock: Hlc::at(1_700_000_000_000),
        ttl: 300_000,
        payload: codec::encode(&entry, 4_096).unwrap().into(),
    };
    envelope.sign(&key).unwrap().wire().to_vec()
}

#[test]
fn a_hundred_thousand_damaged_entries_are_refused() {
    let mut random = Random(SEED);
    let (mut unreadable, mut forged) = (0, 0);
    for _ in 0..TRIES {
        let sound = entry_of(&mut random);
        let mut damaged = sound.clone();
        for _ in 0..=random.below(3) {
            let bit = random.below(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        if damaged == sound {
            continue;
        }
        match Unverified::decode(damaged.into()) {
            Err(_) => unreadable += 1,
            Ok(read) => {
                let accepted = read.verify().ok().and_then(|envelope| Signed::read(envelope).ok());
                assert_eq!(accepted, None, "seed {SEED}");
                forged += 1;
            }
        }
    }
    println!("seed {SEED}: {unreadable} could not be read, {forged} were not what their authors signed");
    assert!(unreadable > 1_000 && forged > 1_000, "both ways are tried");
}

/// One of a hundred entries: a signature takes as long as a check.
fn entry_of(random: &mut Random) -> Vec<u8> {
    thread_local! {
        static ENTRIES: Vec<Vec<u8>> = {
            let mut random = Random(SEED);
            (0..100).map(|_| entry(&mut random)).collect()
        };
    }
    let at = random.below(100);
    ENTRIES.with(|entries| entries[at].clone())
}
