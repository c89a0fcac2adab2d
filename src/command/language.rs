//! The reference of the SQL that users write: its words and functions, and the columns that features see.

use std::fmt::Write;

use anyhow::{Error, Result};

use crate::contract::{Column, ColumnType, Contract, Table};
use crate::expression::reference::{Entry, Place, Reference};
use crate::output::{text_width, wrapped};

/// Every word and function, where it may stand, and an example.
pub(super) fn functions() -> Result<String> {
    let reference = Reference::get().map_err(Error::msg)?;
    let width = text_width();
    let mut text = wrapped(
        "In a `select` (SQL over one row of an export) everything below may stand. In a feature, a rule or a model only what is marked *.",
        0,
        width,
    ) + "\n";
    for (title, entries) in [("words", &reference.words), ("functions", &reference.functions)] {
        writeln!(text, "\n{title}")?;
        for entry in entries.iter().filter(|e| !e.form.is_empty()) {
            writeln!(text, "  {}", wrapped(&format!("{}{}", entry.form, mark(entry)), 4, width))?;
            writeln!(text, "{}", wrapped(&format!("    {}", entry.about), 4, width))?;
            let gives = if entry.gives.is_empty() { "NULL" } else { &entry.gives };
            writeln!(text, "{}", wrapped(&format!("    {} = {gives}", entry.example), 6, width))?;
        }
    }
    Ok(text)
}

fn mark(entry: &Entry) -> &'static str {
    if entry.places.contains(&Place::Feature) { " *" } else { "" }
}

/// What SQL of features, rules and models can name, table by table.
pub(super) fn columns(contract: &Contract) -> Result<String> {
    let width = text_width();
    let mut text = wrapped(
        "What SQL of features, rules and models can name. Money is in minor units, days are numbers since 1970-01-01, flags are TRUE or FALSE.",
        0,
        width,
    ) + "\n";
    let read = |t: &&Table| t.has_records() || t.name == "subjects";
    for table in contract.tables.iter().filter(read) {
        writeln!(text, "\n{}", table.name)?;
        let mut line = |name: &str, about: &str| -> std::fmt::Result {
            writeln!(text, "{}", wrapped(&format!("  {name:<24} {about}"), 27, width))
        };
        line("as_of_day", "The day number of the as-of date.")?;
        for column in &table.columns {
            for (name, about) in names(column) {
                line(&name, &about)?;
            }
        }
        for computed in &table.computed {
            line(&computed.name, &format!("{} A number.", computed.about))?;
        }
        if table.name != "subjects" {
            line("reliability", "Of the row's source, in thousandths. A number.")?;
        }
    }
    Ok(text)
}

/// The names under which a column is seen.
fn names(column: &Column) -> Vec<(String, String)> {
    let null = if column.required { "" } else { " May be NULL." };
    let one = |what: String| vec![(column.name.clone(), format!("{} {what}{null}", column.about))];
    match column.kind {
        ColumnType::Money | ColumnType::Count => one("A number.".into()),
        ColumnType::Share => one("A number of thousandths.".into()),
        ColumnType::Flag => one("A flag.".into()),
        ColumnType::Choice => one(format!("One of '{}'.", column.values.join("', '"))),
        ColumnType::Id if column.name == "subject_id" => Vec::new(),
        ColumnType::Id => one("An id, compared for equality only.".into()),
        ColumnType::Date | ColumnType::Instant => {
            let kinds = [
                (&column.day, "The day number."),
                (&column.months_ago, "Whole months back from the as-of date."),
                (&column.weeks_ago, "Whole weeks back from the as-of date."),
                (&column.hour, "The hour, 0 to 23."),
                (&column.weekday, "The day of the week, 1 for Monday to 7 for Sunday."),
            ];
            let named = kinds.into_iter().filter_map(|(name, what)| Some((name.clone()?, what)));
            named.map(|(name, what)| (name, format!("{} {what}{null}", column.about))).collect()
        }
        ColumnType::Currency | ColumnType::Text => Vec::new(),
    }
}
