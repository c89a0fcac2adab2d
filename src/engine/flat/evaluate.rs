//! Taking the steps of expressions over the rows of a frame.

use std::ops::Range;

use anyhow::{Result, bail, ensure};

use super::compile::{Steps, Wanted};
use super::step::{At, Condition, Double, FALSE, Relation, Step, TRUE, UNKNOWN, Whole};
use crate::NULL;

/// Rows that the steps are taken over at a time: few enough that what a step leaves is in the cache for the next.
const ROWS: usize = 512;

/// A column of a frame.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Values<'a> {
    /// Whole numbers.
    Wholes(&'a [i64]),
    /// Doubles.
    Doubles(&'a [f64]),
}

/// What an expression came to, row by row.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Found {
    /// Whole numbers, [`NULL`] where null.
    Wholes(Vec<i64>),
    /// Doubles, NaN where null.
    Doubles(Vec<f64>),
    /// Conditions as 1 and 0; null is 0.
    Conditions(Vec<u8>),
}

/// What a step came to for the rows at hand.
enum Register {
    /// A column, which lies in the frame.
    Column(usize),
    Wholes(Vec<i64>),
    Doubles(Vec<f64>),
    Conditions(Vec<u8>),
}

impl Steps {
    /// Computes every expression over columns of equal length, which are those that are read, in their order; nothing where a value
    /// that is told came to what stands for null, which polars tells apart, and something reads it.
    ///
    /// # Errors
    /// When the columns are not those.
    pub(in crate::engine) fn run(&self, columns: &[Values], rows: usize) -> Result<Option<Vec<Found>>> {
        ensure!(columns.len() == self.columns.len(), "defect: expressions over other columns");
        let mut registers: Vec<Register> = self.steps.iter().map(register).collect();
        let mut confused = vec![false; self.steps.len()];
        let mut found: Vec<Found> = self.results.iter().map(|(_, wanted)| empty(*wanted, rows)).collect();
        for from in (0..rows).step_by(ROWS) {
            let here = from..rows.min(from + ROWS);
            for (at, step) in self.steps.iter().enumerate() {
                let (done, rest) = registers.split_at_mut(at);
                let Some(register) = rest.first_mut() else { bail!("defect: a step without a register") };
                let before = Before { columns, rows: here.clone(), done };
                match (step, &mut *register) {
                    (Step::Whole(step), Register::Wholes(out)) => wholes(*step, &before, &mut out[..here.len()])?,
                    (Step::Double(step), Register::Doubles(out)) => doubles(*step, &before, &mut out[..here.len()])?,
                    (Step::Condition(step), Register::Conditions(out)) => {
                        conditions(*step, &before, &mut out[..here.len()])?;
                    }
                    _ => {}
                }
                confused[at] = before.confuses(step, register, None)?;
                if (confused[at] && !self.only_chosen[at]) || before.takes_confused(step, &self.steps, &confused)? {
                    return Ok(None);
                }
            }
            let all = Before { columns, rows: here, done: &registers };
            for ((at, _), found) in self.results.iter().zip(&mut found) {
                match found {
                    Found::Wholes(out) => out.extend_from_slice(all.wholes(*at)?),
                    Found::Doubles(out) => out.extend_from_slice(all.doubles(*at)?),
                    // What holds is 2 and becomes 1, the others are 1 and 0 and become 0.
                    Found::Conditions(out) => out.extend(all.conditions(*at)?.iter().map(|c| c >> 1)),
                }
            }
        }
        Ok(Some(found))
    }
}

/// Where a step's values go; those of constants are there from the start.
fn register(step: &Step) -> Register {
    match step {
        Step::Whole(Whole::Column(column)) | Step::Double(Double::Column(column)) => Register::Column(*column),
        Step::Whole(Whole::Constant(number)) => Register::Wholes(vec![*number; ROWS]),
        Step::Double(Double::Constant(bits)) => Register::Doubles(vec![f64::from_bits(*bits); ROWS]),
        Step::Whole(_) => Register::Wholes(vec![0; ROWS]),
        Step::Double(_) => Register::Doubles(vec![0.0; ROWS]),
        Step::Condition(_) => Register::Conditions(vec![FALSE; ROWS]),
    }
}

fn empty(wanted: Wanted, rows: usize) -> Found {
    match wanted {
        Wanted::Wholes => Found::Wholes(Vec::with_capacity(rows)),
        Wanted::Doubles => Found::Doubles(Vec::with_capacity(rows)),
        Wanted::Conditions => Found::Conditions(Vec::with_capacity(rows)),
    }
}

/// The steps before one, for the rows at hand.
struct Before<'a> {
    columns: &'a [Values<'a>],
    rows: Range<usize>,
    done: &'a [Register],
}

impl<'a> Before<'a> {
    fn wholes(&self, at: At) -> Result<&'a [i64]> {
        match self.done.get(at) {
            Some(Register::Wholes(values)) => Ok(&values[..self.rows.len()]),
            Some(Register::Column(column)) => match self.columns.get(*column) {
                Some(Values::Wholes(values)) if values.len() >= self.rows.end => Ok(&values[self.rows.clone()]),
                _ => bail!("defect: a column of whole numbers that is none"),
            },
            _ => bail!("defect: a step that is no whole number"),
        }
    }

    fn doubles(&self, at: At) -> Result<&'a [f64]> {
        match self.done.get(at) {
            Some(Register::Doubles(values)) => Ok(&values[..self.rows.len()]),
            Some(Register::Column(column)) => match self.columns.get(*column) {
                Some(Values::Doubles(values)) if values.len() >= self.rows.end => Ok(&values[self.rows.clone()]),
                _ => bail!("defect: a column of doubles that is none"),
            },
            _ => bail!("defect: a step that is no double"),
        }
    }

    fn conditions(&self, at: At) -> Result<&'a [u8]> {
        match self.done.get(at) {
            Some(Register::Conditions(values)) => Ok(&values[..self.rows.len()]),
            _ => bail!("defect: a step that is no condition"),
        }
    }
}

impl Before<'_> {
    /// Whether a step came to what stands for null though nothing that it was computed from is null: to the smallest of all whole
    /// numbers, or to a double that is no number, as the difference of two that are infinite.
    fn confuses(&self, step: &Step, came_to: &Register, taken: Taken) -> Result<bool> {
        match (step, came_to) {
            (Step::Whole(Whole::Sum(a, b) | Whole::Difference(a, b) | Whole::Product(a, b)), Register::Wholes(out)) => {
                Ok(confused(out, self.wholes(*a)?, self.wholes(*b)?, |value| value == NULL, taken))
            }
            (
                Step::Double(
                    Double::Sum(a, b) | Double::Difference(a, b) | Double::Product(a, b) | Double::Quotient(a, b),
                ),
                Register::Doubles(out),
            ) => Ok(confused(out, self.doubles(*a)?, self.doubles(*b)?, f64::is_nan, taken)),
            _ => Ok(false),
        }
    }

    /// Whether a step is a choice that takes such a value; `confused` tells which of the steps before it came to one.
    fn takes_confused(&self, step: &Step, steps: &[Step], confused: &[bool]) -> Result<bool> {
        let (Step::Whole(Whole::Choice(condition, yes, no)) | Step::Double(Double::Choice(condition, yes, no))) = *step
        else {
            return Ok(false);
        };
        for (at, where_it_holds) in [(yes, true), (no, false)] {
            if confused[at] {
                let taken = Some((self.conditions(condition)?, where_it_holds));
                if self.confuses(&steps[at], &self.done[at], taken)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The rows of a step that a choice takes: those in which a condition holds, or those in which it does not. Nothing stands for all rows.
type Taken<'a> = Option<(&'a [u8], bool)>;

/// Whether a value is null, in the rows that are taken, that was computed from two that are not.
fn confused<T: Copy>(out: &[T], a: &[T], b: &[T], null: impl Fn(T) -> bool, taken: Taken) -> bool {
    let rows = out.iter().zip(a.iter().zip(b)).map(|(out, (a, b))| null(*out) & !null(*a) & !null(*b));
    match taken {
        None => rows.fold(false, |any, row| any | row),
        Some((condition, holds)) => rows.zip(condition).any(|(row, c)| row && (*c == TRUE) == holds),
    }
}

fn each<T: Copy, V>(out: &mut [V], a: &[T], of: impl Fn(T) -> V) {
    out.iter_mut().zip(a).for_each(|(out, a)| *out = of(*a));
}

fn pairs<T: Copy, V>(out: &mut [V], a: &[T], b: &[T], of: impl Fn(T, T) -> V) {
    out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = of(*a, *b));
}

fn choose<T: Copy>(out: &mut [T], condition: &[u8], yes: &[T], no: &[T]) {
    let both = yes.iter().zip(no);
    out.iter_mut()
        .zip(condition.iter().zip(both))
        .for_each(|(out, (c, (y, n)))| *out = if *c == TRUE { *y } else { *n });
}

fn wholes(step: Whole, before: &Before, out: &mut [i64]) -> Result<()> {
    let of = |at: At| before.wholes(at);
    // A number that is not known makes what is computed with it unknown.
    let told = |a: i64, b: i64, c: i64| if (a == NULL) | (b == NULL) { NULL } else { c };
    match step {
        Whole::Column(_) | Whole::Constant(_) => {}
        Whole::Sum(a, b) => pairs(out, of(a)?, of(b)?, |a, b| told(a, b, a.wrapping_add(b))),
        Whole::Difference(a, b) => pairs(out, of(a)?, of(b)?, |a, b| told(a, b, a.wrapping_sub(b))),
        Whole::Product(a, b) => pairs(out, of(a)?, of(b)?, |a, b| told(a, b, a.wrapping_mul(b))),
        Whole::Rest(a, by) => each(out, of(a)?, |a| if a == NULL { NULL } else { a.wrapping_rem_euclid(by) }),
        // Null is the one number whose size is itself.
        Whole::Size(a) => each(out, of(a)?, i64::wrapping_abs),
        Whole::Choice(condition, yes, no) => choose(out, before.conditions(condition)?, of(yes)?, of(no)?),
        Whole::Known(a, b) => pairs(out, of(a)?, of(b)?, |a, b| if a == NULL { b } else { a }),
        Whole::Least(a, b) => pairs(out, of(a)?, of(b)?, |a, b| match (a == NULL, b == NULL) {
            (false, false) => a.min(b),
            // Null is below every number.
            _ => a.max(b),
        }),
        Whole::Greatest(a, b) => pairs(out, of(a)?, of(b)?, i64::max),
        Whole::Of(condition) => each(out, before.conditions(condition)?, |c| match c {
            UNKNOWN => NULL,
            c => i64::from(c >> 1),
        }),
    }
    Ok(())
}

fn doubles(step: Double, before: &Before, out: &mut [f64]) -> Result<()> {
    let of = |at: At| before.doubles(at);
    // NaN, which stands for null, passes through all that is computed.
    match step {
        Double::Column(_) | Double::Constant(_) => {}
        Double::Of(a) => each(out, before.wholes(a)?, |a| if a == NULL { f64::NAN } else { a as f64 }),
        Double::Sum(a, b) => pairs(out, of(a)?, of(b)?, |a, b| a + b),
        Double::Difference(a, b) => pairs(out, of(a)?, of(b)?, |a, b| a - b),
        Double::Product(a, b) => pairs(out, of(a)?, of(b)?, |a, b| a * b),
        Double::Quotient(a, b) => pairs(out, of(a)?, of(b)?, |a, b| a / b),
        Double::Size(a) => each(out, of(a)?, f64::abs),
        Double::Choice(condition, yes, no) => choose(out, before.conditions(condition)?, of(yes)?, of(no)?),
        Double::Known(a, b) => pairs(out, of(a)?, of(b)?, |a, b| if a.is_nan() { b } else { a }),
        // What is not known is less and more than nothing.
        Double::Least(a, b) => pairs(out, of(a)?, of(b)?, |a, b| if b.is_nan() || a < b { a } else { b }),
        Double::Greatest(a, b) => pairs(out, of(a)?, of(b)?, |a, b| if b.is_nan() || a > b { a } else { b }),
    }
    Ok(())
}

/// A condition that holds or not where it is known.
fn known(holds: bool, unknown: bool) -> u8 {
    if unknown { UNKNOWN } else { u8::from(holds) << 1 }
}

/// Compares numbers; `unknown` tells the ones that are null.
fn compare<T: Copy + PartialOrd>(relation: Relation, out: &mut [u8], a: &[T], b: &[T], unknown: impl Fn(T, T) -> bool) {
    match relation {
        Relation::Equal => pairs(out, a, b, |a, b| known(a == b, unknown(a, b))),
        Relation::Unequal => pairs(out, a, b, |a, b| known(a != b, unknown(a, b))),
        Relation::Below => pairs(out, a, b, |a, b| known(a < b, unknown(a, b))),
        Relation::AtMost => pairs(out, a, b, |a, b| known(a <= b, unknown(a, b))),
        Relation::Above => pairs(out, a, b, |a, b| known(a > b, unknown(a, b))),
        Relation::AtLeast => pairs(out, a, b, |a, b| known(a >= b, unknown(a, b))),
    }
}

fn against(relation: Relation, out: &mut [u8], a: &[i64], number: i64) {
    match relation {
        Relation::Equal => each(out, a, |a| known(a == number, a == NULL)),
        Relation::Unequal => each(out, a, |a| known(a != number, a == NULL)),
        Relation::Below => each(out, a, |a| known(a < number, a == NULL)),
        Relation::AtMost => each(out, a, |a| known(a <= number, a == NULL)),
        Relation::Above => each(out, a, |a| known(a > number, a == NULL)),
        Relation::AtLeast => each(out, a, |a| known(a >= number, a == NULL)),
    }
}

fn conditions(step: Condition, before: &Before, out: &mut [u8]) -> Result<()> {
    let of = |at: At| before.conditions(at);
    match step {
        Condition::Wholes(relation, a, b) => {
            compare(relation, out, before.wholes(a)?, before.wholes(b)?, |a, b| (a == NULL) | (b == NULL));
        }
        Condition::Against(relation, a, number) => against(relation, out, before.wholes(a)?, number),
        Condition::Doubles(relation, a, b) => {
            compare(relation, out, before.doubles(a)?, before.doubles(b)?, |a, b| a.is_nan() | b.is_nan());
        }
        Condition::Both(a, b) => pairs(out, of(a)?, of(b)?, u8::min),
        Condition::Either(a, b) => pairs(out, of(a)?, of(b)?, u8::max),
        Condition::Not(a) => each(out, of(a)?, |a| TRUE - a),
        Condition::NullWhole(a) => each(out, before.wholes(a)?, |a| known(a == NULL, false)),
        Condition::NullDouble(a) => each(out, before.doubles(a)?, |a| known(a.is_nan(), false)),
        Condition::NullTruth(a) => each(out, of(a)?, |a| known(a == UNKNOWN, false)),
        Condition::Choice(condition, yes, no) => choose(out, of(condition)?, of(yes)?, of(no)?),
    }
    Ok(())
}
