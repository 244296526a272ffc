//! Variables: sealed in Postgres, shown masked where their name is that of a secret.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_model::redact::{MASK, redact_text};
use updraft_store::read::secrets::{Existing, Sealed, VARIABLE_COLUMNS, VariableRow};

use crate::ApiState;
use crate::bulk::{self, Answers, Collection};
use crate::error::Error;
use crate::listing::collection;
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::Nothing;

/// Most characters of a key.
pub(crate) const MOST_KEY: usize = 250;
pub(crate) const KEYS: &[&str] = &["key", "value", "description", "team_name"];

/// A variable. Its value is masked where its key is that of a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VariableResponse")]
pub(crate) struct Shown {
    key: String,
    /// Null in a list: the key that it was sealed with is gone.
    value: Option<String>,
    description: Option<String>,
    is_encrypted: bool,
    team_name: Nothing,
}

collection!(AllShown, "VariableCollectionResponse", variables: Shown);

fn shape(state: &ApiState, row: &VariableRow) -> Shown {
    // A list does not end at a row whose key is gone; `value` says so by its absence.
    let value = state.open(Sealed::Variable, &row.key, &row.sealed).ok().map(|value| redact_text(&row.key, value));
    Shown { key: row.key.clone(), value, description: row.description.clone(), is_encrypted: true, team_name: () }
}

async fn find(state: &ApiState, key: &str) -> Result<VariableRow, Error> {
    state.store().variable_get(key).await?.ok_or_else(|| Error::NotFound(format!("The Variable with key: `{key}` was not found")))
}

/// A variable as a request has it.
pub(crate) struct Variable {
    key: String,
    /// Texts as they are, anything else as JSON.
    value: Option<String>,
    description: Option<String>,
    /// Which of the two were named.
    named: Vec<&'static str>,
}

impl Variable {
    fn read(body: Value) -> Result<Self, Error> {
        let mut fields = Fields::of(body, KEYS)?;
        fields.demand("key", "string_type", "string");
        fields.require("value");
        let key = fields.bounded("key", MOST_KEY).unwrap_or_default();
        let value = fields.json("value").map(|value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        });
        let description = fields.text("description");
        // No team has variables of its own; what is said of one must be a text all the same.
        fields.text("team_name");
        let named = ["value", "description"].into_iter().filter(|name| fields.has(name)).collect();
        fields.done()?;
        Ok(Self { key, value, description, named })
    }
}

struct Variables<'a>(&'a ApiState);

impl Collection for Variables<'_> {
    const KEY: &'static str = "key";
    const WORDS: &'static str = "variables with these keys:";
    type Entity = Variable;

    fn read(&self, body: Value) -> Result<Variable, Error> {
        Variable::read(body)
    }

    fn name(entity: &Variable) -> &str {
        &entity.key
    }

    async fn exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.0.store().variable_get(name).await?.is_some())
    }

    async fn create(&self, entity: &Variable) -> Result<bool, Error> {
        let sealed = self.0.seal(Sealed::Variable, &entity.key, entity.value.as_deref().unwrap_or_default())?;
        let row = VariableRow { key: entity.key.clone(), sealed, description: entity.description.clone() };
        Ok(self.0.store().variable_put(&row, Existing::Keep).await?)
    }

    async fn update(&self, body: Value, mask: &[String]) -> Result<bool, Error> {
        let new = Variable::read(body)?;
        let Some(mut row) = self.0.store().variable_get(&new.key).await? else { return Ok(false) };
        let wanted = |name: &str| if mask.is_empty() { new.named.contains(&name) } else { mask.iter().any(|field| field == name) };
        if wanted("value") && new.value.as_deref() != Some(MASK) {
            row.sealed = self.0.seal(Sealed::Variable, &new.key, new.value.as_deref().unwrap_or_default())?;
        }
        if wanted("description") {
            row.description = new.description;
        }
        Ok(self.0.store().variable_put(&row, Existing::Overwrite).await?)
    }

    async fn delete(&self, name: &str) -> Result<bool, Error> {
        Ok(self.0.store().variable_delete(name).await?)
    }
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<AllShown>, Error> {
    let page = state.store().variable_list(&params.list(VARIABLE_COLUMNS)?).await?;
    Ok(Json(AllShown { variables: page.rows.iter().map(|row| shape(&state, row)).collect(), total_entries: page.total }))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(key): Path<String>) -> Result<Json<Shown>, Error> {
    let row = find(&state, &key).await?;
    state.open(Sealed::Variable, &row.key, &row.sealed)?;
    Ok(Json(shape(&state, &row)))
}

pub(crate) async fn create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<(StatusCode, Json<Shown>), Error> {
    let variable = Variable::read(body)?;
    if !Variables(&state).create(&variable).await? {
        return Err(Error::Conflict(format!("The Variable with key: `{}` already exists", variable.key)));
    }
    caller.log(&state, "post_variable", json!({"key": variable.key})).await?;
    Ok((StatusCode::CREATED, Json(shape(&state, &find(&state, &variable.key).await?))))
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path(key): Path<String>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Shown>, Error> {
    if body.get("key").is_some_and(|given| *given != json!(key)) {
        return Err(Error::BadRequest("Invalid body, key from request body doesn't match uri parameter".to_owned()));
    }
    let mask = params.mask();
    if mask.iter().any(|field| field == "key") {
        let words = "Update not allowed: the following fields are immutable and cannot be modified: {'key'}";
        return Err(Error::BadRequest(words.to_owned()));
    }
    find(&state, &key).await?;
    Variables(&state).update(body, &mask).await?;
    caller.log(&state, "patch_variable", json!({"key": key})).await?;
    Ok(Json(shape(&state, &find(&state, &key).await?)))
}

pub(crate) async fn delete(State(state): State<ApiState>, Path(key): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    if !state.store().variable_delete(&key).await? {
        find(&state, &key).await?;
    }
    caller.log(&state, "delete_variable", json!({"key": key})).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn bulk(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Json<Answers>, Error> {
    let done = bulk::run(&Variables(&state), body).await?;
    caller.log(&state, "bulk_variables", json!(done)).await?;
    Ok(Json(done))
}
