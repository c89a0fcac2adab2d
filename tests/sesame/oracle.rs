//! The local kernel against its oracle: the emitted SQL, run by Polars SQL over the same visible rows, must yield equal
//! columns for every subject.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use polars::prelude::*;
use polars::sql::SQLContext;
use sesame::NULL;
use sesame::cli::{Cli, Command};
use sesame::command::prepare::{Prepared, prepare};
use sesame::contract::{ColumnType, Table};
use sesame::engine::Frame;
use sesame::features::compute::Computer;
use sesame::features::sql;
use sesame::ingest::bucket::Cleaner;
use sesame::ingest::pass::{Ingested, Pass};
use sesame::ingest::resolve::resolve;
use sesame::ingest::scan::Findings;
use sesame::ingest::store::{BucketRows, Budget};
use sesame::ingest::subjects;
use sesame::output::{LogFormat, Output};

use crate::workdir::{Workdir, inputs, repository};

/// The rows that count of every table of one bucket, as the kernel gets them.
struct Visible {
    subjects: BucketRows,
    tables: BTreeMap<String, BucketRows>,
}

fn visible(prepared: &Prepared, ingested: &Ingested, bucket: usize) -> Visible {
    let count = ingested.buckets.subjects(bucket).len();
    let layout = &ingested.layouts["subjects"];
    let rows = ingested.stores["subjects"].take(bucket, layout.width, false).unwrap();
    let files = vec![PathBuf::from("subjects")];
    let subjects = subjects::latest(&rows, layout, &files, &mut Findings::default()).unwrap();
    let mut tables = BTreeMap::new();
    for table in &prepared.plan.tables {
        let layout = &ingested.layouts[&table.table];
        let rows = ingested.stores[&table.table].take(bucket, layout.width, false).unwrap();
        let resolved = resolve(rows, layout, &vec![true; count], None, &mut Findings::default()).unwrap();
        tables.insert(table.table.clone(), resolved.rows);
    }
    Visible { subjects, tables }
}

/// Clean rows as SQL expects them: words instead of codes, Booleans instead of 0 and 1.
fn frame(table: &Table, clean: &Frame, rows: &BucketRows) -> DataFrame {
    let owner = (0..rows.starts.len() - 1).flat_map(|s| rows.of(s).map(move |_| s as i64)).collect::<Vec<_>>();
    let mut columns = vec![Column::new("subject_id".into(), owner)];
    for name in clean.names() {
        let values = clean.values(name).unwrap();
        let known = |v: &i64| (*v != NULL).then_some(*v);
        let declared = table.columns.iter().find(|c| c.name == name);
        columns.push(match declared {
            Some(c) if c.kind == ColumnType::Choice => {
                let word = |v: &i64| known(v).map(|v| c.values[v as usize].as_str());
                Column::new(name.into(), values.iter().map(word).collect::<Vec<_>>())
            }
            Some(c) if c.kind == ColumnType::Flag => {
                Column::new(name.into(), values.iter().map(|v| known(v).map(|v| v == 1)).collect::<Vec<_>>())
            }
            _ => Column::new(name.into(), values.iter().map(known).collect::<Vec<_>>()),
        });
    }
    DataFrame::new(rows.len(), columns).unwrap()
}

fn compare(pipeline: &[String], export_subjects: usize) {
    let Command::Run(args) = Cli::try_parse_from(pipeline).unwrap().command else { panic!("not a run") };
    let prepared = prepare(&args.pipeline).unwrap();
    let (budget, stop, output) = (Budget::new(1 << 30), AtomicBool::new(false), Output::new(true, LogFormat::Text));
    let scratch = tempfile::tempdir().unwrap();
    let pass = Pass {
        contract: &prepared.contract,
        calendar: &prepared.calendar,
        known_by: prepared.known_by,
        currency: &prepared.pipeline.settings.currency,
        exports: &prepared.exports,
        budget: &budget,
        scratch: scratch.path(),
        stop: &stop,
        output: &output,
    };
    let ingested = pass.run().unwrap();
    assert_eq!(ingested.spine.len(), export_subjects);
    let computer = Computer::new(&prepared.plan, &ingested.layouts, &prepared.calendar).unwrap();
    let statement = sql::features(&prepared.plan);
    for bucket in 0..ingested.buckets.count() {
        let rows = visible(&prepared, &ingested, bucket);
        let count = ingested.buckets.subjects(bucket).len();
        let mut context = SQLContext::new();
        let mut sums = BTreeMap::new();
        for table in &prepared.plan.tables {
            let layout = &ingested.layouts[&table.table];
            let read = table.predicates.iter().chain(&table.values).flat_map(|e| e.columns.iter().cloned());
            let keys =
                table.groupings.iter().map(|g| g.key.clone()).chain(table.weights.iter().map(|w| w.months_ago.clone()));
            let wanted: BTreeSet<String> =
                read.chain(keys).chain(["reliability".to_owned()]).filter(|c| !c.is_empty()).collect();
            let cleaner = Cleaner::new(layout, &prepared.calendar, wanted).unwrap();
            let table_rows = &rows.tables[&table.table];
            let clean = cleaner.clean(table_rows, 0..table_rows.len(), &prepared.calendar).unwrap();
            context.register(&table.table, frame(&layout.table, &clean, table_rows).lazy());
            sums.insert(table.table.as_str(), computer.sums(&table.table, table_rows, count).unwrap());
        }
        let layout = &ingested.layouts["subjects"];
        let cleaner = Cleaner::new(layout, &prepared.calendar, prepared.plan.subject_columns.iter().cloned()).unwrap();
        let own = cleaner.clean(&rows.subjects, 0..count, &prepared.calendar).unwrap();
        context.register("subjects", frame(&layout.table, &own, &rows.subjects).lazy());
        let features = computer.finish(count, &own, &sums).unwrap();
        let oracle = context.execute(&statement).unwrap().collect().unwrap();
        assert_eq!(oracle.height(), count);
        for (n, feature) in prepared.plan.features.iter().enumerate() {
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
