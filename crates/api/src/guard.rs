//! Who may use the API, before anything else is looked at.
//!
//! Without a password the API belongs on loopback, and other sites' pages in the user's browser are kept out. Such a page may send requests
//! in two ways. Straight: then the browser adds an `Origin` that is not ours. By DNS rebinding: then `Host` is that site's name. Programs
//! send neither.
//!
//! With a password every request must carry it (HTTP Basic), or the bearer token that `POST /auth/token` gives for it. The browser sends
//! what it was once told with every request, whoever's page makes it: a foreign `Origin` is refused all the same.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::Error;
use crate::routes::May;

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

    /// What stands for the password. It changes with it.
    pub(crate) fn token(&self) -> String {
        let mut token = String::from("updraft_");
        for byte in self.sign("bearer token 1") {
            token.push_str(&format!("{byte:02x}"));
        }
        token
    }

    fn sign(&self, text: &str) -> [u8; 32] {
        sign(self.password.as_bytes(), text.as_bytes())
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
        let Some((scheme, rest)) = given.split_once(' ') else { return false };
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = BASE64.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return decoded.as_deref().and_then(|text| text.split_once(':')).is_some_and(|(user, password)| self.is(user, password));
        }
        scheme.eq_ignore_ascii_case("bearer") && same(&self.sign(rest.trim()), &self.sign(&self.token()))
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

/// Who is let in, to do what.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    account: Option<Account>,
    may: May,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Guard {
    pub(crate) const fn new(account: Option<Account>) -> Self {
        Self { account, may: May::LoggedIn }
    }

    /// The same over a route that takes this.
    pub(crate) fn over(&self, may: May) -> Self {
        Self { may, ..self.clone() }
    }
}

/// Lets a request through to its route, or not.
pub(crate) async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    if let Some(account) = &guard.account
        && guard.may != May::Anybody
    {
        if !account.admits(request.headers()) {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Updraft\", charset=\"UTF-8\"")];
            // As Airflow: a token that is not right is another thing than none.
            let bearer = request
                .headers()
                .get(header::AUTHORIZATION)
                .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"bearer "));
            if bearer {
                return Error::Forbidden("Invalid JWT token".to_owned()).into_response();
            }
            return (ask, Error::Unauthorized("Not authenticated".to_owned())).into_response();
        }
        // Nobody else can have sent it.
        if let Ok(user) = HeaderValue::from_str(account.user()) {
            request.headers_mut().insert("updraft-user", user);
        }
    }
    next.run(request).await
}

/// Keeps the pages of other sites out, whatever they ask for.
pub(crate) async fn same_site_only(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match same_site(request.headers(), guard.account.is_none()) {
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
    Ok(())
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
    fn the_password_or_its_token_admits_and_nothing_else_does() {
        let account = Account::new("admin", "correct horse battery").unwrap();
        let with = |value: &str| account.admits(&headers(&[(header::AUTHORIZATION, value)]));
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        assert!(with(&basic("admin:correct horse battery")));
        assert!(with(&format!("Bearer {}", account.token())));
        for wrong in ["admin:correct horse", "admin:", "root:correct horse battery", "admin", ""] {
            assert!(!with(&basic(wrong)), "{wrong}");
        }
        for wrong in ["Bearer ", "Bearer updraft_00", "Basic !!!", "Digest x", "", "correct horse battery"] {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(!account.admits(&HeaderMap::new()));
        let changed = Account::new("admin", "another password").unwrap();
        assert!(
            !changed.admits(&headers(&[(header::AUTHORIZATION, &format!("Bearer {}", account.token()))])),
            "the token outlives its password"
        );
    }

    #[test]
    fn a_weak_account_is_refused() {
        assert!(Account::new("admin", "short").is_err());
        assert!(Account::new("", "correct horse battery").is_err());
        assert!(Account::new("a:b", "correct horse battery").is_err());
        assert!(!format!("{:?}", Account::new("admin", "correct horse battery").unwrap()).contains("horse"));
    }
}
