//! The notice that can be sent to the person, in the model's words and one of its languages.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, bail};

use super::parts::Explanation;
use crate::pipeline::Model;

/// Fills in the model's notice.
///
/// # Errors
/// When the model has no notice, or none in this language.
pub fn notice(model: &Model, explanation: &Explanation, language: &str) -> Result<String> {
    let Some(notice) = &model.card.notice else { bail!("the model {} has no [notice]", model.label()) };
    let texts = if explanation.scored.is_some() { &notice.get_ref().scored } else { &notice.get_ref().unscored };
    let Some(text) = texts.get(language) else {
        let known: Vec<&str> = texts.keys().map(String::as_str).collect();
        bail!("the model {} has no notice in {language:?}; there are {}", model.label(), known.join(", "))
    };
    let scored = explanation.scored.as_ref();
    let number = |of: Option<i64>| of.map_or_else(String::new, |n| n.to_string());
    let band = scored.map_or_else(String::new, |s| in_language(&s.band_title, language).unwrap_or(&s.band).to_owned());
    let places = [
        ("{as_of}", explanation.as_of.to_string()),
        ("{score}", number(scored.map(|s| s.score))),
        ("{low}", explanation.low.to_string()),
        ("{high}", explanation.high.to_string()),
        ("{band}", band),
        ("{reasons}", reasons(explanation, language)),
        ("{disputed_records}", explanation.disputed_records.to_string()),
        // Last, so that nothing in an id is taken for a place.
        ("{subject}", explanation.subject.clone()),
    ];
    let filled =
        places.into_iter().fold(text.trim_start().to_owned(), |text, (place, with)| text.replace(place, &with));
    Ok(filled)
}

/// A text in a language, or in English.
#[must_use]
pub fn in_language<'a>(texts: &'a BTreeMap<String, String>, language: &str) -> Option<&'a String> {
    texts.get(language).or_else(|| texts.get("en"))
}

fn reasons(explanation: &Explanation, language: &str) -> String {
    let mut text = String::new();
    let many = explanation.reasons.len() > 1;
    for (n, reason) in explanation.reasons.iter().enumerate() {
        let number = if many { format!("{}. ", n + 1) } else { String::new() };
        let said = in_language(&reason.text, language).map_or("", String::as_str);
        let _ = write!(text, "{}{number}{said}", if n > 0 { "\n" } else { "" });
        if let Some(advice) = in_language(&reason.advice, language) {
            let indent = " ".repeat(number.len());
            let _ = write!(text, "\n{indent}{advice}");
        }
    }
    text
}
