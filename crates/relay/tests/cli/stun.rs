//! The STUN responder over real sockets, asked by a client and by whoever sends it nonsense.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::common::{Running, Scratch, failure};

/// An answer on loopback that has not come by then is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Binding request (RFC 8489): its type, no attributes, the magic cookie, a transaction id.
const REQUEST: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// The sockets that the relay says it answers on.
fn answering(relay: &Running) -> Vec<SocketAddr> {
    let lines = relay.started.iter().filter(|line| line["event"] == "stun");
    let urls = lines.map(|line| line["address"].as_str().expect("text"));
    urls.map(|url| url.strip_prefix("stun:").expect("a STUN URL").parse().expect("a socket")).collect()
}

fn client(of: SocketAddr) -> UdpSocket {
    let local = SocketAddr::new(of.ip(), 0);
    let socket = UdpSocket::bind(local).expect("a socket");
    socket.connect(of).expect("a remote");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 1500];
    let length = client.recv(&mut bytes).expect("an answer");
    bytes[..length].to_vec()
}

/// The address in an answer whose only attribute is XOR-MAPPED-ADDRESS.
fn told(answer: &[u8]) -> SocketAddr {
    let unmasked = |from: usize| answer[from..].iter().zip(&REQUEST[4..]).map(|(byte, mask)| byte ^ mask);
    let port: Vec<u8> = unmasked(26).take(2).collect();
    let address: Vec<u8> = unmasked(28).collect();
    let ip = match <[u8; 4]>::try_from(&address[..]) {
        Ok(ip) => IpAddr::from(Ipv4Addr::from(ip)),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&address[..]).expect("an address"))),
    };
    SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]))
}

#[test]
fn whoever_asks_is_told_its_address() {
    let scratch = Scratch::new("stun");
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0/ws", "--listen", "/ip6/::1/tcp/0/ws"];
    let relay = Running::start(&scratch, &[&listen[..], &["--stun", "127.0.0.1:0", "--stun", "[::1]:0"]].concat());
    let sockets = answering(&relay);
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    for socket in &sockets {
        let client = client(*socket);
        client.send(&REQUEST).expect("sent");
        let answer = receive(&client);
        assert_eq!(answer.len(), if socket.is_ipv4() { 32 } else { 44 });
        assert_eq!((&answer[..2], &answer[4..20]), (&[1, 1][..], &REQUEST[4..]), "a success, of this transaction");
        assert_eq!(told(&answer), client.local_addr().expect("an address"));
    }
    assert_eq!(relay.metric("mesh_relay_stun_datagrams_total{outcome=\"answered\"}"), Some(2.0));
}

#[test]
fn nonsense_is_not_answered_and_does_no_harm() {
    let scratch = Scratch::new("stun-nonsense");
    let relay = Running::start(&scratch, &["--stun", "127.0.0.1:0"]);
    let client = client(answering(&relay)[0]);
    let mut nonsense: Vec<Vec<u8>> = (0..REQUEST.len()).map(|length| REQUEST[..length].to_vec()).collect();
    nonsense.push(vec![0; 1400]);
    nonsense.push(vec![0xFF; 600]);
    let count = nonsense.len();
    for datagram in nonsense {
        client.send(&datagram).expect("sent");
    }
    // What is answered first answers the last.
    client.send(&REQUEST).expect("sent");
    assert_eq!(receive(&client)[8..20], REQUEST[8..20]);
    let ignored = relay.metric("mesh_relay_stun_datagrams_total{outcome=\"ignored\"}");
    assert_eq!(ignored, Some(count as f64));
}

#[test]
fn a_flood_is_answered_as_far_as_the_quota_goes() {
    let scratch = Scratch::new("stun-flood");
    let file = scratch.file("relay.toml", "[stun]\nper_second_per_address = 5\n");
    let relay = Running::start(&scratch, &["--config", &file, "--stun", "127.0.0.1:0"]);
    let client = client(answering(&relay)[0]);
    for _ in 0..100 {
        client.send(&REQUEST).expect("sent");
    }
    receive(&client);
    let metric = |outcome| relay.metric(&format!("mesh_relay_stun_datagrams_total{{outcome=\"{outcome}\"}}"));
    let count = || metric("answered").unwrap_or(0.0) + metric("limited").unwrap_or(0.0);
    while count() < 100.0 {}
    // A machine that is busy may take two or three seconds for a hundred datagrams.
    assert!(metric("answered").is_some_and(|answered| answered <= 20.0), "{:?}", metric("answered"));
}

#[test]
fn a_port_in_use_is_named_when_it_was_asked_for() {
    let scratch = Scratch::new("stun-port");
    let other = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let flags = ["--http", "off", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0/ws"];
    let key = scratch.path("key");
    let error = failure(&[&["--key", &key, "--stun", &taken], &flags[..]].concat());
    assert!(error.starts_with(&format!("cannot answer STUN on {taken}: ")) && error.contains("--stun off"), "{error}");
}
