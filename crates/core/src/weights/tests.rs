use mesh_proto::id::{Checksum, ChunkHash};
use mesh_proto::limits::MAX_CHUNKS;
use mesh_proto::transfer::{Codec, WeightsInfo};

use super::*;

const A: NodeId = NodeId([1; 32]);
const B: NodeId = NodeId([2; 32]);
const CHUNK: u64 = 64 * 1024;

fn id(n: u8) -> TransferId {
    TransferId([n; 16])
}

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

/// Of `chunks` full chunks.
fn manifest(n: u8, chunks: u32) -> Manifest {
    let info = WeightsInfo {
        agent: "ada".into(),
        name: None,
        format: "safetensors".into(),
        codec: Codec::None,
        raw_size: u64::from(chunks) * CHUNK,
        checksum: Checksum([n; 32]),
        metadata: None,
    };
    Manifest {
        id: id(n),
        info,
        size: u64::from(chunks) * CHUNK,
        chunk: CHUNK as u32,
        hashes: vec![ChunkHash([n; 32]); chunks as usize],
    }
}

fn at(millis: u64) -> Now {
    Now { mono: Mono(millis), unix: 0 }
}

/// A machine and the outputs that it gave.
struct Machine {
    weights: Weights,
    now: u64,
    tickets: u64,
}

impl Machine {
    fn new(config: Config) -> Self {
        Self { weights: Weights::new(config), now: 0, tickets: 0 }
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.weights.poll_output()).collect()
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.weights.handle(input, at(self.now));
        self.outputs()
    }

    /// Lets time pass until `millis`, and the machine act whenever it wants to.
    fn sleep_until(&mut self, millis: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(due) = self.weights.poll_timeout().filter(|due| due.0 <= millis) {
            self.now = self.now.max(due.0);
            self.weights.handle_timeout(at(self.now));
            outputs.extend(self.outputs());
        }
        self.now = millis;
        outputs
    }

    fn share(&mut self, to: NodeId, manifest: &Manifest, timeout_ms: u64) -> Vec<Output> {
        self.weights.share(to, manifest, timeout_ms, at(self.now)).expect("shared");
        self.outputs()
    }

    fn sending(&mut self, to: NodeId, id: TransferId, ticket: u64, report: SendReport) -> Vec<Output> {
        let ticket = Ticket::Outbound(ticket);
        self.handle(Input::Sending { to, id, ticket, report })
    }

    fn offered(&mut self, from: NodeId, manifest: &Manifest) -> (u64, Vec<Output>) {
        self.tickets += 1;
        let offer =
            Input::Offered { from, ticket: Ticket::Inbound(self.tickets), manifest: Arc::new(manifest.clone()) };
        (self.tickets, self.handle(offer))
    }

    fn receiving(&mut self, from: NodeId, id: TransferId, ticket: u64, report: ReceiveReport) -> Vec<Output> {
        let ticket = Ticket::Inbound(ticket);
        self.handle(Input::Receiving { from, id, ticket, report })
    }

    /// Offers and delivers a whole transfer.
    fn deliver(&mut self, from: NodeId, manifest: &Manifest) {
        let (ticket, decided) = self.offered(from, manifest);
        assert_eq!(decided, [decide(ticket, Decision::Accept)]);
        let arrived = ReceiveReport::Arrived { have: manifest.chunks() };
        let outputs = self.receiving(from, manifest.id, ticket, arrived);
        assert_eq!(outputs.last(), Some(&received(from, manifest.id)));
    }
}

fn open(to: NodeId, id: TransferId, ticket: u64) -> Output {
    let ticket = Ticket::Outbound(ticket);
    Output::Transfer(Command::Open { to, id, ticket })
}

fn release(to: NodeId, id: TransferId) -> Output {
    Output::Transfer(Command::Release { to, id })
}

fn close(ticket: Ticket) -> Output {
    Output::Transfer(Command::Close(ticket))
}

fn discard(from: NodeId, id: TransferId) -> Output {
    Output::Transfer(Command::Discard { from, id })
}

fn decide(ticket: u64, decision: Decision) -> Output {
    let ticket = Ticket::Inbound(ticket);
    Output::Transfer(Command::Decide { ticket, decision })
}

fn refused(ticket: u64, reason: Refusal) -> Vec<Output> {
    vec![decide(ticket, Decision::Refuse(reason))]
}

fn progress(direction: Direction, peer: NodeId, id: TransferId, have: u64, total: u64) -> Output {
    Output::Event(Event::Progress { id, direction, peer, bytes: have * CHUNK, total: total * CHUNK })
}

fn shared(peer: NodeId, id: TransferId, chunks: u64, resumed: u32, duration_ms: u64) -> Output {
    Output::Event(Event::Shared { id, peer, bytes: chunks * CHUNK, resumed, duration_ms })
}

fn share_failed(peer: NodeId, id: TransferId, error: ShareError) -> Output {
    Output::Event(Event::ShareFailed { id, peer, error })
}

fn received(from: NodeId, id: TransferId) -> Output {
    Output::Event(Event::Received { id, from })
}

fn receive_failed(from: NodeId, id: TransferId, error: ReceiveError) -> Output {
    Output::Event(Event::ReceiveFailed { id, from, error })
}

mod sending {
    use super::*;

    fn connected() -> Machine {
        let mut machine = Machine::new(Config::default());
        assert_eq!(machine.handle(Input::Connected(A)), []);
        machine
    }

    #[test]
    fn a_share_over_a_link_that_is_up() {
        let mut machine = connected();
        let t = id(1);
        assert_eq!(machine.share(A, &manifest(1, 3), 1000), [open(A, t, 1)]);
        // (time, report, outputs)
        let steps = [
            (10, SendReport::Accepted { have: 0 }, vec![]),
            (20, SendReport::Confirmed { have: 1 }, vec![progress(Direction::Out, A, t, 1, 3)]),
            (69, SendReport::Confirmed { have: 2 }, vec![]), // within 50 ms
            (
                70,
                SendReport::Confirmed { have: 3 },
                vec![progress(Direction::Out, A, t, 3, 3), release(A, t), shared(A, t, 3, 0, 70)],
            ),
            (80, SendReport::Broken, vec![]), // over
        ];
        for (time, report, outputs) in steps {
            machine.now = time;
            assert_eq!(machine.sending(A, t, 1, report), outputs, "{report:?}");
        }
        assert_eq!(machine.weights.poll_timeout(), None);
    }

    #[test]
    fn nothing_is_shared_as_soon_as_it_is_accepted() {
        let mut machine = connected();
        machine.share(A, &manifest(1, 0), 1000);
        let outputs = machine.sending(A, id(1), 1, SendReport::Accepted { have: 0 });
        assert_eq!(outputs, [release(A, id(1)), shared(A, id(1), 0, 0, 0)]);
    }

    #[test]
    fn a_broken_stream_is_resumed_at_once_and_then_more_slowly() {
        let mut machine = connected();
        let t = id(1);
        machine.share(A, &manifest(1, 8), 60_000);
        machine.sending(A, t, 1, SendReport::Accepted { have: 0 });
        machine.sending(A, t, 1, SendReport::Confirmed { have: 2 });

        assert_eq!(machine.sending(A, t, 1, SendReport::Broken), [open(A, t, 2)]);
        let pauses = [500, 1000, 2000, 4000, 4000];
        for (attempt, pause) in (2..).zip(pauses) {
            let broke = machine.now;
            assert_eq!(machine.sending(A, t, attempt, SendReport::Broken), []);
            assert_eq!(machine.sleep_until(broke + pause - 1), []);
            assert_eq!(machine.sleep_until(broke + pause), [open(A, t, attempt + 1)]);
        }

        machine.sending(A, t, 7, SendReport::Accepted { have: 2 });
        machine.sending(A, t, 7, SendReport::Confirmed { have: 3 });
        assert_eq!(machine.sending(A, t, 7, SendReport::Broken), [open(A, t, 8)], "it had got on");
        let outputs = machine.sending(A, t, 8, SendReport::Accepted { have: 8 });
        // Streams 1, 7 and 8 were accepted.
        assert_eq!(outputs.last(), Some(&shared(A, t, 8, 2, machine.now)));
    }

    #[test]
    fn what_a_replaced_stream_says_does_not_count() {
        let mut machine = connected();
        let t = id(1);
        machine.share(A, &manifest(1, 4), 60_000);
        machine.sending(A, t, 1, SendReport::Accepted { have: 0 });
        machine.sending(A, t, 1, SendReport::Broken);
        let late = [
            SendReport::Confirmed { have: 4 },
            SendReport::Refused(Refusal::Busy),
            SendReport::Unsupported,
            SendReport::Broken,
        ];
        for report in late {
            assert_eq!(machine.sending(A, t, 1, report), [], "{report:?}");
        }
        assert_eq!(machine.sending(B, t, 2, SendReport::Broken), [], "another peer");
    }

    #[test]
    fn without_a_link_it_dials_once_and_backs_off() {
        let mut machine = Machine::new(Config::default());
        assert_eq!(machine.share(A, &manifest(1, 1), 60_000), [Output::Dial(A)]);
        assert_eq!(machine.share(A, &manifest(2, 1), 60_000), [], "one dial serves both");
        assert_eq!(machine.share(B, &manifest(1, 1), 60_000), [Output::Dial(B)]);

        let mut failed = 0;
        for pause in [250, 500, 1000, 2000, 4000, 4000] {
            assert_eq!(machine.handle(Input::DialFailed(A)), []);
            assert_eq!(machine.sleep_until(failed + pause - 1), []);
            assert_eq!(machine.sleep_until(failed + pause), [Output::Dial(A)]);
            failed += pause;
        }
        machine.handle(Input::DialFailed(A));
        // A link that comes up is used at once, whoever made it.
        assert_eq!(machine.handle(Input::Connected(A)), [open(A, id(1), 1), open(A, id(2), 2)]);
        assert_eq!(machine.handle(Input::Connected(A)), [], "a second link changes nothing");
        assert_eq!(machine.handle(Input::DialFailed(A)), []);
    }

    #[test]
    fn a_lost_link_is_dialled_and_the_transfer_resumed() {
        let mut machine = connected();
        let t = id(1);
        machine.share(A, &manifest(1, 4), 60_000);
        machine.sending(A, t, 1, SendReport::Accepted { have: 0 });
        machine.sending(A, t, 1, SendReport::Confirmed { have: 2 });
        let lost = machine.handle(Input::Disconnected(A));
        assert_eq!(lost, [close(Ticket::Outbound(1)), Output::Dial(A)]);
        assert_eq!(machine.sending(A, t, 1, SendReport::Broken), []);
        assert_eq!(machine.handle(Input::Connected(A)), [open(A, t, 2)]);
        machine.sending(A, t, 2, SendReport::Accepted { have: 2 });
        let outputs = machine.sending(A, t, 2, SendReport::Confirmed { have: 4 });
        assert_eq!(outputs.last(), Some(&shared(A, t, 4, 1, 0)));
    }

    #[test]
    fn the_timeout_is_time_without_progress() {
        let mut machine = connected();
        let t = id(1);
        machine.share(A, &manifest(1, 8), 1000);
        machine.sleep_until(900);
        machine.sending(A, t, 1, SendReport::Accepted { have: 0 });
        machine.sleep_until(1800);
        machine.sending(A, t, 1, SendReport::Confirmed { have: 1 });
        assert_eq!(machine.sleep_until(2799), []);
        let failed = [close(Ticket::Outbound(1)), release(A, t), share_failed(A, t, ShareError::Timeout)];
        assert_eq!(machine.sleep_until(2800), failed);
    }

    #[test]
    fn accepting_without_taking_anything_is_not_progress() {
        let mut machine = connected();
        let t = id(1);
        machine.share(A, &manifest(1, 8), 2000);
        let mut outputs = machine.sending(A, t, 1, SendReport::Accepted { have: 0 });
        let mut ticket = 1;
        while !outputs.contains(&share_failed(A, t, ShareError::Timeout)) {
            assert!(machine.now <= 2000, "{outputs:?}");
            outputs = machine.sending(A, t, ticket, SendReport::Broken);
            if outputs.is_empty() {
                outputs = machine.sleep_until(machine.now + 1000);
            }
            if outputs.contains(&open(A, t, ticket + 1)) {
                ticket += 1;
                machine.sending(A, t, ticket, SendReport::Accepted { have: 0 });
            }
        }
        assert_eq!(machine.weights.poll_timeout(), None);
    }

    #[test]
    fn without_a_link_for_the_timeout_the_peer_is_unreachable() {
        let mut machine = Machine::new(Config::default());
        machine.share(A, &manifest(1, 1), 1000);
        assert_eq!(machine.sleep_until(999), []);
        let failed = [release(A, id(1)), share_failed(A, id(1), ShareError::PeerUnreachable)];
        assert_eq!(machine.sleep_until(1000), failed);
    }

    #[test]
    fn refusals_are_final() {
        let reports = [
            (SendReport::Refused(Refusal::Corrupt), ShareError::Integrity),
            (SendReport::Refused(Refusal::Busy), ShareError::Refused(Refusal::Busy)),
            (SendReport::Refused(Refusal::TooLarge), ShareError::Refused(Refusal::TooLarge)),
            (SendReport::Refused(Refusal::WrongMesh), ShareError::Refused(Refusal::WrongMesh)),
            (SendReport::Unsupported, ShareError::Unsupported),
        ];
        for (report, error) in reports {
            let mut machine = connected();
            machine.share(A, &manifest(1, 1), 1000);
            let outputs = machine.sending(A, id(1), 1, report);
            let failed = [close(Ticket::Outbound(1)), release(A, id(1)), share_failed(A, id(1), error)];
            assert_eq!(outputs, failed);
            assert_eq!(machine.weights.poll_timeout(), None);
        }
    }

    #[test]
    fn a_receiver_may_begin_anew_three_times() {
        let mut machine = connected();
        let t = id(1);
        machine.share(A, &manifest(1, 9), 60_000);
        for ticket in 1..=4 {
            machine.sending(A, t, ticket, SendReport::Accepted { have: 0 });
            machine.sending(A, t, ticket, SendReport::Confirmed { have: 5 });
            assert_eq!(machine.sending(A, t, ticket, SendReport::Broken), [open(A, t, ticket + 1)]);
        }
        let outputs = machine.sending(A, t, 5, SendReport::Accepted { have: 4 });
        assert_eq!(outputs.last(), Some(&share_failed(A, t, ShareError::Timeout)));
    }

    #[test]
    fn a_cancelled_share_is_forgotten_without_a_word() {
        let mut machine = connected();
        machine.share(A, &manifest(1, 1), 1000);
        machine.weights.cancel(A, id(1));
        assert_eq!(machine.outputs(), [close(Ticket::Outbound(1)), release(A, id(1))]);
        machine.weights.cancel(A, id(1));
        assert_eq!(machine.outputs(), []);
        assert_eq!(machine.sending(A, id(1), 1, SendReport::Accepted { have: 1 }), []);
        assert_eq!(machine.weights.poll_timeout(), None);
    }

    #[test]
    fn shares_are_bounded() {
        let max = SendingConfig::default().max_transfers;
        let mut machine = connected();
        for n in 0..max as u8 {
            machine.share(A, &manifest(n, 1), 1000);
        }
        let again = machine.weights.share(A, &manifest(0, 1), 1000, at(0));
        assert_eq!(again, Err(Error::UnderWay));
        let more = machine.weights.share(A, &manifest(200, 1), 1000, at(0));
        assert_eq!(more, Err(Error::OverQuota { max }));
        machine.weights.cancel(A, id(0));
        machine.outputs();
        machine.share(A, &manifest(200, 1), 1000);
    }

    #[test]
    fn what_no_receiver_could_read_is_not_shared() {
        let mut machine = connected();
        let largest = manifest(1, MAX_CHUNKS as u32);
        assert_eq!(machine.weights.share(A, &largest, 1000, at(0)), Ok(()));
        let too_large = manifest(2, MAX_CHUNKS as u32 + 1);
        let error = machine.weights.share(A, &too_large, 1000, at(0));
        assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
    }
}

mod receiving {
    use super::*;

    fn machine() -> Machine {
        Machine::new(Config::default())
    }

    /// Room for 16 chunks in all and 8 of one peer.
    fn small() -> Machine {
        Machine::new(Config { receiving: ReceivingConfig::up_to(8 * CHUNK), ..Config::default() })
    }

    #[test]
    fn a_transfer_arrives() {
        let mut machine = machine();
        let t = id(1);
        let (ticket, outputs) = machine.offered(A, &manifest(1, 3));
        assert_eq!(outputs, [decide(ticket, Decision::Accept)]);
        // (time, have, outputs)
        let steps = [
            (0, 0, vec![]),
            (10, 1, vec![progress(Direction::In, A, t, 1, 3)]),
            (59, 2, vec![]), // within 50 ms
            (60, 3, vec![progress(Direction::In, A, t, 3, 3), received(A, t)]),
            (61, 3, vec![]), // over
        ];
        for (time, have, outputs) in steps {
            machine.now = time;
            assert_eq!(machine.receiving(A, t, ticket, ReceiveReport::Arrived { have }), outputs, "{time}");
        }
    }

    #[test]
    fn nothing_arrives_at_once() {
        let mut machine = machine();
        let (ticket, _) = machine.offered(A, &manifest(1, 0));
        let outputs = machine.receiving(A, id(1), ticket, ReceiveReport::Arrived { have: 0 });
        assert_eq!(outputs, [received(A, id(1))]);
    }

    #[test]
    fn a_repeated_offer_goes_on_where_the_stream_broke() {
        let mut machine = machine();
        let (t, four) = (id(1), manifest(1, 4));
        let (first, _) = machine.offered(A, &four);
        machine.receiving(A, t, first, ReceiveReport::Arrived { have: 2 });
        assert_eq!(machine.receiving(A, t, first, ReceiveReport::Broken), []);
        machine.sleep_until(299_999);
        let (second, outputs) = machine.offered(A, &four);
        assert_eq!(outputs, [decide(second, Decision::Accept)]);
        assert_eq!(machine.receiving(A, t, second, ReceiveReport::Arrived { have: 2 }), []);
        let outputs = machine.receiving(A, t, second, ReceiveReport::Arrived { have: 4 });
        assert_eq!(outputs, [progress(Direction::In, A, t, 4, 4), received(A, t)]);
    }

    #[test]
    fn a_second_stream_replaces_the_first() {
        let mut machine = machine();
        let (t, four) = (id(1), manifest(1, 4));
        let (first, _) = machine.offered(A, &four);
        let (second, outputs) = machine.offered(A, &four);
        assert_eq!(outputs, [close(Ticket::Inbound(first)), decide(second, Decision::Accept)]);
        for late in [ReceiveReport::Arrived { have: 4 }, ReceiveReport::Corrupt, ReceiveReport::Broken] {
            assert_eq!(machine.receiving(A, t, first, late), [], "{late:?}");
        }
        let outputs = machine.receiving(A, t, second, ReceiveReport::Arrived { have: 4 });
        assert_eq!(outputs.last(), Some(&received(A, t)));
    }

    #[test]
    fn the_same_id_for_something_else_is_refused() {
        let mut machine = machine();
        let (first, _) = machine.offered(A, &manifest(1, 4));
        let mut other = manifest(1, 4);
        other.hashes[2] = ChunkHash([9; 32]);
        let (second, outputs) = machine.offered(A, &other);
        assert_eq!(outputs, refused(second, Refusal::Corrupt));
        let outputs = machine.receiving(A, id(1), first, ReceiveReport::Arrived { have: 4 });
        assert_eq!(outputs.last(), Some(&received(A, id(1))), "the first goes on");

        other = manifest(1, 3);
        let (third, outputs) = machine.offered(A, &other);
        assert_eq!(outputs, refused(third, Refusal::Corrupt), "after it has arrived as well");
        let (fourth, outputs) = machine.offered(B, &other);
        assert_eq!(outputs, [decide(fourth, Decision::Accept)], "ids are a sender's own");
    }

    #[test]
    fn a_finished_transfer_is_known_and_not_delivered_twice() {
        let mut machine = machine();
        machine.deliver(A, &manifest(1, 4));
        machine.sleep_until(299_999);
        let (again, outputs) = machine.offered(A, &manifest(1, 4));
        assert_eq!(outputs, [decide(again, Decision::Known)]);
        assert_eq!(machine.receiving(A, id(1), again, ReceiveReport::Arrived { have: 4 }), []);
        machine.sleep_until(300_000);
        let (later, outputs) = machine.offered(A, &manifest(1, 4));
        assert_eq!(outputs, [decide(later, Decision::Accept)], "forgotten");
    }

    #[test]
    fn memory_of_finished_transfers_is_bounded() {
        let mut config = ReceivingConfig::default();
        (config.max_finished, config.max_finished_per_peer) = (3, 2);
        let mut machine = Machine::new(Config { receiving: config, ..Config::default() });
        for (from, n) in [(A, 1), (A, 2), (A, 3), (B, 4), (node(3), 5)] {
            machine.now += 1;
            machine.deliver(from, &manifest(n, 1));
            machine.weights.taken(from, id(n));
        }
        let offers = [
            (A, 1, Decision::Accept), // the third of a peer pushed it out
            (A, 2, Decision::Accept), // the fourth in all did
            (A, 3, Decision::Known),
            (B, 4, Decision::Known),
            (node(3), 5, Decision::Known),
        ];
        for (from, n, decision) in offers {
            let (ticket, outputs) = machine.offered(from, &manifest(n, 1));
            assert_eq!(outputs, [decide(ticket, decision)], "{n}");
        }
    }

    #[test]
    fn corruption_ends_the_transfer_and_is_an_offence() {
        let mut machine = machine();
        let t = id(1);
        let (ticket, _) = machine.offered(A, &manifest(1, 4));
        machine.receiving(A, t, ticket, ReceiveReport::Arrived { have: 2 });
        let outputs = machine.receiving(A, t, ticket, ReceiveReport::Corrupt);
        let offence = Output::Offence { peer: A, offence: Offence::Corrupt };
        // No Close: the task is still saying why.
        assert_eq!(outputs, [discard(A, t), receive_failed(A, t, ReceiveError::Integrity), offence]);
        assert_eq!(machine.weights.poll_timeout(), None);
    }

    #[test]
    fn other_offences_are_passed_on() {
        let offence = Offence::OutOfPlace;
        let outputs = machine().handle(Input::Offence { peer: A, offence });
        assert_eq!(outputs, [Output::Offence { peer: A, offence }]);
    }

    #[test]
    fn a_stalled_stream_is_closed_and_what_came_is_kept_for_a_while() {
        let mut machine = machine();
        let t = id(1);
        let (ticket, _) = machine.offered(A, &manifest(1, 4));
        machine.sleep_until(14_999);
        machine.receiving(A, t, ticket, ReceiveReport::Arrived { have: 1 });
        assert_eq!(machine.sleep_until(29_998), []);
        assert_eq!(machine.sleep_until(29_999), [close(Ticket::Inbound(ticket))]);
        assert_eq!(machine.sleep_until(329_998), []);
        let expired = [discard(A, t), receive_failed(A, t, ReceiveError::Timeout)];
        assert_eq!(machine.sleep_until(329_999), expired);
        assert_eq!(machine.weights.poll_timeout(), None);
    }

    #[test]
    fn a_lost_link_closes_its_streams() {
        let mut machine = machine();
        let (of_a, _) = machine.offered(A, &manifest(1, 4));
        let (of_b, _) = machine.offered(B, &manifest(1, 4));
        assert_eq!(machine.handle(Input::Disconnected(A)), [close(Ticket::Inbound(of_a))]);
        assert_eq!(machine.handle(Input::Disconnected(A)), []);
        assert_eq!(machine.receiving(A, id(1), of_a, ReceiveReport::Broken), []);
        let outputs = machine.receiving(B, id(1), of_b, ReceiveReport::Arrived { have: 4 });
        assert_eq!(outputs.last(), Some(&received(B, id(1))));
    }

    #[test]
    fn sizes_are_bounded() {
        let mut machine = small();
        let (ticket, outputs) = machine.offered(A, &manifest(1, 9));
        assert_eq!(outputs, refused(ticket, Refusal::TooLarge));
        // (peer, transfer, chunks, decision)
        let offers = [
            (A, 1, 8, Decision::Accept),
            (A, 2, 1, Decision::Refuse(Refusal::Busy)), // more than 8 of a peer
            (A, 3, 0, Decision::Accept),
            (B, 1, 7, Decision::Accept),
            (node(3), 1, 2, Decision::Refuse(Refusal::Busy)), // more than 16 in all
            (node(3), 2, 1, Decision::Accept),
        ];
        for (peer, n, chunks, decision) in offers {
            let (ticket, outputs) = machine.offered(peer, &manifest(n, chunks));
            assert_eq!(outputs, [decide(ticket, decision)], "{peer:?} {n}");
        }
    }

    #[test]
    fn numbers_are_bounded() {
        let mut machine = machine();
        for peer in 1..=4 {
            for n in 1..=4 {
                let (ticket, outputs) = machine.offered(node(peer), &manifest(n, 1));
                assert_eq!(outputs, [decide(ticket, Decision::Accept)], "{peer} {n}");
            }
            let (ticket, outputs) = machine.offered(node(peer), &manifest(5, 1));
            assert_eq!(outputs, refused(ticket, Refusal::Busy), "four of a peer");
        }
        let (ticket, outputs) = machine.offered(node(5), &manifest(1, 1));
        assert_eq!(outputs, refused(ticket, Refusal::Busy), "sixteen in all");
    }

    #[test]
    fn the_longest_idle_transfer_makes_room() {
        let mut machine = small();
        let (of_a, _) = machine.offered(A, &manifest(1, 8));
        let (of_b, _) = machine.offered(B, &manifest(1, 8));
        machine.receiving(B, id(1), of_b, ReceiveReport::Broken);
        machine.now = 5;
        machine.receiving(A, id(1), of_a, ReceiveReport::Broken);
        let (ticket, outputs) = machine.offered(node(3), &manifest(1, 1));
        let displaced = |peer| [discard(peer, id(1)), receive_failed(peer, id(1), ReceiveError::Displaced)];
        let [first, second] = displaced(B);
        assert_eq!(outputs, [first, second, decide(ticket, Decision::Accept)]);

        // A peer over its own bound displaces its own, though another's has been idle for longer.
        let (of_b, _) = machine.offered(B, &manifest(2, 7));
        machine.receiving(B, id(2), of_b, ReceiveReport::Broken);
        machine.now = 10;
        let (ticket, outputs) = machine.offered(B, &manifest(3, 3));
        let displaced =
            [discard(B, id(2)), receive_failed(B, id(2), ReceiveError::Displaced), decide(ticket, Decision::Accept)];
        assert_eq!(outputs, displaced);
    }

    #[test]
    fn an_offer_that_no_idle_transfer_could_make_room_for_displaces_none() {
        let mut machine = small();
        machine.offered(A, &manifest(1, 7));
        machine.offered(B, &manifest(1, 5));
        let (idle, _) = machine.offered(B, &manifest(2, 2));
        machine.receiving(B, id(2), idle, ReceiveReport::Broken);
        let (ticket, outputs) = machine.offered(node(3), &manifest(1, 5));
        assert_eq!(outputs, refused(ticket, Refusal::Busy));
        let (ticket, outputs) = machine.offered(node(3), &manifest(1, 2));
        assert_eq!(outputs, [decide(ticket, Decision::Accept)]);
    }

    #[test]
    fn weights_count_until_the_application_has_them() {
        let mut machine = small();
        machine.deliver(A, &manifest(1, 8));
        let (ticket, outputs) = machine.offered(A, &manifest(2, 1));
        assert_eq!(outputs, refused(ticket, Refusal::Busy));
        machine.weights.taken(A, id(1));
        let (ticket, outputs) = machine.offered(A, &manifest(2, 8));
        assert_eq!(outputs, [decide(ticket, Decision::Accept)]);
    }
}
