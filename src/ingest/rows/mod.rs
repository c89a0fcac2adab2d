//! Rows of one bucket of subjects ([`buckets`]): what stands where ([`layout`]), cut by bucket ([`split`], [`mod@cut`], at [`desks`]) and packed ([`pack`]), kept
//! or spilled ([`store`]), unpacked again ([`unpack`]), taken out into columns of which some are [`spare`], chosen, and cleaned for the engine ([`cleaner`]).

pub mod buckets;
pub mod cleaner;
pub mod cut;
pub(super) mod desks;
pub mod layout;
pub mod pack;
mod selection;
pub mod spare;
pub mod split;
pub mod store;
mod taken;
mod unpack;
