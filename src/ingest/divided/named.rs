//! Whom disputes name, as the first shard that looked for them found them.

use std::sync::Arc;

use anyhow::Result;

use super::Divided;
use crate::ingest::spine::Spine;
use crate::machine::budget::Budget;
use crate::machine::resources::Resources;

/// Bytes that a subject whom a dispute names takes at most, but for an id of unusual length.
const SUBJECT_BYTES: u64 = 160;

impl Divided {
    /// The subjects that disputes name, if an earlier shard read them.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub(in crate::ingest) fn named(&self) -> Result<Option<Arc<Spine>>> {
        Ok(self.state()?.named.clone())
    }

    /// Remembers the subjects that disputes name, if they are few; if not, it is said, and every shard looks for them.
    ///
    /// # Errors
    /// When a thread failed while it held others.
    pub(in crate::ingest) fn name(&self, spine: &Arc<Spine>, budget: &Budget, resources: &Resources) -> Result<()> {
        let bytes = (spine.len() as u64).saturating_mul(SUBJECT_BYTES);
        let mut state = self.state()?;
        match state.held.named(bytes, (budget, resources)) {
            Ok(()) => state.named = Some(Arc::clone(spine)),
            Err(why) if !state.unnamed => {
                state.unnamed = true;
                resources.log.warn(&format!("every shard looks for the subjects whom disputes name: {why}"));
            }
            Err(_) => {}
        }
        Ok(())
    }
}
