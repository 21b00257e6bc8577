//! Layers, sentences, and the example file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use toml::Table;

use super::load::{keys, parse};
use super::*;
use crate::options::Options;

const EXAMPLE: &str = include_str!("../../relay.example.toml");

/// A configuration file of this test's own, removed when it is done.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(test: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mesh-relay-config-{test}-{}.toml", std::process::id()));
        fs::write(&path, text).expect("a scratch file");
        Self(path)
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn flags(flags: &[&str]) -> Options {
    Options::parse_from(["mesh-relay"].iter().chain(flags))
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load_ok(given: &[&str], environment: &[(&str, &str)]) -> Config {
    load(&flags(given), &variables(environment)).expect("a configuration").config
}

fn load_error(given: &[&str], environment: &[(&str, &str)]) -> String {
    let error = load(&flags(given), &variables(environment)).expect_err("an error").to_string();
    assert!(!error.contains('\n'), "one sentence: {error}");
    error
}

fn parse_error(text: &str) -> String {
    let (place, message) = parse(text).expect_err("an error");
    assert!(!message.contains('\n'), "one sentence: {message}");
    format!("relay.toml{place}: {message}")
}

#[test]
fn the_example_holds_the_defaults() {
    assert_eq!(parse(EXAMPLE).expect("the example parses"), Config::default());
    assert_eq!(Config::default().render().expect("it renders"), EXAMPLE);
}

#[test]
fn the_example_documents_every_key() {
    let documented: Table = EXAMPLE.parse().expect("TOML");
    let known = keys(&Table::try_from(Config::default()).expect("a table"));
    assert_eq!(keys(&documented).keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
}

#[test]
fn what_is_printed_loads_back() {
    let peer = format!("/ip4/127.0.0.1/tcp/4001/p2p/{}", libp2p::PeerId::random());
    let config = load_ok(
        &["--listen", "/ip4/127.0.0.1/tcp/0/ws", "--peer", &peer, "--http", "off", "--no-mdns"],
        &[("NEURAL_MESH_MESH", "a \"quoted\" \\ name"), ("NEURAL_MESH_RELAY_CIRCUIT_MIB", "0")],
    );
    let printed = config.render().expect("it renders");
    assert_eq!(parse(&printed).expect("it loads"), config);
    assert!(printed.contains("# Name of the open mesh"), "with its comments: {printed}");
}

#[test]
fn later_layers_win() {
    let file = ConfigFile::new("layers", "mesh = 'file'\nlog = 'warn'\nmdns = true\n[relay]\nmax_circuits = 7\n");
    let path = file.0.to_str().expect("UTF-8");
    let environment = [("NEURAL_MESH_MESH", "variable"), ("NEURAL_MESH_LOG", "debug")];
    let config = load_ok(&["--config", path, "--mesh", "flag"], &environment);
    assert_eq!((config.mesh.as_str(), config.log.as_str()), ("flag", "debug"));
    assert_eq!(config.relay.max_circuits.get(), 7);
    let config = load_ok(&["--config", path], &environment);
    assert_eq!((config.mesh.as_str(), config.mdns), ("variable", true));
    let config = load_ok(&["--no-mdns"], &[("NEURAL_MESH_CONFIG", path)]);
    assert_eq!((config.mesh.as_str(), config.mdns), ("file", false));
}

#[test]
fn lists_are_replaced_not_joined() {
    let listen = "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2/ws";
    let config = load_ok(&[], &[("NEURAL_MESH_LISTEN", listen)]);
    assert_eq!(config.listen.len(), 2);
    let config = load_ok(&["--listen", "/ip4/127.0.0.1/tcp/3"], &[("NEURAL_MESH_LISTEN", listen)]);
    assert_eq!(config.listen.len(), 1);
    assert_eq!(load_ok(&[], &[("NEURAL_MESH_PEERS", "")]).peers, []);
}

#[test]
fn every_key_has_a_variable() {
    let config = load_ok(
        &[],
        &[
            ("NEURAL_MESH_MDNS", "false"),
            ("NEURAL_MESH_KEY", "/k"),
            ("NEURAL_MESH_HTTP_LISTEN", "[::1]:9"),
            ("NEURAL_MESH_HTTP_ALLOW_PUBLIC", "true"),
            ("NEURAL_MESH_RELAY_MAX_RESERVATIONS", "3"),
            ("NEURAL_MESH_STUN_LISTEN", "127.0.0.1:1, [::1]:2"),
            ("NEURAL_MESH_STUN_PER_SECOND", "7"),
            ("NEURAL_MESH_UI_LISTEN", "127.0.0.1:3"),
            ("NEURAL_MESH_UI_DIRECTORY", "/page"),
            ("NEURAL_MESH_BLOCKS_MAX_BYTES", "5"),
            ("NEURAL_MESH_BLOCKS_FILE", "/b"),
        ],
    );
    let socket = |text: &str| text.parse().expect("a socket");
    assert_eq!(config.stun.listen, Sockets(vec![socket("127.0.0.1:1"), socket("[::1]:2")]));
    assert_eq!(config.stun.per_second.get(), 7);
    assert_eq!(config.ui, Ui { listen: Listen(Some(socket("127.0.0.1:3"))), directory: PathBuf::from("/page") });
    assert!(!config.mdns && config.http.allow_public);
    assert_eq!(config.key, PathBuf::from("/k"));
    assert_eq!(config.http.listen.to_string(), "[::1]:9");
    assert_eq!(config.relay.max_reservations.get(), 3);
    assert_eq!(config.blocks, Blocks { max_bytes: 5, file: PathBuf::from("/b"), zone: String::new() });
}

#[test]
fn blocks_are_kept_beside_the_key_unless_a_file_is_named() {
    let of = |given: &[&str]| {
        let Config { blocks, key, .. } = load_ok(given, &[]);
        (blocks.max_bytes, blocks.path(&key))
    };
    assert_eq!(of(&[]), (1 << 30, PathBuf::from("mesh-relay.blocks")));
    assert_eq!(of(&["--key", "/state/b.key"]).1, PathBuf::from("/state/b.blocks"));
    assert_eq!(of(&["--key", "/state/key", "--blocks", "/big/x"]).1, PathBuf::from("/big/x"));
    assert_eq!(of(&["--blocks-max-bytes", "0"]).0, 0);
    assert_eq!(of(&["--blocks-max-bytes", &i64::MAX.to_string()]).0, i64::MAX as u64);
    let error = load_error(&["--blocks-zone", &"x".repeat(65)], &[]);
    assert!(error.starts_with("--blocks-zone: "), "{error}");
    let error = load_error(&["--blocks-max-bytes", &(i64::MAX as u64 + 1).to_string()], &[]);
    assert!(error.starts_with("--blocks-max-bytes: "), "{error}");
}

#[test]
fn variables_of_no_key_are_pointed_out() {
    let environment = variables(&[("NEURAL_MESH_MAX_CIRCUITS", "3"), ("PATH", "/bin")]);
    let loaded = load(&flags(&[]), &environment).expect("a configuration");
    assert_eq!(loaded.unknown_variables, ["NEURAL_MESH_MAX_CIRCUITS"]);
}

#[test]
fn a_bad_line_is_named_with_its_key() {
    let cases = [
        ("mesh = 'a'\n\n[relay]\nmax_circuits = 'many'\n", "relay.toml line 4, key relay.max_circuits: "),
        ("[relay]\nmax_circuits = 0\n", "relay.toml line 2, key relay.max_circuits: "),
        ("[relay]\nmax_circuits = 5000000000\n", "relay.toml line 2, key relay.max_circuits: "),
        ("mdns = 1\n", "relay.toml line 1, key mdns: "),
        ("colour = 'red'\n", "relay.toml line 1, key colour: unknown field `colour`"),
        ("[http]\nlisten = 'here'\n", "relay.toml line 2, key http.listen: \"here\" is neither IP:PORT"),
        ("listen = [\n  '/ip4/127.0.0.1/tcp/1',\n  'nonsense',\n]\n", "relay.toml line 3, key listen: "),
        ("log = 'a=b=c'\n", "relay.toml line 1, key log: "),
        ("# first\nmesh = ''\n", "relay.toml line 2, key mesh: a name must not be empty"),
        ("mesh = 'a'\nlisten = ['/ip4/1.2.3.4/udp/5']\n", "relay.toml line 2, key listen: /ip4/1.2.3.4/udp/5 is not "),
        (
            "listen = ['/ip4/0.0.0.0/tcp/5', '/ip4/0.0.0.0/tcp/5/ws']\n",
            "relay.toml line 1, key listen: /ip4/0.0.0.0/tcp/5/ws has ",
        ),
        ("peers = ['/ip4/1.2.3.4/tcp/5']\n", "relay.toml line 1, key peers: /ip4/1.2.3.4/tcp/5 does not end in /p2p/"),
        (
            "relay.circuits_per_minute_per_peer = 4000000000\n",
            "relay.toml line 1, key relay.circuits_per_minute_per_peer: ",
        ),
        ("mesh = 'a'\nthis is not TOML\n", "relay.toml line 2: "),
        ("mesh = 'a'\nmesh = 'b'\n", "relay.toml line 2: "),
    ];
    for (text, begins) in cases {
        let error = parse_error(text);
        assert!(error.starts_with(begins), "{text:?} gave {error:?}");
    }
}

#[test]
fn stun_is_on_unless_it_is_told_to_be_off() {
    assert!(load_ok(&[], &[]).stun.listens_by_default());
    assert_eq!(load_ok(&["--stun", "off"], &[]).stun.listen, Sockets(Vec::new()));
    for off in ["off", ""] {
        assert_eq!(load_ok(&[], &[("NEURAL_MESH_STUN_LISTEN", off)]).stun.listen, Sockets(Vec::new()));
    }
    assert_eq!(load_ok(&["--stun", "127.0.0.1:1", "--stun", "[::1]:1"], &[]).stun.listen.0.len(), 2);
    let error = load_error(&["--stun", "127.0.0.1:1", "--stun", "off"], &[]);
    assert!(error.starts_with("--stun: \"off\" stands alone"), "{error}");
    let error = parse_error("[stun]\nlisten = ['off', '127.0.0.1:1']\n");
    assert!(error.starts_with("relay.toml line 2, key stun.listen: "), "{error}");
}

#[test]
fn the_page_is_served_when_it_is_asked_for() {
    assert_eq!(load_ok(&[], &[]).ui.listen, Listen(None));
    assert_eq!(load_ok(&["--ui"], &[]).ui.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(load_ok(&["--ui", "--mesh", "lab"], &[]).ui.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(load_ok(&["--ui", "[::1]:1"], &[]).ui.listen.to_string(), "[::1]:1");
    assert_eq!(load_ok(&["--ui", "off"], &[("NEURAL_MESH_UI_LISTEN", "[::1]:1")]).ui.listen, Listen(None));
}

#[test]
fn a_certificate_and_a_secure_listener_need_each_other() {
    const SECURE: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0/wss"];
    let with = |flags: &[&'static str]| [&SECURE[..], flags].concat();
    let (certificate, key) = (["--tls-certificate", "/c"], ["--tls-key", "/k"]);
    let both = [certificate, key].concat();
    assert_eq!(load_ok(&with(&both), &[]).tls, Tls { certificate: "/c".into(), key: "/k".into() });
    assert_eq!(load_ok(&[&["--listen", "/ip6/::1/tcp/0/tls/ws"], &both[..]].concat(), &[]).listen.len(), 1);
    for (flags, says) in [
        (with(&[]), "key listen: /ip4/127.0.0.1/tcp/0/wss needs a certificate"),
        (with(&certificate), "key tls.key: there is a certificate and no key"),
        (with(&key), "key tls.certificate: there is a key and no certificate"),
        (both, "key tls.certificate: no listener uses it"),
    ] {
        let error = load_error(&flags, &[]);
        assert!(error.starts_with(&format!("configuration {says}")), "{error}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value) in [
        ("NEURAL_MESH_MDNS", "yes"),
        ("NEURAL_MESH_RELAY_MAX_CIRCUITS", "many"),
        ("NEURAL_MESH_RELAY_MAX_CIRCUITS", "0"),
        ("NEURAL_MESH_LISTEN", "nonsense"),
        ("NEURAL_MESH_MESH", ""),
        ("NEURAL_MESH_HTTP_LISTEN", "80"),
        ("NEURAL_MESH_STUN_LISTEN", "3478"),
        ("NEURAL_MESH_STUN_PER_SECOND_PER_ADDRESS", "0"),
        ("NEURAL_MESH_UI_LISTEN", "on"),
        ("NEURAL_MESH_BLOCKS_MAX_BYTES", "1 GiB"),
    ] {
        let error = load_error(&[], &[(name, value)]);
        assert!(error.starts_with(&format!("environment variable {name}: ")), "{error}");
    }
}

#[test]
fn a_bad_flag_is_named() {
    for (flag, value) in [("--mesh", ""), ("--listen", "/ip4/127.0.0.1/udp/1"), ("--peer", "/ip4/127.0.0.1/tcp/1")] {
        let error = load_error(&[flag, value], &[]);
        assert!(error.starts_with(&format!("{flag}: ")), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load_error(&["--config", "/no/such/file.toml"], &[]);
    assert!(error.starts_with("cannot read the configuration file /no/such/file.toml: "), "{error}");
}

#[test]
fn http_is_public_only_when_told_so() {
    let error = load_error(&["--http", "0.0.0.0:80"], &[]);
    assert!(error.contains("http.listen") && error.contains("http.allow_public = true"), "{error}");
    let config = load_ok(&["--http", "0.0.0.0:80"], &[("NEURAL_MESH_HTTP_ALLOW_PUBLIC", "true")]);
    assert!(config.http.listen.0.is_some());
    assert_eq!(load_ok(&["--http", "off"], &[]).http.listen, Listen(None));
}

#[test]
fn only_supported_listeners_pass() {
    for good in ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/1/ws", "/ip6/::1/udp/1/quic-v1"] {
        assert!(can_listen_on(&good.parse().expect("an address")), "{good}");
    }
    for good in ["/ip4/0.0.0.0/tcp/4443/wss", "/ip6/::/tcp/4443/tls/ws"] {
        assert!(can_listen_on(&good.parse().expect("an address")), "{good}");
    }
    for bad in [
        "/ip4/0.0.0.0",
        "/dns4/a.b/tcp/1",
        "/ip4/1.2.3.4/tcp/1/tls",
        "/ip4/1.2.3.4/tcp/1/tls/wss",
        "/ip4/1.2.3.4/udp/1",
        "/ip4/1.2.3.4/tcp/1/ws/tls",
    ] {
        assert!(!can_listen_on(&bad.parse().expect("an address")), "{bad}");
    }
}
