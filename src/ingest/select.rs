//! An input's `select`: row-wise SQL over one batch at a time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use polars::prelude::IntoLazy;
use polars::sql::SQLContext;
use sqlparser::ast::{
    self, Expr, GroupByExpr, Query, SetExpr, SetOperator, SetQuantifier, Statement, TableFactor, visit_expressions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use std::sync::Arc;

use crate::engine::bridge::{from_frame, takes, to_frame};

/// The name of the column that carries a row's number through the SQL.
pub const ROW_COLUMN: &str = "export_row";

/// The functions of one row that may be used; any other could look at several.
const FUNCTIONS: [&str; 49] = [
    "ABS",
    "CEIL",
    "CEILING",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "DATE",
    "DATE_PART",
    "DIV",
    "ENDS_WITH",
    "EXP",
    "FLOOR",
    "GREATEST",
    "IF",
    "IFNULL",
    "INITCAP",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LN",
    "LOG",
    "LOG10",
    "LOG2",
    "LOWER",
    "LTRIM",
    "MOD",
    "NULLIF",
    "OCTET_LENGTH",
    "PI",
    "POW",
    "POWER",
    "REGEXP_LIKE",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "ROUND",
    "RTRIM",
    "SIGN",
    "SPLIT_PART",
    "SQRT",
    "STARTS_WITH",
    "STRFTIME",
    "STRPOS",
    "STRPTIME",
    "SUBSTR",
    "SUBSTRING",
    "TIMESTAMP",
    "TRIM",
    "UPPER",
];

/// A checked `select`.
#[derive(Debug, Clone)]
pub struct Select {
    sql: String,
    /// The columns it names, in lower case; nothing when it reads all.
    columns: Option<BTreeSet<String>>,
}

impl Select {
    /// The SQL that is run.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.sql
    }

    /// Checks that the SQL treats each row by itself, and adds the row's number to what it yields.
    ///
    /// # Errors
    /// When it is no such SQL; the message says what is not allowed.
    pub fn parse(sql: &str) -> Result<Self> {
        let statements = Parser::parse_sql(&GenericDialect {}, sql).context("not valid SQL")?;
        let [Statement::Query(query)] = statements.as_slice() else { bail!("write one SELECT … FROM export") };
        let mut query = query.clone();
        let mut all = false;
        plain(&mut query, &mut all)?;
        row_wise(&query)?;
        let mut columns = BTreeSet::new();
        let _ = visit_expressions(&query, |e| {
            if let Expr::Identifier(name) = e {
                columns.insert(name.value.to_lowercase());
            } else if let Expr::CompoundIdentifier(names) = e {
                columns.extend(names.last().map(|n| n.value.to_lowercase()));
            }
            ControlFlow::<()>::Continue(())
        });
        Ok(Self { sql: query.to_string(), columns: (!all).then_some(columns) })
    }

    /// Whether the SQL reads a column of the export: it names it, or it reads all that SQL can.
    #[must_use]
    pub fn reads(&self, field: &Field) -> bool {
        self.columns.as_ref().map_or_else(|| takes(field.data_type()), |c| c.contains(&field.name().to_lowercase()))
    }

    /// The columns the SQL yields over an export of that schema.
    ///
    /// # Errors
    /// When the SQL does not fit the export.
    pub fn yields(&self, schema: &Schema) -> Result<SchemaRef> {
        let read: Vec<FieldRef> = schema.fields().iter().filter(|f| self.reads(f)).cloned().collect();
        let empty = RecordBatch::new_empty(Arc::new(Schema::new(read)));
        let (batch, _) = super::shield(|| self.run(&empty, 0)).context("the input's `select` fails")?;
        let yielded: Vec<FieldRef> =
            batch.schema().fields().iter().filter(|f| f.name() != ROW_COLUMN).cloned().collect();
        Ok(Arc::new(Schema::new(yielded)))
    }

    /// The batch the SQL yields, and the row of the export that each of its rows comes from.
    ///
    /// # Errors
    /// When the SQL fails on these rows.
    pub fn run(&self, batch: &RecordBatch, first_row: i64) -> Result<(RecordBatch, Vec<i64>)> {
        let rows = i64::try_from(batch.num_rows())?;
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first_row..first_row + rows));
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false)));
        let mut arrays = batch.columns().to_vec();
        arrays.push(numbers);
        let numbered = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        let mut context = SQLContext::new();
        context.register("export", to_frame(&numbered)?.lazy());
        let yielded = context.execute(&self.sql)?.collect()?;
        let batch = from_frame(yielded)?;
        let numbers = batch.column_by_name(ROW_COLUMN).context("the row numbers were lost")?;
        let numbers = numbers.as_any().downcast_ref::<Int64Array>().context("the row numbers changed type")?;
        let numbers = numbers.values().to_vec();
        Ok((batch, numbers))
    }
}

/// Checks that a query has nothing that orders or limits rows, nor has any query within it.
fn plain(query: &mut Query, all: &mut bool) -> Result<()> {
    if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        bail!("WITH, ORDER BY and LIMIT do not work on one batch at a time; write SELECT … FROM export [WHERE …]");
    }
    branch(&mut query.body, all)
}

/// Checks one branch of a UNION ALL and adds the row number to its columns. `all` tells of a wildcard.
fn branch(body: &mut SetExpr, all: &mut bool) -> Result<()> {
    match body {
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
            branch(left, all)?;
            branch(right, all)
        }
        SetExpr::Query(query) => plain(query, all),
        SetExpr::Select(select) => {
            let plain = matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
            let whole = select.having.is_some() || select.distinct.is_some() || select.qualify.is_some();
            if !plain || whole || select.top.is_some() {
                bail!("GROUP BY, HAVING, DISTINCT and TOP do not work on one batch at a time");
            }
            let [from] = select.from.as_slice() else { bail!("write FROM export") };
            let named_export = matches!(&from.relation, TableFactor::Table { name, .. } if name.to_string().eq_ignore_ascii_case("export"));
            if !named_export || !from.joins.is_empty() {
                bail!("only the table `export` can be read, without joins");
            }
            let wild = |p: &ast::SelectItem| {
                matches!(p, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..))
            };
            if select.projection.iter().any(wild) {
                *all = true;
            } else {
                select.projection.push(ast::SelectItem::UnnamedExpr(Expr::Identifier(ast::Ident::new(ROW_COLUMN))));
            }
            Ok(())
        }
        other => Err(anyhow!("`{other}`: write SELECT … FROM export, or several joined by UNION ALL")),
    }
}

/// Refuses whatever looks at more than one row.
fn row_wise(query: &Query) -> Result<()> {
    let verdict = visit_expressions(query, |e| match e {
        Expr::Function(f) => {
            let name = f.name.to_string().to_uppercase();
            if f.over.is_some() || f.filter.is_some() || !FUNCTIONS.contains(&name.as_str()) {
                ControlFlow::Break(format!("`{f}` is none of the functions of one row ({})", FUNCTIONS.join(", ")))
            } else {
                ControlFlow::Continue(())
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    #[test]
    fn rows_keep_their_number_through_filters_and_unions() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int64Array::from(vec![1, 2, 3])), Arc::new(Int64Array::from(vec![10, 20, 30]))],
        )
        .unwrap();
        let select =
            Select::parse("SELECT a AS x FROM export WHERE a > 1 UNION ALL SELECT b AS x FROM export").unwrap();
        let (yielded, rows) = select.run(&batch, 100).unwrap();
        assert_eq!(yielded.column_by_name("x").unwrap().as_primitive::<Int64Type>().values(), &[2, 3, 10, 20, 30]);
        assert_eq!(rows, [101, 102, 100, 101, 102]);
    }

    #[test]
    fn only_the_columns_that_are_named_are_read() {
        let select = Select::parse("SELECT a AS x, export.B FROM export WHERE c > 1").unwrap();
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        assert!(["A", "b", "c"].iter().all(|name| select.reads(&field(name))) && !select.reads(&field("d")));
        let all = Select::parse("SELECT export.* FROM export").unwrap();
        assert!(all.reads(&field("d")) && !all.reads(&Field::new("e", DataType::Decimal256(50, 2), true)));
    }

    #[test]
    fn what_looks_at_several_rows_is_refused() {
        for sql in [
            "SELECT SUM(a) FROM export",
            "SELECT a FROM export GROUP BY a",
            "SELECT DISTINCT a FROM export",
            "SELECT a FROM export ORDER BY a",
            "SELECT a FROM export, other",
            "SELECT a FROM (SELECT a FROM export)",
            "SELECT ROW_NUMBER() OVER (ORDER BY a) FROM export",
            "DELETE FROM export",
            "SELECT a FROM export UNION SELECT b FROM export",
            "(SELECT a FROM export LIMIT 3)",
            "SELECT a FROM export UNION ALL (SELECT a FROM export ORDER BY a LIMIT 1)",
            "SELECT STDDEV_SAMP(a) FROM export",
            "SELECT TOP 3 a FROM export",
        ] {
            assert!(Select::parse(sql).is_err(), "{sql}");
        }
    }
}
