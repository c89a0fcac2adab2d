//! A model file that is made from another: where its catalogue is, and whether it may be written.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::pipeline::{Model, Source, model_check};
use crate::storage::durable;

/// The version of a model that was just made.
pub(super) const VERSION: &str = "1";

/// Refuses to write over a file.
///
/// # Errors
/// When it is there.
pub(super) fn not_there(out: &Path) -> Result<()> {
    ensure!(!out.exists(), "{} is there already; name a file that is not", out.display());
    Ok(())
}

/// A model's catalogue files as one in another file names them, relative to its folder where that is the old one's.
///
/// # Errors
/// When a folder is not there, or a path is no text.
pub(super) fn catalogue(model: &Model, out: &Path) -> Result<Vec<String>> {
    let folder = |path: &Path| fs_err::canonicalize(durable::folder(path));
    let (old, new) = (folder(&model.source.path)?, folder(out)?);
    let named = |file: &PathBuf| -> Result<String> {
        let path = if old == new { file.clone() } else { fs_err::canonicalize(old.join(file))? };
        path.to_str().map(ToOwned::to_owned).with_context(|| format!("{} is no text", path.display()))
    };
    model.card.catalogue.iter().map(named).collect()
}

/// Refuses a text that breaks a rule of models.
///
/// # Errors
/// When it does.
pub(super) fn keeps_the_rules(out: &Path, text: &str) -> Result<()> {
    let model = Model::of(Source { path: out.to_owned(), text: text.to_owned() })?;
    model_check::check(&model).context("the new model breaks a rule of models; nothing is written")
}
