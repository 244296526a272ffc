//! The parsed form of a DAG, the same from Python and from YAML.
//!
//! Durations are whole milliseconds, times are UTC, maps are ordered: equal files give equal bytes, and [`DagSpec::version_hash`] is a
//! hash of those bytes.

pub mod diff;
pub mod native;
mod validate;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use validate::InvalidDag;

use crate::ids::{DagId, TaskId};

/// When a DAG runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Never: only when somebody triggers it.
    None,
    /// Once, at the start date.
    Once,
    /// A new run as soon as the last one has ended.
    Continuous,
    /// At the times of one or more cron expressions of five fields, or presets such as `@daily`, in the DAG's time zone.
    Cron {
        /// The expressions; more than one only for a timetable that asks for it.
        expressions: Vec<String>,
        /// Set by a timetable that says so itself; otherwise [`Semantics`] decides. True: a run covers the interval before its fire time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_intervals: Option<bool>,
    },
    /// When assets change. Nothing follows them yet: such a DAG runs only when somebody triggers it.
    Assets {
        /// What must have changed: `{"asset": {"name": …, "uri": …}}`, `{"any": […]}`, `{"all": […]}`, `{"alias": …}`, `{"asset_ref": …}`.
        expression: Value,
    },
    /// At the times of a list.
    Events {
        /// The times, in order, each once.
        times: Vec<DateTime<Utc>>,
        /// Whether a run that is triggered by hand is for the last of them that has come, instead of for its own time.
        #[serde(default, skip_serializing_if = "is_false")]
        restrict_to_events: bool,
        /// What to call them. Absent: how many there are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Every so many milliseconds, counted from the start date.
    Delta {
        /// The distance between two runs.
        every_ms: u64,
        /// As for [`Schedule::Cron`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_intervals: Option<bool>,
    },
}

/// Which Airflow a file was written for: they mean different days by the same schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Semantics {
    /// Airflow 2: a run covers the interval that has just ended, `ds` is its start, and catchup is on unless the file says otherwise.
    #[serde(rename = "2")]
    Airflow2,
    /// Airflow 3: a run is for its fire time, `ds` is that day, and catchup is off unless the file says otherwise.
    #[serde(rename = "3")]
    Airflow3,
}

impl Semantics {
    /// The major version as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Airflow2 => "2",
            Self::Airflow3 => "3",
        }
    }
    /// Whether a cron or delta schedule makes runs for intervals.
    pub const fn data_intervals(self) -> bool {
        matches!(self, Self::Airflow2)
    }
    /// Whether missed runs are made up when the file does not say.
    pub const fn catchup(self) -> bool {
        matches!(self, Self::Airflow2)
    }
}

impl std::str::FromStr for Semantics {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2" => Ok(Self::Airflow2),
            "3" => Ok(Self::Airflow3),
            other => Err(format!("{other:?} is not 2 or 3")),
        }
    }
}

/// What must be true of the upstreams before a task runs. Airflow's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the documentation; the planner's `trigger_rule` module defines each")]
pub enum TriggerRule {
    #[default]
    AllSuccess,
    AllFailed,
    AllDone,
    AllDoneMinOneSuccess,
    AllDoneSetupSuccess,
    AllSkipped,
    OneSuccess,
    OneFailed,
    OneDone,
    NoneFailed,
    NoneFailedMinOneSuccess,
    NoneSkipped,
    Always,
}

impl TriggerRule {
    /// Airflow's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllSuccess => "all_success",
            Self::AllFailed => "all_failed",
            Self::AllDone => "all_done",
            Self::AllDoneMinOneSuccess => "all_done_min_one_success",
            Self::AllDoneSetupSuccess => "all_done_setup_success",
            Self::AllSkipped => "all_skipped",
            Self::OneSuccess => "one_success",
            Self::OneFailed => "one_failed",
            Self::OneDone => "one_done",
            Self::NoneFailed => "none_failed",
            Self::NoneFailedMinOneSuccess => "none_failed_min_one_success",
            Self::NoneSkipped => "none_skipped",
            Self::Always => "always",
        }
    }
}

/// How the weights of a DAG's tasks make a priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightRule {
    /// Own weight and that of every task after it: what holds up most goes first.
    #[default]
    Downstream,
    /// Own weight and that of every task before it: what is nearly done goes first.
    Upstream,
    /// Own weight.
    Absolute,
}

impl WeightRule {
    /// Airflow's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Absolute => "absolute",
        }
    }
}

/// One parameter of a DAG or a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// The default.
    #[serde(default)]
    pub value: Value,
    /// A JSON Schema that a given value must meet; empty: anything goes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schema: BTreeMap<String, Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A variable of a container's environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, rendered as a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A Kubernetes `valueFrom`, kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<Value>,
}

/// What becomes of a pod after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, clippy::enum_variant_names, reason = "Airflow's words, each a sentence")]
pub enum OnFinishAction {
    #[default]
    DeletePod,
    KeepPod,
    DeleteSucceededPod,
    DeleteActivePod,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskKind {
    /// Nothing: a knot in the graph. It ends as soon as its trigger rule is met.
    Empty,
    /// A knot as well: where its run is not the newest of the DAG's timetable, the tasks right after it are skipped.
    LatestOnly,
    /// A command line for bash.
    Bash {
        /// The script, rendered as a template.
        bash_command: String,
        /// Its environment, values rendered as templates. Absent: the worker's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        env: Option<BTreeMap<String, String>>,
        /// Whether `env` is added to the worker's own instead of standing alone.
        #[serde(default)]
        append_env: bool,
        /// Where it runs, rendered as a template. Absent: a fresh folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// Exit codes that mean *skipped*.
        #[serde(default = "skip_99")]
        skip_on_exit_code: Vec<i32>,
    },
    /// A container of its own.
    Pod(Box<PodTask>),
    /// A knot that chooses among the tasks right after it, by the time.
    Branch(Box<native::BranchTask>),
    /// What the scheduler waits for or has done itself: a sensor, or a run of another DAG.
    Wait(Box<native::WaitTask>),
    /// Python code of the author's, in a process of its own. [`DagSpec::code`] has it.
    Python(Box<PythonTask>),
    /// Something that only Airflow's own code can do: it needs an image with Airflow. An attempt fails at once and says so.
    Airflow(Box<AirflowTask>),
}

/// A task whose work is Python code. Its process reads the DAG file again and finds it there by its id; what is known only when it runs is
/// rendered at admission.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PythonTask {
    /// The operator's own arguments by name, for people: functions and objects are there by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Value>,
    /// Every text among its arguments that is a template, by its place: `op_kwargs['day']`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
    /// Whether it may leave out tasks after it: a branch, a short circuit.
    #[serde(skip_serializing_if = "is_false")]
    pub decides: bool,
    /// Whether its templates give objects instead of text.
    #[serde(skip_serializing_if = "is_false")]
    pub native: bool,
    /// The image of its pod. Absent: the workers'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// A Kubernetes `ResourceRequirements` of its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_resources: Option<Value>,
    /// What its `executor_config` says about its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_pod_spec: Option<Value>,
}

/// The code of a DAG's Python tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeSpec {
    /// The DAG file among `files`.
    pub file: String,
    /// It, and what it had imported or read beside it: texts by their paths in the DAG folder.
    pub files: BTreeMap<String, String>,
}

/// A task of an operator that Updraft does not run itself, with all that its author wrote.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AirflowTask {
    /// Why it needs Airflow, as the beginning of a sentence: `S3ListOperator is Airflow's own code`.
    pub reason: String,
    /// The operator's own arguments by name, for people: functions and objects are there by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Value>,
    /// Of a mapped task: the arguments that it is made many of, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expand: Vec<String>,
}

fn skip_99() -> Vec<i32> {
    vec![99]
}

/// The arguments of a KubernetesPodOperator, in its own words. Everything that is text is rendered as a template where Airflow does so.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PodTask {
    /// The container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Base of the pod's name. Absent: the task id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The container's entrypoint. Empty: the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmds: Vec<String>,
    /// The entrypoint's arguments. Empty: the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_vars: Vec<EnvVar>,
    /// Labels in addition to the automatic ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// A Kubernetes `ResourceRequirements`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_resources: Option<Value>,
    /// What becomes of the pod after its end.
    pub on_finish_action: OnFinishAction,
    /// Whether `/airflow/xcom/return.json` is read at the end.
    pub do_xcom_push: bool,
    /// Exit codes that mean *skipped*.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_on_exit_code: Vec<i32>,
    /// Every other argument that the pod is made of (`volumes`, `affinity`, `tolerations`, …), Kubernetes objects in camelCase.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rest: BTreeMap<String, Value>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Its id, unique in the DAG.
    pub task_id: TaskId,
    /// For people; absent: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it does.
    pub run: TaskKind,
    /// The class that the author wrote (`BashOperator`), for people and for the API.
    #[serde(default)]
    pub operator: String,
    /// Where that class was imported from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator_module: String,
    /// Who answers for it.
    #[serde(default = "default_owner")]
    pub owner: String,
    /// The innermost group that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_group: Option<String>,
    /// Whether it prepares something for the tasks after it, until their teardown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_setup: bool,
    /// Whether it cleans up after a setup, whatever became of the tasks between them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_teardown: bool,
    /// Of a teardown: whether its failure fails the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub on_failure_fail_dagrun: bool,
    /// Ids of the tasks right before it, sorted.
    #[serde(default)]
    pub upstream: Vec<TaskId>,
    /// What must be true of them.
    #[serde(default)]
    pub trigger_rule: TriggerRule,
    /// Wait for the same task of the run before.
    #[serde(default)]
    pub depends_on_past: bool,
    /// Wait, too, for the tasks right after it in the run before. Implies `depends_on_past`.
    #[serde(default)]
    pub wait_for_downstream: bool,
    /// How often a failure of the user's code is tried again.
    #[serde(default)]
    pub retries: u32,
    /// How long after a failure, in milliseconds.
    #[serde(default = "default_retry_delay")]
    pub retry_delay_ms: u64,
    /// What the delay is multiplied with at each further retry, in thousandths; 0: it stays the same.
    #[serde(default)]
    pub retry_exponential_backoff_milli: u32,
    /// The most that the delay may grow to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retry_delay_ms: Option<u64>,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_timeout_ms: Option<u64>,
    /// The pool whose slots it takes.
    #[serde(default = "default_pool")]
    pub pool: String,
    /// How many.
    #[serde(default = "one")]
    pub pool_slots: u32,
    /// The queue that workers take it from.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// Its own weight.
    #[serde(default = "one_i32")]
    pub priority_weight: i32,
    /// How weights make its priority.
    #[serde(default)]
    pub weight_rule: WeightRule,
    /// At most so many of its instances at once, over all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_tis_per_dag: Option<u32>,
    /// Its own start date, where it differs from the DAG's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// Its own end date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// Parameters in addition to the DAG's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Param>,
    /// Markdown for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_md: Option<String>,
    /// The task groups that it is in and whose ids its own does not begin with, since their author said `prefix_group_id=False`, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Names of the arguments that are templates, for the API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_fields: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
fn default_owner() -> String {
    "airflow".to_owned()
}
fn default_retry_delay() -> u64 {
    300_000
}
fn default_pool() -> String {
    "default_pool".to_owned()
}
fn default_queue() -> String {
    "default".to_owned()
}
fn one() -> u32 {
    1
}
fn one_i32() -> i32 {
    1
}

impl TaskSpec {
    /// A task with every default, as the front ends start from.
    pub fn new(task_id: TaskId, run: TaskKind) -> Self {
        Self {
            task_id,
            display_name: None,
            run,
            operator: String::new(),
            operator_module: String::new(),
            owner: default_owner(),
            task_group: None,
            is_setup: false,
            is_teardown: false,
            on_failure_fail_dagrun: false,
            upstream: Vec::new(),
            trigger_rule: TriggerRule::default(),
            depends_on_past: false,
            wait_for_downstream: false,
            retries: 0,
            retry_delay_ms: default_retry_delay(),
            retry_exponential_backoff_milli: 0,
            max_retry_delay_ms: None,
            execution_timeout_ms: None,
            pool: default_pool(),
            pool_slots: 1,
            queue: default_queue(),
            priority_weight: 1,
            weight_rule: WeightRule::default(),
            max_active_tis_per_dag: None,
            start_date: None,
            end_date: None,
            params: BTreeMap::new(),
            doc_md: None,
            groups: Vec::new(),
            template_fields: Vec::new(),
        }
    }

    /// Whether the scheduler does it itself, at once, as soon as its trigger rule is met.
    pub const fn is_knot(&self) -> bool {
        matches!(self.run, TaskKind::Empty | TaskKind::LatestOnly | TaskKind::Branch(_))
    }

    /// What the scheduler waits for, if it does.
    pub fn waits(&self) -> Option<&native::WaitTask> {
        match &self.run {
            TaskKind::Wait(wait) => Some(wait),
            _ => None,
        }
    }

    /// Whether it waits for the run before in any way.
    pub fn waits_for_past(&self) -> bool {
        self.depends_on_past || self.wait_for_downstream
    }
}

/// Tasks that belong together, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskGroupSpec {
    /// Its id, with the prefixes of the groups around it.
    pub group_id: String,
    /// For people; absent: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tooltip: Option<String>,
    /// The group around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Whether the group as a whole is made many of.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_mapped: bool,
}

/// One DAG, parsed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DagSpec {
    /// Its id.
    pub dag_id: DagId,
    /// For people; absent: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Markdown for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_md: Option<String>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Owner to link.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owner_links: BTreeMap<String, String>,
    /// When it runs by itself.
    pub schedule: Schedule,
    /// IANA name of the zone of cron times; `UTC` unless the file says otherwise.
    #[serde(default = "utc")]
    pub timezone: String,
    /// No run before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// No run after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// Whether missed runs are made up; absent: as [`Semantics::catchup`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catchup: Option<bool>,
    /// Set by the file; absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semantics: Option<Semantics>,
    /// At most so many runs at once; absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_runs: Option<u32>,
    /// At most so many tasks of one run at once; absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_tasks: Option<u32>,
    /// Pause after so many failed runs in a row; 0: never.
    #[serde(default)]
    pub max_consecutive_failed_dag_runs: u32,
    /// How long a run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dagrun_timeout_ms: Option<u64>,
    /// Whether it starts out paused; absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_paused_upon_creation: Option<bool>,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Param>,
    /// As written, for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub default_args: BTreeMap<String, Value>,
    /// Whether templates give objects instead of text.
    #[serde(default)]
    pub render_template_as_native_obj: bool,
    /// Its task groups, outer ones before those inside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_groups: Vec<TaskGroupSpec>,
    /// The code that its Python tasks need. Absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeSpec>,
    /// Its tasks, in the order of the file. A task's position is its `idx` in this version.
    pub tasks: Vec<TaskSpec>,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl DagSpec {
    /// The canonical bytes: JSON with ordered keys.
    pub fn canonical_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What tells two versions apart: SHA-256 of [`DagSpec::canonical_json`], in hex.
    pub fn version_hash(&self) -> String {
        let digest = Sha256::digest(self.canonical_json().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests;
