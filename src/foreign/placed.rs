//! A foreign card's features in the catalogue: each has its place, in its unit, and its points run as the catalogue says.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::card::{ForeignCard, ForeignFeature};
use super::names::{Names, Target};
use crate::expression::{did_you_mean, product};
use crate::pipeline::catalogue::Direction;
use crate::pipeline::model::{CATEGORIES, RELATIONSHIPS};
use crate::pipeline::units::Units;
use crate::pipeline::{Finding, Findings, Model, Source};

/// A foreign feature in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Its name in the catalogue.
    pub name: String,
    /// Its name in the foreign card.
    pub foreign: String,
    /// What its edges were multiplied by.
    pub factor: f64,
    /// Where its bins meet, in the catalogue's unit.
    pub edges: Vec<f64>,
    /// Points by bin.
    pub points: Vec<Units>,
    /// Points of a missing value.
    pub missing: Units,
    /// Why its points may run against its direction, when they do.
    pub against_direction: Option<String>,
}

/// What a card is placed by.
pub struct Placing<'a> {
    /// The card, with points for every missing value.
    pub card: &'a ForeignCard,
    /// Its file.
    pub file: &'a Path,
    /// The map.
    pub names: &'a Names,
    /// Its file.
    pub map: &'a Source,
    /// The model whose catalogue holds the features.
    pub model: &'a Model,
}

impl Placing<'_> {
    /// The features in the order of the card.
    ///
    /// # Errors
    /// Every feature that is not mapped, or mapped to what it cannot be.
    pub fn placed(&self) -> Result<Vec<Placed>, Findings> {
        let mut findings = Findings::default();
        let foreign = || self.card.features.iter().map(|f| f.name.as_str());
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, target) in &self.names.features {
            if !foreign().any(|f| f == name) {
                let message = format!("the card has no feature `{name}`{}", did_you_mean(name, foreign()));
                findings.0.push(self.map.finding(&target.span(), message));
            }
            let feature = target.get_ref().feature();
            if let Some(other) = taken.insert(feature, name) {
                let message = format!("`{other}` and `{name}` are both mapped to `{feature}`; a feature counts once");
                findings.0.push(self.map.finding(&target.span(), message));
            }
        }
        let mut placed = Vec::new();
        for feature in &self.card.features {
            match self.names.features.get(&feature.name) {
                Some(target) => match self.one(feature, target.get_ref()) {
                    Ok(one) => placed.push(one),
                    Err(wrong) => findings.0.extend(wrong.into_iter().map(|m| self.map.finding(&target.span(), m))),
                },
                None => findings.0.push(self.unmapped(feature)),
            }
        }
        findings.or(placed)
    }

    fn unmapped(&self, feature: &ForeignFeature) -> Finding {
        let name = &feature.name;
        let catalogue = self.model.catalogue.features.iter().map(|f| f.declared.name.as_str());
        let message = format!(
            "the feature `{name}` is not mapped; write `{} = \"…\"` under [features] of {}{}",
            toml::Value::String(name.clone()),
            self.map.path.display(),
            did_you_mean(name, catalogue)
        );
        Finding { file: self.file.to_owned(), line: feature.line, message }
    }

    /// A feature in its place, or what is wrong with that.
    fn one(&self, feature: &ForeignFeature, target: &Target) -> Result<Placed, Vec<String>> {
        let (name, foreign) = (target.feature(), &feature.name);
        let Some(declared) = self.model.catalogue.feature(name) else {
            let names = self.model.catalogue.features.iter().map(|f| f.declared.name.as_str());
            return Err(vec![format!("the feature `{name}` is not in the catalogue{}", did_you_mean(name, names))]);
        };
        let mut wrong = Vec::new();
        let category = declared.category.as_str();
        if !CATEGORIES.contains(&category) {
            wrong.push(format!("`{name}` is of the category `{category}`, which is not scored"));
        }
        if CATEGORIES.get(RELATIONSHIPS) == Some(&category) || declared.declared.aggregate.of_friends() {
            wrong.push(format!("`{name}` is told by friends, whom an imported card does not score by"));
        }
        let factor = target.factor();
        if !(factor > 0.0 && factor.is_finite()) {
            wrong.push(format!("the factor {factor} of `{foreign}` is not above 0"));
        }
        let edges: Vec<f64> = feature.edges.iter().map(|edge| product(*edge, factor)).collect();
        if !edges.iter().all(|edge| edge.is_finite()) || !edges.is_sorted_by(|a, b| a < b) {
            wrong.push(format!("times {factor} the bins of `{foreign}` do not lie apart any more"));
        }
        let against = against(&feature.points, declared.declared.direction);
        let why = target.against_direction();
        match (&against, why) {
            (Some(n), None) => wrong.push(format!(
                "the points of `{foreign}` go from {} to {} in bin {}, against the direction of `{name}`; is the factor or the feature wrong? If it is meant, say why: {{ feature = \"{name}\", against_direction = \"…\" }}",
                shown(&feature.points, n.start),
                shown(&feature.points, n.start + 1),
                n.start + 2
            )),
            (Some(_), Some(why)) if why.trim().is_empty() => {
                wrong.push(format!("`against_direction` of `{foreign}` says nothing; say why its points run against `{name}`"));
            }
            (None, Some(_)) => wrong.push(format!(
                "the points of `{foreign}` do not run against the direction of `{name}`; leave `against_direction` out"
            )),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let Some(missing) = feature.missing else {
            wrong.push(format!("`{foreign}` has no points for a missing value"));
            return Err(wrong);
        };
        match wrong.is_empty() {
            true => Ok(Placed {
                name: name.to_owned(),
                foreign: foreign.clone(),
                factor,
                edges,
                points: feature.points.clone(),
                missing,
                against_direction: why.map(ToOwned::to_owned),
            }),
            false => Err(wrong),
        }
    }
}

fn shown(points: &[Units], n: usize) -> String {
    points.get(n).map_or_else(String::new, Units::to_string)
}

/// The first two bins whose points run against a direction.
fn against(points: &[Units], direction: Direction) -> Option<Range<usize>> {
    let pair = |(a, b): (&Units, &Units)| match direction {
        Direction::HigherIsBetter => b < a,
        Direction::LowerIsBetter => b > a,
        Direction::Neither => false,
    };
    points.iter().zip(points.iter().skip(1)).position(pair).map(|n| n..n + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_run_with_the_direction_or_not() {
        let points: Vec<Units> = [3, 3, 5, 4].map(Units).to_vec();
        assert_eq!(against(&points, Direction::HigherIsBetter), Some(2..4));
        assert_eq!(against(&points, Direction::LowerIsBetter), Some(1..3));
        assert_eq!(against(&points, Direction::Neither), None);
        assert_eq!(against(&points[..3], Direction::HigherIsBetter), None);
        assert_eq!(against(&[], Direction::HigherIsBetter), None);
    }
}
