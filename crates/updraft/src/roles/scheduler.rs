//! `updraft scheduler`: reads DAG files, makes runs, decides what starts next.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tracing::warn;
use updraft_model::PodPolicy;
use updraft_store::Keyring;
use updraft_telemetry::Pulse;

use crate::dag_sources::{DagSources, Reader};
use crate::settings::{Database, Keep, Logging, Meaning, Policy, Probes, SecretKeys, SecretsFolder, Wire, health, say_mistakes};
use crate::{USAGE, roles, say};

/// How a scheduler is run.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  updraft scheduler --dags dags --database-url postgres://updraft@db/updraft --broker-url amqp://updraft@mq/updraft"
)]
pub(crate) struct Options {
    #[command(flatten)]
    dags: DagSources,
    /// Where clones of repositories and other things that may be lost are kept. Default: a folder for temporary files.
    #[arg(long, env = "UPDRAFT_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    wire: Wire,
    #[command(flatten)]
    meaning: Meaning,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    retention: Keep,
    #[command(flatten)]
    secret_keys: SecretKeys,
    #[command(flatten)]
    secrets_folder: SecretsFolder,
    /// New DAGs start out paused, as in Airflow. Here they do not, unless you say so.
    #[arg(long, env = "UPDRAFT_DAGS_ARE_PAUSED_AT_CREATION", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    dags_are_paused_at_creation: bool,
    #[command(flatten)]
    probes: Probes,
    #[command(flatten)]
    logging: Logging,
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let mut mistakes = options.wire.mistakes();
    mistakes.extend(options.database.mistakes());
    mistakes.extend(options.dags.mistakes());
    let policy = options.policy.read();
    mistakes.extend(policy.as_ref().err().cloned());
    let keyring = options.secret_keys.read();
    mistakes.extend(keyring.as_ref().err().cloned());
    mistakes.extend(options.secrets_folder.mistakes());
    mistakes.extend(options.logging.begin().err());
    if say_mistakes(&mistakes) {
        return ExitCode::from(USAGE);
    }
    match serve(options, policy.unwrap_or_default(), keyring.unwrap_or_default().map(Arc::new)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options, policy: PodPolicy, keyring: Option<Arc<Keyring>>) -> anyhow::Result<()> {
    let shutdown = roles::until_told()?;
    for warning in options.dags.warnings() {
        warn!("{warning}");
    }
    let cache = options.cache_dir.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("updraft-scheduler-{}", std::process::id())));
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make --cache-dir {}", cache.display()))?;
    let store = options.database.open("updraft scheduler", 6, true)?;
    let broker = options.wire.connect("scheduler")?;
    let pulse = Pulse::default();
    options.probes.serve(health("scheduler", Some(&store), Some(&broker), Some(&pulse)), &shutdown).await?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = options.database.ready(&store) => {}
    }
    let config = updraft_scheduler::Config {
        defaults: options.meaning.defaults(),
        semantics: options.meaning.airflow_semantics,
        paused_at_creation: options.dags_are_paused_at_creation,
        sweep_every: Duration::from_secs(10),
        sources: options.dags.sources(&cache, Reader::Child)?,
        sync_now: updraft_scheduler::SyncNow::default(),
        pulse,
        policy: Some(policy),
        retention: options.retention.retention(),
        keyring,
        secrets: options.secrets_folder.sources(),
        host: roles::host_name(),
    };
    updraft_scheduler::run(store.clone(), broker.clone(), config, shutdown).await;
    broker.close().await;
    store.close().await;
    Ok(())
}
