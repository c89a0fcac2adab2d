//! What went wrong with a request, in words that name the URL and never a secret.

use std::error::Error;

/// An object that could not be asked for, or is another one than it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfetched(pub String);

/// Characters of a server's answer that are shown.
const SHOWN: usize = 300;

/// Which part of the environment holds credentials.
fn credentials(url: &str) -> &'static str {
    match url.split("://").next() {
        Some("s3") => {
            "S3 credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, a web identity or the machine's \
role, with AWS_REGION and AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true reads what is public"
        }
        Some("gs") => {
            "Google's credentials come from GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT or the machine's account; \
GOOGLE_SKIP_SIGNATURE=true reads what is public"
        }
        Some("az") => {
            "Azure's credentials come from AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_KEY, a client \
secret or the machine's identity; AZURE_SKIP_SIGNATURE=true reads what is public"
        }
        _ => "no credentials are sent to http:// and https:// addresses",
    }
}

/// Said of an object that is another one than it was.
pub(super) fn replaced(url: &str) -> Unfetched {
    Unfetched(format!(
        "{url} was changed or replaced while it was read; nothing was published, run again when its export has ended"
    ))
}

/// The error of a store whose settings do not suffice.
pub(super) fn unset(url: &str, error: &object_store::Error) -> Unfetched {
    let said = innermost(error);
    let what = match said.contains("No CA certificates") {
        true => {
            "install the system's certificates (the package ca-certificates), or name a file of them in SSL_CERT_FILE"
        }
        false => credentials(url),
    };
    Unfetched(format!("{url}: {said}; {what}"))
}

/// What went wrong with a request.
pub(super) fn explained(url: &str, error: &object_store::Error) -> Unfetched {
    use object_store::Error as E;
    let said = innermost(error);
    Unfetched(match error {
        E::Precondition { .. } | E::NotModified { .. } => return replaced(url),
        E::NotFound { .. } => format!("{url} does not exist, or its bucket does not: {said}"),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            format!("{url}: access is denied: {said}; {}", credentials(url))
        }
        E::NotSupported { .. } | E::NotImplemented { .. } => {
            format!(
                "{url}: the server cannot do what is asked of it: {said}; a table is read by parts (range requests)"
            )
        }
        _ if said.contains("412 Precondition Failed") => return replaced(url),
        _ if overloaded(&said) => {
            format!("{url}: the store is overloaded and was so at every try: {said}; run again later")
        }
        _ if said.contains("Received redirect") || said.contains("PermanentRedirect") => {
            format!("{url}: its bucket is in another region; set AWS_REGION")
        }
        _ if said.contains("URL scheme is not allowed") => {
            format!(
                "{url}: the endpoint is http://, which is only used when AWS_ALLOW_HTTP=true (AZURE_ALLOW_HTTP=true)"
            )
        }
        _ if chain(error).any(|text| text.contains("169.254.169.254") || text.contains("metadata.google")) => {
            format!(
                "{url}: there are no credentials, and this machine has no role that gives some; {}",
                credentials(url)
            )
        }
        _ => format!("{url} cannot be reached or read: {said}"),
    })
}

fn overloaded(said: &str) -> bool {
    ["503 Service", "429 Too Many", "SlowDown", "ServerBusy"].iter().any(|word| said.contains(word))
}

/// The texts of an error and of what led to it.
fn chain(error: &object_store::Error) -> impl Iterator<Item = String> {
    let mut next: Option<&dyn Error> = Some(error);
    std::iter::from_fn(move || {
        let at = next?;
        next = at.source();
        Some(at.to_string())
    })
}

/// What led to all the rest, in a few words.
fn innermost(error: &object_store::Error) -> String {
    brief(&chain(error).last().unwrap_or_default())
}

/// The code and the message of an answer in XML, or the beginning of any other text; without what follows a question mark in an address,
/// which may be a signature.
fn brief(text: &str) -> String {
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once('<')?.0.to_owned())
    };
    let status = text.split('<').next().unwrap_or_default().trim().trim_end_matches(':');
    let whole = match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => format!("{}: {code}: {message}", status.trim()),
        _ => text.to_owned(),
    };
    let line = whole.split_whitespace().map(|word| match word.split_once('?') {
        Some((address, _)) if address.contains("://") || address.starts_with('/') => format!("{address}?…"),
        _ => word.to_owned(),
    });
    line.collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn every_fault_names_the_url_and_what_to_do() {
        let path = || "k".to_owned();
        let source = || "x".to_owned().into();
        let said = |e: object_store::Error| explained("s3://b/k", &e).0;
        assert!(said(generic("status code: 503 Service Unavailable: ")).contains("overloaded"));
        assert!(said(generic("Connection refused (os error 111)")).contains("cannot be reached"));
        assert!(said(generic("http://169.254.169.254/latest")).contains("AWS_ACCESS_KEY_ID"));
        let gone = said(object_store::Error::NotFound { path: path(), source: source() });
        assert!(gone.contains("s3://b/k does not exist"), "{gone}");
        let denied = said(object_store::Error::PermissionDenied { path: path(), source: source() });
        assert!(denied.contains("access is denied") && denied.contains("AWS_SKIP_SIGNATURE"), "{denied}");
        let other = said(object_store::Error::Precondition { path: path(), source: source() });
        assert!(other.contains("changed or replaced while it was read"), "{other}");
    }

    #[test]
    fn answers_are_short_and_without_signatures() {
        let text = "status code: 403 Forbidden: <?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>No</Message></Error>";
        assert_eq!(brief(text), "status code: 403 Forbidden: AccessDenied: No");
        let said = brief("GET https://a.blob/x?sig=abc%3D&se=1 failed");
        assert_eq!(said, "GET https://a.blob/x?… failed");
        assert!(brief(&"y".repeat(5000)).len() <= 1200);
    }
}
