//! Stages: what does not depend on weights, bins or bands, kept under the content of everything it was made from.
//!
//! One stage holds the subjects that a date sees ([`subjects`]), one for each table what its records say ([`records`]), one
//! for each category its features ([`features`]), one the ties ([`ties`]), one the outcomes ([`outcomes`]) and one
//! the protected groups ([`groups`]). Others hold the rows of a file as they were read, for dates to come ([`rows`]). A [`key`]
//! names the parts a stage depends on; the [`store`] finds, verifies and keeps stages. Those that are missing are [made](make) in one pass,
//! or shard by shard and then put together ([`shards`], with what each tells [`beside`] them; [`one_by_one`] where one process makes all), which
//! gives the same bytes. Scoring reads stages and nothing else, so a stage that was just made and one that was kept are the same to it.

mod adverse;
pub mod beside;
pub mod features;
pub mod findings;
mod gathered;
mod groups;
pub mod key;
mod later;
pub mod make;
mod merged;
mod named;
pub mod one_by_one;
pub mod opened;
mod outcomes;
pub mod records;
pub mod rows;
pub mod shards;
pub mod store;
pub mod subjects;
pub mod ties;
