//! Talking to the API, and what an answer means for the exit code.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use updraft_telemetry::traces::Context;

use super::Global;
use super::contexts::{Proof, Target, address};
use super::login::is_local;

/// Rows of one request when a verb wants all of them.
const PAGE: usize = 1000;

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    what: String,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), next: None }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(2, what)
    }

    /// The command to try next.
    pub(crate) fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// In words.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Says it on stderr.
    pub(crate) fn tell(self) -> ExitCode {
        crate::say(&format!("error: {}", self.what));
        if let Some(next) = self.next {
            crate::say(&format!("next:  {next}"));
        }
        ExitCode::from(self.code)
    }
}

/// A connection to the API.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    user: String,
    proof: Proof,
    context: Option<String>,
}

/// One part of a path, encoded: run ids hold `:` and `+`.
pub(crate) fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Client {
    /// The API that the flags, the environment and the contexts name.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        Self::at(Target::of(global)?)
    }

    pub(crate) fn at(target: Target) -> Result<Self, Failure> {
        let base = address(&target.url)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            // A redirect would carry what proves who asks to where nobody said it should go.
            .redirect(reqwest::redirect::Policy::none());
        if base.starts_with("http://") {
            // No certificate is looked at: the host's roots, a hundred files, need not be read.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        if is_local(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| Failure::new(1, format!("cannot set up HTTP: {e}")))?;
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
        Ok(Self { http, base, user, proof: target.proof, context: target.context })
    }

    /// Where requests go.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).header("updraft-client", "cli");
        if !self.user.is_empty() && self.user.is_ascii() {
            request = request.header("updraft-user", &self.user);
        }
        // A pipeline that is traced hands its span to what it starts by the environment; the API hands it on to the run.
        if let Ok(parent) = std::env::var("TRACEPARENT")
            && let Some(context) = Context::parse(&parent, std::env::var("TRACESTATE").ok().as_deref())
        {
            request = request.header("traceparent", context.traceparent());
            if let Some(state) = context.tracestate() {
                request = request.header("tracestate", state);
            }
        }
        match &self.proof {
            Proof::Nothing => {}
            Proof::Password(user, password) => request = request.basic_auth(user, Some(password)),
            Proof::Token(token) => request = request.bearer_auth(token),
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let failure = refused(response).await;
        Err(match (status, &self.proof) {
            // A token of a context is a key that no longer fits; what somebody gave by hand is theirs to look at.
            (StatusCode::UNAUTHORIZED, Proof::Token(_)) if self.context.is_some() => failure.next("updraft login"),
            (StatusCode::UNAUTHORIZED, Proof::Nothing) => failure.next(format!("updraft login {}", self.base)),
            _ => failure,
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Failure::new(6, format!("cannot reach the API at {}: {cause}", self.base))
            .next("start it with `updraft standalone`, or name another with --api-url, --context or `updraft context use`")
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        if text.is_empty() {
            // What was deleted.
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .map_err(|_| Failure::new(1, format!("{}{path} did not answer with JSON: is it an Updraft API?", self.base)))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, path, None).await
    }
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::POST, path, Some(body)).await
    }
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::PUT, path, Some(body)).await
    }
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::DELETE, path, None).await
    }
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::PATCH, path, Some(body)).await
    }

    /// Pages of a list until `most` rows (or all). `path` has a query already, or none.
    pub(crate) async fn all(&self, path: &str, key: &str, most: Option<usize>) -> Result<Vec<Value>, Failure> {
        let mut rows: Vec<Value> = Vec::new();
        let join = if path.contains('?') { '&' } else { '?' };
        loop {
            let want = most.map_or(PAGE, |m| m.saturating_sub(rows.len()).min(PAGE));
            if want == 0 {
                return Ok(rows);
            }
            let mut page = self.get(&format!("{path}{join}limit={want}&offset={}", rows.len())).await?;
            let Some(Value::Array(more)) = page.get_mut(key).map(Value::take) else {
                return Err(Failure::new(1, format!("the answer to {path} has no {key}: is it an Updraft API?")));
            };
            let got = more.len();
            rows.extend(more);
            let total = page.get("total_entries").and_then(Value::as_u64).unwrap_or(0);
            if got == 0 || rows.len() as u64 >= total {
                return Ok(rows);
            }
        }
    }
}

/// What the server refuses, in one sentence.
async fn refused(response: Response) -> Failure {
    let status = response.status();
    if status.is_redirection() {
        let there = response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("elsewhere").to_owned();
        return Failure::new(2, format!("the API's address sends requests on to {there}: is that its real address?"))
            .next("name it with --api-url, or by `updraft context add`");
    }
    let text = response.text().await.unwrap_or_default();
    let detail = serde_json::from_str::<Value>(&text).ok().and_then(|mut body| body.get_mut("detail").map(Value::take));
    let what = match detail {
        Some(Value::String(text)) => text,
        Some(Value::Array(problems)) => problems.iter().map(problem).collect::<Vec<_>>().join("; "),
        Some(Value::Object(map)) => map.get("message").or_else(|| map.get("reason")).and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ if text.trim().is_empty() => status.to_string(),
        _ => text.trim().chars().take(500).collect(),
    };
    let code = match status {
        StatusCode::NOT_FOUND => 3,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => 4,
        StatusCode::CONFLICT => 5,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => 2,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => 6,
        _ => 1,
    };
    let failure = Failure::new(code, what.clone());
    match code {
        3 if what.starts_with("Dag ") => failure.next("updraft dags list"),
        3 if what.contains("DagRun") => failure.next("updraft runs list DAG"),
        3 if what.contains("Task") => failure.next("updraft tasks list DAG"),
        3 if what.contains("Pool") => failure.next("updraft pools list"),
        3 if what.contains("Backfill") => failure.next("updraft backfill list DAG"),
        3 if what.starts_with("Could not find dag ") => failure.next("updraft dags list"),
        5 if what.starts_with("There is already a running backfill") => failure.next("updraft backfill list DAG"),
        6 => failure.next("updraft doctor"),
        _ => failure,
    }
}

fn problem(entry: &Value) -> String {
    let place: Vec<String> = entry["loc"]
        .as_array()
        .map(|parts| parts.iter().skip(1).map(|p| p.as_str().map_or_else(|| p.to_string(), str::to_owned)).collect())
        .unwrap_or_default();
    let message = entry["msg"].as_str().unwrap_or("not valid");
    if place.is_empty() { message.to_owned() } else { format!("{}: {message}", place.join(".")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_encoded() {
        assert_eq!(part("manual__2026-01-01T00:00:00+00:00"), "manual__2026-01-01T00%3A00%3A00%2B00%3A00");
        assert_eq!(part("a/b c"), "a%2Fb%20c");
    }

    #[test]
    fn problems_name_their_place() {
        let entry = serde_json::json!({"loc": ["body", "conf"], "msg": "Input should be a valid dictionary"});
        assert_eq!(problem(&entry), "conf: Input should be a valid dictionary");
    }
}
