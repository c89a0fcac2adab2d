//! Scorecards of other tools, read exactly: points as decimals, edges as doubles, nothing guessed.
//!
//! [`read`] tells by its content where a file is from, and has [`optbinning`], [`scorecardpy`], [`toad`] or [`pmml`] read it. All give
//! a [`card`]: a base, and for each feature [`units`] of points by bin. [`names`] says which feature of the catalogue each one is,
//! [`placed`] puts it there, and [`written`] makes a model file of it, by the [`blocks`] of one that is there. [`import`] does all of it.

pub mod blocks;
pub mod card;
pub mod double;
pub mod import;
pub mod intervals;
pub mod json;
pub mod names;
pub mod optbinning;
pub mod placed;
pub mod pmml;
pub mod predicate;
pub mod read;
pub mod scorecardpy;
pub mod toad;
pub mod written;
