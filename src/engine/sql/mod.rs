//! From the SQL that users write to expressions of the engine: one row at a time, nothing that is not understood.
//!
//! [`translate`] does it, type by type, with [`literals`], of what [`parse`] reads; [`casts`] reads texts, [`texts`] and
//! [`times`] are functions over columns, [`columns`] is how such functions are made, and [`weight`] refuses what would take for ever or is
//! too deep.

mod casts;
mod columns;
mod functions;
mod literals;
mod parse;
mod texts;
mod times;
mod translate;
mod weight;

pub(super) use columns::impossible;
pub(super) use parse::parsed;
pub(super) use translate::{Translator, text};
pub(super) use weight::light_enough;
