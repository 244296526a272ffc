//! DAGs, their tasks, versions, sources, tags, statistics and import errors.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::read::audit::Audit;
use updraft_store::read::dags::{ANY_RUN_COLUMNS, DAG_COLUMNS, DagNarrow, DagRow, IMPORT_ERROR_COLUMNS, ImportErrorRow, VERSION_COLUMNS};
use updraft_store::read::{Filter, ListQuery, Test};

use crate::ApiState;
use crate::access::Scope;
use crate::error::Error;
use crate::listing::{self, Field, collection};
use crate::request::{Body, Caller, Fields, Params, unorderable};
use crate::shapes::{self, Dag, DagDetails, DagFacts, DagVersion, Task, Time};

/// A DAG, or Airflow's 404.
pub(crate) async fn find(state: &ApiState, dag_id: &str) -> Result<DagRow, Error> {
    state.store().dag_get(dag_id).await?.ok_or_else(|| Error::NotFound(format!("Dag with dag_id: '{dag_id}' not found")))
}

async fn shape(state: &ApiState, row: &DagRow) -> Result<Dag, Error> {
    let head = state.head(row.version_id).await?;
    Ok(shapes::dag(row, &head, &state.inner.defaults))
}

collection!(Dags, "DAGCollectionResponse", dags: Dag);
collection!(Versions, "DAGVersionCollectionResponse", dag_versions: DagVersion);
collection!(Tasks, "TaskCollectionResponse", tasks: Task);

pub(crate) async fn list(State(state): State<ApiState>, params: Params, caller: Caller) -> Result<Json<Dags>, Error> {
    let (query, narrow) = chosen(&params, &caller)?;
    let page = state.store().dag_list(&query, &narrow).await?;
    let mut dags = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        dags.push(shape(&state, row).await?);
    }
    Ok(Json(Dags { dags, total_entries: page.total }))
}

pub(crate) const TAGS_MATCH: &[&str] = &["any", "all"];

/// Which DAGs the parameters choose.
fn chosen(params: &Params, caller: &Caller) -> Result<(ListQuery, DagNarrow), Error> {
    let mut query = params.list(DAG_COLUMNS)?;
    if params.flag("exclude_stale")?.unwrap_or(true)
        && let Some(column) = DAG_COLUMNS.iter().find(|c| c.name == "is_stale")
    {
        query.filters.push(Filter { column, test: Test::Is(false) });
    }
    for name in ["last_dag_run_state", "dag_run_state"] {
        params.words(name, "state", super::runs::STATES)?;
    }
    // Of these parameters only the filters: what orders and pages is the list's own.
    let any_run = Params(params.0.iter().filter(|(name, _)| name.starts_with("dag_run_")).cloned().collect(), Scope::ALL);
    let narrow = DagNarrow {
        tags: params.all("tags"),
        tags_all: params.word("tags_match_mode", TAGS_MATCH)? == Some("all"),
        owners: params.all("owners"),
        any_run: any_run.list(ANY_RUN_COLUMNS)?.filters,
        favorite: params.flag("is_favorite")?.map(|is| (caller.user.clone(), is)),
    };
    Ok((query, narrow))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(dag_id): Path<String>) -> Result<Json<Dag>, Error> {
    let row = find(&state, &dag_id).await?;
    Ok(Json(shape(&state, &row).await?))
}

pub(crate) async fn details(State(state): State<ApiState>, Path(dag_id): Path<String>, caller: Caller) -> Result<Json<DagDetails>, Error> {
    let row = find(&state, &dag_id).await?;
    let head = state.head(row.version_id).await?;
    let catchup = head.spec.catchup.unwrap_or_else(|| head.spec.semantics.unwrap_or(state.inner.semantics).catchup());
    let facts = DagFacts {
        catchup,
        active_runs: state.store().run_active_count(&dag_id).await?,
        is_favorite: state.store().favorite_is(&dag_id, &caller.user).await?,
    };
    Ok(Json(shapes::dag_details(&row, &head, &state.inner.defaults, &facts)))
}

async fn find_for_favorite(state: &ApiState, dag_id: &str) -> Result<(), Error> {
    let found = state.store().dag_get(dag_id).await?;
    found.map(|_| ()).ok_or_else(|| Error::NotFound(format!("Dag with id '{dag_id}' not found")))
}

/// Favorites are the user's own: nothing of the DAG changes.
pub(crate) async fn favorite(State(state): State<ApiState>, Path(dag_id): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    find_for_favorite(&state, &dag_id).await?;
    if !state.store().favorite_add(&dag_id, &caller.user).await? {
        return Err(Error::Exists(format!("Dag '{dag_id}' is a favorite already")));
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn unfavorite(State(state): State<ApiState>, Path(dag_id): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    find_for_favorite(&state, &dag_id).await?;
    if !state.store().favorite_remove(&dag_id, &caller.user).await? {
        return Err(Error::Conflict("Dag is not marked as favorite".to_owned()));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What is odd about a DAG, and no error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DAGWarningResponse")]
pub(crate) struct Warning {
    dag_id: String,
    warning_type: &'static str,
    timestamp: Time,
    message: String,
    dag_display_name: String,
}

collection!(Warnings, "DAGWarningCollectionResponse", dag_warnings: Warning);

/// What warnings are ordered by.
pub(crate) const WARNINGS: &[Field] = &[
    Field::order("dag_id", "dag_id"),
    Field::order("warning_type", "warning_type"),
    Field::order("message", "message"),
    Field::order("timestamp", "timestamp"),
];
pub(crate) const WARNING_TYPES: &[&str] = &["asset conflict", "non-existent pool", "runtime varying value"];

/// The one thing that Airflow warns of and that is no error here: pools that do not exist, whose tasks wait until somebody makes them.
pub(crate) async fn warnings(State(state): State<ApiState>, params: Params) -> Result<Json<Warnings>, Error> {
    params.word("warning_type", WARNING_TYPES)?;
    let missing = state.store().missing_pools().await?;
    let mut rows: Vec<Warning> = missing
        .chunk_by(|a, b| a.dag_id == b.dag_id)
        .map(|group| {
            let dag = &group[0];
            let pools = group.iter().map(|row| format!("'{}'", row.pool)).collect::<Vec<_>>().join(", ");
            Warning {
                dag_id: dag.dag_id.clone(),
                warning_type: "non-existent pool",
                timestamp: shapes::time(dag.at),
                message: format!("Dag '{}' references non-existent pools: [{pools}]", dag.dag_id),
                dag_display_name: dag.display_name.as_deref().unwrap_or(&dag.dag_id).to_owned(),
            }
        })
        .collect();
    if let Some(wanted) = params.one("dag_id") {
        rows.retain(|row| row.dag_id == wanted);
    }
    if let Some(wanted) = params.one("warning_type") {
        rows.retain(|row| row.warning_type == wanted);
    }
    let (dag_warnings, total_entries) = listing::page(&params, rows, WARNINGS)?;
    Ok(Json(Warnings { dag_warnings, total_entries }))
}

fn paused_of(params: &Params, body: Value) -> Result<Option<bool>, Error> {
    let mut fields = Fields::of(body, &["is_paused"])?;
    let mask = params.all("update_mask");
    if let Some(other) = mask.iter().flat_map(|m| m.split(',')).find(|m| *m != "is_paused") {
        return Err(Error::BadRequest(format!("Only `is_paused` field can be updated through the REST API, not `{other}`")));
    }
    let given = fields.has("is_paused");
    if given || mask.is_empty() {
        fields.demand("is_paused", "bool_type", "boolean");
    }
    let paused = fields.flag("is_paused", false);
    fields.done()?;
    Ok(given.then_some(paused))
}

async fn pause(state: &ApiState, caller: &Caller, dag_id: &str, paused: bool) -> Result<(), Error> {
    let mut change = state.store().change().await?;
    if let Some(before) = change.dag_pause(dag_id, paused).await? {
        let is_paused = |is: bool| json!({"is_paused": is});
        let extra = Some(json!({"is_paused": paused, "before": is_paused(before), "after": is_paused(paused)}));
        change.commit(&Audit { who: &caller.user, event: "patch_dag", dag_id: Some(dag_id), extra, ..Audit::default() }).await?;
    }
    state.nudge(dag_id, &[]).await
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Dag>, Error> {
    find(&state, &dag_id).await?;
    if let Some(paused) = paused_of(&params, body)? {
        pause(&state, &caller, &dag_id, paused).await?;
    }
    let row = find(&state, &dag_id).await?;
    Ok(Json(shape(&state, &row).await?))
}

/// Pauses or unpauses every DAG that the filters choose.
pub(crate) async fn patch_many(
    State(state): State<ApiState>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Dags>, Error> {
    let paused = paused_of(&params, body)?;
    let (query, narrow) = chosen(&params, &caller)?;
    // As in Airflow: nobody changes all DAGs by forgetting which. `~` is all of them.
    if params.one("dag_id_pattern").is_none() && params.one("dag_id_prefix_pattern").is_none() {
        return Ok(Json(Dags { dags: Vec::new(), total_entries: 0 }));
    }
    let page = state.store().dag_list(&query, &narrow).await?;
    let mut dags = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        if let Some(paused) = paused {
            pause(&state, &caller, &row.dag_id, paused).await?;
        }
        dags.push(shape(&state, &find(&state, &row.dag_id).await?).await?);
    }
    Ok(Json(Dags { dags, total_entries: page.total }))
}

pub(crate) async fn delete(State(state): State<ApiState>, Path(dag_id): Path<String>, caller: Caller) -> Result<Json<()>, Error> {
    if state.store().dag_get(&dag_id).await?.is_none() {
        return Err(Error::NotFound(format!("Dag with id: {dag_id} was not found")));
    }
    if !state.store().dag_forget(&dag_id, &caller.user).await? {
        return Err(Error::Conflict(format!("Task instances of dag with id: '{dag_id}' are still running")));
    }
    let audit = Audit { who: &caller.user, event: "delete_dag", dag_id: Some(&dag_id), ..Audit::default() };
    state.store().audit_write(&audit).await?;
    // Airflow's own description of the call says 200.
    Ok(Json(()))
}

pub(crate) async fn tasks(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<Tasks>, Error> {
    let row = find(&state, &dag_id).await?;
    let version = state.version(row.version_id).await?;
    let mut order: Vec<u32> = (0u32..).take(version.graph.len()).collect();
    let by = params.one("order_by").unwrap_or("task_id");
    let (name, descending) = by.strip_prefix('-').map_or((by, false), |name| (name, true));
    match name {
        "task_id" | "task_display_name" => order.sort_by_key(|at| version.spec().tasks[*at as usize].task_id.as_str().to_owned()),
        // The order of the file, which Airflow does not keep.
        "idx" => {}
        other => return Err(Error::BadRequest(format!("'{other}' is not a valid field to order tasks by: use task_id or idx"))),
    }
    if descending {
        order.reverse();
    }
    let tasks: Vec<Task> = order.into_iter().map(|at| shapes::task(&version, at)).collect();
    Ok(Json(Tasks { total_entries: listing::count(tasks.len()), tasks }))
}

pub(crate) async fn task(State(state): State<ApiState>, Path((dag_id, task_id)): Path<(String, String)>) -> Result<Json<Task>, Error> {
    let row = find(&state, &dag_id).await?;
    let version = state.version(row.version_id).await?;
    let at = version.position(&task_id).ok_or_else(|| Error::NotFound(format!("Task with id {task_id} was not found")))?;
    Ok(Json(shapes::task(&version, at)))
}

pub(crate) async fn versions(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<Versions>, Error> {
    let one = (dag_id != "~").then_some(dag_id.as_str());
    if let Some(dag_id) = one {
        find(&state, dag_id).await?;
    }
    let page = state.store().version_list(one, &params.list(VERSION_COLUMNS)?).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let head = state.head(row.id).await?;
        rows.push(shapes::version_row(row, head.spec.display_name.as_deref()));
    }
    Ok(Json(Versions { dag_versions: rows, total_entries: page.total }))
}

pub(crate) async fn version(
    State(state): State<ApiState>,
    Path((dag_id, number)): Path<(String, String)>,
) -> Result<Json<DagVersion>, Error> {
    let missing = || Error::NotFound(format!("The DagVersion with dag_id: `{dag_id}` and version_number: `{number}` was not found"));
    number.parse::<i32>().map_err(|_| missing())?;
    let params = Params(vec![("version_number".to_owned(), number.clone())], Scope::ALL);
    let page = state.store().version_list(Some(&dag_id), &params.list(VERSION_COLUMNS)?).await?;
    let row = page.rows.first().ok_or_else(missing)?;
    let head = state.head(row.id).await?;
    Ok(Json(shapes::version_row(row, head.spec.display_name.as_deref())))
}

/// The file of a DAG, as it was when this version of it was read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DAGSourceResponse")]
pub(crate) struct Source {
    content: String,
    dag_id: String,
    version_number: i32,
    dag_display_name: String,
}

pub(crate) async fn source(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let number = params.int("version_number")?.map(|n| i32::try_from(n).unwrap_or(-1));
    let Some(row) = state.store().dag_source(&dag_id, number).await? else {
        let which = number.map_or_else(|| "latest".to_owned(), |n| n.to_string());
        return Err(Error::NotFound(format!("The source code of the DAG {dag_id}, version_number {which} was not found")));
    };
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    if accept.contains("text/plain") {
        return Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], row.source).into_response());
    }
    if !(accept.contains("*/*") || accept.contains("application/*") || accept.contains("application/json")) {
        return Err(Error::NotAcceptable("Only application/json or text/plain is supported".to_owned()));
    }
    let dag = state.store().dag_get(&dag_id).await?;
    let name = match dag {
        Some(dag) => state.head(dag.version_id).await?.spec.display_name.clone(),
        None => None,
    };
    let dag_display_name = name.unwrap_or_else(|| dag_id.clone());
    Ok(Json(Source { content: row.source, dag_id, version_number: row.number, dag_display_name }).into_response())
}

/// How many runs of a DAG are in a state.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DagStatsStateResponse")]
pub(crate) struct StateCount {
    #[schemars(schema_with = "shapes::run_state")]
    state: &'static str,
    count: i64,
}

/// How the runs of a DAG stand.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DagStatsResponse")]
pub(crate) struct Stats {
    dag_id: String,
    dag_display_name: String,
    stats: Vec<StateCount>,
}

collection!(AllStats, "DagStatsCollectionResponse", dags: Stats);

pub(crate) async fn stats(State(state): State<ApiState>, params: Params) -> Result<Json<AllStats>, Error> {
    let mut wanted = params.all("dag_ids");
    wanted.extend(params.all("dag_id"));
    if let Some(ids) = &params.1.0 {
        wanted = if wanted.is_empty() { ids.to_vec() } else { wanted.into_iter().filter(|id| params.1.has(id)).collect() };
        // Nothing asked for would be all.
        if wanted.is_empty() {
            return Ok(Json(AllStats { dags: Vec::new(), total_entries: 0 }));
        }
    }
    let rows = state.store().dag_stats(&wanted).await?;
    let mut dags: Vec<Stats> = Vec::new();
    for group in rows.chunk_by(|a, b| a.dag_id == b.dag_id) {
        let count = |wanted: &str| group.iter().find(|r| r.state.as_deref() == Some(wanted)).map_or(0, |r| r.count);
        let stats = super::runs::STATES.iter().map(|state| StateCount { state, count: count(state) }).collect();
        let dag_id = &group[0].dag_id;
        let name = group[0].display_name.as_ref().unwrap_or(dag_id);
        dags.push(Stats { dag_id: dag_id.clone(), dag_display_name: name.clone(), stats });
    }
    Ok(Json(AllStats { total_entries: listing::count(dags.len()), dags }))
}

collection!(Tags, "DAGTagCollectionResponse", tags: String);

pub(crate) async fn tags(State(state): State<ApiState>, params: Params) -> Result<Json<Tags>, Error> {
    let mut descending = false;
    for (name, turned) in params.order_by()?.into_iter().rev() {
        if name != "name" {
            return Err(unorderable(&name, std::iter::once("name")));
        }
        descending = turned;
    }
    let tests = params.text_tests("", "tag_name_pattern", "tag_name_prefix_pattern");
    let page = state.store().dag_tags(&tests, descending, params.limit()?, params.offset()?).await?;
    Ok(Json(Tags { tags: page.rows, total_entries: page.total }))
}

/// A file that could not be read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ImportErrorResponse")]
pub(crate) struct ImportError {
    import_error_id: i64,
    timestamp: Time,
    filename: String,
    bundle_name: String,
    /// What is wrong with it, and where.
    stack_trace: String,
}

collection!(ImportErrors, "ImportErrorCollectionResponse", import_errors: ImportError);

fn import_error_shape(row: &ImportErrorRow) -> ImportError {
    ImportError {
        import_error_id: row.id,
        timestamp: shapes::time(row.at),
        filename: row.relative_fileloc.clone(),
        bundle_name: row.bundle.clone(),
        stack_trace: row.message.clone(),
    }
}

pub(crate) async fn import_errors(State(state): State<ApiState>, params: Params) -> Result<Json<ImportErrors>, Error> {
    let page = state.store().import_error_list(&params.list(IMPORT_ERROR_COLUMNS)?).await?;
    Ok(Json(ImportErrors { import_errors: page.rows.iter().map(import_error_shape).collect(), total_entries: page.total }))
}

pub(crate) async fn import_error(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<ImportError>, Error> {
    let row = match id.parse() {
        Ok(number) => state.store().import_error_get(number).await?,
        Err(_) => None,
    };
    row.map(|row| Json(import_error_shape(&row)))
        .ok_or_else(|| Error::NotFound(format!("The ImportError with import_error_id: `{id}` was not found")))
}
