//! A run whose stages several processes make: planned as [`spec`], made shard by shard ([`rating`]), and gathered ([`gathering`]) by one that
//! goes on as any run does.

mod counted;
pub mod done;
mod friends_spec;
pub mod gathering;
pub mod planning;
pub mod rating;
pub mod spec;
