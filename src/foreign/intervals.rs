//! Bins written as intervals, `[from,below)`: one after the other, from the least value to the greatest.

use crate::pipeline::units::Units;

/// A bin as a card writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Its lowest value; minus infinity for the first.
    pub from: f64,
    /// The first value above it; infinity for the last.
    pub below: f64,
    /// Its points.
    pub points: Units,
    /// Its line in the file.
    pub line: usize,
}

/// The bounds of `[from,below)`, with a sign of one's own between them; nothing when the text is no interval.
#[must_use]
pub fn bounds(text: &str, between: char) -> Option<(f64, f64)> {
    let (from, below) = text.trim().strip_prefix('[')?.strip_suffix(')')?.split_once(between)?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| !value.is_nan());
    Some((number(from)?, number(below)?))
}

/// What is wrong, by line.
pub type Faults = Vec<(usize, String)>;

/// Where bins meet and their points.
///
/// # Errors
/// Lines and messages, when bins overlap, leave gaps, are out of order, or do not hold every value.
pub fn in_order(name: &str, bins: &[Interval]) -> Result<(Vec<f64>, Vec<Units>), Faults> {
    let mut wrong = Vec::new();
    let mut find = |line: usize, message: String| wrong.push((line, format!("`{name}`: {message}")));
    if let (Some(first), Some(last)) = (bins.first(), bins.last()) {
        if first.from != f64::NEG_INFINITY {
            find(first.line, format!("the first bin begins at {}, so smaller values have none", first.from));
        }
        if last.below != f64::INFINITY {
            find(last.line, format!("the last bin ends at {}, so greater values have none", last.below));
        }
    }
    for bin in bins.iter().filter(|bin| bin.from >= bin.below) {
        find(bin.line, format!("the bin from {} below {} holds no value", bin.from, bin.below));
    }
    for (a, b) in bins.iter().zip(bins.iter().skip(1)) {
        if b.from > a.below {
            find(
                b.line,
                format!("the bin from {} follows one that ends at {}: values between have none", b.from, a.below),
            );
        } else if b.from < a.below {
            let (from, below) = (b.from, a.below);
            find(
                b.line,
                format!("the bin from {from} follows one that ends at {below}: bins overlap or are out of order"),
            );
        }
    }
    match wrong.is_empty() {
        true => Ok((bins.iter().skip(1).map(|bin| bin.from).collect(), bins.iter().map(|bin| bin.points).collect())),
        false => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn bins(bounds: &[(f64, f64)]) -> Vec<Interval> {
        let bin = |(n, (from, below)): (usize, &(f64, f64))| Interval {
            from: *from,
            below: *below,
            points: Units(i128::try_from(n).unwrap()),
            line: n + 1,
        };
        bounds.iter().enumerate().map(bin).collect()
    }

    #[test]
    fn intervals_are_read() {
        assert_eq!(bounds("[-inf,0.05)", ','), Some((-INF, 0.05)));
        assert_eq!(bounds("[-Inf, 1.1500000000000001)", ','), Some((-INF, 1.150_000_000_000_000_1)));
        assert_eq!(bounds("[119.5 ~ inf)", '~'), Some((119.5, INF)));
        for text in ["missing", "(-inf,1)", "[1,2]", "[1)", "[a,b)", "[nan,1)", ""] {
            assert_eq!(bounds(text, ','), None, "{text}");
        }
    }

    #[test]
    fn bins_that_hold_every_value_once_are_taken() {
        let (edges, points) = in_order("x", &bins(&[(-INF, 1.0), (1.0, 2.5), (2.5, INF)])).unwrap();
        assert_eq!((edges, points), (vec![1.0, 2.5], vec![Units(0), Units(1), Units(2)]));
        assert_eq!(in_order("x", &bins(&[(-INF, INF)])).unwrap().0, [0.0; 0]);
    }

    #[test]
    fn others_are_refused_with_their_lines() {
        let wrong = |bounds: &[(f64, f64)]| in_order("x", &bins(bounds)).unwrap_err();
        let found = wrong(&[(0.0, 1.0), (2.0, 3.0), (2.5, 2.5)]);
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 3, 3, 2, 3], "{found:?}");
        assert!(found[3].1.contains("values between have none"), "{found:?}");
        assert!(wrong(&[(1.0, INF), (-INF, 1.0)]).iter().any(|f| f.1.contains("out of order")));
    }
}
