//! What spans are made of: runs and attempts that are over, as they stand in the database.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use updraft_model::{AttemptKey, RunKey};
use updraft_telemetry::traces::RunSpan;

use crate::connect::Store;
use crate::error::Error;

#[derive(FromRow)]
struct RunRow {
    id: i64,
    dag_id: String,
    run_id: String,
    run_type: String,
    state: String,
    logical_date: Option<DateTime<Utc>>,
    queued_at: DateTime<Utc>,
    start_date: DateTime<Utc>,
    end_date: DateTime<Utc>,
    trace: Option<String>,
}

/// How an attempt ended, where its end was written by somebody.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptOver {
    /// `success`, `skipped`, `failed`, `up_for_retry`.
    pub state: String,
    /// Why it failed, in a word.
    pub reason: Option<String>,
    /// Who pays for that.
    pub budget: Option<String>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

impl Store {
    /// Those of these runs that are over and have started.
    pub async fn runs_over(&self, runs: &[RunKey]) -> Result<Vec<RunSpan>, Error> {
        let ids: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let rows: Vec<RunRow> = sqlx::query_as(
            "select id, dag_id, run_id, run_type, state, logical_date, queued_at, start_date, end_date, trace from run \
             where id = any ($1) and state in ('success', 'failed') and start_date is not null and end_date is not null order by id",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("runs_over"))?;
        Ok(rows
            .into_iter()
            .map(|row| RunSpan {
                run: row.id,
                dag_id: row.dag_id,
                run_id: row.run_id,
                run_type: row.run_type,
                state: row.state,
                logical_date: row.logical_date,
                queued_at: row.queued_at,
                started_at: row.start_date,
                ended_at: row.end_date,
                trigger: row.trace,
            })
            .collect())
    }

    /// How an attempt ended. None: it has not, or its run was deleted.
    pub async fn attempt_over(&self, key: AttemptKey) -> Result<Option<AttemptOver>, Error> {
        sqlx::query_as(
            "select state, reason, budget, ended_at from attempt where run_id = $1 and idx = $2 and map_index = $3 and attempt = $4",
        )
        .bind(key.instance.run.0)
        .bind(key.instance.idx)
        .bind(key.instance.map_index)
        .bind(key.attempt)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("attempt_over"))
    }
}
