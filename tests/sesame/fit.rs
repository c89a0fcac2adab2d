//! Training sets and fitted models: nothing in them that was not known, the same bytes for any number of threads, no change that
//! outcomes do not support, and no fit to what cannot be fitted to.

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int16Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::workdir::{Workdir, repository};

fn sample() -> PathBuf {
    repository("data-samples/small")
}

fn read(path: &std::path::Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap().build().unwrap();
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>().unwrap()).unwrap()
}

/// A table with another column in the place of one.
fn write_with(path: &std::path::Path, old: &RecordBatch, name: &str, column: &ArrayRef) {
    let schema = old.schema();
    let columns = schema.fields().iter().zip(old.columns());
    let columns = columns.map(|(field, old)| if field.name() == name { column.clone() } else { old.clone() });
    let batch = RecordBatch::try_new(old.schema(), columns.collect()).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Arguments of `dataset` or `fit` over an export.
fn arguments(work: &Workdir, command: &str, export: &std::path::Path, more: &[&str]) -> Vec<String> {
    let mut all = vec!["--from", "2025-10-31"];
    all.extend(more);
    work.arguments(command, export, "out", &all)
}

/// A population of so many subjects.
fn people(work: &Workdir, subjects: &str, seed: &str) -> PathBuf {
    let folder = work.path(&format!("people-{subjects}-{seed}"));
    let name = folder.to_str().unwrap();
    work.sesame(["generate", name, "--subjects", subjects, "--seed", seed, "--months", "14"]).expect(0);
    folder
}

#[test]
fn a_training_set_holds_what_a_run_knows() {
    let work = Workdir::new();
    work.run(&sample(), "out", &[]).expect(0);
    work.sesame(arguments(&work, "dataset", &sample(), &["--out", "training"])).expect(0);
    let rows = read(&work.path("training/as_of=2025-10-31/dataset.parquet"));
    let scores = read(&work.scores_path("out"));
    let ids = |batch: &RecordBatch| -> Vec<String> {
        batch.column_by_name("subject_id").unwrap().as_string::<i32>().iter().map(|s| s.unwrap().to_owned()).collect()
    };
    let score = |batch: &RecordBatch| batch.column_by_name("score").unwrap().as_primitive::<Int16Type>().clone();
    let (of_rows, of_scores) = (ids(&rows), ids(&scores));
    assert!(rows.num_rows() > 800 && of_rows.is_sorted());
    let found = glob::glob(work.path("out/runs/*/features/*.parquet").to_str().unwrap()).unwrap();
    let features: Vec<RecordBatch> = found.map(|path| read(&path.unwrap())).collect();
    let width: usize = features.iter().map(RecordBatch::num_columns).sum();
    assert_eq!(rows.num_columns(), 14 + width);
    for (n, id) in of_rows.iter().enumerate() {
        let at = of_scores.binary_search(id).unwrap();
        assert_eq!(score(&rows).value(n), score(&scores).value(at), "{id}");
        for batch in &features {
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let here = rows.column_by_name(field.name()).unwrap();
                assert_eq!(here.slice(n, 1).as_ref(), column.slice(at, 1).as_ref(), "{id} {}", field.name());
            }
        }
    }
    let dictionary = std::fs::read_to_string(work.path("training/dictionary.json")).unwrap();
    let dictionary: serde_json::Value = serde_json::from_str(&dictionary).unwrap();
    let entries = dictionary["features"].as_array().unwrap();
    assert_eq!(2 * entries.len(), width);
    assert!(entries.iter().all(|e| e["direction"].is_i64() && e["about"].is_string()));
    // The folder is there now.
    work.sesame(arguments(&work, "dataset", &sample(), &["--out", "training"])).expect(2).says("is there already");
}

#[test]
fn rows_of_several_dates_weigh_one_for_each_subject() {
    let work = Workdir::new();
    let (first, second) = (work.path("first.parquet"), work.path("second.parquet"));
    let outcomes = sample().join("outcomes.parquet");
    let old = read(&outcomes);
    for (path, day) in [(&first, 20_331), (&second, 20_392)] {
        let dates = arrow::array::Date32Array::from(vec![day; old.num_rows()]);
        write_with(path, &old, "as_of", &(std::sync::Arc::new(dates) as ArrayRef));
    }
    let pattern = work.path("*.parquet").display().to_string();
    let mut args = work.arguments("dataset", &sample(), "out", &["--from", "2025-08-31", "--to", "2025-10-31"]);
    args.extend(["--outcomes".to_owned(), pattern, "--out".to_owned(), "training".to_owned()]);
    work.sesame(args).expect(0);
    let mut weights = std::collections::BTreeMap::<String, f64>::new();
    for date in ["2025-08-31", "2025-10-31"] {
        let rows = read(&work.path(&format!("training/as_of={date}/dataset.parquet")));
        let weight = rows.column_by_name("weight").unwrap().as_primitive::<Float64Type>().clone();
        let ids = rows.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
        for n in 0..rows.num_rows() {
            *weights.entry(ids.value(n).to_owned()).or_default() += weight.value(n);
        }
    }
    assert!(weights.values().all(|w| (w - 1.0).abs() < 1e-12));
}

#[test]
fn a_fitted_model_is_the_same_bytes_and_scores() {
    let work = Workdir::new();
    let export = people(&work, "6000", "7");
    let fit = |name: &str, more: &[&str]| {
        let all = [&["--out", name], more].concat();
        work.sesame(arguments(&work, "fit", &export, &all))
    };
    let said =
        fit("fitted.toml", &["--threads", "1", "--name", "own", "--page", "fit.html", "--format", "json"]).expect(0);
    fit("again.toml", &["--threads", "2", "--name", "own"]).expect(0);
    let text = std::fs::read_to_string(work.path("fitted.toml")).unwrap();
    assert_eq!(text, std::fs::read_to_string(work.path("again.toml")).unwrap());
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(report["after"]["auc"].as_f64().unwrap() > report["before"]["auc"].as_f64().unwrap() + 0.005, "{report}");
    assert!(std::fs::read_to_string(work.path("fit.html")).unwrap().contains("not out of time"));
    // Only features changed, and each that did says so.
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let model = |text: &str| -> toml::Table { toml::from_str(text).unwrap() };
    let (old, new) = (model(&standard), model(&text));
    for (key, value) in &old {
        let changed = ["name", "version", "catalogue", "feature"].contains(&key.as_str());
        assert!(changed || new[key] == *value, "{key}");
    }
    let features = |table: &toml::Table| table["feature"].as_array().unwrap().clone();
    let changed: Vec<_> = features(&old).into_iter().zip(features(&new)).filter(|(a, b)| a != b).collect();
    assert!(
        changed.len() > 10
            && changed.iter().all(|(a, b)| a["name"] == b["name"] && b["basis"].as_str() == Some("fitted"))
    );
    assert!(new["fitted"]["bad"].as_integer().unwrap() > 400);
    // Every comment of the start model is still there.
    let comments = |text: &str| text.lines().filter(|l| l.starts_with('#')).map(ToOwned::to_owned).collect::<Vec<_>>();
    assert!(comments(&standard).iter().all(|c| comments(&text).contains(c)));
    work.sesame(arguments_of_run(&work, &export, "fitted.toml")).expect(0);
    let audit = work.audit("out");
    assert!(audit["quality"]["auc"].as_f64().unwrap() > report["before"]["auc"].as_f64().unwrap());
}

fn arguments_of_run(work: &Workdir, export: &std::path::Path, model: &str) -> Vec<String> {
    work.arguments("run", export, "out", &["--model", work.path(model).to_str().unwrap()])
}

#[test]
fn new_bins_are_cut_where_outcomes_tell_of_them() {
    let work = Workdir::new();
    let export = people(&work, "6000", "11");
    work.sesame(arguments(&work, "fit", &export, &["--out", "new.toml", "--bins", "new"])).expect(0);
    let bins = |path: PathBuf| -> usize {
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        table["feature"].as_array().unwrap().iter().map(|f| f["bins"].as_array().unwrap().len()).sum()
    };
    assert!(bins(work.path("new.toml")) > bins(repository("pipelines/models/standard.toml")));
}

#[test]
fn weights_and_what_is_missing_are_fitted_when_asked() {
    let work = Workdir::new();
    let export = people(&work, "6000", "7");
    let model =
        |name: &str| -> toml::Table { toml::from_str(&std::fs::read_to_string(work.path(name)).unwrap()).unwrap() };
    let fit = |more: &[&str]| work.sesame(arguments(&work, "fit", &export, more)).expect(0);
    let said = fit(&["--out", "weights.toml", "--weights", "free", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(report["freed"].as_f64().unwrap() > 0.0 && report["weights"]["consumer_thick"].is_array(), "{report}");
    let (weights, start) = (model("weights.toml"), repository("pipelines/models/standard.toml"));
    let start: toml::Table = toml::from_str(&std::fs::read_to_string(start).unwrap()).unwrap();
    let of = |table: &toml::Table| -> Vec<toml::Table> {
        table["segment"].as_array().unwrap().iter().map(|s| s["weights"].as_table().unwrap().clone()).collect()
    };
    for (new, old) in of(&weights).iter().zip(of(&start)) {
        assert_eq!(new.values().map(|w| w.as_integer().unwrap()).sum::<i64>(), 100);
        assert_eq!(new["relationships"], old["relationships"]);
    }
    assert_ne!(of(&weights), of(&start));
    assert_eq!(weights["fitted"]["weights"].as_str(), Some("free"));
    fit(&["--out", "missing.toml", "--missing", "free"]);
    let missing = model("missing.toml");
    let told = |f: &toml::Value| ["none", "unknown"].iter().any(|key| f.get(key).is_some());
    let count = |table: &toml::Table| table["feature"].as_array().unwrap().iter().filter(|f| told(f)).count();
    assert!(count(&missing) > count(&start) + 5, "{}", count(&missing));
    for name in ["weights.toml", "missing.toml"] {
        work.sesame(arguments_of_run(&work, &export, name)).expect(0);
    }
}

#[test]
fn later_dates_are_validated_on_and_none_in_between_is_taken() {
    let work = Workdir::new();
    let export = work.path("drifting");
    let people = ["--subjects", "2500", "--seed", "9", "--outcome-dates", "18", "--risk-drift", "0.6"];
    work.sesame([["generate", export.to_str().unwrap()].as_slice(), &people].concat()).expect(0);
    let fit = |more: &[&str]| {
        let range = ["--from", "2024-08-31", "--to", "2025-10-31", "--validate-from", "2025-10-31", "--format", "json"];
        work.sesame(work.arguments("fit", &export, "out", &[&range, more].concat()))
    };
    fit(&["--out", "no.toml"]).expect(2).says("end earlier with --train-to");
    fit(&["--out", "no.toml", "--train-to", "2025-10-31"]).expect(2).says("does not lie before");
    let said = fit(&["--out", "own.toml", "--train-to", "2024-10-31", "--half-life", "90"]).expect(0);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["validated"], "out of time");
    let dates = |on: bool| -> Vec<&str> {
        let all = report["data"]["dates"].as_array().unwrap();
        all.iter().filter(|d| d[1] == on).map(|d| d[0].as_str().unwrap()).collect()
    };
    assert_eq!(dates(true), ["2024-08-31", "2024-09-30", "2024-10-31"]);
    assert_eq!(dates(false), ["2025-10-31"]);
    let (rows, subjects) = (&report["data"]["rows"], &report["data"]["subjects"]);
    assert!(rows.as_u64().unwrap() > 2 * subjects.as_u64().unwrap(), "{rows} rows of {subjects}");
    // The risk has grown by then, so the line is too hopeful; the order holds.
    assert!(report["after"]["auc"].as_f64().unwrap() > 0.65, "{report}");
}

#[test]
fn what_cannot_be_fitted_to_is_refused() {
    let work = Workdir::new();
    let small = work.path("small");
    work.sesame(["generate", small.to_str().unwrap(), "--subjects", "300", "--seed", "3", "--months", "14"]).expect(0);
    let fit = |export: &std::path::Path, more: &[&str]| work.sesame(arguments(&work, "fit", export, more));
    fit(&small, &["--out", "a.toml"]).expect(2).says("fewer than 50");
    let args = ["--out", "b.toml", "--to", "2026-10-31", "--validate-from", "2026-08-31"];
    fit(&sample(), &args).expect(2).says("the validation would be of a time that was trained on");
    std::fs::write(work.path("there.toml"), "").unwrap();
    fit(&sample(), &["--out", "there.toml"]).expect(2).says("is there already");
    for name in ["a.toml", "b.toml"] {
        assert!(!work.path(name).exists());
    }
}

#[test]
fn a_feature_that_knows_the_outcome_is_refused_unless_accepted() {
    let work = Workdir::new();
    let export = people(&work, "2000", "11");
    work.sesame(arguments(&work, "dataset", &export, &["--out", "training"])).expect(0);
    let rows = read(&work.path("training/as_of=2025-10-31/dataset.parquet"));
    // Whoever was late with more than a tenth "went bad": what was recorded because of the outcome.
    let late = rows.column_by_name("late_share_12m").unwrap().as_primitive::<Float64Type>().clone();
    let ids = rows.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let late = (0..rows.num_rows()).filter(|n| late.is_valid(*n) && late.value(*n) > 0.1);
    let late: std::collections::BTreeSet<&str> = late.map(|n| ids.value(n)).collect();
    assert!(late.len() > 50 && late.len() < 1_500, "{}", late.len());
    let old = read(&export.join("outcomes.parquet"));
    let of = old.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let bad: BooleanArray = of.iter().map(|id| id.map(|id| late.contains(id))).collect();
    write_with(&export.join("outcomes.parquet"), &old, "bad", &(std::sync::Arc::new(bad) as ArrayRef));
    let fit = |more: &[&str]| work.sesame(arguments(&work, "fit", &export, more));
    fit(&["--out", "leak.toml"])
        .expect(2)
        .says("`late_share_12m` alone has an AUC of")
        .says("--accept-leak NAME --because WHY");
    assert!(!work.path("leak.toml").exists());
    let refused = fit(&["--out", "leak.toml"]).err;
    let named = refused.split('`').skip(1).step_by(2).filter(|name| refused.contains(&format!("`{name}` alone")));
    let accepted: Vec<&str> = named.flat_map(|name| ["--accept-leak", name]).collect();
    let all = [&["--out", "leak.toml", "--because", "measured before the window"][..], &accepted].concat();
    fit(&all).expect(0);
    let model = std::fs::read_to_string(work.path("leak.toml")).unwrap();
    assert!(model.contains("measured before the window") && model.contains("late_share_12m"));
    work.sesame(arguments_of_run(&work, &export, "leak.toml")).expect(0);
}
