//! The configuration a run was made with, kept in its folder as it was.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use path_clean::PathClean;

use super::RunFolder;
use crate::job::Job;
use crate::pipeline::Source;

/// The folder of the configuration in a run's folder.
pub const CONFIGURATION: &str = "configuration";
/// The pipeline as it was used, `--set` values merged in.
pub const PIPELINE: &str = "configuration/pipeline.toml";

/// The files of a model below their common folder: the model first, then its catalogue.
#[must_use]
pub fn model_files(job: &Job) -> Vec<(PathBuf, &Source)> {
    let sources: Vec<&Source> = std::iter::once(&job.model.source).chain(&job.model.catalogue.sources).collect();
    let paths: Vec<PathBuf> = sources.iter().map(|s| plain(&s.path)).collect();
    let mut common = paths[0].parent().map_or_else(PathBuf::new, Path::to_owned);
    while !paths.iter().all(|p| p.starts_with(&common)) && common.pop() {}
    let below = |path: &PathBuf| path.strip_prefix(&common).map_or_else(|_| path.clone(), Path::to_owned);
    paths.iter().map(below).zip(sources).collect()
}

/// Keeps the configuration of a job in its run's folder; returns the files' names.
///
/// # Errors
/// When the disk is full.
pub fn keep(run: &RunFolder, job: &Job) -> Result<Vec<String>> {
    let mut names = vec![PIPELINE.to_owned()];
    fs_err::create_dir_all(run.path(CONFIGURATION))?;
    fs_err::write(run.path(PIPELINE), &job.pipeline.text)?;
    for (below, source) in model_files(job) {
        let name = Path::new(CONFIGURATION).join("model").join(below);
        let path = run.folder.join(&name);
        fs_err::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs_err::write(&path, &source.text)?;
        names.push(name.to_string_lossy().into_owned());
    }
    Ok(names)
}

/// An absolute path without `.` and `..`.
#[must_use]
pub fn plain(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).clean()
}
