//! Memory that is shared.

use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that several stores share before they spill.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    used: AtomicU64,
}

impl Budget {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { bytes, used: AtomicU64::new(0) }
    }

    /// As many bytes times a factor, all of them free.
    #[must_use]
    pub const fn times(&self, factor: u64) -> Self {
        Self::new(self.bytes.saturating_mul(factor))
    }

    /// Takes memory, if so much is left.
    pub fn take(&self, bytes: u64) -> bool {
        if self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.bytes {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Gives memory back.
    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
