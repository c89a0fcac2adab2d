//! Encryption, releases, answers and erasures together: one output folder through all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::encryption::decrypt::FileDecryptionProperties;
use serde_json::Value;
use sesame::storage::pseudonym::Pseudonyms;
use sesame::storage::secret::Secret;

use crate::exports::{Export, read};
use crate::workdir::{Ended, Workdir, repository};

const T: &str = "2025-11-05T12:00:00Z";
/// By variable: the keys of all kinds, none of which may stand anywhere.
const KEYS: [(&str, &str); 5] = [
    ("KEY_OF_FILES", "000102030405060708090a0b0c0d0e0f"),
    ("KEY_OF_OLD_FILES", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"),
    ("KEY_OF_LEDGER", "the ledger's key, of the tests alone"),
    ("KEY_OF_PARTNER", "the partner's key, of the tests alone"),
    ("KEY_OF_PARTNER_FILES", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
];
const PARTNERS: &str = r#"
[[partner]]
id = "bank"
title = "A bank"
columns = ["band", "score"]
key = "env:KEY_OF_PARTNER"
key_id = "bank-1"
key_period = "2026-Q4"
file_keys = { write = "bank-files", at = { "bank-files" = "env:KEY_OF_PARTNER_FILES" } }
"#;

struct Scene {
    work: Workdir,
}

impl Scene {
    fn new() -> Self {
        let work = Workdir::new();
        std::fs::write(work.path("partners.toml"), PARTNERS).unwrap();
        Self { work }
    }

    /// Runs a command of the pipeline with keys for files, of which one is written with.
    fn pipeline(&self, command: &str, write: &str, more: &[&str]) -> Ended {
        self.sesame(&self.arguments(command, write, more))
    }

    fn arguments(&self, command: &str, write: &str, more: &[&str]) -> Vec<String> {
        let keys = format!(
            "privacy.keys={{ write = \"{write}\", at = {{ new = \"env:KEY_OF_FILES\", old = \"env:KEY_OF_OLD_FILES\" }} }}"
        );
        let set = ["--set", &keys, "--set", "privacy.ledger_key=\"env:KEY_OF_LEDGER\""];
        self.work.arguments(command, &repository("data-samples/small"), "out", &[&set[..], more].concat())
    }

    /// Runs it without the variable of a key.
    fn without(&self, variable: &str, args: &[String]) -> Ended {
        self.work.ended(self.work.command(args).envs(KEYS).env_remove(variable))
    }

    fn sesame<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Ended {
        self.work.ended(self.work.command(args).envs(KEYS))
    }

    fn release(&self, more: &[&str]) -> Ended {
        self.sesame(&self.release_arguments(more))
    }

    fn release_arguments(&self, more: &[&str]) -> Vec<String> {
        let consents = format!("inputs.consents=\"{}\"", self.work.path("consents.parquet").display());
        let partners = self.partners();
        let args = ["--partner", "bank", "--at", T, "--set", &partners, "--set", &consents];
        self.arguments("release", "new", &[&args[..], more].concat())
    }

    fn partners(&self) -> String {
        format!("partners=\"{}\"", self.work.path("partners.toml").display())
    }

    /// The arguments that erase a subject.
    fn erase(&self, subject: &str, more: &[&str]) -> Vec<String> {
        std::fs::write(self.work.path("ids.txt"), format!("{subject}\n")).unwrap();
        let ids = self.work.path("ids.txt").display().to_string();
        self.arguments("erase", "new", &[&["--ids", &ids, "--set", &self.partners(), "--yes"][..], more].concat())
    }

    /// The name under which the bank knows a subject.
    fn pseudonym(&self, subject: &str) -> String {
        std::fs::write(self.work.path("key"), KEYS[3].1).unwrap();
        let key = format!("file:{}", self.work.path("key").display());
        let names = Pseudonyms::of(&Secret::read("key", &key, |place: &str| PathBuf::from(place)).unwrap());
        names.name("release bank 2026-Q4", subject.as_bytes())
    }

    /// What the bank has: of the release and of those who have withdrawn, the pseudonyms.
    fn given(&self) -> [BTreeSet<String>; 2] {
        let place = self.work.path("out/releases/partner=bank/as_of=2025-10-31");
        ["release.parquet", "withdrawn.parquet"]
            .map(|file| texts(&opened(&place.join(file)).1, "pseudonym").into_iter().collect())
    }

    fn agreed(&self, subjects: &[String]) {
        let of = || subjects.iter().map(String::as_str);
        Export::new()
            .text("subject_id", of())
            .text("purpose", of().map(|_| "release"))
            .text("partner_id", of().map(|_| "bank"))
            .instants("granted_at", &vec![Some("2024-01-01"); subjects.len()])
            .instants("revoked_at", &vec![None; subjects.len()])
            .write(&self.work.path("consents.parquet"));
    }

    fn verified(&self) {
        self.sesame(&["verify", "--all", "--output", "out"]).expect(0).says("everything holds");
    }

    fn files(&self) -> BTreeMap<String, PathBuf> {
        let root = self.work.path("out");
        let found = glob::glob(root.join("**/*").to_str().unwrap()).unwrap().map(Result::unwrap);
        let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        found.filter(|path| path.is_file()).map(|path| (name(&path), path)).collect()
    }

    fn published(&self) -> RecordBatch {
        opened(&self.work.scores_path("out")).1
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn with_key(path: &Path, key: &str) -> Option<RecordBatch> {
    let properties = FileDecryptionProperties::builder(bytes(key)).build().unwrap();
    let options = ArrowReaderOptions::new().with_file_decryption_properties(properties);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(std::fs::File::open(path).unwrap(), options);
    let builder = builder.ok()?;
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().ok()?.collect::<Result<_, _>>().ok()?;
    Some(concat_batches(&schema, &batches).unwrap())
}

/// An encrypted table, and the variable of the one key that opens it.
fn opened(path: &Path) -> (&'static str, RecordBatch) {
    let of_files = KEYS.iter().filter(|(name, _)| name.ends_with("FILES"));
    let found: Vec<_> = of_files.filter_map(|(name, key)| Some((*name, with_key(path, key)?))).collect();
    assert_eq!(found.len(), 1, "{} is opened by {} keys", path.display(), found.len());
    found.into_iter().next().unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
}

/// The scored subjects of a table.
fn scored(table: &RecordBatch) -> Vec<String> {
    let scores = table.column_by_name("score").unwrap();
    texts(table, "subject_id").into_iter().enumerate().filter(|(n, _)| scores.is_valid(*n)).map(|(_, id)| id).collect()
}

/// Every text in a table.
fn words(table: &RecordBatch) -> BTreeSet<String> {
    let columns = table.columns().iter().filter(|column| *column.data_type() == DataType::Utf8);
    columns.flat_map(|column| column.as_string::<i32>().iter().flatten().map(str::to_owned)).collect()
}

#[test]
fn an_encrypted_output_is_released_answered_for_and_erased_from() {
    let scene = Scene::new();
    scene.pipeline("run", "old", &["--as-of", "2025-09-30"]).expect(0);
    scene.pipeline("run", "new", &[]).expect(0);
    let newest = scene.work.path("out/scores/as_of=2025-10-31/model=standard-1/scores.parquet");
    let subjects: Vec<String> = scored(&opened(&newest).1).into_iter().take(40).collect();
    scene.agreed(&subjects);
    let before: Value = serde_json::from_str(&scene.release(&["--format", "json"]).expect(0).out).unwrap();
    scene.release(&[]).expect(0).says("nothing to do");

    // The partner's key opens what it is given, and no other does; the receipt names it.
    let place = scene.work.path("out/releases/partner=bank/as_of=2025-10-31");
    for file in ["release.parquet", "withdrawn.parquet"] {
        assert_eq!(opened(&place.join(file)).0, "KEY_OF_PARTNER_FILES", "{file}");
    }
    let given = opened(&place.join("release.parquet")).1;
    assert_eq!(given.num_rows(), 40);
    assert!(before.to_string().contains("\"encrypted\":\"bank-files\""), "{before}");
    std::fs::write(scene.work.path("key"), KEYS[3].1).unwrap();
    let key = format!("file:{}", scene.work.path("key").display());
    let names = Pseudonyms::of(&Secret::read("key", &key, |place: &str| PathBuf::from(place)).unwrap());
    let pseudonym = names.name("release bank 2026-Q4", subjects[0].as_bytes());
    assert!(texts(&given, "pseudonym").contains(&pseudonym));

    // The subject is told of it.
    let partners = format!("partners=\"{}\"", scene.work.path("partners.toml").display());
    let told = scene.pipeline("access", "new", &[&subjects[0], "--set", &partners, "--format", "json"]).expect(0).out;
    assert!(told.contains(&pseudonym) && told.contains("2025-09-30"), "{told}");
    // Somebody else withdraws, so that an earlier release is kept beside the newest.
    scene.agreed(&subjects[..39]);
    scene.release(&[]).expect(0);
    scene.verified();

    std::fs::write(scene.work.path("ids.txt"), format!("{}\n", subjects[0])).unwrap();
    let ids = scene.work.path("ids.txt").display().to_string();
    let erase = ["--ids", &ids, "--set", &partners, "--yes", "--notices", "notices"];
    scene.pipeline("erase", "new", &erase).expect(0).says("later runs leave these subjects out");
    let notice = std::fs::read_to_string(scene.work.path("notices/bank/erasure-1.json")).unwrap();
    assert!(notice.contains(&pseudonym));
    scene.verified();
    let mut keys = BTreeSet::new();
    for (name, path) in scene.files() {
        let content = std::fs::read(&path).unwrap();
        let lost = |word: &str| !content.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(KEYS.iter().all(|(_, key)| lost(key)) && lost(&subjects[0]) && lost(&pseudonym), "{name}");
        if name.ends_with(".parquet") {
            let (key, table) = opened(&path);
            keys.insert(key);
            let words = words(&table);
            assert!(!words.contains(&subjects[0]) && !words.contains(&pseudonym), "{name} still holds the subject");
        }
    }
    // Each file is under the key that it was under.
    assert_eq!(keys.len(), 3, "{keys:?}");
    let earlier = scene.work.path("out/scores/as_of=2025-09-30/model=standard-1/scores.parquet");
    assert_eq!((opened(&earlier).0, opened(&newest).0), ("KEY_OF_OLD_FILES", "KEY_OF_FILES"));
    assert_eq!(opened(&place.join("release.parquet")).1.num_rows(), 38);
    // The partner has that already.
    scene.release(&[]).expect(0).says("nothing to do");
    scene.verified();

    // What comes after leaves the subject out, and what is left can be asked for, released and verified.
    scene.pipeline("run", "new", &[]).expect(0).says("published");
    assert!(!texts(&opened(&newest).1, "subject_id").contains(&subjects[0]));
    scene.release(&[]).expect(0);
    assert_eq!(opened(&place.join("release.parquet")).1.num_rows(), 38);
    let withdrawn = texts(&opened(&place.join("withdrawn.parquet")).1, "pseudonym");
    assert_eq!(withdrawn, [names.name("release bank 2026-Q4", subjects[39].as_bytes())]);
    scene.pipeline("access", "new", &[&subjects[1], "--set", &partners]).expect(0);
    let told = scene.pipeline("access", "new", &[&subjects[0], "--set", &partners, "--format", "json"]).expect(0).out;
    assert!(told.contains("\"erased\"") && !told.contains(&pseudonym), "{told}");
    scene.verified();
}

#[test]
fn a_release_is_plain_where_the_partner_has_no_key_for_files() {
    let scene = Scene::new();
    scene.pipeline("run", "new", &[]).expect(0);
    let plain: String =
        PARTNERS.lines().filter(|line| !line.starts_with("file_keys")).map(|l| format!("{l}\n")).collect();
    std::fs::write(scene.work.path("partners.toml"), plain).unwrap();
    scene.agreed(&scored(&scene.published())[..20]);
    scene.release(&[]).expect(0);
    let given = read(&scene.work.path("out/releases/partner=bank/as_of=2025-10-31/release.parquet"));
    assert_eq!(given.num_rows(), 20);
    // A key that is not to be had is told by its name, before anything is given.
    std::fs::write(scene.work.path("partners.toml"), PARTNERS.replace("KEY_OF_PARTNER_FILES", "KEY_OF_NOBODY"))
        .unwrap();
    scene.release(&[]).expect(2).says("KEY_OF_NOBODY");
    scene.verified();
}

#[test]
fn a_partners_key_is_its_own_whatever_else_is_called_by_its_id() {
    let scene = Scene::new();
    scene.pipeline("run", "new", &[]).expect(0);
    let subjects: Vec<String> = scored(&scene.published()).into_iter().take(20).collect();
    scene.agreed(&subjects);
    // Nobody writes with an id that means another key elsewhere.
    let partners = scene.work.path("partners.toml");
    std::fs::write(&partners, PARTNERS.replace("bank-files", "new")).unwrap();
    scene.release(&[]).expect(2).says("the partner `bank`").says("named in [privacy.keys.at] as well");
    std::fs::write(&partners, PARTNERS).unwrap();
    scene.release(&[]).expect(0);
    let shop = PARTNERS.replace("\"bank", "\"shop").replace(
        "at = { ",
        "at = { \"bank-files\" = \"env:KEY_OF_OLD_FILES\", \"bank-2\" = \"env:KEY_OF_OLD_FILES\", ",
    );
    std::fs::write(&partners, format!("{shop}{PARTNERS}")).unwrap();
    scene.release(&[]).expect(2).says("the partner `bank`").says("by another partner");
    // What was given under it opens, though the first key of its id is the shop's, and a third id is the pipeline's.
    let shop = shop.replace("\"bank-2\" = \"env:KEY_OF_OLD_FILES\", ", "");
    let bank = PARTNERS
        .replace("write = \"bank-files\"", "write = \"bank-2\"")
        .replace("at = { ", "at = { \"bank-2\" = \"env:KEY_OF_PARTNER_FILES\", new = \"env:KEY_OF_PARTNER_FILES\", ");
    std::fs::write(&partners, format!("{shop}{bank}")).unwrap();
    scene.agreed(&subjects[1..]);
    scene.release(&[]).expect(0);
    let all: BTreeSet<String> = subjects[1..].iter().map(|subject| scene.pseudonym(subject)).collect();
    assert_eq!(scene.given(), [all, BTreeSet::from([scene.pseudonym(&subjects[0])])]);
    let place = scene.work.path("out/releases/partner=bank/as_of=2025-10-31");
    assert_eq!(opened(&place.join("release.parquet")).0, "KEY_OF_PARTNER_FILES");
    let access = scene.arguments("access", "new", &[&subjects[1], "--set", &scene.partners(), "--format", "json"]);
    let told: Value = serde_json::from_str(&scene.sesame(&access).expect(0).out).unwrap();
    let name = Value::from(scene.pseudonym(&subjects[1]));
    let releases = |told: &Value| told["releases"].as_array().unwrap().clone();
    assert_eq!(releases(&told).iter().map(|release| &release["pseudonym"]).collect::<Vec<_>>(), [&name, &name]);
    // Without the key the answer says that it is not available, and says everything else.
    let ended = scene.without("KEY_OF_PARTNER_FILES", &access).expect(0).says("KEY_OF_PARTNER_FILES is not set");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert!(
        releases(&told).len() == 2 && releases(&told).iter().all(|release| release["unknown"] == "no_key"),
        "{told}"
    );
    assert_eq!(told["runs"].as_array().unwrap().len(), 1);
    scene.verified();
}

#[test]
fn who_is_erased_while_the_partners_key_is_away_is_to_be_forgotten_once_it_is_back() {
    let scene = Scene::new();
    scene.pipeline("run", "new", &[]).expect(0);
    let subjects: Vec<String> = scored(&scene.published()).into_iter().take(20).collect();
    scene.agreed(&subjects);
    scene.release(&[]).expect(0);
    scene.without("KEY_OF_PARTNER", &scene.erase(&subjects[0], &["--leave-unsearched"])).expect(0);
    // The consents still carry the subject as one who agrees.
    scene.release(&[]).expect(0);
    let [given, withdrawn] = scene.given();
    assert_eq!((given.len(), withdrawn), (19, BTreeSet::from([scene.pseudonym(&subjects[0])])));
    scene.verified();
}

#[test]
fn a_release_whose_receipt_an_erasure_changed_is_kept_when_it_is_replaced() {
    let scene = Scene::new();
    scene.pipeline("run", "new", &[]).expect(0);
    let subjects: Vec<String> = scored(&scene.published()).into_iter().take(20).collect();
    // What the partner is called holds an id, as it should not.
    let title = format!("The bank of {}", subjects[0]);
    std::fs::write(scene.work.path("partners.toml"), PARTNERS.replace("A bank", &title)).unwrap();
    scene.agreed(&subjects);
    scene.release(&[]).expect(0);
    scene.sesame(&scene.erase(&subjects[0], &["--notices", "notices"])).expect(0);
    let receipt = scene.work.path("out/releases/partner=bank/as_of=2025-10-31/receipt.json");
    assert!(!std::fs::read_to_string(receipt).unwrap().contains(&subjects[0]));
    std::fs::write(scene.work.path("partners.toml"), PARTNERS).unwrap();
    scene.agreed(&subjects[2..]);
    scene.work.copy(&scene.work.path("out"), "before");
    for step in ["release staged", "ledger line", "release in its place", "release concluded", "never"] {
        std::fs::remove_dir_all(scene.work.path("out")).unwrap();
        scene.work.copy(&scene.work.path("before"), "out");
        let mut command = scene.work.command(scene.release_arguments(&[]));
        let killed = scene.work.ended(command.envs(KEYS).env("SESAME_KILL_AT", step));
        assert_eq!(killed.code, if step == "never" { 0 } else { -1 }, "{step}");
        scene.release(&[]).expect(0);
        scene.verified();
        // Whoever was only in the one that was replaced is to be forgotten.
        let [given, withdrawn] = scene.given();
        assert_eq!((given.len(), withdrawn), (18, BTreeSet::from([scene.pseudonym(&subjects[1])])), "{step}");
        // Once more, for which the one that was replaced is read again.
        scene.agreed(&subjects[3..]);
        scene.release(&[]).expect(0);
        assert_eq!(scene.given()[1].len(), 2, "{step}");
        scene.verified();
        scene.agreed(&subjects[2..]);
    }
}
