//! What is about the installation itself: version, health, jobs, the audit log, and polite refusals.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_store::read::audit::{AUDIT_COLUMNS, AuditRow};
use updraft_store::read::{Compare, Filter, Test};

use crate::ApiState;
use crate::error::Error;
use crate::listing::{self, Field, collection};
use crate::request::{Caller, Params, parse_time};
use crate::shapes::{Nothing, Time, iso, maybe, time};

/// A process that was silent for longer counts as gone, in seconds. Airflow's own threshold.
pub(crate) const SILENT_SECONDS: f64 = 30.0;

/// Tools branch on Airflow's version: they get the one whose shapes these are, and ours beside it.
pub(crate) const AIRFLOW_VERSION: &str = "3.3.2";

/// Whose shapes these are, and what makes them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VersionInfo")]
pub(crate) struct Version {
    /// The version of Airflow whose API this is.
    version: &'static str,
    /// `updraft`, and its version.
    git_version: String,
}

pub(crate) async fn version(State(state): State<ApiState>) -> Json<Version> {
    Json(Version { version: AIRFLOW_VERSION, git_version: format!("updraft {}", state.inner.version) })
}

/// How the parts of an installation are.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HealthInfoResponse")]
pub(crate) struct Health {
    metadatabase: StatusOnly,
    scheduler: SchedulerHealth,
    triggerer: TriggererHealth,
    dag_processor: DagProcessorHealth,
    /// Not there while the database does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<WorkersHealth>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BaseInfoResponse")]
struct StatusOnly {
    #[schemars(schema_with = "status_word")]
    status: Option<&'static str>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "SchedulerInfoResponse")]
struct SchedulerHealth {
    #[schemars(schema_with = "status_word")]
    status: Option<&'static str>,
    latest_scheduler_heartbeat: Option<String>,
}

/// There is none: the scheduler looks after what is deferred.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "TriggererInfoResponse")]
struct TriggererHealth {
    status: Nothing,
    latest_triggerer_heartbeat: Nothing,
}

/// Schedulers read the files.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "DagProcessorInfoResponse")]
struct DagProcessorHealth {
    #[schemars(schema_with = "status_word")]
    status: Option<&'static str>,
    latest_dag_processor_heartbeat: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WorkersHealth {
    #[schemars(schema_with = "status_word")]
    status: Option<&'static str>,
    latest_worker_heartbeat: Option<String>,
    /// How many are alive.
    count: usize,
}

fn status_word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": ["string", "null"], "enum": ["healthy", "unhealthy", null]})
}

pub(crate) async fn health(State(state): State<ApiState>) -> Json<Health> {
    // Health answers when the database does not: that is what it is for.
    let (schedulers, workers) = match (state.store().scheduler_list().await, state.store().fleet_worker_list().await) {
        (Ok(schedulers), Ok(workers)) => (schedulers, workers),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "health cannot reach the database: {error}");
            return Json(Health {
                metadatabase: StatusOnly { status: Some("unhealthy") },
                scheduler: SchedulerHealth::default(),
                triggerer: TriggererHealth::default(),
                dag_processor: DagProcessorHealth::default(),
                workers: None,
            });
        }
    };
    let status = |silent: Option<f64>| match silent {
        Some(s) if s <= SILENT_SECONDS => Some("healthy"),
        _ => Some("unhealthy"),
    };
    let scheduler = schedulers.first();
    let beat = scheduler.map(|s| iso(s.last_heartbeat));
    let worker = workers.first();
    let schedulers_are = status(scheduler.map(|s| s.silent_seconds));
    Json(Health {
        metadatabase: StatusOnly { status: Some("healthy") },
        scheduler: SchedulerHealth { status: schedulers_are, latest_scheduler_heartbeat: beat.clone() },
        triggerer: TriggererHealth::default(),
        dag_processor: DagProcessorHealth { status: schedulers_are, latest_dag_processor_heartbeat: beat },
        workers: Some(WorkersHealth {
            status: status(worker.map(|w| w.silent_seconds)),
            latest_worker_heartbeat: worker.map(|w| iso(w.last_heartbeat)),
            count: workers.iter().filter(|w| w.silent_seconds <= SILENT_SECONDS).count(),
        }),
    })
}

/// A process of the installation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobResponse")]
pub(crate) struct Job {
    id: usize,
    dag_id: Nothing,
    state: &'static str,
    job_type: &'static str,
    start_date: Time,
    end_date: Option<Time>,
    latest_heartbeat: Time,
    executor_class: Option<String>,
    hostname: String,
    unixname: &'static str,
    dag_display_name: Nothing,
}

collection!(Jobs, "JobCollectionResponse", jobs: Job);

/// What a job is filtered by.
type OfJob = fn(&Job) -> Option<&str>;

pub(crate) async fn jobs(State(state): State<ApiState>, params: Params) -> Result<Json<Jobs>, Error> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut push = |kind: &'static str, host: &str, started, beat, silent: f64| {
        let is_alive = silent <= SILENT_SECONDS;
        jobs.push(Job {
            id: jobs.len() + 1,
            dag_id: (),
            state: if is_alive { "running" } else { "failed" },
            job_type: kind,
            start_date: time(started),
            end_date: (!is_alive).then(|| time(beat)),
            latest_heartbeat: time(beat),
            executor_class: None,
            hostname: host.to_owned(),
            unixname: "updraft",
            dag_display_name: (),
        });
    };
    for s in state.store().scheduler_list().await? {
        push("SchedulerJob", &s.host, s.started_at, s.last_heartbeat, s.silent_seconds);
        push("DagProcessorJob", &s.host, s.started_at, s.last_heartbeat, s.silent_seconds);
    }
    for w in state.store().fleet_worker_list().await? {
        push("WorkerJob", &w.host, w.started_at, w.last_heartbeat, w.silent_seconds);
    }
    let fields: [(&str, OfJob); 4] = [
        ("job_type", |job| Some(job.job_type)),
        ("job_state", |job| Some(job.state)),
        ("hostname", |job| Some(&job.hostname)),
        ("executor_class", |job| job.executor_class.as_deref()),
    ];
    for (parameter, field) in fields {
        if let Some(wanted) = params.one(parameter) {
            jobs.retain(|job| field(job) == Some(wanted));
        }
    }
    if let Some(alive) = params.flag("is_alive")? {
        jobs.retain(|job| (job.state == "running") == alive);
    }
    let (jobs, total_entries) = listing::page(&params, jobs, JOBS)?;
    Ok(Json(Jobs { jobs, total_entries }))
}

/// What jobs are ordered by, and which of it are times with ranges.
pub(crate) const JOBS: &[Field] = &[
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

/// An entry of the audit log: who asked for what.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventLogResponse")]
pub(crate) struct EventLog {
    event_log_id: i64,
    when: Time,
    dag_id: Option<String>,
    task_id: Option<String>,
    run_id: Option<String>,
    map_index: Option<i32>,
    try_number: Option<i32>,
    event: String,
    logical_date: Option<Time>,
    owner: String,
    /// What was asked for, as JSON.
    extra: Option<String>,
    dag_display_name: Option<String>,
    task_display_name: Option<String>,
}

collection!(EventLogs, "EventLogCollectionResponse", event_logs: EventLog);

fn event_shape(row: &AuditRow) -> EventLog {
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
    EventLog {
        event_log_id: row.id,
        when: time(row.at),
        dag_id: row.dag_id.clone(),
        task_id: row.task_id.clone(),
        run_id: row.run_id.clone(),
        map_index: row.map_index,
        try_number: row.try_number,
        event: row.event.clone(),
        logical_date: maybe(row.logical_date),
        owner: row.who.clone(),
        extra: extra.map(|extra| extra.to_string()),
        dag_display_name: row.dag_display_name.as_ref().or(row.dag_id.as_ref()).cloned(),
        task_display_name: row.task_id.clone(),
    }
}

pub(crate) async fn event_logs(State(state): State<ApiState>, params: Params) -> Result<Json<EventLogs>, Error> {
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
    Ok(Json(EventLogs { event_logs: page.rows.iter().map(event_shape).collect(), total_entries: page.total }))
}

pub(crate) async fn event_log(State(state): State<ApiState>, Path(id): Path<String>, caller: Caller) -> Result<Json<EventLog>, Error> {
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
