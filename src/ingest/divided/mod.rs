//! Rows of the exports by shard, where one process makes all shards: whichever shard reads a table first keeps the rows of the shards after
//! it, and those read them instead of the export, so that every export is decoded once.
//!
//! What is kept of a batch are the rows that [`of_shard`](super::visibility::shard::of_shard) would pick of it for each shard, in the types
//! that they were read in and with their places in the export, before anything was looked at but whose they are: what a shard makes of them,
//! finds in them and says of them is the same. They lie packed ([`cut`], [`texts`]) in a scratch file without a name for each table, which is
//! encrypted where keys are named and goes with the process. A batch is written as soon as it was cut: memory holds where batches are, four
//! bytes for each and each shard, which count as rows do ([`held`]), as does what a batch takes while it is cut.
//!
//! The tables that go whole to every shard are kept as of one. Where rows cannot be kept (no room on the disk, columns that are not packed)
//! the others read the export as the first one did, which is said. Where the disk is full at other work, all [give way](Divided::give_way).

mod columns;
mod cut;
mod dividing;
mod held;
mod named;
mod place;
mod portions;
mod room;
mod sorted;
mod texts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Result, anyhow};

use self::dividing::{Dividing, places};
use self::held::Held;
use self::portions::Portions;
use super::read::batches;
use super::read::export::Export;
use super::spine::Spine;
use super::spine::shard::Shard;
use crate::machine::budget::Budget;
use crate::machine::disk;
use crate::machine::resources::Resources;
use crate::output::thousands;

/// What is wrong with a block that is not what was written.
const DAMAGED: &str = "a block of divided rows is damaged";

/// What part of the disk that is free may be taken: the shards spill their rows to it as well. It need not suffice for them, for what is
/// kept gives way.
const PART_OF_DISK: u64 = 2;
/// What part of the bytes of columns that are not compressed they take when they are packed, about.
const PACKED: u64 = 2;

/// The rows of the exports by shard.
#[derive(Default)]
pub struct Divided(Mutex<State>);

#[derive(Default)]
struct State {
    /// By table; nothing for one whose rows could not be kept.
    tables: BTreeMap<String, Option<Arc<Portions>>>,
    /// The subjects that disputes name, who are the same for every shard.
    named: Option<Arc<Spine>>,
    /// Bytes that may still be written; nothing as long as nobody asked.
    room: Option<u64>,
    /// What memory all that takes.
    held: Held,
    /// Whether it was said why the subjects that disputes name are not remembered.
    unnamed: bool,
    /// Whether no rows are kept any more, for the disk was full.
    given_way: bool,
}

impl Divided {
    fn state(&self) -> Result<MutexGuard<'_, State>> {
        self.0.lock().map_err(|_| anyhow!("another thread failed"))
    }

    /// Takes what it holds of the memory of another pass, and sets aside what the pass will have to know of the rows that it is the first to
    /// keep: later, rows of its own would have all of it.
    ///
    /// # Errors
    /// When a thread failed while it held it.
    pub fn count(&self, shard: Shard, exports: &[Export], (budget, resources): (&Budget, &Resources)) -> Result<()> {
        let mut state = self.state()?;
        // A part of the memory, of which nothing was taken yet: it is there. For as long as the pass is under way.
        budget.take(state.held.bytes());
        let later = u64::from(shard.of().saturating_sub(shard.number() + 1));
        // No shard reads the links.
        let is_new = |e: &&Export| e.table.name != "friend_links" && !state.tables.contains_key(&e.table.name);
        let needed: u64 = exports.iter().filter(is_new).map(|export| places(export, later)).sum();
        let needed = if later == 0 || state.given_way { 0 } else { needed };
        state.held.reserve(needed, (budget, resources));
        Ok(())
    }

    /// The rows of a table, if an earlier shard kept them.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub(in crate::ingest) fn find(&self, table: &str) -> Result<Option<Arc<Portions>>> {
        Ok(self.state()?.tables.get(table).cloned().flatten())
    }

    /// Gives up the rows of a table that the last shard has read. To close the file takes the disk a while, which nobody waits for; they count as
    /// kept, so that whoever finds the disk full meanwhile tries again.
    ///
    /// # Errors
    /// When a thread failed.
    pub(in crate::ingest) fn release(&self, table: &str, rows: Arc<Portions>) -> Result<()> {
        self.state()?.tables.insert(table.to_owned(), None);
        rayon::spawn(move || drop(rows));
        Ok(())
    }

    /// Begins to keep the rows of a table for the shards after the one that reads it; with `whole` they are the same for all of them. Nothing
    /// where there is no other shard, or no room: then it is said, and nobody tries again.
    ///
    /// # Errors
    /// When the scratch file cannot be made, or a thread failed.
    pub(in crate::ingest) fn begin(
        &self,
        export: &Export,
        (shard, whole): (Shard, bool),
        budget: &Budget,
        resources: &Resources,
    ) -> Result<Option<Dividing>> {
        let name = &export.table.name;
        let later = shard.number() + 1..shard.of();
        if later.is_empty() || !self.is_wanted(name)? {
            return Ok(None);
        }
        let portions = if whole { 0..1 } else { later };
        let free = match disk::free(&resources.scratch) {
            Ok(free) => free,
            Err(error) => return self.give_up(name, &format!("{error:#}"), resources),
        };
        let most = (free / PART_OF_DISK).min(*self.state()?.room.get_or_insert(free / PART_OF_DISK));
        let needed = batches::bytes(export) / PACKED;
        if needed > most {
            let (needed, place) = (thousands(needed), resources.scratch.display());
            let why =
                format!("they take some {needed} bytes, and {place} has room for {}; see --scratch", thousands(most));
            return self.give_up(name, &why, resources);
        }
        let bytes = places(export, u64::from(portions.end - portions.start));
        let held = self.state()?.held.places(name, bytes, (budget, resources));
        match held {
            Ok(room) => Ok(Some(Dividing::new(export, portions, most, &resources.scratch)?.cut_in(room))),
            Err(why) => self.give_up(name, &why, resources),
        }
    }

    /// Whether nobody tried yet to keep the rows of a table, and rows are kept at all.
    fn is_wanted(&self, table: &str) -> Result<bool> {
        let state = self.state()?;
        Ok(!state.given_way && !state.tables.contains_key(table))
    }

    /// Gives up all rows that are kept, and has none kept from now on: the disk then has the room that it would have if none had ever been.
    /// Returns whether any were, or were about to be when a pass failed. For when no pass is under way: one that is reads on what it found, and
    /// the disk has its room back when it has ended.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub fn give_way(&self) -> Result<bool> {
        let mut state = self.state()?;
        let any = state.held.any_rows();
        state.given_way = true;
        // Their files have no names: closed, they are gone.
        state.tables.clear();
        state.held.forget_rows();
        Ok(any)
    }

    /// Keeps the rows of a table, all of which were read.
    ///
    /// # Errors
    /// When a thread failed.
    pub(in crate::ingest) fn keep(&self, table: &str, rows: Dividing, resources: &Resources) -> Result<()> {
        match rows.finish()? {
            Ok(portions) => {
                let mut state = self.state()?;
                state.room = state.room.map(|room| room.saturating_sub(portions.bytes));
                state.tables.insert(table.to_owned(), Some(Arc::new(portions)));
            }
            Err(error) => drop(self.give_up(table, &format!("{error:#}"), resources)?),
        }
        Ok(())
    }

    /// Says why the rows of a table are not kept.
    fn give_up(&self, table: &str, why: &str, resources: &Resources) -> Result<Option<Dividing>> {
        {
            let mut state = self.state()?;
            state.tables.insert(table.to_owned(), None);
            state.held.forget(table);
        }
        resources
            .log
            .warn(&format!("the rows of {table} are not kept for the other shards, which read it again: {why}"));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use arrow::array::{
        Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use crate::contract::Contract;
    use crate::ingest::read::batches::Batch;
    use crate::ingest::read::decode::IdColumn;
    use crate::ingest::read::open::open;
    use crate::ingest::visibility::erased::picked;
    use crate::output::{LogFormat, Output};
    use crate::pipeline::Pipeline;

    /// Rows of a file, and of a row group.
    const ROWS: i64 = 150;
    const GROUP: usize = 7;
    const WAIT: Duration = Duration::from_millis(1);

    fn column(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }

    fn write(path: &Path, from: i64) {
        let numbers = || from..from + ROWS;
        let id = |n: i64| (n % 13 != 5).then(|| format!("{:032x}", n / 3));
        let kind = |n: i64| if n % 5 == 0 { "small_business" } else { "consumer" };
        let income = |n: i64| (n % 4 > 0).then_some(if n % 11 == 0 { i64::MIN } else { n * 1_000 });
        let known = numbers().map(|n| (n % 3 > 0).then_some(n * 86_400_000_000)).collect::<TimestampMicrosecondArray>();
        let columns = [
            ("subject_id", column(numbers().map(id).collect::<StringArray>())),
            ("kind", column(numbers().map(kind).map(Some).collect::<StringArray>())),
            ("monthly_income_minor", column(numbers().map(income).collect::<Int64Array>())),
            ("deceased", column(numbers().map(|n| Some(n % 7 == 0)).collect::<BooleanArray>())),
            ("known_at", column(known.with_timezone("UTC"))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).build();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Subjects in two files of many row groups.
    fn subjects(folder: &Path) -> Export {
        write(&folder.join("0.parquet"), 0);
        write(&folder.join("1.parquet"), 10_000);
        let text = format!(
            "name='n'\nmodel='m'\nas_of='2025-01-31'\ncurrency='CNY'\noutput='o'\n[inputs]\nsubjects='{}'\n",
            folder.display()
        );
        let pipeline = Pipeline::parse(&folder.join("p.toml"), text).unwrap();
        let (mut exports, findings) = open(&pipeline, &Contract::load().unwrap()).unwrap();
        assert!(findings.is_empty(), "{:?}", findings.iter().map(|f| &f.message).collect::<Vec<_>>());
        exports.pop().unwrap()
    }

    fn shards(export: &Export, batch: &Batch, any: Shard) -> Vec<u16> {
        let at = export.table.position("subject_id").unwrap();
        let ids = IdColumn::new(batch.columns[at].as_ref().unwrap()).unwrap();
        (0..batch.len).map(|row| any.among(ids.get(row), ids.form()).unwrap()).collect()
    }

    /// Each row with its place and its values, which tell their types.
    fn told(batch: &Batch) -> Vec<String> {
        let value = |column: &Option<ArrayRef>, row: usize| {
            column.as_ref().map_or_else(String::new, |column| format!("{:?}", column.slice(row, 1)))
        };
        let row = |row: usize| -> String {
            let values: Vec<String> = batch.columns.iter().map(|column| value(column, row)).collect();
            format!("{} {} {}", batch.file, batch.rows.get(row), values.join(" "))
        };
        (0..batch.len).map(row).collect()
    }

    #[test]
    fn each_shard_reads_the_rows_that_it_would_pick_of_the_export() {
        let folder = tempfile::tempdir().unwrap();
        let export = subjects(folder.path());
        let (log, stop) = (Output::new(true, LogFormat::Text), AtomicBool::new(false));
        let resources = Resources { memory: 1 << 20, scratch: folder.path().to_owned(), stop: &stop, log: &log };
        let groups: usize = export.files.iter().map(|file| file.metadata().num_row_groups()).sum();
        assert!(groups > 40);
        for (of, whole) in [(2, false), (5, false), (200, false), (3, true)] {
            let (divided, budget) = (Divided::default(), resources.budget());
            // Also where memory has no room for what batches take while they are cut.
            let for_cutting = Budget::new(if of == 5 { 0 } else { 1 << 20 });
            let first = Shard::new(0, of).unwrap();
            let begin = || divided.begin(&export, (first, whole), &budget, &resources).unwrap();
            let dividing = begin().unwrap();
            let expected: Mutex<Vec<(u32, String)>> = Mutex::default();
            let progress = log.stage("read", 0, "rows");
            batches::read(&export, &|_, _| Ok(false), &progress, &stop, &|batch| {
                // As a `select` that wants nothing of some row groups leaves them.
                let batch = if batch.from % 4 == 1 { picked(&batch, &vec![false; batch.len])? } else { batch };
                let shards = shards(&export, &batch, first);
                let given = if whole { 0 } else { shards.len() };
                dividing.add(&batch, &shards[..given], &for_cutting)?;
                let rows = shards.iter().map(|shard| u32::from(*shard)).zip(told(&batch));
                expected.lock().unwrap().extend(rows);
                Ok(())
            })
            .unwrap();
            divided.keep("subjects", dividing, &resources).unwrap();
            assert!(begin().is_none(), "what was divided is not divided again");
            let (kept, expected) = (divided.find("subjects").unwrap().unwrap(), expected.into_inner().unwrap());
            assert_eq!(expected.len(), 230);
            assert!(kept.bytes > 1_000 && divided.state().unwrap().room.is_some(), "{} bytes", kept.bytes);
            for number in if whole { 0..1 } else { 1..of } {
                let found: Mutex<(usize, Vec<String>)> = Mutex::default();
                kept.read(number, &export, &progress, &stop, &|batch| {
                    let mut found = found.lock().unwrap();
                    found.0 += 1;
                    found.1.extend(told(&batch));
                    Ok(())
                })
                .unwrap();
                let (batches, mut found) = found.into_inner().unwrap();
                let own = expected.iter().filter(|(shard, _)| whole || *shard == number);
                let mut own: Vec<String> = own.map(|(_, row)| row.clone()).collect();
                own.sort();
                found.sort();
                assert_eq!(found, own, "shard {number} of {of}");
                // One of each row group also where it has no row of the shard: what is told of a file is told without rows as well.
                assert_eq!((kept.rows(number).unwrap(), batches), (own.len() as u64, groups));
            }
            assert!(kept.rows(of).is_err());
            let file = Arc::downgrade(&kept);
            if of == 5 {
                divided.release("subjects", kept).unwrap();
                assert!(divided.find("subjects").unwrap().is_none() && begin().is_none());
                // Another thread closes it, some time.
                (0..10_000).take_while(|_| file.upgrade().is_some()).for_each(|_| std::thread::sleep(WAIT));
            } else {
                drop(kept);
            }
            assert!(divided.give_way().unwrap() && divided.find("subjects").unwrap().is_none());
            assert!(file.upgrade().is_none(), "the disk has its room back");
            assert!(begin().is_none() && !divided.give_way().unwrap(), "nothing is kept any more");
        }
    }

    #[test]
    fn where_there_is_no_room_the_export_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let export = subjects(folder.path());
        let (log, stop) = (Output::new(true, LogFormat::Text), AtomicBool::new(false));
        let small = Resources { memory: 100, scratch: folder.path().to_owned(), stop: &stop, log: &log };
        let large = Resources { memory: 1 << 20, ..small.clone() };
        let begin = |divided: &Divided, number: u32, resources: &Resources| {
            let shard = Shard::new(number, 3).unwrap();
            divided.begin(&export, (shard, false), &resources.budget(), resources).unwrap()
        };
        let divided = Divided::default();
        assert!(begin(&divided, 2, &large).is_none(), "nobody comes after the last one");
        assert!(begin(&divided, 0, &small).is_none(), "there is no memory to know where rows are");
        assert!(begin(&divided, 1, &large).is_none() && divided.find("subjects").unwrap().is_none());
        // A shard that fails on the way leaves it to the next one, and holds nothing.
        let divided = Divided::default();
        drop(begin(&divided, 0, &large).unwrap());
        let bytes = divided.state().unwrap().held.bytes();
        drop(begin(&divided, 1, &large).unwrap());
        assert!(bytes > 0 && divided.state().unwrap().held.bytes() <= bytes);
        let (budget, exports) = (large.budget(), std::slice::from_ref(&export));
        divided.count(Shard::new(2, 3).unwrap(), exports, (&budget, &large)).unwrap();
        assert!(!budget.take(large.memory) && budget.take(large.memory - bytes));
        // What the next one is to know is set aside before its rows take all there is.
        let (full, fresh, first) = (large.budget(), Divided::default(), Shard::new(0, 3).unwrap());
        fresh.count(first, exports, (&full, &large)).unwrap();
        assert!(full.take(large.memory - large.memory / 16 - bytes) && !full.take(1));
        assert!(fresh.begin(&export, (first, false), &full, &large).unwrap().is_some());
        // Where there is less room than was thought, the work goes on.
        let dividing = Dividing::new(&export, 1..3, 100, folder.path()).unwrap();
        let progress = log.stage("read", 0, "rows");
        batches::read(&export, &|_, _| Ok(false), &progress, &stop, &|batch| {
            dividing.add(&batch, &vec![1; batch.len], &budget)
        })
        .unwrap();
        // What was under way when a pass failed gives way as well.
        assert!(divided.give_way().unwrap() && begin(&divided, 0, &large).is_none());
        let error = dividing.finish().unwrap().unwrap_err();
        assert!(error.to_string().contains("more than 100 bytes"), "{error}");
    }
}
