//! Every ending is told, and a log that cannot be written never changes one.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::workdir::{Ended, Workdir, repository};

fn metrics(work: &Workdir) -> String {
    std::fs::read_to_string(work.path("out/metrics.prom")).unwrap()
}

/// The records of runs that came to nothing: state and the kinds of their events.
fn records(work: &Workdir) -> Vec<(Value, Vec<String>)> {
    let mut found = Vec::new();
    for path in glob::glob(work.path("out/runs/*-failed-*").to_str().unwrap()).unwrap().map(Result::unwrap) {
        let state = serde_json::from_slice(&std::fs::read(path.join("state.json")).unwrap()).unwrap();
        let lineage = std::fs::read_to_string(path.join("lineage.ndjson")).unwrap();
        let events: Vec<Value> = lineage.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        events.iter().for_each(crate::schema::is_open_lineage);
        found.push((state, events.iter().map(|e| e["eventType"].as_str().unwrap().to_owned()).collect()));
    }
    found
}

#[test]
fn a_failure_before_any_work_is_told_to_monitoring_state_and_lineage() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    work.run(&work.path("export"), "out", &[]).expect(0);
    let published = metrics(&work);
    assert!(published.contains("sesame_subjects{") && published.contains("exit_code{pipeline=\"nightly\"} 0\n"));
    let truncated = work.path("export/consents.parquet");
    let bytes = std::fs::read(&truncated).unwrap();
    std::fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    work.run(&work.path("export"), "out", &[]).expect(2).says("consents.parquet");
    let after = metrics(&work);
    assert!(after.contains("exit_code{pipeline=\"nightly\"} 2\n"), "{after}");
    // What is published is still published, and so is what is said of it.
    assert!(after.contains("sesame_subjects{") && after.contains("sesame_gate_passed{"), "{after}");
    let records = records(&work);
    assert_eq!(records.len(), 1);
    assert!(records[0].0["error"].as_str().unwrap().contains("consents.parquet"));
    assert_eq!(records[0].1, ["START", "FAIL"]);
    std::fs::write(&truncated, bytes).unwrap();
    work.run(&work.path("export"), "out", &[]).expect(0).says("nothing to do");
    let again = metrics(&work);
    assert!(again.contains("exit_code{pipeline=\"nightly\"} 0\n") && again.contains("sesame_rows{"), "{again}");
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}

#[test]
fn records_of_runs_that_came_to_nothing_are_kept_and_bounded() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    for _ in 0..3 {
        work.run(&small, "out", &["--as-of", "1800-01-01"]).expect(2);
    }
    assert_eq!(records(&work).len(), 3);
    for n in 0..60 {
        let folder = work.path(&format!("out/runs/2020-01-01-failed-{n}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("state.json"), "{\"state\":\"failed\",\"error\":\"x\"}").unwrap();
        std::fs::write(folder.join("half.parquet"), "half").unwrap();
    }
    work.run(&small, "out", &[]).expect(0);
    assert_eq!(work.path("out/runs").read_dir().unwrap().count(), 51);
    assert_eq!(glob::glob(work.path("out/runs/*/half.parquet").to_str().unwrap()).unwrap().count(), 0);
}

#[test]
fn a_run_that_is_locked_out_leaves_the_metrics_of_the_other() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let before = metrics(&work);
    let args = work.arguments("run", &small, "out", &["--fresh"]);
    let mut first = work.command(&args);
    let mut first = first.env("SESAME_STOP_AT", "locked").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::safety::until_stopped(first.id());
    work.run(&small, "out", &["--as-of", "1800-01-01"]).expect(2);
    work.sesame(&args).expect(3);
    assert_eq!(metrics(&work), before);
    first.kill().unwrap();
    first.wait().unwrap();
}

/// A command whose standard error cannot be written.
fn without_log(work: &Workdir, args: &[String]) -> Ended {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = work.command(args).stdout(Stdio::null()).stderr(full).status().unwrap();
    Ended::of(status.code().unwrap_or(-1))
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    for format in ["text", "json"] {
        let args = work.arguments("run", &small, &format!("out-{format}"), &["--log-format", format]);
        without_log(&work, &args).expect(0);
        assert_eq!(work.published(&format!("out-{format}")).len(), 1);
    }
    without_log(&work, &work.arguments("check", &small, "out", &[])).expect(0);
    let missing = work.arguments("run", &small, "out", &["--set", "inputs.subjects=\"nowhere\""]);
    without_log(&work, &missing).expect(2);
}

#[test]
fn a_reader_of_the_log_that_goes_away_stops_nothing() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    for command in ["run", "check"] {
        let args = work.arguments(command, &small, "out", &[]);
        let script = "\"$0\" \"$@\" 2>&1 | head -1; exit ${PIPESTATUS[0]}";
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_sesame")).args(&args).stdout(Stdio::null());
        assert_eq!(shell.status().unwrap().code(), Some(0), "{command}");
    }
    assert_eq!(work.published("out").len(), 1);
}

#[test]
fn json_logs_carry_the_run_the_exit_code_and_one_fact_a_field() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let lines = |ended: Ended| -> Vec<Value> { ended.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
    let said = lines(work.run(&small, "out", &["--log-format", "json"]).expect(0));
    let with = |event: &str| said.iter().filter(|l| l["event"] == event).collect::<Vec<_>>();
    assert_eq!(with("scored")[0]["subjects"], 1000);
    assert!(with("gate").len() >= 6 && with("gate").iter().all(|g| g["passed"] == true && !g["limit"].is_null()));
    assert_eq!(with("quarantined")[0]["rule"], "foreign_currency");
    assert!(with("published")[0]["run"].as_str().unwrap().starts_with("2025-10-31-standard-1-"));
    let last = said.last().unwrap();
    assert_eq!((last["event"].as_str(), last["exit_code"].as_u64()), (Some("ended"), Some(0)));
    assert_eq!(last["run"], with("published")[0]["run"]);
    assert!(said.iter().all(|l| !l["message"].as_str().unwrap().contains('\n')));
    let again = lines(work.run(&small, "out", &["--log-format", "json", "--fresh"]).expect(0));
    let from = again.iter().position(|l| l["event"] == "gate").unwrap();
    assert!(again[from..].iter().all(|l| l["run"].as_str().unwrap().ends_with("-2")), "{again:#?}");
    let quiet = lines(work.run(&small, "out", &["--log-format", "json", "--quiet"]).expect(0));
    assert_eq!((quiet.len(), quiet[0]["exit_code"].as_u64()), (1, Some(0)));
    let failed = lines(work.run(&small, "out", &["--log-format", "json", "--as-of", "1800-01-01"]).expect(2));
    assert_eq!(failed.last().unwrap()["exit_code"], 2);
}

#[test]
fn a_ledger_that_does_not_hold_is_told_to_monitoring_too() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &[]).expect(0);
    let ledger = std::fs::read_to_string(work.path("out/ledger.ndjson")).unwrap();
    std::fs::write(work.path("out/ledger.ndjson"), ledger.replace("2025-10-31", "2025-10-30")).unwrap();
    work.run(&small, "out", &["--as-of", "2025-09-30"]).expect(2).says("does not hold");
    assert!(metrics(&work).contains("exit_code{pipeline=\"nightly\"} 2\n"));
    assert_eq!(records(&work).len(), 1);
}

#[test]
fn the_log_is_written_by_nobody_else() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    // The engine has a warning of its own about such a cast.
    let select = "inputs.disputes.select=\"SELECT *, CAST('2025-01-01' AS DATE) AS more FROM export\"";
    let ended = work.run(&small, "out", &["--set", select, "--log-format", "json"]).expect(0);
    assert!(ended.err.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", ended.err);
}

#[test]
fn an_error_of_a_select_repeats_no_value() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let select = "inputs.disputes.select='SELECT * REPLACE (CAST(CAST(subject_id AS BIGINT) AS VARCHAR) AS subject_id) FROM export'";
    let ended = work.run(&small, "out", &["--set", select]).expect(2).says("disputes").says("TRY_CAST");
    let ids = std::fs::read_to_string(one_record(&work)).unwrap();
    for text in [ended.err, ids] {
        assert!(text.contains("cannot be read") && text.contains("row 0") && !text.contains("values: ["), "{text}");
    }
}

fn one_record(work: &Workdir) -> std::path::PathBuf {
    glob::glob(work.path("out/runs/*-failed-*/state.json").to_str().unwrap()).unwrap().next().unwrap().unwrap()
}

#[test]
fn a_recovered_publication_is_told_as_any_other() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let args = work.arguments("run", &small, "out", &[]);
    let mut killed = work.command(&args);
    killed.env("SESAME_KILL_AT", "table in its place").stdout(Stdio::null()).stderr(Stdio::null());
    assert!(killed.status().unwrap().code().is_none());
    work.sesame(&args).expect(0).says("finished the publication").says("nothing to do");
    let run = glob::glob(work.path("out/runs/2025-*").to_str().unwrap()).unwrap().next().unwrap().unwrap();
    let lineage = std::fs::read_to_string(run.join("lineage.ndjson")).unwrap();
    assert!(lineage.lines().last().unwrap().contains("\"COMPLETE\""));
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}

#[test]
fn a_pipelines_own_commands_are_called_with_what_happened() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let script = work.path("tell.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"heard $1\"\nenv | grep ^SESAME_ | sort > \"$2\"\ntest \"$1\" = good\n")
        .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let told = work.path("told");
    let hook = |key: &str, word: &str| format!("{key}=[\"{}\", \"{word}\", \"{}\"]", script.display(), told.display());
    let (good, bad) = (hook("on_success", "good"), hook("on_failure", "bad"));
    let key = "privacy.ledger_key=\"env:SESAME_TEST_KEY\"";
    let run = |more: &[&str]| {
        let hooks = ["--set", &good, "--set", &bad, "--set", key];
        let arguments = work.arguments("run", &small, "out", &[&hooks, more].concat());
        let ended = work.ended(work.command(arguments).env("SESAME_TEST_KEY", "0123456789abcdef"));
        let text = std::fs::read_to_string(&told).unwrap();
        std::fs::remove_file(&told).unwrap();
        let of = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        (ended, text.lines().filter_map(of).collect::<std::collections::BTreeMap<_, _>>())
    };
    let (ended, told) = run(&[]);
    ended.expect(0).says("on_success: heard good");
    let table = std::fs::canonicalize(work.scores_path("out")).unwrap();
    assert_eq!((told["SESAME_RESULT"].as_str(), told["SESAME_EXIT_CODE"].as_str()), ("published", "0"));
    assert_eq!((told["SESAME_AS_OF"].as_str(), told["SESAME_PIPELINE"].as_str()), ("2025-10-31", "nightly"));
    assert_eq!(std::fs::canonicalize(&told["SESAME_TABLE"]).unwrap(), table);
    assert!(told["SESAME_RUN"].starts_with("2025-10-31-standard-1-") && !told.contains_key("SESAME_MESSAGE"));
    assert!(!told.contains_key("SESAME_TEST_KEY"), "the ledger's key was passed on");
    let (ended, told) = run(&[]);
    ended.expect(0).says("nothing to do");
    assert_eq!(told["SESAME_RESULT"], "nothing_to_do");
    // A command that fails changes no exit code.
    let (ended, told) = run(&["--set", "gates.min_scored_share=0.999"]);
    ended.expect(1).says("on_failure: heard bad").says("exit status: 1");
    assert_eq!((told["SESAME_RESULT"].as_str(), told["SESAME_EXIT_CODE"].as_str()), ("refused", "1"));
    assert!(told["SESAME_MESSAGE"].contains("min_scored_share") && !told.contains_key("SESAME_TABLE"));
    let (ended, told) = run(&["--set", "inputs.repayments=\"nowhere/*.parquet\""]);
    ended.expect(2);
    assert_eq!(told["SESAME_RESULT"], "failed");
    assert!(told["SESAME_MESSAGE"].contains("nowhere/*.parquet"));
    let pipeline = repository("pipelines/backfill.toml").display().to_string();
    let output = format!("output=\"{}\"", work.path("many").display());
    let dates = ["--from", "2025-08-31", "--to", "2025-09-30", "--every", "month"];
    let sets = ["--set", &good, "--set", &bad, "--set", &output, "--set", "gates.min_scored_share=0.999"];
    work.sesame([&["backfill", pipeline.as_str()][..], &dates, &sets].concat()).expect(4);
    let text = std::fs::read_to_string(work.path("told")).unwrap();
    assert!(text.contains("SESAME_RESULT=partly_backfilled") && text.contains("SESAME_EXIT_CODE=4"), "{text}");
    work.run(&small, "other", &["--set", "on_success=[\"./nowhere\"]"]).expect(0).says("on_success: ./nowhere");
    work.run(&small, "other", &["--set", "on_failure=[]"]).expect(2).says("`on_failure` names no program");
}
