//! A checked expression in its two spellings.

use std::collections::BTreeSet;

use serde::Serialize;

use super::kinds::Type;

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expression {
    /// The text for any engine: unquoted lower-case names, decimals in E notation, constants written out.
    pub portable: String,
    /// The text for the local engine: choices and flags are integers.
    pub local: String,
    /// What it yields.
    pub kind: Type,
    /// The columns it reads.
    pub columns: BTreeSet<String>,
    /// Whether it may be null.
    pub nullable: bool,
    /// The largest absolute value it can have, for an integer.
    pub bound: i128,
}

impl Expression {
    /// Both conditions at once.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            portable: format!("({} AND {})", self.portable, other.portable),
            local: format!("({} AND {})", self.local, other.local),
            kind: Type::Boolean,
            columns: self.columns.union(&other.columns).cloned().collect(),
            nullable: self.nullable || other.nullable,
            bound: 1,
        }
    }

    /// A text that is the same in both spellings, is never null and reads no column.
    #[must_use]
    pub fn literal(text: &str, kind: Type) -> Self {
        let (portable, local) = (text.to_owned(), text.to_owned());
        Self { portable, local, kind, columns: BTreeSet::new(), nullable: false, bound: 1 }
    }

    /// The condition that it is not null.
    #[must_use]
    pub fn known(&self) -> Self {
        Self { nullable: false, ..Self::assemble(Type::Boolean, &[self], |p| format!("({} IS NOT NULL)", p[0])) }
    }

    /// Puts parts together with the same words around them in both spellings. The whole may be null when a part may,
    /// and is at most as large as the largest.
    #[must_use]
    pub fn assemble(kind: Type, parts: &[&Self], build: impl Fn(&[&str]) -> String) -> Self {
        let portable: Vec<&str> = parts.iter().map(|p| p.portable.as_str()).collect();
        let local: Vec<&str> = parts.iter().map(|p| p.local.as_str()).collect();
        Self {
            portable: build(&portable),
            local: build(&local),
            kind,
            columns: parts.iter().flat_map(|p| p.columns.iter().cloned()).collect(),
            nullable: parts.iter().any(|p| p.nullable),
            bound: parts.iter().map(|p| p.bound).max().unwrap_or(0),
        }
    }
}
