//! Which dates of a training set are trained on and which are only validated on, and whether there is enough to train on.

use anyhow::{Result, ensure};
use jiff::ToSpan;
use jiff::civil::Date;

use super::training_set::Written;

/// With fewer that went bad, or stayed good, nothing is fitted.
const LEAST_OF_A_CLASS: usize = 50;

/// By date, whether it is trained on; what follows a date must have happened before the first that is validated on. Dates without
/// outcomes are no matter.
///
/// # Errors
/// When there is no date of either kind, or they overlap.
pub(super) fn split(written: &Written, validate_from: Option<Date>) -> Result<Vec<bool>> {
    let Some(from) = validate_from else { return Ok(vec![true; written.dates.len()]) };
    let trained: Vec<bool> = written.dates.iter().map(|d| d.as_of < from).collect();
    ensure!(trained.contains(&true), "no date lies before --validate-from {from}, so there is nothing to train on");
    ensure!(
        trained.contains(&false),
        "no date lies on or after --validate-from {from}, so there is nothing to validate on"
    );
    let longest = written.horizons.iter().max().copied().unwrap_or(0);
    for (date, _) in written.dates.iter().zip(&trained).filter(|(date, on)| **on && date.rows > 0) {
        let end = date.as_of.checked_add(longest.days())?;
        ensure!(
            end <= from,
            "what follows {} is observed until {end}, after --validate-from {from}: the validation would be of a time that was \
             trained on; end earlier with --train-to, or validate from {end} on",
            date.as_of
        );
    }
    Ok(trained)
}

/// Rows of a training set, column by column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    /// Whether each went bad.
    pub(super) bad: &'a [bool],
    /// Its subject, by number.
    pub(super) subject: &'a [u32],
    /// Its date, by position.
    pub(super) date: &'a [u16],
    /// By date, whether it is trained on.
    pub(super) trained: &'a [bool],
}

impl Labels<'_> {
    /// The rows that are trained on.
    #[must_use]
    pub(super) fn trained_on(&self) -> Vec<usize> {
        (0..self.bad.len()).filter(|n| self.trained[usize::from(self.date[*n])]).collect()
    }

    /// How many subjects some rows are of.
    #[must_use]
    pub(super) fn subjects(&self, rows: impl Iterator<Item = usize>) -> usize {
        let mut subjects: Vec<u32> = rows.map(|n| self.subject[n]).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects.len()
    }

    /// Refuses to fit to too little.
    ///
    /// # Errors
    /// When few subjects went bad, or few stayed good.
    pub(super) fn enough(&self) -> Result<()> {
        let on = self.trained_on();
        let of = |class: bool| self.subjects(on.iter().copied().filter(|n| self.bad[*n] == class));
        let (bad, good) = (of(true), of(false));
        ensure!(
            bad >= LEAST_OF_A_CLASS && good >= LEAST_OF_A_CLASS,
            "{bad} subjects went bad and {good} stayed good at the dates that are trained on; with fewer than {LEAST_OF_A_CLASS} of either a \
             fit is chance: take more dates, or a longer horizon"
        );
        Ok(())
    }
}
