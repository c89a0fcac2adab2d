//! The protocol of publication, tried out: every order of a few runs and cleanings, a crash before every operation on the disk of
//! each of them and of the recovery after it, and every operation made to fail, once and from then on.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use rayon::prelude::*;

use super::recovery::{note_failure, recover};
use super::{conclude, removal};
use crate::job::dependencies::Dependencies;
use crate::output::{LogFormat, Output};
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::{Manifest, Parameters, subject};
use crate::runs::ledger::entry::Begun;
use crate::runs::ledger::place::{SCORES, table_path};
use crate::runs::ledger::{Entry, Event, Key, Ledger, TableSize};
use crate::runs::verify::{self, Scope};
use crate::storage::disk::hook::told;
use crate::storage::durable;

const AS_OF: jiff::civil::Date = jiff::civil::date(2025, 10, 31);

/// What somebody does to an output folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// A run that publishes a table with this content.
    Publish(&'static str),
    /// A run that a gate refuses.
    Refuse(&'static str),
    /// Removes every run that is not needed.
    Clean,
}

const ACTS: [Act; 4] = [Act::Publish("table a"), Act::Publish("table b"), Act::Refuse("table a"), Act::Clean];

/// An entry of a folder: nothing in it but a name, or a file: which one, for a file may have several names, and its content.
type Node = Option<(usize, Arc<[u8]>)>;

/// An output folder as it is on the disk.
type Image = BTreeMap<String, Node>;

/// A folder and the ledger that whoever was told of success has seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    image: Image,
    promised: String,
}

fn key() -> Option<Key> {
    Some(Key::of([7; 32]))
}

fn quiet() -> Output {
    Output::new(true, LogFormat::Json)
}

/// A folder that is gone with the value, in memory where the machine has such a place.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).unwrap()
}

/// What is in a folder. Names that are drawn at random are numbered.
fn image_of(root: &Path) -> Image {
    fn walk(folder: &Path, below: &str, inodes: &mut BTreeMap<u64, usize>, image: &mut Image) {
        let mut entries: Vec<PathBuf> = fs_err::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        let content = |path: &Path| if path.is_dir() { Vec::new() } else { fs_err::read(path).unwrap() };
        let temporary = |path: &Path| durable::is_under_way(&path.file_name().unwrap().to_string_lossy());
        entries.sort_by_key(|path| match temporary(path) {
            true => (true, PathBuf::new(), content(path)),
            false => (false, path.clone(), Vec::new()),
        });
        for (n, path) in entries.iter().enumerate() {
            let name = match temporary(path) {
                true => format!("{below}.sesame-{n}"),
                false => format!("{below}{}", path.file_name().unwrap().to_string_lossy()),
            };
            if path.is_dir() {
                walk(path, &format!("{name}/"), inodes, image);
                image.insert(name, None);
            } else {
                let next = inodes.len();
                let inode = *inodes.entry(fs_err::metadata(path).unwrap().ino()).or_insert(next);
                image.insert(name, Some((inode, content(path).into())));
            }
        }
    }
    let mut image = Image::new();
    walk(root, "", &mut BTreeMap::new(), &mut image);
    image
}

/// Makes a folder what an image says.
fn restored(image: &Image) -> tempfile::TempDir {
    let place = scratch();
    let mut names: BTreeMap<usize, PathBuf> = BTreeMap::new();
    for (name, node) in image {
        let path = place.path().join(name);
        match node {
            None => fs_err::create_dir_all(&path).unwrap(),
            Some((inode, content)) => {
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                match names.get(inode) {
                    Some(other) => fs_err::hard_link(other, &path).unwrap(),
                    None => fs_err::write(&path, content).unwrap(),
                }
                names.entry(*inode).or_insert(path);
            }
        }
    }
    place
}

/// Does what a process does under the lock.
fn act(root: &Path, act: Act) -> Result<()> {
    recover(root, key().as_ref(), &quiet())?;
    let (content, event) = match act {
        Act::Publish(content) => (content, Event::Published),
        Act::Refuse(content) => (content, Event::Refused),
        Act::Clean => {
            let ledger = Ledger::open(root, key())?;
            let runs = RunFolder::all(root)?;
            return runs
                .iter()
                .filter(|run| removal::is_needless(run, &ledger))
                .try_for_each(|run| removal::remove(run, key().as_ref()));
        }
    };
    let id = format!("{AS_OF}-m-1-{}", content.replace(' ', "-"));
    let run = RunFolder::create(root, &id, &Ledger::open(root, key())?)?;
    let made = make(&run, content, event);
    if let Err(error) = &made {
        note_failure(&run, error);
    }
    made
}

fn make(run: &RunFolder, content: &str, event: Event) -> Result<()> {
    conclude(run, entry(run, content, event)?, key())
}

/// The line about a run of a model, whose table is a text.
pub(crate) fn entry(run: &RunFolder, content: &str, event: Event) -> Result<Entry> {
    durable::replace(&run.path(SCORES), content.as_bytes())?;
    let parameters = Parameters {
        pipeline: "p".into(),
        pipeline_file: "p.toml".into(),
        as_of: AS_OF,
        known_by: "2025-11-01T00:00:00Z".into(),
        model: "m-1".into(),
        model_hash: String::new(),
        model_file: "m.toml".into(),
    };
    let files = vec![subject(run, SCORES)?];
    let scores = files[0].digest.blake3.clone();
    let manifest = Manifest::new(&run.id, parameters, Dependencies::default(), Vec::new(), "sesame", "build", files);
    Ok(Entry {
        at: crate::runs::monitoring::lineage::now(),
        event,
        run: run.id.clone(),
        pipeline: "p".into(),
        as_of: AS_OF,
        known_by: "2025-11-01T00:00:00Z".into(),
        model: "m-1".into(),
        program: "sesame".into(),
        manifest: manifest.write(run)?,
        scores,
        plain: None,
        table: table_path(AS_OF, "m-1")?,
        replaces: None,
        begun: Some(Begun { at: crate::runs::monitoring::lineage::now(), output: "/out".into() }),
        size: Some(TableSize { rows: 1, bytes: content.len() as u64 }),
        because: (event == Event::Refused).then(|| "a gate".into()),
        lineage: None,
        given: None,
        accepted: Vec::new(),
    })
}

fn ledger_text(root: &Path) -> String {
    fs_err::read_to_string(root.join("ledger.ndjson")).unwrap_or_default()
}

fn table(image: &Image) -> Option<String> {
    let node = image.get(&table_path(AS_OF, "m-1").unwrap())?;
    Some(String::from_utf8(node.as_ref().unwrap().1.to_vec()).unwrap())
}

/// What must hold of a folder once somebody has recovered it: nothing that was promised is lost, everything is proven, nothing is
/// left over, and there is nothing more to recover.
fn holds_after_recovery(world: &World, history: &str) -> Image {
    let place = restored(&world.image);
    let root = place.path();
    recover(root, key().as_ref(), &quiet()).unwrap_or_else(|e| panic!("{history}: {e:#}\n{:#?}", world.image.keys()));
    let image = image_of(root);
    assert!(ledger_text(root).starts_with(&world.promised), "{history}: promised lines are lost");
    let ledger = Ledger::open(root, key()).unwrap();
    assert_eq!(ledger.announced().count(), 0, "{history}");
    let scope = Scope { inputs: false, stop: &AtomicBool::new(false) };
    if let Err(error) = verify::all(root, &ledger, scope, &|_| {}) {
        panic!("{history}: {error:#}\n{:#?}", image.keys());
    }
    let left = image.keys().find(|name| name.contains(".sesame-") || name.contains(".incoming"));
    assert_eq!(left, None, "{history}");
    let published = ledger.lines.iter().rev().find(|l| l.entry.event == Event::Published);
    assert_eq!(table(&image).is_some(), published.is_some(), "{history}");
    let mut ended: Vec<&str> = ledger
        .lines
        .iter()
        .filter(|l| matches!(l.entry.event, Event::Published | Event::Refused | Event::Abandoned))
        .map(|l| l.entry.run.as_str())
        .collect();
    let all = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), all, "{history}: a run has two ends");
    recover(root, key().as_ref(), &quiet()).unwrap();
    assert!(image_of(root) == image, "{history}: recovering twice does more than once");
    image
}

/// What an act leaves: when it comes to its end, and when it crashes before any of its operations on the disk.
fn outcomes(world: &World, what: Act) -> Vec<(World, String)> {
    let place = restored(&world.image);
    let (crashes, root) = (Arc::new(Mutex::new(Vec::new())), place.path().to_owned());
    let seen = Arc::clone(&crashes);
    let look = move |operation: &'static str, path: &Path| -> io::Result<()> {
        let path = path.strip_prefix(&root).unwrap_or(path).display().to_string();
        seen.lock().unwrap().push((image_of(&root), format!("crash before: {operation} {path}")));
        Ok(())
    };
    told(look, || act(place.path(), what)).unwrap_or_else(|e| panic!("{what:?}: {e:#}"));
    let (before, after) = (table(&world.image), image_of(place.path()));
    let done = World { promised: ledger_text(place.path()), image: after };
    // What was announced before is published first.
    let between = restored(&world.image);
    recover(between.path(), key().as_ref(), &quiet()).unwrap();
    let lawful = [before, table(&image_of(between.path())), table(&done.image)];
    let crashes = std::mem::take(&mut *crashes.lock().unwrap());
    let mut all: Vec<(World, String)> = crashes
        .into_iter()
        .map(|(image, history)| (World { image, promised: world.promised.clone() }, format!("{what:?}, {history}")))
        .collect();
    for (crashed, history) in &all {
        assert!(lawful.contains(&table(&crashed.image)), "{history}: readers see {:?}", table(&crashed.image));
    }
    all.push((done, format!("{what:?}")));
    all
}

/// Every world that so many acts lead to; each is checked. Returns how many there were.
fn explore(depth: usize) -> usize {
    let empty = World { image: Image::new(), promised: String::new() };
    let (mut seen, mut checked) = (HashSet::from([empty.clone()]), 0);
    let mut worlds = vec![(empty, String::new())];
    for level in 1..=depth {
        let tasks: Vec<(&World, &str, Act)> =
            worlds.iter().flat_map(|(w, h)| ACTS.map(|act| (w, h.as_str(), act))).collect();
        let found: Vec<(World, String)> = tasks
            .into_par_iter()
            .flat_map_iter(|(world, history, act)| {
                outcomes(world, act).into_iter().map(move |(w, h)| (w, format!("{history}; {h}")))
            })
            .collect();
        worlds = found.into_iter().filter(|(world, _)| seen.insert(world.clone())).collect();
        checked += worlds.len();
        worlds.par_iter().for_each(|(world, history)| drop(holds_after_recovery(world, history)));
        if level == depth {
            // A crash in the recovery itself.
            let sample: Vec<&(World, String)> = worlds.iter().step_by(worlds.len().div_ceil(500)).collect();
            sample.into_par_iter().for_each(|(world, history)| crash_in_recovery(world, history));
        }
    }
    checked
}

/// Recovers a world and crashes before any operation of that; each time the next one must do.
fn crash_in_recovery(world: &World, history: &str) {
    let end = holds_after_recovery(world, history);
    let place = restored(&world.image);
    let (crashes, root) = (Arc::new(Mutex::new(Vec::new())), place.path().to_owned());
    let seen = Arc::clone(&crashes);
    let look = move |_: &'static str, _: &Path| -> io::Result<()> {
        seen.lock().unwrap().push(image_of(&root));
        Ok(())
    };
    told(look, || recover(place.path(), key().as_ref(), &quiet())).unwrap();
    for image in crashes.lock().unwrap().drain(..) {
        let crashed = World { image, promised: world.promised.clone() };
        let again = holds_after_recovery(&crashed, &format!("{history}; a crash in the recovery"));
        assert_eq!(table(&again), table(&end), "{history}");
    }
}

/// Lets one operation of an act fail, or all from that one on, and holds what was said of it against what became of it.
fn fails(world: &World, what: Act) -> usize {
    let mut tried = 0;
    for lasting in [false, true] {
        for at in 0.. {
            let place = restored(&world.image);
            let mut n = 0;
            let reached = Arc::new(Mutex::new(None));
            let place_of_failure = Arc::clone(&reached);
            let fail = move |operation: &'static str, path: &Path| -> io::Result<()> {
                n += 1;
                if n - 1 == at || (lasting && n > at) {
                    place_of_failure.lock().unwrap().get_or_insert(format!("{operation} {}", path.display()));
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
                Ok(())
            };
            let result = told(fail, || act(place.path(), what));
            let Some(failure) = reached.lock().unwrap().clone() else { break };
            tried += 1;
            let history =
                format!("{what:?}, fails {}: {failure}: {result:?}", if lasting { "for good" } else { "once" });
            let image = image_of(place.path());
            let promised = match &result {
                Ok(()) => ledger_text(place.path()),
                Err(_) => world.promised.clone(),
            };
            let (before, now) = (table(&world.image), table(&image));
            let recovered = holds_after_recovery(&World { image, promised }, &history);
            if let (Err(error), Act::Publish(content)) = (&result, what) {
                let wanted = Some(content.to_owned());
                let later = format!("{error:#}").contains("the next run publishes it");
                assert!(
                    before == wanted || now == wanted || later || table(&recovered) != wanted,
                    "{history}: reported as failed and published by the next run"
                );
            }
            if result.is_ok()
                && let Act::Publish(content) = what
            {
                assert_eq!(table(&recovered).as_deref(), Some(content), "{history}");
            }
        }
    }
    tried
}

/// Worlds that a few whole acts lead to.
fn quiet_worlds() -> Vec<World> {
    let empty = World { image: Image::new(), promised: String::new() };
    let after = |world: &World, act| outcomes(world, act).pop().unwrap().0;
    let one = after(&empty, ACTS[0]);
    let two = after(&one, ACTS[1]);
    let three = after(&two, ACTS[2]);
    let cleaned = after(&three, Act::Clean);
    let again = after(&cleaned, ACTS[0]);
    vec![empty, one, two, three, cleaned, again]
}

#[test]
fn whatever_crashes_where_the_next_one_recovers() {
    let checked = explore(2);
    assert!(checked > 1_000, "{checked}");
}

#[test]
#[ignore = "takes a minute: cargo test --release --lib -- --ignored three_acts"]
fn three_acts_that_crash_anywhere_are_recovered_from() {
    let checked = explore(3);
    assert!(checked > 5_000, "{checked}");
}

#[test]
fn an_operation_that_fails_is_told_and_nothing_is_lost() {
    let worlds = quiet_worlds();
    let tasks: Vec<(&World, Act)> = worlds.iter().flat_map(|w| ACTS.map(|act| (w, act))).collect();
    let tried: usize = tasks.into_par_iter().map(|(world, act)| fails(world, act)).sum();
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_ledger_that_is_lost_or_cut_off_is_not_begun_anew() {
    for world in quiet_worlds().iter().skip(1) {
        for lost in [&["ledger.ndjson"][..], &["ledger.head.json"], &["ledger.ndjson", "ledger.head.json"]] {
            let mut image = world.image.clone();
            lost.iter().for_each(|name| drop(image.remove(*name)));
            let place = restored(&image);
            let image = image_of(place.path());
            for what in ACTS {
                let error = act(place.path(), what).unwrap_err();
                assert!(format!("{error:#}").contains("ledger"), "{error:#}");
                assert!(image_of(place.path()) == image, "{what:?} without {lost:?}");
            }
        }
    }
}
