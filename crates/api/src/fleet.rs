//! `/ui/workers` and `/ui/queues`: who takes work, and where work waits. What people on Airflow open Flower for.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_broker::QueueDepth;
use updraft_store::read::fleet::{Drained, FleetWorkerRow, QueueRow};
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
    }
}

pub(crate) async fn workers(State(state): State<ApiState>) -> Result<Json<Workers>, Error> {
    let workers: Vec<Worker> = state.store().fleet_worker_list().await?.into_iter().map(shape).collect();
    Ok(Json(Workers { total_entries: crate::listing::count(workers.len()), workers }))
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
