//! `updraft worker`: takes attempts, starts them, watches them to their end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use updraft_broker::Broker;
use updraft_store::Store;
use updraft_worker::process::{ProcessConfig, ProcessRunner};
use updraft_worker::runner::Runner;

use crate::settings::{Database, Logging, Wire, say_mistakes};
use crate::{USAGE, roles, say};

/// What runs the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunnerKind {
    /// Commands of this host. Images are ignored. Only workers of the same host and --state-dir adopt them.
    Process,
}

/// How a worker is run.
#[derive(Debug, Args)]
#[command(
    after_help = "On SIGTERM a worker stops claiming, hands over what it watches and leaves; what it started goes on and is adopted by another.\n\nExample:\n  updraft worker --queues default,gpu --database-url postgres://updraft@db/updraft --broker-url amqp://updraft@mq/updraft"
)]
pub(crate) struct Options {
    /// What runs the tasks.
    #[arg(long, env = "UPDRAFT_RUNNER", value_enum, default_value_t = RunnerKind::Process)]
    runner: RunnerKind,
    /// Most attempts that are watched at once. Default: 32 processes.
    #[arg(long, env = "UPDRAFT_CONCURRENCY")]
    concurrency: Option<usize>,
    /// The queues that it takes from, separated by commas.
    #[arg(long, env = "UPDRAFT_QUEUES", value_delimiter = ',', default_value = "default")]
    queues: Vec<String>,
    /// How often it says that it lives, in seconds.
    #[arg(long, env = "UPDRAFT_HEARTBEAT", default_value_t = 2.0)]
    heartbeat: f64,
    /// How long it must be silent before another worker takes over what it watches, in seconds. At least three heartbeats.
    #[arg(long, env = "UPDRAFT_LEASE_TTL", default_value_t = 7.0)]
    lease_ttl: f64,
    /// Process runner: where its commands and their evidence live. Workers of a host that share it adopt each other's commands.
    #[arg(long, env = "UPDRAFT_STATE_DIR", default_value = "/var/lib/updraft/runner")]
    state_dir: PathBuf,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    wire: Wire,
    #[command(flatten)]
    logging: Logging,
}

impl Options {
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.wire.mistakes();
        if self.concurrency == Some(0) {
            mistakes.push("--concurrency: at least 1".to_owned());
        }
        // Written so that what is not a number is refused, too.
        if !(self.heartbeat >= 0.1 && self.heartbeat <= 3600.0) {
            mistakes.push("--heartbeat: between 0.1 and 3600 seconds".to_owned());
        }
        if !(self.lease_ttl >= self.heartbeat * 3.0 && self.lease_ttl <= 86_400.0) {
            mistakes.push("--lease-ttl: at least three times --heartbeat, so that a slow moment is not taken for a death".to_owned());
        }
        if self.queues.iter().any(|queue| queue.trim().is_empty()) {
            mistakes.push("--queues: a name is empty; separate names by one comma".to_owned());
        }
        mistakes
    }
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let mut mistakes = options.mistakes();
    mistakes.extend(options.logging.begin().err());
    if say_mistakes(&mistakes) {
        return ExitCode::from(USAGE);
    }
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let shutdown = roles::until_told()?;
    let store = options.database.open("updraft worker", 6, true)?;
    let broker = options.wire.connect("worker")?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = options.database.ready(&store) => {}
    }
    match options.runner {
        RunnerKind::Process => {
            let runner = ProcessRunner::new(ProcessConfig::new(&options.state_dir))
                .with_context(|| format!("cannot use --state-dir {}", options.state_dir.display()))?;
            work(&options, store, broker, runner, 32, shutdown).await
        }
    }
}

async fn work<R: Runner>(
    options: &Options,
    store: Store,
    broker: Broker,
    runner: R,
    concurrency: usize,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let config = updraft_worker::Config {
        queues: options.queues.iter().map(|queue| queue.trim().to_owned()).collect(),
        concurrency: options.concurrency.unwrap_or(concurrency),
        heartbeat: Duration::from_secs_f64(options.heartbeat),
        lease_ttl: Duration::from_secs_f64(options.lease_ttl),
        ..updraft_worker::Config::default()
    };
    updraft_worker::run(store.clone(), broker.clone(), runner, config, CancellationToken::new(), shutdown).await?;
    // Bounded: what is not said within a second is found by others.
    let _ = tokio::time::timeout(Duration::from_millis(300), async {
        broker.close().await;
        store.close().await;
    })
    .await;
    Ok(())
}
