//! Listeners on `/webrtc-direct`, and the certificate that goes with them.

use std::fs;

use crate::common::{Running, Scratch, failure, run};

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
