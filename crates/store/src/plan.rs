//! What the planner is given, and the commit of what it decides.

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_model::RunKey;

use crate::connect::Store;
use crate::error::Error;

/// One change of a run, in order of `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number in the run.
    pub seq: i64,
    /// The task; -1: the run itself.
    pub idx: i32,
    /// The mapped instance.
    pub map_index: i32,
    /// The attempt that the instance had.
    pub attempt: i32,
    /// Its new state; none: look again.
    pub state: Option<String>,
}

/// The head of a run, and what happened since it was last seen.
#[derive(Debug, Clone)]
pub struct RunLoad {
    /// The run.
    pub run: RunKey,
    /// Its last event.
    pub seq: i64,
    /// Its epoch: another than the cached one means that the cache is wrong.
    pub epoch: i64,
    /// The events after the one last seen, at most [`MOST_EVENTS`]: as many mean that there may be more. Empty for a run that was not seen
    /// before.
    pub events: Vec<EventRow>,
}

/// Most events of a run in one load. The bound stands in the statement as well: it tells Postgres to walk the index from the last event on,
/// where without it a third of the table is its guess, and it reads all of that.
pub const MOST_EVENTS: usize = 4096;

/// One instance, in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// The task.
    pub idx: i32,
    /// The mapped instance.
    pub map_index: i32,
    /// Its state.
    pub state: String,
    /// Its latest attempt.
    pub attempt: i32,
    /// When a retry may start.
    pub not_before: Option<DateTime<Utc>>,
}

/// What is fixed about a run, and its own state.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// The run.
    pub run: RunKey,
    /// Its DAG.
    pub dag_id: String,
    /// Its name.
    pub run_id: String,
    /// `scheduled`, `manual`, …
    pub run_type: String,
    /// Its version.
    pub version_id: i64,
    /// Its state.
    pub state: String,
    /// See [`crate::NewRun`].
    pub logical_date: Option<DateTime<Utc>>,
    /// See [`crate::NewRun`].
    pub data_interval_start: Option<DateTime<Utc>>,
    /// See [`crate::NewRun`].
    pub data_interval_end: Option<DateTime<Utc>>,
    /// See [`crate::NewRun`].
    pub run_after: DateTime<Utc>,
    /// When it started.
    pub start_date: Option<DateTime<Utc>>,
    /// What the trigger gave.
    pub conf: Value,
    /// Who triggered it.
    pub triggering_user: Option<String>,
    /// Attempts of an earlier run of this name.
    pub attempt_base: i32,
    /// See [`crate::NewRun`].
    pub trace: Option<String>,
}

/// A run, its epoch and sequence number and all its instances, from one snapshot.
#[derive(Debug, Clone)]
pub struct RunHead {
    /// What is fixed.
    pub facts: RunFacts,
    /// Its last event.
    pub seq: i64,
    /// Its epoch.
    pub epoch: i64,
    /// Its instances, in order.
    pub instances: Vec<InstanceRow>,
    /// By the database's clock.
    pub now: DateTime<Utc>,
}

/// One move to commit.
#[derive(Debug, Clone)]
pub struct MoveRow {
    /// The run.
    pub run: RunKey,
    /// The task.
    pub idx: i32,
    /// The mapped instance.
    pub map_index: i32,
    /// The state that the planner saw: the move is dropped when it is another by now.
    pub from: &'static str,
    /// The state to write.
    pub to: &'static str,
    /// A short word.
    pub reason: Option<&'static str>,
    /// A sentence.
    pub message: Option<String>,
    /// For `deferred`: its queue, for people.
    pub queue: String,
    /// For `scheduled`: where it waits.
    pub pool: String,
    /// For `scheduled`: its priority.
    pub prio: i32,
    /// For `scheduled`: the slots it takes.
    pub slots: i32,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The run.
    pub run: RunKey,
    /// `success` or `failed`.
    pub state: &'static str,
    /// Why, when it failed.
    pub reason: Option<String>,
}

/// What one planning decided, for several runs.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Run, epoch and the last event that the planner saw.
    pub runs: Vec<(RunKey, i64, i64)>,
    /// Moves of instances.
    pub moves: Vec<MoveRow>,
    /// Runs that end.
    pub ends: Vec<RunEnd>,
    /// Other runs that must be looked at: those that wait for one of these as their past.
    pub poke: Vec<RunKey>,
}

/// What became of a run in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The run.
    pub run: RunKey,
    /// Its last event before the commit: when it is what the planner saw, the cache is complete up to `seq`.
    pub base: i64,
    /// Its last event after the commit.
    pub seq: i64,
    /// False: the epoch had changed and nothing was written; load the run again.
    pub fresh: bool,
}

impl Store {
    /// What happened to cached runs since they were last seen, with the database's clock. `seen` is (run, seq).
    pub async fn plan_load(&self, seen: &[(RunKey, i64)]) -> Result<(DateTime<Utc>, Vec<RunLoad>), Error> {
        let runs: Vec<i64> = seen.iter().map(|s| s.0.0).collect();
        let seqs: Vec<i64> = seen.iter().map(|s| s.1).collect();
        let rows = sqlx::query!(
            r#"select now() as "now!", s.run_id, s.seq as head, s.epoch, e.seq as "event?", e.idx as "idx?", e.map_index as "map_index?",
                      e.attempt as "attempt?", e.state
               from unnest($1::bigint[], $2::bigint[]) as k (run_id, seen)
               join run_seq s on s.run_id = k.run_id
               left join lateral (select * from event where run_id = k.run_id and seq > k.seen order by seq limit 4096) e on true
               order by s.run_id, e.seq"#,
            &runs,
            &seqs
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("plan_load"))?;
        let mut now = DateTime::UNIX_EPOCH;
        let mut loads: Vec<RunLoad> = Vec::with_capacity(seen.len());
        for row in rows {
            now = row.now;
            let run = RunKey(row.run_id);
            if loads.last().is_none_or(|l| l.run != run) {
                loads.push(RunLoad { run, seq: row.head, epoch: row.epoch, events: Vec::new() });
            }
            if let (Some(load), Some(seq), Some(idx), Some(map_index), Some(attempt)) =
                (loads.last_mut(), row.event, row.idx, row.map_index, row.attempt)
            {
                load.events.push(EventRow { seq, idx, map_index, attempt, state: row.state });
            }
        }
        Ok((now, loads))
    }

    /// A run with everything, from one snapshot. `None`: there is no such run.
    pub async fn run_load(&self, run: RunKey) -> Result<Option<RunHead>, Error> {
        let mut tx = self.pool.begin_with("begin isolation level repeatable read read only").await.map_err(Error::of("run_load"))?;
        let row = sqlx::query!(
            r#"select now() as "now!", s.seq, s.epoch, r.dag_id, r.run_id, r.run_type, r.version_id, r.state, r.logical_date, r.data_interval_start,
                      r.data_interval_end, r.run_after, r.start_date, r.conf, r.triggering_user_name, r.attempt_base, r.trace
               from run r join run_seq s on s.run_id = r.id where r.id = $1"#,
            run.0
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::of("run_load"))?;
        let Some(row) = row else { return Ok(None) };
        let instances = sqlx::query_as!(
            InstanceRow,
            "select idx, map_index, state, attempt, not_before from task_instance where run_id = $1 order by idx, map_index",
            run.0
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(Error::of("run_load"))?;
        tx.commit().await.map_err(Error::of("run_load"))?;
        Ok(Some(RunHead {
            facts: RunFacts {
                run,
                dag_id: row.dag_id,
                run_id: row.run_id,
                run_type: row.run_type,
                version_id: row.version_id,
                state: row.state,
                logical_date: row.logical_date,
                data_interval_start: row.data_interval_start,
                data_interval_end: row.data_interval_end,
                run_after: row.run_after,
                start_date: row.start_date,
                conf: row.conf,
                triggering_user: row.triggering_user_name,
                attempt_base: row.attempt_base,
                trace: row.trace,
            },
            seq: row.seq,
            epoch: row.epoch,
            instances,
            now: row.now,
        }))
    }

    /// Runs that must be planned, by their durable mark: the safety net for every hint that was lost.
    pub async fn runs_dirty(&self, limit: i64) -> Result<Vec<RunKey>, Error> {
        let rows = sqlx::query_scalar!("select run_id from run_seq where seq > planned order by run_id limit $1", limit)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("runs_dirty"))?;
        Ok(rows.into_iter().map(RunKey).collect())
    }

    /// The run of the same DAG right before this one by logical date, with its version and the states of its instances, for `depends_on_past`.
    pub async fn run_before(&self, run: RunKey) -> Result<Option<(RunKey, i64, Vec<InstanceRow>)>, Error> {
        let before = sqlx::query!(
            r#"select b.id, b.version_id from run r join run b on b.dag_id = r.dag_id
               where r.id = $1 and coalesce(b.logical_date, b.run_after) < coalesce(r.logical_date, r.run_after)
               order by coalesce(b.logical_date, b.run_after) desc limit 1"#,
            run.0
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("run_before"))?;
        let Some(before) = before else { return Ok(None) };
        let instances = sqlx::query_as!(
            InstanceRow,
            "select idx, map_index, state, attempt, not_before from task_instance where run_id = $1 order by idx, map_index",
            before.id
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("run_before"))?;
        Ok(Some((RunKey(before.id), before.version_id, instances)))
    }

    /// The active run right after this one by logical date: what waits for this one as its past.
    pub async fn run_after(&self, run: RunKey) -> Result<Option<RunKey>, Error> {
        let id = sqlx::query_scalar!(
            r#"select a.id from run r join run a on a.dag_id = r.dag_id
               where r.id = $1 and coalesce(a.logical_date, a.run_after) > coalesce(r.logical_date, r.run_after) and a.state = 'running'
               order by coalesce(a.logical_date, a.run_after) limit 1"#,
            run.0
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("run_after"))?;
        Ok(id.map(RunKey))
    }

    /// Commits what the planner decided. See `plan_commit` in the migrations.
    pub async fn plan_commit(&self, commit: &Commit) -> Result<Vec<Committed>, Error> {
        let m = &commit.moves;
        let rows = sqlx::query!(
            r#"select r_run as "run!", r_base as "base!", r_seq as "seq!", r_fresh as "fresh!"
               from plan_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"#,
            &commit.runs.iter().map(|r| r.0.0).collect::<Vec<_>>(),
            &commit.runs.iter().map(|r| r.1).collect::<Vec<_>>(),
            &commit.runs.iter().map(|r| r.2).collect::<Vec<_>>(),
            &m.iter().map(|m| m.run.0).collect::<Vec<_>>(),
            &m.iter().map(|m| m.idx).collect::<Vec<_>>(),
            &m.iter().map(|m| m.map_index).collect::<Vec<_>>(),
            &m.iter().map(|m| m.from.to_owned()).collect::<Vec<_>>(),
            &m.iter().map(|m| m.to.to_owned()).collect::<Vec<_>>(),
            &m.iter().map(|m| m.reason.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
            &m.iter().map(|m| m.message.clone()).collect::<Vec<_>>() as &[Option<String>],
            &m.iter().map(|m| m.pool.clone()).collect::<Vec<_>>(),
            &m.iter().map(|m| m.prio).collect::<Vec<_>>(),
            &m.iter().map(|m| m.slots).collect::<Vec<_>>(),
            &commit.ends.iter().map(|e| e.run.0).collect::<Vec<_>>(),
            &commit.ends.iter().map(|e| e.state.to_owned()).collect::<Vec<_>>(),
            &commit.ends.iter().map(|e| e.reason.clone()).collect::<Vec<_>>() as &[Option<String>],
            &commit.poke.iter().map(|r| r.0).collect::<Vec<_>>(),
            &m.iter().map(|m| m.queue.clone()).collect::<Vec<_>>(),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("plan_commit"))?;
        Ok(rows.into_iter().map(|r| Committed { run: RunKey(r.run), base: r.base, seq: r.seq, fresh: r.fresh }).collect())
    }
}
