//! The file of a file's settled rows: blocks of bytes, in the order in which they came, and an index that says of which bucket each is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use arrow::array::{AsArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, UInt32Type, UInt64Type};

use super::{INDEX, ROWS};
use crate::ingest::rows::cut::Cut;
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::columns::column;

/// Where the rows of a bucket lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct Block {
    /// The bucket of the roster.
    pub(super) bucket: u32,
    /// Number of rows.
    pub(super) rows: u32,
    /// Where in the file the block begins.
    pub(super) from: u64,
    /// Its bytes.
    pub(super) len: u32,
}

/// A file of blocks under way; threads write to it side by side.
pub(super) struct BlockFile {
    file: File,
    folder: PathBuf,
    end: AtomicU64,
    blocks: Mutex<Vec<Block>>,
}

impl BlockFile {
    /// Begins the file in a folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let mut options = fs_err::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(folder.join(ROWS))?.into_parts().0;
        Ok(Self { file, folder: folder.to_owned(), end: AtomicU64::new(0), blocks: Mutex::default() })
    }

    /// Adds blocks that lie one after another.
    ///
    /// # Errors
    /// When the disk is full; then nothing is added.
    pub(super) fn add(&self, bytes: &[u8], cuts: &[Cut]) -> Result<()> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut from = 0;
        let block = |cut: &Cut| {
            let (begin, len) = (from, u32::try_from(cut.end - from)?);
            from = cut.end;
            Ok(Block { bucket: u32::try_from(cut.bucket)?, rows: cut.rows, from: at + begin as u64, len })
        };
        let blocks = cuts.iter().map(block).collect::<Result<Vec<_>>>()?;
        let written = self.file.write_all_at(bytes, at);
        written.with_context(|| format!("writing {}; is the disk full?", self.folder.join(ROWS).display()))?;
        self.blocks.lock().map_err(|_| anyhow!("another thread failed"))?.extend(blocks);
        Ok(())
    }

    /// Ends the file without an index: where its blocks lie, and the file, from which they can be read until it is dropped.
    ///
    /// # Errors
    /// When a thread failed while it wrote.
    pub(super) fn end(self) -> Result<(File, Vec<Block>)> {
        let mut blocks = self.blocks.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        blocks.sort_unstable_by_key(|block| (block.bucket, block.from));
        Ok((self.file, blocks))
    }
}

/// Writes an index beside a file of blocks.
///
/// # Errors
/// When the disk is full.
pub(super) fn write_index(folder: &Path, blocks: &[Block]) -> Result<()> {
    let narrow = ["bucket", "rows", "len"].map(|name| Field::new(name, DataType::UInt32, false));
    let mut fields = narrow.to_vec();
    fields.push(Field::new("from", DataType::UInt64, false));
    let mut file = BlockWriter::create(&folder.join(INDEX), fields)?;
    for some in blocks.chunks(BLOCK_ROWS) {
        let numbers =
            |of: fn(&Block) -> u32| Arc::new(some.iter().map(|block| Some(of(block))).collect::<UInt32Array>());
        let from = Arc::new(some.iter().map(|block| Some(block.from)).collect::<UInt64Array>());
        file.add(vec![numbers(|b| b.bucket), numbers(|b| b.rows), numbers(|b| b.len), from])?;
    }
    file.finish()
}

/// Reads the index in a folder.
///
/// # Errors
/// When it is damaged.
pub(super) fn read_index(folder: &Path) -> Result<Vec<Block>> {
    let all = Blocks::open(&folder.join(INDEX))?.all()?;
    let narrow = |name| Ok(column(&all, name, &DataType::UInt32)?.as_primitive::<UInt32Type>().values());
    let (bucket, rows, len): (_, _, Result<_>) = (narrow("bucket")?, narrow("rows")?, narrow("len"));
    let (len, from) = (len?, column(&all, "from", &DataType::UInt64)?.as_primitive::<UInt64Type>().values());
    let block = |n: usize| Block { bucket: bucket[n], rows: rows[n], from: from[n], len: len[n] };
    Ok((0..all.num_rows()).map(block).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_where_the_index_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = BlockFile::create(folder.path()).unwrap();
        let cut = |bucket, rows, end| Cut { bucket, rows, end };
        file.add(b"twothree", &[cut(2, 3, 3), cut(3, 5, 8)]).unwrap();
        file.add(b"", &[]).unwrap();
        file.add(b"2", &[cut(2, 1, 1)]).unwrap();
        let (open, blocks) = file.end().unwrap();
        write_index(folder.path(), &blocks).unwrap();
        assert_eq!(read_index(folder.path()).unwrap(), blocks);
        let read: Vec<(u32, u32, String)> = blocks
            .iter()
            .map(|block| {
                let mut bytes = vec![0; block.len as usize];
                open.read_exact_at(&mut bytes, block.from).unwrap();
                (block.bucket, block.rows, String::from_utf8(bytes).unwrap())
            })
            .collect();
        let expected = [(2, 3, "two"), (2, 1, "2"), (3, 5, "three")];
        assert_eq!(read, expected.map(|(bucket, rows, text)| (bucket, rows, text.to_owned())));
        // A folder is used once.
        assert!(BlockFile::create(folder.path()).is_err());
    }

    #[test]
    fn an_index_of_nothing_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        write_index(folder.path(), &[]).unwrap();
        assert!(read_index(folder.path()).unwrap().is_empty());
    }
}
