//! Properties of a whole run over random exports: what may change a score and what may not.

use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int16Type;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::exports::{Export, read, subjects};
use crate::workdir::{Workdir, repository};

fn runs(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn score(work: &Workdir, export: &Path, output: &str) -> Vec<u8> {
    let _ = std::fs::remove_dir_all(work.path(output));
    work.run_small(export, output, &[]).expect(0);
    work.scores(output)
}

/// A row of `repayments`, good or bad.
#[derive(Debug, Clone)]
struct Row {
    record: u8,
    subject: u8,
    product: &'static str,
    due: i32,
    amount: i64,
    paid: i64,
    late: Option<i32>,
    currency: &'static str,
    known: Option<i32>,
}

fn row() -> impl Strategy<Value = Row> {
    let fields = (
        0_u8..40,
        0_u8..4,
        prop_oneof![8 => Just("instalment"), 4 => Just("revolving"), 1 => Just("barter")],
        prop_oneof![20 => 19_300_i32..20_200, 1 => Just(-40_000), 1 => Just(90_000)],
        prop_oneof![10 => 0_i64..1_000_000, 1 => Just(-5_i64), 1 => Just(20_000_000_000_000)],
        0_i64..1_000_000,
        proptest::option::of(0_i32..120),
        prop_oneof![12 => Just("CNY"), 1 => Just("EUR")],
        proptest::option::of(19_300_i32..20_300),
    );
    fields.prop_map(|(record, subject, product, due, amount, paid, late, currency, known)| Row {
        record,
        subject,
        product,
        due,
        amount,
        paid,
        late,
        currency,
        known,
    })
}

fn export(rows: &[Row]) -> Export {
    let day = |d: i32| -> String { sesame::contract::day_text(i64::from(d)) };
    let due: Vec<String> = rows.iter().map(|r| day(r.due)).collect();
    let paid: Vec<Option<String>> = rows.iter().map(|r| r.late.map(|l| day(r.due + l))).collect();
    let known: Vec<Option<String>> = rows.iter().map(|r| r.known.map(day)).collect();
    let ids: Vec<String> = rows.iter().map(|r| format!("r{}", r.record)).collect();
    let owners: Vec<String> = rows.iter().map(|r| format!("s{}", r.subject)).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", owners.iter().map(String::as_str))
        .text("account_id", rows.iter().map(|_| "a"))
        .text("product", rows.iter().map(|r| r.product))
        .date("due_on", &due.iter().map(|d| Some(d.as_str())).collect::<Vec<_>>())
        .long("amount_due_minor", rows.iter().map(|r| r.amount))
        .long("amount_paid_minor", rows.iter().map(|r| r.paid))
        .date("paid_on", &paid.iter().map(Option::as_deref).collect::<Vec<_>>())
        .text("currency", rows.iter().map(|r| r.currency))
        .instants("known_at", &known.iter().map(Option::as_deref).collect::<Vec<_>>())
}

#[test]
fn every_row_of_a_random_export_ends_in_exactly_one_class() {
    runs(24)
        .run(&proptest::collection::vec(row(), 0..80), |rows| {
            let work = Workdir::new();
            subjects().text("subject_id", ["s1", "s2"]).write(&work.path("export/subjects.parquet"));
            export(&rows).write(&work.path("export/repayments.parquet"));
            score(&work, &work.path("export"), "out");
            let audit = work.audit("out");
            let counted = audit["conservation"]["repayments"].as_object().unwrap();
            let classes = counted
                .iter()
                .filter(|(k, _)| !matches!(k.as_str(), "rows" | "files"))
                .map(|(_, v)| v.as_u64().unwrap());
            prop_assert_eq!(classes.sum::<u64>(), rows.len() as u64);
            prop_assert_eq!(counted["rows"].as_u64().unwrap(), rows.len() as u64);
            Ok(())
        })
        .unwrap();
}

#[test]
fn rows_after_the_cut_off_change_no_byte() {
    let late = (row(), any::<bool>()).prop_map(|(row, by_event)| match by_event {
        true => Row { due: row.due.abs().max(20_120), ..row },
        false => Row { known: Some(20_121), ..row },
    });
    let both = (proptest::collection::vec(row(), 5..60), proptest::collection::vec(late, 1..30));
    runs(16)
        .run(&both, |(rows, later)| {
            let work = Workdir::new();
            subjects().write(&work.path("export/subjects.parquet"));
            export(&rows).write(&work.path("export/repayments/a.parquet"));
            let before = score(&work, &work.path("export"), "before");
            export(&later).write(&work.path("export/repayments/b.parquet"));
            prop_assert!(score(&work, &work.path("export"), "after") == before);
            prop_assert_eq!(
                work.audit("after")["conservation"]["repayments"]["files"][1]["not_visible"].as_u64(),
                Some(later.len() as u64)
            );
            Ok(())
        })
        .unwrap();
}

#[test]
fn exchanging_category_codes_changes_no_byte() {
    let small = repository("data-samples/small");
    let work = Workdir::new();
    work.run(&small, "plain", &[]).expect(0);
    runs(3)
        .run(&(1_i64..1_000_000), |factor| {
            // x ↦ factor·x modulo a prime above every code is a permutation.
            let select = format!(
                "inputs.purchases={{ path = \"{}\", select = \"SELECT record_id, subject_id, occurred_at, amount_minor, currency, merchant_id, \
                 MOD(CAST(category_code AS BIGINT) * {factor}, 1000003) AS category_code, status, refund_of, known_at, source_id FROM export\" }}",
                small.join("purchases").display()
            );
            let _ = std::fs::remove_dir_all(work.path("permuted"));
            work.run(&small, "permuted", &["--set", &select]).expect(0);
            prop_assert!(work.scores("permuted") == work.scores("plain"));
            Ok(())
        })
        .unwrap();
}

#[test]
fn one_more_good_bill_never_lowers_the_points_of_a_shrunk_rate() {
    // A model of nothing but shrunk rates, one segment: the category's points are the rate's points.
    let work = Workdir::new();
    let model = work.path("rates.toml");
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let features = repository("pipelines/features").display().to_string();
    let head =
        standard.split("# ---------------------------------------------------------------- scorecard").next().unwrap();
    let head = head.replace("\"../features/", &format!("\"{features}/"));
    let card = standard
        .split("[[feature]]")
        .skip(1)
        .filter(|f| f.contains("late_share_12m") || f.contains("on_time_utility_share_12m"));
    let card: String = card.map(|f| format!("[[feature]]{}\n", f.split("# ----").next().unwrap())).collect();
    std::fs::write(&model, format!("{head}\n{card}")).unwrap();
    let bills = proptest::collection::vec((19_760_i32..20_110, 0_i32..40), 6..20);
    runs(16)
        .run(&(bills, 19_760_i32..20_110), |(bills, good)| {
            let mut rows: Vec<Row> = bills
                .iter()
                .enumerate()
                .map(|(n, (due, late))| Row {
                    record: u8::try_from(n).unwrap(),
                    subject: 1,
                    product: "instalment",
                    due: *due,
                    amount: 10_000,
                    paid: 10_000,
                    late: Some(late - 20),
                    currency: "CNY",
                    known: None,
                })
                .collect();
            // A recent bill keeps the subject active, whatever the others are.
            rows.push(Row { record: 98, due: 20_100, late: Some(0), ..rows[0].clone() });
            subjects().write(&work.path("export/subjects.parquet"));
            let points = |rows: &[Row]| {
                export(rows).write(&work.path("export/repayments.parquet"));
                let _ = std::fs::remove_dir_all(work.path("out"));
                work.run_small(&work.path("export"), "out", &["--model", model.to_str().unwrap()]).expect(0);
                let table = read(&work.scores_path("out"));
                let points = table.column_by_name("points_credit_history").unwrap().as_primitive::<Int16Type>().clone();
                points.is_valid(0).then(|| points.value(0))
            };
            let before = points(&rows);
            rows.push(Row { record: 99, due: good, late: Some(0), ..rows[0].clone() });
            let after = points(&rows);
            prop_assert!(before.is_some() && after >= before, "{before:?} then {after:?}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_link_and_consent_of_a_random_export_ends_in_exactly_one_class() {
    // Some ends exist, some do not; some dates are missing, ended, too young, still to come or impossible.
    let end = || prop_oneof![6 => (1_u8..3).prop_map(Some), 2 => (0_u8..5).prop_map(Some), 1 => Just(None)];
    let date = || {
        proptest::option::weighted(0.9, prop_oneof![10 => 17_000_i32..20_300, 1 => Just(-90_000), 1 => Just(99_000)])
    };
    let link = (end(), end(), date(), proptest::option::weighted(0.3, 17_000_i32..20_300), -2_i64..30);
    let consent = (end(), any::<bool>(), date(), proptest::option::weighted(0.3, 17_000_i32..20_300));
    let both = (proptest::collection::vec(link, 1..60), proptest::collection::vec(consent, 1..30));
    runs(16)
        .run(&both, |(links, consents)| {
            let id = |n: Option<u8>| n.map(|n| format!("s{n}"));
            let day = |d: Option<i32>| d.map(|d| sesame::contract::day_text(i64::from(d)));
            let text = |all: Vec<Option<String>>, name: &str, export: Export| {
                export.text_or_null(name, &all.iter().map(Option::as_deref).collect::<Vec<_>>())
            };
            let since = links.iter().map(|l| day(l.2)).collect::<Vec<_>>();
            let until = links.iter().map(|l| day(l.3)).collect::<Vec<_>>();
            let work = Workdir::new();
            subjects().write(&work.path("export/subjects.parquet"));
            let table = text(links.iter().map(|l| id(l.0)).collect(), "subject_a", Export::new());
            text(links.iter().map(|l| id(l.1)).collect(), "subject_b", table)
                .date("since", &since.iter().map(Option::as_deref).collect::<Vec<_>>())
                .date("until", &until.iter().map(Option::as_deref).collect::<Vec<_>>())
                .long("interactions_90d", links.iter().map(|l| l.4))
                .write(&work.path("export/friend_links.parquet"));
            let granted = consents.iter().map(|c| day(c.2)).collect::<Vec<_>>();
            let revoked = consents.iter().map(|c| day(c.3)).collect::<Vec<_>>();
            text(consents.iter().map(|c| id(c.0)).collect(), "subject_id", Export::new())
                .text("purpose", consents.iter().map(|c| if c.1 { "network" } else { "score" }))
                .instants("granted_at", &granted.iter().map(Option::as_deref).collect::<Vec<_>>())
                .instants("revoked_at", &revoked.iter().map(Option::as_deref).collect::<Vec<_>>())
                .write(&work.path("export/consents.parquet"));
            score(&work, &work.path("export"), "out");
            let audit = work.audit("out");
            for (name, rows) in [("friend_links", links.len()), ("consents", consents.len())] {
                let counted = audit["conservation"][name].as_object().unwrap();
                let classes =
                    counted.iter().filter(|(k, v)| v.is_u64() && *k != "rows").map(|(_, v)| v.as_u64().unwrap());
                prop_assert_eq!(classes.sum::<u64>(), rows as u64, "{}: {:?}", name, counted);
            }
            let because = audit["conservation"]["friend_links"]["dropped_because"].as_object().unwrap();
            let reasons: u64 = because.values().map(|v| v.as_u64().unwrap()).sum();
            prop_assert_eq!(Some(reasons), audit["conservation"]["friend_links"]["dropped"].as_u64());
            Ok(())
        })
        .unwrap();
}
