//! What is done to task instances: marks, notes, deletions, one by one, by group and in bulk.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use updraft_model::RunKey;
use updraft_model::hint::NOT_MAPPED;
use updraft_model::state::Intent;
use updraft_store::read::audit::Audit;
use updraft_store::read::instances::InstanceRow;
use updraft_store::read::runs::{InstanceDeleted, RunRow};

use super::scope::in_group;
use super::{SomeInstances, find, map_index, shapes};
use crate::bulk::{self, Action, Answers, Done};
use crate::clear::Along;
use crate::error::Error;
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::Instance;
use crate::{ApiState, clear, listing, runs};

/// The 404 of what is done to one instance: it names the map index, always.
fn missing_at(dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> Error {
    Error::NotFound(format!(
        "The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}` and map_index: `{map_index}` was not found"
    ))
}

pub(crate) const PATCH_KEYS: [&str; 6] = ["new_state", "note", "include_upstream", "include_downstream", "include_future", "include_past"];

/// What an instance can be marked as.
pub(crate) const MARKS: [&str; 3] = ["success", "failed", "skipped"];

/// What a patch asks for.
#[derive(Debug, Clone)]
struct Wish {
    new_state: Option<String>,
    note: Option<Option<String>>,
    up: bool,
    down: bool,
    future: bool,
    past: bool,
}

impl Wish {
    fn read(fields: &mut Fields, wanted: impl Fn(&str) -> bool) -> Self {
        let new_state = fields.text("new_state");
        if let Some(new_state) = &new_state
            && !MARKS.contains(&new_state.as_str())
        {
            fields.refuse("new_state", "'new_state' must be one of success, failed, skipped");
        }
        Self {
            new_state: new_state.filter(|_| wanted("new_state")),
            note: fields.note().filter(|_| wanted("note")),
            up: fields.flag("include_upstream", false),
            down: fields.flag("include_downstream", false),
            future: fields.flag("include_future", false),
            past: fields.flag("include_past", false),
        }
    }

    fn of(body: Value, params: &Params) -> Result<Self, Error> {
        let mask = params.mask();
        let mut fields = Fields::of(body, &PATCH_KEYS)?;
        let wish = Self::read(&mut fields, |name| mask.is_empty() || mask.iter().any(|m| m == name));
        fields.done()?;
        Ok(wish)
    }
}

/// The instances that a patch names, all of one run.
struct Targets {
    run: RunRow,
    named: Vec<InstanceRow>,
    /// As `choose` reads them.
    tasks: Vec<(String, Option<i32>)>,
}

impl Targets {
    async fn one(state: &ApiState, ids: (&str, &str, &str), map: i32) -> Result<Self, Error> {
        let (dag_id, run_id, task_id) = ids;
        let (run, row) = find(state, dag_id, run_id, task_id, map).await?;
        Ok(Self { run, named: vec![row], tasks: vec![(task_id.to_owned(), (map != NOT_MAPPED).then_some(map))] })
    }

    /// All of a task group, in groups within it too.
    async fn group(state: &ApiState, dag_id: &str, run_id: &str, group: &str) -> Result<Self, Error> {
        let run = runs::find(state, dag_id, run_id).await?;
        let version = state.version(run.version_id).await?;
        let inside = version.spec().tasks.iter().filter(|task| in_group(task, group));
        let tasks: Vec<(String, Option<i32>)> = inside.map(|task| (task.task_id.to_string(), None)).collect();
        if tasks.is_empty() {
            return Err(Error::NotFound(format!("Task group '{group}' not found in DAG '{dag_id}'")));
        }
        let named = clear::chosen_rows(state, &run, &clear::choose(state, &run, Some(&tasks), Along::Nothing).await?).await?;
        if named.is_empty() {
            return Err(Error::NotFound(format!("No task instances found for task group '{group}' in dag run '{run_id}'")));
        }
        Ok(Self { run, named, tasks })
    }

    /// The instances whose state would change, each with its run.
    async fn moving(&self, state: &ApiState, wish: &Wish) -> Result<Vec<(RunRow, InstanceRow)>, Error> {
        let Some(new_state) = &wish.new_state else { return Ok(Vec::new()) };
        let mut moving = Vec::new();
        for run in clear::runs_around(state, &self.run, wish.past, wish.future).await? {
            let mut chosen = clear::choose(state, &run, Some(&self.tasks), Along::Marked { up: wish.up, down: wish.down }).await?;
            chosen.retain(|(_, _, state)| state != new_state);
            moving.extend(clear::chosen_rows(state, &run, &chosen).await?.into_iter().map(|row| (run.clone(), row)));
        }
        Ok(moving)
    }

    /// What would change.
    async fn show(&self, state: &ApiState, wish: &Wish) -> Result<Json<SomeInstances>, Error> {
        if wish.new_state.is_none() {
            return Ok(collection(shapes(state, &self.named).await?));
        }
        let rows: Vec<InstanceRow> = self.moving(state, wish).await?.into_iter().map(|(_, row)| row).collect();
        Ok(collection(shapes(state, &rows).await?))
    }

    /// Carries a wish out. `conflict` says that all are in the state already. What runs is asked to stop, by the intent on its row, and gets
    /// its state when it has. Returns the instances that were named or moved.
    async fn apply(
        &self,
        state: &ApiState,
        caller: &Caller,
        wish: &Wish,
        conflict: impl FnOnce(&str) -> String,
        log: (&str, Value),
    ) -> Result<Vec<(RunKey, i32, i32)>, Error> {
        let moving = self.moving(state, wish).await?;
        if let Some(new_state) = wish.new_state.as_ref().filter(|_| moving.is_empty()) {
            return Err(Error::Conflict(conflict(new_state)));
        }
        if let Some(note) = &wish.note {
            for row in &self.named {
                state.store().instance_note(self.run.key(), row.idx, row.map_index, note.as_deref()).await?;
            }
        }
        let mut runs: Vec<(&RunRow, Vec<(i32, i32)>)> = moving
            .chunk_by(|a, b| a.0.id == b.0.id)
            .map(|group| (&group[0].0, group.iter().map(|(_, row)| (row.idx, row.map_index)).collect()))
            .collect();
        if runs.is_empty() {
            runs.push((&self.run, Vec::new()));
        }
        let one = (self.named.len() == 1).then(|| &self.tasks[0]);
        for (run, keys) in &runs {
            let mut extra = log.1.clone();
            // Of many, or of other runs, the entries of their attempts tell.
            if let [row] = self.named.as_slice()
                && run.id == self.run.id
            {
                (extra["before"], extra["after"]) =
                    runs::before_and_after((&row.state, row.note.as_deref()), wish.new_state.as_deref(), wish.note.as_ref());
            }
            match wish.new_state.as_deref() {
                None => {}
                Some("success") => drop(runs::ask(state, run.key(), keys, Intent::MarkSuccess, &caller.user).await?),
                Some("failed") => drop(runs::ask(state, run.key(), keys, Intent::MarkFailed, &caller.user).await?),
                Some(_) => {
                    let effects = state.store().instances_skip(run.key(), keys, &caller.user).await?;
                    runs::tell(state, &effects);
                }
            }
            let entry = Audit {
                who: &caller.user,
                event: log.0,
                dag_id: Some(&run.dag_id),
                run_id: Some(&run.run_id),
                task_id: one.map(|(task_id, _)| task_id.as_str()),
                map_index: one.and_then(|(_, map)| *map),
                logical_date: run.logical_date,
                extra: Some(extra),
            };
            state.store().audit_write(&entry).await?;
        }
        let mut keys: Vec<RunKey> = runs.iter().map(|(run, _)| run.key()).collect();
        if wish.new_state.is_some() {
            let marked: HashSet<(i64, i32, i32)> = moving.iter().map(|(run, row)| (run.id, row.idx, row.map_index)).collect();
            keys.extend(self.free(state, caller, wish, &marked).await?);
        }
        state.nudge(&self.run.dag_id, &keys).await?;
        if wish.new_state.is_none() {
            return Ok(self.named.iter().map(|row| (self.run.key(), row.idx, row.map_index)).collect());
        }
        Ok(moving.iter().map(|(run, row)| (run.key(), row.idx, row.map_index)).collect())
    }

    /// Clears what failed behind what was marked, or was not begun because of it, so that the runs go on. As in Airflow, but for what was marked
    /// itself: that keeps the state that it was given. Returns the runs with something to do.
    async fn free(&self, state: &ApiState, caller: &Caller, wish: &Wish, marked: &HashSet<(i64, i32, i32)>) -> Result<Vec<RunKey>, Error> {
        let mut freed = Vec::new();
        for run in clear::runs_around(state, &self.run, wish.past, wish.future).await? {
            let version = state.version(run.version_id).await?;
            let named: HashSet<i32> =
                self.tasks.iter().filter_map(|(id, _)| version.position(id)).filter_map(|at| i32::try_from(at).ok()).collect();
            let whole: Vec<(String, Option<i32>)> = self.tasks.iter().map(|(id, _)| (id.clone(), None)).collect();
            let along = Along::Cleared { up: false, down: true };
            let behind = clear::choose(state, &run, Some(&whole), along).await?.into_iter().filter(|(idx, map, found)| {
                matches!(found.as_str(), "failed" | "upstream_failed") && !named.contains(idx) && !marked.contains(&(run.id, *idx, *map))
            });
            let behind: Vec<(i32, i32)> = behind.map(|(idx, map, _)| (idx, map)).collect();
            if behind.is_empty() {
                continue;
            }
            runs::ask(state, run.key(), &behind, Intent::Clear, &caller.user).await?;
            // As it is now: it may have ended since it was read, and would stay over with tasks that wait.
            if state.store().run_get(&run.dag_id, &run.run_id).await?.is_some_and(|run| run.is_over()) {
                state.store().run_reopen(run.key()).await?;
            }
            freed.push(run.key());
        }
        Ok(freed)
    }
}

fn collection(rows: Vec<Instance>) -> Json<SomeInstances> {
    Json(SomeInstances { total_entries: listing::count(rows.len()), task_instances: rows })
}

async fn answer(state: &ApiState, keys: &[(RunKey, i32, i32)]) -> Result<Json<SomeInstances>, Error> {
    Ok(collection(shapes(state, &state.store().instances_get(keys).await?).await?))
}

async fn carry_out(
    state: &ApiState,
    ids: (&str, &str, &str),
    map: i32,
    params: &Params,
    caller: &Caller,
    body: Value,
) -> Result<Json<SomeInstances>, Error> {
    let wish = Wish::of(body.clone(), params)?;
    let targets = Targets::one(state, ids, map).await?;
    let conflict = |new_state: &str| format!("Task id {} is already in {new_state} state", ids.2);
    let changed = targets.apply(state, caller, &wish, conflict, ("patch_task_instance", body)).await?;
    answer(state, &changed).await
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<SomeInstances>, Error> {
    carry_out(&state, (&dag_id, &run_id, &task_id), NOT_MAPPED, &params, &caller, body).await
}

pub(crate) async fn patch_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<SomeInstances>, Error> {
    let map = map_index(&map)?;
    carry_out(&state, (&dag_id, &run_id, &task_id), map, &params, &caller, body).await
}

pub(crate) async fn patch_dry(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
    Body(body): Body,
) -> Result<Json<SomeInstances>, Error> {
    let wish = Wish::of(body, &params)?;
    Targets::one(&state, (&dag_id, &run_id, &task_id), NOT_MAPPED).await?.show(&state, &wish).await
}

pub(crate) async fn patch_mapped_dry(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
    params: Params,
    Body(body): Body,
) -> Result<Json<SomeInstances>, Error> {
    let wish = Wish::of(body, &params)?;
    Targets::one(&state, (&dag_id, &run_id, &task_id), map_index(&map)?).await?.show(&state, &wish).await
}

/// Marks all of a task group.
pub(crate) async fn patch_group(
    State(state): State<ApiState>,
    Path((dag_id, run_id, group)): Path<(String, String, String)>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<SomeInstances>, Error> {
    let wish = Wish::of(body.clone(), &params)?;
    let targets = Targets::group(&state, &dag_id, &run_id, &group).await?;
    let conflict = |new_state: &str| format!("All task instances in the group are already in {new_state} state");
    targets.apply(&state, &caller, &wish, conflict, ("patch_task_group_instances", body)).await?;
    answer(&state, &targets.named.iter().map(|row| (targets.run.key(), row.idx, row.map_index)).collect::<Vec<_>>()).await
}

pub(crate) async fn patch_group_dry(
    State(state): State<ApiState>,
    Path((dag_id, run_id, group)): Path<(String, String, String)>,
    params: Params,
    Body(body): Body,
) -> Result<Json<SomeInstances>, Error> {
    let wish = Wish::of(body, &params)?;
    Targets::group(&state, &dag_id, &run_id, &group).await?.show(&state, &wish).await
}

/// Deletes an instance and all that it left. One that is queued or runs is not: its attempt must end first.
async fn remove(state: &ApiState, caller: &Caller, run: &RunRow, task_id: &str, row: &InstanceRow, event: &str) -> Result<(), Error> {
    let (dag_id, run_id, map_index) = (&run.dag_id, &run.run_id, row.map_index);
    match state.store().instance_delete(run.key(), row.idx, map_index, &caller.user).await? {
        InstanceDeleted::Done => {}
        InstanceDeleted::Missing => return Err(missing_at(dag_id, run_id, task_id, map_index)),
        InstanceDeleted::Live(found) => {
            return Err(Error::Conflict(format!(
                "The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}` and map_index: `{map_index}` cannot be \
                 deleted in {found} state: mark it as failed first, and wait for its end"
            )));
        }
    }
    let entry = Audit {
        who: &caller.user,
        event,
        dag_id: Some(dag_id),
        run_id: Some(run_id),
        task_id: Some(task_id),
        map_index: (map_index != NOT_MAPPED).then_some(map_index),
        logical_date: run.logical_date,
        extra: Some(json!({"action": "delete"})),
    };
    state.store().audit_write(&entry).await?;
    state.nudge(dag_id, &[run.key()]).await
}

pub(crate) async fn delete(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
    caller: Caller,
) -> Result<Json<()>, Error> {
    let map = params.map_index()?;
    let (run, row) = match find(&state, &dag_id, &run_id, &task_id, map).await {
        Err(Error::NotFound(_)) => return Err(missing_at(&dag_id, &run_id, &task_id, map)),
        other => other?,
    };
    remove(&state, &caller, &run, &task_id, &row, "delete_task_instance").await?;
    Ok(Json(()))
}

/// How a bulk request names one, beside what it wants of it.
pub(crate) const NAMED_KEYS: [&str; 4] = ["task_id", "map_index", "dag_id", "dag_run_id"];

/// An instance as a bulk request names it, or all of a task.
struct Named {
    task_id: String,
    map_index: Option<i32>,
    dag_id: Option<String>,
    run_id: Option<String>,
    wish: Option<Wish>,
    extra: Value,
}

fn named(entity: &Value, action: &Action) -> Result<Named, Error> {
    if let Some(task_id) = entity.as_str().filter(|_| action.kind != "update") {
        let extra = entity.clone();
        return Ok(Named { task_id: task_id.to_owned(), map_index: None, dag_id: None, run_id: None, wish: None, extra });
    }
    let keys = [&PATCH_KEYS[..], &NAMED_KEYS[..]].concat();
    let mut fields = Fields::of(entity.clone(), &keys)?;
    fields.demand("task_id", "string_type", "string");
    let task_id = fields.text("task_id").unwrap_or_default();
    let map_index = fields.map_index();
    let dag_id = fields.text("dag_id").filter(|id| !id.is_empty());
    let run_id = fields.text("dag_run_id").filter(|id| !id.is_empty());
    let mut wish = Wish::read(&mut fields, |name| action.wants(name));
    // As in Airflow, null leaves the note alone here.
    wish.note = wish.note.filter(|_| entity["note"].is_string());
    fields.done()?;
    Ok(Named { task_id, map_index, dag_id, run_id, wish: Some(wish), extra: entity.clone() })
}

/// Updates and deletes many instances, of one run or of any (`~`). Each is done or refused by itself; with `fail`, one that is missing ends
/// its action before it begins.
pub(crate) async fn bulk(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Answers>, Error> {
    let mut asked = Vec::new();
    for action in bulk::actions(body)? {
        let entities = action.read(|entity| named(entity, &action))?;
        asked.push((action, entities));
    }
    let mut answers = Answers::default();
    for (action, entities) in asked {
        let mut done = Done::default();
        if action.kind == "create" {
            done.fail("Task instances bulk create is not supported", StatusCode::METHOD_NOT_ALLOWED);
        } else {
            bulk_action(&state, (&dag_id, &run_id), &caller, &action, entities, &mut done).await?;
        }
        answers.add(action.kind, done);
    }
    Ok(Json(answers))
}

async fn bulk_action(
    state: &ApiState,
    path: (&str, &str),
    caller: &Caller,
    action: &Action,
    entities: Vec<Named>,
    done: &mut Done,
) -> Result<(), Error> {
    let mut found = Vec::new();
    let (mut missing_tasks, mut missing_instances) = (Vec::new(), Vec::new());
    for entity in entities {
        let dag_id = entity.dag_id.clone().unwrap_or_else(|| path.0.to_owned());
        let run_id = entity.run_id.clone().unwrap_or_else(|| path.1.to_owned());
        let task_id = entity.task_id.clone();
        if dag_id != "~" {
            caller.scope.check(&dag_id)?;
        }
        if dag_id == "~" || run_id == "~" {
            let place = match entity.wish {
                Some(_) => "request body",
                None => "BulkTaskInstanceBody object, not as string",
            };
            let error = format!("When using wildcard in path, dag_id and dag_run_id must be specified in {place} for task_id: {task_id}");
            done.fail(error, StatusCode::BAD_REQUEST);
            continue;
        }
        let mut rows = Vec::new();
        let run = state.store().run_get(&dag_id, &run_id).await?;
        if let Some(run) = &run {
            let tasks = [(task_id.clone(), entity.map_index)];
            rows = clear::chosen_rows(state, run, &clear::choose(state, run, Some(&tasks), Along::Nothing).await?).await?;
        }
        match (run, entity.map_index) {
            (Some(run), _) if !rows.is_empty() => found.push((run, rows, entity)),
            (_, None) => {
                missing_tasks.push(format!("No task instances found for dag_id: {dag_id}, run_id: {run_id}, task_id: {task_id}"));
            }
            (_, Some(map)) => missing_instances
                .push(format!("{{'dag_id': '{dag_id}', 'dag_run_id': '{run_id}', 'task_id': '{task_id}', 'map_index': {map}}}")),
        }
    }
    if !action.skip && !missing_instances.is_empty() {
        let error = format!("The task instances with these identifiers: [{}] were not found", missing_instances.join(", "));
        done.fail(error, StatusCode::NOT_FOUND);
        return Ok(());
    }
    if !action.skip && !missing_tasks.is_empty() {
        for error in missing_tasks {
            done.fail(error, StatusCode::NOT_FOUND);
        }
        return Ok(());
    }
    for (run, rows, entity) in found {
        for row in rows {
            let (task_id, map) = (&entity.task_id, row.map_index);
            let name = format!("{}.{}.{task_id}[{map}]", run.dag_id, run.run_id);
            let outcome = if action.kind == "delete" {
                remove(state, caller, &run, task_id, &row, "bulk_task_instances").await
            } else if let Some(wish) = &entity.wish {
                let tasks = vec![(task_id.clone(), (map != NOT_MAPPED).then_some(map))];
                let targets = Targets { run: run.clone(), named: vec![row], tasks };
                let conflict = |new_state: &str| format!("Task id {task_id} is already in {new_state} state");
                targets.apply(state, caller, wish, conflict, ("bulk_task_instances", entity.extra.clone())).await.map(|_| ())
            } else {
                Ok(())
            };
            match outcome {
                Ok(()) => done.succeed(name),
                Err(Error::Conflict(error)) => done.fail(error, StatusCode::CONFLICT),
                Err(Error::BadRequest(error)) => done.fail(error, StatusCode::BAD_REQUEST),
                // It was named twice, or somebody else was faster.
                Err(Error::NotFound(error)) => done.fail(error, StatusCode::NOT_FOUND),
                Err(other) => return Err(other),
            }
        }
    }
    Ok(())
}
