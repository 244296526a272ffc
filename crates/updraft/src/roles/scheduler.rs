//! `updraft scheduler`: reads DAG files, makes runs, decides what starts next.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use updraft_dagfile::python;

use crate::settings::{Database, Logging, Meaning, Wire, say_mistakes};
use crate::{USAGE, roles, say};

/// How a scheduler is run.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  updraft scheduler --dags dags --database-url postgres://updraft@db/updraft --broker-url amqp://updraft@mq/updraft"
)]
pub(crate) struct Options {
    /// Folder of DAG files, .py and .yaml. Read again whenever a file is saved.
    #[arg(long, env = "UPDRAFT_DAGS", default_value = "dags")]
    dags: PathBuf,
    /// Where the Python side and other things that may be lost are unpacked. Default: a folder for temporary files.
    #[arg(long, env = "UPDRAFT_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    wire: Wire,
    #[command(flatten)]
    meaning: Meaning,
    /// New DAGs start out paused, as in Airflow. Here they do not, unless you say so.
    #[arg(long, env = "UPDRAFT_DAGS_ARE_PAUSED_AT_CREATION", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    dags_are_paused_at_creation: bool,
    /// The Python that reads DAG files. Default: python3 of PATH.
    #[arg(long, env = "UPDRAFT_DAG_PYTHON")]
    dag_python: Option<PathBuf>,
    /// How long one Python file may take, in seconds.
    #[arg(long, env = "UPDRAFT_DAG_FILE_TIMEOUT", default_value_t = 30)]
    dag_file_timeout: u64,
    #[command(flatten)]
    logging: Logging,
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let mut mistakes = options.wire.mistakes();
    if !options.dags.is_dir() {
        mistakes.push(format!("--dags {}: no such folder; make it, or name another", options.dags.display()));
    }
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
    let dags = options.dags.canonicalize().with_context(|| format!("cannot read {}", options.dags.display()))?;
    let helper = std::env::current_exe().context("cannot find this program's own file")?;
    let python = python::Options {
        python: options.dag_python.clone(),
        helper: vec![helper.into(), "sandbox".into()],
        timeout: Duration::from_secs(options.dag_file_timeout),
        unpack_to: options.cache_dir.clone(),
        ..python::Options::default()
    };
    let store = options.database.open("updraft scheduler", 6, true)?;
    let broker = options.wire.connect("scheduler")?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = options.database.ready(&store) => {}
    }
    let config = updraft_scheduler::Config {
        defaults: options.meaning.defaults(),
        semantics: options.meaning.airflow_semantics,
        paused_at_creation: options.dags_are_paused_at_creation,
        sweep_every: Duration::from_secs(10),
        sources: vec![updraft_scheduler::DagSource { bundle: "dags-folder".to_owned(), root: dags, python: Some(python) }],
        host: roles::host_name(),
    };
    updraft_scheduler::run(store.clone(), broker.clone(), config, shutdown).await;
    broker.close().await;
    store.close().await;
    Ok(())
}
