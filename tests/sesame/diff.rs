//! Two runs side by side, against the tables themselves.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int16Type;
use serde_json::Value;

use crate::exports::read;
use crate::workdir::{Workdir, repository};

fn diff(work: &Workdir, a: &str, b: &str) -> Value {
    let out = work.sesame(["diff", a, b, "--output", "out", "--format", "json"]).expect(0).out;
    serde_json::from_str(&out).unwrap()
}

/// Subject, score and the five category points of every scored row.
fn scored(work: &Workdir, as_of: &str, model: &str) -> BTreeMap<String, Vec<i64>> {
    let table: RecordBatch = read(&work.path(&format!("out/scores/as_of={as_of}/model={model}/scores.parquet")));
    let ids = table.column(0).as_string::<i32>().clone();
    let names: Vec<String> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    let wanted = names.iter().filter(|n| *n == "score" || n.starts_with("points_"));
    let columns: Vec<_> =
        wanted.map(|n| table.column_by_name(n).unwrap().as_primitive::<Int16Type>().clone()).collect();
    let rows = (0..table.num_rows()).filter(|r| columns[0].is_valid(*r));
    rows.map(|r| (ids.value(r).to_owned(), columns.iter().map(|c| i64::from(c.value(r))).collect())).collect()
}

fn runs(work: &Workdir) -> Vec<String> {
    let mut ids: Vec<String> =
        work.path("out/runs").read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    ids.sort();
    ids
}

fn mean(of: impl Iterator<Item = i64> + Clone) -> f64 {
    of.clone().sum::<i64>() as f64 / of.count() as f64
}

#[test]
fn two_models_on_one_date_differ_as_their_tables_do() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    work.copy(&repository("pipelines/models"), "models");
    work.copy(&repository("pipelines/features"), "features");
    let model = work.path("models/standard.toml");
    let text = std::fs::read_to_string(&model)
        .unwrap()
        .replace("version = \"1\"", "version = \"2\"")
        .replace("credit_history = 35, fulfilment_capacity = 25", "credit_history = 30, fulfilment_capacity = 30");
    std::fs::write(&model, text).unwrap();
    work.run(&small, "out", &["--model", model.to_str().unwrap()]).expect(0);
    let ids = runs(&work);
    let found = diff(&work, &ids[0], "latest");
    let (a, b) = (scored(&work, "2025-10-31", "standard-1"), scored(&work, "2025-10-31", "standard-2"));
    let both: Vec<(&Vec<i64>, &Vec<i64>)> = a.iter().filter_map(|(id, a)| Some((a, b.get(id)?))).collect();
    assert_eq!(found["scored"], both.len());
    let close = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() <= 0.005_001, "{value} is not {expected}");
    };
    close(&found["mean"], mean(both.iter().map(|(a, b)| b[0] - a[0])));
    close(&found["mean_size"], mean(both.iter().map(|(a, b)| (b[0] - a[0]).abs())));
    assert_eq!(found["unmoved"], both.iter().filter(|(a, b)| a[0] == b[0]).count());
    let categories = found["categories"].as_array().unwrap();
    for (n, category) in categories.iter().take(5).enumerate().filter(|(_, c)| !c["mean"].is_null()) {
        close(&category["mean"], mean(both.iter().map(|(a, b)| b[n + 1] - a[n + 1])));
    }
    // Categories and overrides are the whole move; a category's features are its move but for rounding. What moved few is not told.
    let told = |c: &Value| c["mean"].as_f64().unwrap_or(0.0);
    let whole: f64 = categories.iter().map(told).sum();
    assert!((found["mean"].as_f64().unwrap() - whole).abs() < 0.05, "{whole}");
    let features: f64 = found["features"].as_array().unwrap().iter().map(told).sum();
    let own: f64 = categories[..4].iter().map(told).sum();
    assert!((features - own).abs() < 1.0 && found["features"].as_array().unwrap().len() == 47, "{features} {own}");
    let text = work.sesame(["diff", &ids[0], "latest", "--output", "out"]).expect(0).out;
    assert!(text.contains("what moved scores, by category") && text.contains("band A → B"), "{text}");
}

#[test]
fn of_a_change_that_moves_a_few_nothing_is_told_but_that() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    work.copy(&repository("pipelines/models"), "models");
    work.copy(&repository("pipelines/features"), "features");
    // One subject is capped, and by nine points more.
    let model = work.path("models/standard.toml");
    let text = std::fs::read_to_string(&model).unwrap();
    let text = text.replace("version = \"1\"", "version = \"2\"").replace("cap = 449", "cap = 440");
    std::fs::write(&model, text).unwrap();
    work.run(&small, "out", &["--model", model.to_str().unwrap()]).expect(0);
    let ids = runs(&work);
    let found = diff(&work, &ids[0], &ids[1]);
    for figure in ["mean", "mean_size", "unmoved"] {
        assert!(found[figure].is_null(), "{figure} tells of one: {found}");
    }
    let overrides = found["categories"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&overrides["name"], &overrides["mean"], &overrides["subjects"]),
        (&"overrides".into(), &Value::Null, &Value::Null)
    );
    work.sesame(["diff", &ids[0], &ids[1], "--output", "out"]).expect(0).says("hidden");
}

#[test]
fn figures_have_four_decimals_at_most() {
    fn exact(place: &str, value: &Value, found: &mut Vec<String>) {
        let row_share = place.ends_with("/measured") || place.contains("/timings/") || place.contains("/rounds/");
        match value {
            Value::Object(all) => all.iter().for_each(|(k, v)| exact(&format!("{place}/{k}"), v, found)),
            Value::Array(all) => all.iter().for_each(|v| exact(&format!("{place}/"), v, found)),
            Value::Number(n) if n.is_f64() && !row_share => {
                let units = n.as_f64().unwrap() * 1e4;
                if (units - units.round()).abs() > 1e-6 {
                    found.push(format!("{place} {n}"));
                }
            }
            _ => {}
        }
    }
    let work = Workdir::new();
    let small = repository("data-samples/small");
    for as_of in ["2025-06-30", "2025-10-31"] {
        work.run(&small, "out", &["--as-of", as_of, "--set", "gates.max_psi=100.0"]).expect(0);
    }
    let ids = runs(&work);
    let outcomes = small.join("outcomes.parquet").display().to_string();
    let json = |args: &[&str]| -> Value {
        let more = ["--output", "out", "--format", "json"];
        serde_json::from_str(&work.sesame(args.iter().chain(&more)).expect(0).out).unwrap()
    };
    let audit = std::fs::read(work.path(&format!("out/runs/{}/audit.json", ids[1]))).unwrap();
    let mut found = Vec::new();
    exact("audit", &serde_json::from_slice(&audit).unwrap(), &mut found);
    exact("diff", &json(&["diff", &ids[0], &ids[1]]), &mut found);
    exact("validate", &json(&["validate", &ids[1], "--outcomes", &outcomes]), &mut found);
    exact("compare", &json(&["compare", &ids[1], &ids[1], "--outcomes", &outcomes]), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn two_dates_of_one_model_tell_who_came_and_who_changed_and_nothing_of_a_few() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--as-of", "2025-06-30"]).expect(0);
    work.run(&small, "out", &[]).expect(0);
    let ids = runs(&work);
    let found = diff(&work, &ids[0], &ids[1]);
    let (a, b) = (scored(&work, "2025-06-30", "standard-1"), scored(&work, "2025-10-31", "standard-1"));
    assert_eq!(found["scored"], a.keys().filter(|id| b.contains_key(*id)).count());
    assert_eq!((&found["only_a"], &found["only_b"]), (&Value::from(0), &Value::from(70)));
    let rows = found["bands"]["subjects"].as_array().unwrap();
    let counts = rows.iter().flat_map(|row| row.as_array().unwrap());
    assert!(counts.clone().all(|n| n.is_null() || n.as_u64() == Some(0) || n.as_u64() >= Some(10)));
    assert!(counts.filter(|n| n.is_null()).count() > 1, "some cells of so few people are small, and none is alone");
    let same = diff(&work, &ids[1], &work.path(&format!("out/runs/{}", ids[1])).display().to_string());
    assert_eq!((&same["mean"], &same["unmoved"]), (&Value::from(0.0), &same["scored"]));
    assert!(same["reasons"].as_array().unwrap().is_empty());
    let moved = same["bands"]["subjects"].as_array().unwrap().iter().enumerate();
    assert!(
        moved
            .flat_map(|(r, row)| row.as_array().unwrap().iter().enumerate().map(move |(c, n)| (r, c, n)))
            .all(|(r, c, n)| (r == c) == (n != 0)),
        "{}",
        same["bands"]
    );
    let almost = ids[1].replace("2025-10-31", "2025-10-30");
    work.sesame(["diff", &almost, "latest", "--output", "out"]).expect(2).says(&format!("did you mean `{}`", ids[1]));
}
