//! Behaviour of the program through its binary, and of its kernels against independent second implementations.
//! `tests/README.md` names what each file guards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod access;
mod backfill;
mod broken;
mod browser;
mod calibrate;
mod cli;
mod determinism;
mod diff;
mod disclosure;
mod docs;
mod encryption;
mod endings;
mod erase;
mod explain;
mod export;
mod exports;
mod first_hour;
mod fit;
mod floors;
mod foreign;
mod fuzz;
mod gates;
mod graph;
mod history;
mod hostile;
mod identity;
mod language;
mod meaning;
mod mistakes;
mod nights;
mod objects;
mod objects_output;
mod oracle;
mod overview;
mod privacy;
mod proof;
mod properties;
mod pseudonymise;
mod real_data;
mod relationships;
mod release;
mod report;
mod reuse;
mod run;
mod safety;
mod sales;
mod schema;
mod server;
mod shards;
mod shared;
mod time_zone;
mod validate;
mod walls;
mod workdir;
