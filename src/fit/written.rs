//! A fitted model as a file: the start model's text, changed only where the fit changed it.

use std::fmt::Write;

use anyhow::{Context, Result};
use toml::de::{DeTable, DeValue};

use super::edits::{Renamed, without};
use super::load::written;
use super::rounding::{Rounded, RoundedFeature};
use super::sample::{Feature, Sample};
use crate::pipeline::edits::{Change, applied, quoted, value};
use crate::pipeline::model::{CATEGORIES, ScoredFeature};
use crate::pipeline::{Model, fitted::FittedFrom};

/// What is written over the start model.
pub struct Edit<'a> {
    /// The start model.
    pub model: &'a Model,
    /// What was fitted to.
    pub sample: &'a Sample,
    /// The card in integers.
    pub card: &'a Rounded,
    /// The run's currency over the model's, for bins of money.
    pub money: &'a dyn Fn(&str) -> f64,
    /// The new model's name and version.
    pub name: (&'a str, &'a str),
    /// Its catalogue's files, relative to its folder.
    pub catalogue: &'a [String],
    /// What it was fitted to, for its table of its own.
    pub from: &'a FittedFrom,
}

impl Edit<'_> {
    /// The new file's text.
    ///
    /// # Errors
    /// When the start model's text is not what was read.
    pub fn text(&self) -> Result<String> {
        let text = &self.model.source.text;
        let table = DeTable::parse(text).context("the start model")?;
        let table = table.get_ref();
        let renamed = Renamed { model: self.model, name: self.name, catalogue: self.catalogue };
        let mut changes = renamed.changes(table)?;
        let DeValue::Array(features) = value(table, "feature")?.get_ref() else { anyhow::bail!("no [[feature]]") };
        for (block, declared) in features.iter().zip(&self.model.card.feature) {
            let DeValue::Table(block) = block.get_ref() else { continue };
            let declared = declared.get_ref();
            let Some(at) = self.sample.features.iter().position(|f| f.name == declared.name) else { continue };
            changes.extend(feature(
                block,
                declared,
                &self.sample.features[at],
                &self.card.features[at],
                (self.money)(&declared.name),
            )?);
        }
        changes.extend(self.weights(table)?);
        // What an earlier fit said of itself is no longer so, nor is what a score was worth.
        for section in ["fitted", "calibration"] {
            changes.extend(without(text, table, section)?);
        }
        let new = applied(text, changes)?;
        let new = new.trim_end();
        Ok(format!(
            "{new}\n\n# What the parts with `basis = \"fitted\"` were fitted to, and what rows say that were not.\n[fitted]\n{}",
            self.from.toml()?
        ))
    }
}

impl Edit<'_> {
    /// Weights of segments that changed.
    fn weights(&self, table: &DeTable) -> Result<Vec<Change>> {
        let DeValue::Array(segments) = value(table, "segment")?.get_ref() else { anyhow::bail!("no [[segment]]") };
        let mut changes = Vec::new();
        for ((block, new), old) in segments.iter().zip(&self.card.weighting.percent).zip(&self.sample.percent) {
            let DeValue::Table(block) = block.get_ref() else { continue };
            if new == old {
                continue;
            }
            let of: Vec<String> = CATEGORIES.iter().zip(new).map(|(c, w)| format!("{c} = {w}")).collect();
            changes.push(Change { at: value(block, "weights")?.span(), text: format!("{{ {} }}", of.join(", ")) });
            changes.push(Change { at: value(block, "basis")?.span(), text: quoted("fitted") });
        }
        Ok(changes)
    }
}

/// What changes in a feature's block.
fn feature(
    block: &DeTable,
    old: &ScoredFeature,
    start: &Feature,
    new: &RoundedFeature,
    factor: f64,
) -> Result<Vec<Change>> {
    let edges: Vec<f64> = new.edges.iter().map(|e| written(e / factor)).collect();
    let same = old.importance == Some(new.importance)
        && old.bins.len() == new.shares.len()
        && old.bins.iter().zip(&new.shares).all(|(b, share)| b.get_ref().share == Some(*share))
        && old.bins.iter().skip(1).filter_map(|b| b.get_ref().from).eq(edges.iter().copied());
    let (beside, added) = missing(block, old, start, new)?;
    if same && beside.is_empty() && added.is_empty() {
        return Ok(Vec::new());
    }
    let mut bins = String::from("[\n");
    for (n, share) in new.shares.iter().enumerate() {
        let mut parts = Vec::new();
        if n > 0 {
            parts.push(format!("from = {}", edges[n - 1]));
        }
        if let Some(below) = edges.get(n) {
            parts.push(format!("below = {below}"));
        }
        parts.push(format!("share = {share}"));
        let _ = writeln!(bins, "  {{ {} }},", parts.join(", "));
    }
    bins.push(']');
    let mut changes = vec![
        Change { at: value(block, "importance")?.span(), text: format!("{}{added}", new.importance) },
        Change { at: value(block, "bins")?.span(), text: bins },
        Change { at: value(block, "basis")?.span(), text: quoted("fitted") },
    ];
    changes.extend(beside);
    Ok(changes)
}

/// The shares of missing values that changed, and lines for those that the start model does not name.
fn missing(
    block: &DeTable,
    old: &ScoredFeature,
    start: &Feature,
    new: &RoundedFeature,
) -> Result<(Vec<Change>, String)> {
    let (mut changes, mut added) = (Vec::new(), String::new());
    let shares = start.missing_shares.into_iter().zip(new.missing);
    for ((key, given), (was, share)) in [("none", &old.none), ("unknown", &old.unknown)].into_iter().zip(shares) {
        match given {
            _ if was == share => {}
            Some(_) => changes.push(Change { at: value(block, key)?.span(), text: share.to_string() }),
            None => {
                let _ = write!(added, "\n{key} = {share}");
            }
        }
    }
    Ok((changes, added))
}
