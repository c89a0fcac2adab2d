//! What is wrong with a file, collected so that all of it is reported at once.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::storage::key_text::shown;

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 when the finding is about the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message),
        }
    }
}

/// Everything wrong with one or more files.
#[derive(Debug, Default, thiserror::Error)]
pub struct Findings(pub Vec<Finding>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl Findings {
    /// The value, or nothing after taking over what was found wrong.
    ///
    /// # Errors
    /// When the error is something else than findings.
    pub fn collect<T>(&mut self, result: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.0.extend(error.downcast::<Self>()?.0);
                Ok(None)
            }
        }
    }

    /// The value if nothing is wrong, otherwise every finding in order of file, line, and the numbers in its message.
    ///
    /// # Errors
    /// The findings, when there are any.
    pub fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|a, b| {
            let place = (&a.file, a.line).cmp(&(&b.file, b.line));
            place.then_with(|| in_numbers(&a.message, &b.message))
        });
        self.0.dedup();
        Err(self)
    }

    /// Nothing if there are no errors; otherwise one that tells what all of them do, findings in their order first.
    ///
    /// # Errors
    /// When there are errors.
    pub fn together(errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
        let (mut all, mut others) = (Self::default(), Vec::new());
        for error in errors {
            match all.collect(Err::<(), _>(error)) {
                Ok(_) => {}
                Err(other) => others.push(format!("{other:#}")),
            }
        }
        let told = all.or(()).err().map(|findings| findings.to_string());
        let told: Vec<String> = told.into_iter().chain(others).collect();
        anyhow::ensure!(told.is_empty(), "{}", told.join("\n"));
        Ok(())
    }
}

/// The order of texts in which numbers stand as numbers do: row 9 before row 10.
fn in_numbers(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> impl Iterator<Item = (usize, &[u8])> {
        let chunks = text.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        chunks.map(|chunk| match chunk.first().is_some_and(u8::is_ascii_digit) {
            true => {
                let zeros = chunk.iter().take_while(|digit| **digit == b'0').count();
                (chunk.len() - zeros + 1, &chunk[zeros..])
            }
            false => (0, chunk),
        })
    }
    parts(a).cmp(parts(b)).then_with(|| a.cmp(b))
}

/// A file's text, and the lines that byte positions in it stand on.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Source {
    /// What the file says but for some keys at its top: without comments, and with its keys in order.
    #[must_use]
    pub fn meaning(&self, but: &[&str]) -> String {
        match toml::from_str::<toml::Table>(&self.text) {
            Ok(mut table) => {
                table.retain(|key, _| !but.iter().any(|name| *key == **name));
                table.to_string()
            }
            // A file that could not be read is refused elsewhere.
            Err(_) => self.text.clone(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read; the error names the path.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match fs_err::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                anyhow::bail!(
                    "there is no file {}; name a pipeline or model file (`sesame init` writes both)",
                    path.display()
                )
            }
            Ok(found) if found.is_dir() => {
                anyhow::bail!("{} is a folder; name a pipeline or model file in it", path.display())
            }
            found => anyhow::ensure!(found?.is_file(), "{} is no regular file", path.display()),
        }
        Ok(Self { path: path.to_owned(), text: fs_err::read_to_string(path)? })
    }

    /// The line, from 1, of a byte position.
    #[must_use]
    pub fn line(&self, span: &Range<usize>) -> usize {
        let upto = self.text.get(..span.start).unwrap_or(&self.text);
        upto.bytes().filter(|b| *b == b'\n').count() + 1
    }

    /// A finding at a span.
    #[must_use]
    pub fn finding(&self, span: &Range<usize>, message: impl Into<String>) -> Finding {
        Finding { file: self.path.clone(), line: self.line(span), message: message.into() }
    }

    /// Parses the text as TOML. Where keys are named, nothing of it is repeated.
    ///
    /// # Errors
    /// One finding with the place of the first mistake.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Finding> {
        self.parsed(|line| self.names_keys(line))
    }

    /// The same for a file that is all about keys.
    ///
    /// # Errors
    /// As [`Source::parse`].
    pub fn parse_discreetly<T: serde::de::DeserializeOwned>(&self) -> Result<T, Finding> {
        self.parsed(|_| true)
    }

    /// Whether a line, from 1, is in a pipeline's section on privacy.
    fn names_keys(&self, line: usize) -> bool {
        let of_privacy = |text: &str| text.trim_start_matches(['[', ' ', '"', '\'']).starts_with("privacy");
        let mut upto = self.text.lines().take(line).map(str::trim_start).collect::<Vec<_>>().into_iter().rev();
        let here = upto.next().unwrap_or_default();
        let header = std::iter::once(here).chain(upto).find(|text| text.starts_with('['));
        of_privacy(here) || header.is_some_and(of_privacy)
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, is_secret: impl Fn(usize) -> bool) -> Result<T, Finding> {
        toml::from_str(&self.text).map_err(|e| {
            let span = e.span().unwrap_or(0..0);
            let secret = is_secret(self.line(&span));
            let message = e.message().trim();
            let message = if secret { discreet(message) } else { message.to_owned() };
            if message.starts_with("missing field") {
                return self.finding(
                    &span,
                    format!("{message}; add it (`sesame schema pipeline|model|features` lists the keys)"),
                );
            }
            // What is no TOML is best shown.
            let line = self.text.lines().nth(self.line(&span).saturating_sub(1)).unwrap_or_default().trim();
            match toml::from_str::<toml::Table>(&self.text).is_err() && !line.is_empty() && !secret {
                true => {
                    let shown: String = line.chars().take(SHOWN).collect();
                    self.finding(&span, format!("{message}: `{shown}`; a text stands in double quotes"))
                }
                false => self.finding(&span, message),
            }
        })
    }
}

/// A message about a text that may be a key, without the text.
fn discreet(message: &str) -> String {
    if let Some((before, rest)) = message.split_once("string \"") {
        return format!("{before}a text{}", rest.rsplit_once('"').map_or("", |(_, after)| after));
    }
    match message.split_once('`').and_then(|(before, rest)| Some((before, rest.split_once('`')?))) {
        Some((before, (name, after))) => format!("{before}`{}`{after}", shown(name)),
        None => message.to_owned(),
    }
}

/// Characters of a faulty line that are shown.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_in_order_of_file_line_and_numbers() {
        let finding =
            |file: &str, line, message: &str| Finding { file: file.into(), line, message: message.to_owned() };
        let told = |found: &[Finding]| Findings(found.to_vec());
        let [nine, ten, hundred] = [9, 10, 100].map(|row| finding("a", 0, &format!("row {row} contradicts row 3")));
        let (second, other) = (finding("a", 2, "a"), finding("b", 0, "row 1"));
        let found = [&other, &hundred, &second, &nine, &ten, &nine].map(Clone::clone);
        let all = [nine, ten, hundred, second, other];
        assert_eq!(told(&found).or(()).unwrap_err().0, all);
        let parts =
            [told(&found[..3]).into(), anyhow::anyhow!("no room").context("spilling"), told(&found[3..]).into()];
        let error = Findings::together(parts.into()).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("{}\nspilling: no room", told(&all)));
        assert!(Findings::together(Vec::new()).is_ok());
        assert_eq!(in_numbers("row 07", "row 7"), Ordering::Less);
        assert_eq!(in_numbers("row 0", "row 00 of"), Ordering::Less);
    }

    /// What is said of a text whose keys are a table of texts, and one of tables of texts.
    fn told(text: &str) -> String {
        let source = Source { path: "p.toml".into(), text: text.to_owned() };
        source.parse::<std::collections::BTreeMap<String, toml::Table>>().unwrap_err().to_string()
    }

    #[test]
    fn a_faulty_line_is_shown_unless_it_may_hold_a_key() {
        assert!(told("[inputs]\nsubjects = s.parquet\n").contains("`subjects = s.parquet`"));
        for text in [
            "[privacy]\nledger_key = s3cr3t-s3cr3t\n",
            "[ privacy.keys.at ]\na = 'env:A'\n'2026-11' = s3cr3t-s3cr3t\n",
            "[privacy.keys]\nat = { a = 'env:A', b = s3cr3t-s3cr3t }\n[inputs]\n",
            "privacy.ledger_key = s3cr3t-s3cr3t\n[inputs]\n",
            "privacy = 's3cr3t-s3cr3t'\n",
        ] {
            let told = told(text);
            assert!(!told.contains("s3cr3t") && told.starts_with("p.toml:"), "{told}");
        }
        assert!(told("[privacy]\n[inputs]\nsubjects = s.parquet\n").contains("s.parquet"));
        assert!(told("inputs = 's.parquet'\n").contains("s.parquet"));
    }
}
