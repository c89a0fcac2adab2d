//! Links between subjects: which are ties ([`ties`]), kept by the subject that they lead to ([`tie_store`]).

mod tie_blocks;
pub mod tie_store;
pub mod ties;
