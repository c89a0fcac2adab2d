//! The output folder as ground that others walk on: what they plant, take away or change there is found and never published.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::exports::read;
use crate::workdir::{Ended, Workdir, repository};

const KEY: &str = "a key of the tests, not of anyone";

fn keyed(work: &Workdir, output: &str, more: &[&str]) -> Ended {
    let key = ["--set", "privacy.ledger_key=\"env:SESAME_TEST_KEY\""];
    let args = work.arguments("run", &repository("data-samples/small"), output, &[more, &key].concat());
    work.ended(work.command(args).env("SESAME_TEST_KEY", KEY))
}

fn verify(work: &Workdir, output: &str) -> Ended {
    work.ended(work.command(["verify", "--all", "--output", output]).env("SESAME_TEST_KEY", KEY))
}

fn clean(work: &Workdir, output: &str) -> Ended {
    let pipeline = repository("pipelines/nightly.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path(output).display());
    work.sesame(["clean", &pipeline, "--set", &output, "--runs-older-than", "0", "--yes"])
}

fn one(work: &Workdir, pattern: &str) -> PathBuf {
    let mut found = glob::glob(work.path(pattern).to_str().unwrap()).unwrap();
    found.next().unwrap_or_else(|| panic!("nothing is {pattern}")).unwrap()
}

#[test]
fn a_planted_run_is_never_published_whatever_its_state_says() {
    let work = Workdir::new();
    keyed(&work, "out", &["--as-of", "2025-09-30"]).expect(0);
    let before = work.published("out");
    // A folder that was made elsewhere, with a state as older versions left it in the middle of a publication.
    keyed(&work, "forged", &["--set", "inputs.disputes=\"\""]).expect(0);
    let forged = one(&work, "forged/runs/*");
    let name = forged.file_name().unwrap().to_str().unwrap().to_owned();
    let ledger = std::fs::read_to_string(work.path("forged/ledger.ndjson")).unwrap();
    let mut entry: Value = serde_json::from_str(ledger.lines().last().unwrap()).unwrap();
    for table in [entry["table"].as_str().unwrap().to_owned(), "../outside.parquet".to_owned()] {
        let planted = work.path("out/runs").join(&name);
        let _ = std::fs::remove_dir_all(&planted);
        work.copy(&forged, &format!("out/runs/{name}"));
        entry["table"] = Value::from(table);
        let state = serde_json::json!({ "state": "publishing", "entry": entry });
        std::fs::write(planted.join("state.json"), state.to_string()).unwrap();
        std::fs::write(work.path("outside.parquet"), "mine").unwrap();
        keyed(&work, "out", &["--as-of", "2025-09-30"]).expect(0).says("the ledger does not know the run");
        assert!(work.published("out") == before);
        assert_eq!(std::fs::read_to_string(work.path("outside.parquet")).unwrap(), "mine");
        verify(&work, "out").expect(1).says("the ledger does not know it");
    }
}

#[test]
fn publishing_again_what_was_cleaned_reaches_the_ledger() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let (a, b): (&[&str], &[&str]) = (&[], &["--set", "inputs.disputes=\"\""]);
    work.run(&small, "out", a).expect(0);
    let first = work.scores("out");
    work.run(&small, "out", b).expect(0);
    clean(&work, "out").expect(0).says("removed");
    work.run(&small, "out", a).expect(0).says("published");
    assert!(work.scores("out") == first);
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
    work.run(&small, "out", a).expect(0).says("nothing to do");
}

#[test]
fn a_removal_that_was_killed_is_ended_by_the_next_run() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let run = one(&work, "out/runs/*");
    work.run(&small, "out", &["--set", "inputs.disputes=\"\""]).expect(0);
    let pipeline = repository("pipelines/nightly.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path("out").display());
    let mut command = work.command(["clean", &pipeline, "--set", &output, "--runs-older-than", "0", "--yes"]);
    let killed = command.env("SESAME_KILL_AT", "removal noted").stdout(Stdio::null()).stderr(Stdio::null());
    assert!(killed.status().unwrap().code().is_none() && run.exists());
    work.sesame(["verify", "--all", "--output", "out"]).expect(0).says("is being removed");
    work.run(&small, "out", &[]).expect(0).says("published");
    assert!(!run.exists());
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}

#[test]
fn files_that_nothing_tells_of_are_named() {
    let work = Workdir::new();
    keyed(&work, "out", &[]).expect(0);
    verify(&work, "out").expect(0);
    let table = one(&work, "out/scores/*/*");
    let run = one(&work, "out/runs/*");
    let stage = one(&work, "out/stages/ties/*");
    let places = [
        (table.join("more.parquet"), "more.parquet is published, and the ledger does not know it"),
        (table.join("notes.txt"), "notes.txt is there, and nothing tells of it"),
        (run.join("more.json"), "more.json is there, and nothing tells of it"),
        (run.join("features/more.parquet"), "features/more.parquet is there"),
        (stage.join("more.parquet"), "more.parquet is there, and nothing tells of it"),
        (work.path("out/stages/ties/more"), "stages/ties/more is there"),
        (work.path("out/runs/more"), "runs/more is there"),
    ];
    for (path, says) in places {
        std::fs::write(&path, "x").unwrap();
        verify(&work, "out").expect(1).says(says);
        std::fs::remove_file(path).unwrap();
    }
    std::fs::create_dir(work.path("out/runs/planted")).unwrap();
    std::fs::write(work.path("out/runs/planted/x"), "x").unwrap();
    verify(&work, "out").expect(1).says("planted");
}

#[test]
fn state_lineage_and_manifest_are_part_of_the_proof() {
    let work = Workdir::new();
    keyed(&work, "out", &[]).expect(0);
    let run = one(&work, "out/runs/*");
    let id = run.file_name().unwrap().to_str().unwrap().to_owned();
    type Change = fn(&str) -> String;
    let changes: [(&str, Change, &str); 3] = [
        ("state.json", |text| text.replace("published", "refused"), "state.json does not say what the ledger says"),
        ("lineage.ndjson", |text| text.replace("COMPLETE", "FAIL"), "lineage.ndjson was changed"),
        ("lineage.ndjson", |text| text.replacen("\"size\":", "\"size\":1", 1), "lineage.ndjson was changed"),
    ];
    for (name, change, says) in changes {
        let before = std::fs::read_to_string(run.join(name)).unwrap();
        std::fs::write(run.join(name), change(&before)).unwrap();
        verify(&work, "out").expect(1).says(says);
        std::fs::write(run.join(name), before).unwrap();
    }
    verify(&work, "out").expect(0);
    std::fs::remove_file(run.join("manifest.json")).unwrap();
    for args in [
        &["verify", "--all", "--output", "out"][..],
        &["verify", id.as_str(), "--output", "out", "--ledger-key", "env:SESAME_TEST_KEY"],
    ] {
        work.ended(work.command(args).env("SESAME_TEST_KEY", KEY)).expect(1).says("manifest.json is missing");
    }
    let json = work
        .ended(work.command(["verify", "--all", "--output", "out", "--format", "json"]).env("SESAME_TEST_KEY", KEY));
    let json: Value = serde_json::from_str(&json.expect(1).out).unwrap();
    assert!(json["holds"] == false && json["mismatch"].as_str().unwrap().contains("manifest.json is missing"));
}

#[test]
fn a_stage_that_was_edited_with_its_hash_is_made_again_when_there_is_a_key() {
    let work = Workdir::new();
    keyed(&work, "out", &[]).expect(0);
    let expected = work.published("out");
    let label = one(&work, "out/stages/subjects/*/stage.json");
    let folder = label.parent().unwrap();
    // Everyone's consents become those of the first block written again with another content: swapped for a file of equal form.
    let other = one(&work, "out/stages/outcomes/*/outcomes.parquet");
    std::fs::copy(other, folder.join("own.parquet")).unwrap();
    let hash = blake3::hash(&std::fs::read(folder.join("own.parquet")).unwrap()).to_hex().to_string();
    let mut said: Value = serde_json::from_slice(&std::fs::read(&label).unwrap()).unwrap();
    said["files"]["own.parquet"] = Value::from(hash);
    std::fs::write(&label, serde_json::to_string_pretty(&said).unwrap()).unwrap();
    std::fs::remove_dir_all(work.path("out/scores")).unwrap();
    keyed(&work, "out", &[]).expect(0).says("the stage subjects of 2025-10-31 is damaged; it is made again");
    assert!(work.published("out") == expected);
}

#[test]
fn a_ledger_that_is_gone_is_not_begun_anew() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    for name in ["ledger.ndjson", "ledger.head.json"] {
        std::fs::rename(work.path(&format!("out/{name}")), work.path(name)).unwrap();
    }
    work.run(&small, "out", &["--fresh"]).expect(2).says("the ledger is missing").says("nothing was run");
    for name in ["ledger.ndjson", "ledger.head.json"] {
        std::fs::rename(work.path(name), work.path(&format!("out/{name}"))).unwrap();
    }
    work.run(&small, "out", &["--fresh"]).expect(0);
}

#[test]
fn what_is_written_is_for_its_user_or_its_group() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    for (mode, file, folder) in [("owner", 0o600, 0o700), ("group", 0o640, 0o750)] {
        let set = format!("output_mode=\"{mode}\"");
        work.run(&small, mode, &["--set", &set]).expect(0);
        work.run(&small, mode, &["--set", &set]).expect(0).says("nothing to do");
        let mut seen = 0;
        for path in glob::glob(work.path(&format!("{mode}/**/*")).to_str().unwrap()).unwrap().map(Result::unwrap) {
            let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let file = if path.ends_with(".lock") { 0o600 } else { file };
            assert_eq!(found, if path.is_dir() { folder } else { file }, "{}", path.display());
            seen += 1;
        }
        assert!(seen > 60);
    }
}

#[test]
fn the_ties_that_are_kept_do_not_tell_whose_friends_are_whose() {
    let work = Workdir::new();
    keyed(&work, "out", &[]).expect(0);
    let ties = read(&one(&work, "out/stages/ties/*/ties.parquet"));
    let ends = |name: &str| -> Vec<u32> {
        use arrow::array::AsArray;
        ties.column_by_name(name).unwrap().as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec()
    };
    let kept: std::collections::BTreeSet<(u32, u32)> =
        ends("a").into_iter().zip(ends("b")).map(|(a, b)| (a.min(b), a.max(b))).collect();
    // The links of the export by the places of their ends in the table.
    let text = |path: &Path, name: &str| -> Vec<String> {
        use arrow::array::AsArray;
        let column =
            arrow::compute::cast(read(path).column_by_name(name).unwrap(), &arrow::datatypes::DataType::Utf8).unwrap();
        column.as_string::<i32>().iter().map(|v| v.unwrap().to_owned()).collect()
    };
    let ids = text(&work.scores_path("out"), "subject_id");
    let links = repository("data-samples/small/friend_links.parquet");
    let place = |id: &String| ids.binary_search(id).ok().and_then(|at| u32::try_from(at).ok());
    let pairs = text(&links, "subject_a").into_iter().zip(text(&links, "subject_b"));
    let true_pairs = pairs
        .filter_map(|(a, b)| Some((place(&a)?, place(&b)?)))
        .filter(|(a, b)| kept.contains(&(*a.min(b), *a.max(b))));
    let told = true_pairs.count();
    assert!(kept.len() > 1_000 && told * 10 < kept.len(), "{told} of {} ties are told by their rows", kept.len());
}

/// Writes a ledger without a key anew, so that every hash in it holds.
fn forge(work: &Workdir, change: impl Fn(&mut Value)) {
    let hash = |line: &str| blake3::hash(line.as_bytes()).to_hex().to_string();
    let text = std::fs::read_to_string(work.path("out/ledger.ndjson")).unwrap();
    let (mut last, mut lines) = ("0".repeat(64), Vec::new());
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        change(&mut line);
        line["previous"] = last.into();
        lines.push(line.to_string());
        last = hash(lines.last().unwrap());
    }
    std::fs::write(work.path("out/ledger.ndjson"), lines.join("\n") + "\n").unwrap();
    let head = serde_json::json!({ "count": lines.len(), "last": last, "mac": null });
    std::fs::write(work.path("out/ledger.head.json"), head.to_string()).unwrap();
}

#[test]
fn a_run_whose_id_leads_out_of_the_folder_is_no_run() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let run = one(&work, "out/runs/*");
    work.copy(&run, "outside");
    std::fs::remove_file(work.path("outside/state.json")).unwrap();
    // Announced and not published, as far as these lines tell.
    forge(&work, |line| {
        line["run"] = "../../outside".into();
        line["event"] = "announced".into();
    });
    work.run(&small, "out", &["--as-of", "2025-09-30"]).expect(2).says("line 1 tells of a run whose id is no name");
    assert!(!work.path("outside/state.json").exists());
    work.sesame(["verify", "--all", "--output", "out"]).expect(1).says("no name of a folder");
}

#[test]
fn a_keyed_ledger_takes_no_line_without_its_key() {
    let work = Workdir::new();
    keyed(&work, "out", &[]).expect(0);
    let before = std::fs::read(work.path("out/ledger.ndjson")).unwrap();
    let small = repository("data-samples/small");
    for as_of in ["2025-10-31", "2025-11-01"] {
        let more = ["--as-of", as_of, "--set", "inputs.disputes=\"\""];
        work.run(&small, "out", &more).expect(2).says("no key is given").says("ledger_key");
    }
    assert!(std::fs::read(work.path("out/ledger.ndjson")).unwrap() == before);
    keyed(&work, "out", &["--as-of", "2025-11-01"]).expect(0);
    verify(&work, "out").expect(0);
}

#[test]
fn an_earlier_run_that_was_changed_or_taken_away_stops_the_gates_that_compare_with_it() {
    let work = Workdir::new();
    keyed(&work, "out", &["--as-of", "2025-09-30"]).expect(0);
    let run = one(&work, "out/runs/*");
    for file in ["audit.json", "scores.parquet", "distributions.json", "manifest.json"] {
        let before = std::fs::read(run.join(file)).unwrap();
        std::fs::remove_file(run.join(file)).unwrap();
        std::fs::write(run.join(file), [&before[..], b" "].concat()).unwrap();
        keyed(&work, "out", &["--fresh"]).expect(1).says("max_psi").says("not as it was published").says(file);
        std::fs::write(run.join(file), before).unwrap();
    }
    std::fs::rename(&run, work.path("taken")).unwrap();
    keyed(&work, "out", &[]).expect(1).says("max_rows_lost").says("manifest.json is missing");
    let accept = "max_psi,max_quarantined_growth,max_band_jump,max_rows_lost";
    let accept: Vec<&str> = accept.split(',').flat_map(|gate| ["--accept", gate]).collect();
    keyed(&work, "out", &[&accept[..], &["--because", "the disk was lost"]].concat()).expect(0);
}

#[test]
fn what_was_given_up_leaves_nothing_beside_the_tables() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let args = work.arguments("run", &small, "out", &[]);
    let mut command = work.command(&args);
    command.env("SESAME_KILL_AT", "table beside its place").stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().code().is_none());
    let table = one(&work, "out/runs/*/scores.parquet");
    std::fs::remove_file(&table).unwrap();
    std::fs::write(&table, "damaged").unwrap();
    assert!(one(&work, "out/scores/*/*/.*.incoming").exists());
    work.run(&small, "out", &["--as-of", "2025-09-30"]).expect(0).says("is damaged; it is not published");
    let left = glob::glob(work.path("out/scores/**/.*.incoming").to_str().unwrap()).unwrap().count();
    assert_eq!(left, 0);
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}

#[test]
fn a_link_in_the_place_of_a_folder_is_refused() {
    for folder in ["runs", "scores", "stages", "backfills", "stages/subjects"] {
        let work = Workdir::new();
        std::fs::create_dir(work.path("elsewhere")).unwrap();
        std::fs::create_dir_all(work.path("out").join(folder).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(work.path("elsewhere"), work.path("out").join(folder)).unwrap();
        let small = repository("data-samples/small");
        work.run(&small, "out", &[]).expect(2).says(folder).says("is a symbolic link");
        let found = std::fs::read_dir(work.path("elsewhere")).unwrap().count();
        assert_eq!(found, 0, "{folder}");
    }
    let work = Workdir::new();
    std::fs::create_dir_all(work.path("out/scores")).unwrap();
    std::fs::create_dir(work.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(work.path("elsewhere"), work.path("out/scores/as_of=2025-10-31")).unwrap();
    work.run(&repository("data-samples/small"), "out", &[]).expect(2).says("is a symbolic link");
    assert_eq!(std::fs::read_dir(work.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn links_in_the_output_folder_are_not_written_through() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    std::fs::create_dir(work.path("out")).unwrap();
    std::fs::write(work.path("precious"), "precious").unwrap();
    for name in [".lock", "metrics.prom.next", "ledger.ndjson.next"] {
        std::os::unix::fs::symlink(work.path("precious"), work.path(&format!("out/{name}"))).unwrap();
    }
    work.run(&small, "out", &[]).expect(2).says(".lock is a symbolic link");
    std::fs::remove_file(work.path("out/.lock")).unwrap();
    work.run(&small, "out", &[]).expect(0);
    assert_eq!(std::fs::read_to_string(work.path("precious")).unwrap(), "precious");
}

#[test]
fn an_input_that_is_replaced_while_it_is_read_stops_the_run() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    let args = work.arguments("run", &work.path("export"), "out", &[]);
    let mut run = work.command(&args);
    // Stopped after its inputs were looked at, and before anything is read.
    let run = run.env("SESAME_STOP_AT", "locked").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    crate::safety::until_stopped(run.id());
    let file = work.path("export/utility_payments/year=2024/part-0000.parquet");
    std::fs::copy(work.path("export/utility_payments/year=2023/part-0000.parquet"), &file).unwrap();
    std::process::Command::new("kill").args(["-CONT", &run.id().to_string()]).status().unwrap();
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("was changed or replaced while it was read"), "{said}");
    assert!(work.published("out").is_empty());
    work.sesame(&args).expect(0);
}
