//! What changed since the earlier published run.

use serde_json::{Value, json};

use super::Facts;
use super::scale::ScoreScale;
use crate::disclosure::crosstab::crosstab;
use crate::disclosure::small;
use crate::runs::previous::Previous;
use crate::score::rows::NONE;
use crate::statistics::proportion::rounded;

/// What subjects without a score are called.
const NO_SCORE: &str = "no score";

/// How far scores moved, who moved between bands, and the earlier run's figures as that run shows them; null when there is no
/// earlier run. What was shown of it by a laxer rule than today's is left out.
pub fn drift(facts: &Facts, scale: &ScoreScale) -> Value {
    let Some((previous, before)) = facts.previous else { return Value::Null };
    let told = facts.scored_shown() && previous.scored_shown(facts.least());
    let shift = facts
        .now
        .shift(before)
        .filter(|_| told)
        .map(|s| json!({ "psi": rounded(s.psi, 4), "by_chance": rounded(s.by_chance, 4), "cells": s.cells }));
    let audit = &previous.audit;
    let as_strict = audit["privacy"]["min_cell"].as_u64().is_some_and(|least| least >= facts.least());
    let figure = |of: &Value| if as_strict { of.clone() } else { Value::Null };
    json!({
        "previous": { "run": previous.run, "as_of": previous.as_of, "model": previous.model },
        "inputs": facts.changes.iter().filter(|c| !c.is_none()).collect::<Vec<_>>(),
        "score": facts.of_many(facts.now.scored().min(before.scored()), json!(shift)),
        "before": {
            "subjects": figure(&audit["coverage"]["subjects"]),
            "scored": figure(&audit["coverage"]["scored"]),
            "mean": figure(&audit["scores"]["mean"]),
            "bands": figure(&audit["scores"]["bands"]),
            "histogram": figure(&audit["scores"]["histogram"]),
            "rows": rows(audit),
        },
        "migration": if told && as_strict && same_bands(audit, scale) { migration(facts, previous) } else { Value::Null },
    })
}

/// Whether the earlier run's bands, as it shows them, end where today's do.
fn same_bands(audit: &Value, scale: &ScoreScale) -> bool {
    let edges = scale.band_edges();
    audit["scores"]["bands"].as_array().is_some_and(|rows| {
        rows.iter().all(|row| {
            let names = row["bands"].as_array().map(|n| n.iter().filter_map(Value::as_str).collect::<Vec<_>>());
            let from = row["from"].as_i64();
            let first = edges.iter().position(|e| Some(e.1) == from);
            first.zip(names).is_some_and(|(at, names)| {
                names.iter().enumerate().all(|(n, name)| edges.get(at + n).is_some_and(|e| e.0 == *name))
            })
        })
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
