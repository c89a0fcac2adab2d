//! Small businesses: what they sell counts for them, and for nobody else.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int16Type;

use crate::exports::read;
use crate::workdir::{Workdir, repository};

/// By subject: whether it is a small business, and its score.
fn scores(work: &Workdir, output: &str) -> BTreeMap<String, (bool, Option<i16>)> {
    let table = read(&work.scores_path(output));
    let text = |name: &str| {
        arrow::compute::cast(table.column_by_name(name).unwrap(), &arrow::datatypes::DataType::Utf8).unwrap()
    };
    let (ids, segments) = (text("subject_id"), text("segment"));
    let (ids, segments) = (ids.as_string::<i32>(), segments.as_string::<i32>());
    let found = table.column_by_name("score").unwrap().as_primitive::<Int16Type>();
    (0..table.num_rows())
        .map(|row| {
            let score = found.is_valid(row).then(|| found.value(row));
            (ids.value(row).to_owned(), (segments.value(row) == "small_business", score))
        })
        .collect()
}

/// The standard model with something replaced.
fn model(work: &Workdir, from: &str, to: &str) -> String {
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    assert!(standard.contains(from), "{from}");
    let features = format!("\"{}/", repository("pipelines/features").display());
    let path = work.path("model.toml");
    std::fs::write(&path, standard.replacen(from, to, 1).replace("\"../features/", &features)).unwrap();
    path.display().to_string()
}

#[test]
fn sales_move_small_businesses_and_no_consumer() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    // Friends' scores would carry what a business sells to those it is tied to.
    let alone = model(&work, "[propagation]\nenabled = true", "[propagation]\nenabled = false");
    work.run(&small, "with", &["--model", &alone]).expect(0);
    work.run(&small, "without", &["--model", &alone, "--set", "inputs.sales=\"\""]).expect(0);
    let (with, without) = (scores(&work, "with"), scores(&work, "without"));
    let moved = |business: bool| {
        with.iter().filter(|(id, (kind, score))| *kind == business && without[*id].1 != *score).count()
    };
    assert_eq!((moved(true) > 20, moved(false)), (true, 0));
}

#[test]
fn the_points_of_a_business_are_explained_by_what_it_sells() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let all = scores(&work, "out");
    let explained = |business: bool| {
        let (id, _) = all.iter().find(|(_, (kind, score))| *kind == business && score.is_some()).unwrap();
        work.sesame(["explain", "latest", id, "--output", "out"]).expect(0).out
    };
    let (business, consumer) = (explained(true), explained(false));
    for feature in ["turnover_trend_12m", "buyers_rating_12m", "complaints_over_orders_12m"] {
        assert!(business.contains(feature) && !consumer.contains(feature), "{feature}\n{business}\n{consumer}");
    }
    let of_audit = work.feature("out", "turnover_trend_12m");
    assert_eq!(of_audit["segments"], serde_json::json!(["small_business"]));
}

#[test]
fn a_segment_that_a_feature_mistypes_is_told_with_its_line() {
    let work = Workdir::new();
    let wrong = model(
        &work,
        "segments = [\"small_business\"]",
        "segments = [\"small_busines\", \"small_business\", \"small_business\"]",
    );
    let args =
        ["check", &repository("pipelines/nightly.toml").display().to_string(), "--model", &wrong].map(str::to_owned);
    work.sesame(args)
        .expect(2)
        .says("`small_busines` is no segment, did you mean `small_business`")
        .says("stands twice")
        .says("model.toml:");
    let none = model(&work, "segments = [\"small_business\"]", "segments = []");
    let args =
        ["check", &repository("pipelines/nightly.toml").display().to_string(), "--model", &none].map(str::to_owned);
    work.sesame(args).expect(2).says("counts in no segment");
}
