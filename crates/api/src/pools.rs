//! Pools.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::Change;
use updraft_store::read::pools::{POOL_COLUMNS, PoolRow, PoolWrite};

use crate::ApiState;
use crate::bulk::{self, Answers, Collection};
use crate::error::Error;
use crate::listing::collection;
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::Nothing;

/// The pool of every task that names none.
const DEFAULT_POOL: &str = "default_pool";
/// Most characters of a name.
pub(crate) const MOST_NAME: usize = 256;

/// A pool, and what is in it, in slots.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PoolResponse")]
pub(crate) struct Shown {
    name: String,
    /// -1: without limit.
    slots: i64,
    description: Option<String>,
    include_deferred: bool,
    occupied_slots: i64,
    running_slots: i64,
    queued_slots: i64,
    scheduled_slots: i64,
    /// -1: without limit.
    open_slots: i64,
    deferred_slots: i64,
    team_name: Nothing,
}

collection!(AllShown, "PoolCollectionResponse", pools: Shown);

pub(crate) const KEYS: &[&str] = &["name", "pool", "slots", "description", "include_deferred", "team_name"];

fn shape(row: &PoolRow) -> Shown {
    let slots = i64::from(row.slots);
    let occupied = row.running + row.queued;
    Shown {
        name: row.name.clone(),
        slots,
        description: row.description.clone(),
        include_deferred: row.include_deferred,
        occupied_slots: occupied,
        running_slots: row.running,
        queued_slots: row.queued,
        scheduled_slots: row.scheduled,
        open_slots: if slots < 0 { -1 } else { slots - occupied },
        deferred_slots: row.deferred,
        team_name: (),
    }
}

async fn find(state: &ApiState, name: &str) -> Result<PoolRow, Error> {
    state.store().pool_get(name).await?.ok_or_else(|| Error::NotFound(format!("The Pool with name: `{name}` was not found")))
}

/// A pool as the audit log has it.
fn noted(pool: &PoolWrite<'_>) -> Value {
    json!({"name": pool.name, "slots": pool.slots, "description": pool.description, "include_deferred": pool.include_deferred})
}

/// What of a pool can be written.
fn written(row: &PoolRow) -> PoolWrite<'_> {
    PoolWrite { name: &row.name, slots: row.slots, description: row.description.as_deref(), include_deferred: row.include_deferred }
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<AllShown>, Error> {
    let page = state.store().pool_list(&params.list(POOL_COLUMNS)?).await?;
    Ok(Json(AllShown { pools: page.rows.iter().map(shape).collect(), total_entries: page.total }))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Shown>, Error> {
    Ok(Json(shape(&find(&state, &name).await?)))
}

/// A pool as a request has it.
pub(crate) struct Pool {
    name: String,
    slots: Option<i32>,
    description: Option<String>,
    include_deferred: Option<bool>,
    /// Which fields were named.
    named: Vec<&'static str>,
}

impl Pool {
    /// `whole`: a pool to be made needs its slots.
    fn read(body: Value, whole: bool) -> Result<Self, Error> {
        // A PATCH by Airflow's own client calls the name `pool`.
        let mut fields = Fields::of(body, KEYS)?;
        if whole {
            fields.demand("name", "string_type", "string");
            fields.demand("slots", "int_type", "integer");
        }
        let (name, pool) = (fields.bounded("name", MOST_NAME), fields.bounded("pool", MOST_NAME));
        let name = name.or(pool).unwrap_or_default();
        let slots = fields.int("slots").and_then(|given| {
            let slots = i32::try_from(given).ok().filter(|slots| *slots >= -1);
            if slots.is_none() {
                fields.refuse("slots", "slots must be -1 (without limit) or more");
            }
            slots
        });
        let description = fields.text("description");
        fields.text("team_name");
        let named: Vec<_> = ["slots", "description", "include_deferred"].into_iter().filter(|name| fields.has(name)).collect();
        let include_deferred = named.contains(&"include_deferred").then(|| fields.flag("include_deferred", false));
        fields.done()?;
        Ok(Self { name, slots, description, include_deferred, named })
    }
}

/// The pools, and who changes them. Each change is in the audit log by itself.
struct Pools<'a>(&'a ApiState, &'a Caller);

impl Pools<'_> {
    async fn commit(&self, change: Change, event: &str, extra: Value) -> Result<bool, Error> {
        self.1.commit(change, event, extra).await?;
        // A larger pool makes room.
        self.0.inner.broker.wake_all();
        Ok(true)
    }
}

impl Collection for Pools<'_> {
    const KEY: &'static str = "name";
    const WORDS: &'static str = "pools with these pool names:";
    type Entity = Pool;

    fn read(&self, body: Value) -> Result<Pool, Error> {
        Pool::read(body, true)
    }

    fn name(entity: &Pool) -> &str {
        &entity.name
    }

    async fn exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.0.store().pool_get(name).await?.is_some())
    }

    async fn create(&self, new: &Pool) -> Result<bool, Error> {
        let pool = PoolWrite {
            name: &new.name,
            slots: new.slots.unwrap_or(0),
            description: new.description.as_deref(),
            include_deferred: new.include_deferred.unwrap_or(false),
        };
        let mut change = self.0.store().change().await?;
        if !change.pool_create(&pool).await? {
            return Ok(false);
        }
        self.commit(change, "post_pool", json!({"after": noted(&pool)})).await
    }

    async fn update(&self, body: Value, mask: &[String]) -> Result<bool, Error> {
        let new = Pool::read(body, false)?;
        let mut change = self.0.store().change().await?;
        let Some(old) = change.pool_get(&new.name).await? else { return Ok(false) };
        let wanted = |name: &str| new.named.contains(&name) && (mask.is_empty() || mask.iter().any(|field| field == name));
        let pool = PoolWrite {
            name: &new.name,
            slots: new.slots.filter(|_| wanted("slots")).unwrap_or(old.slots),
            description: if wanted("description") { new.description.as_deref() } else { old.description.as_deref() },
            include_deferred: new.include_deferred.filter(|_| wanted("include_deferred")).unwrap_or(old.include_deferred),
        };
        change.pool_update(&pool).await?;
        self.commit(change, "patch_pool", json!({"before": noted(&written(&old)), "after": noted(&pool)})).await
    }

    async fn delete(&self, name: &str) -> Result<bool, Error> {
        if name == DEFAULT_POOL {
            return Err(Error::BadRequest("Default Pool can't be deleted".to_owned()));
        }
        let mut change = self.0.store().change().await?;
        let Some(old) = change.pool_get(name).await? else { return Ok(false) };
        change.pool_delete(name).await?;
        self.commit(change, "delete_pool", json!({"before": noted(&written(&old))})).await
    }
}

pub(crate) async fn create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<(StatusCode, Json<Shown>), Error> {
    let pool = Pool::read(body, true)?;
    if !Pools(&state, &caller).create(&pool).await? {
        return Err(Error::Exists(format!("the pool {} exists already", pool.name)));
    }
    Ok((StatusCode::CREATED, Json(shape(&find(&state, &pool.name).await?))))
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Shown>, Error> {
    let mask = params.mask();
    find(&state, &name).await?;
    if name == DEFAULT_POOL && mask.is_empty() && ["description", "name"].iter().any(|field| body.get(field).is_some()) {
        return Err(Error::BadRequest("Only slots and included_deferred can be modified on Default Pool".to_owned()));
    }
    let mut named = body;
    if let Some(fields) = named.as_object_mut() {
        let given = fields.remove("pool").or_else(|| fields.remove("name")).filter(|given| !given.is_null());
        if given.is_some_and(|given| given != json!(name)) {
            // Tasks know it by that.
            return Err(Error::BadRequest("Invalid body, pool name from request body doesn't match uri parameter".to_owned()));
        }
        fields.insert("name".to_owned(), json!(name));
    }
    Pools(&state, &caller).update(named, &mask).await?;
    Ok(Json(shape(&find(&state, &name).await?)))
}

pub(crate) async fn delete(State(state): State<ApiState>, Path(name): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    if !Pools(&state, &caller).delete(&name).await? {
        find(&state, &name).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn bulk(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Json<Answers>, Error> {
    let done = bulk::run(&Pools(&state, &caller), body).await?;
    caller.log(&state, "bulk_pools", json!(done)).await?;
    Ok(Json(done))
}
