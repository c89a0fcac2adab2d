//! CASE and the few functions that all engines evaluate alike.

use sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::checked::Expression;
use super::checker::{Checked, Checker};
use super::kinds::Type;
use super::reference::{Place, Reference};
use super::scope::did_you_mean;

impl Checker<'_> {
    pub(super) fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Checked {
        if operand.is_some() {
            return Err("write CASE WHEN condition THEN …; CASE with an operand is outside the portable subset".into());
        }
        let mut kind = Type::Null;
        let mut parts = Vec::new();
        for branch in conditions {
            parts.push(self.boolean(&branch.condition)?);
            parts.push(self.check(&branch.result)?);
        }
        if let Some(e) = otherwise {
            parts.push(self.check(e)?);
        }
        for result in parts.iter().skip(1).step_by(2).chain(otherwise.and(parts.last())) {
            match (&kind, &result.kind) {
                (_, Type::Null) => {}
                (Type::Null, k) => kind = k.clone(),
                (a, b) if a == b => {}
                _ => return Err("the branches of a CASE must all be numbers, or all conditions".into()),
            }
        }
        if !matches!(kind, Type::Number | Type::Boolean) {
            return Err("the branches of a CASE must be numbers or conditions".into());
        }
        // A condition that is null chooses the next branch; only results can make the whole null.
        let results = || parts.iter().skip(1).step_by(2).chain(otherwise.and(parts.last()));
        let nullable = otherwise.is_none() || results().any(|r| r.nullable);
        let bound = results().map(|r| r.bound).max().unwrap_or(0);
        let borrowed: Vec<&Expression> = parts.iter().collect();
        let whole = Expression::assemble(kind, &borrowed, |p| {
            let mut text = String::from("CASE");
            for pair in p.chunks(2) {
                text += &match pair {
                    [condition, result] => format!(" WHEN {condition} THEN {result}"),
                    other => format!(" ELSE {}", other.concat()),
                };
            }
            text + " END"
        });
        Ok(Expression { nullable, bound, ..whole })
    }

    pub(super) fn function(&self, function: &ast::Function) -> Checked {
        let name = function.name.to_string().to_uppercase();
        let FunctionArguments::List(list) = &function.args else {
            return Err(format!("`{function}` is outside the portable subset of SQL"));
        };
        let plain = function.filter.is_none() && function.over.is_none() && list.clauses.is_empty();
        if !plain || list.duplicate_treatment.is_some() {
            return Err(format!("`{function}` is outside the portable subset of SQL"));
        }
        let count = list.args.len();
        let fits = match name.as_str() {
            "ABS" => count == 1,
            "NULLIF" => count == 2,
            "COALESCE" | "GREATEST" | "LEAST" => count >= 2,
            _ => {
                let known: Vec<&str> = Reference::get()?.names(Place::Feature).collect();
                return Err(format!(
                    "the function `{name}` is outside the portable subset of SQL{}; there are {}",
                    did_you_mean(&name, known.iter().copied()),
                    known.join(", ")
                ));
            }
        };
        if !fits {
            return Err(format!("`{function}`: wrong number of arguments"));
        }
        let mut parts = Vec::with_capacity(count);
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => parts.push(self.number(e)?),
                other => return Err(format!("`{other}` is no argument of {name}")),
            }
        }
        let borrowed: Vec<&Expression> = parts.iter().collect();
        let call = Expression::assemble(Type::Number, &borrowed, |p| format!("{name}({})", p.join(", ")));
        Ok(match name.as_str() {
            "COALESCE" => Expression { nullable: parts.iter().all(|p| p.nullable), ..call },
            "NULLIF" => Expression { nullable: true, ..call },
            // SQL leaves nulls out; here what is not known stays unknown.
            "GREATEST" | "LEAST" if call.nullable => {
                let mut unknown: Vec<&Expression> = parts.iter().filter(|p| p.nullable).collect();
                unknown.push(&call);
                Expression::assemble(Type::Number, &unknown, |p| {
                    let (call, tested) = p.split_last().unwrap_or((&"NULL", &[]));
                    let tests: Vec<String> = tested.iter().map(|t| format!("{t} IS NULL")).collect();
                    format!("CASE WHEN {} THEN NULL ELSE {call} END", tests.join(" OR "))
                })
            }
            _ => call,
        })
    }
}
