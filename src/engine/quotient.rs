//! Division as people who write SQL expect it: quotients of integers are cut off towards zero and rests have the sign of what was
//! divided, where Polars rounds down; nothing divided by 0 is nothing.

use polars::prelude::{
    Column, DataType, Expr, Field, Int64Chunked, IntoColumn, Null, PolarsError, PolarsResult, lit, map_multiple, when,
};

/// The quotient of two 64-bit integers without its fraction.
pub(super) fn whole(left: Expr, right: Expr) -> Expr {
    of_integers(left, right, i64::checked_div)
}

/// What is left of a 64-bit integer after the division by another.
pub(super) fn rest(left: Expr, right: Expr) -> Expr {
    // The only rest that 64 bits make trouble for is that of -2^63 by -1, which is 0.
    of_integers(left, right, |a, b| Some(a.wrapping_rem(b)))
}

/// A quotient with its fraction.
pub(super) fn exact(left: Expr, right: Expr) -> Expr {
    let double = |e: Expr| e.cast(DataType::Float64);
    let divisor = when(double(right.clone()).neq(lit(0.0))).then(double(right)).otherwise(lit(Null {}));
    double(left) / divisor
}

fn of_integers(left: Expr, right: Expr, divide: fn(i64, i64) -> Option<i64>) -> Expr {
    let columns = move |columns: &mut [Column]| -> PolarsResult<Column> {
        let [left, right] = columns else { return Err(PolarsError::ComputeError("a division of two".into())) };
        let (a, b) = (left.i64()?, right.i64()?);
        let rows = if a.len() == 1 { b.len() } else { a.len() };
        let value = |of: &Int64Chunked, row: usize| of.get(if of.len() == 1 { 0 } else { row });
        let one = |row: usize| match value(a, row).zip(value(b, row)) {
            None | Some((_, 0)) => Ok(None),
            Some((a, b)) => match divide(a, b) {
                Some(found) => Ok(Some(found)),
                None => Err(PolarsError::ComputeError(
                    format!("{a} divided by {b} leaves the range of 64-bit integers").into(),
                )),
            },
        };
        let found: Int64Chunked = (0..rows).map(one).collect::<PolarsResult<_>>()?;
        Ok(found.with_name(left.name().clone()).into_column())
    };
    map_multiple(columns, [left, right], |_, fields| Ok(Field::new(fields[0].name().clone(), DataType::Int64)))
}
