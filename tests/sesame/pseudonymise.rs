//! Exports that leave their system: pseudonyms that join as the ids did, nothing else that leads back, nothing half-written.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;
use sesame::storage::pseudonym::Pseudonyms;
use sesame::storage::secret::Secret;

use crate::exports::{Export, read, repayments, subjects};
use crate::workdir::{Ended, Workdir, repository};

const KEY: &str = "k3y-of-the-tests-which-nobody-else-has";
const OTHER: &str = "an0ther-key-of-the-tests-which-is-longer";

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let found = glob::glob(folder.join("**/*").to_str().unwrap()).unwrap().map(Result::unwrap);
    found.filter(|path| path.is_file()).collect()
}

/// The columns of a batch as text.
fn texts(batch: &RecordBatch) -> Vec<(String, Vec<String>)> {
    let options = FormatOptions::default().with_null("null");
    let fields = batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let text = |column: &ArrayRef| {
        // Instants as numbers, for zones have no names here.
        let plain = match column.data_type() {
            DataType::Timestamp(..) => cast(column, &DataType::Int64).unwrap(),
            _ => column.clone(),
        };
        let format = ArrayFormatter::try_new(&plain, &options).unwrap();
        (0..column.len()).map(|row| format.value(row).to_string()).collect()
    };
    fields.into_iter().zip(batch.columns().iter().map(text)).collect()
}

fn column(path: &Path, name: &str) -> ArrayRef {
    read(path).column_by_name(name).unwrap_or_else(|| panic!("{} has no {name}", path.display())).clone()
}

fn words(path: &Path, name: &str) -> Vec<Option<String>> {
    let column = cast(&column(path, name), &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|word| word.map(ToOwned::to_owned)).collect()
}

struct Setting {
    work: Workdir,
    names: Pseudonyms,
}

impl Setting {
    fn new() -> Self {
        let work = Workdir::new();
        std::fs::write(work.path("key"), KEY).unwrap();
        std::fs::write(work.path("other"), format!("{OTHER}\n")).unwrap();
        let source = format!("file:{}", work.path("key").display());
        let names = Pseudonyms::of(&Secret::read("key", &source, |path| PathBuf::from(path)).unwrap());
        Self { work, names }
    }

    fn name(&self, domain: &str, id: &str) -> Option<String> {
        Some(self.names.name(domain, id.as_bytes()))
    }

    fn pseudonymise(&self, from: &str, to: &str, more: &[&str]) -> Ended {
        let usual = ["pseudonymise", from, to, "--key", "file:key", "--key-id", "tests-1"];
        self.work.sesame(usual.iter().chain(more))
    }

    /// Nothing that was under way is left.
    fn clean(&self, to: &str) {
        assert!(!self.work.path(to).exists(), "{to} is there");
        let left = std::fs::read_dir(self.work.path("")).unwrap().map(|e| e.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".sesame-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Two subjects and their repayments in a folder.
    fn small(&self, folder: &str) {
        subjects().write(&self.work.path(&format!("{folder}/subjects.parquet")));
        repayments().write(&self.work.path(&format!("{folder}/repayments.parquet")));
    }
}

#[test]
fn scores_are_those_of_the_raw_export_row_by_row() {
    let at = Setting::new();
    let small = repository("data-samples/small");
    at.pseudonymise(small.to_str().unwrap(), "safe", &["--group", "sex", "--group", "age_band"])
        .expect(0)
        .says("pseudonyms in");
    at.work.run(&small, "raw-out", &[]).expect(0);
    at.work.run(&at.work.path("safe"), "safe-out", &[]).expect(0).says("1,000 subjects");
    let rows = |output: &str, name: &dyn Fn(&str) -> String| -> BTreeMap<String, Vec<(String, String)>> {
        let columns = texts(&read(&at.work.scores_path(output)));
        let (ids, others): (Vec<_>, Vec<_>) = columns.into_iter().partition(|(column, _)| column == "subject_id");
        let row = |n: usize| others.iter().map(|(column, values)| (column.clone(), values[n].clone())).collect();
        ids[0].1.iter().enumerate().map(|(n, id)| (name(id), row(n))).collect()
    };
    let raw = rows("raw-out", &|id: &str| at.names.name("subject", id.as_bytes()));
    let safe = rows("safe-out", &|id: &str| id.to_owned());
    assert_eq!(raw.len(), 1_000);
    assert!(raw.values().next().unwrap().len() > 15);
    for (id, row) in &raw {
        assert_eq!(safe.get(id), Some(row), "{id}");
    }
    assert_eq!(safe.len(), raw.len());
    // Every row is in the same class, and the groups are those that were named.
    let (raw, safe) = (at.work.audit("raw-out"), at.work.audit("safe-out"));
    for section in ["coverage", "consents", "disputes", "fairness"] {
        assert_eq!(raw[section], safe[section], "{section}");
    }
    // Where a row stands is another file and number.
    let quarantined = |audit: &Value| audit["quarantine"]["repayments"]["foreign_currency"]["rows"].clone();
    assert_eq!((quarantined(&raw), quarantined(&safe)), (2.into(), 2.into()));
}

#[test]
fn neither_an_id_nor_the_key_is_in_any_byte_that_is_written() {
    let at = Setting::new();
    let small = repository("data-samples/small");
    let ended = at.pseudonymise(small.to_str().unwrap(), "safe", &["--format", "json"]).expect(0);
    let ids: Vec<String> = words(&small.join("subjects.parquet"), "subject_id").into_iter().flatten().collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1_000);
    let mut written = vec![("stdout".to_owned(), ended.out.clone()), ("stderr".to_owned(), ended.err)];
    let files = files(&at.work.path("safe"));
    assert_eq!(files.len(), 12);
    for file in &files {
        let raw = std::fs::read(file).unwrap();
        written.push((file.display().to_string(), String::from_utf8_lossy(&raw).into_owned()));
        let decoded = texts(&read(file)).into_iter().map(|(name, values)| format!("{name}\n{}", values.join("\n")));
        written.push((format!("{} decoded", file.display()), decoded.collect::<Vec<_>>().join("\n")));
    }
    for (place, text) in &written {
        assert!(!text.contains(KEY), "{place} holds the key");
        let hex: String = KEY.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!text.contains(&hex), "{place} holds the key in digits");
    }
    for (place, text) in &written {
        if place.ends_with(".parquet") {
            // Statistics, the footer, and pages that are not compressed.
            assert!(ids.iter().all(|id| !text.contains(id.as_str())), "{place} holds a subject's id");
        } else {
            let values: BTreeSet<&str> = text.split(['\n', '"', ' ', ',']).collect();
            assert!(ids.iter().all(|id| !values.contains(id.as_str())), "{place} holds a subject's id");
        }
    }
    let accounts = words(&at.work.path("safe/utility_payments.parquet"), "account_id");
    assert!(accounts.iter().flatten().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
}

#[test]
fn pseudonyms_join_as_the_ids_did() {
    let at = Setting::new();
    let small = repository("data-samples/small");
    at.pseudonymise(small.to_str().unwrap(), "safe", &[]).expect(0);
    let safe = |table: &str| at.work.path(&format!("safe/{table}.parquet"));
    let raw = |table: &str| small.join(format!("{table}.parquet"));
    let same = |table: &str, name: &str, domain: &str| {
        let ids = words(&raw(table), name);
        let expected: Vec<_> = ids.iter().map(|id| id.as_deref().and_then(|id| at.name(domain, id))).collect();
        assert_eq!(words(&safe(table), name), expected, "{table}.{name}");
        assert!(expected.iter().any(Option::is_some), "{table}.{name}");
    };
    same("subjects", "subject_id", "subject");
    same("subjects", "source_id", "sources.source_id");
    same("sources", "source_id", "sources.source_id");
    same("friend_links", "subject_a", "subject");
    same("friend_links", "subject_b", "subject");
    same("public_records", "record_id", "public_records.record_id");
    same("disputes", "dispute_id", "disputes.dispute_id");
    same("disputes", "record_id", "repayments.record_id");
    // A partner is no person, and partners.toml names it.
    assert_eq!(words(&safe("consents"), "partner_id"), words(&raw("consents"), "partner_id"));
    // Files of a folder follow each other in the order of their names, and refunds name orders.
    let (mut records, mut refunds) = (Vec::new(), Vec::new());
    for year in ["2023", "2024", "2025"] {
        let file = small.join(format!("purchases/year={year}/part-0000.parquet"));
        records.extend(words(&file, "record_id"));
        refunds.extend(words(&file, "refund_of"));
    }
    let name = |id: &Option<String>| id.as_deref().and_then(|id| at.name("purchases.record_id", id));
    assert_eq!(words(&safe("purchases"), "record_id"), records.iter().map(name).collect::<Vec<_>>());
    assert_eq!(words(&safe("purchases"), "refund_of"), refunds.iter().map(name).collect::<Vec<_>>());
    assert!(refunds.iter().any(Option::is_some));
}

#[test]
fn the_same_exports_and_key_give_the_same_bytes() {
    let at = Setting::new();
    let small = repository("data-samples/small");
    let small = small.to_str().unwrap();
    at.pseudonymise(small, "one", &["--threads", "1"]).expect(0);
    at.pseudonymise(small, "two", &["--threads", "5"]).expect(0);
    let bytes = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        let folder = at.work.path(folder);
        let name = |path: &PathBuf| path.strip_prefix(&folder).unwrap().display().to_string();
        files(&folder).iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
    };
    let one = bytes("one");
    assert!(one.len() == 12 && one == bytes("two"));
    let other = ["pseudonymise", small, "three", "--key", "file:other", "--key-id", "tests-1"];
    at.work.sesame(other).expect(0);
    let ids = |folder: &str| words(&at.work.path(&format!("{folder}/subjects.parquet")), "subject_id");
    let three: BTreeSet<_> = ids("three").into_iter().collect();
    assert!(three.len() == 1_000 && ids("one").iter().all(|id| !three.contains(id)));
}

#[test]
fn what_the_contract_does_not_know_is_dropped_and_told() {
    let at = Setting::new();
    at.small("raw");
    let extra = subjects().text("full_name", ["Wang Fang", "Li Wei"]).text("birthplace", ["x", "y"]);
    extra.write(&at.work.path("raw/subjects.parquet"));
    let groups = Export::new().text("subject_id", ["s1", "s2"]).text("sex", ["f", "m"]).text("name", ["Wang", "Li"]);
    groups.write(&at.work.path("raw/groups.parquet"));
    std::fs::write(at.work.path("raw/notes.txt"), "call back").unwrap();
    let ended = at.pseudonymise("raw", "safe", &["--group", "sex", "--format", "json"]).expect(0);
    let ended = ended.says("subjects: dropped, for the contract does not know them: birthplace, full_name");
    let ended = ended.says("groups: dropped").says("notes.txt is no table of the contract");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["key_id"], "tests-1");
    let table = |name: &str| report["tables"].as_array().unwrap().iter().find(|t| t["table"] == name).unwrap();
    let dropped = serde_json::json!([
        {"column": "birthplace", "why": "outside_contract"},
        {"column": "full_name", "why": "outside_contract"}
    ]);
    assert_eq!(table("subjects")["dropped"], dropped);
    assert_eq!(table("groups")["dropped"], serde_json::json!([{"column": "name", "why": "outside_contract"}]));
    assert_eq!(table("groups")["kept"], serde_json::json!(["sex"]));
    let ids = serde_json::json!([
        {"column": "record_id", "domain": "repayments.record_id"},
        {"column": "subject_id", "domain": "subject"},
        {"column": "account_id", "domain": "repayments.account_id"}
    ]);
    assert_eq!(table("repayments")["pseudonymised"], ids);
    for table in report["tables"].as_array().unwrap() {
        let path = at.work.path("safe").join(table["file"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(table["blake3"], blake3::hash(&bytes).to_hex().to_string());
        assert_eq!((table["rows"].as_u64(), table["bytes"].as_u64()), (Some(2), Some(bytes.len() as u64)));
        let decoded = texts(&read(&path)).into_iter().flat_map(|(name, values)| values.into_iter().chain([name]));
        let decoded: Vec<String> = decoded.collect();
        for gone in ["Wang Fang", "Li Wei", "Wang", "full_name", "birthplace", "name", "s1"] {
            assert!(!decoded.iter().any(|text| text == gone), "{gone} is in {}", path.display());
        }
    }
    at.pseudonymise("raw", "more", &["--group", "sexe"]).expect(2).says("did you mean `sex`");
    at.clean("more");
}

#[test]
fn a_pipeline_file_is_read_through_its_selects() {
    let at = Setting::new();
    let raw =
        Export::new().long("client", [17, -5]).text("sorted_as", ["consumer", "consumer"]).text("town", ["a", "b"]);
    raw.write(&at.work.path("raw/clients.parquet"));
    let loans = Export::new()
        .column("id", Arc::new(Int32Array::from(vec![Some(1), Some(2), None])))
        .column("client", Arc::new(Int32Array::from(vec![Some(17), Some(-5), Some(17)])))
        .column("loan", Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab", b"cd", b"ab"].into_iter()).unwrap()))
        .date("due", &[Some("2025-01-05"), Some("2025-01-06"), Some("2025-01-07")])
        .column("amount", {
            let amounts = Decimal128Array::from(vec![10_000, 20_000, 30_000]);
            Arc::new(amounts.with_precision_and_scale(12, 0).unwrap())
        })
        .text("remark", ["call him", "", "moved to Ulm"]);
    loans.write(&at.work.path("raw/loans.parquet"));
    let pipeline = format!(
        "name = \"mine\"\nmodel = \"none\"\nas_of = \"2025-01-31\"\ncurrency = \"EUR\"\noutput = \"out\"\n\
         output_mode = \"group\"\n[inputs.subjects]\npath = \"raw/clients.parquet\"\n\
         select = \"SELECT client AS subject_id, sorted_as AS kind FROM export\"\n[inputs.repayments]\n\
         path = \"raw/loans.parquet\"\nselect = \"\"\"{}\"\"\"\n",
        "SELECT id AS record_id, client AS subject_id, loan AS account_id, 'instalment' AS product, due AS due_on, \
         amount AS amount_due_minor, amount AS amount_paid_minor, 'EUR' AS currency, remark AS note FROM export \
         WHERE id IS NULL OR id <> 2"
    );
    std::fs::write(at.work.path("pipeline.toml"), pipeline).unwrap();
    let ended = at.pseudonymise("pipeline.toml", "safe", &["--format", "json"]).expect(0);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let of_subjects = serde_json::json!([{"column": "town", "why": "not_selected"}]);
    assert_eq!(report["tables"][0]["dropped"], of_subjects);
    assert_eq!(report["tables"][1]["dropped"], serde_json::json!([{"column": "note", "why": "outside_contract"}]));
    assert_eq!((report["tables"][1]["rows"].as_u64(), report["tables"][1]["rows_read"].as_u64()), (Some(2), Some(3)));
    // An integer is named by its digits, a null by nothing, bytes by themselves; values keep their types.
    let (subjects, repayments) = (at.work.path("safe/subjects.parquet"), at.work.path("safe/repayments.parquet"));
    assert_eq!(words(&subjects, "subject_id"), [at.name("subject", "17"), at.name("subject", "-5")]);
    assert_eq!(words(&repayments, "subject_id"), [at.name("subject", "17"), at.name("subject", "17")]);
    assert_eq!(words(&repayments, "record_id"), [at.name("repayments.record_id", "1"), None]);
    let account = at.name("repayments.account_id", "ab");
    assert_eq!(words(&repayments, "account_id"), [account.clone(), account]);
    let amounts = column(&repayments, "amount_due_minor");
    assert_eq!(amounts.as_primitive::<Decimal128Type>().values(), &[10_000, 30_000]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&at.work.path("safe")), mode(&subjects)), (0o750, 0o640));
    let text =
        std::fs::read_to_string(at.work.path("pipeline.toml")).unwrap().replace("inputs.subjects", "inputs.subject");
    std::fs::write(at.work.path("pipeline.toml"), text).unwrap();
    at.pseudonymise("pipeline.toml", "more", &[]).expect(2).says("did you mean `subjects`");
    at.clean("more");
}

#[test]
fn files_are_for_their_owner_alone_and_of_one_type() {
    let at = Setting::new();
    at.small("raw");
    std::fs::remove_file(at.work.path("raw/repayments.parquet")).unwrap();
    repayments().write(&at.work.path("raw/repayments/part-0.parquet"));
    let small = repayments().without("amount_due_minor").int("amount_due_minor", [7, 8]).text("status", ["A", "B"]);
    small.write(&at.work.path("raw/repayments/part-1.parquet"));
    at.pseudonymise("raw", "safe", &[]).expect(0);
    let mode = |name: &str| std::fs::metadata(at.work.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("safe"), mode("safe/repayments.parquet")), (0o700, 0o600));
    let path = at.work.path("safe/repayments.parquet");
    assert_eq!(column(&path, "amount_due_minor").as_primitive::<Int64Type>().values(), &[10_000, 20_000, 7, 8]);
    assert_eq!(words(&path, "status"), [None, None, Some("A".to_owned()), Some("B".to_owned())]);
}

#[test]
fn free_text_is_refused_with_its_place_and_nothing_is_written() {
    let at = Setting::new();
    let cases: [(&str, Export, &str); 5] = [
        ("free text", repayments().text("status", ["A", "call Wang Fang back"]), "the column `status`, row 1"),
        ("personal data", repayments().text("status", ["13812345678", "A"]), "the column `status`, row 0"),
        ("none of the words", repayments().text("product", ["instalment", "Wang Fang"]), "the column `product`, row 1"),
        ("ISO 4217", repayments().text("currency", ["Wang", "CNY"]), "the column `currency`, row 0"),
        (
            "more than 1,024 bytes",
            repayments().text("account_id", ["a", &"x".repeat(1_025)]),
            "the column `account_id`, row 1",
        ),
    ];
    for (why, export, place) in cases {
        at.small("raw");
        export.write(&at.work.path("raw/repayments.parquet"));
        let ended = at.pseudonymise("raw", "safe", &[]).expect(2).says(why).says(place).says("repayments.parquet");
        for value in ["Wang", "13812345678", "xxxx"] {
            assert!(!ended.err.contains(value) && !ended.out.contains(value), "{}", ended.err);
        }
        at.clean("safe");
    }
    // All of it at once.
    at.small("raw");
    repayments()
        .text("status", ["a b", "c d"])
        .text("product", ["x", "y"])
        .write(&at.work.path("raw/repayments.parquet"));
    let consents = Export::new().text("subject_id", ["s1"]).text("purpose", ["release"]).text("partner_id", ["Li Wei"]);
    consents.instants("granted_at", &[Some("2024-01-01")]).write(&at.work.path("raw/consents.parquet"));
    let ended = at.pseudonymise("raw", "safe", &[]).expect(2).says("`status`").says("`product`").says("`partner_id`");
    assert_eq!(ended.err.matches("(from 0)").count(), 3, "{}", ended.err);
    at.clean("safe");
}

#[test]
fn a_key_is_named_and_never_given() {
    let at = Setting::new();
    at.small("raw");
    let with = |args: &[&str]| at.work.sesame(["pseudonymise", "raw", "safe"].iter().chain(args));
    let literal = with(&["--key", KEY]).expect(2).says("never the key itself");
    assert!(!literal.err.contains(KEY), "{}", literal.err);
    with(&["--key", "env:SESAME_NO_SUCH_KEY"]).expect(2).says("SESAME_NO_SUCH_KEY is not set");
    with(&["--key", "file:no-such-file"]).expect(2).says("no-such-file");
    with(&["--key", "cmd:exit 3"]).expect(2).says("--key: the command ended");
    std::fs::write(at.work.path("short"), "short").unwrap();
    with(&["--key", "file:short"]).expect(2).says("5 bytes");
    let named = with(&["--key", "file:key", "--key-id", KEY]).expect(2).says("holds the key itself");
    assert!(!named.err.contains(KEY), "{}", named.err);
    with(&["--key", "file:key", "--key-id", "a b"]).expect(2).says("--key-id: write");
    with(&[]).expect(2).says("--key");
    at.clean("safe");
    // However it is named, it is the same key.
    let mut variable = at.work.command(["pseudonymise", "raw", "by-variable", "--key", "env:SESAME_TEST_KEY"]);
    at.work.ended(variable.env("SESAME_TEST_KEY", KEY)).expect(0);
    at.work.sesame(["pseudonymise", "raw", "by-command", "--key", "cmd:cat key"]).expect(0);
    at.work.sesame(["pseudonymise", "raw", "by-file", "--key", "file:key"]).expect(0);
    let bytes = |folder: &str| std::fs::read(at.work.path(&format!("{folder}/subjects.parquet"))).unwrap();
    assert!(bytes("by-variable") == bytes("by-command") && bytes("by-command") == bytes("by-file"));
}

#[test]
fn a_run_refuses_exports_of_different_keys() {
    let at = Setting::new();
    at.small("raw");
    at.pseudonymise("raw", "safe", &[]).expect(0);
    at.work.sesame(["pseudonymise", "raw", "elsewhere", "--key", "file:other", "--key-id", "tests-1"]).expect(0);
    at.work.sesame(["pseudonymise", "raw", "renamed", "--key", "file:key", "--key-id", "tests-2"]).expect(0);
    at.work.run_small(&at.work.path("safe"), "out", &[]).expect(0);
    for from in ["elsewhere", "renamed", "raw"] {
        let mixed = format!("mixed-{from}");
        std::fs::create_dir(at.work.path(&mixed)).unwrap();
        at.work.copy(&at.work.path("safe/subjects.parquet"), &format!("{mixed}/subjects.parquet"));
        at.work.copy(&at.work.path(&format!("{from}/repayments.parquet")), &format!("{mixed}/repayments.parquet"));
        let ended = at.work.run_small(&at.work.path(&mixed), &format!("out-{from}"), &[]).expect(2);
        let ended = ended.says("subjects.parquet").says("repayments.parquet").says("`tests-1` (check ");
        ended.says(if from == "raw" { "not pseudonymised" } else { "would never join" });
        assert!(
            !at.work.path(&format!("out-{from}/scores")).exists()
                || files(&at.work.path(&format!("out-{from}/scores"))).is_empty()
        );
    }
    // Sources name no subject: they may be plain where no row names one, and not where a row does.
    let sources = Export::new().text("source_id", ["bank"]).text("kind", ["lender"]).double("reliability", [0.5]);
    at.work.copy(&at.work.path("safe"), "with-sources");
    sources.write(&at.work.path("with-sources/sources.parquet"));
    at.work.run_small(&at.work.path("with-sources"), "out-sources", &[]).expect(0);
    repayments().text("source_id", ["bank", "bank"]).write(&at.work.path("raw/repayments.parquet"));
    at.pseudonymise("raw", "named-sources", &[]).expect(0);
    sources.write(&at.work.path("named-sources/sources.parquet"));
    at.work.run_small(&at.work.path("named-sources"), "out-named", &[]).expect(2).says("source ids");
}

#[test]
fn what_stands_at_the_place_is_never_touched() {
    let at = Setting::new();
    at.small("raw");
    std::fs::create_dir(at.work.path("taken")).unwrap();
    std::fs::write(at.work.path("taken/mine.txt"), "mine").unwrap();
    at.pseudonymise("raw", "taken", &[]).expect(2).says("not empty");
    at.pseudonymise("raw", "key", &[]).expect(2).says("no folder");
    std::os::unix::fs::symlink("elsewhere", at.work.path("link")).unwrap();
    at.pseudonymise("raw", "link", &[]).expect(2);
    assert_eq!(std::fs::read_to_string(at.work.path("taken/mine.txt")).unwrap(), "mine");
    assert_eq!(files(&at.work.path("taken")).len(), 1);
    at.pseudonymise("raw", "raw/below", &[]).expect(2).says("which is read");
    at.pseudonymise("raw", "raw", &[]).expect(2).says("not empty");
    at.pseudonymise("nowhere", "safe", &[]).expect(2).says("nowhere");
    at.pseudonymise("taken", "safe", &[]).expect(2).says("holds no table");
    at.clean("safe");
    // A file that ends too early.
    let bytes = std::fs::read(at.work.path("raw/repayments.parquet")).unwrap();
    std::fs::write(at.work.path("raw/repayments.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    at.pseudonymise("raw", "safe", &[]).expect(2).says("repayments.parquet");
    at.clean("safe");
    at.small("raw");
    std::fs::create_dir(at.work.path("empty")).unwrap();
    at.pseudonymise("raw", "empty", &[]).expect(0);
    assert_eq!(files(&at.work.path("empty")).len(), 2);
    at.pseudonymise("empty", "twice", &[]).expect(2).says("pseudonyms already");
    at.clean("twice");
}

#[test]
fn killed_it_leaves_nothing_or_all_of_it() {
    let at = Setting::new();
    at.small("raw");
    let killed = |to: &str, step: &str| {
        let mut command = at.work.command(["pseudonymise", "raw", to, "--key", "file:key"]);
        assert_eq!(at.work.ended(command.env("SESAME_KILL_AT", step)).code, -1, "{step}");
    };
    killed("safe", "pseudonyms written");
    assert!(!at.work.path("safe").exists());
    killed("safe", "pseudonyms in their place");
    assert_eq!(files(&at.work.path("safe")).len(), 2);
    at.pseudonymise("safe", "more", &[]).expect(2).says("pseudonyms already");
    at.pseudonymise("raw", "again", &[]).expect(0);
    let ids = |folder: &str| words(&at.work.path(&format!("{folder}/subjects.parquet")), "subject_id");
    assert_eq!(ids("safe"), ids("again"));
}

#[test]
fn an_empty_id_and_an_empty_table_stay_what_they_are() {
    let at = Setting::new();
    let strange = Export::new()
        .text_or_null("subject_id", &[Some("s1"), Some(""), None])
        .text("kind", ["consumer", "consumer", "small_business"])
        .column("identity_level", Arc::new(Int32Array::from(vec![Some(9), None, Some(1)])));
    strange.write(&at.work.path("raw/subjects.parquet"));
    let none = RecordBatch::new_empty(repayments().batch().schema());
    crate::exports::write(&at.work.path("raw/repayments.parquet"), &none);
    at.pseudonymise("raw", "safe", &[]).expect(0);
    let path = at.work.path("safe/subjects.parquet");
    assert_eq!(words(&path, "subject_id"), [at.name("subject", "s1"), Some(String::new()), None]);
    let levels = column(&path, "identity_level");
    assert_eq!(levels.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(9), None, Some(1)]);
    assert_eq!(read(&at.work.path("safe/repayments.parquet")).num_rows(), 0);
    let ids: StringArray = read(&path).column(0).as_string::<i32>().clone();
    assert_eq!(ids.null_count(), 1);
}
