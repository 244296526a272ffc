//! The pod runner: one pod per attempt, and the only user of `kube`.
//!
//! ```text
//! launch ─► POST the pod, its gate closed, our finalizer on it; a name that is taken: is it this very attempt's?
//!   bind    (the store) of all pods that anybody ever made for the attempt, one uid may start
//! start  ─► PATCH: the gate opens
//! wait   ─► one list and watch per lease group; the state of the bound uid decides, its absence never does without a read by name
//! stop   ─► PATCH why, DELETE that uid; the finalizer keeps the object, so the exit code is read all the same
//! release ─► PATCH the finalizer away, DELETE or keep
//! ```
//!
//! Five calls for an attempt: create, start, its log, release, delete. Nothing that matters is kept in this process: labels and
//! annotations on the pod say what another worker has to know (`marks`). Used by the worker through its `Runner` trait. It never talks to
//! the store, and decides nothing but what a pod's state means (`facts`).

mod api;
mod config;
mod end;
mod entry;
mod errors;
mod facts;
mod gate;
mod launch;
mod logs;
mod marks;
mod name;
mod pod;
mod pod_merge;
mod record;
mod rights;
mod seen;
mod wait;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, InstanceKey, LaunchSpec, RunKey};
use updraft_worker::runner::{Assignment, LaunchError, Launched, LogPosition, LogRead, Outcome, Progress, Runner, StopError};

pub use api::Calls;
pub use config::{Config, GateMode};
pub use errors::Error;
pub use marks::Gate;
pub use rights::{Right, rights, rights_of};

use crate::api::Cluster;
use crate::entry::{Entry, Registry};
use crate::errors::Fault;

/// The pod that a task would be, without a cluster: with an attempt's number and the ids of nobody. Or why it cannot be one, for its author.
pub fn preview(config: &Config, namespace: &str, spec: &LaunchSpec) -> Result<serde_json::Value, String> {
    let key = AttemptKey { instance: InstanceKey { run: RunKey(0), idx: 0, map_index: -1 }, attempt: 1 };
    pod::build(config, namespace, Gate::None, key, uuid::Uuid::nil(), spec).map(|built| built.pod).map_err(|mistake| mistake.to_string())
}

/// Most news of pods that wait to be taken.
const NEWS: usize = 4096;
/// Longest pause between two tries to reach the API server at the start.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Runs attempts as pods.
pub struct KubernetesRunner {
    inner: Arc<Inner>,
    progress: Mutex<Option<mpsc::Receiver<Progress>>>,
    /// Ends the watches.
    _shutdown: DropGuard,
}

struct Inner {
    cluster: Cluster,
    config: Config,
    /// Where pods run that name no namespace.
    namespace: String,
    gate: Gate,
    registry: Registry,
    news: mpsc::Sender<Progress>,
    /// One for each running pod whose log is read while it runs.
    live_logs: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl KubernetesRunner {
    /// Connects to the cluster of `$KUBECONFIG`, or to the one that this process runs in. An API server that does not answer is waited for.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        // Told of from the start, whether or not the API server answers.
        let _ = updraft_telemetry::metrics::pods();
        let mut cluster = kube::Config::infer().await.map_err(Error::NoCluster)?;
        // Retries are ours: the client would repeat a POST in secret, and only on three of the codes that deserve it.
        cluster.default_retry = false;
        let client = kube::Client::try_from(cluster).map_err(Error::Client)?;
        Ok(Self::with_client(client, config).await)
    }

    /// The same over a client that the caller made. It must not retry by itself.
    pub async fn with_client(client: kube::Client, mut config: Config) -> Self {
        config.allow_own_account();
        let namespace = config.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let cluster = Cluster::new(client, config.call_timeout);
        let gate = choose_gate(&cluster, config.gate).await;
        let (news, progress) = mpsc::channel(NEWS);
        let shutdown = CancellationToken::new();
        let live_logs = Arc::new(Semaphore::new(config.live_logs));
        let inner = Inner { cluster, config, namespace, gate, registry: Registry::default(), news, live_logs, shutdown: shutdown.clone() };
        Self { inner: Arc::new(inner), progress: Mutex::new(Some(progress)), _shutdown: shutdown.drop_guard() }
    }

    /// How many calls it has made.
    pub fn calls(&self) -> Calls {
        self.inner.cluster.calls()
    }

    /// How many groups are watched now: each is one connection.
    pub fn watches(&self) -> usize {
        self.inner.registry.watches()
    }

    /// What keeps pods from running before they are bound.
    pub fn gate(&self) -> Gate {
        self.inner.gate
    }
}

/// Waits for the server to say what it is.
async fn choose_gate(cluster: &Cluster, mode: GateMode) -> Gate {
    let mut pause = Duration::from_secs(1);
    let version = loop {
        match cluster.version().await {
            Ok(version) => break version,
            Err(fault) => warn!(error = %fault, "the cluster's API server cannot be reached yet, trying again in {} s", pause.as_secs()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    };
    let gate = match mode {
        GateMode::None => Gate::None,
        GateMode::Auto if version >= (1, 27) => Gate::Scheduling,
        GateMode::Auto => Gate::Image,
    };
    info!(gate = ?gate, "connected to Kubernetes {}.{}", version.0, version.1);
    gate
}

impl Inner {
    /// Where pods of ours may be.
    fn namespaces(&self) -> BTreeSet<String> {
        std::iter::once(&self.namespace).chain(&self.config.allowed_namespaces).cloned().collect()
    }

    /// The entry of an attempt, watched.
    fn enter(self: &Arc<Self>, key: AttemptKey, make: impl FnOnce() -> Entry) -> Arc<Entry> {
        let (entry, is_first) = self.registry.get_or_insert(key, make);
        if is_first {
            tokio::spawn(watch::watch(Arc::clone(self), entry.namespace.clone(), entry.group));
        }
        entry
    }

    /// An attempt that this process knows, or whose pod is found by its label.
    async fn find(&self, key: AttemptKey) -> Result<Option<Arc<Entry>>, Fault> {
        if let Some(entry) = self.registry.get(key) {
            return Ok(Some(entry));
        }
        let selector = format!("{}={},{}={}", marks::INSTALLATION, self.config.installation, marks::KEY, name::attempt_label(key));
        for namespace in self.namespaces() {
            let mut found = None;
            self.cluster.list(&namespace, &selector, |pod| found = Entry::of(&pod).or_else(|| found.take())).await?;
            if let Some(entry) = found {
                return Ok(Some(Arc::new(entry)));
            }
        }
        Ok(None)
    }

    /// The same, in the registry and watched.
    async fn find_watched(self: &Arc<Self>, key: AttemptKey) -> Result<Option<Arc<Entry>>, Fault> {
        let Some(found) = self.find(key).await? else { return Ok(None) };
        let entry = self.enter(key, || {
            let entry = Entry::new(key, found.group, found.namespace.clone(), found.name.clone(), found.plan.clone());
            if let Some(uid) = found.uid() {
                entry.bind(&uid);
            }
            entry
        });
        Ok(Some(entry))
    }
}

impl Runner for KubernetesRunner {
    const BINDS: bool = true;

    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn host(&self) -> &str {
        &self.inner.config.cluster
    }

    async fn launch(&self, assignment: Assignment<'_>) -> Result<Launched, LaunchError> {
        launch::launch(&self.inner, assignment).await
    }

    async fn start(&self, assignment: Assignment<'_>, handle: &str) -> Result<(), LaunchError> {
        launch::start(&self.inner, assignment, handle).await
    }

    async fn discard(&self, assignment: Assignment<'_>, handle: &str) -> io::Result<()> {
        let Assignment { key, spec, .. } = assignment;
        let namespace = pod::namespace(&self.inner.config, &self.inner.namespace, spec).map_err(io::Error::other)?;
        end::discard(&self.inner, key, &namespace, &pod::name(&self.inner.config, key, spec), handle).await
    }

    async fn wait(&self, key: AttemptKey) -> EndFacts {
        wait::wait(&self.inner, key).await
    }

    async fn stop(&self, key: AttemptKey, why: Stopped) -> Result<(), StopError> {
        end::stop(&self.inner, key, why).await
    }

    async fn read_log(&self, key: AttemptKey, from: &LogPosition, max: usize) -> io::Result<LogRead> {
        logs::read(&self.inner, key, from, max).await
    }

    async fn read_log_before(&self, key: AttemptKey, at: &LogPosition, max: usize) -> io::Result<Vec<u8>> {
        logs::read_before(&self.inner, key, at, max).await
    }

    async fn release(&self, key: AttemptKey, outcome: Outcome) -> io::Result<()> {
        end::release(&self.inner, key, outcome).await
    }

    async fn present(&self) -> io::Result<Vec<AttemptKey>> {
        end::present(&self.inner).await
    }

    fn object_name(&self, assignment: Assignment<'_>) -> Option<String> {
        Some(pod::name(&self.inner.config, assignment.key, assignment.spec))
    }

    fn progress(&self) -> Option<mpsc::Receiver<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
