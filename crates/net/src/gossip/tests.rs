//! Real swarms and the simulator's model of them, on the same graphs: who gets what, over how many hops and in how many
//! copies.
//!
//! Links of real swarms are libp2p's in memory, and everything runs in one thread, so that there is an end of what a
//! message causes: when nothing moves any more ([`real`]). Only the heartbeats take their time.

mod graph;
mod model;
mod real;

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::gossip::Params;
use mesh_proto::protocol::Topic;

use self::graph::Graph;
use self::model::Model;
use self::real::Real;

/// Where messages are published.
const TOPIC: Topic = Topic::Swarm;

/// Messages that every node publishes, one after the other.
const ROUNDS: u32 = 4;

/// What became of one message.
#[derive(Default)]
struct Spread {
    /// From whom each node got it; more than once where gossip failed.
    got: BTreeMap<usize, Vec<usize>>,
    /// Copies that came to each node.
    copies: BTreeMap<usize, usize>,
}

/// What a run came to, on average over messages and the nodes that did not publish them.
#[derive(Debug)]
struct Figures {
    copies: f64,
    hops: f64,
    /// Links of a node in the mesh.
    degree: f64,
}

/// How far two runs may be apart, as shares of one of them. All three depend on chance.
///
/// The degree: who asks whom for a link before it is asked itself depends on which RPCs cross.
const DEGREE: f64 = 0.25;
/// Copies for each link in the mesh, so that the degree does not count twice: every link carries a message once, in both
/// directions if the ends pass it on at the same moment. The model's links all take the same time, so its ends do;
/// in a real swarm some are behind others by a few turns, and spare a copy.
const REDUNDANCY: f64 = 0.15;
/// A copy that went a detour may overtake another by as little.
const HOPS: f64 = 0.1;

/// A graph of nodes that gossip.
trait Swarm {
    /// Links of each node in the mesh of [`TOPIC`], ordered.
    fn meshes(&self) -> Vec<BTreeSet<usize>>;
    /// Neighbours of each node that it knows to listen to [`TOPIC`].
    fn listeners(&self) -> Vec<usize>;
    /// Runs until this holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool);
    /// Publishes, and tells what has become of it when nothing moves any more.
    async fn spread(&mut self, publisher: usize, body: Vec<u8>) -> Spread;
}

#[tokio::test]
async fn six_nodes_that_all_know_each_other() {
    let graph = Graph::full(6);
    for (real, model) in compare(&graph, 200).await {
        // Everyone passes on to everyone.
        assert_eq!((real.degree, model.degree), (5.0, 5.0));
    }
}

#[tokio::test]
async fn sixteen_nodes_that_know_twelve_others_each() {
    compare(&Graph::random(16, 3, 7), 200).await;
}

#[tokio::test]
async fn sixteen_nodes_and_large_messages() {
    compare(&Graph::random(16, 3, 8), 2000).await;
}

#[tokio::test]
async fn a_hub_and_ten_leaves() {
    for (real, model) in compare(&Graph::star(10), 200).await {
        // There is one way only.
        assert_eq!((real.copies, real.hops, real.degree), (model.copies, model.hops, model.degree));
        assert_eq!(real.copies, 1.0);
    }
}

/// The figures of both, as soon as the meshes have formed, and after heartbeats have given up what was too much.
async fn compare(graph: &Graph, len: usize) -> [(Figures, Figures); 2] {
    let mut real = Real::new(graph).await;
    let mut model = Model::new(graph, 7);
    let mut both = async |stage, holds: fn(&Graph, &[BTreeSet<usize>]) -> bool| {
        let real = run(graph, &mut real, (stage, len), holds).await;
        let model = run(graph, &mut model, (stage, len), holds).await;
        println!("{} nodes, {len} bytes, {stage}\n  real  {real:?}\n  model {model:?}", graph.nodes);
        let near = |real: f64, model: f64, share: f64| (real - model).abs() <= share * real;
        assert!(near(real.degree, model.degree, DEGREE));
        assert!(near(real.copies / real.degree, model.copies / model.degree, REDUNDANCY));
        assert!(near(real.hops, model.hops, HOPS));
        (real, model)
    };
    [both("formed", formed).await, both("mended", mended).await]
}

/// Every node has as many links as it seeks, or all there are.
fn formed(graph: &Graph, meshes: &[BTreeSet<usize>]) -> bool {
    meshes.iter().enumerate().all(|(node, mesh)| {
        let Params { mesh_n_low, mesh_n_high, .. } = graph.params(node);
        (mesh_n_low.min(graph.neighbours(node).len())..=mesh_n_high).contains(&mesh.len())
    })
}

/// No node has more than it keeps. It may have fewer than it seeks for as long as it may not ask those who refused it.
fn mended(graph: &Graph, meshes: &[BTreeSet<usize>]) -> bool {
    meshes.iter().enumerate().all(|(node, mesh)| mesh.len() < graph.params(node).mesh_n_high)
}

async fn run<S: Swarm>(
    graph: &Graph,
    swarm: &mut S,
    (stage, len): (&str, usize),
    holds: fn(&Graph, &[BTreeSet<usize>]) -> bool,
) -> Figures {
    let neighbours: Vec<_> = (0..graph.nodes).map(|node| graph.neighbours(node).len()).collect();
    let ready = |swarm: &S| {
        let meshes = swarm.meshes();
        let agreed = |node: usize| meshes[node].iter().all(|peer| meshes[*peer].contains(&node));
        swarm.listeners() == neighbours && (0..graph.nodes).all(agreed) && holds(graph, &meshes)
    };
    swarm.until(stage, ready).await;
    let (mut copies, mut hops, mut links, mut readers) = (0, 0, 0, 0);
    for round in 0..ROUNDS {
        for publisher in 0..graph.nodes {
            links += swarm.meshes().iter().map(BTreeSet::len).sum::<usize>();
            let mut body = format!("{stage} {round} {publisher}").into_bytes();
            body.resize(len, 0);
            let spread = swarm.spread(publisher, body).await;
            assert!(!spread.got.contains_key(&publisher));
            for node in (0..graph.nodes).filter(|node| *node != publisher) {
                assert_eq!(spread.got.get(&node).map_or(0, Vec::len), 1, "exactly once");
                copies += spread.copies.get(&node).copied().unwrap_or_default();
                hops += spread.hops(publisher, node);
                readers += 1;
            }
        }
    }
    let mean = |sum: usize, count: usize| sum as f64 / count as f64;
    let degree = mean(links, ROUNDS as usize * graph.nodes * graph.nodes);
    Figures { copies: mean(copies, readers), hops: mean(hops, readers), degree }
}

impl Spread {
    fn hops(&self, publisher: usize, node: usize) -> usize {
        if node == publisher { 0 } else { 1 + self.hops(publisher, self.got[&node][0]) }
    }
}
