//! A foreign scorecard as a model: read, put in its place, written, and held against every rule of models.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};

use super::card::{ForeignCard, SourceKind};
use super::names::{NamedBand, Names};
use super::placed::Placing;
use super::read::read;
use super::written::Edit;
use crate::pipeline::{Finding, Findings, Model, Source, model_check};
use crate::storage::durable;

/// The version of a model that was just imported.
const VERSION: &str = "1";

/// The highest score that a model may have; the lowest is 0.
const HIGHEST: i64 = 32_000;

/// What is asked for.
pub struct Request {
    /// The card's file.
    pub file: PathBuf,
    /// Where it is from; told by its content when not given.
    pub source: Option<SourceKind>,
    /// The model that the new one is like.
    pub like: PathBuf,
    /// The map of names.
    pub map: PathBuf,
    /// Whether missing values without a bin get what the source gives them.
    pub missing_as_source: bool,
    /// The new model's name.
    pub name: String,
    /// The model file to write, which is not there yet.
    pub out: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Imported {
    /// Where the card is from.
    pub source: SourceKind,
    /// How many features it has.
    pub features: usize,
    /// The lowest and the highest score.
    pub range: (i64, i64),
    /// Features whose missing values have no bin, with the points that they get all the same.
    pub silent: Vec<String>,
    /// What of the model that it is like is not in it.
    pub left_out: Vec<String>,
}

impl Request {
    /// Imports the card.
    ///
    /// # Errors
    /// When the file is there; everything wrong with the card, the map or the model that it is to be like; when the new model breaks a
    /// rule of models.
    pub fn run(&self) -> Result<Imported> {
        ensure!(!self.out.exists(), "{} is there already; name a file that is not", self.out.display());
        ensure!(
            self.map.is_file(),
            "there is no file {}; it says which feature each foreign one is",
            self.map.display()
        );
        let mut findings = Findings::default();
        let card = findings.collect(read(&self.file, self.source).map_err(Error::from))?;
        let model = findings.collect(self.like().map_err(Error::from))?;
        let map = Source::read(&self.map)?;
        let names = findings.collect(map.parse::<Names>().map_err(|finding| Findings(vec![finding]).into()))?;
        let (Some(mut card), Some(model), Some(names)) = (card, model, names) else { return Err(findings.into()) };
        let silent = self.missing(&mut card, &mut findings);
        let placing = Placing { card: &card, file: &self.file, names: &names, map: &map, model: &model };
        let features = match findings.0.is_empty() {
            true => findings.collect(placing.placed().map_err(Error::from))?.unwrap_or_default(),
            // Without points for a missing value a feature cannot be placed, and what else is wrong with it is not told twice.
            false => Vec::new(),
        };
        let range = self.range(&card, &mut findings);
        bands(&names, &map, range, &mut findings);
        findings.or(())?;
        let catalogue = self.catalogue(&model)?;
        let bands: Vec<&NamedBand> = names.band.iter().map(toml::Spanned::get_ref).collect();
        let edit = Edit {
            model: &model,
            name: (&self.name, VERSION),
            catalogue: &catalogue,
            file: &self.file,
            source: card.source,
            base: card.base,
            range,
            features: &features,
            bands: &bands,
        };
        let written = edit.write()?;
        let new = Model::of(Source { path: self.out.clone(), text: written.text.clone() })?;
        model_check::check(&new).context("the imported model breaks a rule of models; nothing is written")?;
        durable::replace(&self.out, written.text.as_bytes())?;
        Ok(Imported { source: card.source, features: features.len(), range, silent, left_out: written.left_out })
    }

    /// The model that the new one is like.
    fn like(&self) -> Result<Model, Findings> {
        let model = Model::load(&self.like)?;
        model_check::check(&model)?;
        Ok(model)
    }

    /// Gives missing values without a bin the points of the source, or finds them.
    fn missing(&self, card: &mut ForeignCard, findings: &mut Findings) -> Vec<String> {
        let mut silent = Vec::new();
        let source = card.source;
        for feature in card.features.iter_mut().filter(|feature| feature.missing.is_none()) {
            let (name, points) = (&feature.name, feature.silently(source));
            if self.missing_as_source {
                silent.push(format!("`{name}` {points}"));
                feature.missing = Some(points);
            } else {
                let message = format!(
                    "the feature `{name}` has no bin for a missing value, and {source} gives one {points} points without a word; fit the card with such a bin, or take that over with --missing as-source"
                );
                findings.0.push(Finding { file: self.file.clone(), line: feature.line, message });
            }
        }
        silent
    }

    /// The lowest and the highest score, in whole points.
    fn range(&self, card: &ForeignCard, findings: &mut Findings) -> (i64, i64) {
        let (least, greatest) = card.range();
        let whole = |points: i128| i64::try_from(points).unwrap_or(i64::MAX);
        let (low, high) = (whole(least.floor()), whole(greatest.ceiling()));
        if low < 0 || high > HIGHEST || low >= high {
            let message = format!(
                "scores of the card run from {least} to {greatest}; a published score is within 0 and {HIGHEST}, so scale the card where it is made"
            );
            findings.0.push(Finding { file: self.file.clone(), line: 0, message });
        }
        (low, high)
    }

    /// The catalogue's files as the new model names them, relative to its folder where that is the old one's.
    fn catalogue(&self, model: &Model) -> Result<Vec<String>> {
        let folder = |path: &Path| fs_err::canonicalize(durable::folder(path));
        let (old, new) = (folder(&model.source.path)?, folder(&self.out)?);
        let named = |file: &PathBuf| -> Result<String> {
            let path = if old == new { file.clone() } else { fs_err::canonicalize(old.join(file))? };
            path.to_str().map(ToOwned::to_owned).with_context(|| format!("{} is no text", path.display()))
        };
        model.card.catalogue.iter().map(named).collect()
    }
}

/// Finds bands that are not those of the card's scores.
fn bands(names: &Names, map: &Source, (low, high): (i64, i64), findings: &mut Findings) {
    let mut last: Option<i64> = None;
    for band in &names.band {
        let (name, from) = (&band.get_ref().name, band.get_ref().from);
        let message = match last {
            None if from != low => Some(format!("the first band starts at {from}; the lowest score is {low}")),
            Some(last) if from <= last => {
                Some(format!("band `{name}` starts at {from}, not above the one before it at {last}"))
            }
            Some(_) if from > high => Some(format!("band `{name}` starts at {from}; the highest score is {high}")),
            _ => None,
        };
        findings.0.extend(message.map(|message| map.finding(&band.span(), message)));
        last = Some(from);
    }
}
