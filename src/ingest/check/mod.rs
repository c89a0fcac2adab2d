//! What a row must satisfy: [`checks`] by column, the [`rule`]s, ids that look like personal data ([`pii`]); and the books of it: every
//! row in one class ([`conservation`]), what was found by table ([`findings`]).

pub mod checks;
pub mod conservation;
pub mod findings;
pub mod pii;
pub mod rule;
