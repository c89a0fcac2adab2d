//! The machine: how much of it is used ([`resources`], [`budget`], [`threads`]), [`large_array`]s, and a [`shield`] against decoders
//! that give up.

pub mod budget;
pub mod large_array;
pub mod resources;
pub mod shield;
pub mod threads;
