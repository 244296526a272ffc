//! What is needed to reach RabbitMQ. Mistakes that no waiting mends are errors here; everything else is waited for by the links.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};

/// The longest prefix. With it and the longest queue name a name of RabbitMQ would not fit any more; see `topology::hints_queue`.
const MOST_PREFIX: usize = 100;

/// A mistake in the options.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an address of a broker.
    #[error("broker URL must begin with amqp:// or amqps://")]
    Scheme,
    /// The address cannot be read. The text of the URL is not repeated, for it holds a password.
    #[error("broker URL cannot be read ({0}); percent-encode special characters of user, password and virtual host (/ is %2F)")]
    Url(String),
    /// A prefix that cannot name a queue.
    #[error("broker prefix {0:?} must be 1 to {MOST_PREFIX} characters of a-z, A-Z, 0-9, dot, dash and underscore")]
    Prefix(String),
    /// Not a queue type.
    #[error("broker queue type {0:?} is neither classic nor quorum")]
    QueueType(String),
    /// A certificate needs its key, and the other way round.
    #[error("broker client certificate and key belong together: give both files or none")]
    HalfIdentity,
    /// TLS files with an address that does not use TLS.
    #[error("broker CA and certificate files are for amqps://, the URL says amqp://")]
    TlsWithoutTls,
}

/// The kind of the queues of hints and wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueType {
    /// One copy, on one node: the fastest, and enough for what may be lost.
    #[default]
    Classic,
    /// Copies on several nodes: hints go on flowing when a node of a RabbitMQ cluster is lost.
    Quorum,
}

impl QueueType {
    /// As `x-queue-type` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

impl fmt::Display for QueueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for QueueType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "classic" => Ok(Self::Classic),
            "quorum" => Ok(Self::Quorum),
            other => Err(Error::QueueType(other.to_owned())),
        }
    }
}

/// How to reach RabbitMQ, and under which names. `Debug` never shows the password.
#[derive(Clone)]
pub struct Options {
    pub(crate) uri: AMQPUri,
    /// What all names of queues and exchanges begin with: installations that share a virtual host differ here.
    pub prefix: String,
    /// The kind of the queues of hints and wakes.
    pub queue_type: QueueType,
    /// A PEM file with the certificates of authorities to trust beside the system's. Read at every connection, so that it can be rotated.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with our certificate, for brokers that ask for one.
    pub client_cert_file: Option<PathBuf>,
    /// A PEM file with the key of [`Options::client_cert_file`].
    pub client_key_file: Option<PathBuf>,
    /// What RabbitMQ's list of connections calls us.
    pub connection_name: String,
    /// Silence after which a connection is dead is twice this. A `heartbeat` in the URL wins.
    pub heartbeat: Duration,
}

impl Options {
    /// The options of a URL: `amqp://user:password@host:5672/vhost`, or `amqps://`. No virtual host is the default one, `/`.
    pub fn new(url: &str) -> Result<Self, Error> {
        let rest = url.strip_prefix("amqps://").or_else(|| url.strip_prefix("amqp://")).ok_or(Error::Scheme)?;
        let mut uri: AMQPUri = url.parse().map_err(Error::Url)?;
        if let Some(host) = bracketed_host(rest) {
            // The parser knows no IPv6 address and would go to localhost in silence.
            host.clone_into(&mut uri.authority.host);
        }
        if uri.authority.host.is_empty() {
            return Err(Error::Url("it names no host".to_owned()));
        }
        if uri.vhost.is_empty() {
            // Strictly, a slash at the end names a virtual host without a name. Nobody has one; everybody writes the slash.
            "/".clone_into(&mut uri.vhost);
        }
        Ok(Self {
            uri,
            prefix: "updraft".to_owned(),
            queue_type: QueueType::default(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            connection_name: "updraft".to_owned(),
            heartbeat: Duration::from_secs(10),
        })
    }

    /// Everything that [`Options::new`] could not see.
    pub fn validate(&self) -> Result<(), Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.prefix.is_empty() || self.prefix.len() > MOST_PREFIX || !self.prefix.chars().all(fits) {
            return Err(Error::Prefix(self.prefix.clone()));
        }
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            return Err(Error::HalfIdentity);
        }
        if self.uri.scheme == AMQPScheme::AMQP && (self.ca_file.is_some() || self.client_cert_file.is_some()) {
            return Err(Error::TlsWithoutTls);
        }
        Ok(())
    }

    /// The address for people: no password.
    pub fn address(&self) -> String {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        let host = if authority.host.contains(':') { format!("[{}]", authority.host) } else { authority.host.clone() };
        format!("{scheme}://{}@{host}:{} (virtual host {vhost:?})", authority.userinfo.username, authority.port)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address())
            .field("prefix", &self.prefix)
            .field("queue_type", &self.queue_type)
            .field("ca_file", &self.ca_file)
            .field("client_cert_file", &self.client_cert_file)
            .field("client_key_file", &self.client_key_file)
            .field("connection_name", &self.connection_name)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

/// The host between brackets of what follows the scheme.
fn bracketed_host(rest: &str) -> Option<&str> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_decoded_and_never_shown() {
        let options = Options::new("amqp://us%40er:p%40ss%2Fw%3Ard@broker:5673/team%2Fa").unwrap();
        assert_eq!(options.uri.authority.userinfo.username, "us@er");
        assert_eq!(options.uri.authority.userinfo.password, "p@ss/w:rd");
        assert_eq!(options.uri.vhost, "team/a");
        let shown = format!("{options:?}");
        assert!(shown.contains("broker:5673") && !shown.contains("p@ss") && !shown.contains("p%40ss"), "{shown}");
    }

    #[test]
    fn a_mistake_in_the_url_does_not_show_the_password() {
        for url in ["http://u:secret@h", "amqp://u:secret@h:port", "amqp://u:secret@", "amqp://u:secret@h/?heartbeat=x", "u:secret@h"] {
            let error = Options::new(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn no_virtual_host_is_the_default_one() {
        for url in ["amqp://h", "amqp://h/", "amqp://h/%2F", "amqp://h/%2f?heartbeat=5"] {
            assert_eq!(Options::new(url).unwrap().uri.vhost, "/", "{url}");
        }
    }

    #[test]
    fn an_ipv6_address_is_not_localhost() {
        let options = Options::new("amqps://u:p@[fd00::7]:5671/x").unwrap();
        assert_eq!(options.uri.authority.host, "fd00::7");
        assert_eq!(options.uri.authority.port, 5671);
    }

    #[test]
    fn options_that_cannot_go_together_are_refused() {
        let mut options = Options::new("amqp://h").unwrap();
        options.validate().unwrap();
        options.ca_file = Some("ca.pem".into());
        assert!(matches!(options.validate(), Err(Error::TlsWithoutTls)));
        options.ca_file = None;
        options.client_key_file = Some("key.pem".into());
        assert!(matches!(options.validate(), Err(Error::HalfIdentity)));
        options.client_key_file = None;
        options.prefix = "a b".to_owned();
        assert!(matches!(options.validate(), Err(Error::Prefix(_))));
        assert!(matches!("stream".parse::<QueueType>(), Err(Error::QueueType(_))));
    }
}
