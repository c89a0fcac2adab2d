//! The file of a file's settled rows: blocks of bytes, in the order of the rows that were read together, and an index that says of which
//! bucket each is.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use arrow::array::{AsArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, UInt32Type, UInt64Type};

use super::{IN_ORDER, INDEX, ROWS};
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
    pieces: Mutex<Vec<Piece>>,
}

/// Blocks that lie one after another.
struct Piece {
    /// The number of the first row: no two pieces of a file have the same.
    first: i64,
    at: u64,
    len: usize,
    /// Where each begins in the piece.
    blocks: Vec<Block>,
}

impl BlockFile {
    /// Begins the file in a folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        Ok(Self {
            file: begin(&folder.join(ROWS))?,
            folder: folder.to_owned(),
            end: AtomicU64::new(0),
            pieces: Mutex::default(),
        })
    }

    /// Adds blocks that lie one after another, of rows the first of which has the number that is given.
    ///
    /// # Errors
    /// When the disk is full; then nothing is added.
    pub(super) fn add(&self, first: i64, bytes: &[u8], cuts: &[Cut]) -> Result<()> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut from = 0;
        let block = |cut: &Cut| {
            let (begin, len) = (from, u32::try_from(cut.end - from)?);
            from = cut.end;
            Ok(Block { bucket: u32::try_from(cut.bucket)?, rows: cut.rows, from: begin as u64, len })
        };
        let blocks = cuts.iter().map(block).collect::<Result<_>>()?;
        let written = self.file.write_all_at(bytes, at);
        written.with_context(|| full(&self.folder.join(ROWS)))?;
        let mut pieces = self.pieces.lock().map_err(|_| anyhow!("another thread failed"))?;
        pieces.push(Piece { first, at, len: bytes.len(), blocks });
        Ok(())
    }

    /// Ends the file without an index.
    ///
    /// # Errors
    /// When a thread failed while it wrote.
    pub(super) fn end(self) -> Result<BlocksAtHand> {
        let mut pieces = self.pieces.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        pieces.sort_unstable_by_key(|piece| piece.first);
        Ok(BlocksAtHand { file: self.file, pieces })
    }
}

fn begin(path: &Path) -> Result<File> {
    let mut options = fs_err::OpenOptions::new();
    Ok(options.read(true).write(true).create_new(true).open(path)?.into_parts().0)
}

fn full(path: &Path) -> String {
    format!("writing {}; is the disk full?", path.display())
}

/// A file of blocks that is ended.
pub(super) struct BlocksAtHand {
    /// The file, from which blocks can be read until it is dropped.
    pub(super) file: File,
    /// In the order of their rows.
    pieces: Vec<Piece>,
}

impl BlocksAtHand {
    /// Where the blocks lie, by bucket.
    pub(super) fn all(&self) -> Vec<Block> {
        let of = |piece: &Piece| {
            let at = piece.at;
            piece.blocks.clone().into_iter().map(move |block| Block { from: at + block.from, ..block })
        };
        let mut all: Vec<Block> = self.pieces.iter().flat_map(of).collect();
        all.sort_unstable_by_key(|block| (block.bucket, block.from));
        all
    }

    /// Has the blocks lie in the order of their rows: the same bytes in whichever order threads handed them in. Where that is another one
    /// than they came in, they are written once more.
    ///
    /// # Errors
    /// When the disk is full; then they lie where they lay.
    pub(super) fn put_in_order(&mut self, folder: &Path) -> Result<()> {
        if self.pieces.is_sorted_by_key(|piece| piece.at) {
            return Ok(());
        }
        let path = folder.join(IN_ORDER);
        let mut file = begin(&path)?;
        let (mut bytes, mut end, mut places) = (Vec::new(), 0, Vec::with_capacity(self.pieces.len()));
        for piece in &self.pieces {
            bytes.resize(piece.len, 0);
            self.file.read_exact_at(&mut bytes, piece.at).context("reading rows that are kept")?;
            file.write_all(&bytes).with_context(|| full(&path))?;
            places.push(end);
            end += piece.len as u64;
        }
        fs_err::rename(&path, folder.join(ROWS))?;
        self.pieces.iter_mut().zip(places).for_each(|(piece, at)| piece.at = at);
        self.file = file;
        Ok(())
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

    fn text(file: &File, block: &Block) -> (u32, u32, String) {
        let mut bytes = vec![0; block.len as usize];
        file.read_exact_at(&mut bytes, block.from).unwrap();
        (block.bucket, block.rows, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn blocks_are_found_where_the_index_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = BlockFile::create(folder.path()).unwrap();
        let cut = |bucket, rows, end| Cut { bucket, rows, end };
        let pieces: [(i64, &[u8], &[Cut]); 3] =
            [(9, b"twothree", &[cut(2, 3, 3), cut(3, 5, 8)]), (4, b"", &[]), (2, b"2", &[cut(2, 1, 1)])];
        pieces.iter().for_each(|(first, bytes, cuts)| file.add(*first, bytes, cuts).unwrap());
        let mut ended = file.end().unwrap();
        // First as they came, then in order.
        for (lie, in_bucket) in [("twothree2", ["two", "2"]), ("2twothree", ["2", "two"])] {
            let mut all = vec![0; lie.len()];
            ended.file.read_exact_at(&mut all, 0).unwrap();
            assert_eq!(String::from_utf8(all).unwrap(), lie);
            let read: Vec<(u32, u32, String)> = ended.all().iter().map(|block| text(&ended.file, block)).collect();
            let [one, other] = in_bucket.map(|text| (2, if text == "two" { 3 } else { 1 }, text.to_owned()));
            assert_eq!(read, [one, other, (3, 5, "three".to_owned())]);
            ended.put_in_order(folder.path()).unwrap();
        }
        assert_eq!(fs_err::read(folder.path().join(ROWS)).unwrap(), b"2twothree");
        write_index(folder.path(), &ended.all()).unwrap();
        assert_eq!(read_index(folder.path()).unwrap(), ended.all());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
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
