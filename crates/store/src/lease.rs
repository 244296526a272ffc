//! Lease groups: who watches which attempts. A group is owned through one row; taking it over is one compare-and-set, however many
//! attempts it holds.
//!
//! Nobody compares clocks. An observer calls an owner dead only when it saw the same `beat` for a full time to live of its own clock
//! while its own heartbeats went through (H5).

use chrono::{DateTime, Utc};
use updraft_model::{AttemptKey, InstanceKey, RunKey};
use uuid::Uuid;

use crate::connect::Store;
use crate::error::Error;

/// Of which version this process is: shown beside it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A lease group as its row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its id.
    pub id: Uuid,
    /// The worker that owns it; none: handed over.
    pub owner: Option<Uuid>,
    /// How often it changed hands.
    pub epoch: i64,
    /// Moves while the owner lives.
    pub beat: i64,
    /// Where its attempts run, for runners that only that host can adopt.
    pub host: String,
}

/// What a heartbeat tells a worker.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// The groups that are still mine, with their epochs.
    pub groups: Vec<(Uuid, i64)>,
    /// My attempts that somebody wants stopped.
    pub intents: Vec<AttemptKey>,
    /// Somebody wants that I take nothing new.
    pub draining: bool,
}

/// A worker, for its row.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// Its id, new at each start.
    pub id: Uuid,
    /// Its host.
    pub host: String,
    /// Its process.
    pub pid: i32,
    /// `process` or `kubernetes`.
    pub runner: String,
    /// The queues that it takes from.
    pub queues: Vec<String>,
    /// Most attempts that it watches at once.
    pub concurrency: i32,
}

/// A scheduler's heartbeat.
#[derive(Debug, Clone)]
pub struct SchedulerBeat<'a> {
    /// Its id, new at each start.
    pub id: Uuid,
    /// Its host.
    pub host: &'a str,
    /// Its process.
    pub pid: i32,
    /// How its DAG folders stand.
    pub dags_status: &'a serde_json::Value,
    /// How many variables and connections it sees outside of the database, without a value.
    pub secrets_status: &'a serde_json::Value,
}

impl Store {
    /// Writes or refreshes the row of a worker.
    pub async fn worker_register(&self, worker: &WorkerRow) -> Result<(), Error> {
        sqlx::query!(
            r#"insert into worker (id, host, pid, runner, queues, concurrency, version) values ($1, $2, $3, $4, $5, $6, $7)
               on conflict (id) do update set last_heartbeat = now()"#,
            worker.id,
            worker.host,
            worker.pid,
            worker.runner,
            &worker.queues,
            worker.concurrency,
            VERSION
        )
        .execute(&self.pool)
        .await
        .map_err(Error::of("worker_register"))?;
        Ok(())
    }

    /// Says that a worker has left for good.
    pub async fn worker_leave(&self, id: Uuid) -> Result<(), Error> {
        sqlx::query!("update worker set state = 'stopped', last_heartbeat = now() where id = $1", id)
            .execute(&self.pool)
            .await
            .map_err(Error::of("worker_leave"))?;
        Ok(())
    }

    /// A new group, owned by `owner`.
    pub async fn group_create(&self, owner: Uuid, host: &str) -> Result<GroupRow, Error> {
        sqlx::query_as!(
            GroupRow,
            "insert into lease_group (id, owner, host) values (gen_random_uuid(), $1, $2) returning id, owner, epoch, beat, host",
            owner,
            host
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("group_create"))
    }

    /// Moves the beat of all my groups and says which are still mine, and which of my attempts have an intent.
    pub async fn worker_beat(&self, owner: Uuid) -> Result<Beat, Error> {
        let rows = sqlx::query!(
            r#"with w as (update worker set last_heartbeat = now() where id = $1 returning draining_since is not null as draining),
               g as (update lease_group set beat = beat + 1 where owner = $1 returning id, epoch)
               select g.id as "id?", g.epoch as "epoch?", coalesce(w.draining, false) as "draining!"
               from (select 1) one left join w on true left join g on true"#,
            owner
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("worker_beat"))?;
        let draining = rows.iter().any(|row| row.draining);
        let groups = rows.into_iter().filter_map(|row| row.id.zip(row.epoch)).collect();
        let intents = self.intents_of(owner).await?;
        Ok(Beat { groups, intents, draining })
    }

    /// My attempts that somebody wants stopped.
    pub async fn intents_of(&self, owner: Uuid) -> Result<Vec<AttemptKey>, Error> {
        let rows = sqlx::query!(
            r#"select l.run_id, l.idx, l.map_index, l.attempt
               from lease_group g join live_attempt l on l.group_id = g.id
               join task_instance t on t.run_id = l.run_id and t.idx = l.idx and t.map_index = l.map_index
               where g.owner = $1 and l.state = 'running' and t.intent is not null"#,
            owner
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("intents_of"))?;
        Ok(rows
            .into_iter()
            .map(|r| AttemptKey { instance: InstanceKey { run: RunKey(r.run_id), idx: r.idx, map_index: r.map_index }, attempt: r.attempt })
            .collect())
    }

    /// Groups that somebody else owns, or nobody, and that hold attempts. Only of one host when its runner needs that.
    pub async fn groups_foreign(&self, me: Uuid, host: Option<&str>) -> Result<Vec<GroupRow>, Error> {
        sqlx::query_as!(
            GroupRow,
            r#"select id, owner, epoch, beat, host from lease_group g
               where owner is distinct from $1 and ($2::text is null or host = $2)
                 and exists (select 1 from live_attempt l where l.group_id = g.id)"#,
            me,
            host
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("groups_foreign"))
    }

    /// Takes a group over, if it still stands exactly as it was seen, or if I took it from there before and did not hear of it: it may be
    /// asked again until it answers. Its attempts come with it; nothing of them is touched.
    pub async fn group_adopt(&self, seen: &GroupRow, me: Uuid) -> Result<Option<GroupRow>, Error> {
        sqlx::query_as!(
            GroupRow,
            r#"update lease_group set owner = $1, epoch = $3 + 1::bigint, beat = 0
               where id = $2 and (epoch = $3 and beat = $4 or epoch = $3 + 1::bigint and owner = $1)
               returning id, owner, epoch, beat, host"#,
            me,
            seen.id,
            seen.epoch,
            seen.beat
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("group_adopt"))
    }

    /// Ends the epoch of a group of mine, after a claim whose answer was lost: what it claimed is there to be read then, and what of it has
    /// not reached the database yet claims nothing any more. May be asked again until it answers. `None`: the group is not mine.
    pub async fn group_renew(&self, group: &GroupRow, me: Uuid) -> Result<Option<i64>, Error> {
        sqlx::query_scalar!(
            "update lease_group set epoch = $3 + 1::bigint where id = $1 and owner = $2 and epoch in ($3, $3 + 1::bigint) returning epoch",
            group.id,
            me,
            group.epoch
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("group_renew"))
    }

    /// Hands all my groups over: the next worker need not wait for a time to live. Empty ones go away.
    pub async fn groups_hand_over(&self, me: Uuid) -> Result<(), Error> {
        sqlx::query!("update lease_group set owner = null where owner = $1", me)
            .execute(&self.pool)
            .await
            .map_err(Error::of("groups_hand_over"))?;
        self.groups_prune().await
    }

    /// Removes groups that nobody owns and that hold nothing.
    pub async fn groups_prune(&self) -> Result<(), Error> {
        sqlx::query!("select groups_prune()").execute(&self.pool).await.map_err(Error::of("groups_prune"))?;
        Ok(())
    }

    /// Writes or refreshes the row of a scheduler. Returns the database's clock.
    pub async fn scheduler_beat(&self, beat: &SchedulerBeat<'_>) -> Result<DateTime<Utc>, Error> {
        sqlx::query_scalar!(
            r#"insert into scheduler (id, host, pid, dags_status, secrets_status, version) values ($1, $2, $3, $4, $5, $6)
               on conflict (id) do update set last_heartbeat = now(), dags_status = $4, secrets_status = $5 returning now() as "now!""#,
            beat.id,
            beat.host,
            beat.pid,
            beat.dags_status,
            beat.secrets_status,
            VERSION
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("scheduler_beat"))
    }

    /// Forgets a scheduler that has left.
    pub async fn scheduler_leave(&self, id: Uuid) -> Result<(), Error> {
        sqlx::query!("delete from scheduler where id = $1", id).execute(&self.pool).await.map_err(Error::of("scheduler_leave"))?;
        Ok(())
    }
}
