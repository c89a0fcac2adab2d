//! Mutated inputs through the real binary: it says what is wrong or does its work, and never panics, aborts, hangs, takes more memory
//! than it may, or publishes from pages whose checksums do not hold.
//!
//! Every case follows from its number. `SESAME_FUZZ_CASES` says how many of each kind (the suite tries a few hundred),
//! `SESAME_FUZZ_FIRST` the first, `SESAME_FUZZ_PROGRAM` another program than the one that was just built.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rayon::prelude::*;

use crate::workdir::{CORPUS, repository};

/// Address space of the program in KiB: what it takes for a population of twenty, and room for what it may ask for.
const ADDRESS_SPACE: u64 = 3 << 20;
/// A case takes a tenth of a second.
const HANG: Duration = Duration::from_secs(60);

/// The numbers of the cases: `share` of a hundred of those that are asked for.
fn cases(share: usize) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (first, count) = (number("SESAME_FUZZ_FIRST").unwrap_or(1), number("SESAME_FUZZ_CASES").unwrap_or(300));
    first..first + (count * share as u64).div_ceil(100)
}

/// A folder in memory, where the machine has such a place: nothing here is about disks.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

struct Ended {
    code: Option<i32>,
    err: String,
}

/// Runs the program with little memory and holds its end against what no input may cause.
fn sesame(folder: &Path, case: &str, args: &[String]) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\"")]);
    let program = std::env::var("SESAME_FUZZ_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_sesame").to_owned());
    command.arg(program).args(args).current_dir(folder);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > HANG {
            child.kill().unwrap();
            panic!("{case}: hangs\n{args:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let err = reader.join().unwrap().unwrap();
    let lawful = matches!(status.code(), Some(0..=2));
    let panicked = err.contains("panicked") || err.contains("RUST_BACKTRACE") || err.contains("overflowed its stack");
    assert!(lawful && !panicked, "{case}: {status}\n{args:?}\n{err}");
    assert!(status.code() != Some(2) || err.contains("error"), "{case}: an error without a word\n{args:?}");
    Ended { code: status.code(), err }
}

/// The arguments of a run over the corpus, some of its tables taken from elsewhere.
fn arguments(command: &str, pipeline: &Path, folder: &Path, elsewhere: &BTreeMap<&str, PathBuf>) -> Vec<String> {
    let corpus = repository("tests/files/fuzz");
    let mut args = vec![command.to_owned(), pipeline.display().to_string(), "--as-of".into(), "2025-10-31".into()];
    for table in CORPUS {
        let path = elsewhere.get(table).cloned().unwrap_or_else(|| corpus.join(format!("{table}.parquet")));
        args.extend(["--set".into(), format!("inputs.{table}.path=\"{}\"", path.display())]);
    }
    for set in [
        "inputs.groups=\"\"",
        "inputs.outcomes=\"\"",
        "inputs.sales=\"\"",
        &format!("output=\"{}/out\"", folder.display()),
    ] {
        args.extend(["--set".into(), set.to_owned()]);
    }
    args
}

fn published(folder: &Path) -> Option<Vec<u8>> {
    let table = glob::glob(&format!("{}/out/scores/*/*/scores.parquet", folder.display())).unwrap().next()?;
    Some(std::fs::read(table.unwrap()).unwrap())
}

/// Where the pages of a Parquet file end and its footer begins.
fn footer_at(bytes: &[u8]) -> usize {
    let length: [u8; 4] = bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap();
    bytes.len() - 8 - u32::from_le_bytes(length) as usize
}

/// Changes something between two places of a file.
fn mutate(bytes: &mut Vec<u8>, from: usize, to: usize, rng: &mut Rng) {
    let at = rng.usize(from..to);
    let length = rng.usize(1..=16).min(to - at);
    match rng.u8(0..8) {
        0 | 1 => bytes[at] ^= 1 << rng.u8(0..8),
        2 => bytes[at] = *rng.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap(),
        3 => bytes[at..at + length].fill(*rng.choice(&[0, 0xff]).unwrap()),
        4 => (at..at + length).for_each(|n| bytes[n] = rng.u8(..)),
        5 => {
            let other = rng.usize(from..=to - length);
            bytes.copy_within(other..other + length, at);
        }
        6 => {
            bytes.drain(at..at + length);
        }
        // A number that goes on for longer than any number does.
        _ => {
            let number = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
            bytes.splice(at..at, number[..rng.usize(1..=10)].iter().copied());
        }
    }
}

/// Writes the length of a footer that was changed.
fn fit_footer(bytes: &mut [u8], from: usize) {
    let (end, length) = (bytes.len() - 8, u32::try_from(bytes.len() - 8 - from).unwrap());
    bytes[end..end + 4].copy_from_slice(&length.to_le_bytes());
}

/// A file of the corpus, and its name.
fn file(rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let table = *rng.choice(&CORPUS).unwrap();
    (table, std::fs::read(repository("tests/files/fuzz").join(format!("{table}.parquet"))).unwrap())
}

/// Runs over the corpus with one file replaced.
fn with_file(case: &str, table: &'static str, bytes: &[u8]) -> (Ended, Option<Vec<u8>>) {
    let folder = scratch();
    let path = folder.path().join(format!("{table}.parquet"));
    std::fs::write(&path, bytes).unwrap();
    let mut args = arguments("run", &repository("pipelines/nightly.toml"), folder.path(), &[(table, path)].into());
    args.extend(["--threads", "1", "--memory", "64MB"].map(ToOwned::to_owned));
    let ended = sesame(folder.path(), case, &args);
    let table = published(folder.path());
    assert_eq!(ended.code == Some(0), table.is_some(), "{case}: {}", ended.err);
    (ended, table)
}

fn unchanged() -> Vec<u8> {
    let (table, bytes) = file(&mut Rng::with_seed(0));
    let (ended, published) = with_file("unchanged", table, &bytes);
    published.unwrap_or_else(|| panic!("the corpus is not published: {}", ended.err))
}

#[test]
fn nothing_is_published_from_pages_whose_checksums_do_not_hold() {
    let whole = unchanged();
    let refused: usize = cases(100)
        .into_par_iter()
        .map(|case| {
            let rng = &mut Rng::with_seed(case);
            let (table, mut bytes) = file(rng);
            let footer = footer_at(&bytes);
            let before = bytes.len();
            for _ in 0..rng.usize(1..=3) {
                mutate(&mut bytes, 4, footer - 40, rng);
                // The pages stay as long as they were: where they end is the footer's to say.
                let moved = bytes.len() as i64 - before as i64;
                match moved {
                    0 => {}
                    n if n > 0 => drop(bytes.drain(footer - 40..footer - 40 + n as usize)),
                    n => drop(bytes.splice(footer - 40..footer - 40, vec![0; (-n) as usize])),
                }
            }
            let (ended, published) = with_file(&format!("page case {case}, {table}"), table, &bytes);
            if let Some(published) = published {
                assert!(published == whole, "page case {case}, {table}: published from corrupt pages");
            }
            usize::from(ended.code == Some(2))
        })
        .sum();
    assert!(refused as u64 * 2 > cases(100).end - cases(100).start, "{refused}");
}

#[test]
fn a_footer_may_say_anything() {
    cases(100).into_par_iter().for_each(|case| {
        let rng = &mut Rng::with_seed(case);
        let (table, mut bytes) = file(rng);
        let footer = footer_at(&bytes);
        for _ in 0..rng.usize(1..=4) {
            let end = bytes.len() - 8;
            mutate(&mut bytes, footer, end, rng);
        }
        match rng.u8(0..10) {
            0 => bytes.truncate(rng.usize(0..bytes.len())),
            1 => (0..8).for_each(|n| {
                let at = bytes.len() - 1 - n;
                bytes[at] = rng.u8(..);
            }),
            2 => {}
            _ => fit_footer(&mut bytes, footer),
        }
        with_file(&format!("footer case {case}, {table}"), table, &bytes);
    });
}

/// Words and signs that files of ours and SQL are made of, and what they are not.
const TOKENS: [&str; 64] = [
    "0",
    "1",
    "-1",
    "1.5",
    "1e309",
    "-0.0",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "nan",
    "inf",
    "''",
    "'x'",
    "\"",
    "'",
    "''''",
    "\\",
    "(",
    ")",
    "((((((((",
    "))))))))",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "==",
    "<>",
    ",",
    ".",
    ";",
    "--",
    "/*",
    "#",
    "\n",
    "\t",
    "\u{0}",
    "\u{202e}",
    "é",
    "😀",
    "NULL",
    "TRUE",
    "AND",
    "OR",
    "NOT",
    "CASE",
    "WHEN",
    "END",
    "IN",
    "IS",
    "BETWEEN",
    "CAST(",
    " AS BIGINT)",
    "amount_due_minor",
    "days_past_due",
    "subject_id",
    "subjects",
    "12 months",
    "0 months",
    "2025-02-30",
    "../../etc/passwd",
    "%",
];

/// Changes a text: its lines, its words, its numbers.
fn mutate_text(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(0..lines.len());
        let line = lines[at].clone();
        let chars: Vec<char> = line.chars().collect();
        let cut = rng.usize(0..=chars.len());
        let token = *rng.choice(&TOKENS).unwrap();
        let (left, right): (String, String) = (chars[..cut].iter().collect(), chars[cut..].iter().collect());
        match rng.u8(0..9) {
            0 => lines[at] = left,
            1 => lines[at] = format!("{left}{token}{right}"),
            2 => lines[at] = format!("{left}{}{right}", token.repeat(rng.usize(1..500))),
            3 => drop(lines.remove(at)),
            4 => lines.insert(at, line),
            5 => {
                let other = rng.usize(0..lines.len());
                lines.swap(at, other);
            }
            6 => match line.split_once('=') {
                Some((key, _)) => lines[at] = format!("{key}= {token}"),
                None => lines[at] = token.to_owned(),
            },
            7 => match line.split_once(' ') {
                Some((_, rest)) => lines[at] = format!("{token} {rest}"),
                None => lines[at].clear(),
            },
            _ => {
                let digits = |c: char| if c.is_ascii_digit() { rng.char('0'..='9') } else { c };
                lines[at] = line.chars().map(digits).collect();
            }
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
    }
    lines.join("\n")
}

#[test]
fn pipelines_models_and_features_may_say_anything() {
    let files = [
        "pipelines/nightly.toml",
        "pipelines/models/standard.toml",
        "pipelines/features/credit_history.toml",
        "pipelines/features/fulfilment_capacity.toml",
        "pipelines/features/behaviour_preference.toml",
        "pipelines/features/personal_characteristics.toml",
        "pipelines/features/relationships.toml",
    ];
    cases(100).into_par_iter().for_each(|case| {
        let rng = &mut Rng::with_seed(case);
        let folder = scratch();
        for name in files {
            let place = folder.path().join(name);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::copy(repository(name), place).unwrap();
        }
        let name = *rng.choice(&files).unwrap();
        let text = std::fs::read_to_string(repository(name)).unwrap();
        std::fs::write(folder.path().join(name), mutate_text(&text, rng)).unwrap();
        let pipeline = folder.path().join("pipelines/nightly.toml");
        let case = format!("text case {case}, {name}");
        let args = arguments("check", &pipeline, folder.path(), &BTreeMap::new());
        if sesame(folder.path(), &case, &args).code == Some(0) {
            let args = arguments("run", &pipeline, folder.path(), &BTreeMap::new());
            sesame(folder.path(), &case, &args);
        }
    });
}

/// A random expression, mostly of a form that is allowed.
fn expression(rng: &mut Rng, depth: usize) -> String {
    let columns = [
        "amount_due_minor",
        "amount_paid_minor",
        "balance_minor",
        "limit_minor",
        "due_on",
        "paid_on",
        "product",
        "currency",
        "account_id",
    ];
    if depth == 0 || rng.u8(0..6) == 0 {
        return match rng.u8(0..4) {
            0 => (*rng.choice(&TOKENS[..14]).unwrap()).to_owned(),
            1 => rng.i64(-1000..1000).to_string(),
            _ => (*rng.choice(&columns).unwrap()).to_owned(),
        };
    }
    let one = |rng: &mut Rng| expression(rng, depth - 1);
    let (a, b, c) = (one(rng), one(rng), one(rng));
    let operators = ["+", "-", "*", "/", "%", "//", "||", "=", "<", ">=", "<>", "AND", "OR", "&", "|", "^", "<<"];
    let operator = *rng.choice(&operators).unwrap();
    let kinds = [
        "BIGINT",
        "TINYINT",
        "UBIGINT",
        "DOUBLE",
        "VARCHAR",
        "DATE",
        "TIMESTAMP",
        "BOOLEAN",
        "DECIMAL(38,2)",
        "UTINYINT",
    ];
    let functions = [
        "ABS",
        "ROUND",
        "FLOOR",
        "CEIL",
        "SQRT",
        "LN",
        "EXP",
        "UPPER",
        "LENGTH",
        "TRIM",
        "SUM",
        "MAX",
        "COUNT",
        "LEAST",
        "GREATEST",
        "COALESCE",
        "NULLIF",
        "SUBSTR",
        "STRPTIME",
        "CONCAT",
        "POWER",
        "MOD",
        "RANDOM",
        "READ_CSV",
        "READ_PARQUET",
        "LAG",
        "DATE_PART",
        "REPLACE",
    ];
    match rng.u8(0..10) {
        0..=3 => format!("({a} {operator} {b})"),
        4 => format!("CASE WHEN {a} > {b} THEN {c} ELSE {b} END"),
        5 => format!("CAST({a} AS {})", rng.choice(&kinds).unwrap()),
        6 => format!("{}({a})", rng.choice(&functions).unwrap()),
        7 => format!("{}({a}, {b})", rng.choice(&functions).unwrap()),
        8 => format!("({a} IS {}NULL)", if rng.bool() { "NOT " } else { "" }),
        _ => format!("({a} BETWEEN {b} AND {c})"),
    }
}

#[test]
fn a_select_may_say_anything() {
    cases(100).into_par_iter().for_each(|case| {
        let rng = &mut Rng::with_seed(case);
        let folder = scratch();
        let depth = rng.usize(1..5);
        let e = expression(rng, depth);
        let select = match rng.u8(0..6) {
            0 => format!("SELECT * FROM export WHERE {e}"),
            1 => format!("SELECT *, {e} AS more FROM export"),
            2 => format!("SELECT * FROM export UNION ALL SELECT * REPLACE ({e} AS balance_minor) FROM export"),
            3 => mutate_text(&format!("SELECT * REPLACE ({e} AS amount_due_minor) FROM export"), rng),
            _ => format!("SELECT * REPLACE ({e} AS amount_due_minor) FROM export"),
        };
        let case = format!("select case {case}: {select}");
        let mut args = arguments("run", &repository("pipelines/nightly.toml"), folder.path(), &BTreeMap::new());
        args.extend(["--set".to_owned(), format!("inputs.repayments.select={}", toml::Value::String(select))]);
        sesame(folder.path(), &case, &args);
    });
}

#[test]
fn an_expression_of_a_feature_may_say_anything() {
    cases(100).into_par_iter().for_each(|case| {
        let rng = &mut Rng::with_seed(case);
        let folder = scratch();
        for name in ["pipelines/models", "pipelines/features"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            for file in std::fs::read_dir(repository(name)).unwrap().map(Result::unwrap) {
                std::fs::copy(file.path(), folder.path().join(name).join(file.file_name())).unwrap();
            }
        }
        let depth = rng.usize(1..5);
        let (of, condition) = (expression(rng, depth), expression(rng, depth));
        let aggregates = ["sum", "mean", "min", "max", "share", "count", "distinct", "zero_groups", "span", "variation", "months_since_last"];
        let aggregate = *rng.choice(&aggregates).unwrap();
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut feature = format!(
            "\n[[feature]]\nname = \"fuzzed\"\nabout = \"A test.\"\nunit = \"count\"\ndirection = \"neither\"\naggregate = \"{aggregate}\"\nsource = \"repayments\"\n"
        );
        if !["count", "distinct"].contains(&aggregate) {
            feature += &format!("of = {}\n", text(&of));
        }
        if rng.bool() {
            feature += &format!("where = {}\n", text(&condition));
        }
        if ["distinct", "zero_groups", "span", "variation"].contains(&aggregate) {
            feature += &format!("per = \"{}\"\n", rng.choice(&["month", "account_id", "product"]).unwrap());
        }
        let place = folder.path().join("pipelines/features/credit_history.toml");
        let all = std::fs::read_to_string(&place).unwrap() + &feature;
        std::fs::write(&place, all).unwrap();
        let model = folder.path().join("pipelines/models/standard.toml");
        let mut args = arguments("run", &repository("pipelines/nightly.toml"), folder.path(), &BTreeMap::new());
        args.extend(["--model".to_owned(), model.display().to_string()]);
        sesame(folder.path(), &format!("feature case {case}: {feature}"), &args);
    });
}
