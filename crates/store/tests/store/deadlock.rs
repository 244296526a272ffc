//! Everything at once: the writers lock in one global order, so none ever waits in a circle, and what they leave behind is consistent.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;
use updraft_model::state::Intent;
use updraft_model::{AttemptKey, RunKey};
use updraft_store::{
    BackfillCreated, Claimed, Commit, GroupRow, Looked, MoveRow, NewBackfill, Reprocess, RunEnd, RunningAttempt, SlotRow, Triggering,
};
use uuid::Uuid;

use crate::fixture::{Fixture, Random, candidate, exit, key, lost, moment, step, wide};

const TASKS: usize = 500;
const FOR: Duration = Duration::from_secs(5);

struct Session {
    f: Fixture,
    random: Random,
    runs: Vec<RunKey>,
    me: Uuid,
    groups: Vec<GroupRow>,
    held: Vec<RunningAttempt>,
    done: [u32; 12],
}

impl Session {
    fn keys(&mut self, most: usize) -> Vec<(i32, i32)> {
        let mut keys: Vec<(i32, i32)> = (0..most).map(|_| (i32::try_from(self.random.below(TASKS)).unwrap(), -1)).collect();
        keys.dedup();
        keys
    }

    /// Plans several runs in one commit, in any order, some with an epoch or a state that is no more true.
    async fn plan(&mut self) {
        let mut commit = Commit::default();
        let mut runs = self.runs.clone();
        self.random.shuffle(&mut runs);
        for run in &runs[..1 + self.random.below(4)] {
            let (seq, _, epoch) = self.f.seq(*run).await;
            commit.runs.push((*run, epoch, seq));
            let waiting: Vec<(i32, String)> = sqlx::query_as(
                "select idx, state from task_instance where run_id = $1 and state in ('none', 'up_for_retry', 'scheduled', 'deferred') order by random() limit 40",
            )
            .bind(run.0)
            .fetch_all(&self.f.db)
            .await
            .unwrap();
            for (idx, state) in waiting {
                let pool = if idx % 3 == 0 { "small" } else { "default_pool" };
                let moved = match state.as_str() {
                    "none" if idx % 5 == 0 => step(*run, idx, "none", "deferred"),
                    "none" => step(*run, idx, "none", "scheduled"),
                    "deferred" if self.random.below(8) == 0 => step(*run, idx, "deferred", "skipped"),
                    "deferred" => continue,
                    "scheduled" if self.random.below(8) == 0 => step(*run, idx, "scheduled", "skipped"),
                    "scheduled" => continue,
                    _ => step(*run, idx, "up_for_retry", "scheduled"),
                };
                commit.moves.push(MoveRow { pool: pool.to_owned(), ..moved });
            }
            if self.random.below(12) == 0 {
                commit.ends.push(RunEnd { run: *run, state: "failed", reason: None });
            }
        }
        self.random.shuffle(&mut commit.moves);
        commit.poke = runs[..self.random.below(3)].to_vec();
        self.f.store.plan_commit(&commit).await.unwrap();
    }

    async fn admit(&mut self) {
        let pool = *self.random.of(&["default_pool", "small"]);
        let heads = self.f.store.admit_heads(pool).await.unwrap().unwrap();
        let mut candidates: Vec<_> = heads.heads.iter().map(candidate).collect();
        self.random.shuffle(&mut candidates);
        let limit = i32::try_from(self.random.below(60)).unwrap();
        for c in &mut candidates {
            match limit % 3 {
                0 => c.run_limit = Some(limit),
                1 => c.dag_limit = Some(2 * limit),
                _ => {}
            }
        }
        if let Some(first) = candidates.first().filter(|_| limit % 10 == 0) {
            self.f.store.admit_reject(first.key.instance, "render_error", "no").await.unwrap();
        }
        self.f.store.admit_commit(pool, &candidates).await.unwrap();
    }

    async fn claim(&mut self) {
        if self.groups.is_empty() {
            self.groups.push(self.f.store.group_create(self.me, "here").await.unwrap());
        }
        let at = self.random.below(self.groups.len());
        let group = self.groups[at].clone();
        let claimed = if self.random.below(2) == 0 {
            let rows: Vec<(i64, i32, i32)> = sqlx::query_as("select run_id, idx, attempt from live_attempt order by random() limit 30")
                .fetch_all(&self.f.db)
                .await
                .unwrap();
            let hints: Vec<AttemptKey> = rows.iter().map(|r| key(RunKey(r.0), r.1, r.2)).collect();
            self.f.store.attempts_claim(&hints, group.id, self.me, group.epoch, "here").await.unwrap()
        } else {
            self.f.store.attempts_pull(&["default".to_owned()], 20, group.id, self.me, group.epoch, "here").await.unwrap()
        };
        match claimed {
            Claimed::Attempts(attempts) => self.held.extend(attempts),
            Claimed::GroupLost => drop(self.groups.swap_remove(at)),
            Claimed::Draining => panic!("nobody drains here"),
        }
    }

    async fn finish(&mut self) {
        self.random.shuffle(&mut self.held);
        let keep = self.held.len() - self.held.len().min(1 + self.random.below(40));
        let ends: Vec<_> = self
            .held
            .split_off(keep)
            .into_iter()
            .map(|a| {
                a.finish(match self.random.below(4) {
                    0 => exit(1),
                    1 => lost(),
                    _ => exit(0),
                })
            })
            .collect();
        self.f.store.attempts_finish(&ends).await.unwrap();
    }

    async fn intend(&mut self) {
        let keys = self.keys(25);
        let intent =
            *self.random.of(&[Intent::Clear, Intent::Clear, Intent::Cancel, Intent::MarkSuccess, Intent::MarkFailed, Intent::Skip]);
        let run = *self.random.of(&self.runs);
        self.f.store.intent_request(run, &keys, intent, "ann").await.unwrap();
    }

    async fn look(&mut self) {
        let taken = self.f.store.deferred_take(20, 0).await.unwrap();
        let mut looked = Vec::new();
        for one in &taken {
            if self.random.below(10) == 0 {
                let version_id: i64 = self.f.one("select version_id from dag where dag_id = 'd'").await;
                let run_id = format!("made{}", self.random.below(2));
                let asked = Triggering {
                    dag_id: "d",
                    run_id: &run_id,
                    logical_date: None,
                    data_interval: None,
                    run_after: moment(0),
                    conf: &json!({}),
                    note: None,
                    user: None,
                    version_id,
                    reset: self.random.below(2) == 0,
                };
                self.f.store.deferred_trigger(one.key, &asked).await.unwrap();
            }
            let state = *self.random.of(&["deferred", "success", "skipped", "failed", "up_for_retry"]);
            looked.push(Looked { key: one.key, state, reason: None, message: "x".to_owned(), at: Some(one.now) });
        }
        self.random.shuffle(&mut looked);
        self.f.store.deferred_commit(&looked).await.unwrap();
    }

    async fn adopt(&mut self) {
        let foreign = self.f.store.groups_foreign(self.me, Some("here")).await.unwrap();
        if foreign.is_empty() {
            return;
        }
        if let Some(mine) = self.f.store.group_adopt(self.random.of(&foreign), self.me).await.unwrap() {
            self.held.extend(self.f.store.attempts_of_group(mine.id).await.unwrap());
            self.groups.push(mine);
        }
    }

    /// Makes the runs of two dates, or does them again, and cancels what has not begun.
    async fn backfill(&mut self) {
        let version_id: i64 = self.f.one("select version_id from dag where dag_id = 'd'").await;
        let slots: Vec<(String, SlotRow)> = [0, 1]
            .map(|day| {
                let at = moment(day * 86_400);
                (format!("b{day}"), SlotRow { logical_date: at, interval_start: at, interval_end: at, run_after: at })
            })
            .into();
        let new = NewBackfill {
            dag_id: "d",
            version_id,
            from: moment(0),
            to: moment(86_400),
            backwards: false,
            conf: None,
            reprocess: Reprocess::Completed,
            max_active_runs: 1,
            user: "ann",
            movable: &[],
            slots: &slots,
        };
        if let BackfillCreated::Done { id, .. } = self.f.store.backfill_create(&new).await.unwrap() {
            self.f.store.runs_start("d").await.unwrap();
            self.f.store.backfill_pause(id, true).await.unwrap();
            self.f.store.backfill_cancel(id, "ann").await.unwrap();
            let runs: Vec<i64> =
                sqlx::query_scalar("select id from run where backfill_id = $1").bind(id).fetch_all(&self.f.db).await.unwrap();
            for run in runs {
                self.f.store.run_end_by_hand(RunKey(run), "failed", "ann").await.unwrap();
            }
        }
    }

    async fn turn(&mut self) {
        let which = self.random.below(12);
        self.done[which] += 1;
        match which {
            0 | 1 => self.plan().await,
            2 => self.admit().await,
            3 => self.claim().await,
            4 => self.finish().await,
            5 => self.intend().await,
            6 => drop(self.f.store.due_take(50).await.unwrap()),
            7 => {
                let run = *self.random.of(&self.runs);
                if self.random.below(3) == 0 {
                    self.f.store.run_end_by_hand(run, "failed", "ann").await.unwrap();
                }
                self.f.store.run_reopen(run).await.unwrap();
                self.f.store.runs_start("d").await.unwrap();
            }
            8 => self.adopt().await,
            9 => self.backfill().await,
            10 => self.look().await,
            _ => {
                self.f.store.worker_beat(self.me).await.unwrap();
                self.f.store.pools_unpark().await.unwrap();
                self.f.store.groups_prune().await.unwrap();
                if self.random.below(5) == 0 {
                    self.f.store.groups_hand_over(self.me).await.unwrap();
                }
            }
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn eight_sessions_at_random_never_deadlock_and_leave_a_consistent_state(db: PgPool) {
    let f = Fixture::new(&db);
    f.run_sql("insert into pool (name, slots) values ('small', 60)").await;
    let runs = f.runs(4, TASKS).await;
    let many = wide(&db, 10);
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..8 {
        let mut session = Session {
            f: Fixture::new(&many),
            random: Random::new(seed + 1),
            runs: runs.clone(),
            me: Uuid::new_v4(),
            groups: Vec::new(),
            held: Vec::new(),
            done: [0; 12],
        };
        tasks.spawn(async move {
            let begin = Instant::now();
            while begin.elapsed() < FOR {
                session.turn().await;
            }
            session.done
        });
    }
    let mut done = [0; 12];
    while let Some(joined) = tasks.join_next().await {
        for (sum, n) in done.iter_mut().zip(joined.unwrap()) {
            *sum += n;
        }
    }
    // A session that closes tells its counts.
    many.close().await;
    println!("turns by kind: {done:?}, attempts that ended: {}", f.count("attempt").await);
    assert!(done.iter().all(|n| *n > 3), "{done:?}");
    assert!(f.count("attempt").await > 30);
    assert_eq!(f.one::<i64>("select deadlocks from pg_stat_database where datname = current_database()").await, 0);
    f.assert_consistent().await;

    // I1, I7: once the storm is over, what still lives can be adopted and ended, and nothing is left.
    let me = Uuid::new_v4();
    let rest = f.store.group_create(me, "here").await.unwrap();
    while let Claimed::Attempts(attempts) =
        f.store.attempts_pull(&["default".to_owned()], 100, rest.id, me, rest.epoch, "here").await.unwrap()
    {
        if attempts.is_empty() {
            break;
        }
    }
    for group in f.store.groups_foreign(Uuid::new_v4(), None).await.unwrap() {
        let mine = f.store.group_adopt(&group, Uuid::new_v4()).await.unwrap().unwrap();
        let ends: Vec<_> = f.store.attempts_of_group(mine.id).await.unwrap().into_iter().map(|a| a.finish(exit(0))).collect();
        f.store.attempts_finish(&ends).await.unwrap();
    }
    assert_eq!(f.count("live_attempt").await, 0);
    f.store.groups_prune().await.unwrap();
    assert_eq!(f.count("lease_group").await, 0);
    f.assert_consistent().await;
}
