//! What a row must satisfy: [`checks`] by column, told by [`bounds`] where nothing is wrong, the [`rule`]s, from which date on it is
//! visible ([`since`]), ids that look like personal data ([`pii`]); and the books of it: every row in one class ([`conservation`]),
//! what was found by table ([`findings`]), and what ends the reading of one ([`of_rows`]).

mod bounds;
pub mod checks;
pub mod conservation;
pub mod findings;
pub mod of_rows;
pub mod pii;
pub mod rule;
mod since;
