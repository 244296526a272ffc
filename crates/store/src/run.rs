//! Runs: creating, starting, and what people ask of their instances.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_model::RunKey;
use updraft_model::state::Intent;
use uuid::Uuid;

use crate::connect::Store;
use crate::error::Error;
use crate::read::audit::{self, Audit};
use crate::read::runs::run_lock;

/// A run to create.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// The DAG.
    pub dag_id: &'a str,
    /// Its name, unique in the DAG.
    pub run_id: &'a str,
    /// `scheduled`, `manual`, …
    pub run_type: &'a str,
    /// Which interval or fire time it stands for; unique in the DAG.
    pub logical_date: Option<DateTime<Utc>>,
    /// Start and end of its data interval.
    pub data_interval: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Not before this.
    pub run_after: DateTime<Utc>,
    /// What the trigger gave.
    pub conf: Value,
    /// For people.
    pub note: Option<String>,
    /// `timetable`, `rest_api`, `cli`, …
    pub triggered_by: &'a str,
    /// The person, if there was one.
    pub triggering_user: Option<&'a str>,
    /// The DAG version that it is pinned to.
    pub version_id: i64,
    /// What triggered it: a `traceparent`, and after a space a `tracestate`. None: its trace begins with it.
    pub trace: Option<String>,
}

/// What became of a request on one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentEffect {
    /// The task.
    pub idx: i32,
    /// The mapped instance.
    pub map_index: i32,
    /// Its state before.
    pub was: String,
    /// `done`, `asked` (its worker will carry it out), `nothing` (already over).
    pub effect: String,
    /// The worker to tell.
    pub told: Option<Uuid>,
}

impl Store {
    /// Creates a run with all its instances, queued. `None`: a run of that name or logical date exists.
    pub async fn run_create(&self, run: &NewRun<'_>) -> Result<Option<RunKey>, Error> {
        let id = sqlx::query_scalar!(
            r#"select run_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as id"#,
            run.dag_id,
            run.run_id,
            run.run_type,
            run.logical_date,
            run.data_interval.map(|i| i.0),
            run.data_interval.map(|i| i.1),
            run.run_after,
            run.conf,
            run.note,
            run.triggered_by,
            run.triggering_user,
            run.version_id,
            run.trace,
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("run_create"))?;
        Ok(id.map(RunKey))
    }

    /// Starts queued runs of a DAG, its own and those of its backfill, in order, while `max_active_runs` of each allows and it is not
    /// paused (I9). Completes the backfill when nothing of it is left.
    pub async fn runs_start(&self, dag_id: &str) -> Result<Vec<(RunKey, String)>, Error> {
        let rows = sqlx::query!(r#"select r_run as "run!", r_run_id as "run_id!" from runs_start($1)"#, dag_id)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("runs_start"))?;
        Ok(rows.into_iter().map(|row| (RunKey(row.run), row.run_id)).collect())
    }

    /// The DAGs that have a queued run which could start, or whose next slot waits for a run to end although none is in the way any more,
    /// or whose backfill is complete and nobody has said so.
    /// The safety net for a start that was lost in a crash.
    pub async fn dags_to_start(&self) -> Result<Vec<String>, Error> {
        sqlx::query_scalar!(
            r#"select d.dag_id from dag d
               where (not d.is_paused
                      and exists (select 1 from run r where r.dag_id = d.dag_id and r.backfill_id is null and r.state = 'queued'
                                  and r.run_after <= now())
                      and (select count(*) from run r where r.dag_id = d.dag_id and r.backfill_id is null
                           and r.state = 'running') < d.max_active_runs)
                  or (d.runs_capped and (select count(*) from run r where r.dag_id = d.dag_id and r.backfill_id is null
                                         and r.state in ('queued', 'running')) < d.max_active_runs)
                  or exists (select 1 from backfill b where b.dag_id = d.dag_id and b.completed_at is null
                      and (not exists (select 1 from run r where r.backfill_id = b.id and r.state in ('queued', 'running'))
                           or (not d.is_paused and not b.is_paused
                               and exists (select 1 from run r where r.backfill_id = b.id and r.state = 'queued' and r.run_after <= now())
                               and (select count(*) from run r where r.backfill_id = b.id and r.state = 'running') < b.max_active_runs)))"#
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("dags_to_start"))
    }

    /// Clears, cancels or marks instances, given as (idx, map_index). Decided per instance under its lock against an end that comes at
    /// the same time.
    pub async fn intent_request(&self, run: RunKey, keys: &[(i32, i32)], intent: Intent, by: &str) -> Result<Vec<IntentEffect>, Error> {
        let mut connection = self.pool.acquire().await.map_err(Error::of("intent_request"))?;
        Self::intent_in(&mut connection, run, keys, intent, by).await
    }

    async fn intent_in(
        connection: &mut PgConnection,
        run: RunKey,
        keys: &[(i32, i32)],
        intent: Intent,
        by: &str,
    ) -> Result<Vec<IntentEffect>, Error> {
        let idx: Vec<i32> = keys.iter().map(|k| k.0).collect();
        let map: Vec<i32> = keys.iter().map(|k| k.1).collect();
        let rows = sqlx::query!(
            r#"select r_idx as "idx!", r_map as "map!", r_was as "was!", r_effect as "effect!", r_told as told
               from intent_request($1, $2, $3, $4, $5)"#,
            run.0,
            &idx,
            &map,
            intent.as_str(),
            by,
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::of("intent_request"))?;
        Ok(rows.into_iter().map(|r| IntentEffect { idx: r.idx, map_index: r.map, was: r.was, effect: r.effect, told: r.told }).collect())
    }

    /// Skips instances by a person's word, those that are over too: such a one is cleared (its values go) and skipped in one transaction, which
    /// holds the run's run_seq row from the first to the last, so that no planner sees it in between.
    pub async fn instances_skip(&self, run: RunKey, keys: &[(i32, i32)], by: &str) -> Result<Vec<IntentEffect>, Error> {
        let op = "instances_skip";
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        run_lock(&mut tx, run, op).await?;
        let (idx, map): (Vec<i32>, Vec<i32>) = keys.iter().copied().unzip();
        let over: Vec<(i32, i32)> = sqlx::query_as(
            "select t.idx, t.map_index from task_instance t join unnest($2::int[], $3::int[]) as k (idx, map_index) \
             on t.run_id = $1 and t.idx = k.idx and t.map_index = k.map_index \
             where t.state in ('success', 'failed', 'upstream_failed', 'removed')",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map)
        .fetch_all(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        if !over.is_empty() {
            Self::intent_in(&mut tx, run, &over, Intent::Clear, by).await?;
        }
        let effects = Self::intent_in(&mut tx, run, keys, Intent::Skip, by).await?;
        tx.commit().await.map_err(Error::of(op))?;
        Ok(effects)
    }

    /// Puts a run that is over back in the queue, after some of its instances were cleared.
    pub async fn run_reopen(&self, run: RunKey) -> Result<(), Error> {
        sqlx::query!("select run_reopen($1)", run.0).execute(&self.pool).await.map_err(Error::of("run_reopen"))?;
        Ok(())
    }

    /// Runs instances of a run that is over again, with another conf: conf, clear, reopening and the entry of the audit log are written together
    /// or not at all. Says whether it was done: not when the run is not over, an attempt of it lives, or its conf is not `before` any more.
    pub async fn run_again_with(
        &self,
        run: RunKey,
        keys: &[(i32, i32)],
        (before, conf): (&Value, &Value),
        by: &str,
        entry: &Audit<'_>,
    ) -> Result<bool, Error> {
        let op = "run_again_with";
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        // As run_reopen locks them: first the DAG.
        sqlx::query("select from dag where dag_id = (select dag_id from run where id = $1) for no key update")
            .bind(run.0)
            .execute(&mut *tx)
            .await
            .map_err(Error::of(op))?;
        run_lock(&mut tx, run, op).await?;
        let changed = sqlx::query(
            "update run set conf = $3 where id = $1 and conf = $2 and state in ('success', 'failed') \
             and not exists (select from live_attempt l where l.run_id = $1)",
        )
        .bind(run.0)
        .bind(before)
        .bind(conf)
        .execute(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        Self::intent_in(&mut tx, run, keys, Intent::Clear, by).await?;
        sqlx::query("select run_reopen($1)").bind(run.0).execute(&mut *tx).await.map_err(Error::of(op))?;
        let address = audit::address();
        audit::insert(&mut *tx, entry, address.as_deref()).await?;
        tx.commit().await.map_err(Error::of(op))?;
        audit::say(entry, address.as_deref());
        Ok(true)
    }

    /// Lets a run that is over go on with another version, which has all of its tasks where they were: those that came since wait from now on.
    /// Says whether it was done: not when the run has another version by now, is not over, or an attempt of it lives.
    pub async fn run_version_move(&self, run: RunKey, from: i64, to: i64, by: &str) -> Result<bool, Error> {
        let op = "run_version_move";
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        run_lock(&mut tx, run, op).await?;
        let moved: Option<i32> = sqlx::query_scalar(
            "update run set version_id = $3, task_count = v.task_count from run old, dag_version v \
             where run.id = $1 and old.id = $1 and run.version_id = $2 and v.id = $3 and run.state in ('success', 'failed') \
             and not exists (select from live_attempt l where l.run_id = $1) returning old.task_count",
        )
        .bind(run.0)
        .bind(from)
        .bind(to)
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        let Some(had) = moved else { return Ok(false) };
        // Attempt numbers go on from those of an earlier run of its name, as those of its other instances did.
        sqlx::query(
            "insert into task_instance (run_id, idx, attempt) select r.id, i, greatest(r.attempt_base, coalesce(t.max_attempt, 0)) \
             from run r left join attempt_tombstone t on t.dag_id = r.dag_id and t.run_id = r.run_id, generate_series($2, r.task_count - 1) i \
             where r.id = $1",
        )
        .bind(run.0)
        .bind(had)
        .execute(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        sqlx::query("update run_seq set epoch = epoch + 1 where run_id = $1").bind(run.0).execute(&mut *tx).await.map_err(Error::of(op))?;
        sqlx::query(
            "select events_append(array[$1], array[-1], array[-1], array[0], array[null::text], array['version changed by ' || $2], false)",
        )
        .bind(run.0)
        .bind(by)
        .execute(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        tx.commit().await.map_err(Error::of(op))?;
        Ok(true)
    }

    /// Takes up to `limit` of what is due, and marks its runs for planning. Returns the runs.
    pub async fn due_take(&self, limit: i32) -> Result<Vec<RunKey>, Error> {
        let rows = sqlx::query_scalar!(r#"select r_run as "run!" from due_take($1)"#, limit)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("due_take"))?;
        Ok(rows.into_iter().map(RunKey).collect())
    }

    /// When the next thing is due: a retry, a look at what is deferred, the timeout of a run, the next slot of a DAG, the start of a run that waits for its time.
    /// In milliseconds from now, by the database's clock; negative when it is overdue.
    pub async fn due_next(&self) -> Result<Option<i64>, Error> {
        sqlx::query_scalar!(
            r#"select (extract(epoch from least(
                    (select min(at) from due), (select min(at) from deferred),
                    (select min(next_run_after) from dag where not is_paused and not is_stale and not runs_capped)) - now()) * 1000)::bigint as ms"#
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("due_next"))
    }

    /// Notes that a run starts, or times out, at a moment.
    pub async fn due_add(&self, kind: &str, run: RunKey, at: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query!("insert into due (kind, run_id, at) values ($1, $2, $3)", kind, run.0, at)
            .execute(&self.pool)
            .await
            .map_err(Error::of("due_add"))?;
        Ok(())
    }

    /// Makes tomorrow's partitions of events and logs.
    pub async fn partitions_ensure(&self) -> Result<(), Error> {
        sqlx::query!("select count(partitions_ensure(current_date + i)) from generate_series(0, 7) i")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("partitions_ensure"))?;
        Ok(())
    }
}
