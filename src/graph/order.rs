//! Hub-first order: the subjects with most ties come first, so that their values lie together.
//!
//! Only the class of a subject matters for speed ([`HOT`], [`WARM`], the rest), not its rank within it. So a place is the
//! class and the number of subjects of that class before it, counted in bitmaps that fit the cache.

use super::links::{HOT, WARM};

/// The order of all subjects.
#[derive(Debug)]
pub(super) struct Order {
    subjects: usize,
    words: Vec<Word>,
}

/// Sixty-four subjects: which of them are hot or warm, and how many are so before them. One access finds all of it.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    hot: u64,
    warm: u64,
    hot_before: u32,
    warm_before: u32,
}

impl Order {
    /// The order by degrees, which may be rough.
    #[must_use]
    pub(super) fn new(degree: &[u32]) -> Self {
        let subjects = degree.len();
        let mut by_degree: Vec<u32> = (0_u32..).take(subjects).collect();
        let key = |s: &u32| (std::cmp::Reverse(degree[*s as usize]), *s);
        let warm = (WARM as usize).min(subjects);
        if warm < subjects {
            by_degree.select_nth_unstable_by_key(warm, key);
        }
        let hot = (HOT as usize).min(warm);
        if hot < warm {
            by_degree[..warm].select_nth_unstable_by_key(hot, key);
        }
        let mut words = vec![Word::default(); subjects.div_ceil(64)];
        for (n, subject) in by_degree[..warm].iter().enumerate() {
            let (word, bit) = (&mut words[*subject as usize / 64], 1 << (subject % 64));
            if n < hot { word.hot |= bit } else { word.warm |= bit }
        }
        let (mut hots, mut warms) = (0, 0);
        for word in &mut words {
            (word.hot_before, word.warm_before) = (hots, warms);
            hots += word.hot.count_ones();
            warms += word.warm.count_ones();
        }
        Self { subjects, words }
    }

    /// The class of a subject, 0 hot, 1 warm or 2, and its place. Without a branch, for classes come in no order.
    #[must_use]
    #[inline]
    pub(super) fn place(&self, subject: u32) -> (usize, u32) {
        let word = &self.words[subject as usize / 64];
        let bit = 1_u64 << (subject % 64);
        let hot = word.hot_before + (word.hot & (bit - 1)).count_ones();
        let warm = word.warm_before + (word.warm & (bit - 1)).count_ones();
        let class = 2 - 2 * usize::from(word.hot & bit != 0) - usize::from(word.warm & bit != 0);
        (class, [hot, HOT + warm, WARM + (subject - hot - warm)][class])
    }

    /// Number of subjects.
    #[must_use]
    pub(super) const fn len(&self) -> usize {
        self.subjects
    }

    /// Whether there is no subject.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.subjects == 0
    }

    /// The place of each subject.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        (0_u32..).take(self.subjects).map(|s| self.place(s).1)
    }

    /// The subject at each place.
    #[must_use]
    pub(super) fn subjects(&self) -> Vec<u32> {
        let mut subjects = vec![0; self.subjects];
        for (subject, place) in (0_u32..).zip(self.places()) {
            subjects[place as usize] = subject;
        }
        subjects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_a_place_and_hubs_have_the_first() {
        for subjects in [0_u32, 1, 1_000, HOT, HOT + 5, WARM + 1, 500_000] {
            let degree: Vec<u32> = (0..subjects).map(|s| s.wrapping_mul(2_654_435_761) % 1_000).collect();
            let order = Order::new(&degree);
            let mut sorted: Vec<u32> = order.places().collect();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..subjects), "{subjects} subjects");
            let subject = order.subjects();
            let least = |from: usize, to: usize| subject[from..to].iter().map(|s| degree[*s as usize]).min();
            if subjects > WARM {
                let (hot, warm) = (HOT as usize, WARM as usize);
                let rest = subject[warm..].iter().map(|s| degree[*s as usize]).max();
                assert!(least(0, hot) >= least(hot, warm) && least(hot, warm) >= rest);
            }
        }
    }
}
