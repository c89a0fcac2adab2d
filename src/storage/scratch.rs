//! A file without a name for what memory has no room for. Where keys are named for files, what is spilled is encrypted too: with a key
//! of its own, which is nowhere but in memory and ends with the process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::encryption;

/// Bytes that tell whether a part is what was written.
const TAG: usize = 16;

/// A scratch file; threads write to it side by side.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    end: AtomicU64,
    key: Option<LessSafeKey>,
}

impl Scratch {
    /// An empty file below a folder, encrypted if any key is named.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(folder: &Path) -> Result<Self> {
        Self::create(folder, encryption::any()).with_context(|| format!("a scratch file in {}", folder.display()))
    }

    fn create(folder: &Path, sealed: bool) -> Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let key = if sealed { Some(random_key()?) } else { None };
        Ok(Self { file, end: AtomicU64::new(0), key })
    }

    /// Bytes that a part takes beside its own.
    const fn beside(&self) -> usize {
        if self.key.is_some() { TAG } else { 0 }
    }

    /// Writes parts that lie one after another in `bytes`, each up to one of `ends`, the last of which is the end of all; returns where.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&self, bytes: &[u8], ends: &[usize]) -> Result<u64> {
        let all = bytes.len() + ends.len() * self.beside();
        let at = self.end.fetch_add(all as u64, Ordering::Relaxed);
        let Some(key) = &self.key else {
            self.file.write_all_at(bytes, at)?;
            return Ok(at);
        };
        let (mut sealed, mut from) = (Vec::with_capacity(all), 0);
        for end in ends {
            let start = sealed.len();
            let part = bytes.get(from..*end).context("defect: a part beyond what is spilled")?;
            sealed.extend_from_slice(part);
            let nonce = nonce(at + start as u64);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed[start..]);
            sealed.extend_from_slice(tag.map_err(|_| anyhow!("what is spilled could not be encrypted"))?.as_ref());
            from = *end;
        }
        ensure!(from == bytes.len(), "defect: the parts are not all that is spilled");
        self.file.write_all_at(&sealed, at)?;
        Ok(at)
    }

    /// Where the `n`th part of what was written at a place lies; `from` is where it began among the bytes.
    #[must_use]
    pub const fn part(&self, at: u64, n: usize, from: usize) -> u64 {
        at + (from + n * self.beside()) as u64
    }

    /// Reads a part of so many bytes from where it lies.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub fn read(&self, at: u64, len: usize, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.resize(len + self.beside(), 0);
        self.file.read_exact_at(bytes, at).context("reading the scratch file")?;
        if let Some(key) = &self.key {
            let opened = key.open_in_place(nonce(at), Aad::empty(), bytes);
            ensure!(opened.is_ok_and(|opened| opened.len() == len), "the scratch file was changed while it was used");
            bytes.truncate(len);
        }
        Ok(())
    }

    /// Gives the disk back what was written, which nobody reads any more.
    ///
    /// # Errors
    /// When the file cannot be cut off.
    pub fn forget(&self) -> Result<()> {
        self.file.set_len(0).context("emptying a scratch file")
    }
}

fn random_key() -> Result<LessSafeKey> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no random numbers"))?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| anyhow!("defect: a key of another length"))?;
    Ok(LessSafeKey::new(key))
}

/// The nonce of the part at a place: nothing is written twice at one, and every file has a key of its own.
fn nonce(at: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&at.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_only_a_sealed_file_hides_them() {
        let folder = tempfile::tempdir().unwrap();
        for sealed in [false, true] {
            let scratch = Scratch::create(folder.path(), sealed).unwrap();
            let bytes = b"canary-1canary-22";
            let mut read = Vec::new();
            for _ in 0..2 {
                let at = scratch.write(bytes, &[8, 8, 17]).unwrap();
                for (n, part) in [0..8, 8..8, 8..17].into_iter().enumerate() {
                    scratch.read(scratch.part(at, n, part.start), part.len(), &mut read).unwrap();
                    assert_eq!(read, bytes[part]);
                }
            }
            let mut all = vec![0; usize::try_from(scratch.file.metadata().unwrap().len()).unwrap()];
            scratch.file.read_exact_at(&mut all, 0).unwrap();
            assert_eq!(all.len(), if sealed { 2 * (17 + 3 * TAG) } else { 2 * 17 });
            assert_eq!(!all.windows(6).any(|w| w == b"canary"), sealed);
            // The same bytes are other bytes at another place.
            assert_eq!(all[..8] != all[all.len() / 2..][..8], sealed);
            scratch.file.write_all_at(&[all[0] ^ 1], 0).unwrap();
            assert_eq!(scratch.read(0, 8, &mut read).is_err(), sealed);
        }
    }

    #[test]
    fn what_is_forgotten_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path(), false).unwrap();
        let at = scratch.write(b"bytes", &[5]).unwrap();
        scratch.forget().unwrap();
        assert_eq!(scratch.file.metadata().unwrap().len(), 0);
        assert!(scratch.read(at, 5, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_part_is_not_another_one_that_was_moved_to_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path(), true).unwrap();
        scratch.write(b"onetwo", &[3, 6]).unwrap();
        let mut first = vec![0; 3 + TAG];
        scratch.file.read_exact_at(&mut first, 0).unwrap();
        scratch.file.write_all_at(&first, scratch.part(0, 1, 3)).unwrap();
        assert!(scratch.read(scratch.part(0, 1, 3), 3, &mut Vec::new()).is_err());
    }
}
