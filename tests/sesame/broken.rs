//! One export per rule of the contract, each with exactly the outcome its rule names; and files that are no Parquet.
//!
//! The exports are kept in `data-samples/broken`. After a change of their making below, write them anew with
//! `cargo test --release write_the_broken_samples -- --ignored`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Decimal128Array, TimestampMicrosecondArray};

use crate::exports::{Export, instant, repayments, subjects};
use crate::workdir::{Ended, Workdir, repository};

/// What a run over a broken export must do.
enum Outcome {
    /// So many rows of a table are quarantined under the rule the folder is named after.
    Quarantined(&'static str, u64),
    /// The run stops with exit 2 and says this.
    Stops(&'static str),
}

struct Sample {
    name: &'static str,
    tables: Vec<(&'static str, Export)>,
    outcome: Outcome,
}

fn purchases() -> Export {
    Export::new()
        .text("record_id", ["o1", "o2"])
        .text("subject_id", ["s1", "s1"])
        .instants("occurred_at", &[Some("2025-01-05"), Some("2025-01-06")])
        .long("amount_minor", [5_000, 5_000])
        .text("currency", ["CNY", "CNY"])
        .text("status", ["settled", "settled"])
}

#[allow(clippy::too_many_lines, reason = "a catalogue: one entry per rule")]
fn samples() -> Vec<Sample> {
    use Outcome::{Quarantined, Stops};
    let with = |name, repayments: Export, outcome| Sample {
        name,
        tables: vec![("subjects", subjects()), ("repayments", repayments)],
        outcome,
    };
    let known = |days: [Option<&str>; 2]| subjects().text("subject_id", ["s1", "s1"]).instants("known_at", &days);
    vec![
        with("null_value", repayments().text_or_null("account_id", &[Some("a1"), None]), Quarantined("repayments", 1)),
        with("unknown_subject", repayments().text("subject_id", ["s1", "s9"]), Quarantined("repayments", 1)),
        with("negative_amount", repayments().long("amount_due_minor", [10_000, -1]), Quarantined("repayments", 1)),
        Sample {
            name: "out_of_range",
            tables: vec![("subjects", subjects().int("identity_level", [4, 5]))],
            outcome: Quarantined("subjects", 1),
        },
        with(
            "amount_too_large",
            repayments().long("amount_due_minor", [10_000, 10_000_000_000_001]),
            Quarantined("repayments", 1),
        ),
        with(
            "fractional_amount",
            repayments().column(
                "amount_due_minor",
                Arc::new(Decimal128Array::from(vec![1_000_000, 1_050]).with_precision_and_scale(18, 2).unwrap()),
            ),
            Quarantined("repayments", 1),
        ),
        with("foreign_currency", repayments().text("currency", ["CNY", "USD"]), Quarantined("repayments", 1)),
        with("unknown_choice", repayments().text("product", ["instalment", "loan"]), Quarantined("repayments", 1)),
        with(
            "implausible_date",
            repayments().date("due_on", &[Some("2025-01-05"), Some("1899-12-31")]),
            Quarantined("repayments", 1),
        ),
        with(
            "end_before_start",
            repayments().date("opened_on", &[Some("2024-01-01"), Some("2025-01-10")]),
            Quarantined("repayments", 1),
        ),
        Sample {
            name: "refund_above_original",
            tables: vec![
                ("subjects", subjects()),
                (
                    "purchases",
                    purchases().long("amount_minor", [5_000, 5_001]).text_or_null("refund_of", &[None, Some("o1")]),
                ),
            ],
            outcome: Quarantined("purchases", 1),
        },
        with(
            "pii_suspect",
            repayments().text("account_id", ["a1", "li.wei@example.com"]),
            Quarantined("repayments", 1),
        ),
        with(
            "conflicting_versions",
            repayments()
                .text("record_id", ["r1", "r1"])
                .text("subject_id", ["s1", "s1"])
                .date("due_on", &[Some("2025-01-05"); 2]),
            Quarantined("repayments", 2),
        ),
        Sample {
            name: "conflicting_subjects",
            tables: vec![("subjects", known([Some("2025-01-02"); 2]).text("kind", ["consumer", "small_business"]))],
            outcome: Stops("row 1 contradicts row 0"),
        },
        with("missing_column", repayments().without("due_on"), Stops("the required column `due_on` is missing")),
        with(
            "floating_point_money",
            repayments().double("amount_due_minor", [100.0, 200.0]),
            Stops("money is never floating point"),
        ),
        with(
            "local_time",
            repayments().column("known_at", Arc::new(TimestampMicrosecondArray::from(vec![instant("2025-01-06"); 2]))),
            Stops("a timestamp without a zone is a local time"),
        ),
        with(
            "mixed_id_types",
            repayments().long("subject_id", [1, 2]),
            Stops("is an integer, but subject ids are text in subjects"),
        ),
    ]
}

fn score(work: &Workdir, export: &Path) -> Ended {
    work.run_small(export, "out", &[])
}

#[test]
fn each_broken_sample_gives_exactly_what_its_rule_names() {
    for sample in samples() {
        let work = Workdir::new();
        let ended = score(&work, &repository("data-samples/broken").join(sample.name));
        match sample.outcome {
            Outcome::Stops(text) => {
                ended.expect(2).says(text);
                assert!(!work.path("out/scores").exists(), "{}", sample.name);
            }
            Outcome::Quarantined(table, rows) => {
                ended.expect(0).says(sample.name);
                let audit = work.audit("out");
                let found = &audit["quarantine"];
                assert_eq!(found[table][sample.name]["rows"], rows, "{}: {found}", sample.name);
                let rules: usize = found.as_object().unwrap().values().map(|t| t.as_object().unwrap().len()).sum();
                assert_eq!(rules, 1, "{}: {found}", sample.name);
                assert_eq!(audit["conservation"][table]["quarantined"], rows);
            }
        }
    }
}

#[test]
fn no_value_of_a_personal_id_is_copied_anywhere() {
    let work = Workdir::new();
    let ended = score(&work, &repository("data-samples/broken/pii_suspect")).expect(0);
    assert!(!ended.err.contains("li.wei"));
    for file in glob::glob(work.path("out/**/*").to_str().unwrap()).unwrap().map(Result::unwrap).filter(|f| f.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"li.wei"), "{}", file.display());
    }
}

fn write_samples(folder: &Path) {
    for sample in samples() {
        for (table, export) in sample.tables {
            export.write(&folder.join(sample.name).join(format!("{table}.parquet")));
        }
    }
}

#[test]
fn the_broken_samples_are_what_their_making_says() {
    let work = Workdir::new();
    write_samples(&work.path("made"));
    for file in glob::glob(work.path("made/*/*.parquet").to_str().unwrap()).unwrap().map(Result::unwrap) {
        let kept = repository("data-samples/broken").join(file.strip_prefix(work.path("made")).unwrap());
        assert!(std::fs::read(&file).unwrap() == std::fs::read(&kept).unwrap(), "{} differs", kept.display());
    }
}

#[test]
#[ignore = "writes data-samples/broken"]
fn write_the_broken_samples() {
    let folder = repository("data-samples/broken");
    let _ = std::fs::remove_dir_all(&folder);
    write_samples(&folder);
}

#[test]
fn all_structural_findings_come_at_once() {
    let work = Workdir::new();
    subjects().without("kind").write(&work.path("export/subjects.parquet"));
    repayments()
        .double("amount_due_minor", [1.0, 2.0])
        .date("paid_on", &[None, None])
        .write(&work.path("export/repayments.parquet"));
    std::fs::write(work.path("export/purchases.parquet"), b"").unwrap();
    score(&work, &work.path("export"))
        .expect(2)
        .says("the required column `kind` is missing")
        .says("the column `amount_due_minor` is Float64")
        .says("purchases.parquet: purchases: the file is empty");
    assert!(!work.path("out/scores").exists(), "nothing is published");
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let work = Workdir::new();
    let small = repository("data-samples/small/repayments/year=2024/part-0000.parquet");
    let whole = std::fs::read(&small).unwrap();
    subjects().write(&work.path("export/subjects.parquet"));
    let file = work.path("export/repayments.parquet");
    let mut rng = fastrand::Rng::with_seed(4);
    let mut stopped = 0;
    let mut variants: Vec<Vec<u8>> =
        vec![b"PAR1".to_vec(), b"PAR1PAR1".to_vec(), b"not a parquet file at all".to_vec()];
    variants.extend([whole.len() / 2, whole.len() - 1, 4].map(|n| whole[..n].to_vec()));
    for _ in 0..60 {
        let mut flipped = whole.clone();
        let at = rng.usize(0..flipped.len());
        flipped[at] ^= 1 << rng.u8(0..8);
        variants.push(flipped);
    }
    for bytes in variants {
        std::fs::write(&file, &bytes).unwrap();
        let _ = std::fs::remove_dir_all(work.path("out"));
        let ended = score(&work, &work.path("export"));
        // A flipped bit inside a value that no check sum guards is a different value, not an error.
        assert!(matches!(ended.code, 0 | 2), "exit {}\n{}", ended.code, ended.err);
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        if ended.code == 2 {
            stopped += 1;
            assert!(ended.err.contains("repayments.parquet"), "{}", ended.err);
            assert!(!work.path("out/scores").exists());
        }
    }
    assert!(stopped >= 6, "{stopped} of the damaged files were noticed");
}

#[test]
fn a_row_group_without_rows_is_no_error() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments().write(&work.path("export/repayments/some.parquet"));
    // Arrow's C++ writer makes a row group of no rows, whose columns say that their pages begin at byte 0.
    std::fs::copy(repository("tests/files/no_rows.parquet"), work.path("export/repayments/none.parquet")).unwrap();
    score(&work, &work.path("export")).expect(0);
    let files = &work.audit("out")["conservation"]["repayments"]["files"];
    assert_eq!((&files[0]["rows"], &files[1]["rows"]), (&0.into(), &2.into()));
}

#[test]
fn an_empty_table_is_no_error() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let empty = repayments().batch().slice(0, 0);
    crate::exports::write(&work.path("export/repayments.parquet"), &empty);
    score(&work, &work.path("export")).expect(0).says("insufficient_history hidden");
    let nobody = subjects().batch().slice(0, 0);
    crate::exports::write(&work.path("export/subjects.parquet"), &nobody);
    let _ = std::fs::remove_dir_all(work.path("out"));
    score(&work, &work.path("export")).expect(0).says("0 subjects");
}
