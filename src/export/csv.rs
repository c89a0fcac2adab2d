//! A card as CSV: a row for what everyone has, then a row for each bin of each feature.

use super::card::{SegmentCard, SegmentFeature};
use super::decimals::decimal;

const HEADER: &str = "segment,category,feature,reason,bin,from,below,points";

/// The card as CSV. `bin` is a number from 1, `none` or `unknown`, and `base` in the first row; `from` counts as in the bin,
/// `below` does not.
#[must_use]
pub fn csv(card: &SegmentCard) -> String {
    let points = |numerator: i128| decimal(numerator, card.denominator);
    let segment = quoted(&card.segment);
    let mut lines = vec![HEADER.to_owned(), format!("{segment},,,,base,,,{}", points(card.initial))];
    for feature in &card.features {
        let category = card.categories.get(feature.category).map_or("", String::as_str);
        let reason = feature.reason.as_deref().unwrap_or_default();
        let whose = [card.segment.as_str(), category, feature.name.as_str(), reason].map(quoted).join(",");
        for (n, numerator) in feature.bins.iter().enumerate() {
            let (from, below) = bounds(feature, n);
            lines.push(format!("{whose},{},{from},{below},{}", n + 1, points(*numerator)));
        }
        for (bin, numerator) in [("none", feature.none), ("unknown", feature.unknown)] {
            lines.push(format!("{whose},{bin},,,{}", points(numerator)));
        }
    }
    lines.join("\n") + "\n"
}

/// Where a bin begins and ends; nothing at the ends.
fn bounds(feature: &SegmentFeature, bin: usize) -> (String, String) {
    let text = |edge: Option<&f64>| edge.map_or_else(String::new, ToString::to_string);
    (text(bin.checked_sub(1).and_then(|before| feature.edges.get(before))), text(feature.edges.get(bin)))
}

/// A text as a field.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_hold_a_comma_or_a_quote_are_quoted() {
        assert_eq!(["a b", "a,b", "a\"b"].map(quoted), ["a b", "\"a,b\"", "\"a\"\"b\""]);
    }
}
