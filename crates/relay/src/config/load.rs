//! Laying the layers on: file < environment < flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::{Table, Value};

use super::{Config, Invalid};
use crate::options::Options;

/// What the names of our environment variables begin with.
pub(crate) const PREFIX: &str = "NEURAL_MESH_";

/// The variable that names the configuration file; `--config` wins over it.
const CONFIG_VARIABLE: &str = "NEURAL_MESH_CONFIG";

/// A configuration that passed every check.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values in force.
    pub(crate) config: Config,
    /// Variables that look like ours and name no key: probably a slip of the pen.
    pub(crate) unknown_variables: Vec<String>,
}

/// Why there is no configuration: one sentence that names the place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file was named and cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A line of the file is wrong.
    #[error("{}{place}: {message}", path.display())]
    File { path: PathBuf, place: Place, message: String },
    /// An environment variable is wrong.
    #[error("environment variable {name}: {message}")]
    Variable { name: String, message: String },
    /// A flag is wrong.
    #[error("{flag}: {message}")]
    Flag { flag: &'static str, message: String },
    /// Values do not fit together.
    #[error("configuration key {key}: {message}")]
    Together { key: &'static str, message: String },
}

/// Where in a file; either may be unknown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    line: Option<usize>,
    key: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key {key}")?;
        }
        Ok(())
    }
}

/// The configuration that `options` and `variables` (the environment) ask for.
pub(crate) fn load(options: &Options, variables: &BTreeMap<String, String>) -> Result<Loaded, ConfigError> {
    let named_by_variable = || variables.get(CONFIG_VARIABLE).map(PathBuf::from);
    let mut config = match options.config.clone().or_else(named_by_variable) {
        Some(path) => from_file(&path)?,
        None => Config::default(),
    };
    let unknown_variables = lay_on_variables(&mut config, variables)?;
    lay_on_flags(&mut config, options)?;
    config.check_together().map_err(|Invalid { key, message }| ConfigError::Together { key, message })?;
    Ok(Loaded { config, unknown_variables })
}

fn from_file(path: &Path) -> Result<Config, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|(place, message)| ConfigError::File { path: path.to_owned(), place, message })
}

/// The text of a file as a checked configuration, or what is wrong where.
pub(super) fn parse(text: &str) -> Result<Config, (Place, String)> {
    let wrong = |error: toml::de::Error, with_key: bool| {
        let line = error.span().map(|span| line_at(text, span.start));
        let key = line.filter(|_| with_key).and_then(|line| key_at(text, line));
        (Place { line, key }, one_line(error.message()))
    };
    // Twice: in text that is no TOML at all, what stands before the first "=" is no key.
    text.parse::<Table>().map_err(|error| wrong(error, false))?;
    let config: Config = toml::from_str(text).map_err(|error| wrong(error, true))?;
    config.check().map_err(|Invalid { key, message }| {
        let line = (1..=text.lines().count()).find(|line| begins_key(text, *line).as_deref() == Some(key));
        (Place { line, key: Some(key.to_owned()) }, message)
    })?;
    Ok(config)
}

/// The number of the line that holds byte `offset`, counted from 1.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The key with its section that `line` belongs to: the last one begun there or above.
fn key_at(text: &str, line: usize) -> Option<String> {
    (1..=line).rev().find_map(|line| begins_key(text, line))
}

/// The key with its section whose value begins on `line`.
fn begins_key(text: &str, line: usize) -> Option<String> {
    let (key, _) = text.lines().nth(line - 1)?.split_once('=')?;
    let key = key.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        return None;
    }
    let section = text.lines().take(line).filter_map(section_header).last();
    Some(section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}")))
}

fn section_header(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.split_once(']')?.0.trim();
    name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)).then_some(name)
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

/// Lays the environment on. Returns the variables that name no key.
fn lay_on_variables(config: &mut Config, variables: &BTreeMap<String, String>) -> Result<Vec<String>, ConfigError> {
    let keys = keys(&Table::try_from(Config::default()).unwrap_or_default());
    let mut unknown = Vec::new();
    for (name, text) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX) && *name != CONFIG_VARIABLE) {
        match keys.get(name) {
            Some((path, example)) => {
                *config = with_variable(config, path, example, text)
                    .map_err(|message| ConfigError::Variable { name: name.clone(), message })?;
            }
            None => unknown.push(name.clone()),
        }
    }
    Ok(unknown)
}

/// Every key by the name of its variable, with its path and a value that shows its type.
pub(super) fn keys(defaults: &Table) -> BTreeMap<String, (Vec<String>, Value)> {
    let mut keys = BTreeMap::new();
    for (key, value) in defaults {
        match value.as_table() {
            Some(section) => keys.extend(section.iter().map(|(inner, value)| named(vec![key, inner], value))),
            None => keys.extend([named(vec![key], value)]),
        }
    }
    keys
}

fn named(path: Vec<&String>, value: &Value) -> (String, (Vec<String>, Value)) {
    let path: Vec<String> = path.into_iter().cloned().collect();
    (format!("{PREFIX}{}", path.join("_").to_uppercase()), (path, value.clone()))
}

fn with_variable(config: &Config, path: &[String], example: &Value, text: &str) -> Result<Config, String> {
    let mut table = Table::try_from(config).map_err(|error| error.to_string())?;
    let (key, sections) = path.split_last().ok_or("no key")?;
    let mut place = &mut table;
    for section in sections {
        place = place.get_mut(section).and_then(Value::as_table_mut).ok_or("no such section")?;
    }
    place.insert(key.clone(), typed(example, text)?);
    let config: Config = table.try_into().map_err(|error: toml::de::Error| one_line(error.message()))?;
    config.check().map_err(|invalid| invalid.message)?;
    Ok(config)
}

/// `text` as a value of the same type as `example`.
fn typed(example: &Value, text: &str) -> Result<Value, String> {
    let text = text.trim();
    if example.is_integer() {
        return text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a whole number"));
    }
    if example.is_bool() {
        return text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is neither true nor false"));
    }
    if example.is_array() {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        return Ok(Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect()));
    }
    Ok(Value::String(text.to_owned()))
}

fn lay_on_flags(config: &mut Config, options: &Options) -> Result<(), ConfigError> {
    let Options {
        command: _,
        config: _,
        mesh,
        charter,
        found,
        invite,
        store,
        listen,
        external,
        peer,
        key,
        tls_certificate,
        tls_key,
        blocks,
        blocks_max_bytes,
        blocks_zone,
        stun,
        http,
        ui,
        ui_directory,
        print_config: _,
        check: _,
        log,
        no_mdns,
        json: _,
    } = options;
    replace(&mut config.mesh, mesh.as_ref());
    replace(&mut config.charter, charter.as_ref());
    replace(&mut config.invite, invite.as_ref());
    replace(&mut config.store, store.as_ref());
    replace(&mut config.key, key.as_ref());
    replace(&mut config.log, log.as_ref());
    replace(&mut config.tls.certificate, tls_certificate.as_ref());
    replace(&mut config.tls.key, tls_key.as_ref());
    replace(&mut config.blocks.file, blocks.as_ref());
    replace(&mut config.blocks.max_bytes, blocks_max_bytes.as_ref());
    replace(&mut config.blocks.zone, blocks_zone.as_ref());
    replace(&mut config.http.listen, http.as_ref());
    replace(&mut config.ui.listen, ui.as_ref());
    replace(&mut config.ui.directory, ui_directory.as_ref());
    if !stun.is_empty() {
        config.stun.listen =
            stun.clone().try_into().map_err(|message| ConfigError::Flag { flag: "--stun", message })?;
    }
    for (list, flag) in [(&mut config.listen, listen), (&mut config.external, external), (&mut config.peers, peer)] {
        replace(list, Some(flag).filter(|given| !given.is_empty()));
    }
    config.found |= found;
    config.mdns &= !no_mdns;
    // Whatever the earlier layers brought has been checked: what is wrong now came with a flag.
    config.check().map_err(|Invalid { key, message }| ConfigError::Flag { flag: flag_of(key), message })
}

fn replace<T: Clone>(value: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        value.clone_from(given);
    }
}

fn flag_of(key: &'static str) -> &'static str {
    match key {
        "mesh" => "--mesh",
        "invite" => "--invite",
        "store" => "--store",
        "blocks.max_bytes" => "--blocks-max-bytes",
        "blocks.zone" => "--blocks-zone",
        "key" => "--key",
        "log" => "--log",
        "listen" => "--listen",
        "external" => "--external",
        "peers" => "--peer",
        _ => key,
    }
}
