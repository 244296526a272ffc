//! Pools.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use updraft_store::read::audit::Audit;
use updraft_store::read::pools::{POOL_COLUMNS, PoolRow, PoolWrite};

use crate::ApiState;
use crate::error::Error;
use crate::request::{Body, Caller, Fields, Params};

fn shape(row: &PoolRow) -> Value {
    let slots = i64::from(row.slots);
    let occupied = row.running + row.queued;
    json!({
        "name": row.name, "slots": slots, "description": row.description, "include_deferred": row.include_deferred,
        "occupied_slots": occupied, "running_slots": row.running, "queued_slots": row.queued, "scheduled_slots": row.scheduled,
        "open_slots": if slots < 0 { -1 } else { slots - occupied }, "deferred_slots": 0, "team_name": null,
    })
}

async fn find(state: &ApiState, name: &str) -> Result<PoolRow, Error> {
    state.store().pool_get(name).await?.ok_or_else(|| Error::NotFound(format!("The Pool with name: `{name}` was not found")))
}

async fn log(state: &ApiState, caller: &Caller, event: &str, extra: Value) -> Result<(), Error> {
    state.store().audit_write(&Audit { who: &caller.user, event, extra: Some(extra), ..Audit::default() }).await?;
    // A larger pool makes room.
    state.inner.broker.wake_all();
    Ok(())
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<Value>, Error> {
    let page = state.store().pool_list(&params.list(POOL_COLUMNS)?).await?;
    Ok(Json(json!({"pools": page.rows.iter().map(shape).collect::<Vec<_>>(), "total_entries": page.total})))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Value>, Error> {
    Ok(Json(shape(&find(&state, &name).await?)))
}

fn slots_of(fields: &mut Fields) -> Option<i32> {
    let given = fields.int("slots")?;
    match i32::try_from(given) {
        Ok(slots) if slots >= -1 => Some(slots),
        _ => {
            fields.refuse("slots", "slots must be -1 (without limit) or more");
            None
        }
    }
}

pub(crate) async fn create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<(StatusCode, Json<Value>), Error> {
    let mut fields = Fields::of(body.clone(), &["name", "slots", "description", "include_deferred", "team_name"])?;
    fields.require("name");
    fields.require("slots");
    let name = fields.text("name").unwrap_or_default();
    if name.chars().count() > 256 {
        fields.refuse("name", "String should have at most 256 characters");
    }
    let slots = slots_of(&mut fields);
    let description = fields.text("description");
    let include_deferred = fields.flag("include_deferred", false);
    fields.done()?;
    let pool = PoolWrite { name: &name, slots: slots.unwrap_or(0), description: description.as_deref(), include_deferred };
    if !state.store().pool_create(&pool).await? {
        return Err(Error::Exists(format!("the pool {name} exists already")));
    }
    log(&state, &caller, "post_pool", body).await?;
    Ok((StatusCode::CREATED, Json(shape(&find(&state, &name).await?))))
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Value>, Error> {
    let mut fields = Fields::of(body.clone(), &["name", "pool", "slots", "description", "include_deferred", "team_name"])?;
    let mask: Vec<String> = params.all("update_mask").iter().flat_map(|m| m.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    let old = find(&state, &name).await?;
    if name == "default_pool" && (fields.has("description") || fields.has("name")) && mask.is_empty() {
        return Err(Error::BadRequest("Only slots and included_deferred can be modified on Default Pool".to_owned()));
    }
    let renamed = fields.text("name").or_else(|| fields.text("pool"));
    if renamed.as_ref().is_some_and(|new| *new != name) {
        fields.refuse("name", "a pool keeps its name: tasks know it by that; make a new one instead");
    }
    let wanted = |field: &str| mask.is_empty() || mask.iter().any(|m| m == field);
    let slots = slots_of(&mut fields).filter(|_| wanted("slots")).unwrap_or(old.slots);
    let description = if fields.has("description") && wanted("description") { fields.text("description") } else { old.description.clone() };
    let include_deferred =
        if wanted("include_deferred") { fields.flag("include_deferred", old.include_deferred) } else { old.include_deferred };
    fields.done()?;
    state.store().pool_update(&PoolWrite { name: &name, slots, description: description.as_deref(), include_deferred }).await?;
    log(&state, &caller, "patch_pool", body).await?;
    Ok(Json(shape(&find(&state, &name).await?)))
}

pub(crate) async fn delete(State(state): State<ApiState>, Path(name): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    if name == "default_pool" {
        return Err(Error::BadRequest("Default Pool can't be deleted".to_owned()));
    }
    find(&state, &name).await?;
    state.store().pool_delete(&name).await?;
    log(&state, &caller, "delete_pool", json!({"name": name})).await?;
    Ok(StatusCode::NO_CONTENT)
}
