//! Runs: from a checked job to a published table, whatever happens in between.
//!
//! [`output_folder`] locks an output folder and finishes what a crash left undone. [`prepare`] finds or makes the stages of jobs;
//! [`run`] has one staged by [`staging`], asks the gates and has [`publication`] rename the table into its place and add a line to the
//! [`ledger`]. [`folder`] says what state a run is in.

pub mod attempt;
pub mod backfill;
pub mod compare;
pub mod configuration;
pub mod distributions;
pub mod entry;
pub mod folder;
pub mod identity;
pub mod inputs;
pub mod kept;
pub mod ledger;
pub mod lineage;
pub mod lock;
pub mod loss;
pub mod manifest;
pub mod metrics;
pub mod output_folder;
pub mod prepare;
pub mod previous;
#[cfg(test)]
mod protocol_model;
pub mod publication;
pub mod recovery;
pub mod removal;
pub mod run;
pub mod staging;
pub mod step;
pub mod verify;
