//! A model from a lender's own outcomes: what a bin is worth is fitted, within what a model promises, and drawn towards the start model.
//!
//! [`load`] lays a training set out as a [`sample`], with [`cuts`] where new bins may end. [`worth`] finds what a point of the start model
//! is worth; [`newton`] fits the [`steps`] between bins by [`quadratic`] programs over exact [`sums`]; [`rounding`] makes integers of
//! them. [`training`] does so for all rows and for each fold, and says whether rows that were not fitted to support the change.
//! [`report`] tells what came of it; [`written`] is the start model's file, changed where the fit changed it.
//!
//! [`calibrate`] fits no points but what they are worth, to the finished scores that [`scored`] reads; [`earned`] judges whether rows that
//! were not fitted to support it, and [`calibration`] tells. [`edits`] change a model's file.

pub mod calibrate;
pub mod calibration;
pub mod cuts;
pub mod earned;
pub mod edits;
pub mod facts;
pub mod groups;
pub mod load;
pub mod matrix;
pub mod newton;
pub mod quadratic;
pub mod report;
pub mod reweighing;
pub mod rounding;
pub mod sample;
pub mod scale;
pub mod scored;
pub mod steps;
pub mod sums;
pub mod training;
pub mod weighting;
pub mod worth;
pub mod written;
