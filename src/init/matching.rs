//! Which table a dataset is, and which of its columns is which of the contract's.

use std::collections::BTreeSet;

use super::conversion::{Converted, Custom, convert, quoted};
use super::datasets::Dataset;
use super::guesses::Guesses;
use super::names::{alike, words};
use super::request::Request;
use crate::contract::{Column, Contract, Table, parse_day};

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
    let (mut found, mut used) = best_columns(dataset, table, guesses, request)?;
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
    let fits: Vec<f64> = essential.iter().filter_map(|c| found[*c].as_ref()).map(|found| found.like).collect();
    let more = found.iter().enumerate().filter(|(c, f)| f.is_some() && !essential.contains(c)).count();
    let named =
        of.words.iter().any(|w| dataset.words().iter().any(|p| p == w || p.strip_suffix('s') == Some(w.as_str())));
    let repeats = |c: usize| found[c].as_ref().is_some_and(|found| dataset.columns[found.from].repeats);
    let several = of.one_per_subject && table.position("subject_id").is_some_and(repeats);
    // A few columns that happen to fit make no table.
    if 2 * fits.len() <= essential.len() || several || (of.only_by_path && !named) {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let worth =
        fits.iter().sum::<f64>() / essential.len() as f64 + EACH_MORE * more as f64 + if named { IN_PATH } else { 0.0 };
    if worth < ENOUGH {
        return None;
    }
    if let Some(record) = table.position("record_id").filter(|at| found[*at].is_none()) {
        let account = table.position("account_id").and_then(|at| found[at].clone());
        found[record] = account.and_then(|account| put_together(&account, dataset, &mut used));
    }
    let (mut columns, mut missing) = (Vec::new(), Vec::new());
    for (column, found) in table.columns.iter().zip(found) {
        match (found, stands_in(column)) {
            (Some(found), _) => columns.push((column.name.clone(), found.converted)),
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

/// A column of a file taken for one of the contract.
#[derive(Debug, Clone)]
struct FoundColumn {
    /// How much it is named like it.
    like: f64,
    /// Its position in the file.
    from: usize,
    /// The SQL.
    converted: Converted,
}

/// By column of the contract the one of the file that is most like it, each taken once; and the positions of those taken.
fn best_columns(
    dataset: &Dataset,
    table: &Table,
    guesses: &Guesses,
    request: &Request,
) -> Option<(Vec<Option<FoundColumn>>, BTreeSet<usize>)> {
    let of = guesses.table(table)?;
    let as_of = Some(request.as_of).filter(|text| parse_day(text).is_ok());
    let mut pairs = Vec::new();
    for (c, column) in table.columns.iter().enumerate() {
        let custom = Custom { zone: request.zone, as_of, says: of.says.get(&column.name) };
        for (from, facts) in dataset.columns.iter().enumerate() {
            let Some(like) = alike(&facts.name, column, guesses.column(table, &column.name), table) else { continue };
            if let Some(converted) = convert(column, facts, &custom) {
                pairs.push((c, FoundColumn { like, from, converted }));
            }
        }
    }
    pairs.sort_by(|(a, one), (b, other)| {
        let required = |c: usize| table.columns[c].required;
        other.like.total_cmp(&one.like).then(required(*b).cmp(&required(*a))).then((a, one.from).cmp(&(b, other.from)))
    });
    let (mut found, mut used) = (vec![None; table.columns.len()], BTreeSet::new());
    for (c, pair) in pairs {
        if found[c].is_none() && used.insert(pair.from) {
            found[c] = Some(pair);
        }
    }
    Some((found, used))
}

/// Words of columns that number the rows of an account.
const NUMBERS: [&str; 8] = ["number", "num", "no", "nr", "seq", "sequence", "version", "line"];

/// An id of a record, put together of its account and what numbers the account's rows.
fn put_together(account: &FoundColumn, dataset: &Dataset, used: &mut BTreeSet<usize>) -> Option<FoundColumn> {
    let numbers = |name: &str| words(name).iter().any(|w| NUMBERS.contains(&w.as_str()));
    let mut parts = vec![account.converted.sql.clone()];
    for (at, facts) in dataset.columns.iter().enumerate() {
        if facts.whole && numbers(&facts.name) && used.insert(at) {
            let name = quoted(&facts.name);
            parts.push(if facts.is_double() { format!("CAST({name} AS BIGINT)") } else { name });
        }
    }
    let converted = Converted {
        sql: format!("CONCAT_WS('/', {})", parts.join(", ")),
        remark: Some("put together; see that no two rows of a subject have the same".into()),
    };
    (parts.len() > 1).then_some(FoundColumn { like: 0.0, from: account.from, converted })
}
