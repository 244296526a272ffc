//! Logging in with OpenID Connect: the authorization code flow (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636).
//!
//! What has to survive the way to the provider and back is one random word, the state, in a signed cookie: nonce and verifier are made from it.
//! The provider says who it is and in which groups; the deployment says which roles those are. They are set anew at each login.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use updraft_store::users::{UserRow, UserWrite};

use crate::ApiState;
use crate::access::scope_mistake;
use crate::auth::{self, Address};
use crate::error::Error;
use crate::guard::same;
use crate::identity::{self, hash};
use crate::request::Params;
use crate::users::name_mistake;

/// The cookie that waits while the browser is with the provider.
const COOKIE: &str = "updraft_oidc";
/// How long that may take, in seconds.
const PATIENCE: i64 = 600;
/// What the provider says of itself is read again after so long, and its keys at most this often.
const FRESH: Duration = Duration::from_secs(3600);
const KEYS_AT_MOST: Duration = Duration::from_secs(60);
/// Where the provider sends the browser back to.
const CALLBACK: &str = "/auth/oidc/callback";

/// A provider, and what its groups may do.
#[derive(Clone)]
pub struct Oidc {
    /// As its tokens name it, and under which its configuration is found.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// What proves that; none for a public client.
    pub client_secret: Option<String>,
    /// Under which address browsers reach this API.
    pub external_url: String,
    /// What is asked for, separated by spaces.
    pub scopes: String,
    /// The claim that names the user.
    pub name_claim: String,
    /// The claim with their groups.
    pub groups_claim: String,
    /// Which group has which role, over what.
    pub roles: RoleMap,
}

// By hand: there is a secret in it.
impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc").field("issuer", &self.issuer).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Groups, each with a role and its scope. `*` is everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleMap(Vec<(String, String, String)>);

impl RoleMap {
    /// Reads `GROUP => ROLE[=SCOPE]`, separated by commas or lines.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut map = Vec::new();
        for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let (group, role) = entry.split_once("=>").ok_or_else(|| format!("{entry:?} is not GROUP => ROLE or GROUP => ROLE=SCOPE"))?;
            let (role, scope) = role.split_once('=').unwrap_or((role, crate::access::EVERYTHING));
            let (group, role, scope) = (group.trim(), role.trim(), scope.trim());
            if group.is_empty() || role.is_empty() {
                return Err(format!("{entry:?} is not GROUP => ROLE or GROUP => ROLE=SCOPE"));
            }
            if let Some(why) = scope_mistake(scope) {
                return Err(why);
            }
            map.push((group.to_owned(), role.to_owned(), scope.to_owned()));
        }
        Ok(Self(map))
    }

    fn of(&self, groups: &BTreeSet<String>) -> Vec<(String, String)> {
        let has = |group: &String| group == "*" || groups.contains(group);
        self.0.iter().filter(|(group, _, _)| has(group)).map(|(_, role, scope)| (role.clone(), scope.clone())).collect()
    }
}

/// What a provider says of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
struct Provider {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Debug, Default)]
struct Known {
    provider: Option<(Instant, Provider)>,
    keys: Option<(Instant, JwkSet)>,
}

/// The client of a provider.
#[derive(Debug)]
pub(crate) struct Client {
    oidc: Oidc,
    http: reqwest::Client,
    known: Mutex<Known>,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    id_token: String,
}

fn broken(doing: &str, error: &dyn std::fmt::Display) -> Error {
    tracing::warn!("the OpenID Connect provider: {doing}: {error}");
    Error::Busy(format!("the login provider does not answer as it should: {doing}; the log of the API says more"))
}

impl Client {
    pub(crate) fn new(oidc: Oidc) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).redirect(reqwest::redirect::Policy::none()).build();
        // It fails where TLS cannot begin at all; then each request says so.
        Self { oidc, http: http.unwrap_or_default(), known: Mutex::default() }
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, doing: &str, url: &str) -> Result<T, Error> {
        let answer = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        answer.map_err(|error| broken(doing, &error))?.json().await.map_err(|error| broken(doing, &error))
    }

    async fn provider(&self) -> Result<Provider, Error> {
        let mut known = self.known.lock().await;
        if let Some((at, provider)) = &known.provider
            && at.elapsed() < FRESH
        {
            return Ok(provider.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.oidc.issuer.trim_end_matches('/'));
        let provider: Provider = self.json("reading its configuration", &url).await?;
        if provider.issuer != self.oidc.issuer {
            return Err(broken("reading its configuration", &format!("it calls itself {:?}, not {:?}", provider.issuer, self.oidc.issuer)));
        }
        known.provider = Some((Instant::now(), provider.clone()));
        Ok(provider)
    }

    /// The keys that it signs with; read anew for a key that is not known, but not at every guess.
    async fn key(&self, provider: &Provider, kid: Option<&str>) -> Result<(DecodingKey, Algorithm), Error> {
        let mut known = self.known.lock().await;
        for _ in 0..2 {
            if let Some((_, keys)) = &known.keys
                && let Some(found) = usable(keys, kid)
            {
                return Ok(found);
            }
            if known.keys.as_ref().is_some_and(|(at, _)| at.elapsed() < KEYS_AT_MOST) {
                break;
            }
            known.keys = Some((Instant::now(), self.json("reading its keys", &provider.jwks_uri).await?));
        }
        Err(broken("checking its token", &format!("it has no key {kid:?} that signs")))
    }

    fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.oidc.external_url.trim_end_matches('/'))
    }
}

/// A key for a signature, and the one algorithm that it is for: the token's own word does not choose.
fn usable(keys: &JwkSet, kid: Option<&str>) -> Option<(DecodingKey, Algorithm)> {
    let key = match kid {
        Some(kid) => keys.find(kid)?,
        // Without a name there must be no choice.
        None => match keys.keys.as_slice() {
            [only] => only,
            _ => return None,
        },
    };
    let said = key.common.key_algorithm.and_then(|algorithm| algorithm.to_string().parse::<Algorithm>().ok());
    let algorithm = match (&key.algorithm, said) {
        (AlgorithmParameters::RSA(_), Some(said @ (Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 | Algorithm::PS256))) => said,
        (AlgorithmParameters::RSA(_), None) => Algorithm::RS256,
        (AlgorithmParameters::EllipticCurve(_), Some(said @ (Algorithm::ES256 | Algorithm::ES384))) => said,
        (AlgorithmParameters::EllipticCurve(_), None) => Algorithm::ES256,
        // A shared secret in a public document is none.
        _ => return None,
    };
    Some((DecodingKey::from_jwk(key).ok()?, algorithm))
}

/// A word that nobody else can make of the state.
async fn of_state(state: &ApiState, what: &str, word: &str) -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(state.inner.identity.sign(state.store(), &format!("oidc {what} {word}")).await?))
}

fn client(state: &ApiState) -> Result<&Client, Error> {
    state.inner.oidc.as_ref().ok_or_else(|| Error::NotFound("this installation has no OpenID Connect provider (--oidc-issuer)".to_owned()))
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn cookie(value: &str, age: i64, state: &ApiState) -> String {
    let secure = state.inner.oidc.as_ref().is_some_and(|client| client.oidc.external_url.starts_with("https://"));
    format!("{COOKIE}={value}; Path=/auth/oidc; HttpOnly; SameSite=Lax; Max-Age={age}{}", if secure { "; Secure" } else { "" })
}

/// Sends the browser to the provider.
pub(crate) async fn begin(State(state): State<ApiState>, params: Params) -> Result<Response, Error> {
    let client = client(&state)?;
    let provider = client.provider().await?;
    let word = URL_SAFE_NO_PAD.encode(identity::random::<24>());
    let verifier = of_state(&state, "verifier", &word).await?;
    let nonce = of_state(&state, "nonce", &word).await?;
    let until = Utc::now().timestamp() + PATIENCE;
    let place = URL_SAFE_NO_PAD.encode(auth::place(params.one("next")));
    let kept = format!("{word}.{until}.{place}");
    let kept = format!("{kept}.{}", of_state(&state, "cookie", &kept).await?);
    let challenge = URL_SAFE_NO_PAD.encode(hash(&verifier));
    let asked = query(&[
        ("response_type", "code"),
        ("client_id", &client.oidc.client_id),
        ("redirect_uri", &client.callback()),
        ("scope", &client.oidc.scopes),
        ("state", &word),
        ("nonce", &nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let join = if provider.authorization_endpoint.contains('?') { '&' } else { '?' };
    let there = format!("{}{join}{asked}", provider.authorization_endpoint);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, there), (header::SET_COOKIE, cookie(&kept, PATIENCE, &state))]).into_response())
}

/// What was kept while the browser was away: the state, and where it wanted to go.
async fn kept(state: &ApiState, headers: &HeaderMap) -> Result<Option<(String, String)>, Error> {
    let Some(text) = identity::cookie_named(headers, COOKIE) else { return Ok(None) };
    let Some((kept, signature)) = text.rsplit_once('.') else { return Ok(None) };
    let right = of_state(state, "cookie", kept).await?;
    if !same(&hash(&right), &hash(signature)) {
        return Ok(None);
    }
    let mut parts = kept.split('.');
    let (Some(word), Some(until), Some(place)) = (parts.next(), parts.next(), parts.next()) else { return Ok(None) };
    if until.parse::<i64>().map_or(true, |until| until < Utc::now().timestamp()) {
        return Ok(None);
    }
    let place = URL_SAFE_NO_PAD.decode(place).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    Ok(Some((word.to_owned(), place)))
}

/// The browser comes back.
pub(crate) async fn end(State(state): State<ApiState>, address: Address, params: Params, headers: HeaderMap) -> Response {
    match finish(&state, address, &params, &headers).await {
        Ok(answer) => answer,
        Err(error) => {
            let said = match &error {
                Error::Store(_) => "the login failed: the database does not answer".to_owned(),
                other => other.to_string(),
            };
            let status = error.into_response().status();
            auth::page(&state, "/", &said, status)
        }
    }
}

async fn finish(state: &ApiState, address: Address, params: &Params, headers: &HeaderMap) -> Result<Response, Error> {
    let client = client(state)?;
    let Some((word, place)) = kept(state, headers).await? else {
        return Err(Error::Forbidden("this login was not begun in this browser, or took too long: begin again".to_owned()));
    };
    if params.one("state") != Some(word.as_str()) {
        return Err(Error::Forbidden("this login was begun elsewhere: begin again".to_owned()));
    }
    if let Some(error) = params.one("error") {
        let more = params.one("error_description").map(|text| format!(": {text}")).unwrap_or_default();
        return Err(Error::Forbidden(format!("the login provider refused: {error}{more}")));
    }
    let code = params.one("code").ok_or_else(|| Error::BadRequest("the login provider sent no code".to_owned()))?;
    let claims = claims(state, client, code, &word).await?;
    let row = user_of(state, client, &claims).await?;
    state.store().user_logged_in(row.id).await?;
    let (set, _) = auth::open_session(state, &row, address, headers, client.oidc.external_url.starts_with("https://")).await?;
    let gone = cookie("", 0, state);
    let mut answer =
        (StatusCode::SEE_OTHER, [(header::LOCATION, auth::place(Some(&place)).to_owned()), (header::SET_COOKIE, gone)]).into_response();
    answer.headers_mut().append(header::SET_COOKIE, set);
    Ok(answer)
}

/// What the provider says of the user, checked.
async fn claims(state: &ApiState, client: &Client, code: &str, word: &str) -> Result<Value, Error> {
    let provider = client.provider().await?;
    let verifier = of_state(state, "verifier", word).await?;
    let callback = client.callback();
    let mut asked =
        vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &callback), ("code_verifier", verifier.as_str())];
    let mut request = client.http.post(&provider.token_endpoint).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match &client.oidc.client_secret {
        Some(secret) => {
            request = request.basic_auth(
                query(&[("", &client.oidc.client_id)]).trim_start_matches('='),
                Some(query(&[("", secret)]).trim_start_matches('=')),
            )
        }
        None => asked.push(("client_id", &client.oidc.client_id)),
    }
    let doing = "exchanging its code";
    let answer = request.body(query(&asked)).send().await.and_then(reqwest::Response::error_for_status);
    let tokens: Tokens = answer.map_err(|error| broken(doing, &error))?.json().await.map_err(|error| broken(doing, &error))?;
    let doing = "checking its token";
    let kid = jsonwebtoken::decode_header(&tokens.id_token).map_err(|error| broken(doing, &error))?.kid;
    let (key, algorithm) = client.key(&provider, kid.as_deref()).await?;
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[&client.oidc.client_id]);
    validation.set_issuer(&[&client.oidc.issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let claims = jsonwebtoken::decode::<Value>(&tokens.id_token, &key, &validation).map_err(|error| broken(doing, &error))?.claims;
    let nonce = of_state(state, "nonce", word).await?;
    if claims["nonce"] != nonce.as_str() {
        return Err(broken(doing, &"the nonce is another login's"));
    }
    // Several audiences: the one that it was made for must be us.
    if claims["aud"].as_array().is_some_and(|all| all.len() > 1) && claims["azp"] != client.oidc.client_id.as_str() {
        return Err(broken(doing, &"it was made for another client"));
    }
    Ok(claims)
}

/// The user of these claims, with the roles that they have now.
async fn user_of(state: &ApiState, client: &Client, claims: &Value) -> Result<UserRow, Error> {
    let oidc = &client.oidc;
    let text = |claim: &str| claims[claim].as_str().filter(|text| !text.is_empty());
    let subject = text("sub").ok_or_else(|| broken("checking its token", &"it has no subject"))?;
    let groups: BTreeSet<String> = match &claims[oidc.groups_claim.as_str()] {
        Value::Array(groups) => groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(group) => std::iter::once(group.clone()).collect(),
        _ => BTreeSet::new(),
    };
    let roles = oidc.roles.of(&groups);
    if roles.is_empty() {
        return Err(Error::Forbidden("you are in no group that has a role here: ask an administrator (--oidc-roles)".to_owned()));
    }
    let store = state.store();
    let known = store.user_of_subject(&oidc.issuer, subject).await?;
    let name = match &known {
        Some(row) => row.name.clone(),
        None => {
            let claim = &oidc.name_claim;
            let name = text(claim).ok_or_else(|| Error::Forbidden(format!("the login provider names you in no claim {claim:?}")))?;
            if let Some(why) = name_mistake(name) {
                return Err(Error::Forbidden(format!("claim {claim:?}: {why}")));
            }
            if state.inner.identity.owner() == Some(name) {
                return Err(Error::Forbidden(format!("{name:?} is the deployment's own account: it logs in with its password")));
            }
            name.to_owned()
        }
    };
    let write = UserWrite {
        name: &name,
        display_name: Some(text("name")),
        email: Some(text("email")),
        roles: Some(&roles),
        origin: Some((&oidc.issuer, subject)),
        ..UserWrite::default()
    };
    if known.is_some() {
        store.user_update(&write, "oidc").await?;
    } else if !store.user_create(&write, "oidc").await? {
        return Err(Error::Forbidden(format!(
            "there is a user {name:?} already who does not log in with this provider: an administrator renames or deletes one of them"
        )));
    }
    let row = store.user_of_subject(&oidc.issuer, subject).await?.ok_or_else(|| Error::Broken("a user is gone".to_owned()))?;
    if !row.active {
        return Err(Error::Forbidden(format!("{name} is disabled: ask an administrator")));
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_roles() {
        let map = RoleMap::parse("admins => admin, cn=team-a,\nteam-a => op=tag:team-a\n* => viewer").unwrap_err();
        assert!(map.contains("cn=team-a"), "{map}");
        let map = RoleMap::parse("admins => admin, team-a => op=tag:team-a\n* => viewer").unwrap();
        let of = |groups: &[&str]| map.of(&groups.iter().map(|g| (*g).to_owned()).collect());
        let pair = |role: &str, scope: &str| (role.to_owned(), scope.to_owned());
        assert_eq!(of(&["team-a", "other"]), [pair("op", "tag:team-a"), pair("viewer", "*")]);
        assert_eq!(of(&[]), [pair("viewer", "*")]);
        assert!(RoleMap::parse("a => op=team").is_err() && RoleMap::parse("=> op").is_err());
        assert_eq!(RoleMap::parse("").unwrap(), RoleMap::default());
    }
}
