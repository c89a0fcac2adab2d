//! How much of an expression is held against 64 bits, or against what can be read: each such part is computed once more with all
//! that it is made of, so that a long chain of them costs its square.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator as Op, Expr, UnaryOperator, Visit, Visitor};

/// The most that one expression may weigh: a sum of about a hundred terms, planned in half a second.
const MOST: usize = 12_000;

/// How deep parts may stand in parts: every one is a call on the stack of whatever thread computes it. Texts that are joined are laid
/// side by side and do not count.
const DEEPEST: usize = 600;

/// The sizes and depths of the parts that are open, and what the checked ones weigh together.
#[derive(Default)]
struct Weight {
    open: Vec<(usize, usize)>,
    checked: usize,
}

/// What is wrong with an expression.
enum Too {
    Heavy,
    Deep,
}

impl Visitor for Weight {
    type Break = Too;

    fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<Too> {
        let side_by_side = matches!(e, Expr::BinaryOp { op: Op::StringConcat, .. });
        let depth = self.open.last().map_or(0, |(_, depth)| *depth) + usize::from(!side_by_side);
        self.open.push((1, depth));
        if depth > DEEPEST { ControlFlow::Break(Too::Deep) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, e: &Expr) -> ControlFlow<Too> {
        let (size, _) = self.open.pop().unwrap_or_default();
        if let Some((whole, _)) = self.open.last_mut() {
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
        if self.checked > MOST { ControlFlow::Break(Too::Heavy) } else { ControlFlow::Continue(()) }
    }
}

/// Refuses an expression that would keep everybody waiting.
///
/// # Errors
/// A sentence that says what to do.
pub(in crate::engine) fn light_enough(e: &Expr) -> Result<(), String> {
    let ControlFlow::Break(why) = e.visit(&mut Weight::default()) else { return Ok(()) };
    let begins: String = e.to_string().chars().take(40).collect();
    Err(match why {
        Too::Heavy => format!(
            "`{begins}…` computes too much at once: about a hundred sums, products and conversions can be checked in one expression; split it, or compute it before the export"
        ),
        Too::Deep => format!(
            "`{begins}…` chains more than {DEEPEST} operations; list values with IN, join a table of them before the export, or split it"
        ),
    })
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
        assert!(light(&chain(600, " || ")) && light(&chain(590, " AND ")));
        assert!(light(&chain(500, " / ")) && !light(&chain(700, " / ")) && !light(&chain(700, " = ")));
        let cases: Vec<String> = (0..300).map(|n| format!("WHEN a = {n} THEN b * {n}")).collect();
        assert!(light(&format!("CASE {} END", cases.join(" "))));
    }
}
