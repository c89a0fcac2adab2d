//! Ids that rows of a shard name and that are none of its subjects. Where another engine divides rows, all of one subject are in one shard: an
//! id that is nobody's in one is nobody's in any other, or rows and subjects were divided differently.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use anyhow::{Result, anyhow};

use crate::tables::ids::{IdForm, Ids, SubjectIds};

/// Such ids, each once.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<(BTreeSet<Vec<u8>>, IdForm)>);

impl Strangers {
    /// Adds some.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub fn add(&self, ids: impl Iterator<Item = Vec<u8>>, form: IdForm) -> Result<()> {
        let mut held = self.held()?;
        held.0.extend(ids);
        held.1 = form;
        Ok(())
    }

    /// All of them, in order; of binary ones those as long as the shard's subjects, for no other can be anybody's.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub fn ids(&self, subjects: &Ids) -> Result<SubjectIds> {
        let held = self.held()?;
        let first = held.0.first().map_or(0, Vec::len);
        let width = if subjects.is_empty() { first } else { subjects.width() };
        let mut ids = Ids::default();
        let fits = |id: &&Vec<u8>| held.1 != IdForm::Binary || id.len() == width;
        held.0.iter().filter(fits).for_each(|id| ids.push(id));
        Ok(SubjectIds { ids, form: held.1 })
    }

    fn held(&self) -> Result<MutexGuard<'_, (BTreeSet<Vec<u8>>, IdForm)>> {
        self.0.lock().map_err(|_| anyhow!("another thread failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_once_and_in_order() {
        let strangers = Strangers::default();
        strangers.add(["b", "a", "b"].iter().map(|id| id.as_bytes().to_vec()), IdForm::Text).unwrap();
        strangers.add(std::iter::once(b"longer".to_vec()), IdForm::Text).unwrap();
        let told = strangers.ids(&Ids::default()).unwrap();
        let texts: Vec<&[u8]> = (0..told.len()).map(|n| told.ids.get(n)).collect();
        assert_eq!(texts, [b"a".as_slice(), b"b", b"longer"]);
    }

    #[test]
    fn binary_ids_of_another_length_are_nobodys() {
        let strangers = Strangers::default();
        strangers.add([vec![1, 2], vec![3, 4, 5]].into_iter(), IdForm::Binary).unwrap();
        let mut subjects = Ids::default();
        subjects.push(&[7, 8, 9]);
        let told = strangers.ids(&subjects).unwrap();
        assert_eq!((told.len(), told.ids.get(0)), (1, [3_u8, 4, 5].as_slice()));
    }
}
