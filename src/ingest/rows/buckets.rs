//! How subjects are cut into buckets, each of which is worked on by itself.

/// How dense subject numbers are cut into buckets.
#[derive(Debug, Clone, Copy)]
pub struct Buckets {
    shift: u32,
    subjects: usize,
}

/// Rows of a table that a bucket holds at most, where each subject has as many.
const BUCKET_ROWS: u64 = 1 << 19;
/// Buckets are of two to this many subjects or more.
const FEWEST_SUBJECTS: u32 = 4;

impl Buckets {
    /// Buckets of 4,096 to 16,384 subjects: small enough for the cache, few enough to write to all at once. Of fewer where the largest
    /// table has very many rows of each: a bucket's rows are in memory together.
    #[must_use]
    pub fn new(subjects: usize, rows: u64) -> Self {
        let usual = match subjects {
            0..=2_000_000 => 12,
            2_000_001..=8_000_000 => 13,
            _ => 14,
        };
        let of_each = rows / (subjects as u64).max(1);
        let shift =
            (FEWEST_SUBJECTS..=usual).rev().find(|shift| of_each << shift <= BUCKET_ROWS).unwrap_or(FEWEST_SUBJECTS);
        Self { shift, subjects }
    }

    /// Buckets of two to the power of so many subjects each.
    #[must_use]
    pub const fn with_shift(shift: u32, subjects: usize) -> Self {
        Self { shift, subjects }
    }

    /// Two to the power of this subjects are in each.
    #[must_use]
    pub const fn shift(&self) -> u32 {
        self.shift
    }

    /// Number of buckets; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.subjects.div_ceil(1 << self.shift).max(1)
    }

    /// The bucket of a subject.
    #[must_use]
    pub const fn of(&self, subject: u32) -> usize {
        (subject >> self.shift) as usize
    }

    /// The position of a subject within its bucket.
    #[must_use]
    pub const fn within(&self, subject: u32) -> u32 {
        subject & ((1 << self.shift) - 1)
    }

    /// The dense numbers of a bucket's subjects.
    #[must_use]
    pub fn subjects(&self, bucket: usize) -> std::ops::Range<usize> {
        let size = 1 << self.shift;
        (bucket * size).min(self.subjects)..((bucket + 1) * size).min(self.subjects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_at_its_place_within_its_bucket() {
        let buckets = Buckets::new(10_000, 0);
        for subject in [0_u32, 4_095, 4_096, 9_999] {
            let dense = buckets.subjects(buckets.of(subject));
            assert_eq!(dense.start + buckets.within(subject) as usize, subject as usize);
            assert!(dense.contains(&(subject as usize)));
        }
    }
}
