//! One subject's score, taken apart and added up again.

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::parts::{
    CategoryLine, Explanation, FeatureLine, NextBin, Override, Probability, ReasonLine, Relationships, Scored,
};
use super::records;
use crate::audit::distributions::{DISTRIBUTIONS, Distributions};
use crate::pipeline::calibration::neutral;
use crate::pipeline::catalogue::Unit;
use crate::pipeline::model::{Baseline, CATEGORIES, RELATIONSHIPS};
use crate::runs::erasure::undisturbed::Undisturbed;
use crate::runs::kept::KeptRun;
use crate::runs::ledger::place::SCORES;
use crate::score::reasons::Shortfalls;
use crate::scorecard::card::{CardFeature, Origin};
use crate::tables::find::{SubjectId, SubjectTable};
use crate::tables::scores::{self, REASONS};
use crate::tables::without::outline;
use crate::tables::{columns, features, relationships};

/// A row of the scored table.
struct Row(RecordBatch);

impl Row {
    fn text(&self, column: &str) -> Result<Option<String>> {
        let texts = columns::texts(&self.0, column)?;
        Ok(texts.is_valid(0).then(|| texts.value(0).to_owned()))
    }

    fn number(&self, column: &str) -> Result<Option<i64>> {
        let numbers = cast(columns::named(&self.0, column)?, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        Ok(numbers.is_valid(0).then(|| numbers.value(0)))
    }

    fn required(&self, column: &str) -> Result<i64> {
        self.number(column)?.with_context(|| format!("the scored subject has no {column}"))
    }
}

/// Explains a subject's score.
///
/// # Errors
/// When the run has no such subject or lacks a part, its parts do not fit together, or subjects are erased meanwhile.
pub fn explain(run: &KeptRun, subject: &str) -> Result<Explanation> {
    let reading = Undisturbed::begin(&run.run.output)?;
    let explained = taken_apart(run, subject);
    // Before whatever else is wrong: what does not fit together may be of before and after.
    reading.end()?;
    explained
}

fn taken_apart(run: &KeptRun, subject: &str) -> Result<Explanation> {
    let table = SubjectTable::open(&run.scores())?;
    let id = table.id(subject)?;
    let Some(rows) = table.find(&id)?.first().copied() else {
        bail!("the run {} has no subject {subject}; ids are written as in the exports", run.run.id)
    };
    let row = Row(table.read(rows, None)?);
    let card = &run.model.card;
    let text = |column: &str| row.text(column)?.with_context(|| format!("the row has no {column}"));
    let (segment, status) = (text(scores::SEGMENT)?, text(scores::STATUS)?);
    let at =
        card.segment.iter().position(|s| s.get_ref().name == segment).context("a segment the model does not have")?;
    let scored = match row.number(scores::SCORE)? {
        Some(score) => Some(Subject { run, row: &row, segment: at, place: rows.place }.scored(score, &id)?),
        None => None,
    };
    let (scored, missing) = scored.map_or((None, Vec::new()), |(scored, missing)| (Some(scored), missing));
    let parameters = run.manifest.parameters();
    Ok(Explanation {
        run: run.run.id.clone(),
        pipeline: parameters.pipeline.clone(),
        as_of: parameters.as_of,
        known_by: parameters.known_by.clone(),
        model: parameters.model.clone(),
        currency: run.pipeline.settings.currency.clone(),
        subject: subject.to_owned(),
        segment,
        status,
        confidence: columns::doubles(&row.0, scores::CONFIDENCE)?[0],
        low: card.scale.low,
        high: card.scale.high,
        baseline: match card.reasons.baseline {
            Baseline::PopulationMean => "the segment's mean",
            Baseline::NearCutoff => "the mean near the cut-off",
            Baseline::Max => "the best bin",
            Baseline::Neutral => "neutral",
        },
        scored,
        reasons: reasons(run, &row, &missing)?,
        disputed_records: row.required(scores::DISPUTED_RECORDS)?,
        records: records::of(&run.run, &id)?,
    })
}

/// The reasons of a row in the model's words; `missing` are the codes that only cost points for want of records.
fn reasons(run: &KeptRun, row: &Row, missing: &[String]) -> Result<Vec<ReasonLine>> {
    let mut columns: Vec<String> = (1..=REASONS).map(scores::reason).collect();
    columns.push(scores::REASON_RELATIONSHIP.to_owned());
    let codes = columns.iter().map(|c| row.text(c)).collect::<Result<Vec<_>>>()?;
    let line = |code: String| {
        let reason = run.model.card.reason.iter().map(toml::Spanned::get_ref).find(|r| r.code == code);
        let reason = reason.with_context(|| format!("the model has no reason {code}"))?;
        let missing = missing.contains(&code) && !reason.missing.is_empty();
        let text = if missing { reason.missing.clone() } else { reason.text.clone() };
        Ok(ReasonLine { code, missing, text, advice: reason.advice.clone() })
    };
    codes.into_iter().flatten().map(line).collect()
}

/// A scored subject under examination.
struct Subject<'a> {
    run: &'a KeptRun,
    row: &'a Row,
    segment: usize,
    /// The number of its row.
    place: usize,
}

impl Subject<'_> {
    /// The score taken apart, and the reason codes that cost points only for want of records.
    fn scored(&self, score: i64, id: &SubjectId) -> Result<(Scored, Vec<String>)> {
        let (run, row, card) = (self.run, self.row, &self.run.model.card);
        let (values, bins) = self.features()?;
        let distributions =
            Distributions::read(&run.run.path(DISTRIBUTIONS))?.context("the run kept no distributions.json")?;
        let shortfalls = Shortfalls::new(&run.card, card.reasons.baseline, &distributions.baselines);
        let own: Vec<&str> =
            shortfalls.top(self.segment, &bins).codes().iter().map(|c| run.card.reasons[*c].as_str()).collect();
        let mut categories = Vec::with_capacity(CATEGORIES.len());
        for (n, category) in CATEGORIES.iter().enumerate() {
            let points = row.required(&scores::points(category))?;
            let title = card.category.iter().map(toml::Spanned::get_ref).find(|c| c.name == *category);
            let features = match n {
                RELATIONSHIPS => Vec::new(),
                _ => self.feature_lines(n, points, &values, &bins, &shortfalls)?,
            };
            categories.push(CategoryLine {
                category,
                title: title.map_or_else(|| (*category).to_owned(), |c| c.title.clone()),
                weight: run.card.weights[self.segment][n] as f64 / crate::scorecard::card::WEIGHTS_ONE as f64,
                points,
                max: row.required(&scores::most(category))?,
                features,
            });
        }
        let sum = card.scale.low + categories.iter().map(|c| c.points).sum::<i64>();
        let policy = row.text(scores::OVERRIDE)?.map(|code| self.policy(code)).transpose()?;
        let before = policy.as_ref().map_or(score, |p| p.before);
        ensure!(sum == before, "defect: the points add up to {sum}, and the score before any override is {before}");
        let told: Vec<String> =
            (1..=REASONS).filter_map(|n| row.text(&scores::reason(n)).transpose()).collect::<Result<_>>()?;
        let first = policy.as_ref().and_then(|p| card.policy.iter().find(|r| r.get_ref().code == p.code));
        let first = first.map(|r| r.get_ref().reason.as_str());
        let expected: Vec<&str> =
            first.into_iter().chain(own.into_iter().filter(|c| Some(*c) != first)).take(REASONS).collect();
        ensure!(told == expected, "defect: the features give the reasons {expected:?}, and the table has {told:?}");
        let bands: Vec<_> = card.band.iter().map(toml::Spanned::get_ref).collect();
        let next = bands.iter().find(|b| b.from > score).map(|b| (b.name.clone(), b.from - score));
        let band = row.text(scores::BAND)?.unwrap_or_default();
        let scored = Scored {
            score,
            next_band: next,
            rank: u64::try_from(row.required(scores::RANK)?)?,
            percentile: row.required(scores::PERCENTILE)?,
            relationships: self.relationships(id)?,
            sum,
            policy,
            with_disputed: row.number(scores::SCORE_WITH_DISPUTED)?,
            pd: self.probability(score)?,
            band_title: bands.iter().find(|b| b.name == band).map(|b| b.title.clone()).unwrap_or_default(),
            band,
            categories,
        };
        Ok((scored, self.only_missing(&bins, &shortfalls)))
    }

    /// The value and the bin of every feature of the scorecard; those of relationships are not kept, and are none here.
    fn features(&self) -> Result<(Vec<Option<f64>>, Vec<u8>)> {
        let run = self.run;
        let mut values = vec![None; run.card.features.len()];
        let mut bins: Vec<u8> = run.card.features.iter().map(|f| f.bin(f64::NAN, true)).collect();
        let (_, rows) = outline(&run.scores())?;
        for category in CATEGORIES {
            let of = |f: &CardFeature| match f.origin {
                Origin::Plan(at) => run.plan.features[at].category == category,
                Origin::Friends(_) => false,
            };
            let wanted: Vec<usize> = (0..run.card.features.len()).filter(|f| of(&run.card.features[*f])).collect();
            if wanted.is_empty() {
                continue;
            }
            let path = run.features(category);
            let names = wanted.iter().map(|f| &run.card.features[*f].name);
            let columns: Vec<String> = names.flat_map(|name| [name.clone(), features::none_column(name)]).collect();
            ensure!(outline(&path)?.1 == rows, "{} has other rows than {SCORES}, which has {rows}", path.display());
            let table = SubjectTable::open(&path)?;
            let batch = table.row(self.place, Some(&columns))?;
            let batch = batch.with_context(|| format!("{} has no row {}", path.display(), self.place))?;
            for f in wanted {
                let feature = &run.card.features[f];
                let (value, none) = features::values(&batch, &feature.name)?;
                values[f] = Some(value[0]).filter(|v| !v.is_nan());
                bins[f] = feature.bin(value[0], none[0] == 1);
            }
        }
        Ok((values, bins))
    }

    fn feature_lines(
        &self,
        category: usize,
        points: i64,
        values: &[Option<f64>],
        bins: &[u8],
        shortfalls: &Shortfalls,
    ) -> Result<Vec<FeatureLine>> {
        let card = &self.run.card;
        let parts = card.feature_parts(self.segment, category, points, bins);
        let parts = parts
            .with_context(|| format!("defect: the features of {} are not {points} points", CATEGORIES[category]))?;
        let sum: i64 = parts.iter().map(|p| p.1).sum();
        ensure!(
            parts.is_empty() || sum == points,
            "defect: the features of {} add up to {sum}, not {points}",
            CATEGORIES[category]
        );
        let lines = parts.into_iter().map(|(f, points)| {
            let feature = &card.features[f];
            let declared = self.run.model.catalogue.feature(&feature.name).map(|d| &d.declared);
            let unit = declared.map_or(Unit::Index, |d| d.unit);
            let worth = |bin: u8| card.feature_points(self.segment, feature, bin);
            let all = (0..feature.shares.len()).filter_map(|b| u8::try_from(b).ok());
            FeatureLine {
                feature: feature.name.clone(),
                about: declared.map(|d| d.about.clone()).unwrap_or_default(),
                unit: unit.word(),
                value: values[f],
                shown: self.shown(values[f], unit),
                bin: feature.label(usize::from(bins[f])),
                points,
                exact: worth(bins[f]),
                best: all.map(worth).fold(0.0, f64::max),
                // In tenths, as it is shown.
                short: (shortfalls.points(self.segment, f, bins[f]) * 10.0).round() / 10.0 + 0.0,
                next: next_better(feature, bins[f])
                    .map(|bin| NextBin { bin: feature.label(usize::from(bin)), points: worth(bin) - worth(bins[f]) }),
                reason: feature.reason.map(|at| card.reasons[at].clone()),
            }
        });
        Ok(lines.collect())
    }

    fn shown(&self, value: Option<f64>, unit: Unit) -> String {
        let Some(value) = value else { return "–".to_owned() };
        let figure = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        match unit {
            Unit::Share => format!("{:.1} %", 100.0 * value),
            Unit::Money => format!("{value:.0} minor units of {}", self.run.pipeline.settings.currency),
            Unit::Ratio | Unit::Index => format!("{value:.3}"),
            Unit::Count | Unit::Level => figure,
            Unit::Days | Unit::Months | Unit::Points => {
                let word = unit.word();
                format!("{figure} {}", if figure == "1" { word.trim_end_matches('s') } else { word })
            }
        }
    }

    /// The codes of which everything that cost points has no value.
    fn only_missing(&self, bins: &[u8], shortfalls: &Shortfalls) -> Vec<String> {
        let card = &self.run.card;
        let costly = |code: usize| {
            let of_code = card.features.iter().zip(bins).enumerate().filter(move |(_, (f, _))| f.reason == Some(code));
            of_code.filter(|(f, (_, bin))| shortfalls.costs(self.segment, *f, **bin))
        };
        let missing = |code: &usize| {
            costly(*code).next().is_some() && costly(*code).all(|(_, (f, bin))| usize::from(*bin) >= f.none())
        };
        (0..card.reasons.len()).filter(missing).map(|code| card.reasons[code].clone()).collect()
    }

    fn policy(&self, code: String) -> Result<Override> {
        let rules = self.run.model.card.policy.iter().map(toml::Spanned::get_ref);
        let rule =
            rules.into_iter().find(|r| r.code == code).with_context(|| format!("the model has no rule {code}"))?;
        Ok(Override { about: rule.about.clone(), before: self.row.required(scores::SCORE_BEFORE_OVERRIDE)?, code })
    }

    /// The probability of going bad, which the model's calibration gives the score.
    fn probability(&self, score: i64) -> Result<Option<Probability>> {
        let card = &self.run.model.card;
        let Some(calibrated) = card.calibration.as_ref().map(toml::Spanned::get_ref) else { return Ok(None) };
        let pd = columns::doubles(&self.row.0, scores::PD)?[0];
        let expected = calibrated.pd(score as f64, neutral(&card.scale));
        ensure!(pd == expected, "defect: the score {score} stands for a pd of {expected}, and the table has {pd}");
        Ok(Some(Probability { pd, horizon_days: calibrated.horizon_days }))
    }

    fn relationships(&self, id: &SubjectId) -> Result<Option<Relationships>> {
        let path = self.run.run.path("relationships.parquet");
        if !path.exists() {
            return Ok(None);
        }
        let table = SubjectTable::open(&path)?;
        let Some(rows) = table.find(id)?.first().copied() else { return Ok(None) };
        let row = relationships::first(&table.read(rows, None)?)?;
        Ok(Some(Relationships {
            friends: row.friends,
            lift_points: i64::from(row.lift_points),
            anchor_tenths: i64::from(row.anchor_tenths),
        }))
    }
}

/// The nearest bin that is worth more: of known values the neighbour, for what is missing the least that would be better.
fn next_better(feature: &CardFeature, bin: u8) -> Option<u8> {
    let (now, known) = (feature.shares[usize::from(bin)], feature.none());
    let better = (0..known).filter(|b| feature.shares[*b] > now);
    let next = match usize::from(bin) {
        at if at < known => better.min_by_key(|b| b.abs_diff(at)),
        _ => better.min_by_key(|b| feature.shares[*b]),
    };
    next.and_then(|b| u8::try_from(b).ok())
}
