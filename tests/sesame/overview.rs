//! `sesame runs`, and the ways to name a run.

use serde_json::Value;

use crate::workdir::{Workdir, repository};

/// An output with a replaced, a published and a refused run of two dates, and one that failed before any work.
fn several() -> Workdir {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let lax =
        ["--set", "gates.max_age_days=9999", "--set", "gates.min_scored_share=0.0", "--set", "gates.max_psi=99.0"];
    let run = |more: &[&str]| work.run(&small, "out", &[&lax, more].concat());
    run(&["--as-of", "2025-09-30"]).expect(0);
    run(&["--as-of", "2025-10-31"]).expect(0);
    run(&["--as-of", "2025-10-31", "--fresh"]).expect(0);
    work.run(&small, "out", &["--as-of", "2025-10-31", "--set", "gates.min_scored_share=0.999"]).expect(1);
    run(&["--as-of", "2025-10-31", "--set", "inputs.repayments=\"nowhere/*.parquet\""]).expect(2);
    work
}

/// The runs as JSON.
fn listed(work: &Workdir) -> Vec<Value> {
    let list = work.sesame(["runs", "--output", "out", "--format", "json"]).expect(0);
    serde_json::from_str(&list.out).unwrap()
}

#[test]
fn runs_are_listed_with_how_they_ended_and_why() {
    let work = several();
    let list = |more: &[&str]| work.sesame([&["runs", "--output", "out"], more].concat()).expect(0);
    let all = listed(&work);
    let states: Vec<&str> = all.iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["published", "replaced", "published", "refused", "failed"]);
    assert_eq!(all[0]["as_of"], "2025-09-30");
    assert!(all[1]["psi"].as_f64().unwrap() >= 0.0 && all[1]["auc"].as_f64().unwrap() > 0.5);
    assert!(all[3]["because"].as_str().unwrap().contains("min_scored_share"));
    assert!(all[4]["because"].as_str().unwrap().contains("nowhere/*.parquet") && all[4]["scored"].is_null());
    let text = list(&[]);
    for run in &all {
        assert!(text.out.contains(run["run"].as_str().unwrap()));
    }
    text.says("min_scored_share").says("nowhere/*.parquet");
    let last = list(&["--last", "--format", "json"]);
    let last: Vec<Value> = serde_json::from_str(&last.out).unwrap();
    assert_eq!(last, all[4..]);
    list(&["--why"]).says("gate max_psi passed").says("gate min_scored_share failed");
    work.sesame(["runs", "--output", "nowhere"]).expect(2).says("there is no folder nowhere");
    std::fs::create_dir(work.path("empty")).unwrap();
    work.sesame(["runs", "--output", "empty"]).expect(0).says("no run is in empty yet");
}

#[test]
fn a_run_is_named_by_date_beginning_latest_or_last() {
    let work = several();
    let all = listed(&work);
    let id = |n: usize| all[n]["run"].as_str().unwrap();
    let named = |name: &str| {
        let page = work.path("page.html");
        work.sesame(["report", name, "--output", "out", "--out", page.to_str().unwrap()]).expect(0);
        let page = std::fs::read_to_string(page).unwrap();
        (0..4).find(|n| page.contains(&format!("run <code>{}</code>. Counts", id(*n))))
    };
    for (name, run) in
        [("2025-09-30", 0), ("2025-10-31", 2), ("latest", 2), ("last", 3), (id(3), 3), (&id(0)[..id(0).len() - 4], 0)]
    {
        assert_eq!(named(name), Some(run), "{name}");
    }
    let report = |name: &str| work.sesame(["report", name, "--output", "out"]).expect(2);
    report("2025-10").says("can be any of").says(id(2)).says(id(3));
    report("2025-08-31").says("nothing is published as of 2025-08-31").says("there is 2025-09-30");
    report("nothing").says("there is no run nothing");
    report(id(4)).says("has no result");
}
