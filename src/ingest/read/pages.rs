//! The headers of a Parquet file's pages, held against what the footer says of them before anything is decoded: a header that lies
//! could ask for more memory than there is.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::thrift::Reader;
use crate::storage::content::Content;
use crate::storage::opening;

/// The largest page that is decoded, in bytes; pages are a megabyte by custom.
const MOST_PAGE: i64 = 256 << 20;
/// Bytes read to find a header, and at most: statistics of long texts stand in it.
const HEADER: [usize; 3] = [256, 16 << 10, 1 << 20];
/// Groups of columns within one another that are followed: no table of the contract has any.
const DEEPEST_GROUP: usize = 64;
const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;

/// What a page's header says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Header {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    /// Whether the page has a checksum.
    checksum: bool,
    values: i64,
    /// Bytes of the header itself.
    length: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut header = Self::default();
        let mut reader = Reader::new(bytes);
        reader.fields(&mut |reader, id, kind| {
            match id {
                1 => header.kind = reader.number()?,
                2 => header.uncompressed = reader.number()?,
                3 => header.compressed = reader.number()?,
                4 => {
                    header.checksum = true;
                    reader.skip(kind)?;
                }
                // Of data, of a dictionary and of data in the second version the number of values comes first.
                5 | 7 | 8 => reader.fields(&mut |reader, id, kind| match id {
                    1 => {
                        header.values = reader.number()?;
                        Ok(())
                    }
                    _ => reader.skip(kind),
                })?,
                _ => reader.skip(kind)?,
            }
            Ok(())
        })?;
        header.length = reader.read() as u64;
        Ok(header)
    }

    /// The header at a place of a file that ends before another.
    fn read(file: &Content, at: u64, end: u64) -> Result<Self> {
        let mut last = None;
        for size in HEADER {
            let size = usize::try_from(end.saturating_sub(at))?.min(size);
            let mut bytes = vec![0; size];
            file.read_exact_at(&mut bytes, at)?;
            match Self::parse(&bytes) {
                Ok(header) => return Ok(header),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no header")?)
    }
}

/// Where a column chunk begins and ends in its file.
///
/// # Errors
/// When its places are none.
pub(super) fn range(chunk: &ColumnChunkMetaData) -> Result<(u64, u64)> {
    let first = chunk
        .dictionary_page_offset()
        .filter(|at| *at > 0)
        .unwrap_or(chunk.data_page_offset())
        .min(chunk.data_page_offset());
    let (from, length) = (u64::try_from(first)?, u64::try_from(chunk.compressed_size())?);
    Ok((from, from.checked_add(length).context("a column beyond the file")?))
}

/// Where the column chunks of a row group lie that are wanted, by the number of the column, as far as the file reaches.
///
/// # Errors
/// When the places of one are none.
pub(super) fn ranges(group: &RowGroupMetaData, wanted: &dyn Fn(usize) -> bool, bytes: u64) -> Result<Vec<Range<u64>>> {
    let columns = group.columns().iter().enumerate().filter(|(leaf, _)| wanted(*leaf));
    let within = |(_, chunk): (usize, &ColumnChunkMetaData)| {
        let (from, to) =
            range(chunk).with_context(|| format!("corrupt data: the column `{}`", chunk.column_path().string()))?;
        Ok(from.min(bytes)..to.min(bytes))
    };
    columns.map(within).collect()
}

/// Checks the pages of a column chunk: they fill it, hold as many values as it does, and none is too large to decode.
///
/// # Errors
/// What does not fit.
pub(super) fn check(file: &Content, bytes: u64, chunk: &ColumnChunkMetaData) -> Result<()> {
    if chunk.crypto_metadata().is_some() {
        return check_encrypted(file, bytes, chunk);
    }
    let walk = || -> Result<()> {
        let (mut at, end) = range(chunk)?;
        ensure!(end <= bytes, "it ends beyond the file");
        let mut values = 0_i64;
        while at < end {
            let header = Header::read(file, at, end)?;
            let sizes = [header.uncompressed, header.compressed, header.values];
            ensure!(sizes.iter().all(|size| *size >= 0), "a page of a negative size");
            ensure!(
                header.uncompressed <= MOST_PAGE,
                "a page of {} bytes; {MOST_PAGE} are the most, write smaller pages",
                header.uncompressed
            );
            match header.kind {
                DATA_PAGE | DATA_PAGE_V2 => values = values.saturating_add(header.values),
                // Every value of a dictionary takes a byte or more.
                DICTIONARY_PAGE => {
                    ensure!(header.values <= header.uncompressed, "a dictionary of more values than bytes")
                }
                _ => {}
            }
            ensure!(values <= chunk.num_values(), "its pages hold more values than the {} it has", chunk.num_values());
            at = at.checked_add(header.length + u64::try_from(header.compressed)?).context("a page beyond the file")?;
        }
        ensure!(at == end, "its pages end {} bytes beyond it", at - end);
        ensure!(values == chunk.num_values(), "its pages hold {values} values, and it has {}", chunk.num_values());
        Ok(())
    };
    walk().with_context(|| format!("corrupt data: the column `{}`", chunk.column_path().string()))
}

/// Checks an encrypted column chunk: there is a key for it, and headers and pages, each with its length before it, fill it. What they
/// say is what who holds the key wrote.
fn check_encrypted(file: &Content, bytes: u64, chunk: &ColumnChunkMetaData) -> Result<()> {
    opening::openable(chunk)?;
    let walk = || -> Result<()> {
        let (mut at, end) = range(chunk)?;
        ensure!(end <= bytes, "it ends beyond the file");
        while at < end {
            let mut length = [0; 4];
            file.read_exact_at(&mut length, at)?;
            let length = u32::from_le_bytes(length);
            ensure!(
                i64::from(length) <= MOST_PAGE,
                "a page of {length} bytes; {MOST_PAGE} are the most, write smaller pages"
            );
            at += 4 + u64::from(length);
        }
        ensure!(at == end, "its pages end {} bytes beyond it", at - end);
        Ok(())
    };
    walk().with_context(|| format!("corrupt data: the column `{}`", chunk.column_path().string()))
}

/// Whether the pages of a column chunk have checksums, as its first one tells; encrypted ones cannot be changed unnoticed either.
///
/// # Errors
/// When the header cannot be read.
pub(super) fn has_checksums(file: &Content, bytes: u64, chunk: &ColumnChunkMetaData) -> Result<bool> {
    if chunk.crypto_metadata().is_some() {
        return Ok(true);
    }
    let (from, end) = range(chunk)?;
    ensure!(from < end && end <= bytes, "the column `{}` lies beyond the file", chunk.column_path().string());
    Ok(Header::read(file, from, end)?.checksum)
}

/// The physical type of each leaf column as the schema of a footer says, and as each row group's columns say.
type Types = (Vec<i64>, Vec<Vec<Option<i64>>>);

/// Checks that the columns of every row group are of the types that the schema says; the reader goes by the schema alone.
///
/// # Errors
/// When one is not, or the footer cannot be read.
pub(super) fn types_agree(footer: &[u8]) -> Result<()> {
    let (schema, groups) = types(footer)?;
    for (n, group) in groups.iter().enumerate() {
        ensure!(
            group.len() == schema.len(),
            "row group {n} has {} columns, and the schema {}",
            group.len(),
            schema.len()
        );
        for (at, (said, found)) in schema.iter().zip(group).enumerate() {
            ensure!(
                found.is_none_or(|f| f == *said),
                "column {at} of row group {n} is of another type than the schema says"
            );
        }
    }
    Ok(())
}

fn types(footer: &[u8]) -> Result<Types> {
    let (mut schema, mut groups) = (Vec::new(), Vec::new());
    // How many children are still to come of each group that a column lies in.
    let mut open: Vec<i64> = Vec::new();
    Reader::new(footer).fields(&mut |reader, id, kind| match id {
        2 => each(reader, &mut |reader| {
            // A group of columns has children, a column a type.
            let (mut children, mut of) = (0, None);
            reader.fields(&mut |reader, id, kind| {
                match id {
                    1 => of = Some(reader.number()?),
                    5 => children = reader.number()?,
                    _ => reader.skip(kind)?,
                }
                Ok(())
            })?;
            ensure!(usize::try_from(children).is_ok_and(|n| n <= footer.len()), "a group of {children} columns");
            if children > 0 {
                open.push(children);
                ensure!(open.len() <= DEEPEST_GROUP, "columns in more than {DEEPEST_GROUP} groups of one another");
            } else {
                schema.extend(of);
                while let Some(left) = open.last_mut() {
                    *left -= 1;
                    if *left > 0 {
                        break;
                    }
                    open.pop();
                }
            }
            Ok(())
        }),
        4 => each(reader, &mut |reader| {
            let mut columns = Vec::new();
            let mut has_columns = false;
            reader.fields(&mut |reader, id, kind| match id {
                1 => each(reader, &mut |reader| {
                    has_columns = true;
                    let mut of = None;
                    reader.fields(&mut |reader, id, kind| match id {
                        3 => reader.fields(&mut |reader, id, kind| match id {
                            1 => {
                                of = Some(reader.number()?);
                                Ok(())
                            }
                            _ => reader.skip(kind),
                        }),
                        _ => reader.skip(kind),
                    })?;
                    columns.push(of);
                    Ok(())
                }),
                _ => reader.skip(kind),
            })?;
            ensure!(has_columns, "row group {} has no columns", groups.len());
            groups.push(columns);
            Ok(())
        }),
        _ => reader.skip(kind),
    })?;
    Ok((schema, groups))
}

/// Reads each structure of a list.
fn each(reader: &mut Reader, one: &mut dyn FnMut(&mut Reader) -> Result<()>) -> Result<()> {
    let (count, _) = reader.list()?;
    (0..count).try_for_each(|_| one(reader))
}
