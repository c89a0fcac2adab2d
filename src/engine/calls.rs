//! Functions of dates and instants that polars lacks, or has otherwise than the SQL that people know.
//!
//! Before polars reads an expression, each of them becomes a call of a function made for that place, with its zone or unit already
//! settled: one that does not exist is told before a row is read. What none of them can say of a row (a 30 February) is null, and
//! is told by [`impossible`] where the row takes it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::civil::Date;
use polars::prelude::{
    Column, DataType, Expr, Field, Int64Chunked, IntoColumn, PlSmallStr, PolarsError, PolarsResult, TimeUnit, TimeZone,
    UserDefinedFunction, map_multiple,
};
use polars::sql::FunctionRegistry;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, visit_expressions_mut};

use crate::contract::{DAY_MICROS, Zone, day_number};
use crate::expression::did_you_mean;

/// What a call's function is named in the SQL that polars reads.
const CALL: &str = "sesame_call_";
/// The last argument of calls whose null may be an impossible value.
const MAY_FAIL: &str = "sesame_may_fail";
/// The units of DATE_TRUNC and DATE_DIFF.
const UNITS: [&str; 7] = ["year", "quarter", "month", "week", "day", "hour", "minute"];

/// An expression with its calls, and their functions.
pub(super) struct Calls {
    /// The expression that polars reads.
    pub(super) expression: ast::Expr,
    functions: Functions,
}

impl Calls {
    /// Finds the calls of an expression.
    ///
    /// # Errors
    /// A sentence that says what is wrong with one of them.
    pub(super) fn of(expression: &ast::Expr) -> Result<Self, String> {
        let (mut expression, mut functions) = (expression.clone(), BTreeMap::new());
        let found = visit_expressions_mut(&mut expression, |node| {
            let made = match node {
                ast::Expr::AtTimeZone { timestamp, time_zone } => {
                    Some(at_time_zone(time_zone).map(|made| (made, vec![(**timestamp).clone()])))
                }
                ast::Expr::Function(function) => call(function),
                _ => None,
            };
            match made {
                None => return ControlFlow::Continue(()),
                Some(Err(why)) => return ControlFlow::Break(why),
                Some(Ok((function, arguments))) => {
                    let name = format!("{CALL}{}", functions.len());
                    *node = ast::Expr::Function(function_call(&name, arguments));
                    functions.insert(name, function);
                }
            }
            ControlFlow::Continue(())
        });
        match found {
            ControlFlow::Break(why) => Err(why),
            ControlFlow::Continue(()) => Ok(Self { expression, functions: Functions(functions) }),
        }
    }

    /// The functions, as polars looks them up.
    pub(super) fn functions(self) -> Functions {
        self.functions
    }
}

/// The functions of an expression's calls, by name.
pub(super) struct Functions(BTreeMap<String, Expr>);

impl FunctionRegistry for Functions {
    fn register(&mut self, name: &str, _: UserDefinedFunction) -> PolarsResult<()> {
        Err(PolarsError::ComputeError(format!("{name} cannot be added").into()))
    }

    fn get_udf(&self, name: &str) -> PolarsResult<Option<UserDefinedFunction>> {
        Ok(self.0.get(name).and_then(|made| match made.clone() {
            Expr::AnonymousFunction { function, options, .. } => {
                Some(UserDefinedFunction { name: PlSmallStr::from_str(name), fun: function, options })
            }
            _ => None,
        }))
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// The condition that a call has no value for a row though it was given all it asks for.
pub(super) fn impossible(node: &Expr) -> Option<Expr> {
    let Expr::AnonymousFunction { input, .. } = node else { return None };
    let (mark, given) = input.split_last()?;
    let marked = matches!(mark, Expr::Literal(value) if value.extract_str() == Some(MAY_FAIL));
    marked.then(|| given.iter().fold(node.clone().is_null(), |all, e| all.and(e.clone().is_not_null())))
}

type Made = Result<(Expr, Vec<ast::Expr>), String>;

/// The function and the arguments of a call, if it is one of those that are made here.
fn call(function: &ast::Function) -> Option<Made> {
    let name = function.name.to_string().to_uppercase();
    let takes: &[&str] = match name.as_str() {
        "DATE_TRUNC" => &["'unit'", "value"],
        "DATE_DIFF" => &["'unit'", "from", "to"],
        "MAKE_DATE" => &["year", "month", "day"],
        "TO_TIMESTAMP" => &["seconds"],
        _ => return None,
    };
    let form = format!("{name}({})", takes.join(", "));
    let arguments: Option<Vec<ast::Expr>> = match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    let Some(mut arguments) = arguments.filter(|a| a.len() == takes.len()) else {
        return Some(Err(format!("`{function}`: write {form}")));
    };
    let may_fail = || ast::Expr::value(ast::Value::SingleQuotedString(MAY_FAIL.into()));
    Some(match name.as_str() {
        "MAKE_DATE" | "TO_TIMESTAMP" => {
            let made = if name == "MAKE_DATE" { make_date() } else { to_timestamp() };
            arguments.push(may_fail());
            Ok((made, arguments))
        }
        _ => {
            let unit = arguments.remove(0);
            unit_of(&unit, &form).and_then(|unit| match name.as_str() {
                "DATE_TRUNC" => Ok((date_trunc(unit), arguments)),
                _ if matches!(unit, "hour" | "minute") => {
                    Err(format!("`{function}`: DATE_DIFF counts whole days and more"))
                }
                _ => Ok((date_diff(unit), arguments)),
            })
        }
    })
}

fn function_call(name: &str, arguments: Vec<ast::Expr>) -> ast::Function {
    let args = arguments.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

fn text(e: &ast::Expr) -> Option<&str> {
    match e {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn unit_of(e: &ast::Expr, form: &str) -> Result<&'static str, String> {
    let written = text(e).unwrap_or_default().to_ascii_lowercase();
    UNITS.into_iter().find(|unit| *unit == written || format!("{unit}s") == written).ok_or_else(|| {
        let hint = did_you_mean(&written, UNITS);
        format!("`{e}` is no unit{hint}; write {form} with one of '{}'", UNITS.join("', '"))
    })
}

fn refused(why: &str) -> PolarsError {
    PolarsError::InvalidOperation(why.to_owned().into())
}

const DAY: DataType = DataType::Date;

/// One value made of each row's; a value without a row is repeated.
fn each(columns: &[&Int64Chunked], one: impl Fn(&[i64]) -> Option<i64>) -> Int64Chunked {
    let rows = columns.iter().map(|c| c.len()).find(|len| *len != 1).unwrap_or(1);
    let mut values = vec![0; columns.len()];
    let row = |row: usize| {
        for (value, column) in values.iter_mut().zip(columns) {
            *value = column.get(if column.len() == 1 { 0 } else { row })?;
        }
        one(&values)
    };
    let found: Int64Chunked = (0..rows).map(row).collect();
    match columns.first() {
        Some(first) => found.with_name(first.name().clone()),
        None => found,
    }
}

fn whole(column: &Column) -> PolarsResult<Column> {
    column.cast(&DataType::Int64)
}

/// Units of a time in a microsecond, or microseconds in one.
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

/// A local time becomes an instant, and an instant a local time.
fn at_time_zone(zone: &ast::Expr) -> Result<Expr, String> {
    let named = text(zone).ok_or_else(|| format!("AT TIME ZONE {zone}: write a name such as 'Asia/Shanghai'"))?;
    let zone = Zone::named(named).map_err(|e| format!("AT TIME ZONE: {e:#}"))?;
    let becomes = |kind: &DataType| match kind {
        DataType::Datetime(unit, None) => Ok(DataType::Datetime(*unit, Some(TimeZone::UTC))),
        DataType::Datetime(unit, Some(_)) => Ok(DataType::Datetime(*unit, None)),
        DataType::String => {
            Err(refused("AT TIME ZONE takes a timestamp, not text; read the text by STRPTIME(text, format)"))
        }
        DataType::Date => Err(refused("AT TIME ZONE takes a timestamp, not a date; write CAST(date AS TIMESTAMP)")),
        other => Err(refused(&format!("AT TIME ZONE takes a timestamp, not {other}"))),
    };
    let run = move |columns: &mut [Column]| {
        let [column] = columns else { return Err(refused("AT TIME ZONE takes one timestamp")) };
        let to = becomes(column.dtype())?;
        let (DataType::Datetime(unit, local), times) = (column.dtype().clone(), whole(column)?) else {
            return Err(refused("AT TIME ZONE takes a timestamp"));
        };
        let moved = each(&[times.i64()?], |v| {
            let at = micros(v[0], unit);
            let by = if local.is_none() { zone.instant(at) - at } else { zone.clock(at) - at };
            let (parts, each) = per_micro(unit);
            v[0].checked_add(by.checked_mul(parts)? / each)
        });
        moved.into_column().cast(&to)
    };
    Ok(map_multiple(run, Vec::<Expr>::new(), move |_, fields| {
        Ok(Field::new(fields[0].name().clone(), becomes(fields[0].dtype())?))
    }))
}

/// A date of whole numbers.
fn make_date() -> Expr {
    let run = |columns: &mut [Column]| {
        let [year, month, day, _] = columns else { return Err(refused("MAKE_DATE takes a year, a month and a day")) };
        let (year, month, day) = (whole(year)?, whole(month)?, whole(day)?);
        let date = |v: &[i64]| {
            let date = Date::new(i16::try_from(v[0]).ok()?, i8::try_from(v[1]).ok()?, i8::try_from(v[2]).ok()?).ok()?;
            day_number(date).ok()
        };
        days(&each(&[year.i64()?, month.i64()?, day.i64()?], date))
    };
    map_multiple(run, Vec::<Expr>::new(), |_, fields| match fields.iter().take(3).find(|f| !is_whole(f.dtype())) {
        Some(field) => Err(refused(&format!(
            "MAKE_DATE takes whole numbers, not {}; divide by //, or CAST to BIGINT",
            field.dtype()
        ))),
        None => Ok(Field::new(fields[0].name().clone(), DAY)),
    })
}

fn is_whole(kind: &DataType) -> bool {
    kind.is_integer() || matches!(kind, DataType::Unknown(_) | DataType::Null)
}

/// A column of day numbers as dates.
fn days(numbers: &Int64Chunked) -> PolarsResult<Column> {
    numbers.clone().into_column().cast(&DataType::Int32)?.cast(&DAY)
}

/// An instant of seconds since 1970.
fn to_timestamp() -> Expr {
    let instant = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let to = instant.clone();
    let run = move |columns: &mut [Column]| {
        let [seconds, _] = columns else { return Err(refused("TO_TIMESTAMP takes seconds since 1970")) };
        let micros = if is_whole(seconds.dtype()) {
            each(&[whole(seconds)?.i64()?], |v| v[0].checked_mul(1_000_000))
        } else {
            let exact = (seconds.cast(&DataType::Float64)? * 1e6).cast(&DataType::Float64)?;
            let exact = exact.f64()?.clone();
            #[allow(clippy::cast_possible_truncation, reason = "within the bounds that are asked for")]
            let whole = |v: f64| (v.abs() < 9.2e18).then(|| v.round_ties_even() as i64);
            exact.iter().map(|v| v.and_then(whole)).collect::<Int64Chunked>().with_name(seconds.name().clone())
        };
        micros.into_column().cast(&to)
    };
    map_multiple(run, Vec::<Expr>::new(), move |_, fields| {
        let number = fields[0].dtype().is_primitive_numeric()
            || matches!(fields[0].dtype(), DataType::Unknown(_) | DataType::Null);
        match number {
            true => Ok(Field::new(fields[0].name().clone(), instant.clone())),
            false => Err(refused(&format!("TO_TIMESTAMP takes seconds since 1970, not {}", fields[0].dtype()))),
        }
    })
}

/// A date or a local time as the day number and the microseconds of the day.
fn of_day(value: i64, kind: &DataType) -> Option<(i64, i64)> {
    match kind {
        DataType::Date => Some((value, 0)),
        DataType::Datetime(unit, None) => {
            let at = micros(value, *unit);
            Some((at.div_euclid(DAY_MICROS), at.rem_euclid(DAY_MICROS)))
        }
        _ => None,
    }
}

fn local(name: &str, kind: &DataType) -> PolarsResult<()> {
    match kind {
        DataType::Date | DataType::Datetime(_, None) | DataType::Null => Ok(()),
        DataType::Datetime(_, Some(_)) => {
            Err(refused(&format!("{name} needs to know whose days are meant: write … AT TIME ZONE 'zone' first")))
        }
        other => Err(refused(&format!("{name} takes a date or a timestamp, not {other}"))),
    }
}

fn civil(day: i64) -> Option<Date> {
    jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()
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

/// The beginning of the unit in which a date or a local time lies.
fn date_trunc(unit: &'static str) -> Expr {
    let run = move |columns: &mut [Column]| {
        let [column] = columns else { return Err(refused("DATE_TRUNC takes a unit and a value")) };
        let kind = column.dtype().clone();
        local("DATE_TRUNC", &kind)?;
        let begun = each(&[whole(column)?.i64()?], |v| {
            let (day, within) = of_day(v[0], &kind)?;
            let within = match unit {
                "hour" => within - within % 3_600_000_000,
                "minute" => within - within % 60_000_000,
                _ => 0,
            };
            let day = first_day(day, unit)?;
            match kind {
                DataType::Datetime(..) => day.checked_mul(DAY_MICROS)?.checked_add(within),
                _ => Some(day),
            }
        });
        match kind {
            DataType::Datetime(..) => begun.into_column().cast(&DataType::Datetime(TimeUnit::Microseconds, None)),
            _ => days(&begun),
        }
    };
    map_multiple(run, Vec::<Expr>::new(), |_, fields| {
        local("DATE_TRUNC", fields[0].dtype())?;
        let kind = match fields[0].dtype() {
            DataType::Datetime(..) => DataType::Datetime(TimeUnit::Microseconds, None),
            _ => DAY,
        };
        Ok(Field::new(fields[0].name().clone(), kind))
    })
}

/// How often a unit begins between two days.
fn date_diff(unit: &'static str) -> Expr {
    let run = move |columns: &mut [Column]| {
        let [from, to] = columns else { return Err(refused("DATE_DIFF takes a unit and two dates")) };
        let kinds = [from.dtype().clone(), to.dtype().clone()];
        kinds.iter().try_for_each(|kind| local("DATE_DIFF", kind))?;
        let (from, to) = (whole(from)?, whole(to)?);
        let between = each(&[from.i64()?, to.i64()?], |v| {
            let count = |at: usize| -> Option<i64> {
                let day = of_day(v[at], &kinds[at])?.0;
                let date = civil(day)?;
                let months = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
                Some(match unit {
                    "year" => i64::from(date.year()),
                    "quarter" => months.div_euclid(3),
                    "month" => months,
                    "week" => (day + 3).div_euclid(7),
                    _ => day,
                })
            };
            Some(count(1)? - count(0)?)
        });
        Ok(between.into_column())
    };
    map_multiple(run, Vec::<Expr>::new(), |_, fields| {
        fields.iter().try_for_each(|field| local("DATE_DIFF", field.dtype()))?;
        Ok(Field::new(fields[0].name().clone(), DataType::Int64))
    })
}
