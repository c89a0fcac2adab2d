//! A run about to be made.

use std::time::Instant;

use super::Session;
use super::acceptance::Accept;
use super::identity::Identity;
use crate::job::Job;
use crate::stages::store::Stage;
use crate::storage::hashes::Hash;

/// A run about to be made.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What is scored.
    pub job: &'a Job,
    /// What the run is called.
    pub identity: &'a Identity,
    /// The hashes of the input files, export by export.
    pub hashes: &'a [Vec<Hash>],
    /// The stages it is scored from.
    pub stages: &'a [Stage],
    /// Gates to override.
    pub accept: &'a [Accept],
    /// The session it is made in.
    pub session: &'a Session<'a>,
    /// When the work on it began.
    pub started: Instant,
}
