use std::future::ready;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use mesh_core::weights::pacing::MIN_WINDOW;
use mesh_core::weights::{Config, Event, Output, ReceiveError, ShareError, Weights};
use mesh_proto::id::{Checksum, ChunkHash};
use mesh_proto::limits::{MAX_TRANSFER_FRAME, MIN_CHUNK};
use mesh_proto::transfer::{Codec, Frame, WeightsInfo};

use super::*;
use crate::frames;
use pipe::{Fault, Meter, Pipe, pipe};

mod pipe;

const MESH: MeshId = MeshId([7; 32]);
const ADA: NodeId = NodeId([1; 32]);
const BOB: NodeId = NodeId([2; 32]);
const ID: TransferId = TransferId([3; 16]);
const MIB: usize = 1024 * 1024;

/// What yamux holds of a stream at the least.
const CAPACITY: usize = 256 * 1024;

/// Bytes without a pattern that a misplaced chunk could hide in.
fn bytes(len: usize) -> Bytes {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn manifest(bytes: &[u8]) -> Arc<Manifest> {
    let info = WeightsInfo {
        agent: "ada".into(),
        name: None,
        format: "safetensors".into(),
        codec: Codec::None,
        raw_size: bytes.len() as u64,
        checksum: Checksum([4; 32]),
        metadata: None,
    };
    Arc::new(Manifest::describe(ID, info, bytes))
}

/// A node, as far as transfers go.
struct End {
    weights: Weights,
    transfers: Transfers,
    reports: mpsc::Receiver<Report>,
    events: Vec<Event>,
    offences: Vec<(NodeId, Offence)>,
}

impl End {
    fn new() -> Self {
        let (transfers, reports) = Transfers::new(MESH);
        Self { weights: Weights::new(Config::default()), transfers, reports, events: Vec::new(), offences: Vec::new() }
    }

    /// Takes the next report, and does what the core makes of it.
    async fn turn(&mut self) {
        let report = self.reports.next().await.expect("the end holds a sender itself");
        self.digest(report);
        self.drain(|| panic!("nothing is shared by this end"));
    }

    fn digest(&mut self, report: Report) {
        if let Some(input) = self.transfers.input(report) {
            self.weights.handle(input, mesh_platform::now());
        }
    }

    fn drain(&mut self, mut stream: impl FnMut() -> Pipe) {
        while let Some(output) = self.weights.poll_output() {
            match output {
                Output::Transfer(command) => self.transfers.carry_out(command, |_| ready(Ok(stream()))),
                Output::Event(event) => self.events.push(event),
                Output::Offence { peer, offence } => self.offences.push((peer, offence)),
                Output::Dial(_) => panic!("there is a link"),
            }
        }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.turn().await;
        }
    }

    /// A stream that this end takes for one of Ada's.
    fn stream(&mut self) -> Pipe {
        let (near, far) = pipe(CAPACITY, Fault::default());
        self.transfers.accept(ADA, far);
        near
    }

    fn ended(&self) -> Option<&Event> {
        self.events.iter().find(|event| !matches!(event, Event::Progress { .. }))
    }

    /// How many chunks it has of a transfer, and what they are kept in.
    fn partial(&self) -> Option<(u32, usize)> {
        let partial = lock(self.transfers.incoming.get(&(ADA, ID))?);
        Some((partial.have(), partial.chunks.iter().map(Bytes::len).sum()))
    }
}

/// Ada shares `bytes` with Bob over streams with one fault after the other, until both know how it ended.
async fn share(bytes: &Bytes, faults: &[Fault]) -> (End, End, Vec<Meter>) {
    let (mut ada, mut bob) = (End::new(), End::new());
    let mut meters = Vec::new();
    let mut faults = faults.iter().copied();
    ada.weights.handle(Input::Connected(BOB), mesh_platform::now());
    let manifest = manifest(bytes);
    ada.transfers.keep(BOB, manifest.clone(), bytes.clone());
    ada.weights.share(BOB, &manifest, 60_000, mesh_platform::now()).expect("within bounds");

    while ada.ended().is_none() || bob.ended().is_none() {
        ada.drain(|| {
            let (near, far) = pipe(CAPACITY, faults.next().unwrap_or_default());
            meters.push(near.written());
            bob.transfers.accept(ADA, far);
            near
        });
        bob.drain(|| panic!("Bob shares nothing"));
        if ada.ended().is_none() || bob.ended().is_none() {
            futures::select! {
                report = ada.reports.select_next_some() => ada.digest(report),
                report = bob.reports.select_next_some() => bob.digest(report),
            }
        }
    }
    (ada, bob, meters)
}

/// Runs a test, but not for ever.
async fn limited<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("it ends")
}

async fn write(stream: &mut Pipe, frame: &Frame) {
    frames::write(stream, frame, MAX_TRANSFER_FRAME).await.expect("written");
}

async fn read(stream: &mut Pipe) -> Option<Frame> {
    frames::read(stream, MAX_TRANSFER_FRAME).await.expect("a frame or the end")
}

fn offer(manifest: &Manifest) -> Frame {
    Frame::Offer { mesh: MESH, manifest: manifest.clone() }
}

fn chunk(manifest: &Manifest, bytes: &Bytes, index: u32) -> Frame {
    let range = manifest.range(index);
    Frame::Chunk { index, data: bytes.slice(range.start as usize..range.end as usize) }
}

/// Lets every task go as far as it can by itself.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ten_mebibytes_arrive_as_they_were() {
    let bytes = bytes(10 * MIB + 12_345);
    let (mut ada, mut bob, meters) = limited(share(&bytes, &[])).await;
    let shared = matches!(ada.ended(), Some(Event::Shared { id: ID, peer: BOB, resumed: 0, .. }));
    assert!(shared, "{:?}", ada.ended());
    assert_eq!(bob.ended(), Some(&Event::Received { id: ID, from: ADA }));
    assert_eq!(meters.len(), 1);

    let (size, capacity) = bob.partial().expect("kept until it is taken");
    assert_eq!((size, capacity), (manifest(&bytes).chunks(), bytes.len()));
    let arrived = bob.transfers.take(ADA, ID).expect("received").1.concat();
    assert!(arrived == bytes, "arrived changed");
    assert!(bob.transfers.take(ADA, ID).is_none(), "taken once");
    assert!(ada.transfers.outgoing.is_empty(), "released");
    limited(ada.until(|ada| ada.transfers.streams.is_empty())).await;
    limited(bob.until(|bob| bob.transfers.streams.is_empty())).await;
}

#[tokio::test]
async fn sizes_at_the_edges_of_chunks_arrive() {
    for len in [0, 1, MIN_CHUNK - 1, MIN_CHUNK, MIN_CHUNK + 1, 2 * MIN_CHUNK] {
        let bytes = bytes(len);
        let (ada, mut bob, _) = limited(share(&bytes, &[])).await;
        assert!(matches!(ada.ended(), Some(Event::Shared { .. })), "{len}");
        let arrived = bob.transfers.take(ADA, ID).expect("received").1.concat();
        assert!(arrived == bytes, "{len} arrived changed");
    }
}

#[tokio::test]
async fn what_was_cut_at_half_is_resumed_with_the_other_half() {
    let bytes = bytes(10 * MIB);
    let cut = Fault { cut_at: Some(5 * MIB as u64), ..Fault::default() };
    let (ada, mut bob, meters) = limited(share(&bytes, &[cut])).await;
    assert!(matches!(ada.ended(), Some(Event::Shared { resumed: 1, .. })), "{:?}", ada.ended());
    let arrived = bob.transfers.take(ADA, ID).expect("received").1.concat();
    assert!(arrived == bytes, "arrived changed");

    let [first, second] = &meters[..] else { panic!("two streams") };
    assert_eq!(first.bytes(), 5 * MIB as u64);
    // What is sent again is what the stream held when it broke, the chunk that was cut, and the offer.
    let again = first.bytes() + second.bytes() - 10 * MIB as u64;
    assert!(again < (CAPACITY + 2 * MIN_CHUNK) as u64, "{again} bytes were sent twice");
}

#[tokio::test]
async fn a_changed_byte_is_refused_on_both_sides() {
    let bytes = bytes(4 * MIB);
    let flip = Fault { flip_at: Some(2_000_000), ..Fault::default() };
    let (ada, mut bob, meters) = limited(share(&bytes, &[flip])).await;
    let failed = Event::ShareFailed { id: ID, peer: BOB, error: ShareError::Integrity };
    assert_eq!(ada.ended(), Some(&failed));
    let failed = Event::ReceiveFailed { id: ID, from: ADA, error: ReceiveError::Integrity };
    assert_eq!(bob.ended(), Some(&failed));
    assert_eq!(bob.offences, [(ADA, Offence::Corrupt)]);
    assert_eq!(ada.offences, []);
    assert_eq!(bob.partial(), None, "nothing is kept of it");
    assert!(bob.transfers.take(ADA, ID).is_none());
    assert_eq!(meters.len(), 1, "not tried again");
}

#[tokio::test]
async fn a_frame_past_its_limit_is_an_offence() {
    let mut bob = End::new();
    let length = |len| unsigned_varint::encode::usize(len, &mut unsigned_varint::encode::usize_buffer()).to_vec();

    let mut at_limit = bob.stream();
    at_limit.write_all(&length(MAX_TRANSFER_FRAME)).await.unwrap();
    let mut past_limit = bob.stream();
    past_limit.write_all(&length(MAX_TRANSFER_FRAME + 1)).await.unwrap();

    limited(bob.until(|bob| bob.transfers.streams.len() == 1)).await;
    assert_eq!(bob.offences, [(ADA, Offence::TooLarge)]);
    assert!(past_limit.read(&mut [0]).await.is_err(), "reset");
    drop(at_limit);
    limited(bob.until(|bob| bob.transfers.streams.is_empty())).await;
    assert_eq!(bob.offences.len(), 1, "to hang up is none");
}

#[tokio::test]
async fn a_promise_costs_no_memory() {
    let mut bob = End::new();
    let mut large = Manifest::clone(&manifest(&[]));
    (large.size, large.chunk) = (256 * MIB as u64, 256 * 1024);
    large.hashes = vec![ChunkHash([0; 32]); 1024];
    let mut stream = bob.stream();
    write(&mut stream, &offer(&large)).await;
    bob.turn().await;
    assert_eq!(read(&mut stream).await, Some(Frame::Accept { have: 0 }));
    assert_eq!(bob.partial(), Some((0, 0)));
}

#[test]
fn only_the_owner_adds_chunks() {
    let bytes = bytes(3 * MIB + 1);
    let manifest = manifest(&bytes);
    let partial = Partial::shared(manifest.clone(), Ticket::Inbound(1));
    let mut partial = lock(&partial);
    for (have, chunk) in (1..).zip(bytes.chunks(MIN_CHUNK)) {
        let chunk = Bytes::copy_from_slice(chunk);
        assert_eq!(partial.append(Ticket::Inbound(2), chunk.clone()), None, "another stream owns it");
        assert_eq!(partial.append(Ticket::Inbound(1), chunk), Some(have));
    }
    assert!(partial.chunks.concat() == bytes);
}

#[tokio::test]
async fn a_receiver_that_confirms_nothing_stalls_its_sender_at_the_window() {
    let bytes = bytes(4 * MIB);
    let manifest = manifest(&bytes);
    let (near, mut bob) = pipe(4 * MIB, Fault::default());
    let sent = near.written();
    let (reports, mut reported) = mpsc::channel(64);
    let outbound = send::Outbound {
        mesh: MESH,
        to: BOB,
        ticket: Ticket::Outbound(1),
        parcel: Parcel { manifest: manifest.clone(), bytes },
        reports,
    };
    let task = tokio::spawn(send::send(near, outbound));
    assert_eq!(read(&mut bob).await, Some(offer(&manifest)));
    let offered = sent.bytes();
    settle().await;
    assert_eq!(sent.bytes(), offered, "nothing before it is accepted");

    write(&mut bob, &Frame::Accept { have: 1 }).await;
    settle().await;
    let overhead = 4 * 64;
    let window = offered + MIN_WINDOW..offered + MIN_WINDOW + overhead;
    assert!(window.contains(&sent.bytes()), "{} of {window:?}", sent.bytes());

    write(&mut bob, &Frame::Received { have: 2 }).await;
    settle().await;
    let chunk = MIN_CHUNK as u64;
    assert!(sent.bytes() >= offered + MIN_WINDOW + chunk, "one more for each that is confirmed");

    // It has sent chunks 1 to 5 and no more than its window; to confirm the last of all is a lie.
    write(&mut bob, &Frame::Received { have: 64 }).await;
    let last = limited(task).await.expect("no panic");
    let broken = |input: &Input| matches!(input, Input::Sending { report: SendReport::Broken, .. });
    assert!(last.as_ref().is_some_and(broken), "{last:?}");
    let mut inputs = Vec::new();
    while let Some(Report::Input(input)) = reported.next().await {
        inputs.push(input);
    }
    let offence = Input::Offence { peer: BOB, offence: Offence::OutOfPlace };
    assert_eq!(inputs.last(), Some(&offence));
}

#[tokio::test]
async fn chunks_out_of_order_are_an_offence_and_what_came_before_is_kept() {
    let bytes = bytes(4 * MIN_CHUNK);
    let manifest = manifest(&bytes);
    let mut bob = End::new();
    let mut stream = bob.stream();
    write(&mut stream, &offer(&manifest)).await;
    write(&mut stream, &chunk(&manifest, &bytes, 0)).await;
    write(&mut stream, &chunk(&manifest, &bytes, 2)).await;
    limited(bob.until(|bob| bob.transfers.streams.is_empty())).await;
    assert_eq!(bob.offences, [(ADA, Offence::OutOfPlace)]);
    assert_eq!(bob.partial().map(|(have, _)| have), Some(1));

    let mut stream = bob.stream();
    write(&mut stream, &offer(&manifest)).await;
    bob.turn().await;
    assert_eq!(read(&mut stream).await, Some(Frame::Accept { have: 1 }));
}

#[tokio::test]
async fn a_second_stream_takes_over_from_the_first() {
    let bytes = bytes(4 * MIN_CHUNK);
    let manifest = manifest(&bytes);
    let mut bob = End::new();
    let mut first = bob.stream();
    write(&mut first, &offer(&manifest)).await;
    write(&mut first, &chunk(&manifest, &bytes, 0)).await;
    limited(bob.until(|bob| bob.partial().is_some_and(|(have, _)| have == 1))).await;

    let mut second = bob.stream();
    write(&mut second, &offer(&manifest)).await;
    limited(bob.until(|bob| bob.transfers.streams.len() == 1)).await;
    assert_eq!(read(&mut second).await, Some(Frame::Accept { have: 1 }));
    let mut rest = Vec::new();
    assert!(first.read_to_end(&mut rest).await.is_err(), "reset");

    for index in 1..4 {
        write(&mut second, &chunk(&manifest, &bytes, index)).await;
    }
    limited(bob.until(|bob| bob.ended().is_some())).await;
    assert_eq!(bob.ended(), Some(&Event::Received { id: ID, from: ADA }));
    assert!(bob.transfers.take(ADA, ID).is_some_and(|(_, arrived)| arrived.concat() == bytes));
    assert_eq!(bob.offences, []);
}

#[tokio::test]
async fn an_offer_repeated_after_the_end_is_confirmed_and_delivered_once() {
    let bytes = bytes(2 * MIN_CHUNK);
    let (_, mut bob, _) = limited(share(&bytes, &[])).await;
    assert!(bob.transfers.take(ADA, ID).is_some());
    bob.events.clear();
    let mut stream = bob.stream();
    write(&mut stream, &offer(&manifest(&bytes))).await;
    stream.close().await.unwrap();
    limited(bob.until(|bob| bob.transfers.streams.is_empty())).await;
    assert_eq!(read(&mut stream).await, Some(Frame::Accept { have: 2 }));
    assert_eq!(read(&mut stream).await, None, "and closed");
    assert_eq!(bob.events, []);
    assert_eq!(bob.partial(), None);
}

#[tokio::test]
async fn refusals_say_why() {
    let manifest = manifest(&bytes(100));
    let mut too_large = Manifest::clone(&manifest);
    (too_large.size, too_large.chunk) = (257 * MIB as u64, MIB as u32);
    too_large.hashes = vec![ChunkHash([0; 32]); 257];
    let wrong_mesh = Frame::Offer { mesh: MeshId([8; 32]), manifest: Manifest::clone(&manifest) };
    let offers = [(wrong_mesh, Refusal::WrongMesh), (offer(&too_large), Refusal::TooLarge)];
    for (offer, reason) in offers {
        let mut bob = End::new();
        let mut stream = bob.stream();
        write(&mut stream, &offer).await;
        // What is on the way already does no harm.
        write(&mut stream, &chunk(&manifest, &bytes(100), 0)).await;
        stream.close().await.unwrap();
        limited(bob.until(|bob| bob.transfers.streams.is_empty())).await;
        assert_eq!(read(&mut stream).await, Some(Frame::Refuse { reason }));
        assert_eq!(bob.offences, []);
        assert_eq!(bob.partial(), None);
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_something_else_is_an_offence() {
    let mut bob = End::new();
    let mut stream = bob.stream();
    write(&mut stream, &Frame::Received { have: 1 }).await;
    limited(bob.until(|bob| bob.transfers.streams.is_empty())).await;
    assert_eq!(bob.offences, [(ADA, Offence::OutOfPlace)]);
}

#[tokio::test]
async fn a_peer_has_so_many_streams_and_no_more() {
    let mut bob = End::new();
    let mut streams: Vec<_> = (0..MAX_STREAMS_PER_PEER).map(|_| bob.stream()).collect();
    assert!(bob.stream().read(&mut [0]).await.is_err(), "one past the bound is reset");
    let (_near, far) = pipe(CAPACITY, Fault::default());
    bob.transfers.accept(NodeId([9; 32]), far);
    assert_eq!(bob.transfers.streams.len(), MAX_STREAMS_PER_PEER + 1, "another peer has its own");

    streams.pop();
    limited(bob.until(|bob| bob.transfers.streams.len() == MAX_STREAMS_PER_PEER)).await;
    let mut stream = bob.stream();
    write(&mut stream, &Frame::Received { have: 1 }).await;
    limited(bob.until(|bob| !bob.offences.is_empty())).await;
}

#[tokio::test]
async fn a_peer_without_the_protocol_fails_the_share_and_a_link_without_a_stream_does_not() {
    for (error, report) in [(OpenError::Unsupported, SendReport::Unsupported), (OpenError::Failed, SendReport::Broken)]
    {
        let mut ada = End::new();
        ada.transfers.keep(BOB, manifest(&[]), Bytes::new());
        let ticket = Ticket::Outbound(1);
        let command = Command::Open { to: BOB, id: ID, ticket };
        ada.transfers.carry_out(command, |_| ready(Err::<Pipe, _>(error)));
        let ended = limited(ada.reports.next()).await.expect("a report");
        let to = BOB;
        assert_eq!(ada.transfers.input(ended), Some(Input::Sending { to, id: ID, ticket, report }));
    }
}

#[tokio::test]
async fn a_cancelled_share_stops_and_is_forgotten() {
    let mut ada = End::new();
    let bytes = bytes(MIB);
    let manifest = manifest(&bytes);
    let (near, mut far) = pipe(CAPACITY, Fault::default());
    ada.weights.handle(Input::Connected(BOB), mesh_platform::now());
    ada.transfers.keep(BOB, manifest.clone(), bytes);
    ada.weights.share(BOB, &manifest, 1000, mesh_platform::now()).expect("within bounds");
    let mut near = Some(near);
    ada.drain(|| near.take().expect("one stream"));
    assert_eq!(read(&mut far).await, Some(offer(&manifest)));

    ada.weights.cancel(BOB, ID);
    ada.drain(|| panic!("no other"));
    assert!(ada.transfers.outgoing.is_empty());
    limited(ada.until(|ada| ada.transfers.streams.is_empty())).await;
    assert!(far.read(&mut [0]).await.is_err(), "reset");
    assert_eq!(ada.events, []);
}

#[tokio::test]
async fn tasks_end_with_their_owner() {
    let mut bob = End::new();
    let mut stream = bob.stream();
    drop(bob);
    assert!(limited(stream.read(&mut [0])).await.is_err());
}

#[tokio::test]
async fn a_driver_that_is_behind_slows_its_peers_down() {
    let bytes = bytes(32 * MIB);
    let manifest = manifest(&bytes);
    let mut bob = End::new();
    let mut ada = bob.stream();
    write(&mut ada, &offer(&manifest)).await;
    bob.turn().await;
    let sent = ada.written();
    let writer = tokio::spawn(async move {
        for index in 0..manifest.chunks() {
            write(&mut ada, &chunk(&manifest, &bytes, index)).await;
        }
    });
    // The driver takes no report: as many chunks are taken as reports may wait, and what the stream holds.
    let bound = (REPORTS + 4) as u64 * MIN_CHUNK as u64 + 2 * CAPACITY as u64;
    let mut before = 0;
    while before < sent.bytes() {
        before = sent.bytes();
        settle().await;
    }
    assert!(before < bound, "{before} of {bound}");
    writer.abort();
}
