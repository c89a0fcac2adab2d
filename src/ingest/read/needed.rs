//! Which columns of a file are read, and where they lie.

use std::ops::Range;

use anyhow::Result;
use arrow::datatypes::Field;
use parquet::arrow::ProjectionMask;

use super::export::{Export, OpenFile};
use super::pages;

/// The columns of a file that the contract knows, that hold groups, or that the input's `select` reads.
#[must_use]
pub(super) fn columns(export: &Export, file: &OpenFile) -> ProjectionMask {
    let wanted = |field: &Field| export.table.position(field.name()).is_some() || export.extra.contains(field.name());
    let fields = file.footer.schema().fields().iter().enumerate();
    let roots: Vec<usize> = match &file.select {
        Some(select) => select.reads().to_vec(),
        None => fields.filter(|(_, f)| wanted(f)).map(|(n, _)| n).collect(),
    };
    ProjectionMask::roots(file.metadata().file_metadata().schema_descr(), roots)
}

/// Where they lie in some row groups.
///
/// # Errors
/// When the places of one are none.
pub(super) fn ranges(export: &Export, file: &OpenFile, groups: &[usize]) -> Result<Vec<Range<u64>>> {
    let mask = columns(export, file);
    let mut ranges = Vec::new();
    for group in groups {
        let meta = file.metadata().row_group(*group);
        ranges.extend(pages::ranges(meta, &|leaf| mask.leaf_included(leaf), file.bytes())?);
    }
    Ok(ranges)
}
