//! A model file with a foreign card in it: the text of a model that is there, changed only where the card takes its place.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use toml::de::DeTable;

use super::blocks::{Block, blocks, entry};
use super::card::SourceKind;
use super::names::NamedBand;
use super::placed::Placed;
use crate::pipeline::Model;
use crate::pipeline::edits::{Change, applied, quoted, value};
use crate::pipeline::model::Baseline;
use crate::pipeline::units::Units;

/// Tables that say what the old points were fitted to.
const OF_OLD_POINTS: [&str; 2] = ["fitted", "calibration"];

/// What is written over a model.
pub struct Edit<'a> {
    /// The model whose catalogue, categories, statuses, reasons and policies stay.
    pub model: &'a Model,
    /// The new model's name and version.
    pub name: (&'a str, &'a str),
    /// Its catalogue's files, relative to its folder.
    pub catalogue: &'a [String],
    /// The card's file.
    pub file: &'a Path,
    /// Where it is from.
    pub source: SourceKind,
    /// Points that everyone has.
    pub base: Units,
    /// The lowest and the highest score, in whole points.
    pub range: (i64, i64),
    /// The features.
    pub features: &'a [Placed],
    /// Names for ranges of the score; one for all when there are none.
    pub bands: &'a [&'a NamedBand],
}

/// The new file.
pub struct Written {
    /// Its text.
    pub text: String,
    /// What of the old model is not in it, for people.
    pub left_out: Vec<String>,
}

impl Edit<'_> {
    /// The new file's text.
    ///
    /// # Errors
    /// When the model's text is laid out so that it cannot be edited.
    pub fn write(&self) -> Result<Written> {
        let text = &self.model.source.text;
        let file = DeTable::parse(text).context("the model")?;
        let blocks = blocks(text, file.get_ref());
        let mut left_out = Vec::new();
        let mut changes = self.head(text, file.get_ref())?;
        for (key, new) in [("scale", self.scale()), ("band", self.band())] {
            changes.extend(replaced(&blocks, key, new)?);
        }
        changes.extend(self.feature(&blocks)?);
        for block in blocks.iter().filter(|block| block.is_in("segment")) {
            match block.path.as_slice() {
                [_] => changes.extend(entry(text, block.table, "weights").map(|at| Change { at, text: String::new() })),
                [_, key, ..] if key == "weights" => changes.push(block.gone()),
                _ => {}
            }
        }
        for block in blocks.iter().filter(|block| OF_OLD_POINTS.iter().any(|key| block.is_in(key))) {
            changes.push(block.gone());
        }
        let propagation = blocks.iter().find(|block| block.is("propagation")).context(no_header("propagation"))?;
        changes.push(Change { at: value(propagation.table, "enabled")?.span(), text: "false".to_owned() });
        changes.extend(self.out_of_range(text, &blocks, &mut left_out));
        changes.extend(self.reasons(text, &blocks, &mut left_out)?);
        Ok(Written { text: applied(text, changes)?.trim_end().to_owned() + "\n", left_out })
    }

    /// What stands before the tables.
    fn head(&self, text: &str, file: &DeTable) -> Result<Vec<Change>> {
        let name = entry(text, file, "name").context("the model has no `name`")?;
        let remark = "# An imported card: the points below are those of a scorecard of another tool. What is said above of importances,\n\
            # shares and weights is about the model that this one is like.\n";
        let of = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let about = format!("Points of a scorecard from {}, {of}.", self.source);
        let mut changes = vec![
            Change { at: name.start..name.start, text: remark.to_owned() },
            Change { at: value(file, "name")?.span(), text: quoted(self.name.0) },
            Change { at: value(file, "version")?.span(), text: quoted(self.name.1) },
            Change { at: value(file, "about")?.span(), text: quoted(&about) },
        ];
        let names: Vec<&str> = self.model.card.catalogue.iter().filter_map(|p| p.to_str()).collect();
        if !names.iter().eq(self.catalogue.iter()) {
            let lines = self.catalogue.iter().map(|file| format!("  {},\n", quoted(file))).collect::<String>();
            changes.push(Change { at: value(file, "catalogue")?.span(), text: format!("[\n{lines}]") });
        }
        Ok(changes)
    }

    fn scale(&self) -> String {
        let (low, high) = self.range;
        format!(
            "[scale]\nform = \"points\"   # a score is the base and the points of each feature's bin, rounded once\nlow = {low}\nhigh = {high}\nbase = \"{}\"\nbasis = \"foreign\"\n",
            self.base
        )
    }

    fn band(&self) -> String {
        if self.bands.is_empty() {
            return format!("[[band]]\nname = \"all\"\nfrom = {}\nbasis = \"foreign\"\n", self.range.0);
        }
        let one = |band: &&NamedBand| {
            let titles: Vec<String> =
                band.title.iter().map(|(k, v)| format!("{} = {}", quoted(k), quoted(v))).collect();
            let title = match titles.is_empty() {
                true => String::new(),
                false => format!("title = {{ {} }}\n", titles.join(", ")),
            };
            format!("[[band]]\nname = {}\n{title}from = {}\nbasis = \"foreign\"\n", quoted(&band.name), band.from)
        };
        self.bands.iter().map(one).collect()
    }

    /// The card in the place of the old one, remarks about that included.
    fn feature(&self, blocks: &[Block]) -> Result<Vec<Change>> {
        let old: Vec<&Block> = blocks.iter().filter(|block| block.is_in("feature")).collect();
        let first = old.first().context(no_header("[feature]"))?;
        let mut new = format!(
            "\n# ---------------------------------------------------------------- scorecard: points as {} has them\n",
            self.source
        );
        self.features.iter().for_each(|feature| new.push_str(&block_of(feature)));
        let mut changes: Vec<Change> = old.iter().map(|block| block.gone()).collect();
        changes.push(Change { at: first.gap.start..first.gap.start, text: new });
        Ok(changes)
    }

    /// Takes out what no score of the card reaches.
    fn out_of_range(&self, text: &str, blocks: &[Block], left_out: &mut Vec<String>) -> Vec<Change> {
        let (low, high) = self.range;
        let inside = |score: i64| (low..=high).contains(&score);
        let card = &self.model.card;
        let privileges = card.privilege.iter().map(|p| (p.get_ref().from, format!("privilege `{}`", p.get_ref().name)));
        let policies = card.policy.iter().map(|p| (p.get_ref().cap, format!("policy `{}`", p.get_ref().code)));
        let all = privileges.enumerate().map(|(n, p)| ("privilege", n, p));
        let all = all.chain(policies.enumerate().map(|(n, p)| ("policy", n, p)));
        let mut changes = Vec::new();
        for (key, n, (score, what)) in all.filter(|(_, _, (score, _))| !inside(*score)) {
            left_out.push(format!("{what}: its score of {score} is not within {low} and {high}"));
            for block in blocks.iter().filter(|block| block.is_in(key) && block.item == Some(n)) {
                // A remark before it may be the heading of what follows.
                let remark = text.get(block.gap.clone()).is_some_and(|gap| gap.contains('#'));
                let start = if remark { block.lines.start } else { block.gap.start };
                changes.push(Change { at: start..block.lines.end, text: String::new() });
            }
        }
        changes
    }

    /// What points are compared with to find reasons: nothing that only shares have, and no score that nobody gets.
    fn reasons(&self, text: &str, blocks: &[Block], left_out: &mut Vec<String>) -> Result<Vec<Change>> {
        let (reasons, (low, high)) = (&self.model.card.reasons, self.range);
        let why = match reasons.baseline {
            Baseline::Max | Baseline::PopulationMean => return Ok(Vec::new()),
            Baseline::NearCutoff if reasons.cutoff.is_some_and(|cutoff| (low..=high).contains(&cutoff)) => {
                return Ok(Vec::new());
            }
            Baseline::NearCutoff => format!("the cut-off is not within {low} and {high}"),
            Baseline::Neutral => "an imported card knows no neutral points".to_owned(),
        };
        left_out.push(format!("the baseline of reasons: {why}, so they are compared with the population's mean"));
        let block = blocks.iter().find(|block| block.is("reasons")).context(no_header("reasons"))?;
        let mut changes = vec![Change { at: value(block.table, "baseline")?.span(), text: quoted("population_mean") }];
        for key in ["cutoff", "cutoff_within"] {
            changes.extend(entry(text, block.table, key).map(|at| Change { at, text: String::new() }));
        }
        Ok(changes)
    }
}

/// A feature's block.
fn block_of(feature: &Placed) -> String {
    let Placed { name, foreign, factor, edges, points, missing, against_direction } = feature;
    let mut block = format!("\n[[feature]]\nname = {}", quoted(name));
    if foreign != name {
        let _ = write!(block, "   # {foreign:?} there");
    }
    if (factor - 1.0).abs() > 0.0 {
        let _ = write!(block, "   # edges there times {factor:?}");
    }
    let _ = write!(block, "\nnone = \"{missing}\"\nunknown = \"{missing}\"\nbins = [\n");
    for (n, points) in points.iter().enumerate() {
        let from = n.checked_sub(1).and_then(|n| edges.get(n)).map_or_else(String::new, |e| format!("from = {e:?}, "));
        let below = edges.get(n).map_or_else(String::new, |e| format!("below = {e:?}, "));
        let _ = writeln!(block, "  {{ {from}{below}points = \"{points}\" }},");
    }
    block.push_str("]\n");
    if let Some(why) = against_direction {
        let _ = writeln!(block, "against_direction = {}", quoted(why));
    }
    block.push_str("basis = \"foreign\"\n");
    block
}

/// Puts a text in the place of the first table of a key, and takes the others out.
fn replaced(blocks: &[Block], key: &str, text: String) -> Result<Vec<Change>> {
    let mut all = blocks.iter().filter(|block| block.is_in(key));
    let first = all.next().context(no_header(key))?;
    let mut changes = vec![Change { at: first.lines.clone(), text }];
    changes.extend(all.map(Block::gone));
    Ok(changes)
}

fn no_header(key: &str) -> String {
    format!("the model has no table [{key}] with a header of its own; write one, so that its text can be replaced")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Source;

    fn standard(change: impl Fn(String) -> String) -> Model {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let path = Path::new(&root).join("pipelines/models/standard.toml");
        let text = change(fs_err::read_to_string(&path).unwrap());
        Model::of(Source { path, text }).unwrap()
    }

    fn written(model: &Model, range: (i64, i64)) -> (String, toml::Table, Vec<String>) {
        let feature = Placed {
            name: "late_share_12m".to_owned(),
            foreign: "late".to_owned(),
            factor: 0.01,
            edges: vec![0.05, 0.1],
            points: ["198.744593925964", "7", "-67.018225146111"].map(|p| p.parse().unwrap()).to_vec(),
            missing: "100.5".parse().unwrap(),
            against_direction: Some("a \"test\"".to_owned()),
        };
        let catalogue: Vec<String> = model.card.catalogue.iter().map(|p| p.display().to_string()).collect();
        let edit = Edit {
            model,
            name: ("imported", "1"),
            catalogue: &catalogue,
            file: Path::new("/somewhere/card.json"),
            source: SourceKind::Toad,
            base: "504".parse().unwrap(),
            range,
            features: &[feature],
            bands: &[],
        };
        let Written { text, left_out } = edit.write().unwrap();
        let table = toml::from_str(&text).unwrap();
        (text, table, left_out)
    }

    #[test]
    fn the_card_takes_the_place_of_the_old_one() {
        let model = standard(|text| text);
        let (text, table, left_out) = written(&model, (436, 703));
        assert_eq!(table["name"].as_str(), Some("imported"));
        assert_eq!(table["about"].as_str(), Some("Points of a scorecard from toad, card.json."));
        let scale =
            toml::from_str("form = 'points'\nlow = 436\nhigh = 703\nbase = '504'\nbasis = 'foreign'\n").unwrap();
        assert_eq!(table["scale"], toml::Value::Table(scale));
        let feature: toml::Table = toml::from_str(
            "name = 'late_share_12m'\nnone = '100.5'\nunknown = '100.5'\nagainst_direction = 'a \"test\"'\nbasis = 'foreign'\nbins = [\n\
            { below = 0.05, points = '198.744593925964' },\n{ from = 0.05, below = 0.1, points = '7' },\n{ from = 0.1, points = '-67.018225146111' }]\n",
        )
        .unwrap();
        assert_eq!(table["feature"], toml::Value::Array(vec![toml::Value::Table(feature)]));
        let bands = table["band"].as_array().unwrap();
        assert_eq!(
            (bands.len(), bands[0]["from"].as_integer(), bands[0]["name"].as_str()),
            (1, Some(436), Some("all"))
        );
        assert_eq!(table["propagation"]["enabled"].as_bool(), Some(false));
        assert_eq!(table["propagation"]["trust"]["low"].as_float(), Some(0.2));
        let segments = table["segment"].as_array().unwrap();
        assert!(segments.len() == 4 && segments.iter().all(|s| s.get("weights").is_none() && s.get("basis").is_some()));
        // What no score reaches is gone, all else is as it was, remarks too.
        assert_eq!(left_out, Vec::<String>::new());
        let old: toml::Table = toml::from_str(&model.source.text).unwrap();
        for key in ["category", "status", "policy", "privilege", "reasons", "reason", "notice", "money", "catalogue"] {
            assert_eq!(table[key], old[key], "{key}");
        }
        assert!(text.contains("# ---------------------------------------------------------------- reasons\n"));
        assert!(!text.contains("scorecard: credit history") && !text.contains("importance ="));
        assert!(text.starts_with("#:schema") && text.ends_with("basis = \"foreign\"\n"));
    }

    #[test]
    fn what_no_score_reaches_is_left_out_and_told() {
        let change = |text: String| {
            let near = "baseline = \"near_cutoff\"\ncutoff = 600\ncutoff_within = 20\n";
            text.replace("baseline = \"population_mean\"\n", near) + "\n# Fitted.\n[calibration]\n"
        };
        // The table of a calibration is none that this model knows, so only its text has it.
        let mut model = standard(|text| change(text).replace("\n# Fitted.\n[calibration]\n", ""));
        model.source.text = change(standard(|text| text).source.text);
        let (text, table, left_out) = written(&model, (300, 420));
        assert!(["policy", "privilege", "calibration"].iter().all(|key| !table.contains_key(*key)));
        assert_eq!(left_out.len(), 5, "{left_out:?}");
        assert!(left_out[0].contains("privilege `deposit-free rental`: its score of 600"), "{left_out:?}");
        assert_eq!(table["reasons"]["baseline"].as_str(), Some("population_mean"));
        assert!(table["reasons"].get("cutoff").is_none() && table["reasons"].get("cutoff_within").is_none());
        assert!(text.contains("# ---------------------------------------------------------------- what moves a score"));
        let neutral = standard(|text| text.replace("\"population_mean\"", "\"neutral\""));
        assert_eq!(written(&neutral, (300, 800)).1["reasons"]["baseline"].as_str(), Some("population_mean"));
        let best = standard(|text| text.replace("\"population_mean\"", "\"max\""));
        assert_eq!(written(&best, (300, 800)).1["reasons"]["baseline"].as_str(), Some("max"));
    }

    #[test]
    fn a_model_that_cannot_be_edited_says_so() {
        let mut model = standard(|text| text);
        model.source.text = model.source.text.replacen("[scale]", "[other]", 1);
        let edit = Edit {
            model: &model,
            name: ("imported", "1"),
            catalogue: &[],
            file: Path::new("card.json"),
            source: SourceKind::Pmml,
            base: Units(0),
            range: (0, 1),
            features: &[],
            bands: &[],
        };
        let said = edit.write().err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("no table [scale]"), "{said}");
    }
}
