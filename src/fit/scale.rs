//! The scale of a card.

use crate::pipeline::model::FULL_SHARE;

/// The scale of a card.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Lowest score.
    pub low: i64,
    /// Points above it.
    pub range: i64,
    /// The neutral share.
    pub neutral: i64,
}

impl Scale {
    /// The score of what is not known.
    #[must_use]
    pub fn zero(&self) -> f64 {
        self.low as f64 + (self.range * self.neutral) as f64 / FULL_SHARE as f64
    }
}
