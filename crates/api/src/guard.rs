//! The door of the API: who comes, and whether they may do what the route takes, before anything else is looked at.
//!
//! Without a password of the deployment the API belongs on loopback, and everybody there may do everything. Other sites' pages in the user's
//! browser are kept out. Such a page may send requests in two ways. Straight: then the browser adds an `Origin` that is not ours, and says
//! `Sec-Fetch-Site: cross-site`. By DNS rebinding: then `Host` is that site's name. Programs send neither.
//!
//! With a password every request must prove who sends it ([`mod@crate::identity`]). A browser sends what it was once told, and its session,
//! with every request, whoever's page makes it: a foreign origin is refused all the same.
//!
//! A role over some DAGs only lets a request through when its path names one of them, or when its handler is known to look at the scope
//! ([`LOOKS`]). All others are refused: a new way in shows nothing by mistake.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Extension, FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use updraft_store::Error as StoreError;
use updraft_store::read::audit::ADDRESS;

use crate::access::{Over, Principal, Scope};
use crate::error::Error;
use crate::identity::Refusal;
use crate::routes::May;
use crate::{ApiState, refused};

/// Ways in without a DAG in their path, or with `~` for all, whose handlers show and touch only what the scope has.
const LOOKS: &[&str] = &[
    "/api/v2/dags",
    "/api/v2/dags/{dag_id}/dagRuns",
    "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances",
    "/api/v2/dagStats",
    "/api/v2/eventLogs",
    "/api/v2/eventLogs/{id}",
    "/api/v2/backfills",
    "/api/v2/backfills/dry_run",
    "/api/v2/backfills/{id}",
    "/api/v2/backfills/{id}/pause",
    "/api/v2/backfills/{id}/unpause",
    "/api/v2/backfills/{id}/cancel",
    "/ui/backfills",
    "/ui/backfills/{id}",
    "/ui/overview",
    "/ui/events",
];

/// The one account of an API that is not on loopback.
#[derive(Clone)]
pub struct Account {
    user: String,
    password: String,
}

// By hand: the password is nobody's business.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Account {
    /// Fewest characters of a password.
    pub const SHORTEST: usize = 12;

    /// An account, or what is wrong with it.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Result<Self, String> {
        let (user, password) = (user.into(), password.into());
        if user.is_empty() || user.contains(':') {
            return Err("the user's name must not be empty nor have a colon".to_owned());
        }
        if password.chars().count() < Self::SHORTEST {
            return Err(format!("the password must have at least {} characters", Self::SHORTEST));
        }
        Ok(Self { user, password })
    }

    /// The name that it logs in with.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether these are its name and password. Takes as long for a wrong one as for the right one.
    pub(crate) fn is(&self, user: &str, password: &str) -> bool {
        let right = self.sign(&format!("{}:{}", self.user, self.password));
        same(&right, &self.sign(&format!("{user}:{password}")))
    }

    /// What tokens of logins are signed with, of what the database keeps. It changes with the password.
    pub fn token_key(&self, kept: &[u8]) -> [u8; 32] {
        sign(&self.sign("tokens 1"), kept)
    }

    fn sign(&self, text: &str) -> [u8; 32] {
        sign(self.password.as_bytes(), text.as_bytes())
    }
}

/// HMAC-SHA-256.
pub(crate) fn sign(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Compares without telling by its time where they differ.
pub(crate) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0u8, |different, (a, b)| different | (a ^ b)) == 0
}

/// The proxies whose word on the client's address counts.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<ipnet::IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks, separated by commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let net = |part: &str| part.parse().or_else(|_| part.parse::<IpAddr>().map(Into::into));
        parts
            .map(|part| net(part).map_err(|_| format!("{part:?} is no address or network (10.0.0.0/8)")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address.to_canonical()))
    }

    /// The client: the last address on the way that is no proxy of ours. What stands before it anybody could have written.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let said = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        let mut way: Vec<&str> = said.map(str::trim).collect();
        let mut client = peer.to_canonical();
        while self.has(client) {
            let Some(before) = way.pop().and_then(|text| text.parse::<IpAddr>().ok()) else { break };
            client = before.to_canonical();
        }
        client
    }
}

/// Where the client is.
pub(crate) fn address_of(state: &ApiState, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip();
    Some(state.inner.proxies.client(peer, request.headers()))
}

/// Lets a request through to its route, or not.
pub(crate) async fn admit(State(may): State<May>, mut request: Request, next: Next) -> Response {
    let Some(Extension(state)) = request.extensions().get::<Extension<ApiState>>().cloned() else {
        return Error::Broken("a route was reached past the door".to_owned()).into_response();
    };
    let address = address_of(&state, &request);
    match enter(&state, may, &mut request, address).await {
        Ok(()) => ADDRESS.scope(address.map(|address| address.to_string()), next.run(request)).await,
        Err(refusal) => refusal,
    }
}

async fn enter(state: &ApiState, may: May, request: &mut Request, address: Option<IpAddr>) -> Result<(), Response> {
    let identity = &state.inner.identity;
    request.extensions_mut().insert(Scope::ALL);
    if !identity.asks() || may == May::Anybody {
        return Ok(());
    }
    let principal = match identity.of(state.store(), request.headers(), address).await {
        Ok(principal) => principal,
        Err(refusal) => return Err(refuse(refusal, request)),
    };
    // A page of another site cannot read our answers, nor send `application/json` without asking: a form is all that it has.
    if principal.by_cookie && !request.method().is_safe() && !from_here(request.headers()) {
        let why =
            "a browser's session changes nothing for a request that does not say that it comes from this page (Sec-Fetch-Site or Origin)";
        return Err(Error::Forbidden(why.to_owned()).into_response());
    }
    let scope = scope_of(state, &principal, may).await.map_err(IntoResponse::into_response)?;
    if scope.0.is_some() {
        within(request, &scope).await.map_err(IntoResponse::into_response)?;
    }
    request.extensions_mut().insert(scope);
    request.extensions_mut().insert(principal);
    request.extensions_mut().insert(Entered { may, address });
    Ok(())
}

async fn scope_of(state: &ApiState, principal: &Principal, may: May) -> Result<Scope, Error> {
    match principal.over(may) {
        None => Err(lacks(principal, may)),
        Some(Over::Everything) => Ok(Scope::ALL),
        Some(Over::Some(selectors)) => Ok(Scope(Some(state.store().dags_selected(&selectors).await?.into()))),
    }
}

/// By which door a request came, where there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entered {
    may: May,
    address: Option<IpAddr>,
}

/// What an answer that lasts proves again while it does: a session can end, a token be revoked, a user be shut out or lose a role.
pub(crate) struct Proof {
    entered: Entered,
    headers: HeaderMap,
}

impl Proof {
    /// Of a request, which it keeps nothing of but what proves who sent it.
    pub(crate) fn of(entered: Entered, headers: &HeaderMap) -> Self {
        let kept = [header::AUTHORIZATION, header::COOKIE];
        let of_request =
            |name: &header::HeaderName| headers.get_all(name).iter().map(|value| (name.clone(), value.clone())).collect::<Vec<_>>();
        Self { entered, headers: kept.iter().flat_map(of_request).collect() }
    }

    /// What may be seen by now; nothing, when nothing may.
    pub(crate) async fn scope(&self, state: &ApiState) -> Result<Option<Scope>, StoreError> {
        let principal = match state.inner.identity.of(state.store(), &self.headers, self.entered.address).await {
            Ok(principal) => principal,
            Err(Refusal::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        match scope_of(state, &principal, self.entered.may).await {
            Ok(scope) => Ok(Some(scope)),
            Err(Error::Store(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// Whether a request that a role over some DAGs permits is about them.
async fn within(request: &mut Request, scope: &Scope) -> Result<(), Error> {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let mut parts = std::mem::take(request).into_parts();
    let named = RawPathParams::from_request_parts(&mut parts.0, &()).await;
    *request = Request::from_parts(parts.0, parts.1);
    let dag_id = named.ok().and_then(|named| named.iter().find(|(name, _)| *name == "dag_id").map(|(_, value)| value.to_owned()));
    match dag_id {
        Some(id) if id != "~" => scope.check(&id),
        // The others of these paths read; `~` in what changes is another matter.
        _ if LOOKS.contains(&path.as_str()) && (request.method().is_safe() || path.contains("backfills")) => Ok(()),
        _ => Err(Scope::all_of_it()),
    }
}

fn lacks(principal: &Principal, may: May) -> Error {
    Error::Forbidden(format!("{} lacks the permission {may}: an administrator gives it by a role (updraft users add-role)", principal.name))
}

fn refuse(refusal: Refusal, request: &Request) -> Response {
    let wants_page = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("text/html"));
    match refusal {
        Refusal::Nobody if wants_page && request.method().is_safe() => refused::to_login(request.uri()),
        // As Airflow: a token that is not right is another thing than none.
        Refusal::WrongToken => Error::Forbidden("Invalid JWT token".to_owned()).into_response(),
        Refusal::Nobody | Refusal::WrongPassword => {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Updraft\", charset=\"UTF-8\"")];
            (ask, Error::Unauthorized("Not authenticated".to_owned())).into_response()
        }
        Refusal::Wait(wait) => too_many(wait),
        Refusal::Store(error) => Error::from(error).into_response(),
    }
}

/// 429, with how long to wait.
pub(crate) fn too_many(wait: std::time::Duration) -> Response {
    let seconds = wait.as_secs().max(1).to_string();
    let detail = format!("too many wrong passwords: try again in {seconds} seconds");
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], axum::Json(serde_json::json!({"detail": detail}))).into_response()
}

/// Whether a browser says that our own page made this request.
fn from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => site == "same-origin",
        // Checked by `same_site` before.
        None => headers.contains_key(header::ORIGIN),
    }
}

/// Keeps the pages of other sites out, whatever they ask for, and gives the doors behind it what they need.
pub(crate) async fn same_site_only(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Extension(state.clone()));
    match same_site(request.headers(), !state.inner.identity.asks()) {
        Err(why) => Error::Forbidden(why).into_response(),
        Ok(()) => next.run(request).await,
    }
}

/// What every answer says to a browser, unless the answer says it otherwise: it is data of one user, and no document to run or to frame.
pub(crate) async fn seal_answer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn same_site(headers: &HeaderMap, local_only: bool) -> Result<(), String> {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST);
    if let Some(host) = host
        && local_only
        && !is_local_name(host)
    {
        return Err(format!(
            "the API without passwords answers to localhost and IP addresses only, not to {host:?}: open it as http://127.0.0.1"
        ));
    }
    if let Some(origin) = text(header::ORIGIN) {
        let authority = origin.split_once("://").map_or("", |(_, rest)| rest);
        if host != Some(authority) {
            return Err(format!("a page of {origin} may not use this API"));
        }
    }
    // A link to a page is followed from anywhere; all else is a page's own doing.
    if text_of(headers, "sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
        && text_of(headers, "sec-fetch-mode") != Some("navigate")
    {
        return Err("a page of another site may not use this API".to_owned());
    }
    Ok(())
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn verdict(pairs: &[(header::HeaderName, &str)]) -> bool {
        same_site(&headers(pairs), true).is_ok()
    }

    #[test]
    fn other_sites_are_kept_out() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "app.localhost:1"] {
            assert!(verdict(&[(header::HOST, host)]), "{host}");
            assert!(verdict(&[(header::HOST, host), (header::ORIGIN, &format!("http://{host}"))]), "{host}");
        }
        assert!(!verdict(&[(header::HOST, "evil.example:8080")]), "rebound");
        assert!(!verdict(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "https://evil.example")]), "another site");
        assert!(!verdict(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "null")]), "a sandboxed frame");
        assert!(!verdict(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "http://127.0.0.1:9999")]), "another port");
    }

    #[test]
    fn with_a_password_the_name_is_free_and_the_origin_is_not() {
        let ours = headers(&[(header::HOST, "updraft.example"), (header::ORIGIN, "https://updraft.example")]);
        assert!(same_site(&ours, false).is_ok());
        let theirs = headers(&[(header::HOST, "updraft.example"), (header::ORIGIN, "https://evil.example")]);
        assert!(same_site(&theirs, false).is_err());
    }

    #[test]
    fn other_sites_are_kept_out_without_an_origin() {
        let site = |site: &str, mode: &str| {
            let mut headers = headers(&[(header::HOST, "127.0.0.1:8080")]);
            headers.insert("sec-fetch-site", site.parse().unwrap());
            headers.insert("sec-fetch-mode", mode.parse().unwrap());
            same_site(&headers, true).is_ok()
        };
        assert!(site("same-origin", "cors") && site("none", "navigate"));
        assert!(site("cross-site", "navigate"), "a link to the page");
        assert!(!site("cross-site", "no-cors"), "an image, a script, a beacon");
        assert!(!site("same-site", "cors"), "another host of the same company");
    }

    #[test]
    fn the_client_is_whom_our_own_proxies_saw() {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 192.0.2.1").unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let client = |peer: &str, way: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", way.parse().unwrap());
            proxies.client(ip(peer), &headers)
        };
        assert_eq!(client("203.0.113.9", "198.51.100.1"), ip("203.0.113.9"), "a stranger's word");
        assert_eq!(client("10.1.2.3", "198.51.100.1"), ip("198.51.100.1"));
        assert_eq!(client("10.1.2.3", "1.1.1.1, 198.51.100.1, 10.9.9.9"), ip("198.51.100.1"), "what the client wrote itself comes first");
        assert_eq!(client("10.1.2.3", "nonsense"), ip("10.1.2.3"));
        assert_eq!(client("::ffff:10.1.2.3", "198.51.100.1"), ip("198.51.100.1"), "as a dual-stack socket says it");
        assert_eq!(TrustedProxies::default().client(ip("10.1.2.3"), &HeaderMap::new()), ip("10.1.2.3"));
        assert!(TrustedProxies::parse("10.0.0.0/99").is_err() && TrustedProxies::parse("proxy.example").is_err());
    }

    #[test]
    fn the_password_and_nothing_else_is_the_accounts() {
        let account = Account::new("admin", "correct horse battery").unwrap();
        assert!(account.is("admin", "correct horse battery"));
        for (user, password) in [("admin", "correct horse"), ("admin", ""), ("root", "correct horse battery"), ("", "")] {
            assert!(!account.is(user, password), "{user}");
        }
        let changed = Account::new("admin", "another password").unwrap();
        assert_ne!(account.token_key(b"kept"), changed.token_key(b"kept"), "tokens end with the password");
    }

    #[test]
    fn a_weak_account_is_refused() {
        assert!(Account::new("admin", "short").is_err());
        assert!(Account::new("", "correct horse battery").is_err());
        assert!(Account::new("a:b", "correct horse battery").is_err());
        assert!(!format!("{:?}", Account::new("admin", "correct horse battery").unwrap()).contains("horse"));
    }
}
