//! Reads the exact splits and points of an optbinning scorecard.
//!
//! Its printed table rounds bins to two decimals; the splits behind it are doubles, and are what it scores with. The file has them
//! as `float.hex`, as decimals, or both.

use super::card::{ForeignCard, ForeignFeature, SourceKind};
use super::json::Part;
use crate::pipeline::units::Units;
use crate::pipeline::{Finding, Findings, Source};

/// Rows of a feature's table after its bins.
const AFTER_BINS: [&str; 2] = ["Special", "Missing"];

/// Keys of the file.
const KEYS: [&str; 5] = ["tool", "intercept", "intercept_decimal", "bins", "variables"];

/// Keys of a feature.
const FEATURE_KEYS: [&str; 7] = ["name", "splits", "splits_decimal", "points", "bin", "coefficient", "dtype"];

/// Reads a card.
///
/// # Errors
/// Findings: what is no such file, splits that are no numbers, points that do not fit the splits.
pub fn read(source: &Source) -> Result<ForeignCard, Findings> {
    let mut findings = Findings::default();
    match card(source, &mut findings) {
        Ok(card) => findings.or(card)?.checked(source),
        Err(finding) => {
            findings.0.push(finding);
            Err(findings)
        }
    }
}

fn card(source: &Source, findings: &mut Findings) -> Result<ForeignCard, Finding> {
    let file = Part::whole(source);
    let entries = file.object()?;
    findings.0.extend(unknown(&entries, &KEYS));
    let intercept = either(&file, &entries, "intercept", "the card's `intercept_`", |part| part.points())?;
    let mut features = Vec::new();
    for variable in key(&file, &entries, "variables")?.list()? {
        match feature(&variable, findings) {
            Ok(feature) => features.push(feature),
            Err(finding) => findings.0.push(finding),
        }
    }
    Ok(ForeignCard { source: SourceKind::Optbinning, base: intercept, features })
}

fn feature(variable: &Part, findings: &mut Findings) -> Result<ForeignFeature, Finding> {
    let entries = variable.object()?;
    findings.0.extend(unknown(&entries, &FEATURE_KEYS));
    let name = key(variable, &entries, "name")?.text()?;
    if let Some((_, kind)) = entries.iter().find(|(k, _)| k == "dtype")
        && kind.text()? != "numerical"
    {
        return Err(kind.finding(format!("`{name}` is not numerical: its bins are lists of values, and hold no range")));
    }
    let doubles = |part: &Part| part.list()?.iter().map(Part::double).collect::<Result<Vec<f64>, Finding>>();
    let edges = either(variable, &entries, "splits", "where its bins meet", doubles)?;
    let place = key(variable, &entries, "points")?;
    let mut points = place.list()?.iter().map(Part::points).collect::<Result<Vec<Units>, Finding>>()?;
    if points.len() != edges.len() + 1 + AFTER_BINS.len() {
        let message = format!(
            "`{name}`: {} points for {} splits; there is one for each bin, one for special values, and one for missing ones",
            points.len(),
            edges.len()
        );
        return Err(place.finding(message));
    }
    if let Some((_, labels)) = entries.iter().find(|(k, _)| k == "bin") {
        let all = labels.list()?;
        let texts = all.iter().map(Part::text).collect::<Result<Vec<String>, Finding>>()?;
        if texts.len() != points.len() || !texts.iter().rev().zip(AFTER_BINS.iter().rev()).all(|(a, b)| a == b) {
            return Err(
                labels.finding(format!("`{name}`: `bin` does not name the bins, `Special` and `Missing` in order"))
            );
        }
    }
    let missing = points.pop();
    // Special values are codes that an analyst names when fitting, such as -999. None of our values is a code.
    points.pop();
    Ok(ForeignFeature { name, line: variable.line(), edges, points, missing, reason: None })
}

/// The value of a key.
fn key<'a>(object: &Part<'a>, entries: &[(String, Part<'a>)], name: &str) -> Result<Part<'a>, Finding> {
    let found = entries.iter().find(|(key, _)| key == name);
    found.map(|(_, part)| *part).ok_or_else(|| object.finding(format!("the key `{name}` is missing")))
}

/// What a key says, or the same key with `_decimal`; where both stand they must agree.
fn either<'a, T: PartialEq>(
    object: &Part<'a>,
    entries: &[(String, Part<'a>)],
    name: &str,
    what: &str,
    read: impl Fn(&Part<'a>) -> Result<T, Finding>,
) -> Result<T, Finding> {
    let decimal = format!("{name}_decimal");
    let of = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, part)| part);
    match (of(name), of(&decimal)) {
        (Some(one), None) | (None, Some(one)) => read(one),
        (None, None) => Err(object.finding(format!("the key `{name}`, {what}, is missing"))),
        (Some(one), Some(other)) => {
            let value = read(one)?;
            match value == read(other)? {
                true => Ok(value),
                false => Err(other.finding(format!("`{decimal}` says something else than `{name}`"))),
            }
        }
    }
}

/// Keys that mean nothing here, and might mean something there.
fn unknown(entries: &[(String, Part)], known: &[&str]) -> Vec<Finding> {
    let strange = entries.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    strange.map(|(key, part)| part.finding(format!("the key `{key}` is none that is read here"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"intercept": "0x1.5ep+8", "variables": [
{"name": "age",
 "splits": ["0x1.2p+4", "0x1.04p+6"], "splits_decimal": ["18.0", "65.0"],
 "points": ["-1.25", "0.1", "3", "99.0", "2.5"],
 "bin": ["(-inf, 18.00)", "[18.00, 65.00)", "[65.00, inf)", "Special", "Missing"]}
]}"#;

    fn card(text: &str) -> Result<ForeignCard, Findings> {
        read(&Source { path: "card.json".into(), text: text.to_owned() })
    }

    fn points(text: &str) -> Units {
        text.parse().unwrap()
    }

    #[test]
    fn splits_points_and_intercept_are_read_to_the_letter() {
        let card = card(ONE).unwrap();
        assert_eq!(card.base, points("350"));
        let feature = &card.features[0];
        assert_eq!((feature.name.as_str(), feature.line, &feature.edges), ("age", 2, &vec![18.0, 65.0]));
        assert_eq!(feature.points, ["-1.25", "0.1", "3"].map(points));
        assert_eq!(feature.missing, Some(points("2.5")));
    }

    #[test]
    fn either_form_of_a_number_is_enough() {
        let decimal = ONE.replace("\"splits\": [\"0x1.2p+4\", \"0x1.04p+6\"], ", "").replace("\"0x1.5ep+8\"", "350.0");
        assert_eq!(card(&decimal).unwrap(), card(ONE).unwrap());
        let hexadecimal = ONE.replace(", \"splits_decimal\": [\"18.0\", \"65.0\"]", "");
        assert_eq!(card(&hexadecimal).unwrap(), card(ONE).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_line() {
        for (from, to, said) in [
            ("\"65.0\"", "\"66.0\"", "card.json:3: `splits_decimal` says something else"),
            ("\"99.0\", ", "", "card.json:4: `age`: 4 points for 2 splits"),
            ("\"Special\", \"Missing\"", "\"Missing\", \"Special\"", "card.json:5: `age`: `bin`"),
            ("\"0.1\"", "\"nan\"", "card.json:4: `nan` is no decimal number"),
            ("\"intercept\": \"0x1.5ep+8\", ", "", "the key `intercept`, the card's `intercept_`, is missing"),
            ("\"name\"", "\"dtype\": \"categorical\", \"name\"", "card.json:2: `age` is not numerical"),
            ("\"name\"", "\"weights\": 1, \"name\"", "the key `weights` is none that is read here"),
            ("\"variables\"", "\"variables\": [], \"variables\"", "the key `variables` stands twice"),
        ] {
            let text = card(&ONE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(text.contains(said), "{said} is not in\n{text}");
        }
    }
}
