//! Row groups of objects, fetched before they are decoded: in order, as many as memory allows, while others are decoded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::export::Export;
use super::needed;
use crate::storage::content::Content;
use crate::storage::object::Found;
use crate::storage::objects::{Pending, ahead};

/// Row groups that are fetched and wait to be decoded, at most.
const MOST_GROUPS: usize = 16;

/// The row groups of an export that are read, in order.
pub(super) struct Ahead {
    tasks: Vec<Task>,
    most_bytes: u64,
    state: Mutex<State>,
}

/// A row group.
struct Task {
    file: usize,
    group: usize,
    found: Found,
    ranges: Vec<Range<u64>>,
    bytes: u64,
}

/// How far fetching and taking are.
#[derive(Default)]
struct State {
    taken: usize,
    begun: usize,
    /// Bytes that are on their way or at hand, of row groups that are not decoded yet.
    bytes: u64,
    pending: BTreeMap<usize, Result<Pending>>,
}

/// A row group at hand; its bytes count until it is dropped.
pub(super) struct Fetched<'a> {
    pub(super) content: Content,
    bytes: u64,
    of: &'a Ahead,
}

impl Drop for Fetched<'_> {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.bytes = state.bytes.saturating_sub(self.bytes);
        self.of.begin(&mut state);
    }
}

impl Ahead {
    /// The row groups of an export, by file and number.
    ///
    /// # Errors
    /// When a footer says of a column that it lies nowhere.
    pub(super) fn new(export: &Export, groups: &[(usize, usize)]) -> Result<Self> {
        let task = |(file, group): &(usize, usize)| {
            let of = export.files.get(*file).context("defect: no such file")?;
            let found = of.state.object().context("defect: files among objects")?.clone();
            let ranges = needed::ranges(export, of, &[*group])
                .with_context(|| format!("{} (row group {group})", of.file.path.display()))?;
            let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
            Ok(Task { file: *file, group: *group, found, ranges, bytes })
        };
        let tasks = groups.iter().map(task).collect::<Result<_>>()?;
        Ok(Self { tasks, most_bytes: ahead(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to fetch whatever may be at hand: what was taken in any case.
    fn begin(&self, state: &mut State) {
        while let Some(task) = self.tasks.get(state.begun) {
            let fits = state.bytes.saturating_add(task.bytes) <= self.most_bytes;
            let near = state.begun < state.taken.saturating_add(MOST_GROUPS);
            if state.begun >= state.taken && !(fits && near) {
                return;
            }
            let pending = task.found.place.begin(&task.found.seen, task.ranges.clone());
            state.pending.insert(state.begun, pending);
            state.bytes = state.bytes.saturating_add(task.bytes);
            state.begun += 1;
        }
    }

    /// Takes the next row group, and waits for it: its file, its number, and what was fetched. It is called once for each.
    pub(super) fn take(&self) -> (usize, usize, Result<Fetched<'_>>) {
        let (number, pending) = {
            let mut state = self.state();
            let number = state.taken;
            state.taken += 1;
            self.begin(&mut state);
            (number, state.pending.remove(&number))
        };
        let Some(task) = self.tasks.get(number) else {
            return (0, 0, Err(anyhow::anyhow!("defect: more row groups are taken than there are")));
        };
        let fetched = pending.context("defect: a row group that was not begun").and_then(|pending| {
            let parts = pending?.wait()?;
            Ok(Fetched { content: Content::Object(task.found.with(&task.ranges, parts)), bytes: task.bytes, of: self })
        });
        (task.file, task.group, fetched)
    }
}
