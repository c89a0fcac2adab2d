//! The pseudonyms of a partner: its own, and of a period its own, so that neither two partners nor one partner in two periods can join
//! what they got.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use crate::pipeline::partners::{Partner, Partners};
use crate::storage::key_text::{holds, shown};
use crate::storage::pseudonym::{Name, Pseudonyms, written};
use crate::storage::secret::Secret;

/// The keys of a partner, by name.
pub struct Keys {
    partner: String,
    key_id: String,
    key_period: Option<String>,
    names: BTreeMap<String, Pseudonyms>,
    lost: Vec<String>,
}

impl Keys {
    /// Reads the keys that a partner is declared with.
    ///
    /// # Errors
    /// When one of them is not there; the message never holds any of it.
    pub fn read(partners: &Partners, partner: &Partner) -> Result<Self> {
        let (keys, mut missing) = Self::available(partners, partner);
        if missing.is_empty() { Ok(keys) } else { Err(missing.remove(0)) }
    }

    /// Reads those of the keys that are there, and says what is wrong with the others.
    #[must_use]
    pub fn available(partners: &Partners, partner: &Partner) -> (Self, Vec<anyhow::Error>) {
        let declared = std::iter::once((&partner.key_id, &partner.key));
        let declared = declared.chain(partner.earlier_keys.iter().map(|k| (&k.id, &k.key)));
        let (mut names, mut missing) = (BTreeMap::new(), Vec::new());
        for (id, source) in declared {
            let what = format!("{}: the key `{}` of the partner {}", partners.path.display(), shown(id), partner.id);
            match Secret::read(&what, source, |path| partners.resolve(path)) {
                // What a key is called stands in every release.
                Ok(secret) if holds(id, secret.bytes()) => missing.push(anyhow!(
                    "{}: the name of a key of the partner {} holds the key itself; call it otherwise, and make a new key",
                    partners.path.display(),
                    partner.id
                )),
                Ok(secret) => drop(names.insert(id.clone(), Pseudonyms::of(&secret))),
                Err(error) => missing.push(error),
            }
        }
        let keys = Self {
            partner: partner.id.clone(),
            key_id: partner.key_id.clone(),
            key_period: partner.key_period.clone(),
            names,
            lost: partner.lost_keys.clone(),
        };
        (keys, missing)
    }

    /// The partner.
    #[must_use]
    pub fn partner(&self) -> &str {
        &self.partner
    }

    /// Whether nobody has a key any more.
    #[must_use]
    pub fn is_lost(&self, key_id: &str) -> bool {
        self.lost.iter().any(|lost| lost == key_id)
    }

    /// Whether a key is here.
    #[must_use]
    pub fn has(&self, key_id: &str) -> bool {
        self.names.contains_key(key_id)
    }

    /// The pseudonym of a subject, as people write its id, under a key and in a period; nothing without the key.
    #[must_use]
    pub fn name(&self, key_id: &str, key_period: Option<&str>, subject: &str) -> Option<String> {
        self.bytes(key_id, key_period, subject).map(|name| written(&name))
    }

    /// The bytes of [`Keys::name`].
    #[must_use]
    pub fn bytes(&self, key_id: &str, key_period: Option<&str>, subject: &str) -> Option<Name> {
        let names = self.names.get(key_id)?;
        // Neither an id nor a period holds a blank.
        let domain = match key_period {
            Some(period) => format!("release {} {period}", self.partner),
            None => format!("release {}", self.partner),
        };
        Some(names.bytes(&domain, subject.as_bytes()))
    }

    /// The pseudonym of a subject in a release that is made now; nothing without the key.
    #[must_use]
    pub fn now(&self, subject: &str) -> Option<Name> {
        self.bytes(&self.key_id, self.key_period.as_deref(), subject)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pipeline::Source;

    #[test]
    fn neither_partners_nor_periods_nor_keys_share_a_pseudonym() {
        let folder = tempfile::tempdir().unwrap();
        for (file, key) in [("one", "0123456789abcdef"), ("two", "fedcba9876543210")] {
            fs_err::write(folder.path().join(file), key).unwrap();
        }
        let of = |id: &str, key: &str, more: &str| {
            let text = format!("[[partner]]\nid='{id}'\ntitle='t'\nkey='file:{key}'\nkey_id='k'\n{more}");
            let source = Source { path: folder.path().join("partners.toml"), text };
            let partners = Partners::parse(&source).unwrap();
            written(&Keys::read(&partners, partners.get(id).unwrap()).unwrap().now("s1").unwrap())
        };
        let period = "key_period='2026-Q4'";
        let names = [
            of("a", "one", period),
            of("b", "one", period),
            of("a", "two", period),
            of("a", "one", "key_period='2027-Q1'"),
            of("a", "one", "join_periods=true"),
        ];
        // python: hmac.new(b"0123456789abcdef", b"release a 2026-Q4\0s1", "sha256").hexdigest()[:32]
        assert_eq!(names[0], "1f6b75f356fcb3084d9129757f50c299");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(of("a", "one", period), names[0]);
    }

    #[test]
    fn a_key_is_not_called_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("key"), "a-passphrase-of-a").unwrap();
        let text = "[[partner]]\nid='a'\ntitle='t'\nkey='file:key'\nkey_id='26-a-passphrase-of-a'\nkey_period='x'\n"
            .to_owned();
        let partners = Partners::parse(&Source { path: folder.path().join("partners.toml"), text }).unwrap();
        let told = Keys::read(&partners, partners.get("a").unwrap()).err().unwrap().to_string();
        assert!(told.contains("holds the key itself") && !told.contains("passphrase"), "{told}");
    }
}
