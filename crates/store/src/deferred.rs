//! What the scheduler waits for itself: taking what is due, and writing what a look came to.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use updraft_model::{AttemptKey, InstanceKey, RunKey};
use uuid::Uuid;

use crate::connect::Store;
use crate::error::Error;

/// A deferred instance that is due. Whoever took it has it alone for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Deferred {
    /// The instance, and its attempt.
    pub key: AttemptKey,
    /// When the attempt began to wait.
    pub since: DateTime<Utc>,
    /// What was done for it already: the run that it has made.
    pub memo: Option<Value>,
    /// How often its attempts have failed.
    pub failures: i32,
    /// By the database's clock.
    pub now: DateTime<Utc>,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The instance, and the attempt that it was in.
    pub key: AttemptKey,
    /// `deferred`: it waits on. Else the state that it ends in.
    pub state: &'static str,
    /// A short word.
    pub reason: Option<&'static str>,
    /// A sentence.
    pub message: String,
    /// Of `deferred`: the next look. Of `up_for_retry`: the next attempt.
    pub at: Option<DateTime<Utc>>,
}

/// A run that a deferred instance asks for.
#[derive(Debug, Clone)]
pub struct Triggering<'a> {
    /// Its DAG.
    pub dag_id: &'a str,
    /// Its name.
    pub run_id: &'a str,
    /// Its date.
    pub logical_date: Option<DateTime<Utc>>,
    /// Start and end of its data interval.
    pub data_interval: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// It starts no earlier.
    pub run_after: DateTime<Utc>,
    /// What it is given.
    pub conf: &'a Value,
    /// For people.
    pub note: Option<&'a str>,
    /// The person behind the run that asks.
    pub user: Option<&'a str>,
    /// The DAG version that it is pinned to.
    pub version_id: i64,
    /// Whether a run of that name or date is cleared.
    pub reset: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Triggered {
    /// There is such a run, made now or before for this attempt, or cleared. Workers that have to be told of what was cleared.
    Made(RunKey, String, Vec<Uuid>),
    /// There was one: its name.
    Exists(String),
    /// The instance is no longer deferred in this attempt.
    Gone,
}

/// A run of another DAG.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OtherRun {
    /// Its key.
    pub id: i64,
    /// Its state.
    pub state: String,
    /// Its version.
    pub version_id: i64,
}

/// Another DAG.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OtherDag {
    /// Its version.
    pub version_id: i64,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Whether its file no longer has it.
    pub is_stale: bool,
}

impl Store {
    /// Takes deferred instances that are due.
    pub async fn deferred_take(&self, limit: i32, lease_seconds: i32) -> Result<Vec<Deferred>, Error> {
        let rows = sqlx::query!(
            r#"select r_run as "run!", r_idx as "idx!", r_map as "map!", r_attempt as "attempt!", r_since as "since!", r_memo as memo,
                      r_failures as "failures!", r_now as "now!"
               from deferred_take($1, make_interval(secs => $2))"#,
            limit,
            f64::from(lease_seconds)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("deferred_take"))?;
        Ok(rows
            .into_iter()
            .map(|r| Deferred {
                key: AttemptKey { instance: InstanceKey { run: RunKey(r.run), idx: r.idx, map_index: r.map }, attempt: r.attempt },
                since: r.since,
                memo: r.memo,
                failures: r.failures,
                now: r.now,
            })
            .collect())
    }

    /// Writes what looks came to. Returns the instances that were still deferred in that attempt.
    pub async fn deferred_commit(&self, looked: &[Looked]) -> Result<Vec<InstanceKey>, Error> {
        let l = looked;
        let rows = sqlx::query!(
            r#"select r_run as "run!", r_idx as "idx!", r_map as "map!", r_moved as "moved!" from deferred_commit($1, $2, $3, $4, $5, $6, $7, $8)"#,
            &l.iter().map(|l| l.key.instance.run.0).collect::<Vec<_>>(),
            &l.iter().map(|l| l.key.instance.idx).collect::<Vec<_>>(),
            &l.iter().map(|l| l.key.instance.map_index).collect::<Vec<_>>(),
            &l.iter().map(|l| l.key.attempt).collect::<Vec<_>>(),
            &l.iter().map(|l| l.state.to_owned()).collect::<Vec<_>>(),
            &l.iter().map(|l| l.reason.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
            &l.iter().map(|l| l.message.clone()).collect::<Vec<_>>(),
            &l.iter().map(|l| l.at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("deferred_commit"))?;
        let moved = rows.into_iter().filter(|row| row.moved);
        Ok(moved.map(|row| InstanceKey { run: RunKey(row.run), idx: row.idx, map_index: row.map }).collect())
    }

    /// Makes the run that a deferred instance asks for, once for its attempt.
    pub async fn deferred_trigger(&self, key: AttemptKey, run: &Triggering<'_>) -> Result<Triggered, Error> {
        let made = sqlx::query!(
            r#"select r_result as "result!", r_made as made, r_made_id as made_id, r_told as "told!"
               from deferred_trigger($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"#,
            key.instance.run.0,
            key.instance.idx,
            key.instance.map_index,
            key.attempt,
            run.dag_id,
            run.run_id,
            run.logical_date,
            run.data_interval.map(|i| i.0),
            run.data_interval.map(|i| i.1),
            run.run_after,
            run.conf,
            run.note,
            run.user,
            run.version_id,
            run.reset,
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("deferred_trigger"))?;
        Ok(match (made.result.as_str(), made.made) {
            ("created" | "reset", Some(id)) => Triggered::Made(RunKey(id), made.made_id.unwrap_or_default(), made.told),
            ("exists", _) => Triggered::Exists(made.made_id.unwrap_or_default()),
            _ => Triggered::Gone,
        })
    }

    /// The run of a DAG for a date.
    pub async fn other_run(&self, dag_id: &str, date: DateTime<Utc>) -> Result<Option<OtherRun>, Error> {
        sqlx::query_as("select id, state, version_id from run where dag_id = $1 and logical_date = $2")
            .bind(dag_id)
            .bind(date)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::of("other_run"))
    }

    /// The state of a run. None: it was deleted.
    pub async fn other_run_state(&self, run: RunKey) -> Result<Option<String>, Error> {
        sqlx::query_scalar("select state from run where id = $1")
            .bind(run.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::of("other_run_state"))
    }

    /// A DAG. None: there is none.
    pub async fn other_dag(&self, dag_id: &str) -> Result<Option<OtherDag>, Error> {
        sqlx::query_as("select version_id, is_paused, is_stale from dag where dag_id = $1")
            .bind(dag_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::of("other_dag"))
    }
}
