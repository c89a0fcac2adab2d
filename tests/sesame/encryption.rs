//! Encryption at rest: what is written is encrypted and otherwise the same, keys that are missing or wrong are told as such, keys rotate,
//! and pyarrow reads and writes what this program writes and reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::encryption::decrypt::FileDecryptionProperties;

use crate::exports;
use crate::workdir::{Ended, Workdir, repository};

const VARIABLE: &str = "SESAME_TEST_FILE_KEY";
/// The bytes 0 to 15.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const WRITES: &str = "privacy.keys={ write = \"2026-11\", at = { \"2026-11\" = \"env:SESAME_TEST_FILE_KEY\" } }";

fn small() -> PathBuf {
    repository("data-samples/small")
}

/// Runs a command on the nightly pipeline over an export, with keys and the variable that holds one.
fn keyed(work: &Workdir, command: &str, export: &Path, output: &str, more: &[&str]) -> Ended {
    let mut command = work.command(work.arguments(command, export, output, more));
    work.ended(command.env(VARIABLE, KEY))
}

fn sesame(work: &Workdir, args: &[&str], key: Option<&str>) -> Ended {
    let mut command = work.command(args);
    match key {
        Some(key) => work.ended(command.env(VARIABLE, key)),
        None => work.ended(command.env_remove(VARIABLE)),
    }
}

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let pattern = folder.join("**/*");
    let found = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap).filter(|path| path.is_file());
    found
        .map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

/// All rows of an encrypted file.
fn decrypted(path: &Path) -> RecordBatch {
    let properties = FileDecryptionProperties::builder((0..16).collect()).build().unwrap();
    let options = ArrowReaderOptions::new().with_file_decryption_properties(properties);
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The files of the only run of an output folder.
fn run_folder(work: &Workdir, output: &str) -> PathBuf {
    let runs: Vec<PathBuf> =
        glob::glob(work.path(output).join("runs/*").to_str().unwrap()).unwrap().map(Result::unwrap).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.into_iter().next().unwrap()
}

#[test]
fn an_encrypted_run_is_the_plain_one_with_no_id_in_any_byte() {
    let work = Workdir::new();
    work.run(&small(), "plain", &[]).expect(0);
    keyed(&work, "run", &small(), "out", &["--set", WRITES]).expect(0);
    // The tables are the same, one by one; those of the plain run are not encrypted.
    let (plain, encrypted) = (run_folder(&work, "plain"), run_folder(&work, "out"));
    let names: Vec<String> = files(&plain).into_keys().filter(|name| name.ends_with(".parquet")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in &names {
        assert!(exports::read(&plain.join(name)) == decrypted(&encrypted.join(name)), "{name}");
    }
    // Nothing that was written names anybody, and every Parquet file is encrypted as a whole.
    // Pages are compressed; the first and the last id stand in a plain file's statistics as they are.
    let scores = exports::read(&work.scores_path("plain"));
    let ids = scores.column_by_name("subject_id").unwrap().as_string::<i32>();
    let canaries = [ids.value(0).as_bytes(), ids.value(ids.len() - 1).as_bytes()];
    let in_plain = files(&work.path("plain"));
    assert!(in_plain.values().any(|bytes| canaries.iter().all(|id| contains(bytes, id))));
    for (name, bytes) in files(&work.path("out")) {
        assert!(!canaries.iter().any(|id| contains(&bytes, id)), "{name} names a subject");
        assert!(!contains(&bytes, KEY.as_bytes()) && !contains(&bytes, &(0..16).collect::<Vec<u8>>()), "{name}");
        if name.ends_with(".parquet") {
            assert!(bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE"), "{name} is not encrypted");
        }
    }
    // Manifest and ledger have the hash that the plain run's table has.
    let of_plain = blake3::hash(&work.scores("plain")).to_hex().to_string();
    let manifest = std::fs::read_to_string(encrypted.join("manifest.json")).unwrap();
    let ledger = std::fs::read_to_string(work.path("out/ledger.ndjson")).unwrap();
    assert!(manifest.contains(&of_plain) && ledger.contains(&format!("\"plain\":\"{of_plain}\"")), "{ledger}");
    // And the plain run tells of no keys.
    let manifest = std::fs::read_to_string(plain.join("manifest.json")).unwrap();
    assert!(!manifest.contains("annotations\": {\n        \"key\"") && !manifest.contains("\"plain\""));
    assert!(!in_plain.iter().any(|(name, bytes)| name.ends_with("stage.json") && contains(bytes, b"\"encrypted\"")));
}

#[test]
fn what_is_kept_of_an_encrypted_run_works_with_its_key() {
    let work = Workdir::new();
    keyed(&work, "run", &small(), "out", &["--set", WRITES]).expect(0);
    keyed(&work, "run", &small(), "out", &["--set", WRITES]).expect(0).says("nothing to do");
    let plan = keyed(&work, "plan", &small(), "out", &["--set", WRITES]).expect(0).out;
    assert!(plan.contains("reuse") && !plan.contains("make "), "{plan}");
    // Spilled, on other threads and with nothing reused: other bytes, the same table.
    let first = work.scores("out");
    let more = ["--set", WRITES, "--memory", "1KB", "--threads", "1", "--fresh"];
    keyed(&work, "run", &small(), "spilled", &more).expect(0);
    assert_ne!(first, work.scores("spilled"));
    assert!(decrypted(&work.scores_path("out")) == decrypted(&work.scores_path("spilled")));
    // Hashes need no key; whoever runs it again or looks inside does.
    sesame(&work, &["verify", "latest", "--output", "out"], None).expect(0).says("of them encrypted");
    sesame(&work, &["verify", "--all", "--output", "out"], None).expect(0);
    sesame(&work, &["verify", "latest", "--output", "out", "--replay"], Some(KEY))
        .expect(0)
        .says("gives the same bytes");
    sesame(&work, &["report", "latest", "--output", "out"], None).expect(0);
    let subjects = exports::read(&small().join("subjects.parquet"));
    let id = subjects.column_by_name("subject_id").unwrap().as_string::<i32>().value(0).to_owned();
    let plain = Workdir::new();
    plain.run(&small(), "out", &[]).expect(0);
    for format in ["text", "json", "notice"] {
        let args = ["explain", "latest", id.as_str(), "--output", "out", "--format", format];
        let of_plain = plain.sesame(args).expect(0).out;
        // Runs are named alike: keys are no part of what a result depends on.
        assert_eq!(sesame(&work, &args, Some(KEY)).expect(0).out, of_plain);
    }
    let outcomes = small().join("outcomes.parquet").display().to_string();
    for args in [
        vec!["diff", "latest", "latest", "--output", "out"],
        vec!["validate", "latest", "--output", "out", "--outcomes", &outcomes],
    ] {
        let (of_plain, with_key) = (plain.sesame(&args), sesame(&work, &args, Some(KEY)));
        assert_eq!((with_key.code, with_key.out), (of_plain.code, of_plain.out), "{args:?}");
    }
}

#[test]
fn a_missing_or_wrong_key_is_told_with_its_id_and_is_no_damage() {
    let work = Workdir::new();
    let sets = ["--set", WRITES];
    keyed(&work, "run", &small(), "out", &sets).expect(0);
    let explain = ["explain", "latest", "0000", "--output", "out"];
    let no_damage =
        |ended: &Ended| assert!(!ended.err.contains("damaged") && !ended.err.contains("corrupt"), "{}", ended.err);
    let missing =
        sesame(&work, &explain, None).expect(2).says("privacy.keys.at.2026-11").says("SESAME_TEST_FILE_KEY is not set");
    no_damage(&missing.says("scores.parquet"));
    let wrong = sesame(&work, &explain, Some(OTHER)).expect(2).says("the key `2026-11` does not open it");
    no_damage(&wrong.says("scores.parquet"));
    // Another file says where the key is now.
    std::fs::write(work.path("2026-11.key"), KEY).unwrap();
    let text = std::fs::read_to_string(repository("pipelines/nightly.toml")).unwrap();
    let keys = "[privacy.keys.at]\n\"2026-11\" = \"file:2026-11.key\"\n";
    std::fs::write(work.path("keys.toml"), format!("{text}\n{keys}")).unwrap();
    let found = sesame(&work, &[&explain[..], &["--keys", "keys.toml"]].concat(), None);
    no_damage(&found);
    assert!(!found.err.contains("2026-11"), "{}", found.err);
    // A run needs it before it does anything.
    let args = work.arguments("run", &small(), "out", &[&sets[..], &["--as-of", "2025-09-30"]].concat());
    let mut command = work.command(&args);
    work.ended(command.env_remove(VARIABLE)).expect(2).says("SESAME_TEST_FILE_KEY is not set");
    let mut command = work.command(&args);
    let ended =
        work.ended(command.env(VARIABLE, "correct horse battery staple")).expect(2).says("openssl rand -base64 32");
    assert!(!ended.err.contains("battery"), "{}", ended.err);
    assert_eq!(work.published("out").len(), 1);
    // Keys are named, never written.
    let written = "privacy.keys.write=\"none\"";
    keyed(&work, "run", &small(), "out", &["--set", WRITES, "--set", written]).expect(2).says("none of the keys of");
}

#[test]
fn keys_rotate_and_old_ids_open_what_they_wrote() {
    let work = Workdir::new();
    std::fs::write(work.path("new.key"), OTHER).unwrap();
    let new = work.path("new.key").display().to_string();
    let both = format!(
        "privacy.keys={{ write = \"2026-12\", at = {{ \"2026-11\" = \"env:{VARIABLE}\", \"2026-12\" = \"file:{new}\" }} }}"
    );
    let alone = format!("privacy.keys={{ write = \"2026-12\", at = {{ \"2026-12\" = \"file:{new}\" }} }}");
    keyed(&work, "run", &small(), "out", &["--set", WRITES, "--as-of", "2025-09-30"]).expect(0);
    // The table under the old key stays as it is, and its stages are used.
    let again = ["--set", both.as_str(), "--as-of", "2025-09-30"];
    keyed(&work, "run", &small(), "out", &again).expect(0).says("nothing to do");
    let plan = keyed(&work, "plan", &small(), "out", &again).expect(0).out;
    assert!(plan.contains("reuse") && !plan.contains("make "), "{plan}");
    // The next date is compared with it, and written with the new key.
    keyed(&work, "run", &small(), "out", &["--set", &both, "--as-of", "2025-10-31"]).expect(0);
    let tables = work.published("out");
    let named = |date: &str, id: &[u8]| {
        let (_, bytes) = tables.iter().find(|(name, _)| name.contains(date)).unwrap();
        contains(bytes, id)
    };
    assert!(named("2025-09-30", b"2026-11") && named("2025-10-31", b"2026-12") && !named("2025-10-31", b"2026-11"));
    sesame(&work, &["verify", "--all", "--output", "out"], None).expect(0);
    // A key that is no longer named does not open the earlier run, and that is said.
    let ended = keyed(&work, "run", &small(), "out", &["--set", &alone, "--as-of", "2025-10-31", "--fresh"]);
    ended.expect(2).says("`2026-11`, which is not named");
    let plan = keyed(&work, "plan", &small(), "out", &["--set", &alone, "--as-of", "2025-09-30"]).expect(0).out;
    assert!(plan.contains("is encrypted with the key `2026-11`, which is not named"), "{plan}");
}

#[test]
fn what_was_plain_is_written_anew_once_a_key_is_named() {
    let work = Workdir::new();
    work.run(&small(), "out", &[]).expect(0);
    let plan = keyed(&work, "plan", &small(), "out", &["--set", WRITES]).expect(0).out;
    assert!(plan.contains("whether the table is encrypted") && plan.contains("is not encrypted"), "{plan}");
    keyed(&work, "run", &small(), "out", &["--set", WRITES]).expect(0).says("is made again");
    assert!(work.scores("out").starts_with(b"PARE"));
    keyed(&work, "run", &small(), "out", &["--set", WRITES]).expect(0).says("nothing to do");
    // The plain run is kept until it is cleaned, and still holds.
    sesame(&work, &["verify", "--all", "--output", "out"], None).expect(0);
}

#[test]
fn runs_whose_keys_have_one_id_are_each_opened_with_their_own() {
    let work = Workdir::new();
    let variable = "SESAME_TEST_OTHER_KEY";
    keyed(&work, "run", &small(), "a", &["--set", WRITES]).expect(0);
    let other = WRITES.replace(VARIABLE, variable);
    let args = work.arguments("run", &small(), "b", &["--set", &other]);
    work.ended(work.command(&args).env(variable, OTHER)).expect(0);
    let (a, b) = (run_folder(&work, "a").display().to_string(), run_folder(&work, "b").display().to_string());
    for args in [["diff", &a, &b], ["diff", &b, &a]] {
        work.ended(work.command(args).env(VARIABLE, KEY).env(variable, OTHER)).expect(0).says("unmoved");
        // The one that is missing may be the right one.
        sesame(&work, &args, Some(KEY)).expect(2).says("SESAME_TEST_OTHER_KEY is not set");
    }
}

#[test]
fn a_subject_is_answered_with_the_keys_that_kept_runs_name() {
    let work = Workdir::new();
    keyed(&work, "run", &small(), "out", &["--set", WRITES]).expect(0);
    let subjects = exports::read(&small().join("subjects.parquet"));
    let id = subjects.column_by_name("subject_id").unwrap().as_string::<i32>().value(0).to_owned();
    let mut args = work.arguments("access", &small(), "out", &["--format", "json"]);
    args.insert(2, id);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told: serde_json::Value = serde_json::from_str(&sesame(&work, &args, Some(KEY)).expect(0).out).unwrap();
    assert!(told["runs"][0]["kept"] == true && !told["runs"][0]["features"].as_object().unwrap().is_empty(), "{told}");
    sesame(&work, &args, None).expect(2).says("SESAME_TEST_FILE_KEY is not set");
}

#[test]
fn a_command_that_lies_in_a_kept_run_is_not_run() {
    let work = Workdir::new();
    std::fs::write(work.path("the.key"), KEY).unwrap();
    let asked = work.path("asked");
    let command = format!("cmd:touch '{}'; cat '{}'", asked.display(), work.path("the.key").display());
    let keys = format!("privacy.keys={{ write = \"2026-11\", at = {{ \"2026-11\" = \"{command}\" }} }}");
    let ledger = format!("privacy.ledger_key=\"{command}\"");
    work.run(&small(), "out", &["--set", &keys, "--set", &ledger]).expect(0);
    std::fs::remove_file(&asked).unwrap();
    let subjects = exports::read(&small().join("subjects.parquet"));
    let id = subjects.column_by_name("subject_id").unwrap().as_string::<i32>().value(0).to_owned();
    let explain = ["explain", "latest", id.as_str(), "--output", "out"];
    let verify = ["verify", "latest", "--output", "out"];
    work.sesame(explain).expect(2).says("privacy.keys.at.2026-11 is a command of a kept run").says("--keys PIPELINE");
    work.sesame(verify).expect(2).says("privacy.ledger_key is a command of a kept run").says("--ledger-key");
    assert!(!asked.exists());
    // What the user names is run.
    let text = std::fs::read_to_string(repository("pipelines/nightly.toml")).unwrap();
    let named = format!("{text}\n[privacy.keys.at]\n\"2026-11\" = \"{command}\"\n");
    std::fs::write(work.path("keys.toml"), named).unwrap();
    work.sesame([&explain[..], &["--keys", "keys.toml"]].concat()).expect(0);
    let verify = [&verify[..], &["--ledger-key", &command]].concat();
    work.sesame(&verify).expect(0);
    work.sesame([&verify[..], &["--keys", "keys.toml", "--replay"]].concat()).expect(0).says("gives the same bytes");
}

#[test]
fn hook_programs_see_no_key_of_a_partner_and_are_not_called_while_its_variable_is_not_known() {
    let work = Workdir::new();
    let keys = ["KEY_OF_A", "OLD_KEY_OF_A", "FILES_OF_A"];
    let partners = "[[partner]]\nid='a'\ntitle='A'\nkey='env:KEY_OF_A'\nkey_id='a-1'\nkey_period='x'\n\
        earlier_keys=[{ id='a-0', key='env:OLD_KEY_OF_A' }]\nfile_keys={ at={ f='env:FILES_OF_A' } }\n";
    let seen = keys.map(|key| format!("${{{key}:-nothing}}")).join(" ");
    let hook = format!("on_success=[\"sh\", \"-c\", \"echo seen: {seen}\"]");
    let set = format!("partners=\"{}\"", work.path("partners.toml").display());
    let run = |output: &str| {
        let args = work.arguments("run", &small(), output, &["--set", &hook, "--set", &set]);
        work.ended(work.command(args).envs(keys.map(|key| (key, OTHER))))
    };
    std::fs::write(work.path("partners.toml"), partners).unwrap();
    assert!(!run("out").expect(0).says("seen: nothing nothing nothing").err.contains(OTHER));
    std::fs::write(work.path("partners.toml"), partners.replace("key_id='a-1'", "")).unwrap();
    let ended = run("other").expect(0).says("it is not called").says("partners.toml");
    assert!(!ended.err.contains("seen:"), "{}", ended.err);
}

#[test]
fn hook_programs_do_not_see_keys() {
    let work = Workdir::new();
    let hook = "on_success=[\"sh\", \"-c\", \"echo seen: ${SESAME_TEST_FILE_KEY:-nothing}\"]";
    let ended = keyed(&work, "run", &small(), "out", &["--set", WRITES, "--set", hook]).expect(0).says("seen: nothing");
    assert!(!ended.err.contains(KEY));
}

#[test]
fn pyarrow_opens_what_is_written_and_its_files_are_read() {
    let Some(python) = std::env::var_os("SESAME_PYTHON") else {
        eprintln!("SESAME_PYTHON names no Python: no other reader or writer was asked");
        return;
    };
    let work = Workdir::new();
    let (hex, wrapping) = ("000102030405060708090a0b0c0d0e0f", OTHER);
    let script = |args: &[&str]| {
        let mut command = Command::new(&python);
        // Nothing is written beside the script.
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(repository("tests/oracle/encrypted.py")).args(args);
        work.ended(&mut command)
    };
    let (from, to) = (small(), work.path("export"));
    script(&["write", from.to_str().unwrap(), to.to_str().unwrap(), hex, wrapping]).expect(0).says("files written");
    std::fs::write(work.path("columns.key"), OTHER).unwrap();
    let columns = work.path("columns.key").display().to_string();
    let keys = format!(
        "privacy.keys={{ write = \"2026-11\", at = {{ \"2026-11\" = \"env:{VARIABLE}\", of-columns = \"file:{columns}\" }} }}"
    );
    keyed(&work, "run", &to, "out", &["--set", &keys]).expect(0);
    work.run(&from, "plain", &[]).expect(0);
    let of_plain = exports::read(&work.scores_path("plain"));
    assert!(decrypted(&work.scores_path("out")) == of_plain);
    let (encrypted, plain) = (run_folder(&work, "out"), run_folder(&work, "plain"));
    script(&["open", encrypted.to_str().unwrap(), hex, plain.to_str().unwrap()]).expect(0).says("equal the plain ones");
    // Inputs whose key is not named, or not right, are no corrupt files.
    let ended = work.run(&to, "none", &[]).expect(2).says("[privacy.keys.at]");
    assert!(!ended.err.contains("readable Parquet"), "{}", ended.err);
    let mut command = work.command(work.arguments("run", &to, "none", &["--set", &keys]));
    let ended = work.ended(command.env(VARIABLE, "00000000000000000000000000000000")).expect(2).says("2026-11");
    assert!(!ended.err.contains("readable Parquet"), "{}", ended.err);
}
