//! Quality against outcomes: as a command, against pairs counted one by one, and in the audit.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int16Type;
use serde_json::Value;

use crate::exports::{Export, read, repayments, subjects};
use crate::workdir::{Workdir, repository};

fn json(work: &Workdir, args: &[&str]) -> Value {
    serde_json::from_str(&work.sesame(args.iter().chain(&["--format", "json"])).expect(0).out).unwrap()
}

/// Score, segment and whether it went bad of every scored subject with an outcome.
fn judged(scores: &RecordBatch, outcomes: &RecordBatch) -> Vec<(i64, String, bool)> {
    let ids = outcomes.column_by_name("subject_id").unwrap().as_string::<i32>();
    let bad = outcomes.column_by_name("bad").unwrap().as_boolean();
    let bad: BTreeMap<&str, bool> = (0..ids.len()).map(|n| (ids.value(n), bad.value(n))).collect();
    let ids = scores.column(0).as_string::<i32>();
    let score = scores.column_by_name("score").unwrap().as_primitive::<Int16Type>();
    let segment = scores.column_by_name("segment").unwrap().as_string::<i32>();
    let rows = (0..ids.len()).filter(|n| score.is_valid(*n));
    rows.filter_map(|n| Some((i64::from(score.value(n)), segment.value(n).to_owned(), *bad.get(ids.value(n))?)))
        .collect()
}

fn auc(rows: &[&(i64, String, bool)]) -> f64 {
    let (bad, good): (Vec<&(i64, String, bool)>, Vec<_>) = rows.iter().partition(|r| r.2);
    let wins = good
        .iter()
        .flat_map(|g| bad.iter().map(move |b| f64::from(i8::from(g.0 > b.0)) + 0.5 * f64::from(i8::from(g.0 == b.0))));
    wins.sum::<f64>() / (good.len() * bad.len()) as f64
}

#[test]
fn the_command_says_what_the_audit_says_and_what_counting_pairs_says() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let outcomes = small.join("outcomes.parquet");
    let found = json(&work, &["validate", "latest", "--output", "out", "--outcomes", outcomes.to_str().unwrap()]);
    let quality = &found["horizons"][0];
    let mut audited = work.audit("out")["quality"].clone();
    audited.as_object_mut().unwrap().remove("other_horizons");
    assert_eq!(quality, &audited);
    let rows = judged(&read(&work.scores_path("out")), &read(&outcomes));
    let all: Vec<_> = rows.iter().collect();
    assert_eq!(quality["subjects"], rows.len());
    // Four decimals are shown; the fixtures of src/statistics hold the exact ones.
    assert!((quality["auc"].as_f64().unwrap() - auc(&all)).abs() <= 5e-5);
    for band in quality["bands"].as_array().unwrap() {
        let within =
            |r: &&(i64, String, bool)| (band["from"].as_i64().unwrap()..band["below"].as_i64().unwrap()).contains(&r.0);
        let of: Vec<_> = rows.iter().filter(within).collect();
        let bad = of.iter().filter(|r| r.2).count();
        assert_eq!((&band["subjects"], &band["bad"]), (&Value::from(of.len()), &Value::from(bad)));
    }
    let told = quality["segments"].as_array().unwrap().iter().filter(|s| s["auc"].is_f64());
    for segment in told.clone() {
        let of: Vec<_> = rows.iter().filter(|r| segment["segment"] == r.1).collect();
        assert!((segment["auc"].as_f64().unwrap() - auc(&of)).abs() <= 5e-5, "{segment}");
    }
    assert!(told.count() >= 1);
    let text =
        work.sesame(["validate", "latest", "--output", "out", "--outcomes", outcomes.to_str().unwrap()]).expect(0).out;
    assert!(
        text.contains("95 % by DeLong") && text.contains("credit_history") && text.contains("nominal odds"),
        "{text}"
    );
}

#[test]
fn two_models_are_held_against_the_same_subjects() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    work.copy(&repository("pipelines/models"), "models");
    work.copy(&repository("pipelines/features"), "features");
    let model = work.path("models/standard.toml");
    // A model that leaves payment history out ranks worse.
    let text = std::fs::read_to_string(&model).unwrap().replace("version = \"1\"", "version = \"2\"").replace(
        "credit_history = 35, fulfilment_capacity = 25, behaviour_preference = 20, personal_characteristics = 15, relationships = 5 }\nbasis",
        "credit_history = 0, fulfilment_capacity = 0, behaviour_preference = 80, personal_characteristics = 15, relationships = 5 }\nbasis",
    );
    std::fs::write(&model, text).unwrap();
    let more = ["--model", model.to_str().unwrap(), "--set", "gates.max_psi=100.0", "--set", "gates.max_band_jump=1.0"];
    work.run(&small, "out", &more).expect(0);
    let mut runs: Vec<String> =
        work.path("out/runs").read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    runs.sort();
    let outcomes = small.join("outcomes.parquet").display().to_string();
    let args = ["compare", &runs[0], &runs[1], "--output", "out", "--outcomes", &outcomes];
    let found = json(&work, &args);
    let scores = &found["horizons"][0]["scores"];
    let number = |v: &Value| v.as_f64().unwrap();
    let difference = number(&scores["b"]["auc"]) - number(&scores["a"]["auc"]);
    assert!((number(&scores["difference"]["difference"]) - difference).abs() <= 1.5e-4 && difference < 0.0, "{scores}");
    assert!(number(&scores["difference"]["low"]) < difference && difference < number(&scores["difference"]["high"]));
    let same = json(&work, &["compare", &runs[0], &runs[0], "--output", "out", "--outcomes", &outcomes]);
    let nothing = &same["horizons"][0]["scores"]["difference"];
    assert_eq!((&nothing["difference"], &nothing["p_value"]), (&Value::from(0.0), &Value::Null));
    work.sesame(args).expect(0).says("B less A, 95 % by DeLong");
    work.run(&small, "out", &["--as-of", "2025-09-30"]).expect(0);
    work.sesame(["compare", "last", &runs[0], "--output", "out", "--outcomes", &outcomes])
        .expect(2)
        .says("two runs of the same");
}

#[test]
fn outcomes_that_do_not_fit_are_errors_that_say_why() {
    let work = Workdir::new();
    std::fs::create_dir(work.path("export")).unwrap();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments().write(&work.path("export/repayments.parquet"));
    work.run_small(&work.path("export"), "out", &[]).expect(0);
    let validate = |file: &str| work.sesame(["validate", "latest", "--output", "out", "--outcomes", file]);
    validate("nowhere.parquet").expect(2).says("nowhere.parquet");
    let outcomes = |as_of: &str, ids: [&str; 2]| {
        let export =
            Export::new().text("subject_id", ids).date("as_of", &[Some(as_of); 2]).long("horizon_days", [365, 365]);
        export.column("bad", std::sync::Arc::new(arrow::array::BooleanArray::from(vec![true, false])))
    };
    outcomes("2025-01-31", ["s1", "s2"]).without("bad").write(&work.path("lacking.parquet"));
    validate("lacking.parquet").expect(2).says("the required column `bad` is missing");
    outcomes("2024-12-31", ["s1", "s2"]).write(&work.path("other.parquet"));
    validate("other.parquet").expect(2).says("2 of other as-of dates");
    outcomes("2025-01-31", ["x1", "x2"]).write(&work.path("unknown.parquet"));
    validate("unknown.parquet").expect(2).says("unknown_subject");
    outcomes("2025-01-31", ["s1", "s2"]).write(&work.path("few.parquet"));
    validate("few.parquet").expect(0).says("too few scored subjects");
}
