//! What is drawn of a history. Each model has a line of its own; those before the newest stand behind it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;

use super::figures::{Area, Figures, Rows, share};
use super::{Entry, History};
use crate::audit::scale::BandRow;
use crate::contract::day_number;
use crate::report::chart::Axis;
use crate::report::charts::{percent, whole};
use crate::report::dated::{Between, Curve, Dated, Dates, FEW, Stack, density, stacks};

/// What is told at days.
type Points<T> = Vec<(f64, Option<T>)>;

/// The entries, each with its day, in order.
struct Over<'a> {
    entries: Vec<(f64, &'a Entry)>,
    models: Vec<&'a str>,
    dates: Dates,
}

/// Every chart by its name; one of which nothing is told is empty.
pub(in crate::report) fn charts(history: &History) -> Result<BTreeMap<String, String>> {
    let over = Over::of(history)?;
    let mut charts = BTreeMap::new();
    charts.insert("coverage".to_owned(), coverage(&over)?);
    charts.insert("scores".to_owned(), scores(&over)?);
    charts.insert("bands".to_owned(), bands(&over)?);
    charts.insert("drift".to_owned(), drift(&over)?);
    charts.insert("quality".to_owned(), quality(&over, horizon(history))?);
    charts.insert("quarantine".to_owned(), quarantine(&over)?);
    for table in history.tables() {
        let curves = over.curves(&|figures| Some(figures.tables.get(table)?.rows as f64));
        let range = from_nothing(&curves, 1.0);
        charts.insert(format!("rows.{table}"), over.draw(curves, range, Axis { title: "rows", write: large })?);
    }
    let curves = over.curves(&|figures| Some(figures.seconds));
    let range = from_nothing(&curves, 0.1);
    charts.insert("seconds".to_owned(), over.draw(curves, range, Axis { title: "seconds", write: plain })?);
    Ok(charts)
}

/// The horizon of outcomes that is drawn: the newest date's first.
pub(in crate::report) fn horizon(history: &History) -> Option<i64> {
    history.figures().rev().find_map(|figures| figures.auc.first()).map(|area| area.horizon_days)
}

/// How densely the bands of the newest date that tells them are drawn, from the lowest up.
pub(in crate::report) fn shades(history: &History) -> Vec<(String, f64)> {
    let newest = history.figures().rev().find(|figures| !figures.bands.is_empty());
    let names: Vec<&String> = newest.iter().flat_map(|figures| &figures.bands).flat_map(|row| &row.bands).collect();
    names.iter().enumerate().map(|(n, name)| ((*name).clone(), density(shade(n, n, names.len())))).collect()
}

/// The shade of bands that are shown together, by their places among all.
fn shade(first: usize, last: usize, bands: usize) -> f64 {
    (first + last) as f64 / 2.0 / (bands.max(2) - 1) as f64
}

impl<'a> Over<'a> {
    fn of(history: &'a History) -> Result<Self> {
        let with_day = |entry: &'a Entry| -> Result<(f64, &'a Entry)> { Ok((day_number(entry.as_of)? as f64, entry)) };
        let entries: Vec<(f64, &'a Entry)> = history.entries.iter().map(with_day).collect::<Result<_>>()?;
        let mut dates: Vec<(f64, String)> =
            entries.iter().map(|(day, entry)| (*day, entry.as_of.to_string())).collect();
        dates.dedup_by(|a, b| a.0 == b.0);
        let models = history.models();
        let begins = |model: &&str| {
            let first = entries.iter().find(|(_, entry)| entry.model == **model)?;
            Some((first.0, (*model).to_owned()))
        };
        // A single model needs no name in every chart.
        let marks: Vec<(f64, String)> =
            if models.len() > 1 { models.iter().filter_map(begins).collect() } else { Vec::new() };
        let dates = Dates::new(&dates, marks);
        Ok(Self { entries, models, dates })
    }

    /// The model of the newest date; of several the last by name.
    fn newest(&self) -> Option<&'a str> {
        self.entries.last().map(|(_, entry)| entry.model.as_str())
    }

    /// What the entries of each model tell.
    fn by_model<T>(&self, of: &dyn Fn(&Figures) -> Option<T>) -> Vec<(bool, Points<T>)> {
        let newest = self.newest();
        let points = |model: &&str| {
            let entries = self.entries.iter().filter(|(_, entry)| entry.model == **model);
            let points: Points<T> = entries.map(|(day, entry)| (*day, entry.figures.as_ref().and_then(of))).collect();
            (newest != Some(*model), points)
        };
        self.models.iter().map(points).collect()
    }

    fn curves(&self, of: &dyn Fn(&Figures) -> Option<f64>) -> Vec<Curve> {
        self.by_model(of).into_iter().map(|(behind, points)| Curve { points, behind }).collect()
    }

    fn between(&self, filled: Option<f64>, of: &dyn Fn(&Figures) -> Option<(f64, f64)>) -> Vec<Between> {
        self.by_model(of).into_iter().map(|(behind, points)| Between { points, behind, filled }).collect()
    }

    fn draw(&self, curves: Vec<Curve>, range: Range<f64>, y: Axis) -> Result<String> {
        Dated { dates: &self.dates, between: Vec::new(), curves, range, y }.draw()
    }
}

fn values(curves: &[Curve]) -> impl Iterator<Item = f64> {
    curves.iter().flat_map(|curve| &curve.points).filter_map(|point| point.1)
}

/// From nothing to above the highest value, and at least so far.
fn from_nothing(curves: &[Curve], least: f64) -> Range<f64> {
    0.0..values(curves).fold(least, |highest, value| highest.max(1.1 * value))
}

/// About the values, at least so much, and not beyond some ends.
fn about(values: impl Iterator<Item = f64>, least: f64, ends: Range<f64>) -> Range<f64> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return ends;
    }
    let room = ((high - low) / 10.0).max((least - (high - low)) / 2.0);
    (low - room).max(ends.start)..(high + room).min(ends.end)
}

fn coverage(over: &Over) -> Result<String> {
    let curves = over.curves(&|figures| figures.scored_share);
    let range = about(values(&curves), 0.02, 0.0..1.0);
    let y = Axis { title: "% of the subjects", write: hundredths_over(&range) };
    over.draw(curves, range, y)
}

/// The mean, over what holds half and nine tenths of the scores.
fn scores(over: &Over) -> Result<String> {
    let quantile = |figures: &Figures, name: &str| figures.quantiles.get(name).copied().flatten().map(|v| v as f64);
    let outer = over.between(Some(0.15), &|figures| Some((quantile(figures, "p05")?, quantile(figures, "p95")?)));
    let inner = over.between(Some(0.25), &|figures| Some((quantile(figures, "p25")?, quantile(figures, "p75")?)));
    let curves = over.curves(&|figures| figures.mean);
    let between: Vec<Between> = outer.into_iter().chain(inner).collect();
    let all = values(&curves).chain(ends(&between));
    let range = about(all, 20.0, f64::NEG_INFINITY..f64::INFINITY);
    let y = Axis { title: "score, in points", write: whole };
    Dated { dates: &over.dates, between, curves, range, y }.draw()
}

fn ends(between: &[Between]) -> impl Iterator<Item = f64> {
    between.iter().flat_map(|b| &b.points).filter_map(|point| point.1).flat_map(|(low, high)| [low, high])
}

/// A stack for each date: of several models the newest one's, where it is among them.
fn bands(over: &Over) -> Result<String> {
    let mut drawn = Vec::new();
    for of_date in over.entries.chunk_by(|a, b| a.0 == b.0) {
        let newest = of_date.iter().find(|(_, entry)| over.newest() == Some(entry.model.as_str()));
        if let Some((day, entry)) = newest.or(of_date.last())
            && let Some(figures) = &entry.figures
        {
            drawn.push(Stack { day: *day, shares: shares(&figures.bands) });
        }
    }
    stacks(&over.dates, &drawn, Axis { title: "of scored subjects", write: percent })
}

/// The share and the shade of each band; nothing where one is hidden, for then no share is told.
fn shares(rows: &[BandRow]) -> Option<Vec<(f64, f64)>> {
    let counts: Vec<u64> = rows.iter().map(|row| row.subjects).collect::<Option<_>>()?;
    let (scored, bands): (u64, usize) = (counts.iter().sum(), rows.iter().map(|row| row.bands.len()).sum());
    let mut first = 0;
    let mut shares = Vec::new();
    for (row, count) in rows.iter().zip(counts) {
        let next = first + row.bands.len();
        shares.push((share(count, scored), shade(first, next.saturating_sub(1), bands)));
        first = next;
    }
    Some(shares)
}

/// How far scores moved since the run before, over since the first date.
fn drift(over: &Over) -> Result<String> {
    let mut curves = over.curves(&|figures| Some(figures.psi_first?.psi));
    curves.iter_mut().for_each(|curve| curve.behind = true);
    let mut previous = over.curves(&|figures| Some(figures.psi_previous?.psi));
    previous.iter_mut().for_each(|curve| curve.behind = false);
    curves.append(&mut previous);
    let range = from_nothing(&curves, 0.02);
    over.draw(curves, range, Axis { title: "PSI", write: plain })
}

fn quality(over: &Over, horizon: Option<i64>) -> Result<String> {
    let area = |figures: &Figures| -> Option<Area> {
        figures.auc.iter().find(|area| Some(area.horizon_days) == horizon).copied()
    };
    let curves = over.curves(&|figures| Some(area(figures)?.auc));
    // Among many dates intervals run into each other.
    let filled = (over.entries.len() > FEW).then_some(0.2);
    let between = over.between(filled, &|figures| area(figures)?.low.zip(area(figures)?.high));
    let range = about(values(&curves).chain(ends(&between)), 0.05, 0.0..1.0);
    Dated { dates: &over.dates, between, curves, range, y: Axis { title: "AUC", write: plain } }.draw()
}

/// The share of rows that is quarantined, over that of the table with the largest.
fn quarantine(over: &Over) -> Result<String> {
    let mut curves = over.curves(&|figures| figures.tables.values().map(|t| t.quarantined_share).reduce(f64::max));
    curves.iter_mut().for_each(|curve| curve.behind = true);
    let mut all = over.curves(&|figures| {
        let sum = |of: fn(&Rows) -> u64| -> u64 { figures.tables.values().map(of).sum() };
        Some(share(sum(|t| t.quarantined), sum(|t| t.visible)))
    });
    all.iter_mut().for_each(|curve| curve.behind = false);
    curves.append(&mut all);
    let range = from_nothing(&curves, 0.001);
    let y = Axis { title: "% of the visible rows", write: hundredths_over(&range) };
    over.draw(curves, range, y)
}

/// A number without zeros that say nothing.
fn trimmed(v: f64, digits: usize) -> String {
    let text = format!("{v:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn plain(v: f64) -> String {
    trimmed(v, 4)
}

fn large(v: f64) -> String {
    match v {
        v if v >= 1e6 => format!("{} M", trimmed(v / 1e6, 2)),
        v if v >= 1e3 => format!("{} k", trimmed(v / 1e3, 2)),
        v => trimmed(v, 1),
    }
}

/// Hundredths as fine as a range needs them.
fn hundredths_over(range: &Range<f64>) -> fn(f64) -> String {
    match range.end - range.start {
        wide if wide > 0.1 => |v| trimmed(100.0 * v, 0),
        wide if wide > 0.01 => |v| trimmed(100.0 * v, 1),
        _ => |v| trimmed(100.0 * v, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_values_and_have_room() {
        let is = |found: Range<f64>, low: f64, high: f64| (found.start - low).abs() + (found.end - high).abs() < 1e-12;
        assert!(is(about([0.5, 0.6].into_iter(), 0.02, 0.0..1.0), 0.49, 0.61));
        assert!(is(about([0.5].into_iter(), 0.02, 0.0..1.0), 0.49, 0.51));
        assert!(is(about([1.0].into_iter(), 0.02, 0.0..1.0), 0.99, 1.0));
        assert_eq!(about(std::iter::empty(), 0.02, 0.0..1.0), 0.0..1.0);
    }

    #[test]
    fn figures_are_as_fine_as_their_axis() {
        assert_eq!(hundredths_over(&(0.0..1.0))(0.2), "20");
        assert_eq!(hundredths_over(&(0.9..0.95))(0.915), "91.5");
        assert_eq!(hundredths_over(&(0.0..0.001))(0.000_25), "0.025");
        assert_eq!([12.0, 1_500.0, 2e6].map(large), ["12", "1.5 k", "2 M"]);
        assert_eq!([0.0, 0.05, 3.0].map(plain), ["0", "0.05", "3"]);
    }

    #[test]
    fn bands_that_are_shown_together_have_the_shade_between() {
        let row = |bands: &[&str], subjects| {
            let bands = bands.iter().map(|name| (*name).to_owned()).collect();
            BandRow { bands, from: 0, below: 1, subjects }
        };
        let rows = [row(&["poor", "fair"], Some(25)), row(&["good"], Some(75))];
        assert_eq!(shares(&rows).unwrap(), [(0.25, 0.25), (0.75, 1.0)]);
        assert_eq!(shares(&[row(&["poor"], Some(25)), row(&["good"], None)]), None);
        assert_eq!(shares(&[row(&["all"], Some(0))]).unwrap(), [(0.0, 0.0)]);
    }
}
