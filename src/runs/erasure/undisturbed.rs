//! Reading while nobody is erased: whose a run's features are is told by the rows of its table, and an erasure replaces one file after the
//! other. Who reads both takes no lock, and looks before and after.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::RECEIPT;
use super::journal::{JOURNAL, folders, under_way};
use crate::runs::remote;

/// An output folder that is being read: taken before reading, held against the folder afterwards. Of an object store it is what was there
/// before anything was brought.
#[derive(Debug)]
pub struct Undisturbed {
    output: PathBuf,
    before: Erasing,
}

/// The erasures of an output folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Erasing {
    /// Their folders, and whether each had come to its end.
    all: BTreeSet<(PathBuf, bool)>,
    /// The numbers of those under way.
    under_way: BTreeSet<u64>,
}

impl Undisturbed {
    /// Begins to read.
    ///
    /// # Errors
    /// When an erasure is under way.
    pub fn begin(output: &Path) -> Result<Self> {
        // First: what is ordered between the two is found at the end.
        let reading = Self { output: output.to_owned(), before: before(output)? };
        if remote::of(output).is_some() {
            // Files came between the two.
            reading.end()?;
        }
        none_under_way(output, &reading.before)?;
        Ok(reading)
    }

    /// Ends reading.
    ///
    /// # Errors
    /// When subjects were erased meanwhile: what was read may be of two folders, one before and one after.
    pub fn end(&self) -> Result<()> {
        let now = now(&self.output)?;
        none_under_way(&self.output, &now)?;
        let same = now.all == self.before.all;
        ensure!(same, "subjects were erased from {} while it was read; ask again", remote::shown(&self.output));
        Ok(())
    }
}

/// As they were before anything was read.
fn before(output: &Path) -> Result<Erasing> {
    remote::of(output).map_or_else(|| now(output), |mirror| Ok(named(output, &mirror.erasures(false)?)))
}

/// As they are now: of an object store there, for the mirror stays as it is.
fn now(output: &Path) -> Result<Erasing> {
    if let Some(mirror) = remote::of(output) {
        return Ok(named(output, &mirror.erasures(true)?));
    }
    // The journal goes last: looked at first, an erasure that ends between the two is one that is there.
    let open = under_way(output)?.into_iter().collect();
    let with_end = |folder: PathBuf| {
        let ended = folder.join(RECEIPT).exists();
        (folder, ended)
    };
    Ok(Erasing { all: folders(output)?.into_iter().map(with_end).collect(), under_way: open })
}

/// As the names of objects tell. An empty object that stands for a folder tells nothing.
fn named(output: &Path, names: &[String]) -> Erasing {
    let mut found = Erasing::default();
    for (folder, file) in names.iter().filter_map(|name| name.rsplit_once('/')) {
        let place = output.join(folder);
        match file {
            RECEIPT => {
                found.all.remove(&(place.clone(), false));
                found.all.insert((place, true));
            }
            JOURNAL => {
                found.under_way.extend(folder.rsplit('/').next().and_then(|number| number.parse::<u64>().ok()));
                if !found.all.contains(&(place.clone(), true)) {
                    found.all.insert((place, false));
                }
            }
            _ => {}
        }
    }
    found
}

/// Refuses to read where files may be of before and of after an erasure.
fn none_under_way(output: &Path, erasing: &Erasing) -> Result<()> {
    match erasing.under_way.first() {
        None => Ok(()),
        Some(number) => bail!(
            "the erasure {number} of {} is under way, so that rows and subjects may not belong together; ask again when it has ended. \
             If it was interrupted, the next command that writes there finishes it, `sesame clean PIPELINE --yes` for one",
            remote::shown(output)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::erasure::journal::folder;

    #[test]
    fn an_erasure_before_reading_is_fine_and_one_meanwhile_is_noticed() {
        let output = tempfile::tempdir().unwrap();
        let write = |number, name: &str| {
            std::fs::create_dir_all(folder(output.path(), number)).unwrap();
            std::fs::write(folder(output.path(), number).join(name), "").unwrap();
        };
        let end = |number| std::fs::remove_file(folder(output.path(), number).join(JOURNAL)).unwrap();
        Undisturbed::begin(output.path()).unwrap().end().unwrap();
        write(1, RECEIPT);
        let reading = Undisturbed::begin(output.path()).unwrap();
        reading.end().unwrap();
        write(2, JOURNAL);
        assert!(reading.end().unwrap_err().to_string().contains("erasure 2"));
        assert!(Undisturbed::begin(output.path()).unwrap_err().to_string().contains("under way"));
        // It comes to its end before anybody looks again.
        write(2, RECEIPT);
        end(2);
        assert!(reading.end().unwrap_err().to_string().contains("while it was read"));
        Undisturbed::begin(output.path()).unwrap().end().unwrap();
        // Its folder alone had been made when reading began.
        std::fs::create_dir_all(folder(output.path(), 3)).unwrap();
        let reading = Undisturbed::begin(output.path()).unwrap();
        write(3, RECEIPT);
        assert!(reading.end().is_err());
    }

    #[test]
    fn objects_tell_which_erasures_have_ended() {
        let names = [
            "erasures/4",
            "erasures/1/receipt.json",
            "erasures/2/journal.ndjson",
            "erasures/2/receipt.json",
            "erasures/3/journal.ndjson",
        ];
        let found = named(Path::new("o"), &names.map(str::to_owned));
        let folder = |number: u64| Path::new("o").join("erasures").join(number.to_string());
        assert_eq!(found.all, BTreeSet::from([(folder(1), true), (folder(2), true), (folder(3), false)]));
        assert_eq!(found.under_way, BTreeSet::from([2, 3]));
        assert!(none_under_way(Path::new("o"), &found).unwrap_err().to_string().contains("the erasure 2 of o"));
        let ended = named(Path::new("o"), &[names[1].to_owned()]);
        assert!(none_under_way(Path::new("o"), &ended).is_ok());
    }
}
