//! Writing the configuration out: the documented example with the values in force filled in.

use toml::{Table, Value};

use super::Config;

/// The documentation of every key, in the form of a file that holds the defaults.
const EXAMPLE: &str = include_str!("../../relay.example.toml");

impl Config {
    /// A documented file that loads back as this configuration.
    ///
    /// # Errors
    /// When a path is not UTF-8: TOML cannot say it.
    pub(crate) fn render(&self) -> Result<String, toml::ser::Error> {
        Ok(fill_in(EXAMPLE, &Table::try_from(self)?))
    }
}

/// `example` with the value of each key replaced by the one in `values`.
fn fill_in(example: &str, values: &Table) -> String {
    let mut out = String::with_capacity(example.len());
    let mut section = None;
    let mut lines = example.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = values.get(name).and_then(Value::as_table);
        }
        let key = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#'));
        match key.and_then(|(key, old)| Some((key, old, section.unwrap_or(values).get(key)?))) {
            Some((key, old, value)) => {
                if old == "[" {
                    lines.by_ref().find(|line| *line == "]");
                }
                out.push_str(&format!("{key} = {}", literal(value)));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// `value` as TOML; a list has a line for each entry.
fn literal(value: &Value) -> String {
    match value.as_array() {
        Some(entries) if !entries.is_empty() => {
            let lines: String = entries.iter().map(|entry| format!("    {entry},\n")).collect();
            format!("[\n{lines}]")
        }
        Some(_) | None => value.to_string(),
    }
}
