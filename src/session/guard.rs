//! Whom later runs leave out, because they were erased.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::job::Job;
use crate::runs::erasure::Erasures;
use crate::runs::ledger::Key;

/// Has jobs leave out whoever was erased from the output folder, whatever their exports carry.
///
/// # Errors
/// When the ledger does not hold, or the receipt of an erasure is missing or was changed.
pub(super) fn leave_out_erased(jobs: &mut [Job], output: &Path, key: Option<&Key>) -> Result<()> {
    let erased = Arc::new(Erasures::open(output, key)?.guarded(u64::MAX));
    jobs.iter_mut().for_each(|job| job.erased = Arc::clone(&erased));
    Ok(())
}
