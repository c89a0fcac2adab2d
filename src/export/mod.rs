//! A segment's card of a model, written for other engines.
//!
//! [`card`] takes it out of a model with exact points; [`pmml`], [`csv`] and [`sql`] write it, each by itself; [`decimals`] writes
//! exact fractions. What needs the graph of ties is left out: friends are neutral.

pub mod card;
pub mod csv;
pub mod decimals;
pub mod pmml;
pub mod sql;

pub use card::SegmentCard;
