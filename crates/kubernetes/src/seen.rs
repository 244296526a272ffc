//! A pod as this crate looks at it: of some kilobytes of JSON the few dozen bytes that decide something. A worker may watch thousands.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ContainerState, PodSchedulingGate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use updraft_model::AttemptKey;
use uuid::Uuid;

use crate::marks::{
    ATTEMPT, CONTAINER, FINALIZER, GATE_IMAGE, GROUP, KEPT, OPENED, PLAN, Plan, SCHEDULING_GATE, SPEC_HASH, STOP, StopNote, moment,
};
use crate::name;

/// The part of a pod that is decoded. Everything else is skipped in the parser.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SlimPod {
    pub(crate) metadata: ObjectMeta,
    spec: SlimSpec,
    status: SlimStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SlimSpec {
    node_name: Option<String>,
    scheduling_gates: Vec<PodSchedulingGate>,
    containers: Vec<SlimContainer>,
    init_containers: Vec<SlimContainer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SlimContainer {
    name: String,
    image: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SlimStatus {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    conditions: Vec<SlimCondition>,
    container_statuses: Vec<SlimContainerStatus>,
    init_container_statuses: Vec<SlimContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SlimCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SlimContainerStatus {
    name: String,
    state: ContainerState,
    last_state: ContainerState,
}

impl kube::Resource for SlimPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl SlimPod {
    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.as_ref().and_then(|all| all.get(name)).map(String::as_str)
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.metadata.labels.as_ref().and_then(|all| all.get(name)).map(String::as_str)
    }

    /// The attempt that it was made for.
    pub(crate) fn attempt(&self) -> Option<AttemptKey> {
        self.annotation(ATTEMPT).and_then(name::parse_attempt)
    }

    pub(crate) fn spec_hash(&self) -> Option<&str> {
        self.annotation(SPEC_HASH)
    }

    pub(crate) fn group(&self) -> Uuid {
        self.label(GROUP).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// How it is looked after. Absent: it is none of ours, or somebody broke the annotation.
    pub(crate) fn plan(&self) -> Option<Plan> {
        self.annotation(PLAN).and_then(|text| serde_json::from_str(text).ok())
    }
}

/// What is remembered of a pod.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Seen {
    pub(crate) uid: String,
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) deleting: Option<Deleting>,
    pub(crate) node: Option<String>,
    pub(crate) phase: Phase,
    /// The pod's own reason and message (`Evicted`, `DeadlineExceeded`).
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    /// Reason and message of the condition `DisruptionTarget`.
    pub(crate) disruption: Option<(String, String)>,
    /// Why no node takes it.
    pub(crate) unschedulable: Option<String>,
    pub(crate) base: Container,
    /// The init container that failed, or that is waited for.
    pub(crate) init: Option<(String, Container)>,
    pub(crate) stop: Option<StopNote>,
    pub(crate) opened: Option<DateTime<Utc>>,
    pub(crate) gate_closed: bool,
    /// Where our finalizer stands in the list, for the patch that removes it.
    pub(crate) finalizer: Option<usize>,
    pub(crate) kept: bool,
}

/// Somebody, perhaps this crate, asked for the pod's removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deleting {
    /// When. The object says when its grace *ends*; shortening the grace moves that, and leaves this.
    pub(crate) requested: DateTime<Utc>,
    /// Nothing more is waited for: the kubelet says that all is gone, no node ever had it, or it was removed by force.
    pub(crate) final_: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    #[default]
    Pending,
    Running,
    Over,
    /// Its node does not answer.
    Unknown,
}

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Container {
    #[default]
    Absent,
    Waiting {
        reason: String,
        message: String,
    },
    Running {
        since: Option<DateTime<Utc>>,
    },
    Ended(Box<Exit>),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started: Option<DateTime<Utc>>,
    pub(crate) ended: Option<DateTime<Utc>>,
}

impl Seen {
    pub(crate) fn of(pod: &SlimPod) -> Self {
        let meta = &pod.metadata;
        let status = &pod.status;
        let base_name = pod.annotation(CONTAINER).or_else(|| pod.spec.containers.first().map(|c| c.name.as_str())).unwrap_or_default();
        let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let grace = meta.deletion_grace_period_seconds.unwrap_or(0);
        Self {
            uid: pod.uid().to_owned(),
            created: meta.creation_timestamp.as_ref().and_then(moment),
            deleting: meta
                .deletion_timestamp
                .as_ref()
                .and_then(moment)
                .map(|at| Deleting { requested: at - chrono::TimeDelta::seconds(grace), final_: grace == 0 }),
            node: pod.spec.node_name.clone(),
            phase: match status.phase.as_deref() {
                Some("Running") => Phase::Running,
                _ if is_over => Phase::Over,
                Some("Unknown") => Phase::Unknown,
                _ => Phase::Pending,
            },
            reason: status.reason.clone(),
            message: status.message.clone(),
            disruption: status
                .conditions
                .iter()
                .find(|c| c.kind == "DisruptionTarget" && c.status == "True")
                .map(|c| (c.reason.clone().unwrap_or_default(), c.message.clone().unwrap_or_default())),
            unschedulable: status
                .conditions
                .iter()
                // `SchedulingGated` is ours.
                .find(|c| c.kind == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable"))
                .map(|c| c.message.clone().unwrap_or_default()),
            base: status
                .container_statuses
                .iter()
                .find(|c| c.name == base_name)
                // Before 1.22 a kubelet that has thrown the container of a deleted pod away says `ContainerCreating` again.
                .map(|c| if is_over && c.last_state.terminated.is_some() { &c.last_state } else { &c.state })
                .map(Container::of)
                .unwrap_or_default(),
            init: status.init_container_statuses.iter().map(|c| (c.name.clone(), Container::of(&c.state))).find(|(_, state)| match state {
                Container::Ended(exit) => exit.code != 0,
                Container::Waiting { reason, .. } => reason != "PodInitializing",
                Container::Running { .. } | Container::Absent => false,
            }),
            stop: pod.annotation(STOP).and_then(|text| serde_json::from_str(text).ok()),
            opened: pod.annotation(OPENED).and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|time| time.to_utc()),
            gate_closed: pod.spec.scheduling_gates.iter().any(|gate| gate.name == SCHEDULING_GATE)
                || pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|c| c.image.as_deref() == Some(GATE_IMAGE)),
            finalizer: meta.finalizers.as_ref().and_then(|all| all.iter().position(|name| name == FINALIZER)),
            kept: pod.label(KEPT).is_some(),
        }
    }

    /// Whether its command ran, or runs.
    pub(crate) fn started(&self) -> bool {
        matches!(self.base, Container::Running { .. } | Container::Ended(_))
    }

    /// What is true once stays true, in whatever order the news arrive (C12). An old kubelet even takes back how a container ended, once it
    /// has thrown the container away.
    pub(crate) fn after(mut self, known: &Self) -> Self {
        if self.uid != known.uid {
            return self;
        }
        if known.phase == Phase::Over {
            self.phase = Phase::Over;
            self.reason = self.reason.or_else(|| known.reason.clone());
            self.message = self.message.or_else(|| known.message.clone());
        }
        let takes_back = matches!(&self.base, Container::Ended(exit) if exit.is_unknown()) && known.base.rank() == self.base.rank();
        if takes_back || self.base.rank() < known.base.rank() {
            self.base = known.base.clone();
        }
        self.deleting = self.deleting.or(known.deleting);
        self.disruption = self.disruption.or_else(|| known.disruption.clone());
        self.node = self.node.or_else(|| known.node.clone());
        self.stop = self.stop.or_else(|| known.stop.clone());
        self.opened = self.opened.or(known.opened);
        self.gate_closed &= known.gate_closed;
        self.finalizer = self.finalizer.filter(|_| known.finalizer.is_some());
        self.kept |= known.kept;
        self
    }
}

impl Exit {
    /// The kubelet made it up: it does not know what became of the container.
    pub(crate) fn is_unknown(&self) -> bool {
        self.reason == "ContainerStatusUnknown"
    }
}

impl Container {
    /// States only move up.
    fn rank(&self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Waiting { .. } => 1,
            Self::Running { .. } => 2,
            Self::Ended(_) => 3,
        }
    }

    fn of(state: &ContainerState) -> Self {
        if let Some(ended) = &state.terminated {
            return Self::Ended(Box::new(Exit {
                code: ended.exit_code,
                signal: ended.signal.filter(|signal| *signal != 0),
                reason: ended.reason.clone().unwrap_or_default(),
                message: ended.message.clone().unwrap_or_default(),
                // A container that could not be started has the epoch here.
                started: ended.started_at.as_ref().and_then(moment).filter(|time| time.timestamp() > 0),
                ended: ended.finished_at.as_ref().and_then(moment).filter(|time| time.timestamp() > 0),
            }));
        }
        if let Some(running) = &state.running {
            return Self::Running { since: running.started_at.as_ref().and_then(moment) };
        }
        let waiting = state.waiting.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        Self::Waiting { reason: text(waiting.and_then(|w| w.reason.as_ref())), message: text(waiting.and_then(|w| w.message.as_ref())) }
    }
}
