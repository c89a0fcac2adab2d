//! The folder of a first pipeline: the pipeline file, the standard model with its features, and their schemas.

use std::path::Path;

use anyhow::{Context, Result, bail};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;

use super::conversion::{Converted, quoted};
use super::datasets::Found;
use super::matching::Match;
use super::request::Request;
use crate::output::{printable, thousands};

const TEMPLATE: &str = include_str!("pipeline.toml.jinja");

/// The standard model, its features and the schemas of all files, by their place in the folder.
const FILES: [(&str, &str); 12] = [
    ("models/standard.toml", include_str!("../../pipelines/models/standard.toml")),
    ("features/behaviour_preference.toml", include_str!("../../pipelines/features/behaviour_preference.toml")),
    ("features/credit_history.toml", include_str!("../../pipelines/features/credit_history.toml")),
    ("features/evidence.toml", include_str!("../../pipelines/features/evidence.toml")),
    ("features/fulfilment_capacity.toml", include_str!("../../pipelines/features/fulfilment_capacity.toml")),
    ("features/personal_characteristics.toml", include_str!("../../pipelines/features/personal_characteristics.toml")),
    ("features/relationships.toml", include_str!("../../pipelines/features/relationships.toml")),
    ("schema/audit.json", include_str!("../../pipelines/schema/audit.json")),
    ("schema/features.json", include_str!("../../pipelines/schema/features.json")),
    ("schema/model.json", include_str!("../../pipelines/schema/model.json")),
    ("schema/partners.json", include_str!("../../pipelines/schema/partners.json")),
    ("schema/pipeline.json", include_str!("../../pipelines/schema/pipeline.json")),
];

#[derive(Serialize)]
struct Input {
    table: String,
    about: String,
    path: String,
    quoted_path: String,
    rows: String,
    files: usize,
    missing: Vec<Missing>,
    unused: String,
    partitions: String,
    lines: Vec<String>,
}

#[derive(Serialize)]
struct Missing {
    name: String,
    expected: &'static str,
    about: String,
}

/// Writes the folder, which must not hold anything yet.
///
/// # Errors
/// When it does, or cannot be written.
pub fn write(folder: &Path, found: &Found, matches: &[Match], request: &Request) -> Result<()> {
    if folder.exists() && fs_err::read_dir(folder)?.next().is_some() {
        bail!("{} holds something already; name a folder that is new or empty", folder.display());
    }
    let text = pipeline(found, matches, request)?;
    for (name, content) in FILES {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs_err::write(path, content)?;
    }
    Ok(fs_err::write(folder.join("pipeline.toml"), text)?)
}

fn pipeline(found: &Found, matches: &[Match], request: &Request) -> Result<String> {
    let inputs: Vec<Input> = matches.iter().map(|of| input(found, of)).collect();
    let known = |at: &usize| !matches.iter().any(|of| of.dataset == *at);
    let unknown = (0..found.datasets.len()).filter(known).map(|at| {
        let of = &found.datasets[at];
        let names: Vec<&str> = of.columns.iter().map(|c| c.name.as_str()).collect();
        one_line(&format!("{}: {}", of.path.display(), names.join(", ")))
    });
    let values = context! {
        name => request.name, as_of => request.as_of, zone => request.zone, currency => request.currency,
        consents => matches.iter().any(|of| of.table.name == "consents"),
        inputs => Serde(inputs),
        others => found.others.iter().map(|t| one_line(t)).collect::<Vec<_>>(),
        unknown => unknown.collect::<Vec<_>>(),
    };
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.render_str(TEMPLATE, values).context("filling in pipeline.toml")
}

fn input(found: &Found, of: &Match) -> Input {
    let dataset = &found.datasets[of.dataset];
    let path = dataset.path.display().to_string();
    let missing =
        of.missing.iter().map(|c| Missing { name: c.name.clone(), expected: c.expected(), about: c.about.clone() });
    Input {
        table: of.table.name.clone(),
        about: of.table.about.clone(),
        quoted_path: toml::Value::String(path.clone()).to_string(),
        path: one_line(&path),
        rows: thousands(dataset.rows),
        files: dataset.files,
        missing: missing.collect(),
        unused: one_line(&of.unused.join(", ")),
        partitions: one_line(&dataset.partitions.join(", ")),
        lines: lines(of),
    }
}

/// The lines of a `select`, with what was assumed behind each; none where the export has the contract's columns already.
fn lines(of: &Match) -> Vec<String> {
    if of.missing.is_empty() && of.columns.iter().all(|(name, c)| c.sql == quoted(name) && c.remark.is_none()) {
        return Vec::new();
    }
    let last = of.columns.len().saturating_sub(1);
    let line = |(at, (name, converted)): (usize, &(String, Converted))| {
        let alias = if converted.sql == *name { String::new() } else { format!(" AS {}", quoted(name)) };
        let comma = if at == last { "" } else { "," };
        let remark = converted.remark.as_ref().map_or_else(String::new, |r| format!("   -- {}", one_line(r)));
        basic(&format!("{}{alias}{comma}{remark}", converted.sql))
    };
    of.columns.iter().enumerate().map(line).collect()
}

/// Text within the quotes of a TOML string of several lines.
fn basic(text: &str) -> String {
    text.replace('\\', "\\\\").replace("\"\"\"", "\"\"\\\"")
}

/// Text that stays in its comment.
fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\r'], " ")
}
