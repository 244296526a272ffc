//! Five hundred attempts of a worker that is gone change hands at once: by one compare-and-set, nothing of them is touched, nothing starts
//! again. The runner is a stand-in that counts what is asked of it; the database is real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use updraft_broker::Broker;
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, LaunchSpec};
use updraft_store::{Candidate, Claimed, Commit, DagUpsert, MoveRow, NewRun, Store};
use updraft_worker::Config;
use updraft_worker::runner::{Assignment, Handle, LaunchError, Launched, LogPosition, LogRead, Outcome, Runner, StopError};
use uuid::Uuid;

const ATTEMPTS: usize = 500;

/// Finds whatever it is asked for, as the successor of a worker that had started everything.
#[derive(Clone, Default)]
struct Found {
    launched: Arc<Mutex<BTreeSet<AttemptKey>>>,
}

impl Runner for Found {
    const BINDS: bool = true;

    fn kind(&self) -> &'static str {
        "kubernetes"
    }
    fn host(&self) -> &str {
        "cluster"
    }
    async fn launch(&self, assignment: Assignment<'_>) -> Result<Launched, LaunchError> {
        let bound = assignment.bound.expect("it was bound before").to_owned();
        assert!(self.launched.lock().unwrap().insert(assignment.key), "{:?} was adopted twice", assignment.key);
        Ok(Launched::Made(Handle { id: bound, found: true }))
    }
    async fn wait(&self, _: AttemptKey) -> EndFacts {
        std::future::pending().await
    }
    async fn stop(&self, _: AttemptKey, _: Stopped) -> Result<(), StopError> {
        Ok(())
    }
    async fn read_log(&self, _: AttemptKey, from: &LogPosition, _: usize) -> io::Result<LogRead> {
        Ok(LogRead { data: Vec::new(), next: from.clone(), eof: true })
    }
    async fn release(&self, _: AttemptKey, _: Outcome) -> io::Result<()> {
        Ok(())
    }
    async fn present(&self) -> io::Result<Vec<AttemptKey>> {
        Ok(Vec::new())
    }
}

/// A worker that claimed and bound them all, and then fell silent.
async fn silent_worker(store: &Store) -> Uuid {
    let tasks: Vec<serde_json::Value> = (0..ATTEMPTS)
        .map(|n| serde_json::json!({"task_id": format!("t{n}"), "run": {"kind": "bash", "bash_command": "true"}, "upstream": []}))
        .collect();
    let spec = serde_json::from_value(serde_json::json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": tasks})).unwrap();
    let version = store
        .dag_upsert(&DagUpsert {
            spec: &spec,
            json: &spec.canonical_json(),
            hash: &spec.version_hash(),
            source: "",
            bundle: "b",
            relative_fileloc: "d.yaml",
            fileloc: "d.yaml",
            git_commit: None,
            paused_at_creation: false,
            max_active_runs: 1,
            parse_ms: 0.0,
            timetable_summary: "",
            timetable_description: "",
        })
        .await
        .unwrap()
        .version_id;
    let new = NewRun {
        dag_id: "d",
        run_id: "r",
        run_type: "manual",
        logical_date: None,
        data_interval: None,
        run_after: chrono::DateTime::UNIX_EPOCH,
        conf: serde_json::json!({}),
        note: None,
        triggered_by: "test",
        triggering_user: None,
        version_id: version,
    };
    let run = store.run_create(&new).await.unwrap().unwrap();
    store.runs_start("d").await.unwrap();
    let (_, loads) = store.plan_load(&[(run, i64::MAX)]).await.unwrap();
    let moves = (0..ATTEMPTS)
        .map(|idx| MoveRow {
            run,
            idx: i32::try_from(idx).unwrap(),
            map_index: -1,
            from: "none",
            to: "scheduled",
            reason: None,
            message: None,
            pool: "default_pool".to_owned(),
            prio: 1,
            slots: 0,
        })
        .collect();
    store.plan_commit(&Commit { runs: vec![(run, loads[0].epoch, loads[0].seq)], moves, ..Commit::default() }).await.unwrap();
    let owner = Uuid::now_v7();
    let group = store.group_create(owner, "cluster").await.unwrap();
    let mut live = 0;
    while live < ATTEMPTS {
        let heads = store.admit_heads("default_pool").await.unwrap().unwrap().heads;
        let candidates: Vec<Candidate> = heads
            .iter()
            .map(|head| Candidate {
                key: AttemptKey {
                    instance: updraft_model::InstanceKey { run: head.run, idx: head.idx, map_index: head.map_index },
                    attempt: head.attempt + 1,
                },
                queue: "default".to_owned(),
                launch: serde_json::to_string(&LaunchSpec::default()).unwrap(),
                user_retries_left: 0,
                user_retry_delay_ms: 0,
                infra_retries_left: 0,
                infra_retry_delay_ms: 0,
                run_limit: None,
                dag_id: "d".to_owned(),
                dag_limit: None,
                task_limit: None,
            })
            .collect();
        let keys: Vec<AttemptKey> = store.admit_commit("default_pool", &candidates).await.unwrap().iter().map(|a| a.key).collect();
        let Claimed::Attempts(attempts) = store.attempts_claim(&keys, group.id, owner, group.epoch, "cluster").await.unwrap() else {
            panic!("the group is lost")
        };
        live += attempts.len();
        let binds: Vec<(AttemptKey, String)> = attempts.iter().map(|a| (a.key(), format!("uid-{}", a.key().instance.idx))).collect();
        store.attempts_bind(owner, &binds).await.unwrap();
    }
    owner
}

#[sqlx::test(migrations = "../../migrations")]
async fn five_hundred_attempts_change_hands_in_under_two_seconds(db: PgPool) {
    let store = Store::from_pool(db.clone());
    let silent = silent_worker(&store).await;
    // It leaves as a worker does that is told to: the next one need not wait for a lease.
    store.groups_hand_over(silent).await.unwrap();
    let runner = Found::default();
    let launched = Arc::clone(&runner.launched);
    let shutdown = CancellationToken::new();
    let config = Config { heartbeat: Duration::from_millis(200), lease_ttl: Duration::from_millis(600), ..Config::default() };
    let begin = Instant::now();
    let worker =
        tokio::spawn(updraft_worker::run(store.clone(), Broker::in_process(), runner, config, CancellationToken::new(), shutdown.clone()));
    while launched.lock().unwrap().len() < ATTEMPTS {
        assert!(begin.elapsed() < Duration::from_secs(20), "only {} have changed hands", launched.lock().unwrap().len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begin.elapsed();
    eprintln!("{ATTEMPTS} attempts changed hands in {took:?}, the look for groups without an owner included");
    assert!(took < Duration::from_secs(2), "{took:?}");
    shutdown.cancel();
    worker.await.unwrap().unwrap();
    let handed: i64 =
        sqlx::query_scalar("select count(*) from live_attempt l join lease_group g on g.id = l.group_id where g.owner is null")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(handed, 500, "and they are handed over again");
}
