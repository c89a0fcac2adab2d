//! Which texts of conditions and values several dates share: see [`shared`](super::shared).

use std::collections::{BTreeMap, BTreeSet};

use crate::expression::conjuncts::without_defaults;
use crate::ingest::rows::cleaner::Cleaner;

/// Texts in the order in which they were first asked for.
#[derive(Default)]
pub(super) struct Texts<'a> {
    pub(super) all: Vec<&'a str>,
    places: BTreeMap<&'a str, usize>,
    /// The clean columns that they read.
    pub(super) columns: BTreeSet<String>,
}

impl<'a> Texts<'a> {
    /// The position of a text that reads some clean columns.
    pub(super) fn place(&mut self, text: &'a str, columns: &BTreeSet<String>) -> usize {
        self.columns.extend(columns.iter().cloned());
        *self.places.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        })
    }
}

/// What becomes of the texts that the dates share.
pub(super) struct Sharing<'a> {
    /// At how many dates a text is asked for.
    asked: BTreeMap<&'a str, usize>,
    /// What each clean column waits for; nothing for one that is the date's own.
    waiting: BTreeMap<String, Option<BTreeSet<usize>>>,
    pub(super) conditions: Texts<'a>,
    pub(super) values: Texts<'a>,
}

impl<'a> Sharing<'a> {
    /// Nothing is placed yet. `asked` has the texts of each date, `columns` all clean columns that are read, and `whole` a cleaner for
    /// each date.
    pub(super) fn of(
        texts: impl Iterator<Item = BTreeSet<&'a str>>,
        columns: BTreeSet<String>,
        whole: &[Cleaner],
    ) -> Self {
        let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
        texts.flatten().for_each(|text| *asked.entry(text).or_default() += 1);
        let waiting = columns.into_iter().map(|column| {
            let waits = waits(whole, &column);
            (column, waits)
        });
        Self { asked, waiting: waiting.collect(), conditions: Texts::default(), values: Texts::default() }
    }

    /// Whether a text that reads some clean columns is evaluated once for all dates that ask for it.
    pub(super) fn shares(&self, text: &str, columns: &BTreeSet<String>) -> bool {
        let same = |column: &String| self.waiting.get(column).is_some_and(Option::is_some);
        self.asked.get(text).is_some_and(|dates| *dates > 1) && columns.iter().all(same)
    }

    /// The clean columns of what was placed, and the stored columns for which some of them wait.
    pub(super) fn reads(&self) -> (BTreeSet<String>, BTreeSet<usize>) {
        let columns: BTreeSet<String> = self.conditions.columns.union(&self.values.columns).cloned().collect();
        let waits = columns.iter().filter_map(|c| self.waiting.get(c)?.as_ref()).flatten().copied().collect();
        (columns, waits)
    }
}

/// The stored columns for which a clean one waits: it is the same at every date in a row where none of them is null. Nothing for one
/// that differs whatever the row says. `whole` has one cleaner for each date.
fn waits(whole: &[Cleaner], column: &str) -> Option<BTreeSet<usize>> {
    let first = whole.first()?;
    let Some(derived) = first.derived(column) else { return (!first.counts_back(column)).then(BTreeSet::new) };
    if derived.columns.iter().any(|c| first.counts_back(c)) {
        return None;
    }
    let texts: Vec<&str> =
        whole.iter().map(|date| Some(date.derived(column)?.local.as_str())).collect::<Option<_>>()?;
    if texts.iter().all(|text| *text == derived.local) {
        return Some(BTreeSet::new());
    }
    let left = without_defaults(&derived.local);
    if texts.iter().any(|text| without_defaults(text) != left) {
        return None;
    }
    left.1.iter().map(|column| first.null_with(column)).collect()
}
