//! The scores of one bucket of subjects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::card::Scorecard;
use super::evidence::{Adverse, Evidence};
use super::points::Fraction;
use super::policy::{PolicyRule, Trigger};
use super::rules::Rules;
use crate::contract::{Calendar, Contract};
use crate::engine::Frame;
use crate::features::Plan;
use crate::features::compute::{Computer, FeatureRows, Sums};
use crate::ingest::bucket::Cleaner;
use crate::ingest::consents::SCORE;
use crate::ingest::pass::Ingested;
use crate::ingest::resolve::{Resolved, resolve};
use crate::ingest::scan::Findings;
use crate::ingest::spine::IdForm;
use crate::ingest::store::BucketRows;
use crate::ingest::{subjects, ties};
use crate::pipeline::Model;
use crate::pipeline::model::NO_CONSENT;

/// No score, no override.
pub const NONE: i16 = -1;

/// What scoring needs of the run.
pub struct Scorer<'a> {
    /// What was read.
    pub ingested: &'a Ingested<'a>,
    /// The compiled catalogue.
    pub plan: &'a Plan,
    /// The catalogue made ready.
    pub computer: Computer<'a>,
    /// The scorecard.
    pub card: &'a Scorecard,
    /// Segments, evidence and statuses.
    pub rules: &'a Rules,
    /// Which statuses have a score.
    pub scored: Vec<bool>,
    /// The status of those who do not consent.
    no_consent: u8,
    /// The as-of date.
    pub calendar: &'a Calendar,
    own: Cleaner,
    policies: Vec<(&'a PolicyRule, Trigger)>,
    adverse: BTreeMap<String, Adverse>,
    subject_files: Vec<PathBuf>,
    /// Tables of records in the order of the contract.
    tables: Vec<String>,
}

/// The scores of consecutive subjects, one entry each.
#[derive(Debug, Clone, Default)]
pub struct ScoredRows {
    /// Segment, by position in the model file.
    pub segment: Vec<u8>,
    /// Status, by position in the model file.
    pub status: Vec<u8>,
    /// Confidence in thousandths.
    pub confidence: Vec<i16>,
    /// Bins of the scored features, subject by subject.
    pub bins: Vec<u8>,
    /// The score, or [`NONE`].
    pub score: Vec<i16>,
    /// The score before a policy rule, or [`NONE`].
    pub before: Vec<i16>,
    /// The policy rule, by position in the model file.
    pub policy: Vec<Option<u8>>,
    /// Records taken out because they are disputed.
    pub disputed: Vec<i32>,
    /// What the score would be with them, or [`NONE`].
    pub with_disputed: Vec<i16>,
}

/// What one bucket yields.
pub struct BucketResult {
    /// The scores.
    pub rows: ScoredRows,
    /// Adverse records.
    pub evidence: Vec<Evidence>,
    /// Counts and quarantined rows, by table.
    pub findings: BTreeMap<String, Findings>,
}

/// What the record tables of a bucket add up to.
struct Added<'a> {
    sums: BTreeMap<&'a str, Sums>,
    used: Vec<i64>,
    disputed: Vec<i64>,
    policy: Vec<Option<u8>>,
    evidence: Vec<Evidence>,
    contested: BTreeMap<&'a str, Resolved>,
}

impl<'a> Scorer<'a> {
    /// Makes everything ready that buckets share.
    ///
    /// # Errors
    /// When an expression is faulty, which the checks before exclude.
    #[allow(clippy::too_many_arguments, reason = "the parts of one run, each made by its own module")]
    pub fn new(
        ingested: &'a Ingested<'a>,
        plan: &'a Plan,
        card: &'a Scorecard,
        rules: &'a Rules,
        policies: &'a [PolicyRule],
        model: &Model,
        contract: &Contract,
        calendar: &'a Calendar,
        subject_files: Vec<PathBuf>,
    ) -> Result<Self> {
        let layouts = &ingested.layouts;
        let wanted = plan.subject_columns.iter().chain(&rules.subject_columns).cloned();
        let mut adverse = BTreeMap::new();
        for (number, table) in contract.tables.iter().enumerate().filter(|(_, t)| t.has_records()) {
            if let Some(layout) = layouts.get(&table.name)
                && let Some(found) = Adverse::new(layout, number, ingested.record_form(&table.name), calendar)?
            {
                adverse.insert(table.name.clone(), found);
            }
        }
        let no_consent = model.card.status.iter().position(|s| s.get_ref().name == NO_CONSENT);
        let mut ready = Vec::new();
        for policy in policies {
            if let Some(layout) = layouts.get(&policy.table) {
                ready.push((policy, policy.ready(layout, calendar)?));
            }
        }
        Ok(Self {
            ingested,
            plan,
            computer: Computer::new(plan, layouts, calendar)?,
            card,
            rules,
            scored: model.card.status.iter().map(|s| s.get_ref().scored).collect(),
            no_consent: u8::try_from(no_consent.context("the model has no status for those who do not consent")?)?,
            calendar,
            own: Cleaner::new(layouts.get("subjects").context("no subjects")?, calendar, wanted)?,
            policies: ready,
            adverse,
            subject_files,
            tables: contract.tables.iter().filter(|t| t.has_records()).map(|t| t.name.clone()).collect(),
        })
    }

    /// Scores the subjects of a bucket.
    ///
    /// # Errors
    /// When versions of a subject contradict each other, the scratch file cannot be read, or the engine fails.
    pub fn bucket(&self, bucket: usize) -> Result<BucketResult> {
        let range = self.ingested.buckets.subjects(bucket);
        let count = range.len();
        let mut findings = BTreeMap::new();
        let own = self.own_columns(bucket, &mut findings)?;
        let consents: Vec<u8> = self.ingested.consents[range.clone()].to_vec();
        let added = self.add_up(bucket, u32::try_from(range.start)?, &consents, &mut findings)?;
        self.count_ties(bucket, &mut findings)?;
        let features = self.computer.finish(count, &own, &added.sums)?;
        let facts = vec![
            ("score_consent", consents.iter().map(|c| i64::from(c & SCORE != 0)).collect()),
            ("disputed_records", added.disputed.clone()),
            ("used_records", added.used.clone()),
        ];
        let mut rows = self.rate(&consents, own.clone().with_integers(facts)?, &features)?;
        self.apply_policy(&mut rows, &added.policy);
        rows.disputed = added.disputed.iter().map(|d| i32::try_from(*d).unwrap_or(i32::MAX)).collect();
        rows.with_disputed = vec![NONE; count];
        self.with_disputed(&own, &added, &mut rows)?;
        Ok(BucketResult { rows, evidence: added.evidence, findings })
    }

    fn own_columns(&self, bucket: usize, findings: &mut BTreeMap<String, Findings>) -> Result<Frame> {
        let layout = self.ingested.layouts.get("subjects").context("no subjects")?;
        let store = self.ingested.stores.get("subjects").context("no subjects")?;
        let rows = store.take(bucket, layout.width, false)?;
        let found = findings.entry("subjects".to_owned()).or_default();
        let rows = subjects::latest(&rows, layout, &self.subject_files, found)?;
        self.own.clean(&rows, 0..rows.len(), self.calendar)
    }

    fn count_ties(&self, bucket: usize, findings: &mut BTreeMap<String, Findings>) -> Result<()> {
        let (Some(store), Some(layout)) =
            (self.ingested.stores.get("friend_links"), self.ingested.layouts.get("friend_links"))
        else {
            return Ok(());
        };
        let rows = store.take(bucket, layout.width, false)?;
        ties::merge(&rows, layout, findings.entry("friend_links".to_owned()).or_default())
    }

    /// Settles and adds up the record tables one after another.
    fn add_up(
        &self,
        bucket: usize,
        first: u32,
        consents: &[u8],
        findings: &mut BTreeMap<String, Findings>,
    ) -> Result<Added<'_>> {
        let count = consents.len();
        let may: Vec<bool> = consents.iter().map(|c| c & SCORE != 0).collect();
        let mut added = Added {
            sums: BTreeMap::new(),
            used: vec![0; count],
            disputed: vec![0; count],
            policy: vec![None; count],
            evidence: Vec::new(),
            contested: BTreeMap::new(),
        };
        for table in &self.tables {
            let (Some(store), Some(layout)) = (self.ingested.stores.get(table), self.ingested.layouts.get(table))
            else {
                continue;
            };
            let rows = store.take(bucket, layout.width, self.ingested.record_form(table) != IdForm::Integer)?;
            // Policy rules look at every record, however old.
            let policed = self.policies.iter().any(|(rule, _)| rule.table == *table);
            let plan = self.plan.tables.iter().find(|t| t.table == *table);
            let looks_back = plan.and_then(|t| t.first_day).filter(|_| !policed);
            let found = findings.entry(table.clone()).or_default();
            let resolved = resolve(rows, layout, &may, looks_back, found)?;
            let rows = self.undisputed(resolved, table, &mut added)?;
            for subject in 0..count {
                added.used[subject] += i64::try_from(rows.of(subject).len())?;
            }
            let triggered = self.triggered(table, &rows, &mut added.policy)?;
            if let Some(adverse) = self.adverse.get(table) {
                added.evidence.extend(adverse.find(&rows, first, &triggered, self.calendar)?);
            }
            added.sums.insert(table.as_str(), self.computer.sums(table, &rows, count)?);
        }
        added.evidence.sort_by_key(|e| e.subject);
        Ok(added)
    }

    /// Takes contested rows out, and keeps all rows of the subjects that contest some.
    fn undisputed<'s>(&'s self, resolved: Resolved, table: &'s str, added: &mut Added<'s>) -> Result<BucketRows> {
        if resolved.disputed.is_empty() {
            return Ok(resolved.rows);
        }
        let mut keep = Vec::with_capacity(resolved.rows.len());
        let mut starts = vec![0_u32];
        for subject in 0..added.disputed.len() {
            for row in resolved.rows.of(subject) {
                if resolved.disputed[row] {
                    added.disputed[subject] += 1;
                } else {
                    keep.push(row);
                }
            }
            starts.push(u32::try_from(keep.len())?);
        }
        let rows = resolved.rows.pick(&keep, starts);
        added.contested.insert(table, resolved);
        Ok(rows)
    }

    /// The policy rule each row of a table triggers; for each subject the strictest is kept.
    fn triggered(&self, table: &str, rows: &BucketRows, policy: &mut [Option<u8>]) -> Result<Vec<Option<u8>>> {
        let mut by_row = Vec::new();
        for (rule, trigger) in self.policies.iter().filter(|(r, _)| r.table == table) {
            let position = u8::try_from(rule.position)?;
            by_row.resize(rows.len(), None);
            let hits = trigger.rows(rows, self.calendar)?;
            for (subject, held) in policy.iter_mut().enumerate() {
                for row in rows.of(subject).filter(|r| hits[*r] == 1) {
                    by_row[row] = self.stricter(by_row[row], position);
                    *held = self.stricter(*held, position);
                }
            }
        }
        Ok(by_row)
    }

    /// The rule that leaves the lower score; of two alike the first in the model's order.
    fn stricter(&self, held: Option<u8>, other: u8) -> Option<u8> {
        let cap = |rule: u8| self.policies.iter().find(|(p, _)| p.position == usize::from(rule)).map(|(p, _)| p.cap);
        held.into_iter().chain([other]).min_by_key(|rule| (cap(*rule), *rule))
    }

    /// Segments, confidence, bins, points and status of subjects from their features.
    fn rate(&self, consents: &[u8], facts: Frame, features: &FeatureRows) -> Result<ScoredRows> {
        let count = consents.len();
        let named = self.plan.features.iter().map(|f| f.name.as_str()).zip(features.values.iter().map(Vec::as_slice));
        let frame = facts.with_doubles(named)?;
        let segment = self.rules.segments(&frame, count)?;
        let by_category = self.rules.confidences(&frame, count)?;
        let confidence: Vec<i16> = (0..count)
            .map(|s| {
                let weights = &self.card.weights[usize::from(segment[s])];
                let sum: i64 = (0..5).map(|c| weights[c] * by_category[c][s]).sum();
                let mean = Fraction { numerator: i128::from(sum), denominator: 100 }.round_half_even();
                i16::try_from(mean).unwrap_or(i16::MAX)
            })
            .collect();
        let shares: Vec<f64> = confidence.iter().map(|c| f64::from(*c) / 1000.0).collect();
        let frame = frame.with_doubles([("confidence", shares.as_slice())])?;
        let mut status = self.rules.statuses(&frame, count)?;
        for (status, consent) in status.iter_mut().zip(consents) {
            // Whatever the model's rules say, nobody is scored without consent.
            if consent & SCORE == 0 && self.scored[usize::from(*status)] {
                *status = self.no_consent;
            }
        }
        let bins = self.bins(count, features);
        let width = self.card.features.len();
        let score = (0..count)
            .map(|s| match self.scored[usize::from(status[s])] {
                true => self.score(usize::from(segment[s]), &bins[s * width..(s + 1) * width]),
                false => NONE,
            })
            .collect();
        Ok(ScoredRows {
            segment,
            status,
            confidence,
            bins,
            score,
            before: vec![NONE; count],
            policy: vec![None; count],
            ..ScoredRows::default()
        })
    }

    fn score(&self, segment: usize, bins: &[u8]) -> i16 {
        i16::try_from(self.card.low + self.card.points(segment, bins).total).unwrap_or(i16::MAX)
    }

    fn bins(&self, count: usize, features: &FeatureRows) -> Vec<u8> {
        let width = self.card.features.len();
        let mut bins = vec![0; count * width];
        for (n, feature) in self.card.features.iter().enumerate() {
            let (values, nones) = (&features.values[feature.position], &features.nones[feature.position]);
            for s in 0..count {
                bins[s * width + n] = feature.bin(values[s], nones[s] == 1);
            }
        }
        bins
    }

    fn apply_policy(&self, rows: &mut ScoredRows, policy: &[Option<u8>]) {
        for (s, held) in policy.iter().enumerate() {
            let Some(capped) = held.and_then(|h| self.capped(rows.score[s], h)) else { continue };
            rows.before[s] = rows.score[s];
            rows.score[s] = capped;
            rows.policy[s] = *held;
        }
    }

    /// The score a policy rule leaves, if it lowers it.
    fn capped(&self, score: i16, rule: u8) -> Option<i16> {
        let (policy, _) = self.policies.iter().find(|(p, _)| p.position == usize::from(rule))?;
        let cap = i16::try_from(policy.cap).ok()?;
        (score > cap).then_some(cap)
    }

    /// What the score of subjects with disputed records would be with them; segment as it is.
    fn with_disputed(&self, own: &Frame, added: &Added, rows: &mut ScoredRows) -> Result<()> {
        let chosen: Vec<usize> =
            (0..added.disputed.len()).filter(|s| added.disputed[*s] > 0 && rows.score[*s] != NONE).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let mut policy = vec![None; chosen.len()];
        let mut sums = BTreeMap::new();
        for (table, all) in &added.sums {
            let few = match added.contested.get(table) {
                Some(resolved) => {
                    let mut keep = Vec::new();
                    let mut starts = vec![0_u32];
                    for s in &chosen {
                        keep.extend(resolved.rows.of(*s));
                        starts.push(u32::try_from(keep.len())?);
                    }
                    let few = resolved.rows.pick(&keep, starts);
                    self.triggered(table, &few, &mut policy)?;
                    self.computer.sums(table, &few, chosen.len())?
                }
                None => all.iter().map(|column| chosen.iter().map(|s| column[*s]).collect()).collect(),
            };
            sums.insert(*table, few);
        }
        let features = self.computer.finish(chosen.len(), &own.pick(&chosen)?, &sums)?;
        let bins = self.bins(chosen.len(), &features);
        let width = self.card.features.len();
        for (n, s) in chosen.into_iter().enumerate() {
            let score = self.score(usize::from(rows.segment[s]), &bins[n * width..(n + 1) * width]);
            let held = policy[n].map_or(rows.policy[s], |p| self.stricter(rows.policy[s], p));
            rows.with_disputed[s] = held.and_then(|h| self.capped(score, h)).unwrap_or(score);
        }
        Ok(())
    }
}
