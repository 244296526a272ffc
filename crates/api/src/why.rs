//! "Why isn't my task running?", and for one that is over: how it ended, who pays, and what proves it.
//!
//! What the graph says comes from `planner::why`, the same predicates that schedule; pools, limits, workers and the pause come from the
//! store. The answer is a list of what stands in the way and one sentence.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use updraft_model::{RunState, TaskSpec, TaskState};
use updraft_planner::{InstanceState, RunView, Waiting as Planned};
use updraft_store::read::instances::{AttemptRow, InstanceRow};
use updraft_store::read::runs::RunRow;
use updraft_store::read::why::WhyFacts;

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes;
use crate::versions::Version;

/// Why a task waits; of one that is over, how it ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WhyAnswer {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    run_state: String,
    state: Option<String>,
    summary: String,
    waiting: Vec<Waiting>,
    #[schemars(with = "Option<shapes::Time>")]
    since: Option<DateTime<Utc>>,
    try_number: i32,
    max_tries: i32,
    attempts_left: i32,
    #[schemars(with = "Option<shapes::Time>")]
    next_attempt_at: Option<DateTime<Utc>>,
    budget: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    evidence: Option<Value>,
    attempts: Vec<Attempt>,
    log: Option<String>,
}

/// One attempt, and what proves its end.
#[derive(Debug, Serialize, JsonSchema)]
struct Attempt {
    try_number: i32,
    state: String,
    /// Who pays: the task's retries, or those of the infrastructure.
    budget: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    host: Option<String>,
    #[schemars(with = "Option<shapes::Time>")]
    queued_at: Option<DateTime<Utc>>,
    #[schemars(with = "Option<shapes::Time>")]
    started_at: Option<DateTime<Utc>>,
    #[schemars(with = "Option<shapes::Time>")]
    ended_at: Option<DateTime<Utc>>,
    evidence: Option<Value>,
}

/// What keeps an instance from being queued.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskDependencyResponse")]
pub(crate) struct Dependency {
    name: &'static str,
    reason: String,
}

/// All that keeps an instance from being queued.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskDependencyCollectionResponse")]
pub(crate) struct Dependencies {
    dependencies: Vec<Dependency>,
}

/// One thing that stands in the way.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Waiting {
    kind: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn waiting(kind: &'static str, detail: impl Into<String>) -> Waiting {
    Waiting { kind, detail: detail.into(), task_id: None, state: None, remedy: None }
}

impl Waiting {
    fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }
}

pub(crate) async fn why(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<WhyAnswer>, Error> {
    let map_index = params.map_index()?;
    let (run, row) = super::instances::find(&state, &dag_id, &run_id, &task_id, map_index).await?;
    let version = state.version(run.version_id).await?;
    let task = version.task(row.idx).ok_or_else(|| Error::Broken(format!("task {} is not in its version", row.idx)))?;
    let facts = state
        .store()
        .why_facts(
            run.key(),
            row.idx,
            row.map_index,
            row.queue.as_deref().unwrap_or(&task.queue),
            row.pool.as_deref().unwrap_or(&task.pool),
        )
        .await?
        .ok_or_else(|| Error::NotFound(format!("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")))?;
    let attempts = state.store().attempt_list(run.key(), row.idx, row.map_index).await?;
    let (try_number, max_tries) = shapes::tries(&row, task);
    let mut found = waiting_of(&state, &run, &row, &version, task, &facts).await?;
    found.dedup_by(|a, b| a.kind == b.kind && a.detail == b.detail);
    let last = attempts.iter().rfind(|a| a.attempt == row.attempt && a.ended_at.is_some());
    let summary = summary(&row, task, &found, last, facts.now);
    Ok(Json(WhyAnswer {
        dag_id,
        dag_run_id: run.run_id.clone(),
        task_id,
        map_index,
        run_state: run.state.clone(),
        state: row.state.parse::<TaskState>().ok().and_then(TaskState::as_api).map(str::to_owned),
        summary,
        waiting: found,
        since: row.ended_at.or(row.started_at).or(row.queued_at).or(row.ready_since).or(run.start_date).or(Some(run.queued_at)),
        try_number,
        max_tries,
        attempts_left: (i32::try_from(task.retries).unwrap_or(i32::MAX) - row.user_failures).max(0),
        next_attempt_at: row.not_before.filter(|_| row.state == "up_for_retry"),
        budget: last.and_then(|a| a.budget.clone()),
        reason: row.reason.clone().or_else(|| last.and_then(|a| a.reason.clone())),
        message: row.message.clone().or_else(|| last.and_then(|a| a.message.clone())),
        evidence: last.and_then(facts_of),
        attempts: attempts.iter().filter(|a| a.attempt > run.attempt_base).map(|a| attempt_shape(a, run.attempt_base)).collect(),
        log: (!attempts.is_empty()).then(|| format!("updraft tasks logs {} {} {}", run.dag_id, run.run_id, row_task(task))),
    }))
}

/// Airflow's name for what stands in the way, where it has one.
fn dependency_name(kind: &'static str) -> &'static str {
    match kind {
        "upstream" | "trigger_rule" => "Trigger Rule",
        "past_run" => "Previous Dagrun State",
        "paused" => "Dag Not Paused",
        "run_over" | "run_queued" | "max_active_runs" | "until" => "Dagrun Running",
        "pool" => "Pool Slots Available",
        "max_active_tasks" | "max_active_tis_per_dag" => "Task Concurrency",
        other => other,
    }
}

/// What keeps an instance from being queued, as Airflow lists it: the same that [`why`] says. Nothing, of one that was queued already.
async fn blocking(state: &ApiState, ids: (&str, &str, &str), map_index: i32) -> Result<Json<Dependencies>, Error> {
    let (dag_id, run_id, task_id) = ids;
    let (run, row) = super::instances::find(state, dag_id, run_id, task_id, map_index).await?;
    let mut found = Vec::new();
    if matches!(row.state.as_str(), "none" | "scheduled") {
        let version = state.version(run.version_id).await?;
        let task = version.task(row.idx).ok_or_else(|| Error::Broken(format!("task {} is not in its version", row.idx)))?;
        let queue = row.queue.as_deref().unwrap_or(&task.queue);
        let pool = row.pool.as_deref().unwrap_or(&task.pool);
        if let Some(facts) = state.store().why_facts(run.key(), row.idx, row.map_index, queue, pool).await? {
            found = waiting_of(state, &run, &row, &version, task, &facts).await?;
        }
    }
    // The scheduler's next look is no dependency.
    found.retain(|waiting| waiting.kind != "scheduler");
    let mut dependencies: Vec<(&'static str, String)> = found.into_iter().map(|w| (dependency_name(w.kind), w.detail)).collect();
    dependencies.sort();
    dependencies.dedup();
    Ok(Json(Dependencies { dependencies: dependencies.into_iter().map(|(name, reason)| Dependency { name, reason }).collect() }))
}

pub(crate) async fn dependencies(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<Dependencies>, Error> {
    let map_index = params.map_index()?;
    blocking(&state, (&dag_id, &run_id, &task_id), map_index).await
}

pub(crate) async fn dependencies_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
) -> Result<Json<Dependencies>, Error> {
    blocking(&state, (&dag_id, &run_id, &task_id), super::instances::map_index(&map)?).await
}

fn row_task(task: &TaskSpec) -> &str {
    task.task_id.as_str()
}

/// The facts that a state follows from, without the record of the pod: that is long, and [`crate::attempt`] masks it.
fn facts_of(attempt: &AttemptRow) -> Option<Value> {
    let mut evidence = attempt.evidence.clone()?;
    if let Some(facts) = evidence.as_object_mut() {
        facts.remove("pod");
    }
    Some(evidence)
}

fn attempt_shape(attempt: &AttemptRow, base: i32) -> Attempt {
    Attempt {
        try_number: attempt.attempt - base,
        state: attempt.state.clone(),
        budget: attempt.budget.clone(),
        reason: attempt.reason.clone(),
        message: attempt.message.clone(),
        host: attempt.host.as_deref().map(|host| shapes::hostname(Some(host)).to_owned()),
        queued_at: attempt.queued_at,
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        evidence: facts_of(attempt),
    }
}

/// What stands in the way, nearest first.
async fn waiting_of(
    state: &ApiState,
    run: &RunRow,
    row: &InstanceRow,
    version: &Version,
    task: &TaskSpec,
    facts: &WhyFacts,
) -> Result<Vec<Waiting>, Error> {
    let mut found = Vec::new();
    if let Some(intent) = &row.intent {
        let by = row.intent_by.as_deref().unwrap_or("somebody");
        found.push(waiting("stopping", format!("{by} asked to {} it: its worker is ending the attempt", intent.replace('_', " "))));
    }
    let Ok(at) = u32::try_from(row.idx) else { return Ok(found) };
    // The planner needs the task and what is right before it: the rest of the run does not matter to the answer.
    let mut positions: Vec<i32> = version.graph.upstream(at).iter().filter_map(|up| i32::try_from(*up).ok()).collect();
    positions.push(row.idx);
    let states = state.store().neighbour_states(run.key(), &positions).await?;
    let past = match version.graph.waits_for_past().then_some(run.key()) {
        Some(key) => past_of(state, key).await?,
        None => None,
    };
    let instances = states.iter().filter_map(|n| {
        let not_before = row.not_before.filter(|_| n.idx == row.idx);
        Some(InstanceState { task: u32::try_from(n.idx).ok()?, state: n.state.parse().ok()?, not_before })
    });
    // One that is missing was deleted by a person, and counts as that.
    let deleted = positions
        .iter()
        .filter(|position| !states.iter().any(|n| n.idx == **position))
        .filter_map(|position| Some(InstanceState { task: u32::try_from(*position).ok()?, state: TaskState::Removed, not_before: None }));
    let instances = instances.chain(deleted);
    let run_state: RunState = run.state.parse().map_err(|e| Error::Broken(format!("run {}: {e}", run.id)))?;
    let view = RunView::new(std::sync::Arc::clone(&version.graph), run_state, instances, None, past);
    for planned in updraft_planner::why(&view, at, facts.now) {
        match planned {
            Planned::RunQueued => found.extend(run_queued(run, facts)),
            Planned::RunOver { state } => found.push(
                waiting("run_over", format!("the run is over ({state}) and nothing starts in it any more"))
                    .remedy(format!("updraft tasks clear {} {} --task {}", run.dag_id, run.run_id, task.task_id)),
            ),
            Planned::Upstream { task_id, state: up } => {
                let word = if up == "none" { "has not started" } else { up };
                // The planner does not tell queued from running: the rows do.
                let real =
                    version.position(&task_id).and_then(|p| states.iter().find(|n| u32::try_from(n.idx) == Ok(p))).map(|n| n.state.clone());
                let word = real.clone().filter(|r| r != "none").unwrap_or_else(|| word.to_owned());
                let mut entry = waiting("upstream", format!("upstream {task_id} is not over: {word}"));
                entry.state = real;
                entry.remedy = Some(format!("updraft why {} {} {task_id}", run.dag_id, run.run_id));
                entry.task_id = Some(task_id);
                found.push(entry);
            }
            Planned::Never { rule, becomes } => {
                found.push(waiting("trigger_rule", format!("its trigger rule {rule} can no longer be met: it becomes {becomes}")));
            }
            Planned::PastRun => found.push(waiting(
                "past_run",
                "depends_on_past: the same task of the run before has not ended well (or, with wait_for_downstream, what comes after it)",
            )),
            Planned::Until { at } => {
                let when = at.or(row.not_before).map_or_else(|| "its retry delay is over".to_owned(), shapes::time_text);
                found.push(waiting("retry_delay", format!("it is tried again at {when}")));
            }
            Planned::Admission => found.extend(admission(state, row, task, version, facts).await?),
            Planned::Deferred => {
                let what = row.message.as_deref().unwrap_or("the scheduler is about to look at it");
                // What waits by the clock says when by itself.
                let until = row.not_before.map(|at| format!(" (looked at again at {})", shapes::time_text(at))).unwrap_or_default();
                found.push(waiting("deferred", format!("{what}{until}")));
                if facts.schedulers == 0 {
                    found.push(no_scheduler());
                }
            }
            Planned::Live => found.extend(live(row, task, facts)),
            Planned::Ready => {
                found.push(waiting("scheduler", "everything is met: the scheduler moves it at its next look"));
                if facts.schedulers == 0 {
                    found.push(no_scheduler());
                }
            }
            Planned::Over { .. } => {}
        }
    }
    Ok(found)
}

async fn past_of(state: &ApiState, run: updraft_model::RunKey) -> Result<Option<updraft_planner::Past>, Error> {
    let Some((_, version_id, instances)) = state.store().run_before(run).await? else { return Ok(None) };
    let mut past = updraft_planner::Past::new();
    let version = state.version(version_id).await?;
    for instance in instances {
        if let (Some(task), Ok(state)) = (version.task(instance.idx), instance.state.parse()) {
            past.insert(task.task_id.to_string(), state);
        }
    }
    Ok(Some(past))
}

fn no_scheduler() -> Waiting {
    waiting("no_scheduler", "no scheduler has been heard of for 30 seconds").remedy("start one: updraft standalone, or updraft scheduler")
}

fn in_maintenance(facts: &WhyFacts) -> Option<Waiting> {
    let since = shapes::time_text(facts.maintenance_since?);
    let reason = facts.maintenance_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(
        waiting("maintenance", format!("nothing is launched since {since}, there is a maintenance{reason}"))
            .remedy("updraft maintenance off"),
    )
}

fn run_queued(run: &RunRow, facts: &WhyFacts) -> Vec<Waiting> {
    let mut found = Vec::new();
    if facts.dag_stale {
        found.push(waiting("dag_gone", "the DAG is no longer in its file"));
    }
    if facts.dag_paused {
        found
            .push(waiting("paused", "the DAG is paused, so its run does not start").remedy(format!("updraft dags unpause {}", run.dag_id)));
    }
    if run.run_after > facts.now {
        found.push(waiting("until", format!("the run may start at {}", shapes::time_text(run.run_after))));
    }
    if let Some(backfill) = facts.backfill_id.filter(|_| facts.backfill_paused) {
        found.push(
            waiting("backfill_paused", format!("its backfill {backfill} is paused")).remedy(format!("updraft backfill unpause {backfill}")),
        );
    }
    if facts.active_runs >= i64::from(facts.max_active_runs) {
        let whose = facts.backfill_id.map_or_else(|| "the DAG".to_owned(), |backfill| format!("backfill {backfill}"));
        found.push(waiting(
            "max_active_runs",
            format!("{} runs of {whose} are running and max_active_runs is {}", facts.active_runs, facts.max_active_runs),
        ));
    }
    if found.is_empty() {
        found.push(waiting("run_queued", "the run is about to start"));
        if facts.schedulers == 0 {
            found.push(no_scheduler());
        }
    }
    found
}

/// Ready, and without a slot: which limit?
async fn admission(
    state: &ApiState,
    row: &InstanceRow,
    task: &TaskSpec,
    version: &Version,
    facts: &WhyFacts,
) -> Result<Vec<Waiting>, Error> {
    if let Some(launches_stopped) = in_maintenance(facts) {
        return Ok(vec![launches_stopped]);
    }
    let mut found = Vec::new();
    let pool = row.pool.as_deref().unwrap_or(&task.pool);
    match state.store().pool_get(pool).await? {
        None => found.push(waiting("pool", format!("the pool {pool} does not exist")).remedy(format!("updraft pools set {pool} SLOTS"))),
        Some(p) => {
            let slots = i64::from(p.slots);
            let used = p.running + p.queued;
            if slots >= 0 && slots < i64::from(task.pool_slots) {
                found.push(
                    waiting("pool", format!("it wants {} slots and the pool {pool} has {slots} in all: it can never run", task.pool_slots))
                        .remedy(format!("updraft pools set {pool} {}", task.pool_slots)),
                );
            } else if slots >= 0 && used + i64::from(task.pool_slots) > slots {
                found.push(waiting(
                    "pool",
                    format!("the pool {pool} is full: {used} of {slots} slots are held, it wants {}", task.pool_slots),
                ));
            }
        }
    }
    let spec = version.spec();
    let limit = spec.max_active_tasks.unwrap_or(state.inner.defaults.max_active_tasks);
    if facts.live_in_run >= i64::from(limit) {
        found.push(waiting(
            "max_active_tasks",
            format!("{} tasks of the run are active and max_active_tasks is {limit}", facts.live_in_run),
        ));
    }
    if let Some(limit) = task.max_active_tis_per_dag
        && facts.live_of_task >= i64::from(limit)
    {
        found.push(waiting(
            "max_active_tis_per_dag",
            format!("{} instances of this task are active in all runs and max_active_tis_per_dag is {limit}", facts.live_of_task),
        ));
    }
    if !found.is_empty() && facts.ahead > 0 {
        found.push(waiting("priority", format!("{} tasks of the run come before it in the pool", facts.ahead)));
    }
    if found.is_empty() {
        found.push(waiting("scheduler", "it is ready and a slot is free: the scheduler admits it at its next look"));
    }
    if facts.schedulers == 0 {
        found.push(no_scheduler());
    }
    Ok(found)
}

fn live(row: &InstanceRow, task: &TaskSpec, facts: &WhyFacts) -> Vec<Waiting> {
    let mut found = Vec::new();
    if row.state == "queued" {
        let queue = row.queue.as_deref().unwrap_or(&task.queue);
        if let Some(launches_stopped) = in_maintenance(facts) {
            found.push(launches_stopped);
        } else if facts.workers == 0 && facts.draining > 0 {
            found.push(
                waiting("workers_drain", format!("all {} workers of the queue {queue} drain: they take nothing new", facts.draining))
                    .remedy("updraft workers list; updraft workers undrain WORKER, or start another worker"),
            );
        } else if facts.workers == 0 {
            found.push(
                waiting("no_worker", format!("no worker serves the queue {queue}"))
                    .remedy(format!("start one: updraft worker --queues {queue}")),
            );
        } else if facts.worker_room == 0 {
            found.push(waiting("workers_full", format!("all {} workers of the queue {queue} are full", facts.workers)));
        } else {
            found.push(waiting("worker", format!("a worker of the queue {queue} takes it in a moment")));
        }
    } else {
        // What the runner says while the command has not begun: an image that cannot be pulled, a node that is missing, a quota.
        found.extend(facts.detail.as_deref().map(|detail| waiting("launch", detail)));
        match facts.watcher_heartbeat {
            None => found.push(
                waiting("no_watcher", "it runs, but no worker watches it")
                    .remedy("start a worker on the same host: it adopts the attempt, with its end if it has ended"),
            ),
            Some(at) if facts.now - at > chrono::TimeDelta::seconds(30) => found.push(waiting(
                "watcher_silent",
                format!(
                    "it runs, but its worker on {} is silent since {}",
                    facts.watcher_host.as_deref().map_or("an unknown host", |h| shapes::hostname(Some(h))),
                    shapes::time_text(at)
                ),
            )),
            Some(_) => {}
        }
    }
    found
}

fn ago(then: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let seconds = then.map_or(0, |t| (now - t).num_seconds().max(0));
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// One sentence.
fn summary(row: &InstanceRow, task: &TaskSpec, found: &[Waiting], last: Option<&AttemptRow>, now: DateTime<Utc>) -> String {
    let details = || found.iter().map(|w| w.detail.as_str()).collect::<Vec<_>>().join("; ");
    let message = row.message.as_deref().or_else(|| last.and_then(|a| a.message.as_deref()));
    match row.state.as_str() {
        "success" => message.map_or_else(
            || match last.and_then(|a| a.started_at.zip(a.ended_at)) {
                Some((start, end)) => format!("succeeded: exited 0 after {:.1} s", (end - start).as_seconds_f64()),
                None => "succeeded: there was nothing to run".to_owned(),
            },
            |m| format!("succeeded: {m}"),
        ),
        "failed" => {
            let tries = match task.retries {
                0 => "it has no retries".to_owned(),
                n => format!(
                    "{} of {n} retries are used",
                    row.user_failures.saturating_sub(1).max(0).min(i32::try_from(n).unwrap_or(i32::MAX))
                ),
            };
            format!("failed: {}; {tries}", message.unwrap_or("no reason was stored"))
        }
        "up_for_retry" => format!("failed and waits: {}; {}", message.unwrap_or("no reason was stored"), details()),
        "upstream_failed" => format!("did not run: {}", message.unwrap_or("an upstream failed and its trigger rule needs it")),
        "skipped" => format!("skipped: {}", message.or(row.reason.as_deref()).unwrap_or("its trigger rule asks for it")),
        "running" if found.is_empty() => {
            format!("running for {} on {}", ago(row.started_at, now), row.host.as_deref().map_or("a worker", |h| shapes::hostname(Some(h))))
        }
        _ if found.is_empty() => format!("{}: nothing stands in the way", row.state),
        _ => details(),
    }
}
