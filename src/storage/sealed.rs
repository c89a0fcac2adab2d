//! Texts sealed with a key of files, by AES-GCM, for what is neither a table nor may be plain.

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::encryption::{FileKey, KeyError};
use super::key_text::base64 as decoded;

fn cipher(key: &FileKey) -> Result<LessSafeKey> {
    let algorithm = if key.bytes().len() == AES_128_GCM.key_len() { &AES_128_GCM } else { &AES_256_GCM };
    let key = UnboundKey::new(algorithm, key.bytes()).map_err(|_| anyhow!("defect: a key of another length"))?;
    Ok(LessSafeKey::new(key))
}

/// A text sealed with a key: base64 of nonce, ciphertext and tag. `beside` is authenticated with it, and must be said again to open it.
///
/// # Errors
/// When the system gives no random bytes.
pub fn seal(key: &FileKey, beside: &str, text: &str) -> Result<String> {
    let mut nonce = [0_u8; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| anyhow!("the system gives no random bytes"))?;
    let mut sealed = text.as_bytes().to_vec();
    let of_nonce = Nonce::assume_unique_for_key(nonce);
    cipher(key)?
        .seal_in_place_append_tag(of_nonce, Aad::from(beside.as_bytes()), &mut sealed)
        .map_err(|_| anyhow!("defect: the text is too long to be sealed"))?;
    Ok(STANDARD.encode([&nonce[..], &sealed[..]].concat()))
}

/// The text that was sealed.
///
/// # Errors
/// [`KeyError`] when it was sealed with another key, or beside something else, or was changed.
pub fn open(key: &FileKey, beside: &str, sealed: &str) -> Result<String> {
    let cipher = cipher(key)?;
    let opened = || -> Option<String> {
        let bytes = decoded(sealed.as_bytes())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = cipher.open_in_place(nonce, Aad::from(beside.as_bytes()), &mut sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    };
    let wrong =
        || KeyError(format!("the key `{}` does not open it: it is another key, or the text was changed", key.id()));
    Ok(opened().ok_or_else(wrong)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_beside_what_it_was_sealed_with_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("short"), "000102030405060708090a0b0c0d0e0f").unwrap();
        std::fs::write(folder.path().join("long"), "f".repeat(64)).unwrap();
        let key =
            |file: &str| FileKey::read("key", file, &format!("file:{file}"), |path| folder.path().join(path)).unwrap();
        let (short, long) = (key("short"), key("long"));
        for (key, other) in [(&short, &long), (&long, &short)] {
            let sealed = seal(key, "erasure 1 0", "subject a-1").unwrap();
            assert!(!sealed.contains("a-1") && sealed != seal(key, "erasure 1 0", "subject a-1").unwrap());
            assert_eq!(open(key, "erasure 1 0", &sealed).unwrap(), "subject a-1");
            for wrong in [open(other, "erasure 1 0", &sealed), open(key, "erasure 1 1", &sealed), open(key, "", "AAAA")]
            {
                assert!(wrong.unwrap_err().is::<KeyError>());
            }
        }
    }
}
