//! Calibrating: a training set in a folder of its own, and the line from a model's finished scores to what became of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::civil::Date;

use super::dataset;
use super::identity::PROGRAM;
use super::new_model::{VERSION, catalogue, keeps_the_rules, not_there};
use super::split::{Labels, split};
use super::training_set::{Written, data_hash, place};
use crate::fit::calibrate::Calibrator;
use crate::fit::calibration::{Data, Report};
use crate::fit::earned::Judged;
use crate::fit::edits::Renamed;
use crate::fit::scored::Scored;
use crate::job::Job;
use crate::output::Output;
use crate::pipeline::calibrated::Calibrated;
use crate::pipeline::calibration::neutral;
use crate::storage::durable;

/// What stands before the section in a model file.
const COMMENT: &str = "The log-odds of staying good are intercept + ln 2 / points_to_double · (score − neutral). They hold for the points \
                       that\n# points_hash names: whoever changes the model takes this out and calibrates again.";

/// What is asked for.
pub struct Request<'a> {
    /// The training set.
    pub dataset: dataset::Request<'a>,
    /// The first date that is only validated on.
    pub validate_from: Option<Date>,
    /// The model file to write, which is not there yet.
    pub out: PathBuf,
    /// The new model's name.
    pub name: String,
}

impl Request<'_> {
    /// Calibrates, and writes the model file when the outcomes support it.
    ///
    /// # Errors
    /// When the training set cannot be made, tells too little, or better scores go with more bad; when the file is there, or the
    /// calibrated model breaks a rule of models.
    pub fn run(&self, log: &Output) -> Result<Report> {
        not_there(&self.out)?;
        let place = place(self.dataset.machine.scratch.as_deref())?;
        let folder = place.path().join("dataset");
        let (written, job) = self.dataset.write(&folder, log)?;
        let trained = split(&written, self.validate_from)?;
        let report = report(&folder, &written, &trained, &job, &self.name)?;
        if report.earned {
            durable::replace(&self.out, self.model(&report, &job)?.as_bytes())?;
        }
        Ok(report)
    }

    /// The calibrated model's text, which keeps every rule that a model keeps.
    fn model(&self, report: &Report, job: &Job) -> Result<String> {
        let trained = || report.data.dates.iter().filter(|d| d.1).map(|d| d.0);
        let (slope, ratio) = (report.all.slope, report.all.observed_expected);
        let calibrated = Calibrated {
            intercept: report.intercept,
            points_to_double: report.points_to_double,
            horizon_days: report.data.horizon_days,
            points_hash: job.model.points_hash(),
            data_hash: report.data.hash.clone(),
            program: PROGRAM.to_owned(),
            rows: report.data.rows,
            bad: report.data.bad,
            from: trained().next().context("no date")?,
            to: trained().next_back().context("no date")?,
            validated: report.validated,
            slope: slope.context("no slope")?,
            slope_low: report.all.slope_low.context("no interval")?,
            slope_high: report.all.slope_high.context("no interval")?,
            observed_expected: ratio.context("no ratio")?,
            segments: report.judged(),
        };
        let catalogue = catalogue(&job.model, &self.out)?;
        let renamed = Renamed { model: &job.model, name: (&self.name, VERSION), catalogue: &catalogue };
        let text = renamed.with_section("calibration", COMMENT, &calibrated.toml()?)?;
        keeps_the_rules(&self.out, &text)?;
        Ok(text)
    }
}

/// Fits the line to a training set, and judges it.
fn report(folder: &Path, written: &Written, trained: &[bool], job: &Job, name: &str) -> Result<Report> {
    let card = &job.model.card;
    let segments: Vec<&str> = card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
    let dates: Vec<Date> = written.dates.iter().map(|d| d.as_of).collect();
    let rows = Scored::read(folder, &dates, &segments)?;
    let labels = Labels { bad: &rows.bad, subject: &rows.subject, date: &rows.date, trained };
    labels.enough()?;
    let neutral = neutral(&card.scale);
    let calibration = Calibrator { rows: &rows, trained, neutral }.calibrate()?;
    let min_cell = job.pipeline.settings.privacy.min_cell;
    let judged = Judged { rows: &rows, calibration: &calibration, segments: &segments, min_cell };
    let (all, of_segments) = judged.parts();
    let on = labels.trained_on();
    let with_rows = written.dates.iter().zip(trained).filter(|(date, _)| date.rows > 0);
    let data = Data {
        hash: data_hash(folder, written)?,
        dates: with_rows.map(|(date, on)| (date.as_of, *on)).collect(),
        horizon_days: rows.horizon_days,
        rows: on.len() as u64,
        bad: on.iter().filter(|n| rows.bad[**n]).count() as u64,
        subjects: labels.subjects(on.iter().copied()) as u64,
        lowered: rows.lowered,
        without_outcome: written.dates.iter().map(|d| d.without_outcome).sum(),
    };
    Ok(Report {
        start: job.model.label(),
        name: format!("{name}-{VERSION}"),
        earned: all.failures.is_empty() && of_segments.iter().all(|part| part.failures.is_empty()),
        data,
        validated: calibration.validated,
        neutral,
        intercept: calibration.line.intercept,
        points_to_double: calibration.points_to_double,
        all,
        segments: of_segments,
        tenths: judged.tenths(),
    })
}
