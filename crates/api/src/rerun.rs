//! `POST /ui/runs/{dag_id}/{run_id}/rerun`: the same run again, in whole or in part, with another conf.
//!
//! It stays the same run: its name, its date and its version. What is not run again keeps what it did with the conf that the run had then; the
//! audit log has both. A run that is not over is refused: half of its tasks would have been started with the one and half with the other.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_model::redact::redact;
use updraft_store::read::audit::Audit;

use crate::ApiState;
use crate::clear::{Along, choose};
use crate::error::Error;
use crate::listing;
use crate::request::{Body, Caller, Fields};
use crate::trigger::check_conf;

pub(crate) const KEYS: [&str; 4] = ["conf", "only_failed", "task_ids", "include_downstream"];

/// What runs again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rerun {
    dag_id: String,
    dag_run_id: String,
    /// How many instances.
    total_entries: i64,
}

pub(crate) async fn rerun(
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(String, String)>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Rerun>, Error> {
    let mut fields = Fields::of(body.clone(), &KEYS)?;
    fields.demand("conf", "dict_type", "object");
    let conf = fields.object("conf").unwrap_or_default();
    let only_failed = fields.flag("only_failed", false);
    let tasks = fields.tasks("task_ids");
    let down = fields.flag("include_downstream", false);
    fields.done()?;
    let run = crate::runs::find(&state, &dag_id, &run_id).await?;
    if !run.is_over() {
        let remedy = "stop it or wait for its end, so that no task of it runs with the params from before";
        return Err(Error::Conflict(format!("the run {} is {}: {remedy}", run.run_id, run.state)));
    }
    let version = state.version(run.version_id).await?;
    if let Some((missing, _)) = tasks.iter().flatten().find(|(id, _)| version.position(id).is_none()) {
        return Err(Error::NotFound(format!("Task with id {missing} was not found")));
    }
    check_conf(version.spec(), &conf).map_err(Error::BadRequest)?;
    let mut chosen = choose(&state, &run, tasks.as_deref(), Along::Cleared { up: false, down }).await?;
    chosen.retain(|(_, _, state)| !only_failed || state == "failed" || state == "upstream_failed");
    if chosen.is_empty() {
        return Err(Error::BadRequest(format!("nothing of the run {} is to run again", run.run_id)));
    }
    let keys: Vec<(i32, i32)> = chosen.iter().map(|(idx, map, _)| (*idx, *map)).collect();
    let conf = Value::Object(conf);
    // The log forgets nothing.
    let extra = json!({
        "conf": {"before": redact(run.conf.clone()), "after": redact(conf.clone())},
        "only_failed": only_failed, "task_ids": body["task_ids"], "include_downstream": down, "instances": keys.len(),
    });
    let entry = Audit {
        who: &caller.user,
        event: "rerun_dag_run",
        dag_id: Some(&run.dag_id),
        run_id: Some(&run.run_id),
        logical_date: run.logical_date,
        extra: Some(extra),
        ..Audit::default()
    };
    if !state.store().run_again_with(run.key(), &keys, (&run.conf, &conf), &caller.user, &entry).await? {
        let why = "a task of it is still being stopped, or somebody else has changed it: look again";
        return Err(Error::Conflict(format!("the run {} cannot run again with other params now: {why}", run.run_id)));
    }
    state.nudge(&dag_id, &[run.key()]).await?;
    Ok(Json(Rerun { dag_id, dag_run_id: run.run_id, total_entries: listing::count(keys.len()) }))
}
