//! What a shard tells beside its stages: only all shards together know what comes of it.
//!
//! Ids and words lie in files of their own, which are encrypted where tables are; counts are told in the open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use super::later;
use crate::ingest::numbers::Numbers;
use crate::ingest::settle::disputes::Matches;
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::columns::texts;
use crate::tables::ids::SubjectIds;

/// The files in a shard's folder.
const LATER: &str = "later.parquet";
const STRANGERS: &str = "strangers.parquet";
const WORDS: &str = "words.parquet";

/// What a shard tells beside its stages.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The subjects of the export whom the date does not see yet: links to them are not visible either, whichever shard the other end is in.
    pub later: SubjectIds,
    /// Where another engine divided the rows, the ids that they name and that are none of the shard's subjects.
    pub strangers: SubjectIds,
    /// The words that the columns of groups hold, also where rows contradict each other.
    pub words: BTreeMap<String, BTreeSet<String>>,
    /// What was counted.
    pub counted: Counted,
}

/// What a shard counted, by table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// What records the disputes match.
    pub disputes: BTreeMap<String, Matches>,
    /// Rows that break a rule by themselves.
    pub broken: BTreeMap<String, u64>,
    /// Where another engine divided the rows, the numbers of those that came, by file.
    pub came: BTreeMap<String, Vec<Numbers>>,
}

impl Beside {
    /// Writes it to a shard's folder, but for what was counted.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&self, folder: &Path) -> Result<()> {
        later::write(&folder.join(LATER), &self.later)?;
        later::write(&folder.join(STRANGERS), &self.strangers)?;
        let fields = ["column", "word"].map(|name| Field::new(name, DataType::Utf8, false));
        let mut file = BlockWriter::create(&folder.join(WORDS), fields.to_vec())?;
        let words = self.words.iter().flat_map(|(column, words)| words.iter().map(move |word| (column, word)));
        let words: Vec<(&String, &String)> = words.collect();
        for some in words.chunks(BLOCK_ROWS) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(some.iter().map(|(column, _)| column))),
                Arc::new(StringArray::from_iter_values(some.iter().map(|(_, word)| word))),
            ];
            file.add(columns)?;
        }
        file.finish()
    }

    /// Reads it back, with what was counted.
    ///
    /// # Errors
    /// When a file is damaged.
    pub fn read(folder: &Path, counted: Counted) -> Result<Self> {
        let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let all = Blocks::open(&folder.join(WORDS))?.all()?;
        let (columns, of) = (texts(&all, "column")?, texts(&all, "word")?);
        for row in 0..all.num_rows() {
            words.entry(columns.value(row).to_owned()).or_default().insert(of.value(row).to_owned());
        }
        let (later, strangers) = (later::read(&folder.join(LATER))?, later::read(&folder.join(STRANGERS))?);
        Ok(Self { later, strangers, words, counted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ids::{IdForm, Ids};

    #[test]
    fn what_is_told_beside_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let ids = |of: &[&str]| {
            let mut ids = Ids::default();
            of.iter().for_each(|id| ids.push(id.as_bytes()));
            SubjectIds { ids, form: IdForm::Text }
        };
        let words = [("region", vec!["north", "south"]), ("sector", vec!["x"])];
        let words = words.map(|(c, w)| (c.to_owned(), w.into_iter().map(ToOwned::to_owned).collect::<BTreeSet<_>>()));
        let counted = Counted { broken: BTreeMap::from([("sales".to_owned(), 7)]), ..Counted::default() };
        let beside = Beside { later: ids(&["l"]), strangers: ids(&["s", "t"]), words: BTreeMap::from(words), counted };
        for beside in [beside, Beside::default()] {
            beside.write(folder.path()).unwrap();
            let back = Beside::read(folder.path(), beside.counted.clone()).unwrap();
            assert_eq!(format!("{:?}", back.words), format!("{:?}", beside.words));
            assert_eq!((back.later.len(), back.strangers.len()), (beside.later.len(), beside.strangers.len()));
            assert!((0..back.strangers.len()).all(|n| back.strangers.ids.get(n) == beside.strangers.ids.get(n)));
            assert_eq!(back.counted.broken, beside.counted.broken);
        }
    }
}
