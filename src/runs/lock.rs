//! One process at a time may publish into an output folder.

use std::fs::{File, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use fs_err::os::unix::fs::OpenOptionsExt;
use serde::{Deserialize, Serialize};

use crate::exit::Locked;

/// The lock's file in the output folder. It stays there; what counts is the system's lock on it, which ends with its process.
const LOCK: &str = ".lock";

/// Who holds the lock.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
    since: String,
    command: String,
}

/// The lock, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of an output folder, which is made if need be.
    ///
    /// # Errors
    /// [`Locked`] at once when another process holds it, with what is known of that one; or when the folder cannot be
    /// written.
    pub fn take(output: &Path, command: &str) -> Result<Self> {
        fs_err::create_dir_all(output)?;
        let path = output.join(LOCK);
        // Writing through a link would overwrite what it leads to.
        anyhow::ensure!(!path.is_symlink(), "{} is a symbolic link; remove it", path.display());
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // Whoever may read the file may lock it: not even the group of the output.
        options.mode(0o600);
        let mut file = options.open(&path)?.into_parts().0;
        file.set_permissions(Permissions::from_mode(0o600))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Locked(held(&mut file, output)).into()),
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("locking {}; does its file system know locks?", path.display()));
            }
        }
        let holder = Holder {
            process: std::process::id(),
            host: fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            since: jiff::Timestamp::now().round(jiff::Unit::Second)?.to_string(),
            command: command.to_owned(),
        };
        file.set_len(0)
            .and_then(|()| file.write_all(serde_json::to_string(&holder)?.as_bytes()))
            .with_context(|| format!("writing {}; is the disk full?", path.display()))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file says that nobody holds it; the lock itself ends when the file is closed.
        let _ = self.file.set_len(0);
    }
}

fn held(file: &mut File, output: &Path) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let who = match read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(h) => format!("process {} on {} since {} (sesame {})", h.process, h.host, h.since, h.command),
        None => "another process that has not said who it is".to_owned(),
    };
    format!("{} is locked by {who}; nothing was done, try again when it has ended", output.display())
}
