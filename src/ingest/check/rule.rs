//! The rules by which a row is quarantined; their texts are in the contract.

/// Why a row is quarantined. The order is the order of precedence within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An id looks like personal data.
    PiiSuspect,
    /// A required value is null.
    NullValue,
    /// The subject is not known.
    UnknownSubject,
    /// An amount or count is negative.
    NegativeAmount,
    /// A value is outside its range.
    OutOfRange,
    /// An amount is too large to add up.
    AmountTooLarge,
    /// A decimal amount is no whole number of minor units.
    FractionalAmount,
    /// The currency is not the pipeline's.
    ForeignCurrency,
    /// A word is not among the column's values.
    UnknownChoice,
    /// A date is before 1900 or after 2199.
    ImplausibleDate,
    /// A date precedes the one it must follow.
    EndBeforeStart,
    /// Refunds exceed the order.
    RefundAboveOriginal,
    /// Versions of a record contradict each other.
    ConflictingVersions,
    /// One subject has more rows than a person can have.
    TooManyRows,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 14] = [
        Self::PiiSuspect,
        Self::NullValue,
        Self::UnknownSubject,
        Self::NegativeAmount,
        Self::OutOfRange,
        Self::AmountTooLarge,
        Self::FractionalAmount,
        Self::ForeignCurrency,
        Self::UnknownChoice,
        Self::ImplausibleDate,
        Self::EndBeforeStart,
        Self::RefundAboveOriginal,
        Self::ConflictingVersions,
        Self::TooManyRows,
    ];

    /// Its name in the contract, the quarantine and the audit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PiiSuspect => "pii_suspect",
            Self::NullValue => "null_value",
            Self::UnknownSubject => "unknown_subject",
            Self::NegativeAmount => "negative_amount",
            Self::OutOfRange => "out_of_range",
            Self::AmountTooLarge => "amount_too_large",
            Self::FractionalAmount => "fractional_amount",
            Self::ForeignCurrency => "foreign_currency",
            Self::UnknownChoice => "unknown_choice",
            Self::ImplausibleDate => "implausible_date",
            Self::EndBeforeStart => "end_before_start",
            Self::RefundAboveOriginal => "refund_above_original",
            Self::ConflictingVersions => "conflicting_versions",
            Self::TooManyRows => "too_many_rows",
        }
    }
}

/// A quarantined row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quarantined {
    /// The file, by its position in the export.
    pub file: u32,
    /// The row in the file, from 0.
    pub row: i64,
    /// The rule.
    pub rule: Rule,
    /// The column, by its position in the contract's table.
    pub column: usize,
}

/// A value of a column that breaks a rule by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The row in the batch.
    pub row: usize,
    /// The column, by its position in the contract's table.
    pub column: usize,
    /// The rule.
    pub rule: Rule,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;

    #[test]
    fn every_rule_has_its_text_in_the_contract_and_every_text_its_rule() {
        let contract = Contract::load().unwrap();
        let mut texts: Vec<&str> = contract.rules.iter().map(|r| r.name.as_str()).collect();
        let mut rules: Vec<&str> = Rule::ALL.iter().map(|r| r.name()).collect();
        texts.sort_unstable();
        rules.sort_unstable();
        assert_eq!(texts, rules);
    }
}
