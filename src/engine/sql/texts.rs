//! Functions of texts, by characters, as DuckDB has them.

use std::sync::Arc;

use polars::prelude::{DataType, Expr};
use regex::Regex;

use super::columns::{Cell, Given, One, call};

/// Calls a function of texts and whole numbers, none of which may be null.
pub(super) fn of(
    arguments: Vec<Expr>,
    to: DataType,
    one: impl Fn(&[Cell]) -> Option<Given> + Send + Sync + 'static,
) -> Expr {
    let strict: One = Arc::new(move |cells| {
        let null = cells.iter().any(|c| matches!(c, Cell::Null));
        if null { None } else { one(cells) }
    });
    call(arguments, to, false, strict)
}

/// A function from one text to another.
pub(super) fn changed(argument: Expr, one: impl Fn(&str) -> String + Send + Sync + 'static) -> Expr {
    of(vec![argument], DataType::String, move |c| Some(Given::Text(one(c[0].text()?))))
}

/// A function from one text to a number.
pub(super) fn counted(argument: Expr, one: impl Fn(&str) -> usize + Send + Sync + 'static) -> Expr {
    of(vec![argument], DataType::Int64, move |c| Some(Given::Whole(i64::try_from(one(c[0].text()?)).ok()?)))
}

/// A condition on two texts.
pub(super) fn tested(arguments: Vec<Expr>, one: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Expr {
    of(arguments, DataType::Boolean, move |c| Some(Given::Flag(one(c[0].text()?, c[1].text()?))))
}

/// The first characters; of a negative number, all but so many last ones.
pub(super) fn left(text: &str, count: i64) -> String {
    text.chars().take(kept(text, count)).collect()
}

/// The last characters; of a negative number, all but so many first ones.
pub(super) fn right(text: &str, count: i64) -> String {
    let all = text.chars().count();
    text.chars().skip(all - kept(text, count)).collect()
}

/// How many characters of a text are kept.
fn kept(text: &str, count: i64) -> usize {
    let all = text.chars().count();
    match usize::try_from(count) {
        Ok(count) => count.min(all),
        Err(_) => all.saturating_sub(usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

/// Characters from a place, the first is 1, and a negative one counts from the end; all that follow when no number is given.
pub(super) fn part(text: &str, from: i64, count: Option<i64>) -> String {
    let all = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let mut first = if from < 0 { all + from } else { from - 1 };
    let mut last = count.map_or(all, |count| first.saturating_add(count));
    if last < first {
        std::mem::swap(&mut first, &mut last);
    }
    let (first, last) = (first.clamp(0, all), last.clamp(0, all));
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    text.chars().skip(place(first)).take(place(last) - place(first)).collect()
}

/// The so manieth part between separators, from 1; negative ones count from the end. Nothing there is an empty text.
pub(super) fn split(text: &str, between: &str, at: i64) -> String {
    let parts: Vec<&str> = if between.is_empty() { vec![text] } else { text.split(between).collect() };
    let place = match usize::try_from(at) {
        Ok(at) => at.checked_sub(1),
        Err(_) => usize::try_from(at.unsigned_abs()).ok().and_then(|back| parts.len().checked_sub(back)),
    };
    place.and_then(|at| parts.get(at)).map_or_else(String::new, |part| (*part).to_owned())
}

/// Where a text begins in another one, in characters from 1; 0 when it does not.
pub(super) fn place(text: &str, wanted: &str) -> usize {
    text.find(wanted).map_or(0, |at| text[..at].chars().count() + 1)
}

/// The pattern of LIKE as a regular expression.
///
/// # Errors
/// When it is none.
pub(super) fn like(pattern: &str, any_case: bool) -> Result<Regex, String> {
    let mut expression = String::from(if any_case { "^(?is)" } else { "^(?s)" });
    for letter in pattern.chars() {
        match letter {
            '%' => expression += ".*",
            '_' => expression += ".",
            letter => expression += &regex::escape(&letter.to_string()),
        }
    }
    Regex::new(&(expression + "$")).map_err(|e| format!("the pattern '{pattern}': {e}"))
}

/// A condition that a regular expression is found.
pub(super) fn matching(argument: Expr, pattern: Regex) -> Expr {
    of(vec![argument], DataType::Boolean, move |c| Some(Given::Flag(pattern.is_match(c[0].text()?))))
}

/// Texts put together with another one between them; nulls are left out.
pub(super) fn joined(arguments: Vec<Expr>, between: String) -> Expr {
    let one: One = Arc::new(move |cells| {
        let parts: Vec<&str> = cells.iter().filter_map(|c| c.text()).collect();
        Some(Given::Text(parts.join(&between)))
    });
    call(arguments, DataType::String, false, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_texts_are_those_of_duckdb() {
        assert_eq!((left("信用x", 2), left("abc", -1), left("abc", 9)), ("信用".into(), "ab".into(), "abc".into()));
        assert_eq!((right("abc", 2), right("abc", -1), right("abc", 0)), ("bc".into(), "bc".into(), String::new()));
        assert_eq!((part("abcde", 2, Some(3)), part("abcde", -2, None)), ("bcd".into(), "de".into()));
        assert_eq!((part("abcde", 0, Some(2)), part("abcde", 9, Some(2))), ("a".into(), String::new()));
        assert_eq!(
            (split("a/b/c", "/", 2), split("a/b/c", "/", -1), split("a", "/", 5)),
            ("b".into(), "c".into(), String::new())
        );
        assert_eq!((place("a信b", "b"), place("abc", "x")), (3, 0));
        assert!(like("a%b_", false).unwrap().is_match("a..b!") && !like("A%", false).unwrap().is_match("ab"));
        assert!(like("A%", true).unwrap().is_match("ab") && !like("a.c", false).unwrap().is_match("abc"));
    }
}
