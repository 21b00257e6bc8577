//! Listeners on `/webrtc-direct`, and the certificate that goes with them.

use std::fs::{self, File};
use std::net::UdpSocket;

use crate::common::{Running, Scratch, failure, relay, run};

const LISTEN: [&str; 2] = ["--listen", "/ip4/127.0.0.1/udp/0/webrtc-direct"];

/// The address that browsers are to use, less its port.
fn hash(relay: &Running) -> String {
    let address = relay.told("listening", "address");
    let (_, rest) = address.split_once("/webrtc-direct/certhash/").expect("an address with a hash");
    rest.to_owned()
}

#[test]
fn the_certificate_is_made_once_and_is_its_owners() {
    let scratch = Scratch::new("direct");
    let relay = Running::start(&scratch, &LISTEN);
    let first = hash(&relay);
    assert!(first.starts_with("uEi") && first.contains("/p2p/"), "{first}");
    relay.end_by("TERM");
    let file = scratch.path("key.webrtc.pem");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("the file").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = Running::start(&scratch, &LISTEN);
    assert_eq!(hash(&again), first, "after a restart");
    again.end_by("TERM");
    fs::remove_file(&file).expect("removed");
    assert_ne!(hash(&Running::start(&scratch, &LISTEN)), first, "another certificate");
}

#[test]
fn external_addresses_get_the_hash() {
    let scratch = Scratch::new("direct-external");
    let external = ["--external", "/ip4/203.0.113.7/udp/4004/webrtc-direct"];
    let relay = Running::start(&scratch, &[&LISTEN[..], &external].concat());
    let address = relay.told("listening", "address");
    assert!(address.starts_with("/ip4/203.0.113.7/udp/4004/webrtc-direct/certhash/uEi"), "{address}");
}

#[test]
fn a_bad_certificate_file_is_one_sentence_and_stays() {
    let scratch = Scratch::new("direct-bad");
    let key = scratch.path("key");
    let file = scratch.file("key.webrtc.pem", "nonsense");
    for check in [&["--check"][..], &[]] {
        let error = failure(&[&["--key", &key][..], &LISTEN, check].concat());
        assert!(error.contains("key.webrtc.pem") && error.contains("move it away"), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "nonsense");
    let other = ["--key", &key, "--listen", "/ip4/127.0.0.1/tcp/0", "--check"];
    assert!(run(&other).status.success(), "no listener needs it");
}

/// Libraries below it warn of what is wrong with a datagram, and anybody may send one.
#[test]
fn what_strangers_send_is_not_logged() {
    for level in [&[][..], &["--log", "debug"]] {
        let logged = logged_of_an_odd_datagram(level);
        assert!(logged.contains("closing") && !logged.contains("STUN"), "{logged}");
    }
}

fn logged_of_an_odd_datagram(level: &[&str]) -> String {
    let scratch = Scratch::new("direct-log");
    let (key, log) = (scratch.path("key"), scratch.path("log"));
    let fixed = ["--json", "--key", &key, "--http", "127.0.0.1:0", "--no-mdns", "--stun", "off"];
    let mut command = relay(&[&fixed[..], &LISTEN, level].concat());
    command.stderr(File::create(&log).expect("a file"));
    let relay = Running::spawn(command);
    let address = relay.told("listening", "address");
    let port = address.split('/').nth(4).expect("a port");
    // A Binding request with a MAPPED-ADDRESS, which belongs into an answer only.
    let odd = [&[0, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12], &[0, 1, 0, 8, 0, 1, 0, 80, 192, 0, 2, 1]].concat();
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for _ in 0..20 {
        stranger.send_to(&odd, format!("127.0.0.1:{port}")).expect("sent");
    }
    assert_eq!(relay.get("/healthz").0, 200);
    relay.end_by("TERM");
    fs::read_to_string(&log).expect("the log")
}
