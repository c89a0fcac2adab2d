//! The shard that a subject and all its rows belong to: a hash class of subjects.
//!
//! The number of an id's shard among so many is the first eight bytes of the BLAKE3 hash of the id as people write it (the text; an integer in
//! decimal; binary ids in lower-case hexadecimal), as an unsigned little-endian integer, modulo their number. What has no id is of shard 0.

use anyhow::{Result, ensure};

use crate::tables::ids::{IdForm, id_text};

/// The most shards that subjects are divided into: the files of all of them are open together when they are put together.
pub const MOST_SHARDS: u32 = 512;

/// One of so many shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// A shard by its number, from 0.
    ///
    /// # Errors
    /// When there are too many shards, or none of the number.
    pub fn new(number: u32, of: u32) -> Result<Self> {
        ensure!((1..=MOST_SHARDS).contains(&of), "{of} shards; there can be 1 to {MOST_SHARDS}");
        ensure!(number < of, "there is no shard {number} of {of}: they are numbered from 0");
        Ok(Self { number, of })
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// Number of shards.
    #[must_use]
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Whether it counts what every shard reads, and what is of nobody.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.number == 0
    }

    /// Whether no shard comes after it.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.number + 1 == self.of
    }

    /// The number of the shard, among as many as there are of this one, that the subject of an id is in.
    ///
    /// # Errors
    /// None: there are fewer than the numbers count.
    pub fn among(self, id: Option<&[u8]>, form: IdForm) -> Result<u16> {
        if self.of == 1 { Ok(0) } else { Ok(u16::try_from(shard_of(id, form, self.of))?) }
    }
}

fn shard_of(id: Option<&[u8]>, form: IdForm, shards: u32) -> u64 {
    let Some(id) = id else { return 0 };
    let hash = match form {
        IdForm::Text => blake3::hash(id),
        IdForm::Binary | IdForm::Integer => blake3::hash(id_text(id, form).as_bytes()),
    };
    u64::from_le_bytes(std::array::from_fn(|n| hash.as_bytes()[n])) % u64::from(shards)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ids::to_ordered;

    #[test]
    fn shards_are_those_that_another_engine_works_out() {
        let text = |id: &str, shards| shard_of(Some(id.as_bytes()), IdForm::Text, shards);
        assert_eq!([text("", 8), text("s1", 8), text("abc", 8)], [7, 4, 4]);
        assert_eq!([text("", 1000), text("s1", 1000), text("abc", 1000)], [863, 900, 44]);
        assert_eq!(shard_of(Some(&to_ordered(-3)), IdForm::Integer, 1000), text("-3", 1000));
        assert_eq!((text("-3", 1000), shard_of(Some(&[0x0a, 0xff]), IdForm::Binary, 1000)), (25, 784));
        assert_eq!(shard_of(None, IdForm::Text, 8), 0);
    }

    #[test]
    fn every_id_is_in_one_shard() {
        let shards: Vec<Shard> = (0..5).map(|n| Shard::new(n, 5).unwrap()).collect();
        for n in 0..1_000 {
            let id = format!("subject-{n}");
            let among = |shard: &Shard| shard.among(Some(id.as_bytes()), IdForm::Text).unwrap();
            let found = among(&shards[0]);
            assert!(found < 5 && shards.iter().all(|shard| among(shard) == found));
        }
        assert_eq!(Shard::new(0, 1).unwrap().among(Some(b"s1"), IdForm::Text).unwrap(), 0);
        assert!(Shard::new(5, 5).is_err() && Shard::new(0, 0).is_err() && Shard::new(0, MOST_SHARDS + 1).is_err());
    }
}
