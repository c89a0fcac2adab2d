//! Values of one type as values of another: texts are read as DuckDB reads them.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use polars::prelude::{DataType, Expr};
use sqlparser::ast::{self, ExactNumberInfo, TimezoneInfo};

use super::columns::{Cell, Given, call};
use super::texts::changed;
use super::times::{INSTANT, LOCAL, micros_of};
use crate::contract::day_number;

/// The most digits of a decimal.
const MOST_DIGITS: usize = 38;

/// The engine's type that a name of SQL stands for.
pub(super) fn kind_of(name: &ast::DataType) -> Result<DataType, String> {
    use ast::DataType as T;
    Ok(match name {
        T::Boolean | T::Bool => DataType::Boolean,
        T::Int(_) | T::Integer(_) | T::Int4(_) | T::Int32 | T::MediumInt(_) => DataType::Int32,
        T::BigInt(_) | T::Int8(_) | T::Int64 => DataType::Int64,
        T::UnsignedInteger | T::UInt32 => DataType::UInt32,
        T::BigIntUnsigned(_) | T::UBigInt | T::UInt64 => DataType::UInt64,
        T::Float4 | T::Real => DataType::Float32,
        T::Double(_) | T::DoublePrecision | T::Float8 | T::Float(_) => DataType::Float64,
        T::Decimal(info) | T::Dec(info) | T::Numeric(info) | T::BigDecimal(info) => {
            let whole = |n: i64| usize::try_from(n).map_err(|_| format!("{name}: a scale is not negative"));
            let (precision, scale) = match *info {
                ExactNumberInfo::PrecisionAndScale(p, s) => (p, whole(s)?),
                ExactNumberInfo::Precision(p) => (p, 0),
                ExactNumberInfo::None => (18, 3),
            };
            match usize::try_from(precision) {
                Ok(precision) if (1..=MOST_DIGITS).contains(&precision) && scale <= precision => {
                    DataType::Decimal(precision, scale)
                }
                _ => {
                    return Err(format!(
                        "{name}: a decimal has 1 to {MOST_DIGITS} digits, and no more behind the point"
                    ));
                }
            }
        }
        T::Varchar(_) | T::Text | T::String(_) | T::Char(_) | T::CharacterVarying(_) | T::Nvarchar(_) => {
            DataType::String
        }
        T::Date => DataType::Date,
        T::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | T::Datetime(_) => LOCAL,
        T::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => INSTANT,
        T::TinyInt(_) | T::SmallInt(_) | T::Int2(_) | T::Int16 | T::UTinyInt | T::USmallInt | T::UInt8 | T::UInt16 => {
            return Err(format!("there are no integers as narrow as {name}; CAST to INTEGER or BIGINT"));
        }
        other => {
            return Err(format!(
                "`{other}` is no type here; there are BIGINT, INTEGER, DOUBLE, DECIMAL(p, s), VARCHAR, BOOLEAN, DATE, TIMESTAMP and TIMESTAMPTZ"
            ));
        }
    })
}

/// What is made of a text.
type Reads = Box<dyn Fn(&str) -> Option<Given> + Send + Sync>;

/// A value as another type. What cannot be read is null, and `strict` has it told.
pub(super) fn cast(value: Expr, from: Option<&DataType>, to: &DataType, strict: bool) -> Result<Expr, String> {
    let engine = |value: Expr| if strict { value.strict_cast(to.clone()) } else { value.cast(to.clone()) };
    let reads = |one: Reads| {
        let one = move |cells: &[Cell]| one(cells[0].text()?.trim());
        call(vec![value.clone()], to.clone(), strict, Arc::new(one))
    };
    if let (Some(kind), DataType::Date | DataType::Datetime(..)) = (from, to)
        && (kind.is_primitive_numeric()
            || kind.is_decimal()
            || matches!(kind, DataType::Unknown(_) | DataType::Boolean))
    {
        return Err(
            "a number becomes a date by MAKE_DATE(year, month, day), and an instant by TO_TIMESTAMP(seconds)".into()
        );
    }
    if let (Some(DataType::String), DataType::Decimal(_, scale)) = (from, to) {
        let scale = *scale;
        return Ok(reads(Box::new(move |t| decimal(t, scale).map(Given::Whole))));
    }
    Ok(match (from, to) {
        (Some(DataType::String), DataType::Date) => {
            reads(Box::new(|t| date(t).and_then(|d| day_number(d).ok()).map(Given::Whole)))
        }
        (Some(DataType::String), DataType::Datetime(_, None)) => {
            reads(Box::new(|t| local(t).and_then(micros_of).map(Given::Whole)))
        }
        (Some(DataType::String), DataType::Datetime(_, Some(_))) => reads(Box::new(|t| instant(t).map(Given::Whole))),
        (Some(DataType::String), DataType::Boolean) => reads(Box::new(|t| flag(t).map(Given::Flag))),
        (Some(DataType::String), DataType::Float64) => reads(Box::new(|t| t.parse().ok().map(Given::Double))),
        (Some(DataType::String), DataType::Int64) => reads(Box::new(|t| whole(t).map(Given::Whole))),
        (Some(DataType::String), DataType::Int32) => {
            reads(Box::new(|t| whole(t).and_then(|n| i32::try_from(n).ok()).map(|n| Given::Whole(n.into()))))
        }
        (Some(DataType::String), to) if *to != DataType::String => engine(changed(value, |t| t.trim().to_owned())),
        (Some(DataType::Datetime(_, None)), DataType::Datetime(_, Some(_))) => {
            return Err("a local timestamp becomes an instant by … AT TIME ZONE 'zone'".into());
        }
        (Some(DataType::Datetime(_, Some(_))), DataType::Datetime(_, None)) => {
            return Err("an instant becomes a local timestamp by … AT TIME ZONE 'zone'".into());
        }
        (Some(DataType::Date), DataType::Datetime(_, Some(_))) => {
            return Err("a date becomes an instant by CAST(date AS TIMESTAMP) AT TIME ZONE 'zone'".into());
        }
        (Some(DataType::Date | DataType::Datetime(..)), DataType::String) => text(value, from),
        _ => engine(value),
    })
}

/// A date or a time as DuckDB writes it.
fn text(value: Expr, kind: Option<&DataType>) -> Expr {
    let (is_date, aware) = (kind == Some(&DataType::Date), matches!(kind, Some(DataType::Datetime(_, Some(_)))));
    let value = if is_date { value } else { value.cast(if aware { INSTANT } else { LOCAL }) };
    let one = move |cells: &[Cell]| {
        let at = cells[0].whole()?;
        let micros = if is_date { at.checked_mul(crate::contract::DAY_MICROS)? } else { at };
        let time = Timestamp::from_microsecond(micros).ok()?;
        let text = match (is_date, micros.rem_euclid(1_000_000)) {
            (true, _) => time.strftime("%Y-%m-%d").to_string(),
            (false, 0) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            (false, _) => time.strftime("%Y-%m-%d %H:%M:%S.%f").to_string(),
        };
        Some(Given::Text(if aware { text + "+00" } else { text }))
    };
    call(vec![value], DataType::String, false, Arc::new(one))
}

/// `2025-10-31`, also with slashes and without leading zeros.
pub(super) fn date(text: &str) -> Option<Date> {
    let between = if text.contains('/') { '/' } else { '-' };
    let parts: Vec<&str> = text.split(between).collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let digits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if year.len() != 4 || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// A date, or a date and a time behind a blank or a T.
pub(super) fn local(text: &str) -> Option<DateTime> {
    match text.split_once(['T', ' ']) {
        None => Some(date(text)?.at(0, 0, 0, 0)),
        Some((day, time)) => Some(date(day)?.to_datetime(time.trim().parse().ok()?)),
    }
}

/// A date and a time with how far its clock is from UTC: `Z`, `+08`, `+08:00` or `+0800`.
pub(super) fn instant(text: &str) -> Option<i64> {
    if let Some(text) = text.strip_suffix(['Z', 'z']) {
        return micros_of(local(text.trim_end())?);
    }
    // Behind the date, whose parts a minus separates too.
    let at = text.get(10..)?.rfind(['+', '-'])? + 10;
    let (time, offset) = (text.get(..at)?, text.get(at + 1..)?.replace(':', ""));
    let digits = offset.bytes().all(|b| b.is_ascii_digit()) && matches!(offset.len(), 2 | 4);
    let (hours, minutes) = (offset.get(..2)?, offset.get(2..).filter(|m| !m.is_empty()).unwrap_or("00"));
    let minutes: i64 = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    let ahead = if text.as_bytes().get(at) == Some(&b'-') { -minutes } else { minutes };
    digits.then_some(())?;
    micros_of(local(time.trim_end())?)?.checked_sub(ahead.checked_mul(60_000_000)?)
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A decimal in units of its last place; what lies beyond is rounded, halves away from zero.
fn decimal(text: &str, scale: usize) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !all(whole) || !all(places) || (whole.is_empty() && places.is_empty()) {
        return None;
    }
    let kept: String = places.chars().chain(std::iter::repeat('0')).take(scale).collect();
    let up = places.as_bytes().get(scale).is_some_and(|b| *b >= b'5');
    let units: i64 = format!("0{whole}{kept}").parse().ok()?;
    let units = units.checked_add(i64::from(up))?;
    Some(if negative { -units } else { units })
}

/// A whole number; one with decimals is rounded, halves away from zero.
fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok().filter(|n: &f64| n.is_finite() && n.abs() < 9.2e18)?;
    #[allow(clippy::cast_possible_truncation, reason = "within the bounds that are asked for")]
    let rounded = number.round() as i64;
    Some(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_dates_times_and_instants() {
        let day = |t| date(t).map(|d| d.to_string());
        assert_eq!((day("2025-1-5"), day("2025/01/05")), (Some("2025-01-05".into()), Some("2025-01-05".into())));
        assert_eq!((day("05-01-2025"), day("2025-02-30"), day("2025-01"), day("")), (None, None, None, None));
        let time = |t| local(t).map(|d| d.to_string());
        assert_eq!(time("2025-10-31 14:05:00.5"), Some("2025-10-31T14:05:00.5".into()));
        assert_eq!((time("2025-10-31"), time("2025-10-31 25:00")), (Some("2025-10-31T00:00:00".into()), None));
        let at = |t: &str| instant(t).map(|m| Timestamp::from_microsecond(m).unwrap().to_string());
        for text in
            ["2025-10-31 08:00:00+08", "2025-10-31T00:00:00Z", "2025-10-30 19:00:00-0500", "2025-10-31 05:30+05:30"]
        {
            assert_eq!(at(text), Some("2025-10-31T00:00:00Z".into()), "{text}");
        }
        assert_eq!((at("2025-10-31 08:00:00"), at("2025-10-31")), (None, None));
        let units = |t| decimal(t, 2);
        assert_eq!(
            (units("12.345"), units("-12.345"), units("7"), units(".5")),
            (Some(1235), Some(-1235), Some(700), Some(50))
        );
        assert_eq!((units("1e3"), units("."), units("99999999999999999999")), (None, None, None));
        assert_eq!(
            (whole("7"), whole("-2.5"), whole("2.5"), whole("x"), whole("1e30")),
            (Some(7), Some(-3), Some(3), None, None)
        );
    }
}
