//! What an object was when it was looked at: another content has another tag.

use jiff::Timestamp;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

/// What an object was when it was looked at: its ETag and version, and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The ETag, as the store writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version, of stores that keep several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Size in bytes.
    pub size: u64,
}

impl Tag {
    /// The ETag, if it is another one with every other byte.
    #[must_use]
    pub fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/") && !bare(etag).is_empty())
    }

    fn version(&self) -> Option<&str> {
        // What S3 tells of a bucket that keeps none.
        self.version.as_deref().filter(|version| !["", "null"].contains(version))
    }
}

/// An ETag without its quotes: listings of some stores leave them out.
fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

/// A tag, and when the object was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The tag.
    pub tag: Tag,
    /// When it was changed last, to the second; 1970 where the server does not tell.
    pub modified: Timestamp,
}

impl Seen {
    /// What a store told of an object.
    #[must_use]
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self {
            tag: Tag { etag: meta.e_tag.clone(), version: meta.version.clone(), size: meta.size },
            // Headers have whole seconds, listings may have parts of one.
            modified: Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Whether another content must have another tag, as a strong ETag or a version vouches; otherwise size and time must do.
    #[must_use]
    pub fn vouched(&self) -> bool {
        self.tag.strong().is_some() || self.tag.version().is_some()
    }

    /// What stands for the hash of its content; nothing when the server tells too little.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let size = self.tag.size;
        if let Some(etag) = self.tag.strong() {
            return Some(format!("etag:{} size:{size}", bare(etag)));
        }
        if let Some(version) = self.tag.version() {
            return Some(format!("version:{version} size:{size}"));
        }
        let told = self.modified > Timestamp::UNIX_EPOCH;
        let weak = self.tag.etag.as_ref().map_or_else(String::new, |etag| format!("etag:{etag} "));
        told.then(|| format!("{weak}size:{size} modified:{}", self.modified))
    }

    /// Whether an object that is looked at again is the same.
    #[must_use]
    pub fn still(&self, now: &Self) -> bool {
        if self.tag.size != now.tag.size {
            return false;
        }
        match (self.tag.strong(), now.tag.strong(), self.tag.version(), now.tag.version()) {
            (Some(then), Some(now), ..) => bare(then) == bare(now),
            (_, _, Some(then), Some(now)) => then == now,
            _ => self.tag.etag == now.tag.etag && self.modified == now.modified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(etag: Option<&str>, version: Option<&str>, size: u64, second: i64) -> Seen {
        let tag = Tag { etag: etag.map(str::to_owned), version: version.map(str::to_owned), size };
        Seen { tag, modified: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn a_strong_etag_or_a_version_stands_for_the_content() {
        assert_eq!(seen(Some("\"a\""), None, 7, 0).identity().unwrap(), "etag:a size:7");
        assert_eq!(seen(Some("\"a\""), Some("v"), 7, 9).identity().unwrap(), "etag:a size:7");
        assert_eq!(seen(Some("W/\"a\""), Some("v"), 7, 9).identity().unwrap(), "version:v size:7");
        assert_eq!(
            seen(Some("W/\"a\""), Some("null"), 7, 9).identity().unwrap(),
            "etag:W/\"a\" size:7 modified:1970-01-01T00:00:09Z"
        );
        assert_eq!(seen(None, None, 7, 9).identity().unwrap(), "size:7 modified:1970-01-01T00:00:09Z");
        assert_eq!(seen(Some("W/\"a\""), None, 7, 0).identity(), None);
        assert!(!seen(Some("W/\"a\""), None, 7, 9).vouched() && seen(Some("\"a\""), None, 7, 9).vouched());
    }

    #[test]
    fn what_is_the_same_is_told_by_the_strongest_that_both_have() {
        let then = seen(Some("\"a\""), None, 7, 9);
        // A listing without quotes, and a version that a listing does not tell.
        assert!(then.still(&seen(Some("a"), Some("v"), 7, 10)));
        assert!(!then.still(&seen(Some("\"b\""), None, 7, 9)) && !then.still(&seen(Some("\"a\""), None, 8, 9)));
        let weak = seen(Some("W/\"a\""), None, 7, 9);
        assert!(weak.still(&weak) && !weak.still(&seen(Some("W/\"a\""), None, 7, 10)));
        assert!(!then.still(&seen(None, None, 7, 10)));
    }

    #[test]
    fn a_tag_is_kept_as_json() {
        let tag = Tag { etag: Some("\"a\"".to_owned()), version: None, size: 7 };
        let text = serde_json::to_string(&tag).unwrap();
        assert_eq!(text, r#"{"etag":"\"a\"","size":7}"#);
        assert_eq!(serde_json::from_str::<Tag>(&text).unwrap(), tag);
    }
}
