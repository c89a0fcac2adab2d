//! The operations that change what is kept on a disk, one by one. Tests are told before each of them, look at what a crash would
//! leave there, and can make it fail.

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Asked before every operation.
#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "tests make operations fail")]
const fn before(_operation: &'static str, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
fn before(operation: &'static str, path: &Path) -> io::Result<()> {
    hook::before(operation, path)
}

/// Removes a file.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_file(path: &Path) -> io::Result<()> {
    before("remove a file", path)?;
    fs_err::remove_file(path)
}

/// Removes a folder and all that is in it, the file of the given name after the others.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_folder(folder: &Path, last: &str) -> io::Result<()> {
    let mut entries: Vec<_> = fs_err::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(|e| (e.file_name() == last, e.file_name()));
    for entry in entries {
        match entry.file_type()?.is_dir() {
            true => remove_folder(&entry.path(), last)?,
            false => remove_file(&entry.path())?,
        }
    }
    before("remove a folder", folder)?;
    fs_err::remove_dir(folder)
}

/// Gives a file another name, in place of what had it.
///
/// # Errors
/// When it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    before("rename", to)?;
    fs_err::rename(from, to)
}

/// Exchanges two folders at once.
///
/// # Errors
/// When they cannot be exchanged; of the kind `Unsupported` or `InvalidInput` where the system or the file system cannot.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    before("exchange", other)?;
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = one;
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// Gives a file a second name.
///
/// # Errors
/// When the file system cannot, or the name is taken.
pub fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    before("link", to)?;
    fs_err::hard_link(from, to)
}

/// Adds to the end of a file, durably.
///
/// # Errors
/// When the disk is full, or there is no file.
pub fn append(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    before("append", path)?;
    let mut file = fs_err::OpenOptions::new().append(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Copies a file.
///
/// # Errors
/// When the disk is full.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    before("copy", to)?;
    fs_err::copy(from, to).map(|_| ())
}

/// Makes a folder in one that is there.
///
/// # Errors
/// When it cannot be made, but for one that is there.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    before("make a folder", folder)?;
    match fs_err::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a file, or the entries of a folder, durable.
///
/// # Errors
/// When the disk is full or gone.
pub fn sync(path: &Path) -> io::Result<()> {
    before("make durable", path)?;
    fs_err::File::open(path)?.sync_all()
}

/// Writes a file that has no name of its own yet, and makes it durable.
///
/// # Errors
/// When the disk is full.
pub fn fill(file: &mut NamedTempFile, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    // Half of it first: a crash or a full disk may leave just that.
    let (half, rest) = content.split_at(content.len() / 2);
    before("write", file.path())?;
    file.write_all(half)?;
    before("write", file.path())?;
    file.write_all(rest)?;
    before("make durable", file.path())?;
    file.as_file().sync_all()
}

/// Gives a file that has no name of its own one, in place of what had it.
///
/// # Errors
/// When it cannot be renamed.
pub fn persist(file: NamedTempFile, place: &Path) -> io::Result<()> {
    before("rename", place)?;
    file.persist(place).map(|_| ()).map_err(|e| e.error)
}

/// What tests are told, in the thread that asks for it.
#[cfg(test)]
pub mod hook {
    use std::cell::RefCell;
    use std::io;
    use std::path::Path;

    type Hook = Box<dyn FnMut(&'static str, &Path) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    pub(super) fn before(operation: &'static str, path: &Path) -> io::Result<()> {
        // Taken out meanwhile: what the hook itself does is not told.
        let Some(mut hook) = HOOK.take() else { return Ok(()) };
        let answer = hook(operation, path);
        HOOK.set(Some(hook));
        answer
    }

    /// Does something while a hook is told of every operation.
    pub fn told<T>(hook: impl FnMut(&'static str, &Path) -> io::Result<()> + 'static, what: impl FnOnce() -> T) -> T {
        HOOK.set(Some(Box::new(hook)));
        let done = what();
        HOOK.set(None);
        done
    }
}
