//! Secrets: read from where a user says, never shown.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::key_text::is_key;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource<'a> {
    /// In a variable of the environment.
    Env(&'a str),
    /// In a file.
    File(&'a str),
    /// What a command prints.
    Command(&'a str),
}

impl<'a> SecretSource<'a> {
    /// Reads `env:NAME`, `file:PATH` or `cmd:COMMAND`; `what` names the key or flag that says so.
    ///
    /// # Errors
    /// When the text is none of these; the message does not repeat it, for it may be the secret itself.
    pub fn parse(what: &str, source: &'a str) -> Result<Self> {
        match source.split_once(':') {
            Some(("env", name)) => Ok(Self::Env(name)),
            Some(("file", path)) => Ok(Self::File(path)),
            Some(("cmd", command)) => Ok(Self::Command(command)),
            _ => bail!("{what}: write \"env:NAME\", \"file:PATH\" or \"cmd:COMMAND\", never the key itself"),
        }
    }
}

/// A secret as its holder keeps it, without spaces at its ends.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Bytes that a secret must have at least.
const LEAST: usize = 16;

impl Secret {
    /// Reads the secret that `source` names; a path is resolved by `resolve`, a command is given to the shell.
    ///
    /// # Errors
    /// When there is none, or it is too short; the message never holds any of it.
    pub fn read(what: &str, source: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self> {
        let secret = match SecretSource::parse(what, source)? {
            SecretSource::Env(name) => match std::env::var_os(name) {
                Some(value) => value.into_encoded_bytes(),
                None if is_name(name) => bail!("{what}: the variable {name} is not set"),
                None => {
                    bail!(
                        "{what}: what follows `env:` is the name of no variable that is set; never write the key itself"
                    )
                }
            },
            SecretSource::File(path) => {
                let path = resolve(path);
                let is_file = fs_err::metadata(&path).with_context(|| what.to_owned())?.is_file();
                ensure!(is_file, "{what}: {} is no regular file", path.display());
                fs_err::read(path).with_context(|| what.to_owned())?
            }
            SecretSource::Command(command) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::null());
                let done = shell.output().with_context(|| format!("{what}: the command could not be started"))?;
                ensure!(done.status.success(), "{what}: the command ended with {}", done.status);
                done.stdout
            }
        };
        let secret = secret.trim_ascii();
        ensure!(secret.len() >= LEAST, "{what}: the key has {} bytes; make one of at least {LEAST}", secret.len());
        leave_no_core();
        Ok(Self(secret.to_vec()))
    }

    /// Its bytes, for deriving keys from them only.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// From now on a crash of this process leaves no image of its memory, and no other process of the user looks into it. Where that cannot
/// be had, as on other systems, the process goes on.
fn leave_no_core() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}

/// Whether a text is written as variables' names are, and so may be repeated in a message.
fn is_name(text: &str) -> bool {
    let lawful = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let first = |c: char| c.is_ascii_uppercase() || c == '_';
    text.len() <= 64 && text.chars().all(lawful) && text.starts_with(first) && !is_key(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_and_never_shown() {
        let read = |source: &str| {
            let secret = Secret::read("--key", source, |place| PathBuf::from(place));
            secret.map(|s| format!("{s:?}")).map_err(|e| format!("{e:#}"))
        };
        assert!(read("a secret of mine").unwrap_err().contains("never the key itself"));
        assert!(read("env:SESAME_NO_SUCH_VARIABLE").unwrap_err().contains("SESAME_NO_SUCH_VARIABLE is not set"));
        let mistyped = read("env:s3cr3t-s3cr3t-s3cr3t").unwrap_err();
        assert!(!mistyped.contains("s3cr3t"), "{mistyped}");
        let key = "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF";
        assert!(!read(&format!("env:{key}")).unwrap_err().contains(key));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short").unwrap();
        let source = format!("file:{}", file.path().display());
        assert!(read(&source).unwrap_err().contains("5 bytes"));
        std::fs::write(file.path(), "long enough to be a key\n").unwrap();
        assert_eq!(read(&source).unwrap(), "Secret(…)");
        assert_eq!(read("cmd:printf 'long enough to be a key'").unwrap(), "Secret(…)");
        #[cfg(target_os = "linux")]
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
        assert!(read("cmd:echo s3cr3t-s3cr3t-s3cr3t; exit 3").unwrap_err().contains("3"));
        assert!(!read("cmd:echo s3cr3t").unwrap_err().contains("s3cr3t"));
    }
}
