//! Friends' scores over the relationship graph.
//!
//! Ties between counted subjects become a compressed sparse row graph ([`csr`]) in blocks of about equal numbers of
//! links ([`links`]) that stay in memory or lie on disk. [`propagate`] iterates the anchored neighbour average over it
//! in integer fixed point; [`neighbours`] tells what else friends are like; [`trust`] can weigh down subjects that verified ones hardly reach.

pub mod csr;
mod links;
mod merge;
pub mod neighbours;
mod open;
mod order;
pub mod parameters;
pub mod propagate;
mod receivers;
mod strongest;
mod trust;

pub use parameters::Parameters;
