//! Runs: list, show, mark, note, delete, wait for the end.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use updraft_model::RunKey;
use updraft_model::state::Intent;
use updraft_store::read::audit::Audit;
use updraft_store::read::runs::{RUN_COLUMNS, RUN_KEY, RunDeleted, RunRow};

use crate::bulk::{self, Action, Answers, Done};
use crate::cursor::{self, Ends};
use crate::error::Error;
use crate::listing::collection;
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::{self, Run};
use crate::{ApiState, batch};

/// A run by its name, or Airflow's 404. `latest` is ours: the newest run of the DAG, unless one has that very name.
pub(crate) async fn find(state: &ApiState, dag_id: &str, run_id: &str) -> Result<RunRow, Error> {
    if let Some(row) = state.store().run_get(dag_id, run_id).await? {
        return Ok(row);
    }
    if run_id == "latest"
        && let Some(row) = state.store().run_latest(dag_id).await?
    {
        return Ok(row);
    }
    Err(Error::NotFound(format!("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")))
}

pub(crate) async fn shape(state: &ApiState, row: &RunRow) -> Result<Run, Error> {
    let head = state.head(row.version_id).await?;
    Ok(shapes::run(row, head.spec.display_name.as_deref()))
}

/// States of runs, and what starts them, in Airflow's order.
pub(crate) const STATES: &[&str] = &["queued", "running", "success", "failed"];
pub(crate) const TYPES: &[&str] = &["backfill", "scheduled", "manual", "operator_triggered", "asset_triggered", "asset_materialization"];

/// A page of runs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DAGRunCollectionResponse")]
pub(crate) struct Runs {
    pub(crate) dag_runs: Vec<Run>,
    #[serde(flatten)]
    pub(crate) ends: Ends,
}

async fn page(state: &ApiState, dag_id: &str, params: &Params) -> Result<Json<Runs>, Error> {
    let one = (dag_id != "~").then_some(dag_id);
    let partitions = ["partition_date_gte", "partition_date_lte"].iter().any(|name| params.one(name).is_some());
    if let Some(dag_id) = one {
        super::dags::find(state, dag_id).await?;
    }
    if partitions {
        return Err(Error::BadRequest(match one {
            None => "partition_date_gte and partition_date_lte require a specific dag_id.".to_owned(),
            Some(dag_id) => {
                format!("Dag with dag_id: '{dag_id}' is not partitioned; partition_date_gte and partition_date_lte are not supported.")
            }
        }));
    }
    params.words("state", "state", STATES)?;
    params.words("run_type", "run type", TYPES)?;
    let query = params.keyed_list(RUN_COLUMNS, RUN_KEY)?;
    let page = state.store().run_page(one, &query).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        rows.push(shape(state, row).await?);
    }
    Ok(Json(Runs { dag_runs: rows, ends: cursor::ends(&page, &query, RUN_KEY) }))
}

pub(crate) async fn list(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<Runs>, Error> {
    page(&state, &dag_id, &params).await
}

pub(crate) async fn list_by_body(State(state): State<ApiState>, Path(dag_id): Path<String>, Body(body): Body) -> Result<Json<Runs>, Error> {
    page(&state, &dag_id, &batch::runs(body)?).await
}

pub(crate) async fn show(State(state): State<ApiState>, Path((dag_id, run_id)): Path<(String, String)>) -> Result<Json<Run>, Error> {
    let row = find(&state, &dag_id, &run_id).await?;
    Ok(Json(shape(&state, &row).await?))
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Run>, Error> {
    let row = find(&state, &dag_id, &run_id).await?;
    let mut fields = Fields::of(body, PATCH_KEYS)?;
    let mask = params.mask();
    let wanted = |name: &str| mask.is_empty() || mask.iter().any(|m| m == name);
    let new_state = new_state_of(&mut fields);
    let note = fields.note();
    fields.done()?;
    let (new_state, note) = (new_state.filter(|_| wanted("state")), note.filter(|_| wanted("note")));
    let extra = change_of(&row, new_state.as_deref(), note.as_ref());
    if let Some(new_state) = new_state {
        mark(&state, &row, &new_state, &caller.user).await?;
    }
    if let Some(note) = note {
        state.store().run_note(row.key(), note.as_deref()).await?;
    }
    state
        .store()
        .audit_write(&Audit {
            who: &caller.user,
            event: "patch_dag_run",
            dag_id: Some(&dag_id),
            run_id: Some(&row.run_id),
            logical_date: row.logical_date,
            extra: Some(extra),
            ..Audit::default()
        })
        .await?;
    let row = find(&state, &dag_id, &row.run_id).await?;
    Ok(Json(shape(&state, &row).await?))
}

/// What the audit log says of a mark and a note: what of it was before, and what was asked for. A mark is an intent: tasks get there later.
pub(crate) fn before_and_after(old: (&str, Option<&str>), new_state: Option<&str>, note: Option<&Option<String>>) -> (Value, Value) {
    let (mut before, mut after) = (Map::new(), Map::new());
    if let Some(new_state) = new_state {
        before.insert("state".to_owned(), json!(old.0));
        after.insert("state".to_owned(), json!(new_state));
    }
    if let Some(note) = note {
        before.insert("note".to_owned(), json!(old.1));
        after.insert("note".to_owned(), json!(note));
    }
    (Value::Object(before), Value::Object(after))
}

fn change_of(row: &RunRow, new_state: Option<&str>, note: Option<&Option<String>>) -> Value {
    let (before, after) = before_and_after((&row.state, row.note.as_deref()), new_state, note);
    let mut extra = after.clone();
    (extra["before"], extra["after"]) = (before, after);
    extra
}

pub(crate) const PATCH_KEYS: &[&str] = &["state", "note"];
/// What a run can be marked as.
pub(crate) const MARKS: &[&str] = &["queued", "success", "failed"];

fn new_state_of(fields: &mut Fields) -> Option<String> {
    let new_state = fields.text("state")?;
    if !MARKS.contains(&new_state.as_str()) {
        fields.refuse("state", "Input should be 'queued', 'success' or 'failed'");
    }
    Some(new_state)
}

/// Marks a run, as Airflow does: `success` marks every task; `failed` ends what runs and skips what has not begun; `queued` lets it go on
/// with what is not done.
async fn mark(state: &ApiState, row: &RunRow, new_state: &str, by: &str) -> Result<(), Error> {
    let run = row.key();
    let ended = match new_state {
        "queued" => {
            if row.is_over() {
                state.store().run_reopen(run).await?;
            }
            false
        }
        "success" => {
            request(state, run, Intent::MarkSuccess, by, |s| s != "success").await?;
            state.store().run_end_by_hand(run, "success", by).await?
        }
        _ => {
            // What runs or waits for a worker fails; what has not begun is skipped.
            request(state, run, Intent::MarkFailed, by, |s| matches!(s, "running" | "queued" | "deferred")).await?;
            request(state, run, Intent::Skip, by, |s| matches!(s, "none" | "scheduled" | "up_for_retry")).await?;
            state.store().run_end_by_hand(run, "failed", by).await?
        }
    };
    // One that was over has its span.
    if ended && let Some(tracer) = updraft_telemetry::traces::tracer() {
        let installation = state.installation().await?;
        state.store().runs_over(&[run]).await?.iter().for_each(|span| tracer.run_ended(installation, span));
    }
    state.nudge(&row.dag_id, &[run]).await
}

async fn request(state: &ApiState, run: RunKey, intent: Intent, by: &str, wants: impl Fn(&str) -> bool) -> Result<(), Error> {
    let keys: Vec<(i32, i32)> =
        state.store().instance_states(run).await?.into_iter().filter(|(_, _, s)| wants(s)).map(|(idx, map, _)| (idx, map)).collect();
    ask(state, run, &keys, intent, by).await.map(|_| ())
}

/// Writes an intent and tells the workers that must act on it.
pub(crate) async fn ask(
    state: &ApiState,
    run: RunKey,
    keys: &[(i32, i32)],
    intent: Intent,
    by: &str,
) -> Result<Vec<updraft_store::IntentEffect>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let effects = state.store().intent_request(run, keys, intent, by).await?;
    tell(state, &effects);
    Ok(effects)
}

/// Tells the workers that must act on what was asked for.
pub(crate) fn tell(state: &ApiState, effects: &[updraft_store::IntentEffect]) {
    let mut told: Vec<_> = effects.iter().filter_map(|e| e.told).collect();
    told.sort_unstable();
    told.dedup();
    for worker in told {
        state.inner.broker.notify(worker);
    }
}

pub(crate) async fn delete(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    caller: Caller,
) -> Result<StatusCode, Error> {
    let row = find(&state, &dag_id, &run_id).await?;
    remove(&state, &row).await?;
    let entry = Audit {
        who: &caller.user,
        event: "delete_dag_run",
        dag_id: Some(&dag_id),
        run_id: Some(&row.run_id),
        logical_date: row.logical_date,
        ..Audit::default()
    };
    state.store().audit_write(&entry).await?;
    state.nudge(&dag_id, &[]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(state: &ApiState, row: &RunRow) -> Result<(), Error> {
    let (dag_id, run_id) = (&row.dag_id, &row.run_id);
    match state.store().run_delete(row.key()).await? {
        RunDeleted::Done => Ok(()),
        RunDeleted::Missing => Err(Error::NotFound(format!("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found"))),
        RunDeleted::Active if row.state == "running" => {
            Err(Error::Conflict(format!("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` cannot be deleted in running state")))
        }
        RunDeleted::Active => Err(Error::Conflict(format!(
            "The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` cannot be deleted: a task of it is still being stopped, wait for its end"
        ))),
    }
}

pub(crate) const NAMED_KEYS: &[&str] = &["dag_run_id", "dag_id", "state", "note"];

/// A run as a bulk request names it.
struct Named {
    run_id: String,
    dag_id: Option<String>,
    new_state: Option<String>,
    note: Option<Option<String>>,
    /// By its name alone.
    plain: bool,
}

fn named(entity: &Value) -> Result<Named, Error> {
    if let Some(run_id) = entity.as_str() {
        return Ok(Named { run_id: run_id.to_owned(), dag_id: None, new_state: None, note: None, plain: true });
    }
    let mut fields = Fields::of(entity.clone(), NAMED_KEYS)?;
    fields.demand("dag_run_id", "string_type", "string");
    let run_id = fields.text("dag_run_id").unwrap_or_default();
    let dag_id = fields.text("dag_id").filter(|id| !id.is_empty());
    let new_state = new_state_of(&mut fields);
    // As in Airflow, null leaves the note alone here.
    let note = fields.note().filter(|_| entity["note"].is_string());
    fields.done()?;
    Ok(Named { run_id, dag_id, new_state, note, plain: false })
}

/// Updates and deletes many runs, of one DAG or of any (`~`). Each is done or refused by itself; with `fail`, one that is missing ends its
/// action before it begins.
pub(crate) async fn bulk(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Answers>, Error> {
    let mut asked = Vec::new();
    for action in bulk::actions(body)? {
        let runs = action.read(named)?;
        asked.push((action, runs));
    }
    let mut answers = Answers::default();
    for (action, runs) in asked {
        let mut done = Done::default();
        if action.kind == "create" {
            let error = "Dag Runs bulk create is not supported. Use the trigger Dag Run endpoint instead.";
            done.fail(error, StatusCode::METHOD_NOT_ALLOWED);
        } else {
            bulk_action(&state, &dag_id, &caller, &action, runs, &mut done).await?;
        }
        answers.add(action.kind, done);
    }
    Ok(Json(answers))
}

async fn bulk_action(
    state: &ApiState,
    dag_id: &str,
    caller: &Caller,
    action: &Action,
    runs: Vec<Named>,
    done: &mut Done,
) -> Result<(), Error> {
    // The last word on a run counts.
    let mut wanted: BTreeMap<(String, String), Named> = BTreeMap::new();
    for run in runs {
        let of = run.dag_id.as_deref().unwrap_or(dag_id).to_owned();
        if of != "~" {
            caller.scope.check(&of)?;
        }
        let refused = match (run.plain, of == "~" || run.run_id == "~") {
            (true, _) if action.kind == "update" => {
                Some(format!("Bulk update requires a BulkDAGRunBody object, not a string for dag_run_id: {}", run.run_id))
            }
            (true, true) => Some(format!(
                "When using wildcard in path, dag_id must be specified in BulkDAGRunBody object, not as string for dag_run_id: {}",
                run.run_id
            )),
            (false, true) => {
                Some(format!("When using wildcard in path, dag_id must be specified in request body for dag_run_id: {}", run.run_id))
            }
            (_, false) => None,
        };
        match refused {
            Some(error) => done.fail(error, StatusCode::BAD_REQUEST),
            None => drop(wanted.insert((of, run.run_id.clone()), run)),
        }
    }
    let mut found = Vec::with_capacity(wanted.len());
    let mut missing = Vec::new();
    for ((dag_id, run_id), run) in wanted {
        match state.store().run_get(&dag_id, &run_id).await? {
            Some(row) => found.push((row, run)),
            None => missing.push(format!("('{dag_id}', '{run_id}')")),
        }
    }
    if !action.skip && !missing.is_empty() {
        done.fail(format!("The DagRuns with these identifiers: [{}] were not found", missing.join(", ")), StatusCode::NOT_FOUND);
        return Ok(());
    }
    for (row, run) in found {
        let extra = if action.kind == "delete" {
            match remove(state, &row).await {
                Ok(()) => {}
                Err(Error::Conflict(error)) => {
                    done.fail(error, StatusCode::CONFLICT);
                    continue;
                }
                // Somebody else was faster.
                Err(Error::NotFound(error)) => {
                    if !action.skip {
                        done.fail(error, StatusCode::NOT_FOUND);
                    }
                    continue;
                }
                Err(other) => return Err(other),
            }
            json!({"action": "delete"})
        } else {
            let new_state = run.new_state.filter(|_| action.wants("state"));
            let note = run.note.filter(|_| action.wants("note"));
            if let Some(new_state) = &new_state {
                mark(state, &row, new_state, &caller.user).await?;
            }
            if let Some(note) = &note {
                state.store().run_note(row.key(), note.as_deref()).await?;
            }
            let mut extra = change_of(&row, new_state.as_deref(), note.as_ref());
            extra["action"] = json!("update");
            extra
        };
        let entry = Audit {
            who: &caller.user,
            event: "bulk_dag_runs",
            dag_id: Some(&row.dag_id),
            run_id: Some(&row.run_id),
            logical_date: row.logical_date,
            extra: Some(extra),
            ..Audit::default()
        };
        state.store().audit_write(&entry).await?;
        if action.kind == "delete" {
            state.nudge(&row.dag_id, &[]).await?;
        }
        done.succeed(format!("{}.{}", row.dag_id, row.run_id));
    }
    Ok(())
}

/// One JSON object a line until the run is over. `interval` is in seconds; `result` names tasks whose return values come with the end.
pub(crate) async fn wait(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = find(&state, &dag_id, &run_id).await?;
    let Some(text) = params.one("interval") else {
        return Err(Error::invalid("missing", json!(["query", "interval"]), "Field required", Value::Null));
    };
    let interval = text
        .parse::<f64>()
        .ok()
        .filter(|s| *s > 0.0 && *s <= 3600.0)
        .ok_or_else(|| Error::invalid("greater_than", json!(["query", "interval"]), "Input should be greater than 0", json!(text)))?;
    let results = params.all("result");
    if wants_one_answer(&headers) {
        let mut row = row;
        while !row.is_over() {
            tokio::time::sleep(Duration::from_secs_f64(interval)).await;
            row = find(&state, &row.dag_id, &row.run_id).await?;
        }
        return Ok(Json(end_line(&state, &row, &results).await).into_response());
    }
    let first = Some((state, row, results));
    let lines = futures::stream::unfold((first, false), move |(next, later)| async move {
        let (state, row, results) = next?;
        if later {
            tokio::time::sleep(Duration::from_secs_f64(interval)).await;
        }
        match find(&state, &row.dag_id, &row.run_id).await {
            Ok(row) => {
                let over = row.is_over();
                let line = end_line(&state, &row, if over { &results } else { &[] }).await;
                let again = (!over).then_some((state, row, results));
                Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("{}\n", json!(line)))), (again, true)))
            }
            Err(error) => Some((Ok(Bytes::from(format!("{}\n", json!({"error": error.to_string()})))), (None, true))),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], HttpBody::from_stream(lines)).into_response())
}

/// Airflow's own client asks for JSON and cannot read lines; whoever takes anything gets a line for each look, as from Airflow.
fn wants_one_answer(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    accept.contains("application/json") && !accept.contains("ndjson") && !accept.contains("*/*")
}

/// How a run stands, and what its tasks returned.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Waited {
    #[schemars(schema_with = "shapes::run_state")]
    state: String,
    /// By task: of those that were asked for and left something.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    results: BTreeMap<String, Value>,
}

async fn end_line(state: &ApiState, row: &RunRow, results: &[String]) -> Waited {
    let mut found = BTreeMap::new();
    if !results.is_empty()
        && let (Ok(version), Ok(values)) = (state.version(row.version_id).await, state.store().xcoms_of(row.key()).await)
    {
        for task_id in results {
            let at = version.position(task_id).and_then(|at| i32::try_from(at).ok());
            if let Some((_, _, value)) = values.iter().find(|(idx, key, _)| Some(*idx) == at && key == "return_value") {
                found.insert(task_id.clone(), value.clone());
            }
        }
    }
    Waited { state: row.state.clone(), results: found }
}

collection!(AssetEvents, "AssetEventCollectionResponse", asset_events: ());

/// No run comes from an asset.
pub(crate) async fn no_asset_events(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<Json<AssetEvents>, Error> {
    find(&state, &dag_id, &run_id).await?;
    Ok(Json(AssetEvents { asset_events: Vec::new(), total_entries: 0 }))
}
