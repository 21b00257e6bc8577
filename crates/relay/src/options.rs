//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use libp2p::Multiaddr;

use crate::ask::{Invite, Revoke};
use crate::config::{Listen, UI_DEFAULT};
use crate::verify::Verify;

/// Lets browsers and servers of a neural mesh find and reach each other.
///
/// Runs a circuit relay, a bootstrap node and a DHT server, and is a member of the mesh itself. Without any flag it
/// listens on ports 4001 (TCP, QUIC), 4002 (WebSocket) and 3478 (STUN) and prints the addresses to hand out.
///
/// Every setting has a default, a line in the configuration file, an environment variable NEURAL_MESH_… and, for the
/// common ones, a flag; the later of these wins. --print-config shows them all.
#[derive(Debug, Default, Parser)]
#[command(name = "mesh-relay", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Configuration file (TOML). Also NEURAL_MESH_CONFIG.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Name of the mesh to be a member of.
    #[arg(long, value_name = "NAME")]
    pub(crate) mesh: Option<String>,

    /// File with the charter of the mesh to be a member of, in which people vote. Its name goes before --mesh.
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: Option<PathBuf>,

    /// Found a private mesh with the name of --mesh and this relay's key as its founder, in the file of --charter
    /// (mesh-relay.charter unless given). Prints the first invite. The same flag opens it again later.
    #[arg(long)]
    pub(crate) found: bool,

    /// Join a private mesh by this link, which was given by a member of it. Later starts take it from the store.
    #[arg(long, value_name = "LINK")]
    pub(crate) invite: Option<String>,

    /// File of what has to be kept of a private mesh, created on first start: credentials, and whom this relay let in.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,

    /// Address to listen on, instead of the configured ones. May be given several times.
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<Multiaddr>,

    /// Address under which others reach this relay, when it is not one it listens on. May be given several times.
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) external: Vec<Multiaddr>,

    /// Peer to stay connected to, ending in /p2p/PEER-ID. May be given several times.
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) peer: Vec<Multiaddr>,

    /// File of the Ed25519 key, created on first start.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Certificate chain of listeners that end in /wss or /tls/ws (PEM). Read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Private key of that certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// File of the blocks of IPFS that this relay keeps, created with the first of them, instead of one beside the key file.
    #[arg(long, value_name = "FILE")]
    pub(crate) blocks: Option<PathBuf>,

    /// Bytes of blocks that this relay keeps, at most; 0 is none.
    #[arg(long, value_name = "BYTES")]
    pub(crate) blocks_max_bytes: Option<u64>,

    /// What these blocks fail together with, such as a site: others of the same zone hold no second copy if there is a choice.
    #[arg(long, value_name = "ZONE")]
    pub(crate) blocks_zone: Option<String>,

    /// Where to answer STUN requests (UDP), or "off". May be given several times.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) stun: Vec<Listen>,

    /// Where to serve /healthz, /readyz, /status and /metrics, or "off".
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) http: Option<Listen>,

    /// Serve the page for browsers, on 127.0.0.1:8080 unless an address is given.
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = UI_DEFAULT)]
    pub(crate) ui: Option<Listen>,

    /// Directory of the built page, instead of the one that is looked for.
    #[arg(long, value_name = "DIR")]
    pub(crate) ui_directory: Option<PathBuf>,

    /// Print the configuration in force and exit.
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Check the configuration and the files that exist, and exit: 0 when all is well, else 1.
    #[arg(long)]
    pub(crate) check: bool,

    /// What to log to stderr: error, warn, info, debug, trace, or tracing directives.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,

    /// Do not look for peers on the local network.
    #[arg(long)]
    pub(crate) no_mdns: bool,

    /// Print one JSON object a line on stdout instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What it does instead of being a relay.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(Verify),
    Invite(Invite),
    Revoke(Revoke),
}
