//! `mesh-relay invite` and `mesh-relay revoke`: ask the relay that runs on this machine, over its HTTP endpoints.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mesh_proto::credential::Role;
use serde::Serialize;
use serde_json::Value;

use crate::addresses::loopback_like;
use crate::config::{self, Config, Listen, Loaded};
use crate::key;
use crate::operator::{LIFETIME_S, WantedInvite, WantedRevocation, token};
use crate::options::Options;

/// How long the relay may take. It writes to its store first.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 * 1024;

/// Asks the relay that runs on this machine for an invite to its private mesh, and prints it as a link.
///
/// The link lets one node in, once. Whoever has it can be that one: hand it over as you would a key.
#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// What the invited node may do. Only founders invite voters.
    #[arg(long, value_enum, default_value_t = RoleName::Member)]
    role: RoleName,

    /// How many others it may let in a day. Only founders may say more than 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    invites: u32,

    /// How long it can be used: a number and s, m, h or d, at most 7d.
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "24h")]
    lifetime: u64,

    /// What the link begins with, before "#i=". Unless given: the page that the relay serves, or "neural-mesh:".
    #[arg(long, value_name = "URL")]
    link: Option<String>,

    /// Print a JSON object instead of the link.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    relay: Relay,
}

/// Asks the relay that runs on this machine to take back what lets a peer into its private mesh, or an invite.
///
/// Who has issued it can do so, and founders. The peer is shut out by everybody, with those that it has let in itself.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The peer that is shut out, or the link of an invite, in quotes.
    #[arg(value_name = "PEER-ID|LINK")]
    what: String,

    /// Print a JSON object instead of text.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    relay: Relay,
}

/// Which relay is asked: the one with this configuration. What is not given comes from the environment, as it does for the relay.
#[derive(Debug, Args)]
struct Relay {
    /// The relay's configuration file (TOML). Also NEURAL_MESH_CONFIG.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The relay's key file: whoever can read it is the operator.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Where the relay serves /status.
    #[arg(long, value_name = "IP:PORT")]
    http: Option<Listen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Member,
    Observer,
    Voter,
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Member => Self::Member,
            RoleName::Observer => Self::Observer,
            RoleName::Voter => Self::Voter,
        }
    }
}

/// Why nothing was done: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Key(#[from] key::KeyError),
    #[error("there is no key file {}: name that of the relay with --key, or its configuration with --config", .0.display())]
    NoKey(PathBuf),
    #[error(
        "http.listen is off, so the relay cannot be asked: give it an address on this machine, as in --http 127.0.0.1:4003"
    )]
    Off,
    #[error("no relay answers on {address}: {source}; start it, or say with --config or --http where it is")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error("what answers on {0} is no relay that can be asked: name the relay's address with --http")]
    NoRelay(SocketAddr),
    #[error("{0}")]
    Refused(String),
}

/// What is printed of a new invite.
pub(crate) fn invite(wanted: Invite, environment: &BTreeMap<String, String>) -> Result<String, AskError> {
    let Invite { role, invites, lifetime, link, json, relay } = wanted;
    let request = WantedInvite { role: role.into(), invites, lifetime_seconds: lifetime, link };
    let answer = relay.ask("/invites", &request, environment)?;
    Ok(match answer["link"].as_str() {
        Some(link) if !json => format!("{link}\n"),
        Some(_) | None => format!("{answer}\n"),
    })
}

/// What is printed of a revocation.
pub(crate) fn revoke(wanted: Revoke, environment: &BTreeMap<String, String>) -> Result<String, AskError> {
    let Revoke { what, json, relay } = wanted;
    let request = if what.contains('#') {
        WantedRevocation::Invite(what)
    } else {
        WantedRevocation::Peer(what.trim().to_owned())
    };
    let answer = relay.ask("/revocations", &request, environment)?;
    Ok(match request {
        _ if json => format!("{answer}\n"),
        WantedRevocation::Peer(peer) => format!("{peer} is no member any more.\n"),
        WantedRevocation::Invite(_) => {
            "The invite is worth nothing any more, and whoever came in by it is out.\n".to_owned()
        }
    })
}

impl Relay {
    fn ask<T: Serialize>(
        self,
        path: &str,
        request: &T,
        environment: &BTreeMap<String, String>,
    ) -> Result<Value, AskError> {
        let Self { config, key, http } = self;
        let options = Options { config, key, http, ..Options::default() };
        let Loaded { config: Config { key, http, .. }, .. } = config::load(&options, environment)?;
        let Listen(Some(mut address)) = http.listen else { return Err(AskError::Off) };
        if address.ip().is_unspecified() {
            address.set_ip(loopback_like(address.ip()));
        }
        let seed = key::load(&key)?.ok_or(AskError::NoKey(key))?;
        let body = serde_json::to_string(request).unwrap_or_default();
        let unreachable = |source| AskError::Unreachable { address, source };
        let answer = post(address, path, &token(&seed), &body).map_err(unreachable)?;
        let (status, body) = read(&answer).ok_or(AskError::NoRelay(address))?;
        let value: Value = serde_json::from_str(body).map_err(|_| AskError::NoRelay(address))?;
        match (status, value["error"].as_str()) {
            (200, None) => Ok(value),
            (_, Some(error)) => Err(AskError::Refused(error.to_owned())),
            (_, None) => Err(AskError::NoRelay(address)),
        }
    }
}

fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    String::from_utf8(answer).map_err(io::Error::other)
}

/// The status and the body of an answer.
fn read(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body))
}

/// Seconds of a duration as people write it.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a number and s, m, h or d, as in {}h", LIFETIME_S / 3600);
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(seconds).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, is) in [("90s", 90), ("30m", 1800), ("24h", LIFETIME_S), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(seconds(text), Ok(is), "{text}");
        }
        for text in ["", "h", "24", "1.5h", "-1h", "24 h", "1w", "99999999999999999d", "5µ"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_told_apart() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{}"), Some((200, "{}")));
        for answer in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 2\r\n\r\n"] {
            assert_eq!(read(answer), None, "{answer}");
        }
    }
}
