//! The stage of subjects: ids, consents, and the columns of the row that counts, as integers.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt8Array};
use arrow::datatypes::{DataType, Field, UInt8Type};

use super::merged::{Order, files, one_each};
use super::store::{NewStage, Stage};
use crate::NULL;
use crate::contract::{ColumnType, Table};
use crate::ingest::rows::layout::FIRST;
use crate::ingest::rows::store::BucketRows;
use crate::tables::blocks::{BlockWriter, Blocks};
use crate::tables::columns::{column, longs};
use crate::tables::ids::{self, IdForm, SubjectIds};
use crate::tables::scores::SUBJECT_ID;

const IDS: &str = "ids.parquet";
const OWN: &str = "own.parquet";

/// The positions of the columns that are kept: all but ids and currencies.
fn kept(table: &Table) -> impl Iterator<Item = usize> {
    let plain = |c: ColumnType| !matches!(c, ColumnType::Id | ColumnType::Currency);
    (0..table.columns.len()).filter(move |at| plain(table.columns[*at].kind))
}

/// Writes the stage bucket by bucket.
pub struct Writer {
    ids: BlockWriter,
    own: BlockWriter,
    columns: Vec<usize>,
    next: usize,
}

impl Writer {
    /// Begins the stage.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(stage: &NewStage, table: &Table, subjects: &SubjectIds) -> Result<Self> {
        let fields = vec![
            Field::new(SUBJECT_ID, ids::data_type(subjects)?, false),
            Field::new("consents", DataType::UInt8, false),
        ];
        let columns: Vec<usize> = kept(table).collect();
        let own = columns.iter().map(|at| Field::new(&table.columns[*at].name, DataType::Int64, true)).collect();
        Ok(Self {
            ids: BlockWriter::create(&stage.path(IDS), fields)?,
            own: BlockWriter::create(&stage.path(OWN), own)?,
            columns,
            next: 0,
        })
    }

    /// Adds a bucket's subjects.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, subjects: &SubjectIds, rows: &BucketRows, consents: &[u8]) -> Result<()> {
        let from = self.next;
        self.next += consents.len();
        self.ids.add(vec![ids::column(subjects, from..self.next)?, Arc::new(UInt8Array::from(consents.to_vec()))])?;
        let value = |v: i64| (v != NULL).then_some(v);
        let column = |at: &usize| -> ArrayRef {
            Arc::new((0..consents.len()).map(|row| value(rows.value(at + FIRST, row))).collect::<Int64Array>())
        };
        self.own.add(self.columns.iter().map(column).collect())
    }

    /// Ends the stage's files.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        self.ids.finish()?;
        self.own.finish()
    }
}

/// Puts the stages of shards together.
///
/// # Errors
/// When one is damaged, or the disk is full.
pub(super) fn merge(shards: &[&Stage], order: &Order, to: &NewStage) -> Result<()> {
    [IDS, OWN].iter().try_for_each(|name| one_each(&files(shards, name), order, &to.path(name)))
}

/// How the ids of a stage are written, also of one without subjects.
///
/// # Errors
/// When it is damaged.
pub(super) fn form(stage: &Stage) -> Result<IdForm> {
    let blocks = Blocks::open(&stage.path(IDS))?;
    Ok(match blocks.schema().field_with_name(SUBJECT_ID)?.data_type() {
        DataType::Int64 => IdForm::Integer,
        DataType::FixedSizeBinary(_) => IdForm::Binary,
        _ => IdForm::Text,
    })
}

/// Number of subjects of a stage.
///
/// # Errors
/// When it is damaged.
pub fn count(stage: &Stage) -> Result<usize> {
    Ok(Blocks::open(&stage.path(IDS))?.rows())
}

/// The stage, opened: ids and consents of everyone, own columns block by block.
#[derive(Debug)]
pub struct Subjects {
    /// The ids.
    pub ids: SubjectIds,
    /// Each subject's consents.
    pub consents: Vec<u8>,
    own: Blocks,
    width: usize,
    columns: Vec<(usize, String)>,
}

impl Subjects {
    /// Opens the stage.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(stage: &Stage, table: &Table) -> Result<Self> {
        let blocks = Blocks::open(&stage.path(IDS))?;
        let mut subjects = SubjectIds::default();
        let mut consents = Vec::with_capacity(blocks.rows());
        for at in 0..blocks.len() {
            let block = blocks.block(at)?;
            subjects.form = ids::push(block.column(0), &mut subjects.ids)?;
            consents
                .extend_from_slice(column(&block, "consents", &DataType::UInt8)?.as_primitive::<UInt8Type>().values());
        }
        let columns = kept(table).map(|at| (at, table.columns[at].name.clone())).collect();
        let own = Blocks::open(&stage.path(OWN))?;
        Ok(Self { ids: subjects, consents, own, width: table.columns.len() + FIRST, columns })
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.own.len()
    }

    /// The rows of a block's subjects, one each.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn own(&self, at: usize) -> Result<BucketRows> {
        let block = self.own.block(at)?;
        let rows = u32::try_from(block.num_rows())?;
        let mut columns: Vec<Arc<Vec<i64>>> = vec![Arc::default(); self.width];
        for (at, name) in &self.columns {
            columns[at + FIRST] = Arc::new(longs(&block, name)?);
        }
        Ok(BucketRows { starts: (0..=rows).collect(), files: vec![0; rows as usize], columns, ..BucketRows::default() })
    }
}
