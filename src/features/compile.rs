//! From the catalogue's declarations to accumulators and formulas.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Result;
use toml::Spanned;

use super::formula::{combine, constant, double, quotient, unknown};
use super::plan::{CompiledFeature, Plan, Sum, WEIGHT_ONE};
use super::reads::{Mistake, Reads, Rows};
use crate::contract::{Calendar, Contract, subject_scope};
use crate::expression::{Expression, Numbers, Scope, decimal};
use crate::pipeline::catalogue::{Aggregate, Catalogue, Declaration, Feature, Part, Rowwise, Scale};
use crate::pipeline::finding::{Findings, Source};
use crate::pipeline::model::{CATEGORIES, RELATIONSHIPS};

/// Compiles a catalogue for an as-of date. Features whose table is not among `present` are null, `unknown`.
///
/// # Errors
/// Every mistake in the catalogue, with file and line.
pub fn compile(
    catalogue: &Catalogue,
    contract: &Contract,
    calendar: &Calendar,
    present: &BTreeSet<String>,
) -> Result<Plan> {
    let mut compiler = Compiler {
        contract,
        subject_scope: subject_scope(contract.table("subjects")?, &contract.limits, calendar),
        reads: Reads::new(contract, calendar, present),
        findings: Findings::default(),
    };
    let mut features = Vec::with_capacity(catalogue.features.len());
    for feature in &catalogue.features {
        let source = &catalogue.sources[feature.source];
        if feature.declared.aggregate.of_friends() || feature.category == CATEGORIES[RELATIONSHIPS] {
            compiler.of_friends(feature, source);
            continue;
        }
        features.extend(compiler.feature(feature, source));
    }
    let Compiler { reads, findings, subject_scope, .. } = compiler;
    let subject_columns: BTreeSet<String> = features
        .iter()
        .flat_map(|f: &CompiledFeature| f.value.columns.iter().chain(&f.none.columns))
        .filter(|c| subject_scope.kind(c).is_some())
        .cloned()
        .collect();
    let subject_columns = subject_columns.into_iter().collect();
    Ok(findings.or(Plan { tables: reads.finish(), features, subject_columns })?)
}

/// What the two keys of a prior must be.
pub(super) const PRIOR: &str = "`prior` (0 to 1) and `prior_strength` (above 0, at most 1000000) go together";
pub(super) const MOST_STRENGTH: f64 = 1e6;

/// One side of a ratio.
struct Side {
    sum: Expression,
    /// Rows that count; nothing for columns of the subject.
    rows: Option<Expression>,
    /// Those of them whose value is known.
    told: Option<Expression>,
}

pub(super) struct Compiler<'a> {
    contract: &'a Contract,
    subject_scope: Scope,
    pub(super) reads: Reads<'a>,
    findings: Findings,
}

impl Compiler<'_> {
    fn feature(&mut self, feature: &Feature, source: &Source) -> Option<CompiledFeature> {
        let declared = &feature.declared;
        match self.formula(declared, &feature.span) {
            Ok((value, none)) => {
                Some(CompiledFeature { name: declared.name.clone(), category: feature.category.clone(), value, none })
            }
            Err((span, message)) => {
                self.findings.0.push(source.finding(&span, format!("feature `{}`: {message}", declared.name)));
                None
            }
        }
    }

    /// Checks a feature of the relationship graph, which is not computed from rows.
    fn of_friends(&mut self, feature: &Feature, source: &Source) {
        let d = &feature.declared;
        let mut find = |message: String| {
            self.findings.0.push(source.finding(&feature.span, format!("feature `{}`: {message}", d.name)));
        };
        if !d.aggregate.of_friends() {
            find("relationship features are aggregates over the graph, such as `friends_score`".into());
        }
        if feature.category != CATEGORIES[RELATIONSHIPS] {
            find(format!("an aggregate over the graph belongs to the category `{}`", CATEGORIES[RELATIONSHIPS]));
        }
        if d.table.is_some() || d.condition.is_some() || d.of.is_some() || d.window.is_some() || d.applies.is_some() {
            find("an aggregate over the graph has no `source`, `where`, `of`, `window` or `applies`".into());
        }
        let shrunk = matches!(d.aggregate, Aggregate::FriendsVerified | Aggregate::FriendsInDefault);
        let prior = d.prior.zip(d.prior_strength);
        if prior.is_some_and(|(p, k)| !(shrunk && (0.0..=1.0).contains(&p) && k > 0.0 && k <= MOST_STRENGTH))
            || d.prior.is_some() != d.prior_strength.is_some()
        {
            find(format!("{PRIOR}, and with shares of friends only"));
        }
    }

    fn formula(&mut self, d: &Declaration, span: &Range<usize>) -> Result<(Expression, Expression), Mistake> {
        let here = |message: String| (span.clone(), message);
        let lawful = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if d.name.is_empty() || !d.name.chars().all(lawful) || d.name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(here("a name is lower-case letters, digits and underscores".into()));
        }
        if d.name.contains("__") {
            return Err(here("two underscores in a row are kept for the sums behind features".into()));
        }
        let itself = d.aggregate == Aggregate::Value && d.of.as_ref().is_some_and(|of| *of.get_ref() == d.name);
        if self.subject_scope.kind(&d.name).is_some() && !itself {
            return Err(here("a column of `subjects` has this name; choose another".into()));
        }
        if let Some(word) = self.contract.denied(&d.name) {
            return Err(here(format!(
                "`{word}` is on the deny list: protected attributes and their proxies are never features"
            )));
        }
        if d.names_codes.as_ref().is_some_and(|why| why.trim().is_empty()) {
            return Err(here("`names_codes` is empty; say in words why this feature may name codes".into()));
        }
        self.reads.name_codes(d.names_codes.is_some());
        let (value, none) = match d.aggregate {
            Aggregate::Value => (self.subject_value(d, span)?, constant("0")),
            Aggregate::Ratio => self.ratio(d, span)?,
            _ => self.aggregate(d, span)?,
        };
        let Some(applies) = &d.applies else { return Ok((value, none)) };
        let applies = Expression::predicate(applies.get_ref(), &self.subject_scope, Numbers::Decimal)
            .map_err(|m| (applies.span(), m))?;
        Ok((
            combine(&[&applies, &value], |p| format!("CASE WHEN {} THEN {} ELSE NULL END", p[0], p[1])),
            combine(&[&applies, &none], |p| format!("CASE WHEN {} THEN {} ELSE 1 END", p[0], p[1])),
        ))
    }

    fn subject_value(&self, d: &Declaration, span: &Range<usize>) -> Result<Expression, Mistake> {
        let of = d.of.as_ref().ok_or_else(|| (span.clone(), "`value` needs `of`: SQL over the subject".to_owned()))?;
        self.subject_number(of).map(|e| combine(&[&e], |p| format!("CAST({} AS DOUBLE)", p[0])))
    }

    fn subject_number(&self, of: &Spanned<String>) -> Result<Expression, Mistake> {
        Expression::number(of.get_ref(), &self.subject_scope, Numbers::Integer).map_err(|m| (of.span(), m))
    }

    /// A sum of a ratio's parts; nothing where one of its tables is not given.
    fn side(
        &mut self,
        d: &Declaration,
        name: &str,
        parts: &[Part],
        span: &Range<usize>,
    ) -> Result<Option<Side>, Mistake> {
        if parts.is_empty() {
            return Err((span.clone(), format!("`ratio` needs a `{name}`: [{{ source = …, of = … }}]")));
        }
        let (mut sums, mut rows, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (n, part) in parts.iter().enumerate() {
            if part.table == "subjects" {
                sums.push(self.subject_number(&part.of)?);
                continue;
            }
            let Some(read) = self.reads.rows(&part.table, part.condition.as_ref(), part.window.as_ref(), span)? else {
                return Ok(None);
            };
            let value = self.reads.number(&read.table, &part.of)?;
            let known = self.reads.known(&read, &value);
            let label = if parts.len() == 1 { name.to_owned() } else { format!("{name}_{}", n + 1) };
            let (all, some) = self.counted_rows(&d.name, &label, &read, &known);
            let value = self.reads.add_value(&read.table, &value);
            let sum = self.reads.accumulate(&read.table, &d.name, &label, Sum::Values { filter: known.filter, value });
            // Rows without a single value that is known tell nothing; no rows add nothing.
            sums.push(match &some {
                some if *some == all => sum,
                some => combine(&[&all, some, &sum], |p| {
                    format!("CASE WHEN {} > 0 AND {} = 0 THEN NULL ELSE {} END", p[0], p[1], p[2])
                }),
            });
            rows.push(all);
            told.push(some);
        }
        let add = |all: &[Expression]| combine(&all.iter().collect::<Vec<_>>(), |p| p.join(" + "));
        let some = |all: &[Expression]| if all.is_empty() { None } else { Some(add(all)) };
        Ok(Some(Side { sum: add(&sums), rows: some(&rows), told: some(&told) }))
    }

    fn ratio(&mut self, d: &Declaration, span: &Range<usize>) -> Result<(Expression, Expression), Mistake> {
        let above = self.side(d, "numerator", &d.numerator, span)?;
        let below = self.side(d, "denominator", &d.denominator, span)?;
        let (Some(above), Some(below)) = (above, below) else { return Ok(unknown()) };
        let scale = match &d.scale {
            None => constant("1.0E0"),
            Some(Scale::Number(number)) => constant(&decimal(*number)),
            Some(Scale::Rows(Rowwise::Rows)) => match &below.told {
                Some(told) => double(told),
                None => return Err((span.clone(), "`scale = \"rows\"` needs a denominator of rows".to_owned())),
            },
        };
        let value = combine(&[&above.sum, &scale, &below.sum], |p| {
            format!("CAST({} AS DOUBLE) * {} / NULLIF(CAST({} AS DOUBLE), 0.0E0)", p[0], p[1], p[2])
        });
        let rows: Vec<&Expression> = above.rows.iter().chain(&below.rows).collect();
        if rows.is_empty() {
            return Ok((value, constant("0")));
        }
        let nothing = combine(&rows, |p| p.iter().map(|r| format!("({r}) = 0")).collect::<Vec<_>>().join(" OR "));
        Ok((
            combine(&[&nothing, &value], |p| format!("CASE WHEN {} THEN NULL ELSE {} END", p[0], p[1])),
            combine(&[&nothing], |p| format!("CASE WHEN {} THEN 1 ELSE 0 END", p[0])),
        ))
    }

    fn aggregate(&mut self, d: &Declaration, span: &Range<usize>) -> Result<(Expression, Expression), Mistake> {
        let here = |message: &str| (span.clone(), message.to_owned());
        let table = d.table.as_ref().ok_or_else(|| here("`source` is missing: the table it reads"))?;
        let Some(read) = self.reads.rows(table, d.condition.as_ref(), d.window.as_ref(), span)? else {
            return Ok(unknown());
        };
        let table = read.table.as_str();
        let of = self.of(d, table, span)?;
        // Rows that do not tell are neither opportunities nor zeros.
        let known = of.as_ref().map_or_else(|| read.clone(), |of| self.reads.known(&read, of));
        let known = match &d.per {
            Some(per) => self.reads.grouped(&known, per, d.condition.as_ref())?,
            None => known,
        };
        let filter = known.filter;
        let (rows, known_rows) = self.counted_rows(&d.name, "", &read, &known);
        let value = |reads: &mut Reads| match &of {
            Some(of) => Ok(reads.add_value(table, of)),
            None => Err(here("`of` is missing")),
        };
        let some = |value: &Expression| {
            let value =
                combine(&[&known_rows, value], |p| format!("CASE WHEN {} = 0 THEN NULL ELSE {} END", p[0], p[1]));
            (value, combine(&[&rows], |p| format!("CASE WHEN {} = 0 THEN 1 ELSE 0 END", p[0])))
        };
        let sum = |reads: &mut Reads, label: &str, sum: Sum| reads.accumulate(table, &d.name, label, sum);
        Ok(match d.aggregate {
            Aggregate::Value | Aggregate::Ratio => return Err(here("not an aggregate of rows")),
            Aggregate::Count => (double(&rows), constant("0")),
            Aggregate::WeightedCount => {
                // Polars multiplies by the reciprocal where SQL divides by a literal: nothing is divided by a literal.
                let weight = self.reads.weight(&read, d)?;
                let sum = sum(&mut self.reads, "weight", Sum::Weights { filter, weight });
                let unit = decimal(1.0 / WEIGHT_ONE);
                (combine(&[&sum], |p| format!("CAST({} AS DOUBLE) * {unit}", p[0])), constant("0"))
            }
            Aggregate::Sum => {
                let value = value(&mut self.reads)?;
                some(&double(&sum(&mut self.reads, "sum", Sum::Values { filter, value })))
            }
            Aggregate::Min => {
                let value = value(&mut self.reads)?;
                some(&double(&sum(&mut self.reads, "smallest", Sum::Smallest { filter, value })))
            }
            Aggregate::Max => {
                let value = value(&mut self.reads)?;
                some(&double(&sum(&mut self.reads, "largest", Sum::Largest { filter, value })))
            }
            Aggregate::Mean => {
                let value = value(&mut self.reads)?;
                let all = sum(&mut self.reads, "sum", Sum::Values { filter, value });
                some(&quotient(&all, &known_rows))
            }
            Aggregate::WeightedMean => {
                let value = value(&mut self.reads)?;
                let weight = self.reads.weight(&read, d)?;
                let all = sum(&mut self.reads, "weighted_sum", Sum::WeightedValues { filter, value, weight });
                let weights = sum(&mut self.reads, "weight", Sum::Weights { filter, weight });
                some(&quotient(&all, &weights))
            }
            Aggregate::Share => {
                let Some(holds) = &of else { return Err(here("`of` is missing")) };
                let weight = self.reads.weight(&read, d)?;
                let part = self.reads.add_predicate(table, &known.condition.and(holds));
                let part = sum(&mut self.reads, "holds_weight", Sum::Weights { filter: part, weight });
                let all = sum(&mut self.reads, "weight", Sum::Weights { filter, weight });
                some(&self.shrunk(d, &part, &all, span)?)
            }
            Aggregate::MonthsSinceLast | Aggregate::MonthsSinceFirst => {
                let event = self.reads.event(table).map_err(|m| (span.clone(), m))?;
                let happened = of.as_ref().map_or_else(|| known.condition.clone(), |when| known.condition.and(when));
                let happened = self.reads.add_predicate(table, &happened);
                let ago = self.reads.number_text(table, &event.months_ago).map_err(|m| (span.clone(), m))?;
                let value = self.reads.add_value(table, &ago);
                let (kind, label) = if d.aggregate == Aggregate::MonthsSinceLast {
                    (Sum::Smallest { filter: happened, value }, "last")
                } else {
                    (Sum::Largest { filter: happened, value }, "first")
                };
                let months = double(&sum(&mut self.reads, label, kind));
                match d.never {
                    None => some(&months),
                    Some(never) => {
                        some(&combine(&[&months], |p| format!("COALESCE({}, {})", p[0], decimal(never as f64))))
                    }
                }
            }
            _ => return self.grouped(d, &known, of.as_ref(), (&rows, &known_rows), span),
        })
    }

    /// What an aggregate adds up or tests, if it has an `of`.
    fn of(&self, d: &Declaration, table: &str, span: &Range<usize>) -> Result<Option<Expression>, Mistake> {
        let Some(of) = &d.of else { return Ok(None) };
        match d.aggregate {
            Aggregate::Share | Aggregate::MonthsSinceLast | Aggregate::MonthsSinceFirst => {
                self.reads.predicate(table, of).map(Some)
            }
            Aggregate::Count
            | Aggregate::WeightedCount
            | Aggregate::Distinct
            | Aggregate::ActivePeriods
            | Aggregate::Overlap => Err((span.clone(), "`of` means nothing here; conditions go to `where`".into())),
            _ => self.reads.number(table, of).map(Some),
        }
    }

    /// The number of a feature's rows, and of those that are known: the same sum where all are.
    fn counted_rows(&mut self, feature: &str, label: &str, read: &Rows, known: &Rows) -> (Expression, Expression) {
        let label = if label.is_empty() { String::new() } else { format!("{label}_") };
        let mut rows = |name: &str, filter: usize| {
            self.reads.accumulate(&read.table, feature, &format!("{label}{name}"), Sum::Rows { filter })
        };
        (rows("rows", read.filter), rows("known", known.filter))
    }
}
