//! Adding up evaluated rows: in 64 bits where the rows prove that these suffice, in 128 where they do not.

use std::ops::Range;

use anyhow::Result;

use super::exact::exact;
use super::kernel::{Evaluated, Kernel, doubtful};
use super::plan::TablePlan;
use crate::NULL;

/// Accumulators of one table for consecutive subjects, one column each.
pub type Sums = Vec<Vec<i64>>;

/// A sum of one subject's rows that 64 bits do not hold.
#[derive(Debug, thiserror::Error)]
#[error(
    "the sum `{sum}` of one subject's {table} leaves the range of 64-bit integers; make its value smaller in the catalogue, for example with LEAST(…, 1000000)"
)]
pub struct TooLarge {
    /// The sum's name.
    pub sum: String,
    /// The table.
    pub table: String,
    /// The file of the subject's first row, by its position in the export, and the row's number there.
    pub place: (u32, i64),
}

/// The sums of subjects without a row.
#[must_use]
pub(super) fn without_rows(plan: &TablePlan, subjects: usize) -> Sums {
    let missing = |nullable: bool| if nullable { NULL } else { 0 };
    plan.accumulators.iter().map(|a| vec![missing(a.sum.nullable()); subjects]).collect()
}

/// Adds up the rows of consecutive subjects. `ranges` are each subject's rows, `out` has one slice per accumulator with one
/// entry per subject, and `place` tells the file and number of a subject's first row.
///
/// # Errors
/// When 64 bits do not hold a sum.
pub(super) fn add_up(
    plan: &TablePlan,
    rows: &Evaluated,
    ranges: &[Range<usize>],
    place: &dyn Fn(usize) -> (u32, i64),
    kernel: &mut Kernel,
    out: &mut [&mut [i64]],
) -> Result<()> {
    let doubtful = doubtful(plan, rows, ranges);
    kernel.add(plan, rows, ranges, &doubtful, out);
    for (n, accumulator) in plan.accumulators.iter().enumerate().filter(|(n, _)| doubtful[*n]) {
        for (subject, own) in ranges.iter().enumerate() {
            let sum = exact(plan, &accumulator.sum, rows, own.clone());
            out[n][subject] = sum.map_or(Ok(NULL), i64::try_from).map_err(|_| TooLarge {
                sum: accumulator.name.clone(),
                table: plan.table.clone(),
                place: place(subject),
            })?;
        }
    }
    Ok(())
}
