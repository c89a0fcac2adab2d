//! An input: a table of the contract, and its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::ParquetMetaData;

use super::files::ExportFile;
use super::partition::PathValue;
use super::select::{Bound, Select};
use crate::contract::Table;
use crate::storage::file_state::FileState;

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
    /// Its size, times and place when it was opened.
    pub state: FileState,
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
        self.state.bytes
    }

    /// Opens the file once more, to read what was checked.
    ///
    /// # Errors
    /// When it was changed or replaced since.
    pub fn reopen(&self) -> Result<File> {
        self.state.open(&self.file.path)
    }
}
