//! Stores, as URLs name them: one client for each bucket or server, kept for the life of the process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::fault::unset;
use super::runtime;

/// How often a request is tried again when nothing is said.
const RETRIES: usize = 8;
/// Says otherwise.
const RETRIES_VARIABLE: &str = "SESAME_OBJECT_RETRIES";
/// How long it is tried again, and how long a wait between two tries is at most.
const RETRY_FOR: Duration = Duration::from_secs(90);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a request may take at most, and how long it may bring nothing before it is given up: what asks and reads, and what puts a few
/// megabytes.
const SECONDS: u64 = 300;
const SECONDS_OF_SILENCE: u64 = 30;
/// The same of what puts many megabytes: an answer comes only when all of them are there. A connection that is dead ends it before that.
const PATIENT_SECONDS: u64 = 3600;
/// What in an address is a signature, wherever it stands.
const SIGNED: [&str; 4] = ["x-amz-", "x-goog-", "sig=", "signature="];

/// Two clients of one store.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// For all that is soon done.
    pub(super) quick: Arc<dyn ObjectStore>,
    /// For puts of many megabytes.
    pub(super) patient: Arc<dyn ObjectStore>,
}

/// The stores that were named so far, by the URL of their bucket or server.
static STORES: Mutex<BTreeMap<String, Clients>> = Mutex::new(BTreeMap::new());

/// What is served at a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    S3,
    Google,
    Azure,
    Http,
}

impl Scheme {
    fn of(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "s3" => Self::S3,
            "gs" => Self::Google,
            "az" => Self::Azure,
            "http" | "https" => Self::Http,
            _ => return None,
        };
        Some((scheme, rest))
    }
}

/// Whether a path is a URL of an object store: s3://, gs://, az://, https:// or http:// (the last two only for reading).
#[must_use]
pub fn is_url(text: &str) -> bool {
    Scheme::of(text).is_some()
}

/// Whether what lies at a URL can be listed and written: a web server serves single objects.
#[must_use]
pub fn lists(url: &str) -> bool {
    Scheme::of(url).is_some_and(|(scheme, _)| scheme != Scheme::Http)
}

/// Refuses an address that holds a password or a signature, without showing it.
///
/// # Errors
/// When it holds one.
pub fn no_secret(url: &str) -> Result<()> {
    let Some((scheme, rest)) = Scheme::of(url) else { return Ok(()) };
    let bucket = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    ensure!(!bucket.contains('@'), "an address with a name or password in it is not read");
    let after = url.split_once('?').map_or("", |(_, after)| after).to_ascii_lowercase();
    // Of a web address no query is read at all, which is said where it is opened.
    ensure!(
        scheme == Scheme::Http || !SIGNED.iter().any(|mark| after.contains(mark)),
        "an address with a signature in it is not read: it would be written into the manifest; name keys in the environment"
    );
    Ok(())
}

/// The store of a URL, the key within it, and the URL without a slash at its end.
pub(super) fn open(url: &str) -> Result<(Clients, Key, String)> {
    no_secret(url)?;
    let (scheme, rest) = Scheme::of(url).with_context(|| {
        format!("{url} is no address of an object store; there are s3://, gs://, az:// and https:// ones")
    })?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    ensure!(!bucket.is_empty(), "{url} names no bucket");
    let key = match scheme {
        Scheme::Http => {
            // What follows is no part of any message either.
            if let Some((before, _)) = rest.split_once(['?', '#']) {
                let kind = url.split("://").next().unwrap_or_default();
                bail!(
                    "{kind}://{before}?…: an address with a query is not read: a signature in it would be written into the manifest"
                );
            }
            Key::from_url_path(key)
        }
        _ => {
            // The first slash would be dropped, and another object be meant.
            ensure!(!key.starts_with('/'), "{url}: a key that begins with a slash cannot be named; take one slash out");
            Key::parse(key)
        }
    };
    let key = key.map_err(|e| anyhow!("{url}: {e}"))?;
    let plain = url.trim_end_matches('/').to_owned();
    let root = url.get(..url.len() - rest.len() + bucket.len()).unwrap_or(url);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = stores.get(root) {
        return Ok((known.clone(), key, plain));
    }
    let retries = retries(std::env::var_os(RETRIES_VARIABLE).as_deref())?;
    let build = |patience| build(scheme, root, bucket, patience, retries).map_err(|e| unset(root, &e));
    let quick = build(Patience::Quick)?;
    // Nothing is put to a web server.
    let patient = if scheme == Scheme::Http { Arc::clone(&quick) } else { build(Patience::Patient)? };
    let clients = Clients { quick, patient };
    stores.insert(root.to_owned(), clients.clone());
    Ok((clients, key, plain))
}

/// How long requests are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Quick,
    Patient,
}

impl Patience {
    /// What the environment does not say of the waits of a client; its variables begin with a prefix.
    fn settings(self, prefix: &str) -> Vec<(ClientConfigKey, String)> {
        let (whole, silence) = match self {
            Self::Quick => (SECONDS, Some(SECONDS_OF_SILENCE)),
            Self::Patient => (PATIENT_SECONDS, None),
        };
        let mut settings = Vec::new();
        if std::env::var_os(format!("{prefix}_TIMEOUT")).is_none() {
            settings.push((ClientConfigKey::Timeout, format!("{whole} seconds")));
        }
        if let Some(silence) = silence
            && std::env::var_os(format!("{prefix}_READ_TIMEOUT")).is_none()
        {
            settings.push((ClientConfigKey::ReadTimeout, format!("{silence} seconds")));
        }
        settings
    }

    fn retries(self, max_retries: usize) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig { max_backoff: LONGEST_WAIT, ..BackoffConfig::default() },
            max_retries,
            retry_timeout: match self {
                Self::Quick => RETRY_FOR,
                Self::Patient => Duration::from_secs(PATIENT_SECONDS),
            },
        }
    }
}

/// How often a request is tried again, as the environment says it.
fn retries(said: Option<&OsStr>) -> Result<usize> {
    let Some(said) = said else { return Ok(RETRIES) };
    let number = said.to_str().and_then(|text| text.trim().parse().ok());
    number.with_context(|| format!("{RETRIES_VARIABLE} is `{}`; it is a number, 0 or more", said.display()))
}

fn build(
    scheme: Scheme,
    root: &str,
    bucket: &str,
    patience: Patience,
    retries: usize,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    runtime::encrypt();
    let retries = patience.retries(retries);
    let store: Arc<dyn ObjectStore> = match scheme {
        Scheme::S3 => {
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries);
            for (key, value) in patience.settings("AWS") {
                builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
        Scheme::Google => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retries);
            for (key, value) in patience.settings("GOOGLE") {
                builder = builder.with_config(GoogleConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
        Scheme::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retries);
            for (key, value) in patience.settings("AZURE") {
                builder = builder.with_config(AzureConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
        Scheme::Http => {
            let options = ClientOptions::new()
                .with_allow_http(root.starts_with("http://"))
                .with_timeout(Duration::from_secs(SECONDS))
                .with_read_timeout(Duration::from_secs(SECONDS_OF_SILENCE));
            Arc::new(HttpBuilder::new().with_url(root).with_client_options(options).with_retry(retries).build()?)
        }
    };
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_retries_that_is_none_is_refused() {
        assert_eq!((retries(None).unwrap(), retries(Some(OsStr::new(" 3 "))).unwrap()), (RETRIES, 3));
        for text in ["", "-1", "many"] {
            assert!(retries(Some(OsStr::new(text))).unwrap_err().to_string().contains(RETRIES_VARIABLE));
        }
    }

    #[test]
    fn urls_of_object_stores_are_told_from_paths() {
        for url in ["s3://b/k", "gs://b/k", "az://c/k", "https://h/k", "http://h:1/k"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["exports/2026", "/srv/s3:/x", "ftp://h/k", "s3:/b", "C:\\x"] {
            assert!(!is_url(path), "{path}");
        }
        assert!(lists("s3://b/k") && !lists("https://h/k"));
    }

    #[test]
    fn a_key_is_read_as_it_is_written_but_on_the_web() {
        let (_, key, url) = open("s3://bucket/a%3Db/month=2025-01/").unwrap();
        assert_eq!(key.to_string(), "a%3Db/month=2025-01");
        assert_eq!(url, "s3://bucket/a%3Db/month=2025-01");
        assert_eq!(open("http://127.0.0.1:1/a%20b").unwrap().1.to_string(), "a b");
        assert!(open("s3://bucket").unwrap().1.is_root());
    }

    #[test]
    fn puts_of_many_megabytes_are_waited_for_longer_and_are_not_taken_for_silent() {
        let quick = Patience::Quick.settings("NO_SUCH_STORE");
        assert_eq!(quick.len(), 2);
        // Before an answer comes, all that a put sends is silence.
        let patient = Patience::Patient.settings("NO_SUCH_STORE");
        assert_eq!(patient, [(ClientConfigKey::Timeout, "3600 seconds".to_owned())]);
        for patience in [Patience::Quick, Patience::Patient] {
            build(Scheme::S3, "s3://b", "b", patience, RETRIES).unwrap();
            build(Scheme::Http, "http://127.0.0.1:1", "127.0.0.1:1", patience, RETRIES).unwrap();
        }
    }

    #[test]
    fn addresses_with_secrets_are_refused_without_showing_them() {
        let error = |url: &str| format!("{:#}", open(url).unwrap_err());
        let query = error("https://h/k?X-Amz-Signature=abc");
        assert!(query.contains("with a query") && !query.contains("abc"), "{query}");
        let password = error("https://me:secret@h/k");
        assert!(password.contains("password") && !password.contains("secret@"), "{password}");
        for url in [
            "s3://KEY:secret@bucket/x",
            "gs://secret@b/k",
            "s3://b/k?X-Amz-Signature=secret",
            "az://c/k?sv=1&sig=secret",
            "s3://b/*?Signature=secret",
        ] {
            let said = error(url);
            assert!(said.contains("is not read") && !said.contains("secret"), "{said}");
            assert!(no_secret(url).is_err());
        }
        // A question mark in a pattern, and an @ in a key.
        no_secret("s3://b/part-?.parquet").unwrap();
        no_secret("s3://b/a@b.parquet").unwrap();
        assert!(error("s3://bucket//x").contains("begins with a slash"));
        assert!(error("s3:///k").contains("names no bucket"));
        assert!(error("ftp://h/k").contains("no address of an object store"));
    }
}
