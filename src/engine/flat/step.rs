//! The steps that an expression is computed in.
//!
//! A whole number that is null is [`crate::NULL`], a double that is null is NaN. Where known values come to one of these, the steps
//! give up and polars computes the frame ([`evaluate`](super::evaluate)), unless nothing but choices reads it and none takes it: what
//! `CASE WHEN n = 0 THEN NULL ELSE a / n END` comes to where n is 0 is not asked of the quotient. Conditions know three values, in the
//! order in which AND takes the least and OR the greatest of them.

/// A condition that does not hold.
pub(super) const FALSE: u8 = 0;
/// A condition of which nothing is known.
pub(super) const UNKNOWN: u8 = 1;
/// A condition that holds.
pub(super) const TRUE: u8 = 2;

/// The number of a step; its operands have lower ones.
pub(super) type At = usize;

/// One step, computed for every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Whole(Whole),
    Double(Double),
    Condition(Condition),
}

impl Step {
    /// Whether it is a column.
    pub(super) const fn reads_column(self) -> bool {
        matches!(self, Self::Whole(Whole::Column(_)) | Self::Double(Double::Column(_)))
    }

    /// Whether it is one of two numbers by a condition, its first operand.
    pub(super) const fn is_choice(self) -> bool {
        matches!(self, Self::Whole(Whole::Choice(..)) | Self::Double(Double::Choice(..)))
    }

    /// The steps that it is computed from.
    pub(super) const fn operands(self) -> [Option<At>; 3] {
        match self {
            Self::Whole(Whole::Column(_) | Whole::Constant(_))
            | Self::Double(Double::Column(_) | Double::Constant(_)) => [None, None, None],
            Self::Whole(Whole::Rest(a, _) | Whole::Size(a) | Whole::Of(a))
            | Self::Double(Double::Of(a) | Double::Size(a))
            | Self::Condition(
                Condition::Against(_, a, _)
                | Condition::Not(a)
                | Condition::NullWhole(a)
                | Condition::NullDouble(a)
                | Condition::NullTruth(a),
            ) => [Some(a), None, None],
            Self::Whole(
                Whole::Sum(a, b)
                | Whole::Difference(a, b)
                | Whole::Product(a, b)
                | Whole::Known(a, b)
                | Whole::Least(a, b)
                | Whole::Greatest(a, b),
            )
            | Self::Double(
                Double::Sum(a, b)
                | Double::Difference(a, b)
                | Double::Product(a, b)
                | Double::Quotient(a, b)
                | Double::Known(a, b)
                | Double::Least(a, b)
                | Double::Greatest(a, b),
            )
            | Self::Condition(
                Condition::Wholes(_, a, b)
                | Condition::Doubles(_, a, b)
                | Condition::Both(a, b)
                | Condition::Either(a, b),
            ) => [Some(a), Some(b), None],
            Self::Whole(Whole::Choice(a, b, c))
            | Self::Double(Double::Choice(a, b, c))
            | Self::Condition(Condition::Choice(a, b, c)) => [Some(a), Some(b), Some(c)],
        }
    }
}

/// A step that comes to a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whole {
    /// A column, by its position among those that are read.
    Column(usize),
    Constant(i64),
    Sum(At, At),
    Difference(At, At),
    Product(At, At),
    /// The rest of a division by a positive number, which is never negative.
    Rest(At, i64),
    Size(At),
    /// Where the condition holds the first, elsewhere the second.
    Choice(At, At, At),
    /// The first that is known.
    Known(At, At),
    /// Of those that are known.
    Least(At, At),
    Greatest(At, At),
    /// 1 where a condition holds, 0 where it does not.
    Of(At),
}

/// A step that comes to a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Double {
    Column(usize),
    /// By its bits.
    Constant(u64),
    /// A whole number as a double.
    Of(At),
    Sum(At, At),
    Difference(At, At),
    Product(At, At),
    Quotient(At, At),
    Size(At),
    Choice(At, At, At),
    Known(At, At),
    Least(At, At),
    Greatest(At, At),
}

/// A step that comes to a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// Two whole numbers.
    Wholes(Relation, At, At),
    /// A whole number and one that is written out.
    Against(Relation, At, i64),
    Doubles(Relation, At, At),
    Both(At, At),
    Either(At, At),
    Not(At),
    /// Whether a whole number, a double, or a condition is null.
    NullWhole(At),
    NullDouble(At),
    NullTruth(At),
    Choice(At, At, At),
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Kind {
    /// Whole numbers.
    Whole,
    /// Doubles.
    Double,
}
