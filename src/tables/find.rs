//! Rows of one subject in a table sorted by subject: the footer's statistics name the row group, the page index the page.

use std::cmp::Ordering;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::ids::{IdForm, id_bytes};
use crate::storage::{opening, read};

/// The column that tables are sorted by.
const SUBJECT: &str = "subject_id";

/// A subject as the tables write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectId {
    /// Text, or fixed-size binary.
    Bytes(Vec<u8>),
    /// An integer.
    Integer(i64),
}

impl SubjectId {
    fn cmp_bytes(&self, bytes: &[u8]) -> Ordering {
        match self {
            Self::Bytes(id) => id.as_slice().cmp(bytes),
            Self::Integer(_) => Ordering::Equal,
        }
    }
}

/// A Parquet file whose footer is read.
pub struct SubjectTable {
    file: File,
    footer: ArrowReaderMetadata,
}

/// Consecutive rows of a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    group: usize,
    first: usize,
    count: usize,
    /// The number of the first row in the whole file.
    pub place: usize,
}

impl SubjectTable {
    /// Opens a table.
    ///
    /// # Errors
    /// When it is not there or no Parquet file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = read::open(path)?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let footer = opening::footer(&file, &options).map_err(|e| opening::of_table(e, path))?;
        Ok(Self { file, footer })
    }

    /// A subject, as people write it, in the table's form.
    ///
    /// # Errors
    /// When it cannot be one of the table's ids.
    pub fn id(&self, text: &str) -> Result<SubjectId> {
        match self.footer.schema().field_with_name(SUBJECT)?.data_type() {
            DataType::Utf8 => Ok(SubjectId::Bytes(text.as_bytes().to_vec())),
            DataType::Int64 => {
                let id = text.parse().with_context(|| format!("subject ids are integers, and {text:?} is none"))?;
                Ok(SubjectId::Integer(id))
            }
            DataType::FixedSizeBinary(_) => {
                let none = || format!("subject ids are bytes in hexadecimal, and {text:?} is none");
                Ok(SubjectId::Bytes(id_bytes(text, IdForm::Binary).with_context(none)?))
            }
            other => bail!("subject ids are {other}"),
        }
    }

    fn column(&self, name: &str) -> Result<usize> {
        let columns = self.footer.metadata().file_metadata().schema_descr().columns();
        columns
            .iter()
            .position(|c| c.path().string() == name)
            .with_context(|| format!("the table has no column {name}"))
    }

    /// The rows of a subject, row group by row group; none when it is not there.
    ///
    /// # Errors
    /// When a page is damaged.
    pub fn find(&self, id: &SubjectId) -> Result<Vec<Rows>> {
        let column = self.column(SUBJECT)?;
        let metadata = self.footer.metadata();
        let (mut found, mut before) = (Vec::new(), 0);
        for (group, meta) in metadata.row_groups().iter().enumerate() {
            let rows = usize::try_from(meta.num_rows())?;
            if meta.column(column).statistics().is_none_or(|s| may_hold(s, id)) {
                for (first, count) in self.pages(group, column, rows, id)? {
                    found.extend(self.among(group, first, count, id)?.map(|(at, count)| Rows {
                        group,
                        first: first + at,
                        count,
                        place: before + first + at,
                    }));
                }
            }
            before += rows;
        }
        Ok(found)
    }

    /// The pages of a row group that may hold the subject, by their first row and number of rows; neighbours as one.
    fn pages(&self, group: usize, column: usize, rows: usize, id: &SubjectId) -> Result<Vec<(usize, usize)>> {
        let index = self.footer.metadata().page_index_for_row_group(group);
        let (Some(values), Some(pages)) = (index.column_index(column), index.offset_index(column)) else {
            return Ok(vec![(0, rows)]);
        };
        let firsts: Vec<usize> =
            pages.page_locations().iter().map(|p| usize::try_from(p.first_row_index)).collect::<Result<_, _>>()?;
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (page, first) in firsts.iter().enumerate() {
            let end = firsts.get(page + 1).copied().unwrap_or(rows);
            if !page_may_hold(values, page, id) {
                continue;
            }
            match spans.last_mut() {
                Some((from, count)) if *from + *count == *first => *count += end - first,
                _ => spans.push((*first, end - first)),
            }
        }
        Ok(spans)
    }

    /// Where the subject's rows stand among some rows, and how many they are.
    fn among(&self, group: usize, first: usize, count: usize, id: &SubjectId) -> Result<Option<(usize, usize)>> {
        let batch = self.read_span(group, first, count, Some(&[SUBJECT.to_owned()]))?;
        let ids = batch.column(0);
        let is = |row: usize| match (id, ids.data_type()) {
            (SubjectId::Integer(id), DataType::Int64) => ids.as_primitive::<Int64Type>().value(row) == *id,
            (SubjectId::Bytes(id), DataType::Utf8) => ids.as_string::<i32>().value(row).as_bytes() == id,
            (SubjectId::Bytes(id), DataType::FixedSizeBinary(_)) => ids.as_fixed_size_binary().value(row) == id,
            _ => false,
        };
        let Some(at) = (0..ids.len()).find(|row| is(*row)) else { return Ok(None) };
        Ok(Some((at, (at..ids.len()).take_while(|row| is(*row)).count())))
    }

    /// Columns, or all of them, of some rows.
    ///
    /// # Errors
    /// When a page is damaged.
    pub fn read(&self, rows: Rows, columns: Option<&[String]>) -> Result<RecordBatch> {
        self.read_span(rows.group, rows.first, rows.count, columns)
    }

    /// One row by its number in the whole file; nothing beyond its end.
    ///
    /// # Errors
    /// When a page is damaged.
    pub fn row(&self, place: usize, columns: Option<&[String]>) -> Result<Option<RecordBatch>> {
        let mut before = 0;
        for (group, meta) in self.footer.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(meta.num_rows())?;
            if place < before + rows {
                return self.read_span(group, place - before, 1, columns).map(Some);
            }
            before += rows;
        }
        Ok(None)
    }

    fn read_span(&self, group: usize, first: usize, count: usize, columns: Option<&[String]>) -> Result<RecordBatch> {
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.footer.clone())
                .with_row_groups(vec![group])
                .with_row_selection(RowSelection::from(vec![RowSelector::skip(first), RowSelector::select(count)]));
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
            builder = builder.with_projection(mask);
        }
        let reader = builder.with_batch_size(count.clamp(1, 65_536)).build()?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

/// Whether a row group's smallest and largest value leave room for the subject. Long ones may be cut, to something smaller and
/// something larger.
fn may_hold(statistics: &Statistics, id: &SubjectId) -> bool {
    match (statistics, id) {
        (Statistics::Int64(s), SubjectId::Integer(id)) => {
            s.min_opt().is_none_or(|min| min <= id) && s.max_opt().is_none_or(|max| id <= max)
        }
        (_, SubjectId::Bytes(_)) => {
            let (min, max) = (statistics.min_bytes_opt(), statistics.max_bytes_opt());
            min.is_none_or(|min| id.cmp_bytes(min).is_ge()) && max.is_none_or(|max| id.cmp_bytes(max).is_le())
        }
        _ => true,
    }
}

fn page_may_hold(values: &ColumnIndexMetaData, page: usize, id: &SubjectId) -> bool {
    match (values, id) {
        (ColumnIndexMetaData::INT64(index), SubjectId::Integer(id)) => {
            index.min_value(page).is_none_or(|min| min <= id) && index.max_value(page).is_none_or(|max| id <= max)
        }
        (
            ColumnIndexMetaData::BYTE_ARRAY(index) | ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index),
            SubjectId::Bytes(_),
        ) => {
            let (min, max) = (index.min_value(page), index.max_value(page));
            min.is_none_or(|min| id.cmp_bytes(min).is_ge()) && max.is_none_or(|max| id.cmp_bytes(max).is_le())
        }
        _ => true,
    }
}
