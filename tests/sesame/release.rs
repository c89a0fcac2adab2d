//! Releases to partners: who is in one, under which name, and what becomes of who withdraws; again, and killed anywhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use arrow::array::{Array, AsArray, RecordBatch};
use ring::hmac;
use serde_json::Value;

use crate::exports::{Export, read};
use crate::workdir::{Ended, Workdir, repository};

const T: &str = "2025-11-05T12:00:00Z";
const BEFORE: &str = "2025-11-05T11:59:59.999999Z";
const AFTER: &str = "2025-11-05T12:00:00.000001Z";
const LONG_AGO: &str = "2024-01-01";
const NOT_YET: &str = "2190-01-01";
const KEY_A: &str = "the key of partner a, of the tests";
const KEY_B: &str = "the key of partner b, of the tests";

/// A consent to a release: subject, partner, granted, revoked, expires.
type Consent<'a> = (&'a str, Option<&'a str>, &'a str, Option<&'a str>, Option<&'a str>);

fn agreed<'a>(subject: &'a str, partner: &'a str) -> Consent<'a> {
    (subject, Some(partner), LONG_AGO, None, None)
}

/// The sample scored as of 2025-10-31, two partners, and the ids of its scored subjects.
struct Scene {
    work: Workdir,
    scored: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let work = Workdir::new();
        work.run(&repository("data-samples/small"), "out", &[]).expect(0);
        let table = read(&work.scores_path("out"));
        let ids = table.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
        let scores = table.column_by_name("score").unwrap().clone();
        let scored = (0..table.num_rows()).filter(|n| scores.is_valid(*n)).map(|n| ids.value(n).to_owned()).collect();
        let scene = Self { work, scored };
        scene.partners("2025-Q4", "");
        scene
    }

    fn partners(&self, period: &str, more: &str) {
        let partner = |id: &str, columns: &str| {
            format!(
                "[[partner]]\nid = \"partner-{id}\"\ntitle = \"Partner {id}\"\nkey = \"env:KEY_{}\"\nkey_id = \"{id}-1\"\n\
                 key_period = \"{period}\"\n{columns}\n",
                id.to_uppercase()
            )
        };
        let all = "columns = [\"above\", \"band\", \"score\", \"percentile\"]\nprivilege = \"deposit-free car hire\"";
        std::fs::write(self.work.path("partners.toml"), partner("a", more) + &partner("b", all)).unwrap();
    }

    fn consents(&self, rows: &[Consent]) {
        Export::new()
            .text("subject_id", rows.iter().map(|r| r.0))
            .text("purpose", rows.iter().map(|_| "release"))
            .text_or_null("partner_id", &rows.iter().map(|r| r.1).collect::<Vec<_>>())
            .instants("granted_at", &rows.iter().map(|r| Some(r.2)).collect::<Vec<_>>())
            .instants("revoked_at", &rows.iter().map(|r| r.3).collect::<Vec<_>>())
            .instants("expires_at", &rows.iter().map(|r| r.4).collect::<Vec<_>>())
            .write(&self.work.path("consents.parquet"));
    }

    fn args(&self, partner: &str, more: &[&str]) -> Vec<String> {
        let mut args =
            self.work.arguments("release", &repository("data-samples/small"), "out", &["--partner", partner]);
        for (key, file) in [("partners", "partners.toml"), ("inputs.consents", "consents.parquet")] {
            args.extend(["--set".to_owned(), format!("{key}=\"{}\"", self.work.path(file).display())]);
        }
        if !more.contains(&"--at") {
            args.extend(["--at", T].map(str::to_owned));
        }
        args.extend(more.iter().map(ToString::to_string));
        args
    }

    fn release(&self, partner: &str, more: &[&str]) -> Ended {
        let mut command = self.work.command(self.args(partner, more));
        self.work.ended(command.env("KEY_A", KEY_A).env("KEY_B", KEY_B))
    }

    fn table(&self, partner: &str, as_of: &str, file: &str) -> RecordBatch {
        read(&self.work.path(&format!("out/releases/partner={partner}/as_of={as_of}/{file}")))
    }

    fn names(&self, partner: &str, file: &str) -> BTreeSet<String> {
        names(&self.table(partner, "2025-10-31", file))
    }

    fn receipt(&self, partner: &str) -> Value {
        let path = self.work.path(&format!("out/releases/partner={partner}/as_of=2025-10-31/receipt.json"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn verify(&self) -> Ended {
        self.work.sesame(["verify", "--all", "--output", "out"])
    }
}

fn names(table: &RecordBatch) -> BTreeSet<String> {
    let names = table.column_by_name("pseudonym").unwrap().as_string::<i32>();
    let all: Vec<String> = names.iter().flatten().map(str::to_owned).collect();
    assert!(all.is_sorted());
    all.into_iter().collect()
}

/// The pseudonym as the documents say that it is made.
fn pseudonym(key: &str, domain: &str, id: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, format!("{domain}\0{id}").as_bytes());
    tag.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect()
}

fn of_a(id: &str) -> String {
    pseudonym(KEY_A, "release partner-a 2025-Q4", id)
}

#[test]
fn a_consent_counts_from_the_microsecond_after_it_is_given_while_it_lasts() {
    let scene = Scene::new();
    let s = |n: usize| scene.scored[n].as_str();
    let a = Some("partner-a");
    // Whoever has withdrawn since is left out as well, whatever T is; that an end counts to the microsecond, a test of the library shows.
    let rows: [(Consent, bool); 11] = [
        ((s(0), a, BEFORE, None, None), true),
        ((s(1), a, T, None, None), false),
        ((s(2), a, LONG_AGO, Some(BEFORE), None), false),
        ((s(3), a, LONG_AGO, Some(T), None), false),
        ((s(4), a, LONG_AGO, Some(NOT_YET), None), true),
        ((s(5), a, LONG_AGO, None, Some(AFTER)), false),
        ((s(6), a, LONG_AGO, None, Some(NOT_YET)), true),
        ((s(7), a, AFTER, None, None), false),
        ((s(8), Some("partner-b"), LONG_AGO, None, None), false),
        ((s(9), None, LONG_AGO, None, None), false),
        ((s(10), a, LONG_AGO, None, None), false),
    ];
    let mut all: Vec<Consent> = rows.iter().map(|r| r.0).collect();
    // A withdrawal holds, whether the export updates the row or adds another.
    all.push((s(10), a, LONG_AGO, Some(BEFORE), None));
    scene.consents(&all);
    scene.release("partner-a", &[]).expect(0);
    let expected: BTreeSet<String> = rows.iter().filter(|r| r.1).map(|r| of_a(r.0.0)).collect();
    assert_eq!(scene.names("partner-a", "release.parquet"), expected);
    let columns: Vec<String> = scene
        .table("partner-a", "2025-10-31", "release.parquet")
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(columns, ["pseudonym", "band"]);
    scene.verify().expect(0).says("releases: 1 as the ledger says");
}

#[test]
fn partners_and_periods_share_no_name_and_each_is_told_what_it_may() {
    let scene = Scene::new();
    let all: Vec<Consent> =
        scene.scored.iter().flat_map(|id| [agreed(id, "partner-a"), agreed(id, "partner-b")]).collect();
    scene.consents(&all);
    scene.release("partner-a", &[]).expect(0);
    scene.release("partner-b", &[]).expect(0);
    let (a, b) = (scene.names("partner-a", "release.parquet"), scene.names("partner-b", "release.parquet"));
    let ids: BTreeSet<String> = scene.scored.iter().cloned().collect();
    assert_eq!((a.len(), b.len()), (ids.len(), ids.len()));
    assert!(a.is_disjoint(&b) && a.is_disjoint(&ids) && b.is_disjoint(&ids));
    // What b is told is what the table says.
    let (given, table) =
        (scene.table("partner-b", "2025-10-31", "release.parquet"), read(&scene.work.scores_path("out")));
    let score =
        |t: &RecordBatch| t.column_by_name("score").unwrap().as_primitive::<arrow::datatypes::Int16Type>().clone();
    let (known, told, subjects) = (score(&table), score(&given), table.column(0).as_string::<i32>().clone());
    let above = given.column_by_name("above").unwrap().as_boolean().clone();
    let names = given.column(0).as_string::<i32>().clone();
    let mut seen = 0;
    for n in (0..table.num_rows()).filter(|n| known.is_valid(*n)) {
        let name = pseudonym(KEY_B, "release partner-b 2025-Q4", subjects.value(n));
        let at = names.iter().position(|other| other == Some(name.as_str())).unwrap();
        assert_eq!((told.value(at), above.value(at)), (known.value(n), known.value(n) >= 650));
        seen += 1;
    }
    assert_eq!(seen, given.num_rows());
    scene.partners("2026-Q1", "");
    scene.release("partner-a", &[]).expect(0);
    assert!(scene.names("partner-a", "release.parquet").is_disjoint(&a));
    scene.verify().expect(0);
    // The keys are nowhere.
    for file in glob::glob(scene.work.path("out/**/*").to_str().unwrap()).unwrap().map(Result::unwrap) {
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                ![KEY_A, KEY_B].iter().any(|key| bytes.windows(key.len()).any(|w| w == key.as_bytes())),
                "{file:?}"
            );
        }
    }
}

#[test]
fn who_withdraws_is_to_be_forgotten_whenever_and_under_whatever_period_it_was_given() {
    let scene = Scene::new();
    let small = repository("data-samples/small");
    scene.work.run(&small, "out", &["--as-of", "2025-09-30", "--set", "gates.max_age_days=9999"]).expect(0);
    let s = |n: usize| scene.scored[n].as_str();
    scene.consents(&[agreed(s(0), "partner-a"), agreed(s(1), "partner-a"), agreed(s(2), "partner-a")]);
    scene.release("partner-a", &["--run", "2025-10-31"]).expect(0);
    assert_eq!(scene.names("partner-a", "withdrawn.parquet"), BTreeSet::new());
    // One withdraws, another's rows are no longer exported; in the next period both are still to be forgotten.
    scene.partners("2026-Q1", "");
    scene.consents(&[agreed(s(0), "partner-a"), (s(1), Some("partner-a"), LONG_AGO, Some(BEFORE), None)]);
    scene.release("partner-a", &["--run", "2025-10-31"]).expect(0);
    let forgotten: BTreeSet<String> = [s(1), s(2)].map(of_a).into();
    assert_eq!(scene.names("partner-a", "withdrawn.parquet"), forgotten);
    scene.release("partner-a", &["--run", "2025-09-30"]).expect(0);
    assert_eq!(names(&scene.table("partner-a", "2025-09-30", "withdrawn.parquet")), forgotten);
    // Who agrees again is given again.
    scene.consents(&[agreed(s(0), "partner-a"), agreed(s(1), "partner-a")]);
    scene.release("partner-a", &["--run", "2025-10-31"]).expect(0);
    assert_eq!(scene.names("partner-a", "withdrawn.parquet"), BTreeSet::from([of_a(s(2))]));
    scene.verify().expect(0).says("releases: 4 as the ledger says");
    // Another key: the old one is named, or is lost, and then everything under it is to be forgotten.
    let renamed = std::fs::read_to_string(scene.work.path("partners.toml")).unwrap().replace("\"a-1\"", "\"a-2\"");
    let with = |more: &str| {
        let text = renamed.replace("key_id = \"a-2\"", &format!("key_id = \"a-2\"\n{more}"));
        std::fs::write(scene.work.path("partners.toml"), text).unwrap();
    };
    with("");
    scene.release("partner-a", &[]).expect(2).says("`a-1`").says("earlier_keys");
    with("earlier_keys = [{ id = \"a-1\", key = \"env:KEY_A\" }]");
    scene.release("partner-a", &["--run", "2025-10-31"]).expect(0);
    assert_eq!(scene.names("partner-a", "withdrawn.parquet"), BTreeSet::from([of_a(s(2))]));
    with("lost_keys = [\"a-1\"]");
    scene.release("partner-a", &["--run", "2025-10-31"]).expect(0);
    assert!(scene.names("partner-a", "withdrawn.parquet").is_superset(&BTreeSet::from([s(0), s(1), s(2)].map(of_a))));
    // Without one of them nobody could tell.
    let earlier =
        glob::glob(scene.work.path("out/releases/_earlier/**/release.parquet").to_str().unwrap()).unwrap().next();
    std::fs::remove_file(earlier.unwrap().unwrap()).unwrap();
    scene.release("partner-a", &[]).expect(1).says("put it back");
    scene.verify().expect(1).says("missing or was changed");
}

#[test]
fn a_release_of_an_earlier_time_does_not_tell_who_has_withdrawn_since() {
    let scene = Scene::new();
    let s = |n: usize| scene.scored[n].as_str();
    scene.consents(&[
        agreed(s(0), "partner-a"),
        agreed(s(1), "partner-a"),
        (s(2), Some("partner-a"), AFTER, None, None),
    ]);
    scene.release("partner-a", &["--at", "2025-11-06T00:00:00Z"]).expect(0);
    assert_eq!(scene.names("partner-a", "release.parquet"), BTreeSet::from([s(0), s(1), s(2)].map(of_a)));
    // At T the second had not withdrawn, and the third had not agreed: who must be forgotten is asked of now.
    let withdrawn = (s(1), Some("partner-a"), LONG_AGO, Some(AFTER), None);
    scene.consents(&[agreed(s(0), "partner-a"), withdrawn, (s(2), Some("partner-a"), AFTER, None, None)]);
    scene.release("partner-a", &["--at", T]).expect(0);
    assert_eq!(scene.names("partner-a", "release.parquet"), BTreeSet::from([of_a(s(0))]));
    assert_eq!(scene.names("partner-a", "withdrawn.parquet"), BTreeSet::from([of_a(s(1))]));
}

#[test]
fn a_withdrawal_that_breaks_a_rule_is_one_all_the_same() {
    let scene = Scene::new();
    let s = |n: usize| scene.scored[n].as_str();
    let all = [agreed(s(0), "partner-a"), agreed(s(1), "partner-a")];
    scene.consents(&all);
    scene.release("partner-a", &[]).expect(0);
    // It ends before it begins; that of another partner is none of a's business.
    let broken =
        |n: usize, partner: &'static str| (scene.scored[n].as_str(), Some(partner), BEFORE, Some(LONG_AGO), None);
    scene.consents(&[all[0], all[1], broken(0, "partner-a"), broken(1, "partner-b")]);
    scene
        .release("partner-a", &[])
        .expect(0)
        .says("2 rows of consents break a rule")
        .says("left out until it is mended");
    assert_eq!(scene.names("partner-a", "release.parquet"), BTreeSet::from([of_a(s(1))]));
    assert_eq!(scene.names("partner-a", "withdrawn.parquet"), BTreeSet::from([of_a(s(0))]));
}

#[test]
fn the_same_again_does_nothing_and_a_run_that_may_not_be_released_is_not() {
    let scene = Scene::new();
    let all: Vec<Consent> = scene.scored.iter().map(|id| agreed(id, "partner-a")).collect();
    scene.consents(&all);
    let told: Value = serde_json::from_str(&scene.release("partner-a", &["--format", "json"]).expect(0).out).unwrap();
    assert_eq!(told["nothing_to_do"], false);
    let ledger = || std::fs::read_to_string(scene.work.path("out/ledger.ndjson")).unwrap();
    let before = (ledger(), scene.receipt("partner-a"));
    let again = scene.release("partner-a", &["--format", "json", "--at", AFTER]).expect(0).says("nothing to do");
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again["nothing_to_do"].as_bool(), &again["receipt"]), (Some(true), &told["receipt"]));
    assert_eq!((ledger(), scene.receipt("partner-a")), before);
    assert!(before.0.lines().last().unwrap().contains("\"event\":\"released\""));
    // Files of consents may be called anything: the partner is told their hashes alone.
    let file = before.1["consents"][0].as_object().unwrap();
    assert_eq!(file.keys().collect::<Vec<_>>(), ["digest"]);
    scene.release("partner-c", &[]).expect(2).says("declares no partner");
    scene.release("partner-a", &["--at", "2199-01-01"]).expect(2).says("has not come yet");
    scene
        .release("partner-a", &["--set", "inputs.consents=\"\"", "--set", "consent_statement=\"all\""])
        .expect(2)
        .says("inputs.consents");
    let keyless = scene.work.ended(&mut scene.work.command(scene.args("partner-a", &[])));
    keyless.expect(2).says("KEY_A is not set");
    // Another run replaces the table.
    let old = before.1["run"].as_str().unwrap().to_owned();
    scene.work.run(&repository("data-samples/small"), "out", &["--set", "inputs.disputes=\"\""]).expect(0);
    scene.release("partner-a", &["--run", &old]).expect(1).says("replaced its table since");
    scene.release("partner-a", &["--run", &old, "--force-replaced"]).expect(0).says("nothing to do");
    scene.release("partner-a", &[]).expect(0).says("released the run");
    // A run that was changed does not verify.
    let newest = scene.receipt("partner-a")["run"].as_str().unwrap().to_owned();
    std::fs::write(scene.work.path(&format!("out/runs/{newest}/audit.json")), "{}").unwrap();
    scene.release("partner-a", &[]).expect(1).says("audit.json was changed");
}

#[test]
fn no_count_of_a_few_is_in_a_receipt() {
    let scene = Scene::new();
    let few: Vec<Consent> = scene.scored.iter().take(3).map(|id| agreed(id, "partner-a")).collect();
    scene.consents(&few);
    scene.release("partner-a", &[]).expect(0).says("hidden");
    let counts = scene.receipt("partner-a")["counts"].clone();
    assert_eq!((&counts["released"], &counts["subjects"]), (&Value::Null, &Value::from(1_000)));
    // What is shown leaves more than one way to fill in what is not.
    let reasons = ["released", "no_score", "no_consent", "consent_ended"];
    let hidden = reasons.iter().filter(|name| counts[**name].is_null()).count();
    assert!(hidden >= 2, "{counts}");
    assert!(reasons.iter().all(|name| counts[*name].as_u64().is_none_or(|n| n == 0 || n >= 10)), "{counts}");
    let withdrawn: Vec<Consent> =
        scene.scored.iter().take(3).map(|id| (id.as_str(), Some("partner-a"), LONG_AGO, Some(BEFORE), None)).collect();
    scene.consents(&withdrawn);
    scene.release("partner-a", &[]).expect(0);
    assert_eq!(scene.names("partner-a", "withdrawn.parquet").len(), 3);
    assert_eq!(scene.receipt("partner-a")["counts"]["withdrawn"], Value::Null);
}

/// Every step at which a release can be killed.
const STEPS: [&str; 6] =
    ["locked", "release staged", "ledger line", "release in its place", "release concluded", "never"];

#[test]
fn a_release_killed_at_any_step_is_the_old_or_the_new_and_is_finished_by_the_next() {
    let scene = Scene::new();
    let first: Vec<Consent> = scene.scored.iter().take(40).map(|id| agreed(id, "partner-a")).collect();
    let second: Vec<Consent> = scene.scored.iter().skip(20).take(40).map(|id| agreed(id, "partner-a")).collect();
    scene.consents(&first);
    scene.release("partner-a", &[]).expect(0);
    let old = scene.names("partner-a", "release.parquet");
    scene.work.copy(&scene.work.path("out"), "before");
    let new: BTreeSet<String> = second.iter().map(|c| of_a(c.0)).collect();
    let gone: BTreeSet<String> = old.difference(&new).cloned().collect();
    assert_eq!((old.len(), new.len(), gone.len()), (40, 40, 20));
    scene.consents(&second);
    for start in ["before", "nothing"] {
        for step in STEPS {
            std::fs::remove_dir_all(scene.work.path("out")).unwrap();
            scene.work.copy(&scene.work.path("before"), "out");
            if start == "nothing" {
                take_back(&scene.work.path("out"));
            }
            let mut command = scene.work.command(scene.args("partner-a", &[]));
            command.env("KEY_A", KEY_A).env("SESAME_KILL_AT", step).stdout(Stdio::null()).stderr(Stdio::null());
            let killed = command.status().unwrap().code().is_none();
            assert_eq!(killed, step != "never", "{step}");
            let folder = scene.work.path("out/releases/partner=partner-a/as_of=2025-10-31");
            if folder.exists() {
                let seen = scene.names("partner-a", "release.parquet");
                let forgotten = scene.names("partner-a", "withdrawn.parquet");
                match seen == new {
                    true => assert!(start == "nothing" || forgotten == gone, "{step}"),
                    false => assert!(seen == old && forgotten.is_empty(), "{step}"),
                }
                assert!(folder.join("receipt.json").is_file());
            } else {
                assert_eq!(start, "nothing", "{step}");
            }
            scene.release("partner-a", &[]).expect(0);
            assert_eq!(scene.names("partner-a", "release.parquet"), new, "{step}");
            scene.verify().expect(0);
            let lines = std::fs::read_to_string(scene.work.path("out/ledger.ndjson")).unwrap();
            let released = lines.lines().filter(|l| l.contains("\"event\":\"released\"")).count();
            assert_eq!(released, if start == "nothing" { 1 } else { 2 }, "{step}");
            let left = glob::glob(scene.work.path("out/releases/_staged/**/*.*").to_str().unwrap()).unwrap();
            let left: Vec<_> = left.map(Result::unwrap).filter(|p| p.is_file()).collect();
            assert!(left.is_empty(), "{step}: {left:?}");
        }
    }
}

/// An output folder as it was before anything was released.
fn take_back(output: &Path) {
    std::fs::remove_dir_all(output.join("releases")).unwrap();
    let path = output.join("ledger.ndjson");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|l| !l.contains("\"event\":\"released\"")).collect();
    let last = blake3::hash(lines.last().unwrap().as_bytes()).to_hex();
    let head = format!("{{\"count\":{},\"last\":\"{last}\",\"mac\":null}}\n", lines.len());
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    std::fs::write(output.join("ledger.head.json"), head).unwrap();
}
