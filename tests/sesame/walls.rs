//! Where foreign files meet the program: what their SQL, their layout, their ids and their dates could do to a score without a word.

use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::Float64Type;

use crate::exports::{Export, day, in_groups, read, repayments, subjects, write};
use crate::workdir::{Ended, Workdir, repository};

fn run(work: &Workdir, output: &str, more: &[&str]) -> Ended {
    let _ = std::fs::remove_dir_all(work.path(output));
    work.run_small(&work.path("export"), output, more)
}

/// The class of each row of a table, as the audit counts them.
fn rows(work: &Workdir, output: &str, table: &str, class: &str) -> u64 {
    work.audit(output)["conservation"][table][class].as_u64().unwrap()
}

fn column(work: &Workdir, output: &str, feature: &str, category: &str) -> Vec<Option<f64>> {
    let pattern = work.path(&format!("{output}/runs/*/features/{category}.parquet"));
    let path = glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap();
    read(&path).column_by_name(feature).unwrap().as_primitive::<Float64Type>().iter().collect()
}

/// A dozen monthly bills of `s1`, all due and paid on time unless said otherwise.
fn year_of_bills() -> Export {
    let due: Vec<String> = (1..=12).map(|m| format!("2024-{m:02}-10")).collect();
    let dates: Vec<Option<&str>> = due.iter().map(|d| Some(d.as_str())).collect();
    let ids: Vec<String> = (1..=12).map(|m| format!("r{m}")).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", [""; 12].map(|_| "s1"))
        .text("account_id", [""; 12].map(|_| "a1"))
        .text("product", [""; 12].map(|_| "instalment"))
        .date("due_on", &dates)
        .long("amount_due_minor", [10_000; 12])
        .long("amount_paid_minor", [10_000; 12])
        .date("paid_on", &dates)
        .text("currency", [""; 12].map(|_| "CNY"))
}

fn selected(work: &Workdir, table: &str, select: &str) -> String {
    let path = work.path(&format!("export/{table}.parquet"));
    format!("inputs.{table}={{ path = \"{}\", select = \"{select}\" }}", path.display())
}

#[test]
fn a_renamed_hive_folder_is_another_input() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    year_of_bills().without("product").write(&work.path("export/repayments/product=instalment/a.parquet"));
    work.run_small(&work.path("export"), "out", &[]).expect(0);
    let before = work.scores("out");
    std::fs::rename(
        work.path("export/repayments/product=instalment"),
        work.path("export/repayments/product=revolving"),
    )
    .unwrap();
    let again =
        work.run_small(&work.path("export"), "out", &["--accept", "max_rows_lost", "--because", "renamed"]).expect(0);
    assert!(!again.err.contains("nothing to do"), "{}", again.err);
    assert!(work.published("out").values().all(|bytes| *bytes != before) || again.err.contains("published"));
    assert_eq!(work.path("out/runs").read_dir().unwrap().count(), 2);
}

#[test]
fn a_column_that_a_select_leaves_out_and_gives_again_is_there() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let late: Vec<String> = (1..=12).map(|m| format!("2024-{m:02}-28")).collect();
    let text = year_of_bills().text("paid_txt", late.iter().map(String::as_str));
    text.write(&work.path("export/repayments.parquet"));
    let mut seen = Vec::new();
    for except in ["EXCLUDE", "EXCEPT"] {
        let select = format!("SELECT * {except} (paid_on, paid_txt), CAST(paid_txt AS DATE) AS paid_on FROM export");
        run(&work, "out", &["--set", &selected(&work, "repayments", &select)]).expect(0);
        seen.push(column(&work, "out", "late_share_12m", "credit_history")[0].unwrap());
    }
    assert!(seen[0] > 0.5 && seen[0] == seen[1], "late bills seem to be on time: {seen:?}");
    let small = "SELECT record_id, subject_id, account_id, product, due_on, amount_due_minor, amount_paid_minor, paid_on AS Paid_On, currency FROM export";
    run(&work, "out", &["--set", &selected(&work, "repayments", small)])
        .expect(2)
        .says("differs from the contract's `paid_on` in case only");
}

#[test]
fn how_rows_are_grouped_in_a_file_changes_no_verdict() {
    let work = Workdir::new();
    // `s2` registers later, so its row is not visible yet, and neither are its bills.
    let table = subjects().date("registered_on", &[Some("2020-01-01"), Some("2025-06-01")]);
    repayments().write(&work.path("export/repayments.parquet"));
    let mut verdicts = Vec::new();
    for rows_a_group in [1, 10] {
        in_groups(&work.path("export/subjects.parquet"), &table.batch(), rows_a_group);
        run(&work, "out", &[]).expect(0);
        verdicts.push(["quarantined", "not_visible", "used"].map(|class| rows(&work, "out", "repayments", class)));
    }
    assert_eq!(verdicts, [[0, 1, 1], [0, 1, 1]]);
}

#[test]
fn what_was_not_known_by_an_earlier_cut_off_does_not_count() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    year_of_bills().write(&work.path("export/repayments.parquet"));
    let earlier = || {
        let _ = std::fs::remove_dir_all(work.path("out"));
        let args = ["--as-of", "2024-12-31", "--known-by", "2024-06-30"];
        let more: Vec<&str> = args.into_iter().chain(SMALL).collect();
        work.run(&work.path("export"), "out", &more).expect(0)
    };
    earlier();
    assert_eq!((rows(&work, "out", "repayments", "used"), rows(&work, "out", "repayments", "not_visible")), (6, 6));
    // A payment after the cut-off was not known either: the bill of June is unpaid.
    let june = year_of_bills().date("paid_on", &[Some("2024-07-20"); 12]);
    june.write(&work.path("export/repayments.parquet"));
    earlier();
    assert_eq!(
        column(&work, "out", "days_past_due_now", "credit_history")[0],
        Some(f64::from(day("2024-12-31") - day("2024-01-10")))
    );
    // The same in a backfill, whose dates share one pass.
    let args = ["--from", "2024-11-30", "--to", "2024-12-31", "--every", "month", "--known-by", "2024-06-30"];
    let more: Vec<&str> = args.into_iter().chain(SMALL).collect();
    work.sesame(work.arguments("backfill", &work.path("export"), "months", &more)).expect(0);
    let name = "scores/as_of=2024-12-31/model=standard-1/scores.parquet";
    assert!(work.published("months")[name] == work.published("out")[name]);
}

#[test]
fn an_event_known_before_it_came_stands_at_an_earlier_cut_off() {
    let work = Workdir::new();
    let known = ["2024-05-31"; 12];
    subjects()
        .date("registered_on", &[Some("2024-07-31"), None])
        .instants("known_at", &[Some("2024-05-31"), None])
        .write(&work.path("export/subjects.parquet"));
    year_of_bills().instants("known_at", &known.map(Some)).write(&work.path("export/repayments.parquet"));
    let args = ["--as-of", "2024-12-31", "--known-by", "2024-06-30"];
    let more: Vec<&str> = args.into_iter().chain(SMALL).collect();
    work.run(&work.path("export"), "out", &more).expect(0);
    assert_eq!(["used", "quarantined"].map(|class| rows(&work, "out", "repayments", class)), [12, 0]);
    assert_eq!(column(&work, "out", "registration_tenure", "personal_characteristics")[0], Some(5.0));
}

/// Gates that let all pass.
const SMALL: [&str; 10] = [
    "--set",
    "consent_statement=\"test\"",
    "--set",
    "gates.max_quarantined_share=1.0",
    "--set",
    "gates.min_scored_share=0.0",
    "--set",
    "gates.max_age_days=100000",
    "--set",
    "gates.max_rows_lost=1.0",
];

#[test]
fn of_equal_versions_the_one_of_the_most_reliable_source_counts_in_any_order() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    Export::new()
        .text("source_id", ["good", "bad"])
        .text("kind", ["bank", "other"])
        .double("reliability", [1.0, 0.1])
        .write(&work.path("export/sources.parquet"));
    let mut tables = Vec::new();
    for (first, second) in [("good", "bad"), ("bad", "good")] {
        year_of_bills().text("source_id", [""; 12].map(|_| first)).write(&work.path("export/repayments/a.parquet"));
        year_of_bills().text("source_id", [""; 12].map(|_| second)).write(&work.path("export/repayments/b.parquet"));
        run(&work, "out", &[]).expect(0);
        assert_eq!(rows(&work, "out", "repayments", "duplicate"), 12);
        tables.push(work.scores("out"));
    }
    assert!(tables[0] == tables[1], "the order of rows changes the table");
    year_of_bills().text("source_id", [""; 12].map(|_| "good")).write(&work.path("export/repayments/b.parquet"));
    year_of_bills().text("source_id", [""; 12].map(|_| "good")).write(&work.path("export/repayments/a.parquet"));
    run(&work, "out", &[]).expect(0);
    assert!(work.scores("out") == tables[0]);
}

#[test]
fn union_all_makes_records_and_never_subjects() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let wide = year_of_bills().long("second_minor", [5_000; 12]);
    wide.write(&work.path("export/repayments.parquet"));
    let half = |amount: &str, suffix: &str| {
        format!(
            "SELECT CONCAT(record_id, '{suffix}') AS record_id, subject_id, account_id, product, due_on, {amount} AS amount_due_minor, \
             {amount} AS amount_paid_minor, paid_on, currency FROM export"
        )
    };
    let both = format!(
        "{} UNION ALL {} WHERE due_on < DATE '2024-07-01'",
        half("amount_due_minor", "a"),
        half("second_minor", "b")
    );
    run(&work, "out", &["--set", &selected(&work, "repayments", &both)]).expect(0);
    let counted = ["rows", "multiplied", "used", "left_out"].map(|class| rows(&work, "out", "repayments", class));
    assert_eq!(counted, [18, 6, 18, 0]);
    let twice =
        "SELECT subject_id, kind FROM export UNION ALL SELECT CONCAT(subject_id, 'x') AS subject_id, kind FROM export";
    run(&work, "out", &["--set", &selected(&work, "subjects", twice)])
        .expect(2)
        .says("UNION ALL makes several subjects of one row");
}

#[test]
fn a_large_purchase_of_one_subject_stops_nobody() {
    let work = Workdir::new();
    let many = 100_000;
    let ids: Vec<String> = (0..many).map(|n| format!("p{n}")).collect();
    subjects().write(&work.path("export/subjects.parquet"));
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", ids.iter().map(|_| "s1"))
        .instants("occurred_at", &ids.iter().map(|_| Some("2025-01-10")).collect::<Vec<_>>())
        .long("amount_minor", (0..many).map(|n| if n == 0 { 500_000_000 } else { 1_000 + n % 7 }))
        .text("currency", ids.iter().map(|_| "CNY"))
        .text("merchant_id", ids.iter().map(String::as_str))
        .text("category_code", ids.iter().map(|_| "c"))
        .text("status", ids.iter().map(|_| "settled"))
        .write(&work.path("export/purchases.parquet"));
    run(&work, "out", &[]).expect(0);
    assert_eq!(rows(&work, "out", "purchases", "used"), many as u64);
}

#[test]
fn a_sum_that_does_not_fit_names_a_row_of_its_subject() {
    let work = Workdir::new();
    work.copy(&repository("pipelines/models"), "models");
    work.copy(&repository("pipelines/features"), "features");
    let catalogue = work.path("features/fulfilment_capacity.toml");
    let text = std::fs::read_to_string(&catalogue).unwrap();
    let large = "of = \"CASE WHEN limit_minor > 0 THEN 9000000000000000000 ELSE 0 END\"\nwindow = \"1 month\"";
    assert_eq!(text.matches("of = \"limit_minor\"\nwindow = \"1 month\"").count(), 1);
    std::fs::write(&catalogue, text.replace("of = \"limit_minor\"\nwindow = \"1 month\"", large)).unwrap();
    subjects().write(&work.path("export/subjects.parquet"));
    // The first row stands twice, so that rows are left out; the sum is of the others.
    Export::new()
        .text("record_id", ["r0", "r0", "r1", "r2"])
        .text("subject_id", ["s2", "s2", "s1", "s1"])
        .text("account_id", ["a"; 4])
        .text("product", ["revolving"; 4])
        .date("due_on", &[Some("2025-01-10"); 4])
        .long("amount_due_minor", [10_000; 4])
        .long("amount_paid_minor", [10_000; 4])
        .long("limit_minor", [0, 0, 5, 5])
        .text("currency", ["CNY"; 4])
        .write(&work.path("export/repayments.parquet"));
    let model = work.path("models/standard.toml");
    run(&work, "out", &["--model", model.to_str().unwrap()])
        .expect(2)
        .says("repayments.parquet (the subject of row 2)");
}

#[test]
fn an_id_that_a_path_gives_is_written_as_the_others_are() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    Export::new()
        .long("source_id", [7])
        .text("kind", ["bank"])
        .double("reliability", [0.1])
        .write(&work.path("export/sources.parquet"));
    year_of_bills().write(&work.path("export/repayments/source_id=7/a.parquet"));
    run(&work, "out", &[]).expect(0);
    let by_path = work.scores("out");
    std::fs::remove_dir_all(work.path("export/repayments")).unwrap();
    year_of_bills().long("source_id", [7; 12]).write(&work.path("export/repayments/a.parquet"));
    run(&work, "out", &[]).expect(0);
    assert!(work.scores("out") == by_path, "reliability depends on where the source's id stands");
    std::fs::remove_dir_all(work.path("export/repayments")).unwrap();
    year_of_bills().write(&work.path("export/repayments/source_id=seven/a.parquet"));
    run(&work, "out", &[]).expect(2).says("the partition source_id=seven is no integer");
    std::fs::remove_dir_all(work.path("export/repayments")).unwrap();
    // One table's records, as text in one file and as integers in another, could hide that they are the same.
    year_of_bills().write(&work.path("export/repayments/a.parquet"));
    year_of_bills().long("record_id", 1..13).write(&work.path("export/repayments/b.parquet"));
    run(&work, "out", &[]).expect(2).says("record ids of repayments are text");
    std::fs::remove_dir_all(work.path("export/repayments")).unwrap();
    year_of_bills().write(&work.path("export/repayments/product=revolving/a.parquet"));
    run(&work, "out", &[]).expect(2).says("the path says `product=revolving`");
}

#[test]
fn a_refund_names_its_order_as_orders_are_named() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    Export::new()
        .text("record_id", ["1", "2"])
        .text("subject_id", ["s1", "s1"])
        .instants("occurred_at", &[Some("2025-01-10"); 2])
        .long("amount_minor", [100, 500])
        .text("currency", ["CNY"; 2])
        .text("status", ["settled", "refunded"])
        .column("refund_of", Arc::new(Int64Array::from(vec![None, Some(1)])))
        .write(&work.path("export/purchases.parquet"));
    run(&work, "out", &[]).expect(2).says("`refund_of` is an integer, but record ids of purchases are text");
}

#[test]
fn an_instant_just_before_the_cut_off_is_before_it() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    // The last nanosecond of the as-of date, and the first of the next day.
    let end = i64::from(day("2025-02-01")) * 86_400_000_000_000;
    let instants: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![end - 1, end]).with_timezone("UTC"));
    Export::new()
        .text("record_id", ["1", "2"])
        .text("subject_id", ["s1", "s1"])
        .column("occurred_at", instants)
        .long("amount_minor", [100, 100])
        .text("currency", ["CNY"; 2])
        .text("status", ["settled"; 2])
        .write(&work.path("export/purchases.parquet"));
    run(&work, "out", &[]).expect(0);
    assert_eq!(["used", "not_visible"].map(|class| rows(&work, "out", "purchases", class)), [1, 1]);
}

#[test]
fn a_value_without_a_form_is_named_by_that_and_not_by_its_range() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    // 1.50, and a whole number beyond 64 bits; both must be 1 or more.
    let amounts = Decimal128Array::from(vec![150, 10_i128.pow(30)]).with_precision_and_scale(38, 2).unwrap();
    Export::new()
        .text("record_id", ["1", "2"])
        .text("subject_id", ["s1", "s1"])
        .instants("occurred_at", &[Some("2024-11-20"); 2])
        .column("amount_minor", Arc::new(amounts))
        .text("currency", ["CNY"; 2])
        .text("status", ["settled"; 2])
        .write(&work.path("export/purchases.parquet"));
    run(&work, "out", &["--set", "gates.max_quarantined_share=1"]).expect(0);
    let quarantined = &work.audit("out")["quarantine"]["purchases"];
    assert_eq!([&quarantined["fractional_amount"]["rows"], &quarantined["amount_too_large"]["rows"]], [1, 1]);
    assert!(quarantined["out_of_range"].is_null());
}

#[test]
fn a_file_that_would_not_be_read_is_named() {
    for (name, says) in [
        ("b.parq", "is not named *.parquet"),
        ("part-0001", "is not named *.parquet"),
        ("b.parquet.gz", "is not named *.parquet"),
        ("_delta_log/0.json", "is a Delta table"),
        ("metadata/v1.metadata.json", "is an Iceberg table"),
    ] {
        let work = Workdir::new();
        subjects().write(&work.path("export/subjects.parquet"));
        repayments().write(&work.path("export/repayments/a.parquet"));
        let more = work.path("export/repayments").join(name);
        std::fs::create_dir_all(more.parent().unwrap()).unwrap();
        std::fs::copy(work.path("export/repayments/a.parquet"), &more).unwrap();
        run(&work, "out", &[]).expect(2).says(says).says("export/repayments");
        for idle in ["README.txt", "_SUCCESS", ".hidden.parquet"] {
            std::fs::write(work.path("export/repayments").join(idle), "x").unwrap();
        }
        std::fs::remove_dir_all(more.parent().filter(|p| !p.ends_with("repayments")).unwrap_or(&work.path("none")))
            .ok();
        let _ = std::fs::remove_file(&more);
        run(&work, "out", &[]).expect(0);
    }
}

#[test]
fn a_path_that_is_no_text_is_named_before_any_work() {
    use std::os::unix::ffi::OsStrExt;
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments().write(&work.path("export/repayments/a.parquet"));
    let odd = work.path("export/repayments").join(std::ffi::OsStr::from_bytes(b"\xff.parquet"));
    std::fs::rename(work.path("export/repayments/a.parquet"), odd).unwrap();
    run(&work, "out", &[]).expect(2).says("is not UTF-8");
    assert!(!work.path("out/scores").exists());
}

#[test]
fn the_smallest_integer_is_an_amount_out_of_range_and_not_null() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments().long("balance_minor", [i64::MIN, 5]).write(&work.path("export/repayments.parquet"));
    run(&work, "out", &[]).expect(0);
    assert_eq!(work.audit("out")["quarantine"]["repayments"]["amount_too_large"]["rows"], 1);
}

#[test]
fn money_bins_in_another_currency_are_exact_at_their_edges() {
    let work = Workdir::new();
    // A bin that begins at 1,500,000 in the model's currency begins at 210,000 at 0.14.
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let has = standard.contains("1500000") || standard.contains("1_500_000");
    subjects().long("monthly_income_minor", [1, 1]).write(&work.path("export/subjects.parquet"));
    repayments().text("currency", ["USD"; 2]).write(&work.path("export/repayments.parquet"));
    run(&work, "out", &["--set", "currency=\"USD\""]).expect(0);
    let audit = work.audit("out").to_string();
    assert!(has && !audit.contains("000000000"), "a bin's edge shows the noise of doubles");
}

#[test]
fn one_column_twice_one_file_twice_and_links_in_circles_are_refused() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let batch = repayments().batch();
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    fields.push(fields[5].clone());
    columns.push(Arc::new(Int64Array::from(vec![1, 1])));
    let twice = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
    write(&work.path("export/repayments/a.parquet"), &twice);
    run(&work, "out", &[]).expect(2).says("`amount_due_minor` stands twice");
    write(&work.path("export/repayments/a.parquet"), &batch);
    std::os::unix::fs::symlink("a.parquet", work.path("export/repayments/b.parquet")).unwrap();
    run(&work, "out", &[]).expect(2).says("are one file under two names");
    std::fs::remove_file(work.path("export/repayments/b.parquet")).unwrap();
    std::os::unix::fs::symlink("..", work.path("export/repayments/up")).unwrap();
    run(&work, "out", &[]).expect(2).says("symbolic link to a folder above it");
    std::fs::remove_file(work.path("export/repayments/up")).unwrap();
    let pipe = work.path("export/repayments/pipe.parquet");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    run(&work, "out", &[]).expect(2).says("is no regular file");
    std::fs::remove_file(pipe).unwrap();
    run(&work, "out", &[]).expect(0);
}

#[test]
fn integers_of_any_width_are_multiplied_as_people_expect() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let yuan: ArrayRef = Arc::new(Int32Array::from(vec![50_000_000; 12]));
    year_of_bills()
        .without("amount_due_minor")
        .column("amount_due", yuan)
        .write(&work.path("export/repayments.parquet"));
    let select =
        "SELECT * EXCLUDE (amount_due), CAST(ROUND(amount_due * 100) AS BIGINT) AS amount_due_minor FROM export";
    run(&work, "out", &["--set", &selected(&work, "repayments", select)]).expect(0);
    // 10,000 paid of five thousand million each: the ratio tells what was due.
    let ratio = column(&work, "out", "paid_to_due_12m", "fulfilment_capacity")[0].unwrap();
    assert!((ratio - 0.000_002).abs() < 1e-12, "{ratio}");
}

#[test]
fn ids_that_act_on_a_terminal_are_written_out() {
    let work = Workdir::new();
    let id = "s1\u{1b}[31m\u{202e}";
    subjects().text("subject_id", [id, "s2"]).write(&work.path("export/subjects.parquet"));
    year_of_bills().text("subject_id", [""; 12].map(|_| id)).write(&work.path("export/repayments.parquet"));
    run(&work, "out", &[]).expect(0);
    for format in ["text", "html", "notice"] {
        let ended = work.sesame(["explain", "latest", id, "--output", "out", "--format", format]).expect(0);
        assert!(!ended.out.contains(['\u{1b}', '\u{202e}']), "{format}");
    }
}

#[test]
fn an_export_that_is_another_tables_is_refused_before_it_fills_the_disk() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let rows = 5_100_000;
    let null: ArrayRef = Arc::new(arrow::array::StringArray::new_null(rows));
    let batch = repayments().batch();
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|c| {
            if c.data_type() == null.data_type() {
                Arc::clone(&null)
            } else {
                arrow::array::new_null_array(c.data_type(), rows)
            }
        })
        .collect();
    write(&work.path("export/repayments.parquet"), &RecordBatch::try_new(batch.schema(), columns).unwrap());
    run(&work, "out", &[]).expect(2).says("more than 5,000,000 rows of repayments break a rule");
}
