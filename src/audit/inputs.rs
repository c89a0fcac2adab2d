//! What went in: every row of every file in exactly one class, and the rows that broke a rule.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Facts;
use crate::ingest::conservation::Class;

/// Rows by class, table by table and file by file.
pub fn conservation(facts: &Facts) -> Value {
    let tables = facts.job.exports.iter().filter_map(|export| {
        let tally = &facts.findings.get(&export.table.name)?.tally;
        let classes = |of: &dyn Fn(Class) -> u64| -> serde_json::Map<String, Value> {
            Class::ALL.iter().map(|c| (c.name().to_owned(), json!(of(*c)))).collect()
        };
        let files: Vec<Value> = export
            .files
            .iter()
            .enumerate()
            .map(|(n, f)| {
                let mut row = classes(&|c| tally.get(n, c));
                row.insert("file".into(), json!(f.file.label));
                row.insert("rows".into(), json!(tally.file_total(n)));
                row.insert("export_rows".into(), json!(f.rows()));
                multiplied(&mut row, tally.multiplied(n));
                Value::Object(row)
            })
            .collect();
        let mut all = classes(&|c| tally.total(c));
        all.insert("rows".into(), json!((0..export.files.len()).map(|n| tally.file_total(n)).sum::<u64>()));
        multiplied(&mut all, (0..export.files.len()).map(|n| tally.multiplied(n)).sum::<u64>());
        all.insert("files".into(), json!(files));
        if export.table.name == "friend_links" {
            let off = || json!({ "category_off": tally.total(Class::Dropped) });
            all.insert("dropped_because".into(), facts.friends.map_or_else(off, |friends| json!(friends.dropped)));
        }
        Some((export.table.name.clone(), Value::Object(all)))
    });
    Value::Object(tables.collect())
}

/// Rows that a `select` made of others; none is worth no word.
fn multiplied(row: &mut serde_json::Map<String, Value>, rows: u64) {
    if rows > 0 {
        row.insert("multiplied".into(), json!(rows));
    }
}

/// The newest visible row of each table with a limit, and how many days before the as-of date it is.
pub fn newest(facts: &Facts) -> Value {
    let ages = facts.ages.iter().map(|a| (a.table.clone(), json!({ "day": a.newest, "days_before": a.days })));
    Value::Object(ages.collect())
}

/// Quarantined rows by rule, with where some of them stand.
pub fn quarantine(facts: &Facts) -> Value {
    let tables = facts.job.exports.iter().filter_map(|export| {
        let mut rows = facts.findings.get(&export.table.name)?.quarantined.clone();
        if rows.is_empty() {
            return None;
        }
        rows.sort_unstable();
        let mut rules: BTreeMap<&str, (u64, Vec<Value>)> = BTreeMap::new();
        for q in &rows {
            let (count, samples) = rules.entry(q.rule.name()).or_default();
            *count += 1;
            if samples.len() < 5 {
                let column = export.table.columns.get(usize::from(q.column)).map(|c| c.name.as_str());
                samples
                    .push(json!({ "file": export.files[q.file as usize].file.label, "row": q.row, "column": column }));
            }
        }
        let rules = rules.into_iter().map(|(rule, (rows, samples))| {
            let text = facts.job.contract.rules.iter().find(|r| r.name == rule);
            let about = text.map(|t| t.about.as_str());
            (
                rule.to_owned(),
                json!({ "rows": rows, "about": about, "remedy": text.map(|t| t.remedy.as_str()), "samples": samples }),
            )
        });
        Some((export.table.name.clone(), Value::Object(rules.collect())))
    });
    Value::Object(tables.collect())
}
