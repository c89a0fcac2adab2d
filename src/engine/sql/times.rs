//! Functions of dates, local timestamps and instants.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use polars::prelude::{DataType, Expr, TimeUnit, TimeZone, UnknownKind};

use super::columns::{Cell, Given, call};
use crate::contract::{DAY_MICROS, Zone, day_number};
use crate::expression::did_you_mean;

/// A local timestamp, to the microsecond.
pub(super) const LOCAL: DataType = DataType::Datetime(TimeUnit::Microseconds, None);
/// An instant, to the microsecond.
pub(super) const INSTANT: DataType = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));

const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;
const SECOND: i64 = 1_000_000;

/// Units of DATE_DIFF.
pub(super) const SPANS: [&str; 4] = ["year", "quarter", "month", "day"];
/// Units of DATE_TRUNC.
pub(super) const UNITS: [&str; 7] = ["year", "quarter", "month", "week", "day", "hour", "minute"];
/// Parts of DATE_PART and EXTRACT.
pub(super) const PARTS: [&str; 12] =
    ["year", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute", "second", "epoch"];

/// Whether a type holds whole numbers, or nothing at all.
pub(super) fn is_whole(kind: &DataType) -> bool {
    kind.is_integer() || matches!(kind, DataType::Unknown(UnknownKind::Int(_)) | DataType::Null)
}

/// The word of a list that a text is, in the singular or the plural.
pub(super) fn word_of(text: &str, words: &[&'static str]) -> Result<&'static str, String> {
    let written = text.to_ascii_lowercase();
    words.iter().copied().find(|word| *word == written || format!("{word}s") == written).ok_or_else(|| {
        let hint = did_you_mean(&written, words.iter().copied());
        format!("'{text}' is none of '{}'{hint}", words.join("', '"))
    })
}

/// Refuses what is no date and no local timestamp.
pub(super) fn local(name: &str, kind: &DataType) -> Result<(), String> {
    match kind {
        DataType::Date | DataType::Datetime(_, None) | DataType::Null => Ok(()),
        DataType::Datetime(_, Some(_)) => {
            Err(format!("{name} needs to know whose days are meant: write … AT TIME ZONE 'zone' first"))
        }
        other => Err(format!("{name} takes a date or a timestamp, not {other}")),
    }
}

/// Units of a time in a microsecond, and microseconds in one unit.
const fn per_micro(unit: TimeUnit) -> (i64, i64) {
    match unit {
        TimeUnit::Nanoseconds => (1_000, 1),
        TimeUnit::Microseconds => (1, 1),
        TimeUnit::Milliseconds => (1, 1_000),
    }
}

/// The whole microseconds of a time.
const fn micros(value: i64, unit: TimeUnit) -> i64 {
    let (parts, each) = per_micro(unit);
    value.div_euclid(parts).saturating_mul(each)
}

/// A date or a local time as microseconds since 1970 on its clock.
fn clock(value: i64, kind: &DataType) -> Option<i64> {
    match kind {
        DataType::Date => value.checked_mul(DAY_MICROS),
        DataType::Datetime(unit, _) => Some(micros(value, *unit)),
        _ => None,
    }
}

/// A day of the calendar.
pub(super) fn civil(day: i64) -> Option<Date> {
    jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

fn date_time(clock: i64) -> Option<DateTime> {
    let midnight = civil(clock.div_euclid(DAY_MICROS))?.at(0, 0, 0, 0);
    midnight.checked_add(jiff::Span::new().try_microseconds(clock.rem_euclid(DAY_MICROS)).ok()?).ok()
}

/// Microseconds since 1970 of a time on a clock.
pub(super) fn micros_of(time: DateTime) -> Option<i64> {
    let within = time.time().duration_since(jiff::civil::Time::midnight()).as_micros();
    day_number(time.date()).ok()?.checked_mul(DAY_MICROS)?.checked_add(i64::try_from(within).ok()?)
}

/// A local time becomes an instant, and an instant a local time.
pub(super) fn at_time_zone(time: Expr, kind: &DataType, zone: &str) -> Result<Expr, String> {
    let zone = Zone::named(zone).map_err(|e| format!("AT TIME ZONE: {e:#}"))?;
    let (unit, to_instant) = match kind {
        DataType::Datetime(unit, of) => (*unit, of.is_none()),
        DataType::Null => (TimeUnit::Microseconds, true),
        DataType::String => {
            return Err("AT TIME ZONE takes a timestamp, not text; read the text by STRPTIME(text, format)".into());
        }
        DataType::Date => {
            return Err("AT TIME ZONE takes a timestamp, not a date; write CAST(date AS TIMESTAMP)".into());
        }
        other => return Err(format!("AT TIME ZONE takes a timestamp, not {other}")),
    };
    let one = move |cells: &[Cell]| {
        let value = cells[0].whole()?;
        let at = micros(value, unit);
        let by = if to_instant { zone.instant(at) - at } else { zone.clock(at) - at };
        let (parts, each) = per_micro(unit);
        Some(Given::Whole(value.checked_add(by.checked_mul(parts)? / each)?))
    };
    let to = DataType::Datetime(unit, to_instant.then_some(TimeZone::UTC));
    Ok(call(vec![time], to, false, Arc::new(one)))
}

/// A date of whole numbers.
pub(super) fn make_date(arguments: Vec<Expr>) -> Expr {
    let one = |cells: &[Cell]| {
        let (year, month, day) = (cells[0].whole()?, cells[1].whole()?, cells[2].whole()?);
        let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        Some(Given::Whole(day_number(date).ok()?))
    };
    call(arguments, DataType::Date, true, Arc::new(one))
}

/// The instant of whole microseconds since 1970.
pub(super) fn instant_of_micros(micros: Expr) -> Expr {
    call(vec![micros], INSTANT, false, Arc::new(|cells: &[Cell]| Some(Given::Whole(cells[0].whole()?))))
}

/// The instant of whole seconds since 1970.
pub(super) fn instant_of_seconds(seconds: Expr) -> Expr {
    let one = |cells: &[Cell]| Some(Given::Whole(cells[0].whole()?.checked_mul(SECOND)?));
    call(vec![seconds], INSTANT, true, Arc::new(one))
}

/// The first day of a unit of days.
fn first_day(day: i64, unit: &str) -> Option<i64> {
    if unit == "week" {
        return Some(day - (day + 3).rem_euclid(7));
    }
    let date = civil(day)?;
    let first = match unit {
        "year" => Date::new(date.year(), 1, 1),
        "quarter" => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1),
        "month" => Date::new(date.year(), date.month(), 1),
        _ => return Some(day),
    };
    day_number(first.ok()?).ok()
}

/// The beginning of the unit in which a date or a local time lies; a date stays one.
pub(super) fn date_trunc(unit: &'static str, value: Expr, kind: &DataType) -> Expr {
    let (kind, is_date) = (kind.clone(), *kind == DataType::Date);
    let one = move |cells: &[Cell]| {
        let at = clock(cells[0].whole()?, &kind)?;
        let within = at.rem_euclid(DAY_MICROS);
        let within = match unit {
            "hour" => within - within % HOUR,
            "minute" => within - within % MINUTE,
            _ => 0,
        };
        let day = first_day(at.div_euclid(DAY_MICROS), unit)?;
        Some(Given::Whole(if is_date { day } else { day.checked_mul(DAY_MICROS)?.checked_add(within)? }))
    };
    call(vec![value], if is_date { DataType::Date } else { LOCAL }, false, Arc::new(one))
}

/// How often a unit begins between two dates or local times.
pub(super) fn date_diff(unit: &'static str, between: [Expr; 2], kinds: [DataType; 2]) -> Expr {
    let one = move |cells: &[Cell]| {
        let count = |at: usize| -> Option<i64> {
            let day = clock(cells[at].whole()?, &kinds[at])?.div_euclid(DAY_MICROS);
            let date = civil(day)?;
            let months = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
            Some(match unit {
                "year" => i64::from(date.year()),
                "quarter" => months.div_euclid(3),
                "month" => months,
                _ => day,
            })
        };
        Some(Given::Whole(count(1)? - count(0)?))
    };
    call(between.into(), DataType::Int64, false, Arc::new(one))
}

/// A part of a date or a local time.
pub(super) fn date_part(part: &'static str, value: Expr, kind: &DataType) -> Expr {
    let kind = kind.clone();
    let one = move |cells: &[Cell]| {
        let at = clock(cells[0].whole()?, &kind)?;
        let (day, within) = (at.div_euclid(DAY_MICROS), at.rem_euclid(DAY_MICROS));
        let date = civil(day)?;
        Some(Given::Whole(match part {
            "year" => i64::from(date.year()),
            "quarter" => i64::from((date.month() - 1) / 3 + 1),
            "month" => i64::from(date.month()),
            "week" => i64::from(date.iso_week_date().week()),
            "day" => i64::from(date.day()),
            "doy" => i64::from(date.day_of_year()),
            "dow" => (day + 4).rem_euclid(7),
            "isodow" => (day + 3).rem_euclid(7) + 1,
            "hour" => within / HOUR,
            "minute" => within % HOUR / MINUTE,
            "second" => within % MINUTE / SECOND,
            _ => at.div_euclid(SECOND),
        }))
    };
    call(vec![value], DataType::Int64, false, Arc::new(one))
}

/// A date so many days later.
pub(super) fn later(date: Expr, days: Expr, forward: bool) -> Expr {
    let one = move |cells: &[Cell]| {
        let (date, days) = (cells[0].whole()?, cells[1].whole()?);
        let day = if forward { date.checked_add(days)? } else { date.checked_sub(days)? };
        i32::try_from(day).ok()?;
        Some(Given::Whole(day))
    };
    call(vec![date, days], DataType::Date, true, Arc::new(one))
}

/// A date or a time later by a number of months, or of microseconds.
pub(super) fn later_by(value: Expr, kind: &DataType, months: i64, by: i64) -> Result<Expr, String> {
    let (kind, of) = (kind.clone(), kind.clone());
    let one = move |cells: &[Cell]| {
        let at = clock(cells[0].whole()?, &kind)?;
        let moved = if months == 0 { at } else { micros_of(date_time(at)?.checked_add(months.months()).ok()?)? };
        let moved = moved.checked_add(by)?;
        Some(Given::Whole(if kind == DataType::Date { moved.div_euclid(DAY_MICROS) } else { moved }))
    };
    match of {
        DataType::Date if by % DAY_MICROS == 0 => Ok(call(vec![value], DataType::Date, true, Arc::new(one))),
        DataType::Date => Err("an interval of less than a day moves no date; CAST(date AS TIMESTAMP) first".into()),
        DataType::Datetime(_, None) => Ok(call(vec![value], LOCAL, true, Arc::new(one))),
        // An instant has no calendar of its own, so that only what is so many seconds long can be added.
        DataType::Datetime(_, Some(_)) if months == 0 => Ok(call(vec![value], INSTANT, true, Arc::new(one))),
        DataType::Datetime(_, Some(_)) => {
            Err("months of an instant depend on the place: write … AT TIME ZONE 'zone' first".into())
        }
        other => Err(format!("an interval is added to a date or a timestamp, not to {other}")),
    }
}

/// Refuses a format that a date or a local time has no part for.
fn known_format(format: &str) -> Result<(), String> {
    let sample = jiff::civil::date(2025, 10, 31).at(14, 5, 0, 0);
    jiff::fmt::strtime::format(format, sample).map_err(|e| format!("the format '{format}': {e}"))?;
    Ok(())
}

/// A date or a local time as text.
///
/// # Errors
/// When the format is none.
pub(super) fn written(value: Expr, kind: &DataType, format: &str) -> Result<Expr, String> {
    known_format(format)?;
    let (kind, format) = (kind.clone(), format.to_owned());
    let one = move |cells: &[Cell]| {
        let time = date_time(clock(cells[0].whole()?, &kind)?)?;
        jiff::fmt::strtime::format(&format, time).ok().map(Given::Text)
    };
    Ok(call(vec![value], DataType::String, false, Arc::new(one)))
}

/// A text read by a format as a local timestamp, or as a date.
///
/// # Errors
/// When the format is none.
pub(super) fn read(text: Expr, format: &str, as_date: bool) -> Result<Expr, String> {
    known_format(format)?;
    let format = format.to_owned();
    let one = move |cells: &[Cell]| {
        let read = BrokenDownTime::parse(&format, cells[0].text()?.trim()).ok()?;
        if as_date {
            return day_number(read.to_date().ok()?).ok().map(Given::Whole);
        }
        let time = read.to_datetime().or_else(|_| read.to_date().map(|date| date.at(0, 0, 0, 0))).ok()?;
        micros_of(time).map(Given::Whole)
    };
    Ok(call(vec![text], if as_date { DataType::Date } else { LOCAL }, true, Arc::new(one)))
}
