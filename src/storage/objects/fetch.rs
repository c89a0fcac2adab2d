//! Parts of an object: those that lie near each other as one, large ones in several, as many requests at a time as there may be.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::task::JoinHandle;

use super::fault::{Unfetched, explained, replaced};
use super::found::Seen;
use super::requests::{Request, came};
use super::runtime;

/// Parts that are so near each other are fetched as one: a request takes as long as so many bytes.
const NEAR: u64 = 256 << 10;
/// The most that one request asks for.
const LARGEST: u64 = 8 << 20;

/// An object as it was when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    pub(super) url: String,
    pub(super) seen: Seen,
}

/// Parts of an object that are on their way; given up when it is dropped.
#[derive(Debug)]
pub struct Pending(JoinHandle<Result<Vec<Bytes>>>);

impl Pending {
    /// Waits for them.
    ///
    /// # Errors
    /// When they cannot be had, the object was replaced, or a signal asks to stop.
    pub fn wait(mut self) -> Result<Vec<Bytes>> {
        runtime::wait(async { (&mut self.0).await.context("a request was given up")? })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to fetch parts of an object.
pub(super) fn begin(target: Target, ranges: Vec<Range<u64>>) -> Result<Pending> {
    Ok(Pending(runtime::begin(async move { parts(&target, &ranges).await })?))
}

/// Parts of an object, in the order they are asked for.
pub(super) async fn parts(target: &Target, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let size = target.seen.tag.size;
    for range in ranges {
        ensure!(
            range.start <= range.end && range.end <= size,
            "defect: the bytes {} to {} of {}, which has {size}",
            range.start,
            range.end,
            target.url
        );
    }
    let runs = merged(ranges);
    let cut: Vec<Range<u64>> = runs.iter().flat_map(pieces).collect();
    let mut fetched = try_join_all(cut.iter().map(|piece| part(target, piece.clone()))).await?.into_iter();
    let mut whole = Vec::with_capacity(runs.len());
    for run in &runs {
        let mut bytes = fetched.by_ref().take(pieces(run).count());
        let first = bytes.next().unwrap_or_default();
        whole.push(match bytes.next() {
            None => first,
            Some(second) => {
                let mut all = Vec::with_capacity(usize::try_from(run.end - run.start)?);
                [first, second].into_iter().chain(bytes).for_each(|piece| all.extend_from_slice(&piece));
                Bytes::from(all)
            }
        });
    }
    ranges.iter().map(|range| within(&runs, &whole, range)).collect()
}

/// The bytes of a range among those of the runs that were made of all ranges.
fn within(runs: &[Range<u64>], whole: &[Bytes], range: &Range<u64>) -> Result<Bytes> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let at = runs.partition_point(|run| run.end <= range.start);
    let (run, bytes) = runs.get(at).zip(whole.get(at)).context("defect: a part that was not fetched")?;
    let (from, to) = (usize::try_from(range.start - run.start)?, usize::try_from(range.end - run.start)?);
    ensure!(to <= bytes.len(), "defect: a part that was not fetched whole");
    Ok(bytes.slice(from..to))
}

/// Ranges in order, those that overlap or are near each other as one.
fn merged(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut runs: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match runs.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(NEAR) => last.end = last.end.max(range.end),
            _ => runs.push(range.clone()),
        }
    }
    runs
}

/// What one request after another asks for of a run.
fn pieces(run: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = run.end;
    let mut at = run.start;
    std::iter::from_fn(move || {
        let from = at;
        at = end.min(from.saturating_add(LARGEST));
        (from < at).then_some(from..at)
    })
}

/// One part, by one request.
async fn part(target: &Target, range: Range<u64>) -> Result<Bytes> {
    let _under_way = Request::bulky().await?;
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        // A weak one never matches, as the standard has it; then what the answer says of itself must do.
        if_match: target.seen.tag.strong().map(str::to_owned),
        ..GetOptions::default()
    };
    let answer = match target.store.get_opts(&target.key, options).await {
        Ok(answer) => answer,
        Err(error) => return Err(explained(&target.url, &error).into()),
    };
    if !target.seen.still(&Seen::of(&answer.meta)) {
        return Err(replaced(&target.url).into());
    }
    let bytes = match answer.bytes().await {
        Ok(bytes) => bytes,
        Err(error) => return Err(broken_off(target, &error).await.into()),
    };
    let (got, asked) = (bytes.len() as u64, range.end - range.start);
    ensure!(got == asked, Unfetched(format!("{}: {got} bytes came of {asked} that were asked for", target.url)));
    came(got);
    Ok(bytes)
}

/// Why an answer broke off: where it was begun again, another object may have been there.
async fn broken_off(target: &Target, error: &object_store::Error) -> Unfetched {
    let head = GetOptions { head: true, ..GetOptions::default() };
    match target.store.get_opts(&target.key, head).await {
        Ok(now) if !target.seen.still(&Seen::of(&now.meta)) => replaced(&target.url),
        Err(object_store::Error::NotFound { .. }) => replaced(&target.url),
        _ => explained(&target.url, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_one_request_and_large_ones_several() {
        let far = NEAR + 101;
        let one = merged(&[200..300, 0..100, 50..60, 7..7]);
        assert_eq!((one.len(), one[0].clone()), (1, 0..300));
        assert_eq!(merged(&[0..100, far..far + 5]), [0..100, far..far + 5]);
        assert_eq!(pieces(&(5..5 + 2 * LARGEST + 1)).count(), 3);
        assert!(pieces(&(5..9)).eq(std::iter::once(5..9)));
    }

    #[test]
    fn what_was_asked_for_is_cut_out_of_what_was_fetched() {
        let runs = [10..20, 1000..1010];
        let whole = [Bytes::from_static(b"0123456789"), Bytes::from_static(b"abcdefghij")];
        assert_eq!(within(&runs, &whole, &(12..15)).unwrap(), "234");
        assert_eq!(within(&runs, &whole, &(1008..1010)).unwrap(), "ij");
        assert_eq!(within(&runs, &whole, &(15..15)).unwrap(), "");
        assert!(within(&runs, &whole, &(18..22)).is_err() && within(&runs, &whole, &(2000..2001)).is_err());
    }
}
