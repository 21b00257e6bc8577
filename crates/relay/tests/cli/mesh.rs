//! The relay at its work: nodes that only know the relay meet, and talk through it.

use std::time::Duration;

use crate::common::{Running as Relay, Scratch};
use futures::StreamExt;
use mesh_core::node::{self, Target};
use mesh_net::{Config, Event, Identity, NoHost, Running};
use mesh_proto::AgentName;
use mesh_proto::agent::AgentRecord;

/// No test takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes that come at once.
const CROWD: usize = 16;

fn name(text: &str) -> AgentName {
    text.parse().expect("a name")
}

/// A node with one agent that listens nowhere but through the relay.
async fn member(relay: &str, agent: &str) -> Running {
    let mut config = Config::new(Identity::generate().expect("randomness"), "lab").expect("a mesh");
    config.relays = vec![relay.parse().expect("an address")];
    let running = mesh_net::start(config, NoHost).await.expect("a node");
    let record =
        AgentRecord { name: name(agent), kind: None, capabilities: Vec::new(), resources: None, metadata: None };
    running.handle.announce(record).await.expect("it runs").expect("an agent");
    running
}

/// Waits until `running` knows `count` agents; what else happens is not of interest.
async fn knows(running: &mut Running, count: usize) {
    let known = async {
        while running.handle.agents().await.expect("it runs").len() < count {
            running.events.next().await.expect("it runs");
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_only_know_the_relay_talk_through_it() {
    let scratch = Scratch::new("talk");
    let relay = Relay::start(&scratch, &[]);
    let address = relay.told("listening", "address");
    let mut ada = member(&address, "ada").await;
    let mut bob = member(&address, "bob").await;
    knows(&mut ada, 2).await;
    knows(&mut bob, 2).await;

    let taker = ada.handle.clone();
    let taken = tokio::spawn(async move {
        while let Some(event) = ada.events.next().await {
            if let Event::Core(node::Event::Message(incoming)) = event {
                taker.taken(incoming.from, incoming.session, incoming.message.number);
                return Some(incoming.message.body);
            }
        }
        None
    });
    let to = Target::Agent(name("ada"), None);
    let receipt = bob.handle.send(to, Some(name("bob")), "hello".into(), 10_000).await;
    receipt.expect("it runs").expect("delivered");
    let body = tokio::time::timeout(PATIENCE, taken).await.expect("in time").expect("a task").expect("a message");
    assert_eq!(&body[..], b"hello");

    assert_eq!(relay.metric("mesh_relay_reservations_active"), Some(2.0));
    assert!(relay.metric("mesh_relay_circuits_active").is_some_and(|circuits| circuits >= 1.0));
    assert_eq!(relay.metric("mesh_relay_connections{transport=\"websocket\"}"), Some(2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_comes_at_once_meets() {
    let scratch = Scratch::new("crowd");
    let relay = Relay::start(&scratch, &[]);
    let address = relay.told("listening", "address");
    let names: Vec<_> = (0..CROWD).map(|number| format!("agent-{number}")).collect();
    let mut members = futures::future::join_all(names.iter().map(|agent| member(&address, agent))).await;
    futures::future::join_all(members.iter_mut().map(|member| knows(member, CROWD))).await;
    assert_eq!(relay.metric("mesh_agents_known"), Some(CROWD as f64));
    for reason in ["limit", "protocol", "refused"] {
        assert_eq!(relay.metric(&format!("mesh_relay_reservations_denied_total{{reason=\"{reason}\"}}")), None);
        assert_eq!(relay.metric(&format!("mesh_relay_circuits_denied_total{{reason=\"{reason}\"}}")), None);
    }
    #[cfg(unix)]
    {
        let (status, _) = relay.end_by("TERM");
        assert_eq!(status.code(), Some(0), "it closes in good order under its peers");
    }
}
