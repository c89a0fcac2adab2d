//! The functions of SQL by their names; `functions.toml` of the expressions lists them for people.

use polars::lazy::dsl::{max_horizontal, min_horizontal};
use polars::prelude::{DataType, Expr, FunctionExpr, RoundMode, UnknownKind, coalesce, lit, when};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::columns::Given;
use super::literals::{Translated, null, text_of};
use super::texts::{self, changed, counted, of, tested};
use super::times;
use super::translate::Translator;

impl Translator<'_> {
    pub(super) fn call(&self, function: &ast::Function) -> Translated {
        let name = function.name.to_string().to_uppercase();
        let plain = function.filter.is_none() && function.over.is_none();
        let arguments: Option<Vec<ast::Expr>> = match &function.args {
            FunctionArguments::List(list) if plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
                let plain = |argument: &FunctionArg| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                    _ => None,
                };
                list.args.iter().map(plain).collect()
            }
            FunctionArguments::None if plain => Some(Vec::new()),
            _ => None,
        };
        let arguments = arguments.ok_or_else(|| format!("`{function}` is no call that is read here"))?;
        self.function(&name, &arguments).map_err(|why| if why.is_empty() { format!("`{function}`") } else { why })
    }

    /// A function of some arguments.
    pub(super) fn function(&self, name: &str, arguments: &[ast::Expr]) -> Translated {
        if let Some(translated) = self.of_times(name, arguments) {
            return translated;
        }
        let wrong =
            || Err(format!("{name} is not called with {} arguments (`sesame schema functions`)", arguments.len()));
        let given = arguments.iter().map(|e| self.expression(e)).collect::<Result<Vec<_>, _>>()?;
        if let Some(translated) = self.of_texts(name, arguments, &given) {
            return translated;
        }
        let one = |make: fn(Expr) -> Expr| match given.as_slice() {
            [a] => Ok(make(a.clone())),
            _ => wrong(),
        };
        // By our own mathematics: that of machines differs in the last bit.
        let double = |make: fn(f64) -> f64| match given.as_slice() {
            [a] => Ok(of(vec![a.clone().cast(DataType::Float64)], DataType::Float64, move |c| {
                Some(Given::Double(make(c[0].double()?)))
            })),
            _ => wrong(),
        };
        match (name, given.as_slice()) {
            ("ABS", _) => one(Expr::abs),
            ("CEIL" | "CEILING", _) => one(Expr::ceil),
            ("FLOOR", _) => one(Expr::floor),
            ("EXP", _) => double(libm::exp),
            ("SQRT", _) => double(f64::sqrt),
            ("SIGN", _) => one(sign),
            ("LN", _) => double(libm::log),
            ("LOG10", _) => double(libm::log10),
            ("LOG2", _) => double(libm::log2),
            ("LOG", [base, a]) => {
                let doubles = [base, a].map(|e| e.clone().cast(DataType::Float64));
                Ok(of(doubles.into(), DataType::Float64, |c| {
                    Some(Given::Double(libm::log10(c[1].double()?) / libm::log10(c[0].double()?)))
                }))
            }
            ("PI", []) => Ok(lit(std::f64::consts::PI)),
            ("POWER" | "POW", [a, b]) => Ok(a.clone().pow(b.clone())),
            ("MOD", [a, b]) => Ok(a.clone() % b.clone()),
            ("DIV", [a, b]) => Ok(a.clone().floor_div(b.clone()).cast(DataType::Int64)),
            ("ROUND", [a]) => Ok(round(a.clone(), 0)),
            ("ROUND", [a, _]) => match arguments[1].to_string().parse::<u32>() {
                Ok(decimals) => Ok(round(a.clone(), decimals)),
                Err(_) => Err(format!("ROUND(a, n): n is a whole number that is written out, not `{}`", arguments[1])),
            },
            ("COALESCE", [_, ..]) | ("IFNULL", [_, _]) => Ok(coalesce(&given)),
            ("GREATEST", [_, ..]) => max_horizontal(&given).map_err(|e| e.to_string()),
            ("LEAST", [_, ..]) => min_horizontal(&given).map_err(|e| e.to_string()),
            ("NULLIF", [a, b]) => Ok(when(a.clone().eq(b.clone())).then(null()).otherwise(a.clone())),
            ("IF", [condition, yes, no]) => Ok(when(condition.clone()).then(yes.clone()).otherwise(no.clone())),
            _ => wrong(),
        }
    }

    /// Functions of texts.
    fn of_texts(&self, name: &str, arguments: &[ast::Expr], given: &[Expr]) -> Option<Translated> {
        // Whatever is put together or looked at as a text is one first.
        let text = |e: &Expr| match self.kind(e) {
            Some(DataType::String | DataType::Null) | None => Ok(e.clone()),
            kind => super::casts::cast(e.clone(), kind.as_ref(), &DataType::String, true),
        };
        let texts = || given.iter().map(text).collect::<Result<Vec<_>, String>>();
        let whole = |e: &Expr| match self.kind(e) {
            Some(kind) if kind.is_float() => e.clone().cast(DataType::Int64),
            _ => e.clone(),
        };
        let strip = |name: &'static str, what: Vec<char>| {
            move |t: &str| {
                let cut = |c: char| what.contains(&c);
                match name {
                    "LTRIM" => t.trim_start_matches(cut).to_owned(),
                    "RTRIM" => t.trim_end_matches(cut).to_owned(),
                    _ => t.trim_matches(cut).to_owned(),
                }
            }
        };
        Some(match (name, given) {
            ("UPPER", [a]) => text(a).map(|a| changed(a, str::to_uppercase)),
            ("LOWER", [a]) => text(a).map(|a| changed(a, str::to_lowercase)),
            ("REVERSE", [a]) => text(a).map(|a| changed(a, |t| t.chars().rev().collect())),
            ("LENGTH", [a]) => text(a).map(|a| counted(a, |t| t.chars().count())),
            ("OCTET_LENGTH", [a]) => text(a).map(|a| counted(a, str::len)),
            ("TRIM" | "LTRIM" | "RTRIM", [a, more @ ..]) if more.len() <= 1 => {
                let what = match arguments.get(1) {
                    None => vec![' '],
                    Some(e) => match text_of(e) {
                        Some(letters) => letters.chars().collect(),
                        None => return Some(Err(format!("{name}: write the letters out, in quotes"))),
                    },
                };
                let name = if name == "LTRIM" {
                    "LTRIM"
                } else if name == "RTRIM" {
                    "RTRIM"
                } else {
                    "TRIM"
                };
                text(a).map(|a| changed(a, strip(name, what)))
            }
            ("LEFT", [a, n]) => text(a).map(|a| of_count(a, whole(n), texts::left)),
            ("RIGHT", [a, n]) => text(a).map(|a| of_count(a, whole(n), texts::right)),
            ("SUBSTR" | "SUBSTRING", [a, from]) => {
                text(a).map(|a| of_count(a, whole(from), |t, from| texts::part(t, from, None)))
            }
            ("SUBSTR" | "SUBSTRING", [a, from, count]) => text(a).map(|a| {
                of(vec![a, whole(from), whole(count)], DataType::String, |c| {
                    Some(Given::Text(texts::part(c[0].text()?, c[1].whole()?, Some(c[2].whole()?))))
                })
            }),
            ("SPLIT_PART", [a, between, at]) => text(a).map(|a| {
                of(vec![a, between.clone(), whole(at)], DataType::String, |c| {
                    Some(Given::Text(texts::split(c[0].text()?, c[1].text()?, c[2].whole()?)))
                })
            }),
            ("REPLACE", [_, _, _]) => texts().map(|all| {
                of(all, DataType::String, |c| {
                    let (t, old, new) = (c[0].text()?, c[1].text()?, c[2].text()?);
                    Some(Given::Text(if old.is_empty() { t.to_owned() } else { t.replace(old, new) }))
                })
            }),
            ("STARTS_WITH", [_, _]) => texts().map(|all| tested(all, |a, b| a.starts_with(b))),
            ("ENDS_WITH", [_, _]) => texts().map(|all| tested(all, |a, b| a.ends_with(b))),
            ("STRPOS", [_, _]) => texts().map(|all| {
                of(all, DataType::Int64, |c| {
                    Some(Given::Whole(i64::try_from(texts::place(c[0].text()?, c[1].text()?)).ok()?))
                })
            }),
            ("REGEXP_LIKE", [_, _]) => self.regular(&arguments[0], &arguments[1], ""),
            ("REGEXP_LIKE", [_, _, _]) => match text_of(&arguments[2]) {
                Some(flags) => self.regular(&arguments[0], &arguments[1], &format!("(?{flags})")),
                None => Err("REGEXP_LIKE: write the flags out, in quotes".into()),
            },
            ("CONCAT", [_, ..]) => texts().map(|all| texts::joined(all, String::new())),
            ("CONCAT_WS", [_, _, ..]) => match text_of(&arguments[0]) {
                Some(between) => texts().map(|all| texts::joined(all[1..].to_vec(), between.to_owned())),
                None => Err("CONCAT_WS: write what stands between out, in quotes".into()),
            },
            ("||", [_, _, ..]) => texts().map(|all| {
                of(all, DataType::String, |c| {
                    Some(Given::Text(c.iter().map(|c| c.text()).collect::<Option<String>>()?))
                })
            }),
            _ => return None,
        })
    }

    /// Functions of dates and times.
    fn of_times(&self, name: &str, arguments: &[ast::Expr]) -> Option<Translated> {
        let form = match name {
            "DATE_TRUNC" => "DATE_TRUNC('unit', value)",
            "DATE_DIFF" => "DATE_DIFF('unit', from, to)",
            "DATE_PART" => "DATE_PART('part', value)",
            "MAKE_DATE" => "MAKE_DATE(year, month, day)",
            "TO_TIMESTAMP" => "TO_TIMESTAMP(seconds)",
            "STRPTIME" => "STRPTIME(text, 'format')",
            "STRFTIME" => "STRFTIME(value, 'format')",
            "DATE" => "DATE(text) or DATE(text, 'format')",
            "TIMESTAMP" => "TIMESTAMP(text) or TIMESTAMP(text, 'format')",
            _ => return None,
        };
        let translated = match (name, arguments) {
            ("DATE_PART", [part, e]) if text_of(part).is_some() => self.part(text_of(part).unwrap_or_default(), e),
            ("DATE_TRUNC", [unit, e]) if text_of(unit).is_some() => self.typed(e).and_then(|(value, kind)| {
                times::local(name, &kind)?;
                Ok(times::date_trunc(times::word_of(text_of(unit).unwrap_or_default(), &times::UNITS)?, value, &kind))
            }),
            ("DATE_DIFF", [unit, from, to]) if text_of(unit).is_some() => {
                self.typed(from).and_then(|(from, of_from)| {
                    let (to, of_to) = self.typed(to)?;
                    times::local(name, &of_from)?;
                    times::local(name, &of_to)?;
                    let unit = times::word_of(text_of(unit).unwrap_or_default(), &times::SPANS)?;
                    Ok(times::date_diff(unit, [from, to], [of_from, of_to]))
                })
            }
            ("MAKE_DATE", [_, _, _]) => {
                arguments.iter().map(|e| self.whole(name, e)).collect::<Result<_, _>>().map(times::make_date)
            }
            ("TO_TIMESTAMP", [e]) => self.typed(e).and_then(|(seconds, kind)| match kind {
                kind if kind.is_float() || kind.is_decimal() || kind == DataType::Unknown(UnknownKind::Float) => {
                    let micros = seconds.cast(DataType::Float64) * lit(1e6);
                    Ok(times::instant_of_micros(round(micros, 0).strict_cast(DataType::Int64)))
                }
                kind if times::is_whole(&kind) => Ok(times::instant_of_seconds(seconds)),
                other => Err(format!("TO_TIMESTAMP takes seconds since 1970, not {other}")),
            }),
            ("STRFTIME", [e, format]) if text_of(format).is_some() => self.typed(e).and_then(|(value, kind)| {
                times::local(name, &kind)?;
                times::written(value, &kind, text_of(format).unwrap_or_default())
            }),
            ("STRPTIME" | "TIMESTAMP", [e, format]) if text_of(format).is_some() => {
                self.expression(e).and_then(|text| times::read(text, text_of(format).unwrap_or_default(), false))
            }
            ("DATE", [e, format]) if text_of(format).is_some() => {
                self.expression(e).and_then(|text| times::read(text, text_of(format).unwrap_or_default(), true))
            }
            ("DATE" | "TIMESTAMP", [e]) => self.typed(e).and_then(|(value, kind)| {
                let to = if name == "DATE" { DataType::Date } else { times::LOCAL };
                super::casts::cast(value, Some(&kind), &to, true)
            }),
            _ => Err(format!("{name}: write {form}")),
        };
        Some(translated.map_err(|why| if why.contains(name) { why } else { format!("{name}: {why}; write {form}") }))
    }

    fn typed(&self, e: &ast::Expr) -> Result<(Expr, DataType), String> {
        let value = self.expression(e)?;
        let kind = self.known_kind(&value, e)?;
        Ok((value, kind))
    }

    /// A whole number.
    fn whole(&self, name: &str, e: &ast::Expr) -> Translated {
        let (value, kind) = self.typed(e)?;
        match kind {
            kind if times::is_whole(&kind) => Ok(value),
            other => Err(format!("{name} takes whole numbers, not {other}; divide by //, or CAST to BIGINT")),
        }
    }
}

/// A text and a whole number make a text.
fn of_count(text: Expr, count: Expr, make: impl Fn(&str, i64) -> String + Send + Sync + 'static) -> Expr {
    of(vec![text, count], DataType::String, move |c| Some(Given::Text(make(c[0].text()?, c[1].whole()?))))
}

/// Halves go away from zero.
fn round(value: Expr, decimals: u32) -> Expr {
    Expr::Function { input: vec![value], function: FunctionExpr::Round { decimals, mode: RoundMode::HalfAwayFromZero } }
}

fn sign(value: Expr) -> Expr {
    let (above, below) = (value.clone().gt(lit(0)), value.clone().lt(lit(0)));
    let known = when(above).then(lit(1)).otherwise(when(below).then(lit(-1)).otherwise(lit(0)));
    when(value.is_not_null()).then(known).otherwise(null())
}
