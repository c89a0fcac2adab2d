//! The mistakes that strangers make: each message says what is wrong, where, and what to do.

use std::path::Path;

use crate::exports::{Export, repayments};
use crate::workdir::{Workdir, repository};

/// A mistake: what is done, and what the message must say of what, where, and what to do.
struct Mistake {
    name: &'static str,
    /// Replacements in the pipeline file.
    pipeline: Vec<(&'static str, &'static str)>,
    /// Files that are put there.
    prepare: fn(&Workdir),
    /// The command; the pipeline when empty.
    args: &'static [&'static str],
    says: [&'static str; 3],
}

const NOTHING: fn(&Workdir) = |_| ();

fn of(
    name: &'static str,
    pipeline: Vec<(&'static str, &'static str)>,
    prepare: fn(&Workdir),
    says: [&'static str; 3],
) -> Mistake {
    Mistake { name, pipeline, prepare, args: &[], says }
}

fn by(name: &'static str, args: &'static [&'static str], says: [&'static str; 3]) -> Mistake {
    Mistake { name, pipeline: Vec::new(), prepare: NOTHING, args, says }
}

const REPAYMENTS: (&str, &str) = ("repayments = \"../data-samples/small/repayments/\"", "repayments = \"r.parquet\"");

fn mistakes() -> Vec<Mistake> {
    vec![
        // The pipeline file.
        of(
            "a misspelt key",
            vec![("currency = ", "curency = ")],
            NOTHING,
            ["unknown field `curency`", "p.toml:6", "`currency`"],
        ),
        of(
            "a missing key",
            vec![("model = \"models/standard.toml\"", "")],
            NOTHING,
            ["missing field `model`", "p.toml", "add"],
        ),
        of(
            "no TOML",
            vec![("output = \"../out\"", "output = ../out")],
            NOTHING,
            ["invalid", "p.toml:7: ", "a text stands in double quotes"],
        ),
        of(
            "a text for a number",
            vec![("min_cell = 10", "min_cell = \"ten\"")],
            NOTHING,
            ["invalid type: a text, expected u64", "p.toml:", "expected"],
        ),
        of(
            "a table that is none",
            vec![("repayments = ", "repayment = ")],
            NOTHING,
            ["`inputs.repayment` is no table", "p.toml:12", "did you mean `repayments`"],
        ),
        of(
            "a file that is not there",
            vec![("small/subjects.parquet", "small/subject.parquet")],
            NOTHING,
            ["subject.parquet does not exist", "subjects", "did you mean"],
        ),
        of(
            "a folder without Parquet",
            vec![("subjects = \"../data-samples/small/subjects.parquet\"", "subjects = \"csv\"")],
            |w| write(w, "csv/subjects.csv", "a,b\n1,2\n"),
            ["holds no .parquet file", "csv", "duckdb"],
        ),
        of(
            "CSV given as Parquet",
            vec![("../data-samples/small/subjects.parquet", "subjects.csv")],
            |w| write(w, "subjects.csv", "subject_id,kind\ns1,consumer\n"),
            ["no Parquet file", "subjects.csv", "duckdb -c"],
        ),
        of(
            "a date that is none",
            vec![("as_of = \"2025-10-31\"", "as_of = \"2025-02-30\"")],
            NOTHING,
            ["'2025-02-30' is not a date", "as_of", "YYYY-MM-DD"],
        ),
        of(
            "a date the other way round",
            vec![("as_of = \"2025-10-31\"", "as_of = \"31.10.2025\"")],
            NOTHING,
            ["'31.10.2025' is not a date", "as_of", "YYYY-MM-DD"],
        ),
        of(
            "a date to come",
            vec![("as_of = \"2025-10-31\"", "as_of = \"2150-01-01\"")],
            NOTHING,
            ["lies in the future", "2150-01-01", "--allow-future"],
        ),
        of(
            "a currency that is none",
            vec![("currency = \"CNY\"", "currency = \"yuan\"")],
            NOTHING,
            ["no ISO 4217 code", "p.toml:6", "such as \"CNY\""],
        ),
        of(
            "a zone that is none",
            vec![("currency = \"CNY\"", "currency = \"CNY\"\ntime_zone = \"Shanghai\"")],
            NOTHING,
            ["'Shanghai' is no time zone", "p.toml:7", "\"Asia/Shanghai\""],
        ),
        of(
            "no consent",
            vec![("consents = \"../data-samples/small/consents.parquet\"\n", "")],
            NOTHING,
            ["without an `inputs.consents`", "p.toml", "consent_statement = \"…\""],
        ),
        of(
            "a gate out of range",
            vec![("min_scored_share = 0.50", "min_scored_share = 50")],
            NOTHING,
            ["`gates.min_scored_share = 50`", "p.toml:26", "0 to 1"],
        ),
        of(
            "a size that is none",
            vec![("[privacy]", "[engine]\nmemory = \"lots\"\n[privacy]")],
            NOTHING,
            ["'lots' is no size", "p.toml:", "write 512MB"],
        ),
        // The exports.
        of(
            "a column that is missing",
            vec![REPAYMENTS],
            |w| repayments().without("due_on").write(&w.path("r.parquet")),
            ["required column `due_on` is missing", "r.parquet", "rename it in the input's `select`"],
        ),
        of(
            "a column of another name",
            vec![REPAYMENTS],
            |w| repayments().without("due_on").date("due_date", &[Some("2025-01-05"); 2]).write(&w.path("r.parquet")),
            ["did you mean `due_date`", "r.parquet", "rename it in the input's `select`"],
        ),
        of(
            "a number as text",
            vec![REPAYMENTS],
            |w| repayments().text("amount_due_minor", ["100", "200"]).write(&w.path("r.parquet")),
            ["the column `amount_due_minor` is Utf8", "r.parquet", "cast it in the input's `select`"],
        ),
        of(
            "money as a double",
            vec![REPAYMENTS],
            |w| repayments().double("amount_due_minor", [1.5, 2.5]).write(&w.path("r.parquet")),
            ["money is never floating point", "r.parquet", "CAST(ROUND(x * 100) AS BIGINT)"],
        ),
        of(
            "a timestamp for a date",
            vec![REPAYMENTS],
            |w| repayments().instants("due_on", &[Some("2025-01-05"); 2]).write(&w.path("r.parquet")),
            ["the column `due_on` is Timestamp", "r.parquet", "CAST(x AS DATE)"],
        ),
        of(
            "local time",
            vec![("../data-samples/small/purchases/", "o.parquet")],
            local_orders,
            ["a local time", "o.parquet", "AT TIME ZONE"],
        ),
        of(
            "a file cut off",
            vec![("../data-samples/small/subjects.parquet", "s.parquet")],
            |w| {
                let bytes = std::fs::read(repository("data-samples/small/subjects.parquet")).unwrap();
                std::fs::write(w.path("s.parquet"), &bytes[..bytes.len() / 2]).unwrap();
            },
            ["not a readable Parquet file", "s.parquet", "was it written completely?"],
        ),
        of(
            "an empty file",
            vec![("../data-samples/small/subjects.parquet", "s.parquet")],
            |w| write(w, "s.parquet", ""),
            ["the file is empty", "s.parquet", "was it written completely?"],
        ),
        // The selects.
        of(
            "a column that the export lacks",
            vec![select("SELECT *, UPPER(prodct) AS more FROM export")],
            |w| repayments().write(&w.path("r.parquet")),
            ["no column `prodct`", "r.parquet", "did you mean `product`"],
        ),
        of(
            "a function that is none",
            vec![select("SELECT * REPLACE (TO_DAYS(due_on) AS due_on) FROM export")],
            |w| repayments().write(&w.path("r.parquet")),
            ["`TO_DAYS(due_on)` is none of the functions", "p.toml:12", "sesame schema functions"],
        ),
        of(
            "a join",
            vec![select("SELECT * FROM export JOIN other USING (id)")],
            |w| repayments().write(&w.path("r.parquet")),
            ["without joins", "p.toml:12", "`export`"],
        ),
        of(
            "a sum over rows",
            vec![select("SELECT subject_id, SUM(amount_due_minor) AS x FROM export GROUP BY subject_id")],
            |w| repayments().write(&w.path("r.parquet")),
            ["SUM(amount_due_minor)", "p.toml:12", "treats each row by itself"],
        ),
        of(
            "bad SQL",
            vec![select("SELECT * FORM export")],
            |w| repayments().write(&w.path("r.parquet")),
            ["not valid SQL", "p.toml:12", "select"],
        ),
        of(
            "a column without a name",
            vec![select("SELECT *, 1 + 1 FROM export")],
            |w| repayments().write(&w.path("r.parquet")),
            ["`1 + 1` has no name", "r.parquet", "write `1 + 1 AS …`"],
        ),
        of(
            "text that is no number",
            vec![select("SELECT * REPLACE (CAST(product AS BIGINT) AS amount_due_minor) FROM export")],
            |w| repayments().long("record_id", [1, 2]).write(&w.path("r.parquet")),
            ["cannot be read", "r.parquet", "TRY_CAST"],
        ),
        // The command line.
        by("no such pipeline", &["check", "nightly.toml"], ["there is no file", "nightly.toml", "name a pipeline"]),
        by("a folder for a pipeline", &["check", "."], ["is a folder", ".", "name a pipeline"]),
        by("no such run", &["explain", "yesterday", "s1"], ["yesterday", "out", "sesame runs"]),
        by("a run that is not unique", &["explain", "2", "s1"], ["2", "out", "sesame runs"]),
        by(
            "an override without a value",
            &["check", "p.toml", "--set", "currency"],
            ["'currency'", "--set", "KEY=VALUE"],
        ),
        by(
            "an override that is no TOML",
            &["check", "p.toml", "--set", "output=out"],
            ["must be quoted", "--set 'output=out'", "with a TOML value"],
        ),
        by("a command that is none", &["chek", "p.toml"], ["chek", "unrecognized subcommand", "check"]),
    ]
}

/// Repayments read from a file by a select.
const fn select(sql: &'static str) -> (&'static str, &'static str) {
    ("repayments = \"../data-samples/small/repayments/\"", sql)
}

fn write(work: &Workdir, name: &str, text: &str) {
    let path = work.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn local_orders(work: &Workdir) {
    let times = arrow::array::TimestampMicrosecondArray::from(vec![1_735_000_000_000_000]);
    Export::new()
        .text("record_id", ["o1"])
        .text("subject_id", ["s1"])
        .column("occurred_at", std::sync::Arc::new(times))
        .long("amount_minor", [100])
        .text("currency", ["CNY"])
        .text("status", ["settled"])
        .write(&work.path("o.parquet"));
}

/// The nightly pipeline in a folder of its own.
fn pipeline(work: &Workdir, edits: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(repository("pipelines/nightly.toml")).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        let selected =
            to.starts_with("SELECT").then(|| format!("repayments = {{ path = \"r.parquet\", select = \"{to}\" }}"));
        text = text.replacen(from, selected.as_deref().unwrap_or(to), 1);
    }
    let small = repository("data-samples");
    let text = text
        .replace("\"../data-samples", &format!("\"{}", small.display()))
        .replace("\"models/", &format!("\"{}/", repository("pipelines/models").display()))
        .replace("\"../out\"", "\"out\"");
    std::fs::write(work.path("p.toml"), text).unwrap();
}

#[test]
fn every_message_says_what_where_and_what_to_do() {
    let mistakes = mistakes();
    assert!(mistakes.len() >= 25);
    let mut wrong = Vec::new();
    for mistake in mistakes {
        let work = Workdir::new();
        pipeline(&work, &mistake.pipeline);
        (mistake.prepare)(&work);
        let args = if mistake.args.is_empty() { &["run", "p.toml"] } else { mistake.args };
        let ended = work.sesame(args);
        let missing: Vec<_> = mistake.says.iter().filter(|part| !ended.err.contains(**part)).collect();
        if ended.code != 2 || !missing.is_empty() {
            wrong.push(format!("{} ended with {} without {missing:?}:\n{}", mistake.name, ended.code, ended.err));
        }
        assert!(!ended.err.contains("panicked"), "{}: {}", mistake.name, ended.err);
        assert!(!Path::new(&work.path("out/scores")).exists(), "{}", mistake.name);
    }
    assert!(wrong.is_empty(), "{} messages\n\n{}", wrong.len(), wrong.join("\n"));
}
