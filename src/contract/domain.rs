//! What ids name: those of one domain name the same things, so one pseudonym stands for one thing wherever it is named.

use std::fmt;

use super::{Column, ColumnType, Contract, Table};

/// What the ids of a column name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// Subjects.
    Subjects,
    /// What this column of a table names first, as `table.column`.
    Of(String),
    /// What a column of the row's table names; which table that is, another column of the row tells.
    ByRow {
        /// The column that tells the table, by its position.
        table: usize,
        /// The column of that table.
        column: String,
    },
    /// What the configuration names too: no pseudonym may stand for it.
    Named,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subjects => f.write_str(SUBJECTS),
            Self::Of(column) => f.write_str(column),
            Self::ByRow { column, .. } => write!(f, "(the row's table).{column}"),
            Self::Named => f.write_str("none"),
        }
    }
}

/// The domain of subjects.
const SUBJECTS: &str = "subject";

/// The columns that name a subject.
const OF_SUBJECTS: [&str; 3] = ["subject_id", "subject_a", "subject_b"];

impl Contract {
    /// What a column's ids name; nothing for a column that holds none.
    #[must_use]
    pub fn domain(&self, table: &Table, column: &Column) -> Option<Domain> {
        if column.kind != ColumnType::Id {
            return None;
        }
        if column.named {
            return Some(Domain::Named);
        }
        if OF_SUBJECTS.contains(&column.name.as_str()) {
            return Some(Domain::Subjects);
        }
        if let Some(refunded) = &column.refund_of {
            return Some(Domain::Of(format!("{}.{refunded}", table.name)));
        }
        // A table whose rows are not records themselves refers to those of the tables that one of its columns names.
        let tells = |c: &Column| !c.values.is_empty() && c.values.iter().all(|v| self.table(v).is_ok());
        if let Some(teller) = table.columns.iter().position(tells)
            && !table.key.contains(&column.name)
        {
            return Some(Domain::ByRow { table: teller, column: column.name.clone() });
        }
        // A key of its own, such as that of a source, is named by every table that has the column.
        let owner = self.tables.iter().find(|t| t.key.len() == 1 && t.key[0] == column.name);
        Some(Domain::Of(format!("{}.{}", owner.unwrap_or(table).name, column.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_the_contract_has_the_domain_of_what_it_names() {
        let contract = Contract::load().unwrap();
        let mut found = Vec::new();
        for table in &contract.tables {
            for column in &table.columns {
                if let Some(domain) = contract.domain(table, column) {
                    found.push(format!("{}.{} {domain}", table.name, column.name));
                }
            }
        }
        found.sort();
        let expected = [
            "consents.partner_id none",
            "consents.subject_id subject",
            "disputes.dispute_id disputes.dispute_id",
            "disputes.record_id (the row's table).record_id",
            "disputes.subject_id subject",
            "friend_links.source_id sources.source_id",
            "friend_links.subject_a subject",
            "friend_links.subject_b subject",
            "groups.subject_id subject",
            "outcomes.subject_id subject",
            "public_records.record_id public_records.record_id",
            "public_records.source_id sources.source_id",
            "public_records.subject_id subject",
            "purchases.category_code purchases.category_code",
            "purchases.merchant_id purchases.merchant_id",
            "purchases.record_id purchases.record_id",
            "purchases.refund_of purchases.record_id",
            "purchases.source_id sources.source_id",
            "purchases.subject_id subject",
            "repayments.account_id repayments.account_id",
            "repayments.record_id repayments.record_id",
            "repayments.source_id sources.source_id",
            "repayments.subject_id subject",
            "sales.record_id sales.record_id",
            "sales.source_id sources.source_id",
            "sales.subject_id subject",
            "sources.source_id sources.source_id",
            "subjects.source_id sources.source_id",
            "subjects.subject_id subject",
            "utility_payments.account_id utility_payments.account_id",
            "utility_payments.record_id utility_payments.record_id",
            "utility_payments.source_id sources.source_id",
            "utility_payments.subject_id subject",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_dispute_names_a_record_of_the_table_that_its_row_tells() {
        let contract = Contract::load().unwrap();
        let table = contract.table("disputes").unwrap();
        let column = &table.columns[table.position("record_id").unwrap()];
        let teller = table.position("table").unwrap();
        let expected = Domain::ByRow { table: teller, column: "record_id".to_owned() };
        assert_eq!(contract.domain(table, column), Some(expected));
    }
}
