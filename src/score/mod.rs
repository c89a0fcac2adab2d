//! Scoring: bins → shares → points → score, statuses, policy rules and reasons. All of it in integers.

pub mod bins;
pub mod census;
mod explained;
pub mod finished;
pub mod friends;
pub mod kept;
pub mod points;
pub mod population;
pub mod rated;
pub mod reasons;
pub mod rows;
pub mod told;
pub mod worths;
