//! Keys as people write them, and the ids that keys are called by: what a text stands for, and what of it may be repeated.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};

/// The bytes that the text of a key stands for, or what is wrong with it.
pub(super) fn raw(text: &[u8]) -> Result<Vec<u8>, String> {
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Option<Vec<u8>> = text.iter().map(digit).collect();
    let bytes = match digits.filter(|digits| matches!(digits.len(), 32 | 64)) {
        Some(digits) => digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect(),
        None => base64(text).unwrap_or_default(),
    };
    match bytes.len() {
        16 | 32 => Ok(bytes),
        24 => Err("the key has 24 bytes; AES-192 is not supported, make one of 16 or 32".to_owned()),
        _ => Err(
            "the text is no key: write 16 or 32 random bytes in base64 or hexadecimal, as `openssl rand -base64 32` does"
                .to_owned(),
        ),
    }
}

/// The bytes of a base64 text of either alphabet, padded or not.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD_PAD_INDIFFERENT.decode(text).or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode(text)).ok()
}

/// Whether a text may be the id of a key.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

/// Whether a text could be a key itself, written where its id belongs.
#[must_use]
pub fn is_key(text: &str) -> bool {
    raw(text.as_bytes()).is_ok()
}

/// An id as a message may repeat it: what is no lawful id may be anything, and what could be a key may be one.
#[must_use]
pub fn shown(id: &str) -> &str {
    if is_id(id) && !is_key(id) { id } else { "(not shown: it may be a key)" }
}

/// Whether a text holds a secret.
#[must_use]
pub fn holds(text: &str, secret: &[u8]) -> bool {
    !secret.is_empty() && text.as_bytes().windows(secret.len()).any(|part| part == secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_text_of_sixteen_or_thirty_two_bytes() {
        let hex = "000102030405060708090a0b0c0d0e0f";
        let sixteen: Vec<u8> = (0..16).collect();
        assert_eq!(raw(hex.as_bytes()), Ok(sixteen.clone()));
        assert_eq!(raw(hex.to_uppercase().as_bytes()), Ok(sixteen.clone()));
        assert_eq!(raw(b"AAECAwQFBgcICQoLDA0ODw=="), Ok(sixteen.clone()));
        assert_eq!(raw(b"AAECAwQFBgcICQoLDA0ODw"), Ok(sixteen));
        assert_eq!(raw(b"//////////////////////////////////////////8="), Ok(vec![255; 32]));
        assert_eq!(raw(b"__________________________________________8"), Ok(vec![255; 32]));
        assert_eq!(raw(&b"f".repeat(64)), Ok(vec![255; 32]));
        assert!(raw(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").unwrap_err().contains("24 bytes"));
        for text in ["correct horse battery staple", "000102030405060708090a0b0c0d0e0", "AAECAwQFBgcICQoLDA0O"] {
            let fault = raw(text.as_bytes()).unwrap_err();
            assert!(fault.contains("openssl rand") && !fault.contains(text), "{fault}");
        }
    }

    #[test]
    fn what_could_be_a_key_is_not_shown() {
        let long = "f".repeat(64);
        let keys = ["000102030405060708090a0b0c0d0e0f", "AAECAwQFBgcICQoLDA0ODw", long.as_str()];
        assert!(keys.iter().all(|key| is_id(key) && is_key(key) && !shown(key).contains(*key)));
        assert!(!is_id("AAECAwQFBgcICQoLDA0ODw==") && !shown("AAECAwQFBgcICQoLDA0ODw==").contains("AAEC"));
        assert!(["2026-11", "partner-a-files-1", "the-id-of-a-key-of-2026-11"].iter().all(|id| shown(id) == *id));
        assert!(is_id("2026-11") && !is_id("") && !is_id("a b") && !is_id("\u{1b}[2J"));
        assert!(holds("a-secret-1", b"secret") && !holds("a-1", b"secret") && !holds("a", b""));
    }
}
