//! What is written out in SQL: numbers, texts, values of a type, intervals.

use polars::prelude::{DataType, Expr, LiteralValue, lit};
use sqlparser::ast::{self, Value};

use super::casts;
use super::times;
use crate::contract::DAY_MICROS;

/// An expression, or a sentence that says what is wrong.
pub(super) type Translated = Result<Expr, String>;

pub(super) fn null() -> Expr {
    Expr::Literal(LiteralValue::untyped_null())
}

/// The text of a literal in quotes.
pub(super) fn text_of(e: &ast::Expr) -> Option<&str> {
    match e {
        ast::Expr::Value(value) => quoted(&value.value),
        ast::Expr::Nested(inner) => text_of(inner),
        _ => None,
    }
}

pub(super) fn quoted(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

pub(super) fn number(digits: &str) -> Translated {
    if let Ok(whole) = digits.parse::<i64>() {
        return Ok(lit(whole));
    }
    match digits.parse::<f64>() {
        Ok(double) if digits.contains(['.', 'e', 'E']) && double.is_finite() => Ok(lit(double)),
        _ => Err(format!("{digits} is beyond the numbers that are computed with here")),
    }
}

pub(super) fn literal(value: &Value) -> Translated {
    match value {
        Value::Boolean(flag) => Ok(lit(*flag)),
        Value::Null => Ok(null()),
        Value::Number(digits, _) => number(digits),
        Value::SingleQuotedString(text) => Ok(lit(text.as_str())),
        other => Err(format!("`{other}` is no value that is read here; texts stand in single quotes")),
    }
}

/// A text that is written out, as a value of a type.
pub(super) fn like_literal(text: &str, kind: &DataType) -> Translated {
    let wrong = || format!("'{text}' is no {kind}");
    Ok(match kind {
        DataType::Date => {
            lit(crate::contract::day_number(casts::date(text.trim()).ok_or_else(wrong)?).map_err(|e| e.to_string())?)
                .cast(DataType::Int32)
                .cast(DataType::Date)
        }
        DataType::Datetime(_, None) => {
            let micros = casts::local(text.trim()).and_then(times::micros_of).ok_or_else(wrong)?;
            lit(micros).cast(times::LOCAL)
        }
        DataType::Datetime(_, Some(_)) => {
            let micros = casts::instant(text.trim()).ok_or_else(|| {
                format!("'{text}' does not say in which zone: write an instant such as '2025-10-31 00:00:00+08:00'")
            })?;
            times::instant_of_micros(lit(micros))
        }
        kind if kind.is_primitive_numeric() || kind.is_decimal() => number(text.trim()).map_err(|_| wrong())?,
        DataType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" => lit(true),
            "false" | "f" => lit(false),
            _ => return Err(wrong()),
        },
        _ => lit(text),
    })
}

/// The months and the microseconds of an interval.
pub(super) fn length(interval: &ast::Interval) -> Result<(i64, i64), String> {
    let wrong = || format!("`{interval}`: write INTERVAL '3 days', or INTERVAL 3 DAY");
    let written = match interval.value.as_ref() {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(digits, _) => digits.clone(),
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    let written = match &interval.leading_field {
        Some(unit) => format!("{written} {unit}"),
        None => written,
    };
    let (mut months, mut micros) = (0_i64, 0_i64);
    let words: Vec<&str> = written.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(wrong());
    }
    for pair in words.chunks(2) {
        let count: i64 = pair[0].parse().map_err(|_| wrong())?;
        let unit = times::word_of(pair[1], &["year", "month", "week", "day", "hour", "minute", "second"])?;
        let (of_months, of_micros) = match unit {
            "year" => (12, 0),
            "month" => (1, 0),
            "week" => (0, 7 * DAY_MICROS),
            "day" => (0, DAY_MICROS),
            "hour" => (0, 3_600_000_000),
            "minute" => (0, 60_000_000),
            _ => (0, 1_000_000),
        };
        let add = |sum: i64, each: i64| sum.checked_add(count.checked_mul(each)?);
        months = add(months, of_months).ok_or_else(wrong)?;
        micros = add(micros, of_micros).ok_or_else(wrong)?;
    }
    Ok((months, micros))
}
