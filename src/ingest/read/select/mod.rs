//! An input's `select`: row-wise SQL over one batch at a time.
//!
//! The SQL is parsed and checked once ([`Select`]), and laid over the columns of each file ([`Bound`]): wildcards become names,
//! columns that are only renamed are handed through as they are, the rest is computed by the engine.

mod bound;
mod rules;

use anyhow::{Context, Result, bail, ensure};
use sqlparser::ast::{self, Query, SetExpr, SetOperator, SetQuantifier, Statement};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Tokenizer;

pub use bound::Bound;
use rules::{plain, row_wise};

use crate::expression::not_too_deep;
use crate::machine::stack::with_room;

/// The most words and signs of a `select`: as many as people write, and few enough to be taken apart at once.
const MOST_TOKENS: usize = 4_000;
/// The most branches joined by UNION ALL.
const MOST_BRANCHES: usize = 64;

/// A checked `select`.
#[derive(Debug, Clone)]
pub struct Select {
    sql: String,
    branches: Vec<ast::Select>,
}

impl Select {
    /// The SQL, as it is meant.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.sql
    }

    /// How many rows one of the export can become at most.
    #[must_use]
    pub fn branches(&self) -> u64 {
        self.branches.len() as u64
    }

    /// Whether a row of the export can become several.
    #[must_use]
    pub fn multiplies(&self) -> bool {
        self.branches.len() > 1
    }

    /// Checks that the SQL treats each row by itself.
    ///
    /// # Errors
    /// When it is no such SQL; the message says what is not allowed.
    pub fn parse(sql: &str) -> Result<Self> {
        with_room(|| Self::parsed(sql))
    }

    fn parsed(sql: &str) -> Result<Self> {
        let dialect = GenericDialect {};
        let tokens = Tokenizer::new(&dialect, sql).tokenize().context("not valid SQL")?;
        ensure!(
            tokens.len() <= MOST_TOKENS,
            "it has {} words and signs; {MOST_TOKENS} are the most: join a table of values before the export instead of listing them",
            tokens.len()
        );
        not_too_deep(&tokens).map_err(anyhow::Error::msg)?;
        let mut parser = Parser::new(&dialect).with_recursion_limit(64).with_tokens(tokens);
        let statements = parser.parse_statements().context("not valid SQL")?;
        let [Statement::Query(query)] = statements.as_slice() else { bail!("write one SELECT … FROM export") };
        row_wise(query)?;
        let mut branches = Vec::new();
        of_query(query, &mut branches)?;
        ensure!(branches.len() <= MOST_BRANCHES, "it joins {} branches; {MOST_BRANCHES} are the most", branches.len());
        Ok(Self { sql: query.to_string(), branches })
    }
}

/// Adds the branches of a query that neither orders nor limits rows.
fn of_query(query: &Query, branches: &mut Vec<ast::Select>) -> Result<()> {
    if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        bail!("WITH, ORDER BY and LIMIT do not work on one batch at a time; write SELECT … FROM export [WHERE …]");
    }
    if query.to_string() != query.body.to_string() {
        bail!("`{query}` says more than SELECT … FROM export [WHERE …], which is all that is read");
    }
    of_body(&query.body, branches)
}

fn of_body(body: &SetExpr, branches: &mut Vec<ast::Select>) -> Result<()> {
    match body {
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
            of_body(left, branches)?;
            of_body(right, branches)
        }
        SetExpr::Query(query) => of_query(query, branches),
        SetExpr::Select(select) => {
            plain(select)?;
            branches.push(select.as_ref().clone());
            Ok(())
        }
        other => bail!("`{other}`: write SELECT … FROM export, or several joined by UNION ALL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{
        Array, ArrayRef, AsArray, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array,
    };
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|c| c.1).collect()).unwrap()
    }

    fn longs(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn run(sql: &str, batch: &RecordBatch) -> Result<(RecordBatch, Vec<i64>)> {
        let bound = Select::parse(sql)?.over(&batch.schema())?;
        bound.run(&batch.project(bound.reads())?, 100)
    }

    fn column(sql: &str, batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
        let (yielded, _) = run(sql, batch).unwrap();
        let column = arrow::compute::cast(yielded.column_by_name(name).unwrap(), &DataType::Int64).unwrap();
        column.as_primitive::<Int64Type>().iter().collect()
    }

    #[test]
    fn rows_keep_their_number_through_filters_and_unions() {
        let batch = batch(vec![("a", longs(&[1, 2, 3])), ("b", longs(&[10, 20, 30]))]);
        let (yielded, rows) =
            run("SELECT a AS x FROM export WHERE a > 1 UNION ALL SELECT b AS other FROM export", &batch).unwrap();
        assert_eq!(yielded.column_by_name("x").unwrap().as_primitive::<Int64Type>().values(), &[2, 3, 10, 20, 30]);
        assert_eq!(rows, [101, 102, 100, 101, 102]);
    }

    #[test]
    fn only_the_columns_that_are_named_are_read() {
        let batch = batch(["a", "b", "c", "d"].map(|n| (n, longs(&[1]))).to_vec());
        let reads = |sql: &str| Select::parse(sql).unwrap().over(&batch.schema()).unwrap().reads().to_vec();
        assert_eq!(reads("SELECT a AS x, export.b FROM export WHERE c > 1"), [0, 1, 2]);
        assert_eq!(reads("SELECT export.* FROM export"), [0, 1, 2, 3]);
        assert_eq!(reads("SELECT * EXCLUDE (a, c) FROM export"), [1, 3]);
    }

    #[test]
    fn a_column_left_out_of_a_wildcard_can_be_given_again() {
        let batch = batch(vec![("paid_on", longs(&[1])), ("paid", longs(&[2])), ("due", longs(&[3]))]);
        for sql in [
            "SELECT * EXCLUDE (paid_on), paid + 5 AS paid_on FROM export",
            "SELECT * EXCEPT (paid_on), paid + 5 AS paid_on FROM export",
            "SELECT * REPLACE (paid + 5 AS paid_on) FROM export",
            "SELECT * EXCLUDE (paid_on, paid) RENAME (due AS when_due), paid + 5 AS paid_on FROM export",
        ] {
            assert_eq!(column(sql, &batch, "paid_on"), [Some(7)], "{sql}");
        }
        let renamed = run("SELECT * RENAME (due AS when_due) FROM export", &batch).unwrap().0;
        assert_eq!(
            renamed.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
            ["paid_on", "paid", "when_due"]
        );
        assert!(run("SELECT * EXCLUDE (nothing) FROM export", &batch).unwrap_err().to_string().contains("nothing"));
        let twice = run("SELECT *, paid AS paid_on FROM export", &batch).unwrap_err();
        assert!(format!("{twice:#}").contains("`paid_on` stands twice"), "{twice:#}");
    }

    #[test]
    fn a_column_that_is_only_renamed_keeps_its_type() {
        let large = UInt64Array::from(vec![u64::MAX]);
        let batch = batch(vec![("id", Arc::new(large)), ("small", Arc::new(Int8Array::from(vec![5])))]);
        let (yielded, _) = run("SELECT id AS record_id, small FROM export", &batch).unwrap();
        assert_eq!(yielded.column(0).as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert_eq!(yielded.column(1).data_type(), &DataType::Int8);
    }

    #[test]
    fn small_integers_are_computed_with_in_64_bits() {
        let batch = batch(vec![
            ("a", Arc::new(Int32Array::from(vec![50_000_000])) as ArrayRef),
            ("s", Arc::new(Int8Array::from(vec![-128]))),
            ("t", Arc::new(StringArray::from(vec!["ab"]))),
        ]);
        let value = |sql: &str| column(&format!("SELECT {sql} AS x FROM export"), &batch, "x")[0];
        assert_eq!(value("CAST(ROUND(a * 100) AS BIGINT)"), Some(5_000_000_000));
        assert_eq!(value("a * 100"), Some(5_000_000_000));
        assert_eq!(value("-s"), Some(128));
        assert_eq!(value("ABS(s) * 2"), Some(256));
        assert_eq!(value("LENGTH(t) - 5"), Some(-3));
        assert_eq!(value("CASE WHEN s < 0 THEN s * s * s * s * s ELSE 0 END"), Some(-34_359_738_368));
        assert_eq!((value("-7 % 3"), value("-7 // 2"), value("7 % -3")), (Some(-1), Some(-3), Some(1)));
        assert_eq!((value("CAST(ROUND(2.5) AS BIGINT)"), value("CAST(ROUND(-2.5) AS BIGINT)")), (Some(3), Some(-3)));
    }

    #[test]
    fn a_cast_to_an_integer_rounds() {
        let doubles: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![0.29, 4.35, 2.5, 3.5, -2.5, -0.29]));
        let batch = batch(vec![("a", doubles), ("b", longs(&[7, 7, 7, 7, 7, 7]))]);
        let values = |sql: &str| column(&format!("SELECT {sql} AS x FROM export"), &batch, "x");
        assert_eq!(values("CAST(a * 100 AS BIGINT)"), [29, 435, 250, 350, -250, -29].map(Some));
        assert_eq!(values("CAST(a AS BIGINT)"), [0, 4, 2, 4, -2, 0].map(Some));
        assert_eq!(values("CAST(b / 2 AS INTEGER)"), [4; 6].map(Some));
    }

    #[test]
    fn a_cast_of_a_decimal_rounds_halves_away_and_of_a_text_takes_no_blanks() {
        let decimals = arrow::array::Decimal128Array::from(vec![250, -250, 149, -151]).with_precision_and_scale(10, 2);
        let text: ArrayRef = Arc::new(StringArray::from(vec![" 7", "8 ", " -9 ", "x"]));
        let batch = batch(vec![("d", Arc::new(decimals.unwrap()) as ArrayRef), ("t", text)]);
        let values = |sql: &str| column(&format!("SELECT {sql} AS x FROM export"), &batch, "x");
        assert_eq!(values("CAST(d AS BIGINT)"), [3, -3, 1, -2].map(Some));
        assert_eq!(values("TRY_CAST(t AS BIGINT)"), [Some(7), Some(8), Some(-9), None]);
    }

    #[test]
    fn quotients_of_columns_are_cut_off_towards_zero() {
        let (a, b) = ([-7, 7, -7, 7, -6, 0, 1, -1], [2, -2, -2, 2, 3, 5, 0, i64::MAX]);
        let small =
            |v: &[i64]| Arc::new(Int32Array::from_iter_values(v.iter().map(|v| i32::try_from(*v).unwrap_or(99))));
        for batch in [
            batch(vec![("a", longs(&a)), ("b", longs(&b))]),
            batch(vec![("a", small(&a) as ArrayRef), ("b", small(&b) as ArrayRef)]),
        ] {
            let values = |sql: &str| column(&format!("SELECT {sql} AS x FROM export"), &batch, "x");
            let some = |v: [i64; 6]| v.map(Some);
            assert_eq!(values("a // b"), [&some([-3, -3, 3, 3, -2, 0])[..], &[None, Some(0)]].concat());
            assert_eq!(values("a % b"), [&some([-1, 1, -1, 1, 0, 0])[..], &[None, Some(-1)]].concat());
        }
    }

    #[test]
    fn what_leaves_64_bits_is_refused_where_a_row_takes_it_and_only_there() {
        let batch = batch(vec![("a", longs(&[1, 4_000_000_000_000_000_000])), ("b", longs(&[2, 3]))]);
        let x = |sql: &str| run(&format!("SELECT {sql} AS x FROM export"), &batch).map(|_| ());
        for wrong in ["a * b", "a + a + a", "0 - a - a - a", "CASE WHEN b = 3 THEN a * b ELSE 0 END"] {
            let error = format!("{:#}", x(wrong).unwrap_err());
            assert!(error.contains("row 101") && error.contains("leaves the range"), "{wrong}: {error}");
        }
        x("CASE WHEN b = 2 THEN a * b ELSE 0 END").unwrap();
        x("a * 2").unwrap();
        run("SELECT a * b AS x FROM export WHERE b = 2", &batch).unwrap();
        assert!(run("SELECT a FROM export WHERE a * b > 0", &batch).is_err());
        let least = self::batch(vec![("a", longs(&[i64::MIN]))]);
        for wrong in ["-a", "ABS(a)", "a // -1"] {
            assert!(run(&format!("SELECT {wrong} AS x FROM export"), &least).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_branch_may_leave_a_column_null() {
        let batch = batch(vec![("a", longs(&[1, 2]))]);
        for sql in [
            "SELECT a AS x FROM export UNION ALL SELECT NULL AS x FROM export",
            "SELECT a AS x, 1 AS y FROM export UNION ALL SELECT NULL AS x, a + 1 AS y FROM export",
        ] {
            assert_eq!(column(sql, &batch, "x"), [Some(1), Some(2), None, None], "{sql}");
        }
        assert_eq!(column("SELECT NULL AS x FROM export", &batch, "x"), [None, None]);
    }

    #[test]
    fn branches_that_yield_other_columns_are_refused() {
        let batch = batch(vec![("a", longs(&[1])), ("t", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
        let error = |sql: &str| format!("{:#}", run(sql, &batch).unwrap_err());
        assert!(error("SELECT a, t FROM export UNION ALL SELECT a FROM export").contains("1 columns"));
        assert!(error("SELECT a AS x FROM export UNION ALL SELECT t AS x FROM export").contains("CAST"));
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
            "SELECT CEIL(a, 1) AS a FROM export",
            "SELECT FLOOR(a TO DAY) AS a FROM export",
            "SELECT INITCAP(a) AS a FROM export",
        ] {
            assert!(Select::parse(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_clause_that_would_not_be_read_is_refused() {
        for more in [
            "|> WHERE a < 0",
            "|> LIMIT 1",
            "PREWHERE a < 0",
            "SORT BY a",
            "CLUSTER BY a",
            "DISTRIBUTE BY a",
            "WINDOW w AS (PARTITION BY a)",
            "FOR UPDATE",
            "SETTINGS x = 1",
            "FORMAT NULL",
            "START WITH a = 1 CONNECT BY PRIOR a = b",
            "TABLESAMPLE (1 ROWS)",
            "TABLESAMPLE BERNOULLI (1)",
            "PARTITION (p0)",
            "WITH (NOLOCK)",
            "LATERAL VIEW EXPLODE(a) t AS x",
        ] {
            assert!(Select::parse(&format!("SELECT * FROM export {more}")).is_err(), "{more}");
        }
        for whole in ["SELECT * INTO t2 FROM export", "FROM export SELECT a", "SELECT * FROM export(1)"] {
            assert!(Select::parse(whole).is_err(), "{whole}");
        }
        for plain in [
            "select a, b as c from export where a > 1 or b is null",
            "SELECT * EXCLUDE (a) FROM EXPORT",
            "(SELECT a FROM export)",
        ] {
            Select::parse(plain).unwrap();
        }
        let batch = batch(vec![("a", longs(&[1])), ("b", longs(&[2]))]);
        for twice in
            ["SELECT * REPLACE (1 AS a, 2 AS a) FROM export", "SELECT * EXCLUDE (a) REPLACE (1 AS a) FROM export"]
        {
            assert!(format!("{:#}", run(twice, &batch).unwrap_err()).contains("twice"), "{twice}");
        }
    }

    #[test]
    fn what_is_too_long_to_be_taken_apart_is_refused_at_once() {
        let terms = vec!["a = 1"; 20_000].join(" OR ");
        let list = vec!["1"; 200_000].join(", ");
        let union = vec!["SELECT a FROM export"; 400].join(" UNION ALL ");
        let deep = format!("SELECT {}a{} FROM export", "(".repeat(500), ")".repeat(500));
        for sql in [
            format!("SELECT a FROM export WHERE {terms}"),
            format!("SELECT a FROM export WHERE a IN ({list})"),
            union,
            deep,
        ] {
            assert!(Select::parse(&sql).is_err());
        }
    }
}
