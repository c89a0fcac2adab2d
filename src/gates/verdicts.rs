//! Gates: what a staged result must meet before it is published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::counts::{Counts, share, worst_growth, worst_jump};
use super::loss::TableChange;
use crate::pipeline::gates::Gates;
use crate::statistics::proportion::rounded;

/// One gate's verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Its key in the pipeline file.
    pub gate: String,
    /// Whether the result meets it, or need not.
    pub passed: bool,
    /// What was measured; null where there was nothing to measure against, or it would tell a small count of subjects.
    pub measured: Option<f64>,
    /// The limit.
    pub limit: f64,
    /// What was measured, in words, and where to look when it failed.
    pub message: String,
    /// Why a gate that failed was overridden.
    pub accepted: Option<String>,
}

/// The keys of all gates.
pub const GATES: [&str; 8] = [
    "max_quarantined_share",
    "min_scored_share",
    "max_psi",
    "max_quarantined_growth",
    "max_band_jump",
    "propagation_converged",
    "max_age_days",
    "max_rows_lost",
];

/// What gates are checked on.
pub struct Measured<'a> {
    /// The staged result.
    pub now: &'a Counts,
    /// The published run it is compared with.
    pub before: Option<&'a Counts>,
    /// What does not hold of published runs that should have been compared with.
    pub broken: &'a [String],
    /// Whether propagation stayed within its bound in every round; nothing when there was none.
    pub converged: Option<bool>,
    /// Where bands begin, and their names.
    pub bands: &'a [(i64, String)],
    /// How old the newest record of each table is.
    pub ages: &'a [TableAge],
    /// What changed in the exports since the runs it is compared with; nothing when there is none.
    pub changes: Option<&'a [TableChange]>,
    /// The smallest count of subjects that may be told.
    pub min_cell: u64,
}

/// How old the newest visible record of a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAge {
    /// The table.
    pub table: String,
    /// Its day, as people write it; nothing when no record is visible.
    pub newest: Option<String>,
    /// Days from it to the as-of date; without one, from the first date that the contract allows, which a limit may admit.
    pub days: i64,
    /// The most days allowed.
    pub limit: u32,
}

impl TableAge {
    fn passes(&self) -> bool {
        self.days <= i64::from(self.limit)
    }

    /// Days from the newest record to the as-of date; nothing when none is visible.
    #[must_use]
    pub fn told(&self) -> Option<i64> {
        self.newest.is_some().then_some(self.days)
    }
}

/// Said instead of a figure that would tell a small count.
const UNTOLD: &str = "too few subjects are scored, or are not scored, for the figure to be told";

/// Checks every gate that is set.
#[must_use]
pub fn check(gates: &Gates, measured: &Measured) -> Vec<Verdict> {
    let now = measured.now;
    let mut verdicts = not_comparable(gates, measured.broken);
    // What cannot be compared with what it should be is not let pass by a comparison with something else.
    let gates = match measured.broken {
        [] => gates.clone(),
        _ => Gates {
            max_psi: None,
            max_quarantined_growth: None,
            max_band_jump: None,
            max_rows_lost: None,
            ..gates.clone()
        },
    };
    let mut verdict = |gate: &str, passed, found: Option<f64>, limit, message: String| {
        verdicts.push(Verdict { gate: gate.to_owned(), passed, measured: found, limit, message, accepted: None });
    };
    if let Some(limit) = gates.max_quarantined_share {
        let worst = now.quarantined.iter().max_by(|a, b| share(*a.1).total_cmp(&share(*b.1)));
        let (table, found) = worst.map_or(("", 0.0), |(t, c)| (t.as_str(), share(*c)));
        let message = match found > 0.0 {
            true => format!(
                "{:.2} % of the visible rows of {table} are quarantined; see quarantine/{table}.parquet",
                100.0 * found
            ),
            false => "no row is quarantined".to_owned(),
        };
        verdict("max_quarantined_share", found <= limit, Some(found), limit, message);
    }
    if let Some(limit) = gates.min_scored_share {
        let found = share((now.scored(), now.subjects));
        let told = now.told(measured.min_cell).then_some(found);
        let message = told.map_or_else(
            || UNTOLD.to_owned(),
            |found| {
                let share = 100.0 * found;
                format!(
                    "{share:.1} % of the subjects have a score; see coverage in audit.json for why the others have none"
                )
            },
        );
        verdict("min_scored_share", found >= limit, told, limit, message);
    }
    let nothing = || "there is no earlier published run to compare with".to_owned();
    if let Some(limit) = gates.max_psi {
        match measured.before.and_then(|b| Some((b, now.shift(b)?))) {
            None => verdict("max_psi", true, None, limit, nothing()),
            Some((before, shift)) => {
                let told = now.told(measured.min_cell) && before.told(measured.min_cell);
                let figures = format!(
                    "scores moved by a PSI of {:.4} since {} (chance alone stays below {:.4}); see drift and features in audit.json, \
                     and which inputs changed",
                    shift.psi, before.of, shift.by_chance
                );
                let message = if told { figures } else { UNTOLD.to_owned() };
                let psi = (shift.psi * 10_000.0).round() / 10_000.0;
                verdict("max_psi", shift.psi <= limit.max(shift.by_chance), told.then_some(psi), limit, message);
            }
        }
    }
    if let Some(limit) = gates.max_quarantined_growth {
        match measured.before {
            None => verdict("max_quarantined_growth", true, None, limit, nothing()),
            Some(before) => {
                let (table, found, fails) = worst_growth(before, now, limit);
                let message = match table {
                    Some(table) => format!(
                        "the quarantined share of {table} is {found:.2} times that of {}; see quarantine/{table}.parquet",
                        before.of
                    ),
                    None => "no table has quarantined rows".to_owned(),
                };
                verdict("max_quarantined_growth", !fails, Some(found), limit, message);
            }
        }
    }
    if let Some(limit) = gates.max_band_jump {
        match measured.before.filter(|b| b.scored() > 0 && now.scored() > 0) {
            None => verdict("max_band_jump", true, None, limit, nothing()),
            Some(before) => {
                let (band, found, fails) = worst_jump(before, now, measured.bands, limit);
                let told = [now, before]
                    .iter()
                    .all(|c| c.told(measured.min_cell) && c.bands_told(measured.bands, measured.min_cell));
                let figures = format!(
                    "the share of the band {band} changed by {:.1} percentage points since {}; see scores and drift in audit.json",
                    100.0 * found,
                    before.of
                );
                let message =
                    if told { figures } else { "a band has too few subjects for the figure to be told".to_owned() };
                verdict("max_band_jump", !fails, told.then_some(found), limit, message);
            }
        }
    }
    if let (Some(true), Some(converged)) = (gates.propagation_converged, measured.converged) {
        let message = match converged {
            true => "every round of propagation stayed within its bound",
            false => "a round of propagation changed more than its bound allows; see propagation in audit.json",
        };
        let found = Some(f64::from(u8::from(converged)));
        verdict("propagation_converged", converged, found, 1.0, message.to_owned());
    }
    if gates.max_age_days.is_some() {
        verdicts.push(age(measured.ages));
    }
    if let Some(limit) = gates.max_rows_lost {
        verdicts.push(loss(limit, measured.changes));
    }
    verdicts
}

/// The gates that compare with published runs, failed because of runs that are not as they were published.
fn not_comparable(gates: &Gates, broken: &[String]) -> Vec<Verdict> {
    let compare = [
        ("max_psi", gates.max_psi),
        ("max_quarantined_growth", gates.max_quarantined_growth),
        ("max_band_jump", gates.max_band_jump),
        ("max_rows_lost", gates.max_rows_lost),
    ];
    let failed = |(gate, limit): (&'static str, Option<f64>)| {
        let message = format!(
            "a run it should be compared with is not as it was published ({}); put it back from a copy",
            broken.join("; ")
        );
        Some(Verdict { gate: gate.to_owned(), passed: false, measured: None, limit: limit?, message, accepted: None })
    };
    compare.into_iter().filter(|_| !broken.is_empty()).filter_map(failed).collect()
}

/// Whether the newest record of every table is new enough.
fn age(ages: &[TableAge]) -> Verdict {
    // One that fails comes before one that is only old.
    let worst = ages.iter().max_by_key(|a| (!a.passes(), a.days));
    let message = match worst {
        None => "no table that grows all the time is given".to_owned(),
        Some(TableAge { table, newest: Some(newest), days, .. }) => {
            format!("the newest visible row of {table} is of {newest}, {days} days before the as-of date")
        }
        Some(TableAge { table, .. }) => format!("{table} has no visible row; is its export complete?"),
    };
    Verdict {
        gate: "max_age_days".to_owned(),
        passed: worst.is_none_or(TableAge::passes),
        measured: worst.and_then(TableAge::told).map(|days| days as f64),
        limit: worst.map_or(0.0, |a| f64::from(a.limit)),
        message,
        accepted: None,
    }
}

/// Whether no table lost more rows than it may, and nothing vanished.
fn loss(limit: f64, changes: Option<&[TableChange]>) -> Verdict {
    let (compared, changes) = (changes.is_some(), changes.unwrap_or_default());
    let vanished: Vec<String> = changes.iter().filter_map(TableChange::vanished).collect();
    let worst = changes.iter().max_by(|a, b| a.lost().total_cmp(&b.lost()));
    let found = worst.map_or(0.0, TableChange::lost);
    let message = match worst {
        _ if !vanished.is_empty() => format!("{}; see what changed in audit.html", vanished.join("; ")),
        None if compared => "no table has fewer rows".to_owned(),
        None => "there is no earlier published run to compare with".to_owned(),
        Some(_) if found == 0.0 => "no table has fewer rows".to_owned(),
        Some(w) => {
            format!("{} has {} rows, {:.2} % fewer than {} before", w.table, w.rows[1], 100.0 * found, w.rows[0])
        }
    };
    Verdict {
        gate: "max_rows_lost".to_owned(),
        passed: vanished.is_empty() && found <= limit,
        measured: compared.then(|| rounded(found, 4)),
        limit,
        message,
        accepted: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(scores: &[(usize, u64)], quarantined: (u64, u64)) -> Counts {
        let mut by_score = vec![0; 951];
        scores.iter().for_each(|(s, n)| by_score[*s] = *n);
        Counts {
            of: "yesterday".into(),
            quarantined: BTreeMap::from([("repayments".to_owned(), quarantined)]),
            subjects: scores.iter().map(|s| s.1).sum::<u64>() + 100,
            scores: by_score,
        }
    }

    fn failed(before: &Counts, now: &Counts) -> Vec<String> {
        let gates = Gates {
            max_quarantined_share: Some(0.5),
            min_scored_share: Some(0.5),
            max_psi: Some(0.25),
            max_quarantined_growth: Some(2.0),
            max_band_jump: Some(0.1),
            propagation_converged: Some(true),
            max_age_days: None,
            max_rows_lost: None,
        };
        let bands = [(350, "poor".to_owned()), (600, "good".to_owned())];
        let measured = Measured {
            now,
            before: Some(before),
            broken: &[],
            converged: Some(true),
            bands: &bands,
            ages: &[],
            changes: None,
            min_cell: 1,
        };
        check(&gates, &measured).into_iter().filter(|v| !v.passed).map(|v| v.gate).collect()
    }

    #[test]
    fn each_gate_stops_what_it_is_for_and_nothing_else() {
        let usual: Vec<(usize, u64)> = (400..800).map(|s| (s, 100)).collect();
        let before = counts(&usual, (50, 100_000));
        assert!(failed(&before, &before).is_empty());
        assert_eq!(failed(&before, &counts(&usual, (100, 100_000))), ["max_quarantined_growth"]);
        let shifted: Vec<(usize, u64)> = (480..880).map(|s| (s, 100)).collect();
        assert_eq!(failed(&before, &counts(&shifted, (50, 100_000))), ["max_psi", "max_band_jump"]);
        assert_eq!(failed(&before, &counts(&[(700, 10)], (50, 100_000))), ["min_scored_share", "max_band_jump"]);
    }

    #[test]
    fn small_populations_are_not_stopped_by_chance() {
        let before = counts(&[(500, 6), (700, 6)], (1, 50));
        assert_eq!(failed(&before, &counts(&[(500, 4), (700, 8)], (2, 50))), ["min_scored_share"]);
    }
}
