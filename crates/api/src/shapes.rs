//! Rows as Airflow's API shows them. The keys and types are those of Airflow 3.3; clients refuse what lacks one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use updraft_model::redact::{redact, redact_text};
use updraft_model::{LaunchSpec, Schedule, TaskKind, TaskSpec, TaskState};
use updraft_planner::Defaults;
use updraft_planner::render::POD_TEMPLATES;
use updraft_store::read::dags::{DagRow, VersionRow};
use updraft_store::read::instances::{AttemptRow, InstanceRow};
use updraft_store::read::runs::RunRow;
use uuid::Uuid;

use crate::runs;
use crate::versions::{Head, Version};

mod instances;

pub(crate) use instances::{Instance, Try, api_state, had_nothing_to_run, hostname, instance, one_try, tries};

/// A moment as the API writes it: `…Z`, with microseconds where there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time_text(self.0))
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

pub(crate) const fn time(at: DateTime<Utc>) -> Time {
    Time(at)
}

pub(crate) fn maybe(at: Option<DateTime<Utc>>) -> Option<Time> {
    at.map(Time)
}

pub(crate) fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(if at.nanosecond() / 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros }, true)
}

/// As Python's `isoformat`: what run ids are made of.
pub(crate) fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(if at.nanosecond() / 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros }, false)
}

/// Seconds between two times.
pub(crate) fn seconds(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Option<f64> {
    Some((end? - start?).num_microseconds().unwrap_or(0) as f64 / 1e6)
}

fn uuid_text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "uuid"})
}

pub(crate) fn run_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": runs::STATES})
}

fn run_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": runs::TYPES})
}

/// Null is a state too: nothing has happened to it yet.
pub(crate) fn task_state(_: &mut SchemaGenerator) -> Schema {
    let states: Vec<Option<&str>> = crate::instances::STATES.iter().copied().map(Some).chain([None]).collect();
    json_schema!({"type": ["string", "null"], "enum": states})
}

/// What Airflow has a value for and Updraft never has one.
pub(crate) type Nothing = ();

/// Airflow's form of a duration in a task.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TimeDelta {
    /// Always `TimeDelta`.
    #[serde(rename = "__type")]
    kind: &'static str,
    days: u64,
    seconds: u64,
    microseconds: u64,
}

fn time_delta(ms: u64) -> TimeDelta {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    TimeDelta { kind: "TimeDelta", days, seconds: rest / 1000, microseconds: rest % 1000 * 1000 }
}

/// ISO 8601, as pydantic writes a duration.
fn iso_duration(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let mut text = String::from("P");
    if days > 0 {
        text.push_str(&format!("{days}D"));
    }
    if rest > 0 || days == 0 {
        text.push('T');
        let (hours, minutes, secs, millis) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
        if hours > 0 {
            text.push_str(&format!("{hours}H"));
        }
        if minutes > 0 {
            text.push_str(&format!("{minutes}M"));
        }
        if millis > 0 {
            text.push_str(&format!("{secs}.{millis:03}S"));
        } else if secs > 0 || (hours == 0 && minutes == 0) {
            text.push_str(&format!("{secs}S"));
        }
    }
    text
}

/// A parameter of a DAG or a task.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Param {
    /// Its default.
    value: Value,
    /// The JSON Schema that a value must meet.
    schema: BTreeMap<String, Value>,
    description: Option<String>,
    source: Nothing,
}

pub(crate) fn params(of: &BTreeMap<String, updraft_model::dag::Param>) -> BTreeMap<String, Param> {
    let shape = |p: &updraft_model::dag::Param| Param {
        value: p.value.clone(),
        schema: p.schema.clone(),
        description: p.description.clone(),
        source: (),
    };
    of.iter().map(|(name, p)| (name.clone(), shape(p))).collect()
}

/// One version of a DAG: what its file said from one moment on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DagVersionResponse")]
pub(crate) struct DagVersion {
    #[schemars(schema_with = "uuid_text")]
    id: Uuid,
    version_number: i32,
    dag_id: String,
    bundle_name: Option<String>,
    /// The commit of its file, where the bundle is a git repository.
    bundle_version: Option<String>,
    created_at: Time,
    dag_display_name: String,
    bundle_url: Nothing,
}

/// What a DAG shows of one of its versions.
pub(crate) fn dag_version(
    uuid: Uuid,
    number: i32,
    dag_id: &str,
    bundle: Option<&str>,
    commit: Option<&str>,
    created_at: DateTime<Utc>,
    display_name: Option<&str>,
) -> DagVersion {
    DagVersion {
        id: uuid,
        version_number: number,
        dag_id: dag_id.to_owned(),
        bundle_name: bundle.map(str::to_owned),
        bundle_version: commit.map(str::to_owned),
        created_at: time(created_at),
        dag_display_name: display_name.unwrap_or(dag_id).to_owned(),
        bundle_url: (),
    }
}

pub(crate) fn version_row(row: &VersionRow, display_name: Option<&str>) -> DagVersion {
    dag_version(row.uuid, row.number, &row.dag_id, row.bundle.as_deref(), row.git_commit.as_deref(), row.created_at, display_name)
}

/// A tag of a DAG.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DagTagResponse")]
pub(crate) struct DagTag {
    name: String,
    dag_id: String,
    dag_display_name: String,
}

/// A DAG, as its newest version says.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DAGResponse")]
pub(crate) struct Dag {
    pub(crate) dag_id: String,
    dag_display_name: String,
    is_paused: bool,
    /// Whether its file no longer has it.
    is_stale: bool,
    last_parsed_time: Time,
    /// In seconds.
    last_parse_duration: f64,
    last_expired: Nothing,
    bundle_name: String,
    bundle_version: Option<String>,
    relative_fileloc: String,
    fileloc: String,
    description: Option<String>,
    timetable_summary: String,
    timetable_description: String,
    timetable_partitioned: bool,
    timetable_periodic: bool,
    tags: Vec<DagTag>,
    max_active_tasks: u32,
    max_active_runs: i32,
    max_consecutive_failed_dag_runs: u32,
    has_task_concurrency_limits: bool,
    has_import_errors: bool,
    next_dagrun_logical_date: Option<Time>,
    next_dagrun_data_interval_start: Option<Time>,
    next_dagrun_data_interval_end: Option<Time>,
    next_dagrun_run_after: Option<Time>,
    allowed_run_types: Nothing,
    owners: Vec<String>,
    is_backfillable: bool,
    file_token: String,
}

/// A DAG in a list.
pub(crate) fn dag(row: &DagRow, head: &Head, defaults: &Defaults) -> Dag {
    use base64::Engine as _;
    let spec = &head.spec;
    let name = spec.display_name.as_deref().unwrap_or(&row.dag_id);
    let tag = |tag: &String| DagTag { name: tag.clone(), dag_id: row.dag_id.clone(), dag_display_name: name.to_owned() };
    let periodic = matches!(spec.schedule, Schedule::Cron { .. } | Schedule::Delta { .. });
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{}:{}", row.bundle, row.relative_fileloc));
    Dag {
        dag_id: row.dag_id.clone(),
        dag_display_name: name.to_owned(),
        is_paused: row.is_paused,
        is_stale: row.is_stale,
        last_parsed_time: time(row.last_parsed_at),
        last_parse_duration: row.last_parse_ms / 1000.0,
        last_expired: (),
        bundle_name: row.bundle.clone(),
        bundle_version: row.git_commit.clone(),
        relative_fileloc: row.relative_fileloc.clone(),
        fileloc: row.fileloc.clone(),
        description: spec.description.clone(),
        timetable_summary: row.timetable_summary.clone(),
        timetable_description: row.timetable_description.clone(),
        timetable_partitioned: false,
        timetable_periodic: periodic,
        tags: spec.tags.iter().map(tag).collect(),
        max_active_tasks: spec.max_active_tasks.unwrap_or(defaults.max_active_tasks),
        max_active_runs: row.max_active_runs,
        max_consecutive_failed_dag_runs: spec.max_consecutive_failed_dag_runs,
        has_task_concurrency_limits: head.limits_tasks,
        has_import_errors: row.has_import_errors,
        next_dagrun_logical_date: maybe(row.next_logical_date),
        next_dagrun_data_interval_start: maybe(row.next_interval_start),
        next_dagrun_data_interval_end: maybe(row.next_interval_end),
        next_dagrun_run_after: maybe(row.next_run_after),
        allowed_run_types: (),
        owners: head.owners.clone(),
        is_backfillable: periodic,
        file_token: token,
    }
}

/// A DAG with its details.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DAGDetailsResponse")]
pub(crate) struct DagDetails {
    #[serde(flatten)]
    dag: Dag,
    catchup: bool,
    /// As ISO 8601.
    dag_run_timeout: Option<String>,
    asset_expression: Nothing,
    doc_md: Option<String>,
    start_date: Option<Time>,
    end_date: Option<Time>,
    is_paused_upon_creation: Option<bool>,
    params: BTreeMap<String, Param>,
    render_template_as_native_obj: bool,
    template_search_path: Nothing,
    timezone: String,
    last_parsed: Time,
    default_args: BTreeMap<String, Value>,
    rerun_with_latest_version: Nothing,
    owner_links: BTreeMap<String, String>,
    /// Of who asks.
    is_favorite: bool,
    active_runs_count: i64,
    concurrency: u32,
    latest_dag_version: DagVersion,
}

/// What is known of a DAG beside its row and its version.
#[derive(Debug)]
pub(crate) struct DagFacts {
    pub(crate) catchup: bool,
    pub(crate) active_runs: i64,
    pub(crate) is_favorite: bool,
}

pub(crate) fn dag_details(row: &DagRow, head: &Head, defaults: &Defaults, facts: &DagFacts) -> DagDetails {
    let spec = &head.spec;
    DagDetails {
        dag: dag(row, head, defaults),
        catchup: facts.catchup,
        dag_run_timeout: spec.dagrun_timeout_ms.map(iso_duration),
        asset_expression: (),
        doc_md: spec.doc_md.clone(),
        start_date: maybe(spec.start_date),
        end_date: maybe(spec.end_date),
        is_paused_upon_creation: spec.is_paused_upon_creation,
        params: params(&spec.params),
        render_template_as_native_obj: spec.render_template_as_native_obj,
        template_search_path: (),
        timezone: spec.timezone.clone(),
        last_parsed: time(row.last_parsed_at),
        default_args: spec.default_args.clone(),
        rerun_with_latest_version: (),
        owner_links: spec.owner_links.clone(),
        is_favorite: facts.is_favorite,
        active_runs_count: facts.active_runs,
        concurrency: spec.max_active_tasks.unwrap_or(defaults.max_active_tasks),
        latest_dag_version: dag_version(
            row.version_uuid,
            row.version_number,
            &row.dag_id,
            Some(&row.bundle),
            row.git_commit.as_deref(),
            row.version_created_at,
            spec.display_name.as_deref(),
        ),
    }
}

/// The class that the author wrote, or the nearest that there is for YAML.
pub(crate) fn operator(task: &TaskSpec) -> &str {
    if !task.operator.is_empty() {
        return &task.operator;
    }
    match task.run {
        TaskKind::Empty => "EmptyOperator",
        TaskKind::LatestOnly => "LatestOnlyOperator",
        TaskKind::Branch(_) => "BaseBranchOperator",
        TaskKind::Wait(_) => "BaseSensorOperator",
        TaskKind::Bash { .. } => "BashOperator",
        TaskKind::Pod(_) => "KubernetesPodOperator",
        TaskKind::Python(_) => "PythonOperator",
        TaskKind::Airflow(_) => "BaseOperator",
    }
}

fn operator_module(task: &TaskSpec) -> &str {
    if !task.operator_module.is_empty() {
        return &task.operator_module;
    }
    match task.run {
        TaskKind::Empty => "airflow.providers.standard.operators.empty",
        TaskKind::LatestOnly => "airflow.providers.standard.operators.latest_only",
        TaskKind::Branch(_) => "airflow.providers.standard.operators.branch",
        TaskKind::Wait(_) => "airflow.sdk.bases.sensor",
        TaskKind::Bash { .. } => "airflow.providers.standard.operators.bash",
        TaskKind::Pod(_) => "airflow.providers.cncf.kubernetes.operators.pod",
        TaskKind::Python(_) => "airflow.providers.standard.operators.python",
        TaskKind::Airflow(_) => "airflow.sdk.bases.operator",
    }
}

/// A task's name for people.
pub(crate) fn task_name(task: &TaskSpec) -> String {
    task.display_name.as_deref().unwrap_or(task.task_id.as_str()).to_owned()
}

/// A class of Python.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ClassRef {
    module_path: String,
    class_name: String,
}

/// A task of a DAG. Airflow's numbers are floats here.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskResponse")]
pub(crate) struct Task {
    task_id: String,
    task_display_name: String,
    owner: String,
    start_date: Option<Time>,
    end_date: Option<Time>,
    trigger_rule: String,
    depends_on_past: bool,
    wait_for_downstream: bool,
    retries: f64,
    queue: String,
    pool: String,
    pool_slots: f64,
    execution_timeout: Option<TimeDelta>,
    retry_delay: TimeDelta,
    retry_exponential_backoff: f64,
    priority_weight: f64,
    weight_rule: String,
    ui_color: &'static str,
    ui_fgcolor: &'static str,
    template_fields: Vec<String>,
    downstream_task_ids: Vec<String>,
    doc_md: Option<String>,
    operator_name: String,
    params: BTreeMap<String, Param>,
    class_ref: ClassRef,
    is_mapped: bool,
    extra_links: [(); 0],
}

pub(crate) fn task(version: &Version, at: u32) -> Task {
    let spec = version.spec();
    let task = &spec.tasks[at as usize];
    let mut downstream: Vec<String> = version.graph.downstream(at).iter().map(|d| spec.tasks[*d as usize].task_id.to_string()).collect();
    downstream.sort_unstable();
    let ui_color = match task.run {
        TaskKind::Empty => "#e8f7e4",
        TaskKind::LatestOnly => "#e9ffdb",
        TaskKind::Wait(_) => "#e6f1f2",
        TaskKind::Bash { .. } => "#f0ede4",
        TaskKind::Pod(_) => "#ffefeb",
        TaskKind::Python(_) => "#ffefeb",
        TaskKind::Branch(_) | TaskKind::Airflow(_) => "#fff",
    };
    Task {
        task_id: task.task_id.to_string(),
        task_display_name: task_name(task),
        owner: task.owner.clone(),
        start_date: maybe(task.start_date.or(spec.start_date)),
        end_date: maybe(task.end_date.or(spec.end_date)),
        trigger_rule: task.trigger_rule.as_str().to_owned(),
        depends_on_past: task.depends_on_past,
        wait_for_downstream: task.wait_for_downstream,
        retries: f64::from(task.retries),
        queue: task.queue.clone(),
        pool: task.pool.clone(),
        pool_slots: f64::from(task.pool_slots),
        execution_timeout: task.execution_timeout_ms.map(time_delta),
        retry_delay: time_delta(task.retry_delay_ms),
        retry_exponential_backoff: f64::from(task.retry_exponential_backoff_milli) / 1000.0,
        priority_weight: f64::from(task.priority_weight),
        weight_rule: task.weight_rule.as_str().to_owned(),
        ui_color,
        ui_fgcolor: "#000",
        template_fields: task.template_fields.clone(),
        downstream_task_ids: downstream,
        doc_md: task.doc_md.clone(),
        operator_name: operator(task).to_owned(),
        params: params(&task.params),
        class_ref: ClassRef { module_path: operator_module(task).to_owned(), class_name: operator(task).to_owned() },
        is_mapped: false,
        extra_links: [],
    }
}

/// A run of a DAG.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DAGRunResponse")]
pub(crate) struct Run {
    dag_run_id: String,
    dag_id: String,
    /// Which interval. Null: it was triggered without a date.
    logical_date: Option<Time>,
    queued_at: Time,
    start_date: Option<Time>,
    end_date: Option<Time>,
    /// In seconds; null while it runs.
    duration: Option<f64>,
    data_interval_start: Option<Time>,
    data_interval_end: Option<Time>,
    run_after: Time,
    last_scheduling_decision: Option<Time>,
    #[schemars(schema_with = "run_type")]
    run_type: String,
    #[schemars(schema_with = "run_state")]
    state: String,
    triggered_by: String,
    triggering_user_name: Option<String>,
    /// What was given to it when it was triggered.
    conf: Value,
    note: Option<String>,
    dag_versions: [DagVersion; 1],
    bundle_version: Option<String>,
    dag_display_name: String,
    partition_key: Nothing,
    partition_date: Nothing,
}

pub(crate) fn run(row: &RunRow, display_name: Option<&str>) -> Run {
    let version = dag_version(
        row.version_uuid,
        row.version_number,
        &row.dag_id,
        row.bundle.as_deref(),
        row.git_commit.as_deref(),
        row.version_created_at,
        display_name,
    );
    Run {
        dag_run_id: row.run_id.clone(),
        dag_id: row.dag_id.clone(),
        logical_date: maybe(row.logical_date),
        queued_at: time(row.queued_at),
        start_date: maybe(row.start_date),
        end_date: maybe(row.end_date),
        duration: seconds(row.start_date, row.end_date),
        data_interval_start: maybe(row.data_interval_start),
        data_interval_end: maybe(row.data_interval_end),
        run_after: time(row.run_after),
        last_scheduling_decision: maybe(row.last_scheduling_decision),
        run_type: row.run_type.clone(),
        state: row.state.clone(),
        triggered_by: row.triggered_by.clone(),
        triggering_user_name: row.triggering_user_name.clone(),
        conf: row.conf.clone(),
        note: row.note.clone(),
        dag_versions: [version],
        bundle_version: row.git_commit.clone(),
        dag_display_name: display_name.unwrap_or(&row.dag_id).to_owned(),
        partition_key: (),
        partition_date: (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        for (ms, text) in [(0, "PT0S"), (1500, "PT1.500S"), (3_600_000, "PT1H"), (90_061_000, "P1DT1H1M1S"), (86_400_000, "P1D")] {
            assert_eq!(iso_duration(ms), text);
        }
    }

    #[test]
    fn times_have_microseconds_when_there_are_some() {
        let whole = DateTime::from_timestamp(0, 0).unwrap();
        assert_eq!(json!(time(whole)), json!("1970-01-01T00:00:00Z"));
        assert_eq!(iso(whole), "1970-01-01T00:00:00+00:00");
        let part = DateTime::from_timestamp(0, 1_000).unwrap();
        assert_eq!(json!(time(part)), json!("1970-01-01T00:00:00.000001Z"));
        assert_eq!(iso(part), "1970-01-01T00:00:00.000001+00:00");
    }
}
