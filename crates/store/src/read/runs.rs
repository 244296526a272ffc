//! Runs.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use updraft_model::RunKey;
use uuid::Uuid;

use super::keyset::Keyset;
use super::{Column, Filter, KeyedPage, Kind, ListQuery, Page, Test, column};
use crate::{Error, Store};

/// What a list of runs can be filtered and ordered by.
pub const RUN_COLUMNS: &[Column] = &[
    column("id", "r.id", Kind::Number).sure(),
    column("dag_id", "r.dag_id", Kind::Text).sure(),
    column("run_id", "r.run_id", Kind::Text).sure(),
    column("dag_run_id", "r.run_id", Kind::Text).sure(),
    column("state", "r.state", Kind::Text).sure(),
    column("run_type", "r.run_type", Kind::Text).sure(),
    column("logical_date", "r.logical_date", Kind::Time),
    column("run_after", "r.run_after", Kind::Time).sure(),
    column("queued_at", "r.queued_at", Kind::Time).sure(),
    column("start_date", "r.start_date", Kind::Time),
    column("end_date", "r.end_date", Kind::Time),
    // As it is shown: none while it runs. A duration that grows would carry its row past a cursor.
    column("duration", "date_part('epoch', r.end_date - r.start_date)", Kind::Real),
    column("data_interval_start", "r.data_interval_start", Kind::Time),
    column("data_interval_end", "r.data_interval_end", Kind::Time),
    column("conf", "(r.conf::text)", Kind::Text).sure(),
    column("triggering_user_name", "r.triggering_user_name", Kind::Text),
    column("dag_version", "v.number", Kind::Number),
    column("bundle_version", "v.git_commit", Kind::Text),
    // A run has no time of its own for it: its last planned end is the nearest that there is.
    column("updated_at", "coalesce(r.end_date, r.start_date, r.queued_at)", Kind::Time).sure(),
    // No run has any of these: what asks for them finds none.
    column("partition_date", "null::timestamptz", Kind::Time).order_only(),
    column("partition_key", "null::text", Kind::Text),
    column("consuming_asset", "null::text", Kind::Text),
];

/// What makes every order of runs total, and orders them when nobody says how: as they came.
pub const RUN_KEY: &[Column] = &[column("id", "r.id", Kind::Number).sure()];

/// A run with its version.
#[derive(Debug, Clone, FromRow)]
pub struct RunRow {
    /// Its key.
    pub id: i64,
    /// Its DAG.
    pub dag_id: String,
    /// Its name.
    pub run_id: String,
    /// Its version.
    pub version_id: i64,
    /// `manual`, `scheduled`, …
    pub run_type: String,
    /// `queued`, `running`, `success`, `failed`.
    pub state: String,
    /// Which interval.
    pub logical_date: Option<DateTime<Utc>>,
    /// The interval.
    pub data_interval_start: Option<DateTime<Utc>>,
    /// The interval.
    pub data_interval_end: Option<DateTime<Utc>>,
    /// Not before.
    pub run_after: DateTime<Utc>,
    /// When it was made, or reopened.
    pub queued_at: DateTime<Utc>,
    /// When it started.
    pub start_date: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_date: Option<DateTime<Utc>>,
    /// What it was triggered with.
    pub conf: Value,
    /// By a person.
    pub note: Option<String>,
    /// `rest_api`, `timetable`, …
    pub triggered_by: String,
    /// Who.
    pub triggering_user_name: Option<String>,
    /// Why it ended, where a word says more than the state.
    pub reason: Option<String>,
    /// When the planner last ended something.
    pub last_scheduling_decision: Option<DateTime<Utc>>,
    /// Attempts of an earlier run of this name.
    pub attempt_base: i32,
    /// How many tasks it has.
    pub task_count: i32,
    /// The version, as the API names it.
    pub version_uuid: Uuid,
    /// 1 for the first.
    pub version_number: i32,
    /// The commit that it is pinned to.
    pub git_commit: Option<String>,
    /// When the version was first seen.
    pub version_created_at: DateTime<Utc>,
    /// Where its file comes from; absent when the DAG is gone.
    pub bundle: Option<String>,
}

impl RunRow {
    /// The short key of rows and hints.
    pub const fn key(&self) -> RunKey {
        RunKey(self.id)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "success" | "failed")
    }
}

/// How a run is doing, in few numbers.
#[derive(Debug, Clone, FromRow)]
pub struct RunStrip {
    /// Its DAG.
    pub dag_id: String,
    /// Its name.
    pub run_id: String,
    /// Its state.
    pub state: String,
    /// `manual`, `scheduled`, …
    pub run_type: String,
    /// Not before.
    pub run_after: DateTime<Utc>,
    /// When it started.
    pub start_date: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_date: Option<DateTime<Utc>>,
}

/// A run as a column of a grid.
#[derive(Debug, Clone, FromRow)]
pub struct GridRun {
    /// Its key.
    pub id: i64,
    /// Its name.
    pub run_id: String,
    /// Its version.
    pub version_id: i64,
    /// That version's number.
    pub version_number: i32,
    /// Its state.
    pub state: String,
    /// `manual`, `scheduled`, …
    pub run_type: String,
    /// Not before.
    pub run_after: DateTime<Utc>,
    /// When it started.
    pub start_date: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_date: Option<DateTime<Utc>>,
    /// A word of people.
    pub note: Option<String>,
    /// Positions of its tasks; those that are mapped, once for each state.
    pub positions: Vec<i32>,
    /// The state of each, the live attempt's word included.
    pub states: Vec<String>,
}

const RUN_SELECT: &str = "select r.id, r.dag_id, r.run_id, r.version_id, r.run_type, r.state, r.logical_date, r.data_interval_start, \
    r.data_interval_end, r.run_after, r.queued_at, r.start_date, r.end_date, r.conf, r.note, r.triggered_by, r.triggering_user_name, r.reason, \
    r.last_scheduling_decision, r.attempt_base, r.task_count, v.uuid as version_uuid, v.number as version_number, v.git_commit, \
    v.created_at as version_created_at, d.bundle";
// Every run has a version. The join is an outer one, so that Postgres leaves it out where nothing is asked of it: in most counts.
const RUN_JOINS: &str = " left join dag_version v on v.id = r.version_id left join dag d on d.dag_id = r.dag_id";

/// What became of a run that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunDeleted {
    /// It is gone.
    Done,
    /// It runs, or a task of it is still being stopped.
    Active,
    /// There is none.
    Missing,
}

/// What became of an instance that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceDeleted {
    /// It is gone.
    Done,
    /// An attempt of it lives: `queued` or `running`.
    Live(String),
    /// There is none.
    Missing,
}

impl Store {
    /// Runs of a DAG, or of all, oldest first unless the query orders them.
    pub async fn run_list(&self, dag_id: Option<&str>, query: &ListQuery) -> Result<Page<RunRow>, Error> {
        let KeyedPage { rows, total, .. } = self.run_page(dag_id, query).await?;
        Ok(Page { rows, total })
    }

    /// The same, by cursor if the query says so.
    pub async fn run_page(&self, dag_id: Option<&str>, query: &ListQuery) -> Result<KeyedPage<RunRow>, Error> {
        let keyset = Keyset::of(query, RUN_KEY);
        let from = |sql: &mut QueryBuilder<Postgres>| {
            sql.push(" from run r").push(RUN_JOINS).push(" where true");
            if let Some(dag_id) = dag_id {
                sql.push(" and r.dag_id = ").push_bind(dag_id.to_owned());
            }
            query.push_filters(sql);
            if query.filters.iter().any(asks_for_a_conf) {
                sql.push(" and r.conf <> '{}'");
            }
        };
        // The page is cut among narrow rows, before what is shown of each is fetched.
        let mut sql = QueryBuilder::new(RUN_SELECT);
        sql.push(", k.sort_key from (select r.id");
        keyset.push_key(&mut sql);
        from(&mut sql);
        keyset.push_place(&mut sql);
        keyset.push_order(&mut sql);
        keyset.push_limit(&mut sql);
        sql.push(") k join run r on r.id = k.id").push(RUN_JOINS);
        keyset.push_order(&mut sql);
        let mut count = QueryBuilder::new("");
        keyset.push_count(&mut count, from);
        // Where both read all of the table, the caller waits for one of them.
        let (page, total) = tokio::try_join!(keyset.fetch(&self.pool, &mut sql), count.build_query_scalar().fetch_one(&self.pool))
            .map_err(Error::of("run_list"))?;
        Ok(KeyedPage { total, ..page })
    }

    /// One run, by its name.
    pub async fn run_get(&self, dag_id: &str, run_id: &str) -> Result<Option<RunRow>, Error> {
        let mut sql = QueryBuilder::new(RUN_SELECT);
        sql.push(" from run r").push(RUN_JOINS).push(" where r.dag_id = ").push_bind(dag_id).push(" and r.run_id = ").push_bind(run_id);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("run_get"))
    }

    /// The newest run of a DAG.
    pub async fn run_latest(&self, dag_id: &str) -> Result<Option<RunRow>, Error> {
        let mut sql = QueryBuilder::new(RUN_SELECT);
        sql.push(" from run r")
            .push(RUN_JOINS)
            .push(" where r.dag_id = ")
            .push_bind(dag_id)
            .push(" order by r.run_after desc, r.id desc limit 1");
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("run_latest"))
    }

    /// The latest `each` runs of these DAGs, newest first within a DAG.
    pub async fn run_strips(&self, dag_ids: &[String], each: i64) -> Result<Vec<RunStrip>, Error> {
        sqlx::query_as(
            "select s.* from unnest($1::text[]) as w (dag_id), \
             lateral (select r.dag_id, r.run_id, r.state, r.run_type, r.run_after, r.start_date, r.end_date from run r \
                      where r.dag_id = w.dag_id order by r.run_after desc limit $2) s",
        )
        .bind(dag_ids)
        .bind(each)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("run_strips"))
    }

    /// The latest `most` runs of a DAG that were due before a moment, newest first, each with the states of its tasks.
    pub async fn run_grid(&self, dag_id: &str, before: Option<DateTime<Utc>>, most: i64) -> Result<Vec<GridRun>, Error> {
        sqlx::query_as(
            "with shown as materialized (select r.* from run r where r.dag_id = $1 and ($2::timestamptz is null or r.run_after < $2) \
                                         order by r.run_after desc, r.id desc limit $3), \
             cells as (select distinct t.run_id, t.idx, case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end as state \
                       from shown s join task_instance t on t.run_id = s.id \
                       left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index), \
             columns as (select run_id, array_agg(idx) as positions, array_agg(state) as states from cells group by run_id) \
             select s.id, s.run_id, s.version_id, v.number as version_number, s.state, s.run_type, s.run_after, s.start_date, s.end_date, s.note, \
                    coalesce(c.positions, '{}') as positions, coalesce(c.states, '{}') as states \
             from shown s join dag_version v on v.id = s.version_id left join columns c on c.run_id = s.id order by s.run_after desc, s.id desc",
        )
        .bind(dag_id)
        .bind(before)
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("run_grid"))
    }

    /// How many instances of a run are in which state, the live attempt's word included.
    pub async fn run_task_counts(&self, run: RunKey) -> Result<Vec<(String, i64)>, Error> {
        sqlx::query_as(
            "select case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end as s, count(*) \
             from task_instance t left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index \
             where t.run_id = $1 group by 1 order by 1",
        )
        .bind(run.0)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("run_task_counts"))
    }

    /// How many runs of a DAG are running.
    pub async fn run_active_count(&self, dag_id: &str) -> Result<i64, Error> {
        sqlx::query_scalar("select count(*) from run where dag_id = $1 and state = 'running'")
            .bind(dag_id)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("run_active_count"))
    }

    /// Changes a run's note.
    pub async fn run_note(&self, run: RunKey, note: Option<&str>) -> Result<(), Error> {
        sqlx::query("update run set note = $2 where id = $1")
            .bind(run.0)
            .bind(note)
            .execute(&self.pool)
            .await
            .map_err(Error::of("run_note"))?;
        Ok(())
    }

    /// Changes an instance's note.
    pub async fn instance_note(&self, run: RunKey, idx: i32, map_index: i32, note: Option<&str>) -> Result<(), Error> {
        sqlx::query("update task_instance set note = $4 where run_id = $1 and idx = $2 and map_index = $3")
            .bind(run.0)
            .bind(idx)
            .bind(map_index)
            .bind(note)
            .execute(&self.pool)
            .await
            .map_err(Error::of("instance_note"))?;
        Ok(())
    }

    /// Ends a run by a person's word, whatever its tasks say; they are marked before. Live attempts that were asked to stop end after it. True: the
    /// run was not over until now. A scheduler that has planned the marks of the tasks may have ended it first, and what belongs to an end (a span)
    /// is its to do then. The end of one that is over moves only with its state, as Airflow's does.
    pub async fn run_end_by_hand(&self, run: RunKey, state: &str, by: &str) -> Result<bool, Error> {
        let op = "run_end_by_hand";
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        // The lock order of every writer: dag, run_seq. The dag row is taken because an end makes room for the next run.
        sqlx::query("select 1 from dag where dag_id = (select dag_id from run where id = $1) for no key update")
            .bind(run.0)
            .execute(&mut *tx)
            .await
            .map_err(Error::of(op))?;
        run_lock(&mut tx, run, op).await?;
        let ended: Option<bool> = sqlx::query_scalar(
            "update run r set state = $2, reason = 'marked by ' || $3, start_date = coalesce(r.start_date, now()), \
             end_date = case when r.state = $2 then r.end_date else now() end, last_scheduling_decision = now() \
             from (select id, state in ('queued', 'running') as live from run where id = $1) before where r.id = before.id returning before.live",
        )
        .bind(run.0)
        .bind(state)
        .bind(by)
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        sqlx::query("update run_seq set epoch = epoch + 1 where run_id = $1").bind(run.0).execute(&mut *tx).await.map_err(Error::of(op))?;
        sqlx::query("select events_append(array[$1], array[-1], array[-1], array[0], array[null::text], array['run ' || $2 || ' by ' || $3], false)")
            .bind(run.0)
            .bind(state)
            .bind(by)
            .execute(&mut *tx)
            .await
            .map_err(Error::of(op))?;
        sqlx::query(
            "update dag set runs_capped = false where runs_capped and dag_id = (select dag_id from run where id = $1) \
             and (select count(*) from run r where r.dag_id = dag.dag_id and r.backfill_id is null and r.state in ('queued', 'running')) < max_active_runs",
        )
        .bind(run.0)
        .execute(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        tx.commit().await.map_err(Error::of(op))?;
        Ok(ended.unwrap_or(false))
    }

    /// Deletes a run that is over, or that has not started, and everything of it but its attempt numbers, which are never used again.
    pub async fn run_delete(&self, run: RunKey) -> Result<RunDeleted, Error> {
        self.run_delete_in(run, &["queued", "success", "failed"]).await
    }

    /// The same, of a run that is over when it comes to it: retention chose it as that, and it may have been cleared since.
    pub(crate) async fn run_delete_over(&self, run: RunKey) -> Result<RunDeleted, Error> {
        self.run_delete_in(run, &["success", "failed"]).await
    }

    async fn run_delete_in(&self, run: RunKey, states: &[&str]) -> Result<RunDeleted, Error> {
        let op = "run_delete";
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        sqlx::query("select 1 from run_seq where run_id = $1 for update").bind(run.0).execute(&mut *tx).await.map_err(Error::of(op))?;
        let state: Option<String> = sqlx::query_scalar("select state from run where id = $1 for update")
            .bind(run.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(Error::of(op))?;
        let live: bool = sqlx::query_scalar("select exists (select 1 from live_attempt where run_id = $1)")
            .bind(run.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(Error::of(op))?;
        match state.as_deref() {
            None => return Ok(RunDeleted::Missing),
            Some(state) if states.contains(&state) && !live => {}
            Some(_) => return Ok(RunDeleted::Active),
        }
        let newest: Option<i32> = sqlx::query_scalar("select max(attempt) from task_instance where run_id = $1")
            .bind(run.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(Error::of(op))?;
        attempts_reserve(&mut tx, run, newest.unwrap_or(0), op).await?;
        for statement in [
            "delete from ready where run_id = $1",
            "delete from pool_run where run_id = $1",
            "delete from due where run_id = $1",
            "delete from xcom where run_id = $1",
            "delete from log_chunk where run_id = $1",
            "delete from attempt where run_id = $1",
            "delete from event where run_id = $1",
            "delete from task_instance where run_id = $1",
            "delete from run where id = $1",
        ] {
            sqlx::query(statement).bind(run.0).execute(&mut *tx).await.map_err(Error::of(op))?;
        }
        tx.commit().await.map_err(Error::of(op))?;
        Ok(RunDeleted::Done)
    }

    /// Deletes an instance of which no attempt lives, with all that it left. To the planner it is `removed` from then on. Its attempt numbers
    /// are never used again, not even by another run of the same name.
    pub async fn instance_delete(&self, run: RunKey, idx: i32, map_index: i32, by: &str) -> Result<InstanceDeleted, Error> {
        let op = "instance_delete";
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        run_lock(&mut tx, run, op).await?;
        let attempt: Option<i32> =
            sqlx::query_scalar("select attempt from task_instance where run_id = $1 and idx = $2 and map_index = $3 for update")
                .bind(run.0)
                .bind(idx)
                .bind(map_index)
                .fetch_optional(&mut *tx)
                .await
                .map_err(Error::of(op))?;
        let Some(attempt) = attempt else { return Ok(InstanceDeleted::Missing) };
        let live: Option<String> =
            sqlx::query_scalar("select state from live_attempt where run_id = $1 and idx = $2 and map_index = $3 for update")
                .bind(run.0)
                .bind(idx)
                .bind(map_index)
                .fetch_optional(&mut *tx)
                .await
                .map_err(Error::of(op))?;
        if let Some(state) = live {
            return Ok(InstanceDeleted::Live(state));
        }
        attempts_reserve(&mut tx, run, attempt, op).await?;
        sqlx::query(
            "select events_append(array[$1], array[$2], array[$3], array[$4], array['removed'], array['deleted by ' || $5], false)",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .bind(attempt)
        .bind(by)
        .execute(&mut *tx)
        .await
        .map_err(Error::of(op))?;
        for statement in [
            "delete from task_instance where run_id = $1 and idx = $2 and map_index = $3",
            "delete from ready where run_id = $1 and idx = $2 and map_index = $3",
            "delete from due where run_id = $1 and idx = $2 and map_index = $3",
            "delete from deferred where run_id = $1 and idx = $2 and map_index = $3",
            "delete from xcom where run_id = $1 and idx = $2 and map_index = $3",
            "delete from log_chunk where run_id = $1 and idx = $2 and map_index = $3",
            "delete from attempt where run_id = $1 and idx = $2 and map_index = $3",
        ] {
            sqlx::query(statement).bind(run.0).bind(idx).bind(map_index).execute(&mut *tx).await.map_err(Error::of(op))?;
        }
        // A view that was made before counts the instance still: the epoch tells it to load the run again.
        for statement in ["select heads_prune(array[$1])", "update run_seq set epoch = epoch + 1 where run_id = $1"] {
            sqlx::query(statement).bind(run.0).execute(&mut *tx).await.map_err(Error::of(op))?;
        }
        tx.commit().await.map_err(Error::of(op))?;
        Ok(InstanceDeleted::Done)
    }
}

/// Whether a filter finds no run without a conf, as most are: those are passed over before their conf is made a text.
fn asks_for_a_conf(filter: &Filter) -> bool {
    let says_more = |pattern: &String| pattern.chars().any(|c| !"{}%_\\".contains(c));
    matches!(&filter.test, Test::Like(patterns) if filter.column.name == "conf" && patterns.iter().all(says_more))
}

/// Takes the row that every writer of a run takes before it writes.
pub(crate) async fn run_lock(connection: &mut PgConnection, run: RunKey, op: &'static str) -> Result<(), Error> {
    sqlx::query("select 1 from run_seq where run_id = $1 for no key update")
        .bind(run.0)
        .execute(connection)
        .await
        .map_err(Error::of(op))?;
    Ok(())
}

/// Sees to it that the attempt numbers of what is about to be deleted, up to this one, are never used again, not even by another run of the
/// same name.
async fn attempts_reserve(connection: &mut PgConnection, run: RunKey, up_to: i32, op: &'static str) -> Result<(), Error> {
    sqlx::query(
        "insert into attempt_tombstone (dag_id, run_id, max_attempt) select dag_id, run_id, greatest(attempt_base, $2) from run where id = $1 \
         on conflict (dag_id, run_id) do update set max_attempt = greatest(attempt_tombstone.max_attempt, excluded.max_attempt)",
    )
    .bind(run.0)
    .bind(up_to)
    .execute(connection)
    .await
    .map_err(Error::of(op))?;
    Ok(())
}
