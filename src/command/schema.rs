//! `sesame schema`.

use std::fmt::Write;

use anyhow::Result;

use super::language;
use crate::audit::Audit;
use crate::contract::{CONTRACT_TOML, Contract};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::pipeline::catalogue::CatalogueFile;
use crate::pipeline::model::Card;
use crate::pipeline::partners::PartnersFile;
use crate::pipeline::settings::Settings;

/// How `schema` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SchemaFormat {
    /// A table for people.
    #[default]
    Text,
    /// The contract file itself.
    Toml,
    /// JSON for programs.
    Json,
}

/// What `schema` describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SchemaOf {
    /// The exports: tables, columns, rules.
    #[default]
    Contract,
    /// The pipeline file, as JSON Schema.
    Pipeline,
    /// The model file, as JSON Schema.
    Model,
    /// A file of the feature catalogue, as JSON Schema.
    Features,
    /// The file of partners, as JSON Schema.
    Partners,
    /// A run's `audit.json`, as JSON Schema.
    Audit,
    /// What SQL of features, rules and models can name, by table.
    Columns,
    /// The words and functions of SQL in a `select` and in a feature.
    Functions,
}

/// Flags of `schema`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Of what.
    #[arg(value_enum, default_value_t)]
    pub of: SchemaOf,
    /// How to print the contract.
    #[arg(long, value_enum, default_value_t)]
    pub format: SchemaFormat,
}

/// Prints the data contract, or the JSON Schema of a file that users write or read.
///
/// # Errors
/// When the embedded contract is faulty.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let schema = match args.of {
        SchemaOf::Contract => None,
        SchemaOf::Columns => {
            output.data(&language::columns(&Contract::load()?)?)?;
            return Ok(ExitStatus::Success);
        }
        SchemaOf::Functions => {
            output.data(&language::functions()?)?;
            return Ok(ExitStatus::Success);
        }
        SchemaOf::Pipeline => Some(schemars::schema_for!(Settings)),
        SchemaOf::Model => Some(schemars::schema_for!(Card)),
        SchemaOf::Features => Some(schemars::schema_for!(CatalogueFile)),
        SchemaOf::Partners => Some(schemars::schema_for!(PartnersFile)),
        SchemaOf::Audit => Some(schemars::schema_for!(Audit)),
    };
    if let Some(schema) = schema {
        output.data(&(serde_json::to_string_pretty(&schema)? + "\n"))?;
        return Ok(ExitStatus::Success);
    }
    let contract = Contract::load()?;
    match args.format {
        SchemaFormat::Toml => output.data(CONTRACT_TOML)?,
        SchemaFormat::Json => {
            let value: toml::Value = toml::from_str(CONTRACT_TOML)?;
            output.data(&(serde_json::to_string_pretty(&value)? + "\n"))?;
        }
        SchemaFormat::Text => output.data(&text(&contract)?)?,
    }
    Ok(ExitStatus::Success)
}

fn text(contract: &Contract) -> Result<String> {
    let mut text = String::new();
    for table in &contract.tables {
        writeln!(text, "{}{}\n  {}", table.name, if table.required { "" } else { " (optional)" }, table.about)?;
        for column in &table.columns {
            let mark = if column.required { ' ' } else { '?' };
            let kind = if column.values.is_empty() { column.expected().to_owned() } else { column.values.join(" | ") };
            writeln!(text, "    {:<22}{mark} {}\n    {:<24}{kind}", column.name, column.about, "")?;
        }
        for computed in &table.computed {
            writeln!(text, "    {:<22}  {} (computed)", computed.name, computed.about)?;
        }
        writeln!(text)?;
    }
    writeln!(text, "rules")?;
    for rule in &contract.rules {
        writeln!(text, "    {:<22}  {} {}", rule.name, rule.about, rule.remedy)?;
    }
    Ok(text)
}
