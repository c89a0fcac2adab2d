//! Rows that are kept from night to night, file by file: of a file that was read before, the next run takes its rows as they were checked
//! and packed, and does not decode, check and look them up once more.
//!
//! What is kept of a file are those of its rows that every later date sees as the date of the run did ([settled](super::visibility::scan::settled)),
//! cut by bucket as a store would hold them, with the numbers of a [`roster`] in the place of ids; and its other rows as the file has them
//! ([`rest`]), which go the usual way each night. A [`keeper`] writes both of a file ([`file`]); [`held`] is what a store takes the rows
//! of a bucket from, whether they were kept then or now. What depends on the night is settled then: who is known ([`lost`] has those who no
//! longer are), what is disputed ([`contest`]), and everything that is settled of rows together. [`reading`] does all that of a table, given what it needs to know
//! ([`nightly`]).
//!
//! Where rows are kept is for others to say, who are [`Keeping`].

pub(in crate::ingest) mod contest;
mod file;
pub(in crate::ingest) mod held;
mod keeper;
mod lost;
pub(in crate::ingest) mod nightly;
mod reading;
mod rest;
pub mod roster;

use std::path::PathBuf;

use anyhow::Result;

use self::roster::Roster;
use super::read::export::Export;

/// The files that are kept of a file: its settled rows, where they lie, and the others.
const ROWS: &str = "rows.bin";
/// Settled rows while they are put in order.
const IN_ORDER: &str = "rows.new";
const INDEX: &str = "index.parquet";
const REST: &str = "rest.parquet";

/// What was counted of a file whose rows are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rows that are settled.
    pub settled: u64,
    /// The others.
    pub rest: u64,
    /// Rows of the file that the input's `select` leaves out.
    pub left_out: u64,
    /// Rows that it makes of one row of the file, beyond the first.
    pub multiplied: u64,
    /// Rows of subjects who were erased, all of them visible: nothing else of them is kept.
    pub erased: u64,
}

/// What becomes of a file of a table.
#[derive(Debug, Clone)]
pub enum OfFile {
    /// Its rows are kept in a folder, which was found to be as it was made.
    Kept(PathBuf, Counted),
    /// It is read, and its rows are to be kept in a folder that is there and empty.
    Keep(PathBuf),
    /// It is read.
    Read,
}

/// Who keeps rows for later runs, and has those of earlier ones.
pub trait Keeping: Sync {
    /// The subjects that kept rows name by number; nothing where there are none yet, or what there is cannot be used.
    ///
    /// # Errors
    /// When it cannot be read.
    fn roster(&self) -> Result<Option<Roster>>;

    /// Has rows name other subjects from now on, if any are to be kept; those that were kept are of no more use.
    ///
    /// # Errors
    /// When the disk is full.
    fn renew(&self, roster: &Roster) -> Result<bool>;

    /// What becomes of each file of an export; `told` is what else its rows depend on.
    ///
    /// # Errors
    /// When a folder cannot be read.
    fn files(&self, export: &Export, told: &str) -> Result<Vec<OfFile>>;

    /// Keeps what was written of a file, and says where.
    ///
    /// # Errors
    /// When the disk is full.
    fn keep(&self, table: &str, file: u32, counted: Counted) -> Result<PathBuf>;

    /// Gives up what was written of a file; why, if something went wrong.
    fn give_up(&self, table: &str, file: u32, why: Option<&anyhow::Error>);
}
