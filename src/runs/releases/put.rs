//! Giving: a release is made beside its place, told to the ledger, and put into its place by one rename, which partners see. What a crash
//! leaves undone after the line in the ledger is done by whoever locks the output folder next; what it leaves before that is removed.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::{FOLDER, Held, Place, RECEIPT, STAGED, lines, of_place, place};
use crate::output::Output;
use crate::runs::erasure::Erasures;
use crate::runs::ledger::{Entry, Key, Ledger};
use crate::runs::remote;
use crate::runs::step::step;
use crate::storage::disk;
use crate::storage::durable::{create_folders, no_links, sync_folder};
use crate::storage::hashes::{self, Hash};

/// Makes the empty folder in which a release is made.
///
/// # Errors
/// When it cannot be made, or leads elsewhere.
pub fn stage(output: &Path, place: &Place) -> Result<PathBuf> {
    let staged = place.staged(output);
    for folder in [&staged, &place.folder(output)] {
        no_links(output, folder)?;
    }
    discard(&staged)?;
    create_folders(&staged)?;
    Ok(staged)
}

/// Removes a release that was made and is not wanted.
///
/// # Errors
/// When it cannot be removed.
pub fn discard(staged: &Path) -> Result<()> {
    if staged.is_dir() {
        disk::remove_folder(staged, RECEIPT)?;
    }
    Ok(())
}

/// Gives a release that was made: a line in the ledger, then one rename.
///
/// # Errors
/// When the ledger or a folder cannot be written. After the line in the ledger, whoever comes next does the rest.
pub fn give(output: &Path, place: &Place, entry: Entry, key: Option<Key>) -> Result<()> {
    sync_folder(&place.staged(output))?;
    let ledger = Ledger::open(output, key)?;
    let (erasures, never) = (Erasures::of(output, &ledger, None)?, AtomicBool::new(false));
    let held = Held { output, erasures: &erasures, stop: &never };
    let replaced = held.which(&of_place(&ledger, place)?, &place.folder(output))?;
    // All that can fail for want of space comes before the rename.
    let addition = ledger.prepare(entry)?;
    step("release staged");
    addition.commit()?;
    put(output, place, replaced.as_ref()).with_context(|| {
        format!("the ledger tells of {} and it could not be put there; the next command does that", place.name())
    })?;
    step("release concluded");
    Ok(())
}

/// Puts a release that was made into its place, and what was there aside: the release that is `replaced`.
fn put(output: &Path, place: &Place, replaced: Option<&Hash>) -> Result<()> {
    let (staged, folder) = (place.staged(output), place.folder(output));
    let parent = folder.parent().context("a release has a folder above it")?;
    create_folders(parent)?;
    if fs_err::symlink_metadata(&folder).is_err() {
        disk::rename(&staged, &folder)?;
    } else {
        match disk::exchange(&staged, &folder) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => {
                // A file system that cannot exchange: for an instant there is no release.
                set_aside(output, place, &folder, replaced)?;
                disk::rename(&staged, &folder)?;
            }
            Err(e) => return Err(e).with_context(|| format!("putting {} in its place", folder.display())),
        }
    }
    step("release in its place");
    sync_folder(parent)?;
    if staged.is_dir() { set_aside(output, place, &staged, replaced) } else { Ok(()) }
}

/// Keeps what was replaced: the partner has it. It is found by the hash that its receipt had when the ledger was told; what nobody was
/// told of, by the hash that it has.
fn set_aside(output: &Path, place: &Place, old: &Path, told: Option<&Hash>) -> Result<()> {
    let kept = match told {
        Some(told) => place.earlier(output, told),
        None => place.earlier(output, &hashes::file(&old.join(RECEIPT))?),
    };
    let parent = kept.parent().context("what is kept has a folder above it")?;
    no_links(output, parent)?;
    create_folders(parent)?;
    if kept.is_dir() {
        // The same was given before, word for word.
        disk::remove_folder(old, RECEIPT)?;
    } else {
        disk::rename(old, &kept)?;
        sync_folder(parent)?;
    }
    sync_folder(old.parent().unwrap_or(output))
}

/// Does what a crash left undone, and removes what it left behind. Only while the output is locked.
///
/// # Errors
/// When the ledger does not hold, or a folder cannot be moved or removed.
pub fn recover(output: &Path, key: Option<&Key>, log: &Output) -> Result<()> {
    let root = output.join(FOLDER).join(STAGED);
    no_links(output, &root)?;
    if !root.is_dir() {
        return Ok(());
    }
    if remote::of(output).is_some() {
        // An object store has all that a line tells of.
        return folders_of(&root)?.iter().try_for_each(|staged| discard(staged));
    }
    let ledger = Ledger::open(output, key.cloned())?;
    let (erasures, never) = (Erasures::of(output, &ledger, key)?, AtomicBool::new(false));
    let held = Held { output, erasures: &erasures, stop: &never };
    let mut places = BTreeSet::new();
    for (line, given) in lines(&ledger) {
        places.insert(place(line, given)?);
    }
    for staged in folders_of(&root)? {
        let Some(place) = places.iter().find(|place| place.staged(output) == staged) else {
            discard(&staged)?;
            continue;
        };
        let (told, folder) = (of_place(&ledger, place)?, place.folder(output));
        let which = held.which(&told, &staged)?;
        match told.last() {
            // What was given last is in its place; the same once more is nothing that was replaced.
            Some((line, given)) if held.in_folder(&folder, line, given)? => match which {
                Some(earlier) if earlier != given.receipt => set_aside(output, place, &staged, Some(&earlier))?,
                _ => discard(&staged)?,
            },
            Some((line, given)) if held.in_folder(&staged, line, given)? => {
                put(output, place, held.which(&told, &folder)?.as_ref())?;
                log.line(&format!("finished the earlier release {}", place.name()));
            }
            _ => match which {
                // What the ledger tells of is never removed, whatever became of it.
                Some(known) => set_aside(output, place, &staged, Some(&known))?,
                None => discard(&staged)?,
            },
        }
    }
    Ok(())
}

/// The folders two below one, which is how deep partners and dates are.
fn folders_of(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for partner in fs_err::read_dir(root)? {
        let partner = partner?;
        if !partner.file_type()?.is_dir() {
            continue;
        }
        for date in fs_err::read_dir(partner.path())? {
            let date = date?;
            if date.file_type()?.is_dir() {
                found.push(date.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::output::LogFormat;
    use crate::runs::ledger::{Event, Given};
    use crate::runs::releases::{RELEASE, WITHDRAWN, proof};
    use crate::storage::disk::hook::told;
    use crate::storage::durable::{is_under_way, replace};
    use crate::storage::hashes::text;

    const AS_OF: jiff::civil::Date = jiff::civil::date(2025, 10, 31);

    /// A folder, file by file; names drawn at random are left out.
    type Image = BTreeMap<String, Vec<u8>>;

    fn image_of(root: &Path) -> Image {
        fn walk(folder: &Path, below: &str, image: &mut Image) {
            for entry in fs_err::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{below}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    walk(&entry.path(), &format!("{name}/"), image);
                } else if !is_under_way(&entry.file_name().to_string_lossy()) {
                    image.insert(name, fs_err::read(entry.path()).unwrap());
                }
            }
        }
        let mut image = Image::new();
        walk(root, "", &mut image);
        image
    }

    fn restored(image: &Image) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, content) in image {
            let path = place.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
        place
    }

    fn quiet() -> Output {
        Output::new(true, LogFormat::Json)
    }

    fn key() -> Option<Key> {
        Some(Key::of([7; 32]))
    }

    /// The ledger mended, as whoever locks the folder does first.
    fn recovered(root: &Path) -> Result<()> {
        let ledger = Ledger::open(root, key())?;
        if ledger.behind {
            ledger.mend()?;
        }
        recover(root, key().as_ref(), &quiet())
    }

    fn release(root: &Path, content: &str) -> Result<()> {
        recovered(root)?;
        let place = Place::new("p", AS_OF)?;
        let staged = stage(root, &place)?;
        for (name, text) in [(RELEASE, "table"), (WITHDRAWN, "withdrawn"), (RECEIPT, "receipt")] {
            replace(&staged.join(name), format!("{text} {content}").as_bytes())?;
        }
        let hash = |name: &str| text(&format!("{name} {content}"));
        let given = Given {
            partner: "p".into(),
            receipt: hash("receipt"),
            release: hash("table"),
            withdrawn: hash("withdrawn"),
        };
        let entry = Entry {
            at: "2026-01-01T00:00:00Z".into(),
            event: Event::Released,
            run: "r".into(),
            pipeline: "p".into(),
            as_of: AS_OF,
            known_by: String::new(),
            model: "m-1".into(),
            program: "sesame".into(),
            manifest: String::new(),
            scores: String::new(),
            plain: None,
            table: place.name(),
            replaces: None,
            begun: None,
            size: None,
            because: None,
            lineage: None,
            given: Some(given),
            accepted: Vec::new(),
        };
        give(root, &place, entry, key())
    }

    fn seen(image: &Image) -> Option<String> {
        let names = [RELEASE, WITHDRAWN, RECEIPT].map(|name| format!("{FOLDER}/partner=p/as_of={AS_OF}/{name}"));
        let texts: Vec<&Vec<u8>> = names.iter().filter_map(|name| image.get(name)).collect();
        let word = |text: &[u8]| String::from_utf8_lossy(text).split_once(' ').unwrap().1.to_owned();
        let first = texts.first().map(|text| word(text));
        assert!(texts.is_empty() || texts.len() == 3, "{:?}", image.keys());
        assert!(texts.iter().all(|text| Some(word(text)) == first), "two releases in one folder");
        first
    }

    /// Recovers a folder and looks that nothing is left over and everything is proven.
    fn whole(image: &Image, history: &str) -> Image {
        let place = restored(image);
        recovered(place.path()).unwrap_or_else(|e| panic!("{history}: {e:#}"));
        let image = image_of(place.path());
        assert!(image.keys().all(|name| !name.contains(STAGED)), "{history}: {:?}", image.keys());
        let ledger = Ledger::open(place.path(), key()).unwrap();
        let proof = proof::prove(place.path(), &ledger, None, &AtomicBool::new(false)).unwrap();
        assert_eq!(proof.mismatch, None, "{history}");
        let last = lines(&ledger).last().map(|(_, given)| given.release.clone());
        assert_eq!(seen(&image).map(|word| text(&format!("table {word}"))), last, "{history}");
        image
    }

    #[test]
    fn whatever_crashes_where_a_partner_sees_the_old_or_the_new_release() {
        let mut checked = 0;
        for giving in [&["a"][..], &["a", "b"], &["a", "b", "a"], &["a", "a"]] {
            let (before, last) = (&giving[..giving.len() - 1], giving[giving.len() - 1]);
            let start = tempfile::tempdir().unwrap();
            before.iter().for_each(|content| release(start.path(), content).unwrap());
            let old = image_of(start.path());
            let (crashes, root) = (Arc::new(Mutex::new(Vec::new())), start.path().to_owned());
            let noted = Arc::clone(&crashes);
            let look = move |operation: &'static str, path: &Path| -> io::Result<()> {
                noted.lock().unwrap().push((image_of(&root), format!("crash before: {operation} {}", path.display())));
                Ok(())
            };
            told(look, || release(start.path(), last)).unwrap();
            let new = image_of(start.path());
            assert_eq!(seen(&new).as_deref(), Some(last));
            let lawful = [seen(&old), seen(&new)];
            for (image, history) in crashes.lock().unwrap().drain(..) {
                assert!(lawful.contains(&seen(&image)), "{history}");
                let after = whole(&image, &history);
                assert!(lawful.contains(&seen(&after)), "{history}");
                let place = restored(&after);
                release(place.path(), last).unwrap();
                let again = whole(&image_of(place.path()), &history);
                assert_eq!(seen(&again).as_deref(), Some(last), "{history}");
                checked += 1;
            }
        }
        assert!(checked > 80, "{checked}");
    }

    #[test]
    fn an_operation_that_fails_loses_nothing() {
        let start = tempfile::tempdir().unwrap();
        release(start.path(), "a").unwrap();
        let old = image_of(start.path());
        for at in 0.. {
            let place = restored(&old);
            let mut n = 0;
            let fail = move |_: &'static str, _: &Path| -> io::Result<()> {
                n += 1;
                if n - 1 == at { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
            };
            let result = told(fail, || release(place.path(), "b"));
            let after = whole(&image_of(place.path()), &format!("failure of operation {at}: {result:?}"));
            match result {
                Ok(()) => {
                    assert_eq!(seen(&after).as_deref(), Some("b"));
                    if at > 60 {
                        break;
                    }
                }
                Err(_) => assert!(seen(&after).is_some()),
            }
        }
    }

    #[test]
    fn what_was_replaced_is_kept_and_what_was_changed_is_found() {
        let start = tempfile::tempdir().unwrap();
        ["a", "b"].iter().for_each(|content| release(start.path(), content).unwrap());
        let proven = |root: &Path| {
            let ledger = Ledger::open(root, key()).unwrap();
            proof::prove(root, &ledger, None, &AtomicBool::new(false)).unwrap().mismatch
        };
        assert_eq!(proven(start.path()), None);
        let image = image_of(start.path());
        let files: Vec<&String> = image.keys().filter(|name| name.starts_with(FOLDER)).collect();
        assert_eq!(files.len(), 6, "{files:?}");
        for file in files {
            let mut changed = image.clone();
            changed.get_mut(file).unwrap()[0] ^= 1;
            assert!(proven(restored(&changed).path()).is_some(), "{file}");
            changed.remove(file);
            assert!(proven(restored(&changed).path()).is_some(), "{file}");
        }
        let mut more = image.clone();
        more.insert(format!("{FOLDER}/partner=q/as_of={AS_OF}/{RELEASE}"), Vec::new());
        assert!(proven(restored(&more).path()).unwrap().contains("nothing tells of it"));
    }
}
