//! Why a score is what it is: against the table and the model file, subject by subject.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int16Type;
use sesame::explain::explanation::explain;
use sesame::explain::parts::{Explanation, FeatureLine};
use sesame::runs::kept::KeptRun;
use sesame::runs::named::find;

use crate::exports::{Export, read, repayments, subjects};
use crate::workdir::{Workdir, repository};

/// Ids and scores of a published table.
fn table(work: &Workdir, output: &str) -> Vec<(String, Option<i64>)> {
    let table: RecordBatch = read(&work.scores_path(output));
    let ids = table.column(0).as_string::<i32>().clone();
    let scores = table.column_by_name("score").unwrap().as_primitive::<Int16Type>().clone();
    let score = |n: usize| scores.is_valid(n).then(|| i64::from(scores.value(n)));
    (0..table.num_rows()).map(|n| (ids.value(n).to_owned(), score(n))).collect()
}

fn latest(output: &Path) -> KeptRun {
    KeptRun::open(find("latest", output).unwrap()).unwrap()
}

/// The points and the lowest score make the score; features make their category; a better bin gives what it says.
fn adds_up(run: &KeptRun, explanation: &Explanation, score: i64) {
    let card = &run.card;
    let it = explanation.scored.as_ref().unwrap();
    let points: i64 = it.categories.iter().map(|c| c.points).sum();
    let before = it.policy.as_ref().map_or(score, |p| p.before);
    assert_eq!((it.score, explanation.low + points), (score, before), "{}", explanation.subject);
    let segment = run.model.card.segment.iter().position(|s| s.get_ref().name == explanation.segment).unwrap();
    let lines: BTreeMap<&str, &FeatureLine> =
        it.categories.iter().flat_map(|c| &c.features).map(|f| (f.feature.as_str(), f)).collect();
    // The bins of the features, and of relationships, which are not kept, that of few friends.
    let bin = |f: &sesame::scorecard::card::CardFeature| -> u8 {
        let label = lines.get(f.name.as_str()).map_or_else(|| f.label(f.none()), |l| l.bin.clone());
        u8::try_from((0..f.shares.len()).find(|b| f.label(*b) == label).unwrap()).unwrap()
    };
    let bins: Vec<u8> = card.features.iter().map(bin).collect();
    let now = i64::from(card.score(segment, &bins).unwrap());
    for category in it.categories.iter().filter(|c| !c.features.is_empty()) {
        assert_eq!(category.features.iter().map(|f| f.points).sum::<i64>(), category.points, "{}", category.category);
    }
    for (n, feature) in card.features.iter().enumerate() {
        let Some(next) = lines.get(feature.name.as_str()).and_then(|l| l.next.as_ref()) else { continue };
        let mut moved = bins.clone();
        let better = (0..feature.shares.len()).find(|b| feature.label(*b) == next.bin).unwrap();
        moved[n] = u8::try_from(better).unwrap();
        let gained = (i64::from(card.score(segment, &moved).unwrap()) - now) as f64;
        assert!(next.points > 0.0 && (gained - next.points).abs() <= 1.0, "{} {next:?} gained {gained}", feature.name);
    }
}

#[test]
fn every_score_of_the_sample_adds_up_and_a_better_bin_gives_what_it_says() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let run = latest(&work.path("out"));
    let rows = table(&work, "out");
    assert_eq!(rows.len(), 1_000);
    let mut overridden = 0;
    for (id, score) in &rows {
        let explanation = explain(&run, id).unwrap();
        match score {
            None => assert!(explanation.scored.is_none() && explanation.reasons.len() == 1, "{id}"),
            Some(score) => {
                adds_up(&run, &explanation, *score);
                overridden += usize::from(explanation.scored.unwrap().policy.is_some());
            }
        }
    }
    assert!(overridden > 0, "the sample has subjects on the court defaulter list");
}

/// `cargo test --release -- --ignored ten_thousand`
#[test]
#[ignore = "takes a minute"]
fn ten_thousand_generated_scores_add_up() {
    let work = Workdir::new();
    work.sesame(["generate", "export", "--subjects", "10000", "--seed", "11", "--months", "12"]).expect(0);
    work.run(&work.path("export"), "out", &[]).expect(0);
    let run = latest(&work.path("out"));
    for (id, score) in table(&work, "out") {
        let explanation = explain(&run, &id).unwrap();
        if let Some(score) = score {
            adds_up(&run, &explanation, score);
        }
    }
}

#[test]
fn the_program_says_it_in_four_forms_and_two_languages() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let rows = table(&work, "out");
    let (id, score) = rows.iter().filter_map(|(id, s)| Some((id, (*s)?))).min_by_key(|r| r.1).unwrap();
    let say = |more: &[&str]| {
        let args = ["explain", "latest", id, "--output", "out"];
        work.sesame(args.iter().chain(more)).expect(0).out
    };
    let text = say(&[]);
    let sum = text.lines().find(|l| l.starts_with("sum")).unwrap();
    let policy = text.lines().find(|l| l.starts_with("P01 ")).unwrap();
    assert!(text.contains(&format!("score      {score} of 350 to 950: poor")), "{text}");
    assert!(sum.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() > score, "{sum}");
    assert!(policy.contains(&score.to_string()), "{policy}");
    assert!(text.contains("records that count against the subject") && text.contains("public_records"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&say(&["--format", "json"])).unwrap();
    assert_eq!(json["scored"]["score"], score);
    assert_eq!(json["reasons"][0]["code"], "P01");
    let page = say(&["--format", "html"]);
    assert!(page.contains("<!doctype html>") && page.contains("How it adds up") && !page.contains("http://"), "{page}");
    let (english, chinese) = (say(&["--format", "notice"]), say(&["--format", "notice", "--language", "zh"]));
    assert!(
        english.contains(&format!("is {score} on a scale of 350 to 950: poor")) && english.contains("1. "),
        "{english}"
    );
    assert!(chinese.contains(&format!("信用评分为{score}分")) && chinese.contains("较差"), "{chinese}");
    assert!(!english.contains('{') && !chinese.contains('{'));
    work.sesame(["explain", "latest", id, "--output", "out", "--format", "notice", "--language", "fr"])
        .expect(2)
        .says("there are en, zh");
    work.sesame(["explain", "latest", "nobody", "--output", "out"]).expect(2).says("has no subject nobody");
    let unscored = &rows.iter().find(|r| r.1.is_none()).unwrap().0;
    let args = ["explain", "latest", unscored, "--output", "out"];
    work.sesame(args).expect(0).says("score      none");
    work.sesame(args.iter().chain(&["--format", "notice"])).expect(0).says("There is no score for you");
    work.sesame(args.iter().chain(&["--format", "html"])).expect(0).says("Why this score");
}

#[test]
fn subjects_are_found_by_integers_as_well() {
    let work = Workdir::new();
    let ids: Vec<i64> = (0..40).map(|n| 7 * n - 100).collect();
    let integers = |export: Export, of: &[i64]| export.without("subject_id").long("subject_id", of.iter().copied());
    std::fs::create_dir(work.path("export")).unwrap();
    let some = subjects();
    let rows = some.batch().num_rows();
    integers(some, &ids[..rows]).write(&work.path("export/subjects.parquet"));
    let bills = repayments();
    let of: Vec<i64> = (0..bills.batch().num_rows()).map(|n| ids[n % rows]).collect();
    integers(bills, &of).write(&work.path("export/repayments.parquet"));
    work.run_small(&work.path("export"), "out", &[]).expect(0);
    let explain = |id: &str| work.sesame(["explain", "latest", id, "--output", "out"]);
    explain("-100").expect(0).says("subject    -100");
    explain("12345").expect(2).says("has no subject 12345");
    explain("abc").expect(2).says("subject ids are integers");
}

#[test]
fn a_table_that_does_not_fit_its_features_is_not_explained() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let run = latest(&work.path("out"));
    let (id, _) = table(&work, "out").into_iter().find(|r| r.1.is_some()).unwrap();
    // Another model's weights: the points no longer follow from the features.
    let path = run.run.path(&run.manifest.parameters().model_file);
    let text = std::fs::read_to_string(&path).unwrap().replace("low = 350", "low = 300");
    std::fs::write(&path, text).unwrap();
    work.sesame(["explain", "latest", &id, "--output", "out"]).expect(2).says("defect: the features of");
}
