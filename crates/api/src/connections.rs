//! Connections: password and extra sealed in Postgres, and never shown.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_model::redact::{MASK, redact, unmask};
use updraft_store::read::secrets::{CONNECTION_COLUMNS, ConnectionRow, Existing, Sealed};

use crate::ApiState;
use crate::bulk::{self, Answers, Collection};
use crate::error::Error;
use crate::listing::collection;
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::Nothing;

/// Most characters of an id.
pub(crate) const MOST_ID: usize = 200;
const FIELDS: [&str; 9] = ["connection_id", "conn_type", "description", "host", "login", "schema", "port", "password", "extra"];
pub(crate) const KEYS: &[&str] =
    &["connection_id", "conn_type", "description", "host", "login", "schema", "port", "password", "extra", "team_name"];

/// A connection. What is secret of it is masked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConnectionResponse")]
pub(crate) struct Shown {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<i32>,
    /// A mask, where there is one.
    password: Option<&'static str>,
    /// JSON, with masks for what has a secret's name.
    extra: Option<String>,
    team_name: Nothing,
}

collection!(AllShown, "ConnectionCollectionResponse", connections: Shown);

fn shape(state: &ApiState, row: &ConnectionRow) -> Shown {
    let extra = row.sealed_extra.as_deref().and_then(|sealed| state.open(Sealed::Extra, &row.connection_id, sealed).ok());
    // It was read as JSON before it was stored.
    let extra = extra.map(|extra| serde_json::from_str(&extra).map_or_else(|_| MASK.to_owned(), |extra: Value| redact(extra).to_string()));
    Shown {
        connection_id: row.connection_id.clone(),
        conn_type: row.conn_type.clone(),
        description: row.description.clone(),
        host: row.host.clone(),
        login: row.login.clone(),
        schema: row.schema.clone(),
        port: row.port,
        password: row.sealed_password.as_ref().map(|_| MASK),
        extra,
        team_name: (),
    }
}

async fn find(state: &ApiState, id: &str) -> Result<ConnectionRow, Error> {
    let found = state.store().connection_get(id).await?;
    found.ok_or_else(|| Error::NotFound(format!("The Connection with connection_id: `{id}` was not found")))
}

/// A connection as a request has it.
pub(crate) struct Connection {
    id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<i32>,
    password: Option<String>,
    extra: Option<Value>,
    /// Which fields were named.
    named: Vec<&'static str>,
}

impl Connection {
    fn read(body: Value) -> Result<Self, Error> {
        let mut fields = Fields::of(body, KEYS)?;
        fields.demand("connection_id", "string_type", "string");
        fields.demand("conn_type", "string_type", "string");
        let id = fields.bounded("connection_id", MOST_ID).unwrap_or_default();
        if !id.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c)) {
            fields.mismatch("connection_id", r"^[\w.-]+$");
        }
        let conn_type = fields.text("conn_type").unwrap_or_default();
        let port = fields.int("port").and_then(|port| {
            let read = u16::try_from(port).ok().map(i32::from);
            if read.is_none() {
                fields.refuse("port", "a port is a number from 0 to 65535");
            }
            read
        });
        let extra = fields.text("extra").filter(|text| !text.trim().is_empty()).and_then(|text| match serde_json::from_str(&text) {
            Ok(extra @ Value::Object(_)) => Some(extra),
            _ => {
                fields.refuse("extra", "the `extra` field must be a valid JSON object (e.g., {\"key\": \"value\"})");
                None
            }
        });
        let mut text = |name| fields.text(name);
        let (description, host, login, schema, password) =
            (text("description"), text("host"), text("login"), text("schema"), text("password"));
        text("team_name");
        let named = FIELDS.into_iter().filter(|name| fields.has(name)).collect();
        fields.done()?;
        Ok(Self { id, conn_type, description, host, login, schema, port, password, extra, named })
    }
}

struct Connections<'a>(&'a ApiState);

impl Connections<'_> {
    fn seal(&self, of: Sealed, id: &str, secret: Option<&str>) -> Result<Option<Vec<u8>>, Error> {
        secret.map(|secret| self.0.seal(of, id, secret)).transpose()
    }
}

impl Collection for Connections<'_> {
    const KEY: &'static str = "connection_id";
    const WORDS: &'static str = "connections with these connection_ids:";
    type Entity = Connection;

    fn read(&self, body: Value) -> Result<Connection, Error> {
        Connection::read(body)
    }

    fn name(entity: &Connection) -> &str {
        &entity.id
    }

    async fn exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.0.store().connection_get(name).await?.is_some())
    }

    async fn create(&self, new: &Connection) -> Result<bool, Error> {
        let row = ConnectionRow {
            connection_id: new.id.clone(),
            conn_type: new.conn_type.clone(),
            description: new.description.clone(),
            host: new.host.clone(),
            schema: new.schema.clone(),
            login: new.login.clone(),
            port: new.port,
            sealed_password: self.seal(Sealed::Password, &new.id, new.password.as_deref())?,
            sealed_extra: self.seal(Sealed::Extra, &new.id, new.extra.as_ref().map(Value::to_string).as_deref())?,
        };
        Ok(self.0.store().connection_put(&row, Existing::Keep).await?)
    }

    async fn update(&self, body: Value, mask: &[String]) -> Result<bool, Error> {
        let new = Connection::read(body)?;
        let Some(mut row) = self.0.store().connection_get(&new.id).await? else { return Ok(false) };
        for name in &new.named {
            if !mask.is_empty() && !mask.iter().any(|field| field == name) {
                continue;
            }
            match *name {
                "conn_type" => row.conn_type.clone_from(&new.conn_type),
                "description" => row.description.clone_from(&new.description),
                "host" => row.host.clone_from(&new.host),
                "login" => row.login.clone_from(&new.login),
                "schema" => row.schema.clone_from(&new.schema),
                "port" => row.port = new.port,
                "password" if new.password.as_deref() != Some(MASK) => {
                    row.sealed_password = self.seal(Sealed::Password, &new.id, new.password.as_deref())?;
                }
                "extra" => {
                    let old = row.sealed_extra.as_deref().and_then(|sealed| self.0.open(Sealed::Extra, &new.id, sealed).ok());
                    let old = old.and_then(|old| serde_json::from_str(&old).ok()).unwrap_or_default();
                    let extra = new.extra.clone().map(|extra| unmask(extra, &old).to_string());
                    row.sealed_extra = self.seal(Sealed::Extra, &new.id, extra.as_deref())?;
                }
                _ => {}
            }
        }
        Ok(self.0.store().connection_put(&row, Existing::Overwrite).await?)
    }

    async fn delete(&self, name: &str) -> Result<bool, Error> {
        Ok(self.0.store().connection_delete(name).await?)
    }
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<AllShown>, Error> {
    let page = state.store().connection_list(&params.list(CONNECTION_COLUMNS)?).await?;
    Ok(Json(AllShown { connections: page.rows.iter().map(|row| shape(&state, row)).collect(), total_entries: page.total }))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<Shown>, Error> {
    Ok(Json(shape(&state, &find(&state, &id).await?)))
}

pub(crate) async fn create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<(StatusCode, Json<Shown>), Error> {
    let connection = Connection::read(body)?;
    if !Connections(&state).create(&connection).await? {
        return Err(Error::Exists(format!("The Connection with connection_id: `{}` already exists", connection.id)));
    }
    caller.log(&state, "post_connection", json!({"connection_id": connection.id})).await?;
    Ok((StatusCode::CREATED, Json(shape(&state, &find(&state, &connection.id).await?))))
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    params: Params,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Shown>, Error> {
    if body.get("connection_id").is_some_and(|given| *given != json!(id)) {
        return Err(Error::BadRequest("The connection_id in the request body does not match the URL parameter".to_owned()));
    }
    find(&state, &id).await?;
    Connections(&state).update(body, &params.mask()).await?;
    caller.log(&state, "patch_connection", json!({"connection_id": id})).await?;
    Ok(Json(shape(&state, &find(&state, &id).await?)))
}

pub(crate) async fn delete(State(state): State<ApiState>, Path(id): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    if !state.store().connection_delete(&id).await? {
        find(&state, &id).await?;
    }
    caller.log(&state, "delete_connection", json!({"connection_id": id})).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn bulk(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Json<Answers>, Error> {
    let done = bulk::run(&Connections(&state), body).await?;
    caller.log(&state, "bulk_connections", json!(done)).await?;
    Ok(Json(done))
}

/// Airflow's way to reach into a database from the web server, off there by default as well: the hooks that would are in tasks' images.
pub(crate) async fn test() -> Error {
    let words = "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it.";
    Error::Forbidden(words.to_owned())
}

/// So there is none to ask after.
pub(crate) async fn tested(headers: HeaderMap) -> Error {
    let token = headers.get("airflow-connection-test-token").and_then(|token| token.to_str().ok()).unwrap_or_default();
    Error::NotFound(format!("No connection test found for token: `{token}`"))
}

/// Airflow fills an installation with examples of connections.
pub(crate) async fn defaults() -> Error {
    Error::NotImplemented("Updraft has no default connections: no provider's hooks run here, so nothing would use them".to_owned())
}
