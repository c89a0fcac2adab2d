//! What a `select` may hold: what one row alone decides.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use sqlparser::ast::{self, CeilFloorKind, DateTimeField, Expr, GroupByExpr, Query, TableFactor, visit_expressions};

use crate::expression::did_you_mean;
use crate::expression::reference::{Place, Reference};

/// Checks one branch: no grouping, nothing but the table `export`.
pub(super) fn plain(select: &ast::Select) -> Result<()> {
    let plain = matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
    let whole = select.having.is_some() || select.distinct.is_some() || select.qualify.is_some();
    if !plain || whole || select.top.is_some() {
        bail!("GROUP BY, HAVING, DISTINCT and TOP do not work on one batch at a time");
    }
    let [from] = select.from.as_slice() else { bail!("write FROM export") };
    let TableFactor::Table { name, alias: None, .. } = &from.relation else {
        bail!("write FROM export, without another name")
    };
    if !name.to_string().eq_ignore_ascii_case("export") || !from.joins.is_empty() {
        bail!("only the table `export` can be read, without joins");
    }
    // Whatever else the parser takes would be dropped: what is read must be all that is written.
    let items = select.projection.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let filter = select.selection.as_ref().map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let read = format!("SELECT {items} FROM {name}{filter}");
    if select.to_string() != read {
        bail!("`{select}` says more than SELECT … FROM export [WHERE …], which is all that is read");
    }
    Ok(())
}

/// Refuses whatever looks at more than one row.
pub(super) fn row_wise(query: &Query) -> Result<()> {
    let known: Vec<&str> = Reference::get().map_err(anyhow::Error::msg)?.names(Place::Select).collect();
    let verdict = visit_expressions(query, |e| match e {
        Expr::Function(f) => {
            let name = f.name.to_string().to_uppercase();
            if f.over.is_some() || f.filter.is_some() || !known.contains(&name.as_str()) {
                let hint = did_you_mean(&name, known.iter().copied());
                ControlFlow::Break(format!(
                    "`{f}` is none of the functions of one row{hint} (`sesame schema functions` lists them)"
                ))
            } else {
                ControlFlow::Continue(())
            }
        }
        Expr::Ceil { field, .. } | Expr::Floor { field, .. }
            if !matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)) =>
        {
            ControlFlow::Break(format!("`{e}`: CEIL and FLOOR take one value and give a whole number"))
        }
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ControlFlow::Break("sub-queries are not allowed".to_owned())
        }
        _ => ControlFlow::Continue(()),
    });
    match verdict {
        ControlFlow::Break(why) => bail!("{why}; a `select` treats each row by itself"),
        ControlFlow::Continue(()) => Ok(()),
    }
}
