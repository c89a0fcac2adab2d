//! Reads a PMML Scorecard, as sklearn2pmml and others write it.
//!
//! The score is the initial score and, of each characteristic, the partial score of the first attribute that holds. All that would
//! change this (a derived field, a replaced value, a computed partial score, a rescaled target) is refused and not overlooked.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::card::{ForeignCard, ForeignFeature, SourceKind};
use super::predicate::{Holds, elements, holds};
use crate::pipeline::units::{NotPoints, Units};
use crate::pipeline::{Finding, Findings, Source};

/// Reads a card.
///
/// # Errors
/// Findings: what is no scorecard of PMML 4, what is not read, and values for which no attribute holds.
pub fn read(source: &Source) -> Result<ForeignCard, Findings> {
    let document = Document::parse(&source.text).map_err(|e| {
        let line = usize::try_from(e.pos().row).unwrap_or(0);
        Findings(vec![Finding { file: source.path.clone(), line, message: format!("XML: {e}") }])
    })?;
    let root = document.root_element();
    let mut reader = Reader { source, findings: Findings::default(), data: BTreeMap::new(), mining: BTreeMap::new() };
    let card = reader.card(root);
    reader.findings.or(card)?.unwrap_or_else(nothing).checked(source)
}

/// A card that no check lets pass.
fn nothing() -> ForeignCard {
    ForeignCard { source: SourceKind::Pmml, base: Units(0), features: Vec::new() }
}

struct Reader<'a, 'i: 'a> {
    source: &'a Source,
    findings: Findings,
    /// The fields of the data dictionary.
    data: BTreeMap<&'a str, Node<'a, 'i>>,
    /// The fields of the mining schema.
    mining: BTreeMap<&'a str, Node<'a, 'i>>,
}

impl<'a, 'i: 'a> Reader<'a, 'i> {
    fn find(&mut self, node: Node<'a, 'i>, message: impl Into<String>) {
        self.findings.0.push(self.source.finding(&node.range(), message));
    }

    fn card(&mut self, root: Node<'a, 'i>) -> Option<ForeignCard> {
        let version = root.attribute("version").unwrap_or_default();
        if root.tag_name().name() != "PMML" || !version.starts_with("4.") {
            let name = root.tag_name().name();
            self.find(root, format!("<{name} version=\"{version}\"> is no PMML of version 4"));
            return None;
        }
        let Some(model) = elements(root).find(|node| node.tag_name().name() == "Scorecard") else {
            let models = elements(root).map(|node| node.tag_name().name()).filter(|name| name.ends_with("Model"));
            let names = models.collect::<Vec<_>>().join(", ");
            let message = match names.as_str() {
                "" => "the file holds no Scorecard".to_owned(),
                _ => format!(
                    "the file holds a {names} and no Scorecard: it has no bins and tells no reasons; export the scorecard behind it"
                ),
            };
            self.find(root, message);
            return None;
        };
        let named = |name: &str| elements(root).find(|node| node.tag_name().name() == name);
        self.data = named("DataDictionary").map(|node| by_name(node, "DataField")).unwrap_or_default();
        let parts: BTreeMap<&str, Node> = elements(model).map(|node| (node.tag_name().name(), node)).collect();
        self.mining = parts.get("MiningSchema").map(|node| by_name(*node, "MiningField")).unwrap_or_default();
        if model.attribute("isScorable") == Some("false") {
            self.find(model, "the card says isScorable=\"false\"");
        }
        if model.attribute("functionName").is_some_and(|name| name != "regression") {
            self.find(model, "the card's functionName is not \"regression\"");
        }
        if let Some(targets) = parts.get("Targets") {
            self.find(
                *targets,
                "<Targets> change the score after the points are added up; export the card without them",
            );
        }
        let base = self.points(model, "initialScore", Some("0"))?;
        let Some(characteristics) = parts.get("Characteristics") else {
            self.find(model, "the card has no <Characteristics>");
            return None;
        };
        let features = elements(*characteristics).filter_map(|node| self.feature(node)).collect();
        Some(ForeignCard { source: SourceKind::Pmml, base, features })
    }

    /// The points in an attribute of an element.
    fn points(&mut self, node: Node<'a, 'i>, key: &str, otherwise: Option<&str>) -> Option<Units> {
        let Some(text) = node.attribute(key).or(otherwise) else {
            let name = node.tag_name().name();
            self.find(node, format!("<{name}> has no {key}"));
            return None;
        };
        let points = text.trim().parse::<Units>().map_err(|e: NotPoints| self.find(node, format!("{key}: {e}")));
        points.ok()
    }

    fn feature(&mut self, node: Node<'a, 'i>) -> Option<ForeignFeature> {
        let title = node.attribute("name").unwrap_or("without a name");
        let so_far = self.findings.0.len();
        let (mut fields, mut attributes) = (Vec::new(), Vec::new());
        for attribute in elements(node) {
            attributes.extend(self.attribute(title, attribute, &mut fields));
        }
        let [field] = fields.as_slice() else {
            if self.findings.0.len() == so_far {
                let names = fields.join(", ");
                self.find(
                    node,
                    match fields.is_empty() {
                        true => format!("the characteristic `{title}` names no field"),
                        false => format!(
                            "the characteristic `{title}` goes by several fields ({names}); a bin is an interval of one"
                        ),
                    },
                );
            }
            return None;
        };
        self.field(title, node, field);
        if self.findings.0.len() > so_far {
            return None;
        }
        let (edges, points) = self.bins(title, node, &attributes)?;
        let missing = attributes.iter().find(|(holds, _)| holds.missing).map(|(_, points)| *points);
        if missing.is_none() {
            self.find(node, format!(
                "the characteristic `{title}`: no attribute holds for a missing value, so it has no score there; add one with isMissing"
            ));
        }
        let reason = node.attribute("reasonCode").map(ToOwned::to_owned);
        let line = self.source.line(&node.range());
        Some(ForeignFeature { name: (*field).to_owned(), line, edges, points, missing, reason })
    }

    /// For which values an attribute holds, and its points.
    fn attribute(&mut self, title: &str, node: Node<'a, 'i>, fields: &mut Vec<&'a str>) -> Option<(Holds, Units)> {
        let parts: Vec<Node> = elements(node).collect();
        let [predicate] = parts.as_slice() else {
            let computed = parts.iter().any(|part| part.tag_name().name() == "ComplexPartialScore");
            self.find(
                node,
                match computed {
                    true => format!(
                        "the characteristic `{title}`: a ComplexPartialScore is computed and no number of points"
                    ),
                    false => format!(
                        "the characteristic `{title}`: <{}> holds no predicate, or several",
                        node.tag_name().name()
                    ),
                },
            );
            return None;
        };
        let holds = match holds(*predicate, fields) {
            Ok(holds) => holds,
            Err(message) => {
                self.find(*predicate, format!("the characteristic `{title}`: {message}"));
                return None;
            }
        };
        Some((holds, self.points(node, "partialScore", None)?))
    }

    /// Refuses a field whose values are not scored as they are.
    fn field(&mut self, title: &str, node: Node<'a, 'i>, field: &str) {
        let (Some(data), Some(mining)) = (self.data.get(field).copied(), self.mining.get(field).copied()) else {
            let message = "is derived, or no field of the mining schema; a card goes by the values that it is given";
            self.find(node, format!("the characteristic `{title}`: `{field}` {message}"));
            return;
        };
        match data.attribute("dataType").unwrap_or("none") {
            "double" | "integer" => {}
            "float" => self.find(
                data,
                format!("`{field}` is a float: values are rounded to single precision first; if the card does not need that, write dataType=\"double\""),
            ),
            other => self.find(data, format!("`{field}` is of type {other}, and no number")),
        }
        if elements(data).any(|part| part.tag_name().name() == "Value") {
            self.find(
                data,
                format!("`{field}` lists values that are valid or stand for missing ones; those are not read"),
            );
        }
        let bounded = elements(data).any(|part| part.tag_name().name() == "Interval");
        if bounded && mining.attribute("invalidValueTreatment") != Some("asIs") {
            self.find(data, format!("`{field}` has no score outside of an interval; here every value has one: take <Interval> out, or write invalidValueTreatment=\"asIs\""));
        }
        if mining.attribute("missingValueReplacement").is_some() {
            self.find(
                mining,
                format!(
                    "`{field}`: a missing value is replaced before it is scored; give it an attribute with isMissing"
                ),
            );
        }
        if mining.attribute("missingValueTreatment") == Some("returnInvalid") {
            self.find(mining, format!("`{field}`: a missing value has no score; give it an attribute with isMissing"));
        }
        if mining.attribute("outliers").is_some_and(|treatment| treatment != "asIs") {
            self.find(
                mining,
                format!("`{field}`: outliers are changed before they are scored, which is not done here"),
            );
        }
    }

    /// Where bins meet and their points: of each stretch between two bounds, those of the first attribute that holds.
    fn bins(
        &mut self,
        title: &str,
        node: Node<'a, 'i>,
        attributes: &[(Holds, Units)],
    ) -> Option<(Vec<f64>, Vec<Units>)> {
        let mut bounds: Vec<f64> =
            attributes.iter().flat_map(|(h, _)| [h.from, h.below]).filter(|b| b.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let starts = std::iter::once(f64::NEG_INFINITY).chain(bounds.iter().copied());
        let ends = bounds.iter().copied().chain(std::iter::once(f64::INFINITY));
        let (mut edges, mut points, mut last) = (Vec::new(), Vec::new(), None);
        let mut gaps = Vec::new();
        for (from, below) in starts.zip(ends) {
            let Some(at) = attributes.iter().position(|(holds, _)| holds.all(from, below)) else {
                gaps.push(format!("from {from} below {below}"));
                continue;
            };
            if last == Some(at) {
                continue;
            }
            if last.is_some() {
                edges.push(from);
            }
            points.extend(attributes.get(at).map(|(_, points)| *points));
            last = Some(at);
        }
        if !gaps.is_empty() {
            let gaps = gaps.join(", ");
            self.find(
                node,
                format!(
                    "the characteristic `{title}`: no attribute holds for values {gaps}, so there is no score there"
                ),
            );
            return None;
        }
        Some((edges, points))
    }
}

/// The elements of a name within an element, by their attribute `name`.
fn by_name<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> BTreeMap<&'a str, Node<'a, 'i>> {
    let named = elements(node).filter(|child| child.tag_name().name() == tag);
    named.filter_map(|child| Some((child.attribute("name")?, child))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><DataDictionary>
<DataField name="age" optype="continuous" dataType="double"/>
</DataDictionary><Scorecard functionName="regression" initialScore="350.5"><MiningSchema>
<MiningField name="age"/>
</MiningSchema><Characteristics>
<Characteristic name="years" reasonCode="A1">
<Attribute partialScore="7"><SimplePredicate field="age" operator="isMissing"/></Attribute>
<Attribute partialScore="-3.25"><SimplePredicate field="age" operator="lessThan" value="18"/></Attribute>
<Attribute partialScore="4"><SimplePredicate field="age" operator="lessOrEqual" value="65"/></Attribute>
<Attribute partialScore="9"><True/></Attribute>
</Characteristic></Characteristics></Scorecard></PMML>"#;

    fn card(text: &str) -> Result<ForeignCard, Findings> {
        read(&Source { path: "card.pmml".into(), text: text.to_owned() })
    }

    fn points(text: &str) -> Units {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_attribute_that_holds_counts() {
        let card = card(ONE).unwrap();
        assert_eq!(card.base, points("350.5"));
        let age = &card.features[0];
        assert_eq!((age.name.as_str(), age.line, age.reason.as_deref()), ("age", 6, Some("A1")));
        assert_eq!(age.edges, [18.0, 65_f64.next_up()]);
        assert_eq!(age.points, ["-3.25", "4", "9"].map(points));
        assert_eq!(age.missing, Some(points("7")));
    }

    #[test]
    fn an_attribute_that_always_holds_counts_for_missing_values() {
        let text = ONE.replace(
            "<SimplePredicate field=\"age\" operator=\"isMissing\"/>",
            "<SimplePredicate field=\"age\" operator=\"lessThan\" value=\"1\"/>",
        );
        let card = card(&text).unwrap();
        assert_eq!(card.features[0].missing, Some(points("9")));
        assert_eq!(card.features[0].edges, [1.0, 18.0, 65_f64.next_up()]);
    }

    #[test]
    fn what_would_change_the_score_is_refused_with_its_line() {
        let missing =
            "<Attribute partialScore=\"7\"><SimplePredicate field=\"age\" operator=\"isMissing\"/></Attribute>";
        for (from, to, part) in [
            (
                "<True/>",
                "<SimplePredicate field=\"age\" operator=\"greaterThan\" value=\"70\"/>",
                "card.pmml:6: the characteristic `years`: no attribute holds for values from 65.00000000000001 below 70.00000000000001",
            ),
            (
                "<Attribute partialScore=\"9\"><True/>",
                "<Attribute partialScore=\"9\"><SimplePredicate field=\"age\" operator=\"isNotMissing\"/>",
                "",
            ),
            (missing, "", ""),
            (" partialScore=\"4\"", "", "card.pmml:9: <Attribute> has no partialScore"),
            (
                "<True/>",
                "<True/><ComplexPartialScore/>",
                "card.pmml:10: the characteristic `years`: a ComplexPartialScore",
            ),
            (
                "<True/>",
                "<SimpleSetPredicate field=\"age\"/>",
                "card.pmml:10: the characteristic `years`: the predicate `SimpleSetPredicate`",
            ),
            (
                "field=\"age\" operator=\"isMissing\"",
                "field=\"sex\" operator=\"isMissing\"",
                "several fields (sex, age)",
            ),
            ("<DataField name=\"age\"", "<DataField name=\"old\"", "`age` is derived"),
            ("dataType=\"double\"", "dataType=\"float\"", "card.pmml:2: `age` is a float"),
            ("dataType=\"double\"", "dataType=\"string\"", "card.pmml:2: `age` is of type string"),
            (
                "<MiningField name=\"age\"",
                "<MiningField name=\"age\" missingValueReplacement=\"0\"",
                "card.pmml:4: `age`: a missing value is replaced",
            ),
            ("<Characteristics>", "<Targets/><Characteristics>", "card.pmml:5: <Targets> change the score"),
            ("350.5", "1e9", "initialScore: `1e9` is more than 10,000 points"),
            ("version=\"4.4\"", "version=\"3.2\"", "is no PMML of version 4"),
            ("</PMML>", "", "XML: "),
        ] {
            let read = card(&ONE.replacen(from, to, 1));
            match part {
                // With `isNotMissing` in the place of `True` nothing changes, nor without the bin that `True` covers.
                "" => assert!(read.is_ok(), "{from}"),
                _ => {
                    let said = read.unwrap_err().to_string();
                    assert!(said.contains(part), "{part} is not in\n{said}");
                }
            }
        }
    }

    #[test]
    fn a_missing_value_without_a_score_is_refused() {
        let text = ONE.replace("<True/>", "<SimplePredicate field=\"age\" operator=\"isNotMissing\"/>");
        let text = text.replace("operator=\"isMissing\"", "operator=\"lessThan\" value=\"1\"");
        assert!(card(&text).unwrap_err().to_string().contains("no attribute holds for a missing value"));
    }

    #[test]
    fn other_models_are_refused() {
        let text = "<PMML version=\"4.4\"><RegressionModel/></PMML>";
        assert!(card(text).unwrap_err().to_string().contains("a RegressionModel and no Scorecard"));
    }
}
