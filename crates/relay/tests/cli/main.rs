//! The program as its users and other programs meet it.

mod common;
#[cfg(feature = "webrtc-direct")]
mod direct;
mod mesh;
mod private;
mod stun;
mod tls;
mod ui;
mod verify;

use std::fs;
use std::net::TcpListener;

use common::{Running, Scratch, failure, relay, run};
use serde_json::Value;

#[test]
fn help_names_every_flag() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    for flag in [
        "--config",
        "--mesh",
        "--charter",
        "--found",
        "--invite",
        "--store",
        "--listen",
        "--external",
        "--peer",
        "--key",
        "--tls-certificate",
        "--tls-key",
        "--stun",
        "--http",
        "--ui",
        "--ui-directory",
        "--print-config",
        "--check",
        "--log",
        "--no-mdns",
        "--json",
    ] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
}

#[test]
fn an_unknown_flag_is_an_error() {
    let output = run(&["--no-such-flag"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-such-flag"));
}

#[test]
fn the_printed_configuration_loads_back() {
    let scratch = Scratch::new("print");
    let flags = ["--mesh", "a 'b' \"c\"", "--listen", "/ip4/127.0.0.1/tcp/0/ws", "--http", "off", "--print-config"];
    let printed = run(&flags);
    assert!(printed.status.success(), "{printed:?}");
    let text = String::from_utf8(printed.stdout).expect("UTF-8");
    let file = scratch.file("relay.toml", &text);
    let again = run(&["--config", &file, "--print-config"]);
    assert_eq!(String::from_utf8(again.stdout).expect("UTF-8"), text);
    let checked = run(&["--config", &file, "--key", &scratch.path("none"), "--check"]);
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn check_names_file_line_and_key() {
    let scratch = Scratch::new("check");
    let file = scratch.file("relay.toml", "mesh = 'lab'\n\n[relay]\nmax_circuits = 'many'\n");
    let error = failure(&["--config", &file, "--check"]);
    assert!(error.starts_with(&format!("{file} line 4, key relay.max_circuits: ")), "{error}");
    let error = failure(&["--config", &scratch.path("none.toml"), "--check"]);
    assert!(error.contains("none.toml"), "{error}");
}

#[test]
fn check_creates_nothing() {
    let scratch = Scratch::new("check-key");
    let key = scratch.path("key");
    assert!(run(&["--key", &key, "--check"]).status.success());
    assert!(!fs::exists(&key).expect("a look"));
    fs::write(&key, "no key").expect("a file");
    assert!(failure(&["--key", &key, "--check"]).contains(&key));
}

#[test]
fn a_bad_key_file_is_named_and_left_alone() {
    let scratch = Scratch::new("key");
    let key = scratch.file("key", "no key");
    let error = failure(&["--key", &key, "--http", "off", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0/ws"]);
    assert!(error.contains(&key) && error.contains("move it away"), "{error}");
    assert_eq!(fs::read_to_string(&key).expect("still there"), "no key");
}

#[test]
fn a_port_of_another_relay_is_in_use() {
    let scratch = Scratch::new("port");
    let first = Running::start(&scratch, &[]);
    let address = first.told("listening", "address");
    let taken = address.split("/p2p/").next().expect("an address");
    let key = scratch.path("key");
    let error = failure(&["--key", &key, "--http", "off", "--stun", "off", "--no-mdns", "--listen", taken]);
    assert!(error.starts_with(&format!("cannot listen on {taken}: ")), "{error}");
    assert!(error.contains("--listen"), "{error}");
}

#[test]
fn an_http_port_in_use_is_named() {
    let scratch = Scratch::new("http-port");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let key = scratch.path("key");
    let error = failure(&["--key", &key, "--http", &taken, "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0/ws"]);
    assert!(error.starts_with(&format!("cannot serve HTTP on {taken}: ")), "{error}");
}

#[test]
fn http_on_a_public_address_is_refused() {
    let error = failure(&["--http", "0.0.0.0:0", "--check"]);
    assert!(error.contains("http.allow_public"), "{error}");
}

#[test]
fn the_endpoints_answer() {
    let scratch = Scratch::new("http");
    let relay = Running::start(&scratch, &["--mesh", "lab of ours"]);
    assert_eq!(relay.told("ready", "mesh"), "lab of ours");
    let (code, _, body) = relay.get("/healthz");
    assert_eq!((code, body.as_str()), (200, "ok"));
    assert_eq!(relay.get("/readyz").0, 200);
    assert_eq!(relay.get("/nothing").0, 404);
    let (code, header, metrics) = relay.get("/metrics");
    assert_eq!(code, 200);
    assert!(header.contains("content-type: application/openmetrics-text"), "{header}");
    for name in ["mesh_messages_sent_total 0", "mesh_nodes_known 1", "mesh_relay_circuits_active 0", "# EOF"] {
        assert!(metrics.lines().any(|line| line == name), "{name} in {metrics}");
    }
    assert!(metrics.contains("libp2p_swarm_"), "{metrics}");
    let (_, _, status) = relay.get("/status");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["peerId"], relay.told("ready", "peerId"));
    assert_eq!((&status["mesh"], &status["links"]), (&Value::from("lab of ours"), &Value::from(0)));
}

#[test]
fn it_listens_on_every_transport_and_keeps_its_identity() {
    let scratch = Scratch::new("identity");
    let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let flags: Vec<_> = listen.iter().flat_map(|address| ["--listen", address]).collect();
    let first = Running::start(&scratch, &flags);
    let peer = first.told("ready", "peerId");
    let addresses: Vec<_> = first
        .started
        .iter()
        .filter(|line| line["event"] == "listening")
        .filter_map(|line| line["address"].as_str())
        .collect();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for part in ["/ws/p2p/", "/quic-v1/p2p/"] {
        assert!(addresses.iter().any(|address| address.contains(&format!("{part}{peer}"))), "{part} in {addresses:?}");
    }
    drop(first);
    assert_eq!(Running::start(&scratch, &[]).told("ready", "peerId"), peer);
}

#[test]
fn variables_set_what_flags_do_not() {
    let scratch = Scratch::new("variables");
    let mut command = relay(&["--json", "--mesh", "flag"]);
    command.envs([
        ("NEURAL_MESH_MESH", "variable".to_owned()),
        ("NEURAL_MESH_KEY", scratch.path("key")),
        ("NEURAL_MESH_LISTEN", "/ip4/127.0.0.1/tcp/0/ws".to_owned()),
        ("NEURAL_MESH_HTTP_LISTEN", "127.0.0.1:0".to_owned()),
        ("NEURAL_MESH_MDNS", "false".to_owned()),
        ("NEURAL_MESH_STUN_LISTEN", "127.0.0.1:0".to_owned()),
    ]);
    assert_eq!(Running::spawn(command).told("ready", "mesh"), "flag");
}

#[test]
fn people_are_told_how_to_join() {
    let scratch = Scratch::new("text");
    let key = scratch.path("key");
    let listen = "/ip4/127.0.0.1/tcp/0/ws";
    let flags = ["--key", &key, "--http", "off", "--stun", "off", "--no-mdns", "--listen", listen];
    let running = Running::spawn_only(&mut relay(&flags));
    let text: Vec<_> = std::iter::from_fn(|| running.line()).take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let text = text.join("\n");
    assert!(text.contains("import { joinMesh } from 'neural-mesh'"), "{text}");
    assert!(text.contains("joinMesh('lab', { relays: '/ip4/127.0.0.1/tcp/"), "{text}");
}

#[cfg(unix)]
#[test]
fn signals_end_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let scratch = Scratch::new(&format!("signal-{signal}"));
        let (status, rest) = Running::start(&scratch, &[]).end_by(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(rest, [r#"{"event":"stopped"}"#], "{signal}");
    }
}
