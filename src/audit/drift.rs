//! What changed since the earlier published run.

use serde_json::{Value, json};

use super::Facts;
use crate::disclosure::crosstab::crosstab;
use crate::disclosure::small;
use crate::runs::previous::Previous;
use crate::score::rows::NONE;

/// What subjects without a score are called.
const NO_SCORE: &str = "no score";

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
    let mut names: Vec<String> = card.band.iter().map(|b| b.get_ref().name.clone()).collect();
    names.push(NO_SCORE.to_owned());
    let alone = |names: &[Vec<String>]| names.iter().any(|n| n.len() == 1 && n[0] == NO_SCORE);
    let table = crosstab(&names, &names, &counts, facts.least());
    // Where few subjects came by a score or lost theirs, the bands' own counts would tell how many.
    json!(table.filter(|t| alone(&t.before) && alone(&t.now) && !small(facts.unscored(), facts.least())))
}
