//! Calibrated models: a probability where outcomes support one, the same bytes for any number of threads, none for other points, and
//! none where a segment says otherwise.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int16Type};
use serde_json::Value;

use crate::exports::{Export, read};
use crate::workdir::{Ended, Workdir, repository};

const DAY: &str = "2025-10-31";

/// A population of so many subjects.
fn people(work: &Workdir, subjects: &str, seed: &str) -> PathBuf {
    let folder = work.path(&format!("people-{subjects}"));
    let name = folder.to_str().unwrap();
    work.sesame(["generate", name, "--subjects", subjects, "--seed", seed, "--months", "14"]).expect(0);
    folder
}

fn calibrate(work: &Workdir, export: &Path, more: &[&str]) -> Ended {
    work.sesame(work.arguments("calibrate", export, "out", &[&["--from", DAY], more].concat()))
}

/// Segment, score and id of every scored subject.
fn scored(table: &RecordBatch) -> Vec<(String, i16, String)> {
    let ids = table.column_by_name("subject_id").unwrap().as_string::<i32>();
    let segments = table.column_by_name("segment").unwrap().as_string::<i32>();
    let scores = table.column_by_name("score").unwrap().as_primitive::<Int16Type>();
    let of = |n: usize| (segments.value(n).to_owned(), scores.value(n), ids.value(n).to_owned());
    (0..table.num_rows()).filter(|n| scores.is_valid(*n)).map(of).collect()
}

/// Outcomes that follow the score by a line: even odds at 635, and twice as good every 10 points. Of subjects of a segment in order of
/// their score, one goes bad whenever the sum of the probabilities passes a whole number; in one segment they can be turned around.
fn planted(table: &RecordBatch, turned: Option<&str>) -> (Vec<String>, Vec<bool>) {
    let mut rows = scored(table);
    rows.sort();
    let mut sum = 0.0_f64;
    let mut bad = |segment: &str, score: i16| {
        let before = sum.floor();
        sum += 1.0 / (1.0 + ((f64::from(score) - 635.0) / 10.0).exp2());
        (sum.floor() > before) != (turned == Some(segment))
    };
    rows.into_iter().map(|(segment, score, id)| (id, bad(&segment, score))).unzip()
}

fn write(path: &Path, ids: &[String], bad: &[bool], days: &[&str], horizon: i32) {
    let all = ids.len() * days.len();
    let dates: Vec<Option<&str>> = days.iter().flat_map(|day| vec![Some(*day); ids.len()]).collect();
    Export::new()
        .text("subject_id", days.iter().flat_map(|_| ids.iter().map(String::as_str)))
        .date("as_of", &dates)
        .int("horizon_days", std::iter::repeat_n(horizon, all))
        .column("bad", Arc::new(BooleanArray::from(bad.repeat(days.len()))))
        .write(path);
}

#[test]
fn a_calibrated_model_gives_every_score_a_probability() {
    let work = Workdir::new();
    let export = people(&work, "20000", "7");
    work.run(&export, "plain", &[]).expect(0);
    let plain = read(&work.scores_path("plain"));
    let (ids, bad) = planted(&plain, None);
    let outcomes = work.path("planted.parquet");
    write(&outcomes, &ids, &bad, &[DAY], 365);
    let on = |model: &str, more: &[&str]| {
        calibrate(&work, &export, &[&["--outcomes", outcomes.to_str().unwrap(), "--out", model], more].concat())
    };
    let said = on("own.toml", &["--threads", "1", "--name", "own", "--page", "own.html", "--format", "json"]).expect(0);
    on("again.toml", &["--threads", "2", "--name", "own"]).expect(0).says("wrote again.toml");
    let text = std::fs::read_to_string(work.path("own.toml")).unwrap();
    assert_eq!(text, std::fs::read_to_string(work.path("again.toml")).unwrap());
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let number = |key: &str| report[key].as_f64().unwrap();
    assert!((number("points_to_double") - 10.0).abs() < 0.3, "{report}");
    assert!((number("intercept") + 3.5 * std::f64::consts::LN_2).abs() < 0.15, "{report}");
    assert_eq!((&report["earned"], &report["validated"]), (&Value::from(true), &Value::from("cross-validation")));
    assert_eq!(report["data"]["bad"], bad.iter().filter(|bad| **bad).count());
    assert!(report["segments"].as_array().unwrap().iter().all(|s| s["judged"] == true && s["bad"].is_u64()));
    assert!(report["tenths"].as_array().unwrap().len() >= 5, "{report}");
    let page = std::fs::read_to_string(work.path("own.html")).unwrap();
    assert!(page.contains("not out of time") || page.contains("of the same time"));

    // Nothing else of the model changed, and no comment of it.
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let model = |text: &str| -> toml::Table { toml::from_str(text).unwrap() };
    let (old, new) = (model(&standard), model(&text));
    let free = ["name", "version", "catalogue"];
    assert!(old.iter().all(|(key, value)| free.contains(&key.as_str()) || new[key] == *value));
    assert!(standard.lines().filter(|l| l.starts_with('#')).all(|l| text.contains(l)));

    let with = |command: &str, model: &str, output: &str| {
        let path = work.path(model).display().to_string();
        work.sesame(work.arguments(command, &export, output, &["--model", &path]))
    };
    with("check", "own.toml", "out").expect(0);
    with("run", "own.toml", "scored").expect(0);
    let table = read(&work.scores_path("scored"));
    let width = table.num_columns();
    assert_eq!(table.schema().field(width - 1).name(), "pd");
    // The score is what it was, and so is every other column.
    assert_eq!(width, plain.num_columns() + 1);
    assert!(plain.columns().iter().zip(table.columns()).all(|(a, b)| a.as_ref() == b.as_ref()));
    let pd = table.column(width - 1).as_primitive::<Float64Type>();
    let score = table.column_by_name("score").unwrap().as_primitive::<Int16Type>();
    let calibration = &new["calibration"];
    let (a, p) = (calibration["intercept"].as_float().unwrap(), calibration["points_to_double"].as_float().unwrap());
    let (mut sum, mut count) = (0.0, 0.0);
    for n in 0..table.num_rows() {
        assert_eq!(pd.is_valid(n), score.is_valid(n));
        if score.is_valid(n) {
            let expected = 1.0 / (1.0 + a.exp() * ((f64::from(score.value(n)) - 600.0) / p).exp2());
            assert!((pd.value(n) - expected).abs() < 1e-6, "{} {expected}", pd.value(n));
            assert_eq!((pd.value(n) * 1e6).round() / 1e6, pd.value(n));
            sum += pd.value(n);
            count += 1.0;
        }
    }
    let rate = bad.iter().filter(|bad| **bad).count() as f64 / bad.len() as f64;
    assert!((sum / count - rate).abs() < 0.005, "{} and {rate}", sum / count);
    let scores = work.audit("scored")["scores"].clone();
    assert_eq!(scores["pd_calibrated"], true);
    assert_eq!(scores["calibration"]["bad"], report["data"]["bad"]);
    assert_eq!(scores["calibration"]["points_hash"], calibration["points_hash"].as_str().unwrap());
    assert_eq!(work.audit("plain")["scores"]["pd_calibrated"], false);
    assert!(work.audit("plain")["scores"].get("calibration").is_none());
    let page = glob::glob(work.path("scored/runs/*/audit.html").to_str().unwrap()).unwrap().next().unwrap().unwrap();
    assert!(std::fs::read_to_string(page).unwrap().contains("is the probability of going bad within 365 days"));

    // Who reads the table reads this one too.
    let at = (0..table.num_rows()).find(|n| score.is_valid(*n)).unwrap();
    let id = table.column(0).as_string::<i32>().value(at).to_owned();
    let percent = format!("pd         {:.2} % within 365 days", 100.0 * pd.value(at));
    work.sesame(["explain", "latest", &id, "--output", "scored"]).expect(0).says(&percent);
    let why = work.sesame(["explain", "latest", &id, "--output", "scored", "--format", "json"]).expect(0).out;
    let why: Value = serde_json::from_str(&why).unwrap();
    assert_eq!(why["scored"]["pd"]["pd"].as_f64(), Some(pd.value(at)));
    let of = ["validate", "latest", "--output", "scored", "--outcomes", outcomes.to_str().unwrap()];
    work.sesame(of).expect(0);
    work.sesame(["verify", "latest", "--output", "scored"]).expect(0);

    // It belongs to its points: neither to others, nor to a text.
    std::fs::write(work.path("retold.toml"), text.replacen("about = \"", "about = \"Calibrated. ", 1)).unwrap();
    with("check", "retold.toml", "out").expect(0);
    let edited =
        text.replacen("{ from = 0.03, below = 0.08, share = 700 }", "{ from = 0.03, below = 0.08, share = 690 }", 1);
    assert_ne!(edited, text);
    std::fs::write(work.path("edited.toml"), &edited).unwrap();
    let line = edited.lines().position(|l| l == "[calibration]").unwrap() + 1;
    with("check", "edited.toml", "out")
        .expect(2)
        .says("[calibration] belongs to other points")
        .says(&format!("edited.toml:{line}:"));
    with("run", "edited.toml", "other").expect(2);

    // Calibrated once more it has one section, of the same points.
    let own = work.path("own.toml").display().to_string();
    on("twice.toml", &["--model", &own]).expect(0);
    let twice = std::fs::read_to_string(work.path("twice.toml")).unwrap();
    assert_eq!(twice.matches("[calibration]").count(), 1);
    // The rows say which model scored them, so their hash is another.
    let but_for_rows = |of: &toml::Value| {
        let mut of = of.as_table().unwrap().clone();
        of.remove("data_hash").unwrap();
        of
    };
    assert_eq!(but_for_rows(&model(&twice)["calibration"]), but_for_rows(calibration));
}

#[test]
fn a_segment_that_says_otherwise_leaves_a_score_without_a_probability() {
    let work = Workdir::new();
    let export = people(&work, "6000", "7");
    // What comes with the people: one line does not fit all segments.
    let ended = calibrate(&work, &export, &["--out", "a.toml", "--format", "json"]).expect(1);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&report["earned"], report["all"]["failures"].as_array().unwrap().len()), (&Value::from(false), 0));
    let failing = |report: &Value| -> BTreeSet<String> {
        let segments = report["segments"].as_array().unwrap().iter();
        let failing = segments.filter(|s| !s["failures"].as_array().unwrap().is_empty());
        failing.map(|s| s["segment"].as_str().unwrap().to_owned()).collect()
    };
    assert!(failing(&report).contains("consumer_utility"), "{report}");
    // Where few went bad nothing is told and nothing asked.
    let few: Vec<&Value> = report["segments"].as_array().unwrap().iter().filter(|s| s["judged"] == false).collect();
    assert!(!few.is_empty() && few.iter().all(|s| s["rows"].is_null() && s["slope"].is_null()), "{report}");
    calibrate(&work, &export, &["--out", "a.toml"])
        .expect(1)
        .says("the outcomes do not support it")
        .says("consumer_utility: the slope's 95 % interval ends at")
        .says("nothing is written");

    // Outcomes by a line, but for one segment, in which the good are said to be bad.
    work.run(&export, "plain", &[]).expect(0);
    let (ids, bad) = planted(&read(&work.scores_path("plain")), Some("consumer_new"));
    let outcomes = work.path("turned.parquet");
    write(&outcomes, &ids, &bad, &["2025-09-30", DAY], 30);
    let outcomes = outcomes.to_str().unwrap();
    calibrate(&work, &export, &["--outcomes", outcomes, "--out", "b.toml"])
        .expect(1)
        .says("consumer_new: observed over expected bad is");

    // The later of two dates is not fitted to.
    let mut args = vec!["--from", "2025-09-30", "--to", DAY, "--validate-from", DAY, "--outcomes", outcomes];
    args.extend(["--out", "c.toml", "--format", "json"]);
    let ended = work.sesame(work.arguments("calibrate", &export, "out", &args)).expect(1);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["validated"], "out of time");
    assert_eq!(report["data"]["dates"], serde_json::json!([["2025-09-30", true], [DAY, false]]));
    assert!(failing(&report).contains("consumer_new"), "{report}");
    for name in ["a.toml", "b.toml", "c.toml"] {
        assert!(!work.path(name).exists(), "{name}");
    }
}

#[test]
fn what_cannot_be_calibrated_on_is_refused() {
    let work = Workdir::new();
    let small = people(&work, "300", "3");
    calibrate(&work, &small, &["--out", "a.toml"]).expect(2).says("fewer than 50");
    let sample = repository("data-samples/small");
    let args = ["--out", "b.toml", "--to", "2026-10-31", "--validate-from", "2026-08-31"];
    calibrate(&work, &sample, &args).expect(2).says("the validation would be of a time that was trained on");
    std::fs::write(work.path("there.toml"), "").unwrap();
    calibrate(&work, &sample, &["--out", "there.toml"]).expect(2).says("is there already");
    // The other way round: the better the score, the more go bad.
    work.run(&sample, "plain", &[]).expect(0);
    let rows = scored(&read(&work.scores_path("plain")));
    let ids: Vec<String> = rows.iter().map(|r| r.2.clone()).collect();
    let bad: Vec<bool> = rows.iter().map(|r| r.1 > 640).collect();
    assert!(bad.iter().filter(|bad| **bad).count() > 50 && bad.iter().filter(|bad| !**bad).count() > 50);
    let mixed: Vec<bool> = bad.iter().enumerate().map(|(n, bad)| *bad != (n % 5 == 0)).collect();
    let outcomes = work.path("upside_down.parquet");
    write(&outcomes, &ids, &mixed, &[DAY], 365);
    calibrate(&work, &sample, &["--outcomes", outcomes.to_str().unwrap(), "--out", "c.toml"])
        .expect(2)
        .says("a higher score goes with more bad");
    for name in ["a.toml", "b.toml", "c.toml"] {
        assert!(!work.path(name).exists(), "{name}");
    }
}
