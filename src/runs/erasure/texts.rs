//! Ids in what is no table: a path that is part of a file's name, an exclusion in a `select`, an error. They are replaced where they stand
//! as whole words, written out or as JSON, HTML and URLs escape them. JSON is changed within its strings and keys alone, and of no kind of
//! text anything is made that is none of that kind any more.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;

/// What stands in an id's place.
const ERASED: &str = "erased";

/// Ids with fewer bytes could be anything in a text, and are left.
const LEAST: usize = 8;

/// What URLs escape.
const IN_URLS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What Hive escapes in a partition's value.
const IN_PARTITIONS: &AsciiSet = &CONTROLS
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'\'')
    .add(b'*')
    .add(b'/')
    .add(b':')
    .add(b'=')
    .add(b'?')
    .add(b'\\')
    .add(b'{')
    .add(b'[')
    .add(b']')
    .add(b'^');

/// How HTML escapes: what must be, and what may be besides.
const IN_HTML: [&[(char, &str)]; 4] = [
    &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")],
    &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;")],
    &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")],
    &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#x27;"), ('/', "&#x2f;")],
];

/// Ids that are looked for in texts: those that are long enough, and no plain words.
#[derive(Debug, Clone, Default)]
pub struct InTexts {
    /// By length and bytes of what may stand in a text: the id that it is.
    by_length: BTreeMap<usize, BTreeMap<Vec<u8>, String>>,
}

/// A text without ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The text.
    pub text: Vec<u8>,
    /// Places at which one stood.
    pub places: u64,
    /// Those that stood there.
    pub met: BTreeSet<String>,
}

/// What is around an id in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Anything: a number may be a number.
    Anything,
    /// Words: a string of JSON, the name of a file.
    Words,
}

/// Kinds of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Toml,
    Other,
}

impl Kind {
    /// Of a file by its name, if it is what it is called.
    fn of(name: &str, text: &str) -> Self {
        let called = match name.rsplit('.').next() {
            Some("json" | "ndjson") => Self::Json,
            Some("toml") => Self::Toml,
            _ => Self::Other,
        };
        if called.holds(text) { called } else { Self::Other }
    }

    /// Whether a text is of the kind.
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Json => serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>().all(|value| value.is_ok()),
            Self::Toml => toml::from_str::<toml::Table>(text).is_ok(),
            Self::Other => true,
        }
    }
}

/// What may stand in a text for an id.
fn forms(id: &str) -> BTreeSet<String> {
    let json = serde_json::Value::from(id).to_string();
    let html = |escapes: &[(char, &str)]| {
        let escaped = |letter: char| match escapes.iter().find(|(escaped, _)| *escaped == letter) {
            Some((_, text)) => (*text).to_owned(),
            None => letter.to_string(),
        };
        id.chars().map(escaped).collect::<String>()
    };
    let mut all = BTreeSet::from([id.to_owned()]);
    // Without its quotes.
    all.extend(json.get(1..json.len() - 1).map(ToOwned::to_owned));
    all.extend(IN_HTML.iter().map(|escapes| html(escapes)));
    all.extend([IN_URLS, IN_PARTITIONS].map(|set| utf8_percent_encode(id, set).to_string()));
    all
}

/// Whether the name of a file could hold somebody's id: it has a word that would be looked for in texts. Months and days are none.
#[must_use]
pub fn may_hold_an_id(name: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "-_+%.~ ".contains(c);
    let without_end = name.strip_suffix(".parquet").unwrap_or(name);
    let mut words = without_end.split(|c: char| !goes_on(c));
    words
        .any(|word| word.len() >= LEAST && word.contains(|c: char| c.is_ascii_digit()) && word.parse::<Date>().is_err())
}

const fn part_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether a word goes on from one byte to the next.
fn goes_on(one: Option<&u8>, next: Option<&u8>) -> bool {
    one.is_some_and(|b| part_of_a_word(*b)) && next.is_some_and(|b| part_of_a_word(*b))
}

/// Whether an id of digits alone is an id where it stands, and no amount, part of a date or of a number with a point.
fn is_no_number(text: &[u8], at: usize, end: usize, around: Around) -> bool {
    let before = at.checked_sub(1).and_then(|n| text.get(n));
    let opens = match around {
        Around::Anything => before.is_some_and(|b| b"=/\"'".contains(b)),
        Around::Words => before.is_none_or(|b| !b"-.:".contains(b)),
    };
    let with_point = text.get(end) == Some(&b'.') && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    opens && !with_point
}

/// How many bytes a string of JSON has that begins a text, quotes included; nothing when it has no end.
fn length_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

impl InTexts {
    /// Some ids, as people write them.
    #[must_use]
    pub fn of(ids: &BTreeSet<String>) -> Self {
        let mut all = Self::default();
        for id in ids.iter().filter(|id| id.len() >= LEAST && id.contains(|c: char| c.is_ascii_digit())) {
            for form in forms(id) {
                all.by_length.entry(form.len()).or_default().insert(form.into_bytes(), id.clone());
            }
        }
        all
    }

    /// Whether one of them stands in the name of a file.
    #[must_use]
    pub fn stand_in(&self, name: &str) -> bool {
        !self.places(name.as_bytes(), Around::Words).is_empty()
    }

    /// Those that stand in a text of any kind.
    #[must_use]
    pub fn met(&self, text: &[u8]) -> BTreeSet<String> {
        self.places(text, Around::Words).into_iter().map(|(_, _, id)| id.to_owned()).collect()
    }

    /// The content of a file of some name without them; nothing when none stands in it.
    ///
    /// # Errors
    /// When one stands in what is no text, or where the text is none of its kind without it.
    pub fn without(&self, name: &str, content: &[u8]) -> Result<Option<Replaced>> {
        if self.by_length.is_empty() {
            return Ok(None);
        }
        let Ok(text) = std::str::from_utf8(content) else {
            let none = self.met(content).is_empty();
            ensure!(none, "{name} is neither a table nor a text, and holds an id; remove it first");
            return Ok(None);
        };
        let kind = Kind::of(name, text);
        let new = match kind {
            Kind::Json => self.in_json(text)?,
            Kind::Toml | Kind::Other => self.replaced(text, Around::Anything)?,
        };
        if let Some(new) = &new {
            let holds = kind.holds(std::str::from_utf8(&new.text).context("defect: an id cut out of a letter")?);
            ensure!(holds, "an id stands in {name} where it cannot be taken out; remove the file, or its run, first");
        }
        Ok(new)
    }

    /// JSON without them: only its strings are other ones, everything else stays as it was written.
    fn in_json(&self, text: &str) -> Result<Option<Replaced>> {
        let mut all = Replaced { text: Vec::with_capacity(text.len()), places: 0, met: BTreeSet::new() };
        let mut rest = text;
        while let Some(begin) = rest.find('"') {
            let (before, from) = rest.split_at(begin);
            let length = length_of_string(from).context("defect: JSON whose last string has no end")?;
            let (written, after) = from.split_at(length);
            all.text.extend_from_slice(before.as_bytes());
            let told: String = serde_json::from_str(written)?;
            match self.replaced(&told, Around::Words)? {
                Some(new) => {
                    let told = String::from_utf8(new.text)?;
                    all.text.extend_from_slice(serde_json::Value::from(told).to_string().as_bytes());
                    all.places += new.places;
                    all.met.extend(new.met);
                }
                None => all.text.extend_from_slice(written.as_bytes()),
            }
            rest = after;
        }
        all.text.extend_from_slice(rest.as_bytes());
        Ok((all.places > 0).then_some(all))
    }

    fn replaced(&self, text: &str, around: Around) -> Result<Option<Replaced>> {
        let text = text.as_bytes();
        let places = self.places(text, around);
        if places.is_empty() {
            return Ok(None);
        }
        let (mut new, mut from) = (Vec::with_capacity(text.len()), 0);
        for (at, length, _) in &places {
            new.extend_from_slice(text.get(from..*at).context("defect: places that overlap")?);
            new.extend_from_slice(ERASED.as_bytes());
            from = at + length;
        }
        new.extend_from_slice(text.get(from..).unwrap_or_default());
        let met = places.iter().map(|(_, _, id)| (*id).to_owned()).collect();
        Ok(Some(Replaced { text: new, places: places.len() as u64, met }))
    }

    /// Where one of them stands as a whole word, how long it is there, and which; of two at one place the longer.
    fn places(&self, text: &[u8], around: Around) -> Vec<(usize, usize, &str)> {
        let (mut found, mut at) = (Vec::new(), 0);
        while !self.by_length.is_empty() && at < text.len() {
            let before = at.checked_sub(1).and_then(|n| text.get(n));
            let place = match goes_on(before, text.get(at)) {
                true => None,
                false => self.at(text, at, around),
            };
            found.extend(place.map(|(length, id)| (at, length, id)));
            at += place.map_or(1, |(length, _)| length);
        }
        found
    }

    fn at(&self, text: &[u8], at: usize, around: Around) -> Option<(usize, &str)> {
        self.by_length.iter().rev().find_map(|(length, ids)| {
            let (word, end) = (text.get(at..at + length)?, at + length);
            let id = ids.get(word)?;
            let digits = id.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
            let stands = !goes_on(word.last(), text.get(end)) && (!digits || is_no_number(text, at, end, around));
            stands.then_some((*length, id.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[&str]) -> InTexts {
        InTexts::of(&ids.iter().map(|id| (*id).to_owned()).collect())
    }

    fn cut(name: &str, text: &str, ids: &[&str]) -> Option<(String, u64)> {
        let new = of(ids).without(name, text.as_bytes()).unwrap()?;
        Some((String::from_utf8(new.text).unwrap(), new.places))
    }

    #[test]
    fn ids_are_replaced_where_they_are_whole_words_and_nothing_else_is() {
        let text = "{\"file\": \"subject=ab12cd34/part.parquet\", \"hash\": \"ffab12cd34ff\", 'ab12cd34'}";
        let (found, count) = cut("text", text, &["ab12cd34"]).unwrap();
        assert_eq!(count, 2);
        assert_eq!(found, "{\"file\": \"subject=erased/part.parquet\", \"hash\": \"ffab12cd34ff\", 'erased'}");
        assert_eq!(cut("text", text, &["ab12cd35", "part", "parquet-", "1234"]), None);
        let two = cut("text", "x-00000001,x-00000002", &["x-00000002", "x-00000001"]).unwrap();
        assert_eq!(two, ("erased,erased".to_owned(), 2));
        assert_eq!(cut("text", "x-00000001-2", &["x-00000001", "x-00000001-2"]).unwrap().0, "erased");
        assert_eq!(cut("text", "", &["ab12cd34"]), None);
    }

    #[test]
    fn json_is_changed_in_its_strings_and_keys_alone() {
        let text = "{ \"bytes\": 12345678, \"12345678\": [\"a/12345678.parquet\", 1.50e3, \"at 2025-12345678\"],\n\"s\":\"id <> 12345678\"}";
        let (new, count) = cut("runs/a/manifest.json", text, &["12345678"]).unwrap();
        assert_eq!(
            (new.as_str(), count),
            (
                "{ \"bytes\": 12345678, \"erased\": [\"a/erased.parquet\", 1.50e3, \"at 2025-12345678\"],\n\"s\":\"id <> erased\"}",
                3
            )
        );
        let lines = "{\"n\":12345678}\n{\"n\":\"12345678\"}\n";
        assert_eq!(cut("a.ndjson", lines, &["12345678"]).unwrap().0, "{\"n\":12345678}\n{\"n\":\"erased\"}\n");
        assert_eq!(cut("a.json", "{\"bytes\":12345678}", &["12345678"]), None);
    }

    #[test]
    fn a_number_in_another_text_is_an_id_only_where_ids_stand() {
        let text = "rows{file=\"12345678\"} 12345678\nbytes 12345678.5\nsubject=12345678/a\nx=12345678.5\n";
        let (new, count) = cut("metrics.prom", text, &["12345678"]).unwrap();
        assert_eq!(count, 2);
        assert_eq!(new, "rows{file=\"erased\"} 12345678\nbytes 12345678.5\nsubject=erased/a\nx=12345678.5\n");
        // What would be no TOML any more is refused, and left in what never was.
        let toml = of(&["12345678"]).without("pipeline.toml", b"limit=12345678\n").unwrap_err().to_string();
        assert!(toml.contains("cannot be taken out"), "{toml}");
        assert_eq!(cut("pipeline.toml", "limit = 12345678\nid = \"12345678\"\n", &["12345678"]).unwrap().1, 1);
    }

    #[test]
    fn a_name_that_could_hold_an_id_is_told_from_those_of_dates() {
        for plain in [
            "repayments/repayments.parquet",
            "t/month=2025-01/a.parquet",
            "t/day=2025-01-31/a1.parquet",
            "t/part-00.parquet",
        ] {
            assert!(!may_hold_an_id(plain), "{plain}");
        }
        for doubtful in [
            "t/subject=ab12cd34/a.parquet",
            "t/12345678.parquet",
            "t/a%22b%5C1/x",
            "t/part-00000.parquet",
            "t/x 0000001.csv",
        ] {
            assert!(may_hold_an_id(doubtful), "{doubtful}");
        }
    }

    #[test]
    fn an_id_is_found_however_a_text_escapes_it() {
        let id = "a\"b\\c&d'e%f/1";
        let json = serde_json::json!({ "id": id, "path": "subject=a%22b%5Cc&d%27e%25f%2F1/x", "n": 1 }).to_string();
        assert_eq!(cut("a.json", &json, &[id]).unwrap().1, 2);
        let html = "<td>a&quot;b\\c&amp;d&#x27;e%f&#x2f;1</td><td>a\"b\\c&amp;d'e%f/1</td><td>a&quot;b\\c&amp;d&#39;e%f/1</td>";
        assert_eq!(cut("history.html", html, &[id]).unwrap().0, "<td>erased</td>".repeat(3));
        let toml = "select = \"a\\\"b\\\\c&d'e%f/1\"\n";
        assert_eq!(cut("pipeline.toml", toml, &[id]).unwrap().0, "select = \"erased\"\n");
        assert_eq!(cut("a.txt", "at ?id=a%22b%5Cc%26d%27e%25f%2F1&n=1", &[id]).unwrap().0, "at ?id=erased&n=1");
        assert_eq!(of(&[id]).met(json.as_bytes()), BTreeSet::from([id.to_owned()]));
        assert!(of(&[id]).without("a", b"\xff a\"b\\c&d'e%f/1").is_err());
        assert_eq!(of(&[id]).without("a", b"\xff").unwrap(), None);
    }
}
