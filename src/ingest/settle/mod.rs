//! Settling: of several rows about one thing the one that counts, at each date.
//!
//! [`resolve`] does so for records, of which `repeated` finds those that stand there twice and `counted` notes those that count,
//! [`subjects`] for the subjects' own rows, [`registers`] for small tables that are held whole, among them sources and [`disputes`];
//! [`consents`], [`release`] (consents to it), [`outcomes`] and [`groups`] have rules of their own.

pub mod consents;
pub mod contested;
mod counted;
pub mod disputes;
pub mod groups;
pub mod outcomes;
pub mod registers;
pub mod release;
mod repeated;
pub mod resolve;
pub mod subjects;
