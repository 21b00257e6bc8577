use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::StreamMuxerExt;

use super::{Error, MAX_STREAMS, Muxer};
use crate::rtc::memory::{Channel, Network, Peer, Rtc};
use crate::rtc::{MAX_EARLY, Peer as _, PeerEvent};
use crate::stream::{MAX_TOTAL_UNREAD, Stream};

/// A muxer that a task of its own polls, as libp2p does.
#[derive(Clone)]
struct Side {
    muxer: Rc<RefCell<Option<Muxer<Peer>>>>,
    ended: Rc<RefCell<Option<Error>>>,
}

impl Side {
    fn new(pool: &LocalPool, muxer: Muxer<Peer>) -> Self {
        let side = Self { muxer: Rc::new(RefCell::new(Some(muxer))), ended: Rc::default() };
        let Self { muxer, ended } = side.clone();
        let driving = poll_fn(move |cx| {
            let mut muxer = muxer.borrow_mut();
            let Some(muxer) = muxer.as_mut() else { return Poll::Ready(()) };
            muxer.poll_unpin(cx).map(|result| *ended.borrow_mut() = result.err())
        });
        pool.spawner().spawn_local(driving).unwrap();
        side
    }

    fn with<R>(&self, act: impl FnOnce(&mut Muxer<Peer>) -> R) -> R {
        act(self.muxer.borrow_mut().as_mut().unwrap())
    }

    async fn open(&self) -> Result<Stream<Channel>, Error> {
        poll_fn(|cx| self.with(|muxer| muxer.poll_outbound_unpin(cx))).await
    }

    async fn accept(&self) -> Result<Stream<Channel>, Error> {
        poll_fn(|cx| self.with(|muxer| muxer.poll_inbound_unpin(cx))).await
    }
}

struct Pair {
    pool: LocalPool,
    network: Network,
    rtc: Rtc,
    a: Side,
    b: Side,
}

fn pair() -> Pair {
    let network = Network::new();
    let rtc = network.rtc();
    let (a, b) = network.connected(&rtc, &network.rtc()).unwrap();
    let pool = LocalPool::new();
    let (a, b) = (Side::new(&pool, Muxer::new(a, vec![])), Side::new(&pool, Muxer::new(b, vec![])));
    Pair { pool, network, rtc, a, b }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A peer connection with no muxer, and one with one.
fn raw() -> (LocalPool, Network, Peer, Side) {
    let network = Network::new();
    let (a, b) = network.connected(&network.rtc(), &network.rtc()).unwrap();
    let pool = LocalPool::new();
    let side = Side::new(&pool, Muxer::new(b, vec![]));
    (pool, network, a, side)
}

#[test]
fn many_exchanges_leave_nothing_behind() {
    const EXCHANGES: usize = 3 * MAX_STREAMS;
    let Pair { mut pool, network, a, b, .. } = pair();
    let server = b.clone();
    pool.spawner()
        .spawn_local(async move {
            while let Ok(mut stream) = server.accept().await {
                let mut question = Vec::new();
                stream.read_to_end(&mut question).await.unwrap();
                stream.write_all(&question).await.unwrap();
                stream.close().await.unwrap();
            }
        })
        .unwrap();
    let client = a.clone();
    pool.run_until(async move {
        for number in 0..EXCHANGES {
            let mut stream = client.open().await.unwrap();
            let question = vec![7; number * 97];
            stream.write_all(&question).await.unwrap();
            stream.close().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer == question);
        }
    });
    pool.run_until_stalled();
    assert_eq!(network.channels(), 0);
    assert_eq!((a.with(|muxer| muxer.drivers.len()), b.with(|muxer| muxer.drivers.len())), (0, 0));
}

#[test]
fn the_init_channel_is_no_stream_and_is_for_the_remote_to_close() {
    let (mut pool, network, mut peer, side) = raw();
    let init = peer.create_channel("init").unwrap();
    let stream = peer.create_channel("another label").unwrap();
    pool.run_until(side.accept()).unwrap();
    assert!(side.with(|muxer| muxer.poll_inbound_unpin(&mut noop())).is_pending());
    pool.run_until_stalled();
    assert_eq!(network.channels(), 4, "the accepted one was dropped, and the remote is to close both");
    drop((init, stream));
    pool.run_until_stalled();
    assert_eq!(network.channels(), 0);
}

#[test]
fn channels_of_the_handshake_are_streams() {
    let network = Network::new();
    let (mut a, mut b) = network.connected(&network.rtc(), &network.rtc()).unwrap();
    let mut channels = [a.create_channel("").unwrap(), a.create_channel("").unwrap()];
    crate::rtc::Channel::send(&mut channels[0], &crate::framing::encode_data(b"early").0).unwrap();
    let mut early = Vec::new();
    while let Poll::Ready(PeerEvent::Channel { channel, .. }) = b.poll(&mut noop()) {
        early.push(channel);
    }
    let mut pool = LocalPool::new();
    let side = Side::new(&pool, Muxer::new(b, early));
    let mut part = [0; 8];
    let mut stream = pool.run_until(side.accept()).unwrap();
    assert_eq!(pool.run_until(stream.read(&mut part)).unwrap(), 5);
    pool.run_until(side.accept()).unwrap();
}

#[test]
fn streams_are_bounded_and_one_that_ends_makes_room() {
    let Pair { mut pool, a, b, .. } = pair();
    let mut streams: Vec<_> =
        (0..MAX_STREAMS).map(|_| (pool.run_until(a.open()).unwrap(), pool.run_until(b.accept()).unwrap())).collect();
    let opened = Rc::new(RefCell::new(None));
    let (client, result) = (a.clone(), Rc::clone(&opened));
    pool.spawner().spawn_local(async move { *result.borrow_mut() = Some(client.open().await) }).unwrap();
    pool.run_until_stalled();
    assert!(opened.borrow().is_none());
    streams.pop();
    pool.run_until_stalled();
    assert!(matches!(*opened.borrow(), Some(Ok(_))));
}

#[test]
fn streams_past_the_bound_are_closed_as_they_come() {
    let (mut pool, network, mut peer, side) = raw();
    let mut channels = Vec::new();
    for _ in 0..MAX_EARLY + 1 {
        channels.push(peer.create_channel("").unwrap());
        pool.run_until_stalled();
    }
    assert_eq!(side.with(|muxer| muxer.inbound.len()), MAX_EARLY);
    assert_eq!(network.channels(), 2 * MAX_EARLY);

    let mut taken = Vec::new();
    for opened in channels.len()..MAX_STREAMS + 2 {
        while let Poll::Ready(stream) = side.with(|muxer| muxer.poll_inbound_unpin(&mut noop())) {
            taken.push(stream.unwrap());
        }
        assert_eq!((taken.len(), network.channels()), (opened - 1, 2 * (opened - 1)), "one was refused above");
        channels.push(peer.create_channel("").unwrap());
        pool.run_until_stalled();
    }
    assert_eq!((taken.len(), network.channels()), (MAX_STREAMS, 2 * MAX_STREAMS));
}

#[test]
fn unread_bytes_of_all_streams_are_bounded() {
    let Pair { mut pool, a, b, .. } = pair();
    let block = vec![7; 8 * 1024 * 1024];
    let mut streams = Vec::new();
    for _ in 0..MAX_TOTAL_UNREAD / block.len() {
        let mut stream = pool.run_until(a.open()).unwrap();
        // The writer does not hear of it: its bytes are all with the channel when the remote has had enough.
        let _ = pool.run_until(stream.write_all(&block));
        pool.run_until_stalled();
        streams.push((stream, pool.run_until(b.accept()).unwrap()));
    }
    // The frames count more than their bytes, so the last stream had no room.
    let (whole, last) = streams.split_at_mut(MAX_TOTAL_UNREAD / block.len() - 1);
    let mut heard = Vec::new();
    let error = pool.run_until(last[0].1.read_to_end(&mut heard)).unwrap_err();
    assert_eq!((error.kind(), heard.len()), (ErrorKind::OutOfMemory, 0));
    assert_eq!(pool.run_until(last[0].0.flush()).unwrap_err().kind(), ErrorKind::ConnectionReset);
    for (ours, theirs) in whole {
        pool.run_until(ours.close()).unwrap();
        heard.clear();
        pool.run_until(theirs.read_to_end(&mut heard)).unwrap();
        assert!(heard == block);
    }
}

#[test]
fn dropping_the_muxer_ends_its_streams_and_the_remote() {
    let Pair { mut pool, network, a, b, .. } = pair();
    let ours = pool.run_until(a.open()).unwrap();
    let theirs = pool.run_until(b.accept()).unwrap();
    let ends = Rc::new(RefCell::new(Vec::new()));
    for mut stream in [ours, theirs] {
        let ends = Rc::clone(&ends);
        let reading = async move {
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            ends.borrow_mut().push(error.kind());
        };
        pool.spawner().spawn_local(reading).unwrap();
    }
    pool.run_until_stalled();
    assert!(ends.borrow().is_empty());
    drop(a.muxer.borrow_mut().take());
    pool.run_until_stalled();
    assert_eq!(*ends.borrow(), [ErrorKind::ConnectionAborted; 2]);
    assert_eq!(*b.ended.borrow(), Some(Error::Closed));
    assert_eq!(pool.run_until(b.open()).unwrap_err(), Error::Closed);
    assert_eq!(pool.run_until(b.accept()).unwrap_err(), Error::Closed);
    assert_eq!((network.peers(), network.channels()), (0, 0));
}

#[test]
fn a_connection_that_fails_is_gone_and_one_that_is_silent_is_not() {
    let Pair { mut pool, rtc, a, b, .. } = pair();
    let mut stream = pool.run_until(a.open()).unwrap();
    rtc.interrupt();
    pool.run_until_stalled();
    assert!(a.ended.borrow().is_none() && a.with(|muxer| muxer.health.poll_timeout().is_some()));
    rtc.restore();
    pool.run_until_stalled();
    assert!(a.with(|muxer| muxer.health.poll_timeout().is_none()));
    rtc.fail();
    pool.run_until_stalled();
    assert_eq!((a.ended.take(), b.ended.take()), (Some(Error::Failed), Some(Error::Failed)));
    assert_eq!(pool.run_until(stream.write(b"x")).unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn closing_waits_for_what_was_sent() {
    let Pair { mut pool, network, a, b, .. } = pair();
    let mut stream = pool.run_until(a.open()).unwrap();
    let mut other = pool.run_until(b.accept()).unwrap();
    pool.run_until_stalled();
    network.hold();
    pool.run_until(stream.write_all(b"last words")).unwrap();
    pool.run_until(stream.close()).unwrap();
    drop(stream);
    assert!(a.with(|muxer| muxer.poll_close_unpin(&mut noop())).is_pending());
    network.release();
    pool.run_until(poll_fn(|cx| a.with(|muxer| muxer.poll_close_unpin(cx)))).unwrap();
    let mut heard = Vec::new();
    pool.run_until(other.read_to_end(&mut heard)).unwrap();
    assert_eq!(heard, b"last words");
    assert_eq!(a.with(|muxer| muxer.poll_unpin(&mut noop())).map(Result::unwrap_err), Poll::Ready(Error::Closed));
    assert_eq!((network.peers(), network.channels()), (0, 0));
}
