//! The shards of one process, made one after another: the exports are read once, and whoever reads one first puts the rows of the shards
//! after it aside.
//!
//! What lies aside may be what the disk had no room for. So when a shard finds the disk full while rows do, they are given up, all that the
//! shard left is removed, and it is made again; it and those after it read the exports. Then the disk has the room that it would have if nothing
//! had ever been put aside: a run ends for want of disk where it would have ended without, and nowhere else. That is so once at most.

use anyhow::{Context, Error, Result};

use super::key::Key;
use super::make::{Chosen, Lacking};
use super::shards::{Part, is_of_rows, keys_of_part, put_own_together};
use super::store::StageStore;
use crate::exit;
use crate::ingest::divided::Divided;
use crate::ingest::spine::shard::Shard;
use crate::machine::disk;
use crate::machine::resources::Resources;
use crate::pipeline::Findings;

/// Makes the stages that a job lacks. `all` are the keys of every stage that the job needs.
///
/// # Errors
/// What is wrong with the rows of any shard, all of it at once; when the disk is full, or the run is interrupted.
pub fn make_in_shards(
    lacking: &Lacking,
    all: &[Key],
    shards: u32,
    store: &StageStore,
    resources: &Resources,
) -> Result<()> {
    let keys = keys_of_part(all, &lacking.keys);
    // Below the stages it is swept as a stage under way is; elsewhere it goes with this process.
    let place = tempfile::Builder::new().prefix(".new-shards-").tempdir_in(&resources.scratch)?;
    let (mut parts, mut wrong, divided) = (Vec::new(), Vec::new(), Divided::default());
    for number in 0..shards {
        resources.check()?;
        let shard = Shard::new(number, shards)?;
        resources.log.line(&format!("shard {} of {shards}", number + 1));
        let folder = place.path().join(number.to_string());
        let of = Chosen { shard, rows: None, divided: Some(&divided) };
        let make = || Part::make(lacking.job, &keys, of, (folder.as_path(), None), resources);
        let give_way = |full: &Error| -> Result<bool> {
            if !divided.give_way()? {
                return Ok(false);
            }
            resources.log.warn(&format!(
                "{} is full: the rows that were put aside there are given up, shard {} of {shards} is made again, and every shard reads the exports from here on ({})",
                resources.scratch.display(),
                number + 1,
                exit::message(full)
            ));
            // Stages of the shard that were under way, and those that are whole.
            if folder.exists() {
                fs_err::remove_dir_all(&folder)?;
            }
            Ok(true)
        };
        match made(&make, &give_way) {
            Ok(part) => parts.push(part),
            Err(error) if is_of_rows(&error) => wrong.push(error),
            Err(error) => return Err(error),
        }
    }
    drop(divided);
    Findings::together(wrong)?;
    put_own_together(lacking, parts, store, resources)
}

/// What `make` makes, at its second try where it found the disk full and something gave way for it.
fn made<T>(make: &dyn Fn() -> Result<T>, give_way: &dyn Fn(&Error) -> Result<bool>) -> Result<T> {
    let full = match make() {
        Err(error) if disk::is_full(&error) => error,
        other => return other,
    };
    match give_way(&full).with_context(|| exit::message(&full))? {
        true => make(),
        false => Err(full),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io;

    /// How often a thing is made whose first so many tries fail, where so much gives way: and how it ends.
    fn tries(fails: usize, kind: io::ErrorKind, gives_way: bool) -> (usize, Result<&'static str>) {
        let made_so_far = Cell::new(0);
        let make = || {
            made_so_far.set(made_so_far.get() + 1);
            match made_so_far.get() <= fails {
                true => Err(Error::from(io::Error::from(kind)).context("spilling")),
                false => Ok("made"),
            }
        };
        let ended = made(&make, &|full| {
            assert_eq!(full.to_string(), "spilling");
            Ok(gives_way)
        });
        (made_so_far.get(), ended)
    }

    #[test]
    fn what_finds_the_disk_full_is_made_again_once_if_something_gives_way() {
        let full = io::ErrorKind::StorageFull;
        let (made, ended) = tries(0, full, true);
        assert!(made == 1 && ended.is_ok());
        let (made, ended) = tries(1, full, true);
        assert!(made == 2 && ended.is_ok());
        for (fails, kind, gives_way, expected) in
            [(1, full, false, 1), (2, full, true, 2), (1, io::ErrorKind::NotFound, true, 1)]
        {
            let (made, ended) = tries(fails, kind, gives_way);
            assert_eq!(made, expected);
            assert_eq!(ended.unwrap_err().to_string(), "spilling");
        }
    }

    #[test]
    fn why_nothing_could_give_way_is_told_with_what_it_was_for() {
        let make = || -> Result<()> { Err(io::Error::from(io::ErrorKind::QuotaExceeded).into()) };
        let error = made(&make, &|_| Err(Error::msg("locked"))).unwrap_err();
        assert!(format!("{error:#}").contains("quota") && format!("{error:#}").contains("locked"), "{error:#}");
    }
}
