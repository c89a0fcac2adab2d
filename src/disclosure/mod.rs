//! Statistical disclosure control: what a report may show of counts of subjects.
//!
//! A count below `privacy.min_cell` could point at someone, and so could one that is solved from the counts around it. Three
//! forms of table need three ways out:
//!
//! - an ordered scale (a histogram, the bands) has [`neighbours`] merged until every cell is large enough: nothing is hidden,
//!   so nothing can be solved;
//! - a list of named [`cells`] with a known total hides the small ones and, where their sum would tell, the next smallest;
//! - a [`table`] with known margins hides small cells and as many others as it takes to leave each of them in doubt.
//!
//! A hidden cell is in doubt when counts that fit everything shown exist in which it is at least `min_cell`, and others in
//! which it is something else. An empty cell is shown: nobody is in it.

pub mod cells;
pub mod crosstab;
pub mod neighbours;
pub mod quantiles;
mod table;

/// Decimals that a figure is shown to at most: an exact one is a fraction, which tells what it is of.
pub const DECIMALS: i32 = 4;

/// Whether a count is small enough to point at someone. Nobody is in an empty cell.
#[must_use]
pub const fn small(count: u64, min_cell: u64) -> bool {
    count > 0 && count < min_cell
}

/// How many of some subjects have a property, if neither they nor the others are few.
#[must_use]
pub fn part(count: u64, all: u64, min_cell: u64) -> Option<u64> {
    (!small(count, min_cell) && !small(all.saturating_sub(count), min_cell)).then_some(count)
}
