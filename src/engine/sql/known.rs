//! SQL that was parsed before: what one as-of date asks the others ask as well, and every text is read once for polars and once for steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sqlparser::ast;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::machine::stack::with_room;

/// How deep SQL that this program wrote may be nested: a chain of operators is written with parentheses around each, and what a user
/// may write has at most some hundreds.
const DEEPEST: usize = 10_000;
/// Texts that are remembered, and the longest of them in bytes: some megabytes at most.
const MOST: usize = 1_024;
const LONGEST: usize = 1_000;

/// What some texts are as trees.
static KNOWN: Mutex<BTreeMap<String, Arc<ast::Expr>>> = Mutex::new(BTreeMap::new());

/// Parses SQL and does something with it; both may go as deep as what is written.
///
/// # Errors
/// A sentence that says what is wrong.
pub(in crate::engine) fn parsed<T>(sql: &str, work: impl FnOnce(&ast::Expr) -> Result<T, String>) -> Result<T, String> {
    with_room(|| {
        // Where another thread failed with the lock, texts are parsed as if they were new.
        let known = KNOWN.lock().ok().and_then(|known| known.get(sql).cloned());
        if let Some(expression) = known {
            return work(&expression);
        }
        let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEEPEST);
        let mut parser = parser.try_with_sql(sql).map_err(|e| e.to_string())?;
        let expression = Arc::new(parser.parse_expr().map_err(|e| e.to_string())?);
        if sql.len() <= LONGEST
            && let Ok(mut known) = KNOWN.lock()
        {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(sql.to_owned(), Arc::clone(&expression));
        }
        work(&expression)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_parsed_before_is_what_it_was_and_a_faulty_one_stays_faulty() {
        let written = |sql: &str| parsed(sql, |expression| Ok(expression.to_string()));
        let texts: Vec<String> = (0..MOST + 10).map(|n| format!("a < {n} AND b IS NULL")).collect();
        for _ in 0..2 {
            for text in &texts {
                assert_eq!(written(text).as_ref(), Ok(text));
            }
            assert!(written("a <").is_err());
            assert_eq!(parsed::<()>("a < 1 AND b IS NULL", |_| Err("no".to_owned())), Err("no".to_owned()));
        }
        assert!(KNOWN.lock().unwrap().len() <= MOST);
        let long = format!("a < {}", "1 + ".repeat(LONGEST) + "1");
        assert_eq!(written(&long).as_ref(), Ok(&long));
        assert!(!KNOWN.lock().unwrap().contains_key(&long));
    }
}
