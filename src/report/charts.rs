//! What is drawn of an audit.

use std::collections::BTreeMap;

use anyhow::Result;

use super::chart::{Axis, Bar, Histogram, Interval, Line, intervals, lines, spark};
use crate::audit::Audit;
use crate::audit::propagation::{Lifted, Round};
use crate::audit::quality::{BadRate, Quality};
use crate::audit::scale::Cell;
use crate::fit::earned::Tenth;
use crate::statistics::proportion::wilson;

pub(super) fn whole(v: f64) -> String {
    format!("{v:.0}")
}

pub(super) fn percent(v: f64) -> String {
    let digits = usize::from(v < 0.1) + usize::from(v < 0.01);
    let text = format!("{:.digits$}", 100.0 * v);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    format!("{text} %")
}

/// Powers of ten, for what is drawn by its logarithm.
fn power(v: f64) -> String {
    if v.fract() == 0.0 { format!("1e{v:.0}") } else { String::new() }
}

/// What a histogram's bars are made of.
type Cells<'a> = &'a [(f64, f64, Option<u64>)];

/// Subjects per so many points, as a share of all that are shown.
fn densities(histogram: Cells, points: f64) -> Vec<Bar> {
    let all: f64 = histogram.iter().filter_map(|c| c.2).map(|s| s as f64).sum();
    let bar = |(from, below, subjects): &(f64, f64, Option<u64>)| {
        let width = (below - from).max(1.0);
        (*from, *below, subjects.map(|s| s as f64 / all.max(1.0) / width * points))
    };
    histogram.iter().map(bar).collect()
}

fn cells(histogram: &[Cell]) -> Vec<(f64, f64, Option<u64>)> {
    histogram.iter().map(|c| (c.from as f64, c.below as f64, c.subjects)).collect()
}

/// Names of what is shown together.
fn together(names: &[String]) -> String {
    match names {
        [first, .., last] => format!("{first} to {last}"),
        names => names.concat(),
    }
}

/// Every chart by its name; one without data is empty.
pub(super) fn charts(audit: &Audit) -> Result<BTreeMap<String, String>> {
    let mut charts = BTreeMap::new();
    let share = Axis { title: "of scored subjects", write: percent };
    charts.insert("scores".to_owned(), scores(audit, share)?);
    for category in &audit.scores.categories {
        let bars = densities(&cells(&category.histogram), 1.0);
        let x = Axis { title: "points of the category", write: whole };
        let chart = Histogram { bars: &bars, behind: &[], marks: &[], x, y: share }.draw()?;
        charts.insert(format!("category.{}", category.category), chart);
    }
    for feature in &audit.features {
        let heights: Vec<Option<f64>> = feature.bins.iter().map(|b| b.subjects.map(|s| s as f64)).collect();
        let name = &feature.feature;
        charts.insert(format!("feature.{name}"), spark(&heights, &format!("subjects by bin of {name}"))?);
    }
    let (rounds, lifted) =
        audit.propagation.as_ref().map_or((&[][..], &[][..]), |p| (p.rounds.as_slice(), p.lift.histogram.as_slice()));
    propagation(rounds, lifted, &mut charts)?;
    quality(audit.quality.as_ref().map(|q| &q.main), &mut charts)?;
    Ok(charts)
}

/// The scores, over those of the earlier run.
fn scores(audit: &Audit, share: Axis) -> Result<String> {
    let used = |bars: &[Bar]| -> Option<(f64, f64)> {
        let floor = bars.iter().filter_map(|b| b.2).fold(0.0, f64::max) / 500.0;
        let used: Vec<&Bar> = bars.iter().filter(|b| b.2.is_none_or(|h| h > floor)).collect();
        Some((used.first()?.0, used.last()?.1))
    };
    // The ends of the scale where next to nobody is are left out.
    let then = audit.drift.as_ref().and_then(|d| d.before.histogram.as_deref()).unwrap_or_default();
    let (now, before) = (densities(&cells(&audit.scores.histogram), 10.0), densities(&cells(then), 10.0));
    let ends = used(&now).into_iter().chain(used(&before)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let within = |bars: &[Bar]| -> Vec<Bar> {
        bars.iter().copied().filter(|b| ends.is_some_and(|(from, to)| b.0 >= from && b.1 <= to)).collect()
    };
    let (first, last) = ends.unwrap_or((0.0, 0.0));
    let mut marks: Vec<(f64, String)> = Vec::new();
    for band in &audit.scores.bands {
        let from = band.from as f64;
        if from < last {
            let mark = (from.max(first), band.bands.join(" to "));
            marks.retain(|m| m.0 != mark.0);
            marks.push(mark);
        }
    }
    let x = Axis { title: "score, in points", write: whole };
    Histogram { bars: &within(&now), behind: &within(&before), marks: &marks, x, y: share }.draw()
}

fn propagation(rounds: &[Round], lifted: &[Lifted], charts: &mut BTreeMap<String, String>) -> Result<()> {
    let curve = |of: fn(&Round) -> f64| -> Vec<(f64, f64)> {
        let points = rounds.iter().map(|r| (r.round as f64, of(r)));
        points.filter(|p| p.1 > 0.0).map(|(round, v)| (round, v.log10())).collect()
    };
    let both =
        [Line { points: curve(|r| r.bound), behind: true }, Line { points: curve(|r| r.residual), behind: false }];
    let round = Axis { title: "round", write: |v| if v.fract() == 0.0 { whole(v) } else { String::new() } };
    charts.insert(
        "residuals".to_owned(),
        lines(&both, round, Axis { title: "largest change of a share", write: power })?,
    );
    let lifted: Vec<_> = lifted.iter().map(|c| (c.from as f64, c.to as f64 + 1.0, Some(c.subjects))).collect();
    let bars = densities(&lifted, 1.0);
    let x = Axis { title: "what friends moved the score by, in points", write: whole };
    let y = Axis { title: "of subjects, per point", write: percent };
    charts.insert("lift".to_owned(), Histogram { bars: &bars, behind: &[], marks: &[], x, y }.draw()?);
    Ok(())
}

fn quality(quality: Option<&Quality>, charts: &mut BTreeMap<String, String>) -> Result<()> {
    let roc = quality.map_or(&[][..], |q| q.roc.as_slice());
    if roc.len() > 1 {
        let chance = Line { points: vec![(0.0, 0.0), (1.0, 1.0)], behind: true };
        let x = Axis { title: "good subjects below the score", write: percent };
        let y = Axis { title: "bad subjects below it", write: percent };
        charts.insert("roc".to_owned(), lines(&[chance, Line { points: roc.to_vec(), behind: false }], x, y)?);
    }
    let interval = |row: &BadRate| {
        let (value, range) = (row.bad_rate?, row.low?..row.high?);
        Some(Interval { name: together(&row.bands), value, range, expected: row.nominal_pd })
    };
    let bands: Vec<Interval> = quality.iter().flat_map(|q| &q.bands).filter_map(interval).collect();
    let y = Axis { title: "share that went bad", write: percent };
    charts.insert("bad_rates".to_owned(), intervals(&bands, "band", y)?);
    let cells = quality.map_or(&[][..], |q| q.cells.as_slice());
    charts.insert("calibration".to_owned(), intervals(&tenths(cells), "score from, in points", y)?);
    Ok(())
}

/// What went bad of each tenth of the scores, and what was said to.
pub(super) fn of_tenths(tenths: &[Tenth]) -> Result<String> {
    let interval = |t: &Tenth| Interval {
        name: t.from.to_string(),
        value: t.observed,
        range: t.low..t.high,
        expected: Some(t.expected),
    };
    let y = Axis { title: "share that went bad", write: percent };
    intervals(&tenths.iter().map(interval).collect::<Vec<_>>(), "score from, in points", y)
}

/// The cells of the scale in about ten parts of equal size.
fn tenths(cells: &[BadRate]) -> Vec<Interval> {
    let all: u64 = cells.iter().map(|c| c.subjects).sum();
    let (mut parts, mut from) = (Vec::new(), 0);
    for to in 1..=cells.len() {
        let held = &cells[from..to];
        let (subjects, bad) = held.iter().fold((0, 0), |(all, bad), c| (all + c.subjects, bad + c.bad));
        if subjects as f64 >= all as f64 / 10.0 || to == cells.len() {
            let (low, high) = wilson(bad, subjects);
            let nominal: f64 = held.iter().map(|c| c.nominal_pd.unwrap_or(0.0) * c.subjects as f64).sum();
            let of_one = |sum: f64| sum / (subjects as f64).max(1.0);
            parts.push(Interval {
                name: held[0].from.to_string(),
                value: of_one(bad as f64),
                range: low..high,
                expected: held[0].nominal_pd.map(|_| of_one(nominal)),
            });
            from = to;
        }
    }
    parts
}
