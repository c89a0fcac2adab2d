//! What stages are made from, by name and hash.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::features::compile;
use crate::job::Job;
use crate::job::dependencies::{Dependencies, differences, input_part};
use crate::measure::bucket::{first_day, tables};
use crate::pipeline::model::{CATEGORIES, RELATIONSHIPS};
use crate::storage::hashes::{self, Hash, part};
use jiff::civil::Date;

/// What a stage holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "of")]
pub enum Kind {
    /// The subjects, with their own columns and consents.
    Subjects,
    /// What the records of a table say.
    Records(String),
    /// The features of a category.
    Features(String),
    /// Ties between subjects.
    Ties,
    /// Outcomes that follow the as-of date.
    Outcomes,
    /// Protected groups.
    Groups,
    /// The rows of a file of a table, kept for other dates.
    Rows(String),
    /// The subjects that such rows name by number.
    Roster,
}

impl Kind {
    /// Its name, also that of its folder.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Subjects => "subjects".to_owned(),
            Self::Records(table) => format!("records-{table}"),
            Self::Features(category) => format!("features-{category}"),
            Self::Ties => "ties".to_owned(),
            Self::Outcomes => "outcomes".to_owned(),
            Self::Groups => "groups".to_owned(),
            Self::Rows(table) => format!("rows-{table}"),
            Self::Roster => "roster".to_owned(),
        }
    }
}

/// What a stage is and what it is made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// What it holds.
    #[serde(flatten)]
    pub kind: Kind,
    /// The as-of date.
    pub as_of: Date,
    /// The hash of each part it depends on.
    pub parts: BTreeMap<String, Hash>,
}

impl Key {
    /// The hash of all parts.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        part(&mut hasher, self.kind.name().as_bytes());
        part(&mut hasher, self.as_of.to_string().as_bytes());
        for (name, hash) in &self.parts {
            part(&mut hasher, name.as_bytes());
            part(&mut hasher, hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether the stage is made from a table.
    #[must_use]
    pub fn reads(&self, table: &str) -> bool {
        self.parts.contains_key(&input_part(table))
    }

    /// The parts that differ from another key's, in words.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        differences(&self.parts, &other.parts)
    }
}

/// The keys of every stage a job needs.
///
/// `hashes` are those of the input files, export by export.
///
/// # Errors
/// When the catalogue does not compile, which the job's checks exclude.
pub fn keys(job: &Job, hashes: &[Vec<Hash>]) -> Result<Vec<Key>> {
    let dependencies = Dependencies::of(job, hashes);
    let given = |table: &str| job.export(table).is_some();
    let as_of = job.snapshot.calendar.as_of();
    let key = |kind: Kind, reads: &[&str], own: &[(&str, String)]| {
        let mut parts = dependencies.of_stage(reads);
        parts.extend(own.iter().map(|(name, text)| ((*name).to_owned(), hashes::text(text))));
        Key { kind, as_of, parts }
    };
    let mut keys = vec![key(Kind::Subjects, &["subjects", "sources", "consents", "disputes"], &[])];
    for table in tables(&job.contract).filter(|t| given(t)) {
        let rules: Vec<_> = job.policies.iter().filter(|r| r.table == table).collect();
        let codes = job.model.card.policy.iter().map(|p| p.get_ref()).filter(|p| p.table == table).map(|p| &p.code);
        let own = [
            ("the policy rules", serde_json::to_string(&(rules, codes.collect::<Vec<_>>()))?),
            ("the catalogue's windows", serde_json::to_string(&first_day(job, table))?),
        ];
        keys.push(key(Kind::Records(table.to_owned()), &[table, "subjects", "consents", "disputes"], &own));
    }
    for category in categories(job) {
        let catalogue = job.model.catalogue.only(&BTreeSet::from([category.clone()]));
        let plan = compile(&catalogue, &job.contract, &job.snapshot.calendar, &job.present())?;
        let mut reads: Vec<&str> = plan.tables.iter().map(|t| t.table.as_str()).collect();
        reads.extend(["subjects", "consents", "disputes", "sources"]);
        keys.push(key(Kind::Features(category), &reads, &[("the features", serde_json::to_string(&plan)?)]));
    }
    if given("friend_links") && job.model.card.propagation.enabled {
        let age = job.model.card.propagation.min_tie_age_days.to_string();
        keys.push(key(Kind::Ties, &["friend_links", "subjects", "consents"], &[("the age of ties", age)]));
    }
    for (kind, table) in [(Kind::Outcomes, "outcomes"), (Kind::Groups, "groups")] {
        if given(table) {
            keys.push(key(kind, &[table, "subjects"], &[]));
        }
    }
    Ok(keys)
}

/// The categories that have features of a subject's own records.
fn categories(job: &Job) -> BTreeSet<String> {
    let own = job.plan.features.iter().filter(|f| f.category != CATEGORIES[RELATIONSHIPS]);
    own.map(|f| f.category.clone()).collect()
}
