//! Rows that are kept from night to night: a night over exports that changed a little gives the bytes of a run that reads them all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Int64Type};

use crate::exports::{in_groups, read, write};
use crate::workdir::{Ended, Workdir, repository};

/// Tables of records, of which each has so many files.
const TABLES: [&str; 5] = ["repayments", "utility_payments", "purchases", "public_records", "sales"];
const FILES: usize = 5;

/// The sample in files that a test changes from night to night.
struct Nights {
    work: Workdir,
    more: Vec<String>,
}

impl Nights {
    /// The sample, its tables of records cut into files of which the last is not there yet.
    fn new() -> Self {
        let work = Workdir::new();
        work.copy(&repository("data-samples/small"), "export");
        let nights = Self { work, more: Vec::new() };
        for table in TABLES {
            let whole = whole(&repository(&format!("data-samples/small/{table}")));
            let place = nights.work.path(&format!("export/{table}"));
            let _ = std::fs::remove_dir_all(&place);
            let _ = std::fs::remove_file(place.with_extension("parquet"));
            let cut = whole.num_rows().div_ceil(FILES).max(1);
            for n in 0..FILES {
                let from = (n * cut).min(whole.num_rows());
                let part = whole.slice(from, cut.min(whole.num_rows() - from));
                let folder = if n + 1 == FILES { "later" } else { "export" };
                write(&nights.work.path(&format!("{folder}/{table}/{n}.parquet")), &part);
            }
        }
        nights
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path(&format!("export/{name}"))
    }

    /// The last file of a table comes.
    fn comes(&self, table: &str) {
        let name = format!("{table}/{}.parquet", FILES - 1);
        std::fs::rename(self.work.path(&format!("later/{name}")), self.path(&name)).unwrap();
    }

    /// Writes a file of the export anew.
    fn change(&self, name: &str, change: impl Fn(RecordBatch) -> RecordBatch) {
        let path = self.path(name);
        let changed = change(read(&path));
        std::fs::remove_file(&path).unwrap();
        write(&path, &changed);
    }

    fn run(&self, output: &str, as_of: &str, more: &[&str]) -> Ended {
        let mut args = vec!["--as-of", as_of, "--accept", "max_rows_lost", "--because", "a test"];
        for set in [
            "gates.max_quarantined_share=1.0",
            "gates.min_scored_share=0.0",
            "gates.max_psi=1000.0",
            "gates.max_quarantined_growth=1000000.0",
            "gates.max_band_jump=1.0",
            "gates.max_age_days=100000",
        ] {
            args.extend(["--set", set]);
        }
        args.extend(self.more.iter().map(String::as_str));
        args.extend(more);
        self.work.run(&self.work.path("export"), output, &args)
    }

    /// A night, and the same date by a run that has nothing from before; what the night said.
    fn night(&self, as_of: &str, more: &[&str]) -> String {
        let said = self.run("out", as_of, more).expect(0).err;
        let whole = format!("whole-{as_of}");
        let set: Vec<&str> = more.iter().copied().chain(["--set", "engine.keep_rows=false"]).collect();
        let read = self.run(&whole, as_of, &set).expect(0).err;
        assert!(!read.contains("are kept"), "{read}");
        let (expected, found) = (self.tables(&whole, as_of), self.tables("out", as_of));
        assert!(expected.len() > 8, "{:?}", expected.keys());
        for (name, bytes) in &expected {
            assert!(found.get(name) == Some(bytes), "{name} differs as of {as_of}\n{said}");
        }
        assert_eq!(found.len(), expected.len());
        // Counts of rows by class and file are in the audit, and nowhere else.
        assert_eq!(self.counts("out", as_of), self.counts(&whole, as_of), "{said}");
        said
    }

    /// The tables of a date: what is published, and what its latest run keeps.
    fn tables(&self, output: &str, as_of: &str) -> BTreeMap<String, Vec<u8>> {
        let run = self.latest(output, as_of);
        let pattern = run.join("**/*.parquet");
        let mut files: BTreeMap<String, Vec<u8>> = glob::glob(pattern.to_str().unwrap())
            .unwrap()
            .map(Result::unwrap)
            .map(|path| (path.strip_prefix(&run).unwrap().display().to_string(), std::fs::read(&path).unwrap()))
            .collect();
        let published = self.work.published(output);
        files.extend(published.into_iter().filter(|(name, _)| name.contains(as_of)));
        files
    }

    fn latest(&self, output: &str, as_of: &str) -> PathBuf {
        let pattern = self.work.path(output).join(format!("runs/{as_of}-*"));
        let runs = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap);
        runs.max_by_key(|run| std::fs::metadata(run.join("manifest.json")).unwrap().modified().unwrap()).unwrap()
    }

    /// What became of the rows of each table, and what the disputes came to.
    fn counts(&self, output: &str, as_of: &str) -> [serde_json::Value; 2] {
        let text = std::fs::read_to_string(self.latest(output, as_of).join("audit.json")).unwrap();
        let audit: serde_json::Value = serde_json::from_str(&text).unwrap();
        ["conservation", "disputes"].map(|part| audit[part].clone())
    }

    /// What is kept of a table's files.
    fn kept(&self, table: &str) -> Vec<PathBuf> {
        let pattern = self.work.path(&format!("out/stages/rows-{table}/*/rows.bin"));
        glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap).collect()
    }
}

/// All rows of a table.
fn whole(table: &Path) -> RecordBatch {
    let pattern = if table.is_dir() { table.join("**/*.parquet") } else { table.with_extension("parquet") };
    let mut files: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap).collect();
    files.sort();
    let parts: Vec<RecordBatch> = files.iter().map(|file| read(file)).collect();
    arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap()
}

/// The rows of others than some.
fn without(batch: &RecordBatch, ids: &BTreeSet<String>) -> RecordBatch {
    let column = texts(batch, "subject_id");
    let mask: BooleanArray = column.iter().map(|id| Some(!ids.contains(id))).collect();
    filter_record_batch(batch, &mask).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    array.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}

fn with_column(batch: &RecordBatch, name: &str, array: &ArrayRef) -> RecordBatch {
    let at = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[at] = cast(array, columns[at].data_type()).unwrap();
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn a_night_reads_what_came_and_gives_the_bytes_of_a_run_that_reads_everything() {
    let nights = Nights::new();
    let first = nights.night("2025-10-27", &[]);
    assert!(!first.contains("are kept") && nights.kept("repayments").is_empty(), "{first}");
    // Its files are met a second time: they are kept.
    nights.comes("repayments");
    let second = nights.night("2025-10-28", &[]);
    assert!(
        second.contains(
            "repayments: the rows of 0 of 5 file(s) are kept from before, and those of 5 are kept from now on"
        ),
        "{second}"
    );
    ["purchases", "utility_payments", "public_records", "sales"].iter().for_each(|table| nights.comes(table));
    let third = nights.night("2025-10-29", &["--threads", "1"]);
    for line in [
        "repayments: the rows of 5 of 5 file(s) are kept from before, and those of 0 are kept from now on",
        "purchases: the rows of 4 of 5 file(s) are kept from before, and those of 1 are kept from now on",
    ] {
        assert!(third.contains(line), "{line}\n{third}");
    }
    let fourth = nights.night("2025-10-31", &["--threads", "2"]);
    assert!(fourth.contains("purchases: the rows of 5 of 5 file(s) are kept from before"), "{fourth}");
    // An earlier date saw other rows than what is kept tells of.
    let earlier = nights.night("2025-10-26", &[]);
    assert!(!earlier.contains("repayments: the rows of"), "{earlier}");
}

#[test]
fn rows_are_kept_from_the_first_night_when_the_pipeline_says_so_and_never_when_it_says_so() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    let said = nights.run("out", "2025-10-28", &[]).expect(0).err;
    assert!(said.contains("repayments: the rows of 0 of 4 file(s) are kept from before, and those of 4"), "{said}");
    assert_eq!(nights.kept("repayments").len(), 4);
    nights.more.clear();
    let said = nights.night("2025-10-29", &[]);
    assert!(said.contains("repayments: the rows of 4 of 4 file(s) are kept from before"), "{said}");
    nights.run("out", "2025-10-30", &["--set", "engine.keep_rows=false"]).expect(0);
    assert!(
        nights.kept("repayments").is_empty()
            && !nights.work.path("out/stages/roster").read_dir().unwrap().any(|_| true)
    );
}

#[test]
fn files_that_change_or_go_are_read_as_they_are() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    nights.night("2025-10-27", &[]);
    // Every second row of a file, and one row twice.
    nights.change("repayments/1.parquet", |batch| {
        let rows: Vec<u32> = (0..u32::try_from(batch.num_rows()).unwrap()).step_by(2).chain([0]).collect();
        take_record_batch(&batch, &UInt32Array::from(rows)).unwrap()
    });
    std::fs::remove_file(nights.path("purchases/0.parquet")).unwrap();
    // A file comes among the others, so that some have other numbers.
    std::fs::rename(nights.work.path("later/utility_payments/4.parquet"), nights.path("utility_payments/00.parquet"))
        .unwrap();
    let said = nights.night("2025-10-28", &[]);
    for line in
        ["repayments: the rows of 3 of 4", "purchases: the rows of 3 of 3", "utility_payments: the rows of 4 of 5"]
    {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // What is of no more use is gone.
    assert_eq!(["repayments", "purchases", "utility_payments"].map(|table| nights.kept(table).len()), [4, 3, 5]);
}

#[test]
fn subjects_come_and_go_and_consents_and_disputes_change() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    let all = read(&nights.path("subjects.parquet"));
    let mut ids: Vec<String> = texts(&all, "subject_id");
    ids.sort();
    ids.dedup();
    let (first, last) = (ids.first().unwrap().clone(), ids.last().unwrap().clone());
    let few: BTreeSet<String> = [first, last, ids[ids.len() / 2].clone()].into();
    // Whoever is new comes before, after and among the others, with rows in files that were read before.
    nights.change("subjects.parquet", |batch| without(&batch, &few));
    nights.night("2025-10-27", &[]);
    let gone: BTreeSet<String> = ids.iter().skip(3).step_by(97).cloned().collect();
    nights.change("subjects.parquet", |_| without(&all, &gone));
    let consents = read(&nights.path("consents.parquet"));
    nights.change("consents.parquet", |_| consents.slice(5, consents.num_rows() - 9));
    let disputes = read(&nights.path("disputes.parquet"));
    nights.change("disputes.parquet", |_| disputes.slice(1, disputes.num_rows() - 1));
    let said = nights.night("2025-10-28", &[]);
    assert!(said.contains("repayments: the rows of 4 of 4 file(s) are kept from before"), "{said}");
    // They are back, all disputes are told again, and some more.
    nights.change("subjects.parquet", |_| all.clone());
    nights.change("disputes.parquet", |_| {
        let bills = read(&nights.path("repayments/0.parquet"));
        let (records, owners) = (texts(&bills, "record_id"), texts(&bills, "subject_id"));
        let some: Vec<usize> = (0..disputes.num_rows()).map(|n| n * 7 % bills.num_rows()).collect();
        let text = |of: &[String]| -> ArrayRef {
            Arc::new(some.iter().map(|n| Some(of[*n].as_str())).collect::<StringArray>())
        };
        let table: ArrayRef = Arc::new(some.iter().map(|_| Some("repayments")).collect::<StringArray>());
        let upheld: ArrayRef = Arc::new(some.iter().map(|_| Some("upheld")).collect::<StringArray>());
        let changed = with_column(&disputes, "record_id", &text(&records));
        let changed = with_column(&with_column(&changed, "subject_id", &text(&owners)), "table", &table);
        with_column(&changed, "state", &upheld)
    });
    let said = nights.night("2025-10-29", &[]);
    assert!(said.contains("repayments: the rows of 4 of 4 file(s) are kept from before"), "{said}");
    let disputed = &nights.counts("out", "2025-10-29")[0]["repayments"]["disputed_out"];
    assert!(disputed.as_u64().unwrap() > 0, "{disputed}");
    // Too many are gone: numbers that were kept are of no more use.
    let many: BTreeSet<String> = ids.iter().step_by(4).cloned().collect();
    nights.change("subjects.parquet", |_| without(&all, &many));
    let said = nights.night("2025-10-30", &[]);
    assert!(said.contains("repayments: the rows of 0 of 4 file(s) are kept from before, and those of 4"), "{said}");
    let said = nights.night("2025-10-31", &[]);
    assert!(said.contains("repayments: the rows of 4 of 4 file(s) are kept from before"), "{said}");
}

#[test]
fn rows_that_break_rules_are_told_of_every_night() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    nights.change("repayments/2.parquet", |batch| {
        let products = texts(&batch, "product");
        let wrong = |(n, product): (usize, &String)| {
            let word = if n % 9 == 4 { "no product" } else { product.as_str() };
            Some(word.to_owned())
        };
        let products: ArrayRef = Arc::new(products.iter().enumerate().map(wrong).collect::<StringArray>());
        with_column(&batch, "product", &products)
    });
    nights.night("2025-10-28", &[]);
    let quarantined = |as_of: &str| nights.counts("out", as_of)[0]["repayments"]["quarantined"].as_u64().unwrap();
    let before = quarantined("2025-10-28");
    let said = nights.night("2025-10-29", &[]);
    assert!(said.contains("repayments: the rows of 4 of 4 file(s) are kept from before"), "{said}");
    assert!(before > 10 && quarantined("2025-10-29") >= before);
}

#[test]
fn of_a_row_with_an_id_that_looks_personal_nothing_is_kept() {
    const PERSONAL: &str = "someone.canary@example.com";
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    nights.change("repayments/2.parquet", |batch| {
        let mut subjects = texts(&batch, "subject_id");
        subjects[3] = PERSONAL.to_owned();
        let subjects: ArrayRef = Arc::new(StringArray::from(subjects));
        with_column(&batch, "subject_id", &subjects)
    });
    nights.night("2025-10-28", &[]);
    let said = nights.night("2025-10-29", &[]);
    assert!(said.contains("repayments: the rows of 3 of 4 file(s) are kept from before, and those of 1"), "{said}");
    assert_eq!(nights.kept("repayments").len(), 3);
    let files = glob::glob(nights.work.path("out/**/*").to_str().unwrap()).unwrap().map(Result::unwrap);
    for file in files.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(PERSONAL.len()).any(|part| part == PERSONAL.as_bytes()), "{}", file.display());
    }
}

#[test]
fn what_is_damaged_is_read_again_with_a_word() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    nights.night("2025-10-26", &[]);
    let one = |table: &str| nights.kept(table).remove(0);
    // A bit of one, and all but the beginning of another.
    let altered = one("repayments");
    let mut bytes = std::fs::read(&altered).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&altered, bytes).unwrap();
    let cut = one("purchases");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    std::fs::remove_file(one("sales")).unwrap();
    let said = nights.night("2025-10-27", &[]);
    for table in ["repayments", "purchases", "sales"] {
        assert!(
            said.contains(&format!("{table}: the rows of 3 of 4 file(s) are kept from before, and those of 1")),
            "{said}"
        );
    }
    assert_eq!(said.matches("are damaged; it is read again").count(), 3, "{said}");
    let said = nights.night("2025-10-28", &[]);
    assert!(said.contains("sales: the rows of 4 of 4 file(s)") && !said.contains("damaged"), "{said}");
    // Without the ids that rows are numbered by nothing is of use.
    let pattern = nights.work.path("out/stages/roster/*/ids.parquet");
    let roster = glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap();
    std::fs::write(&roster, b"PAR1").unwrap();
    let said = nights.night("2025-10-29", &[]);
    assert!(said.contains("the roster of rows that are kept is damaged"), "{said}");
    assert!(said.contains("repayments: the rows of 0 of 4 file(s) are kept from before, and those of 4"), "{said}");
    let said = nights.night("2025-10-30", &[]);
    assert!(said.contains("repayments: the rows of 4 of 4 file(s)") && !said.contains("damaged"), "{said}");
}

#[test]
fn rows_that_depend_on_something_else_are_not_used() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    nights.night("2025-10-27", &[]);
    // Other reliabilities of sources, which rows hold.
    nights.change("sources.parquet", |batch| {
        let half: ArrayRef = Arc::new(Float64Array::from(vec![0.5; batch.num_rows()]));
        with_column(&batch, "reliability", &half)
    });
    let said = nights.night("2025-10-28", &[]);
    assert!(said.contains("repayments: the rows of 0 of 4 file(s) are kept from before, and those of 4"), "{said}");
    assert_eq!(nights.kept("repayments").len(), 4);
    // Other days, and a `select` that leaves rows out.
    let said = nights.night("2025-10-29", &["--set", "time_zone=\"Asia/Shanghai\""]);
    assert!(said.contains("repayments: the rows of 0 of 4 file(s) are kept from before, and those of 4"), "{said}");
    let bills = whole(&nights.path("repayments"));
    let amounts = cast(bills.column_by_name("amount_due_minor").unwrap(), &DataType::Int64).unwrap();
    let mut amounts = amounts.as_primitive::<Int64Type>().values().to_vec();
    amounts.sort_unstable();
    let select = format!(
        "inputs.repayments={{ path = \"{}\", select = \"SELECT * FROM export WHERE amount_due_minor > {}\" }}",
        nights.path("repayments").display(),
        amounts[amounts.len() / 5]
    );
    for (as_of, kept) in [("2025-10-30", 0), ("2025-10-31", 4)] {
        let said = nights.night(as_of, &["--set", "time_zone=\"Asia/Shanghai\"", "--set", &select]);
        assert!(said.contains(&format!("repayments: the rows of {kept} of 4 file(s) are kept from before")), "{said}");
    }
    let left_out = &nights.counts("out", "2025-10-31")[0]["repayments"]["left_out"];
    assert!(left_out.as_u64().unwrap() > 0, "{left_out}");
}

#[test]
fn nothing_is_kept_where_files_are_encrypted() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    nights.run("out", "2025-10-28", &[]).expect(0);
    assert!(!nights.kept("repayments").is_empty());
    std::fs::write(nights.work.path("key"), "00112233445566778899aabbccddeeff").unwrap();
    let at = format!("privacy.keys.at={{ one = \"file:{}\" }}", nights.work.path("key").display());
    let said = nights.run("out", "2025-10-29", &["--set", &at, "--set", "privacy.keys.write=\"one\""]).expect(0).err;
    assert!(!said.contains("are kept from before") && nights.kept("repayments").is_empty(), "{said}");
}

#[test]
fn what_must_not_be_kept_goes_whatever_becomes_of_the_run() {
    let mut nights = Nights::new();
    nights.more = vec!["--set".to_owned(), "engine.keep_rows=true".to_owned()];
    let kept = |nights: &Nights| TABLES.map(|table| nights.kept(table).len());
    let first = |nights: &Nights| {
        let _ = std::fs::remove_dir_all(nights.work.path("out"));
        nights.run("out", "2025-10-28", &[]).expect(0);
        assert!(kept(nights).iter().all(|files| *files > 0), "{:?}", kept(nights));
    };
    // There is nothing to do.
    first(&nights);
    let said = nights.run("out", "2025-10-28", &["--set", "engine.keep_rows=false"]).expect(0).err;
    assert!(said.contains("nothing to do"), "{said}");
    assert_eq!(kept(&nights), [0; 5]);
    // Several dates share a pass, and files are encrypted from now on.
    first(&nights);
    std::fs::write(nights.work.path("key"), "00112233445566778899aabbccddeeff").unwrap();
    let at = format!("privacy.keys.at={{ one = \"file:{}\" }}", nights.work.path("key").display());
    let keys = ["--set", &at, "--set", "privacy.keys.write=\"one\""];
    nights.run("out", "2025-10-29", &[&keys[..], &["--shards", "2"]].concat()).expect(0);
    assert_eq!(kept(&nights), [0; 5]);
    // A file is no more, and a table is no input; the run is in shards and would use neither.
    first(&nights);
    std::fs::remove_file(nights.path("purchases/0.parquet")).unwrap();
    std::fs::remove_dir_all(nights.path("sales")).unwrap();
    nights.run("out", "2025-10-29", &["--shards", "2"]).expect(0);
    assert_eq!(kept(&nights), [4, 4, 3, 4, 0]);
}

#[test]
fn kept_rows_are_the_same_bytes_for_any_number_of_threads() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    for table in TABLES {
        // A file of many row groups, which threads read side by side.
        let whole = whole(&repository(&format!("data-samples/small/{table}")));
        let place = work.path(&format!("export/{table}"));
        let _ = std::fs::remove_dir_all(&place);
        let rows = whole.num_rows().div_ceil(40).max(1);
        in_groups(&place.with_extension("parquet"), &whole, rows);
    }
    let nights = Nights { work, more: ["--set", "engine.keep_rows=true"].map(str::to_owned).into() };
    let kept = |output: &str, threads: &str| -> BTreeMap<PathBuf, Vec<u8>> {
        nights.run(output, "2025-10-28", &["--threads", threads]).expect(0);
        let place = nights.work.path(output);
        let files = glob::glob(place.join("stages/ro*/*/*").to_str().unwrap()).unwrap().map(Result::unwrap);
        files.map(|file| (file.strip_prefix(&place).unwrap().to_owned(), std::fs::read(file).unwrap())).collect()
    };
    let expected = kept("one", "1");
    let of = |name: &str| expected.keys().filter(|file| file.ends_with(name)).count();
    assert!(of("rows.bin") >= 3 && of("rest.parquet") > 0, "{:?}", expected.keys());
    for (output, threads) in [("four", "4"), ("again", "4"), ("eight", "8")] {
        let found = kept(output, threads);
        assert!(found.keys().eq(expected.keys()), "{output} has other files");
        for (file, bytes) in &found {
            assert!(*bytes == expected[file], "{} of {output} differs", file.display());
        }
    }
}
