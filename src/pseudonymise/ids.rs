//! A column of ids as pseudonyms.

use std::borrow::Cow;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rayon::prelude::*;

use crate::contract::Domain;
use crate::ingest::read::decode::IdColumn;
use crate::storage::pseudonym::Pseudonyms;
use crate::tables::ids::{IdForm, id_text};

/// Rows that one thread works on at a time.
const CHUNK: usize = 8_192;

/// The pseudonyms of a column's ids, in their order. A null stays null, and an empty text, which names nobody, empty. An integer is
/// named by its decimal digits, anything else by its bytes. `columns` are those of the rows, for ids whose domain a column tells.
///
/// # Errors
/// When the column holds no ids, or the column that tells their domain is missing.
pub(super) fn pseudonyms(
    array: &ArrayRef,
    domain: &Domain,
    columns: &[Option<ArrayRef>],
    names: &Pseudonyms,
) -> Result<StringArray> {
    let rows = array.len();
    if *array.data_type() == DataType::Null {
        return Ok(StringArray::new_null(rows));
    }
    let ids = IdColumn::new(array)?;
    let tables = match domain {
        Domain::ByRow { table, .. } => {
            let column = columns.get(*table).and_then(Option::as_ref);
            let texts = cast(column.context("the column that tells the ids' table is missing")?, &DataType::Utf8)?;
            Some(texts.as_string::<i32>().clone())
        }
        _ => None,
    };
    let fixed = domain.to_string();
    let domain_of = |row: usize| -> Cow<'_, str> {
        match (domain, &tables) {
            (Domain::ByRow { column, .. }, Some(tables)) => {
                // A row that tells no table breaks a rule of the contract; its id joins nothing.
                let table = if tables.is_valid(row) { tables.value(row) } else { "" };
                Cow::Owned(format!("{table}.{column}"))
            }
            _ => Cow::Borrowed(fixed.as_str()),
        }
    };
    let of_chunk = |chunk: usize| -> Vec<Option<String>> {
        let (from, to) = (chunk * CHUNK, rows.min((chunk + 1) * CHUNK));
        let mut found = Vec::with_capacity(to - from);
        // Rows about one thing often follow each other.
        let mut last: Option<(&[u8], Cow<'_, str>, String)> = None;
        for row in from..to {
            let Some(id) = ids.get(row) else {
                found.push(None);
                continue;
            };
            let domain = domain_of(row);
            if let Some((_, _, name)) = last.as_ref().filter(|(of, in_domain, _)| *of == id && *in_domain == domain) {
                found.push(Some(name.clone()));
                continue;
            }
            let name = match ids.form() {
                IdForm::Integer => names.name(&domain, id_text(id, IdForm::Integer).as_bytes()),
                _ if id.is_empty() => String::new(),
                _ => names.name(&domain, id),
            };
            found.push(Some(name.clone()));
            last = Some((id, domain, name));
        }
        found
    };
    let chunks: Vec<Vec<Option<String>>> = (0..rows.div_ceil(CHUNK)).into_par_iter().map(of_chunk).collect();
    Ok(chunks.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{FixedSizeBinaryArray, Int32Array, Int64Array, NullArray, StringViewArray, UInt64Array};

    use super::*;
    use crate::storage::secret::Secret;

    fn names() -> Pseudonyms {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef").unwrap();
        let source = format!("file:{}", file.path().display());
        Pseudonyms::of(&Secret::read("key", &source, |place| place.into()).unwrap())
    }

    fn of(array: &ArrayRef, domain: &Domain) -> Vec<Option<String>> {
        let found = pseudonyms(array, domain, &[], &names()).unwrap();
        found.iter().map(|name| name.map(ToOwned::to_owned)).collect()
    }

    #[test]
    fn an_id_has_one_pseudonym_however_wide_it_is_written() {
        let expected = names().name("subject", b"17");
        let arrays: [ArrayRef; 5] = [
            Arc::new(StringArray::from(vec![None, Some("17"), Some("17")])),
            Arc::new(StringViewArray::from(vec![None, Some("17"), Some("17")])),
            Arc::new(Int32Array::from(vec![None, Some(17), Some(17)])),
            Arc::new(UInt64Array::from(vec![None, Some(17), Some(17)])),
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size([None, Some(b"17"), Some(b"17")].into_iter(), 2)
                    .unwrap(),
            ),
        ];
        for array in arrays {
            assert_eq!(of(&array, &Domain::Subjects), [None, Some(expected.clone()), Some(expected.clone())]);
        }
        let negative = of(&(Arc::new(Int64Array::from(vec![-5])) as ArrayRef), &Domain::Of("a.b".into()));
        assert_eq!(negative, [Some(names().name("a.b", b"-5"))]);
    }

    #[test]
    fn what_names_nobody_stays_so() {
        assert_eq!(of(&(Arc::new(NullArray::new(2)) as ArrayRef), &Domain::Subjects), vec![None::<String>, None]);
        assert_eq!(
            of(&(Arc::new(StringArray::from(vec!["", "a"])) as ArrayRef), &Domain::Subjects)[0],
            Some(String::new())
        );
    }

    #[test]
    fn a_row_tells_the_domain_where_the_contract_says_so() {
        let tables: ArrayRef = Arc::new(StringArray::from(vec![Some("repayments"), Some("purchases"), None]));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![7, 7, 7]));
        let domain = Domain::ByRow { table: 1, column: "record_id".into() };
        let found = pseudonyms(&ids, &domain, &[None, Some(tables)], &names()).unwrap();
        let expected = ["repayments.record_id", "purchases.record_id", ".record_id"];
        for (row, domain) in expected.into_iter().enumerate() {
            assert_eq!(found.value(row), names().name(domain, b"7"));
        }
        assert!(pseudonyms(&ids, &domain, &[], &names()).is_err());
    }

    #[test]
    fn rows_keep_their_order_over_many_chunks() {
        let rows = i64::try_from(3 * CHUNK + 5).unwrap();
        let ids: Vec<i64> = (0..rows).map(|n| n / 3).collect();
        let found = of(&(Arc::new(Int64Array::from(ids.clone())) as ArrayRef), &Domain::Subjects);
        assert_eq!(found.len(), ids.len());
        for row in [0, CHUNK - 1, CHUNK, 2 * CHUNK + 1, ids.len() - 1] {
            assert_eq!(found[row], Some(names().name("subject", ids[row].to_string().as_bytes())));
        }
    }
}
