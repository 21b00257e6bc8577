//! The server with a native client, which is the same machine in the other role, over real sockets.

use std::future::poll_fn;
use std::net::UdpSocket;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use libp2p::Transport as _;
use libp2p::core::muxing::StreamMuxerExt as _;
use str0m::ice::{StunMessage, TransId};
use str0m::{Candidate, IceCreds};

use super::connection::{Connection, LOCAL_V4, MAX_LINGERING};
use super::socket::Post;
use super::*;
use crate::direct::credentials::{Pair, of_server};
use crate::rtc::{self, ChannelEvent};

/// Bytes of an echo: more than fits into any queue.
const SIZE: u32 = 3_000_000;

const PASSWORD: &str = "0123456789abcdefghijkl";

/// A server, and where it is.
async fn server() -> (Pin<Box<Transport>>, Keypair, address::Target) {
    let key = Keypair::generate_ed25519();
    let certificate = Certificate::generate().unwrap();
    let mut transport = Box::pin(Transport::new(key.clone(), certificate));
    let listen = "/ip4/127.0.0.1/udp/0/webrtc-direct".parse().unwrap();
    transport.listen_on(ListenerId::next(), listen).unwrap();
    let TransportEvent::NewAddress { listen_addr, .. } = poll_fn(|cx| transport.as_mut().poll(cx)).await else {
        panic!("no address")
    };
    let target = address::parse(&listen_addr.with_p2p(key.public().to_peer_id()).unwrap()).unwrap();
    (transport, key, target)
}

/// Accepts all who come, and returns what becomes of the first.
async fn accept_one(transport: &mut Pin<Box<Transport>>) -> Result<Connected, Error> {
    loop {
        if let TransportEvent::Incoming { upgrade, .. } = poll_fn(|cx| transport.as_mut().poll(cx)).await {
            return upgrade.await;
        }
    }
}

/// Accepts all who come, and lets go of those who fail.
async fn accept_all(mut transport: Pin<Box<Transport>>) {
    loop {
        if let TransportEvent::Incoming { upgrade, .. } = poll_fn(|cx| transport.as_mut().poll(cx)).await {
            tokio::spawn(upgrade);
        }
    }
}

/// A socket that does not wait long: what is lost on loopback was not sent, or there was no room for it.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

/// Asks with STUN as a client of these names does. What the server says, or the code of its refusal, signed as it should
/// be; `None` when it says nothing.
fn ask(socket: &UdpSocket, target: &address::Target, (server, own): &(Pair, Pair)) -> Option<Result<(), u16>> {
    let provider = str0m::crypto::from_feature_flags();
    let hmac = |key: &[u8], parts: &[&[u8]]| provider.sha1_hmac_provider.sha1_hmac(key, parts);
    let (username, id, mut bytes) = (format!("{}:{}", server.ufrag, own.ufrag), TransId::new(), [0; 2048]);
    let request = StunMessage::binding_request(&username, id, true, 1, 1, true);
    let length = request.to_bytes(Some(server.password.as_bytes()), &mut bytes, hmac).unwrap();
    socket.send_to(&bytes[..length], target.socket).unwrap();
    loop {
        let (came, _) = socket.recv_from(&mut bytes).ok()?;
        let Ok(answer) = StunMessage::parse(&bytes[..came]) else { continue };
        if answer.trans_id() == id {
            assert!(answer.verify(server.password.as_bytes(), hmac), "signed");
            assert!(came <= length, "no longer than the question");
            return Some(answer.error_code().map_or(Ok(()), |(code, _)| Err(code)));
        }
    }
}

/// A record of DTLS: of application data, which is never the first of a connection, or of a handshake.
fn record(kind: u8, length: usize) -> Vec<u8> {
    let mut record = vec![kind, 0xfe, 0xfd];
    record.resize(length, 7);
    record
}

fn creds(Pair { ufrag, password }: &Pair) -> IceCreds {
    IceCreds { ufrag: ufrag.clone(), pass: password.clone() }
}

/// A client's end, on its way to the server.
fn client(target: &address::Target, server: &Pair, own: &Pair) -> (Peer, Certificate, Task) {
    let certificate = Certificate::generate().unwrap();
    let config = certificate.config().set_local_ice_credentials(creds(own)).set_fingerprint_verification(false);
    let mut rtc = config.build(crate::clock::instant());
    rtc.add_local_candidate(Candidate::host(LOCAL_V4, "udp").unwrap());
    rtc.add_remote_candidate(Candidate::host(target.socket, "udp").unwrap());
    let mut api = rtc.direct_api();
    api.set_ice_controlling(true);
    api.set_remote_ice_credentials(creds(server));
    api.set_remote_fingerprint(str0m::crypto::Fingerprint { hash_func: "sha-256".to_owned(), bytes: vec![0; 32] });
    api.start_dtls(true).unwrap();
    api.start_sctp(true);
    let post = Arc::new(Post::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let (new, _) = futures::channel::mpsc::channel(1);
    let connection = Arc::new(Connection::of(Arc::clone(&post), "client", rtc));
    connection.lock().dials();
    post.doorman().enter("client".to_owned(), target.socket, Arc::clone(&connection));
    (Peer::new(connection), certificate.clone(), Task::run(post, certificate, new))
}

/// Dials as a client with these credentials does.
async fn dial(target: address::Target, server: Pair, own: Pair, expected: Option<PeerId>) -> Result<Connected, Error> {
    let (peer, certificate, task) = client(&target, &server, &own);
    let mut session = Session::new(peer);
    let channel = session.peer.create_negotiated("", NOISE_CHANNEL)?;
    session.wait_for(|event| matches!(event, PeerEvent::State(State::Connected)).then_some(())).await?;
    assert_eq!(session.peer.remote_fingerprint(), Some(target.fingerprint));
    let prologue = prologue(certificate.fingerprint(), target.fingerprint);
    let noise = Noise { key: Keypair::generate_ed25519(), prologue };
    let peer = session.prove_as_client(Pipe::new(channel), noise).await?;
    assert_eq!(Some(peer), expected);
    std::mem::forget(task);
    Ok((peer, Muxer::new(session.peer, session.early)))
}

fn version_1() -> (Pair, Pair) {
    let ufrag = format!("libp2p+webrtc+v1/{}", PeerId::random().to_string().replace(':', ""));
    let both = Pair { password: ufrag.clone(), ufrag };
    (both.clone(), both)
}

fn version_2() -> (Pair, Pair) {
    (of_server(PASSWORD).unwrap(), Pair { ufrag: "abcd".to_owned(), password: PASSWORD.to_owned() })
}

/// A stream that we open or the other side does; the connection goes on in a task of its own.
async fn stream(mut muxer: Muxer<Peer>, ours: bool) -> crate::stream::Stream<Channel> {
    let stream = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
            panic!("{error}");
        }
        if ours { muxer.poll_outbound_unpin(cx) } else { muxer.poll_inbound_unpin(cx) }
    });
    let stream = stream.await.unwrap();
    tokio::spawn(async move { poll_fn(|cx| muxer.poll_unpin(cx)).await.map(|_| ()) });
    stream
}

/// Sends back what comes on the first stream.
async fn serve(mut transport: Pin<Box<Transport>>) {
    let (_, muxer) = accept_one(&mut transport).await.unwrap();
    let (read, mut write) = stream(muxer, false).await.split();
    futures::io::copy(read, &mut write).await.unwrap();
    write.close().await.unwrap();
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_both_versions_connect_prove_themselves_and_have_streams() {
    for (server_pair, own) in [version_1(), version_2()] {
        let (transport, key, target) = server().await;
        let serving = tokio::spawn(serve(transport));
        let (_, muxer) = dial(target, server_pair, own, Some(key.public().to_peer_id())).await.unwrap();
        let (mut read, mut write) = stream(muxer, true).await.split();
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at.wrapping_mul(31) >> 3) as u8).collect();
        let mut back = Vec::new();
        let writes = async {
            write.write_all(&bytes).await.unwrap();
            write.close().await.unwrap();
        };
        let both = async { futures::join!(writes, read.read_to_end(&mut back)).1 };
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("in time").unwrap();
        assert!(back == bytes, "what came back is what was sent");
        serving.abort();
    }
}

/// An address that sends STUN and a greeting, and never gets what is sent to it, is not sent much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_sent_no_more_than_three_times_what_came_from_there() {
    let (mut transport, _, target) = server().await;
    let accepting = tokio::spawn(async move { accept_one(&mut transport).await.map(|_| ()) });
    // What a client would send, by way of a socket in between that never brings anything back.
    let middle = UdpSocket::bind("127.0.0.1:0").unwrap();
    middle.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (server_pair, own) = version_2();
    let there = address::Target { socket: middle.local_addr().unwrap(), ..target };
    let (mut peer, _, _task) = client(&there, &server_pair, &own);
    let (mut sent, mut received) = (0, 0);
    let until = crate::clock::now() + Duration::from_secs(4);
    let mut near = None;
    let mut buffer = [0; 2048];
    while crate::clock::now() < until {
        let _ = tokio::time::timeout(Duration::from_millis(5), poll_fn(|cx| peer.poll(cx))).await;
        let Ok((length, from)) = middle.recv_from(&mut buffer) else { continue };
        if from == target.socket {
            received += length;
            // Let STUN through until the greeting, so that there is one.
            if let (0..=3, Some(near)) = (buffer[0], near) {
                middle.send_to(&buffer[..length], near).unwrap();
            }
        } else {
            near = Some(from);
            sent += length;
            middle.send_to(&buffer[..length], target.socket).unwrap();
        }
    }
    assert!(sent > 500 && received > 200, "{sent} sent, {received} received");
    assert!(received <= 3 * sent, "{sent} sent, {received} received");
    accepting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_of_the_protocol_is_not_answered() {
    let (_transport, _, target) = server().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let greeting = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let bad = [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 6, 0xff, 0xff, 1, 2, 3, 4]].concat();
    let short = [0, 1, 0, 0];
    for datagram in [&greeting[..], &binding, &bad, &short, &[0; 2000], &[]] {
        socket.send_to(datagram, target.socket).unwrap();
    }
    assert!(socket.recv_from(&mut [0; 2048]).is_err());
}

/// Who has a connection to a relay that was started again goes on asking, and is not to believe in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_a_connection_that_is_gone_is_told_so_and_everybody_else_is_let_in() {
    let (transport, _, target) = server().await;
    let accepting = tokio::spawn(accept_all(transport));
    let (old, new) = (version_2(), version_1());
    let client = socket();
    assert_eq!(ask(&client, &target, &old), Some(Ok(())), "nobody knows yet");
    client.send_to(&record(23, 100), target.socket).unwrap();
    assert!((0..100).any(|_| ask(&client, &target, &old) == Some(Err(403))));
    assert_eq!(ask(&client, &target, &new), Some(Ok(())), "another one, from the same port");
    assert_eq!(ask(&socket(), &target, &version_1()), Some(Ok(())));
    accepting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_streams_are_left_for_who_dialled_to_close_up_to_a_limit() {
    let (mut transport, key, target) = server().await;
    let (names, own) = version_2();
    let mut dialled = tokio::spawn(dial(target, names, own, Some(key.public().to_peer_id())));
    let (_, mut server) = accept_one(&mut transport).await.unwrap();
    let (_, mut client) = poll_fn(|cx| {
        assert!(server.poll_unpin(cx).is_pending());
        dialled.poll_unpin(cx)
    })
    .await
    .unwrap()
    .unwrap();

    const OVER: usize = 10;
    let mut channels = Vec::new();
    let mut taken = 0;
    let mut closed = 0;
    poll_fn(|cx| {
        // One at a time, for more than so many at once would be refused.
        if channels.len() == taken && taken < MAX_LINGERING + OVER {
            channels.push(client.peer().create_channel("").unwrap());
        }
        assert!(client.poll_unpin(cx).is_pending() && server.poll_unpin(cx).is_pending());
        while let Poll::Ready(stream) = server.poll_inbound_unpin(cx) {
            drop(stream.unwrap());
            taken += 1;
            cx.waker().wake_by_ref();
        }
        for channel in &mut channels {
            while let Poll::Ready(event) = rtc::Channel::poll(channel, cx) {
                closed += usize::from(event == ChannelEvent::Closed);
            }
        }
        assert!(closed <= OVER, "closed before who dialled had a chance to");
        if closed < OVER { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    assert_eq!((taken, server.peer().lingering()), (MAX_LINGERING + OVER, MAX_LINGERING));

    channels.clear();
    poll_fn(|cx| {
        assert!(client.poll_unpin(cx).is_pending() && server.poll_unpin(cx).is_pending());
        if server.peer().lingering() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_much_before_a_proof_is_given_up() {
    let (transport, _, target) = server().await;
    let accepting = tokio::spawn(accept_all(transport));
    let (names, client) = (version_2(), socket());
    let sent = (0..200).take_while(|_| {
        client.send_to(&record(22, 2000), target.socket).unwrap();
        ask(&client, &target, &names) != Some(Err(403))
    });
    let sent = 2000 * sent.count();
    assert!((50_000..200_000).contains(&sent), "{sent} bytes");
    accepting.abort();
}
