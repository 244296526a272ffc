//! `updraft dag-processor`: reads DAG files for a scheduler, and knows nothing worth stealing.
//!
//! The scheduler starts it with `--stdio` as a child with an empty environment. With `--listen` it is a container of its own, beside the
//! scheduler, which names the socket by `--dag-processor`; both must see the DAG folders under the same paths.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use updraft_dagfile::parser::serve;
use updraft_dagfile::python::{self, Processor};
use updraft_dagfile::sandbox;
use updraft_telemetry::LogFormat;

use crate::settings::{Probes, health};
use crate::{USAGE, dag_sources, say};

/// Most schedulers at once, each with its own memory of the files.
const SCHEDULERS: usize = 8;
/// What it must not be given: with one of these in its environment it does not start.
const SECRETS: &[&str] = &[
    "UPDRAFT_DATABASE_URL",
    "UPDRAFT_DATABASE_URL_FILE",
    "UPDRAFT_BROKER_URL",
    "UPDRAFT_BROKER_URL_FILE",
    "UPDRAFT_API_PASSWORD",
    "UPDRAFT_API_PASSWORD_FILE",
    "UPDRAFT_SECRET_KEYS",
    "UPDRAFT_SECRET_KEYS_FILE",
    "UPDRAFT_GIT_WEBHOOK_SECRET",
    "UPDRAFT_GIT_WEBHOOK_SECRET_FILE",
    "UPDRAFT_GIT_TOKEN_FILE",
    "UPDRAFT_GIT_SSH_KEY_FILE",
    "PGPASSWORD",
];

/// How `dag-processor` is run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  updraft dag-processor --listen unix:/run/updraft/dags.sock\n  \
    updraft standalone --dag-processor unix:/run/updraft/dags.sock")]
#[command(group = clap::ArgGroup::new("where").required(true).args(["stdio", "listen"]))]
pub(crate) struct Options {
    /// Serve the process that started this one, over stdin and stdout.
    #[arg(long)]
    stdio: bool,
    /// Serve whoever connects to this socket: unix: and an absolute path.
    #[arg(long, env = "UPDRAFT_DAG_PROCESSOR_LISTEN", value_name = "unix:PATH", value_parser = dag_sources::socket)]
    listen: Option<PathBuf>,
    /// The Python that reads DAG files. Default: python3 of PATH.
    #[arg(long, env = "UPDRAFT_DAG_PYTHON")]
    dag_python: Option<PathBuf>,
    /// How long one Python file may take, in seconds.
    #[arg(long, env = "UPDRAFT_DAG_FILE_TIMEOUT", default_value_t = 30)]
    dag_file_timeout: u64,
    /// Where Python's side is unpacked. Default: the folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    unpack_to: Option<PathBuf>,
    /// Folders that DAG files may not read, where the sandbox must be told (macOS).
    #[arg(long, value_name = "FOLDER")]
    hide: Vec<PathBuf>,
    #[command(flatten)]
    probes: Probes,
    /// Log lines on stderr: text or json.
    #[arg(long, env = "UPDRAFT_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged: a level, or tracing directives.
    #[arg(long, env = "UPDRAFT_LOG", default_value = "warn")]
    log: String,
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let given: Vec<&str> = SECRETS.iter().copied().filter(|name| std::env::var_os(name).is_some()).collect();
    if !given.is_empty() {
        say(&format!("error: the dag-processor must not be given {}: DAG files are read here", given.join(", ")));
        return ExitCode::from(USAGE);
    }
    if let Err(error) = updraft_telemetry::init(options.log_format, &options.log) {
        say(&format!("error: {error}"));
        return ExitCode::from(USAGE);
    }
    sandbox::become_unreadable();
    match work(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn work(options: Options) -> anyhow::Result<()> {
    let helper = std::env::current_exe().context("cannot find this program's own file")?;
    let python = Processor::new(python::Options {
        python: options.dag_python,
        helper: vec![helper.into(), "sandbox".into()],
        timeout: Duration::from_secs(options.dag_file_timeout),
        unpack_to: options.unpack_to,
        hide: options.hide,
        ..python::Options::default()
    })
    .map_err(|error| error.to_string());
    if let Err(error) = &python {
        warn!("python DAG files cannot be read: {error}");
    }
    let Some(path) = options.listen else {
        // Ends when the scheduler does: its end of the pipe is closed then, whatever killed it.
        return serve(std::io::stdin(), std::io::stdout(), python).await.context("the scheduler talks nonsense");
    };
    let shutdown = CancellationToken::new();
    options.probes.serve(health("dag-processor", None, None, None), &shutdown).await?;
    let listener = bind(&path)?;
    let served = listen(listener, python);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = served => ended,
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
    };
    let _ = std::fs::remove_file(&path);
    ended
}

async fn listen(listener: UnixListener, python: Result<Processor, String>) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(SCHEDULERS));
    loop {
        let place = room.clone().acquire_owned().await?;
        let (stream, _) = listener.accept().await.context("cannot accept schedulers")?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        let (input, python) = (stream.try_clone()?, python.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(input, stream, python).await {
                warn!(error = %error, "a scheduler was lost");
            }
            drop(place);
        });
    }
}

/// Takes the socket over from one that is dead, never from one that lives.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            bail!("another dag-processor listens at {}", path.display());
        }
        std::fs::remove_file(path).with_context(|| format!("cannot remove the old socket {}", path.display()))?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    // The scheduler may be another user of the same group, as containers of a pod are.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}
