//! Features over groups of rows, such as months, and shares that are shrunk.

use std::ops::Range;

use toml::Spanned;

use super::compile::{Compiler, MOST_STRENGTH, PRIOR};
use super::formula::{combine, constant, double, quotient};
use super::plan::{Grouping, Sum, WEIGHT_ONE};
use super::reads::{Mistake, Rows, length};
use crate::expression::{Expression, decimal, product};
use crate::pipeline::catalogue::{Aggregate, Declaration};

impl Compiler<'_> {
    /// Features over groups of rows.
    pub(super) fn grouped(
        &mut self,
        d: &Declaration,
        read: &Rows,
        of: Option<&Expression>,
        (all, rows): (&Expression, &Expression),
        span: &Range<usize>,
    ) -> Result<(Expression, Expression), Mistake> {
        let here = |message: &str| (span.clone(), message.to_owned());
        let (table, filter) = (read.table.as_str(), read.filter);
        let per = d.per.as_ref().ok_or_else(|| here("`per` is missing: month, week, or a column holding an id"))?;
        let key = self.reads.group_key(table, per)?;
        let grouping = self.reads.grouping(table, Grouping { key, filter });
        let groups = self.reads.accumulate(table, &d.name, "groups", Sum::Groups { grouping });
        let value = of.map(|of| self.reads.add_value(table, of));
        let needed = || value.ok_or_else(|| here("`of` is missing"));
        let least = d.at_least.unwrap_or(1);
        // Too few groups are none; rows of which not one tells are unknown.
        let enough = |value: &Expression| {
            let missing = combine(&[&groups], |p| format!("{} < {least}", p[0]));
            let silent = combine(&[all, rows], |p| format!("{} > 0 AND {} = 0", p[0], p[1]));
            (
                combine(&[&missing, value], |p| format!("CASE WHEN {} THEN NULL ELSE {} END", p[0], p[1])),
                match all == rows {
                    true => combine(&[&missing], |p| format!("CASE WHEN {} THEN 1 ELSE 0 END", p[0])),
                    false => combine(&[&silent, &missing], |p| {
                        format!("CASE WHEN {} THEN 0 WHEN {} THEN 1 ELSE 0 END", p[0], p[1])
                    }),
                },
            )
        };
        Ok(match d.aggregate {
            Aggregate::Distinct | Aggregate::ActivePeriods => (double(&groups), constant("0")),
            Aggregate::ZeroGroups => {
                let value = needed()?;
                enough(&double(&self.reads.accumulate(
                    table,
                    &d.name,
                    "zero_groups",
                    Sum::ZeroGroups { grouping, value },
                )))
            }
            Aggregate::Span => {
                let value = needed()?;
                enough(&quotient(
                    &self.reads.accumulate(table, &d.name, "spans", Sum::Spans { grouping, value }),
                    &groups,
                ))
            }
            Aggregate::Variation | Aggregate::Peak => {
                let total = match value {
                    Some(value) => self.reads.accumulate(table, &d.name, "sum", Sum::Values { filter, value }),
                    None => rows.clone(),
                };
                let periods = if d.empty_periods { Some(self.periods(d, per, span)?) } else { None };
                let n = periods.map_or_else(|| groups.clone(), |n| constant(&n.to_string()));
                let formula = if d.aggregate == Aggregate::Variation {
                    let sum = self.reads.accumulate(
                        table,
                        &d.name,
                        "deviations",
                        Sum::Deviations { grouping, value, periods },
                    );
                    combine(&[&sum, &n, &total], |p| {
                        format!(
                            "CAST({} AS DOUBLE) / NULLIF(CAST({} AS DOUBLE) * CAST({} AS DOUBLE), 0.0E0)",
                            p[0], p[1], p[2]
                        )
                    })
                } else {
                    let largest =
                        self.reads.accumulate(table, &d.name, "largest_group", Sum::LargestGroup { grouping, value });
                    combine(&[&largest, &n, &total], |p| {
                        format!(
                            "CAST({} AS DOUBLE) * CAST({} AS DOUBLE) / NULLIF(CAST({} AS DOUBLE), 0.0E0)",
                            p[0], p[1], p[2]
                        )
                    })
                };
                enough(&formula)
            }
            Aggregate::Overlap => {
                let split = d
                    .split
                    .as_ref()
                    .ok_or_else(|| here("`split` is missing: the condition that makes the two halves"))?;
                let condition = self.reads.predicate(table, split)?;
                let split = self.reads.add_predicate(table, &condition);
                let first = self.reads.add_predicate(table, &read.condition.and(&condition));
                let shared = self.reads.accumulate(table, &d.name, "overlap", Sum::Overlap { grouping, split });
                let first = self.reads.accumulate(table, &d.name, "split_rows", Sum::Rows { filter: first });
                let product = combine(&[&first, rows], |p| format!("({} * ({} - {}))", p[0], p[1], p[0]));
                let missing = combine(&[&product], |p| format!("{} = 0", p[0]));
                // As every quotient: one of nothing by nothing would be no number, also where it is not asked for.
                let share = quotient(&shared, &product);
                (
                    combine(&[&missing, &share], |p| format!("CASE WHEN {} THEN NULL ELSE {} END", p[0], p[1])),
                    combine(&[&missing], |p| format!("CASE WHEN {} THEN 1 ELSE 0 END", p[0])),
                )
            }
            _ => return Err(here("not an aggregate of groups")),
        })
    }

    /// How many months or weeks a window has.
    fn periods(&self, d: &Declaration, per: &Spanned<String>, span: &Range<usize>) -> Result<i64, Mistake> {
        let window = d.window.as_ref().ok_or_else(|| (span.clone(), "`empty_periods` needs a `window`".to_owned()))?;
        let (count, unit) = length(window)?;
        match (per.get_ref().as_str(), unit) {
            ("month", "months") | ("week", "weeks") => Ok(count),
            _ => Err((window.span(), "with `empty_periods` the window is in the unit of `per`".into())),
        }
    }

    pub(super) fn shrunk(
        &self,
        d: &Declaration,
        part: &Expression,
        all: &Expression,
        span: &Range<usize>,
    ) -> Result<Expression, Mistake> {
        match (d.prior, d.prior_strength) {
            (None, None) => Ok(quotient(part, all)),
            (Some(prior), Some(strength))
                if (0.0..=1.0).contains(&prior) && strength > 0.0 && strength <= MOST_STRENGTH =>
            {
                // As decimals: 0.30 · 3 is 0.9, and no double just below it.
                let pull = decimal(product(product(prior, strength), WEIGHT_ONE));
                let weight = decimal(product(strength, WEIGHT_ONE));
                Ok(combine(&[part, all], |p| {
                    format!("(CAST({} AS DOUBLE) + {pull}) / (CAST({} AS DOUBLE) + {weight})", p[0], p[1])
                }))
            }
            _ => Err((span.clone(), PRIOR.into())),
        }
    }
}
