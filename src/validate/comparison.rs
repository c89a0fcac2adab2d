//! Two runs, or two models, on the same subjects and outcomes.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::outcomes::{Outcomes, Rows};
use super::scored::ScoredTable;
use crate::disclosure::{DECIMALS, part, small};
use crate::pipeline::model::CATEGORIES;
use crate::runs::kept::KeptRun;
use crate::score::rows::NONE;
use crate::statistics::ranking::{Difference, Levels, Ranking, difference};
use crate::tables::ids::matched;
use jiff::civil::Date;

/// The areas under two ROC curves over the same subjects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Areas {
    /// What is compared: the score, a segment, or a category's points alone.
    pub of: String,
    /// How well A ranks.
    pub a: Option<Ranking>,
    /// How well B ranks.
    pub b: Option<Ranking>,
    /// B less A, with DeLong's interval and test.
    pub difference: Option<Difference>,
}

impl Areas {
    fn rounded(self, decimals: i32) -> Self {
        let ranking = |r: Option<Ranking>| r.map(|r| r.rounded(decimals));
        Self {
            of: self.of,
            a: ranking(self.a),
            b: ranking(self.b),
            difference: self.difference.map(|d| d.rounded(decimals)),
        }
    }
}

/// Two runs on outcomes of one horizon. Where counts are not told, figures are coarser and parts are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Horizon {
    /// Days over which outcomes were observed.
    pub horizon_days: i64,
    /// Subjects with an outcome that both score; nothing where few that one of them scores are not among them.
    pub subjects: Option<u64>,
    /// Those that went bad.
    pub bad: Option<u64>,
    /// The scores.
    pub scores: Areas,
    /// The scores within each segment of A; left out where few went bad or stayed good.
    pub segments: Vec<Areas>,
    /// The points of each category alone.
    pub categories: Vec<Areas>,
}

/// Two runs on the same outcomes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs.
    pub runs: [String; 2],
    /// Their models.
    pub models: [String; 2],
    /// Their as-of date.
    pub as_of: Date,
    /// What became of the outcomes' rows.
    pub outcomes: Rows,
    /// By horizon.
    pub horizons: Vec<Horizon>,
}

/// A subject that both runs score and its outcome: its places in A and B.
type Pair = (usize, usize, bool);

/// Whether two runs can be held against the same outcomes.
///
/// # Errors
/// When they are of different dates.
pub fn of_one_date(a: &KeptRun, b: &KeptRun) -> Result<()> {
    let (a, b) = (&a.manifest.parameters().as_of, &b.manifest.parameters().as_of);
    ensure!(a == b, "the runs are as of {a} and {b}; outcomes follow one date, so compare two runs of the same");
    Ok(())
}

/// Compares two runs of one as-of date. `outcomes` are those of A's subjects.
#[must_use]
pub fn compare(
    (a, one): (&KeptRun, &ScoredTable),
    (b, other): (&KeptRun, &ScoredTable),
    outcomes: Outcomes,
) -> Comparison {
    let (pa, pb) = (a.manifest.parameters(), b.manifest.parameters());
    let mut place = vec![None; one.scores.len()];
    matched(&one.ids, &other.ids, &mut |i, j| {
        if let (Some(i), Some(j)) = (i, j) {
            place[i] = Some(j);
        }
    });
    let min_cell = a.pipeline.settings.privacy.min_cell.max(b.pipeline.settings.privacy.min_cell).max(1);
    let mut horizons = Vec::new();
    for group in outcomes.outcomes.chunk_by(|x, y| x.horizon_days == y.horizon_days) {
        let pair = |subject: u32, bad: bool| -> Option<Pair> {
            let i = subject as usize;
            let j = place[i].filter(|j| one.scores[i] != NONE && other.scores[*j] != NONE)?;
            Some((i, j, bad))
        };
        let pairs: Vec<Pair> = group.iter().filter_map(|o| pair(o.subject, o.bad)).collect();
        let bad = pairs.iter().filter(|p| p.2).count() as u64;
        if bad < min_cell || pairs.len() as u64 - bad < min_cell {
            continue;
        }
        let scored = |t: &ScoredTable| t.scores.iter().filter(|s| **s != NONE).count() as u64;
        let told = [one, other].iter().all(|t| part(pairs.len() as u64, scored(t), min_cell).is_some());
        horizons.push(Horizon {
            horizon_days: group[0].horizon_days,
            subjects: told.then_some(pairs.len() as u64),
            bad: told.then_some(bad),
            scores: areas("score", &pairs, &|i| i64::from(one.scores[i]), &|j| i64::from(other.scores[j]))
                .rounded(if told { DECIMALS } else { 2 }),
            segments: if told { segments(a, one, other, &pairs, min_cell) } else { Vec::new() },
            categories: CATEGORIES
                .iter()
                .enumerate()
                .filter(|_| told)
                .map(|(c, name)| {
                    areas(name, &pairs, &|i| one.points(i)[c].into(), &|j| other.points(j)[c].into()).rounded(DECIMALS)
                })
                .collect(),
        });
    }
    Comparison {
        runs: [a.run.id.clone(), b.run.id.clone()],
        models: [pa.model.clone(), pb.model.clone()],
        as_of: pa.as_of,
        outcomes: outcomes.rows,
        horizons,
    }
}

fn segments(a: &KeptRun, one: &ScoredTable, other: &ScoredTable, pairs: &[Pair], min_cell: u64) -> Vec<Areas> {
    let of = |(n, segment): (usize, &toml::Spanned<crate::pipeline::model::Segment>)| {
        let within: Vec<Pair> = pairs.iter().filter(|p| usize::from(one.segments[p.0]) == n).copied().collect();
        let bad = within.iter().filter(|p| p.2).count() as u64;
        let good = within.len() as u64 - bad;
        let few = bad == 0 || good == 0 || small(bad, min_cell) || small(good, min_cell);
        let scores = |i: usize| i64::from(one.scores[i]);
        (!few).then(|| {
            areas(&segment.get_ref().name, &within, &scores, &|j| i64::from(other.scores[j])).rounded(DECIMALS)
        })
    };
    a.model.card.segment.iter().enumerate().filter_map(of).collect()
}

fn areas(of: &str, pairs: &[Pair], a: &dyn Fn(usize) -> i64, b: &dyn Fn(usize) -> i64) -> Areas {
    let (first, second): (Vec<i64>, Vec<i64>) = pairs.iter().map(|p| (a(p.0), b(p.1))).unzip();
    let bad: Vec<bool> = pairs.iter().map(|p| p.2).collect();
    let ranking = |scores: &[i64]| Levels::of(scores.iter().copied().zip(bad.iter().copied())).ranking();
    Areas { of: of.to_owned(), a: ranking(&first), b: ranking(&second), difference: difference(&second, &first, &bad) }
}
