//! What lies in an output folder, and how it changes.
//!
//! The [`ledger`] tells what was published and refused. A run has a [`folder`]; [`publication`] renames its table into place and adds a
//! line to the ledger, finishes what a crash left undone, and removes what may go. [`output_folder`] is all of it under a [`lock`].
//!
//! [`releases`] are what partners were given.
//!
//! [`overview`] lists the runs, [`named`] finds the one that a user names, [`kept`] opens it, [`earlier`] finds those that a new one is compared with, [`verify`] proves that all is as it was.
//! Where the output is a URL, [`remote`] is a mirror of it in which all of this works, and the protocol that makes it true for others.
//!
//! [`inputs`] remembers hashes of input files, [`backfill`] what became of the dates of a backfill; [`monitoring`] tells others. [`erasure`] takes subjects out of all of it.

pub mod overview;
pub mod named;
pub mod kept;
pub mod earlier;
mod origin;
pub mod verify;
pub mod in_place;
pub mod output_folder;
pub mod remote;
pub mod lock;
pub mod publication;
pub mod releases;
pub mod monitoring;
pub mod inputs;
pub mod backfill;
pub mod erasure;
pub mod folder;
pub mod ledger;
pub mod step;
