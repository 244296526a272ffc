//! `updraft standalone`: every role in one process, with a private Postgres, an in-process broker, and tasks as processes of this host.
//!
//! ```text
//! data dir, locked → page's port, taken → Postgres, started and migrated → scheduler · worker · API → until Ctrl-C
//! ```
//!
//! A kill -9 loses nothing: the server and the running commands go on, and the next start adopts both. Ctrl-C stops all that was started:
//! running commands are ended, noted as taken away (which spends no retry), and run again after the next start.

mod data_dir;
mod postgres;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use updraft_api::health::Health;
use updraft_broker::Broker;
use updraft_planner::Defaults;
use updraft_store::{Keyring, Store};
use updraft_telemetry::{LogFormat, Pulse};
use updraft_worker::process::{ProcessConfig, ProcessRunner};
use updraft_worker::runner::Runner as _;

use crate::dag_sources::{DagSources, Reader};
use crate::settings::{Keep, Meaning, Probes, SecretsFolder, health};
use crate::standalone::data_dir::DataDir;
use crate::standalone::postgres::Postgres;
use crate::{USAGE, port, say};

/// How `standalone` is run.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  updraft standalone --dags dags\n  updraft standalone --dags dags --port 9090 --database-url postgres://me@localhost/updraft"
)]
pub(crate) struct Options {
    #[command(flatten)]
    dags: DagSources,
    /// Port of the page and the API, on 127.0.0.1 only.
    #[arg(long, env = "UPDRAFT_PORT", default_value_t = 8080)]
    port: u16,
    /// Where everything that must survive lives. Default: a folder of its own for each DAG folder, below /var/lib/updraft for root, else below
    /// ~/.local/share/updraft.
    #[arg(long, env = "UPDRAFT_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Use this Postgres instead of a private one: postgres://USER@HOST:PORT/DATABASE.
    #[arg(long, env = "UPDRAFT_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The broker between scheduler and worker. `memory:` is the one inside this process.
    #[arg(long, env = "UPDRAFT_BROKER_URL", default_value = "memory:", hide_env_values = true)]
    broker_url: String,
    /// What runs the tasks. `process`: commands of this host; images are ignored.
    #[arg(long, env = "UPDRAFT_RUNNER", default_value = "process")]
    runner: String,
    /// Most tasks at once.
    #[arg(long, env = "UPDRAFT_CONCURRENCY", default_value_t = 32)]
    concurrency: usize,
    /// The queues that the worker takes from, separated by commas.
    #[arg(long, env = "UPDRAFT_QUEUES", value_delimiter = ',', default_value = "default")]
    queues: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
    #[command(flatten)]
    retention: Keep,
    #[command(flatten)]
    secrets_folder: SecretsFolder,
    /// New DAGs start out paused, as in Airflow. Here they do not, unless you say so.
    #[arg(long, env = "UPDRAFT_DAGS_ARE_PAUSED_AT_CREATION", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    dags_are_paused_at_creation: bool,
    #[command(flatten)]
    probes: Probes,
    /// Log lines on stderr: text or json.
    #[arg(long, env = "UPDRAFT_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged: a level, or tracing directives.
    #[arg(long, env = "UPDRAFT_LOG", default_value = "warn")]
    log: String,
}

impl Options {
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.broker_url != "memory:" {
            mistakes.push("--broker-url: only memory: can be used with standalone in this version".to_owned());
        }
        if self.runner != "process" {
            mistakes.push(format!("--runner {}: only process can be used with standalone in this version", self.runner));
        }
        if self.concurrency == 0 {
            mistakes.push("--concurrency: at least 1".to_owned());
        }
        mistakes.extend(self.dags.mistakes());
        mistakes.extend(self.secrets_folder.mistakes());
        mistakes
    }
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let mistakes = options.mistakes();
    if !mistakes.is_empty() {
        for mistake in mistakes {
            say(&format!("error: {mistake}"));
        }
        return ExitCode::from(USAGE);
    }
    for warning in options.dags.warnings() {
        say(&format!("warning: {warning}"));
    }
    if let Err(error) = updraft_telemetry::init(options.log_format, &options.log) {
        say(&format!("error: {error}"));
        return ExitCode::from(USAGE);
    }
    updraft_telemetry::traces::begin(env!("CARGO_PKG_VERSION"));
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    let named_after = options.dags.only_folder().unwrap_or_else(|| PathBuf::from(options.dags.shown().join(" ")));
    let data = DataDir::open(options.data_dir.as_deref(), &named_after)?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), options.port);
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => bail!("{}", port::taken(options.port, &error)),
    };

    let server = match &options.database_url {
        Some(_) => None,
        None => Some(Postgres::start(&data.path().join("postgres")).await?),
    };
    let url = match (&options.database_url, &server) {
        (Some(url), _) => url.clone(),
        (None, Some(server)) => server.url(),
        (None, None) => bail!("no database"),
    };
    // Few connections for the engine, so that each has its statements prepared; others for people, who may wait for a long list.
    let mut connect = updraft_store::Options::new(&url, "updraft standalone");
    connect.max_connections = 6;
    connect.generic_plans = true;
    let store = Store::open(&connect)?;
    let for_people = Store::open(&updraft_store::Options::new(&url, "updraft standalone api"))?;
    store.migrate().await.context("cannot bring the database up to date")?;

    let keyring = Arc::new(data.keyring()?);
    let broker = Broker::in_process();
    let defaults = options.meaning.defaults();
    let runner = ProcessRunner::new(ProcessConfig::new(data.path().join("runner"))).context("cannot set up the process runner")?;
    // Three steps of shutdown: nothing new, then the ends of what was stopped are written, then the rest.
    let no_new_work = CancellationToken::new();
    let shutdown = CancellationToken::new();
    let pulse = Pulse::default();
    let probed = Health { whole: true, ..health("standalone", Some(&store), Some(&broker), Some(&pulse)) };
    options.probes.serve(probed, &shutdown).await?;

    let worker = tokio::spawn(updraft_worker::run(
        store.clone(),
        broker.clone(),
        runner.clone(),
        updraft_worker::Config {
            queues: options.queues.clone(),
            concurrency: options.concurrency,
            only_worker_of_host: true,
            secrets: updraft_worker::Secrets(crate::settings::secrets_of_environment()),
            python: Some(crate::roles::worker::python_runtime(&options.dags.task_python())?),
            ..updraft_worker::Config::default()
        },
        no_new_work.clone(),
        shutdown.clone(),
    ));
    let scheduler = tokio::spawn(updraft_scheduler::run(
        store.clone(),
        broker.clone(),
        scheduler_config(&options, &data, defaults, Arc::clone(&keyring), pulse)?,
        shutdown.clone(),
    ));
    let state = updraft_api::ApiState::new(
        for_people.clone(),
        broker,
        options.meaning.airflow_semantics,
        defaults,
        env!("CARGO_PKG_VERSION"),
        Utc::now(),
        updraft_api::Access { keyring: Some(Arc::clone(&keyring)), ..updraft_api::Access::default() },
    )
    .watching(vec![data.path().to_owned(), std::env::temp_dir()]);
    let api = tokio::spawn(updraft_api::serve(listener, state, shutdown.clone()));

    banner(&options, &data, server.is_some(), begin.elapsed());
    wait_for_signal(server.as_ref()).await?;

    say("\nstopping: ending the commands that run (Ctrl-C again to end them at once) …");
    no_new_work.cancel();
    stop_commands(&runner).await;
    shutdown.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(5), async {
        let _ = worker.await;
        let _ = scheduler.await;
        let _ = api.await;
    })
    .await;
    store.close().await;
    for_people.close().await;
    if let Some(server) = server {
        server.stop().await;
    }
    say("stopped; nothing is lost, the next start goes on from here");
    Ok(())
}

fn scheduler_config(
    options: &Options,
    data: &DataDir,
    defaults: Defaults,
    keyring: Arc<Keyring>,
    pulse: Pulse,
) -> anyhow::Result<updraft_scheduler::Config> {
    Ok(updraft_scheduler::Config {
        defaults,
        semantics: options.meaning.airflow_semantics,
        paused_at_creation: options.dags_are_paused_at_creation,
        sweep_every: Duration::from_secs(10),
        sources: options.dags.sources(data.path(), Reader::Here)?,
        sync_now: updraft_scheduler::SyncNow::default(),
        pulse,
        // There are no pods here.
        policy: None,
        retention: options.retention.retention(),
        keyring: Some(keyring),
        secrets: options.secrets_folder.sources(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    })
}

/// Waits for Ctrl-C or SIGTERM, and keeps the private server running meanwhile.
async fn wait_for_signal(server: Option<&Postgres>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let watched = async {
        match server {
            Some(server) => server.supervise().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
        () = watched => Ok(()),
    }
}

/// Ends the commands that run, and waits until their ends are written. A second Ctrl-C does not wait: what is not written yet is found by the
/// next start.
async fn stop_commands(runner: &ProcessRunner) {
    let mut told = std::collections::BTreeSet::new();
    let ended = async {
        loop {
            let present = runner.present().await.unwrap_or_default();
            if present.is_empty() {
                return;
            }
            for key in present {
                if told.insert(key) {
                    let _ = runner.stop(key, updraft_model::end::Stopped::Disrupted).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(Duration::from_secs(15)) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn banner(options: &Options, data: &DataDir, private: bool, took: Duration) {
    let program = std::env::args().next().unwrap_or_else(|| "updraft".to_owned());
    let api = if options.port == 8080 { String::new() } else { format!("--api-url http://127.0.0.1:{} ", options.port) };
    let folder = options.dags.only_folder().unwrap_or_default();
    let has_example = ["py", "yaml"].iter().any(|kind| folder.join("diamond").with_extension(kind).exists());
    let example = if has_example { "diamond" } else { "DAG_ID" };
    let database = if private { "its own Postgres" } else { "your Postgres" };
    say(&format!(
        "Updraft {} is up after {:.1} s: scheduler, worker, API and page in one process, with {database}.\n\n  \
         page   http://127.0.0.1:{}\n  \
         dags   {} (read again on every save or push; tasks run as processes of this host)\n  \
         data   {}\n\n\
         Next, in another terminal:\n  {program} {api}dags list\n  {program} {api}dags trigger {example} --wait\n\n\
         Ctrl-C stops everything that was started here.",
        env!("CARGO_PKG_VERSION"),
        took.as_secs_f64(),
        options.port,
        options.dags.shown().join("\n         "),
        data.path().display(),
    ));
}
