//! SQL of one row at a time over frames of one schema, with integers that never wrap.
//!
//! Polars keeps the width of integers and wraps silently. Here every integer that is computed with is 64 bits wide; what is
//! proven to fit by the widths of its columns is computed as it is, and what is not is computed once more in double precision:
//! a row whose result comes near the edge stops the work. Where Polars and the SQL that people know differ, it is made the
//! same: `%` and `//` cut off towards zero, nothing divided by 0 is nothing, `ROUND` rounds halves away from zero, `POWER` is a double.

use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow, bail};
use polars::prelude::{
    DataFrame, DataType, Expr, FunctionExpr, IntoLazy, LiteralValue, Operator, PlSmallStr, PolarsError, RoundMode,
    Schema, UnknownKind, lit, when,
};
use sqlparser::ast;

use super::quotient;
use super::sql::{Translator, impossible, light_enough};

/// Results of this size and above may have left 64 bits; doubles tell them to 0.1 per cent.
const EDGE: f64 = 9.2e18;

/// What a row of an expression can come to that is no value of it.
#[derive(Debug, Clone, Copy)]
enum Risk {
    /// An integer that leaves 64 bits.
    Leaves64Bits,
    /// A text that cannot be read, or a date or an instant that does not exist.
    Impossible,
}

/// An expression with the conditions that a row of it has no value, as far as there may be one.
#[derive(Debug, Clone)]
struct Checked {
    text: String,
    value: Expr,
    risks: Vec<(Risk, Expr)>,
}

/// A condition and expressions over frames of one schema.
#[derive(Debug, Clone)]
pub struct Rowwise {
    row: String,
    filter: Option<Checked>,
    columns: Vec<Checked>,
}

impl Rowwise {
    /// Parses a condition on rows, and expressions over those that meet it; the given column numbers the rows.
    ///
    /// # Errors
    /// When the engine does not take one of them over frames like the given one.
    pub fn new(like: &DataFrame, row: &str, filter: Option<&ast::Expr>, columns: &[ast::Expr]) -> Result<Self> {
        let filter = filter.map(|e| checked(like, e)).transpose()?;
        let columns = columns.iter().map(|e| checked(like, e)).collect::<Result<_>>()?;
        Ok(Self { row: row.to_owned(), filter, columns })
    }

    /// The rows that meet the condition: their numbers, then the expressions as `c0`, `c1` and so on.
    ///
    /// # Errors
    /// When a value cannot be cast, or integers could leave 64 bits.
    pub fn run(&self, frame: DataFrame) -> Result<DataFrame> {
        let row = self.row.as_str();
        let mut frame = frame.lazy();
        if let Some(filter) = &self.filter {
            for (kind, risk) in &filter.risks {
                let found =
                    frame.clone().filter(risk.clone()).select([polars::prelude::col(row)]).collect().map_err(untold)?;
                filter.refuse(*kind, &found, row)?;
            }
            frame = frame.filter(filter.value.clone());
        }
        let named = |at: usize| PlSmallStr::from_string(format!("c{at}"));
        let mut wanted = vec![polars::prelude::col(row)];
        wanted.extend(self.columns.iter().enumerate().map(|(at, c)| c.value.clone().alias(named(at))));
        let all = self.columns.iter().flat_map(|column| column.risks.iter().map(move |risk| (column, risk)));
        let risks: Vec<(PlSmallStr, &Checked, &(Risk, Expr))> =
            (0..).zip(all).map(|(at, (c, risk))| (PlSmallStr::from_string(format!("risk{at}")), c, risk)).collect();
        wanted.extend(risks.iter().map(|(name, _, (_, risk))| risk.clone().fill_null(lit(false)).alias(name.clone())));
        let mut found = frame.select(wanted).collect().map_err(untold)?;
        for (name, column, (kind, _)) in risks {
            let risky = found.drop_in_place(&name)?;
            if risky.bool()?.any() {
                column.refuse(*kind, &found.filter(risky.bool()?)?, row)?;
            }
        }
        Ok(found)
    }
}

/// An error of the engine without the values that it repeats: they are data, and a log is none.
fn untold(error: PolarsError) -> anyhow::Error {
    let text = error.to_string();
    match text.split_once(" values: [") {
        Some((said, _)) => anyhow!("{said} values; TRY_CAST reads what does not fit as null"),
        None => error.into(),
    }
}

impl Checked {
    /// The error of the first row that has no value, if there is one.
    fn refuse(&self, kind: Risk, risky: &DataFrame, row: &str) -> Result<()> {
        let Some(row) = risky.column(row)?.i64()?.iter().next().flatten() else { return Ok(()) };
        let why = match kind {
            Risk::Leaves64Bits => {
                "leaves the range of 64-bit integers; compute it in doubles (CAST … AS DOUBLE), or check the column's unit"
            }
            Risk::Impossible => {
                "has no value there: a text that cannot be read, or no day or instant of the calendar; TRY_CAST, or CASE WHEN … THEN … END, gives NULL for such rows"
            }
        };
        bail!("row {row}: `{}` {why}", self.text)
    }
}

fn checked(like: &DataFrame, expression: &ast::Expr) -> Result<Checked> {
    let (text, schema) = (expression.to_string(), like.schema());
    light_enough(expression).map_err(Error::msg)?;
    let translated = Translator { schema }.expression(expression).map_err(Error::msg)?;
    let value = translated.try_map_expr(|node| Ok(plain(node, schema)))?;
    // What does not fit the columns is told by polars itself.
    value.to_field(schema).with_context(|| format!("`{text}`"))?;
    let kinds: [(Risk, &Fault); 2] =
        [(Risk::Leaves64Bits, &too_large), (Risk::Impossible, &|node, _| impossible(node))];
    let risks = kinds.into_iter().filter_map(|(kind, fault)| Some((kind, risk(&value, schema, fault)?))).collect();
    Ok(Checked { text, value, risks })
}

fn kind(e: &Expr, schema: &Schema) -> Option<DataType> {
    e.to_field(schema).ok().map(|f| f.dtype)
}

fn is_integer(kind: Option<&DataType>) -> bool {
    kind.is_some_and(|k| k.is_integer() || matches!(k, DataType::Unknown(UnknownKind::Int(_))))
}

/// An integer in 64 bits; one that does not fit is an error.
fn wide(e: Expr, schema: &Schema) -> Expr {
    match kind(&e, schema) {
        Some(DataType::Int64) => e,
        _ => e.strict_cast(DataType::Int64),
    }
}

/// A node of an expression as people expect it, its parts having been made so already.
fn plain(node: Expr, schema: &Schema) -> Expr {
    let integer = |e: &Expr| is_integer(kind(e, schema).as_ref());
    let is_number =
        |e: &Expr| kind(e, schema).is_some_and(|k| k.is_primitive_numeric() || matches!(k, DataType::Unknown(_)));
    match node {
        Expr::BinaryExpr { left, op, right } if arithmetic(op) && integer(&left) && integer(&right) => {
            if let Some(value) = constant(&left).zip(constant(&right)).and_then(|(l, r)| computed(l, op, r)) {
                return lit(value);
            }
            let (left, right) = (wide(Arc::unwrap_or_clone(left), schema), wide(Arc::unwrap_or_clone(right), schema));
            match op {
                Operator::FloorDivide | Operator::RustDivide => quotient::whole(left, right),
                Operator::Modulus => quotient::rest(left, right),
                Operator::TrueDivide => quotient::exact(left, right),
                op => Expr::BinaryExpr { left: Arc::new(left), op, right: Arc::new(right) },
            }
        }
        Expr::BinaryExpr { left, op: Operator::TrueDivide, right } if is_number(&left) && is_number(&right) => {
            quotient::exact(Arc::unwrap_or_clone(left), Arc::unwrap_or_clone(right))
        }
        Expr::Function { input, function: function @ (FunctionExpr::Abs | FunctionExpr::Negate) }
            if input.first().is_some_and(integer) =>
        {
            Expr::Function { input: input.into_iter().map(|e| wide(e, schema)).collect(), function }
        }
        // A cast to an integer rounds, as in DuckDB: doubles halves to even, decimals away from zero.
        Expr::Cast { expr, dtype, options }
            if dtype.as_literal().is_some_and(DataType::is_integer)
                && kind(&expr, schema).is_some_and(|k| k.is_float() || k.is_decimal()) =>
        {
            let exact = kind(&expr, schema).is_some_and(|k| k.is_decimal());
            let mode = if exact { RoundMode::HalfAwayFromZero } else { RoundMode::HalfToEven };
            let round = FunctionExpr::Round { decimals: 0, mode };
            let rounded = Expr::Function { input: vec![Arc::unwrap_or_clone(expr)], function: round };
            Expr::Cast { expr: Arc::new(rounded), dtype, options }
        }
        Expr::Function { input, function: FunctionExpr::Round { decimals, .. } } => {
            Expr::Function { input, function: FunctionExpr::Round { decimals, mode: RoundMode::HalfAwayFromZero } }
        }
        Expr::Function { input, function: function @ FunctionExpr::Pow(_) } => {
            let double = |e: Expr| match kind(&e, schema) {
                Some(DataType::Float64) => e,
                _ => e.cast(DataType::Float64),
            };
            Expr::Function { input: input.into_iter().map(double).collect(), function }
        }
        other => other,
    }
}

/// The integer that an expression is written as.
fn constant(e: &Expr) -> Option<i64> {
    match e {
        Expr::Literal(value) => value.extract_i64().ok(),
        _ => None,
    }
}

/// Two constants' result: polars folds constants by rules of its own.
fn computed(left: i64, op: Operator, right: i64) -> Option<i64> {
    match op {
        Operator::Plus => left.checked_add(right),
        Operator::Minus => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::RustDivide | Operator::FloorDivide => left.checked_div(right),
        Operator::Modulus => left.checked_rem(right),
        _ => None,
    }
}

const fn arithmetic(op: Operator) -> bool {
    use Operator as O;
    matches!(op, O::Plus | O::Minus | O::Multiply | O::RustDivide | O::TrueDivide | O::FloorDivide | O::Modulus)
}

/// The largest absolute value that an integer can have by the widths of what it is made of.
fn bound(e: &Expr, schema: &Schema) -> i128 {
    let by_type = match kind(e, schema) {
        Some(DataType::Int8 | DataType::UInt8) => 1 << 8,
        Some(DataType::Int16 | DataType::UInt16) => 1 << 16,
        Some(DataType::Int32 | DataType::UInt32) => 1 << 32,
        _ => i128::from(i64::MAX) + 1,
    };
    let by_value = match e {
        Expr::Alias(inner, _) => bound(inner, schema),
        Expr::Cast { expr, .. } if is_integer(kind(expr, schema).as_ref()) => bound(expr, schema),
        Expr::Literal(value @ LiteralValue::Dyn(_)) => value.extract_i64().map_or(i128::MAX, |v| i128::from(v).abs()),
        Expr::BinaryExpr { left, op, right } => {
            let (l, r) = (bound(left, schema), bound(right, schema));
            match op {
                Operator::Plus | Operator::Minus => l.saturating_add(r),
                Operator::Multiply => l.saturating_mul(r),
                _ => i128::MAX,
            }
        }
        Expr::Function { input, function: FunctionExpr::Abs | FunctionExpr::Negate } => {
            input.first().map_or(i128::MAX, |e| bound(e, schema))
        }
        Expr::Ternary { truthy, falsy, .. } => bound(truthy, schema).max(bound(falsy, schema)),
        _ => i128::MAX,
    };
    by_type.min(by_value)
}

/// What a node computes with integers, in doubles, if that cannot be proven to fit.
fn in_doubles(node: &Expr, schema: &Schema) -> Option<Expr> {
    let fits = |bound: i128| bound <= i128::from(i64::MAX);
    match node {
        Expr::BinaryExpr { left, op, right } if is_integer(kind(node, schema).as_ref()) => {
            let (l, r) = (bound(left, schema), bound(right, schema));
            let double = |e: &Expr| e.clone().cast(DataType::Float64);
            match op {
                Operator::Plus if !fits(l.saturating_add(r)) => Some(double(left) + double(right)),
                Operator::Minus if !fits(l.saturating_add(r)) => Some(double(left) - double(right)),
                Operator::Multiply if !fits(l.saturating_mul(r)) => Some(double(left) * double(right)),
                _ => None,
            }
        }
        Expr::Function { input, function: FunctionExpr::Abs | FunctionExpr::Negate } => {
            let input = input.first().filter(|e| is_integer(kind(e, schema).as_ref()))?;
            (!fits(bound(input, schema))).then(|| input.clone().cast(DataType::Float64))
        }
        _ => None,
    }
}

/// The condition that a node has no value.
type Fault<'a> = dyn Fn(&Expr, &Schema) -> Option<Expr> + 'a;

/// The condition that a node may have left 64 bits.
fn too_large(node: &Expr, schema: &Schema) -> Option<Expr> {
    let double = in_doubles(node, schema)?;
    let size = Expr::Function { input: vec![double], function: FunctionExpr::Abs };
    Some(size.gt_eq(lit(EDGE)).fill_null(lit(false)))
}

/// The condition that something in an expression, where a row takes it, has no value.
fn risk(e: &Expr, schema: &Schema, fault: &Fault) -> Option<Expr> {
    if let Expr::Ternary { predicate, truthy, falsy } = e {
        let of = |part: &Expr| risk(part, schema, fault);
        let (condition, yes, no) = (of(predicate), of(truthy), of(falsy));
        let never = || lit(false);
        let taken = (yes.is_some() || no.is_some()).then(|| {
            let condition = predicate.as_ref().clone().fill_null(never());
            when(condition).then(yes.unwrap_or_else(never)).otherwise(no.unwrap_or_else(never))
        });
        return either(condition, taken);
    }
    let of_parts = nodes(e).into_iter().fold(None, |all, part| either(all, risk(part, schema, fault)));
    either(fault(e, schema), of_parts)
}

/// What a node is made of.
fn nodes(e: &Expr) -> Vec<&Expr> {
    let mut nodes = Default::default();
    e.nodes(&mut nodes);
    nodes.iter().copied().collect()
}

fn either(one: Option<Expr>, other: Option<Expr>) -> Option<Expr> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.or(other)),
        (one, other) => one.or(other),
    }
}
