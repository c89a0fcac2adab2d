//! What is drawn of an audit.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::chart::{Axis, Bar, Histogram, Interval, Line, intervals, lines, spark};

fn whole(v: f64) -> String {
    format!("{v:.0}")
}

fn percent(v: f64) -> String {
    let digits = usize::from(v < 0.1) + usize::from(v < 0.01);
    let text = format!("{:.digits$}", 100.0 * v);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    format!("{text} %")
}

/// Powers of ten, for what is drawn by its logarithm.
fn power(v: f64) -> String {
    if v.fract() == 0.0 { format!("1e{v:.0}") } else { String::new() }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// Subjects per so many points, as a share of all that are shown.
fn densities(histogram: &Value, points: f64) -> Vec<Bar> {
    let all: f64 = rows(histogram).map(|r| number(&r["subjects"])).sum();
    let bar = |row: &Value| {
        let (from, below) = (number(&row["from"]), number(&row["below"]));
        let width = (below - from).max(1.0);
        (from, below, row["subjects"].as_f64().map(|s| s / all.max(1.0) / width * points))
    };
    rows(histogram).map(bar).collect()
}

/// Every chart by its name; one without data is empty.
pub fn charts(audit: &Value) -> Result<BTreeMap<String, String>> {
    let mut charts = BTreeMap::new();
    let scores = &audit["scores"];
    let bands: Vec<(f64, String)> = rows(&scores["bands"])
        .map(|row| {
            let names: Vec<&str> = rows(&row["bands"]).filter_map(Value::as_str).collect();
            (number(&row["from"]), names.join(" to "))
        })
        .collect();
    let used = |bars: &[Bar]| -> Option<(f64, f64)> {
        let least = bars.iter().filter_map(|b| b.2).fold(0.0, f64::max) / 500.0;
        let used: Vec<&Bar> = bars.iter().filter(|b| b.2.is_none_or(|h| h > least)).collect();
        Some((used.first()?.0, used.last()?.1))
    };
    // The ends of the scale where next to nobody is are left out.
    let (now, before) =
        (densities(&scores["histogram"], 10.0), densities(&audit["drift"]["before"]["histogram"], 10.0));
    let ends = used(&now).into_iter().chain(used(&before)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let within = |bars: &[Bar]| -> Vec<Bar> {
        bars.iter().copied().filter(|b| ends.is_some_and(|(from, to)| b.0 >= from && b.1 <= to)).collect()
    };
    let first = ends.map_or(0.0, |e| e.0);
    let last = ends.map_or(0.0, |e| e.1);
    let marks: Vec<(f64, String)> =
        bands.iter().filter(|m| m.0 < last).map(|(at, name)| (at.max(first), name.clone())).collect();
    let mut marks_shown: Vec<(f64, String)> = Vec::new();
    for mark in marks {
        marks_shown.retain(|m| m.0 != mark.0);
        marks_shown.push(mark);
    }
    let share = Axis { title: "of scored subjects", write: percent };
    let histogram = Histogram {
        bars: &within(&now),
        behind: &within(&before),
        marks: &marks_shown,
        x: Axis { title: "score, in points", write: whole },
        y: share,
    };
    charts.insert("scores".to_owned(), histogram.draw()?);
    for category in rows(&scores["categories"]) {
        let bars = densities(&category["histogram"], 1.0);
        let x = Axis { title: "points of the category", write: whole };
        let chart = Histogram { bars: &bars, behind: &[], marks: &[], x, y: share }.draw()?;
        charts.insert(format!("category.{}", category["category"].as_str().unwrap_or_default()), chart);
    }
    for feature in rows(&audit["features"]) {
        let name = feature["feature"].as_str().unwrap_or_default();
        let heights: Vec<Option<f64>> = rows(&feature["bins"]).map(|b| b["subjects"].as_f64()).collect();
        charts.insert(format!("feature.{name}"), spark(&heights, &format!("subjects by bin of {name}"))?);
    }
    propagation(&audit["propagation"], &mut charts)?;
    quality(&audit["quality"], &mut charts)?;
    Ok(charts)
}

fn propagation(audit: &Value, charts: &mut BTreeMap<String, String>) -> Result<()> {
    let curve = |key: &str| -> Vec<(f64, f64)> {
        let points = rows(&audit["rounds"]).map(|r| (number(&r["round"]), number(&r[key])));
        points.filter(|p| p.1 > 0.0).map(|(round, v)| (round, v.log10())).collect()
    };
    let both = [Line { points: curve("bound"), behind: true }, Line { points: curve("residual"), behind: false }];
    let round = Axis { title: "round", write: |v| if v.fract() == 0.0 { whole(v) } else { String::new() } };
    charts.insert(
        "residuals".to_owned(),
        lines(&both, round, Axis { title: "largest change of a share", write: power })?,
    );
    let lifts: Vec<Bar> = {
        let all: f64 = rows(&audit["lift"]["histogram"]).map(|r| number(&r["subjects"])).sum();
        let bar = |r: &Value| {
            let (from, below) = (number(&r["from"]), number(&r["to"]) + 1.0);
            (from, below, r["subjects"].as_f64().map(|s| s / all / (below - from)))
        };
        rows(&audit["lift"]["histogram"]).map(bar).collect()
    };
    let x = Axis { title: "what friends moved the score by, in points", write: whole };
    let y = Axis { title: "of subjects, per point", write: percent };
    charts.insert("lift".to_owned(), Histogram { bars: &lifts, behind: &[], marks: &[], x, y }.draw()?);
    Ok(())
}

fn quality(audit: &Value, charts: &mut BTreeMap<String, String>) -> Result<()> {
    let roc: Vec<(f64, f64)> = rows(&audit["roc"]).map(|p| (number(&p[0]), number(&p[1]))).collect();
    if roc.len() > 1 {
        let chance = Line { points: vec![(0.0, 0.0), (1.0, 1.0)], behind: true };
        let x = Axis { title: "good subjects below the score", write: percent };
        let y = Axis { title: "bad subjects below it", write: percent };
        charts.insert("roc".to_owned(), lines(&[chance, Line { points: roc, behind: false }], x, y)?);
    }
    let interval = |row: &Value, name: String| {
        let value = row["bad_rate"].as_f64()?;
        let expected = row["nominal_pd"].as_f64();
        Some(Interval { name, value, range: number(&row["low"])..number(&row["high"]), expected })
    };
    let bands = rows(&audit["bands"]).filter_map(|row| {
        let names: Vec<&str> = rows(&row["bands"]).filter_map(Value::as_str).collect();
        let name = match names.as_slice() {
            [first, .., last] => format!("{first} to {last}"),
            names => names.concat(),
        };
        interval(row, name)
    });
    let y = Axis { title: "share that went bad", write: percent };
    charts.insert("bad_rates".to_owned(), intervals(&bands.collect::<Vec<_>>(), "band", y)?);
    // The cells in about ten parts of equal size.
    let all: f64 = rows(&audit["cells"]).map(|r| number(&r["subjects"])).sum();
    let (mut parts, mut held): (Vec<Interval>, Vec<&Value>) = (Vec::new(), Vec::new());
    let cells: Vec<&Value> = rows(&audit["cells"]).collect();
    for (n, cell) in cells.iter().enumerate() {
        held.push(cell);
        let sum = |key: &str| held.iter().map(|c| number(&c[key])).sum::<f64>();
        let subjects = sum("subjects");
        if subjects >= all / 10.0 || n + 1 == cells.len() {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of subjects")]
            let (low, high) = crate::statistics::proportion::wilson(sum("bad") as u64, subjects as u64);
            let nominal: f64 = held.iter().map(|c| number(&c["nominal_pd"]) * number(&c["subjects"])).sum();
            parts.push(Interval {
                name: held[0]["from"].to_string(),
                value: sum("bad") / subjects.max(1.0),
                range: low..high,
                expected: held[0]["nominal_pd"].is_f64().then(|| nominal / subjects.max(1.0)),
            });
            held.clear();
        }
    }
    charts.insert("calibration".to_owned(), intervals(&parts, "score from, in points", y)?);
    Ok(())
}
