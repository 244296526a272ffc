//! `/ui/maintenance`: a time in which nothing is launched and what runs goes on.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_store::read::fleet::Maintenance;

use crate::ApiState;
use crate::error::Error;
use crate::request::{Body, Caller, Fields};
use crate::shapes::{Time, maybe};

pub(crate) const KEYS: &[&str] = &["reason"];

/// Whether launches are stopped, since when, by whom and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Maintenance")]
pub(crate) struct Shown {
    maintenance: bool,
    since: Option<Time>,
    by: Option<String>,
    reason: Option<String>,
}

fn shape(found: Maintenance) -> Shown {
    Shown { maintenance: found.since.is_some(), since: maybe(found.since), by: found.by, reason: found.reason }
}

pub(crate) async fn show(State(state): State<ApiState>) -> Result<Json<Shown>, Error> {
    Ok(Json(shape(state.store().maintenance().await?)))
}

pub(crate) async fn begin(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Json<Shown>, Error> {
    let mut fields = Fields::of(body, KEYS)?;
    let reason = fields.text("reason");
    fields.done()?;
    let found = state.store().maintenance_begin(&caller.user, reason.as_deref()).await?;
    caller.log(&state, "begin_maintenance", json!({"reason": reason})).await?;
    Ok(Json(shape(found)))
}

pub(crate) async fn end(State(state): State<ApiState>, caller: Caller) -> Result<Json<Shown>, Error> {
    let found = state.store().maintenance_end().await?;
    caller.log(&state, "end_maintenance", json!({})).await?;
    state.inner.broker.wake_all();
    Ok(Json(shape(found)))
}
