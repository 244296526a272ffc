//! Clearing: instances that are to run again.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use updraft_model::state::Intent;
use updraft_store::read::audit::Audit;
use updraft_store::read::runs::{RUN_COLUMNS, RunRow};
use updraft_store::read::{Compare, Filter, ListQuery, Test};

use crate::ApiState;
use crate::error::Error;
use crate::request::{Body, Caller, Fields};

/// Most runs that one request clears.
const MOST_RUNS: i64 = 1000;
/// Most instances that an answer shows; its total counts all.
const MOST_SHOWN: usize = 1000;

const KEYS: &[&str] = &[
    "dry_run",
    "start_date",
    "end_date",
    "only_failed",
    "only_running",
    "reset_dag_runs",
    "task_ids",
    "dag_run_id",
    "include_upstream",
    "include_downstream",
    "include_future",
    "include_past",
    "run_on_latest_version",
    "prevent_running_task",
    "note",
];

/// Which instances of the chosen runs.
#[derive(Debug, Clone, Default)]
struct Choice {
    tasks: Option<Vec<(String, Option<i32>)>>,
    up: bool,
    down: bool,
    only_failed: bool,
    only_running: bool,
}

/// Instances of one run: position, map index, state.
type Chosen = Vec<(i32, i32, String)>;

/// Instances of a run by task ids, with what comes before or after them.
pub(crate) async fn choose(
    state: &ApiState,
    run: &RunRow,
    tasks: Option<&[(String, Option<i32>)]>,
    up: bool,
    down: bool,
) -> Result<Chosen, Error> {
    let mut all = state.store().instance_states(run.key()).await?;
    let Some(tasks) = tasks else { return Ok(all) };
    let version = state.version(run.version_id).await?;
    let named: Vec<(u32, Option<i32>)> = tasks.iter().filter_map(|(id, map)| version.position(id).map(|at| (at, *map))).collect();
    let positions: Vec<u32> = named.iter().map(|(at, _)| *at).collect();
    let mut around = Vec::new();
    if up {
        around.extend(version.graph.closure(&positions, false));
    }
    if down {
        around.extend(version.graph.closure(&positions, true));
    }
    let mut whole: std::collections::HashSet<i32> = around.into_iter().filter_map(|at| i32::try_from(at).ok()).collect();
    let mut parts: std::collections::HashSet<(i32, i32)> = std::collections::HashSet::new();
    for (at, map) in named {
        let Ok(at) = i32::try_from(at) else { continue };
        match map {
            None => drop(whole.insert(at)),
            Some(map) => drop(parts.insert((at, map))),
        }
    }
    all.retain(|(idx, map, _)| whole.contains(idx) || parts.contains(&(*idx, *map)));
    Ok(all)
}

/// A run with those before or after it by date, oldest first.
pub(crate) async fn runs_around(state: &ApiState, run: &RunRow, past: bool, future: bool) -> Result<Vec<RunRow>, Error> {
    if !past && !future {
        return Ok(vec![run.clone()]);
    }
    let at = run.logical_date.unwrap_or(run.run_after);
    let from = (!past).then_some(at);
    let until = (!future).then_some(at);
    runs_between(state, &run.dag_id, from, until).await
}

async fn runs_between(
    state: &ApiState,
    dag_id: &str,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<Vec<RunRow>, Error> {
    let mut query = ListQuery::first(MOST_RUNS);
    for (bound, compare) in [(from, Compare::GreaterOrEqual), (until, Compare::LessOrEqual)] {
        if let Some(at) = bound
            && let Some(column) = RUN_COLUMNS.iter().find(|c| c.name == "run_after")
        {
            query.filters.push(Filter { column, test: Test::Time(compare, at) });
        }
    }
    let page = state.store().run_list(Some(dag_id), &query).await?;
    if page.total > MOST_RUNS {
        return Err(Error::BadRequest(format!(
            "the request covers {} runs; at most {MOST_RUNS} are cleared at once: narrow its dates",
            page.total
        )));
    }
    Ok(page.rows)
}

pub(crate) async fn instances(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    let mut fields = Fields::of(body.clone(), KEYS)?;
    let dry_run = fields.flag("dry_run", true);
    let start = fields.time("start_date");
    let end = fields.time("end_date");
    let reset = fields.flag("reset_dag_runs", true);
    let run_id = fields.text("dag_run_id");
    let future = fields.flag("include_future", false);
    let past = fields.flag("include_past", false);
    let prevent_running = fields.flag("prevent_running_task", false);
    let note = fields.text("note");
    let choice = Choice {
        tasks: fields.tasks("task_ids"),
        up: fields.flag("include_upstream", false),
        down: fields.flag("include_downstream", false),
        only_failed: fields.flag("only_failed", true),
        only_running: fields.flag("only_running", false),
    };
    if (future || past) && run_id.is_none() {
        fields.refuse("dag_run_id", "dag_run_id is required to use include_future or include_past");
    }
    if run_id.is_some() && (start.is_some() || end.is_some()) {
        fields.refuse("dag_run_id", "Exactly one of dag_run_id or (start_date and end_date) must be provided");
    }
    fields.done()?;

    let dag = super::dags::find(&state, &dag_id).await?;
    if let Some(tasks) = &choice.tasks {
        let version = state.version(dag.version_id).await?;
        let known = match &run_id {
            Some(run_id) => Some(state.version(super::runs::find(&state, &dag_id, run_id).await?.version_id).await?),
            None => None,
        };
        let known = known.as_ref().unwrap_or(&version);
        if let Some((missing, _)) = tasks.iter().find(|(id, _)| known.position(id).is_none()) {
            return Err(Error::NotFound(format!("Task with id {missing} was not found")));
        }
    }
    let runs = match &run_id {
        Some(run_id) => {
            let run = super::runs::find(&state, &dag_id, run_id).await?;
            runs_around(&state, &run, past, future).await?
        }
        None => runs_between(&state, &dag_id, start, end).await?,
    };
    clear(&state, &caller, runs, &choice, Options { dry_run, reset, prevent_running, note, body, event: "post_clear_task_instances" }).await
}

pub(crate) async fn run(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    let mut fields = Fields::of(body.clone(), &["dry_run", "only_failed", "only_new", "run_on_latest_version", "note"])?;
    let dry_run = fields.flag("dry_run", true);
    let only_failed = fields.flag("only_failed", false);
    let note = fields.text("note");
    fields.done()?;
    let run = super::runs::find(&state, &dag_id, &run_id).await?;
    let choice = Choice { only_failed, ..Choice::default() };
    let name = run.run_id.clone();
    let options = Options { dry_run, reset: true, prevent_running: false, note, body, event: "clear_dag_run" };
    let cleared = clear(&state, &caller, vec![run], &choice, options).await?;
    if dry_run {
        return Ok(cleared);
    }
    let row = super::runs::find(&state, &dag_id, &name).await?;
    Ok(Json(super::runs::shape(&state, &row).await?))
}

struct Options {
    dry_run: bool,
    reset: bool,
    prevent_running: bool,
    note: Option<String>,
    body: Value,
    event: &'static str,
}

async fn clear(state: &ApiState, caller: &Caller, runs: Vec<RunRow>, choice: &Choice, options: Options) -> Result<Json<Value>, Error> {
    let mut chosen: Vec<(RunRow, Chosen)> = Vec::new();
    for run in runs {
        let mut instances = choose(state, &run, choice.tasks.as_deref(), choice.up, choice.down).await?;
        instances.retain(|(_, _, s)| match s.as_str() {
            // Nothing has happened to it: there is nothing to clear, unless its run was ended before it began (a backfill was cancelled).
            "none" => run.is_over() && !choice.only_failed && !choice.only_running,
            "failed" | "upstream_failed" => !choice.only_running,
            "running" => choice.only_running || !choice.only_failed,
            _ => !choice.only_failed && !choice.only_running,
        });
        if !instances.is_empty() {
            chosen.push((run, instances));
        }
    }
    if options.prevent_running
        && let Some((run, _)) = chosen.iter().find(|(_, instances)| instances.iter().any(|(_, _, s)| s == "running"))
    {
        return Err(Error::Conflict(format!(
            "a task of run {} is running; clear it without prevent_running_task, or wait for it",
            run.run_id
        )));
    }
    let total: usize = chosen.iter().map(|(_, instances)| instances.len()).sum();
    if !options.dry_run {
        let mut keys = Vec::new();
        let mut dag = None;
        for (run, instances) in &chosen {
            let pairs: Vec<(i32, i32)> = instances.iter().map(|(idx, map, _)| (*idx, *map)).collect();
            super::runs::ask(state, run.key(), &pairs, Intent::Clear, &caller.user).await?;
            // Reopened after its instances are cleared, or the planner could find it complete and end it again.
            if options.reset && run.is_over() {
                state.store().run_reopen(run.key()).await?;
            }
            if let Some(note) = &options.note {
                for (idx, map) in &pairs {
                    state.store().instance_note(run.key(), *idx, *map, Some(note)).await?;
                }
            }
            let entry = Audit {
                who: &caller.user,
                event: options.event,
                dag_id: Some(&run.dag_id),
                run_id: Some(&run.run_id),
                logical_date: run.logical_date,
                extra: Some(options.body.clone()),
                ..Audit::default()
            };
            state.store().audit_write(&entry).await?;
            keys.push(run.key());
            dag = Some(run.dag_id.clone());
        }
        if let Some(dag_id) = dag {
            state.nudge(&dag_id, &keys).await?;
        }
    }
    let mut rows = Vec::new();
    'all: for (run, instances) in &chosen {
        for (idx, map, _) in instances {
            if rows.len() >= MOST_SHOWN {
                break 'all;
            }
            if let Some(row) = state.store().instance_get(run.key(), *idx, *map).await? {
                rows.push(super::instances::shape(state, &row).await?);
            }
        }
    }
    Ok(Json(json!({"task_instances": rows, "total_entries": total})))
}
