//! Ids in a file: in a shard's folder of subjects whom the date does not see yet, and of those that rows name and that are nobody's; in
//! the stage of a roster of its subjects.

use std::path::Path;

use anyhow::Result;
use arrow::datatypes::Field;

use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::ids::{self, SubjectIds};
use crate::tables::scores::SUBJECT_ID;

/// Writes them to a file.
///
/// # Errors
/// When the disk is full.
pub(super) fn write(path: &Path, some: &SubjectIds) -> Result<()> {
    let mut file = BlockWriter::create(path, vec![Field::new(SUBJECT_ID, ids::data_type(some)?, false)])?;
    for from in (0..some.len()).step_by(BLOCK_ROWS) {
        file.add(vec![ids::column(some, from..(from + BLOCK_ROWS).min(some.len()))?])?;
    }
    file.finish()
}

/// Reads them back.
///
/// # Errors
/// When the file is damaged.
pub(super) fn read(path: &Path) -> Result<SubjectIds> {
    let blocks = Blocks::open(path)?;
    let mut some = SubjectIds::default();
    for at in 0..blocks.len() {
        some.form = ids::push(blocks.block(at)?.column(0), &mut some.ids)?;
    }
    Ok(some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ids::{IdForm, Ids, to_ordered};

    #[test]
    fn ids_of_every_form_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.parquet");
        let all: [(IdForm, Vec<Vec<u8>>); 4] = [
            (IdForm::Text, vec![]),
            (IdForm::Text, vec![b"a".to_vec(), b"later".to_vec()]),
            (IdForm::Binary, vec![vec![0, 1, 2], vec![9, 9, 9]]),
            (IdForm::Integer, vec![to_ordered(-5).to_vec(), to_ordered(7).to_vec()]),
        ];
        for (form, of) in all {
            let mut ids = Ids::default();
            of.iter().for_each(|id| ids.push(id));
            write(&path, &SubjectIds { ids, form }).unwrap();
            let back = read(&path).unwrap();
            assert_eq!((back.len(), back.form), (of.len(), form));
            assert!((0..of.len()).all(|n| back.ids.get(n) == of[n]));
        }
    }
}
