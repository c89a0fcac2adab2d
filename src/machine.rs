//! How much of the machine a run may use: flags first, then the pipeline file.

use std::path::PathBuf;

use anyhow::Result;

use crate::cli::EngineArgs;
use crate::pipeline::Pipeline;
use crate::pipeline::file::bytes;

/// Memory for rows waiting to be aggregated when nothing is said.
pub const USUAL_MEMORY: u64 = 512 << 20;

/// What a run may use besides threads.
pub struct Limits {
    /// Memory for rows, bytes.
    pub memory: u64,
    /// Where rows are spilled.
    pub scratch: Option<PathBuf>,
}

/// Sets the number of threads for the process and settles the other limits.
///
/// # Errors
/// When a size cannot be read.
pub fn limits(args: &EngineArgs, pipeline: &Pipeline) -> Result<Limits> {
    let engine = &pipeline.settings.engine;
    threads(args.threads.or(engine.threads))?;
    let memory = args.memory.as_deref().or(engine.memory.as_deref()).map_or(Ok(USUAL_MEMORY), bytes)?;
    let scratch = args.scratch.clone().or_else(|| engine.scratch.as_ref().map(|s| pipeline.resolve(s)));
    Ok(Limits { memory, scratch })
}

/// The most threads: far more than help, and few enough for their stacks.
pub const MOST_THREADS: usize = 1_024;

/// Stack of a thread. One that waits for the engine takes up other work meanwhile, on top of what it is doing.
const STACK: usize = 64 << 20;

/// Sets the number of threads for the process; all cores when not given.
///
/// # Errors
/// When it is 0.
pub fn threads(count: Option<usize>) -> Result<()> {
    anyhow::ensure!(count.is_none_or(|n| (1..=MOST_THREADS).contains(&n)), "--threads must be 1 to {MOST_THREADS}");
    // A second call in one process keeps the first number.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0)).stack_size(STACK).build_global();
    Ok(())
}
