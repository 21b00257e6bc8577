//! What operators and their tools ask over HTTP. Served on a loopback address unless the configuration says otherwise.
//!
//! * `GET /healthz`: 200 `ok` while the process answers.
//! * `GET /readyz`: 200 `ready` while peers are served, 503 before the listeners are up and while the relay closes.
//! * `GET /status`: what it is doing, as JSON.
//! * `GET /metrics`: Prometheus (OpenMetrics text).
//!
//! And what the operator asks for, see [`crate::operator`].

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use libp2p::{Multiaddr, PeerId};
use mesh_net::Handle;
use serde_json::json;
use tokio::net::TcpListener;

use crate::membership::Private;
use crate::metrics::{CONTENT_TYPE, Exporter};
use crate::operator::{self, Operator};

/// The address is taken or not ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve HTTP on {address}: {source}; name another address with --http, or --http off")]
pub(crate) struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// What the endpoints tell about.
pub(crate) struct Status {
    pub(crate) peer_id: PeerId,
    pub(crate) mesh: String,
    pub(crate) exporter: Exporter,
    pub(crate) operator: Operator,
    /// Set once the node runs.
    pub(crate) node: OnceLock<Node>,
    /// Whether the relay is on its way out.
    pub(crate) closing: AtomicBool,
}

/// The running node, as the endpoints see it.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) stun: Vec<String>,
    /// What it is in its mesh, if that is private.
    pub(crate) private: Option<Private>,
}

impl Status {
    pub(crate) fn running(&self) -> Option<&Node> {
        self.node.get().filter(|_| !self.closing.load(Ordering::Relaxed))
    }
}

/// Takes the address, so that a port in use is known before anything else starts.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

/// Answers until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, status: Arc<Status>) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get("ok"))
        .route("/readyz", get(readyz))
        .route("/status", get(show_status))
        .route("/metrics", get(show_metrics))
        .merge(operator::routes())
        .with_state(status);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}

async fn readyz(State(status): State<Arc<Status>>) -> Response {
    match status.running() {
        Some(_) => "ready".into_response(),
        None => not_ready(),
    }
}

async fn show_metrics(State(status): State<Arc<Status>>) -> Response {
    let Some(node) = status.running() else { return not_ready() };
    let (Ok(mesh), Ok(blocks)) = tokio::join!(node.handle.metrics(), node.handle.block_stats()) else {
        return not_ready();
    };
    match status.exporter.encode(mesh, blocks) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn show_status(State(status): State<Arc<Status>>) -> Response {
    let Some(node) = status.running() else { return not_ready() };
    let (Ok((topology, _)), Ok(mesh)) = tokio::join!(node.handle.topology(), node.handle.metrics()) else {
        return not_ready();
    };
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "peerId": status.peer_id.to_string(),
        "mesh": status.mesh,
        "meshId": node.handle.mesh().to_string(),
        "private": node.private.is_some(),
        "founder": node.private.as_ref().is_some_and(|private| private.founder),
        "membersKnown": mesh.nodes_known,
        "uptimeSeconds": mesh_platform::now().mono.0 / 1000,
        "health": topology.condition.score,
        "healthReasons": topology.condition.reasons().map(ToString::to_string).collect::<Vec<_>>(),
        "peers": topology.peers.len(),
        "links": topology.links.len(),
        "agents": mesh.agents_known,
        "reservations": status.exporter.reservations(),
        "circuits": status.exporter.circuits(),
        "relayedBytes": status.exporter.relayed_bytes().get(),
        "addresses": node.addresses,
        "stun": node.stun,
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

fn not_ready() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "not ready").into_response()
}
