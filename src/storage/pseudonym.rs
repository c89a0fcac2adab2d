//! Pseudonyms: names that only the holder of a key can tell whose they are.

use ring::hmac;

use super::secret::Secret;

/// The bytes of a pseudonym.
pub type Name = [u8; 16];

/// A pseudonym's bytes as it is written: 32 hexadecimal digits.
#[must_use]
pub fn written(name: &Name) -> String {
    name.iter().fold(String::with_capacity(32), |text, byte| text + &format!("{byte:02x}"))
}

/// The bytes of a pseudonym that is written so; nothing when it is none.
#[must_use]
pub fn parsed(text: &str) -> Option<Name> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?));
    bytes.collect::<Option<Vec<u8>>>().filter(|_| odd.is_empty())?.try_into().ok()
}

/// What makes pseudonyms under one key.
#[derive(Debug, Clone)]
pub struct Pseudonyms(hmac::Key);

impl Pseudonyms {
    /// Those of a secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()))
    }

    /// HMAC-SHA-256 over the domain, a zero byte and the id, cut to 128 bits, in 32 hexadecimal digits. Ids of one domain join, those of
    /// two do not.
    #[must_use]
    pub fn name(&self, domain: &str, id: &[u8]) -> String {
        written(&self.bytes(domain, id))
    }

    /// The bytes of [`Pseudonyms::name`].
    #[must_use]
    pub fn bytes(&self, domain: &str, id: &[u8]) -> Name {
        let mut context = hmac::Context::with_key(&self.0);
        [domain.as_bytes(), &[0], id].iter().for_each(|part| context.update(part));
        let mut name = Name::default();
        name.iter_mut().zip(context.sign().as_ref()).for_each(|(byte, of_tag)| *byte = *of_tag);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_hmac_that_others_work_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef").unwrap();
        let source = format!("file:{}", file.path().display());
        let names = Pseudonyms::of(&Secret::read("key", &source, |place| place.into()).unwrap());
        // python: hmac.new(b"0123456789abcdef", b"subject\0A-1", "sha256").hexdigest()[:32]
        assert_eq!(names.name("subject", b"A-1"), "9b646f0e86f81b82bfcd2d72dc434653");
        assert_ne!(names.name("record", b"A-1"), names.name("subject", b"A-1"));
        assert_eq!(parsed(&names.name("subject", b"A-1")), Some(names.bytes("subject", b"A-1")));
        assert!(["", "9b646f0e", "9b646f0e86f81b82bfcd2d72dc43465+"].iter().all(|text| parsed(text).is_none()));
    }
}
