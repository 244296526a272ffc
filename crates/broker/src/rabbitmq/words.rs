//! Errors of the connection in words, with the remedy. RabbitMQ's own texts say what it refused; they never hold a password.

use std::io;

use lapin::ErrorKind;
use lapin::uri::{AMQPScheme, SASLMechanism};

use super::options::Options;

/// Why a connection is not there any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The client's error.
    #[error("the connection failed")]
    Amqp(#[from] lapin::Error),
    /// A file of the TLS settings.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: String,
        #[source]
        source: io::Error,
    },
    /// A file that holds something else.
    #[error("{path} holds no {expected}")]
    NotPem {
        /// Which.
        path: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Something did not answer in time.
    #[error("no answer to {0}")]
    Silent(&'static str),
    /// A name that AMQP cannot carry.
    #[error("{0:?} is too long for a name in rabbitmq")]
    Name(String),
}

/// The name exists, with other arguments.
pub(crate) fn is_precondition_failed(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(protocol) if protocol.get_id() == 406)
}

/// There is nothing of that name.
pub(crate) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(protocol) if protocol.get_id() == 404)
}

/// What RabbitMQ said.
pub(crate) fn server_text(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(protocol) => protocol.get_message().as_str().to_owned(),
        _ => error.to_string(),
    }
}

/// The reason for people.
pub(crate) fn explain(error: &LinkError, options: &Options) -> String {
    let address = options.address();
    match error {
        LinkError::File { path, source } => format!("cannot read {path}: {source}; the file must be there and readable for this process"),
        LinkError::NotPem { path, expected } => format!("{path} holds no {expected} in PEM form"),
        LinkError::Silent(what) => format!("{address} did not answer to {what} in time; is the network in order, is the node overloaded?"),
        LinkError::Name(name) => format!("{name:?} is too long for a name in rabbitmq; shorten prefix or queue"),
        LinkError::Amqp(error) => match error.kind() {
            ErrorKind::ProtocolError(protocol) => refused(protocol.get_id(), protocol.get_message().as_str(), options),
            ErrorKind::IOError(io) => broken(io, options),
            ErrorKind::MissingHeartbeatError => format!("{address} was silent for two heartbeats; is the network in order?"),
            ErrorKind::InvalidProtocolVersion(_) => format!("{address} speaks another protocol than AMQP 0-9-1; is it the right port?"),
            _ => format!("{address}: {error}"),
        },
    }
}

fn refused(code: u16, text: &str, options: &Options) -> String {
    let user = &options.uri.authority.userinfo.username;
    let vhost = &options.uri.vhost;
    let lower = text.to_lowercase();
    let remedy = if lower.contains("login was refused") {
        if options.uri.query.auth_mechanism == Some(SASLMechanism::External) {
            "wrong certificate: rabbitmq knows no user of its name; its log says which name it read".to_owned()
        } else {
            format!("wrong user or password for {user:?}; correct the broker URL or set it with rabbitmqctl change_password {user}")
        }
    } else if lower.contains("vhost") && lower.contains("not found") {
        format!("virtual host {vhost:?} does not exist; make it with rabbitmqctl add_vhost {vhost}, or correct the path of the broker URL")
    } else if lower.contains("access to vhost") {
        format!(
            "user {user:?} may not use virtual host {vhost:?}; allow it with rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'"
        )
    } else if lower.contains("refused for user") {
        // Queues of notices have a name of RabbitMQ's; queues are sent to over the default exchange.
        let names = format!(r"'^({}\..*|amq\.gen-.*|amq\.default)$'", options.prefix.replace('.', r"\."));
        format!(
            "user {user:?} needs more permissions; give them with rabbitmqctl set_permissions -p {vhost} {user} {names} {names} {names}"
        )
    } else {
        match code {
            320 => "rabbitmq closed the connection: it stops, or an operator asked for it".to_owned(),
            404 => "a queue or exchange was deleted; it is made again".to_owned(),
            405 => "a queue is held by another connection; it is tried again".to_owned(),
            406 => "rabbitmq refused it as it is; for a queue that was made by hand: delete it once".to_owned(),
            530 => "rabbitmq does not allow it".to_owned(),
            _ => "rabbitmq refused it".to_owned(),
        }
    };
    format!("{remedy} ({}: {code} {text})", options.address())
}

fn broken(error: &io::Error, options: &Options) -> String {
    let address = options.address();
    let host = &options.uri.authority.host;
    let mut text = error.to_string();
    let mut source = error.get_ref().and_then(|inner| inner.source());
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    let lower = text.to_lowercase();
    let secure = options.uri.scheme == AMQPScheme::AMQPS;
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return format!("nothing listens at {address}; is rabbitmq running, are host and port right?");
    }
    if lower.contains("lookup") || lower.contains("name or service not known") || lower.contains("nodename nor servname") {
        return format!("the name {host:?} is not known ({text}); correct the broker URL or the name service");
    }
    if lower.contains("unknownissuer") || lower.contains("unknown issuer") {
        return format!(
            "TLS: no authority that we trust signed the certificate of {host:?}; give the authority's certificate as CA file ({address})"
        );
    }
    if lower.contains("notvalidforname") || lower.contains("not valid for name") {
        return format!("TLS: the certificate at {address} is for another name ({text}); use that name in the broker URL");
    }
    if lower.contains("expired") {
        return format!("TLS: the certificate at {address} has expired ({text}); renew it, or correct the clock here");
    }
    if lower.contains("certificaterequired") || lower.contains("certificate required") || lower.contains("handshakefailure") {
        return format!("TLS: {address} wants a client certificate that it trusts ({text}); give certificate and key files");
    }
    if lower.contains("corrupt message") || lower.contains("invalidcontenttype") {
        return format!("TLS: {address} does not speak TLS; use amqp:// or the TLS port, usually 5671");
    }
    if lower.contains("certificate") || lower.contains("tls") || lower.contains("alert") {
        return format!("TLS: {address}: {text}");
    }
    if matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
    ) {
        let other = if secure { "amqp://" } else { "amqps://" };
        return format!("{address} closed the connection without a word; does it restart? if it never works, the port may want {other}");
    }
    format!("{address}: {text}")
}
