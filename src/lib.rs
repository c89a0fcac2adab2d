//! Batch credit scoring of anonymised Parquet exports.
//!
//! The way of the data:
//!
//! 1. [`pipeline`] reads what the user wrote: which exports, which model, where to.
//! 2. [`contract`] says what an export holds; [`ingest`] reads each one once, checks every row, keeps what was visible
//!    at the as-of date, and splits the rows by subject bucket.
//! 3. [`features`] adds up exact integers per subject and finishes them to features, bucket by bucket in parallel.
//! 4. [`graph`] builds the graph of ties and propagates friends' scores over it.
//! 5. [`score`] turns features into points by the bins of the model, points into a score, and finds the reasons.
//! 6. [`publish`] stages the scored table, checks the gates and publishes it with one rename.
//! 7. [`audit`] sums up what happened; it reads results and changes nothing.
//!
//! [`expression`] is the portable SQL that analysts write in catalogue and model files, [`engine`] evaluates it.
//! [`synth`] makes a synthetic population. [`command`] holds one thin file per command.

pub mod audit;
pub mod cli;
pub mod command;
pub mod contract;
pub mod engine;
pub mod exit;
pub mod expression;
pub mod features;
pub mod graph;
pub mod ingest;
pub mod job;
pub mod machine;
pub mod memory;
pub mod output;
pub mod pipeline;
pub mod publish;
pub mod score;
pub mod synth;

/// Stands for null in integer columns.
pub const NULL: i64 = i64::MIN;
