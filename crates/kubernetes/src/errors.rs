//! What the API server's refusals mean, in one place. The client's own retries are off: they know 429, 503 and 504 only, and a POST that is
//! repeated inside the client would hide that it was.

use std::io;
use std::time::Duration;

/// The runner cannot be set up. An API server that does not answer is not among these: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a kubeconfig nor a service account was found.
    #[error("found no cluster: set KUBECONFIG, or run inside a pod with a service account")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// What was found cannot be used.
    #[error("cannot make a client of the cluster's configuration: check the certificates and the proxy that it names")]
    Client(#[source] kube::Error),
    /// The API server gave no answer that helps. The text is the server's, or says that there was none.
    #[error("the cluster's API server does not answer: {0}")]
    Silent(String),
}

/// What an answer means. The texts are the server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no such object.
    #[error("not found: {0}")]
    NotFound(String),
    /// The name is taken.
    #[error("already exists: {0}")]
    Exists(String),
    /// The object is not what the request took it for: another uid, a changed field.
    #[error("changed meanwhile: {0}")]
    Changed(String),
    /// A quota of the namespace is full.
    #[error("quota: {0}")]
    Quota(String),
    /// The worker lacks a right.
    #[error("forbidden: {0}")]
    Rights(String),
    /// The request itself will never do: invalid fields, a policy of the cluster.
    #[error("refused: {0}")]
    Refused(String),
    /// The server does not answer, or asks for patience.
    #[error("no answer: {words}")]
    Away { words: String, after: Duration },
}

/// Wait after a failure of the server or the network.
const AWAY: Duration = Duration::from_secs(2);
/// Longest wait that a server may ask for.
const MAX_AWAY: Duration = Duration::from_secs(60);

impl Fault {
    /// What the metrics call it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Exists(_) => "exists",
            Self::Changed(_) => "changed",
            Self::Quota(_) => "quota",
            Self::Rights(_) => "rights",
            Self::Refused(_) => "refused",
            Self::Away { .. } => "away",
        }
    }

    pub(crate) fn timeout(after: Duration) -> Self {
        Self::Away { words: format!("no answer within {} s", after.as_secs()), after: AWAY }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// Gone, or another object by that name.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Changed(_))
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        let status = match error {
            kube::Error::Api(status) => status,
            // The body was no JSON, or not what was asked for: a proxy on the way, as a rule.
            other => return Self::Away { words: chain(&other), after: AWAY },
        };
        let words = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
        let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let after = if asked == 0 { AWAY } else { Duration::from_secs(asked.into()).min(MAX_AWAY) };
        match (status.code, status.reason.as_str()) {
            // Only the API server's own word counts as absence: a proxy's 404 has no such reason.
            (404, "NotFound") => Self::NotFound(words),
            (409, "AlreadyExists") => Self::Exists(words),
            // Admission counts quota with optimistic locking; two creations at once may meet.
            (409, _) if words.contains("resourcequotas") => Self::Away { words, after: Duration::from_millis(200) },
            (409, _) => Self::Changed(words),
            (403, _) if words.contains("exceeded quota") || words.contains("must specify") && words.contains("quota") => Self::quota(words),
            (403, _) if words.contains(" cannot ") && words.contains(" resource ") => Self::Rights(words),
            // The rest of 403 is admission: limit ranges, pod security, missing service accounts, webhooks.
            (400 | 403 | 405 | 413 | 415 | 422, _) => Self::Refused(words),
            _ => Self::Away { words: if words.is_empty() { format!("HTTP {}", status.code) } else { words }, after },
        }
    }
}

impl Fault {
    /// A quota that is full has room again; one that wants limits which the pod does not set never has.
    fn quota(words: String) -> Self {
        if words.contains("exceeded quota") { Self::Quota(words) } else { Self::Refused(words) }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::NotFound(_) => io::ErrorKind::NotFound,
            Fault::Exists(_) => io::ErrorKind::AlreadyExists,
            Fault::Changed(_) => io::ErrorKind::InvalidData,
            Fault::Quota(_) => io::ErrorKind::QuotaExceeded,
            Fault::Rights(_) => io::ErrorKind::PermissionDenied,
            Fault::Refused(_) => io::ErrorKind::InvalidInput,
            Fault::Away { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, fault)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        // Many of these errors print their source themselves.
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
