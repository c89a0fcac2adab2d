//! From SQL to steps.

use std::collections::BTreeMap;

use sqlparser::ast::{self, BinaryOperator as Op, CastKind, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::ast::{UnaryOperator, Value as Literal};

pub(in crate::engine) use super::step::Kind;
use super::step::{At, Condition, Double, Relation, Step, Whole};
use crate::NULL;

/// What an expression is wanted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Wanted {
    /// Whole numbers; a condition is 1 or 0.
    Wholes,
    /// Doubles; whole numbers become some.
    Doubles,
    /// Conditions.
    Conditions,
}

/// The steps of some expressions.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Steps {
    /// The columns that are read, with what they hold.
    pub columns: Vec<(String, Kind)>,
    pub(super) steps: Vec<Step>,
    /// Whether nothing reads a step but choices, as what they may take: a row of it that none takes is read by nobody.
    pub(super) only_chosen: Vec<bool>,
    /// The step that each expression comes to, and as what it is wanted.
    pub(super) results: Vec<(At, Wanted)>,
}

/// What part of an expression comes to.
#[derive(Debug, Clone, Copy)]
enum Part {
    Null,
    Whole(At),
    Double(At),
    Condition(At),
}

/// Makes steps of expressions over columns that it is told of.
pub(in crate::engine) struct Compiler<'a> {
    kind: &'a dyn Fn(&str) -> Option<Kind>,
    made: Steps,
    /// Steps that stand already.
    known: BTreeMap<Step, At>,
    /// Whether each step comes to something else for other rows.
    varies: Vec<bool>,
}

impl<'a> Compiler<'a> {
    /// Nothing is compiled yet; `kind` says what a column holds.
    pub(in crate::engine) fn new(kind: &'a dyn Fn(&str) -> Option<Kind>) -> Self {
        let made = Steps { columns: Vec::new(), steps: Vec::new(), only_chosen: Vec::new(), results: Vec::new() };
        Self { kind, made, known: BTreeMap::new(), varies: Vec::new() }
    }

    /// Adds an expression; nothing when it is beyond what is computed here.
    pub(in crate::engine) fn add(&mut self, e: &ast::Expr, wanted: Wanted) -> Option<()> {
        let part = self.part(e)?;
        let at = match (wanted, part) {
            (Wanted::Conditions, Part::Condition(at)) => at,
            (Wanted::Wholes, Part::Condition(at)) => self.whole_step(Whole::Of(at)),
            (Wanted::Wholes, part) => self.whole(part)?,
            (Wanted::Doubles, part) => self.double(part)?,
            (Wanted::Conditions, _) => return None,
        };
        self.made.results.push((at, wanted));
        Some(())
    }

    /// The steps of all expressions that were added.
    pub(in crate::engine) fn finish(mut self) -> Steps {
        let mut only_chosen = vec![true; self.made.steps.len()];
        for step in &self.made.steps {
            let [first, second, third] = step.operands();
            let read = if step.is_choice() { [first, None, None] } else { [first, second, third] };
            read.into_iter().flatten().for_each(|at| only_chosen[at] = false);
        }
        self.made.results.iter().for_each(|(at, _)| only_chosen[*at] = false);
        self.made.only_chosen = only_chosen;
        self.made
    }

    fn step(&mut self, step: Step) -> At {
        if let Some(at) = self.known.get(&step) {
            return *at;
        }
        let at = self.made.steps.len();
        let varies = step.reads_column() || step.operands().iter().flatten().any(|at| self.varies[*at]);
        self.varies.push(varies);
        self.made.steps.push(step);
        self.known.insert(step, at);
        at
    }

    fn whole_step(&mut self, step: Whole) -> At {
        self.step(Step::Whole(step))
    }

    fn double_step(&mut self, step: Double) -> At {
        self.step(Step::Double(step))
    }

    fn condition_step(&mut self, step: Condition) -> Part {
        Part::Condition(self.step(Step::Condition(step)))
    }

    fn whole(&mut self, part: Part) -> Option<At> {
        match part {
            Part::Whole(at) => Some(at),
            Part::Null => Some(self.whole_step(Whole::Constant(NULL))),
            Part::Double(_) | Part::Condition(_) => None,
        }
    }

    fn double(&mut self, part: Part) -> Option<At> {
        match part {
            Part::Double(at) => Some(at),
            Part::Whole(at) => Some(self.double_step(Double::Of(at))),
            Part::Null => Some(self.double_step(Double::Constant(f64::NAN.to_bits()))),
            Part::Condition(_) => None,
        }
    }

    fn condition(&mut self, e: &ast::Expr) -> Option<At> {
        match self.part(e)? {
            Part::Condition(at) => Some(at),
            _ => None,
        }
    }

    fn part(&mut self, e: &ast::Expr) -> Option<Part> {
        match e {
            ast::Expr::Identifier(name) => self.column(&name.value),
            ast::Expr::Nested(inner) => self.part(inner),
            ast::Expr::Value(value) => match &value.value {
                Literal::Null => Some(Part::Null),
                Literal::Number(digits, _) => self.number(digits),
                _ => None,
            },
            ast::Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let inner = self.condition(expr)?;
                Some(self.condition_step(Condition::Not(inner)))
            }
            ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.negative(expr),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            ast::Expr::IsNull(inner) => self.is_null(inner),
            ast::Expr::IsNotNull(inner) => {
                let Part::Condition(at) = self.is_null(inner)? else { return None };
                Some(self.condition_step(Condition::Not(at)))
            }
            ast::Expr::Case { operand: None, conditions, else_result, .. } => {
                let mut whole = match else_result {
                    Some(e) => self.part(e)?,
                    None => Part::Null,
                };
                for branch in conditions.iter().rev() {
                    let condition = self.condition(&branch.condition)?;
                    let result = self.part(&branch.result)?;
                    whole = self.choice(condition, result, whole)?;
                }
                Some(whole)
            }
            ast::Expr::Cast { kind: CastKind::Cast, expr, data_type, format: None, .. } => {
                if data_type.to_string().to_uppercase() != "DOUBLE" {
                    return None;
                }
                let value = self.part(expr)?;
                Some(Part::Double(self.double(value)?))
            }
            ast::Expr::Function(function) => self.call(function),
            _ => None,
        }
    }

    fn column(&mut self, name: &str) -> Option<Part> {
        let kind = (self.kind)(name)?;
        let found = self.made.columns.iter().position(|(other, _)| other == name);
        let at = found.unwrap_or_else(|| {
            self.made.columns.push((name.to_owned(), kind));
            self.made.columns.len() - 1
        });
        Some(match kind {
            Kind::Whole => Part::Whole(self.whole_step(Whole::Column(at))),
            Kind::Double => Part::Double(self.double_step(Double::Column(at))),
        })
    }

    fn number(&mut self, digits: &str) -> Option<Part> {
        if let Ok(whole) = digits.parse::<i64>() {
            return (whole != NULL).then(|| Part::Whole(self.whole_step(Whole::Constant(whole))));
        }
        let double: f64 = digits.parse().ok()?;
        let is_double = digits.contains(['.', 'e', 'E']) && double.is_finite();
        is_double.then(|| Part::Double(self.double_step(Double::Constant(double.to_bits()))))
    }

    fn negative(&mut self, e: &ast::Expr) -> Option<Part> {
        if let ast::Expr::Value(value) = e
            && let Literal::Number(digits, _) = &value.value
        {
            return self.number(&format!("-{digits}"));
        }
        let value = self.part(e)?;
        let Part::Whole(value) = value else { return None };
        if let Some(number) = self.constant(value) {
            return self.folded_whole(0, &Op::Minus, number);
        }
        let zero = self.whole_step(Whole::Constant(0));
        Some(Part::Whole(self.whole_step(Whole::Difference(zero, value))))
    }

    fn binary(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Option<Part> {
        let relation = match op {
            Op::Eq => Relation::Equal,
            Op::NotEq => Relation::Unequal,
            Op::Lt => Relation::Below,
            Op::LtEq => Relation::AtMost,
            Op::Gt => Relation::Above,
            Op::GtEq => Relation::AtLeast,
            Op::And => {
                let (a, b) = (self.condition(left)?, self.condition(right)?);
                return Some(self.condition_step(Condition::Both(a, b)));
            }
            Op::Or => {
                let (a, b) = (self.condition(left)?, self.condition(right)?);
                return Some(self.condition_step(Condition::Either(a, b)));
            }
            _ => return self.arithmetic(left, op, right),
        };
        let (a, b) = (self.part(left)?, self.part(right)?);
        self.compared(relation, a, b)
    }

    fn compared(&mut self, relation: Relation, a: Part, b: Part) -> Option<Part> {
        if let (Part::Whole(a), Part::Whole(b)) = (a, b) {
            let step = match self.constant(b) {
                Some(number) => Condition::Against(relation, a, number),
                None => Condition::Wholes(relation, a, b),
            };
            return Some(self.condition_step(step));
        }
        if matches!(a, Part::Null) || matches!(b, Part::Null) {
            return None;
        }
        let (a, b) = (self.double(a)?, self.double(b)?);
        Some(self.condition_step(Condition::Doubles(relation, a, b)))
    }

    /// The number that a step is, if it is one that is written out.
    fn constant(&self, at: At) -> Option<i64> {
        match self.made.steps.get(at) {
            Some(Step::Whole(Whole::Constant(number))) => Some(*number).filter(|number| *number != NULL),
            _ => None,
        }
    }

    fn arithmetic(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Option<Part> {
        let (a, b) = (self.part(left)?, self.part(right)?);
        if let (Part::Whole(a), Part::Whole(b)) = (a, b) {
            if let (Some(a), Some(b)) = (self.constant(a), self.constant(b)) {
                return self.folded_whole(a, op, b);
            }
            let step = match op {
                Op::Plus => Whole::Sum(a, b),
                Op::Minus => Whole::Difference(a, b),
                Op::Multiply => Whole::Product(a, b),
                Op::Modulo => Whole::Rest(a, self.constant(b).filter(|by| *by > 0)?),
                _ => return None,
            };
            return Some(Part::Whole(self.whole_step(step)));
        }
        if matches!(a, Part::Null) || matches!(b, Part::Null) {
            return None;
        }
        let (a, b) = (self.double(a)?, self.double(b)?);
        let step = match op {
            Op::Plus => Double::Sum(a, b),
            Op::Minus => Double::Difference(a, b),
            Op::Multiply => Double::Product(a, b),
            // Polars multiplies by the reciprocal of what is the same for all rows.
            Op::Divide if self.varies[b] => Double::Quotient(a, b),
            _ => return None,
        };
        Some(Part::Double(self.double_step(step)))
    }

    /// What two numbers that are written out come to; polars computes what 64 bits do not hold.
    fn folded_whole(&mut self, a: i64, op: &Op, b: i64) -> Option<Part> {
        let number = match op {
            Op::Plus => a.checked_add(b),
            Op::Minus => a.checked_sub(b),
            Op::Multiply => a.checked_mul(b),
            Op::Modulo if b > 0 => a.checked_rem_euclid(b),
            _ => None,
        };
        let number = number.filter(|number| *number != NULL)?;
        Some(Part::Whole(self.whole_step(Whole::Constant(number))))
    }

    fn is_null(&mut self, e: &ast::Expr) -> Option<Part> {
        let step = match self.part(e)? {
            Part::Null => return None,
            Part::Whole(at) => Condition::NullWhole(at),
            Part::Double(at) => Condition::NullDouble(at),
            Part::Condition(at) => Condition::NullTruth(at),
        };
        Some(self.condition_step(step))
    }

    fn choice(&mut self, condition: At, yes: Part, no: Part) -> Option<Part> {
        match (yes, no) {
            (Part::Null, Part::Null) => Some(Part::Null),
            (Part::Condition(yes), Part::Condition(no)) => {
                Some(self.condition_step(Condition::Choice(condition, yes, no)))
            }
            (Part::Whole(_) | Part::Null, Part::Whole(_) | Part::Null) => {
                let (yes, no) = (self.whole(yes)?, self.whole(no)?);
                Some(Part::Whole(self.whole_step(Whole::Choice(condition, yes, no))))
            }
            _ => {
                let (yes, no) = (self.double(yes)?, self.double(no)?);
                Some(Part::Double(self.double_step(Double::Choice(condition, yes, no))))
            }
        }
    }

    fn call(&mut self, function: &ast::Function) -> Option<Part> {
        let FunctionArguments::List(list) = &function.args else { return None };
        if function.filter.is_some() || function.over.is_some() || !list.clauses.is_empty() {
            return None;
        }
        let mut parts = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = argument else { return None };
            parts.push(self.part(e)?);
        }
        let name = function.name.to_string().to_uppercase();
        match (name.as_str(), parts.as_slice()) {
            ("ABS", [Part::Whole(at)]) => Some(Part::Whole(self.whole_step(Whole::Size(*at)))),
            ("ABS", [Part::Double(at)]) => Some(Part::Double(self.double_step(Double::Size(*at)))),
            ("NULLIF", [a @ (Part::Whole(_) | Part::Double(_)), b]) => {
                let Part::Condition(same) = self.compared(Relation::Equal, *a, *b)? else { return None };
                self.choice(same, Part::Null, *a)
            }
            ("COALESCE", [_, _, ..]) => self.folded(&parts, Whole::Known, Double::Known),
            ("LEAST", [_, _, ..]) => self.folded(&parts, Whole::Least, Double::Least),
            ("GREATEST", [_, _, ..]) => self.folded(&parts, Whole::Greatest, Double::Greatest),
            _ => None,
        }
    }

    /// Several numbers made one, two at a time.
    fn folded(&mut self, parts: &[Part], wholes: fn(At, At) -> Whole, doubles: fn(At, At) -> Double) -> Option<Part> {
        if parts.iter().all(|part| matches!(part, Part::Whole(_) | Part::Null)) {
            let all = parts.iter().map(|part| self.whole(*part)).collect::<Option<Vec<At>>>()?;
            let (first, rest) = all.split_first()?;
            let folded = rest.iter().fold(*first, |so_far, at| self.whole_step(wholes(so_far, *at)));
            return Some(Part::Whole(folded));
        }
        let all = parts.iter().map(|part| self.double(*part)).collect::<Option<Vec<At>>>()?;
        let (first, rest) = all.split_first()?;
        let folded = rest.iter().fold(*first, |so_far, at| self.double_step(doubles(so_far, *at)));
        Some(Part::Double(folded))
    }
}
