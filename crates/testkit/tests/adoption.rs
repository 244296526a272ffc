//! Five hundred attempts of a worker that is gone change hands at once: by one compare-and-set, nothing of them is touched, nothing starts
//! again. And nothing is left lying whose claim or adoption was never answered: between the worker and its database stands a proxy that cuts
//! the line once, after the server has done what it was asked and before it can say so. The runner is a stand-in that counts what is asked of
//! it; the database is real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod support;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use updraft_broker::Broker;
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, LaunchSpec};
use updraft_store::{Candidate, Claimed, Commit, LogChunk, MoveRow, Store};
use updraft_worker::Config;
use updraft_worker::runner::{Assignment, Handle, LaunchError, Launched, LogPosition, LogRead, Outcome, Runner, StopError};
use uuid::Uuid;

const ATTEMPTS: usize = 500;

/// Finds whatever it is asked for, as the successor of a worker that had started everything.
#[derive(Clone, Default)]
struct Found {
    launched: Arc<Mutex<BTreeSet<AttemptKey>>>,
    /// What each of them has written.
    log: &'static [u8],
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
        let bound = assignment.bound.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        assert!(self.launched.lock().unwrap().insert(assignment.key), "{:?} was adopted twice", assignment.key);
        Ok(Launched::Made(Handle { id: bound, found: assignment.bound.is_some() }))
    }
    async fn wait(&self, _: AttemptKey) -> EndFacts {
        std::future::pending().await
    }
    async fn stop(&self, _: AttemptKey, _: Stopped) -> Result<(), StopError> {
        Ok(())
    }
    async fn read_log(&self, _: AttemptKey, from: &LogPosition, _: usize) -> io::Result<LogRead> {
        let from = usize::try_from(from.offset).unwrap();
        Ok(LogRead { data: self.log[from..].to_vec(), next: LogPosition::from(self.log.len() as u64), eof: true })
    }
    async fn read_log_before(&self, _: AttemptKey, at: &LogPosition, max: usize) -> io::Result<Vec<u8>> {
        let at = usize::try_from(at.offset).unwrap();
        Ok(self.log[at.saturating_sub(max)..at].to_vec())
    }
    async fn release(&self, _: AttemptKey, _: Outcome) -> io::Result<()> {
        Ok(())
    }
    async fn present(&self) -> io::Result<Vec<AttemptKey>> {
        Ok(Vec::new())
    }
}

/// A run of so many tasks, all of them scheduled.
async fn scheduled(store: &Store, count: usize) {
    let task = |n| serde_json::json!({"task_id": format!("t{n}"), "run": {"kind": "bash", "bash_command": "true"}});
    let run = support::started_run(store, &(0..count).map(task).collect::<Vec<_>>()).await;
    let (_, loads) = store.plan_load(&[(run, i64::MAX)]).await.unwrap();
    let moves = (0..count)
        .map(|idx| MoveRow {
            run,
            idx: i32::try_from(idx).unwrap(),
            map_index: -1,
            from: "none",
            to: "scheduled",
            reason: None,
            message: None,
            queue: "default".to_owned(),
            pool: "default_pool".to_owned(),
            prio: 1,
            slots: 0,
        })
        .collect();
    store.plan_commit(&Commit { runs: vec![(run, loads[0].epoch, loads[0].seq)], moves, ..Commit::default() }).await.unwrap();
}

/// Queues what can be.
async fn admit(store: &Store, launch: &LaunchSpec) -> Vec<AttemptKey> {
    let heads = store.admit_heads("default_pool").await.unwrap().unwrap().heads;
    let candidates: Vec<Candidate> = heads
        .iter()
        .map(|head| Candidate {
            key: AttemptKey {
                instance: updraft_model::InstanceKey { run: head.run, idx: head.idx, map_index: head.map_index },
                attempt: head.attempt + 1,
            },
            queue: "default".to_owned(),
            launch: serde_json::to_string(launch).unwrap(),
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
    store.admit_commit("default_pool", &candidates).await.unwrap().iter().map(|a| a.key).collect()
}

/// A worker that claimed and bound them all, and then fell silent.
async fn silent_worker(store: &Store, count: usize, launch: &LaunchSpec) -> Uuid {
    scheduled(store, count).await;
    let owner = Uuid::now_v7();
    let group = store.group_create(owner, "cluster").await.unwrap();
    let mut live = 0;
    while live < count {
        let keys = admit(store, launch).await;
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
    let silent = silent_worker(&store, ATTEMPTS, &LaunchSpec::default()).await;
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

#[sqlx::test(migrations = "../../migrations")]
async fn a_secret_that_lies_across_the_takeover_of_its_log_is_masked(db: PgPool) {
    const WRITTEN: &str = "the token is correct-horse-battery, they say\n";
    const STORED: &str = "the token is *********";
    const WHOLE: &str = "the token is *********************, they say\n";
    let store = Store::from_pool(db.clone());
    let env = [("API_TOKEN".to_owned(), "correct-horse-battery".to_owned())].into();
    let silent = silent_worker(&store, 1, &LaunchSpec { env, ..LaunchSpec::default() }).await;
    let live: (i64, i32, i32, i32) =
        sqlx::query_as("select run_id, idx, map_index, attempt from live_attempt").fetch_one(&db).await.unwrap();
    let key = AttemptKey {
        instance: updraft_model::InstanceKey { run: updraft_model::RunKey(live.0), idx: live.1, map_index: live.2 },
        attempt: live.3,
    };
    let chunk = LogChunk { key, start: 0, data: STORED.as_bytes().to_vec(), cursor: None };
    assert!(store.log_append(&[chunk]).await.unwrap().is_empty());
    store.groups_hand_over(silent).await.unwrap();

    let runner = Found { log: WRITTEN.as_bytes(), ..Found::default() };
    let shutdown = CancellationToken::new();
    let config = Config { heartbeat: Duration::from_millis(100), lease_ttl: Duration::from_millis(300), ..Config::default() };
    let worker =
        tokio::spawn(updraft_worker::run(store.clone(), Broker::in_process(), runner, config, CancellationToken::new(), shutdown.clone()));
    let begin = Instant::now();
    while store.log_end(key).await.unwrap().offset < WRITTEN.len() as u64 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the log is not copied to its end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.cancel();
    worker.await.unwrap().unwrap();
    let log: Vec<u8> = sqlx::query_scalar("select string_agg(data, ''::bytea order by start) from log_chunk").fetch_one(&db).await.unwrap();
    assert_eq!(String::from_utf8(log).unwrap(), WHOLE);
}

/// A way to the server that is cut once: after the statement with these words was run, before its answer is passed on.
async fn cutting(db: &PgPool, words: &'static str) -> (PgPool, Arc<AtomicBool>) {
    let real = db.connect_options();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(listener.local_addr().unwrap().port())
        .username(real.get_username())
        .database(real.get_database().unwrap());
    let cut = Arc::new(AtomicBool::new(false));
    let was_cut = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            match real.get_socket() {
                Some(folder) => {
                    let server = UnixStream::connect(folder.join(format!(".s.PGSQL.{}", real.get_port()))).await.unwrap();
                    let (from, to) = server.into_split();
                    tokio::spawn(pass(client, from, to, words, Arc::clone(&was_cut)));
                }
                None => {
                    let (from, to) = TcpStream::connect((real.get_host(), real.get_port())).await.unwrap().into_split();
                    tokio::spawn(pass(client, from, to, words, Arc::clone(&was_cut)));
                }
            }
        }
    });
    (PgPoolOptions::new().max_connections(4).connect_lazy_with(options), cut)
}

async fn pass(
    client: TcpStream,
    mut from_server: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    words: &str,
    cut: Arc<AtomicBool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut asked, mut answered) = ([0u8; 65536], [0u8; 65536]);
    // The text comes when the statement is prepared; what the client sends next runs it.
    let mut prepared = false;
    let mut runs = false;
    loop {
        tokio::select! {
            n = from_client.read(&mut asked) => {
                let Ok(n @ 1..) = n else { return };
                runs = prepared && !cut.load(Ordering::SeqCst);
                prepared |= asked[..n].windows(words.len()).any(|part| part == words.as_bytes());
                if to_server.write_all(&asked[..n]).await.is_err() { return }
            }
            n = from_server.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                // The server answers once the transaction has committed.
                if runs && !cut.swap(true, Ordering::SeqCst) { return }
                if to_client.write_all(&answered[..n]).await.is_err() { return }
            }
        }
    }
}

/// Runs a worker over a line that is cut at these words, until it has launched so many attempts.
async fn over_a_cut_line(db: &PgPool, words: &'static str, count: usize) {
    let (line, cut) = cutting(db, words).await;
    let runner = Found::default();
    let launched = Arc::clone(&runner.launched);
    let shutdown = CancellationToken::new();
    let config = Config { heartbeat: Duration::from_millis(100), lease_ttl: Duration::from_millis(300), ..Config::default() };
    let store = Store::from_pool(line);
    let worker = tokio::spawn(updraft_worker::run(store, Broker::in_process(), runner, config, CancellationToken::new(), shutdown.clone()));
    let begin = Instant::now();
    while launched.lock().unwrap().len() < count {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} of {count} were launched", launched.lock().unwrap().len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(cut.load(Ordering::SeqCst), "the line was never cut");
    shutdown.cancel();
    worker.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_claimed_without_an_answer_is_started(db: PgPool) {
    let store = Store::from_pool(db.clone());
    scheduled(&store, 3).await;
    while admit(&store, &LaunchSpec::default()).await.len() < 3 {}
    over_a_cut_line(&db, "set state = 'running'", 3).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_adopted_without_an_answer_is_driven(db: PgPool) {
    let store = Store::from_pool(db.clone());
    let silent = silent_worker(&store, 3, &LaunchSpec::default()).await;
    store.groups_hand_over(silent).await.unwrap();
    over_a_cut_line(&db, "update lease_group set owner", 3).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_an_adopted_group_holds_is_asked_for_until_it_is_answered(db: PgPool) {
    let store = Store::from_pool(db.clone());
    let silent = silent_worker(&store, 3, &LaunchSpec::default()).await;
    store.groups_hand_over(silent).await.unwrap();
    over_a_cut_line(&db, "where group_id = $1 and state = 'running'", 3).await;
}
