//! `mesh-relay`: the native companion of a neural mesh.
//!
//! Browsers cannot be dialled, so they meet at a relay: it carries their first bytes (libp2p circuit relay v2), hands
//! them the list of members, answers for the DHT and passes gossip on. It decides nothing about the mesh that a browser
//! would not decide as well, and everything that passes through a circuit is encrypted end to end.
//!
//! Reading order: [`options`] and [`config`] say what can be set, [`run`] is the life of the process, [`host`] is what
//! a relay adds to an ordinary node ([`hop`] its circuit relay, [`neighbours`] its mDNS), [`stun`] and [`ui`] are what
//! browsers get beside it, [`http`] and [`metrics`] are what operators see. [`membership`] is what lets the relay into its
//! mesh ([`charter`], [`store`], [`link`]), and [`blocks`] where it keeps blocks of IPFS; [`operator`] lets others in, and [`ask`] asks it to, from another process.
//! [`verify`] checks decisions, and starts nothing.

mod addresses;
mod ask;
mod blocks;
mod charter;
mod config;
#[cfg(feature = "webrtc-direct")]
mod direct;
#[cfg(not(feature = "webrtc-direct"))]
#[path = "no_direct.rs"]
mod direct;
mod hop;
mod host;
mod http;
mod key;
mod link;
mod membership;
mod metrics;
mod neighbours;
mod operator;
mod options;
mod output;
mod ports;
mod run;
mod signals;
mod store;
mod stun;
mod tls;
mod ui;
mod verify;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Loaded};
use crate::options::{Command, Options};
use crate::output::Output;

fn main() -> ExitCode {
    match start(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "mesh-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(mut options: Options) -> Result<(), Box<dyn Error>> {
    let environment = environment();
    if let Some(command) = options.command.take() {
        output::write(&match command {
            Command::Verify(verify) => verify::run(&verify)?,
            Command::Invite(invite) => ask::invite(invite, &environment)?,
            Command::Revoke(revoke) => ask::revoke(revoke, &environment)?,
        });
        return Ok(());
    }
    let Loaded { config, unknown_variables } = config::load(&options, &environment)?;
    if options.print_config {
        output::write(&config.render()?);
        return Ok(());
    }
    log_to_stderr(&config)?;
    for variable in unknown_variables {
        tracing::warn!(variable, "this environment variable is no setting of the relay");
    }
    if options.check {
        let seed = key::load(&config.key)?;
        tls::load(&config.tls)?;
        direct::load(&config)?;
        membership::check(&config, seed)?;
        blocks::check(&config.blocks, &config.key)?;
        ui::directory(&config.ui)?;
        output::write("The configuration is valid.\n");
        return Ok(());
    }
    let output = if options.json { Output::Json } else { Output::Text };
    Ok(run::run(config, output)?)
}

/// The environment as text. What is not UTF-8 cannot be a setting of ours.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The libraries of `/webrtc-direct` warn of what is wrong with a datagram, and anybody may send one, as often as they
/// like. Who names one of them in the configuration hears it all the same.
const DATAGRAMS: &str = "str0m=error,is=error,dimpl=error,sctp_proto=error";

fn log_to_stderr(config: &Config) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(format!("{DATAGRAMS},{}", config.log))?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|error| error.to_string().into())
}
