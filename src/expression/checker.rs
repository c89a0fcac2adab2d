//! Checking an expression: every name exists, every literal can be, and nothing is outside the portable subset.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::checked::Expression;
use super::decimal::decimal;
use super::kinds::{Numbers, Type};
use super::parse::parsed;
use super::scope::{ColumnKind, Scope, did_you_mean};

pub(super) type Checked = Result<Expression, String>;

impl Expression {
    /// Parses and checks an expression against the names in `scope`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to write instead.
    pub fn parse(text: &str, scope: &Scope, numbers: Numbers) -> Checked {
        let tree = parsed(text)?;
        Checker { scope, numbers }.check(&tree)
    }

    /// As [`Expression::parse`], for a condition.
    ///
    /// # Errors
    /// Also when the expression is no condition.
    pub fn predicate(text: &str, scope: &Scope, numbers: Numbers) -> Checked {
        let expression = Self::parse(text, scope, numbers)?;
        match expression.kind {
            Type::Boolean => Ok(expression),
            _ => Err(format!("`{text}` is no condition; write a comparison")),
        }
    }

    /// As [`Expression::parse`], for a number.
    ///
    /// # Errors
    /// Also when the expression is no number.
    pub fn number(text: &str, scope: &Scope, numbers: Numbers) -> Checked {
        let expression = Self::parse(text, scope, numbers)?;
        match expression.kind {
            Type::Number => Ok(expression),
            _ => Err(format!("`{text}` is no number; write CASE WHEN … THEN 1 ELSE 0 END for a condition")),
        }
    }
}

pub(super) struct Checker<'a> {
    scope: &'a Scope,
    numbers: Numbers,
}

impl Checker<'_> {
    pub(super) fn check(&self, e: &Expr) -> Checked {
        match e {
            Expr::Identifier(ident) => self.name(&ident.value),
            Expr::Nested(inner) => self.check(inner),
            Expr::Value(value) => self.value(&value.value),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let inner = self.boolean(expr)?;
                Ok(Expression::assemble(Type::Boolean, &[&inner], |p| format!("(NOT {})", p[0])))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let inner = self.number(expr)?;
                Ok(Expression::assemble(Type::Number, &[&inner], |p| format!("(- {})", p[0])))
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(inner) => self.null_test(inner, "IS NULL"),
            Expr::IsNotNull(inner) => self.null_test(inner, "IS NOT NULL"),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.number(expr)?, self.number(low)?, self.number(high)?);
                let not = if *negated { "NOT " } else { "" };
                Ok(Expression::assemble(Type::Boolean, &[&value, &low, &high], |p| {
                    format!("({not}({} >= {} AND {} <= {}))", p[0], p[1], p[0], p[2])
                }))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Function(function) => self.function(function),
            other => Err(format!("`{other}` is outside the portable subset of SQL")),
        }
    }

    fn name(&self, name: &str) -> Checked {
        if let Some(value) = self.scope.value(name) {
            let bound = i128::from(value).abs();
            return Ok(Expression { bound, ..Expression::literal(&value.to_string(), Type::Number) });
        }
        let Some(kind) = self.scope.kind(name) else {
            let hint = did_you_mean(name, self.scope.names());
            return Err(format!("`{name}` is no column of {}{hint}", self.scope.place));
        };
        let mut expression = Expression::literal(name, Type::Number);
        (expression.nullable, expression.bound) = self.scope.range(name);
        expression.columns.insert(name.to_owned());
        match kind {
            ColumnKind::Number => {}
            ColumnKind::Id | ColumnKind::Code => expression.kind = Type::Id,
            ColumnKind::Choice(values) => expression.kind = Type::Choice(values.clone()),
            ColumnKind::Flag => {
                expression.kind = Type::Boolean;
                expression.local = format!("({name} = 1)");
            }
        }
        Ok(expression)
    }

    fn value(&self, value: &Value) -> Checked {
        match value {
            Value::Number(text, _) => {
                if let Ok(number) = text.parse::<i64>() {
                    let bound = i128::from(number).abs();
                    return Ok(Expression { bound, ..Expression::literal(text, Type::Number) });
                }
                let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
                match self.numbers {
                    Numbers::Integer => {
                        Err(format!("`{text}`: row expressions are exact integers; scale the value instead"))
                    }
                    Numbers::Decimal => Ok(Expression::literal(&decimal(number), Type::Number)),
                }
            }
            Value::Boolean(b) => {
                let mut literal = Expression::literal(&b.to_string().to_uppercase(), Type::Boolean);
                literal.local = if *b { "(1 = 1)" } else { "(1 = 0)" }.to_owned();
                Ok(literal)
            }
            Value::Null => Ok(Expression { nullable: true, ..Expression::literal("NULL", Type::Null) }),
            other => Err(format!("`{other}` can only be compared with a column of words")),
        }
    }

    pub(super) fn number(&self, e: &Expr) -> Checked {
        let checked = self.check(e)?;
        match checked.kind {
            Type::Number | Type::Null => Ok(checked),
            _ => Err(format!("`{e}` is no number")),
        }
    }

    pub(super) fn boolean(&self, e: &Expr) -> Checked {
        let checked = self.check(e)?;
        match checked.kind {
            Type::Boolean | Type::Null => Ok(checked),
            _ => Err(format!("`{e}` is no condition")),
        }
    }

    fn null_test(&self, e: &Expr, test: &str) -> Checked {
        // A flag's local spelling is a comparison, which is null exactly where the flag is.
        let inner = self.check(e)?;
        let tested = Expression::assemble(Type::Boolean, &[&inner], |p| format!("({} {test})", p[0]));
        Ok(Expression { nullable: false, ..tested })
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Checked {
        use BinaryOperator as Op;
        let text = op.to_string();
        match op {
            Op::And | Op::Or => {
                let (l, r) = (self.boolean(left)?, self.boolean(right)?);
                Ok(Expression::assemble(Type::Boolean, &[&l, &r], |p| format!("({} {text} {})", p[0], p[1])))
            }
            Op::Plus | Op::Minus | Op::Multiply => {
                let (l, r) = (self.number(left)?, self.number(right)?);
                let bound =
                    if matches!(op, Op::Multiply) { l.bound.saturating_mul(r.bound) } else { l.bound + r.bound };
                if self.numbers == Numbers::Integer && bound > i128::from(i64::MAX / 2) {
                    return Err(format!("`{left} {op} {right}` can reach {bound}, more than integers of 64 bits hold"));
                }
                let whole = Expression::assemble(Type::Number, &[&l, &r], |p| format!("({} {text} {})", p[0], p[1]));
                Ok(Expression { bound: bound.min(i128::from(i64::MAX)), ..whole })
            }
            Op::Modulo => self.rest(left, right),
            Op::Divide => Err(format!(
                "`{left} / {right}`: engines divide integers differently; use the aggregate `ratio`, or multiply the other side"
            )),
            Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                let (l, r) = (self.number(left)?, self.number(right)?);
                Ok(Expression::assemble(Type::Boolean, &[&l, &r], |p| format!("({} {text} {})", p[0], p[1])))
            }
            Op::Eq | Op::NotEq => self.equality(left, &text, right),
            _ => Err(format!("the operator `{text}` is outside the portable subset of SQL")),
        }
    }

    /// What is left after a division by a whole number that is written out; it has the sign of what was divided.
    fn rest(&self, left: &Expr, right: &Expr) -> Checked {
        let (l, r) = (self.number(left)?, self.number(right)?);
        let Some(by) = r.portable.parse::<i64>().ok().filter(|by| *by > 0) else {
            return Err(format!("`{left} % {right}`: write a positive whole number behind %"));
        };
        if self.numbers == Numbers::Decimal {
            return Err(format!("`{left} % {right}`: finished features are decimals, which have no rest"));
        }
        let whole = Expression::assemble(Type::Number, &[&l], |p| format!("({} % {by})", p[0]));
        // The local engine's rest of a negative number is positive.
        let local = format!("(CASE WHEN {0} < 0 THEN (- ((- {0}) % {by})) ELSE ({0} % {by}) END)", l.local);
        Ok(Expression { local, bound: i128::from(by) - 1, ..whole })
    }

    fn equality(&self, left: &Expr, op: &str, right: &Expr) -> Checked {
        if let Some(word) = word(right) {
            return self.word_test(left, op, word);
        }
        let (l, r) = (self.check(left)?, self.check(right)?);
        let comparable = match (&l.kind, &r.kind) {
            (Type::Null, _) | (_, Type::Null) => {
                return Err(format!("`{left} {op} {right}` is never true; write IS NULL"));
            }
            // A code that is an integer in the export stands for itself.
            (Type::Id, Type::Number) => self.scope.code_key.is_some() && self.is_code(left),
            (a, b) => a == b,
        };
        if !comparable {
            return Err(format!("`{left}` and `{right}` cannot be compared"));
        }
        Ok(Expression::assemble(Type::Boolean, &[&l, &r], |p| format!("({} {op} {})", p[0], p[1])))
    }

    fn is_code(&self, e: &Expr) -> bool {
        matches!(e, Expr::Identifier(i) if self.scope.kind(&i.value) == Some(&ColumnKind::Code))
    }

    fn word_test(&self, column: &Expr, op: &str, word: &str) -> Checked {
        let mut checked = self.check(column)?;
        let code = self.is_code(column);
        if let Some(key) = self.scope.code_key.filter(|_| code) {
            checked.portable = format!("({} {op} '{}')", checked.portable, word.replace('\'', "''"));
            checked.local = format!("({} {op} {})", checked.local, key(word.as_bytes()));
            checked.kind = Type::Boolean;
            return Ok(checked);
        }
        let Type::Choice(values) = &checked.kind else {
            let why = match checked.kind {
                Type::Id if code => {
                    "codes are compared with each other only; a feature that must name one says why in `names_codes`"
                }
                Type::Id => "ids are compared for equality with other ids only",
                _ => "it holds no words",
            };
            return Err(format!("`{column} {op} '{word}'`: {why}"));
        };
        let Some(code) = values.iter().position(|v| v == word) else {
            let hint = did_you_mean(word, values.iter().map(String::as_str));
            return Err(format!("`{column}` is never '{word}'{hint}; it is one of {}", values.join(", ")));
        };
        checked.portable = format!("({} {op} '{word}')", checked.portable);
        checked.local = format!("({} {op} {code})", checked.local);
        checked.kind = Type::Boolean;
        Ok(checked)
    }

    fn in_list(&self, value: &Expr, list: &[Expr], negated: bool) -> Checked {
        let tests = list.iter().map(|item| self.equality(value, "=", item)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, rest)) = tests.split_first() else {
            return Err(format!("`{value} IN ()` names no value"));
        };
        let any = rest.iter().fold(first.clone(), |any, test| {
            Expression::assemble(Type::Boolean, &[&any, test], |p| format!("({} OR {})", p[0], p[1]))
        });
        if !negated {
            return Ok(any);
        }
        Ok(Expression::assemble(Type::Boolean, &[&any], |p| format!("(NOT {})", p[0])))
    }
}

/// The text of a string literal.
fn word(e: &Expr) -> Option<&str> {
    match e {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => word(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::new("repayments");
        scope.declare("due_day", ColumnKind::Number, true, 200_000);
        scope.column("days_past_due", ColumnKind::Number);
        scope.column("autopay", ColumnKind::Flag);
        scope.column("product", ColumnKind::Choice(vec!["instalment".into(), "revolving".into()]));
        scope.column("merchant_id", ColumnKind::Id);
        scope.constant("as_of_day", 20_000);
        scope
    }

    fn both(text: &str) -> (String, String) {
        let e = Expression::parse(text, &scope(), Numbers::Integer).unwrap();
        (e.portable, e.local)
    }

    fn error(text: &str) -> String {
        Expression::parse(text, &scope(), Numbers::Integer).unwrap_err()
    }

    #[test]
    fn words_become_codes_locally_and_stay_words_in_portable_sql() {
        assert_eq!(
            both("product = 'revolving' AND days_past_due > 0"),
            (
                "((product = 'revolving') AND (days_past_due > 0))".into(),
                "((product = 1) AND (days_past_due > 0))".into()
            )
        );
        assert_eq!(both("product NOT IN ('instalment')").1, "(NOT (product = 0))");
    }

    #[test]
    fn constants_are_written_out_and_flags_compared() {
        assert_eq!(both("as_of_day - due_day").1, "(20000 - due_day)");
        assert_eq!(both("autopay"), ("autopay".into(), "(autopay = 1)".into()));
    }

    #[test]
    fn decimals_take_e_notation_where_rules_allow_them() {
        let e = Expression::parse("days_past_due < 0.25", &scope(), Numbers::Decimal).unwrap();
        assert_eq!(e.portable, "(days_past_due < 2.5E-1)");
        assert!(error("days_past_due < 0.25").contains("exact integers"));
    }

    #[test]
    fn what_is_not_known_makes_the_least_and_the_greatest_unknown() {
        assert_eq!(
            both("LEAST(days_past_due, 120)").0,
            "CASE WHEN days_past_due IS NULL THEN NULL ELSE LEAST(days_past_due, 120) END"
        );
        assert_eq!(both("LEAST(COALESCE(days_past_due, 0), 120)").0, "LEAST(COALESCE(days_past_due, 0), 120)");
        let nullable = |text| Expression::parse(text, &scope(), Numbers::Integer).unwrap().nullable;
        assert!(nullable("CASE WHEN autopay THEN 1 END") && nullable("days_past_due > 0") && nullable("NULLIF(1, 2)"));
        assert!(!nullable("CASE WHEN days_past_due > 0 THEN 1 ELSE 0 END") && !nullable("days_past_due IS NULL"));
    }

    #[test]
    fn what_cannot_fit_into_an_integer_is_refused() {
        let bound = |text| Expression::parse(text, &scope(), Numbers::Integer).unwrap().bound;
        assert_eq!((bound("as_of_day * 3 - 5"), bound("CASE WHEN autopay THEN 7 ELSE -9 END")), (60_005, 9));
        assert!(error("days_past_due * 10").contains("64 bits"));
    }

    #[test]
    fn a_mistake_is_named_with_its_remedy() {
        assert!(error("days_past_deu > 0").contains("did you mean `days_past_due`?"));
        assert!(error("product = 'revolvin'").contains("did you mean `revolving`?"));
        assert!(error("due_day / 2").contains("ratio"));
        assert!(error("merchant_id = 'games'").contains("equality with other ids"));
        assert!(error("SUM(due_day)").contains("portable subset"));
        assert!(error("days_past_due = NULL").contains("IS NULL"));
        assert!(error("due_day due_day").contains("unexpected"));
        assert!(error("(SELECT 1)").contains("portable subset"));
    }

    #[test]
    fn case_branches_must_agree() {
        assert_eq!(
            both("CASE WHEN days_past_due >= 30 THEN 3 ELSE 0 END").0,
            "CASE WHEN (days_past_due >= 30) THEN 3 ELSE 0 END"
        );
        assert!(error("CASE WHEN autopay THEN 1 ELSE autopay END").contains("branches"));
    }
}
