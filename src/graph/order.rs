//! Hub-first order: the subjects with most ties come first, so that their values lie together.
//!
//! Only the class of a subject matters for speed ([`HOT`], [`WARM`], the rest), not its rank within it. So a place is the
//! class and the number of subjects of that class before it, counted in bitmaps that fit the cache.

use std::hint::select_unpredictable;

use super::links::{HOT, WARM};

/// Degrees from here on are one, where subjects are told from each other by their degrees.
const MOST: u32 = 1 << 16;

/// The order of all subjects.
#[derive(Debug)]
pub(super) struct Order {
    subjects: usize,
    words: Vec<Word>,
}

/// Thirty-two subjects: which of them are hot or warm, and how many are so before them. One access to one line of the
/// cache finds all of it, and their bits are counted together.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    /// A bit for each that is hot, and in the upper half for each that is warm.
    classes: u64,
    hot_before: u32,
    warm_before: u32,
}

/// The first so many subjects by degree, the larger first, those of one degree by number.
struct Cut {
    /// The degree of the last of them, [`MOST`] for all above.
    level: usize,
    /// Subjects of just this degree that are among them.
    left: usize,
}

impl Cut {
    /// The cut after so many, given how many subjects there are of each degree.
    fn new(counts: &[usize], first: u32) -> Self {
        let mut left = first as usize;
        for (level, count) in counts.iter().enumerate().rev() {
            if *count >= left {
                return Self { level, left };
            }
            left -= count;
        }
        // There are fewer subjects: all of them.
        Self { level: 0, left: usize::MAX }
    }

    /// Whether the next subject is among them; subjects are asked for in order.
    fn has(&mut self, level: usize) -> bool {
        if level != self.level {
            return level > self.level;
        }
        let has = self.left > 0;
        self.left -= usize::from(has);
        has
    }
}

impl Order {
    /// The order by degrees, which may be rough.
    #[must_use]
    pub(super) fn new(degree: &[u32]) -> Self {
        let subjects = degree.len();
        let level = |degree: &u32| (*degree).min(MOST) as usize;
        let mut counts = vec![0_usize; MOST as usize + 1];
        degree.iter().for_each(|degree| counts[level(degree)] += 1);
        let (mut first_hot, mut first_warm) = (Cut::new(&counts, HOT), Cut::new(&counts, WARM));
        let mut words = vec![Word::default(); subjects.div_ceil(32)];
        let (mut hots, mut warms) = (0, 0);
        for (word, of) in words.iter_mut().zip(degree.chunks(32)) {
            (word.hot_before, word.warm_before) = (hots, warms);
            for (n, degree) in of.iter().enumerate() {
                // Whoever is hot is among the first of both.
                let (hot, warm) = (first_hot.has(level(degree)), first_warm.has(level(degree)));
                word.classes |= u64::from(hot) << n | u64::from(warm && !hot) << (n + 32);
            }
            let (hot, warm) = ones(word.classes);
            hots += hot;
            warms += warm;
        }
        Self { subjects, words }
    }

    /// The classes of a subject and those around it, how many subjects below it are hot, and how many are warm.
    #[inline]
    fn before(&self, subject: u32) -> (u64, u32, u32) {
        let word = &self.words[(subject / 32) as usize];
        let below = (1_u64 << (subject % 32)) - 1;
        let (hot, warm) = ones(word.classes & (below | below << 32));
        (word.classes, word.hot_before + hot, word.warm_before + warm)
    }

    /// The place of a subject: below [`HOT`] if it is hot, from there on and below [`WARM`] if it is warm. Without a branch,
    /// for classes come in no order.
    #[must_use]
    #[inline]
    pub(super) fn place(&self, subject: u32) -> u32 {
        let (classes, hot, warm) = self.before(subject);
        let at = subject % 32;
        let rest = WARM + (subject - hot - warm);
        let cooler = select_unpredictable((classes >> (at + 32)) & 1 == 1, HOT + warm, rest);
        select_unpredictable((classes >> at) & 1 == 1, hot, cooler)
    }

    /// Where the places of the subjects below one end: of the hot, the warm and the other ones. Within a class places are in
    /// the order of subjects.
    #[must_use]
    pub(super) fn below(&self, subject: u32) -> [u32; 3] {
        let (_, hot, warm) = self.before(subject);
        [hot, HOT + warm, WARM + (subject - hot - warm)]
    }

    /// Number of subjects.
    #[must_use]
    pub(super) const fn len(&self) -> usize {
        self.subjects
    }

    /// The number behind the last subject.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a subject's number has 32 bits")]
    pub(super) const fn end(&self) -> u32 {
        self.subjects as u32
    }

    /// Whether there is no subject.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.subjects == 0
    }

    /// The place of each subject.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        (0_u32..).take(self.subjects).map(|s| self.place(s))
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

/// The ones of the lower and of the upper half: by the processor's own instruction where the program is made for one that
/// has it.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the lower half")]
const fn ones(bits: u64) -> (u32, u32) {
    if cfg!(target_feature = "popcnt") { ((bits as u32).count_ones(), (bits >> 32).count_ones()) } else { added(bits) }
}

/// The same, counted at once and without an instruction that not every processor has: by pairs, by fours, by bytes, and the
/// four bytes of each half added up in its highest.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "at most 32 each")]
const fn added(bits: u64) -> (u32, u32) {
    let pairs = bits - ((bits >> 1) & 0x5555_5555_5555_5555);
    let fours = (pairs & 0x3333_3333_3333_3333) + ((pairs >> 2) & 0x3333_3333_3333_3333);
    let bytes = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    let sums = bytes.wrapping_mul(0x0101_0101);
    (((sums >> 24) & 0xff) as u32, (sums >> 56) as u32)
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
            let class = |place: u32| usize::from(place >= HOT) + usize::from(place >= WARM);
            let mut ends = [0, HOT, WARM];
            for (at, place) in (0..subjects).zip(order.places()) {
                assert_eq!(order.below(at), ends, "{subjects} subjects");
                assert_eq!(ends[class(place)], place, "{subjects} subjects");
                ends[class(place)] += 1;
            }
            let subject = order.subjects();
            let least = |from: usize, to: usize| subject[from..to].iter().map(|s| degree[*s as usize]).min();
            if subjects > WARM {
                let (hot, warm) = (HOT as usize, WARM as usize);
                let rest = subject[warm..].iter().map(|s| degree[*s as usize]).max();
                assert!(least(0, hot) >= least(hot, warm) && least(hot, warm) >= rest);
            }
        }
    }

    #[test]
    fn the_ones_of_both_halves_are_counted() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for shift in 0..64 {
            for word in [bits, bits & (u64::MAX << shift), bits | (u64::MAX >> shift), u64::MAX, 0] {
                let counted = ((word & 0xffff_ffff).count_ones(), (word >> 32).count_ones());
                assert_eq!((ones(word), added(word)), (counted, counted), "{word:x}");
            }
            bits = bits.wrapping_mul(0xd129_42d1_87f0_3f4d).wrapping_add(1);
        }
    }

    #[test]
    fn places_are_those_of_a_sort_by_degree() {
        // Hubs above the degree up to which they are told apart, and more subjects of one degree than a cut leaves room for.
        for most in [2, 7, 70_000] {
            let degree: Vec<u32> = (0..450_000_u32).map(|s| s.wrapping_mul(2_654_435_761) % most + 65_530).collect();
            let mut sorted: Vec<u32> = (0..450_000).collect();
            sorted.sort_by_key(|s| (std::cmp::Reverse(degree[*s as usize].min(MOST)), *s));
            let (hot, rest) = sorted.split_at(HOT as usize);
            let (warm, cold) = rest.split_at((WARM - HOT) as usize);
            let mut expected = Vec::new();
            for class in [hot, warm, cold] {
                let mut class = class.to_vec();
                class.sort_unstable();
                expected.extend(class);
            }
            assert!(Order::new(&degree).subjects() == expected, "degrees below {most}");
        }
    }
}
