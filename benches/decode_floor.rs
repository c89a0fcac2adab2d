//! The floor under a run: decoding the columns it needs once with the parquet crate, row groups in parallel, and
//! throwing the result away.
//!
//! `cargo bench --bench decode_floor -- EXPORT [THREADS]`, EXPORT being a population of `sesame generate`. A table that it
//! lacks, as one of an older version does, is named and left out.
#![allow(clippy::print_stdout, missing_docs, reason = "a measuring program prints what it measured")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;
use sesame::contract::Contract;
use sesame::ingest::read::files::resolve;

const TABLES: [&str; 12] = [
    "sources",
    "subjects",
    "consents",
    "disputes",
    "repayments",
    "utility_payments",
    "purchases",
    "sales",
    "friend_links",
    "public_records",
    "outcomes",
    "groups",
];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let export = PathBuf::from(args.next().context("give the folder of a population")?);
    if let Some(threads) = args.next() {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let contract = Contract::load()?;
    let (started, before) = (Instant::now(), cpu_seconds()?);
    let mut rows = 0;
    for name in TABLES {
        let table = contract.table(name)?;
        let wanted: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        let path = if export.join(name).is_dir() { name.to_owned() } else { format!("{name}.parquet") };
        if !export.join(&path).exists() {
            println!("no {name}");
            continue;
        }
        for file in resolve(&path, &export)? {
            rows += decode(&file.path, &wanted)?;
        }
    }
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? - before);
    println!("decode floor: rows={rows} wall_s={wall:.1} cpu_s={cpu:.1}");
    Ok(())
}

fn decode(path: &Path, wanted: &[&str]) -> Result<usize> {
    let file = std::fs::File::open(path)?;
    let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new().with_skip_arrow_metadata(true))?;
    let groups: Vec<usize> = (0..footer.metadata().num_row_groups()).collect();
    let counts: Vec<usize> = groups
        .into_par_iter()
        .map(|group| {
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(std::fs::File::open(path)?, footer.clone());
            let roots: Vec<usize> = wanted.iter().filter_map(|n| builder.schema().index_of(n).ok()).collect();
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            let reader = builder.with_row_groups(vec![group]).with_projection(mask).with_batch_size(65_536).build()?;
            let mut rows = 0;
            for batch in reader {
                rows += std::hint::black_box(batch?).num_rows();
            }
            Ok(rows)
        })
        .collect::<Result<_>>()?;
    Ok(counts.into_iter().sum())
}

/// User and system seconds of this process, from its statistics.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().context("no statistics")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields.get(11).context("no user time")?.parse::<f64>()?
        + fields.get(12).context("no system time")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}
