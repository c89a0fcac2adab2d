//! What a file's key metadata says: which key it was written with.
//!
//! It is the id of a key of ours, as this program and the direct interfaces of other libraries write it; or the key material that
//! pyarrow's `CryptoFactory` and parquet-java's key tools write, a JSON object in which the file's own key is wrapped: by the key of ours
//! that `masterKeyID` names, or by a key that is so wrapped. Wrapped means, as those tools do themselves, AES-GCM with the wrapping
//! key's id as what is authenticated beside it: base64 of nonce, ciphertext and tag.

use std::sync::Arc;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;

use super::encryption::{self, FileKey, KeyError};
use super::key_text::{base64, shown};

/// Key material within a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    key_material_type: String,
    #[serde(default)]
    internal_storage: bool,
    #[serde(rename = "masterKeyID")]
    master_key_id: Option<String>,
    #[serde(rename = "wrappedDEK")]
    wrapped_dek: Option<String>,
    #[serde(default)]
    double_wrapping: bool,
    #[serde(rename = "keyEncryptionKeyID")]
    key_encryption_key_id: Option<String>,
    #[serde(rename = "wrappedKEK")]
    wrapped_kek: Option<String>,
}

/// Gives the key of ours of an id; of several of that id, the one that is to be tried.
pub(super) type Ours<'a> = dyn Fn(&str) -> Result<Arc<FileKey>, KeyError> + 'a;

/// The key that key metadata names: the key of ours that it comes from, and the raw key.
///
/// # Errors
/// When it names no key that is to be had, or the key that it wraps does not come out.
pub(super) fn key(metadata: &[u8], ours: &Ours) -> Result<(Arc<FileKey>, Vec<u8>), KeyError> {
    match serde_json::from_slice::<Material>(metadata) {
        Ok(material) => material.unwrapped(),
        Err(_) => {
            let key = ours(&String::from_utf8_lossy(metadata))?;
            let raw = key.bytes().to_vec();
            Ok((key, raw))
        }
    }
}

impl Material {
    /// Of several keys of one id that one is meant which unwraps it.
    fn unwrapped(&self) -> Result<(Arc<FileKey>, Vec<u8>), KeyError> {
        let fault = |what: &str| KeyError(format!("encrypted with a key that is wrapped, and its key material {what}"));
        if self.key_material_type != "PKMT1" || !self.internal_storage {
            return Err(fault("is not in the file; write it with internal_key_material=True"));
        }
        let (Some(id), Some(wrapped)) = (&self.master_key_id, &self.wrapped_dek) else {
            return Err(fault("is incomplete"));
        };
        let between = match (self.double_wrapping, &self.key_encryption_key_id, &self.wrapped_kek) {
            (false, ..) => None,
            (true, Some(between), Some(kek)) => Some((between.as_str(), kek.as_str())),
            (true, ..) => return Err(fault("is incomplete")),
        };
        let mut missing = None;
        for at in 0..encryption::places(id).max(1) {
            match encryption::key_at(id, at) {
                Ok(master) => {
                    if let Some(key) = unwrapped_by(&master, id, wrapped, between) {
                        return Ok((master, key));
                    }
                }
                Err(error) => missing = missing.or(Some(error)),
            }
        }
        Err(missing.unwrap_or_else(|| {
            KeyError(format!(
                "encrypted with a key that is wrapped, and the key `{}` does not unwrap it: it is another key, or was wrapped in \
                 another way than by AES-GCM with the key's id authenticated, as docs/privacy-encryption.md shows",
                shown(id)
            ))
        }))
    }
}

/// The key that a key of ours wraps, or that one wraps which it wraps; nothing when it is another.
fn unwrapped_by(master: &FileKey, id: &str, wrapped: &str, between: Option<(&str, &str)>) -> Option<Vec<u8>> {
    let Some((between, kek)) = between else { return unwrap(master.bytes(), wrapped, id.as_bytes()) };
    unwrap(&unwrap(master.bytes(), kek, id.as_bytes())?, wrapped, &base64(between.as_bytes())?)
}

/// The key that a text wraps; nothing when another key wrapped it.
fn unwrap(by: &[u8], wrapped: &str, authenticated: &[u8]) -> Option<Vec<u8>> {
    let algorithm = if by.len() == AES_128_GCM.key_len() { &AES_128_GCM } else { &AES_256_GCM };
    let by = LessSafeKey::new(UnboundKey::new(algorithm, by).ok()?);
    let bytes = base64(wrapped.as_bytes())?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    Some(by.open_in_place(nonce, Aad::from(authenticated), &mut sealed).ok()?.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::storage::encryption::By;

    /// Of a file by pyarrow 26.0.1 with a `KmsClient` as the documentation has it; the master key is the bytes 0 to 15.
    const DOUBLE: &str = r#"{"keyMaterialType":"PKMT1","internalStorage":true,"isFooterKey":true,"kmsInstanceID":"DEFAULT","kmsInstanceURL":"DEFAULT","masterKeyID":"2026-11","wrappedDEK":"YQg5uIw7SbaQ/P703oTpLx3kYiuiWYKLOSr9Q3y5GM+EqXNxe2GVf4JzLsY=","doubleWrapping":true,"keyEncryptionKeyID":"5dBJirwwMtcL0SCPdjuPDA==","wrappedKEK":"PabcL0T4DSkmWzfPLEAFnkutckWbUVGQoj1sBfZt0aQBcZBZEUenCYRy3Ec="}"#;
    const SINGLE: &str = r#"{"keyMaterialType":"PKMT1","internalStorage":true,"isFooterKey":false,"masterKeyID":"2026-11","wrappedDEK":"ltZ2dMDt9rldaP6YQaFa/cBPKrvErN2DhFjjAMEgtiN+sf5QB1O1Qc30ChE=","doubleWrapping":false}"#;

    #[test]
    fn wrapped_keys_come_out_with_the_key_that_wrapped_them_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "000102030405060708090a0b0c0d0e0f").unwrap();
        std::fs::write(folder.path().join("other"), "f".repeat(64)).unwrap();
        let at = [("2026-11", "file:k"), ("unit-other", "file:other")];
        let at: BTreeMap<String, String> = at.map(|(id, at)| (id.to_owned(), at.to_owned())).into();
        // Of two keys of one id the one that unwraps is taken.
        let wrong = BTreeMap::from([("2026-11".to_owned(), "file:other".to_owned())]);
        encryption::name(None, &wrong, folder.path(), By::User);
        encryption::name(None, &at, folder.path(), By::User);
        let key = |metadata: &[u8]| key(metadata, &|id| encryption::key_at(id, 1));
        let (found, raw) = key(b"2026-11").unwrap();
        assert_eq!((found.id(), raw), ("2026-11", (0..16).collect()));
        for material in [DOUBLE, SINGLE] {
            let (of, found) = key(material.as_bytes()).unwrap();
            assert_eq!((of.id(), of.bytes()[15], found.len()), ("2026-11", 15, 16));
            let other = key(material.replace("2026-11", "unit-other").as_bytes()).unwrap_err().to_string();
            assert!(other.contains("`unit-other` does not unwrap it"), "{other}");
            let unknown = key(material.replace("2026-11", "unit-none").as_bytes()).unwrap_err().to_string();
            assert!(unknown.contains("`unit-none`, which is not named"), "{unknown}");
        }
        let outside = key(SINGLE.replace("true", "false").as_bytes()).unwrap_err().to_string();
        assert!(outside.contains("internal_key_material"), "{outside}");
    }
}
