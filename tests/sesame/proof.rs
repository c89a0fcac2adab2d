//! What an auditor can prove a year later: every file, the ledger, the published tables; and that a run repeats itself.

use std::path::Path;

use serde_json::Value;

use crate::exports::read;
use crate::workdir::{CORPUS, Ended, Workdir, repository};

const KEY: &str = "a key of the tests, not of anyone";

/// A keyed output with three runs of the sample.
fn keyed() -> Workdir {
    let work = Workdir::new();
    for as_of in ["2025-08-31", "2025-09-30", "2025-10-31"] {
        keyed_run(&work, as_of).expect(0);
    }
    work
}

fn keyed_run(work: &Workdir, as_of: &str) -> Ended {
    let more = ["--as-of", as_of, "--set", "privacy.ledger_key=\"env:SESAME_TEST_KEY\""];
    let args = work.arguments("run", &repository("data-samples/small"), "out", &more);
    work.ended(work.command(args).env("SESAME_TEST_KEY", KEY))
}

fn verify(work: &Workdir, args: &[&str]) -> Ended {
    let all = ["verify", "--output", "out"].iter().chain(args);
    work.ended(work.command(all).env("SESAME_TEST_KEY", KEY))
}

fn flip(path: &Path) {
    flip_at(path, std::fs::metadata(path).unwrap().len() as usize / 2);
}

fn flip_at(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    // A new file: other names of the old one keep its bytes.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_not_touched_holds_and_a_replay_gives_the_same_bytes() {
    let work = keyed();
    verify(&work, &["--all"]).expect(0).says("6 line(s) hold, keyed").says("everything holds");
    verify(&work, &["latest", "--replay"]).expect(0).says("running it again gives the same bytes");
    let run = work.path("out/runs").read_dir().unwrap().next().unwrap().unwrap().path();
    verify(&work, &[run.to_str().unwrap()]).expect(0).says("everything holds");
    for none in ["", "..", "/"] {
        verify(&work, &[none]).expect(2);
    }
    // A page may be written anywhere but where runs write.
    let table = work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet");
    let id = run.file_name().unwrap().to_str().unwrap();
    work.sesame(["report", id, "--output", "out", "--out", table.to_str().unwrap()]).expect(2).says("output folder");
    work.sesame(["report", id, "--output", "out", "--out", "page.html"]).expect(0);
    verify(&work, &["--all"]).expect(0);
}

#[test]
fn one_flipped_byte_in_any_output_is_found_and_named() {
    let work = keyed();
    let run = work.path("out/runs").read_dir().unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let manifest: Value = serde_json::from_slice(&std::fs::read(run.join("manifest.json")).unwrap()).unwrap();
    let mut names: Vec<String> =
        manifest["subject"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
    assert!(names.len() > 15 && names.contains(&"audit.json".to_owned()));
    names.push("manifest.json".to_owned());
    for name in names {
        let path = run.join(&name);
        let before = std::fs::read(&path).unwrap();
        flip(&path);
        for args in [&["latest"][..], &["--all"]] {
            verify(&work, args).expect(1).says(&name);
        }
        std::fs::write(&path, before).unwrap();
    }
    let table = work.path("out/scores/as_of=2025-08-31/model=standard-1/scores.parquet");
    flip(&table);
    verify(&work, &["--all"]).expect(1).says("as_of=2025-08-31").says("was changed after it was published");
    std::fs::remove_file(&table).unwrap();
    verify(&work, &["--all"]).expect(1).says("is missing");
}

#[test]
fn an_output_folder_of_an_older_version_is_proven_and_carried_on() {
    let work = Workdir::new();
    // Two keyed runs of commit b9e38e2 over tests/files/fuzz.
    let packed = repository("tests/files/output_of_b9e38e2.tar.gz").display().to_string();
    let unpacked = std::process::Command::new("tar").args(["xzf", &packed]).current_dir(work.path(".")).status();
    assert!(unpacked.unwrap().success());
    verify(&work, &["--all"]).expect(0).says("2 line(s) hold, keyed").says("everything holds");
    let before = work.published("out");
    let mut args = vec!["run".to_owned(), repository("pipelines/nightly.toml").display().to_string()];
    for table in CORPUS {
        let path = repository("tests/files/fuzz").join(format!("{table}.parquet"));
        args.extend(["--set".into(), format!("inputs.{table}=\"{}\"", path.display())]);
    }
    for set in [
        "inputs.groups=\"\"",
        "inputs.outcomes=\"\"",
        "inputs.sales=\"\"",
        "output=\"out\"",
        "privacy.ledger_key=\"env:SESAME_TEST_KEY\"",
    ] {
        let set = set.replace("\"out\"", &format!("\"{}\"", work.path("out").display()));
        args.extend(["--set".into(), set]);
    }
    let run = |more: &[&str]| {
        let all = args.iter().map(String::as_str).chain(more.iter().copied());
        work.ended(work.command(all).env("SESAME_TEST_KEY", KEY))
    };
    // The newest date again, held against the earlier one by that version.
    let said = run(&[]).expect(0).says("published").err;
    let id = said.rsplit_once("(run ").unwrap().1.split_once(')').unwrap().0.to_owned();
    let audit = std::fs::read(work.path(&format!("out/runs/{id}/audit.json"))).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&audit).unwrap()["drift"]["previous"]["as_of"], "2025-09-30");
    verify(&work, &["--all"]).expect(0).says("4 line(s) hold, keyed");
    run(&[]).expect(0).says("nothing to do");
    assert_eq!(work.published("out").len(), before.len());
    let old =
        work.path("out/runs").read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).min().unwrap();
    let subject = read(&work.path("out/scores/as_of=2025-09-30/model=standard-1/scores.parquet"));
    let subject = arrow::array::AsArray::as_string::<i32>(subject.column(0)).value(0).to_owned();
    work.sesame(["explain", &old, &subject, "--output", "out"]).expect(0).says(&subject);
    work.sesame(["diff", &old, "latest", "--output", "out"]).expect(0).says("as of 2025-09-30");
    // One that was being published by that version is not finished: nothing announced it.
    let state = work.path("out/runs").join(&old).join("state.json");
    std::fs::write(&state, "{ \"state\": \"publishing\" }").unwrap();
    verify(&work, &["--all"]).expect(1).says("state.json does not say");
}

#[test]
fn a_kept_pipeline_is_compared_before_it_is_read() {
    let work = Workdir::new();
    keyed_run(&work, "2025-10-31").expect(0);
    let run = work.path("out/runs").read_dir().unwrap().next().unwrap().unwrap().path();
    let pipeline = run.join("configuration/pipeline.toml");
    let before = std::fs::read_to_string(&pipeline).unwrap();
    // A quote that opens a text, the name of the key's variable, a name of a setting.
    for part in ["\"CNY\"", "SESAME_TEST_KEY", "as_of"] {
        flip_at(&pipeline, before.find(part).unwrap_or_else(|| panic!("no {part} in {before}")));
        for args in [&["latest"][..], &["--all"]] {
            verify(&work, args).expect(1).says("configuration/pipeline.toml");
        }
        std::fs::write(&pipeline, &before).unwrap();
    }
    std::fs::remove_file(&pipeline).unwrap();
    verify(&work, &["--all"]).expect(1).says("configuration/pipeline.toml is missing");
}

#[test]
fn a_ledger_that_was_tampered_with_is_found_and_nothing_is_added_to_it() {
    let lines = |work: &Workdir| -> Vec<String> {
        let text = std::fs::read_to_string(work.path("out/ledger.ndjson")).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    };
    type Tamper = fn(&mut Vec<String>);
    let cases: [(Tamper, &str); 7] = [
        (|l| l[3] = l[3].replace("2025-09-30", "2025-09-29"), "line 4"),
        (|l| l[5] = l[5].replace("\"published\"", "\"refused\""), "line 6"),
        (|l| l[4] = l[4].replace("\"announced\"", "\"published\""), "line 5"),
        (|l| l.swap(1, 2), "line 2 does not follow"),
        (|l| drop(l.remove(0)), "line 1 does not follow"),
        (|l| l.truncate(4), "the last were removed"),
        (
            |l| {
                let forged = l[5].replace("2025-10-31", "2025-12-31");
                l.truncate(5);
                l.push(forged);
            },
            "line 6",
        ),
    ];
    for (tamper, says) in cases {
        let work = keyed();
        let mut all = lines(&work);
        tamper(&mut all);
        std::fs::write(work.path("out/ledger.ndjson"), all.join("\n") + "\n").unwrap();
        verify(&work, &["--all"]).expect(1).says(says);
        keyed_run(&work, "2025-07-31").expect(2).says(says).says("nothing was run");
    }
    let work = keyed();
    std::fs::remove_file(work.path("out/ledger.ndjson")).unwrap();
    verify(&work, &["--all"]).expect(1).says("the last were removed");
    std::fs::remove_file(work.path("out/ledger.head.json")).unwrap();
    verify(&work, &["--all"]).expect(1).says("the ledger does not know it");
}

#[test]
fn inputs_that_changed_are_named_and_those_that_are_gone_counted() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    work.run(&work.path("export"), "out", &[]).expect(0);
    verify(&work, &["latest"]).expect(0).says("input files as they were");
    std::fs::remove_file(work.path("export/groups.parquet")).unwrap();
    verify(&work, &["latest"]).expect(0).says("1 no longer there");
    verify(&work, &["latest", "--replay"]).expect(2).says("cannot be replayed");
    flip(&work.path("export/consents.parquet"));
    verify(&work, &["latest"]).expect(1).says("consents.parquet is not what it was");
    verify(&work, &["latest", "--outputs-only"]).expect(0).says("inputs not looked at");
}

#[test]
fn a_key_is_asked_for_and_never_shown() {
    let work = keyed();
    let all = ["verify", "--all", "--output", "out"];
    work.sesame(all).expect(2).says("SESAME_TEST_KEY is not set");
    let wrong = work.ended(work.command(all).env("SESAME_TEST_KEY", "another key, just as long"));
    wrong.expect(1).says("was not written with this key");
    let mut looked_at = 0;
    for file in glob::glob(work.path("out/**/*").to_str().unwrap()).unwrap().map(Result::unwrap).filter(|p| p.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes()), "{} holds the key", file.display());
        looked_at += 1;
    }
    assert!(looked_at > 50);
}

#[test]
fn clean_shows_first_then_removes_and_the_ledger_tells_of_it() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--set", "inputs.disputes=\"\""]).expect(0);
    work.run(&small, "out", &[]).expect(0);
    let pipeline = repository("pipelines/nightly.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path("out").display());
    let args = ["clean", &pipeline, "--set", &output, "--stages-older-than", "0", "--runs-older-than", "0"];
    let shown = work.sesame(args).expect(0).says("would be removed");
    assert_eq!(shown.out.matches("\nrun ").count() + usize::from(shown.out.starts_with("run ")), 1, "{}", shown.out);
    assert!(work.path("out/stages/subjects").read_dir().unwrap().count() == 2);
    work.sesame(args.iter().copied().chain(["--yes"])).expect(0).says("removed");
    assert_eq!(work.path("out/stages/subjects").read_dir().unwrap().count(), 0);
    assert_eq!(work.path("out/runs").read_dir().unwrap().count(), 1);
    // What is published, and the run that explains it, stay; the removal is no tampering.
    verify(&work, &["--all"]).expect(0).says("removed by `sesame clean`");
    work.run(&small, "out", &[]).expect(0).says("nothing to do");
    work.run(&small, "out", &["--fresh"]).expect(0).says("published");
}

#[test]
fn lineage_and_metrics_tell_how_a_run_ended() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    work.run(&small, "out", &["--as-of", "2025-09-30", "--set", "gates.min_scored_share=0.99"]).expect(1);
    let events = |as_of: &str| -> Vec<Value> {
        let pattern = work.path(&format!("out/runs/{as_of}-*/lineage.ndjson"));
        let path = glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap();
        std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let done = events("2025-10-31");
    let kinds: Vec<&str> = done.iter().map(|e| e["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["START", "COMPLETE"]);
    assert_eq!(done[0]["run"]["runId"], done[1]["run"]["runId"]);
    assert_eq!(done[1]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"], 1000);
    assert_eq!(done[0]["inputs"].as_array().unwrap().len(), 20);
    let failed = events("2025-09-30");
    assert!(failed[1]["run"]["facets"]["errorMessage"]["message"].as_str().unwrap().contains("min_scored_share"));
    for event in done.iter().chain(&failed) {
        crate::schema::is_open_lineage(event);
    }
    let metrics = std::fs::read_to_string(work.path("out/metrics.prom")).unwrap();
    assert!(metrics.contains("sesame_last_run_exit_code{pipeline=\"nightly\"} 1\n"), "{metrics}");
    assert!(metrics.contains("gate=\"min_scored_share\"} 0\n") && !metrics.contains("NaN"));
    work.run(&small, "out", &[]).expect(0);
    let metrics = std::fs::read_to_string(work.path("out/metrics.prom")).unwrap();
    assert!(metrics.contains("sesame_last_run_exit_code{pipeline=\"nightly\"} 0\n"), "{metrics}");
}
