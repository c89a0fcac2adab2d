//! The settled rows of a table's files that are kept, found by bucket of a spine.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::file::Block;
use super::roster::Numbers;
use crate::storage::read;

/// Where the rows of a file are.
#[derive(Debug)]
pub(in crate::ingest) enum Place {
    /// In a file that is there for as long as the pass is under way.
    Path(PathBuf),
    /// In a file that may have no name any more.
    Open(File),
}

/// The file of blocks that an export's file has, and the export's file by its position.
#[derive(Debug)]
struct Source {
    file: u32,
    place: Place,
}

/// The settled rows of a table's files that are kept.
#[derive(Debug)]
pub(in crate::ingest) struct Held {
    numbers: Arc<Numbers>,
    sources: Vec<Source>,
    /// By bucket of the roster, with the position of the source.
    blocks: Vec<Vec<(u32, Block)>>,
}

/// The rows of a file that are of one bucket of the roster.
#[derive(Debug)]
pub(in crate::ingest) struct HeldBlock {
    /// The file, by its position in the export.
    pub(in crate::ingest) file: u32,
    /// Number of rows.
    pub(in crate::ingest) rows: u32,
    /// The number in the roster of the bucket's first subject.
    pub(in crate::ingest) first: u32,
    /// The rows, packed.
    pub(in crate::ingest) bytes: Box<[u8]>,
}

impl Held {
    /// Nothing yet.
    pub(in crate::ingest) fn new(numbers: Arc<Numbers>) -> Self {
        let blocks = vec![Vec::new(); numbers.buckets().count()];
        Self { numbers, sources: Vec::new(), blocks }
    }

    /// Adds the blocks of a file.
    ///
    /// # Errors
    /// When one is of no bucket of the roster.
    pub(in crate::ingest) fn add(&mut self, file: u32, place: Place, blocks: &[Block]) -> Result<()> {
        let source = u32::try_from(self.sources.len())?;
        for block in blocks {
            let of = self.blocks.get_mut(block.bucket as usize).context("kept rows of no bucket of their roster")?;
            of.push((source, *block));
        }
        self.sources.push(Source { file, place });
        Ok(())
    }

    /// Whether there is nothing.
    pub(in crate::ingest) const fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The numbers of subjects.
    pub(in crate::ingest) const fn numbers(&self) -> &Arc<Numbers> {
        &self.numbers
    }

    /// The blocks that may hold rows of some subjects of the spine, who follow each other.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(in crate::ingest) fn of(&self, subjects: &Range<usize>) -> Result<Vec<HeldBlock>> {
        let mut found = Vec::new();
        for bucket in self.numbers.overlapping(subjects.clone()) {
            found.append(&mut self.bucket(bucket)?);
        }
        Ok(found)
    }

    /// The blocks of a bucket of the roster.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(in crate::ingest) fn bucket(&self, bucket: usize) -> Result<Vec<HeldBlock>> {
        let blocks = self.blocks.get(bucket).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::with_capacity(blocks.len());
        // The blocks of a source follow each other, so that its file is opened once.
        let mut opened: Option<(u32, File)> = None;
        for (number, block) in blocks {
            let source = self.sources.get(*number as usize).context("defect: a block of no file")?;
            let mut bytes = vec![0; block.len as usize];
            match &source.place {
                Place::Open(file) => file.read_exact_at(&mut bytes, block.from).context("reading rows that are kept")?,
                Place::Path(path) => {
                    let file = match opened.take_if(|(other, _)| *other == *number) {
                        Some((_, file)) => file,
                        None => read::open(path)?,
                    };
                    file.read_exact_at(&mut bytes, block.from)
                        .with_context(|| format!("reading the rows that {} keeps", path.display()))?;
                    opened = Some((*number, file));
                }
            }
            let first = self.numbers.first_of(bucket);
            found.push(HeldBlock { file: source.file, rows: block.rows, first, bytes: bytes.into() });
        }
        Ok(found)
    }

    /// The buckets of the roster with rows of subjects who are not in the spine.
    pub(super) fn buckets_of_lost(&self) -> Vec<usize> {
        let mut buckets: Vec<usize> =
            self.numbers.lost().keys().map(|number| self.numbers.buckets().of(*number)).collect();
        buckets.dedup();
        buckets
    }
}
