//! Why one subject's score is what it is: found in a kept run without a scan, and added up again from the features.
//!
//! [`records`] finds the records that hurt, [`explanation`] takes the score apart into its [`parts`] and adds them up, [`text`] and [`notice`] say it
//! for a terminal and for the person.

pub mod explanation;
pub mod notice;
pub mod parts;
pub mod records;
pub mod text;
