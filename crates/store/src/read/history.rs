//! What happened to the installation over time: a row for each minute, and the commits that were taken.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store};

/// What a minute came to.
#[derive(Debug, Clone, FromRow)]
pub struct MinuteRow {
    /// Its beginning.
    pub at: DateTime<Utc>,
    /// Task instances that succeeded.
    pub success: i32,
    /// That failed for good.
    pub failed: i32,
    /// Tries that failed and are followed by another.
    pub retried: i32,
    /// Task instances that never ran.
    pub skipped: i32,
    /// Tries by how long they had waited: entry i (from 1) counts those of at most 2^((i-1)/2) milliseconds.
    pub waits: Vec<i32>,
    /// By queue what waited and what ran at its end. None: nobody looked.
    pub queues: Option<Value>,
    /// Workers at its end.
    pub workers: Option<i32>,
    /// What those of them that take might watch at once.
    pub slots: Option<i32>,
}

/// A commit that was taken.
#[derive(Debug, Clone, FromRow)]
pub struct CommitRow {
    /// Its source.
    pub bundle: String,
    /// Its id.
    pub commit: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// When it was made, as it says.
    pub committed_at: Option<DateTime<Utc>>,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// DAGs that got another version by it.
    pub changed: Vec<String>,
    /// DAGs that left by it.
    pub removed: Vec<String>,
    /// Files of it that cannot be read.
    pub errors: i32,
}

/// A commit that is taken.
#[derive(Debug, Clone, Default)]
pub struct CommitTaken<'a> {
    /// Its source.
    pub bundle: &'a str,
    /// Its id.
    pub commit: &'a str,
    /// Who wrote it.
    pub author: Option<&'a str>,
    /// The first line of its message.
    pub subject: Option<&'a str>,
    /// When it was made, as it says.
    pub committed_at: Option<DateTime<Utc>>,
    /// DAGs that got another version by it.
    pub changed: &'a [String],
    /// DAGs that left by it.
    pub removed: &'a [String],
    /// Files of it that cannot be read.
    pub errors: i32,
}

/// An attempt that a worker watches.
#[derive(Debug, Clone, FromRow)]
pub struct WatchedRow {
    /// The DAG.
    pub dag_id: String,
    /// The run.
    pub run_id: String,
    /// The version that names the task.
    pub version_id: i64,
    /// The task's place in it.
    pub idx: i32,
    /// Its map index.
    pub map_index: i32,
    /// Its queue.
    pub queue: String,
    /// Its pool.
    pub pool: String,
    /// Where it stands before its command runs.
    pub detail: Option<String>,
    /// Since when.
    pub started_at: Option<DateTime<Utc>>,
}

/// What people look at beside runs, each as one value that is another when it has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct Marks {
    /// The workers, what they take and how they are.
    pub workers: String,
    /// The schedulers, and what they say of their sources.
    pub sources: String,
    /// The pools.
    pub pools: String,
    /// The backfills.
    pub backfills: String,
    /// The last minute that was counted.
    pub minute: Option<DateTime<Utc>>,
    /// The last entry of the audit log.
    pub audit: Option<i64>,
}

impl Store {
    /// Counts the minutes that are over. In how many seconds there is another one.
    pub async fn fleet_minutes_take(&self) -> Result<f64, Error> {
        sqlx::query_scalar("select fleet_minutes_take()").fetch_one(&self.pool).await.map_err(Error::of("fleet_minutes_take"))
    }

    /// The minutes since then, oldest first.
    pub async fn fleet_minutes(&self, since: DateTime<Utc>) -> Result<Vec<MinuteRow>, Error> {
        sqlx::query_as(
            "select at, success, failed, retried, skipped, waits, queues, workers, slots from fleet_minute where at >= $1 order by at",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("fleet_minutes"))
    }

    /// Notes that a commit was taken. Schedulers take it one by one: what any of them saw changed, has.
    pub async fn commit_taken(&self, taken: &CommitTaken<'_>) -> Result<(), Error> {
        sqlx::query(
            "with new as (insert into source_commit as c (bundle, commit, author, subject, committed_at, changed, removed, errors) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (bundle, commit) do update set \
                 author = coalesce(excluded.author, c.author), subject = coalesce(excluded.subject, c.subject), \
                 committed_at = coalesce(excluded.committed_at, c.committed_at), errors = excluded.errors, \
                 changed = array(select distinct unnest(c.changed || excluded.changed) order by 1), \
                 removed = array(select distinct unnest(c.removed || excluded.removed) order by 1)) \
             delete from source_commit where bundle = $1 \
                 and id <= (select id from source_commit where bundle = $1 order by id desc offset 200 limit 1)",
        )
        .bind(taken.bundle)
        .bind(taken.commit)
        .bind(taken.author)
        .bind(taken.subject)
        .bind(taken.committed_at)
        .bind(taken.changed)
        .bind(taken.removed)
        .bind(taken.errors)
        .execute(&self.pool)
        .await
        .map_err(Error::of("commit_taken"))?;
        Ok(())
    }

    /// The commits that were taken last, newest first.
    pub async fn commits_taken(&self, most: i64) -> Result<Vec<CommitRow>, Error> {
        sqlx::query_as(
            "select bundle, commit, author, subject, committed_at, taken_at, changed, removed, errors from source_commit order by id desc limit $1",
        )
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("commits_taken"))
    }

    /// What a worker watches, the longest first.
    pub async fn worker_attempts(&self, worker: Uuid, most: i64) -> Result<Vec<WatchedRow>, Error> {
        sqlx::query_as(
            "select r.dag_id, r.run_id, r.version_id, l.idx, l.map_index, l.queue, l.pool, l.detail, l.started_at from lease_group g \
             join live_attempt l on l.group_id = g.id join run r on r.id = l.run_id where g.owner = $1 order by l.started_at nulls last, l.run_id, l.idx limit $2",
        )
        .bind(worker)
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("worker_attempts"))
    }

    /// What the event streams compare. Everything that lives is counted for it, nothing that is over.
    pub async fn marks(&self) -> Result<Marks, Error> {
        sqlx::query_as(
            "with l as materialized (select pool, queue, state, group_id, slots from live_attempt) \
             select (select md5(coalesce(string_agg(concat_ws(' ', w.id, w.state, w.queues::text, w.concurrency, w.draining_since, w.drain_reason, \
                         w.last_heartbeat > now() - interval '30 s'), E'\\n' order by w.id), '') \
                         || coalesce((select string_agg(concat_ws(' ', u.group_id, u.queue, u.state, u.n), E'\\n' order by u.group_id, u.queue, u.state) \
                                      from (select group_id, queue, state, count(*) as n from l group by 1, 2, 3) u), '')) from worker w) as workers, \
                 (select md5(coalesce(string_agg(concat_ws(' ', s.id, s.dags_status, s.started_at, s.last_heartbeat > now() - interval '30 s'), E'\\n' order by s.id), '')) \
                  from scheduler s) as sources, \
                 (select md5(coalesce(string_agg(concat_ws(' ', p.name, p.slots, p.include_deferred, p.description), E'\\n' order by p.name), '') \
                         || coalesce((select string_agg(concat_ws(' ', u.pool, u.state, u.n), E'\\n' order by u.pool, u.state) \
                                      from (select pool, state, sum(slots) as n from l group by 1, 2) u), '')) from pool p) as pools, \
                 (select concat_ws(' ', count(*), max(id), max(updated_at)) from backfill) as backfills, \
                 (select max(at) from fleet_minute) as minute, (select max(id) from audit_log) as audit",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("marks"))
    }
}
