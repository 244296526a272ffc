//! Forgetting what is old: finished runs with all that belongs to them, and the partitions that they leave empty.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use updraft_model::RunKey;

use crate::read::runs::RunDeleted;
use crate::{Error, Store};

/// Runs that are listed at once.
const BATCH: i64 = 200;

/// What may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Runs that ended longer ago.
    pub older_than: Duration,
    /// But never the newest so many of a DAG: `depends_on_past` looks at one of them, people at the others.
    pub keep_last: u32,
}

/// A run that may be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OldRun {
    id: i64,
    /// Its DAG.
    pub dag_id: String,
    /// Its id.
    pub run_id: String,
    /// When it ended.
    pub end_date: DateTime<Utc>,
}

impl Store {
    /// Up to `limit` runs that may be forgotten, the oldest first.
    pub async fn runs_old(&self, retention: Retention, limit: i64) -> Result<Vec<OldRun>, Error> {
        sqlx::query_as(
            "select r.id, r.dag_id, r.run_id, r.end_date from run r \
             where r.state in ('success', 'failed') and r.end_date < now() - make_interval(secs => $1) \
                 and not exists (select 1 from live_attempt l where l.run_id = r.id) \
                 and ($2 = 0 or exists (select 1 from run n where n.dag_id = r.dag_id and n.run_after > r.run_after \
                     order by n.run_after offset greatest($2 - 1, 0) limit 1)) \
             order by r.end_date limit $3",
        )
        .bind(retention.older_than.as_secs_f64())
        .bind(i64::from(retention.keep_last))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("runs_old"))
    }

    /// Forgets one of them. False: somebody was faster, or it runs again.
    pub async fn run_forget(&self, run: &OldRun) -> Result<bool, Error> {
        Ok(matches!(self.run_delete_over(RunKey(run.id)).await?, RunDeleted::Done))
    }

    /// Forgets all that may be forgotten, a batch at a time, and returns how many runs that were.
    pub async fn runs_forget(&self, retention: Retention) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let mut forgotten = 0;
            for run in self.runs_old(retention, BATCH).await? {
                forgotten += u64::from(self.run_forget(&run).await?);
            }
            all += forgotten;
            // None: nothing is left, or somebody else works on it.
            if forgotten == 0 {
                return Ok(all);
            }
        }
    }

    /// Drops the partitions of days before the retention that hold nothing any more, and returns their names. What cannot be locked at once is
    /// left for the next time: it must not stand in anybody's way.
    pub async fn partitions_drop(&self, older_than: Duration) -> Result<Vec<String>, Error> {
        let op = "partitions_drop";
        let names: Vec<String> = sqlx::query_scalar(
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
             where i.inhparent in ('event'::regclass, 'log_chunk'::regclass) and c.relname ~ '_[0-9]{8}$' \
                 and to_date(right(c.relname, 8), 'YYYYMMDD') < (now() - make_interval(secs => $1))::date - 1 \
             order by 1",
        )
        .bind(older_than.as_secs_f64())
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of(op))?;
        let mut dropped = Vec::new();
        for name in names {
            // The name is of the catalogue, and of the form above.
            let statement = format!(
                "do $$ begin set local lock_timeout = '200ms'; lock table {name} in access exclusive mode; \
                 if not exists (select 1 from {name}) then drop table {name}; end if; \
                 exception when lock_not_available then null; end $$"
            );
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&self.pool).await.map_err(Error::of(op))?;
            let gone: bool =
                sqlx::query_scalar("select to_regclass($1) is null").bind(&name).fetch_one(&self.pool).await.map_err(Error::of(op))?;
            if gone {
                dropped.push(name);
            }
        }
        Ok(dropped)
    }
}
