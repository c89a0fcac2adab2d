//! The allocator: how long it keeps memory that was given back.
#![allow(unsafe_code, reason = "the allocator's options are set through a foreign function")]

use std::ffi::{c_int, c_long};

use libmimalloc_sys::mi_option_set_default;

/// `mi_option_purge_delay` among mimalloc's options, for which its bindings have no name.
const PURGE_DELAY: c_int = 15;

/// After how many milliseconds freed memory goes back to the system: most of it is taken again before, and what comes back from the
/// system is cleared first.
const KEPT_FOR: c_long = 10_000;

/// Has freed memory kept for a while, unless `MIMALLOC_PURGE_DELAY` in the environment says for how long. For the beginning of a
/// program, since an option must not be set by two threads at once.
pub fn keep_freed() {
    // SAFETY: mimalloc ignores a number that none of its options has, and otherwise writes one number, which no thread writes beside this.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_FOR) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: a number is read.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // Of all options only this one has 1,000 when nothing is said.
        assert_eq!(delay(), 1000);
        keep_freed();
        assert_eq!(delay(), KEPT_FOR);
    }
}
