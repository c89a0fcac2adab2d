//! How much of an expression is held against 64 bits, or against what can be read: each such part is computed once more with all
//! that it is made of, so that a long chain of them costs its square.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator as Op, Expr, UnaryOperator, Visit, Visitor};

/// The most that one expression may weigh: a sum of about a hundred terms, planned in half a second.
const MOST: usize = 12_000;

/// The sizes of the parts that are open, and what the checked ones weigh together.
#[derive(Default)]
struct Weight {
    open: Vec<usize>,
    checked: usize,
}

impl Visitor for Weight {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.open.push(1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
        let size = self.open.pop().unwrap_or_default();
        if let Some(whole) = self.open.last_mut() {
            *whole += size;
        }
        let checked = match e {
            Expr::BinaryOp { op, .. } => matches!(op, Op::Plus | Op::Minus | Op::Multiply),
            Expr::UnaryOp { op, .. } => matches!(op, UnaryOperator::Minus),
            Expr::Function(_) | Expr::Cast { .. } => true,
            _ => false,
        };
        if checked {
            self.checked += size;
        }
        if self.checked > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Refuses an expression that would keep everybody waiting.
///
/// # Errors
/// A sentence that says what to do.
pub(in crate::engine) fn light_enough(e: &Expr) -> Result<(), String> {
    match e.visit(&mut Weight::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            let begins: String = e.to_string().chars().take(40).collect();
            Err(format!(
                "`{begins}…` computes too much at once: about a hundred sums, products and conversions can be checked in one expression; split it, or compute it before the export"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    #[test]
    fn chains_are_refused_by_what_they_cost_and_wide_expressions_are_not() {
        let light = |sql: &str| {
            let e = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap();
            light_enough(&e).is_ok()
        };
        let chain = |n: usize, between: &str| vec!["a"; n].join(between);
        assert!(light(&chain(80, " + ")) && !light(&chain(200, " + ")) && !light(&chain(200, " * ")));
        assert!(light(&chain(600, " || ")) && light(&chain(600, " AND ")));
        let cases: Vec<String> = (0..300).map(|n| format!("WHEN a = {n} THEN b * {n}")).collect();
        assert!(light(&format!("CASE {} END", cases.join(" "))));
    }
}
