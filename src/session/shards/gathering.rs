//! Gathering shards: all of them are checked before one is used.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rayon::prelude::*;

use super::counted::all_came;
use super::done::{DONE, Done};
use super::spec::Spec;
use crate::pipeline::{Finding, Findings};
use crate::runs::output_folder::key_of;
use crate::stages::shards::{Part, complete};
use crate::storage::hashes::Hash;
use crate::storage::key::Key;

/// The parts of all shards of a plan.
///
/// # Errors
/// When one is missing, there twice, of another plan or build, changed or damaged; what is wrong with the rows of any, all of it at once;
/// when rows that another engine divided were lost or doubled.
pub fn parts(spec: &Spec, hash: &Hash, named: &[PathBuf]) -> Result<Vec<Part>> {
    let pipeline = spec.pipeline()?;
    pipeline.name_keys();
    let key = key_of(&pipeline)?;
    let one = |named: &PathBuf| of_folder(&folder(named), spec, hash, key.as_ref());
    let all: Vec<Result<Told>> = named.par_iter().map(one).collect();
    let (mut parts, mut failed, mut wrong) = (Vec::new(), Vec::new(), Findings::default());
    for (part, named) in all.into_iter().zip(named) {
        match part {
            Ok(Ok(part)) => parts.push(part),
            Ok(Err(why)) => failed.push(why),
            Err(error) => {
                wrong.0.push(Finding { file: folder(named), line: 0, message: format!("{error:#}") });
            }
        }
    }
    wrong.or(())?;
    if !failed.is_empty() {
        failed.sort();
        bail!("{}", failed.join("\n"));
    }
    parts.sort_by_key(|part| part.shard.number());
    complete(&parts)?;
    all_came(spec, &parts)?;
    Ok(parts)
}

/// A part, or why its rows cannot be made anything of.
type Told = std::result::Result<Part, String>;

fn of_folder(folder: &Path, spec: &Spec, hash: &Hash, key: Option<&Key>) -> Result<Told> {
    match Done::read(folder, hash, key)? {
        Ok(done) => Ok(Ok(done.part(folder, spec, key.cloned())?)),
        Err(why) => Ok(Err(why)),
    }
}

/// A shard is named by its folder, or by what it says of itself there.
fn folder(named: &Path) -> PathBuf {
    match named.file_name() {
        Some(name) if name == DONE => named.parent().unwrap_or(named).to_owned(),
        _ => named.to_owned(),
    }
}
