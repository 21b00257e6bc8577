//! What Prometheus gets to see, in the OpenMetrics text format.
//!
//! * `mesh_*`: the counters of `mesh-core`, the same that `getMeshMetrics()` gives in JavaScript.
//! * `mesh_relay_*`: reservations, circuits and their bytes, blocks, connections by transport, peers found by mDNS, STUN.
//! * `libp2p_swarm_*`, `libp2p_relay_*`: what libp2p's own recorder makes of the swarm's and the relay's events.

mod labels;

use std::sync::{Arc, Mutex, PoisonError};

use libp2p::metrics::{Metrics as Libp2p, Recorder as _};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, relay};
use mesh_core::metrics::Metrics as MeshMetrics;
use mesh_net::blocks::BlockStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::hop;
use labels::{Outcome, OutcomeLabel, Reason, ReasonLabel, Transport, TransportLabel};

/// The type of what [`Exporter::encode`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The values of `mesh-core` that go down as well as up.
const GAUGES: [&str; 11] = [
    "nodes_known",
    "agents_known",
    "links",
    "links_relayed",
    "broadcast_bytes_waiting",
    "entries",
    "entry_bytes",
    "blocks",
    "block_bytes",
    "contents_placed",
    "contents_held",
];

/// The families of libp2p's recorder that are fed. The others would show a zero that nobody counted.
const FED: [&str; 2] = ["libp2p_swarm_", "libp2p_relay_"];

/// Takes events in. Lives with the swarm.
pub(crate) struct Recorder {
    libp2p: Libp2p,
    relay: RelayMetrics,
}

/// Gives the text out. Lives with the HTTP server.
pub(crate) struct Exporter {
    registry: Registry,
    libp2p: Registry,
    mesh: Arc<MeshSnapshot>,
    blocks: Arc<BlocksSnapshot>,
    relay: RelayMetrics,
}

/// The two ends of one set of metrics.
pub(crate) fn metrics(peer_id: PeerId, mesh_name: &str) -> (Recorder, Exporter) {
    let (mut registry, mut of_libp2p) = (Registry::default(), Registry::default());
    let libp2p = Libp2p::new(&mut of_libp2p);
    let mesh = Arc::new(MeshSnapshot::default());
    registry.register_collector(Box::new(Arc::clone(&mesh)));
    let blocks = Arc::new(BlocksSnapshot::default());
    registry.register_collector(Box::new(Arc::clone(&blocks)));
    let relay = RelayMetrics::new(registry.sub_registry_with_prefix("mesh_relay"), peer_id, mesh_name);
    (Recorder { libp2p, relay: relay.clone() }, Exporter { registry, libp2p: of_libp2p, mesh, blocks, relay })
}

impl Recorder {
    /// Counts what the circuit relay did.
    pub(crate) fn relay(&self, event: &hop::Event) {
        self.libp2p.record(&event.what);
        self.relay.record(event);
    }

    /// Counts a peer that mDNS found.
    pub(crate) fn found_by_mdns(&self) {
        self.relay.mdns_found.inc();
    }

    /// Counts what the swarm did.
    pub(crate) fn swarm<E>(&self, event: &SwarmEvent<E>) {
        self.libp2p.record(event);
        let (endpoint, change) = if let SwarmEvent::ConnectionEstablished { endpoint, .. } = event {
            (endpoint, 1)
        } else if let SwarmEvent::ConnectionClosed { endpoint, .. } = event {
            (endpoint, -1)
        } else {
            return;
        };
        let transport = Transport::of(endpoint);
        self.relay.connections.get_or_create(&TransportLabel { transport }).inc_by(change);
    }
}

impl Exporter {
    /// All metrics, with `mesh` as the counters of the core, and `blocks` as those of blocks.
    ///
    /// # Errors
    /// When a metric refuses to be written, which none of ours does.
    pub(crate) fn encode(&self, mesh: MeshMetrics, blocks: BlockStats) -> Result<String, std::fmt::Error> {
        *self.blocks.0.lock().unwrap_or_else(PoisonError::into_inner) = blocks;
        *self.mesh.0.lock().unwrap_or_else(PoisonError::into_inner) = mesh;
        let mut libp2p = String::new();
        text::encode_registry(&mut libp2p, &self.libp2p)?;
        let mut out: String = libp2p.split_inclusive('\n').filter(|line| is_fed(line)).collect();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// Reservations held now.
    pub(crate) fn reservations(&self) -> i64 {
        self.relay.reservations.get()
    }

    /// Circuits open now.
    pub(crate) fn circuits(&self) -> i64 {
        self.relay.circuits.get()
    }

    /// Takes what passes through circuits.
    pub(crate) fn relayed_bytes(&self) -> Counter {
        self.relay.relayed_bytes.clone()
    }

    /// Takes what the STUN responder does.
    pub(crate) fn stun(&self) -> StunMetrics {
        let of = |outcome| self.relay.stun.get_or_create(&OutcomeLabel { outcome }).clone();
        StunMetrics {
            answered: of(Outcome::Answered),
            refused: of(Outcome::Refused),
            limited: of(Outcome::Limited),
            ignored: of(Outcome::Ignored),
        }
    }
}

fn is_fed(line: &str) -> bool {
    // A sample begins with its name, a comment with "# HELP", "# TYPE" or "# UNIT" and the name.
    let name = if line.starts_with('#') { line.splitn(3, ' ').nth(2).unwrap_or_default() } else { line };
    FED.iter().any(|prefix| name.starts_with(prefix))
}

/// What became of datagrams to the STUN responder.
#[derive(Clone)]
pub(crate) struct StunMetrics {
    /// The address was told.
    pub(crate) answered: Counter,
    /// They asked for something that this responder does not have, and were told so.
    pub(crate) refused: Counter,
    /// Too many came.
    pub(crate) limited: Counter,
    /// They were no requests.
    pub(crate) ignored: Counter,
}

#[derive(Clone)]
struct RelayMetrics {
    reservations: Gauge,
    reservations_accepted: Counter,
    reservations_renewed: Counter,
    reservations_denied: Family<ReasonLabel, Counter>,
    circuits: Gauge,
    circuits_accepted: Counter,
    circuits_denied: Family<ReasonLabel, Counter>,
    circuits_closed: Family<ReasonLabel, Counter>,
    circuit_duration: Histogram,
    relayed_bytes: Counter,
    connections: Family<TransportLabel, Gauge>,
    mdns_found: Counter,
    stun: Family<OutcomeLabel, Counter>,
}

impl RelayMetrics {
    fn new(registry: &mut Registry, peer_id: PeerId, mesh: &str) -> Self {
        let metrics = Self {
            reservations: Gauge::default(),
            reservations_accepted: Counter::default(),
            reservations_renewed: Counter::default(),
            reservations_denied: Family::default(),
            circuits: Gauge::default(),
            circuits_accepted: Counter::default(),
            circuits_denied: Family::default(),
            circuits_closed: Family::default(),
            // A second to nine hours and more: from a circuit that only served to connect directly to one that lives
            // as long as its browser tab.
            circuit_duration: Histogram::new(exponential_buckets(1.0, 2.0, 16)),
            relayed_bytes: Counter::default(),
            connections: Family::default(),
            mdns_found: Counter::default(),
            stun: Family::default(),
        };
        let about = Info::new([
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("peer_id", peer_id.to_string()),
            ("mesh", mesh.to_owned()),
        ]);
        registry.register("build", "This relay", about);
        registry.register("reservations_active", "Reservations held now", metrics.reservations.clone());
        registry.register("reservations_accepted", "New reservations", metrics.reservations_accepted.clone());
        registry.register("reservations_renewed", "Reservations renewed", metrics.reservations_renewed.clone());
        registry.register("reservations_denied", "Reservations denied", metrics.reservations_denied.clone());
        registry.register("circuits_active", "Circuits open now", metrics.circuits.clone());
        registry.register("circuits_accepted", "Circuits opened", metrics.circuits_accepted.clone());
        registry.register("circuits_denied", "Circuits denied or not completed", metrics.circuits_denied.clone());
        registry.register("circuits_closed", "Circuits closed", metrics.circuits_closed.clone());
        let unit = Unit::Seconds;
        registry.register_with_unit(
            "circuit_duration",
            "How long circuits lasted",
            unit,
            metrics.circuit_duration.clone(),
        );
        let help = "Bytes passed on in circuits, both directions together";
        registry.register_with_unit("relayed", help, Unit::Bytes, metrics.relayed_bytes.clone());
        registry.register("connections", "Connections now, by transport", metrics.connections.clone());
        registry.register("mdns_found", "Peers found on the local network", metrics.mdns_found.clone());
        registry.register("stun_datagrams", "Datagrams to the STUN responder, by outcome", metrics.stun.clone());
        metrics
    }

    // The deprecated variants are still sent, and nothing else tells of those failures.
    #[expect(deprecated, reason = "libp2p-relay has no other report of these failures")]
    fn record(&self, event: &hop::Event) {
        let count = |family: &Family<ReasonLabel, Counter>, reason| {
            family.get_or_create(&ReasonLabel { reason }).inc();
        };
        match &event.what {
            relay::Event::ReservationReqAccepted { renewed: true, .. } => drop(self.reservations_renewed.inc()),
            relay::Event::ReservationReqAccepted { renewed: false, .. } => drop(self.reservations_accepted.inc()),
            relay::Event::ReservationReqDenied { status, .. } => {
                count(&self.reservations_denied, Reason::of(status));
            }
            relay::Event::ReservationReqAcceptFailed { .. } | relay::Event::ReservationReqDenyFailed { .. } => {
                count(&self.reservations_denied, Reason::Connection);
            }
            relay::Event::CircuitReqAccepted { .. } => drop(self.circuits_accepted.inc()),
            relay::Event::CircuitReqDenied { status, .. } => count(&self.circuits_denied, Reason::of(status)),
            relay::Event::CircuitReqDenyFailed { .. } | relay::Event::CircuitReqAcceptFailed { .. } => {
                count(&self.circuits_denied, Reason::Connection);
            }
            relay::Event::CircuitClosed { error, .. } => count(&self.circuits_closed, Reason::of_end(error.as_ref())),
            // Each is followed by a denial, which is counted.
            relay::Event::CircuitReqOutboundConnectFailed { .. } => {}
            relay::Event::ReservationClosed { .. }
            | relay::Event::ReservationTimedOut { .. }
            | relay::Event::StatusChanged { .. } => {}
        }
        if let Some(lasted) = event.lasted {
            self.circuit_duration.observe(lasted.as_secs_f64());
        }
        self.reservations.set(i64::try_from(event.reservations).unwrap_or(i64::MAX));
        self.circuits.set(i64::try_from(event.circuits).unwrap_or(i64::MAX));
    }
}

/// The core's counters as of the last scrape.
#[derive(Debug, Default)]
struct MeshSnapshot(Mutex<MeshMetrics>);

impl Collector for MeshSnapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The sum over all offences is what the labelled family below adds up to.
        for (name, help, value) in metrics.entries().filter(|(name, ..)| *name != "offences") {
            let full = format!("mesh_{name}");
            if GAUGES.contains(&name) {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(&full, help, None, gauge.metric_type())?)?;
            } else {
                let counter = ConstCounter::new(value);
                counter.encode(encoder.encode_descriptor(&full, help, None, counter.metric_type())?)?;
            }
        }
        let help = "Offences of others, by kind.";
        let mut offences = encoder.encode_descriptor("mesh_offences", help, None, MetricType::Counter)?;
        for (offence, times) in metrics.offences() {
            let labels = [("offence", offence.as_str())];
            ConstCounter::new(times).encode(offences.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What was known of blocks at the last scrape.
#[derive(Debug, Default)]
struct BlocksSnapshot(Mutex<BlockStats>);

impl Collector for BlocksSnapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let BlockStats { blocks, bytes, sent, received } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, help, value) in [
            ("mesh_relay_blocks", "Blocks that are kept.", blocks as u64),
            ("mesh_relay_block_bytes", "Bytes of the blocks that are kept.", bytes),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in [
            ("mesh_relay_blocks_sent", "Bytes of blocks that peers were sent.", sent),
            ("mesh_relay_blocks_received", "Bytes of blocks that came from peers and were wanted.", received),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, Some(&Unit::Bytes), counter.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
