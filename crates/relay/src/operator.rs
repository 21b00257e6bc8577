//! What the operator asks of the running relay: to let somebody in, or shut somebody out, of a private mesh.
//!
//! * `POST /invites`, `{ "role", "invites", "lifetimeSeconds", "link" }`, all of which may be left out: 200 `{ "link", "mesh",
//!   "name", "role", "invites", "until", "relays" }`.
//! * `POST /revocations`, `{ "peer": PEER-ID }` or `{ "invite": LINK }`: 200 `{ "revoked" }`.
//!
//! Whoever can read the key file is the operator: `Authorization: Bearer` and the [`token`] that is made of it. Asked from this
//! machine only, whatever else the endpoints are open to. Errors are `{ "error": … }`: 400 for what makes no sense, 401 and 403
//! for who may not, 409 for what the mesh does not allow, 413 for too much, 503 before the relay is ready.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use mesh_core::access::Revoke;
use mesh_net::{PeerId, node_of};
use mesh_proto::credential::Role;
use mesh_proto::transfer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::{Node, Status};
use crate::key::SEED;
use crate::{addresses, link};

/// Bytes of a request: the longest link, and what stands around it.
const MAX_BODY: usize = link::MAX_LINK + 1024;
/// Bytes of the address before `#`.
const MAX_BASE: usize = 2 * 1024;
/// Seconds that an invite can be used unless something else is said: a day.
pub(crate) const LIFETIME_S: u64 = 24 * 3600;

/// Before the seed, in what the token is made of.
const TOKEN_DOMAIN: &[u8] = b"neural-mesh relay control v1\0";

/// Who is obeyed, and how links begin.
pub(crate) struct Operator {
    token: String,
    base: String,
}

impl Operator {
    /// Whoever knows the seed; links lead to the page that is served at `ui`, if it is.
    pub(crate) fn new(seed: &[u8; SEED], ui: Option<SocketAddr>) -> Self {
        Self { token: token(seed), base: base(ui) }
    }
}

/// What links begin with where the page is served at `ui`, if it is.
pub(crate) fn base(ui: Option<SocketAddr>) -> String {
    let Some(mut ui) = ui else { return link::SCHEME.to_owned() };
    if ui.ip().is_unspecified() {
        ui.set_ip(addresses::loopback_like(ui.ip()));
    }
    format!("http://{ui}/")
}

/// What shows that somebody can read the key file: 64 hexadecimal digits.
pub(crate) fn token(seed: &[u8; SEED]) -> String {
    let hash = transfer::hash(&[TOKEN_DOMAIN, seed].concat());
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an invite is asked for with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct WantedInvite {
    pub(crate) role: Role,
    pub(crate) invites: u32,
    pub(crate) lifetime_seconds: u64,
    /// What the link begins with, before `#`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

impl Default for WantedInvite {
    fn default() -> Self {
        Self { role: Role::Member, invites: 0, lifetime_seconds: LIFETIME_S, link: None }
    }
}

/// What is to be taken back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) enum WantedRevocation {
    /// What lets this peer in.
    Peer(String),
    /// This link, and what it was used for.
    Invite(String),
}

/// Why it is not done.
struct Refusal(StatusCode, String);

impl Refusal {
    fn new(status: StatusCode, why: impl ToString) -> Self {
        Self(status, why.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, as_json(&json!({ "error": self.1 }))).into_response()
    }
}

fn as_json(value: &Value) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], format!("{value}\n"))
}

/// The endpoints. They have to be told from where they are asked.
pub(crate) fn routes() -> Router<Arc<Status>> {
    Router::new()
        .route("/invites", post(invite))
        .route("/revocations", post(revoke))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

type Body = Result<Bytes, BytesRejection>;

async fn invite(
    State(status): State<Arc<Status>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(issue(&status, from, &headers, body).await)
}

async fn revoke(
    State(status): State<Arc<Status>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(take_back(&status, from, &headers, body).await)
}

fn answer(done: Result<Value, Refusal>) -> Response {
    done.map_or_else(Refusal::into_response, |value| as_json(&value).into_response())
}

async fn issue(status: &Status, from: SocketAddr, headers: &HeaderMap, body: Body) -> Result<Value, Refusal> {
    let node = asked(status, from, headers)?;
    let WantedInvite { role, invites, lifetime_seconds, link } = parse(body)?;
    let base = link.as_deref().unwrap_or(&status.operator.base);
    if base.len() > MAX_BASE || base.contains(|c: char| c == '#' || c.is_control() || c.is_whitespace()) {
        let why = format!("link: an address of at most {MAX_BASE} bytes, without \"#\" and spaces");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
    }
    let relays = addresses::for_invites(&node.addresses);
    let issued = node.handle.invite(relays, (role, invites), lifetime_seconds).await.map_err(not_ready)?;
    let invite = issued.map_err(|error| Refusal::new(StatusCode::CONFLICT, error))?;
    let link = link::write(base, &invite).map_err(|error| Refusal::new(StatusCode::CONFLICT, error))?;
    let invitation = &invite.invitation.invitation;
    tracing::info!(?role, invites, until = invitation.not_after, "an invite was issued");
    Ok(json!({
        "link": link,
        "mesh": invitation.mesh.to_string(),
        "name": invite.name,
        "role": invitation.role,
        "invites": invitation.invites,
        "until": invitation.not_after,
        "relays": invite.relays,
    }))
}

async fn take_back(status: &Status, from: SocketAddr, headers: &HeaderMap, body: Body) -> Result<Value, Refusal> {
    let node = asked(status, from, headers)?;
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
    let (what, named) = match parse(body)? {
        WantedRevocation::Peer(peer) => {
            let id: PeerId = peer.parse().map_err(|_| bad(format!("{peer:?} is no peer id")))?;
            let node = node_of(&id).ok_or_else(|| bad(format!("{peer} is not the peer id of a node")))?;
            (Revoke::Node(node), peer)
        }
        WantedRevocation::Invite(text) => {
            let invitation =
                link::read(&text).map_err(|error| bad(format!("the link: {error}")))?.invitation.invitation;
            if invitation.mesh != node.handle.mesh() {
                return Err(Refusal::new(StatusCode::CONFLICT, "the invite is to another mesh than this relay's"));
            }
            (Revoke::Serial(invitation.serial), "invite".to_owned())
        }
    };
    let revoked = node.handle.revoke(what).await.map_err(not_ready)?;
    revoked.map_err(|error| Refusal::new(StatusCode::CONFLICT, error))?;
    tracing::info!(what = %named, "revoked");
    Ok(json!({ "revoked": named }))
}

/// The running node, for who may ask it something.
fn asked<'a>(status: &'a Status, from: SocketAddr, headers: &HeaderMap) -> Result<&'a Node, Refusal> {
    authorise(&status.operator, from, headers)?;
    status.running().ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the relay is not ready"))
}

fn authorise(operator: &Operator, from: SocketAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    if !from.ip().to_canonical().is_loopback() {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "only asked from the relay's own machine"));
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match given {
        Some(given) if is_same(given, operator.token.as_bytes()) => Ok(()),
        Some(_) | None => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "only for who can read the relay's key file: name it with --key",
        )),
    }
}

/// Takes as long whatever the difference is.
fn is_same(given: &[u8], known: &[u8]) -> bool {
    given.len() == known.len() && given.iter().zip(known).fold(0, |all, (a, b)| black_box(all | (a ^ b))) == 0
}

/// Nothing in the body is nothing out of the ordinary.
fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let body = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let bad = |error: serde_json::Error| Refusal::new(StatusCode::BAD_REQUEST, error);
    // serde would take a list of the values for an object.
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(bad)?;
    serde_json::from_value(Value::Object(object)).map_err(bad)
}

fn not_ready(closed: mesh_net::Closed) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(from: &str, authorization: Option<&str>) -> Option<StatusCode> {
        let operator = Operator::new(&[7; SEED], None);
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
        }
        authorise(&operator, from.parse().expect("an address"), &headers).err().map(|Refusal(status, _)| status)
    }

    #[test]
    fn the_operator_is_obeyed_on_this_machine() {
        let right = format!("Bearer {}", token(&[7; SEED]));
        for from in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert_eq!(ask(from, Some(&right)), None, "{from}");
        }
        for from in ["192.0.2.1:5", "10.0.0.1:5", "[2001:db8::1]:5", "[::ffff:10.0.0.1]:5"] {
            assert_eq!(ask(from, Some(&right)), Some(StatusCode::FORBIDDEN), "{from}");
        }
        let other = format!("Bearer {}", token(&[8; SEED]));
        let short = &right[..right.len() - 1];
        for wrong in [None, Some(&*other), Some(short), Some(&right[7..]), Some("Bearer "), Some("Basic YTpi")] {
            assert_eq!(ask("127.0.0.1:5", wrong), Some(StatusCode::UNAUTHORIZED), "{wrong:?}");
        }
    }

    #[test]
    fn the_token_says_nothing_of_the_key() {
        let token = token(&[7; SEED]);
        assert_eq!(token.len(), 64);
        assert!(!token.contains("0707"));
        let hash = transfer::hash(&[&b"neural-mesh relay control v1\0"[..], &[7; 32]].concat());
        assert_eq!(token, hash.to_string());
    }

    #[test]
    fn links_lead_to_the_page_where_there_is_one() {
        let of = |address: &str| base(Some(address.parse().expect("an address")));
        assert_eq!(base(None), "neural-mesh:");
        assert_eq!(of("127.0.0.1:8080"), "http://127.0.0.1:8080/");
        assert_eq!(of("0.0.0.0:8080"), "http://127.0.0.1:8080/");
        assert_eq!(of("[::]:8080"), "http://[::1]:8080/");
    }

    #[test]
    fn requests_are_read_strictly() {
        let read = |text: &'static str| parse::<WantedInvite>(Ok(Bytes::from_static(text.as_bytes()))).ok();
        assert_eq!(read("").map(|wanted| wanted.lifetime_seconds), Some(LIFETIME_S));
        assert_eq!(read(r#"{"role":"observer","invites":3}"#).map(|wanted| wanted.role), Some(Role::Observer));
        for bad in ["[]", r#"{"role":"king"}"#, r#"{"lifetime":1}"#, r#"{"invites":-1}"#, "{"] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
