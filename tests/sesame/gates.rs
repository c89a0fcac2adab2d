//! Gates: what stops a publication, what it says, and how it is overridden.

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use serde_json::Value;

use crate::exports::{instant, read, repayments, subjects, write};
use crate::workdir::{Ended, Workdir, repository};

/// A population on which shares are steady, published as of 2025-09-30; October is what a gate looks at.
fn published() -> Workdir {
    let work = Workdir::new();
    let args = ["generate", "export", "--subjects", "3000", "--seed", "5", "--as-of", "2025-10-31", "-q"];
    work.sesame(args).expect(0);
    october(&work, &["--as-of", "2025-09-30"]).expect(0);
    work
}

fn october(work: &Workdir, more: &[&str]) -> Ended {
    work.run(&work.path("export"), "out", more)
}

/// Reads an input through a `select` that changes it.
fn through(work: &Workdir, table: &str, columns: &str) -> String {
    let folder = work.path(&format!("export/{table}"));
    let path = if folder.is_dir() { folder } else { folder.with_extension("parquet") };
    format!("inputs.{table}={{ path = \"{}\", select = \"SELECT {columns} FROM export\" }}", path.display())
}

fn refused(work: &Workdir, ended: Ended, gate: &str, look: &str) {
    let published = work.published("out");
    ended.expect(1).says(&format!("gate {gate}")).says(look).says("nothing was published; the result is kept in");
    assert!(!published.keys().any(|name| name.contains("2025-10-31")), "October was published");
}

const REPAYMENTS: &str = "record_id, subject_id, account_id, product, opened_on, due_on, amount_due_minor, balance_minor, \
    limit_minor, known_at, source_id";

#[test]
fn an_ordinary_next_month_passes_every_gate() {
    let work = published();
    october(&work, &[]).expect(0).says("gate max_psi passed").says("gate max_quarantined_growth passed");
}

#[test]
fn doubling_the_quarantined_rows_stops_publication() {
    let work = published();
    // One row in five hundred becomes foreign: far below the largest share, but many times the usual.
    let foreign = "CASE WHEN MOD(amount_due_minor, 500) = 7 THEN 'EUR' ELSE currency END AS currency";
    let select = through(&work, "repayments", &format!("{REPAYMENTS}, amount_paid_minor, paid_on, {foreign}"));
    let ended = october(&work, &["--set", &select]);
    refused(&work, ended, "max_quarantined_growth", "quarantine/repayments.parquet");
}

#[test]
fn halving_the_scored_share_stops_publication() {
    let work = published();
    let columns = "subject_id, purpose, partner_id, granted_at, revoked_at, expires_at";
    let half =
        through(&work, "consents", columns).replace("FROM export", "FROM export WHERE SUBSTR(subject_id, 16, 1) < '8'");
    let ended = october(&work, &["--set", &half]);
    refused(&work, ended, "min_scored_share", "see coverage in audit.json");
}

#[test]
fn shifted_scores_stop_publication_until_someone_says_why_it_is_right() {
    let work = published();
    // The export forgot every payment: nobody seems to have paid anything.
    let unpaid = "CAST(0 AS BIGINT) AS amount_paid_minor, CAST(NULL AS DATE) AS paid_on, currency";
    let select = through(&work, "repayments", &format!("{REPAYMENTS}, {unpaid}"));
    let ended = october(&work, &["--set", &select]);
    assert!(ended.err.contains("scores moved by a PSI of"), "{}", ended.err);
    refused(&work, ended, "max_psi", "drift");
    let because = "the bank forgot to export payments";
    let accept = ["--set", &select, "--accept", "max_psi", "--accept", "max_band_jump", "--because", because];
    october(&work, &accept).expect(0).says("FAILED, accepted");
    let ledger = std::fs::read_to_string(work.path("out/ledger.ndjson")).unwrap();
    let last: Value = serde_json::from_str(ledger.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "published");
    assert_eq!(last["accepted"][0]["because"], because);
    assert!(last["accepted"][0]["found"].as_str().unwrap().contains("PSI"));
}

#[test]
fn an_override_names_a_gate_and_a_reason() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--accept", "max_pis", "--because", "x"]).expect(2).says("did you mean `max_psi`");
    work.run(&small, "out", &["--accept", "max_psi"]).expect(2).says("--because");
    work.run(&small, "out", &["--accept", "max_psi", "--because", " "]).expect(2).says("--because TEXT");
}

/// Leaves the purchases of the last month out of the sample's last file.
fn without_last_month(work: &Workdir) {
    let path = work.path("export/purchases/year=2025/part-0000.parquet");
    let purchases = read(&path);
    let at = purchases.column_by_name("occurred_at").unwrap().as_primitive::<TimestampMicrosecondType>().clone();
    let earlier: BooleanArray = at.iter().map(|at| at.map(|at| at < instant("2025-09-30"))).collect();
    write(&path, &filter_record_batch(&purchases, &earlier).unwrap());
}

#[test]
fn a_month_that_is_missing_stops_publication_over_the_whole_table_too() {
    for earlier in ["2025-09-30", "2025-10-31"] {
        let work = Workdir::new();
        work.copy(&repository("data-samples/small"), "export");
        october(&work, &["--as-of", earlier]).expect(0);
        let before = work.published("out");
        without_last_month(&work);
        october(&work, &["--as-of", "2025-10-31"]).expect(1).says("gate max_rows_lost").says("purchases has");
        assert!(work.published("out") == before, "{earlier}: something was published");
        let because = ["--accept", "max_rows_lost", "--because", "October is delivered late"];
        october(&work, &[&["--as-of", "2025-10-31"][..], &because].concat()).expect(0);
    }
}

#[test]
fn a_date_long_after_the_newest_row_is_stopped_and_one_to_come_refused() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--as-of", "2025-12-31"])
        .expect(1)
        .says("gate max_age_days")
        .says("days before the as-of date");
    work.run(&small, "out", &["--as-of", "2150-01-31"]).expect(2).says("lies in the future").says("--allow-future");
    let more = ["--as-of", "2150-01-31", "--allow-future"];
    work.run(&small, "out", &more).expect(1).says("gate max_age_days");
    assert!(work.published("out").is_empty());
}

#[test]
fn a_regular_table_without_a_row_is_stopped_and_its_age_is_no_number() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    let empty = repayments().batch().slice(0, 0);
    write(&work.path("export/repayments.parquet"), &empty);
    let run = |output: &str, more: &[&str]| {
        let usual = ["--as-of", "2025-01-31", "--set", "consent_statement=\"test\""];
        work.run(&work.path("export"), output, &[&usual, more].concat())
    };
    run("out", &[]).expect(1).says("repayments has no visible row; is its export complete?");
    let audit = work.audit("out");
    let age = audit["gates"].as_array().unwrap().iter().find(|g| g["gate"] == "max_age_days").unwrap();
    assert!(age["measured"].is_null() && audit["newest"]["repayments"]["days_before"].is_null(), "{age}");
    run("other", &["--set", "gates.max_age_days={}"]).expect(2).says("names no table");
}

#[test]
fn an_export_that_is_there_twice_is_counted_and_changes_no_byte() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    october(&work, &[]).expect(0);
    let part = |n: u32| work.path(&format!("export/repayments/year=2025/part-000{n}.parquet"));
    std::fs::copy(part(0), part(1)).unwrap();
    work.run(&work.path("export"), "twice", &[]).expect(0);
    assert!(work.scores("out") == work.scores("twice"));
    let counted = |output: &str| work.audit(output)["conservation"]["repayments"]["duplicate"].as_u64().unwrap();
    assert!(counted("twice") - counted("out") > 10_000, "{} and {}", counted("out"), counted("twice"));
}

#[test]
fn gates_that_no_file_mentions_hold_with_their_usual_limits() {
    let work = Workdir::new();
    let text = std::fs::read_to_string(repository("pipelines/nightly.toml")).unwrap();
    let (start, rest) = text.split_once("[gates]").unwrap();
    let rest = rest.split_once("\n[").map_or_else(String::new, |(_, rest)| format!("\n[{rest}"));
    let pipelines = repository("pipelines").display().to_string();
    let absolute = |t: String| t.replace("\"models/", &format!("\"{pipelines}/models/"));
    let path = work.path("bare.toml");
    std::fs::write(&path, absolute(format!("{start}{rest}"))).unwrap();
    let mut args = work.arguments("run", &repository("data-samples/small"), "out", &["--as-of", "2025-12-31"]);
    let at = args.iter().position(|a| a.ends_with("nightly.toml")).unwrap();
    args[at] = path.display().to_string();
    work.sesame(args)
        .expect(1)
        .says("max_rows_lost")
        .says("gate max_age_days")
        .says("gate max_quarantined_share passed");
}
