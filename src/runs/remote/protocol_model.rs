//! The protocol, tried out against objects in memory: a publisher that crashes before and after every operation on the store, two
//! publishers that hand over to each other at every pair of operations on what they share, with and without one that takes the other for
//! dead; each time somebody else comes next and does the rest.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use rayon::prelude::*;

use super::attach_store;
use super::begin::whole;
use super::lines::is_lost;
use super::look::{Need, refresh};
use super::memory::{Bucket, Crash, Handle, Schedule};
use super::mirror::{Mirror, held};
use super::publish::{caught_up, conclude, give_up_orphans};
use super::settle::settle;
use super::store::TRIES;
use crate::exit::Locked;
use crate::output::{LogFormat, Output};
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::MANIFEST;
use crate::runs::ledger::place::{SCORES, table_path};
use crate::runs::ledger::{Entry, Event, Key, Ledger};
use crate::runs::publication::protocol_model::entry;
use crate::runs::verify::{self, Scope};
use crate::storage::hashes;

pub(super) const AS_OF: jiff::civil::Date = jiff::civil::date(2025, 10, 31);

pub(super) fn key() -> Key {
    Key::of([7; 32])
}

pub(super) fn quiet() -> Output {
    Output::new(true, LogFormat::Json)
}

pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).unwrap()
}

/// What whoever writes does first, but for the lease: `alone` says whether it would take claims of others for those of the dead.
pub(super) fn begin(machine: &Path, handle: Arc<Handle>, alone: bool) -> Result<Arc<Mirror>> {
    let mirror = attach_store(machine.join("output"), handle)?;
    let settled = mirror.settled()?;
    refresh(&mirror, Need::Small)?;
    let ledger = whole(&mirror, settled, Some(&key()))?;
    if ledger.behind {
        ledger.mend()?;
    }
    settle(&mirror, Some(&key()))?;
    if alone {
        give_up_orphans(&mirror, Some(&key()), &quiet())?;
    }
    Ok(mirror)
}

/// A run that publishes a table with this content, as the session does it.
pub(super) fn publish(machine: &Path, handle: Arc<Handle>, content: &str, alone: bool) -> Result<()> {
    let mirror = begin(machine, handle, alone)?;
    let id = format!("{AS_OF}-m-1-{content}");
    let run = RunFolder::create(mirror.root(), &id, &Ledger::open(mirror.root(), Some(key()))?)?;
    for _ in 0..TRIES {
        // What the gates would look at is what the line says that it replaces.
        let seen = Ledger::open(mirror.root(), Some(key()))?.lines.len();
        match conclude(&run, entry(&run, content, Event::Published)?, seen, Some(&key()), &mirror) {
            Err(error) if is_lost(&error) => caught_up(&run, Some(&key()), &mirror)?,
            done => return done,
        }
    }
    bail!("others were first again and again")
}

/// What readers see.
pub(super) fn table(bucket: &Mutex<Bucket>) -> Option<String> {
    let bucket = held(bucket);
    let (content, _) = bucket.objects.get(&table_path(AS_OF, "m-1").unwrap())?;
    Some(String::from_utf8(content.clone()).unwrap())
}

/// What must hold once somebody has come who is alone: what was promised is published, the ledger is whole, one line a number, each line
/// was decided by the one before it, the fixed place has the table of the last line, and nothing is left over.
fn holds(bucket: &Arc<Mutex<Bucket>>, machine: &Path, promised: &[&str], history: &str) -> usize {
    let mirror = begin(machine, Arc::new(Handle::of(bucket)), true).unwrap_or_else(|e| panic!("{history}: {e:#}"));
    refresh(&mirror, Need::Proof).unwrap_or_else(|e| panic!("{history}: {e:#}"));
    let ledger = Ledger::open(mirror.root(), Some(key())).unwrap();
    assert!(!ledger.behind, "{history}: the head is behind");
    let published: Vec<&Entry> =
        ledger.lines.iter().map(|l| &l.entry).filter(|e| e.event == Event::Published).collect();
    for content in promised {
        let hash = hashes::text(content);
        assert!(published.iter().any(|e| e.scores == hash), "{history}: {content} was promised and is lost");
    }
    for pair in published.windows(2) {
        let replaced = pair[1].replaces.as_ref().map(|of| &of.run);
        assert_eq!(replaced, Some(&pair[0].run), "{history}: a line was not decided by the one before it");
    }
    let mut ended: Vec<&str> = ledger.lines.iter().map(|l| l.entry.run.as_str()).collect();
    let all = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), all, "{history}: a run has two ends");
    let last = published.last().map(|e| e.scores.clone());
    assert_eq!(table(bucket).map(|content| hashes::text(&content)), last, "{history}: readers see another table");
    let objects = held(bucket).objects.clone();
    for n in 1..=all {
        assert!(objects.contains_key(&format!("ledger/{n}.json")), "{history}: line {n} is no object");
    }
    for name in objects.keys().filter(|name| name.starts_with("runs/")) {
        let run = name.split('/').nth(1).unwrap();
        assert!(published.iter().any(|e| e.run == run), "{history}: {name} is left over");
    }
    for entry in &published {
        for (name, hash) in [(SCORES, &entry.scores), (MANIFEST, &entry.manifest)] {
            let content = &objects[&format!("runs/{}/{name}", entry.run)].0;
            assert_eq!(blake3::hash(content).to_hex().as_str(), hash, "{history}: {name} of {}", entry.run);
        }
    }
    let scope = Scope { inputs: false, stop: &AtomicBool::new(false) };
    verify::all(mirror.root(), &ledger, scope, &|_| {}).unwrap_or_else(|e| panic!("{history}: {e:#}"));
    all
}

/// A bucket in which these were published one after another.
pub(super) fn bucket_of(contents: &[&str]) -> Bucket {
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    for content in contents {
        let machine = scratch();
        publish(machine.path(), Arc::new(Handle::of(&bucket)), content, true).unwrap();
    }
    held(&bucket).clone()
}

#[test]
fn whatever_operation_a_publisher_dies_at_the_next_one_does_the_rest() {
    for before in [&[][..], &["old"]] {
        let start = bucket_of(before);
        let old = table(&Mutex::new(start.clone()));
        let mut checked = 0;
        for at in 0.. {
            let ended = [Crash::Before(at), Crash::After(at)].map(|crash| {
                let bucket = Arc::new(Mutex::new(start.clone()));
                let (machine, other) = (scratch(), scratch());
                let handle = Arc::new(Handle::of(&bucket).dying(crash));
                let ended = publish(machine.path(), Arc::clone(&handle), "new", true);
                let history = format!("after {before:?}, {crash:?}: {ended:?}");
                let seen = table(&bucket);
                assert!(seen == old || seen.as_deref() == Some("new"), "{history}: readers see {seen:?}");
                let mut promised = before.to_vec();
                promised.extend(ended.is_ok().then_some("new"));
                // On another machine, and on the same one.
                let copy = Arc::new(Mutex::new(held(&bucket).clone()));
                holds(&copy, other.path(), &promised, &history);
                holds(&bucket, machine.path(), &promised, &history);
                publish(machine.path(), Arc::new(Handle::of(&bucket)), "third", true)
                    .unwrap_or_else(|e| panic!("{history}: {e:#}"));
                promised.push("third");
                holds(&bucket, other.path(), &promised, &history);
                checked += 1;
                !handle.dead.load(Ordering::SeqCst)
            });
            if ended == [true, true] {
                break;
            }
        }
        assert!(checked > 40, "{checked}");
    }
}

/// Two publishers take turns as planned; whoever `alone` says takes the other for dead. Returns how many operations on what they share the
/// first did.
fn together(start: &Bucket, plan: &[usize], alone: bool) -> usize {
    let bucket = Arc::new(Mutex::new(start.clone()));
    let (schedule, machines) = (Schedule::of(plan), [scratch(), scratch(), scratch()]);
    let handle = |me: usize| Arc::new(Handle::of(&bucket).taking_turns(&schedule, me));
    let handles = [handle(0), handle(1)];
    let contents = ["a", "b"];
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..2)
            .map(|me| {
                let (schedule, handle, machine) = (&schedule, Arc::clone(&handles[me]), machines[me].path());
                scope.spawn(move || {
                    let ended = publish(machine, handle, contents[me], alone && me == 1);
                    schedule.done(me);
                    ended
                })
            })
            .collect();
        publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect()
    });
    let history = format!("turns {plan:?}, alone {alone}: {ended:?}");
    let mut promised = Vec::new();
    for (content, ended) in contents.iter().zip(&ended) {
        match ended {
            Ok(()) => promised.push(*content),
            // One that was taken for dead says that it published nothing, and must be right.
            Err(error) => assert!(alone && error.downcast_ref::<Locked>().is_some(), "{history}"),
        }
    }
    assert!(!promised.is_empty(), "{history}: nobody published");
    let seen = table(&bucket);
    assert!(seen.as_deref().is_some_and(|seen| promised.contains(&seen)), "{history}: readers see {seen:?}");
    holds(&bucket, machines[2].path(), &promised, &history);
    let there = held(&bucket).objects.values().any(|(content, _)| content == b"a");
    assert_eq!(there, promised.contains(&"a"), "{history}: what was reported as not published is published");
    handles[0].shared.load(Ordering::SeqCst)
}

#[test]
fn two_publishers_that_hand_over_anywhere_both_publish_one_after_the_other() {
    let start = bucket_of(&["old"]);
    let steps = together(&start, &[], false) + 2;
    assert!(steps > 15, "{steps}");
    let plans: Vec<[usize; 2]> = (0..steps).flat_map(|i| (0..steps).map(move |j| [i, j])).collect();
    plans.par_iter().for_each(|plan| {
        together(&start, plan, false);
    });
}

#[test]
fn a_publisher_that_is_taken_for_dead_publishes_nothing_after_that() {
    let start = bucket_of(&["old"]);
    let steps = together(&start, &[], false) + 2;
    let plans: Vec<[usize; 2]> = (0..steps).flat_map(|i| (0..steps + 8).map(move |j| [i, j])).collect();
    plans.par_iter().for_each(|plan| {
        together(&start, plan, true);
    });
}

#[test]
#[ignore = "minutes: three changes of hands at every triple of operations"]
fn two_publishers_that_hand_over_three_times_both_publish() {
    let start = bucket_of(&["old"]);
    let steps = together(&start, &[], false) + 2;
    let pairs = (0..steps).flat_map(|i| (0..steps).map(move |j| (i, j)));
    let plans: Vec<[usize; 3]> = pairs.flat_map(|(i, j)| (0..steps).map(move |k| [i, j, k])).collect();
    plans.par_iter().for_each(|plan| {
        together(&start, plan, false);
    });
}

#[test]
fn lines_that_were_removed_or_changed_in_the_store_are_found_out() {
    let start = bucket_of(&["one", "two", "three"]);
    let machine = scratch();
    let bucket = Arc::new(Mutex::new(start.clone()));
    holds(&bucket, machine.path(), &["one", "two", "three"], "as it was");
    let fails = |change: &dyn Fn(&mut Bucket), machine: &Path| {
        let mut changed = start.clone();
        change(&mut changed);
        let handle = Arc::new(Handle::of(&Arc::new(Mutex::new(changed))));
        format!("{:#}", begin(machine, handle, true).unwrap_err())
    };
    let cut = |bucket: &mut Bucket| drop(bucket.objects.remove("ledger/3.json"));
    let gap = |bucket: &mut Bucket| drop(bucket.objects.remove("ledger/2.json"));
    let headless = |bucket: &mut Bucket| drop(bucket.objects.remove("ledger.head.json"));
    let changed = |bucket: &mut Bucket| {
        let line = String::from_utf8(bucket.objects["ledger/2.json"].0.clone()).unwrap();
        bucket.set("ledger/2.json", line.replace("\"pipeline\":\"p\"", "\"pipeline\":\"q\"").as_bytes());
    };
    let old = bucket_of(&["one"]);
    let put_back = move |bucket: &mut Bucket| *bucket = old.clone();
    // A machine that knows nothing of it yet.
    assert!(fails(&cut, scratch().path()).contains("the last were removed"));
    assert!(fails(&gap, scratch().path()).contains("ledger/2.json is missing"));
    assert!(fails(&headless, scratch().path()).contains("is missing"));
    assert!(fails(&changed, scratch().path()).contains("does not hold"));
    // One that has seen it finds an old ledger put back with its old head as well.
    assert!(fails(&cut, machine.path()).contains("this machine has seen 3"));
    assert!(fails(&put_back, machine.path()).contains("this machine has seen 3"));
}
