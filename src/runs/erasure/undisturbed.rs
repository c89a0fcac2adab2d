//! Reading while nobody is erased: whose a run's features are is told by the rows of its table, and an erasure replaces one file after the
//! other. Who reads both takes no lock, and looks before and after.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::RECEIPT;
use super::journal::{folders, under_way};

/// An output folder that is being read: taken before reading, held against the folder afterwards.
#[derive(Debug)]
pub struct Undisturbed {
    output: PathBuf,
    /// The folders of erasures, and whether each had come to its end.
    before: BTreeSet<(PathBuf, bool)>,
}

impl Undisturbed {
    /// Begins to read.
    ///
    /// # Errors
    /// When an erasure is under way.
    pub fn begin(output: &Path) -> Result<Self> {
        // First: what is ordered between the two is found at the end.
        let before = erasures(output)?;
        none_under_way(output)?;
        Ok(Self { output: output.to_owned(), before })
    }

    /// Ends reading.
    ///
    /// # Errors
    /// When subjects were erased meanwhile: what was read may be of two folders, one before and one after.
    pub fn end(&self) -> Result<()> {
        none_under_way(&self.output)?;
        let same = erasures(&self.output)? == self.before;
        ensure!(same, "subjects were erased from {} while it was read; ask again", self.output.display());
        Ok(())
    }
}

fn erasures(output: &Path) -> Result<BTreeSet<(PathBuf, bool)>> {
    let with_end = |folder: PathBuf| {
        let ended = folder.join(RECEIPT).exists();
        (folder, ended)
    };
    Ok(folders(output)?.into_iter().map(with_end).collect())
}

/// Refuses to read where files may be of before and of after an erasure.
fn none_under_way(output: &Path) -> Result<()> {
    match under_way(output)?.first() {
        None => Ok(()),
        Some(number) => bail!(
            "the erasure {number} of {} is under way, so that rows and subjects may not belong together; ask again when it has ended. \
             If it was interrupted, the next command that writes there finishes it, `sesame clean PIPELINE --yes` for one",
            output.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::erasure::journal::{JOURNAL, folder};

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
}
