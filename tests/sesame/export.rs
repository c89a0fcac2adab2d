//! A segment's card for other engines: what PMML, CSV and SQL say is what a run says; nothing is lost to rounding, and what is
//! left out is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command as Process;

use proptest::prelude::*;
use sesame::export::SegmentCard;
use sesame::export::card::scorecard;
use sesame::pipeline::Model;
use sesame::score::points::Fraction;
use sesame::scorecard::card::Origin;

use crate::workdir::{Ended, Workdir, repository};

fn standard() -> PathBuf {
    repository("pipelines/models/standard.toml")
}

fn export(work: &Workdir, segment: &str, format: &str, more: &[&str]) -> Ended {
    let model = standard();
    let mut args = vec!["export", model.to_str().unwrap(), "--segment", segment, "--format", format];
    args.extend(more);
    work.sesame(args)
}

/// A file of tests/sesame/cards.
fn of_sample(name: &str) -> String {
    std::fs::read_to_string(repository("tests/sesame/cards").join(name)).unwrap()
}

/// What a line of XML says of an attribute.
fn told<'a>(line: &'a str, attribute: &str) -> Option<&'a str> {
    line.split_once(&format!(" {attribute}=\""))?.1.split('"').next()
}

#[test]
fn pmml_is_that_of_the_second_implementation() {
    let work = Workdir::new();
    let text = export(&work, "consumer_thick", "pmml", &[]).expect(0).out;
    let sample = of_sample("sesame_standard_thick.pmml");
    // Names, codes, predicates and every number to the last digit.
    let characteristics = |text: &str| text.split_once("<Characteristics>").unwrap().1.trim().to_owned();
    assert_eq!(characteristics(&text), characteristics(&sample));
    let fields = |text: &str, element: &str| -> Vec<String> {
        let lines = text.lines().filter(|l| l.contains(&format!("<{element} ")));
        lines.map(|l| l[l.find(&format!("<{element} ")).unwrap()..].to_owned()).collect()
    };
    for element in ["DataField", "MiningField", "OutputField", "Scorecard"] {
        assert!(!fields(&sample, element).is_empty());
        assert_eq!(fields(&text, element), fields(&sample, element), "{element}");
    }
    let initial = |text: &str| text.lines().find_map(|l| told(l, "initialScore")).unwrap().to_owned();
    assert_eq!(initial(&text), "362.5");
    let hash = Model::load(&standard()).unwrap().hash();
    assert!(text.contains(&hash) && text.contains("friends_score") && !text.contains("imestamp"));
}

#[test]
fn rows_scored_elsewhere_have_the_same_score_by_the_exported_points() {
    let work = Workdir::new();
    let card = export(&work, "consumer_thick", "csv", &[]).expect(0).out;
    let mut lines = card.lines();
    assert_eq!(lines.next(), Some("segment,category,feature,reason,bin,from,below,points"));
    assert_eq!(lines.next(), Some("consumer_thick,,,,base,,,362.5"));
    // By feature: where each bin ends, its name, and its points.
    let mut features: BTreeMap<&str, Vec<(f64, &str, f64)>> = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!((fields.len(), fields[0]), (8, "consumer_thick"));
        let below = if fields[6].is_empty() { f64::INFINITY } else { fields[6].parse().unwrap() };
        features.entry(fields[2]).or_default().push((below, fields[4], fields[7].parse().unwrap()));
    }
    let expected = of_sample("sesame_standard_thick_expected.csv");
    let mut rows = expected.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let names = rows.next().unwrap();
    let at = |name: &str| names.iter().position(|n| *n == name);
    let mut compared = 0;
    for row in rows {
        let mut score = 362.5;
        for (feature, bins) in &features {
            let value = row[at(feature).unwrap()];
            let none = at(&format!("{feature}__none")).is_some_and(|n| row[n] == "true");
            let missing = if none { "none" } else { "unknown" };
            let bin = match value.parse::<f64>() {
                Ok(value) => bins.iter().find(|(below, bin, _)| value < *below && bin.parse::<u8>().is_ok()),
                Err(_) => bins.iter().find(|(_, bin, _)| *bin == missing),
            };
            score += bin.unwrap().2;
        }
        let [jpmml, rounded] = ["jpmml_score", "score"].map(|n| row[at(n).unwrap()].parse::<f64>().unwrap());
        assert!((score - jpmml).abs() < 1e-9 && (score - rounded).abs() < 0.5 + 1e-9, "{score} {row:?}");
        compared += 1;
    }
    assert_eq!((compared, features.len()), (200, 40));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn exact_points_give_the_score_in_every_segment(draws in proptest::collection::vec(0_usize..1_000, 80)) {
        let model = Model::load(&standard()).unwrap();
        let whole = scorecard(&model, "EUR").unwrap();
        for (at, segment) in model.card.segment.iter().map(|s| s.get_ref().name.as_str()).enumerate() {
            let card = SegmentCard::of(&model, segment, Some("EUR")).unwrap();
            let (mut sum, mut bins) = (card.initial - i128::from(card.low) * card.denominator, Vec::new());
            for (n, feature) in whole.features.iter().enumerate() {
                let known = matches!(feature.origin, Origin::Plan(_));
                let bin = if known { draws[n % draws.len()] % (feature.unknown() + 1) } else { feature.none() };
                bins.push(u8::try_from(bin).unwrap());
                if let Some(of) = card.features.iter().find(|f| f.name == feature.name) {
                    sum += of.bins.iter().copied().chain([of.none, of.unknown]).nth(bin).unwrap();
                }
            }
            let above = Fraction { numerator: sum, denominator: card.denominator }.round_half_even().unwrap();
            prop_assert_eq!(card.low + above, i64::from(whole.score(at, &bins).unwrap()), "{}", segment);
        }
    }
}

#[test]
fn a_card_holds_what_counts_in_its_segment_in_the_currency_that_is_asked_for() {
    let work = Workdir::new();
    let own = export(&work, "small_business", "csv", &[]).expect(0);
    // Relationships weigh nothing there, so nothing is left out.
    assert!(own.out.contains(",months_with_sales_12m,"), "{}", own.out);
    assert!(!own.err.contains("left out") && own.out.contains(",base,,,350\n"), "{}", own.err);
    let other = export(&work, "consumer_thick", "csv", &[]).expect(0).says("left out").says("friends_score");
    assert!(!other.out.contains("sales_") && !other.out.contains("relationships"), "{}", other.out);
    let line = |text: &str, start: &str| text.lines().find(|l| l.contains(start)).unwrap().to_owned();
    assert!(line(&other.out, ",total_limit,").contains(",1,,500000,"));
    let euros = export(&work, "consumer_thick", "csv", &["--currency", "EUR"]).expect(0).out;
    assert!(line(&euros, ",total_limit,").contains(",1,,65000,"));
    let sql = export(&work, "consumer_thick", "sql", &["--currency", "EUR", "--table", "lake.people"]).expect(0).out;
    assert!(sql.contains("\"total_limit\" < 6.5E4") && sql.contains("FROM \"lake\".\"people\"\n"), "{sql}");
    assert!(sql.contains("minor units of EUR"));
}

#[test]
fn an_export_is_the_same_every_time_and_replaces_nothing() {
    let work = Workdir::new();
    for format in ["pmml", "csv", "sql"] {
        let file = format!("card.{format}");
        let ended = export(&work, "consumer_new", format, &["--out", &file]).expect(0).says("wrote");
        assert_eq!(ended.out, "");
        let printed = export(&work, "consumer_new", format, &[]).expect(0).out;
        assert_eq!(std::fs::read_to_string(work.path(&file)).unwrap(), printed);
        export(&work, "consumer_new", format, &["--out", &file]).expect(2).says("is there already");
    }
}

#[test]
fn mistakes_are_told() {
    let work = Workdir::new();
    export(&work, "consumer_thik", "csv", &[]).expect(2).says("did you mean `consumer_thick`").says("small_business");
    export(&work, "consumer_thick", "csv", &["--currency", "XXX"]).expect(2).says("XXX");
    export(&work, "consumer_thick", "sql", &["--table", "x; DROP TABLE y"]).expect(2).says("name a table or view");
    export(&work, "consumer_thick", "onnx", &[]).expect(2).says("pmml");
    // A model that breaks a rule is not exported.
    work.copy(&repository("pipelines"), "pipelines");
    let place = work.path("pipelines/models/standard.toml");
    let text = std::fs::read_to_string(&place).unwrap();
    std::fs::write(&place, text.replacen("{ below = 500000, share = 250 }", "{ below = 500000, share = 2500 }", 1))
        .unwrap();
    let path = place.to_str().unwrap();
    let args = ["export", path, "--segment", "consumer_thick", "--format", "csv"];
    work.sesame(args).expect(2).says("standard.toml:").says("total_limit").says("2500");
}

#[test]
fn duckdb_gives_the_scores_of_a_run_by_the_exported_sql() {
    let work = Workdir::new();
    let segments = ["small_business", "consumer_thick", "consumer_utility", "consumer_new"];
    for segment in segments {
        export(&work, segment, "sql", &["--out", &format!("{segment}.sql")]).expect(0);
    }
    let Some(python) = std::env::var_os("SESAME_PYTHON") else {
        eprintln!("SESAME_PYTHON names no Python: no other engine was asked");
        return;
    };
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let run = glob::glob(work.path("out/runs/*").to_str().unwrap()).unwrap().next().unwrap().unwrap();
    for segment in segments {
        let statement = work.path(&format!("{segment}.sql"));
        let script = repository("tests/oracle/exported.py");
        // Nothing is written beside the script.
        let mut command = Process::new(&python);
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(&run).arg(segment).arg(statement);
        work.ended(&mut command).expect(0).says(", 0 differ");
    }
}
