//! The same scores are the same bytes: for any number of threads, order of rows, number of files and amount of memory.

use std::path::Path;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
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
