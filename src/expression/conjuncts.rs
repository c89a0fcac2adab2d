//! Reading the local text of a checked condition: what it joins by AND, and where it only asks for a number in place of a null.

use std::collections::BTreeSet;

/// The conditions that must all hold for a condition to hold, in its own order: what it joins by AND, and what these join by AND.
///
/// The text is one that the checker wrote: whatever has two sides stands in parentheses with them, so a parenthesis with one AND
/// directly inside is that AND of its two sides, and one with none or several is taken as it is. A condition is met where it is
/// true; `a AND b` is true exactly where both are, whatever is null, so the parts may be looked at one by one.
#[must_use]
pub fn conjuncts(local: &str) -> Vec<&str> {
    let (mut parts, mut waiting) = (Vec::new(), vec![local]);
    while let Some(text) = waiting.pop() {
        match halves(text) {
            Some((left, right)) => waiting.extend([right, left]),
            None => parts.push(text),
        }
    }
    parts
}

/// The two sides of the only AND directly inside the parentheses around a text.
fn halves(text: &str) -> Option<(&str, &str)> {
    const AND: &str = " AND ";
    let inner = inside(text)?;
    let (mut depth, mut found) = (0_usize, None);
    for (at, sign) in inner.char_indices() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ' ' if depth == 0 && inner[at..].starts_with(AND) => {
                if found.is_some() {
                    return None;
                }
                found = Some(at);
            }
            _ => {}
        }
    }
    match found {
        Some(at) => Some((&inner[..at], &inner[at + AND.len()..])),
        // A comparison of both ends stands in two pairs of parentheses.
        None => halves(inner),
    }
}

/// What stands between the parentheses around a text, if one pair is around all of it.
fn inside(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let mut depth = 0_usize;
    for sign in inner.chars() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then_some(inner)
}

/// Those of some columns that a text names.
#[must_use]
pub fn named(text: &str, columns: &BTreeSet<String>) -> BTreeSet<String> {
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    columns.iter().filter(|column| words.contains(column.as_str())).cloned().collect()
}

/// A text in which every `COALESCE(column, number)` has lost its number, and the columns of these. Where none of the columns is
/// null, two expressions of which this text is the same have the same value: each such call is its column.
#[must_use]
pub fn without_defaults(text: &str) -> (String, BTreeSet<String>) {
    const CALL: &str = "COALESCE(";
    let (mut left, mut columns, mut rest) = (String::with_capacity(text.len()), BTreeSet::new(), text);
    while let Some(at) = rest.find(CALL) {
        let (before, after) = rest.split_at(at + CALL.len());
        left.push_str(before);
        rest = after;
        let arguments = after.split_once(')').and_then(|(arguments, _)| arguments.split_once(", "));
        if let Some((column, number)) = arguments
            && is_name(column)
            && number.parse::<i64>().is_ok()
        {
            left.push_str(column);
            left.push_str(", ?");
            columns.insert(column.to_owned());
            rest = &after[column.len() + ", ".len() + number.len()..];
        }
    }
    left.push_str(rest);
    (left, columns)
}

/// Whether a text is the name of a column.
fn is_name(text: &str) -> bool {
    let lawful = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && text.chars().all(lawful)
}

/// A column held against a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The column.
    pub column: String,
    than: Than,
    number: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Than {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    /// Reads a condition that is nothing else.
    #[must_use]
    pub fn parse(local: &str) -> Option<Self> {
        let mut words = inside(local).unwrap_or(local).split(' ');
        let (column, than, number) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !is_name(column) {
            return None;
        }
        let than = match than {
            "<" => Than::Less,
            "<=" => Than::AtMost,
            ">" => Than::Greater,
            ">=" => Than::AtLeast,
            _ => return None,
        };
        Some(Self { column: column.to_owned(), than, number: number.parse().ok()? })
    }

    /// Whether it holds for a value; a null holds nowhere.
    #[must_use]
    pub const fn is_met(&self, value: i64) -> bool {
        let holds = match self.than {
            Than::Less => value < self.number,
            Than::AtMost => value <= self.number,
            Than::Greater => value > self.number,
            Than::AtLeast => value >= self.number,
        };
        holds && value != crate::NULL
    }

    /// Where it holds, 1 or 0 for each value; a null holds nowhere.
    #[must_use]
    pub fn holds(&self, values: &[i64]) -> Vec<u8> {
        let number = self.number;
        match self.than {
            Than::Less => marks(values, |value| value < number),
            Than::AtMost => marks(values, |value| value <= number),
            Than::Greater => marks(values, |value| value > number),
            Than::AtLeast => marks(values, |value| value >= number),
        }
    }
}

fn marks(values: &[i64], is: impl Fn(i64) -> bool) -> Vec<u8> {
    values.iter().map(|value| u8::from(*value != crate::NULL) & u8::from(is(*value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NULL;
    use crate::expression::{ColumnKind, Expression, Numbers, Scope};

    fn scope(day: i64) -> Scope {
        let mut scope = Scope::new("repayments");
        for column in ["a", "b", "due_months_ago", "paid_day"] {
            scope.declare(column, ColumnKind::Number, true, 200_000);
        }
        scope.column("flag", ColumnKind::Flag);
        scope.constant("as_of_day", day);
        scope
    }

    fn local(text: &str) -> String {
        Expression::parse(text, &scope(20_393), Numbers::Integer).unwrap().local
    }

    #[test]
    fn what_is_joined_by_and_comes_apart_and_nothing_else_does() {
        let parts = |text: &str| conjuncts(&local(text)).into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parts("a > 1 AND (b < 2 AND flag)"), ["(a > 1)", "(b < 2)", "(flag = 1)"]);
        assert_eq!(parts("a BETWEEN 1 AND 3 AND b > 2"), ["a >= 1", "a <= 3", "(b > 2)"]);
        assert_eq!(parts("a > 1 OR (b > 1 AND flag)"), ["((a > 1) OR ((b > 1) AND (flag = 1)))"]);
        assert_eq!(parts("NOT (a > 1 AND b > 1)"), ["(NOT ((a > 1) AND (b > 1)))"]);
        assert_eq!(parts("NOT a BETWEEN 1 AND 3"), ["(NOT ((a >= 1 AND a <= 3)))"]);
        let case = "CASE WHEN (a > 1) THEN ((b > 1) AND (flag = 1)) ELSE (a IS NULL) END";
        assert_eq!(conjuncts(case), [case]);
        let known = local("LEAST(a, b) >= 2 AND flag");
        assert_eq!(conjuncts(&known).len(), 2);
        assert!(conjuncts(&known)[0].starts_with("(CASE WHEN a IS NULL OR b IS NULL THEN NULL"));
    }

    #[test]
    fn a_chain_of_any_length_comes_apart() {
        let chain = (0..400).fold("(a > 0)".to_owned(), |chain, n| format!("({chain} AND (b > {n}))"));
        assert_eq!(conjuncts(&chain).len(), 401);
    }

    #[test]
    fn lateness_at_two_dates_differs_only_where_nothing_was_paid() {
        let lateness = |day: i64| {
            let text = "GREATEST(COALESCE(paid_day, as_of_day) - COALESCE(a, b), 0)";
            Expression::parse(text, &scope(day), Numbers::Integer).unwrap().local
        };
        assert_ne!(lateness(20_393), lateness(20_362));
        assert_eq!(without_defaults(&lateness(20_393)), without_defaults(&lateness(20_362)));
        assert_eq!(without_defaults(&lateness(20_393)).1, BTreeSet::from(["paid_day".to_owned()]));
        let other = |day: i64| Expression::parse("as_of_day - b", &scope(day), Numbers::Integer).unwrap().local;
        assert_ne!(without_defaults(&other(20_393)).0, without_defaults(&other(20_362)).0);
    }

    #[test]
    fn a_column_is_named_by_a_whole_word() {
        let columns = BTreeSet::from(["a".to_owned(), "due".to_owned(), "due_day".to_owned()]);
        assert_eq!(named("(due_day > 3)", &columns), BTreeSet::from(["due_day".to_owned()]));
    }

    #[test]
    fn a_window_is_a_comparison_and_null_is_in_none() {
        let window = Comparison::parse(&local("due_months_ago < 12")).unwrap();
        assert_eq!(window.column, "due_months_ago");
        assert_eq!(window.holds(&[0, 11, 12, NULL, -1]), [1, 1, 0, 0, 1]);
        assert_eq!(Comparison::parse("a >= -2").unwrap().holds(&[-2, -3, NULL]), [1, 0, 0]);
        for text in ["a < 5", "a <= 5", "a > 5", "a >= 5"] {
            let comparison = Comparison::parse(text).unwrap();
            let values = [4, 5, 6, NULL];
            assert_eq!(comparison.holds(&values), values.map(|value| u8::from(comparison.is_met(value))), "{text}");
        }
        assert_eq!(Comparison::parse("(a > b)"), None);
        assert_eq!(Comparison::parse("(a + 1 > 3)"), None);
    }
}
