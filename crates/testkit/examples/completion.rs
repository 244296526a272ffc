//! What one completion costs the database and the planner, in a small run and in a large one. Prints one JSON object.
//!
//! Run by `make bench BENCH=completion`. Each completion is what it is in production: the finish, the scheduler's turn (load, plan, commit,
//! admit) and the claim of what was admitted. No process is started.

use std::time::Instant;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::watch;
use updraft_broker::Broker;
use updraft_model::{DagSpec, EndFacts, Evidence, RunKey, Semantics, TaskId, TaskKind, TaskSpec};
use updraft_planner::Defaults;
use updraft_scheduler::{Config, Scheduler, SyncNow};
use updraft_store::{Claimed, DagUpsert, GroupRow, NewRun, Options, RunningAttempt, Store};
use uuid::Uuid;

const SMALL: usize = 100;
const LARGE: usize = 100_000;
/// Completions that are timed in each run.
const TIMED: usize = 80;
/// Completions before them.
const WARM: usize = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set: run it by `make bench BENCH=completion`")?;
    // As the engine's own connections are.
    let mut options = Options::new(url, "completion bench");
    options.generic_plans = true;
    let store = Store::open(&options)?;
    let owner = Uuid::now_v7();
    let group = store.group_create(owner, "bench").await?;
    let mut large = Side::start(&store, "large", LARGE).await?;
    let mut small = Side::start(&store, "small", SMALL).await?;
    // What a hundred thousand new rows left to be written would be written meanwhile, and each commit would wait for the disk behind it.
    let mut connection = PgConnection::connect(&options.url).await?;
    connection.execute("checkpoint").await?;
    connection.close().await?;
    // One by one in turn, so that a slow moment of the disk, or what the database still does about a hundred thousand new rows, hits both.
    // The first ones warm the cache and the prepared statements.
    for n in 0..WARM + TIMED {
        for side in [&mut small, &mut large] {
            let took = side.complete_one(&group, owner).await?;
            if n >= WARM {
                side.times.push(took);
            }
        }
    }
    let (small, large) = (median(&mut small.times), median(&mut large.times));
    let result = serde_json::json!({
        "bench": "completion", "seconds": large / 1000.0, "small_tasks": SMALL, "large_tasks": LARGE,
        "small_ms": round(small), "large_ms": round(large), "ratio": round(large / small),
    });
    print_line(&result.to_string());
    Ok(())
}

/// A run, a scheduler of its own, and what is live of it.
struct Side {
    store: Store,
    queue: &'static str,
    run: RunKey,
    scheduler: Scheduler,
    live: Vec<RunningAttempt>,
    times: Vec<f64>,
}

impl Side {
    async fn start(store: &Store, queue: &'static str, tasks: usize) -> anyhow::Result<Self> {
        let run = start(store, &fan(queue, tasks)?).await?;
        let config = Config {
            defaults: Defaults::default(),
            semantics: Semantics::Airflow3,
            paused_at_creation: false,
            sweep_every: std::time::Duration::from_secs(60),
            sources: Vec::new(),
            host: "bench".to_owned(),
            sync_now: SyncNow::default(),
            pulse: updraft_scheduler::Pulse::default(),
            policy: None,
            retention: None,
            keyring: None,
            secrets: updraft_scheduler::SecretSources::default(),
        };
        let mut scheduler = Scheduler::new(store.clone(), Broker::in_process(), config, watch::channel(serde_json::json!({})).1);
        scheduler.cycle(vec![run]).await?;
        Ok(Self { store: store.clone(), queue, run, scheduler, live: Vec::new(), times: Vec::new() })
    }

    /// Ends one attempt and starts what may start then; how long it took, in milliseconds.
    async fn complete_one(&mut self, group: &GroupRow, owner: Uuid) -> anyhow::Result<f64> {
        if self.live.is_empty() {
            self.claim(group, owner).await?;
        }
        let attempt = self.live.pop().context("nothing is live")?;
        let begin = Instant::now();
        let facts = EndFacts {
            started_at: Some(DateTime::UNIX_EPOCH),
            ended_at: Some(DateTime::UNIX_EPOCH),
            exit_code: Some(0),
            ..EndFacts::default()
        };
        let evidence = Evidence { runner: "bench".to_owned(), handle: None, host: None, facts };
        self.store.attempts_finish(&[attempt.finish(evidence)]).await?;
        self.scheduler.cycle(vec![self.run]).await?;
        self.claim(group, owner).await?;
        Ok(begin.elapsed().as_secs_f64() * 1000.0)
    }

    async fn claim(&mut self, group: &GroupRow, owner: Uuid) -> anyhow::Result<()> {
        match self.store.attempts_pull(&[self.queue.to_owned()], 64, group.id, owner, group.epoch, "bench").await? {
            Claimed::Attempts(attempts) => self.live.extend(attempts),
            lost => anyhow::bail!("the worker may not claim: {lost:?}"),
        }
        Ok(())
    }
}

async fn start(store: &Store, spec: &DagSpec) -> anyhow::Result<RunKey> {
    let json = spec.canonical_json();
    let hash = spec.version_hash();
    let upserted = store
        .dag_upsert(&DagUpsert {
            spec,
            json: &json,
            hash: &hash,
            source: "",
            bundle: "bench",
            relative_fileloc: "bench",
            fileloc: "bench",
            git_commit: None,
            paused_at_creation: false,
            max_active_runs: 16,
            parse_ms: 0.0,
            timetable_summary: "",
            timetable_description: "",
        })
        .await?;
    let now = Utc::now();
    let run_id = format!("bench__{}", spec.tasks.len());
    let new = NewRun {
        dag_id: spec.dag_id.as_str(),
        run_id: &run_id,
        run_type: "manual",
        logical_date: None,
        data_interval: None,
        run_after: now,
        conf: serde_json::json!({}),
        note: None,
        triggered_by: "test",
        triggering_user: None,
        version_id: upserted.version_id,
        trace: None,
    };
    let run = store.run_create(&new).await?.context("the run exists")?;
    store.runs_start(spec.dag_id.as_str()).await?;
    Ok(run)
}

fn fan(queue: &str, tasks: usize) -> anyhow::Result<DagSpec> {
    let base = serde_json::json!({"dag_id": format!("fan{tasks}"), "schedule": {"kind": "none"}, "tasks": [], "max_active_tasks": 16});
    let mut spec: DagSpec = serde_json::from_value(base)?;
    for i in 0..tasks {
        let run = TaskKind::Bash { bash_command: "true".to_owned(), env: None, append_env: false, cwd: None, skip_on_exit_code: vec![] };
        let mut task = TaskSpec::new(TaskId::new(format!("t{i:06}"))?, run);
        queue.clone_into(&mut task.queue);
        spec.tasks.push(task);
    }
    spec.validate()?;
    Ok(spec)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[expect(clippy::print_stdout, reason = "the result is this program's output")]
fn print_line(line: &str) {
    println!("{line}");
}
