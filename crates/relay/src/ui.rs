//! The page with which a browser joins the mesh: the files that `npm run build -w www` makes, and what the page has to
//! know of this relay.
//!
//! * `GET /`: the page. Scripts come from here only, WebAssembly is allowed, and no other page may frame it; it may
//!   connect to everywhere, because the mesh may have other relays.
//! * `GET /relay.json`: `{ "mesh", "charter", "private", "meshId", "peerId", "addresses", "stun" }`: the mesh's name, its
//!   charter in hex if it has one and is open, `true` and its id if it is private and needs an invite, who this relay is, the
//!   multiaddrs by which a browser reaches it in the order to try them, and the URLs of STUN servers.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use libp2p::{Multiaddr, PeerId};
use serde::Serialize;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

use crate::config::{Listen, Ui, is_for_browsers};
use crate::membership::Private;

/// The page's place in the repository.
const BUILT: &str = "www/dist";
/// The file without which a directory is no page.
const INDEX: &str = "index.html";
/// Where the build puts files whose names change with their contents.
const HASHED: &str = "/assets/";

/// What browsers let the page do.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; \
    style-src 'self'; img-src 'self' data: blob:; font-src 'self'; media-src 'self' blob:; \
    manifest-src 'self'; connect-src * ws: wss: blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// Why the page cannot be served: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UiError {
    /// There is no built page.
    #[error(
        "there is no page in {places}: build it with \"npm run build -w www\", or name its directory with --ui-directory"
    )]
    NoPage { places: String },
    /// The address is taken or not ours.
    #[error("cannot serve the page on {address}: {source}; name another address with --ui")]
    Bind { address: SocketAddr, source: io::Error },
}

/// The page, before there is a relay to tell it of.
pub(crate) struct Page {
    directory: PathBuf,
    listener: TcpListener,
}

/// What the page has to know.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Relay {
    mesh: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    charter: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    private: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mesh_id: Option<String>,
    peer_id: String,
    addresses: Vec<String>,
    stun: Vec<String>,
}

impl Relay {
    pub(crate) fn new(
        (mesh, charter): (&str, Option<String>),
        private: Option<&Private>,
        peer_id: PeerId,
        addresses: &[Multiaddr],
        stun: &[String],
    ) -> Self {
        let addresses = addresses.iter().filter(|address| is_for_browsers(address)).map(Multiaddr::to_string).collect();
        Self {
            mesh: mesh.to_owned(),
            charter,
            private: private.is_some(),
            mesh_id: private.map(|private| private.mesh.to_string()),
            peer_id: peer_id.to_string(),
            addresses,
            stun: stun.to_vec(),
        }
    }
}

/// The directory of the page, `None` when it is not to be served.
pub(crate) fn directory(config: &Ui) -> Result<Option<PathBuf>, UiError> {
    if config.listen == Listen(None) {
        return Ok(None);
    }
    let places = if config.directory.as_os_str().is_empty() { usual_places() } else { vec![config.directory.clone()] };
    match places.iter().find(|place| place.join(INDEX).is_file()) {
        Some(place) => Ok(Some(place.clone())),
        None => {
            let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            Err(UiError::NoPage { places: places.join(" or ") })
        }
    }
}

/// In the working directory, as in the repository; then beside the program, as in a package of it.
fn usual_places() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent).map(|folder| folder.join(BUILT));
    [PathBuf::from(BUILT)].into_iter().chain(beside).collect()
}

/// Takes the address, so that a port in use and a missing page are known before anything else starts.
pub(crate) async fn bind(config: &Ui) -> Result<Option<Page>, UiError> {
    let (Some(directory), Listen(Some(address))) = (directory(config)?, config.listen) else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|source| UiError::Bind { address, source })?;
    Ok(Some(Page { directory, listener }))
}

impl Page {
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves it until the task is dropped.
    pub(crate) async fn serve(self, relay: Relay) -> io::Result<()> {
        axum::serve(self.listener, router(&self.directory, relay)).await
    }
}

fn router(directory: &Path, relay: Relay) -> Router {
    Router::new()
        .route("/relay.json", get(tell))
        .with_state(Arc::new(relay))
        .fallback_service(ServeDir::new(directory))
        .layer(middleware::from_fn(with_headers))
}

async fn tell(State(relay): State<Arc<Relay>>) -> Response {
    let body = serde_json::to_string(&*relay).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Adds what every answer has, and how long it may be kept: for good under a name of its contents, else not without
/// asking again.
async fn with_headers(request: Request, next: Next) -> Response {
    let hashed = request.uri().path().starts_with(HASHED);
    let mut response = next.run(request).await;
    let keep = hashed && response.status().is_success();
    let caching = if keep { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}
