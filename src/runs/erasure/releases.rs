//! What partners were given of subjects who are erased: their pseudonyms, and the notices by which partners learn whom to forget.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use arrow::array::Array;
use serde::Serialize;

use super::files::files;
use super::search::PSEUDONYM;
use crate::exit;
use crate::storage::durable::{create_folders, replace};
use crate::storage::encryption::KeyError;
use crate::tables::columns::texts;
use crate::tables::{read, without};

/// The folder of releases, in an output folder.
const RELEASES: &str = "releases/";
const KEY_ID: &str = "key_id";
const KEY_PERIOD: &str = "key_period";

/// The keys of partners, as far as they are at hand.
pub trait PartnerNames {
    /// The pseudonym of a subject, as people write its id, at a partner, under a key and in a period; nothing without the key.
    fn name(&self, partner: &str, key_id: &str, key_period: Option<&str>, subject: &str) -> Option<String>;
}

/// Under which key, and in which period, a pseudonym was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Under {
    /// The key, by name.
    pub key_id: String,
    /// The period.
    pub key_period: Option<String>,
}

/// A pseudonym that a partner must forget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Forget {
    /// The pseudonym.
    pub pseudonym: String,
    /// How it was made.
    #[serde(flatten)]
    pub under: Under,
}

/// What partners were given of some subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// By partner the pseudonyms it has.
    pub forget: BTreeMap<String, BTreeSet<Forget>>,
    /// Partners and names of keys that are not at hand, so that nobody can tell what was given under them.
    pub unknown: BTreeSet<String>,
    /// Subjects of whom partners were given something, by their ids.
    pub met: BTreeSet<String>,
}

/// A notice to a partner.
#[derive(Serialize)]
struct Notice<'a> {
    partner: &'a str,
    erasure: u64,
    at: &'a str,
    forget: &'a BTreeSet<Forget>,
}

/// Finds what partners were given of some subjects.
///
/// # Errors
/// When a table of a release is damaged, or the work is interrupted.
pub fn given(output: &Path, ids: &BTreeSet<String>, names: &dyn PartnerNames, stop: &AtomicBool) -> Result<Given> {
    let mut looked = Looked { ids, names, by_partner: BTreeMap::new(), given: Given::default() };
    for name in files(output)?.iter().filter(|name| name.starts_with(RELEASES) && name.ends_with(".parquet")) {
        match looked.at(&output.join(name), name, stop) {
            Err(error) if error.is::<KeyError>() => {
                let partner = partner_of(name).unwrap_or_default();
                looked.given.unknown.insert(format!("{partner}, the key that {name} is encrypted with"));
            }
            done => done?,
        }
    }
    Ok(looked.given)
}

/// The subjects by their pseudonyms; nothing where the key is not at hand.
type Names = Option<BTreeMap<String, String>>;

/// The look through all releases. Only the pseudonyms of those who are looked for are held, however many subjects were given.
struct Looked<'a> {
    ids: &'a BTreeSet<String>,
    names: &'a dyn PartnerNames,
    by_partner: BTreeMap<String, Vec<(Under, Names)>>,
    given: Given,
}

impl Looked<'_> {
    /// Looks at one table.
    fn at(&mut self, path: &Path, name: &str, stop: &AtomicBool) -> Result<()> {
        if !without::outline(path)?.0.iter().any(|column| column == PSEUDONYM) {
            return Ok(());
        }
        let partner = without::fact(path, "sesame.partner")?.or_else(|| partner_of(name));
        let partner = partner.with_context(|| format!("{name} does not say which partner it is for"))?;
        let key_id = without::fact(path, "sesame.key_id")?.unwrap_or_default();
        let period = without::fact(path, "sesame.key_period")?;
        for batch in read::batches(path, None)? {
            exit::check(stop)?;
            let batch = batch.with_context(|| format!("{name} is damaged"))?;
            // A list of those who have withdrawn tells row by row how each pseudonym was made.
            let column = |column: &str| batch.column_by_name(column).map(|_| texts(&batch, column)).transpose();
            let (keys, periods) = (column(KEY_ID)?, column(KEY_PERIOD)?);
            for (row, pseudonym) in texts(&batch, PSEUDONYM)?.iter().enumerate() {
                let Some(pseudonym) = pseudonym else { continue };
                match &keys {
                    Some(keys) => {
                        let period = periods.as_ref().filter(|p| p.is_valid(row)).map(|p| p.value(row));
                        self.row(&partner, keys.value(row), period, pseudonym);
                    }
                    None => self.row(&partner, &key_id, period.as_deref(), pseudonym),
                }
            }
        }
        Ok(())
    }

    /// Looks at one pseudonym.
    fn row(&mut self, partner: &str, key_id: &str, period: Option<&str>, pseudonym: &str) {
        if !self.by_partner.contains_key(partner) {
            self.by_partner.insert(partner.to_owned(), Vec::new());
        }
        let Some(made) = self.by_partner.get_mut(partner) else { return };
        let is = |(under, _): &(Under, Names)| under.key_id == key_id && under.key_period.as_deref() == period;
        let at = made.iter().position(is).unwrap_or_else(|| {
            let name = |id: &String| Some((self.names.name(partner, key_id, period, id)?, id.clone()));
            let names: Names = self.ids.iter().map(name).collect();
            if names.is_none() {
                self.given.unknown.insert(format!("{partner}, key {key_id}"));
            }
            made.push((Under { key_id: key_id.to_owned(), key_period: period.map(ToOwned::to_owned) }, names));
            made.len() - 1
        });
        let Some((under, Some(names))) = made.get(at) else { return };
        if let Some(id) = names.get(pseudonym) {
            let forget = Forget { pseudonym: pseudonym.to_owned(), under: under.clone() };
            self.given.forget.entry(partner.to_owned()).or_default().insert(forget);
            self.given.met.insert(id.clone());
        }
    }
}

/// The partner that a path names, as in `releases/partner=P/as_of=D/release.parquet`.
fn partner_of(path: &str) -> Option<String> {
    path.split('/').find_map(|part| part.strip_prefix("partner=")).map(ToOwned::to_owned)
}

/// Writes a notice for each partner, `PARTNER/erasure-N.json` below a folder.
///
/// # Errors
/// When one cannot be written.
pub fn notify(folder: &Path, erasure: u64, at: &str, given: &Given) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    for (partner, forget) in &given.forget {
        let plain = !partner.is_empty() && !partner.starts_with('.') && !partner.contains('/');
        ensure!(plain, "'{partner}' names no partner");
        let place = folder.join(partner);
        create_folders(&place)?;
        let notice = Notice { partner, erasure, at, forget };
        let text = serde_json::to_string_pretty(&notice)? + "\n";
        replace(&place.join(format!("erasure-{erasure}.json")), text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::file::metadata::KeyValue;

    use crate::storage::encryption::FileKey;
    use crate::tables::parquet_file::{ParquetFile, properties};

    struct Known;

    impl PartnerNames for Known {
        fn name(&self, partner: &str, key_id: &str, period: Option<&str>, subject: &str) -> Option<String> {
            (key_id != "lost").then(|| format!("{partner} {key_id} {} {subject}", period.unwrap_or("-")))
        }
    }

    fn write(path: &Path, columns: &[(&str, &[Option<&str>])], facts: &[(&str, &str)]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
        let facts = facts.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned())).collect();
        let properties = properties().unwrap().set_key_value_metadata(Some(facts)).build();
        let mut file = ParquetFile::create(path, Arc::new(Schema::new(fields)), properties).unwrap();
        let array = |values: &[Option<&str>]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        file.write(columns.iter().map(|(_, values)| array(values)).collect()).unwrap();
        file.finish().unwrap();
    }

    #[test]
    fn partners_are_told_of_what_they_were_given_and_of_nothing_else() {
        let output = tempfile::tempdir().unwrap();
        let place = |partner: &str, file: &str| {
            output.path().join(format!("releases/partner={partner}/as_of=2025-10-31/{file}"))
        };
        let key = |id| [("sesame.partner", "bank"), ("sesame.key_id", id), ("sesame.key_period", "Q4")];
        write(
            &place("bank", "release.parquet"),
            &[(PSEUDONYM, &[Some("bank k Q4 a"), Some("bank k Q4 x")])],
            &key("k"),
        );
        let withdrawn: [(&str, &[Option<&str>]); 3] = [
            (PSEUDONYM, &[Some("bank old - b"), Some("bank old - y")]),
            (KEY_ID, &[Some("old"), Some("old")]),
            (KEY_PERIOD, &[None, None]),
        ];
        write(&place("bank", "withdrawn.parquet"), &withdrawn, &key("k")[..1]);
        let lost = [("sesame.partner", "shop"), ("sesame.key_id", "lost")];
        write(&place("shop", "release.parquet"), &[(PSEUDONYM, &[Some("?")])], &lost);
        let ids = BTreeSet::from(["a", "b", "c"].map(str::to_owned));
        let found = given(output.path(), &ids, &Known, &AtomicBool::new(false)).unwrap();
        let names: Vec<&str> = found.forget["bank"].iter().map(|f| f.pseudonym.as_str()).collect();
        assert_eq!((names, found.forget.len()), (vec!["bank k Q4 a", "bank old - b"], 1));
        assert_eq!(found.unknown, BTreeSet::from(["shop, key lost".to_owned()]));
        assert_eq!(found.met, BTreeSet::from(["a", "b"].map(str::to_owned)));
        let notices = tempfile::tempdir().unwrap();
        notify(notices.path(), 2, "now", &found).unwrap();
        let text = std::fs::read_to_string(notices.path().join("bank/erasure-2.json")).unwrap();
        let notice: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(notice["forget"][0]["pseudonym"], "bank k Q4 a");
        assert_eq!(
            (&notice["forget"][0]["key_id"], &notice["forget"][1]["key_period"]),
            (&"k".into(), &serde_json::Value::Null)
        );
        assert!(!notices.path().join("shop").exists());
    }

    #[test]
    fn a_table_whose_key_of_files_is_gone_is_told_and_the_others_are_searched() {
        let output = tempfile::tempdir().unwrap();
        std::fs::write(output.path().join("k"), "000102030405060708090a0b0c0d0e0f").unwrap();
        let key = FileKey::read("key", "unit-key-that-is-gone", "file:k", |path| output.path().join(path)).unwrap();
        let place =
            |partner: &str| output.path().join(format!("releases/partner={partner}/as_of=2025-10-31/release.parquet"));
        write(
            &place("bank"),
            &[(PSEUDONYM, &[Some("bank k - a")])],
            &[("sesame.partner", "bank"), ("sesame.key_id", "k")],
        );
        std::fs::create_dir_all(place("shop").parent().unwrap()).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new(PSEUDONYM, DataType::Utf8, true)]));
        let properties = properties().unwrap().build();
        let mut file = ParquetFile::create_for(&place("shop"), schema, properties, Some(&key), false).unwrap();
        file.write(vec![Arc::new(StringArray::from(vec!["shop k - a"]))]).unwrap();
        file.finish().unwrap();
        let ids = BTreeSet::from(["a".to_owned()]);
        let found = given(output.path(), &ids, &Known, &AtomicBool::new(false)).unwrap();
        assert_eq!(found.forget.keys().collect::<Vec<_>>(), ["bank"]);
        let unknown = "shop, the key that releases/partner=shop/as_of=2025-10-31/release.parquet is encrypted with";
        assert_eq!(found.unknown, BTreeSet::from([unknown.to_owned()]));
    }
}
