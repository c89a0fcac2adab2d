//! Counts and quarantined rows of a stage's tables, kept so that a run that reuses the stage reports them as well.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, UInt16Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, UInt16Type, UInt32Type};
use serde::{Deserialize, Serialize};

use crate::ingest::check::conservation::{Class, Tally};
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::{Quarantined, Rule};
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::columns::column;

/// The file of quarantined rows in a stage's folder.
pub const QUARANTINE: &str = "quarantine.parquet";

/// What rows that a `select` makes beyond those of the export are called.
const MULTIPLIED: &str = "multiplied";

/// What was counted of each table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies(BTreeMap<String, OfTable>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
struct OfTable {
    /// Rows by class, file by file.
    files: Vec<BTreeMap<String, u64>>,
    /// The day of the newest visible record.
    newest: Option<i64>,
}

/// How it may be written: older versions wrote the files alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Now { files: Vec<BTreeMap<String, u64>>, newest: Option<i64> },
    Files(Vec<BTreeMap<String, u64>>),
}

impl From<Written> for OfTable {
    fn from(written: Written) -> Self {
        match written {
            Written::Now { files, newest } => Self { files, newest },
            Written::Files(files) => Self { files, newest: None },
        }
    }
}

/// Writes the quarantined rows of some tables and returns the counts.
///
/// # Errors
/// When the disk is full.
pub fn write(folder: &Path, findings: &BTreeMap<String, Findings>) -> Result<Tallies> {
    let fields = vec![
        Field::new("table", DataType::Utf8, false),
        Field::new("file", DataType::UInt32, false),
        Field::new("row", DataType::Int64, false),
        Field::new("rule", DataType::Utf8, false),
        Field::new("column", DataType::UInt16, false),
    ];
    let mut file = BlockWriter::create(&folder.join(QUARANTINE), fields)?;
    let mut tallies = Tallies::default();
    for (table, found) in findings {
        let mut rows = found.quarantined.clone();
        rows.sort_unstable();
        for some in rows.chunks(BLOCK_ROWS) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(some.iter().map(|_| Some(table.as_str())).collect::<StringArray>()),
                Arc::new(some.iter().map(|q| Some(q.file)).collect::<UInt32Array>()),
                Arc::new(some.iter().map(|q| Some(q.row)).collect::<Int64Array>()),
                Arc::new(some.iter().map(|q| Some(q.rule.name())).collect::<StringArray>()),
                Arc::new(some.iter().map(|q| u16::try_from(q.column).map(Some)).collect::<Result<UInt16Array, _>>()?),
            ];
            file.add(columns)?;
        }
        let of_file = |n: usize| {
            let counts = Class::ALL.iter().map(|c| (c.name().to_owned(), found.tally.get(n, *c)));
            let counts = counts.chain([(MULTIPLIED.to_owned(), found.tally.multiplied(n))]);
            counts.filter(|(_, rows)| *rows > 0).collect()
        };
        let files = (0..found.tally.files()).map(of_file).collect();
        tallies.0.insert(table.clone(), OfTable { files, newest: found.newest });
    }
    file.finish()?;
    Ok(tallies)
}

/// Reads them back.
///
/// # Errors
/// When the stage is damaged.
pub fn read(folder: &Path, tallies: &Tallies) -> Result<BTreeMap<String, Findings>> {
    let mut all: BTreeMap<String, Findings> = BTreeMap::new();
    for (table, OfTable { files, newest }) in &tallies.0 {
        let mut tally = Tally::default();
        for (file, counts) in (0_u32..).zip(files) {
            for (name, rows) in counts {
                if name == MULTIPLIED {
                    tally.multiply(file, *rows);
                    continue;
                }
                let class = Class::ALL.iter().find(|c| c.name() == name).context("a stage counts an unknown class")?;
                tally.add(file, *class, *rows);
            }
        }
        all.insert(table.clone(), Findings { tally, newest: *newest, ..Findings::default() });
    }
    let blocks = Blocks::open(&folder.join(QUARANTINE))?;
    for at in 0..blocks.len() {
        let block = blocks.block(at)?;
        let tables = column(&block, "table", &DataType::Utf8)?.as_string::<i32>();
        let files = column(&block, "file", &DataType::UInt32)?.as_primitive::<UInt32Type>();
        let rows = column(&block, "row", &DataType::Int64)?.as_primitive::<Int64Type>();
        let rules = column(&block, "rule", &DataType::Utf8)?.as_string::<i32>();
        let columns = column(&block, "column", &DataType::UInt16)?.as_primitive::<UInt16Type>();
        for n in 0..block.num_rows() {
            let rule = Rule::ALL.into_iter().find(|r| r.name() == rules.value(n)).context("an unknown rule")?;
            let row =
                Quarantined { file: files.value(n), row: rows.value(n), rule, column: usize::from(columns.value(n)) };
            all.entry(tables.value(n).to_owned()).or_default().quarantined.push(row);
        }
    }
    Ok(all)
}
