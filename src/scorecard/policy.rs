//! Policy rules: records that cap a score.

use anyhow::Result;

use crate::contract::{Calendar, Contract, table_scope};
use crate::engine::Program;
use crate::expression::{Expression, Numbers};
use crate::features::compute::RUN_ROWS;
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::Layout;
use crate::ingest::rows::store::BucketRows;
use crate::pipeline::{Finding, Findings, Model};
use serde::Serialize;

/// One rule made ready to run over its table.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyRule {
    /// Its position in the model file.
    pub position: usize,
    /// The table whose records trigger it.
    pub table: String,
    /// The highest score left.
    pub cap: i64,
    condition: Expression,
}

/// The policy rules of a model, in order.
///
/// # Errors
/// All findings, with file and line.
pub fn rules(model: &Model, contract: &Contract, calendar: &Calendar) -> Result<Vec<PolicyRule>> {
    let mut findings = Findings::default();
    let mut rules = Vec::new();
    for (position, policy) in model.card.policy.iter().enumerate() {
        let (rule, span) = (policy.get_ref(), policy.span());
        let table = contract.tables.iter().find(|t| t.name == rule.table && t.has_records());
        let Some(table) = table else {
            findings.0.push(
                model
                    .source
                    .finding(&span, format!("policy `{}`: there is no table `{}` of records", rule.code, rule.table)),
            );
            continue;
        };
        match Expression::predicate(
            rule.condition.get_ref(),
            &table_scope(table, &contract.limits, calendar),
            Numbers::Integer,
        ) {
            Ok(condition) => rules.push(PolicyRule { position, table: table.name.clone(), cap: rule.cap, condition }),
            Err(message) => findings.0.push(Finding {
                ..model.source.finding(&rule.condition.span(), format!("policy `{}`: {message}", rule.code))
            }),
        }
    }
    Ok(findings.or(rules)?)
}

impl PolicyRule {
    /// Makes the rule ready for stored rows of its table.
    ///
    /// # Errors
    /// When the engine does not take its condition.
    pub fn ready(&self, layout: &Layout, calendar: &Calendar) -> Result<Trigger> {
        Trigger::ready(self.condition.clone(), layout, calendar)
    }
}

/// What policy rules leave of a score.
#[derive(Debug, Clone, Default)]
pub struct Caps(Vec<(u8, i16)>);

impl Caps {
    /// The caps of some rules.
    ///
    /// # Errors
    /// When there are more rules than a byte counts.
    pub fn new(rules: &[PolicyRule]) -> Result<Self> {
        let cap = |r: &PolicyRule| Ok((u8::try_from(r.position)?, i16::try_from(r.cap)?));
        Ok(Self(rules.iter().map(cap).collect::<Result<_>>()?))
    }

    fn of(&self, rule: u8) -> Option<i16> {
        self.0.iter().find(|(position, _)| *position == rule).map(|(_, cap)| *cap)
    }

    /// The rule that leaves the lower score; of two alike the first in the model's order.
    #[must_use]
    pub fn stricter(&self, held: Option<u8>, other: u8) -> Option<u8> {
        held.into_iter().chain([other]).min_by_key(|rule| (self.of(*rule), *rule))
    }

    /// The score a rule leaves, if it lowers it.
    #[must_use]
    pub fn capped(&self, score: i16, rule: u8) -> Option<i16> {
        self.of(rule).filter(|cap| score > *cap)
    }
}

/// A condition over the stored rows of one table.
pub struct Trigger {
    condition: Expression,
    cleaner: Cleaner,
    program: Program,
}

impl Trigger {
    /// A condition of the contract or the model over rows of a table.
    ///
    /// # Errors
    /// When it is faulty.
    pub fn new(condition: &str, layout: &Layout, calendar: &Calendar) -> Result<Self> {
        let scope = table_scope(&layout.table, &layout.limits, calendar);
        let condition = Expression::predicate(condition, &scope, Numbers::Integer).map_err(anyhow::Error::msg)?;
        Self::ready(condition, layout, calendar)
    }

    fn ready(condition: Expression, layout: &Layout, calendar: &Calendar) -> Result<Self> {
        Ok(Self {
            cleaner: Cleaner::new(layout, calendar, condition.columns.iter().cloned())?,
            program: Program::conditions([condition.local.as_str()])?,
            condition,
        })
    }

    /// The condition.
    #[must_use]
    pub const fn condition(&self) -> &Expression {
        &self.condition
    }

    /// The stored columns it reads.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        self.cleaner.reads()
    }

    /// Which rows meet the condition.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn rows(&self, rows: &BucketRows, calendar: &Calendar) -> Result<Vec<u8>> {
        let mut hits = Vec::with_capacity(rows.len());
        for from in (0..rows.len()).step_by(RUN_ROWS) {
            let frame = self.cleaner.clean(rows, from..rows.len().min(from + RUN_ROWS), calendar)?;
            for result in self.program.run(&frame)? {
                hits.append(&mut result.into_conditions()?);
            }
        }
        Ok(hits)
    }
}
