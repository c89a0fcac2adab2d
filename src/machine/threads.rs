//! Threads.

use anyhow::{Result, ensure};

/// The most threads: far more than help, and few enough for their stacks.
pub const MOST_THREADS: usize = 1_024;

/// Stack of a thread. One that waits for the engine takes up other work meanwhile, on top of what it is doing.
const STACK: usize = 64 << 20;

/// Sets the number of threads for the process; all cores when not given.
///
/// # Errors
/// When it is 0.
pub fn use_threads(count: Option<usize>) -> Result<()> {
    ensure!(count.is_none_or(|n| (1..=MOST_THREADS).contains(&n)), "--threads must be 1 to {MOST_THREADS}");
    // A second call in one process keeps the first number.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0)).stack_size(STACK).build_global();
    Ok(())
}
