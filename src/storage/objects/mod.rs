//! Object stores, asked in order and without a word of asynchrony to their callers: [`place`] is an object, or what lies below a prefix;
//! [`fetch`] reads parts of one, several at a time, [`write`] puts one there; [`found`] says what an object was when it was looked at;
//! [`stores`] are told by their URLs; [`fault`] puts into words what went wrong; [`requests`] counts what is under way, on the threads of
//! [`runtime`].

mod fault;
mod fetch;
mod found;
mod place;
mod requests;
mod runtime;
mod stores;
mod write;

pub use fault::Unfetched;
pub use fetch::Pending;
pub use found::{Seen, Tag};
pub use place::{Listed, Place};
pub use requests::{ahead, bound, traffic};
pub use runtime::to_its_end;
pub use stores::{is_url, lists, no_secret};
pub use write::{Condition, LARGEST_PUT, Put};
