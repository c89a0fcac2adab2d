//! Ids in what is no table: a path that is part of a file's name, an exclusion in a `select`, an error. They are replaced where they stand
//! as whole words.

use std::collections::{BTreeMap, BTreeSet};

/// What stands in an id's place.
const ERASED: &[u8] = b"erased";

/// Ids with fewer bytes could be anything in a text, and are left.
const LEAST: usize = 8;

/// Ids that are looked for in texts: those that are long enough, and no plain words.
#[derive(Debug, Clone, Default)]
pub struct InTexts {
    by_length: BTreeMap<usize, BTreeSet<Vec<u8>>>,
}

const fn part_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether a word goes on from one byte to the next.
fn goes_on(one: Option<&u8>, next: Option<&u8>) -> bool {
    one.is_some_and(|b| part_of_a_word(*b)) && next.is_some_and(|b| part_of_a_word(*b))
}

/// Whether digits are a number and no id: an id of digits alone stands in quotes, or is a part of a path.
fn is_number(before: Option<&u8>, word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_digit) && !before.is_some_and(|byte| b"=/\"'_".contains(byte))
}

impl InTexts {
    /// Some ids, as people write them.
    #[must_use]
    pub fn of(ids: &BTreeSet<String>) -> Self {
        let mut all = Self::default();
        for id in ids.iter().filter(|id| id.len() >= LEAST && id.contains(|c: char| c.is_ascii_digit())) {
            // Within JSON some ids are written otherwise than they are.
            let escaped = serde_json::Value::from(id.as_str()).to_string();
            for form in [id.as_str(), escaped.trim_matches('"')] {
                all.by_length.entry(form.len()).or_default().insert(form.as_bytes().to_vec());
            }
        }
        all
    }

    /// Whether one of them stands in a text.
    #[must_use]
    pub fn stand_in(&self, text: &[u8]) -> bool {
        !self.places(text).is_empty()
    }

    /// The text without them, and how many were replaced; nothing when none stands in it.
    #[must_use]
    pub fn without(&self, text: &[u8]) -> Option<(Vec<u8>, u64)> {
        let places = self.places(text);
        if places.is_empty() {
            return None;
        }
        let (mut new, mut from) = (Vec::with_capacity(text.len()), 0);
        for (at, length) in &places {
            new.extend_from_slice(&text[from..*at]);
            new.extend_from_slice(ERASED);
            from = at + length;
        }
        new.extend_from_slice(&text[from..]);
        Some((new, places.len() as u64))
    }

    /// Where one of them stands as a whole word, and how long it is; of two at one place the longer.
    fn places(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let (mut found, mut at) = (Vec::new(), 0);
        while !self.by_length.is_empty() && at < text.len() {
            let before = at.checked_sub(1).and_then(|n| text.get(n));
            let length = match goes_on(before, text.get(at)) {
                true => None,
                false => self.by_length.iter().rev().find_map(|(length, ids)| {
                    let word = text.get(at..at + length)?;
                    let ends = !goes_on(word.last(), text.get(at + length)) && !is_number(before, word);
                    (ends && ids.contains(word)).then_some(*length)
                }),
            };
            found.extend(length.map(|length| (at, length)));
            at += length.unwrap_or(1);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, ids: &[&str]) -> Option<(String, u64)> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let (text, count) = InTexts::of(&ids).without(text.as_bytes())?;
        Some((String::from_utf8(text).unwrap(), count))
    }

    #[test]
    fn ids_are_replaced_where_they_are_whole_words_and_nothing_else_is() {
        let text = "{\"file\": \"subject=ab12cd34/part.parquet\", \"hash\": \"ffab12cd34ff\", 'ab12cd34'}";
        let (found, count) = cut(text, &["ab12cd34"]).unwrap();
        assert_eq!(count, 2);
        assert_eq!(found, "{\"file\": \"subject=erased/part.parquet\", \"hash\": \"ffab12cd34ff\", 'erased'}");
        assert_eq!(cut(text, &["ab12cd35", "part", "parquet-", "1234"]), None);
        let two = cut("x-00000001,x-00000002", &["x-00000002", "x-00000001"]).unwrap();
        assert_eq!(two, ("erased,erased".to_owned(), 2));
        assert_eq!(cut("x-00000001-2", &["x-00000001", "x-00000001-2"]).unwrap().0, "erased");
        assert_eq!(cut("", &["ab12cd34"]), None);
    }

    #[test]
    fn a_number_is_no_id_and_an_escaped_id_is_one() {
        let text =
            "{\"bytes\": 12345678, \"share\": 0.12345678, \"file\": \"subject=12345678/p\", \"id\": \"12345678\"}";
        let (found, count) = cut(text, &["12345678"]).unwrap();
        assert_eq!(count, 2);
        assert_eq!(
            found,
            "{\"bytes\": 12345678, \"share\": 0.12345678, \"file\": \"subject=erased/p\", \"id\": \"erased\"}"
        );
        let text = serde_json::json!({ "why": "because of ab\"12cd34" }).to_string();
        assert_eq!(cut(&text, &["ab\"12cd34"]).unwrap().0, "{\"why\":\"because of erased\"}");
    }
}
