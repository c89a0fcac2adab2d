//! What is wrong with rows so that nothing can be made of their table.

/// What is wrong with the rows of a table. Other shards may have such rows, too, so that all of them are told together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OfRows(pub String);
