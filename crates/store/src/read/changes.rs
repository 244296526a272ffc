//! What changed lately: what the event streams of the API are fed from.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use updraft_model::RunKey;

use crate::{Error, Store};

/// A run of which something was written.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RunChanged {
    /// The short key.
    pub id: i64,
    /// Number of its last event; 0 for a run without any.
    pub seq: i64,
    /// Its DAG.
    pub dag_id: String,
    /// Its name.
    pub run_id: String,
    /// Its version.
    pub version_id: i64,
    /// `queued`, `running`, `success` or `failed`, now.
    pub state: String,
    /// Attempts of an earlier run of this name.
    pub attempt_base: i32,
    /// When it started.
    pub start_date: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_date: Option<DateTime<Utc>>,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct InstanceChanged {
    /// The run's short key.
    pub id: i64,
    /// Position of its task in the version.
    pub idx: i32,
    /// -1 when it is not mapped.
    pub map_index: i32,
    /// The number of the attempt that it is at.
    pub attempt: i32,
    /// Its new state, in the store's words, and `running` when the command began.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

/// What a DAG's row says that a stream tells. All DAGs are compared, not asked for their changes: there are few of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromRow)]
pub struct DagFace {
    /// Its id.
    pub dag_id: String,
    /// Its newest version.
    pub version_id: i64,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Whether its file no longer has it.
    pub is_stale: bool,
    /// Whether its file cannot be read.
    pub has_import_errors: bool,
}

impl Store {
    /// The database's time.
    pub async fn now(&self) -> Result<DateTime<Utc>, Error> {
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&self.pool).await.map_err(Error::of("now"))
    }

    /// At most `most` runs of which anything was written since, and what they are now.
    pub async fn runs_changed(&self, since: DateTime<Utc>, most: i64) -> Result<Vec<RunChanged>, Error> {
        sqlx::query_as(
            "select r.id, c.r_seq as seq, r.dag_id, r.run_id, r.version_id, r.state, r.attempt_base, r.start_date, r.end_date \
             from changed_since($1) c join run r on r.id = c.r_run order by r.id limit $2",
        )
        .bind(since)
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("runs_changed"))
    }

    /// What happened to the instances of these runs after the event of the given number and not before `since`, in order: one row for each move.
    pub async fn instances_changed(&self, runs: &[(RunKey, i64)], since: DateTime<Utc>) -> Result<Vec<InstanceChanged>, Error> {
        let (keys, seqs): (Vec<i64>, Vec<i64>) = runs.iter().map(|(key, seq)| (key.0, *seq)).unzip();
        sqlx::query_as(
            "select e.run_id as id, e.idx, e.map_index, e.attempt, e.state, e.reason, e.at \
             from unnest($1::bigint[], $2::bigint[]) as w (run_id, seq) join event e on e.run_id = w.run_id and e.seq > w.seq \
             where e.idx >= 0 and e.state is not null and e.day >= $3::date and e.at >= $3 order by e.run_id, e.seq",
        )
        .bind(keys)
        .bind(seqs)
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("instances_changed"))
    }

    /// Attempts whose command began since and has not ended. It is no event: nobody plans by it.
    pub async fn instances_begun(&self, since: DateTime<Utc>) -> Result<Vec<InstanceChanged>, Error> {
        sqlx::query_as(
            "select run_id as id, idx, map_index, attempt, state, null::text as reason, started_at as at from live_attempt \
             where state = 'running' and started_at >= $1 order by started_at",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("instances_begun"))
    }

    /// These runs, whether anything of them changed or not.
    pub async fn runs_now(&self, runs: &[RunKey]) -> Result<Vec<RunChanged>, Error> {
        let keys: Vec<i64> = runs.iter().map(|key| key.0).collect();
        sqlx::query_as(
            "select id, 0::bigint as seq, dag_id, run_id, version_id, state, attempt_base, start_date, end_date from run where id = any ($1)",
        )
        .bind(keys)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("runs_now"))
    }

    /// What all DAGs look like.
    pub async fn dag_faces(&self) -> Result<Vec<DagFace>, Error> {
        sqlx::query_as(
            "select d.dag_id, d.version_id, d.is_paused, d.is_stale, \
             exists (select from import_error i where i.bundle = d.bundle and i.relative_fileloc = d.relative_fileloc) as has_import_errors \
             from dag d order by d.dag_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("dag_faces"))
    }
}
