//! The machine: how much of it is used ([`resources`], [`memory`], [`budget`], [`threads`]), work that is done [`in_order`], [`large_array`]s,
//! a [`shield`] against decoders that give up, what the [`allocator`] keeps and the [`processor`] can do, and room on the [`stack`] and on a
//! [`disk`].

pub mod allocator;
pub mod budget;
pub mod disk;
pub mod in_order;
pub mod large_array;
pub mod memory;
pub mod processor;
pub mod resources;
pub mod shield;
pub mod stack;
pub mod threads;
