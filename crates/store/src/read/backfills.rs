//! Backfills, and what is there already for the dates that one is wanted for.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{Column, Kind, ListQuery, Page, column};
use crate::{Error, Store};

/// What a list of backfills can be ordered by.
pub const BACKFILL_COLUMNS: &[Column] = &[column("id", "b.id", Kind::Number)];

/// A backfill.
#[derive(Debug, Clone, FromRow)]
pub struct BackfillRow {
    /// Its key.
    pub id: i64,
    /// Its DAG.
    pub dag_id: String,
    /// The stretch, both ends included.
    pub from_date: DateTime<Utc>,
    /// See `from_date`.
    pub to_date: DateTime<Utc>,
    /// Whether its last slot was the first to run.
    pub run_backwards: bool,
    /// The conf of its runs, if one was given.
    pub dag_run_conf: Option<Value>,
    /// Whether nothing of it starts.
    pub is_paused: bool,
    /// `none`, `failed`, `completed`.
    pub reprocess_behavior: String,
    /// How many of its runs may run at once.
    pub max_active_runs: i32,
    /// The person.
    pub triggering_user_name: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last paused, unpaused, cancelled or completed.
    pub updated_at: DateTime<Utc>,
    /// When the last of its runs had ended, or somebody cancelled it.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A run that is there already.
#[derive(Debug, Clone, FromRow)]
pub struct RunOfDate {
    /// Its date.
    pub logical_date: DateTime<Utc>,
    /// Its state.
    pub state: String,
    /// The version that it is pinned to.
    pub version_id: i64,
    /// Whether one of its attempts lives: that of a run which was ended by hand may, until it has stopped.
    pub live: bool,
}

const BACKFILL: &str = "select b.id, b.dag_id, b.from_date, b.to_date, b.run_backwards, b.dag_run_conf, b.is_paused, b.reprocess_behavior, \
    b.max_active_runs, b.triggering_user_name, b.created_at, b.updated_at, b.completed_at from backfill b where true";

impl Store {
    /// Backfills of a DAG, oldest first unless the query orders them.
    /// `dag_ids`: none for those of all DAGs.
    pub async fn backfill_list(&self, dag_ids: Option<&[String]>, query: &ListQuery) -> Result<Page<BackfillRow>, Error> {
        let start = |select: &str| {
            let mut sql = QueryBuilder::<Postgres>::new(select);
            if let Some(dag_ids) = dag_ids {
                sql.push(" and b.dag_id = any(").push_bind(dag_ids.to_vec()).push(")");
            }
            query.push_filters(&mut sql);
            sql
        };
        let mut sql = start(BACKFILL);
        query.push_tail(&mut sql, "b.id", "b.id");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("backfill_list"))?;
        let mut sql = start("select count(*) from backfill b where true");
        let total = sql.build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("backfill_list"))?;
        Ok(Page { rows, total })
    }

    /// One backfill.
    pub async fn backfill_get(&self, id: i64) -> Result<Option<BackfillRow>, Error> {
        let mut sql = QueryBuilder::new(BACKFILL);
        sql.push(" and b.id = ").push_bind(id);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("backfill_get"))
    }

    /// Whether a DAG has a backfill with a run that is queued or running.
    pub async fn backfill_active(&self, dag_id: &str) -> Result<bool, Error> {
        sqlx::query_scalar(
            "select exists (select 1 from backfill b where b.dag_id = $1 and b.completed_at is null \
                            and exists (select 1 from run r where r.backfill_id = b.id and r.state in ('queued', 'running')))",
        )
        .bind(dag_id)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("backfill_active"))
    }

    /// How many runs of a backfill are in which state.
    pub async fn backfill_run_counts(&self, backfill: &BackfillRow) -> Result<Vec<(String, i64)>, Error> {
        sqlx::query_as("select state, count(*) from run where dag_id = $1 and backfill_id = $2 group by state order by state")
            .bind(&backfill.dag_id)
            .bind(backfill.id)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("backfill_run_counts"))
    }

    /// The runs of a DAG for these dates.
    pub async fn runs_of_dates(&self, dag_id: &str, dates: &[DateTime<Utc>]) -> Result<Vec<RunOfDate>, Error> {
        sqlx::query_as(
            "select r.logical_date, r.state, r.version_id, exists (select 1 from live_attempt l where l.run_id = r.id) as live \
             from run r where r.dag_id = $1 and r.logical_date = any ($2)",
        )
        .bind(dag_id)
        .bind(dates)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("runs_of_dates"))
    }
}
