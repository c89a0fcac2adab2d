//! The emitter: a plan as one portable SQL statement over the clean, visible rows.
//!
//! The text uses only what Polars SQL, DuckDB and Spark evaluate alike (see `expression`): every sum is cast to
//! BIGINT, doubles are divided with NULLIF, decimals stand in E notation, groups are sub-selects. It reads one table
//! per event table and `subjects`, each with a `subject_id` and the integer columns of the contract.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::plan::{Accumulator, Grouping, Plan, RECENCY_ONE, Recency, Sum, TablePlan};

/// The whole statement: one row per subject, a column per feature and one that tells `none` from `unknown`.
#[must_use]
pub fn features(plan: &Plan) -> String {
    let mut ctes = Vec::new();
    let mut columns = vec!["s.subject_id".to_owned()];
    columns.extend(plan.subject_columns.iter().map(|c| format!("s.{c}")));
    let mut joins = String::new();
    for table in &plan.tables {
        let mut parts = Vec::new();
        let (plain, grouped): (Vec<_>, Vec<_>) = table.accumulators.iter().partition(|a| grouping(&a.sum).is_none());
        if !plain.is_empty() {
            parts.push((format!("{}_sums", table.table), plain));
            ctes.push(plain_cte(table, &parts[0].1, &parts[0].0));
        }
        for n in 0..table.groupings.len() {
            let of: Vec<&Accumulator> = grouped.iter().copied().filter(|a| grouping(&a.sum) == Some(n)).collect();
            if !of.is_empty() {
                let name = format!("{}_by_{}_{}", table.table, table.groupings[n].key, n + 1);
                ctes.extend(group_ctes(table, &table.groupings[n], &of, &name));
                parts.push((name, of));
            }
        }
        for (name, accumulators) in parts {
            let _ = write!(joins, "\n  LEFT JOIN {name} ON s.subject_id = {name}.subject_id");
            columns.extend(accumulators.iter().map(|a| match a.sum.nullable() {
                true => format!("{name}.{}", a.name),
                false => format!("COALESCE({name}.{0}, 0) AS {0}", a.name),
            }));
        }
    }
    ctes.push(format!("accumulators AS (\n  SELECT {}\n  FROM subjects AS s{joins}\n)", columns.join(",\n    ")));
    let features = plan.features.iter().flat_map(|f| {
        [format!("{} AS {}", f.value.portable, f.name), format!("{} AS {}", f.none.portable, f.none_column())]
    });
    format!(
        "WITH {}\nSELECT subject_id,\n  {}\nFROM accumulators\nORDER BY subject_id",
        ctes.join(",\n"),
        features.collect::<Vec<_>>().join(",\n  ")
    )
}

const fn grouping(sum: &Sum) -> Option<usize> {
    match sum {
        Sum::Groups { grouping }
        | Sum::ZeroGroups { grouping, .. }
        | Sum::Deviations { grouping, .. }
        | Sum::LargestGroup { grouping, .. }
        | Sum::Spans { grouping, .. }
        | Sum::Overlap { grouping, .. } => Some(*grouping),
        _ => None,
    }
}

fn plain_cte(table: &TablePlan, accumulators: &[&Accumulator], name: &str) -> String {
    let columns: Vec<String> = accumulators.iter().map(|a| format!("{} AS {}", plain(table, &a.sum), a.name)).collect();
    format!(
        "{name} AS (\n  SELECT subject_id,\n    {}\n  FROM {}\n  GROUP BY subject_id\n)",
        columns.join(",\n    "),
        weighted(table)
    )
}

/// The table, with the weights of each row worked out once.
fn weighted(table: &TablePlan) -> String {
    if table.weights.is_empty() {
        return table.table.clone();
    }
    let weights =
        table.weights.iter().enumerate().map(|(n, recency)| format!(",\n      {} AS weight_{n}", weigh(recency)));
    format!("(\n    SELECT *{}\n    FROM {}\n  ) AS weighted", weights.collect::<String>(), table.table)
}

fn plain(table: &TablePlan, sum: &Sum) -> String {
    let when = |filter: usize, then: &str| match table.predicates[filter].portable.as_str() {
        "TRUE" => then.to_owned(),
        condition => format!("CASE WHEN {condition} THEN {then} END"),
    };
    let value = |v: usize| table.values[v].portable.as_str();
    let total = |filter: usize, then: &str| format!("COALESCE(SUM(CAST({} AS BIGINT)), 0)", when(filter, then));
    match *sum {
        // Polars SQL does not repeat a constant over the rows of a group, so that SUM(1) would be 1.
        Sum::Rows { filter } if table.predicates[filter].portable == "TRUE" => "CAST(COUNT(*) AS BIGINT)".to_owned(),
        Sum::Rows { filter } => total(filter, "1"),
        Sum::Values { filter, value: v } => total(filter, value(v)),
        Sum::Smallest { filter, value: v } => format!("MIN(CAST({} AS BIGINT))", when(filter, value(v))),
        Sum::Largest { filter, value: v } => format!("MAX(CAST({} AS BIGINT))", when(filter, value(v))),
        Sum::Weights { filter, weight } => total(filter, &format!("weight_{weight}")),
        Sum::WeightedValues { filter, value: v, weight } => total(filter, &format!("({}) * weight_{weight}", value(v))),
        _ => String::new(),
    }
}

/// A row's weight: recency in millionths by months back, times reliability in thousandths.
fn weigh(recency: &Recency) -> String {
    if recency.months_ago.is_empty() {
        return format!("{RECENCY_ONE} * CAST(reliability AS BIGINT)");
    }
    let mut text = String::from("CASE");
    for (month, weight) in recency.millionths.iter().enumerate() {
        let _ = write!(text, " WHEN {} = {month} THEN {weight}", recency.months_ago);
    }
    format!("{text} ELSE 0 END * CAST(reliability AS BIGINT)")
}

/// One row per subject and group, then one per subject.
fn group_ctes(table: &TablePlan, grouping: &Grouping, accumulators: &[&Accumulator], name: &str) -> Vec<String> {
    let groups = format!("{name}_groups");
    let mut inner = BTreeSet::from(["CAST(COUNT(*) AS BIGINT) AS n".to_owned()]);
    let mut totals = BTreeSet::new();
    let mut outer = Vec::new();
    for accumulator in accumulators {
        let total_of = |inner: &mut BTreeSet<String>, value: Option<usize>| match value {
            None => "n".to_owned(),
            Some(v) => {
                inner.insert(format!("COALESCE(SUM(CAST({} AS BIGINT)), 0) AS x{v}", table.values[v].portable));
                format!("x{v}")
            }
        };
        let column = match accumulator.sum {
            Sum::ZeroGroups { value, .. } => {
                let x = total_of(&mut inner, Some(value));
                format!("SUM(CAST(CASE WHEN g.{x} = 0 THEN 1 ELSE 0 END AS BIGINT))")
            }
            Sum::LargestGroup { value, .. } => format!("MAX(g.{})", total_of(&mut inner, value)),
            Sum::Spans { value, .. } => {
                let v = &table.values[value].portable;
                inner
                    .insert(format!("COALESCE(MAX(CAST({v} AS BIGINT)) - MIN(CAST({v} AS BIGINT)), 0) AS span{value}"));
                format!("SUM(CAST(g.span{value} AS BIGINT))")
            }
            Sum::Deviations { value, periods, .. } => {
                let x = total_of(&mut inner, value);
                totals.insert("CAST(COUNT(*) AS BIGINT) AS present".to_owned());
                totals.insert(format!("SUM(CAST({x} AS BIGINT)) AS all_{x}"));
                match periods {
                    None => format!("SUM(CAST(ABS(t.present * g.{x} - t.all_{x}) AS BIGINT))"),
                    Some(n) => format!(
                        "SUM(CAST(ABS({n} * g.{x} - t.all_{x}) AS BIGINT)) + MAX(({n} - t.present) * ABS(t.all_{x}))"
                    ),
                }
            }
            Sum::Overlap { split, .. } => {
                inner.insert(format!(
                    "SUM(CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT)) AS first{split}",
                    table.predicates[split].portable
                ));
                totals.insert(format!("SUM(CAST(first{split} AS BIGINT)) AS all_first{split}"));
                totals.insert("SUM(CAST(n AS BIGINT)) AS all_n".to_owned());
                let (f, all) = (format!("g.first{split}"), format!("t.all_first{split}"));
                format!("SUM(CAST(LEAST({f} * (t.all_n - {all}), (g.n - {f}) * {all}) AS BIGINT))")
            }
            _ => "CAST(COUNT(*) AS BIGINT)".to_owned(),
        };
        outer.push(format!("{column} AS {}", accumulator.name));
    }
    let condition = match table.predicates[grouping.filter].portable.as_str() {
        "TRUE" => String::new(),
        text => format!("\n  WHERE {text}"),
    };
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",\n    ");
    let mut ctes = vec![format!(
        "{groups} AS (\n  SELECT subject_id, {key},\n    {}\n  FROM {}{condition}\n  GROUP BY subject_id, {key}\n)",
        list(&inner),
        table.table,
        key = grouping.key
    )];
    let mut join = String::new();
    if !totals.is_empty() {
        ctes.push(format!(
            "{name}_totals AS (\n  SELECT subject_id,\n    {}\n  FROM {groups}\n  GROUP BY subject_id\n)",
            list(&totals)
        ));
        join = format!("\n  JOIN {name}_totals AS t ON g.subject_id = t.subject_id");
    }
    ctes.push(format!(
        "{name} AS (\n  SELECT g.subject_id,\n    {}\n  FROM {groups} AS g{join}\n  GROUP BY g.subject_id\n)",
        outer.join(",\n    ")
    ));
    ctes
}
