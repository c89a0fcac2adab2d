//! An input: a table of the contract, and its files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::ParquetMetaData;

use super::files::ExportFile;
use super::listing::absolute;
use super::partition::PathValue;
use super::select::{Bound, Select};
use crate::contract::Table;
use crate::storage::content::{Content, State};

/// An input whose files were opened and found to fit the contract.
#[derive(Debug, Clone)]
pub struct Export {
    /// The table it holds.
    pub table: Table,
    /// Its files, in order.
    pub files: Vec<OpenFile>,
    /// SQL over each batch, if the pipeline gives some.
    pub select: Option<Arc<Select>>,
    /// For `groups`: the columns that hold groups.
    pub extra: Vec<String>,
}

/// A file with its footer.
#[derive(Debug, Clone)]
pub struct OpenFile {
    /// Where it is and what it is called.
    pub file: ExportFile,
    /// Its footer, with the types it is read in.
    pub footer: ArrowReaderMetadata,
    /// The columns it yields, after the input's `select`.
    pub yields: SchemaRef,
    /// Columns the contract does not know.
    pub ignored: Vec<String>,
    /// The input's `select`, laid over its columns.
    pub select: Option<Arc<Bound>>,
    /// The contract's columns that its path gives.
    pub given: BTreeMap<String, PathValue>,
    /// Whether its pages have checksums; without them a flipped bit may go unnoticed.
    pub checksums: bool,
    /// Its size, times and place when it was opened, or its tag.
    pub state: State,
    /// Number of rows, as the footer says.
    pub rows: u64,
}

impl OpenFile {
    /// The footer's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.footer.metadata()
    }

    /// The contract's columns that it yields, its path's included.
    #[must_use]
    pub fn columns(&self, table: &Table) -> Vec<String> {
        let yielded = |name: &String| self.yields.column_with_name(name).is_some() || self.given.contains_key(name);
        table.columns.iter().map(|c| &c.name).filter(|name| yielded(name)).cloned().collect()
    }

    /// Size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.state.bytes()
    }

    /// Where it is for whoever looks for it later: an absolute path, the URL of an object, or what another engine calls it.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match &self.state {
            // Spark writes file:/exports/…, others file:///exports/….
            State::Version(_) => match self.file.path.to_str().and_then(|path| path.strip_prefix("file:")) {
                Some(path) => PathBuf::from(format!("/{}", path.trim_start_matches('/'))),
                None => self.file.path.clone(),
            },
            State::File(_) | State::Object(_) => absolute(&self.file.path),
        }
    }

    /// Opens the file once more, to read what was checked.
    ///
    /// # Errors
    /// When it was changed or replaced since.
    pub fn reopen(&self) -> Result<Content> {
        self.state.open(&self.file.path)
    }
}
