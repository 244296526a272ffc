//! The page, and the few reads that it and the CLI need beyond Airflow's API.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use updraft_dashboard::{ASSETS, PAGE};
use updraft_model::TaskState;
use updraft_store::read::dags::{DAG_COLUMNS, DagNarrow};
use updraft_store::read::instances::{INSTANCE_COLUMNS, InstanceRow, InstanceScope};
use updraft_store::read::{Filter, Test};

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::routes::{May, Routes, Thing};
use crate::shapes::{maybe, seconds, time, tries};
use crate::versions::Version;

/// Runs that a DAG's strip shows.
const STRIP: i64 = 14;

pub(crate) fn routes(routes: Routes) -> Routes {
    let mut routes = routes.get("/", May::Read(Thing::Page), || async { file("text/html; charset=utf-8", PAGE) });
    for (path, kind, text) in ASSETS {
        routes = routes.get(path, May::Read(Thing::Page), move || async move { file(kind, text) });
    }
    routes
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"),
        ),
    ];
    (headers, text).into_response()
}

/// DAGs with their latest runs: the page's first screen in one request.
pub(crate) async fn overview(State(state): State<ApiState>, params: Params) -> Result<Json<Value>, Error> {
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
        let runs: Vec<Value> = strips
            .iter()
            .filter(|s| s.dag_id == row.dag_id)
            .map(|s| json!({"dag_run_id": s.run_id, "state": s.state, "run_type": s.run_type, "run_after": time(s.run_after), "start_date": maybe(s.start_date), "duration": seconds(s.start_date, s.end_date)}))
            .collect();
        dags.push(json!({
            "dag_id": row.dag_id, "dag_display_name": head.spec.display_name.as_deref().unwrap_or(&row.dag_id), "description": head.spec.description,
            "is_paused": row.is_paused, "has_import_errors": row.has_import_errors, "schedule": row.timetable_summary,
            "schedule_description": row.timetable_description, "next_run_after": maybe(row.next_run_after), "tags": head.spec.tags,
            "owners": head.owners, "task_count": row.task_count, "relative_fileloc": row.relative_fileloc, "runs": runs,
        }));
    }
    // An error is of a file, whose DAGs may be anybody's.
    let errors = if params.1.is_all() { 20 } else { 0 };
    let errors = state.store().import_error_list(&updraft_store::read::ListQuery::first(errors)).await?;
    let import_errors: Vec<Value> =
        errors.rows.iter().map(|e| json!({"filename": e.relative_fileloc, "message": e.message, "timestamp": time(e.at)})).collect();
    Ok(Json(json!({"dags": dags, "total_entries": page.total, "import_errors": import_errors, "version": state.inner.version})))
}

/// One run, and how many of its tasks are in which state.
pub(crate) async fn run(State(state): State<ApiState>, Path((dag_id, run_id)): Path<(String, String)>) -> Result<Json<Value>, Error> {
    let row = super::runs::find(&state, &dag_id, &run_id).await?;
    let mut shape = super::runs::shape(&state, &row).await?;
    let counts: serde_json::Map<String, Value> =
        state.store().run_task_counts(row.key()).await?.into_iter().map(|(s, n)| (s, json!(n))).collect();
    shape["task_counts"] = Value::Object(counts);
    shape["task_count"] = json!(row.task_count);
    shape["reason"] = json!(row.reason);
    Ok(Json(shape))
}

/// The tasks of a run with their reasons. `changed=state` filters work as in the instance list.
pub(crate) async fn tasks(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Value>, Error> {
    let run = super::runs::find(&state, &dag_id, &run_id).await?;
    let scope = InstanceScope { run: Some(run.key()), ..InstanceScope::default() };
    let page = state.store().instance_list(&scope, &params.list(INSTANCE_COLUMNS)?).await?;
    let version = state.version(run.version_id).await?;
    let rows: Vec<Value> = page.rows.iter().filter_map(|row| task_shape(row, &version)).collect();
    Ok(Json(json!({"dag_id": run.dag_id, "dag_run_id": run.run_id, "run_state": run.state, "tasks": rows, "total_entries": page.total})))
}

fn task_shape(row: &InstanceRow, version: &Version) -> Option<Value> {
    let task = version.task(row.idx)?;
    let (try_number, max_tries) = tries(row, task);
    let state = row.state.parse::<TaskState>().ok().and_then(TaskState::as_api);
    Some(json!({
        "task_id": task.task_id, "map_index": row.map_index, "state": state, "try_number": try_number, "max_tries": max_tries,
        "start_date": maybe(row.started_at), "end_date": maybe(row.ended_at), "duration": seconds(row.started_at, row.ended_at),
        "reason": row.reason, "message": row.message, "hostname": row.host.as_deref().map(|h| crate::shapes::hostname(Some(h))), "operator": crate::shapes::operator(task),
        "next_attempt_at": maybe(row.not_before.filter(|_| row.state == "up_for_retry")), "intent": row.intent, "note": row.note,
        "upstream_task_ids": task.upstream, "trigger_rule": task.trigger_rule.as_str(),
    }))
}
