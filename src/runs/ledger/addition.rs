//! A line on its way into the ledger.

use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::runs::remote::lines::Added;
use crate::runs::remote::mirror::Mirror;
use crate::runs::step::step;
use crate::storage::durable::Prepared;
use crate::storage::objects::to_its_end;

/// A line ready to be added.
#[derive(Debug)]
pub struct Addition {
    pub(super) lines: Prepared,
    pub(super) head: Prepared,
    /// The same for the objects that the folder is a mirror of.
    pub(super) remote: Option<(Arc<Mirror>, Added)>,
}

impl Addition {
    /// Adds the line. In an object store it is added there first: that is the commit, and what lies here is a copy.
    ///
    /// # Errors
    /// When a rename fails; [`Lost`](crate::runs::remote::lines::Lost) when another process has added a line to the objects meanwhile.
    pub fn commit(self) -> Result<()> {
        let Self { lines, head, remote } = self;
        let copied = || -> Result<()> {
            lines.commit()?;
            step("ledger line");
            head.commit()
        };
        let Some((mirror, added)) = remote else { return copied() };
        // A signal comes before the line or after it: of a put that is given up nobody would know what became of it.
        to_its_end(|| {
            let guard = mirror.append(&added)?;
            let told = |error: anyhow::Error| {
                let (n, url) = (added.n, mirror.url());
                anyhow!(
                    "line {n} is in the ledger of {url}, and its copy here could not be written: {error:#}; the next command goes on"
                )
            };
            copied().map_err(told)?;
            drop(guard);
            // Whoever adds the next line mends the head, if this fails.
            let _ = mirror.head_to(added.n, &added.head);
            Ok(())
        })
    }
}
