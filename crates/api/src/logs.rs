//! Logs, in Airflow's form and as they are.

pub(crate) mod follow;
pub(crate) mod index;
pub(crate) mod lines;
pub(crate) mod search;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_model::{AttemptKey, InstanceKey, RunKey};
use updraft_store::read::instances::AttemptRow;

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes::{Time, time};

/// Bytes of a page.
const PAGE: i64 = 1024 * 1024;
/// Most bytes of an answer that asks for everything.
const MOST: i64 = 64 * 1024 * 1024;
/// The log of an attempt may be stored a moment after its end.
const LATE: TimeDelta = TimeDelta::seconds(2);

/// Where an attempt's log is.
struct Place {
    run: RunKey,
    idx: i32,
    map_index: i32,
    attempt: AttemptRow,
    name: String,
}

impl Place {
    const fn key(&self) -> AttemptKey {
        AttemptKey { instance: InstanceKey { run: self.run, idx: self.idx, map_index: self.map_index }, attempt: self.attempt.attempt }
    }

    /// Whether nothing more comes.
    fn over(&self) -> bool {
        self.attempt.ended_at.is_some_and(|at| at + LATE < Utc::now())
    }
}

/// The bytes from `at` on of the chunks that start at one of these two, or between them.
async fn pieces(state: &ApiState, place: &Place, (from, until): (i64, i64), mut at: i64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for piece in state.store().log_pieces(place.key(), from, until).await? {
        let skip = usize::try_from(at - piece.start).unwrap_or(0).min(piece.data.len());
        bytes.extend_from_slice(&piece.data[skip..]);
        at = at.max(piece.start + i64::try_from(piece.data.len()).unwrap_or(0));
    }
    Ok(bytes)
}

async fn place(state: &ApiState, ids: (&str, &str, &str), try_number: &str, params: &Params) -> Result<Place, Error> {
    let (dag_id, run_id, task_id) = ids;
    let map_index = params.map_index()?;
    let (run, row) = super::instances::find(state, dag_id, run_id, task_id, map_index).await?;
    let attempts = state.store().attempt_list(run.key(), row.idx, row.map_index).await?;
    // Ours: 0 and `latest` are the newest try.
    let number = match try_number {
        "latest" | "0" => attempts.last().map(|a| a.attempt),
        text => text.parse::<i32>().ok().and_then(|n| n.checked_add(run.attempt_base)),
    };
    let attempt =
        number.filter(|n| *n > run.attempt_base).and_then(|n| attempts.into_iter().find(|a| a.attempt == n)).ok_or_else(|| {
            let why = if crate::shapes::had_nothing_to_run(&row) { ": there was nothing to run" } else { "" };
            Error::NotFound(format!("TaskInstance not found: {dag_id} {} {task_id} has no log of try {try_number}{why}", run.run_id))
        })?;
    let name = format!("dag_id={dag_id}/run_id={}/task_id={task_id}/attempt={}.log", run.run_id, attempt.attempt - run.attempt_base);
    Ok(Place { run: run.key(), idx: row.idx, map_index, attempt, name })
}

/// Bytes from `offset`, with the time at which each piece was stored.
struct Read {
    pieces: Vec<(DateTime<Utc>, Vec<u8>)>,
    next: i64,
    /// No more will come.
    end: bool,
}

async fn read(state: &ApiState, place: &Place, offset: i64, limit: i64) -> Result<Read, Error> {
    // Whether it is over is known from before the read: what is stored in between is read next time.
    let over = place.over();
    let found = state.store().log_read(place.run, place.idx, place.map_index, place.attempt.attempt, offset, limit).await?;
    let mut next = offset;
    let mut pieces = Vec::with_capacity(found.len());
    let none = found.is_empty();
    for piece in found {
        // A gap is a chunk that is on its way: what comes after it waits for it.
        if piece.start > next && !over {
            break;
        }
        let skip = usize::try_from(next - piece.start).unwrap_or(0).min(piece.data.len());
        next = piece.start + i64::try_from(piece.data.len()).unwrap_or(0);
        pieces.push((piece.at, piece.data[skip..].to_vec()));
    }
    Ok(Read { pieces, next, end: over && none })
}

/// `/ui/logs/…?offset=`: the bytes as they are, and in headers where to go on.
pub(crate) async fn raw(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Response, Error> {
    let place = place(&state, (&dag_id, &run_id, &task_id), &try_number, &params).await?;
    if params.flag("download")?.unwrap_or(false) {
        return whole(&state, place, &format!("{task_id}-{try_number}.log")).await;
    }
    let offset = params.int("offset")?.unwrap_or(0).max(0);
    let read = read(&state, &place, offset, params.int("limit")?.unwrap_or(PAGE).clamp(1, MOST)).await?;
    let body: Vec<u8> = read.pieces.into_iter().flat_map(|(_, data)| data).collect();
    let number = |n: i64| HeaderValue::from(n);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("updraft-next-offset"), number(read.next)),
        (HeaderName::from_static("updraft-log-end"), HeaderValue::from_static(if read.end { "true" } else { "false" })),
        (HeaderName::from_static("updraft-attempt"), number(i64::from(place.attempt.attempt))),
        (
            HeaderName::from_static("updraft-attempt-state"),
            HeaderValue::from_str(&place.attempt.state).unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        ),
    ];
    Ok((headers, body).into_response())
}

/// All of a log as a file, however long it is: it is read as fast as it is taken.
async fn whole(state: &ApiState, place: Place, name: &str) -> Result<Response, Error> {
    let index = index::index(state, &place).await?;
    let windows = index.all().map(|all| index.windows(all)).unwrap_or_default();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let state = state.clone();
    let body = futures::stream::unfold((state, place, windows.into_iter(), 0), |(state, place, mut windows, at)| async move {
        let window = windows.next()?;
        // What cannot be read ends the file early, and the browser says that it is not whole.
        let bytes = pieces(&state, &place, window, at).await.inspect_err(|error| tracing::warn!(%error, "a log cannot be read to its end"));
        let at = at + bytes.as_ref().map_or(0, |bytes| i64::try_from(bytes.len()).unwrap_or(0));
        Some((bytes, (state, place, windows, at)))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{plain}\"")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn token_of(offset: i64) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("offset:{offset}"))
}

fn offset_of(token: &str) -> Option<i64> {
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("offset:")?.parse().ok().filter(|n| *n >= 0)
}

/// A line of a log.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "StructuredLogMessage")]
pub(crate) struct Line {
    /// When it was stored. Lines about the log itself have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Time>,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logger: Option<&'static str>,
}

impl Line {
    /// About the log itself.
    fn plain(event: impl Into<String>) -> Self {
        Self { event: event.into(), ..Self::default() }
    }
}

/// A piece of a log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskInstancesLogResponse")]
pub(crate) struct Log {
    content: Vec<Line>,
    /// The parameter `token` of the request for what comes next. Null: that was all.
    continuation_token: Option<String>,
}

/// Airflow's form: structured lines and a token to go on with.
pub(crate) async fn airflow(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    let ndjson = accept.contains("application/x-ndjson");
    if !(ndjson || accept.contains("application/json") || accept.contains("*/*") || accept.contains("application/*")) {
        return Err(Error::NotAcceptable("Only application/json or application/x-ndjson is supported".to_owned()));
    }
    let offset = match params.one("token").filter(|t| !t.is_empty()) {
        None => 0,
        Some(token) => offset_of(token)
            .ok_or_else(|| Error::BadRequest("Bad Signature. Please use only the tokens provided by the API.".to_owned()))?,
    };
    let place = place(&state, (&dag_id, &run_id, &task_id), &try_number, &params).await?;
    let limit = if params.flag("full_content")?.unwrap_or(false) { MOST } else { PAGE };
    let read = read(&state, &place, offset, limit).await?;
    let over = place.over();
    let mut lines = Vec::new();
    if offset == 0 {
        lines.extend(["::group::Log message source details", &place.name, "::endgroup::"].map(Line::plain));
    }
    let whole: i64 = read.pieces.iter().map(|(_, data)| i64::try_from(data.len()).unwrap_or(0)).sum();
    let rest = split(&read.pieces, &mut lines);
    let mut next = read.next;
    if rest.is_empty() || over && whole < limit {
        if !rest.is_empty() {
            lines.push(line(read.pieces.last().map(|(at, _)| *at), &rest));
        }
    } else {
        // A line that is not complete is read again with its end.
        next -= i64::try_from(rest.len()).unwrap_or(0);
    }
    let more = !over || whole >= limit;
    let token = more.then(|| token_of(next));
    if ndjson {
        let body: String = lines.iter().map(|l| format!("{}\n", json!(l))).collect();
        let mut response = ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response();
        if let Some(value) = token.and_then(|t| HeaderValue::from_str(&t).ok()) {
            response.headers_mut().insert(HeaderName::from_static("airflow-continuation-token"), value);
        }
        return Ok(response);
    }
    Ok(Json(Log { content: lines, continuation_token: token }).into_response())
}

fn line(at: Option<DateTime<Utc>>, bytes: &[u8]) -> Line {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\r');
    match at {
        Some(at) => Line { timestamp: Some(time(at)), event: text.to_owned(), level: Some("info"), logger: Some("task") },
        None => Line::plain(text),
    }
}

/// Cuts the pieces into lines, and returns what is left after the last line break.
fn split(pieces: &[(DateTime<Utc>, Vec<u8>)], lines: &mut Vec<Line>) -> Vec<u8> {
    let mut open: Vec<u8> = Vec::new();
    for (at, data) in pieces {
        let mut rest = data.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            open.extend_from_slice(&rest[..end]);
            lines.push(line(Some(*at), &open));
            open.clear();
            rest = &rest[end + 1..];
        }
        open.extend_from_slice(rest);
    }
    open
}

/// Logs are in Postgres, and nowhere that has an address of its own.
pub(crate) async fn no_external() -> Error {
    Error::BadRequest("Task log handler does not support external logs.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_across_pieces() {
        let at = DateTime::UNIX_EPOCH;
        let mut lines = Vec::new();
        let rest = split(&[(at, b"one\ntw".to_vec()), (at, b"o\n\nthr".to_vec())], &mut lines);
        let events: Vec<_> = lines.iter().map(|l| l.event.as_str()).collect();
        assert_eq!(events, ["one", "two", ""]);
        assert_eq!(rest, b"thr");
    }

    #[test]
    fn tokens_round_trip() {
        assert_eq!(offset_of(&token_of(1234)), Some(1234));
        assert_eq!(offset_of("nonsense"), None);
        assert_eq!(offset_of(&token_of(-1)), None);
    }
}
