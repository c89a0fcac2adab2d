//! How well scores rank outcomes: of the whole population, by band, by segment and by category.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use super::scale::ScoreScale;
use crate::disclosure::neighbours::large;
use crate::disclosure::{DECIMALS, small};
use crate::ingest::settle::outcomes::Outcome;
use crate::pipeline::model::{CATEGORIES, Card};
use crate::score::rows::NONE;
use crate::statistics::calibration::Calibration;
use crate::statistics::proportion::{rounded, wilson};
use crate::statistics::ranking::{Difference, Level, Levels, Ranking, difference};

/// Scored subjects with an outcome, column by column.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// Their scores.
    pub scores: Vec<i16>,
    /// Their segments, by position in the model file.
    pub segments: Vec<u8>,
    /// Their points by category.
    pub points: [Vec<i16>; 5],
    /// Whether they went bad.
    pub bad: Vec<bool>,
}

/// Subjects by segment, in order of the model file.
#[derive(Debug, Clone, Default)]
pub struct Segments {
    /// Those with a score.
    pub scored: Vec<u64>,
    /// Those without.
    pub unscored: Vec<u64>,
}

impl Segments {
    /// Counts subjects by segment and whether they have a score.
    #[must_use]
    pub fn of(segments: usize, subjects: impl Iterator<Item = (u8, bool)>) -> Self {
        let mut found = Self { scored: vec![0; segments], unscored: vec![0; segments] };
        for (segment, scored) in subjects {
            let counts = if scored { &mut found.scored } else { &mut found.unscored };
            counts[usize::from(segment)] += 1;
        }
        found
    }
}

/// Outcomes in a part of the scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BadRate {
    /// The bands, where the part is made of bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<String>,
    /// Its lowest score.
    pub from: i64,
    /// The first score above it.
    pub below: i64,
    /// Subjects with an outcome.
    pub subjects: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Their share.
    pub bad_rate: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Mean nominal probability of going bad.
    pub nominal_pd: Option<f64>,
}

/// How well one segment is ranked. Nothing is told where few of it went bad or stayed good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentQuality {
    /// The segment.
    pub segment: String,
    /// Subjects with an outcome.
    pub subjects: Option<u64>,
    /// Those that went bad.
    pub bad: Option<u64>,
    /// Their share.
    pub bad_rate: Option<f64>,
    /// How well scores rank them.
    #[serde(flatten)]
    pub ranking: Option<Ranking>,
    /// Area under the ROC curve of each category's points alone.
    pub categories: BTreeMap<String, Option<f64>>,
}

/// What a category's points do for the ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CategoryQuality {
    /// The category.
    pub category: String,
    /// How well its points alone rank.
    pub alone: Option<Ranking>,
    /// How well the score ranks without its points.
    pub without: Option<Ranking>,
    /// The area of the score less that without the category: what the category adds.
    pub adds: Option<Difference>,
}

/// Quality over outcomes of one horizon. Parts of the scale in which few subjects went bad, stayed good or have no outcome are
/// joined with their neighbours. Where few of all subjects have no outcome, or no score, no count is told, and figures are rounded
/// so that none follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    /// Days over which outcomes were observed.
    pub horizon_days: i64,
    /// Scored subjects with an outcome.
    pub subjects: Option<u64>,
    /// Those that went bad.
    pub bad: Option<u64>,
    /// Their share.
    pub bad_rate: Option<f64>,
    /// How well scores rank them.
    #[serde(flatten)]
    pub ranking: Ranking,
    /// By band.
    pub bands: Vec<BadRate>,
    /// By finer cells of the scale.
    pub cells: Vec<BadRate>,
    /// The ROC curve at the ends of the cells: the share of good subjects below, and of bad ones.
    pub roc: Vec<(f64, f64)>,
    /// How the nominal odds fit; nothing when the model names none.
    pub calibration: Option<Calibration>,
    /// By segment.
    pub segments: Vec<SegmentQuality>,
    /// By category.
    pub categories: Vec<CategoryQuality>,
}

/// Quality by horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfHorizons {
    /// Over the horizon with most outcomes, of several the longest.
    #[serde(flatten)]
    pub main: Quality,
    /// Over the others.
    pub other_horizons: Vec<Quality>,
}

/// Quality by horizon; nothing where few went bad or stayed good.
pub(super) fn of_horizons(facts: &Facts, scale: &ScoreScale) -> Result<Option<OfHorizons>> {
    let rows = &facts.population.rows;
    let judged = |outcomes: &[Outcome]| -> Result<Judged> {
        let (mut judged, mut bins) = (Judged::default(), facts.population.subject_bins.reader());
        for outcome in outcomes {
            let s = outcome.subject as usize;
            if rows.score[s] != NONE {
                let mut points = [0; 5];
                for (to, points) in points.iter_mut().zip(facts.finished().points(s, bins.of(s)?)?.categories) {
                    *to = i16::try_from(points)?;
                }
                judged.push(rows.score[s], rows.segment[s], points, outcome.bad);
            }
        }
        Ok(judged)
    };
    let outcomes = facts.data.outcomes()?;
    let horizons = outcomes.chunk_by(|a, b| a.horizon_days == b.horizon_days);
    let mut horizons: Vec<(i64, Judged)> =
        horizons.map(|group| Ok((group[0].horizon_days, judged(group)?))).collect::<Result<_>>()?;
    horizons.sort_by_key(|(days, judged)| (std::cmp::Reverse(judged.len()), std::cmp::Reverse(*days)));
    let model = &facts.job.model.card;
    let subjects = rows.segment.iter().copied().zip(rows.score.iter().map(|s| *s != NONE));
    let who = Segments::of(model.segment.len(), subjects);
    let mut all = horizons.iter().filter_map(|(days, j)| j.quality(*days, model, scale, &who, facts.min_cell()));
    Ok(all.next().map(|main| OfHorizons { main, other_horizons: all.collect() }))
}

impl Judged {
    /// Adds a subject.
    pub fn push(&mut self, score: i16, segment: u8, points: [i16; 5], bad: bool) {
        self.scores.push(score);
        self.segments.push(segment);
        self.points.iter_mut().zip(points).for_each(|(all, one)| all.push(one));
        self.bad.push(bad);
    }

    /// Number of subjects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bad.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bad.is_empty()
    }

    fn levels<S: Copy + Into<i64>>(&self, scores: &[S]) -> Levels {
        Levels::of(scores.iter().map(|s| (*s).into()).zip(self.bad.iter().copied()))
    }

    /// The quality; nothing when few subjects went bad or stayed good.
    #[must_use]
    pub fn quality(
        &self,
        horizon_days: i64,
        card: &Card,
        scale: &ScoreScale,
        who: &Segments,
        min_cell: u64,
    ) -> Option<Quality> {
        let levels = self.levels(&self.scores);
        let all = levels.all();
        let fewest = min_cell.max(1);
        if all.good < fewest || all.bad < fewest {
            return None;
        }
        let nominal = card.scale.nominal;
        let by_score: BTreeMap<i64, (u64, u64)> = levels.iter().map(|(s, l)| (s, (l.good, l.bad))).collect();
        let of = |from: i64, below: i64| {
            let (good, bad) = by_score.range(from..below).fold((0, 0), |sum, (_, l)| (sum.0 + l.0, sum.1 + l.1));
            vec![good, bad, scale.scored(from, below).saturating_sub(good + bad)]
        };
        let breakdown = scale.broken_down(&of, min_cell);
        let rate = |bands: Vec<String>, from: i64, below: i64, counts: &[u64]| {
            let (subjects, bad) = (counts[0] + counts[1], counts[1]);
            let interval = (subjects > 0).then(|| wilson(bad, subjects));
            let pd = nominal.filter(|_| subjects > 0).map(|nominal| {
                let sum: f64 =
                    by_score.range(from..below).map(|(s, l)| (l.0 + l.1) as f64 * nominal.pd(*s as f64)).sum();
                rounded(sum / subjects as f64, 3)
            });
            BadRate {
                bands,
                from,
                below,
                subjects,
                bad,
                bad_rate: share(bad, subjects),
                low: interval.map(|i| rounded(i.0, DECIMALS)),
                high: interval.map(|i| rounded(i.1, DECIMALS)),
                nominal_pd: pd,
            }
        };
        let told = |counts: &[u64]| large(counts, min_cell);
        let counted = !scale.hides() && told(&of(i64::MIN, i64::MAX));
        let decimals = if counted { DECIMALS } else { 2 };
        let ranking = levels.ranking()?.rounded(decimals);
        let cells: Vec<BadRate> = breakdown
            .cells
            .iter()
            .filter(|(_, _, counts)| counted && told(counts))
            .map(|(from, below, counts)| rate(Vec::new(), *from, *below, counts))
            .collect();
        let bands = breakdown.bands.into_iter().filter(|(_, counts)| counted && told(counts));
        let bands = bands.map(|(row, counts)| rate(row.bands, row.from, row.below, &counts)).collect();
        let of_cell = |c: &BadRate| (c.from, Level { good: c.subjects - c.bad, bad: c.bad });
        let shown = |(x, y): (f64, f64)| (rounded(x, DECIMALS), rounded(y, DECIMALS));
        let roc = Levels::counted(cells.iter().map(of_cell)).roc().into_iter().map(shown).collect();
        Some(Quality {
            horizon_days,
            subjects: counted.then_some(all.good + all.bad),
            bad: counted.then_some(all.bad),
            bad_rate: share(all.bad, all.good + all.bad).filter(|_| counted),
            ranking,
            bands,
            cells,
            roc,
            calibration: nominal.filter(|_| counted).and_then(|n| n.calibration(&levels)).map(|c| c.rounded(DECIMALS)),
            segments: self.segments(card, who, counted, min_cell),
            categories: if counted { self.categories() } else { Vec::new() },
        })
    }

    fn segments(&self, card: &Card, who: &Segments, counted: bool, min_cell: u64) -> Vec<SegmentQuality> {
        let counts: Vec<[u64; 4]> = (0..card.segment.len())
            .map(|segment| {
                let of = self.segments.iter().zip(&self.bad).filter(|(s, _)| usize::from(**s) == segment);
                let (good, bad) = of.fold((0, 0), |(good, bad), (_, b)| (good + u64::from(!b), bad + u64::from(*b)));
                [good, bad, who.scored[segment].saturating_sub(good + bad), who.unscored[segment]]
            })
            .collect();
        let told = if counted { told_segments(&counts, min_cell) } else { vec![false; counts.len()] };
        let names = card.segment.iter().map(|s| s.get_ref().name.clone());
        names
            .enumerate()
            .map(|(segment, name)| {
                let [good, bad, ..] = counts[segment];
                let rows: Vec<usize> =
                    (0..self.len()).filter(|n| told[segment] && usize::from(self.segments[*n]) == segment).collect();
                let ranking = |scores: &[i16]| {
                    let of = rows.iter().map(|n| (i64::from(scores[*n]), self.bad[*n]));
                    Levels::of(of).ranking().map(|r| r.rounded(DECIMALS))
                };
                let alone = |c: usize| (CATEGORIES[c].to_owned(), ranking(&self.points[c]).map(|r| r.auc));
                SegmentQuality {
                    segment: name,
                    subjects: told[segment].then_some(good + bad),
                    bad: told[segment].then_some(bad),
                    bad_rate: share(bad, good + bad).filter(|_| told[segment]),
                    ranking: ranking(&self.scores),
                    categories: (0..CATEGORIES.len()).map(alone).collect(),
                }
            })
            .collect()
    }

    fn categories(&self) -> Vec<CategoryQuality> {
        let one = |(n, category): (usize, &&'static str)| {
            let scores: Vec<i32> = self.scores.iter().map(|score| i32::from(*score)).collect();
            let rest: Vec<i32> =
                scores.iter().zip(&self.points[n]).map(|(score, points)| score - i32::from(*points)).collect();
            CategoryQuality {
                category: (*category).to_owned(),
                alone: self.levels(&self.points[n]).ranking().map(|r| r.rounded(DECIMALS)),
                without: self.levels(&rest).ranking().map(|r| r.rounded(DECIMALS)),
                adds: difference(&scores, &rest, &self.bad).map(|d| d.rounded(DECIMALS)),
            }
        };
        CATEGORIES.iter().enumerate().map(one).collect()
    }
}

/// A share as it is shown; nothing of none.
fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| rounded(part as f64 / all as f64, DECIMALS))
}

/// The segments whose good and bad subjects may be told: none of what a segment is divided into is small, and what is not told is
/// together enough to hide every part.
fn told_segments<const C: usize>(counts: &[[u64; C]], min_cell: u64) -> Vec<bool> {
    let mut told: Vec<bool> = counts.iter().map(|c| c.iter().all(|n| !small(*n, min_cell))).collect();
    loop {
        let rest: Vec<&[u64; C]> = counts.iter().zip(&told).filter(|(_, told)| !**told).map(|(c, _)| c).collect();
        let sum = |c: usize| rest.iter().map(|r| r[c]).sum::<u64>();
        let enough = rest.len() > 1 && (0..C).all(|c| sum(c) == 0 || sum(c) >= min_cell + rest.len() as u64 - 1);
        if rest.is_empty() || enough {
            return told;
        }
        let next = (0..counts.len())
            .filter(|n| told[*n])
            .min_by_key(|n| (counts[*n].iter().all(|c| *c == 0), counts[*n].iter().sum::<u64>()));
        match next {
            Some(next) => told[next] = false,
            None => return told,
        }
    }
}
