//! What can go wrong with Postgres, and whether to try again.

use std::time::Duration;

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after about so long.
    After(Duration),
    /// Not without a change.
    Never,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or does not take connections now.
    #[error("cannot reach postgres")]
    Unreachable(#[source] sqlx::Error),
    /// The server ended the transaction in favour of another; the same call will go through.
    #[error("postgres ended the transaction in favour of another")]
    Conflict(#[source] sqlx::Error),
    /// The server lacks room or connections.
    #[error("postgres has no room")]
    Exhausted(#[source] sqlx::Error),
    /// The statement is refused.
    #[error("postgres refused {operation}")]
    Refused {
        /// The method that failed.
        operation: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The schema does not fit this binary.
    #[error("the database schema does not fit: {0}")]
    Schema(String),
    /// A row that no version of this program can have written.
    #[error("{table} row {key} cannot be read: {reason}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Migrations failed.
    #[error("cannot migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl Error {
    /// Sorts a driver's error; `operation` is the method that met it.
    pub(crate) fn of(operation: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| {
            let code = source.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned());
            match code.as_deref() {
                // Deadlock, serialization failure, lock timeout.
                Some("40P01" | "40001" | "55P03") => Self::Conflict(source),
                // Too many connections, disk full, out of memory.
                Some(c) if c.starts_with("53") => Self::Exhausted(source),
                // Shutting down, starting up, read-only after a failover, connection lost.
                Some(c) if c.starts_with("57P") || c.starts_with("08") || c == "25006" => Self::Unreachable(source),
                Some(_) => Self::Refused { operation, source },
                None => match source {
                    sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_) => Self::Unreachable(source),
                    other => Self::Refused { operation, source: other },
                },
            }
        }
    }

    /// What to do about it, where that is known: a setting that does not fit the server, or a pooler before it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(source) | Self::Refused { source, .. } => remedy(source),
            _ => None,
        }
    }

    /// Whether the same call may succeed later. A lost server is waited for, never a reason to exit.
    pub fn retry(&self) -> Retry {
        match self {
            // Somebody has to change something first.
            Self::Unreachable(_) if self.remedy().is_some() => Retry::After(Duration::from_secs(2)),
            Self::Unreachable(_) => Retry::After(Duration::from_millis(250)),
            Self::Conflict(_) => Retry::After(Duration::from_millis(10)),
            Self::Exhausted(_) => Retry::After(Duration::from_secs(1)),
            Self::Refused { .. } | Self::Schema(_) | Self::BadRow { .. } | Self::Migrate(_) => Retry::Never,
        }
    }

    /// Says what went wrong and waits as long as the error asks for. Loops that must go on call it: a lost server is waited for.
    pub async fn patience(&self, doing: &str) {
        let wait = match self.retry() {
            Retry::After(wait) => wait,
            Retry::Never => Duration::from_secs(2),
        };
        let cause = std::error::Error::source(self).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(error = %self, cause, remedy = self.remedy(), "cannot {doing}, trying again in {wait:?}");
        tokio::time::sleep(wait).await;
    }
}

/// By words: what TLS says arrives as an error of input and output, and what a pooler says has no code of its own.
fn remedy(error: &sqlx::Error) -> Option<&'static str> {
    const REMEDIES: [(&[&str], &str); 11] = [
        (&["UnknownIssuer"], "--database-ca must hold the authority that signed the server's certificate"),
        (&["not valid for name"], "the host in --database-url must be a name that is in the server's certificate"),
        (&["certificate expired", "Expired"], "the server's certificate is too old: renew it"),
        (
            &["BadEncoding"],
            "a certificate is damaged: `openssl x509 -noout -text -in FILE` shows which of --database-ca, --database-cert and the server's",
        ),
        (
            &["server does not support TLS"],
            "set ssl = on in its postgresql.conf: without it, --database-ca and sslmode ask for what it does not have",
        ),
        (&["no keys found"], "--database-key must be a key without a password"),
        (&["KeyMismatch"], "--database-key is not the key of --database-cert"),
        (
            &["requires a valid client certificate", "certificate authentication failed", "\"trust\" authentication failed", "UnknownCA"],
            "the server asks for a certificate: --database-cert and --database-key, signed by its ssl_ca_file, with the user's name as CN",
        ),
        (&["unsupported startup parameter"], "in pgbouncer.ini: ignore_startup_parameters = extra_float_digits,options"),
        (&["statement pooling mode"], "in pgbouncer.ini: pool_mode = transaction"),
        (
            &["prepared statement \"sqlx_"],
            "the pooler keeps no prepared statements: PgBouncer 1.21 or later with max_prepared_statements = 200",
        ),
    ];
    let text = error.to_string();
    REMEDIES.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, remedy)| *remedy)
}
