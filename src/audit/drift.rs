//! What changed since the earlier published run.

use serde_json::{Value, json};

use super::Facts;
use crate::disclosure::neighbours::merged;
use crate::disclosure::{small, table};
use crate::runs::previous::Previous;
use crate::score::rows::NONE;

/// How far scores moved, who moved between bands, and the earlier run's figures; null when there is no earlier run.
pub fn drift(facts: &Facts) -> Value {
    let Some((previous, before)) = facts.previous else { return Value::Null };
    let shift = facts.now.shift(before);
    let audit = &previous.audit;
    json!({
        "previous": { "run": previous.run, "as_of": previous.as_of, "model": previous.model },
        "score": facts.of_many(facts.now.scored().min(before.scored()), json!(shift)),
        "before": {
            "subjects": audit["coverage"]["subjects"],
            "scored": audit["coverage"]["scored"],
            "mean": audit["scores"]["mean"],
            "bands": audit["scores"]["bands"],
            "histogram": audit["scores"]["histogram"],
            "rows": rows(audit),
        },
        "migration": migration(facts, previous),
    })
}

/// Rows of each table, and how many of them were quarantined.
fn rows(audit: &Value) -> Value {
    let tables = audit["conservation"].as_object().into_iter().flatten();
    let row = |(table, classes): (&String, &Value)| {
        (table.clone(), json!({ "rows": classes["rows"], "quarantined": classes["quarantined"] }))
    };
    Value::Object(tables.map(row).collect())
}

/// Subjects by band then and band now; those without a score have a row and a column of their own. Null where their number
/// may not be shown.
fn migration(facts: &Facts, previous: &Previous) -> Value {
    let card = &facts.job.model.card;
    let bands: Vec<i64> = card.band.iter().map(|b| b.get_ref().from).collect();
    let none = bands.len();
    let band = |score: i16| match score {
        NONE => none,
        score => bands.partition_point(|from| *from <= i64::from(score)).saturating_sub(1),
    };
    let mut counts = vec![vec![0_u64; none + 1]; none + 1];
    previous.matched(&facts.data.subjects.ids.ids, |then, now| {
        let score = |s: Option<usize>, of: &[i16]| s.map_or(NONE, |s| of[s]);
        counts[band(score(then, &previous.by_subject))][band(score(now, &facts.population.rows.score))] += 1;
    });
    // Who has no score in either is in neither run's bands.
    counts[none][none] = 0;
    let margins = |of: &dyn Fn(usize) -> u64| -> Vec<[u64; 1]> { (0..none).map(|n| [of(n)]).collect() };
    let (then, now) = (margins(&|n| counts[n].iter().sum()), margins(&|n| counts.iter().map(|row| row[n]).sum()));
    let (rows, columns) = (merged(&then, facts.least()), merged(&now, facts.least()));
    let with_none = |runs: &[std::ops::Range<usize>]| -> Vec<std::ops::Range<usize>> {
        runs.iter().cloned().chain(std::iter::once(none..none + 1)).collect()
    };
    let (rows, columns) = (with_none(&rows), with_none(&columns));
    let cell = |r: &std::ops::Range<usize>, c: &std::ops::Range<usize>| -> u64 {
        counts[r.clone()].iter().map(|row| row[c.clone()].iter().sum::<u64>()).sum()
    };
    let joined: Vec<Vec<u64>> = rows.iter().map(|r| columns.iter().map(|c| cell(r, c)).collect()).collect();
    let margin_small = joined.iter().any(|row| small(row.iter().sum(), facts.least()))
        || (0..columns.len()).any(|c| small(joined.iter().map(|row| row[c]).sum(), facts.least()));
    if margin_small || small(facts.unscored(), facts.least()) || joined.len() < 3 || columns.len() < 3 {
        return Value::Null;
    }
    let names = |runs: &[std::ops::Range<usize>]| -> Vec<Vec<String>> {
        let name = |n: usize| card.band.get(n).map_or_else(|| "no score".to_owned(), |b| b.get_ref().name.clone());
        runs.iter().map(|run| run.clone().map(name).collect()).collect()
    };
    json!({ "before": names(&rows), "now": names(&columns), "subjects": table::shown(&joined, facts.least()) })
}
