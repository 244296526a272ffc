//! What `updraft doctor` asks the database: the invariants of `model::invariants` that rows can break, and what stands still.
//!
//! Each [`Check`] is one statement that returns what is wrong, worded for people, and nothing when all is well.

use crate::{Error, Store};

/// How bad it is when a check finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody should look, nothing is broken.
    Warn,
    /// A promise is broken, or nothing moves.
    Fail,
}

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Short and stable.
    pub id: &'static str,
    /// In words.
    pub name: &'static str,
    /// When it finds something.
    pub severity: Severity,
    /// What to do then.
    pub remedy: &'static str,
    sql: &'static str,
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct Found {
    /// How many.
    pub count: i64,
    /// The first few.
    pub examples: Vec<String>,
}

/// All checks, in the order in which they are shown.
pub const CHECKS: &[Check] = &[
    Check {
        id: "runs-planned",
        name: "every running run has been planned",
        severity: Severity::Fail,
        remedy: "is a scheduler running? its log says why it does not plan; a restart takes up where it stopped",
        sql: "select r.dag_id || ' ' || r.run_id || ': ' || (s.seq - s.planned) || ' events since ' || e.at from run_seq s \
              join run r on r.id = s.run_id and r.state = 'running' join event e on e.run_id = s.run_id and e.seq = s.planned + 1 \
              where s.seq > s.planned and e.at < now() - interval '60 seconds'",
    },
    Check {
        id: "due-taken",
        name: "nothing is overdue",
        severity: Severity::Fail,
        remedy: "is a scheduler running? retries and time limits wait for it",
        sql: "select d.kind || ' of run ' || coalesce(r.dag_id || ' ' || r.run_id, d.run_id::text) || ' was due at ' || d.at from due d \
              left join run r on r.id = d.run_id where d.at < now() - interval '60 seconds' and coalesce(r.state, '') in ('queued', 'running')",
    },
    Check {
        id: "deferred-looked",
        name: "what is deferred is looked at, and only that",
        severity: Severity::Fail,
        remedy: "is a scheduler running? its log says why it does not look; a row of nobody goes with its run",
        sql: "select coalesce(r.dag_id || ' ' || r.run_id, coalesce(d.run_id, t.run_id)::text) || ' task ' || coalesce(d.idx, t.idx) || ': ' || \
              case when d.run_id is null then 'nobody will look at it' when t.state is distinct from 'deferred' then 'it is ' || coalesce(t.state, 'gone') \
                   else 'it was due at ' || d.at end \
              from deferred d full join (select * from task_instance where state = 'deferred' and run_id in (select id from run where state = 'running')) t \
                  on t.run_id = d.run_id and t.idx = d.idx and t.map_index = d.map_index \
              left join run r on r.id = coalesce(d.run_id, t.run_id) \
              where d.run_id is null or d.at < now() - interval '60 seconds' \
                  or not exists (select 1 from task_instance i where i.run_id = d.run_id and i.idx = d.idx and i.map_index = d.map_index and i.state = 'deferred')",
    },
    Check {
        id: "dags-due",
        name: "no scheduled run is late",
        severity: Severity::Warn,
        remedy: "is a scheduler running? it creates the run as soon as it is back",
        sql: "select d.dag_id || ': the run for ' || d.next_logical_date || ' should exist since ' || d.next_run_after from dag d \
              where not d.is_paused and not d.is_stale and not d.runs_capped and d.next_run_after < now() - interval '60 seconds'",
    },
    Check {
        id: "attempts-watched",
        name: "every running attempt has a worker that watches it",
        severity: Severity::Fail,
        remedy: "start a worker with the same runner (and, for the process runner, on the same host): it adopts the attempts",
        sql: "select r.dag_id || ' ' || r.run_id || ' task ' || l.idx || ' attempt ' || l.attempt || ': ' || \
              case when g.id is null then 'its lease group is gone' when g.owner is null then 'handed over, nobody took it' \
                   when w.id is null then 'its worker is gone' else 'its worker is silent since ' || w.last_heartbeat end \
              from live_attempt l join run r on r.id = l.run_id left join lease_group g on g.id = l.group_id left join worker w on w.id = g.owner \
              where l.state = 'running' and (w.id is null or w.last_heartbeat < now() - interval '60 seconds')",
    },
    Check {
        id: "attempts-claimed",
        name: "no queued attempt waits beside an idle worker",
        severity: Severity::Warn,
        remedy: "the worker's log says why it does not take it; a worker that is full is not counted here",
        sql: "select r.dag_id || ' ' || r.run_id || ' task ' || l.idx || ': queued in ' || l.queue || ' since ' || l.queued_at from live_attempt l \
              join run r on r.id = l.run_id where l.state = 'queued' and l.queued_at < now() - interval '60 seconds' \
              and exists (select 1 from worker w where l.queue = any(w.queues) and w.last_heartbeat > now() - interval '30 seconds' and w.draining_since is null \
                          and (select count(*) from live_attempt k join lease_group g on g.id = k.group_id where g.owner = w.id) < w.concurrency)",
    },
    Check {
        id: "queues-served",
        name: "every queue that is in use has a worker",
        severity: Severity::Warn,
        remedy: "start a worker with --queues that names it, or change the task's queue; `updraft workers list` shows who drains",
        sql: "select 'queue ' || l.queue || ': ' || count(*) || ' attempts wait' from live_attempt l where l.state = 'queued' \
              and not exists (select 1 from worker w where l.queue = any(w.queues) and w.last_heartbeat > now() - interval '60 seconds' \
                              and w.draining_since is null) group by l.queue",
    },
    Check {
        id: "pools-exist",
        name: "every pool that tasks name exists",
        severity: Severity::Fail,
        remedy: "make it: updraft pools set NAME SLOTS",
        sql: "select 'pool ' || y.pool || ': ' || count(*) || ' tasks wait for it' from ready y \
              where not exists (select 1 from pool p where p.name = y.pool) group by y.pool",
    },
    Check {
        id: "I3",
        name: "no overlap: two attempts of a task never ran at once (last day)",
        severity: Severity::Fail,
        remedy: "this should be impossible: please report it with the output of `updraft tasks states`",
        sql: "select r.dag_id || ' ' || r.run_id || ' task ' || a.idx || ': attempts ' || a.attempt || ' and ' || b.attempt from attempt a \
              join attempt b on b.run_id = a.run_id and b.idx = a.idx and b.map_index = a.map_index and b.attempt > a.attempt and b.started_at < a.ended_at \
              join run r on r.id = a.run_id where a.ended_at > now() - interval '1 day' and a.started_at is not null and b.budget is distinct from 'infra'",
    },
    Check {
        id: "I4",
        name: "truthful end: every success has evidence (last day)",
        severity: Severity::Fail,
        remedy: "this should be impossible: please report it with the output of `updraft why`",
        sql: "select r.dag_id || ' ' || r.run_id || ' task ' || t.idx from run r join task_instance t on t.run_id = r.id \
              where coalesce(r.end_date, now()) > now() - interval '1 day' and t.state = 'success' and t.attempt > r.attempt_base \
              and t.reason is distinct from 'mark_success' \
              and not exists (select 1 from attempt a where a.run_id = t.run_id and a.idx = t.idx and a.map_index = t.map_index and a.state = 'success')",
    },
    Check {
        id: "I7",
        name: "no leak: a run that is over holds nothing",
        severity: Severity::Warn,
        remedy: "the worker ends what was asked to stop; if it stays, look at the worker's log",
        sql: "select r.dag_id || ' ' || r.run_id || ' task ' || l.idx || ': ended ' || r.end_date || ', attempt ' || l.attempt || ' is still ' || l.state \
              from live_attempt l join run r on r.id = l.run_id where r.state in ('success', 'failed') and r.end_date < now() - interval '60 seconds'",
    },
    Check {
        id: "I9-pools",
        name: "limits: no pool holds more than its slots",
        severity: Severity::Fail,
        remedy: "if the pool was made smaller a moment ago, it empties by itself; else please report it",
        sql: "select 'pool ' || p.name || ': ' || sum(l.slots) || ' of ' || p.slots from pool p join live_attempt l on l.pool = p.name \
              where p.slots >= 0 group by p.name, p.slots having sum(l.slots) > p.slots",
    },
    Check {
        id: "I9-runs",
        name: "limits: no DAG has more runs at once than max_active_runs",
        severity: Severity::Fail,
        remedy: "if the limit was lowered a moment ago, the runs end by themselves; else please report it",
        sql: "select d.dag_id || ': ' || count(*) || ' of ' || d.max_active_runs from dag d \
              join run r on r.dag_id = d.dag_id and r.backfill_id is null and r.state = 'running' \
              group by d.dag_id, d.max_active_runs having count(*) > d.max_active_runs",
    },
    Check {
        id: "I9-backfills",
        name: "limits: no backfill has more runs at once than its max_active_runs",
        severity: Severity::Fail,
        remedy: "this should be impossible: please report it with the output of `updraft backfill show`",
        sql: "select 'backfill ' || b.id || ' of ' || b.dag_id || ': ' || count(*) || ' of ' || b.max_active_runs from backfill b \
              join run r on r.backfill_id = b.id and r.state = 'running' group by b.id having count(*) > b.max_active_runs",
    },
    Check {
        id: "import-errors",
        name: "every DAG file can be read",
        severity: Severity::Warn,
        remedy: "updraft dags check FILE shows the line; the last good version goes on being scheduled",
        sql: "select relative_fileloc || ': ' || split_part(message, chr(10), 1) from import_error",
    },
];

impl Store {
    /// Runs one check.
    pub async fn doctor_check(&self, check: &Check) -> Result<Found, Error> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Postgres>::new("with found (what) as (");
        sql.push(check.sql).push(") select what, count(*) over () from found limit 5");
        let rows: Vec<(Option<String>, i64)> = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("doctor_check"))?;
        let count = rows.first().map_or(0, |(_, count)| *count);
        Ok(Found { count, examples: rows.into_iter().filter_map(|(what, _)| what).collect() })
    }
}
