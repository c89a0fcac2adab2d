//! The linter of model files: every finding at once, with file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::basis::Basis;
use super::finding::{Finding, Findings};
use super::model::{CATEGORIES, Form, MOST_TIES, Model, NO_CONSENT, RELATIONSHIPS, ScoredFeature};
use crate::expression::did_you_mean;

/// Statuses that every model must have, whatever it calls the others: these people are never scored.
const UNSCORABLE: [&str; 3] = ["deceased", "closed", NO_CONSENT];
/// The largest importance of a feature: sums of importance times share stay far below 64 bits.
pub const MOST_IMPORTANCE: i64 = 1_000_000;
/// The longest name and the longest version: with the date and a number they are the name of a folder.
const LONGEST_NAME: usize = 64;
/// The most bins of a feature: a bin, `none` and `unknown` are one byte.
pub const MOST_BINS: u8 = 250;

/// Checks everything about a model that does not need its rules' SQL.
///
/// # Errors
/// All findings.
pub fn check(model: &Model) -> Result<(), Findings> {
    let mut linter = Linter { model, findings: Vec::new() };
    linter.scale();
    linter.categories();
    linter.segments();
    linter.bands();
    linter.statuses();
    linter.reasons();
    linter.policies();
    linter.propagation();
    linter.money();
    linter.features();
    linter.fitted();
    linter.calibration();
    Findings(linter.findings).or(())
}

pub(super) struct Linter<'a> {
    pub(super) model: &'a Model,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    pub(super) fn find(&mut self, span: &Range<usize>, message: String) {
        self.findings.push(self.model.source.finding(span, message));
    }

    fn scale(&mut self) {
        let scale = &self.model.card.scale;
        if scale.low >= scale.high || scale.high > 32_000 || scale.low < 0 {
            self.find(
                &(0..0),
                format!(
                    "[scale] runs from {} to {}; low must be below high, both within 0 and 32000",
                    scale.low, scale.high
                ),
            );
        }
        self.form();
        for (key, part) in [("name", &self.model.card.name), ("version", &self.model.card.version)] {
            let lawful = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if part.is_empty() || part.len() > LONGEST_NAME || !lawful {
                self.find(
                    &(0..0),
                    format!(
                        "{key} = {part:?} is part of the published path; use 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`"
                    ),
                );
            }
        }
    }

    fn categories(&mut self) {
        let mut seen = BTreeSet::new();
        for category in &self.model.card.category {
            let name = category.get_ref().name.as_str();
            if !CATEGORIES.contains(&name) {
                self.find(&category.span(), format!("`{name}` is no category{}", did_you_mean(name, CATEGORIES)));
            } else if !seen.insert(name) {
                self.find(&category.span(), format!("the category `{name}` stands twice"));
            }
            let strength = category.get_ref().evidence_strength;
            if category.get_ref().evidence.is_some() != strength.is_some()
                || strength.is_some_and(|k| !(k > 0.0 && k.is_finite()))
            {
                self.find(
                    &category.span(),
                    format!("`{name}`: `evidence` and `evidence_strength` (above 0) go together"),
                );
            }
        }
        for name in CATEGORIES.iter().filter(|c| !seen.contains(*c)) {
            self.find(&(0..0), format!("the category `{name}` is missing: [[category]] name = \"{name}\""));
        }
    }

    fn segments(&mut self) {
        let segments = &self.model.card.segment;
        for (n, segment) in segments.iter().enumerate() {
            let (s, span) = (segment.get_ref(), segment.span());
            for name in s.weights.keys().filter(|w| !CATEGORIES.contains(&w.as_str())) {
                self.find(
                    &span,
                    format!("segment `{}`: `{name}` is no category{}", s.name, did_you_mean(name, CATEGORIES)),
                );
            }
            let sum: i64 = s.weights.values().sum();
            if sum != 100 && self.model.card.scale.form == Form::Shares {
                self.find(&span, format!("segment `{}`: the weights sum to {sum} %, not 100 %", s.name));
            }
            if s.weights.get(CATEGORIES[RELATIONSHIPS]).is_some_and(|w| *w > 50) {
                self.find(&span, format!("segment `{}`: friends weigh more than the subject itself", s.name));
            }
            if s.weights.values().any(|w| *w < 0) {
                self.find(&span, format!("segment `{}`: a weight is negative", s.name));
            }
            if s.when.is_none() != (n + 1 == segments.len()) {
                self.find(&span, format!("segment `{}`: the last segment, and only it, has no `when`", s.name));
            }
        }
        self.unique(segments.iter().map(|s| (s.get_ref().name.clone(), s.span())).collect(), "segment");
    }

    fn bands(&mut self) {
        let card = &self.model.card;
        let mut last = None;
        for band in &card.band {
            let from = band.get_ref().from;
            let fits = last.map_or(from == card.scale.low, |l| from > l && from <= card.scale.high);
            if !fits {
                let text = match last {
                    None => format!("the first band starts at {from}, the scale at {}", card.scale.low),
                    Some(l) => {
                        format!("band `{}` starts at {from}, not above the one before it at {l}", band.get_ref().name)
                    }
                };
                self.find(&band.span(), text);
            }
            last = Some(from);
        }
        self.unique(card.band.iter().map(|b| (b.get_ref().name.clone(), b.span())).collect(), "band");
    }

    fn policies(&mut self) {
        let card = &self.model.card;
        for policy in &card.policy {
            let p = policy.get_ref();
            if !(card.scale.low..=card.scale.high).contains(&p.cap) {
                let (low, high) = (card.scale.low, card.scale.high);
                self.find(
                    &policy.span(),
                    format!("policy `{}`: the cap {} is not within {low} and {high}", p.code, p.cap),
                );
            }
        }
        self.unique(card.policy.iter().map(|p| (p.get_ref().code.clone(), p.span())).collect(), "policy");
    }

    fn propagation(&mut self) {
        let p = &self.model.card.propagation;
        let line = self.model.source.text.lines().position(|l| l.trim() == "[propagation]");
        let at = self.model.source.text.lines().take(line.unwrap_or(0)).map(|l| l.len() + 1).sum::<usize>();
        let mut wrong = Vec::new();
        let mut within = |key: &str, value: f64, range: std::ops::RangeInclusive<f64>| {
            if !range.contains(&value) {
                wrong.push(format!("`{key} = {value}` is not within {} and {}", range.start(), range.end()));
            }
        };
        within("min_tie_age_days", f64::from(p.min_tie_age_days), 0.0..=36_500.0);
        within("max_ties", p.max_ties as f64, 1.0..=MOST_TIES as f64);
        within("min_friends", f64::from(p.min_friends), 3.0..=1_000.0);
        within("full_interactions", f64::from(p.full_interactions), 1.0..=30.0);
        within("confidence_floor", p.confidence_floor, 0.001..=1.0);
        within("sender_budget", f64::from(p.sender_budget), 1.0..=1e6);
        within("anchor", p.anchor, 0.001..=1_000.0);
        within("influence", p.influence, 0.0..=0.9);
        within("precision", p.precision, 1e-6..=1.0);
        within("trust.low", p.trust.low, 0.0..=1.0);
        within("trust.span", p.trust.span, 0.001..=10.0);
        let least = std::iter::once(p.min_friends).chain(p.friend_steps.iter().copied());
        if p.friend_steps.is_empty() || !least.is_sorted_by(|a, b| a + 1 < *b) {
            wrong.push(
                "`friend_steps` must rise from above `min_friends`, by two or more: a step never tells a number".into(),
            );
        }
        if p.when_off.values().sum::<i64>() != 100 || p.when_off.values().any(|w| *w < 0) {
            wrong.push("`when_off` must give percent that sum to 100".into());
        }
        for name in p.when_off.keys().filter(|n| !CATEGORIES[..RELATIONSHIPS].contains(&n.as_str())) {
            wrong.push(format!("`when_off.{name}` is none of the other four categories"));
        }
        wrong.into_iter().for_each(|message| self.find(&(at..at), format!("[propagation] {message}")));
        for category in self.model.card.category.iter().filter(|c| c.get_ref().name == CATEGORIES[RELATIONSHIPS]) {
            if category.get_ref().evidence.is_some() {
                self.find(&category.span(), "confidence is a subject's own: `relationships` has no `evidence`".into());
            }
        }
        for feature in &self.model.card.feature {
            let f = feature.get_ref();
            let declared = self.model.catalogue.feature(&f.name);
            let of_friends = declared.is_some_and(|d| d.category == CATEGORIES[RELATIONSHIPS]);
            if of_friends && (f.none.is_some() || f.unknown.is_some()) {
                self.find(
                    &feature.span(),
                    format!(
                        "`{}`: without enough friends the category is neutral; leave `none` and `unknown` out",
                        f.name
                    ),
                );
            }
        }
    }

    fn money(&mut self) {
        for (currency, factor) in &self.model.card.money.per_unit {
            if !(*factor > 0.0 && factor.is_finite()) {
                self.find(&(0..0), format!("[money] per_unit.{currency} = {factor} is not above 0"));
            }
        }
    }

    fn statuses(&mut self) {
        let statuses = &self.model.card.status;
        for name in UNSCORABLE {
            if !statuses.iter().any(|s| s.get_ref().name == name && !s.get_ref().scored) {
                self.find(
                    &(0..0),
                    format!("the status `{name}`, without a score, is missing: [[status]] name = \"{name}\""),
                );
            }
        }
        for (n, status) in statuses.iter().enumerate() {
            let last = n + 1 == statuses.len();
            if status.get_ref().when.is_none() != last {
                self.find(
                    &status.span(),
                    format!("status `{}`: the last status, and only it, has no `when`", status.get_ref().name),
                );
            }
        }
        self.unique(statuses.iter().map(|s| (s.get_ref().name.clone(), s.span())).collect(), "status");
    }

    /// Whoever says that numbers were fitted says to what.
    fn fitted(&mut self) {
        let card = &self.model.card;
        let of = |basis: Basis, span: Range<usize>| (basis == Basis::Fitted).then_some(span);
        let features = card.feature.iter().map(|f| of(f.get_ref().basis, f.span()));
        let segments = card.segment.iter().map(|s| of(s.get_ref().basis, s.span()));
        let first = features.chain(segments).flatten().next();
        if let (Some(span), None) = (first, &card.fitted) {
            self.find(&span, "basis = \"fitted\", and no [fitted] says to what".to_owned());
        }
    }

    fn features(&mut self) {
        let card = &self.model.card;
        self.unique(card.feature.iter().map(|f| (f.get_ref().name.clone(), f.span())).collect(), "feature");
        for feature in &card.feature {
            let (f, span) = (feature.get_ref(), feature.span());
            let Some(declared) = self.model.catalogue.feature(&f.name) else {
                let names = self.model.catalogue.features.iter().map(|f| f.declared.name.as_str());
                self.find(
                    &span,
                    format!("the feature `{}` is not in the catalogue{}", f.name, did_you_mean(&f.name, names)),
                );
                continue;
            };
            if !CATEGORIES.contains(&declared.category.as_str()) {
                self.find(
                    &span,
                    format!("the feature `{}` is of the category `{}`, which is not scored", f.name, declared.category),
                );
            }
            self.form_of(f, &span, declared);
            self.counts_in(f, &span);
            self.bins(f, &span, declared);
        }
    }

    /// The segments that a feature names.
    fn counts_in(&mut self, f: &ScoredFeature, span: &Range<usize>) {
        let Some(segments) = &f.segments else { return };
        let known: Vec<&str> = self.model.card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        if segments.is_empty() {
            self.find(
                span,
                format!("the feature `{}` counts in no segment; name one, or leave `segments` out", f.name),
            );
        }
        for name in segments.iter().filter(|name| !known.contains(&name.as_str())) {
            let hint = did_you_mean(name, known.iter().copied());
            let message =
                format!("the feature `{}`: `{name}` is no segment{hint}; there are {}", f.name, known.join(", "));
            self.find(span, message);
        }
        self.unique(segments.iter().map(|name| (name.clone(), span.clone())).collect(), "segment of a feature");
    }

    pub(super) fn unique(&mut self, names: Vec<(String, Range<usize>)>, what: &str) {
        let mut seen: BTreeMap<String, ()> = BTreeMap::new();
        for (name, span) in names {
            if seen.insert(name.clone(), ()).is_some() {
                self.find(&span, format!("the {what} `{name}` stands twice"));
            }
        }
    }
}
