//! A private mesh: founded by a relay, joined by another one, with invites and revocations between them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use serde_json::Value;

use crate::common::{PATIENCE, Running, Scratch, failure, run};

/// Files and flags of one relay.
struct Place {
    scratch: Scratch,
    store: String,
    charter: String,
}

impl Place {
    fn new(test: &str) -> Self {
        let scratch = Scratch::new(test);
        let (store, charter) = (scratch.path("store"), scratch.path("charter"));
        Self { scratch, store, charter }
    }

    fn key(&self) -> String {
        self.scratch.path("key")
    }

    fn start(&self, flags: &[&str]) -> Running {
        Running::start(&self.scratch, &[&["--store", &self.store], flags].concat())
    }

    /// With the private mesh "den" founded here.
    fn founder(&self, more: &[&str]) -> Running {
        self.start(&[&["--found", "--mesh", "den", "--charter", &self.charter], more].concat())
    }

    /// Started to no avail: why.
    fn fails(&self, flags: &[&str]) -> String {
        let key = self.key();
        let all =
            ["--key", &key, "--store", &self.store, "--http", "off", "--stun", "off", "--no-mdns", "--log", "off"];
        failure(&[&all[..], &["--listen", "/ip4/127.0.0.1/tcp/0/ws"], flags].concat())
    }

    /// Asks the running relay by the command line.
    fn ask(&self, relay: &Running, command: &[&str]) -> Output {
        let address = relay.told("http", "address");
        let http = address.strip_prefix("http://").expect("http");
        run(&[command, &["--key", &self.key(), "--http", http]].concat())
    }

    fn link(&self, relay: &Running, flags: &[&str]) -> String {
        let output = self.ask(relay, &[&["invite"], flags].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }
}

fn ready(relay: &Running) -> &Value {
    relay.started.last().expect("a line")
}

fn status(relay: &Running) -> Value {
    serde_json::from_str(&relay.get("/status").2).expect("JSON")
}

/// Waits until the status has these values.
async fn becomes(relay: &Running, values: &[(&str, u64)]) {
    let as_said = async {
        while !values.iter().all(|(key, value)| status(relay)[*key] == *value) {
            mesh_platform::sleep(50).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, as_said).await;
    in_time.unwrap_or_else(|_| panic!("not {values:?} in time: {}", status(relay)));
}

/// Asks an endpoint with these headers: its code and what it says.
fn post(relay: &Running, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let address = relay.told("http", "address");
    let mut stream = TcpStream::connect(address.strip_prefix("http://").expect("http")).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (header, body) = answer.split_once("\r\n\r\n").expect("a header");
    let code = header.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, serde_json::from_str(body).expect("JSON"))
}

#[test]
fn a_mesh_is_founded_once_and_its_first_invite_is_shown_once() {
    let place = Place::new("private-found");
    let first = place.founder(&[]);
    let told = ready(&first).clone();
    assert_eq!((&told["mesh"], &told["private"], &told["founder"]), (&"den".into(), &true.into(), &true.into()));
    let invite = told["invite"].as_str().expect("an invite");
    assert!(invite.starts_with("neural-mesh:#i="), "{invite}");
    let charter = fs::read(&place.charter).expect("a charter");
    let told_now = status(&first);
    for (key, is) in [("private", Value::from(true)), ("founder", true.into()), ("membersKnown", 1.into())] {
        assert_eq!(told_now[key], is, "{key} in {told_now}");
    }
    assert_eq!(told_now["meshId"], told["meshId"]);
    assert_eq!(first.metric("mesh_strangers_refused_total"), Some(0.0));
    drop(first);

    let again = place.founder(&[]);
    assert_eq!(ready(&again)["invite"], Value::Null);
    assert_eq!(ready(&again)["meshId"], told["meshId"]);
    assert_eq!(fs::read(&place.charter).expect("a charter"), charter);
    drop(again);
    // The charter says enough, as it does of open meshes.
    let by_charter = place.start(&["--charter", &place.charter]);
    assert_eq!(ready(&by_charter)["founder"], true);
}

#[test]
fn a_charter_of_something_else_is_not_founded_anew() {
    let place = Place::new("private-other");
    drop(place.founder(&[]));
    let found = ["--found", "--charter", &place.charter];
    let error = place.fails(&[&found[..], &["--mesh", "other"]].concat());
    assert!(error.contains("is of the mesh \"den\", not of \"other\"") && error.contains("--mesh"), "{error}");
    let other = Place::new("private-other-key");
    let error = other.fails(&[&found[..], &["--mesh", "den"]].concat());
    assert!(error.contains("is no founder") && error.contains("--invite"), "{error}");
    fs::write(&place.charter, "no charter").expect("a file");
    let error = place.fails(&[&found[..], &["--mesh", "den"]].concat());
    assert!(error.contains("is no charter"), "{error}");
    assert_eq!(fs::read(&place.charter).expect("still there"), b"no charter");
}

#[test]
fn check_looks_at_what_lets_it_in_and_creates_nothing() {
    let place = Place::new("private-check");
    let key = place.key();
    let flags = ["--check", "--key", &key, "--store", &place.store, "--found", "--charter", &place.charter];
    assert!(run(&flags).status.success());
    for path in [&key, &place.store, &place.charter] {
        assert!(!fs::exists(path).expect("a look"), "{path}");
    }
    drop(place.founder(&[]));
    assert!(run(&[&flags[..], &["--mesh", "den"]].concat()).status.success());
    assert!(failure(&flags).contains("is of the mesh \"den\""));
    fs::write(&place.store, "damaged").expect("a file");
    assert!(failure(&[&flags[..], &["--mesh", "den"]].concat()).contains("is damaged"));
    assert!(failure(&["--check", "--invite", "neural-mesh:#i=AAAA"]).starts_with("--invite: no link with an invite"));
}

#[test]
fn invites_are_asked_of_the_running_relay() {
    let place = Place::new("private-invite");
    let relay = place.founder(&[]);
    let link = place.link(&relay, &[]);
    assert!(link.starts_with("neural-mesh:#i="), "{link}");
    let link = place.link(&relay, &["--link", "https://example.org/"]);
    assert!(link.starts_with("https://example.org/#i="), "{link}");
    let flags = ["--role", "voter", "--invites", "3", "--lifetime", "30m", "--json"];
    let told: Value = serde_json::from_str(&place.link(&relay, &flags)).expect("JSON");
    assert_eq!((&told["role"], &told["invites"]), (&"voter".into(), &3.into()));
    assert_eq!((&told["mesh"], &told["name"]), (&ready(&relay)["meshId"], &"den".into()));
    let relays: Vec<_> = relay.started.iter().filter(|line| line["event"] == "listening").collect();
    assert_eq!(told["relays"], Value::from(vec![relays[0]["address"].clone()]));

    let refused = |command: &[&str]| {
        let output = place.ask(&relay, command);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let error = refused(&["invite", "--lifetime", "8d"]);
    assert!(error.contains("an invite lasts from 1 s to 604800 s"), "{error}");
    let error = refused(&["invite", "--link", "https://example.org/#x"]);
    assert!(error.contains("without \"#\""), "{error}");
    let stranger = relay.told("ready", "peerId");
    assert!(refused(&["revoke", &stranger]).contains("a founder needs no credential"));
    assert!(refused(&["revoke", "nonsense"]).contains("\"nonsense\" is no peer id"));
    assert!(refused(&["revoke", "neural-mesh:#i=AAAA"]).contains("its invite is damaged"));
}

#[test]
fn only_the_operator_is_obeyed() {
    let place = Place::new("private-operator");
    let relay = place.founder(&[]);
    let other = Place::new("private-operator-other");
    other.scratch.file("key", &"07".repeat(32));
    let output = other.ask(&relay, &["invite"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("name it with --key"), "{output:?}");
    for headers in ["", "Authorization: Bearer 00\r\n", "Authorization: Basic YTpi\r\n"] {
        for path in ["/invites", "/revocations"] {
            let (code, told) = post(&relay, path, headers, "{}");
            assert_eq!(code, 401, "{told}");
            assert!(told["error"].is_string() && told["link"].is_null(), "{told}");
        }
    }
    assert_eq!(relay.get("/invites").0, 405, "nothing is given to who only looks");
    let (code, _) = post(&relay, "/invites", "", &"x".repeat(64 * 1024));
    assert!(code == 401 || code == 413, "{code}");

    let none = place.scratch.path("none");
    assert!(failure(&["invite", "--key", &none]).contains("there is no key file"));
    let (key, port) = (place.key(), "127.0.0.1:1");
    assert!(failure(&["invite", "--key", &key, "--http", port]).starts_with("no relay answers on 127.0.0.1:1: "));
    assert!(failure(&["invite", "--key", &key, "--http", "off"]).contains("http.listen is off"));
}

#[test]
fn an_open_mesh_has_no_invites_and_no_store() {
    let place = Place::new("private-open");
    let relay = place.start(&[]);
    assert_eq!((&ready(&relay)["private"], &ready(&relay)["meshId"]), (&false.into(), &Value::Null));
    for command in [&["invite"][..], &["revoke", &relay.told("ready", "peerId")]] {
        let output = place.ask(&relay, command);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("this mesh is open"), "{output:?}");
    }
    assert!(!fs::exists(&place.store).expect("a look"));
    assert_eq!((&status(&relay)["private"], &status(&relay)["founder"]), (&false.into(), &false.into()));
}

#[tokio::test]
async fn a_second_relay_comes_in_by_an_invite_and_goes_by_a_revocation() {
    let (place, other) = (Place::new("private-first"), Place::new("private-second"));
    let first = place.founder(&[]);
    let link = place.link(&first, &[]);
    let second = other.start(&["--invite", &link]);
    assert_eq!((&ready(&second)["mesh"], &ready(&second)["founder"]), (&"den".into(), &false.into()));
    assert_eq!(ready(&second)["meshId"], ready(&first)["meshId"]);
    for relay in [&first, &second] {
        becomes(relay, &[("membersKnown", 2), ("links", 1)]).await;
    }

    let third = Place::new("private-third");
    let error = third.fails(&["--invite", &link]);
    assert!(error.contains("another node has used it: ask for a new invite"), "{error}");

    // A member without a quota invites nobody.
    let output = other.ask(&second, &["invite"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let peer = second.told("ready", "peerId");
    let output = place.ask(&first, &["revoke", &peer]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("is no member any more"), "{output:?}");
    becomes(&first, &[("membersKnown", 1), ("links", 0)]).await;
    becomes(&second, &[("links", 0)]).await;
}

#[test]
fn a_relay_that_came_in_starts_again_without_who_invited_it() {
    let (place, other) = (Place::new("private-alone"), Place::new("private-alone-2"));
    let first = place.founder(&[]);
    let link = ready(&first)["invite"].as_str().expect("an invite").to_owned();
    let second = other.start(&["--invite", &link]);
    let mesh = ready(&second)["meshId"].clone();
    drop(second);
    let stranger = Place::new("private-alone-3");
    let charter = place.charter.clone();
    drop(first);

    let second = other.start(&["--invite", &link]);
    assert_eq!((&ready(&second)["meshId"], &ready(&second)["founder"]), (&mesh, &false.into()));
    // Its invite says that it may let others in.
    let for_others = other.link(&second, &[]);
    let fourth = Place::new("private-alone-4");
    let third = fourth.start(&["--invite", &for_others]);
    assert_eq!(ready(&third)["meshId"], mesh);
    drop(second);
    // The charter is as good as the invite for who has a store.
    let second = other.start(&["--charter", &charter]);
    assert_eq!(ready(&second)["meshId"], mesh);
    drop(second);

    let error = stranger.fails(&["--invite", &place_link(&place)]);
    assert!(error.contains("cannot be reached") && error.contains("has to be in the mesh"), "{error}");
    let error = stranger.fails(&["--charter", &charter]);
    assert!(error.contains("\"den\" is private") && error.contains("--invite LINK"), "{error}");
}

/// An invite of a founder that is gone by now.
fn place_link(place: &Place) -> String {
    let relay = place.founder(&[]);
    place.link(&relay, &[])
}

#[test]
fn a_link_takes_an_invite_back_too() {
    let (place, other) = (Place::new("private-link"), Place::new("private-link-2"));
    let first = place.founder(&[]);
    let link = place.link(&first, &[]);
    let output = place.ask(&first, &["revoke", &link]);
    assert!(output.status.success(), "{output:?}");
    let error = other.fails(&["--invite", &link]);
    assert!(error.contains("it was revoked"), "{error}");
    drop(first);
    // It remembers, and is reached at its new address.
    let first = place.founder(&[]);
    let error = other.fails(&["--invite", &link, "--peer", &first.told("listening", "address")]);
    assert!(error.contains("it was revoked"), "{error}");
    let error = other.fails(&["--invite", &link, "--charter", "x"]);
    assert!(error.contains("the charter comes with the invite"), "{error}");
    let error = other.fails(&["--invite", &link, "--found"]);
    assert!(error.contains("founded or joined, not both"), "{error}");
}

#[test]
fn a_store_belongs_to_one_process_and_one_relay() {
    let place = Place::new("private-store");
    let first = place.founder(&[]);
    let flags = ["--found", "--mesh", "den", "--charter", &place.charter];
    let error = place.fails(&flags);
    assert!(error.contains("is in use by another process") && error.contains("--store"), "{error}");
    drop(first);
    let charter = place.scratch.path("other-charter");
    let error = place.fails(&["--found", "--mesh", "lair", "--charter", &charter]);
    assert!(error.starts_with(&format!("the store {}: the store is that of another mesh", place.store)), "{error}");
    place.scratch.file("key", &"07".repeat(32));
    let charter = place.scratch.path("third-charter");
    let error = place.fails(&["--found", "--mesh", "den", "--charter", &charter]);
    assert!(error.contains("the store is that of another "), "{error}");
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let place = Place::new("private-damaged");
    drop(place.founder(&[]));
    let whole = fs::read(&place.store).expect("a store");
    let flags = ["--found", "--mesh", "den", "--charter", &place.charter];
    // Cut off, and with a wrong bit in the middle.
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &flipped] {
        fs::write(&place.store, damaged).expect("a file");
        let error = place.fails(&flags);
        assert!(error.contains(&place.store) && error.contains("damaged"), "{error}");
        assert_eq!(fs::read(&place.store).expect("still there"), damaged);
    }
    fs::write(&place.store, &whole).expect("a file");
    drop(place.founder(&[]));
}

#[test]
fn the_page_is_not_given_the_charter_of_a_private_mesh() {
    let place = Place::new("private-page");
    let page = place.scratch.path("dist");
    fs::create_dir_all(&page).expect("a folder");
    fs::write(format!("{page}/index.html"), "<!doctype html>").expect("a file");
    let relay = place.founder(&["--ui", "127.0.0.1:0", "--ui-directory", &page]);
    let told: Value = serde_json::from_str(&relay.get_from("ui", "/relay.json").2).expect("JSON");
    assert_eq!((&told["private"], &told["mesh"], &told["charter"]), (&true.into(), &"den".into(), &Value::Null));
    assert_eq!(told["meshId"], ready(&relay)["meshId"]);
    let address = relay.told("ui", "address");
    assert!(ready(&relay)["invite"].as_str().is_some_and(|link| link.starts_with(&format!("{address}/#i="))));
    assert!(place.link(&relay, &[]).starts_with(&format!("{address}/#i=")));
}
