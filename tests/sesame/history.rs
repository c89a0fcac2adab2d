//! `sesame history`: what each run's audit says, side by side; the page of it.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::browser::readable;
use crate::workdir::{Ended, Workdir, repository};

const SECTIONS: [&str; 5] = ["scores", "drift", "inputs", "notes", "figures"];

/// Four months of the sample.
fn four_months() -> Workdir {
    let work = Workdir::new();
    let range = ["--from", "2025-07-31", "--to", "2025-10-31", "--every", "month"];
    work.sesame(work.arguments("backfill", &repository("data-samples/small"), "out", &range)).expect(0);
    work
}

fn history(work: &Workdir, more: &[&str]) -> Ended {
    let pipeline = repository("pipelines/nightly.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path("out").display());
    work.sesame([&["history", &pipeline, "--set", &output], more].concat())
}

fn figures(work: &Workdir) -> Value {
    serde_json::from_str(&history(work, &["--format", "json"]).expect(0).out).unwrap()
}

fn page(work: &Workdir) -> String {
    history(work, &[]).expect(0).says("history.html");
    std::fs::read_to_string(work.path("out/history.html")).unwrap()
}

/// A model of the same name and the next version, which weighs otherwise.
fn next_version(work: &Workdir) -> String {
    work.copy(&repository("pipelines/models"), "models");
    work.copy(&repository("pipelines/features"), "features");
    let model = work.path("models/standard.toml");
    let text = std::fs::read_to_string(&model)
        .unwrap()
        .replace("version = \"1\"", "version = \"2\"")
        .replace("credit_history = 35, fulfilment_capacity = 25", "credit_history = 30, fulfilment_capacity = 30");
    std::fs::write(&model, text).unwrap();
    model.display().to_string()
}

#[test]
fn the_history_says_what_every_audit_says() {
    let work = four_months();
    let found = figures(&work);
    let entries = found["entries"].as_array().unwrap();
    let dates: Vec<&str> = entries.iter().map(|e| e["as_of"].as_str().unwrap()).collect();
    assert_eq!(dates, ["2025-07-31", "2025-08-31", "2025-09-30", "2025-10-31"]);
    assert_eq!((&found["pipeline"], &found["first"]["as_of"]), (&json!("nightly"), &json!("2025-07-31")));
    for (n, entry) in entries.iter().enumerate() {
        let path = work.path(&format!("out/runs/{}/audit.json", entry["run"].as_str().unwrap()));
        let audit: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let told = &entry["figures"];
        assert_eq!(
            (&entry["model"], &entry["kept"], &entry["note"]),
            (&json!("standard-1"), &json!(true), &Value::Null)
        );
        let coverage = &audit["coverage"];
        assert_eq!((&told["subjects"], &told["scored"]), (&coverage["subjects"], &coverage["scored"]));
        for key in ["mean", "quantiles", "bands"] {
            assert_eq!(told[key], audit["scores"][key], "{key} of {}", entry["as_of"]);
        }
        if let Some(scored) = coverage["scored"].as_u64() {
            let share = scored as f64 / coverage["subjects"].as_f64().unwrap();
            assert!((told["scored_share"].as_f64().unwrap() - share).abs() <= 0.00005);
        }
        assert_eq!(told["psi_previous"], audit["drift"]["score"]);
        assert_eq!(told["previous"], audit["drift"]["previous"]);
        assert_eq!(told["psi_first"].is_null(), n == 0, "{told}");
        assert_eq!(told["auc"][0]["auc"], audit["quality"]["auc"]);
        assert_eq!(told["auc"][0]["low"], audit["quality"]["auc_low"]);
        assert_eq!(told["auc"][0]["high"], audit["quality"]["auc_high"]);
        assert_eq!(told["seconds"], audit["timings"]["seconds"]);
        let conservation = audit["conservation"].as_object().unwrap();
        assert_eq!(told["tables"].as_object().unwrap().len(), conservation.len());
        for (table, rows) in conservation {
            let told = &told["tables"][table];
            assert_eq!((&told["rows"], &told["quarantined"]), (&rows["rows"], &rows["quarantined"]), "{table}");
            let hidden = rows["not_visible"].as_u64().unwrap();
            assert_eq!(told["visible"].as_u64().unwrap() + hidden, rows["rows"].as_u64().unwrap(), "{table}");
        }
    }
    assert!(!work.path("out/history.html").exists(), "--format json writes nothing");
}

#[test]
fn the_page_needs_nothing_else_and_is_the_same_each_time() {
    let work = four_months();
    let first = page(&work);
    for section in SECTIONS {
        assert!(first.contains(&format!("<section id=\"{section}\">")), "no section {section}");
        assert!(first.contains(&format!("href=\"#{section}\"")), "nothing leads to {section}");
    }
    for outside in ["http://", "https://", "<script", "<link rel=\"stylesheet", "@import", "url("] {
        assert!(!first.contains(outside), "the page has {outside}");
    }
    assert!(first.contains("default-src 'none'") && !first.contains(work.path("out").to_str().unwrap()));
    for entry in figures(&work)["entries"].as_array().unwrap() {
        assert!(first.contains(&format!("<code>{}</code>", entry["run"].as_str().unwrap())));
    }
    let charts: Vec<&str> = first.split("<svg").skip(1).collect();
    assert!(charts.len() > 10 && charts.iter().all(|c| c.contains("aria-label=\"")), "{} charts", charts.len());
    assert!(first.contains("as-of date") && first.contains("AUC") && first.contains(">hidden</span>"));
    assert_eq!(page(&work), first);
    // Elsewhere it is the same, and a folder that was moved gives the same.
    history(&work, &["--out", "year.html"]).expect(0);
    assert_eq!(std::fs::read_to_string(work.path("year.html")).unwrap(), first);
    std::fs::rename(work.path("out"), work.path("moved")).unwrap();
    let output = format!("output=\"{}\"", work.path("moved").display());
    history(&work, &["--set", &output, "--out", "moved.html"]).expect(0);
    assert_eq!(std::fs::read_to_string(work.path("moved.html")).unwrap(), first);
}

#[test]
fn the_page_is_for_who_may_read_the_output_and_no_foreign_file_there() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    for (mode, file) in [("owner", 0o600), ("group", 0o640)] {
        let set = format!("output_mode=\"{mode}\"");
        work.run(&small, "out", &["--set", &set]).expect(0);
        history(&work, &["--set", &set]).expect(0);
        let found = std::fs::metadata(work.path("out/history.html")).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, file, "{mode}");
    }
    work.sesame(["verify", "--all", "--output", "out"]).expect(0).says("everything holds");
    let pipeline = repository("pipelines/nightly.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path("out").display());
    work.sesame(["clean", &pipeline, "--set", &output, "--stages-older-than", "0", "--yes"]).expect(0);
    work.run(&small, "out", &["--fresh"]).expect(0);
    assert!(work.path("out/history.html").exists());
}

#[test]
fn only_what_is_published_now_is_told_and_what_is_gone_is_noted() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let without = ["--set", "inputs.disputes=\"\""];
    work.run(&small, "out", &[&["--as-of", "2025-09-30"], &without[..]].concat()).expect(0);
    work.run(&small, "out", &without).expect(0);
    let before = figures(&work);
    let replaced = before["entries"][1]["run"].as_str().unwrap().to_owned();
    work.run(&small, "out", &[]).expect(0);
    work.run(&small, "out", &["--fresh", "--set", "gates.min_scored_share=0.999"]).expect(1);
    let now = figures(&work);
    assert_eq!((now["entries"].as_array().unwrap().len(), &now["entries"][0]), (2, &before["entries"][0]));
    assert_ne!(now["entries"][1]["run"], replaced.as_str());
    let pipeline = repository("pipelines/nightly.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path("out").display());
    work.sesame(["clean", &pipeline, "--set", &output, "--runs-older-than", "0", "--yes"]).expect(0).says("removed");
    assert!(!work.path(&format!("out/runs/{replaced}")).exists());
    assert_eq!(figures(&work), now);
    assert!(!page(&work).contains(&replaced));
    // An audit that was changed is not shown, and where the folder lies is not told.
    let run = |n: usize| work.path("out/runs").join(now["entries"][n]["run"].as_str().unwrap());
    let audit = run(1).join("audit.json");
    let text = std::fs::read_to_string(&audit).unwrap();
    std::fs::write(&audit, text.replace("\"schema\": 2", "\"schema\": 3")).unwrap();
    let found = figures(&work);
    assert!(found["entries"][1]["note"].as_str().unwrap().contains("audit.json was changed"));
    assert_eq!((&found["entries"][1]["figures"], &found["entries"][1]["kept"]), (&Value::Null, &json!(true)));
    // A folder that is gone leaves its date.
    std::fs::remove_dir_all(run(0)).unwrap();
    let found = figures(&work);
    assert_eq!((&found["entries"][0]["kept"], &found["entries"][0]["figures"]), (&json!(false), &Value::Null));
    assert!(found["entries"][0]["note"].as_str().unwrap().contains("removed"));
    assert_eq!(found["first"], Value::Null);
    let page = page(&work);
    assert!(page.contains("2025-09-30") && page.contains("audit.json was changed"));
    assert!(!page.contains(work.path("out").to_str().unwrap()) && !page.contains("<svg"));
}

#[test]
fn two_models_on_one_date_have_a_line_each() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let second = next_version(&work);
    let lax = ["--set", "gates.max_psi=99.0", "--set", "gates.max_band_jump=1.0", "--as-of"];
    let run = |more: &[&str]| work.run(&small, "out", &[&lax[..], more].concat()).expect(0);
    run(&["2025-08-31"]);
    for as_of in ["2025-09-30", "2025-10-31"] {
        run(&[as_of]);
        run(&[as_of, "--model", &second]);
    }
    let found = figures(&work);
    let named: Vec<String> = found["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {}", e["as_of"].as_str().unwrap(), e["model"].as_str().unwrap()))
        .collect();
    assert_eq!(
        named,
        [
            "2025-08-31 standard-1",
            "2025-09-30 standard-1",
            "2025-09-30 standard-2",
            "2025-10-31 standard-1",
            "2025-10-31 standard-2"
        ]
    );
    assert!((1..5).all(|n| found["entries"][n]["figures"]["psi_first"]["psi"].as_f64().unwrap() >= 0.0));
    let page = page(&work);
    assert!(page.contains("where a model begins stands a line") && page.contains("since 2025-08-31 by standard-1"));
    let chart = page.split("<svg").nth(1).unwrap().split("</svg>").next().unwrap();
    assert!(chart.contains("standard-1") && chart.contains("standard-2"), "{chart}");
}

#[test]
fn what_is_hidden_stays_hidden_and_what_was_shown_laxly_is_left_out() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--as-of", "2025-09-30", "--set", "privacy.min_cell=1"]).expect(0);
    work.run(&small, "out", &["--set", "privacy.min_cell=200"]).expect(0);
    let found = figures(&work);
    let (lax, strict) = (&found["entries"][0], &found["entries"][1]);
    assert!(lax["note"].as_str().unwrap().contains("none below 10 now"), "{}", lax["note"]);
    for key in ["subjects", "scored", "scored_share", "mean", "psi_previous", "psi_first"] {
        assert!(lax["figures"][key].is_null(), "{key}");
    }
    assert!(lax["figures"]["bands"].as_array().unwrap().iter().all(|band| band["subjects"].is_null()));
    assert!(lax["figures"]["tables"]["repayments"]["rows"].as_u64().unwrap() > 0);
    assert_eq!(lax["figures"]["auc"], json!([]));
    // 90 of 1,000 subjects have no score: fewer than 200.
    let told = &strict["figures"];
    assert_eq!((&told["scored"], &told["scored_share"], &told["mean"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!((&told["subjects"], &told["auc"], &strict["note"]), (&json!(1000), &json!([]), &Value::Null));
    let page = page(&work);
    assert!(
        page.contains("No audit tells how far scores moved") && page.contains("No audit tells how well scores rank")
    );
    // With the least that the audits showed, all of it is there.
    let all = history(&work, &["--set", "privacy.min_cell=1", "--format", "json"]).expect(0).out;
    let all: Value = serde_json::from_str(&all).unwrap();
    assert!(all["entries"][0]["figures"]["scored"].as_u64().unwrap() > 0);
}

#[test]
fn a_gate_that_was_overridden_is_noted_with_its_reason() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let accept = ["--accept", "min_scored_share", "--because", "a <b>test</b>"];
    work.run(&small, "out", &[&["--set", "gates.min_scored_share=0.99"], &accept[..]].concat()).expect(0);
    let accepted = json!([{ "gate": "min_scored_share", "because": "a <b>test</b>" }]);
    assert_eq!(figures(&work)["entries"][0]["accepted"], accepted);
    assert!(page(&work).contains("min_scored_share failed, because: a &lt;b&gt;test&lt;&#x2f;b&gt;"));
}

#[test]
fn mistakes_say_what_there_is() {
    let work = Workdir::new();
    work.sesame(["history", "nowhere.toml"]).expect(2).says("nowhere.toml");
    history(&work, &[]).expect(2).says("there is no folder").says("sesame run");
    std::fs::create_dir(work.path("out")).unwrap();
    history(&work, &[]).expect(2).says("nothing is published in").says("yet");
    assert_eq!(work.path("out").read_dir().unwrap().count(), 0);
    work.run(&repository("data-samples/small"), "out", &["--set", "name=\"weekly\""]).expect(0);
    history(&work, &[]).expect(2).says("a pipeline named nightly").says("there is weekly");
    history(&work, &["--set", "name=\"weekly\""]).expect(0);
    let weekly = ["--set", "name=\"weekly\"", "--out", "out/scores/page.html"];
    history(&work, &weekly).expect(2).says("lies in the output folder");
    history(&work, &["--set", "name=\"weekly\"", "--out", "page.html", "--format", "json"])
        .expect(2)
        .says("give one of them");
}

#[test]
fn the_page_is_readable_in_a_browser_at_any_width_in_light_and_dark() {
    let work = four_months();
    page(&work);
    readable(&work, &work.path("out/history.html"), SECTIONS.len());
}
