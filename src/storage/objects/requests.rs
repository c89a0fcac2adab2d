//! Requests under way: how many there may be, what they brought, and how much may wait to be decoded.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::output::Traffic;

/// Requests that bring or put megabytes at one time, of the whole process.
const MOST: usize = 32;
/// The same of all others. They do not wait behind those: a lease must be renewed in time, however much is fetched.
const MOST_BRIEF: usize = 16;

static PLACES: Semaphore = Semaphore::const_new(MOST);
static BRIEF_PLACES: Semaphore = Semaphore::const_new(MOST_BRIEF);
static MADE: AtomicU64 = AtomicU64::new(0);
static UNDER_WAY: AtomicU64 = AtomicU64::new(0);
/// The most that were under way since somebody asked.
static AT_MOST: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static AHEAD: AtomicU64 = AtomicU64::new(128 << 20);

/// The least that may be fetched ahead, whatever memory there is: a row group or so.
const LEAST_AHEAD: u64 = 8 << 20;

/// A request under way, until it is dropped.
pub(super) struct Request(#[allow(dead_code, reason = "given back when it is dropped")] SemaphorePermit<'static>);

impl Request {
    /// Waits until one more may be made that brings or puts megabytes.
    pub(super) async fn bulky() -> Result<Self> {
        Self::of(&PLACES).await
    }

    /// Waits until one more may be made that is soon done.
    pub(super) async fn brief() -> Result<Self> {
        Self::of(&BRIEF_PLACES).await
    }

    async fn of(places: &'static Semaphore) -> Result<Self> {
        let place = places.acquire().await?;
        MADE.fetch_add(1, Ordering::Relaxed);
        AT_MOST.fetch_max(UNDER_WAY.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        Ok(Self(place))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts bytes that came.
pub(super) fn came(bytes: u64) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// What was asked of object stores and what came, since the process began; how many requests were under way, since this was asked last.
#[must_use]
pub fn traffic() -> Traffic {
    Traffic {
        requests: MADE.load(Ordering::Relaxed),
        under_way: AT_MOST.swap(UNDER_WAY.load(Ordering::Relaxed), Ordering::Relaxed),
        bytes: BYTES.load(Ordering::Relaxed),
    }
}

/// Bounds what is fetched and waits to be decoded by the memory that work may use: a quarter of it.
pub fn bound(memory: u64) {
    AHEAD.store((memory / 4).max(LEAST_AHEAD), Ordering::Relaxed);
}

/// Bytes that may be fetched and wait to be decoded.
#[must_use]
pub fn ahead() -> u64 {
    AHEAD.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_request_does_not_wait_behind_those_that_bring_much() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let all = tokio::time::timeout(std::time::Duration::from_secs(60), PLACES.acquire_many(32)).await;
            let all = all.unwrap().unwrap();
            let brief = tokio::time::timeout(std::time::Duration::from_secs(60), Request::brief()).await;
            assert!(brief.unwrap().is_ok());
            drop(all);
        });
    }
}
