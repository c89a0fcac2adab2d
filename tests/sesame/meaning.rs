//! What a row means: the unknown is neither good nor bad, a dispute is about one record, a withdrawal holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::{Float64Type, Int16Type};
use serde_json::Value;

use crate::exports::{Export, read, repayments, subjects};
use crate::workdir::{Ended, Workdir, repository};

fn run(work: &Workdir, more: &[&str]) -> Ended {
    let _ = std::fs::remove_dir_all(work.path("out"));
    work.run_small(&work.path("export"), "out", more)
}

/// The bin of `[privacy] min_cell = 1` that holds so many subjects of a feature.
pub fn bins(work: &Workdir, feature: &str) -> Vec<(String, u64)> {
    let all = work.feature("out", feature)["bins"].clone();
    let full = |b: &Value| Some((b["bin"].as_str()?.to_owned(), b["subjects"].as_u64().filter(|n| *n > 0)?));
    all.as_array().unwrap().iter().filter_map(full).collect()
}

/// A model file of the repository's, with one more feature.
pub fn model_with(work: &Workdir, declaration: &str, bins: &str) -> PathBuf {
    let read = |name: &str| std::fs::read_to_string(repository(name)).unwrap();
    let name = declaration.lines().next().unwrap();
    let features = read("pipelines/features/credit_history.toml");
    let more =
        format!("\n[[feature]]\n{declaration}\nabout = \"A test.\"\ndirection = \"neither\"\nreason = \"C01\"\n");
    std::fs::write(work.path("features.toml"), features + &more).unwrap();
    let model = read("pipelines/models/standard.toml")
        .replace("../features/credit_history.toml", work.path("features.toml").to_str().unwrap())
        .replace("\"../features/", &format!("\"{}/", repository("pipelines/features").display()));
    let card = format!("\n[[feature]]\n{name}\nimportance = 1\nbins = [{bins}]\nbasis = \"expert judgement\"\n");
    let path = work.path("model.toml");
    std::fs::write(&path, model + &card).unwrap();
    path
}

/// Twelve monthly statements of `s1`, paid in time.
pub fn statements() -> Export {
    let months: Vec<String> = (1..=12).map(|m| format!("2024-{m:02}-20")).collect();
    let days: Vec<Option<&str>> = months.iter().map(|d| Some(d.as_str())).collect();
    let ids: Vec<String> = (0..12).map(|n| format!("r{n}")).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", ["s1"; 12])
        .text("account_id", ["a1"; 12])
        .text("product", ["revolving"; 12])
        .date("due_on", &days)
        .long("amount_due_minor", [10_000; 12])
        .long("amount_paid_minor", [10_000; 12])
        .date("paid_on", &days)
        .text("currency", ["CNY"; 12])
}

const SHOW: [&str; 2] = ["--set", "privacy.min_cell=1"];

#[test]
fn what_is_not_known_is_unknown_and_never_the_best_or_the_worst() {
    let work = Workdir::new();
    let one = |export: Export| export.text("subject_id", ["s1"]).text("kind", ["consumer"]);
    one(Export::new())
        .long("profile_fields", [10])
        .column("conflicting_fields", Arc::new(Int64Array::from(vec![None])))
        .column("verified_fields", Arc::new(Int64Array::from(vec![None])))
        .write(&work.path("export/subjects.parquet"));
    statements()
        .column("balance_minor", Arc::new(Int64Array::from(vec![None; 12])))
        .long("limit_minor", [50_000; 12])
        .write(&work.path("export/repayments.parquet"));
    run(&work, &[SHOW[0], SHOW[1]]).expect(0);
    for feature in
        ["phone_tenure", "registration_tenure", "conflicting_share", "verified_share", "months_since_oldest_account"]
    {
        assert_eq!(bins(&work, feature), [("unknown".to_owned(), 1)], "{feature}");
    }
    assert_eq!(bins(&work, "revolving_utilisation"), [("none".to_owned(), 1)], "no statement tells a balance");
}

#[test]
fn only_rows_whose_value_is_known_are_averaged() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let mut limits = vec![None; 12];
    limits[5] = Some(100_000);
    statements()
        .column("limit_minor", Arc::new(Int64Array::from(limits)))
        .column("balance_minor", Arc::new(Int64Array::from(vec![None; 12])))
        .write(&work.path("export/repayments.parquet"));
    for (name, aggregate, of, bin) in [
        ("mean_limit", "weighted_mean", "limit_minor", ">= 99999"),
        ("plain_mean", "mean", "limit_minor", ">= 99999"),
        ("balances", "sum", "balance_minor", "unknown"),
        ("largest", "max", "balance_minor", "unknown"),
    ] {
        let declared = format!(
            "name = \"{name}\"\nunit = \"count\"\naggregate = \"{aggregate}\"\nsource = \"repayments\"\nof = \"{of}\"\nwindow = \"24 months\""
        );
        let declared = if aggregate == "weighted_mean" { declared + "\nhalf_life = \"12 months\"" } else { declared };
        let model = model_with(&work, &declared, "{ below = 99999, share = 400 }, { from = 99999, share = 500 }");
        run(&work, &["--model", model.to_str().unwrap(), SHOW[0], SHOW[1]]).expect(0);
        assert_eq!(bins(&work, name), [(bin.to_owned(), 1)], "{name}");
    }
}

#[test]
fn a_sum_that_could_wrap_stops_the_run() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    statements().long("balance_minor", [9_000_000_000; 12]).write(&work.path("export/repayments.parquet"));
    let feature = |of: &str| {
        format!(
            "name = \"weighty\"\nunit = \"count\"\naggregate = \"weighted_mean\"\nsource = \"repayments\"\nof = \"{of}\"\nwindow = \"24 months\""
        )
    };
    let bins = "{ below = 1, share = 400 }, { from = 1, share = 500 }";
    let model = model_with(&work, &feature("balance_minor"), bins);
    run(&work, &["--model", model.to_str().unwrap()]).expect(2).says("weighty__weighted_sum").says("64-bit");
    let model = model_with(&work, &feature("LEAST(balance_minor, 1000000)"), bins);
    run(&work, &["--model", model.to_str().unwrap()]).expect(0);
    let model = model_with(&work, &feature("balance_minor * 1000000000000"), bins);
    run(&work, &["--model", model.to_str().unwrap()]).expect(2).says("more than integers of 64 bits hold");
}

#[test]
fn what_a_row_does_not_tell_is_no_value_no_group_and_no_zero() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let merchants = [Some("m1"), Some("m1"), None, None];
    Export::new()
        .text("record_id", ["o1", "o2", "o3", "o4"])
        .text("subject_id", ["s1"; 4])
        .instants("occurred_at", &[Some("2024-11-20"); 4])
        .text_or_null("merchant_id", &merchants)
        .long("amount_minor", [1000, 100, 100, 100])
        .text("currency", ["CNY"; 4])
        .text("status", ["settled"; 4])
        .write(&work.path("export/purchases.parquet"));
    let known = [Some(1000), Some(100), None, None];
    Export::new()
        .text("record_id", ["r1", "r2", "r3", "r4"])
        .text("subject_id", ["s1"; 4])
        .text("account_id", ["a1"; 4])
        .text("product", ["revolving"; 4])
        .date("due_on", &[Some("2024-11-20"); 4])
        .long("amount_due_minor", [500; 4])
        .long("amount_paid_minor", [500; 4])
        .text("currency", ["CNY"; 4])
        .column("limit_minor", Arc::new(Int64Array::from(known.to_vec())))
        .column("balance_minor", Arc::new(Int64Array::from(vec![None; 4])))
        .write(&work.path("export/repayments.parquet"));
    let distinct = "aggregate = \"distinct\"\nsource = \"purchases\"\nper = \"merchant_id\"".to_owned();
    let groups = |aggregate: &str, per: &str| {
        format!("aggregate = \"{aggregate}\"\nsource = \"repayments\"\nof = \"balance_minor\"\nper = \"{per}\"")
    };
    let nowhere = "\nwhere = \"amount_minor < 0\"";
    let none_due = "\nwhere = \"amount_due_minor < 0\"";
    // 550 times the two limits that are told, over 1100.
    let ratio = "aggregate = \"ratio\"\n\
        numerator = [{ source = \"repayments\", of = \"CASE WHEN limit_minor = 1000 THEN 550 END\" }]\n\
        denominator = [{ source = \"repayments\", of = \"limit_minor\" }]\nscale = \"rows\"";
    let cases = [
        (distinct.clone(), Some(1.0), false),
        (distinct + nowhere, Some(0.0), false),
        (groups("zero_groups", "month"), None, false),
        (groups("zero_groups", "month") + none_due, None, true),
        (groups("span", "account_id"), None, false),
        (groups("peak", "account_id"), None, false),
        (ratio.to_owned(), Some(1.0), false),
    ];
    for (declared, value, none) in cases {
        let unit = if declared.contains("ratio") || declared.contains("peak") { "ratio" } else { "count" };
        let feature = format!("name = \"told\"\nunit = \"{unit}\"\n{declared}");
        let model = model_with(&work, &feature, "{ below = 1, share = 400 }, { from = 1, share = 500 }");
        run(&work, &["--model", model.to_str().unwrap()]).expect(0);
        let folder = work.path("out/runs").read_dir().unwrap().next().unwrap().unwrap().path();
        let table = read(&folder.join("features/credit_history.parquet"));
        let told = table.column_by_name("told").unwrap().as_primitive::<Float64Type>();
        assert_eq!(told.is_valid(0).then(|| told.value(0)), value, "{declared}");
        assert_eq!(table.column_by_name("told__none").unwrap().as_boolean().value(0), none, "{declared}");
    }
}

#[test]
fn a_policy_rule_sees_records_older_than_any_window() {
    let work = Workdir::new();
    let features = std::fs::read_to_string(repository("pipelines/features/credit_history.toml")).unwrap();
    let windowed =
        features.replace("source = \"public_records\"", "source = \"public_records\"\nwindow = \"60 months\"");
    assert_ne!(windowed, features);
    std::fs::write(work.path("features.toml"), windowed).unwrap();
    let model = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let model = model
        .replace("../features/credit_history.toml", work.path("features.toml").to_str().unwrap())
        .replace("\"../features/", &format!("\"{}/", repository("pipelines/features").display()));
    std::fs::write(work.path("model.toml"), model).unwrap();
    subjects().write(&work.path("export/subjects.parquet"));
    statements().write(&work.path("export/repayments.parquet"));
    Export::new()
        .text("record_id", ["p1"])
        .text("subject_id", ["s1"])
        .text("kind", ["court_defaulter"])
        .date("listed_on", &[Some("2015-06-01")])
        .text("status", ["active"])
        .text("match", ["exact"])
        .write(&work.path("export/public_records.parquet"));
    let model = work.path("model.toml");
    run(&work, &["--model", model.to_str().unwrap()]).expect(0);
    assert_eq!(short(&work.scores_path("out"), "score", 0), Some(449));
}

fn short(table: &Path, column: &str, row: usize) -> Option<i16> {
    let column = read(table).column_by_name(column).unwrap().as_primitive::<Int16Type>().clone();
    column.is_valid(row).then(|| column.value(row))
}

#[test]
fn a_dispute_is_about_the_record_of_the_subject_it_names() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments().text("record_id", ["r1", "r1"]).write(&work.path("export/repayments.parquet"));
    let disputes = |subject: Option<&str>| {
        Export::new()
            .text("dispute_id", ["d1", "d2"])
            .text("table", ["repayments"; 2])
            .text("record_id", ["r1", "none such"])
            .text_or_null("subject_id", &[subject, subject])
            .instants("opened_at", &[Some("2025-01-08"); 2])
            .text("state", ["open"; 2])
    };
    let counted = |subject| {
        disputes(subject).write(&work.path("export/disputes.parquet"));
        run(&work, &[]).expect(0).says("1 of 2 match no visible record");
        let audit = work.audit("out");
        let several = audit["disputes"]["by_table"]["repayments"]["of_several_subjects"].clone();
        (audit["conservation"]["repayments"]["disputed_out"].clone(), several)
    };
    assert_eq!(counted(Some("s2")), (1.into(), 0.into()));
    assert_eq!(counted(None), (2.into(), 1.into()));
    disputes(None).long("record_id", [1, 2]).write(&work.path("export/disputes.parquet"));
    run(&work, &[]).expect(2).says("record ids are text in repayments");
}

#[test]
fn a_withdrawn_consent_holds_when_the_grant_is_exported_once_more() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    statements().write(&work.path("export/repayments.parquet"));
    Export::new()
        .text("subject_id", ["s1", "s1", "s2", "s2"])
        .text("purpose", ["score"; 4])
        .instants("granted_at", &[Some("2024-01-01"), Some("2024-01-01"), Some("2024-01-01"), Some("2024-06-01")])
        .instants("revoked_at", &[None, Some("2024-06-01"), Some("2024-05-01"), None])
        .write(&work.path("export/consents.parquet"));
    run(&work, &[SHOW[0], SHOW[1]]).expect(0);
    // s1 withdrew the grant; s2 withdrew one and gave another.
    assert_eq!(work.audit("out")["consents"]["score"], 1);
    let status = read(&work.scores_path("out")).column_by_name("status").unwrap().as_string::<i32>().clone();
    assert_eq!((status.value(0), status.value(1)), ("no_consent", "insufficient_history"));
}

#[test]
fn no_rule_of_a_model_scores_a_subject_without_consent() {
    let work = Workdir::new();
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let standard = standard.replace("\"../features/", &format!("\"{}/", repository("pipelines/features").display()));
    let model = work.path("model.toml");
    // Rules that refuse nobody, neither for consent nor for lack of records.
    let open: String = standard
        .lines()
        .map(|l| {
            match ["NOT score_consent", "(statements, 0) < 6 AND", "months_since_statement, 999"]
                .iter()
                .any(|r| l.contains(r))
            {
                true => "when = \"1 = 2\"\n".to_owned(),
                false => format!("{l}\n"),
            }
        })
        .collect();
    std::fs::write(&model, open).unwrap();
    let small = repository("data-samples/small");
    work.run(&small, "plain", &[]).expect(0);
    work.run(&small, "altered", &["--model", model.to_str().unwrap()]).expect(0);
    assert!(work.scores("plain") != work.scores("altered"), "the model's hash is in the file");
    let table = read(&work.scores_path("altered"));
    let status = table.column_by_name("status").unwrap().as_string::<i32>().clone();
    let score = table.column_by_name("score").unwrap();
    let refused: Vec<usize> = (0..table.num_rows()).filter(|r| status.value(*r) == "no_consent").collect();
    assert!(!refused.is_empty() && refused.iter().all(|r| score.is_null(*r)));
    std::fs::write(&model, standard.replace("name = \"no_consent\"", "name = \"nobody\"")).unwrap();
    work.run(&small, "out", &["--model", model.to_str().unwrap()]).expect(2).says("the status `no_consent`");
}

#[test]
fn ids_that_no_signed_integer_holds_are_quarantined() {
    let work = Workdir::new();
    let ids = |ids: Vec<u64>| Arc::new(UInt64Array::from(ids));
    let column = ids(vec![5, 1 << 63, (1 << 63) + 1]);
    subjects().column("subject_id", column).text("kind", ["consumer"; 3]).write(&work.path("export/subjects.parquet"));
    run(&work, &[]).expect(0);
    let counted = &work.audit("out")["conservation"]["subjects"];
    assert_eq!((&counted["used"], &counted["quarantined"]), (&1.into(), &2.into()));
    subjects().text("subject_id", ["s1", ""]).write(&work.path("export/subjects.parquet"));
    run(&work, &[]).expect(0);
    assert_eq!(work.audit("out")["quarantine"]["subjects"]["null_value"]["rows"], 1);
}

#[test]
fn outcomes_are_reported_by_horizon_and_contradictions_quarantined() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let outcomes = read(&small.join("outcomes.parquet"));
    let subjects: Vec<String> =
        outcomes.column_by_name("subject_id").unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    let bad: Vec<bool> = outcomes.column_by_name("bad").unwrap().as_boolean().iter().flatten().collect();
    let n = subjects.len();
    let twice: Vec<&str> = subjects.iter().chain(&subjects).chain(&subjects[..1]).map(String::as_str).collect();
    let flags: Vec<bool> = bad.iter().copied().chain((0..n).map(|s| bad[s] && s % 2 == 0)).chain([!bad[0]]).collect();
    let days = (0..2 * n + 1).map(|row| if row < n || row == 2 * n { 365 } else { 90 });
    Export::new()
        .text("subject_id", twice.iter().copied())
        .date("as_of", &vec![Some("2025-10-31"); 2 * n + 1])
        .long("horizon_days", days)
        .column("bad", Arc::new(arrow::array::BooleanArray::from(flags)))
        .write(&work.path("outcomes.parquet"));
    let input = format!("inputs.outcomes=\"{}\"", work.path("outcomes.parquet").display());
    work.run(&small, "out", &["--set", &input]).expect(0);
    let audit = work.audit("out");
    assert_eq!(audit["conservation"]["outcomes"]["quarantined"], 2);
    let quality = &audit["quality"];
    let other = &quality["other_horizons"][0];
    let (main, other) = (quality["horizon_days"].as_i64().unwrap(), other["horizon_days"].as_i64().unwrap());
    assert_eq!((main.min(other), main.max(other)), (90, 365));
}

#[test]
fn rows_of_a_subject_who_is_not_visible_yet_are_not_visible_either() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--as-of", "2025-03-31"]).expect(0);
    let audit = work.audit("out");
    for (table, counted) in audit["conservation"].as_object().unwrap() {
        let unknown = audit["quarantine"][table]["unknown_subject"].as_object();
        assert!(unknown.is_none(), "{table}: {unknown:?} of {counted}");
    }
    assert!(audit["conservation"]["subjects"]["not_visible"].as_u64().unwrap() > 0);
}

#[test]
fn models_that_would_score_wrongly_do_not_load() {
    let work = Workdir::new();
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let features = repository("pipelines/features");
    let broken = standard
        .replace("\"../features/", &format!("\"{}/", features.display()))
        .replacen("cap = 449", "cap = 100", 1)
        .replacen("evidence_strength = 6", "evidence_strength = nan", 1)
        .replacen("CNY = 1.0", "CNY = nan", 1)
        .replacen("importance = 14", "importance = 9000000000000000", 1)
        .replacen("{ below = 0.6, share = 850 }", "{ below = nan, share = 850 }", 1)
        .replacen("name = \"standard\"", &format!("name = \"{}\"", "a".repeat(65)), 1)
        .replacen("version = \"", "version = \"../", 1);
    let model = work.path("broken.toml");
    std::fs::write(&model, broken).unwrap();
    let nightly = repository("pipelines/nightly.toml");
    let ended = work.sesame(["check", nightly.to_str().unwrap(), "--model", model.to_str().unwrap()]).expect(2);
    ended
        .says("the cap 100 is not within 350 and 950")
        .says("`evidence_strength` (above 0)")
        .says("per_unit.CNY = NaN is not above 0")
        .says("it must be 1 to 1000000")
        .says("no finite number")
        .says("name = \"aaaa")
        .says("version = \"../")
        .says("is part of the published path; use 1 to 64 letters");
}
