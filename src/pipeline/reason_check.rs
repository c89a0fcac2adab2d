//! The linter's part about reasons: every code has a text, in every language that notices are written in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;

use super::model::{Baseline, Notice};
use super::model_check::Linter;
use crate::expression::did_you_mean;

impl Linter<'_> {
    pub(super) fn reasons(&mut self) {
        let card = &self.model.card;
        self.unique(card.reason.iter().map(|r| (r.get_ref().code.clone(), r.span())).collect(), "reason");
        for reason in &card.reason {
            if reason.get_ref().text.get("en").is_none_or(|t| t.trim().is_empty()) {
                self.find(
                    &reason.span(),
                    format!("the reason `{}` has no text: text.en = \"…\"", reason.get_ref().code),
                );
            }
        }
        let codes: BTreeSet<&str> = card.reason.iter().map(|r| r.get_ref().code.as_str()).collect();
        let mut used: Vec<(Range<usize>, String)> = Vec::new();
        used.extend(card.policy.iter().map(|p| (p.span(), p.get_ref().reason.clone())));
        used.extend(card.status.iter().filter_map(|s| Some((s.span(), s.get_ref().reason.clone()?))));
        for feature in &card.feature {
            let declared = self.model.catalogue.feature(&feature.get_ref().name);
            if let Some(code) = declared.and_then(|f| f.declared.reason.clone()) {
                used.push((feature.span(), code));
            } else if declared.is_some() {
                self.find(
                    &feature.span(),
                    format!("the feature `{}` has no reason code in the catalogue", feature.get_ref().name),
                );
            }
        }
        for (span, code) in used {
            if !codes.contains(code.as_str()) {
                let hint = did_you_mean(&code, codes.iter().copied());
                self.find(&span, format!("the reason code `{code}` has no text{hint}: [[reason]] code = \"{code}\""));
            }
        }
        let reasons = &card.reasons;
        if reasons.baseline == Baseline::NearCutoff && (reasons.cutoff.is_none() || reasons.cutoff_within.is_none()) {
            self.find(&(0..0), "[reasons] baseline = \"near_cutoff\" needs `cutoff` and `cutoff_within`".into());
        }
        self.notice();
    }

    /// A notice in a language needs every reason in it, and its braces must stand for something.
    fn notice(&mut self) {
        let Some(notice) = &self.model.card.notice else { return };
        let (span, notice) = (notice.span(), notice.get_ref());
        let mut found = Vec::new();
        for (what, texts) in [("scored", &notice.scored), ("unscored", &notice.unscored)] {
            for (language, text) in texts {
                for place in places(text).filter(|place| !Notice::PLACES.contains(place)) {
                    let hint = did_you_mean(place, Notice::PLACES);
                    found.push(format!(
                        "[notice] {what}.{language}: {{{place}}} stands for nothing{hint}; there are {}",
                        Notice::PLACES.join(", ")
                    ));
                }
                for reason in self.model.card.reason.iter().map(Spanned::get_ref) {
                    let lacks = |texts: &BTreeMap<String, String>| !texts.is_empty() && !texts.contains_key(language);
                    if lacks(&reason.text) || lacks(&reason.missing) || lacks(&reason.advice) {
                        found.push(format!(
                            "the reason `{}` is not translated to {language}, and [notice] is",
                            reason.code
                        ));
                    }
                }
            }
        }
        found.sort();
        found.dedup();
        found.into_iter().for_each(|message| self.find(&span, message));
    }
}

/// What stands in braces.
fn places(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).map(|part| part.split('}').next().unwrap_or_default())
}
