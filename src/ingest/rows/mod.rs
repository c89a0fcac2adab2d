//! Rows of one bucket of subjects: what stands where ([`layout`]), packed ([`pack`]), kept or spilled ([`store`]), and cleaned for the
//! engine ([`cleaner`]).

pub mod cleaner;
pub mod layout;
pub mod pack;
pub mod store;
