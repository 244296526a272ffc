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
    /// How many variables and connections it sees outside of the database; empty: it is older than that, or new.
    pub secrets_status: Value,
    /// Of which version it is. None: of one that does not say.
    pub version: Option<String>,
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
    /// Since when it takes nothing new. None: it takes.
    pub draining_since: Option<DateTime<Utc>>,
    /// Who wanted that.
    pub drained_by: Option<String>,
    /// Why.
    pub drain_reason: Option<String>,
    /// Of which version it is. None: of one that does not say.
    pub version: Option<String>,
}

/// A queue, by what Postgres knows of it.
#[derive(Debug, Clone, FromRow)]
pub struct QueueRow {
    /// Its name.
    pub queue: String,
    /// Attempts that wait in it for a worker.
    pub queued: i64,
    /// Attempts that were taken from it and go on.
    pub running: i64,
    /// How long the oldest one has waited, in seconds. None: none waits.
    pub oldest_seconds: Option<f64>,
    /// Attempts of it that began within the last minute.
    pub begun: i64,
    /// Attempts of it that ended within the last minute.
    pub ended: i64,
    /// Workers that were heard of within 30 seconds and take from it.
    pub workers: i64,
    /// How many attempts those may watch at once, those of their other queues included.
    pub slots: i64,
    /// Workers of it that drain.
    pub draining: i64,
}

/// Who may be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// As was wanted.
    Yes,
    /// There is no such worker.
    Unknown,
    /// It has left for good, or has not been heard of for a while.
    Gone,
}

/// Whether launches are stopped, since when, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Maintenance {
    /// None: there is none.
    pub since: Option<DateTime<Utc>>,
    /// Who began it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A figure about the whole installation.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// Its name, without a prefix. Rows of one name follow each other.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Its labels.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// Names of [`Gauge`]s, with help and the names of their labels.
const GAUGES: &[(&str, &str, &[&str])] = &[
    ("dags", "DAGs", &["state"]),
    ("runs", "Runs that are queued or running", &["state"]),
    ("dags_running", "DAGs of which a run is running", &[]),
    ("task_instances", "Task instances of unfinished runs that wait, are queued, run or are deferred", &["state"]),
    ("pool_slots", "Slots of pools; those that are open only of pools with a limit", &["pool", "state"]),
    ("pool_waiting", "Task instances that wait for a slot, by pool", &["pool"]),
    ("queue_depth", "Attempts that wait for a worker, by queue", &["queue"]),
    ("oldest_queued_seconds", "How long the oldest queued attempt has waited for a worker", &[]),
    ("workers", "Workers that were heard of within 30 seconds", &[]),
    ("workers_slots", "Attempts that they may watch at once", &[]),
    ("schedulers", "Schedulers that were heard of within 30 seconds", &[]),
    ("scheduler_last_cycle_seconds", "How long ago the liveliest scheduler was heard of", &[]),
    ("attempts_watched", "Attempts that workers watch, by host", &["host"]),
    ("import_errors", "DAG files that cannot be read", &[]),
    ("maintenance", "1: nothing is launched until somebody ends the maintenance", &[]),
];

impl Store {
    /// Figures about the whole installation, in the order of their names above. One statement over what lives now: its cost does not grow
    /// with history.
    pub async fn gauges(&self) -> Result<Vec<Gauge>, Error> {
        let rows: Vec<(String, Option<String>, Option<String>, f64)> = sqlx::query_as(
            "with live as materialized (select state, queue, pool, slots, queued_at, group_id from live_attempt), \
             alive as materialized (select id, host, concurrency from worker where last_heartbeat > now() - interval '30 s'), \
             waiting as materialized (select pool, count(*) as n, sum(slots) as slots from ready group by pool), \
             going as materialized (select dag_id, state from run where state in ('queued', 'running')), \
             used as (select pool, state, sum(slots) as slots from live group by pool, state) \
             select 'dags', s.state, null, count(d.dag_id)::float8 from (values ('active'), ('paused'), ('stale')) s (state) \
                 left join dag d on s.state = case when d.is_stale then 'stale' when d.is_paused then 'paused' else 'active' end group by s.state \
             union all select 'runs', s.state, null, count(g.dag_id)::float8 from (values ('queued'), ('running')) s (state) \
                 left join going g using (state) group by s.state \
             union all select 'dags_running', null, null, count(distinct dag_id)::float8 from going where state = 'running' \
             union all select 'task_instances', s.state, null, coalesce(n.n, 0)::float8 from (values ('scheduled'), ('queued'), ('running'), ('deferred')) s (state) \
                 left join (select state, count(*) as n from live group by state \
                            union all select 'scheduled', sum(n) from waiting union all select 'deferred', count(*) from deferred) n using (state) \
             union all select 'pool_slots', p.name, s.state, case s.state \
                     when 'open' then greatest(p.slots - coalesce((select sum(u.slots) from used u where u.pool = p.name), 0), 0) \
                     when 'deferred' then coalesce((select sum(d.slots) from deferred d where d.pool = p.name), 0) \
                     when 'scheduled' then coalesce((select w.slots from waiting w where w.pool = p.name), 0) \
                     else coalesce((select u.slots from used u where u.pool = p.name and u.state = s.state), 0) end::float8 \
                 from pool p, (values ('open'), ('scheduled'), ('queued'), ('running'), ('deferred')) s (state) where p.slots >= 0 or s.state <> 'open' \
             union all select 'pool_waiting', p.name, null, coalesce(w.n, 0)::float8 from pool p left join waiting w on w.pool = p.name \
             union all select 'queue_depth', queue, null, count(*) filter (where state = 'queued')::float8 from live group by queue \
             union all select 'oldest_queued_seconds', null, null, \
                 coalesce(extract(epoch from now() - min(queued_at) filter (where state = 'queued')), 0)::float8 from live \
             union all select 'workers', null, null, count(*)::float8 from alive \
             union all select 'workers_slots', null, null, coalesce(sum(concurrency), 0)::float8 from alive \
             union all select 'schedulers', null, null, count(*)::float8 from scheduler where last_heartbeat > now() - interval '30 s' \
             union all select 'scheduler_last_cycle_seconds', null, null, extract(epoch from now() - max(last_heartbeat))::float8 \
                 from scheduler having count(*) > 0 \
             union all select 'attempts_watched', w.host, null, count(l.group_id)::float8 from alive w left join lease_group g on g.owner = w.id \
                 left join live l on l.group_id = g.id group by w.host \
             union all select 'import_errors', null, null, count(*)::float8 from import_error \
             union all select 'maintenance', null, null, (maintenance_since is not null)::int::float8 from installation",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("gauges"))?;
        let mut gauges = Vec::with_capacity(rows.len());
        for (name, help, labels) in GAUGES {
            gauges.extend(rows.iter().filter(|(of, ..)| of == name).map(|(_, first, second, value)| {
                let values = [first, second].into_iter().flatten().cloned();
                Gauge { name, help, labels: labels.iter().copied().zip(values).collect(), value: *value }
            }));
        }
        Ok(gauges)
    }

    /// Schedulers, the liveliest first.
    pub async fn scheduler_list(&self) -> Result<Vec<SchedulerRow>, Error> {
        sqlx::query_as(
            "select id, host, pid, started_at, last_heartbeat, extract(epoch from now() - last_heartbeat)::float8 as silent_seconds, dags_status, secrets_status, version \
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
             (select count(*) from live_attempt l join lease_group g on g.id = l.group_id where g.owner = w.id) as running, \
             w.draining_since, w.drained_by, w.drain_reason, w.version \
             from worker w order by w.last_heartbeat desc",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("fleet_worker_list"))
    }

    /// Wants of a worker that it takes nothing new. From the commit on nothing is claimed for it; what it watches goes on to its end.
    pub async fn worker_drain(&self, id: Uuid, by: &str, reason: Option<&str>) -> Result<Drained, Error> {
        let drained: Option<bool> = sqlx::query_scalar(
            "with w as (select id, state <> 'stopped' and last_heartbeat > now() - interval '5 minutes' as alive from worker where id = $1 for no key update), \
             d as (update worker set draining_since = coalesce(draining_since, now()), drained_by = $2, drain_reason = $3 \
                   from w where worker.id = w.id and w.alive) \
             select alive from w",
        )
        .bind(id)
        .bind(by)
        .bind(reason)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("worker_drain"))?;
        Ok(match drained {
            None => Drained::Unknown,
            Some(false) => Drained::Gone,
            Some(true) => Drained::Yes,
        })
    }

    /// Lets a worker take again, within one of its heartbeats. False: there is no such worker.
    pub async fn worker_undrain(&self, id: Uuid) -> Result<bool, Error> {
        sqlx::query("update worker set draining_since = null, drained_by = null, drain_reason = null where id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected() > 0)
            .map_err(Error::of("worker_undrain"))
    }

    /// Queues that workers take from or attempts are in, by name. What ended lately is found by the times of events, whose cost follows the
    /// last minute's work and not history.
    pub async fn queue_list(&self) -> Result<Vec<QueueRow>, Error> {
        sqlx::query_as(
            "with live as materialized (select queue, state, queued_at, started_at from live_attempt), \
             w as materialized (select unnest(queues) as queue, concurrency, draining_since from worker \
                 where last_heartbeat > now() - interval '30 s' and state <> 'stopped'), \
             e as materialized (select distinct e.run_id, e.idx, e.map_index, e.attempt from event e where e.at > now() - interval '1 minute' \
                 and e.day >= (now() - interval '1 minute')::date and e.idx >= 0 and e.attempt > 0 and e.state <> 'queued'), \
             a as materialized (select a.queue, a.started_at, a.ended_at from e join attempt a using (run_id, idx, map_index, attempt) \
                 where a.ended_at > now() - interval '1 minute'), \
             q as (select queue from live union select queue from w union select queue from a) \
             select q.queue, (select count(*) from live l where l.queue = q.queue and l.state = 'queued') as queued, \
                 (select count(*) from live l where l.queue = q.queue and l.state = 'running') as running, \
                 (select extract(epoch from now() - min(l.queued_at))::float8 from live l where l.queue = q.queue and l.state = 'queued') as oldest_seconds, \
                 (select count(*) from live l where l.queue = q.queue and l.started_at > now() - interval '1 minute') \
                     + (select count(*) from a where a.queue = q.queue and a.started_at > now() - interval '1 minute') as begun, \
                 (select count(*) from a where a.queue = q.queue) as ended, \
                 (select count(*) from w where w.queue = q.queue and w.draining_since is null) as workers, \
                 coalesce((select sum(w.concurrency) from w where w.queue = q.queue and w.draining_since is null), 0)::int8 as slots, \
                 (select count(*) from w where w.queue = q.queue and w.draining_since is not null) as draining \
             from q order by q.queue",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("queue_list"))
    }

    /// How it stands with the maintenance.
    pub async fn maintenance(&self) -> Result<Maintenance, Error> {
        sqlx::query_as("select maintenance_since as since, maintenance_by as by, maintenance_reason as reason from installation")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("maintenance"))
    }

    /// Begins a maintenance or gives the one that there is another reason: nothing is admitted and nothing claimed from here on. What runs
    /// goes on and ends as ever.
    pub async fn maintenance_begin(&self, by: &str, reason: Option<&str>) -> Result<Maintenance, Error> {
        sqlx::query_as(
            "update installation set maintenance_since = coalesce(maintenance_since, now()), maintenance_by = $1, maintenance_reason = $2 \
             returning maintenance_since as since, maintenance_by as by, maintenance_reason as reason",
        )
        .bind(by)
        .bind(reason)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("maintenance_begin"))
    }

    /// Ends it. What waits is found by the next sweeps, within seconds.
    pub async fn maintenance_end(&self) -> Result<Maintenance, Error> {
        sqlx::query_as(
            "update installation set maintenance_since = null, maintenance_by = null, maintenance_reason = null \
             returning maintenance_since as since, maintenance_by as by, maintenance_reason as reason",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("maintenance_end"))
    }

    /// The id of this installation.
    pub async fn installation_id(&self) -> Result<Uuid, Error> {
        sqlx::query_scalar("select id from installation limit 1").fetch_one(&self.pool).await.map_err(Error::of("installation_id"))
    }
}
