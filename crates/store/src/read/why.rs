//! The facts behind "why isn't my task running?".

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use updraft_model::RunKey;

use crate::{Error, Store};

/// What stands around an instance.
#[derive(Debug, Clone, FromRow)]
pub struct WhyFacts {
    /// By the database's clock.
    pub now: DateTime<Utc>,
    /// Since when nothing is launched, and why.
    pub maintenance_since: Option<DateTime<Utc>>,
    /// Its reason, if somebody gave one.
    pub maintenance_reason: Option<String>,
    /// Whether the DAG is paused.
    pub dag_paused: bool,
    /// Whether its file no longer has it.
    pub dag_stale: bool,
    /// The backfill that the run belongs to.
    pub backfill_id: Option<i64>,
    /// Whether that is paused.
    pub backfill_paused: bool,
    /// The limit of the backfill, or else of the DAG.
    pub max_active_runs: i32,
    /// Runs that count to that limit and run.
    pub active_runs: i64,
    /// Attempts of the run that live.
    pub live_in_run: i64,
    /// Attempts of the DAG and task that live.
    pub live_of_task: i64,
    /// Events that the planner has not looked at.
    pub unplanned: i64,
    /// Schedulers that said something within 30 seconds.
    pub schedulers: i64,
    /// Workers that said something within 30 seconds and serve the instance's queue, or any queue while it has none.
    pub workers: i64,
    /// Those that serve it and drain: they count to none of these.
    pub draining: i64,
    /// Room that those workers have.
    pub worker_room: i64,
    /// Instances that are ready for the same pool and come before it in its run.
    pub ahead: i64,
    /// When the watcher of its live attempt was last heard.
    pub watcher_heartbeat: Option<DateTime<Utc>>,
    /// Host of that watcher.
    pub watcher_host: Option<String>,
    /// Where its live attempt stands, in the runner's words, before the command runs.
    pub detail: Option<String>,
}

/// A neighbour's state.
#[derive(Debug, Clone, FromRow)]
pub struct NeighbourRow {
    /// Position in the version.
    pub idx: i32,
    /// -1 when it is not mapped.
    pub map_index: i32,
    /// The state, `running` included.
    pub state: String,
}

impl Store {
    /// The facts around an instance; `queue` and `pool` are its task's.
    pub async fn why_facts(&self, run: RunKey, idx: i32, map_index: i32, queue: &str, pool: &str) -> Result<Option<WhyFacts>, Error> {
        sqlx::query_as(
            "with w as ( \
                 select w.id, w.concurrency, (select count(*) from live_attempt k join lease_group g on g.id = k.group_id where g.owner = w.id) as used \
                 from worker w where w.last_heartbeat > now() - interval '30 seconds' and w.draining_since is null and $4 = any(w.queues)) \
             select now() as now, i.maintenance_since, i.maintenance_reason, coalesce(d.is_paused, true) as dag_paused, coalesce(d.is_stale, true) as dag_stale, \
                 r.backfill_id, coalesce(b.is_paused, false) as backfill_paused, \
                 coalesce(b.max_active_runs, d.max_active_runs, 0) as max_active_runs, \
                 (select count(*) from run o where o.dag_id = r.dag_id and o.backfill_id is not distinct from r.backfill_id and o.state = 'running') as active_runs, \
                 (select count(*) from live_attempt l where l.run_id = r.id) as live_in_run, \
                 (select count(*) from live_attempt l join run o on o.id = l.run_id where o.dag_id = r.dag_id and l.idx = $2) as live_of_task, \
                 coalesce((select s.seq - s.planned from run_seq s where s.run_id = r.id), 0) as unplanned, \
                 (select count(*) from scheduler where last_heartbeat > now() - interval '30 seconds') as schedulers, \
                 (select count(*) from w) as workers, \
                 (select count(*) from worker o where o.last_heartbeat > now() - interval '30 seconds' and o.draining_since is not null \
                     and $4 = any(o.queues)) as draining, \
                 coalesce((select sum(greatest(w.concurrency - w.used, 0)) from w), 0)::int8 as worker_room, \
                 coalesce((select count(*) from ready me join ready o on o.pool = me.pool and o.run_id = me.run_id \
                     and (o.prio, -o.idx, -o.map_index) > (me.prio, -me.idx, -me.map_index) \
                     where me.run_id = r.id and me.idx = $2 and me.map_index = $3 and me.pool = $5), 0) as ahead, \
                 g.last_heartbeat as watcher_heartbeat, g.host as watcher_host, l.detail as detail \
             from run r cross join installation i left join dag d on d.dag_id = r.dag_id left join backfill b on b.id = r.backfill_id \
                 left join live_attempt l on l.run_id = r.id and l.idx = $2 and l.map_index = $3 \
                 left join lateral (select w.last_heartbeat, w.host from lease_group lg join worker w on w.id = lg.owner where lg.id = l.group_id) g on true \
             where r.id = $1",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .bind(queue)
        .bind(pool)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("why_facts"))
    }

    /// States of some tasks of a run.
    pub async fn neighbour_states(&self, run: RunKey, positions: &[i32]) -> Result<Vec<NeighbourRow>, Error> {
        sqlx::query_as(
            "select t.idx, t.map_index, case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end as state \
             from task_instance t left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index \
             where t.run_id = $1 and t.idx = any($2) order by t.idx, t.map_index",
        )
        .bind(run.0)
        .bind(positions)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("neighbour_states"))
    }
}
