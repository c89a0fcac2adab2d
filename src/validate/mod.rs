//! How well the scores of kept runs rank outcomes that came later.
//!
//! [`scored`] reads a run's table, [`outcomes`] an export of outcomes, by the contract's rules; [`validation`] measures one run
//! and [`comparison`] two on the same subjects.

pub mod comparison;
pub mod outcomes;
pub mod scored;
pub mod text;
pub mod validation;
