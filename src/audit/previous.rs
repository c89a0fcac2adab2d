//! The published run that a new one is compared with.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Audit;
use super::distributions::Distributions;
use crate::disclosure::part;
use crate::gates::counts::Counts;
use crate::job::inputs::Input;
use crate::tables::ids::{Ids, matched_by_block};
use jiff::civil::Date;

/// What is known of the earlier run.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Its id.
    pub run: String,
    /// Its as-of date.
    pub as_of: Date,
    /// `name-version` of its model.
    pub model: String,
    /// Number of subjects.
    pub subjects: u64,
    /// Subjects by score.
    pub scores: Vec<u64>,
    /// The subjects, in order.
    pub ids: Ids,
    /// Each one's score, or none.
    pub by_subject: Vec<i16>,
    /// Subjects by feature and bin; nothing when the run kept none.
    pub distributions: Option<Distributions>,
    /// Quarantined and visible rows by table.
    pub quarantined: BTreeMap<String, (u64, u64)>,
    /// Its input files.
    pub inputs: Vec<Input>,
    /// The same with the rows of those who were not erased, then or since.
    pub inputs_kept: Vec<Input>,
    /// Its audit.
    pub audit: Audit,
}

impl Previous {
    /// Whether the number of its scored subjects may be told.
    #[must_use]
    pub fn scored_shown(&self, min_cell: u64) -> bool {
        part(self.scores.iter().sum(), self.subjects, min_cell).is_some()
    }

    /// Calls `seen` with the place of every subject of either run in this one and in a later one, whose ids come block by block; both
    /// are in order.
    ///
    /// # Errors
    /// When the later ones cannot be read.
    pub fn matched(
        &self,
        later: impl Iterator<Item = Result<Ids>>,
        mut seen: impl FnMut(Option<usize>, Option<usize>),
    ) -> Result<()> {
        matched_by_block(&self.ids, later, &mut seen)
    }

    /// Its counts, for the gates.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            of: format!("{} (run {})", self.as_of, self.run),
            quarantined: self.quarantined.clone(),
            scores: self.scores.clone(),
            subjects: self.subjects,
        }
    }
}
