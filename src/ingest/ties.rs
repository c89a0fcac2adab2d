//! Friend links: which ties two consenting subjects have, each pair once.

use anyhow::{Context, Result, anyhow};

use super::batches::Batch;
use super::consents::NETWORK;
use super::conservation::Class;
use super::resolve::{FIRST, Layout};
use super::scan::{Findings, Scan};
use super::spine::{Spine, UNKNOWN};
use super::store::{BucketRows, Rows, Store};

/// Reads a batch of links; each is kept with the subject that comes first.
///
/// # Errors
/// When the batch cannot be read or rows cannot be spilled.
pub fn read(scan: &Scan, batch: &Batch, spine: &Spine, consents: &[u8], layout: &Layout, store: &Store) -> Result<()> {
    let checked = scan.check(batch, Some(spine))?;
    let [a, b] = checked.owners.as_slice() else { return Err(anyhow!("links need two ends")) };
    let may = |s: u32| s != UNKNOWN && consents.get(s as usize).is_some_and(|c| c & NETWORK != 0);
    let keep: Vec<usize> = (0..a.len()).filter(|r| a[*r] != b[*r] && may(a[*r]) && may(b[*r])).collect();
    let other = layout.table.position("subject_b").context("contract: links without subject_b")? + FIRST;
    let mut columns = vec![Vec::new(); layout.width];
    columns[0] = keep.iter().map(|r| checked.rows[*r]).collect();
    for (to, column) in columns[FIRST..].iter_mut().zip(&checked.columns) {
        if !column.is_empty() {
            *to = keep.iter().map(|r| column[*r]).collect();
        }
    }
    columns[other] = keep.iter().map(|r| i64::from(a[*r].max(b[*r]))).collect();
    let subjects: Vec<u32> = keep.iter().map(|r| a[*r].min(b[*r])).collect();
    let mut findings = scan.findings.lock().map_err(|_| anyhow!("another thread failed"))?;
    findings.tally.add(checked.file, Class::Dropped, (a.len() - keep.len()) as u64);
    drop(findings);
    store.add(&Rows { file: checked.file, subjects: &subjects, columns: &columns, records: None })
}

/// Counts each pair's first link as used and the others as merged.
///
/// # Errors
/// When the contract's table lacks a column.
pub fn merge(rows: &BucketRows, layout: &Layout, found: &mut Findings) -> Result<()> {
    let other = layout.table.position("subject_b").context("contract: links without subject_b")? + FIRST;
    for subject in 0..rows.starts.len().saturating_sub(1) {
        let mut links: Vec<(i64, u32, i64)> =
            rows.of(subject).map(|r| (rows.value(other, r), rows.files[r], rows.value(0, r))).collect();
        links.sort_unstable();
        for pair in links.chunk_by(|a, b| a.0 == b.0) {
            found.tally.add(pair[0].1, Class::Used, 1);
            pair[1..].iter().for_each(|l| found.tally.add(l.1, Class::Merged, 1));
        }
    }
    Ok(())
}
