//! Where new bins may end: tenths of the values that are there, to two digits.

/// Into how many parts values are cut.
const PARTS: usize = 10;

/// With fewer values a feature gets no new cut.
const LEAST_VALUES: usize = 50;

/// With fewer different ones neither.
const LEAST_DIFFERENT: usize = 3;

/// The cuts of a feature: those it has, and tenths of its values that leave a twentieth of them on either side. `sorted` are its
/// values in rising order; `in_model` writes a value as the model file would, and gives it back as it is then read.
#[must_use]
pub fn candidates(sorted: &[f64], old: &[f64], in_model: &dyn Fn(f64) -> f64) -> Vec<f64> {
    let mut different = sorted.chunk_by(|a, b| a == b);
    let mut cuts = old.to_vec();
    if sorted.len() < LEAST_VALUES || different.nth(LEAST_DIFFERENT - 1).is_none() {
        return cuts;
    }
    let below = |cut: f64| if cut == f64::INFINITY { sorted.len() } else { sorted.partition_point(|v| *v < cut) };
    for part in 1..PARTS {
        let tenth = sorted[(sorted.len() * part).div_ceil(PARTS) - 1];
        let cut = in_model(tenth);
        let at = cuts.partition_point(|c| *c < cut);
        if cuts.get(at) == Some(&cut) {
            continue;
        }
        let low = at.checked_sub(1).map_or(0, |n| below(cuts[n]));
        let high = below(cuts.get(at).copied().unwrap_or(f64::INFINITY));
        let here = below(cut);
        if 2 * PARTS * (here - low).min(high - here) >= sorted.len() {
            cuts.insert(at, cut);
        }
    }
    cuts
}

/// A value to two digits.
#[must_use]
pub fn two_digits(value: f64) -> f64 {
    // What is written is read back, so this is a number of its own digits.
    format!("{value:.1e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_values_are_not_cut() {
        let few: Vec<f64> = (0..49).map(f64::from).collect();
        assert_eq!(candidates(&few, &[3.0], &two_digits), [3.0]);
        let alike: Vec<f64> = (0..100).map(|n| f64::from(n % 2)).collect();
        let mut alike = alike;
        alike.sort_by(f64::total_cmp);
        assert_eq!(candidates(&alike, &[], &two_digits), [0.0; 0]);
    }

    #[test]
    fn values_are_cut_at_their_tenths() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(
            candidates(&values, &[], &two_digits),
            [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0]
        );
        assert_eq!(candidates(&values, &[480.0], &two_digits)[3..6], [400.0, 480.0, 600.0]);
        assert_eq!(two_digits(1234.0), 1200.0);
        assert_eq!(two_digits(-0.065), -0.065);
    }

    proptest! {
        #[test]
        fn a_new_cut_leaves_a_twentieth_on_either_side(mut values in proptest::collection::vec(-50.0_f64..50.0, 50..400)) {
            values.sort_by(f64::total_cmp);
            let cuts = candidates(&values, &[0.5], &two_digits);
            prop_assert!(cuts.is_sorted() && cuts.contains(&0.5));
            let bounds: Vec<f64> = [f64::NEG_INFINITY].into_iter().chain(cuts).chain([f64::INFINITY]).collect();
            for pair in bounds.windows(2).filter(|p| !p.contains(&0.5)) {
                let within = values.iter().filter(|v| **v >= pair[0] && **v < pair[1]).count();
                prop_assert!(20 * within >= values.len());
            }
        }
    }
}
