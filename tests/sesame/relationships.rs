//! The relationship category through the whole program: who is neutral, who moves whom, and what is never said.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int16Type;

use crate::exports::{read, write};
use crate::workdir::{Workdir, repository};

fn small() -> std::path::PathBuf {
    repository("data-samples/small")
}

/// One column of a run's scored table, by subject.
fn points(work: &Workdir, output: &str, column: &str) -> BTreeMap<String, Option<i16>> {
    let table = read(&work.scores_path(output));
    let ids = table.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let values = table.column_by_name(column).unwrap().as_primitive::<Int16Type>().clone();
    (0..table.num_rows()).map(|r| (ids.value(r).to_owned(), values.is_valid(r).then(|| values.value(r)))).collect()
}

fn told(work: &Workdir, output: &str) -> RecordBatch {
    let pattern = work.path(output).join("runs/*/relationships.parquet");
    read(&glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap())
}

/// A folder that holds the sample, with some tables replaced.
fn copy(to: &Path, replaced: &[(&str, RecordBatch)]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(small()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let target = to.join(path.file_name().unwrap());
        match replaced.iter().find(|(table, _)| *table == name) {
            Some((_, batch)) => write(&to.join(format!("{name}.parquet")), batch),
            None => std::os::unix::fs::symlink(&path, target).unwrap(),
        }
    }
}

fn links() -> RecordBatch {
    read(&small().join("friend_links.parquet"))
}

#[test]
fn below_the_least_number_of_friends_the_category_is_neutral_and_nothing_is_said() {
    let work = Workdir::new();
    work.run(&small(), "out", &["--set", "privacy.min_cell=1"]).expect(0).says("links between");
    let relationship = told(&work, "out");
    let ids = relationship.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let with: std::collections::BTreeSet<&str> = ids.iter().flatten().collect();
    let table = read(&work.scores_path("out"));
    let short = |name: &str| table.column_by_name(name).unwrap().as_primitive::<Int16Type>().clone();
    let (score, points, most) = (short("score"), short("points_relationships"), short("max_relationships"));
    let reason = table.column_by_name("reason_relationship").unwrap().as_string::<i32>().clone();
    let ids = table.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let mut neutral = 0;
    for row in (0..table.num_rows()).filter(|r| score.is_valid(*r) && !with.contains(ids.value(*r))) {
        neutral += 1;
        assert!(reason.is_null(row));
        // 500/1200 of what the category can give, before the whole is shared out in whole points.
        let exact = f64::from(most.value(row)) * 500.0 / 1200.0;
        assert!((f64::from(points.value(row)) - exact).abs() < 1.0, "{} of {exact}", points.value(row));
    }
    let audit = work.audit("out");
    let propagation = &audit["propagation"];
    assert_eq!(propagation["neutral"].as_u64(), Some(neutral));
    assert_eq!(propagation["lift"]["subjects"].as_u64(), Some(with.len() as u64));
    assert!(neutral > 100 && with.len() > 100);
    assert!(reason.iter().flatten().count() > 50);
    let steps = relationship.column_by_name("friends").unwrap().as_string::<i32>().clone();
    assert!(steps.iter().flatten().all(|s| s.contains("fewer") || s.contains("to") || s.contains("more")));
    assert_eq!(propagation["converged"], true);
    work.run(&small(), "gated", &["--set", "gates.propagation_converged=true"])
        .expect(0)
        .says("propagation_converged passed");
}

#[test]
fn switched_off_its_weight_goes_where_the_model_says() {
    let work = Workdir::new();
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let model = work.path("off.toml");
    let off = standard
        .replace("\"../features/", &format!("\"{}/", repository("pipelines/features").display()))
        .replacen("[propagation]\nenabled = true", "[propagation]\nenabled = false", 1);
    std::fs::write(&model, off).unwrap();
    work.run(&small(), "out", &["--model", model.to_str().unwrap()]).expect(0);
    let table = read(&work.scores_path("out"));
    let segment = table.column_by_name("segment").unwrap().as_string::<i32>().clone();
    let most = |category: &str, row: usize| {
        table.column_by_name(&format!("max_{category}")).unwrap().as_primitive::<Int16Type>().clone().value(row)
    };
    let scored = table.column_by_name("score").unwrap().clone();
    let row = (0..table.num_rows()).find(|r| segment.value(*r) == "consumer_thick" && scored.is_valid(*r)).unwrap();
    // 5 % of 600 are 30 points: 35, 25, 20 and 20 % of them go to the others.
    let maxima =
        ["credit_history", "fulfilment_capacity", "behaviour_preference", "personal_characteristics", "relationships"];
    let found: Vec<i16> = maxima.iter().map(|c| most(c, row)).collect();
    assert_eq!(found.iter().sum::<i16>(), 600);
    for (found, exact) in found.iter().zip([220.5, 157.5, 126.0, 96.0, 0.0]) {
        assert!((f64::from(*found) - exact).abs() < 1.0, "{found} for {exact}");
    }
    let audit = work.audit("out");
    assert!(audit["propagation"].is_null());
    assert_eq!(audit["conservation"]["friend_links"]["dropped_because"]["category_off"], 5325);
    assert_eq!(audit["conservation"]["friend_links"]["dropped"], 5325);
}

#[test]
fn a_thousand_fakes_without_records_move_nobody() {
    let work = Workdir::new();
    work.run(&small(), "before", &[]).expect(0);
    let subjects = read(&small().join("subjects.parquet"));
    let (links, fakes) = (links(), 1_000);
    let target = told(&work, "before").column_by_name("subject_id").unwrap().as_string::<i32>().value(0).to_owned();
    let ids: Vec<String> = (0..fakes).map(|n| format!("fake{n:016}")).collect();
    // The fakes claim the best of profiles and old, busy ties.
    let mut rows = Vec::new();
    for (field, column) in subjects.schema().fields().iter().zip(subjects.columns()) {
        rows.push(match field.name().as_str() {
            "subject_id" => Arc::new(StringArray::from(ids.clone())) as ArrayRef,
            _ => arrow::compute::take(column, &arrow::array::UInt32Array::from(vec![0; fakes]), None).unwrap(),
        });
    }
    let fake_subjects = RecordBatch::try_new(subjects.schema(), rows).unwrap();
    let mut rows = Vec::new();
    for (field, column) in links.schema().fields().iter().zip(links.columns()) {
        rows.push(match field.name().as_str() {
            "subject_a" => Arc::new(StringArray::from(vec![target.as_str(); fakes])) as ArrayRef,
            "subject_b" => Arc::new(StringArray::from(ids.clone())) as ArrayRef,
            _ => arrow::compute::take(column, &arrow::array::UInt32Array::from(vec![0; fakes]), None).unwrap(),
        });
    }
    let fake_links = RecordBatch::try_new(links.schema(), rows).unwrap();
    copy(
        &work.path("attacked"),
        &[
            ("subjects", concat_batches(&subjects.schema(), [&subjects, &fake_subjects]).unwrap()),
            ("friend_links", concat_batches(&links.schema(), [&links, &fake_links]).unwrap()),
        ],
    );
    let consents = format!("consent_statement=\"{}\"", "a test");
    let set = ["--set", "inputs.consents=\"\"", "--set", &consents, "--set", "gates.min_scored_share=0.0"];
    work.run(&small(), "honest", &set).expect(0);
    work.run(&work.path("attacked"), "attacked-out", &set).expect(0);
    for column in ["score", "points_relationships"] {
        let (before, mut after) = (points(&work, "honest", column), points(&work, "attacked-out", column));
        after.retain(|id, _| !id.starts_with("fake"));
        assert_eq!(after, before, "{column}");
    }
    let dropped = &work.audit("attacked-out")["conservation"]["friend_links"]["dropped_because"];
    assert!(dropped["not_counted"].as_u64().unwrap() >= 1_000, "{dropped}");
}

/// Every id of the sample as an integer of the same order.
fn numbered(to: &Path) {
    let subjects = read(&small().join("subjects.parquet"));
    let ids = subjects.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let mut sorted: Vec<&str> = ids.iter().flatten().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let number = |id: Option<&str>| {
        let id = id?;
        Some(
            sorted
                .binary_search(&id)
                .map_or(1_000_000 + i64::try_from(id.len()).unwrap(), |n| 7 * i64::try_from(n).unwrap() - 900),
        )
    };
    for file in glob::glob(small().join("**/*.parquet").to_str().unwrap()).unwrap() {
        let file = file.unwrap();
        let batch = read(&file);
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let column = match field.name().as_str() {
                "subject_id" | "subject_a" | "subject_b" => {
                    Arc::new(column.as_string::<i32>().iter().map(number).collect::<Int64Array>()) as ArrayRef
                }
                _ => column.clone(),
            };
            (field.name().clone(), column, true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
        write(&to.join(file.strip_prefix(small()).unwrap()), &batch);
    }
}

#[test]
fn ids_as_text_or_as_integers_give_the_same_scores() {
    let work = Workdir::new();
    numbered(&work.path("numbered"));
    work.run(&small(), "text", &[]).expect(0);
    work.run(&work.path("numbered"), "integers", &[]).expect(0);
    let (text, integers) = (read(&work.scores_path("text")), read(&work.scores_path("integers")));
    assert_eq!(text.num_rows(), integers.num_rows());
    for (field, column) in text.schema().fields().iter().zip(text.columns()).skip(1) {
        assert_eq!(column, integers.column_by_name(field.name()).unwrap(), "{}", field.name());
    }
    let both = |output: &str| work.audit(output)["propagation"].clone();
    assert_eq!(both("text"), both("integers"));
}

#[test]
fn links_given_twice_in_either_direction_change_no_byte() {
    let work = Workdir::new();
    let links = links();
    let swapped: Vec<ArrayRef> = links
        .schema()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "subject_a" => links.column_by_name("subject_b").unwrap().clone(),
            "subject_b" => links.column_by_name("subject_a").unwrap().clone(),
            name => links.column_by_name(name).unwrap().clone(),
        })
        .collect();
    let swapped = RecordBatch::try_new(links.schema(), swapped).unwrap();
    copy(&work.path("twice"), &[("friend_links", concat_batches(&links.schema(), [&swapped, &links]).unwrap())]);
    work.run(&small(), "once", &[]).expect(0);
    work.run(&work.path("twice"), "twice-out", &[]).expect(0);
    assert!(work.scores("once") == work.scores("twice-out"));
    let count = |output: &str, class: &str| work.audit(output)["conservation"]["friend_links"][class].as_u64().unwrap();
    assert_eq!(count("twice-out", "used"), count("once", "used"));
    // A relation that is too young is one whoever tells it, and however often.
    let young = work.audit("once")["conservation"]["friend_links"]["dropped_because"]["too_young"].as_u64().unwrap();
    assert_eq!(count("twice-out", "merged"), 2 * count("once", "merged") + count("once", "used") + young);
}
