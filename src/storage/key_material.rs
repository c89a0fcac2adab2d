//! What a file's key metadata says: which key it was written with.
//!
//! It is the id of a key of ours, as this program and the direct interfaces of other libraries write it; or the key material that
//! pyarrow's `CryptoFactory` and parquet-java's key tools write, a JSON object in which the file's own key is wrapped: by the key of ours
//! that `masterKeyID` names, or by a key that is so wrapped. Wrapped means, as those tools do themselves, AES-GCM with the wrapping
//! key's id as what is authenticated beside it: base64 of nonce, ciphertext and tag.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;

use super::encryption::{self, KeyError, base64};

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

/// The key that key metadata names: the id of ours that it comes from, and the raw key.
///
/// # Errors
/// When it names no key that is to be had, or the key that it wraps does not come out.
pub(super) fn key(metadata: &[u8]) -> Result<(String, Vec<u8>), KeyError> {
    match serde_json::from_slice::<Material>(metadata) {
        Ok(material) => material.unwrapped(),
        Err(_) => {
            let key = encryption::key(&String::from_utf8_lossy(metadata))?;
            Ok((key.id().to_owned(), key.bytes().to_vec()))
        }
    }
}

impl Material {
    fn unwrapped(&self) -> Result<(String, Vec<u8>), KeyError> {
        let fault = |what: &str| KeyError(format!("encrypted with a key that is wrapped, and its key material {what}"));
        if self.key_material_type != "PKMT1" || !self.internal_storage {
            return Err(fault("is not in the file; write it with internal_key_material=True"));
        }
        let (Some(id), Some(wrapped)) = (&self.master_key_id, &self.wrapped_dek) else {
            return Err(fault("is incomplete"));
        };
        let master = encryption::key(id)?;
        let not_ours = || {
            KeyError(format!(
                "encrypted with a key that is wrapped, and the key `{id}` does not unwrap it: it is another key, or was wrapped in \
                 another way than by AES-GCM with the key's id authenticated, as docs/privacy-encryption.md shows"
            ))
        };
        let key = match (self.double_wrapping, &self.key_encryption_key_id, &self.wrapped_kek) {
            (false, ..) => unwrap(master.bytes(), wrapped, id.as_bytes()),
            (true, Some(between), Some(kek)) => unwrap(master.bytes(), kek, id.as_bytes())
                .zip(base64(between.as_bytes()))
                .and_then(|(kek, between)| unwrap(&kek, wrapped, &between)),
            (true, ..) => return Err(fault("is incomplete")),
        };
        Ok((id.clone(), key.ok_or_else(not_ours)?))
    }
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
        encryption::name(None, &at, folder.path());
        assert_eq!(key(b"2026-11").unwrap(), ("2026-11".to_owned(), (0..16).collect()));
        for material in [DOUBLE, SINGLE] {
            let (id, found) = key(material.as_bytes()).unwrap();
            assert_eq!((id.as_str(), found.len()), ("2026-11", 16));
            let other = key(material.replace("2026-11", "unit-other").as_bytes()).unwrap_err().to_string();
            assert!(other.contains("`unit-other` does not unwrap it"), "{other}");
            let unknown = key(material.replace("2026-11", "unit-none").as_bytes()).unwrap_err().to_string();
            assert!(unknown.contains("`unit-none`, which is not named"), "{unknown}");
        }
        let outside = key(SINGLE.replace("true", "false").as_bytes()).unwrap_err().to_string();
        assert!(outside.contains("internal_key_material"), "{outside}");
    }
}
