//! What is about the installation itself: version, health, jobs, the audit log, and polite refusals.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use updraft_store::read::audit::{AUDIT_COLUMNS, AuditRow};
use updraft_store::read::{Compare, Filter, Test};

use crate::ApiState;
use crate::error::Error;
use crate::listing::{self, Field};
use crate::request::{Caller, Params, parse_time};
use crate::shapes::{iso, maybe, time};

/// A process that was silent for longer counts as gone, in seconds. Airflow's own threshold.
pub(crate) const SILENT_SECONDS: f64 = 30.0;

/// Tools branch on Airflow's version: they get the one whose shapes these are, and ours beside it.
pub(crate) const AIRFLOW_VERSION: &str = "3.3.2";

pub(crate) async fn version(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"version": AIRFLOW_VERSION, "git_version": format!("updraft {}", state.inner.version)}))
}

pub(crate) async fn health(State(state): State<ApiState>) -> Json<Value> {
    // Health answers when the database does not: that is what it is for.
    let (schedulers, workers) = match (state.store().scheduler_list().await, state.store().fleet_worker_list().await) {
        (Ok(schedulers), Ok(workers)) => (schedulers, workers),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "health cannot reach the database: {error}");
            return Json(json!({
                "metadatabase": {"status": "unhealthy"},
                "scheduler": {"status": null, "latest_scheduler_heartbeat": null},
                "triggerer": {"status": null, "latest_triggerer_heartbeat": null},
                "dag_processor": {"status": null, "latest_dag_processor_heartbeat": null},
            }));
        }
    };
    let status = |silent: Option<f64>| match silent {
        Some(s) if s <= SILENT_SECONDS => json!("healthy"),
        _ => json!("unhealthy"),
    };
    let scheduler = schedulers.first();
    let beat = scheduler.map(|s| iso(s.last_heartbeat));
    let worker = workers.first();
    Json(json!({
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": status(scheduler.map(|s| s.silent_seconds)), "latest_scheduler_heartbeat": beat},
        "triggerer": {"status": null, "latest_triggerer_heartbeat": null},
        "dag_processor": {"status": status(scheduler.map(|s| s.silent_seconds)), "latest_dag_processor_heartbeat": beat},
        "workers": {
            "status": status(worker.map(|w| w.silent_seconds)), "latest_worker_heartbeat": worker.map(|w| iso(w.last_heartbeat)),
            "count": workers.iter().filter(|w| w.silent_seconds <= SILENT_SECONDS).count(),
        },
    }))
}

pub(crate) async fn jobs(State(state): State<ApiState>, params: Params) -> Result<Json<Value>, Error> {
    let mut jobs = Vec::new();
    let mut push = |kind: &str, host: &str, started, beat, silent: f64| {
        jobs.push(json!({
            "id": jobs.len() + 1, "dag_id": null, "state": if silent <= SILENT_SECONDS { "running" } else { "failed" }, "job_type": kind,
            "start_date": time(started), "end_date": if silent <= SILENT_SECONDS { Value::Null } else { time(beat) }, "latest_heartbeat": time(beat),
            "executor_class": null, "hostname": host, "unixname": "updraft", "dag_display_name": null,
        }));
    };
    for s in state.store().scheduler_list().await? {
        push("SchedulerJob", &s.host, s.started_at, s.last_heartbeat, s.silent_seconds);
        push("DagProcessorJob", &s.host, s.started_at, s.last_heartbeat, s.silent_seconds);
    }
    for w in state.store().fleet_worker_list().await? {
        push("WorkerJob", &w.host, w.started_at, w.last_heartbeat, w.silent_seconds);
    }
    for (parameter, field) in
        [("job_type", "job_type"), ("job_state", "state"), ("hostname", "hostname"), ("executor_class", "executor_class")]
    {
        if let Some(wanted) = params.one(parameter) {
            jobs.retain(|job| job[field] == wanted);
        }
    }
    if let Some(alive) = params.flag("is_alive")? {
        jobs.retain(|job| (job["state"] == "running") == alive);
    }
    let (page, total) = listing::page(&params, jobs, JOBS)?;
    Ok(Json(json!({"jobs": page, "total_entries": total})))
}

/// What jobs are ordered by, and which of it are times with ranges.
const JOBS: &[Field] = &[
    Field::order("id", "id"),
    Field::order("dag_id", "dag_id"),
    Field::order("state", "state"),
    Field::order("job_type", "job_type"),
    Field::range("start_date", "start_date"),
    Field::range("end_date", "end_date"),
    Field::order("latest_heartbeat", "latest_heartbeat"),
    Field::order("executor_class", "executor_class"),
    Field::order("hostname", "hostname"),
    Field::order("unixname", "unixname"),
];

fn event_shape(row: &AuditRow) -> Value {
    // Airflow has no place of its own for the address.
    let extra = match (row.extra.clone(), &row.address) {
        (extra, None) => extra,
        (None, Some(address)) => Some(json!({"client_address": address})),
        (Some(mut extra), Some(address)) => {
            if let Some(words) = extra.as_object_mut() {
                words.insert("client_address".to_owned(), json!(address));
            }
            Some(extra)
        }
    };
    json!({
        "event_log_id": row.id, "when": time(row.at), "dag_id": row.dag_id, "task_id": row.task_id, "run_id": row.run_id,
        "map_index": row.map_index, "try_number": row.try_number, "event": row.event, "logical_date": maybe(row.logical_date),
        "owner": row.who, "extra": extra.map(|extra| extra.to_string()), "dag_display_name": row.dag_display_name.as_ref().or(row.dag_id.as_ref()), "task_display_name": row.task_id,
    })
}

pub(crate) async fn event_logs(State(state): State<ApiState>, params: Params) -> Result<Json<Value>, Error> {
    let mut query = params.list(AUDIT_COLUMNS)?;
    let mut filter = |name: &str, test: Test| {
        query.filters.extend(AUDIT_COLUMNS.iter().find(|c| c.name == name).map(|column| Filter { column, test }));
    };
    let (included, excluded) = (params.all("included_events"), params.all("excluded_events"));
    if !included.is_empty() {
        filter("event", Test::AnyOf(included));
    }
    if !excluded.is_empty() {
        filter("event", Test::NoneOf(excluded));
    }
    for (name, compare) in [("before", Compare::Less), ("after", Compare::Greater)] {
        if let Some(text) = params.one(name) {
            filter("when", Test::Time(compare, parse_time("query", name, text)?));
        }
    }
    let page = state.store().audit_list(&query).await?;
    Ok(Json(json!({"event_logs": page.rows.iter().map(event_shape).collect::<Vec<_>>(), "total_entries": page.total})))
}

pub(crate) async fn event_log(State(state): State<ApiState>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, Error> {
    let row = match id.parse() {
        Ok(number) => state.store().audit_get(number).await?,
        Err(_) => None,
    };
    // An entry of another DAG is as little there as none: numbers are easily guessed.
    let row = row.filter(|row| caller.scope.is_all() || row.dag_id.as_deref().is_some_and(|dag_id| caller.scope.has(dag_id)));
    row.map(|row| Json(event_shape(&row))).ok_or_else(|| Error::NotFound(format!("The Event Log with id: `{id}` not found")))
}

pub(crate) async fn config() -> Error {
    Error::Forbidden("Your Airflow administrator chose not to expose the configuration, most likely for security reasons.".to_owned())
}

pub(crate) async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"detail": "Method Not Allowed"}))).into_response()
}

pub(crate) async fn gone() -> Response {
    let detail = "/api/v1 was Airflow 2's; this is /api/v2, as in Airflow 3: use apache-airflow-client 3 or newer";
    (StatusCode::GONE, Json(json!({"detail": detail}))).into_response()
}
