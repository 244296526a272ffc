//! What one completion costs the database and the planner, in a small run and in a large one. Prints one JSON object.
//!
//! Run by `make bench BENCH=completion`. Each completion is what it is in production: the finish, the scheduler's turn (load, plan, commit,
//! admit) and the claim of what was admitted. No process is started.

use std::time::Instant;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
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
const TIMED: usize = 60;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set: run it by `make bench BENCH=completion`")?;
    // As the engine's own connections are.
    let mut options = Options::new(url, "completion bench");
    options.generic_plans = true;
    let store = Store::open(&options)?;
    let owner = Uuid::now_v7();
    let group = store.group_create(owner, "bench").await?;
    let mut small = Vec::new();
    let mut large = Vec::new();
    // Alternated, so that a slow moment of the disk hits both.
    for round in 0..3 {
        small.extend(measure(&store, &group, owner, SMALL, round).await?);
        large.extend(measure(&store, &group, owner, LARGE, round).await?);
    }
    let (small, large) = (median(&mut small), median(&mut large));
    let result = serde_json::json!({
        "bench": "completion", "seconds": large / 1000.0, "small_tasks": SMALL, "large_tasks": LARGE,
        "small_ms": round(small), "large_ms": round(large), "ratio": round(large / small),
    });
    print_line(&result.to_string());
    Ok(())
}

async fn measure(store: &Store, group: &GroupRow, owner: Uuid, tasks: usize, round: usize) -> anyhow::Result<Vec<f64>> {
    let spec = fan(tasks)?;
    let run = start(store, &spec, round).await?;
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
    };
    let mut scheduler = Scheduler::new(store.clone(), Broker::in_process(), config, watch::channel(serde_json::json!({})).1);
    scheduler.cycle(vec![run]).await?;
    let mut live = claim(store, group, owner).await?;
    let mut times = Vec::new();
    // The first ones warm the cache and the prepared statements.
    for n in 0..TIMED + 10 {
        let attempt = live.pop().context("nothing is live")?;
        let begin = Instant::now();
        let facts = EndFacts {
            started_at: Some(DateTime::UNIX_EPOCH),
            ended_at: Some(DateTime::UNIX_EPOCH),
            exit_code: Some(0),
            ..EndFacts::default()
        };
        let evidence = Evidence { runner: "bench".to_owned(), handle: None, host: None, facts };
        store.attempts_finish(&[attempt.finish(evidence)]).await?;
        scheduler.cycle(vec![run]).await?;
        live.extend(claim(store, group, owner).await?);
        if n >= 10 {
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(times)
}

async fn claim(store: &Store, group: &GroupRow, owner: Uuid) -> anyhow::Result<Vec<RunningAttempt>> {
    match store.attempts_pull(&["default".to_owned()], 64, group.id, owner, group.epoch, "bench").await? {
        Claimed::Attempts(attempts) => Ok(attempts),
        Claimed::GroupLost => anyhow::bail!("the lease group was lost"),
    }
}

async fn start(store: &Store, spec: &DagSpec, round: usize) -> anyhow::Result<RunKey> {
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
    let run_id = format!("bench__{}__{round}", spec.tasks.len());
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
    };
    let run = store.run_create(&new).await?.context("the run exists")?;
    store.runs_start(spec.dag_id.as_str()).await?;
    Ok(run)
}

fn fan(tasks: usize) -> anyhow::Result<DagSpec> {
    let base = serde_json::json!({"dag_id": format!("fan{tasks}"), "schedule": {"kind": "none"}, "tasks": [], "max_active_tasks": 16});
    let mut spec: DagSpec = serde_json::from_value(base)?;
    for i in 0..tasks {
        let run = TaskKind::Bash { bash_command: "true".to_owned(), env: None, append_env: false, cwd: None, skip_on_exit_code: vec![] };
        spec.tasks.push(TaskSpec::new(TaskId::new(format!("t{i:06}"))?, run));
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
