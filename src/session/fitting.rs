//! Fitting: a training set in a folder of its own, and a model fitted to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;

use super::dataset;
use super::identity::PROGRAM;
use super::new_model::{VERSION, catalogue, keeps_the_rules, not_there};
use super::split::{Labels, split};
use super::training_set::{Written, data_hash, place};
use crate::exit::stop_on_signals;
use crate::fit::facts::Facts;
use crate::fit::groups::{self, GroupShare, shares};
use crate::fit::load::{self, Bins, Loaded, Missing, Weights};
use crate::fit::report::{DataUsed, Report, supported};
use crate::fit::sample::FOLDS;
use crate::fit::scale::Scale;
use crate::fit::training::Trainer;
use crate::fit::written::Edit;
use crate::job::Job;
use crate::output::Output;
use crate::pipeline::catalogue::Unit;
use crate::pipeline::fitted::FittedFrom;
use crate::pipeline::model::Form;
use crate::scorecard::card::money_factor;
use crate::statistics::proportion::rounded;
use crate::storage::durable;
use crate::storage::hashes::Hash;

/// What is asked for.
pub struct Request<'a> {
    /// The training set.
    pub dataset: dataset::Request<'a>,
    /// Which bins may be used.
    pub bins: Bins,
    /// Whether categories keep their weights.
    pub weights: Weights,
    /// Whether what is missing is fitted.
    pub missing: Missing,
    /// Days after which an older row weighs half as much.
    pub half_life_days: Option<f64>,
    /// The first date that is only validated on.
    pub validate_from: Option<Date>,
    /// Features that may know the outcome all the same.
    pub accepted_leaks: Vec<String>,
    /// Why.
    pub because: Option<String>,
    /// The model file to write, which is not there yet.
    pub out: PathBuf,
    /// The new model's name.
    pub name: String,
}

/// What came out.
pub struct Fit {
    /// The report.
    pub report: Report,
    /// The model file's text, when the outcomes support a change.
    pub model: Option<String>,
}

impl Request<'_> {
    /// Fits, and writes the model file when the outcomes support a change.
    ///
    /// # Errors
    /// When the training set cannot be made, tells too little or too much, or no fit is found; when the file is there, or the fitted
    /// model breaks a rule of models.
    pub fn run(&self, log: &Output) -> Result<Fit> {
        not_there(&self.out)?;
        let place = place(self.dataset.machine.scratch.as_deref())?;
        let folder = place.path().join("dataset");
        let (written, job) = self.dataset.write(&folder, log)?;
        let form = job.card.form;
        ensure!(
            form == Form::Shares,
            "{} is in the form of points, which are not fitted; start from one of shares",
            job.model.label()
        );
        ensure!(
            self.weights == Weights::Keep || job.model.card.propagation.enabled,
            "[propagation] is off, so friends' weight goes to other categories; with --weights free that cannot be told apart: turn it on, \
             or give the weight of friends away in the model"
        );
        let trained = split(&written, self.validate_from)?;
        let progress = log.stage("read rows", written.dates.iter().map(|d| d.rows).sum(), "rows");
        let loaded = self.load(&folder, &written, &trained, &job)?;
        progress.finish();
        labels(&loaded, &trained).enough()?;
        self.leaks(&loaded)?;
        let nominal =
            job.model.card.scale.nominal.context("the model has no [scale] nominal, what a point is worth")?;
        let progress = log.stage("fit", 1 + u64::from(FOLDS), "fits");
        let scale = Scale { low: job.card.low, range: job.card.range, neutral: job.card.neutral_share };
        let trainer = Trainer {
            loaded: &loaded,
            trained: &trained,
            bins: self.bins,
            weights: self.weights,
            scale,
            nominal: std::f64::consts::LN_2 / nominal.points_to_double,
            stop: &*stop_on_signals()?,
        };
        let training = trainer.train(&|| progress.add(1))?;
        progress.finish();
        let min_cell = job.pipeline.settings.privacy.min_cell;
        let facts = Facts { loaded: &loaded, trained: &trained, training: &training, scale, min_cell };
        let report = self.report(&facts, &written, &job, data_hash(&folder, &written)?)?;
        let model = match report.adopted {
            true => Some(self.model(&facts, &report, &job)?),
            false => None,
        };
        if let Some(text) = &model {
            durable::replace(&self.out, text.as_bytes())?;
        }
        Ok(Fit { report, model })
    }

    fn report(&self, facts: &Facts, written: &Written, job: &Job, hash: Hash) -> Result<Report> {
        let (labels, fitted) = (labels(facts.loaded, facts.trained), &facts.training.trained.fitted);
        let on = labels.trained_on();
        let data = DataUsed {
            hash,
            dates: written.dates.iter().map(|d| d.as_of).zip(facts.trained.iter().copied()).collect(),
            horizon_days: facts.loaded.horizon_days,
            bins: self.bins,
            weights: self.weights,
            missing: self.missing,
            half_life_days: self.half_life_days,
            rows: on.len() as u64,
            bad: on.iter().filter(|n| labels.bad[**n]).count() as u64,
            subjects: labels.subjects(on.iter().copied()) as u64,
            overridden: facts.loaded.overridden,
            without_outcome: written.dates.iter().map(|d| d.without_outcome).sum(),
        };
        let measures = facts.measures();
        Ok(Report {
            start: job.model.label(),
            name: format!("{}-{VERSION}", self.name),
            adopted: supported(facts.training.gain),
            data,
            validated: facts.measured().1,
            gain: facts.training.gain.mean,
            gain_error: facts.training.gain.error,
            before: measures.map(|m| m.0),
            after: measures.map(|m| m.1),
            difference: measures.map(|m| m.2),
            points_to_double: std::f64::consts::LN_2 / fitted.line.beta,
            reference: job.model.card.segment[facts.loaded.sample.reference].get_ref().name.clone(),
            features: facts.features(),
            held: facts.loaded.held.clone(),
            groups: of_groups(facts, written, job),
            accepted_leaks: self.accepted_leaks.clone(),
            because: self.because.clone(),
            objective: fitted.objective,
            freed: facts.training.trained.freed,
            weights: (self.weights == Weights::Free).then(|| of_segments(facts, job)),
            rounds: fitted.rounds,
        })
    }

    /// The fitted model's text, which keeps every rule that a model keeps.
    fn model(&self, facts: &Facts, report: &Report, job: &Job) -> Result<String> {
        let (before, after) = report.before.zip(report.after).context("too few went bad or stayed good to measure")?;
        let why = self.because.clone().unwrap_or_default();
        let trained = || report.data.dates.iter().filter(|d| d.1).map(|d| d.0);
        let from = FittedFrom {
            start: report.start.clone(),
            start_hash: job.model.hash(),
            data_hash: report.data.hash.clone(),
            program: PROGRAM.to_owned(),
            rows: report.data.rows,
            bad: report.data.bad,
            from: trained().next().context("no date")?,
            to: trained().next_back().context("no date")?,
            horizon_days: report.data.horizon_days,
            bins: word(self.bins)?,
            weights: word(self.weights)?,
            missing: word(self.missing)?,
            half_life_days: self.half_life_days,
            validated: report.validated,
            auc_start: rounded(before.ranking.auc, 4),
            auc: rounded(after.ranking.auc, 4),
            auc_low: rounded(after.ranking.auc_low.context("no interval")?, 4),
            auc_high: rounded(after.ranking.auc_high.context("no interval")?, 4),
            accepted_leaks: self.accepted_leaks.iter().map(|name| (name.clone(), why.clone())).collect(),
        };
        let factor = money_factor(&job.model, &job.pipeline.settings.currency)?;
        let unit = |name: &str| job.model.catalogue.feature(name).map(|f| f.declared.unit);
        let catalogue = catalogue(&job.model, &self.out)?;
        let edit = Edit {
            model: &job.model,
            sample: &facts.loaded.sample,
            card: &facts.training.trained.card,
            money: &|name| if unit(name) == Some(Unit::Money) { factor } else { 1.0 },
            name: (&self.name, VERSION),
            catalogue: &catalogue,
            from: &from,
        };
        let text = edit.text()?;
        keeps_the_rules(&self.out, &text)?;
        Ok(text)
    }

    /// Refuses features that know the outcome.
    fn leaks(&self, loaded: &Loaded) -> Result<()> {
        let accepted = |name: &str| self.accepted_leaks.iter().any(|a| a == name);
        let found: Vec<String> = loaded
            .leaks
            .iter()
            .filter(|(name, _)| !accepted(name))
            .map(|(name, auc)| format!("`{name}` alone has an AUC of {auc:.3}"))
            .collect();
        ensure!(
            found.is_empty(),
            "{}: a feature that tells the outcome nearly alone mostly knows it (what was recorded afterwards, or because of it); take it \
             out of the model, or accept it with --accept-leak NAME --because WHY",
            found.join("; ")
        );
        Ok(())
    }

    fn load(&self, folder: &Path, written: &Written, trained: &[bool], job: &Job) -> Result<Loaded> {
        let dates: Vec<(Date, bool)> = written.dates.iter().map(|d| d.as_of).zip(trained.iter().copied()).collect();
        let money = money_factor(&job.model, &job.pipeline.settings.currency)?;
        load::Request {
            folder,
            dates: &dates,
            model: &job.model,
            card: &job.card,
            money,
            bins: self.bins,
            missing: self.missing,
            half_life_days: self.half_life_days,
        }
        .load()
    }
}

/// By segment the weights of its categories.
fn of_segments(facts: &Facts, job: &Job) -> BTreeMap<String, [i64; 5]> {
    let names = job.model.card.segment.iter().map(|s| s.get_ref().name.clone());
    names.zip(facts.training.trained.card.weighting.percent.iter().copied()).collect()
}

/// Protected groups before and after, at every privilege.
fn of_groups(facts: &Facts, written: &Written, job: &Job) -> Vec<GroupShare> {
    let mut cutoffs: Vec<i64> = job.model.card.privilege.iter().map(|p| p.get_ref().from).collect();
    cutoffs.sort_unstable();
    cutoffs.dedup();
    let settings = &job.pipeline.settings;
    let (mark, min_cell) = (settings.report.fairness_ratio, settings.privacy.min_cell);
    shares(facts, &groups::Request { columns: &written.groups, cutoffs: &cutoffs, mark, min_cell })
}

/// What a flag is called.
fn word(flag: impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_value(flag)?.as_str().context("a word")?.to_owned())
}

/// The rows with what became of them.
fn labels<'a>(loaded: &'a Loaded, trained: &'a [bool]) -> Labels<'a> {
    let rows = &loaded.sample.rows;
    Labels { bad: &rows.bad, subject: &rows.subject, date: &rows.date, trained }
}
