//! Formulas that features are made of.

use crate::expression::{Expression, Type};

/// A feature whose table is not given.
pub(super) fn unknown() -> (Expression, Expression) {
    (constant("CAST(NULL AS DOUBLE)"), constant("0"))
}

pub(super) fn constant(text: &str) -> Expression {
    Expression::literal(text, Type::Number)
}

pub(super) fn combine(parts: &[&Expression], build: impl Fn(&[&str]) -> String) -> Expression {
    Expression::assemble(Type::Number, parts, build)
}

pub(super) fn double(e: &Expression) -> Expression {
    combine(&[e], |p| format!("CAST({} AS DOUBLE)", p[0]))
}

pub(super) fn quotient(above: &Expression, below: &Expression) -> Expression {
    combine(&[above, below], |p| format!("CAST({} AS DOUBLE) / NULLIF(CAST({} AS DOUBLE), 0.0E0)", p[0], p[1]))
}
