//! Room on the stack for work whose depth is up to what a user writes.

/// Enough for the deepest statement that is read; what is not used takes no memory.
const ROOM: usize = 64 << 20;

/// Does something on a stack of its own, so that it may go equally deep on any thread.
pub fn with_room<T>(work: impl FnOnce() -> T) -> T {
    stacker::grow(ROOM, work)
}
