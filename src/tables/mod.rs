//! The tables that are written: name, schema, writer and reader of each in one place.
//!
//! [`scores`], [`relationships`], [`evidence`], [`features`] and [`quarantine`] are what a run keeps. Beside them: how tables are written
//! ([`parquet_file`], in [`blocks`] of rows for stages) and read ([`read`] as a whole, [`find`] one subject, [`columns`] by name), and
//! what [`ids`] and [`words`] of short lists are. [`without`] writes one anew without some rows.

pub mod blocks;
pub mod columns;
pub mod dataset;
pub mod evidence;
pub mod features;
pub mod find;
pub mod ids;
pub mod parquet_file;
pub mod quarantine;
pub mod read;
pub mod relationships;
pub mod release;
pub mod scores;
mod window;
pub mod without;
pub mod words;
