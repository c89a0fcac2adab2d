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

    /// All of it, free or not, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes memory for as long as what is returned is there; nothing, if so much is not left.
    #[must_use]
    pub fn hold(&self, bytes: u64) -> Option<Taken<'_>> {
        self.take(bytes).then(|| Taken { budget: self, bytes })
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

/// Memory of a budget, which has it back when this is dropped.
#[derive(Debug)]
pub struct Taken<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_there_again_afterwards() {
        let budget = Budget::new(10);
        let held = budget.hold(7);
        assert!(held.is_some() && budget.hold(4).is_none() && !budget.take(4) && budget.take(3));
        drop(held);
        assert!(!budget.take(8) && budget.take(7));
    }
}
