//! Batch credit scoring of anonymised Parquet exports.
//!
//! The way of the data:
//!
//! 1. [`pipeline`] reads what the user wrote: which exports, which model, where to.
//! 2. [`contract`] says what an export holds; [`ingest`] reads each one once, checks every row, keeps what was visible
//!    at the as-of date, and splits the rows by subject bucket.
//! 3. [`features`] adds up exact integers per subject and finishes them to features; [`measure`] does so bucket by bucket in
//!    parallel, for one as-of date or many.
//! 4. [`stages`] keeps what does not depend on weights, bins or bands, under the content of all it was made from.
//! 5. [`graph`] builds the graph of ties and propagates friends' scores over it.
//! 6. [`score`] turns features into points by the bins of the model, points into a score, and finds the reasons.
//! 7. [`publish`] writes the scored table and checks the gates.
//! 8. [`audit`] sums up what happened; it reads results and changes nothing. [`report`] makes a page of it.
//! 9. [`runs`] locks the output, has all of this done, and publishes with one rename and a line in the ledger.
//!
//! [`explain`] and [`validate`] look at runs that are kept: why one score is what it is, and how well all of them rank outcomes.
//! [`disclosure`] says what may be shown of counts of subjects, [`statistics`] holds what the field measures with. [`expression`] is the portable SQL that analysts write in catalogue and model files, [`engine`] evaluates it.
//! [`synth`] makes a synthetic population. [`command`] holds one thin file per command.

pub mod audit;
pub mod cli;
pub mod command;
pub mod contract;
pub mod disclosure;
pub mod engine;
pub mod exit;
pub mod explain;
pub mod expression;
pub mod features;
pub mod graph;
pub mod ingest;
pub mod job;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod output;
pub mod pipeline;
pub mod publish;
pub mod report;
pub mod runs;
pub mod score;
pub mod shield;
pub mod stages;
pub mod statistics;
pub mod storage;
pub mod synth;
pub mod validate;

/// Stands for null in integer columns.
pub const NULL: i64 = i64::MIN;
