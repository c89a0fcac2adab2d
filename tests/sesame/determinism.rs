//! The same scores are the same bytes: for any number of threads, order of rows, number of files and amount of memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use fastrand::Rng;

use crate::exports::{read, write};
use crate::workdir::{Workdir, repository};

fn all(table: &Path) -> Vec<RecordBatch> {
    let pattern = if table.is_dir() { table.join("**/*.parquet") } else { table.to_owned() };
    let mut files: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
    files.sort();
    files.iter().map(|f| read(f)).collect()
}

/// The sample's rows, one file per table, shuffled or not, cut into so many files.
fn rearranged(to: &Path, seed: Option<u64>, files: usize) {
    let small = repository("data-samples/small");
    for entry in std::fs::read_dir(&small).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let parts = all(&path);
        let mut whole = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
        if let Some(seed) = seed {
            let mut order: Vec<u64> = (0..whole.num_rows() as u64).collect();
            Rng::with_seed(seed).shuffle(&mut order);
            whole = take_record_batch(&whole, &UInt64Array::from(order)).unwrap();
        }
        let cut = whole.num_rows().div_ceil(files).max(1);
        for (n, from) in (0..whole.num_rows()).step_by(cut).enumerate() {
            write(&to.join(&name).join(format!("{n}.parquet")), &whole.slice(from, cut.min(whole.num_rows() - from)));
        }
    }
}

#[test]
fn scores_are_the_same_bytes_however_the_rows_come() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "plain", &[]).expect(0);
    let expected = work.scores("plain");
    assert!(expected.len() > 10_000);
    work.run(&small, "one", &["--threads", "1"]).expect(0);
    work.run(&small, "two", &["--threads", "2"]).expect(0);
    work.run(&small, "spilled", &["--threads", "2", "--memory", "1KB"]).expect(0);
    for output in ["one", "two", "spilled"] {
        assert!(work.scores(output) == expected, "{output} differs");
    }
    for (name, seed, files) in [("single", None, 1), ("many", None, 7), ("shuffled", Some(11), 3)] {
        rearranged(&work.path(name), seed, files);
        work.run(&work.path(name), &format!("{name}-out"), &[]).expect(0);
        assert!(work.scores(&format!("{name}-out")) == expected, "{name} differs");
    }
}

/// Every file among the stages of an output, by its path.
fn stages(output: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let pattern = output.join("stages/*/*/*");
    let files = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap);
    files.map(|file| (file.strip_prefix(output).unwrap().to_owned(), std::fs::read(file).unwrap())).collect()
}

#[test]
fn stages_are_the_same_bytes_for_any_number_of_threads() {
    let work = Workdir::new();
    // Links of many files, which are read in no order.
    rearranged(&work.path("many"), Some(5), 40);
    work.run(&work.path("many"), "one", &["--threads", "1"]).expect(0);
    let expected = stages(&work.path("one"));
    assert!(expected.keys().any(|file| file.ends_with("ties.parquet")) && expected.len() > 10);
    for output in ["four", "again", "eight"] {
        work.run(&work.path("many"), output, &["--threads", if output == "eight" { "8" } else { "4" }]).expect(0);
        let found = stages(&work.path(output));
        assert!(found.keys().eq(expected.keys()), "{output} has other files");
        for (file, bytes) in &found {
            assert!(*bytes == expected[file], "{} of {output} differs", file.display());
        }
    }
}

/// The sample with other ids of its subjects, which are to sort as theirs do.
fn renamed(to: &Path, id: fn(usize) -> String) {
    let small = repository("data-samples/small");
    let pattern = small.join("**/*.parquet");
    let files: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
    let named = |field: &Field| ["subject_id", "subject_a", "subject_b"].contains(&field.name().as_str());
    let mut all = BTreeSet::new();
    for table in files.iter().map(|file| read(file)) {
        for (_, column) in table.schema().fields().iter().zip(table.columns()).filter(|(field, _)| named(field)) {
            let texts = cast(column, &DataType::Utf8).unwrap();
            all.extend(texts.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
    }
    let names: BTreeMap<String, String> = all.into_iter().enumerate().map(|(n, old)| (old, id(n))).collect();
    for file in &files {
        let table = read(file);
        let mut fields: Vec<Field> = table.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut columns: Vec<ArrayRef> = table.columns().to_vec();
        for (field, column) in fields.iter_mut().zip(&mut columns).filter(|(field, _)| named(field)) {
            let texts = cast(column, &DataType::Utf8).unwrap();
            let others = texts.as_string::<i32>().iter().map(|old| old.map(|old| names[old].as_str()));
            let others: StringArray = others.collect();
            *field = Field::new(field.name(), DataType::Utf8, true);
            *column = Arc::new(others);
        }
        let table = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        write(&to.join(file.strip_prefix(&small).unwrap()), &table);
    }
}

#[test]
fn scores_are_the_same_however_long_the_subjects_ids_are() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "plain", &[]).expect(0);
    let columns = |output: &str| {
        let mut scores = read(&work.scores_path(output));
        let ids = scores.remove_column(scores.schema().index_of("subject_id").unwrap());
        (ids, scores.columns().to_vec())
    };
    let (ids, expected) = columns("plain");
    assert!(ids.len() > 500 && expected.len() > 10);
    // A word, of a usual length, of another one, and of different lengths.
    type Form = (&'static str, fn(usize) -> String);
    let forms: [Form; 4] = [
        ("word", |n| format!("{n:07}z")),
        ("usual", |n| format!("{n:023}z")),
        ("unusual", |n| format!("{n:010}z")),
        ("various", |n| format!("{n:05}{}", "z".repeat(1 + n % 19))),
    ];
    for (name, id) in forms {
        renamed(&work.path(name), id);
        let output = format!("{name}-out");
        work.run(&work.path(name), &output, &[]).expect(0);
        let (others, found) = columns(&output);
        assert!(others.as_ref() != ids.as_ref() && found == expected, "{name} differs");
    }
}

#[test]
fn a_seed_makes_the_same_population_for_any_number_of_threads() {
    let work = Workdir::new();
    for (name, threads) in [("a", "1"), ("b", "2")] {
        let folder = work.path(name);
        work.sesame([
            "generate",
            folder.to_str().unwrap(),
            "--subjects",
            "300",
            "--seed",
            "9",
            "--months",
            "6",
            "--threads",
            threads,
        ])
        .expect(0);
    }
    let files: Vec<_> =
        glob::glob(work.path("a/**/*.parquet").to_str().unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(files.len() >= 11, "{files:?}");
    for file in files {
        let other = work.path("b").join(file.strip_prefix(work.path("a")).unwrap());
        assert!(std::fs::read(&file).unwrap() == std::fs::read(&other).unwrap(), "{} differs", file.display());
    }
}

#[test]
fn the_sample_is_what_its_catalogue_says_it_is() {
    let work = Workdir::new();
    let again = work.path("again");
    work.sesame(["generate", again.to_str().unwrap(), "--subjects", "1000", "--seed", "20251031"]).expect(0);
    for file in glob::glob(again.join("**/*.parquet").to_str().unwrap()).unwrap() {
        let file = file.unwrap();
        let kept = repository("data-samples/small").join(file.strip_prefix(&again).unwrap());
        assert!(std::fs::read(&file).unwrap() == std::fs::read(&kept).unwrap(), "{} differs", kept.display());
    }
}
