//! The version of a file that another engine read: what stands for its content where this program cannot look at it.

use super::hashes::Hash;

/// What another engine told of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its kind and what tells it from others of the kind, such as `delta:TABLE@17`.
    pub text: String,
    /// Size in bytes; 0 when it was not told.
    pub bytes: u64,
}

impl Version {
    /// What stands for the hash of its content.
    #[must_use]
    pub fn identity(&self) -> Hash {
        format!("version:{}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stands_for_the_content() {
        let version = |text: &str| Version { text: text.to_owned(), bytes: 7 }.identity();
        assert_eq!(version("delta:0b1c@17"), "version:delta:0b1c@17");
        assert_ne!(version("delta:0b1c@17"), version("delta:0b1c@18"));
    }
}
