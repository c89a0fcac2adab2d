//! Whom nothing may be kept of any more: keyed hashes of the ids that were erased. Later runs leave them out; who does not have the key
//! cannot tell whose they are.

use std::collections::BTreeSet;

use super::hashes::{self, Hash};
use super::key::Key;

/// Those that were erased.
#[derive(Debug, Clone, Default)]
pub struct Erased {
    key: Option<Key>,
    hashes: BTreeSet<Hash>,
}

/// Nobody was.
pub static NOBODY: Erased = Erased { key: None, hashes: BTreeSet::new() };

impl Erased {
    /// Those whose ids have some keyed hashes.
    #[must_use]
    pub const fn new(key: Key, hashes: BTreeSet<Hash>) -> Self {
        Self { key: Some(key), hashes }
    }

    /// The keyed hash of an id, as people write it.
    #[must_use]
    pub fn hash_of(key: &Key, id: &str) -> Hash {
        key.mac(&format!("erased {id}"))
    }

    /// Whether the subject of an id, as people write it, was erased.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.key.as_ref().is_some_and(|key| self.hashes.contains(&Self::hash_of(key, id)))
    }

    /// Whether it is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// A hash of all of them.
    #[must_use]
    pub fn hash(&self) -> Hash {
        hashes::text(&self.hashes.iter().map(|hash| format!("{hash}\n")).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_erased_is_known_under_the_key_alone() {
        let key = Key::of([7; 32]);
        let erased = Erased::new(key.clone(), BTreeSet::from([Erased::hash_of(&key, "a-1")]));
        assert!(erased.holds("a-1") && !erased.holds("a-2") && !erased.is_empty());
        let other = Erased::new(Key::of([8; 32]), erased.hashes.clone());
        assert!(!other.holds("a-1"));
        assert!(NOBODY.is_empty() && !NOBODY.holds("a-1"));
        assert_eq!(erased.hash(), other.hash());
        assert_ne!(erased.hash(), NOBODY.hash());
    }
}
