//! Secure WebSocket: a client that checks the certificate comes in, and bad files are named.

use std::fs;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::Transport;
use libp2p::core::upgrade::Version;
use libp2p::swarm::{SwarmEvent, dummy};
use libp2p::websocket::tls;
use libp2p::{Multiaddr, PeerId, Swarm, dns, identity, noise, swarm, tcp, websocket, yamux};
use rcgen::CertifiedKey;

use crate::common::{Running, Scratch, failure, run};

/// No test takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate that vouches for itself, in files.
struct Files {
    certificate: String,
    key: String,
    der: Vec<u8>,
}

impl Files {
    fn new(scratch: &Scratch) -> Self {
        let CertifiedKey { cert, key_pair } =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
                .expect("a certificate");
        Self {
            certificate: scratch.file("certificate.pem", &cert.pem()),
            key: scratch.file("certificate.key", &key_pair.serialize_pem()),
            der: cert.der().to_vec(),
        }
    }

    fn flags(&self) -> [&str; 4] {
        ["--tls-certificate", &self.certificate, "--tls-key", &self.key]
    }
}

/// Dials by TCP and WebSocket, and believes those certificates that `trusted` vouches for.
fn client(trusted: &[u8]) -> Swarm<dummy::Behaviour> {
    let key = identity::Keypair::generate_ed25519();
    let tcp = dns::tokio::Transport::system(tcp::tokio::Transport::default()).expect("a resolver");
    let mut builder = tls::Config::builder();
    builder.add_trust(&tls::Certificate::new(trusted.to_vec())).expect("a certificate");
    let mut websocket = websocket::Config::new(tcp);
    websocket.set_tls_config(builder.finish());
    let transport = websocket
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&key).expect("a key"))
        .multiplex(yamux::Config::default())
        .boxed();
    Swarm::new(transport, dummy::Behaviour, key.public().to_peer_id(), swarm::Config::with_tokio_executor())
}

/// Who answers at `address`, or why nobody does.
async fn dial(address: &str, trusted: &[u8]) -> Result<PeerId, String> {
    let mut client = client(trusted);
    client.dial(address.parse::<Multiaddr>().expect("an address")).expect("a dial");
    let answer = async {
        loop {
            let event = client.select_next_some().await;
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event {
                return Ok(peer_id);
            }
            if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
                return Err(format!("{error:?}"));
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.expect("in time")
}

#[tokio::test]
async fn a_client_that_checks_the_certificate_comes_in() {
    let scratch = Scratch::new("tls");
    let files = Files::new(&scratch);
    for (suffix, name) in [("wss", "/dns4/localhost"), ("tls/ws", "/ip4/127.0.0.1")] {
        let listen = format!("/ip4/127.0.0.1/tcp/0/{suffix}");
        let relay = Running::start(&scratch, &[&["--listen", &listen], &files.flags()[..]].concat());
        let address = relay.told("listening", "address");
        assert!(address.contains(&format!("/{suffix}/p2p/")), "{address}");
        let peer: PeerId = relay.told("ready", "peerId").parse().expect("a peer id");
        let address = address.replacen("/ip4/127.0.0.1", name, 1);
        assert_eq!(dial(&address, &files.der).await, Ok(peer), "{address}");

        let stranger = Files::new(&Scratch::new("tls-stranger"));
        let error = dial(&address, &stranger.der).await.expect_err("nobody vouches for it");
        assert!(error.contains("InvalidCertificate"), "{error}");
        let plain = address.replace(&format!("/{suffix}/"), "/ws/");
        dial(&plain, &files.der).await.expect_err("no WebSocket without TLS there");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_renewed_certificate_is_shown_after_a_hangup() {
    let scratch = Scratch::new("tls-renewed");
    let before = Files::new(&scratch);
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0/wss"];
    let relay = Running::start(&scratch, &[&listen[..], &before.flags()].concat());
    let address = relay.told("listening", "address");
    dial(&address, &before.der).await.expect("the first certificate");

    fs::write(&before.certificate, "no certificate").expect("a file");
    relay.signal("HUP");
    dial(&address, &before.der).await.expect("the first one stays while the file is bad");

    let after = Files::new(&scratch);
    relay.signal("HUP");
    let shown = async { while dial(&address, &after.der).await.is_err() {} };
    tokio::time::timeout(PATIENCE, shown).await.expect("in time");
    dial(&address, &before.der).await.expect_err("the former certificate");
    let (status, _) = relay.end_by("TERM");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn bad_files_are_named() {
    let scratch = Scratch::new("tls-bad");
    let files = Files::new(&scratch);
    let other = Scratch::new("tls-bad-other");
    let (none, text) = (scratch.path("none.pem"), scratch.file("text.pem", "no PEM at all"));
    let cases = [
        (&none, &files.key, format!("cannot read the certificate file {none}: ")),
        (&files.certificate, &none, format!("cannot read the key file {none} of the certificate: ")),
        (&text, &files.key, format!("the certificate file {text} is of no use: ")),
        (&files.certificate, &text, format!("the key file {text} of the certificate is of no use: ")),
        (&files.certificate, &Files::new(&other).key, format!("the certificate {} and the key ", files.certificate)),
    ];
    let key = scratch.path("key");
    let start = ["--key", &key, "--http", "off", "--stun", "off", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0/wss"];
    for (certificate, secret, says) in cases {
        let tls = ["--tls-certificate", certificate, "--tls-key", secret];
        for flags in [[&start[..], &tls].concat(), [&start[..], &tls, &["--check"]].concat()] {
            let error = failure(&flags);
            assert!(error.starts_with(&says), "{error}");
        }
    }
    assert!(run(&[&start[..], &files.flags(), &["--check"]].concat()).status.success());
}

#[test]
fn a_secure_listener_without_a_certificate_is_refused_and_so_is_the_other_way_round() {
    let scratch = Scratch::new("tls-alone");
    let files = Files::new(&scratch);
    let error = failure(&["--listen", "/ip4/127.0.0.1/tcp/0/wss", "--check"]);
    assert!(error.contains("/wss needs a certificate") && error.contains("tls.certificate"), "{error}");
    let error = failure(&[&["--listen", "/ip4/127.0.0.1/tcp/0/ws", "--check"], &files.flags()[..]].concat());
    assert!(error.contains("tls.certificate") && error.contains("no listener uses it"), "{error}");
}
