//! Reads a card of toad as `ScoreCard.export` writes it: for each feature, points by bin. Everyone's points are in the bins.

use super::card::{ForeignCard, ForeignFeature, SourceKind};
use super::intervals::{Interval, bounds, in_order};
use super::json::Part;
use crate::pipeline::units::Units;
use crate::pipeline::{Finding, Findings, Source};

/// The bin of missing values.
const MISSING: &str = "nan";

/// Reads a card.
///
/// # Errors
/// Findings: bins that are no intervals, overlap, leave gaps or are out of order.
pub fn read(source: &Source) -> Result<ForeignCard, Findings> {
    let entries = Part::whole(source).object().map_err(|finding| Findings(vec![finding]))?;
    let (mut features, mut findings) = (Vec::new(), Findings::default());
    for (name, bins) in entries {
        match feature(&name, &bins) {
            Ok((edges, points, missing)) => {
                features.push(ForeignFeature { name, line: bins.line(), edges, points, missing, reason: None });
            }
            Err(found) => findings.0.extend(found),
        }
    }
    findings.or(ForeignCard { source: SourceKind::Toad, base: Units(0), features })?.checked(source)
}

type Feature = (Vec<f64>, Vec<Units>, Option<Units>);

fn feature(name: &str, bins: &Part) -> Result<Feature, Vec<Finding>> {
    let (mut intervals, mut missing, mut found) = (Vec::new(), None, Vec::new());
    for (label, value) in bins.object().map_err(|finding| vec![finding])? {
        let points = match value.points() {
            Ok(points) => points,
            Err(finding) => {
                found.push(finding);
                continue;
            }
        };
        if label == MISSING {
            missing = Some(points);
        } else if let Some((from, below)) = bounds(&label, '~') {
            intervals.push(Interval { from, below, points, line: value.line() });
        } else {
            let message = format!(
                "`{name}`: the bin `{label}` is no interval [from ~ below); categories hold no range, so leave `{name}` out of the card"
            );
            found.push(value.finding(message));
        }
    }
    if found.is_empty() && intervals.is_empty() {
        found.push(bins.finding(format!("`{name}` has no bins")));
    }
    if !found.is_empty() {
        return Err(found);
    }
    match in_order(name, &intervals) {
        Ok((edges, points)) => Ok((edges, points, missing)),
        Err(wrong) => {
            let told = |(line, message): (usize, String)| Finding { line, ..bins.finding(message) };
            Err(wrong.into_iter().map(told).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(text: &str) -> Result<ForeignCard, Findings> {
        read(&Source { path: "card.json".into(), text: text.to_owned() })
    }

    const ONE: &str = "{\n \"age\": {\n  \"[-inf ~ 18.0)\": 106.45,\n  \"[18.0 ~ inf)\": -66.52,\n  \"nan\": 7\n }\n}";

    #[test]
    fn points_are_read_from_their_text() {
        let card = card(ONE).unwrap();
        let age = &card.features[0];
        assert_eq!((card.base, age.line, age.edges.as_slice()), (Units(0), 2, &[18.0][..]));
        assert_eq!(age.points, [Units(106_450_000_000_000), Units(-66_520_000_000_000)]);
        assert_eq!(age.missing, Some(Units(7_000_000_000_000)));
    }

    #[test]
    fn others_are_refused_with_their_line() {
        for (from, to, part) in [
            ("[18.0 ~ inf)", "[17.0 ~ inf)", "card.json:4: `age`: the bin from 17 follows one that ends at 18"),
            ("[18.0 ~ inf)", "married,single", "card.json:4: `age`: the bin `married,single` is no interval"),
            ("106.45", "null", "card.json:3: `null` is no number"),
            ("\"nan\"", "\"[-inf ~ 18.0)\"", "stands twice"),
            ("\"nan\": 7", "\"nan\": 7e9", "card.json:5: `7e9` is more than 10,000 points"),
            ("{\n  \"[-inf ~ 18.0)\": 106.45,\n  \"[18.0 ~ inf)\": -66.52,\n", "{", "`age` has no bins"),
        ] {
            let said = card(&ONE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
}
