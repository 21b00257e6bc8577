use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures::{AsyncReadExt, AsyncWriteExt};

use super::{Driver, MAX_LINGERING, Stream, Totals};
use crate::framing::MAX_PAYLOAD;
use crate::rtc::memory::{Channel, Network, Peer};
use crate::rtc::{HIGH_WATER, Peer as _, PeerEvent};

/// Two streams over one channel, and what drives them. No muxer.
struct Ends {
    network: Network,
    _peers: (Peer, Peer),
    ours: (Stream<Channel>, Driver<Channel>),
    theirs: (Stream<Channel>, Driver<Channel>),
    totals: Arc<Totals>,
}

fn ends() -> Ends {
    let network = Network::new();
    let (mut a, mut b) = network.connected(&network.rtc(), &network.rtc()).unwrap();
    let channel = a.create_channel("").unwrap();
    let Poll::Ready(PeerEvent::Channel { channel: other, .. }) = b.poll(&mut noop()) else { panic!("no channel") };
    let totals = Arc::new(Totals::default());
    let (ours, theirs) = (Stream::new(channel, Arc::clone(&totals)), Stream::new(other, Arc::default()));
    Ends { network, _peers: (a, b), ours, theirs, totals }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// What a future gives at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut noop()) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("not at once"),
    }
}

fn is_pending<T>(future: impl Future<Output = T>) -> bool {
    pin!(future).poll(&mut noop()).is_pending()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn bytes_go_both_ways_and_halves_end_apart() {
    let Ends { network, _peers, ours: (mut ours, mut driver), theirs: (mut theirs, mut other), totals } = ends();
    let question = vec![7; 3 * MAX_PAYLOAD];
    now(ours.write_all(&question)).unwrap();
    now(ours.flush()).unwrap();
    now(ours.close()).unwrap();
    now(ours.close()).unwrap();
    assert_eq!(now(ours.write(b"late")).unwrap_err().kind(), ErrorKind::BrokenPipe);

    let mut heard = Vec::new();
    now(theirs.read_to_end(&mut heard)).unwrap();
    assert_eq!(heard, question);
    now(theirs.write_all(b"answer")).unwrap();
    now(theirs.close()).unwrap();
    heard.clear();
    now(ours.read_to_end(&mut heard)).unwrap();
    assert_eq!(heard, b"answer");

    assert!(!is_pending(&mut driver) && !is_pending(&mut other), "both are over");
    assert_eq!((network.channels(), totals.lingering()), (0, 0));
}

#[test]
fn drivers_answer_while_nobody_reads() {
    let Ends { network, _peers, ours: (mut ours, mut driver), theirs: (mut theirs, mut other), .. } = ends();
    now(ours.write_all(b"all of it")).unwrap();
    now(ours.close()).unwrap();
    drop(ours);
    assert!(is_pending(&mut driver), "waits for FIN_ACK");
    assert!(is_pending(&mut other), "the remote's half for writing is open");
    assert!(!is_pending(&mut driver));
    assert!(!is_pending(&mut other));
    assert_eq!(network.channels(), 0);
    let mut heard = Vec::new();
    now(theirs.read_to_end(&mut heard)).unwrap();
    assert_eq!(heard, b"all of it");
    assert_eq!(now(theirs.write(b"x")).unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn what_is_dropped_unclosed_is_reset() {
    let Ends { network, _peers, ours: (mut ours, mut driver), theirs: (mut theirs, _other), .. } = ends();
    now(ours.write_all(b"some")).unwrap();
    drop(ours);
    assert!(is_pending(&mut driver), "the remote is to close the channel");
    let mut heard = Vec::new();
    assert_eq!(now(theirs.read_to_end(&mut heard)).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(heard, b"some");
    assert!(!is_pending(&mut driver));
    assert_eq!(now(theirs.flush()).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(now(theirs.close()).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(network.channels(), 0);
}

#[test]
fn a_writer_waits_for_the_send_buffer() {
    let Ends { network, _peers, ours: (mut ours, mut driver), theirs: (mut theirs, _other), .. } = ends();
    let woken = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let (mut sent, block) = (0, vec![7; MAX_PAYLOAD]);
    network.hold();
    let mut write = |ours: &mut Stream<Channel>| {
        let mut written = 0;
        while let Poll::Ready(count) = futures::AsyncWrite::poll_write(Pin::new(ours), &mut cx, &block) {
            written += count.unwrap();
        }
        written
    };
    sent += write(&mut ours);
    assert!((HIGH_WATER - 100..HIGH_WATER + MAX_PAYLOAD).contains(&sent));
    assert!(is_pending(&mut driver));

    let before = woken.0.load(SeqCst);
    network.pass(1);
    assert_eq!((woken.0.load(SeqCst), write(&mut ours)), (before, 0), "not low yet");
    network.release();
    assert!(woken.0.load(SeqCst) > before);
    // Nothing is held any more, so it goes on as far as the remote's bound.
    now(ours.write_all(&block)).unwrap();
    now(ours.close()).unwrap();
    let mut heard = Vec::new();
    now(theirs.read_to_end(&mut heard)).unwrap();
    assert_eq!(heard.len(), sent + block.len());
}

#[test]
fn reader_writer_and_driver_are_each_woken() {
    let Ends { network, _peers, ours: (mut ours, _driver), theirs: (theirs, mut other), .. } = ends();
    assert!(is_pending(&mut other), "what has happened so far is known");
    let (mut reader, mut writer) = theirs.split();
    let [reads, writes, drives] = [(); 3].map(|()| Arc::new(Counter::default()));
    let mut part = [0; 8];
    let read = Waker::from(Arc::clone(&reads));
    assert!(pin!(reader.read(&mut part)).poll(&mut Context::from_waker(&read)).is_pending());
    network.hold();
    let block = vec![7; 2 * HIGH_WATER];
    let write = Waker::from(Arc::clone(&writes));
    assert!(pin!(writer.write_all(&block)).poll(&mut Context::from_waker(&write)).is_pending());
    let drive = Waker::from(Arc::clone(&drives));
    assert!(Pin::new(&mut other).poll(&mut Context::from_waker(&drive)).is_pending());
    let before = [&reads, &writes, &drives].map(|counter| counter.0.load(SeqCst));
    assert_eq!(before, [0; 3], "nothing has happened");

    network.release();
    now(ours.write_all(b"x")).unwrap();
    let after = [&reads, &writes, &drives].map(|counter| counter.0.load(SeqCst));
    assert!(before.iter().zip(after).all(|(before, after)| *before < after), "{before:?} {after:?}");
}

#[test]
fn lingering_streams_are_bounded() {
    let network = Network::new();
    let (mut a, _b) = network.connected(&network.rtc(), &network.rtc()).unwrap();
    let totals = Arc::new(Totals::default());
    network.hold();
    let mut drivers = Vec::new();
    for _ in 0..MAX_LINGERING + 5 {
        let (mut stream, driver) = Stream::new(a.create_channel("").unwrap(), Arc::clone(&totals));
        now(stream.close()).unwrap();
        drop(stream);
        drivers.push(driver);
    }
    assert_eq!(totals.lingering(), MAX_LINGERING);
    let over = drivers.iter_mut().filter_map(|driver| (!is_pending(driver)).then_some(())).count();
    assert_eq!(over, 5, "the last are not waited for");
    drop(drivers);
    assert_eq!(totals.lingering(), 0);
}

#[test]
fn the_driver_is_woken_by_what_the_user_does() {
    let Ends { network: _network, _peers, ours: (mut ours, mut driver), theirs: (mut theirs, _other), totals } = ends();
    let woken = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&woken));
    let wait = |driver: &mut Driver<Channel>| {
        assert!(Pin::new(driver).poll(&mut Context::from_waker(&waker)).is_pending());
        woken.0.load(SeqCst)
    };
    now(theirs.write_all(b"unread")).unwrap();
    let before = wait(&mut driver);
    assert!(totals.unread() > 0);
    now(ours.close()).unwrap();
    assert!(before < woken.0.load(SeqCst), "there is a time limit to keep");
    let before = wait(&mut driver);
    drop(ours);
    assert!(before < woken.0.load(SeqCst), "there is room for one more stream");
    assert_eq!((totals.unread(), totals.lingering()), (0, 1));
    drop(driver);
    assert_eq!(totals.lingering(), 0);
}

#[test]
fn the_end_of_the_driver_ends_the_stream() {
    let Ends { network, _peers, ours: (mut ours, driver), theirs: _theirs, .. } = ends();
    let woken = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut part = [0; 8];
    assert!(pin!(ours.read(&mut part)).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(driver);
    assert!(woken.0.load(SeqCst) > 0);
    let error = now(poll_fn(|cx| futures::AsyncRead::poll_read(Pin::new(&mut ours), cx, &mut part))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(network.channels(), 0);
}
