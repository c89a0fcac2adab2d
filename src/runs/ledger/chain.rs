//! How lines of the ledger hang together.

use crate::storage::hashes::Hash;

/// Whether a text can be a run's id: the name of a folder, and no way out of the one it is in.
pub(super) fn is_run_id(text: &str) -> bool {
    let lawful = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= 255 && text.chars().all(lawful) && !text.starts_with('.')
}

pub(super) fn head_text(count: u64, last: &str) -> String {
    format!("head {count} {last}")
}

pub(super) fn hash(line: &str) -> Hash {
    blake3::hash(line.as_bytes()).to_hex().to_string()
}

/// A line without its keyed hash, and the hash.
pub(super) fn split_mac(line: &str) -> Option<(String, &str)> {
    let at = line.rfind(",\"mac\":\"")?;
    let mac = line[at + 8..].strip_suffix("\"}")?;
    Some((format!("{}}}", &line[..at]), mac))
}
