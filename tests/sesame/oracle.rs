//! The local kernel against other engines: the emitted SQL, run by DuckDB and by Polars over the same visible rows, must yield
//! equal columns for every subject. They are Python's; where there is none (`SESAME_PYTHON` names one with
//! `tests/oracle/requirements.txt`), the rows are written and compared with nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command as Process;
use std::sync::atomic::AtomicBool;

use arrow::array::{Float64Array, Int64Array, RecordBatch};
use clap::Parser;
use sesame::command::{Cli, Command};
use sesame::engine::bridge::from_frame;
use sesame::features::comparable::{Comparable, comparable};
use sesame::features::compute::Computer;
use sesame::features::sql;
use sesame::job::load::load;
use sesame::machine::resources::Resources;
use sesame::output::{LogFormat, Output};

use crate::exports::write;
use crate::workdir::{Workdir, inputs, repository};

fn compare(pipeline: &[String], export_subjects: usize) {
    let Command::Run(args) = Cli::try_parse_from(pipeline).unwrap().command else { panic!("not a run") };
    let (stop, log) = (AtomicBool::new(false), Output::new(true, LogFormat::Text));
    let request = args.pipeline.request(Some(&args.as_of));
    let job = load(&args.pipeline.load().unwrap(), &request, &log).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let resources = Resources { memory: 1 << 30, scratch: scratch.path().to_owned(), stop: &stop, log: &log };
    let budget = resources.budget();
    let snapshots = [job.snapshot.clone()];
    let pass = job.pass(&snapshots, &budget, &resources);
    let ingested = pass.run(&job.present()).unwrap();
    assert_eq!(ingested.spine.len(), export_subjects);
    let computer = Computer::new(&job.plan, &ingested.layouts, &job.snapshot.calendar).unwrap();
    let rows = tempfile::tempdir().unwrap();
    std::fs::write(rows.path().join("features.sql"), sql::features(&job.plan)).unwrap();
    for bucket in 0..ingested.buckets.count() {
        let Comparable { tables, features } =
            comparable(&ingested, &job.plan, &computer, &job.snapshot.calendar, bucket).unwrap();
        let folder = rows.path().join(format!("bucket={bucket}"));
        for (table, frame) in tables {
            write(&folder.join(format!("{table}.parquet")), &from_frame(frame).unwrap());
        }
        let mut columns = Vec::new();
        for (n, feature) in job.plan.features.iter().enumerate() {
            let values: Float64Array = features.values[n].iter().map(|v| (!v.is_nan()).then_some(*v)).collect();
            let nones: Int64Array = features.nones[n].iter().map(|none| i64::from(*none)).collect();
            columns.push((feature.name.clone(), std::sync::Arc::new(values) as arrow::array::ArrayRef));
            columns.push((feature.none_column(), std::sync::Arc::new(nones)));
        }
        write(&folder.join("expected.parquet"), &RecordBatch::try_from_iter(columns).unwrap());
    }
    others_agree(rows.path());
}

/// Has the other engines compute the features over the same rows.
fn others_agree(rows: &Path) {
    let Some(python) = std::env::var_os("SESAME_PYTHON") else {
        eprintln!("SESAME_PYTHON names no Python: no other engine was asked");
        return;
    };
    let script = repository("tests/oracle/portable.py");
    let ended = Process::new(python).arg(script).arg(rows).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
}

#[test]
fn the_kernel_equals_other_engines_on_the_sample() {
    let mut args =
        vec!["sesame".to_owned(), "run".to_owned(), repository("pipelines/nightly.toml").display().to_string()];
    args.extend(inputs(&repository("data-samples/small")));
    compare(&args, 1000);
}

#[test]
fn the_kernel_equals_other_engines_on_several_buckets_and_another_date() {
    let work = Workdir::new();
    let export = work.path("export");
    work.sesame([
        "generate",
        export.to_str().unwrap(),
        "--subjects",
        "9000",
        "--seed",
        "5",
        "--months",
        "14",
        "--as-of",
        "2025-03-31",
    ])
    .expect(0);
    let mut args =
        vec!["sesame".to_owned(), "run".to_owned(), repository("pipelines/nightly.toml").display().to_string()];
    args.extend(inputs(&export));
    args.extend(["--as-of".to_owned(), "2025-02-27".to_owned(), "--known-by".to_owned(), "2025-03-15".to_owned()]);
    // Those who registered after the as-of date are not there yet.
    let registered = {
        let file = std::fs::File::open(export.join("subjects.parquet")).unwrap();
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let mut ids = BTreeSet::new();
        for batch in reader {
            let batch = batch.unwrap();
            let day = batch.column_by_name("registered_on").unwrap().clone();
            let day = arrow::array::AsArray::as_primitive::<arrow::datatypes::Date32Type>(&day).clone();
            let id = batch.column_by_name("subject_id").unwrap().clone();
            let id = arrow::array::AsArray::as_string::<i32>(&id).clone();
            let as_of = sesame::contract::day_number(jiff::civil::date(2025, 2, 27)).unwrap();
            ids.extend(
                (0..batch.num_rows()).filter(|r| i64::from(day.value(*r)) <= as_of).map(|r| id.value(r).to_owned()),
            );
        }
        ids.len()
    };
    compare(&args, registered);
}
