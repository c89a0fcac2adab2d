//! `sesame calibrate`: what a score is worth, from outcomes.

use std::path::PathBuf;

use anyhow::Result;

use super::dataset::{TrainingArgs, ValidationArgs};
use super::flags::Format;
use crate::exit::ExitStatus;
use crate::fit::calibration::Report;
use crate::fit::earned::{LEAST_BAD, OBSERVED_EXPECTED, Part, SLOPE};
use crate::output::{Output, thousands};
use crate::pipeline::fitted::Validated;
use crate::report::page;
use crate::session::calibrating::Request;
use crate::session::dataset;
use crate::storage::durable;

/// Flags of `calibrate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which outcomes, at which dates.
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Which dates are only validated on.
    #[command(flatten)]
    pub validation: ValidationArgs,
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

/// Calibrates a model's score.
///
/// # Errors
/// When there is too little to fit to, or better scores go with more bad.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = args.training.pipeline.load()?;
    let stem = args.out.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let dataset = dataset::Request { gap: args.validation.gap()?, ..args.training.request(&pipeline, "calibrate")? };
    let request = Request {
        dataset,
        validate_from: args.validation.from()?,
        out: args.out.clone(),
        name: args.name.clone().unwrap_or_else(|| stem.to_owned()),
    };
    let report = request.run(output)?;
    if let Some(path) = &args.page {
        durable::replace(path, page::calibration(&report)?.as_bytes())?;
    }
    output.data(&match args.format {
        Format::Text => text(&report, &args.out.display().to_string()),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    })?;
    Ok(if report.earned { ExitStatus::Success } else { ExitStatus::Gate })
}

fn text(report: &Report, out: &str) -> String {
    let data = &report.data;
    let mut lines = vec![
        format!(
            "fitted to {} rows of {} subjects, {} bad, over {} days",
            thousands(data.rows),
            thousands(data.subjects),
            thousands(data.bad),
            data.horizon_days
        ),
        format!(
            "{:.1} good to each bad one at {}, and twice as many every {:.1} points",
            libm::exp(report.intercept),
            report.neutral,
            report.points_to_double
        ),
        match report.validated {
            Validated::OutOfTime => "measured on the later dates".to_owned(),
            Validated::CrossValidation => "measured on each fifth by a line of the others; not out of time".to_owned(),
        },
        String::new(),
        format!(
            "{:<24} {:>10} {:>8} {:>9} {:>9}  {:<24}  {:<16}",
            "", "rows", "bad", "observed", "expected", "observed/expected, 95 %", "slope, 95 %"
        )
        .trim_end()
        .to_owned(),
    ];
    lines.extend(std::iter::once(&report.all).chain(&report.segments).map(line));
    lines.push(String::new());
    if report.earned {
        lines.push(format!("wrote {out}: with it a score has a `pd`"));
        return lines.join("\n") + "\n";
    }
    lines.extend(report.failures());
    lines.push(format!(
        "the outcomes do not support it: on rows that were not fitted to, the slope's interval must lie within {} and {}, and observed over \
         expected bad within {} and {}, on the whole and in each segment in which {LEAST_BAD} subjects went bad; nothing is written",
        SLOPE.start(),
        SLOPE.end(),
        OBSERVED_EXPECTED.start(),
        OBSERVED_EXPECTED.end()
    ));
    lines.join("\n") + "\n"
}

/// A line of the table.
fn line(part: &Part) -> String {
    let name = part.segment.as_deref().unwrap_or("all rows");
    if !part.judged {
        return format!("{name:<24} too few went bad to be judged");
    }
    let count = |of: Option<u64>| of.map_or_else(|| "hidden".to_owned(), thousands);
    let share = |of: Option<f64>| of.map_or_else(|| "hidden".to_owned(), |f| format!("{:.2} %", 100.0 * f));
    let interval = |low: Option<f64>, high: Option<f64>| {
        low.zip(high).map_or_else(|| "none".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"))
    };
    let ratio = part.observed_expected.map_or_else(String::new, |r| format!("{r:.3}, "));
    let ratio = ratio + &interval(part.observed_expected_low, part.observed_expected_high);
    format!(
        "{name:<24} {:>10} {:>8} {:>9} {:>9}  {ratio:<24}  {}",
        count(part.rows),
        count(part.bad),
        share(part.observed),
        share(part.expected),
        interval(part.slope_low, part.slope_high)
    )
}
