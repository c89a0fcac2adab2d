//! How well a score ranks outcomes: the area under the ROC curve with its interval, Gini, Kolmogorov–Smirnov, and whether one
//! score ranks better than another.
//!
//! The area is the probability that a good subject has the higher score than a bad one, ties half (Mann and Whitney, 1947). Its
//! variance, and the covariance of two areas over the same subjects, are those of DeLong, DeLong and Clarke-Pearson (1988): of
//! each subject, the share of the other class that it is ranked correctly against. A subject's share depends on its score alone,
//! so all of it is worked out from the counts by score (Sun and Xu, 2014).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proportion::{Z95, normal_cdf, rounded};

/// Good and bad subjects by score; scores are points, so they lie close together.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    low: i64,
    levels: Vec<Level>,
}

/// The subjects of one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// Good ones.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
}

/// Ranking quality of scores against outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ranking {
    /// Area under the ROC curve.
    pub auc: f64,
    /// Lower end of its 95 % interval; nothing with a single good or bad subject.
    pub auc_low: Option<f64>,
    /// Upper end.
    pub auc_high: Option<f64>,
    /// 2·AUC − 1.
    pub gini: f64,
    /// Largest distance between the cumulative shares of bad and good.
    pub ks: f64,
}

/// The areas of two scores over the same subjects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The first less the second.
    pub difference: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The chance of a difference of this size or more if there were none; nothing when the two never differ.
    pub p_value: Option<f64>,
}

impl Ranking {
    /// The same to so many decimals: an exact area is a fraction that tells how many subjects it is of.
    #[must_use]
    pub fn rounded(self, decimals: i32) -> Self {
        Self {
            auc: rounded(self.auc, decimals),
            auc_low: self.auc_low.map(|v| rounded(v, decimals)),
            auc_high: self.auc_high.map(|v| rounded(v, decimals)),
            gini: rounded(self.gini, decimals),
            ks: rounded(self.ks, decimals),
        }
    }
}

impl Difference {
    /// The same to so many decimals.
    #[must_use]
    pub fn rounded(self, decimals: i32) -> Self {
        Self {
            difference: rounded(self.difference, decimals),
            low: rounded(self.low, decimals),
            high: rounded(self.high, decimals),
            p_value: self.p_value.map(|p| rounded(p, decimals)),
        }
    }
}

impl Levels {
    /// Counts scores with outcomes.
    #[must_use]
    pub fn of(pairs: impl Iterator<Item = (i64, bool)> + Clone) -> Self {
        Self::counted(pairs.map(|(score, bad)| (score, Level { good: u64::from(!bad), bad: u64::from(bad) })))
    }

    /// Adds up subjects that are counted by score, or by cells of scores.
    #[must_use]
    pub fn counted(levels: impl Iterator<Item = (i64, Level)> + Clone) -> Self {
        let scores = || levels.clone().map(|l| l.0);
        let (Some(low), Some(high)) = (scores().min(), scores().max()) else { return Self::default() };
        let mut found = Self { low, levels: Vec::new() };
        found.levels.resize(found.place(high) + 1, Level::default());
        for (score, level) in levels {
            let at = found.place(score);
            found.levels[at].good += level.good;
            found.levels[at].bad += level.bad;
        }
        found
    }

    /// Where a score stands; none is below the lowest.
    fn place(&self, score: i64) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "scores lie within a scale of 32,000 points")]
        let place = self.low.abs_diff(score) as usize;
        place
    }

    /// Every score that someone has, with its subjects, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Level)> + '_ {
        (self.low..).zip(&self.levels).map(|(score, level)| (score, *level)).filter(|(_, l)| l.good + l.bad > 0)
    }

    /// All subjects.
    #[must_use]
    pub fn all(&self) -> Level {
        self.levels.iter().fold(Level::default(), |sum, l| Level { good: sum.good + l.good, bad: sum.bad + l.bad })
    }

    /// The ranking quality; nothing when all outcomes are alike.
    #[must_use]
    pub fn ranking(&self) -> Option<Ranking> {
        let all = self.all();
        if all.good == 0 || all.bad == 0 {
            return None;
        }
        let (mut below, mut twice_wins, mut ks) = (Level::default(), 0_u128, 0.0_f64);
        for (_, level) in self.iter() {
            twice_wins += u128::from(level.good) * u128::from(2 * below.bad + level.bad);
            below = Level { good: below.good + level.good, bad: below.bad + level.bad };
            ks = ks.max((below.bad as f64 / all.bad as f64 - below.good as f64 / all.good as f64).abs());
        }
        let auc = twice_wins as f64 / (2.0 * all.bad as f64 * all.good as f64);
        let spread = self.variance().map(|variance| Z95 * variance.sqrt());
        Some(Ranking {
            auc,
            auc_low: spread.map(|s| (auc - s).max(0.0)),
            auc_high: spread.map(|s| (auc + s).min(1.0)),
            gini: 2.0 * auc - 1.0,
            ks,
        })
    }

    /// The variance of the area; nothing with a single good or bad subject.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let all = self.all();
        if all.good < 2 || all.bad < 2 {
            return None;
        }
        let placements = self.placements();
        let spread = |of: &dyn Fn(&Placement) -> (u64, f64), n: u64| {
            let mean = placements.iter().map(|p| of(p).0 as f64 * of(p).1).sum::<f64>() / n as f64;
            placements.iter().map(|p| of(p).0 as f64 * (of(p).1 - mean).powi(2)).sum::<f64>() / (n - 1) as f64
        };
        Some(
            spread(&|p| (p.level.good, p.good), all.good) / all.good as f64
                + spread(&|p| (p.level.bad, p.bad), all.bad) / all.bad as f64,
        )
    }

    /// The ROC curve of bad subjects by falling score threshold, from (0, 0): of good subjects at or below each score the share,
    /// and of bad ones.
    #[must_use]
    pub fn roc(&self) -> Vec<(f64, f64)> {
        let all = self.all();
        let mut below = Level::default();
        let points = self.iter().map(|(_, level)| {
            below = Level { good: below.good + level.good, bad: below.bad + level.bad };
            (below.good as f64 / all.good.max(1) as f64, below.bad as f64 / all.bad.max(1) as f64)
        });
        std::iter::once((0.0, 0.0)).chain(points).collect()
    }

    /// Of each of the rows that were counted, by its score.
    #[must_use]
    pub fn by_row(&self, scores: &[i64]) -> Placements {
        let placements = self.placements();
        let of = |score: &i64| &placements[self.place(*score)];
        Placements(scores.iter().map(|s| (of(s).good, of(s).bad)).collect())
    }

    /// By place.
    fn placements(&self) -> Vec<Placement> {
        let all = self.all();
        let mut below = Level::default();
        let place = |level: &Level| {
            let bad_below = below.bad as f64 + level.bad as f64 / 2.0;
            let good_above = (all.good - below.good - level.good) as f64 + level.good as f64 / 2.0;
            below = Level { good: below.good + level.good, bad: below.bad + level.bad };
            Placement { level: *level, good: bad_below / all.bad as f64, bad: good_above / all.good as f64 }
        };
        self.levels.iter().map(place).collect()
    }
}

/// The share of the other class that each row is ranked correctly against.
#[derive(Debug)]
pub struct Placements(Vec<(f64, f64)>);

impl Placements {
    /// Of a good row: the share of the bad ones.
    #[must_use]
    pub fn good(&self, row: usize) -> f64 {
        self.0[row].0
    }

    /// Of a bad row: the share of the good ones.
    #[must_use]
    pub fn bad(&self, row: usize) -> f64 {
        self.0[row].1
    }
}

/// The share of the other class that the subjects of a score are ranked correctly against.
struct Placement {
    level: Level,
    /// For good subjects: of the bad ones.
    good: f64,
    /// For bad subjects: of the good ones.
    bad: f64,
}

/// Whether the first score ranks better than the second; subjects in the same order. Nothing with fewer than two good or bad
/// ones.
#[must_use]
pub fn difference<S: Copy + Into<i64>>(first: &[S], second: &[S], bad: &[bool]) -> Option<Difference> {
    let levels = |scores: &[S]| Levels::of(scores.iter().map(|s| (*s).into()).zip(bad.iter().copied()));
    let (a, b) = (levels(first), levels(second));
    let all = a.all();
    if all.good < 2 || all.bad < 2 {
        return None;
    }
    let (pa, pb) = (a.placements(), b.placements());
    // Of each subject, by how much the first score places it better.
    let better = |n: usize| {
        let (pa, pb) = (&pa[a.place(first[n].into())], &pb[b.place(second[n].into())]);
        if bad[n] { pa.bad - pb.bad } else { pa.good - pb.good }
    };
    let spread = |class: bool, count: u64| {
        let of_class = || (0..bad.len()).filter(|n| bad[*n] == class).map(better);
        let mean = of_class().sum::<f64>() / count as f64;
        (mean, of_class().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1) as f64 / count as f64)
    };
    let ((difference, of_good), (_, of_bad)) = (spread(false, all.good), spread(true, all.bad));
    let error = (of_good + of_bad).sqrt();
    Some(Difference {
        difference,
        low: Z95.mul_add(-error, difference),
        high: Z95.mul_add(error, difference),
        p_value: (error > 0.0).then(|| 2.0 * normal_cdf(-(difference / error).abs())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pairs: &[(i64, bool)]) -> Option<Ranking> {
        Levels::of(pairs.iter().copied()).ranking()
    }

    #[test]
    fn known_orders_have_known_quality() {
        let perfect = of(&[(1, true), (2, true), (3, false)]).unwrap();
        assert_eq!((perfect.auc, perfect.gini, perfect.ks), (1.0, 1.0, 1.0));
        let none = of(&[(1, true), (1, false)]).unwrap();
        assert_eq!((none.auc, none.ks), (0.5, 0.0));
        assert_eq!(of(&[(1, false)]), None);
    }

    /// What a good and a bad subject, each with two scores, are worth together.
    type Pairwise = dyn Fn(&(i64, i64, bool), &(i64, i64, bool)) -> f64;

    fn wins(good: i64, bad: i64) -> f64 {
        match good.cmp(&bad) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        }
    }

    proptest! {
        /// By every pair of a good and a bad subject.
        #[test]
        fn all_pairs_give_the_same(rows in proptest::collection::vec((0_i64..12, 0_i64..12, any::<bool>()), 4..60)) {
            let pick = |class: bool| rows.iter().filter(move |r| r.2 == class);
            let (good, bad) = (pick(false).count(), pick(true).count());
            prop_assume!(good > 1 && bad > 1);
            // Of each good subject the wins over the bad ones, and the other way round, by the first score and the difference.
            let part = |of: &Pairwise| {
                let by_good: Vec<f64> = pick(false).map(|g| pick(true).map(|b| of(g, b)).sum::<f64>() / bad as f64).collect();
                let by_bad: Vec<f64> = pick(true).map(|b| pick(false).map(|g| of(g, b)).sum::<f64>() / good as f64).collect();
                let mean = by_good.iter().sum::<f64>() / good as f64;
                let variance = |v: &[f64]| v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (v.len() - 1) as f64 / v.len() as f64;
                (mean, variance(&by_good) + variance(&by_bad))
            };
            let levels = Levels::of(rows.iter().map(|r| (r.0, r.2)));
            let (auc, variance) = part(&|g, b| wins(g.0, b.0));
            prop_assert!((levels.ranking().unwrap().auc - auc).abs() < 1e-12);
            prop_assert!((levels.variance().unwrap() - variance).abs() < 1e-12);
            let (expected, variance) = part(&|g, b| wins(g.0, b.0) - wins(g.1, b.1));
            let column = |of: &dyn Fn(&(i64, i64, bool)) -> i64| rows.iter().map(of).collect::<Vec<_>>();
            let bads: Vec<bool> = rows.iter().map(|r| r.2).collect();
            let found = difference(&column(&|r| r.0), &column(&|r| r.1), &bads).unwrap();
            prop_assert!((found.difference - expected).abs() < 1e-12);
            prop_assert!((found.high - found.low - 2.0 * Z95 * variance.sqrt()).abs() < 1e-9);
        }
    }
}
