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
//! 6. [`scorecard`] is the model made ready; [`score`] turns features into points by its bins, points into a score, and finds the reasons.
//! 7. [`gates`] say whether the result may be published; [`audit`] sums up what happened, and [`report`] makes a page of it.
//! 8. [`session`] locks the output folder, has all of this done, and publishes with one rename and a line in the ledger: see [`runs`]
//!    for what lies there.
//!
//! [`explain`], [`validate`] and [`diff`] look at runs that are kept, [`access`] at all that is held about one subject; [`foreign`]
//! makes a model of a scorecard from another tool, and [`export`] writes a model's card for other engines. The modules below are in the
//! order of the floors, from the top down: a room uses rooms below it, and a test reads this order and every import.

// The door: flags and what is printed.
pub mod command;
// Who has things done, in which order.
pub mod session;
// A first pipeline for files that nobody has looked at.
pub mod init;
// Exports made fit to leave the system they come from.
pub mod pseudonymise;
// Kept runs, looked at.
pub mod report;
pub mod access;
pub mod explain;
pub mod validate;
pub mod diff;
// What lies in the output folder, and how it changes.
pub mod runs;
// What a result is worth.
pub mod audit;
pub mod gates;
// Scorecards of other tools, made models.
pub mod foreign;
// A card for other engines.
pub mod export;
// Computing.
pub mod fit;
pub mod score;
pub mod stages;
pub mod measure;
pub mod job;
pub mod scorecard;
pub mod graph;
pub mod features;
pub mod ingest;
// A synthetic population.
pub mod synth;
// The ground.
pub mod tables;
pub mod engine;
pub mod pipeline;
pub mod contract;
pub mod expression;
pub mod machine;
pub mod storage;
pub mod statistics;
pub mod disclosure;
pub mod output;
pub mod exit;

/// Stands for null in integer columns.
pub const NULL: i64 = i64::MIN;
