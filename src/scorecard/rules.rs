//! The model's rules over finished features: segments, evidence and statuses.

use anyhow::Result;

use crate::contract::{Calendar, Contract, subject_scope};
use crate::engine::{Frame, Program};
use crate::expression::{ColumnKind, Expression, Numbers, Scope};
use crate::features::Plan;
use crate::graph::neighbours::{IN_DEFAULT, VERIFIED};
use crate::pipeline::model::CATEGORIES;
use crate::pipeline::{Findings, Model};

/// The rules made ready to run.
#[derive(Debug, Clone)]
pub struct Rules {
    segments: Program,
    evidence: Program,
    /// The category of each evidence expression, and its k.
    strengths: Vec<(usize, f64)>,
    statuses: Program,
    /// Whose identity is verified, and who is in default.
    marks: Program,
    /// The columns of `subjects` that rules read.
    pub subject_columns: Vec<String>,
    /// The features that rules read, among other facts.
    pub features: Vec<String>,
}

/// Columns beside the features that rules may read.
const FACTS: [(&str, ColumnKind); 4] = [
    ("score_consent", ColumnKind::Flag),
    ("disputed_records", ColumnKind::Number),
    ("used_records", ColumnKind::Number),
    ("confidence", ColumnKind::Number),
];

impl Rules {
    /// Parses and checks every rule of a model.
    ///
    /// # Errors
    /// All findings, with file and line.
    pub fn new(model: &Model, plan: &Plan, contract: &Contract, calendar: &Calendar) -> Result<Self> {
        let mut scope = subject_scope(contract.table("subjects")?, &contract.limits, calendar);
        "the features".clone_into(&mut scope.place);
        for feature in &plan.features {
            scope.column(&feature.name, ColumnKind::Number);
        }
        let mut full = scope.clone();
        for (name, kind) in FACTS {
            full.column(name, kind);
        }
        let mut findings = Findings::default();
        for feature in &model.catalogue.features {
            let name = &feature.declared.name;
            if FACTS.iter().any(|(fact, _)| fact == name) {
                let message = format!("feature `{name}`: rules read another fact of this name; choose another");
                findings.0.push(model.catalogue.sources[feature.source].finding(&feature.span, message));
            }
        }
        let mut read = Vec::new();
        let mut parse = |text: &toml::Spanned<String>, scope: &Scope, condition: bool| {
            let parsed = if condition {
                Expression::predicate(text.get_ref(), scope, Numbers::Decimal)
            } else {
                Expression::number(text.get_ref(), scope, Numbers::Decimal)
            };
            match parsed {
                Ok(expression) => {
                    read.extend(expression.columns.iter().cloned());
                    expression.local
                }
                Err(message) => {
                    findings.0.push(model.source.finding(&text.span(), message));
                    String::new()
                }
            }
        };
        let card = &model.card;
        let segments: Vec<String> =
            card.segment.iter().filter_map(|s| Some(parse(s.get_ref().when.as_ref()?, &scope, true))).collect();
        let statuses: Vec<String> =
            card.status.iter().filter_map(|s| Some(parse(s.get_ref().when.as_ref()?, &full, true))).collect();
        let (mut evidence, mut strengths) = (Vec::new(), Vec::new());
        for category in card.category.iter().map(toml::Spanned::get_ref) {
            let at = CATEGORIES.iter().position(|c| *c == category.name);
            if let (Some(at), Some(text), Some(k)) = (at, &category.evidence, category.evidence_strength) {
                evidence.push(parse(text, &scope, false));
                strengths.push((at, k));
            }
        }
        let marks = [&card.propagation.verified, &card.propagation.in_default].map(|rule| parse(rule, &scope, true));
        findings.or(())?;
        let subjects = subject_scope(contract.table("subjects")?, &contract.limits, calendar);
        read.sort();
        read.dedup();
        let (subject_columns, features) = read.into_iter().partition(|c| subjects.kind(c).is_some());
        Ok(Self {
            segments: Program::conditions(segments.iter().map(String::as_str))?,
            evidence: Program::doubles(evidence.iter().map(String::as_str))?,
            strengths,
            statuses: Program::conditions(statuses.iter().map(String::as_str))?,
            marks: Program::conditions(marks.iter().map(String::as_str))?,
            subject_columns,
            features,
        })
    }

    /// The segment of each subject: the first whose rule holds, else the last.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn segments(&self, frame: &Frame, subjects: usize) -> Result<Vec<u8>> {
        first_that_holds(&self.segments, frame, subjects)
    }

    /// The status of each subject: the first whose rule holds, else the last.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn statuses(&self, frame: &Frame, subjects: usize) -> Result<Vec<u8>> {
        first_that_holds(&self.statuses, frame, subjects)
    }

    /// What friends are told of each subject: [`VERIFIED`] and [`IN_DEFAULT`].
    ///
    /// # Errors
    /// When the engine fails.
    pub fn marks(&self, frame: &Frame, subjects: usize) -> Result<Vec<u8>> {
        let mut marks = vec![0; subjects];
        for (result, mark) in self.marks.run(frame)?.iter().zip([VERIFIED, IN_DEFAULT]) {
            for (marks, holds) in marks.iter_mut().zip(result.conditions()?) {
                *marks |= holds * mark;
            }
        }
        Ok(marks)
    }

    /// Confidence of each subject by category, in thousandths: n / (n + k) of the evidence mass n.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn confidences(&self, frame: &Frame, subjects: usize) -> Result<[Vec<i64>; 5]> {
        let mut all: [Vec<i64>; 5] = std::array::from_fn(|_| vec![0; subjects]);
        for ((category, k), masses) in self.strengths.iter().zip(self.evidence.run(frame)?) {
            for (confidence, mass) in all[*category].iter_mut().zip(masses.doubles()?) {
                let mass = if mass.is_nan() { 0.0 } else { mass.max(0.0) };
                #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1000")]
                let thousandths = (1000.0 * mass / (mass + k) + 0.5).floor() as i64;
                *confidence = thousandths;
            }
        }
        Ok(all)
    }
}

fn first_that_holds(program: &Program, frame: &Frame, subjects: usize) -> Result<Vec<u8>> {
    let last = u8::try_from(program.len())?;
    let mut found = vec![last; subjects];
    for (n, result) in program.run(frame)?.iter().enumerate().rev() {
        for (found, holds) in found.iter_mut().zip(result.conditions()?) {
            if holds == 1 {
                *found = u8::try_from(n)?;
            }
        }
    }
    Ok(found)
}
