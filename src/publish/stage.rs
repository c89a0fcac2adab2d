//! The run's folder and the rename that publishes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders of one run.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The output folder.
    pub output: PathBuf,
    /// The run's id.
    pub id: String,
    /// `runs/<id>` below the output folder.
    pub folder: PathBuf,
    /// Where the table is published, below the output folder.
    pub published: PathBuf,
}

impl Stage {
    /// Makes a fresh folder for a run; what an earlier, unfinished run of the same id left is removed.
    ///
    /// # Errors
    /// When the output folder cannot be written.
    pub fn create(output: &Path, id: &str, as_of: &str, model: &str) -> Result<Self> {
        let folder = output.join("runs").join(id);
        if folder.exists() {
            fs_err::remove_dir_all(&folder).context("clearing an earlier run of the same inputs and configuration")?;
        }
        fs_err::create_dir_all(folder.join("quarantine"))?;
        let published =
            output.join("scores").join(format!("as_of={as_of}")).join(format!("model={model}")).join("scores.parquet");
        Ok(Self { output: output.to_owned(), id: id.to_owned(), folder, published })
    }

    /// A file of the run.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Publishes the staged table: readers see the old one or the new one, never half of one.
    ///
    /// # Errors
    /// When a folder cannot be made or the rename fails; then the old table stays.
    pub fn publish(&self) -> Result<()> {
        let parent = self.published.parent().context("a published table has a folder")?;
        fs_err::create_dir_all(parent)?;
        sync_folder(&self.folder)?;
        let staged = self.path("scores.parquet");
        // The run keeps its own copy, as a second name of the same file; the rename replaces the published name.
        let incoming = parent.join(format!(".{}.incoming", self.id));
        if incoming.exists() {
            fs_err::remove_file(&incoming)?;
        }
        if fs_err::hard_link(&staged, &incoming).is_err() {
            fs_err::copy(&staged, &incoming)?;
            fs_err::File::open(&incoming)?.sync_all()?;
        }
        fs_err::rename(&incoming, &self.published)?;
        sync_folder(parent)
    }
}

/// Makes a folder's entries durable.
fn sync_folder(folder: &Path) -> Result<()> {
    fs_err::File::open(folder)?.sync_all().with_context(|| format!("making {} durable", folder.display()))
}
