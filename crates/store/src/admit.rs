//! Admission: from ready to queued, within the limits.

use chrono::{DateTime, Utc};
use updraft_model::{AttemptKey, InstanceKey, RunKey};

use crate::connect::Store;
use crate::error::Error;

/// Runs of which [`Store::admit_heads`] shows the heads.
pub const HEAD_RUNS: usize = 16;
/// Heads that it shows of each.
pub const HEADS_EACH: usize = 64;

/// One instance that waits for admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its run.
    pub run: RunKey,
    /// The task.
    pub idx: i32,
    /// The mapped instance.
    pub map_index: i32,
    /// Its latest attempt; the next one is one more.
    pub attempt: i32,
    /// Failures of its own code so far.
    pub user_failures: i32,
    /// Failures of the infrastructure so far.
    pub infra_failures: i32,
    /// Its priority.
    pub prio: i32,
    /// The slots that it takes.
    pub slots: i32,
    /// What its run has been given so far: the least goes first.
    pub vtime: i64,
    /// Since when it waits.
    pub since: DateTime<Utc>,
}

/// The heads of a pool.
#[derive(Debug, Clone, Default)]
pub struct Heads {
    /// Slots that are free now; more than anyone needs when the pool has no limit.
    pub free: i64,
    /// Fewest `vtime` first, by priority inside a run.
    pub heads: Vec<Head>,
}

/// An instance to admit, rendered. In the order of admission.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The attempt that it will be.
    pub key: AttemptKey,
    /// Its queue.
    pub queue: String,
    /// JSON of its [`updraft_model::LaunchSpec`], with its notes.
    pub launch: String,
    /// Retries that are left if this attempt fails by the user's code, and the delay before the next.
    pub user_retries_left: i32,
    /// See `user_retries_left`.
    pub user_retry_delay_ms: i64,
    /// The same for the infrastructure.
    pub infra_retries_left: i32,
    /// See `infra_retries_left`.
    pub infra_retry_delay_ms: i64,
    /// Most tasks of its run at once.
    pub run_limit: Option<i32>,
    /// Its DAG.
    pub dag_id: String,
    /// Most tasks of its DAG at once.
    pub dag_limit: Option<i32>,
    /// Most instances of its task at once.
    pub task_limit: Option<i32>,
}

/// An attempt that was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The attempt.
    pub key: AttemptKey,
    /// Its queue.
    pub queue: String,
    /// The run's last event before and after.
    pub base: i64,
    /// See `base`.
    pub seq: i64,
}

impl Store {
    /// The heads of a pool: of up to [`HEAD_RUNS`] runs, up to [`HEADS_EACH`] instances. Work is bounded by these, not by what waits.
    ///
    /// None: there is no such pool. While there is a maintenance there are no heads.
    ///
    /// Both bounds stand in the text of the statement: as arguments they are unknown to a generic plan, which then sorts all that waits.
    pub async fn admit_heads(&self, pool: &str) -> Result<Option<Heads>, Error> {
        let rows = sqlx::query!(
            r#"with p as materialized (
                   select name, slots,
                       case when slots < 0 then 1000000
                            else slots - coalesce((select sum(l.slots) from live_attempt l where l.pool = pool.name), 0) end as free
                   from pool where name = $1)
               select p.free as "free!",
                      h.run_id as "run_id?", r.idx as "idx?", r.map_index as "map_index?", r.prio as "prio?", r.slots as "slots?", h.vtime as "vtime?",
                      r.since as "since?", t.attempt as "attempt?", t.user_failures as "user_failures?", t.infra_failures as "infra_failures?"
               from p
               left join lateral (
                   select run_id, vtime from pool_run where pool = p.name and not parked
                       and (select maintenance_since from installation) is null
                       and exists (select 1 from ready where pool = p.name and run_id = pool_run.run_id and (p.slots < 0 or slots <= p.slots))
                   order by vtime, run_id limit 16) h on true
               left join lateral (
                   select * from ready where pool = p.name and run_id = h.run_id and (p.slots < 0 or slots <= p.slots)
                   order by prio desc, idx, map_index limit 64) r on true
               left join task_instance t on t.run_id = h.run_id and t.idx = r.idx and t.map_index = r.map_index
               order by h.vtime, h.run_id, r.prio desc, r.idx, r.map_index"#,
            pool
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("admit_heads"))?;
        let Some(first) = rows.first() else { return Ok(None) };
        let free = first.free;
        let heads = rows
            .into_iter()
            .filter_map(|row| {
                Some(Head {
                    run: RunKey(row.run_id?),
                    idx: row.idx?,
                    map_index: row.map_index?,
                    attempt: row.attempt?,
                    user_failures: row.user_failures?,
                    infra_failures: row.infra_failures?,
                    prio: row.prio?,
                    slots: row.slots?,
                    vtime: row.vtime?,
                    since: row.since?,
                })
            })
            .collect();
        Ok(Some(Heads { free, heads }))
    }

    /// Admits candidates in their order as far as the limits allow (I9). Those that are left out stay ready.
    pub async fn admit_commit(&self, pool: &str, candidates: &[Candidate]) -> Result<Vec<Admission>, Error> {
        let c = candidates;
        let rows = sqlx::query!(
            r#"select r_run as "run!", r_idx as "idx!", r_map as "map!", r_attempt as "attempt!", r_queue as "queue!", r_base as "base!", r_seq as "seq!"
               from admit_commit($1, now(), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"#,
            pool,
            &c.iter().map(|c| c.key.instance.run.0).collect::<Vec<_>>(),
            &c.iter().map(|c| c.key.instance.idx).collect::<Vec<_>>(),
            &c.iter().map(|c| c.key.instance.map_index).collect::<Vec<_>>(),
            &c.iter().map(|c| c.key.attempt).collect::<Vec<_>>(),
            &c.iter().map(|c| c.queue.clone()).collect::<Vec<_>>(),
            &c.iter().map(|c| c.launch.clone()).collect::<Vec<_>>(),
            &c.iter().map(|c| c.user_retries_left).collect::<Vec<_>>(),
            &c.iter().map(|c| c.user_retry_delay_ms).collect::<Vec<_>>(),
            &c.iter().map(|c| c.infra_retries_left).collect::<Vec<_>>(),
            &c.iter().map(|c| c.infra_retry_delay_ms).collect::<Vec<_>>(),
            &c.iter().map(|c| c.run_limit).collect::<Vec<_>>() as &[Option<i32>],
            &c.iter().map(|c| c.dag_id.clone()).collect::<Vec<_>>(),
            &c.iter().map(|c| c.dag_limit).collect::<Vec<_>>() as &[Option<i32>],
            &c.iter().map(|c| c.task_limit).collect::<Vec<_>>() as &[Option<i32>],
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("admit_commit"))?;
        Ok(rows
            .into_iter()
            .map(|r| Admission {
                key: AttemptKey { instance: InstanceKey { run: RunKey(r.run), idx: r.idx, map_index: r.map }, attempt: r.attempt },
                queue: r.queue,
                base: r.base,
                seq: r.seq,
            })
            .collect())
    }

    /// Fails an instance that cannot be rendered. False: it is no longer waiting.
    pub async fn admit_reject(&self, key: InstanceKey, reason: &str, message: &str) -> Result<bool, Error> {
        let done = sqlx::query_scalar!("select admit_reject($1, $2, $3, $4, $5)", key.run.0, key.idx, key.map_index, reason, message)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("admit_reject"))?;
        Ok(done.unwrap_or(false))
    }

    /// The pools in which something waits. Unparks whatever is parked: the safety net for a limit that was lifted just while it was met.
    pub async fn pools_unpark(&self) -> Result<Vec<String>, Error> {
        sqlx::query_scalar!(
            r#"with p as materialized (select pool, run_id from pool_run where parked order by pool, run_id for no key update),
                    u as (update pool_run h set parked = false from p where h.pool = p.pool and h.run_id = p.run_id)
               select distinct pool from pool_run"#
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("pools_unpark"))
    }

    /// The XCom values of a run: (idx, key, value).
    pub async fn xcoms_of(&self, run: RunKey) -> Result<Vec<(i32, String, serde_json::Value)>, Error> {
        let rows = sqlx::query!("select idx, key, value from xcom where run_id = $1 and map_index = -1", run.0)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("xcoms_of"))?;
        Ok(rows.into_iter().map(|r| (r.idx, r.key, r.value)).collect())
    }
}
