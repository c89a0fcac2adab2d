//! A calibration belongs to the points it was fitted to: what they depend on, and the linter's part about it.

use super::model::{FULL_SHARE, Model, Scale};
use super::model_check::Linter;
use crate::storage::hashes::{Hash, part};

/// Keys at the top of a model file that no finished score depends on.
const NOT_OF_POINTS: [&str; 11] = [
    "name",
    "version",
    "about",
    // Its files count, and not what they are called.
    "catalogue",
    "band",
    "privilege",
    "reasons",
    "reason",
    "notice",
    "fitted",
    "calibration",
];

/// The score that a calibration's line counts from: that of what is not known; in the form of points, which has none, the lowest.
#[must_use]
pub fn neutral(scale: &Scale) -> f64 {
    let share = scale.neutral().unwrap_or(0);
    scale.low as f64 + ((scale.high - scale.low) * share) as f64 / FULL_SHARE as f64
}

impl Model {
    /// The hash of everything that its finished scores depend on.
    #[must_use]
    pub fn points_hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        part(&mut hasher, self.source.meaning(&NOT_OF_POINTS).as_bytes());
        for source in &self.catalogue.sources {
            part(&mut hasher, source.meaning(&[]).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Linter<'_> {
    pub(super) fn calibration(&mut self) {
        let model = self.model;
        let Some(calibrated) = &model.card.calibration else { return };
        let (it, span) = (calibrated.get_ref(), calibrated.span());
        if !it.intercept.is_finite() || !it.points_to_double.is_finite() || it.points_to_double <= 0.0 {
            self.find(
                &span,
                format!(
                    "[calibration] has intercept {} and points_to_double {}; both must be numbers, and the latter above 0",
                    it.intercept, it.points_to_double
                ),
            );
        }
        if it.horizon_days < 1 {
            self.find(&span, format!("[calibration] horizon_days = {} is not above 0", it.horizon_days));
        }
        if it.points_hash != model.points_hash() {
            self.find(
                &span,
                "[calibration] belongs to other points: something that a score depends on was changed since. Take the section out; \
                 `sesame calibrate` makes another"
                    .to_owned(),
            );
        }
    }
}
