//! Users, and the roles that are not built in.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::users::{RoleRow, USER_COLUMNS, UserRow, UserWrite};

use crate::ApiState;
use crate::access::{BUILT_IN, EVERYTHING, built_in, scope_mistake};
use crate::auth::password_mistake;
use crate::error::Error;
use crate::identity;
use crate::listing::{collection, count};
use crate::request::{Body, Caller, Fields, Params};
use crate::routes::May;
use crate::shapes::{Time, maybe, time};

/// A role that somebody has.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HasRole {
    role: String,
    /// Over what: `*`, or some DAGs.
    scope: String,
}

/// A user, without what proves them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct User {
    name: String,
    display_name: Option<String>,
    email: Option<String>,
    active: bool,
    roles: Vec<HasRole>,
    has_password: bool,
    /// The issuer of who logs in with OpenID Connect.
    origin: Option<String>,
    created_at: Time,
    last_login_at: Option<Time>,
}

collection!(Users, "UserCollection", users: User);

fn shape(row: &UserRow) -> User {
    let role = |(role, scope): (&String, &String)| HasRole { role: role.clone(), scope: scope.clone() };
    User {
        name: row.name.clone(),
        display_name: row.display_name.clone(),
        email: row.email.clone(),
        active: row.active,
        roles: row.roles.iter().zip(&row.scopes).map(role).collect(),
        has_password: row.password_hash.is_some(),
        origin: row.origin.clone(),
        created_at: time(row.created_at),
        last_login_at: maybe(row.last_login_at),
    }
}

/// The account of the deployment's own secret, as a row for what belongs to users.
pub(crate) async fn owner_row(state: &ApiState, name: &str) -> Result<UserRow, Error> {
    let roles = [("admin".to_owned(), EVERYTHING.to_owned())];
    let write = UserWrite { name, display_name: Some(Some("the deployment's own account")), roles: Some(&roles), ..UserWrite::default() };
    state.store().user_create(&write, "updraft").await?;
    let row = state.store().user_get(name).await?.filter(|row| row.password_hash.is_none() && row.active);
    row.ok_or_else(|| {
        Error::Conflict(format!(
            "there is a user {name:?} beside the deployment's own account of that name (UPDRAFT_API_USER): rename one of them"
        ))
    })
}

pub(crate) fn is_the_owner(name: &str) -> Error {
    Error::Conflict(format!(
        "{name:?} is the deployment's own account: its password is UPDRAFT_API_PASSWORD, and it has no tokens; make a user (updraft users create)"
    ))
}

/// Nobody changes the deployment's own account here.
fn not_the_owner(state: &ApiState, name: &str) -> Result<(), Error> {
    if state.inner.identity.owner() == Some(name) { Err(is_the_owner(name)) } else { Ok(()) }
}

fn missing(name: &str) -> Error {
    Error::NotFound(format!("there is no user {name:?}"))
}

async fn find(state: &ApiState, name: &str) -> Result<UserRow, Error> {
    state.store().user_get(name).await?.ok_or_else(|| missing(name))
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<Users>, Error> {
    let page = state.store().user_list(&params.list(USER_COLUMNS)?).await?;
    Ok(Json(Users { users: page.rows.iter().map(shape).collect(), total_entries: page.total }))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<User>, Error> {
    Ok(Json(shape(&find(&state, &name).await?)))
}

/// What a body may have; the name only of a new user.
pub(crate) const KEYS: &[&str] = &["name", "display_name", "email", "password", "active", "roles"];
pub(crate) const ROLE_KEYS: &[&str] = &["name", "permissions"];

/// What a body says of a user.
struct Wanted {
    display_name: Option<Option<String>>,
    email: Option<Option<String>>,
    password: Option<String>,
    active: Option<bool>,
    roles: Option<Vec<(String, String)>>,
}

/// `"op"`, or `{"role": "op", "scope": "tag:team-a"}`.
async fn roles_of(state: &ApiState, list: Vec<Value>) -> Result<Vec<(String, String)>, Error> {
    let mut roles = Vec::with_capacity(list.len());
    for item in list {
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        let (role, scope) = match &item {
            Value::String(role) => (Some(role.clone()), None),
            _ => (text("role"), text("scope")),
        };
        let role = role.ok_or_else(|| Error::BadRequest("a role is a name, or {\"role\": NAME, \"scope\": SCOPE}".to_owned()))?;
        roles.push((role, scope.unwrap_or_else(|| EVERYTHING.to_owned())));
    }
    for (role, scope) in &roles {
        role_exists(state, role).await?;
        if let Some(why) = scope_mistake(scope) {
            return Err(Error::BadRequest(why));
        }
    }
    Ok(roles)
}

async fn role_exists(state: &ApiState, role: &str) -> Result<(), Error> {
    if built_in(role, May::LoggedIn).is_some() {
        return Ok(());
    }
    let own = state.store().role_list().await?;
    if own.iter().any(|row| row.name == role) {
        return Ok(());
    }
    let known: Vec<&str> = BUILT_IN.iter().copied().chain(own.iter().map(|row| row.name.as_str())).collect();
    Err(Error::BadRequest(format!("there is no role {role:?}: there are {}", known.join(", "))))
}

impl Wanted {
    async fn read(state: &ApiState, name: &str, fields: &mut Fields) -> Result<Self, Error> {
        let nullable =
            |fields: &mut Fields, key: &str| if fields.has(key) { Some(fields.text(key).filter(|t| !t.is_empty())) } else { None };
        let display_name = nullable(fields, "display_name");
        let email = nullable(fields, "email");
        let password = fields.text("password");
        let active = if fields.has("active") { Some(fields.flag("active", true)) } else { None };
        let roles = fields.list("roles");
        if let Some(why) = password.as_deref().and_then(|password| password_mistake(name, password)) {
            return Err(Error::BadRequest(why));
        }
        let roles = match roles {
            Some(list) => Some(roles_of(state, list).await?),
            None => None,
        };
        Ok(Self { display_name, email, password, active, roles })
    }

    async fn hash(&self) -> Result<Option<String>, Error> {
        match &self.password {
            Some(password) => Ok(Some(identity::hash_password(password).await.map_err(Error::Broken)?)),
            None => Ok(None),
        }
    }

    fn write<'a>(&'a self, name: &'a str, hash: Option<&'a str>) -> UserWrite<'a> {
        UserWrite {
            name,
            display_name: self.display_name.as_ref().map(|text| text.as_deref()),
            email: self.email.as_ref().map(|text| text.as_deref()),
            password_hash: hash,
            active: self.active,
            roles: self.roles.as_deref(),
            origin: None,
        }
    }
}

/// What is wrong with the name of a user: it is written to the audit log, and stands in headers.
pub(crate) fn name_mistake(name: &str) -> Option<String> {
    let good = !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
    (!good || name == "anonymous")
        .then(|| format!("a user's name has 1 to 100 letters, digits and -_.@ and is not \"anonymous\": {name:?}"))
}

pub(crate) async fn create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Response, Error> {
    let mut fields = Fields::of(body, KEYS)?;
    let name = fields.text("name").unwrap_or_default();
    if let Some(why) = name_mistake(&name) {
        return Err(Error::BadRequest(why));
    }
    not_the_owner(&state, &name)?;
    let wanted = Wanted::read(&state, &name, &mut fields).await?;
    fields.done()?;
    let hash = wanted.hash().await?;
    if !state.store().user_create(&wanted.write(&name, hash.as_deref()), &caller.user).await? {
        return Err(Error::Conflict(format!("there is a user {name:?} already")));
    }
    let shape = shape(&find(&state, &name).await?);
    caller.log(&state, "create_user", json!({"after": shape})).await?;
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

pub(crate) async fn patch(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<User>, Error> {
    not_the_owner(&state, &name)?;
    let before = find(&state, &name).await?;
    let mut fields = Fields::of(body, &KEYS[1..])?;
    let wanted = Wanted::read(&state, &name, &mut fields).await?;
    fields.done()?;
    let hash = wanted.hash().await?;
    if !state.store().user_update(&wanted.write(&name, hash.as_deref()), &caller.user).await? {
        return Err(missing(&name));
    }
    let after = shape(&find(&state, &name).await?);
    let extra = json!({"before": shape(&before), "after": after, "password": if hash.is_some() { "changed" } else { "kept" }});
    caller.log(&state, "patch_user", extra).await?;
    Ok(Json(after))
}

pub(crate) async fn delete(State(state): State<ApiState>, Path(name): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    not_the_owner(&state, &name)?;
    let before = find(&state, &name).await?;
    if !state.store().user_delete(&name).await? {
        return Err(missing(&name));
    }
    caller.log(&state, "delete_user", json!({"before": shape(&before)})).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One more role for a user, or one less.
pub(crate) async fn role_add(
    State(state): State<ApiState>,
    Path((name, role)): Path<(String, String)>,
    params: Params,
    caller: Caller,
) -> Result<Json<User>, Error> {
    not_the_owner(&state, &name)?;
    let scope = params.one("scope").unwrap_or(EVERYTHING);
    if let Some(why) = scope_mistake(scope) {
        return Err(Error::BadRequest(why));
    }
    role_exists(&state, &role).await?;
    if !state.store().user_role_add(&name, &role, scope, &caller.user).await? {
        return Err(missing(&name));
    }
    caller.log(&state, "add_role", json!({"user": name, "role": role, "scope": scope})).await?;
    Ok(Json(shape(&find(&state, &name).await?)))
}

pub(crate) async fn role_remove(
    State(state): State<ApiState>,
    Path((name, role)): Path<(String, String)>,
    params: Params,
    caller: Caller,
) -> Result<Json<User>, Error> {
    not_the_owner(&state, &name)?;
    let row = find(&state, &name).await?;
    if !state.store().user_role_remove(&name, &role, params.one("scope")).await? {
        let has: Vec<String> = row.roles.iter().zip(&row.scopes).map(|(role, scope)| format!("{role} over {scope}")).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        return Err(Error::NotFound(format!("{name} has no such role: their roles are {has}")));
    }
    caller.log(&state, "remove_role", json!({"user": name, "role": role, "scope": params.one("scope")})).await?;
    Ok(Json(shape(&find(&state, &name).await?)))
}

/// A role, with what it permits.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Role {
    name: String,
    permissions: Vec<String>,
    built_in: bool,
    created_at: Option<Time>,
}

collection!(Roles, "RoleCollection", roles: Role);

fn role_shape(row: &RoleRow) -> Role {
    Role { name: row.name.clone(), permissions: row.permissions.clone(), built_in: false, created_at: Some(time(row.created_at)) }
}

/// All roles, with what each permits.
pub(crate) async fn roles(State(state): State<ApiState>) -> Result<Json<Roles>, Error> {
    let mut roles: Vec<Role> = BUILT_IN
        .iter()
        .map(|name| {
            let permissions: Vec<String> = May::all().filter(|may| built_in(name, *may) == Some(true)).map(|may| may.to_string()).collect();
            Role { name: (*name).to_owned(), permissions, built_in: true, created_at: None }
        })
        .collect();
    roles.extend(state.store().role_list().await?.iter().map(role_shape));
    Ok(Json(Roles { total_entries: count(roles.len()), roles }))
}

/// Permissions that exist, or which one does not.
pub(crate) fn permissions_of(list: &[Value]) -> Result<Vec<String>, Error> {
    let mut permissions = BTreeSet::new();
    for item in list {
        let text = item.as_str().unwrap_or_default();
        let may = May::parse(text).ok_or_else(|| {
            Error::BadRequest(format!(
                "there is no permission {item}: they are like \"runs.create\" (GET /ui/roles lists them all, as admin's)"
            ))
        })?;
        permissions.insert(may.to_string());
    }
    Ok(permissions.into_iter().collect())
}

async fn role_write(state: &ApiState, name: &str, body: Value, existing: bool, caller: &Caller) -> Result<Role, Error> {
    if built_in(name, May::LoggedIn).is_some() {
        return Err(Error::Conflict(format!("{name:?} is built in and stays as it is: make a role of another name")));
    }
    if let Some(why) = name_mistake(name) {
        return Err(Error::BadRequest(why.replace("user's", "role's")));
    }
    let mut fields = Fields::of(body, if existing { &ROLE_KEYS[1..] } else { ROLE_KEYS })?;
    fields.require("permissions");
    let _ = fields.text("name");
    let list = fields.list("permissions");
    fields.done()?;
    let wrong = || Error::invalid("list_type", json!(["body", "permissions"]), "Input should be a valid list", Value::Null);
    let permissions = permissions_of(&list.ok_or_else(wrong)?)?;
    let before: Vec<RoleRow> = state.store().role_list().await?.into_iter().filter(|row| row.name == name).collect();
    if !state.store().role_put(name, &permissions, existing).await? {
        return Err(if existing {
            Error::NotFound(format!("there is no role {name:?}"))
        } else {
            Error::Conflict(format!("there is a role {name:?} already"))
        });
    }
    let now = state.store().role_list().await?.into_iter().find(|row| row.name == name);
    let after = now.as_ref().map(role_shape).ok_or_else(|| Error::NotFound(format!("there is no role {name:?}")))?;
    let event = if existing { "patch_role" } else { "create_role" };
    caller.log(state, event, json!({"before": before.first().map(role_shape), "after": after})).await?;
    Ok(after)
}

pub(crate) async fn role_create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Response, Error> {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((StatusCode::CREATED, Json(role_write(&state, &name, body, false, &caller).await?)).into_response())
}

pub(crate) async fn role_patch(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<Role>, Error> {
    Ok(Json(role_write(&state, &name, body, true, &caller).await?))
}

pub(crate) async fn role_delete(State(state): State<ApiState>, Path(name): Path<String>, caller: Caller) -> Result<StatusCode, Error> {
    if built_in(&name, May::LoggedIn).is_some() {
        return Err(Error::Conflict(format!("{name:?} is built in and stays")));
    }
    if !state.store().role_delete(&name).await? {
        return Err(Error::NotFound(format!("there is no role {name:?}")));
    }
    caller.log(&state, "delete_role", json!({"before": {"name": name}})).await?;
    Ok(StatusCode::NO_CONTENT)
}
