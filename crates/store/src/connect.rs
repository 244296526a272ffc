//! Connecting, and bringing the schema up to date.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use crate::error::Error;
use crate::pool::Pool;

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations");
    // The lock of `Store::migrate` ends with its transaction; sqlx's would stay with a connection after a mistake.
    migrator.set_locking(false);
    migrator.set_ignore_missing(true);
    migrator
});

/// Files for TLS to the server, PEM.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Authorities. With it the server must prove its name by one of them (`verify-full`).
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://…`, as libpq takes it.
    pub url: String,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Most connections at once.
    pub max_connections: u32,
    /// How long a call waits for a free connection or for the server.
    pub acquire_timeout: Duration,
    /// Plan each statement once per connection instead of for each set of arguments. For the few statements of schedulers and workers, whose
    /// best plan is always the same and whose planning would take longer than their work; not for lists with filters.
    pub generic_plans: bool,
    /// TLS, beyond what the URL says.
    pub tls: Tls,
}

impl Options {
    /// The defaults of a role.
    pub fn new(url: impl Into<String>, application_name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            application_name: application_name.into(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            generic_plans: false,
            tls: Tls::default(),
        }
    }
}

/// A handle on the database. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: Pool,
}

/// How the schema stands to this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationState {
    /// It fits.
    Current,
    /// These migrations are missing, by number.
    Behind(Vec<i64>),
    /// It was made by a newer binary, which is fine as long as its migrations only added things: these are not known here.
    Ahead(Vec<i64>),
}

impl Store {
    /// Opens the pool. Connections are made when they are needed: a server that is away is met by the first call.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let connect = PgConnectOptions::from_str(&options.url)
            .map_err(Error::of("open"))?
            .application_name(&options.application_name)
            // A client that is stopped in mid-transaction must not hold locks for ever, and no statement of ours takes a minute.
            // Compiling a plan takes 40 ms, and none of ours runs for one.
            .options([("idle_in_transaction_session_timeout", "30s"), ("statement_timeout", "120s"), ("jit", "off")]);
        let connect = match &options.tls.ca {
            Some(ca) => connect.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca),
            None => connect,
        };
        let connect = match (&options.tls.cert, &options.tls.key) {
            (Some(cert), Some(key)) => connect.ssl_client_cert(cert).ssl_client_key(key),
            _ => connect,
        };
        let connect = if options.generic_plans { connect.options([("plan_cache_mode", "force_generic_plan")]) } else { connect };
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        Ok(Self { pool: Pool::new(pool) })
    }

    /// For tests that have a pool.
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool: Pool::new(pool) }
    }

    /// How many connections are in use, and how many wait for use.
    pub fn connections(&self) -> (usize, usize) {
        self.pool.connections()
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Brings the schema up to date, under an advisory lock, so that any number of roles may do it at once.
    ///
    /// In one transaction, whose end frees the lock: all of it or nothing, and it works where a pooler gives each transaction another
    /// connection (PgBouncer's transaction mode).
    pub async fn migrate(&self) -> Result<(), Error> {
        const LOCK: i64 = 0x0075_7064_7261_6674; // "updraft"
        // Most starts find nothing to do, and need no lock to see it.
        match self.migration_state().await? {
            MigrationState::Behind(_) => {}
            // A newer schema only has more: after a rollback this program runs on it.
            MigrationState::Current | MigrationState::Ahead(_) => return Ok(()),
        }
        let mut connection = self.pool.acquire().await.map_err(Error::of("migrate"))?;
        let mut transaction = connection.begin().await.map_err(Error::of("migrate"))?;
        sqlx::query("set local statement_timeout = 0").execute(&mut *transaction).await.map_err(Error::of("migrate"))?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await.map_err(Error::of("migrate"))?;
        MIGRATOR.run(&mut *transaction).await.map_err(Error::Migrate)?;
        transaction.commit().await.map_err(Error::of("migrate"))
    }

    /// Compares the schema with this binary.
    pub async fn migration_state(&self) -> Result<MigrationState, Error> {
        let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("migration_state"))?;
        let applied: Vec<i64> = if exists {
            sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
                .fetch_all(&self.pool)
                .await
                .map_err(Error::of("migration_state"))?
        } else {
            Vec::new()
        };
        let known: Vec<i64> = MIGRATOR.iter().map(|m| m.version).collect();
        let missing: Vec<i64> = known.iter().filter(|v| !applied.contains(v)).copied().collect();
        if !missing.is_empty() {
            return Ok(MigrationState::Behind(missing));
        }
        let newer: Vec<i64> = applied.into_iter().filter(|v| !known.contains(v)).collect();
        Ok(if newer.is_empty() { MigrationState::Current } else { MigrationState::Ahead(newer) })
    }

    /// Whether the server answers, and how long that took.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let begin = std::time::Instant::now();
        sqlx::query("select 1").execute(&self.pool).await.map_err(Error::of("ping"))?;
        Ok(begin.elapsed())
    }

    /// The time by the database's clock, now and not when a transaction began.
    pub async fn clock(&self) -> Result<chrono::DateTime<chrono::Utc>, Error> {
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&self.pool).await.map_err(Error::of("clock"))
    }
}
