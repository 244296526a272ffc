//! The shape of a YAML DAG file. These structs are at once what is read and what the JSON Schema says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;
use updraft_model::dag::{EnvVar, OnFinishAction, WeightRule};
use updraft_model::{Semantics, TriggerRule};

use crate::duration;
use crate::yaml::de::RAW;

/// One document of a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "Updraft DAG", rename = "UpdraftDag")]
#[serde(deny_unknown_fields)]
pub(crate) struct DagShape {
    /// `updraft/v1`; may be left out.
    #[serde(rename = "apiVersion")]
    pub(crate) api_version: Option<String>,
    /// Id of the DAG, unique in the installation: letters, digits, dashes, dots and underscores.
    pub(crate) dag_id: String,
    /// Name to show instead of the id.
    #[serde(alias = "dag_display_name")]
    pub(crate) display_name: Option<String>,
    /// One line for people.
    pub(crate) description: Option<String>,
    /// Markdown for people.
    pub(crate) doc_md: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub(crate) tags: Words,
    /// Owner to link (an address or `mailto:`).
    #[serde(default)]
    pub(crate) owner_links: BTreeMap<String, String>,
    /// Five cron fields, a preset such as `@daily`, a duration such as `30m`, a list of crons, or null: only when somebody triggers it.
    #[serde(default)]
    #[schemars(with = "Option<When>")]
    pub(crate) schedule: Option<When>,
    /// IANA name of the zone of cron times and of dates without an offset. Default: UTC.
    pub(crate) timezone: Option<String>,
    /// No run before it: `2026-01-31`, or RFC 3339.
    pub(crate) start_date: Option<String>,
    /// No run after it.
    pub(crate) end_date: Option<String>,
    /// Whether missed runs are made up. Default: as `semantics` says.
    pub(crate) catchup: Option<bool>,
    /// Whether the schedule means what it means in Airflow 2 or in Airflow 3. Default: the installation's.
    pub(crate) semantics: Option<Semantics>,
    /// At most so many runs at once.
    pub(crate) max_active_runs: Option<u32>,
    /// At most so many tasks of one run at once.
    #[serde(alias = "concurrency")]
    pub(crate) max_active_tasks: Option<u32>,
    /// Pause after so many failed runs in a row; 0: never.
    pub(crate) max_consecutive_failed_dag_runs: Option<u32>,
    /// How long a run may take.
    pub(crate) dagrun_timeout: Option<Millis>,
    /// Whether it starts out paused. Default: the installation's.
    pub(crate) is_paused_upon_creation: Option<bool>,
    /// Parameters: a default, or a JSON Schema with `default`.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, Value>,
    /// What every task of this DAG has unless it says otherwise.
    pub(crate) default_args: Option<TaskShape>,
    /// Whether templates give objects instead of text.
    #[serde(default)]
    pub(crate) render_template_as_native_obj: bool,
    /// Groups of tasks, by id. A task is in one by its `task_group`.
    #[serde(default, rename = "task_groups")]
    pub(crate) _task_groups: BTreeMap<String, Option<GroupShape>>,
    /// The tasks: a map from id to task, or a list of tasks with `task_id`.
    #[schemars(with = "TasksShape")]
    #[serde(default, rename = "tasks")]
    pub(crate) _tasks: de::IgnoredAny,
}

/// A group of tasks.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GroupShape {
    /// Name to show instead of the id.
    #[serde(alias = "group_display_name")]
    pub(crate) display_name: Option<String>,
    /// One line for people.
    pub(crate) tooltip: Option<String>,
    /// The group around it.
    #[serde(alias = "parent_group_name")]
    pub(crate) parent: Option<String>,
    /// Ids of tasks and groups that must end before any of its tasks starts.
    #[serde(alias = "dependencies", alias = "upstream", alias = "depends_on")]
    pub(crate) needs: Words,
}

/// Only for the schema: tasks are decoded one by one, so that each mistake is told.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the shape")]
pub(crate) enum TasksShape {
    /// By id.
    Map(BTreeMap<String, Option<TaskShape>>),
    /// With `task_id` in each.
    List(Vec<TaskShape>),
}

macro_rules! task_shape {
    ($($(#[$meta:meta])* $field:ident: $type:ty,)+) => {
        /// A task, or the defaults of all. With `bash_command`: a command for bash. With `image`, `cmds` or `arguments`: a pod. With none: empty.
        #[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct TaskShape { $($(#[$meta])* pub(crate) $field: Option<$type>,)+ }

        impl TaskShape {
            /// Takes what it does not say from `defaults`.
            pub(crate) fn or(&mut self, defaults: &Self) {
                $(if self.$field.is_none() { self.$field.clone_from(&defaults.$field); })+
            }
        }
    };
}

task_shape! {
    /// Id of the task, where `tasks` is a list.
    task_id: String,
    /// Name to show instead of the id.
    #[serde(alias = "task_display_name")]
    display_name: String,
    /// `bash`, `pod` or `empty`; Airflow's class names work too. Default: what the other keys say.
    operator: String,
    /// The group that it is in.
    task_group: String,
    /// Ids of the tasks that must end before this one starts; a group stands for the tasks that it ends with.
    #[serde(alias = "dependencies", alias = "upstream", alias = "depends_on")]
    needs: Words,
    /// What must be true of them.
    trigger_rule: TriggerRule,
    /// Whether it prepares something for the tasks after it, until its teardown.
    setup: bool,
    /// Whether it cleans up after setups, whatever became of the tasks between them: `true`, or which setups and how.
    teardown: TeardownShape,
    /// Who answers for it.
    owner: String,
    /// Markdown for people.
    doc_md: String,
    /// How often a failure is tried again.
    retries: u32,
    /// How long after a failure.
    retry_delay: Millis,
    /// Whether the delay grows with each retry: `true` doubles it, a number multiplies it.
    retry_exponential_backoff: Backoff,
    /// The most that the delay may grow to.
    max_retry_delay: Millis,
    /// How long one attempt may take.
    execution_timeout: Millis,
    /// Pool whose slots it takes.
    pool: String,
    /// How many slots.
    pool_slots: u32,
    /// Queue that workers take it from.
    queue: String,
    /// Its own weight.
    priority_weight: i32,
    /// How weights make its priority.
    weight_rule: WeightRule,
    /// Wait for the same task of the run before.
    depends_on_past: bool,
    /// Wait, too, for the tasks right after it in the run before.
    wait_for_downstream: bool,
    /// At most so many of its instances at once, over all runs.
    #[serde(alias = "task_concurrency")]
    max_active_tis_per_dag: u32,
    /// Its own start date.
    start_date: String,
    /// Its own end date.
    end_date: String,
    /// Parameters in addition to the DAG's.
    params: BTreeMap<String, Value>,
    /// Command line for bash, a template.
    bash_command: String,
    /// Environment of the command, values are templates.
    env: BTreeMap<String, String>,
    /// Whether `env` is added to the worker's own instead of standing alone.
    append_env: bool,
    /// Folder that the command runs in.
    cwd: String,
    /// Exit codes that mean *skipped*.
    skip_on_exit_code: Codes,
    /// What a sensor waits for: a date, or for TimeSensor a time of the day.
    target_time: String,
    /// How long after the end of the data interval TimeDeltaSensor waits.
    delta: Millis,
    /// How long WaitSensor waits.
    time_to_wait: Millis,
    /// Days of the week, by name.
    week_day: Words,
    /// Whether the run's logical date is meant, instead of today.
    use_task_logical_date: bool,
    /// The DAG that ExternalTaskSensor looks at, a template.
    external_dag_id: String,
    /// The task of it, a template. None: the whole run.
    external_task_id: String,
    /// Several tasks of it, templates.
    external_task_ids: Words,
    /// All tasks of this group of it, a template.
    external_task_group_id: String,
    /// States that are waited for.
    allowed_states: Words,
    /// States that make it skip.
    skipped_states: Words,
    /// States that make it fail.
    failed_states: Words,
    /// How much earlier than its own date the other run's is.
    execution_delta: Millis,
    /// Whether it fails where there is no such DAG, task or group.
    check_existence: bool,
    /// The DAG that TriggerDagRunOperator makes a run of, a template.
    trigger_dag_id: String,
    /// The run's name, a template.
    trigger_run_id: String,
    /// What the run is given: a map, texts in it are templates, or a template that gives JSON.
    conf: Value,
    /// The run's date, a template; null: none.
    logical_date: String,
    /// The run starts no earlier, a template.
    run_after: String,
    /// What people read beside the run.
    note: String,
    /// Whether a run of that name or date is cleared.
    reset_dag_run: bool,
    /// Whether the task is skipped where there is such a run.
    skip_when_already_exists: bool,
    /// Whether it fails where the DAG is paused.
    fail_when_dag_is_paused: bool,
    /// Whether it waits for the run's end.
    wait_for_completion: bool,
    /// A branch by the time is true from this time or date on.
    target_lower: String,
    /// Until this one.
    target_upper: String,
    /// Ids of the tasks that a branch goes on with when it is true.
    follow_task_ids_if_true: Words,
    /// And when it is not.
    follow_task_ids_if_false: Words,
    /// How long between two looks.
    poke_interval: Millis,
    /// How long a sensor waits at most.
    timeout: Millis,
    /// Whether a sensor is skipped where it would fail.
    soft_fail: bool,
    /// Has no effect: no sensor takes a slot.
    mode: SensorMode,
    /// Whether the time between two looks grows.
    exponential_backoff: bool,
    /// The most that it grows to.
    max_wait: Millis,
    /// Whether Airflow would have its triggerer wait. No sensor takes a slot, whatever this says.
    deferrable: bool,
    /// Container image.
    image: String,
    /// Base of the pod's name. Default: the task id.
    name: String,
    /// Kubernetes namespace.
    namespace: String,
    /// The container's entrypoint.
    cmds: Words,
    /// The entrypoint's arguments.
    arguments: Words,
    /// Environment of the container: a map, or a list of Kubernetes `EnvVar`.
    env_vars: EnvShape,
    /// Labels of the pod.
    labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    annotations: BTreeMap<String, String>,
    /// Kubernetes `ResourceRequirements`.
    container_resources: Value,
    /// What becomes of the pod after its end.
    on_finish_action: OnFinishAction,
    /// Whether `/airflow/xcom/return.json` is read at the end.
    do_xcom_push: bool,
    /// `EnvFromSource` list.
    env_from: Value,
    /// Names of ConfigMaps that become environment.
    configmaps: Value,
    /// Secrets that become environment or files.
    secrets: Value,
    /// Kubernetes `Volume` list.
    volumes: Value,
    /// Kubernetes `VolumeMount` list.
    volume_mounts: Value,
    /// Container ports.
    ports: Value,
    /// `Always`, `IfNotPresent` or `Never`.
    image_pull_policy: Value,
    /// Names of pull secrets, or `LocalObjectReference` list.
    image_pull_secrets: Value,
    /// Kubernetes `Affinity`.
    affinity: Value,
    /// Kubernetes `Toleration` list.
    tolerations: Value,
    /// Labels that the node must have.
    node_selector: Value,
    /// Priority class of the pod.
    priority_class_name: Value,
    /// Scheduler that places the pod.
    schedulername: Value,
    /// Runtime class of the pod.
    runtime_class_name: Value,
    /// Service account of the pod.
    service_account_name: Value,
    /// Whether the pod gets the account's token.
    automount_service_account_token: Value,
    /// Whether the pod uses the node's network.
    hostnetwork: Value,
    /// Kubernetes `HostAlias` list.
    host_aliases: Value,
    /// DNS policy of the pod.
    dnspolicy: Value,
    /// Kubernetes `PodDNSConfig`.
    dns_config: Value,
    /// Host name of the pod.
    hostname: Value,
    /// Subdomain of the pod.
    subdomain: Value,
    /// Kubernetes `PodSecurityContext`.
    security_context: Value,
    /// Kubernetes `SecurityContext` of the container.
    container_security_context: Value,
    /// Kubernetes `Container` list that runs before.
    init_containers: Value,
    /// Whole Kubernetes `Pod` that the other keys are laid over.
    full_pod_spec: Value,
    /// The same under another name.
    pod_template_dict: Value,
    /// Name of the container that decides.
    base_container_name: Value,
    /// Seconds that the pod may take to start.
    startup_timeout_seconds: Value,
    /// Seconds that the pod may take to find a node.
    schedule_timeout_seconds: Value,
    /// Seconds between SIGTERM and SIGKILL.
    termination_grace_period: Value,
    /// Kubernetes `activeDeadlineSeconds`.
    active_deadline_seconds: Value,
    /// Whether the container's log is kept.
    get_logs: Value,
    /// Read and left aside, with a warning.
    email: Value,
    /// Read and left aside, with a warning.
    email_on_failure: Value,
    /// Read and left aside, with a warning.
    email_on_retry: Value,
}

macro_rules! pod_rest {
    ($($field:ident),+ $(,)?) => {
        impl TaskShape {
            /// Takes the keys that only make the pod, by the names of KubernetesPodOperator.
            pub(crate) fn take_rest(&mut self) -> BTreeMap<String, Value> {
                let mut rest = BTreeMap::new();
                $(if let Some(value) = self.$field.take() { rest.insert(stringify!($field).to_owned(), value); })+
                rest
            }
        }
        /// The keys of [`TaskShape::take_rest`], and those with a field of their own: they make no sense for a task without a container.
        pub(crate) const POD_KEYS: &[&str] = &[
            "image", "name", "namespace", "cmds", "arguments", "env_vars", "labels", "annotations", "container_resources",
            "on_finish_action", $(stringify!($field)),+
        ];
    };
}

pod_rest!(
    env_from,
    configmaps,
    secrets,
    volumes,
    volume_mounts,
    ports,
    image_pull_policy,
    image_pull_secrets,
    affinity,
    tolerations,
    node_selector,
    priority_class_name,
    schedulername,
    runtime_class_name,
    service_account_name,
    automount_service_account_token,
    hostnetwork,
    host_aliases,
    dnspolicy,
    dns_config,
    hostname,
    subdomain,
    security_context,
    container_security_context,
    init_containers,
    full_pod_spec,
    pod_template_dict,
    base_container_name,
    startup_timeout_seconds,
    schedule_timeout_seconds,
    termination_grace_period,
    active_deadline_seconds,
    get_logs,
);

/// The keys that only make sense for bash.
pub(crate) const BASH_KEYS: &[&str] = &["bash_command", "env", "append_env", "cwd"];

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) u64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Millis;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as 30s, 5m or 1h30m")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                duration::parse_ms(text).map(Millis).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Millis, E> {
                self.visit_f64(seconds as f64)
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Millis, E> {
                self.visit_f64(seconds as f64)
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Millis, E> {
                duration::from_seconds(seconds).map(Millis).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: 30s, 5m, 1h30m, 2d, PT5M, or a number of seconds.",
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}]
        })
    }
}

/// One text or a list of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Words;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words(vec![text.to_owned()]))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Words, E> {
                Ok(Words(Vec::new()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element::<String>()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_newtype_struct(RAW, V)
    }
}

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "TextOrList".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One text, or a list of texts.",
            "oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
                {"type": "null"}
            ]
        })
    }
}

/// One exit code or a list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected an exit code or a list of exit codes")]
pub(crate) enum Codes {
    /// One.
    One(i32),
    /// Several.
    Many(Vec<i32>),
}

/// When a DAG runs by itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected five cron fields, a preset such as @daily, a duration such as 30m, or null")]
pub(crate) enum When {
    /// A cron expression, a preset, or a duration.
    Text(String),
    /// Several cron expressions.
    Many(Vec<String>),
    /// Seconds between two runs.
    Seconds(f64),
}

/// `retry_exponential_backoff`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false or a factor such as 2.0")]
pub(crate) enum Backoff {
    /// `true`: doubles.
    Switch(bool),
    /// The factor.
    Factor(f64),
}

/// `mode` of a sensor.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SensorMode {
    /// Looks again and again in its slot.
    Poke,
    /// Gives its slot back between two looks.
    Reschedule,
}

/// `teardown`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, or a map with `setups` and `on_failure_fail_dagrun`")]
pub(crate) enum TeardownShape {
    /// Of the setups among the tasks that it needs.
    Switch(bool),
    /// Of setups by name.
    Of(TeardownOf),
}

/// A teardown of setups by name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TeardownOf {
    /// Ids of the tasks that it cleans up after: they are setups, and it needs them.
    pub(crate) setups: Vec<String>,
    /// Whether its failure fails the run.
    pub(crate) on_failure_fail_dagrun: bool,
}

/// `env_vars`.
#[derive(Debug, Clone)]
pub(crate) struct EnvShape(pub(crate) Vec<EnvVar>);

/// A value of a map of variables: text as it is spelt, or a Kubernetes object.
struct EnvValue(Option<String>, Option<Value>);

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = EnvValue;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, or an object with `valueFrom`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EnvValue, E> {
                Ok(EnvValue(Some(text.to_owned()), None))
            }
            fn visit_unit<E: de::Error>(self) -> Result<EnvValue, E> {
                Ok(EnvValue(Some(String::new()), None))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
                let value = Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let inner = value.get("valueFrom").or_else(|| value.get("value_from")).cloned();
                inner
                    .map(|inner| EnvValue(None, Some(inner)))
                    .ok_or_else(|| de::Error::custom("expected a text, or an object with `valueFrom`"))
            }
        }
        deserializer.deserialize_newtype_struct(RAW, V)
    }
}

/// A Kubernetes `EnvVar`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EnvEntry {
    /// Its name.
    name: String,
    /// Its value, a template.
    value: Option<String>,
    /// A Kubernetes `EnvVarSource`.
    #[serde(rename = "valueFrom", alias = "value_from")]
    value_from: Option<Value>,
}

impl<'de> Deserialize<'de> for EnvShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = EnvShape;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of variables, or a list of Kubernetes EnvVar")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<EnvShape, A::Error> {
                let mut vars = Vec::new();
                while let Some((name, EnvValue(value, value_from))) = map.next_entry()? {
                    vars.push(EnvVar { name, value, value_from });
                }
                Ok(EnvShape(vars))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<EnvShape, A::Error> {
                let mut vars = Vec::new();
                while let Some(EnvEntry { name, value, value_from }) = seq.next_element()? {
                    vars.push(EnvVar { name, value, value_from });
                }
                Ok(EnvShape(vars))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for EnvShape {
    fn schema_name() -> Cow<'static, str> {
        "EnvVars".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<EnvEntry>();
        json_schema!({
            "description": "A map of variables, or a list of Kubernetes EnvVar.",
            "oneOf": [
                {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "object", "null"]}},
                {"type": "array", "items": entry}
            ]
        })
    }
}
