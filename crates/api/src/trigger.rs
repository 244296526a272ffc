//! Triggering a run by hand.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::Value;
use updraft_model::DagSpec;
pub(crate) use updraft_model::trigger::check_conf;
use updraft_model::trigger::check_run_id;
use updraft_planner::timetable::Timetable;
use updraft_store::NewRun;
use updraft_store::read::audit::Audit;

use crate::ApiState;
use crate::error::Error;
use crate::request::{Body, Caller, Fields, MOST_NOTE};
use crate::request_trace::RequestTrace;
use crate::shapes::{self, Run};

pub(crate) const KEYS: &[&str] =
    &["dag_run_id", "data_interval_start", "data_interval_end", "logical_date", "run_after", "conf", "note", "partition_key"];

pub(crate) async fn trigger(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Run>, Error> {
    let trace = RequestTrace::begin(&headers);
    let made = make(&state, &dag_id, &caller, body, trace.carrier()).await;
    let (status, run_id) = match &made {
        Ok((run_id, _)) => (200, Some(run_id.as_str())),
        Err(error) => (error.status().as_u16(), None),
    };
    trace.end("POST", "/api/v2/dags/{dag_id}/dagRuns", status, &dag_id, run_id);
    made.map(|(_, run)| Json(run))
}

/// Makes the run. Its name, and how it is shown.
async fn make(state: &ApiState, dag_id: &str, caller: &Caller, body: Value, trace: Option<String>) -> Result<(String, Run), Error> {
    let mut fields = Fields::of(body.clone(), KEYS)?;
    fields.require("logical_date");
    let logical_date = fields.time("logical_date");
    let run_id = fields.text("dag_run_id");
    let start = fields.time("data_interval_start");
    let end = fields.time("data_interval_end");
    if start.is_some() != end.is_some() {
        fields.refuse("data_interval_start", "Either both data_interval_start and data_interval_end must be provided or both must be None");
    }
    let run_after = fields.time("run_after");
    let conf = fields.object("conf").unwrap_or_default();
    // No run has a partition.
    fields.text("partition_key");
    let note = fields.text("note");
    if note.as_ref().is_some_and(|n| n.chars().count() > MOST_NOTE) {
        fields.refuse("note", &format!("String should have at most {MOST_NOTE} characters"));
    }
    fields.done()?;

    let dag = super::dags::find(state, dag_id).await?;
    if dag.is_stale {
        return Err(Error::NotFound(format!("Dag with dag_id: '{dag_id}' not found: its file {} no longer has it", dag.relative_fileloc)));
    }
    // Airflow refuses a DAG whose file is broken now. Here its last good version stays in force, for the timetable and for people.
    let head = state.head(dag.version_id).await?;
    check_conf(&head.spec, &conf).map_err(Error::BadRequest)?;
    let now = Utc::now().trunc_subsecs(6);
    let run_after = run_after.or(logical_date).unwrap_or(now);
    let run_id = match run_id {
        Some(run_id) => {
            check_run_id(&run_id).map_err(Error::BadRequest)?;
            run_id
        }
        None => format!("manual__{}", shapes::iso(run_after)),
    };
    let interval = match (start, end) {
        (Some(start), Some(end)) => Some((start, end)),
        _ => logical_date.map(|at| manual_interval(state, &head.spec, at)),
    };
    let new = NewRun {
        dag_id,
        run_id: &run_id,
        run_type: "manual",
        logical_date,
        data_interval: interval,
        run_after,
        conf: Value::Object(conf),
        note,
        triggered_by: caller.by,
        triggering_user: Some(&caller.user),
        version_id: dag.version_id,
        trace,
    };
    let Some(key) = state.store().run_create(&new).await? else {
        let which = match state.store().run_get(dag_id, &run_id).await? {
            Some(_) => format!("the run {run_id} exists already"),
            None => format!("a run for the logical date {} exists already", logical_date.map(shapes::time_text).unwrap_or_default()),
        };
        return Err(Error::Exists(format!("{which} in DAG {dag_id}")));
    };
    if run_after > now {
        state.store().due_add("run_start", key, run_after).await?;
    }
    state
        .store()
        .audit_write(&Audit {
            who: &caller.user,
            event: "trigger_dag_run",
            dag_id: Some(dag_id),
            run_id: Some(&run_id),
            logical_date,
            // The log forgets nothing.
            extra: Some(updraft_model::redact::redact(body)),
            ..Audit::default()
        })
        .await?;
    state.nudge(dag_id, &[key]).await?;
    let row = super::runs::find(state, dag_id, &run_id).await?;
    let run = super::runs::shape(state, &row).await?;
    Ok((run_id, run))
}

fn manual_interval(state: &ApiState, spec: &DagSpec, at: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let semantics = spec.semantics.unwrap_or(state.inner.semantics);
    match Timetable::new(&spec.schedule, &spec.timezone, semantics) {
        Ok(timetable) => timetable.manual_interval(at),
        // A schedule that cannot be read was refused when its file was: no run comes from it but this one.
        Err(_) => (at, at),
    }
}
