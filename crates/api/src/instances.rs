//! Task instances and their tries.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use updraft_model::hint::NOT_MAPPED;
use updraft_model::state::Intent;
use updraft_model::{RunKey, TaskSpec};
use updraft_store::read::Test;
use updraft_store::read::audit::Audit;
use updraft_store::read::instances::{Fallback, INSTANCE_COLUMNS, INSTANCE_KEY, InstanceRow, InstanceScope, POOL, QUEUE};
use updraft_store::read::runs::RunRow;

use crate::error::Error;
use crate::request::{Body, Caller, Fields, Params};
use crate::{ApiState, batch, cursor, shapes};

/// States of instances, in Airflow's order.
pub(crate) const STATES: &[&str] = &[
    "removed",
    "scheduled",
    "queued",
    "running",
    "success",
    "restarting",
    "failed",
    "up_for_retry",
    "up_for_reschedule",
    "upstream_failed",
    "skipped",
    "deferred",
    "awaiting_input",
];

/// What is said of a task in its DAG version, and not in rows, with the parameters that ask for it: all of it, a pattern, a prefix.
type Said = (fn(&TaskSpec) -> &str, [&'static str; 3]);

const TASK_ID: Said = (|task| task.task_id.as_str(), ["task_id", "task_id_pattern", "task_id_prefix_pattern"]);
const DISPLAY_NAME: Said = (
    |task| task.display_name.as_deref().unwrap_or(task.task_id.as_str()),
    ["", "task_display_name_pattern", "task_display_name_prefix_pattern"],
);
const OPERATOR: Said = (shapes::operator, ["operator", "operator_name_pattern", "operator_name_prefix_pattern"]);
/// The same, of which an attempt may say something else.
const POOLS: Said = (|task| &task.pool, ["pool", "pool_name_pattern", "pool_name_prefix_pattern"]);
const QUEUES: Said = (|task| &task.queue, ["queue", "queue_name_pattern", "queue_name_prefix_pattern"]);

/// One instance with its run, or Airflow's 404.
pub(crate) async fn find(
    state: &ApiState,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    map_index: i32,
) -> Result<(RunRow, InstanceRow), Error> {
    let missing = || {
        Error::NotFound(if map_index == NOT_MAPPED {
            format!("The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}` and task_id: `{task_id}` was not found")
        } else {
            format!(
                "The Mapped Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, and map_index: `{map_index}` was not found"
            )
        })
    };
    let run = match super::runs::find(state, dag_id, run_id).await {
        Err(Error::NotFound(_)) => return Err(missing()),
        other => other?,
    };
    let version = state.version(run.version_id).await?;
    let idx = version.position(task_id).and_then(|at| i32::try_from(at).ok()).ok_or_else(missing)?;
    let row = state.store().instance_get(run.key(), idx, map_index).await?.ok_or_else(missing)?;
    Ok((run, row))
}

pub(crate) fn map_index(text: &str) -> Result<i32, Error> {
    text.parse().map_err(|_| {
        Error::invalid(
            "int_parsing",
            json!(["path", "map_index"]),
            "Input should be a valid integer, unable to parse string as an integer",
            json!(text),
        )
    })
}

pub(crate) async fn shape(state: &ApiState, row: &InstanceRow) -> Result<Value, Error> {
    let version = state.version(row.version_id).await?;
    let installation = state.installation().await?;
    shapes::instance(row, &version, installation)
        .ok_or_else(|| Error::Broken(format!("task_instance ({}, {}) has no task in dag_version {}", row.run_key, row.idx, row.version_id)))
}

/// The scope of a list: `~` for any DAG or run, and the tasks that the parameters choose.
pub(crate) async fn scope(state: &ApiState, dag_id: &str, run_id: &str, params: &Params) -> Result<InstanceScope, Error> {
    let mut scope = InstanceScope::default();
    let mut version = None;
    if dag_id == "~" && run_id != "~" {
        return Err(Error::BadRequest("dag_id is required when dag_run_id is specified".to_owned()));
    }
    if run_id != "~" {
        let run = super::runs::find(state, dag_id, run_id).await?;
        scope.run = Some(run.key());
        version = Some(run.version_id);
    } else if dag_id != "~" {
        super::dags::find(state, dag_id).await?;
        scope.dag_id = Some(dag_id.to_owned());
    }
    let tests =
        |(said, [equal, pattern, prefix]): Said| params.text_tests(equal, pattern, prefix).into_iter().map(move |test| (said, test));
    let by_task: Vec<_> = [TASK_ID, DISPLAY_NAME, OPERATOR].into_iter().flat_map(tests).collect();
    let by_attempt: Vec<_> =
        [(POOL, POOLS), (QUEUE, QUEUES)].into_iter().flat_map(|(of, said)| tests(said).map(move |(said, test)| (of, said, test))).collect();
    let order = params.order_by()?;
    let word = [("operator", OPERATOR), ("task_id", TASK_ID)].into_iter().find(|(name, _)| order.iter().any(|(by, _)| by == name));
    if by_task.is_empty() && by_attempt.is_empty() && word.is_none() {
        return Ok(scope);
    }
    let ids = params.all("task_id");
    let versions = match (version, ids.first()) {
        (Some(version), _) => vec![version],
        (None, Some(id)) if ids.len() == 1 => {
            state.store().versions_containing(scope.dag_id.as_deref(), &format!("\"task_id\":{}", Value::String(id.clone()))).await?
        }
        _ => state.store().versions_containing(scope.dag_id.as_deref(), "").await?,
    };
    let mut chosen = Vec::new();
    let mut fallbacks: Vec<Fallback> =
        by_attempt.iter().map(|(of, _, test)| Fallback { of, test: test.clone(), tasks: Vec::new() }).collect();
    let mut words = Vec::new();
    for id in versions {
        let version = state.version(id).await?;
        for (task, at) in version.spec().tasks.iter().zip(0i32..) {
            if !by_task.iter().all(|(said, test)| holds(test, said(task))) {
                continue;
            }
            chosen.push((id, at));
            for ((_, said, test), fallback) in by_attempt.iter().zip(&mut fallbacks) {
                if holds(test, said(task)) {
                    fallback.tasks.push((id, at));
                }
            }
            if let Some((_, (said, _))) = word {
                words.push((id, at, said(task).to_owned()));
            }
        }
    }
    scope.tasks = (!by_task.is_empty()).then_some(chosen);
    scope.fallbacks = fallbacks;
    scope.words = word.map(|_| words);
    Ok(scope)
}

/// Whether a text passes, as in the database.
fn holds(test: &Test, text: &str) -> bool {
    match test {
        Test::AnyOf(values) => values.iter().any(|value| value == text),
        Test::Like(patterns) => patterns.iter().any(|pattern| like_matches(&pattern.to_lowercase(), &text.to_lowercase())),
        Test::Prefix(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
        _ => false,
    }
}

/// `LIKE`, for names that are not in the database.
fn like_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Greedy with one way back: the last `%`.
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '%' {
            back = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '_' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

async fn page(state: &ApiState, dag_id: &str, run_id: &str, params: &Params) -> Result<Json<Value>, Error> {
    let scope = scope(state, dag_id, run_id, params).await?;
    params.words("state", "state", STATES)?;
    let query = params.keyed_list(INSTANCE_COLUMNS, INSTANCE_KEY)?;
    let page = state.store().instance_page(&scope, &query).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        rows.push(shape(state, row).await?);
    }
    Ok(Json(cursor::collection("task_instances", rows, &page, &query, INSTANCE_KEY)))
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Value>, Error> {
    page(&state, &dag_id, &run_id, &params).await
}

pub(crate) async fn list_by_body(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    page(&state, &dag_id, &run_id, &batch::instances(body)?).await
}

pub(crate) async fn list_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    mut params: Params,
) -> Result<Json<Value>, Error> {
    params.0.push(("task_id".to_owned(), task_id));
    params.0.push(("map_index_gte".to_owned(), "0".to_owned()));
    page(&state, &dag_id, &run_id, &params).await
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Error> {
    let (_, row) = find(&state, &dag_id, &run_id, &task_id, NOT_MAPPED).await?;
    Ok(Json(shape(&state, &row).await?))
}

pub(crate) async fn show_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
) -> Result<Json<Value>, Error> {
    let (_, row) = find(&state, &dag_id, &run_id, &task_id, map_index(&map)?).await?;
    Ok(Json(shape(&state, &row).await?))
}

async fn tries_of(state: &ApiState, dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> Result<Vec<Value>, Error> {
    let (run, row) = find(state, dag_id, run_id, task_id, map_index).await?;
    let version = state.version(run.version_id).await?;
    let attempts = state.store().attempt_list(run.key(), row.idx, row.map_index).await?;
    Ok(attempts.iter().filter(|a| a.attempt > run.attempt_base).filter_map(|a| shapes::one_try(&row, a, &version)).collect())
}

fn tries_body(tries: &[Value]) -> Json<Value> {
    Json(json!({"task_instances": tries, "total_entries": tries.len()}))
}

pub(crate) async fn tries(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Error> {
    Ok(tries_body(&tries_of(&state, &dag_id, &run_id, &task_id, NOT_MAPPED).await?))
}

pub(crate) async fn tries_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
) -> Result<Json<Value>, Error> {
    Ok(tries_body(&tries_of(&state, &dag_id, &run_id, &task_id, map_index(&map)?).await?))
}

fn pick(tries: Vec<Value>, dag_id: &str, run_id: &str, task_id: &str, map: i32, try_number: &str) -> Result<Json<Value>, Error> {
    let number = try_number.parse::<i64>().ok();
    tries.into_iter().find(|t| number.is_some() && t["try_number"].as_i64() == number).map(Json).ok_or_else(|| {
        Error::NotFound(format!(
            "The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, try_number: `{try_number}` and map_index: `{map}` was not found"
        ))
    })
}

pub(crate) async fn one_try(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, number)): Path<(String, String, String, String)>,
) -> Result<Json<Value>, Error> {
    pick(tries_of(&state, &dag_id, &run_id, &task_id, NOT_MAPPED).await?, &dag_id, &run_id, &task_id, NOT_MAPPED, &number)
}

pub(crate) async fn one_try_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map, number)): Path<(String, String, String, String, String)>,
) -> Result<Json<Value>, Error> {
    let map = map_index(&map)?;
    pick(tries_of(&state, &dag_id, &run_id, &task_id, map).await?, &dag_id, &run_id, &task_id, map, &number)
}

const PATCH_KEYS: &[&str] = &["new_state", "note", "include_upstream", "include_downstream", "include_future", "include_past"];

/// What a patch asks for, and of which instances.
struct Patch {
    new_state: Option<String>,
    note: Option<Option<String>>,
    targets: Vec<(RunRow, InstanceRow)>,
}

async fn read_patch(state: &ApiState, ids: (&str, &str, &str), map: i32, params: &Params, body: Value) -> Result<Patch, Error> {
    let (dag_id, run_id, task_id) = ids;
    let mut fields = Fields::of(body, PATCH_KEYS)?;
    let new_state = fields.text("new_state");
    if let Some(new_state) = &new_state
        && !matches!(new_state.as_str(), "success" | "failed" | "skipped")
    {
        fields.refuse("new_state", "'new_state' must be one of success, failed, skipped");
    }
    let note_given = fields.has("note");
    let note = fields.text("note");
    let up = fields.flag("include_upstream", false);
    let down = fields.flag("include_downstream", false);
    let future = fields.flag("include_future", false);
    let past = fields.flag("include_past", false);
    fields.done()?;
    let mask: Vec<String> = params.all("update_mask").iter().flat_map(|m| m.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    let wanted = |name: &str| mask.is_empty() || mask.iter().any(|m| m == name);

    let (run, row) = find(state, dag_id, run_id, task_id, map).await?;
    let chosen = vec![(task_id.to_owned(), (map != NOT_MAPPED).then_some(map))];
    let mut targets = Vec::new();
    for other in super::clear::runs_around(state, &run, past, future).await? {
        let instances = super::clear::choose(state, &other, Some(&chosen), up, down).await?;
        for (idx, map_index, _) in instances {
            if let Some(found) = state.store().instance_get(other.key(), idx, map_index).await? {
                targets.push((other.clone(), found));
            }
        }
    }
    let new_state = new_state.filter(|_| wanted("new_state"));
    if let Some(new_state) = &new_state {
        if targets.len() == 1 && row.state == *new_state {
            return Err(Error::Conflict(format!("Task id {task_id} is already in {new_state} state")));
        }
        targets.retain(|(_, t)| t.state != *new_state);
    }
    Ok(Patch { new_state, note: (note_given && wanted("note")).then_some(note), targets })
}

async fn answer(state: &ApiState, targets: &[(RunKey, i32, i32)]) -> Result<Json<Value>, Error> {
    let mut rows = Vec::new();
    for (run, idx, map) in targets {
        if let Some(row) = state.store().instance_get(*run, *idx, *map).await? {
            rows.push(shape(state, &row).await?);
        }
    }
    Ok(Json(json!({"total_entries": rows.len(), "task_instances": rows})))
}

async fn carry_out(
    state: &ApiState,
    ids: (&str, &str, &str),
    map: i32,
    params: &Params,
    caller: &Caller,
    body: Value,
) -> Result<Json<Value>, Error> {
    let (dag_id, _, task_id) = ids;
    let patch = read_patch(state, ids, map, params, body.clone()).await?;
    let intent = patch.new_state.as_deref().map(|new_state| match new_state {
        "success" => Intent::MarkSuccess,
        "failed" => Intent::MarkFailed,
        _ => Intent::Skip,
    });
    let mut runs: Vec<RunKey> = Vec::new();
    for group in patch.targets.chunk_by(|a, b| a.0.id == b.0.id) {
        let run = &group[0].0;
        runs.push(run.key());
        if let Some(intent) = intent {
            let keys: Vec<(i32, i32)> = group.iter().map(|(_, t)| (t.idx, t.map_index)).collect();
            let effects = super::runs::ask(state, run.key(), &keys, intent, &caller.user).await?;
            if !effects.is_empty() && effects.iter().all(|e| e.effect == "nothing") {
                return Err(Error::Conflict(format!(
                    "Task id {task_id} is over ({}) and cannot be skipped: clear it first, or mark it as success",
                    effects[0].was
                )));
            }
        }
        if let Some(note) = &patch.note {
            for (_, target) in group {
                state.store().instance_note(run.key(), target.idx, target.map_index, note.as_deref()).await?;
            }
        }
        let entry = Audit {
            who: &caller.user,
            event: "patch_task_instance",
            dag_id: Some(dag_id),
            run_id: Some(&run.run_id),
            task_id: Some(task_id),
            map_index: (map != NOT_MAPPED).then_some(map),
            logical_date: run.logical_date,
            extra: Some(body.clone()),
        };
        state.store().audit_write(&entry).await?;
    }
    state.nudge(dag_id, &runs).await?;
    answer(state, &patch.targets.iter().map(|(run, t)| (run.key(), t.idx, t.map_index)).collect::<Vec<_>>()).await
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    carry_out(&state, (&dag_id, &run_id, &task_id), NOT_MAPPED, &params, &caller, body).await
}

pub(crate) async fn patch_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    let map = map_index(&map)?;
    carry_out(&state, (&dag_id, &run_id, &task_id), map, &params, &caller, body).await
}

pub(crate) async fn patch_dry(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    let patch = read_patch(&state, (&dag_id, &run_id, &task_id), NOT_MAPPED, &params, body).await?;
    answer(&state, &patch.targets.iter().map(|(run, t)| (run.key(), t.idx, t.map_index)).collect::<Vec<_>>()).await
}

/// Links are made by operators' code, which runs nowhere here.
pub(crate) async fn links(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<Value>, Error> {
    let map_index = params.int("map_index")?.and_then(|n| i32::try_from(n).ok()).unwrap_or(NOT_MAPPED);
    find(&state, &dag_id, &run_id, &task_id, map_index).await?;
    Ok(Json(json!({"extra_links": {}, "total_entries": 0})))
}

#[cfg(test)]
mod tests {
    use super::like_matches;

    #[test]
    fn like_is_postgres_like() {
        for (pattern, text, hit) in [
            ("%", "", true),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("%b%", "abc", true),
            ("%bb%c", "abbbc", true),
            ("a", "ab", false),
        ] {
            assert_eq!(like_matches(pattern, text), hit, "{pattern} {text}");
        }
    }
}
