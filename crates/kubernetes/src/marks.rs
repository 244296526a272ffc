//! What we write on a pod: labels to find it by, annotations that carry everything which a worker needs that did not create it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use updraft_model::dag::OnFinishAction;

/// Label: whose pod it is.
pub(crate) const INSTALLATION: &str = "updraft.dev/installation";
/// Label: the lease group that its attempt was claimed into. It never changes (H4).
pub(crate) const GROUP: &str = "updraft.dev/group";
/// Label: the attempt, to find its pod by.
pub(crate) const KEY: &str = "updraft.dev/key";
/// Label: over, and kept because its task says so. The sweeper does not look at it any more.
pub(crate) const KEPT: &str = "updraft.dev/kept";
/// Annotation: the attempt in clear.
pub(crate) const ATTEMPT: &str = "updraft.dev/attempt";
/// Annotation: a hash of what the attempt was told to run.
pub(crate) const SPEC_HASH: &str = "updraft.dev/spec-hash";
/// Annotation: a [`Plan`].
pub(crate) const PLAN: &str = "updraft.dev/plan";
/// Annotation: when the gate was opened.
pub(crate) const OPENED: &str = "updraft.dev/opened";
/// Annotation: a [`StopNote`].
pub(crate) const STOP: &str = "updraft.dev/stop";
/// Annotation of Kubernetes: the container that counts, for us and for `kubectl logs`.
pub(crate) const CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Finalizer: the pod stays until its end has been written down (H15).
pub(crate) const FINALIZER: &str = "updraft.dev/evidence";
/// The scheduling gate.
pub(crate) const SCHEDULING_GATE: &str = "updraft.dev/bound";
/// An image that no kubelet can pull, because its name cannot be parsed: it fails before the registry is asked and before any back-off.
pub(crate) const GATE_IMAGE: &str = "INVALID//gate";

/// What keeps a pod from running before the store has bound it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// `spec.schedulingGates`, since Kubernetes 1.27.
    Scheduling,
    /// An image that does not exist, replaced at the start: older servers drop scheduling gates in silence.
    Image,
    /// Nothing. Then a worker that sleeps for longer than pods are kept may start an attempt that is over.
    None,
}

/// How a pod is looked after: an annotation, for whoever comes after its creator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The container that counts.
    pub(crate) container: String,
    pub(crate) on_finish: OnFinishAction,
    pub(crate) xcom: bool,
    pub(crate) logs: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) startup_ms: u64,
    /// How long a node may be looked for. Absent: as long as the start may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schedule_ms: Option<u64>,
    pub(crate) gate: Gate,
    /// The real images that the gate stands for: of the first init container, or of every container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<String>,
    /// Whether they are those of init containers.
    #[serde(default)]
    pub(crate) init: bool,
}

impl Plan {
    pub(crate) fn startup(&self) -> Duration {
        Duration::from_millis(self.startup_ms)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

/// Why we ask a pod to end, written on it before it is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopNote {
    pub(crate) why: Why,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// See [`StopNote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    Timeout,
    Cancelled,
    Disrupted,
    NeverStarted,
    ImagePull,
}

/// The time of a Kubernetes object.
pub(crate) fn moment(time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.0.as_second(), time.0.subsec_nanosecond().unsigned_abs())
}
