//! Words from a list, told from free text: what people write freely may name anybody.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::ingest::check::pii::looks_personal;

/// Different words of a column that are codes: free text repeats less.
const MOST_CODES: usize = 100;
/// Different groups of a column, as many as a run takes.
const MOST_GROUPS: usize = 50;
/// Letters of a code.
const LONGEST: usize = 40;
/// Digits of a code: a year or a range of days, no date of birth and no number of a person.
const MOST_DIGITS: usize = 5;

/// What words a column may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Those that the contract lists.
    Choice(Vec<String>),
    /// Codes of currencies.
    Currency,
    /// Any codes, so many different ones at most.
    Codes(usize),
}

impl Form {
    /// The exporter's own codes.
    pub(super) const fn codes() -> Self {
        Self::Codes(MOST_CODES)
    }

    /// Names of groups.
    pub(super) const fn groups() -> Self {
        Self::Codes(MOST_GROUPS)
    }
}

/// The words of a column, and those that were met.
#[derive(Debug, Clone)]
pub(super) struct Words {
    form: Form,
    met: BTreeSet<String>,
}

impl Words {
    /// None met yet.
    pub(super) const fn new(form: Form) -> Self {
        Self { form, met: BTreeSet::new() }
    }

    /// The first row of a column whose value is none of the words, and why; the value itself is not repeated.
    ///
    /// # Errors
    /// When the column cannot be read as text.
    pub(super) fn fault(&mut self, array: &ArrayRef) -> Result<Option<(usize, String)>> {
        if *array.data_type() == DataType::Null {
            return Ok(None);
        }
        let texts = cast(array, &DataType::Utf8).context("words are text, integers or Booleans")?;
        let mut last = None;
        for (row, word) in texts.as_string::<i32>().iter().enumerate() {
            let Some(word) = word else { continue };
            if last == Some(word) || self.met.contains(word) {
                last = Some(word);
                continue;
            }
            if let Some(why) = self.wrong(word) {
                return Ok(Some((row, why)));
            }
            self.met.insert(word.to_owned());
            last = Some(word);
        }
        Ok(None)
    }

    /// Why a word that was not met yet cannot stand.
    fn wrong(&self, word: &str) -> Option<String> {
        if looks_personal(word.as_bytes()) {
            return Some("the value looks like personal data; leave the column out in the input's `select`".to_owned());
        }
        match &self.form {
            Form::Choice(words) if !words.iter().any(|w| w == word) => {
                Some(format!("the value is none of the words {}; map it in the input's `select`", words.join(", ")))
            }
            Form::Currency if word.len() != 3 || !word.bytes().all(|b| b.is_ascii_uppercase()) => {
                Some("the value is no ISO 4217 code; map it in the input's `select`".to_owned())
            }
            Form::Codes(_) if !is_code(word) => Some(format!(
                "the value is free text and no code (at most {LONGEST} letters, digits and -_.:/+<>=, of them {MOST_DIGITS} digits, without blanks); map it to codes in the input's `select`, or leave the column out"
            )),
            Form::Codes(most) if self.met.len() >= *most => Some(format!(
                "the column has more than {most} different values, so it holds no codes; map them to fewer in the input's `select`, or leave the column out"
            )),
            _ => None,
        }
    }
}

/// Whether a text has the form of a code.
fn is_code(word: &str) -> bool {
    let lawful = |c: char| c.is_alphanumeric() || "-_.:/+<>=".contains(c);
    word.chars().count() <= LONGEST
        && word.chars().all(lawful)
        && word.chars().filter(|c| c.is_numeric()).count() <= MOST_DIGITS
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int32Array, StringArray, StringViewArray};

    use super::*;

    fn fault(words: &mut Words, of: &[Option<&str>]) -> Option<(usize, String)> {
        words.fault(&(Arc::new(StringArray::from(of.to_vec())) as ArrayRef)).unwrap()
    }

    #[test]
    fn codes_pass_and_free_text_does_not() {
        for word in ["A", "in_arrears", "DPD30", "60+", "18-29", "IFRS9/2B", "已结清", "", ">90"] {
            assert_eq!(fault(&mut Words::new(Form::codes()), &[Some(word)]), None, "{word}");
        }
        for word in ["call him back", "1990-03-07", "19900307", "o'neil", &"x".repeat(41), "a\nb"] {
            let (row, why) = fault(&mut Words::new(Form::codes()), &[None, Some("A"), Some(word)]).unwrap();
            assert_eq!(row, 2);
            assert!(why.contains("free text") && !why.contains(word), "{why}");
        }
        for word in ["li.wei@example.com", "13812345678", "078-05-1120"] {
            let (_, why) = fault(&mut Words::new(Form::codes()), &[Some(word)]).unwrap();
            assert!(why.contains("personal data") && !why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_column_of_many_different_words_holds_no_codes() {
        let many: Vec<String> = (0..=MOST_CODES).map(|n| format!("w{n}")).collect();
        let many: Vec<Option<&str>> = many.iter().map(|w| Some(w.as_str())).collect();
        let mut words = Words::new(Form::codes());
        assert_eq!(fault(&mut words, &many[..MOST_CODES]), None);
        assert_eq!(fault(&mut words, &many[..MOST_CODES]), None, "the same ones again");
        let (row, why) = fault(&mut words, &many).unwrap();
        assert_eq!(row, MOST_CODES);
        assert!(why.contains("more than 100 different"), "{why}");
        assert!(fault(&mut Words::new(Form::groups()), &many).unwrap().1.contains("more than 50"));
    }

    #[test]
    fn a_choice_is_one_of_its_words_and_a_currency_a_code() {
        let mut choice = Words::new(Form::Choice(vec!["person".into(), "firm".into()]));
        assert_eq!(fault(&mut choice, &[Some("person"), None, Some("firm")]), None);
        let (row, why) = fault(&mut choice, &[Some("person"), Some("Wang Fang")]).unwrap();
        assert!(row == 1 && why.contains("person, firm") && !why.contains("Wang"), "{why}");
        assert_eq!(fault(&mut Words::new(Form::Currency), &[Some("CNY"), Some("USD")]), None);
        for word in ["cny", "CNYX", "元"] {
            assert!(fault(&mut Words::new(Form::Currency), &[Some(word)]).is_some(), "{word}");
        }
    }

    #[test]
    fn views_integers_and_flags_are_words_too() {
        let mut words = Words::new(Form::groups());
        let arrays: [ArrayRef; 3] = [
            Arc::new(StringViewArray::from(vec![Some("f"), None])),
            Arc::new(Int32Array::from(vec![Some(7), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ];
        for array in arrays {
            assert_eq!(words.fault(&array).unwrap(), None);
        }
        let long: ArrayRef = Arc::new(Int32Array::from(vec![1, 1_234_567]));
        assert_eq!(words.fault(&long).unwrap().unwrap().0, 1);
    }
}
