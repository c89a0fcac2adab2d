//! How much of the machine a run may use: flags first, then the pipeline file.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cli::EngineArgs;
use crate::pipeline::Pipeline;

/// Memory for rows waiting to be aggregated when nothing is said.
const USUAL_MEMORY: u64 = 512 << 20;

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
    let memory = args.memory.as_deref().or(engine.memory.as_deref()).map_or(Ok(USUAL_MEMORY), size)?;
    let scratch = args.scratch.clone().or_else(|| engine.scratch.as_ref().map(|s| pipeline.resolve(s)));
    Ok(Limits { memory, scratch })
}

/// Sets the number of threads for the process; all cores when not given.
///
/// # Errors
/// When it is 0.
pub fn threads(count: Option<usize>) -> Result<()> {
    anyhow::ensure!(count != Some(0), "--threads must be at least 1");
    // A second call in one process keeps the first number.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0)).build_global();
    Ok(())
}

/// Bytes from a text such as `512MB`, `2GiB` or a plain number.
fn size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => anyhow::bail!("'{text}' is no size; write 512MB or 2GB"),
    };
    let number: u64 = digits.trim().parse().with_context(|| format!("'{text}' is no size; write 512MB or 2GB"))?;
    number.checked_mul(unit).with_context(|| format!("'{text}' is too large"))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_in_powers_of_two() {
        assert_eq!(size("512MB").unwrap(), 512 << 20);
        assert_eq!(size("2 GiB").unwrap(), 2 << 30);
        assert_eq!(size("100").unwrap(), 100);
        assert!(size("much").unwrap_err().to_string().contains("512MB"));
        assert!(size("99999999999GB").unwrap_err().to_string().contains("too large"));
    }
}
