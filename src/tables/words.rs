//! Columns whose every value is a word of a short list, such as names of segments and reason codes: a number per row, and each word once.
//!
//! A Parquet file says nothing of how its columns lay in memory: the library encodes a dictionary of text as it encodes the text. Only how
//! many values it takes at a time goes by the bytes of text where they could come to more than a page of its dictionary holds, and so
//! where its pages end. Words that could are written out row by row.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, DictionaryArray, PrimitiveArray, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{ArrowPrimitiveType, UInt32Type};

use super::parquet_file::PAGE_ROWS;

/// The number of no word.
pub const NO_WORD: u32 = u32::MAX;

/// Bytes beside its text that a value takes in a page.
const LENGTH: usize = 4;
/// Bytes of a page of a dictionary, of the library's own accord.
const DICTIONARY_PAGE: usize = 1 << 20;

/// Words, which rows name by position.
#[derive(Debug, Clone)]
pub struct Words {
    words: Arc<StringArray>,
    /// Whether rows may name them in the file, too.
    short: bool,
}

impl Words {
    /// Lists words.
    #[must_use]
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = StringArray::from_iter_values(words);
        let sizes = || words.iter().flatten().map(|word| word.len() + LENGTH);
        let most = PAGE_ROWS * sizes().max().unwrap_or(0) + sizes().sum::<usize>();
        Self { short: most <= DICTIONARY_PAGE, words: Arc::new(words) }
    }

    /// A column of them, by position; [`NO_WORD`] is null.
    ///
    /// # Errors
    /// When a row names a word that is not there.
    pub fn column(&self, rows: Vec<u32>) -> Result<ArrayRef> {
        let told = nulls(rows.len(), |at| rows[at] != NO_WORD);
        let keys = PrimitiveArray::<UInt32Type>::try_new(rows.into(), told)?;
        let named = DictionaryArray::try_new(keys, Arc::clone(&self.words) as ArrayRef)?;
        if self.short {
            return Ok(Arc::new(named));
        }
        let word = |key: Option<u32>| -> Result<Option<&str>> {
            Ok(key.map(usize::try_from).transpose()?.map(|at| self.words.value(at)))
        };
        Ok(Arc::new(named.keys().iter().map(word).collect::<Result<StringArray>>()?))
    }
}

/// Which of some rows have a value; nothing where all have one, as the library has it.
#[must_use]
pub fn nulls(rows: usize, is_told: impl FnMut(usize) -> bool) -> Option<NullBuffer> {
    Some(NullBuffer::new(BooleanBuffer::collect_bool(rows, is_told))).filter(|nulls| nulls.null_count() > 0)
}

/// A column of numbers, those rows null that have no value.
///
/// # Errors
/// When they are not as many as the rows.
pub fn numbers<T: ArrowPrimitiveType>(values: Vec<T::Native>, told: Option<&NullBuffer>) -> Result<ArrayRef> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), told.cloned())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Int16Type, Schema};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;

    use crate::tables::parquet_file::{ParquetFile, properties};

    /// The bytes of a file of one column.
    fn file(folder: &std::path::Path, field: Field, column: ArrayRef) -> Vec<u8> {
        let path = folder.join("column.parquet");
        let schema = Arc::new(Schema::new(vec![field]));
        let mut file = ParquetFile::create(&path, schema, properties().unwrap().build()).unwrap();
        file.write_coded(&[column]).unwrap();
        file.end().unwrap();
        std::fs::read(path).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn words_by_number_are_the_same_bytes_as_words_row_by_row(
            seed in any::<u64>(), words in 1_usize..40,
            length in prop_oneof![0_usize..12, 100_usize..140, 900_usize..1_200],
            rows in prop_oneof![1_usize..3_000, 20_000_usize..40_000],
            blank in prop_oneof![Just(0_u32), Just(1), Just(9), Just(10)],
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let list: Vec<String> = (0..words).map(|n| format!("{n}{}", "x".repeat(random.usize(..=length)))).collect();
            let numbers: Vec<u32> = (0..rows)
                .map(|_| if random.u32(..10) < blank { NO_WORD } else { u32::try_from(random.usize(..words)).unwrap() })
                .collect();
            let word = |at: &u32| (*at != NO_WORD).then(|| list[usize::try_from(*at).unwrap()].as_str());
            let plain: StringArray = numbers.iter().map(word).collect();
            let folder = tempfile::tempdir().unwrap();
            let field = |nullable: bool| Field::new("word", DataType::Utf8, nullable);
            for nullable in [true, false] {
                if !nullable && blank > 0 {
                    continue;
                }
                let column = Words::of(list.iter().map(String::as_str)).column(numbers.clone()).unwrap();
                let coded = file(folder.path(), field(nullable), column);
                prop_assert!(coded == file(folder.path(), field(nullable), Arc::new(plain.clone())));
            }
        }

        #[test]
        fn numbers_with_nulls_are_the_same_bytes_as_numbers_each_told_or_not(
            values in proptest::collection::vec(proptest::option::of(-3_i16..700), 1..20_000), all in any::<bool>(),
        ) {
            let values: Vec<Option<i16>> = values.into_iter().map(|v| if all { v.or(Some(5)) } else { v }).collect();
            let folder = tempfile::tempdir().unwrap();
            let field = || Field::new("number", DataType::Int16, true);
            let told = nulls(values.len(), |at| values[at].is_some());
            let column = numbers::<Int16Type>(values.iter().map(|v| v.unwrap_or(-1)).collect(), told.as_ref()).unwrap();
            let plain: ArrayRef = Arc::new(PrimitiveArray::<Int16Type>::from(values));
            prop_assert!(file(folder.path(), field(), column) == file(folder.path(), field(), plain));
        }
    }

    #[test]
    fn a_column_of_words_is_read_back_as_text() {
        let folder = tempfile::tempdir().unwrap();
        let column = Words::of(["a", "b"]).column(vec![1, NO_WORD, 0, 1]).unwrap();
        file(folder.path(), Field::new("word", DataType::Utf8, true), column);
        let path = std::fs::File::open(folder.path().join("column.parquet")).unwrap();
        let batch = ParquetRecordBatchReaderBuilder::try_new(path).unwrap().build().unwrap().next().unwrap().unwrap();
        let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a"), Some("b")]));
        assert_eq!(batch.column(0), &expected);
    }

    #[test]
    fn a_word_that_is_not_there_and_a_null_where_there_may_be_none_are_refused() {
        assert!(Words::of(["a", "b"]).column(vec![0, 2]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("word", DataType::Utf8, false)]));
        let path = folder.path().join("null.parquet");
        let mut file = ParquetFile::create(&path, schema, properties().unwrap().build()).unwrap();
        let column = |rows: Vec<u32>| Words::of(["a"]).column(rows).unwrap();
        assert!(file.write_coded(&[column(vec![0, NO_WORD])]).is_err());
        assert!(file.write_coded(&[column(vec![0]), column(vec![0])]).is_err());
    }
}
