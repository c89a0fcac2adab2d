//! From a column of somebody's file to a column of the contract: the SQL, and what to look at.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use jiff::civil::{Date, DateTime};

use super::facts::Facts;
use crate::contract::{Column, ColumnType};

/// The SQL of a column, and what its reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// An expression over the export.
    pub sql: String,
    /// What was assumed.
    pub remark: Option<String>,
}

/// How texts that are dates or instants are written, in the order they are tried.
const DATES: [&str; 7] = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"];
const TIMES: [&str; 6] =
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"];

/// Two digits of a year up to this are of this century.
const CENTURY: i64 = 50;

/// Days of a century, which a number of days does not go beyond.
const MOST_DAYS: f64 = 40_000.0;

/// Milliseconds and seconds since 1970 of the years 1973 to 2100.
const MILLIS: (f64, f64) = (1e11, 4.2e12);
const SECONDS: (f64, f64) = (1e8, 4.2e9);

/// What the words of somebody's export mean, and where their days begin.
pub struct Custom<'a> {
    /// The time zone of local times.
    pub zone: &'a str,
    /// The as-of date, if it is one.
    pub as_of: Option<&'a str>,
    /// By word of the contract, what others say for it.
    pub says: Option<&'a BTreeMap<String, Vec<String>>>,
}

/// The SQL of a contract column from a column of a file; nothing when it cannot be it.
#[must_use]
pub fn convert(column: &Column, facts: &Facts, custom: &Custom) -> Option<Converted> {
    let own = quoted(&facts.name);
    let plain = |sql: String| Some(Converted { sql, remark: None });
    let said = |sql: String, remark: &str| Some(Converted { sql, remark: Some(remark.to_owned()) });
    match column.kind {
        ColumnType::Id if facts.is_double() && facts.whole => plain(format!("CAST({own} AS BIGINT)")),
        ColumnType::Id if facts.is_text() && facts.is_personal() => {
            said(own, "looks like what tells who somebody is: pseudonymise it before")
        }
        ColumnType::Id => {
            (facts.is_text() || facts.kind.is_integer() || matches!(facts.kind, DataType::FixedSizeBinary(_)))
                .then_some(Converted { sql: own, remark: None })
        }
        ColumnType::Money => money(&own, facts),
        ColumnType::Date => date(&own, facts, custom),
        ColumnType::Instant => instant(&own, facts, custom),
        ColumnType::Count if facts.kind.is_integer() => plain(own),
        ColumnType::Count if facts.kind.is_numeric() => {
            said(format!("CAST({own} AS BIGINT)"), "rounded to whole numbers")
        }
        ColumnType::Count if facts.is_text() => {
            said(format!("TRY_CAST({own} AS BIGINT)"), "NULL where it is no number")
        }
        ColumnType::Share if facts.is_double() && facts.within(0.0, 1.0) => plain(own),
        ColumnType::Share if facts.kind.is_numeric() && facts.within(0.0, 100.0) => match facts.within(0.0, 5.0) {
            true => said(format!("{own} / 5"), "taken for stars, of which five are the most"),
            false => said(format!("{own} / 100"), "taken for per cent"),
        },
        ColumnType::Flag => flag(&own, facts),
        ColumnType::Choice => choice(column, &own, facts, custom.says),
        ColumnType::Currency | ColumnType::Text if facts.is_text() => plain(own),
        ColumnType::Text if facts.kind.is_integer() => plain(format!("CAST({own} AS VARCHAR)")),
        _ => None,
    }
}

/// A name as SQL reads it.
#[must_use]
pub fn quoted(name: &str) -> String {
    const WORDS: [&str; 34] = [
        "all",
        "and",
        "as",
        "between",
        "by",
        "case",
        "cast",
        "date",
        "default",
        "desc",
        "distinct",
        "else",
        "end",
        "exists",
        "from",
        "group",
        "in",
        "interval",
        "is",
        "left",
        "limit",
        "not",
        "null",
        "on",
        "or",
        "order",
        "right",
        "select",
        "table",
        "then",
        "time",
        "timestamp",
        "union",
        "where",
    ];
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let plain = first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    let word = WORDS.contains(&name.to_ascii_lowercase().as_str());
    if plain && !word { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn money(own: &str, facts: &Facts) -> Option<Converted> {
    let name = facts.name.to_ascii_lowercase();
    let minor = ["minor", "cent", "fen", "pence"].iter().any(|word| name.contains(word));
    if facts.kind.is_integer() {
        return Some(match minor {
            true => Converted { sql: own.to_owned(), remark: None },
            false => Converted {
                sql: format!("{own} * 100"),
                remark: Some("taken for whole units of the currency; without * 100 if it is minor units".into()),
            },
        });
    }
    if facts.is_double() || facts.is_decimal() {
        return Some(match minor && facts.whole {
            true => Converted { sql: format!("CAST({own} AS BIGINT)"), remark: None },
            false => Converted { sql: format!("CAST(ROUND({own} * 100) AS BIGINT)"), remark: None },
        });
    }
    let number = |t: &String| t.trim().parse::<f64>().is_ok();
    let most = facts.texts.iter().filter(|t| number(t)).count() * 10 >= facts.texts.len() * 9;
    (facts.is_text() && !facts.texts.is_empty() && most).then(|| Converted {
        sql: format!("CAST(ROUND(TRY_CAST({own} AS DOUBLE) * 100) AS BIGINT)"),
        remark: Some("text read as numbers, NULL where it is none".into()),
    })
}

/// The one format in which all of some texts are written.
fn format_of(texts: &[String], formats: &[&'static str], reads: impl Fn(&str, &str) -> bool) -> Option<&'static str> {
    let mut fit = formats.iter().filter(|format| !texts.is_empty() && texts.iter().all(|t| reads(format, t.trim())));
    fit.next().copied()
}

fn date(own: &str, facts: &Facts, custom: &Custom) -> Option<Converted> {
    let zone = custom.zone;
    let plain = |sql: String| Some(Converted { sql, remark: None });
    let said = |sql: String, remark: &str| Some(Converted { sql, remark: Some(remark.to_owned()) });
    match &facts.kind {
        DataType::Date32 => return plain(own.to_owned()),
        DataType::Timestamp(_, None) => return plain(format!("CAST({own} AS DATE)")),
        DataType::Timestamp(_, Some(_)) => return plain(format!("CAST({own} AT TIME ZONE '{zone}' AS DATE)")),
        _ => {}
    }
    let number = if facts.is_double() && facts.whole { format!("CAST({own} AS BIGINT)") } else { own.to_owned() };
    if facts.kind.is_integer() || (facts.is_double() && facts.whole) {
        let split = |year: String| format!("MAKE_DATE({year}, {number} // 100 % 100, {number} % 100)");
        return match () {
            () if facts.within(19_000_101.0, 21_991_231.0) => plain(split(format!("{number} // 10000"))),
            () if facts.within(101.0, 991_231.0) => {
                let year = format!("{number} // 10000");
                let century = format!("CASE WHEN {year} > {CENTURY} THEN 1900 ELSE 2000 END");
                said(split(format!("{century} + {year}")), "taken for yymmdd")
            }
            () if facts.within(MILLIS.0, MILLIS.1) => said(
                format!("CAST(TO_TIMESTAMP({number} / 1000) AT TIME ZONE '{zone}' AS DATE)"),
                "taken for milliseconds since 1970",
            ),
            () if facts.within(SECONDS.0, SECONDS.1) => said(
                format!("CAST(TO_TIMESTAMP({number}) AT TIME ZONE '{zone}' AS DATE)"),
                "taken for seconds since 1970",
            ),
            () if facts.within(-MOST_DAYS, MOST_DAYS) && facts.name.to_ascii_lowercase().contains("day") => said(
                format!("DATE '{}' + {number}", custom.as_of?),
                "taken for days from the as-of date, negative ones before it",
            ),
            () => None,
        };
    }
    if !facts.is_text() {
        return None;
    }
    let day = |format: &str, text: &str| Date::strptime(format, text).is_ok();
    if let Some(format) = format_of(&facts.texts, &DATES, day) {
        return match format {
            "%Y-%m-%d" => plain(format!("CAST({own} AS DATE)")),
            format => said(
                format!("CAST(STRPTIME({own}, '{format}') AS DATE)"),
                "day and month: see that they are not exchanged",
            ),
        };
    }
    let format = format_of(&facts.texts, &TIMES, |format, text| DateTime::strptime(format, text).is_ok())?;
    plain(format!("CAST(STRPTIME({own}, '{format}') AS DATE)"))
}

fn instant(own: &str, facts: &Facts, custom: &Custom) -> Option<Converted> {
    let zone = custom.zone;
    let said = |sql: String, remark: String| Some(Converted { sql, remark: Some(remark) });
    let local = format!("local time of {zone}");
    match &facts.kind {
        DataType::Timestamp(_, Some(_)) => return Some(Converted { sql: own.to_owned(), remark: None }),
        DataType::Timestamp(_, None) => {
            return said(format!("{own} AT TIME ZONE '{zone}'"), format!("taken for {local}"));
        }
        _ => {}
    }
    if facts.is_text()
        && let Some(format) = format_of(&facts.texts, &TIMES, |f, text| DateTime::strptime(f, text).is_ok())
    {
        return said(format!("STRPTIME({own}, '{format}') AT TIME ZONE '{zone}'"), format!("taken for {local}"));
    }
    if facts.kind.is_integer() && facts.within(MILLIS.0, MILLIS.1) {
        return said(format!("TO_TIMESTAMP({own} / 1000)"), "taken for milliseconds since 1970".into());
    }
    if facts.kind.is_integer() && facts.within(SECONDS.0, SECONDS.1) {
        return said(format!("TO_TIMESTAMP({own})"), "taken for seconds since 1970".into());
    }
    let day = date(own, facts, custom)?;
    said(
        format!("CAST({} AS TIMESTAMP) AT TIME ZONE '{zone}'", day.sql),
        format!("days, each taken for its first instant in {zone}"),
    )
}

/// Words for yes; what else a column of two words holds is no.
const YES: [&str; 7] = ["y", "yes", "true", "t", "1", "ja", "是"];

fn flag(own: &str, facts: &Facts) -> Option<Converted> {
    if facts.kind == DataType::Boolean {
        return Some(Converted { sql: own.to_owned(), remark: None });
    }
    if facts.kind.is_numeric() && facts.whole && facts.within(0.0, 1.0) {
        return Some(Converted { sql: format!("{own} = 1"), remark: None });
    }
    let words = facts.words.as_ref().filter(|w| facts.is_text() && w.len() <= 2)?;
    let yes = words.keys().find(|w| YES.contains(&w.to_lowercase().as_str()))?;
    Some(Converted { sql: format!("{own} = {}", literal(yes)), remark: None })
}

fn choice(
    column: &Column,
    own: &str,
    facts: &Facts,
    says: Option<&BTreeMap<String, Vec<String>>>,
) -> Option<Converted> {
    let words = facts.words.as_ref().filter(|_| facts.is_text())?;
    let same = |word: &str, other: &str| word.eq_ignore_ascii_case(&other.replace(['_', '-'], " "));
    let (mut mapped, mut open): (BTreeMap<&str, Vec<&str>>, Vec<&str>) = (BTreeMap::new(), Vec::new());
    for word in words.keys() {
        let spoken = word.trim().replace(['_', '-'], " ");
        let known = column.values.iter().find(|value| {
            let others = says.and_then(|s| s.get(*value));
            same(&spoken, value) || others.is_some_and(|others| others.iter().any(|o| same(&spoken, o)))
        });
        match known {
            Some(value) if value == word => {}
            Some(value) => mapped.entry(value).or_default().push(word),
            None => open.push(word),
        }
    }
    // A column that says none of the contract's words is about something else.
    if mapped.is_empty() && open.len() == words.len() && !words.is_empty() {
        return None;
    }
    let remark = (!open.is_empty())
        .then(|| format!("not known: {}; write WHEN … for each, one of {}", open.join(", "), column.values.join(", ")));
    if mapped.is_empty() {
        return Some(Converted { sql: own.to_owned(), remark });
    }
    let branches: Vec<String> = mapped
        .iter()
        .map(|(value, words)| {
            let list: Vec<String> = words.iter().map(|w| literal(w)).collect();
            format!("WHEN {own} IN ({}) THEN {}", list.join(", "), literal(value))
        })
        .collect();
    Some(Converted { sql: format!("CASE {} ELSE {own} END", branches.join(" ")), remark })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;

    fn facts(name: &str, kind: DataType, texts: &[&str], range: Option<(f64, f64)>) -> Facts {
        let words = texts.iter().map(|t| ((*t).to_owned(), 1)).collect();
        let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
        Facts {
            name: name.into(),
            kind,
            rows: 10,
            nulls: 0,
            words: Some(words),
            texts,
            range,
            whole: true,
            repeats: false,
        }
    }

    fn sql(table: &str, column: &str, facts: &Facts) -> Option<String> {
        let contract = Contract::load().unwrap();
        let table = contract.table(table).unwrap();
        let column = &table.columns[table.require(column).unwrap()];
        let says = BTreeMap::from([("instalment".to_owned(), vec!["cash loan".to_owned()])]);
        convert(column, facts, &Custom { zone: "Europe/Prague", as_of: Some("2018-05-17"), says: Some(&says) })
            .map(|c| c.sql)
    }

    #[test]
    fn dates_come_in_many_forms() {
        let date =
            |kind, texts: &[&str], range| sql("repayments", "due_on", &facts("date", kind, texts, range)).unwrap();
        assert_eq!(date(DataType::Date32, &[], None), "\"date\"");
        assert_eq!(
            date(DataType::Int64, &[], Some((930_101.0, 981_231.0))),
            "MAKE_DATE(CASE WHEN \"date\" // 10000 > 50 THEN 1900 ELSE 2000 END + \"date\" // 10000, \"date\" // 100 % 100, \"date\" % 100)"
        );
        assert_eq!(
            date(DataType::Int64, &[], Some((20_240_101.0, 20_251_231.0))),
            "MAKE_DATE(\"date\" // 10000, \"date\" // 100 % 100, \"date\" % 100)"
        );
        assert_eq!(date(DataType::Utf8View, &["2025-10-31"], None), "CAST(\"date\" AS DATE)");
        assert_eq!(date(DataType::Utf8View, &["31.10.2025"], None), "CAST(STRPTIME(\"date\", '%d.%m.%Y') AS DATE)");
        let days = facts("DAYS_INSTALMENT", DataType::Float64, &[], Some((-2_922.0, -1.0)));
        assert_eq!(sql("repayments", "due_on", &days).unwrap(), "DATE '2018-05-17' + CAST(DAYS_INSTALMENT AS BIGINT)");
        assert!(sql("repayments", "due_on", &facts("d", DataType::Utf8View, &["soon"], None)).is_none());
    }

    #[test]
    fn words_are_mapped_and_what_is_not_known_is_told() {
        let of = facts("kind", DataType::Utf8View, &["Cash loan", "revolving", "x"], None);
        assert_eq!(
            sql("repayments", "product", &of).unwrap(),
            "CASE WHEN kind IN ('Cash loan') THEN 'instalment' ELSE kind END"
        );
        let yes = facts("paid_by_order", DataType::Utf8View, &["Y", "N"], None);
        assert_eq!(sql("utility_payments", "autopay", &yes).unwrap(), "paid_by_order = 'Y'");
    }

    #[test]
    fn money_is_made_minor_units() {
        let of = |name, kind| sql("repayments", "amount_due_minor", &facts(name, kind, &[], Some((0.0, 9.0)))).unwrap();
        assert_eq!(of("amount", DataType::Float64), "CAST(ROUND(amount * 100) AS BIGINT)");
        assert_eq!(of("amount_cents", DataType::Int32), "amount_cents");
        assert_eq!(of("amount", DataType::Int32), "amount * 100");
    }
}
