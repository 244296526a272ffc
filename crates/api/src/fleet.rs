//! `/ui/workers` and `/ui/queues`: who takes work, and where work waits. What people on Airflow open Flower for.

pub(crate) mod history;

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_broker::QueueDepth;
use updraft_store::read::fleet::{Drained, FleetWorkerRow, QueueRow, SchedulerRow};
use updraft_store::read::history::WatchedRow;
use uuid::Uuid;

use crate::ApiState;
use crate::error::Error;
use crate::request::{Body, Caller, Fields};
use crate::shapes::{Time, maybe, time};

pub(crate) const DRAIN_KEYS: &[&str] = &["reason"];

/// A worker that said nothing for so long, in seconds, counts as gone.
const SILENT: f64 = 30.0;

/// A worker.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Worker {
    id: String,
    hostname: String,
    pid: i32,
    /// `process` or `kubernetes`.
    runner: String,
    /// `running`, `draining` (takes nothing new), `drained` (and watches nothing any more), `silent`, `stopped`.
    state: &'static str,
    queues: Vec<String>,
    concurrency: i32,
    /// Attempts that it watches.
    running: i64,
    start_date: Time,
    latest_heartbeat: Time,
    draining_since: Option<Time>,
    drained_by: Option<String>,
    drain_reason: Option<String>,
    /// Its version. Null: it is of one that does not say.
    version: Option<String>,
}

/// Workers, the liveliest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    total_entries: i64,
}

fn shape(row: FleetWorkerRow) -> Worker {
    let state = match (row.state.as_str(), row.draining_since) {
        ("stopped", _) => "stopped",
        _ if row.silent_seconds > SILENT => "silent",
        (_, Some(_)) if row.running == 0 => "drained",
        (_, Some(_)) => "draining",
        _ => "running",
    };
    Worker {
        id: row.id.to_string(),
        hostname: row.host,
        pid: row.pid,
        runner: row.runner,
        state,
        queues: row.queues,
        concurrency: row.concurrency,
        running: row.running,
        start_date: time(row.started_at),
        latest_heartbeat: time(row.last_heartbeat),
        draining_since: maybe(row.draining_since),
        drained_by: row.drained_by,
        drain_reason: row.drain_reason,
        version: row.version,
    }
}

pub(crate) async fn workers(State(state): State<ApiState>) -> Result<Json<Workers>, Error> {
    let workers: Vec<Worker> = state.store().fleet_worker_list().await?.into_iter().map(shape).collect();
    Ok(Json(Workers { total_entries: crate::listing::count(workers.len()), workers }))
}

/// An attempt that a worker watches.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WatchedAttempt {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    queue: String,
    pool: String,
    /// Where it stands before its command runs: `ImagePullBackOff: …`.
    detail: Option<String>,
    start_date: Option<Time>,
}

/// What a worker watches, the longest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WatchedAttempts {
    attempts: Vec<WatchedAttempt>,
    total_entries: i64,
}

/// Most attempts of a worker that are shown.
const MOST_WATCHED: i64 = 200;

pub(crate) async fn attempts(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<WatchedAttempts>, Error> {
    let id = worker_id(&id)?;
    let worker = state.store().fleet_worker_list().await?.into_iter().find(|row| row.id == id).ok_or_else(|| unknown(id))?;
    let mut attempts = Vec::new();
    for row in state.store().worker_attempts(id, MOST_WATCHED).await? {
        let version = state.version(row.version_id).await?;
        let task_id = version.task(row.idx).map(|task| task.task_id.to_string()).unwrap_or_default();
        attempts.push(watched(row, task_id));
    }
    Ok(Json(WatchedAttempts { attempts, total_entries: worker.running }))
}

fn watched(row: WatchedRow, task_id: String) -> WatchedAttempt {
    WatchedAttempt {
        dag_id: row.dag_id,
        dag_run_id: row.run_id,
        task_id,
        map_index: row.map_index,
        queue: row.queue,
        pool: row.pool,
        detail: row.detail,
        start_date: maybe(row.started_at),
    }
}

/// A scheduler.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Scheduler {
    id: String,
    hostname: String,
    pid: i32,
    /// `running` or `silent`.
    state: &'static str,
    start_date: Time,
    latest_heartbeat: Time,
    /// Its version. Null: it is of one that does not say.
    version: Option<String>,
    /// The sources that it reads, or has read.
    sources: Vec<String>,
    /// Who reads the files: what is wrong with that, in words. Null: nothing.
    dag_processor_error: Option<String>,
    /// How often the process that reads files was started, where it is one of its own.
    dag_processor_starts: Option<i64>,
    /// Files that ended that process twice and are not read any more.
    files_set_aside: Vec<String>,
}

/// Schedulers, the liveliest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Schedulers {
    schedulers: Vec<Scheduler>,
    total_entries: i64,
}

fn scheduler_shape(row: SchedulerRow) -> Scheduler {
    let all = || row.dags_status.as_object().into_iter().flatten();
    let processors = || all().map(|(_, status)| &status["dag_processor"]);
    Scheduler {
        id: row.id.to_string(),
        hostname: row.host,
        pid: row.pid,
        state: if row.silent_seconds > SILENT { "silent" } else { "running" },
        start_date: time(row.started_at),
        latest_heartbeat: time(row.last_heartbeat),
        version: row.version,
        sources: all().map(|(bundle, _)| bundle.clone()).collect(),
        dag_processor_error: all().find_map(|(_, status)| status["python"].as_str().map(str::to_owned)),
        dag_processor_starts: processors().filter_map(|found| found["starts"].as_i64()).max(),
        files_set_aside: processors()
            .flat_map(|found| found["set_aside"].as_array().into_iter().flatten())
            .filter_map(|file| file.as_str().map(str::to_owned))
            .collect(),
    }
}

pub(crate) async fn schedulers(State(state): State<ApiState>) -> Result<Json<Schedulers>, Error> {
    let schedulers: Vec<Scheduler> = state.store().scheduler_list().await?.into_iter().map(scheduler_shape).collect();
    Ok(Json(Schedulers { total_entries: crate::listing::count(schedulers.len()), schedulers }))
}

pub(crate) async fn drain(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Worker>, Error> {
    let id = worker_id(&id)?;
    let mut fields = Fields::of(body, DRAIN_KEYS)?;
    let reason = fields.text("reason");
    fields.done()?;
    match state.store().worker_drain(id, &caller.user, reason.as_deref()).await? {
        Drained::Yes => {}
        Drained::Unknown => return Err(unknown(id)),
        Drained::Gone => {
            return Err(Error::Conflict(format!("The worker {id} is gone: it takes nothing any more. GET /ui/workers lists who lives")));
        }
    }
    caller.log(&state, "drain_worker", json!({"worker": id, "reason": reason})).await?;
    one(&state, id).await
}

pub(crate) async fn undrain(State(state): State<ApiState>, Path(id): Path<String>, caller: Caller) -> Result<Json<Worker>, Error> {
    let id = worker_id(&id)?;
    if !state.store().worker_undrain(id).await? {
        return Err(unknown(id));
    }
    caller.log(&state, "undrain_worker", json!({"worker": id})).await?;
    one(&state, id).await
}

async fn one(state: &ApiState, id: Uuid) -> Result<Json<Worker>, Error> {
    let found = state.store().fleet_worker_list().await?.into_iter().find(|row| row.id == id);
    found.map(|row| Json(shape(row))).ok_or_else(|| unknown(id))
}

fn worker_id(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::NotFound(format!("{text:?} is no id of a worker: GET /ui/workers lists them")))
}

fn unknown(id: Uuid) -> Error {
    Error::NotFound(format!("There is no worker {id}: it may have been started anew. GET /ui/workers lists them"))
}

/// A queue.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Queue {
    queue: String,
    /// Attempts that wait for a worker.
    queued: i64,
    /// Attempts that were taken from it and go on.
    running: i64,
    /// How long the oldest has waited.
    oldest_seconds: Option<f64>,
    /// Attempts that began within the last minute.
    begun_per_minute: i64,
    /// Attempts that ended within the last minute.
    ended_per_minute: i64,
    /// Workers that take from it, and are not draining.
    workers: i64,
    /// How many attempts they may watch at once, those of their other queues included.
    slots: i64,
    /// Workers of it that drain.
    draining: i64,
    /// Messages that RabbitMQ has ready. A message is a hint: `queued` is the truth. Null where it was not asked.
    broker_messages: Option<u32>,
    /// Consumers that RabbitMQ sees: workers with room.
    broker_consumers: Option<u32>,
}

/// Queues, by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    total_entries: i64,
    /// Why RabbitMQ's own counts are missing. Null: they are here, or there is no RabbitMQ.
    broker_error: Option<String>,
}

pub(crate) async fn queues(State(state): State<ApiState>) -> Result<Json<Queues>, Error> {
    let rows = state.store().queue_list().await?;
    let names: Vec<String> = rows.iter().map(|row| row.queue.clone()).collect();
    let (depths, broker_error) = match state.inner.broker.depths(&names).await {
        None => (Vec::new(), None),
        Some(Ok(depths)) => (depths, None),
        Some(Err(error)) => (Vec::new(), Some(error)),
    };
    let depths: HashMap<String, QueueDepth> = depths.into_iter().map(|depth| (depth.queue.clone(), depth)).collect();
    let queues: Vec<Queue> = rows.into_iter().map(|row| queue(row, &depths)).collect();
    Ok(Json(Queues { total_entries: crate::listing::count(queues.len()), queues, broker_error }))
}

fn queue(row: QueueRow, depths: &HashMap<String, QueueDepth>) -> Queue {
    let depth = depths.get(&row.queue);
    Queue {
        queued: row.queued,
        running: row.running,
        oldest_seconds: row.oldest_seconds,
        begun_per_minute: row.begun,
        ended_per_minute: row.ended,
        workers: row.workers,
        slots: row.slots,
        draining: row.draining,
        broker_messages: depth.map(|depth| depth.messages),
        broker_consumers: depth.map(|depth| depth.consumers),
        queue: row.queue,
    }
}
