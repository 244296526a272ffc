//! Logging in and out, and what belongs to whoever is logged in: their password and their personal tokens.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::read::audit::{ADDRESS, Audit};
use updraft_store::users::{TokenRow, UserRow, UserWrite};

use crate::access::Principal;
use crate::error::{Error, problem};
use crate::guard::{Account, too_many};
use crate::identity::{self, CLI_TOKEN_LIFE, COOKIE, Refusal, SESSION_LIFE, TOKEN_LIFE};
use crate::listing::{collection, count};
use crate::request::{Body, Fields, Params};
use crate::routes::{May, Thing};
use crate::shapes::{Time, maybe, time};
use crate::{ApiState, users};

/// Longest password, in bytes: hashing takes time by length.
const LONGEST: usize = 1024;
/// Days that a personal token is good at most, and by itself.
pub(crate) const MOST_DAYS: i64 = 366;
const DAYS: i64 = 90;

pub(crate) const TOKEN_KEYS: &[&str] = &["name", "days", "permissions"];
pub(crate) const PASSWORD_KEYS: &[&str] = &["old", "new"];

/// Where the client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(Option<IpAddr>);

impl FromRequestParts<ApiState> for Address {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|peer| state.inner.proxies.client(peer.0.ip(), &parts.headers))))
    }
}

/// A name with a password, as JSON or as a form.
struct Given {
    name: String,
    password: String,
    next: Option<String>,
    form: bool,
}

impl Given {
    fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Error> {
        let form = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let mut fields: Vec<(String, Value)> = if form {
            form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
        } else {
            match serde_json::from_slice(body) {
                Ok(Value::Object(map)) => map.into_iter().collect(),
                _ => Vec::new(),
            }
        };
        let mut take = |name: &str| fields.iter().position(|(key, _)| key == name).map(|at| fields.swap_remove(at).1);
        // The body is not said back, as other 422s do: it has half of a secret.
        let (name, password) = (take("username"), take("password"));
        let mut wrong = Vec::new();
        for (field, value) in [("username", &name), ("password", &password)] {
            match value {
                None => wrong.push(problem("missing", json!(["body", field]), "Field required", Value::Null)),
                Some(Value::String(_)) => {}
                Some(_) => wrong.push(problem("string_type", json!(["body", field]), "Input should be a valid string", Value::Null)),
            }
        }
        match (name, password) {
            (Some(Value::String(name)), Some(Value::String(password))) => {
                let next = take("next").and_then(|next| next.as_str().map(str::to_owned));
                Ok(Self { name, password, next, form })
            }
            _ => Err(Error::Invalid(wrong)),
        }
    }
}

/// Who has this password, or the answer to who has not.
async fn proven(state: &ApiState, given: &Given, address: Address) -> Result<(Principal, Option<UserRow>), Response> {
    let refusal = match state.inner.identity.by_password(state.store(), &given.name, &given.password, address.0).await {
        Ok((principal, row)) => {
            if let Some(row) = &row {
                state.store().user_logged_in(row.id).await.map_err(|error| Error::from(error).into_response())?;
            }
            return Ok((principal, row));
        }
        Err(refusal) => refusal,
    };
    Err(match refusal {
        Refusal::Wait(wait) => too_many(wait),
        Refusal::Store(error) => Error::from(error).into_response(),
        Refusal::Nobody | Refusal::WrongPassword | Refusal::WrongToken => {
            // The name is the client's own word, and may be a password that was typed into the wrong field: it is not kept.
            let entry = Audit { who: "anonymous", event: "login_failed", ..Audit::default() };
            let address = address.0.map(|address| address.to_string());
            if let Err(error) = ADDRESS.scope(address, state.store().audit_write(&entry)).await {
                return Err(Error::from(error).into_response());
            }
            Error::Unauthorized("Invalid credentials".to_owned()).into_response()
        }
    })
}

pub(crate) async fn token(state: State<ApiState>, address: Address, headers: HeaderMap, body: Bytes) -> Response {
    give_token(state, address, headers, body, TOKEN_LIFE).await
}

pub(crate) async fn token_cli(state: State<ApiState>, address: Address, headers: HeaderMap, body: Bytes) -> Response {
    give_token(state, address, headers, body, CLI_TOKEN_LIFE).await
}

/// What stands for a password.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LoginResponse")]
pub(crate) struct Token {
    access_token: String,
}

/// Clients log in before anything else. On loopback there is nothing to prove, and the token is nothing's key.
async fn give_token(State(state): State<ApiState>, address: Address, headers: HeaderMap, body: Bytes, life: Duration) -> Response {
    let made = |access_token: String| (StatusCode::CREATED, Json(Token { access_token })).into_response();
    if !state.inner.identity.asks() {
        return made("updraft-loopback-needs-no-token".to_owned());
    }
    let given = match Given::read(&headers, &body) {
        Ok(given) => given,
        Err(error) => return error.into_response(),
    };
    let (principal, row) = match proven(&state, &given, address).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    match state.inner.identity.token(state.store(), &principal.name, row.as_ref(), life).await {
        Ok(token) => made(token),
        Err(error) => Error::from(error).into_response(),
    }
}

/// Only a place of this page: a login must not lead elsewhere.
pub(crate) fn place(next: Option<&str>) -> &str {
    next.filter(|next| next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n'])).unwrap_or("/")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page that asks for a password, with what was wrong before.
pub(crate) fn page(state: &ApiState, next: &str, said: &str, status: StatusCode) -> Response {
    let place: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let elsewhere = match &state.inner.oidc {
        Some(_) => format!("<a href=\"/auth/oidc/login?next={}\">Log in with your company's account</a>", escape(&place)),
        None => String::new(),
    };
    let html =
        include_str!("login.html").replace("{elsewhere}", &elsewhere).replace("{next}", &escape(next)).replace("{said}", &escape(said));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // With none at all, browsers send a form with `Origin: null`, as a page of nowhere would: it would be refused.
        (header::REFERRER_POLICY, "same-origin"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (status, headers, html).into_response()
}

/// The login.
pub(crate) async fn login_page(State(state): State<ApiState>, params: Params) -> Response {
    page(&state, place(params.one("next")), "", StatusCode::OK)
}

/// How that page looks.
pub(crate) async fn login_style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")], include_str!("login.css"))
        .into_response()
}

fn cookie(value: &str, age: u64, secure: bool) -> Result<HeaderValue, Error> {
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{}", if secure { "; Secure" } else { "" });
    HeaderValue::from_str(&text).map_err(|_| Error::Broken("a session is no text".to_owned()))
}

/// Whether the page is on https: a browser says where it came from. Over plain HTTP it would not keep a secure cookie.
fn on_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// A session that was begun.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Opened {
    name: String,
    expires_at: Time,
}

/// Begins a session of a browser.
pub(crate) async fn login(State(state): State<ApiState>, address: Address, headers: HeaderMap, body: Bytes) -> Response {
    let given = match Given::read(&headers, &body) {
        Ok(given) => given,
        Err(error) => return error.into_response(),
    };
    let next = place(given.next.as_deref()).to_owned();
    let (_, row) = match proven(&state, &given, address).await {
        Ok(found) => found,
        Err(answer) if given.form => {
            let status = answer.status();
            let said = match status {
                StatusCode::UNAUTHORIZED => "That name and password do not belong together.",
                StatusCode::TOO_MANY_REQUESTS => "Too many wrong passwords: wait five minutes.",
                _ => "The login failed: see the log of the API.",
            };
            return page(&state, &next, said, status);
        }
        Err(answer) => return answer,
    };
    match begin(&state, row, &given, address, &headers, &next).await {
        Ok(answer) => answer,
        Err(error) => error.into_response(),
    }
}

async fn begin(
    state: &ApiState,
    row: Option<UserRow>,
    given: &Given,
    address: Address,
    headers: &HeaderMap,
    next: &str,
) -> Result<Response, Error> {
    // The deployment's own account is a user too, as soon as it opens a session: sessions are of users.
    let row = match row {
        Some(row) => row,
        None => users::owner_row(state, &given.name).await?,
    };
    let (set, until) = open_session(state, &row, address, headers, on_https(headers)).await?;
    let set = [(header::SET_COOKIE, set)];
    Ok(if given.form {
        (StatusCode::SEE_OTHER, set, [(header::LOCATION, next.to_owned())]).into_response()
    } else {
        (StatusCode::CREATED, set, Json(Opened { name: row.name, expires_at: time(until) })).into_response()
    })
}

/// A new session for a user: its cookie, and until when it is good. The one that the browser had before is void.
pub(crate) async fn open_session(
    state: &ApiState,
    row: &UserRow,
    address: Address,
    headers: &HeaderMap,
    secure: bool,
) -> Result<(HeaderValue, DateTime<Utc>), Error> {
    let (session, _) = identity::secret("");
    let hash = state.inner.identity.session_hash(state.store(), &session).await?;
    let before = match identity::cookie(headers) {
        Some(session) => Some(state.inner.identity.session_hash(state.store(), session).await?),
        None => None,
    };
    let until = Utc::now() + TimeDelta::from_std(SESSION_LIFE).unwrap_or_default();
    let from = address.0.map(|address| address.to_string());
    state.store().session_begin(row, &hash, before.as_ref().map(<[u8; 32]>::as_slice), from.as_deref(), until).await?;
    ADDRESS.scope(from, state.store().audit_write(&Audit { who: &row.name, event: "login", ..Audit::default() })).await?;
    Ok((cookie(&session, SESSION_LIFE.as_secs(), secure)?, until))
}

/// Ends the session of a browser.
pub(crate) async fn logout(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, Error> {
    if let Some(session) = identity::cookie(&headers) {
        let hash = state.inner.identity.session_hash(state.store(), session).await?;
        state.store().session_end(&hash).await?;
    }
    let set = [(header::SET_COOKIE, cookie("", 0, false)?), (header::LOCATION, HeaderValue::from_static("/auth/login"))];
    Ok((StatusCode::SEE_OTHER, set).into_response())
}

/// Who is logged in.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    name: String,
    /// What they may do, each with over what: `*`, or some DAGs.
    permissions: BTreeMap<String, Vec<String>>,
}

/// Who is logged in, and what they may do over what.
pub(crate) async fn me(who: Option<Extension<Principal>>) -> Json<Me> {
    let principal = who.map_or_else(|| Principal::owner("anonymous"), |Extension(principal)| principal);
    Json(Me { permissions: principal.permissions().into_iter().collect(), name: principal.name })
}

fn of_a_user(who: Option<Extension<Principal>>) -> Result<Principal, Error> {
    who.map(|Extension(principal)| principal).ok_or_else(|| {
        Error::Conflict(
            "this API asks nobody who they are (it listens on loopback without a password): there is no user to change".to_owned(),
        )
    })
}

/// What is wrong with a new password.
pub(crate) fn password_mistake(name: &str, password: &str) -> Option<String> {
    if password.chars().count() < Account::SHORTEST {
        return Some(format!("a password has at least {} characters", Account::SHORTEST));
    }
    if password.len() > LONGEST {
        return Some(format!("a password has at most {LONGEST} bytes"));
    }
    password.eq_ignore_ascii_case(name).then(|| "a password is not the user's name".to_owned())
}

/// One's own password anew.
pub(crate) async fn password(
    State(state): State<ApiState>,
    address: Address,
    who: Option<Extension<Principal>>,
    Body(body): Body,
) -> Result<Response, Error> {
    let principal = of_a_user(who)?;
    let mut fields = Fields::of(body, PASSWORD_KEYS)?;
    let (old, new) = (fields.text("old"), fields.text("new"));
    fields.done()?;
    let (Some(old), Some(new)) = (old, new) else {
        return Err(Error::BadRequest("the body must have `old`, the password so far, and `new`".to_owned()));
    };
    let given = Given { name: principal.name.clone(), password: old, next: None, form: false };
    let row = match proven(&state, &given, address).await {
        Ok((_, Some(row))) => row,
        Ok((_, None)) => return Err(users::is_the_owner(&principal.name)),
        Err(answer) => return Ok(answer),
    };
    if let Some(why) = password_mistake(&row.name, &new) {
        return Err(Error::BadRequest(why));
    }
    let hash = identity::hash_password(&new).await.map_err(Error::Broken)?;
    let write = UserWrite { name: &row.name, password_hash: Some(&hash), ..UserWrite::default() };
    state.store().user_update(&write, &row.name).await?;
    state.store().audit_write(&Audit { who: &row.name, event: "change_password", ..Audit::default() }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A personal token, without what proves it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PersonalToken {
    id: String,
    user: String,
    name: String,
    /// At most these of its user's permissions; null: all of them.
    permissions: Option<Vec<String>>,
    created_at: Time,
    expires_at: Time,
    last_used_at: Option<Time>,
    expired: bool,
}

collection!(PersonalTokens, "PersonalTokenCollection", tokens: PersonalToken);

/// A personal token that was just made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NewToken {
    id: String,
    user: String,
    name: String,
    permissions: Option<Vec<String>>,
    expires_at: Time,
    /// What proves it: this answer is the only one that shows it.
    token: String,
}

fn token_shape(row: &TokenRow) -> PersonalToken {
    PersonalToken {
        id: row.id.to_string(),
        user: row.user_name.clone(),
        name: row.name.clone(),
        permissions: row.permissions.clone(),
        created_at: time(row.created_at),
        expires_at: time(row.expires_at),
        last_used_at: maybe(row.last_used_at),
        expired: row.expires_at <= Utc::now(),
    }
}

/// One's own tokens; all users' for who may read users and asks for `user=~`.
pub(crate) async fn tokens(
    State(state): State<ApiState>,
    params: Params,
    who: Option<Extension<Principal>>,
) -> Result<Json<PersonalTokens>, Error> {
    let principal = of_a_user(who)?;
    let user = match params.one("user") {
        None => Some(principal.name.as_str()),
        Some(user) if user == principal.name => Some(user),
        Some(other) => {
            if principal.over(May::Read(Thing::Users)).is_none() {
                return Err(Error::Forbidden(format!("{} sees their own tokens only", principal.name)));
            }
            (other != "~").then_some(other)
        }
    };
    let rows = state.store().token_list(user).await?;
    Ok(Json(PersonalTokens { tokens: rows.iter().map(token_shape).collect(), total_entries: count(rows.len()) }))
}

/// A new token: the answer is the only one that shows it.
pub(crate) async fn token_create(
    State(state): State<ApiState>,
    who: Option<Extension<Principal>>,
    Body(body): Body,
) -> Result<Response, Error> {
    let principal = of_a_user(who)?;
    let mut fields = Fields::of(body, TOKEN_KEYS)?;
    let (name, days, permissions) = (fields.text("name"), fields.int("days"), fields.list("permissions"));
    fields.done()?;
    let name = name
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && name.len() <= 100)
        .ok_or_else(|| Error::BadRequest("the body must have a `name` of at most 100 characters: what the token is for".to_owned()))?;
    let days = days.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Error::BadRequest(format!("`days` must be 1 to {MOST_DAYS}")));
    }
    if principal.is_limited() {
        return Err(Error::Forbidden("a token with permissions of its own makes no other tokens: log in with a password".to_owned()));
    }
    let permissions = permissions.map(|list| users::permissions_of(&list)).transpose()?;
    let row = match state.store().user_get(&principal.name).await? {
        Some(row) => row,
        None => return Err(users::is_the_owner(&principal.name)),
    };
    let (token, hash) = identity::secret(identity::PERSONAL);
    let expires_at = Utc::now() + TimeDelta::days(days);
    let id = state.store().token_create(&row.name, &name, &hash, permissions.as_deref(), expires_at).await?;
    let id =
        id.ok_or_else(|| Error::Conflict(format!("{} has a token named {name:?} already: revoke it, or choose another name", row.name)))?;
    let extra = Some(json!({"id": id, "name": name, "permissions": permissions, "expires_at": time(expires_at)}));
    state.store().audit_write(&Audit { who: &row.name, event: "create_token", extra, ..Audit::default() }).await?;
    let made = NewToken { id: id.to_string(), user: row.name, name, permissions, expires_at: time(expires_at), token };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// A token is void from now on. Who may edit users may do so with anybody's.
pub(crate) async fn token_delete(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    who: Option<Extension<Principal>>,
) -> Result<StatusCode, Error> {
    let principal = of_a_user(who)?;
    let whose = if principal.over(May::Edit(Thing::Users)).is_some() { None } else { Some(principal.name.as_str()) };
    let gone = match id.parse() {
        Ok(number) => state.store().token_delete(whose, number).await?,
        Err(_) => None,
    };
    let name = gone.ok_or_else(|| Error::NotFound(format!("there is no token {id:?} of yours")))?;
    let extra = Some(json!({"id": id, "name": name}));
    state.store().audit_write(&Audit { who: &principal.name, event: "delete_token", extra, ..Audit::default() }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        for (next, goes) in [
            (Some("/dags/x?tab=runs"), "/dags/x?tab=runs"),
            (Some("https://evil.example"), "/"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("/a\r\nset-cookie: x=y"), "/"),
            (None, "/"),
        ] {
            assert_eq!(place(next), goes);
        }
    }

    #[test]
    fn passwords_that_are_none() {
        assert!(password_mistake("eve", "short").is_some());
        assert!(password_mistake("a very long name", "A very long name").is_some());
        assert!(password_mistake("eve", &"x".repeat(2000)).is_some());
        assert_eq!(password_mistake("eve", "correct horse battery"), None);
    }
}
