//! Erasing subjects: nothing of them is left in any byte of any file, the others stay as they were, a kill anywhere is finished by whoever
//! comes next, and later runs leave them out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use sesame::storage::pseudonym::Pseudonyms;
use sesame::storage::secret::Secret;

use crate::exports::{Export, read, repayments, subjects, write};
use crate::safety::{OF_AN_ERASURE, until_stopped};
use crate::workdir::{Ended, Workdir, repository};

const KEY: &str = "a key of the tests, not of anyone";
const DATES: [&str; 2] = ["2025-09-30", "2025-10-31"];

/// Files below a folder by their path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                walk(&path, &format!("{name}/"), found);
            } else {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

fn holds(bytes: &[u8], word: &str) -> bool {
    let word = word.as_bytes();
    bytes.windows(word.len()).any(|some| some[0] == word[0] && some == word)
}

/// Where one of some words stands below a folder: in the bytes of a file as they are, or in a page of a Parquet file, decompressed.
fn left(folder: &Path, words: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, bytes) in files(folder) {
        let mut look = |bytes: &[u8], place: &str| {
            found
                .extend(words.iter().filter(|word| holds(bytes, word)).map(|word| format!("{name} ({place}): {word}")));
        };
        look(&bytes, "bytes");
        if !bytes.starts_with(b"PAR1") {
            continue;
        }
        let reader = SerializedFileReader::new(std::fs::File::open(folder.join(&name)).unwrap()).unwrap();
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).unwrap();
            for column in 0..group.num_columns() {
                let mut pages = group.get_column_page_reader(column).unwrap();
                while let Some(page) = pages.get_next_page().unwrap() {
                    look(page.buffer(), "a page");
                }
            }
        }
    }
    found
}

fn texts(batch: &RecordBatch, column: &str) -> StringArray {
    batch.column_by_name(column).unwrap().as_string::<i32>().clone()
}

/// A keyed output folder with two runs of the sample, and whom to erase.
struct Scene {
    work: Workdir,
    erased: BTreeSet<String>,
    /// What must not be left: their ids, and those of their records that no other subject has.
    words: BTreeSet<String>,
}

impl Scene {
    fn new() -> Self {
        let work = Workdir::new();
        for date in DATES {
            let args = Self::args(&work, "run", "before", &["--as-of", date]);
            keyed(&work, &args).expect(0);
        }
        let mut records: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in glob::glob(work.path("before/runs/*/evidence/*.parquet").to_str().unwrap()).unwrap() {
            let table = read(&file.unwrap());
            for (subject, record) in texts(&table, "subject_id").iter().zip(&texts(&table, "record_id")) {
                records.entry(record.unwrap().to_owned()).or_default().insert(subject.unwrap().to_owned());
            }
        }
        let of_evidence: BTreeSet<String> = records.values().flatten().cloned().collect();
        let all = read(&work.path("before/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
        let ids: Vec<String> = texts(&all, "subject_id").iter().flatten().map(str::to_owned).collect();
        // The first, the last, and some who have adverse records.
        let erased: BTreeSet<String> =
            ids.iter().take(1).chain(ids.last()).chain(of_evidence.iter().take(3)).cloned().collect();
        let alone = records.into_iter().filter(|(record, of)| record.len() >= 8 && of.is_subset(&erased));
        let words: BTreeSet<String> = erased.iter().cloned().chain(alone.map(|(record, _)| record)).collect();
        std::fs::write(work.path("ids.txt"), erased.iter().map(|id| format!("{id}\n")).collect::<String>()).unwrap();
        Self { work, erased, words }
    }

    fn args(work: &Workdir, command: &str, output: &str, more: &[&str]) -> Vec<String> {
        let key = ["--set", "privacy.ledger_key=\"env:SESAME_TEST_KEY\""];
        work.arguments(command, &repository("data-samples/small"), output, &[&key[..], more].concat())
    }

    fn fresh(&self) {
        let _ = std::fs::remove_dir_all(self.work.path("out"));
        self.work.copy(&self.work.path("before"), "out");
    }

    fn erase(&self, more: &[&str]) -> Vec<String> {
        let ids = self.work.path("ids.txt").display().to_string();
        Self::args(&self.work, "erase", "out", &[&["--ids", &ids][..], more].concat())
    }

    fn nothing_is_left(&self, when: &str) {
        let found = left(&self.work.path("out"), &self.words);
        assert!(found.is_empty(), "{when}: {found:?}");
    }

    fn verified(&self) -> Ended {
        let args = ["verify", "--all", "--output", "out"];
        self.work.ended(self.work.command(args).env("SESAME_TEST_KEY", KEY)).expect(0).says("everything holds")
    }

    /// The tables of the output, but for what tells of the erasure itself.
    fn tables(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = files(&self.work.path("out"));
        all.retain(|name, _| name.starts_with("runs/") || name.starts_with("scores/"));
        all
    }
}

fn keyed(work: &Workdir, args: &[String]) -> Ended {
    work.ended(work.command(args).env("SESAME_TEST_KEY", KEY))
}

#[test]
fn nothing_of_the_erased_is_left_in_any_file_and_the_others_stay_as_they_were() {
    let scene = Scene::new();
    let work = &scene.work;
    scene.fresh();
    let before = files(&work.path("out"));
    let found = left(&work.path("out"), &scene.erased);
    assert!(found.iter().any(|f| f.contains("scores.parquet")), "the search finds nobody: {found:?}");
    assert!(found.iter().any(|f| f.contains("stages/")) && found.iter().any(|f| f.contains("evidence/")), "{found:?}");
    let plan = keyed(work, &scene.erase(&["--format", "json"])).expect(0).says("--yes erases");
    assert!(files(&work.path("out")) == before, "a plan writes something");
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    assert_eq!(plan["plan"]["ids"], scene.erased.len());
    assert_eq!(plan["plan"]["runs"].as_array().unwrap().len(), 2);
    assert!(plan["plan"]["inputs"].as_array().unwrap().iter().any(|c| c["table"] == "friend_links"), "{plan}");
    assert_eq!(plan["receipt"], Value::Null);

    keyed(work, &scene.erase(&["--yes"])).expect(0).says("later runs leave these subjects out");
    scene.nothing_is_left("after the erasure");
    let verified = scene.verified().says("erasure 1: ").says("that subjects were erased from");
    assert!(!verified.err.contains(scene.erased.first().unwrap()), "{}", verified.err);
    let after = scene.tables();
    for (name, bytes) in &after {
        let old = &before[name];
        if !name.ends_with(".parquet") {
            assert!(bytes == old, "{name} changed");
            continue;
        }
        let (now, then) = (read(&work.path("out").join(name)), read(&work.path("before").join(name)));
        let ids = match then.column_by_name("subject_id") {
            Some(_) => texts(&then, "subject_id"),
            None if name.contains("/features/") => {
                let run = name.split('/').nth(1).unwrap();
                texts(&read(&work.path(&format!("before/runs/{run}/scores.parquet"))), "subject_id")
            }
            None => continue,
        };
        let keep: BooleanArray = ids.iter().map(|id| Some(!scene.erased.contains(id.unwrap()))).collect();
        assert!(filter_record_batch(&then, &keep).unwrap() == now, "{name} holds other rows, or others than before");
    }
    let receipt: Value =
        serde_json::from_slice(&std::fs::read(work.path("out/erasures/1/receipt.json")).unwrap()).unwrap();
    assert_eq!(receipt["hashes"].as_array().unwrap().len(), scene.erased.len());
    // Of how many rows they were is kept where gates need it alone.
    let quarantined = |file: &Value| file["path"].as_str().unwrap().contains("/quarantine/");
    for file in receipt["files"].as_array().unwrap() {
        assert_eq!(file.get("rows").is_some(), quarantined(file), "{file}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(work.path("out/erasures/1/receipt.json")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let explain = |id: &str| work.sesame(["explain", "latest", id, "--output", "out"]);
    explain(scene.erased.first().unwrap()).expect(2);
    let other = read(&work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
    explain(texts(&other, "subject_id").value(0)).expect(0);
    let run = receipt["files"][0]["path"].as_str().unwrap().split('/').nth(1).unwrap().to_owned();
    let replay = ["verify", &run, "--replay", "--output", "out"];
    work.ended(work.command(replay).env("SESAME_TEST_KEY", KEY)).expect(2).says("cannot be replayed: the erasure 1");
    work.sesame(["runs", "--output", "out"]).expect(0);
}

#[test]
fn a_changed_receipt_or_file_is_found_after_an_erasure() {
    let scene = Scene::new();
    scene.fresh();
    keyed(&scene.work, &scene.erase(&["--yes"])).expect(0);
    let verify = |says: &str| {
        let args = ["verify", "--all", "--output", "out"];
        scene.work.ended(scene.work.command(args).env("SESAME_TEST_KEY", KEY)).expect(1).says(says);
    };
    let receipt = scene.work.path("out/erasures/1/receipt.json");
    let text = std::fs::read_to_string(&receipt).unwrap();
    std::fs::write(&receipt, text.replace("\"erasure\": 1", "\"erasure\": 2")).unwrap();
    verify("receipt.json is not the one the ledger knows");
    std::fs::remove_file(&receipt).unwrap();
    verify("receipt.json is missing");
    std::fs::write(&receipt, &text).unwrap();
    scene.verified();
    std::fs::write(scene.work.path("out/erasures/1/more.txt"), "x").unwrap();
    verify("erasures/1/more.txt is there, and nothing tells of it");
    std::fs::remove_file(scene.work.path("out/erasures/1/more.txt")).unwrap();
    let table = scene.work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet");
    let old = std::fs::read(scene.work.path("before/scores/as_of=2025-10-31/model=standard-1/scores.parquet")).unwrap();
    std::fs::remove_file(&table).unwrap();
    std::fs::write(&table, old).unwrap();
    verify("was changed after it was published");
}

#[test]
fn an_erasure_killed_at_any_step_is_finished_by_the_next_command_that_writes() {
    let scene = Scene::new();
    scene.fresh();
    keyed(&scene.work, &scene.erase(&["--yes"])).expect(0);
    let undisturbed = scene.tables();
    for step in OF_AN_ERASURE.iter().chain(&["ledger line"]) {
        scene.fresh();
        let mut killed = scene.work.command(scene.erase(&["--yes"]));
        killed.env("SESAME_TEST_KEY", KEY).env("SESAME_KILL_AT", step).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(killed.status().unwrap().code().is_none(), "the step {step} was not reached");
        keyed(&scene.work, &Scene::args(&scene.work, "clean", "out", &["--yes"])).expect(0);
        scene.nothing_is_left(step);
        assert!(
            scene.tables() == undisturbed,
            "{step}: the tables are others than those of an erasure that nothing disturbed"
        );
        scene.verified();
    }
}

#[test]
fn whoever_reads_while_an_erasure_is_under_way_is_refused_or_told_what_is_right() {
    let scene = Scene::new();
    let work = &scene.work;
    scene.fresh();
    let table = read(&work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
    // Rows before its own go.
    let ids = texts(&table, "subject_id");
    let id = ids.iter().flatten().rfind(|id| !scene.erased.contains(*id)).unwrap();
    let explained = || work.sesame(["explain", "latest", id, "--output", "out", "--format", "json"]);
    let mut args = Scene::args(work, "access", "out", &["--format", "json"]);
    args.insert(2, id.to_owned());
    let runs = |ended: &Ended| serde_json::from_str::<Value>(&ended.out).unwrap()["runs"].clone();
    let (score, told) = (explained().expect(0).out, runs(&keyed(work, &args).expect(0)));
    assert_eq!(told.as_array().unwrap().len(), 2);
    let mut refused = 0;
    for step in OF_AN_ERASURE {
        scene.fresh();
        let mut killed = work.command(scene.erase(&["--yes"]));
        killed.env("SESAME_TEST_KEY", KEY).env("SESAME_KILL_AT", step).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(killed.status().unwrap().code().is_none(), "the step {step} was not reached");
        for (ended, is_access) in [(explained(), false), (keyed(work, &args), true)] {
            match (ended.code, is_access) {
                (0, false) => assert!(ended.out == score, "{step}: another explanation"),
                (0, true) => assert!(runs(&ended) == told, "{step}: another answer"),
                _ => {
                    ended.expect(2).says("under way");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(refused, 2 * (OF_AN_ERASURE.len() - 1), "read while an erasure was under way");
    work.sesame(["diff", "2025-09-30", "latest", "--output", "out"]).expect(0);
}

#[test]
fn an_erasure_that_is_interrupted_ends_at_once_and_is_finished_later() {
    let scene = Scene::new();
    scene.fresh();
    let mut erase = scene.work.command(scene.erase(&["--yes"]));
    let erase = erase.env("SESAME_TEST_KEY", KEY).env("SESAME_STOP_AT", "erasure file noted");
    let erase = erase.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until_stopped(erase.id());
    for signal in ["-INT", "-CONT"] {
        Command::new("kill").args([signal, &erase.id().to_string()]).status().unwrap();
    }
    let ended = erase.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("the next command that writes to the output folder goes on"), "{said}");
    assert!(scene.work.path("out/erasures/1/journal.ndjson").exists());
    keyed(&scene.work, &Scene::args(&scene.work, "clean", "out", &["--yes"]))
        .expect(0)
        .says("finished the earlier erasure 1");
    scene.nothing_is_left("after it was interrupted and finished");
    scene.verified();
}

fn random_kills(kills: usize, seed: u64) {
    let scene = Scene::new();
    scene.fresh();
    let started = Instant::now();
    keyed(&scene.work, &scene.erase(&["--yes"])).expect(0);
    let (mut takes, mut killed) = (started.elapsed(), 0);
    let undisturbed = scene.tables();
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..kills {
        scene.fresh();
        let after: Duration = takes.mul_f64(rng.f64());
        let mut command = scene.work.command(scene.erase(&["--yes"]));
        let command = command.env("SESAME_TEST_KEY", KEY).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        match child.wait().unwrap().code().is_none() {
            true => killed += 1,
            false => takes = after,
        }
        keyed(&scene.work, &scene.erase(&["--yes"])).expect(0);
        scene.nothing_is_left(&format!("killed after {after:?}"));
        assert!(scene.tables() == undisturbed, "killed after {after:?}: other tables than without a kill");
        scene.verified();
    }
    assert!(killed * 2 >= kills, "only {killed} of {kills} were killed before they ended");
}

#[test]
fn erasures_killed_at_random_instants_are_finished() {
    random_kills(4, 5);
}

#[test]
#[ignore = "takes three minutes: cargo test --release --test sesame -- --ignored two_hundred_erasures"]
fn two_hundred_erasures_killed_at_random_instants_are_finished() {
    random_kills(200, 6);
}

#[test]
fn later_runs_leave_the_erased_out_of_every_table_whatever_the_exports_carry() {
    let scene = Scene::new();
    scene.fresh();
    keyed(&scene.work, &scene.erase(&["--yes"])).expect(0);
    let args = Scene::args(&scene.work, "run", "out", &["--as-of", "2025-10-31"]);
    keyed(&scene.work, &args).expect(0).says("published");
    scene.nothing_is_left("after a run over the same exports");
    scene.verified();
    let mut audits: Vec<PathBuf> = glob::glob(scene.work.path("out/runs/2025-10-31-*/audit.json").to_str().unwrap())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    audits.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    let audit: Value = serde_json::from_slice(&std::fs::read(audits.last().unwrap()).unwrap()).unwrap();
    let tables = audit["conservation"].as_object().unwrap();
    assert!(tables["subjects"]["erased"].as_u64() >= Some(scene.erased.len() as u64), "{}", tables["subjects"]);
    assert!(tables["friend_links"]["erased"].as_u64() > Some(0), "{}", tables["friend_links"]);
    for (name, table) in tables {
        let classes = ["used", "not_visible", "quarantined", "duplicate", "superseded", "merged", "dropped"];
        let more = ["disputed_out", "without_consent", "outside_windows", "left_out", "erased"];
        let sum: u64 = classes.iter().chain(&more).map(|class| table[*class].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), table["rows"].as_u64(), "{name}: {table}");
    }
    keyed(&scene.work, &args).expect(0).says("nothing to do");
    keyed(&scene.work, &scene.erase(&["--yes"])).expect(0).says("erased from 0 file(s)");
}

/// So many consumers with a repayment each, from a number on.
fn small(folder: &Path, from: usize, to: usize) {
    let ids: Vec<String> = (from..to).map(|n| format!("s{n:02}")).collect();
    let of = || ids.iter().map(String::as_str);
    subjects().text("subject_id", of()).text("kind", of().map(|_| "consumer")).write(&folder.join("subjects.parquet"));
    let same = |value: &'static str| of().map(move |_| value).collect::<Vec<_>>();
    repayments()
        .text("record_id", of())
        .text("subject_id", of())
        .text("account_id", of())
        .text("product", same("instalment"))
        .date("due_on", &same("2025-01-05").into_iter().map(Some).collect::<Vec<_>>())
        .long("amount_due_minor", of().map(|_| 10_000))
        .long("amount_paid_minor", of().map(|_| 10_000))
        .date("paid_on", &same("2025-01-05").into_iter().map(Some).collect::<Vec<_>>())
        .text("currency", same("CNY"))
        .write(&folder.join("repayments.parquet"));
}

#[test]
fn rows_of_the_erased_that_exports_no_longer_hold_are_not_taken_for_a_loss() {
    let key = ["--set", "privacy.ledger_key=\"env:SESAME_TEST_KEY\"", "--set", "gates.max_rows_lost=0.05"];
    let run = |work: &Workdir| {
        let mut more = vec!["--as-of", "2025-01-31", "--set", "consent_statement=\"test\""];
        for gate in ["max_quarantined_share=1.0", "min_scored_share=0.0", "max_age_days=100000"] {
            more.extend(["--set", Box::leak(format!("gates.{gate}").into_boxed_str())]);
        }
        more.extend(key);
        keyed(work, &work.arguments("run", &work.path("export"), "out", &more))
    };
    // Without an erasure the same export is refused.
    let work = Workdir::new();
    small(&work.path("export"), 0, 20);
    run(&work).expect(0);
    small(&work.path("export"), 4, 20);
    run(&work).expect(1).says("max_rows_lost");
    for guarded_run_between in [false, true] {
        let work = Workdir::new();
        small(&work.path("export"), 0, 20);
        run(&work).expect(0);
        std::fs::write(work.path("ids.txt"), "s00\ns01\ns02\ns03\n").unwrap();
        let ids = work.path("ids.txt").display().to_string();
        let more = [&["--ids", &ids, "--yes", "--set", "consent_statement=\"test\""][..], &key].concat();
        keyed(&work, &work.arguments("erase", &work.path("export"), "out", &more)).expect(0);
        assert_eq!(read(&work.scores_path("out")).num_rows(), 16);
        if guarded_run_between {
            run(&work).expect(0);
        }
        small(&work.path("export"), 4, 20);
        run(&work).expect(0).says("published");
        // What is lost beyond them is lost.
        small(&work.path("export"), 6, 20);
        run(&work).expect(1).says("max_rows_lost");
    }
}

#[test]
fn without_a_key_the_receipt_tells_no_hash_of_an_id_and_that_is_said() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let table = read(&work.scores_path("out"));
    // From a Parquet file, where a subject has two ids.
    let (id, other) =
        (texts(&table, "subject_id").value(3).to_owned(), texts(&table, "subject_id").value(7).to_owned());
    let ids = Export::new().text("subject_id", [id.as_str()]).text("merged_into", [other.as_str()]);
    write(&work.path("ids.parquet"), &ids.batch());
    let place = work.path("ids.parquet").display().to_string();
    let plan = work.sesame(work.arguments("erase", &small, "out", &["--ids", &place])).expect(0).says("not guarded");
    assert!(plan.out.contains(&format!("merged    {id} is also {other}")), "{}", plan.out);
    work.sesame(work.arguments("erase", &small, "out", &["--ids", &place, "--yes"])).expect(0).says("not guarded");
    let words = BTreeSet::from([id, other]);
    assert!(left(&work.path("out"), &words).is_empty());
    let receipt: Value =
        serde_json::from_slice(&std::fs::read(work.path("out/erasures/1/receipt.json")).unwrap()).unwrap();
    assert_eq!((receipt["hashes"].as_array().unwrap().len(), &receipt["ids"]), (0, &Value::from(2)));
    assert!(receipt["guard"].as_str().unwrap().contains("not guarded"));
    work.run(&small, "out", &[]).expect(0).says("nothing to do");
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
    work.run(&small, "out", &["--fresh"]).expect(0).says("published");
    assert!(!left(&work.path("out"), &words).is_empty(), "an unguarded run over the same exports scores them again");
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}

#[test]
fn ids_that_stand_in_texts_and_names_of_files_go_as_well() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let all = read(&small.join("subjects.parquet"));
    let id = texts(&all, "subject_id").value(5).to_owned();
    let select = format!(
        "inputs.repayments={{ path = \"{}\", select = \"SELECT * FROM export WHERE subject_id <> '{id}'\" }}",
        small.join("repayments").display()
    );
    work.run(&small, "out", &["--set", &select]).expect(0);
    std::fs::write(work.path("ids.txt"), format!("{id}\n")).unwrap();
    let ids = work.path("ids.txt").display().to_string();
    work.sesame(work.arguments("erase", &small, "out", &["--ids", &ids, "--yes"])).expect(0);
    assert_eq!(left(&work.path("out"), &BTreeSet::from([id])), Vec::<String>::new());
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
    work.sesame(["verify", "latest", "--output", "out"]).expect(0);
}

#[test]
fn partners_are_told_whom_to_forget_outside_the_output_folder() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.copy(&repository("pipelines"), "pipelines");
    std::fs::write(work.path("pipelines/bank.key"), "a key of the bank alone").unwrap();
    let partners = "[[partner]]\nid='bank'\ntitle='Bank'\nkey='file:bank.key'\nkey_id='b1'\nkey_period='2026-Q4'\n";
    std::fs::write(work.path("pipelines/partners.toml"), partners).unwrap();
    let args = |command: &str, more: &[&str]| {
        let mut args = work.arguments(command, &small, "out", more);
        args[1] = work.path("pipelines/nightly.toml").display().to_string();
        args
    };
    work.sesame(args("run", &[])).expect(0);
    let table = read(&work.scores_path("out"));
    let source = format!("file:{}", work.path("pipelines/bank.key").display());
    let names = Pseudonyms::of(&Secret::read("key", &source, |place: &str| PathBuf::from(place)).unwrap());
    let name = |row: usize| names.name("release bank 2026-Q4", texts(&table, "subject_id").value(row).as_bytes());
    let mut given = [name(0), name(1), name(2)];
    given.sort();
    let release = Export::new().text("pseudonym", given.iter().map(String::as_str)).batch();
    let facts = [("sesame.partner", "bank"), ("sesame.key_id", "b1"), ("sesame.key_period", "2026-Q4")];
    let place = work.path("out/releases/partner=bank/as_of=2025-10-31/release.parquet");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    let facts = facts.map(|(k, v)| parquet::file::metadata::KeyValue::new(k.to_owned(), v.to_owned())).to_vec();
    let properties = parquet::file::properties::WriterProperties::builder().set_key_value_metadata(Some(facts)).build();
    let file = std::fs::File::create(&place).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, release.schema(), Some(properties)).unwrap();
    writer.write(&release).unwrap();
    writer.close().unwrap();

    let id = texts(&table, "subject_id").value(1).to_owned();
    std::fs::write(work.path("ids.txt"), format!("{id}\n")).unwrap();
    let ids = work.path("ids.txt").display().to_string();
    work.sesame(args("erase", &["--ids", &ids])).expect(0).says("bank must forget 1 pseudonym");
    work.sesame(args("erase", &["--ids", &ids, "--yes"])).expect(2).says("--notices DIR");
    let inside = work.path("out/notices").display().to_string();
    work.sesame(args("erase", &["--ids", &ids, "--yes", "--notices", &inside])).expect(2).says("outside");
    work.sesame(args("erase", &["--ids", &ids, "--yes", "--notices", "notices"])).expect(0);
    let notice = std::fs::read(work.path("notices/bank/erasure-1.json")).unwrap();
    let notice: Value = serde_json::from_slice(&notice).unwrap();
    assert_eq!(notice["forget"].as_array().unwrap().len(), 1);
    assert_eq!(notice["forget"][0]["pseudonym"], name(1));
    let rest: Vec<String> = texts(&read(&place), "pseudonym").iter().flatten().map(str::to_owned).collect();
    assert_eq!(rest, given.iter().filter(|n| **n != name(1)).cloned().collect::<Vec<_>>());
    assert!(left(&work.path("out"), &BTreeSet::from([id, name(1)])).is_empty());
    // Without the key it is said that nobody can look.
    std::fs::remove_file(work.path("pipelines/bank.key")).unwrap();
    work.sesame(args("erase", &["--ids", &ids])).expect(0).says("cannot be searched");
    work.sesame(args("erase", &["--ids", &ids, "--yes"])).expect(2).says("--leave-unsearched");
    work.sesame(args("erase", &["--ids", &ids, "--yes", "--leave-unsearched"])).expect(0).says("cannot be searched");
    let receipt = std::fs::read_to_string(work.path("out/erasures/1/receipt.json")).unwrap();
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!(receipt["notified"], serde_json::json!([{ "partner": "bank" }]), "a small count is told");
}

#[test]
fn the_bloom_filter_of_a_table_no_longer_knows_the_erased() {
    let scene = Scene::new();
    scene.fresh();
    let known = || {
        let file = std::fs::File::open(scene.work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.unwrap()).unwrap();
        let filter = builder.get_row_group_column_bloom_filter(0, 0).unwrap().unwrap();
        scene.erased.iter().filter(|id| filter.check(id.as_str())).count()
    };
    assert_eq!(known(), scene.erased.len());
    keyed(&scene.work, &scene.erase(&["--yes"])).expect(0);
    // One in a hundred or so is taken for known by chance, all of them are not.
    assert!(known() < scene.erased.len());
}

#[test]
fn what_cannot_be_erased_is_refused_and_changes_nothing() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    std::fs::write(work.path("none.txt"), "\n").unwrap();
    let none = work.path("none.txt").display().to_string();
    work.sesame(work.arguments("erase", &small, "out", &["--ids", &none])).expect(2).says("names nobody");
    work.sesame(work.arguments("erase", &small, "out", &["--ids", "missing.txt"])).expect(2).says("missing.txt");
    assert!(!work.path("out").exists());
    work.sesame(["erase", "--help"]).expect(0).says("Examples").says("--notices");
}

/// The nightly pipeline over an export of [`small`], with gates that let all pass.
fn nightly(work: &Workdir, command: &str, more: &[&str]) -> Ended {
    let mut all = vec!["--set", "consent_statement=\"test\""];
    if command == "run" {
        all.extend(["--as-of", "2025-01-31"]);
        for gate in ["max_quarantined_share=1.0", "min_scored_share=0.0", "max_age_days=100000"] {
            all.extend(["--set", Box::leak(format!("gates.{gate}").into_boxed_str())]);
        }
    }
    all.extend(more);
    keyed(work, &work.arguments(command, &work.path("export"), "out", &all))
}

#[test]
fn files_that_were_the_same_and_are_no_more_are_proven_each_by_its_own_hash() {
    let work = Workdir::new();
    // The first row breaks a rule; only in the later file it is known where the rows of the erased stand.
    let export = |to: usize| {
        small(&work.path("export"), 0, to);
        let file = work.path("export/repayments.parquet");
        let table = read(&file);
        let due = table.column_by_name("due_on").unwrap().slice(1, to - 1);
        let none = arrow::array::new_null_array(due.data_type(), 1);
        let due = arrow::compute::concat(&[&*none, &*due]).unwrap();
        let columns = table
            .schema()
            .fields()
            .iter()
            .zip(table.columns())
            .fold(Export::new(), |export, (field, column)| export.column(field.name(), column.clone()));
        columns.column("due_on", due).write(&file);
    };
    for to in [20, 21] {
        export(to);
        nightly(&work, "run", &[]).expect(0).says("published");
    }
    let quarantines = || -> Vec<PathBuf> {
        let found = glob::glob(work.path("out/runs/*/quarantine/repayments.parquet").to_str().unwrap()).unwrap();
        found.map(Result::unwrap).collect()
    };
    let bytes: Vec<Vec<u8>> = quarantines().iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(bytes.len() == 2 && bytes[0] == bytes[1], "the quarantines of two nights are not the same file");
    std::fs::write(work.path("ids.txt"), "s00\n").unwrap();
    let ids = work.path("ids.txt").display().to_string();
    nightly(&work, "erase", &["--ids", &ids, "--yes"]).expect(0);
    let rows: BTreeSet<usize> = quarantines().iter().map(|path| read(path).num_rows()).collect();
    assert_eq!(rows, BTreeSet::from([0, 1]));
    work.sesame(["verify", "--all", "--outputs-only", "--output", "out"]).expect(0).says("everything holds");
}

#[test]
fn ids_that_are_met_nowhere_are_told_and_are_no_success() {
    let work = Workdir::new();
    small(&work.path("export"), 0, 20);
    nightly(&work, "run", &[]).expect(0);
    let asked = |text: &str| {
        std::fs::write(work.path("ids.txt"), text).unwrap();
        work.path("ids.txt").display().to_string()
    };
    let ids = asked("s00\ns99\n");
    let plan = nightly(&work, "erase", &["--ids", &ids]).expect(0).says("1 of 2 id(s) are met nowhere");
    assert!(plan.out.contains("unknown   s99") && !plan.out.contains("unknown   s00"), "{}", plan.out);
    let before = files(&work.path("out/runs"));
    nightly(&work, "erase", &["--ids", &ids, "--yes"]).expect(2).says("s99").says("--allow-unknown");
    assert!(files(&work.path("out/runs")) == before);
    nightly(&work, "erase", &["--ids", &ids, "--yes", "--allow-unknown"]).expect(0);
    let receipt = std::fs::read_to_string(work.path("out/erasures/1/receipt.json")).unwrap();
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!((&receipt["ids"], &receipt["ids_not_found"]), (&Value::from(2), &Value::from(1)));
    let ids = asked("s01 \n");
    nightly(&work, "erase", &["--ids", &ids]).expect(2).says("blanks around an id");
    std::fs::write(work.path("out/ids.txt"), "s01\n").unwrap();
    let within = work.path("out/ids.txt").display().to_string();
    nightly(&work, "erase", &["--ids", &within]).expect(2).says("within the output folder");
}

/// A pipeline that writes its files with one key of two, or names one of them alone.
fn encrypted(work: &Workdir, command: &str, keys: &str, more: &[&str]) -> Ended {
    let at = |id: &str| format!("{id} = \"env:SESAME_TEST_{}\"", id.to_uppercase());
    let write = keys.chars().next_back().unwrap();
    let all: Vec<String> = keys.chars().map(|id| at(&id.to_string())).collect();
    let set = format!("privacy.keys={{ write = \"{write}\", at = {{ {} }} }}", all.join(", "));
    let args =
        work.arguments(command, &repository("data-samples/small"), "out", &[&["--set", &set][..], more].concat());
    let mut command = work.command(&args);
    command
        .env("SESAME_TEST_A", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
        .env("SESAME_TEST_B", "000102030405060708090a0b0c0d0e0f");
    work.ended(&mut command)
}

/// Forty subjects of the sample, whom `ids.txt` names.
fn forty(work: &Workdir) -> BTreeSet<String> {
    let subjects = read(&repository("data-samples/small/subjects.parquet"));
    let erased: BTreeSet<String> =
        texts(&subjects, "subject_id").iter().flatten().take(40).map(str::to_owned).collect();
    std::fs::write(work.path("ids.txt"), erased.iter().map(|id| format!("{id}\n")).collect::<String>()).unwrap();
    erased
}

#[test]
fn a_key_that_is_gone_does_not_keep_anybody_from_being_erased_elsewhere() {
    let work = Workdir::new();
    let lax = ["--as-of", "2025-09-30", "--set", "gates.max_age_days=9999"];
    encrypted(&work, "run", "a", &lax).expect(0);
    encrypted(&work, "run", "ab", &[]).expect(0);
    forty(&work);
    let ids = work.path("ids.txt").display().to_string();
    let receipt = |number: u32| -> Value {
        let path = work.path(&format!("out/erasures/{number}/receipt.json"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let older = "scores/as_of=2025-09-30/model=standard-1/scores.parquet";
    encrypted(&work, "erase", "b", &["--ids", &ids]).expect(0).says(older).says("cannot be searched");
    encrypted(&work, "erase", "b", &["--ids", &ids, "--yes"]).expect(2).says("--leave-unsearched").says(older);
    assert!(!work.path("out/erasures/1/receipt.json").exists());
    encrypted(&work, "erase", "b", &["--ids", &ids, "--yes", "--leave-unsearched"]).expect(0);
    let of = |receipt: &Value, list: &str| receipt[list].to_string();
    assert!(of(&receipt(1), "files_not_searched").contains(older) && !of(&receipt(1), "files").contains(older));
    assert!(of(&receipt(1), "files").contains("scores/as_of=2025-10-31"));
    // Once the key is there again, the rest is done.
    encrypted(&work, "erase", "ab", &["--ids", &ids, "--yes"]).expect(0);
    assert!(of(&receipt(2), "files").contains(older) && of(&receipt(2), "files_not_searched") == "[]");
}

#[test]
fn the_order_of_an_erasure_is_sealed_where_files_are_encrypted() {
    let work = Workdir::new();
    encrypted(&work, "run", "a", &[]).expect(0);
    let erased = forty(&work);
    let ids = work.path("ids.txt").display().to_string();
    let set = "privacy.keys={ write = \"a\", at = { a = \"env:SESAME_TEST_A\" } }";
    let more = ["--set", set, "--ids", &ids, "--yes"];
    let mut erase = work.command(work.arguments("erase", &repository("data-samples/small"), "out", &more));
    erase.env("SESAME_TEST_A", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf").env("SESAME_KILL_AT", "erasure file replaced");
    assert!(erase.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().is_none());
    let journal = std::fs::read_to_string(work.path("out/erasures/1/journal.ndjson")).unwrap();
    let sealed = erased.iter().all(|id| !journal.contains(id));
    assert!(journal.lines().count() > 1 && sealed, "{journal}");
    // Who has no key is told whose order it is.
    work.sesame(work.arguments("clean", &repository("data-samples/small"), "out", &["--yes"]))
        .expect(2)
        .says("which the pipeline nightly ordered");
    encrypted(&work, "clean", "a", &["--yes"]).expect(0).says("finished the earlier erasure 1");
    assert!(left(&work.path("out"), &erased).is_empty());
}

#[test]
fn what_runs_share_by_several_names_they_share_afterwards() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.copy(&repository("pipelines"), "other");
    let model = work.path("other/models/standard.toml");
    let text = std::fs::read_to_string(&model).unwrap();
    std::fs::write(&model, text.replace("version = \"1\"", "version = \"2\"")).unwrap();
    work.run(&small, "out", &[]).expect(0);
    work.run(&small, "out", &["--model", &model.display().to_string()]).expect(0).says("reused");
    let contents = || {
        let mut all: BTreeMap<u64, usize> = BTreeMap::new();
        for kind in ["features", "evidence"] {
            let found = glob::glob(work.path(&format!("out/runs/*/{kind}/*.parquet")).to_str().unwrap()).unwrap();
            found.for_each(|path| *all.entry(std::fs::metadata(path.unwrap()).unwrap().ino()).or_default() += 1);
        }
        let mut names: Vec<usize> = all.into_values().collect();
        names.sort_unstable();
        names
    };
    let before = contents();
    assert!(before.iter().all(|names| *names == 2), "the runs do not share their files: {before:?}");
    let table = read(&work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet"));
    std::fs::write(work.path("ids.txt"), format!("{}\n", texts(&table, "subject_id").value(3))).unwrap();
    let ids = work.path("ids.txt").display().to_string();
    work.sesame(work.arguments("erase", &small, "out", &["--ids", &ids, "--yes"])).expect(0);
    assert_eq!(contents(), before);
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}
