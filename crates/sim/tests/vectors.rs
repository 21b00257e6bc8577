//! The script in `tests/vectors/sim.json`, played natively: after each stretch of time its trace is the one that the file
//! says. So are those of all scenarios, played small, in `tests/vectors/scenarios.json`. `bindings-ts/test/testing.test.ts`
//! plays the same files in wasm.
//!
//! Any change of what nodes decide changes traces. When that is meant,
//! `UPDATE_VECTORS=1 cargo test -p mesh-sim --test vectors` writes the file anew.

use std::fs;
use std::path::PathBuf;

use mesh_core::node::Target;
use mesh_proto::agent::AgentRecord;
use mesh_sim::scenario::{self, Options};
use mesh_sim::{Crash, HostId, Link, Micros, Plan, Store, World};
use serde_json::{Value, json};

/// Milliseconds in which a message is delivered or fails, as at the door to JavaScript.
const SEND_TIMEOUT_MS: u64 = 10_000;

/// Hosts of a scenario: an hour of churn takes seconds with so few.
const NODES: usize = 6;

#[test]
fn the_script_gives_its_traces() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sim.json");
    let text = fs::read_to_string(&path).expect("tests/vectors/sim.json");
    let mut script: Value = serde_json::from_str(&text).expect("JSON");
    let was = script.clone();
    play(&mut script);
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        return fs::write(path, lines(&script)).expect("a file that can be written");
    }
    for (step, (is, was)) in list(&script["steps"]).iter().zip(list(&was["steps"])).enumerate() {
        assert_eq!(is, was, "step {step}: what nodes decide has changed; if that is meant, see the head of this file");
    }
    assert_eq!(text, lines(&script), "written as UPDATE_VECTORS=1 writes it");
}

#[test]
fn scenarios_give_their_traces() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/scenarios.json");
    let traces = scenario::ALL.iter().flat_map(|scenario| {
        [1, 2].map(|seed| {
            let report = scenario.run(Options { nodes: NODES, seed });
            assert_eq!(report.violations, [], "{} {seed}", scenario.name);
            let trace = format!("{:016x}", report.trace);
            format!("  {}", json!({ "scenario": scenario.name, "nodes": NODES, "seed": seed, "trace": trace }))
        })
    });
    let is = format!("[\n{}\n]\n", traces.collect::<Vec<_>>().join(",\n"));
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        return fs::write(path, is).expect("a file that can be written");
    }
    let was = fs::read_to_string(&path).expect("tests/vectors/scenarios.json");
    assert_eq!(is, was, "what nodes decide has changed; if that is meant, see the head of this file");
}

/// Plays the script, and puts the trace into each step that lets time pass.
fn play(script: &mut Value) {
    let relays = number(&script["relays"]) as u32;
    let plan =
        Plan { seed: number(&script["seed"]), relays, pages: number(&script["nodes"]) as u32, link: Link::default() };
    let mut world = World::planned(&plan);
    for step in script["steps"].as_array_mut().expect("steps") {
        act(&mut world, relays, step);
        if let Some(ms) = step["run"].as_u64() {
            world.run_for(Micros::from_ms(ms));
            step["trace"] = json!(format!("{:016x}", world.trace()));
        }
    }
    world.check();
    assert_eq!(world.ledger().violations(), []);
}

fn act(world: &mut World, relays: u32, step: &Value) {
    let host = |name: &Value| host(relays, name);
    let (word, subject) = step.as_object().and_then(|step| step.iter().find(|(key, _)| is_word(key))).expect("a step");
    match word.as_str() {
        "run" => {}
        "announce" => {
            let name = format!("agent-{}", text(subject)).parse().expect("a name");
            let agent = AgentRecord::new(name, ["simulation".to_owned()]);
            world.with(host(subject), |node, now| node.announce(agent, now)).expect("it runs").expect("it fits");
        }
        "broadcast" => {
            let body = cbor(text(&step["text"])).into();
            world
                .with(host(subject), |node, now| node.publish(String::new(), body, now))
                .expect("it runs")
                .expect("it fits");
        }
        "send" => {
            let target = Target::Node(world.node_id(host(&step["to"])));
            let body = cbor(text(&step["text"])).into();
            world
                .send_message(host(subject), (target, None), body, SEND_TIMEOUT_MS)
                .expect("it runs")
                .expect("it fits");
        }
        "partition" => {
            // Those that are not named are on the first side.
            let other: Vec<_> = list(subject).iter().map(host).collect();
            let first = world.hosts().filter(|host| !other.contains(host)).collect();
            world.partition(&[first, other]);
        }
        "heal" => world.heal(),
        "crash" => {
            let how = if step["silently"] == json!(true) { Crash::Machine } else { Crash::Process };
            world.crash(host(subject), how);
        }
        "restart" => {
            let store = if step["store"] == json!("lost") { Store::Lost } else { Store::Kept };
            world.restart(host(subject), store);
        }
        "delay" => {
            let link = Link {
                latency_us: 1_000 * number(&step["latencyMs"]),
                loss: (step["loss"].as_f64().expect("a share") * 1e6).round() as u32,
                ..Link::default()
            };
            world.set_link(host(subject), host(&step["to"]), link);
        }
        "freeze" => world.freeze(host(subject)),
        "thaw" => world.thaw(host(subject)),
        word => panic!("no such step: {word}"),
    }
}

fn is_word(key: &str) -> bool {
    !["text", "to", "silently", "store", "latencyMs", "loss", "trace"].contains(&key)
}

/// `node1` is the first host after the relays.
fn host(relays: u32, name: &Value) -> HostId {
    let number: u32 = text(name).strip_prefix("node").and_then(|number| number.parse().ok()).expect("a node's name");
    HostId(relays + number - 1)
}

/// A text of less than 24 bytes.
fn cbor(text: &str) -> Vec<u8> {
    assert!(text.len() < 24, "short texts have one byte before them");
    [&[0x60 + text.len() as u8], text.as_bytes()].concat()
}

/// One step a line.
fn lines(script: &Value) -> String {
    let steps: Vec<_> = list(&script["steps"]).iter().map(|step| format!("    {step}")).collect();
    let head = ["seed", "relays", "nodes"].map(|key| format!("  \"{key}\": {}", script[key]));
    format!("{{\n{},\n  \"steps\": [\n{}\n  ]\n}}\n", head.join(",\n"), steps.join(",\n"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a whole number")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}
