//! What a row must satisfy: [`checks`] by column, the [`rule`]s, ids that look like personal data ([`pii`]); and the books of it: every
//! row in one class ([`conservation`]), what was found by table ([`findings`]), and what ends the reading of one ([`of_rows`]).

pub mod checks;
pub mod conservation;
pub mod findings;
pub mod of_rows;
pub mod pii;
pub mod rule;
