//! Task instances and their tries. The two shapes share most of their fields, as Airflow's do: each is written out, so that one looks like the
//! schema that it has there.

use super::*;

/// The try that an instance is at, as users count, and the most that it may come to.
pub(crate) fn tries(row: &InstanceRow, task: &TaskSpec) -> (i32, i32) {
    // A task without work ends without an attempt, and counts as tried.
    let tried = row.attempt - row.attempt_base + i32::from(had_nothing_to_run(row));
    // Attempts that cost nothing (cleared, lost to the infrastructure, the one that is under way) raise the ceiling.
    let counted = row.user_failures + i32::from(matches!(row.state.as_str(), "queued" | "running" | "deferred" | "success"));
    let free = (tried - counted).max(0);
    (tried, free + i32::try_from(task.retries).unwrap_or(i32::MAX))
}

/// The id of an instance: stable, and a UUID, since clients insist.
pub(crate) fn instance_id(installation: Uuid, run: i64, idx: i32, map_index: i32) -> Uuid {
    Uuid::new_v5(&installation, format!("{run}/{idx}/{map_index}").as_bytes())
}

/// The name that people know a host by: a worker adds to it what makes it unique (its boot, its data).
pub(crate) fn hostname(host: Option<&str>) -> &str {
    host.and_then(|h| h.split('/').next()).unwrap_or_default()
}

/// The state as Airflow names it; none: nothing has happened.
pub(crate) fn api_state(state: &str) -> Option<&'static str> {
    state.parse::<TaskState>().ok().and_then(TaskState::as_api)
}

/// A note, or the mark that a person made.
fn note(row: &InstanceRow) -> Option<&str> {
    row.note.as_deref().or(match row.reason.as_deref() {
        Some("mark_success" | "mark_failed" | "cancel" | "skip") => row.message.as_deref(),
        _ => None,
    })
}

/// Whether the planner ended it without an attempt, as it ends an EmptyOperator: nothing was there to run.
pub(crate) fn had_nothing_to_run(row: &InstanceRow) -> bool {
    row.state == "success" && row.reason.is_none() && row.attempt == row.attempt_base
}

/// The templates of a task as they became, by the names of the operator's arguments. What has a secret's name is masked.
fn rendered_fields(task: &TaskSpec, launch: &LaunchSpec) -> Value {
    let fields = match &task.run {
        TaskKind::Empty | TaskKind::LatestOnly | TaskKind::Branch(_) | TaskKind::Wait(_) | TaskKind::Airflow(_) => json!({}),
        TaskKind::Bash { env, .. } => {
            // Without the variables that every task gets.
            let env = env.as_ref().map(|env| env.keys().map(|name| (name.clone(), json!(launch.env.get(name)))).collect::<Map<_, _>>());
            json!({"bash_command": launch.argv.last(), "env": env, "cwd": launch.cwd})
        }
        TaskKind::Python(_) => {
            launch.python.as_ref().and_then(|python| python.input.get("templates")).cloned().unwrap_or_else(|| json!({}))
        }
        TaskKind::Pod(pod) => {
            let mut fields = launch.pod.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
            fields.retain(|name, _| POD_TEMPLATES.contains(&name.as_str()) || POD_FIELDS.contains(&name.as_str()));
            let (cmds, arguments) = launch.argv.split_at(launch.entrypoint_length.min(launch.argv.len()));
            let mut env: Vec<Value> = pod
                .env_vars
                .iter()
                .filter_map(|var| {
                    let value = launch.env.get(&var.name).filter(|_| var.value_from.is_none())?;
                    Some(json!({"name": var.name, "value": redact_text(&var.name, value.clone())}))
                })
                .collect();
            env.extend(fields.remove("env_vars").and_then(|more| more.as_array().cloned()).unwrap_or_default());
            fields.insert("image".to_owned(), json!(launch.image));
            fields.insert("cmds".to_owned(), json!(cmds));
            fields.insert("arguments".to_owned(), json!(arguments));
            fields.insert("env_vars".to_owned(), json!(env));
            Value::Object(fields)
        }
    };
    redact(fields)
}

/// Arguments of a pod that are templates, beside [`POD_TEMPLATES`].
const POD_FIELDS: &[&str] = &["name", "namespace", "labels", "annotations", "env_vars", "container_resources"];

/// A task of a run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskInstanceResponse")]
pub(crate) struct Instance {
    #[schemars(schema_with = "uuid_text")]
    id: Uuid,
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    /// -1: it is not mapped.
    map_index: i32,
    logical_date: Option<Time>,
    run_after: Time,
    start_date: Option<Time>,
    end_date: Option<Time>,
    /// In seconds; null while it runs.
    duration: Option<f64>,
    #[schemars(schema_with = "task_state")]
    state: Option<&'static str>,
    try_number: i32,
    max_tries: i32,
    task_display_name: String,
    dag_display_name: String,
    hostname: String,
    unixname: &'static str,
    pool: String,
    pool_slots: i32,
    queue: String,
    priority_weight: i32,
    operator: String,
    operator_name: String,
    queued_when: Option<Time>,
    scheduled_when: Option<Time>,
    pid: Nothing,
    executor: Nothing,
    executor_config: &'static str,
    note: Option<String>,
    rendered_map_index: Nothing,
    /// The templates of the task as they became, by the names of the operator's arguments. What has a secret's name is masked.
    #[schemars(with = "BTreeMap<String, Value>")]
    rendered_fields: Value,
    trigger: Nothing,
    triggerer_job: Nothing,
    dag_version: DagVersion,
}

fn version_of(row: &InstanceRow, display_name: Option<&str>) -> DagVersion {
    let (bundle, commit) = (row.bundle.as_deref(), row.git_commit.as_deref());
    dag_version(row.version_uuid, row.version_number, &row.dag_id, bundle, commit, row.version_created_at, display_name)
}

/// A task instance; `launch` is what its newest attempt was started with.
pub(crate) fn instance(row: &InstanceRow, version: &Version, installation: Uuid, launch: Option<&LaunchSpec>) -> Option<Instance> {
    let task = version.task(row.idx)?;
    let (try_number, max_tries) = tries(row, task);
    let display_name = version.spec().display_name.as_deref();
    let at = u32::try_from(row.idx).ok()?;
    Some(Instance {
        id: instance_id(installation, row.run_key, row.idx, row.map_index),
        task_id: task.task_id.to_string(),
        dag_id: row.dag_id.clone(),
        dag_run_id: row.run_id.clone(),
        map_index: row.map_index,
        logical_date: maybe(row.logical_date),
        run_after: time(row.run_after),
        start_date: maybe(row.started_at),
        end_date: maybe(row.ended_at),
        duration: seconds(row.started_at, row.ended_at),
        state: api_state(&row.state),
        try_number,
        max_tries,
        task_display_name: task_name(task),
        dag_display_name: display_name.unwrap_or(&row.dag_id).to_owned(),
        hostname: hostname(row.host.as_deref()).to_owned(),
        unixname: "updraft",
        pool: row.pool.as_deref().unwrap_or(&task.pool).to_owned(),
        pool_slots: row.slots.unwrap_or_else(|| i32::try_from(task.pool_slots).unwrap_or(1)),
        queue: row.queue.as_deref().unwrap_or(&task.queue).to_owned(),
        priority_weight: row.prio.unwrap_or_else(|| version.graph.priority(at)),
        operator: operator(task).to_owned(),
        operator_name: operator(task).to_owned(),
        queued_when: maybe(row.queued_at),
        scheduled_when: maybe(row.ready_since.or(row.queued_at)),
        pid: (),
        executor: (),
        executor_config: "{}",
        note: note(row).map(str::to_owned),
        rendered_map_index: (),
        rendered_fields: launch.map_or_else(|| json!({}), |launch| rendered_fields(task, launch)),
        trigger: (),
        triggerer_job: (),
        dag_version: version_of(row, display_name),
    })
}

/// One try of a task instance.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskInstanceHistoryResponse")]
pub(crate) struct Try {
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    start_date: Option<Time>,
    end_date: Option<Time>,
    duration: Option<f64>,
    #[schemars(schema_with = "task_state")]
    state: Option<&'static str>,
    pub(crate) try_number: i32,
    max_tries: i32,
    task_display_name: String,
    dag_display_name: String,
    hostname: String,
    unixname: &'static str,
    pool: String,
    pool_slots: i32,
    queue: String,
    priority_weight: Option<i32>,
    operator: String,
    operator_name: String,
    queued_when: Option<Time>,
    scheduled_when: Option<Time>,
    pid: Nothing,
    executor: Nothing,
    executor_config: &'static str,
    hitl_detail: Nothing,
    dag_version: DagVersion,
}

/// One try of an instance, as Airflow's history shows it.
pub(crate) fn one_try(row: &InstanceRow, attempt: &AttemptRow, version: &Version) -> Option<Try> {
    let task = version.task(row.idx)?;
    let (_, max_tries) = tries(row, task);
    let display_name = version.spec().display_name.as_deref();
    // The newest attempt shows the instance's state: a mark by hand, or the wait for the next one.
    let state = match attempt.state.as_str() {
        _ if attempt.attempt == row.attempt && attempt.ended_at.is_some() && row.state != "none" && row.state != "scheduled" => {
            api_state(&row.state)
        }
        "up_for_retry" => Some("failed"),
        other => api_state(other),
    };
    Some(Try {
        task_id: task.task_id.to_string(),
        dag_id: row.dag_id.clone(),
        dag_run_id: row.run_id.clone(),
        map_index: row.map_index,
        start_date: maybe(attempt.started_at),
        end_date: maybe(attempt.ended_at),
        duration: seconds(attempt.started_at, attempt.ended_at),
        state,
        try_number: attempt.attempt - row.attempt_base,
        max_tries,
        task_display_name: task_name(task),
        dag_display_name: display_name.unwrap_or(&row.dag_id).to_owned(),
        hostname: hostname(attempt.host.as_deref()).to_owned(),
        unixname: "updraft",
        pool: attempt.pool.clone(),
        pool_slots: attempt.slots,
        queue: attempt.queue.clone(),
        priority_weight: u32::try_from(row.idx).ok().map(|at| version.graph.priority(at)),
        operator: operator(task).to_owned(),
        operator_name: operator(task).to_owned(),
        queued_when: maybe(attempt.queued_at),
        scheduled_when: maybe(attempt.queued_at),
        pid: (),
        executor: (),
        executor_config: "{}",
        hitl_detail: (),
        dag_version: version_of(row, display_name),
    })
}
