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
use crate::tables::columns::{column, longs, named};
use crate::tables::ids::{self, IdForm, Ids, SubjectIds};
use crate::tables::scores::SUBJECT_ID;

const IDS: &str = "ids.parquet";
const CONSENTS: &str = "consents";
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
            Field::new(CONSENTS, DataType::UInt8, false),
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

/// The stage, opened: consents of everyone, own columns block by block, ids when they are asked for, for most of the work needs none.
#[derive(Debug)]
pub struct Subjects {
    /// Each subject's consents.
    pub consents: Vec<u8>,
    ids: Blocks,
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
        let ids = Blocks::open(&stage.path(IDS))?;
        let mut consents = Vec::with_capacity(ids.rows());
        for at in 0..ids.len() {
            let block = ids.columns(at, &[CONSENTS])?;
            consents
                .extend_from_slice(column(&block, CONSENTS, &DataType::UInt8)?.as_primitive::<UInt8Type>().values());
        }
        let columns = kept(table).map(|at| (at, table.columns[at].name.clone())).collect();
        let own = Blocks::open(&stage.path(OWN))?;
        Ok(Self { consents, ids, own, width: table.columns.len() + FIRST, columns })
    }

    /// Number of subjects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.consents.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.consents.is_empty()
    }

    /// The ids of everyone, read anew: whoever needs them holds them no longer than that.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn ids(&self) -> Result<SubjectIds> {
        let mut subjects = SubjectIds::default();
        for at in 0..self.ids.len() {
            subjects.form = self.push_ids(at, &mut subjects.ids)?;
            if at == 0 {
                subjects.ids.make_room(self.ids.rows());
            }
        }
        Ok(subjects)
    }

    /// The ids of everyone, block by block.
    pub fn ids_by_block(&self) -> impl Iterator<Item = Result<Ids>> {
        (0..self.ids.len()).map(|at| -> Result<Ids> {
            let mut ids = Ids::default();
            self.push_ids(at, &mut ids)?;
            Ok(ids)
        })
    }

    /// Adds the ids of a block, and says how they are written.
    fn push_ids(&self, at: usize, ids: &mut Ids) -> Result<IdForm> {
        ids::push(named(&self.ids.columns(at, &[SUBJECT_ID])?, SUBJECT_ID)?, ids)
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
