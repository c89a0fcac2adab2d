//! The graph job by itself: from links and priors in Parquet to the friends' mean, as a run does it.
//!
//! `cargo bench --bench graph_job -- FOLDER [OUT.parquet]` over what `benches/peers/graph_generate.py` writes;
//! `benches/peers/graph_scipy.py` does the same in Python. Prints CPU and wall seconds by stage. RAYON_NUM_THREADS sets
//! the threads, SESAME_MEMORY (bytes) the memory for links before they are spilled.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench is no public interface and prints its result")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;
use sesame::graph::Parameters;
use sesame::graph::csr::Builder;
use sesame::graph::parameters::SHARE_ONE;
use sesame::graph::propagate::{Priors, propagate};
use sesame::ingest::links::tie_store::TieStore;
use sesame::ingest::links::ties::{Joinable, Origin, Tie};
use sesame::ingest::settle::consents::{NETWORK, SCORE};
use sesame::ingest::spine::Spine;
use sesame::job::load::{JobRequest, load};
use sesame::machine::resources::Resources;
use sesame::output::{LogFormat, Output};
use sesame::pipeline::Pipeline;
use sesame::storage::scratch::Scratch;
use sesame::tables::ids::{IdForm, Ids, from_ordered, to_ordered};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let folder = PathBuf::from(args.next().context("give the folder of subjects.parquet and friend_links.parquet")?);
    let out = args.next();
    let mut clock = Clock(Instant::now(), cpu()?);
    let (ids, share, confidence) = subjects(&folder.join("subjects.parquet"))?;
    clock.lap("priors")?;
    let ids: Vec<[u8; 8]> = ids.into_iter().map(to_ordered).collect();
    let mut all = Ids::default();
    ids.iter().for_each(|id| all.push(id));
    let spine = Spine::build(&all, IdForm::Integer)?;
    let mut places = Vec::new();
    spine.find_words(&ids, |_| true, &mut places);
    let (mut p, mut c) = (vec![0_u32; spine.len()], vec![0_u16; spine.len()]);
    for (n, place) in places.iter().enumerate() {
        (p[*place as usize], c[*place as usize]) = (share[n], confidence[n]);
    }
    drop((ids, all, share, confidence, places));
    clock.lap("number")?;

    let (stop, log) = (AtomicBool::new(false), Output::new(true, LogFormat::Text));
    let request = JobRequest { as_of: Some("2025-10-31".to_owned()), ..JobRequest::default() };
    let job = load(&pipeline(&folder)?, &request, &log)?;
    let parameters = Parameters { max_ties: 1_000_000, ..Parameters::new(&job.model.card.propagation)? };
    let memory = std::env::var("SESAME_MEMORY").map_or(Ok(2 << 30), |m| m.parse())?;
    let scratch = tempfile::tempdir()?;
    let resources = Resources { memory, scratch: scratch.path().to_owned(), stop: &stop, log: &log };
    let budget = resources.budget();
    let snapshots = [job.snapshot.clone()];
    let pass = job.pass(&snapshots, &budget, &resources);
    let consents = [vec![SCORE | NETWORK; spine.len()]];
    let counted: Vec<bool> = c.iter().map(|c| u32::from(*c) >= parameters.floor).collect();
    let joinable = Joinable { spine: &spine, consents: &consents, min_age_days: 90 };
    let export = job.export("friend_links").context("no links")?;
    let store = TieStore::new(spine.len(), export.files.len(), &budget, scratch.path())?;
    let keep = |_, (file, _): Origin, mut ties: Vec<Tie>| {
        ties.retain(|t| counted[t.0 as usize] && counted[t.1 as usize]);
        store.add(file, &ties)
    };
    let (dropped, _) = pass.ties(export, joinable, &keep)?;
    let ties = store.finish()?;
    clock.lap("read links")?;
    let builder = Builder {
        parameters: &parameters,
        marks: None,
        budget: &budget,
        scratch: Scratch::below(scratch.path())?,
        stop: &stop,
    };
    let progress = log.stage("build", ties.len(), "ties");
    let mut graph = builder.build(ties, &progress)?;
    clock.lap("build")?;
    let priors = Priors { share: &p, confidence: &c, verified: &|_| false };
    let result = propagate(&mut graph, &priors, &parameters, &|_| (), &stop)?;
    clock.lap(&format!("{} rounds", parameters.rounds))?;
    println!("links {}, dropped {}, residuals {:?}", graph.links, dropped[0].total(), result.residuals);
    if let Some(out) = out {
        let friends = result.friends.iter().map(|r| f64::from(*r) / SHARE_ONE as f64);
        write(Path::new(&out), &spine, friends)?;
    }
    Ok(())
}

/// Ids, shares in millionths and confidences in thousandths.
type Subjects = (Vec<i64>, Vec<u32>, Vec<u16>);

/// All subjects, read as a run does it: row groups in parallel.
fn subjects(path: &Path) -> Result<Subjects> {
    let file = fs_err::File::open(path)?.into_parts().0;
    let groups = ParquetRecordBatchReaderBuilder::try_new(file)?.metadata().num_row_groups();
    let parts = (0..groups).into_par_iter().map(|group| of_group(path, group)).collect::<Result<Vec<Subjects>>>()?;
    let (mut ids, mut share, mut confidence) = (Vec::new(), Vec::new(), Vec::new());
    for (some_ids, some_shares, some_confidences) in parts {
        ids.extend(some_ids);
        share.extend(some_shares);
        confidence.extend(some_confidences);
    }
    Ok((ids, share, confidence))
}

fn of_group(path: &Path, group: usize) -> Result<Subjects> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs_err::File::open(path)?.into_parts().0)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["subject_id", "prior", "confidence"]);
    let (mut ids, mut share, mut confidence) = (Vec::new(), Vec::new(), Vec::new());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares lie between 0 and 1")]
    for batch in builder.with_projection(mask).with_row_groups(vec![group]).build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
        ids.extend_from_slice(column("subject_id")?.as_primitive::<Int64Type>().values());
        share.extend(column("prior")?.as_primitive::<Float64Type>().values().iter().map(|v| (v * 1e6).round() as u32));
        let values = column("confidence")?.as_primitive::<Float64Type>().values();
        confidence.extend(values.iter().map(|v| (v * 1e3).round() as u16));
    }
    Ok((ids, share, confidence))
}

fn pipeline(folder: &Path) -> Result<Pipeline> {
    let nightly = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/nightly.toml");
    let tables = Pipeline::load(&nightly, &[])?.settings.inputs.into_keys();
    let input = |table: String| match table.as_str() {
        "subjects" | "friend_links" => format!("inputs.{table}=\"{}/{table}.parquet\"", folder.display()),
        _ => format!("inputs.{table}=\"\""),
    };
    let mut overrides: Vec<String> = tables.map(input).collect();
    overrides.push("consent_statement=\"a benchmark\"".to_owned());
    Pipeline::load(&nightly, &overrides)
}

fn write(path: &Path, spine: &Spine, friends: impl Iterator<Item = f64>) -> Result<()> {
    let ids = spine.ids.words().iter().map(|id| from_ordered(*id));
    let columns: [(&str, ArrayRef); 2] = [
        ("subject_id", Arc::new(ids.collect::<Int64Array>())),
        ("friends", Arc::new(friends.collect::<Float64Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    // Values hardly repeat: a dictionary of them would be begun and given up.
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let file = fs_err::File::create(path)?.into_parts().0;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

struct Clock(Instant, f64);

impl Clock {
    fn lap(&mut self, name: &str) -> Result<()> {
        let now = (Instant::now(), cpu()?);
        println!("{name:<12} cpu {:7.2} s  wall {:7.2} s", now.1 - self.1, (now.0 - self.0).as_secs_f64());
        *self = Self(now.0, now.1);
        Ok(())
    }
}

/// CPU seconds of the process so far.
fn cpu() -> Result<f64> {
    let stat = fs_err::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).context("/proc/self/stat");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
