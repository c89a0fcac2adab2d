//! A mirror: a folder of this machine's user alone that stands for an output in an object store. Files come when they are needed and go
//! up when they are done; which of them are copies of which objects an index remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use tempfile::{Builder, NamedTempFile};

use super::index::{Index, same};
use super::store::{Seen, Store, TRIES};
use crate::exit::{self, Locked};
use crate::storage::objects::Tag;
use crate::storage::{disk, durable, hashes};

/// The object in a run's folder by which a process says that it is about to publish the run.
pub const CLAIM: &str = "announced.json";
/// Bytes that are asked for at a time.
const PART: u64 = 16 << 20;
/// How long one process of this machine waits for another to be done with the ledger's copy.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Files that are brought or pushed at a time.
const AT_ONCE: usize = 8;

/// A folder that stands for an output in an object store.
#[derive(Debug)]
pub struct Mirror {
    root: PathBuf,
    store: Arc<dyn Store>,
    owner: String,
    pub(super) index: Mutex<Index>,
    pub(super) seen: Mutex<BTreeMap<String, Seen>>,
    /// Runs that the ledger tells of.
    pub(super) told: Mutex<BTreeSet<String>>,
    /// Lines that the head is known to count.
    pub(super) head: Mutex<Option<u64>>,
    /// Erasures that the ledger told of when this process began; it leaves out whom they were of.
    pub(super) erased: Mutex<Option<usize>>,
    /// Whether another process took the lease over.
    pub(super) lost: AtomicBool,
    /// Until when this process has the lease, if it took one.
    pub(super) until: Mutex<Option<Timestamp>>,
    /// For how many lines all was done that follows from them, before files were brought to prove that.
    pub(super) done: Mutex<Option<u64>>,
}

/// A guard, whatever became of the thread that had the value before: nothing is left half done in one.
pub(super) fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with each of some things, several at a time; the first error is returned.
pub(super) fn each<T: Sync>(all: &[T], what: &(dyn Fn(&T) -> Result<()> + Sync)) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(all.len()) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if held(&failed).is_some() {
                        return;
                    }
                    if let Err(error) = what(one) {
                        held(&failed).get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

impl Mirror {
    /// The mirror in a folder, which is made if need be, for its user alone.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: PathBuf, store: Arc<dyn Store>) -> Result<Self> {
        let base = root.parent().context("a mirror has a folder above it")?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(base)
            .with_context(|| format!("making {}", base.display()))?;
        ensure!(!base.is_symlink(), "{} is a symbolic link; remove it", base.display());
        fs_err::set_permissions(base, std::fs::Permissions::from_mode(0o700))?;
        durable::create_folders(&root)?;
        let index = Index::read(&base.join("index.json"));
        let now = Timestamp::now().as_nanosecond();
        let owner = hashes::text(&format!("{} {now} {}", std::process::id(), root.display()));
        Ok(Self {
            owner: owner[..32].to_owned(),
            index: Mutex::new(index),
            seen: Mutex::default(),
            told: Mutex::default(),
            head: Mutex::default(),
            erased: Mutex::default(),
            lost: AtomicBool::new(false),
            until: Mutex::default(),
            done: Mutex::default(),
            root,
            store,
        })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What it stands for.
    #[must_use]
    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// The objects.
    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// What this process calls itself in claims and leases.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// A file beside the mirror.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }

    fn lock_file(&self) -> Result<File> {
        let path = self.beside("ledger.lock");
        Ok(fs_err::OpenOptions::new().write(true).create(true).truncate(false).open(path)?.into_parts().0)
    }

    /// Keeps other processes of this machine from the ledger's copy.
    pub(super) fn exclusive(&self) -> Result<File> {
        let file = self.lock_file()?;
        self.wait_for(&|| file.try_lock())?;
        Ok(file)
    }

    /// Waits for a lock that others of this machine hold for a moment; not for one that was stopped, and not against a signal.
    fn wait_for(&self, lock: &dyn Fn() -> Result<(), TryLockError>) -> Result<()> {
        let since = Instant::now();
        loop {
            match lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", self.beside("ledger.lock").display()));
                }
            }
            exit::asked()?;
            if since.elapsed() > LONGEST_WAIT {
                let place = self.beside("ledger.lock");
                return Err(Locked(format!(
                    "another process of this machine holds {}; was it stopped?",
                    place.display()
                ))
                .into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Keeps the ledger's copy as it is.
    ///
    /// # Errors
    /// When the file of the lock cannot be opened.
    pub fn shared(&self) -> Result<File> {
        let file = self.lock_file()?;
        self.wait_for(&|| file.try_lock_shared())?;
        Ok(file)
    }

    /// Refuses to go on once another process has the lease: what is put under a condition is safe without it, what is replaced or
    /// removed one by one would get in its way.
    ///
    /// # Errors
    /// [`Locked`] when another has it, or could have it because it ran out, as while this process was suspended.
    pub fn still_held(&self) -> Result<()> {
        let over = held(&self.until).is_some_and(|until| until <= Timestamp::now());
        match over || self.lost.load(Ordering::Relaxed) {
            false => Ok(()),
            true => {
                Err(Locked(format!("{} was taken over by another process; nothing more was done", self.url())).into())
            }
        }
    }

    /// Looks what there is, and lets go of copies of what is no longer there, or is another now.
    ///
    /// # Errors
    /// When the store does not answer, or a file cannot be removed.
    pub fn look(&self) -> Result<()> {
        let all = self.store.list("")?;
        let mut all: BTreeMap<String, Seen> = all.into_iter().map(|seen| (seen.below.clone(), seen)).collect();
        let folders: Vec<String> = all.values().filter(|seen| is_folder(seen, &all)).map(|s| s.below.clone()).collect();
        all.retain(|below, _| !folders.contains(below));
        let mut index = held(&self.index);
        let is_now = |below: &str, tag: &Tag| all.get(below).is_some_and(|seen| same(&seen.tag, tag));
        let old: Vec<String> = index.all().filter(|(b, tag)| !is_now(b, tag)).map(|(b, _)| b.to_owned()).collect();
        for below in &old {
            let path = self.path(below)?;
            // A file that was changed since is no copy: it belongs to what is under way here.
            if index.tag(below, &path).is_some() {
                disk::remove_file(&path)?;
                self.prune(&path);
            }
            index.forget(below);
        }
        if !old.is_empty() {
            index.save(&self.beside("index.json"))?;
        }
        drop(index);
        *held(&self.seen) = all;
        Ok(())
    }

    /// Removes the folders above a file that hold nothing any more.
    fn prune(&self, path: &Path) {
        // Folders of the output itself stay; one that holds something cannot be removed, which is right.
        for folder in path.ancestors().skip(1).take_while(|f| f.parent().is_some_and(|above| above != self.root)) {
            if !folder.starts_with(&self.root) || std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }

    /// Where a file of the mirror is: a name that leads elsewhere is refused.
    pub(super) fn path(&self, below: &str) -> Result<PathBuf> {
        let plain = Path::new(below).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        ensure!(plain && !below.is_empty(), "{}: the object {below} has a name that is no path", self.url());
        Ok(self.root.join(below))
    }

    /// Whether an object belongs into the mirror: of runs, those that the ledger tells of, and records of those that came to nothing.
    pub(super) fn belongs(&self, below: &str, seen: &BTreeMap<String, Seen>) -> bool {
        let (folder, rest) = below.split_once('/').unwrap_or((below, ""));
        if below.split('/').any(durable::is_under_way) {
            return false;
        }
        match folder {
            "runs" => {
                let (run, name) = rest.split_once('/').unwrap_or((rest, ""));
                let record = || seen.contains_key(&format!("runs/{run}/state.json"));
                name != CLAIM
                    && !name.is_empty()
                    && (held(&self.told).contains(run)
                        || (["state.json", "lineage.ndjson"].contains(&name) && record()))
            }
            "scores" | "releases" | "erasures" | "backfills" => !rest.is_empty(),
            _ => below == "history.html",
        }
    }

    /// Brings what is wanted of what was seen; returns the files that came.
    ///
    /// # Errors
    /// When the store does not answer, or the disk is full.
    pub fn bring(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
        let lacking: Vec<Seen> = {
            let (seen, index) = (held(&self.seen), held(&self.index));
            let mut lacking = Vec::new();
            for one in seen.values().filter(|one| wanted(&one.below) && self.belongs(&one.below, &seen)) {
                if index.tag(&one.below, &self.path(&one.below)?).is_none_or(|tag| !same(tag, &one.tag)) {
                    lacking.push(one.clone());
                }
            }
            lacking
        };
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let brought = each(&lacking, &|seen| self.fetch(seen));
        // What came before another failed is a copy as well.
        held(&self.index).save(&self.beside("index.json"))?;
        brought?;
        lacking.iter().map(|seen| self.path(&seen.below)).collect()
    }

    /// Brings a file, or all of a folder; with an empty name everything.
    ///
    /// # Errors
    /// As [`Mirror::bring`].
    pub fn bring_below(&self, below: &str) -> Result<Vec<PathBuf>> {
        self.bring(&|name| is_below(name, below))
    }

    /// Takes what lies in a folder for no copies any more.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn forget_below(&self, below: &str) -> Result<()> {
        let mut index = held(&self.index);
        let all: Vec<String> = index.all().map(|(b, _)| b.to_owned()).filter(|b| is_below(b, below)).collect();
        all.iter().for_each(|name| index.forget(name));
        index.save(&self.beside("index.json"))
    }

    /// Bytes of the objects in a folder, as they were seen.
    #[must_use]
    pub fn bytes_below(&self, below: &str) -> u64 {
        held(&self.seen).values().filter(|seen| is_below(&seen.below, below)).map(|seen| seen.tag.size).sum()
    }

    fn fetch(&self, seen: &Seen) -> Result<()> {
        let path = self.path(&seen.below)?;
        let parent = durable::folder(&path);
        durable::no_links(&self.root, parent)?;
        fs_err::create_dir_all(parent)?;
        let mut tag = seen.tag.clone();
        for _ in 0..TRIES {
            match self.download(&seen.below, &tag, parent) {
                Ok(file) => {
                    // `clean` goes by the times of files.
                    file.as_file().set_modified(SystemTime::from(seen.modified))?;
                    file.persist(&path).map_err(|e| e.error).with_context(|| path.display().to_string())?;
                    held(&self.index).note(&seen.below, tag, &path);
                    return Ok(());
                }
                Err(error) => match self.store.tag(&seen.below)? {
                    Some(now) if !same(&now, &tag) => tag = now,
                    Some(_) => return Err(error),
                    None => return Ok(()),
                },
            }
        }
        bail!("{}/{} is replaced again and again", self.url(), seen.below)
    }

    fn download(&self, below: &str, tag: &Tag, folder: &Path) -> Result<NamedTempFile> {
        use std::io::Write;
        let mut file = Builder::new().prefix(".sesame-").tempfile_in(folder)?;
        let mut at = 0;
        while at < tag.size {
            let end = tag.size.min(at + PART);
            let part = self.store.range(below, tag, at..end)?;
            ensure!(part.len() as u64 == end - at, "{}/{below}: a part came that is too short", self.url());
            file.write_all(&part).with_context(|| format!("writing below {}; is the disk full?", folder.display()))?;
            at = end;
        }
        Ok(file)
    }

    pub(super) fn note(&self, below: &str, tag: Tag, path: &Path) {
        held(&self.seen)
            .insert(below.to_owned(), Seen { below: below.to_owned(), tag: tag.clone(), modified: Timestamp::now() });
        held(&self.index).note(below, tag, path);
    }
}

/// Whether an object is an empty one that stands for a folder, as some tools put them: something lies in it, or it has no name of a file.
fn is_folder(seen: &Seen, all: &BTreeMap<String, Seen>) -> bool {
    let within = format!("{}/", seen.below);
    let holds = || all.range(within.clone()..).next().is_some_and(|(name, _)| name.starts_with(&within));
    let name = seen.below.rsplit('/').next().unwrap_or_default();
    seen.tag.size == 0 && (!name.contains('.') || holds())
}

/// Whether a name is another one, or lies in the folder of that name.
pub(super) fn is_below(name: &str, folder: &str) -> bool {
    folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
