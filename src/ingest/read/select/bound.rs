//! A `select` laid over the columns of a file.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use sqlparser::ast::{
    self, ExcludeSelectItem, Expr, RenameSelectItem, SelectItem, WildcardAdditionalOptions, visit_expressions,
};

use super::Select;
use crate::engine::bridge::{from_frame, takes, to_frame};
use crate::engine::rowwise::Rowwise;
use crate::machine::stack::with_room;

/// The name of the column that carries a row's number through the engine.
pub(super) const ROW_COLUMN: &str = "export_row";

/// A column that a branch yields.
#[derive(Debug, Clone)]
enum Origin {
    /// A column of the file, as it is, by its position in the file.
    File(usize),
    /// An expression, by its position among those of the branch.
    Computed(usize),
}

#[derive(Debug, Clone)]
struct Branch {
    columns: Vec<(String, Origin)>,
    /// What the engine computes: the condition and the expressions, and the positions of the columns they read.
    engine: Option<(Rowwise, Vec<usize>)>,
}

/// A `select` over files of one schema.
#[derive(Debug, Clone)]
pub struct Bound {
    branches: Vec<Branch>,
    reads: Vec<usize>,
    yields: SchemaRef,
}

impl Select {
    /// Lays the SQL over the columns of a file.
    ///
    /// # Errors
    /// When it does not fit them.
    pub fn over(&self, schema: &SchemaRef) -> Result<Bound> {
        with_room(|| self.laid_over(schema))
    }

    fn laid_over(&self, schema: &SchemaRef) -> Result<Bound> {
        let branches = self.branches.iter().map(|b| Branch::new(b, schema)).collect::<Result<Vec<_>>>()?;
        let mut reads: BTreeSet<usize> = BTreeSet::new();
        for branch in &branches {
            reads.extend(branch.columns.iter().filter_map(|(_, origin)| match origin {
                Origin::File(at) => Some(*at),
                Origin::Computed(_) => None,
            }));
            reads.extend(branch.engine.iter().flat_map(|(_, columns)| columns));
        }
        let mut bound = Bound { branches, reads: reads.into_iter().collect(), yields: Arc::new(Schema::empty()) };
        let empty = RecordBatch::new_empty(Arc::new(schema.project(&bound.reads)?));
        bound.yields = bound.run(&empty, 0)?.0.schema();
        Ok(bound)
    }
}

impl Bound {
    /// The positions in the file of the columns that are read.
    #[must_use]
    pub fn reads(&self) -> &[usize] {
        &self.reads
    }

    /// The columns that come out.
    #[must_use]
    pub const fn yields(&self) -> &SchemaRef {
        &self.yields
    }

    /// What comes out of a batch of the columns that are read, and the row of the export that each row of it comes from.
    ///
    /// # Errors
    /// When the SQL fails on these rows.
    pub fn run(&self, batch: &RecordBatch, first_row: i64) -> Result<(RecordBatch, Vec<i64>)> {
        let found = self.branches.iter().map(|b| b.run(batch, &self.reads, first_row)).collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.branches[0].columns.len()];
        for (n, (of_branch, numbers)) in found.into_iter().enumerate() {
            ensure!(
                of_branch.len() == columns.len(),
                "branch {} yields {} columns, and the first one {}",
                n + 1,
                of_branch.len(),
                columns.len()
            );
            rows.extend(numbers);
            columns.iter_mut().zip(of_branch).for_each(|(all, one)| all.push(one));
        }
        let named = self.branches[0].columns.iter().zip(columns);
        let (mut fields, mut arrays): (Vec<FieldRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for ((name, _), parts) in named {
            let array = joined(name, &parts)?;
            fields.push(Arc::new(Field::new(name, array.data_type().clone(), true)));
            arrays.push(array);
        }
        Ok((RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?, rows))
    }
}

/// One column of what the branches yield for it, which must be of one type.
fn joined(name: &str, parts: &[ArrayRef]) -> Result<ArrayRef> {
    if let [only] = parts {
        return Ok(Arc::clone(only));
    }
    let mut kinds: Vec<&DataType> = parts.iter().map(|p| p.data_type()).filter(|k| **k != DataType::Null).collect();
    kinds.dedup();
    let text = |k: &DataType| matches!(k, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let kind = match kinds.as_slice() {
        [] => DataType::Null,
        [only] => (*only).clone(),
        several if several.iter().all(|k| text(k)) => DataType::Utf8View,
        several if several.iter().all(|k| k.is_integer() && **k != DataType::UInt64) => DataType::Int64,
        [one, other, ..] => bail!("the branches yield `{name}` as {one} and as {other}; CAST them alike"),
    };
    let parts = parts.iter().map(|p| cast(p, &kind)).collect::<Result<Vec<_>, _>>()?;
    Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?)
}

impl Branch {
    fn new(select: &ast::Select, schema: &SchemaRef) -> Result<Self> {
        let mut columns: Vec<(String, Origin)> = Vec::new();
        let mut computed = Vec::new();
        let mut add = |name: String, expr: &Expr, columns: &mut Vec<(String, Origin)>| -> Result<()> {
            let origin = match file_column(expr, schema) {
                Some(at) => Origin::File(at),
                None => {
                    computed.push(expr.clone());
                    Origin::Computed(computed.len() - 1)
                }
            };
            columns.push((name, origin));
            Ok(())
        };
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    for (name, expr) in wildcard(options, schema)? {
                        add(name, &expr, &mut columns)?;
                    }
                }
                SelectItem::ExprWithAlias { expr, alias } => add(alias.value.clone(), expr, &mut columns)?,
                SelectItem::UnnamedExpr(expr) => {
                    let at = file_column(expr, schema);
                    let name = at.map(|at| schema.field(at).name().clone());
                    let name = name
                        .or_else(|| plain_name(expr))
                        .with_context(|| format!("`{expr}` has no name; write `{expr} AS …`"))?;
                    add(name, expr, &mut columns)?;
                }
                other => bail!("`{other}` is none of `expression AS name`, `name` and `*`"),
            }
        }
        let mut seen = BTreeSet::new();
        if let Some((name, _)) = columns.iter().find(|(name, _)| !seen.insert(name)) {
            bail!("the column `{name}` stands twice; leave one out, as in SELECT * EXCLUDE ({name}), … AS {name}");
        }
        let engine = engine(select.selection.as_ref(), &computed, schema)?;
        Ok(Self { columns, engine })
    }

    /// The columns of a batch in order, and the rows of the export they come from.
    fn run(&self, batch: &RecordBatch, reads: &[usize], first_row: i64) -> Result<(Vec<ArrayRef>, Vec<i64>)> {
        let place = |at: &usize| reads.binary_search(at).map_err(|_| anyhow!("a column that was not read"));
        let all = i64::try_from(batch.num_rows())?;
        let (computed, rows) = match &self.engine {
            None => (None, (first_row..first_row + all).collect()),
            Some((rowwise, columns)) => {
                let columns = columns.iter().map(place).collect::<Result<Vec<_>>>()?;
                let frame = to_frame(&numbered(&batch.project(&columns)?, first_row)?)?;
                let found = from_frame(rowwise.run(frame)?)?;
                let rows = found
                    .column(0)
                    .as_primitive_opt::<Int64Type>()
                    .context("the row numbers changed type")?
                    .values()
                    .to_vec();
                (Some(found), rows)
            }
        };
        let kept = match rows.len() == batch.num_rows() {
            true => None,
            false => Some(rows.iter().map(|r| u32::try_from(r - first_row)).collect::<Result<UInt32Array, _>>()?),
        };
        let column = |(_, origin): &(String, Origin)| -> Result<ArrayRef> {
            match origin {
                Origin::File(at) => {
                    let column = batch.column(place(at)?);
                    Ok(match &kept {
                        None => Arc::clone(column),
                        Some(kept) => arrow::compute::take(column, kept, None)?,
                    })
                }
                Origin::Computed(at) => {
                    let found = computed.as_ref().context("nothing was computed")?;
                    Ok(Arc::clone(found.column(at + 1)))
                }
            }
        };
        Ok((self.columns.iter().map(column).collect::<Result<_>>()?, rows))
    }
}

/// The condition and the expressions made ready for the engine, with the columns they read; nothing when there are none.
fn engine(filter: Option<&Expr>, computed: &[Expr], schema: &SchemaRef) -> Result<Option<(Rowwise, Vec<usize>)>> {
    if filter.is_none() && computed.is_empty() {
        return Ok(None);
    }
    let mut reads = BTreeSet::new();
    for expr in filter.into_iter().chain(computed) {
        let found = visit_expressions(expr, |e| match file_column(e, schema) {
            Some(at) if !takes(schema.field(at).data_type()) => {
                let field = schema.field(at);
                ControlFlow::Break(format!(
                    "the column `{}` is {}, which SQL here does not read",
                    field.name(),
                    field.data_type()
                ))
            }
            None => match plain_name(e).filter(|name| name != ROW_COLUMN) {
                Some(name) => ControlFlow::Break(no_column(&name, schema)),
                None => ControlFlow::Continue(()),
            },
            at => {
                reads.extend(at);
                ControlFlow::Continue(())
            }
        });
        if let ControlFlow::Break(why) = found {
            bail!(why);
        }
    }
    let reads: Vec<usize> = reads.into_iter().collect();
    let empty = RecordBatch::new_empty(Arc::new(schema.project(&reads)?));
    let like = to_frame(&numbered(&empty, 0)?)?;
    Ok(Some((Rowwise::new(&like, ROW_COLUMN, filter, computed)?, reads)))
}

fn no_column(name: &str, schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let hint = crate::expression::did_you_mean(name, names.iter().copied());
    format!("there is no column `{name}`{hint}; the export has {}", names.join(", "))
}

/// A batch with the number of each row.
fn numbered(batch: &RecordBatch, first_row: i64) -> Result<RecordBatch> {
    let rows = i64::try_from(batch.num_rows())?;
    let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false)));
    let mut arrays = batch.columns().to_vec();
    arrays.push(Arc::new(Int64Array::from_iter_values(first_row..first_row + rows)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The name that an expression names, `a` or `export.a`.
fn plain_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [table, name] if table.value.eq_ignore_ascii_case("export") => Some(name.value.clone()),
            _ => None,
        },
        Expr::Nested(inner) => plain_name(inner),
        _ => None,
    }
}

/// The position of the file's column that an expression is.
fn file_column(expr: &Expr, schema: &Schema) -> Option<usize> {
    plain_name(expr).and_then(|name| schema.index_of(&name).ok())
}

/// What a wildcard stands for: the file's columns in order, but for those that are left out, renamed or replaced.
fn wildcard(options: &WildcardAdditionalOptions, schema: &Schema) -> Result<Vec<(String, Expr)>> {
    ensure!(options.opt_ilike.is_none(), "name the columns instead of ILIKE");
    let mut out: Vec<String> = Vec::new();
    match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => out.push(unquoted(&name.to_string())),
        Some(ExcludeSelectItem::Multiple(names)) => out.extend(names.iter().map(|n| unquoted(&n.to_string()))),
        None => {}
    }
    if let Some(except) = &options.opt_except {
        out.push(except.first_element.value.clone());
        out.extend(except.additional_elements.iter().map(|n| n.value.clone()));
    }
    let renames: Vec<(String, String)> = match &options.opt_rename {
        Some(RenameSelectItem::Single(one)) => vec![(one.ident.value.clone(), one.alias.value.clone())],
        Some(RenameSelectItem::Multiple(several)) => {
            several.iter().map(|r| (r.ident.value.clone(), r.alias.value.clone())).collect()
        }
        None => Vec::new(),
    };
    let replaced: Vec<(String, Expr)> = options
        .opt_replace
        .iter()
        .flat_map(|r| &r.items)
        .map(|item| (item.column_name.value.clone(), item.expr.clone()))
        .collect();
    let named = out.iter().chain(renames.iter().map(|r| &r.0)).chain(replaced.iter().map(|r| &r.0));
    for name in named {
        if schema.index_of(name).is_err() {
            bail!("`*`: {}", no_column(name, schema));
        }
    }
    let mut seen = BTreeSet::new();
    if let Some(name) = out.iter().chain(replaced.iter().map(|r| &r.0)).find(|name| !seen.insert(name.as_str())) {
        bail!("`*` leaves out or replaces `{name}` twice");
    }
    let columns = schema.fields().iter().map(|f| f.name()).filter(|name| !out.contains(name));
    Ok(columns
        .map(|name| {
            let new = renames.iter().find(|r| r.0 == *name).map_or(name, |r| &r.1).clone();
            let own = || Expr::Identifier(ast::Ident::with_quote('"', name.clone()));
            (new, replaced.iter().find(|r| r.0 == *name).map_or_else(own, |r| r.1.clone()))
        })
        .collect())
}

fn unquoted(name: &str) -> String {
    name.trim_matches('"').to_owned()
}
