//! `audit.json`: what went in, what became of it, and what came out.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::propagation::propagation;
use super::quality::quality;
use crate::ingest::consents::{NETWORK, SCORE};
use crate::ingest::conservation::Class;
use crate::ingest::outcomes::Outcome;
use crate::ingest::scan::Findings;
use crate::job::Job;
use crate::output::thousands;
use crate::pipeline::model::CATEGORIES;
use crate::publish::gates::{Counts, Verdict};
use crate::publish::scores::Label;
use crate::runs::manifest::Input;
use crate::runs::previous::Previous;
use crate::score::friends::Friends;
use crate::score::population::Population;
use crate::score::rows::NONE;
use crate::score::stage_data::StageData;

/// Version of the audit's shape; it grows when a key changes its meaning.
pub const SCHEMA: u32 = 1;

/// What the audit is made from.
pub struct Facts<'a> {
    /// Configuration and inputs.
    pub job: &'a Job,
    /// The stages it was scored from.
    pub data: &'a StageData,
    /// What was scored.
    pub population: &'a Population,
    /// What friends told, when propagation ran.
    pub friends: Option<&'a Friends>,
    /// What was counted and quarantined, by table.
    pub findings: &'a BTreeMap<String, Findings>,
    /// The gates.
    pub verdicts: &'a [Verdict],
    /// Scores and quarantined rows.
    pub now: &'a Counts,
    /// The earlier published run, and its counts.
    pub previous: Option<(&'a Previous, &'a Counts)>,
    /// Input files with their hashes.
    pub inputs: &'a [Input],
    /// The run's id.
    pub run: &'a str,
    /// As-of date, cut-off, model and program.
    pub label: &'a Label,
    /// Seconds by stage.
    pub timings: Vec<(String, f64)>,
    /// Seconds of the whole run so far.
    pub seconds: f64,
}

/// The audit for programs and its summary for people.
pub struct Summary {
    /// `audit.json`.
    pub json: Value,
    /// A few lines.
    pub text: String,
}

/// Sums up a run.
#[must_use]
pub fn summary(facts: &Facts) -> Summary {
    let json = json!({
        "schema": SCHEMA,
        "inputs": facts.inputs,
        "conservation": conservation(facts),
        "quarantine": quarantine(facts),
        "coverage": coverage(facts),
        "scores": scores(facts),
        "features": features(facts),
        "drift": drift(facts),
        "propagation": propagation(facts),
        "policy": policy(facts),
        "disputes": disputes(facts),
        "consents": consents(facts),
        "privileges": privileges(facts),
        "gates": facts.verdicts,
        "quality": quality_by_horizon(facts),
        "fairness": Value::Null,
        "provenance": provenance(facts),
        "timings": timings(facts),
    });
    let text = text(facts, &json);
    Summary { json, text }
}

/// A count of subjects, or null where it is small enough to point at someone.
pub(super) fn cell(facts: &Facts, count: u64) -> Value {
    let least = facts.job.pipeline.settings.privacy.min_cell;
    if count > 0 && count < least { Value::Null } else { json!(count) }
}

/// A figure over so many subjects, or null where they are few enough to point at someone.
pub(super) fn of_many(facts: &Facts, subjects: usize, figure: Value) -> Value {
    let least = facts.job.pipeline.settings.privacy.min_cell.max(1);
    if (subjects as u64) < least { Value::Null } else { figure }
}

fn conservation(facts: &Facts) -> Value {
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
                Value::Object(row)
            })
            .collect();
        let mut all = classes(&|c| tally.total(c));
        all.insert("rows".into(), json!((0..export.files.len()).map(|n| tally.file_total(n)).sum::<u64>()));
        all.insert("files".into(), json!(files));
        if export.table.name == "friend_links" {
            let off = || json!({ "category_off": tally.total(Class::Dropped) });
            all.insert("dropped_because".into(), facts.friends.map_or_else(off, |friends| json!(friends.dropped)));
        }
        Some((export.table.name.clone(), Value::Object(all)))
    });
    Value::Object(tables.collect())
}

fn quarantine(facts: &Facts) -> Value {
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

fn counts<'a>(facts: &Facts, names: impl Iterator<Item = &'a str>, of: impl Iterator<Item = usize>) -> Value {
    let names: Vec<&str> = names.collect();
    let mut counts = vec![0_u64; names.len()];
    of.for_each(|n| counts[n] += 1);
    Value::Object(names.iter().zip(counts).map(|(n, c)| ((*n).to_owned(), cell(facts, c))).collect())
}

fn coverage(facts: &Facts) -> Value {
    let (rows, card) = (&facts.population.rows, &facts.job.model.card);
    json!({
        "subjects": rows.score.len(),
        "scored": facts.population.scored,
        "statuses": counts(facts, card.status.iter().map(|s| s.get_ref().name.as_str()), rows.status.iter().map(|s| usize::from(*s))),
        "segments": counts(facts, card.segment.iter().map(|s| s.get_ref().name.as_str()), rows.segment.iter().map(|s| usize::from(*s))),
    })
}

pub(super) fn scored(population: &Population) -> impl Iterator<Item = (usize, i64)> {
    population.rows.score.iter().enumerate().filter(|(_, s)| **s != NONE).map(|(n, s)| (n, i64::from(*s)))
}

fn scores(facts: &Facts) -> Value {
    let card = &facts.job.model.card;
    let mut all: Vec<i64> = scored(facts.population).map(|(_, s)| s).collect();
    all.sort_unstable();
    let quantile = |q: usize| all.get((all.len().saturating_sub(1)) * q / 100);
    let mean = all.iter().sum::<i64>() as f64 / all.len().max(1) as f64;
    let width = 25;
    let steps = usize::try_from(card.range() / width + 1).unwrap_or(0);
    let mut histogram = vec![0_u64; steps];
    for s in &all {
        let step = usize::try_from((s - card.scale.low) / width).unwrap_or(0);
        histogram[step.min(steps - 1)] += 1;
    }
    let histogram: Vec<Value> = (0_i64..)
        .zip(&histogram)
        .map(|(n, count)| json!({ "from": card.scale.low + n * width, "subjects": cell(facts, *count) }))
        .collect();
    let names: Vec<&str> = card.band.iter().map(|b| b.get_ref().name.as_str()).collect();
    let band = |s: i64| names.iter().position(|n| *n == card.band(s)).unwrap_or(0);
    json!({
        "mean": of_many(facts, all.len(), json!(mean)),
        "quantiles": of_many(facts, all.len(), json!({ "p01": quantile(1), "p05": quantile(5), "p25": quantile(25), "p50": quantile(50), "p75": quantile(75), "p95": quantile(95), "p99": quantile(99) })),
        "bands": counts(facts, names.iter().copied(), all.iter().map(|s| band(*s))),
        "histogram": histogram,
        "pd_calibrated": false,
    })
}

fn features(facts: &Facts) -> Value {
    let features = facts.job.card.features.iter().zip(&facts.population.bins).map(|(feature, counts)| {
        let declared = facts.job.model.catalogue.feature(&feature.name).map(|f| &f.declared);
        let bins: Vec<Value> = counts
            .iter()
            .enumerate()
            .map(|(n, c)| json!({ "bin": feature.label(n), "share": feature.shares[n], "subjects": cell(facts, *c) }))
            .collect();
        let value = json!({
            "category": CATEGORIES[feature.category],
            "about": declared.map(|d| d.about.as_str()),
            "unit": declared.map(|d| d.unit.word()),
            "names_codes": declared.and_then(|d| d.names_codes.as_deref()),
            "bins": bins,
        });
        (feature.name.clone(), value)
    });
    Value::Object(features.collect())
}

fn policy(facts: &Facts) -> Value {
    let rules = facts.job.model.card.policy.iter().enumerate().map(|(n, rule)| {
        let rule = rule.get_ref();
        let hit = facts.population.rows.policy.iter().filter(|p| p.is_some_and(|p| usize::from(p) == n)).count();
        (rule.code.clone(), json!({ "about": rule.about, "cap": rule.cap, "subjects": cell(facts, hit as u64) }))
    });
    Value::Object(rules.collect())
}

fn disputes(facts: &Facts) -> Value {
    let rows = &facts.population.rows;
    let subjects = rows.disputed.iter().filter(|d| **d > 0).count() as u64;
    let records: i64 = rows.disputed.iter().map(|d| i64::from(*d)).sum();
    json!({ "records": records, "subjects": cell(facts, subjects), "by_table": facts.data.disputes })
}

fn consents(facts: &Facts) -> Value {
    let with = |bit: u8| cell(facts, facts.data.subjects.consents.iter().filter(|c| **c & bit != 0).count() as u64);
    let given = facts.job.exports.iter().any(|e| e.table.name == "consents");
    json!({
        "table_given": given,
        "statement": facts.job.pipeline.settings.consent_statement,
        "score": with(SCORE),
        "network": with(NETWORK),
    })
}

fn privileges(facts: &Facts) -> Value {
    let privileges = facts.job.model.card.privilege.iter().map(|privilege| {
        let privilege = privilege.get_ref();
        let open = scored(facts.population).filter(|(_, s)| *s >= privilege.from).count() as u64;
        (privilege.name.clone(), json!({ "from": privilege.from, "subjects": cell(facts, open) }))
    });
    Value::Object(privileges.collect())
}

/// Quality by horizon; the horizon with most outcomes, of several the longest, stands at the top.
fn quality_by_horizon(facts: &Facts) -> Value {
    let mut horizons: Vec<(i64, Vec<(i64, bool)>)> = Vec::new();
    for group in facts.data.outcomes.chunk_by(|a, b| a.horizon_days == b.horizon_days) {
        let score = |o: &Outcome| facts.population.rows.score[o.subject as usize];
        let scored = group.iter().filter(|o| score(o) != NONE);
        horizons.push((group[0].horizon_days, scored.map(|o| (i64::from(score(o)), o.bad)).collect()));
    }
    let Some(main) = horizons.iter().max_by_key(|(days, pairs)| (pairs.len(), *days)) else { return Value::Null };
    let mut value = quality_by_band(facts, main.0, &main.1);
    if let Some(object) = value.as_object_mut() {
        let others = horizons.iter().filter(|h| h.0 != main.0);
        let others = others.map(|(days, pairs)| quality_by_band(facts, *days, pairs));
        let others: Vec<Value> = others.filter(|q| !q.is_null()).collect();
        object.insert("other_horizons".into(), json!(others));
    }
    value
}

fn quality_by_band(facts: &Facts, horizon_days: i64, pairs: &[(i64, bool)]) -> Value {
    let Some(quality) = quality(pairs) else { return Value::Null };
    let card = &facts.job.model.card;
    let bands: Vec<Value> = card
        .band
        .iter()
        .map(|band| {
            let name = &band.get_ref().name;
            let of: Vec<bool> = pairs.iter().filter(|(s, _)| card.band(*s) == name).map(|p| p.1).collect();
            let bad = of.iter().filter(|b| **b).count() as u64;
            let small = cell(facts, of.len() as u64).is_null()
                || cell(facts, bad).is_null()
                || cell(facts, of.len() as u64 - bad).is_null();
            let rate = if of.is_empty() || small { Value::Null } else { json!(bad as f64 / of.len() as f64) };
            json!({ "band": name, "subjects": cell(facts, of.len() as u64), "bad_rate": rate })
        })
        .collect();
    of_many(
        facts,
        pairs.len(),
        json!({
            "horizon_days": horizon_days,
            "subjects": quality.subjects,
            "bad": cell(facts, quality.bad),
            "auc": quality.auc,
            "gini": quality.gini,
            "ks": quality.ks,
            "bands": bands,
        }),
    )
}

/// How far scores moved since the earlier published run; null when there is none.
fn drift(facts: &Facts) -> Value {
    let Some((previous, before)) = facts.previous else { return Value::Null };
    let shift = facts.now.shift(before);
    json!({
        "previous": { "run": previous.run, "as_of": previous.as_of, "model": previous.model },
        "score": of_many(facts, usize::try_from(facts.now.scored().min(before.scored())).unwrap_or(0), json!(shift)),
    })
}

fn provenance(facts: &Facts) -> Value {
    json!({
        "run": facts.run,
        "pipeline": facts.job.pipeline.settings.name,
        "as_of": facts.label.as_of,
        "known_by": facts.label.known_by,
        "model": facts.label.model,
        "model_hash": facts.label.model_hash,
        "program": facts.label.program,
        "currency": facts.job.pipeline.settings.currency,
    })
}

fn timings(facts: &Facts) -> Value {
    let stages: Vec<Value> = facts.timings.iter().map(|(name, s)| json!({ "stage": name, "seconds": s })).collect();
    json!({ "stages": stages, "seconds": facts.seconds, "peak_memory_bytes": peak_memory() })
}

/// The largest resident memory of the process so far, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The summary a person reads when the run ends.
fn text(facts: &Facts, json: &Value) -> String {
    let mut text = String::new();
    let population = facts.population;
    let subjects = population.rows.score.len() as u64;
    let share = 100.0 * population.scored as f64 / subjects.max(1) as f64;
    let _ = writeln!(
        text,
        "\n{} as of {}, model {}",
        facts.job.pipeline.settings.name, facts.label.as_of, facts.label.model
    );
    let _ =
        writeln!(text, "  {} subjects, {} scored ({share:.1} %)", thousands(subjects), thousands(population.scored));
    let line = |title: &str, value: &Value| -> String {
        let parts = value.as_object().into_iter().flatten().filter(|(_, v)| v.as_u64() != Some(0));
        let shown = parts.map(|(k, v)| format!("{k} {}", v.as_u64().map_or_else(|| "few".into(), thousands)));
        format!("  {title:<10} {}\n", shown.collect::<Vec<_>>().join(", "))
    };
    text += &line("statuses", &json["coverage"]["statuses"]);
    text += &line("segments", &json["coverage"]["segments"]);
    text += &line("bands", &json["scores"]["bands"]);
    for (table, rules) in json["quarantine"].as_object().into_iter().flatten() {
        let parts = rules.as_object().into_iter().flatten().map(|(rule, v)| format!("{rule} {}", v["rows"]));
        let _ = writeln!(text, "  quarantined {table}: {}", parts.collect::<Vec<_>>().join(", "));
    }
    for (table, count) in &facts.data.disputes {
        if count.without_record > 0 || count.of_several_subjects > 0 {
            let _ = writeln!(
                text,
                "  disputes about {table}: {} of {} match no visible record, {} match records of several subjects",
                count.without_record, count.disputes, count.of_several_subjects
            );
        }
    }
    if let Some(friends) = facts.friends {
        let (links, counted) = (thousands(friends.links), thousands(friends.counted));
        let _ = write!(text, "  friends    {links} links between {counted} subjects");
        let propagation = &json["propagation"];
        if let Some(quantiles) = propagation["lift"]["quantiles"].as_object() {
            let neutral = 100.0 * propagation["neutral_share"].as_f64().unwrap_or(0.0);
            let (low, high) = (&quantiles["p05"], &quantiles["p95"]);
            let _ = write!(text, "; {neutral:.1} % neutral, the others moved by {low} to {high} points (5 % to 95 %)");
        }
        text.push('\n');
    }
    if let Some(auc) = json["quality"]["auc"].as_f64() {
        let _ =
            writeln!(text, "  against outcomes: AUC {auc:.4}, KS {:.4}", json["quality"]["ks"].as_f64().unwrap_or(0.0));
    }
    for verdict in facts.verdicts {
        let mark = match (verdict.passed, &verdict.accepted) {
            (true, _) => "passed",
            (false, Some(_)) => "FAILED, accepted",
            (false, None) => "FAILED",
        };
        let found = verdict.measured.map_or_else(|| "nothing to compare with".to_owned(), |m| format!("{m:.4}"));
        let _ = writeln!(text, "  gate {} {mark}: {found} (limit {})", verdict.gate, verdict.limit);
    }
    let _ = write!(text, "  {:.1} s, run {}", facts.seconds, facts.run);
    text
}
