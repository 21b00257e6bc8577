//! What the relay says on stdout once it is up: text for people, or a JSON object a line for programs.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde::Serialize;

use crate::config::{is_for_browsers, is_secure};
use crate::membership::Private;

/// What there is to tell about a relay that is up.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) peer_id: PeerId,
    pub(crate) mesh: String,
    /// The file of its charter, or nothing.
    pub(crate) charter: PathBuf,
    /// What this relay is in it, if it is private.
    pub(crate) private: Option<Private>,
    /// The link of the first invite, if the mesh was founded just now.
    pub(crate) invite: Option<String>,
    /// External addresses first, each ending in `/p2p/<peer id>`.
    pub(crate) addresses: Vec<Multiaddr>,
    /// URLs of the STUN responder, external ones first.
    pub(crate) stun: Vec<String>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) ui: Option<SocketAddr>,
    pub(crate) key: PathBuf,
    pub(crate) key_created: bool,
}

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One line for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum Line<'a> {
    Listening {
        address: String,
    },
    Stun {
        address: &'a str,
    },
    Http {
        address: String,
    },
    Ui {
        address: String,
    },
    Ready {
        peer_id: String,
        mesh: &'a str,
        private: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        mesh_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        founder: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        invite: Option<&'a str>,
    },
    Stopped,
}

impl Line<'_> {
    fn json(&self) -> String {
        serde_json::to_string(self).map(|json| json + "\n").unwrap_or_default()
    }
}

impl Output {
    /// Tells that the relay is up.
    pub(crate) fn started(self, started: &Started) {
        write(&match self {
            Self::Text => started.text(),
            Self::Json => started.json(),
        });
    }

    /// Tells that the relay has closed in good order.
    pub(crate) fn stopped(self) {
        write(&match self {
            Self::Text => "Stopped.\n".to_owned(),
            Self::Json => Line::Stopped.json(),
        });
    }
}

/// Writes to stdout at once. A reader that has gone away (`mesh-relay | head`) does not stop the relay.
pub(crate) fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl Started {
    fn json(&self) -> String {
        let listening = self.addresses.iter().map(|address| Line::Listening { address: address.to_string() });
        let stun = self.stun.iter().map(|address| Line::Stun { address });
        let http = self.http.map(|http| Line::Http { address: format!("http://{http}") });
        let ui = self.ui.map(|ui| Line::Ui { address: format!("http://{ui}") });
        let private = self.private.as_ref();
        let ready = Line::Ready {
            peer_id: self.peer_id.to_string(),
            mesh: &self.mesh,
            private: private.is_some(),
            mesh_id: private.map(|private| private.mesh.to_string()),
            founder: private.map(|private| private.founder),
            invite: self.invite.as_deref(),
        };
        listening.chain(stun).chain(http).chain(ui).chain([ready]).map(|line| line.json()).collect()
    }

    fn text(&self) -> String {
        let made = if self.key_created { " (new)" } else { "" };
        let mut text = format!(
            "mesh-relay {} in the mesh {:?}\nPeer id   {}\nKey file  {}{made}\n",
            env!("CARGO_PKG_VERSION"),
            self.mesh,
            self.peer_id,
            self.key.display(),
        );
        if let Some(private) = &self.private {
            let is = if private.founder { "a founder" } else { "a member" };
            text += &format!("Mesh id   {} (private; this relay is {is})\n", private.mesh);
            if private.founder && !self.charter.as_os_str().is_empty() {
                text += &format!("Charter   {}\n", self.charter.display());
            }
        }
        if let Some(http) = self.http {
            text += &format!("Metrics   http://{http}/metrics\n");
        }
        if let Some(ui) = self.ui {
            text += &format!("Page      http://{ui}/\n");
        }
        text += "\nAddresses\n";
        for address in &self.addresses {
            text += &format!("  {address}\n");
        }
        for address in &self.stun {
            text += &format!("  {address}\n");
        }
        text += &match self.browser_address() {
            _ if self.private.is_some() => self.way_in(),
            Some(address) => format!("\nTo join from JavaScript:\n{}", snippet(&self.mesh, &self.charter, address)),
            None => {
                "\nBrowsers cannot join here: none of the addresses is a WebSocket's (/ws or /wss) or /webrtc-direct.\n"
                    .to_owned()
            }
        };
        text += "\nCtrl-C stops the relay.\n";
        text
    }

    /// How others come into a private mesh.
    fn way_in(&self) -> String {
        match &self.invite {
            Some(invite) => format!(
                "\nThe first invite. It lets one in, within 7 days, who may let in 20 others a day:\n  {invite}\n\
                 For others: mesh-relay invite\n"
            ),
            None => "\nTo let somebody in: mesh-relay invite\n".to_owned(),
        }
    }

    /// The address to show in the example: an external one, else one that works on this machine.
    fn browser_address(&self) -> Option<&Multiaddr> {
        let browser: Vec<_> = self.addresses.iter().filter(|address| is_for_browsers(address)).collect();
        let named = browser.iter().find(|address| !begins_with_ip(address));
        let local = browser.iter().find(|address| is_loopback(address) && !is_secure(address));
        named.or(local).or(browser.first()).copied()
    }
}

fn begins_with_ip(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)))
}

fn is_loopback(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Ip4(ip)) if ip.is_loopback())
}

/// Three lines that join the mesh and print what is broadcast in it.
fn snippet(mesh: &str, charter: &Path, address: &Multiaddr) -> String {
    let mesh = match charter.to_str() {
        Some(file) if !file.is_empty() => format!("await readFile({})", js_string(file)),
        Some(_) | None => js_string(mesh),
    };
    format!(
        "  import {{ joinMesh }} from 'neural-mesh'\n  \
           const mesh = await joinMesh({}, {{ relays: '{address}' }})\n  \
           mesh.on('broadcast', ({{ from, payload }}) => console.log(from, payload))\n",
        mesh,
    )
}

/// `text` as a JavaScript literal. Mesh names hold no control characters, so these two are all there is to escape.
fn js_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use mesh_proto::MeshId;

    use super::*;

    fn started(addresses: &[&str]) -> Started {
        let peer_id = PeerId::random();
        let with_peer = |text: &&str| text.parse::<Multiaddr>().expect("an address").with(Protocol::P2p(peer_id));
        Started {
            peer_id,
            mesh: "it's".to_owned(),
            charter: PathBuf::new(),
            private: None,
            invite: None,
            addresses: addresses.iter().map(with_peer).collect(),
            stun: vec!["stun:127.0.0.1:3478".to_owned()],
            http: Some(SocketAddr::from(([127, 0, 0, 1], 4003))),
            ui: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            key: PathBuf::from("mesh-relay.key"),
            key_created: true,
        }
    }

    #[test]
    fn json_has_the_addresses_first_and_ready_last() {
        let started = started(&["/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4002/ws"]);
        let json = started.json();
        let lines: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
        assert_eq!(events, ["listening", "listening", "stun", "http", "ui", "ready"]);
        let peer_id = started.peer_id.to_string();
        assert_eq!(lines[1]["address"], format!("/ip4/127.0.0.1/tcp/4002/ws/p2p/{peer_id}"));
        assert_eq!(lines[2]["address"], "stun:127.0.0.1:3478");
        assert_eq!(lines[3]["address"], "http://127.0.0.1:4003");
        assert_eq!(lines[4]["address"], "http://127.0.0.1:8080");
        assert_eq!(lines[5]["peerId"], peer_id);
        assert_eq!(lines[5]["mesh"], "it's");
    }

    #[test]
    fn text_shows_how_to_join() {
        let text = started(&["/ip4/10.0.0.1/tcp/4002/ws", "/ip4/127.0.0.1/tcp/4002/ws"]).text();
        assert!(text.contains(r"joinMesh('it\'s', { relays: '/ip4/127.0.0.1/tcp/4002/ws/p2p/"), "{text}");
        assert!(text.contains("mesh-relay.key (new)"), "{text}");
        let chartered = Started { charter: "lab.charter".into(), ..started(&["/ip4/127.0.0.1/tcp/4002/ws"]) }.text();
        assert!(chartered.contains("joinMesh(await readFile('lab.charter'), { relays: "), "{chartered}");
        assert!(text.contains("Page      http://127.0.0.1:8080/\n"), "{text}");
        assert!(text.contains("\n  stun:127.0.0.1:3478\n"), "{text}");
    }

    #[test]
    fn a_private_mesh_shows_its_id_and_the_first_invite_once() {
        let private = Some(Private { mesh: MeshId([7; 32]), founder: true });
        let invite = Some("neural-mesh:#i=abc".to_owned());
        let first = Started { private, invite, ..started(&["/ip4/127.0.0.1/tcp/4002/ws"]) };
        let text = first.text();
        assert!(
            text.contains(&format!("Mesh id   {} (private; this relay is a founder)\n", "07".repeat(32))),
            "{text}"
        );
        assert!(text.contains("  neural-mesh:#i=abc\n") && !text.contains("joinMesh"), "{text}");
        let ready: serde_json::Value =
            serde_json::from_str(first.json().lines().last().expect("a line")).expect("JSON");
        assert_eq!(ready["meshId"], "07".repeat(32));
        assert_eq!((&ready["private"], &ready["founder"]), (&true.into(), &true.into()));
        assert_eq!(ready["invite"], "neural-mesh:#i=abc");
        let later = Started { invite: None, ..first };
        assert!(later.text().contains("mesh-relay invite") && !later.text().contains("#i="), "{}", later.text());
        assert!(!later.json().contains("\"invite\""), "{}", later.json());
    }

    #[test]
    fn a_certificate_is_for_a_name_so_a_number_is_shown_without_it() {
        let started = started(&["/ip4/127.0.0.1/tcp/4443/wss", "/ip4/127.0.0.1/tcp/4002/ws"]);
        assert_eq!(started.browser_address(), started.addresses.last());
    }

    #[test]
    fn an_external_name_is_shown_before_a_local_address() {
        let started = started(&["/ip4/127.0.0.1/tcp/4002/ws", "/dns4/relay.example.org/tcp/443/wss"]);
        assert_eq!(started.browser_address(), started.addresses.last());
    }

    #[test]
    fn without_a_websocket_it_says_so() {
        let text = started(&["/ip4/127.0.0.1/tcp/4001"]).text();
        assert!(text.contains("Browsers cannot join here"), "{text}");
        assert!(!text.contains("import"), "{text}");
    }
}
