//! The subjects to erase: their ids, as people and as tables write them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Int64Type};

use crate::storage::read;
use crate::tables::ids::IdForm;
use crate::tables::scores::SUBJECT_ID;
use crate::tables::{columns, read as tables};

/// A column beside the ids that says which other id the same subject has.
const MERGED_INTO: &str = "merged_into";

/// Ids as a file gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// All of them.
    pub ids: BTreeSet<String>,
    /// By id the other ids that the file says are of the same subject.
    pub merged: BTreeMap<String, BTreeSet<String>>,
}

impl Asked {
    /// Reads a file of ids: text, one a line, or Parquet with a column `subject_id`, and with `merged_into` where a subject has several.
    ///
    /// # Errors
    /// When it is neither, holds nobody, or an id that no table of this form can hold.
    pub fn read(path: &Path, form: IdForm) -> Result<Self> {
        let mut asked = Self::default();
        if is_parquet(path)? {
            for batch in tables::batches(path, None)? {
                let batch = batch.with_context(|| format!("{} is damaged", path.display()))?;
                let ids = texts(columns::named(&batch, SUBJECT_ID)?)?;
                let others = batch.column_by_name(MERGED_INTO).map(texts).transpose()?;
                for (row, id) in ids.iter().enumerate() {
                    let Some(id) = id else { bail!("{}: an id is null", path.display()) };
                    let id = canonical(id, form)?;
                    asked.ids.insert(id.clone());
                    if let Some(other) = others.as_ref().and_then(|others| others.get(row)).and_then(Option::as_deref) {
                        let other = canonical(other, form)?;
                        asked.ids.insert(other.clone());
                        asked.merged.entry(id).or_default().insert(other);
                    }
                }
            }
        } else {
            let text = read::text(path).context("a file of ids is Parquet, or UTF-8 text with one id a line")?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            for (n, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
                let id = of_a_line(line, form).with_context(|| format!("{}:{n}", path.display()))?;
                asked.ids.insert(id);
            }
        }
        ensure!(!asked.ids.is_empty(), "{} names nobody", path.display());
        Ok(asked)
    }
}

fn is_parquet(path: &Path) -> Result<bool> {
    use std::io::Read;
    let mut begin = Vec::new();
    read::open(path)?.take(4).read_to_end(&mut begin)?;
    Ok([b"PAR1", b"PARE"].iter().any(|kind| begin == *kind))
}

/// The id that a line holds. Blanks around a text would make it another id, which hardly anybody means.
fn of_a_line(line: &str, form: IdForm) -> Result<String> {
    let meant = form != IdForm::Text || line.trim() == line;
    ensure!(meant, "blanks around an id; take them away, or give ids that have them as Parquet");
    canonical(line, form)
}

/// An id as people write it, in the one way that the form has.
///
/// # Errors
/// When it is none of that form.
fn canonical(id: &str, form: IdForm) -> Result<String> {
    Ok(match form {
        IdForm::Text => id.to_owned(),
        IdForm::Integer => {
            let number: i64 = id.trim().parse().context("subject ids are integers, and this is none")?;
            number.to_string()
        }
        IdForm::Binary => {
            ensure!(from_hex(id).is_some(), "subject ids are bytes in hexadecimal, and this is none");
            id.to_ascii_lowercase()
        }
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    // What reads digits would take a sign as well.
    let even = text.len().is_multiple_of(2) && !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit());
    let byte = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    if even { (0..text.len()).step_by(2).map(byte).collect() } else { None }
}

/// The ids of a column as people write them.
///
/// # Errors
/// When the column holds no ids.
pub fn texts(array: &ArrayRef) -> Result<Vec<Option<String>>> {
    Ok(match array.data_type() {
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            let hex = |row: usize| array.value(row).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            (0..array.len()).map(|row| array.is_valid(row).then(|| hex(row))).collect()
        }
        kind if kind.is_integer() => {
            let wide = cast(array, &DataType::Int64)?;
            wide.as_primitive::<Int64Type>().iter().map(|id| id.map(|id| id.to_string())).collect()
        }
        _ => {
            let plain = cast(array, &DataType::Utf8)?;
            plain.as_string::<i32>().iter().map(|id| id.map(ToOwned::to_owned)).collect()
        }
    })
}

/// The ids of some rows of a column, as people write them.
///
/// # Errors
/// When the column holds no ids.
pub fn met(array: &ArrayRef, rows: &[bool]) -> Result<BTreeSet<String>> {
    if !rows.contains(&true) {
        return Ok(BTreeSet::new());
    }
    let found = filter(array, &BooleanArray::from(rows.to_vec()))?;
    Ok(texts(&found)?.into_iter().flatten().collect())
}

/// Ids that are looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    texts: BTreeSet<String>,
    numbers: BTreeSet<i64>,
    bytes: BTreeSet<Vec<u8>>,
}

impl Wanted {
    /// Ids as people write them. A table that writes them in another form than the others is searched all the same.
    #[must_use]
    pub fn of(ids: &BTreeSet<String>) -> Self {
        let number = |id: &String| id.parse::<i64>().ok().filter(|number| number.to_string() == *id);
        Self {
            numbers: ids.iter().filter_map(number).collect(),
            bytes: ids
                .iter()
                .filter(|id| !id.contains(|c: char| c.is_ascii_uppercase()))
                .filter_map(|id| from_hex(id))
                .collect(),
            texts: ids.clone(),
        }
    }

    /// Which rows of a column hold one of them.
    ///
    /// # Errors
    /// When the column holds no ids.
    pub fn rows(&self, array: &ArrayRef) -> Result<Vec<bool>> {
        Ok(match array.data_type() {
            DataType::FixedSizeBinary(_) => {
                let array = array.as_fixed_size_binary();
                (0..array.len()).map(|row| array.is_valid(row) && self.bytes.contains(array.value(row))).collect()
            }
            kind if kind.is_integer() => {
                let wide = cast(array, &DataType::Int64)?;
                let is = |id: Option<i64>| id.is_some_and(|id| self.numbers.contains(&id));
                wide.as_primitive::<Int64Type>().iter().map(is).collect()
            }
            _ => {
                let plain = cast(array, &DataType::Utf8)?;
                plain.as_string::<i32>().iter().map(|id| id.is_some_and(|id| self.texts.contains(id))).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{FixedSizeBinaryArray, Int32Array, StringArray};

    fn ids(text: &str, form: IdForm) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Ok(Asked::read(file.path(), form)?.ids.into_iter().collect())
    }

    #[test]
    fn ids_are_read_in_the_form_that_the_tables_have() {
        assert_eq!(ids("\u{feff}b\r\na\n\nb\n", IdForm::Text).unwrap(), ["a", "b"]);
        assert_eq!(ids("007\n-3", IdForm::Integer).unwrap(), ["-3", "7"]);
        assert_eq!(ids("00FF\n", IdForm::Binary).unwrap(), ["00ff"]);
        assert!(ids("\n\n", IdForm::Text).unwrap_err().to_string().contains("names nobody"));
        let error = format!("{:#}", ids("1\nx", IdForm::Integer).unwrap_err());
        assert!(error.contains(":2") && error.contains("integers"), "{error}");
        assert!(ids("0f0", IdForm::Binary).is_err() && ids("+f+f", IdForm::Binary).is_err());
        for blank in [" a", "b\na ", "a\t"] {
            let error = format!("{:#}", ids(blank, IdForm::Text).unwrap_err());
            assert!(error.contains("blanks around an id"), "{error}");
        }
    }

    #[test]
    fn rows_are_found_however_a_table_writes_ids() {
        let wanted = Wanted::of(&BTreeSet::from(["7".to_owned(), "00ff".to_owned(), "a".to_owned()]));
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("07"), Some("7"), Some("A")]));
        assert_eq!(wanted.rows(&text).unwrap(), [true, false, false, true, false]);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![7, 70]));
        assert_eq!(wanted.rows(&numbers).unwrap(), [true, false]);
        let bytes = FixedSizeBinaryArray::try_from_iter([[0_u8, 255], [255, 0]].iter()).unwrap();
        let bytes: ArrayRef = Arc::new(bytes);
        assert_eq!(wanted.rows(&bytes).unwrap(), [true, false]);
        // They are told as they were asked for.
        for (array, id) in [(&text, "a"), (&numbers, "7"), (&bytes, "00ff")] {
            let mut rows = wanted.rows(array).unwrap();
            rows.truncate(2);
            rows.resize(array.len(), false);
            assert_eq!(met(array, &rows).unwrap(), BTreeSet::from([id.to_owned()]));
        }
    }
}
