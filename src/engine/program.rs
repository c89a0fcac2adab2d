//! Expressions, parsed once: columns of numbers in, columns of conditions, integers or doubles out.

use std::sync::OnceLock;

use anyhow::{Context, Error, Result};
use polars::prelude::{DataType, Expr, IntoLazy, PlSmallStr};

use super::evaluated::Evaluated;
use super::flat::compile::{Compiler, Steps, Wanted};
use super::frame::Frame;

/// Expressions, parsed once and evaluated over many frames.
#[derive(Debug, Clone)]
pub struct Program {
    expressions: Vec<Expr>,
    names: Vec<PlSmallStr>,
    /// The expressions as they are written, and what each is wanted as.
    written: Vec<(String, Wanted)>,
    /// How they are computed without polars, once a first frame has told what its columns hold; nothing where they cannot be.
    steps: OnceLock<Option<Steps>>,
}

impl Program {
    /// Parses expressions of the local spelling; each yields integers or conditions.
    ///
    /// # Errors
    /// When polars does not take one, with its text.
    pub fn integers<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::parse(texts, Wanted::Wholes)
    }

    /// Parses expressions that yield conditions; null is false.
    ///
    /// # Errors
    /// When polars does not take one, with its text.
    pub fn conditions<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::parse(texts, Wanted::Conditions)
    }

    /// Parses expressions that yield doubles.
    ///
    /// # Errors
    /// When polars does not take one, with its text.
    pub fn doubles<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::parse(texts, Wanted::Doubles)
    }

    fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, wanted: Wanted) -> Result<Self> {
        let kind = match wanted {
            Wanted::Wholes => DataType::Int64,
            Wanted::Doubles => DataType::Float64,
            Wanted::Conditions => DataType::Boolean,
        };
        let (mut expressions, mut names, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for (n, text) in texts.into_iter().enumerate() {
            let name = PlSmallStr::from_string(format!("e{n}"));
            let parsed =
                super::sql::text(text).map_err(Error::msg).with_context(|| format!("the expression `{text}`"))?;
            let parsed = parsed.map_expr(in_64_bits);
            expressions.push(parsed.cast(kind.clone()).alias(name.clone()));
            names.push(name);
            written.push((text.to_owned(), wanted));
        }
        Ok(Self { expressions, names, written, steps: OnceLock::new() })
    }

    /// Number of expressions.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.expressions.len()
    }

    /// Whether there is no expression.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Both lists of expressions in one, so that what they share is computed once.
    #[must_use]
    pub fn followed_by(mut self, other: &Self) -> Self {
        let offset = self.len();
        for (n, expression) in other.expressions.iter().enumerate() {
            let name = PlSmallStr::from_string(format!("e{}", offset + n));
            self.expressions.push(expression.clone().alias(name.clone()));
            self.names.push(name);
        }
        self.written.extend(other.written.iter().cloned());
        self.steps = OnceLock::new();
        self
    }

    /// Evaluates every expression over a frame.
    ///
    /// # Errors
    /// When polars fails, which a checked expression does not cause.
    pub fn run(&self, frame: &Frame) -> Result<Vec<Evaluated>> {
        let Some(steps) = self.steps.get_or_init(|| self.compiled(frame)) else { return self.by_polars(frame) };
        let found = match frame.wanted(steps) {
            Some(columns) => steps.run(&columns, frame.height())?,
            // The first frame had other columns.
            None => {
                let Some(steps) = self.compiled(frame) else { return self.by_polars(frame) };
                let columns = frame.wanted(&steps).context("defect: expressions over columns that are not there")?;
                steps.run(&columns, frame.height())?
            }
        };
        match found {
            Some(found) => Ok(found.into_iter().map(Evaluated::from).collect()),
            None => self.by_polars(frame),
        }
    }

    /// The expressions over the columns of a frame as steps, if all can be computed so.
    fn compiled(&self, frame: &Frame) -> Option<Steps> {
        let kind = |name: &str| frame.kind(name);
        let mut compiler = Compiler::new(&kind);
        for (text, wanted) in &self.written {
            super::sql::parsed(text, |e| Ok(compiler.add(e, *wanted))).ok().flatten()?;
        }
        Some(compiler.finish())
    }

    fn by_polars(&self, frame: &Frame) -> Result<Vec<Evaluated>> {
        let height = frame.height();
        let result = frame.polars()?.lazy().select_seq(self.expressions.as_slice()).collect()?;
        self.names.iter().map(|name| Ok(Evaluated::of(result.column(name)?.clone(), height))).collect()
    }
}

/// A whole number that is written out is one of 64 bits, as every column is: polars would take 32 where no column says otherwise, and wrap.
fn in_64_bits(e: Expr) -> Expr {
    match &e {
        Expr::Literal(value) if value.get_datatype().is_integer() => e.cast(DataType::Int64),
        _ => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NULL;
    use proptest::prelude::*;

    /// Writes expressions by a list of numbers, each of which decides what comes next.
    struct Writer<'a>(std::slice::Iter<'a, u8>);

    impl Writer<'_> {
        fn one_of(&mut self, ways: u8) -> u8 {
            self.0.next().copied().unwrap_or(0) % ways
        }

        fn whole(&mut self, depth: u8) -> String {
            match self.one_of(if depth == 0 { 4 } else { 13 }) {
                0 => "a".into(),
                1 => "b".into(),
                2 => "3".into(),
                3 => ["(- 5)", "1500000000", "9007199254740993", "COALESCE(2000000000, 7)"]
                    [usize::from(self.one_of(4))]
                .into(),
                4 => format!("({} + {})", self.whole(depth - 1), self.whole(depth - 1)),
                5 => format!("({} - {})", self.whole(depth - 1), self.whole(depth - 1)),
                6 => format!("({} * {})", self.whole(0), self.whole(0)),
                7 => format!("ABS({})", self.whole(depth - 1)),
                8 => format!("NULLIF({}, {})", self.whole(depth - 1), self.whole(depth - 1)),
                9 => {
                    let function = ["COALESCE", "LEAST", "GREATEST"][usize::from(self.one_of(3))];
                    format!("{function}({}, {}, {})", self.whole(depth - 1), self.whole(0), self.whole(0))
                }
                10 => {
                    let x = self.whole(depth - 1);
                    format!("(CASE WHEN {x} < 0 THEN (- ((- {x}) % 7)) ELSE ({x} % 7) END)")
                }
                11 => {
                    let (first, then) = (self.condition(depth - 1), self.whole(depth - 1));
                    format!("CASE WHEN {first} THEN {then} WHEN {} THEN NULL ELSE b END", self.condition(depth - 1))
                }
                _ => format!("CASE WHEN {} THEN {} END", self.condition(depth - 1), self.whole(depth - 1)),
            }
        }

        fn double(&mut self, depth: u8) -> String {
            match self.one_of(if depth == 0 { 3 } else { 11 }) {
                0 => "d".into(),
                1 => "2.5E-1".into(),
                2 => format!("CAST({} AS DOUBLE)", self.whole(depth)),
                3 => format!("({} + {})", self.double(depth - 1), self.whole(depth - 1)),
                4 => format!("({} - {})", self.double(depth - 1), self.double(depth - 1)),
                5 => format!("({} * {})", self.double(0), self.double(0)),
                6 => format!("{} / NULLIF(CAST({} AS DOUBLE), 0.0E0)", self.double(0), self.whole(0) + " + a"),
                7 => {
                    let function = ["COALESCE", "LEAST", "GREATEST"][usize::from(self.one_of(3))];
                    format!("{function}({}, {})", self.double(depth - 1), self.whole(0))
                }
                8 => format!("CASE WHEN {} THEN {} ELSE 0 END", self.condition(depth - 1), self.double(depth - 1)),
                9 => {
                    // Nothing by nothing, in rows that are taken or not.
                    let relation = ["=", "<>", "<", ">="][usize::from(self.one_of(4))];
                    let quotient = "CAST((b * f) AS DOUBLE) / CAST((a * f) AS DOUBLE)";
                    match self.one_of(2) {
                        0 => format!("CASE WHEN ((a * f) {relation} 0) THEN NULL ELSE {quotient} END"),
                        _ => format!("CASE WHEN ((a * f) {relation} 0) THEN {quotient} ELSE {} END", self.whole(0)),
                    }
                }
                _ => format!("CASE WHEN {} THEN NULL ELSE {} END", self.condition(depth - 1), self.double(depth - 1)),
            }
        }

        fn condition(&mut self, depth: u8) -> String {
            let relation = ["=", "<>", "<", "<=", ">", ">="][usize::from(self.one_of(6))];
            match self.one_of(if depth == 0 { 3 } else { 9 }) {
                0 => format!("({} {relation} {})", self.whole(0), self.whole(0)),
                1 => "(f = 1)".into(),
                2 => format!("(d {relation} {})", self.whole(0)),
                3 => format!("({} AND {})", self.condition(depth - 1), self.condition(depth - 1)),
                4 => format!("({} OR {})", self.condition(depth - 1), self.condition(depth - 1)),
                5 => format!("(NOT {})", self.condition(depth - 1)),
                6 => format!("({} IS NULL)", self.whole(0) + " - a"),
                7 => format!("({} IS NOT NULL)", self.condition(depth - 1)),
                _ => format!("({} {relation} {})", self.double(depth - 1), self.whole(depth - 1)),
            }
        }
    }

    /// Rows of `a`, `b`, `f` and `d`.
    type Row = (Option<i8>, Option<i8>, Option<bool>, Option<i8>);

    fn frame(rows: &[Row]) -> Frame {
        let whole =
            |of: &dyn Fn(&Row) -> Option<i64>| -> Vec<i64> { rows.iter().map(|row| of(row).unwrap_or(NULL)).collect() };
        let columns = [
            ("a", whole(&|row| row.0.map(i64::from))),
            ("b", whole(&|row| row.1.map(i64::from))),
            ("f", whole(&|row| row.2.map(i64::from))),
        ];
        let doubles: Vec<f64> = rows.iter().map(|row| row.3.map_or(f64::NAN, |d| f64::from(d) / 4.0)).collect();
        Frame::new(rows.len(), columns).unwrap().with_doubles([("d", doubles.as_slice())]).unwrap()
    }

    proptest! {
        #[test]
        fn steps_come_to_what_polars_comes_to(
            choices in proptest::collection::vec(any::<u8>(), 0..80),
            rows in proptest::collection::vec(any::<Row>(), 1..20),
        ) {
            let frame = frame(&rows);
            let mut writer = Writer(choices.iter());
            let (condition, whole, double) = (writer.condition(3), writer.whole(3), writer.double(3));
            let conditions = Program::conditions([condition.as_str(), "(1 = 1)"]).unwrap();
            let wholes = Program::integers([whole.as_str(), condition.as_str()]).unwrap();
            let all = conditions.followed_by(&wholes);
            // What large numbers that are written out come to among themselves may be left to polars.
            let left = |text: &str| text.contains("00000") || text.contains("9007199");
            prop_assert!(all.compiled(&frame).is_some() || left(&condition) || left(&whole), "{condition}, {whole}");
            let (found, expected) = (all.run(&frame).unwrap(), all.by_polars(&frame).unwrap());
            for n in 0..2 {
                prop_assert_eq!(found[n].conditions().unwrap(), expected[n].conditions().unwrap(), "{}", condition);
            }
            for n in 2..4 {
                prop_assert_eq!(found[n].integers().unwrap(), expected[n].integers().unwrap(), "{}, {}", whole, condition);
            }
            let doubles = Program::doubles([double.as_str(), whole.as_str()]).unwrap();
            prop_assert!(doubles.compiled(&frame).is_some() || left(&double) || left(&whole), "{double}");
            for (found, expected) in doubles.run(&frame).unwrap().iter().zip(doubles.by_polars(&frame).unwrap()) {
                for (found, expected) in found.doubles().unwrap().into_iter().zip(expected.doubles().unwrap()) {
                    prop_assert!(found == expected || (found.is_nan() && expected.is_nan()), "{double}: {found}, {expected}");
                }
            }
        }
    }

    #[test]
    fn steps_are_taken_over_all_rows_and_other_columns_are_told_apart() {
        let values: Vec<i64> = (0..5_000).collect();
        let program = Program::integers(["n * 2 + 1"]).unwrap();
        let found = program.run(&Frame::new(values.len(), [("n", values.clone())]).unwrap()).unwrap();
        assert_eq!(found[0].integers().unwrap(), values.iter().map(|v| v * 2 + 1).collect::<Vec<_>>());
        // The same name holds doubles now: no whole number comes of them here, and polars cuts them off.
        let doubles = Frame::new(2, []).unwrap().with_doubles([("n", [1.5, 2.0].as_slice())]).unwrap();
        assert_eq!(program.run(&doubles).unwrap()[0].integers().unwrap(), [4, 5]);
        let none = Frame::new(0, [("n", Vec::new())]).unwrap();
        assert!(program.run(&none).unwrap()[0].integers().unwrap().is_empty());
    }

    #[test]
    fn a_value_that_looks_like_null_is_none() {
        let frame = Frame::new(3, [("n", vec![i64::MIN + 1, 5, NULL])]).unwrap();
        let frame = frame.with_doubles([("d", [0.0, 2.0, f64::NAN].as_slice())]).unwrap();
        let conditions =
            ["(n - 1 IS NULL)", "((d * 1.0E308) * 1.0E308 - (d * 1.0E308) * 1.0E308 IS NULL)", "(d / d IS NULL)"];
        for text in conditions {
            let program = Program::conditions([text]).unwrap();
            assert!(program.compiled(&frame).is_some(), "{text}");
            assert_eq!(program.run(&frame).unwrap()[0].conditions().unwrap(), [0, 0, 1], "{text}");
        }
        let known = Program::doubles(["COALESCE(d / d, 7.0)"]).unwrap().run(&frame).unwrap();
        let known = known[0].doubles().unwrap();
        assert!(known[0].is_nan() && known[1..] == [1.0, 7.0], "{known:?}");
    }

    #[test]
    fn what_no_case_takes_is_not_left_to_polars() {
        let frame = Frame::new(4, [("a", vec![0, 6, NULL, 0]), ("b", vec![0, 4, 2, NULL])]).unwrap();
        let quotient = "CAST(a AS DOUBLE) / CAST(b AS DOUBLE)";
        // Only the first row comes to nothing by nothing.
        let cases = [
            (format!("CASE WHEN b = 0 THEN NULL ELSE {quotient} END"), true),
            (format!("CASE WHEN b <> 0 THEN {quotient} ELSE a END"), true),
            (format!("CASE WHEN b = 4 THEN NULL ELSE {quotient} END"), false),
            (format!("CASE WHEN b = 0 THEN {quotient} ELSE a END"), false),
            (format!("CASE WHEN b = 0 THEN NULL ELSE {quotient} END + COALESCE({quotient}, 1.0)"), false),
            (quotient.to_owned(), false),
        ];
        for (text, alone) in cases {
            let program = Program::conditions([format!("({text} IS NULL)").as_str()]).unwrap();
            let steps = program.compiled(&frame).unwrap();
            let found = steps.run(&frame.wanted(&steps).unwrap(), frame.height()).unwrap();
            assert_eq!(found.is_some(), alone, "{text}");
            let (found, expected) = (program.run(&frame).unwrap(), program.by_polars(&frame).unwrap());
            assert_eq!(found[0].conditions().unwrap(), expected[0].conditions().unwrap(), "{text}");
            let program = Program::doubles([text.as_str()]).unwrap();
            let (found, expected) = (program.run(&frame).unwrap(), program.by_polars(&frame).unwrap());
            let (found, expected) = (found[0].doubles().unwrap(), expected[0].doubles().unwrap());
            let same = found.iter().zip(&expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
            assert!(same && found.len() == 4, "{text}: {found:?}, {expected:?}");
        }
        // A whole number that looks like null, where no case takes it.
        let frame = Frame::new(2, [("n", vec![i64::MIN + 1, 5])]).unwrap();
        for (text, alone) in [("CASE WHEN n > 0 THEN n - 1 END", true), ("CASE WHEN n < 9 THEN n - 1 END", false)] {
            let steps = Program::integers([text]).unwrap().compiled(&frame).unwrap();
            let found = steps.run(&frame.wanted(&steps).unwrap(), frame.height()).unwrap();
            assert_eq!(found.is_some(), alone, "{text}");
        }
    }

    #[test]
    fn whole_numbers_that_are_written_out_have_64_bits() {
        let frame = Frame::new(2, [("n", vec![4, NULL])]).unwrap();
        let texts = [
            "COALESCE(1500000000, 5) * 2",
            "COALESCE(1, 9007199254740993)",
            "GREATEST(n, 3000000000)",
            "2147483647 + 1",
        ];
        let program = Program::integers(texts).unwrap();
        let found = [program.run(&frame).unwrap(), program.by_polars(&frame).unwrap()];
        for found in found {
            let of = |n: usize| found[n].integers().unwrap();
            assert_eq!([of(0), of(1)], [[3_000_000_000; 2].to_vec(), [1; 2].to_vec()]);
            assert_eq!([of(2), of(3)], [[3_000_000_000; 2].to_vec(), [2_147_483_648; 2].to_vec()]);
        }
    }

    #[test]
    fn what_is_beyond_steps_is_left_to_polars() {
        let frame = Frame::new(2, [("n", vec![4, NULL])]).unwrap();
        for text in ["FLOOR(n)", "n IN (3, 4)", "n / 2", "'a'", "CAST(n AS DOUBLE) / NULLIF(CAST(4 AS DOUBLE), 0.0E0)"]
        {
            let program = Program::integers([text]).unwrap();
            assert!(program.compiled(&frame).is_none(), "{text}");
        }
        let listed = Program::conditions(["n IN (3, 4)"]).unwrap();
        assert_eq!(listed.run(&frame).unwrap()[0].conditions().unwrap(), [1, 0]);
    }
}
