//! Writes the rows that count and the kernel's features, so that `benches/peers/duckdb_equal.py` can compare engines
//! over the same rows: `cargo bench --bench visible_rows -- OUT PIPELINE [FLAGS OF run]`.
#![allow(missing_docs, reason = "a measuring program is no public interface")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use clap::Parser;
use parquet::arrow::ArrowWriter;
use sesame::command::{Cli, Command};
use sesame::engine::bridge::from_frame;
use sesame::features::Plan;
use sesame::features::comparable::comparable;
use sesame::features::compute::{Computer, FeatureRows};
use sesame::features::sql;
use sesame::job::load::load;
use sesame::machine::resources::Resources;
use sesame::output::{LogFormat, Output};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let out = args.next().context("give the folder to write to")?;
    let Command::Run(run) =
        Cli::try_parse_from(["sesame".to_owned(), "run".to_owned()].into_iter().chain(args))?.command
    else {
        bail!("give a pipeline")
    };
    let (stop, log) = (AtomicBool::new(false), Output::new(false, LogFormat::Text));
    let job = load(&run.pipeline.load()?, &run.pipeline.request(Some(&run.as_of)), &log)?;
    fs_err::create_dir_all(&out)?;
    let resources = Resources { memory: 512 << 20, scratch: Path::new(&out).to_owned(), stop: &stop, log: &log };
    let budget = resources.budget();
    let snapshots = [job.snapshot.clone()];
    let pass = job.pass(&snapshots, &budget, &resources);
    let ingested = pass.run(&job.present())?;
    let computer = Computer::new(&job.plan, &ingested.layouts, &job.snapshot.calendar)?;
    fs_err::write(Path::new(&out).join("features.sql"), sql::features(&job.plan))?;
    let mut files: BTreeMap<String, ArrowWriter<std::fs::File>> = BTreeMap::new();
    let mut put = |name: &str, batch: &RecordBatch| -> Result<()> {
        if !files.contains_key(name) {
            let file = fs_err::File::create(Path::new(&out).join(format!("{name}.parquet")))?.into_parts().0;
            files.insert(name.to_owned(), ArrowWriter::try_new(file, batch.schema(), None)?);
        }
        Ok(files.get_mut(name).context("a file")?.write(batch)?)
    };
    for bucket in 0..ingested.buckets.count() {
        let found = comparable(&ingested, &job.plan, &computer, &job.snapshot.calendar, bucket)?;
        put("kernel", &features(&job.plan, &found.features, ingested.buckets.subjects(bucket).start)?)?;
        for (table, frame) in found.tables {
            put(&table, &from_frame(frame)?)?;
        }
    }
    for (_, file) in files {
        file.close()?;
    }
    Ok(())
}

fn features(plan: &Plan, rows: &FeatureRows, first: usize) -> Result<RecordBatch> {
    let count = rows.values.first().map_or(0, Vec::len);
    let ids = (first..first + count).map(i64::try_from).collect::<Result<Vec<_>, _>>()?;
    let mut fields = vec![Field::new("subject_id", DataType::Int64, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids))];
    for (n, feature) in plan.features.iter().enumerate() {
        fields.push(Field::new(&feature.name, DataType::Float64, true));
        columns.push(Arc::new(rows.values[n].iter().map(|v| (!v.is_nan()).then_some(*v)).collect::<Float64Array>()));
        fields.push(Field::new(feature.none_column(), DataType::Int64, false));
        columns.push(Arc::new(rows.nones[n].iter().map(|v| Some(i64::from(*v))).collect::<Int64Array>()));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
