//! The local kernel against its oracle: the emitted SQL, run by Polars SQL over the same visible rows, must yield equal
//! columns for every subject.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use polars::prelude::{DataType, IntoLazy};
use polars::sql::SQLContext;
use sesame::command::{Cli, Command};
use sesame::features::comparable::{Comparable, comparable};
use sesame::features::compute::Computer;
use sesame::features::sql;
use sesame::job::load::load;
use sesame::machine::resources::Resources;
use sesame::output::{LogFormat, Output};

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
    let statement = sql::features(&job.plan);
    for bucket in 0..ingested.buckets.count() {
        let Comparable { tables, features } =
            comparable(&ingested, &job.plan, &computer, &job.snapshot.calendar, bucket).unwrap();
        let count = ingested.buckets.subjects(bucket).len();
        let mut context = SQLContext::new();
        for (table, frame) in tables {
            context.register(&table, frame.lazy());
        }
        let oracle = context.execute(&statement).unwrap().collect().unwrap();
        assert_eq!(oracle.height(), count);
        for (n, feature) in job.plan.features.iter().enumerate() {
            let column = oracle.column(&feature.name).unwrap().cast(&DataType::Float64).unwrap();
            let none = oracle.column(&feature.none_column()).unwrap().cast(&DataType::Int64).unwrap();
            let (values, nones) = (column.f64().unwrap(), none.i64().unwrap());
            let mut told = 0;
            for s in 0..count {
                let (mine, theirs) = (features.values[n][s], values.get(s));
                let alike = theirs.map_or(mine.is_nan(), |t| t.to_bits() == mine.to_bits());
                assert!(alike, "{} of subject {s}: kernel {mine}, SQL {theirs:?}", feature.name);
                assert_eq!(
                    i64::from(features.nones[n][s]),
                    nones.get(s).unwrap(),
                    "{} of subject {s}",
                    feature.none_column()
                );
                told += usize::from(theirs.is_some());
            }
            assert!(told > 0 || !statement.contains("FROM repayments"), "{} is null for everyone", feature.name);
        }
    }
}

#[test]
fn the_kernel_equals_polars_sql_on_the_sample() {
    let mut args =
        vec!["sesame".to_owned(), "run".to_owned(), repository("pipelines/nightly.toml").display().to_string()];
    args.extend(inputs(&repository("data-samples/small")));
    compare(&args, 1000);
}

#[test]
fn the_kernel_equals_polars_sql_on_several_buckets_and_another_date() {
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
