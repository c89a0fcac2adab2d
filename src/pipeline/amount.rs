//! What a bin is worth as a model file says it: a share as an integer, or points as an exact decimal number.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Units;

/// A worth.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    /// An integer.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A decimal number as text, which keeps every digit.
    Text(String),
}

impl Amount {
    /// A share.
    #[must_use]
    pub const fn share(&self) -> Option<i64> {
        match self {
            Self::Whole(share) => Some(*share),
            _ => None,
        }
    }

    /// Points in [`Units`]; nothing when it is no decimal number, or beyond what points may be.
    #[must_use]
    pub fn parts(&self) -> Option<i64> {
        match self {
            Self::Whole(points) => units(&points.to_string()),
            Self::Number(points) => units(&format!("{points:?}")),
            Self::Text(text) => units(text),
        }
    }
}

fn units(text: &str) -> Option<i64> {
    let units: Units = text.parse().ok()?;
    i64::try_from(units.0).ok()
}
