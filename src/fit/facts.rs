//! What a fit is told of by.

use super::load::Loaded;
use super::scale::Scale;
use super::training::{Seen, Training};
use crate::pipeline::fitted::Validated;

/// What is reported of.
pub struct Facts<'a> {
    /// What was read.
    pub loaded: &'a Loaded,
    /// By date, whether it was trained on.
    pub trained: &'a [bool],
    /// What was trained.
    pub training: &'a Training,
    /// Its scale.
    pub scale: Scale,
    /// Fewer rows than this are not told.
    pub min_cell: u64,
}

impl Facts<'_> {
    /// The rows that the models are measured on: later ones, or without any those of cross-validation.
    #[must_use]
    pub fn measured(&self) -> (&[Seen], Validated) {
        match self.training.later.is_empty() {
            true => (&self.training.folds, Validated::CrossValidation),
            false => (&self.training.later, Validated::OutOfTime),
        }
    }
}
