//! The SQL of expressions as trees.

use std::sync::Arc;

use sqlparser::ast;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::expression::known::Known;
use crate::machine::stack::with_room;

/// How deep SQL that this program wrote may be nested: a chain of operators is written with parentheses around each, and what a user
/// may write has at most some hundreds.
const DEEPEST: usize = 10_000;

/// What was parsed before.
static KNOWN: Known = Known::new();

/// Parses SQL and does something with it; both may go as deep as what is written.
///
/// # Errors
/// A sentence that says what is wrong.
pub(in crate::engine) fn parsed<T>(sql: &str, work: impl FnOnce(&ast::Expr) -> Result<T, String>) -> Result<T, String> {
    with_room(|| {
        if let Some(tree) = KNOWN.get(sql) {
            return work(&tree);
        }
        let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEEPEST);
        let mut parser = parser.try_with_sql(sql).map_err(|e| e.to_string())?;
        let tree = Arc::new(parser.parse_expr().map_err(|e| e.to_string())?);
        KNOWN.add(sql, &tree);
        work(&tree)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_parsed_before_is_what_it_was_and_a_faulty_one_stays_faulty() {
        let text = "a < 1 AND b IS NULL";
        for _ in 0..2 {
            assert_eq!(parsed(text, |tree| Ok(tree.to_string())).as_deref(), Ok(text));
            assert!(parsed("a <", |tree| Ok(tree.to_string())).is_err());
            assert_eq!(parsed::<()>(text, |_| Err("no".to_owned())), Err("no".to_owned()));
        }
    }
}
