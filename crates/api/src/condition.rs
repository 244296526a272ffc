//! `/ui/health`: how the parts of the installation are, in words, with what to do. The event streams tell the same whenever it changes, so
//! there is no number in it that grows while one looks.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use updraft_store::read::fleet::{FleetWorkerRow, Maintenance, SchedulerRow};

use crate::ApiState;
use crate::meta::SILENT_SECONDS;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "PartStatus")]
pub(crate) enum Status {
    Healthy,
    /// It works, less well than it should.
    Degraded,
    Unhealthy,
    /// Nobody can tell, as long as the database does not answer.
    Unknown,
}

/// A part of the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Part {
    /// `database`, `broker`, `scheduler`, `dag_processor` or `workers`.
    part: &'static str,
    status: Status,
    detail: String,
    /// What to do. Null: nothing.
    remedy: Option<&'static str>,
}

/// How the installation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "InstallationHealth")]
pub(crate) struct Condition {
    parts: Vec<Part>,
    /// Why nothing is launched. Null: it is.
    maintenance: Option<String>,
}

fn part(part: &'static str, status: Status, detail: impl Into<String>, remedy: &'static str) -> Part {
    Part { part, status, detail: detail.into(), remedy: (status != Status::Healthy).then_some(remedy) }
}

pub(crate) async fn health(State(state): State<ApiState>) -> Json<Condition> {
    let condition = look(&state).await;
    state.inner.feed.health.answered(&condition);
    Json(condition)
}

/// Looks at all of it: two small tables, and what is in memory.
pub(crate) async fn look(state: &ApiState) -> Condition {
    let found = tokio::try_join!(state.store().scheduler_list(), state.store().fleet_worker_list(), state.store().maintenance());
    let broker = broker(state);
    match found {
        Ok((schedulers, workers, maintenance)) => Condition {
            parts: vec![
                part("database", Status::Healthy, "answers", ""),
                broker,
                scheduler(&schedulers),
                dag_processor(&schedulers),
                of_workers(&workers),
            ],
            maintenance: why_nothing_starts(&maintenance),
        },
        Err(error) => {
            tracing::debug!(%error, "the health of the installation cannot be read");
            away(broker)
        }
    }
}

/// What can be told while the database does not answer.
pub(crate) fn without_database(state: &ApiState) -> Condition {
    away(broker(state))
}

fn away(broker: Part) -> Condition {
    let unknown =
        |name| Part { part: name, status: Status::Unknown, detail: "known again when the database answers".to_owned(), remedy: None };
    let remedy = "what runs goes on, nothing new starts: see that Postgres is up and can be reached from the API (updraft doctor)";
    let parts = vec![
        part("database", Status::Unhealthy, "does not answer", remedy),
        broker,
        unknown("scheduler"),
        unknown("dag_processor"),
        unknown("workers"),
    ];
    Condition { parts, maintenance: None }
}

fn broker(state: &ApiState) -> Part {
    let status = state.inner.broker.status().borrow().clone();
    let remedy = "work goes on, each step up to a second later: see that RabbitMQ is up and can be reached (updraft doctor)";
    part("broker", if status.is_up() { Status::Healthy } else { Status::Degraded }, status.to_string(), remedy)
}

/// A time within a sentence.
fn said(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn last(at: Option<DateTime<Utc>>, what: &str) -> String {
    at.map_or_else(|| format!("no {what} was ever heard of"), |at| format!("no {what} is alive: the last was heard of at {}", said(at)))
}

fn of(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn living(schedulers: &[SchedulerRow]) -> impl Iterator<Item = &SchedulerRow> {
    schedulers.iter().filter(|row| row.silent_seconds <= SILENT_SECONDS)
}

fn scheduler(rows: &[SchedulerRow]) -> Part {
    let count = living(rows).count();
    let remedy = "no run starts and no task follows another until one is back: start it (updraft scheduler), or look at its log";
    match count {
        0 => part("scheduler", Status::Unhealthy, last(rows.first().map(|row| row.last_heartbeat), "scheduler"), remedy),
        _ => part("scheduler", Status::Healthy, of(count, "scheduler"), ""),
    }
}

/// Schedulers read the files, or have somebody who does, and say how that goes.
fn dag_processor(rows: &[SchedulerRow]) -> Part {
    let name = "dag_processor";
    let mut sources = 0;
    let mut wrong: Vec<String> = Vec::new();
    for (bundle, status) in living(rows).flat_map(|row| row.dags_status.as_object().into_iter().flatten()) {
        sources += 1;
        // Not why: that names hosts and files, and everybody who sees a page sees this.
        if status["state"] == "degraded" {
            wrong.push(format!("{bundle} cannot be brought up to date"));
        } else if status["python"].is_string() {
            wrong.push(format!("Python files of {bundle} cannot be read"));
        }
    }
    wrong.sort();
    wrong.dedup();
    if living(rows).next().is_none() {
        let detail = "no scheduler is alive, and schedulers have the files read".to_owned();
        return part(name, Status::Unhealthy, detail, "changes of DAG files are seen when a scheduler is back");
    }
    if !wrong.is_empty() {
        let remedy = "the last good versions go on: see Git for why, or updraft doctor";
        return part(name, Status::Degraded, wrong.join("; "), remedy);
    }
    part(name, Status::Healthy, if sources == 0 { "begins".to_owned() } else { "reads all DAG files".to_owned() }, "")
}

fn of_workers(rows: &[FleetWorkerRow]) -> Part {
    let alive: Vec<&FleetWorkerRow> = rows.iter().filter(|row| row.state != "stopped" && row.silent_seconds <= SILENT_SECONDS).collect();
    let taking = alive.iter().filter(|row| row.draining_since.is_none());
    let slots: i64 = taking.clone().map(|row| i64::from(row.concurrency)).sum();
    let name = "workers";
    match (alive.len(), taking.count()) {
        (0, _) => {
            let remedy = "no task starts until one is there: start one (updraft worker), or look at the log of the last";
            part(name, Status::Unhealthy, last(rows.first().map(|row| row.last_heartbeat), "worker"), remedy)
        }
        (count, 0) => {
            let detail = format!("{} drain{}: none takes anything new", of(count, "worker"), if count == 1 { "s" } else { "" });
            part(name, Status::Degraded, detail, "undrain one under Fleet (updraft workers undrain), or start another")
        }
        (count, _) => {
            part(name, Status::Healthy, format!("{}, {}", of(count, "worker"), of(usize::try_from(slots).unwrap_or(0), "slot")), "")
        }
    }
}

fn why_nothing_starts(maintenance: &Maintenance) -> Option<String> {
    let since = maintenance.since?;
    let by = maintenance.by.as_deref().unwrap_or("somebody");
    let reason = maintenance.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(format!("maintenance by {by} since {}{reason}", said(since)))
}

/// The same as the event streams have it.
pub(crate) fn told(condition: &Condition) -> Value {
    serde_json::to_value(condition).unwrap_or_default()
}
