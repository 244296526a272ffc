//! DAGs and their versions, as the scheduler writes them.

use chrono::{DateTime, Utc};
use updraft_model::DagSpec;

use crate::connect::Store;
use crate::error::Error;

/// One automated run that a timetable asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRow {
    /// Which interval or fire time.
    pub logical_date: DateTime<Utc>,
    /// Start of its data interval.
    pub interval_start: DateTime<Utc>,
    /// End of its data interval.
    pub interval_end: DateTime<Utc>,
    /// When it may start.
    pub run_after: DateTime<Utc>,
}

/// The cursor of a DAG's automated runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DagCursor {
    /// The last slot that was taken.
    pub last: Option<SlotRow>,
    /// The next one.
    pub next: Option<SlotRow>,
}

/// A parsed DAG to store.
#[derive(Debug, Clone)]
pub struct DagUpsert<'a> {
    /// The DAG.
    pub spec: &'a DagSpec,
    /// Its canonical JSON and the hash of that.
    pub json: &'a str,
    /// See `json`.
    pub hash: &'a str,
    /// The text of its file.
    pub source: &'a str,
    /// Where its files come from.
    pub bundle: &'a str,
    /// Its file, relative to the source's root.
    pub relative_fileloc: &'a str,
    /// Its file.
    pub fileloc: &'a str,
    /// The commit, when the source is a repository.
    pub git_commit: Option<&'a str>,
    /// Used when it is new.
    pub paused_at_creation: bool,
    /// Effective limit.
    pub max_active_runs: i32,
    /// How long its file took to parse.
    pub parse_ms: f64,
    /// For people.
    pub timetable_summary: &'a str,
    /// For people.
    pub timetable_description: &'a str,
}

/// What became of a parsed DAG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upserted {
    /// The version that new runs are pinned to.
    pub version_id: i64,
    /// Whether that version is new.
    pub new_version: bool,
    /// Whether the DAG had another version before, or none: a file that is put back makes no new one.
    pub changed: bool,
    /// Its cursor, as it stands.
    pub cursor: DagCursor,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// A DAG whose next slot has come.
#[derive(Debug, Clone)]
pub struct DueDag {
    /// The DAG.
    pub dag_id: String,
    /// The version to pin the run to.
    pub version_id: i64,
    /// Its cursor; `next` is due.
    pub cursor: DagCursor,
    /// How many runs more than are active now it may have. Those of a backfill do not count.
    pub room: i64,
    /// By the database's clock.
    pub now: DateTime<Utc>,
}

fn slot(l: Option<DateTime<Utc>>, s: Option<DateTime<Utc>>, e: Option<DateTime<Utc>>, r: Option<DateTime<Utc>>) -> Option<SlotRow> {
    Some(SlotRow { logical_date: l?, interval_start: s?, interval_end: e?, run_after: r? })
}

impl Store {
    /// Stores a parsed DAG. A version is added only when the canonical form is new; an older version that comes back is used again.
    pub async fn dag_upsert(&self, dag: &DagUpsert<'_>) -> Result<Upserted, Error> {
        let mut tx = self.pool.begin().await.map_err(Error::of("dag_upsert"))?;
        let dag_id = dag.spec.dag_id.as_str();
        // Two schedulers may read the same file at once: the second waits here and finds the version.
        sqlx::query!("select pg_advisory_xact_lock(hashtext($1))", dag_id).execute(&mut *tx).await.map_err(Error::of("dag_upsert"))?;
        let found = sqlx::query_scalar!("select id from dag_version where dag_id = $1 and hash = $2", dag_id, dag.hash)
            .fetch_optional(&mut *tx)
            .await
            .map_err(Error::of("dag_upsert"))?;
        let (version_id, new_version) = match found {
            Some(id) => (id, false),
            None => {
                let count = i32::try_from(dag.spec.tasks.len()).unwrap_or(i32::MAX);
                let id = sqlx::query_scalar!(
                    r#"insert into dag_version (dag_id, number, hash, git_commit, spec, source, task_count, dagrun_timeout_ms)
                       values ($1, coalesce((select max(number) from dag_version where dag_id = $1), 0) + 1, $2, $3, $4, $5, $6, $7) returning id"#,
                    dag_id,
                    dag.hash,
                    dag.git_commit,
                    dag.json,
                    dag.source,
                    count,
                    dag.spec.dagrun_timeout_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
                )
                .fetch_one(&mut *tx)
                .await
                .map_err(Error::of("dag_upsert"))?;
                (id, true)
            }
        };
        let row = sqlx::query!(
            r#"insert into dag (dag_id, version_id, bundle, relative_fileloc, fileloc, is_paused, last_parsed_at, last_parse_ms,
                                timetable_summary, timetable_description, max_active_runs)
               values ($1, $2, $3, $4, $5, $6, now(), $7, $8, $9, $10)
               on conflict (dag_id) do update set version_id = $2, bundle = $3, relative_fileloc = $4, fileloc = $5, is_stale = false,
                   last_parsed_at = now(), last_parse_ms = $7, timetable_summary = $8, timetable_description = $9, max_active_runs = $10
               returning is_paused, last_logical_date, last_interval_start, last_interval_end, last_run_after,
                         next_logical_date, next_interval_start, next_interval_end, next_run_after,
                         -- As it was before this statement.
                         (select old.version_id from dag old where old.dag_id = $1 and not old.is_stale) as before"#,
            dag_id,
            version_id,
            dag.bundle,
            dag.relative_fileloc,
            dag.fileloc,
            dag.paused_at_creation,
            dag.parse_ms,
            dag.timetable_summary,
            dag.timetable_description,
            dag.max_active_runs,
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(Error::of("dag_upsert"))?;
        tx.commit().await.map_err(Error::of("dag_upsert"))?;
        Ok(Upserted {
            version_id,
            new_version,
            changed: row.before != Some(version_id),
            is_paused: row.is_paused,
            cursor: DagCursor {
                last: slot(row.last_logical_date, row.last_interval_start, row.last_interval_end, row.last_run_after),
                next: slot(row.next_logical_date, row.next_interval_start, row.next_interval_end, row.next_run_after),
            },
        })
    }

    /// Sets the next slot of a DAG, guarded by the last one: a scheduler that took a slot meanwhile has moved the cursor itself.
    pub async fn dag_next_set(&self, dag_id: &str, last: Option<SlotRow>, next: Option<SlotRow>) -> Result<(), Error> {
        sqlx::query!(
            r#"update dag set next_logical_date = $3, next_interval_start = $4, next_interval_end = $5, next_run_after = $6
               where dag_id = $1 and last_run_after is not distinct from $2"#,
            dag_id,
            last.map(|s| s.run_after),
            next.map(|s| s.logical_date),
            next.map(|s| s.interval_start),
            next.map(|s| s.interval_end),
            next.map(|s| s.run_after),
        )
        .execute(&self.pool)
        .await
        .map_err(Error::of("dag_next_set"))?;
        Ok(())
    }

    /// DAGs whose next slot has come, up to `limit`.
    pub async fn dags_due(&self, limit: i64) -> Result<Vec<DueDag>, Error> {
        let rows = sqlx::query!(
            r#"select d.*, now() as "now!",
                   d.max_active_runs - (select count(*) from run r where r.dag_id = d.dag_id and r.backfill_id is null
                                        and r.state in ('queued', 'running')) as "room!"
               from dag d where not is_paused and not is_stale and not runs_capped and next_run_after <= now()
               order by next_run_after limit $1"#,
            limit
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("dags_due"))?;
        Ok(rows
            .into_iter()
            .map(|row| DueDag {
                cursor: DagCursor {
                    last: slot(row.last_logical_date, row.last_interval_start, row.last_interval_end, row.last_run_after),
                    next: slot(row.next_logical_date, row.next_interval_start, row.next_interval_end, row.next_run_after),
                },
                dag_id: row.dag_id,
                version_id: row.version_id,
                room: row.room,
                now: row.now,
            })
            .collect())
    }

    /// Takes a DAG's next slot: moves the cursor to `next` and creates the run, in one transaction. The cursor moves even when a run of that
    /// logical date exists already (somebody triggered it by hand). False: another scheduler took the slot.
    pub async fn dag_slot_take(&self, due: &DueDag, run_id: &str, next: Option<SlotRow>) -> Result<bool, Error> {
        let Some(taken) = due.cursor.next else { return Ok(false) };
        let mut tx = self.pool.begin().await.map_err(Error::of("dag_slot_take"))?;
        let moved = sqlx::query!(
            r#"update dag set last_logical_date = next_logical_date, last_interval_start = next_interval_start,
                   last_interval_end = next_interval_end, last_run_after = next_run_after,
                   next_logical_date = $3, next_interval_start = $4, next_interval_end = $5, next_run_after = $6
               where dag_id = $1 and next_run_after = $2 and last_run_after is not distinct from $7"#,
            due.dag_id,
            taken.run_after,
            next.map(|s| s.logical_date),
            next.map(|s| s.interval_start),
            next.map(|s| s.interval_end),
            next.map(|s| s.run_after),
            due.cursor.last.map(|s| s.run_after),
        )
        .execute(&mut *tx)
        .await
        .map_err(Error::of("dag_slot_take"))?
        .rows_affected()
            == 1;
        if moved {
            sqlx::query_scalar!(
                "select run_create($1, $2, 'scheduled', $3, $4, $5, $6, '{}', null, 'timetable', null, $7)",
                due.dag_id,
                run_id,
                taken.logical_date,
                taken.interval_start,
                taken.interval_end,
                taken.run_after,
                due.version_id,
            )
            .fetch_one(&mut *tx)
            .await
            .map_err(Error::of("dag_slot_take"))?;
        }
        tx.commit().await.map_err(Error::of("dag_slot_take"))?;
        Ok(moved)
    }

    /// Notes that `max_active_runs` stands in the way of the next slot; the end of a run takes the note away.
    pub async fn dag_cap(&self, dag_id: &str) -> Result<(), Error> {
        sqlx::query!(
            r#"update dag set runs_capped = true where dag_id = $1
               and (select count(*) from run r where r.dag_id = dag.dag_id and r.backfill_id is null
                    and r.state in ('queued', 'running')) >= max_active_runs"#,
            dag_id
        )
        .execute(&self.pool)
        .await
        .map_err(Error::of("dag_cap"))?;
        Ok(())
    }

    /// Pauses a DAG whose last `most` runs that have ended all failed. True: it was paused now.
    pub async fn dag_pause_failing(&self, dag_id: &str, most: i64) -> Result<bool, Error> {
        let done = sqlx::query!(
            r#"update dag set is_paused = true where dag_id = $1 and not is_paused and $2 = (
                   select count(*) from (select state from run where dag_id = $1 and state in ('success', 'failed')
                                         order by coalesce(logical_date, run_after) desc limit $2) last where state = 'failed')"#,
            dag_id,
            most
        )
        .execute(&self.pool)
        .await
        .map_err(Error::of("dag_pause_failing"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Marks DAGs of a bundle as gone, which no file of a complete scan has any more. Their runs go on; no new ones are made.
    pub async fn dags_retire(&self, bundle: &str, dag_ids: &[String]) -> Result<(), Error> {
        sqlx::query!("update dag set is_stale = true where bundle = $1 and dag_id = any ($2)", bundle, dag_ids)
            .execute(&self.pool)
            .await
            .map_err(Error::of("dags_retire"))?;
        Ok(())
    }

    /// The DAGs of a bundle that are not gone, with their files.
    pub async fn dags_of(&self, bundle: &str) -> Result<Vec<(String, String)>, Error> {
        let rows = sqlx::query!("select dag_id, relative_fileloc from dag where bundle = $1 and not is_stale order by dag_id", bundle)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("dags_of"))?;
        Ok(rows.into_iter().map(|r| (r.dag_id, r.relative_fileloc)).collect())
    }

    /// Replaces the import errors of one file; `None`: it has none any more.
    ///
    /// `details` are its mistakes one by one, as JSON, where they are known.
    pub async fn import_error_set(
        &self,
        bundle: &str,
        file: &str,
        message: Option<&str>,
        details: Option<&serde_json::Value>,
    ) -> Result<(), Error> {
        match message {
            Some(message) => sqlx::query!(
                r#"insert into import_error as e (bundle, relative_fileloc, message, details) values ($1, $2, $3, $4)
                   on conflict (bundle, relative_fileloc) do update set message = $3, details = $4, at = case e.message when $3 then e.at else now() end
                   where e.message <> $3 or e.details is distinct from $4"#,
                bundle,
                file,
                message,
                details
            )
            .execute(&self.pool)
            .await
            .map_err(Error::of("import_error_set"))?,
            None => sqlx::query!("delete from import_error where bundle = $1 and relative_fileloc = $2", bundle, file)
                .execute(&self.pool)
                .await
                .map_err(Error::of("import_error_set"))?,
        };
        Ok(())
    }

    /// The files of a bundle that have import errors.
    pub async fn import_error_files(&self, bundle: &str) -> Result<Vec<String>, Error> {
        sqlx::query_scalar!("select relative_fileloc from import_error where bundle = $1", bundle)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("import_error_files"))
    }

    /// The canonical JSON of a version.
    pub async fn dag_version_spec(&self, version_id: i64) -> Result<Option<String>, Error> {
        sqlx::query_scalar!("select spec from dag_version where id = $1", version_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::of("dag_version_spec"))
    }
}
