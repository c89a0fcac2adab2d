//! The scores of one bucket of subjects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::card::{Origin, Scorecard};
use super::evidence::{Adverse, Evidence};
use super::points::Fraction;
use super::policy::{Caps, PolicyRule, Trigger};
use super::rows::ScoredRows;
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
use crate::ingest::subjects;
use crate::pipeline::Model;
use crate::pipeline::model::{NO_CONSENT, RELATIONSHIPS};

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
    /// What the rules leave of a score.
    pub caps: Caps,
    adverse: BTreeMap<String, Adverse>,
    subject_files: Vec<PathBuf>,
    /// Tables of records in the order of the contract.
    tables: Vec<String>,
}

/// A subject with contested records, as it would be rated with them.
#[derive(Debug, Clone)]
pub struct Contested {
    /// The subject.
    pub subject: u32,
    /// Its bins.
    pub bins: Vec<u8>,
    /// The policy rule that a record triggers.
    pub held: Option<u8>,
}

/// What one bucket yields.
pub struct BucketResult {
    /// The subjects, without scores.
    pub rows: ScoredRows,
    /// Those with contested records.
    pub contested: Vec<Contested>,
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
            caps: Caps::new(policies)?,
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
        let features = self.computer.finish(count, &own, &added.sums)?;
        let facts = vec![
            ("score_consent", consents.iter().map(|c| i64::from(c & SCORE != 0)).collect()),
            ("disputed_records", added.disputed.clone()),
            ("used_records", added.used.clone()),
        ];
        let mut rows = self.rate(&consents, own.clone().with_integers(facts)?, &features)?;
        rows.disputed = added.disputed.iter().map(|d| i32::try_from(*d).unwrap_or(i32::MAX)).collect();
        rows.triggered.clone_from(&added.policy);
        let contested = self.contested(u32::try_from(range.start)?, &own, &added, &rows)?;
        Ok(BucketResult { rows, contested, evidence: added.evidence, findings })
    }

    fn own_columns(&self, bucket: usize, findings: &mut BTreeMap<String, Findings>) -> Result<Frame> {
        let layout = self.ingested.layouts.get("subjects").context("no subjects")?;
        let store = self.ingested.stores.get("subjects").context("no subjects")?;
        let rows = store.take(bucket, layout.width, false)?;
        let found = findings.entry("subjects".to_owned()).or_default();
        let rows = subjects::latest(&rows, layout, &self.subject_files, found)?;
        self.own.clean(&rows, 0..rows.len(), self.calendar)
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
                    by_row[row] = self.caps.stricter(by_row[row], position);
                    *held = self.caps.stricter(*held, position);
                }
            }
        }
        Ok(by_row)
    }

    /// Segment, confidence, status, bins and own share of subjects from their features.
    fn rate(&self, consents: &[u8], facts: Frame, features: &FeatureRows) -> Result<ScoredRows> {
        let count = consents.len();
        let named = self.plan.features.iter().map(|f| f.name.as_str()).zip(features.values.iter().map(Vec::as_slice));
        let frame = facts.with_doubles(named)?;
        let segment = self.rules.segments(&frame, count)?;
        let by_category = self.rules.confidences(&frame, count)?;
        let confidence: Vec<i16> = (0..count)
            .map(|s| {
                // Confidence is a subject's own: friends neither add to it nor take from it.
                let weights = &self.card.weights[usize::from(segment[s])][..RELATIONSHIPS];
                let sum: i64 = weights.iter().zip(&by_category).map(|(w, c)| w * c[s]).sum();
                let all: i64 = weights.iter().sum::<i64>().max(1);
                let mean = Fraction { numerator: i128::from(sum), denominator: i128::from(all) }.round_half_even();
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
        let own_share = (0..count)
            .map(|s| self.card.own_share(usize::from(segment[s]), &bins[s * width..(s + 1) * width]))
            .collect();
        let marks = self.rules.marks(&frame, count)?;
        Ok(ScoredRows { segment, status, confidence, bins, own_share, marks, ..ScoredRows::default() })
    }

    fn bins(&self, count: usize, features: &FeatureRows) -> Vec<u8> {
        let width = self.card.features.len();
        let mut bins = vec![0; count * width];
        for (n, feature) in self.card.features.iter().enumerate() {
            let Origin::Plan(position) = feature.origin else {
                // Friends come later; until then there are none.
                (0..count).for_each(|s| bins[s * width + n] = feature.bin(f64::NAN, true));
                continue;
            };
            let (values, nones) = (&features.values[position], &features.nones[position]);
            for s in 0..count {
                bins[s * width + n] = feature.bin(values[s], nones[s] == 1);
            }
        }
        bins
    }

    /// How subjects with contested records would be rated with them; segment as it is.
    fn contested(&self, first: u32, own: &Frame, added: &Added, rows: &ScoredRows) -> Result<Vec<Contested>> {
        let scored = |s: &usize| self.scored[usize::from(rows.status[*s])];
        let chosen: Vec<usize> = (0..added.disputed.len()).filter(|s| added.disputed[*s] > 0 && scored(s)).collect();
        if chosen.is_empty() {
            return Ok(Vec::new());
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
        let contested = chosen.into_iter().enumerate().map(|(n, s)| {
            Ok(Contested {
                subject: first + u32::try_from(s)?,
                bins: bins[n * width..(n + 1) * width].to_vec(),
                held: policy[n].map_or(rows.triggered[s], |p| self.caps.stricter(rows.triggered[s], p)),
            })
        });
        contested.collect()
    }
}
