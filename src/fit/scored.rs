//! The finished scores of a training set with what became of them: all that a calibration is fitted to.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch};
use jiff::civil::Date;

use super::load::{fold, one_horizon};
use crate::tables::dataset::{BAD, FILE, HORIZON, WEIGHT};
use crate::tables::ids::{Ids, push};
use crate::tables::scores::{OVERRIDE, SCORE, SEGMENT, SUBJECT_ID};
use crate::tables::{columns, read};

/// Rows with a score, column by column, in order of date and subject.
#[derive(Debug, Default)]
pub struct Scored {
    /// The segment, by position in the model file.
    pub segment: Vec<u8>,
    /// Whether the subject went bad.
    pub bad: Vec<bool>,
    /// What the row weighs; a subject's rows weigh 1 in sum.
    pub weight: Vec<f64>,
    /// The score, as low as a policy rule made it.
    pub score: Vec<i16>,
    /// The subject, by number.
    pub subject: Vec<u32>,
    /// The part of the subjects it belongs to, below [`FOLDS`](super::sample::FOLDS).
    pub fold: Vec<u8>,
    /// The date, by position.
    pub date: Vec<u16>,
    /// Rows whose score a policy rule lowered.
    pub lowered: u64,
    /// The horizon of all rows, in days.
    pub horizon_days: i64,
}

impl Scored {
    /// Reads a training set; `segments` are those of the model.
    ///
    /// # Errors
    /// When it is damaged, or its outcomes have different horizons.
    pub fn read(folder: &Path, dates: &[Date], segments: &[&str]) -> Result<Self> {
        let mut all = Self::default();
        let mut horizons = Vec::new();
        let mut numbers = HashMap::new();
        for (at, date) in dates.iter().enumerate() {
            let path = folder.join(format!("as_of={date}")).join(FILE);
            let names = [SUBJECT_ID, HORIZON, BAD, WEIGHT, SEGMENT, SCORE, OVERRIDE];
            for batch in read::batches(&path, Some(&names))? {
                let batch = batch?;
                all.add(&batch, u16::try_from(at)?, segments, &mut numbers)?;
                horizons.extend(columns::longs(&batch, HORIZON)?);
                horizons.sort_unstable();
                horizons.dedup();
            }
        }
        all.horizon_days = one_horizon(horizons)?;
        Ok(all)
    }

    fn add(
        &mut self,
        batch: &RecordBatch,
        date: u16,
        segments: &[&str],
        numbers: &mut HashMap<[u8; 16], u32>,
    ) -> Result<()> {
        let mut ids = Ids::default();
        push(columns::named(batch, SUBJECT_ID)?, &mut ids)?;
        let (bad, weight) = (columns::flags(batch, BAD)?, columns::doubles(batch, WEIGHT)?);
        let (segment, rule) = (columns::texts(batch, SEGMENT)?, columns::texts(batch, OVERRIDE)?);
        for (n, score) in columns::shorts(batch, SCORE)?.into_iter().enumerate() {
            let Some(score) = score else { continue };
            let at =
                segments.iter().position(|s| *s == segment.value(n)).context("a segment the model does not have")?;
            let mut name = [0; 16];
            name.copy_from_slice(&blake3::hash(ids.get(n)).as_bytes()[..16]);
            let next = u32::try_from(numbers.len())?;
            self.segment.push(u8::try_from(at)?);
            self.bad.push(bad[n] == 1);
            self.weight.push(weight[n]);
            self.score.push(score);
            self.subject.push(*numbers.entry(name).or_insert(next));
            self.fold.push(fold(ids.get(n), &name));
            self.date.push(date);
            self.lowered += u64::from(rule.is_valid(n));
        }
        Ok(())
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.score.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.score.is_empty()
    }
}
