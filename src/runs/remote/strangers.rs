//! What lies below an output in an object store and is none of it, and what came and was held against nothing.

use std::path::PathBuf;

use anyhow::Result;

use super::lease::LEASE;
use super::lines::is_own;
use super::mirror::{CLAIM, Mirror, held, is_below};

impl Mirror {
    /// Objects below the output, as they were seen, that are none of it. What a run put that is under way, or was killed, is.
    #[must_use]
    pub fn strangers(&self) -> Vec<String> {
        let seen = held(&self.seen).clone();
        let claimed = |below: &str| {
            let run = below.strip_prefix("runs/").and_then(|rest| rest.split('/').next());
            run.is_some_and(|run| seen.contains_key(&format!("runs/{run}/{CLAIM}")))
        };
        let own = |below: &str| below == LEASE || is_own(below) || claimed(below) || self.belongs(below, &seen);
        seen.keys().filter(|below| !own(below)).cloned().collect()
    }

    /// Files of a folder that were held against nothing since they came.
    ///
    /// # Errors
    /// When a name leads elsewhere.
    pub fn unheld(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let names: Vec<String> = {
            let index = held(&self.index);
            index.unheld().filter(|below| is_below(below, folder)).map(ToOwned::to_owned).collect()
        };
        names.iter().map(|below| self.path(below)).collect()
    }

    /// Notes that what lies in a folder was held against what it must be.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn hold(&self, folder: &str) -> Result<()> {
        for path in self.unheld(folder)? {
            if let Some(below) = path.strip_prefix(self.root()).ok().and_then(|below| below.to_str()) {
                held(&self.index).hold(below, &path);
            }
        }
        self.save()
    }

    /// The names of the objects of erasures: as they were seen, and as they are now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn erasures(&self, now: bool) -> Result<Vec<String>> {
        let folder = crate::runs::erasure::FOLDER;
        if now {
            return Ok(self.store().list(folder)?.into_iter().map(|seen| seen.below).collect());
        }
        Ok(held(&self.seen).keys().filter(|below| is_below(below, folder)).cloned().collect())
    }
}
