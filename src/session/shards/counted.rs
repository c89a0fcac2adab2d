//! Rows that another engine divided, held against the files that they were in: none was lost on the way, and none doubled.

use anyhow::{Result, ensure};

use super::spec::{Goes, Spec};
use crate::ingest::numbers::{Numbers, Sums, Whole, merge};
use crate::output::thousands;
use crate::pipeline::{Finding, Findings};
use crate::stages::shards::Part;

/// Checks that every row of the plan's files came to its shard once, and that of the tables that go to all every shard has all rows.
///
/// # Errors
/// All files of which rows were lost or doubled; when another engine divided the rows of some shards alone.
pub(super) fn all_came(spec: &Spec, parts: &[Part]) -> Result<()> {
    let divided = parts.iter().filter(|part| !part.beside.counted.came.is_empty()).count();
    if divided == 0 {
        return Ok(());
    }
    ensure!(
        divided == parts.len(),
        "another engine divided the rows of {} of {} shards, and not those of the others: make all of them in one way",
        thousands(divided as u64),
        thousands(parts.len() as u64)
    );
    let staged = spec.staged()?;
    let mut wrong = Findings::default();
    for table in spec.tables.iter().filter(|table| table.goes != Goes::ToGather) {
        let of = |part: &Part| part.beside.counted.came.get(&table.table).cloned().unwrap_or_default();
        let mut came: Vec<Vec<Numbers>> = parts.iter().map(of).collect();
        if table.goes == Goes::BySubject {
            let mut all = Vec::new();
            came.iter().for_each(|part| merge(&mut all, part));
            came = vec![all];
        }
        for (n, file) in table.files.iter().enumerate() {
            let sums = match &staged {
                Some(staged) => staged.sums(&table.table, &file.label),
                None => Some(Sums::of_file(file.rows)),
            };
            let whole = Whole { path: &file.path, rows: file.rows, sums };
            let told = came.iter().filter_map(|part| whole.wrong(part.get(n).copied().unwrap_or_default()));
            wrong.0.extend(told.take(1).map(|message| Finding { file: table.table.clone().into(), line: 0, message }));
        }
    }
    Ok(wrong.or(())?)
}
