//! Many as-of dates: what became of each is kept, so that a backfill goes on where it stopped, with the cut-offs it began with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};

use super::remote;
use crate::storage::hashes::Hash;
use crate::storage::key::Key;
use crate::storage::{durable, read};

/// How far apart the dates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// A month. From the last day of a month it goes to the last day of each; otherwise to the same day, or the last one
    /// where a month lacks it.
    Month,
}

/// Which dates are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Only {
    /// Those without a published table of the model, failed ones included.
    #[default]
    Missing,
    /// Those that failed.
    Failed,
    /// All; a table that would come out the same is left alone.
    All,
}

/// What became of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Fate {
    /// Not run yet.
    Pending,
    /// Published.
    Done {
        /// The run.
        run: String,
    },
    /// Not published.
    Failed {
        /// Why.
        because: String,
    },
    /// Not run, for there was no need or nothing to score.
    Skipped {
        /// Why.
        because: String,
    },
}

/// A date of a backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The as-of date.
    pub as_of: Date,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// A backfill and what became of its dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// The pipeline's name.
    pub pipeline: String,
    /// `name-version` of the model.
    pub model: String,
    /// The first date.
    pub from: Date,
    /// No date is later.
    pub to: Date,
    /// How far apart the dates are.
    pub every: Every,
    /// The knowledge cut-off as it was given; without one it is the end of each date.
    pub known_by: Option<String>,
    /// The dates, in order.
    pub slots: Vec<Slot>,
}

/// The dates of a range.
///
/// # Errors
/// When it is empty or has more than ten thousand dates.
pub fn dates(from: Date, to: Date, every: Every) -> Result<Vec<Date>> {
    if from > to {
        bail!("--from {from} is later than --to {to}");
    }
    let step = |n: i32| -> Span {
        match every {
            Every::Day => n.days(),
            Every::Week => n.weeks(),
            Every::Month => n.months(),
        }
    };
    let mut dates = Vec::new();
    for n in 0.. {
        // From the first date each time: the end of a short month is not carried over to the next.
        let mut date = from.checked_add(step(n))?;
        if every == Every::Month && from == from.last_of_month() {
            date = date.last_of_month();
        }
        if date > to {
            break;
        }
        if n >= 10_000 {
            bail!("from {from} to {to} there are more than 10,000 dates");
        }
        dates.push(date);
    }
    Ok(dates)
}

/// The file of a backfill.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    backfill: Backfill,
    /// The keyed hash of the rest, where the ledger has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Hash>,
}

impl Backfill {
    /// Where the state of a backfill is kept.
    fn path(output: &Path, pipeline: &str, model: &str, from: Date, to: Date, every: Every) -> PathBuf {
        let every = match every {
            Every::Day => "day",
            Every::Week => "week",
            Every::Month => "month",
        };
        // A pipeline's name may hold anything; a file's may not.
        let safe: String = pipeline.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
        output.join("backfills").join(format!("{safe}-{model}-{from}-{to}-{every}.json"))
    }

    /// The backfill as it was left, or a new one.
    ///
    /// # Errors
    /// When it was begun with another knowledge cut-off, or the range is faulty.
    pub fn open(
        output: &Path,
        pipeline: &str,
        model: &str,
        (from, to, every): (Date, Date, Every),
        known_by: Option<&str>,
        key: Option<&Key>,
    ) -> Result<Self> {
        let path = Self::path(output, pipeline, model, from, to, every);
        if !path.exists() {
            let slots = dates(from, to, every)?.into_iter().map(|as_of| Slot { as_of, fate: Fate::Pending }).collect();
            let (pipeline, model, known_by) = (pipeline.to_owned(), model.to_owned(), known_by.map(ToOwned::to_owned));
            return Ok(Self { pipeline, model, from, to, every, known_by, slots });
        }
        let Kept { backfill: held, mac } = serde_json::from_str(&read::text(&path)?)
            .with_context(|| format!("{} is no backfill; remove it to begin anew", path.display()))?;
        let said = held.said()?;
        if key.is_some_and(|key| mac.is_none_or(|mac| !key.proves(&said, &mac))) {
            bail!(
                "{} was not written with the ledger's key, or changed since; remove it to begin anew",
                path.display()
            );
        }
        if known_by.is_some_and(|k| Some(k) != held.known_by.as_deref()) {
            let began = held.known_by.as_deref().unwrap_or("the end of each date");
            bail!(
                "this backfill was begun with the knowledge cut-off {began}; leave --known-by out, or remove {} to begin anew",
                path.display()
            );
        }
        Ok(held)
    }

    /// Keeps the state.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn save(&self, output: &Path, key: Option<&Key>) -> Result<()> {
        let path = Self::path(output, &self.pipeline, &self.model, self.from, self.to, self.every);
        durable::create_folders(path.parent().unwrap_or(output))?;
        let said = self.said()?;
        let kept = Kept { backfill: self.clone(), mac: key.map(|key| key.mac(&said)) };
        durable::replace(&path, (serde_json::to_string_pretty(&kept)? + "\n").as_bytes())?;
        remote::push(&path)
    }

    fn said(&self) -> Result<String> {
        Ok(format!("backfill {}", serde_json::to_string(self)?))
    }

    /// Notes what became of a date.
    pub fn note(&mut self, as_of: Date, fate: Fate) {
        if let Some(slot) = self.slots.iter_mut().find(|s| s.as_of == as_of) {
            slot.fate = fate;
        }
    }

    /// The dates whose state is one of a kind.
    pub fn with(&self, is: impl Fn(&Fate) -> bool) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |s| is(&s.fate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn months_end_where_the_month_does() {
        let found = dates(day("2025-01-31"), day("2025-05-30"), Every::Month).unwrap();
        assert_eq!(found, ["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"].map(day));
        let found = dates(day("2025-02-28"), day("2025-04-30"), Every::Month).unwrap();
        assert_eq!(found, ["2025-02-28", "2025-03-31", "2025-04-30"].map(day));
        let found = dates(day("2025-01-30"), day("2025-03-31"), Every::Month).unwrap();
        assert_eq!(found, ["2025-01-30", "2025-02-28", "2025-03-30"].map(day));
        assert_eq!(dates(day("2025-01-01"), day("2025-01-20"), Every::Week).unwrap().len(), 3);
        assert!(dates(day("2025-01-02"), day("2025-01-01"), Every::Day).is_err());
        assert!(dates(day("1900-01-01"), day("2190-01-01"), Every::Day).unwrap_err().to_string().contains("10,000"));
    }

    #[test]
    fn a_keyed_backfill_that_was_changed_does_not_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let range = (day("2025-01-31"), day("2025-03-31"), Every::Month);
        let key = Key::of([7; 32]);
        let open = |key: Option<&Key>| Backfill::open(folder.path(), "a", "m-1", range, None, key);
        let backfill = open(Some(&key)).unwrap();
        backfill.save(folder.path(), Some(&key)).unwrap();
        assert_eq!(open(Some(&key)).unwrap(), backfill);
        assert_eq!(open(None).unwrap(), backfill);
        let path = folder.path().join("backfills").read_dir().unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for changed in [
            text.replace("\"known_by\": null", "\"known_by\": \"2025-06-30\""),
            text.replace("pending", "done\", \"run\": \"x"),
        ] {
            assert_ne!(changed, text);
            std::fs::write(&path, changed).unwrap();
            assert!(open(Some(&key)).unwrap_err().to_string().contains("was not written with the ledger's key"));
        }
        backfill.save(folder.path(), None).unwrap();
        assert!(open(Some(&key)).is_err());
    }

    #[test]
    fn a_backfill_goes_on_with_the_cut_off_it_began_with() {
        let folder = tempfile::tempdir().unwrap();
        let range = (day("2025-01-31"), day("2025-03-31"), Every::Month);
        let open = |known| Backfill::open(folder.path(), "a/b", "m-1", range, known, None);
        let mut first = open(Some("2025-06-30")).unwrap();
        first.note(day("2025-02-28"), Fate::Failed { because: "x".into() });
        first.save(folder.path(), None).unwrap();
        assert_eq!(open(None).unwrap(), first);
        assert_eq!(open(None).unwrap().with(|f| matches!(f, Fate::Failed { .. })).count(), 1);
        assert!(open(Some("2025-07-01")).unwrap_err().to_string().contains("2025-06-30"));
    }
}
