//! A card as a PMML 4.4 Scorecard.
//!
//! PMML adds doubles, so each number is the double nearest to the exact fraction. It knows one kind of missing value: where `none`
//! and `unknown` differ, a flag beside the feature tells them apart. What costs points is told against neutral.

use super::card::{SegmentCard, SegmentFeature, VERSION};
use super::decimals::nearest;
use crate::tables::features::none_column;
use crate::tables::scores::{REASONS, SCORE, reason};

/// The card as PMML: the score before it is rounded, and the reason codes of what cost most points.
#[must_use]
pub fn pmml(card: &SegmentCard) -> String {
    let points = |numerator: i128| number(nearest(numerator, card.denominator));
    let names: Vec<String> = card.features.iter().map(|f| escaped(&f.name)).collect();
    let flags: Vec<String> =
        card.features.iter().filter(|f| f.tells_none()).map(|f| escaped(&none_column(&f.name))).collect();
    let title = escaped(&format!("{} {}", card.model, card.segment));
    let mut x = vec![
        r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned(),
        r#"<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">"#.to_owned(),
        format!(r#"<Header><Application name="sesame" version="{}"/>"#, escaped(VERSION)),
    ];
    x.extend(card.remarks().iter().map(|remark| format!("<Annotation>{}</Annotation>", escaped(remark))));
    x.push("</Header><DataDictionary>".to_owned());
    x.extend(names.iter().map(|n| format!(r#"<DataField name="{n}" optype="continuous" dataType="double"/>"#)));
    x.extend(flags.iter().map(|n| format!(r#"<DataField name="{n}" optype="categorical" dataType="boolean"/>"#)));
    x.push(format!(
        r#"</DataDictionary><Scorecard modelName="{title}" functionName="regression" useReasonCodes="true" reasonCodeAlgorithm="pointsBelow" baselineMethod="neutral" initialScore="{}"><MiningSchema>"#,
        points(card.initial)
    ));
    x.extend(names.iter().chain(&flags).map(|n| format!(r#"<MiningField name="{n}"/>"#)));
    x.push(format!(
        r#"</MiningSchema><Output><OutputField name="{SCORE}" feature="predictedValue" optype="continuous" dataType="double"/>"#
    ));
    x.extend((1..=REASONS).map(|rank| {
        let name = reason(rank);
        format!(
            r#"<OutputField name="{name}" feature="reasonCode" rank="{rank}" optype="categorical" dataType="string"/>"#
        )
    }));
    x.push("</Output><Characteristics>".to_owned());
    for (feature, name) in card.features.iter().zip(&names) {
        // A characteristic must have a code.
        let code = feature.reason.as_deref().map_or_else(|| name.clone(), escaped);
        let neutral = points(feature.unknown);
        x.push(format!(r#"<Characteristic name="{name}" reasonCode="{code}" baselineScore="{neutral}">"#));
        x.extend(attributes(feature, name).into_iter().map(|(numerator, predicate)| {
            format!(r#"<Attribute partialScore="{}">{predicate}</Attribute>"#, points(numerator))
        }));
        x.push("</Characteristic>".to_owned());
    }
    x.push("</Characteristics></Scorecard></PMML>".to_owned());
    x.join("\n") + "\n"
}

/// What a feature gives, and when; the first that holds counts.
fn attributes(feature: &SegmentFeature, name: &str) -> Vec<(i128, String)> {
    let mut all = Vec::with_capacity(feature.bins.len() + 2);
    if feature.tells_none() {
        let flag = escaped(&none_column(&feature.name));
        all.push((feature.none, format!(r#"<SimplePredicate field="{flag}" operator="equal" value="true"/>"#)));
    }
    all.push((feature.unknown, format!(r#"<SimplePredicate field="{name}" operator="isMissing"/>"#)));
    for (n, numerator) in feature.bins.iter().enumerate() {
        let predicate = match feature.edges.get(n) {
            Some(edge) => {
                format!(r#"<SimplePredicate field="{name}" operator="lessThan" value="{}"/>"#, number(*edge))
            }
            None => "<True/>".to_owned(),
        };
        all.push((*numerator, predicate));
    }
    all
}

/// The shortest decimal that reads as a double.
fn number(double: f64) -> String {
    format!("{double:?}")
}

/// A text within an element or an attribute; what XML cannot hold is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escaped("a<b & \"c\">\n\u{1}"), "a&lt;b &amp; &quot;c&quot;&gt;&#10;\u{fffd}");
    }

    #[test]
    fn numbers_read_as_the_same_double() {
        assert_eq!([0.05, 3e6, -1.0, 1e300].map(number), ["0.05", "3000000.0", "-1.0", "1e300"]);
    }
}
