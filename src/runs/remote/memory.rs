//! Objects in memory, for the protocol's model: processes that die before or after an operation, or take turns.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use anyhow::{Result, bail};
use bytes::Bytes;

use super::mirror::{CLAIM, held};
use super::store::{Seen, Store};
use crate::storage::objects::{Condition, Put, Tag};

/// Objects with their content and the number of the put that made them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, (Vec<u8>, u64)>,
    pub(super) puts: u64,
    /// Whether conditions take versions, of which listings tell none, as with Google.
    pub(super) versions: bool,
}

impl Bucket {
    fn tag(&self, below: &str) -> Option<Tag> {
        let (content, put) = self.objects.get(below)?;
        let version = self.versions.then(|| put.to_string());
        Some(Tag { etag: Some(put.to_string()), version, size: content.len() as u64 })
    }

    pub(super) fn set(&mut self, below: &str, content: &[u8]) -> Tag {
        self.puts += 1;
        self.objects.insert(below.to_owned(), (content.to_vec(), self.puts));
        self.tag(below).unwrap()
    }
}

/// Who may go on: two publishers, so many operations at a time.
#[derive(Debug)]
pub(super) struct Schedule {
    state: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Debug)]
struct Turns {
    turn: usize,
    left: Option<usize>,
    plan: VecDeque<usize>,
    done: [bool; 2],
}

impl Schedule {
    /// The first does so many operations, then the other so many, and so on; the last one goes on to its end.
    pub(super) fn of(plan: &[usize]) -> Arc<Self> {
        let mut plan: VecDeque<usize> = plan.iter().copied().collect();
        let left = plan.pop_front();
        let state = Mutex::new(Turns { turn: 0, left, plan, done: [false; 2] });
        Arc::new(Self { state, changed: Condvar::new() })
    }

    fn turn(&self, me: usize) {
        let mut turns = held(&self.state);
        while !turns.done[1 - me] {
            match (turns.turn == me, turns.left) {
                (true, Some(0)) => {
                    turns.turn = 1 - me;
                    turns.left = turns.plan.pop_front();
                    self.changed.notify_all();
                }
                (true, Some(left)) => {
                    turns.left = Some(left - 1);
                    return;
                }
                (true, None) => return,
                (false, _) => turns = self.changed.wait(turns).unwrap(),
            }
        }
    }

    pub(super) fn done(&self, me: usize) {
        let mut turns = held(&self.state);
        turns.done[me] = true;
        self.changed.notify_all();
    }
}

/// When a process ends without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    Before(usize),
    /// The operation is done, and its answer never comes.
    After(usize),
}

/// A process's way to the objects.
#[derive(Debug)]
pub(super) struct Handle {
    bucket: Arc<Mutex<Bucket>>,
    crash: Option<Crash>,
    operations: AtomicUsize,
    pub(super) shared: AtomicUsize,
    pub(super) dead: AtomicBool,
    turn: Option<(Arc<Schedule>, usize)>,
}

impl Handle {
    pub(super) fn of(bucket: &Arc<Mutex<Bucket>>) -> Self {
        Self {
            bucket: Arc::clone(bucket),
            crash: None,
            operations: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            turn: None,
        }
    }

    /// The same, of a process that dies.
    pub(super) fn dying(self, crash: Crash) -> Self {
        Self { crash: Some(crash), ..self }
    }

    /// The same, of one of two that take turns.
    pub(super) fn taking_turns(self, schedule: &Arc<Schedule>, me: usize) -> Self {
        Self { turn: Some((Arc::clone(schedule), me)), ..self }
    }

    /// Does an operation, unless the process is dead, or dies of it.
    fn does<T>(&self, below: &str, operation: impl FnOnce(&mut Bucket) -> Result<T>) -> Result<T> {
        // What one run alone puts is no matter between two publishers.
        if below.is_empty() || below.starts_with("ledger") || below.starts_with("scores") || below.ends_with(CLAIM) {
            self.shared.fetch_add(1, Ordering::SeqCst);
            if let Some((schedule, me)) = &self.turn {
                schedule.turn(*me);
            }
        }
        let n = self.operations.fetch_add(1, Ordering::SeqCst);
        if self.crash == Some(Crash::Before(n)) {
            self.dead.store(true, Ordering::SeqCst);
        }
        if self.dead.load(Ordering::SeqCst) {
            bail!("dead");
        }
        let done = operation(&mut held(&self.bucket));
        if self.crash == Some(Crash::After(n)) {
            self.dead.store(true, Ordering::SeqCst);
            bail!("dead");
        }
        done
    }
}

impl Store for Handle {
    fn url(&self) -> &str {
        "memory://bucket"
    }

    fn list(&self, folder: &str) -> Result<Vec<Seen>> {
        let within = |name: &str| folder.is_empty() || name.starts_with(&format!("{folder}/"));
        self.does(folder, |bucket| {
            let names = bucket.objects.keys().filter(|name| within(name));
            Ok(names
                .map(|name| Seen {
                    below: name.clone(),
                    tag: Tag { version: None, ..bucket.tag(name).unwrap() },
                    modified: jiff::Timestamp::UNIX_EPOCH,
                })
                .collect())
        })
    }

    fn tag(&self, below: &str) -> Result<Option<Tag>> {
        self.does(below, |bucket| Ok(bucket.tag(below)))
    }

    fn get(&self, below: &str) -> Result<Option<(Bytes, Tag)>> {
        self.does(below, |bucket| {
            let content = bucket.objects.get(below).map(|(content, _)| Bytes::from(content.clone()));
            Ok(content.zip(bucket.tag(below)))
        })
    }

    fn range(&self, below: &str, tag: &Tag, range: Range<u64>) -> Result<Bytes> {
        self.does(below, |bucket| {
            anyhow::ensure!(bucket.tag(below).is_some_and(|now| now.etag == tag.etag), "replaced");
            let (from, to) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
            Ok(Bytes::from(bucket.objects[below].0[from..to].to_vec()))
        })
    }

    fn put(&self, below: &str, bytes: Bytes, condition: Condition) -> Result<Put> {
        self.does(below, |bucket| {
            let there = bucket.tag(below);
            if let Condition::Is(tag) = condition {
                anyhow::ensure!(tag.version.is_some() == bucket.versions, "a condition without a version");
            }
            let lawful = match condition {
                Condition::Any => true,
                Condition::Absent => there.is_none(),
                Condition::Is(tag) => there.as_ref() == Some(tag),
            };
            Ok(if lawful { Put::Done(bucket.set(below, &bytes)) } else { Put::Lost })
        })
    }

    fn upload(&self, below: &str, file: &Path) -> Result<Tag> {
        let content = fs_err::read(file)?;
        self.does(below, |bucket| Ok(bucket.set(below, &content)))
    }

    fn remove(&self, below: &str) -> Result<()> {
        self.does(below, |bucket| {
            bucket.objects.remove(below);
            Ok(())
        })
    }
}
