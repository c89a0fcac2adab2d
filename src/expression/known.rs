//! Texts that were parsed before: every as-of date compiles the same catalogue, and the engine reads each text twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sqlparser::ast::Expr;

/// Texts that are remembered, and the longest of them in bytes: some megabytes at most.
const MOST: usize = 1_024;
const LONGEST: usize = 1_000;

/// The trees of texts that one way of parsing reads. Where a thread failed with the lock, every text is new.
#[derive(Debug, Default)]
pub struct Known(Mutex<BTreeMap<String, Arc<Expr>>>);

impl Known {
    /// No text was parsed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// What a text was parsed to.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<Arc<Expr>> {
        self.0.lock().ok().and_then(|known| known.get(text).cloned())
    }

    /// Remembers a text, unless it is too long; of too many it forgets all.
    pub fn add(&self, text: &str, tree: &Arc<Expr>) {
        if text.len() <= LONGEST
            && let Ok(mut known) = self.0.lock()
        {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(text.to_owned(), Arc::clone(tree));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::ast::Ident;

    #[test]
    fn texts_are_remembered_up_to_a_size_and_number() {
        let known = Known::new();
        let tree = |name: &str| Arc::new(Expr::Identifier(Ident::new(name)));
        for n in 0..MOST + 10 {
            let text = format!("a{n}");
            known.add(&text, &tree(&text));
            assert_eq!(known.get(&text), Some(tree(&text)));
            assert!(known.0.lock().unwrap().len() <= MOST);
        }
        assert_eq!(known.get("a0"), None);
        let long = "a".repeat(LONGEST + 1);
        known.add(&long, &tree("b"));
        assert_eq!(known.get(&long), None);
    }
}
