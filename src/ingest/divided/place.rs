//! Where a batch that was divided lies, and of what types it is.

use std::sync::Arc;

use arrow::datatypes::DataType;

/// The types of a file's columns, as they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kinds {
    /// By the position in the contract's table; nothing where the file has none.
    pub(super) columns: Vec<Option<DataType>>,
    /// Of columns beside them.
    pub(super) extra: Vec<DataType>,
}

/// Where a batch is.
#[derive(Debug)]
pub(super) struct Place {
    /// The file.
    pub(super) file: u32,
    /// Its row group.
    pub(super) group: usize,
    /// The number in the file of the first row that it was read from.
    pub(super) first: i64,
    /// Where its portions lie, one after another.
    pub(super) at: u64,
    /// Where each of them ends.
    pub(super) ends: Box<[u32]>,
    /// The types of the file.
    pub(super) kinds: Arc<Kinds>,
}
