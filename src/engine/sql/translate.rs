//! Expressions of SQL, word by word.

use polars::prelude::{DataType, Expr, PlSmallStr, Schema, lit, when};
use sqlparser::ast::{self, BinaryOperator as Op, CastKind, UnaryOperator, Value};

use super::casts::{cast, kind_of};
use super::literals::{Translated, length, like_literal, literal, null, number, quoted, text_of};
use super::parse::parsed;
use super::texts::{like, matching};
use super::times::{self, at_time_zone, later, later_by};

/// The engine's expression for SQL over columns of which nothing is known, such as those that only hold numbers.
///
/// # Errors
/// A sentence that says what is wrong.
pub(in crate::engine) fn text(sql: &str) -> Translated {
    parsed(sql, |expression| Translator { schema: &Schema::default() }.expression(expression))
}

/// SQL over columns of some types.
pub(in crate::engine) struct Translator<'a> {
    /// The columns.
    pub(in crate::engine) schema: &'a Schema,
}

impl Translator<'_> {
    /// The engine's expression for one of SQL.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(in crate::engine) fn expression(&self, e: &ast::Expr) -> Translated {
        match e {
            ast::Expr::Identifier(name) => Ok(column(&name.value)),
            ast::Expr::CompoundIdentifier(names) => match names.last() {
                Some(name) => Ok(column(&name.value)),
                None => Err(format!("`{e}` names no column")),
            },
            ast::Expr::Nested(inner) => self.expression(inner),
            ast::Expr::Value(value) => literal(&value.value),
            ast::Expr::TypedString(typed) => {
                let text = quoted(&typed.value.value).ok_or_else(|| format!("`{e}`: write the text in quotes"))?;
                like_literal(text, &kind_of(&typed.data_type)?)
            }
            ast::Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            ast::Expr::IsNull(inner) => Ok(self.expression(inner)?.is_null()),
            ast::Expr::IsNotNull(inner) => Ok(self.expression(inner)?.is_not_null()),
            ast::Expr::IsTrue(inner) => Ok(self.condition(inner)?.fill_null(lit(false))),
            ast::Expr::IsNotTrue(inner) => Ok(self.condition(inner)?.fill_null(lit(false)).not()),
            ast::Expr::IsFalse(inner) => Ok(self.condition(inner)?.not().fill_null(lit(false))),
            ast::Expr::IsNotFalse(inner) => Ok(self.condition(inner)?.fill_null(lit(true))),
            ast::Expr::IsDistinctFrom(a, b) => self.compared(a, b, |a, b| a.neq_missing(b)),
            ast::Expr::IsNotDistinctFrom(a, b) => self.compared(a, b, |a, b| a.eq_missing(b)),
            ast::Expr::InList { expr, list, negated } => {
                let found = self.any_of(expr, list)?;
                Ok(if *negated { found.not() } else { found })
            }
            ast::Expr::Between { expr, negated, low, high } => {
                let from = self.compared(expr, low, |a, b| a.gt_eq(b))?;
                let found = from.and(self.compared(expr, high, |a, b| a.lt_eq(b))?);
                Ok(if *negated { found.not() } else { found })
            }
            ast::Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, false)
            }
            ast::Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, true)
            }
            ast::Expr::RLike { negated, expr, pattern, .. } => {
                let found = self.regular(expr, pattern, "")?;
                Ok(if *negated { found.not() } else { found })
            }
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            ast::Expr::Cast { kind, expr, data_type, format: None, .. } => {
                let strict = matches!(kind, CastKind::Cast | CastKind::DoubleColon);
                let value = self.expression(expr)?;
                let from = self.kind(&value);
                cast(value, from.as_ref(), &kind_of(data_type)?, strict).map_err(|why| format!("`{e}`: {why}"))
            }
            ast::Expr::AtTimeZone { timestamp, time_zone } => {
                let zone = text_of(time_zone);
                let zone =
                    zone.ok_or_else(|| format!("AT TIME ZONE {time_zone}: write a name such as 'Asia/Shanghai'"))?;
                let time = self.expression(timestamp)?;
                let kind = self.known_kind(&time, timestamp)?;
                at_time_zone(time, &kind, zone)
            }
            ast::Expr::Extract { field, expr, .. } => self.part(&field.to_string(), expr),
            ast::Expr::Ceil { expr, .. } => Ok(self.expression(expr)?.ceil()),
            ast::Expr::Floor { expr, .. } => Ok(self.expression(expr)?.floor()),
            ast::Expr::Position { expr, r#in } => self.function("STRPOS", &[(**r#in).clone(), (**expr).clone()]),
            ast::Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let arguments = [Some((**expr).clone()), Some((**from).clone()), substring_for.as_deref().cloned()];
                self.function("SUBSTR", &arguments.into_iter().flatten().collect::<Vec<_>>())
            }
            ast::Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    None | Some(ast::TrimWhereField::Both) => "TRIM",
                    Some(ast::TrimWhereField::Leading) => "LTRIM",
                    Some(ast::TrimWhereField::Trailing) => "RTRIM",
                };
                let what = trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten());
                self.function(name, &std::iter::once(&**expr).chain(what).cloned().collect::<Vec<_>>())
            }
            ast::Expr::Function(function) => self.call(function),
            ast::Expr::Interval(_) => {
                Err(format!("`{e}` can only be added to a date or a timestamp, or taken from one"))
            }
            other => {
                Err(format!("`{other}` is none of the words that are read here (`sesame schema functions` lists them)"))
            }
        }
    }

    /// The type of an expression; nothing where it is not known.
    pub(super) fn kind(&self, e: &Expr) -> Option<DataType> {
        if self.schema.is_empty() {
            return None;
        }
        e.to_field(self.schema).ok().map(|field| field.dtype)
    }

    /// The type of an expression that must be known.
    pub(super) fn known_kind(&self, e: &Expr, of: &ast::Expr) -> Result<DataType, String> {
        e.to_field(self.schema).map(|field| field.dtype).map_err(|why| format!("`{of}`: {why}"))
    }

    fn condition(&self, e: &ast::Expr) -> Translated {
        let condition = self.expression(e)?;
        if is_condition(e) {
            return Ok(condition);
        }
        Ok(match self.kind(&condition) {
            None | Some(DataType::Boolean | DataType::Null) => condition,
            Some(_) => condition.strict_cast(DataType::Boolean),
        })
    }

    fn unary(&self, op: UnaryOperator, e: &ast::Expr) -> Translated {
        match op {
            UnaryOperator::Not => Ok(self.condition(e)?.not()),
            UnaryOperator::Plus => self.expression(e),
            UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = e
                    && let Value::Number(digits, _) = &value.value
                {
                    return number(&format!("-{digits}"));
                }
                Ok(lit(0) - self.expression(e)?)
            }
            other => Err(format!("the operator `{other}` is not read here")),
        }
    }

    fn binary(&self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Translated {
        if let (Op::Plus | Op::Minus, ast::Expr::Interval(interval)) = (op, right) {
            let value = self.expression(left)?;
            let kind = self.known_kind(&value, left)?;
            let (months, micros) = length(interval)?;
            let sign = if *op == Op::Minus { -1 } else { 1 };
            return later_by(value, &kind, sign * months, sign * micros);
        }
        match op {
            Op::And => Ok(self.condition(left)?.and(self.condition(right)?)),
            Op::Or => Ok(self.condition(left)?.or(self.condition(right)?)),
            Op::Eq => self.compared(left, right, |a, b| a.eq(b)),
            Op::NotEq => self.compared(left, right, |a, b| a.neq(b)),
            Op::Lt => self.compared(left, right, |a, b| a.lt(b)),
            Op::LtEq => self.compared(left, right, |a, b| a.lt_eq(b)),
            Op::Gt => self.compared(left, right, |a, b| a.gt(b)),
            Op::GtEq => self.compared(left, right, |a, b| a.gt_eq(b)),
            Op::Spaceship => self.compared(left, right, |a, b| a.eq_missing(b)),
            Op::Plus | Op::Minus => self.sum(left, op, right),
            Op::Multiply => Ok(self.expression(left)? * self.expression(right)?),
            Op::Divide => Ok(self.expression(left)?.true_div(self.expression(right)?)),
            Op::DuckIntegerDivide | Op::MyIntegerDivide => {
                Ok(self.expression(left)?.floor_div(self.expression(right)?).cast(DataType::Int64))
            }
            Op::Modulo => Ok(self.expression(left)? % self.expression(right)?),
            Op::StringConcat => self.function("||", &joined(left, right)),
            Op::PGRegexMatch => self.regular(left, right, ""),
            Op::PGRegexIMatch => self.regular(left, right, "(?i)"),
            Op::PGRegexNotMatch => Ok(self.regular(left, right, "")?.not()),
            Op::PGRegexNotIMatch => Ok(self.regular(left, right, "(?i)")?.not()),
            other => Err(format!("the operator `{other}` is not read here")),
        }
    }

    /// Numbers added up or taken from each other; a date moved by days; the days between two dates.
    fn sum(&self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Translated {
        let (a, b) = (self.expression(left)?, self.expression(right)?);
        let whole = |kind: &Option<DataType>| kind.as_ref().is_some_and(times::is_whole);
        let (of_a, of_b) = (self.kind(&a), self.kind(&b));
        Ok(match (&of_a, op, &of_b) {
            (Some(DataType::Date), _, days) if whole(days) => later(a, b, *op == Op::Plus),
            (days, Op::Plus, Some(DataType::Date)) if whole(days) => later(b, a, true),
            (Some(DataType::Date), Op::Minus, Some(DataType::Date)) => {
                times::date_diff("day", [b, a], [DataType::Date, DataType::Date])
            }
            (Some(DataType::Date), ..) | (_, _, Some(DataType::Date)) => {
                return Err(format!("`{left} {op} {right}`: a date takes whole days, as in d + 3, or an INTERVAL"));
            }
            (Some(DataType::Datetime(..)), ..) | (_, _, Some(DataType::Datetime(..))) => {
                return Err(format!(
                    "`{left} {op} {right}`: write an INTERVAL, as in t + INTERVAL '1 hour', or DATE_DIFF('day', from, to)"
                ));
            }
            (_, Op::Plus, _) => a + b,
            _ => a - b,
        })
    }

    /// Two values compared; a text that is written out is read as what it is compared with.
    fn compared(&self, left: &ast::Expr, right: &ast::Expr, by: impl Fn(Expr, Expr) -> Expr) -> Translated {
        let (mut a, mut b) = (self.expression(left)?, self.expression(right)?);
        if let (Some(text), Some(kind)) = (text_of(right), self.kind(&a)) {
            b = like_literal(text, &kind)?;
        } else if let (Some(text), Some(kind)) = (text_of(left), self.kind(&b)) {
            a = like_literal(text, &kind)?;
        }
        Ok(by(a, b))
    }

    /// Whether a value is one of a list. The tree is as flat as it can be, for its depth is what an engine recurses into.
    fn any_of(&self, e: &ast::Expr, list: &[ast::Expr]) -> Translated {
        match list {
            [] => Err(format!("`{e} IN ()` names no value")),
            [only] => self.compared(e, only, |a, b| a.eq(b)),
            several => {
                let (first, last) = several.split_at(several.len() / 2);
                Ok(self.any_of(e, first)?.or(self.any_of(e, last)?))
            }
        }
    }

    fn like(&self, e: &ast::Expr, pattern: &ast::Expr, negated: bool, any_case: bool) -> Translated {
        let text = text_of(pattern).ok_or_else(|| format!("`{e} LIKE {pattern}`: write the pattern out, in quotes"))?;
        let found = matching(self.expression(e)?, like(text, any_case)?);
        Ok(if negated { found.not() } else { found })
    }

    /// Whether a regular expression that is written out is found.
    pub(super) fn regular(&self, e: &ast::Expr, pattern: &ast::Expr, flags: &str) -> Translated {
        let text = text_of(pattern).ok_or_else(|| format!("`{pattern}`: write the pattern out, in quotes"))?;
        let pattern = regex::Regex::new(&format!("{flags}{text}")).map_err(|e| format!("the pattern '{text}': {e}"))?;
        Ok(matching(self.expression(e)?, pattern))
    }

    fn case(
        &self,
        operand: Option<&ast::Expr>,
        branches: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Translated {
        let mut whole = otherwise.map_or_else(|| Ok(null()), |e| self.expression(e))?;
        for branch in branches.iter().rev() {
            let condition = match operand {
                None => self.condition(&branch.condition)?,
                Some(operand) => self.compared(operand, &branch.condition, |a, b| a.eq(b))?,
            };
            whole = when(condition).then(self.expression(&branch.result)?).otherwise(whole);
        }
        Ok(whole)
    }

    /// A part of a date or a local time.
    pub(super) fn part(&self, part: &str, e: &ast::Expr) -> Translated {
        let part = times::word_of(part, &times::PARTS)?;
        let value = self.expression(e)?;
        let kind = self.known_kind(&value, e)?;
        times::local("DATE_PART", &kind)?;
        Ok(times::date_part(part, value, &kind))
    }
}

/// The texts that are put together, from left to right.
fn joined(left: &ast::Expr, right: &ast::Expr) -> Vec<ast::Expr> {
    let (mut all, mut rest) = (vec![right.clone()], left);
    while let ast::Expr::BinaryOp { left, op: Op::StringConcat, right } = rest {
        all.push((**right).clone());
        rest = left;
    }
    all.push(rest.clone());
    all.reverse();
    all
}

/// Whether a word can only be true, false or null.
const fn is_condition(e: &ast::Expr) -> bool {
    use ast::Expr as E;
    match e {
        E::BinaryOp { op, .. } => {
            matches!(op, Op::And | Op::Or | Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq)
        }
        E::IsNull(_) | E::IsNotNull(_) | E::InList { .. } | E::Between { .. } | E::Like { .. } | E::ILike { .. } => {
            true
        }
        _ => false,
    }
}

/// A column. (`col` would take some names for patterns.)
fn column(name: &str) -> Expr {
    Expr::Column(PlSmallStr::from_str(name))
}
