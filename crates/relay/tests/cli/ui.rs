//! The page for browsers, as they get it.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::common::{Running, Scratch, failure, run};

/// A directory as the build makes it, in a folder with something that is not for everybody.
fn page(scratch: &Scratch) -> String {
    let directory = scratch.path("dist");
    fs::create_dir_all(format!("{directory}/assets")).expect("a folder");
    for (name, text) in [
        ("index.html", "<!doctype html>"),
        ("assets/app-1a2b3c.js", "export {}"),
        ("assets/mesh-1a2b3c.wasm", "\0asm"),
        ("assets/app-1a2b3c.css", "a{}"),
        ("icon.svg", "<svg/>"),
        ("../secret", "secret"),
    ] {
        fs::write(format!("{directory}/{name}"), text).expect("a file");
    }
    directory
}

fn serve(scratch: &Scratch, more: &[&str]) -> Running {
    let directory = page(scratch);
    Running::start(scratch, &[&["--ui", "127.0.0.1:0", "--ui-directory", &directory], more].concat())
}

#[test]
fn files_come_with_their_types_and_what_browsers_may_do_with_them() {
    let scratch = Scratch::new("ui");
    let relay = serve(&scratch, &[]);
    for (path, kind, caching) in [
        ("/", "text/html", "no-cache"),
        ("/index.html", "text/html", "no-cache"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
        ("/assets/app-1a2b3c.js", "text/javascript", "public, max-age=31536000, immutable"),
        ("/assets/app-1a2b3c.css", "text/css", "public, max-age=31536000, immutable"),
        ("/assets/mesh-1a2b3c.wasm", "application/wasm", "public, max-age=31536000, immutable"),
    ] {
        let (code, header, body) = relay.get_from("ui", path);
        assert_eq!(code, 200, "{path}");
        assert!(!body.is_empty(), "{path}");
        for line in [
            &format!("content-type: {kind}"),
            &format!("cache-control: {caching}"),
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "content-security-policy: default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
        ] {
            assert!(header.lines().any(|have| have.starts_with(line)), "{path}: no {line} in {header}");
        }
        assert!(header.contains("frame-ancestors 'none'") && header.contains("connect-src *"), "{header}");
    }
}

#[test]
fn nothing_outside_of_the_directory_is_served() {
    let scratch = Scratch::new("ui-outside");
    let relay = serve(&scratch, &[]);
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/assets/../../secret",
        "/assets/%2e%2e%2f%2e%2e%2fsecret",
        "/..%5csecret",
        "//etc/passwd",
        "/%00",
        "/assets/none.js",
        "/assets/",
    ] {
        let (code, header, body) = relay.get_from("ui", path);
        assert!((400..500).contains(&code), "{path} gave {code}");
        assert!(!body.contains("secret"), "{path}");
        assert!(header.contains("cache-control: no-cache"), "{path}: {header}");
    }
}

#[test]
fn the_page_is_told_of_its_relay() {
    let scratch = Scratch::new("ui-relay");
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/ws", "--stun", "127.0.0.1:0"];
    let external = ["--external", "/dns4/relay.example.org/tcp/443/wss", "--mesh", "lab of ours"];
    let relay = serve(&scratch, &[&listen[..], &external].concat());
    let (code, header, body) = relay.get_from("ui", "/relay.json");
    assert_eq!(code, 200);
    assert!(
        header.contains("content-type: application/json") && header.contains("cache-control: no-cache"),
        "{header}"
    );
    let told: Value = serde_json::from_str(&body).expect("JSON");
    let peer = relay.told("ready", "peerId");
    assert_eq!((&told["mesh"], &told["peerId"]), (&Value::from("lab of ours"), &Value::from(peer.clone())));
    let addresses: Vec<_> = told["addresses"].as_array().expect("a list").iter().map(|text| text.as_str()).collect();
    assert_eq!(addresses.len(), 2, "only those of browsers: {addresses:?}");
    assert_eq!(addresses[0], Some(&*format!("/dns4/relay.example.org/tcp/443/wss/p2p/{peer}")));
    assert!(addresses[1].is_some_and(|address| address.ends_with(&format!("/ws/p2p/{peer}"))), "{addresses:?}");
    assert_eq!(told["stun"], Value::from(vec![relay.told("stun", "address")]));
    assert_eq!(relay.get("/relay.json").0, 404, "not among what operators see");
}

#[test]
fn a_page_that_was_not_built_is_an_error_that_says_how() {
    let scratch = Scratch::new("ui-none");
    let empty = scratch.path("");
    let key = scratch.path("key");
    for flags in [
        vec!["--ui", "127.0.0.1:0", "--ui-directory", &empty, "--key", &key, "--stun", "off", "--http", "off"],
        vec!["--ui", "--ui-directory", &empty, "--check"],
    ] {
        let error = failure(&flags);
        assert!(error.starts_with(&format!("there is no page in {empty}: ")), "{error}");
        assert!(error.contains("npm run build -w www") && error.contains("--ui-directory"), "{error}");
    }
    let page = page(&scratch);
    assert!(run(&["--ui", "--ui-directory", &page, "--key", &key, "--check"]).status.success());
}

#[test]
fn an_address_in_use_is_named() {
    let scratch = Scratch::new("ui-port");
    let (directory, key) = (page(&scratch), scratch.path("key"));
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let flags = ["--key", &key, "--stun", "off", "--http", "off", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0/ws"];
    let error = failure(&[&flags[..], &["--ui", &taken, "--ui-directory", &directory]].concat());
    assert!(error.starts_with(&format!("cannot serve the page on {taken}: ")), "{error}");
}
