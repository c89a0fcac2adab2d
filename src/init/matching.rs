//! Which table a dataset is, and which of its columns is which of the contract's.

use std::collections::BTreeSet;
use std::path::Path;

use super::conversion::{Converted, Custom, convert, quoted};
use super::datasets::Dataset;
use super::guesses::Guesses;
use super::request::Request;
use crate::contract::{Column, ColumnType, Contract, Table};

/// A dataset taken for a table.
#[derive(Debug, Clone)]
pub struct Match {
    /// The position of the dataset.
    pub dataset: usize,
    /// The table.
    pub table: Table,
    /// The columns that come of it, in the contract's order.
    pub columns: Vec<(String, Converted)>,
    /// Required columns that were not found.
    pub missing: Vec<Column>,
    /// The file's columns that nothing comes of.
    pub unused: Vec<String>,
}

/// From how well the columns fit a dataset is taken for a table.
const ENOUGH: f64 = 0.45;
/// What a word in the path adds.
const IN_PATH: f64 = 0.3;
/// What each column beyond those that are required adds.
const EACH_MORE: f64 = 0.02;

/// Takes each dataset for the table it is most like, and each table for one dataset.
#[must_use]
pub fn match_all(datasets: &[Dataset], contract: &Contract, guesses: &Guesses, request: &Request) -> Vec<Match> {
    let mut all = Vec::new();
    for (at, dataset) in datasets.iter().enumerate() {
        for (n, table) in contract.tables.iter().enumerate() {
            if let Some((worth, of)) = match_one(at, dataset, table, guesses, request) {
                all.push((worth, n, of));
            }
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.dataset.cmp(&b.2.dataset)));
    let (mut tables, mut taken) = (BTreeSet::new(), BTreeSet::new());
    all.retain(|(_, n, of)| {
        let free = !tables.contains(n) && !taken.contains(&of.dataset);
        if free {
            tables.insert(*n);
            taken.insert(of.dataset);
        }
        free
    });
    all.sort_by_key(|(_, n, _)| *n);
    all.into_iter().map(|(_, _, of)| of).collect()
}

fn match_one(
    at: usize,
    dataset: &Dataset,
    table: &Table,
    guesses: &Guesses,
    request: &Request,
) -> Option<(f64, Match)> {
    let of = guesses.table(table)?;
    let as_of = Some(request.as_of).filter(|text| crate::contract::parse_day(text).is_ok());
    let custom = |column: &str| Custom { zone: request.zone, as_of, says: of.says.get(column) };
    let mut pairs = Vec::new();
    for (c, column) in table.columns.iter().enumerate() {
        for (f, facts) in dataset.columns.iter().enumerate() {
            let Some(like) = alike(&facts.name, column, guesses.column(table, &column.name), table) else { continue };
            if let Some(converted) = convert(column, facts, &custom(&column.name)) {
                pairs.push((like, c, f, converted));
            }
        }
    }
    pairs.sort_by(|a, b| {
        let required = |c: usize| table.columns[c].required;
        b.0.total_cmp(&a.0).then(required(b.1).cmp(&required(a.1))).then((a.1, a.2).cmp(&(b.1, b.2)))
    });
    let mut found: Vec<Option<(f64, Converted)>> = vec![None; table.columns.len()];
    let mut used = BTreeSet::new();
    for (like, c, f, converted) in pairs {
        if found[c].is_none() && used.insert(f) {
            found[c] = Some((like, converted));
        }
    }
    let stands_in = |column: &Column| match column.name.as_str() {
        "currency" => Some((
            format!("'{}'", request.currency),
            "the pipeline's currency is taken for that of every row".to_owned(),
        )),
        name => {
            let words = guesses.column(table, name)?;
            Some((words.without.clone()?, words.because.clone().unwrap_or_default()))
        }
    };
    let essential: Vec<usize> = (0..table.columns.len())
        .filter(|c| table.columns[*c].required && stands_in(&table.columns[*c]).is_none())
        .collect();
    let fit: f64 = essential.iter().filter_map(|c| found[*c].as_ref()).map(|(like, _)| like).sum();
    let more = found.iter().enumerate().filter(|(c, f)| f.is_some() && !essential.contains(c)).count();
    let path = words(&last_names(&dataset.path));
    let told =
        of.words.iter().filter(|w| path.iter().any(|p| p == *w || p.strip_suffix('s') == Some(w.as_str()))).count();
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let worth = fit / essential.len().max(1) as f64 + EACH_MORE * more as f64 + if told > 0 { IN_PATH } else { 0.0 };
    if worth < ENOUGH {
        return None;
    }
    if let Some(record) = table.position("record_id").filter(|at| found[*at].is_none()) {
        let account =
            table.position("account_id").and_then(|at| found[at].as_ref()).map(|(_, account)| account.sql.clone());
        found[record] = account.and_then(|account| put_together(&account, dataset, &mut used)).map(|id| (0.0, id));
    }
    let (mut columns, mut missing) = (Vec::new(), Vec::new());
    for (column, found) in table.columns.iter().zip(found) {
        match (found, stands_in(column)) {
            (Some((_, converted)), _) => columns.push((column.name.clone(), converted)),
            (None, Some((sql, because))) if column.required => {
                columns.push((column.name.clone(), Converted { sql, remark: Some(because) }));
            }
            (None, _) if column.required => missing.push(column.clone()),
            _ => {}
        }
    }
    let unused =
        dataset.columns.iter().enumerate().filter(|(f, _)| !used.contains(f)).map(|(_, c)| c.name.clone()).collect();
    Some((worth, Match { dataset: at, table: table.clone(), columns, missing, unused }))
}

/// Words of columns that number the rows of an account.
const NUMBERS: [&str; 8] = ["number", "num", "no", "nr", "seq", "sequence", "version", "line"];

/// An id of a record, put together of its account and what numbers the account's rows.
fn put_together(account: &str, dataset: &Dataset, used: &mut BTreeSet<usize>) -> Option<Converted> {
    let numbers = |name: &str| words(name).iter().any(|w| NUMBERS.contains(&w.as_str()));
    let mut parts = vec![account.to_owned()];
    for (at, facts) in dataset.columns.iter().enumerate() {
        if facts.whole && numbers(&facts.name) && used.insert(at) {
            let name = quoted(&facts.name);
            parts.push(if facts.is_double() { format!("CAST({name} AS BIGINT)") } else { name });
        }
    }
    (parts.len() > 1).then(|| Converted {
        sql: format!("CONCAT_WS('/', {})", parts.join(", ")),
        remark: Some("put together; see that no two rows of a subject have the same".into()),
    })
}

/// The file or folder and what it lies in.
fn last_names(path: &Path) -> String {
    let names: Vec<_> = path.iter().rev().take(2).map(|n| n.to_string_lossy().into_owned()).collect();
    names.join(" ")
}

/// A name taken apart into lower-case words: `SK_ID_CURR`, `orderDate` and `order date`.
fn words(name: &str) -> Vec<String> {
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
fn alike(name: &str, column: &Column, guess: Option<&super::guesses::ColumnWords>, table: &Table) -> Option<f64> {
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
        assert_eq!(like("AMT_INSTALMENT", "repayments", "amount_due_minor"), Some(0.95));
        assert_eq!(like("customerId", "purchases", "subject_id"), Some(0.95));
        assert_eq!(like("colour", "purchases", "subject_id"), None);
    }
}
