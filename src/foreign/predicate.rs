//! The predicates of a PMML scorecard: for which values of one field an attribute holds.

use roxmltree::Node;

/// For which values an attribute holds: those in `[from, below)`, none when that is empty, and perhaps missing ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holds {
    /// Its lowest value; minus infinity without a bound.
    pub from: f64,
    /// The first value above; infinity without a bound.
    pub below: f64,
    /// Whether it holds for a missing value. A comparison with one is unknown, which does not hold.
    pub missing: bool,
}

const EVERYTHING: Holds = Holds { from: f64::NEG_INFINITY, below: f64::INFINITY, missing: true };
const PRESENT: Holds = Holds { missing: false, ..EVERYTHING };
const MISSING: Holds = Holds { from: f64::INFINITY, below: f64::NEG_INFINITY, missing: true };

impl Holds {
    fn and(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            below: self.below.min(other.below),
            missing: self.missing && other.missing,
        }
    }

    /// Whether it holds for all values of an interval that no bound divides.
    #[must_use]
    pub fn all(self, from: f64, below: f64) -> bool {
        self.from <= from && below <= self.below
    }
}

/// The elements within an element, without extensions.
pub fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(|child| child.is_element() && child.tag_name().name() != "Extension")
}

/// For which values a predicate holds; the fields that it names are added to those known.
///
/// # Errors
/// What of it is not read here.
pub fn holds<'a>(node: Node<'a, '_>, fields: &mut Vec<&'a str>) -> Result<Holds, String> {
    match node.tag_name().name() {
        "CompoundPredicate" => match node.attribute("booleanOperator") {
            Some("and") if elements(node).next().is_some() => {
                let mut all = EVERYTHING;
                for part in elements(node) {
                    all = all.and(simple(part, fields)?);
                }
                Ok(all)
            }
            operator => Err(format!(
                "a CompoundPredicate with `{}` is not read; write it as `and` of comparisons, or as several attributes",
                operator.unwrap_or("no operator")
            )),
        },
        _ => simple(node, fields),
    }
}

fn simple<'a>(node: Node<'a, '_>, fields: &mut Vec<&'a str>) -> Result<Holds, String> {
    match node.tag_name().name() {
        "True" => return Ok(EVERYTHING),
        "SimplePredicate" => {}
        name => return Err(format!("the predicate `{name}` is not read; a bin is an interval of one field")),
    }
    let field = node.attribute("field").ok_or("a SimplePredicate names no field")?;
    if !fields.contains(&field) {
        fields.push(field);
    }
    let operator = node.attribute("operator").ok_or("a SimplePredicate has no operator")?;
    match operator {
        "isMissing" => return Ok(MISSING),
        "isNotMissing" => return Ok(PRESENT),
        _ => {}
    }
    let text = node.attribute("value").ok_or("a SimplePredicate has no value")?;
    let value = || match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("the value `{text}` is no finite number")),
    };
    // Bins hold [from, below): what ends with a value ends below the next double.
    let next = || value().map(f64::next_up);
    Ok(match operator {
        "lessThan" => Holds { below: value()?, ..PRESENT },
        "lessOrEqual" => Holds { below: next()?, ..PRESENT },
        "greaterOrEqual" => Holds { from: value()?, ..PRESENT },
        "greaterThan" => Holds { from: next()?, ..PRESENT },
        _ => return Err(format!("the operator `{operator}` is not read; a bin is an interval of one field")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    fn of(xml: &str) -> Result<(Holds, Vec<String>), String> {
        let document = Document::parse(xml).unwrap();
        let mut fields = Vec::new();
        let holds = holds(document.root_element(), &mut fields)?;
        Ok((holds, fields.into_iter().map(ToOwned::to_owned).collect()))
    }

    fn bounds(operator: &str, value: &str) -> (f64, f64, bool) {
        let xml = format!("<SimplePredicate field='x' operator='{operator}' value='{value}'/>");
        let (holds, fields) = of(&xml).unwrap();
        assert_eq!(fields, ["x"]);
        (holds.from, holds.below, holds.missing)
    }

    #[test]
    fn comparisons_are_half_open_intervals() {
        const INF: f64 = f64::INFINITY;
        assert_eq!(bounds("lessThan", "0.05"), (-INF, 0.05, false));
        assert_eq!(bounds("lessOrEqual", "0.05"), (-INF, 0.05_f64.next_up(), false));
        assert_eq!(bounds("greaterOrEqual", "3"), (3.0, INF, false));
        assert_eq!(bounds("greaterThan", "3"), (3_f64.next_up(), INF, false));
        assert_eq!(bounds("isNotMissing", ""), (-INF, INF, false));
        assert!(bounds("isMissing", "").2 && bounds("isMissing", "").0 > bounds("isMissing", "").1);
        assert!(of("<True/>").unwrap().0.missing);
    }

    #[test]
    fn and_takes_what_both_hold_for() {
        let xml = "<CompoundPredicate booleanOperator='and'><Extension/><SimplePredicate field='x' operator='greaterOrEqual' value='1'/><SimplePredicate field='x' operator='lessThan' value='2'/></CompoundPredicate>";
        let (holds, fields) = of(xml).unwrap();
        assert_eq!((holds.from, holds.below, holds.missing, fields.len()), (1.0, 2.0, false, 1));
        assert!(holds.all(1.0, 2.0) && holds.all(1.5, 2.0) && !holds.all(0.5, 1.5));
    }

    #[test]
    fn everything_else_is_refused() {
        for (xml, part) in [
            ("<SimpleSetPredicate field='x'/>", "the predicate `SimpleSetPredicate`"),
            ("<CompoundPredicate booleanOperator='surrogate'/>", "with `surrogate`"),
            (
                "<CompoundPredicate booleanOperator='and'><CompoundPredicate/></CompoundPredicate>",
                "`CompoundPredicate`",
            ),
            ("<SimplePredicate field='x' operator='equal' value='1'/>", "the operator `equal`"),
            ("<SimplePredicate field='x' operator='lessThan' value='nan'/>", "no finite number"),
            ("<SimplePredicate field='x' operator='lessThan'/>", "no value"),
        ] {
            let said = of(xml).unwrap_err();
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
}
