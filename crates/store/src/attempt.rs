//! The life of an attempt as the worker writes it: claim, bind, finish.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_model::end::values_by_key;
use updraft_model::{AttemptKey, Evidence, InstanceKey, LaunchNotes, LaunchSpec, RunKey, Verdict};
use uuid::Uuid;

use crate::connect::Store;
use crate::error::Error;

/// Proof of a claim: only [`Store::attempts_claim`] and adoption make one, and finishing consumes it.
///
/// ```compile_fail
/// // It cannot be made by hand:
/// let forged = updraft_store::RunningAttempt { key: todo!(), launch: todo!() };
/// ```
/// ```compile_fail
/// // … nor be finished twice:
/// fn twice(attempt: updraft_store::RunningAttempt, evidence: updraft_model::Evidence) {
///     let one = attempt.finish(evidence.clone());
///     let two = attempt.finish(evidence);
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct RunningAttempt {
    key: AttemptKey,
    launch: LaunchSpec,
    notes: LaunchNotes,
    queued_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    group: Uuid,
    bound: Option<String>,
}

impl RunningAttempt {
    /// Which attempt.
    pub fn key(&self) -> AttemptKey {
        self.key
    }
    /// What to start.
    pub fn launch(&self) -> &LaunchSpec {
        &self.launch
    }
    /// What the scheduler noted beside it.
    pub fn notes(&self) -> &LaunchNotes {
        &self.notes
    }
    /// When it was queued.
    pub fn queued_at(&self) -> DateTime<Utc> {
        self.queued_at
    }
    /// When it was claimed.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.started_at
    }
    /// The lease group that it was claimed into.
    pub fn group(&self) -> Uuid {
        self.group
    }
    /// The object that was bound to it, as it stood when this was read.
    pub fn bound(&self) -> Option<&str> {
        self.bound.as_deref()
    }
    /// Its end. The verdict follows from the evidence and nothing else (I4).
    pub fn finish(self, evidence: Evidence) -> Finished {
        let verdict = updraft_model::end::verdict_with(&evidence.facts, &self.launch.skip_on_exit_code, &self.launch.final_exit_code);
        Finished { attempt: self, evidence, verdict }
    }
}

/// A claimed attempt with its end, ready to be written.
#[derive(Debug)]
pub struct Finished {
    attempt: RunningAttempt,
    evidence: Evidence,
    verdict: Verdict,
}

impl Finished {
    /// Which attempt.
    pub fn key(&self) -> AttemptKey {
        self.attempt.key
    }
    /// What its end means.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
    /// The attempt that ended.
    pub fn attempt(&self) -> &RunningAttempt {
        &self.attempt
    }
    /// What proves its end.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// What a claim gave.
#[derive(Debug)]
pub enum Claimed {
    /// These attempts are mine now.
    Attempts(Vec<RunningAttempt>),
    /// The lease group is no longer mine: make another.
    GroupLost,
    /// Somebody wants that this worker takes nothing new. [`crate::Beat::draining`] says when that is over.
    Draining,
}

/// What became of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// This object is bound to the attempt, now or before: it may start.
    Yes,
    /// The attempt is over, or another object is bound to it. Both are true for ever: remove this one.
    Refused,
    /// Somebody wants the attempt stopped, and nothing of it has started: remove this one, then write the end.
    Unwanted,
    /// Another worker has adopted the attempt and nothing is bound yet. It may be about to bind this very object: walk away, touch nothing.
    NotMine,
}

/// What became of a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishResult {
    /// It was written.
    Finished,
    /// Somebody had written it before: the same evidence, so all is well.
    Already,
    /// There is no such attempt: its run was deleted.
    Unknown,
    /// Another object is bound to it: this one's end says nothing about it.
    Refused,
}

/// The outcome of one finish.
#[derive(Debug, Clone)]
pub struct FinishOutcome {
    /// Which attempt.
    pub key: AttemptKey,
    /// What became of it.
    pub result: FinishResult,
    /// The state of the instance afterwards.
    pub state: String,
    /// When a retry may start.
    pub not_before: Option<DateTime<Utc>>,
}

struct ClaimRow {
    run_id: i64,
    idx: i32,
    map_index: i32,
    attempt: i32,
    launch: String,
    queued_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    group_id: Uuid,
    handle: Option<String>,
}

impl ClaimRow {
    fn into_attempt(self) -> Result<RunningAttempt, Error> {
        let key = AttemptKey {
            instance: InstanceKey { run: RunKey(self.run_id), idx: self.idx, map_index: self.map_index },
            attempt: self.attempt,
        };
        let notes = LaunchNotes::of(&self.launch);
        let launch = serde_json::from_str(&self.launch).map_err(|e| Error::BadRow {
            table: "live_attempt",
            key: format!("{}/{}/{}", self.run_id, self.idx, self.map_index),
            reason: e.to_string(),
        })?;
        let Self { queued_at, started_at, group_id: group, handle: bound, .. } = self;
        Ok(RunningAttempt { key, launch, notes, queued_at, started_at, group, bound })
    }
}

impl Store {
    /// Claims attempts for a lease group: queued becomes running. Keys that are not queued any more are passed over, which is what makes
    /// duplicates, redeliveries and stale hints harmless. Durable before it returns: only then may a hint be acknowledged.
    pub async fn attempts_claim(&self, hints: &[AttemptKey], group: Uuid, owner: Uuid, epoch: i64, host: &str) -> Result<Claimed, Error> {
        let rows = sqlx::query_as!(
            ClaimRow,
            r#"with own as materialized (
                   select id from lease_group where id = $5 and owner = $6 and epoch = $7
                       and (select maintenance_since from installation) is null
                       and not exists (select 1 from worker where worker.id = $6 and draining_since is not null) for share),
               c as materialized (
                   select l.run_id, l.idx, l.map_index from live_attempt l
                   join unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) as h (run_id, idx, map_index, attempt)
                     on l.run_id = h.run_id and l.idx = h.idx and l.map_index = h.map_index and l.attempt = h.attempt
                   where l.state = 'queued'
                   order by l.run_id, l.idx, l.map_index for no key update of l skip locked)
               update live_attempt l set state = 'running', group_id = own.id, host = $8, started_at = now()
               from c, own where l.run_id = c.run_id and l.idx = c.idx and l.map_index = c.map_index and l.state = 'queued'
               returning l.run_id, l.idx, l.map_index, l.attempt, l.launch, l.queued_at, l.started_at as "started_at!",
                   l.group_id as "group_id!", l.handle"#,
            &hints.iter().map(|h| h.instance.run.0).collect::<Vec<_>>(),
            &hints.iter().map(|h| h.instance.idx).collect::<Vec<_>>(),
            &hints.iter().map(|h| h.instance.map_index).collect::<Vec<_>>(),
            &hints.iter().map(|h| h.attempt).collect::<Vec<_>>(),
            group,
            owner,
            epoch,
            host
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("attempts_claim"))?;
        self.claimed(rows, group, owner, epoch).await
    }

    /// Claims up to `limit` attempts of some queues without a hint: what keeps work going when the broker is away or a hint was lost (H13).
    /// While there is a maintenance there is nothing to claim.
    pub async fn attempts_pull(
        &self,
        queues: &[String],
        limit: i64,
        group: Uuid,
        owner: Uuid,
        epoch: i64,
        host: &str,
    ) -> Result<Claimed, Error> {
        let rows = sqlx::query_as!(
            ClaimRow,
            r#"with own as materialized (
                   select id from lease_group where id = $3 and owner = $4 and epoch = $5
                       and (select maintenance_since from installation) is null
                       and not exists (select 1 from worker where worker.id = $4 and draining_since is not null) for share),
               c as materialized (
                   select run_id, idx, map_index from live_attempt where state = 'queued' and queue = any ($1)
                   order by prio desc, queued_at limit $2 for no key update skip locked)
               update live_attempt l set state = 'running', group_id = own.id, host = $6, started_at = now()
               from c, own where l.run_id = c.run_id and l.idx = c.idx and l.map_index = c.map_index and l.state = 'queued'
               returning l.run_id, l.idx, l.map_index, l.attempt, l.launch, l.queued_at, l.started_at as "started_at!",
                   l.group_id as "group_id!", l.handle"#,
            queues,
            limit,
            group,
            owner,
            epoch,
            host
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("attempts_pull"))?;
        self.claimed(rows, group, owner, epoch).await
    }

    async fn claimed(&self, rows: Vec<ClaimRow>, group: Uuid, owner: Uuid, epoch: i64) -> Result<Claimed, Error> {
        if rows.is_empty() {
            let found = sqlx::query!(
                r#"select exists (select 1 from lease_group where id = $1 and owner = $2 and epoch = $3) as "mine!",
                          exists (select 1 from worker where id = $2 and draining_since is not null) as "draining!""#,
                group,
                owner,
                epoch
            )
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("attempts_claim"))?;
            if !found.mine {
                return Ok(Claimed::GroupLost);
            }
            if found.draining {
                return Ok(Claimed::Draining);
            }
        }
        Ok(Claimed::Attempts(rows.into_iter().map(ClaimRow::into_attempt).collect::<Result<_, _>>()?))
    }

    /// The running attempts of a lease group that I own, for a worker that has adopted it.
    pub async fn attempts_of_group(&self, group: Uuid) -> Result<Vec<RunningAttempt>, Error> {
        let rows = sqlx::query_as!(
            ClaimRow,
            r#"select run_id, idx, map_index, attempt, launch, queued_at, started_at as "started_at!", group_id as "group_id!", handle
               from live_attempt where group_id = $1 and state = 'running' order by run_id, idx, map_index"#,
            group
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("attempts_of_group"))?;
        rows.into_iter().map(ClaimRow::into_attempt).collect()
    }

    /// Binds objects to attempts, write-once: of all the pods that anybody ever made for an attempt, the one that is bound may start. Durable
    /// before it returns. The answers are in the order of `binds`.
    pub async fn attempts_bind(&self, owner: Uuid, binds: &[(AttemptKey, String)]) -> Result<Vec<Bound>, Error> {
        let rows = sqlx::query_scalar!(
            r#"select r_result as "result!" from attempt_bind($1, $2, $3, $4, $5, $6)"#,
            owner,
            &binds.iter().map(|(k, _)| k.instance.run.0).collect::<Vec<_>>(),
            &binds.iter().map(|(k, _)| k.instance.idx).collect::<Vec<_>>(),
            &binds.iter().map(|(k, _)| k.instance.map_index).collect::<Vec<_>>(),
            &binds.iter().map(|(k, _)| k.attempt).collect::<Vec<_>>(),
            &binds.iter().map(|(_, handle)| handle.clone()).collect::<Vec<_>>(),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("attempts_bind"))?;
        Ok(rows
            .iter()
            .map(|result| match result.as_str() {
                "bound" => Bound::Yes,
                "refused" => Bound::Refused,
                "unwanted" => Bound::Unwanted,
                _ => Bound::NotMine,
            })
            .collect())
    }

    /// Notes where attempts stand that have not ended, for people. May be lost in a crash: the runner says it again.
    pub async fn attempts_progress(&self, news: &[(AttemptKey, String)]) -> Result<(), Error> {
        sqlx::query!(
            r#"with off as (select set_config('synchronous_commit', 'off', true)),
               c as materialized (
                   select l.run_id, l.idx, l.map_index, n.detail from off, live_attempt l
                   join unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::text[]) as n (run_id, idx, map_index, attempt, detail)
                     on l.run_id = n.run_id and l.idx = n.idx and l.map_index = n.map_index and l.attempt = n.attempt
                   order by l.run_id, l.idx, l.map_index for no key update of l)
               update live_attempt l set detail = nullif(c.detail, '') from c
               where l.run_id = c.run_id and l.idx = c.idx and l.map_index = c.map_index"#,
            &news.iter().map(|(k, _)| k.instance.run.0).collect::<Vec<_>>(),
            &news.iter().map(|(k, _)| k.instance.idx).collect::<Vec<_>>(),
            &news.iter().map(|(k, _)| k.instance.map_index).collect::<Vec<_>>(),
            &news.iter().map(|(k, _)| k.attempt).collect::<Vec<_>>(),
            &news.iter().map(|(_, detail)| detail.clone()).collect::<Vec<_>>(),
        )
        .execute(&self.pool)
        .await
        .map_err(Error::of("attempts_progress"))?;
        Ok(())
    }

    /// Which of these attempts are over, and whether each ended well: what a runner still has of them may go. Attempts that the database
    /// does not know are not among them: after a restore of an old backup they may well be alive (H8).
    pub async fn attempts_closed(&self, keys: &[AttemptKey]) -> Result<Vec<(AttemptKey, bool)>, Error> {
        let rows = sqlx::query!(
            r#"select a.run_id, a.idx, a.map_index, a.attempt, a.state in ('success', 'skipped') as "good!" from attempt a
               join unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) as k (run_id, idx, map_index, attempt)
                 on a.run_id = k.run_id and a.idx = k.idx and a.map_index = k.map_index and a.attempt = k.attempt"#,
            &keys.iter().map(|k| k.instance.run.0).collect::<Vec<_>>(),
            &keys.iter().map(|k| k.instance.idx).collect::<Vec<_>>(),
            &keys.iter().map(|k| k.instance.map_index).collect::<Vec<_>>(),
            &keys.iter().map(|k| k.attempt).collect::<Vec<_>>(),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("attempts_closed"))?;
        Ok(rows
            .into_iter()
            .map(|r| {
                let instance = InstanceKey { run: RunKey(r.run_id), idx: r.idx, map_index: r.map_index };
                (AttemptKey { instance, attempt: r.attempt }, r.good)
            })
            .collect())
    }

    /// Writes the ends of attempts: one transaction, locked in the global order, idempotent, durable before it returns.
    pub async fn attempts_finish(&self, ends: &[Finished]) -> Result<Vec<FinishOutcome>, Error> {
        let keys: Vec<AttemptKey> = ends.iter().map(Finished::key).collect();
        let mut verdicts = Vec::with_capacity(ends.len());
        let mut budgets: Vec<Option<String>> = Vec::with_capacity(ends.len());
        let mut reasons: Vec<Option<String>> = Vec::with_capacity(ends.len());
        let mut messages: Vec<Option<String>> = Vec::with_capacity(ends.len());
        let mut evidence: Vec<Value> = Vec::with_capacity(ends.len());
        let mut xcoms: Vec<Option<Value>> = Vec::with_capacity(ends.len());
        // What Python tasks have left by other names.
        let mut more: Vec<(AttemptKey, String, Value)> = Vec::new();
        for end in ends {
            let (verdict, budget, reason, message) = match &end.verdict {
                Verdict::Success => ("success", None, None, None),
                Verdict::Skipped => ("skipped", None, Some("exit_code".to_owned()), Some("the exit code says: skip".to_owned())),
                Verdict::Failed { budget, reason, message } => {
                    ("failed", Some(budget.as_str().to_owned()), Some(reason.clone()), Some(message.clone()))
                }
            };
            verdicts.push(verdict.to_owned());
            budgets.push(budget);
            reasons.push(reason);
            messages.push(message);
            xcoms.push(match &end.evidence.facts.xcom {
                Some(Ok(value)) if end.attempt.launch.python.is_some() => {
                    let mut values = values_by_key(value).unwrap_or_default();
                    let returned = values.remove("return_value");
                    more.extend(values.into_iter().map(|(key, value)| (end.key(), key, value)));
                    returned
                }
                Some(Ok(value)) => Some(value.clone()),
                _ => None,
            });
            let mut stored = end.evidence.clone();
            stored.facts.xcom = None; // the value has a table of its own
            evidence.push(serde_json::to_value(stored).unwrap_or_default());
        }
        let query = sqlx::query!(
            r#"select r_run as "run!", r_idx as "idx!", r_map as "map!", r_attempt as "attempt!", r_result as "result!", coalesce(r_state, '') as "state!",
                      r_not_before as not_before
               from attempt_finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
            &keys.iter().map(|k| k.instance.run.0).collect::<Vec<_>>(),
            &keys.iter().map(|k| k.instance.idx).collect::<Vec<_>>(),
            &keys.iter().map(|k| k.instance.map_index).collect::<Vec<_>>(),
            &keys.iter().map(|k| k.attempt).collect::<Vec<_>>(),
            &verdicts,
            &budgets as &[Option<String>],
            &reasons as &[Option<String>],
            &messages as &[Option<String>],
            &evidence,
            &ends.iter().map(|e| e.evidence.facts.started_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &ends.iter().map(|e| e.evidence.facts.ended_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &xcoms as &[Option<Value>],
        );
        let rows = if more.is_empty() {
            query.fetch_all(&self.pool).await.map_err(Error::of("attempts_finish"))?
        } else {
            let mut tx = self.pool.begin().await.map_err(Error::of("attempts_finish"))?;
            let rows = query.fetch_all(&mut *tx).await.map_err(Error::of("attempts_finish"))?;
            // With the end, or not at all: what a branch has decided is there as soon as it is known to have ended.
            let ended: BTreeSet<(i64, i32, i32, i32)> =
                rows.iter().filter(|r| r.result == "finished" && r.state == "success").map(|r| (r.run, r.idx, r.map, r.attempt)).collect();
            more.retain(|(k, ..)| ended.contains(&(k.instance.run.0, k.instance.idx, k.instance.map_index, k.attempt)));
            sqlx::query!(
                r#"insert into xcom (run_id, idx, map_index, key, value, attempt)
                   select * from unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::jsonb[], $6::int[])
                   on conflict (run_id, idx, map_index, key) do update set value = excluded.value, attempt = excluded.attempt, at = now()"#,
                &more.iter().map(|(k, ..)| k.instance.run.0).collect::<Vec<_>>(),
                &more.iter().map(|(k, ..)| k.instance.idx).collect::<Vec<_>>(),
                &more.iter().map(|(k, ..)| k.instance.map_index).collect::<Vec<_>>(),
                &more.iter().map(|(_, key, _)| key.clone()).collect::<Vec<_>>(),
                &more.iter().map(|(.., value)| value.clone()).collect::<Vec<_>>(),
                &more.iter().map(|(k, ..)| k.attempt).collect::<Vec<_>>(),
            )
            .execute(&mut *tx)
            .await
            .map_err(Error::of("attempts_finish"))?;
            tx.commit().await.map_err(Error::of("attempts_finish"))?;
            rows
        };
        Ok(rows
            .into_iter()
            .map(|r| FinishOutcome {
                key: AttemptKey { instance: InstanceKey { run: RunKey(r.run), idx: r.idx, map_index: r.map }, attempt: r.attempt },
                result: match r.result.as_str() {
                    "finished" => FinishResult::Finished,
                    "already" => FinishResult::Already,
                    "refused" => FinishResult::Refused,
                    _ => FinishResult::Unknown,
                },
                state: r.state,
                not_before: r.not_before,
            })
            .collect())
    }
}
