//! What a run publishes: the scored table, the audit, the evidence, the quarantine, the manifest, the gates.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray};
use arrow::datatypes::{Float64Type, Int16Type, Int32Type, Int64Type};

use crate::exports::{Export, read, repayments, subjects};
use crate::workdir::{Ended, Workdir, repository};

fn run(work: &Workdir, more: &[&str]) -> Ended {
    work.run_small(&work.path("export"), "out", more)
}

#[test]
fn points_add_up_to_the_score_for_every_subject() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let table = read(&work.scores_path("out"));
    let short = |name: &str| table.column_by_name(name).unwrap().as_primitive::<Int16Type>().clone();
    let (score, before) = (short("score"), short("score_before_override"));
    let categories =
        ["credit_history", "fulfilment_capacity", "behaviour_preference", "personal_characteristics", "relationships"];
    let points: Vec<_> = categories.iter().map(|c| short(&format!("points_{c}"))).collect();
    let maxima: Vec<_> = categories.iter().map(|c| short(&format!("max_{c}"))).collect();
    let mut scored = 0;
    for row in 0..table.num_rows() {
        if score.is_null(row) {
            assert!(points.iter().all(|p| p.is_null(row)));
            continue;
        }
        scored += 1;
        let own = if before.is_valid(row) { before.value(row) } else { score.value(row) };
        assert_eq!(350 + points.iter().map(|p| p.value(row)).sum::<i16>(), own, "row {row}");
        assert_eq!(maxima.iter().map(|p| p.value(row)).sum::<i16>(), 600);
        assert!((350..=950).contains(&own));
    }
    assert!(scored > 800);
    let ids = table.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    assert!((1..ids.len()).all(|r| ids.value(r - 1) < ids.value(r)), "sorted by subject");
    let rank = table.column_by_name("rank").unwrap().as_primitive::<Int64Type>().clone();
    let percentile = short("percentile");
    for row in (0..table.num_rows()).filter(|r| score.is_valid(*r)) {
        let higher = score.iter().flatten().filter(|s| *s > score.value(row)).count() as i64;
        let lower = score.iter().flatten().filter(|s| *s < score.value(row)).count();
        assert_eq!(rank.value(row), 1 + higher);
        assert_eq!(usize::try_from(percentile.value(row)).unwrap(), 100 * lower / scored);
    }
    let confidence = table.column_by_name("confidence").unwrap().as_primitive::<Float64Type>().clone();
    assert!(
        confidence
            .iter()
            .flatten()
            .all(|c| (c * 1000.0 - (c * 1000.0).round()).abs() < 1e-9 && (0.0..=1.0).contains(&c))
    );
}

#[test]
fn a_court_defaulter_is_capped_until_the_entry_ends() {
    let work = Workdir::new();
    let record = |status: &str, status_on: Option<&str>, sure: &str| {
        Export::new()
            .text("record_id", ["p1"])
            .text("subject_id", ["s1"])
            .text("kind", ["court_defaulter"])
            .date("listed_on", &[Some("2024-06-01")])
            .text("status", [status])
            .date("status_on", &[status_on])
            .text("match", [sure])
            .write(&work.path("export/public_records.parquet"));
    };
    many_repayments().write(&work.path("export/repayments.parquet"));
    subjects().write(&work.path("export/subjects.parquet"));
    let first = |output: &str| {
        let table = read(&work.scores_path(output));
        let short = |name: &str| {
            let column = table.column_by_name(name).unwrap().as_primitive::<Int16Type>().clone();
            column.is_valid(0).then(|| column.value(0))
        };
        let code = table.column_by_name("override").unwrap().as_string::<i32>().clone();
        let reason = table.column_by_name("reason_1").unwrap().as_string::<i32>().clone();
        (
            short("score"),
            short("score_before_override"),
            code.is_valid(0).then(|| code.value(0).to_owned()),
            reason.value(0).to_owned(),
        )
    };
    record("active", None, "exact");
    run(&work, &[]).expect(0);
    let (score, before, code, reason) = first("out");
    assert_eq!((score, code.as_deref(), reason.as_str()), (Some(449), Some("P01"), "P01"));
    assert!(before.unwrap() > 449);
    let evidence = read(
        &glob::glob(work.path("out/runs/*/evidence/public_records.parquet").to_str().unwrap())
            .unwrap()
            .next()
            .unwrap()
            .unwrap(),
    );
    let policies = evidence.column_by_name("policy").unwrap().as_string::<i32>().clone();
    assert_eq!(policies.iter().flatten().collect::<Vec<_>>(), ["P01"]);
    // Satisfied: the cap is gone. Satisfied only after the as-of date: still there. Probable: never.
    for (status, on, sure, capped) in [
        ("satisfied", Some("2025-01-15"), "exact", false),
        ("satisfied", Some("2025-02-15"), "exact", true),
        ("active", None, "probable", false),
    ] {
        std::fs::remove_dir_all(work.path("out")).unwrap();
        record(status, on, sure);
        run(&work, &[]).expect(0);
        assert_eq!(first("out").0 == Some(449), capped, "{status} {on:?} {sure}");
    }
}

/// Twelve instalments of `s1`, paid in time, and of `s2`, the last three 18 days late.
fn many_repayments() -> Export {
    let months: Vec<String> = (1..=12).map(|m| format!("2024-{m:02}-10")).collect();
    let due: Vec<Option<&str>> = months.iter().chain(&months).map(|d| Some(d.as_str())).collect();
    let paid: Vec<String> = (1..=12).map(|m| format!("2024-{m:02}-{}", if m > 9 { 28 } else { 10 })).collect();
    let paid: Vec<Option<&str>> = months.iter().chain(&paid).map(|d| Some(d.as_str())).collect();
    let ids: Vec<String> = (0..24).map(|n| format!("r{n}")).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", (0..24).map(|n| if n < 12 { "s1" } else { "s2" }))
        .text("account_id", (0..24).map(|n| if n < 12 { "a1" } else { "a2" }))
        .text("product", ["instalment"; 24])
        .date("due_on", &due)
        .long("amount_due_minor", [10_000; 24])
        .long("amount_paid_minor", [10_000; 24])
        .date("paid_on", &paid)
        .text("currency", ["CNY"; 24])
}

#[test]
fn a_disputed_record_counts_for_nothing_and_the_row_says_what_it_would_do() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    many_repayments().write(&work.path("export/repayments.parquet"));
    run(&work, &[]).expect(0);
    let score = |row: usize, name: &str| {
        let table = read(&work.scores_path("out"));
        let column = table.column_by_name(name).unwrap().as_primitive::<Int16Type>().clone();
        column.is_valid(row).then(|| column.value(row))
    };
    let (prompt, late) = (score(0, "score").unwrap(), score(1, "score").unwrap());
    assert!(late < prompt);
    std::fs::remove_dir_all(work.path("out")).unwrap();
    // The last three late instalments are contested; one dispute was rejected, so that record still counts.
    Export::new()
        .text("dispute_id", ["d1", "d2", "d3"])
        .text("table", ["repayments"; 3])
        .text("record_id", ["r23", "r22", "r21"])
        .instants("opened_at", &[Some("2025-01-02"); 3])
        .text("state", ["open", "upheld", "rejected"])
        .instants("closed_at", &[None, Some("2025-01-05"), Some("2025-01-05")])
        .write(&work.path("export/disputes.parquet"));
    run(&work, &[]).expect(0);
    assert_eq!(score(0, "score"), Some(prompt));
    assert_eq!(score(1, "score_with_disputed"), Some(late));
    assert!(score(1, "score").unwrap() > late);
    let table = read(&work.scores_path("out"));
    let disputed = table.column_by_name("disputed_records").unwrap().as_primitive::<Int32Type>().clone();
    assert_eq!(disputed.values(), &[0, 2]);
    assert_eq!(work.audit("out")["conservation"]["repayments"]["disputed_out"], 2);
}

#[test]
fn the_latest_known_version_of_a_record_counts() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let known = Some("2025-01-08");
    repayments()
        .text("record_id", ["r1", "r1"])
        .text("subject_id", ["s1", "s1"])
        .text("account_id", ["a1", "a1"])
        .text("product", ["instalment", "instalment"])
        .long("amount_paid_minor", [0, 10_000])
        .long("amount_due_minor", [10_000, 10_000])
        .date("due_on", &[Some("2025-01-05"), Some("2025-01-05")])
        .date("paid_on", &[None, Some("2025-01-05")])
        .instants("known_at", &[Some("2025-01-06"), known])
        .write(&work.path("export/repayments.parquet"));
    run(&work, &[]).expect(0);
    let audit = work.audit("out");
    let repayments = &audit["conservation"]["repayments"];
    assert_eq!((&repayments["used"], &repayments["superseded"]), (&1.into(), &1.into()));
    // Before the correction was known, the first version counts.
    std::fs::remove_dir_all(work.path("out")).unwrap();
    run(&work, &["--known-by", "2025-01-06"]).expect(0);
    let audit = work.audit("out");
    let repayments = &audit["conservation"]["repayments"];
    assert_eq!((&repayments["used"], &repayments["not_visible"]), (&1.into(), &1.into()));
}

#[test]
fn an_export_with_other_columns_is_read_through_its_select() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    Export::new()
        .text("Id", ["1", "2", "3"])
        .text("client", ["s1", "s2", "s1"])
        .date("bill_date", &[Some("2025-01-05"), Some("2025-01-06"), Some("2025-01-07")])
        .double("amount", [100.25, 80.0, -1.0])
        .write(&work.path("export/bills.parquet"));
    let select = "SELECT Id AS record_id, client AS subject_id, client AS account_id, 'instalment' AS product, bill_date AS due_on, \
        CAST(ROUND(amount * 100) AS BIGINT) AS amount_due_minor, CAST(ROUND(amount * 100) AS BIGINT) AS amount_paid_minor, 'CNY' AS currency FROM export";
    let input = format!(
        "inputs.repayments={{ path = \"{}\", select = \"{select}\" }}",
        work.path("export/bills.parquet").display()
    );
    run(&work, &["--set", &input]).expect(0);
    let audit = work.audit("out");
    assert_eq!(audit["conservation"]["repayments"]["used"], 2);
    let sample = &audit["quarantine"]["repayments"]["negative_amount"]["samples"][0];
    assert_eq!((&sample["row"], &sample["column"]), (&2.into(), &"amount_due_minor".into()));
    let input = input.replace("SELECT Id", "SELECT COUNT(*)");
    run(&work, &["--set", &input]).expect(2).says("none of the functions of one row");
}

#[test]
fn a_failed_gate_publishes_nothing_and_keeps_the_result() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let before = work.scores("out");
    let ended = work.run(&small, "out", &["--set", "gates.min_scored_share=0.99"]).expect(1);
    ended.says("gate min_scored_share").says("nothing was published");
    assert!(work.scores("out") == before);
    let runs = std::fs::read_dir(work.path("out/runs")).unwrap().count();
    assert_eq!(runs, 2, "the failed run is kept");
    work.run(&small, "out", &["--set", "gates.max_quarantined_share=0.0"]).expect(1).says("quarantine/");
}

#[test]
fn hive_partitions_and_patterns_are_inputs() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "folder", &[]).expect(0);
    let pattern = format!("inputs.purchases=\"{}/purchases/year=*/*.parquet\"", small.display());
    work.run(&small, "pattern", &["--set", &pattern]).expect(0);
    assert!(work.scores("folder") == work.scores("pattern"));
    // A column that only the path gives.
    subjects().write(&work.path("export/subjects.parquet"));
    let one = repayments().without("currency").without("product");
    one.write(&work.path("export/repayments/currency=CNY/product=instalment/a.parquet"));
    run(&work, &[]).expect(0);
    assert_eq!(work.audit("out")["conservation"]["repayments"]["used"], 2);
}

#[test]
fn integer_ids_are_accepted_and_kept() {
    let work = Workdir::new();
    subjects().long("subject_id", [7, -3]).write(&work.path("export/subjects.parquet"));
    repayments().long("subject_id", [7, -3]).long("record_id", [1, 1]).write(&work.path("export/repayments.parquet"));
    run(&work, &[]).expect(0);
    let ids = read(&work.scores_path("out")).column_by_name("subject_id").unwrap().as_primitive::<Int64Type>().clone();
    assert_eq!(ids.values(), &[-3, 7]);
    assert_eq!(work.audit("out")["conservation"]["repayments"]["used"], 2);
}

#[test]
fn fixed_size_binary_ids_are_accepted_and_kept() {
    let binary = |ids: &[&[u8; 4]]| -> ArrayRef {
        Arc::new(FixedSizeBinaryArray::try_from_iter(ids.iter().map(|id| id.as_slice())).unwrap())
    };
    let work = Workdir::new();
    subjects()
        .column("subject_id", binary(&[b"\xff\x00\x01\x02", b"\x00abc"]))
        .write(&work.path("export/subjects.parquet"));
    repayments()
        .column("subject_id", binary(&[b"\x00abc", b"none"]))
        .column("record_id", binary(&[b"r001", b"r002"]))
        .write(&work.path("export/repayments.parquet"));
    run(&work, &[]).expect(0);
    let table = read(&work.scores_path("out"));
    let ids = table.column_by_name("subject_id").unwrap().as_fixed_size_binary().clone();
    assert_eq!((ids.value(0), ids.value(1)), (b"\x00abc".as_slice(), b"\xff\x00\x01\x02".as_slice()));
    let counted = &work.audit("out")["conservation"]["repayments"];
    assert_eq!((&counted["used"], &counted["quarantined"]), (&1.into(), &1.into()));
}

#[test]
fn a_feature_names_a_code_only_with_a_reason_that_the_audit_repeats() {
    let work = Workdir::new();
    let catalogue = |code: &str, why: &str| {
        let standard = std::fs::read_to_string(repository("pipelines/features/behaviour_preference.toml")).unwrap();
        let feature = "\n[[feature]]\nname = \"category_27_orders\"\nabout = \"Orders of the category 27.\"\nunit = \"count\"\n\
            direction = \"neither\"\nreason = \"B01\"\naggregate = \"count\"\nsource = \"purchases\"\nwhere = \"category_code = CODE\"\n";
        std::fs::write(work.path("behaviour.toml"), format!("{standard}{}{why}", feature.replace("CODE", code)))
            .unwrap();
    };
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let card = "\n[[feature]]\nname = \"category_27_orders\"\nimportance = 1\nbins = [{ below = 1, share = 500 }, { from = 1, share = 500 }]\nbasis = \"expert judgement\"\n";
    let model = standard
        .replace("../features/behaviour_preference.toml", work.path("behaviour.toml").to_str().unwrap())
        .replace("\"../features/", &format!("\"{}/", repository("pipelines/features").display()));
    std::fs::write(work.path("model.toml"), model + card).unwrap();
    let path = work.path("model.toml");
    let small = repository("data-samples/small");
    let run = |output: &str, set: &str| work.run(&small, output, &["--model", path.to_str().unwrap(), "--set", set]);
    let plain = format!("inputs.purchases=\"{}\"", small.join("purchases").display());
    catalogue("'27'", "");
    run("out", &plain).expect(2).says("says why in `names_codes`");
    catalogue("'27'", "names_codes = \" \"\n");
    run("out", &plain).expect(2).says("`names_codes` is empty");
    // The sample's codes are integers; read as text they are named as text.
    let text = format!(
        "inputs.purchases={{ path = \"{}\", select = \"SELECT record_id, subject_id, occurred_at, amount_minor, currency, merchant_id, \
         CAST(category_code AS VARCHAR) AS category_code, status, refund_of, known_at, source_id FROM export\" }}",
        small.join("purchases").display()
    );
    let counts: Vec<u64> = [("number", "27", &plain), ("text", "'27'", &text)]
        .iter()
        .map(|(output, code, set)| {
            catalogue(code, "names_codes = \"a test of the opt-in\"\n");
            run(output, set).expect(0);
            let feature = work.feature(output, "category_27_orders");
            assert_eq!(feature["names_codes"], "a test of the opt-in");
            feature["bins"][1]["subjects"].as_u64().unwrap()
        })
        .collect();
    assert!(counts[0] == counts[1] && (100..1000).contains(&counts[0]), "{counts:?}");
}

#[test]
fn timestamps_of_96_bits_are_instants_in_utc() {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type as Long, Int96, Int96Type};
    use parquet::file::writer::SerializedFileWriter;
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let schema = "message m { required binary record_id (UTF8); required binary subject_id (UTF8); required int96 occurred_at; \
        required int64 amount_minor; required binary currency (UTF8); required binary status (UTF8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = std::fs::File::create(work.path("export/purchases.parquet")).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts: [Vec<&str>; 4] = [vec!["p1", "p2"], vec!["s1"; 2], vec!["CNY"; 2], vec!["settled"; 2]];
    let mut texts = texts.into_iter();
    // The last microsecond of the as-of date, and the first after it: nanoseconds of the day, then the Julian day.
    let instant = |nanos: u64, day: u32| {
        let mut value = Int96::new();
        value.set_data(u32::try_from(nanos & 0xffff_ffff).unwrap(), u32::try_from(nanos >> 32).unwrap(), day);
        value
    };
    let instants = [instant(86_399_999_999_000, 2_460_707), instant(0, 2_460_708)];
    let mut position = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        match position {
            2 => column.typed::<Int96Type>().write_batch(&instants, None, None).unwrap(),
            3 => column.typed::<Long>().write_batch(&[100, 200], None, None).unwrap(),
            _ => {
                let values: Vec<ByteArray> = texts.next().unwrap().into_iter().map(ByteArray::from).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap()
            }
        };
        column.close().unwrap();
        position += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    run(&work, &[]).expect(0);
    let counted = &work.audit("out")["conservation"]["purchases"];
    assert_eq!((&counted["used"], &counted["not_visible"]), (&1.into(), &1.into()));
}
