//! Task instances and their tries.

pub(crate) mod change;
mod scope;

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_model::LaunchSpec;
use updraft_model::hint::NOT_MAPPED;
use updraft_store::read::instances::{INSTANCE_COLUMNS, INSTANCE_KEY, InstanceRow};
use updraft_store::read::runs::RunRow;

pub(crate) use self::scope::{parameters, scope};
use crate::cursor::{self, Ends};
use crate::error::Error;
use crate::listing::{self, collection};
use crate::request::{Body, Params};
use crate::shapes::{Instance, Try};
use crate::{ApiState, batch, shapes};

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

pub(crate) async fn shape(state: &ApiState, row: &InstanceRow) -> Result<Instance, Error> {
    let shown = shapes(state, std::slice::from_ref(row)).await?.pop();
    shown.ok_or_else(|| Error::Broken(format!("task_instance ({}, {}) has no shape", row.run_key, row.idx)))
}

/// Rows as the API shows them, with what their newest attempts were started with.
pub(crate) async fn shapes(state: &ApiState, rows: &[InstanceRow]) -> Result<Vec<Instance>, Error> {
    let installation = state.installation().await?;
    let tried: Vec<_> = rows.iter().filter(|r| r.attempt > r.attempt_base).map(|r| (r.run_key, r.idx, r.map_index, r.attempt)).collect();
    let found = if tried.is_empty() { Vec::new() } else { state.store().launches_of(&tried).await? };
    let launches: HashMap<(i64, i32, i32), LaunchSpec> =
        found.into_iter().filter_map(|(run, idx, map, launch)| Some(((run, idx, map), serde_json::from_str(&launch).ok()?))).collect();
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let version = state.version(row.version_id).await?;
        let launch = launches.get(&(row.run_key, row.idx, row.map_index));
        shown.push(shapes::instance(row, &version, installation, launch).ok_or_else(|| {
            Error::Broken(format!("task_instance ({}, {}) has no task in dag_version {}", row.run_key, row.idx, row.version_id))
        })?);
    }
    Ok(shown)
}

/// A page of task instances.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskInstanceCollectionResponse")]
pub(crate) struct Instances {
    task_instances: Vec<Instance>,
    #[serde(flatten)]
    ends: Ends,
}

collection!(SomeInstances, "TaskInstanceListResponse", task_instances: Instance);
collection!(Tries, "TaskInstanceHistoryCollectionResponse", task_instances: Try);

async fn page(state: &ApiState, dag_id: &str, run_id: &str, params: &Params) -> Result<Json<Instances>, Error> {
    let scope = scope(state, dag_id, run_id, params).await?;
    params.words("state", "state", STATES)?;
    let query = params.keyed_list(INSTANCE_COLUMNS, INSTANCE_KEY)?;
    let page = state.store().instance_page(&scope, &query).await?;
    let task_instances = shapes(state, &page.rows).await?;
    Ok(Json(Instances { task_instances, ends: cursor::ends(&page, &query, INSTANCE_KEY) }))
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Instances>, Error> {
    page(&state, &dag_id, &run_id, &params).await
}

pub(crate) async fn list_by_body(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Instances>, Error> {
    page(&state, &dag_id, &run_id, &batch::instances(body)?).await
}

pub(crate) async fn list_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    mut params: Params,
) -> Result<Json<Instances>, Error> {
    if dag_id != "~" && run_id != "~" {
        let run = super::runs::find(&state, &dag_id, &run_id).await?;
        let version = state.version(run.version_id).await?;
        let Some(idx) = version.position(&task_id).and_then(|at| i32::try_from(at).ok()) else {
            return Err(Error::NotFound(format!("Task id {task_id} not found")));
        };
        if state.store().instance_get(run.key(), idx, 0).await?.is_none() {
            return Err(Error::NotFound(format!("Task id {task_id} is not mapped")));
        }
    }
    params.0.push(("task_id".to_owned(), task_id));
    params.0.push(("map_index_gte".to_owned(), "0".to_owned()));
    page(&state, &dag_id, &run_id, &params).await
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
) -> Result<Json<Instance>, Error> {
    let (_, row) = find(&state, &dag_id, &run_id, &task_id, NOT_MAPPED).await?;
    Ok(Json(shape(&state, &row).await?))
}

pub(crate) async fn show_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
) -> Result<Json<Instance>, Error> {
    let (_, row) = find(&state, &dag_id, &run_id, &task_id, map_index(&map)?).await?;
    Ok(Json(shape(&state, &row).await?))
}

async fn tries_of(state: &ApiState, dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> Result<Vec<Try>, Error> {
    let (run, row) = find(state, dag_id, run_id, task_id, map_index).await?;
    let version = state.version(run.version_id).await?;
    let attempts = state.store().attempt_list(run.key(), row.idx, row.map_index).await?;
    Ok(attempts.iter().filter(|a| a.attempt > run.attempt_base).filter_map(|a| shapes::one_try(&row, a, &version)).collect())
}

fn tries_body(tries: Vec<Try>) -> Json<Tries> {
    Json(Tries { total_entries: listing::count(tries.len()), task_instances: tries })
}

pub(crate) async fn tries(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
) -> Result<Json<Tries>, Error> {
    Ok(tries_body(tries_of(&state, &dag_id, &run_id, &task_id, NOT_MAPPED).await?))
}

pub(crate) async fn tries_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map)): Path<(String, String, String, String)>,
) -> Result<Json<Tries>, Error> {
    Ok(tries_body(tries_of(&state, &dag_id, &run_id, &task_id, map_index(&map)?).await?))
}

fn pick(tries: Vec<Try>, dag_id: &str, run_id: &str, task_id: &str, map: i32, try_number: &str) -> Result<Json<Try>, Error> {
    let number = try_number.parse::<i32>().ok();
    tries.into_iter().find(|t| Some(t.try_number) == number).map(Json).ok_or_else(|| {
        Error::NotFound(format!(
            "The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, try_number: `{try_number}` and map_index: `{map}` was not found"
        ))
    })
}

pub(crate) async fn one_try(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, number)): Path<(String, String, String, String)>,
) -> Result<Json<Try>, Error> {
    pick(tries_of(&state, &dag_id, &run_id, &task_id, NOT_MAPPED).await?, &dag_id, &run_id, &task_id, NOT_MAPPED, &number)
}

pub(crate) async fn one_try_mapped(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map, number)): Path<(String, String, String, String, String)>,
) -> Result<Json<Try>, Error> {
    let map = map_index(&map)?;
    pick(tries_of(&state, &dag_id, &run_id, &task_id, map).await?, &dag_id, &run_id, &task_id, map, &number)
}

/// Links to elsewhere, by name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExtraLinkCollectionResponse")]
pub(crate) struct Links {
    extra_links: BTreeMap<String, String>,
    total_entries: i64,
}

/// Links are made by operators' code, which runs nowhere here.
pub(crate) async fn links(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<Links>, Error> {
    let map_index = params.map_index()?;
    match find(&state, &dag_id, &run_id, &task_id, map_index).await {
        Err(Error::NotFound(_)) => return Err(Error::NotFound("TaskInstance not found".to_owned())),
        other => drop(other?),
    }
    Ok(Json(Links { extra_links: BTreeMap::new(), total_entries: 0 }))
}
