//! `updraft worker`: takes attempts, starts them, watches them to their end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use updraft_broker::Broker;
use updraft_kubernetes::{GateMode, KubernetesRunner};
use updraft_model::PodPolicy;
use updraft_store::Store;
use updraft_telemetry::Pulse;
use updraft_worker::process::{ProcessConfig, ProcessRunner};
use updraft_worker::runner::Runner;

use crate::settings::{Database, Logging, Policy, Probes, Wire, health, say_mistakes};
use crate::{USAGE, roles, say};

/// What runs the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunnerKind {
    /// One pod for each attempt. Any worker of the cluster adopts them.
    Kubernetes,
    /// Commands of this host. Images are ignored. Only workers of the same host and --state-dir adopt them.
    Process,
}

/// How pods are kept from running before they are bound to their attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GateKind {
    /// Scheduling gates where the server knows them (1.27), an image that cannot be pulled elsewhere.
    Auto,
    /// Not at all, for clusters whose admission refuses both: after a pause of a worker that is longer than its lease, a pod may run twice.
    None,
}

/// What the Kubernetes runner is told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pods (--runner kubernetes)")]
pub(crate) struct Pods {
    /// Where pods run whose task names no namespace. Default: the namespace of the kubeconfig's context, or the worker's own.
    #[arg(long, env = "UPDRAFT_NAMESPACE")]
    namespace: Option<String>,
    /// Further namespaces that tasks may name, separated by commas. The worker needs its Role in each of them.
    #[arg(long, env = "UPDRAFT_ALLOWED_NAMESPACES", value_delimiter = ',')]
    allowed_namespaces: Vec<String>,
    /// Which cluster this is. Attempts are adopted by workers that say the same.
    #[arg(long, env = "UPDRAFT_CLUSTER", default_value = "kubernetes")]
    cluster: String,
    /// How pods are kept from running before they are bound to their attempt.
    #[arg(long, env = "UPDRAFT_GATE", value_enum, default_value_t = GateKind::Auto)]
    gate: GateKind,
    /// The image of tasks that name none, such as a BashOperator's. It needs bash.
    #[arg(long, env = "UPDRAFT_POD_DEFAULT_IMAGE")]
    pod_default_image: Option<String>,
    /// The image of Python tasks that name none. It needs Python 3.9 or later. Default: that of --pod-default-image.
    #[arg(long, env = "UPDRAFT_POD_PYTHON_IMAGE")]
    pod_python_image: Option<String>,
    /// The service account of pods whose task names none. Default: the namespace's own.
    #[arg(long, env = "UPDRAFT_POD_SERVICE_ACCOUNT")]
    pod_service_account: Option<String>,
    /// How long a pod may take to start its command, in seconds, when its task does not say.
    #[arg(long, env = "UPDRAFT_POD_STARTUP_TIMEOUT", default_value_t = 600)]
    pod_startup_timeout: u64,
    /// How long an image that cannot be pulled, or a container that cannot be configured, is waited for, in seconds.
    #[arg(long, env = "UPDRAFT_POD_PULL_GRACE", default_value_t = 120)]
    pod_pull_grace: u64,
}

impl Pods {
    fn config(&self, installation: uuid::Uuid, policy: PodPolicy) -> updraft_kubernetes::Config {
        let mut config = updraft_kubernetes::Config::new(installation);
        config.policy = policy;
        config.namespace.clone_from(&self.namespace);
        config.allowed_namespaces = self.allowed_namespaces.iter().cloned().collect();
        config.cluster.clone_from(&self.cluster);
        config.gate = match self.gate {
            GateKind::Auto => GateMode::Auto,
            GateKind::None => GateMode::None,
        };
        config.default_image.clone_from(&self.pod_default_image);
        config.python_image.clone_from(&self.pod_python_image);
        config.service_account.clone_from(&self.pod_service_account);
        config.startup_timeout = Duration::from_secs(self.pod_startup_timeout);
        config.pull_grace = Duration::from_secs(self.pod_pull_grace);
        config
    }
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
    /// Most attempts that are watched at once. Default: 2,000 pods, 32 processes.
    #[arg(long, env = "UPDRAFT_CONCURRENCY")]
    concurrency: Option<usize>,
    /// The queues that it takes from, separated by commas.
    #[arg(long, env = "UPDRAFT_QUEUES", value_delimiter = ',', default_value = "default")]
    queues: Vec<String>,
    /// The Python that runs Python tasks: a name that is looked up where they run, or a path there. It needs to be 3.9 or later.
    #[arg(long, env = "UPDRAFT_TASK_PYTHON", default_value = "python3")]
    task_python: String,
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
    pods: Pods,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    wire: Wire,
    #[command(flatten)]
    probes: Probes,
    #[command(flatten)]
    logging: Logging,
}

impl Options {
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.wire.mistakes();
        mistakes.extend(self.database.mistakes());
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
    let policy = options.policy.read();
    mistakes.extend(policy.as_ref().err().cloned());
    mistakes.extend(options.logging.begin().err());
    if say_mistakes(&mistakes) {
        return ExitCode::from(USAGE);
    }
    match serve(options, policy.unwrap_or_default()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options, policy: PodPolicy) -> anyhow::Result<()> {
    let shutdown = roles::until_told()?;
    let store = options.database.open("updraft worker", 6, true)?;
    let broker = options.wire.connect("worker")?;
    let pulse = Pulse::default();
    options.probes.serve(health("worker", Some(&store), Some(&broker), Some(&pulse)), &shutdown).await?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = options.database.ready(&store) => {}
    }
    match options.runner {
        RunnerKind::Kubernetes => {
            let runner = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                runner = pod_runner(&options, policy, &store) => runner?,
            };
            work(&options, store, broker, runner, 2000, pulse, shutdown).await
        }
        RunnerKind::Process => {
            let runner = ProcessRunner::new(ProcessConfig::new(&options.state_dir))
                .with_context(|| format!("cannot use --state-dir {}", options.state_dir.display()))?;
            work(&options, store, broker, runner, 32, pulse, shutdown).await
        }
    }
}

/// The runner, once database and API server have answered.
async fn pod_runner(options: &Options, policy: PodPolicy, store: &Store) -> anyhow::Result<KubernetesRunner> {
    let installation = loop {
        match store.installation_id().await {
            Ok(id) => break id,
            Err(error) => error.patience("read the installation's id").await,
        }
    };
    Ok(KubernetesRunner::connect(options.pods.config(installation, policy)).await?)
}

/// What Python tasks are run with.
pub(crate) fn python_runtime(interpreter: &str) -> anyhow::Result<Arc<updraft_worker::PythonRuntime>> {
    use updraft_dagfile::python::{task_bootstrap, task_package};
    let runtime = updraft_worker::PythonRuntime::new(interpreter, task_bootstrap(), &task_package());
    Ok(Arc::new(runtime.context("cannot pack what Python tasks are run with")?))
}

async fn work<R: Runner>(
    options: &Options,
    store: Store,
    broker: Broker,
    runner: R,
    concurrency: usize,
    pulse: Pulse,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let config = updraft_worker::Config {
        queues: options.queues.iter().map(|queue| queue.trim().to_owned()).collect(),
        concurrency: options.concurrency.unwrap_or(concurrency),
        heartbeat: Duration::from_secs_f64(options.heartbeat),
        lease_ttl: Duration::from_secs_f64(options.lease_ttl),
        pulse,
        secrets: updraft_worker::Secrets(crate::settings::passwords(&options.database, &options.wire)),
        python: Some(python_runtime(&options.task_python)?),
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
