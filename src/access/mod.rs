//! Access: everything that is held about one subject, for the subject. No friend appears in it.
//!
//! [`inputs`] finds the subject's own rows in the exports, with [`versions`] saying which of several count; [`kept`] what runs made of them,
//! [`given`] who received what. [`gather`] has it done; [`text`] says it in a language, by the words of [`words`].

pub mod gather;
pub mod given;
pub mod inputs;
pub mod kept;
pub mod parts;
pub mod text;
mod versions;
pub mod words;
