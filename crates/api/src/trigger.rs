//! Triggering a run by hand.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value, json};
use updraft_model::DagSpec;
use updraft_model::dag::Param;
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

/// Run ids become names of folders and labels: Airflow's own pattern, without the prefixes of automatic runs.
fn check_run_id(run_id: &str) -> Result<(), String> {
    if run_id.is_empty() || run_id.len() > 250 || !run_id.chars().all(|c| c.is_ascii_alphanumeric() || "_.~:+-".contains(c)) {
        return Err(format!(
            "The run_id provided '{run_id}' does not match the configured pattern '^[A-Za-z0-9_.~:+-]+$' or is longer than 250 characters"
        ));
    }
    for (prefix, kind) in [("scheduled__", "scheduled"), ("backfill__", "backfill"), ("asset_triggered__", "asset_triggered")] {
        if run_id.starts_with(prefix) {
            return Err(format!("A manual DAG run cannot use ID '{run_id}' since it is reserved for {kind} runs"));
        }
    }
    Ok(())
}

/// Checks the configuration against the DAG's params: types, enums, bounds, and that what has no default is given.
pub(crate) fn check_conf(spec: &DagSpec, conf: &Map<String, Value>) -> Result<(), String> {
    for (name, param) in &spec.params {
        let value = conf.get(name).unwrap_or(&param.value);
        if conf.get(name).is_none() && param.value.is_null() && !param.schema.is_empty() && !allows(param, &Value::Null) {
            return Err(format!("Invalid input for param {name}: No value passed and Param has no default value"));
        }
        check_param(param, value).map_err(|why| format!("Invalid input for param {name}: {why}"))?;
    }
    Ok(())
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn allows(param: &Param, value: &Value) -> bool {
    match param.schema.get("type") {
        Some(Value::String(kind)) => is_of_type(value, kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(|kind| is_of_type(value, kind)),
        _ => true,
    }
}

fn check_param(param: &Param, value: &Value) -> Result<(), String> {
    let schema = |name: &str| param.schema.get(name);
    if !allows(param, value) {
        return Err(format!("{value} is not of type {}", schema("type").cloned().unwrap_or_default()));
    }
    if let Some(Value::Array(choices)) = schema("enum")
        && !choices.contains(value)
    {
        return Err(format!("{value} is not one of {}", Value::Array(choices.clone())));
    }
    if let Some(only) = schema("const")
        && only != value
    {
        return Err(format!("{only} was expected"));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema(name).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|least| number < least) || bound("exclusiveMinimum").is_some_and(|least| number <= least) {
            return Err(format!("{value} is less than the minimum"));
        }
        if bound("maximum").is_some_and(|most| number > most) || bound("exclusiveMaximum").is_some_and(|most| number >= most) {
            return Err(format!("{value} is greater than the maximum"));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema(name).and_then(Value::as_u64);
        if bound("minLength").is_some_and(|least| length < least) {
            return Err(format!("{} is too short", json!(text)));
        }
        if bound("maxLength").is_some_and(|most| length > most) {
            return Err(format!("{} is too long", json!(text)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(schema: Value, default: Value) -> Param {
        serde_json::from_value(json!({"value": default, "schema": schema})).unwrap()
    }

    #[test]
    fn params_are_checked() {
        for (schema, value, good) in [
            (json!({}), json!(1), true),
            (json!({"type": "string"}), json!("x"), true),
            (json!({"type": "string"}), json!(1), false),
            (json!({"type": ["string", "null"]}), json!(null), true),
            (json!({"type": "integer", "minimum": 3}), json!(2), false),
            (json!({"type": "integer", "minimum": 3}), json!(3), true),
            (json!({"enum": ["eu", "us"]}), json!("as"), false),
            (json!({"type": "string", "maxLength": 2}), json!("abc"), false),
        ] {
            assert_eq!(check_param(&param(schema.clone(), Value::Null), &value).is_ok(), good, "{schema} {value}");
        }
    }

    #[test]
    fn run_ids_of_automatic_runs_are_reserved() {
        assert!(check_run_id("manual__2026-01-01T00:00:00+00:00").is_ok());
        assert!(check_run_id("mine").is_ok());
        for bad in ["", "a b", "a/b", "scheduled__x", "../x"] {
            assert!(check_run_id(bad).is_err(), "{bad}");
        }
    }
}
