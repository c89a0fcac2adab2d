//! Pages that people look at, built from `audit.json` and nothing else.
//!
//! [`page`] fills templates: with one audit and its charts, with an explanation, or with the [`history`] of a pipeline,
//! which is taken from the audits of all its published runs. [`findings`] says what needs a look; [`charts`] says what
//! is drawn of an audit, [`chart`] and [`dated`] how: they alone know the drawing library.

mod chart;
mod charts;
mod dated;
mod findings;
pub mod history;
pub mod page;
