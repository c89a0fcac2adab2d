//! The data contract: which tables an export may hold, what each column means, and the rules a row must satisfy.
//!
//! The contract itself is data, in `contract.toml` beside this file; here is only its shape.

mod date;
mod dates;
mod domain;
mod scope;
mod snapshot;
mod zone;

pub use date::{Calendar, DAY_MICROS, day_number, day_text, parse_day};
pub use dates::DateSet;
pub use domain::Domain;
pub use scope::{EventColumns, event_columns, subject_scope, table_scope};
pub use snapshot::Snapshot;
pub use zone::Zone;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::civil::Date;
use serde::Deserialize;

/// Thousandths in a source reliability of 1.
pub const RELIABILITY_ONE: i64 = 1_000;

/// The text of the contract, as `sesame schema contract` prints it.
pub const CONTRACT_TOML: &str = include_str!("contract.toml");

/// Every table, limit and rule of the contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Tables in the order of the file.
    pub tables: Vec<Table>,
    /// Limits that keep integer sums from overflowing and dates plausible.
    pub limits: Limits,
    /// The rules by which a row is quarantined.
    pub rules: Vec<RuleText>,
    deny: Deny,
}

/// One table of the contract.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The table's name, also its key in a pipeline's `[inputs]`.
    pub name: String,
    /// What a row is.
    pub about: String,
    /// Whether a pipeline must give it.
    #[serde(default)]
    pub required: bool,
    /// Columns that identify a row; rows that share them are versions or duplicates.
    #[serde(default)]
    pub key: Vec<String>,
    /// The column that says when the thing happened.
    pub event: Option<String>,
    /// Whether it grows all the time, so that a newest row long ago means that rows are missing.
    #[serde(default)]
    pub regular: bool,
    /// Columns shared with other tables, by name.
    #[serde(default)]
    common: Vec<String>,
    /// The columns, common ones last.
    pub columns: Vec<Column>,
    /// Columns computed from a row, for features only.
    #[serde(default)]
    pub computed: Vec<Computed>,
    /// SQL predicate: rows kept with their ids as evidence.
    pub adverse: Option<String>,
    /// The amount shown beside an adverse record.
    pub adverse_amount: Option<String>,
}

/// What a value of a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A pseudonym.
    Id,
    /// Minor units of the pipeline's currency.
    Money,
    /// A calendar day.
    Date,
    /// An instant in UTC.
    Instant,
    /// A whole number.
    Count,
    /// True or false.
    Flag,
    /// A number from 0 to 1, kept in thousandths.
    Share,
    /// One of the column's `values`.
    Choice,
    /// An ISO 4217 code, equal to the pipeline's.
    Currency,
    /// Free text.
    Text,
}

/// One column of a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The column's name in the export.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// What it means.
    pub about: String,
    /// Whether it must exist and hold no null.
    #[serde(default)]
    pub required: bool,
    /// The words a `choice` may hold.
    #[serde(default)]
    pub values: Vec<String>,
    /// Whether an amount may be negative.
    #[serde(default)]
    pub signed: bool,
    /// Smallest value; 0 unless `signed`.
    pub min: Option<i64>,
    /// Largest value.
    pub max: Option<i64>,
    /// Name of the day number feature SQL sees.
    pub day: Option<String>,
    /// Name of the months back from the as-of date.
    pub months_ago: Option<String>,
    /// Name of the weeks back from the as-of date.
    pub weeks_ago: Option<String>,
    /// Name of the hour of the day, 0 to 23.
    pub hour: Option<String>,
    /// Name of the day of the week, 1 for Monday to 7 for Sunday.
    pub weekday: Option<String>,
    /// Whether a time after the as-of date is kept as it is (an expiry, an outcome).
    #[serde(default)]
    pub future: bool,
    /// What other columns go back to when this time lies after the as-of date.
    #[serde(default)]
    pub reset: BTreeMap<String, String>,
    /// SQL of the value where the export leaves it null.
    pub derived: Option<String>,
    /// A time of the same row that this one must not precede.
    pub not_before: Option<String>,
    /// An id that features may only compare for equality, never with a literal.
    #[serde(default)]
    pub opaque: bool,
    /// An id that the configuration names too, such as a partner; no pseudonym stands for it.
    #[serde(default)]
    pub named: bool,
    /// On a refund: the column of the same table it refers to.
    pub refund_of: Option<String>,
    /// On a refund: the amount that must not exceed the original's.
    pub refund_amount: Option<String>,
}

/// A column no export carries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// Its name in feature SQL.
    pub name: String,
    /// Its SQL over the row.
    pub derived: String,
    /// What it means.
    pub about: String,
}

/// Bounds on amounts, rows and dates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest single amount, minor units.
    pub amount: i64,
    /// Largest count where the column gives no other bound.
    pub count: i64,
    /// Largest sum of the amounts of one subject in one table, minor units.
    pub subject_total: i64,
    /// Most rows of one subject in one table.
    pub subject_rows: usize,
    /// Most rows of one table that may break a rule.
    pub quarantined_rows: usize,
    /// Earliest plausible date.
    pub first_date: String,
    /// Latest plausible date.
    pub last_date: String,
}

/// What a rule is about, for people.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// The rule's name in the quarantine.
    pub name: String,
    /// What is wrong with the row.
    pub about: String,
    /// What to do.
    pub remedy: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContractFile {
    common: Common,
    table: Vec<Table>,
    limits: Limits,
    deny: Deny,
    rule: Vec<RuleText>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    columns: Vec<Column>,
}

impl Contract {
    /// Reads the contract the program carries.
    ///
    /// # Errors
    /// When the embedded file is not a valid contract: a defect of the build.
    pub fn load() -> Result<Self> {
        let file: ContractFile = toml::from_str(CONTRACT_TOML).context("contract.toml")?;
        let mut tables = file.table;
        for table in &mut tables {
            for name in &table.common {
                let column = file.common.columns.iter().find(|c| &c.name == name);
                table.columns.push(column.with_context(|| format!("contract.toml: no common column {name}"))?.clone());
            }
        }
        Ok(Self { tables, limits: file.limits, rules: file.rule, deny: file.deny })
    }

    /// The denied word in a name, taken apart at underscores.
    #[must_use]
    pub fn denied(&self, name: &str) -> Option<&str> {
        let parts: Vec<String> = name.split('_').map(str::to_lowercase).collect();
        self.deny.words.iter().find(|w| parts.contains(w)).map(String::as_str)
    }

    /// The calendar of an as-of date in a time zone.
    ///
    /// # Errors
    /// When the contract does not allow the date.
    pub fn calendar(&self, as_of: Date, zone: &Zone) -> Result<Calendar> {
        Calendar::new(as_of, parse_day(&self.limits.first_date)?, parse_day(&self.limits.last_date)?, zone)
    }

    /// The table of that name.
    ///
    /// # Errors
    /// When the contract has none.
    pub fn table(&self, name: &str) -> Result<&Table> {
        self.tables.iter().find(|t| t.name == name).with_context(|| format!("the contract has no table {name}"))
    }
}

impl Table {
    /// The position of a column, by name.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }

    /// The position of a column that must be there.
    ///
    /// # Errors
    /// When the contract's table lacks it: a defect of the contract.
    pub fn require(&self, column: &str) -> Result<usize> {
        self.position(column).with_context(|| format!("contract: {} has no column {column}", self.name))
    }

    /// Whether rows belong to one subject and are split by subject bucket.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.key.len() == 2 && self.key.iter().any(|k| k == "record_id")
    }
}

impl Column {
    /// Smallest value a row may hold, where the type has one.
    #[must_use]
    pub fn smallest(&self) -> Option<i64> {
        match self.kind {
            ColumnType::Money | ColumnType::Count if !self.signed => Some(self.min.unwrap_or(0)),
            ColumnType::Share => Some(0),
            _ => self.min,
        }
    }

    /// What an export may hold here, in words for an error message.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        match self.kind {
            ColumnType::Id => "text, fixed-size binary or an integer",
            ColumnType::Money => "an integer in minor units, or a decimal holding whole minor units",
            ColumnType::Date => "a date (Date32)",
            ColumnType::Instant => "a timestamp with a time zone (UTC)",
            ColumnType::Count => "an integer",
            ColumnType::Flag => "a Boolean",
            ColumnType::Share => "a floating-point number from 0 to 1",
            ColumnType::Choice | ColumnType::Currency | ColumnType::Text => "text",
        }
    }
}
