//! What scoring works on: the stages of one as-of date, opened.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::features::Features;
use super::key::Kind;
use super::records::Records;
use super::store::Stage;
use super::subjects::Subjects;
use super::ties::Ties;
use super::{groups, outcomes};
use crate::features::compute::FeatureRows;
use crate::ingest::check::findings::Findings;
use crate::ingest::links::ties::DroppedTies;
use crate::ingest::settle::disputes::DisputeCount;
use crate::ingest::settle::groups::GroupColumn;
use crate::ingest::settle::outcomes::Outcome;
use crate::job::Job;
use crate::measure::bucket::RecordCounts;

/// The stages of one date.
#[derive(Debug)]
pub struct StageData {
    /// The subjects.
    pub subjects: Subjects,
    /// What subjects are rated by; nothing once they are.
    rated_by: Option<RatedBy>,
    /// Number of features of the plan.
    width: usize,
    /// The ties, with why other rows are none; nothing without links or when the category is off.
    pub ties: Option<(Ties, DroppedTies)>,
    /// The stages that are read when they are asked for: they hold everyone, and scoring needs none of it.
    outcomes: Option<Stage>,
    groups: Option<Stage>,
    /// What the disputes came to, by table.
    pub disputes: BTreeMap<String, DisputeCount>,
    /// What was counted and quarantined, by table.
    pub findings: BTreeMap<String, Findings>,
}

/// What subjects are rated by. The footers alone of so many files tell of every column of every block, which is some bytes a subject.
#[derive(Debug, Default)]
struct RatedBy {
    records: Vec<Records>,
    features: Vec<Features>,
}

impl StageData {
    /// Opens the stages of a job.
    ///
    /// # Errors
    /// When one is damaged or missing.
    pub fn open(job: &Job, stages: &[Stage]) -> Result<Self> {
        let subjects = stages.iter().find(|s| s.label.key.kind == Kind::Subjects).context("no stage of subjects")?;
        let mut data = Self {
            subjects: Subjects::open(subjects, job.contract.table("subjects")?)?,
            rated_by: None,
            width: job.plan.features.len(),
            ties: None,
            outcomes: None,
            groups: None,
            disputes: BTreeMap::new(),
            findings: BTreeMap::new(),
        };
        let mut rated_by = RatedBy::default();
        for stage in stages {
            data.findings.extend(stage.findings()?);
            match &stage.label.key.kind {
                Kind::Subjects | Kind::Rows(_) | Kind::Roster => {}
                Kind::Groups => data.groups = Some(stage.clone()),
                Kind::Records(table) => {
                    data.disputes.extend(stage.label.disputes.map(|count| (table.clone(), count)));
                    rated_by.records.push(Records::open(stage)?);
                }
                Kind::Features(category) => {
                    let of = job.plan.features.iter().enumerate().filter(|(_, f)| f.category == *category);
                    let positions = of.map(|(at, f)| (at, f.name.clone())).collect();
                    rated_by.features.push(Features::open(stage, positions)?);
                }
                Kind::Ties => {
                    let dropped = stage.label.dropped.context("a stage of ties without its counts")?;
                    data.ties = Some((Ties::open(stage, data.subjects.len())?, dropped));
                }
                Kind::Outcomes => data.outcomes = Some(stage.clone()),
            }
        }
        data.rated_by = Some(rated_by);
        Ok(data)
    }

    /// Lets go of what subjects are rated by, when they are.
    pub fn rated(&mut self) {
        self.rated_by = None;
    }

    fn rated_by(&self) -> Result<&RatedBy> {
        self.rated_by.as_ref().context("defect: what subjects are rated by is let go")
    }

    /// The features of a block's subjects.
    ///
    /// # Errors
    /// When a stage is damaged.
    pub fn features(&self, at: usize) -> Result<FeatureRows> {
        let mut rows = FeatureRows { values: vec![Vec::new(); self.width], nones: vec![Vec::new(); self.width] };
        self.rated_by()?.features.iter().try_for_each(|stage| stage.fill(at, &mut rows))?;
        Ok(rows)
    }

    /// The features of some subjects of a block as they would be with their disputed records.
    ///
    /// # Errors
    /// When a stage is damaged.
    pub fn with_disputed(&self, rows: &FeatureRows, first: u32, positions: &[usize]) -> Result<FeatureRows> {
        let mut few = FeatureRows {
            values: rows.values.iter().map(|c| positions.iter().map(|p| c[*p]).collect()).collect(),
            nones: rows.nones.iter().map(|c| positions.iter().map(|p| c[*p]).collect()).collect(),
        };
        let subjects = positions.iter().map(|p| Ok(first + u32::try_from(*p)?)).collect::<Result<Vec<u32>>>()?;
        self.rated_by()?.features.iter().try_for_each(|stage| stage.replace(&subjects, &mut few))?;
        Ok(few)
    }

    /// Outcomes that follow the as-of date, by horizon and subject.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn outcomes(&self) -> Result<Vec<Outcome>> {
        self.outcomes.as_ref().map_or_else(|| Ok(Vec::new()), outcomes::read)
    }

    /// Protected groups.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn groups(&self) -> Result<Vec<GroupColumn>> {
        self.groups.as_ref().map_or_else(|| Ok(Vec::new()), groups::read)
    }

    /// What the records of a block's subjects say, table by table.
    ///
    /// # Errors
    /// When a stage is damaged.
    pub fn records(&self, at: usize) -> Result<Vec<RecordCounts>> {
        self.rated_by()?.records.iter().map(|stage| stage.counts(at)).collect()
    }
}
