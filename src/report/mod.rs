//! Pages that people look at, built from `audit.json` and nothing else.
//!
//! [`page`] fills a template with the audit and its charts; [`findings`] says what needs a look; [`charts`] says what is drawn,
//! [`chart`] how: it alone knows the drawing library.

mod chart;
mod charts;
mod findings;
pub mod page;
