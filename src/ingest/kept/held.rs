//! The settled rows of a table's files that are kept, found by bucket of a spine.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::file::Block;
use super::roster::Numbers;
use crate::storage::read;

/// Where the rows of a file are.
#[derive(Debug)]
pub(in crate::ingest) enum Place {
    /// In a file that is there for as long as the pass is under way.
    Path(PathBuf),
    /// In a file that may have no name any more.
    Open(File),
}

/// The file of blocks that an export's file has, and the export's file by its position.
#[derive(Debug)]
struct Source {
    file: u32,
    place: Place,
}

/// The settled rows of a table's files that are kept.
#[derive(Debug)]
pub(in crate::ingest) struct Held {
    numbers: Arc<Numbers>,
    sources: Vec<Source>,
    /// By bucket of the roster, with the position of the source.
    blocks: Vec<Vec<(u32, Block)>>,
}

/// The rows of a file that are of one bucket of the roster.
#[derive(Debug)]
pub(in crate::ingest) struct HeldBlock {
    /// The file, by its position in the export.
    pub(in crate::ingest) file: u32,
    /// Number of rows.
    pub(in crate::ingest) rows: u32,
    /// The number in the roster of the bucket's first subject.
    pub(in crate::ingest) first: u32,
    /// The rows, packed.
    pub(in crate::ingest) bytes: Box<[u8]>,
}

impl Held {
    /// Nothing yet.
    pub(in crate::ingest) fn new(numbers: Arc<Numbers>) -> Self {
        let blocks = vec![Vec::new(); numbers.buckets().count()];
        Self { numbers, sources: Vec::new(), blocks }
    }

    /// Adds the blocks of a file.
    ///
    /// # Errors
    /// When one is of no bucket of the roster.
    pub(in crate::ingest) fn add(&mut self, file: u32, place: Place, blocks: &[Block]) -> Result<()> {
        let source = u32::try_from(self.sources.len())?;
        for block in blocks {
            let of = self.blocks.get_mut(block.bucket as usize).context("kept rows of no bucket of their roster")?;
            of.push((source, *block));
        }
        self.sources.push(Source { file, place });
        Ok(())
    }

    /// Whether there is nothing.
    pub(in crate::ingest) const fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The numbers of subjects.
    pub(in crate::ingest) const fn numbers(&self) -> &Arc<Numbers> {
        &self.numbers
    }

    /// The blocks that may hold rows of some subjects of the spine, who follow each other.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(in crate::ingest) fn of(&self, subjects: &Range<usize>) -> Result<Vec<HeldBlock>> {
        let mut found = Vec::new();
        for bucket in self.numbers.overlapping(subjects.clone()) {
            found.append(&mut self.bucket(bucket)?);
        }
        Ok(found)
    }

    /// The blocks of a bucket of the roster.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(in crate::ingest) fn bucket(&self, bucket: usize) -> Result<Vec<HeldBlock>> {
        let blocks = self.blocks.get(bucket).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::with_capacity(blocks.len());
        // The blocks of a source follow each other, so that its file is opened once.
        let mut opened: Option<(u32, File)> = None;
        for (number, block) in blocks {
            let source = self.sources.get(*number as usize).context("defect: a block of no file")?;
            let mut bytes = vec![0; block.len as usize];
            match &source.place {
                Place::Open(file) => {
                    file.read_exact_at(&mut bytes, block.from).context("reading rows that are kept")?
                }
                Place::Path(path) => {
                    let file = match opened.take_if(|(other, _)| *other == *number) {
                        Some((_, file)) => file,
                        None => read::open(path)?,
                    };
                    file.read_exact_at(&mut bytes, block.from)
                        .with_context(|| format!("reading the rows that {} keeps", path.display()))?;
                    opened = Some((*number, file));
                }
            }
            let first = self.numbers.first_of(bucket)?;
            found.push(HeldBlock { file: source.file, rows: block.rows, first, bytes: bytes.into() });
        }
        Ok(found)
    }

    /// The buckets of the roster with rows of subjects who are not in the spine.
    pub(super) fn buckets_of_lost(&self) -> Vec<usize> {
        let mut buckets: Vec<usize> =
            self.numbers.lost().keys().map(|number| self.numbers.buckets().of(*number)).collect();
        buckets.dedup();
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    use crate::ingest::check::conservation::Class;
    use crate::ingest::check::rule::Rule;
    use crate::ingest::kept::file::BlockFile;
    use crate::ingest::kept::lost;
    use crate::ingest::kept::roster::Roster;
    use crate::ingest::read::decode::IdColumn;
    use crate::ingest::rows::buckets::Buckets;
    use crate::ingest::rows::cut::cut;
    use crate::ingest::rows::spare::Spare;
    use crate::ingest::rows::split::Rows;
    use crate::ingest::rows::store::{BucketRows, Store};
    use crate::ingest::spine::Spine;
    use crate::machine::budget::Budget;
    use crate::tables::ids::{IdForm, Ids, SubjectIds, UNKNOWN};

    fn ids(of: &[u32]) -> Ids {
        let mut ids = Ids::default();
        of.iter().for_each(|n| ids.push(format!("{n:04}").as_bytes()));
        ids
    }

    /// A row: whose, of which file, its number, a value, the text of its id, and whether it is kept.
    type Row = (u32, u32, i64, i64, String, bool);

    /// Hands rows of one file to `add` as they are added to stores; `number` is that of a subject.
    fn each_file(rows: &[&Row], number: &dyn Fn(u32) -> u32, add: &mut dyn FnMut(&Rows)) {
        for file in 0..3 {
            let some: Vec<&&Row> = rows.iter().filter(|row| row.1 == file).collect();
            let subjects: Vec<u32> = some.iter().map(|row| number(row.0)).collect();
            let columns = [some.iter().map(|row| row.2).collect(), Vec::new(), some.iter().map(|row| row.3).collect()];
            let texts = IdColumn::Text(some.iter().map(|row| Some(row.4.as_str())).collect::<StringViewArray>());
            let positions: Vec<u32> = (0..).take(some.len()).collect();
            let records = Some((&texts, positions.as_slice()));
            add(&Rows { file, subjects: &subjects, columns: &columns, kept: None, records });
        }
    }

    /// What is told of a row.
    type Told = (u32, i64, i64, Vec<u8>);

    /// What a bucket's rows say, subject by subject, in an order that does not depend on how they came.
    fn told(rows: &BucketRows) -> Vec<Vec<Told>> {
        let of = |row: usize| {
            let text = rows.records.get(row).unwrap().to_vec();
            (rows.files[row], rows.value(0, row), rows.value(2, row), text)
        };
        let subject = |subject: usize| {
            let mut all: Vec<_> = rows.of(subject).map(of).collect();
            all.sort();
            all
        };
        (0..rows.starts.len() - 1).map(subject).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_store_hands_out_the_same_rows_whether_they_are_kept_or_not(
            rows in proptest::collection::vec((0_u32..400, 0_u32..3, 0_i64..1_000, any::<i64>(), "[a-z]{0,20}", any::<bool>()), 0..300),
            new in proptest::collection::btree_set(0_u32..200, 0..20),
            gone in proptest::collection::btree_set(0_u32..200, 0..20),
            shifts in (2_u32..7, 2_u32..7),
        ) {
            let folder = tempfile::tempdir().unwrap();
            // Whoever is in the roster has an even id, whoever is new an odd one.
            let (new, gone): (BTreeSet<u32>, BTreeSet<u32>) =
                (new.iter().map(|n| n * 2 + 1).collect(), gone.iter().map(|n| n * 2).collect());
            let roster: Vec<u32> = (0..200).map(|n| n * 2).collect();
            let there: Vec<u32> =
                (0..400).filter(|n| new.contains(n) || (n % 2 == 0 && !gone.contains(n))).collect();
            let spine = Spine::build(&ids(&there), IdForm::Text).unwrap();
            let subjects = SubjectIds { ids: ids(&roster), form: IdForm::Text };
            let numbers = Numbers::of(&Roster { subjects, shift: shifts.0 }, &spine);
            let numbers = Arc::new(numbers.unwrap());
            let number = |id: u32| spine.find(format!("{id:04}").as_bytes());
            let known: Vec<&Row> = rows.iter().filter(|row| number(row.0) != UNKNOWN).collect();
            let (kept, usual): (Vec<&Row>, Vec<&Row>) = known.iter().copied().partition(|row| row.5 && row.0 % 2 == 0);
            let lost: Vec<&Row> = rows.iter().filter(|row| gone.contains(&row.0)).collect();

            let (buckets, budget) = (Buckets::with_shift(shifts.1, spine.len()), Budget::new(1 << 20));
            let all = Store::new(buckets, &budget, folder.path()).unwrap();
            each_file(&known, &number, &mut |rows| all.add(rows).unwrap());
            let some = Store::new(buckets, &budget, folder.path()).unwrap();
            each_file(&usual, &number, &mut |rows| some.add(rows).unwrap());
            let mut held = Held::new(Arc::clone(&numbers));
            let with_lost: Vec<&Row> = kept.iter().chain(&lost).copied().collect();
            each_file(&with_lost, &|id| id / 2, &mut |rows| {
                let place = folder.path().join(rows.file.to_string());
                std::fs::create_dir(&place).unwrap();
                let file = BlockFile::create(&place).unwrap();
                let (bytes, cuts) = cut(rows, numbers.buckets()).unwrap();
                file.add(rows.columns[0].first().copied().unwrap_or_default(), &bytes, &cuts).unwrap();
                let ended = file.end().unwrap();
                let (blocks, open) = (ended.all(), ended.file);
                let path = place.join(crate::ingest::kept::ROWS);
                held.add(rows.file, if rows.file == 1 { Place::Open(open) } else { Place::Path(path) }, &blocks).unwrap();
            });

            let found = lost::found(&held, 9).unwrap();
            let mut quarantined: Vec<(u32, i64)> = found.quarantined.iter().map(|row| (row.file, row.row)).collect();
            quarantined.sort_unstable();
            let mut expected: Vec<(u32, i64)> = lost.iter().map(|row| (row.1, row.2)).collect();
            expected.sort_unstable();
            prop_assert_eq!(quarantined, expected);
            prop_assert!(found.quarantined.iter().all(|row| row.rule == Rule::UnknownSubject && row.column == 9));
            prop_assert_eq!(found.tally.total(Class::NotVisible), 0);

            let some = some.with(Some(held));
            for bucket in 0..buckets.count() {
                let of = |store: &Store| store.take(bucket, 3, true, &Spare::new(&budget)).unwrap();
                let (all, some) = (of(&all), of(&some));
                prop_assert_eq!(&all.starts, &some.starts);
                prop_assert_eq!(told(&all), told(&some));
                prop_assert!(all.columns[1].is_empty() && some.columns[1].is_empty());
            }
        }
    }
}
