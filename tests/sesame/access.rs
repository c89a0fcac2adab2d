//! What a subject is told: everything that a search of every table finds, and nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use serde_json::Value;

use crate::exports::{read, write};
use crate::workdir::{Ended, Workdir, repository};

const KEY: &str = "the key of partner a, of the tests";

/// The sample scored at two dates and released to a partner.
fn scene() -> Workdir {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--as-of", "2025-09-30", "--set", "gates.max_age_days=9999"]).expect(0);
    work.run(&small, "out", &[]).expect(0);
    let partners = "[[partner]]\nid = \"partner-a\"\ntitle = \"A\"\ncolumns = [\"score\", \"band\"]\nkey = \"env:KEY_A\"\nkey_id = \"a-1\"\nkey_period = \"2025-Q4\"\n";
    std::fs::write(work.path("partners.toml"), partners).unwrap();
    sesame(&work, "release", &["--partner", "partner-a"]).expect(0);
    work
}

fn sesame(work: &Workdir, command: &str, more: &[&str]) -> Ended {
    let partners = format!("partners=\"{}\"", work.path("partners.toml").display());
    let more: Vec<&str> = more.iter().copied().chain(["--set", &partners]).collect();
    let mut args = work.arguments(command, &repository("data-samples/small"), "out", &more);
    if command == "access" {
        // The subject comes after the pipeline.
        let at = args.iter().position(|a| a == more[0]).unwrap();
        let subject = args.remove(at);
        args.insert(2, subject);
    }
    work.ended(work.command(args).env("KEY_A", KEY))
}

fn answer(work: &Workdir, subject: &str) -> (Value, String) {
    let out = sesame(work, "access", &[subject, "--format", "json"]).expect(0).out;
    (serde_json::from_str(&out).unwrap(), out)
}

/// The files of the sample by table.
fn inputs() -> Vec<(String, PathBuf)> {
    let root = repository("data-samples/small");
    let files = glob::glob(root.join("**/*.parquet").to_str().unwrap()).unwrap().map(Result::unwrap);
    let table = |path: &Path| {
        let first =
            path.strip_prefix(&root).unwrap().components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        first.trim_end_matches(".parquet").to_owned()
    };
    files.map(|path| (table(&path), path)).collect()
}

fn column(table: &RecordBatch, name: &str) -> Option<Vec<String>> {
    let array = table.column_by_name(name)?;
    Some((0..table.num_rows()).map(|n| array_value_to_string(array, n).unwrap()).collect())
}

/// The rows of a subject, by table, as the ids of its records; and everyone's ids.
fn searched(subjects: &[&str]) -> (Vec<BTreeMap<String, Vec<String>>>, BTreeSet<String>) {
    let (mut found, mut everyone) = (vec![BTreeMap::new(); subjects.len()], BTreeSet::new());
    for (name, path) in inputs() {
        let table = read(&path);
        let Some(ids) = column(&table, "subject_id") else { continue };
        let record = if name == "disputes" { "dispute_id" } else { "record_id" };
        let records = column(&table, record);
        for (n, id) in ids.iter().enumerate() {
            if let Some(at) = subjects.iter().position(|s| s == id) {
                let record = records.as_ref().map_or_else(String::new, |r| r[n].clone());
                found[at].entry(name.clone()).or_insert_with(Vec::new).push(record);
            }
        }
        if name == "subjects" {
            everyone.extend(ids);
        }
    }
    (found, everyone)
}

fn value(values: &Value, name: &str) -> Option<String> {
    values.as_array().unwrap().iter().find(|v| v["name"] == name).map(|v| v["value"].as_str().unwrap().to_owned())
}

/// Some subjects: of the beginning, the middle and the end, one that is disputed and one that was released.
fn subjects(work: &Workdir) -> Vec<String> {
    let latest = read(&work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
    let ids = column(&latest, "subject_id").unwrap();
    let disputed = latest.column_by_name("disputed_records").unwrap();
    let disputed = disputed.as_primitive::<arrow::datatypes::Int32Type>().clone();
    let mut all: Vec<String> = [0, 333, 500, 999].map(|n| ids[n].clone()).into();
    all.extend((0..ids.len()).filter(|n| disputed.value(*n) > 0).take(2).map(|n| ids[n].clone()));
    assert!(all.len() > 5);
    all
}

#[test]
fn everything_that_a_search_of_every_table_finds_is_told_and_nobody_else() {
    let work = scene();
    let subjects = subjects(&work);
    let names: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let (found, everyone) = searched(&names);
    let mut standings = BTreeSet::new();
    for (subject, found) in names.iter().zip(&found) {
        let (it, text) = answer(&work, subject);
        let tables = it["tables"].as_array().unwrap();
        for (table, records) in found {
            let told =
                tables.iter().find(|t| t["table"] == table.as_str()).unwrap_or_else(|| panic!("{subject}: {table}"));
            let rows = told["rows"].as_array().unwrap();
            let id = |row: &Value| {
                let values = &row["values"];
                value(values, "record_id")
                    .filter(|_| table != "disputes")
                    .or_else(|| value(values, "dispute_id"))
                    .unwrap_or_default()
            };
            let (mut told, mut records) = (rows.iter().map(id).collect::<Vec<_>>(), records.clone());
            told.sort();
            records.sort();
            assert!(table == "disputes" || told == records, "{subject}: {table} {told:?} {records:?}");
            assert!(records.iter().all(|r| told.contains(r)), "{subject}: {table}");
            standings.extend(rows.iter().map(|r| r["standing"].as_str().unwrap().to_owned()));
        }
        // Runs: every column of the table that has a value, and every feature.
        let runs = it["runs"].as_array().unwrap();
        assert_eq!(runs.iter().map(|r| r["as_of"].as_str().unwrap()).collect::<Vec<_>>(), ["2025-09-30", "2025-10-31"]);
        for run in runs {
            let folder = work.path(&format!("out/runs/{}", run["run"].as_str().unwrap()));
            let scores = read(&folder.join("scores.parquet"));
            let place = column(&scores, "subject_id").unwrap().iter().position(|id| id == subject).unwrap();
            holds(&scores, place, &run["score"]);
            for path in glob::glob(folder.join("features/*.parquet").to_str().unwrap()).unwrap().map(Result::unwrap) {
                let category = path.file_stem().unwrap().to_str().unwrap().to_owned();
                holds(&read(&path), place, &run["features"][category.as_str()]);
            }
            let mut adverse = 0;
            for path in glob::glob(folder.join("evidence/*.parquet").to_str().unwrap()).unwrap().map(Result::unwrap) {
                adverse += column(&read(&path), "subject_id").unwrap().iter().filter(|id| id == subject).count();
            }
            assert_eq!(run["records"].as_array().unwrap().len(), adverse, "{subject}");
        }
        let others = [
            text,
            sesame(&work, "access", &[subject]).expect(0).out,
            sesame(&work, "access", &[subject, "--format", "html", "--language", "zh"]).expect(0).out,
        ];
        for text in &others {
            assert!(text.contains(subject));
            let other = everyone.iter().find(|id| id != subject && text.contains(id.as_str()));
            assert_eq!(other, None, "{subject} is told of another");
        }
        assert!(others[2].contains("<html lang=\"zh\">") && others[2].contains("谁收到了什么"));
    }
    assert!(standings.contains("counts") && standings.contains("disputed"), "{standings:?}");
}

/// Every value of a row is told by its name.
fn holds(table: &RecordBatch, row: usize, told: &Value) {
    for (field, array) in table.schema().fields().iter().zip(table.columns()) {
        let name = field.name().as_str();
        let expected = array.is_valid(row).then(|| array_value_to_string(array, row).unwrap());
        if name == "subject_id" || (name.ends_with("__none") && expected.as_deref() == Some("false")) {
            continue;
        }
        assert_eq!(value(told, name), expected, "{name}");
    }
}

#[test]
fn every_release_is_told_with_its_values_and_a_key_that_is_missing_is_said() {
    let work = scene();
    let given = read(&work.path("out/releases/partner=partner-a/as_of=2025-10-31/release.parquet"));
    let scores = read(&work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
    let (ids, points) = (column(&scores, "subject_id").unwrap(), column(&scores, "score").unwrap());
    let mut told = 0;
    for n in (0..ids.len()).step_by(40) {
        let (it, _) = answer(&work, &ids[n]);
        let releases = it["releases"].as_array().unwrap();
        if let [release] = releases.as_slice() {
            assert_eq!(
                (release["partner"].as_str(), release["as_of"].as_str()),
                (Some("partner-a"), Some("2025-10-31"))
            );
            assert_eq!(value(&release["values"], "score").as_ref(), Some(&points[n]));
            let name = release["pseudonym"].as_str().unwrap();
            assert!(column(&given, "pseudonym").unwrap().iter().any(|p| p == name));
            told += 1;
        } else {
            assert!(releases.is_empty());
        }
    }
    assert!(told > 2, "{told} of 25 were released");
    let mut args = work.arguments("access", &repository("data-samples/small"), "out", &["--format", "text"]);
    args.insert(2, ids[0].clone());
    args.extend(["--set".to_owned(), format!("partners=\"{}\"", work.path("partners.toml").display())]);
    work.sesame(&args).expect(0).says("KEY_A is not set").says("The partner's key is not available");
}

/// The sample with integers for its subjects, by the order of their ids.
fn of_integers(to: &Path) {
    let root = repository("data-samples/small");
    let (_, everyone) = searched(&[]);
    let numbers: BTreeMap<&str, i64> = everyone.iter().map(String::as_str).zip(0..).collect();
    let number = |id: &str| numbers.get(id).copied().unwrap_or(1_000_000);
    for (_, path) in inputs() {
        let table = read(&path);
        let mut fields: Vec<Field> = table.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut columns = table.columns().to_vec();
        for (field, column) in fields.iter_mut().zip(&mut columns) {
            if ["subject_id", "subject_a", "subject_b"].contains(&field.name().as_str()) {
                let texts = arrow::compute::cast(column, &DataType::Utf8).unwrap();
                let numbers: Int64Array = texts.as_string::<i32>().iter().map(|id| id.map(&number)).collect();
                *column = Arc::new(numbers);
                *field = Field::new(field.name(), DataType::Int64, true);
            }
        }
        let table = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        write(&to.join(path.strip_prefix(&root).unwrap()), &table);
    }
}

#[test]
fn an_id_finds_the_same_however_it_is_written() {
    let work = Workdir::new();
    of_integers(&work.path("export"));
    work.run(&work.path("export"), "out", &[]).expect(0);
    let partners = "[[partner]]\nid='partner-a'\ntitle='A'\nkey='env:KEY_A'\nkey_id='a-1'\nkey_period='2025-Q4'\n";
    std::fs::write(work.path("partners.toml"), partners).unwrap();
    let set = format!("partners=\"{}\"", work.path("partners.toml").display());
    let sesame = |command: &str, more: &[&str]| {
        let mut args = work.arguments(command, &work.path("export"), "out", &["--format", "json", "--set", &set]);
        drop(args.splice(2..2, more.iter().map(ToString::to_string)));
        work.ended(work.command(args).env("KEY_A", KEY)).expect(0).out
    };
    sesame("release", &["--partner", "partner-a"]);
    let answer = |id: &str| {
        let mut told: Value = serde_json::from_str(&sesame("access", &[id])).unwrap();
        told.as_object_mut().unwrap().remove("at");
        told
    };
    let released =
        (0..200).map(|id| answer(&id.to_string())).find(|told| !told["releases"].as_array().unwrap().is_empty());
    let told = released.unwrap();
    let id = told["subject"].as_str().unwrap();
    assert!(told["releases"][0]["pseudonym"].is_string(), "{told}");
    assert_eq!((answer(&format!("00{id}")), answer(&format!("+{id}"))), (told.clone(), told.clone()));
}

#[test]
fn an_answer_can_be_written_for_the_user_alone_and_nobody_is_told_to_be_nobody() {
    use std::os::unix::fs::PermissionsExt;

    let work = scene();
    let subject = subjects(&work).remove(0);
    let file = work.path("answer.html");
    sesame(&work, "access", &[&subject, "--format", "html", "--out", file.to_str().unwrap()]).expect(0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&file).unwrap().contains(&subject));
    let inside = work.path("out/answer.html");
    sesame(&work, "access", &[&subject, "--out", inside.to_str().unwrap()]).expect(2).says("output folder");
    sesame(&work, "access", &["nobody-of-that-name"]).expect(2).says("nothing is held");
    sesame(&work, "access", &[&subject, "--language", "xx"]).expect(2).says("en, zh");
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}
