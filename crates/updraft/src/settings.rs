//! What several roles are told in the same words.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use updraft_api::health::Health;
use updraft_broker::{Broker, QueueType};
use updraft_model::{PodPolicy, Semantics};
use updraft_planner::Defaults;
use updraft_store::read::retention::Retention;
use updraft_store::{Keyring, MigrationState, Options, Store};
use updraft_telemetry::{LogFormat, Pulse, metrics};

use crate::say;

/// The installation's answers to what DAG files leave open. The same for all schedulers and APIs of an installation.
#[derive(Debug, Args)]
pub(crate) struct Meaning {
    /// Which Airflow's meaning files have that do not say: 2 (runs cover the interval before, catchup on) or 3 (runs are for their fire time,
    /// catchup off).
    #[arg(long, env = "UPDRAFT_AIRFLOW_SEMANTICS", default_value = "3", value_name = "2|3")]
    pub(crate) airflow_semantics: Semantics,
    /// Most active runs of a DAG that does not say.
    #[arg(long, env = "UPDRAFT_MAX_ACTIVE_RUNS_PER_DAG", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_active_runs_per_dag: u32,
    /// Most tasks at once of a run that does not say (of a DAG, under Airflow 2's meaning).
    #[arg(long, env = "UPDRAFT_MAX_ACTIVE_TASKS_PER_DAG", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_active_tasks_per_dag: u32,
    /// How often an attempt that the infrastructure lost is made again. The task's own retries are not touched by it.
    #[arg(long, env = "UPDRAFT_INFRA_RETRIES", default_value_t = 5)]
    pub(crate) infra_retries: u32,
}

impl Meaning {
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults {
            max_active_runs: self.max_active_runs_per_dag,
            max_active_tasks: self.max_active_tasks_per_dag,
            infra_retries: self.infra_retries,
        }
    }
}

/// What an operator decides about all pods.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    /// A YAML file with defaults and rules for all pods (docs/pod-policy.md): the same for schedulers and workers. Without one, tasks get no
    /// hostPath, no host namespaces or ports, no privileged containers and no service account but the namespace's and the workers' default.
    #[arg(long, env = "UPDRAFT_POD_POLICY", value_name = "FILE")]
    pod_policy: Option<PathBuf>,
}

impl Policy {
    /// The policy, or what is wrong with its file.
    pub(crate) fn read(&self) -> Result<PodPolicy, String> {
        self.pod_policy.as_deref().map_or_else(|| Ok(PodPolicy::default()), read_pod_policy)
    }
}

/// Reads a policy, or says what is wrong with it and where.
pub(crate) fn read_pod_policy(path: &Path) -> Result<PodPolicy, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("--pod-policy {name}: {error}"))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("--pod-policy {name}: {error}"))
}

/// What seals variables and connections.
#[derive(Args)]
pub(crate) struct SecretKeys {
    /// Keys for variables and connections, ID:BASE64 each, by commas or lines: the first one seals, all open. The same for schedulers and APIs.
    /// Better given as UPDRAFT_SECRET_KEYS_FILE; `updraft secrets new-key` makes one. Without any, there are no variables and connections.
    #[arg(long, env = "UPDRAFT_SECRET_KEYS", hide_env_values = true, value_name = "KEYS")]
    secret_keys: Option<String>,
}

// By hand: these are secrets.
impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeys").finish_non_exhaustive()
    }
}

impl SecretKeys {
    /// The keys, or what is wrong with them.
    pub(crate) fn read(&self) -> Result<Option<Keyring>, String> {
        self.secret_keys.as_deref().map(Keyring::parse).transpose().map_err(|why| format!("--secret-keys: {why}"))
    }
}

/// Where variables and connections are looked for before the database is asked.
#[derive(Debug, Args)]
pub(crate) struct SecretsFolder {
    /// A folder with variables/KEY and connections/ID, one file each, as Kubernetes mounts a Secret: templates read from there first, then
    /// AIRFLOW_VAR_KEY and AIRFLOW_CONN_ID of the environment, then the database. Read anew when it changes.
    #[arg(long, env = "UPDRAFT_SECRETS_FOLDER", value_name = "DIR")]
    secrets_folder: Option<PathBuf>,
}

impl SecretsFolder {
    /// What is wrong with it, before anything is tried.
    pub(crate) fn mistakes(&self) -> Option<String> {
        let folder = self.secrets_folder.as_deref()?;
        let error = std::fs::read_dir(folder).err()?;
        Some(format!(
            "--secrets-folder {}: {error}; mount a folder with variables/ and connections/ there, or leave the flag out",
            folder.display()
        ))
    }

    /// The folder, and the environment of this process.
    pub(crate) fn sources(&self) -> updraft_scheduler::SecretSources {
        updraft_scheduler::SecretSources::new(self.secrets_folder.clone(), std::env::vars_os())
    }
}

/// How long finished runs are kept.
#[derive(Debug, Args)]
pub(crate) struct Keep {
    /// Forget runs that ended longer ago, with their logs: 90d. Looked at every hour. Default: nothing is forgotten.
    #[arg(long, env = "UPDRAFT_RETENTION", value_name = "DURATION", value_parser = duration)]
    retention: Option<Duration>,
    /// But never the newest so many runs of a DAG.
    #[arg(long, env = "UPDRAFT_RETENTION_KEEP_LAST", default_value_t = 10)]
    retention_keep_last: u32,
}

impl Keep {
    pub(crate) fn retention(&self) -> Option<Retention> {
        self.retention.map(|older_than| Retention { older_than, keep_last: self.retention_keep_last })
    }
}

/// A duration as people write it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    updraft_dagfile::duration::parse_ms(text).map(Duration::from_millis)
}

/// How a role talks about itself.
#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// Log lines on stderr: text or json.
    #[arg(long, env = "UPDRAFT_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged: a level, or tracing directives.
    #[arg(long, env = "UPDRAFT_LOG", default_value = "info")]
    log: String,
}

impl Logging {
    /// Begins logging, and tracing where the environment asks for it. The mistake, if there is one, is said.
    pub(crate) fn begin(&self) -> Result<(), String> {
        updraft_telemetry::init(self.log_format, &self.log)?;
        updraft_telemetry::traces::begin(env!("CARGO_PKG_VERSION"));
        Ok(())
    }
}

/// What a role does about a schema that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Migrate {
    /// Brings it up to date, under a lock: any number of roles may start at once.
    Auto,
    /// Waits until somebody else has.
    Check,
    /// Does not look.
    Off,
}

/// Where the truth is.
#[derive(Args)]
pub(crate) struct Database {
    /// Where Postgres is: postgres://USER@HOST:PORT/DATABASE.
    #[arg(long, env = "UPDRAFT_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// What to do about a schema that is behind this program.
    #[arg(long, env = "UPDRAFT_MIGRATE", value_enum, default_value_t = Migrate::Auto)]
    migrate: Migrate,
    #[command(flatten)]
    tls: DatabaseTls,
}

/// How Postgres proves who it is, and we do.
#[derive(Debug, Args)]
pub(crate) struct DatabaseTls {
    /// Certificates (PEM) of authorities, beside the public ones, that Postgres' own must be signed by, with its name in it. Without it, sslmode in
    /// the URL decides: by default TLS where the server has it, without looking at its certificate.
    #[arg(long, env = "UPDRAFT_DATABASE_CA", value_name = "FILE")]
    database_ca: Option<PathBuf>,
    /// This role's own certificate (PEM), where Postgres asks for one.
    #[arg(long, env = "UPDRAFT_DATABASE_CERT", requires = "database_key", value_name = "FILE")]
    database_cert: Option<PathBuf>,
    /// The key of --database-cert (PEM).
    #[arg(long, env = "UPDRAFT_DATABASE_KEY", requires = "database_cert", value_name = "FILE")]
    database_key: Option<PathBuf>,
}

impl DatabaseTls {
    fn files(&self) -> updraft_store::Tls {
        updraft_store::Tls { ca: self.database_ca.clone(), cert: self.database_cert.clone(), key: self.database_key.clone() }
    }

    /// What is wrong with the files. The driver skips what it cannot read in them, and its error would be about trust.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let named = [
            ("--database-ca", &self.database_ca, "certificate"),
            ("--database-cert", &self.database_cert, "certificate"),
            ("--database-key", &self.database_key, "private key"),
        ];
        let mut mistakes = Vec::new();
        for (flag, path, what) in named {
            let Some(path) = path else { continue };
            match std::fs::read(path) {
                Ok(bytes) if String::from_utf8_lossy(&bytes).contains(&format!("{}-----", what.to_uppercase())) => {}
                Ok(_) => mistakes.push(format!("{flag} {}: it holds no {what} (PEM)", path.display())),
                Err(error) => mistakes.push(format!("{flag} {}: {error}", path.display())),
            }
        }
        mistakes
    }

    /// Options for one URL.
    pub(crate) fn options(&self, url: &str, name: &str) -> Options {
        Options { tls: self.files(), ..Options::new(url, name) }
    }
}

// By hand: the URL may hold a password.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("database_url", &"…").field("migrate", &self.migrate).finish()
    }
}

impl Database {
    /// What is wrong with it, before anything is tried.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.tls.mistakes();
        if mistakes.is_empty() {
            // Opening connects to nothing: it reads the URL.
            let read = Store::open(&self.tls.options(&self.database_url, "updraft"));
            mistakes.extend(read.err().map(|error| format!("--database-url: {error}")));
        }
        mistakes
    }

    /// A pool for one role. No connection is made yet.
    pub(crate) fn open(&self, name: &str, connections: u32, generic_plans: bool) -> Result<Store, updraft_store::Error> {
        let mut options = self.tls.options(&self.database_url, name);
        options.max_connections = connections;
        options.generic_plans = generic_plans;
        Store::open(&options)
    }

    /// Waits until the server answers and its schema fits, however long that takes: no role gives up because another part of the installation
    /// starts later.
    pub(crate) async fn ready(&self, store: &Store) {
        if self.migrate == Migrate::Off {
            return;
        }
        let mut told = false;
        loop {
            let state = match self.migrate {
                Migrate::Auto => store.migrate().await.map(|()| MigrationState::Current),
                Migrate::Check | Migrate::Off => store.migration_state().await,
            };
            match state {
                Ok(MigrationState::Current | MigrationState::Ahead(_)) => {
                    if told {
                        info!("the database is there and its schema fits");
                    }
                    return;
                }
                Ok(MigrationState::Behind(missing)) => {
                    if !std::mem::replace(&mut told, true) {
                        warn!(?missing, "the schema is behind this program: waiting for somebody to run `updraft db migrate`");
                    }
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                Err(error) => {
                    told = true;
                    error.patience("prepare the database").await;
                }
            }
        }
    }
}

/// Where probes and metrics are asked.
#[derive(Debug, Args)]
pub(crate) struct Probes {
    /// Address and port for /livez, /readyz and /metrics: 0.0.0.0:8081. There is nothing secret on it. Default: none.
    #[arg(long, env = "UPDRAFT_HEALTH_ADDRESS", value_name = "IP:PORT")]
    health_address: Option<SocketAddr>,
    /// Tell on /metrics under Airflow's names, too, as its StatsD exporter has them (docs/metrics.md).
    #[arg(long, env = "UPDRAFT_AIRFLOW_METRICS", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    airflow_metrics: bool,
    /// Have figures by DAG on /metrics, of the first so many DAGs that are heard of; the others count as one, `other`. 0: none.
    #[arg(long, env = "UPDRAFT_METRICS_DAGS", default_value_t = 0)]
    metrics_dags: usize,
}

/// What a role's probes look at.
pub(crate) fn health(role: &'static str, store: Option<&Store>, broker: Option<&Broker>, pulse: Option<&Pulse>) -> Health {
    let version = env!("CARGO_PKG_VERSION");
    Health { role, version, store: store.cloned(), broker: broker.cloned(), pulse: pulse.cloned(), whole: false }
}

impl Probes {
    /// Answers probes in the background until `shutdown`.
    pub(crate) async fn serve(&self, health: Health, shutdown: &CancellationToken) -> anyhow::Result<()> {
        metrics::configure(metrics::Settings { airflow: self.airflow_metrics, dags: self.metrics_dags });
        let Some(address) = self.health_address else { return Ok(()) };
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on --health-address {address}"))?;
        tokio::spawn(updraft_api::health::serve(listener, health, shutdown.clone()));
        Ok(())
    }
}

/// The wire between the roles.
#[derive(Args)]
pub(crate) struct Wire {
    /// Where RabbitMQ is: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS. It carries hints alone: everything runs without it, but
    /// up to a second later for each step.
    #[arg(long, env = "UPDRAFT_BROKER_URL", hide_env_values = true)]
    broker_url: String,
    /// What the names of all queues and exchanges begin with. Installations that share a vhost need different ones.
    #[arg(long, env = "UPDRAFT_BROKER_PREFIX", default_value = "updraft")]
    broker_prefix: String,
    /// Type of the queues: classic or quorum. To change it, delete the queues first.
    #[arg(long, env = "UPDRAFT_BROKER_QUEUE_TYPE", default_value_t = QueueType::Classic, value_name = "classic|quorum")]
    broker_queue_type: QueueType,
    /// Certificates (PEM) of the authorities that RabbitMQ's own may be signed by. Default: those of the system.
    #[arg(long, env = "UPDRAFT_BROKER_CA")]
    broker_ca: Option<PathBuf>,
    /// This role's own certificate (PEM), where RabbitMQ asks for one.
    #[arg(long, env = "UPDRAFT_BROKER_CERT", requires = "broker_key")]
    broker_cert: Option<PathBuf>,
    /// The key of --broker-cert (PEM).
    #[arg(long, env = "UPDRAFT_BROKER_KEY", requires = "broker_cert")]
    broker_key: Option<PathBuf>,
}

// By hand: the URL holds a password.
impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("broker_url", &"…").field("broker_prefix", &self.broker_prefix).finish_non_exhaustive()
    }
}

impl Wire {
    fn options(&self) -> Result<updraft_broker::Options, updraft_broker::Error> {
        let mut options = updraft_broker::Options::new(&self.broker_url)?;
        options.prefix.clone_from(&self.broker_prefix);
        options.queue_type = self.broker_queue_type;
        options.ca_file.clone_from(&self.broker_ca);
        options.client_cert_file.clone_from(&self.broker_cert);
        options.client_key_file.clone_from(&self.broker_key);
        options.validate()?;
        Ok(options)
    }

    /// What is wrong with it, before anything is tried.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.options().err().map(|error| format!("--broker-url and its options: {error}")).into_iter().collect()
    }

    /// Connects in the background, for as long as that takes.
    pub(crate) fn connect(&self, role: &str) -> anyhow::Result<Broker> {
        let mut options = self.options()?;
        options.connection_name = format!("updraft {role} {}", std::process::id());
        Ok(Broker::connect(options))
    }
}

/// The password of a URL, as it stands there and as it is meant: what must not be found in a log.
fn password_of(url: &str) -> Vec<String> {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
    let of_login = login.split_once(':').map(|(_, password)| password);
    // `?password=`, as Postgres takes it.
    let query = url.split_once("://").and_then(|(_, rest)| rest.split_once('?')).map_or("", |(_, query)| query);
    let of_query = query.split('&').find_map(|pair| pair.strip_prefix("password="));
    let all = of_login.into_iter().chain(of_query).filter(|password| !password.is_empty());
    all.flat_map(|password| [password.to_owned(), as_meant(password)]).collect()
}

fn as_meant(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What a worker must not let into a log: what it logs in with, and what else its environment has that is secret.
pub(crate) fn passwords(database: &Database, wire: &Wire) -> Vec<String> {
    let urls = [&database.database_url, &wire.broker_url];
    urls.into_iter().flat_map(|url| password_of(url)).chain(secrets_of_environment()).collect()
}

/// What is secret of this process's environment.
pub(crate) fn secrets_of_environment() -> Vec<String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).flat_map(|(name, value)| secrets_of(&name, &value)).collect()
}

/// What is secret of a variable of the environment: the value, if its name says so, and the password of a URL whatever its name.
fn secrets_of(name: &str, value: &str) -> Vec<String> {
    // Where a secret is, is none: names of files, and what Kubernetes says of its Services. Nor is a switch.
    let a_place = ["_FILE", "_PATH", "_DIR", "_HOST"].iter().any(|end| name.ends_with(end))
        || ["_PORT", "proxy", "PROXY"].iter().any(|part| name.contains(part));
    let mut found = password_of(value);
    // What a collector of traces asks for as proof: `name=value,name=value`, as in a query.
    if name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("HEADERS") {
        let values =
            value.split(',').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.trim()).filter(|value| value.len() >= 8);
        found.extend(values.flat_map(|value| [value.to_owned(), as_meant(value)]));
    }
    if updraft_model::redact::is_sensitive(name) && !a_place && value.len() >= 8 {
        found.push(value.to_owned());
    }
    found
}

/// All mistakes of a role's arguments, at once. True: there were some.
pub(crate) fn say_mistakes(mistakes: &[String]) -> bool {
    for mistake in mistakes {
        say(&format!("error: {mistake}"));
    }
    !mistakes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{password_of, secrets_of};

    #[test]
    fn secrets_of_the_environment_are_known_by_their_names() {
        for (name, value, secret) in [
            ("AWS_SECRET_ACCESS_KEY", "canary-1", &["canary-1"][..]),
            ("AIRFLOW_CONN_DWH", "postgres://etl:can%40ary@dwh/x", &["can%40ary", "can@ary"]),
            ("UPDRAFT_API_PASSWORD_FILE", "/run/secrets/password", &[]),
            ("VAULT_TOKEN_PORT_80_TCP", "tcp://10.0.0.1:80", &[]),
            ("VAULT_TOKEN_SERVICE_HOST", "10.0.0.100", &[]),
            ("http_proxy", "http://proxy.local:3128", &[]),
            ("HTTPS_PROXY", "http://me:canary-2@proxy.local:3128", &["canary-2", "canary-2"]),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-3,x=1", &["Bearer%20canary-3", "Bearer canary-3"]),
            ("USE_TOKEN", "false", &[]),
            ("HOME", "/home/updraft", &[]),
        ] {
            assert_eq!(secrets_of(name, value), secret, "{name}");
        }
    }

    #[test]
    fn a_password_is_found_in_a_url() {
        assert_eq!(password_of("postgres://me:p%40ss@host:5432/db?x=y"), ["p%40ss", "p@ss"]);
        assert_eq!(password_of("amqps://u:a:b@host"), ["a:b", "a:b"]);
        assert_eq!(password_of("postgres:///db?host=/tmp&password=x@y%3Az"), ["x@y%3Az", "x@y:z"]);
        for url in ["postgres://host/db", "postgres://me@host/db", "postgres://me:@host", "postgres:///db?host=/tmp", "password=x"] {
            assert!(password_of(url).is_empty(), "{url}");
        }
    }
}
