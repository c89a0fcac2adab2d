//! Whether the table that the ledger tells of last is in its fixed place. In an object store it comes there after its line: until then the
//! one before is there.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::erasure::Erasures;
use super::ledger::{Event, Ledger, Line};
use super::remote;
use crate::storage::hashes;

/// Said of a line of an object store's ledger whose table or state is not put yet.
pub const LATE: &str =
    "it is in the ledger, and what follows from that is not all done yet; the next command that writes there does it";

/// What is in the place of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// It, or the line is about no table that is current.
    Right,
    /// What was there before; it is put there yet.
    Late,
    /// Nothing.
    Missing,
    /// Something else.
    Changed,
}

/// Looks at the table of a line.
///
/// # Errors
/// When it cannot be read or brought, or the work is interrupted.
pub fn table(output: &Path, ledger: &Ledger, line: &Line, erasures: &Erasures, stop: &AtomicBool) -> Result<Table> {
    let current = ledger.current(&line.entry.table);
    if line.entry.event != Event::Published || current.is_none_or(|c| c.n != line.n) {
        return Ok(Table::Right);
    }
    let path = output.join(&line.entry.table);
    remote::bring(&path)?;
    let before = before(output, ledger, line);
    if !path.exists() {
        let first = before.is_some_and(|before| before.is_empty());
        return Ok(if first { Table::Late } else { Table::Missing });
    }
    if path.is_symlink() {
        return Ok(Table::Changed);
    }
    let is = hashes::file_until(&path, stop)?;
    // Into its place in an object store it comes from the run's folder, whatever was erased there.
    let may_be = |line: &Line| match remote::of(output) {
        Some(_) => erasures.tables_now(line).contains(&is),
        None => erasures.hash_now(&line.entry.table, &line.entry.scores, line.n) == is,
    };
    if may_be(line) {
        return Ok(Table::Right);
    }
    let late = before.is_some_and(|before| before.into_iter().any(may_be));
    Ok(if late { Table::Late } else { Table::Changed })
}

/// Whose table may still be in the place of one that is not put there yet: none where nothing was published before. Nothing when it must be
/// there.
fn before<'l>(output: &Path, ledger: &'l Ledger, line: &Line) -> Option<Vec<&'l Line>> {
    if !remote::is_late(output, line.n) {
        return None;
    }
    let earlier = |l: &&Line| l.n < line.n && l.entry.event == Event::Published && l.entry.table == line.entry.table;
    let mut before = Vec::new();
    for earlier in ledger.lines.iter().rev().filter(earlier) {
        before.push(earlier);
        if !remote::is_late(output, earlier.n) {
            break;
        }
    }
    Some(before)
}
