//! The linter of a model's bins.

use std::ops::Range;

use toml::Spanned;

use super::catalogue::{Aggregate, Direction, Feature};
use super::model::{FULL_SHARE, Form, ScoredFeature};
use super::model_check::{Linter, MOST_BINS};
use super::units::Units;
use crate::expression::product;

impl Linter<'_> {
    pub(super) fn bins(&mut self, f: &ScoredFeature, span: &Range<usize>, declared: &Feature) {
        if f.bins.is_empty() {
            self.find(span, format!("the feature `{}` has no bins", f.name));
            return;
        }
        let name = &f.name;
        if f.bins.len() > usize::from(MOST_BINS) {
            self.find(span, format!("the feature `{name}` has {} bins; {MOST_BINS} are the most", f.bins.len()));
        }
        for bin in &f.bins {
            let bounds = [bin.get_ref().from, bin.get_ref().below];
            if bounds.into_iter().flatten().any(|b| !b.is_finite()) {
                self.find(&bin.span(), format!("`{name}`: a bound of a bin is no finite number"));
            }
        }
        for (n, pair) in f.bins.windows(2).enumerate() {
            let (a, b) = (pair[0].get_ref(), pair[1].get_ref());
            let message = match (a.below, b.from) {
                (Some(below), Some(from)) if below < from => format!("a gap between {below} and {from}"),
                (Some(below), Some(from)) if below > from => {
                    format!("bins {} and {} overlap between {from} and {below}", n + 1, n + 2)
                }
                (Some(_), Some(_)) => String::new(),
                _ => format!("bins {} and {} need `below` and `from` where they meet", n + 1, n + 2),
            };
            if !message.is_empty() {
                self.find(&pair[1].span(), format!("`{name}`: {message}"));
            }
            let form = self.model.card.scale.form;
            let (Some(worse), Some(better)) = (a.worth(form), b.worth(form)) else { continue };
            let wrong = match declared.declared.direction {
                Direction::HigherIsBetter => better < worse,
                Direction::LowerIsBetter => better > worse,
                Direction::Neither => false,
            };
            if wrong && f.against_direction.is_none() {
                let direction = if declared.declared.direction == Direction::HigherIsBetter {
                    "higher_is_better"
                } else {
                    "lower_is_better"
                };
                self.find(
                    &pair[1].span(),
                    format!(
                        "`{name}`: {} and {} run against `{direction}`",
                        in_words(form, worse),
                        in_words(form, better)
                    ),
                );
            }
        }
        for bin in &f.bins {
            let b = bin.get_ref();
            if let (Some(from), Some(below)) = (b.from, b.below)
                && from >= below
            {
                self.find(
                    &bin.span(),
                    format!("`{name}`: the bin from {from} below {below} holds no value: it is unreachable"),
                );
            }
            self.worth(name, bin);
        }
        let ends = [
            (&f.bins[0], f.bins[0].get_ref().from, "first", "from"),
            (&f.bins[f.bins.len() - 1], f.bins[f.bins.len() - 1].get_ref().below, "last", "below"),
        ];
        for (bin, bound, which, key) in ends {
            if let Some(bound) = bound {
                self.find(
                    &bin.span(),
                    format!(
                        "`{name}`: the {which} bin ends at {bound}; leave `{key}` out so that every value has a bin"
                    ),
                );
            }
        }
        self.reachable(f, declared);
        self.first_good_event(f, span, declared);
    }

    /// Bins that no value of a bounded feature can fall into.
    pub(super) fn reachable(&mut self, f: &ScoredFeature, declared: &Feature) {
        let top = match (declared.declared.aggregate, declared.declared.unit) {
            (
                Aggregate::Share
                | Aggregate::Overlap
                | Aggregate::InteractionShare
                | Aggregate::FriendsVerified
                | Aggregate::FriendsInDefault,
                _,
            ) => 1.0,
            _ => f64::INFINITY,
        };
        for bin in &f.bins {
            let b = bin.get_ref();
            if b.from.is_some_and(|from| from > top)
                || b.below.is_some_and(|below| below <= 0.0) && declared.declared.aggregate == Aggregate::Share
            {
                self.find(
                    &bin.span(),
                    format!("`{}`: a share lies between 0 and 1, so this bin is unreachable", f.name),
                );
            }
        }
    }

    /// A first good event must not cost points: its bin is worth at least `none`.
    pub(super) fn first_good_event(&mut self, f: &ScoredFeature, span: &Range<usize>, declared: &Feature) {
        let d = &declared.declared;
        let (Aggregate::Share, Some(prior), Some(strength)) = (d.aggregate, d.prior, d.prior_strength) else { return };
        let good = if d.direction == Direction::HigherIsBetter { 1.0 } else { 0.0 };
        // One event weighs least when it is as old as the window allows; then the rate is the prior itself.
        for rate in [(good + product(prior, strength)) / (1.0 + strength), prior] {
            let scale = &self.model.card.scale;
            let (Some(share), Some(none)) = (share_of(f, rate), scale.worth(f.none.as_ref())) else { continue };
            if scale.form == Form::Shares && share < none {
                self.find(span, format!(
                    "`{}`: after one good event the rate is {rate:.4}, worth {share} of {FULL_SHARE}, less than `none` with {none}: a first good event would cost points",
                    f.name
                ));
            }
        }
    }
}

/// The share of the bin a value falls into.
fn share_of(f: &ScoredFeature, value: f64) -> Option<i64> {
    f.bins.iter().map(Spanned::get_ref).find(|b| b.below.is_none_or(|below| value < below))?.share
}

/// A worth as messages tell it.
fn in_words(form: Form, worth: i64) -> String {
    match form {
        Form::Shares => format!("the share {worth}"),
        Form::Points => format!("{} points", Units(i128::from(worth))),
    }
}
