//! The text of an expression as a tree.

use std::sync::Arc;

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::known::Known;

/// How deep parentheses may be nested.
const DEEPEST: usize = 64;
/// Words and signs of an expression: a chain of operators is as deep a tree as it is long.
const MOST_TOKENS: usize = 2_000;

/// How deep conversions may be nested: the parser's time doubles with each of them that is not closed.
const DEEPEST_CASTS: usize = 12;

/// What was parsed before.
static KNOWN: Known = Known::new();

/// Refuses what would keep the parser busy for longer than anybody waits.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn not_too_deep(tokens: &[Token]) -> Result<(), String> {
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_)));
    let (mut open, mut converts) = (Vec::new(), false);
    for token in words {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => open.push(converts),
            Token::RParen | Token::RBracket | Token::RBrace => drop(open.pop()),
            _ => {}
        }
        if open.iter().filter(|cast| **cast).count() > DEEPEST_CASTS {
            return Err(format!("CAST is nested more than {DEEPEST_CASTS} times"));
        }
        converts = matches!(token, Token::Word(word) if word.value.to_ascii_uppercase().ends_with("CAST"));
    }
    Ok(())
}

/// Parses one expression and nothing after it.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn parsed(text: &str) -> Result<Arc<Expr>, String> {
    if let Some(known) = KNOWN.get(text) {
        return Ok(known);
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize().map_err(|e| format!("`{text}`: {e}"))?;
    if tokens.len() > MOST_TOKENS {
        return Err(format!("an expression of {} words and signs; at most {MOST_TOKENS} are read", tokens.len()));
    }
    not_too_deep(&tokens).map_err(|e| format!("`{text}`: {e}"))?;
    let mut parser = Parser::new(&dialect).with_recursion_limit(DEEPEST).with_tokens(tokens);
    let ast = parser.parse_expr().map_err(|e| format!("`{text}`: {e}"))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(format!("`{text}`: unexpected `{rest}` after the expression"));
    }
    let ast = Arc::new(ast);
    KNOWN.add(text, &ast);
    Ok(ast)
}

/// Whether a condition asks by itself, or among conditions joined by AND, that a column is not null.
#[must_use]
pub fn requires(condition: &str, column: &str) -> bool {
    fn asks(e: &Expr, column: &str) -> bool {
        match e {
            Expr::Nested(inner) => asks(inner, column),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => asks(left, column) || asks(right, column),
            Expr::IsNotNull(inner) => matches!(&**inner, Expr::Identifier(name) if name.value == column),
            _ => false,
        }
    }
    parsed(condition).is_ok_and(|e| asks(&e, column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Expression, Numbers, Scope};

    #[test]
    fn a_column_is_required_only_where_the_condition_cannot_hold_without_it() {
        assert!(requires("a IS NOT NULL", "a"));
        assert!(requires("b > 1 AND (c = 2 AND a IS NOT NULL)", "a"));
        assert!(!requires("b > 1 OR a IS NOT NULL", "a"));
        assert!(!requires("NOT (a IS NOT NULL)", "a"));
        assert!(!requires("b IS NOT NULL", "a"));
    }

    #[test]
    fn an_expression_that_is_too_long_or_too_deep_is_refused() {
        let chain = |n: usize| vec!["1"; n].join("+");
        let checked = |text: &str| Expression::number(text, &Scope::default(), Numbers::Integer);
        assert!(checked(&chain(1_000)).is_ok());
        assert!(checked(&chain(1_001)).unwrap_err().contains("at most 2000"));
        assert!(parsed(&"CAST(".repeat(40)).unwrap_err().contains("nested more than 12 times"));
        assert!(parsed(&format!("{}a{}", "(".repeat(500), ")".repeat(500))).unwrap_err().contains("recursion"));
    }

    #[test]
    fn a_text_that_was_parsed_before_is_what_it_was_and_a_faulty_one_stays_faulty() {
        for _ in 0..2 {
            assert_eq!(parsed("a < 1 AND b IS NULL").unwrap().to_string(), "a < 1 AND b IS NULL");
            assert!(parsed("a < 1 b").unwrap_err().contains("unexpected"));
        }
    }
}
