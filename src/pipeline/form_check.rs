//! The linter of what bins are worth: shares of importances, or points, and nothing of the other form.

use std::ops::Range;

use toml::Spanned;

use super::amount::Amount;
use super::catalogue::Feature;
use super::model::{Bin, FULL_SHARE, Form, ScoredFeature};
use super::model_check::{Linter, MOST_IMPORTANCE};
use super::units::{MOST_POINTS, ONE, Units};

impl Linter<'_> {
    /// What the scale says of its form.
    pub(super) fn form(&mut self) {
        let card = &self.model.card;
        let scale = &card.scale;
        match scale.form {
            Form::Shares => {
                if !scale.neutral_share.is_some_and(|n| (0..=FULL_SHARE).contains(&n)) {
                    let found = scale.neutral_share.map_or_else(|| "is missing".to_owned(), |n| format!("= {n}"));
                    self.find(&(0..0), format!("[scale] neutral_share {found}; it must be within 0 and {FULL_SHARE}"));
                }
                if scale.base.is_some() {
                    self.find(&(0..0), "[scale] `base` is of the form `points`; leave it out".to_owned());
                }
            }
            Form::Points => {
                if scale.neutral_share.is_some() {
                    self.find(&(0..0), "[scale] `neutral_share` is of the form `shares`; leave it out".to_owned());
                }
                if card.propagation.enabled {
                    self.find(
                        &(0..0),
                        "[propagation] friends move shares and no points; say `enabled = false`".to_owned(),
                    );
                }
                for segment in card.segment.iter().filter(|s| !s.get_ref().weights.is_empty()) {
                    let name = &segment.get_ref().name;
                    self.find(
                        &segment.span(),
                        format!("segment `{name}`: points are not weighted by category; leave `weights` out"),
                    );
                }
                self.ends();
            }
        }
    }

    /// In the form of points the scale ends where the card does.
    fn ends(&mut self) {
        let card = &self.model.card;
        let Some(base) = card.scale.base.as_ref().and_then(Amount::parts) else {
            self.find(
                &(0..0),
                format!("[scale] `base` is missing, or no decimal number within ±{MOST_POINTS}: the points that everyone has"),
            );
            return;
        };
        let worths = |f: &ScoredFeature| -> Option<Vec<i64>> {
            let bins = f.bins.iter().map(|b| b.get_ref().worth(Form::Points));
            bins.chain([&f.none, &f.unknown].map(|amount| card.scale.worth(amount.as_ref()))).collect()
        };
        let features: Option<Vec<Vec<i64>>> = card.feature.iter().map(|f| worths(f.get_ref())).collect();
        // What is no number is found where it stands.
        let Some(features) = features else { return };
        let end = |pick: &dyn Fn(&Vec<i64>) -> Option<i64>| {
            i128::from(base) + features.iter().filter_map(pick).map(i128::from).sum::<i128>()
        };
        let (least, most) = (end(&|w| w.iter().copied().min()), end(&|w| w.iter().copied().max()));
        let (low, high) = (least.div_euclid(ONE), -(-most).div_euclid(ONE));
        if (i128::from(card.scale.low), i128::from(card.scale.high)) != (low, high) {
            let message = format!(
                "[scale] the points reach from {} to {}; say low = {low} and high = {high}",
                Units(least),
                Units(most)
            );
            self.find(&(0..0), message);
        }
    }

    /// What a feature says of its form.
    pub(super) fn form_of(&mut self, f: &ScoredFeature, span: &Range<usize>, declared: &Feature) {
        let name = &f.name;
        let beside = [("none", &f.none), ("unknown", &f.unknown)];
        match self.model.card.scale.form {
            Form::Shares => {
                if !f.importance.is_some_and(|i| (1..=MOST_IMPORTANCE).contains(&i)) {
                    let found = f.importance.map_or_else(|| "no importance".to_owned(), |i| format!("importance {i}"));
                    self.find(span, format!("the feature `{name}` has {found}; it must be 1 to {MOST_IMPORTANCE}"));
                }
                for (which, amount) in beside {
                    if amount.as_ref().is_some_and(|a| !a.share().is_some_and(|s| (0..=FULL_SHARE).contains(&s))) {
                        self.find(
                            span,
                            format!(
                                "the feature `{name}`: the share of `{which}` is no integer within 0 and {FULL_SHARE}"
                            ),
                        );
                    }
                }
                if f.against_direction.is_some() {
                    let message = "shares keep the catalogue's direction; `against_direction` is of the form `points`";
                    self.find(span, format!("the feature `{name}`: {message}"));
                }
            }
            Form::Points => {
                if f.importance.is_some() {
                    self.find(span, format!("the feature `{name}`: points have no `importance`; leave it out"));
                }
                if f.segments.is_some() {
                    self.find(
                        span,
                        format!("the feature `{name}`: points count in every segment; leave `segments` out"),
                    );
                }
                if declared.declared.aggregate.of_friends() {
                    self.find(span, format!("the feature `{name}` is of friends, who have no points; leave it out"));
                }
                if f.against_direction.as_ref().is_some_and(|why| why.trim().is_empty()) {
                    self.find(span, format!("the feature `{name}`: `against_direction` says why"));
                }
                for (which, amount) in beside {
                    if amount.as_ref().and_then(Amount::parts).is_none() {
                        self.find(
                            span,
                            format!(
                                "the feature `{name}`: `{which}` is missing, or no decimal number within ±{MOST_POINTS}"
                            ),
                        );
                    }
                }
            }
        }
    }

    /// What a bin is worth.
    pub(super) fn worth(&mut self, name: &str, bin: &Spanned<Bin>) {
        let b = bin.get_ref();
        let message = match self.model.card.scale.form {
            Form::Shares if b.points.is_some() => {
                "`points` are of the form `points` of [scale]; say `share`".to_owned()
            }
            Form::Shares => match b.share {
                Some(share) if (0..=FULL_SHARE).contains(&share) => return,
                Some(share) => format!("the share {share} is not within 0 and {FULL_SHARE}"),
                None => "a bin without `share`".to_owned(),
            },
            Form::Points if b.share.is_some() => "`share` is of the form `shares` of [scale]; say `points`".to_owned(),
            Form::Points => match b.points.as_ref().map(Amount::parts) {
                Some(Some(_)) => return,
                Some(None) => format!("`points` are no decimal number within ±{MOST_POINTS}"),
                None => "a bin without `points`".to_owned(),
            },
        };
        self.find(&bin.span(), format!("`{name}`: {message}"));
    }
}
