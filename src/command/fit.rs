//! `sesame fit`: a model from outcomes.

use std::path::PathBuf;

use anyhow::Result;

use super::dataset::{TrainingArgs, ValidationArgs};
use super::flags::Format;
use crate::exit::ExitStatus;
use crate::fit::load::{Bins, Missing, Weights};
use crate::fit::report::Report;
use crate::output::{Output, thousands};
use crate::pipeline::fitted::Validated;
use crate::report::page;
use crate::session::dataset;
use crate::session::fitting::Request;
use crate::storage::durable;

/// Flags of `fit`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which outcomes, at which dates.
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Which bins may be used.
    #[arg(long, value_enum, default_value_t)]
    pub bins: Bins,
    /// Whether categories keep their weights.
    #[arg(long, value_enum, default_value_t)]
    pub weights: Weights,
    /// Whether what is missing is fitted.
    #[arg(long, value_enum, default_value_t)]
    pub missing: Missing,
    /// An older date's rows weigh half as much for every so many days before the last that is trained on.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub half_life: Option<u32>,
    /// Which dates are only validated on.
    #[command(flatten)]
    pub validation: ValidationArgs,
    /// A feature that may know the outcome all the same; repeatable.
    #[arg(long, value_name = "FEATURE", requires = "because")]
    pub accept_leak: Vec<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", requires = "accept_leak")]
    pub because: Option<String>,
    /// The new model's name; the file's when not given.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write the report as a page to this file.
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The model file to write, which must not be there.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Fits a model.
///
/// # Errors
/// When there is too little to fit to, or a feature knows the outcome.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = args.training.pipeline.load()?;
    let stem = args.out.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let dataset = dataset::Request { gap: args.validation.gap()?, ..args.training.request(&pipeline, "fit")? };
    let request = Request {
        dataset,
        bins: args.bins,
        weights: args.weights,
        missing: args.missing,
        half_life_days: args.half_life.map(f64::from),
        validate_from: args.validation.from()?,
        accepted_leaks: args.accept_leak.clone(),
        because: args.because.clone(),
        out: args.out.clone(),
        name: args.name.clone().unwrap_or_else(|| stem.to_owned()),
    };
    let fit = request.run(output)?;
    if let Some(path) = &args.page {
        durable::replace(path, page::fit(&fit.report)?.as_bytes())?;
    }
    output.data(&match args.format {
        Format::Text => text(&fit.report, &args.out.display().to_string()),
        Format::Json => serde_json::to_string_pretty(&fit.report)? + "\n",
    })?;
    Ok(if fit.report.adopted { ExitStatus::Success } else { ExitStatus::Gate })
}

fn text(report: &Report, out: &str) -> String {
    let data = &report.data;
    let mut lines = vec![format!(
        "fitted to {} rows of {} subjects, {} bad, over {} days",
        thousands(data.rows),
        thousands(data.subjects),
        thousands(data.bad),
        data.horizon_days
    )];
    for (which, measures) in [(&report.start, report.before), (&report.name, report.after)] {
        let Some(m) = measures else { continue };
        let interval =
            m.ranking.auc_low.zip(m.ranking.auc_high).map_or_else(String::new, |(l, h)| format!(" ({l:.4} to {h:.4})"));
        lines.push(format!(
            "{which}: AUC {:.4}{interval}, KS {:.4}, log-loss {:.4}",
            m.ranking.auc, m.ranking.ks, m.log_loss
        ));
    }
    if let Some(d) = report.difference {
        lines.push(format!("difference {:+.4} ({:+.4} to {:+.4})", d.difference, d.low, d.high));
    }
    lines.push(match report.validated {
        Validated::OutOfTime => "measured on the later dates".to_owned(),
        Validated::CrossValidation => "measured on each fifth by a fit to the others; not out of time".to_owned(),
    });
    lines.push(format!("{:.1} points double the odds by these outcomes", report.points_to_double));
    for f in report.features.iter().filter(|f| f.contradicted) {
        lines.push(format!("the outcomes contradict {}: its points are gone", f.name));
    }
    lines.push(match report.adopted {
        true => format!("wrote {out}"),
        false => format!(
            "the outcomes do not support a change: the gain of {:.5} a row is within its standard error of {:.5}; nothing is written",
            report.gain, report.gain_error
        ),
    });
    lines.join("\n") + "\n"
}
