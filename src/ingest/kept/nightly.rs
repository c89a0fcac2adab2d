//! What reading a table needs to know of rows that are kept.

use std::sync::Arc;

use super::Keeping;
use super::roster::Numbers;
use crate::ingest::read::export::Export;
use crate::ingest::rows::store::Store;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::setting::Setting;

/// Who keeps the rows of a pass, and the numbers that rows name their subjects by.
pub(in crate::ingest) struct Nightly<'a> {
    /// Who keeps them.
    pub(super) keeping: &'a dyn Keeping,
    /// The numbers.
    pub(super) numbers: Arc<Numbers>,
}

/// A table of records that is read.
pub(in crate::ingest) struct Reading<'a> {
    /// Its export.
    pub(in crate::ingest) export: &'a Export,
    /// What its scan needs to know.
    pub(in crate::ingest) setting: &'a Setting<'a>,
    /// The subjects.
    pub(in crate::ingest) spine: &'a Spine,
    /// Where rows go that are not kept.
    pub(in crate::ingest) store: &'a Store<'a>,
    /// Rows that are kept, if any are.
    pub(in crate::ingest) nightly: Option<&'a Nightly<'a>>,
}
