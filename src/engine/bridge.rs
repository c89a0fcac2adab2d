//! Batches between arrow-rs and polars through the Arrow C data interface; numbers are not copied.
#![allow(unsafe_code, reason = "the Arrow C data interface is a foreign-function interface")]

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, make_array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use polars::prelude::{Column, CompatLevel, DataFrame, Series};
use polars_arrow::ffi as pl_ffi;

// Both sides are #[repr(C)] and follow the same published layout.
const _: () = assert!(size_of::<FFI_ArrowArray>() == size_of::<pl_ffi::ArrowArray>());
const _: () = assert!(size_of::<FFI_ArrowSchema>() == size_of::<pl_ffi::ArrowSchema>());

/// Whether polars, as it is built here, takes columns of a type.
#[must_use]
pub fn takes(found: &DataType) -> bool {
    use DataType as T;
    let integer = found.is_integer();
    let text = matches!(found, T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView);
    integer
        || text
        || matches!(found, T::Null | T::Boolean | T::Float32 | T::Float64 | T::Date32 | T::FixedSizeBinary(_))
        || matches!(found, T::Timestamp(_, _) | T::Decimal128(_, _))
}

/// A frame over the columns of a batch. Small integers, which this build of polars leaves out, become `Int32`.
///
/// # Errors
/// When a column has a type that polars does not know.
pub fn to_frame(batch: &RecordBatch) -> Result<DataFrame> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if !takes(field.data_type()) {
            bail!("the column `{}` is {}, which SQL here does not read", field.name(), field.data_type());
        }
        let (field, array) = widen(field, array)?;
        let (data, _) = to_ffi(&array.to_data())?;
        let schema = FFI_ArrowSchema::try_from(&field)?;
        // SAFETY: the layouts are the same (asserted above), and ownership moves with the value: the release
        // callback inside is called once, by polars.
        let series = unsafe {
            let data = std::mem::transmute::<FFI_ArrowArray, pl_ffi::ArrowArray>(data);
            let schema = std::mem::transmute::<FFI_ArrowSchema, pl_ffi::ArrowSchema>(schema);
            let field = pl_ffi::import_field_from_c(&schema)?;
            let array = pl_ffi::import_array_from_c(data, field.dtype.clone())?;
            Series::try_from((&field, array))
        }
        .with_context(|| format!("the column `{}` is {}", field.name(), field.data_type()))?;
        columns.push(Column::from(series));
    }
    Ok(DataFrame::new(batch.num_rows(), columns)?)
}

fn widen(field: &Field, array: &ArrayRef) -> Result<(Field, ArrayRef)> {
    let to = match field.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::FixedSizeBinary(_) => DataType::BinaryView,
        _ => return Ok((field.clone(), Arc::clone(array))),
    };
    Ok((field.clone().with_data_type(to.clone()), cast(array, &to)?))
}

/// A batch over the columns of a frame.
///
/// # Errors
/// When a column has a type that arrow-rs does not know.
pub fn from_frame(mut frame: DataFrame) -> Result<RecordBatch> {
    frame.rechunk_mut();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in frame.columns() {
        let series = column.as_materialized_series();
        if series.dtype().is_null() {
            // A column without a type has no buffers, and each side counts them in its own way.
            fields.push(Field::new(series.name().as_str(), DataType::Null, true));
            arrays.push(new_null_array(&DataType::Null, series.len()));
            continue;
        }
        let field = series.field().to_arrow(CompatLevel::newest());
        let array = series.to_arrow(0, CompatLevel::newest());
        let data = pl_ffi::export_array_to_c(array);
        let schema = pl_ffi::export_field_to_c(&field);
        // SAFETY: as above, in the other direction.
        let (data, schema) = unsafe {
            (
                std::mem::transmute::<pl_ffi::ArrowArray, FFI_ArrowArray>(data),
                std::mem::transmute::<pl_ffi::ArrowSchema, FFI_ArrowSchema>(schema),
            )
        };
        fields.push(Field::try_from(&schema)?);
        // SAFETY: array and schema were exported together.
        arrays.push(make_array(unsafe { from_ffi(data, &schema) }?));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Int16Array, Int64Array, StringViewArray};

    #[test]
    fn a_batch_survives_the_way_there_and_back() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8View, true),
            Field::new("c", DataType::Date32, true),
            Field::new("d", DataType::Int16, true),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)])),
                Arc::new(StringViewArray::from(vec![Some("x"), None, Some("a longer text than a view holds")])),
                Arc::new(Date32Array::from(vec![Some(-1), Some(20_000), None])),
                Arc::new(Int16Array::from(vec![Some(-7), None, Some(7)])),
            ],
        )
        .unwrap();
        let back = from_frame(to_frame(&batch).unwrap()).unwrap();
        assert_eq!(back.columns()[..3], batch.columns()[..3]);
        assert_eq!(back.column(3).data_type(), &DataType::Int32);
        assert_eq!(back.column(3).null_count(), 1);
    }
}
