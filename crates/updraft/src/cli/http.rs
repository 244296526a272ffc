//! Talking to the API, and what an answer means for the exit code.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::Global;

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
    password: Option<(String, String)>,
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
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let url = &global.api_url;
        let base = url.trim_end_matches('/').to_owned();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Failure::usage(format!("--api-url is {url:?}; it must begin with http:// or https://")));
        }
        let mut builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).timeout(Duration::from_secs(120));
        let host = base.split_once("://").map_or("", |(_, rest)| rest);
        if ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local)) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| Failure::new(1, format!("cannot set up HTTP: {e}")))?;
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
        let password = global.api_password.clone().map(|password| (global.api_user.clone(), password));
        Ok(Self { http, base, user, password })
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).header("updraft-client", "cli");
        if !self.user.is_empty() && self.user.is_ascii() {
            request = request.header("updraft-user", &self.user);
        }
        if let Some((user, password)) = &self.password {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Failure::new(6, format!("cannot reach the API at {}: {cause}", self.base))
            .next("start it with `updraft standalone`, or name another with --api-url or UPDRAFT_API_URL")
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
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
