//! `--set`: keys of a pipeline file set from the command line.

use anyhow::{Result, anyhow};

/// Sets one dotted key of a pipeline to a TOML value.
pub(super) fn apply(table: &mut toml::Table, text: &str) -> Result<()> {
    // What is said of privacy may be a key.
    let shown = if text.trim_start().starts_with("privacy") { "privacy…" } else { text };
    let one: toml::Table = toml::from_str(text).map_err(|e| {
        anyhow!(
            "--set '{shown}': {}; write KEY=VALUE with a TOML value, such as 'output=\"/srv/scores\"'",
            e.message().trim()
        )
    })?;
    let ends = text.match_indices('=').map(|(at, _)| at);
    // The key ends where a key alone is one of TOML: a quoted part of it may hold the sign.
    let keys = ends.filter_map(|at| toml::from_str::<toml::Table>(&format!("{}=0", &text[..at])).ok());
    set(table, one, depth(&keys.take(1).next().unwrap_or_default()));
    Ok(())
}

/// The number of parts of the dotted key that a table was made of.
fn depth(of: &toml::Table) -> usize {
    match of.values().next() {
        Some(toml::Value::Table(inner)) => 1 + depth(inner),
        _ => 1,
    }
}

/// Sets what stands so many keys deep in `from`, in place of what stood there.
fn set(into: &mut toml::Table, from: toml::Table, depth: usize) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) if depth > 1 => set(old, new, depth - 1),
            // An input that is only a path becomes a table when another key of it is set.
            (Some(old @ toml::Value::String(_)), toml::Value::Table(mut new)) if depth > 1 => {
                let path = old.clone();
                new.entry("path").or_insert(path);
                *old = toml::Value::Table(new);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
