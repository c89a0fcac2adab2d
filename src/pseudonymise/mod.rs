//! Exports made fit to leave the system they come from: every id a pseudonym, no column that the contract does not name, no free text.
//!
//! [`request`] has it done. [`source`] finds the exports, [`plan`] settles what becomes of each column, [`table`] streams one table
//! through it: [`ids`] become pseudonyms, [`words`] are told from free text. [`report`] says what was done.

mod ids;
mod plan;
pub mod report;
pub mod request;
mod source;
mod table;
mod words;
