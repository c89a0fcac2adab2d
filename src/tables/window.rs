//! Chosen columns of a row group, read at once: page by page each page would be sought and read twice, its header and then itself.
//!
//! Whoever reads through a window is given what the file itself would give, bytes and errors alike: what is not held is read from the file.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::errors::Result;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};

/// Bytes that are held at most; columns that take more are read page by page.
const MOST_HELD: u64 = 4 << 20;

/// A file of which a part is held.
pub(super) struct Window {
    file: Arc<File>,
    from: u64,
    held: Bytes,
}

impl Window {
    /// Holds some columns of a row group.
    pub(super) fn of(file: File, group: &RowGroupMetaData, columns: &ProjectionMask) -> Self {
        let (from, bytes) = span(group, columns).unwrap_or((0, 0));
        Self::holding(file, from, bytes)
    }

    /// Holds what there is of so many bytes from a place on.
    fn holding(file: File, from: u64, bytes: usize) -> Self {
        let (mut held, mut read) = (vec![0; bytes], 0);
        while read < bytes {
            match file.read_at(&mut held[read..], from + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // Whoever asks for what is missing reads it from the file, and is told.
                Err(_) => break,
            }
        }
        held.truncate(read);
        Self { file: Arc::new(file), from, held: held.into() }
    }

    /// What is held from a place on.
    fn rest(&self, start: u64) -> Option<Bytes> {
        let at = usize::try_from(start.checked_sub(self.from)?).ok()?;
        (at < self.held.len()).then(|| self.held.slice(at..))
    }
}

/// Where some columns of a row group lie, and how many bytes that is; nothing where they are too much to hold, or mostly others lie there.
fn span(group: &RowGroupMetaData, columns: &ProjectionMask) -> Option<(u64, usize)> {
    let (mut from, mut to, mut chosen) = (u64::MAX, 0_u64, 0_u64);
    for (_, chunk) in group.columns().iter().enumerate().filter(|(leaf, _)| columns.leaf_included(*leaf)) {
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let (start, bytes) = (u64::try_from(start).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
        (from, to) = (from.min(start), to.max(start.saturating_add(bytes)));
        chosen = chosen.saturating_add(bytes);
    }
    let bytes = to.checked_sub(from).filter(|bytes| *bytes <= MOST_HELD && chosen >= bytes / 2)?;
    Some((from, usize::try_from(bytes).ok()?))
}

impl Length for Window {
    fn len(&self) -> u64 {
        <File as Length>::len(&self.file)
    }
}

impl ChunkReader for Window {
    type T = Rest;

    fn get_read(&self, start: u64) -> Result<Rest> {
        Ok(match self.rest(start) {
            Some(held) => {
                let next = self.from + self.held.len() as u64;
                Rest::Held { held, file: Arc::clone(&self.file), next }
            }
            None => Rest::File(self.file.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self.rest(start).filter(|held| held.len() >= length) {
            Some(held) => Ok(held.slice(..length)),
            None => self.file.get_bytes(start, length),
        }
    }
}

/// A file from a place on.
pub(super) enum Rest {
    /// First what is held, then what follows in the file.
    Held {
        /// What is held of it.
        held: Bytes,
        /// The file.
        file: Arc<File>,
        /// Where it goes on there.
        next: u64,
    },
    /// Nothing of it is held.
    File(BufReader<File>),
}

impl Read for Rest {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Held { held, file, next } if held.is_empty() => {
                let read = file.read_at(to, *next)?;
                *next += read as u64;
                Ok(read)
            }
            Self::Held { held, .. } => {
                let read = to.len().min(held.len());
                held.copy_to_slice(&mut to[..read]);
                Ok(read)
            }
            Self::File(file) => file.read(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::tables::blocks::{BlockWriter, Blocks};
    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use arrow::datatypes::{DataType, Field};
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

    use crate::storage::{opening, read};

    proptest! {
        #[test]
        fn a_window_gives_what_the_file_gives(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), from in 0_u64..320, held in 0_usize..320,
            asked in proptest::collection::vec((0_u64..340, 0_usize..340), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bytes");
            std::fs::write(&path, &bytes).unwrap();
            let file = File::open(&path).unwrap();
            let window = Window::holding(File::open(&path).unwrap(), from, held);
            let there = bytes.len().saturating_sub(usize::try_from(from).unwrap());
            prop_assert_eq!((window.held.len(), Length::len(&window)), (held.min(there), bytes.len() as u64));
            for (start, length) in asked {
                let told = |result: Result<Bytes>| result.map_err(|e| e.to_string());
                prop_assert_eq!(told(window.get_bytes(start, length)), told(file.get_bytes(start, length)));
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                window.get_read(start).unwrap().read_to_end(&mut ours).unwrap();
                file.get_read(start).unwrap().read_to_end(&mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn the_columns_of_a_block_are_held_where_they_are_most_of_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocks.parquet");
        let fields = vec![Field::new("number", DataType::Float64, false), Field::new("word", DataType::Utf8, false)];
        let mut writer = BlockWriter::create(&path, fields).unwrap();
        let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..40_000).map(|n| f64::from(n).sqrt())));
        let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..40_000).map(|n| format!("{}", n % 3))));
        writer.add(vec![Arc::clone(&numbers), Arc::clone(&words)]).unwrap();
        writer.finish().unwrap();
        let footer = opening::footer(&read::open(&path).unwrap(), &ArrowReaderOptions::new()).unwrap();
        let schema = footer.metadata().file_metadata().schema_descr();
        let mask = |names: &[&str]| ProjectionMask::columns(schema, names.iter().copied());
        for at in 0..footer.metadata().num_row_groups() {
            let group = footer.metadata().row_group(at);
            let held = |columns: &ProjectionMask| Window::of(read::open(&path).unwrap(), group, columns).held.len();
            let size = |leaf: usize| usize::try_from(group.column(leaf).compressed_size()).unwrap();
            assert_eq!(held(&ProjectionMask::all()), size(0) + size(1));
            assert_eq!((held(&mask(&["number"])), held(&mask(&["word"]))), (size(0), size(1)));
            assert_eq!(held(&mask(&[])), 0);
            let file = ParquetRecordBatchReaderBuilder::new_with_metadata(read::open(&path).unwrap(), footer.clone());
            let file = file.with_row_groups(vec![at]).with_batch_size(20_000).build().unwrap().next().unwrap().unwrap();
            assert_eq!(Blocks::open(&path).unwrap().block(at).unwrap(), file);
        }
    }
}
