//! The adverse records of shards put together, in the order in which one pass over everyone writes them: rows as they were read, of which
//! nothing is looked at but whose they are and that their names are known.

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, RecordBatch};

use super::gathered::At;
use super::merged::{Order, interleaved};
use crate::tables::evidence::{EvidenceFile, EvidenceRows};
use crate::tables::ids::{Ids, SubjectIds};
use crate::tables::parquet_file::GROUP_ROWS;

/// The records of one shard.
struct Shard {
    rows: EvidenceRows,
    /// Whose those are that were read last.
    ids: Ids,
    /// The first of them that was not taken.
    next: usize,
    /// Which of the batches that are held they are.
    batch: u32,
}

impl Shard {
    fn of(rows: EvidenceRows) -> Self {
        Self { rows, ids: Ids::default(), next: 0, batch: 0 }
    }

    /// Whether every record was taken. Those that are read are held.
    fn is_done(&mut self, held: &mut Vec<RecordBatch>) -> Result<bool> {
        while self.next == self.ids.len() {
            let Some((batch, ids)) = self.rows.batch()? else { return Ok(true) };
            self.batch = u32::try_from(held.len())?;
            held.push(batch);
            (self.ids, self.next) = (ids, 0);
        }
        Ok(false)
    }
}

/// Records that are put together.
struct Merging {
    shards: Vec<Shard>,
    /// The batches that rows were taken of since the last group, and those of which some follow.
    held: Vec<RecordBatch>,
    /// Where the rows of the next group lie.
    places: Vec<At>,
}

impl Merging {
    /// Takes the next record of a shard if it is of a subject, and says whether it is.
    fn take(&mut self, shard: usize, id: &[u8]) -> Result<bool> {
        let shard = &mut self.shards[shard];
        if shard.is_done(&mut self.held)? || shard.ids.get(shard.next) != id {
            return Ok(false);
        }
        self.places.push((shard.batch, u32::try_from(shard.next)?));
        shard.next += 1;
        Ok(true)
    }

    /// The columns of the rows that were taken. Batches of which no row follows are held no more.
    fn group(&mut self) -> Result<Vec<ArrayRef>> {
        let columns = interleaved(&self.held, &self.places)?;
        self.places.clear();
        let mut held = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| shard.next < shard.ids.len()) {
            let batch = self.held[shard.batch as usize].clone();
            shard.batch = u32::try_from(held.len())?;
            held.push(batch);
        }
        self.held = held;
        Ok(columns)
    }
}

/// Puts the records of shards together, and ends the file.
///
/// # Errors
/// When a shard's are damaged or of others than its subjects, or the disk is full.
pub(super) fn merge(
    shards: Vec<EvidenceRows>,
    order: &Order,
    subjects: &SubjectIds,
    mut file: EvidenceFile,
) -> Result<()> {
    let shards = shards.into_iter().map(Shard::of).collect();
    let mut merging = Merging { shards, held: Vec::new(), places: Vec::new() };
    for (number, shard) in order.shards().enumerate() {
        let id = subjects.ids.get(number);
        while merging.take(shard, id)? {
            if merging.places.len() == GROUP_ROWS {
                file.add_group(merging.group()?)?;
            }
        }
    }
    let Merging { shards, held, places } = &mut merging;
    for shard in shards {
        ensure!(shard.is_done(held)?, "a shard's evidence is of subjects that it does not have, or in another order");
    }
    if !places.is_empty() {
        file.add_group(merging.group()?)?;
    }
    file.finish(subjects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::tables::evidence::Evidence;
    use crate::tables::ids::IdForm;

    fn names() -> (Vec<String>, Vec<String>) {
        (vec!["sales".to_owned(), "repayments".to_owned()], vec!["P1".to_owned(), "P2".to_owned()])
    }

    fn ids(of: impl Iterator<Item = usize>) -> SubjectIds {
        let mut ids = Ids::default();
        of.for_each(|n| ids.push(format!("s{n:06}").as_bytes()));
        SubjectIds { ids, form: IdForm::Text }
    }

    fn write(path: &Path, subjects: &SubjectIds, records: impl Iterator<Item = Evidence>) {
        let (tables, policies) = names();
        let mut file = EvidenceFile::create(path, subjects, tables, policies).unwrap();
        file.add(subjects, records).unwrap();
        file.finish(subjects).unwrap();
    }

    /// The records of subjects under their numbers among some: as many of each as `many` says, by its number among everyone.
    fn records(of: &[usize], many: impl Fn(usize) -> usize) -> Vec<Evidence> {
        let record = |subject: u32, number: usize, n: usize| Evidence {
            subject,
            table: u8::from(n.is_multiple_of(3)),
            record_text: if n.is_multiple_of(4) { String::new() } else { format!("record {n} of {number}") },
            record_number: i64::try_from(n).unwrap(),
            day: 20_000 - i64::try_from(n).unwrap(),
            days_past_due: (n % 5 > 1).then_some(30),
            amount: (n % 7 > 1).then(|| i64::try_from(number).unwrap()),
            policy: (n % 3 > 1).then_some(u8::from(n.is_multiple_of(2))),
        };
        let numbered = (0_u32..).zip(of);
        numbered
            .flat_map(|(own, number)| (0..many(*number)).map(move |n| (own, *number, n)))
            .map(|(own, number, n)| record(own, number, n))
            .collect()
    }

    /// The file of everyone's records, and that of the records of so many shards put together.
    fn both(everyone: usize, count: usize, many: impl Fn(usize) -> usize) -> (Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (whole, merged) = (folder.path().join("whole"), folder.path().join("merged"));
        let all: Vec<usize> = (0..everyone).collect();
        write(&whole, &ids(all.iter().copied()), records(&all, &many).into_iter());
        let shards: Vec<Vec<usize>> =
            (0..count).map(|shard| all.iter().copied().filter(|n| n * n % 11 % count == shard).collect()).collect();
        let of_shards: Vec<SubjectIds> = shards.iter().map(|of| ids(of.iter().copied())).collect();
        let rows = shards.iter().zip(&of_shards).enumerate().map(|(shard, (of, subjects))| {
            let path = folder.path().join(shard.to_string());
            write(&path, subjects, records(of, &many).into_iter());
            let (tables, policies) = names();
            EvidenceRows::open(&path, tables, policies).unwrap()
        });
        let rows: Vec<EvidenceRows> = rows.collect();
        let (order, ids) = Order::of(&of_shards.iter().map(|of| &of.ids).collect::<Vec<_>>()).unwrap();
        let (subjects, (tables, policies)) = (SubjectIds { ids, form: IdForm::Text }, names());
        let file = EvidenceFile::create(&merged, &subjects, tables, policies).unwrap();
        merge(rows, &order, &subjects, file).unwrap();
        (std::fs::read(whole).unwrap(), std::fs::read(merged).unwrap())
    }

    #[test]
    fn the_records_of_shards_come_together_byte_for_byte() {
        // Several batches of some shards and none of others; one group and several, also a last one that is full; nobody at all.
        for (everyone, count, each) in [(0, 2, 3), (40, 3, 2), (9_000, 3, 2), (900, 4, 300), (GROUP_ROWS / 64, 2, 64)] {
            let many = |n: usize| if each == 64 || n % 5 < 3 { each } else { 0 };
            let (whole, merged) = both(everyone, count, many);
            assert!(whole == merged, "{everyone} subjects in {count} shards, {each} records each");
        }
    }

    #[test]
    fn records_of_others_and_names_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let merged = |order_of: &SubjectIds, (tables, policies): (Vec<String>, Vec<String>)| {
            let rows = EvidenceRows::open(&path, tables.clone(), policies.clone()).unwrap();
            let (order, _) = Order::of(&[&order_of.ids]).unwrap();
            let file = EvidenceFile::create(&folder.path().join("merged"), order_of, tables, policies).unwrap();
            merge(vec![rows], &order, order_of, file).map_err(|error| error.to_string())
        };
        let of = ids([1, 2].into_iter());
        write(&path, &of, records(&[1, 2], |_| 3).into_iter());
        merged(&of, names()).unwrap();
        let stranger = merged(&ids([1, 3].into_iter()), names()).unwrap_err();
        assert!(stranger.contains("of subjects that it does not have"), "{stranger}");
        let (tables, policies) = names();
        let unknown = merged(&of, (tables[..1].to_vec(), policies)).unwrap_err();
        assert!(unknown.contains("nothing is called repayments"), "{unknown}");
        let (tables, _) = names();
        let unknown = merged(&of, (tables, Vec::new())).unwrap_err();
        assert!(unknown.contains("nothing is called P"), "{unknown}");
    }
}
