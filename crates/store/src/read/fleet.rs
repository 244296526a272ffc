//! The processes: schedulers and workers.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store};

/// A scheduler that has said something.
#[derive(Debug, Clone, FromRow)]
pub struct SchedulerRow {
    /// Its id.
    pub id: Uuid,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub pid: i32,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// When it last said so.
    pub last_heartbeat: DateTime<Utc>,
    /// How long ago that is by the database's clock, in seconds.
    pub silent_seconds: f64,
    /// What it says of the DAG folder.
    pub dags_status: Value,
}

/// A worker that has said something.
#[derive(Debug, Clone, FromRow)]
pub struct FleetWorkerRow {
    /// Its id.
    pub id: Uuid,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub pid: i32,
    /// `process` or `kubernetes`.
    pub runner: String,
    /// What it takes from.
    pub queues: Vec<String>,
    /// At most so many attempts at once.
    pub concurrency: i32,
    /// Its own word.
    pub state: String,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// When it last said so.
    pub last_heartbeat: DateTime<Utc>,
    /// How long ago that is by the database's clock, in seconds.
    pub silent_seconds: f64,
    /// Attempts that it watches.
    pub running: i64,
}

impl Store {
    /// Schedulers, the liveliest first.
    pub async fn scheduler_list(&self) -> Result<Vec<SchedulerRow>, Error> {
        sqlx::query_as(
            "select id, host, pid, started_at, last_heartbeat, extract(epoch from now() - last_heartbeat)::float8 as silent_seconds, dags_status \
             from scheduler order by last_heartbeat desc",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("scheduler_list"))
    }

    /// Workers, the liveliest first.
    pub async fn fleet_worker_list(&self) -> Result<Vec<FleetWorkerRow>, Error> {
        sqlx::query_as(
            "select w.id, w.host, w.pid, w.runner, w.queues, w.concurrency, w.state, w.started_at, w.last_heartbeat, \
             extract(epoch from now() - w.last_heartbeat)::float8 as silent_seconds, \
             (select count(*) from live_attempt l join lease_group g on g.id = l.group_id where g.owner = w.id) as running \
             from worker w order by w.last_heartbeat desc",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("fleet_worker_list"))
    }

    /// The id of this installation.
    pub async fn installation_id(&self) -> Result<Uuid, Error> {
        sqlx::query_scalar("select id from installation limit 1").fetch_one(&self.pool).await.map_err(Error::of("installation_id"))
    }
}
