//! What other processes do meanwhile: ledgers that are gone or old, files that change while they are brought, strange objects, work ended elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::look::{Need, refresh};
use super::memory::{Bucket, Handle};
use super::mirror::{Mirror, held};
use super::protocol_model::{AS_OF, begin, bucket_of, key, publish, scratch, table};
use super::settle::settle;
use super::tidy::{is_due, tidy};
use super::{attach_store, record};
use crate::exit::Locked;
use crate::runs::erasure::Changed;
use crate::runs::erasure::journal::{JOURNAL, Journal, Order};
use crate::runs::erasure::undisturbed::Undisturbed;
use crate::runs::folder::RunFolder;
use crate::runs::kept::arrived;
use crate::runs::ledger::place::{SCORES, table_path};
use crate::runs::ledger::{Entry, Event, Ledger};
use crate::runs::publication::protocol_model::entry;
use crate::runs::verify::{self, Scope};
use crate::storage::hashes;

type Shared = Arc<Mutex<Bucket>>;

fn shared(bucket: Bucket) -> Shared {
    Arc::new(Mutex::new(bucket))
}

/// The mirror of a bucket on a machine, with all that is there.
fn mirror(machine: &Path, bucket: &Shared) -> Arc<Mirror> {
    let mirror = attach_store(machine.join("output"), Arc::new(Handle::of(bucket))).unwrap();
    refresh(&mirror, Need::All).unwrap();
    mirror
}

fn names(bucket: &Shared, folder: &str) -> Vec<String> {
    held(bucket).objects.keys().filter(|name| name.starts_with(folder)).cloned().collect()
}

fn content(bucket: &Shared, below: &str) -> String {
    String::from_utf8(held(bucket).objects[below].0.clone()).unwrap()
}

/// Whether everything holds, as it was brought; counts what is said to be not done yet.
fn proven(mirror: &Mirror) -> (Result<()>, usize) {
    let ledger = Ledger::open(mirror.root(), Some(key())).unwrap();
    let scope = Scope { inputs: false, stop: &AtomicBool::new(false) };
    let said = Mutex::new(0);
    let done = verify::all(mirror.root(), &ledger, scope, &|text| {
        *held(&said) += usize::from(text.contains("not all done yet"));
    });
    (done, said.into_inner().unwrap())
}

fn run_of(content: &str) -> String {
    format!("{AS_OF}-m-1-{content}")
}

#[test]
fn a_ledger_that_is_gone_is_not_begun_anew_and_nothing_is_removed() {
    let start = bucket_of(&["one", "two"]);
    let gone = |also: &[&str]| {
        let mut bucket = start.clone();
        bucket.objects.retain(|name, _| !name.starts_with("ledger/") && name != "ledger.head.json");
        bucket.objects.retain(|name, _| !also.iter().any(|folder| name.starts_with(folder)));
        let (bucket, machine) = (shared(bucket), scratch());
        let before = names(&bucket, "");
        let error = format!("{:#}", begin(machine.path(), Arc::new(Handle::of(&bucket)), true).unwrap_err());
        assert_eq!(names(&bucket, ""), before, "{error}");
        assert!(error.contains("put ledger/ and ledger.head.json back"), "{error}");
        error
    };
    assert!(gone(&[]).contains("has 0 line(s) in its ledger and had 2"));
    assert!(gone(&["ledger.settled.json"]).contains("the ledger is missing"));
    // Where no table is left either, the runs say how they ended.
    assert!(gone(&["ledger.settled.json", "scores/"]).contains("says how its run ended"));
}

#[test]
fn an_old_ledger_that_was_put_back_gives_up_no_run() {
    let bucket = shared(bucket_of(&["one"]));
    let old = held(&bucket).clone();
    let (machine, other) = (scratch(), scratch());
    publish(machine.path(), Arc::new(Handle::of(&bucket)), "two", true).unwrap();
    held(&bucket).objects.remove("ledger/2.json");
    for name in ["ledger.head.json", "ledger.settled.json"] {
        held(&bucket).set(name, &old.objects[name].0);
    }
    let before = names(&bucket, "");
    let error = format!("{:#}", begin(other.path(), Arc::new(Handle::of(&bucket)), true).unwrap_err());
    assert!(error.contains("says how its run ended"), "{error}");
    assert_eq!(names(&bucket, ""), before);
}

#[test]
fn a_number_that_was_planted_in_the_ledger_is_found_out_before_it_is_counted_to() {
    let bucket = shared(bucket_of(&["one"]));
    held(&bucket).set("ledger/+5.json", b"");
    begin(scratch().path(), Arc::new(Handle::of(&bucket)), true).unwrap();
    held(&bucket).set("ledger/99999999999.json", b"");
    let error = format!("{:#}", begin(scratch().path(), Arc::new(Handle::of(&bucket)), true).unwrap_err());
    assert!(error.contains("ledger/2.json is missing"), "{error}");
}

#[test]
fn what_another_process_brings_meanwhile_is_not_put_in_the_place_of_what_was_made() {
    for versions in [false, true] {
        let bucket = shared(Bucket { versions, ..Bucket::default() });
        let name = "scores/a.parquet";
        held(&bucket).set(name, b"old");
        let machine = scratch();
        let mirror = mirror(machine.path(), &bucket);
        let file = mirror.root().join(name);
        let new = hashes::text("new");
        let tag = mirror.changing(name).unwrap().unwrap();
        // A reader of this machine has brought the old one again.
        std::fs::write(&file, "old").unwrap();
        let error = mirror.changed(name, &tag, Some(&new)).unwrap_err().to_string();
        assert!(error.contains("was replaced here"), "{error}");
        assert_eq!(content(&bucket, name), "old");
        std::fs::write(&file, "new").unwrap();
        mirror.changed(name, &tag, Some(&new)).unwrap();
        assert_eq!(content(&bucket, name), "new");
        // What is no copy of its object any more stands for none that could be changed.
        std::fs::write(&file, "older").unwrap();
        assert!(mirror.changing(name).unwrap_err().to_string().contains("anew"));
        refresh(&mirror, Need::All).unwrap();
        let tag = mirror.changing(name).unwrap().unwrap();
        held(&bucket).set(name, b"another");
        std::fs::remove_file(&file).unwrap();
        assert!(mirror.changed(name, &tag, None).is_err());
        assert_eq!(content(&bucket, name), "another");
    }
}

#[test]
fn whoever_puts_a_table_asks_once_more_whether_it_is_the_right_one() {
    let (bucket, machine) = (shared(Bucket::default()), scratch());
    let mirror = mirror(machine.path(), &bucket);
    let file = |text: &str| {
        let path = machine.path().join(text);
        std::fs::write(&path, text).unwrap();
        (path, hashes::text(text))
    };
    // A line came between the question and the put.
    let asked = Mutex::new(0);
    let wanted = || -> Result<_> {
        *held(&asked) += 1;
        Ok(Some(file(if *held(&asked) == 1 { "one" } else { "two" })))
    };
    let (put, _) = mirror.replace("scores/a.parquet", &wanted).unwrap().unwrap();
    assert_eq!((put, content(&bucket, "scores/a.parquet")), (machine.path().join("two"), "two".to_owned()));
    // A file that is not what it must be is not put.
    let wrong = || -> Result<_> { Ok(Some((file("two").0, hashes::text("three")))) };
    assert!(mirror.replace("scores/a.parquet", &wrong).is_err());
    assert!(mirror.replace("scores/a.parquet", &|| Ok(None)).unwrap().is_none());
}

#[test]
fn empty_objects_that_stand_for_folders_are_none() {
    let bucket = shared(bucket_of(&["one"]));
    let run = run_of("one");
    for name in
        ["scores", "releases", "erasures", "erasures/1", "releases/partner=p", "backfills", &format!("runs/{run}")]
    {
        held(&bucket).set(name, b"");
    }
    held(&bucket).set(&format!("scores/as_of={AS_OF}/model=m-1"), b"");
    held(&bucket).set(&format!("runs/{run}/configuration"), b"");
    let machine = scratch();
    let mirror = mirror(machine.path(), &bucket);
    for name in ["scores", "releases", "erasures", "erasures/1", "backfills"] {
        assert!(!mirror.root().join(name).is_file(), "{name}");
    }
    assert!(mirror.root().join(table_path(AS_OF, "m-1").unwrap()).is_file());
    assert_eq!(mirror.strangers(), Vec::<String>::new());
    begin(machine.path(), Arc::new(Handle::of(&bucket)), true).unwrap();
}

#[test]
fn what_is_none_of_the_output_is_named() {
    let bucket = shared(bucket_of(&["one"]));
    held(&bucket).set("lock.json", b"{}");
    held(&bucket).set("history.html", b"x");
    held(&bucket).set("runs/live/announced.json", b"{}");
    held(&bucket).set("runs/live/scores.parquet", b"x");
    let (one, other) = (scratch(), scratch());
    assert_eq!(mirror(one.path(), &bucket).strangers(), Vec::<String>::new());
    let strange = ["exports/x.parquet", "ledger/+5.json", "notes.txt", "runs/unknown/x.json"];
    for name in strange {
        held(&bucket).set(name, b"x");
    }
    let mirror = mirror(other.path(), &bucket);
    assert_eq!(mirror.strangers(), strange);
    let error = format!("{:#}", proven(&mirror).0.unwrap_err());
    assert!(error.contains("runs/unknown/x.json is there, and nothing tells of it"), "{error}");
}

#[test]
fn who_reads_an_output_sees_erasures_where_they_are_done() {
    let (bucket, machine) = (shared(bucket_of(&["one"])), scratch());
    let mirror = mirror(machine.path(), &bucket);
    let begin = || Undisturbed::begin(mirror.root());
    let said = |result: Result<()>| format!("{:#}", result.unwrap_err());
    let reading = begin().unwrap();
    reading.end().unwrap();
    held(&bucket).set("erasures/1/journal.ndjson", b"x");
    assert!(said(reading.end()).contains("the erasure 1 of memory://bucket is under way"));
    assert!(said(begin().map(drop)).contains("is under way"));
    held(&bucket).objects.remove("erasures/1/journal.ndjson");
    held(&bucket).set("erasures/1/receipt.json", b"x");
    assert!(said(begin().map(drop)).contains("were erased from memory://bucket while it was read"));
    refresh(&mirror, Need::Small).unwrap();
    begin().unwrap().end().unwrap();
}

#[test]
fn files_that_came_are_held_against_the_manifest_until_they_hold() {
    let (bucket, machine) = (shared(bucket_of(&["one"])), scratch());
    let name = format!("runs/{}/{SCORES}", run_of("one"));
    let right = content(&bucket, &name);
    held(&bucket).set(&name, b"tampered with");
    let mirror = mirror(machine.path(), &bucket);
    let run = RunFolder::of(mirror.root(), &run_of("one"));
    for _ in 0..2 {
        assert!(arrived(&run).unwrap_err().to_string().contains("was changed"));
    }
    held(&bucket).set(&name, right.as_bytes());
    refresh(&mirror, Need::All).unwrap();
    arrived(&run).unwrap();
    assert!(mirror.unheld(&format!("runs/{}", run.id)).unwrap().is_empty());
    held(&bucket).set(&name, b"tampered with again");
    refresh(&mirror, Need::All).unwrap();
    assert!(arrived(&run).is_err());
}

fn order(number: u64) -> Order {
    let receipt = serde_json::from_value(serde_json::json!({
        "schema": 1, "erasure": number, "begun": "2026-01-01T00:00:00Z", "ended": "", "pipeline": "p", "program": "s", "ids": 1,
        "hashes": [], "guard": "", "stages": 0, "files": [], "inputs": [], "inputs_not_searched": null, "notified": [],
        "releases_not_searched": [], "ledger_lines": 0,
    }));
    Order {
        ids: BTreeSet::from(["ab12cd34".to_owned()]),
        pseudonyms: BTreeSet::new(),
        places: BTreeMap::new(),
        receipt: receipt.unwrap(),
    }
}

#[test]
fn an_erasure_that_was_ended_elsewhere_is_neither_begun_nor_gone_on_with() {
    let (bucket, one, other) = (shared(bucket_of(&["one"])), scratch(), scratch());
    let (a, b) = (mirror(one.path(), &bucket), mirror(other.path(), &bucket));
    let name = format!("erasures/1/{JOURNAL}");
    let mut journal = Journal::begin(a.root(), order(1), Some(key()), None).unwrap();
    // The very same order would be its own, of which the answer was lost.
    let mut later = order(1);
    later.receipt.begun = "2026-01-01T00:00:01Z".to_owned();
    for order in [later, order(2)] {
        let refused = Journal::begin(b.root(), order, Some(key()), None).unwrap_err();
        assert!(refused.is::<Locked>() && names(&bucket, "erasures/2").is_empty(), "{refused:#}");
    }
    let step = Changed { path: "runs/a".into(), rows: Some(1), before: "1".into(), after: Some("2".into()) };
    journal.note(step.clone()).unwrap();
    assert_eq!(content(&bucket, &name).lines().count(), 2);
    // The other one took over, and ended it.
    held(&bucket).objects.remove(&name);
    held(&bucket).set("erasures/1/receipt.json", b"of the other");
    assert!(journal.note(step).is_err());
    assert!(names(&bucket, &name).is_empty(), "the journal is there again, with the ids");
    let receipt = a.root().join("erasures/1/receipt.json");
    assert!(record(&receipt, &|| crate::storage::durable::replace(&receipt, b"of this one")).is_err());
    assert_eq!(content(&bucket, "erasures/1/receipt.json"), "of the other");
    // The ids that are left here go when the machine comes by.
    assert!(a.root().join(&name).is_file());
    assert!(a.look().is_ok() && is_due(&a).unwrap());
    tidy(&a).unwrap();
    assert!(!a.root().join(&name).exists() && !is_due(&a).unwrap());
}

#[test]
fn a_lease_that_ran_out_while_the_process_slept_is_not_held() {
    let (bucket, machine) = (shared(Bucket::default()), scratch());
    let mirror = mirror(machine.path(), &bucket);
    let minute = SignedDuration::from_mins(1);
    *held(&mirror.until) = Some(Timestamp::now().checked_add(minute).unwrap());
    mirror.still_held().unwrap();
    *held(&mirror.until) = Some(Timestamp::now().checked_sub(minute).unwrap());
    assert!(mirror.still_held().unwrap_err().is::<Locked>());
}

#[test]
fn releases_that_no_line_tells_of_go() {
    let (bucket, machine) = (shared(bucket_of(&["one"])), scratch());
    let left = format!("releases/_earlier/partner=p/as_of={AS_OF}/abc/release.parquet");
    held(&bucket).set(&left, b"x");
    begin(machine.path(), Arc::new(Handle::of(&bucket)), true).unwrap();
    assert!(names(&bucket, "releases/").is_empty());
}

/// A line that tells of an erasure which changed a run's table.
fn erased(mirror: &Arc<Mirror>, bucket: &Shared, run: &str) {
    let receipt = serde_json::json!({
        "schema": 1, "erasure": 1, "begun": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:00Z", "pipeline": "p", "program": "s",
        "ids": 1, "hashes": [], "guard": "", "stages": 0, "inputs": [], "inputs_not_searched": null, "notified": [],
        "releases_not_searched": [], "ledger_lines": 0, "files": [{
            "path": format!("runs/{run}/{SCORES}"), "before": hashes::text("one"), "after": hashes::text("erased"),
        }],
    })
    .to_string();
    held(bucket).set("erasures/1/receipt.json", receipt.as_bytes());
    held(bucket).set(&format!("runs/{run}/{SCORES}"), b"erased");
    refresh(mirror, Need::All).unwrap();
    let ledger = Ledger::open(mirror.root(), Some(key())).unwrap();
    let hash = hashes::text(&receipt);
    let line = Entry {
        event: Event::Erased,
        run: "erasure-1".to_owned(),
        manifest: hash.clone(),
        scores: hash,
        table: "erasures/1/receipt.json".to_owned(),
        replaces: None,
        size: None,
        ..ledger.lines[0].entry.clone()
    };
    ledger.prepare(line).unwrap().commit().unwrap();
}

#[test]
fn a_table_that_came_into_its_place_while_subjects_were_erased_is_put_there_anew() {
    let (bucket, machine) = (shared(bucket_of(&["one"])), scratch());
    let mirror = mirror(machine.path(), &bucket);
    // The erasure did not see the table, for it was put into its place afterwards.
    erased(&mirror, &bucket, &run_of("one"));
    assert_eq!(table(&bucket).unwrap(), "one");
    // Stages that were made here before may hold them.
    std::fs::create_dir_all(mirror.root().join("stages/x")).unwrap();
    assert!(is_due(&mirror).unwrap());
    tidy(&mirror).unwrap();
    assert!(!mirror.root().join("stages").exists() && !is_due(&mirror).unwrap());
    assert!(settle(&mirror, Some(&key())).unwrap());
    assert_eq!(table(&bucket).unwrap(), "erased");
    refresh(&mirror, Need::Proof).unwrap();
    proven(&mirror).0.unwrap();
    let place = table_path(AS_OF, "m-1").unwrap();
    held(&bucket).set(&place, b"one");
    refresh(&mirror, Need::Proof).unwrap();
    assert!(proven(&mirror).0.is_err());
}

#[test]
fn what_follows_from_a_line_and_is_not_done_yet_is_told_and_does_not_fail() {
    let start = bucket_of(&["old", "new"]);
    let (place, state) = (table_path(AS_OF, "m-1").unwrap(), format!("runs/{}/state.json", run_of("new")));
    let verified = |settled: &[u8], there: &[u8]| {
        let mut bucket = start.clone();
        bucket.set("ledger.settled.json", settled);
        bucket.set(&place, there);
        bucket.objects.remove(&state);
        let (bucket, machine) = (shared(bucket), scratch());
        let mirror = mirror(machine.path(), &bucket);
        refresh(&mirror, Need::Proof).unwrap();
        let (done, said) = proven(&mirror);
        (done.is_ok(), said)
    };
    assert_eq!(verified(b"{\"count\":1}", b"old"), (true, 2));
    assert_eq!(verified(b"{\"count\":1}", b"new"), (true, 1));
    assert!(!verified(b"{\"count\":1}", b"evil").0);
    assert!(!verified(b"{\"count\":2}", b"old").0);
}

#[test]
fn a_claim_tells_nothing_that_somebody_wrote() {
    let bucket = shared(bucket_of(&["one"]));
    let claim = content(&bucket, &format!("runs/{}/announced.json", run_of("one")));
    let claim: serde_json::Value = serde_json::from_str(&claim).unwrap();
    assert_eq!(claim["entry"]["run"], run_of("one"));
    let machine = scratch();
    let mirror = mirror(machine.path(), &bucket);
    let run =
        RunFolder::create(mirror.root(), &run_of("two"), &Ledger::open(mirror.root(), Some(key())).unwrap()).unwrap();
    let accepted = crate::runs::ledger::Accepted {
        gate: "g".to_owned(),
        found: "f".to_owned(),
        because: "ab12cd34 asked for it".to_owned(),
    };
    let line = Entry { accepted: vec![accepted], ..entry(&run, "two", Event::Published).unwrap() };
    super::publish::conclude(&run, line, 1, Some(&key()), &mirror).unwrap();
    assert!(!content(&bucket, &format!("runs/{}/announced.json", run.id)).contains("ab12cd34"));
    assert!(content(&bucket, "ledger/2.json").contains("ab12cd34"));
}
