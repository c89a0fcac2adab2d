//! How names of columns are told to be alike.

use super::guesses::ColumnWords;
use crate::contract::{Column, ColumnType, Table};

/// A name taken apart into lower-case words: `SK_ID_CURR`, `orderDate` and `order date`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|w| !w.is_empty());
    words
}

/// How much a file's column is named like one of the contract, from 0.6 to 1.
pub(super) fn alike(name: &str, column: &Column, guess: Option<&ColumnWords>, table: &Table) -> Option<f64> {
    if name.eq_ignore_ascii_case(&column.name) {
        return Some(1.0);
    }
    let mut own = words(name);
    // "loan_amount" in a table of loans is the amount.
    let of_table = table.name.strip_suffix('s').unwrap_or(&table.name);
    if own.len() > 1 {
        own.retain(|w| w != of_table && *w != table.name);
    }
    // "days_registration" is when somebody registered.
    if own.len() > 1 && matches!(column.kind, ColumnType::Date | ColumnType::Instant) {
        own.retain(|w| w != "days");
    }
    let joined = own.concat();
    let likeness = |wanted: &str, exact: f64| {
        let wanted = words(wanted);
        let whole = wanted.concat();
        if joined == whole {
            return Some(exact);
        }
        let inside = wanted.iter().all(|w| own.contains(w)) && whole.len() > 2;
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let share = wanted.len() as f64 / own.len() as f64;
        if inside {
            return Some(0.6 + 0.3 * share);
        }
        (whole.len() > 5 && strsim::jaro_winkler(&joined, &whole) > 0.93).then_some(0.6)
    };
    let without_unit = column.name.strip_suffix("_minor").unwrap_or(&column.name);
    let names = guess.into_iter().flat_map(|g| &g.names).filter_map(|n| likeness(n, 0.95));
    [likeness(&column.name, 1.0), likeness(without_unit, 0.98)]
        .into_iter()
        .flatten()
        .chain(names)
        .max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use crate::init::guesses::Guesses;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(words("SK_ID_CURR"), ["sk", "id", "curr"]);
        assert_eq!(words("orderDate 2"), ["order", "date", "2"]);
    }

    #[test]
    fn columns_are_told_by_their_names() {
        let (contract, guesses) = (Contract::load().unwrap(), Guesses::load().unwrap());
        let like = |name: &str, table: &str, column: &str| {
            let table = contract.table(table).unwrap();
            let of = &table.columns[table.require(column).unwrap()];
            alike(name, of, guesses.column(table, column), table)
        };
        assert_eq!(like("subject_id", "repayments", "subject_id"), Some(1.0));
        assert_eq!(like("subject_id", "subjects", "subject_id"), Some(1.0));
        assert_eq!(like("AMT_INSTALMENT", "repayments", "amount_due_minor"), Some(0.95));
        assert_eq!(like("customerId", "purchases", "subject_id"), Some(0.95));
        assert_eq!(like("colour", "purchases", "subject_id"), None);
    }
}
