//! A model made ready for one date: the [`card`] of features and bins, the [`rules`] for segments, evidence and statuses, and the
//! [`policy`] rules that cap a score.

pub mod card;
pub mod policy;
pub mod rules;

pub use card::Scorecard;
