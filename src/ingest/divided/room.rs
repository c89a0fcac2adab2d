//! Room for what follows of a column, when its first block tells how much a block has.

/// Room for so many times what there is, and half of it.
pub(super) const fn room(len: usize, times: usize) -> usize {
    len.saturating_mul(times).saturating_add(len / 2)
}
