//! What an operator decides about pods. Every field has a sensible value but the installation.

use std::collections::BTreeSet;
use std::time::Duration;

use updraft_model::PodPolicy;
use uuid::Uuid;

/// Longest wait for an answer of the API server.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings of the pod runner.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which installation of Updraft this is: part of every pod's name, so that two of them may share a namespace.
    pub installation: Uuid,
    /// Where pods run whose task names no namespace. Absent: the namespace of the kubeconfig's context, or the worker's own.
    pub namespace: Option<String>,
    /// Further namespaces that tasks may name. The worker needs its Role in each of them.
    pub allowed_namespaces: BTreeSet<String>,
    /// Which cluster this is: attempts are adopted by workers that say the same.
    pub cluster: String,
    /// How pods are kept from running before they are bound.
    pub gate: GateMode,
    /// The image of tasks that name none, such as a BashOperator's. It needs `bash`.
    pub default_image: Option<String>,
    /// The image of Python tasks that name none. It needs Python 3.9 or later. Absent: that of the tasks that name none.
    pub python_image: Option<String>,
    /// Defaults and rules for all pods.
    pub policy: PodPolicy,
    /// The service account of pods whose task names none. Absent: the namespace's default.
    pub service_account: Option<String>,
    /// How long a pod may take from the opening of its gate to the start of its command, when its task does not say.
    pub startup_timeout: Duration,
    /// For how long an image that cannot be pulled, or a container that cannot be configured, is waited for.
    pub pull_grace: Duration,
    /// How long a pod that was deleted by force may stay without a word from its node before it is taken for lost.
    pub node_grace: Duration,
    /// Longest wait for an answer of the API server.
    pub call_timeout: Duration,
    /// How often a group's pods are listed beside the watch: how long a watch that died in silence can hide an end.
    pub relist_every: Duration,
    /// How often the log of a running pod is read at most.
    pub log_every: Duration,
    /// Most running pods whose logs are read while they run. Those of the others are read when they have ended.
    pub live_logs: usize,
}

/// See [`Config::gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GateMode {
    /// Scheduling gates where the server knows them (1.27), the image gate elsewhere.
    #[default]
    Auto,
    /// None, for clusters whose admission refuses both.
    None,
}

impl Config {
    /// The service account that pods get anyway may be named, too.
    pub(crate) fn allow_own_account(&mut self) {
        self.policy.allowed_service_accounts.extend(self.service_account.clone());
    }

    /// The defaults for an installation.
    pub fn new(installation: Uuid) -> Self {
        Self {
            installation,
            namespace: None,
            allowed_namespaces: BTreeSet::new(),
            cluster: "kubernetes".to_owned(),
            gate: GateMode::Auto,
            default_image: None,
            python_image: None,
            policy: PodPolicy::default(),
            service_account: None,
            startup_timeout: Duration::from_secs(600),
            pull_grace: Duration::from_secs(120),
            node_grace: Duration::from_secs(120),
            call_timeout: CALL_TIMEOUT,
            relist_every: Duration::from_secs(30),
            log_every: Duration::from_secs(1),
            live_logs: 200,
        }
    }
}
