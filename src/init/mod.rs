//! A first pipeline for somebody's own exports: looks at Parquet files, guesses which table each is and how its columns become the
//! contract's, and writes a pipeline file with every guess to be checked by eye.
//!
//! [`datasets`] finds the files, [`facts`] says what their first rows tell, [`guesses`] holds the words that tables and columns
//! are told by, [`matching`] decides, [`conversion`] writes the SQL of a column, [`writing`] the folder.

pub mod datasets;
pub mod facts;
pub mod guesses;
pub mod conversion;
pub mod matching;
mod names;
pub mod request;
mod tree;
pub mod writing;
