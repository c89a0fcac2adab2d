//! Rows of one bucket of subjects ([`buckets`]): what stands where ([`layout`]), cut by bucket ([`split`], [`mod@cut`]) and packed ([`pack`]), kept
//! or spilled ([`store`]), and cleaned for the engine ([`cleaner`]).

pub mod buckets;
pub mod cleaner;
pub mod cut;
pub mod layout;
pub mod pack;
pub mod split;
pub mod store;
