//! The page, and the few reads that it and the CLI need beyond Airflow's API.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use updraft_dashboard::{DOCS, File, PLACES, page};
use updraft_store::read::dags::{DAG_COLUMNS, DagNarrow};
use updraft_store::read::instances::{INSTANCE_COLUMNS, InstanceRow, InstanceScope};
use updraft_store::read::{Filter, Test};

use crate::ApiState;
use crate::error::Error;
use crate::openapi;
use crate::request::Params;
use crate::routes::{May, Routes, Thing};
use crate::shapes::{self, Run, Time, maybe, seconds, time, tries};
use crate::versions::Version;

/// Runs that a DAG's strip shows.
const STRIP: i64 = 20;

pub(crate) fn routes(routes: Routes) -> Routes {
    let mut routes = routes
        .get("/docs", May::LoggedIn, |headers: HeaderMap| async move { file(&headers, &DOCS) })
        .get("/assets/{*file}", May::Read(Thing::Page), asset)
        .get("/openapi.json", May::LoggedIn, openapi::serve);
    for path in PLACES {
        routes = routes.get(path, May::Read(Thing::Page), |headers: HeaderMap| async move { file(&headers, page()) });
    }
    routes
}

async fn asset(headers: HeaderMap, Path(name): Path<String>) -> Result<Response, Error> {
    let found = updraft_dashboard::asset(&name).ok_or_else(|| Error::NotFound(format!("the page has no file {name}")))?;
    Ok(file(&headers, found))
}

/// A file, in the best coding that the browser takes.
fn file(asked: &HeaderMap, file: &'static File) -> Response {
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes = |coding: &str| accepted.split(',').map(|one| one.split(';').next().unwrap_or_default().trim()).any(|one| one == coding);
    let (coding, bytes) = match (file.brotli, file.gzip) {
        (Some(bytes), _) if takes("br") => (Some("br"), bytes),
        (_, Some(bytes)) if takes("gzip") => (Some("gzip"), bytes),
        _ => (None, file.bytes),
    };
    let kept = if file.is_named_by_content() { "private, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"),
        ),
    ];
    let mut response = (headers, bytes).into_response();
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// A run in the strip of a DAG.
#[derive(Debug, Serialize, JsonSchema)]
struct StripRun {
    dag_run_id: String,
    #[schemars(schema_with = "shapes::run_state")]
    state: String,
    run_type: String,
    run_after: Time,
    start_date: Option<Time>,
    duration: Option<f64>,
}

/// A DAG with its latest runs.
#[derive(Debug, Serialize, JsonSchema)]
struct OverviewDag {
    dag_id: String,
    dag_display_name: String,
    description: Option<String>,
    is_paused: bool,
    has_import_errors: bool,
    schedule: String,
    schedule_description: String,
    next_run_after: Option<Time>,
    tags: Vec<String>,
    owners: Vec<String>,
    task_count: i32,
    relative_fileloc: String,
    runs: Vec<StripRun>,
}

/// A file that could not be read.
#[derive(Debug, Serialize, JsonSchema)]
struct OverviewError {
    filename: String,
    message: String,
    timestamp: Time,
}

/// The first screen.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    dags: Vec<OverviewDag>,
    total_entries: i64,
    import_errors: Vec<OverviewError>,
    version: String,
}

/// DAGs with their latest runs: the page's first screen in one request.
pub(crate) async fn overview(State(state): State<ApiState>, params: Params) -> Result<Json<Overview>, Error> {
    let mut query = params.list(DAG_COLUMNS)?;
    if let Some(column) = DAG_COLUMNS.iter().find(|c| c.name == "is_stale") {
        query.filters.push(Filter { column, test: Test::Is(false) });
    }
    let page = state.store().dag_list(&query, &DagNarrow::default()).await?;
    let ids: Vec<String> = page.rows.iter().map(|d| d.dag_id.clone()).collect();
    let strips = state.store().run_strips(&ids, STRIP).await?;
    let mut dags = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        let head = state.head(row.version_id).await?;
        let runs = strips.iter().filter(|s| s.dag_id == row.dag_id).map(|s| StripRun {
            dag_run_id: s.run_id.clone(),
            state: s.state.clone(),
            run_type: s.run_type.clone(),
            run_after: time(s.run_after),
            start_date: maybe(s.start_date),
            duration: seconds(s.start_date, s.end_date),
        });
        dags.push(OverviewDag {
            dag_id: row.dag_id.clone(),
            dag_display_name: head.spec.display_name.as_deref().unwrap_or(&row.dag_id).to_owned(),
            description: head.spec.description.clone(),
            is_paused: row.is_paused,
            has_import_errors: row.has_import_errors,
            schedule: row.timetable_summary.clone(),
            schedule_description: row.timetable_description.clone(),
            next_run_after: maybe(row.next_run_after),
            tags: head.spec.tags.clone(),
            owners: head.owners.clone(),
            task_count: row.task_count,
            relative_fileloc: row.relative_fileloc.clone(),
            runs: runs.collect(),
        });
    }
    // An error is of a file, whose DAGs may be anybody's.
    let errors = if params.1.is_all() { 20 } else { 0 };
    let errors = state.store().import_error_list(&updraft_store::read::ListQuery::first(errors)).await?;
    let import_errors = errors
        .rows
        .into_iter()
        .map(|e| OverviewError { filename: e.relative_fileloc, message: e.message, timestamp: time(e.at) })
        .collect();
    Ok(Json(Overview { dags, total_entries: page.total, import_errors, version: state.inner.version.clone() }))
}

/// A run, and how many of its tasks are in which state.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunWithCounts {
    #[serde(flatten)]
    run: Run,
    task_counts: BTreeMap<String, i64>,
    task_count: i32,
    reason: Option<String>,
}

/// One run, and how many of its tasks are in which state.
pub(crate) async fn run(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<Json<RunWithCounts>, Error> {
    let row = super::runs::find(&state, &dag_id, &run_id).await?;
    Ok(Json(RunWithCounts {
        run: super::runs::shape(&state, &row).await?,
        task_counts: state.store().run_task_counts(row.key()).await?.into_iter().collect(),
        task_count: row.task_count,
        reason: row.reason,
    }))
}

/// A task of a run, with its reason.
#[derive(Debug, Serialize, JsonSchema)]
struct RunTask {
    task_id: String,
    map_index: i32,
    #[schemars(schema_with = "shapes::task_state")]
    state: Option<&'static str>,
    try_number: i32,
    max_tries: i32,
    start_date: Option<Time>,
    end_date: Option<Time>,
    duration: Option<f64>,
    reason: Option<String>,
    message: Option<String>,
    hostname: Option<String>,
    operator: String,
    next_attempt_at: Option<Time>,
    intent: Option<String>,
    note: Option<String>,
    upstream_task_ids: Vec<String>,
    trigger_rule: String,
}

/// The tasks of a run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunTasks {
    dag_id: String,
    dag_run_id: String,
    #[schemars(schema_with = "shapes::run_state")]
    run_state: String,
    tasks: Vec<RunTask>,
    total_entries: i64,
}

/// The tasks of a run with their reasons. `changed=state` filters work as in the instance list.
pub(crate) async fn tasks(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<RunTasks>, Error> {
    let run = super::runs::find(&state, &dag_id, &run_id).await?;
    let scope = InstanceScope { run: Some(run.key()), ..InstanceScope::default() };
    let page = state.store().instance_list(&scope, &params.list(INSTANCE_COLUMNS)?).await?;
    let version = state.version(run.version_id).await?;
    let tasks = page.rows.iter().filter_map(|row| task_shape(row, &version)).collect();
    Ok(Json(RunTasks { dag_id: run.dag_id, dag_run_id: run.run_id, run_state: run.state, tasks, total_entries: page.total }))
}

fn task_shape(row: &InstanceRow, version: &Version) -> Option<RunTask> {
    let task = version.task(row.idx)?;
    let (try_number, max_tries) = tries(row, task);
    Some(RunTask {
        task_id: task.task_id.to_string(),
        map_index: row.map_index,
        state: shapes::api_state(&row.state),
        try_number,
        max_tries,
        start_date: maybe(row.started_at),
        end_date: maybe(row.ended_at),
        duration: seconds(row.started_at, row.ended_at),
        reason: row.reason.clone(),
        message: row.message.clone(),
        hostname: row.host.as_deref().map(|host| shapes::hostname(Some(host)).to_owned()),
        operator: shapes::operator(task).to_owned(),
        next_attempt_at: maybe(row.not_before.filter(|_| row.state == "up_for_retry")),
        intent: row.intent.clone(),
        note: row.note.clone(),
        upstream_task_ids: task.upstream.iter().map(ToString::to_string).collect(),
        trigger_rule: task.trigger_rule.as_str().to_owned(),
    })
}
