//! Many dates: each as if it had been run by itself, one failing alone, going on where it stopped.

use std::collections::BTreeMap;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::exports::{Export, read, repayments};
use crate::workdir::{Ended, Workdir, repository};

fn backfill(work: &Workdir, export: &str, output: &str, more: &[&str]) -> Ended {
    let path = if export == "small" { repository("data-samples/small") } else { work.path(export) };
    work.sesame(work.arguments("backfill", &path, output, more))
}

/// Gates that let every table pass.
const OPEN: [&str; 12] = [
    "--set",
    "gates.max_quarantined_share=1.0",
    "--set",
    "gates.max_age_days=100000",
    "--set",
    "gates.min_scored_share=0.0",
    "--set",
    "gates.max_psi=100.0",
    "--set",
    "gates.max_quarantined_growth=1000.0",
    "--set",
    "gates.max_band_jump=1.0",
];

/// The parts of every run's audit that its rows decide, by as-of date.
fn audits(work: &Workdir, output: &str) -> BTreeMap<String, Vec<Value>> {
    let found = glob::glob(work.path(output).join("runs/*/audit.json").to_str().unwrap()).unwrap().map(Result::unwrap);
    let parts = ["conservation", "quarantine", "coverage", "scores", "disputes", "consents", "propagation", "quality"];
    found
        .map(|path| {
            let audit: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let as_of = audit["provenance"]["as_of"].as_str().unwrap().to_owned();
            (as_of, parts.iter().map(|p| audit[p].clone()).collect())
        })
        .collect()
}

#[test]
fn every_date_of_a_backfill_is_what_a_run_of_that_date_gives() {
    let work = Workdir::new();
    let range = ["--from", "2025-05-31", "--to", "2025-10-31", "--every", "month"];
    backfill(&work, "small", "together", &range).expect(0).says("2025-10-31  done");
    for as_of in ["2025-05-31", "2025-06-30", "2025-07-31", "2025-08-31", "2025-09-30", "2025-10-31"] {
        work.run(&repository("data-samples/small"), "alone", &["--as-of", as_of]).expect(0);
    }
    assert!(work.published("together") == work.published("alone"));
    let (together, alone) = (audits(&work, "together"), audits(&work, "alone"));
    assert_eq!(together.len(), 6);
    for (as_of, parts) in &alone {
        assert_eq!(together[as_of], *parts, "{as_of}");
    }
}

/// A row whose faults, visibility and versions depend on the date it is looked at.
#[derive(Debug, Clone)]
struct Row {
    record: u8,
    subject: u8,
    opened: Option<i32>,
    due: i32,
    paid: Option<i32>,
    amount_paid: i64,
    known: Option<i32>,
    refund: bool,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0_u8..25,
        0_u8..5,
        proptest::option::of(0_i32..200),
        0_i32..150,
        proptest::option::of(0_i32..150),
        -2_i64..5,
        proptest::option::of(0_i32..150),
        any::<bool>(),
    );
    let row = row.prop_map(|(record, subject, opened, due, paid, amount_paid, known, refund)| Row {
        record,
        subject,
        opened,
        due,
        paid,
        amount_paid: amount_paid * 5_000,
        known,
        refund,
    });
    proptest::collection::vec(row, 1..60)
}

fn date(days: i32) -> String {
    sesame::contract::day_text(i64::from(crate::exports::day("2025-01-01") + days))
}

fn write(work: &Workdir, rows: &[Row], registered: &[i32]) {
    let text = |of: &dyn Fn(&Row) -> String| rows.iter().map(of).collect::<Vec<_>>();
    let some = |of: &dyn Fn(&Row) -> Option<i32>| rows.iter().map(|r| of(r).map(date)).collect::<Vec<_>>();
    let as_str = |texts: &[Option<String>]| -> Vec<Option<&'static str>> {
        texts.iter().cloned().map(|t| t.map(|t| &*t.leak())).collect()
    };
    let ids = text(&|r| format!("r{}", r.record));
    let owners = text(&|r| format!("s{}", r.subject));
    let opened = some(&|r| r.opened);
    let (due, paid, known) = (some(&|r| Some(r.due)), some(&|r| r.paid), some(&|r| r.known));
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", owners.iter().map(String::as_str))
        .text("account_id", rows.iter().map(|_| "a"))
        .text("product", rows.iter().map(|_| "instalment"))
        .date("opened_on", &as_str(&opened))
        .date("due_on", &as_str(&due))
        .long("amount_due_minor", rows.iter().map(|_| 10_000))
        .long("amount_paid_minor", rows.iter().map(|r| r.amount_paid))
        .date("paid_on", &as_str(&paid))
        .text("currency", rows.iter().map(|_| "CNY"))
        .instants("known_at", &as_str(&known))
        .write(&work.path("export/repayments.parquet"));
    let refund_of: Vec<Option<&str>> = rows.iter().zip(&ids).map(|(r, _)| r.refund.then_some("r1")).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", owners.iter().map(String::as_str))
        .instants("occurred_at", &as_str(&due))
        .long("amount_minor", rows.iter().map(|r| r.amount_paid))
        .text("currency", rows.iter().map(|_| "CNY"))
        .text("status", rows.iter().map(|r| if r.refund { "refunded" } else { "settled" }))
        .text_or_null("refund_of", &refund_of)
        .instants("known_at", &as_str(&known))
        .write(&work.path("export/purchases.parquet"));
    // The identity level of a subject that is registered later is out of range; the one of s3 is from the start.
    let subjects: Vec<String> = (0..registered.len()).map(|s| format!("s{s}")).collect();
    let when: Vec<Option<String>> = registered.iter().map(|d| Some(date(*d))).collect();
    Export::new()
        .text("subject_id", subjects.iter().map(String::as_str))
        .text("kind", subjects.iter().map(|_| "consumer"))
        .date("registered_on", &as_str(&when))
        .long("identity_level", (0..).take(subjects.len()).map(|s| if s == 3 { 9 } else { 2 }))
        .column("deceased", std::sync::Arc::new(BooleanArray::from(vec![false; subjects.len()])))
        .write(&work.path("export/subjects.parquet"));
    let disputes: Vec<String> = (0..3).map(|n| format!("d{n}")).collect();
    Export::new()
        .text("dispute_id", disputes.iter().map(String::as_str))
        .text("table", ["repayments", "purchases", "repayments"])
        .text_or_null("subject_id", &[None, Some("s2"), None])
        .text("record_id", ["r1", "r2", "r3"])
        .text("state", ["open", "rejected", "upheld"])
        .instants("opened_at", &[Some("2025-01-10"), Some("2025-02-10"), Some("2025-03-20")])
        .instants("closed_at", &[None, Some("2025-03-10"), Some("2025-04-10")])
        .write(&work.path("export/disputes.parquet"));
    Export::new()
        .text("subject_id", ["s0", "s1", "s2", "s4", "s0"])
        .text("purpose", ["score", "score", "score", "score", "network"])
        .instants(
            "granted_at",
            &[Some("2024-01-01"), Some("2025-02-01"), Some("2024-01-01"), Some("2024-01-01"), Some("2024-01-01")],
        )
        .instants("revoked_at", &[None, None, Some("2025-03-05"), None, None])
        .write(&work.path("export/consents.parquet"));
}

#[test]
fn dates_that_share_a_pass_see_random_rows_as_they_would_alone() {
    let runner = &mut TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    runner
        .run(&(rows(), proptest::collection::vec(-100_i32..140, 5)), |(rows, registered)| {
            let work = Workdir::new();
            write(&work, &rows, &registered);
            let range = ["--from", "2025-01-31", "--to", "2025-05-31", "--every", "month"];
            backfill(&work, "export", "together", &[&OPEN[..], &range].concat()).expect(0);
            for as_of in ["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30", "2025-05-31"] {
                let more = [&OPEN[..], &["--as-of", as_of]].concat();
                let ended = work.run(&work.path("export"), "alone", &more);
                prop_assert!(ended.code == 0, "{}", ended.err);
            }
            let (together, alone) = (audits(&work, "together"), audits(&work, "alone"));
            for (as_of, parts) in &together {
                prop_assert_eq!(parts, &alone[as_of], "{}", as_of);
            }
            let (together, alone) = (work.published("together"), work.published("alone"));
            for (name, bytes) in &together {
                prop_assert!(alone[name] == *bytes, "{} differs", name);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_wrong_with_a_bill_at_a_later_date_is_not_known_before() {
    let work = Workdir::new();
    Export::new()
        .text("subject_id", ["s1", "s2"])
        .text("kind", ["consumer", "consumer"])
        .write(&work.path("export/subjects.parquet"));
    // The account of s1 is opened, as the file has it, after its bill was due: in February that cannot be known.
    repayments()
        .date("opened_on", &[Some("2025-03-10"), Some("2024-12-01")])
        .write(&work.path("export/repayments.parquet"));
    let free = [&OPEN[..], &["--set", "consent_statement=\"test\"", "--set", "privacy.min_cell=1"]].concat();
    let range = ["--from", "2025-02-28", "--to", "2025-03-31", "--every", "month"];
    backfill(&work, "export", "together", &[&free[..], &range].concat()).expect(0);
    for as_of in ["2025-02-28", "2025-03-31"] {
        work.run(&work.path("export"), "alone", &[&free[..], &["--as-of", as_of]].concat()).expect(0);
    }
    let found = audits(&work, "together");
    assert_eq!(found, audits(&work, "alone"));
    for (as_of, used) in [("2025-02-28", 2), ("2025-03-31", 1)] {
        assert_eq!(found[as_of][0]["repayments"]["used"], used, "{}", found[as_of][0]["repayments"]);
    }
    assert!(work.published("together") == work.published("alone"));
}

#[test]
fn a_dispute_that_names_no_subject_is_of_everyone_with_the_record_at_every_date() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    std::fs::remove_file(work.path("export/disputes.parquet")).unwrap();
    let pattern = work.path("export/repayments/year=2024/*.parquet");
    let bills = read(&glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap());
    let ids = cast(bills.column_by_name("record_id").unwrap(), &DataType::Int64).unwrap();
    let id = ids.as_primitive::<Int64Type>().value(0);
    let dispute = Export::new()
        .text("dispute_id", ["d1"])
        .text("table", ["repayments"])
        .long("record_id", [id])
        .text("state", ["open"])
        .instants("opened_at", &[Some("2025-08-01")]);
    // Whether the column is there and null, or is not there.
    for (n, dispute) in [dispute.clone().text_or_null("subject_id", &[None]), dispute].into_iter().enumerate() {
        dispute.write(&work.path("export/disputes.parquet"));
        let (together, alone) = (format!("together-{n}"), format!("alone-{n}"));
        backfill(&work, "export", &together, &["--from", "2025-09-30", "--to", "2025-10-31", "--every", "month"])
            .expect(0);
        for as_of in ["2025-09-30", "2025-10-31"] {
            work.run(&work.path("export"), &alone, &["--as-of", as_of]).expect(0);
        }
        let found = audits(&work, &together);
        assert_eq!(found, audits(&work, &alone));
        for parts in found.values() {
            assert_eq!(parts[0]["disputes"]["used"], 1, "{}", parts[0]["disputes"]);
            assert_eq!(parts[0]["repayments"]["disputed_out"], 1);
        }
        assert!(work.published(&together) == work.published(&alone));
    }
}

#[test]
fn a_subject_with_very_many_rows_is_at_every_date_what_it_is_alone() {
    let work = Workdir::new();
    // More than are added up for all dates together.
    let rows = 0..17_000_i32;
    let ids: Vec<String> = rows.clone().map(|n| format!("r{n}")).collect();
    let due: Vec<String> = rows.clone().map(|n| date(n % 120)).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", rows.clone().map(|n| if n % 500 == 3 { "s2" } else { "s1" }))
        .text("account_id", rows.clone().map(|n| if n % 2 == 0 { "a" } else { "b" }))
        .text("product", rows.clone().map(|_| "instalment"))
        .date("due_on", &due.iter().map(|day| Some(day.as_str())).collect::<Vec<_>>())
        .long("amount_due_minor", rows.clone().map(i64::from))
        .long("amount_paid_minor", rows.clone().map(|n| i64::from(n - n % 3)))
        .text("currency", rows.map(|_| "CNY"))
        .write(&work.path("export/repayments.parquet"));
    Export::new()
        .text("subject_id", ["s1", "s2"])
        .text("kind", ["consumer", "consumer"])
        .write(&work.path("export/subjects.parquet"));
    let free = [&OPEN[..], &["--set", "consent_statement=\"test\"", "--set", "privacy.min_cell=1"]].concat();
    let range = ["--from", "2025-01-31", "--to", "2025-03-31", "--every", "month"];
    backfill(&work, "export", "together", &[&free[..], &range].concat()).expect(0);
    for as_of in ["2025-01-31", "2025-02-28", "2025-03-31"] {
        work.run(&work.path("export"), "alone", &[&free[..], &["--as-of", as_of]].concat()).expect(0);
    }
    assert_eq!(work.published("together").len(), 3);
    assert!(work.published("together") == work.published("alone"));
    let (together, alone) = (audits(&work, "together"), audits(&work, "alone"));
    assert_eq!(together, alone);
}

#[test]
fn a_date_that_fails_stops_no_other_and_is_tried_again() {
    let work = Workdir::new();
    // Two versions of a subject, both known since the end of February, contradict each other: no date after it can be scored.
    let versions = |second: &str| {
        Export::new()
            .text("subject_id", ["s1", "s2", "s1", "s1"])
            .text("kind", ["consumer", "consumer", "consumer", second])
            .instants("known_at", &[None, None, Some("2025-02-20"), Some("2025-02-20")])
            .write(&work.path("export/subjects.parquet"));
    };
    versions("small_business");
    repayments().write(&work.path("export/repayments.parquet"));
    let range = [
        "--from",
        "2025-01-31",
        "--to",
        "2025-03-31",
        "--every",
        "month",
        "--set",
        "consent_statement=\"test\"",
        "--set",
        "gates.min_scored_share=0.0",
        "--set",
        "gates.max_age_days=100000",
        "--set",
        "privacy.min_cell=1",
    ];
    backfill(&work, "export", "out", &range)
        .expect(4)
        .says("2025-01-31  done")
        .says("2025-02-28  failed")
        .says("contradicts row");
    assert_eq!(work.published("out").len(), 1);
    versions("consumer");
    let again = backfill(&work, "export", "out", &range).expect(0).says("2025-03-31  done");
    assert!(!again.err.contains("published 2025-01-31"), "{}", again.err);
    assert_eq!(work.published("out").len(), 3);
    backfill(&work, "export", "out", &[&range[..], &["--only", "failed"]].concat()).expect(0);
    backfill(&work, "export", "out", &[&range[..], &["--only", "all"]].concat()).expect(0).says("skipped  the run");
}

#[test]
fn a_date_before_the_first_subject_is_skipped_with_its_reason() {
    let work = Workdir::new();
    Export::new()
        .text("subject_id", ["s1"])
        .text("kind", ["consumer"])
        .date("registered_on", &[Some("2025-02-10")])
        .write(&work.path("export/subjects.parquet"));
    let range = [
        "--from",
        "2025-01-31",
        "--to",
        "2025-02-28",
        "--every",
        "month",
        "--set",
        "consent_statement=\"test\"",
        "--set",
        "gates.min_scored_share=0.0",
    ];
    let plan = backfill(&work, "export", "out", &[&range[..], &["--plan"]].concat()).expect(0);
    assert!(plan.out.contains("2025-01-31  pending") && !work.path("out").exists(), "{}", plan.out);
    backfill(&work, "export", "out", &range).expect(0).says("2025-01-31  skipped  no subject is visible");
    backfill(&work, "export", "out", &[&range[..], &["--known-by", "2025-06-30"]].concat())
        .expect(2)
        .says("was begun with");
    backfill(&work, "small", "out", &["--from", "2025-03-31", "--to", "2025-02-28", "--every", "day"])
        .expect(2)
        .says("later than --to");
}
