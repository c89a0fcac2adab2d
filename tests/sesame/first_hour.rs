//! The first hour with somebody's own files: a pipeline is guessed, rows are shown before and after, nothing is told of ids.

use std::path::Path;

use crate::exports::{Export, repayments, subjects};
use crate::workdir::{Workdir, repository};

fn init(work: &Workdir, more: &[&str]) -> crate::workdir::Ended {
    let usual =
        if more.contains(&"--currency") { &[][..] } else { &["--currency", "EUR", "--time-zone", "Europe/Berlin"] };
    work.sesame(["init", "mine", "--from", "raw"].iter().chain(usual).chain(more))
}

#[test]
fn foreign_names_types_and_words_are_recognised() {
    let work = Workdir::new();
    Export::new()
        .long("CUSTOMER_ID", [1, 2])
        .text("created_at", ["2019-03-01 10:00:00", "2020-05-01 11:30:00"])
        .double("monthlyIncome", [2500.5, 3100.0])
        .text("city", ["Berlin", "Bonn"])
        .write(&work.path("raw/customers.parquet"));
    Export::new()
        .long("installment_id", [10, 11])
        .long("CUSTOMER_ID", [1, 2])
        .long("loan_no", [7, 8])
        .text("loan_type", ["Cash loan", "credit card"])
        .text("due_date", ["05.01.2025", "06.01.2025"])
        .double("amount_due", [100.0, 50.25])
        .double("amount_paid", [100.0, 0.0])
        .text("paid_date", ["05.01.2025", "05.01.2025"])
        .write(&work.path("raw/loan_installments.parquet"));
    std::fs::write(work.path("raw/notes.csv"), "a,b\n").unwrap();
    init(&work, &["--as-of", "2025-01-31"]).expect(0).says("repayments").says("duckdb -c").says("--sample 1000");
    let pipeline = std::fs::read_to_string(work.path("mine/pipeline.toml")).unwrap();
    for line in [
        "CUSTOMER_ID AS subject_id,",
        "CAST(STRPTIME(created_at, '%Y-%m-%d %H:%M:%S') AS DATE) AS registered_on,",
        "CAST(ROUND(\"monthlyIncome\" * 100) AS BIGINT) AS monthly_income_minor",
        "CASE WHEN loan_type IN ('Cash loan') THEN 'instalment' WHEN loan_type IN ('credit card') THEN 'revolving' ELSE loan_type END AS product,",
        "CAST(STRPTIME(due_date, '%d.%m.%Y') AS DATE) AS due_on,",
        "not used: city",
    ] {
        let line = line.replace("\"monthlyIncome\"", "monthlyIncome");
        assert!(pipeline.contains(&line), "{line}\n{pipeline}");
    }
    let agreed = ["--set", "consent_statement=\"a test\""];
    let checked = work.sesame(["check", "mine/pipeline.toml", "--sample"].iter().chain(&agreed)).expect(0);
    let sampled = checked.says("amount_due_minor   10000").says("due_on             2025-01-05").out;
    assert!(!sampled.contains("Berlin"), "what no select reads is not shown\n{sampled}");
    let gates = ["--set", "gates.min_scored_share=0.0", "--set", "gates.max_age_days=100"];
    work.sesame(["run", "mine/pipeline.toml"].iter().chain(&agreed).chain(&gates)).expect(0).says("published");
    init(&work, &[]).expect(2).says("holds something already");
}

#[test]
fn what_cannot_be_guessed_is_listed_and_checked() {
    let work = Workdir::new();
    subjects().write(&work.path("raw/subjects.parquet"));
    repayments().without("account_id").write(&work.path("raw/repayments.parquet"));
    Export::new().double("temperature", [21.5]).text("sensor", ["a"]).write(&work.path("raw/weather.parquet"));
    let ended = init(&work, &[]).expect(0);
    ended.says("not found: account_id").says("weather.parquet, 1 rows: taken for no table");
    let pipeline = std::fs::read_to_string(work.path("mine/pipeline.toml")).unwrap();
    assert!(pipeline.contains("#   NOT FOUND: account_id") && pipeline.contains("temperature, sensor"), "{pipeline}");
    work.sesame(["check", "mine/pipeline.toml", "--set", "consent_statement=\"a test\""])
        .expect(2)
        .says("the required column `account_id` is missing");
}

#[test]
fn init_says_what_it_needs() {
    let work = Workdir::new();
    std::fs::create_dir_all(work.path("raw")).unwrap();
    init(&work, &[]).expect(2).says("no Parquet file is there");
    std::fs::write(work.path("raw/loans.csv"), "a,b\n1,2\n").unwrap();
    init(&work, &[]).expect(2).says("read_csv(").says("run init again");
    subjects().write(&work.path("raw/subjects.parquet"));
    init(&work, &["--currency", "euro"]).expect(2).says("ISO 4217");
    init(&work, &["--as-of", "31.1.2025"]).expect(2).says("YYYY-MM-DD");
    work.sesame(["init", "mine", "--from", "raw", "--time-zone", "Berlin"]).expect(2).says("'Berlin' is no time zone");
    work.sesame(["init", "mine", "--from", "nowhere"]).expect(2).says("nowhere");
    assert!(!work.path("mine").exists());
}

#[test]
fn init_writes_the_standard_model_and_all_it_needs() {
    let work = Workdir::new();
    subjects().write(&work.path("raw/subjects.parquet"));
    init(&work, &[]).expect(0);
    let mut count = 0;
    for folder in ["models", "features", "schema"] {
        for file in glob::glob(repository(&format!("pipelines/{folder}/*")).to_str().unwrap()).unwrap() {
            let file = file.unwrap();
            let written = work.path("mine").join(folder).join(file.file_name().unwrap());
            assert!(std::fs::read(&file).unwrap() == std::fs::read(&written).unwrap(), "{}", written.display());
            count += 1;
        }
    }
    assert!(count >= 12);
}

#[test]
fn a_sample_counts_what_would_be_quarantined_and_names_unknown_words_but_no_ids() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments()
        .text("record_id", ["secret-record-1", "secret-record-2"])
        .text("product", ["instalment", "leasing"])
        .long("amount_due_minor", [10_000, 20_000])
        .write(&work.path("export/repayments.parquet"));
    let args = ["--sample", "10", "--set", "consent_statement=\"test\"", "--as-of", "2025-01-31"];
    let sampled = work.sesame(work.arguments("check", &work.path("export"), "out", &args)).expect(0);
    let out = &sampled.out;
    for part in [
        "repayments: 2 rows read",
        "1 would be quarantined: unknown_choice in product",
        "unknown words of product: 'leasing' (1)",
        "breaks unknown_choice in product",
        "from 2025-01-05 to 2025-01-05",
        "record_id          se… (15 characters)",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!out.contains("secret-record"), "{out}");
    assert!(!Path::new(&work.path("out")).exists());
}

#[test]
fn a_sample_of_the_broken_exports_finds_what_a_row_alone_tells() {
    for (folder, rule) in [
        ("null_value", "null_value"),
        ("negative_amount", "negative_amount"),
        ("out_of_range", "out_of_range"),
        ("amount_too_large", "amount_too_large"),
        ("fractional_amount", "fractional_amount"),
        ("foreign_currency", "foreign_currency"),
        ("unknown_choice", "unknown_choice"),
        ("implausible_date", "implausible_date"),
        ("end_before_start", "end_before_start"),
        ("pii_suspect", "pii_suspect"),
    ] {
        let work = Workdir::new();
        let export = repository(&format!("data-samples/broken/{folder}"));
        let args = ["--sample", "--set", "consent_statement=\"test\"", "--as-of", "2025-01-31"];
        let sampled = work.sesame(work.arguments("check", &export, "out", &args)).expect(0);
        assert!(sampled.out.contains(&format!("1 would be quarantined: {rule}")), "{folder}\n{}", sampled.out);
    }
}

#[test]
fn files_that_follow_the_contract_need_no_select_and_score_as_they_are() {
    let work = Workdir::new();
    let small = repository("data-samples/small").display().to_string();
    work.sesame(["init", "mine", "--from", &small, "--as-of", "2025-10-31", "--name", "nightly"]).expect(0);
    let pipeline = std::fs::read_to_string(work.path("mine/pipeline.toml")).unwrap();
    assert!(!pipeline.contains("select") || !pipeline.contains("\nselect = "), "{pipeline}");
    for table in ["subjects", "repayments", "sales", "disputes", "outcomes", "groups", "sources"] {
        assert!(pipeline.contains(&format!("\n[inputs.{table}]\n")), "{table}\n{pipeline}");
    }
    work.sesame(["run", "mine/pipeline.toml"]).expect(0).says("published");
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    assert!(work.published("mine/out") == work.published("out"));
}

#[test]
fn a_table_in_which_subjects_repeat_is_not_the_one_of_subjects() {
    let work = Workdir::new();
    Export::new()
        .long("client_id", [1, 1, 1, 2, 2, 2])
        .text("note", ["a", "b", "c", "d", "e", "f"])
        .write(&work.path("raw/notes.parquet"));
    init(&work, &[]).expect(0).says("notes.parquet, 6 rows: taken for no table");
}
