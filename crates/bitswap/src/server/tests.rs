use std::slice;

use super::*;

fn block(name: &str) -> Block {
    Block::raw(name.as_bytes().to_vec()).expect("it fits")
}

fn large(i: usize, bytes: usize) -> Block {
    let mut data = vec![0; bytes];
    data[..8].copy_from_slice(&(i as u64).to_le_bytes());
    Block::raw(data).expect("it fits")
}

fn entry(cid: Cid, ask: Ask) -> Entry {
    Entry { cid, ask, say_dont_have: true, priority: 1 }
}

/// A server with a store, which answers whatever is looked for.
#[derive(Default)]
struct World {
    server: Server,
    store: BTreeMap<Cid, Block>,
}

impl World {
    fn with(blocks: &[Block]) -> Self {
        Self { store: blocks.iter().map(|block| (*block.cid(), block.clone())).collect(), ..Self::default() }
    }

    fn look(&mut self) -> usize {
        let mut looks = 0;
        while let Some(look) = self.server.poll_look() {
            let found = match self.store.get(&look.cid) {
                None => Found::Nothing,
                Some(block) if look.read => Found::Block(block.clone()),
                Some(block) => Found::Size(block.data().len()),
            };
            self.server.looked(look.peer, look.cid, found);
            looks += 1;
        }
        looks
    }

    /// What a peer is answered with one message.
    fn answers(&mut self, peer: &PeerId) -> Message {
        self.look();
        let mut message = Message::default();
        self.server.take(peer, &mut message);
        message
    }
}

#[test]
fn a_block_is_sent_and_the_want_is_over() {
    let (peer, x) = (PeerId::random(), block("x"));
    let mut world = World::with(slice::from_ref(&x));
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Block)], false);
    assert_eq!(world.answers(&peer), Message { blocks: vec![x], ..Message::default() });
    assert_eq!((world.server.wanted(), world.server.sent(&peer)), (0, 1));
    assert!(!world.server.has_answers(&peer));
}

#[test]
fn who_asks_whether_it_is_here_is_told_and_a_small_one_is_sent() {
    let peer = PeerId::random();
    let blocks = [large(1, SMALL), large(2, SMALL + 1)];
    let mut world = World::with(&blocks);
    let absent = *block("absent").cid();
    let wants = [*blocks[0].cid(), *blocks[1].cid(), absent].map(|cid| entry(cid, Ask::Have));
    world.server.wantlist(peer, wants.to_vec(), false);
    let Message { blocks: sent, presences, .. } = world.answers(&peer);
    assert_eq!(sent, [blocks[0].clone()]);
    assert_eq!(presences, [(*blocks[1].cid(), Presence::Have), (absent, Presence::DontHave)]);
}

#[test]
fn who_does_not_ask_for_it_is_not_told_what_is_missing() {
    let peer = PeerId::random();
    let mut world = World::default();
    let want = Entry { say_dont_have: false, ..entry(*block("x").cid(), Ask::Block) };
    world.server.wantlist(peer, vec![want], false);
    assert!(world.answers(&peer).is_empty());
    assert_eq!(world.server.wanted(), 1);
}

#[test]
fn what_comes_later_is_sent_then() {
    let (peer, x) = (PeerId::random(), block("x"));
    let mut world = World::default();
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Block)], false);
    assert_eq!(world.answers(&peer).presences, [(*x.cid(), Presence::DontHave)]);
    world.store.insert(*x.cid(), x.clone());
    world.server.added(x.cid());
    world.server.added(x.cid());
    assert_eq!(world.answers(&peer).blocks, slice::from_ref(&x));
    world.server.added(x.cid());
    assert!(world.answers(&peer).is_empty());
}

#[test]
fn what_is_cancelled_is_not_sent() {
    let (peer, x, y) = (PeerId::random(), block("x"), block("y"));
    let mut world = World::with(&[x.clone(), y.clone()]);
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Block), entry(*y.cid(), Ask::Block)], false);
    let look = world.server.poll_look().expect("a look");
    assert_eq!(look, Look { peer, cid: *x.cid(), read: true });
    // While it is being read.
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Cancel)], false);
    world.server.looked(peer, *x.cid(), Found::Block(x));
    assert_eq!(world.answers(&peer).blocks, [y]);
    assert_eq!(world.server.wanted(), 0);
}

#[test]
fn a_full_wantlist_takes_the_place_of_the_one_before() {
    let (peer, x, y) = (PeerId::random(), block("x"), block("y"));
    let mut world = World::default();
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Block)], false);
    world.look();
    world.server.wantlist(peer, vec![entry(*y.cid(), Ask::Block)], true);
    world.store.extend([(*x.cid(), x.clone()), (*y.cid(), y.clone())]);
    world.server.added(x.cid());
    world.server.added(y.cid());
    assert_eq!(world.answers(&peer).blocks, [y]);
}

#[test]
fn a_question_does_not_undo_a_want() {
    let (peer, x) = (PeerId::random(), large(1, SMALL + 1));
    let mut world = World::with(slice::from_ref(&x));
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Block), entry(*x.cid(), Ask::Have)], false);
    assert_eq!(world.answers(&peer).blocks, slice::from_ref(&x));
    // The other way round it becomes a want, also while it is being looked for.
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Have)], false);
    let look = world.server.poll_look().expect("a look");
    world.server.wantlist(peer, vec![entry(*x.cid(), Ask::Block)], false);
    world.server.looked(peer, look.cid, Found::Size(x.data().len()));
    assert_eq!(world.answers(&peer).blocks, [x]);
}

#[test]
fn the_most_urgent_goes_first() {
    let peer = PeerId::random();
    let blocks: Vec<_> = ["a", "b", "c", "d"].map(block).into();
    let mut world = World::with(&blocks);
    let wants =
        blocks.iter().zip([1, 5, -2, 5]).map(|(block, priority)| Entry { priority, ..entry(*block.cid(), Ask::Block) });
    world.server.wantlist(peer, wants.collect(), false);
    let order = [1, 3, 0, 2].map(|i| blocks[i].clone());
    assert_eq!(world.answers(&peer).blocks, order);
}

#[test]
fn wants_past_the_limit_are_not_remembered() {
    let peer = PeerId::random();
    let mut world = World::default();
    let wants: Vec<_> = (0..=MAX_WANTS).map(|i| entry(*large(i, 8).cid(), Ask::Block)).collect();
    let over = wants[MAX_WANTS].cid;
    // In one message or in many, full or not.
    for full in [true, false, true] {
        world.server.wantlist(peer, wants.clone(), full);
        assert_eq!(world.server.wanted(), MAX_WANTS);
    }
    assert_eq!(world.server.refused(), 3);
    assert_eq!(world.answers(&peer).presences[..3], [(over, Presence::DontHave); 3]);
    // One less makes room for it.
    world.server.wantlist(peer, vec![entry(wants[0].cid, Ask::Cancel), entry(over, Ask::Block)], false);
    assert_eq!((world.server.wanted(), world.server.refused()), (MAX_WANTS, 3));
}

/// As of Helia, which cancels nothing: of all that it gets elsewhere, it is still said to want it.
#[test]
fn a_want_that_was_answered_and_stays_open_makes_room_for_another() {
    let peer = PeerId::random();
    let here = [block("x"), large(0, SMALL + 1)];
    let mut world = World::with(&here);
    let absent: Vec<_> = (1..=MAX_WANTS).map(|i| large(i, 8)).collect();
    let want = |block: &Block, ask| entry(*block.cid(), ask);
    // Of the last, only whether it is here: that stays open too.
    world.server.wantlist(peer, absent[1..].iter().map(|block| want(block, Ask::Block)).collect(), false);
    world.server.wantlist(peer, vec![want(&here[1], Ask::Have)], false);
    assert_eq!(world.answers(&peer).presences.len(), MAX_WANTS);
    // Asked for again, the first is the last.
    world.server.wantlist(peer, vec![want(&absent[1], Ask::Block)], false);
    assert_eq!(world.answers(&peer).presences, [(*absent[1].cid(), Presence::DontHave)]);
    world.server.wantlist(peer, vec![want(&here[0], Ask::Block), want(&absent[0], Ask::Block)], false);
    let answers = world.answers(&peer);
    assert_eq!(answers.blocks, here[..1]);
    assert_eq!(answers.presences, [(*absent[0].cid(), Presence::DontHave)]);
    assert_eq!((world.server.wanted(), world.server.refused()), (MAX_WANTS - 1, 0));
    // Two were forgotten, those answered first; the others are sent when they come.
    world.store.extend(absent.iter().map(|block| (*block.cid(), block.clone())));
    let sent: Vec<_> = (0..5)
        .filter(|i| {
            world.server.added(absent[*i].cid());
            !world.answers(&peer).is_empty()
        })
        .collect();
    assert_eq!(sent, [0, 1, 4]);
}

#[test]
fn a_flood_of_refused_wants_does_not_pile_up_answers() {
    let peer = PeerId::random();
    let mut world = World::default();
    for i in 0..4 * MAX_WANTS {
        world.server.wantlist(peer, vec![entry(*large(i, 8).cid(), Ask::Have)], false);
    }
    world.look();
    let answers = world.server.peers[&peer].presences.len();
    assert!((MAX_PRESENCES - MAX_LOOKS..=MAX_PRESENCES).contains(&answers), "{answers}");
}

#[test]
fn who_does_not_take_what_is_ready_is_not_read_for() {
    let (slow, quick) = (PeerId::random(), PeerId::random());
    let blocks: Vec<_> = (0..40).map(|i| large(i, 256 * 1024)).collect();
    let mut world = World::with(&blocks);
    let wants: Vec<_> = blocks.iter().map(|block| entry(*block.cid(), Ask::Block)).collect();
    world.server.wantlist(slow, wants.clone(), false);
    world.server.wantlist(quick, wants, false);
    assert!(world.look() <= 2 * MAX_READY / (256 * 1024));
    let mut got = 0;
    while got < 40 {
        let message = world.answers(&quick);
        assert!(!message.blocks.is_empty());
        got += message.blocks.len();
    }
    let held = world.server.peers[&slow].bytes;
    assert!((MAX_READY..MAX_READY + MAX_LOOKS * block_len(256 * 1024)).contains(&held), "{held}");
    // Gone, it takes nothing with it and leaves nothing behind.
    world.server.disconnected(&slow);
    assert_eq!((world.server.bytes, world.server.wanted(), world.server.turns.len()), (0, 0, 0));
    assert!(world.server.wanted.is_empty());
}

#[test]
fn all_together_hold_no_more_than_the_limit() {
    let blocks: Vec<_> = (0..8).map(|i| large(i, 1024 * 1024)).collect();
    let mut world = World::with(&blocks);
    for _ in 0..100 {
        world.server.wantlist(
            PeerId::random(),
            blocks.iter().map(|block| entry(*block.cid(), Ask::Block)).collect(),
            false,
        );
    }
    world.look();
    let over = MAX_ALL_READY + block_len(1024 * 1024);
    assert!((MAX_ALL_READY..over).contains(&world.server.bytes), "{}", world.server.bytes);
}

#[test]
fn so_many_are_looked_for_at_once() {
    let peer = PeerId::random();
    let mut world = World::default();
    let wants: Vec<_> = (0..100).map(|i| entry(*large(i, 8).cid(), Ask::Block)).collect();
    world.server.wantlist(peer, wants, false);
    let looks: Vec<_> = std::iter::from_fn(|| world.server.poll_look()).collect();
    assert_eq!(looks.len(), MAX_LOOKS);
    // What was not asked is no answer.
    world.server.looked(peer, *large(50, 8).cid(), Found::Nothing);
    assert!(!world.server.has_answers(&peer));
    world.server.looked(peer, looks[0].cid, Found::Nothing);
    assert!(world.server.poll_look().is_some() && world.server.poll_look().is_none());
}

#[test]
fn peers_take_turns() {
    let (a, b) = (PeerId::random(), PeerId::random());
    let mut world = World::default();
    let wants = |from: usize| (from..from + 50).map(|i| entry(*large(i, 8).cid(), Ask::Block)).collect();
    world.server.wantlist(a, wants(0), false);
    world.server.wantlist(b, wants(100), false);
    let turns: Vec<_> = std::iter::from_fn(|| world.server.poll_look()).take(4).map(|look| look.peer).collect();
    assert_eq!(turns, [a, b, a, b]);
}

#[test]
fn a_message_never_passes_its_limit() {
    let peer = PeerId::random();
    let blocks: Vec<_> = (0..4).map(|i| large(i, mesh_unixfs::MAX_BLOCK)).collect();
    let mut world = World::with(&blocks);
    let wants = blocks
        .iter()
        .map(|block| entry(*block.cid(), Ask::Block))
        .chain((0..1000).map(|i| entry(*large(i, 9).cid(), Ask::Have)));
    world.server.wantlist(peer, wants.collect(), false);
    let mut sent = 0;
    while sent < 4 {
        world.look();
        let mut message = Message { wants: vec![entry(*blocks[0].cid(), Ask::Have); 1024], ..Message::default() };
        world.server.take(&peer, &mut message);
        let length = message.encode().len();
        assert!(length <= MAX_MESSAGE + 4 && !message.blocks.is_empty(), "{length}");
        sent += message.blocks.len();
    }
}
