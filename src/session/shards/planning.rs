//! Planning shards: the inputs are looked at and hashed, nothing is written.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::spec::Spec;
use crate::job::load::{JobRequest, load};
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::runs::inputs::Memory;
use crate::runs::output_folder::{key_of, looked_at};
use crate::runs::remote::look::Need;
use crate::session::guard::leave_out_erased;
use crate::session::identity::{Standing, identify, published};

/// Divides the run of a pipeline into shards. Input files that are not remembered are hashed for it.
///
/// # Errors
/// All findings about configuration and inputs at once; when a file cannot be read, or there are too many shards.
pub fn plan(pipeline: &Pipeline, request: &JobRequest, shards: u32, log: &Output) -> Result<Spec> {
    if let Some(staged) = &request.staged {
        ensure!(
            staged.shards == shards,
            "{} is divided into {} shards, and {shards} are asked for",
            staged.folder.display(),
            staged.shards
        );
    }
    let mut job = load(pipeline, request, log)?;
    let (folder, key) = (looked_at(pipeline, Need::Small)?, key_of(pipeline)?);
    leave_out_erased(std::slice::from_mut(&mut job), &folder, key.as_ref())?;
    let never = AtomicBool::new(false);
    let hashes = Memory::of(&folder, key.as_ref()).hashes(&job.exports, log, &never)?;
    let identity = identify(&job, &hashes);
    let is_there = matches!(published(&identity, &folder, key, &never)?, Standing::Same(_));
    Spec::of(&job, &hashes, &identity, (shards, is_there), request.staged.as_ref())
}
