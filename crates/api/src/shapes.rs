//! Rows as Airflow's API shows them. The keys and types are those of Airflow 3.3; clients refuse what lacks one.

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use serde_json::{Map, Value, json};
use updraft_model::dag::Param;
use updraft_model::redact::{redact, redact_text};
use updraft_model::{LaunchSpec, Schedule, TaskKind, TaskSpec, TaskState};
use updraft_planner::Defaults;
use updraft_planner::render::POD_TEMPLATES;
use updraft_store::read::dags::{DagRow, VersionRow};
use updraft_store::read::instances::{AttemptRow, InstanceRow};
use updraft_store::read::runs::RunRow;
use uuid::Uuid;

use crate::versions::{Head, Version};

/// `…Z`, with microseconds where there are any.
pub(crate) fn time(at: DateTime<Utc>) -> Value {
    Value::String(time_text(at))
}

pub(crate) fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(if at.nanosecond() / 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros }, true)
}

pub(crate) fn maybe(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, time)
}

/// As Python's `isoformat`: what run ids are made of.
pub(crate) fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(if at.nanosecond() / 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros }, false)
}

/// Seconds between two times.
pub(crate) fn seconds(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Value {
    match (start, end) {
        (Some(start), Some(end)) => json!((end - start).num_microseconds().unwrap_or(0) as f64 / 1e6),
        _ => Value::Null,
    }
}

/// Airflow's form of a duration in a task.
fn time_delta(ms: u64) -> Value {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    json!({"__type": "TimeDelta", "days": days, "seconds": rest / 1000, "microseconds": rest % 1000 * 1000})
}

/// ISO 8601, as pydantic writes a duration.
fn iso_duration(ms: u64) -> Value {
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
    Value::String(text)
}

pub(crate) fn params(of: &std::collections::BTreeMap<String, Param>) -> Value {
    let map: Map<String, Value> = of
        .iter()
        .map(|(name, p)| (name.clone(), json!({"value": p.value, "schema": p.schema, "description": p.description, "source": null})))
        .collect();
    Value::Object(map)
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
) -> Value {
    json!({
        "id": uuid, "version_number": number, "dag_id": dag_id, "bundle_name": bundle, "bundle_version": commit,
        "created_at": time(created_at), "dag_display_name": display_name.unwrap_or(dag_id), "bundle_url": null,
    })
}

pub(crate) fn version_row(row: &VersionRow, display_name: Option<&str>) -> Value {
    dag_version(row.uuid, row.number, &row.dag_id, row.bundle.as_deref(), row.git_commit.as_deref(), row.created_at, display_name)
}

/// A DAG in a list.
pub(crate) fn dag(row: &DagRow, head: &Head, defaults: &Defaults) -> Map<String, Value> {
    use base64::Engine as _;
    let spec = &head.spec;
    let name = spec.display_name.as_deref().unwrap_or(&row.dag_id);
    let tags: Vec<Value> = spec.tags.iter().map(|t| json!({"name": t, "dag_id": row.dag_id, "dag_display_name": name})).collect();
    let periodic = matches!(spec.schedule, Schedule::Cron { .. } | Schedule::Delta { .. });
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{}:{}", row.bundle, row.relative_fileloc));
    let value = json!({
        "dag_id": row.dag_id, "dag_display_name": name, "is_paused": row.is_paused, "is_stale": row.is_stale,
        "last_parsed_time": time(row.last_parsed_at), "last_parse_duration": row.last_parse_ms / 1000.0, "last_expired": null,
        "bundle_name": row.bundle, "bundle_version": row.git_commit, "relative_fileloc": row.relative_fileloc, "fileloc": row.fileloc,
        "description": spec.description, "timetable_summary": row.timetable_summary, "timetable_description": row.timetable_description,
        "timetable_partitioned": false, "timetable_periodic": periodic, "tags": tags,
        "max_active_tasks": spec.max_active_tasks.unwrap_or(defaults.max_active_tasks), "max_active_runs": row.max_active_runs,
        "max_consecutive_failed_dag_runs": spec.max_consecutive_failed_dag_runs, "has_task_concurrency_limits": head.limits_tasks,
        "has_import_errors": row.has_import_errors,
        "next_dagrun_logical_date": maybe(row.next_logical_date), "next_dagrun_data_interval_start": maybe(row.next_interval_start),
        "next_dagrun_data_interval_end": maybe(row.next_interval_end), "next_dagrun_run_after": maybe(row.next_run_after),
        "allowed_run_types": null, "owners": head.owners, "is_backfillable": periodic, "file_token": token,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A DAG with its details.
pub(crate) fn dag_details(row: &DagRow, head: &Head, defaults: &Defaults, catchup: bool, active_runs: i64) -> Map<String, Value> {
    let spec = &head.spec;
    let mut map = dag(row, head, defaults);
    let more = json!({
        "catchup": catchup, "dag_run_timeout": spec.dagrun_timeout_ms.map(iso_duration), "asset_expression": null, "doc_md": spec.doc_md,
        "start_date": maybe(spec.start_date), "end_date": maybe(spec.end_date), "is_paused_upon_creation": spec.is_paused_upon_creation,
        "params": params(&spec.params), "render_template_as_native_obj": spec.render_template_as_native_obj, "template_search_path": null,
        "timezone": spec.timezone, "last_parsed": time(row.last_parsed_at), "default_args": spec.default_args,
        "rerun_with_latest_version": null, "owner_links": spec.owner_links, "is_favorite": false, "active_runs_count": active_runs,
        "concurrency": spec.max_active_tasks.unwrap_or(defaults.max_active_tasks),
        "latest_dag_version": dag_version(row.version_uuid, row.version_number, &row.dag_id, Some(&row.bundle), row.git_commit.as_deref(),
            row.version_created_at, spec.display_name.as_deref()),
    });
    if let Value::Object(more) = more {
        map.extend(more);
    }
    map
}

/// The class that the author wrote, or the nearest that there is for YAML.
pub(crate) fn operator(task: &TaskSpec) -> &str {
    if !task.operator.is_empty() {
        return &task.operator;
    }
    match task.run {
        TaskKind::Empty => "EmptyOperator",
        TaskKind::Bash { .. } => "BashOperator",
        TaskKind::Pod(_) => "KubernetesPodOperator",
    }
}

fn operator_module(task: &TaskSpec) -> &str {
    if !task.operator_module.is_empty() {
        return &task.operator_module;
    }
    match task.run {
        TaskKind::Empty => "airflow.providers.standard.operators.empty",
        TaskKind::Bash { .. } => "airflow.providers.standard.operators.bash",
        TaskKind::Pod(_) => "airflow.providers.cncf.kubernetes.operators.pod",
    }
}

/// A task of a DAG. Airflow's numbers are floats here.
pub(crate) fn task(version: &Version, at: u32) -> Value {
    let spec = version.spec();
    let task = &spec.tasks[at as usize];
    let mut downstream: Vec<&str> = version.graph.downstream(at).iter().map(|d| spec.tasks[*d as usize].task_id.as_str()).collect();
    downstream.sort_unstable();
    let color = match task.run {
        TaskKind::Empty => "#e8f7e4",
        TaskKind::Bash { .. } => "#f0ede4",
        TaskKind::Pod(_) => "#ffefeb",
    };
    json!({
        "task_id": task.task_id, "task_display_name": task.display_name.as_deref().unwrap_or(task.task_id.as_str()), "owner": task.owner,
        "start_date": maybe(task.start_date.or(spec.start_date)), "end_date": maybe(task.end_date.or(spec.end_date)),
        "trigger_rule": task.trigger_rule.as_str(), "depends_on_past": task.depends_on_past, "wait_for_downstream": task.wait_for_downstream,
        "retries": f64::from(task.retries), "queue": task.queue, "pool": task.pool, "pool_slots": f64::from(task.pool_slots),
        "execution_timeout": task.execution_timeout_ms.map(time_delta), "retry_delay": time_delta(task.retry_delay_ms),
        "retry_exponential_backoff": f64::from(task.retry_exponential_backoff_milli) / 1000.0,
        "priority_weight": f64::from(task.priority_weight), "weight_rule": task.weight_rule.as_str(), "ui_color": color, "ui_fgcolor": "#000",
        "template_fields": task.template_fields, "downstream_task_ids": downstream, "doc_md": task.doc_md, "operator_name": operator(task),
        "params": params(&task.params), "class_ref": {"module_path": operator_module(task), "class_name": operator(task)},
        "is_mapped": false, "extra_links": [],
    })
}

/// A run.
pub(crate) fn run(row: &RunRow, display_name: Option<&str>) -> Value {
    let version = dag_version(
        row.version_uuid,
        row.version_number,
        &row.dag_id,
        row.bundle.as_deref(),
        row.git_commit.as_deref(),
        row.version_created_at,
        display_name,
    );
    json!({
        "dag_run_id": row.run_id, "dag_id": row.dag_id, "logical_date": maybe(row.logical_date), "queued_at": time(row.queued_at),
        "start_date": maybe(row.start_date), "end_date": maybe(row.end_date), "duration": seconds(row.start_date, row.end_date),
        "data_interval_start": maybe(row.data_interval_start), "data_interval_end": maybe(row.data_interval_end),
        "run_after": time(row.run_after), "last_scheduling_decision": maybe(row.last_scheduling_decision), "run_type": row.run_type,
        "state": row.state, "triggered_by": row.triggered_by, "triggering_user_name": row.triggering_user_name, "conf": row.conf,
        "note": row.note, "dag_versions": [version], "bundle_version": row.git_commit,
        "dag_display_name": display_name.unwrap_or(&row.dag_id), "partition_key": null, "partition_date": null,
    })
}

/// The try that an instance is at, as users count, and the most that it may come to.
pub(crate) fn tries(row: &InstanceRow, task: &TaskSpec) -> (i32, i32) {
    // A task without work ends without an attempt, and counts as tried.
    let tried = row.attempt - row.attempt_base + i32::from(had_nothing_to_run(row));
    // Attempts that cost nothing (cleared, lost to the infrastructure, the one that is under way) raise the ceiling.
    let counted = row.user_failures + i32::from(matches!(row.state.as_str(), "queued" | "running" | "success"));
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

fn api_state(state: &str) -> Value {
    state.parse::<TaskState>().ok().and_then(TaskState::as_api).map_or(Value::Null, |s| Value::String(s.to_owned()))
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
        TaskKind::Empty => json!({}),
        TaskKind::Bash { env, .. } => {
            // Without the variables that every task gets.
            let env = env.as_ref().map(|env| env.keys().map(|name| (name.clone(), json!(launch.env.get(name)))).collect::<Map<_, _>>());
            json!({"bash_command": launch.argv.last(), "env": env, "cwd": launch.cwd})
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

/// A task instance; `launch` is what its newest attempt was started with.
pub(crate) fn instance(row: &InstanceRow, version: &Version, installation: Uuid, launch: Option<&LaunchSpec>) -> Option<Value> {
    let task = version.task(row.idx)?;
    let spec = version.spec();
    let (try_number, max_tries) = tries(row, task);
    let rendered = launch.map_or_else(|| json!({}), |launch| rendered_fields(task, launch));
    let display_name = spec.display_name.as_deref();
    let at = u32::try_from(row.idx).ok()?;
    Some(json!({
        "id": instance_id(installation, row.run_key, row.idx, row.map_index), "task_id": task.task_id, "dag_id": row.dag_id,
        "dag_run_id": row.run_id, "map_index": row.map_index, "logical_date": maybe(row.logical_date), "run_after": time(row.run_after),
        "start_date": maybe(row.started_at), "end_date": maybe(row.ended_at), "duration": seconds(row.started_at, row.ended_at),
        "state": api_state(&row.state), "try_number": try_number, "max_tries": max_tries,
        "task_display_name": task.display_name.as_deref().unwrap_or(task.task_id.as_str()), "dag_display_name": display_name.unwrap_or(&row.dag_id),
        "hostname": hostname(row.host.as_deref()), "unixname": "updraft",
        "pool": row.pool.as_deref().unwrap_or(&task.pool), "pool_slots": row.slots.unwrap_or_else(|| i32::try_from(task.pool_slots).unwrap_or(1)),
        "queue": row.queue.as_deref().unwrap_or(&task.queue), "priority_weight": row.prio.unwrap_or_else(|| version.graph.priority(at)),
        "operator": operator(task), "operator_name": operator(task), "queued_when": maybe(row.queued_at),
        "scheduled_when": maybe(row.ready_since.or(row.queued_at)), "pid": null, "executor": null, "executor_config": "{}", "note": note(row),
        "rendered_map_index": null, "rendered_fields": rendered, "trigger": null, "triggerer_job": null,
        "dag_version": dag_version(row.version_uuid, row.version_number, &row.dag_id, row.bundle.as_deref(), row.git_commit.as_deref(),
            row.version_created_at, display_name),
    }))
}

/// One try of an instance, as Airflow's history shows it.
pub(crate) fn one_try(row: &InstanceRow, attempt: &AttemptRow, version: &Version) -> Option<Value> {
    let task = version.task(row.idx)?;
    let spec = version.spec();
    let (_, max_tries) = tries(row, task);
    let display_name = spec.display_name.as_deref();
    // The newest attempt shows the instance's state: a mark by hand, or the wait for the next one.
    let state = match attempt.state.as_str() {
        _ if attempt.attempt == row.attempt && attempt.ended_at.is_some() && row.state != "none" && row.state != "scheduled" => {
            api_state(&row.state)
        }
        "up_for_retry" => json!("failed"),
        other => api_state(other),
    };
    Some(json!({
        "task_id": task.task_id, "dag_id": row.dag_id, "dag_run_id": row.run_id, "map_index": row.map_index,
        "start_date": maybe(attempt.started_at), "end_date": maybe(attempt.ended_at), "duration": seconds(attempt.started_at, attempt.ended_at),
        "state": state, "try_number": attempt.attempt - row.attempt_base, "max_tries": max_tries,
        "task_display_name": task.display_name.as_deref().unwrap_or(task.task_id.as_str()), "dag_display_name": display_name.unwrap_or(&row.dag_id),
        "hostname": hostname(attempt.host.as_deref()), "unixname": "updraft", "pool": attempt.pool, "pool_slots": attempt.slots,
        "queue": attempt.queue, "priority_weight": u32::try_from(row.idx).ok().map(|at| version.graph.priority(at)),
        "operator": operator(task), "operator_name": operator(task), "queued_when": maybe(attempt.queued_at), "scheduled_when": maybe(attempt.queued_at),
        "pid": null, "executor": null, "executor_config": "{}", "hitl_detail": null,
        "dag_version": dag_version(row.version_uuid, row.version_number, &row.dag_id, row.bundle.as_deref(), row.git_commit.as_deref(),
            row.version_created_at, display_name),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        for (ms, text) in [(0, "PT0S"), (1500, "PT1.500S"), (3_600_000, "PT1H"), (90_061_000, "P1DT1H1M1S"), (86_400_000, "P1D")] {
            assert_eq!(iso_duration(ms), json!(text));
        }
    }

    #[test]
    fn times_have_microseconds_when_there_are_some() {
        let whole = DateTime::from_timestamp(0, 0).unwrap();
        assert_eq!(time(whole), json!("1970-01-01T00:00:00Z"));
        assert_eq!(iso(whole), "1970-01-01T00:00:00+00:00");
        let part = DateTime::from_timestamp(0, 1_000).unwrap();
        assert_eq!(time(part), json!("1970-01-01T00:00:00.000001Z"));
        assert_eq!(iso(part), "1970-01-01T00:00:00.000001+00:00");
    }
}
