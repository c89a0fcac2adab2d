//! A job: a pipeline, its model and its inputs at one as-of date, found to fit together.
//!
//! [`load`] checks them; [`inputs`] says which files were read, [`dependencies`] what the result depends on.

pub mod dependencies;
pub mod inputs;
pub mod load;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::contract::{Contract, Snapshot};
use crate::features::Plan;
use crate::ingest::pass::Pass;
use crate::ingest::read::export::Export;
use crate::ingest::shuffled::Shuffled;
use crate::machine::budget::Budget;
use crate::machine::resources::Resources;
use crate::pipeline::{Model, Pipeline};
use crate::scorecard::Scorecard;
use crate::scorecard::policy::PolicyRule;
use crate::scorecard::rules::Rules;
use crate::storage::erased::Erased;

/// A pipeline whose configuration, model and inputs were found to fit.
#[derive(Clone)]
pub struct Job {
    /// The contract.
    pub contract: Arc<Contract>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// The opened exports.
    pub exports: Arc<Vec<Export>>,
    /// The model.
    pub model: Arc<Model>,
    /// As-of date and knowledge cut-off.
    pub snapshot: Snapshot,
    /// The compiled catalogue.
    pub plan: Plan,
    /// The scorecard.
    pub card: Scorecard,
    /// Segments, evidence and statuses.
    pub rules: Rules,
    /// Policy rules.
    pub policies: Vec<PolicyRule>,
    /// Whose rows are left out because they were erased: the session says so, which knows the output folder.
    pub erased: Arc<Erased>,
    /// The rows of its tables that are not divided into shards, where another engine staged them.
    pub staged: Option<Arc<Shuffled>>,
}

impl Job {
    /// The tables whose exports the pipeline gives.
    #[must_use]
    pub fn present(&self) -> BTreeSet<String> {
        present(&self.exports)
    }

    /// A pass over the exports for some dates.
    #[must_use]
    pub fn pass<'a>(&'a self, snapshots: &'a [Snapshot], budget: &'a Budget, resources: &'a Resources<'a>) -> Pass<'a> {
        Pass {
            contract: &self.contract,
            snapshots,
            currency: &self.pipeline.settings.currency,
            exports: &self.exports,
            budget,
            resources,
            erased: &self.erased,
            shard: None,
            shuffled: self.staged.as_deref(),
            divided: None,
            keeping: None,
        }
    }

    /// The export of a table.
    #[must_use]
    pub fn export(&self, table: &str) -> Option<&Export> {
        self.exports.iter().find(|e| e.table.name == table)
    }
}

/// The tables that exports are given of.
fn present(exports: &[Export]) -> BTreeSet<String> {
    exports.iter().map(|e| e.table.name.clone()).collect()
}
