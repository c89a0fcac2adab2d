//! Templates filled in: one file that opens anywhere, without a script and without the network.

use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value as Cell};
use minijinja::{AutoEscape, Environment, context};

use super::charts::{charts, of_tenths};
use super::findings::{first, moved};
use super::history::{self, History};
use crate::access::parts::Answer;
use crate::access::text::{held_against, links};
use crate::access::words::Words;
use crate::audit::Audit;
use crate::explain::parts::Explanation;
use crate::fit::calibration;
use crate::fit::report::Report;
use crate::ingest::check::conservation::Class;
use crate::output::{printable, thousands};
use crate::pipeline::marks::Marks;

const HEAD: &str = include_str!("templates/head.html");
const STYLE: &str = include_str!("templates/style.css");
const CALIBRATION: &str = include_str!("templates/calibration.html");
const AUDIT: &str = include_str!("templates/audit.html");
const EXPLANATION: &str = include_str!("templates/explanation.html");
const ACCESS: &str = include_str!("templates/access.html");
const FIT: &str = include_str!("templates/fit.html");
const HISTORY: &str = include_str!("templates/history.html");

/// The audit as a page.
///
/// # Errors
/// When it cannot be filled in.
pub fn audit(audit: &Audit) -> Result<String> {
    let values = context! {
        // By way of a value: its keys are in order of the alphabet.
        audit => Serde(serde_json::to_value(audit)?),
        charts => Serde(charts(audit)?),
        first => Serde(first(audit)),
        classes => classes(audit),
        head => HEAD,
        style => STYLE,
    };
    fill(AUDIT, values, audit.marks)
}

/// The explanation of one subject's score as a page; the texts of reasons in a language.
///
/// # Errors
/// When it cannot be filled in.
pub fn explanation(explanation: &Explanation, language: &str) -> Result<String> {
    let values = context! { it => Serde(explanation), language => language, head => HEAD, style => STYLE };
    fill(EXPLANATION, values, Marks::default())
}

/// What is held about a subject as a page, in a language.
///
/// # Errors
/// When it cannot be filled in.
pub fn access(answer: &Answer, words: &Words, language: &str) -> Result<String> {
    let values = context! {
        it => Serde(answer),
        w => Serde(words),
        links => links(&answer.links, words),
        held_against => held_against(answer, words),
        language => language,
        head => HEAD,
        style => STYLE,
    };
    fill(ACCESS, values, Marks::default())
}

/// What a fit came to as a page.
///
/// # Errors
/// When it cannot be filled in.
pub fn fit(report: &Report) -> Result<String> {
    fill(FIT, context! { it => Serde(report), head => HEAD, style => STYLE }, Marks::default())
}

/// What a calibration came to as a page.
///
/// # Errors
/// When it cannot be filled in.
pub fn calibration(report: &calibration::Report) -> Result<String> {
    let failures: Vec<String> = report.failures().collect();
    let chart = of_tenths(&report.tenths)?;
    let values = context! { it => Serde(report), failures => failures, chart => chart, head => HEAD, style => STYLE };
    fill(CALIBRATION, values, Marks::default())
}

/// The history of a pipeline as a page.
///
/// # Errors
/// When it cannot be filled in.
pub fn history(history: &History) -> Result<String> {
    let values = context! {
        history => Serde(history),
        charts => Serde(history::charts::charts(history)?),
        horizon => Serde(history::charts::horizon(history)),
        shades => Serde(history::charts::shades(history)),
        models => Serde(history.models()),
        tables => Serde(history.tables()),
        quantiles => Serde(history.quantiles()),
        head => HEAD,
        style => STYLE,
    };
    fill(HISTORY, values, Marks::default())
}

/// The classes that some row is in, in order.
fn classes(audit: &Audit) -> Vec<&'static str> {
    let used = |class: &Class| audit.conservation.values().any(|t| t.counts.class(*class).is_some_and(|rows| rows > 0));
    Class::ALL.into_iter().filter(used).map(Class::name).collect()
}

fn fill(template: &str, values: Cell, marks: Marks) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("count", count);
    environment.add_filter("percent", percent);
    environment.add_filter("number", number);
    environment.add_filter("signed", signed);
    environment.add_filter("bytes", bytes);
    environment.add_filter("names", names);
    environment.add_filter("heat", heat);
    environment.add_filter("moved", move |index: f64, chance: f64| Cell::from(Serde(moved(&marks, index, chance))));
    // Ids and names of groups are a user's: nothing in them turns the reading direction of the page.
    Ok(printable(&environment.render_str(template, values).context("filling in a page")?))
}

/// A count; what is hidden is said to be, and why.
fn count(value: Cell) -> Cell {
    match u64::try_from(value) {
        Ok(count) => Cell::from(thousands(count)),
        Err(_) => Cell::from_safe_string(
            "<span class=\"hidden\" title=\"hidden: it is small, or would tell a small count\">hidden</span>"
                .to_owned(),
        ),
    }
}

fn figure(value: Cell, write: impl Fn(f64) -> String) -> Cell {
    match f64::try_from(value) {
        Ok(figure) => Cell::from(write(figure).replace('-', "−")),
        Err(_) => Cell::from("–"),
    }
}

/// A share as a percentage with so many decimals.
fn percent(value: Cell, digits: Option<usize>) -> Cell {
    let digits = digits.unwrap_or(1);
    figure(value, |f| format!("{:.digits$} %", 100.0 * f))
}

fn number(value: Cell, digits: Option<usize>) -> Cell {
    let digits = digits.unwrap_or(2);
    figure(value, |f| format!("{f:.digits$}"))
}

fn signed(value: Cell, digits: Option<usize>) -> Cell {
    let digits = digits.unwrap_or(2);
    figure(value, |f| format!("{f:+.digits$}"))
}

fn bytes(value: Cell) -> Cell {
    figure(value, |f| if f >= 1e9 { format!("{:.2} GB", f / 1e9) } else { format!("{:.1} MB", f / 1e6) })
}

/// Names of what is shown together.
#[allow(clippy::needless_pass_by_value, reason = "a filter takes its arguments by value")]
fn names(value: Vec<String>) -> String {
    match value.as_slice() {
        [first, .., last] => format!("{first} to {last}"),
        names => names.concat(),
    }
}

/// One of six shades for a count's part of a whole.
fn heat(value: Cell, of: f64) -> u8 {
    let part = f64::try_from(value).unwrap_or(0.0) / of.max(1.0);
    [0.005, 0.02, 0.05, 0.1, 0.2].iter().filter(|step| part >= **step).fold(0, |n, _| n + 1)
}
