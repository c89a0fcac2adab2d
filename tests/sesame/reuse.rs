//! What is reused, when, and why the rest is not; and that reuse changes no byte.

use arrow::array::RecordBatch;

use crate::exports::{Export, repayments, subjects};
use crate::workdir::{Workdir, repository};

/// The repository's model and catalogue in a folder of the test, with changes to the model's text.
fn model(work: &Workdir, name: &str, changes: &[(&str, &str)]) -> String {
    std::fs::create_dir_all(work.path(name)).unwrap();
    work.copy(&repository("pipelines/models"), name);
    work.copy(&repository("pipelines/features"), name);
    let files =
        ["models/standard.toml", "features/behaviour_preference.toml"].map(|f| work.path(&format!("{name}/{f}")));
    for (from, to) in changes {
        let mut found = false;
        for path in &files {
            let text = std::fs::read_to_string(path).unwrap();
            found |= text.contains(from);
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
        assert!(found, "nothing says {from}");
    }
    work.path(&format!("{name}/models/standard.toml")).display().to_string()
}

fn plan(work: &Workdir, more: &[&str]) -> String {
    work.sesame(work.arguments("plan", &repository("data-samples/small"), "out", more)).expect(0).out
}

#[test]
fn other_weights_and_bins_read_no_export_and_give_the_bytes_of_a_fresh_run() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let changed = model(
        &work,
        "m2",
        &[
            ("version = \"1\"", "version = \"2\""),
            ("credit_history = 35, fulfilment_capacity = 25", "credit_history = 30, fulfilment_capacity = 30"),
            ("{ from = 1, below = 30, share = 400 }", "{ from = 1, below = 30, share = 390 }"),
        ],
    );
    let ended = work.run(&small, "out", &["--model", &changed]).expect(0).says("reused as of 2025-10-31: subjects");
    assert!(!ended.err.contains("read ") && !ended.err.contains("hash inputs"), "{}", ended.err);
    work.run(&small, "fresh", &["--model", &changed, "--fresh"]).expect(0);
    let table = "scores/as_of=2025-10-31/model=standard-2/scores.parquet";
    assert!(work.published("out")[table] == work.published("fresh")[table]);
    assert_eq!(work.published("out").len(), 2);
}

#[test]
fn a_changed_feature_makes_its_category_again_and_no_other() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let text = std::fs::read_to_string(repository("pipelines/features/behaviour_preference.toml")).unwrap();
    assert!(text.contains("window = \"12 months\""));
    let changed = model(
        &work,
        "m2",
        &[("version = \"1\"", "version = \"2\""), ("window = \"12 months\"", "window = \"11 months\"")],
    );
    let plan = plan(&work, &["--model", &changed]);
    let made: Vec<&str> = plan.lines().filter(|l| l.starts_with("make ")).collect();
    assert!(
        made.iter().any(|l| l.contains("features-behaviour_preference") && l.contains("the features changed")),
        "{plan}"
    );
    assert!(
        made.iter()
            .all(|l| l.contains("features-behaviour_preference") || l.contains("the catalogue's windows changed")),
        "{plan}"
    );
    assert!(plan.contains("reuse     features-credit_history") && plan.contains("reuse     ties"));
    let ended = work.run(&small, "out", &["--model", &changed]).expect(0);
    assert!(ended.err.contains("read purchases") && !ended.err.contains("read repayments"), "{}", ended.err);
    work.run(&small, "fresh", &["--model", &changed, "--fresh"]).expect(0);
    let table = "scores/as_of=2025-10-31/model=standard-2/scores.parquet";
    assert!(work.published("out")[table] == work.published("fresh")[table]);
}

#[test]
fn plan_says_what_changed_and_writes_nothing() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let before = plan(&work, &[]);
    assert!(before.contains("none was made for this date") && before.contains("time      unknown"), "{before}");
    assert!(!work.path("out").exists());
    work.run(&small, "out", &[]).expect(0);
    let same = plan(&work, &[]);
    assert!(!same.contains("\nmake ") && same.contains("time      about"), "{same}");
    // Content counts, not place: the same files elsewhere are the same inputs.
    work.copy(&small, "moved");
    let moved = work.sesame(work.arguments("plan", &work.path("moved"), "out", &[])).expect(0).out;
    assert!(!moved.contains("\nmake "), "{moved}");
    let other = plan(&work, &["--set", "inputs.disputes=\"\"", "--set", "inputs.sources=\"\""]);
    assert!(other.contains("features-credit_history              inputs.disputes, inputs.sources changed"), "{other}");
    assert!(other.contains("reuse     ties") && other.contains("reuse     outcomes"), "{other}");
    let cut_off = plan(&work, &["--known-by", "2025-11-15"]);
    assert!(cut_off.contains("the knowledge cut-off changed"), "{cut_off}");
}

#[test]
fn a_damaged_stage_is_made_again() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let expected = work.published("out");
    let pattern = work.path("out/stages/features-credit_history/*/features.parquet");
    let stage = glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(&stage).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 0x40;
    std::fs::remove_file(&stage).unwrap();
    std::fs::write(&stage, bytes).unwrap();
    std::fs::remove_dir_all(work.path("out/scores")).unwrap();
    work.run(&small, "out", &[])
        .expect(0)
        .says("the stage features-credit_history of 2025-10-31 is damaged; it is made again");
    assert!(work.published("out") == expected);
}

/// What was exported at the end of January, and the same after newer data and late-known rows arrived.
fn as_then_and_now(work: &Workdir) {
    let then = repayments().date("paid_on", &[Some("2025-01-05"), None]).long("amount_paid_minor", [10_000, 0]);
    then.write(&work.path("then/repayments/0.parquet"));
    then.date("paid_on", &[Some("2025-01-05"), Some("2025-02-20")])
        .long("amount_paid_minor", [10_000, 20_000])
        .write(&work.path("now/repayments/0.parquet"));
    let later = repayments()
        .text("record_id", ["r3", "r1"])
        .date("due_on", &[Some("2025-02-10"), Some("2025-01-05")])
        .date("paid_on", &[Some("2025-03-01"), None])
        .long("amount_paid_minor", [10_000, 0])
        // r1 is corrected, a month after: it had not been paid at all.
        .instants("known_at", &[None, Some("2025-02-15")]);
    later.write(&work.path("now/repayments/1.parquet"));
    subjects().write(&work.path("then/subjects.parquet"));
    Export::new()
        .text("subject_id", ["s1", "s2", "s3", "s1"])
        .text("kind", ["consumer", "consumer", "consumer", "small_business"])
        .date("registered_on", &[None, None, Some("2025-02-01"), None])
        .instants("known_at", &[None, None, None, Some("2025-02-02")])
        .date("closed_on", &[None, Some("2025-02-27"), None, None])
        .write(&work.path("now/subjects.parquet"));
}

#[test]
fn a_past_date_is_scored_as_it_was_then_whatever_became_known_since() {
    let work = Workdir::new();
    as_then_and_now(&work);
    let small = ["--set", "privacy.min_cell=1"];
    work.run_small(&work.path("then"), "then-out", &small).expect(0);
    work.run_small(&work.path("now"), "now-out", &small).expect(0);
    let expected = work.published("then-out");
    assert!(expected == work.published("now-out"));
    let mut args = work.arguments("backfill", &work.path("now"), "backfill-out", &small);
    args.extend(["--from", "2025-01-31", "--to", "2025-03-31", "--every", "month"].map(ToOwned::to_owned));
    for set in [
        "consent_statement=\"test\"",
        "gates.max_quarantined_share=1.0",
        "gates.min_scored_share=0.0",
        "gates.max_age_days=100",
    ] {
        args.extend(["--set".to_owned(), set.to_owned()]);
    }
    work.sesame(args).expect(0);
    let name = expected.keys().next().unwrap();
    let found = work.published("backfill-out");
    assert!(found[name] == expected[name] && found.len() == 3);
    let march = found.iter().find(|(name, _)| name.contains("2025-03-31")).unwrap();
    let path = work.path("backfill-out").join(march.0);
    let table: RecordBatch = crate::exports::read(&path);
    assert_eq!(table.num_rows(), 3, "the third subject is there in March");
}
