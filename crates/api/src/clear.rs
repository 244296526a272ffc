//! Clearing: instances that are to run again.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_model::RunKey;
use updraft_model::state::Intent;
use updraft_store::read::audit::Audit;
use updraft_store::read::instances::InstanceRow;
use updraft_store::read::runs::{RUN_COLUMNS, RunRow};
use updraft_store::read::{Compare, Filter, ListQuery, Test};

use crate::ApiState;
use crate::cursor::Ends;
use crate::error::Error;
use crate::listing;
use crate::request::{Body, Caller, Fields};
use crate::runs::Runs;
use crate::shapes::{Instance, Run};

pub(crate) mod latest;

/// Most runs that one request clears.
const MOST_RUNS: i64 = 1000;
/// Most instances that an answer shows; its total counts all.
const MOST_SHOWN: usize = 1000;

pub(crate) const KEYS: &[&str] = &[
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
pub(crate) type Chosen = Vec<(i32, i32, String)>;

/// What goes along with tasks that are named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Along {
    /// Nothing.
    Nothing,
    /// What is marked with them: all before or after them, if asked for, without teardowns after them.
    Marked { up: bool, down: bool },
    /// What is cleared with them: likewise, and their setups and teardowns.
    Cleared { up: bool, down: bool },
}

/// Instances of a run by task ids, with what goes along with them.
pub(crate) async fn choose(state: &ApiState, run: &RunRow, tasks: Option<&[(String, Option<i32>)]>, along: Along) -> Result<Chosen, Error> {
    let mut all = state.store().instance_states(run.key()).await?;
    let Some(tasks) = tasks else { return Ok(all) };
    let version = state.version(run.version_id).await?;
    let named: Vec<(u32, Option<i32>)> = tasks.iter().filter_map(|(id, map)| version.position(id).map(|at| (at, *map))).collect();
    let positions: Vec<u32> = named.iter().map(|(at, _)| *at).collect();
    let around = match along {
        Along::Nothing => Vec::new(),
        Along::Marked { up, down } => version.graph.marked_with(&positions, up, down),
        Along::Cleared { up, down } => version.graph.cleared_with(&positions, up, down),
    };
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

fn keys_of(run: &RunRow, chosen: &Chosen) -> impl Iterator<Item = (RunKey, i32, i32)> {
    chosen.iter().map(|(idx, map, _)| (run.key(), *idx, *map))
}

/// The rows of chosen instances.
pub(crate) async fn chosen_rows(state: &ApiState, run: &RunRow, chosen: &Chosen) -> Result<Vec<InstanceRow>, Error> {
    Ok(state.store().instances_get(&keys_of(run, chosen).collect::<Vec<_>>()).await?)
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
) -> Result<Json<ClearedInstances>, Error> {
    let mut fields = Fields::of(body.clone(), KEYS)?;
    let dry_run = fields.flag("dry_run", true);
    let start = fields.time("start_date");
    let end = fields.time("end_date");
    let reset = fields.flag("reset_dag_runs", true);
    let run_id = fields.text("dag_run_id");
    let future = fields.flag("include_future", false);
    let past = fields.flag("include_past", false);
    let prevent_running = fields.flag("prevent_running_task", false);
    let latest = fields.flag("run_on_latest_version", false);
    let note = fields.note();
    let switched_on = |name: &str| body.get(name) == Some(&json!(true));
    if switched_on("only_failed") && switched_on("only_running") {
        fields.refuse("only_running", "only_failed and only_running both are set to True");
    }
    if start.zip(end).is_some_and(|(start, end)| end < start) {
        fields.refuse("end_date", "end_date is sooner than start_date");
    }
    if body.get("task_ids").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fields.refuse("task_ids", "task_ids list should have at least 1 element.");
    }
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
            if (past || future) && run.logical_date.is_none() {
                let why = "Cannot use include_past or include_future with no logical_date(e.g. manually or asset-triggered).";
                return Err(Error::BadRequest(why.to_owned()));
            }
            runs_around(&state, &run, past, future).await?
        }
        None => runs_between(&state, &dag_id, start, end).await?,
    };
    let options = Options { dry_run, reset, latest, prevent_running, note, body, event: "post_clear_task_instances" };
    let cleared = clear(&state, &caller, runs, &choice, options).await?;
    Ok(Json(cleared.answer()))
}

/// What was cleared, or would be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClearTaskInstanceCollectionResponse")]
pub(crate) struct ClearedInstances {
    /// The first thousand of them.
    task_instances: Vec<Shown>,
    total_entries: i64,
}

/// An instance, or a task that a run has not yet.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Shown {
    Instance(Box<Instance>),
    New(NewTask),
}

/// A task of the DAG's newest version that the run's version has not.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NewTaskResponse")]
pub(crate) struct NewTask {
    task_id: String,
    task_display_name: String,
}

/// What would be cleared, or the run that was.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum ClearedRun {
    WouldBe(ClearedInstances),
    Is(Box<Run>),
}

/// What would be cleared, or the runs that were.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum ClearedRuns {
    WouldBe(ClearedInstances),
    Are(Runs),
}

pub(crate) const RUN_KEYS: [&str; 5] = ["dry_run", "only_failed", "only_new", "run_on_latest_version", "note"];

/// What is done to whole runs.
struct OfRuns {
    dry_run: bool,
    only_failed: bool,
    only_new: bool,
    latest: bool,
    note: Option<Option<String>>,
}

impl OfRuns {
    fn read(fields: &mut Fields) -> Self {
        let of_runs = Self {
            dry_run: fields.flag("dry_run", true),
            only_failed: fields.flag("only_failed", false),
            only_new: fields.flag("only_new", false),
            latest: fields.flag("run_on_latest_version", false),
            note: fields.note(),
        };
        if of_runs.only_new && of_runs.only_failed {
            fields.refuse("only_new", "only_new and only_failed are mutually exclusive");
        }
        of_runs
    }

    /// What would be cleared: instances, and how many there are.
    async fn show(&self, state: &ApiState, caller: &Caller, run: &RunRow) -> Result<Cleared, Error> {
        if self.only_new {
            let tasks = new_tasks(state, run).await?;
            let new = |id: &String| Shown::New(NewTask { task_id: id.clone(), task_display_name: id.clone() });
            let shown: Vec<Shown> = tasks.iter().map(new).collect();
            return Ok(Cleared { total: shown.len(), shown });
        }
        self.clear(state, caller, run, true, Value::Null, "").await
    }

    async fn act(&self, state: &ApiState, caller: &Caller, run: &RunRow, body: &Value, event: &'static str) -> Result<(), Error> {
        if !self.only_new {
            self.clear(state, caller, run, false, body.clone(), event).await?;
        }
        if let Some(note) = &self.note {
            state.store().run_note(run.key(), note.as_deref()).await?;
        }
        if self.only_new {
            // What is cleared is in the log already.
            let entry = Audit {
                who: &caller.user,
                event,
                dag_id: Some(&run.dag_id),
                run_id: Some(&run.run_id),
                logical_date: run.logical_date,
                extra: Some(body.clone()),
                ..Audit::default()
            };
            state.store().audit_write(&entry).await?;
        }
        Ok(())
    }

    /// A run stays with the version that it began with, so what is new cannot come into it.
    async fn check(&self, state: &ApiState, run: &RunRow) -> Result<(), Error> {
        let new = if self.only_new && !self.dry_run { new_tasks(state, run).await? } else { Vec::new() };
        if new.is_empty() {
            return Ok(());
        }
        Err(Error::NotImplemented(format!(
            "the run {} stays with the version of its DAG that it began with, so {} cannot run in it: trigger a new run",
            run.run_id,
            new.join(", ")
        )))
    }

    async fn clear(
        &self,
        state: &ApiState,
        caller: &Caller,
        run: &RunRow,
        dry_run: bool,
        body: Value,
        event: &'static str,
    ) -> Result<Cleared, Error> {
        let choice = Choice { only_failed: self.only_failed, ..Choice::default() };
        let options = Options { dry_run, reset: true, latest: self.latest, prevent_running: false, note: None, body, event };
        clear(state, caller, vec![run.clone()], &choice, options).await
    }
}

/// Tasks of the DAG's newest version that the run's version has not.
async fn new_tasks(state: &ApiState, run: &RunRow) -> Result<Vec<String>, Error> {
    let dag = super::dags::find(state, &run.dag_id).await?;
    let (old, new) = (state.version(run.version_id).await?, state.version(dag.version_id).await?);
    let mut tasks: Vec<String> =
        new.spec().tasks.iter().map(|task| task.task_id.to_string()).filter(|id| old.position(id).is_none()).collect();
    tasks.sort_unstable();
    Ok(tasks)
}

pub(crate) async fn run(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<ClearedRun>, Error> {
    let mut fields = Fields::of(body.clone(), &RUN_KEYS)?;
    let of_runs = OfRuns::read(&mut fields);
    fields.done()?;
    let run = super::runs::find(&state, &dag_id, &run_id).await?;
    if of_runs.dry_run {
        let cleared = of_runs.show(&state, &caller, &run).await?;
        return Ok(Json(ClearedRun::WouldBe(cleared.answer())));
    }
    of_runs.check(&state, &run).await?;
    of_runs.act(&state, &caller, &run, &body, "clear_dag_run").await?;
    let row = super::runs::find(&state, &dag_id, &run.run_id).await?;
    Ok(Json(ClearedRun::Is(Box::new(super::runs::shape(&state, &row).await?))))
}

pub(crate) const PARTITION_KEYS: [&str; 3] = ["partition_key", "partition_date_start", "partition_date_end"];

/// Demands one way of choosing runs: `other` is the one that is not by partition.
fn one_selector(fields: &mut Fields, other: &str, has_other: bool) -> bool {
    let key = fields.text("partition_key").is_some();
    let (start, end) = (fields.time("partition_date_start"), fields.time("partition_date_end"));
    let dates = start.is_some() || end.is_some();
    if i32::from(key) + i32::from(dates) + i32::from(has_other) != 1 {
        let ways = "partition_key, or a partition date window (partition_date_start / partition_date_end)";
        fields.refuse("partition_key", &format!("Exactly one of {other}, {ways} must be provided."));
    } else if start.zip(end).is_some_and(|(start, end)| end < start) {
        fields.refuse("partition_date_start", "partition_date_start must be on or before partition_date_end.");
    }
    key || dates
}

/// Clears many runs: all are looked up before the first is touched. No run here has a partition.
pub(crate) async fn runs(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<ClearedRuns>, Error> {
    let mut fields = Fields::of(body.clone(), &[&RUN_KEYS[..], &PARTITION_KEYS[..], &["dag_runs"][..]].concat())?;
    let of_runs = OfRuns::read(&mut fields);
    let entries = fields.list("dag_runs").unwrap_or_default();
    let by_partition = one_selector(&mut fields, "dag_runs (non-empty)", !entries.is_empty());
    fields.done()?;
    let mut wanted: Vec<(String, String)> = Vec::new();
    for (nth, entry) in entries.into_iter().enumerate() {
        let place = [json!("body"), json!("dag_runs"), json!(nth)];
        let mut fields = Fields::of(entry, &["dag_run_id", "dag_id", "state", "note"]).map_err(|error| error.within(&place))?;
        fields.demand("dag_run_id", "string_type", "string");
        let run_id = fields.text("dag_run_id").unwrap_or_default();
        let of = fields.text("dag_id").filter(|id| !id.is_empty());
        fields.done().map_err(|error| error.within(&place))?;
        let of = match of {
            Some(of) if dag_id == "~" && of != "~" => of,
            _ if dag_id == "~" => {
                return Err(Error::BadRequest(format!(
                    "When the URL dag_id is '~', every entry must provide a concrete dag_id (missing on dag_run_id: '{run_id}')."
                )));
            }
            Some(of) if of != dag_id => {
                return Err(Error::BadRequest(format!("Entry dag_id '{of}' does not match the URL dag_id '{dag_id}'.")));
            }
            _ => dag_id.clone(),
        };
        if !wanted.contains(&(of.clone(), run_id.clone())) {
            wanted.push((of, run_id));
        }
        if i64::try_from(wanted.len()).unwrap_or(i64::MAX) > MOST_RUNS {
            return Err(Error::BadRequest(format!("at most {MOST_RUNS} runs are cleared at once: make several requests")));
        }
    }
    if by_partition {
        if dag_id == "~" {
            return Err(Error::BadRequest("Partition selectors require a concrete dag_id; '~' is not supported.".to_owned()));
        }
        super::dags::find(&state, &dag_id).await?;
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for (dag_id, run_id) in &wanted {
        let run = super::runs::find(&state, dag_id, run_id).await?;
        of_runs.check(&state, &run).await?;
        chosen.push(run);
    }
    if of_runs.dry_run {
        let (mut shown, mut total) = (Vec::new(), 0);
        for run in &chosen {
            let cleared = of_runs.show(&state, &caller, run).await?;
            total += cleared.total;
            shown.extend(cleared.shown);
        }
        return Ok(Json(ClearedRuns::WouldBe(Cleared { shown, total }.answer())));
    }
    let mut rows = Vec::with_capacity(chosen.len());
    for run in &chosen {
        of_runs.act(&state, &caller, run, &body, "clear_dag_runs").await?;
    }
    for run in &chosen {
        let row = super::runs::find(&state, &run.dag_id, &run.run_id).await?;
        rows.push(super::runs::shape(&state, &row).await?);
    }
    let ends = Ends { total_entries: listing::count(rows.len()), ..Ends::default() };
    Ok(Json(ClearedRuns::Are(Runs { dag_runs: rows, ends })))
}

/// What was taken away of partitions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClearPartitionsResponse")]
pub(crate) struct ClearedPartitions {
    dag_runs_cleared: i64,
    task_instances_cleared: i64,
    dry_run: bool,
}

/// Beside those that choose by partition.
pub(crate) const OF_PARTITIONS: [&str; 3] = ["run_id", "clear_task_instances", "dry_run"];

/// Takes partitions away from runs. None has one.
pub(crate) async fn partitions(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    Body(body): Body,
) -> Result<Json<ClearedPartitions>, Error> {
    let mut fields = Fields::of(body, &[&PARTITION_KEYS[..], &OF_PARTITIONS[..]].concat())?;
    let by_run = fields.text("run_id").is_some();
    one_selector(&mut fields, "run_id", by_run);
    fields.flag("clear_task_instances", false);
    let dry_run = fields.flag("dry_run", true);
    fields.done()?;
    super::dags::find(&state, &dag_id).await?;
    Ok(Json(ClearedPartitions { dag_runs_cleared: 0, task_instances_cleared: 0, dry_run }))
}

/// What was cleared, or would be: as far as an answer shows it, and how much it is in all.
struct Cleared {
    shown: Vec<Shown>,
    total: usize,
}

impl Cleared {
    fn answer(self) -> ClearedInstances {
        ClearedInstances { task_instances: self.shown, total_entries: listing::count(self.total) }
    }
}

struct Options {
    dry_run: bool,
    reset: bool,
    /// With the newest version of the DAG.
    latest: bool,
    prevent_running: bool,
    note: Option<Option<String>>,
    body: Value,
    event: &'static str,
}

async fn clear(state: &ApiState, caller: &Caller, runs: Vec<RunRow>, choice: &Choice, options: Options) -> Result<Cleared, Error> {
    let mut chosen: Vec<(RunRow, Chosen)> = Vec::new();
    for run in runs {
        let along = Along::Cleared { up: choice.up, down: choice.down };
        let mut instances = choose(state, &run, choice.tasks.as_deref(), along).await?;
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
    let mut versions = Vec::with_capacity(chosen.len());
    for (run, _) in &chosen {
        versions.push(if options.latest { latest::version_for(state, run).await? } else { None });
    }
    let total: usize = chosen.iter().map(|(_, instances)| instances.len()).sum();
    if !options.dry_run {
        let mut keys = Vec::new();
        let mut dag = None;
        for ((run, instances), version) in chosen.iter().zip(versions) {
            if let Some(version) = version {
                latest::go_on(state, run, version, &caller.user).await?;
            }
            let pairs: Vec<(i32, i32)> = instances.iter().map(|(idx, map, _)| (*idx, *map)).collect();
            super::runs::ask(state, run.key(), &pairs, Intent::Clear, &caller.user).await?;
            // Reopened after its instances are cleared, or the planner could find it complete and end it again.
            if options.reset && run.is_over() {
                state.store().run_reopen(run.key()).await?;
            }
            if let Some(note) = &options.note {
                for (idx, map) in &pairs {
                    state.store().instance_note(run.key(), *idx, *map, note.as_deref()).await?;
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
    let shown = chosen.iter().flat_map(|(run, instances)| keys_of(run, instances)).take(MOST_SHOWN).collect::<Vec<_>>();
    let rows = state.store().instances_get(&shown).await?;
    let shown = super::instances::shapes(state, &rows).await?.into_iter().map(|row| Shown::Instance(Box::new(row))).collect();
    Ok(Cleared { shown, total })
}
